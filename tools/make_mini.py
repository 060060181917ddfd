"""패키지에 든 모델 nlpbook-mini를 처음부터 다시 만듭니다: `python tools/make_mini.py 글.txt 작업폴더`.

10장의 명령(`nlpbook pretrain …`)을 차례로 부른 다음, 가중치를 16비트로 줄여 토크나이저, 학습 기록과 함께 패키지에 넣습니다.
중간에 끊겨도 같은 명령을 다시 부르면 이어서 합니다. `--pack_only`면 학습하지 않고 작업폴더에 있는 것을 넣기만 합니다.
"""

import argparse
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from nlpbook_nbs.core.folders import EMBEDDED_MODELS
from nlpbook_nbs.core.resume import load_checkpoint

NLPBOOK = str(Path(sys.executable).with_name("nlpbook"))
COMMON = {
    "dropout": 0.0,
    "seed": 7,
    "validation_every": 100,
    "log_every_n_steps": 100,
    "checkpoint_seconds": 60,
}
STAGES = {
    # 짧은 예시로 먼저: 같은 시간에 더 많은 스텝을 밟아, 적은 계산으로 빨리 배웁니다.
    "stage1": {
        "max_seq_length": 32,
        "batch_size": 32,
        "epochs": 2,
        "learning_rate": 5e-4,
        "lr_scheduler": "constant",
        "warmup_ratio": 0.005,
    },
    # 긴 예시로 마무리: 글의 앞 절반으로 모든 위치를 배우면서 학습률을 0까지 내립니다.
    "stage2": {
        "max_seq_length": 256,
        "batch_size": 8,
        "epochs": 1,
        "learning_rate": 4e-4,
        "lr_scheduler": "linear",
        "warmup_ratio": 0.02,
    },
}
LINES = {"stage2": 337_000}  # 글의 앞에서 이만큼만 읽는 단계
KEPT = (
    "step",
    "train_mlm_loss",
    "train_nsp_loss",
    "val_mlm_loss",
    "val_nsp_loss",
    "val_mlm_acc",
    "val_nsp_acc",
)


def run(*words):
    print("$ nlpbook", *words, flush=True)
    subprocess.run([NLPBOOK, *map(str, words)], check=True)


def first_lines(text, count, path):
    with open(text, encoding="utf-8") as source, open(path, "w", encoding="utf-8") as target:
        target.writelines(islice(source, count))
    return path


def train(text, work):
    tokenizer = work / "tokenizer"
    if not (tokenizer / "tokenizer.json").exists():
        run("pretrain", "tokenizer", "--train_file", text, "--vocab_size", 8000, "--output_dir", tokenizer)
    start = tokenizer
    for name, values in STAGES.items():
        source = first_lines(text, LINES[name], work / f"{name}.txt") if name in LINES else text
        options = {"pretrained_model_name": start, "train_file": source, "downstream_model_dir": work / name}
        words = [word for key, value in (options | COMMON | values).items() for word in (f"--{key}", value)]
        run("pretrain", "model", *words, "--resume")
        start = work / name


def record(folder):
    """한 단계의 학습 기록. 곡선은 그림을 그리기에 알맞게 성기게 남깁니다."""
    history = load_checkpoint(folder / "checkpoints" / "last.ckpt")["callbacks"]["History"]
    rows = [{name: round(row[name], 4) for name in KEPT if name in row} for row in history["rows"]]
    training = [row for row in rows if "train_mlm_loss" in row]
    kept = training[:: max(1, len(training) // 100)] + [row for row in rows if "val_mlm_loss" in row]
    return {
        "steps": history["rows"][-1]["step"],
        "examples": history["samples"],
        "seconds": round(history["seconds"]),
        "curve": sorted(kept, key=lambda row: row["step"]),
    }


def pack(work):
    target, last = EMBEDDED_MODELS["nlpbook-mini"].path, work / list(STAGES)[-1]
    config = json.loads((last / "config.json").read_text(encoding="utf-8"))
    config |= {"dtype": "float32", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    (target / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    weights = {name: tensor.half() for name, tensor in load_file(last / "model.safetensors").items()}
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    (target / "model.safetensors").chmod(0o644)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (target / name).write_bytes((last / name).read_bytes())
    (target / "vocab.txt").write_bytes((work / "tokenizer" / "vocab.txt").read_bytes())
    stages = {name: values | record(work / name) for name, values in STAGES.items()}
    (target / "training.json").write_text(json.dumps(stages, ensure_ascii=False) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {size / 1e6:.1f} MB")
    for name, stage in stages.items():
        print(name, {key: value for key, value in stage.items() if key != "curve"}, stage["curve"][-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=Path, help="한 줄에 한 문장, 빈 줄이 문서의 경계인 글 파일")
    parser.add_argument("work", type=Path, help="중간 결과를 둘 폴더")
    parser.add_argument("--pack_only", action="store_true")
    options = parser.parse_args()
    if not options.pack_only:
        train(options.text, options.work)
    pack(options.work)


if __name__ == "__main__":
    main()
