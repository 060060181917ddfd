"""10장의 채점: 빠뜨린 매개변수, 잘못 이은 낱말, 가중하지 않은 퍼플렉시티를 가려냅니다."""

import numpy as np
import pytest
import torch
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.checks.pretrain import albert_parts, blank_accuracy, fill_questions, grouped


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(10)


def size(vocab, hidden, inner, positions, small, types=2, norm=2, head_bias=True, projected=True):
    embeddings = (vocab + positions + types) * small + norm * small
    grown = small * hidden + hidden if projected else 0
    attention = 4 * (hidden * hidden + hidden) + norm * hidden
    feed_forward = hidden * inner + inner + inner * hidden + hidden + norm * hidden
    pooler_and_order = hidden * hidden + hidden + 2 * hidden + 2
    mlm = hidden * small + small + norm * small + (vocab if head_bias else 0)
    return embeddings + grown + attention + feed_forward + pooler_and_order + mlm


@pytest.mark.parametrize("shape", [(50, 8, 12, 7, 4), (61, 12, 10, 9, 6)])
def test_parameter_count_is_accepted_and_equals_the_model_of_the_library(shape):
    from transformers import AlbertConfig, AlbertForPreTraining

    accept(10, 1, size)
    accept(10, 1, lambda *given: torch.tensor(size(*given)))
    vocab, hidden, inner, positions, small = shape
    config = AlbertConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=inner,
        max_position_embeddings=positions,
        embedding_size=small,
    )
    assert AlbertForPreTraining(config).num_parameters() == size(*shape) == sum(albert_parts(*shape).values())


def test_parameter_counts_that_forget_something_are_refused_without_telling_the_right_one():
    for answer in (
        lambda *shape: size(*shape, types=0),
        lambda *shape: size(*shape, norm=1),
        lambda *shape: size(*shape, head_bias=False),
        lambda v, h, i, p, e: size(v, h, 4 * h, p, e),
        lambda v, h, i, p, e: size(v, h, i, 512, e),
        lambda v, h, i, p, e: size(v, h, i, p, h),
        lambda v, h, i, p, e: size(v, h, i, p, e) + v * e,  # 점수 행렬을 또 셈
    ):
        assert f"{size(100, 8, 16, 10, 4):,}" not in refuse(10, 1, answer)
    assert "키우는 선형층" in refuse(10, 1, lambda *shape: size(*shape, projected=False))


def loose(tokens):
    """앞의 낱말에 무조건 잇습니다: 특수 토큰을 사이에 두고도 이어집니다."""
    groups = []
    for place, token in enumerate(tokens):
        if token.startswith("[") and token.endswith("]"):
            continue
        if token.startswith("##") and groups:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def test_word_groups_are_accepted_as_lists_tuples_and_arrays():
    accept(10, 2, grouped)
    accept(10, 2, lambda tokens: tuple(tuple(group) for group in grouped(tokens)))
    accept(10, 2, lambda tokens: [np.array(group) for group in grouped(tokens)])


@pytest.mark.parametrize(
    "answer",
    [
        loose,
        lambda tokens: [[place] for place, token in enumerate(tokens) if not token.startswith("[")],
        lambda tokens: [[p - 1 for p in group] for group in grouped(tokens)],
        lambda tokens: [g for g in grouped(tokens) if not tokens[g[0]].startswith("##")],
        lambda tokens: [[tokens[p] for p in group] for group in grouped(tokens)],
    ],
)
def test_wrong_word_groups_are_refused(answer):
    refuse(10, 2, answer)


def test_perplexity_is_accepted_however_it_is_computed():
    accept(10, 3, lambda losses, counts: np.exp(np.average(losses, weights=counts)))
    accept(10, 3, lambda losses, counts: 2.718281828459045 ** (np.dot(losses, counts) / sum(counts)))


def test_wrong_perplexities_are_refused():
    assert "그냥 평균" in refuse(10, 3, lambda losses, counts: np.exp(np.mean(losses)))
    for answer in (
        lambda losses, counts: np.average(losses, weights=counts),
        lambda losses, counts: np.average(np.exp(losses), weights=counts),
        lambda losses, counts: 2 ** np.average(losses, weights=counts),
        lambda losses, counts: np.exp(np.sum(losses) / np.sum(counts)),
    ):
        refuse(10, 3, answer)


def test_tokens_are_scored_on_the_blanks_of_text_the_model_has_not_read():
    texts = fill_questions()
    assert len(texts) == len(set(texts)) and all(text.count("[MASK]") == 1 for text in texts)
    most = blank_accuracy.score(["다"] * len(texts))
    assert 0 < most < 0.5 and blank_accuracy.score(["##다"] * len(texts)) == most
    assert str(len(texts)) in reject_submission(10, ["다"]) and "글이 아니라" in reject_submission(
        10, [3] * len(texts)
    )
