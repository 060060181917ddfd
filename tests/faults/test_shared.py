"""여럿이 한 캐시를 쓰고, 하나가 죽고, 시계가 거꾸로 가도 모두 같은 것을 받습니다."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import needs_fork
from soak import count, rounds

from nlpbook_nbs.classification import ClassificationDataset, ClassificationTask, NsmcCorpus
from nlpbook_nbs.core.columns import cached_columns
from nlpbook_nbs.core.models import load_model
from nlpbook_nbs.core.settings import set_seed
from nlpbook_nbs.core.training import get_trainer, make_loader


def run(tmp_path, processes, runs, mode):
    script = Path(__file__).with_name("shared_cache.py")
    command = [sys.executable, script, tmp_path, str(processes), str(runs), mode]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=6000)
    assert done.returncode == 0 and done.stdout == "ok\n", done.stderr[-3000:]


@needs_fork
@pytest.mark.parametrize("processes", [2, 5, 8])
def test_processes_building_one_cache_at_once_build_it_once(tmp_path, processes):
    runs = rounds(2, 40)
    run(tmp_path, processes, runs, "all")
    count("여러 프로세스가 한 캐시를 함께 만듦", runs)


@needs_fork
def test_processes_go_on_if_the_one_that_builds_is_killed(tmp_path):
    runs = rounds(2, 40)
    run(tmp_path, 4, runs, "kill")
    count("캐시를 함께 만들다가 하나가 kill -9로 죽음", runs)


@pytest.mark.parametrize("when", [0, 4_000_000_000], ids=["1970", "2096"])
def test_cache_is_known_by_its_content_and_not_by_the_clock(tmp_path, when):
    cached_columns(tmp_path / "cache", lambda: {"x": np.arange(3)})
    for path in (tmp_path / "cache").rglob("*"):
        os.utime(path, (when, when))
    found = cached_columns(tmp_path / "cache", lambda: pytest.fail("다시 만들었습니다"))
    assert found["x"].tolist() == [0, 1, 2]
    count("캐시 파일의 시각을 바꾸어도 그대로 씀")


def test_clock_going_backwards_changes_no_training(train_args, mini_tokenizer, monkeypatch):
    from transformers import AutoModelForSequenceClassification

    def train(folder):
        args = train_args(downstream_model_dir=str(folder), checkpoint_seconds=0.01)
        set_seed(args)
        data = ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), "val")
        task = ClassificationTask(load_model(AutoModelForSequenceClassification, args, num_labels=2), args)
        trainer = get_trainer(args)
        trainer.fit(task, make_loader(data, args, True), make_loader(data, args, False))
        assert (folder / "checkpoints" / "last.ckpt").exists() and trainer.history.seconds >= 0
        return (folder / "model.safetensors").read_bytes()

    folder = Path(train_args().downstream_model_dir)
    expected = train(folder / "right")
    backwards = itertools.count(1_700_000_000, -3600)
    monkeypatch.setattr("time.time", lambda: float(next(backwards)))
    assert train(folder / "wrong") == expected
    count("시계가 거꾸로 가는 동안 학습함")
