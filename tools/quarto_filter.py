"""Quarto가 노트북을 페이지로 만들기 전에 부르는 필터(`_quarto.yml`의 `ipynb-filters`): 표준 입력의 노트북을 페이지에 맞게 고쳐 표준 출력으로 냅니다.

파일은 고치지 않으므로 내려받는 노트북은 그대로입니다. Quarto는 가상 환경 밖의 파이썬으로 부르기도 하므로 표준 라이브러리만 씁니다.
nbdev의 `#| export`와 Quarto의 `#| label: fig-a`는 꼴이 같은데, Quarto는 `#|` 줄들을 통째로 YAML 사전으로 읽습니다. 사전이 아닌 줄이 섞이면
페이지에 `::: {.cell 0='e' …}` 같은 글이 그대로 드러나므로 nbdev의 지시를 지웁니다. 위젯은 바로 돌려 보는 화면이나 그림으로 바꾸고(`widget_pages`),
장의 끝에는 확인 문제를 붙입니다(`quiz_pages`).
형식: https://quarto.org/docs/extensions/nbfilter.html
"""

import json
import re
import sys

from quiz_pages import quiz_html
from widget_pages import is_widget, widget_html

_OPTION = re.compile(r"#\|\s*[\w-]+:(\s|$)")  # Quarto의 옵션은 `이름: 값`입니다.
_BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
_COLAB = re.compile(
    r"\]\(https://colab\.research\.google\.com/github/(\S+?/blob/\S+?/nbs/(\d\d_\w+)\.ipynb)\)"
)
KAGGLE = "https://www.kaggle.com/kernels/welcome?src=https://github.com/"
_SUMMARY = re.compile(r"^## 정리\s*$", re.MULTILINE)  # 장에서 가르치는 것은 여기까지입니다.
_EXPORTED = re.compile(r"^#\| export", re.MULTILINE)  # 그다음에 나오는 패키지의 코드는 접어 둡니다.


def without_directives(
    source: str,  # 코드 셀의 글
    fold: bool = False,  # 패키지의 코드를 접을지
) -> str:
    """셀의 맨 위에 이어진 `#|` 줄 가운데 Quarto의 옵션이 아닌 것을 빼고, 접을 코드이면 접으라는 옵션을 더한 글."""
    lines = source.split("\n")
    top = next((place for place, line in enumerate(lines) if not line.startswith("#|")), len(lines))
    options = [line for line in lines[:top] if _OPTION.match(line)]
    if fold and _EXPORTED.search(source):
        options += ["#| code-fold: true", '#| code-summary: "패키지에 들어가는 코드"']
    return "\n".join(options + lines[top:])


def chapter_of(
    notebook: dict,  # nbformat 4의 노트북
) -> str:
    """코랩 배지에서 알아낸 장의 이름(`02_classification`). 장이 아니면 빈 글. 필터는 파일의 이름을 받지 못합니다."""
    for cell in notebook["cells"][:3]:
        found = _COLAB.search("".join(cell["source"]))
        if found:
            return found[2]
    return ""


def with_buttons(
    source: str,  # 배지가 있는 마크다운
) -> str:
    """코랩의 배지를 우리 사이트의 그림으로 바꾸고, 곁에 캐글로 여는 배지를 둔 글."""
    where = _COLAB.search(source)
    if where is None:
        return source
    kaggle = f" [![캐글에서 열기](/images/kaggle-badge.svg)]({KAGGLE}{where[1]})"
    return source[: where.end()].replace(_BADGE, "/images/colab-badge.svg") + kaggle + source[where.end() :]


def lines_of(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def filtered(
    notebook: dict,  # nbformat 4의 노트북
) -> dict:
    """사이트의 페이지가 될 노트북."""
    chapter, taught = chapter_of(notebook), False
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            taught = taught or bool(chapter and _SUMMARY.search(source))
            cell["source"] = lines_of(with_buttons(source))
        elif cell["cell_type"] == "code":
            cell["source"] = lines_of(without_directives(source, fold=taught))
            for output in filter(is_widget, cell["outputs"]):
                output["data"] = {"text/html": widget_html(chapter, source)}
    quiz = quiz_html(chapter)
    if quiz:
        cell = {"cell_type": "markdown", "id": "quiz", "metadata": {}, "source": lines_of(quiz)}
        notebook["cells"].append(cell)
    return notebook


def main() -> None:
    for stream in (sys.stdin, sys.stdout):
        stream.reconfigure(encoding="utf-8")  # 윈도우의 기본은 UTF-8이 아닙니다.
    json.dump(filtered(json.load(sys.stdin)), sys.stdout, ensure_ascii=False)


if __name__ == "__main__":
    main()
