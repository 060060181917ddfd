"""실제 말뭉치에서 nlpbook-mini와 무작위 가중치와 기준선의 점수를 나란히 잽니다.

    python tools/reference.py nsmc|klue-nli|kornli|qa 말뭉치들의_폴더 작업폴더

말뭉치 폴더는 `<폴더>/nsmc/ratings_train.txt`처럼 말뭉치 이름의 폴더를 담고 있어야 합니다. 결과는 표로 찍고 `작업폴더/<이름>.json`에 남깁니다.
두 NLI 말뭉치에서는 학습용 쌍의 글로 사전학습을 이어 간(레이블은 쓰지 않습니다) nlpbook-mini도 함께 잽니다.
NSMC, KLUE-NLI는 있는 그대로, KorNLI는 XNLI의 시험 파일로 학습해 개발 파일로, KorQuAD 1.0은 개발 파일을 글 단위로 나누어(학습 110편, 평가 30편) 잽니다.
"""

import argparse
import json
import platform
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import torch

from nlpbook_nbs.core.files import read_json, written_aside
from nlpbook_nbs.core.pretraining import PretrainArguments, pretrain_bert
from nlpbook_nbs.core.recipes import load_recipe
from nlpbook_nbs.core.settings import set_logger
from nlpbook_nbs.core.squad import read_korquad
from nlpbook_nbs.core.text import write_documents
from nlpbook_nbs.paircls import HypothesisOnlyBaseline, open_corpus
from nlpbook_nbs.qa import korquad_scores

TEST_ARTICLES, SPLIT_SEED = 30, 7
COMMON = {"lr_scheduler": "linear", "warmup_ratio": 0.1}
ADAPTATION = {
    "pretrained_model_name": "nlpbook-mini",
    "max_seq_length": 128,
    "epochs": 10,
    "batch_size": 32,
    "learning_rate": 5e-4,
    "short_seq_probability": 0.0,
}


def nsmc(data, work):
    settings = {"epochs": 2, "batch_size": 64, "monitor": "max val_acc"}
    return "doc-cls", data, settings | {"downstream_corpus_name": "nsmc"}, {}, None


def klue_nli(data, work):
    return nli(data, {"downstream_corpus_name": "klue-nli"}, work)


def kornli(data, work):
    folder = work / "corpora" / "kornli"
    folder.mkdir(parents=True, exist_ok=True)
    # 시험 파일로 학습하고 개발 파일로 잽니다. 시험 파일의 자리에도 개발 파일을 둡니다.
    for source, target in (("test", "multinli.train"), ("dev", "xnli.dev"), ("dev", "xnli.test")):
        shutil.copyfile(data / "kornli" / f"xnli.{source}.ko.tsv", folder / f"{target}.ko.tsv")
    return nli(work / "corpora", {"downstream_corpus_name": "kornli"}, work)


def nli(root, corpus, work):
    settings = corpus | {
        "epochs": 8,
        "batch_size": 32,
        "monitor": "max val_acc",
    }
    recipe = load_recipe("pair-cls")
    args = recipe.train_arguments(
        downstream_corpus_root_dir=str(root), pretrained_model_name="nlpbook-mini", **corpus
    )
    folder = root / args.downstream_corpus_name
    train, test = (open_corpus(args).get_examples(folder, mode) for mode in ("train", "val"))
    common = Counter(row.label for row in train).most_common(1)[0][0]
    guess = HypothesisOnlyBaseline().fit(train)
    baselines = {
        "가장 많은 레이블": lambda row: common,
        "가설만 보기": lambda row: guess(row.text_b),
    }
    rows = {
        name: {"val_acc": sum(answer(row) == row.label for row in test) / len(test)}
        for name, answer in baselines.items()
    }
    # 전제와 가설을 두 문장짜리 문서 하나로 삼습니다. NSP는 이 가설이 이 전제의 짝인지를 묻게 됩니다.
    text = write_documents(
        ([row.text_a, row.text_b] for row in train), work / f"{args.downstream_corpus_name}-text.txt"
    )
    return "pair-cls", root, settings, rows, text


def adapted(text, work, seed):
    """`text`의 글로 사전학습을 이어 간 nlpbook-mini의 폴더."""
    args = PretrainArguments(
        train_file=str(text), downstream_model_dir=str(work / f"{text.stem}-adapted"), seed=seed, **ADAPTATION
    )
    set_logger(args)
    return pretrain_bert(args)["model_dir"]


def qa(data, work):
    root = split_korquad(
        data / "korquad-v1" / "KorQuAD_v1.0_dev.json", work / "corpora" / "korquad-v1"
    ).parent
    settings = {
        "downstream_corpus_name": "korquad-v1",
        "max_seq_length": 256,
        "doc_stride": 128,
        "epochs": 5,
        "batch_size": 16,
        "monitor": "max val_f1",
    }
    return (
        "qa",
        root,
        settings,
        {"늘 같은 자리": constant_answer(root / "korquad-v1" / "KorQuAD_v1.0_dev.json")},
        None,
    )


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


def constant_answer(path):
    """지문에서 늘 같은 자리의 어절을 답으로 내는 방법 가운데, 채점할 문항을 미리 보고 고른 가장 높은 F1과 그때의 EM."""
    rows = read_korquad(path)
    references = {row.qas_id: row.answers for row in rows}
    words = {row.qas_id: row.context_text.split() for row in rows}
    found = (
        korquad_scores(
            {key: " ".join(each[start : start + count or None]) for key, each in words.items()}, references
        )
        | {"start": start, "count": count}
        for start in range(-10, 40)
        for count in range(1, 5)
        if start + count <= 0 or start >= 0
    )
    best = max(found, key=lambda scores: scores["f1"])
    return {
        "val_em": best["em"],
        "val_f1": best["f1"],
        "settings": f"{best['start']}번 어절부터 {best['count']}어절",
    }


LEARNING_RATES = {  # (nlpbook-mini, 무작위 가중치)의 학습률. NSMC에서만 무작위 가중치에 더 큰 값을 씁니다.
    "nsmc": (3e-4, 5e-4),
    "klue-nli": (5e-4, 5e-4),
    "kornli": (5e-4, 5e-4),
    "qa": (5e-4, 5e-4),
}
SECTIONS = {"nsmc": nsmc, "klue-nli": klue_nli, "kornli": kornli, "qa": qa}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=SECTIONS)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    task, root, settings, rows, text = SECTIONS[options.name](options.data, options.work)
    recipe, settings = load_recipe(task), COMMON | settings
    mini_rate, random_rate = LEARNING_RATES[options.name]
    starts = {"nlpbook-mini": ("mini", "nlpbook-mini", False, mini_rate)}
    if text:
        folder = adapted(text, options.work, options.seed)
        starts["말뭉치의 글에 적응한 nlpbook-mini"] = ("adapted", folder, False, mini_rate)
    starts["무작위 가중치"] = ("random", "nlpbook-mini", True, random_rate)
    for name, (short, model, from_scratch, rate) in starts.items():
        args = recipe.train_arguments(
            pretrained_model_name=model,
            from_scratch=from_scratch,
            downstream_corpus_root_dir=str(root),
            downstream_model_dir=str(options.work / f"{options.name}-{short}"),
            learning_rate=rate,
            seed=options.seed,
            **settings,
        )
        set_logger(args)
        rows[name] = recipe.train(args)
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "settings": settings,
        "rows": rows,
    }
    with written_aside(options.work / f"{options.name}.json") as aside:
        aside.write_text(json.dumps(record, ensure_ascii=False, indent=1), encoding="utf-8")
    metrics = [name for name in ("val_acc", "val_em", "val_f1") if name in rows["nlpbook-mini"]]
    print(f"| | {' | '.join(metrics)} | 학습 시간(초) |\n|---|{'---|' * (len(metrics) + 1)}")
    for name, found in rows.items():
        values = [
            f"{found[metric]:.4f}" if metric == "val_acc" else f"{found[metric]:.2f}" for metric in metrics
        ]
        print(f"| {name} | {' | '.join(values)} | {found.get('seconds', '')} |")


if __name__ == "__main__":
    main()
