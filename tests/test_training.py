"""학습: 책의 방식이 실제로 그대로 움직이는지, 점수가 정확한지, 저장한 모델이 바로 쓰이는지 봅니다."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from test_bad_input import make_task
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler

from nlpbook_nbs.classification import (
    ClassificationDataset,
    ClassificationDeployArguments,
    ClassificationExample,
    ClassificationFeatures,
    NsmcCorpus,
    TextClassifier,
    load_classifier,
)
from nlpbook_nbs.core import features
from nlpbook_nbs.core.cpu import CheapDropout, cheap_dropout, cheap_random_numbers
from nlpbook_nbs.core.devices import _cpu_has_bf16, pick_precision
from nlpbook_nbs.core.encoding import TextEncoder
from nlpbook_nbs.core.features import FeatureDataset, data_collator
from nlpbook_nbs.core.resume import load_checkpoint
from nlpbook_nbs.core.samplers import LengthGroupedSampler
from nlpbook_nbs.core.settings import set_seed
from nlpbook_nbs.core.training import get_trainer, make_loader


@pytest.fixture
def fit(train_args, mini_tokenizer):
    def run(trainer_options=None, **changes):
        args = train_args(**changes)
        set_seed(args)
        train, val = (
            ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), mode) for mode in ("test", "val")
        )
        trainer, task = get_trainer(args), make_task(args)
        trainer.fit(task, make_loader(train, args, True), make_loader(val, args, False))
        return trainer, task, args

    return run


@pytest.fixture
def reviews(small_corpora):
    return [row.text_a for row in NsmcCorpus().get_examples(Path(small_corpora, "nsmc"), "val")]


# 책의 방식


def test_learning_rate_really_decays_every_epoch(fit):
    """결함 4: 일정이 lr_scheduler라는 이름으로 전해져야 Lightning이 씁니다."""
    trainer, _, args = fit(epochs=3)
    by_epoch = {row["epoch"]: row["learning_rate"] for row in trainer.history.rows if "learning_rate" in row}
    assert np.allclose(
        [by_epoch[epoch] for epoch in range(3)], [args.learning_rate * 0.9**epoch for epoch in range(3)]
    )
    assert np.isclose(trainer.optimizers[0].param_groups[0]["lr"], args.learning_rate * 0.9**3)


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
def test_warmup_and_decay_follow_the_chosen_schedule(fit, name):
    trainer, _, args = fit(
        epochs=5,
        lr_scheduler=name,
        warmup_ratio=0.2,
        log_every_n_steps=1,
        gradient_clip_val=1.0,
        weight_decay=0.01,
    )
    rates = [row["learning_rate"] for row in trainer.history.rows if "learning_rate" in row]
    assert (
        len(rates) == 35  # 200건을 32건씩, 다섯 에폭
        and rates[0] == 0
        and np.isclose(max(rates), args.learning_rate)
        and np.argmax(rates) == 7
    )
    assert (rates[-1] < 0.1 * args.learning_rate) == (name != "constant")


def test_trainer_comes_with_its_checkpoint_callback_if_asked(train_args):
    callback, trainer = get_trainer(train_args(), return_trainer_only=False)
    assert trainer.checkpoint_callback is callback


def test_dropout_is_on_during_training_even_if_the_model_comes_in_eval_mode(train_args, mini_tokenizer):
    """from_pretrained는 모델을 평가 상태로 돌려줍니다."""
    args = train_args()
    data = ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), "val")
    task, seen = make_task(args), []
    task.model.eval()
    task.model.register_forward_hook(lambda module, *_: seen.append(module.training))
    get_trainer(args).fit(task, make_loader(data, args, True), make_loader(data, args, False))
    assert seen[:4] == [True] * 4 and not seen[-1]


def test_test_mode_runs_through_and_leaves_no_model(fit):
    trainer, _, args = fit(test_mode=True)
    assert trainer.global_step == 1 and not list(Path(args.downstream_model_dir).glob("**/*.ckpt"))


def test_same_seed_gives_the_same_weights(fit, tmp_path):
    first, second = (fit(downstream_model_dir=str(tmp_path / name))[1].state_dict() for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


# 점수


def test_validation_scores_count_every_example_once(fit, reviews, small_corpora):
    """결함 8: 200건을 32건씩 나누면 마지막 배치는 8건뿐입니다."""
    trainer, _, args = fit(precision="fp32")
    classifier = load_classifier(
        ClassificationDeployArguments(downstream_model_dir=args.downstream_model_dir)
    )
    labels = np.array(
        [int(row.label) for row in NsmcCorpus().get_examples(Path(small_corpora, "nsmc"), "val")]
    )
    probabilities = classifier.probabilities(reviews).astype(np.float64)
    assert len(labels) % args.batch_size
    assert np.isclose(trainer.callback_metrics["val_acc"], (probabilities.argmax(1) == labels).mean())
    assert np.isclose(
        trainer.callback_metrics["val_loss"],
        -np.log(probabilities[np.arange(len(labels)), labels]).mean(),
        atol=1e-5,
    )


@pytest.mark.parametrize("monitor", ["min val_loss", "max val_acc"])
def test_best_model_is_the_best_epoch_and_its_record_says_so(fit, monitor):
    """결함 7: 파일 이름에서 점수를 읽지 않습니다."""
    mode, metric = monitor.split()
    trainer, _, args = fit(epochs=4, learning_rate=3e-3, monitor=monitor)
    values = trainer.history.column(metric)[1]
    best = int(np.argmin(values) if mode == "min" else np.argmax(values))
    record = json.loads(Path(args.downstream_model_dir, "nlpbook.json").read_text(encoding="utf-8"))
    assert record["epoch"] == best and np.isclose(record["metrics"][metric], values[best], atol=1e-6)
    state = load_checkpoint(Path(args.downstream_model_dir, record["checkpoint"]))["state_dict"]
    deploy = ClassificationDeployArguments(downstream_model_dir=args.downstream_model_dir)
    saved = load_classifier(deploy).model.state_dict()
    assert all(torch.equal(state[f"model.{name}"], saved[name]) for name in saved)
    assert Path(deploy.downstream_model_checkpoint_fpath).parts[-2:] == Path(record["checkpoint"]).parts


def test_odd_names_in_the_checkpoint_folder_do_not_matter(fit):
    _, _, args = fit()
    folder = Path(args.downstream_model_dir, "checkpoints")
    (folder / "epoch=zz-val_loss=not_a_number.ckpt").write_bytes(b"x")
    assert (
        Path(
            ClassificationDeployArguments(
                downstream_model_dir=args.downstream_model_dir
            ).downstream_model_checkpoint_fpath
        ).parent
        == folder
    )


def test_without_top_k_the_last_model_is_kept(fit):
    _, task, args = fit(save_top_k=0, epochs=2)
    saved = load_classifier(
        ClassificationDeployArguments(downstream_model_dir=args.downstream_model_dir)
    ).model.state_dict()
    assert all(torch.equal(task.model.state_dict()[name], saved[name]) for name in saved)


# 저장한 모델


def test_saved_folder_is_a_plain_hugging_face_model(fit, reviews):
    """결함 9: 이름을 고치거나 피클을 읽지 않아도 됩니다."""
    from transformers import pipeline

    _, _, args = fit()
    folder = Path(args.downstream_model_dir)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {"0": "부정", "1": "긍정"} and "nlpbook" not in json.dumps(config)
    assert (
        (folder / "model.safetensors").exists()
        and not list(folder.glob("*.bin"))
        and not list(folder.glob("*.part"))
    )
    found = pipeline("text-classification", model=str(folder), device="cpu")(reviews[:8])
    ours = load_classifier(ClassificationDeployArguments(downstream_model_dir=str(folder)))(reviews[:8])
    assert [row["label"] for row in found] == [row["label"] for row in ours]
    assert np.allclose([row["score"] for row in found], [row["score"] for row in ours], atol=1e-5)


# 패딩


def fixed_and_trimmed(tokenizer, texts, length=128):
    columns = TextEncoder(tokenizer, length)(texts)
    columns["label"] = np.ones(len(texts), np.int64)
    return [
        FeatureDataset(columns, ClassificationFeatures, tokenizer, length, fixed) for fixed in (True, False)
    ]


@pytest.fixture
def model(mini_tokenizer):
    """무작위 가중치의 작은 분류 모델 (평가 상태)."""
    from transformers import BertConfig, BertForSequenceClassification

    set_seed(7)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=len(mini_tokenizer),
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
        )
    ).eval()


@pytest.mark.parametrize("shuffle", [False, True])
def test_trimming_does_not_change_a_prediction(model, mini_tokenizer, reviews, shuffle):
    """결함 10: 채운 자리를 계산하지 않되 답은 그대로여야 합니다."""
    count = len(reviews)
    fixed, trimmed = fixed_and_trimmed(mini_tokenizer, reviews)
    with torch.inference_mode():
        whole = model(**data_collator(fixed.__getitems__(range(count)))).logits
        parts = torch.zeros_like(whole)
        for indices in DataLoader(
            range(count), batch_size=7, sampler=LengthGroupedSampler(trimmed, 7, shuffle=shuffle)
        ):
            batch = data_collator(trimmed.__getitems__(indices.numpy()))
            assert 0 <= batch["input_ids"].shape[1] - trimmed.lengths[indices.numpy()].max() < 4
            parts[indices] = model(**batch).logits
    assert torch.allclose(whole, parts, atol=1e-5) and torch.equal(whole.argmax(1), parts.argmax(1))


@pytest.mark.parametrize("side", ["right", "left"])
def test_features_of_a_users_own_dataset_are_trimmed_too(mini_tokenizer, reviews, side, monkeypatch):
    monkeypatch.setattr(mini_tokenizer, "padding_side", side)
    expected = mini_tokenizer(reviews[:5], padding=True, pad_to_multiple_of=4, return_tensors="pt")
    padded = [
        ClassificationFeatures(**mini_tokenizer(text, padding="max_length", max_length=128), label=1)
        for text in reviews[:5]
    ]
    batch = data_collator(padded)
    assert all(
        torch.equal(batch[name], expected[name]) for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    assert batch["labels"].tolist() == [1] * 5
    fast = data_collator(fixed_and_trimmed(mini_tokenizer, reviews[:5])[1].__getitems__(range(5)))
    assert all(torch.equal(fast[name], expected[name]) for name in expected)


def test_book_loader_is_trimmed(train_args, mini_tokenizer):
    data = ClassificationDataset(train_args(max_seq_length=64), mini_tokenizer, NsmcCorpus(), "train")
    widths = {
        batch["input_ids"].shape[1]
        for batch in DataLoader(data, batch_size=8, sampler=RandomSampler(data), collate_fn=data_collator)
    }
    assert len(widths) > 1 and len(data[0].input_ids) == 64


def test_nothing_is_trimmed_on_a_tpu_or_if_asked(train_args, mini_tokenizer, monkeypatch):
    data = ClassificationDataset(train_args(pad_to_max_length=True), mini_tokenizer, NsmcCorpus(), "train")
    assert data_collator(data.__getitems__([0, 1]))["input_ids"].shape == (2, 32)
    monkeypatch.setattr(features, "on_tpu", lambda: True)
    assert data_collator([data[0], data[1]])["input_ids"].shape == (2, 32)


def test_pairs_fit_a_model_without_token_types(train_args, mini_tokenizer):
    from transformers import RobertaConfig, RobertaForSequenceClassification

    class Pairs:
        num_labels = 2

        def get_labels(self):
            return ["0", "1"]

        def get_examples(self, root, mode):
            return [ClassificationExample("가", "나 다", "0"), ClassificationExample("라", "마", "1")]

    args = train_args()
    data = ClassificationDataset(args, mini_tokenizer, Pairs(), "train")
    assert sum(data[0].token_type_ids) > 0
    model = RobertaForSequenceClassification(
        RobertaConfig(
            vocab_size=len(mini_tokenizer),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            type_vocab_size=1,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
        )
    )
    from nlpbook_nbs.classification import ClassificationTask

    loader = make_loader(data, args, False)
    get_trainer(args).fit(ClassificationTask(model, args), loader, loader)


# 샘플러


@pytest.mark.parametrize(("count", "size"), [(1, 4), (3, 4), (100, 7), (101, 10)])
def test_grouping_gives_every_example_once(count, size):
    data = type(
        "Data",
        (),
        {"lengths": np.random.default_rng(7).integers(2, 128, count), "__len__": lambda self: count},
    )()
    assert sorted(LengthGroupedSampler(data, size)) == list(range(count))
    assert (
        list(LengthGroupedSampler(data, size, shuffle=False))
        == np.argsort(-data.lengths, kind="stable").tolist()
    )


def test_grouping_wastes_little_and_follows_the_seed(train_args, mini_tokenizer):
    data = ClassificationDataset(train_args(max_seq_length=64), mini_tokenizer, NsmcCorpus(), "train")

    def waste(sampler):
        order = np.array(list(sampler))[: len(data) // 16 * 16].reshape(-1, 16)
        return 1 - data.lengths[order].sum() / (16 * data.lengths[order].max(axis=1)).sum()

    assert waste(LengthGroupedSampler(data, 16)) < 0.1 < waste(RandomSampler(data))
    torch.manual_seed(3)
    first, second = (list(LengthGroupedSampler(data, 16)) for _ in range(2))
    torch.manual_seed(3)
    assert first != second and list(LengthGroupedSampler(data, 16)) == first


def test_processes_share_one_grouped_batch_evenly(monkeypatch):
    data = type(
        "Data", (), {"lengths": np.random.default_rng(7).integers(2, 128, 103), "__len__": lambda self: 103}
    )()
    shards = []
    monkeypatch.setattr(torch.distributed, "broadcast", lambda seed, src: seed.fill_(5))
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "gloo")
    for rank in range(2):
        monkeypatch.setattr(LengthGroupedSampler, "world", (2, rank))
        sampler = LengthGroupedSampler(data, 8)
        shards.append(list(sampler))
        assert len(shards[-1]) == len(sampler) == 52
    assert set(shards[0]) | set(shards[1]) == set(range(103))
    assert np.abs(data.lengths[shards[0]] - data.lengths[shards[1]]).mean() < 3


# 정밀도와 드롭아웃


@pytest.mark.parametrize(
    ("changes", "device", "bf16", "expected"),
    [
        ({}, "cpu", True, "bf16-mixed"),
        ({}, "cpu", False, "32-true"),
        ({"precision": "fp32"}, "cpu", True, "32-true"),
        ({"fp16": True}, "cpu", False, "32-true"),
        ({}, "cuda", True, "bf16-mixed"),
        ({}, "cuda", False, "16-mixed"),
        ({"fp16": True}, "cuda", True, "16-mixed"),
        ({"precision": "bf16"}, "cuda", False, "bf16-mixed"),
        ({}, "mps", True, "32-true"),
        ({}, "tpu", True, "32-true"),
    ],
)
def test_precision_follows_the_hardware(train_args, monkeypatch, changes, device, bf16, expected):
    monkeypatch.setattr("nlpbook_nbs.core.devices._cpu_has_bf16", lambda: bf16)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (8, 0) if bf16 else (7, 5))
    assert pick_precision(train_args(**changes), device) == expected


@pytest.mark.parametrize(
    ("there", "half", "chosen"),
    [(True, 0.5, True), (True, 0.9, False), (True, 2.0, False), (False, 0.1, False)],
)
def test_bf16_is_used_on_a_cpu_only_where_it_is_faster(monkeypatch, there, half, chosen):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: there, raising=False)
    seconds = {torch.bfloat16: half, torch.float32: 1.0}
    monkeypatch.setattr("nlpbook_nbs.core.devices._product_seconds", seconds.__getitem__)
    assert _cpu_has_bf16.__wrapped__() is chosen


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(3,), (1001, 1003)])
def test_cheap_dropout_has_the_statistics_of_dropout(p, shape):
    torch.manual_seed(7)
    x = torch.ones(shape, requires_grad=True)
    y = cheap_dropout(x, p)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach()) and torch.all(
        (y == 0) | torch.isclose(y, torch.tensor(1 / (1 - p)), rtol=1e-3)
    )
    if len(shape) == 2:
        assert abs((y == 0).float().mean() - p) < 2e-3 and abs(y.mean() - 1) < 1e-2


def test_model_is_itself_again_after_training(fit):
    _, task, _ = fit()
    kinds = {type(module) for module in task.model.modules()}
    assert (
        CheapDropout not in kinds and nn.Dropout in kinds and task.model.config._attn_implementation == "sdpa"
    )


@pytest.mark.parametrize("fast", [True, False])
def test_cheap_random_numbers_are_used_only_if_the_settings_say_so(train_args, fast):
    trainer = get_trainer(train_args(fast_dropout=fast))
    task = make_task(train_args())
    with trainer._kernels(task):
        kinds = {type(module) for module in task.model.modules()}
    assert (CheapDropout in kinds) is fast


def test_cheap_attention_computes_what_the_library_computes(model, mini_tokenizer, reviews):
    batch = mini_tokenizer(reviews[:16], padding=True, return_tensors="pt")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.inference_mode():
        expected = model.train()(**batch).logits
        with cheap_random_numbers(model):
            assert torch.allclose(model(**batch).logits, expected, atol=1e-5)
            assert model.config._attn_implementation == "nlpbook_cheap"
            assert torch.equal(
                model.eval()(**batch).logits, expected
            )  # 평가는 라이브러리의 계산 그대로입니다.
            assert model.config._attn_implementation == "sdpa"


# 예측


def test_predictions_come_in_the_order_asked(fit, reviews):
    _, _, args = fit()
    classifier = load_classifier(
        ClassificationDeployArguments(downstream_model_dir=args.downstream_model_dir)
    )
    together = classifier.probabilities(reviews)
    alone = np.concatenate([classifier.probabilities([text]) for text in reviews])
    assert np.allclose(together, alone, atol=1e-5) and np.allclose(together.sum(axis=1), 1, atol=1e-5)
    assert classifier([]) == [] and isinstance(classifier, TextClassifier)


def test_concurrent_predictions_equal_those_one_by_one(fit, reviews):
    from concurrent.futures import ThreadPoolExecutor

    _, _, args = fit()
    classifier = load_classifier(
        ClassificationDeployArguments(downstream_model_dir=args.downstream_model_dir)
    )
    expected = [classifier(text) for text in reviews]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(classifier, reviews)) == expected


def test_no_warning_reaches_a_learner(fit):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        fit(epochs=2)
    assert [str(warning.message) for warning in found if issubclass(warning.category, UserWarning)] == []


def test_sequential_sampler_is_used_if_grouping_is_off(train_args, mini_tokenizer):
    args = train_args(group_by_length=False)
    data = ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), "val")
    assert isinstance(make_loader(data, args, False).sampler, SequentialSampler) and isinstance(
        make_loader(data, args, True).sampler, RandomSampler
    )
