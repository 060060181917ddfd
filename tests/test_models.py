"""모델을 열고 저장하기: 출력층을 이어 쓸 때와 새로 시작할 때, 그리고 여럿이 함께 저장할 때."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from conftest import SMALL_BERT
from test_bad_input import refused
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    BertForSequenceClassification,
)

from nlpbook_nbs.core.exports import write_model_folder
from nlpbook_nbs.core.models import load_model

NAMES = {0: "부정", 1: "긍정"}


@pytest.fixture
def trained(tmp_path, mini_tokenizer):
    """출력층의 가중치가 모두 7인, 이미 학습한 분류 모델의 폴더."""

    def make(**changes):
        sizes = SMALL_BERT | {"hidden_size": 256, "vocab_size": len(mini_tokenizer)}
        model = BertForSequenceClassification(BertConfig(**(sizes | {"id2label": NAMES} | changes)))
        model.classifier.weight.data.fill_(7.0)
        model.config.problem_type = "single_label_classification"  # 학습하면 라이브러리가 적어 둡니다.
        model.save_pretrained(tmp_path / "trained")
        mini_tokenizer.save_pretrained(tmp_path / "trained")
        return SimpleNamespace(pretrained_model_name=str(tmp_path / "trained"), from_scratch=False), model

    return make


def same_body(model, before):
    return all(
        torch.equal(value, before.bert.state_dict()[name]) for name, value in model.bert.state_dict().items()
    )


def test_head_of_the_same_task_and_labels_goes_on(trained, messages):
    args, before = trained()
    model = load_model(AutoModelForSequenceClassification, args, id2label=NAMES)
    assert torch.equal(model.classifier.weight, before.classifier.weight)
    assert not any("출력층" in message for message in messages())


@pytest.mark.parametrize(
    ("auto_class", "config", "head", "size"),
    [
        (AutoModelForSequenceClassification, {"id2label": {0: "x", 1: "y"}}, "classifier", 2),
        (AutoModelForSequenceClassification, {"num_labels": 5}, "classifier", 5),
        (AutoModelForSequenceClassification, {"num_labels": 1}, "classifier", 1),
        (AutoModelForTokenClassification, {"id2label": NAMES}, "classifier", 2),
        (AutoModelForQuestionAnswering, {}, "qa_outputs", 2),
    ],
)
def test_head_of_another_task_starts_anew_with_the_configured_spread(
    trained, messages, auto_class, config, head, size
):
    args, before = trained(initializer_range=0.05)
    model = load_model(auto_class, args, **config)
    weight = getattr(model, head).weight
    assert weight.shape == (size, 256) and abs(weight.std().item() - 0.05) < 0.01
    assert not getattr(model, head).bias.any() and same_body(model, before)
    assert sum("출력층" in message for message in messages()) == 1


def test_reader_made_of_a_three_label_model_has_a_start_and_an_end(trained):
    args, _ = trained(id2label={0: "함의", 1: "모순", 2: "중립"})
    model = load_model(AutoModelForQuestionAnswering, args).eval()
    found = model(input_ids=torch.tensor([[2, 10, 3]]))
    assert found.start_logits.shape == found.end_logits.shape == (1, 3)


def test_regression_made_of_a_classifier_measures_distance(trained):
    args, _ = trained()
    model = load_model(AutoModelForSequenceClassification, args, num_labels=1).eval()
    found = model(input_ids=torch.tensor([[2, 10, 3]]), labels=torch.tensor([3.0]))
    assert torch.isclose(found.loss, (found.logits[0, 0] - 3.0) ** 2)


def test_weights_of_another_shape_than_the_config_are_refused(trained):
    args, _ = trained()
    refused(
        lambda: load_model(AutoModelForSequenceClassification, args, vocab_size=99), "word_embeddings", "모양"
    )


def test_writers_of_one_model_folder_do_not_take_each_others_files(tmp_path):
    names = [f"{number}.txt" for number in range(20)]

    def write(number):
        def save(folder):
            for name in names:
                (folder / name).write_text(str(number))

        write_model_folder(tmp_path / "model", save)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(40)))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == sorted(names)
