"""모델과 값싼 방법을 같은 말뭉치에서 나란히 잽니다. 표 하나에 명령 하나입니다.

    python tools/reference.py sample-nsmc|sample-klue-nli|sample-kornli|sample-ner|sample-qa [말뭉치폴더 [작업폴더]]
    python tools/reference.py nsmc|klue-nli|kornli|korsts|ner|qa 말뭉치폴더 [작업폴더]
        [--models random,mini,small] [--small 폴더] [--seeds 7,8,9] [--max_train_samples 수 | --full_sample]
        [--epochs 2 --learning_rate 1e-4 …: 그 밖의 학습 설정은 그대로 넘깁니다]

말뭉치폴더에는 `nsmc/ratings_train.txt`처럼 말뭉치 이름의 폴더가 있어야 합니다. `sample-`이 붙은 표는 비우면 패키지에 든 말뭉치로 재고, 과제 카드의 `sample`만큼만 배웁니다.
KorNLI는 XNLI의 시험 파일로 배우고 개발 파일로 재며, KorQuAD 1.0은 개발 파일을 글 단위로 나누어(학습 110편, 시험 30편) 잽니다.
검증 파일이 따로 있으면 그것으로 에폭을 고르고, 없으면 마지막 에폭을 씁니다. 시험 문항으로는 아무것도 고르지 않습니다.

(방법, 시드)마다 재는 대로 `작업폴더/<표>.jsonl`에 적으므로, 끊겨도 다시 부르면 빠진 것만 잽니다. 그때마다 `nlpbook_nbs/data/results/<표>.json`을 다시 씁니다.
"""

import argparse
import json
import shutil
import time
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from reference_tables import TABLES, Fixed, average, split_korquad  # noqa: F401 (measure_small이 씁니다)

from nlpbook_nbs import __version__
from nlpbook_nbs.core.arguments import load_arguments
from nlpbook_nbs.core.baselines import NGRAM_METHODS, RESULTS, Difference, Recorded, difference
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.digests import digest_of, file_digest
from nlpbook_nbs.core.files import written_aside
from nlpbook_nbs.core.folders import EMBEDDED_MODELS, resolve_model_name
from nlpbook_nbs.core.iob import Entity
from nlpbook_nbs.core.recipes import load_recipe
from nlpbook_nbs.core.settings import NlpbookError, require, set_logger

MODELS = {  # 짧은 이름 → (표에 적을 이름, 모델의 이름, 무작위 가중치에서 시작하는지)
    "random": ("무작위 가중치", "nlpbook-mini", True),
    "mini": ("nlpbook-mini", "nlpbook-mini", False),
    "small": ("nlpbook-small", "nlpbook-small", False),
}
SEEDS = "7,8,9"
SMALL_RATE = 1e-4  # 카드에 nlpbook-small의 설정이 없을 때
DRAWS, SHARE = 2000, 0.95


def key_of(**parts):
    return digest_of(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode())[:12]


def weights_of(name):
    """모델 폴더의 가중치 파일들의 지문. 허브의 이름이면 이름 그대로."""
    paths = sorted(Path(resolve_model_name(name)).glob("*.safetensors"))
    return [file_digest(path)[:12] for path in paths] or name


class Runs:
    """`작업폴더/<표>.jsonl`: 잰 것 하나가 한 줄입니다."""

    def __init__(self, path):
        self.path = path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        # 쓰다가 끊긴 마지막 줄은 줄바꿈이 없습니다. 그 줄은 다시 잽니다.
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole, encoding="utf-8")
        self.rows = [json.loads(line) for line in whole.splitlines()]

    def has(self, key):
        return any(row["key"] == key for row in self.rows)

    def add(self, *rows):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        self.rows += rows


class Measurement:
    """표 하나를 재는 데 필요한 것들."""

    def __init__(self, name, data, work, count=None, limit=""):
        self.name, self.table, self.work = name, TABLES[name], work
        self.root, self.limit = data, limit  # 배울 예시를 몇 개로 정했는지 적은 옵션
        self.parts = self.table.read(data, work)
        self.recipe = load_recipe(self.table.task)
        self.full = len(self.parts.train)
        self.count = min(count or self.full, self.full)
        self.runs = Runs(work / f"{name}.jsonl")
        rows = (repr(row).encode() for row in [*self.parts.train, *self.parts.test, *(self.parts.val or ())])
        self.corpus = digest_of(*rows)[:12]

    def row(self, method, cheap, train, seed, answers, seconds, key, settings):
        graded = self.table.grade(self.parts.test, answers)
        outcomes = {name: np.round(values, 6) for name, values in graded.items()}
        return {
            "key": key,
            "corpus": self.corpus,
            "method": method,
            "cheap": cheap,
            "train": train,
            "seed": seed,
            "scores": {name: self.table.score(self.parts.test, values) for name, values in outcomes.items()},
            "seconds": round(seconds, 2),
            "settings": settings,
            "outcomes": {name: values.tolist() for name, values in outcomes.items()},
        }

    def measure_cheap(self):
        """값싼 방법을 모델이 배울 예시와, 그보다 많으면 모든 예시로 잽니다."""
        for train in sorted({self.count, self.full}):
            key = key_of(cheap=True, corpus=self.corpus, train=train, version=__version__)
            if self.runs.has(key):
                continue
            found, start = [], time.perf_counter()
            for method, answers in self.table.cheap(self.parts.train[:train], self.parts.test):
                seconds = time.perf_counter() - start
                found.append(self.row(method, True, train, None, answers, seconds, key, {}))
                start = time.perf_counter()
            self.runs.add(*found)

    def settings_of(self, short, given):
        """카드의 설정, 표의 설정, 모델마다의 설정, 명령줄에 적은 설정 차례로 얹은 것."""
        card, name = self.recipe.training, MODELS[short][1]
        usual = card.get(name) or card["nlpbook-mini"] | {"learning_rate": SMALL_RATE}
        keep = {"save_top_k": 1 if self.parts.val else 0}
        return {**keep, **usual, **self.table.settings, **self.table.rates.get(short, {}), **given}

    def measure_model(self, short, model, seed, given, options=""):
        """모델 하나를 시드 하나로 가르쳐 시험 문항에서 잽니다."""
        title, _, from_scratch = MODELS[short]
        settings = self.settings_of(short, given)
        plain = {name: value for name, value in settings.items() if name != "save_top_k"}
        key = key_of(
            method=title,
            seed=seed,
            train=self.count,
            corpus=self.corpus,
            settings=plain,
            weights=weights_of(model),
            version=__version__,
        )
        if self.runs.has(key):
            return
        folder = self.work / "models" / key
        args = self.recipe.train_arguments(
            pretrained_model_name=model,
            from_scratch=from_scratch,
            downstream_corpus_name=self.table.corpus,
            downstream_corpus_root_dir=str(self.root),
            downstream_model_dir=str(folder),
            seed=seed,
            resume=folder.exists(),
            **settings,
        )
        set_logger(args)
        result = self.recipe.train(args, corpus=Fixed(self.parts, self.count))
        answers = self.answers(args)
        self.runs.add(
            self.row(title, False, self.count, seed, answers, result["seconds"], key, plain)
            | {
                "precision": result["precision"],
                "options": options,
                "group": key_of(settings=plain, weights=weights_of(model)),
            }
        )
        shutil.rmtree(folder)

    def answers(self, args):
        """저장한 모델이 시험 문항에 한 답들."""
        kept = {"max_seq_length", "doc_stride", "max_query_length", "max_answer_length", "n_best_size"}
        names = kept & {each.name for each in fields(self.recipe.deploy_arguments)}
        deploy = self.recipe.deploy_arguments(
            downstream_task_name=args.downstream_task_name,
            downstream_model_dir=args.downstream_model_dir,
            **{name: getattr(args, name) for name in names},
        )
        test, model = self.parts.test, self.recipe.load(deploy)
        if self.table.task == "qa":
            return [
                found["answer"] for found in model([(row.question_text, row.context_text) for row in test])
            ]
        if self.table.task == "ner":
            found = model([row.text for row in test])
            names = ("start", "end", "label")
            return [[Entity(*(each[name] for name in names)) for each in row["entities"]] for row in found]
        paired = test[0].text_b is not None
        found = model.probabilities([(row.text_a, row.text_b) if paired else row.text_a for row in test])
        if found.shape[1] == 1:
            return found[:, 0].tolist()
        labels = self.parts.corpus.get_labels()
        return [labels[place] for place in found.argmax(axis=1)]

    def groups(self):
        """표의 줄마다 `(이름, 잰 것들)`. 모델은 가장 나중에 잰 설정의 것만, 세는 방법은 모든 예시로 배운 것도 적습니다."""
        rows = [row for row in self.runs.rows if row["corpus"] == self.corpus]
        cheap = [row for row in rows if row["cheap"]]
        own = {row["method"]: row for row in cheap if row["train"] == self.count}
        for row in own.values():
            yield row["method"], [row]
        for row in {row["method"]: row for row in cheap if row["train"] == self.full != self.count}.values():
            if row["method"].endswith(tuple(NGRAM_METHODS.values())):
                yield f"{row['method']} ({self.full:,}{self.table.unit[1]})", [row]
        for title, _, _ in MODELS.values():
            found = [row for row in rows if row["method"] == title and row["train"] == self.count]
            last = {row["seed"]: row for row in found if row["group"] == found[-1]["group"]}
            if last:
                yield title, [last[seed] for seed in sorted(last)]

    def record(self):
        """결과 파일에 적을 사전."""
        groups = dict(self.groups())
        first = next(iter(groups.values()))[0]
        what = next(iter(first["scores"]))
        (noun, counter), digits = self.table.unit, self.table.digits
        tested = f"시험 {noun} {len(self.parts.test):,}{counter}"
        rows = [
            {
                "method": name,
                "cheap": runs[0]["cheap"],
                "train": runs[0]["train"],
                "seeds": [run["seed"] for run in runs if run["seed"] is not None],
                "scores": {each: [round(run["scores"][each], 4) for run in runs] for each in first["scores"]},
                "seconds": [run["seconds"] for run in runs],
                "settings": runs[0]["settings"],
            }
            for name, runs in groups.items()
        ]
        return {
            "name": self.name,
            "title": f"{self.table.title}, 학습 {noun} {self.count:,}{counter}, {tested}",
            "what": what,
            "digits": digits,
            "sizes": {
                "train": self.count,
                "all": self.full,
                "val": len(self.parts.val or ()),
                "test": len(self.parts.test),
            },
            "day": time.strftime("%Y-%m-%d"),
            "versions": {name: version(name) for name in ("torch", "transformers", "scikit-learn")},
            "cores": torch.get_num_threads(),
            "rows": rows,
            "commands": self.commands(groups),
            "differences": [asdict(each) for each in self.differences(groups, what, tested)],
        }

    def commands(self, groups):
        """이 표를 다시 재는 명령들. 모델마다 준 설정이 다르면 여럿입니다."""
        places = "" if self.name.startswith("sample-") else "말뭉치폴더 작업폴더"
        named = {}
        for short, (title, _, _) in MODELS.items():
            if title in groups:
                runs = groups[title]
                seeds = ",".join(str(run["seed"]) for run in runs)
                named.setdefault((seeds, runs[0]["options"]), []).append(short)
        calls = [
            ("--models " + ",".join(shorts), "" if seeds == SEEDS else f"--seeds {seeds}", options)
            for (seeds, options), shorts in named.items()
        ]
        start = ("python tools/reference.py", self.name, places, self.limit)
        return [" ".join(filter(None, [*start, *call])) for call in calls or [('--models ""',)]]

    def differences(self, groups, what, tested):
        """가장 나은 모델과, 같은 예시로 배운 값싼 방법과 모든 예시로 배운 값싼 방법 가운데 가장 나은 것의 차이."""

        def best(named):
            return max(named, key=lambda name: np.mean([run["scores"][what] for run in groups[name]]))

        models = [name for name, runs in groups.items() if not runs[0]["cheap"]]
        if not models:
            return
        model = best(models)
        for train in sorted({self.count, self.full}):
            named = [n for n, runs in groups.items() if runs[0]["cheap"] and runs[0]["train"] == train]
            if not named:  # 배우는 것이 없는 방법뿐이면 예시를 더 주어도 같습니다.
                continue
            cheap = best(named)
            pair = [[np.array(run["outcomes"][what]) for run in groups[name]] for name in (model, cheap)]
            if self.table.score is average:
                means = (np.mean(each, axis=0) for each in pair)
                yield difference(model, cheap, *means, tested, self.table.digits)
            else:
                yield self.resampled(model, cheap, pair, tested)

    def resampled(self, model, cheap, outcomes, tested):
        """문항의 평균이 아닌 점수(상관계수)의 차이. 시험 문항을 다시 뽑아 점수를 다시 냅니다."""
        test, chance = self.parts.test, np.random.default_rng(7)

        def gap(places):
            rows = [test[place] for place in places]
            mean, other = (
                np.mean([self.table.score(rows, values[places]) for values in runs]) for runs in outcomes
            )
            return float(mean - other)

        gaps = [gap(chance.integers(len(test), size=len(test))) for _ in range(DRAWS)]
        low, high = np.quantile(gaps, [(1 - SHARE) / 2, (1 + SHARE) / 2])
        whole = gap(np.arange(len(test)))
        return Difference(model, cheap, whole, float(low), float(high), tested, self.table.digits)


def given_settings(recipe, words):
    """명령줄에 적은 학습 설정 `{이름: 값}`. 모르는 이름이면 argparse가 알려 줍니다."""
    if not words:
        return {}
    args = load_arguments(recipe.train_arguments, argv=words)
    named = {word[2:].split("=")[0] for word in words if word.startswith("--")}
    return {name: getattr(args, name) for name in sorted(named)}


def sample_size(name, recipe, options):
    """배울 예시의 수. `None`이면 모두입니다."""
    if options.max_train_samples or options.full_sample:
        return options.max_train_samples
    return recipe.sample or None if name.startswith("sample-") else None


def main(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", choices=TABLES)
    parser.add_argument(
        "data", type=Path, nargs="?", help="비우면 패키지에 든 말뭉치 (sample-으로 시작하는 표)"
    )
    parser.add_argument("work", type=Path, nargs="?", default=Path("nlpbook-models/reference"))
    parser.add_argument(
        "--models", type=lambda text: text.split(",") if text else [], help="빈 글이면 값싼 방법만 잽니다"
    )
    parser.add_argument("--small", help="nlpbook-small로 잴 모델 폴더")
    parser.add_argument("--seeds", type=lambda text: [int(each) for each in text.split(",")], default=SEEDS)
    parser.add_argument("--max_train_samples", type=int)
    parser.add_argument("--full_sample", action="store_true")
    parser.add_argument("--results", type=Path, default=RESULTS, help="결과 파일을 둘 폴더")
    options, rest = parser.parse_known_args(words)
    try:
        run(options, rest)
    except NlpbookError as error:
        raise SystemExit(str(error)) from None


def run(options, rest):
    sample = options.name.startswith("sample-")
    require(options.data or sample, f"{options.name}: 말뭉치들의 폴더를 적으세요.")
    recipe = load_recipe(TABLES[options.name].task)
    places = {
        short: options.small if short == "small" and options.small else MODELS[short][1] for short in MODELS
    }
    small = options.small or "nlpbook-small" in EMBEDDED_MODELS
    every = [short for short in MODELS if short != "small" or small]
    shorts = every if options.models is None else options.models
    for short in shorts:
        require(short in MODELS, f"{short}: 모르는 모델입니다. {', '.join(MODELS)} 가운데 고르세요.")
        require(
            short != "small" or small, "nlpbook-small이 패키지에 없습니다. --small에 모델 폴더를 적으세요."
        )
    given = given_settings(recipe, rest)
    count = sample_size(options.name, recipe, options)
    limit = "--full_sample" if options.full_sample else ""
    limit = f"--max_train_samples {options.max_train_samples}" if options.max_train_samples else limit
    found = Measurement(options.name, options.data or Path(sample_root()), options.work, count, limit)
    found.measure_cheap()
    write(found, options.results)
    for seed in options.seeds:
        for short in shorts:
            found.measure_model(short, places[short], seed, given, " ".join(rest))
            write(found, options.results)
    table = Recorded(found.record())
    print(f"{table}\n{table.verdict}")


def write(found, folder):
    text = json.dumps(found.record(), ensure_ascii=False, indent=1)
    with written_aside(folder / f"{found.name}.json") as aside:
        aside.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
