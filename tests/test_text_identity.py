"""같은 글은 어떻게 적혀 있어도 같은 답을 얻고, 자리는 쓰는 사람이 준 글의 것입니다."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpbook_nbs.core.normalization import (
    Normalized,
    check_unicode,
    explain_difference,
    normalize_label,
    normalize_text,
    normalize_texts,
)
from nlpbook_nbs.core.settings import NlpbookError

# 다듬기에 걸리는 글자들: 자모, 결합 문자, 호환 한자, 보이지 않는 글자, 그림, 이음표를 쓰는 글, 옛한글
LETTERS = [
    *"가한글값 aZ9?。　",
    *"ㄱㅏᄀᄒ가힣ᆨᆫᅟᅠㅤﾠﾡ᷀",
    *"éȩ́́q̣̇豈更凜ﬁ㎏①㈜²Ａ９",
    *"\u200b\ufeff\u2060\u00ad\u200e\u202e\u200c\u200d\u034f\x00\x1f\x85\u2028\ufe0f\ufe0e",
    *"👨👩👧❤😀🏽🏴\U000e0067\U000e007f1\u20e3",
    *"میआक्षক\u09beাกำ\u0e31",
    *"ꥠힰퟋᄁᅹᇰ\u302e",
    *"\u0344\u0f73\u0958\ufb1d\u2126\u212b\U0001d15e≠",
]
messy = st.text(
    st.one_of(st.sampled_from(LETTERS), st.sampled_from(LETTERS), st.characters(exclude_categories=["Cs"])),
    max_size=24,
)
FORMS = ["NFC", "NFD"]


@settings(max_examples=400, deadline=None)
@given(messy)
def test_every_canonical_spelling_becomes_one_normal_text(text):
    normal = normalize_text(text)
    assert normalize_text(normal) is normal
    assert {normalize_text(unicodedata.normalize(form, text)) for form in FORMS} == {normal}


@settings(max_examples=400, deadline=None)
@given(st.lists(messy, max_size=5))
def test_many_texts_are_normalized_like_each_one(texts):
    assert normalize_texts(texts) == [normalize_text(text) for text in texts]


@settings(max_examples=400, deadline=None)
@given(messy)
def test_each_letter_maps_to_its_own_stretch_of_the_original(text):
    passage = Normalized(text)
    assert passage.text == normalize_text(text)
    spans = [passage.original_span(i, i + 1) for i in range(len(passage.text))]
    for letter, (start, end) in zip(passage.text, spans):
        assert 0 <= start < end <= len(text)
        assert (
            letter in normalize_text(text[start:end])
            or letter in " \u200d\u200c\ufe0f"
            or "\U000e0000" <= letter
        )
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert [end for _, end in spans] == sorted(end for _, end in spans)


@settings(max_examples=400, deadline=None)
@given(messy, st.sampled_from(["천문대", "값이 싼", "사랑"]), messy, st.sampled_from(FORMS), st.booleans())
def test_a_word_found_in_the_normal_text_is_cut_out_of_the_original_as_it_stands(
    before, word, after, form, zero_width
):
    written = unicodedata.normalize(form, word)
    if zero_width:
        written = written[:1] + "\u200b" + written[1:]
    text = f"{before} {written} {after}"
    passage = Normalized(text)
    found = passage.text.find(f" {word} ") + 1
    assert found > 0
    start, end = passage.original_span(found, found + len(word))
    assert normalize_text(text[start:end]) == word
    assert text[start:end][:1] == written[:1]
    assert passage.normalized_span(start, end) == (found, found + len(word))
    if word not in normalize_text(before):
        assert text[start:end] == written


def test_letters_that_carry_meaning_stay():
    for text in (
        "👨‍👩‍👧 ❤️ 1️⃣ 🏳️‍🌈 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "می‌خواهم क्‍ष",
        "ᄀᅠ ᅟᅡ ᄒᆞᆫ글",
        "Ａ９ ㎏ ① ﬁ ㈜ ㄱㅏ",
        "줄\n바꿈\t탭\u3000전각 빈칸",
    ):
        assert normalize_text(text) is text


@pytest.mark.parametrize(
    "spoiled",
    [
        "긍\u200b정",
        "긍정\ufeff",
        "\u2060긍정",
        "긍\u00ad정",
        "긍\u200d정",
        "\u202a긍정\u202c",
        "긍정\ufe0f",
        "긍정 \r\n",
    ]
    + [
        "긍\x00정",
        "긍정\u200c",
        "긍\u034f정",
        "긍정\U000e0041",
        "긍정\u3164",
        unicodedata.normalize("NFD", "긍정"),
    ],
)
def test_spellings_that_look_alike_are_one_label(spoiled):
    assert normalize_label(spoiled) == "긍정"
    told = explain_difference("긍정", spoiled)
    assert "U+" in told and told.count(".") == 1


def test_a_half_letter_is_refused_with_its_place():
    with pytest.raises(NlpbookError, match=r"train\.tsv:3.*3번째 글자.*U\+D83D"):
        check_unicode("재미\ud83d", "train.tsv:3")
    check_unicode("재미 😀", "train.tsv:3")
