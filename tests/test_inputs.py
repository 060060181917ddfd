"""파이썬과 셸이 건네는 입력: 갖가지 꼴의 글, 다르게 적힌 레이블과 이름."""

import functools
import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SMALL_BERT
from test_bad_input import refused

import nlpbook_nbs as nlpbook
from nlpbook_nbs.classification import (
    ClassificationDataset,
    ClassificationExample,
    ClassificationTrainArguments,
    NsmcCorpus,
    TextClassifier,
    TsvCorpus,
    train_classifier,
)
from nlpbook_nbs.cli import main
from nlpbook_nbs.core.arguments import DeployArguments, read_json_arguments
from nlpbook_nbs.core.corpora import check_corpus, download
from nlpbook_nbs.core.inputs import answers_in_order, check_texts, given_rows, named_rows, read_inputs
from nlpbook_nbs.core.labels import gather_labels, label_text, model_labels, whole_number
from nlpbook_nbs.core.names import existing_path, twin_hint
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.squad import QAExample, question_columns, read_korquad
from nlpbook_nbs.core.tables import check_label, label_numbers
from nlpbook_nbs.core.text import text_files
from nlpbook_nbs.paircls import KorNLICorpus, read_nli_json
from nlpbook_nbs.qa import QADeployArguments, QuestionAnswerer

NLPBOOK = Path(sys.executable).with_name("nlpbook")
nfd = functools.partial(unicodedata.normalize, "NFD")
POSITIVE = ("긍정", nfd("긍정"), "긍정\u200b", "\ufeff긍정", " 긍정\u00a0")


# 레이블


@pytest.mark.parametrize("spelling", POSITIVE, ids=ascii)
def test_label_in_another_spelling_is_the_same_label_in_every_reader(tmp_path, spelling):
    rows = f"좋다\t{spelling}\n나쁘다\t부정\n좋아\t긍정\n"
    (tmp_path / "train.tsv").write_text("document\tlabel\n" + rows, encoding="utf-8")
    corpus = TsvCorpus(tmp_path)
    assert corpus.get_labels() == ["긍정", "부정"]
    assert [row.label for row in corpus.get_examples("", "train")] == ["긍정", "부정", "긍정"]
    assert check_label(spelling, ["부정", "긍정"], "x") == "긍정"
    examples = [SimpleNamespace(label=spelling), SimpleNamespace(label="부정")]
    assert label_numbers(examples, [nfd("부정"), "긍정"], "x").tolist() == [1, 0]


def test_labels_of_known_corpora_are_compared_normalised(tmp_path):
    (tmp_path / "ratings_train.txt").write_text(
        "id\tdocument\tlabel\n1\t좋다\t1\u200b\n2\t싫다\t1.0\n", encoding="utf-8"
    )
    assert [row.label for row in NsmcCorpus().get_examples(tmp_path, "train")] == ["1", "1"]
    row = {"guid": "1", "premise": "가", "hypothesis": "나", "gold_label": "neutral\ufeff "}
    (tmp_path / "nli.json").write_text(json.dumps([row]), encoding="utf-8")
    assert read_nli_json(tmp_path / "nli.json")[0].label == "neutral"
    text = "sentence1\tsentence2\tgold_label\n가\t나\tneutral\u200b\n"
    (tmp_path / "xnli.dev.ko.tsv").write_text(text, encoding="utf-8")
    assert KorNLICorpus().get_examples(tmp_path, "val")[0].label == "neutral"


class Corpus:
    """사용자가 직접 만든 말뭉치."""

    label_names = None

    def __init__(self, labels, rows):
        self.labels, self.rows = labels, rows

    def get_labels(self):
        return self.labels

    @property
    def num_labels(self):
        return len(self.labels)

    def get_examples(self, data_root_path, mode):
        return [ClassificationExample("글", None, label) for label in self.rows]


def test_corpus_with_two_labels_that_look_the_same_is_told_where_they_differ():
    refused(
        lambda: check_corpus(Corpus(["긍정", nfd("긍정"), "부정"], []), "train"),
        "두 번 나옵니다",
        "U+AE0D",
        "U+1100",
    )


@pytest.mark.parametrize(
    ("labels", "rows", "numbers"),
    [
        (["0", "1"], [np.int64(1), 0, 1.0, np.float32(0), "1", "1.0", True, np.False_, np.str_("1")], "101011101"),
        ([0, 1], ["1", "0", np.int64(1), torch.tensor(0), "0.0"], "10100"),
        (np.array([0, 1]), ["1", 0.0], "10"),
        (["False", "True"], [True, np.bool_(False), "True", "false"[:0] + "False"], "1010"),
        (["1.0", "2.0"], ["1", 2], "01"),
        (["부정", "긍정"], [np.str_("긍정"), nfd("부정")], "10"),
    ],
)  # fmt: skip
def test_labels_of_other_types_are_taken_for_what_they_are(train_args, mini_tokenizer, labels, rows, numbers):
    data = ClassificationDataset(train_args(), mini_tokenizer, Corpus(labels, rows), "train")
    assert "".join(map(str, data.columns["label"])) == numbers
    assert data.label_names == [label_text(label, "") for label in labels]


@pytest.mark.parametrize(
    "wrong", [1.5, "1.5", None, float("nan"), "", " \u200b", ["1"], b"1", np.float64(0.5)], ids=repr
)
def test_label_that_is_no_class_is_refused_with_its_place(wrong):
    rows = [SimpleNamespace(label="0"), SimpleNamespace(label=wrong)]
    refused(lambda: label_numbers(rows, ["0", "1"], "MyCorpus train"), "MyCorpus train 2번째 예시")


def test_codes_with_leading_zeros_stay_apart_and_numbers_written_twice_do_not():
    assert gather_labels((label, "") for label in ["1", "01", "001"]) == ["001", "01", "1"]
    assert gather_labels((label, "") for label in ["1", "1.0", 1, 0, "0"]) == ["0", "1"]


def test_model_labels_are_normalised_and_look_alikes_are_refused(tiny_model, mini_tokenizer):
    from transformers import BertConfig, BertForSequenceClassification

    def classifier(*names):
        config = BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT, id2label=dict(enumerate(names)))
        return TextClassifier(BertForSequenceClassification(config), mini_tokenizer, 32)

    assert set(classifier(nfd("부정"), "긍정\u200b")("좋다")["scores"]) == {"부정", "긍정"}
    refused(lambda: classifier("긍정", nfd("긍정")), "id2label", "U+1100")
    assert model_labels(SimpleNamespace(num_labels=2, id2label={1: "가"})) == ["LABEL_0", "가"]


def test_going_on_with_labels_in_another_spelling_keeps_the_head(
    train_args, tmp_path, messages, mini_tokenizer
):
    from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

    from nlpbook_nbs.core.models import load_model

    names = {0: nfd("부정"), 1: nfd("긍정")}
    config = BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT, id2label=names)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "old")
    args = train_args(pretrained_model_name=str(tmp_path / "old"), from_scratch=False)
    load_model(AutoModelForSequenceClassification, args, id2label={0: "부정", 1: "긍정"})
    assert not any("출력층은 무작위" in text for text in messages())


@pytest.mark.parametrize(
    ("name", "known", "codes"),
    [
        ("l\u0430bel", "label", ("U+0430", "U+0061")),
        ("Label", "label", ("U+004C", "U+006C")),
        ("가\u318d나", "가\u00b7나", ("U+318D", "U+00B7")),
        ("１", "1", ("U+FF11", "U+0031")),
        ("\u0430", "a", ("U+0430", "U+0061")),
        ("\u3163", "l", ("U+3163", "U+006C")),
    ],
)
def test_names_that_look_alike_are_told_apart_by_code_point(tmp_path, name, known, codes):
    hint = twin_hint(name, ["document", known])
    assert all(code in hint for code in codes)
    refused(lambda: check_label(name, [known, "나"], "x:1"), "모르는 레이블", *codes)
    (tmp_path / "train.tsv").write_text(f"document\t{name}\n가\t나\n", encoding="utf-8")
    if known == "label":
        refused(TsvCorpus(tmp_path).get_labels, "train.tsv:1", "'label' 열이 없습니다", *codes)


def test_other_names_bring_no_hint():
    assert (
        twin_hint("품칠", ["품질", "배송"])
        == twin_hint("중립", ["긍정", "부정"])
        == twin_hint("", ["가"])
        == ""
    )


@pytest.mark.parametrize("header", [" label ", "label\u200b", "\ufefflabel", nfd("레이블")], ids=ascii)
def test_column_names_are_compared_normalised(tmp_path, header, monkeypatch):
    if "label" not in header:
        monkeypatch.setattr(TsvCorpus, "columns", ("document", "레이블"))
    text = f"\ufeffdocument \t{header}\n가\t나\n다\t라\n"
    (tmp_path / "train.tsv").write_text(text, encoding="utf-8")
    assert TsvCorpus(tmp_path).get_labels() == ["나", "라"]


# 폴더와 파일의 이름


def test_folder_of_a_corpus_in_the_other_normalisation_is_found(tmp_path, train_args):
    folder = tmp_path / nfd("말뭉치들") / nfd("내 리뷰")
    folder.mkdir(parents=True)
    for name in ("train", "val"):
        (folder / f"{name}.tsv").write_text("document\tlabel\n좋다\t가\n싫다\t나\n" * 1, encoding="utf-8")
    root = str(tmp_path / "말뭉치들")
    assert download("내 리뷰", root) == folder
    args = train_args(downstream_corpus_name="내 리뷰", downstream_corpus_root_dir=root)
    assert train_classifier(args)["test_examples"] == 2
    assert Path(root).exists() is False


def test_model_folder_and_settings_file_in_the_other_normalisation_are_found(tmp_path, train_args):
    train_classifier(train_args(downstream_model_dir=str(tmp_path / nfd("나의 모델"))))
    assert nlpbook.load(tmp_path / "나의 모델")("좋다")["label"] in {"부정", "긍정"}
    assert DeployArguments(downstream_model_dir=str(tmp_path / "나의 모델")).max_seq_length == 32
    (tmp_path / nfd("설정.json")).write_text('{"epochs": 2}', encoding="utf-8")
    assert read_json_arguments(ClassificationTrainArguments, tmp_path / "설정.json") == {"epochs": 2}


def test_text_files_and_patterns_in_either_normalisation_are_all_found(tmp_path):
    folder = tmp_path / nfd("글")
    folder.mkdir()
    for name in ("리뷰1.txt", nfd("리뷰2.txt"), "소설.txt"):
        (folder / name).write_text("글\n", encoding="utf-8")
    assert len(text_files(tmp_path / "글")) == 3
    assert (
        len(text_files(tmp_path / "글" / "리뷰*.txt")) == len(text_files(tmp_path / nfd("글/리뷰*.txt"))) == 2
    )
    assert [path.name for path in text_files(tmp_path / "글" / "리뷰2.txt")] == [nfd("리뷰2.txt")]


def test_exact_name_comes_first_and_two_candidates_are_refused(tmp_path):
    names = ["리뷰", nfd("리뷰"), "리뷰\u200b"]
    for name in names:
        (tmp_path / name).mkdir()
    assert [existing_path(tmp_path / name) for name in names] == [str(tmp_path / name) for name in names]
    refused(lambda: existing_path(tmp_path / " 리뷰"), "리뷰", "하나만 남기세요")
    new = tmp_path / "없는 곳" / "파일"
    assert existing_path(new) == str(new)


def test_name_in_another_case_is_only_hinted_at(tmp_path):
    (tmp_path / "Mine").mkdir()
    (tmp_path / "Mine" / "Train.tsv").write_text("document\tlabel\n", encoding="utf-8")
    refused(lambda: nlpbook.load(tmp_path / "mine"), "모델 폴더가 없습니다", "'Mine'")
    refused(lambda: download("mine", tmp_path), "모르는 말뭉치", "'Mine'")
    refused(TsvCorpus(tmp_path / "Mine").get_labels, "train.tsv", "Train.tsv")


# 글의 꼴


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    from transformers import (
        BertConfig,
        BertForQuestionAnswering,
        BertForSequenceClassification,
        BertTokenizer,
    )

    torch.manual_seed(0)
    tokenizer = BertTokenizer.from_pretrained(nlpbook.resolve_model_name("nlpbook-mini"))
    config = BertConfig(vocab_size=len(tokenizer), **SMALL_BERT, id2label={0: "부정", 1: "긍정"})
    folder = tmp_path_factory.mktemp("model")
    for name, kind in (("doc", BertForSequenceClassification), ("qa", BertForQuestionAnswering)):
        kind(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        (folder / name / "nlpbook.json").write_text('{"max_seq_length": 32}', encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def classify(parts):
    return nlpbook.load(parts / "doc", "doc-cls", max_seq_length=32)


def same(found, wanted):
    assert json.dumps(found, ensure_ascii=False) == json.dumps(wanted, ensure_ascii=False)


def test_every_form_of_one_text_gets_one_answer(classify):
    wanted = classify("정말 재밌어요")
    for form in (
        np.str_("정말 재밌어요"),
        {"text": "정말 재밌어요"},
        {"text": "정말 재밌어요", "text_pair": None},
    ):
        same(classify(form), wanted)
        same(classify.predict(form), wanted)
    same(classify(text="정말 재밌어요"), wanted)
    pair = classify(("앞 문장", "뒤 문장"))
    assert pair["text_a"] == "앞 문장" and pair["text_b"] == "뒤 문장"
    same(classify({"text": "앞 문장", "text_pair": "뒤 문장"}), pair)
    same(classify(text="앞 문장", text_pair="뒤 문장"), pair)


def test_every_form_of_many_texts_gets_their_answers_in_order(classify):
    texts = ["재밌어요", "지루해요", "그저 그래요"]
    wanted = [classify(text) for text in texts]
    forms = [
        texts,
        tuple(texts),
        (text for text in texts),
        iter(texts),
        dict.fromkeys(texts).keys(),
        np.array(texts),
        np.array(texts, dtype=object),
        [{"text": text} for text in texts],
        [texts[0], {"text": texts[1]}, np.str_(texts[2])],
    ]
    for form in forms:
        answers = classify(form)
        assert [row["text"] for row in answers] == texts
        assert [row["label"] for row in answers] == [row["label"] for row in wanted]
    assert classify([]) == [] == classify(iter([]))
    pairs = [("가", "나"), ("다", "라")]
    assert [row["text_b"] for row in classify(tuple(pairs))] == ["나", "라"]
    assert classify.predict.probabilities("재밌어요").shape == (1, 2)


MIXED = ["가", ("나", "다")]
NOT_TEXTS = [
    {"document": ["가"]}, {"text": ["가"]}, {}, {"text": None}, {"text": "가", "label": 1}, None, 3, 1.5, True, b"x",
    float("nan"), {"가", "나"}, object(), range(3), [["가", "나"]], [["가"]], ["가", None], ["가", float("nan")], [b"x"],
    [("가", "나", "다")], [("가", 1)], [()], np.array([["가", "나"]]), np.array([1, 2]), torch.zeros(2), Path("글"), str,
    MIXED, [{"text": "가"}, {"텍스트": "나"}],
]  # fmt: skip


@pytest.mark.parametrize(
    "given", NOT_TEXTS, ids=[f"{i}-{type(each).__name__}" for i, each in enumerate(NOT_TEXTS)]
)
def test_what_is_no_text_is_refused_in_one_sentence_that_shows_the_call(classify, given):
    refused(lambda: classify(given), *(['predict("글")'] if given is not MIXED else ["(앞, 뒤) 쌍"]))
    refused(lambda: classify.predict(given))


@pytest.mark.parametrize("text", ["", "  ", "\u200b\ufeff", "\ud83d", "가\udc00"], ids=ascii)
def test_empty_and_broken_texts_are_refused_with_their_number(classify, text):
    refused(lambda: classify(["좋아요", text]), "2번째 문장")
    refused(lambda: classify(text), "1번째 문장")


def test_unknown_keyword_is_refused(classify):
    refused(lambda: classify("글", truncation=True), "truncation", 'predict("글")')
    refused(lambda: classify(), 'predict("글")')


@pytest.fixture(scope="module")
def answer(parts):
    return nlpbook.load(parts / "qa", "qa", max_seq_length=48)


PASSAGE = "솔내군은 2011년에 별을 보는 천문대를 지었다."


def test_question_and_passage_in_every_form_pipeline_takes_get_one_answer(answer):
    asker = answer.predict.__self__
    assert isinstance(asker, QuestionAnswerer) and isinstance(answer.args, QADeployArguments)
    question = "언제 지었나?"
    wanted = answer((question, PASSAGE))
    assert PASSAGE[wanted["start"] : wanted["end"]] == wanted["answer"]
    for ask in (answer, asker):
        same(ask(question, PASSAGE), wanted)
        same(ask(question=question, context=PASSAGE), wanted)
        same(ask({"question": question, "context": PASSAGE}), wanted)
        same(ask((question, PASSAGE)), wanted)
        same(ask([{"question": question, "context": PASSAGE}]), [wanted])
        same(ask([(question, PASSAGE)]), [wanted])
        same(ask(question=[question] * 2, context=PASSAGE), [wanted] * 2)
        same(ask(question=[question], context=np.array([PASSAGE])), [wanted])
        same(ask(question=question, context=(text for text in [PASSAGE])), [wanted])
    assert answer(question=question, context="")["found"] is False


@pytest.mark.parametrize(
    "ask",
    [
        lambda answer: answer("질문"),
        lambda answer: answer(["질문", "지문"]),
        lambda answer: answer({"question": "질문"}),
        lambda answer: answer({"question": "질문", "text": "지문"}),
        lambda answer: answer(question="질문"),
        lambda answer: answer(question="질문", context=None),
        lambda answer: answer(question="질문", context=3),
        lambda answer: answer(question=["가", "나"], context=["다"]),
        lambda answer: answer([("질문", None)]),
        lambda answer: answer([("", "지문")]),
        lambda answer: answer([("질문", "지\ud800문")]),
        lambda answer: answer(None),
        lambda answer: answer(("가", "나", "다")),
    ],
)
def test_what_is_no_question_with_its_passage_is_refused_in_one_sentence(answer, ask):
    refused(lambda: ask(answer))


def test_three_texts_are_no_pair_but_three_inputs():
    assert given_rows(("가", "나", "다")) == (["가", "나", "다"], False)
    assert named_rows({"text": ["가", "나"]}, ("text", "text_pair")) == (["가", "나"], False)
    assert check_texts("가") == [("가",)]


# 답의 자리의 꼴


@pytest.mark.parametrize("start", [0, 0.0, "0", "0.0"], ids=repr)
def test_answer_positions_of_other_types_are_taken_for_what_they_are(tmp_path, start):
    question = {"id": "1", "question": "무엇?", "answers": [{"text": "달", "answer_start": start}]}
    data = {"data": [{"paragraphs": [{"context": "달은 밝다.", "qas": [question]}]}]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    assert [row.start_position_character for row in read_korquad(path)] == [0]


def test_answer_positions_of_numpy_train_like_integers(mini_tokenizer):
    from nlpbook_nbs.core.windows import WindowEncoder

    encoder = WindowEncoder(
        mini_tokenizer, SimpleNamespace(max_seq_length=32, max_query_length=8, doc_stride=8, threads=1)
    )

    def columns(start):
        return question_columns(encoder, [QAExample("무엇?", "밝은 달이다.", "달", start, "1")])

    for start in (np.int64(3), np.int32(3), 3.0, "3"):
        for name, column in columns(start).items():
            assert np.array_equal(column, columns(3)[name]) and column.dtype == columns(3)[name].dtype
    assert whole_number(np.float64(2.5)) is None


# 명령줄


def run_in(encoding, words, monkeypatch, data=b""):
    """표준 입출력의 인코딩이 `encoding`인 곳에서 실행한 `(종료 코드, 표준 출력, 표준 오류)`."""
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding) for name in ("stdout", "stderr")}
    streams["stdin"] = io.TextIOWrapper(io.BytesIO(data), encoding)
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    try:
        code = main(list(map(str, words)))
    except SystemExit as stop:  # --help
        code = stop.code
    for name in ("stdout", "stderr"):
        streams[name].flush()
    monkeypatch.undo()
    return code, *(streams[name].buffer.getvalue().decode() for name in ("stdout", "stderr"))


@pytest.mark.parametrize("encoding", ["cp949", "ascii"])
def test_emoji_ends_no_run_and_output_is_utf8(parts, encoding, monkeypatch):
    words = ["predict", "doc-cls", "--model_dir", parts / "doc", "재밌다 😀", "둘째 𠮷"]
    code, out, _ = run_in(encoding, words, monkeypatch)
    assert code == 0 and [json.loads(line)["text"] for line in out.splitlines()] == ["재밌다 😀", "둘째 𠮷"]
    code, _, err = run_in(encoding, ["predict", "--model_dir", "없는 폴더 😀", "글"], monkeypatch)
    assert code == 2 and "없는 폴더 😀: 모델 폴더가 없습니다" in err
    code, out, _ = run_in(encoding, ["predict", "doc-cls", "--help"], monkeypatch)
    assert code == 0 and "학습한 모델" in out


def test_korean_and_emoji_pass_through_a_shell_that_knows_only_ascii(parts):
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    folder = parts / nfd("모델")
    folder.symlink_to(parts / "doc")
    words = [NLPBOOK, "predict", "doc-cls", "--model_dir", parts / "모델", "재밌다 😀"]
    done = subprocess.run(words, capture_output=True, check=False, env=os.environ | bare)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout.decode())["text"] == "재밌다 😀"


def test_bad_rows_on_standard_input_are_one_line_each_and_the_others_are_answered(parts, monkeypatch):
    data = (
        "\ufeff좋아요\n".encode()
        + b"\xb0\xa1\n"
        + "\u200b\n".encode()
        + "칸이\t둘\n".encode()
        + b"\xed\xa0\x80\n"
    )
    words = ["predict", "doc-cls", "--model_dir", parts / "doc"]
    code, out, err = run_in("cp949", words, monkeypatch, data + "마지막 😀".encode())
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row.get("text") for row in rows] == ["좋아요", None, None, None, None, "마지막 😀"]
    assert [row["line"] for row in rows if "error" in row] == [2, 3, 4, 5]
    assert "CP949" in rows[1]["error"] and "비었습니다" in rows[2]["error"] and "칸이 2개" in rows[3]["error"]
    assert code == 1 and all("[UNK]" in line for line in err.splitlines())  # 모르는 그림 글자만 알립니다.


@pytest.mark.parametrize(
    "data", ["좋아요\n싫어요\n".encode("utf-16"), "좋아요\r싫어요\r".encode(), "좋아요\r\n싫어요".encode()]
)
def test_standard_input_as_windows_and_macs_write_it_is_read(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert list(read_inputs(("문장",), [])) == ["좋아요", "싫어요"]


def test_closed_standard_input_is_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    refused(lambda: list(read_inputs(("문장",), [])), "표준 입력이 닫혀")


def test_row_the_model_cannot_take_spoils_no_other_row():
    def predict(rows):
        if "나쁨" in rows:
            raise NlpbookError("나쁜 글입니다.")
        return [{"text": row} for row in rows]

    rows = ["가", {"line": 2, "error": "빈 줄입니다."}, "나쁨", "라", "마"]
    found = [answer for answers in answers_in_order(predict, rows, 3) for answer in answers]
    assert found == [
        {"text": "가"},
        rows[1],
        {"line": 3, "error": "나쁜 글입니다."},
        {"text": "라"},
        {"text": "마"},
    ]


def test_exit_code_of_bad_rows_is_told_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "doc-cls", "--help"])
    text = capsys.readouterr().out
    assert '{"line"' in text and "종료 코드가 1" in " ".join(text.split())


def test_two_dashes_end_the_options_in_every_command(parts, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "doc-cls", "--model_dir", str(parts / "doc"), "--", "--no_such", "-글"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == ["--no_such", "-글"]
    assert main(["notebook", "--no_open", "--", "-책"]) == 0 and (tmp_path / "-책").is_dir()
    assert main(["corpora", "--"]) == 0 and main(["progress", "--"]) == 0
    for words in (["download", "--", "--none"], ["train", "--", "none"], ["attack", "--", "none"]):
        capsys.readouterr()
        assert main(words) == 2
        assert "none" in capsys.readouterr().err.splitlines()[-1]
    (tmp_path / "설정.json").write_text('{"epoch": 1}', encoding="utf-8")
    for words in (["train", "doc-cls", "--", "설정.json"], ["pretrain", "model", "--", "설정.json"]):
        assert main(words) == 2
        assert "모르는 설정 'epoch'" in capsys.readouterr().err.splitlines()[-1]


def test_reader_who_leaves_early_hears_no_complaint():
    done = subprocess.run(f"{NLPBOOK} corpora | true", shell=True, capture_output=True, check=False)
    assert not done.stderr


# 윈도우의 경로


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (r'{"downstream_model_dir": "C:\new\table"}', r"C:\new\table"),
        (r'{"downstream_model_dir": "D:\자료\말뭉치", "epochs": 1}', r"D:\자료\말뭉치"),
        (r'{"downstream_model_dir": "C:\\new\\table"}', r"C:\new\table"),
        (r'{"downstream_model_dir": "C:/new/table"}', "C:/new/table"),
    ],
)
def test_windows_paths_in_json_are_read_right(tmp_path, text, path):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    assert (
        read_json_arguments(ClassificationTrainArguments, tmp_path / "a.json")["downstream_model_dir"] == path
    )


@pytest.mark.parametrize(
    "text",
    [
        r'{"downstream_model_dir": "..\models"}',
        r'{"downstream_model_dir": "data\new"}',
        r'{"downstream_model_dir": "\\server\자료"}',
        r'{"downstream_model_dir": "C:\\data\new"}',
        r'{"downstream_model_dir": "C:\data\"}',
    ],
)
def test_other_backslashes_in_json_are_hinted_at(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    refused(lambda: read_json_arguments(ClassificationTrainArguments, tmp_path / "a.json"), "a.json", "/")


def test_settings_saved_by_notepad_are_read(tmp_path):
    for encoding in ("utf-8-sig", "utf-16", "cp949"):
        (tmp_path / "a.json").write_bytes('{"downstream_corpus_name": "내 리뷰"}'.encode(encoding))
        found = read_json_arguments(ClassificationTrainArguments, tmp_path / "a.json")
        assert found == {"downstream_corpus_name": "내 리뷰"}


# 학습 자료 안의 닮은 레이블


@pytest.mark.parametrize("blank", ["\u00a0", "\u3000", "  ", "\t", "\u2009"], ids=ascii)
def test_blanks_inside_a_label_are_one_blank(blank, messages):
    assert gather_labels([(f"매우{blank}좋음", "a:2"), ("매우 좋음", "a:3")]) == ["매우 좋음"]
    assert check_label(f"매우{blank}좋음", ["매우 좋음"], "a:2") == "매우 좋음" and messages() == []


@pytest.mark.parametrize(
    ("a", "b", "code"),
    [("1", "１", "U+FF11"), ("A형", "А형", "U+0410"), ("ㅋ", "ᄏ", "U+110F"), ("good", "Good", "U+0047")],
)
def test_look_alike_labels_stay_apart_and_are_told_once(a, b, code, messages):
    from nlpbook_nbs.core.heads import MultiLabelHead

    for gather in (gather_labels, MultiLabelHead().names):
        before = len(messages())
        assert set(gather([(a, "a:2"), (b, "a:3"), (a, "a:4"), (b, "a:5")])) == {a, b}
        (told,) = messages()[before:]
        assert code in told and "a:" in told


def test_labels_that_only_differ_in_signs_are_not_called_look_alike(messages):
    gather_labels((each, "a:2") for each in ["+1", "-1", "C", "C+", "C++", "상", "중", "하", "é", "e"])
    assert messages() == []


@pytest.mark.parametrize("label", ["nan", "None", "<NA>"])
def test_a_missing_label_saved_as_a_word_is_told_once(label, messages):
    assert label in gather_labels([("긍정", "a:2"), (label, "a:3"), (label, "a:4")])
    (told,) = messages()
    assert "a:3" in told and repr(label) in told and "빈칸" in told


# 쌍과 목록


def test_pair_for_a_model_of_single_texts_is_refused_with_the_right_call(parts, tmp_path):
    (tmp_path / "doc").mkdir()
    for path in (parts / "doc").iterdir():
        (tmp_path / "doc" / path.name).symlink_to(path)
    (tmp_path / "doc" / "nlpbook.json").unlink()
    record = '{"task": "document-classification", "max_seq_length": 32}'
    (tmp_path / "doc" / "nlpbook.json").write_text(record, encoding="utf-8")
    predict = nlpbook.load(tmp_path / "doc")
    refused(lambda: predict(("좋다", "나쁘다")), '["글", "글"]')
    refused(lambda: predict("좋다", "나쁘다"), '["글", "글"]')
    assert [row["text"] for row in predict(["좋다", "나쁘다"])] == ["좋다", "나쁘다"]
    assert predict(("좋다",))["text"] == "좋다" == predict("좋다")["text"]


def test_rows_of_json_are_pairs_where_pairs_are_needed(answer):
    rows = [["비", "온다"], ["가", "나"]]
    assert given_rows(rows, least=2) == ([("비", "온다"), ("가", "나")], False)
    refused(lambda: given_rows([["비", "온다"], ["가"]], least=2), "2번째 입력에 글이 1개")
    refused(lambda: given_rows(rows), "list")
    assert answer([["언제 지었나요?", PASSAGE]]) == answer([("언제 지었나요?", PASSAGE)])


def test_classifier_longer_than_its_model_reads_is_refused():
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(nlpbook.resolve_model_name("nlpbook-mini"))
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **SMALL_BERT))
    most = model.config.max_position_embeddings
    refused(lambda: TextClassifier(model, tokenizer, max_seq_length=most + 1), f"max_seq_length={most + 1}")
    assert TextClassifier(model, tokenizer, max_seq_length=most).max_seq_length == most
