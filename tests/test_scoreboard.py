"""기준선 넘기: 점수는 낸 것에서 다시 계산하고, 좋은 것 몇 개를 날짜와 함께 남깁니다."""

import json
import re

import pytest

import nlpbook_nbs as nlpbook
from nlpbook_nbs.core import scoreboard
from nlpbook_nbs.core.scoreboard import KEPT, contest, contest_of, read_scores, scores_file
from nlpbook_nbs.core.settings import NlpbookError, home_dir


@pytest.fixture(autouse=True)
def sums(monkeypatch):
    """1장은 합이 클수록, 2장은 작을수록 좋은 문제라고 칩니다."""

    def total(answer):
        if not isinstance(answer, list):
            raise AssertionError("목록을 내세요.")  # noqa: TRY004
        return sum(answer)

    found = {1: contest(1, "합", lambda: ("하나", 1.0))(total)}
    found[2] = contest(2, "작은 합", lambda: ("하나", 1.0), lower=True, digits=1)(total)
    monkeypatch.setattr(scoreboard, "contest_of", found.__getitem__)


def said(capsys, *given):
    nlpbook.submit(*given)
    return capsys.readouterr().out


def test_score_is_compared_with_the_baseline_and_kept(capsys):
    shown = said(capsys, 1, [1, 2], "셋")
    assert shown.startswith("합 3.0000 · 기준선(하나) 1.0000을(를) 넘었습니다!\n")
    assert "아직 넘지 못했습니다" in said(capsys, 1, [1], "하나")
    assert [(each.name, each.score) for each in read_scores()[1]] == [("셋", 3.0), ("하나", 1.0)]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", read_scores()[1][0].day)


def test_smaller_is_better_where_the_contest_says_so(capsys):
    assert "넘었습니다!" in said(capsys, 2, [0.5])
    assert "아직 넘지 못했습니다" in said(capsys, 2, [2])
    assert "아직 넘지 못했습니다" in said(capsys, 2, [0.99]), "보여 주는 자리까지 같으면 넘은 것이 아닙니다"
    assert [each.score for each in read_scores()[2]] == [0.5, 0.99, 2.0]


def test_only_the_best_few_are_kept_and_repeating_a_cell_adds_nothing(capsys):
    for score in (*range(KEPT + 3), KEPT, KEPT):
        said(capsys, 1, [score], "같은 이름")
    assert [each.score for each in read_scores()[1]] == [float(KEPT + 2 - n) for n in range(KEPT)]


def test_what_cannot_be_scored_is_told_and_not_kept(capsys):
    assert said(capsys, 1, None) == "아직 낸 것이 없습니다. 위 셀을 채우고 다시 실행하세요.\n"
    assert said(capsys, 1, 3) == "점수를 낼 수 없습니다. 목록을 내세요.\n"
    assert "TypeError" in said(capsys, 1, ["글"]) and "nan" in said(capsys, 1, [float("nan")])
    assert not scores_file().exists()


def test_board_stands_in_the_progress_with_the_baseline_in_its_place(capsys):
    for score in (3, 0):
        said(capsys, 1, [score], f"방법 {score}")
    lines = nlpbook.progress().splitlines()
    place = lines.index("기준선 넘기 · 1장 합")
    assert [line.split()[0] for line in lines[place + 1 : place + 4]] == ["3.0000", "1.0000", "0.0000"]
    assert "기준선: 하나" in lines[place + 2]


@pytest.mark.parametrize("text", ["{", "[1]", '{"1": 3}', '{"1": [{"name": "가"}]}', '{"하나": []}'])
def test_broken_board_is_kept_and_named(text, capsys):
    home_dir().mkdir(parents=True)
    scores_file().write_text(text, encoding="utf-8")
    with pytest.raises(NlpbookError, match=r"scores\.json"):
        read_scores()
    shown = said(capsys, 1, [3])
    assert "넘었습니다!" in shown and "점수판에는 적어 두지 못했습니다." in shown
    assert scores_file().read_text(encoding="utf-8") == text


def test_names_in_any_script_survive_the_file(capsys):
    said(capsys, 1, [3], "나의 '방법' 🎬")
    assert json.loads(scores_file().read_text(encoding="utf-8"))["1"][0]["name"] == "나의 '방법' 🎬"


def test_chapter_without_a_contest_is_named():
    with pytest.raises(NlpbookError, match="99장은 없습니다"):
        contest_of(99)
