"""문서 검색의 표를 잽니다. 표 하나에 명령 하나이고, 결과를 `nlpbook_nbs/data/results/<표>.json`에 적습니다.

    python tools/search_tables.py split 말뭉치폴더 --work 작업폴더                   # 배울 글과 시험할 글로 나눕니다
    python tools/search_tables.py search-words 말뭉치폴더                          # 낱말로 나누는 방법마다 (1분)
    python tools/search_tables.py search-korquad 말뭉치폴더 --model 모델 …           # 질문 5,774개 모두
    python tools/search_tables.py search-heldout 말뭉치폴더 --model 모델 …           # 시험할 글 30편의 질문만
    python tools/search_tables.py search-distractors 말뭉치폴더 --model 모델 … --distractors korean_mix.txt.xz
    python tools/search_tables.py search-kowiki 말뭉치폴더 --model 모델 …
    python tools/search_tables.py search-rerank 말뭉치폴더 --model 모델 --reranker 문장쌍모델 --questions 수
    python tools/search_tables.py search-ask 말뭉치폴더 --model 모델 --reader 질의응답모델 --distractors korean_mix.txt.xz
    python tools/search_tables.py speed 말뭉치폴더 --distractors korean_mix.txt.xz --count 100000   # 만들고 찾는 시간만 찍습니다

말뭉치폴더에는 `korquad-v1/KorQuAD_v1.0_dev.json`이 있어야 합니다. `search-kowiki`는 패키지에 든 지문과 질문으로 잽니다.
KorQuAD의 글 140편을 시드로 섞어 30편의 질문으로 시험합니다(`search-heldout`부터). `split`이 나머지를 배울 것(100편)과 검증할 것(10편)으로 적으므로,
`작업폴더/corpora`로 배운 모델은 시험할 글의 질문을 본 적이 없습니다. 찾을 지문은 언제나 140편의 것 모두입니다.
`작업폴더/corpora`로는 이렇게 배웠습니다(`작업폴더`에서, CPU 코어 하나로 저마다 10–40분).

    nlpbook train search --pretrained_model_name nlpbook-small --downstream_corpus_root_dir corpora --downstream_corpus_name korquad-v1
        --downstream_model_dir retriever --max_seq_length 128 --batch_size 16 --learning_rate 5e-5 --lr_scheduler linear --warmup_ratio 0.1
        --epochs 2 --freeze_layers 8 --hard_negatives 0 --monitor "max val_mrr" --seed 7
    nlpbook train qa --pretrained_model_name nlpbook-small --downstream_corpus_root_dir corpora --downstream_corpus_name korquad-short
        --downstream_model_dir reader --max_seq_length 192 --doc_stride 64 --batch_size 16 --learning_rate 1e-4 --lr_scheduler linear
        --warmup_ratio 0.1 --epochs 2 --freeze_layers 6 --seed 7
    nlpbook train pair-cls --pretrained_model_name nlpbook-small --downstream_corpus_root_dir corpora --downstream_corpus_name rerank-pairs
        --downstream_model_dir reranker --max_seq_length 192 --batch_size 16 --learning_rate 1e-4 --lr_scheduler linear --warmup_ratio 0.1
        --epochs 1 --freeze_layers 6 --max_train_samples 3000 --seed 7

`--model`은 여러 번 적을 수 있고(`nlpbook-small`, 학습한 폴더), 모델마다 뜻으로만 찾은 것과 낱말과 합친 것을 잽니다.
`--chosen`을 주면 검증할 글의 질문에서 고른 무게로 합친 것도 잽니다. `split`으로 나눈 것으로 배운 모델은 검증할 글도 배우지 않았습니다.
`--distractors`를 주면 위키백과의 글에서 뽑은 지문 `--count`편(20,000)을 섞습니다. 정답 지문과 문장이 하나라도 같은 것은 뺍니다.
`--work`에 색인과 질문의 벡터, 읽은 답을 두므로, 끊겨도 다시 부르면 이어서 잽니다. 질문은 `--questions`개만 뽑아 잴 수 있습니다.
걸린 시간은 질문을 하나씩 물었을 때의 가운데 값입니다.
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
from reference_tables import SPLIT_SEED, TEST_ARTICLES

from nlpbook_nbs.core.asking import Asker, open_reader, open_reranker
from nlpbook_nbs.core.baselines import RESULTS, difference
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.digests import digest_of
from nlpbook_nbs.core.embedding import open_embedder
from nlpbook_nbs.core.files import read_json, written_aside
from nlpbook_nbs.core.indexes import SearchIndex, build_index
from nlpbook_nbs.core.passages import Passage, checked_passages, read_passages
from nlpbook_nbs.core.ranking import ranking_scores
from nlpbook_nbs.core.retrieval import mine_negatives, read_questions
from nlpbook_nbs.core.searching import Searcher
from nlpbook_nbs.core.settings import require
from nlpbook_nbs.core.squad import read_korquad
from nlpbook_nbs.core.units import Units

WEIGHTS = [n / 10 for n in range(10)]
SEED, TOP, VAL_ARTICLES, TIMED, PIECE, SHORT, VAL_ROWS = 7, 20, 10, 30, 256, 260, 120
TESTED, VALIDATED = slice(TEST_ARTICLES), slice(TEST_ARTICLES, TEST_ARTICLES + VAL_ARTICLES)
NAMES = {"bigrams": "글자 두 개", "words": "어절", "wordpiece": "토큰", "kiwi": "형태소(kiwi)"}
FREE, UNITS = ("words", "bigrams"), "words,bigrams,wordpiece"
SCORES = {"R@1": "recall@1", "R@10": "recall@10", "MRR@10": "mrr@10", "nDCG@10": "ndcg@10"}


def korquad_file(data):
    return data / "korquad-v1" / "KorQuAD_v1.0_dev.json"


def articles(data):
    """시드로 섞은 KorQuAD의 글들. 앞의 `TEST_ARTICLES`편이 시험할 것입니다."""
    found = read_json(korquad_file(data))["data"]
    random.Random(SPLIT_SEED).shuffle(found)
    return found


def split(data, folder):
    """배울 글과 검증할 글을 `folder`에 씁니다.

    `korquad-v1`은 지문 그대로입니다. `korquad-short`는 답이 든 조각만 남긴 것에, 둘에 하나꼴로 답이 없는 조각(SQuAD 2.0의 꼴)을 더해 섞은 것이고,
    `rerank-pairs`는 질문과 조각의 짝입니다. 조각이 짧아 빨리 배우고, 답이 없는 조각을 보아야 읽은 답을 버릴 줄도 압니다.
    """
    rest, draw = articles(data)[TEST_ARTICLES:], random.Random(SEED)
    for name, part in {"train": rest[VAL_ARTICLES:], "dev": rest[:VAL_ARTICLES]}.items():
        written(folder / "korquad-v1" / f"KorQuAD_v1.0_{name}.json", korquad_text(part))
        rows = read_korquad(folder / "korquad-v1" / f"KorQuAD_v1.0_{name}.json")
        texts = list(dict.fromkeys(row.context_text for row in rows))
        owner = np.array([texts.index(row.context_text) for row in rows])
        questions, answers = [row.question_text for row in rows], [row.answer_text for row in rows]
        negatives = mine_negatives(questions, texts, owner, answers)[:, 0].tolist()
        kept = [*zip(rows, negatives)] if name == "train" else draw.sample([*zip(rows, negatives)], VAL_ROWS)
        parts, lines = [], []
        for row, wrong in kept:
            parts.append(shortened(row, draw))
            lines.append([row.question_text, parts[-1]["context"], "1"])
            if wrong >= 0:
                start = draw.randrange(max(1, len(texts[wrong]) - SHORT))
                lines.append([row.question_text, texts[wrong][start : start + SHORT], "0"])
                if draw.random() < 0.5:
                    parts.append(unanswered(row, lines[-1][1]))
        draw.shuffle(parts)
        draw.shuffle(lines)
        short = korquad_text([{"title": "", "paragraphs": parts}])
        written(folder / "korquad-short" / f"KorQuAD_v1.0_{name}.json", short)
        rows = [["sentence1", "sentence2", "label"], *lines]
        table = "\n".join("\t".join(" ".join(cell.split()) for cell in row) for row in rows)
        written(folder / "rerank-pairs" / f"{'val' if name == 'dev' else name}.tsv", table + "\n")


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def korquad_text(part):
    return json.dumps({"version": "split", "data": part}, ensure_ascii=False)


def shortened(row, draw):
    """답이 든 `SHORT`글자의 조각. KorQuAD의 꼴입니다."""
    at, size = row.start_position_character, len(row.answer_text)
    start = max(0, at - draw.randrange(max(1, SHORT - size)))
    answer = {"text": row.answer_text, "answer_start": at - start}
    asked = {"id": row.qas_id, "question": row.question_text, "answers": [answer]}
    return {"context": row.context_text[start : start + SHORT], "qas": [asked]}


def unanswered(row, context):
    """답이 없는 조각. SQuAD 2.0의 꼴입니다."""
    asked = {"id": f"{row.qas_id}-0", "question": row.question_text, "answers": [], "is_impossible": True}
    return {"context": context, "qas": [asked]}


def korquad(data, part=None):
    """`(지문들, [(질문, 지문의 id, 정답들)])`. 같은 지문은 하나로 봅니다. `part`를 주면 섞은 글 가운데 그 자리의 글의 질문만입니다."""
    rows = read_korquad(korquad_file(data))
    ids = {text: f"korquad-{n}" for n, text in enumerate(dict.fromkeys(row.context_text for row in rows))}
    passages = [Passage(key, text) for text, key in ids.items()]
    if part:
        parts = (each for row in articles(data)[part] for each in row["paragraphs"])
        tested = {question["id"] for each in parts for question in each["qas"]}
        rows = [row for row in rows if row.qas_id in tested]
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


class Kept:
    """함수가 낸 것을 열쇠마다 파일에 적어 두고, 없는 것만 다시 부릅니다. `rows`는 차례대로의 결과입니다."""

    def __init__(self, path, compute, chunk=256):
        self.path, self.compute, self.chunk = path, compute, chunk
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.known = dict(map(json.loads, lines))

    def __call__(self, items):
        keys = [digest_of(repr(item).encode()) for item in items]
        missing = [*{key: item for key, item in zip(keys, items) if key not in self.known}.items()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for at in range(0, len(missing), self.chunk):
            part = missing[at : at + self.chunk]
            made = zip((key for key, _ in part), self.compute([item for _, item in part]))
            with open(self.path, "a", encoding="utf-8") as file:
                for key, row in made:
                    self.known[key] = row
                    file.write(json.dumps([key, row], ensure_ascii=False) + "\n")
        return [self.known[key] for key in keys]


class KeptEmbedder:
    """질문의 벡터를 파일에 적어 두는 `TextEmbedder`."""

    def __init__(self, embedder, work):
        path = work / f"questions-{embedder.fingerprint()}.jsonl"
        self.embedder = embedder
        self.kept = Kept(path, lambda texts: embedder.questions(texts).astype(float).round(7).tolist())

    def __getattr__(self, name):
        return getattr(self.embedder, name)

    def questions(self, texts):
        return np.array(self.kept(list(texts)), np.float32)


def kept_of(options, folder):
    """그 모델이 읽은 것을 적어 둘 파일. 모델이 바뀌면 다른 파일입니다."""
    weights = sorted(path for path in Path(folder).iterdir() if path.suffix in {".safetensors", ".onnx"})
    return options.work / f"read-{digest_of(*(path.read_bytes() for path in weights))}.jsonl"


def median_ms(ask, texts, *options):
    """`ask(질문, *options)`로 하나씩 물을 때 걸리는 시간(밀리초)의 가운데 값."""
    ask(texts[0], *options)
    return round(1e3 * float(np.median([timed(ask, text, *options)[1] for text in texts[:TIMED]])), 2)


class Table:
    """표 하나. `columns`는 점수 옆에 적을 열의 이름과 그 값이 있는 설정의 이름입니다."""

    columns = {"질문 하나 (ms)": "ms_per_query", "색인 (MB)": "index_mb"}

    def __init__(self, name, title, options):
        self.name, self.title, self.options, self.rows, self.outcomes = name, title, options, [], {}

    def add(self, method, scores, milliseconds, cheap=False, settings=None):
        """질문마다의 점수 `{이름: (질문 수,)}`를 한 줄로. `milliseconds`는 질문 하나에 걸린 시간입니다."""
        self.outcomes[method] = scores
        means = {name: [round(float(values.mean()), 4)] for name, values in scores.items()}
        row = {"method": method, "cheap": cheap, "train": 0, "seeds": [], "scores": means}
        row |= {"seconds": [], "settings": {"ms_per_query": milliseconds} | (settings or {})}
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
            "columns": self.columns,
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
    title = f"KorQuAD 1.0 개발 파일, 지문 {len(passages):,}편, 질문 {len(asked):,}개, BM25"
    told = f" --units {options.units}" if options.units != UNITS else ""
    table = Table("search-words", title, told)
    tokenizer = open_embedder("nlpbook-small").tokenizer
    for name in options.units.split(","):
        index, built = timed(build_index, options.work / f"words-{name}", passages, Units(name, tokenizer))
        settings = {"build_seconds": round(built, 2), "terms": len(index.words.terms)}
        add_words(table, index, asked, settings)
    table.write("nDCG@10", 4, f"질문 {len(asked):,}개")


def add_words(table, index, asked, settings=None):
    """낱말로 찾은 줄. 사전도 모델도 없이 나누는 것만 값싼 방법으로 칩니다."""
    search, name, texts = Searcher(index), index.units.name, [text for text, _, _ in asked]
    settings = (settings or {}) | {"index_mb": megabytes(index, "scores")}
    spent, scores = median_ms(search, texts, TOP, "words"), scored(search.search(texts, TOP, "words"), asked)
    table.add(f"BM25, {NAMES[name]}", scores, spent, name in FREE, settings)


def megabytes(index, kind):
    """색인에서 그 갈래의 열이 차지하는 크기."""
    return round(sum(path.stat().st_size for path in index.folder.glob(f"{kind}-*/*.npy")) / 1e6, 2)


def open_dense(options, name, passages, model):
    """`(질문의 벡터를 적어 두는 색인, 그냥 색인)`."""
    embedder = open_embedder(model, batch_size=options.batch_size)
    kept, folder = KeptEmbedder(embedder, options.work), options.work / f"{name}-{Path(model).name}"
    index = build_index(folder, passages, embedder=kept, piece_size=PIECE)
    return index, SearchIndex(folder, embedder=embedder)


def method_table(options, name, passages, asked, title, told):
    table, texts = Table(name, title, told), [text for text, _, _ in asked]
    for unit in options.units.split(",") if name == "search-distractors" else ["bigrams"]:
        units = Units(unit, open_embedder("nlpbook-small").tokenizer)
        add_words(table, build_index(options.work / f"{name}-{unit}", passages, units), asked)
    for model in options.model:
        index, plain = open_dense(options, name, passages, model)
        short = TITLES.get(Path(model).name, Path(model).name)
        settings = {"index_mb": megabytes(index, "vectors")}
        ways = {f"벡터, {short}": ("meaning", {}), f"합침(RRF), {short}": ("hybrid", {})}
        for fusion, called in {"ranks": "RRF", "scores": "점수"}.items() if options.chosen else ():
            weight = chosen_weight(options, model, fusion)
            own = {"fusion": fusion, "meaning_weight": weight}
            ways[f"합침({called}, 뜻의 무게 {weight:.1f}), {short}"] = ("hybrid", own)
        for shown, (method, own) in ways.items():
            spent = median_ms(Searcher(plain, **own), texts, TOP, method)
            found = Searcher(index, **own).search(texts, TOP, method)
            table.add(shown, scored(found, asked), spent, settings=settings)
    table.write("nDCG@10", 4, f"질문 {len(asked):,}개")


def chosen_weight(options, model, fusion):
    """검증할 글의 질문에서 nDCG@10이 가장 높은, 뜻의 무게. 같으면 낱말 쪽입니다."""
    passages, asked = korquad(options.data, VALIDATED)
    index, _ = open_dense(options, "search-heldout", passages, model)
    texts = [text for text, _, _ in asked]

    def score(weight):
        found = Searcher(index, meaning_weight=weight, fusion=fusion).search(texts, TOP, "hybrid")
        return float(scored(found, asked)["nDCG@10"].mean())

    return max(WEIGHTS, key=score)


def chosen_fusion(options, model):
    """검증할 글에서 고른 무게로 점수를 더하는, `Searcher`의 설정."""
    return {"fusion": "scores", "meaning_weight": chosen_weight(options, model, "scores")}


def rerank_table(options, passages, asked, title, told):
    """합쳐 찾은 앞의 지문들을 함께 읽어 다시 매긴 것."""
    table, texts = Table("search-rerank", title, told), [text for text, _, _ in asked]
    index, plain = open_dense(options, "search-heldout", passages, options.model[0])
    rerank = open_reranker(options.reranker)
    kept = Kept(kept_of(options, options.reranker), lambda pairs: rerank(pairs).astype(float).tolist(), 64)
    own = chosen_fusion(options, options.model[0])
    search, again = Searcher(index, **own), Searcher(index, kept, options.candidates, **own)
    spent = median_ms(Searcher(plain, **own), texts, TOP)
    shown = f"합침(점수, 뜻의 무게 {own['meaning_weight']:.1f})"
    table.add(shown, scored(search.search(texts, TOP), asked), spent, True)
    spent = median_ms(Searcher(plain, rerank, options.candidates, **own), texts[:5], TOP)
    settings = {"candidates": options.candidates}
    table.add(
        f"앞의 {options.candidates}편을 다시 매김",
        scored(again.search(texts, TOP), asked),
        spent,
        settings=settings,
    )
    table.write("nDCG@10", 4, f"질문 {len(asked):,}개")


def ask_table(options, passages, asked, title, told):
    """찾은 지문의 수를 바꾸어 가며 잰 EM과 F1. 정답 지문을 바로 준 것이 천장입니다."""
    from nlpbook_nbs.qa import exact_match, f1

    table, texts = Table("search-ask", title, told), [text for text, _, _ in asked]
    table.columns = {"질문 하나 (ms)": "ms_per_query", "정답 지문이 든 비율": "recall"}
    read = open_reader(options.reader)
    kept = Kept(kept_of(options, options.reader), read, 64)

    def graded(answers):
        rows = [(text, golds) for text, (_, _, golds) in zip(answers, asked)]
        return {
            "F1": np.array([100 * max(f1(text, gold) for gold in golds) for text, golds in rows]),
            "EM": np.array([100.0 * any(exact_match(text, gold) for gold in golds) for text, golds in rows]),
        }

    whole = {passage.id: passage.text for passage in passages}
    gold = graded([row["answer"] for row in kept([(text, whole[key]) for text, key, _ in asked])])
    own: dict = {}
    if options.model:
        same = "search-distractors" if options.distractors else "search-heldout"  # 지문이 같은 색인
        index, plain = open_dense(options, same, passages, options.model[0])
        own = chosen_fusion(options, options.model[0])
    else:
        index, plain = build_index(options.work / "search-ask-words", passages), None
    for top_k in (1, 5, 20):
        found = Asker(Searcher(index, **own), kept, top_k).answer(texts)
        inside = [key in {hit.passage.id for hit in row.hits} for row, (_, key, _) in zip(found, asked)]
        spent = median_ms(Asker(Searcher(plain or index, **own), read, top_k), texts[:5])
        settings = {"recall": round(float(np.mean(inside)), 4)}
        table.add(f"찾은 지문 {top_k}편", graded([row.text for row in found]), spent, top_k == 1, settings)
    spent = median_ms(lambda text: read([(text, whole[asked[0][1]])]), texts[:5])
    table.add("정답 지문", gold, spent)
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


TABLES = ["search-words", "search-korquad", "search-heldout", "search-distractors", "search-kowiki"]
TABLES += ["search-rerank", "search-ask"]
TITLES = {"retriever": "배운 nlpbook-small", "retriever-mini": "배운 nlpbook-mini"}


def read_options(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=[*TABLES, "speed", "split"])
    parser.add_argument("data", type=Path, help="말뭉치폴더")
    parser.add_argument("--work", type=Path, default=Path("search-tables"), help="색인과 읽은 것을 둘 폴더")
    parser.add_argument("--units", default=UNITS, help="쉼표로 나눔. kiwi도 됩니다")
    parser.add_argument(
        "--model", action="append", default=[], help="벡터를 계산할 모델. 여러 번 적을 수 있습니다"
    )
    parser.add_argument("--chosen", action="store_true", help="검증할 글에서 고른 무게로도 합칩니다")
    parser.add_argument("--reranker", help="함께 읽어 다시 매길 모델의 폴더")
    parser.add_argument("--candidates", type=int, default=20, help="다시 매길 지문의 수")
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
    if options.table == "split":
        return split(options.data, options.work / "corpora")
    part = None if options.table == "search-korquad" else TESTED
    passages, asked = kowiki() if options.table == "search-kowiki" else korquad(options.data, part)
    if options.questions:
        asked = random.Random(SEED).sample(asked, min(options.questions, len(asked)))
    what = "KorQuAD 1.0에서 떼어 둔 글" if part else "KorQuAD 1.0 개발 파일"
    what = "패키지에 든 위키백과" if options.table == "search-kowiki" else what
    told = "".join(f" --model {Path(model).name}" for model in options.model)
    told += "".join(
        f" --{name} {Path(value).name}"
        for name, value in (("reranker", options.reranker), ("reader", options.reader))
        if value
    )
    told += f" --questions {options.questions}" if options.questions else ""
    told += " --chosen" if options.chosen else ""
    if options.distractors:
        passages = checked_passages([*passages, *distractors(options.distractors, passages, options.count)])
        what, told = f"{what}의 질문, 섞은 지문", f"{told} --distractors korean_mix.txt.xz"
    title = f"{what}, 지문 {len(passages):,}편, 질문 {len(asked):,}개"
    if options.table == "search-ask":
        require(options.reader, "--reader를 적으세요.")
        return ask_table(options, passages, asked, title, told)
    if options.table == "search-rerank":
        require(options.model and options.reranker, "--model과 --reranker를 적으세요.")
        return rerank_table(options, passages, asked, title, told)
    return method_table(options, options.table, passages, asked, title, told)


if __name__ == "__main__":
    main()
