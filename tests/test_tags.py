"""토큰의 태그와 규칙에 맞는 길, 개체의 점수, 값싼 개체 찾기."""

import random
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.entities import TaggedText, parse_marked, read_tagged
from nlpbook_nbs.core.entity_baselines import EntityDictionary, WindowTagger, window_features
from nlpbook_nbs.core.entity_scores import ERROR_KINDS, error_kinds, score_entities
from nlpbook_nbs.core.iob import Entity, entities_of, tags_of
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.tags import best_path, best_paths, legal_moves, tag_names, token_entities, token_tags

NAMES = tag_names(["PS", "LC"])


def encoded(tokenizer, texts):
    return tokenizer(texts, return_offsets_mapping=True)["offset_mapping"]


# 토큰의 태그


def test_golden_example_of_the_book(kcbert):
    text = "―효진 역의 김환희(14)가 특히 인상적이었다."
    people = parse_marked(text, "―<효진:PER> 역의 <김환희:PER>(<14:NOH>)가 특히 인상적이었다.")
    made = kcbert(text, max_length=64, padding="max_length", return_offsets_mapping=True)
    ids = [2, 1, 3476, 4153, 2270, 4042, 420, 4185, 4346, 11, 11524, 12, 197, 9250, 11662, 8805, 8217, 17, 3]
    assert made["input_ids"] == [*ids, *[0] * 45]
    tags = [None, "O", "B-PER", "I-PER", "O", "O", "B-PER", "I-PER", "I-PER", "O", "B-NOH", *["O"] * 7, None]
    assert token_tags(made["offset_mapping"], people) == [*tags, *[None] * 45]
    assert token_entities(made["offset_mapping"], token_tags(made["offset_mapping"], people)) == list(people)


def test_an_entity_right_behind_another_keeps_its_first_token(kcbert):
    text, people = "배우 김환희 김환희 왔다", [Entity(3, 6, "PS"), Entity(7, 10, "PS")]
    (offsets,) = encoded(kcbert, [text])
    tags = token_tags(offsets, people)
    assert [text[start:end] for (start, end), tag in zip(offsets, tags) if tag == "B-PS"] == ["김", "김"]
    assert token_entities(offsets, tags) == people
    offsets, touching = [(place, place + 1) for place in range(4)], [Entity(0, 2, "PS"), Entity(2, 4, "PS")]
    assert token_tags(offsets, touching) == ["B-PS", "I-PS", "B-PS", "I-PS"]


def test_no_entity_of_the_real_corpus_that_starts_with_a_token_loses_it(real_data, kcbert):
    rows = read_tagged(real_data / "klue-ner" / "klue-ner-v1.1_dev.tsv")
    behind = 0
    for row, offsets in zip(rows, encoded(kcbert, [row.text for row in rows])):
        tags = token_tags(offsets, row.entities)
        tags = {start: tag for (start, _), tag in zip(offsets, tags) if tag}
        for before, each in pairwise([Entity(-9, -9, ""), *row.entities]):
            assert tags.get(each.start, f"B-{each.label}") == f"B-{each.label}"
            behind += not row.text[max(before.end, 0) : each.start].strip() and before.end >= 0
    assert behind > 100  # 빈칸만 사이에 두고 붙은 개체


def test_an_entity_that_starts_inside_a_token_is_begun_by_the_next_one():
    offsets, entity = [(0, 0), (0, 2), (2, 4), (4, 6), (0, 0)], [Entity(1, 5, "PS")]
    assert token_tags(offsets, entity) == [None, "O", "B-PS", "I-PS", None]
    assert token_tags(offsets[3:], entity) == ["I-PS", None]  # 창이 개체의 가운데에서 시작했습니다.
    assert token_tags(offsets, [Entity(2, 3, "PS"), Entity(3, 6, "LC")]) == [None, "O", "B-PS", "B-LC", None]


def test_spaces_at_the_edges_of_a_token_do_not_count():
    text, people = "나 김철수", [Entity(2, 5, "PS")]
    offsets = [(0, 1), (1, 3), (3, 5)]  # 나 ▁김 철수
    assert token_tags(offsets, people, text) == ["O", "B-PS", "I-PS"]
    assert token_entities(offsets, ["O", "B-PS", "I-PS"], text) == people


@pytest.mark.parametrize(("name", "ceiling"), [("nlpbook-mini", 0.911), ("kcbert", 0.841)])
def test_ceiling_of_a_token_tagger(name, ceiling, real_data, kcbert, mini_tokenizer):
    rows = read_tagged(real_data / "klue-ner" / "klue-ner-v1.1_dev.tsv")
    texts, gold = [row.text for row in rows], [list(row.entities) for row in rows]
    offsets = encoded({"kcbert": kcbert, "nlpbook-mini": mini_tokenizer}[name], texts)
    found = [token_entities(each, token_tags(each, truth)) for each, truth in zip(offsets, gold)]
    assert round(score_entities(gold, found, texts)["entity_macro_f1"], 3) == ceiling


# 규칙에 맞는 길


def legal_paths(length, names):
    start, moves = legal_moves(names)
    for path in product(range(len(names)), repeat=length):
        if not path or (start[path[0]] and all(moves[pair] for pair in pairwise(path))):
            yield path


def test_legal_paths_are_those_that_are_tags_of_entities():
    legal = {tuple(NAMES[tag] for tag in path) for path in legal_paths(4, NAMES)}
    whole = {tuple(path) for path in product(NAMES, repeat=4)}
    assert legal == {tags for tags in whole if tags_of(4, entities_of(tags, strict=True)) == list(tags)}


def test_best_path_is_the_best_of_all_legal_ones():
    chance = np.random.default_rng(7)
    for number in range(150):
        names = tag_names(["PS", "LC", "OG"][: 1 + number % 3])
        scores = chance.normal(size=(number % 5, len(names)))
        if number % 7 == 0:
            scores = scores.round()  # 비긴 점수
        path = best_path(scores, names)
        paths = list(legal_paths(len(scores), names))
        assert tuple(path.tolist()) in paths
        best = max(sum(scores[step, tag] for step, tag in enumerate(each)) for each in paths)
        assert np.isclose(sum(scores[np.arange(len(path)), path]), best)


def test_ragged_texts_together_are_decoded_as_each_alone():
    chance = np.random.default_rng(8)
    scores = [chance.normal(size=(length, len(NAMES))) for length in chance.integers(0, 60, 200)]
    for score, path in zip(scores, best_paths(scores, NAMES), strict=True):
        assert path.tolist() == best_path(score, NAMES).tolist()


# 점수


def random_tags(chance, length, labels):
    """I 없이 시작하고 종류가 뒤바뀌는 태그도 나오는 열."""
    names, tags = tag_names(labels), []
    while len(tags) < length:
        tags += [chance.choice(names)] * chance.choice([1, 1, 1, 2, 3])
    return tags[:length]


def nudged(chance, tags, names):
    return [chance.choice(names) if chance.random() < 0.2 else tag for tag in tags]


def test_entity_scores_equal_seqeval_to_the_last_digit():
    metrics = pytest.importorskip("seqeval.metrics")
    scheme = pytest.importorskip("seqeval.scheme").IOB2
    chance, compared = random.Random(7), 0
    for number in range(1000):
        labels = ["PS", "LC", "OG", "B-X"][: 1 + number % 4]
        gold = random_tags(chance, chance.randrange(1, 30), labels)
        found = (
            random_tags(chance, len(gold), labels) if number % 3 else nudged(chance, gold, tag_names(labels))
        )
        right, answer = entities_of(gold, strict=True), entities_of(found, strict=True)
        if not right or not answer:  # seqeval이 경고하거나 멈춥니다.
            continue
        compared += 1
        mine = score_entities([right], [answer], ["가" * len(gold)])
        how = {"mode": "strict", "scheme": scheme, "zero_division": 0}
        for average in ("macro", "micro"):
            theirs = metrics.f1_score([gold], [found], average=average, **how)
            assert mine[f"entity_{average}_f1"] == theirs
        rows = metrics.v1.precision_recall_fscore_support([gold], [found], scheme=scheme, zero_division=0)
        for row, kind in zip(zip(*(each.tolist() for each in rows)), mine["labels"], strict=True):
            assert tuple(mine["labels"][kind].values()) == row
    assert compared > 700


def test_character_scores_equal_scikit_learn_to_the_last_digit():
    from sklearn.metrics import f1_score

    chance = random.Random(8)
    for number in range(100):
        labels = ["PS", "LC", "OG"][: 1 + number % 3]
        size = chance.randrange(1, 30)
        gold, found = (
            tags_of(size, entities_of(random_tags(chance, size, labels), strict=True)) for _ in range(2)
        )
        text = "".join(chance.choice("가나 ") for _ in gold)
        flat = [
            ["O", *(tag for letter, tag in zip(text, tags) if letter != " "), "O"] for tags in (gold, found)
        ]
        mine = score_entities([entities_of(gold)], [entities_of(found)], [text], labels=labels)
        names = tag_names(labels)
        for key, kept in (("char_macro_f1", names), ("char_macro_f1_without_o", names[1:])):
            assert mine[key] == f1_score(*flat, labels=kept, average="macro", zero_division=1)


def test_spaces_inside_an_entity_do_not_make_it_another():
    texts = ["5분의 3"]
    assert score_entities([[Entity(0, 5, "QT")]], [[Entity(0, 5, "QT")]], texts)["entity_micro_f1"] == 1
    assert score_entities([[Entity(0, 3, "QT")]], [[Entity(0, 4, "QT")]], texts)["entity_micro_f1"] == 1
    assert score_entities([[Entity(0, 3, "QT")]], [[Entity(0, 5, "QT")]], texts)["entity_micro_f1"] == 0


def test_a_label_that_training_never_had_counts_against_the_answers():
    gold, found = [[Entity(0, 2, "PS"), Entity(3, 5, "새것")]], [[Entity(0, 2, "PS")]]
    result = score_entities(gold, found, ["가나 다라"], labels=["PS", "LC"])
    assert result["entity_macro_f1"] == 0.5 and result["labels"]["새것"]["support"] == 1
    assert set(result["labels"]) == {"PS", "새것"}


def test_texts_without_entities_have_a_score_and_no_warning():
    result = score_entities([[], []], [[], []], ["가나", ""])
    assert result["entity_macro_f1"] == result["entity_micro_f1"] == 0 and result["labels"] == {}
    assert result["char_macro_f1"] == 1
    with pytest.raises(NlpbookError, match="짝지을 수 없습니다"):
        score_entities([[]], [[], []], ["가", "나"])


def test_every_entity_stands_in_exactly_one_kind_of_error():
    chance = random.Random(9)
    for _ in range(300):
        gold, found = ([entities_of(random_tags(chance, 25, ["PS", "LC"]))] for _ in range(2))
        kinds = error_kinds(gold, found)
        assert list(kinds) == list(ERROR_KINDS)
        pairs = [pair for each in kinds.values() for pair in each]
        for side, whole in ((1, gold), (2, found)):
            assert sorted(pair[side] for pair in pairs if pair[side]) == whole[0]
        assert {truth for _, truth, _ in kinds["correct"]} == set(gold[0]) & set(found[0])
        assert all(answer is None for _, _, answer in kinds["missed"])
        for kind, same in (("boundary", True), ("type", False)):
            for _, truth, answer in kinds[kind]:
                assert truth.start < answer.end and answer.start < truth.end
                assert (truth.label == answer.label) is same


# 값싼 방법


ROWS = [
    TaggedText("서울역 앞 서울", (Entity(0, 3, "OG"), Entity(6, 8, "LC"))),
    TaggedText("이 이 이", (Entity(0, 1, "PS"),)),
]


def test_the_dictionary_takes_the_longest_name_and_its_commonest_kind():
    known = EntityDictionary().fit(ROWS)
    assert known.labels == {"서울역": "OG", "서울": "LC", "이": "PS"}
    assert known("서울역에 서울") == [Entity(0, 3, "OG"), Entity(5, 7, "LC")] and known("") == []
    assert "이" not in EntityDictionary(0.5).fit(ROWS).labels  # 세 번 가운데 한 번만 개체였습니다.
    with pytest.raises(NlpbookError, match="share=2"):
        EntityDictionary(2)


def test_windows_of_one_text_do_not_see_its_neighbours():
    texts = ["가나다", "", "👍라"]
    together = window_features(texts)
    alone = [window_features([text]) for text in texts if text]
    assert (together[:3] != alone[0]).nnz == 0 and (together[3:] != alone[1]).nnz == 0
    assert together.shape[0] == 5 and set(np.diff(together.indptr)) == {together[0].nnz}


def test_the_linear_tagger_is_the_same_every_time_and_one_by_one():
    rows = read_tagged(Path(sample_root(), "klue-ner", "klue-ner-v1.1_val.tsv"))[:60]
    texts = [row.text for row in rows[:10]]
    first, second = (WindowTagger().fit(rows) for _ in range(2))
    found = first.predict([*texts, ""])
    assert found == second.predict([*texts, ""]) == [*map(first, texts), []]
    assert found[:10] == [list(row.entities) for row in rows[:10]]  # 외운 글
    assert first.predict([]) == [] == first("")


def test_a_corpus_of_one_letter_entities_teaches_no_inside():
    rows = [TaggedText("가 나", (Entity(0, 1, "PS"),)), TaggedText("다 나", (Entity(0, 1, "PS"),))]
    assert WindowTagger().fit(rows)("가 나") == [Entity(0, 1, "PS")]
    with pytest.raises(NlpbookError, match="개체가 하나도 없어"):
        WindowTagger().fit([TaggedText("가 나")])


def test_both_baselines_find_much_of_the_packaged_corpus():
    folder = Path(sample_root(), "klue-ner")
    train, test = (read_tagged(folder / f"klue-ner-v1.1_{name}.tsv") for name in ("val", "dev"))
    texts, gold = [row.text for row in test[:100]], [list(row.entities) for row in test[:100]]
    scores = [
        score_entities(gold, [finder(text) for text in texts], texts)["entity_macro_f1"]
        for finder in (EntityDictionary(0.5).fit(train[:150]), WindowTagger().fit(train[:150]))
    ]
    assert 0.1 < scores[0] < scores[1] < 0.9
