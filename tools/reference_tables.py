"""`tools/reference.py`가 재는 표들: 무엇으로 배우고 재는지, 값싼 방법은 무엇인지, 모델마다 어떤 설정으로 배우는지."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from nlpbook_nbs.classification import ClassificationExample, NsmcCorpus
from nlpbook_nbs.core.baselines import (
    best_place,
    cheap_answers,
    correct,
    keyword_answers,
    most_common_answers,
    nearest_words,
    words_at,
)
from nlpbook_nbs.core.entity_baselines import EntityDictionary, WindowTagger
from nlpbook_nbs.core.files import read_json, written_aside
from nlpbook_nbs.core.iob import tags_of
from nlpbook_nbs.core.tables import read_labeled_texts
from nlpbook_nbs.ner import NERCorpus
from nlpbook_nbs.paircls import (
    NLI_LABELS,
    KlueNLICorpus,
    KorNLICorpus,
    KorSTSCorpus,
    cheap_pair_answers,
    word_overlap,
)
from nlpbook_nbs.qa import KorQuADV1Corpus, exact_match, f1

TEST_ARTICLES, SPLIT_SEED = 30, 7
FIRST_LOOK = (
    64  # 검증 파일이 없으면 학습하는 동안 시험 문항을 이만큼만 재어 봅니다. 고르는 데는 쓰지 않습니다
)
PLACE_QUESTIONS = 500  # 늘 답할 자리를 고를 때 볼 학습 문항의 수


@dataclass
class Parts:
    """말뭉치에서 읽은 예시들."""

    corpus: Any  # 레이블을 아는 말뭉치 객체
    train: list
    test: list
    val: list | None = None  # 에폭을 고를 예시. 없으면 마지막 에폭을 씁니다


class Fixed:
    """읽어 둔 예시를 그대로 내놓는 말뭉치."""

    def __init__(self, parts: Parts, count: int):
        val = parts.val or parts.test[:FIRST_LOOK]
        self.corpus, self.rows = parts.corpus, {"train": parts.train[:count], "val": val, "test": val}
        self.num_labels = parts.corpus.num_labels
        for name in ("label_names", "problem_type"):
            if hasattr(parts.corpus, name):
                setattr(self, name, getattr(parts.corpus, name))

    def get_labels(self):
        return self.corpus.get_labels()

    def get_examples(self, data_root_path, mode):
        return self.rows[mode]


def readable(rows):
    return [row for row in rows if row.text_a.strip()]


def read_nsmc(root, work):
    corpus, folder = NsmcCorpus(), root / "nsmc"
    val = corpus.get_examples(folder, "val") if (folder / "ratings_val.txt").is_file() else None
    train, test = (readable(corpus.get_examples(folder, mode)) for mode in ("train", "test"))
    return Parts(corpus, train, test, val)


def read_klue_nli(root, work):
    corpus, folder = KlueNLICorpus(), root / "klue-nli"
    return Parts(corpus, corpus.get_examples(folder, "train"), corpus.get_examples(folder, "val"))


def read_kornli(root, work):
    """XNLI의 시험 파일로 배우고 개발 파일로 잽니다."""
    columns = ["sentence1", "sentence2", "gold_label"]
    parts = (
        read_labeled_texts(
            root / "kornli" / f"xnli.{name}.ko.tsv", columns, ClassificationExample, NLI_LABELS
        )
        for name in ("test", "dev")
    )
    return Parts(KorNLICorpus(), *parts)


def read_korsts(root, work):
    corpus, folder = KorSTSCorpus(), root / "korsts"
    return Parts(corpus, *(corpus.get_examples(folder, mode) for mode in ("train", "test", "val")))


def read_qa(root, work):
    """KorQuAD 1.0의 개발 파일을 글 단위로 나눕니다."""
    source = root / "korquad-v1" / "KorQuAD_v1.0_dev.json"
    return read_sample_qa(split_korquad(source, work / "corpora" / "korquad-v1").parent, work)


def read_sample_qa(root, work):
    corpus, folder = KorQuADV1Corpus(), str(root / "korquad-v1")
    return Parts(corpus, corpus.get_examples(folder, "train"), corpus.get_examples(folder, "val"))


def read_ner(root, work):
    """KLUE-NER. 개발 파일(`_dev`)이 시험이고, 검증 파일(`_val`)은 있을 때만 씁니다."""
    folder = root / "klue-ner"
    corpus = NERCorpus(
        SimpleNamespace(downstream_corpus_root_dir=str(root), downstream_corpus_name="klue-ner")
    )
    val = corpus.get_examples(folder, "val") if (folder / "klue-ner-v1.1_val.tsv").is_file() else None
    return Parts(corpus, *(corpus.get_examples(folder, mode) for mode in ("train", "test")), val)


def split_korquad(path, folder):
    """KorQuAD 파일 하나를 글 단위로 나누어 `folder`에 공식 파일 이름으로 씁니다."""
    articles = read_json(path)["data"]
    random.Random(SPLIT_SEED).shuffle(articles)
    parts = {"train": articles[TEST_ARTICLES:], "dev": articles[:TEST_ARTICLES]}
    for name, part in parts.items():
        with written_aside(folder / f"KorQuAD_v1.0_{name}.json") as aside:
            aside.write_text(
                json.dumps({"version": "split", "data": part}, ensure_ascii=False), encoding="utf-8"
            )
    return folder


# 값싼 방법: (이름, 시험 문항마다의 답)


def most_common(train, test):
    yield "가장 많은 레이블", most_common_answers([row.label for row in train], len(test))


def cheap_reviews(train, test):
    yield from most_common(train, test)
    texts = [row.text_a for row in test]
    yield "낱말 몇 개", keyword_answers(texts)
    yield from cheap_answers([row.text_a for row in train], [row.label for row in train], texts)


def cheap_pairs(train, test):
    yield from most_common(train, test)
    yield from cheap_pair_answers(train, test)


def cheap_scores(train, test):
    yield "늘 평균", [float(np.mean([row.label for row in train]))] * len(test)
    overlaps = [word_overlap(row.text_a, row.text_b) + word_overlap(row.text_b, row.text_a) for row in test]
    yield "낱말의 겹침", [value / 2 for value in overlaps]


def cheap_readers(train, test):
    rows = train[:: max(1, len(train) // PLACE_QUESTIONS)]
    place = best_place(
        [row.context_text for row in rows],
        lambda found: sum(map(best_f1, rows, found)),
    )
    yield "늘 같은 자리", [words_at(row.context_text, place) for row in test]
    yield "질문에 가까운 어절", [nearest_words(row.question_text, row.context_text) for row in test]


def cheap_entities(train, test):
    dictionary = EntityDictionary().fit(train)
    yield "사전", [dictionary(row.text) for row in test]
    yield "글자 둘레의 선형 모델", WindowTagger().fit(train).predict([row.text for row in test])


# 채점: 지표마다 시험 문항의 점수 (n,)


def best_f1(row, answer):
    return max(f1(answer, gold) for gold in row.answers)


def grade_labels(test, answers):
    return {"정확도": correct(answers, [row.label for row in test])}


def grade_scores(test, answers):
    return {"스피어만": np.array(answers, float)}


def grade_reading(test, answers):
    exact = [
        100.0 * max(exact_match(answer, gold) for gold in row.answers) for row, answer in zip(test, answers)
    ]
    return {"F1": np.array([100.0 * best_f1(*each) for each in zip(test, answers)]), "EM": np.array(exact)}


def _matches(golds, founds, names):
    """문장마다, 이름마다의 `[맞은 수, 찾은 수, 정답의 수]` `(n, 이름의 수, 3)`."""
    return np.array(
        [
            [[len(gold[name] & found[name]), len(found[name]), len(gold[name])] for name in names]
            for gold, found in zip(golds, founds)
        ]
    )


def _by_label(entities, names):
    return {name: {each for each in entities if each.label == name} for name in names}


def _by_tag(text, entities, names):
    letters = [(tag, place) for place, tag in enumerate(tags_of(len(text), entities)) if text[place] != " "]
    return {name: {place for tag, place in letters if tag == name} for name in names}


def grade_entities(test, answers):
    kinds = sorted({entity.label for row in test for entity in row.entities})
    tags = ["O", *(f"{part}-{kind}" for kind in kinds for part in "BI")]
    golds = [row.entities for row in test]
    found = {
        "개체명 macro F1": [[_by_label(each, kinds) for each in rows] for rows in (golds, answers)] + [kinds],
        "글자 macro F1": [
            [_by_tag(row.text, each, tags) for row, each in zip(test, rows)] for rows in (golds, answers)
        ]
        + [tags],
    }
    return {name: _matches(*each) for name, each in found.items()}


def macro_f1(test, values):
    """문장마다의 수를 모두 더해 구한 F1의, 종류마다의 평균. 한 번도 나오지 않은 종류는 뺍니다."""
    hits, *others = values.sum(axis=0).T
    total = sum(others)
    return float(np.mean(2 * hits[total > 0] / total[total > 0])) if total.any() else 0.0


def average(test, values):
    return float(np.mean(values))


def rank_correlation(test, values):
    """예측과 정답의 스피어만 상관계수. 답이 모두 같으면 0."""
    truth = [row.label for row in test]
    if np.ptp(values) == 0 or np.ptp(truth) == 0:
        return 0.0
    return float(spearmanr(values, truth).statistic)


@dataclass
class Table:
    """표 하나. `settings`는 모든 모델에, `rates`는 모델마다 과제 카드의 설정 위에 얹습니다."""

    title: str
    task: str
    corpus: str
    unit: tuple[str, str]  # 시험할 것의 이름과 세는 말
    read: Callable[[Path, Path], Parts]
    cheap: Callable[[list, list], Iterator[tuple[str, list]]]
    grade: Callable[[list, list], dict[str, np.ndarray]] = grade_labels
    score: Callable[[list, np.ndarray], float] = average  # 문항마다의 값 → 점수
    digits: int = 3
    settings: dict[str, Any] = field(default_factory=dict)
    rates: dict[str, dict[str, Any]] = field(default_factory=dict)


DECAY = {"lr_scheduler": "linear", "warmup_ratio": 0.1}
REVIEWS = {"task": "doc-cls", "corpus": "nsmc", "unit": ("리뷰", "건"), "cheap": cheap_reviews}
PAIRS = {"task": "pair-cls", "unit": ("쌍", "개"), "cheap": cheap_pairs}
READING = {
    "task": "qa",
    "corpus": "korquad-v1",
    "unit": ("질문", "개"),
    "cheap": cheap_readers,
    "grade": grade_reading,
    "digits": 1,
}
ENTITIES = {
    "task": "ner",
    "corpus": "klue-ner",
    "unit": ("문장", "개"),
    "read": read_ner,
    "cheap": cheap_entities,
    "grade": grade_entities,
    "score": macro_f1,
}
NLI_SETTINGS = {
    "settings": DECAY | {"epochs": 8, "batch_size": 32},
    "rates": {
        "random": {"learning_rate": 5e-4},
        "mini": {"learning_rate": 5e-4},
        "small": {"learning_rate": 1e-4, "epochs": 4},
    },
}
TABLES = {
    "sample-nsmc": Table("패키지에 든 NSMC 리뷰", read=read_nsmc, **REVIEWS),
    "sample-klue-nli": Table("패키지에 든 KLUE-NLI", corpus="klue-nli", read=read_klue_nli, **PAIRS),
    "sample-kornli": Table("패키지에 든 KorNLI(XNLI)", corpus="kornli", read=read_kornli, **PAIRS),
    "sample-ner": Table("패키지에 든 KLUE-NER", **ENTITIES),
    "sample-qa": Table("패키지에 든 지문과 질문", read=read_sample_qa, **READING),
    "nsmc": Table(
        "NSMC",
        read=read_nsmc,
        **REVIEWS,
        settings=DECAY | {"epochs": 2, "batch_size": 64},
        rates={
            "random": {"learning_rate": 5e-4},
            "mini": {"learning_rate": 3e-4},
            "small": {"learning_rate": 1e-4},
        },
    ),
    "klue-nli": Table("KLUE-NLI", corpus="klue-nli", read=read_klue_nli, **PAIRS, **NLI_SETTINGS),
    "kornli": Table("KorNLI(XNLI)", corpus="kornli", read=read_kornli, **PAIRS, **NLI_SETTINGS),
    "korsts": Table(
        "KorSTS",
        corpus="korsts",
        read=read_korsts,
        **PAIRS | {"cheap": cheap_scores},
        grade=grade_scores,
        score=rank_correlation,
        settings=DECAY | {"epochs": 4, "batch_size": 32},
        rates={"small": {"learning_rate": 1e-4}},
    ),
    "ner": Table(
        "KLUE-NER (개발 파일에서 나눈 것)",
        **ENTITIES,
        settings=DECAY | {"epochs": 8, "batch_size": 16},
        rates={
            "random": {"learning_rate": 5e-4},
            "mini": {"learning_rate": 5e-4},
            "small": {"learning_rate": 2e-4, "epochs": 5},
        },
    ),
    "qa": Table(
        "KorQuAD 1.0 (개발 파일을 글 단위로 나눔)",
        read=read_qa,
        **READING,
        settings=DECAY | {"max_seq_length": 256, "doc_stride": 128, "epochs": 5, "batch_size": 16},
        rates={
            "random": {"learning_rate": 5e-4},
            "mini": {"learning_rate": 5e-4},
            "small": {"learning_rate": 1e-4, "epochs": 3},
        },
    ),
}
