"""11장의 채점: 순위와 로그의 밑, 비긴 쌍, 더 긴 숫자의 일부를 가려냅니다."""

import math
import re

import numpy as np
import pytest
import torch
from chapter_cells import run_cells
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.checks.mask_attack import membership_auc, shadow_record
from nlpbook_nbs.core.canaries import exposure, roc


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(11)


def test_exposure_is_accepted_however_it_is_computed():
    def by_sorting(scores, place):
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return math.log2(len(scores) / (order.index(place) + 1))

    for answer in (
        by_sorting,
        exposure,
        lambda scores, place: (
            torch.tensor(len(scores)).log2() - torch.tensor(1 + sum(s > scores[place] for s in scores)).log2()
        ),
    ):
        accept(11, 1, answer)


@pytest.mark.parametrize(
    "answer",
    [
        lambda scores, place: (
            math.log2(len(scores)) - math.log2(max(1, sum(s > scores[place] for s in scores)))
        ),
        lambda scores, place: math.log(len(scores) / (1 + sum(s > scores[place] for s in scores))),
        lambda scores, place: math.log2(len(scores) / (1 + sum(s < scores[place] for s in scores))),
        lambda scores, place: math.log2(len(scores) / (1 + place)),
        lambda scores, place: math.log2(1 + sum(s > scores[place] for s in scores)),
        lambda scores, place: exposure(scores, 0),
    ],
)
def test_wrong_exposures_are_refused(answer):
    refuse(11, 1, answer)


def test_auc_is_accepted_however_it_is_computed():
    def by_ranks(members, others):
        from scipy.stats import rankdata

        ranks = rankdata([*members, *others])[: len(members)]
        return (ranks.sum() - len(members) * (len(members) + 1) / 2) / (len(members) * len(others))

    for answer in (
        by_ranks,
        lambda members, others: roc(members, others)["auc"],
        lambda m, o: np.mean([(a > b) + (a == b) / 2 for a in m for b in o]),
    ):
        accept(11, 2, answer)


def test_wrong_aucs_are_refused():
    assert "같은 쌍" in refuse(11, 2, lambda m, o: np.mean([a > b for a in m for b in o]))
    for answer in (
        lambda m, o: np.mean([a >= b for a in m for b in o]),
        lambda m, o: np.mean([a > b for a, b in zip(m, o)]),
        lambda m, o: 1 - roc(m, o)["auc"],
        lambda m, o: float(np.mean(m) > np.mean(o)),
        lambda m, o: sum((a > b) + (a == b) / 2 for a in m for b in o),
    ):
        refuse(11, 2, answer)


def test_missed_secrets_are_accepted_however_they_are_found():
    def by_look_around(sentences, secrets):
        return sum(any(re.search(rf"(?<!\d){s}(?!\d)", line) for s in secrets) for line in sentences)

    def by_splitting(sentences, secrets):
        return sum(any(part in secrets for part in re.split(r"\D+", line)) for line in sentences)

    for answer in (by_look_around, by_splitting):
        accept(11, 3, answer)


@pytest.mark.parametrize(
    "answer",
    [
        lambda lines, secrets: sum(any(re.search(rf"\b{s}\b", line) for s in secrets) for line in lines),
        lambda lines, secrets: sum(any(s in line for s in secrets) for line in lines),
        lambda lines, secrets: sum(any(s in line.split() for s in secrets) for line in lines),
        lambda lines, secrets: sum((re.findall(r"\d+", line) or [""])[0] in secrets for line in lines),
        lambda lines, secrets: sum(n in secrets for line in lines for n in re.findall(r"\d+", line)),
        lambda lines, secrets: sum(
            any(int(n) in set(map(int, secrets)) for n in re.findall(r"\d+", line)) for line in lines
        ),
    ],
)
def test_wrong_counts_of_missed_secrets_are_refused(answer):
    refuse(11, 3, answer)


def test_membership_scores_are_scored_on_what_the_first_model_has_read():
    scores, inside, start = shadow_record()
    assert membership_auc.score(inside[0] * 1.0) == 1.0 and membership_auc.score(-1.0 * inside[0]) == 0.0
    assert membership_auc.baseline()[1] == membership_auc.score((scores[0] - start).tolist())
    assert "800개" in reject_submission(11, [0.5])
    assert "nan" in reject_submission(11, np.full(inside.shape[1], np.nan))


def test_scores_given_for_the_contest_say_nothing_of_what_the_target_has_read_by_their_number():
    scores, inside, start = shadow_record()
    given = {"np": np, "shadows": scores}
    found = [
        run_cells("11", "read_scores, unread_scores =", inside=known, **given)
        for known in (inside, np.concatenate([~inside[:1], inside[1:]]))
    ]
    read, unread = found[0]["read_scores"], found[0]["unread_scores"]
    assert read.shape == unread.shape == (len(start), read.shape[1]) and read.shape[1] > 0
    assert all(np.array_equal(read, each["read_scores"]) for each in found)
    for text in (0, 7, 799):
        assert set(read[text]) <= set(scores[1:, text][inside[1:, text]])
        assert set(unread[text]) <= set(scores[1:, text][~inside[1:, text]])
    answer = scores[0] - (read.mean(axis=1) + unread.mean(axis=1)) / 2
    assert membership_auc.score(answer) > membership_auc.baseline()[1]
