"""3장: 문장 쌍 분류."""

import io
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import write

from nlpbook_nbs.cli import main
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.inputs import read_inputs
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.paircls import (
    NLI_LABELS,
    KlueNLICorpus,
    KorNLICorpus,
    PairTsvCorpus,
    cheap_pair_answers,
    read_nli_json,
    word_overlap,
)

SAMPLE = Path(sample_root(), "klue-nli")


def pair(**changes):
    row = {"guid": "a", "premise": "비가 온다.", "hypothesis": "날이 흐리다.", "gold_label": "neutral"}
    return {name: value for name, value in (row | changes).items() if value is not None}


SIZES = {"klue-nli": (KlueNLICorpus, 1600, 400), "kornli": (KorNLICorpus, 5010, 2490)}


@pytest.mark.parametrize("name", SIZES)
def test_packaged_pairs_are_balanced_and_no_pair_stands_in_two_parts(name):
    corpus, *sizes = SIZES[name]
    parts = [corpus().get_examples(Path(sample_root(), name), mode) for mode in ("train", "val")]
    assert [len(rows) for rows in parts] == sizes
    for rows in parts:
        counts = Counter(row.label for row in rows)
        assert set(counts) == set(NLI_LABELS) and max(counts.values()) - min(counts.values()) <= 2
        assert all(row.text_a.strip() and row.text_b.strip() for row in rows)
    first, second = ({(row.text_a, row.text_b) for row in rows} for rows in parts)
    assert not first & second


def test_packaged_klue_pairs_give_little_away_without_the_premise():
    examples = {mode: KlueNLICorpus().get_examples(SAMPLE, mode) for mode in ("train", "val")}
    found = dict(cheap_pair_answers(examples["train"], examples["val"]))
    answers = found["가설만 · 나이브 베이즈"]
    accuracy = np.mean([answer == row.label for answer, row in zip(answers, examples["val"])])
    assert accuracy < 0.55  # 찍으면 0.33


def written_pairs(folder, **files):
    """`이름.ko.tsv`마다 쌍이 하나인 KorNLI 폴더. 쌍의 전제는 파일의 이름입니다."""
    for name, hypothesis in files.items():
        row = f"{name}\t{hypothesis}\tneutral\n"
        write(folder / f"{name.replace('__', '.')}.ko.tsv", f"sentence1\tsentence2\tgold_label\n{row}")
    return folder


def test_kornli_without_its_train_files_learns_from_the_test_file_and_says_so_once(tmp_path, messages):
    folder, corpus = written_pairs(tmp_path, xnli__dev="가", xnli__test="나"), KorNLICorpus()
    modes = ("train", "val", "test", "train")
    assert [corpus.get_examples(folder, mode)[0].text_b for mode in modes] == ["나", "가", "가", "나"]
    (told,) = [message for message in messages() if "배우고" in message]
    assert "multinli.train.ko.tsv" in told and "xnli.test.ko.tsv" in told and "xnli.dev.ko.tsv" in told


@pytest.mark.parametrize("train", ["multinli__train", "snli_1__0_train"])
def test_kornli_with_a_train_file_reads_every_part_under_its_own_name(tmp_path, messages, train):
    folder = written_pairs(tmp_path, **{train: "다", "xnli__dev": "가", "xnli__test": "나"})
    found = [KorNLICorpus().get_examples(folder, mode) for mode in ("train", "val", "test")]
    assert [row.text_b for (row,) in found] == ["다", "가", "나"] and not messages()


def test_kornli_folder_with_nothing_to_learn_from_names_the_train_file(tmp_path):
    written_pairs(tmp_path, xnli__dev="가")
    with pytest.raises(NlpbookError, match="multinli.train.ko.tsv"):
        KorNLICorpus().get_examples(tmp_path, "train")


@pytest.mark.parametrize(
    "names",
    [("klue_nli_train.json", "klue_nli_dev.json"), ("klue-nli-v1.1_train.json", "klue-nli-v1.1_dev.json")],
)
def test_both_file_names_are_read_and_test_is_dev(tmp_path, names):
    write(tmp_path / names[0], [pair(guid="t")])
    write(tmp_path / names[1], [pair(guid="d", gold_label="entailment")])
    corpus = KlueNLICorpus()
    assert [row.label for row in corpus.get_examples(tmp_path, "train")] == ["neutral"]
    assert corpus.get_examples(tmp_path, "val") == corpus.get_examples(tmp_path, "test")
    assert corpus.get_labels() == ["entailment", "contradiction", "neutral"] and corpus.num_labels == 3


def test_real_nli_files_are_read_whole(real_data):
    assert len(KlueNLICorpus().get_examples(real_data / "klue-nli", "train")) == 1600
    assert len(KlueNLICorpus().get_examples(real_data / "klue-nli", "val")) == 400
    kornli = KorNLICorpus()
    assert len(kornli.get_examples(real_data / "kornli", "val")) == 2490
    assert len(kornli.get_examples(real_data / "kornli", "train")) == 5010


@pytest.mark.parametrize(
    "content, words",
    [
        ([pair(gold_label="maybe")], "모르는 레이블 'maybe'"),
        ([pair(gold_label="entailment", premise=None)], "premise"),
        ([pair(), pair(hypothesis=3, guid="b")], "b에 hypothesis"),
        ([pair(), pair()], "두 번"),
        ({"data": []}, "목록이 아닙니다"),
        ('[{"guid": "a",\n  "premise" }]', r":2: 올바른 JSON이 아닙니다"),
        ("<html><body>404</body></html>", "HTML"),
    ],
)
def test_bad_nli_json_is_one_sentence_with_the_place(tmp_path, content, words):
    with pytest.raises(NlpbookError, match=words) as error:
        read_nli_json(write(tmp_path / "nli.json", content))
    assert "nli.json" in str(error.value)


def test_bad_kornli_label_is_named_by_line(tmp_path):
    write(tmp_path / "xnli.dev.ko.tsv", "sentence1\tsentence2\tgold_label\n가\t나\tneutral\n다\t라\tmaybe\n")
    with pytest.raises(NlpbookError, match=r"xnli\.dev\.ko\.tsv:3: 모르는 레이블 'maybe'"):
        KorNLICorpus().get_examples(tmp_path, "val")


def test_own_pairs_from_tsv(tmp_path):
    write(tmp_path / "train.tsv", "sentence1\tsentence2\tlabel\n가\t나\t같음\n다\t라\t다름\n")
    write(tmp_path / "val.tsv", "sentence1\tsentence2\tlabel\n가\t나\t모름\n")
    corpus = PairTsvCorpus(tmp_path)
    assert corpus.get_labels() == ["같음", "다름"]
    assert corpus.get_examples("", "train")[0].text_b == "나"
    with pytest.raises(NlpbookError, match=r"val\.tsv:2: 모르는 레이블 '모름'"):
        corpus.get_examples("", "val")


def test_overlap_is_the_share_of_the_hypothesis():
    assert word_overlap("개가 고양이를 쫓았다", "개가 고양이를 쫓았다") == 1.0
    assert word_overlap("가나다", "라마바") == 0.0


def test_train_and_predict_pairs_on_the_command_line(
    tmp_path, tiny_model, small_corpora, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    command = ["train", "pair-cls", "--pretrained_model_name", str(tiny_model), "--from_scratch"]
    command += ["--downstream_corpus_name", "klue-nli", "--downstream_corpus_root_dir", small_corpora]
    command += ["--max_seq_length", "48", "--epochs", "1", "--seed", "7", "--downstream_model_dir", "model"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["task"] == "pair-classification" and 0 <= result["val_acc"] <= 1
    predict = ["predict", "pair-cls", "--model_dir", "model"]
    assert main([*predict, "비가 온다.", "날이 맑다.", "눈이 온다.", "겨울이다."]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["text_a"], row["text_b"]) for row in rows] == [
        ("비가 온다.", "날이 맑다."),
        ("눈이 온다.", "겨울이다."),
    ]
    assert {row["label"] for row in rows} <= {"함의", "모순", "중립"}
    assert main([*predict, "비가 온다."]) == 2
    assert "2개씩" in capsys.readouterr().err


def test_pairs_on_standard_input_are_split_by_tab(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("가\t나\n다\t\n".encode())))
    found = list(read_inputs(("전제", "가설"), []))
    assert found[0] == ("가", "나") and found[1]["line"] == 2 and "가설 칸이 비었습니다" in found[1]["error"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("가나\n".encode())))
    (found,) = read_inputs(("전제", "가설"), [])
    assert found["line"] == 1 and "칸이 1개" in found["error"]
