"""8장: 손으로 만든 BPE, WordPiece, Unigram이 라이브러리와 같고, 채점이 틀린 답을 가려냅니다."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from chapter_cells import run_cells
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.tokenization import (
    bpe_pieces,
    expected_counts,
    merge_pair,
    seed_pieces,
    train_bpe,
    train_unigram,
    unigram_pieces,
    unknown_score,
    wordpiece_pieces,
)

SAMPLE = Path(__file__).resolve().parent.parent / "nlpbook_nbs" / "data" / "nsmc" / "ratings_val.txt"
LINES = SAMPLE.read_text(encoding="utf-8").splitlines()[1:]
REVIEWS = [" ".join(line.split("\t")[1].split()) for line in LINES]
LEARNED, UNSEEN = REVIEWS[:300], REVIEWS[300:600]
TOY = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}


def merges_of(library):
    return [tuple(pair) for pair in json.loads(library.to_str())["model"]["merges"]]


# BPE


def test_toy_of_the_book_merges_ug_un_hug():
    vocab, merges = train_bpe(TOY, 11, ["<unk>", *sorted(set("".join(TOY)))])
    assert merges == [("u", "g"), ("u", "n"), ("h", "ug")]
    assert set(vocab) == {"<unk>", *"bghnpsu", "ug", "un", "hug"}
    order = {pair: number for number, pair in enumerate(merges)}
    found = [piece for word in "pug bug mug".split() for piece in bpe_pieces(word, order, vocab)]
    assert found == "p ug b ug <unk> ug".split()


@pytest.mark.parametrize("size", [900, 1500])
def test_bpe_learns_and_cuts_as_the_library(size):
    words = Counter(word for text in LEARNED for word in text.split())
    letters = sorted({letter for word in words for letter in word})
    vocab, merges = train_bpe(words, size, ["<unk>", *letters])
    library = Tokenizer(models.BPE(unk_token="<unk>"))
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>"], show_progress=False)
    library.train_from_iterator(LEARNED, trainer)
    assert vocab == library.get_vocab() and merges == merges_of(library)
    order = {pair: number for number, pair in enumerate(merges)}
    for text in UNSEEN:
        found = [piece for word in text.split() for piece in bpe_pieces(word, order, vocab)]
        assert found == library.encode(text).tokens


def test_bpe_stops_where_nothing_is_left_to_merge():
    vocab, merges = train_bpe({"가나": 3, "다": 1}, 100, ["가", "나", "다"])
    assert list(vocab) == ["가", "나", "다", "가나"] and merges == [("가", "나")]


def test_repeated_letters_are_merged_from_the_left():
    assert merge_pair("aaaaa", ("a", "a"), "aa") == ["aa", "aa", "a"]
    words = {"ㅋㅋㅋㅋㅋ": 3, "ㅋㅋㅋ": 2, "ㅋㅋ": 9}
    vocab, merges = train_bpe(words, 4, ["ㅋ"])
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    texts = [word for word, times in words.items() for _ in range(times)]
    library.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=4, show_progress=False))
    assert vocab == library.get_vocab() and merges == merges_of(library)


@pytest.mark.parametrize("train", [lambda: train_bpe(TOY, 3, list("bghnpsu")), lambda: train_unigram(TOY, 7)])
def test_vocabulary_smaller_than_its_letters_is_refused(train):
    with pytest.raises(NlpbookError, match="vocab_size="):
        train()


# WordPiece


def test_wordpiece_learns_and_cuts_as_the_library():
    normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=False)
    splitter = pre_tokenizers.BertPreTokenizer()

    def split(text):
        return [word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))]

    words = Counter(word for text in LEARNED for word in split(text))
    letters = sorted({letter for word in words for letter in word})
    first = ["[UNK]", *letters, *(f"##{letter}" for letter in letters)]
    vocab, _ = train_bpe(words, len(first) + 800, first, prefix="##")
    library = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.normalizer, library.pre_tokenizer = normalizer, splitter
    trainer = trainers.WordPieceTrainer(
        vocab_size=len(first) + 800, special_tokens=first, show_progress=False
    )
    library.train_from_iterator(LEARNED, trainer)
    assert vocab == library.get_vocab()
    library = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    library.normalizer, library.pre_tokenizer = normalizer, splitter
    for text in [*UNSEEN, "가" * 101, "가" * 100]:
        found = [piece for word in split(text) for piece in wordpiece_pieces(word, vocab)]
        assert found == library.encode(text).tokens


def test_one_unknown_letter_loses_the_whole_word():
    assert wordpiece_pieces("재미없다", dict.fromkeys(["재미", "##다"], 0)) == ["[UNK]"]
    assert wordpiece_pieces("", {}) == []


# Unigram


def test_unigram_learns_and_cuts_as_the_library():
    words = Counter("▁" + word for text in LEARNED[:150] for word in text.split())
    scores = train_unigram(words, 800)
    library = Tokenizer(models.Unigram())
    library.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=800, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    library.train_from_iterator(LEARNED[:150], trainer)
    learned = dict(map(tuple, json.loads(library.to_str())["model"]["vocab"]))
    del learned["<unk>"]
    assert scores.keys() == learned.keys()
    low = min(scores.values())  # 다시 넣은 글자의 값은 라이브러리가 실행할 때마다 다르게 줍니다.
    assert all(
        math.isclose(score, learned[piece], abs_tol=1e-6) for piece, score in scores.items() if score > low
    )
    lowest = unknown_score(learned)
    for text in LEARNED:
        found = [piece for word in text.split() for piece in unigram_pieces("▁" + word, learned, lowest)]
        known = [piece for piece in found if piece != "<unk>"]
        encoded = library.encode(text)
        assert known == [token for token, number in zip(encoded.tokens, encoded.ids) if number]


def test_expected_counts_cover_every_letter_once():
    words = {"재미있다": 3, "재미": 5, "있다": 4}
    counts = expected_counts(words, seed_pieces(words))
    letters = sum(len(word) * times for word, times in words.items())
    assert math.isclose(sum(len(piece) * times for piece, times in counts.items()), letters)


def test_best_path_beats_every_other_way():
    scores = {"a": -2.0, "b": -1.5, "ab": -3.0, "ba": -4.0, "aba": -4.9}
    assert unigram_pieces("abab", scores, -20.0) == ["ab", "ab"]
    assert unigram_pieces("abab", scores, -20.0, without="ab") == ["aba", "b"]
    assert unigram_pieces("a?", scores, -20.0) == ["a", "<unk>"]
    assert unigram_pieces("a", scores, -20.0, without="a") == []


# 장의 셀


def test_letters_of_bytes_are_those_of_the_library():
    cells = run_cells("08", "letter_of = dict(")
    assert sorted(cells["letter_of"].values()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert cells["as_bytes"]("안녕하세요") == "ìķĪëħķíķĺìĦ¸ìļĶ"
