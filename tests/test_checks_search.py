"""6장의 채점: 맞는 답은 꼴이 달라도 받아들이고, 틀린 답에는 어디가 틀렸는지 알려 줍니다."""

import itertools
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.fusion import fuse_ranks
from nlpbook_nbs.core.indexes import build_index
from nlpbook_nbs.core.passages import read_passages
from nlpbook_nbs.core.retrieval import read_questions
from nlpbook_nbs.core.scoreboard import contest_of
from nlpbook_nbs.core.searching import Searcher


def joined(text):
    letters = "".join(letter for letter in text if letter.isalnum())
    return [letters[at : at + 2] for at in range(max(min(1, len(letters)), len(letters) - 1))]


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(6)


def test_right_bigrams_are_accepted_however_they_are_cut():
    def by_pattern(text):
        letters = re.sub(r"\W", "", text)
        return re.findall(r"(?=(..))", letters) or re.findall(r".", letters)

    def one_by_one(text):
        letters = [each for each in text if each.isalpha() or each.isdigit()]
        if len(letters) == 1:
            return np.array(letters)
        return tuple(first + second for first, second in itertools.pairwise(letters))

    for answer in (joined, by_pattern, one_by_one, lambda text: (each for each in joined(text))):
        accept(6, 1, answer)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda text: [text[at : at + 2] for at in range(len(text) - 1)], "글자도 숫자도 아닌"),
        (lambda text: [pair for word in text.split() for pair in joined(word)], "나올 수 없는"),
        (lambda text: sorted(set(joined(text))), ""),
        (lambda text: list(dict.fromkeys(joined(text))), "나오는 횟수만큼"),
        (lambda text: [pair for pair in joined(text) if len(pair) == 2], "하나뿐"),
        (lambda text: joined(text) or [""], "빈 글"),
        (lambda text: joined(text)[::2], "빠진 조각"),
        (lambda text: joined(text)[::-1], "차례대로"),
        (lambda text: " ".join(joined(text)), "목록이어야"),
        (lambda text: joined(text)[0:] if text[0] else [], "IndexError"),
    ],
)
def test_wrong_bigrams_are_refused_with_the_reason(answer, hint):
    assert hint in refuse(6, 1, answer)


def test_right_fusions_are_accepted_however_they_add():
    def backwards(rankings, k):
        scores = defaultdict(float)
        for ranking in rankings:
            for key in ranking:
                scores[key] += 0.0
        for ranking in rankings[::-1]:
            for place, key in enumerate(ranking):
                scores[key] += 1 / (k + place + 1)
        return tuple(sorted(scores, key=scores.get, reverse=True))

    def table(rankings, k):
        keys = list(dict.fromkeys(key for ranking in rankings for key in ranking))
        scores = [
            sum(1 / (k + 1 + ranking.index(key)) for ranking in rankings if key in ranking) for key in keys
        ]
        return np.array(keys)[np.argsort(-np.array(scores), kind="stable")]

    for answer in (lambda rankings, k: [key for key, _ in fuse_ranks(rankings, k)], backwards, table):
        accept(6, 2, answer)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda rankings, k: fuse_ranks(rankings, k), "점수는 빼고"),
        (lambda rankings, k: [key for key, _ in fuse_ranks(rankings, k - 1)], "맨 앞의 차례는 1"),
        (lambda rankings, k: [key for key, _ in fuse_ranks(rankings, 60)], "k를 썼는지"),
        (lambda rankings, k: [key for key, _ in fuse_ranks(rankings, k)][::-1], "높은 것부터"),
        (lambda rankings, k: [key for key, _ in fuse_ranks(rankings, k, 3)], "빠뜨리지"),
        (lambda rankings, k: [key for ranking in rankings for key in ranking], "두 번"),
        (lambda rankings, k: sorted({key for ranking in rankings for key in ranking}), ""),
        (
            lambda rankings, k: [key for key, _ in fuse_ranks([each[:] for each in rankings[::-1]], k)],
            "먼저 나온",
        ),
        (lambda rankings, k: rankings.clear() or [], "고쳤습니다"),
    ],
)
def test_wrong_fusions_are_refused_with_the_reason(answer, hint):
    assert hint in refuse(6, 2, answer)


def test_careful_titles_are_accepted_however_they_are_chosen():
    def walked(hits, threshold):
        for hit in hits:
            return "찾지 못했습니다" if hit.parts["meaning"] < threshold else hit.passage.title
        return "찾지 못했습니다"

    def kept(hits, threshold):
        return next((hit.passage.title for hit in hits if hit.score >= threshold), "찾지 못했습니다")

    for answer in (walked, kept):
        accept(6, 3, answer)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda hits, threshold: hits[0].passage.title, "IndexError"),
        (lambda hits, threshold: hits[0].passage.title if hits else "찾지 못했습니다", "낮습니다"),
        (
            lambda hits, threshold: (
                hits[0].passage.title if hits and hits[0].score > threshold else "찾지 못했습니다"
            ),
            "낮은 것이 아닙니다",
        ),
        (
            lambda hits, threshold: (
                hits[-1].passage.title if hits and hits[0].score >= threshold else "찾지 못했습니다"
            ),
            "첫째 지문의 제목",
        ),
        (lambda hits, threshold: "찾지 못했습니다", "제목"),
    ],
)
def test_careless_titles_are_refused_with_the_reason(answer, hint):
    assert hint in refuse(6, 3, answer)


def test_paraphrases_are_scored_over_the_passages_of_the_package(tmp_path):
    folder, contest = Path(sample_root(), "kowiki"), contest_of(6)
    passages = read_passages(folder / "passages.tsv")
    rows = read_questions(folder, "test", {each.id: each for each in passages})
    assert contest.score([(key,) for _, key, _ in rows]) == 1
    assert contest.score([[]] * len(rows)) == 0
    search = Searcher(build_index(tmp_path / "index", passages))
    hits = search.search([text for text, _, _ in rows], 10, "words")
    name, line = contest.baseline()
    assert "BM25" in name and contest.score(hits) == pytest.approx(line, abs=0.002)
    assert "153개" in reject_submission(6, [["상어-7"]])
    assert "id가 아닙니다" in reject_submission(6, [["없는 지문"]] * 153)
    assert "두 번" in reject_submission(6, [["상어-7", "상어-7"]] * 153)
