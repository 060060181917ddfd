"""문서 검색의 표를 재는 도구: 잰 것을 잃지 않고, 시험할 글을 배우지 않으며, 표에 적은 열이 그대로 보입니다."""

import importlib.util
import json
import random
import sys
from pathlib import Path

import pytest

from nlpbook_nbs.core.baselines import RESULTS, Recorded, recorded
from nlpbook_nbs.core.squad import QAExample, read_korquad

TOOLS = Path(__file__).resolve().parent.parent / "tools"


@pytest.fixture(scope="module")
def tables():
    sys.path.insert(0, str(TOOLS))
    try:
        spec = importlib.util.spec_from_file_location("search_tables", TOOLS / "search_tables.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(TOOLS))


def test_what_was_measured_is_not_measured_again_even_after_a_break(tables, tmp_path):
    seen = []

    def compute(items):
        seen.extend(items)
        if 4 in items:
            raise RuntimeError
        return [item * 10 for item in items]

    with pytest.raises(RuntimeError):
        tables.Kept(tmp_path / "kept.jsonl", compute, chunk=2)([1, 2, 3, 4])
    seen.clear()
    kept = tables.Kept(tmp_path / "kept.jsonl", lambda items: [item * 10 for item in items], chunk=2)
    assert kept([4, 2, 1, 4]) == [40, 20, 10, 40]
    again = tables.Kept(tmp_path / "kept.jsonl", compute)
    assert again([1, 2, 4]) == [10, 20, 40] and not seen


def test_shortened_passage_holds_the_answer_where_it_says(tables):
    text = "".join(chr(0xAC00 + n) for n in range(900))
    for start in (0, 1, 450, 897):
        row = QAExample("물음", text, text[start : start + 3], start, "q")
        for seed in range(5):
            part = tables.shortened(row, random.Random(seed))
            (answer,) = part["qas"][0]["answers"]
            at = answer["answer_start"]
            assert part["context"][at : at + 3] == row.answer_text and len(part["context"]) <= tables.SHORT


def test_articles_of_the_test_are_not_among_those_that_are_learned(tables, real_data, tmp_path):
    tables.split(real_data, tmp_path)
    _, asked = tables.korquad(real_data, tables.TESTED)
    tested = {text for text, _, _ in asked}
    learned = json.loads((tmp_path / "korquad-v1" / "KorQuAD_v1.0_train.json").read_text(encoding="utf-8"))
    questions = {
        question["question"]
        for article in learned["data"]
        for part in article["paragraphs"]
        for question in part["qas"]
    }
    assert len(asked) == 1198 and len(questions) > 4000 and len(tested & questions) <= 1  # 두 글에 같은 물음
    known = read_korquad(tmp_path / "korquad-v1" / "KorQuAD_v1.0_train.json")
    answers_of = {row.qas_id: row.answers for row in known}
    lines = (tmp_path / "rerank-pairs" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    assert {line.rpartition("\t")[2] for line in lines} == {"0", "1"}
    rows = read_korquad(tmp_path / "korquad-short" / "KorQuAD_v1.0_train.json")
    missing = [row for row in rows if row.is_impossible]
    assert 0.4 < len(missing) / (len(rows) - len(missing)) < 0.6
    assert not any(answer in row.context_text for row in missing for answer in answers_of[row.qas_id[:-2]])


@pytest.mark.parametrize("path", sorted(RESULTS.glob("search-*.json")), ids=lambda path: path.stem)
def test_columns_of_the_record_stand_in_the_table(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    heads, rows = Recorded(record).table()
    assert heads[-len(record["columns"]) :] == list(record["columns"])
    assert all(len(row) == len(heads) and row[-2] for row in rows)
    assert recorded(path.stem).best_cheap
