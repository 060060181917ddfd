"""여럿이 한 캐시를 쓰고, 하나가 죽고, 시계가 거꾸로 가도 모두 같은 것을 받습니다."""

import itertools
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from soak import count, rounds

from nlpbook_nbs.classification import ClassificationDataset, ClassificationTask, NsmcCorpus
from nlpbook_nbs.features import cached_columns
from nlpbook_nbs.settings import set_seed
from nlpbook_nbs.training import get_trainer, load_model, make_loader

BUILDER = """
import sys, time
import numpy as np
from nlpbook_nbs.features import cached_columns
def build():
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    time.sleep(0.5)
    return {"x": np.arange(1000)}
print(cached_columns(sys.argv[1], build)["x"].sum())
"""


def start(folder):
    command = [sys.executable, "-c", BUILDER, str(folder / "cache"), str(folder / "log")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("processes", [2, 8])
def test_processes_building_one_cache_at_once_build_it_once(tmp_path, processes):
    for number in range(rounds(1, 15)):
        folder = tmp_path / str(number)
        folder.mkdir()
        running = [start(folder) for _ in range(processes)]
        assert [process.communicate()[0].strip() for process in running] == ["499500"] * processes
        assert (folder / "log").read_text() == "built\n"
        count("여러 프로세스가 한 캐시를 함께 씀", processes)


def test_processes_go_on_if_the_one_that_builds_is_killed(tmp_path):
    rng = random.Random(3)
    for number in range(rounds(1, 15)):
        folder = tmp_path / str(number)
        folder.mkdir()
        running = [start(folder) for _ in range(4)]
        while not (folder / "log").exists():
            pass
        victim = rng.choice(running)
        victim.kill()
        shown = [process.communicate()[0].strip() for process in running if process is not victim]
        victim.communicate()
        assert shown == ["499500"] * 3
        assert sorted(path.name for path in folder.iterdir()) == ["cache", "cache.lock", "log"]
        count("함께 쓰던 프로세스 하나를 kill -9로 죽임")


@pytest.mark.parametrize("when", [0, 4_000_000_000], ids=["1970", "2096"])
def test_cache_is_known_by_its_content_and_not_by_the_clock(tmp_path, when):
    cached_columns(tmp_path / "cache", lambda: {"x": np.arange(3)})
    for path in (tmp_path / "cache").rglob("*"):
        os.utime(path, (when, when))
    found = cached_columns(tmp_path / "cache", lambda: pytest.fail("다시 만들었습니다"))
    assert found["x"].tolist() == [0, 1, 2]
    count("캐시의 시각을 바꿈")


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

    from pathlib import Path

    folder = Path(train_args().downstream_model_dir)
    expected = train(folder / "right")
    backwards = itertools.count(1_700_000_000, -3600)
    monkeypatch.setattr("time.time", lambda: float(next(backwards)))
    assert train(folder / "wrong") == expected
    count("시계가 거꾸로 가는 동안 학습함")
