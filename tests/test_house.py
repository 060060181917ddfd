"""집의 모습을 봅니다: 공개한 이름에는 형이 적혀 있습니다."""

import ast
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
