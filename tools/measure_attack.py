"""11장의 큰 실험을 하고 `nlpbook_nbs/data/attack/`에 결과를 둡니다. 끊기면 같은 명령으로 이어 합니다.

    python tools/measure_attack.py canary 작업폴더    # 시드마다 카나리아를 심고 방어들을 견줍니다 → results.json
    python tools/measure_attack.py lira 작업폴더      # 그림자 모델들을 가르쳐 회원 추론을 합니다 → lira.json

글은 패키지에 든 위키백과의 문단들입니다. `nlpbook-mini`는 영화 리뷰만 읽었으므로 이 글을 본 적이 없습니다.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch

from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.experiment import CanaryExperiment, experiment_record
from nlpbook_nbs.core.exposure import merge_records
from nlpbook_nbs.core.files import read_json, read_tsv, written_aside
from nlpbook_nbs.core.planting import CanaryArguments
from nlpbook_nbs.core.probe import load_probe
from nlpbook_nbs.core.shadows import balanced_halves, spread_scores
from nlpbook_nbs.core.text import split_sentences, write_documents

ROOT = Path(__file__).resolve().parent.parent
ATTACK = ROOT / "nlpbook_nbs" / "data" / "attack"
SEEDS = (7, 8, 9)
RUNS = "start,planted,early,sgd,dp,dedup,scrub-rules,strangers,planted-classified,classified,dp-64,dp-1"
SETTINGS = {
    "kinds": "city,employer",
    "repeats": "1,4,16,64",
    "sentences": 700,
    "epochs": 3,
    "validation_every": 4,
    "private_batch_size": 64,
    "membership_sentences": 100,
    "task_examples": 1000,
    "task_epochs": 1,
}
MODEL = "nlpbook-mini"
TEXTS, MODELS, EPOCHS = 800, 12, 4  # LiRA: 글, 모델, 에폭


def passages():
    """위키백과의 문단마다 문장의 목록."""
    rows = read_tsv(Path(sample_root(), "kowiki", "passages.tsv"), ["text"])
    return [split_sentences(text) for _, (text,) in rows]


def canary(work, seconds):
    """시드마다 `CanaryExperiment`를 하고 한데 모읍니다. 같은 실험을 시드마다 다 한 다음 다음 실험으로 넘어갑니다."""
    train_file = write_documents(passages(), work / "passages.txt")
    experiments = [
        CanaryExperiment(
            CanaryArguments(
                train_file=str(train_file),
                pretrained_model_name=MODEL,
                downstream_model_dir=str(work / f"seed-{seed}"),
                downstream_corpus_root_dir=sample_root(),
                seed=seed,
                resume=True,
                **SETTINGS,
            )
        )
        for seed in SEEDS
    ]
    started = time.monotonic()
    done: list[dict] = [{} for _ in experiments]
    for name in RUNS.split(","):
        for runs, experiment in zip(done, experiments, strict=True):
            if time.monotonic() - started < seconds:
                runs[name] = experiment.run(name)
    if all(done):
        write(
            "results",
            merge_records([experiment_record(*each) for each in zip(experiments, done, strict=True)]),
        )


def learn(texts, seed):
    """`texts`를 되풀이해 읽은 모델에게 묻는 도구. 글 하나가 예시 하나입니다."""
    from transformers import DataCollatorForLanguageModeling, set_seed

    set_seed(seed)
    probe = load_probe(MODEL)
    model, tokenizer = probe.model.train(), probe.tokenizer
    examples = [tokenizer(text) for text in texts]
    loader = torch.utils.data.DataLoader(
        examples, batch_size=32, shuffle=True, collate_fn=DataCollatorForLanguageModeling(tokenizer)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    for _ in range(EPOCHS):
        for batch in loader:
            optimizer.zero_grad()
            model(**batch).loss.backward()
            optimizer.step()
    model.eval()
    return probe


def lira(work, seconds):
    """모델마다 글의 절반을 읽히고 모든 글의 점수를 잽니다."""
    probe, started = load_probe(MODEL), time.monotonic()
    sentences = sorted({s for document in passages() for s in document})
    np.random.default_rng(7).shuffle(sentences)
    texts = [s for s in sentences if 10 <= len(probe.tokenizer.tokenize(s)) <= 40][:TEXTS]
    inside = balanced_halves(TEXTS, MODELS, seed=7)
    for number in range(MODELS):
        path = work / f"lira-{number}.json"
        if path.exists() or time.monotonic() - started > seconds:
            continue
        begun = time.monotonic()
        read = [text for text, chosen in zip(texts, inside[number], strict=True) if chosen]
        scores = spread_scores(learn(read, seed=number), texts)
        found = {"scores": scores.round(4).tolist(), "seconds": round(time.monotonic() - begun, 1)}
        path.write_text(json.dumps(found), encoding="utf-8")
    parts = [read_json(work / f"lira-{n}.json") for n in range(MODELS) if (work / f"lira-{n}.json").exists()]
    if len(parts) < MODELS:
        return
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, 스레드 {torch.get_num_threads()}개",
        "seconds": round(sum(part["seconds"] for part in parts), 1),
        "model": MODEL,
        "epochs": EPOCHS,
        "start": spread_scores(probe, texts).round(4).tolist(),
        "scores": [part["scores"] for part in parts],
        "inside": ["".join(map(str, row)) for row in inside.astype(int)],
    }
    write("lira", record)


def write(name, record):
    ATTACK.mkdir(parents=True, exist_ok=True)
    with written_aside(ATTACK / f"{name}.json") as aside:
        aside.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("what", choices=("canary", "lira"))
    parser.add_argument("work", type=Path, nargs="?", default=Path("nlpbook-models/attack"))
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="이만큼 지나면 새 실험을 시작하지 않음"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    {"canary": canary, "lira": lira}[options.what](options.work, options.seconds)


if __name__ == "__main__":
    main()
