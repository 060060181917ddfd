"""2장의 채점: 맞는 답은 방법과 꼴이 달라도 받아들이고, 틀린 답에는 어디가 틀렸는지 알려 줍니다."""

from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.classification import ClassificationExample, NsmcCorpus
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.scoreboard import contest_of


def by_counts(rows, texts):
    counts = Counter((row.text_a[-1:], row.label) for row in rows)
    return [int(counts[text[-1:], "1"] > counts[text[-1:], "0"]) for text in texts]


def by_sums(rows, texts):
    lean = defaultdict(int)
    for row in rows:
        lean[row.text_a[-1]] += 1 if row.label == "1" else -1
    return np.array([lean[text[-1]] > 0 for text in texts]).astype(int)


def in_words(rows, texts):
    return tuple(map(str, by_counts(rows, texts)))


def ties_positive(rows, texts):
    counts = Counter((row.text_a[-1:], row.label) for row in rows)
    return [int(counts[text[-1:], "1"] >= counts[text[-1:], "0"]) for text in texts]


def unseen_positive(rows, texts):
    seen = {row.text_a[-1] for row in rows}
    return [found if text[-1] in seen else 1 for found, text in zip(by_counts(rows, texts), texts)]


def of_first_letters(rows, texts):
    return by_counts(
        [ClassificationExample(row.text_a[::-1], None, row.label) for row in rows],
        [text[::-1] for text in texts],
    )


def seen_once(rows, texts):
    return [int((text[-1], "1") in {(row.text_a[-1], row.label) for row in rows}) for text in texts]


def counting_test_texts(rows, texts):
    return by_counts(rows, texts)[: len(texts) // 2]


def selective(probabilities, labels, threshold):
    answered = probabilities.max(axis=1) >= threshold
    correct = probabilities.argmax(axis=1) == labels
    return answered.mean(), correct[answered].mean() if answered.any() else float("nan")


def one_by_one(probabilities, labels, threshold):
    kept = [
        (list(row).index(max(row)), label)
        for row, label in zip(probabilities, labels)
        if max(row) >= threshold
    ]
    right = sum(found == label for found, label in kept)
    return [len(kept) / len(labels), right / len(kept) if kept else np.nan]


def in_tensor(probabilities, labels, threshold):
    return torch.tensor(selective(probabilities, labels, threshold), dtype=torch.float64)


def above(probabilities, labels, threshold):
    return selective(probabilities, labels, threshold + 1e-9)


def of_all(probabilities, labels, threshold):
    share, right = selective(probabilities, labels, threshold)
    return share, right * share


def zero_when_silent(probabilities, labels, threshold):
    share, right = selective(probabilities, labels, threshold)
    return share, np.nan_to_num(right)


def of_the_first_label(probabilities, labels, threshold):
    answered = probabilities[:, 0] >= threshold
    right = (probabilities.argmax(axis=1) == labels)[answered]
    return answered.mean(), right.mean() if answered.any() else float("nan")


class Topics:
    num_labels = 3
    rows = (
        ("눈빛이 좋다", "연기"),
        ("어색하다", "연기"),
        ("주제곡이 좋다", "음악"),
        ("너무 크다", "음악"),
        ("뻔하다", "이야기"),
        ("반전이 있다", "이야기"),
    )

    def get_labels(self):
        return ["연기", "음악", "이야기"]

    def get_examples(self, data_root_path, mode):
        return [ClassificationExample(text, None, label) for text, label in self.rows]


class Reordered(Topics):
    def get_labels(self):
        return ("이야기", "연기", "음악")

    def get_examples(self, data_root_path, mode):
        return iter(super().get_examples(data_root_path, mode)) if mode == "train" else []


class AnyLabels(Topics):
    num_labels = 2
    rows = (("좋다", "긍정"), ("좋아요", "긍정"), ("별로", "부정"), ("싫다", "부정"))

    def get_labels(self):
        return ["긍정", "부정"]


class Nothing(Topics):
    rows = ()


class EmptyTexts(Topics):
    rows = tuple((" ", label) for _, label in Topics.rows)


class Repeated(Topics):
    rows = tuple(("같은 글", label) for _, label in Topics.rows)


class TooFew(Topics):
    rows = Topics.rows[:5]


class WrongNumber(Topics):
    num_labels = 2


class Stranger(Topics):
    rows = (*Topics.rows, ("색이 곱다", "미술"))


class Pairs(Topics):
    def get_examples(self, data_root_path, mode):
        return [ClassificationExample(text, "둘째", label) for text, label in self.rows]


RIGHT = {
    1: [by_counts, by_sums, in_words],
    2: [selective, one_by_one, in_tensor],
    3: [Topics, Reordered, Topics()],
}
WRONG = {
    1: [ties_positive, unseen_positive, of_first_letters, seen_once, counting_test_texts],
    2: [above, of_all, zero_when_silent, of_the_first_label, lambda *given: selective(*given)[0]],
    3: [AnyLabels, Nothing, EmptyTexts, Repeated, TooFew, WrongNumber, Stranger, Pairs],
}


@pytest.mark.parametrize(("number", "place"), [(n, p) for n, each in RIGHT.items() for p in range(len(each))])
def test_right_answers_are_accepted(number, place):
    accept(2, number, RIGHT[number][place])


@pytest.mark.parametrize(("number", "place"), [(n, p) for n, each in WRONG.items() for p in range(len(each))])
def test_wrong_answers_are_refused(number, place):
    refuse(2, number, WRONG[number][place])


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(2)


def test_half_that_is_surest_is_scored_on_the_test_reviews():
    contest = contest_of(2)
    labels = np.array(
        [float(row.label) for row in NsmcCorpus().get_examples(f"{sample_root()}/nsmc", "test")]
    )
    assert contest.score(labels) == 1 and contest.score(1 - labels) == 0
    unsure = np.where(np.arange(2000) < 1000, 0.5 + 0.1 * (labels - 0.5), 0.4 + 0.2 * (1 - labels))
    assert contest.score(unsure) == 0, "0.1만큼 먼 것이 0.05만큼 먼 것보다 앞섭니다"
    assert 0.9 < contest.baseline()[1] < 1


def test_what_is_not_a_probability_is_not_scored():
    assert "2000개" in reject_submission(2, [0.5])
    for answer in ([2.0] * 2000, ["긍정"] * 2000, [[0.5, 0.5]] * 2000, 0.5):
        reject_submission(2, answer)
