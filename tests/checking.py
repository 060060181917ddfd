"""연습문제의 채점 함수를 틀린 답과 맞는 답으로 시험하는 도구."""

import ast
import json
import re
from pathlib import Path

import pytest

from nlpbook_nbs.core.exercises import checks_of
from nlpbook_nbs.core.scoreboard import contest_of

CHAPTERS = Path(__file__).resolve().parent.parent / "nbs"


def grader(chapter, number):
    """`chapter`장 `number`번의 채점 함수. 결과를 출력하지도, 진도를 적지도 않습니다."""
    return next(
        each.__wrapped__
        for each in vars(checks_of(chapter)).values()
        if getattr(each, "exercise", None) == (chapter, number)
    )


def accept(chapter, number, answer):
    """맞았다고 하는지 보고, 칭찬하는 말을 돌려줍니다."""
    praise = grader(chapter, number)(answer)
    assert praise.startswith("맞았습니다")
    return praise


def refuse(chapter, number, answer):
    """틀렸다고 하는지 보고, 도움말을 돌려줍니다. 도움말은 한글로 된 한 줄입니다."""
    with pytest.raises(AssertionError) as caught:
        assert grader(chapter, number)(answer) == "틀렸다고 해야 합니다"
    hint = str(caught.value)
    assert "틀렸다고 해야 합니다" not in hint, f"{chapter}장 {number}번이 틀린 답을 받아들였습니다"
    assert re.search("[가-힣]{2}", hint) and "\n" not in hint and len(hint) < 400, hint
    return hint


def code_cells(chapter):
    """`chapter`장의 코드 셀들."""
    (path,) = CHAPTERS.glob(f"{chapter:02}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def blank_cells(chapter, **given):
    """장에 놓인 빈칸들을 실행해 `{번호: 빈 답}`으로. `given`은 빈칸 셀이 쓰는 이름들입니다."""
    found, before = {}, ""
    for source in code_cells(chapter):
        asked = re.match(r"nlpbook\.check\((\d+), (\d+), (\w+)\)$", source.strip())
        if asked:
            names = dict(given)
            exec(compile(ast.parse(before), "빈칸", "exec"), names)  # noqa: S102
            found[int(asked[2])] = names[asked[3]]
        before = source
    return found


def leave_blank(chapter, **given):
    """장의 빈칸을 그대로 채점하면 틀렸다고 하지 않고 답을 기다리는지 봅니다."""
    blanks = blank_cells(chapter, **given)
    assert blanks
    for number, answer in blanks.items():
        assert grader(chapter, number)(answer) is None, f"{chapter}장 {number}번"


def reject_submission(chapter, answer):
    """점수를 낼 수 없다고 하는지 보고, 까닭을 돌려줍니다."""
    with pytest.raises(AssertionError) as caught:
        contest_of(chapter).score(answer)
    return str(caught.value)
