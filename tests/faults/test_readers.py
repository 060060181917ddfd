"""말뭉치를 읽는 함수들에 아무 바이트나 넣어도, 결과이거나 파일을 밝힌 한 문장의 `NlpbookError`뿐입니다."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from soak import SOAK, count, rounds

from nlpbook_nbs.classification import NsmcCorpus, TsvCorpus
from nlpbook_nbs.core.arguments import TrainArguments, read_json_arguments
from nlpbook_nbs.core.files import read_json, read_tsv
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.squad import read_korquad
from nlpbook_nbs.core.text import read_sentences
from nlpbook_nbs.paircls import KlueNLICorpus, KorNLICorpus, PairTsvCorpus

NLI = [{"guid": "1", "premise": "비가 온다.", "hypothesis": "날이 맑다.", "gold_label": "contradiction"}]
QA = {
    "version": "1",
    "data": [
        {
            "title": "달",
            "paragraphs": [
                {
                    "context": "달은 밝다.",
                    "qas": [
                        {"id": "a", "question": "무엇이?", "answers": [{"text": "달", "answer_start": 0}]}
                    ],
                }
            ],
        }
    ],
}
TSV = "document\tlabel\n좋다\t가\n나쁘다\t나\n"
PAIRS = "sentence1\tsentence2\tlabel\n비\t맑음\t가\n눈\t흰색\t나\n"


def examples_of(corpus):
    return lambda path: corpus(path).get_examples(str(path.parent), "train")


READERS = {
    "nsmc": (
        "ratings_train.txt",
        "id\tdocument\tlabel\n1\t좋다\t1\n2\t싫다\t0\n",
        examples_of(lambda path: NsmcCorpus()),
    ),
    "tsv": ("train.tsv", TSV, examples_of(lambda path: TsvCorpus(path.parent))),
    "pair_tsv": ("train.tsv", PAIRS, examples_of(lambda path: PairTsvCorpus(path.parent))),
    "klue_nli": (
        "klue-nli-v1.1_train.json",
        json.dumps(NLI, ensure_ascii=False),
        examples_of(lambda path: KlueNLICorpus()),
    ),
    "kornli": (
        "multinli.train.ko.tsv",
        "sentence1\tsentence2\tgold_label\n비\t맑음\tneutral\n",
        examples_of(lambda path: KorNLICorpus()),
    ),
    "korquad": ("KorQuAD_v1.0_train.json", json.dumps(QA, ensure_ascii=False), read_korquad),
    "sentences": (
        "text.txt",
        "첫 문장.\n둘째 문장.\n\n다음 글.\n",
        lambda path: [row for part in read_sentences(path) for row in part],
    ),
    "tsv_columns": ("any.tsv", TSV, lambda path: list(read_tsv(path, ["document"]))),
    "json": ("any.json", json.dumps(QA), read_json),
    "arguments": (
        "args.json",
        '{"epochs": 3, "seed": 7}',
        lambda path: read_json_arguments(TrainArguments, path),
    ),
}
ODD = st.sampled_from(
    [b"", b"\0", b"\t", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b'""', b"{", b"}", b"[", b"]", b"null", b"-1",
     b"1e999", b"NaN", b"9" * 5000, b"\\ud800", "\u2028".encode(), "가".encode(), "👍🏽".encode(), b"\xc0\x80", b"<!DOCTYPE html>",
     "\u1112\u1161\u11ab".encode(), "\u200b".encode(), "\u3164".encode(), "\u202e".encode(), b"\xed\xa0\xbd", b"\xb0\xa1", b"\\udc00\\ud83d"]
)  # fmt: skip


@st.composite
def mutated(draw, whole):
    """올바른 파일의 여기저기를 지우고 끼워 넣은 바이트."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 0, 0, 0, 1, 1, 2, 8, 10**6])))
        data[start:end] = draw(st.one_of(ODD, st.binary(max_size=6)))
    return bytes(data)


def texts_in(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from texts_in(key)
            yield from texts_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from texts_in(each)
    elif hasattr(value, "__dict__"):
        yield from texts_in(vars(value))


@pytest.mark.parametrize("name", READERS)
def test_reader_gives_a_result_or_one_sentence_that_names_the_file(tmp_path, name):
    file, whole, read = READERS[name]
    path = tmp_path / file

    @settings(
        max_examples=rounds(150, 12_000),
        deadline=None,
        database=None,
        derandomize=not SOAK,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(whole.encode()))
    @example(b"[" * 100_000)
    @example(whole.encode().replace(b"1", b"1" * 5000))
    @example(whole.encode().replace("달".encode(), b"\\ud800"))
    @example(whole.encode().replace(b'"', b'"\\n', 1))
    @example(whole.encode("utf-16"))
    @example(b"")
    def check(data):
        path.write_bytes(data)
        try:
            for text in texts_in(read(path)):
                text.encode("utf-8")
            count("아무렇게나 고친 파일을 읽음")
        except NlpbookError as error:
            assert file in str(error) and "\n" not in str(error), str(error)
            count("아무렇게나 고친 파일을 한 문장으로 거절함")

    check()
