"""개체를 표시한 파일을 읽는 일과, 개체와 태그와 표시를 서로 바꾸는 일."""

import json
import random
import unicodedata
from pathlib import Path

import pytest
from conftest import write

from nlpbook_nbs.core import files
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.entities import TaggedText, mark_entities, parse_marked, read_tagged
from nlpbook_nbs.core.iob import Entity, entities_of, tags_of
from nlpbook_nbs.core.settings import NlpbookError

PS, LC = Entity(0, 3, "PS"), Entity(5, 7, "LC")
TEXT = "이순신은 한성에"
KLUE = "## 토큰 구분자 : \\n\n## 컬럼명 : CHAR\tNE_TAG\n"


@pytest.fixture(autouse=True)
def told_afresh(monkeypatch):
    monkeypatch.setattr(files, "_TOLD", set())


def letters(text, tags):
    return "".join(f"{letter}\t{tag}\n" for letter, tag in zip(text, tags, strict=True))


def klue(*rows):
    """`(글, 개체들)`마다 KLUE-NER의 덩어리 하나인 파일의 내용."""
    blocks = [
        f"## guid-{n}\t{mark_entities(text, found)}\n{letters(text, tags_of(len(text), found))}"
        for n, (text, found) in enumerate(rows)
    ]
    return KLUE + "\n".join(blocks)


def rows_of(path, **options):
    return [(row.text, row.entities) for row in read_tagged(path, **options)]


# 네 가지 형식


def test_klue_file_keeps_names_and_says_where_each_text_stands(tmp_path, messages):
    path = write(tmp_path / "dev.tsv", klue((TEXT, [PS, LC]), ("없다", [])))
    first, second = read_tagged(path, strict=True)
    assert first == TaggedText(TEXT, (PS, LC), "guid-0", f"{path}:3")
    assert second == TaggedText("없다", (), "guid-1", f"{path}:13") and messages() == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("book.txt", f"{TEXT}␞<이순신:PS>은 <한성:LC>에\n"),
        ("plain.tsv", letters(TEXT, tags_of(8, [PS, LC]))),
        ("spans.jsonl", json.dumps({"text": TEXT, "entities": [[0, 3, "PS"], [5, 7, "LC"]]})),
        ("doccano.jsonl", json.dumps({"id": 1, "text": TEXT, "label": [[5, 7, "LC"], [0, 3, "PS"]]})),
        (
            "studio.json",
            json.dumps(
                [
                    {
                        "text": TEXT,
                        "label": [
                            {"start": 0, "end": 3, "text": "이순신", "labels": ["PS"]},
                            {"start": 5, "end": 7, "text": "한성", "labels": ["LC"]},
                        ],
                    }
                ],
                indent=2,
            ),
        ),
        ("prodigy.jsonl", json.dumps({"text": TEXT, "spans": [vars(PS), vars(LC)]})),
    ],
)
def test_formats_are_told_apart_by_their_content(name, content, tmp_path, messages):
    assert rows_of(write(tmp_path / name, content), strict=True) == [(TEXT, (PS, LC))] and messages() == []


@pytest.mark.parametrize("separator", ["\t", " "])
def test_tokens_of_conll_are_joined_by_a_space(separator, tmp_path):
    lines = ["-DOCSTART- -X- O", "", "U.N. NNP B-OG", "사무 NNG I-OG", "총장 NNG O", "", "나 NP O", "는 JX O"]
    path = write(tmp_path / "train.txt", "\n".join(lines).replace(" ", separator) + "\n")
    assert rows_of(path) == [("U.N. 사무 총장", (Entity(0, 7, "OG"),)), ("나 는", ())]


def test_word_pieces_and_number_signs_are_tokens_like_any_other(tmp_path):
    path = write(tmp_path / "a.tsv", "##진\tI-PS\n효\tB-PS\n\n##\tO\n끝말\tO\n")
    assert [row.text for row in read_tagged(path)] == ["##진 효", "## 끝말"]


def test_unlabelled_json_has_no_entities(tmp_path):
    lines = ['{"text": "가"}', '{"text": "나", "label": []}', '{"text": "다", "entities": null}']
    assert rows_of(write(tmp_path / "a.jsonl", "\n".join(lines))) == [("가", ()), ("나", ()), ("다", ())]


# 글자


def test_number_signs_tabs_and_brackets_are_letters(tmp_path, messages):
    text = "## <b>\t#\ta:PS>"
    rows = [(text, [Entity(4, 5, "OG"), Entity(9, 10, "QT")]), ("#", []), ("␞", [])]
    path = write(tmp_path / "a.tsv", klue(*rows))
    assert rows_of(path) == [(text, tuple(found)) for text, found in rows] and messages() == []


@pytest.mark.parametrize("change", ["\r\n", "bom", "utf-16"])
def test_windows_files_read_the_same(change, tmp_path):
    content, path = klue((TEXT, [PS, LC])), tmp_path / "a.tsv"
    encoding = {"bom": "utf-8-sig", "utf-16": "utf-16"}.get(change, "utf-8")
    path.write_bytes(content.replace("\n", "\r\n" if change == "\r\n" else "\n").encode(encoding))
    assert rows_of(path) == [(TEXT, (PS, LC))]


def test_cp949_is_read_with_a_warning_as_everywhere(tmp_path, messages):
    path = tmp_path / "a.tsv"
    path.write_bytes(klue(("이 영화는 정말 다시 보고 싶다", [])).encode("cp949"))
    assert len(read_tagged(path)) == 1 and "CP949" in messages()[0]
    path.write_bytes(klue((TEXT, [])).encode("cp949")[:40] + b"\xff\xfe\t")
    with pytest.raises(NlpbookError, match=r"a\.tsv:\d+: UTF-8로"):
        read_tagged(path)


def test_decomposed_text_stays_as_it_is_written(tmp_path):
    text, label = (unicodedata.normalize("NFD", each) for each in (TEXT, "인명"))
    one_each = letters(text, tags_of(len(text), [Entity(0, 8, label)]))
    together = "".join(
        f"{unicodedata.normalize('NFD', letter)}\t{tag}\n"
        for letter, tag in zip(TEXT, tags_of(8, [Entity(0, 3, label)]))
    )
    for content in (one_each, together):  # 코드 포인트가 한 줄에 하나씩, 또는 음절이 한 줄에 하나씩
        ((read, (found,)),) = rows_of(write(tmp_path / "a.tsv", content))
        assert read == text and text[found.start : found.end] == unicodedata.normalize("NFD", "이순신")
        assert found.label == "인명"


@pytest.mark.parametrize("cell", ["👨‍👩‍👧", "é", "❤️", "가나"])
def test_a_line_with_several_code_points_is_one_letter_with_one_tag(cell, tmp_path):
    content = f"## a\t\n김\tB-PS\n{cell}\tI-PS\n수\tI-PS\n \tO\n{cell}\tB-LC\n"
    ((text, found),) = rows_of(write(tmp_path / "a.tsv", content))
    assert text == f"김{cell}수 {cell}"
    assert [text[each.start : each.end] for each in found] == [f"김{cell}수", cell]


def test_positions_of_javascript_are_set_right_by_the_text_beside_them(tmp_path):
    text = "😀😀 이순신 장군"
    span = {"start": 5, "end": 8, "text": "이순신", "labels": ["PS"]}
    path = write(tmp_path / "a.json", json.dumps([{"text": text, "label": [span]}]))
    assert rows_of(path) == [(text, (Entity(3, 6, "PS"),))]
    write(path, json.dumps([{"text": text, "label": [span | {"text": "장군"}]}]))
    with pytest.raises(NlpbookError, match="1번째 항목: .*'장군'"):
        read_tagged(path)


# 태그가 잘못된 파일


def test_an_inside_without_a_beginning_is_repaired_and_counted_or_refused(tmp_path, messages):
    tags = ["I-PS", "I-PS", "I-LC", "O", "O", "B-LC", "I-LC", "I-PS"]
    path = write(tmp_path / "a.tsv", letters(TEXT, tags))
    ((_, found),) = rows_of(path)
    assert found == (Entity(0, 2, "PS"), Entity(2, 3, "LC"), Entity(5, 7, "LC"), Entity(7, 8, "PS"))
    (told,) = messages()
    assert "개체 3개" in told and f"{path}:1" in told
    read_tagged(path)
    assert len(messages()) == 1
    with pytest.raises(NlpbookError, match=r"a\.tsv:1: B 없이 .* 3개"):
        read_tagged(path, strict=True)


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [("I-A I-A B-A I-A O I-B I-A", "IOB1"), ("B-A E-A B-A E-A O S-B S-A", "BIOES"), ("B-A L-A B-A L-A O U-B U-A", "BIOES")],
)  # fmt: skip
def test_other_schemes_are_read_where_they_are_certain(tags, scheme, tmp_path, messages):
    path = write(tmp_path / "a.tsv", letters("가나다라마바사", tags.split()))
    spans = [(0, 2, "A"), (2, 4, "A"), (5, 6, "B"), (6, 7, "A")]
    assert rows_of(path, strict=True) == [("가나다라마바사", tuple(Entity(*each) for each in spans))]
    (told,) = messages()
    assert scheme in told


@pytest.mark.parametrize("tag", ["PS", "PER_B", "b-PS", "B-", "B- ", "0", "-", "B"])
def test_a_tag_of_no_known_scheme_is_refused_with_its_line(tag, tmp_path):
    path = write(tmp_path / "a.tsv", f"{KLUE}## a\t가나\n가\tO\n나\t{tag}\n")
    with pytest.raises(NlpbookError, match=r"a\.tsv:5: .*IOB2"):
        read_tagged(path)


@pytest.mark.parametrize("line", ["나", "나O", "\tO"])
def test_a_line_without_letter_or_tag_is_refused_with_its_line(line, tmp_path):
    path = write(tmp_path / "a.tsv", f"가\tO\n{line}\n")
    with pytest.raises(NlpbookError, match=r"a\.tsv:2: "):
        read_tagged(path)


def test_tags_win_over_a_marked_text_that_disagrees(tmp_path, messages):
    wrong = klue((TEXT, [PS]), (TEXT, [PS])).replace("<이순신:PS>은", "<이순신은:PS>", 1)
    path = write(tmp_path / "a.tsv", wrong)
    assert rows_of(path) == [(TEXT, (PS,))] * 2
    (told,) = messages()
    assert "글 1개" in told and f"{path.name}:3" in told


def test_empty_texts_are_left_out_and_counted_or_refused(tmp_path, messages):
    path = write(tmp_path / "a.tsv", klue((TEXT, [PS]), ("", []), (TEXT, [])))
    assert [row.guid for row in read_tagged(path)] == ["guid-0", "guid-2"]
    assert "빈 글 1개" in messages()[0]
    with pytest.raises(NlpbookError, match=r"a\.tsv:\d+: 글이 비었습니다"):
        read_tagged(path, strict=True)
    for content in ("", "\n\n", KLUE, '{"text": " "}'):
        with pytest.raises(NlpbookError, match="글이 하나도 없습니다"):
            read_tagged(write(path, content))


def test_a_text_begins_with_its_name_even_without_an_empty_line_before_it(tmp_path):
    content = klue((TEXT, [PS]), (TEXT, [LC])).replace("\n\n", "\n")
    path = write(
        tmp_path / "a.tsv", content.replace("NE_TAG\n", "NE_TAG\n\n")
    )  # 머리말 뒤의 빈 줄은 글이 아닙니다.
    assert rows_of(path, strict=True) == [(TEXT, (PS,)), (TEXT, (LC,))]
    write(path, content + "\n## guid-9\t글자가 없다\n")
    with pytest.raises(NlpbookError, match=r"a\.tsv:22: 표시한 글만"):
        read_tagged(path)


def test_a_book_line_that_does_not_fit_its_marks_is_refused_with_its_line(tmp_path):
    for line in ("이순신은", "이순신은␞이순신은␞", "이순신은␞<이순:PS>은", "이순신은␞<이순신>은"):
        with pytest.raises(NlpbookError, match=r"a\.txt:2: "):
            read_tagged(write(tmp_path / "a.txt", f"{TEXT}␞{TEXT}\n{line}\n"))


@pytest.mark.parametrize(
    ("spans", "what"),
    [
        ([[0, 3, "PS"], [2, 5, "LC"]], "겹칩니다"),
        ([[0, 8, "PS"], [2, 5, "LC"]], "겹칩니다"),
        ([[0, 3, "PS"], [0, 3, "PS"]], "겹칩니다"),
        ([[5, 9, "PS"]], "벗어났습니다"),
        ([[-1, 2, "PS"]], "벗어났습니다"),
        ([[3, 3, "PS"]], "비었거나"),
        ([[3, 1, "PS"]], "비었거나"),
        ([[0.5, 2, "PS"]], "개체가 아닙니다"),
        ([["0", "둘", "PS"]], "개체가 아닙니다"),
        ([[0, 2]], "개체가 아닙니다"),
        ([{"start": 0, "end": 2, "labels": ["PS", "LC"]}], "개체가 아닙니다"),
        ([[0, 2, " "]], "레이블이 비었습니다"),
        (["PS"], "개체가 아닙니다"),
        ("PS", "목록"),
    ],
)
def test_spans_that_cannot_be_are_refused_with_their_line(spans, what, tmp_path):
    lines = ['{"text": "가"}', json.dumps({"text": TEXT, "entities": spans})]
    with pytest.raises(NlpbookError, match=rf"a\.jsonl:2: .*{what}"):
        read_tagged(write(tmp_path / "a.jsonl", "\n".join(lines)))


def test_the_long_export_of_label_studio_is_told_what_to_do(tmp_path):
    path = write(tmp_path / "a.json", json.dumps([{"data": {"text": TEXT}, "annotations": []}]))
    with pytest.raises(NlpbookError, match="JSON-MIN"):
        read_tagged(path)


# 표시


def random_rows(count, alphabet, seed=7):
    chance = random.Random(seed)
    for _ in range(count):
        text = "".join(chance.choices(alphabet, k=chance.randrange(1, 14)))
        cuts = sorted(chance.sample(range(len(text) + 1), min(len(text) + 1, 2 * chance.randrange(4))))
        yield text, [Entity(*each, chance.choice("AB")) for each in zip(cuts[::2], cuts[1::2])]


def test_marks_and_tags_come_back_whatever_the_text():
    for text, found in random_rows(1000, "가나 :#👍\u0301"):
        assert entities_of(tags_of(len(text), found)) == found
        assert parse_marked(text, mark_entities(text, found)) == tuple(found)


def test_brackets_in_the_text_never_make_marks_unreadable():
    several = 0
    for text, found in random_rows(1000, "가나 <>:AB"):
        marked = mark_entities(text, found)
        read = parse_marked(text, marked)
        assert mark_entities(text, read) == marked
        several += read != tuple(found)
    assert 0 < several < 300  # 두 가지로 읽히는 표시


def test_brackets_of_the_text_are_not_marks():
    text = "<해바라기> 강석범"
    assert parse_marked(text, "<해바라기> <강석범:PS>") == (Entity(7, 10, "PS"),)
    assert parse_marked(text, "<<해바라기>:AF> 강석범") == (Entity(0, 6, "AF"),)
    assert parse_marked(text, "<<해바라기:AF>> 강석범") == (Entity(1, 5, "AF"),)
    assert parse_marked("<a:PS>", "<a:PS>") == () and parse_marked("3:2", "<3:2:QT>") == (Entity(0, 3, "QT"),)
    with pytest.raises(NlpbookError, match="a.txt:3: "):
        parse_marked("가", "<나:PS>", "a.txt:3")


def test_marked_text_may_be_spaced_differently():
    assert parse_marked("이 순신 은", "<이순신:PS>은") == (Entity(0, 4, "PS"),)


# 진짜 말뭉치


def parts_of(folder, names):
    return [row for name in names for row in read_tagged(folder / f"klue-ner-v1.1_{name}.tsv")]


def check_round_trips(rows, folder, names):
    """글 → 태그 → 개체와 표시한 글 → 개체 → 표시한 글이 그대로인지 보고, 표시와 태그가 다른 글의 수를 돌려줍니다."""
    marked = {}
    for name in names:
        for line in (folder / f"klue-ner-v1.1_{name}.tsv").read_text(encoding="utf-8").split("\n"):
            if line.startswith("## klue-ner"):
                guid, _, text = line[3:].partition("\t")
                marked[guid] = text
    assert len(marked) == len(rows)
    for row in rows:
        assert tuple(entities_of(tags_of(len(row.text), row.entities), strict=True)) == row.entities
        found = parse_marked(row.text, marked[row.guid])
        assert mark_entities(row.text, found) == marked[row.guid]
    different = [row for row in rows if parse_marked(row.text, marked[row.guid]) != row.entities]
    for row in different:  # `<<레이:PS>>`: 태그는 여는 꺾쇠까지 개체에 넣었습니다.
        assert mark_entities(row.text, row.entities) == marked[row.guid]
        assert any(row.text[each.start] == "<" for each in row.entities)
    return len(different)


def test_every_entity_of_the_real_corpus_survives_the_round_trips(real_data):
    names, folder = ("train", "dev"), real_data / "klue-ner"
    rows = parts_of(folder, names)
    assert len(rows) == 4_000 and sum(len(row.entities) for row in rows) == 11_421
    assert check_round_trips(rows, folder, names) == 3


def test_every_entity_of_the_packaged_corpus_survives_the_round_trips():
    folder, names = Path(sample_root(), "klue-ner"), ("train", "val", "dev")
    rows = parts_of(folder, names)
    assert check_round_trips(rows, folder, names) == 2
    texts = {"".join(row.text.split()) for row in rows}
    assert len(rows) == len(texts) == len({row.guid for row in rows}) == 2_300
    assert [len(parts_of(folder, [name])) for name in names] == [1_500, 300, 500]
    for name in names:
        labels = {each.label for row in parts_of(folder, [name]) for each in row.entities}
        assert labels == {"PS", "LC", "OG", "DT", "TI", "QT"}
