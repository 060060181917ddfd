"""9장의 채점: 맞는 답은 방법과 꼴이 달라도 받아들이고, 틀린 답에는 어디가 틀렸는지 알려 줍니다."""

import math

import numpy as np
import pytest
import torch
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.core.scoreboard import contest_of


def gpt2_by_shapes(vocab, positions, hidden, layers):
    linear = ((hidden, 3 * hidden), (hidden, hidden), (hidden, 4 * hidden), (4 * hidden, hidden))
    block = [*linear, *((wide,) for _, wide in linear), *4 * [(hidden,)]]
    shapes = [(vocab, hidden), (positions, hidden), *layers * block, (hidden,), (hidden,)]
    return np.sum([math.prod(shape) for shape in shapes])


def gpt2_by_parts(vocab, positions, hidden, layers, bias=1, last=2, norms=4, tables=1):
    attention = 4 * hidden * hidden + bias * 4 * hidden
    feed = 8 * hidden * hidden + bias * 5 * hidden
    block = attention + feed + norms * hidden
    return (tables * vocab + positions) * hidden + layers * block + last * hidden


def shifted(scores):
    total = max(scores) + math.log(sum(math.exp(score - max(scores)) for score in scores))
    return [math.exp(score - total) for score in scores]


def powered(scores):
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


RIGHT = {
    1: [shifted, lambda scores: torch.tensor(scores, dtype=torch.float64).softmax(0)],
    2: [
        lambda n, width: [[abs(i - j) <= width for j in range(n)] for i in range(n)],
        lambda n, width: torch.ones(n, n).triu(-width).tril(width),
        lambda n, width: np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= width,
    ],
    3: [gpt2_by_shapes, gpt2_by_parts],
}
WRONG = {
    1: [
        powered,
        lambda scores: [score / (sum(scores) or 1) for score in scores],
        lambda scores: [math.exp(score - max(scores)) for score in scores],
        lambda scores: [score - max(scores) for score in scores],
    ],
    2: [
        lambda n, width: torch.ones(n, n).tril(),
        lambda n, width: [[abs(i - j) < width for j in range(n)] for i in range(n)],
        lambda n, width: torch.ones(n, n).tril().triu(-width),
        lambda n, width: [[abs(i - j) > width for j in range(n)] for i in range(n)],
    ],
    3: [
        lambda *sizes: gpt2_by_parts(*sizes, bias=0),
        lambda *sizes: gpt2_by_parts(*sizes, last=0),
        lambda *sizes: gpt2_by_parts(*sizes, norms=2),
        lambda *sizes: gpt2_by_parts(*sizes, tables=2),
    ],
}


@pytest.mark.parametrize(("number", "place"), [(n, p) for n, each in RIGHT.items() for p in range(len(each))])
def test_right_answers_are_accepted(number, place):
    accept(9, number, RIGHT[number][place])


@pytest.mark.parametrize(("number", "place"), [(n, p) for n, each in WRONG.items() for p in range(len(each))])
def test_wrong_answers_are_refused(number, place):
    refuse(9, number, WRONG[number][place])


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(9)


def test_what_is_missing_from_the_count_is_named():
    assert "어텐션의 편향" not in refuse(9, 3, lambda *sizes: gpt2_by_parts(*sizes, norms=2))
    assert "맨 뒤의 층 정규화" in refuse(9, 3, lambda *sizes: gpt2_by_parts(*sizes, last=0))


def test_reviews_are_scored_against_random_weights():
    contest = contest_of(9)
    assert 0.4 < contest.score(np.ones(2000)) < 0.6 < contest.baseline()[1] < 0.75
    reject_submission(9, [0.5] * 3)
