"""4장의 세 설계를 같은 문장에서 견줍니다: 토큰마다, 토큰을 글자로 나누어, 글자의 출력층으로.

    python tools/ner_designs.py 말뭉치폴더 작업폴더 [--model nlpbook-mini] [--seeds 7,8,9] [그 밖의 학습 설정]

말뭉치폴더의 `klue-ner`로 배우고 그 개발 파일로 잽니다. 에폭은 고르지 않고 마지막 것을 씁니다. 잰 것은 `작업폴더/designs.jsonl`에 적고, 다시 부르면 빠진 것만 잽니다.
"""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from reference import given_settings

from nlpbook_nbs.core.models import load_model, load_tokenizer
from nlpbook_nbs.core.settings import set_logger, set_seed
from nlpbook_nbs.core.training import run_training
from nlpbook_nbs.ner import RECIPE, NERCorpus, NERDataset, NERTask

DESIGNS = {  # 이름 → (토큰을 글자로 나누는지, 글자의 출력층을 쓰는지)
    "토큰마다": (False, False),
    "토큰을 글자로 나누어": (True, False),
    "글자의 출력층": (False, True),
}
SCORES = ("val_f1", "val_micro_f1", "val_char_f1")


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
    return {name: result[name] for name in SCORES} | {
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
    for design in DESIGNS:
        found = [row for row in rows if row["design"] == design and row["model"] == options.model]
        if found:
            means = (f"{name} {np.mean([row[name] for row in found]):.3f}" for name in SCORES)
            print(f"{design}: {', '.join(means)} (시드 {len(found)}개, 학습 토큰 {found[-1]['tokens']:,}개)")


if __name__ == "__main__":
    main()
