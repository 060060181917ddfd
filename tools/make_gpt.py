"""패키지에 든 모델 nlpbook-gpt를 처음부터 다시 만듭니다: `python tools/make_gpt.py learn 글.txt.xz 리뷰.txt 작업폴더`.

    python tools/make_gpt.py learn 글.txt.xz 리뷰.txt 작업폴더 --hours 10
    python tools/make_gpt.py cool 작업폴더 --tokens 4194304
    python tools/make_gpt.py pack 작업폴더 [넣을폴더]

learn은 학습률을 올린 다음 그대로 두고 `--hours`나 `--tokens`까지 배웁니다. 언제 끊겨도 같은 명령을 다시 부르면 이어서 합니다.
쓸 가중치가 필요할 때 cool로 마지막 체크포인트에서 갈라져 학습률을 0까지 내립니다. learn의 체크포인트는 그대로 남아 나중에 더 배울 수 있습니다.
"""

import argparse
import json
import lzma
import math
from datetime import timedelta
from pathlib import Path
from string import Template

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GPT2Config

from nlpbook_nbs.core.arguments import TrainArguments
from nlpbook_nbs.core.bpe import save_bpe, train_bpe
from nlpbook_nbs.core.causal import MixedText, NextTokenTask, PackedText, make_mixed_loader
from nlpbook_nbs.core.files import written_aside
from nlpbook_nbs.core.models import load_model
from nlpbook_nbs.core.resume import load_checkpoint
from nlpbook_nbs.core.settings import PACKAGE_DIR, set_logger, set_seed
from nlpbook_nbs.core.text import TokenizedText
from nlpbook_nbs.core.training import get_trainer

SEED, VOCAB, LETTERS, BLOCK, BATCH = 7, 8192, 1500, 256, 8
SIZES = {"n_layer": 4, "n_embd": 256, "n_head": 4, "n_positions": BLOCK, "vocab_size": VOCAB}
HELD_OUT = 200  # 문서 몇 개마다 하나를 떼어 둘지
SHARES = {"reviews": 0.5, "text": 0.5}  # 갈래마다 읽는 창의 몫
EPOCH_TOKENS = 1 << 20  # 이만큼 읽을 때마다 검증합니다
WATCHED = 120  # 갈래마다 검증하는 창의 수
RATE, WARMUP_STEPS = 1e-3, 300
TASK = "next-token"


def documents(path):
    """빈 줄이 경계인 글 파일(`.xz`도 됨)의 문서들: 줄의 목록."""
    opened = lzma.open if Path(path).suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        document = []
        for line in file:
            if line.strip():
                document.append(line.strip())
            elif document:
                yield document
                document = []
        if document:
            yield document


def split(mix, reviews, folder):
    """글 두 파일을 학습용과 검증용으로 나눕니다. 리뷰는 한 줄이 한 문서이고, 떼어 두는 것은 영화를 통째로 합니다."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in {"reviews": reviews, "text": mix}.items():
        if (folder / f"{name}.val.txt").exists():
            continue
        with (
            written_aside(folder / f"{name}.val.txt") as held,
            written_aside(folder / f"{name}.txt") as kept,
            open(held, "w", encoding="utf-8") as val,
            open(kept, "w", encoding="utf-8") as train,
        ):
            for number, document in enumerate(documents(source)):
                gap = "\n\n" if name == "reviews" else "\n"
                (train if (number + 1) % HELD_OUT else val).write(gap.join(document) + "\n\n")


class Lines:
    """토크나이저가 배울 줄들: 리뷰와 글에서 다섯 줄마다 하나. 몇 번이고 다시 읽을 수 있습니다."""

    def __init__(self, folder, every=5):
        self.paths, self.every = [folder / f"{name}.txt" for name in SHARES], every

    def __iter__(self):
        for path in self.paths:
            for number, document in enumerate(documents(path)):
                yield from (
                    document[number % self.every :: self.every]
                    if len(document) > 1
                    else (document if number % self.every == 0 else ())
                )


def start(work):
    """토크나이저를 배우고, 가중치 없는 모델의 폴더 `work/start`를 만듭니다."""
    folder = work / "start"
    if not (folder / "config.json").exists():
        tokenizer = save_bpe(train_bpe(Lines(work / "text"), VOCAB, LETTERS), folder, BLOCK)
        ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        GPT2Config(**SIZES, **none, **ids, architectures=["GPT2LMHeadModel"]).save_pretrained(folder)
    return folder


def datasets(folder, tokenizer, tokens):
    """`(학습, 검증)` 데이터셋. 한 에폭은 `tokens`토큰입니다."""
    parts = {
        split: {
            name: PackedText(TokenizedText(tokenizer, folder / f"{name}{split}.txt"), BLOCK, SEED)
            for name in SHARES
        }
        for split in ("", ".val")
    }
    windows = tokens // BLOCK
    train = MixedText(parts[""], [round(windows * share) for share in SHARES.values()], SEED)
    return train, MixedText(parts[".val"], [min(WATCHED, len(part)) for part in parts[".val"].values()], SEED)


def fit(work, name, begin, tokens, hours=None, **options):
    """`begin`의 모델을 `work/name`에서 배웁니다."""
    epoch = min(tokens, EPOCH_TOKENS)
    args = TrainArguments(
        pretrained_model_name=str(begin),
        downstream_task_name=TASK,
        downstream_corpus_name="reviews-text",
        downstream_model_dir=str(work / name),
        max_seq_length=BLOCK,
        batch_size=BATCH,
        epochs=round(tokens / epoch),
        learning_rate=RATE,
        weight_decay=0.01,
        gradient_clip_val=1.0,
        seed=SEED,
        resume=True,
        checkpoint_seconds=120,
        log_every_n_steps=32,
        precision="fp32",
        fast_dropout=False,
        **options,
    )
    set_logger(args)
    set_seed(args)
    tokenizer = AutoTokenizer.from_pretrained(begin)
    train, val = datasets(work / "text", tokenizer, epoch)
    model = load_model(AutoModelForCausalLM, args)
    task = NextTokenTask(model, args, tokenizer.bos_token_id, train.names)
    limit = {"max_time": timedelta(hours=hours)} if hours else {}
    trainer = get_trainer(args, **limit)
    trainer.fit(task, make_mixed_loader(train, args, True), make_mixed_loader(val, args, False))
    return trainer


def learn(options):
    split(options.mix, options.reviews, options.work / "text")
    begin = start(options.work)
    steps = options.tokens / BLOCK / BATCH
    schedule = {"lr_scheduler": "constant", "warmup_ratio": WARMUP_STEPS / steps, "from_scratch": True}
    fit(options.work, "learn", begin, options.tokens, options.hours, **schedule)


def cool(options):
    """learn의 마지막 체크포인트에서 갈라져 학습률을 0까지 내립니다."""
    work, begin = options.work, options.work / "learnt"
    if not (begin / "training.json").exists():
        saved = load_checkpoint(work / "learn" / "checkpoints" / "last.ckpt")["state_dict"]
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(work / "start"))
        model.load_state_dict(
            {k.removeprefix("model."): v for k, v in saved.items() if k.startswith("model.")}
        )
        model.save_pretrained(begin)
        AutoTokenizer.from_pretrained(work / "start").save_pretrained(begin)
        (begin / "training.json").write_text(json.dumps(record(work / "learn")), encoding="utf-8")
    fit(work, "cooled", begin, options.tokens, lr_scheduler="linear", warmup_ratio=0.02)


def record(folder):
    """한 단계의 학습 기록. 곡선은 그림을 그리기에 알맞게 성기게 남깁니다."""
    saved = load_checkpoint(folder / "checkpoints" / "last.ckpt")
    history, steps = saved["callbacks"]["History"], saved["global_step"]
    rows = [{name: round(value, 4) for name, value in row.items()} for row in history["rows"]]
    watched = [row for row in rows if "val_loss" in row]
    training = [row for row in rows if "val_loss" not in row]
    return {
        "steps": steps,
        "tokens": steps * BATCH * BLOCK,
        "seconds": round(history["seconds"]),
        "curve": sorted(training[:: max(1, len(training) // 100)] + watched, key=lambda row: row["step"]),
    }


def table(head, rows):
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in cells)


def held_out_rows(stages, most=8):
    """검증한 때마다 `손실 / 글자마다의 헷갈림`. 고르게 `most`줄 안팎과 마지막 줄입니다."""
    rows = []
    for name, stage in stages.items():
        watched = [row for row in stage["curve"] if "val_loss" in row]
        kept = watched[:: max(1, -(-len(watched) // most))]
        kept += [row for row in watched[-1:] if row not in kept]
        for row in kept:
            cells = [
                f"{row[f'val_loss_{each}']:.3f} / {math.exp(row[f'val_letter_loss_{each}']):.2f}"
                for each in SHARES
            ]
            rows.append([name, f"{row['step']:,}", f"{row['step'] * BATCH * BLOCK / 1e6:.1f}", *cells])
    return rows


def write_card(target, stages, weights):
    """`tools/nlpbook-gpt.md`를 학습의 기록으로 채워 `target/README.md`에 씁니다."""
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    names = {"learn": f"{RATE:g} (올린 다음 그대로)", "cooled": f"{RATE:g} → 0"}
    rows = [
        [
            name,
            f"{stage['steps']:,}",
            f"{stage['tokens']:,}",
            names[name],
            f"{stage['seconds'] / 3600:.1f}시간",
        ]
        for name, stage in stages.items()
    ]
    facts = {
        **{name: f"{config[name]:,}" for name in SIZES},
        "weights": f"{weights:,}",
        "megabytes": f"{sum(path.stat().st_size for path in target.iterdir()) / 1e6:.1f}",
        "tokens": f"{sum(stage['tokens'] for stage in stages.values()):,}",
        "steps": f"{sum(stage['steps'] for stage in stages.values()):,}",
        "hours": f"{sum(stage['seconds'] for stage in stages.values()) / 3600:.1f}",
        "hours_learnt": f"{stages['learn']['seconds'] / 3600:.1f}",
        "tokens_cooled": f"{stages['cooled']['tokens']}",
        "stages": table(["단계", "스텝", "읽은 토큰", "학습률", "걸린 시간"], rows),
        "held_out": table(["단계", "스텝", "백만 토큰", "리뷰", "글"], held_out_rows(stages)),
    }
    template = Path(__file__).with_name("nlpbook-gpt.md").read_text(encoding="utf-8")
    (target / "README.md").write_text(Template(template).substitute(facts), encoding="utf-8")


def pack(options):
    work, target = options.work, options.target
    target.mkdir(parents=True, exist_ok=True)
    last = work / "cooled"
    config = json.loads((last / "config.json").read_text(encoding="utf-8"))
    config |= {"dtype": "float32", "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1}
    (target / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    weights = {name: tensor.half() for name, tensor in load_file(last / "model.safetensors").items()}
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    (target / "model.safetensors").chmod(0o644)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (target / name).write_bytes((work / "start" / name).read_bytes())
    learnt = json.loads((work / "learnt" / "training.json").read_text(encoding="utf-8"))
    stages = {"learn": learnt, "cooled": record(last)}
    (target / "training.json").write_text(json.dumps(stages, ensure_ascii=False) + "\n", encoding="utf-8")
    write_card(target, stages, sum(tensor.numel() for tensor in weights.values()))
    print(f"{target}: {sum(path.stat().st_size for path in target.iterdir()) / 1e6:.1f} MB")
    for name, stage in stages.items():
        print(name, {key: value for key, value in stage.items() if key != "curve"}, stage["curve"][-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, help="계산에 쓸 스레드 수")
    steps = parser.add_subparsers(dest="step", required=True)
    one = steps.add_parser("learn", help="처음부터 배우기 (끊기면 같은 명령으로 이어 감)")
    one.add_argument("mix", type=Path, help="여러 갈래의 글 파일 (빈 줄이 문서의 경계)")
    one.add_argument("reviews", type=Path, help="리뷰 글 파일 (빈 줄이 영화의 경계)")
    one.add_argument("work", type=Path, help="중간 결과를 둘 폴더")
    one.add_argument("--tokens", type=int, default=400 << 20, help="읽을 토큰 수. 이어서 할 때 바꾸지 못함")
    one.add_argument("--hours", type=float, help="이만큼 걸리면 멈춤 (앞서 배운 시간도 셈)")
    two = steps.add_parser("cool", help="학습률을 0까지 내리기")
    two.add_argument("work", type=Path)
    two.add_argument("--tokens", type=int, default=4 << 20, help="내리는 동안 읽을 토큰 수")
    three = steps.add_parser("pack", help="가중치를 16비트로 줄여 패키지에 넣기")
    three.add_argument("work", type=Path)
    three.add_argument("target", type=Path, nargs="?", default=PACKAGE_DIR / "models" / "nlpbook-gpt")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    {"learn": learn, "cool": cool, "pack": pack}[options.step](options)


if __name__ == "__main__":
    main()
