"""아래층 얼리기, 얼린 층의 상태, LoRA: 배울 것만 배우고, 저장하면 보통의 모델입니다."""

import importlib.util
import os
import sys

import numpy as np
import pytest
import torch
import transformers
from conftest import SMALL_BERT
from pytorch_lightning.callbacks import Callback
from test_bad_input import refused
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

from nlpbook_nbs.classification import ClassificationDataset, ClassificationTask, NsmcCorpus
from nlpbook_nbs.core import states
from nlpbook_nbs.core.folders import read_model_record
from nlpbook_nbs.core.freezing import encoder_layers, layers_to_freeze, lower_part
from nlpbook_nbs.core.models import model_inputs
from nlpbook_nbs.core.settings import set_seed
from nlpbook_nbs.core.training import get_trainer, make_loader
from nlpbook_nbs.qa import KorQuADV1Corpus, QADataset, QATask, QATrainArguments

needs_peft = pytest.mark.skipif(
    importlib.util.find_spec("peft") is None, reason="peft가 설치되어 있지 않습니다"
)
LAYERS = 4
SIZES = SMALL_BERT | {"num_hidden_layers": LAYERS}
FAMILIES = {  # 이름 → (설정 클래스, 더 적을 것, 얼리지 않은 것의 이름 가운데 하나)
    "bert": ("BertConfig", {}),
    "electra": ("ElectraConfig", {"embedding_size": 16}),
    "roberta": ("RobertaConfig", {"max_position_embeddings": 80, "pad_token_id": 0}),
    "distilbert": ("DistilBertConfig", {"dim": 32, "n_layers": LAYERS, "n_heads": 2, "hidden_dim": 64}),
    "gpt2": ("GPT2Config", {"n_positions": 64, "n_embd": 32, "n_layer": LAYERS, "n_head": 2}),
}
SAME = 2e-3  # float16으로 적은 상태에서 나는 차이


def make(family, tokenizer, kind="SequenceClassification"):
    name, changes = FAMILIES[family]
    sizes = {} if family in {"distilbert", "gpt2"} else SIZES
    config = getattr(transformers, name)(
        **(sizes | {"vocab_size": len(tokenizer), "pad_token_id": 0, "num_labels": 2} | changes)
    )
    torch.manual_seed(0)
    return getattr(transformers, f"AutoModelFor{kind}").from_config(config)


@pytest.fixture
def fit(train_args, mini_tokenizer):
    """모델을 만들어 학습하고 `(트레이너, 과제)`를 돌려주는 함수."""

    def run(family="bert", callbacks=(), options=(), **changes):
        args = train_args(**({"precision": "fp32", "checkpoint_steps": 2} | changes))
        set_seed(args)
        data = ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), "val")
        task = ClassificationTask(make(family, mini_tokenizer), args)
        trainer = get_trainer(args, callbacks=callbacks, **dict(options))
        trainer.fit(task, make_loader(data, args, True), make_loader(data, args, False))
        return trainer, task

    return run


@pytest.fixture
def nothing_kept(monkeypatch):
    """얼린 층의 상태를 저장하지 못하게 합니다."""
    monkeypatch.setattr(states, "why_not", lambda *_: "시험")


def weights_of(task):
    return {name: value.clone() for name, value in task.model.state_dict().items()}


def answers(model, tokenizer):
    encoded = tokenizer(["정말 좋은 영화", "시간이 아깝다"], padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**model_inputs(model, dict(encoded))).logits


class Stop(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 10:
            raise RuntimeError("멈춤")


# 얼리기


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_layers_keep_every_bit_and_the_others_learn(fit, mini_tokenizer, family):
    before = make(family, mini_tokenizer)
    _, task = fit(family, freeze_layers=3, options={"max_steps": 2})
    frozen = {id(weight) for part in lower_part(task.model, 3) for weight in part.parameters()}
    assert frozen
    for (name, old), new in zip(before.named_parameters(), task.model.parameters()):
        assert torch.equal(old, new) == (id(new) in frozen), name
        assert new.requires_grad == (id(new) not in frozen), name


def test_frozen_layers_drop_nothing_while_the_others_do(fit):
    _, task = fit(freeze_layers=2, options={"max_steps": 1})
    task.eval()
    task.train()
    layers = task.model.bert.encoder.layer
    assert [layer.training for layer in layers] == [False, False, True, True]
    assert not task.model.bert.embeddings.training and task.model.bert.pooler.training


def test_all_layers_can_be_frozen_and_the_head_still_learns(fit):
    _, task = fit(freeze_layers=LAYERS, options={"max_steps": 1})
    learnt = {name.split(".")[-2] for name, weight in task.model.named_parameters() if weight.requires_grad}
    assert learnt == {"dense", "classifier"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"freeze_layers": "half"}, ["freeze_layers='half'", "auto나 0 이상의 정수"]),
        ({"freeze_layers": -1}, ["freeze_layers='-1'"]),
        ({"freeze_layers": 1.5}, ["freeze_layers='1.5'"]),
        ({"lora_rank": -1}, ["lora_rank=-1"]),
        ({"lora_rank": 4, "lora_alpha": 0}, ["lora_alpha=0"]),
        ({"lora_rank": 4, "strategy": "fsdp"}, ["lora_rank", "ddp"]),
    ],
)
def test_wrong_settings_are_refused(train_args, changes, words):
    refused(lambda: train_args(**changes), *words)


def test_more_layers_than_the_model_has_are_refused(fit):
    refused(lambda: fit(freeze_layers=5), "freeze_layers=5", "4개뿐")


@pytest.mark.parametrize("name", ["AlbertConfig", "BartConfig"])
def test_models_without_layers_of_their_own_are_refused(name):
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
    parts = {"d_model": 32, "encoder_layers": 3, "decoder_layers": 3, "encoder_attention_heads": 2}
    config = getattr(transformers, name)(
        vocab_size=50, **(sizes if name == "AlbertConfig" else parts | {"decoder_attention_heads": 2})
    )
    model = AutoModelForSequenceClassification.from_config(config)
    refused(lambda: encoder_layers(model), "freeze_layers", "freeze_layers=0")


# 몇 층을 얼릴지


def test_number_of_frozen_layers_follows_the_count_of_operations_only():
    rule = {"epochs": 2, "layers": 12, "weights": 1_769_472}
    found = [layers_to_freeze(tokens, **rule) for tokens in (1, 26_000, 32_000, 80_000, 160_000, 10**9)]
    assert found == sorted(found) and found[0] == 0 and 0 < found[1] < found[2] < 6 and found[-1] == 6
    assert layers_to_freeze(32_000, **rule, passes=4) < layers_to_freeze(32_000, **rule)
    assert layers_to_freeze(26_000, **rule, checked=26_000) > layers_to_freeze(26_000, **rule)
    assert layers_to_freeze(10**9, epochs=1, layers=1, weights=10**6) == 0


def test_automatic_number_is_said_recorded_and_leaves_half_of_the_layers(
    fit, messages, monkeypatch, tmp_path
):
    monkeypatch.setattr("nlpbook_nbs.core.freezing.QUICK_RATE", 1.0)
    _, task = fit(freeze_layers="auto", options={"max_steps": 1})
    assert task.frozen_layers == 2 and read_model_record(tmp_path / "model")["freeze_layers"] == 2
    assert any("4층 가운데 아래 2층을 얼려" in each and "freeze_layers=0" in each for each in messages())


def test_small_work_freezes_nothing_and_says_nothing(fit, messages):
    _, task = fit(freeze_layers="auto", options={"max_steps": 1})
    assert task.frozen_layers == 0 and all(weight.requires_grad for weight in task.model.parameters())
    assert not any("얼" in each for each in messages())


# 얼린 층의 상태


@pytest.mark.parametrize("family", FAMILIES)
def test_kept_states_give_the_same_training(fit, request, family, messages):
    kept, task = fit(family, freeze_layers=3, epochs=2)
    assert any("한 번만 계산해 둡니다" in each for each in messages())
    request.getfixturevalue("nothing_kept")
    again, other = fit(family, freeze_layers=3, epochs=2)
    losses = [trainer.history.column("train_loss")[1] for trainer in (kept, again)]
    assert np.allclose(*losses, atol=SAME)
    assert np.isclose(*(float(each.callback_metrics["val_loss"]) for each in (kept, again)), atol=SAME)
    for name, value in task.model.state_dict().items():
        assert torch.allclose(value, other.model.state_dict()[name], atol=SAME), name


def test_kept_states_are_read_instead_of_computed(fit):
    class Count(Callback):
        calls = 0

        def on_train_start(self, trainer, pl_module):
            def count(*_):
                self.calls += 1

            lowest = pl_module.model.bert.encoder.layer[0].attention
            self.hook = lowest.register_forward_hook(count)

    count = Count()
    _, task = fit(freeze_layers=3, epochs=2, callbacks=[count])
    assert count.calls == 0
    layer = task.model.bert.encoder.layer[0]
    assert "forward" not in vars(layer)
    fit(freeze_layers=3, epochs=1, callbacks=[count])
    assert count.calls > 0  # 한 번만 읽는 학습은 저장하지 않습니다.


def test_reader_learns_the_same_from_kept_states(small_training, mini_tokenizer, request):
    """질의응답의 손실은 채운 자리의 점수까지 세므로, 채운 자리의 상태도 같아야 합니다."""
    losses = []
    for kept in (True, False):
        if not kept:
            request.getfixturevalue("nothing_kept")
        args = QATrainArguments(
            **small_training
            | {"downstream_corpus_name": "korquad-v1", "max_seq_length": 64, "max_query_length": 16}
            | {"doc_stride": 40, "precision": "fp32", "epochs": 2, "freeze_layers": 3}
        )
        set_seed(args)
        data = QADataset(args, mini_tokenizer, KorQuADV1Corpus(), "val")
        trainer, task = get_trainer(args), QATask(make("bert", mini_tokenizer, "QuestionAnswering"), args)
        trainer.fit(task, make_loader(data, args, True), make_loader(data, args, False))
        losses.append(trainer.history.column("train_loss")[1])
        assert data.states is None
    assert np.allclose(*losses, atol=SAME)


def test_states_larger_than_the_limit_are_not_kept_and_the_reason_is_said(fit, monkeypatch, messages):
    monkeypatch.setattr(states, "LARGEST", 1000)
    fit(freeze_layers=3, epochs=2)
    assert any("저장하지 않고" in each and "자리" in each for each in messages())


def test_oldest_states_make_room_for_new_ones(monkeypatch, tmp_path):
    monkeypatch.setattr(states, "LARGEST", 1000)
    for number, name in enumerate(("old", "new")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "states.npy").write_bytes(bytes(400))
        os.utime(tmp_path / name, (number, number))
    assert states.make_room(tmp_path, 500)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_states_too_large_for_float16_are_not_kept(fit, mini_tokenizer, monkeypatch, messages):
    monkeypatch.setattr(states, "lower_states", lambda model, inputs, count: torch.full((32, 32, 32), 1e6))
    fit(freeze_layers=3, epochs=2)
    assert any("float16" in each and "저장하지 않고" in each for each in messages())


# 이어 하기와 저장


CHANGES = [
    pytest.param({"freeze_layers": 3}, id="frozen"),
    pytest.param({"lora_rank": 4}, marks=needs_peft, id="lora"),
    pytest.param({"freeze_layers": 1, "lora_rank": 4}, marks=needs_peft, id="both"),
]


@pytest.mark.parametrize("changes", CHANGES)
def test_stopped_training_goes_on_without_a_bit_of_difference(fit, changes):
    _, whole = fit(epochs=2, **changes)
    with pytest.raises(RuntimeError, match="멈춤"):
        fit(epochs=2, callbacks=[Stop()], **changes)
    _, grown = fit(epochs=2, resume=True, **changes)
    assert all(torch.equal(whole.state_dict()[name], value) for name, value in grown.state_dict().items())


def test_resuming_with_other_layers_is_refused(fit):
    fit(freeze_layers=3)
    refused(lambda: fit(resume=True, freeze_layers=2), "다릅니다", "freeze_layers(3 → 2)")
    refused(lambda: fit(resume=True), "다릅니다", "freeze_layers(3 → 0)")


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("changes", CHANGES)
def test_exported_folder_is_an_ordinary_model_with_the_same_answers(
    fit, mini_tokenizer, tmp_path, family, changes
):
    _, task = fit(family, epochs=2, **changes)
    saved = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    assert saved.state_dict().keys() == make(family, mini_tokenizer).state_dict().keys()
    assert torch.allclose(answers(saved, mini_tokenizer), answers(task.model, mini_tokenizer), atol=1e-5)
    record = read_model_record(tmp_path / "model")
    assert record["freeze_layers"] == changes.get("freeze_layers", 0)
    assert (record["checkpoint"] is None) == ("lora_rank" in changes)


# LoRA


@needs_peft
def test_lora_learns_its_matrices_and_the_head_only(fit, mini_tokenizer):
    before = dict(make("bert", mini_tokenizer).named_parameters())
    _, task = fit(lora_rank=4, options={"max_steps": 2})
    for name, weight in task.model.named_parameters():
        old = before.get(name.replace(".base_layer", ""))
        head = name.startswith(("bert.pooler.", "classifier."))
        assert weight.requires_grad == (head or ".lora_" in name), name
        assert old is None or torch.equal(old, weight) != head, name


@needs_peft
def test_lora_reads_questions_too(small_training, mini_tokenizer, tmp_path):
    args = QATrainArguments(
        **small_training
        | {"downstream_corpus_name": "korquad-v1", "max_seq_length": 64, "max_query_length": 16}
        | {"doc_stride": 40, "precision": "fp32", "lora_rank": 4}
    )
    assert args.lora_alpha == 8
    data = QADataset(args, mini_tokenizer, KorQuADV1Corpus(), "val")
    task = QATask(make("distilbert", mini_tokenizer, "QuestionAnswering"), args)
    get_trainer(args).fit(task, make_loader(data, args, True), make_loader(data, args, False))
    AutoModelForQuestionAnswering.from_pretrained(tmp_path / "model")


def test_missing_peft_is_said_with_the_command_that_installs_it(fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    refused(lambda: fit(lora_rank=4), "lora_rank=4", "pip install peft")
