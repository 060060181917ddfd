"""전자책 한 권: 모든 장이 들어 있고, 그림에는 대체 글이 있고, 한글 글꼴을 담고, XHTML이 올바릅니다. 묶는 시험은 pandoc이 있어야 합니다."""

import re
import shutil
import sys
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import epub
from book import chapters

BOOKS = chapters()


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.path.stem)
def test_chapter_of_the_book_keeps_words_code_and_pictures(book, tmp_path):
    text = epub.chapter_text(book, tmp_path, {each.path.stem for each in BOOKS})
    assert text.startswith(f"# {book['title']} {{#{book.path.stem}}}")
    outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert "```" not in re.sub(r"`[^`\n]*`", "", outside)  # 열린 채 남은 코드 블록이 없습니다.
    assert "colab-badge" not in text and "VBox(" not in text and "<nlpbook-demo" not in text
    assert not re.search(r"^#\| ", text, re.MULTILINE)
    assert not re.search(r"\]\([\w/]+\.ipynb", outside)  # 노트북 파일을 가리키는 링크가 남지 않습니다.
    alts = re.findall(r'^!\[[^\n]+\]\(\d+\.png\)\{alt="([^"]+)"\}$', text, re.MULTILINE)
    assert len(alts) == len(list(tmp_path.iterdir()))
    for number in re.findall(r"\]\(#(\d\d_\w+)\)", text):
        assert number in {each.path.stem for each in BOOKS}


def test_html_of_a_notebook_becomes_xhtml():
    ET.fromstring(
        f"<div>{epub.xhtml('가<br>나&nbsp;<img src=a alt=b><br/>').replace('src=a alt=b', '')}</div>"
    )
    assert epub.fenced("a\n```\nb", "python") == "````python\na\n```\nb\n````"


@pytest.mark.skipif(
    shutil.which("pandoc") is None and shutil.which("quarto") is None,
    reason="pandoc이 없습니다. https://pandoc.org/installing.html 에서 받으면 이 시험도 돕니다",
)
def test_book_holds_every_chapter_with_its_font_and_is_well_formed(tmp_path):
    path = tmp_path / "book.epub"
    epub.build(path)
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        pages = {name: file.read(name).decode() for name in names if name.endswith((".xhtml", ".opf"))}
    for text in pages.values():
        ET.fromstring(text)
    whole = "\n".join(pages.values())
    assert all(book["title"] in whole for book in BOOKS) and "용어집" in whole
    assert any(name.endswith("NanumSquareR.ttf") for name in names)
    assert "<dc:language>ko</dc:language>" in whole
    anchors = {(name, found) for name, text in pages.items() for found in re.findall(r'\bid="([^"]+)"', text)}
    for name, text in pages.items():
        for link in re.findall(r'href="(ch\d+\.xhtml)#([^"]+)"', text):
            assert (f"EPUB/text/{link[0]}", link[1]) in anchors, (name, link)
    pictures = re.findall(r"<img[^>]*>", whole)
    assert len(pictures) > 20 and all(re.search(r'alt="[^"]+"', each) for each in pictures)
