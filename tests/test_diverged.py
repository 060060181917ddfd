"""잘못된 학습: 발산하면 그 스텝에서 멈추고, 배울 수 없는 자료와 설정은 첫 스텝 앞에서 말합니다."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SMALL_BERT, write

from nlpbook_nbs.classification import ClassificationDataset, ClassificationTask, NsmcCorpus
from nlpbook_nbs.cli import main
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.divergence import StopOnDivergence
from nlpbook_nbs.core.finite import check_weights, nonfinite_weight
from nlpbook_nbs.core.prechecks import check_content, learning_problems, question_problems, row_hashes
from nlpbook_nbs.core.rates import learning_advice, rate_problems
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.training import get_trainer, make_loader

NAN = math.nan


class Odd(ClassificationTask):
    """`bad`번째 학습 스텝의 손실이나 기울기, 또는 검증 배치의 손실을 `nan`으로 바꾸는 과제."""

    bad, where = 3, "loss"

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        if self.trainer.global_step + 1 == self.bad:
            if self.where == "loss":
                loss = loss * NAN
            elif self.where == "gradient":
                loss.register_hook(lambda gradient: gradient * NAN)
        return loss

    def update_metrics(self, outputs, batch):
        if self.where == "validation" and len(batch["labels"]) < 32:  # 마지막 배치 하나만
            outputs.loss = outputs.loss * NAN
        super().update_metrics(outputs, batch)


@pytest.fixture
def parts(train_args, mini_tokenizer):
    """`(과제, 트레이너, 데이터로더 둘)`을 만드는 함수."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    def make(task=Odd, callbacks=(), trainer_options=None, **changes):
        args = train_args(precision="fp32", **changes)
        data = [ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), mode) for mode in ("train", "val")]
        config = AutoConfig.from_pretrained(args.pretrained_model_name)
        torch.manual_seed(0)
        made = task(AutoModelForSequenceClassification.from_config(config), args)
        trainer = get_trainer(args, callbacks=callbacks, **(trainer_options or {}))
        return made, trainer, [make_loader(each, args, place == 0) for place, each in enumerate(data)]

    return make


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stopped(parts, words, **options):
    task, trainer, loaders = parts(**options)
    with pytest.raises(NlpbookError, match=words) as error:
        trainer.fit(task, *loaders)
    assert "\n" not in str(error.value)
    return task, trainer, str(error.value)


# 멈추기


def test_a_run_that_diverges_ends_with_code_2_and_one_sentence(tmp_path, capsys, tiny_model, small_corpora):
    options = ["--learning_rate", "1e30", "--downstream_model_dir", str(tmp_path / "model"), "--epochs", "2"]
    model = ["--pretrained_model_name", str(tiny_model), "--from_scratch", "--accelerator", "cpu"]
    corpus = ["--downstream_corpus_root_dir", small_corpora, "--max_seq_length", "32"]
    assert main(["train", "doc-cls", *model, *corpus, *options]) == 2
    told = capsys.readouterr()
    error = told.err.splitlines()[-1]
    assert told.out == "" and "1번째 에폭, 2번째 스텝에서 손실이" in error and "학습률 1e+30" in error
    assert "learning_rate를" in error and "gradient_clip_val=1" in error and "warmup_ratio" in error
    assert not files(tmp_path / "model")


@pytest.mark.parametrize("where, what", [("loss", "손실이"), ("gradient", "기울기가")])
@pytest.mark.parametrize("at_once", [True, False])
def test_first_bad_step_is_named_and_nothing_is_written(parts, tmp_path, monkeypatch, where, what, at_once):
    """장치에 물어보지 않고 세어 두는 방식(GPU, 여러 프로세스)도 같은 스텝을 말합니다."""
    monkeypatch.setattr(Odd, "where", where)
    if not at_once:
        monkeypatch.setattr(StopOnDivergence, "_at_once", lambda *_: False)
    task, _, _ = stopped(parts, f"1번째 에폭, 3번째 스텝에서 {what}", checkpoint_steps=100)
    assert not files(tmp_path / "model")
    if at_once:  # 바로 보았으므로 가중치는 온전하던 때의 것입니다.
        assert nonfinite_weight(task.named_parameters()) is None


def test_checkpoints_between_two_looks_are_the_last_good_ones(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(StopOnDivergence, "_at_once", lambda *_: False)
    stopped(parts, "3번째 스텝", checkpoint_steps=1, log_every_n_steps=1000)
    saved = torch.load(tmp_path / "model" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2 and nonfinite_weight(saved["state_dict"].items()) is None


def test_steps_are_counted_when_gradients_are_gathered(parts, monkeypatch):
    monkeypatch.setattr(StopOnDivergence, "_at_once", lambda *_: False)
    stopped(parts, "1번째 에폭, 3번째 스텝에서 손실이", trainer_options={"accumulate_grad_batches": 3})


def test_best_model_and_last_checkpoint_of_earlier_epochs_stay(parts, tmp_path):
    from pytorch_lightning.callbacks import LambdaCallback

    seen = {}

    def raise_rate(trainer, task):
        if trainer.current_epoch == 1:
            seen.update(files(tmp_path / "model"))
            for group in trainer.optimizers[0].param_groups:
                group["lr"] = 1e35

    callback = LambdaCallback(on_train_epoch_start=raise_rate)
    _, trainer, error = stopped(
        parts, "2번째 에폭", task=ClassificationTask, callbacks=[callback], epochs=3, lr_scheduler="constant"
    )
    assert seen and files(tmp_path / "model") == seen and "학습률 1e+35" in error
    record = json.loads((tmp_path / "model" / "nlpbook.json").read_text(encoding="utf-8"))
    assert record["epoch"] == 0 and len(trainer.history.column("val_loss")[1]) == 1


def test_a_diverging_run_leaves_the_folder_of_the_last_good_run_as_it_was(parts, tmp_path):
    task, trainer, loaders = parts(task=ClassificationTask)
    trainer.fit(task, *loaders)
    before = files(tmp_path / "model")
    assert any(path.suffix == ".ckpt" for path in before)
    stopped(parts, "3번째 스텝")
    assert files(tmp_path / "model") == before


def test_one_nan_among_validation_batches_stops_the_run(parts, tmp_path, monkeypatch):
    """torchmetrics는 `nan`을 빼고 평균하므로, 그대로 두면 검증 손실이 멀쩡해 보입니다."""
    monkeypatch.setattr(Odd, "where", "validation")
    stopped(parts, r"1번째 에폭, 25번째 스텝에서 검증 손실\(val_loss\)이")
    assert not any(path.suffix in {".safetensors", ".ckpt"} for path in files(tmp_path / "model"))


def test_the_first_loss_is_not_blamed_on_the_learning_rate(parts, monkeypatch):
    monkeypatch.setattr(Odd, "bad", 1)
    _, _, error = stopped(parts, "1번째 스텝")
    assert "학습률 탓이 아닙니다" in error and "learning_rate" not in error


def test_overflowing_gradients_are_left_to_the_gradient_scaler():
    """fp16의 기울기는 으레 넘치고, 그 스텝은 건너뜁니다. 손실은 그때도 봅니다."""
    args = SimpleNamespace(strategy="auto", fp16=True, precision="fp16", learning_rate=1e-3)
    args.gradient_clip_val = args.warmup_ratio = args.pretrained_model_name = None
    guard, layer = StopOnDivergence(args), torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
    layer.weight.grad = torch.tensor([[math.inf, 1.0]])
    trainer = SimpleNamespace(world_size=1, global_step=7, current_epoch=0, lightning_module=None)
    trainer.precision_plugin = SimpleNamespace(scaler=object())
    guard.on_before_optimizer_step(trainer, layer, optimizer)
    with pytest.raises(NlpbookError, match="8번째 스텝에서 손실이.*precision=fp32"):
        guard.on_before_backward(trainer, layer, torch.tensor(NAN))
    trainer.precision_plugin = SimpleNamespace(scaler=None)
    with pytest.raises(NlpbookError, match="기울기가"):
        guard.on_before_optimizer_step(trainer, layer, optimizer)


def test_watching_does_not_change_what_is_learnt(parts, monkeypatch):
    def weights():
        task, trainer, loaders = parts(task=ClassificationTask, seed=7)
        from nlpbook_nbs.core.settings import set_seed

        set_seed(7)
        trainer.fit(task, *loaders)
        return [weight.detach().clone() for weight in task.parameters()]

    watched = weights()
    for name in ("on_before_backward", "on_before_optimizer_step", "on_save_checkpoint", "on_validation_end"):
        monkeypatch.setattr(StopOnDivergence, name, lambda *_: None)
    monkeypatch.setattr("nlpbook_nbs.core.trainer.learning_problems", lambda *_: [])
    assert all(torch.equal(a, b) for a, b in zip(watched, weights(), strict=True))


# 사전학습과 공격


@pytest.fixture
def pretraining(tmp_path, tiny_model):
    from nlpbook_nbs.core.pretraining import PretrainArguments

    def make(**changes):
        values = SMALL_BERT | {
            "pretrained_model_name": str(tiny_model),
            "train_file": str(sample_root()) + "/text",
            "downstream_model_dir": str(tmp_path / "pretrained"),
            "from_scratch": True,
            "max_seq_length": 32,
            "validation_every": 10,
            "lr_scheduler": "constant",
            "warmup_ratio": 0.0,
            "gradient_clip_val": None,
            "learning_rate": 1e30,
            "seed": 7,
            "accelerator": "cpu",
            "precision": "fp32",
        }
        return PretrainArguments(**(values | changes))

    return make


def test_pretraining_that_diverges_stops(pretraining, tmp_path):
    from nlpbook_nbs.core.pretraining import pretrain_bert

    with pytest.raises(NlpbookError, match="1번째 에폭, 2번째 스텝에서 손실이"):
        pretrain_bert(pretraining())
    assert not files(tmp_path / "pretrained")


def test_attack_experiment_that_diverges_leaves_no_model(pretraining, tmp_path, mini_tokenizer):
    from nlpbook_nbs.core.experiment import train_epochs

    held_out = write(tmp_path / "held-out.txt", "영화가 좋았다.\n정말 재미있다.\n\n" * 20)
    experiment = SimpleNamespace(
        args=pretraining(),
        pretrain_arguments=pretraining,
        text_file=lambda name, documents: sample_root() + "/text",
        held_out_file=str(held_out),
        folder=tmp_path / "canary",
        tokenizer=mini_tokenizer,
    )
    with pytest.raises(NlpbookError, match="2번째 스텝에서 손실이"):
        train_epochs(experiment, "clean", [])
    assert not files(tmp_path / "canary")


def test_private_training_that_diverges_stops(pretraining, mini_tokenizer):
    from nlpbook_nbs.core.defences import _private_epoch
    from nlpbook_nbs.core.pretraining import (
        load_pretraining_model,
        make_pretraining_loader,
        pretraining_datasets,
    )

    args = pretraining(batch_size=8)
    model = load_pretraining_model(args, mini_tokenizer)
    batches = make_pretraining_loader(pretraining_datasets(args, mini_tokenizer)[0], args, shuffle=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
    with pytest.raises(NlpbookError, match=r"DP-SGD의 손실이 유한한 수가 아니게.*private_learning_rate"):
        _private_epoch(model, optimizer, batches)


# 쓸 수 없는 모델


@pytest.fixture
def broken(tmp_path, mini_tokenizer):
    """가중치 하나에 `value`가 든 분류기나 질의응답 모델의 폴더를 만드는 함수."""
    from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification

    def make(value=NAN, question=False, dtype=torch.float32):
        kind = BertForQuestionAnswering if question else BertForSequenceClassification
        model = kind(BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT)).to(dtype)
        with torch.no_grad():
            model.bert.encoder.layer[1].output.dense.weight[3, 5] = value
        model.save_pretrained(tmp_path / "broken")
        mini_tokenizer.save_pretrained(tmp_path / "broken")
        return str(tmp_path / "broken")

    return make


NAME = r"bert\.encoder\.layer\.1\.output\.dense\.weight"


@pytest.mark.parametrize(
    "value, dtype", [(NAN, torch.float32), (math.inf, torch.bfloat16), (-math.inf, torch.float16)]
)
def test_a_model_with_nonfinite_weights_is_not_opened(broken, value, dtype):
    import nlpbook_nbs

    folder = broken(value, dtype=dtype)
    with pytest.raises(NlpbookError, match=f"broken: 가중치 {NAME}에 유한하지 않은 값"):
        nlpbook_nbs.load(folder, max_seq_length=32)


def test_nor_predicted_with_nor_trained_from(broken, capsys, tmp_path):
    folder = broken(question=True)
    assert main(["predict", "--model_dir", folder, "--max_seq_length", "32", "누가?", "세종이 만들었다"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and "layer.1.output.dense.weight" in told.err.splitlines()[-1]
    options = ["--pretrained_model_name", folder, "--max_seq_length", "32", "--accelerator", "cpu"]
    options += ["--downstream_model_dir", str(tmp_path / "model")]
    for words in (["train", "doc-cls"], ["pretrain", "model", "--train_file", sample_root() + "/text"]):
        assert main([*words, *options]) == 2
        assert "layer.1.output.dense.weight" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "model").exists() or not files(tmp_path / "model")


def test_export_refuses_them_too(parts, tmp_path):
    from nlpbook_nbs.core.exports import export_model

    task, trainer, loaders = parts(task=ClassificationTask)
    trainer.fit(task, *loaders)
    before = files(tmp_path / "model")
    with torch.no_grad():
        task.model.classifier.bias[0] = NAN
    with pytest.raises(NlpbookError, match=r"가중치 classifier\.bias"):
        export_model(trainer, task)
    assert files(tmp_path / "model") == before


def test_weights_are_checked_whatever_their_type():
    fine = {"a": torch.zeros(0), "b": torch.arange(3), "c": torch.tensor([1e-40, -65504.0]).half()}
    check_weights(fine.items(), "모델")
    assert (
        nonfinite_weight([*fine.items(), ("d", torch.tensor([1.0, -math.inf], dtype=torch.float64))]) == "d"
    )
    assert nonfinite_weight([]) is None


def test_scores_that_overflow_are_one_sentence_and_not_json(tmp_path, mini_tokenizer, capsys):
    """가중치는 유한하지만 계산이 넘치는 모델."""
    from transformers import BertConfig, BertForSequenceClassification

    model = BertForSequenceClassification(BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT))
    with torch.no_grad():
        model.classifier.weight.fill_(3e38)
        model.bert.pooler.dense.bias.fill_(20.0)
    model.save_pretrained(tmp_path / "model")
    mini_tokenizer.save_pretrained(tmp_path / "model")
    assert main(["predict", "--model_dir", str(tmp_path / "model"), "--max_seq_length", "32", "좋아요"]) == 1
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert set(row) == {"line", "error"} and "logits" in row["error"]


def test_metrics_that_overflow_are_null_in_the_record(parts, tmp_path):
    class Perplexing(ClassificationTask):
        def compute_metrics(self):
            return super().compute_metrics() | {"perplexity": torch.tensor(math.inf)}

    task, trainer, loaders = parts(task=Perplexing)
    trainer.fit(task, *loaders)

    def refuse(word):
        raise AssertionError(word)

    text = (tmp_path / "model" / "nlpbook.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=refuse)["metrics"]["val_perplexity"] is None


# 첫 스텝 앞에서


def corpus_folder(tmp_path, **tables):
    (tmp_path / "own").mkdir()
    for name, rows in tables.items():
        lines = ["document\tlabel", *("\t".join(row) for row in rows)]
        write(tmp_path / "own" / f"{name}.tsv", "\n".join(lines) + "\n")
    return ["--downstream_corpus_root_dir", str(tmp_path), "--downstream_corpus_name", "own"]


@pytest.fixture
def train_words(tmp_path, tiny_model):
    def make(*more):
        model = ["--pretrained_model_name", str(tiny_model), "--from_scratch", "--max_seq_length", "32"]
        rest = ["--downstream_model_dir", str(tmp_path / "model"), "--accelerator", "cpu", "--seed", "7"]
        return ["train", "doc-cls", *model, *rest, "--epochs", "1", "--precision", "fp32", *more]

    return make


GOOD = [
    (f"{word} 영화 {number}번", label)
    for number in range(4)
    for word, label in (("좋은", "긍정"), ("나쁜", "부정"))
]


@pytest.mark.parametrize(
    "train, words",
    [
        ([("", "긍정"), ("  ", "부정")], "학습 글이 모두 비었거나 잘려 나갔습니다"),
        ([("ສະບາຍດີ", "긍정"), ("ຂອບໃຈ", "부정")], r"학습 글이 모두 \[UNK\]"),
        ([("같은 글", "긍정"), ("같은 글", "부정"), ("같은 글", "긍정")], "3건이 모두 같은 토큰"),
    ],
)
def test_texts_that_teach_nothing_are_refused(tmp_path, capsys, train_words, train, words):
    import re

    assert main(train_words(*corpus_folder(tmp_path, train=train, val=GOOD))) == 2
    assert re.search(words, capsys.readouterr().err.splitlines()[-1])
    assert not (tmp_path / "model").exists() or not files(tmp_path / "model")


def test_one_label_in_train_is_refused(tmp_path, capsys, train_words):
    """레이블의 목록이 정해진 말뭉치(NSMC)라서 읽을 때는 알 수 없는 일입니다."""
    (tmp_path / "nsmc").mkdir()
    for name in ("train", "test"):
        lines = [f"{number}\t{number}번 영화는 좋았다\t1" for number in range(6)]
        write(tmp_path / "nsmc" / f"ratings_{name}.txt", "\n".join(["id\tdocument\tlabel", *lines]) + "\n")
    words = ["--downstream_corpus_name", "nsmc", "--downstream_corpus_root_dir", str(tmp_path)]
    assert main(train_words(*words)) == 2
    assert "학습 데이터 6건의 레이블이 모두 '긍정'" in capsys.readouterr().err.splitlines()[-1]


class Three(NsmcCorpus):
    label_names = ("부정", "긍정", "중립")

    def get_labels(self):
        return ["0", "1", "2"]


def columns(labels, ids=((2, 7, 3), (2, 8, 3))):
    ids = [ids[number % len(ids)] for number in range(len(labels))]
    return {
        "label": np.asarray(labels),
        "input_ids": np.concatenate(ids).astype(np.uint16),
        "offsets": np.cumsum([0, *map(len, ids)]),
    }


class Data:
    tokenizer = SimpleNamespace(all_special_ids=[0, 1, 2, 3], unk_token_id=1)
    label_names = ("부정", "긍정", "중립")

    def __init__(self, labels, **options):
        self.columns = columns(labels, **options)

    def __len__(self):
        return len(self.columns["label"])


def problems(train, val=None, rate=3e-4, model="nlpbook-mini", scratch=False, batch_size=2, task=None):
    args = SimpleNamespace(pretrained_model_name=model, learning_rate=rate, from_scratch=scratch)
    loaders = [SimpleNamespace(dataset=data, batch_size=batch_size) for data in (train, val)]
    return learning_problems(task or torch.nn.Linear(1, 1), args, *loaders)


def test_labels_never_seen_in_train_are_told():
    other = Data([0, 2, 2], ids=((2, 9, 3), (2, 10, 3)))
    (told,) = problems(Data([0, 1, 0, 1]), other)
    assert "검증 데이터의 레이블 중립은(는) 학습 데이터에 하나도 없어" in told and "3건 가운데 2건" in told
    assert problems(Data([0, 1, 2, 1]), other) == []


def test_labels_of_the_test_part_are_looked_at_too(tmp_path, train_args, mini_tokenizer, messages):
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from nlpbook_nbs.core.training import run_training

    args = train_args(precision="fp32")
    train, test = (ClassificationDataset(args, mini_tokenizer, Three(), mode) for mode in ("train", "test"))
    test.columns = dict(test.columns) | {"label": np.full(len(test), 2)}
    test.fingerprint = "다름"
    config = AutoConfig.from_pretrained(args.pretrained_model_name, num_labels=3)
    task = ClassificationTask(AutoModelForSequenceClassification.from_config(config), args)
    run_training(task, args, train, train, test)
    told = [message for message in messages() if "시험 데이터의 레이블 중립" in message]
    assert len(told) == 1
    assert any("검증 데이터 792건 가운데 792건이 학습 데이터에도" in message for message in messages())


def test_validation_rows_that_stand_in_train_are_counted():
    known = ((2, 7, 3), (2, 8, 3))
    (told,) = problems(Data([0, 1, 0, 1]), Data([0, 1, 1], ids=(known[0], (2, 9, 3), (2, 10, 3))))
    assert "검증 데이터 3건 가운데 1건이 학습 데이터에도" in told
    assert problems(Data([0, 1, 0, 1]), Data([0, 1], ids=((2, 7, 7, 3), (2, 9, 3)))) == []
    longer = Data([0, 1, 1], ids=((2, 9, 9, 9, 9, 9, 3), known[1], (2, 7, 8, 3)))
    assert "3건 가운데 1건" in problems(Data([0, 1, 0, 1]), longer)[0]  # 길이가 다른 글이 섞여도 같습니다.


def test_hashes_are_equal_only_for_equal_rows():
    rng = np.random.default_rng(7)
    rows = [tuple(rng.integers(0, 4, rng.integers(0, 5)).tolist()) for _ in range(9000)]
    ids = np.array([number for row in rows for number in row], np.uint16)
    data = SimpleNamespace(columns={"input_ids": ids, "offsets": np.cumsum([0, *map(len, rows)])})
    found = row_hashes(data)
    assert len(found) == len(rows) and len(set(zip(rows, found.tolist()))) == len(set(rows)) == len(
        set(found.tolist())
    )


@pytest.mark.parametrize("labels", [[1, 1, 1], [[0, 1], [0, 1]], [0.5, 0.5], [1]])
def test_labels_that_are_all_the_same_are_refused_whatever_their_kind(labels):
    with pytest.raises(NlpbookError, match="레이블이 모두.*배울 것이 없습니다"):
        problems(Data(labels))


def test_a_number_that_is_not_finite_among_the_labels_is_refused():
    with pytest.raises(NlpbookError, match="유한하지 않은 수"):
        problems(Data([0.5, NAN, 1.0]))


@pytest.mark.parametrize(
    "rate, size, scratch, told",
    [
        (5e-5, 768, False, ""),
        (5e-3, 768, False, "100배"),
        (5e-7, 768, False, "100분의 1"),
        (1e-5, 1024, False, ""),
        (1e-3, 32, False, ""),
        (5e-3, 768, True, ""),  # 무작위 가중치에서는 더 큰 값도 씁니다.
        (0.5, 768, True, "배"),
    ],
)
def test_learning_rates_a_hundred_times_off_are_told(rate, size, scratch, told):
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=size))
    args = SimpleNamespace(
        pretrained_model_name="beomi/kcbert-base", learning_rate=rate, from_scratch=scratch
    )
    found = " ".join(rate_problems(args, model))
    assert told in found and bool(found) is bool(told)


@pytest.mark.parametrize("factor", [100, 1 / 100])
def test_embedded_models_know_their_own_rate(train_args, factor):
    from nlpbook_nbs.core.folders import EMBEDDED_MODELS
    from nlpbook_nbs.core.recipes import TASKS, load_recipe

    cards = {
        (name, card["learning_rate"]) for task in TASKS for name, card in load_recipe(task).training.items()
    }
    assert {name for name, _ in cards} >= set(EMBEDDED_MODELS)
    for name, rate in sorted(cards):
        args = train_args(pretrained_model_name=name, from_scratch=False, learning_rate=rate)
        assert rate_problems(args) == []
        args.learning_rate = rate * factor
        assert len(rate_problems(args)) == 1


def test_a_batch_larger_than_the_data_and_frozen_weights_are_told():
    assert "batch_size=32: 학습 데이터 4건보다 커서" in problems(Data([0, 1, 0, 1]), batch_size=32)[0]
    frozen = torch.nn.Linear(1, 1).requires_grad_(False)
    with pytest.raises(NlpbookError, match="학습할 가중치가 하나도 없습니다"):
        problems(Data([0, 1]), task=frozen)


def test_no_steps_at_all_are_refused(parts, train_args):
    task, trainer, loaders = parts(task=ClassificationTask, trainer_options={"max_epochs": 0})
    with pytest.raises(NlpbookError, match="max_epochs=0.*한 스텝도 배우지 않습니다"):
        trainer.fit(task, *loaders)
    with pytest.raises(NlpbookError, match="epochs=0"):
        train_args(epochs=0)


def test_problems_are_told_once_before_the_first_step(parts, messages):
    task, trainer, loaders = parts(task=ClassificationTask, learning_rate=1e-9)
    trainer.fit(task, *loaders)
    told = messages()
    (place,) = (number for number, message in enumerate(told) if "거의 배우지 못합니다" in message)
    assert place < min(number for number, message in enumerate(told) if "에폭 1/1" in message)


def test_good_data_and_settings_are_told_nothing(train_words, small_corpora, capsys, caplog):
    words = ["--downstream_corpus_name", "nsmc", "--downstream_corpus_root_dir", small_corpora]
    assert main(train_words(*words, "--learning_rate", "1e-3")) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["test_acc"] > 0
    assert not [
        row
        for row in caplog.records
        if row.levelname == "WARNING"
        and not any(told in row.getMessage() for told in ("시험 정확도", "잘랐습니다"))
    ]


# 질의응답과 사전학습


def qa_data(starts, impossible=()):
    rows = [
        SimpleNamespace(question_text=f"{number}?", context_text="글", is_impossible=number in impossible)
        for number in range(len(starts))
    ]
    return SimpleNamespace(
        examples=rows, columns={"question": np.arange(len(starts)), "start_positions": np.array(starts)}
    )


def test_questions_whose_answers_are_in_no_window_are_refused():
    with pytest.raises(NlpbookError, match="3개 가운데 답이 창에 통째로 든 것이 하나도 없어"):
        question_problems(qa_data([0, 0, 0]))
    with pytest.raises(NlpbookError, match="모두 답이 없는 문항이라"):
        question_problems(qa_data([0, 0], impossible={0, 1}))
    assert "3개 가운데 1개만" in question_problems(qa_data([5, 0, 0]))[0]
    assert question_problems(qa_data([5, 0], impossible={1})) == []


def test_unanswerable_questions_only_in_validation_and_shared_questions_are_told():
    told = question_problems(qa_data([5, 4]), qa_data([5, 0, 0], impossible={2}))
    assert "검증 데이터에는 답이 없는 문항이 있는데" in told[0] and "3문항 가운데 2문항이" in told[1]


def test_question_answering_refuses_windows_without_answers(tmp_path, small_training, capsys):
    context = "가나다라 " * 30 + "세종은 한글을 만들었다."
    answer = "가나다라 " * 28
    rows = [
        {"id": f"q{n}", "question": "무엇?", "answers": [{"text": answer.strip(), "answer_start": 0}]}
        for n in range(3)
    ]
    value = {"data": [{"paragraphs": [{"context": context, "qas": rows}]}]}
    (tmp_path / "own").mkdir()
    for name in ("train", "dev"):
        write(tmp_path / "own" / f"{name}.json", value)
    options = small_training | {"downstream_corpus_root_dir": str(tmp_path), "downstream_corpus_name": "own"}
    options |= {"max_query_length": 8, "doc_stride": 16}
    words = [
        w for name, value in options.items() for w in (f"--{name}", *(() if value is True else (str(value),)))
    ]
    assert main(["train", "qa", *words]) == 2
    assert "답이 창에 통째로 든 것이 하나도 없어" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "text, changes, words",
    [
        ("ສະບາຍດີ\nຂອບໃຈ\n\nສະບາຍດີ\nຂອບໃຈ\n\n" * 10, {}, r"글이 모두 \[UNK\]라"),
        ("영화가 좋았다.\n정말 재미있다.\n\n" * 10, {"mlm_probability": 1e-6}, "빈칸이 거의 생기지 않습니다"),
        ("영화가 좋았다.\n정말 재미있다.\n" * 10, {}, "문서가 .*개뿐입니다"),
    ],
)
def test_texts_that_pretraining_cannot_learn_from_are_refused(tmp_path, pretraining, text, changes, words):
    from nlpbook_nbs.core.pretraining import pretrain_bert

    path = write(tmp_path / "text.txt", text)
    with pytest.raises(NlpbookError, match=words):
        pretrain_bert(pretraining(train_file=str(path), learning_rate=1e-3, validation_every=2, **changes))


def test_content_is_found_wherever_it_stands():
    words = SimpleNamespace(all_special_ids=[0, 1, 2], unk_token_id=1)
    ids = np.zeros(200_000, np.uint16)
    with pytest.raises(NlpbookError, match="모두 비었거나"):
        check_content(ids, words, "학습")
    ids[-1] = 9
    check_content(ids, words, "학습")


# 조언


@pytest.mark.parametrize(
    "rate, losses, word",
    [
        (3e-4, [0.7, 0.8, 0.9, 1.1], "줄여"),
        (1e-2, [0.9, 0.8, 0.7, 0.69], "줄여"),
        (1e-2, [0.9], "줄여"),
        (1e-6, [0.7, 0.7001, 0.69, 0.69], "키우거나"),
        (3e-4, [0.7, 0.69, 0.68, 0.68], "늘려"),
        (3e-4, [], "늘려"),
    ],
)
def test_advice_never_asks_for_a_larger_rate_when_it_is_high_or_the_loss_rose(rate, losses, word):
    args = SimpleNamespace(pretrained_model_name="nlpbook-mini", learning_rate=rate)
    told = learning_advice(args, None, losses)
    assert word in told and (word == "키우거나") is ("learning_rate" in told and "키우" in told)


def test_warning_of_a_classifier_that_learnt_nothing_follows_the_losses(
    tmp_path, capsys, train_words, small_corpora
):
    words = ["--downstream_corpus_name", "nsmc", "--downstream_corpus_root_dir", small_corpora]
    assert main(train_words(*words, "--learning_rate", "3")) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "보다 높지 않습니다" in line]
    assert len(told) == 1 and "줄여 보세요" in told[0] and "키" not in told[0].split("배우지 못했으니")[1]
