"""4장의 세 설계를 같은 문장에서 견줍니다: 토큰마다, 토큰을 글자로 나누어, 글자의 출력층으로.

    python tools/ner_designs.py 말뭉치폴더 작업폴더 [--model nlpbook-mini] [--seeds 7,8,9] [그 밖의 학습 설정]

말뭉치폴더의 `klue-ner`로 배우고 그 개발 파일로 잽니다. 에폭은 고르지 않고 마지막 것을 씁니다. 잰 것은 `작업폴더/designs.jsonl`에 적고, 다시 부르면 빠진 것만 잽니다. 표는 재어 둔 `ner`의 값싼 방법과 함께 `nlpbook_nbs/data/results/ner-designs.json`에 적습니다.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch
from reference import given_settings

from nlpbook_nbs.core.baselines import RESULTS, Recorded, recorded
from nlpbook_nbs.core.files import written_aside
from nlpbook_nbs.core.models import load_model, load_tokenizer
from nlpbook_nbs.core.settings import set_logger, set_seed
from nlpbook_nbs.core.training import run_training
from nlpbook_nbs.ner import RECIPE, NERCorpus, NERDataset, NERTask

DESIGNS = {  # 이름 → (토큰을 글자로 나누는지, 글자의 출력층을 쓰는지)
    "토큰마다": (False, False),
    "토큰을 글자로 나누어": (True, False),
    "글자의 출력층": (False, True),
}
SCORES = {"개체명 macro F1": "val_f1", "개체명 micro F1": "val_micro_f1", "글자 macro F1": "val_char_f1"}


def letter_tokenizer(tokenizer):
    """어휘에서 한 글자짜리 조각만 남긴 토크나이저. 조각의 번호는 그대로입니다."""
    rules = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = {*tokenizer.all_special_tokens}
    rules["model"]["vocab"] = {
        piece: number
        for piece, number in rules["model"]["vocab"].items()
        if piece in kept or len(piece.removeprefix("##")) == 1
    }
    tokenizer._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(rules))
    return tokenizer


def measure(design, args):
    from transformers import AutoModelForTokenClassification

    split, head = DESIGNS[design]
    args.characters = head
    set_seed(args)
    corpus, tokenizer = NERCorpus(args), load_tokenizer(args)
    tokenizer = letter_tokenizer(tokenizer) if split else tokenizer
    train, test = (NERDataset(args, tokenizer, corpus, mode) for mode in ("train", "test"))
    names = dict(enumerate(train.label_names))
    model = load_model(
        AutoModelForTokenClassification,
        args,
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    result = run_training(NERTask(model, args), args, train, test)
    return {name: result[name] for name in SCORES.values()} | {
        "seconds": result["seconds"],
        "tokens": int(train.lengths.sum()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="nlpbook-mini")
    parser.add_argument("--seeds", default="7,8,9")
    parser.add_argument("--designs", default=",".join(DESIGNS))
    options, rest = parser.parse_known_args()
    path = options.work / "designs.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )
    for seed in map(int, options.seeds.split(",")):
        for design in options.designs.split(","):
            settings = {**RECIPE.training[options.model], "epochs": 6, "save_top_k": 0}
            settings |= given_settings(SimpleNamespace(train_arguments=RECIPE.train_arguments), rest)
            what = {"design": design, "model": options.model, "seed": seed, "settings": settings}
            if any(what.items() <= row.items() for row in rows):
                continue
            args = RECIPE.train_arguments(
                pretrained_model_name=options.model,
                downstream_corpus_name=RECIPE.corpus,
                downstream_corpus_root_dir=str(options.data),
                downstream_model_dir=str(options.work / "model"),
                seed=seed,
                **settings,
            )
            set_logger(args)
            rows.append(what | measure(design, args))
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1], ensure_ascii=False) + "\n")
    record([row for row in rows if row["model"] == options.model], options.model)


def record(rows, model):
    """잰 것을 `nlpbook_nbs/data/results/ner-designs.json`에 적습니다."""
    found = {name: [row for row in rows if row["design"] == name] for name in DESIGNS}
    table = {
        "name": "ner-designs",
        "title": f"{model}, KLUE-NER 학습 문장 3,200개, 시험 문장 800개",
        "what": "개체명 macro F1",
        "digits": 3,
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "cores": torch.get_num_threads(),
        "columns": {"학습 토큰": "tokens"},
        "rows": [row for row in recorded("ner").record["rows"] if row["cheap"]]
        + [
            {
                "method": name,
                "cheap": False,
                "train": 3200,
                "seeds": [row["seed"] for row in rows],
                "scores": {title: [round(row[key], 4) for row in rows] for title, key in SCORES.items()},
                "seconds": [round(row["seconds"], 1) for row in rows],
                "settings": {"tokens": rows[-1]["tokens"]},
            }
            for name, rows in found.items()
            if rows
        ],
        "commands": ["python tools/ner_designs.py 말뭉치폴더 작업폴더"],
        "differences": [],
    }
    with written_aside(RESULTS / "ner-designs.json") as part:
        part.write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(Recorded(table))


if __name__ == "__main__":
    main()
