"""연습문제의 채점과 진도: 도움말은 한 문장이고, 진도는 잃지 않습니다."""

import json

import pytest

import nlpbook_nbs as nlpbook
from nlpbook_nbs.cli import main
from nlpbook_nbs.core.exercises import chapters, exercise, progress_file, read_progress
from nlpbook_nbs.core.settings import NlpbookError, home_dir


@exercise(3, 2)
def check_double(answer):
    if answer(1) is None:
        return None
    assert answer(4) == 8, f"4의 두 배는 8인데 {answer(4)}이(가) 나왔습니다."
    return "맞았습니다."


def test_no_answer_is_asked_for_and_not_remembered(capsys):
    check_double(lambda x: None)
    assert capsys.readouterr().out == "아직 답이 없습니다. 위 셀을 채우고 다시 실행하세요.\n"
    assert not progress_file().exists()


def test_wrong_answer_gets_the_hint_of_its_exercise(capsys):
    check_double(lambda x: x + 2)
    assert capsys.readouterr().out.startswith("다시 해 볼까요? 4의 두 배는 8인데 6이(가) 나왔습니다.\n")
    assert read_progress() == set()


def test_answer_that_fails_is_told_where_it_failed(capsys):
    def mine(x):
        return x * 2 if x == 1 else x.upper()

    check_double(mine)
    shown = capsys.readouterr().out
    assert shown.count("\n") == 1 and "AttributeError" in shown and "mine의" in shown and "x.upper()" in shown


def test_right_answers_are_remembered_once_each(capsys):
    for _ in range(2):
        check_double(lambda x: 2 * x)
    exercise(1, 1)(lambda answer: "맞았습니다.")(0)
    assert capsys.readouterr().out == "맞았습니다.\n" * 3
    assert json.loads(progress_file().read_text()) == {"1": [1], "3": [2]}


def test_check_finds_the_grader_of_a_chapter_by_the_name_of_its_file(capsys):
    nlpbook.check(1, 1, None)
    assert capsys.readouterr().out.startswith("아직 답이 없습니다")
    nlpbook.check(1, 1, 0.5)
    assert capsys.readouterr().out.startswith("다시 해 볼까요?")
    nlpbook.check(1, 1, 1.0986)
    assert capsys.readouterr().out == "맞았습니다.\n" and read_progress() == {(1, 1)}


@pytest.mark.parametrize(
    ("chapter", "number", "told"),
    [
        (99, 1, "99장은 없습니다"),
        ("1", 1, "1장은 없습니다"),
        (1, 70, "1장 70번 문제는 없습니다. 있는 것은 1번, 2번, 3번"),
    ],
)
def test_exercise_that_is_not_there_is_named(chapter, number, told):
    with pytest.raises(NlpbookError, match=told):
        nlpbook.check(chapter, number, None)


def test_chapter_without_graders_is_named(monkeypatch, tmp_path):
    (tmp_path / "03_nothing.ipynb").write_text("", encoding="utf-8")
    monkeypatch.setattr("nlpbook_nbs.core.exercises.notebooks_dir", lambda: tmp_path)
    with pytest.raises(NlpbookError, match="3장에는 채점할 문제가 없습니다"):
        nlpbook.check(3, 1, None)


def test_progress_is_shown_chapter_by_chapter(capsys):
    check_double(lambda x: 2 * x)
    capsys.readouterr()
    assert main(["progress"]) == 0
    shown = capsys.readouterr().out
    total = sum(len(chapter.exercises) for chapter in chapters())
    assert (
        "○●○  1/3  3장" in shown
        and f"{total}문제 가운데 1문제" in shown
        and "1장 학습 파이프라인의 1번" in shown
    )
    for chapter in chapters():
        for each in chapter.exercises:
            exercise(*each)(lambda answer: "맞았습니다.")(0)
    assert f"{total}문제를 풀었습니다. 모두" in nlpbook.progress()


@pytest.mark.parametrize("text", ["{", "[1]", '{"1": 3}', '{"하나": [1]}'])
def test_broken_record_is_kept_and_named(text, capsys):
    progress_file().parent.mkdir(parents=True)
    progress_file().write_text(text, encoding="utf-8")
    with pytest.raises(NlpbookError, match="progress.json"):
        read_progress()
    check_double(lambda x: 2 * x)
    assert "맞았습니다." in capsys.readouterr().out
    assert progress_file().read_text(encoding="utf-8") == text


def test_grading_goes_on_where_nothing_can_be_written(capsys):
    home_dir().parent.mkdir(parents=True, exist_ok=True)
    home_dir().write_text("폴더가 아니라 파일")
    check_double(lambda x: 2 * x)
    shown = capsys.readouterr().out
    assert shown.startswith("맞았습니다.\n진도는 적어 두지 못했습니다.") and home_dir().is_file()


def test_progress_lives_in_drive_on_colab_only_where_drive_is_mounted(monkeypatch, tmp_path):
    monkeypatch.delenv("NLPBOOK_HOME")
    monkeypatch.setenv("COLAB_RELEASE_TAG", "imitation")
    monkeypatch.setattr("nlpbook_nbs.core.settings.DRIVE", tmp_path / "drive")
    assert home_dir() != tmp_path / "drive" / "nlpbook"
    (tmp_path / "drive").mkdir()
    assert home_dir() == tmp_path / "drive" / "nlpbook"
