"""집의 모습을 봅니다: 아래층만 불러오고, 방이 크지 않으며, 공개한 이름에는 형이 적혀 있습니다."""

import ast
import json
import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "nlpbook_nbs"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "_modidx.py")


def module_name(path):
    """`nlpbook_nbs/core/files.py` → `core.files`, `nlpbook_nbs/__init__.py` → 빈 글."""
    return (
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")
    )


def not_yet_typed():
    """pyproject.toml에 적힌, 아직 형을 다 적지 않은 모듈."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = [
        name
        for override in settings["tool"]["mypy"].get("overrides", [])
        if override.get("ignore_errors")
        for name in override["module"]
    ]
    return {name.removeprefix("nlpbook_nbs").removeprefix(".") for name in names}


def public(node):
    return not node.name.startswith("_") or node.name in {"__init__", "__call__"}


def untyped_parameters(function, method):
    """형이 적혀 있지 않은 인자의 이름. 돌려주는 값에 형이 없으면 `return`도 들어갑니다."""
    arguments = function.args
    static = any(getattr(each, "id", "") == "staticmethod" for each in function.decorator_list)
    named = [*arguments.posonlyargs, *arguments.args]
    if method and not static:
        named = named[1:]
    rest = [each for each in (arguments.vararg, arguments.kwarg) if each]
    missing = [each.arg for each in [*named, *arguments.kwonlyargs, *rest] if each.annotation is None]
    return missing + (["return"] if function.returns is None and function.name != "__init__" else [])


def is_dataclass(node):
    return any("dataclass" in ast.unparse(each) for each in node.decorator_list)


def untyped(tree):
    """형이 빠진 곳 `이름: 인자…`의 목록."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = []
    for node in filter(public, (n for n in tree.body if isinstance(n, (*functions, ast.ClassDef)))):
        if isinstance(node, functions):
            found.append((node.name, untyped_parameters(node, method=False)))
            continue
        for part in node.body:
            if isinstance(part, functions) and public(part):
                found.append((f"{node.name}.{part.name}", untyped_parameters(part, method=True)))
            if isinstance(part, ast.Assign) and is_dataclass(node):
                found.append((node.name, [ast.unparse(part.targets[0])]))
    return [f"{name}: {', '.join(missing)}" for name, missing in found if missing]


@pytest.mark.parametrize(
    "path", [path for path in MODULES if module_name(path) not in not_yet_typed()], ids=module_name
)
def test_public_names_say_their_types(path):
    assert untyped(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("def f(a, *b, c: int = 0, **d) -> int: ...", ["f: a, b, d"]),
        ("def f(a: int): ...", ["f: return"]),
        ("def _f(a): ...", []),
        ("class A:\n    def __init__(self, a): ...\n    def g(self): ...", ["A.__init__: a", "A.g: return"]),
        ("class A:\n    @staticmethod\n    def g(a) -> None: ...", ["A.g: a"]),
        ("@dataclass(frozen=True)\nclass A:\n    a: int\n    b = 1", ["A: b"]),
    ],
)
def test_a_missing_type_is_found(code, missing):
    assert untyped(ast.parse(code)) == missing


def test_list_of_modules_without_types_names_modules_that_exist():
    assert not_yet_typed() <= {module_name(path) for path in MODULES}


# 층과 크기

NOTEBOOKS = sorted((ROOT / "nbs").rglob("*.ipynb"))
ROOM, CHAPTER, CELL = 400, 300, 40  # 방 하나, 장 하나, 장의 셀 하나가 내보내는 줄의 수
SHARED = {("paircls", "classification")}  # 문장 쌍은 문서 분류의 데이터셋과 과제를 함께 씁니다.


def exported(path):
    """노트북이 내보내는 `(모듈, [셀의 글, …])`. 내보내지 않으면 모듈이 빈 글입니다."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names = re.findall(r"^#\| default_exp (\S+)$", "\n".join(sources), re.MULTILINE)
    kept = [re.sub(r"^#\|.*\n?", "", each, flags=re.MULTILINE) for each in sources if "#| export" in each]
    return "".join(names), kept


CHAPTERS = {
    path: exported(path) for path in NOTEBOOKS if path.parent.name == "nbs" and path.name[:2].isdigit()
}


NAMED_BY_CHAPTER = ("장", "채점")  # 방의 이름을 장이 정하는 줄


def picture(text):
    """CONTRIBUTING.md의 그림에서 읽은 `{모듈: 줄의 높이}`. 장과 채점은 모듈 대신 줄의 이름으로 들어갑니다."""
    rows = re.search(r"## 집의 구조\n\n```text\n(.*?)```", text, re.DOTALL)[1].splitlines()
    height = {}
    for place, row in enumerate(reversed(rows)):
        name, *modules = row.split()
        height |= dict.fromkeys([name] if name in NAMED_BY_CHAPTER else modules, place)
    return height


HEIGHT = picture((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))


def height_of(module):
    """`core.files` → 그림에서의 높이. 장이면 장의 높이, 장의 채점이면 채점의 높이이고, 그림에 없으면 `None`."""
    chapters = {name for name, _ in CHAPTERS.values()}
    checks = {f"checks.{path.stem[3:]}" for path in CHAPTERS}
    named = "장" if module in chapters else "채점" if module in checks else module.removeprefix("core.")
    return HEIGHT.get(named)


def imports(module, tree):
    """`module`이 어디에서든(함수 안에서도) 불러오는 이 패키지의 모듈들. 패키지의 뿌리는 뺍니다."""
    known = {module_name(path) for path in MODULES}
    package = module.split(".")[:-1]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names if each.name.startswith("nlpbook_nbs.")]
            found |= {name.removeprefix("nlpbook_nbs.") for name in names}
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                base = package[: len(package) - node.level + 1] + base
            elif base[:1] == ["nlpbook_nbs"]:
                base = base[1:]
            else:
                continue
            found |= {".".join([*base, each.name]) for each in node.names} | {".".join(base)}
    return {name for name in found if name in known and name not in {"", "core", "checks", module}}


GRAPH = {
    module_name(path): imports(module_name(path), ast.parse(path.read_text(encoding="utf-8")))
    for path in MODULES
}
ROOMS = sorted(set(GRAPH) - {"", "core", "checks"})


def test_every_room_stands_in_the_picture():
    assert [module for module in ROOMS if height_of(module) is None] == []
    rooms = {module.removeprefix("core.") for module in ROOMS}
    assert sorted(set(HEIGHT) - {*NAMED_BY_CHAPTER} - rooms) == []


@pytest.mark.parametrize("module", ROOMS)
def test_imports_go_down_only(module):
    up = {other for other in GRAPH[module] if height_of(other) > height_of(module)}
    chapters = {name for name, _ in CHAPTERS.values()}
    beside = {other for other in GRAPH[module] & chapters if module in chapters}
    assert up | {other for other in beside if (module, other) not in SHARED} == set()


def circles(graph):
    """서로를 불러오는 모듈의 묶음들."""

    def reach(start):
        seen, left = set(), list(graph[start])
        while left:
            module = left.pop()
            if module not in seen:
                seen.add(module)
                left += graph[module]
        return seen

    return sorted(module for module in graph if module in reach(module))


def test_no_room_leads_back_to_itself():
    assert circles(GRAPH) == []


def test_a_circle_and_an_import_inside_a_function_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    code = "def f():\n    from .columns import open_column\n    import nlpbook_nbs.core.files\n    from .. import qa\n    from nlpbook_nbs.core import text"
    assert imports("core.plots", ast.parse(code)) == {"core.columns", "core.files", "core.text", "qa"}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.parent.name in {"core", "checks"}], ids=module_name
)
def test_room_is_one_idea_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= ROOM


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_exports_little_and_in_small_cells(path):
    lines = [len(source.splitlines()) for source in CHAPTERS[path][1]]
    assert sum(lines) <= CHAPTER and max(lines, default=0) <= CELL
