"""모든 장을 전자책 한 권으로 묶습니다: `python tools/epub.py [파일]` (비우면 `_docs/nlpbook.epub`). `make docs`가 부릅니다.

pandoc이 필요합니다. Quarto에 들어 있는 것을 써도 됩니다. 한글 글꼴을 함께 담으므로 글꼴이 없는 단말기에서도 글자가 깨지지 않습니다.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from book import ROOT, chapters, settings
from quarto_filter import filtered

FONT = ROOT / "nlpbook_nbs" / "fonts" / "NanumSquareR.ttf"
STYLE = """@font-face { font-family: NanumSquare; src: url(../fonts/NanumSquareR.ttf); }
body { font-family: NanumSquare, sans-serif; word-break: keep-all; overflow-wrap: break-word; }
pre { white-space: pre-wrap; font-size: 0.8em; }
pre code { font-family: monospace, NanumSquare; }
table { border-collapse: collapse; font-size: 0.85em; }
th, td { border: 1px solid #999; padding: 0.2em 0.4em; }
"""


def pandoc():
    """pandoc을 부르는 명령. PATH에 없으면 Quarto의 것."""
    for command in (["pandoc"], ["quarto", "pandoc"]):
        found = shutil.which(command[0])  # 윈도우에서는 확장자까지 적어야 열립니다.
        if found:
            return [found, *command[1:]]
    raise SystemExit(
        "pandoc이 없습니다. https://pandoc.org/installing.html 에서 받아 설치한 뒤 다시 실행하세요."
    )


def fenced(text, kind=""):
    """글을 코드 블록으로. 글 안의 것보다 긴 울타리를 씁니다."""
    longest = max(map(len, re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{kind}\n{text.rstrip()}\n{fence}"


def xhtml(html):
    """전자책은 XHTML이라, 닫지 않는 태그를 닫고 이름이 있는 빈칸을 번호로 적습니다."""
    html = re.sub(r"<(br|hr|img|input|col)\b([^>]*?)\s*/?>", r"<\1\2/>", html)
    return html.replace("&nbsp;", "&#160;")


def prose(text, names):
    """마크다운 셀. 배지를 빼고, 다른 장으로 가는 링크는 책 안에서, 나머지 노트북으로 가는 링크는 사이트로 보냅니다."""
    site = "{doc_host}{doc_baseurl}".format(**settings())
    text = re.sub(r"^\[!\[코랩에서 열기\].*$", "", text, flags=re.MULTILINE)
    text = re.sub(
        r"\]\((\d\d_\w+)\.ipynb(?:#[^)]*)?\)", lambda m: f"](#{m[1]})" if m[1] in names else m[0], text
    )
    return re.sub(r"\]\(((?:core/)?\w+)\.ipynb((?:#[^)]*)?)\)", rf"]({site}/nbs/\1.html\2)", text)


def shown(output, folder, options):
    """출력 하나. 그림은 `folder`에 쓰고 설명과 대체 글을 붙입니다."""
    data = output.get("data", {})
    if output["output_type"] == "stream":
        return fenced("".join(output["text"]))
    if "image/png" in data:
        path = folder / f"{len(list(folder.iterdir())):03}.png"
        path.write_bytes(base64.b64decode("".join(data["image/png"])))
        alt = options.get("fig-alt", "").replace('"', "'")
        return f'![{options.get("fig-cap", "")}]({path.name}){{alt="{alt}"}}'
    html = "".join(data.get("text/html", ""))
    if html.startswith(("<nlpbook-demo", '<div class="nlpbook-still"')):
        return "*노트북에서 실행하면 여러분의 글을 넣어 보는 화면이 나타납니다.*"
    if html:
        return f"```{{=html}}\n<div>{xhtml(html)}</div>\n```"
    return fenced("".join(data.get("text/plain", "")))


def chapter_text(book, folder, names):
    """장 하나의 마크다운."""
    notebook = filtered(json.loads(book.path.read_text(encoding="utf-8")))
    parts = [f"# {book['title']} {{#{book.path.stem}}}", book["description"]]
    for cell in notebook["cells"][1:]:
        source = "".join(cell["source"])
        if cell.get("id") == "quiz":
            continue
        if cell["cell_type"] == "markdown":
            parts.append(prose(source, names))
        elif cell["cell_type"] == "code" and source.strip():
            quoted = re.findall(r'^#\| (fig-(?:cap|alt)): (".*")$', source, re.MULTILINE)
            options = {name: json.loads(value) for name, value in quoted}
            parts.append(fenced(re.sub(r"^(?:#\|.*\n)+", "", source), "python"))
            parts += [shown(output, folder, options) for output in cell["outputs"]]
    return "\n\n".join(parts)


def glossary_text():
    text = (ROOT / "pages" / "glossary.qmd").read_text(encoding="utf-8").split("---\n", 2)[2]
    return "# 용어집\n" + re.sub(r"\]\(\.\./nbs/(\d\d_\w+)\.ipynb\)", r"](#\1)", text)


def build(path):
    """책을 `path`에 씁니다."""
    books = chapters()
    names = {book.path.stem for book in books}
    cfg = settings()
    head = {
        "title": cfg["description"].removesuffix("와 헬퍼 패키지"),
        "lang": "ko",
        "creator": cfg["author"],
        "rights": "CC BY 4.0",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "style.css").write_text(STYLE, encoding="utf-8")
        texts = [*(chapter_text(book, folder, names) for book in books), glossary_text()]
        meta = "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in head.items())
        (folder / "book.md").write_text(f"---\n{meta}---\n\n" + "\n\n".join(texts), encoding="utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        options = [
            "--to=epub3",
            "--toc",
            "--toc-depth=2",
            "--split-level=1",
            "--mathml",
            "--css=style.css",
            f"--epub-embed-font={FONT}",
        ]
        subprocess.run([*pandoc(), "book.md", *options, f"--output={path.resolve()}"], cwd=folder, check=True)


def main():
    path = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_docs" / "nlpbook.epub")
    build(path)
    print(f"{path} ({path.stat().st_size / 1e6:.1f}MB)")


if __name__ == "__main__":
    main()
