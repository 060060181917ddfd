"""학습을 아무 때나 kill -9로 끊고 이어서 한 결과가 끊지 않은 학습과 같은지 봅니다. test_killed.py가 따로 실행합니다.

학습은 갈라 낸 자식 프로세스에서 합니다.
"""

import json
import random
import shutil
import sys
import time
from pathlib import Path

import torch
from forked import HANGING, in_child, wait

from nlpbook_nbs.classification import (
    ClassificationDataset,
    ClassificationTask,
    ClassificationTrainArguments,
    NsmcCorpus,
)
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.models import load_model, load_tokenizer
from nlpbook_nbs.core.resume import load_checkpoint
from nlpbook_nbs.core.settings import set_logger, set_seed
from nlpbook_nbs.core.training import get_trainer, make_loader


def train(model_dir, options):
    from torch.utils.data import DataLoader, RandomSampler
    from transformers import AutoModelForSequenceClassification

    from nlpbook_nbs.core.features import data_collator

    args = ClassificationTrainArguments(
        downstream_corpus_name="nsmc",
        downstream_corpus_root_dir=sample_root(),
        max_train_samples=792,
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
    assert wait(in_child(train, whole, options), HANGING) == 0, "끊지 않은 학습이 실패했습니다"
    length = time.monotonic() - start
    rng, kills, runs, resumed = random.Random(options["seed"]), 0, 0, 0
    while kills < wanted:
        cut = folder / f"cut{runs}"
        while True:
            limit = rng.uniform(0.05, 0.9) * length if kills < wanted else HANGING
            resumed += (cut / "checkpoints" / "last.ckpt").exists()
            code = wait(in_child(train, cut, options), limit)
            if code is not None:
                break
            kills += 1
        assert code == 0, f"이어서 한 학습이 {code}(으)로 끝났습니다"
        assert wait(in_child(compare, whole, cut), HANGING) == 0, "끊지 않은 학습과 결과가 다릅니다"
        runs += 1
        shutil.rmtree(cut)
    print(json.dumps({"kills": kills, "runs": runs, "resumed": resumed, "seconds": round(length, 1)}))


if __name__ == "__main__":
    main()
