"""문서 검색의 표를 잽니다. 표 하나에 명령 하나이고, 결과를 `nlpbook_nbs/data/results/<표>.json`에 적습니다.

    python tools/search_tables.py search-words 말뭉치폴더                          # 낱말로 나누는 방법마다 (1분)
    python tools/search_tables.py search-korquad 말뭉치폴더 --model 모델 … [--distractors korean_mix.txt.xz]
    python tools/search_tables.py search-kowiki 말뭉치폴더 --model 모델 …
    python tools/search_tables.py search-ask 말뭉치폴더 --model 모델 --reader 질의응답모델 [--distractors korean_mix.txt.xz]
    python tools/search_tables.py speed 말뭉치폴더 --distractors korean_mix.txt.xz --count 100000   # 만들고 찾는 시간만 찍습니다

말뭉치폴더에는 `korquad-v1/KorQuAD_v1.0_dev.json`이 있어야 합니다. `search-kowiki`는 패키지에 든 지문과 질문으로 잽니다.
`--model`은 여러 번 적을 수 있고(`nlpbook-small`, 학습한 폴더), 첫째 모델로 합친 것과 `--reranker`로 다시 매긴 것도 잽니다.
`--distractors`를 주면 위키백과의 글에서 뽑은 지문 `--count`편(20,000)을 섞습니다. 정답 지문과 문장이 하나라도 같은 것은 뺍니다.
`--work`에 색인을 두므로, 끊겨도 다시 부르면 계산한 벡터는 다시 쓰지 않습니다. 질문은 `--questions`개만 뽑아 잴 수 있습니다.
"""

import argparse
import json
import os
import random
import shutil
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from make_passages import documents, encyclopedic, pieces

from nlpbook_nbs.core.asking import Asker, open_reader, open_reranker
from nlpbook_nbs.core.baselines import RESULTS, difference
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.embedding import open_embedder
from nlpbook_nbs.core.files import written_aside
from nlpbook_nbs.core.indexes import build_index
from nlpbook_nbs.core.passages import Passage, checked_passages, read_passages
from nlpbook_nbs.core.ranking import ranking_scores
from nlpbook_nbs.core.retrieval import read_questions
from nlpbook_nbs.core.searching import Searcher
from nlpbook_nbs.core.settings import require
from nlpbook_nbs.core.squad import read_korquad
from nlpbook_nbs.core.units import Units

SEED, TOP = 7, 20
NAMES = {"bigrams": "글자 두 개", "words": "어절", "wordpiece": "토큰", "kiwi": "형태소(kiwi)"}
SCORES = {"R@1": "recall@1", "R@10": "recall@10", "MRR@10": "mrr@10", "nDCG@10": "ndcg@10"}


def korquad(data):
    """`(지문들, [(질문, 지문의 id, 정답들)])`. 같은 지문은 하나로 봅니다."""
    rows = read_korquad(data / "korquad-v1" / "KorQuAD_v1.0_dev.json")
    ids = {text: f"korquad-{n}" for n, text in enumerate(dict.fromkeys(row.context_text for row in rows))}
    passages = [Passage(key, text) for text, key in ids.items()]
    return passages, [(row.question_text, ids[row.context_text], row.answers) for row in rows]


def kowiki():
    """패키지에 든 `(지문들, [(질문, 지문의 id, ())])`."""
    folder = Path(sample_root(), "kowiki")
    passages = read_passages(folder / "passages.tsv")
    rows = read_questions(folder, "test", {passage.id: passage for passage in passages})
    return passages, [(text, key, ()) for text, key, _ in rows]


def sentences(text):
    return {part.strip() for part in text.replace("다. ", "다.\n").split("\n") if len(part.strip()) > 15}


def distractors(path, gold, count):
    """정답 지문과 문장이 겹치지 않는 위키백과의 지문 `count`편."""
    known = set().union(*(sentences(passage.text) for passage in gold))
    rows = []
    for number, document in documents(path):
        if encyclopedic(document.strip()):
            texts = pieces(document)
            if not any(sentences(text) & known for text in texts):
                rows += [Passage(f"wiki-{number}-{n}", text) for n, text in enumerate(texts[:3])]
    random.Random(SEED).shuffle(rows)
    require(len(rows) >= count, f"{path}: 섞을 지문이 {len(rows):,}편뿐입니다.")
    return rows[:count]


class Table:
    """표 하나."""

    def __init__(self, name, title, options):
        self.name, self.title, self.options, self.rows, self.outcomes = name, title, options, [], {}

    def add(self, method, scores, seconds, queries, cheap=False, settings=None):
        """질문마다의 점수 `{이름: (질문 수,)}`를 한 줄로."""
        self.outcomes[method] = scores
        means = {name: [round(float(values.mean()), 4)] for name, values in scores.items()}
        row = {"method": method, "cheap": cheap, "train": 0, "seeds": [], "scores": means}
        row |= {
            "seconds": [round(seconds, 3)],
            "settings": {"ms_per_query": round(1e3 * seconds / queries, 2)},
        }
        row["settings"] |= settings or {}
        self.rows.append(row)
        print(json.dumps(row, ensure_ascii=False), flush=True)

    def write(self, what, digits, tested):
        mean = {row["method"]: row["scores"][what][0] for row in self.rows}
        cheap = max((row["method"] for row in self.rows if row["cheap"]), key=mean.get)
        others = [row["method"] for row in self.rows if not row["cheap"]]
        found = []
        if others:
            best = max(others, key=mean.get)
            made = difference(
                best, cheap, self.outcomes[best][what], self.outcomes[cheap][what], tested, digits
            )
            found = [vars(made)]
        record = {
            "name": self.name,
            "title": self.title,
            "what": what,
            "digits": digits,
            "day": time.strftime("%Y-%m-%d", time.gmtime()),
            "versions": {name: version(name) for name in ("bm25s", "torch", "transformers")},
            "cores": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
            "rows": self.rows,
            "commands": [f"python tools/search_tables.py {self.name} 말뭉치폴더" + self.options],
            "differences": found,
        }
        with written_aside(RESULTS / f"{self.name}.json") as part:
            part.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def scored(hits, asked):
    found = [[(hit.passage.source or hit.passage.id, hit.score) for hit in row] for row in hits]
    scores = ranking_scores(
        [[*dict(sorted(row, key=lambda each: each[1])).items()] for row in found],
        [{key} for _, key, _ in asked],
    )
    return {name: scores[own] for name, own in SCORES.items()}


def timed(action, *values, **options):
    start = time.perf_counter()
    return action(*values, **options), time.perf_counter() - start


def unit_table(options):
    passages, asked = korquad(options.data)
    table = Table(
        "search-words", f"KorQuAD 1.0 개발 파일, 지문 {len(passages):,}편, 질문 {len(asked):,}개, BM25", ""
    )
    tokenizer = open_embedder("nlpbook-small").tokenizer
    texts = [text for text, _, _ in asked]
    for name in options.units.split(","):
        units = Units(name, tokenizer)
        index, built = timed(build_index, options.work / f"words-{name}", passages, units)
        hits, seconds = timed(Searcher(index).search, texts, TOP, "words")
        settings = {"build_seconds": round(built, 2), "terms": len(index.words.terms)}
        table.add(f"BM25, {NAMES[name]}", scored(hits, asked), seconds, len(asked), True, settings)
    table.write("nDCG@10", 4, f"질문 {len(asked):,}개")


def method_table(options, name, passages, asked, title, told):
    table, texts = Table(name, title, told), [text for text, _, _ in asked]
    index = build_index(options.work / f"{name}-words", passages)
    hits, seconds = timed(Searcher(index).search, texts, TOP, "words")
    table.add("BM25, 글자 두 개", scored(hits, asked), seconds, len(asked), True)
    first = None
    for model in options.model:
        embedder = open_embedder(model, batch_size=options.batch_size)
        index, built = timed(
            build_index, options.work / f"{name}-{Path(model).name}", passages, embedder=embedder
        )
        search, short = Searcher(index), Path(model).name
        hits, seconds = timed(search.search, texts, TOP, "meaning")
        size = sum(path.stat().st_size for path in index.folder.glob("vectors-*/*.npy"))
        settings = {"build_seconds": round(built, 1), "vector_bytes": size}
        table.add(f"벡터, {short}", scored(hits, asked), seconds, len(asked), settings=settings)
        hits, seconds = timed(search.search, texts, TOP, "hybrid")
        table.add(f"합침(RRF), {short}", scored(hits, asked), seconds, len(asked))
        first = first or index
    if options.reranker:
        search = Searcher(first, open_reranker(options.reranker))
        hits, seconds = timed(search.search, texts, TOP)
        table.add("합친 것을 다시 매김", scored(hits, asked), seconds, len(asked))
    table.write("nDCG@10", 4, f"질문 {len(asked):,}개")


def ask_table(options, passages, asked, title, told):
    """찾은 지문의 수를 바꾸어 가며 잰 EM과 F1. 정답 지문을 바로 준 것이 천장입니다."""
    from nlpbook_nbs.qa import exact_match, f1

    table, texts, read = (
        Table("search-ask", title, told),
        [text for text, _, _ in asked],
        open_reader(options.reader),
    )

    def graded(answers):
        rows = [(text, golds) for text, (_, _, golds) in zip(answers, asked)]
        return {
            "F1": np.array([100 * max(f1(text, gold) for gold in golds) for text, golds in rows]),
            "EM": np.array([100.0 * any(exact_match(text, gold) for gold in golds) for text, golds in rows]),
        }

    whole = {passage.id: passage.text for passage in passages}
    pairs = [(text, whole[key]) for text, key, _ in asked]
    answers, seconds = timed(read, pairs)
    gold = graded([row["answer"] for row in answers])
    embedder = open_embedder(options.model[0], batch_size=options.batch_size)
    index = build_index(
        options.work / f"search-ask-{Path(options.model[0]).name}", passages, embedder=embedder
    )
    for top_k in (1, 5, 20):
        ask = Asker(Searcher(index), read, top_k)
        found, spent = timed(ask.answer, texts)
        inside = np.mean(
            [key in {hit.passage.id for hit in row.hits} for row, (_, key, _) in zip(found, asked)]
        )
        settings = {"recall": round(float(inside), 4)}
        table.add(
            f"찾은 지문 {top_k}편",
            graded([row.text for row in found]),
            spent,
            len(asked),
            top_k == 1,
            settings,
        )
    table.add("정답 지문", gold, seconds, len(asked))
    table.write("F1", 1, f"질문 {len(asked):,}개")


def speed(options):
    """색인을 만들고 찾는 시간을 bm25s, rank_bm25(설치되어 있으면)와 나란히 재어 한 줄씩 찍습니다. 표로 적지는 않습니다."""
    import bm25s

    gold, asked = korquad(options.data)
    passages = distractors(options.distractors, gold, options.count)
    texts, questions, split = [row.text for row in passages], [text for text, _, _ in asked[:200]], Units()
    folder = options.work / f"speed-{options.count}"
    shutil.rmtree(folder, ignore_errors=True)
    index, seconds = timed(build_index, folder, passages)
    _, spent = timed(Searcher(index).search, questions, 10, "words")
    told = {"passages": len(texts), "questions": len(questions)}
    print(json.dumps({"name": "ours"} | told | {"seconds": seconds, "search_seconds": spent}), flush=True)
    words, tokenizing = timed(split, texts)
    asked_words = split(questions)
    library = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
    _, seconds = timed(library.index, words, show_progress=False)
    _, spent = timed(library.retrieve, asked_words, k=10, show_progress=False)
    row = {"seconds": tokenizing + seconds, "search_seconds": spent}
    print(json.dumps({"name": "bm25s"} | told | row), flush=True)
    if find_spec("rank_bm25"):
        from rank_bm25 import BM25Okapi

        plain, seconds = timed(BM25Okapi, words)
        _, spent = timed(lambda: [plain.get_scores(each) for each in asked_words[:20]])
        row = {"seconds": tokenizing + seconds, "search_seconds": 10 * spent}
        print(json.dumps({"name": "rank_bm25"} | told | row), flush=True)


def read_options(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "table", choices=["search-words", "search-korquad", "search-kowiki", "search-ask", "speed"]
    )
    parser.add_argument("data", type=Path, help="말뭉치폴더")
    parser.add_argument("--work", type=Path, default=Path("search-tables"), help="색인을 둘 폴더")
    parser.add_argument("--units", default="words,bigrams,wordpiece", help="쉼표로 나눔. kiwi도 됩니다")
    parser.add_argument(
        "--model", action="append", default=[], help="벡터를 계산할 모델. 여러 번 적을 수 있습니다"
    )
    parser.add_argument("--reranker", help="함께 읽어 다시 매길 모델의 폴더")
    parser.add_argument("--reader", help="질의응답 모델의 폴더")
    parser.add_argument("--distractors", type=Path, help="섞을 지문을 뽑을 글 파일")
    parser.add_argument("--count", type=int, default=20_000, help="섞을 지문의 수")
    parser.add_argument("--questions", type=int, help="뽑아 잴 질문의 수. 비우면 모두")
    parser.add_argument("--batch_size", type=int, default=32)
    return parser.parse_args(argv)


def main(argv=None):
    options = read_options(argv)
    if options.table == "search-words":
        return unit_table(options)
    if options.table == "speed":
        require(options.distractors, "--distractors: 색인을 만들 글 파일을 적으세요.")
        return speed(options)
    passages, asked = kowiki() if options.table == "search-kowiki" else korquad(options.data)
    if options.questions:
        asked = random.Random(SEED).sample(asked, min(options.questions, len(asked)))
    what = "패키지에 든 위키백과" if options.table == "search-kowiki" else "KorQuAD 1.0 개발 파일"
    told = "".join(f" --model {Path(model).name}" for model in options.model)
    if options.distractors:
        passages = checked_passages([*passages, *distractors(options.distractors, passages, options.count)])
        what, told = f"{what}과 섞은 지문", f"{told} --distractors korean_mix.txt.xz"
    title = f"{what}, 지문 {len(passages):,}편, 질문 {len(asked):,}개"
    if options.table == "search-ask":
        require(options.model and options.reader, "--model과 --reader를 적으세요.")
        return ask_table(options, passages, asked, title, told)
    return method_table(options, options.table, passages, asked, title, told)


if __name__ == "__main__":
    main()
