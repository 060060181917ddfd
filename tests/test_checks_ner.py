"""4장의 채점: 맞는 답은 방법과 꼴이 달라도 받아들이고, 틀린 답에는 어디가 틀렸는지 알려 줍니다."""

import itertools
import re

import numpy as np
import pytest
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.entities import read_tagged
from nlpbook_nbs.core.iob import Entity
from nlpbook_nbs.core.scoreboard import contest_of


def is_legal(tags):
    before = "O"
    for tag in tags:
        if tag[0] == "I" and (before == "O" or before[2:] != tag[2:]):
            return False
        before = tag
    return True


def by_pattern(tags):
    text = " ".join(["O", *tags]) + " "
    return np.bool_(
        all(
            re.search(rf"[BI]-{found[1]} $", text[: found.start()])
            for found in re.finditer(r"I-(\w+)(?= )", text)
        )
    )


def any_before(tags):
    return all(tag[0] != "I" or before != "O" for before, tag in zip(["O", *tags], tags))


def begins_alike(tags):
    return all(tag[0] != "I" or before[1:].startswith(tag[1:]) for before, tag in zip(["O", *tags], tags))


def only_after_b(tags):
    return all(tag[0] != "I" or before == f"B{tag[1:]}" for before, tag in zip(["O", *tags], tags))


def from_the_second(tags):
    return all(tag[0] != "I" or before[1:] == tag[1:] for before, tag in itertools.pairwise(tags))


def entity_f1(gold, found):
    same = len(set(gold) & set(found))
    precision = same / len(found) if found else 0.0
    recall = same / len(gold) if gold else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if same else 0.0


def by_counts(gold, found):
    same = sum(each in gold for each in found)
    return np.array(
        [same / max(1, len(found)), same / max(1, len(gold)), 2 * same / max(1, len(gold) + len(found))]
    )


def of_places(gold, found):
    return entity_f1([each[:2] for each in gold], [each[:2] for each in found])


def of_starts(gold, found):
    return entity_f1([(each[0], each[2]) for each in gold], [(each[0], each[2]) for each in found])


def perfect_when_empty(gold, found):
    return entity_f1(gold, found) if gold or found else (1.0, 1.0, 1.0)


def plain_mean(gold, found):
    precision, recall, _ = entity_f1(gold, found)
    return precision, recall, (precision + recall) / 2


def mask_backward(text, entities, labels):
    for each in reversed(entities):
        if each["label"] in labels:
            text = text[: each["start"]] + f"[{each['label']}]" + text[each["end"] :]
    return text


def mask_forward(text, entities, labels):
    parts, place = [], 0
    for each in entities:
        if each["label"] in labels:
            parts += [text[place : each["start"]], "[", each["label"], "]"]
            place = each["end"]
    return "".join([*parts, text[place:]])


def without_shift(text, entities, labels):
    return mask_backward(text, entities[::-1], labels)


def by_replacing(text, entities, labels):
    for each in entities:
        if each["label"] in labels:
            text = text.replace(each["text"], f"[{each['label']}]")
    return text


def every_label(text, entities, labels):
    return mask_backward(text, entities, ("PS", "OG", "DT"))


def without_name(text, entities, labels):
    return re.sub(r"\[\w+\]", "[]", mask_backward(text, entities, labels))


RIGHT = {1: [is_legal, by_pattern], 2: [entity_f1, by_counts], 3: [mask_backward, mask_forward]}
WRONG = {
    1: [any_before, begins_alike, only_after_b, from_the_second, lambda tags: True, lambda tags: "예"],
    2: [
        of_places,
        of_starts,
        perfect_when_empty,
        plain_mean,
        lambda gold, found: entity_f1(found, gold),
        lambda gold, found: entity_f1(gold, found)[2],
    ],
    3: [without_shift, by_replacing, every_label, without_name],
}


@pytest.mark.parametrize(("number", "place"), [(n, p) for n, each in RIGHT.items() for p in range(len(each))])
def test_right_answers_are_accepted(number, place):
    accept(4, number, RIGHT[number][place])


@pytest.mark.parametrize(("number", "place"), [(n, p) for n, each in WRONG.items() for p in range(len(each))])
def test_wrong_answers_are_refused(number, place):
    refuse(4, number, WRONG[number][place])


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(4)


def test_entities_are_scored_on_the_test_sentences_in_any_of_their_forms():
    contest = contest_of(4)
    rows = [row.entities for row in read_tagged(f"{sample_root()}/klue-ner/klue-ner-v1.1_dev.tsv")]
    plain = [[(each.start, each.end, each.label) for each in row] for row in rows]
    named = [[{"start": a, "end": b, "label": label, "score": 1.0} for a, b, label in row] for row in plain]
    assert contest.score(rows) == contest.score(plain) == contest.score(named) == 1
    assert 0 < contest.score([row[:1] for row in plain]) < 1 and contest.score([[] for _ in rows]) == 0
    assert 0.6 < contest.baseline()[1] < 0.7


def test_what_is_not_a_list_of_entities_is_not_scored():
    empty = [[] for _ in range(500)]
    for answer in (
        empty[:3],
        [[(0, 2)], *empty[1:]],
        [[(0, "끝", "PS")], *empty[1:]],
        [[Entity(0, 9999, "PS")], *empty[1:]],
    ):
        reject_submission(4, answer)
