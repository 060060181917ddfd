"""사이트에 넘기는 노트북: nbdev의 지시가 Quarto의 옵션을 망가뜨리지 않아야 합니다."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "nbs").rglob("*.ipynb"))
CONFIG = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))


def options(source):
    """셀의 맨 위에 이어진 `#|` 줄들의 글."""
    found = []
    for line in source.split("\n"):
        if not line.startswith("#|"):
            break
        found.append(line[2:].strip())
    return "\n".join(found)


def rendered(path):
    """`_quarto.yml`에 적힌 필터들을 차례로 거친 노트북. Quarto처럼 노트북이 있는 폴더에서 실행합니다."""
    text = path.read_text(encoding="utf-8")
    for name in CONFIG["ipynb-filters"]:
        done = subprocess.run(
            [sys.executable, ROOT / name],
            input=text,
            capture_output=True,
            encoding="utf-8",
            check=True,
            cwd=path.parent,
        )
        text = done.stdout
    return json.loads(text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "nbs").as_posix())
def test_options_of_every_cell_are_a_mapping_once_the_site_has_filtered_it(path):
    before, after = json.loads(path.read_text(encoding="utf-8")), rendered(path)
    assert len(before["cells"]) == len(after["cells"])
    for old, new in zip(before["cells"], after["cells"], strict=True):
        old_source, new_source = "".join(old["source"]), "".join(new["source"])
        assert {**old, "source": ""} == {**new, "source": ""}  # 출력과 이름은 그대로입니다.
        if old["cell_type"] != "code":
            assert old_source == new_source
            continue
        found = yaml.safe_load(options(new_source))
        assert found is None or isinstance(found, dict), new_source[:200]
        assert all(line in old_source.split("\n") for line in new_source.split("\n"))
        code = [line for line in old_source.split("\n") if not line.startswith("#|")]
        assert [line for line in new_source.split("\n") if not line.startswith("#|")] == code
        for line in options(old_source).split("\n"):
            if ": " in line:  # Quarto의 옵션은 하나도 잃지 않습니다.
                assert line in options(new_source).split("\n")


def test_notebooks_offered_for_download_keep_their_directives():
    assert "nbs/**/*.ipynb" in CONFIG["project"]["resources"]
    assert any("#| export" in path.read_text(encoding="utf-8") for path in NOTEBOOKS)
