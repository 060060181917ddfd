"""Quarto가 노트북을 페이지로 만들기 전에 부르는 필터(`_quarto.yml`의 `ipynb-filters`): 표준 입력의 노트북에서 nbdev의 지시를 지워 표준 출력으로 냅니다.

nbdev의 `#| export`와 Quarto의 `#| label: fig-a`는 꼴이 같은데, Quarto는 `#|` 줄들을 통째로 YAML 사전으로 읽습니다. 사전이 아닌 줄이 섞이면
페이지에 `::: {.cell 0='e' …}` 같은 글이 그대로 드러납니다. 파일은 고치지 않으므로 내려받는 노트북에는 지시가 남습니다.
형식: https://quarto.org/docs/extensions/nbfilter.html
"""

import json
import re
import sys

_OPTION = re.compile(r"#\|\s*[\w-]+:(\s|$)")  # Quarto의 옵션은 `이름: 값`입니다.


def without_directives(
    source: str,  # 코드 셀의 글
) -> str:
    """셀의 맨 위에 이어진 `#|` 줄 가운데 Quarto의 옵션이 아닌 것을 뺀 글."""
    lines = source.split("\n")
    top = next((place for place, line in enumerate(lines) if not line.startswith("#|")), len(lines))
    return "\n".join([line for line in lines[:top] if _OPTION.match(line)] + lines[top:])


def filtered(
    notebook: dict,  # nbformat 4의 노트북
) -> dict:
    """코드 셀에서 nbdev의 지시를 뺀 노트북."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = without_directives("".join(cell["source"])).splitlines(keepends=True)
    return notebook


def main() -> None:
    for stream in (sys.stdin, sys.stdout):
        stream.reconfigure(encoding="utf-8")  # 윈도우의 기본은 UTF-8이 아닙니다.
    json.dump(filtered(json.load(sys.stdin)), sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
