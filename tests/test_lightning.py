"""Lightning의 것들: 로거와 콜백과 옵션, 여러 번의 학습과 평가, 여러 프로세스, 그리고 Lightning 없이 하는 예측."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from test_bad_input import make_task, refused
from torch.utils.data import DataLoader, IterableDataset
from torchmetrics import MeanMetric

from nlpbook_nbs.classification import (
    ClassificationDataset,
    ClassificationDeployArguments,
    ClassificationTask,
    NsmcCorpus,
    load_classifier,
)
from nlpbook_nbs.core.features import data_collator
from nlpbook_nbs.core.history import WeightedMeans
from nlpbook_nbs.core.settings import set_seed
from nlpbook_nbs.core.tasks import IGNORED, Task, loss_weight
from nlpbook_nbs.core.training import get_trainer, make_loader, run_training


@pytest.fixture
def data(train_args, mini_tokenizer):
    return ClassificationDataset(train_args(), mini_tokenizer, NsmcCorpus(), "val")


@pytest.fixture
def loaders(data):
    def make(args):
        return make_loader(data, args, True), make_loader(data, args, False)

    return make


# 과제 클래스


class Loud(ClassificationTask):
    """훅을 고쳐 쓰고, 지표를 하나 더 둔 학습자의 과제."""

    def __init__(self, model, args):
        super().__init__(model, args)
        self.mine, self.seen = MeanMetric(), []

    def on_train_epoch_start(self):
        self.seen.append("epoch")

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        self.mine.update(1.0)
        self.log("val_mine", self.mine, on_epoch=True)


def test_a_task_is_a_lightning_module_of_the_written_class(train_args):
    task = make_task(train_args())
    assert isinstance(task, pl.LightningModule) and isinstance(task, ClassificationTask)
    assert type(task).__name__ == "ClassificationTask" and issubclass(type(task), ClassificationTask)
    assert all(name.startswith(("model.", "accuracy", "mean_loss")) for name in task.state_dict())


@pytest.mark.parametrize("again", [copy.deepcopy, lambda task: pickle.loads(pickle.dumps(task))])
def test_a_task_can_be_copied_and_pickled(train_args, again):
    task = make_task(train_args())
    twin = again(task)
    assert type(twin) is type(task)
    assert all(torch.equal(task.state_dict()[name], value) for name, value in twin.state_dict().items())


def test_a_learners_hooks_and_metrics_are_used_by_any_trainer(train_args, loaders):
    args = train_args()
    task = Loud(make_task(args).model, args)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(accelerator="cpu", max_epochs=1, enable_model_summary=False, **quiet)
    trainer.fit(task, *loaders(args))
    assert task.seen == ["epoch"] and trainer.callback_metrics["val_mine"] == 1.0


def test_testing_uses_an_overridden_validation_step(train_args, loaders):
    class Half(ClassificationTask):
        def validation_step(self, batch, batch_idx):
            self.mean_loss.update(torch.tensor(0.5))

    args = train_args()
    task = Half(make_task(args).model, args)
    assert get_trainer(args).test(task, loaders(args)[1], verbose=False)[0]["test_loss"] == 0.5


# 여러 번 학습하고 평가하기


@pytest.mark.parametrize("kind", [ClassificationTask, Loud])
@pytest.mark.parametrize("order", [("validate", "fit"), ("fit", "test", "fit"), ("test", "validate", "fit")])
def test_fitting_and_evaluating_come_in_any_order(train_args, loaders, kind, order):
    args = train_args(max_seq_length=16)
    task = kind(make_task(args).model, args)
    train, val = loaders(args)
    for step in order:
        trainer = get_trainer(args)
        trainer.fit(task, train, val) if step == "fit" else getattr(trainer, step)(task, val, verbose=False)
    assert np.isfinite(float(trainer.callback_metrics["val_loss"]))


def test_validating_the_saved_weights_gives_the_scores_seen_in_training(train_args, loaders):
    args = train_args()
    trainer, task, (train, val) = get_trainer(args), make_task(args), loaders(args)
    trainer.fit(task, train, val)
    seen = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
    (found,) = get_trainer(args).validate(task, val, verbose=False)
    assert found == seen


def test_test_mode_reports_its_own_metrics(train_args, data):
    first = run_training(make_task(train_args()), train_args(), data, data)
    args = train_args(test_mode=True)
    again = run_training(make_task(args), args, data, data)
    assert again["steps"] == 1 and again["val_loss"] != first["val_loss"]


# Lightning의 옵션


def test_datamodule_trains_with_a_schedule_that_needs_the_number_of_steps(train_args, loaders):
    args = train_args(lr_scheduler="linear", warmup_ratio=0.1, log_every_n_steps=1)

    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return loaders(args)[0]

        def val_dataloader(self):
            return loaders(args)[1]

    trainer = get_trainer(args)
    trainer.fit(make_task(args), datamodule=Data())
    assert (
        trainer.global_step == 7 and trainer.history.column("learning_rate")[1][-1] < args.learning_rate / 5
    )


class Stream(IterableDataset):
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        return iter(self.data[number] for number in range(len(self.data)))


def stream_loader(data, args):
    return DataLoader(Stream(data), batch_size=args.batch_size, collate_fn=data_collator)


def test_stream_of_unknown_length_is_trained_on(train_args, data, loaders):
    args = train_args()
    trainer = get_trainer(args)
    trainer.fit(make_task(args), stream_loader(data, args), loaders(args)[1])
    assert trainer.global_step == 7


def test_stream_needs_a_number_of_steps_for_a_linear_schedule(train_args, data, loaders):
    args = train_args(lr_scheduler="linear")

    def fit(**options):
        get_trainer(args, **options).fit(make_task(args), stream_loader(data, args), loaders(args)[1])

    refused(fit, "lr_scheduler='linear'", "max_steps")
    fit(max_steps=3)


def test_stream_goes_on_where_it_stopped(train_args, data, loaders):
    def weights(stop, **changes):
        args = train_args(checkpoint_steps=2, **changes)
        set_seed(args)
        task, trainer = make_task(args), get_trainer(args, max_steps=stop)
        trainer.fit(task, stream_loader(data, args), loaders(args)[1])
        return task.state_dict()

    whole = weights(6)
    weights(3)
    grown = weights(6, resume=True)
    assert all(torch.equal(whole[name], value) for name, value in grown.items())


def test_loggers_callbacks_and_accumulation_are_lightnings_own(train_args, loaders, tmp_path):
    from pytorch_lightning.callbacks import EarlyStopping
    from pytorch_lightning.loggers import CSVLogger

    args = train_args(epochs=4, log_every_n_steps=2)
    stop = EarlyStopping("train_loss", patience=1, min_delta=100.0, check_on_train_epoch_end=True)
    trainer = get_trainer(
        args,
        callbacks=[stop],
        logger=CSVLogger(tmp_path / "logs"),
        accumulate_grad_batches=2,
        val_check_interval=4,
    )
    trainer.fit(make_task(args), *loaders(args))
    assert trainer.current_epoch == 2 and trainer.global_step == 8  # 한 에폭에 일곱 배치, 네 스텝
    (table,) = tmp_path.glob("logs/**/metrics.csv")
    assert {"train_loss", "val_loss", "val_acc"} <= set(table.read_text().splitlines()[0].split(","))
    steps = [row["step"] for row in trainer.history.rows if "learning_rate" in row]
    assert steps == [2, 4, 6, 8]


def test_max_steps_takes_the_place_of_epochs(train_args, loaders):
    trainer = get_trainer(train_args(epochs=1), max_steps=9)
    trainer.fit(make_task(train_args()), *loaders(train_args()))
    assert trainer.global_step == 9


def test_unknown_trainer_option_is_named(train_args):
    refused(lambda: get_trainer(train_args(), gpus=1), "gpus")


def test_explicit_bf16_is_not_dropped_in_silence(train_args, messages):
    from nlpbook_nbs.core.devices import pick_precision

    for device in ("mps", "tpu"):
        assert pick_precision(train_args(precision="bf16"), device) == "32-true"
        assert "bf16" in messages()[-1] and device.upper() in messages()[-1]


# 손실의 기록


def test_train_loss_at_the_end_of_an_epoch_is_the_mean_of_the_epoch(train_args, loaders, messages):
    args = train_args(log_every_n_steps=3)
    losses = []

    class Recorder(pl.Callback):
        def on_train_batch_end(self, trainer, task, outputs, batch, batch_idx):
            losses.append((float(outputs["loss"]), len(batch["labels"])))

    trainer = get_trainer(args, callbacks=[Recorder()])
    trainer.fit(make_task(args), *loaders(args))
    mean = sum(loss * size for loss, size in losses) / sum(size for _, size in losses)
    assert np.isclose(float(trainer.callback_metrics["train_loss"]), mean, rtol=1e-6)
    assert any(f"train_loss {mean:.4f}" in message for message in messages())


def test_loss_shown_before_the_first_record_is_a_number(train_args, loaders, messages, monkeypatch):
    monkeypatch.setattr("nlpbook_nbs.core.history._QUIET_SECONDS", 0.0)
    args = train_args(log_every_n_steps=1000)
    get_trainer(args).fit(make_task(args), *loaders(args))
    shown = [message for message in messages() if "train_loss" in message]
    assert len(shown) == 8 and not any("nan" in message for message in shown)


def test_loss_over_tokens_is_weighted_by_tokens(train_args):
    class Tagger(Task):
        loss_over = "tokens"

    args = train_args()
    batches = [
        {"input_ids": torch.zeros(2, 3), "labels": torch.tensor([[1, 1, 1], [1, IGNORED, IGNORED]])},
        {"input_ids": torch.zeros(2, 3), "labels": torch.tensor([[1, IGNORED, IGNORED], [IGNORED] * 3])},
        {"input_ids": torch.zeros(2, 3), "labels": torch.full((2, 3), IGNORED)},
    ]
    task = Tagger(torch.nn.Linear(1, 1), args)
    means = WeightedMeans()
    for batch, loss in zip(batches, (1.0, 6.0, float("nan"))):
        task.update_metrics(SimpleNamespace(loss=torch.tensor(loss)), batch)
    for batch, loss in zip(batches[:2], (1.0, 6.0)):
        means.add({"loss": torch.tensor(loss)}, task.loss_weight(batch))
    sums, weight = means.totals()
    assert float(task.compute_metrics()["loss"]) == sums["loss"] / weight == (4 * 1 + 1 * 6) / 5
    assert loss_weight(batches[0]) == 2


# 여러 프로세스


PROCESSES = '''
import json, sys, warnings
warnings.filterwarnings("ignore")
import torch
from torch.utils.data import DataLoader, SequentialSampler
from nlpbook_nbs.classification import ClassificationDataset, ClassificationTrainArguments, NsmcCorpus
from nlpbook_nbs.core.features import data_collator
from nlpbook_nbs.core.settings import set_seed
from nlpbook_nbs.core.tasks import weigh_across_ranks
from nlpbook_nbs.core.training import get_trainer, make_loader
from test_bad_input import make_task
from transformers import BertTokenizer
from nlpbook_nbs.core.folders import resolve_model_name

class Part(torch.utils.data.Dataset):
    """앞의 `count`건. 길이별 샘플러를 쓸 수 있도록 길이도 알려 줍니다."""
    def __init__(self, data, count): self.data, self.count, self.lengths = data, count, data.lengths[:count]
    def __len__(self): return self.count
    def __getitem__(self, number): return self.data[number]

if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    grouped, batch = options.pop("grouped"), options["batch_size"]
    args = ClassificationTrainArguments(**options)
    set_seed(args)
    tokenizer = BertTokenizer.from_pretrained(resolve_model_name("nlpbook-mini"))
    data = ClassificationDataset(args, tokenizer, NsmcCorpus(), "val")
    val = Part(data, 2 * batch + 1)  # 둘로 나누면 한쪽은 배치가 둘, 다른 쪽은 하나
    loader = make_loader(val, args, False) if grouped else DataLoader(val, batch_size=batch, sampler=SequentialSampler(val), collate_fn=data_collator)
    task, trainer = make_task(args), get_trainer(args)
    trainer.fit(task, make_loader(data, args, True), loader)
    fitted = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
    (after,) = trainer.validate(task, loader, verbose=False)
    leaf = torch.ones((), requires_grad=True)
    share = leaf * 1.0
    if trainer.world_size > 1:
        weigh_across_ranks(share, 1 + 2 * trainer.global_rank)
    share.backward()
    if trainer.is_global_zero:
        torch.save(task.model.state_dict(), options["downstream_model_dir"] + "/weights.pt")
        print("FOUND", json.dumps([fitted, after, float(leaf.grad)]))
'''


@pytest.mark.parametrize("grouped", [True, False])
def test_two_processes_count_every_example_once_and_do_not_hang(
    small_training, small_corpora, tmp_path, grouped
):
    script = tmp_path / "train.py"
    script.write_text(PROCESSES, encoding="utf-8")
    here = os.path.dirname(__file__)
    options = small_training | {"downstream_corpus_name": "nsmc", "batch_size": 8, "precision": "fp32"}
    options |= {"devices": "2", "strategy": "ddp", "grouped": grouped}
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([here, os.path.dirname(here)]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(script), json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("FOUND"))
    fitted, after, gradient = json.loads(line.removeprefix("FOUND"))
    assert gradient == 2 * 1 / (1 + 3)  # 0번 프로세스의 무게 1, 모두 4, 프로세스 둘
    classifier = load_classifier(ClassificationDeployArguments(downstream_model_dir=str(tmp_path / "model")))
    rows = NsmcCorpus().get_examples(Path(small_corpora, "nsmc"), "val")[:17]
    labels = np.array([int(row.label) for row in rows])
    chances = classifier.probabilities([row.text_a for row in rows]).astype(np.float64)
    loss = -np.log(chances[np.arange(17), labels]).mean()
    for found in (fitted, after):
        assert np.isclose(found["val_loss"], loss, atol=1e-5)
        assert np.isclose(found["val_acc"], (chances.argmax(1) == labels).mean())


def test_sharded_gradients_are_clipped_by_their_own_method(train_args):
    """FSDP는 가중치를 나누어 가졌으므로, 노름을 아는 것은 FSDP뿐입니다. Lightning은 스스로 자르기를 거절합니다."""
    task, asked = make_task(train_args()), []
    strategy = SimpleNamespace(
        model=SimpleNamespace(clip_grad_norm_=asked.append), root_device=torch.device("cuda")
    )
    task._trainer = SimpleNamespace(strategy=strategy, precision="32-true", gradient_clip_val=1.0)
    task.configure_gradient_clipping(None, gradient_clip_val=1.0)
    assert asked == [1.0]


# 예측은 Lightning 없이

PREDICT = """
import sys
from nlpbook_nbs.classification import ClassificationDeployArguments, ClassificationTask, load_classifier
found = load_classifier(ClassificationDeployArguments(downstream_model_dir=sys.argv[1]))("좋아요")
assert found["label"]
heavy = {"pytorch_lightning", "lightning_fabric", "torchmetrics"} & sys.modules.keys()
assert not heavy, heavy
"""


def test_prediction_loads_neither_lightning_nor_torchmetrics(train_args, loaders):
    args = train_args()
    get_trainer(args).fit(make_task(args), *loaders(args))
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, args.downstream_model_dir],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
