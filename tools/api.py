"""모듈마다 API 페이지를 씁니다: `api/<모듈>.qmd`, `api/core/<모듈>.qmd`. `--check`는 고치지 않고 다르면 1로 끝납니다.

코드를 불러오지 않고 글로만 읽으므로, 파이썬이나 라이브러리의 판이 달라도 같은 페이지가 나옵니다.
"""

import ast
import json
import sys
import textwrap

from book import PACKAGE, ROOT, chapters, rooms, settings, ways_in

NOTICE = "<!-- tools/api.py가 코드에서 만든 파일입니다. 손으로 고치지 마세요. -->"


def signature(name, function, lines):
    """`이름(인자, …) -> 형`. 인자 뒤에 설명이 적혀 있으면 적힌 그대로, 없으면 한 줄로 적되 길면 인자마다 줄을 바꿉니다."""
    written = textwrap.dedent("\n".join(lines[function.lineno - 1 : function.body[0].lineno - 1])).rstrip()
    if "  # " in written:
        shown = [
            line for line in written.removesuffix(":").split("\n") if line.strip() not in {"self,", "cls,"}
        ]
        return "\n".join([f"{name}(", *shown[1:]])
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    args = function.args
    plain = args.posonlyargs + args.args
    defaults = [None] * (len(plain) - len(args.defaults)) + args.defaults
    parts = [parameter(arg, default) for arg, default in zip(plain, defaults)]
    if args.vararg or args.kwonlyargs:
        parts.append("*" + (parameter(args.vararg) if args.vararg else ""))
    parts += [parameter(arg, default) for arg, default in zip(args.kwonlyargs, args.kw_defaults)]
    parts += ["**" + parameter(args.kwarg)] if args.kwarg else []
    parts = [part for part in parts if part not in ("self", "cls")]
    line = f"{name}({', '.join(parts)}){returns}"
    return line if len(line) <= 88 else name + "(\n    " + ",\n    ".join(parts) + f",\n){returns}"


def parameter(arg, default=None):
    text = arg.arg + (f": {ast.unparse(arg.annotation)}" if arg.annotation else "")
    if default is None:
        return text
    return text + (" = " if arg.annotation else "=") + ast.unparse(default)


def code(text):
    return f"```python\n{text}\n```"


def field_row(node, lines):
    """데이터클래스의 필드 하나. 뜻은 `option(기본값, 설명, choices=…)`의 설명이나 줄 끝의 주석입니다."""
    default, meaning = node.value, lines[node.end_lineno - 1][node.end_col_offset :].strip().lstrip("# ")
    if isinstance(default, ast.Call) and getattr(default.func, "id", "") == "option":
        meaning = ast.literal_eval(default.args[1])
        choices = [word.value for word in default.keywords if word.arg == "choices"]
        if choices and isinstance(choices[0], ast.List):
            meaning += " (" + ", ".join(f"`{ast.literal_eval(each)}`" for each in choices[0].elts) + ")"
        default = default.args[0]
    shown = f"`{ast.unparse(default)}`" if default else ""
    cells = (f"`{node.target.id}`", f"`{ast.unparse(node.annotation)}`", shown, meaning.replace("<", "\\<"))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def class_entry(node, lines):
    bases = ", ".join(map(ast.unparse, node.bases))
    init = next((each for each in node.body if getattr(each, "name", "") == "__init__"), None)
    parts = [f"## {node.name}"]
    if init:
        parts.append(code(signature(node.name, init, lines)))
    if bases:
        parts.append(f"물려받는 클래스: `{bases}`")
    parts.append(ast.get_docstring(node) or "")
    if any("dataclass" in ast.unparse(each) for each in node.decorator_list):
        fields = [
            each
            for each in node.body
            if isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.unparse(each.annotation)
        ]
        if fields:
            head = "| 필드 | 타입 | 기본값 | 뜻 |\n|------|---|---|--------|\n"
            parts.append(head + "\n".join(field_row(each, lines) for each in fields))
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and not each.name.startswith("_") and ast.get_docstring(each):
            parts += [
                f"### {node.name}.{each.name}",
                code(signature(each.name, each, lines)),
                ast.get_docstring(each),
            ]
    return parts


def entries(source):
    """`__all__`의 차례로 이름마다 한 절. 상수는 끝에 모으되 한 줄로 적을 수 있는 것만 보입니다."""
    named, constants, tree = {}, [], ast.parse(source)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            named[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            named[node.target.id] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named[node.targets[0].id] = node
    for name in ast.literal_eval(named["__all__"].value):
        node = named.get(name)
        if isinstance(node, ast.ClassDef):
            yield from class_entry(node, source.splitlines())
        elif isinstance(node, ast.FunctionDef):
            yield from (
                f"## {name}",
                code(signature(name, node, source.splitlines())),
                ast.get_docstring(node) or "",
            )
        elif node is not None and len(ast.unparse(node)) <= 88:
            constants.append(ast.unparse(node))
    if constants:
        yield from ("## 상수", code("\n".join(constants)))


def front(title, about):
    return f"---\ntitle: {title}\ndescription: {json.dumps(about, ensure_ascii=False)}\n---\n\n{NOTICE}\n"


def pages():
    """`{파일: 글}`. 장이 먼저이고, 들어오는 문과 속살이 뒤따릅니다."""
    found, rows, cfg = {}, [], settings()
    for book in filter(lambda book: book.module, [*chapters(), *ways_in(), *rooms()]):
        title, about, place = book["title"], book["description"], book.module.replace(".", "/")
        source = (ROOT / PACKAGE / f"{place}.py").read_text(encoding="utf-8")
        up = "../" * (1 + place.count("/"))
        code_at = f"{cfg['git_url']}/blob/{cfg['branch']}/{PACKAGE}/{place}.py"
        lead = f"[{title}]({up}{book.name}) 노트북에서 내보낸 모듈입니다([소스 코드]({code_at})). "
        lead += f"불러오기: `import {PACKAGE}.{book.module}`"
        body = "\n\n".join(filter(None, [lead, *entries(source)]))
        found[ROOT / "api" / f"{place}.qmd"] = f"{front(book.module, about)}\n{body}\n"
        rows.append(f"| [{book.module}]({place}.qmd) | {about} | [{title}](../{book.name}) |")
    table = "\n".join(["| 모듈 | 하는 일 | 가르치는 노트북 |", "|---|------|---|", *rows])
    lead = front("API 레퍼런스", "모듈마다 공개된 이름과 쓰는 법을 모았습니다.")
    return found | {ROOT / "api" / "index.qmd": f"{lead}\n{table}\n"}


def main():
    wanted, wrong = pages(), []
    for path in sorted({*(ROOT / "api").rglob("*.qmd"), *wanted}):
        text = wanted.get(path)
        if text is None or not path.exists() or path.read_text(encoding="utf-8") != text:
            wrong.append(path)
            if "--check" in sys.argv:
                print(f"{path.relative_to(ROOT)}: 코드와 다릅니다. make export를 실행하세요.")
            elif text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
    return int(bool(wrong) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
