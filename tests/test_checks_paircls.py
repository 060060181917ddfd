"""3장의 채점: 맞는 답은 방법과 꼴이 달라도 받아들이고, 틀린 답에는 어디가 틀렸는지 알려 줍니다."""

import re

import numpy as np
import pytest
import torch
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.classification import ClassificationExample
from nlpbook_nbs.core.scoreboard import contest_of


def rule(words):
    return lambda hypothesis: "contradiction" if any(word in hypothesis for word in words) else "entailment"


def by_pattern(hypothesis):
    return "contradiction" if re.search("않|안 |못|없|아니", hypothesis) else "entailment"


def one_by_one(first, second, room):
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


def at_once(first, second, room):
    if first + second <= room:
        return [first, second]
    half = room // 2
    if second <= half:
        return [room - second, second]
    return [first, room - first] if first <= room - half else [room - half, half]


def in_tensor(first, second, room):
    return torch.tensor(one_by_one(first, second, room))


def from_the_second(first, second, room):
    second = min(second, max(0, room - first))
    return min(first, room), second


def ties_from_the_first(first, second, room):
    return one_by_one(second, first, room)[::-1]


class Questions:
    num_labels = 2
    rows = (
        ("우산은 어디서 빌리나요?", "우산 대여는 어디서 하나요?", "same"),
        ("몇 시에 문을 닫아요?", "영업은 언제 끝나나요?", "same"),
        ("몇 시에 문을 닫아요?", "몇 시에 문을 여나요?", "different"),
        ("주차장이 있나요?", "주차 요금은 얼마인가요?", "different"),
    )

    def get_labels(self):
        return ["different", "same"]

    def get_examples(self, data_root_path, mode):
        return [ClassificationExample(*row) for row in self.rows]


class InTuples(Questions):
    def get_labels(self):
        return ("different", "same")

    def get_examples(self, data_root_path, mode):
        return tuple(super().get_examples(data_root_path, mode)) if mode == "train" else ()


class OtherOrder(Questions):
    def get_labels(self):
        return ["same", "different"]


class OnlyFirst(Questions):
    rows = tuple((first, None, label) for first, _, label in Questions.rows)


class OneSame(Questions):
    rows = Questions.rows[1:]


class SameButDifferent(Questions):
    rows = (*Questions.rows, ("열려 있나요?", "열려 있나요?", "different"))


class Blank(Questions):
    rows = tuple(("", second, label) for _, second, label in Questions.rows)


NEGATIONS = ("않", "안 ", "못", "없", "아니")
RIGHT = {
    1: [rule(NEGATIONS), by_pattern],
    2: [one_by_one, at_once, in_tensor],
    3: [Questions, InTuples, Questions()],
}
WRONG = {
    1: [
        rule(("않", "없")),
        rule(("않", "안", "못", "없", "아니")),
        rule(NEGATIONS[:4]),
        rule(("않다", "안 ", "못", "없", "아니")),
        lambda hypothesis: "contradiction",
        lambda hypothesis: "contradiction" if hypothesis.endswith(NEGATIONS) else "entailment",
        lambda hypothesis: int(by_pattern(hypothesis) == "contradiction"),
        lambda hypothesis: by_pattern(hypothesis).upper(),
    ],
    2: [
        from_the_second,
        ties_from_the_first,
        lambda first, second, room: (first, second),
        lambda first, second, room: (min(first, room // 2), min(second, room // 2)),
        lambda first, second, room: one_by_one(first, second, room - 1),
        lambda first, second, room: sum(one_by_one(first, second, room)),
    ],
    3: [OtherOrder, OnlyFirst, OneSame, SameButDifferent, Blank],
}


@pytest.mark.parametrize(("number", "place"), [(n, p) for n, each in RIGHT.items() for p in range(len(each))])
def test_right_answers_are_accepted(number, place):
    accept(3, number, RIGHT[number][place])


@pytest.mark.parametrize(("number", "place"), [(n, p) for n, each in WRONG.items() for p in range(len(each))])
def test_wrong_answers_are_refused(number, place):
    refuse(3, number, WRONG[number][place])


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(3)


def test_pairs_are_scored_on_the_pairs_of_the_sample():
    contest = contest_of(3)
    scores = [contest.score(np.array([label] * 400)) for label in ("entailment", "contradiction", "neutral")]
    assert sum(scores) == pytest.approx(1) and max(scores) < contest.baseline()[1]
    assert "entailment" in reject_submission(3, ["함의"] * 400)
    reject_submission(3, ["neutral"] * 3)
