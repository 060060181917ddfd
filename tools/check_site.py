"""사이트의 재료에 끊긴 링크, 없는 그림, 사이드바에서 빠진 장이 없는지 봅니다: `python tools/check_site.py [폴더]`.

문제마다 `파일: 무엇이 잘못되었는지`를 한 줄씩 내고, 하나라도 있으면 1로 끝납니다. 바깥 주소는 접속해 보지 않고, 우리 사이트와 저장소를 가리키는 주소는
그 자리에 정말 파일이 있는지 봅니다.
"""

import json
import re
import sys
import unicodedata
from configparser import ConfigParser
from pathlib import Path
from urllib.parse import unquote

import yaml

SITE_PAGES = ("index.qmd", "404.qmd", "pages/*.qmd", "nbs/**/*.ipynb", "api/**/*.qmd")
OTHER_PAGES = ("README.md", "README.en.md", "CONTRIBUTING.md", "nlpbook_nbs/*/README.md")
MADE = ("nlpbook.epub",)  # 사이트를 만든 다음에 생기는 파일 (tools/epub.py)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)|<(?:a|img)\b[^>]*?(?:href|src)=\"([^\"]+)\"")
_INCLUDE = re.compile(r"^\{\{< include (\S+) >\}\}()$", re.MULTILINE)  # Quarto가 다른 파일을 끼워 넣는 자리


def settings(root):
    parser = ConfigParser(delimiters=["="])
    parser.read(root / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def pages(root, patterns):
    return [path for pattern in patterns for path in sorted(root.glob(pattern))]


def prose(path):
    """`path`의 글. 노트북이면 마크다운 셀만 잇습니다. 코드 블록은 뺍니다."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        found = (c for c in json.loads(text)["cells"] if c["cell_type"] == "markdown")
        text = "\n\n".join("".join(cell["source"]) for cell in found)
    return _FENCE.sub("", text)


def anchors(path):
    """제목에서 나오는 앵커(pandoc의 규칙)와 직접 붙인 앵커."""
    text = prose(path)
    found = set(re.findall(r"\{#([\w-]+)", text)) | set(re.findall(r"\bid=\"([\w-]+)\"", text))
    for title in re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", re.sub(r"\s*\{.*\}$", "", title))
        slug = "".join(c for c in title.lower() if c in " -_." or unicodedata.category(c)[0] in "LN").replace(
            " ", "-"
        )
        found.add(re.sub(r"^[^a-z가-힣]+", "", slug))
    return found


def source_of(root, address, cfg):
    """우리 사이트나 저장소의 주소 `address`가 가리키는 파일의 경로. 남의 주소이면 `None`."""
    site, repo = f"{cfg['doc_host']}{cfg['doc_baseurl']}", cfg["git_url"]
    if re.match(re.escape(site) + r"(?=/|$)", address):
        path = address[len(site) :].strip("/") or "index.html"
        if not path.endswith(".html"):
            return root / path
        sources = [root / path.removesuffix(".html")]
        return next(
            (
                each.with_suffix(kind)
                for each in sources
                for kind in (".qmd", ".ipynb")
                if each.with_suffix(kind).exists()
            ),
            root / path,
        )
    for prefix in (
        f"{repo}/blob/{cfg['branch']}/",
        f"{repo}/tree/{cfg['branch']}/",
        f"https://colab.research.google.com/github/{cfg['user']}/{cfg['repo']}/blob/{cfg['branch']}/",
    ):
        if address.startswith(prefix):
            return root / address[len(prefix) :]
    return None


def broken_links(root):
    cfg, published = settings(root), set(pages(root, SITE_PAGES))
    for path in pages(root, SITE_PAGES + OTHER_PAGES):
        text = prose(path)
        for groups in _LINK.findall(text) + _INCLUDE.findall(text):
            link = unquote(groups[0] or groups[1])
            address, _, anchor = link.partition("#")
            if address in MADE:
                continue
            if re.match(r"https?://|mailto:", address):
                target = source_of(root, address, cfg)
                if target is None:
                    continue
            else:
                start = (
                    root / "x" if address.startswith("/") else path
                )  # /로 시작하면 사이트의 뿌리에서 찾습니다.
                target = (start.parent / address.lstrip("/")).resolve() if address else path
            if not target.exists():
                yield path, f"{link}: 가리키는 파일이 없습니다"
            elif anchor and target.suffix in {".qmd", ".ipynb", ".md"} and anchor not in anchors(target):
                yield path, f"{link}: 그런 제목이 없습니다"
            elif path in published and target.suffix in {".qmd", ".ipynb"} and target not in published:
                yield path, f"{link}: 사이트에 나오지 않는 페이지입니다"


def sidebar_faults(root):
    """사이드바와 README의 표에 모든 장이 있고, 없는 페이지를 가리키지 않는지."""
    path = root / "_quarto.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    listed = list(_pages_in(config["website"]["sidebar"]["contents"]))
    for name in listed:
        if not (root / name).exists():
            yield path, f"{name}: 사이드바에 적힌 페이지가 없습니다"
        elif listed.count(name) > 1:
            yield path, f"{name}: 사이드바에 두 번 적혀 있습니다"
    rendered = {page.relative_to(root).as_posix() for page in pages(root, config["project"]["render"])}
    for name in sorted(page.relative_to(root).as_posix() for page in pages(root, SITE_PAGES)):
        if name not in listed and name != "404.qmd":
            yield path, f"{name}: 사이드바에 없습니다"
        if name not in rendered:
            yield path, f"{name}: render에 없습니다"
    chapters = [name for name in listed if re.match(r"nbs/\d\d_", name)]
    if chapters != sorted(chapters):
        yield path, "장이 차례대로 놓여 있지 않습니다"
    for chapter in pages(root, ("nbs/[0-9][0-9]_*.ipynb",)):
        name = chapter.relative_to(root).as_posix()
        for page in ("README.md", "README.en.md", "index.qmd"):
            if f"({name})" not in (root / page).read_text(encoding="utf-8"):
                yield root / page, f"{name}: 장의 표에 없습니다"


def _pages_in(contents):
    """사이드바에 적힌 페이지들. 묶음 속의 묶음도 펼칩니다."""
    for part in contents:
        if isinstance(part, dict):
            yield from _pages_in(part.get("contents", []))
        else:
            yield part


def badge_faults(root):
    """장마다 자기 자신을 여는 코랩 배지와 내려받기 링크가 맨 위에 있는지."""
    cfg = settings(root)
    for path in pages(root, ("nbs/[0-9][0-9]_*.ipynb",)):
        name = path.relative_to(root).as_posix()
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        top = "".join(cells[1]["source"])
        colab = f"https://colab.research.google.com/github/{cfg['user']}/{cfg['repo']}/blob/{cfg['branch']}/{name}"
        if f"colab-badge.svg)]({colab})" not in top:
            yield path, "맨 위에 이 장을 여는 코랩 배지가 없습니다"
        if f'<a href="{cfg["doc_host"]}{cfg["doc_baseurl"]}/{name}" download>' not in top:
            yield path, "맨 위에 이 장을 내려받는 링크가 없습니다"


def problems(root):
    """모든 문제를 `(파일, 설명)`으로."""
    return [*broken_links(root), *sidebar_faults(root), *badge_faults(root)]


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent).resolve()
    found = problems(root)
    for path, text in found:
        print(f"{path.relative_to(root)}: {text}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
