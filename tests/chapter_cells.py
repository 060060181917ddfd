"""장의 셀을 꺼내 시험하는 도구: 채점 함수와, 보여 주기만 하는 셀의 이름들."""

import ast
import contextlib
import io
import json
import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import nlpbook_nbs as nlpbook

CHAPTERS = Path(__file__).resolve().parent.parent / "nbs"
GIVEN = {"math": math, "Counter": Counter, "pairwise": pairwise}  # 장의 첫머리에서 불러온 것


def sources(chapter):
    """`chapter`("08")장의 코드 셀들."""
    (path,) = CHAPTERS.glob(f"{chapter}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def graded(chapter, number, **given):
    """채점 함수 그 자체(결과를 출력하거나 진도를 적지 않습니다). `given`은 앞의 셀에서 만든 이름들입니다."""
    mark = re.compile(rf"^@nlpbook\.exercise\({int(chapter)}, {number}\)$", re.MULTILINE)
    (source,) = [each for each in sources(chapter) if mark.search(each)]
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not isinstance(node, ast.Expr)]  # 채점을 부르는 줄은 뺍니다.
    (check,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    names = GIVEN | {"nlpbook": nlpbook} | given
    exec(compile(tree, f"{chapter}장 {number}번", "exec"), names)  # noqa: S102
    return names[check.name].__wrapped__


def run_cells(chapter, *marks, **given):
    """`marks`가 든 셀들을 차례로 실행해서 생긴 이름들."""
    names = GIVEN | {"nlpbook": nlpbook} | given
    names |= {"pre_tokenizers": __import__("tokenizers.pre_tokenizers").pre_tokenizers}
    for mark in marks:
        (source,) = [each for each in sources(chapter) if mark in each]
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(source, mark, "exec"), names)  # noqa: S102
    return names
