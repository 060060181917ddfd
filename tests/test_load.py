"""저장한 모델은 과제의 이름을 몰라도 열립니다: `nlpbook_nbs.load(폴더)`."""

import json
import shutil

import pytest
from conftest import SMALL_BERT, write
from test_bad_input import refused
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
)

import nlpbook_nbs as nlpbook
from nlpbook_nbs.core.embedding import open_embedder
from nlpbook_nbs.core.folders import resolve_model_name
from nlpbook_nbs.core.indexes import build_index
from nlpbook_nbs.core.recipes import TASKS, load_recipe

PAIR = ("비가 와서 경기가 취소되었다.", "경기는 예정대로 열렸다.")


@pytest.fixture
def saved(tmp_path, mini_tokenizer):
    """모델 클래스와 기록을 받아 모델 폴더를 만드는 함수."""

    def make(cls, **record):
        names = {0: "부정", 1: "긍정"}
        if cls is BertForTokenClassification:
            names = {0: "O", 1: "B-PS", 2: "I-PS"}
        config = BertConfig(
            vocab_size=len(mini_tokenizer), id2label=names, **(SMALL_BERT | {"max_position_embeddings": 160})
        )
        folder = tmp_path / "saved"
        cls(config).save_pretrained(folder)
        mini_tokenizer.save_pretrained(folder)
        if record:
            (folder / "nlpbook.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    return make


@pytest.fixture
def saved_writer(tmp_path):
    """기록을 받아, 글을 쓰는 모델의 폴더를 만드는 함수."""

    def make(**record):
        folder, known = tmp_path / "writer", resolve_model_name("nlpbook-gpt")
        tokenizer = AutoTokenizer.from_pretrained(known)
        sizes = {"vocab_size": len(tokenizer), "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
        GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write(folder / "nlpbook.json", record)
        return folder

    return make


@pytest.mark.parametrize("name", TASKS)
def test_record_of_the_folder_names_the_task(saved, saved_writer, name):
    recipe = load_recipe(name)
    heads = {"qa": BertForQuestionAnswering, "ner": BertForTokenClassification}
    record = {"task": recipe.task_name, "max_seq_length": 48}
    head = heads.get(name, BertForSequenceClassification)
    folder = saved_writer(**record) if name == "generation" else saved(head, **record)
    if name == "search":  # 찾을 글의 색인이 있어야 합니다.
        build_index(folder / "index", ["천문대는 2011년에 지었다."], embedder=open_embedder(str(folder), 48))
    predict = nlpbook.load(folder, **({"seed": 7} if name == "generation" else {}))
    assert predict.recipe is recipe and predict.args.max_seq_length == 48
    found = predict(list(recipe.examples))
    assert len(found) == len(recipe.examples) and all(isinstance(row, dict) for row in found)
    assert predict(recipe.examples[0]) == found[0]


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (BertForSequenceClassification, "doc-cls"),
        (BertForTokenClassification, "ner"),
        (BertForQuestionAnswering, "qa"),
    ],
)
def test_foreign_folder_is_opened_by_its_architecture(saved, cls, name):
    assert nlpbook.load(saved(cls)).recipe is load_recipe(name)


def test_foreign_classifier_of_pairs_is_opened_by_naming_the_task(saved):
    predict = nlpbook.load(saved(BertForSequenceClassification), "pair-cls", max_seq_length=32)
    assert predict.recipe is load_recipe("pair-cls") and predict(PAIR)["text_b"] == PAIR[1]


def test_options_of_the_task_are_passed_on(saved):
    folder = saved(BertForQuestionAnswering)
    predict = nlpbook.load(
        folder, max_seq_length=40, doc_stride=16, n_best_size=3, device="cpu", batch_size=2
    )
    args = predict.args
    assert (args.max_seq_length, args.doc_stride, args.n_best_size, args.batch_size) == (40, 16, 3, 2)
    assert args.device == "cpu"


def test_home_folder_is_expanded(saved, monkeypatch):
    folder = saved(BertForSequenceClassification)
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    assert nlpbook.load(f"~/{folder.name}")("좋아요")["label"] in {"부정", "긍정"}


def test_folder_that_cannot_be_opened_says_why_in_one_sentence(saved, tmp_path):
    refused(lambda: nlpbook.load(tmp_path / "none"), "none", "모델 폴더가 없습니다")
    refused(lambda: nlpbook.load(tmp_path), "config.json이 없습니다", "nlpbook train")
    refused(lambda: nlpbook.load("nlpbook-mini"), "사전학습만 한 모델", "--pretrained_model_name")
    folder = saved(BertForSequenceClassification, task="translation")
    refused(lambda: nlpbook.load(folder), "모르는 과제(translation)", "doc-cls(document-classification)")
    refused(lambda: nlpbook.load(folder, "doc-cls"), "다른 과제(translation)")
    refused(lambda: nlpbook.load(folder, "none"), "모르는 과제", "doc-cls")
    (folder / "nlpbook.json").unlink()
    refused(lambda: nlpbook.load(folder, n_best_size=3), "n_best_size", "문서 분류", "max_seq_length")
    shutil.rmtree(folder)
    refused(lambda: nlpbook.load(saved(BertForMaskedLM)), "사전학습만 한 모델")
    refused(lambda: nlpbook.load(saved(BertForMaskedLM, task="pretraining")), "사전학습만 한 모델")
