"""사이트의 작은 스크립트들: 한국어 찾기, 확인 문제, 좁은 화면의 차례. Quarto가 만든 페이지를 흉내 낸 것에서 돌려 봅니다."""

import functools
import http.server
import json
import shutil
import sys
import threading
from pathlib import Path

import pytest
from conftest import serious_barriers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from quiz_pages import quiz_html

DOCS = [  # Quarto가 만드는 search.json의 꼴
    {"href": "api/core/encoding.html#load", "title": "core.encoding", "section": "load_tokenizer", "text": "토크나이저를 엽니다."},
    {"href": "nbs/core/encoding.html", "title": "토큰으로", "section": "", "text": "토크나이저를 열고 글을 번호로 바꿉니다."},
    {"href": "nbs/08_tokenization.html#wordpiece", "title": "8장 토크나이저와 어휘", "section": "WordPiece", "text": "부분 낱말로 나눕니다."},
    {"href": "pages/glossary.html", "title": "용어집", "section": "", "text": "어텐션 attention 토큰마다 다른 토큰들을 얼마나 참고할지"},
    {"href": "nbs/02_classification.html", "title": "2장 문서 분류", "section": "", "text": "미세 조정과 과적합을 배웁니다."},
]  # fmt: skip
PAGE = """<!doctype html><html lang="ko"><head><meta charset="utf-8"><meta name="quarto:offset" content="../"><title>장</title>
<script>window.Fuse = class {{ constructor(docs) {{ this._docs = docs; }} search(word, options) {{
  const has = (doc) => `${{doc.title}} ${{doc.section}} ${{doc.text}}`.toLowerCase().includes(word.toLowerCase());
  return this._docs.flatMap((item, refIndex) => has(item) ? [{{ item, refIndex, score: refIndex / 100 }}] : []); }} }};</script></head>
<body><nav class="sidebar-navigation" aria-label="장"><a href="./02_classification.html">2장</a> <a href="./03_paircls.html">3장</a></nav>
<nav id="TOC" aria-label="차례"><ul><li><a href="#one" id="toc-one">하나</a></li></ul></nav>
<main><header id="title-block-header"><h1>2장</h1></header><h2 id="one">하나</h2><pre style="width:100px;overflow:auto"><code>{}</code></pre>{}</main>
<aside>{}</aside></body></html>"""
LOAD = (ROOT / "site" / "load.html").read_text(encoding="utf-8")
QUESTIONS = json.loads((ROOT / "pages" / "quiz.json").read_text(encoding="utf-8"))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """흉내 낸 페이지 하나가 `nbs/` 아래에 있는 사이트의 주소."""
    root = tmp_path_factory.mktemp("pages")
    shutil.copytree(ROOT / "site", root / "site", ignore=shutil.ignore_patterns("models"))
    (root / "nbs").mkdir()
    quiz = quiz_html("02_classification").split("```{=html}\n")[1].split("\n```")[0]
    text = PAGE.format("긴 줄 " * 99, quiz, LOAD)
    (root / "nbs" / "02_classification.html").write_text(text, encoding="utf-8")
    handler = functools.partial(QuietHandler, directory=str(root))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/nbs/02_classification.html"
    server.shutdown()


@pytest.fixture
def page(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(address, wait_until="networkidle")
    yield page
    page.close()
    assert problems == []


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("토크나이저를", "nbs/08_tokenization.html#wordpiece"),
        ("토크나이져", "nbs/08_tokenization.html#wordpiece"),
        ("토큰화의", "nbs/08_tokenization.html#wordpiece"),
        ("서브워드", "nbs/08_tokenization.html#wordpiece"),
        ("파인튜닝", "nbs/02_classification.html"),
        ("과적합 파인튜닝을", "nbs/02_classification.html"),
        ("ATTENTION", "pages/glossary.html"),
        ("어텐션이란", "pages/glossary.html"),
    ],
)
def test_search_finds_what_is_meant_with_particles_synonyms_and_spellings(page, query, first):
    found = page.evaluate(
        "([docs, query]) => new Fuse(docs).search(query, { limit: 20 }).map((each) => each.item.href)",
        [DOCS, query],
    )
    assert found[0] == first
    assert len(found) == len(set(found))


def test_search_shows_chapters_before_rooms_and_api_and_keeps_the_limit(page):
    code = "([docs, limit]) => new Fuse(docs).search('토크나이저', { limit }).map((each) => each.item.href)"
    found = page.evaluate(code, [DOCS, 20])
    assert found == [DOCS[2]["href"], DOCS[1]["href"], DOCS[0]["href"]]
    assert page.evaluate(code, [DOCS, 1]) == found[:1]
    assert page.evaluate("docs => new Fuse(docs).search('없는말')", DOCS) == []


def test_words_that_only_look_like_particles_are_left_alone(page):
    variants = "async (word) => (await import('/site/search.js')).variants(word)"
    assert page.evaluate(variants, "평가") == ["평가"]
    assert page.evaluate(variants, "  BERT  ") == ["bert"]
    assert "토크나이저" in page.evaluate(variants, "토크나이저에서부터")


def test_quiz_tells_right_from_wrong_and_remembers_in_the_sidebar(page):
    box = page.locator("fieldset.quiz").first
    answer = int(box.get_attribute("data-answer"))
    box.locator("input").nth((answer + 1) % 3).check()
    assert "아닙니다" in box.locator(".verdict").inner_text()
    assert page.locator(".quiz-count").count() == 0 and box.locator("details").get_attribute("open") is None
    box.locator("input").nth(answer).check()
    assert "맞았습니다" in box.locator(".verdict").inner_text() and box.locator("details[open]").count() == 1
    assert page.locator(".sidebar-navigation a").all_inner_texts() == ["2장 1/3", "3장"]
    page.reload(wait_until="networkidle")
    assert "맞힌 문제" in page.locator(".verdict").first.inner_text()
    for box in page.locator("fieldset.quiz").all():
        box.locator("input").nth(int(box.get_attribute("data-answer"))).check()
    assert page.locator(".sidebar-navigation a").first.inner_text() == "2장 ✓"
    page.evaluate("localStorage.clear()")


def test_narrow_screen_gets_a_folded_table_of_contents_and_code_takes_the_focus(page):
    small = page.locator("details.toc-small")
    assert small.count() == 1 and small.get_attribute("open") is None
    small.locator("summary").click()
    small.locator("a").click()
    assert page.url.endswith("#one") and small.get_attribute("open") is None
    assert page.locator("[id=toc-one]").count() == 1  # 베낀 차례가 같은 id를 또 만들지 않습니다.
    assert page.locator("main pre").get_attribute("tabindex") == "0"


def test_quiz_of_a_chapter_has_three_questions_with_one_answer_and_a_reason():
    chapters = [path.stem for path in sorted((ROOT / "nbs").glob("[0-9][0-9]_*.ipynb"))]
    assert len(QUESTIONS) >= 12 and list(QUESTIONS) == [name for name in chapters if name in QUESTIONS]
    answers = []
    for chapter, questions in QUESTIONS.items():
        assert len(questions) == 3, chapter
        for each in questions:
            assert set(each) == {"question", "choices", "answer", "why"}, chapter
            assert len(set(each["choices"])) == 3 and 0 <= each["answer"] < 3 and len(each["why"]) > 20
            answers.append(each["answer"])
    assert max(map(answers.count, range(3))) < len(answers) / 2  # 답의 자리가 한쪽에 몰리지 않습니다.


def test_quiz_can_be_read_and_answered_without_javascript(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert page.locator("fieldset.quiz").count() == 3
    page.locator("fieldset.quiz summary").first.click()
    assert page.locator("fieldset.quiz details[open] strong").first.inner_text()
    context.close()


def test_page_with_a_quiz_has_no_serious_barrier(page):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="pip install axe-playwright-python으로 설치하면 이 시험도 돕니다",
    )
    assert serious_barriers(axe, page) == []
