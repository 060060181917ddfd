"""메모리의 표를 말뭉치로: 판다스와 datasets의 표도, 사전의 목록도 파일처럼 학습에 씁니다."""

import numpy as np
import pytest
from test_bad_input import refused

import nlpbook_nbs as nlpbook
from nlpbook_nbs.classification import ClassificationDataset, NsmcCorpus, TextClassifier, train_classifier
from nlpbook_nbs.core.frames import HeldOutCorpus
from nlpbook_nbs.core.recipes import load_recipe

TEXTS = [f"글 {number}" for number in range(40)]
WORDS = ["긍정" if number % 4 else "부정" for number in range(40)]
NUMBERS = [int(number % 4 > 0) for number in range(40)]


def as_records(columns):
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def as_pandas(columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def as_datasets(columns):
    return pytest.importorskip("datasets").Dataset.from_dict(columns)


def as_arrow(columns):
    return pytest.importorskip("pyarrow").table(columns)


KINDS = [dict, as_records, as_pandas, as_datasets, as_arrow]


def read(corpus, mode):
    return [(row.text_a, row.text_b, str(row.label)) for row in corpus.get_examples("", mode)]


@pytest.mark.parametrize("make", KINDS)
def test_one_table_is_split_by_label_with_a_seed_and_says_so(make, messages):
    corpus = nlpbook.corpus_from(make({"text": TEXTS, "label": WORDS}))
    parts = {mode: read(corpus, mode) for mode in ("train", "val", "test")}
    assert sorted(row for rows in parts.values() for row in rows) == sorted(
        (text, None, word) for text, word in zip(TEXTS, WORDS)
    )
    assert {mode: len(rows) for mode, rows in parts.items()} == {"train": 32, "val": 4, "test": 4}
    assert all({row[2] for row in rows} == {"긍정", "부정"} for rows in parts.values())
    assert corpus.get_labels() == corpus.label_names == ["긍정", "부정"] and corpus.num_labels == 2
    assert any("train 32건, val 4건, test 4건" in text and "seed=0" in text for text in messages())
    again = nlpbook.corpus_from(make({"text": TEXTS, "label": WORDS}), seed=0)
    assert read(again, "val") == parts["val"]
    other = nlpbook.corpus_from(make({"text": TEXTS, "label": WORDS}), seed=1, val_share=0.2, test_share=0.3)
    assert len(read(other, "val")) == 8 and len(read(other, "test")) == 12


@pytest.mark.parametrize("make", KINDS)
def test_splits_are_kept_and_a_missing_one_is_replaced_and_told(make, messages):
    table = make({"문장": TEXTS, "짝": TEXTS[::-1], "답": NUMBERS})
    corpus = nlpbook.corpus_from({"train": table, "validation": table}, "문장", "답", "짝")
    for mode in ("train", "val", "test"):
        assert read(corpus, mode)[1] == ("글 1", "글 38", "1") and len(read(corpus, mode)) == 40
    assert any("test이(가) 없어 val" in text for text in messages())


def test_corpus_from_a_table_trains_like_a_corpus_from_files(train_args, mini_tokenizer, tmp_path):
    texts = ["정말 재미있다", "지루하고 아깝다"] * 20
    rows = {"text": texts, "label": ["긍정", "부정"] * 20}
    corpus = nlpbook.corpus_from({"train": rows, "val": rows})
    (tmp_path / "files" / "mine").mkdir(parents=True)
    for name in ("train", "val"):
        lines = "".join(f"{text}\t{label}\n" for text, label in zip(*rows.values()))
        (tmp_path / "files" / "mine" / f"{name}.tsv").write_text(
            "document\tlabel\n" + lines, encoding="utf-8"
        )
    own = train_args(downstream_corpus_name="mine", downstream_corpus_root_dir=str(tmp_path / "files"))
    found = load_recipe("doc-cls").train(train_args(downstream_corpus_name="frame"), corpus=corpus)
    wanted = train_classifier(own)
    same = ("val_loss", "val_acc", "test_loss", "test_acc", "test_examples", "steps")
    assert {name: found[name] for name in same} == {name: wanted[name] for name in same}
    data = ClassificationDataset(train_args(), mini_tokenizer, corpus, "train")
    assert data.columns["label"].tolist() == [0, 1] * 20 and data.label_names == ["긍정", "부정"]


def test_pairs_from_a_table_train(train_args):
    from nlpbook_nbs.paircls import train_pairs

    rows = {"a": ["비가 온다", "해가 뜬다"] * 8, "b": ["날이 흐리다", "밤이다"] * 8, "label": [1.0, 0.0] * 8}
    corpus = nlpbook.corpus_from({"train": rows, "test": rows}, "a", text_pair="b")
    assert corpus.get_labels() == ["0", "1"]
    assert train_pairs(train_args(downstream_corpus_name="frame"), corpus)["test_examples"] == 16


def test_class_labels_bring_their_names_in_their_order():
    datasets = pytest.importorskip("datasets")
    features = {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["부정", "중립", "긍정"]),
    }
    table = datasets.Dataset.from_dict({"text": TEXTS, "label": NUMBERS}, datasets.Features(features))
    corpus = nlpbook.corpus_from(datasets.DatasetDict({"train": table, "test": table, "unsupervised": table}))
    assert corpus.get_labels() == ["부정", "중립", "긍정"]
    assert read(corpus, "train")[:2] == [("글 0", None, "부정"), ("글 1", None, "중립")]
    unknown = datasets.Dataset.from_dict({"text": TEXTS, "label": [-1] * 40}, datasets.Features(features))
    refused(
        lambda: nlpbook.corpus_from({"train": table, "test": unknown}), "test 1번째 줄", "레이블이 비었습니다"
    )


@pytest.mark.parametrize(
    "labels", [NUMBERS, [float(each) for each in NUMBERS], [bool(each) for each in NUMBERS]]
)
def test_number_labels_are_taken_for_what_they_are(labels):
    names = nlpbook.corpus_from({"text": TEXTS, "label": labels}).get_labels()
    assert names == (["False", "True"] if isinstance(labels[0], bool) else ["0", "1"])
    wide = nlpbook.corpus_from({"text": TEXTS, "label": np.arange(40) // 3}).get_labels()
    assert wide == [str(number) for number in range(14)]


@pytest.mark.parametrize("missing", [None, float("nan"), "NA"])
def test_missing_texts_are_counted_and_missing_labels_are_named(missing, messages):
    if missing == "NA":
        missing = pytest.importorskip("pandas").NA
    nlpbook.corpus_from({"text": [*TEXTS[:39], missing], "label": WORDS})
    assert any("40번째 줄" in text and "글이 비어 있는 줄이 1개" in text for text in messages())
    refused(
        lambda: nlpbook.corpus_from({"text": TEXTS, "label": [*WORDS[:2], missing, *WORDS[3:]]}),
        "3번째 줄",
        "레이블이 비었습니다",
    )


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({"Text": TEXTS, "label": WORDS}, "U+0054"),
        ({"text": TEXTS, "text\u200b": TEXTS, "label": WORDS}, "둘 이상"),
        ({"text": TEXTS, "label": WORDS[:3]}, "열의 길이가 서로 다릅니다"),
        ({"text": [1, *TEXTS[1:]], "label": WORDS}, "1번째 줄: 글이 들어갈 자리에 int"),
        ({"text": [["가"], *TEXTS[1:]], "label": WORDS}, "1번째 줄: 글이 들어갈 자리에 list"),
        ({"text": [], "label": []}, "줄이 하나도 없습니다"),
        ({"text": TEXTS[:2], "label": WORDS[:2]}, "나눌 수 없습니다"),
        ({"test": {"text": TEXTS, "label": WORDS}}, "train이 없습니다"),
        ([], "줄이 하나도 없습니다"),
        ([{"text": "가", "label": 1}, {"text": "나"}], "'label' 열이 없습니다"),
        ("train.csv", "str은(는) 표가 아닙니다"),
        (None, "NoneType은(는) 표가 아닙니다"),
        (["가", "나"], "list은(는) 표가 아닙니다"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(data, what):
    refused(lambda: nlpbook.corpus_from(data), what)


def test_score_is_no_class(train_args, mini_tokenizer):
    corpus = nlpbook.corpus_from({"text": TEXTS, "label": [number / 2 for number in range(40)]})
    refused(corpus.get_labels, "레이블일 수 없습니다", "0.5")


@pytest.mark.parametrize("shares", [(0, 0.1), (0.5, 0.5), (0.1, -1), (0.9, 0.2)])
def test_shares_that_leave_a_part_empty_are_refused(shares):
    refused(
        lambda: nlpbook.corpus_from(
            {"text": TEXTS, "label": WORDS}, val_share=shares[0], test_share=shares[1]
        ),
        "0보다 크고",
    )


def test_columns_of_pandas_and_datasets_are_classified_and_tables_are_not(mini_tokenizer):
    from conftest import SMALL_BERT
    from transformers import BertConfig, BertForSequenceClassification

    pandas = pytest.importorskip("pandas")
    model = BertForSequenceClassification(BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT))
    classify = TextClassifier(model, mini_tokenizer, 32)
    frame = pandas.DataFrame({"text": TEXTS, "label": NUMBERS})
    tables = [frame, frame[["text"]]]
    columns = [frame["text"], frame["text"].astype("string"), frame["text"].to_numpy(), pandas.Index(TEXTS)]
    try:
        import datasets
    except ImportError:
        pass
    else:
        tables.append(datasets.Dataset.from_dict({"text": TEXTS}))
        columns.append(tables[-1]["text"])
    for column in columns:
        assert [row["text"] for row in classify(column)] == TEXTS
    for table in tables:
        refused(lambda table=table: classify(table), "표(Data", 'predict(table["열 이름"])')
    refused(lambda: classify(frame["text"].where(frame.index != 3)), "4번째 입력")
    refused(lambda: classify(frame["label"]), "1번째 입력")


def test_root_name_loads_no_pandas():
    import subprocess
    import sys

    code = "import sys, nlpbook_nbs; nlpbook_nbs.corpus_from; print({'pandas', 'datasets', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# 표의 이름, 열의 이름, 정수의 열


def test_names_of_splits_fold_case_and_two_for_one_purpose_are_refused():
    rows = {"text": TEXTS, "label": WORDS}
    corpus = nlpbook.corpus_from({"Train": rows, "Valid": rows, "TEST": rows})
    assert len(corpus.get_examples("", "val")) == 40
    for names in (("validation", "dev"), ("test", "Test"), ("train", "training")):
        refused(lambda names=names: nlpbook.corpus_from({"train": rows} | dict.fromkeys(names, rows)), *names)


def test_records_whose_names_are_spelled_differently_share_a_column():
    import unicodedata

    rows = [
        {"글" if number % 2 else unicodedata.normalize("NFD", "글"): text, "label": word}
        for number, (text, word) in enumerate(zip(TEXTS, WORDS))
    ]
    corpus = nlpbook.corpus_from({"train": rows, "val": rows}, "글")
    assert [row.text_a for row in corpus.get_examples("", "train")] == TEXTS


@pytest.mark.parametrize("make", [dict, as_records, as_pandas])
def test_columns_may_be_named_by_numbers(make):
    corpus = nlpbook.corpus_from(make({0: TEXTS, 1: WORDS}), text=0, label=1)
    assert corpus.get_labels() == ["긍정", "부정"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"text": ["a", "b"]}, "열의 이름은"),
        ({"text": None}, "열의 이름은"),
        ({"label": "text"}, "두 번"),
        ({"text_pair": "text "}, "두 번"),
        ({"val_share": "0.1"}, "val_share='0.1'"),
        ({"test_share": float("nan")}, "test_share=nan"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 1.5}, "seed=1.5"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(options, what):
    refused(lambda: nlpbook.corpus_from({"text": TEXTS, "label": WORDS}, **options), what)


class Featured(dict):
    """`datasets`의 표처럼 열마다의 꼴(`features`)이 있는 표."""

    def __init__(self, columns, **features):
        super().__init__(columns)
        self.features = features


@pytest.mark.parametrize("wrap", ["feature", "list"])
def test_class_names_are_found_inside_lists_and_under_any_spelling(wrap):
    import unicodedata
    from types import SimpleNamespace

    from nlpbook_nbs.core.heads import MultiLabelHead

    kind = SimpleNamespace(names=["욕설", "차별"])
    kind = [kind] if wrap == "list" else SimpleNamespace(feature=kind)
    label = unicodedata.normalize("NFD", "답")
    table = Featured({"text": TEXTS, label: [[0, 1], np.array([1]), []] + [[0]] * 37}, **{label: kind})
    corpus = nlpbook.corpus_from({"train": table, "val": table}, label="답")
    corpus.read_with(MultiLabelHead())
    assert corpus.get_labels() == ["욕설", "차별"]
    rows = corpus.get_examples("", "train")
    assert MultiLabelHead().targets(rows, corpus.get_labels(), "train")[:3].tolist() == [
        [1, 1],
        [0, 1],
        [0, 0],
    ]


def test_arrays_in_a_label_column_are_lists_of_labels():
    from nlpbook_nbs.core.heads import MultiLabelHead

    rows = {"text": TEXTS, "label": [np.array(["욕설", "차별"], object)] * 20 + [np.array([], object)] * 20}
    corpus = nlpbook.corpus_from({"train": rows, "val": rows})
    corpus.read_with(MultiLabelHead())
    assert corpus.get_labels() == ["욕설", "차별"]


def test_labels_are_read_again_when_the_way_of_reading_changes():
    from nlpbook_nbs.core.heads import MultiLabelHead

    corpus = nlpbook.corpus_from({"text": TEXTS, "label": ["욕설,차별", "욕설"] * 20})
    assert corpus.get_labels() == ["욕설", "욕설,차별"]
    corpus.read_with(MultiLabelHead())
    assert corpus.get_labels() == ["욕설", "차별"]


def test_parquet_saved_by_datasets_keeps_the_names_of_its_labels(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    import json

    from nlpbook_nbs.core.sheets import read_sheet

    features = {"label": {"names": ["부정", "긍정"], "_type": "ClassLabel"}}
    table = arrow.table({"text": ["가", "나"], "label": [1, 0]}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    parquet.write_table(table, tmp_path / "train.parquet")
    found = [values for _, values in read_sheet(tmp_path / "train.parquet", ["text", "label"])]
    assert found == [["가", "긍정"], ["나", "부정"]]


def test_held_out_examples_are_learned_from_by_nobody_and_the_test_stays(
    train_args, mini_tokenizer, small_corpora
):
    folder = f"{small_corpora}/nsmc"
    corpus = HeldOutCorpus(NsmcCorpus(), 92)
    parts = {mode: corpus.get_examples(folder, mode) for mode in ("train", "val", "test")}
    assert {mode: len(rows) for mode, rows in parts.items()} == {"train": 700, "val": 92, "test": 200}
    assert parts["train"] + parts["val"] == NsmcCorpus().get_examples(folder, "train")
    assert parts["test"] == NsmcCorpus().get_examples(folder, "test")
    assert corpus.label_names == NsmcCorpus.label_names
    data = [
        ClassificationDataset(train_args(), mini_tokenizer, each, "val") for each in (corpus, NsmcCorpus())
    ]
    assert [len(each) for each in data] == [92, 200], "특징의 캐시도 섞이지 않습니다"


@pytest.mark.parametrize("count", [0, -1, 792, 10_000])
def test_holding_out_nothing_or_everything_is_refused(count, small_corpora):
    refused(
        lambda: HeldOutCorpus(NsmcCorpus(), count).get_examples(f"{small_corpora}/nsmc", "val"),
        "792건",
        "791",
    )
