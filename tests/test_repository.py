"""저장소가 약속한 모습인지 봅니다: 내보내기와 정리가 흔적을 남기지 않고, 주소는 한곳에서만 정해집니다."""

import ast
import json
import os
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from conftest import tracked

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "nbs").rglob("*.ipynb"))
CHAPTERS = sorted((ROOT / "nbs").glob("[0-9][0-9]_*.ipynb"))


def settings():
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def test_export_and_clean_leave_no_diff(copy):
    bin_dir = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if name != "IN_TEST"}
    for tool in ("nbdev_export", "nbdev_clean"):
        subprocess.run([bin_dir / tool], cwd=copy, check=True, capture_output=True, env=environment)
    changed = [str(path) for path in tracked() if (copy / path).read_bytes() != (ROOT / path).read_bytes()]
    new = [
        str(path.relative_to(copy))
        for path in (copy / "nlpbook_nbs").rglob("*.py")
        if not (ROOT / path.relative_to(copy)).exists()
    ]
    assert changed == new == []


def test_stub_for_editors_follows_the_table_of_root_names(copy):
    command = [sys.executable, copy / "tools" / "stub.py"]
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 0
    init = copy / "nlpbook_nbs" / "__init__.py"
    text = init.read_text(encoding="utf-8")
    init.write_text(text.replace('("load_arguments",)', '("load_arguments", "option")'), encoding="utf-8")
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 1
    subprocess.run(command, check=True)
    stub = (copy / "nlpbook_nbs" / "__init__.pyi").read_text(encoding="utf-8")
    assert "from .core.arguments import option as option" in stub


def test_every_root_name_is_there():
    import nlpbook_nbs

    assert {name for name in nlpbook_nbs.__all__ if not hasattr(nlpbook_nbs, name)} == set()
    assert set(nlpbook_nbs.__all__) <= set(dir(nlpbook_nbs))


def test_every_link_to_us_follows_settings_ini():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "links.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    for path in CHAPTERS:
        text = path.read_text(encoding="utf-8")
        assert (
            f"github/{settings()['user']}/{settings()['repo']}/blob" in text and "pip install -q git+" in text
        ), path.name


def test_links_are_put_right_when_the_repository_moves(copy):
    ini = copy / "settings.ini"
    ini.write_text(
        ini.read_text(encoding="utf-8").replace("user = nlpbook\n", "user = somebody\n"), encoding="utf-8"
    )
    command = [sys.executable, copy / "tools" / "links.py"]
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 1
    subprocess.run(command, capture_output=True, check=True)
    assert subprocess.run([*command, "--check"], capture_output=True, check=False).returncode == 0
    assert "github/somebody/" in (copy / "nbs" / CHAPTERS[0].name).read_text(encoding="utf-8")
    assert "somebody.github.io" in (copy / "_quarto.yml").read_text(encoding="utf-8")
    assert "github.com/e9t/nsmc" in (copy / "nbs" / "core" / "corpora.ipynb").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "nbs").as_posix())
def test_notebook_is_fit_to_be_published(path):
    found = cells(path)
    assert found[0]["cell_type"] == "raw" and re.search(
        r"^title: .+\ndescription: .+", "".join(found[0]["source"]), re.MULTILINE
    )
    assert len({cell["id"] for cell in found}) == len(found)
    for cell in found:
        source, outputs = "".join(cell["source"]), json.dumps(cell.get("outputs", []), ensure_ascii=False)
        assert '"output_type": "error"' not in outputs and '"stderr"' not in outputs, source
        assert not re.search(
            r"/(home|root|tmp|work|Users)/|it/s\]|\\r", re.sub(r'"image/png": "[^"]*"', "", outputs)
        ), outputs[:300]
        for link in re.findall(
            r"\]\((?!https?:|#)([^)\s]+)\)", source if cell["cell_type"] == "markdown" else ""
        ):
            assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_has_the_shape_of_a_chapter(path):
    text = "\n".join("".join(cell["source"]) for cell in cells(path))
    for part in (
        "이 장에서 배우는 것",
        "colab-badge.svg",
        "## 정리",
        "## 연습문제",
        "<summary>풀이 보기</summary>",
        "get_profile",
    ):
        assert part in text, part
    assert text.count("<details>") >= 3
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    shown = [
        cell for cell in code if not re.search(r"#\| (export|default_exp|hide)", "".join(cell["source"]))
    ]
    assert any(output for cell in shown for output in cell["outputs"]), (
        "출력이 저장되어 있지 않습니다. tools/run_notebooks.py로 실행해 저장하세요."
    )


def test_code_keeps_to_python_3_10():
    for path in [
        *(ROOT / "nlpbook_nbs").glob("*.py"),
        *(ROOT / "tools").glob("*.py"),
        *(ROOT / "tests").glob("*.py"),
        ROOT / "setup.py",
    ]:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))


def test_package_and_help_come_up_without_the_heavy_libraries():
    code = "import sys, nlpbook_nbs, nlpbook_nbs.cli as cli; cli.build_parser(); print(sorted({'torch', 'transformers', 'pytorch_lightning', 'numpy', 'nbdev', 'fastcore'} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_package_does_not_need_nbdev_at_run_time():
    for path in (ROOT / "nlpbook_nbs").glob("*.py"):
        names = {
            node.module or ""
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        }
        names |= {
            alias.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not {name for name in names if name.split(".")[0] in {"nbdev", "fastcore", "execnb"}}, (
            path.name
        )


@pytest.mark.parametrize("name", ["data", "models", "fonts"])
def test_what_ships_says_its_licence(name):
    text = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "nlpbook_nbs" / name).glob("*")
        if path.suffix in {".md", ".txt"} and path.is_file()
    )
    assert re.search(r"CC BY 4\.0|CC0|SIL OPEN FONT LICENSE|Apache", text)


def test_no_path_of_a_machine_stands_in_the_repository():
    for path in tracked():
        if (
            path.suffix in {".py", ".ipynb", ".md", ".yml", ".ini", ".txt", ".toml", ".qmd"}
            and path.parts[0] != "tests"
        ):
            text = re.sub(r'"image/png": "[^"]*"', "", (ROOT / path).read_text(encoding="utf-8"))
            assert not re.search(r"(?<![\w./])/(home|root|work|tmp)/", text), path
