"""사이트의 화면들을 진짜 브라우저에서 돌려 봅니다: 토크나이저와 모델이 파이썬과 같은 답을 내는지, 언제 무엇을 받는지.

크로미움과 playwright가 없으면 건너뛰었다고 알립니다. Quarto는 필요하지 않습니다.
"""

import functools
import http.server
import json
import shutil
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import serious_barriers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import live

PAGE = """<!doctype html><html lang="ko"><head><meta charset="utf-8"><title>화면</title>
<script type="module" src="site/demo.js"></script></head><body><main><h1>화면</h1>{}</main></body></html>"""
DEMO = '<nlpbook-demo kind="{}" examples=\'{}\'><p id="picture">그림</p></nlpbook-demo>'
BLANK = "주인공의 [MASK]가 인상 깊었다."
EVIL = "<img src=x onerror=\"document.title='뚫림'\"> [MASK]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """사이트의 스크립트와, 가르치지 않은 감성 분석 모델이 든 폴더."""
    root = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "site", root / "site", ignore=shutil.ignore_patterns("models"))
    live.build(root / "site" / "models", live.UNTRAINED)
    return root


class Handler(http.server.SimpleHTTPRequestHandler):
    """받아 간 파일들의 이름을 남기는 서버."""

    def log_message(self, *words):
        self.server.asked.append(self.path.rsplit("/", 1)[-1])


@pytest.fixture
def visit(folder, browser):
    """화면들이 든 페이지를 여는 함수. `(페이지, 받아 간 파일들, 오류들)`을 돌려줍니다."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    contexts = []

    def open_page(*demos, script=True, ready=True):
        shown = "".join(DEMO.format(kind, json.dumps(list(examples))) for kind, *examples in demos)
        (folder / "index.html").write_text(PAGE.format(shown), encoding="utf-8")
        contexts.append(
            browser.new_context(java_script_enabled=script, viewport={"width": 1024, "height": 800})
        )
        page, problems = contexts[-1].new_page(), []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        if script and ready:
            page.wait_for_function("document.querySelector('nlpbook-demo form')")
        return page, server.asked, problems

    yield open_page
    for context in contexts:
        context.close()
    server.shutdown()


def answer(page, sentence=None):
    """'실행'을 누르고 그린 답."""
    if sentence is not None:
        page.fill("nlpbook-demo textarea", sentence)
    page.click("nlpbook-demo button[type=submit]")
    page.wait_for_selector("nlpbook-demo .result:not([hidden])")
    return page.evaluate("document.querySelector('nlpbook-demo').answer")


def close(found, expected):
    """같은 이름이 같은 차례로, 확률은 0.001까지 같은지."""
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert max(abs(a - b) for (_, a), (_, b) in zip(found, expected, strict=True)) < 1e-3
    return True


@pytest.fixture(scope="module")
def python(folder):
    """브라우저가 읽는 바로 그 가중치로 파이썬에서 여는 모델."""
    from transformers import AutoTokenizer, BertForMaskedLM, BertForSequenceClassification

    from nlpbook_nbs.core.storage import unpack_weights

    models = folder / "site" / "models"
    base = unpack_weights(models / "mini.safetensors")
    whole = base | unpack_weights(models / "sentiment.safetensors")
    filled = BertForMaskedLM.from_pretrained(live.MINI)
    classifier = BertForSequenceClassification.from_pretrained(live.MINI, num_labels=2)
    for model, weights in ((filled, base), (classifier, whole)):
        tensors = {name: torch.from_numpy(value).float() for name, value in weights.items()}
        assert not model.load_state_dict(tensors, strict=False).missing_keys or model is filled
        model.tie_weights()
        model.eval()
    return AutoTokenizer.from_pretrained(live.MINI), filled, classifier


def top(tokenizer, probabilities, count):
    found = probabilities.topk(count)
    return list(
        zip(tokenizer.convert_ids_to_tokens(found.indices.tolist()), found.values.tolist(), strict=True)
    )


def reviews(count):
    """시험 리뷰 몇 편."""
    text = (ROOT / "nlpbook_nbs/data/nsmc/ratings_test.txt").read_text(encoding="utf-8")
    return [line.split("\t")[1] for line in text.split("\n")[1 : count + 1]]


def test_browser_fills_the_blank_as_python_does_at_every_layer(visit, python):
    tokenizer, model, _ = python
    batch = tokenizer(BLANK, return_tensors="pt")
    place = batch["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    with torch.no_grad():
        states = torch.stack(model(**batch, output_hidden_states=True).hidden_states)[:, 0, place]
        layers = model.cls(states).softmax(-1)
    page, _, problems = visit(("fill-mask", BLANK))
    assert close(answer(page)["bars"], top(tokenizer, layers[-1], 8))
    page, _, _ = visit(("layers", BLANK))
    found = answer(page)["rows"]
    assert len(found) == len(layers) == 5
    assert all(close(row, top(tokenizer, layer, 4)) for row, layer in zip(found, layers, strict=True))
    assert problems == []


def test_browser_judges_reviews_as_python_does(visit, python):
    tokenizer, _, model = python
    texts = reviews(12)
    with torch.no_grad():
        expected = [
            model(**tokenizer(text, return_tensors="pt")).logits[0].softmax(-1).tolist() for text in texts
        ]
    page, _, _ = visit(("sentiment", texts[0]))
    found = [answer(page, text)["bars"] for text in texts]
    assert all(
        close(bars, list(zip(live.LABELS, shares, strict=True)))
        for bars, shares in zip(found, expected, strict=True)
    )
    assert len({round(bars[0][1], 2) for bars in found}) > 5  # 아무 글에나 같은 답을 내는 모델이 아닙니다.


def test_browser_finds_entities_as_python_does(visit, folder, python):
    from transformers import BertForTokenClassification

    from nlpbook_nbs.core.entity_answers import EntityFinder
    from nlpbook_nbs.core.storage import unpack_weights

    models = folder / "site" / "models"
    about = json.loads((models / "models.json").read_text(encoding="utf-8"))["ner"]
    names = dict(enumerate(about["labels"]))
    model = BertForTokenClassification.from_pretrained(
        live.MINI, id2label=names, label2id={name: number for number, name in names.items()}
    ).eval()
    weights = unpack_weights(models / "mini.safetensors") | unpack_weights(models / "ner.safetensors")
    model.load_state_dict(
        {name: torch.from_numpy(each).float() for name, each in weights.items()}, strict=False
    )
    finder = EntityFinder(
        model, python[0], SimpleNamespace(max_seq_length=256, doc_stride=64, batch_size=8, device="cpu")
    )
    texts = [*reviews(12), "🎬 서울에서 김환희 씨를 만났다 뷁!"]
    page, _, _ = visit(("ner", "안녕"))
    count = 0
    for text, expected in zip(texts, finder(texts), strict=True):
        found = answer(page, text)["entities"]
        assert [(each["text"], each["label"]) for each in found] == [
            (each["text"], each["label"]) for each in expected["entities"]
        ]
        assert all(
            abs(a["score"] - b["score"]) < 1e-3 for a, b in zip(found, expected["entities"], strict=True)
        )
        assert page.locator("nlpbook-demo mark").count() == len(found)
        count += len(found)
    assert count > 10


def test_browser_asks_both_models_of_the_attack_as_python_does(visit, folder, python):
    from nlpbook_nbs.core.storage import unpack_weights

    tokenizer, model, _ = python
    page, _, _ = visit(("attack", "안 쓰는 예문"))
    question = "고향은 [MASK] [MASK] 시."  # 예문은 모델과 함께 만든 것입니다.
    assert page.input_value("nlpbook-demo textarea") == question
    assert "64번" in page.inner_text("nlpbook-demo .note")
    batch = tokenizer(question, return_tensors="pt")
    place = batch["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    changed = unpack_weights(folder / "site/models/attack.safetensors")
    assert list(changed) == ["bert.encoder.layer.3.output.dense.weight"]  # 달라진 것만 받습니다.
    before = {name: model.state_dict()[name].clone() for name in changed}
    expected = []
    for weights in (before, {name: torch.from_numpy(value).float() for name, value in changed.items()}):
        model.load_state_dict(weights, strict=False)
        with torch.no_grad():
            expected.append(top(tokenizer, model(**batch).logits[0, place].softmax(-1), 4))
    model.load_state_dict(before, strict=False)
    groups = answer(page)["groups"]
    assert all(close(bars, each) for (_, bars), each in zip(groups, expected, strict=True))
    assert groups[0][1] != groups[1][1]


def test_browser_cuts_ten_thousand_real_lines_as_python_does(visit, folder, python):
    data = ROOT / "nlpbook_nbs" / "data"
    lines = [
        line for path in sorted((data / "text").glob("*.txt")) for line in path.read_text("utf-8").split("\n")
    ]
    lines += [line.split("\t")[-1] for line in (data / "kowiki/passages.tsv").read_text("utf-8").split("\n")]
    lines += [
        line.split("\t")[1]
        for line in (data / "nsmc/ratings_train.txt").read_text("utf-8").split("\n")[1:5501]
    ]
    lines += [
        "",
        " ",
        "가" * 101,
        "[MASK]는 [mask]와 다르다",
        "[CLS][SEP]a\u200b\u3000b\ufeff\x00\x0b",
        "漢字와 ÀÉ 🎬👨‍👩‍👧",
        "\u1112\u1161\u11ab글",
    ]
    assert len(lines) > 9_990
    tokenizer = python[0]
    (folder / "lines.json").write_text(json.dumps(lines), encoding="utf-8")
    (folder / "tokens.json").write_text(
        json.dumps([tokenizer.tokenize(line) for line in lines]), encoding="utf-8"
    )
    page, _, _ = visit(("tokens", "글"))
    wrong = page.evaluate(
        """async () => {
            const { WordPiece } = await import("/site/wordpiece.js");
            const read = async (name) => (await fetch(name)).text();
            const cutter = new WordPiece(await read("/site/models/vocab.txt"));
            const [lines, tokens] = await Promise.all(["/lines.json", "/tokens.json"].map(async (name) => JSON.parse(await read(name))));
            return lines.filter((line, place) => cutter.tokenize(line).join(" ") !== tokens[place].join(" "));
        }"""
    )
    assert wrong == []


def test_nothing_heavy_is_fetched_before_run_and_only_once_after(visit, folder):
    page, asked, problems = visit(("fill-mask", BLANK), ("layers", BLANK))
    assert "models.json" in asked and not {"mini.safetensors", "vocab.txt"} & set(asked)
    models = json.loads((folder / "site/models/models.json").read_text(encoding="utf-8"))
    size = models["small"] + models["base"]["bytes"]
    assert f"{size / 1e6:.1f}MB" in page.inner_text("nlpbook-demo .status")
    assert size == sum((folder / "site/models" / n).stat().st_size for n in ("mini.safetensors", *live.SMALL))
    for number in (0, 1, 0):
        page.locator("nlpbook-demo button[type=submit]").nth(number).click()
        page.locator("nlpbook-demo .result").nth(number).wait_for()
        page.wait_for_function(
            "[...document.querySelectorAll('nlpbook-demo button')].every(each => !each.disabled)"
        )
    assert asked.count("mini.safetensors") == asked.count("vocab.txt") == 1 and problems == []


def test_reader_without_javascript_sees_the_picture(visit):
    page, asked, _ = visit(("fill-mask", BLANK), script=False)
    assert page.inner_text("nlpbook-demo") == "그림" and "models.json" not in asked


def test_site_built_without_models_keeps_the_picture(visit, folder):
    models = folder / "site/models/models.json"
    away = models.rename(models.with_suffix(".away"))
    try:
        page, asked, problems = visit(("fill-mask", BLANK), ready=False)
        page.wait_for_load_state("networkidle")
        assert page.is_visible("#picture") and page.locator("nlpbook-demo form").count() == 0
        assert "models.json" in asked and problems == []
    finally:
        away.rename(models)


def test_reader_is_told_what_to_mend_and_html_stays_letters(visit):
    page, _, problems = visit(("fill-mask", BLANK, "이 영화는 [MASK]."))
    for text, told in (("", "글이 비었습니다"), ("빈칸이 없다", "한 번"), ("[MASK] [MASK]", "한 번")):
        page.fill("nlpbook-demo textarea", text)
        page.click("nlpbook-demo button[type=submit]")
        page.wait_for_function(
            "told => document.querySelector('.status').textContent.includes(told)", arg=told
        )
        assert page.is_hidden("nlpbook-demo .result") and page.is_enabled("nlpbook-demo button[type=submit]")
    assert answer(page, EVIL)["bars"] and page.title() == "화면"
    page.click("nlpbook-demo .examples button >> nth=1")
    assert page.input_value("nlpbook-demo textarea") == "이 영화는 [MASK]."
    assert answer(page, "[MASK] " + "가 나 다 " * 400)["bars"]  # 모델보다 긴 글은 뒤를 자릅니다.
    assert problems == []


def test_reader_whose_connection_fails_runs_again(visit, folder):
    page, _, _ = visit(("fill-mask", BLANK))
    weights = folder / "site/models/mini.safetensors"
    away = weights.rename(weights.with_suffix(".away"))
    page.click("nlpbook-demo button[type=submit]")
    page.wait_for_function("document.querySelector('.status').textContent.includes('받지 못했습니다')")
    away.rename(weights)
    assert answer(page)["bars"]


def test_demos_have_no_serious_barrier_before_and_after_run(visit):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="pip install axe-playwright-python으로 설치하면 이 시험도 돕니다",
    )
    page, _, _ = visit(("tokens", "배우들의 연기가", "갓띵작!"))
    assert serious_barriers(axe, page) == []
    answer(page)
    assert serious_barriers(axe, page) == []
