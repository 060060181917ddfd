"""편집기가 `nlpbook.`의 이름을 채워 주도록 `nlpbook_nbs/__init__.pyi`를 씁니다. `--check`면 쓰지 않고 어긋났는지만 봅니다.

이름표는 `nbs/init.ipynb`의 `_EXPORTS` 하나입니다. 파이썬은 그 표를 보고 이름을 쓸 때 불러오고, 편집기와 mypy는 이 파일을 봅니다.
"""

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "nlpbook_nbs"
STUB = PACKAGE / "__init__.pyi"


def exports():
    """`{모듈: 이름들}`. 패키지를 불러오지 않고 글에서 읽습니다."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "_EXPORTS":
            return ast.literal_eval(node.value)
    sys.exit("nlpbook_nbs/__init__.py에 _EXPORTS가 없습니다.")


def stub():
    """`__init__.pyi`의 글."""
    table = exports()
    modules = sorted(path.stem for path in PACKAGE.glob("[a-z]*.py"))
    lines = ["# tools/stub.py가 nbs/init.ipynb의 표에서 씁니다. 손으로 고치지 마세요.", ""]
    lines += [f"from . import {name} as {name}" for name in ["core", *modules]]
    for module, names in table.items():
        lines += [f"from .{module} import {name} as {name}" for name in names]
    everything = sorted(name for names in table.values() for name in names)
    return "\n".join([*lines, "", "__version__: str", f"__all__ = {everything!r}"]).replace("'", '"') + "\n"


def main():
    if "--check" not in sys.argv:
        STUB.write_text(stub(), encoding="utf-8")
    elif not STUB.exists() or STUB.read_text(encoding="utf-8") != stub():
        sys.exit("nlpbook_nbs/__init__.pyi가 nbs/init.ipynb와 다릅니다. make export를 실행하세요.")


if __name__ == "__main__":
    main()
