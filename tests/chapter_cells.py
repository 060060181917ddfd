"""장의 셀을 꺼내 시험하는 도구: 보여 주기만 하는 셀의 이름들."""

import contextlib
import io
import json
import math
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


def run_cells(chapter, *marks, **given):
    """`marks`가 든 셀들을 차례로 실행해서 생긴 이름들."""
    names = GIVEN | {"nlpbook": nlpbook} | given
    names |= {"pre_tokenizers": __import__("tokenizers.pre_tokenizers").pre_tokenizers}
    for mark in marks:
        (source,) = [each for each in sources(chapter) if mark in each]
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(source, mark, "exec"), names)  # noqa: S102
    return names
