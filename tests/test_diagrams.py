"""설명 그림: 바른 SVG이고, 무엇을 그렸는지 글로 적혀 있으며, 넣은 것이 빠짐없이 보입니다."""

import xml.etree.ElementTree as ET

import pytest

from nlpbook_nbs.core.diagrams import (
    Drawing,
    draw_bert,
    draw_loss,
    draw_overlap,
    draw_padding,
    draw_pair,
    row_width,
    text_width,
)
from nlpbook_nbs.core.settings import NlpbookError

SVG = "{http://www.w3.org/2000/svg}"
TOKENS = ["[CLS]", "<b>", "##가", "&", "[SEP]", "아주긴토큰이라도", "[SEP]"]
DRAWINGS = {
    "bert": lambda: draw_bert(TOKENS, 12, {"부정": 0.25, "긍정": 0.75}),
    "padding": lambda: draw_padding([TOKENS, TOKENS[:3]]),
    "loss": draw_loss,
    "pair": lambda: draw_pair(TOKENS, [0] * 5 + [1] * 2),
    "overlap": lambda: draw_overlap(["가나", "나다"], ["나다", "다라", "가나"]),
}


def texts(drawing):
    return ["".join(each.itertext()) for each in ET.fromstring(drawing.svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", DRAWINGS)
def test_picture_is_well_formed_and_says_in_words_what_it_shows(name):
    drawing = DRAWINGS[name]()
    root = ET.fromstring(drawing._repr_svg_())
    assert root.get("role") == "img" and len(root.find(f"{SVG}title").text) > 20
    for box in root.iter(f"{SVG}rect"):
        if box.get("width") != "100%":
            assert 0 <= float(box.get("x")) <= drawing.width - float(box.get("width"))
            assert 0 <= float(box.get("y")) <= drawing.height - float(box.get("height"))


@pytest.mark.parametrize("name", DRAWINGS)
def test_no_text_runs_out_of_the_picture(name):
    drawing = DRAWINGS[name]()
    for each in ET.fromstring(drawing.svg).iter(f"{SVG}text"):
        wide, x = text_width(each.text, float(each.get("font-size"))), float(each.get("x"))
        start = {"start": x, "middle": x - wide / 2, "end": x - wide}[each.get("text-anchor")]
        assert start > -12 and start + wide < drawing.width + 12, each.text


def test_tokens_are_shown_as_they_are():
    assert [each for each in texts(DRAWINGS["bert"]()) if each in TOKENS] == TOKENS
    assert row_width(TOKENS) > row_width(TOKENS[:-1])


def test_padding_fills_every_row_to_the_longest_and_marks_it_zero():
    shown = texts(DRAWINGS["padding"]())
    assert shown.count("[PAD]") == shown.count("0") == 4 and shown.count("1") == 10


def test_segments_are_numbered_below_their_tokens():
    shown = texts(DRAWINGS["pair"]())
    assert shown.count("0") == 5 and shown.count("1") == 2 and {"전제", "가설"} <= set(shown)


def test_overlap_is_counted_over_the_second_text():
    shown = texts(DRAWINGS["overlap"]())
    assert "겹침 2/3 = 0.67" in shown and shown.count("있음") == 2 and shown.count("없음") == 1


def test_loss_marks_the_points_it_is_asked_for():
    assert "p = 0.25 → 1.386" in texts(draw_loss((0.25,)))


def test_picture_without_words_is_refused():
    with pytest.raises(NlpbookError, match="title"):
        Drawing(10, 10, " ")
