"""엑셀, 맥, 윈도우가 쓴 파일: 확실하면 맞게 읽고, 아니면 한 문장으로 알립니다."""

import csv
import io
import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_bad_input import refused

from nlpbook_nbs.classification import NsmcCorpus, TsvCorpus
from nlpbook_nbs.core.files import read_json, read_text, read_tsv
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.sheets import quoted_by_a_program, read_sheet
from nlpbook_nbs.core.text import read_documents
from nlpbook_nbs.paircls import KorNLICorpus, PairTsvCorpus, read_nli_json

ROWS = [
    ("좋아요, 정말", "긍정"),
    ('그는 "최고"라고 했다', "긍정"),
    ('"따옴표로 감싼 리뷰"', "부정"),
    ("첫 줄\n둘째 줄", "부정"),
    ("탭\t이 있는 글", "긍정"),
    ("그냥; 쌍반점 | 막대", "부정"),
    ("쉼표만, 있는 글", "긍정"),
]


def saved(path, rows, header=("document", "label"), encoding="utf-8", **dialect):
    """csv 모듈이 쓰는 그대로의 파일."""
    text = io.StringIO()
    writer = csv.writer(text, **dialect)
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def examples(folder, corpus=TsvCorpus):
    return [(row.text_a, row.label) for row in corpus(folder).get_examples("", "train")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=ascii)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize(
    ("name", "mark"),
    [("train.csv", ","), ("train.csv", ";"), ("train.csv", "\t"), ("train.tsv", "\t"), ("train.tsv", ",")],
)
def test_what_a_csv_writer_wrote_comes_back(tmp_path, encoding, end, quoting, name, mark):
    rows = [(text.replace("\n", end), label) for text, label in ROWS]  # csv 모듈은 제 줄바꿈만 감쌉니다.
    saved(tmp_path / name, rows, encoding=encoding, lineterminator=end, quoting=quoting, delimiter=mark)
    assert examples(tmp_path) == rows


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.text(st.sampled_from('가나 a1",;\t\n|'), min_size=1).filter(str.strip), st.sampled_from("가나")
        ),
        min_size=1,
    ),
    st.sampled_from([",", ";"]),
    st.sampled_from(["\n", "\r\n"]),
)
@example([('"', "가"), ('"""', "나")], ",", "\n")
def test_any_text_comes_back_from_csv(tmp_path_factory, rows, mark, end):
    path = saved(tmp_path_factory.mktemp("csv") / "train.csv", rows, delimiter=mark, lineterminator=end)
    assert [tuple(values) for _, values in read_sheet(path, ["document", "label"])] == rows


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.text(st.sampled_from('가나 ",.'), min_size=1).filter(str.strip), min_size=1, max_size=6))
@example(['"좋다"', '"나쁘다"'])
@example(['"'])
@example(['"좋다', '나쁘다"'])
@example(['""', '"" ""'])
@example(['"정말, 좋다"'])
def test_quotes_a_person_typed_stay_unless_every_quoted_cell_is_as_a_program_writes_it(
    tmp_path_factory, texts
):
    path = tmp_path_factory.mktemp("tsv") / "train.tsv"
    path.write_text("document\tlabel\n" + "".join(f"{text}\t가\n" for text in texts), encoding="utf-8")
    found = [text for _, (text,) in read_sheet(path, ["document"])]
    if not any(text[0] == text[-1] == '"' and '""' in text[1:-1] for text in texts):
        assert found == texts
    else:
        written = io.StringIO()
        csv.writer(written, delimiter="\t", lineterminator="\n").writerows([text] for text in found)
        assert found == texts or [
            line.strip('"') == text.strip('"') for line, text in zip(written.getvalue().split("\n"), texts)
        ]


def test_stray_quotes_in_a_tsv_swallow_no_line(tmp_path):
    text = 'document\tlabel\n"대사가 좋다\t긍정\n음악도 좋다"\t긍정\n"끝이 아쉽다\t부정\n'
    (tmp_path / "train.tsv").write_text(text, encoding="utf-8")
    assert [text for text, _ in examples(tmp_path)] == ['"대사가 좋다', '음악도 좋다"', '"끝이 아쉽다']
    assert not quoted_by_a_program(text)


def test_stray_quote_in_a_csv_is_named_with_its_line(tmp_path):
    (tmp_path / "train.csv").write_text(
        'document,label\n좋다,긍정\n"대사가 좋다,긍정\n"끝이,부정\n', encoding="utf-8"
    )
    refused(lambda: examples(tmp_path), "train.csv:3", "닫히지 않았습니다")
    (tmp_path / "train.csv").write_text('document,label\n"좋다" 정말,긍정\n', encoding="utf-8")
    refused(lambda: examples(tmp_path), "train.csv:2", "닫히지 않았습니다")


def test_doubtful_quotes_are_kept_and_told_in_every_reader(tmp_path, messages):
    text = '"그는 ""최고""라고" 했다\t긍정\n"""좋다"""\t부정\n'
    (tmp_path / "train.tsv").write_text("document\tlabel\n" + text, encoding="utf-8")
    assert examples(tmp_path)[1] == ('"""좋다"""', "부정")
    (tmp_path / "pairs").mkdir()
    text = 'sentence1\tsentence2\tlabel\n"그는 ""최고""라고" 했다\t가\t가\n"""좋다"""\t나\t나\n'
    (tmp_path / "pairs" / "train.tsv").write_text(text, encoding="utf-8")
    PairTsvCorpus(tmp_path / "pairs").get_examples("", "train")
    text = 'sentence1\tsentence2\tgold_label\n"""좋다"""\t나\tneutral\n'
    (tmp_path / "xnli.dev.ko.tsv").write_text(text, encoding="utf-8")
    KorNLICorpus().get_examples(tmp_path, "val")
    row = {"guid": "쌍-1", "premise": '"""좋다"""', "hypothesis": "나", "gold_label": "neutral"}
    (tmp_path / "nli.json").write_text(json.dumps([row]), encoding="utf-8")
    read_nli_json(tmp_path / "nli.json")
    told = [text for text in messages() if "큰따옴표로 감싼 글이 1개" in text]
    assert [
        place in text
        for text, place in zip(told, ("train.tsv:3", "pairs/train.tsv:3", "xnli.dev.ko.tsv:2", "쌍-1"))
    ] == [True] * 4


def test_empty_texts_are_counted_once_in_pairs_and_json_too(tmp_path, messages):
    rows = [
        {"guid": str(n), "premise": "가" if n else "", "hypothesis": " ", "gold_label": "neutral"}
        for n in range(2)
    ]
    (tmp_path / "nli.json").write_text(json.dumps(rows), encoding="utf-8")
    assert len(read_nli_json(tmp_path / "nli.json")) == 2
    assert sum("글이 비어 있는 줄이 2개" in text for text in messages()) == 1


def test_plain_text_quotes_of_known_corpora_are_untouched(tmp_path):
    rows = ['"좋다"', '"""좋다"", 정말"', '"짝이 없다', '""', "끝에\xa0", "ㅋㅋ\u2028줄"]
    text = "id\tdocument\tlabel\n" + "".join(f"{n}\t{row}\t1\n" for n, row in enumerate(rows))
    (tmp_path / "ratings_train.txt").write_text(text, encoding="utf-8")
    assert [row.text_a for row in NsmcCorpus().get_examples(tmp_path, "train")] == rows


def test_official_nsmc_is_read_as_plain_lines_and_tabs(real_data):
    path = real_data / "nsmc" / "ratings_test.txt"
    if not path.is_file():
        pytest.skip("공식 NSMC가 없습니다.")
    plain = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[1:-1]]
    found = NsmcCorpus().get_examples(path.parent, "test")
    assert [[row.text_a, row.label] for row in found] == [row[1:] for row in plain]


@pytest.mark.parametrize(
    "text",
    [
        "document,label\n가,나\n다,라\n\n",
        "document,label\n가,나\n다,라\n\n\r\n  \n",
        "document,label\n가,나\n다,라\n,\n,\n",
        "document,label,\n가,나,\n다,라,\n",
        "document,label\n가,나,,\n다,라\n",
        "sep=,\ndocument,label\n가,나\n다,라",
        '"sep=;"\r\nlabel;document\r\n나;가\r\n라;다\r\n',
        "\ufeffsep=,\r\ndocument,label\r\n가,나\r\n다,라\r\n",
        ",document,label\n0,가,나\n1,다,라\n",
        "label,메모,document\n나,,가\n라,,다\n",
        '"document","label"\n"가","나"\n"다","라"\n',
        "document;label\n가;나\n다;라\n",
        "\ufeffdocument\tlabel\r가\t나\r다\t라\r",
        'document, label\n"가", "나"\n다, 라\n',
        "document|label\n가|나\n다|라\n",
        "document,label\r\r\n가,나\r\r\n다,라\r\r\n",
    ],
    ids=range(16),
)
def test_leftovers_of_spreadsheets_are_passed_over(tmp_path, text):
    (tmp_path / "train.csv").write_bytes(text.encode())
    assert examples(tmp_path) == [("가", "나"), ("다", "라")]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("document,label\n가,나\n\n다,라\n", ":3", "빈 줄"),
        ("document,label\n가,나\n다, 라, 마\n", ":3", "칸이 2개여야 하는데 3개"),
        ("document,label\n가,나\n다\n", ":3", "칸이 2개여야 하는데 1개"),
        ("document,label\n가,나\n다,\n", ":3", "레이블이 비었습니다"),
        ('document,label\n"가\n나",다\n라\n', ":4", "칸이 2개"),
        ("text,label\n가,나\n", ":1", "'document' 열이 없습니다"),
        ("document,label,label\n가,나,다\n", ":1", "'label' 열이 2개"),
        ("", "train.csv", "빈 파일"),
        ("sep=;\n", "train.csv", "빈 파일"),
    ],
)
def test_what_is_not_certain_is_named_with_its_line(tmp_path, text, where, what):
    (tmp_path / "train.csv").write_text(text, encoding="utf-8")
    refused(lambda: examples(tmp_path), "train.csv", where, what)


@pytest.mark.parametrize("name", ["ratings_train.txt", "xnli.dev.ko.tsv"])
def test_closing_blank_line_and_bare_returns_are_read_in_known_corpora_too(tmp_path, name):
    text = "document\tlabel\n가\t1\n다\t0\n\n\r\n"
    for data in (text, text.replace("\r\n", "").replace("\n", "\r"), "\ufeff" + text.replace("\n", "\r\n")):
        (tmp_path / name).write_bytes(data.encode())
        assert [values for _, values in read_tsv(tmp_path / name, ["document", "label"])] == [
            ["가", "1"],
            ["다", "0"],
        ]


# 인코딩


def test_cp949_is_read_only_when_it_is_certain(tmp_path):
    path = tmp_path / "a.txt"
    korean = "영화가 정말 재미있었어요 ㅋㅋㅋ 똠방각하 (2024년)\n음악도 좋다 漢字"
    path.write_bytes(korean.encode("cp949"))
    assert read_text(path) == korean
    broken = "영화가 정말 재미있었어요".encode()
    for data in (
        broken + b"\xb0\xa1",  # UTF-8 뒤에 CP949
        broken[:-1] + b"A",  # 잘린 UTF-8
        "这部电影很好看，我非常喜欢。".encode("gbk"),
        "不好不坏的电影吧，本来期待很高".encode("gbk"),
        "とても面白かったです。日本語の文章".encode("euc-jp"),
        "この映画は面白い".encode("shift-jis"),
        "Ça va très bien, merci à tous".encode("latin-1"),
        bytes(random.Random(0).randbytes(500)),
    ):
        path.write_bytes(data)
        refused(lambda: read_text(path), "a.txt:1", "UTF-8로 저장하세요")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PK\x03\x04\x14\x00\x06\x00\xff\xfe", ".xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", ".xls"),
        (b"\x1f\x8b\x08\x00\xff", "gzip"),
        ("가나".encode("utf-16") + b"\x00", "UTF-16"),
        ("document\t가".encode("utf-16-le") + b"\xff\xd8", "UTF-16"),
        (b"<!doctype html>", "웹 페이지"),
    ],
)
def test_what_is_no_text_file_is_named(tmp_path, data, what):
    (tmp_path / "train.csv").write_bytes(data)
    refused(lambda: examples(tmp_path), "train.csv", what)


def test_json_in_other_encodings_is_read(tmp_path):
    for encoding in ("utf-8-sig", "utf-16", "cp949"):
        (tmp_path / "a.json").write_bytes('{"글": "좋다"}\r\n'.encode(encoding))
        assert read_json(tmp_path / "a.json") == {"글": "좋다"}


# 다른 형식


def test_jsonl_beside_the_rest(tmp_path, messages):
    lines = [
        '{"document": "가", "label": 1}',
        '{"label": 0, "document": null, "id": 3}',
        '{"document": "다", "label": 1.0}',
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    (tmp_path / "val.csv").write_text('document,label\n"가, 나",1\n', encoding="utf-8")
    corpus = TsvCorpus(tmp_path)
    assert corpus.get_labels() == ["0", "1"]
    assert examples(tmp_path) == [("가", "1"), ("", "0"), ("다", "1")]
    assert corpus.get_examples("", "val")[0].text_a == "가, 나"
    assert any("train.jsonl:2" in text and "글이 비어" in text for text in messages())
    (tmp_path / "train.jsonl").write_text("[" + ",\n".join(lines) + "]", encoding="utf-8")
    assert examples(tmp_path)[2] == ("다", "1")


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('{"document": "가", "label": 1}\n{"document": "나"\n', ":2", "JSON"),
        ('{"document": "가", "label": 1}\n\n{"document": "나", "label": 0}\n', ":2", "빈 줄"),
        ('{"document": "가", "label": 1}\n{"document": "나"}\n', ":2", "'label' 열이 없습니다"),
        ('{"document": "가", "label": 1}\n["나", 0]\n', ":2", "꼴의 JSON이 아닙니다"),
        ('{"document": 3, "label": 1}\n{"document": "나", "label": 0}\n', ":1", "글이 들어갈 자리에 int"),
        ('{"document": "가", "label": null}\n', ":1", "레이블이 비었습니다"),
        ('{"document": "가", "label": 1.5}\n', ":1", "레이블일 수 없습니다"),
        ('{"document": "가", "label": ["나"]}\n', ":1", "레이블일 수 없습니다"),
        ('[{"document": "가", "label": 1}, 3]', "2번째 항목", "꼴의 JSON이 아닙니다"),
        ("[" * 100_000, "train.jsonl", "JSON"),
        ('{"document": "가\\ud83d", "label": 1}\n', ":1", "서로게이트"),
    ],
)  # fmt: skip
def test_wrong_line_of_jsonl_is_named(tmp_path, text, where, what):
    (tmp_path / "train.jsonl").write_text(text, encoding="utf-8")
    refused(lambda: examples(tmp_path), "train.jsonl", where, what)


def test_two_formats_side_by_side_are_refused(tmp_path):
    for name in ("train.csv", "train.tsv", "train.jsonl"):
        (tmp_path / name).write_text("document,label\n", encoding="utf-8")
    refused(TsvCorpus(tmp_path).get_labels, "train.tsv, train.csv, train.jsonl", "하나만 남기세요")


def test_parquet_is_read_or_its_reader_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        refused(lambda: examples(tmp_path), "train.parquet", "pip install pyarrow")
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    refused(lambda: examples(tmp_path), "train.parquet", "Parquet으로 읽지 못했습니다")
    table = pyarrow.table({"document": ["가", None], "label": [1.0, 0.0]})
    parquet.write_table(table, tmp_path / "train.parquet")
    assert examples(tmp_path) == [("가", "1"), ("", "0")]


def test_folder_of_spreadsheets_is_told_how_to_save_them(tmp_path):
    (tmp_path / "train.xlsx").touch()
    refused(TsvCorpus(tmp_path).get_labels, "train.tsv", "CSV UTF-8")
    (tmp_path / "train.xlsx").rename(tmp_path / "train.txt")
    refused(TsvCorpus(tmp_path).get_labels, "train.tsv", "이 폴더에 있는 것은 train.txt")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=60), st.sampled_from([".csv", ".tsv", ".jsonl"]))
@example(b'document,label\n"' + b'""' * 3000, ".csv")
def test_any_bytes_give_rows_or_one_sentence(tmp_path_factory, data, end):
    path = tmp_path_factory.mktemp("any") / f"train{end}"
    for head in (b"", b"document,label\n", b"document\tlabel\n", b'{"document": "a", "label": 1}\n'):
        path.write_bytes(head + data)
        try:
            list(read_sheet(path, ["document", "label"]))
        except NlpbookError as error:
            assert path.name in str(error) and "\n" not in str(error)


def test_a_doubtful_quoted_cell_with_a_comma_is_kept_and_told(tmp_path, messages):
    path = tmp_path / "train.tsv"
    path.write_text('document\tlabel\n"배송이, 빨라요"\t좋음\n색이 달라요\t나쁨\n', encoding="utf-8")
    assert examples(tmp_path) == [('"배송이, 빨라요"', "좋음"), ("색이 달라요", "나쁨")]
    assert sum("확실하지 않아" in message for message in messages()) == 1


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=ascii)
def test_lines_of_pretraining_text_end_in_any_way(tmp_path, end):
    path = tmp_path / "글.txt"
    path.write_bytes(end.join(["첫 문장", "둘째 문장", "", "다른 문서", ""]).encode())
    assert read_documents(path) == [["첫 문장", "둘째 문장"], ["다른 문서"]]


@pytest.mark.parametrize("encoding", ["utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"])
def test_a_file_with_a_byte_order_mark_is_read_in_its_own_width(tmp_path, encoding):
    path = tmp_path / "train.csv"
    path.write_bytes("\ufeffdocument,label\n재밌어요 😀,긍정\n지루해요,부정\n".encode(encoding))
    assert examples(tmp_path) == [("재밌어요 😀", "긍정"), ("지루해요", "부정")]
    path.write_bytes(path.read_bytes()[:-1])
    refused(lambda: read_text(path), "train.csv", encoding[:6].upper())


@pytest.mark.parametrize("name", ["train.csv.gz", "train.zip", "자료.tar"])
def test_a_packed_table_is_to_be_unpacked(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    refused(TsvCorpus(tmp_path).get_labels, name, "압축을 푸세요")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 442000000\n"


def test_a_table_that_is_a_git_lfs_pointer_is_one_sentence(tmp_path):
    (tmp_path / "train.csv").write_bytes(POINTER)
    refused(TsvCorpus(tmp_path).get_labels, "train.csv", "git lfs pull")
