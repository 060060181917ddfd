"""잘못된 입력마다 무엇이, 어디서, 어떻게를 담은 한 문장이 나오는지 봅니다."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nlpbook_nbs.classification import (
    ClassificationDataset,
    ClassificationDeployArguments,
    ClassificationExample,
    ClassificationTask,
    ClassificationTrainArguments,
    NsmcCorpus,
    load_classifier,
    train_classifier,
)
from nlpbook_nbs.core.arguments import TrainArguments, load_arguments
from nlpbook_nbs.core.files import read_tsv
from nlpbook_nbs.core.models import load_model, load_tokenizer
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.training import get_trainer, make_loader

HEADER = "id\tdocument\tlabel\n"


def write(folder, text, name="ratings_train.txt"):
    path = Path(folder, name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(action, *words):
    with pytest.raises(NlpbookError) as found:
        action()
    message = str(found.value)
    assert "\n" not in message, message
    for word in words:
        assert word in message, f"{word!r} not in {message!r}"


# 말뭉치 파일


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (HEADER + "1\t좋다\t1\n2\t나쁘다\n", ":3:", "칸이 3개여야 하는데 2개"),
        (HEADER + "1\t좋다\t1\n2\t나쁘다\t0\t덤\n", ":3:", "칸이 3개여야 하는데 4개"),
        (HEADER + "1\t좋다\t1\n\n2\t나쁘다\t0\n", ":3:", "칸이 3개여야 하는데 1개"),
        ("id\ttext\tlabel\n1\t좋다\t1\n", ":1:", "'document' 열이 없습니다"),
        (HEADER + "1\t좋다\t2\n", ":2:", "모르는 레이블 '2'"),
        ((HEADER + "1\t좋다\t1\n2\t").encode() + b"\xb0\xa1\t1\n", ":3:", "UTF-8"),
        ("<!DOCTYPE html><html></html>", ":1:", "웹 페이지(HTML)"),
        ("", "ratings_train.txt", "빈 파일"),
    ],
)
def test_bad_corpus_file_names_file_line_and_cure(tmp_path, text, where, what):
    write(tmp_path, text)
    refused(lambda: NsmcCorpus().get_examples(tmp_path, "train"), "ratings_train.txt", where, what)


def test_missing_corpus_file_is_named(tmp_path):
    refused(
        lambda: NsmcCorpus().get_examples(tmp_path, "train"), "ratings_train.txt", "말뭉치 파일이 없습니다"
    )


def test_empty_texts_are_kept_and_counted(tmp_path, messages):
    write(tmp_path, HEADER + "1\t\t1\n2\t  \t0\n3\t좋다\t1\n")
    assert len(NsmcCorpus().get_examples(tmp_path, "train")) == 3
    assert any(":2: 글이 비어 있는 줄이 2개" in text for text in messages())


def test_missing_validation_file_falls_back_to_the_test_file_and_says_so(tmp_path, messages):
    write(tmp_path, HEADER + "1\t좋다\t1\n", "ratings_test.txt")
    assert len(NsmcCorpus().get_examples(tmp_path, "val")) == 1
    assert any("시험 파일로 검증합니다" in text for text in messages())


def test_unusual_line_separators_do_not_break_lines(tmp_path):
    path = write(
        tmp_path, "\ufeff" + HEADER.replace("\n", "\r\n") + "1\t줄\u2028바꿈\x85과\x0b세로탭\t1\r\n2\t좋다\t0"
    )
    assert [number for number, _ in read_tsv(path, ["document"])] == [2, 3]


def test_folder_in_place_of_a_file_is_one_sentence(tmp_path):
    (tmp_path / "ratings_train.txt").mkdir()
    refused(lambda: NsmcCorpus().get_examples(tmp_path, "train"), "파일을 읽지 못했습니다")


# 말뭉치 클래스


class Corpus:
    num_labels = 2

    def get_labels(self):
        return ["가", "나"]

    def get_examples(self, data_root_path, mode):
        return [ClassificationExample("글", None, "가")]


def dataset(train_args, tokenizer, corpus, mode="train"):
    return ClassificationDataset(train_args(), tokenizer, corpus, mode)


def without(name):
    return type(
        "Mine",
        (),
        {
            key: value
            for key, value in vars(Corpus).items()
            if key in {"num_labels", "get_labels", "get_examples"} - {name}
        },
    )()


@pytest.mark.parametrize("name", ["get_labels", "get_examples", "num_labels"])
def test_corpus_class_without_a_part_is_told_what_to_write(train_args, mini_tokenizer, name):
    refused(lambda: dataset(train_args, mini_tokenizer, without(name)), "Mine", name)


def corpus_with(**changes):
    return type("Mine", (Corpus,), changes)()


@pytest.mark.parametrize(
    ("corpus", "what"),
    [
        (Corpus, "Corpus()처럼 객체로"),
        (corpus_with(num_labels=3), "num_labels"),
        (corpus_with(get_labels=lambda self: ["가", "가"]), "서로 다른 레이블"),
        (corpus_with(get_examples=lambda self, root, mode: []), "예시가 하나도 없습니다"),
        (
            corpus_with(get_examples=lambda self, root, mode: [ClassificationExample("글", None, "다")]),
            "1번째 예시: 모르는 레이블 '다'",
        ),
        (
            corpus_with(
                get_examples=lambda self, root, mode: [ClassificationExample("글", None, "가"), ("글", "가")]
            ),
            "2번째 예시에 text_a",
        ),
        (
            corpus_with(get_examples=lambda self, root, mode: [ClassificationExample(None, None, "가")]),
            "text_a는 문자열",
        ),
        (
            corpus_with(
                get_examples=lambda self, root, mode: [
                    ClassificationExample("가", "나", "가"),
                    ClassificationExample("가", None, "가"),
                ]
            ),
            "2번째 예시",
        ),
        (corpus_with(num_labels=1, get_labels=lambda self: ["가"]), "분류할 것이 없습니다"),
    ],
)
def test_wrong_corpus_class_is_told_what_to_fix(train_args, mini_tokenizer, corpus, what):
    refused(lambda: dataset(train_args, mini_tokenizer, corpus), what)


def test_unknown_mode_is_refused(train_args, mini_tokenizer):
    refused(lambda: dataset(train_args, mini_tokenizer, Corpus(), "dev"), "mode='dev'", "train, val, test")


# 설정


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": -1e-5},
        {"learning_rate": 0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"learning_rate": "빠르게"},
        {"epochs": 0},
        {"epochs": 1.5},
        {"batch_size": -1},
        {"batch_size": True},
        {"max_seq_length": 2},
        {"cpu_workers": -1},
        {"save_top_k": -2},
        {"seed": -1},
        {"tpu_cores": -1},
        {"monitor": "min val_f1"},
        {"monitor": "val_loss"},
        {"monitor": "lowest val_loss"},
        {"precision": "fp8"},
        {"accelerator": "npu"},
        {"devices": "zero"},
        {"devices": 0},
        {"fp16": True, "precision": "bf16"},
        {"lr_scheduler": "step"},
        {"warmup_ratio": 1.0, "lr_scheduler": "linear"},
        {"warmup_ratio": 0.1},
        {"weight_decay": -1},
        {"gradient_clip_val": 0},
        {"checkpoint_seconds": 0},
        {"checkpoint_steps": 0},
        {"pretrained_model_name": ""},
        {"log_every_n_steps": 0},
        {"pretrained_model_name": "nlpbook-mini", "max_seq_length": 257},
    ],
    ids=str,
)
def test_bad_training_argument_is_refused_when_the_object_is_made(values):
    refused(
        lambda: ClassificationTrainArguments(**values),
        next(name for name in values if name in {"max_seq_length", *values})
        if "max_seq_length" not in values
        else "max_seq_length",
    )


def test_book_defaults_are_kept():
    args = TrainArguments()
    expected = {
        "pretrained_model_name": "beomi/kcbert-base",
        "downstream_task_name": "document-classification",
        "max_seq_length": 128,
        "save_top_k": 1,
        "monitor": "min val_loss",
        "seed": None,
        "overwrite_cache": False,
        "force_download": False,
        "test_mode": False,
        "learning_rate": 5e-5,
        "epochs": 3,
        "batch_size": 32,
        "fp16": False,
        "tpu_cores": 0,
    }
    assert {name: getattr(args, name) for name in expected} == expected


def test_corpora_lie_in_content_on_colab(monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    assert TrainArguments().downstream_corpus_root_dir == "/content/Korpora"


def test_max_seq_length_over_the_positions_of_a_loaded_model_is_refused(train_args):
    from transformers import BertConfig, BertForSequenceClassification

    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=100,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            max_position_embeddings=16,
        )
    )
    refused(lambda: ClassificationTask(model, train_args()), "max_seq_length=32", "16 이하로")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"epochs": 1,}', ["args.json:1", "JSON"]),
        ('{"epoch": 1}', ["모르는 설정 'epoch'"]),
        ("[1]", ["JSON이어야"]),
        ('{"epochs": 0}', ["epochs=0"]),
    ],
)
def test_bad_json_arguments_are_one_sentence(tmp_path, text, words):
    path = write(tmp_path, text, "args.json")
    refused(lambda: load_arguments(TrainArguments, path), *words)


def test_missing_json_file_is_one_sentence(tmp_path):
    refused(lambda: load_arguments(TrainArguments, tmp_path / "none.json"), "설정 파일이 없습니다")


# 모델


def test_unknown_hub_name_or_no_network_is_one_sentence(train_args):
    refused(
        lambda: load_tokenizer(train_args(pretrained_model_name="nobody/no-such-model")),
        "모델을 찾지 못했습니다",
        "nlpbook-mini",
    )


def test_missing_model_folder_is_one_sentence(train_args):
    refused(
        lambda: load_tokenizer(train_args(pretrained_model_name="./no-such-folder")), "모델 폴더가 없습니다"
    )


def test_folder_without_weights_needs_from_scratch(train_args):
    from transformers import AutoModelForSequenceClassification

    refused(
        lambda: load_model(AutoModelForSequenceClassification, train_args(from_scratch=False)),
        "가중치 파일이 없는",
        "from_scratch",
    )


def test_broken_model_config_is_one_sentence(train_args, tiny_model):
    (tiny_model / "config.json").write_text("{", encoding="utf-8")
    refused(lambda: train_args(), "config.json", "JSON")


def test_tokenizer_of_five_special_tokens_is_refused(train_args, tmp_path):
    """transformers 5는 vocab_file을 조용히 무시하고 다섯 토큰짜리 어휘를 만듭니다."""
    from transformers import BertTokenizer

    tokenizer = BertTokenizer(vocab_file=str(write(tmp_path, "[PAD]\n[UNK]\n", "vocab.txt")))
    refused(lambda: dataset(train_args, tokenizer, Corpus()), "어휘가 5개뿐", "from_pretrained")


def test_mostly_unknown_tokens_are_warned_about(train_args, messages):
    from transformers import BertTokenizer

    english = BertTokenizer(
        vocab={
            token: number
            for number, token in enumerate(
                ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(200))]
            )
        }
    )
    dataset(
        train_args,
        english,
        corpus_with(
            get_examples=lambda self, root, mode: [ClassificationExample("가 나 다 라 마 바", None, "가")]
        ),
    )
    assert any("[UNK]" in text for text in messages())


# 학습과 추론


@pytest.fixture
def small(train_args, mini_tokenizer):
    return ClassificationDataset(train_args(), mini_tokenizer, NsmcCorpus(), "val")


def make_task(args):
    from transformers import AutoModelForSequenceClassification

    return ClassificationTask(load_model(AutoModelForSequenceClassification, args, num_labels=2), args)


def test_monitor_without_validation_data_is_refused(train_args, small):
    args = train_args()
    refused(
        lambda: get_trainer(args).fit(make_task(args), make_loader(small, args, True)),
        "검증 데이터가 없어",
        "val_dataloaders",
    )


def test_model_folder_of_another_task_is_refused(train_args, small, tmp_path):
    args = train_args()
    Path(args.downstream_model_dir).mkdir()
    write(args.downstream_model_dir, json.dumps({"task": "question-answering"}), "nlpbook.json")
    loader = make_loader(small, args, True)
    refused(lambda: get_trainer(args).fit(make_task(args), loader, loader), "다른 과제(question-answering)")
    refused(
        lambda: ClassificationDeployArguments(downstream_model_dir=args.downstream_model_dir),
        "다른 과제(question-answering)",
    )


def test_deploy_folder_problems_are_one_sentence(tmp_path):
    refused(lambda: ClassificationDeployArguments(), "downstream_model_dir이 비었습니다")
    refused(
        lambda: ClassificationDeployArguments(downstream_model_dir=str(tmp_path / "none")),
        "모델 폴더가 없습니다",
    )
    write(tmp_path, "{", "nlpbook.json")
    refused(
        lambda: ClassificationDeployArguments(downstream_model_dir=str(tmp_path)),
        "nlpbook.json",
        "깨졌습니다",
    )
    (tmp_path / "nlpbook.json").unlink()
    refused(
        lambda: load_classifier(ClassificationDeployArguments(downstream_model_dir=str(tmp_path))),
        "모델 폴더를 읽지 못했습니다",
    )
    refused(
        lambda: (
            ClassificationDeployArguments(
                downstream_model_dir=str(tmp_path)
            ).downstream_model_checkpoint_fpath
        ),
        "체크포인트(.ckpt)가 없습니다",
    )


def test_unusable_device_is_one_sentence(train_args, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    refused(lambda: get_trainer(train_args(accelerator="gpu")), "accelerator='gpu'", "쓸 수 없습니다")


def test_model_folder_that_cannot_be_made_is_one_sentence(train_args, small, tmp_path):
    write(tmp_path, "파일", "in-the-way")
    args = train_args(downstream_model_dir=str(tmp_path / "in-the-way" / "model"))
    loader = make_loader(small, args, True)
    refused(lambda: get_trainer(args).fit(make_task(args), loader, loader), "폴더를 만들 수 없습니다")


@pytest.mark.skipif(
    os.name != "posix" or os.getuid() != 0, reason="다른 사용자가 되어 보려면 root여야 합니다"
)
def test_read_only_cache_folder_is_warned_about_and_training_data_still_comes():
    """root에게는 읽기 전용 폴더가 없으므로 다른 사용자가 되어 시험합니다."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY.format(cache=folder + "/x")],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.strip() == "[0, 1, 2]", done.stderr
    assert "쓰기 권한이 없는 폴더" in done.stderr and "캐시 없이 계속합니다" in done.stderr


AS_NOBODY = """
import os
import numpy as np
from nlpbook_nbs.core.columns import cached_columns
os.setuid(65534)
print(cached_columns({cache!r}, lambda: {{"a": np.arange(3)}})["a"].tolist())
"""


def test_training_on_an_unknown_corpus_is_one_sentence(train_args):
    refused(lambda: train_classifier(train_args(downstream_corpus_name="none-such")), "모르는 말뭉치")
    refused(
        lambda: train_classifier(train_args(downstream_corpus_name=None)),
        "downstream_corpus_name이 비었습니다",
    )
