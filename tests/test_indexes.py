"""찾기의 방들: 낱말, 벡터, 지문, 색인 폴더, 찾은 차례의 점수."""

import itertools
import json
import os
import random
import signal
import time
import tracemalloc
import unicodedata
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_fork, needs_sigkill, write
from test_bad_input import refused

from nlpbook_nbs.core import vectors as vectors_room
from nlpbook_nbs.core.approximate import ApproximateIndex, kept_share
from nlpbook_nbs.core.columns import scratch_columns
from nlpbook_nbs.core.embedding import Windows
from nlpbook_nbs.core.fusion import FUSIONS, fuse_ranks, fuse_scores
from nlpbook_nbs.core.indexes import INDEX_RECORD, SearchIndex, build_index, read_record
from nlpbook_nbs.core.passages import (
    LONGEST,
    MOST,
    Passage,
    PassageFiles,
    checked_passages,
    read_passages,
    split_spans,
)
from nlpbook_nbs.core.ranking import query_scores, ranking_scores, single_scores, top_rows
from nlpbook_nbs.core.searching import Searcher, hits_html, marked_spans
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.units import Units, bigrams_of, word_texts
from nlpbook_nbs.core.vectors import STORED, VectorIndex, restored, stored_vectors
from nlpbook_nbs.core.word_index import WordIndex, bigram_keys, count_words, write_scores

TEXTS = [
    "세종은 훈민정음을 만들었다.",
    "이순신은 거북선을 만들었다. 거북선은 배이다.",
    "허준은 동의보감을 썼다.",
    "장영실은 자격루를 만들었다.",
    "BERT는 2018년에 나왔다.",
]


class Letters:
    """글자의 수를 벡터로 쓰는 장난감 모델."""

    name, hidden, tokenizer = "letters", 16, None

    def __init__(self, key="letters 1", pause=0.0):
        self.key, self.pause, self.read = key, pause, []

    def fingerprint(self):
        return self.key

    def unknown(self, texts):
        return np.array([float(not any("가" <= letter <= "힣" for letter in text)) for text in texts])

    def questions(self, texts):
        found = np.full((len(texts), self.hidden), 0.01, np.float32)
        for row, text in zip(found, texts):
            for letter in text:
                row[ord(letter) % self.hidden] += 1
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def passages(self, texts):
        self.read += texts
        time.sleep(self.pause)
        spans = np.array([[0, len(text)] for text in texts])
        return Windows(self.questions(texts), np.arange(len(texts)), spans)


def words_index(texts, size=3, name="bigrams", tokenizer=None, alive=None):
    units = Units(name, tokenizer)
    pieces = [texts[at : at + size] for at in range(0, len(texts), size)]
    live = np.ones(len(texts), bool) if alive is None else np.array(alive)
    counted = [count_words(units, piece) for piece in pieces]
    parts = np.split(live, np.cumsum([len(piece) for piece in pieces])[:-1])
    return WordIndex(scratch_columns(lambda folder: write_scores(folder, counted, parts)), units)


def korean_texts(count, seed=3):
    rng = random.Random(seed)
    letters = "가나다라마바사조선은의세종을 .,\n()가ABab12あ😀"
    return ["".join(rng.choices(letters, k=rng.randint(0, 60))) for _ in range(count)]


# 점수


def test_scores_equal_trec_eval():
    pytrec_eval = pytest.importorskip("pytrec_eval")
    rng = np.random.default_rng(5)
    run, qrel = {}, {}
    for question in range(40):
        scores = rng.permutation(100)[:30]
        run[str(question)] = {f"d{n}": float(score) for n, score in enumerate(scores)}
        chosen = rng.choice(40, size=rng.integers(1, 6), replace=False)  # 찾지 못한 것도 있습니다.
        qrel[str(question)] = {f"d{n}": 1 for n in chosen.tolist()}
    names = {"recall@5": "recall_5", "recall@10": "recall_10", "ndcg@10": "ndcg_cut_10"}
    measures = {"recall.5,10", "ndcg_cut.10", "recip_rank"}
    wanted = pytrec_eval.RelevanceEvaluator(qrel, measures).evaluate(run)
    for key, found in run.items():
        own = query_scores([*found.items()], qrel[key])
        for ours, theirs in names.items():
            assert own[ours] == pytest.approx(wanted[key][theirs], abs=1e-12)
        rank = wanted[key]["recip_rank"]
        assert own["mrr@10"] == pytest.approx(rank if rank >= 0.1 else 0, abs=1e-12)


@pytest.mark.parametrize("hits", [(1, 0, 0, 0), (0, 1, 1, 0), (0, 0, 1, 1), (0, 0, 0, 1)], ids=str)
def test_ties_score_the_mean_of_every_order(hits):
    scores = (5.0, 2.0, 2.0, 2.0)
    relevant = {n for n, hit in enumerate(hits) if hit}
    orders = [(0, *rest) for rest in itertools.permutations((1, 2, 3))]
    means = [query_scores([(n, -place) for place, n in enumerate(order)], relevant) for order in orders]
    found = query_scores([*enumerate(scores)], relevant)
    for name, value in found.items():
        assert value == pytest.approx(np.mean([each[name] for each in means]))


def test_scores_of_a_whole_table_equal_those_of_lists():
    rng = np.random.default_rng(0)
    table = rng.integers(0, 6, size=(30, 25)).astype(float)
    right = rng.integers(0, 25, size=30)
    slow = ranking_scores([[*enumerate(row)] for row in table], [{n} for n in right.tolist()])
    for name, values in single_scores(table, right).items():
        np.testing.assert_allclose(values, slow[name])


def test_top_rows_are_the_first_of_a_stable_sort():
    rng = np.random.default_rng(1)
    for k in (1, 3, 50, 99):
        scores = rng.integers(0, 5, size=50).astype(float)
        assert top_rows(scores, k).tolist() == sorted(range(50), key=lambda n: (-scores[n], n))[:k]


def test_fused_ranks_prefer_what_stands_in_both():
    fused = fuse_ranks([["a", "b", "b", "c"], ["c", "d"]])
    assert fused[0] == ("c", 1 / 63 + 1 / 61) and [key for key, _ in fused] == ["c", "a", "b", "d"]
    assert fuse_ranks([[], []]) == []


# 낱말


def test_bigrams_of_a_whole_piece_equal_those_of_each_text():
    texts = korean_texts(200)
    keys, rows = bigram_keys(texts)
    found = [[] for _ in texts]
    for key, row in zip(keys.tolist(), rows.tolist()):
        first, second = key >> 21, key & ((1 << 21) - 1)
        found[row].append(chr(first) + (chr(second) if second else ""))
    assert found == [bigrams_of(text) for text in word_texts(texts)]


@pytest.mark.parametrize("name", ["bigrams", "words", "wordpiece"])
def test_scores_equal_bm25s_to_the_last_bit(name, mini_tokenizer):
    import bm25s

    units, texts = Units(name, mini_tokenizer), korean_texts(90) + TEXTS
    index = words_index(texts, 16, name, mini_tokenizer)
    words = units(texts)
    vocabulary = {word: n for n, word in enumerate(sorted({word for each in words for word in each}))}
    whole = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    whole.index(([[vocabulary[word] for word in each] for each in words], vocabulary), show_progress=False)
    for text in [*TEXTS, *texts[:20]]:
        ids = [vocabulary[word] for word in units([text])[0] if word in vocabulary]
        if ids:
            np.testing.assert_array_equal(index.scores(text), whole.get_scores_from_ids(ids))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_pieces_and_deleted_passages_leave_no_trace(size):
    texts = korean_texts(60)
    alive = [n % 3 != 1 for n in range(60)]
    index = words_index(texts, size, alive=alive)
    fresh = words_index([text for text, live in zip(texts, alive) if live])
    assert index.terms == fresh.terms
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(index.bm25.scores[name], fresh.bm25.scores[name])


def test_bigrams_find_korquad_as_recorded(real_data):
    from nlpbook_nbs.core.squad import read_korquad

    rows = read_korquad(real_data / "korquad-v1" / "KorQuAD_v1.0_dev.json")
    passages = list(dict.fromkeys(row.context_text for row in rows))
    number = {text: n for n, text in enumerate(passages)}
    index = words_index(passages, 400)
    table = np.stack([index.scores(row.question_text) for row in rows[::4]])
    found = single_scores(table, np.array([number[row.context_text] for row in rows[::4]]))
    assert 0.87 < found["recall@1"].mean() < 0.91 and found["recall@10"].mean() > 0.985


def test_a_query_without_known_words_finds_nothing():
    index = words_index(TEXTS)
    assert [len(index.search(text, 5)[0]) for text in ("", "!!", "zzz", "뷁")] == [0, 0, 0, 0]


def test_spelling_of_the_computer_does_not_matter():
    index = words_index([unicodedata.normalize("NFD", TEXTS[0]), *TEXTS[1:]])
    plain = words_index(TEXTS)
    asked = unicodedata.normalize("NFD", "훈민정음\u200b을 만든")
    np.testing.assert_array_equal(index.scores(asked), plain.scores("훈민정음을 만든"))


def test_units_that_cannot_be_made_are_refused():
    refused(lambda: Units("trigrams"), "trigrams", "bigrams")
    refused(lambda: Units("wordpiece"), "wordpiece", "모델")


# 벡터


def unit_vectors(count, hidden=24, seed=0):
    found = np.random.default_rng(seed).normal(size=(count, hidden)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def as_piece(vectors, kind="float32"):
    spans = np.stack([np.zeros(len(vectors), int), np.arange(len(vectors))], axis=1)
    return stored_vectors(vectors, kind) | {"owners": np.arange(len(vectors)), "spans": spans}


@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_exact_search_finds_what_a_whole_product_finds(block):
    vectors, questions = unit_vectors(90), unit_vectors(4, seed=9)
    pieces = [as_piece(vectors[:40]), as_piece(vectors[40:])]
    index = VectorIndex(pieces, [np.arange(40), np.arange(40, 90)], block)
    for (rows, scores, spans), wanted in zip(index.search(questions, 12), questions @ vectors.T):
        assert rows.tolist() == top_rows(wanted, 12).tolist()
        np.testing.assert_allclose(scores, wanted[rows], rtol=1e-5)
        assert spans.shape == (12, 2)


@pytest.mark.parametrize("kind", STORED)
def test_stored_vectors_stay_close(kind):
    vectors = unit_vectors(300)
    again = restored(stored_vectors(vectors, kind))
    assert np.abs(again - vectors).max() < {"float32": 1e-9, "float16": 1e-3, "int8": 1e-2}[kind]
    questions = unit_vectors(20, seed=4)
    exact, found = (
        VectorIndex([as_piece(vectors, each)], [np.arange(300)]).search(questions, 10)
        for each in ("float32", kind)
    )
    assert kept_share(exact, found) > 0.9


@pytest.mark.parametrize(("kept", "times"), [(1 << 20, 3), (100, 6)])
def test_vectors_are_restored_once_if_they_fit_in_memory(kept, times, monkeypatch):
    seen, restore = [], vectors_room.restored
    monkeypatch.setattr(vectors_room, "restored", lambda *given: seen.append(given) or restore(*given))
    questions, piece = unit_vectors(4, seed=1), as_piece(unit_vectors(150), "int8")
    index = VectorIndex([piece], [np.arange(150)], block=64, kept=kept)
    first, again = index.search(questions, 5), index.search(questions, 5)
    assert len(seen) == times
    assert all(np.array_equal(a, b) for one, other in zip(first, again) for a, b in zip(one, other))


def test_a_long_passage_has_the_score_of_its_nearest_window():
    vectors = unit_vectors(5)
    spans = np.array([[0, 4], [2, 9], [0, 3], [0, 5], [3, 8]])
    piece = {"vectors": vectors, "owners": np.array([0, 0, 1, 2, 2]), "spans": spans}
    for block in (1, 2, 100):
        index = VectorIndex([piece], [np.array([5, -1, 6])], block)
        ((rows, scores, found),) = index.search(vectors[4:5], 9)
        assert rows.tolist() == [6, 5] and found[0].tolist() == [3, 8] and scores[0] == pytest.approx(1)


def test_vectors_of_another_width_are_refused():
    index = VectorIndex([as_piece(unit_vectors(5))], [np.arange(5)])
    refused(lambda: index.search(unit_vectors(1, hidden=8), 3), "8차원", "24차원")


def test_approximate_index_misses_little_and_never_repeats_a_passage():
    pytest.importorskip("faiss")
    vectors, questions = unit_vectors(400), unit_vectors(10, seed=2)
    piece = as_piece(vectors) | {"owners": np.arange(400) // 2}
    numbers = [np.where(np.arange(200) == 7, -1, np.arange(200))]
    exact = VectorIndex([piece], numbers).search(questions, 10)
    found = ApproximateIndex([piece], numbers).search(questions, 10)
    assert kept_share(exact, found) > 0.85
    for rows, scores, _ in found:
        assert len(set(rows.tolist())) == len(rows) and 7 not in rows and (np.diff(scores) <= 0).all()


# 지문


@pytest.mark.parametrize(
    "text", ["가" * 1_000_000, "문장이다. " * 5_000, "", "짧다.", "줄\n" * 3_000], ids=len
)
def test_pieces_of_a_long_text_cover_all_of_it(text):
    spans = split_spans(text)
    assert spans[0][0] == 0 and spans[-1][1] == len(text)
    assert all(end - start <= MOST for start, end in spans)
    assert all(before[0] < after[0] <= before[1] for before, after in itertools.pairwise(spans))


def test_a_passage_of_a_million_letters_points_into_the_original():
    text = "조선의 임금이다. " * 100_000
    found = checked_passages([Passage("긴 글", text)])
    assert len(found) > 1_000 and len(text) > LONGEST
    assert all(each.source == "긴 글" and text.startswith(each.text, each.start) for each in found)
    assert len({each.id for each in found}) == len(found)


def test_every_kind_of_file_is_read(tmp_path):
    write(tmp_path / "a.tsv", 'id\ttitle\ttext\n1\t제목\t따옴표 "하나\n')
    write(tmp_path / "b.csv", 'text,id\n"쉼표, 든 글",x\n')
    write(
        tmp_path / "c.jsonl",
        json.dumps({"text": "글\t\x02", "id": 3}) + "\n" + json.dumps({"text": "둘"}) + "\n",
    )
    write(tmp_path / "d.txt", "세종\n임금이다.\n\n세종\n도시이다.\n\n제목 없는 글이다.\n")
    write(tmp_path / "e.txt", '<doc id="1" title="첫 글">\n첫 글\n\n본문이다.\n</doc>\n')
    (tmp_path / "글들" / "속").mkdir(parents=True)
    write(tmp_path / "글들" / "속" / "하나.txt", "본문 하나")
    write(tmp_path / "글들" / "둘.txt", "본문 둘")
    rows = {
        name: read_passages(tmp_path / name)
        for name in ("a.tsv", "b.csv", "c.jsonl", "d.txt", "e.txt", "글들")
    }
    assert rows["a.tsv"] == [Passage("1", '따옴표 "하나', "제목")]
    assert rows["b.csv"] == [Passage("x", "쉼표, 든 글")]
    assert [each.id for each in rows["c.jsonl"]] == ["3", "c:2"] and rows["c.jsonl"][0].text == "글\t\x02"
    assert [(each.id, each.title) for each in rows["d.txt"]] == [
        ("세종", "세종"),
        ("세종 (2)", "세종"),
        ("d:3", ""),
    ]
    assert [(each.title, each.text) for each in rows["e.txt"]] == [("첫 글", "본문이다.")]
    assert [(each.id, each.title) for each in rows["글들"]] == [("둘", "둘"), ("속/하나", "하나")]


def test_passages_that_cannot_be_told_apart_are_refused(tmp_path, messages):
    refused(lambda: checked_passages([Passage("a", "글"), Passage("a", "다른 글")]), "'a'", "2번째")
    refused(lambda: checked_passages([]), "하나도 없습니다")
    refused(lambda: checked_passages([Passage("a", " \u200b ")]), "하나도 없습니다")
    refused(lambda: checked_passages([3]), "int")
    refused(lambda: checked_passages([Passage("a", "\ud800")]), "U+D800")
    refused(lambda: read_passages(tmp_path / "none.tsv"), "none.tsv", "없습니다")
    refused(lambda: read_passages(write(tmp_path / "a.xlsx", "x")), ".xlsx", ".tsv")
    refused(lambda: read_passages(tmp_path), ".txt")
    refused(lambda: read_passages(write(tmp_path / "b.tsv", "id\tbody\n1\t글\n")), "text", "b.tsv:1")
    refused(lambda: read_passages(write(tmp_path / "c.jsonl", '{"text": 3}\n')), "c.jsonl:1", "int")
    assert len(checked_passages([Passage("a", "글"), Passage("b", "")])) == 1
    assert any("빈 지문 1편" in each for each in messages())


# 색인 폴더


def test_index_that_grew_and_shrank_equals_a_fresh_one(tmp_path):
    rows = [
        Passage(str(n), text, "제목" if n % 2 else "")
        for n, text in enumerate(korean_texts(40))
        if text.strip()
    ]
    index = build_index(tmp_path / "a", rows[:20], embedder=Letters(), piece_size=6, storage="float32")
    index.add(rows[20:])
    gone = [row.id for row in rows[3:30:5]]
    index.delete(gone)
    kept = [row for row in rows if row.id not in gone]
    fresh = build_index(tmp_path / "b", kept, embedder=Letters(), piece_size=99, storage="float32")
    again = SearchIndex(tmp_path / "a", embedder=Letters())
    for each in (index, again):
        assert [*each.passages()] == kept
        for text in TEXTS:
            np.testing.assert_array_equal(each.words.scores(text), fresh.words.scores(text))
            vector = Letters().questions([text])
            one, other = (built.vectors.search(vector, 9)[0] for built in (each, fresh))
            assert one[0].tolist() == other[0].tolist()


def test_vectors_already_made_are_not_made_again(tmp_path):
    first, again, more = Letters(), Letters(), Letters()
    build_index(tmp_path, TEXTS, embedder=first, piece_size=2)
    build_index(tmp_path, TEXTS, embedder=again, piece_size=2)
    SearchIndex(tmp_path, embedder=more).add([Passage("새것", "새로 더한 글이다.")])
    assert first.read == TEXTS and again.read == [] and more.read == ["새로 더한 글이다."]


def test_what_the_index_no_longer_holds_is_cleared_away(tmp_path):
    index = build_index(tmp_path / "ix", TEXTS, piece_size=1)
    index.delete(["1", "2"])
    kinds = [path.name.split("-")[0] for path in index.folder.iterdir() if path.is_dir()]
    assert sorted(kinds) == ["passages"] * 3 + ["scores"] + ["words"] * 3


def test_ids_that_are_wrong_change_nothing(tmp_path):
    index = build_index(tmp_path, TEXTS)
    before = (tmp_path / INDEX_RECORD).read_bytes()
    refused(lambda: index.add([Passage("새것", "글"), Passage("1", "글")]), "'1'", "이미")
    refused(lambda: index.delete(["1", "없는 것"]), "'없는 것'", "없습니다")
    refused(lambda: index.delete([str(n + 1) for n in range(len(TEXTS))]), "모두")
    assert (tmp_path / INDEX_RECORD).read_bytes() == before and len(SearchIndex(tmp_path)) == len(TEXTS)


def test_quotes_and_control_letters_come_back(tmp_path):
    rows = [
        Passage('따옴표"\n줄\x01', "글 'x'\t\x02\\", 'A "B"'),
        Passage("b\u2028", "둘째 글", source="원문", start=3),
    ]
    assert [*SearchIndex(build_index(tmp_path, rows).folder).passages()] == rows


def test_index_of_another_model_or_tokenizer_is_refused(tmp_path, mini_tokenizer):
    build_index(tmp_path / "a", TEXTS, embedder=Letters())
    refused(lambda: SearchIndex(tmp_path / "a", embedder=Letters("letters 2")), "다른 모델", "letters")
    build_index(tmp_path / "b", TEXTS)
    refused(lambda: SearchIndex(tmp_path / "b", embedder=Letters()), "벡터 없이")
    refused(lambda: SearchIndex(tmp_path / "b", Units("words")), "bigrams")
    build_index(tmp_path / "c", TEXTS, Units("wordpiece", mini_tokenizer))
    refused(lambda: SearchIndex(tmp_path / "c"), "wordpiece")
    refused(lambda: SearchIndex(tmp_path / "a").add([Passage("새것", "글")]), "letters")


def test_damaged_index_is_mended_or_refused(tmp_path, messages):
    index = build_index(tmp_path, TEXTS, embedder=Letters(), piece_size=2)
    wanted = index.words.scores(TEXTS[1])
    for pattern in ("words-*/rows.npy", "scores-*/data.npy", "vectors-*/vectors.npy"):
        next(tmp_path.glob(pattern)).write_bytes(b"broken")
    again = SearchIndex(tmp_path, embedder=Letters())
    np.testing.assert_array_equal(again.words.scores(TEXTS[1]), wanted)
    assert len(again.vectors.search(Letters().questions(TEXTS[:1]), 9)[0][0]) == len(TEXTS)
    next(tmp_path.glob("vectors-*/vectors.npy")).write_bytes(b"broken")
    assert SearchIndex(tmp_path).vectors is None  # 낱말로만 찾으면 벡터는 보지 않습니다.
    next(tmp_path.glob("passages-*/lines.npy")).write_bytes(b"broken")
    refused(lambda: SearchIndex(tmp_path), "지문의 파일", "다시 만드세요")
    for text in ("{", "[]", '{"format": 1}', json.dumps({"format": 99, "pieces": []})):
        (tmp_path / INDEX_RECORD).write_text(text, encoding="utf-8")
        refused(lambda: SearchIndex(tmp_path), INDEX_RECORD)
    (tmp_path / INDEX_RECORD).unlink()
    refused(lambda: SearchIndex(tmp_path), "색인 폴더가 아닙니다")


def built(folder):
    build_index(
        folder,
        [Passage(str(n), text or "빈") for n, text in enumerate(korean_texts(40))],
        embedder=Letters(pause=0.003),
        piece_size=4,
    )


def contents(folder):
    """색인이 기록한 것들의 바이트."""
    names = ("lines", "terms", "rows", "counts", "vectors", "data", "indices")
    paths = sorted(path for path in folder.rglob("*.npy") if path.stem in names)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def in_child(action, *values):
    pid = os.fork()
    if pid:
        return pid
    try:
        action(*values)
        os._exit(0)
    except BaseException:  # noqa: BLE001 (무엇이 나든 부모의 코드로 돌아가면 안 됩니다)
        os._exit(1)


@needs_fork
@needs_sigkill
def test_index_killed_twenty_times_ends_identical(tmp_path):
    built(tmp_path / "whole")
    rng, kills = random.Random(7), 0
    for _ in range(20):
        pid = in_child(built, tmp_path / "killed")
        time.sleep(rng.uniform(0.005, 0.08))
        os.kill(pid, signal.SIGKILL)
        kills += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    built(tmp_path / "killed")
    assert kills >= 5 and contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not [*(tmp_path / "killed").rglob("*.part")]


@needs_fork
def test_eight_processes_make_one_index(tmp_path):
    def make():
        letters = Letters(pause=0.02)
        build_index(tmp_path / "ix", TEXTS, embedder=letters, piece_size=1)
        (tmp_path / f"read.{os.getpid()}").write_text(str(len(letters.read)), encoding="utf-8")

    pids = [in_child(make) for _ in range(8)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 8
    assert sorted(int(path.read_text()) for path in tmp_path.glob("read.*")) == [0] * 7 + [len(TEXTS)]


# 찾기


@pytest.fixture
def search(tmp_path):
    return Searcher(build_index(tmp_path / "ix", TEXTS, embedder=Letters(), storage="float32"))


def test_hybrid_holds_what_either_way_finds(search):
    asked = "거북선을 만든 장군은?"
    hits = search(asked, top_k=99)
    assert hits[0].passage.text == TEXTS[1] and len(hits) == len(TEXTS)
    words, meaning = search(asked, 99, "words"), search(asked, 99, "meaning")
    order = fuse_ranks([[hit.passage.id for hit in each] for each in (words, meaning)])
    assert [hit.passage.id for hit in hits] == [key for key, _ in order]
    assert set(hits[0].parts) == {"words", "meaning"} and set(words[0].parts) == {"words"}


def test_weight_leads_from_the_order_of_words_to_that_of_meaning(search):
    def ids(hits):
        return [hit.passage.id for hit in hits]

    asked, count = "거북선을 만든 장군은?", 99
    words, meaning = (ids(search(asked, count, way)) for way in ("words", "meaning"))
    for fusion in FUSIONS:
        ends = [Searcher(search.index, meaning_weight=weight, fusion=fusion) for weight in (0, 1)]
        # 점수로 합치면 목록의 마지막 것은 없는 것과 같아집니다.
        assert ids(ends[0](asked, count))[: len(words) - 1] == words[:-1]
        assert ids(ends[1](asked, count))[: len(meaning) - 1] == meaning[:-1]
    half = Searcher(search.index, meaning_weight=0.5)
    assert [(hit.passage.id, hit.score) for hit in half(asked, count)] == [
        (hit.passage.id, hit.score) for hit in search(asked, count)
    ]
    for weight in (-0.1, 1.1, float("nan")):
        refused(partial(Searcher, search.index, meaning_weight=weight), "meaning_weight")
    refused(lambda: Searcher(search.index, fusion="sum"), "fusion", "ranks, scores")


def test_summed_scores_equal_the_formula_whatever_the_scales_are():
    rng = np.random.default_rng(7)
    for _ in range(50):
        lists = [{key: rng.normal() * scale for key in rng.permutation(12)[:7]} for scale in (30, 0.1)]
        weights = rng.random(2)
        wanted: dict = {}
        for scores, weight in zip(lists, weights):
            span = max(scores.values()) - min(scores.values())
            for key in scores:
                wanted[key] = wanted.get(key, 0) + weight * (scores[key] - min(scores.values())) / span
        found = fuse_scores(lists, weights=weights)
        assert dict(found) == pytest.approx(wanted)
        assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
        moved = [{key: 3 * score - 1 for key, score in scores.items()} for scores in lists]
        assert [key for key, _ in fuse_scores(moved, weights=weights)] == [key for key, _ in found]


def test_questions_that_cannot_be_asked_are_refused(search, tmp_path):
    refused(lambda: search(""), "비었습니다")
    refused(lambda: search(["가", " \u200b"]), "2번째", "비었습니다")
    refused(lambda: search("가", top_k=0), "top_k")
    refused(lambda: search("가", method="fuzzy"), "fuzzy", "hybrid")
    refused(lambda: search("\ud800"), "U+D800")
    plain = Searcher(build_index(tmp_path / "plain", TEXTS))
    refused(lambda: plain("가", method="meaning"), "벡터가 없는")
    assert search([]) == [] and search.search([], method="meaning") == []


def test_question_of_unknown_letters_finds_nothing(search, messages):
    assert search("☃☃", 5) == [] and len(search(["☃☃", "거북선"], 5)[1]) == 5
    assert any("아는 글자가 하나도 없는 질문 1개" in each for each in messages())


def test_reranker_orders_the_candidates(tmp_path):
    seen = []

    def rerank(pairs):
        seen.append(len(pairs))
        return np.array([float("허준" in text) for _, text in pairs])

    search = Searcher(build_index(tmp_path, TEXTS, embedder=Letters()), rerank, candidates=len(TEXTS))
    hits = search("만들었다", top_k=2)
    assert hits[0].passage.text == TEXTS[2] and len(hits) == 2 and seen == [len(TEXTS)]
    assert hits[0].score == hits[0].parts["rerank"] == 1


def test_marks_do_not_leave_the_text_nor_let_markup_in(search):
    text = "<b>거북선</b> & 거북선"
    for start, end in marked_spans("거북선을", text):
        assert text[start:end] == "거북선"
    html = hits_html(search("거북선<script>"), "거북선<script>", (5, 8))
    assert "<script>" not in html and "<mark>거북선</mark>" in html


# 엔진


def test_engine_finds_what_the_index_finds_and_goes_on_after_a_break(tmp_path, monkeypatch):
    pytest.importorskip("qdrant_client")
    from nlpbook_nbs.core import engines

    rows = [Passage(f'"{n}\n', text or "빈") for n, text in enumerate(korean_texts(19))] + [
        Passage(f"t{n}", text) for n, text in enumerate(TEXTS)
    ]
    index = build_index(tmp_path / "ix", rows, embedder=Letters(), storage="float32")
    monkeypatch.setattr(engines, "UPLOAD", 8)
    engine = engines.Engine(str(tmp_path / "engine"))
    usual, calls = engine.client.upsert, []

    def breaks(*args, **options):
        calls.append(1)
        if len(calls) == 3:
            raise ConnectionError("gone")
        return usual(*args, **options)

    engine.client.upsert = breaks
    refused(lambda: engine.upload(index), "엔진이 답하지 않습니다", "이어서")
    assert len(engine) == 16
    assert engine.upload(index) == len(rows) - 16 and engine.upload(index) == 0 and len(engine) == len(rows)
    for text in TEXTS:
        found, (wanted, scores) = engine.search_words(index, text, 5), index.words.search(text, 5)
        np.testing.assert_allclose([score for _, score in found], scores, rtol=1e-5)
        assert found[0][0] == index.passage(wanted[0]).id
        vector = Letters().questions([text])
        ((_, near, _),) = index.vectors.search(vector, 5)
        np.testing.assert_allclose(
            [score for _, score in engine.search_meaning(vector[0], 5)], near, rtol=1e-4
        )
    engine.close()


def test_engine_that_is_not_there_is_told(tmp_path):
    pytest.importorskip("qdrant_client")
    from nlpbook_nbs.core.engines import Engine

    index = build_index(tmp_path, TEXTS, embedder=Letters())
    engine = Engine("http://127.0.0.1:9")
    with pytest.raises(NlpbookError, match="127.0.0.1:9"):
        engine.upload(index)
    assert Path(tmp_path, INDEX_RECORD).exists()


def test_memory_is_that_of_one_piece_and_not_of_all_passages(tmp_path):
    def texts(count):
        draw = random.Random(7)
        return (
            " ".join(draw.choices(["한글은", "금강산", "바다로", "co2", "2026년"], k=400))
            for _ in range(count)
        )

    def peak(count):
        tracemalloc.start()
        build_index(tmp_path / str(count), texts(count), piece_size=64)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(64)
    assert peak(64 * 32) < 1.3 * peak(64 * 4)


def test_an_iterator_gives_the_index_of_the_list_and_files_are_checked_before_writing(tmp_path):
    rows = [Passage(f"글{number}", f"금강산 {number}번째 봉우리") for number in range(300)]
    build_index(tmp_path / "list", rows, piece_size=64)
    build_index(tmp_path / "iterator", iter(rows), piece_size=64)
    assert read_record(tmp_path / "list") == read_record(tmp_path / "iterator")
    good = write(tmp_path / "good.tsv", "id\ttext\n" + "".join(f"{each.id}\t{each.text}\n" for each in rows))
    bad = write(tmp_path / "bad.tsv", "id\ttext\n글299\t다시 나온 이름\n")
    refused(lambda: build_index(tmp_path / "new", PassageFiles([good, bad])), "'글299'", "301번째")
    assert not (tmp_path / "new").exists()
    assert len(build_index(tmp_path / "new", PassageFiles([good]))) == 300


def test_parts_of_long_passages_cannot_hide_each_other():
    long = Passage("긴 글", "가나다라 마바사. " * LONGEST)
    refused(lambda: checked_passages([long, long]), "'긴 글'", "2번째")
    refused(lambda: checked_passages([long, Passage("긴 글#1", "짧은 글")]), "'긴 글#1'", "2번째")
    refused(lambda: checked_passages([Passage("긴 글#1", "짧은 글"), long]), "'긴 글#1'", "2번째")
