"""장의 표와 카드와 사이드바와 배지를 노트북의 머리말에서 만듭니다. `--check`는 고치지 않고 다르면 1로 끝납니다.

README.md, README.en.md, index.qmd와 _quarto.yml에서 이 도구가 쓰는 곳은 아래의 두 표시 사이뿐입니다.
"""

import json
import sys

from book import ROOT, chapters, checks, rooms, settings, ways_in

BEGIN, END = "tools/contents.py가 쓰는 곳", "여기까지"
COSTS = ROOT / "pages" / "costs.json"
FIRST_PAGES = ("index.qmd", "pages/colab.qmd")  # 첫 장의 묶음에서 장보다 앞에 놓는 페이지
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"


def colab(book):
    cfg = settings()
    return f"https://colab.research.google.com/github/{cfg['user']}/{cfg['repo']}/blob/{cfg['branch']}/{book.name}"


def readme_table():
    rows = [
        f"| [{book['title']}]({book.name}) | [![코랩에서 열기]({BADGE})]({colab(book)}) | {book['contents']} |"
        for book in chapters()
    ]
    return "\n".join(["| 장 | 코랩 | 내용 |", "|---|---|---|", *rows])


def english_table():
    rows = [
        f"| [{int(book.path.name[:2])}. {book['en.title']}]({book.name}) "
        f"| [![Open in Colab]({BADGE})]({colab(book)}) | {book['en.contents']} |"
        for book in chapters()
    ]
    return "\n".join(["| Chapter | Colab | Contents |", "|---|---|---|", *rows])


def cost(book):
    """실행해 보니 걸린 시간과 쓴 메모리(`tools/run_notebooks.py`가 잰 것). 아직 재지 않았으면 빈 글."""
    found = json.loads(COSTS.read_text(encoding="utf-8")).get(book.path.stem) if COSTS.exists() else None
    if not found:
        return ""
    minutes, memory = max(1, round(found["seconds"] / 60)), found["mb"] / 1024
    return f"[CPU 코어 하나로 {minutes}분 · 메모리 {memory:.1f}GB]{{.cost}}"


def card(book):
    """첫 화면의 카드 하나: 그림(있으면), 장으로 가는 링크, 만드는 것, 걸리는 시간과 메모리."""
    picture = ROOT / "images" / "cards" / f"{book.path.stem}.svg"
    name = picture.relative_to(ROOT).as_posix()
    parts = [
        f'<img src="{name}" alt="" width="320" height="160" loading="lazy">' if picture.exists() else "",
        f"**[{book['title']}]({book.name})**",
        book["description"].rstrip("."),
        cost(book),
    ]
    return "\n\n".join(["::: {.chapter-card}", *filter(None, parts), ":::"])


def index_cards():
    return "\n\n".join(["::: {.chapter-cards}", *map(card, chapters()), ":::"])


def sidebar():
    """사이드바의 장, 속살, API. 장의 묶음은 머리말의 `section`이고, 처음 나온 차례대로 놓입니다."""
    sections: dict[str, list] = {}
    for book in chapters():
        sections.setdefault(book["section"], [] if sections else list(FIRST_PAGES)).append(book.name)
    doors, core = ways_in(), rooms()
    first = [book.name for book in doors if not book.module]
    sections["패키지 안쪽"] = first + [book.name for book in [*core, *doors] if book.module]
    sections["연습문제의 채점"] = [book.name for book in checks()]
    modules = [book.module for book in [*chapters(), *doors] if book.module]
    sections["API 레퍼런스"] = [
        "api/index.qmd",
        *(f"api/{name}.qmd" for name in modules),
        {"core": [f"api/{book.module.replace('.', '/')}.qmd" for book in core]},
    ]
    return "\n".join(_listed(sections, "      "))


def _listed(sections, margin):
    for title, pages in sections.items():
        yield f"{margin}- section: {title}"
        yield f"{margin}  contents:"
        for page in pages:
            if isinstance(page, dict):
                yield from _listed(page, f"{margin}    ")
            else:
                yield f"{margin}    - {page}"


def between(text, made, name):
    """`text`의 두 표시 사이를 `made`로 바꾼 글."""
    lines = text.split("\n")
    begin = [number for number, line in enumerate(lines) if BEGIN in line]
    end = [number for number, line in enumerate(lines) if END in line and begin and number > begin[0]]
    if len(begin) != 1 or not end:
        raise SystemExit(f"{name}: '{BEGIN}'과 '{END}' 표시가 한 번씩 있어야 합니다.")
    return "\n".join([*lines[: begin[0] + 1], made, *lines[end[0] :]])


def with_badge(book):
    """맨 위에 이 장을 여는 코랩 배지와 내려받는 링크를 둔 노트북의 글."""
    cfg, cells = settings(), json.loads(book.path.read_text(encoding="utf-8"))
    line = f"[![코랩에서 열기]({BADGE})]({colab(book)}) "
    line += f'<a href="{cfg["doc_host"]}{cfg["doc_baseurl"]}/{book.name}" download>노트북 받기</a>'
    top = cells["cells"][1]
    lines = "".join(top["source"]).split("\n") if top["cell_type"] == "markdown" else []
    if lines and lines[0].startswith("[![코랩에서 열기]"):
        lines[0] = line
    elif lines:
        lines[:0] = [line, ""]
    else:
        top, lines = {"cell_type": "markdown", "id": "badge-" + book.path.name[:2], "metadata": {}}, [line]
        cells["cells"].insert(1, top)
    top["source"] = [each + "\n" for each in lines[:-1]] + lines[-1:]
    return json.dumps(cells, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def wanted():
    """`{파일: 있어야 할 글}`."""
    made = {
        "README.md": readme_table(),
        "README.en.md": english_table(),
        "index.qmd": index_cards(),
        "_quarto.yml": sidebar(),
    }
    found = {
        ROOT / name: between((ROOT / name).read_text(encoding="utf-8"), text, name)
        for name, text in made.items()
    }
    return found | {book.path: with_badge(book) for book in chapters()}


def main():
    wrong = [path for path, text in wanted().items() if path.read_text(encoding="utf-8") != text]
    for path in wrong:
        if "--check" in sys.argv:
            print(f"{path.relative_to(ROOT)}: 노트북의 머리말과 다릅니다. make export를 실행하세요.")
        else:
            path.write_text(wanted()[path], encoding="utf-8")
    return int(bool(wrong) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
