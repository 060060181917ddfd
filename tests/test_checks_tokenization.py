"""8장의 채점: 맞는 답은 방법과 꼴이 달라도 받아들이고, 틀린 답에는 어디가 틀렸는지 알려 줍니다."""

import itertools
from collections import Counter

import pytest
from checking import accept, leave_blank, refuse, reject_submission

from nlpbook_nbs.checks.tokenization import review_words
from nlpbook_nbs.core.scoreboard import contest_of


def each_splits(word, vocab):
    if not word:
        return 1
    return sum(each_splits(word[n:], vocab) for n in range(1, len(word) + 1) if word[:n] in vocab)


def remembered_splits(word, vocab):
    known = {}

    def ways(start):
        if start == len(word):
            return 1
        if start not in known:
            ends = range(start + 1, len(word) + 1)
            known[start] = sum(ways(end) for end in ends if word[start:end] in vocab)
        return known[start]

    return ways(0)


def forward_splits(word, vocab):
    ways = {0: 1}
    for start in range(len(word)):
        for piece in vocab:
            if word.startswith(piece, start):
                ways[start + len(piece)] = ways.get(start + len(piece), 0) + ways.get(start, 0)
    return ways.get(len(word), 0)


def greedy_splits(word, vocab):
    while word:
        end = next((n for n in range(len(word), 0, -1) if word[:n] in vocab), 0)
        if not end:
            return 0
        word = word[end:]
    return 1


def listed_pairs(words):
    found = {}
    for pieces, times in words.items():
        for place in range(len(pieces) - 1):
            found[pieces[place : place + 2]] = found.get(pieces[place : place + 2], 0) + times
    return found


def counted_pairs(words):
    return Counter(
        pair for pieces, times in words.items() for pair in itertools.pairwise(pieces) for _ in range(times)
    )


RIGHT = {
    1: [
        lambda text: sum(1 + (ord(c) > 127) + (ord(c) > 2047) + (ord(c) > 65535) for c in text),
        lambda text: sum(
            1 if ord(c) < 128 else 2 if ord(c) < 2048 else 3 if ord(c) < 65536 else 4 for c in text
        ),
    ],
    2: [listed_pairs, counted_pairs],
    3: [remembered_splits, forward_splits],
}
WRONG = {
    1: [
        len,
        lambda text: len(text.encode()),
        lambda text: len(bytes(text, "utf-8")),
        lambda text: 3 * len(text),
        lambda text: sum(1 if ord(c) < 128 else 3 for c in text),
        lambda text: sum(1 + (ord(c) > 128) + (ord(c) > 2048) + (ord(c) > 65536) for c in text),
        lambda text: len(text.encode("utf-16-le")),
    ],
    2: [
        lambda words: Counter(pair for pieces in words for pair in itertools.pairwise(pieces)),
        lambda words: {pair: n for pieces, n in words.items() for pair in itertools.pairwise(pieces)},
        lambda words: sum(
            (Counter({p: n for p in set(itertools.pairwise(w))}) for w, n in words.items()), Counter()
        ),
        lambda words: Counter(
            {a + b: n for pieces, n in words.items() for a, b in itertools.pairwise(pieces)}
        ),
    ],
    3: [
        greedy_splits,
        each_splits,
        lambda word, vocab: sum(piece in word for piece in vocab),
        lambda word, vocab: 2 ** (len(word) - 1),
        lambda word, vocab: 1 + sum(word[n : n + 2] in vocab for n in range(len(word) - 1)),
    ],
}


@pytest.mark.parametrize(("number", "place"), [(n, p) for n, each in RIGHT.items() for p in range(len(each))])
def test_right_answers_are_accepted(number, place):
    accept(8, number, RIGHT[number][place])


@pytest.mark.parametrize(("number", "place"), [(n, p) for n, each in WRONG.items() for p in range(len(each))])
def test_wrong_answers_are_refused(number, place):
    refuse(8, number, WRONG[number][place])


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(8)


def test_listing_every_way_is_stopped_with_a_hint_instead_of_running_on():
    assert "다시 쓰세요" in refuse(8, 3, each_splits)


def test_pieces_are_scored_by_the_shortest_way_to_write_the_test_reviews():
    score = contest_of(8).score
    words = review_words("test")
    letters = sum(times * len(word) for word, times in words.items())
    assert score([]) == sum(times * len(word.encode()) for word, times in words.items()) / letters
    word = max((word for word in words if len(word) > 1), key=words.get)
    assert score([word]) < score([])
    seen = [letter for letter, _ in Counter("".join(words)).most_common(2000)]
    assert 0.99 < score(seen) == score(set(seen)) == score(dict.fromkeys(seen, 0)) < 1.1
    assert score(seen[:1999] + [word]) < score(seen[:1999]) < score(seen[:100])


def test_what_is_not_a_vocabulary_is_not_scored():
    assert "2,000개까지" in reject_submission(8, [f"조각{n}" for n in range(2001)])
    for answer in (3, "글", [1, 2], ["", "가"], ["가", " "]):
        reject_submission(8, answer)
