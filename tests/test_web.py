"""웹 서비스: 책의 약속, 잘못된 요청, 모아서 답하기, 열고 닫기, 일꾼."""

import asyncio
import http.client
import json
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import SMALL_BERT, needs_sigkill

from nlpbook_nbs.core import servers
from nlpbook_nbs.core.batching import Batcher
from nlpbook_nbs.core.pages import page_html
from nlpbook_nbs.core.services import SERVICES, Field, Service
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.web import Limits, WebService, book_service

JSON = {"Content-Type": "application/json"}
ROOT = Path(__file__).resolve().parent.parent


def call(address, path="api", body=None, raw=None, method=None, **headers):
    """`(상태 코드, 본문, 머리말)`. `body`는 JSON으로, `raw`는 그대로 보냅니다."""
    host, _, rest = address.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    content = raw if body is None else json.dumps(body).encode()
    method = method or ("GET" if content is None else "POST")
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, f"/{rest}{path}", content, (JSON if content is not None else {}) | sent)
        reply = connection.getresponse()
        return reply.status, reply.read(), reply.headers
    finally:
        connection.close()


def asked(address, body, **headers):
    """`POST /api`의 `(상태 코드, JSON)`."""
    status, content, _ = call(address, body=body, **headers)
    return status, json.loads(content)


@pytest.fixture
def opened():
    """서비스를 열어 주소를 돌려주는 함수. 시험이 끝나면 모두 닫습니다."""
    apps = []

    def start(app):
        apps.append(app)
        return app.start(port=0)

    yield start
    for app in apps:
        app.stop()


# 책의 약속

BODIES = {
    "doc-cls": ("재밌어요", ("재밌어요",)),
    "pair-cls": ({"premise": "비가 온다.", "hypothesis": "맑다."}, ("비가 온다.", "맑다.")),
    "ner": ("서울에서 만났다", ("서울에서 만났다",)),
    "qa": ({"context": "2011년에 지었다.", "question": "언제?"}, ("언제?", "2011년에 지었다.")),
    "generation": (
        {
            "temperature": "0.9", "prompt": "안녕", "min_length": 5, "max_length": 20, "top_p": 0.92,
            "top_k": "50", "repetition_penalty": 1.5, "no_repeat_ngram_size": 3,
        },
        ("안녕", 5, 20, 0.92, 50, 1.5, 3, 0.9),
    ),
    "search": ({"question": "천문대는?"}, ("천문대는?",)),
}  # fmt: skip


@pytest.mark.parametrize("task", BODIES)
def test_inference_function_gets_the_books_fields_in_the_books_order(task, opened):
    body, expected = BODIES[task]
    seen = []
    answer = {"result": "답", "top_prob": "0.9981"}
    address = opened(book_service(task)(lambda *given: seen.append(given) or answer))
    assert asked(address, body) == (200, answer)
    assert seen == [expected]


def test_untouched_generation_form_posts_empty_strings_and_gets_the_defaults_of_the_page(opened):
    names = "min_length max_length top_p top_k repetition_penalty no_repeat_ngram_size temperature".split()
    address = opened(book_service("generation")(lambda *given: list(given)))
    assert asked(address, dict.fromkeys(names, "") | {"prompt": "안녕"}) == (
        200, ["안녕", 10, 30, 1.0, 1, 1.0, 0, 1.0],
    )  # fmt: skip


@pytest.mark.parametrize("module", ["classification", "paircls", "ner", "qa", "search", "generation"])
def test_every_task_module_has_the_books_function(module):
    import importlib
    import inspect

    function = importlib.import_module(f"nlpbook_nbs.{module}").get_web_service_app
    assert [*inspect.signature(function).parameters] == ["inference_fn", "is_colab"]
    assert inspect.signature(function).parameters["is_colab"].default is True


def test_tasks_of_the_package_all_have_a_contract():
    from nlpbook_nbs.core.recipes import TASKS

    assert set(TASKS) <= set(SERVICES)


# 잘못된 요청

WRONG = {
    "empty text": (b'""', 422, "bad_input", "비었습니다"),
    "blank text": (b'"\\u3164 "', 422, "bad_input", "비었습니다"),
    "no body": (b"", 422, "bad_json", "올바른 JSON"),
    "bad json": (b'{"sentence": ', 422, "bad_json", "올바른 JSON"),
    "deep json": (b"[" * 100_000, 422, "bad_json", "올바른 JSON"),
    "not utf-8": (b'"\xb0\xa1"', 422, "bad_json", "UTF-8"),
    "a number": (b"3", 422, "bad_input", "받은 것은 수"),
    "a list": (b'["a"]', 422, "bad_input", "받은 것은 목록"),
    "unknown name": (b'{"text": "a"}', 422, "bad_input", "모르는 이름 'text'"),
    "half a letter": (b'"\\ud83d"', 422, "bad_input", ""),
    "one megabyte": (b'"' + b"a" * 1_000_000 + b'"', 413, "too_large", "262,144바이트"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_request_gets_one_korean_sentence_and_the_service_goes_on(name, opened):
    raw, status, code, words = WRONG[name]
    address = opened(book_service("doc-cls")(lambda sentence: {"sentence": sentence}))
    found, content, headers = call(address, raw=raw)
    error = json.loads(content)["error"]
    assert (found, error["code"]) == (status, code) and words in error["message"]
    assert re.search("[가-힣]", error["message"]) and "\n" not in error["message"]
    assert headers["content-type"] == "application/json"
    assert asked(address, "재밌어요")[0] == 200


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"prompt": "안녕", "temperature": 0}, "temperature=0"),
        ({"prompt": "안녕", "top_k": 1.5}, "top_k: 정수"),
        ({"prompt": "안녕", "top_p": "많이"}, "top_p: 수"),
        ({"prompt": "안녕", "top_p": float("inf")}, "top_p"),
        ({"prompt": "안녕", "min_length": True}, "min_length: 정수"),
        ({"top_k": 1}, "'prompt'이(가) 없습니다"),
    ],
)
def test_wrong_value_is_named(body, words, opened):
    address = opened(book_service("generation")(lambda *given: 1))
    status, found = asked(address, body)
    assert status == 422 and words in found["error"]["message"]


def test_too_large_body_without_a_length_is_cut_off_while_it_comes(opened):
    address = opened(book_service("doc-cls")(lambda sentence: 1))
    host = address.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    sent = []

    def pieces():
        for _ in range(10_000):
            sent.append(1)
            yield b'"' + b"a" * 10_000

    try:
        connection.request("POST", "/api", pieces(), JSON, encode_chunked=True)
    except OSError:
        pass  # 서버가 먼저 끊었습니다.
    connection.close()
    assert len(sent) < 10_000
    assert asked(address, "재밌어요")[0] == 200


def test_request_of_another_site_without_json_is_refused(opened):
    address = opened(book_service("doc-cls")(lambda sentence: 1))
    status, content, headers = call(
        address, raw=b'"a"', Content_Type="text/plain", Origin="https://evil.example"
    )
    assert status == 415 and json.loads(content)["error"]["code"] == "not_json"
    assert "access-control-allow-origin" not in headers


def test_sites_named_for_cors_and_no_others_may_read_the_answers(opened):
    service = Service("시험", (Field("sentence", "문장"),))
    address = opened(WebService(service, lambda rows: rows, origins=["https://ours.example"]))
    _, _, ours = call(address, body="글", Origin="https://ours.example")
    _, _, others = call(address, body="글", Origin="https://evil.example")
    assert ours["access-control-allow-origin"] == "https://ours.example"
    assert "access-control-allow-origin" not in others


def test_errors_of_the_function_are_told_without_its_insides(opened, caplog, monkeypatch):
    def fails(sentence):
        raise NlpbookError("문장이 너무 어렵습니다.") if sentence == "어려움" else KeyError("비밀번호 1234")

    monkeypatch.setattr(logging.getLogger("nlpbook"), "propagate", True)
    address = opened(book_service("doc-cls")(fails))
    assert asked(address, "어려움") == (
        422,
        {"error": {"code": "bad_input", "message": "문장이 너무 어렵습니다."}},
    )
    status, found = asked(address, "쉬움")
    assert status == 500 and "1234" not in str(found) and found["error"]["code"] == "internal"
    assert "KeyError" in caplog.text


def test_answer_that_does_not_come_in_time_is_given_up(opened):
    service = Service("시험", (Field("sentence", "문장"),))
    gate = threading.Event()
    address = opened(WebService(service, lambda rows: gate.wait(10) and rows, Limits(seconds=0.2)))
    status, found = asked(address, "글")
    gate.set()
    assert status == 504 and "0.2초" in found["error"]["message"]
    assert asked(address, "글")[0] == 200


def test_full_line_refuses_at_once_and_is_not_ready(opened):
    service = Service("시험", (Field("sentence", "문장"),))
    gate = threading.Event()
    app = WebService(service, lambda rows: gate.wait(10) and rows, Limits(rows=1, wait_ms=0, line=2))
    address = opened(app)
    with ThreadPoolExecutor(2) as pool:
        first = [pool.submit(asked, address, "글") for _ in range(2)]
        while app.batcher.waiting < 2:
            time.sleep(0.01)
        status, content, headers = call(address, body="글")
        assert (status, json.loads(content)["error"]["code"], headers["retry-after"]) == (503, "busy", "1")
        assert call(address, "readyz")[0] == 503 and call(address, "healthz")[0] == 200
        gate.set()
        assert [each.result()[0] for each in first] == [200, 200]
    assert call(address, "readyz")[0] == 200


def test_api_key_locks_the_answers_and_the_metrics_but_not_the_page(opened):
    service = Service("시험", (Field("sentence", "문장"),))
    address = opened(WebService(service, lambda rows: ["답"] * len(rows), api_key="열쇠".encode().hex()))
    key = "열쇠".encode().hex()
    assert asked(address, "글")[0] == 401 and call(address, "metrics")[0] == 401
    assert asked(address, "글", X_API_Key="틀림".encode().hex())[0] == 401
    assert asked(address, "글", X_API_Key=key) == (200, "답")
    assert asked(address, "글", Authorization=f"Bearer {key}") == (200, "답")
    status, page, _ = call(address, "")
    assert status == 200 and 'type="password"' in page.decode()
    assert call(address, "healthz")[0] == call(address, "readyz")[0] == 200


@pytest.mark.parametrize("log_texts", [False, True])
def test_texts_are_logged_only_when_asked(log_texts, opened, messages):
    service = Service("시험", (Field("sentence", "문장"),))
    address = opened(WebService(service, lambda rows: rows, access_log=True, log_texts=log_texts))
    asked(address, "아무도 모르는 이야기")
    call(address, "secret/path/in/the/address")
    while len(messages()) < 2:  # 줄은 답을 보낸 다음에 적습니다.
        time.sleep(0.01)
    shown = "\n".join(messages())
    assert "POST /api 200" in shown and "GET other 404" in shown
    assert ("아무도 모르는 이야기" in shown) == log_texts and "secret" not in shown


def test_metrics_count_requests_and_batches(opened):
    service = Service("시험", (Field("sentence", "문장"),), most=64)
    address = opened(WebService(service, lambda rows: rows, Limits(rows=4)))
    asked(address, ["글"] * 6)
    asked(address, "")
    for number in range(30):
        call(address, f"other{number}")
    shown = call(address, "metrics")[1].decode()
    assert 'nlpbook_requests_total{path="/api",status="200"} 1.0' in shown
    assert 'nlpbook_requests_total{path="/api",status="422"} 1.0' in shown
    assert 'nlpbook_requests_total{path="other",status="404"} 30.0' in shown
    assert "nlpbook_batch_rows_count 2.0" in shown and "nlpbook_batch_rows_sum 6.0" in shown


# 조금씩 답하기


def spelled(prompt, *rest):
    for letter in prompt:
        if letter == "멈":
            raise NlpbookError("더는 쓸 수 없습니다.")
        yield letter


def events(content):
    return [json.loads(part.removeprefix("data: ")) for part in content.decode().split("\n\n") if part]


def test_function_that_yields_is_streamed_to_those_who_ask_and_joined_for_the_others(opened):
    address = opened(book_service("generation")(spelled))
    assert asked(address, {"prompt": "안녕하세요"}) == (200, {"result": "안녕하세요"})
    status, content, headers = call(address, body={"prompt": "안녕"}, Accept="text/event-stream")
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert events(content) == [{"piece": "안"}, {"piece": "녕"}, {"result": "안녕"}]
    _, content, _ = call(address, body={"prompt": "안멈"}, Accept="text/event-stream")
    assert events(content) == [
        {"piece": "안"},
        {"error": {"code": "bad_input", "message": "더는 쓸 수 없습니다."}},
    ]
    assert asked(address, {"prompt": "멈"})[0] == 422


def test_writing_stops_when_the_reader_has_left(opened):
    written, closed = [], threading.Event()

    def endless(prompt, *rest):
        try:
            while True:
                written.append(1)
                yield "글" * 1000
                time.sleep(0.002)
        finally:
            closed.set()

    app = book_service("generation")(endless)
    address = opened(app)
    connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=30)
    connection.request("POST", "/api", b'{"prompt": "a"}', JSON | {"Accept": "text/event-stream"})
    connection.getresponse().read(5000)
    connection.close()
    assert closed.wait(20)
    while app.batcher.waiting:
        time.sleep(0.01)
    assert len(written) < 5000


# 화면

EVIL = "</textarea><script>alert(1)</script><img src=x onerror=alert(1)>"


def test_page_runs_only_our_script_and_asks_nothing_of_other_servers(opened):
    address = opened(book_service("qa")(lambda question, context: {"answer": ""}))
    for path in ("", "docs"):
        status, content, headers = call(address, path)
        page, policy = content.decode(), headers["content-security-policy"]
        assert status == 200 and "//" not in re.sub(r"(?m)^\s*//.*$|\"//\"|  // .*$", "", page)
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    script = (ROOT / "nlpbook_nbs" / "web" / "page.js").read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", script)


def test_script_of_the_page_is_the_one_whose_fingerprint_is_sent():
    import base64
    import hashlib

    from nlpbook_nbs.core.pages import content_policy

    page = page_html(SERVICES["generation"])
    for tag, name in (("script", "script-src"), ("style", "style-src")):
        text = page.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        found = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{found}'" in content_policy()


def test_html_in_titles_and_examples_is_shown_as_letters():
    service = Service(EVIL, (Field("a", EVIL), Field("b", EVIL, int, 1)), ((EVIL,),), button=EVIL)
    page = page_html(service)
    assert page.count("<script>") == 1 and "<img" not in page


def test_html_in_a_text_comes_back_as_json(opened):
    address = opened(book_service("doc-cls")(lambda sentence: {"sentence": sentence}))
    status, content, headers = call(address, body=EVIL)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(content) == {"sentence": EVIL}


@pytest.mark.parametrize("task", SERVICES)
def test_every_field_of_the_page_has_a_label(task):
    page = page_html(SERVICES[task], needs_key=True)
    ids = re.findall(r'<(?:textarea|input) id="([^"]+)"', page)
    assert ids == [*(f.name for f in SERVICES[task].fields if f.kind is str),
                   *(f.name for f in SERVICES[task].fields if f.kind is not str), "key"]  # fmt: skip
    assert sorted(ids) == sorted(re.findall(r'<label for="([^"]+)"', page))
    assert 'lang="ko"' in page and 'aria-live="polite"' in page and 'role="alert"' in page


@pytest.mark.parametrize("task", SERVICES)
def test_openapi_says_what_the_service_takes(task, opened):
    app = book_service(task)(lambda *given: 1)
    document = json.loads(call(opened(app), "openapi.json")[1])
    content = document["paths"]["/api"]["post"]["requestBody"]["content"]["application/json"]
    assert document["openapi"] == "3.1.0"
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(content["schema"])
    jsonschema.validate(content["example"], content["schema"])
    assert app.service.read(content["example"])[1] is True
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"x": 1}, content["schema"])


@pytest.mark.parametrize(
    ("path", "method", "status"), [("nope", "GET", 404), ("api", "GET", 405), ("", "PUT", 405)]
)
def test_lost_visitor_gets_json(path, method, status, opened):
    address = opened(book_service("doc-cls")(lambda sentence: 1))
    found, content, _ = call(address, path, method=method)
    assert found == status and "/docs" in json.loads(content)["error"]["message"]


def test_service_behind_a_proxy_prefix_answers_and_says_its_address(opened):
    service = Service("시험", (Field("sentence", "문장"),))
    address = opened(WebService(service, lambda rows: rows, prefix="/nlp/"))
    assert json.loads(call(address, "openapi.json")[1])["servers"] == [{"url": "/nlp"}]
    assert call(address, "")[0] == 200 and asked(address, "글")[0] == 200
    shown = call(address, "metrics")[1].decode()
    assert 'path="/api",status="200"' in shown


# 모아서 답하기


def test_batches_give_every_asker_its_own_answer_whatever_comes_together():
    sizes = []

    def predict(rows):
        sizes.append(len(rows))
        time.sleep(0.002)
        return [row * 2 for row in rows]

    async def ask_all():
        batcher = Batcher(predict, most=7, wait=0.003, line=1000)

        async def one(number):
            await asyncio.sleep((number * 7919 % 50) / 1000)
            return await batcher(number)

        found = await asyncio.gather(*map(one, range(200)))
        batcher.close()
        return found

    assert asyncio.run(ask_all()) == [2 * number for number in range(200)]
    assert max(sizes) == 7 and sum(sizes) == 200 and len(sizes) < 150


def test_asker_who_left_is_not_computed():
    seen = []

    async def leave():
        batcher = Batcher(lambda rows: seen.extend(rows) or rows, most=8, wait=0.1)
        going = asyncio.create_task(batcher("떠남"))
        staying = asyncio.create_task(batcher("남음"))
        await asyncio.sleep(0.01)
        going.cancel()
        found = await staying
        batcher.close()
        return found, batcher.waiting

    assert asyncio.run(leave()) == ("남음", 0)
    assert seen == ["남음"]


def test_wrong_number_of_answers_is_an_error_not_a_mixup():
    async def ask():
        batcher = Batcher(lambda rows: ["하나"], most=3, wait=0.05)
        found = await asyncio.gather(*map(batcher, "가나다"), return_exceptions=True)
        batcher.close()
        return found

    # 셋을 함께 물어 답이 하나뿐이면, 하나씩 다시 묻습니다.
    assert asyncio.run(ask()) == ["하나"] * 3


@pytest.fixture
def classifier_folder(tmp_path, mini_tokenizer):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    names = {"id2label": {0: "부정", 1: "긍정"}, "label2id": {"부정": 0, "긍정": 1}}
    config = BertConfig(vocab_size=len(mini_tokenizer), initializer_range=0.5, **SMALL_BERT, **names)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    mini_tokenizer.save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_served_model_answers_like_predict_alone_and_in_batches(classifier_folder, opened):
    from nlpbook_nbs import load
    from nlpbook_nbs.serve import ServeArguments, service_app

    predict = load(classifier_folder, device="cpu")
    texts = ["재밌어요", "너무 길고 지루해서 두 번은 못 보겠다 " * 3, "ㅋㅋ", "배우가 아깝다", EVIL] * 5
    address = opened(service_app(ServeArguments(classifier_folder, wait_ms=50.0), predict))
    alone = [predict(text) for text in texts]
    with ThreadPoolExecutor(25) as pool:
        together = [found for _, found in pool.map(lambda text: asked(address, text), texts)]
    status, listed = asked(address, texts)
    assert status == 200
    for one, many, row in zip(alone, together, listed):
        assert one["text"] == many["text"] == row["text"] and one["label"] == many["label"] == row["label"]
        assert abs(one["score"] - many["score"]) < 1e-6 and abs(one["score"] - row["score"]) < 1e-6
    shown = call(address, "metrics")[1].decode()
    batches = float(re.search(r"nlpbook_batch_rows_count (\S+)", shown)[1])
    assert batches < 26 and "nlpbook_batch_rows_sum 50.0" in shown
    assert asked(address, ["글"] * 65)[0] == asked(address, [])[0] == 422


# 열고 닫기


def test_stopping_answers_what_it_has_and_then_refuses(opened):
    started = threading.Event()

    def slow(sentence):
        started.set()
        time.sleep(0.3)
        return sentence

    app = book_service("doc-cls")(slow)
    address = opened(app)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(asked, address, "글") for _ in range(3)]
        started.wait(10)
        while app.batcher.waiting < 3:
            time.sleep(0.01)
        app.stop()
        assert [each.result() for each in waiting] == [(200, "글")] * 3
    with pytest.raises(OSError):
        call(address, "healthz")
    assert asked(opened(app), "글") == (200, "글")  # 다시 열 수 있습니다.
    assert "nlpbook-server" in {thread.name for thread in threading.enumerate()}
    app.stop()
    app.stop()
    assert "nlpbook-server" not in {thread.name for thread in threading.enumerate()}


def test_port_in_use_is_told_and_the_next_one_is_taken_when_none_was_asked():
    with servers.open_socket(port=0) as first:
        taken = first.getsockname()[1]
        with pytest.raises(NlpbookError, match=f"127.0.0.1:{taken}에 서버를 열 수 없습니다"):
            book_service("doc-cls")(str).start(port=taken)
    with servers.open_socket() as one, servers.open_socket() as two:
        assert servers.FIRST_PORT <= one.getsockname()[1] < two.getsockname()[1]
    with pytest.raises(NlpbookError, match="서버를 열 수 없습니다"):
        servers.open_socket("no.such.host.invalid", 0)


def test_answers_are_sent_at_once_and_not_held_back_to_be_joined(opened):
    import socket

    app = book_service("doc-cls")(lambda sentence: sentence)
    host, port = opened(app).removeprefix("http://").strip("/").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.request("POST", "/api", b'"a"', JSON)
    assert connection.getresponse().read() == b'"a"'
    (here,) = app.server[0].server_state.connections
    held = here.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    connection.close()
    assert held != 0


def test_app_run_of_the_book_waits_outside_a_notebook(capsys):
    app = book_service("doc-cls")(lambda sentence: {"sentence": sentence})
    running = threading.Thread(target=app.run, kwargs={"port": 0})
    running.start()
    while app.server is None or not app.server[0].started:
        time.sleep(0.01)
    address = f"http://127.0.0.1:{app.server[2].getsockname()[1]}/"
    assert running.is_alive() and asked(address, "글") == (200, {"sentence": "글"})
    app.stop()
    running.join(10)
    assert not running.is_alive() and address in capsys.readouterr().out


def test_in_a_notebook_the_cell_ends_and_a_second_run_closes_the_first(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(servers, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda frame: shown.append(frame.src))
    first, second = (book_service("doc-cls")(lambda sentence, n=n: n) for n in (1, 2))
    first.run()
    address = shown[0]
    assert asked(address, "글") == (200, 1)
    second.run()
    assert first.server is None and asked(shown[1], "글") == (200, 2)
    second.stop()
    assert "app.stop()" in capsys.readouterr().out


def test_in_colab_the_page_comes_through_colabs_own_proxy(monkeypatch, capsys):
    frames = []
    output = types.ModuleType("google.colab.output")
    output.eval_js = lambda code: f"https://colab.example/{re.search('[0-9]+', code)[0]}/"
    output.serve_kernel_port_as_iframe = lambda port, height: frames.append(port)
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setitem(sys.modules, "google.colab.output", output)
    monkeypatch.setattr(servers, "in_notebook", lambda: True)
    app = book_service("doc-cls")(lambda sentence: sentence, is_colab=True)
    app.run()
    port = app.server[2].getsockname()[1]
    assert frames == [port] and f"https://colab.example/{port}/" in capsys.readouterr().out
    assert asked(f"http://127.0.0.1:{port}/", "글") == (200, "글")
    app.stop()


def test_address_behind_jupyterhub_goes_through_its_proxy(monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/lee/")
    assert servers.public_address("127.0.0.1", 5000) == "/user/lee/proxy/5000/"


# 일꾼

WORKERS = """
import sys
sys.path.insert(0, {folder!r})
if __name__ == "__main__":
    from nlpbook_nbs.core.servers import open_socket, run_workers, uvicorn_settings
    with open_socket(port=0) as listener:
        print(listener.getsockname()[1], flush=True)
        print(run_workers("light:{factory}", 2, listener, uvicorn_settings() | {{"timeout_worker_healthcheck": 5}}), flush=True)
"""
LIGHT = """
import os, sys, time
from nlpbook_nbs.core.servers import follow_parent
from nlpbook_nbs.core.services import Field, Service
from nlpbook_nbs.core.web import Limits, WebService

def answer(rows):
    time.sleep(0.5 if any("느림" in row for row in rows) else 0.01)
    return [os.getpid() for row in rows]

def app():
    follow_parent()
    return WebService(Service("시험", (Field("sentence", "문장"),)), answer, Limits(wait_ms=0))

def broken():
    sys.exit(3)
"""


@pytest.fixture
def workers(tmp_path):
    """일꾼 둘을 띄워 `(프로세스, 주소)`를 돌려주는 함수."""
    (tmp_path / "light.py").write_text(textwrap.dedent(LIGHT), encoding="utf-8")
    running = []

    def start(factory="app"):
        script = tmp_path / f"{factory}_workers.py"
        script.write_text(WORKERS.format(folder=str(tmp_path), factory=factory), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
        process = subprocess.Popen(
            [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )
        running.append(process)
        return process, f"http://127.0.0.1:{process.stdout.readline().strip()}/"

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def pids(address, until, seconds=60):
    """`until`이 참이 될 때까지 물어 모은, 답한 일꾼들의 번호."""
    found, end = set(), time.monotonic() + seconds
    while not until(found):
        assert time.monotonic() < end, found
        found.add(asked(address, "글")[1])
    return found


@needs_sigkill
def test_workers_survive_a_kill_a_restart_under_load_and_answer_before_they_end(workers):
    process, address = workers()
    first = pids(address, lambda found: len(found) == 2)
    victim = min(first)
    os.kill(victim, signal.SIGKILL)
    second = pids(address, lambda found: len(found - first) == 1)
    assert max(first) in second

    lost, answered, done = [], set(), threading.Event()

    def keep_asking():
        while not done.is_set():
            try:
                status, found = asked(address, "글")
                answered.add(found)
                assert status == 200, found
            except BaseException as error:  # noqa: BLE001 - 잃은 요청을 하나도 놓치지 않습니다.
                lost.append(repr(error))

    askers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    os.kill(process.pid, signal.SIGHUP)
    everyone = first | second
    end = time.monotonic() + 60
    while len(answered - everyone) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    done.set()
    for asker in askers:
        asker.join()
    assert lost == [] and len(answered - everyone) == 2

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(asked, address, "느림") for _ in range(4)]
        time.sleep(0.25)
        process.terminate()
        assert [each.result()[0] for each in waiting] == [200] * 4
    assert process.wait(30) == 0 and process.stdout.read().strip() == "True"


def test_workers_that_cannot_start_are_not_started_forever(workers):
    process, _ = workers("broken")
    assert process.wait(60) == 0 and process.stdout.read().strip() == "False"


@needs_sigkill
def test_workers_end_with_a_killed_manager(workers):
    process, address = workers()
    pids(address, lambda found: len(found) == 2)
    process.kill()
    process.wait()
    end = time.monotonic() + 30
    with pytest.raises(OSError):
        while time.monotonic() < end:
            call(address, "healthz")
            time.sleep(0.1)


# nlpbook serve

RUN = "import sys\nif __name__ == '__main__':\n    from nlpbook_nbs.cli import main\n    sys.exit(main())"


def test_serve_command_opens_a_model_and_ends_gracefully(classifier_folder, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "serve", classifier_folder, "--port", "0", "--device", "cpu"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "NLPBOOK_API_KEY": "key"},
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
    )
    try:
        line = process.stderr.readline()
        address = re.search(r"http://\S+", line)[0]
        assert "문서 분류" in line
        status, found = asked(address, "재밌어요", X_API_Key="key")
        assert status == 200 and found["label"] in {"부정", "긍정"}
        assert asked(address, "재밌어요")[0] == 401
        process.terminate()
        process.wait(30)
        logged = process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
    assert "POST /api 200" in logged and "재밌어요" not in logged and "Traceback" not in logged


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "모델 폴더를 적지 않았습니다"),
        (["no-such-folder"], "모델 폴더"),
        (["{folder}", "--workers", "0"], "workers=0"),
        (["{folder}", "--prefix", "nlp"], "prefix='nlp'"),
        (["{folder}", "--nope"], "--nope"),
        (["{folder}", "--host", "no.such.host.invalid"], "서버를 열 수 없습니다"),
    ],
)
def test_serve_command_says_what_is_wrong_in_one_sentence(words, told, classifier_folder, capsys):
    from nlpbook_nbs.cli import main

    assert main(["serve", *(word.format(folder=classifier_folder) for word in words)]) == 2
    shown = capsys.readouterr().err.strip().splitlines()[-1]
    assert shown.startswith("오류: ") and told in shown


def test_serve_help_names_every_option_without_opening_a_model(capsys):
    from nlpbook_nbs.cli import main

    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("--workers", "--wait_ms", "--max_bytes", "--prefix", "--log_texts"))
