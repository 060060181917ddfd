"""글을 받는 곳마다 아무 글이나 아무것이나 넣어도, 답이거나 한 문장의 `NlpbookError`뿐입니다."""

import json
import unicodedata
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SMALL_BERT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from soak import SOAK, count, rounds

from nlpbook_nbs.classification import TextClassifier
from nlpbook_nbs.core.encoding import TextEncoder
from nlpbook_nbs.core.normalization import Normalized, normalize_label, normalize_text
from nlpbook_nbs.core.probe import MaskProbe, candidate_ids
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.squad import place_answer
from nlpbook_nbs.qa import QuestionAnswerer

HALVES = ["\ud83d", "\udc00", "\udcff", "\ud83d\ud83d", "\udc00\ud83d"]
LETTERS = [
    *"가힣aZ9?!\t\n ㄱㅏ각ᅟᅠㅤﾠ豈①㎏ﬁ",
    *"\u200b\ufeff\u2060\u00ad\u200e\u202e\u200c\u200d\u034f\x00\x85\u2028\ufe0f\u0301\u0344",
    *"👨😀🏽🏴\U000e0067\U0001d15e\uffff",
    *("영화", "[MASK]", "[SEP]", "##", unicodedata.normalize("NFD", "재밌는 영화"), "가" * 120, "ภาพยนตร์"),
]
texts = st.lists(
    st.one_of(st.sampled_from(LETTERS), st.sampled_from(LETTERS), st.characters(exclude_categories=["Cs"])),
    max_size=12,
).map("".join)
broken = st.tuples(texts, st.sampled_from(HALVES), texts).map("".join)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=4), texts, broken)
    | st.sampled_from(
        [
            np.int64(3),
            np.float32("nan"),
            np.str_("영화"),
            np.array(["영화", "음악"]),
            np.zeros((2, 2)),
            b"\xff",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.sampled_from(["text", "text_pair", "question", "context", "label", "가"]), inner, max_size=3
        )
        | st.sets(texts, max_size=2)
    ),
    max_leaves=5,
)
mostly = st.one_of(texts, texts, texts, texts, broken, anything)


def fuzz(short, long):
    return settings(
        max_examples=rounds(short, long),
        deadline=None,
        database=None,
        derandomize=not SOAK,
        suppress_health_check=list(HealthCheck),
    )


def answers(ask, what):
    """`ask()`의 답. 우리의 오류이면 한 문장인지 보고 `None`."""
    try:
        found = ask()
    except NlpbookError as error:
        told = str(error)
        assert "\n" not in told and told.encode(), told
        count(f"{what}: 한 문장으로 거절함")
        return None
    count(f"{what}: 답함")
    return found


@pytest.fixture(scope="module")
def models(mini_tokenizer):
    from transformers import (
        BertConfig,
        BertForMaskedLM,
        BertForQuestionAnswering,
        BertForSequenceClassification,
    )

    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT | {"num_hidden_layers": 1})
    args = SimpleNamespace(
        max_seq_length=48,
        max_query_length=12,
        doc_stride=16,
        max_answer_length=8,
        n_best_size=3,
        batch_size=32,
    )
    return SimpleNamespace(
        classify=TextClassifier(BertForSequenceClassification(config), mini_tokenizer, 32, device="cpu"),
        answer=QuestionAnswerer(BertForQuestionAnswering(config), mini_tokenizer, args, device="cpu"),
        probe=MaskProbe(BertForMaskedLM(config), mini_tokenizer, device="cpu"),
        encode=TextEncoder(mini_tokenizer, 16),
        tokenizer=mini_tokenizer,
    )


def is_answer(row):
    json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
    assert 0 <= row["unknown"] <= 1


def test_texts_of_any_letters_are_classified_or_refused(models):
    @fuzz(200, 25_000)
    @given(st.lists(st.one_of(texts, texts, texts, broken), max_size=4))
    def check(given):
        found = answers(lambda: models.classify(given), "아무 글이나 분류함")
        if found is not None:
            assert [row["text"] for row in found] == given
            for text, row in zip(given, found):
                is_answer(row)
                assert normalize_label(text)
        elif given:
            assert any(
                not normalize_label(text) or any("\ud800" <= a <= "\udfff" for a in text) for text in given
            )

    check()


def test_things_of_any_type_are_classified_or_refused(models):
    @fuzz(200, 25_000)
    @given(st.one_of(anything, st.lists(mostly, max_size=3)))
    def check(given):
        found = answers(lambda: models.classify(given), "아무것이나 분류함")
        for row in [found] if isinstance(found, dict) else found or []:
            is_answer(row)

    check()


def test_questions_of_any_letters_are_answered_out_of_the_passage_as_given(models):
    @fuzz(150, 20_000)
    @given(
        st.lists(
            st.tuples(st.one_of(texts, texts, broken), st.one_of(texts, texts, texts, broken)), max_size=3
        )
    )
    def check(given):
        found = answers(lambda: models.answer.answer(given), "아무 글에나 물음")
        for (question, context), row in zip(given, found or []):
            is_answer(row)
            assert row["question"] == question
            for each in (row, *row["candidates"]):
                assert context[each["start"] : each["end"]] == each["answer"]

    check()


def test_questions_of_any_type_are_answered_or_refused(models):
    @fuzz(150, 15_000)
    @given(mostly, mostly)
    def check(question, context):
        found = answers(lambda: models.answer(question, context), "아무것에나 물음")
        for row in [found] if isinstance(found, dict) else found or []:
            is_answer(row)

    check()


def test_probes_of_any_letters_are_filled_or_refused(models):
    @fuzz(100, 5_000)
    @given(st.one_of(texts, broken), st.one_of(texts, broken), st.integers(0, 2))
    def check(before, after, masks):
        text = f"{before}{'[MASK]' * masks}{after}"
        for slot in answers(lambda: models.probe.candidates(text, 3), "아무 글의 빈칸을 물음") or []:
            assert len(slot) == 3
        answers(lambda: candidate_ids(models.tokenizer, [before, after], 1), "아무 후보나 견줌")

    check()


def test_texts_are_the_same_tokens_in_every_spelling(models):
    @fuzz(300, 20_000)
    @given(texts, st.sampled_from(["NFC", "NFD"]))
    def check(text, form):
        spelled = unicodedata.normalize(form, text)
        found, same = (models.encode([each])["input_ids"].tolist() for each in (text, spelled))
        assert found == same
        passage = Normalized(spelled)
        assert passage.text == normalize_text(text)
        for place in range(len(passage.text)):
            start, end = passage.original_span(place, place + 1)
            assert 0 <= start < end <= len(spelled)
        count("풀어 쓴 글이 모아 쓴 글과 같은 토큰이 됨")

    check()


def test_an_answer_found_in_any_passage_is_the_answer(models):
    @fuzz(200, 10_000)
    @given(texts, texts, texts, st.sampled_from(["NFC", "NFD"]), st.sampled_from(["NFC", "NFD"]))
    def check(before, answer, after, form, gold_form):
        written = unicodedata.normalize(form, answer)
        head = unicodedata.normalize(form, before)
        span = place_answer(
            f"{head} {written} {after}", unicodedata.normalize(gold_form, answer), len(head) + 1
        )
        if span is not None:
            start, end = span
            assert normalize_text(f"{head} {written} {after}"[start:end]) == normalize_text(answer)
        else:
            assert not normalize_text(answer).strip()
        count("다르게 적힌 정답을 지문에서 찾음")

    check()
