"""5장의 채점: 창을 하나라도 잘못 세거나, 글자를 집합으로 세거나, 점수를 보지 않는 답을 가려냅니다."""

import math
from collections import Counter

import numpy as np
import pytest
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.core.scoreboard import contest_of
from nlpbook_nbs.qa import normalize_answer


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(5)


def test_window_counts_are_accepted_however_they_are_computed():
    def stepping(total, room, stride):
        count = 1
        while (count - 1) * stride + room < total:
            count += 1
        return count

    for answer in (
        stepping,
        lambda total, room, stride: 1 + max(0, math.ceil((total - room) / stride)),
        lambda total, room, stride: np.int64(1 + max(0, -(-(total - room) // stride))),
        lambda total, room, stride: float(stepping(total, room, stride)),
    ):
        accept(5, 1, answer)


@pytest.mark.parametrize(
    "answer",
    [
        lambda total, room, stride: -(-(total - room) // stride) + 1,  # 짧은 지문에서 0이나 음수
        lambda total, room, stride: 1 + max(0, (total - room) // stride),  # 내림
        lambda total, room, stride: 1 + max(0, (total - room) // stride + 1),  # 꼭 맞을 때 하나 더
        lambda total, room, stride: -(-total // stride),
        lambda total, room, stride: -(-total // room),  # 간격을 보지 않음
        lambda total, room, stride: 1,
        lambda total, room, stride: "3",
    ],
)
def test_wrong_window_counts_are_refused(answer):
    refuse(5, 1, answer)


def letters(text):
    return Counter(normalize_answer(text).replace(" ", ""))


def by_counts(prediction, gold):
    found, wanted = letters(prediction), letters(gold)
    same = sum((found & wanted).values())
    return same / sum(found.values()), same / sum(wanted.values())


def by_crossing_out(prediction, gold):
    left = list(normalize_answer(gold).replace(" ", ""))
    size, chars, same = len(left), list(normalize_answer(prediction).replace(" ", "")), 0
    for letter in chars:
        if letter in left:
            left.remove(letter)
            same += 1
    return np.array([same / len(chars), same / size])


def test_precision_and_recall_are_accepted_however_they_are_counted():
    for answer in (by_counts, by_crossing_out, lambda *given: list(by_counts(*given))):
        accept(5, 2, answer)


def by_sets(prediction, gold):
    found, wanted = set(letters(prediction)), set(letters(gold))
    return len(found & wanted) / len(found), len(found & wanted) / len(wanted)


def without_normalizing(prediction, gold):
    found, wanted = Counter(prediction.replace(" ", "")), Counter(gold.replace(" ", ""))
    same = sum((found & wanted).values())
    return same / sum(found.values()), same / sum(wanted.values())


def with_spaces(prediction, gold):
    found, wanted = Counter(normalize_answer(prediction)), Counter(normalize_answer(gold))
    same = sum((found & wanted).values())
    return same / sum(found.values()), same / sum(wanted.values())


def test_wrong_precision_and_recall_are_refused():
    assert "횟수" in refuse(5, 2, by_sets)
    assert "차례" in refuse(5, 2, lambda *given: by_counts(*given)[::-1])
    for answer in (without_normalizing, with_spaces, lambda *given: by_counts(*given)[0]):
        refuse(5, 2, answer)


def test_careful_answers_are_accepted():
    def plain(found, threshold):
        if not found["found"] or found["score"] < threshold:
            return "모르겠습니다"
        return found["answer"]

    accept(5, 3, plain)
    accept(5, 3, lambda f, t: f["answer"] if f["found"] and f["score"] >= t else "모르겠습니다.")


@pytest.mark.parametrize(
    "answer",
    [
        lambda found, threshold: found["answer"] if found["score"] >= threshold else "모르겠습니다",
        lambda found, threshold: found["answer"] or "모르겠습니다",  # 점수를 보지 않음
        lambda found, threshold: (
            found["answer"] if found["found"] and found["score"] > threshold else "모르겠습니다"
        ),
        lambda found, threshold: "모르겠습니다",
        lambda found, threshold: found["found"] and found["score"] >= threshold,
    ],
)
def test_careless_answers_are_refused(answer):
    refuse(5, 3, answer)


def test_answers_are_scored_on_the_test_questions_of_the_sample():
    contest = contest_of(5)
    from nlpbook_nbs.core.corpora import sample_root
    from nlpbook_nbs.core.squad import read_korquad

    rows = read_korquad(sample_root() + "/korquad-v1/KorQuAD_v1.0_dev.json")
    assert contest.score([row.answer_text for row in rows]) == 100.0
    assert contest.score({row.qas_id: row.answer_text for row in rows}) == 100.0
    assert contest.score([""] * len(rows)) == 0.0
    assert str(len(rows)) in reject_submission(5, ["세종"])
    assert "글이 아니라" in reject_submission(5, [3] * len(rows))
    assert contest.baseline()[0] == "늘 같은 자리"
