"""문장 생성을 잽니다. 무작위 가중치, nlpbook-gpt, 5-그램을 같은 리뷰로 가르쳐 퍼플렉시티와 쓴 글을 견줍니다.

    python tools/measure_gpt.py 말뭉치폴더 작업폴더 [--models random,gpt] [--seeds 7,8,9] [--train 20000] [--samples 500]
        [--epochs 3 --learning_rate 5e-4 …: 그 밖의 학습 설정은 그대로 넘깁니다]

말뭉치폴더에는 `nsmc/ratings_train.txt`와 `nsmc/ratings_test.txt`가 있어야 합니다. 조건을 지켰는지는 같은 리뷰로 가르친 2장의 분류기(nlpbook-mini)가 봅니다.
(방법, 시드)마다 재는 대로 `작업폴더/generation.jsonl`에 적으므로 끊겨도 빠진 것만 잽니다. 결과는 `nlpbook_nbs/data/results/generation.json`입니다.
"""

import argparse
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from reference import Runs, given_settings, key_of, weights_of, write

import nlpbook_nbs as nlpbook
from nlpbook_nbs import __version__
from nlpbook_nbs.core.baselines import RESULTS, Recorded, difference
from nlpbook_nbs.core.models import load_tokenizer
from nlpbook_nbs.core.ngram_lm import KneserNey
from nlpbook_nbs.core.recipes import load_recipe
from nlpbook_nbs.core.settings import set_logger
from nlpbook_nbs.core.tables import LabeledCorpus
from nlpbook_nbs.core.writing_scores import distinct, longest_copies, repetition
from nlpbook_nbs.generation import GenerationDataset, NsmcCorpus

MODELS = {"random": ("무작위 가중치", True), "gpt": ("nlpbook-gpt", False)}
NGRAM, WHAT = "5-그램", "조건 정확도"
VAL, TEST, TOP_P, LENGTH = 1_000, 2_000, 0.92, 40
SEEDS = "7,8,9"


class Parts(LabeledCorpus):
    """앞의 `train`건으로 배우고 그다음 `VAL`건으로 고르고 시험 파일의 앞 `TEST`건으로 재는 말뭉치."""

    labels = NsmcCorpus.labels

    def __init__(self, root, train):
        corpus, folder = NsmcCorpus(), Path(root, "nsmc")
        rows, test = corpus.get_examples(folder, "train"), corpus.get_examples(folder, "test")
        self._parts = {"train": rows[:train], "val": rows[train : train + VAL], "test": test[:TEST]}

    def get_examples(self, data_root_path, mode):
        return self._parts[mode]


def body(row):
    return row.text.removeprefix(row.condition).strip()


def make_judge(corpus, work):
    """쓴 글이 긍정인지 부정인지 답하는 2장의 분류기. 한 번 가르친 것은 다시 씁니다."""
    folder, data = work / "judge", work / "judge-data" / "reviews"
    if not (folder / "config.json").exists():
        data.mkdir(parents=True, exist_ok=True)
        for mode in ("train", "val", "test"):
            rows = [f"{body(row)}\t{row.condition}" for row in corpus.get_examples("", mode) if body(row)]
            (data / f"{mode}.tsv").write_text("\n".join(["document\tlabel", *rows]) + "\n", encoding="utf-8")
        recipe = load_recipe("doc-cls")
        settings = recipe.training["nlpbook-mini"] | {"epochs": 2, "learning_rate": 3e-4}
        args = recipe.train_arguments(
            pretrained_model_name="nlpbook-mini",
            downstream_corpus_root_dir=str(data.parent),
            downstream_corpus_name=data.name,
            downstream_model_dir=str(folder),
            seed=7,
            **settings,
        )
        recipe.train(args)
    return nlpbook.load(folder)


def written_scores(texts, wanted, judge, learned):
    """쓴 글들의 `({잣대: 값}, 조건을 지켰는지 (n,))`. 빈 글은 조건을 지키지 못한 것으로 봅니다."""
    shown = [place for place, text in enumerate(texts) if text]
    kept = np.zeros(len(texts))
    for place, found in zip(shown, judge([texts[place] for place in shown])):
        kept[place] = found["label"] == wanted[place]
    copies = longest_copies(texts, learned)
    whole = np.array([bool(text) and copy >= len(text) for text, copy in zip(texts, copies)])
    scores = {
        WHAT: kept.mean(),
        "distinct-2": distinct(texts, 2),
        "되풀이": repetition(texts),
        "베낀 길이(중앙값)": np.median(copies),
        "통째로 베낌": whole.mean(),
    }
    return {name: round(float(value), 4) for name, value in scores.items()}, kept


class Measurement:
    """잴 것들."""

    name = "generation"

    def __init__(self, options, given):
        self.options, self.given = options, given
        self.corpus, self.recipe = Parts(options.data, options.train), load_recipe("generation")
        self.runs = Runs(options.work / "generation.jsonl")
        self.learned = [body(row) for row in self.corpus.get_examples("", "train")]
        self.wanted = ["긍정", "부정"] * (options.samples // 2)

    def key(self, **parts):
        sizes = {"train": self.options.train, "samples": self.options.samples, "test": TEST, "top_p": TOP_P}
        return key_of(**parts, **sizes, version=__version__)

    @property
    def judge(self):
        if not hasattr(self, "_judge"):
            self._judge = make_judge(self.corpus, self.options.work)
        return self._judge

    def args(self, model, folder, seed, **changes):
        settings = self.recipe.training["nlpbook-gpt"] | {"max_seq_length": 64, "epochs": 3} | self.given
        return self.recipe.train_arguments(
            pretrained_model_name=model,
            downstream_corpus_root_dir=str(self.options.data),
            downstream_model_dir=str(folder),
            seed=seed,
            **settings | changes,
        )

    def add(self, key, method, cheap, seed, perplexities, texts, seconds):
        scores, kept = written_scores(texts, self.wanted, self.judge, self.learned)
        first = {
            WHAT: scores.pop(WHAT),
            "글자마다 퍼플렉시티": perplexities[0],
            "토큰마다 퍼플렉시티": perplexities[1],
        }
        row = {"key": key, "method": method, "cheap": cheap, "seed": seed, "scores": first | scores}
        self.runs.add(row | {"seconds": round(seconds, 1), "kept": kept.tolist(), "texts": texts[:20]})

    def real(self):
        """천장: 진짜 시험 리뷰의 `{잣대: 값}`."""
        rows = self.corpus.get_examples("", "test")[: self.options.samples]
        return written_scores([body(r) for r in rows], [r.condition for r in rows], self.judge, self.learned)[
            0
        ]

    def measure_ngrams(self):
        key = self.key(method=NGRAM)
        if self.runs.has(key):
            return
        begun, args = time.perf_counter(), self.args("nlpbook-gpt", self.options.work / "unused", 7)
        tokenizer = load_tokenizer(args)
        train, test = (GenerationDataset(args, tokenizer, self.corpus, mode) for mode in ("train", "test"))
        rows = [np.split(data.columns["input_ids"], data.columns["offsets"][1:-1]) for data in (train, test)]
        model = KneserNey(len(tokenizer), 5).fit(rows[0])
        losses = -model.log_probabilities(rows[1])[test.columns["labels"] != -100]
        letters = test.columns["letters"].sum()
        found = [round(float(np.exp(total)), 4) for total in (losses.sum() / letters, losses.mean())]
        random, texts = np.random.default_rng(7), []
        for condition in self.wanted:
            ids = tokenizer(condition)["input_ids"]
            start = len(ids)
            while len(ids) - start < LENGTH and (token := model.draw(ids, random)) != tokenizer.eos_token_id:
                ids.append(token)
            texts.append(tokenizer.decode(ids[start:], skip_special_tokens=True).strip())
        self.add(key, NGRAM, True, None, found, texts, time.perf_counter() - begun)

    def measure_model(self, short, seed):
        title, from_scratch = MODELS[short]
        settings = {name: value for name, value in self.given.items() if name != "save_top_k"}
        weights = None if from_scratch else weights_of("nlpbook-gpt")
        key = self.key(method=title, seed=seed, settings=settings, weights=weights)
        if self.runs.has(key):
            return
        folder = self.options.work / "models" / key
        args = self.args("nlpbook-gpt", folder, seed, from_scratch=from_scratch, resume=folder.exists())
        set_logger(args)
        result = self.recipe.train(args, corpus=self.corpus)
        generator = nlpbook.load(folder, top_k=0, top_p=TOP_P, max_length=LENGTH, seed=seed).predict
        texts = [each.generated.strip() for each in generator.write(self.wanted)]
        found = [result["test_letter_perplexity"], result["test_perplexity"]]
        self.add(key, title, False, seed, found, texts, result["seconds"])

    def record(self):
        options, groups = self.options, {}
        for row in self.runs.rows:
            groups.setdefault(row["method"], {})[row["seed"]] = row
        rows = [
            {
                "method": method,
                "cheap": next(iter(found.values()))["cheap"],
                "train": options.train,
                "seeds": [seed for seed in found if seed is not None],
                "scores": {
                    name: [row["scores"][name] for row in found.values()]
                    for name in next(iter(found.values()))["scores"]
                },
                "seconds": [row["seconds"] for row in found.values()],
            }
            for method, found in groups.items()
        ]
        real = ", ".join(f"{name} {value:.3f}" for name, value in self.real().items())
        tested = f"쓴 글 {options.samples:,}편"
        pairs = [(title, NGRAM) for title, _ in MODELS.values() if {title, NGRAM} <= groups.keys()]
        kept = {
            name: np.mean([row["kept"] for row in found.values()], axis=0) for name, found in groups.items()
        }
        return {
            "name": self.name,
            "title": f"문장 생성(NSMC), 학습 리뷰 {options.train:,}건, 퍼플렉시티는 시험 리뷰 {TEST:,}건, {tested} (top-p {TOP_P}). 진짜 시험 리뷰는 {real}",
            "what": WHAT,
            "digits": 3,
            "sizes": {"train": options.train, "all": options.train, "val": VAL, "test": TEST},
            "day": time.strftime("%Y-%m-%d"),
            "versions": {name: version(name) for name in ("torch", "transformers", "scikit-learn")},
            "cores": torch.get_num_threads(),
            "rows": rows,
            "commands": [
                f"python tools/measure_gpt.py 말뭉치폴더 작업폴더 --train {options.train} --samples {options.samples} "
                + " ".join(["--seeds", ",".join(map(str, options.seeds)), *options.rest])
            ],
            "differences": [asdict(difference(a, b, kept[a], kept[b], tested)) for a, b in pairs[-1:]],
        }


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--models", type=lambda text: text.split(","), default="random,gpt")
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=SEEDS)
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options, options.rest = parser.parse_known_args(words)
    found = Measurement(options, given_settings(load_recipe("generation"), options.rest))
    found.measure_ngrams()
    for seed in options.seeds:
        for short in options.models:
            found.measure_model(short, seed)
            write(found, options.results)
    table = Recorded(found.record())
    print(f"{table}\n{table.verdict}")


if __name__ == "__main__":
    main()
