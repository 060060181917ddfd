"""서비스의 화면을 진짜 브라우저로 몰아 봅니다: 넣기, 답, 오류, 빈 글, HTML, 1MB, 멈춘 서버."""

import re
import shutil

import pytest

from nlpbook_nbs.core.services import Field, Service
from nlpbook_nbs.core.web import WebService, book_service

EVIL = "<img src=x onerror=\"document.title='뚫림'\"><script>document.title='뚫림'</script>"
ANSWERS = {
    "doc-cls": lambda sentence: {
        "sentence": sentence, "prediction": "긍정 (positive)", "positive_data": "긍정 0.9837",
        "negative_data": "부정 0.0163", "positive_width": "98.37%", "negative_width": "1.63%",
    },
    "pair-cls": lambda premise, hypothesis: {
        "premise": premise, "hypothesis": hypothesis, "prediction": "거짓 (contradiction)",
        "contradiction_data": "거짓 0.90", "contradiction_width": "90.0%",
    },
    "ner": lambda sentence: {
        "sentence": sentence, "result": [{"token": "김환희", "predicted_tag": "B-PER", "top_prob": "0.9912"}],
    },
    "qa": lambda question, context: {"question": question, "context": context, "answer": "2011년"},
    "generation": lambda prompt, *rest: {"result": f"{prompt} 이어서 {rest}"},
    "search": lambda question: {"question": question, "result": [{"passage": "천문대", "score": 12.5}]},
}  # fmt: skip
SHOWN = {
    "doc-cls": "긍정 (positive)",
    "pair-cls": "거짓 (contradiction)",
    "ner": "B-PER",
    "qa": "2011년",
    "generation": "안녕하세요 이어서 (10, 30, 1.0, 1, 1.0, 0, 1.0)",
    "search": "12.5",
}


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="pip install playwright로 설치하면 이 시험도 돕니다"
    )
    installed = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """서비스를 열고 화면을 여는 함수. `(화면, 문제들, 다른 서버로 간 요청들)`을 돌려줍니다."""
    apps, pages = [], []

    def open_page(app, width=1024, path=""):
        apps.append(app)
        address = app.start(port=0)
        page = browser.new_page(viewport={"width": width, "height": 800}, locale="ko-KR")
        pages.append(page)
        problems, strangers = [], []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda told: problems.append(told.text) if "Content" in told.text else None)
        page.on(
            "request",
            lambda sent: strangers.append(sent.url) if not sent.url.startswith((address, "data:")) else None,
        )
        page.goto(address + path)
        return page, problems, strangers

    yield open_page
    for page in pages:
        page.close()
    for app in apps:
        app.stop()


@pytest.mark.parametrize("task", ANSWERS)
def test_every_page_answers_and_talks_to_its_own_server_only(task, visit):
    page, problems, strangers = visit(book_service(task)(ANSWERS[task]), width=375)
    page.click("#run")
    page.wait_for_selector("#answer:not([hidden])")
    assert SHOWN[task] in page.inner_text("#answer")
    assert problems == strangers == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_visitor_with_a_keyboard_asks_again_and_html_stays_letters(visit):
    page, problems, _ = visit(book_service("doc-cls")(ANSWERS["doc-cls"]))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "sentence"
    page.keyboard.press("Control+A")
    page.keyboard.type(EVIL)
    page.keyboard.press("Enter")
    page.wait_for_selector("#answer:not([hidden])")
    assert EVIL in page.inner_text("#answer") and page.title() == "영화 리뷰 감성 분석"
    assert page.locator("#answer img, #answer script").count() == 0
    width = page.evaluate("document.querySelector('.bar i').style.width")
    assert width == "98.37%" and problems == []


def test_empty_large_and_failing_requests_are_told_and_the_next_one_is_answered(visit):
    def fails(sentence):
        if sentence == "오류":
            raise ValueError("속")
        return ANSWERS["doc-cls"](sentence)

    app = book_service("doc-cls")(fails)
    page, problems, _ = visit(app)
    for text, told in (("", "비었습니다"), ("가" * 400_000, "너무 큽니다"), ("오류", "서버에서 오류")):
        page.fill("#sentence", text)
        page.click("#run")
        page.wait_for_function(
            "told => document.getElementById('problem').textContent.includes(told)", arg=told
        )
        assert page.evaluate("document.activeElement.id") == "problem"
        assert page.is_visible("#problem") and page.is_enabled("#run") and not page.is_visible("#answer")
    page.fill("#sentence", "재밌어요")
    page.click("#run")
    page.wait_for_selector("#answer:not([hidden])")
    assert not page.is_visible("#problem")
    app.stop()
    page.click("#run")
    page.wait_for_function(
        "document.getElementById('problem').textContent.includes('서버에 닿지 못했습니다')"
    )
    assert problems == []


def test_page_of_a_locked_service_asks_for_the_key_and_marks_what_was_found(visit):
    service = Service("개체명", (Field("text", "문장"),), ("🎬 서울에서 만났다",))
    found = {
        "text": "🎬 서울에서 만났다",
        "entities": [{"text": "서울", "label": "LC", "start": 2, "end": 4}],
    }
    page, problems, _ = visit(WebService(service, lambda rows: [found] * len(rows), api_key="key"))
    page.click("#run")
    page.wait_for_function("document.getElementById('problem').textContent.includes('API 키')")
    page.fill("#key", "key")
    page.click("#run")
    page.wait_for_selector("mark")
    assert page.inner_text("mark") == "서울" and problems == []


def test_found_passages_stand_in_a_table_that_scrolls_on_a_phone(visit):
    hit = {
        "id": "p-1",
        "title": "솔내군",
        "passage": "솔내군은 2011년에 천문대를 지었다. " * 5,
        "score": 12.5,
        "start": 0,
        "end": 9,
    }
    found = {"question": "언제?", "answer": "2011년", "found": True, "passage": hit["passage"], "start": 5, "end": 10,
             "results": [hit | {"scores": {"words": 12.5}}]}  # fmt: skip
    service = Service("찾아서 답하기", (Field("question", "질문"),), ("언제?",))
    page, problems, _ = visit(WebService(service, lambda rows: [found] * len(rows)), width=375)
    page.click("#run")
    page.wait_for_selector("table")
    assert page.inner_text("mark") == "2011년"
    assert page.locator("thead th").all_inner_texts() == ["#", "제목", "문서", "점수"]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth") and problems == []


def test_manual_of_the_service_is_read_without_a_script(visit):
    page, problems, strangers = visit(book_service("qa")(ANSWERS["qa"]), path="docs")
    assert re.search("받는 값.*question.*context", page.inner_text("main"), re.DOTALL)
    assert problems == strangers == []
