"""나란히 재는 도구(`tools/reference.py`)와 그 결과를 읽고 적는 것들."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL_BERT, write
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import reference
import results
from reference_tables import rank_correlation

from nlpbook_nbs.classification import ClassificationExample
from nlpbook_nbs.core import baselines
from nlpbook_nbs.core.baselines import Difference, Recorded, difference, recorded
from nlpbook_nbs.core.settings import NlpbookError

GOOD, BAD = ("정말 재밌고 감동이었다", "배우들이 최고였다"), ("너무 지루했다", "시간이 아깝다")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, mini_tokenizer):
    """가중치가 무작위인 아주 작은 모델의 폴더."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("encoder")
    mini_tokenizer.save_pretrained(folder)
    BertModel(BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT)).save_pretrained(folder)
    return folder


@pytest.fixture
def reviews(tmp_path):
    """리뷰 몇 건짜리 말뭉치들의 폴더."""
    for mode, count in (("train", 12), ("test", 6)):
        lines = [f"{n}\t{(GOOD if n % 2 else BAD)[n // 2 % 2]} {n}\t{n % 2}" for n in range(count)]
        folder = tmp_path / "data" / "nsmc"
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / f"ratings_{mode}.txt", "\n".join(["id\tdocument\tlabel", *lines]) + "\n")
    return tmp_path / "data"


@pytest.fixture
def measure(tmp_path, encoder, monkeypatch):
    """도구를 부르고 `(결과 사전, 이번에 가르친 모델의 수)`를 돌려주는 함수."""
    taught = []
    answers = reference.Measurement.answers
    monkeypatch.setattr(
        reference.Measurement, "answers", lambda self, args: taught.append(args.seed) or answers(self, args)
    )

    def run(name, data, *words):
        taught.clear()
        places = [name, str(data), str(tmp_path / "work"), "--results", str(tmp_path / "results")]
        short = ["--models", "small", "--small", str(encoder), "--max_seq_length", "32", "--epochs", "1"]
        reference.main([*places, *short, *words])
        return json.loads((tmp_path / "results" / f"{name}.json").read_text(encoding="utf-8")), list(taught)

    return run


def rows_of(record):
    return {row["method"]: row for row in record["rows"]}


def test_second_call_measures_only_what_is_missing(measure, reviews, tmp_path):
    record, taught = measure("nsmc", reviews, "--seeds", "7")
    assert taught == [7] and rows_of(record)["nlpbook-small"]["seeds"] == [7]
    again, taught = measure("nsmc", reviews, "--seeds", "7,8")
    assert taught == [8] and rows_of(again)["nlpbook-small"]["seeds"] == [7, 8]
    first, both = (rows_of(each)["nlpbook-small"]["scores"]["정확도"] for each in (record, again))
    assert both[0] == first[0] and len(both) == 2
    runs = tmp_path / "work" / "nsmc.jsonl"
    runs.write_text(runs.read_text(encoding="utf-8")[:-9], encoding="utf-8")  # 쓰다가 죽었습니다.
    third, taught = measure("nsmc", reviews, "--seeds", "7,8")
    assert taught == [8] and rows_of(third)["nlpbook-small"]["scores"] == {"정확도": both}
    assert not list((tmp_path / "work" / "models").iterdir())


def test_table_holds_the_latest_settings_and_not_another_corpus(measure, reviews):
    measure("nsmc", reviews, "--seeds", "7,8")
    record, taught = measure("nsmc", reviews, "--seeds", "7", "--learning_rate", "0.01")
    row = rows_of(record)["nlpbook-small"]
    assert taught == [7] and row["seeds"] == [7] and row["settings"]["learning_rate"] == 0.01
    path = reviews / "nsmc" / "ratings_test.txt"
    write(path, path.read_text(encoding="utf-8").replace("지루", "따분"))
    _, taught = measure("nsmc", reviews, "--seeds", "7", "--learning_rate", "0.01")
    assert taught == [7]


def test_fewer_examples_are_told_and_counting_reads_them_all_too(measure, reviews):
    record, _ = measure("nsmc", reviews, "--seeds", "7", "--max_train_samples", "4")
    rows = rows_of(record)
    assert rows["nlpbook-small"]["train"] == 4 and rows["글자 조각 · 나이브 베이즈"]["train"] == 4
    assert rows["글자 조각 · 나이브 베이즈 (12건)"]["train"] == 12 and "가장 많은 레이블 (12건)" not in rows
    assert [each["tested"] for each in record["differences"]] == ["시험 리뷰 6건"] * 2
    (command,) = record["commands"]
    assert command == (
        "python tools/reference.py nsmc 말뭉치폴더 작업폴더 --max_train_samples 4 --models small --seeds 7 "
        "--max_seq_length 32 --epochs 1"
    )
    assert str(reviews) not in json.dumps(record) and record["sizes"]["all"] == 12


def test_reader_stands_beside_methods_that_need_no_model(measure, tmp_path):
    passages = [
        ("솔내군 도서관은 1998년 5월에 문을 열었다.", "도서관은 언제 문을 열었나?", "1998년 5월"),
        ("가람시 박물관은 2003년 9월에 세워졌다.", "박물관은 언제 세워졌나?", "2003년 9월"),
    ]
    folder = tmp_path / "data" / "korquad-v1"
    folder.mkdir(parents=True)
    for mode, count in (("train", 2), ("dev", 1)):
        paragraphs = [
            {
                "context": text,
                "qas": [
                    {"id": str(n), "question": asked, "answers": [{"text": a, "answer_start": text.index(a)}]}
                ],
            }
            for n, (text, asked, a) in enumerate(passages[:count])
        ]
        write(
            folder / f"KorQuAD_v1.0_{mode}.json",
            {"version": "1", "data": [{"title": "글", "paragraphs": paragraphs}]},
        )
    words = ("--seeds", "7", "--max_query_length", "12", "--doc_stride", "8", "--max_train_samples", "1")
    record, _ = measure("sample-qa", tmp_path / "data", *words)
    rows = rows_of(record)
    assert record["what"] == "F1" and list(rows)[:2] == ["늘 같은 자리", "질문에 가까운 어절"]
    assert 80 < rows["늘 같은 자리"]["scores"]["F1"][0] <= 100 and "nlpbook-small" in rows
    table = Recorded(record)
    assert table.table()[0] == ["방법", "F1", "EM", "배운 예시", "초"] and table.best_cheap in str(
        table.verdict
    )


def test_scores_that_are_not_means_are_resampled_by_pair(measure, tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "DRAWS", 100)
    folder = tmp_path / "data" / "korsts"
    folder.mkdir(parents=True)
    lines = [f"g\tf\ty\t{n}\t{n % 6}\t{'가나다라마바'[: n % 6 + 1]}\t가나다라마바사{n}" for n in range(18)]
    for mode in ("train", "dev", "test"):
        head = "genre\tfilename\tyear\tid\tscore\tsentence1\tsentence2"
        write(folder / f"sts-{mode}.tsv", "\n".join([head, *lines]) + "\n")
    record, _ = measure("korsts", tmp_path / "data", "--seeds", "7")
    scores = {name: row["scores"]["스피어만"][0] for name, row in rows_of(record).items()}
    assert scores["낱말의 겹침"] > 0.9 and scores["늘 평균"] == 0
    (found,) = record["differences"]
    assert found["mean"] == pytest.approx(scores["nlpbook-small"] - scores["낱말의 겹침"], abs=1e-3)
    assert found["low"] <= found["mean"] <= found["high"]


def test_rank_correlation_of_one_and_the_same_answer_is_zero():
    rows = [ClassificationExample("가", "나", float(n)) for n in range(4)]
    assert rank_correlation(rows, np.ones(4)) == 0
    assert rank_correlation(rows, np.array([3.0, 2.0, 1.0, 0.0])) == pytest.approx(-1)


def test_cheap_methods_alone_make_a_table_that_claims_nothing_about_a_model(measure, reviews):
    record, taught = measure("nsmc", reviews, "--models", "")
    assert not taught and all(row["cheap"] for row in record["rows"]) and record["differences"] == []
    assert "잰 모델이 없어" in Recorded(record).verdict


def test_wrong_words_end_in_one_sentence(measure, reviews):
    with pytest.raises(SystemExit, match="모르는 모델입니다"):
        measure("nsmc", reviews, "--models", "big")
    with pytest.raises(SystemExit, match="말뭉치들의 폴더를 적으세요"):
        reference.main(["nsmc"])


# 한 줄의 말

SCORES = st.floats(-1, 1, allow_nan=False)


@given(SCORES, SCORES, SCORES, st.sampled_from([1, 3]))
def test_no_sentence_contradicts_its_figures(one, two, three, digits):
    low, mean, high = sorted((one, two, three))
    text = str(Difference("모델", "세기", mean, low, high, "시험 리뷰 9건", digits))
    numbers = [float(each) for each in re.findall(r"[-+]?\d+\.\d+", text)]
    gap, start, end = numbers
    assert start <= end and not re.search(r"-0\.0+(?!\d)", text)
    if "높고" in text:
        assert low > 0 and start > 0 and gap > 0
    elif "낮고" in text:
        assert high < 0 and start > 0 and gap > 0
    else:
        assert "구별할 수 없습니다" in text and start <= 0 <= end


@pytest.mark.parametrize(
    ("right", "word"),
    [([1] * 90 + [0] * 10, "높고"), ([0] * 100, "낮고"), ([1, 0] * 50, "구별할 수 없습니다")],
)
def test_win_loss_and_tie_are_told_apart(right, word):
    other = [0, 1] * 50
    assert word in str(difference("모델", "세기", right, other, "시험 리뷰 100건"))


def test_scores_of_different_questions_are_not_paired():
    with pytest.raises(NlpbookError, match="같은 문항에서 재세요"):
        difference("모델", "세기", [1, 0], [1], "시험 리뷰 2건")


# 담아 둔 결과와 문서


@pytest.mark.parametrize("path", sorted(baselines.RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_results_open_and_say_what_they_are_worth(path):
    found = recorded(path.stem)
    assert found.best_cheap and len(found.scores) == len(found.record["rows"])
    assert all(found.mean(found.best_cheap) >= found.mean(name) for name in found.cheap)
    for each in found.record["differences"]:
        means = {row["method"]: np.mean(row["scores"][found.what]) for row in found.record["rows"]}
        gap = means[each["model"]] - means[each["cheap"]]
        assert each["mean"] == pytest.approx(gap, abs=2 * 10**-found.digits)
        assert str(Difference(**each)) in found.verdict
    assert "<table>" in found._repr_html_() and found.source in str(found)


def test_result_that_was_never_measured_is_told_in_one_sentence():
    with pytest.raises(NlpbookError, match="없는 것.*재어 둔 결과가 없습니다"):
        recorded("없는 것")


def test_pages_are_what_the_tool_writes(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["results.py", "--check"])
    assert results.main() == 0, capsys.readouterr().out


def test_page_takes_the_recorded_table_and_leaves_the_rest(tmp_path, monkeypatch):
    record = {
        "title": "리뷰",
        "what": "정확도",
        "digits": 3,
        "day": "2026-01-01",
        "versions": {"torch": "2"},
        "cores": 2,
        "rows": [
            {
                "method": "세기",
                "cheap": True,
                "train": 5,
                "seeds": [],
                "scores": {"정확도": [0.5]},
                "seconds": [1],
            },
            {
                "method": "모델",
                "cheap": False,
                "train": 5,
                "seeds": [7, 8],
                "scores": {"정확도": [0.5, 0.75]},
                "seconds": [10, 12],
            },
        ],
        "commands": ["python tools/reference.py mine"],
        "differences": [],
    }
    write(tmp_path / "mine.json", record)
    for module in (baselines, results):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    text = "앞\n<!-- 표: mine -->\n낡은 표\n<!-- 표 끝 -->\n가운데\n<!-- 표: yours -->\n손으로 쓴 글\n<!-- 표 끝 -->\n"
    page = results.filled(text)
    assert "낡은 표" not in page and "손으로 쓴 글" in page and page.startswith("앞\n")
    assert "| 모델 | 0.625 (0.500–0.750) | 5 | 11.0 |" in page and results.filled(page) == page


def test_first_success_is_printed_beside_counting_on_the_same_texts(reviews):
    from nlpbook_nbs.classification import RECIPE
    from nlpbook_nbs.cli import _counted_accuracy

    args = RECIPE.train_arguments(
        pretrained_model_name="nlpbook-mini",
        downstream_corpus_name="nsmc",
        downstream_corpus_root_dir=str(reviews),
    )
    assert _counted_accuracy(RECIPE, args) == 1.0
    args.max_train_samples = 1
    assert _counted_accuracy(RECIPE, args) == 0.5
