"""7장의 채점: 맞는 답은 꼴이 달라도 받아들이고, 틀린 답에는 어디가 틀렸는지 알려 줍니다."""

import math

import numpy as np
import pytest
import torch
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.checks.generation import WANTED, reviews
from nlpbook_nbs.core.scoreboard import contest_of


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(7)


def powers(chances, temperature):
    raised = [chance ** (1 / temperature) for chance in chances]
    return [each / sum(raised) for each in raised]


def softmax(chances, temperature):
    return (torch.tensor(chances).log() / temperature).softmax(-1)


def shifted(chances, temperature):
    scores = np.log(chances) / temperature
    weights = np.exp(scores - scores.max())
    return tuple(weights / weights.sum())


@pytest.mark.parametrize("answer", [powers, softmax, shifted])
def test_right_temperature_is_accepted_however_it_is_computed(answer):
    accept(7, 1, answer)


def test_wrong_temperatures_are_refused():
    assert "거꾸로" in refuse(7, 1, lambda chances, t: powers(chances, 1 / t))
    assert "더하면 1" in refuse(7, 1, lambda chances, t: [chance ** (1 / t) for chance in chances])
    for answer in (
        lambda chances, t: chances,
        lambda chances, t: (torch.tensor(chances) / t).softmax(-1),
        lambda chances, t: sorted(powers(chances, t)),
        lambda chances, t: powers(chances, t)[:1],
        lambda chances, t: sum(powers(chances, t)),
        lambda chances, t: [math.nan for _ in chances],
    ):
        refuse(7, 1, answer)


def survivors(chances, p):
    total, count = 0.0, 0
    for chance in sorted(chances, reverse=True):
        total, count = total + chance, count + 1
        if total >= p:
            break
    return count


def cumulative(chances, p):
    sums = torch.tensor(chances, dtype=torch.float64).sort(descending=True).values.cumsum(0)
    return (sums < p).sum() + 1


@pytest.mark.parametrize("answer", [survivors, cumulative, lambda chances, p: float(survivors(chances, p))])
def test_right_number_of_survivors_is_accepted(answer):
    accept(7, 2, answer)


def test_wrong_numbers_of_survivors_are_refused():
    assert "가장 높은 하나" in refuse(7, 2, lambda chances, p: survivors(chances, p) - 1)
    assert "너무 많습니다" in refuse(7, 2, lambda chances, p: min(survivors(chances, p) + 1, len(chances)))
    for answer in (
        lambda chances, p: int((np.cumsum(chances) < p).sum()) + 1,
        lambda chances, p: int((np.cumsum(sorted(chances)) < p).sum()) + 1,
        lambda chances, p: sum(chance >= p for chance in chances),
        lambda chances, p: max(1, sum(chance >= 1 - p for chance in chances)),
        lambda chances, p: len(chances),
        lambda chances, p: sorted(chances)[: survivors(chances, p)],
    ):
        refuse(7, 2, answer)


def two_ways(name="generated", prompt="긍정 정말", **changes):
    options = {"seed": 7, "max_length": 20} | changes
    return lambda generator: {t: generator(prompt, **{"temperature": t} | options)[name] for t in (0.5, 1.5)}


def by_stream(generator):
    options = {"seed": 7, "max_length": 20}
    return {t: "".join(generator.stream("긍정 정말", temperature=t, **options)) for t in (1.5, 0.5)}


def by_list(generator):
    return {
        t: generator(["긍정 정말"], temperature=t, seed=7, max_length=20)[0]["generated"] for t in (0.5, 1.5)
    }


@pytest.mark.parametrize("answer", [two_ways(), by_stream, by_list])
def test_texts_of_two_temperatures_are_accepted_however_they_were_written(answer):
    accept(7, 3, answer)


def test_other_texts_are_refused():
    assert "앞 글까지" in refuse(7, 3, two_ways("result"))
    assert "열쇠" in refuse(7, 3, lambda generator: {0.5: two_ways()(generator)[0.5]})
    for answer in (
        two_ways(seed=8),
        two_ways(max_length=19),
        two_ways(temperature=1.0),
        two_ways(prompt="부정 정말"),
        two_ways("tokens"),
        {0.5: "글", 1.5: "글"},
        lambda generator: {0.5: two_ways()(generator)[1.5], 1.5: two_ways()(generator)[0.5]},
    ):
        refuse(7, 3, answer)


@pytest.mark.parametrize(
    "answer",
    [
        lambda config: config.n_layer * 2 * config.n_embd,
        lambda config: np.int64(2 * config.hidden_size) * config.num_hidden_layers,
        lambda config: 2.0 * config.n_layer * config.n_head * (config.n_embd // config.n_head),
    ],
)
def test_right_size_of_the_cache_is_accepted(answer):
    accept(7, 4, answer)


def test_wrong_sizes_of_the_cache_are_refused():
    assert "하나씩" in refuse(7, 4, lambda config: config.n_layer * config.n_embd)
    for answer in (
        lambda config: 2 * config.n_embd,
        lambda config: 2 * config.n_layer * config.n_embd * config.n_head,
        lambda config: 2 * config.n_layer * config.n_embd * config.n_positions,
        lambda config: 2048,
        lambda config: [config.n_layer] * 2,
    ):
        refuse(7, 4, answer)


def test_a_hundred_reviews_are_scored_by_condition_and_variety():
    contest = contest_of(7)
    own = {"긍정": "정말 재미있고 감동적인 영화 {}번 봐도 좋다", "부정": "{}분 보다가 껐다 지루하고 최악이다"}
    good = [own[condition].format(number) for number, condition in enumerate(WANTED)]
    line = contest.baseline()[1]
    assert 0.4 < line < 0.9
    assert contest.score(["재미있다"] * 100) == 0.0  # 어절 두 개짜리가 없습니다.
    swapped = good[1:] + good[:1]
    assert contest.score(good) > contest.score(swapped)
    assert contest.score(tuple(good)) == contest.score(good)


def test_reviews_that_are_not_a_hundred_own_ones_are_not_scored():
    assert "100개여야" in reject_submission(7, ["좋다"])
    assert "0번이 글이 아닙니다" in reject_submission(7, [{"generated": "좋다"}] * 100)
    assert "앞에 조건이" in reject_submission(7, [f"{condition} 좋다" for condition in WANTED])
    learned = [row.text.removeprefix(row.condition) for row in reviews() if len(row.text) > 40]
    assert "통째로 옮긴" in reject_submission(7, learned[:100])
