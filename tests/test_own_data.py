"""자기 자료와 자기 모델로 학습하는 사람이 흔히 겪는 일들."""

import json
import shutil

import pytest
import torch
from test_bad_input import refused
from transformers import AutoModelForSequenceClassification

from nlpbook_nbs.classification import TsvCorpus, load_classifier, train_classifier
from nlpbook_nbs.core.arguments import DeployArguments
from nlpbook_nbs.core.corpora import download, sample_root
from nlpbook_nbs.core.files import read_tsv
from nlpbook_nbs.core.models import load_model
from nlpbook_nbs.core.recipes import load_recipe
from nlpbook_nbs.paircls import PairTsvCorpus

ROWS = ("빨리 왔어요\t배송\n", "색이 달라요\t품질\n", "바꿔 주세요\t교환\n")


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "corpora" / "mine"
    found.mkdir(parents=True)
    for name in ("train", "val", "test"):
        (found / f"{name}.tsv").write_text("document\tlabel\n" + "".join(ROWS) * 4, encoding="utf-8")
    return found


@pytest.fixture
def args(train_args, folder):
    def make(**changes):
        values = {"downstream_corpus_name": "mine", "downstream_corpus_root_dir": str(folder.parent)}
        return train_args(**(values | changes))

    return make


def rewrite(path, old, new, encoding="utf-8"):
    path.write_bytes(path.read_text(encoding="utf-8").replace(old, new, 1).encode(encoding))


def test_empty_label_is_named_with_its_line(folder):
    rewrite(folder / "train.tsv", "색이 달라요\t품질", "색이 달라요\t ")
    refused(TsvCorpus(folder).get_labels, "train.tsv:3", "레이블이 비었습니다")


def test_blanks_around_a_label_make_no_new_label(folder):
    rewrite(folder / "train.tsv", "\t품질\n", "\t품질 \n")
    corpus = TsvCorpus(folder)
    assert corpus.get_labels() == ["교환", "배송", "품질"]
    assert {row.label for row in corpus.get_examples("", "train")} == {"교환", "배송", "품질"}


@pytest.mark.parametrize(("present", "missing"), [("test", "val"), ("val", "test")])
def test_missing_file_is_replaced_by_the_other_and_the_log_says_so_once(folder, messages, present, missing):
    (folder / f"{missing}.tsv").unlink()
    corpus = TsvCorpus(folder)
    for _ in range(2):
        assert len(corpus.get_examples("", missing)) == 12
    assert sum(f"{missing}.tsv이(가) 없어 {present}.tsv" in text for text in messages()) == 1


@pytest.mark.parametrize(
    ("corpus", "columns"), [(TsvCorpus, "document, label"), (PairTsvCorpus, "sentence1, sentence2, label")]
)
def test_missing_files_are_asked_for_by_name_and_column(folder, corpus, columns):
    for path in folder.glob("*.tsv"):
        path.unlink()
    refused(corpus(folder).get_labels, "train.tsv", "파일이 없습니다", columns)


def test_one_label_and_no_row_name_the_file(folder):
    (folder / "train.tsv").write_text("document\tlabel\n좋다\t하나\n", encoding="utf-8")
    refused(TsvCorpus(folder).get_labels, "train.tsv", "1가지뿐")
    (folder / "train.tsv").write_text("document\tlabel\n", encoding="utf-8")
    refused(TsvCorpus(folder).get_labels, "train.tsv", "0가지뿐")


def test_comma_separated_file_is_recognized(folder):
    rewrite(folder / "train.tsv", "document\tlabel", "document,label")
    refused(
        lambda: list(read_tsv(folder / "train.tsv", ["document"])), "train.tsv:1", "CSV", "탭으로 나눈 TSV"
    )


@pytest.mark.parametrize(("encoding", "told"), [("cp949", 1), ("utf-16", 0), ("utf-8-sig", 0)])
def test_encodings_of_spreadsheets_are_read_and_cp949_is_told_once(folder, messages, encoding, told):
    plain = TsvCorpus(folder).get_examples("", "train")
    rewrite(folder / "train.tsv", "", "", encoding)
    corpus = TsvCorpus(folder)
    assert corpus.get_examples("", "train") == corpus.get_examples("", "train") == plain
    assert sum("CP949" in text and "UTF-8로 저장하세요" in text for text in messages()) == told


def test_quotes_added_by_a_spreadsheet_are_taken_off_and_told_once(folder, messages):
    rewrite(folder / "train.tsv", "빨리 왔어요", '"""빨리"" 왔어요"')
    corpus = TsvCorpus(folder)
    for _ in range(2):
        assert corpus.get_examples("", "train")[0].text_a == '"빨리" 왔어요'
    assert sum("큰따옴표를 떼고" in text for text in messages()) == 1


@pytest.mark.parametrize("name", ["../mine", "/etc", "a/../../b", "~/x", "..\\mine", "C:\\x"])
def test_corpus_name_that_leaves_its_folder_is_refused(train_args, tmp_path, name):
    refused(lambda: train_args(downstream_corpus_name=name), "downstream_corpus_name", "밖을 가리킵니다")
    refused(lambda: download(name, tmp_path), "downstream_corpus_name", "밖을 가리킵니다")


def test_folder_in_sight_is_pointed_at(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    refused(lambda: download("mine", tmp_path / "elsewhere"), "mine", "downstream_corpus_root_dir에 .을")


def test_own_data_is_not_downloaded_even_if_forced(folder):
    assert download("mine", folder.parent, force_download=True) == folder


def test_training_tells_how_many_of_each_label_there_are(args, messages):
    result = train_classifier(args())
    assert any("레이블 3개: 교환 4, 배송 4, 품질 4" in text for text in messages())
    assert result["test_examples"] == 12


def test_model_no_better_than_its_commonest_label_is_warned_about(args, messages, folder):
    (folder / "test.tsv").write_text("document\tlabel\n" + ROWS[0] * 6 + ROWS[1] + ROWS[2], encoding="utf-8")
    result = train_classifier(args(learning_rate=1e-9))
    warned = any("거의 배우지 못했으니" in text for text in messages())
    assert warned == (result["test_acc"] <= 0.75) and result["test_acc"] <= 0.75


def test_corpus_object_handed_in_is_used_instead_of_the_one_in_the_settings(args, messages, folder):
    (folder / "train.tsv").write_text("document\tlabel\n" + "".join(ROWS[:2]) * 3, encoding="utf-8")
    (folder / "val.tsv").write_text("document\tlabel\n" + "".join(ROWS[:2]), encoding="utf-8")
    (folder / "test.tsv").write_text("document\tlabel\n" + ROWS[0], encoding="utf-8")
    elsewhere = args(downstream_corpus_name="not-there")
    result = load_recipe("doc-cls").train(elsewhere, corpus=TsvCorpus(folder))
    assert result["test_examples"] == 1 and any("배송 3, 품질 3" in text for text in messages())


@pytest.fixture
def model_dir(args):
    train_classifier(args())
    return args().downstream_model_dir


def test_going_on_from_a_model_with_the_same_labels_keeps_its_classifier(args, model_dir):
    names = {0: "교환", 1: "배송", 2: "품질"}
    loaded = load_model(
        AutoModelForSequenceClassification,
        args(pretrained_model_name=model_dir, from_scratch=False),
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    plain = AutoModelForSequenceClassification.from_pretrained(model_dir)
    assert torch.equal(loaded.classifier.weight, plain.classifier.weight)


@pytest.mark.parametrize("names", [("가", "나", "다"), ("교환", "배송"), ("교환", "배송", "품질", "환불")])
def test_going_on_from_a_model_with_other_labels_starts_a_new_classifier(args, model_dir, messages, names):
    loaded = load_model(
        AutoModelForSequenceClassification,
        args(pretrained_model_name=model_dir, from_scratch=False),
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
    )
    plain = AutoModelForSequenceClassification.from_pretrained(model_dir)
    assert loaded.classifier.weight.shape[0] == len(names)
    rows = min(len(names), 3)
    assert not torch.allclose(loaded.classifier.weight[:rows], plain.classifier.weight[:rows])
    assert torch.equal(
        loaded.bert.embeddings.word_embeddings.weight, plain.bert.embeddings.word_embeddings.weight
    )
    assert any("출력층은 무작위 가중치에서" in text for text in messages())


def deploy(folder):
    return DeployArguments(downstream_model_dir=str(folder))


def test_model_folder_without_its_tokenizer_is_refused(model_dir, tmp_path):
    folder = shutil.copytree(model_dir, tmp_path / "broken")
    for path in (*folder.glob("tokenizer*"), *folder.glob("vocab*")):
        path.unlink()
    refused(lambda: load_classifier(deploy(folder)))


def test_half_copied_weights_are_refused_in_one_sentence(model_dir, tmp_path):
    folder = shutil.copytree(model_dir, tmp_path / "broken")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(lambda: load_classifier(deploy(folder)), "모델 폴더를 읽지 못했습니다")


def test_model_without_a_classifier_is_refused_rather_than_answering_at_random(model_dir, tmp_path):
    folder = shutil.copytree(model_dir, tmp_path / "headless")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertForPreTraining"]}))
    refused(lambda: load_classifier(deploy(folder)), "출력층이 없습니다", "nlpbook train")


def test_resuming_for_fewer_epochs_than_done_is_refused(args):
    train_classifier(args(epochs=2))
    refused(lambda: train_classifier(args(epochs=1, resume=True)), "epochs=1", "2번째 에폭")


def test_sample_folder_still_serves_as_a_corpus_root(train_args):
    assert train_args(downstream_corpus_root_dir=sample_root()).downstream_corpus_name == "nsmc"
