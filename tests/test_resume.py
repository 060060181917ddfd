"""끊긴 학습을 이어서 하면 끊기지 않은 학습과 한 비트도 다르지 않아야 합니다."""

import shutil

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from test_bad_input import make_task, refused

from nlpbook_nbs.classification import ClassificationDataset, NsmcCorpus
from nlpbook_nbs.core.resume import load_checkpoint
from nlpbook_nbs.core.settings import set_seed
from nlpbook_nbs.core.training import get_trainer, make_loader


@pytest.fixture
def trained(train_args, mini_tokenizer):
    def run(callbacks=(), **changes):
        args = train_args(checkpoint_steps=2, **changes)
        set_seed(args)
        data = ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), "val")
        trainer = get_trainer(args, callbacks=callbacks)
        task = make_task(args)
        trainer.fit(task, make_loader(data, args, True), make_loader(data, args, False))
        return trainer, task

    return run


def test_resuming_a_finished_training_changes_nothing(trained):
    _, first = trained()
    before = {name: value.clone() for name, value in first.state_dict().items()}
    trainer, second = trained(resume=True)
    assert trainer.global_step == 7  # 200건을 32건씩
    assert all(torch.equal(before[name], value) for name, value in second.state_dict().items())


def test_finished_training_goes_on_for_more_epochs(trained):
    """세 에폭을 한 번에 한 것과, 한 에폭을 마치고 두 에폭을 더 한 것이 같습니다."""
    _, whole = trained(epochs=3)
    trained(epochs=1)
    trainer, grown = trained(epochs=3, resume=True)
    assert trainer.current_epoch == 3
    assert all(torch.equal(whole.state_dict()[name], value) for name, value in grown.state_dict().items())


@pytest.mark.parametrize("schedule", ["exponential", "linear"])
def test_training_stopped_in_mid_epoch_goes_on_with_the_next_batch(trained, schedule):
    """스텝의 수를 세는 일정은 데이터로더를 미리 부르게 하므로, 그때도 읽던 자리에서 이어야 합니다."""

    class Stop(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 10:
                raise RuntimeError("멈춤")

    _, whole = trained(epochs=2, lr_scheduler=schedule)
    with pytest.raises(RuntimeError, match="멈춤"):
        trained(epochs=2, lr_scheduler=schedule, callbacks=[Stop()])
    _, grown = trained(epochs=2, lr_scheduler=schedule, resume=True)
    assert all(torch.equal(whole.state_dict()[name], value) for name, value in grown.state_dict().items())


def test_history_goes_on_where_it_stopped(trained):
    trained(epochs=1)
    trainer, _ = trained(epochs=2, resume=True)
    assert [row["epoch"] for row in trainer.history.rows if "val_loss" in row] == [0, 1]
    assert trainer.history.samples == 400


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"batch_size": 16}, "batch_size(32 → 16)"),
        ({"max_seq_length": 24}, "max_seq_length(32 → 24)"),
        ({"group_by_length": False}, "sampler(LengthGroupedSampler → RandomSampler)"),
        ({"learning_rate": 2e-3}, "learning_rate(0.001 → 0.002)"),
        ({"weight_decay": 0.1}, "weight_decay(0.0 → 0.1)"),
        ({"lr_scheduler": "constant"}, "lr_scheduler(exponential → constant)"),
        ({"gradient_clip_val": 1.0}, "gradient_clip_val(None → 1.0)"),
        ({"precision": "fp32"}, "precision(bf16 → fp32)"),
    ],
)
def test_resuming_under_other_conditions_is_refused_with_the_reason(trained, changes, what):
    trained(precision="bf16")
    refused(lambda: trained(resume=True, **({"precision": "bf16"} | changes)), "다릅니다", what)


@pytest.mark.parametrize("changes", [{"epochs": 3}, {"epochs": 3, "warmup_ratio": 0.5}])
def test_schedule_that_depends_on_the_end_is_not_resumed_with_another_end(trained, changes):
    """1에폭짜리 linear 일정은 0에서 끝납니다. 3에폭으로 이어 가면 학습률이 도로 뛰어오릅니다."""
    same = {"lr_scheduler": "linear"}
    trained(**same)
    refused(lambda: trained(resume=True, **same, **changes), "다릅니다", "epochs(1 → 3)")
    trained(resume=True, **same)


def test_leftovers_of_a_killed_export_are_cleared(trained, tmp_path):
    trained()
    part = tmp_path / "model" / ".export.killed.part"
    part.mkdir()
    (part / "model.safetensors").write_bytes(b"half")
    trained(resume=True)
    assert not part.exists()


def test_new_training_does_not_mix_with_the_old_one(trained, tmp_path):
    trained(epochs=2)
    trainer, _ = trained(epochs=1)
    folder = tmp_path / "model"
    assert (folder / "checkpoints.previous" / "last.ckpt").exists()
    assert load_checkpoint(folder / "checkpoints" / "last.ckpt")["epoch"] == 0
    assert trainer.current_epoch == 1


def test_half_written_checkpoint_is_cleared_and_displaces_no_older_run(trained, tmp_path):
    """첫 체크포인트를 쓰다가 죽은 학습은 남길 것이 없으므로, 그 전에 옆으로 옮겨 둔 학습을 밀어내지 않습니다."""
    trained()
    trained()
    folder = tmp_path / "model" / "checkpoints"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "last.ckpt.part").write_bytes(b"half")
    kept = (tmp_path / "model" / "checkpoints.previous" / "last.ckpt").read_bytes()
    trained(resume=True)
    assert (tmp_path / "model" / "checkpoints.previous" / "last.ckpt").read_bytes() == kept
    assert (folder / "last.ckpt").exists() and not list((tmp_path / "model").rglob("*.part"))


def test_damaged_checkpoint_is_refused_in_one_sentence(trained, tmp_path):
    trained()
    path = tmp_path / "model" / "checkpoints" / "last.ckpt"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    refused(lambda: trained(resume=True), "last.ckpt", "체크포인트가 손상되었습니다")
    path.write_bytes(data[: len(data) // 3])
    refused(lambda: trained(resume=True), "last.ckpt", "체크포인트가 손상되었습니다")


def test_checkpoint_with_code_inside_is_refused_without_running_it(trained, tmp_path):
    class Attack:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    trained()
    torch.save({"state_dict": Attack()}, tmp_path / "model" / "checkpoints" / "last.ckpt")
    refused(lambda: trained(resume=True), "허용되지 않은 내용")
    assert not (tmp_path / "owned").exists()
