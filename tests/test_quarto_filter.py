"""사이트에 넘기는 노트북: nbdev의 지시가 Quarto의 옵션을 망가뜨리지 않고, 위젯은 화면이 되고, 확인 문제가 붙습니다."""

import json
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from functools import cache
from html import unescape
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from quarto_filter import filtered
from widget_pages import LIVE

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


@cache
def _rendered(path):
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
    return text


def rendered(path):
    return json.loads(_rendered(path))


def is_widget(output):
    return "".join(output.get("data", {}).get("text/plain", "")).startswith("VBox(")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "nbs").as_posix())
def test_options_of_every_cell_are_a_mapping_once_the_site_has_filtered_it(path):
    before, after = json.loads(path.read_text(encoding="utf-8")), rendered(path)
    quiz = [cell for cell in after["cells"] if cell.get("id") == "quiz"]
    assert len(quiz) == bool(path.parent == ROOT / "nbs" and re.match(r"\d\d_", path.name))
    assert len(before["cells"]) == len(after["cells"]) - len(quiz)
    for old, new in zip(before["cells"], after["cells"], strict=False):
        old_source, new_source = "".join(old["source"]), "".join(new["source"])
        if old["cell_type"] != "code":
            assert new_source == old_source or "colab-badge" in old_source
            continue
        widgets = [place for place, output in enumerate(old["outputs"]) if is_widget(output)]
        for place in widgets:  # 위젯의 글은 화면이나 그림이 됩니다.
            assert re.match("<(nlpbook-demo|div) ", new["outputs"][place]["data"]["text/html"])
            new["outputs"][place] = old["outputs"][place]
        assert {**old, "source": ""} == {**new, "source": ""}  # 다른 출력과 이름은 그대로입니다.
        found = yaml.safe_load(options(new_source))
        assert found is None or isinstance(found, dict), new_source[:200]
        added = [line for line in new_source.split("\n") if line not in old_source.split("\n")]
        assert all(line.startswith("#| code-") for line in added)
        code = [line for line in old_source.split("\n") if not line.startswith("#|")]
        assert [line for line in new_source.split("\n") if not line.startswith("#|")] == code
        for line in options(old_source).split("\n"):
            if ": " in line:  # Quarto의 옵션은 하나도 잃지 않습니다.
                assert line in options(new_source).split("\n")


def test_page_shows_no_python_name_of_a_widget_and_live_demos_have_their_examples():
    kinds = {}
    for path in NOTEBOOKS:
        for cell in rendered(path)["cells"]:
            for output in cell.get("outputs", []):
                assert not is_widget(output), path.name
                html = "".join(output.get("data", {}).get("text/html", ""))
                if html.startswith("<nlpbook-demo"):
                    demo = re.match(
                        '<nlpbook-demo kind="([a-z-]+)" examples="([^"]+)">(.+)</nlpbook-demo>', html
                    )
                    assert json.loads(unescape(demo[2])) and "img" in demo[3]
                    kinds[path.stem] = demo[1]
    assert kinds == LIVE


def cell(source, outputs=()):
    return {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "execution_count": None,
        "source": source,
        "outputs": deepcopy(list(outputs)),
    }


WIDGET = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "VBox(children=(Dropdown(…"}}
BADGE = "[![코랩에서 열기](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/a/b/blob/main/nbs/10_pretrain.ipynb)"


def test_widget_that_cannot_run_in_a_browser_becomes_a_picture_of_its_fields():
    source = 'demo = TextDemo(f, examples=(("<b>가</b>", passage), (x, y)), fields=("질문", "지문"), button="답 찾기")'
    found = filtered({"cells": [cell(source, [WIDGET])]})["cells"][0]["outputs"][0]["data"]["text/html"]
    assert "&lt;b&gt;가&lt;/b&gt;" in found and "<b>" not in found and "답 찾기" in found and "지문" in found
    assert 'role="img"' in found and "VBox" not in found


def test_picture_of_the_writing_widget_has_its_own_field_and_button():
    found = filtered(
        {"cells": [cell("demo = WritingDemo(write, examples=('긍정 이 영화', '안녕'))\ndemo", [WIDGET])]}
    )
    html = found["cells"][0]["outputs"][0]["data"]["text/html"]
    assert "앞 글" in html and "이어 쓰기" in html and "긍정 이 영화" in html


def test_code_of_the_package_is_folded_only_after_the_summary():
    markdown = {"cell_type": "markdown", "id": "b", "metadata": {}}
    export = "#| export\ndef f(): ..."
    cells = [
        {**markdown, "source": BADGE},
        cell(export),
        {**markdown, "source": "## 정리\n\n끝"},
        cell(export),
        cell("f()"),
    ]
    found = ["".join(each["source"]) for each in filtered({"cells": cells})["cells"]]
    assert found[1] == "def f(): ..." and found[4] == "f()"
    assert yaml.safe_load(options(found[3]))["code-summary"] == "패키지에 들어가는 코드"
    assert "/images/colab-badge.svg" in found[0] and "colab.research.google.com/assets" not in found[0]
    assert "kernels/welcome?src=https://github.com/a/b/blob/main/nbs/10_pretrain.ipynb" in found[0]
    assert all((ROOT / "images" / f"{name}-badge.svg").exists() for name in ("colab", "kaggle"))


def test_filter_needs_nothing_but_the_standard_library():
    """Quarto는 가상 환경 밖의 파이썬으로 부르기도 합니다."""
    command = [sys.executable, "-S", "-E", ROOT / "tools" / "quarto_filter.py"]
    done = subprocess.run(command, input='{"cells": []}', capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0 and json.loads(done.stdout) == {"cells": []}, done.stderr


def test_notebooks_offered_for_download_keep_their_directives():
    assert "nbs/**/*.ipynb" in CONFIG["project"]["resources"]
    assert any("#| export" in path.read_text(encoding="utf-8") for path in NOTEBOOKS)


@pytest.mark.skipif(
    shutil.which("pandoc") is None and shutil.which("quarto") is None,
    reason="pandoc이 없습니다. https://pandoc.org/installing.html 에서 받으면 이 시험도 돕니다",
)
def test_figures_of_a_notebook_wait_until_they_come_near_and_pictures_of_the_text_do_not():
    pandoc = ["pandoc"] if shutil.which("pandoc") else [shutil.which("quarto"), "pandoc"]
    words = [word for name in CONFIG["filters"] for word in ("--lua-filter", ROOT / name)]
    text = "![곡선](02_files/figure-html/a.png){#fig-a width=5}\n\n![카드](/images/b.svg)\n"
    done = subprocess.run(
        [*pandoc, "--to", "html5", *words], input=text, capture_output=True, encoding="utf-8", check=True
    )
    figure, picture = re.findall(r"<img[^>]*>", done.stdout)
    assert 'loading="lazy"' in figure and 'width="5"' in figure and "loading" not in picture
