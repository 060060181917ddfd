"""질문과 지문을 함께 읽어 다시 매기기: 긴 지문도 끝까지 읽습니다."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
from transformers import AutoTokenizer

from nlpbook_nbs.core import recipes
from nlpbook_nbs.core.asking import open_reranker, windowed_pairs
from nlpbook_nbs.core.folders import resolve_model_name

WORDS = "한글은 세종대왕이 만들었습니다 금강산 2026년 co2 ㅋㅋㅋ 漢字 😀 않았다가 서해로".split()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(resolve_model_name("nlpbook-small"))


@pytest.mark.parametrize("limit", [40, 64])
def test_windows_fit_the_model_and_leave_nothing_out(tokenizer, limit):
    draw = random.Random(limit)
    texts = [" ".join(draw.choices(WORDS, k=draw.choice([1, 10, 200]))) for _ in range(30)]
    pairs = [(f"{'강은 ' * (n // 6)}어디로?", text) for n, text in enumerate(texts)]
    rows, owners = windowed_pairs(tokenizer, pairs, limit)
    assert owners.tolist() == sorted(owners.tolist()) and set(owners.tolist()) == set(range(30))
    for number, (question, text) in enumerate(pairs):
        parts = [part for (asked, part), own in zip(rows, owners) if own == number and asked == question]
        assert all(len(tokenizer(question, part)["input_ids"]) <= limit for part in parts)
        at = 0
        for part in parts:  # 앞 창과 겹치거나 맞닿고, 끝까지 갑니다.
            start = text.index(part, max(0, at - len(part)))
            assert not text[at:start].strip()
            at = start + len(part)
        assert not text[at:].strip()


def test_a_passage_is_as_good_as_its_best_window(tokenizer, monkeypatch):
    def read(pairs):
        """64토큰까지만 읽는 모델: `정답`이 보이면 0.9점."""
        seen = [
            tokenizer.decode(tokenizer(*each, truncation=True, max_length=64)["input_ids"]) for each in pairs
        ]
        return np.array([[0.1, 0.9] if "정답" in text else [0.9, 0.1] for text in seen], np.float32)

    classifier = SimpleNamespace(tokenizer=tokenizer, max_seq_length=64, probabilities=read)
    monkeypatch.setattr(recipes, "load", lambda *words, **options: SimpleNamespace(predict=classifier))
    filling = "한글은 세종대왕이 만들었습니다. " * 30
    pairs = [("무엇?", filling + "정답입니다."), ("무엇?", filling), ("무엇?", "정답입니다.")]
    assert open_reranker("모델")(pairs) == pytest.approx([0.9, 0.1, 0.9])


def test_nothing_to_rank_is_no_error(tokenizer):
    rows, owners = windowed_pairs(tokenizer, [], 64)
    assert rows == [] and owners.shape == (0,)
