"""정말로 가득 찬 디스크(작은 tmpfs)에서도 한 문장으로 알리고, 비우면 다음 실행이 됩니다."""

import subprocess
import sys

import pytest
from soak import count, rounds

IN_SMALL_DISK = """
set -e
mount -t tmpfs -o size=$1 tmpfs "$2"
"$3" -c "$4" "$2"
"""


@pytest.fixture
def small_disk(tmp_path):
    """`run(크기, 코드)`: 그 크기의 디스크를 이 프로세스만의 이름공간에 붙이고 코드를 실행합니다. 폴더는 `sys.argv[1]`입니다."""
    place = tmp_path / "disk"
    place.mkdir()
    test = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(place)]
    try:
        allowed = subprocess.run(test, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("이 컴퓨터에서는 작은 디스크를 붙일 수 없습니다 (unshare, mount)")

    def run(size, code):
        command = ["unshare", "-rm", "sh", "-c", IN_SMALL_DISK, "sh", size, str(place), sys.executable, code]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2000)
        assert done.returncode == 0, done.stderr[-3000:]
        count("가득 찬 디스크에 씀")
        return done.stdout

    return run


CACHE = """
import os, sys
import numpy as np
from nlpbook_nbs.core.columns import cached_columns
disk = sys.argv[1]
build = lambda: {"x": np.arange(200_000), "y": np.arange(200_000)}
print(cached_columns(disk + "/cache", build)["x"].sum(), sorted(os.listdir(disk)))
os.system(f"mount -o remount,size=8m {disk}")
print(cached_columns(disk + "/cache", build)["y"].sum(), sorted(os.listdir(disk)))
"""


def test_cache_on_a_full_disk_is_done_without_and_made_when_there_is_room(small_disk):
    first, second = small_disk("1m", CACHE).splitlines()
    assert first == "19999900000 ['cache.lock']" and second == "19999900000 ['cache', 'cache.lock']"


TRAINING = """
import os, sys
from pathlib import Path
from transformers import AutoModelForSequenceClassification
from nlpbook_nbs.classification import *
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.folders import resolve_model_name
from nlpbook_nbs.core.settings import NlpbookError, set_seed
from nlpbook_nbs.core.models import load_model, load_tokenizer
from nlpbook_nbs.core.resume import load_checkpoint
from nlpbook_nbs.core.training import get_trainer, make_loader
disk = sys.argv[1]
def train(resume):
    args = ClassificationTrainArguments(
        pretrained_model_name="nlpbook-mini", downstream_corpus_name="nsmc", downstream_corpus_root_dir=sample_root(),
        downstream_model_dir=disk + "/model", max_seq_length=16, epochs=1, checkpoint_steps=2, seed=7, resume=resume,
        accelerator="cpu",
    )
    set_seed(args)
    tokenizer = load_tokenizer(args)
    data = ClassificationDataset(args, tokenizer, NsmcCorpus(), "val")
    task = ClassificationTask(load_model(AutoModelForSequenceClassification, args, num_labels=2), args)
    get_trainer(args).fit(task, make_loader(data, args, True), make_loader(data, args, False))
def left():
    return sorted(str(p.relative_to(disk)) for p in Path(disk).rglob("*") if p.is_file())
try:
    train(False)
    print("no error")
except NlpbookError as error:
    print(error)
print(left())
os.system(f"mount -o remount,size=600m {disk}")
train(True)
assert load_checkpoint(disk + "/model/checkpoints/last.ckpt")
print(left())
"""


@pytest.mark.parametrize("size", rounds(["1m", "40m"], ["1m", "5m", "12m", "25m", "40m", "60m", "90m"]))
def test_training_on_a_full_disk_ends_in_one_sentence_and_goes_on_when_there_is_room(small_disk, size):
    error, before, after = small_disk(size, TRAINING).splitlines()[-3:]
    assert "디스크가 가득" in error and "Traceback" not in error
    assert ".part" not in before and ".part" not in after and "model.safetensors" in after
