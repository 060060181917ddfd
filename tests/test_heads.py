"""레이블 하나, 레이블 여럿, 점수: 정답이 되는 방법, 답이 되는 방법, 지표와 값싼 답."""

import json
import unicodedata
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SMALL_BERT
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification, pipeline

import nlpbook_nbs as nlpbook
from nlpbook_nbs.classification import (
    ClassificationDataset,
    ClassificationExample,
    ClassificationTask,
    ClassificationTrainArguments,
    TextClassifier,
    TsvCorpus,
    open_corpus,
    train_classifier,
)
from nlpbook_nbs.cli import main
from nlpbook_nbs.core.folders import read_model_config
from nlpbook_nbs.core.heads import SCORE, Head, MultiLabelHead, RegressionHead, head_of_model
from nlpbook_nbs.core.labels import split_labels
from nlpbook_nbs.core.recipes import load_recipe, with_defaults
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.paircls import KorSTSCorpus, PairTrainArguments, train_pairs

MULTI, REGRESSION, SINGLE = "multi_label_classification", "regression", "single_label_classification"
COMMENTS = [
    ("이런 바보야 꺼져", "욕설"),
    ("여자는 운전하지 마", "차별"),
    ("바보 여자들은 꺼져", "욕설,차별"),
    ("오늘 날씨가 좋네요", ""),
    ("꺼져 바보", "욕설"),
    ("점심 맛있게 드세요", ""),
]


@contextmanager
def refused(*words):
    """이 안에서 `words`가 모두 든 한 문장짜리 `NlpbookError`가 나야 합니다."""
    with pytest.raises(NlpbookError) as found:
        yield
    message = str(found.value)
    assert "\n" not in message and [word for word in words if word not in message] == [], message


@pytest.fixture
def own(tmp_path, small_training):
    """내 자료(TSV)를 쓰고 그 학습 설정을 만드는 함수. `rows`는 `(글, 레이블)`이나 `(앞, 뒤, 레이블)`의 목록입니다."""

    def make(rows, problem_type=None, cls=ClassificationTrainArguments, val=None, **changes):
        header = "document\tlabel\n" if len(rows[0]) == 2 else "sentence1\tsentence2\tlabel\n"
        folder = tmp_path / "corpora" / "mine"
        folder.mkdir(parents=True, exist_ok=True)
        for mode in ("train", "val", "test"):
            lines = rows if val is None or mode == "train" else val
            text = header + "".join("\t".join(line) + "\n" for line in lines)
            (folder / f"{mode}.tsv").write_text(text, encoding="utf-8")
        values = small_training | {
            "downstream_corpus_root_dir": str(tmp_path / "corpora"),
            "downstream_corpus_name": "mine",
        }
        return cls(**(values | {"problem_type": problem_type} | changes))

    return make


def dataset_of(args, tokenizer, corpus=None, mode="train"):
    return ClassificationDataset(args, tokenizer, open_corpus(args) if corpus is None else corpus, mode)


# 레이블이 정답이 되는 방법


@pytest.mark.parametrize("separator", [",", ";", "|", " / ", "::"])
def test_labels_are_split_at_the_separator_and_an_empty_cell_has_none(own, mini_tokenizer, separator):
    rows = [(text, label.replace(",", separator)) for text, label in COMMENTS]
    dataset = dataset_of(own(rows, MULTI, label_separator=separator), mini_tokenizer)
    assert dataset.label_names == ["욕설", "차별"]
    assert dataset.columns["label"].tolist() == [[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 0]]
    assert dataset[2].label == [1.0, 1.0] and dataset.columns["label"].dtype == np.float32


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("욕설,,차별,", ("욕설", "차별")),
        (" 욕설 , 욕설", ("욕설",)),
        (unicodedata.normalize("NFD", "욕설") + "\u200b", ("욕설",)),
        (["욕설", "차별"], ("욕설", "차별")),
        ({"욕설"}, ("욕설",)),
        (np.array([1, 2]), ("1", "2")),
        ([1.0, "2"], ("1", "2")),
        ("", ()),
        ([], ()),
    ],
)
def test_labels_are_taken_for_what_they_are(label, found):
    assert split_labels(label, ",", "예시") == found


@pytest.mark.parametrize("label", [None, 3, float("nan"), {"욕설": 1}])
def test_what_is_not_a_list_of_labels_is_refused_with_its_place(label, own, mini_tokenizer):
    class Comments:
        num_labels = 2

        def get_labels(self):
            return ["욕설", "차별"]

        def get_examples(self, root, mode):
            return [ClassificationExample("글", None, ["욕설"]), ClassificationExample("글", None, label)]

    with refused("Comments train 2번째 예시", "빈 글"):
        dataset_of(own(COMMENTS, MULTI), mini_tokenizer, Comments())


def test_a_label_that_train_does_not_know_is_refused_with_its_line(own, mini_tokenizer):
    args = own(COMMENTS, MULTI, val=[("글", "욕설"), ("글", "욕설,협박")])
    with refused("val.tsv:3", "'협박'", "욕설, 차별"):
        dataset_of(args, mini_tokenizer, mode="val")


def test_a_separator_that_never_occurs_is_pointed_out(own, mini_tokenizer, messages):
    dataset_of(own([("가", "욕설;차별"), ("나", "욕설")], MULTI), mini_tokenizer)
    assert any("label_separator=','" in message and "';'" in message for message in messages())


def test_no_label_at_all_is_refused(own, mini_tokenizer):
    with refused("train.tsv", "하나도 없습니다"):
        dataset_of(own([("가", ""), ("나", "")], MULTI), mini_tokenizer)


@pytest.mark.parametrize(("label", "value"), [("3.5", 3.5), (" 4 ", 4.0), ("-1e-2", -0.01), ("０", 0.0)])
def test_scores_are_read_as_numbers(own, mini_tokenizer, label, value):
    dataset = dataset_of(own([("가", label), ("나", "5")], REGRESSION), mini_tokenizer)
    assert dataset.label_names == [SCORE]
    assert np.allclose(dataset.columns["label"], [value, 5]) and dataset.columns["label"].dtype == np.float32


@pytest.mark.parametrize("label", ["", "상", "nan", "inf", "3,5"])
def test_what_is_not_a_number_is_refused_with_its_line(own, mini_tokenizer, label):
    with refused("train.tsv:3", "수가 아닙니다"):
        dataset_of(own([("가", "1"), ("나", label)], REGRESSION), mini_tokenizer)


def test_scores_that_are_all_the_same_are_refused(own, mini_tokenizer):
    with refused("train.tsv", "배울 것이 없습니다"):
        dataset_of(own([("가", "2"), ("나", "2.0")], REGRESSION), mini_tokenizer)


def test_numpy_numbers_are_scores(own, mini_tokenizer):
    class Scores:
        problem_type, num_labels = REGRESSION, 1

        def get_labels(self):
            return [SCORE]

        def get_examples(self, root, mode):
            return [
                ClassificationExample("글", None, value) for value in (np.float64(1.5), np.int64(2), 3, "4")
            ]

    dataset = dataset_of(own(COMMENTS, REGRESSION), mini_tokenizer, Scores())
    assert dataset.columns["label"].tolist() == [1.5, 2, 3, 4]
    with refused("Scores", "problem_type='regression'"):
        dataset_of(own(COMMENTS, MULTI), mini_tokenizer, Scores())


def test_a_corpus_made_by_hand_is_read_as_the_settings_say(own, mini_tokenizer, tmp_path):
    args = own([("글 하나", "1"), ("글 둘", "2")], REGRESSION)
    corpus = TsvCorpus(tmp_path / "corpora" / "mine")
    for kind, shape, count in (
        (REGRESSION, (2,), 1),
        (None, (2,), 2),
        (MULTI, (2, 2), 2),
        (REGRESSION, (2,), 1),
    ):
        dataset = dataset_of(own([("글 하나", "1"), ("글 둘", "2")], kind), mini_tokenizer, corpus)
        assert dataset.columns["label"].shape == shape and corpus.num_labels == count
    assert args.metrics == ("val_loss", "val_pearson", "val_spearman", "val_mse")


def test_features_of_another_kind_or_separator_are_not_taken_from_the_cache(own, mini_tokenizer):
    rows = [("글 하나", "1;2"), ("글 둘", "1,2"), ("글 셋", "1")]
    found = [
        dataset_of(own(rows, MULTI, label_separator=separator), mini_tokenizer) for separator in (",", ";")
    ]
    single = dataset_of(own(rows), mini_tokenizer)
    assert [each.columns["label"].shape for each in found] == [(3, 3), (3, 3)]
    assert found[0].label_names != found[1].label_names and single.columns["label"].tolist() == [2, 1, 0]
    assert len({each.fingerprint for each in (*found, single)}) == 3


def test_as_many_labels_as_tokens_are_not_cut_off_by_the_collator(own, mini_tokenizer):
    labels = [str(number) for number in range(32)]
    rows = [("짧은 글", ",".join(labels)), ("또 짧은 글", "1")]
    dataset = dataset_of(own(rows, MULTI), mini_tokenizer)
    batches = [
        nlpbook.data_collator([dataset[0], dataset[1]]),
        nlpbook.data_collator(dataset.__getitems__([0, 1])),
    ]
    for batch in batches:
        assert batch["labels"].shape == (2, 32) and batch["labels"].dtype == torch.float32
        assert batch["input_ids"].shape[1] < 32


# 설정


def test_metrics_and_monitor_follow_the_kind(own):
    assert own(COMMENTS).metrics == ("val_loss", "val_acc")
    assert own(COMMENTS, MULTI).metrics == ("val_loss", "val_micro_f1", "val_macro_f1", "val_subset_acc")
    with refused("max val_acc", "val_pearson, val_spearman, val_mse"):
        own([("가", "1"), ("나", "2")], REGRESSION, monitor="max val_acc")
    assert own(COMMENTS, MULTI, monitor="max val_macro_f1").monitor == "max val_macro_f1"


@pytest.mark.parametrize(
    ("given", "monitor"),
    [
        ({}, "max val_acc"),
        ({"problem_type": MULTI}, "max val_micro_f1"),
        ({"problem_type": REGRESSION}, "max val_pearson"),
        ({"problem_type": REGRESSION, "monitor": "min val_mse"}, "min val_mse"),
    ],
)
@pytest.mark.parametrize("task", ["doc-cls", "pair-cls"])
def test_the_default_monitor_of_the_card_follows_the_kind(task, given, monitor):
    recipe = load_recipe(task)
    args = recipe.train_arguments(**with_defaults(recipe, given))
    assert args.monitor == monitor and args.problem_type == given.get("problem_type", SINGLE)


@pytest.mark.parametrize("separator", ["", "\t"])
def test_a_separator_that_cannot_separate_is_refused(own, separator):
    with refused("label_separator"):
        own(COMMENTS, MULTI, label_separator=separator)


@pytest.mark.parametrize(
    ("rows", "hint"),
    [
        ([("가", "0.5"), ("나", "1"), ("다", "2.25")], REGRESSION),
        ([("가", "욕설"), ("나", "욕설,차별"), ("다", "차별")], MULTI),
        ([("가", "0"), ("나", "1"), ("다", "2")], None),
        ([("가", "서울, 부산"), ("나", "대구")], None),
    ],
)
def test_labels_that_look_like_another_kind_are_pointed_out(own, messages, rows, hint):
    train_classifier(own(rows))
    found = [message for message in messages() if message.startswith("레이블 ")]
    assert len(found) == 1 and [kind for kind in (REGRESSION, MULTI) if kind in found[0]] == (
        [hint] if hint else []
    )


def test_an_unknown_kind_is_refused(own):
    with refused("problem_type='multilabel'", MULTI):
        own(COMMENTS, "multilabel")


# 모델의 출력이 답이 되는 방법


@pytest.fixture
def saved(tmp_path, mini_tokenizer):
    """출력층이 있는 작은 모델을 저장하고 폴더를 돌려주는 함수."""

    def make(num_labels, problem_type, cls=BertForSequenceClassification, **changes):
        torch.manual_seed(1)
        sizes = SMALL_BERT | {"vocab_size": len(mini_tokenizer), "initializer_range": 0.5}
        model = cls(BertConfig(**(sizes | changes), num_labels=num_labels))
        model.config.problem_type = problem_type
        model.save_pretrained(tmp_path / "saved")
        mini_tokenizer.save_pretrained(tmp_path / "saved")
        return tmp_path / "saved"

    return make


def plain(folder, text):
    """`transformers`의 pipeline이 출력마다 매긴 값 `{이름: 값}`."""
    rows = pipeline("text-classification", model=str(folder))(text, top_k=None, truncation=True)
    return {row["label"]: row["score"] for row in rows}


TEXT = "연기가 정말 좋았어요"


def test_a_multi_label_model_answers_several_labels_or_none(saved):
    folder = saved(4, MULTI)
    scores = nlpbook.load(folder)(TEXT)["scores"]
    assert scores == pytest.approx(plain(folder, TEXT), abs=1e-5) and abs(sum(scores.values()) - 1) > 0.01
    for threshold in (0.01, 0.5, 0.99):
        found = nlpbook.load(folder, threshold=threshold)(TEXT)
        assert found["labels"] == [name for name, score in scores.items() if score >= threshold]
        assert "label" not in found and json.dumps(found)
    assert nlpbook.load(folder, threshold=0.999999)(TEXT)["labels"] == []


@pytest.mark.parametrize("problem_type", [REGRESSION, None])
def test_one_output_answers_a_number_not_certainty(saved, problem_type):
    folder = saved(1, problem_type)
    answers = nlpbook.load(folder)([TEXT, "지루하고 긴 영화"])
    assert answers[0]["score"] != answers[1]["score"] and 1.0 not in {row["score"] for row in answers}
    if problem_type:
        assert {"LABEL_0": answers[0]["score"]} == pytest.approx(plain(folder, TEXT), abs=1e-5)


def test_several_numbers_are_answered_by_name(saved):
    folder = saved(2, REGRESSION)
    found = nlpbook.load(folder)(TEXT)
    assert found["scores"] == pytest.approx(plain(folder, TEXT), abs=1e-5) and "score" not in found


def test_one_output_that_says_yes_or_no_is_a_sigmoid(saved):
    folder = saved(1, MULTI)
    found = nlpbook.load(folder)(TEXT)
    assert found["scores"] == pytest.approx(plain(folder, TEXT), abs=1e-5)
    assert found["labels"] == (["LABEL_0"] if found["scores"]["LABEL_0"] >= 0.5 else [])


@pytest.mark.parametrize("problem_type", [SINGLE, "ordinal"])
def test_a_model_whose_answer_cannot_be_read_is_refused(saved, problem_type, mini_tokenizer):
    model = BertForSequenceClassification.from_pretrained(saved(1, REGRESSION))
    model.config.problem_type = problem_type
    with refused(problem_type, "config.json"):
        TextClassifier(model, mini_tokenizer)


def test_a_score_is_shown_as_a_number_not_as_a_share(saved):
    from nlpbook_nbs.widgets import TextDemo

    demo = TextDemo(nlpbook.load(saved(1, REGRESSION)))
    found = demo(TEXT)
    assert f"{found['score']:.2f}" in demo.result.value and "%" not in demo.result.value


def test_a_usual_classifier_answers_as_before(saved):
    folder = saved(3, None)
    found = nlpbook.load(folder)(TEXT)
    assert list(found) == ["text", "label", "score", "scores", "unknown"] and sum(
        found["scores"].values()
    ) == pytest.approx(1)
    assert found["scores"] == pytest.approx(plain(folder, TEXT), abs=1e-5)
    assert type(head_of_model(BertConfig(num_labels=3))) is Head


# 바탕 모델에서 새어 나오는 것


@pytest.mark.parametrize(
    ("num_labels", "problem_type"), [(3, MULTI), (1, REGRESSION), (2, REGRESSION), (2, MULTI), (3, SINGLE)]
)
@pytest.mark.parametrize("batch_size", [2, 3])
def test_training_sets_its_own_kind_whatever_the_base_was(saved, own, num_labels, problem_type, batch_size):
    rows = [("좋다", "1"), ("나쁘다", "0"), ("그저 그렇다", "0")]
    base = saved(num_labels, problem_type)
    args = own(rows, pretrained_model_name=str(base), from_scratch=False, batch_size=batch_size)
    result = train_classifier(args)
    config = read_model_config(args.downstream_model_dir)
    assert config["problem_type"] == SINGLE and config["id2label"] == {"0": "0", "1": "1"}
    assert 0.4 < result["val_loss"] < 3 and "val_acc" in result


@pytest.mark.parametrize("problem_type", [MULTI, REGRESSION])
@pytest.mark.parametrize("batch_size", [2, 3])
def test_a_model_read_by_hand_is_trained_as_the_settings_say(
    saved, own, mini_tokenizer, problem_type, batch_size
):
    folder = saved(2, problem_type)
    args = own([("좋다", "1"), ("나쁘다", "0"), ("그저 그렇다", "0")], pretrained_model_name=str(folder))
    dataset = dataset_of(args, mini_tokenizer)
    loader = DataLoader(dataset, batch_size=batch_size, collate_fn=nlpbook.data_collator)
    model = BertForSequenceClassification.from_pretrained(folder)
    task = ClassificationTask(model, args)
    expected = torch.nn.functional.cross_entropy(
        model.eval()(**{k: v for k, v in next(iter(loader)).items() if k != "labels"}).logits,
        next(iter(loader))["labels"],
    )
    found = task.model(**next(iter(loader)))
    assert found.loss.item() == pytest.approx(expected.item(), abs=1e-5)
    trainer = nlpbook.get_trainer(args)
    trainer.fit(task, loader, loader)
    assert read_model_config(args.downstream_model_dir)["problem_type"] == SINGLE


@pytest.mark.parametrize(("problem_type", "size"), [(SINGLE, 1), (REGRESSION, 2)])
def test_outputs_that_do_not_fit_the_kind_are_refused(saved, own, problem_type, size):
    args = own([("가", "1"), ("나", "2")], problem_type)
    model = BertForSequenceClassification.from_pretrained(saved(size, None))
    with refused(f"problem_type='{problem_type}'", f"출력이 {size}개", "num_labels"):
        ClassificationTask(model, args)


def test_a_head_of_another_kind_starts_anew_even_with_the_same_labels(saved, own, messages):
    names = {"id2label": {0: "욕설", 1: "차별"}, "label2id": {"욕설": 0, "차별": 1}}
    base = saved(2, MULTI, **names)
    options = {"pretrained_model_name": str(base), "from_scratch": False, "learning_rate": 1e-9}
    train_classifier(own(COMMENTS, MULTI, **options))
    assert not any("출력층" in message for message in messages())
    train_classifier(own([("가", "욕설"), ("나", "차별")], **options))
    assert sum("출력층" in message for message in messages()) == 1


def test_a_reader_with_three_outputs_says_why_it_cannot_train(saved, tmp_path):
    from nlpbook_nbs.qa import QATask, QATrainArguments

    model = BertForQuestionAnswering.from_pretrained(saved(3, MULTI), num_labels=3)
    args = QATrainArguments(
        pretrained_model_name="nlpbook-mini",
        downstream_model_dir=str(tmp_path / "reader"),
        max_seq_length=64,
        max_query_length=16,
        doc_stride=8,
    )
    with refused("출력이 3개", "시작과 끝", "num_labels=2"):
        QATask(model, args)


def test_a_reader_with_three_outputs_says_why_it_cannot_answer(saved):
    folder = saved(3, None, BertForQuestionAnswering)
    with refused("출력이 3개", "시작과 끝"):
        nlpbook.load(folder, max_seq_length=48)


# 지표와 값싼 답


def by_hand_f1(answers, truth, axis):
    both, sizes = (answers * truth).sum(axis), answers.sum(axis) + truth.sum(axis)
    return float(np.mean(np.divide(2 * both, sizes, out=np.zeros_like(both), where=sizes > 0)))


def measured(head, logits, labels, size, parts=3):
    """배치 `parts`개로 나누어 넣은 지표들."""
    measures = head.measures(size)
    for some, truth in zip(np.array_split(logits, parts), np.array_split(labels, parts)):
        for measure in measures.values():
            measure.update(*head.compared(torch.from_numpy(some), torch.from_numpy(truth)))
    return {name: measure.compute().item() for name, measure in measures.items()}


def test_multi_label_metrics_count_every_example_once():
    random = np.random.default_rng(3)
    logits = random.normal(size=(20, 4)).astype(np.float32)
    labels = (random.random((20, 4)) < 0.3).astype(np.float32)
    answers = (logits > 0).astype(np.float64)
    found = measured(MultiLabelHead(), logits, labels, 4)
    assert found["micro_f1"] == pytest.approx(by_hand_f1(answers, labels, None), abs=1e-6)
    assert found["macro_f1"] == pytest.approx(by_hand_f1(answers, labels, 0), abs=1e-6)
    assert found["subset_acc"] == pytest.approx((answers == labels).all(axis=1).mean(), abs=1e-6)


def test_regression_metrics_count_every_example_once():
    random = np.random.default_rng(4)
    truth = random.permutation(20).astype(np.float32)
    logits = (truth + random.normal(size=20) * 4).astype(np.float32)[:, None]
    found = measured(RegressionHead(), logits, truth, 1)
    ranks = logits[:, 0].argsort().argsort()
    assert found["pearson"] == pytest.approx(np.corrcoef(logits[:, 0], truth)[0, 1], abs=1e-5)
    assert found["spearman"] == pytest.approx(np.corrcoef(ranks, truth)[0, 1], abs=1e-5)
    assert found["mse"] == pytest.approx(((logits[:, 0] - truth) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_no_constant_answer_beats_the_cheap_one(seed):
    labels = (np.random.default_rng(seed).random((7, 3)) < 0.4).astype(np.float32)
    best: dict = {}
    for choice in product([-1.0, 1.0], repeat=3):
        found = measured(MultiLabelHead(), np.tile(np.float32(choice), (7, 1)), labels, 3)
        best = {name: max(best.get(name, 0), value) for name, value in found.items()}
    assert MultiLabelHead().constant(labels) == pytest.approx(best, abs=1e-6)
    scores = labels.sum(axis=1)
    errors = [((scores - guess) ** 2).mean() for guess in np.linspace(0, 3, 301)]
    assert RegressionHead().constant(scores)["mse"] <= min(errors) + 1e-9


def test_answers_that_are_all_the_same_have_correlation_zero_not_nan(own, saved, tmp_path):
    rows = [(text, str(number)) for number, (text, _) in enumerate(COMMENTS)]
    args = own(
        rows,
        REGRESSION,
        learning_rate=1e-12,
        pretrained_model_name=str(saved(1, REGRESSION)),
        from_scratch=False,
    )
    model = BertForSequenceClassification.from_pretrained(saved(1, REGRESSION))
    torch.nn.init.zeros_(model.classifier.weight)
    task = ClassificationTask(model, args)
    for batch in ({"labels": torch.tensor([1.0, 2.0])}, {"labels": torch.tensor([3.0])}):
        logits = torch.full((len(batch["labels"]), 1), 2.5)
        task.update_metrics(SimpleNamespace(loss=torch.tensor(1.0), logits=logits), batch)
    found = task.compute_metrics()
    assert found["pearson"] == found["spearman"] == 0 and found["mse"].item() == pytest.approx(2.75 / 3)


# 처음부터 끝까지

MINI = {
    "pretrained_model_name": "nlpbook-mini",
    "from_scratch": False,
    "learning_rate": 1e-3,
    "batch_size": 8,
}
WORDS = ("정말", "오늘", "그냥", "어제", "다시", "조금", "매우", "아주")
PLAIN = [
    (f"{word} {text}", label)
    for word in WORDS
    for text, label in (
        ("바보 꺼져", "욕설"),
        ("여자는 안 돼", "차별"),
        ("바보 여자는 꺼져", "욕설,차별"),
        ("밥 먹자", ""),
    )
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_several_labels_are_learnt_saved_and_answered_everywhere(own, messages, precision, capsys):
    args = own(PLAIN, MULTI, epochs=6, precision=precision, **MINI)
    result = train_classifier(args)
    assert result["test_micro_f1"] > 0.9 > result["constant_micro_f1"] and result["test_subset_acc"] > 0.8
    assert not any("거의 배우지" in message for message in messages())
    assert any("없는 글 8, 둘 이상인 글 8" in message for message in messages())
    folder = args.downstream_model_dir
    predict = nlpbook.load(folder)
    answers = predict(["바보 여자는 꺼져", "밥 먹자"])
    assert [row["labels"] for row in answers] == [["욕설", "차별"], []]
    assert answers[0]["scores"] == pytest.approx(plain(folder, "바보 여자는 꺼져"), abs=1e-5)
    capsys.readouterr()
    assert main(["predict", "--model_dir", folder, "--threshold", "0.999", "바보 여자는 꺼져"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == []


def test_scores_are_learnt_saved_and_answered_everywhere(own, messages):
    rows = [
        (f"{word} {text}", text, score)
        for word in WORDS
        for text, score in (("바보 꺼져", "0.5"), ("밥 먹자", "3"), ("고마워 친구", "4.5"))
    ]
    args = own(rows, REGRESSION, PairTrainArguments, epochs=10, **MINI)
    result = train_pairs(args)
    assert result["test_pearson"] > 0.9 and result["test_mse"] < 0.5 * result["constant_mse"]
    assert any("점수 0.5~4.5" in message for message in messages())
    folder = args.downstream_model_dir
    assert read_model_config(folder)["problem_type"] == REGRESSION
    pair = ("정말 고마워 친구", "고마워 친구")
    found = nlpbook.load(folder)(pair)
    there = pipeline("text-classification", model=folder)({"text": pair[0], "text_pair": pair[1]})
    assert found["text_a"] == pair[0] and found["score"] == pytest.approx(there["score"], abs=1e-5)
    assert there["label"] == SCORE and abs(found["score"] - 4.5) < 1.5


@pytest.mark.parametrize(
    ("problem_type", "rows"), [(MULTI, PLAIN[:8]), (REGRESSION, [("가", "1"), ("나", "9")])]
)
def test_a_model_that_is_no_better_than_a_constant_answer_says_so(own, messages, problem_type, rows):
    train_classifier(own(rows, problem_type, learning_rate=1e-12))
    assert any("늘" in message and "거의 배우지" in message for message in messages())


def test_one_label_that_is_there_or_not_can_be_learnt(own):
    rows = [(text, "욕설" if "욕설" in label else "") for text, label in PLAIN]
    args = own(rows, MULTI, epochs=4, **MINI)
    assert train_classifier(args)["test_micro_f1"] > 0.9
    assert [row["labels"] for row in nlpbook.load(args.downstream_model_dir)(["바보 꺼져", "밥 먹자"])] == [
        ["욕설"],
        [],
    ]


# KorSTS

KORSTS = "genre\tfilename\tyear\tid\tscore\tsentence1\tsentence2\n" + "".join(
    f"main\tfile\t2012\t{number:04}\t{score}\t{a}\t{b}\n"
    for number, (score, a, b) in enumerate(
        [
            ("5.000", "비행기가 뜬다.", "비행기가 이륙한다."),
            ("0.250", '그는 "안녕"이라고 했다.', "배가 간다."),
            ("3", "가", "나"),
        ]
    )
)


@pytest.fixture
def korsts(tmp_path):
    folder = tmp_path / "corpora" / "korsts"
    folder.mkdir(parents=True)
    for name in KorSTSCorpus.files.values():
        (folder / name).write_text(KORSTS, encoding="utf-8")
    return folder


def test_korsts_is_a_regression_by_itself(korsts, small_training):
    options = {"downstream_corpus_name": "korsts", "downstream_corpus_root_dir": str(korsts.parent)}
    args = PairTrainArguments(**(small_training | options))
    assert args.problem_type == REGRESSION and "val_pearson" in args.metrics
    result = train_pairs(args)
    assert {"test_pearson", "test_spearman", "test_mse"} <= set(result) and result["test_examples"] == 3
    assert read_model_config(args.downstream_model_dir)["id2label"] == {"0": SCORE}


def test_korsts_as_classes_is_refused(korsts, small_training):
    options = {"downstream_corpus_name": "korsts", "downstream_corpus_root_dir": str(korsts.parent)}
    with refused("KorSTSCorpus", "problem_type='regression'"):
        train_pairs(PairTrainArguments(**(small_training | options | {"problem_type": SINGLE})))


def test_a_wrong_score_of_korsts_names_its_line(korsts):
    path = korsts / "sts-train.tsv"
    path.write_text(KORSTS.replace("0.250", "다섯"), encoding="utf-8")
    with refused("sts-train.tsv:3", "'다섯'"):
        KorSTSCorpus().get_examples(korsts, "train")


def test_real_korsts_is_read_whole(real_data):
    rows = {
        mode: KorSTSCorpus().get_examples(Path(real_data, "korsts"), mode)
        for mode in ("train", "val", "test")
    }
    assert {mode: len(found) for mode, found in rows.items()} == {"train": 5749, "val": 1500, "test": 1379}
    assert all(0 <= row.label <= 5 for found in rows.values() for row in found)


# 잘못 적은 점수와, 갖가지로 적은 레이블 여럿


@pytest.mark.parametrize(
    ("label", "what"), [("1e39", "너무 커서"), ("-1e300", "너무 커서"), ("1_000", "수가"), ("3,5", "마침표")]
)
@pytest.mark.parametrize("mode", ["train", "val"])
def test_a_score_that_training_cannot_hold_is_refused_with_its_line(own, mini_tokenizer, label, what, mode):
    rows = {"rows": [("가", "1"), ("나", "2")], "val": [("가", "1"), ("나", "2")]}
    rows["rows" if mode == "train" else "val"][1] = ("나", label)
    args = own(rows["rows"], REGRESSION, val=rows["val"])
    with refused(f"{mode}.tsv:3", what):
        dataset_of(args, mini_tokenizer, mode=mode)


def test_an_integer_too_large_for_a_float_is_refused():
    with refused("쌍:2", "너무 커서"):
        RegressionHead().read(10**400, None, "쌍:2")


def test_a_result_compared_with_cheap_answers_never_holds_nan(messages):
    targets = np.array([1.0, np.inf])
    with np.errstate(invalid="ignore"):
        found = RegressionHead().compare({"test_mse": None, "test_pearson": 0.5}, targets)
    assert found == {"constant_pearson": 0.0, "constant_spearman": 0.0, "constant_mse": None}
    assert any("pearson 0.500 (0.000)" in message for message in messages())


def test_whole_numbers_among_many_labels_are_one_label_however_written(own, mini_tokenizer):
    rows = [("가", "1.0,2"), ("나", "1"), ("다", "2.0,1,1.0"), ("라", "")]
    dataset = dataset_of(own(rows, MULTI), mini_tokenizer)
    assert dataset.label_names == ["1", "2"]
    assert dataset.columns["label"].tolist() == [[1, 1], [1, 0], [1, 1], [0, 0]]


@pytest.mark.parametrize("label", [[0, 1, 1], np.array([1, 0]), (True, False), "[0, 1, 1]", [0.0, 1.0]])
def test_multi_hot_rows_are_refused_because_they_have_no_names(label):
    with refused("예시:1", "0과 1을", "이름"):
        MultiLabelHead().names([(label, "예시:1"), (label, "예시:1")])


@pytest.mark.parametrize("labels", [([0, 1], [2]), ([0, 1], [0]), (["0", "1"], ["1", "0"]), ([1], [0])])
def test_lists_of_label_numbers_are_not_taken_for_multi_hot_rows(labels):
    assert {"0", "1"} <= set(MultiLabelHead().names((label, "예시") for label in labels))


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ('["욕설", "차별"]', ("욕설", "차별")),
        ("['욕설', '차별']", ("욕설", "차별")),
        ("['욕설' '차별']", ("욕설", "차별")),
        ("['욕설'\n '차별']", ("욕설", "차별")),
        (" [1, 2] ", ("1", "2")),
        ("[]", ()),
        ("[광고],욕설", ("[광고]", "욕설")),
        ("[욕설, 차별]", ("[욕설", "차별]")),
        ("[[1], [2]]", ("[[1]", "[2]]")),
    ],
)
def test_a_list_printed_into_a_cell_is_a_list_where_that_is_certain(cell, found):
    assert split_labels(cell, ",", "예시") == found


@pytest.mark.parametrize("mark", "、·ㆍ，；")
def test_korean_and_full_width_separators_are_pointed_out(mark, messages):
    MultiLabelHead().names([(f"욕설{mark}차별", "예시:1"), ("욕설", "예시:2")])
    assert any("label_separator=','" in text and repr(mark) in text for text in messages())
