"""1장의 채점: 맞는 답은 꼴이 달라도 받아들이고, 틀린 답에는 어디가 틀렸는지 알려 줍니다."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.core.scoreboard import contest_of


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(1)


@pytest.mark.parametrize(
    "answer", [math.log(3), 1.0986, np.float32(np.log(3)), torch.tensor([1.0986]), -math.log(1 / 3)]
)
def test_loss_of_three_labels_is_accepted(answer):
    accept(1, 1, answer)


@pytest.mark.parametrize("answer", [math.log(2), math.log2(3), -1.0986, 1 / 3, "ln 3", True, [1.1, 1.1], 1.1])
def test_other_loss_is_refused_without_telling_the_right_one(answer):
    assert "1.098" not in refuse(1, 1, answer).replace("-1.098", "")


def test_right_rate_is_accepted_however_it_is_computed():
    def multiplied(learning_rate, epoch):
        for _ in range(epoch):
            learning_rate *= 0.9
        return learning_rate

    def tensor(learning_rate, epoch):
        return (
            torch.tensor(learning_rate, dtype=torch.float64) * torch.tensor(0.9, dtype=torch.float64) ** epoch
        )

    for answer in (
        lambda rate, epoch: rate * 0.9**epoch,
        lambda rate, epoch: rate * float(Fraction(9, 10) ** epoch),
        multiplied,
        tensor,
    ):
        accept(1, 2, answer)


def test_wrong_rates_are_refused():
    for answer in (
        lambda rate, epoch: rate,
        lambda rate, epoch: 5e-5 * 0.9**epoch,
        lambda rate, epoch: rate * (1 - 0.1 * epoch),
        lambda rate, epoch: rate * 0.9 ** (epoch + 1),
        lambda rate, epoch: rate * 0.9 if epoch else rate,
        lambda rate, epoch: f"{rate * 0.9**epoch}",
    ):
        refuse(1, 2, answer)
    assert "ZeroDivisionError" in refuse(1, 2, lambda rate, epoch: rate / epoch)


def test_right_share_is_accepted_however_it_is_counted():
    def counted(loader):
        real = total = 0
        for batch in loader:
            real += int(batch["attention_mask"].sum())
            total += batch["attention_mask"].numel()
        return real / total

    def by_numbers(loader):
        rows = [row for batch in loader for row in batch["input_ids"].tolist()]
        return sum(each != 0 for row in rows for each in row) / sum(map(len, rows))

    def tensor(loader):
        return torch.cat([batch["attention_mask"].flatten() for batch in loader]).float().mean()

    for answer in (counted, by_numbers, tensor):
        accept(1, 3, answer)


def test_wrong_shares_are_refused():
    def means(loader):
        return np.mean([batch["attention_mask"].float().mean() for batch in loader])

    assert "한 번만 나누세요" in refuse(1, 3, means)
    for answer in (
        lambda loader: 0.5,
        lambda loader: next(iter(loader))["attention_mask"].float().mean(),
        lambda loader: 1 - torch.cat([b["attention_mask"].flatten() for b in loader]).float().mean(),
        lambda loader: sum(int(b["attention_mask"].sum()) for b in loader),
        lambda loader: (
            torch.cat([b["attention_mask"].flatten() for b in list(loader)[:-1] or loader]).float().mean()
        ),
    ):
        refuse(1, 3, answer)


def test_reviews_are_scored_on_the_test_reviews_of_the_sample():
    contest = contest_of(1)
    assert 0.4 < contest.score(np.zeros(2000, int)) < 0.6
    assert (
        contest.score(["0"] * 2000)
        == contest.score([0] * 2000)
        == pytest.approx(1 - contest.score([1] * 2000))
    )
    assert "2000개" in reject_submission(1, [0, 1]) and "0, 1" in reject_submission(1, ["부정"] * 2000)
    name, line = contest.baseline()
    assert "글자 조각" in name and 0.8 < line < 0.9
