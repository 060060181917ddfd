"""노트북의 머리말(front matter)과 차례. 표와 사이드바와 API 페이지를 만드는 도구들이 함께 씁니다."""

import ast
import json
import re
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "nlpbook_nbs"


def settings():
    """settings.ini의 값들."""
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


@dataclass(frozen=True)
class Notebook:
    """노트북 하나."""

    path: Path

    @property
    def name(self):
        """저장소에서의 경로: `nbs/core/files.ipynb`."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def cells(self):
        return json.loads(self.path.read_text(encoding="utf-8"))["cells"]

    @cached_property
    def front(self):
        """머리말에 적힌 값들의 사전."""
        head = re.fullmatch(r"---\n(.*?)\n---\s*", "".join(self.cells[0]["source"]), re.DOTALL)
        try:
            found = yaml.safe_load(head[1]) if head else None
        except yaml.YAMLError as error:
            raise SystemExit(f"{self.name}: 머리말이 올바른 YAML이 아닙니다({error}).") from None
        if not isinstance(found, dict):
            raise SystemExit(f"{self.name}: 첫 셀에 ---로 감싼 머리말이 없습니다.")
        return found

    def __getitem__(self, key):
        """머리말의 값. `"en.title"`처럼 속의 값도 꺼냅니다. 없으면 무엇을 적어야 하는지 알리고 멈춥니다."""
        value = self.front
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not value:
            raise SystemExit(
                f"{self.name}: 머리말에 {key}이(가) 없습니다. CONTRIBUTING.md의 '과제 더하기'를 보세요."
            )
        return value

    @cached_property
    def module(self):
        """내보내는 모듈의 이름: `classification`, `core.files`. 없으면 빈 글."""
        sources = "\n".join("".join(cell["source"]) for cell in self.cells)
        name = re.search(r"^#\| default_exp ([\w.]+)", sources, re.MULTILINE)
        return name[1] if name and name[1] != "__init__" else ""


def chapters():
    """장을 차례대로."""
    return [Notebook(path) for path in sorted((ROOT / "nbs").glob("[0-9][0-9]_*.ipynb"))]


def ways_in():
    """장도 속살도 아닌, 들어오는 문."""
    return [Notebook(path) for path in sorted((ROOT / "nbs").glob("[a-z]*.ipynb"))]


def checks():
    """장의 연습문제를 채점하는 노트북을 차례대로."""
    return [Notebook(path) for path in sorted((ROOT / "nbs" / "checks").glob("*.ipynb"))]


def house():
    """속살의 이름들을 아래층부터. CONTRIBUTING.md의 그림에서 읽습니다."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.search(r"## 집의 구조\n\n```text\n(.*?)```", text, re.DOTALL)[1].splitlines()
    return [f"core.{name}" for row in reversed(rows) for name in row.split()[1:]]


def rooms():
    """속살(`nbs/core`)을 아래층부터. 그림에 아직 없는 방은 그 방이 불러오는 방들의 바로 뒤에 놓습니다."""
    books = {book.module: book for book in map(Notebook, sorted((ROOT / "nbs" / "core").glob("*.ipynb")))}
    ordered = [name for name in house() if name in books]
    for name in sorted(books.keys() - set(ordered)):
        below = [ordered.index(other) for other in _imports(name) & set(ordered)]
        ordered.insert(max(below, default=-1) + 1, name)
    return [books[name] for name in ordered]


def _imports(module):
    """`module`이 불러오는 우리 모듈의 이름들."""
    path = ROOT / PACKAGE / f"{module.replace('.', '/')}.py"
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.exists() else ():
        if isinstance(node, ast.ImportFrom):
            name = node.module or ""
            package = module.split(".")[: -node.level] if node.level else []
            found.add(".".join([*package, name]) if node.level else name.removeprefix(f"{PACKAGE}."))
    return found
