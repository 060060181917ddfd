"""학습을 아무 때나 kill -9로 끊고 이어서 한 결과가 끊지 않은 학습과 같은지 봅니다. test_resume.py가 따로 실행합니다.

무거운 라이브러리를 한 번만 불러오려고, 불러온 다음 자식 프로세스를 갈라(fork) 그 안에서 학습합니다.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

from nlpbook_nbs.classification import (
    ClassificationDataset,
    ClassificationTask,
    ClassificationTrainArguments,
    NsmcCorpus,
)
from nlpbook_nbs.corpora import sample_root
from nlpbook_nbs.settings import set_logger, set_seed
from nlpbook_nbs.training import get_trainer, load_checkpoint, load_model, load_tokenizer, make_loader


def train(model_dir, options):
    from torch.utils.data import DataLoader, RandomSampler
    from transformers import AutoModelForSequenceClassification

    from nlpbook_nbs.features import data_collator

    args = ClassificationTrainArguments(
        downstream_corpus_name="nsmc",
        downstream_corpus_root_dir=sample_root(),
        downstream_model_dir=str(model_dir),
        from_scratch=True,
        max_seq_length=32,
        batch_size=16,
        epochs=2,
        learning_rate=1e-3,
        seed=7,
        checkpoint_steps=3,
        resume=True,
        accelerator="cpu",
        **options["args"],
    )
    set_logger()
    set_seed(args)
    tokenizer = load_tokenizer(args)
    train_data, val_data = (
        ClassificationDataset(args, tokenizer, NsmcCorpus(), mode) for mode in ("train", "val")
    )
    task = ClassificationTask(load_model(AutoModelForSequenceClassification, args, num_labels=2), args)
    loader = make_loader(train_data, args, shuffle=True)
    if options["book_loader"]:
        loader = DataLoader(
            train_data,
            batch_size=args.batch_size,
            sampler=RandomSampler(train_data),
            collate_fn=data_collator,
        )
    get_trainer(args).fit(task, loader, make_loader(val_data, args, shuffle=False))


def in_child(action, *values):
    """`action(*values)`를 자식 프로세스에서 합니다. 부모는 텐서를 만지지 않습니다(계산 스레드가 있으면 가른 자식이 멈춥니다)."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        action(*values)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(pid, seconds):
    """`seconds`초를 기다려도 끝나지 않으면 죽입니다. 스스로 끝났으면 종료 코드, 죽였으면 `None`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def same_state(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_state(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same_state, a, b))
    return a == b


def compare(whole, cut):
    expected, found = (load_checkpoint(folder / "checkpoints" / "last.ckpt") for folder in (whole, cut))
    for part in ("global_step", "epoch", "state_dict", "optimizer_states", "lr_schedulers"):
        assert same_state(found[part], expected[part]), f"{part}이(가) 다릅니다"
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes(), (
        "내보낸 모델이 다릅니다"
    )
    left = [path.name for path in cut.rglob("*") if ".part" in path.name]
    assert not left, left


def main():
    folder, wanted, options = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    whole = folder / "whole"
    start = time.monotonic()
    assert wait(in_child(train, whole, options), 120) == 0, "끊지 않은 학습이 실패했습니다"
    length = time.monotonic() - start
    rng, kills, runs, resumed = random.Random(options["seed"]), 0, 0, 0
    while kills < wanted:
        cut = folder / f"cut{runs}"
        while True:
            limit = rng.uniform(0.05, 0.9) * length if kills < wanted else 120
            resumed += (cut / "checkpoints" / "last.ckpt").exists()
            code = wait(in_child(train, cut, options), limit)
            if code is not None:
                break
            kills += 1
        assert code == 0, f"이어서 한 학습이 {code}(으)로 끝났습니다"
        assert wait(in_child(compare, whole, cut), 60) == 0, "끊지 않은 학습과 결과가 다릅니다"
        runs += 1
        shutil.rmtree(cut)
    print(json.dumps({"kills": kills, "runs": runs, "resumed": resumed, "seconds": round(length, 1)}))


if __name__ == "__main__":
    main()
