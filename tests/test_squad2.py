"""5장: 답이 없는 문항이 섞인 파일(SQuAD 2.0, KLUE-MRC)."""

import json
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import write

from nlpbook_nbs.cli import main
from nlpbook_nbs.core.no_answer import AnswerSheet, NullScores, find_threshold, with_no_answer
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.spans import answer_of, highlight_answer
from nlpbook_nbs.core.squad import question_columns, read_korquad
from nlpbook_nbs.core.windows import WindowDataset, WindowEncoder
from nlpbook_nbs.qa import (
    KorQuADV1Corpus,
    QADataset,
    QADeployArguments,
    QATask,
    QATrainArguments,
    QuestionAnswerer,
    f1,
    korquad_scores,
    load_answerer,
    normalize_answer,
    squad2_scores,
)

CONTEXT = "세종은 1443년에 한글을 만들었다. 그 일을 집현전의 학자들이 도왔다."


def answerable(number, text="세종", key="id"):
    answers = [{"text": text, "answer_start": CONTEXT.index(text)}]
    return {
        key: f"q{number}",
        "question": f"{number}번 질문: 누가 만들었나?",
        "answers": answers,
        "is_impossible": False,
    }


def impossible(number, key="id"):
    return {
        key: f"q{number}",
        "question": f"{number}번 질문: 값은 얼마인가?",
        "answers": [],
        "plausible_answers": [{"text": "1443년", "answer_start": 4}],
        "is_impossible": True,
        "question_type": 3,
    }


def squad(*questions, context=CONTEXT):
    article = {"title": "글", "source": "위키", "news_category": None}
    return {
        "version": "v2.0",
        "data": [article | {"paragraphs": [{"context": context, "qas": list(questions)}]}],
    }


# 읽기


@pytest.mark.parametrize("key", ["id", "guid"])
def test_unanswerable_questions_are_read_and_not_called_misplaced(tmp_path, messages, key):
    value = squad(answerable(0, key=key), impossible(1, key), answerable(2, "한글", key))
    rows = read_korquad(write(tmp_path / "klue-mrc-v1.1_train.json", value), strict=True)
    assert [(row.qas_id, row.is_impossible, row.answer_text) for row in rows] == [
        ("q0", False, "세종"),
        ("q1", True, ""),
        ("q2", False, "한글"),
    ]
    assert rows[1].start_position_character is None and rows[1].answers == ("",)
    assert not any("건너뜁니다" in message for message in messages())


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"answers": []}, True),  # is_impossible을 적지 않은 파일
        ({"is_impossible": True}, True),  # answers가 아예 없음
        ({"is_impossible": "true", "answers": []}, True),
        ({"is_impossible": 1, "answers": None}, True),
        ({"is_impossible": True, "answers": [{"text": "1443년", "answer_start": 4}]}, True),  # 그럴듯한 오답
        ({"is_impossible": 0, "answers": [{"text": "세종", "answer_start": 0}]}, False),
        ({"is_impossible": "False", "answers": [{"text": "세종", "answer_start": 0}]}, False),
        ({"answers": {"text": ["세종"], "answer_start": [0]}}, False),  # datasets가 저장한 꼴
        ({"answers": {"text": [], "answer_start": []}}, True),
        ({"answers": {"text": "세종", "answer_start": 0}}, False),
        ({"answers": [{"text": "", "answer_start": -1}]}, True),  # 빈 글을 정답으로 적은 파일
        ({"answers": [{"text": "1443년", "answer_start": "4"}]}, False),
        ({"answers": [{"text": "1443년", "answer_start": 4.0}]}, False),
    ],
)
def test_every_way_of_saying_that_there_is_no_answer(tmp_path, change, expected):
    (row,) = read_korquad(write(tmp_path / "a.json", squad({"id": 7, "question": "누가?"} | change)))
    assert row.is_impossible is expected and row.qas_id == "7"


@pytest.mark.parametrize(
    "change",
    [
        {"answers": [{"text": "", "answer_start": 0}], "is_impossible": False},
        {"answers": {"text": ["세종"], "answer_start": []}},
        {"answers": [{"text": "세종", "answer_start": 0.5}]},
        {"answers": [{"text": "세종", "answer_start": "처음"}]},
        {"answers": [{"text": "세종", "answer_start": None}]},
    ],
)
def test_answers_that_stand_nowhere_are_misplaced_and_not_unanswerable(tmp_path, change):
    assert read_korquad(write(tmp_path / "a.json", squad({"id": "q0", "question": "누가?"} | change))) == []


def test_an_answerable_question_without_answers_is_still_misplaced(tmp_path):
    path = write(tmp_path / "a.json", squad(answerable(0), impossible(1) | {"is_impossible": False}))
    assert [row.qas_id for row in read_korquad(path)] == ["q0"]
    with pytest.raises(NlpbookError, match="문항 q1의 답이 지문의 answer_start 자리에 없습니다"):
        read_korquad(path, strict=True)


def test_a_flag_that_is_neither_true_nor_false_is_one_sentence(tmp_path):
    path = write(tmp_path / "a.json", squad(answerable(0) | {"is_impossible": "아마"}))
    with pytest.raises(NlpbookError, match=r"a\.json: 문항 q0의 is_impossible이 '아마'입니다"):
        read_korquad(path)


@pytest.mark.parametrize("wrap", [list, lambda rows: {"data": rows}])
def test_rows_without_paragraphs_are_read_too(tmp_path, wrap):
    rows = [
        {
            "guid": "a",
            "context": CONTEXT,
            "question": "누가?",
            "answers": {"text": ["세종"], "answer_start": [0]},
        },
        {
            "guid": "b",
            "context": CONTEXT,
            "question": "얼마?",
            "answers": {"text": [], "answer_start": []},
            "is_impossible": True,
        },
    ]
    found = read_korquad(write(tmp_path / "train.json", wrap(rows)))
    assert [(row.qas_id, row.is_impossible) for row in found] == [("a", False), ("b", True)]


# 파일


@pytest.mark.parametrize(
    "train, val",
    [
        ("KorQuAD_v1.0_train.json", "KorQuAD_v1.0_dev.json"),
        ("klue-mrc-v1.1_train.json", "klue-mrc-v1.1_dev.json"),
        ("train-v2.0.json", "dev-v2.0.json"),
        ("train.json", "dev.json"),
        ("train.json", "val.json"),
    ],
)
def test_files_of_every_name_are_found(tmp_path, train, val):
    write(tmp_path / train, squad(answerable(0)))
    write(tmp_path / val, squad(answerable(1), impossible(2)))
    corpus = KorQuADV1Corpus()
    assert [corpus.get_files(tmp_path, mode)[0].name for mode in ("train", "val", "test")] == [
        train,
        val,
        val,
    ]
    assert len(corpus.get_examples(tmp_path, "val")) == 2


def test_own_test_file_is_used_and_missing_files_are_named(tmp_path):
    write(tmp_path / "test.json", squad(answerable(0)))
    assert KorQuADV1Corpus().get_files(tmp_path, "test")[0].name == "test.json"
    with pytest.raises(NlpbookError, match=r"train 문항을 읽을 파일이 없습니다.*train\.json"):
        KorQuADV1Corpus().get_examples(tmp_path, "train")


def test_missing_klue_mrc_says_where_it_comes_from(tmp_path, capsys):
    command = ["train", "qa", "--downstream_corpus_name", "klue-mrc", "--downstream_corpus_root_dir"]
    assert main([*command, str(tmp_path)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "https://github.com/KLUE-benchmark/KLUE" in error and str(tmp_path / "klue-mrc") in error


# 특징


@pytest.mark.parametrize("side", ["right", "left"])
def test_all_windows_of_an_unanswerable_question_point_at_the_first_token(tmp_path, mini_tokenizer, side):
    mini_tokenizer = type(mini_tokenizer).from_pretrained(mini_tokenizer.name_or_path, padding_side=side)
    rows = read_korquad(
        write(tmp_path / "a.json", squad(answerable(0, "학자들"), impossible(1), answerable(2)))
    )
    settings = SimpleNamespace(max_seq_length=32, max_query_length=16, doc_stride=6, threads=1)
    columns = question_columns(WindowEncoder(mini_tokenizer, settings), rows)
    data = WindowDataset(columns, mini_tokenizer, settings)
    batch = data.batch(np.arange(len(data)))
    silent = columns["question"] == 1
    assert silent.sum() > 1 and columns["start_positions"][~silent].any()
    for name in ("start_positions", "end_positions"):
        chosen = batch["input_ids"][np.arange(len(data)), batch[name]].numpy()
        assert (chosen[silent] == mini_tokenizer.cls_token_id).all()
        assert (chosen[columns[name] > 0] != mini_tokenizer.cls_token_id).all()


def test_answerable_questions_make_the_same_columns_beside_unanswerable_ones(tmp_path, mini_tokenizer):
    settings = SimpleNamespace(max_seq_length=32, max_query_length=16, doc_stride=6, threads=1)
    encoder = WindowEncoder(mini_tokenizer, settings)
    questions = [answerable(0, "학자들"), answerable(1)]
    alone = question_columns(encoder, read_korquad(write(tmp_path / "a.json", squad(*questions))))
    mixed = question_columns(
        encoder, read_korquad(write(tmp_path / "b.json", squad(*questions, impossible(2))))
    )
    kept = mixed["question"] < 2
    for name in ("window_start", "window_length", "start_positions", "end_positions"):
        assert (mixed[name][kept] == alone[name]).all()


# 예측


@pytest.mark.parametrize("side", ["right", "left"])
def test_null_score_is_the_lowest_first_token_score_of_the_windows(mini_tokenizer, side):
    tokenizer = type(mini_tokenizer).from_pretrained(mini_tokenizer.name_or_path, padding_side=side)
    settings = SimpleNamespace(max_seq_length=32, max_query_length=16, doc_stride=6)
    data = WindowDataset(
        WindowEncoder(tokenizer, settings)([("누가?", CONTEXT), ("값은 얼마인가?", CONTEXT[:20])]),
        tokenizer,
        settings,
    )
    batch = data.batch(np.arange(len(data)))
    start, end = torch.randn(2, *batch["input_ids"].shape)
    nulls = NullScores()
    nulls.read(data, np.arange(len(data)), SimpleNamespace(start_logits=start, end_logits=end))
    expected = {}
    for row, question in enumerate(data.columns["question"].tolist()):
        (place,) = (batch["input_ids"][row] == tokenizer.cls_token_id).nonzero()[0].tolist()
        score = float(start[row, place] + end[row, place])
        expected[question] = min(score, expected.get(question, math.inf))
    assert nulls.found == pytest.approx(expected) and len(expected) == 2


BEST = [((0, 2), 5.0), ((4, 9), 4.0)]


@pytest.mark.parametrize(
    "null_score, threshold, found",
    [
        (100.0, None, True),
        (5.5, 0.5, True),
        (5.51, 0.5, False),
        (4.0, 0.0, True),
        (4.0, -2.0, False),
        (900.0, 0.0, False),
        (-900.0, 0.0, True),
    ],
)
def test_threshold_decides_and_shares_add_up_to_one(null_score, threshold, found):
    plain = answer_of("누가?", CONTEXT, BEST)
    told = with_no_answer(plain, BEST, null_score, threshold)
    assert told["found"] is found and told["null_score_diff"] == pytest.approx(null_score - 5)
    if threshold is None:
        assert plain.items() <= told.items()  # 문턱값이 없으면 답은 마지막 자리까지 그대로입니다.
        return
    shares = np.exp(np.array([null_score, 5.0, 4.0]) - max(null_score, 5.0))
    shares = shares / shares.sum()
    answers = ([] if not found else [told]) + told["candidates"]
    assert [each["answer"] for each in answers] == [CONTEXT[:2], CONTEXT[4:9]]
    assert [each["score"] for each in answers] == pytest.approx(shares[1:].tolist())
    if not found:
        assert (told["answer"], told["start"], told["end"]) == ("", 0, 0)
        assert told["score"] == pytest.approx(shares[0]) and "찾지 못했습니다" in highlight_answer(
            CONTEXT, told
        )
    json.dumps(told, allow_nan=False)


def test_empty_passage_has_no_null_score():
    told = with_no_answer(answer_of("누가?", "", []), [], None, 0.0)
    assert not told["found"] and told["null_score"] is None and told["null_score_diff"] is None


# 문턱값과 채점


def test_best_threshold_equals_trying_them_all():
    rng = random.Random(7)
    for _ in range(300):
        count = rng.randint(1, 12)
        differences = [rng.choice([rng.uniform(-3, 3), 0.0, 1.0]) for _ in range(count)]
        has = [rng.random() < 0.5 for _ in range(count)]
        scores = [rng.choice([0.0, 0.5, 1.0]) if each else 0.0 for each in has]

        def mean(threshold, differences=differences, has=has, scores=scores):
            rows = zip(differences, has, scores)
            return sum(
                (not answered) if difference > threshold else score for difference, answered, score in rows
            ) / len(has)

        threshold, best = find_threshold(differences, scores, has)
        tries = [-9.0, 9.0, *differences, *(each - 1e-6 for each in differences)]
        assert mean(threshold) == pytest.approx(best) == pytest.approx(max(map(mean, tries)))
    assert find_threshold([], [], []) == (0.0, 0.0)


def official(predictions, references):
    """SQuAD 2.0 채점의 차례를 따로 쓴 것. 정규화와 F1만 KorQuAD의 것입니다."""

    def parts(prediction, golds):
        golds = [gold for gold in golds if normalize_answer(gold)] or [""]
        found = normalize_answer(prediction)
        exact = max(float(found == normalize_answer(gold)) for gold in golds)
        overlap = max(
            float(found == normalize_answer(gold))
            if not (found and normalize_answer(gold))
            else f1(prediction, gold)
            for gold in golds
        )
        return exact, overlap

    rows = {key: parts(predictions[key], golds) for key, golds in references.items()}
    has = {key for key, golds in references.items() if any(golds)}
    found = {}
    for name, keys in (("", set(rows)), ("has_answer_", has), ("no_answer_", set(rows) - has)):
        if keys:
            for place, metric in enumerate(("em", "f1")):
                found[name + metric] = 100 * sum(rows[key][place] for key in keys) / len(keys)
    return found


def test_scores_equal_those_of_the_squad_2_rules():
    rng = random.Random(7)
    words = ["세종", "세종대왕", "1443년", "《훈민정음》", "훈민정음", "the Hangul", "", "'"]
    for _ in range(200):
        keys = [f"q{number}" for number in range(rng.randint(1, 9))]
        references = {key: rng.choice([("",), ("세종",), ("1443년", "1443"), ("훈민정음",)]) for key in keys}
        references[keys[0]] = ("",)
        predictions = {key: rng.choice(words) for key in keys}
        assert squad2_scores(predictions, references) == pytest.approx(official(predictions, references))
    empty = {"q0": (), "q1": ("세종",)}
    assert squad2_scores({"q0": "", "q1": "세종"}, empty)["no_answer_em"] == 100.0


def test_scores_without_unanswerable_questions_are_exactly_korquads():
    references = {f"q{number}": ("세종", "세종대왕") for number in range(7)}
    predictions = {
        f"q{number}": word for number, word in enumerate(["세종", "종", "", "대왕", "이도", "세종은"])
    }
    assert squad2_scores(predictions, references) == korquad_scores(predictions, references)


# 처음부터 끝까지


@pytest.fixture
def folder(tmp_path):
    for name, numbers in (("train", range(12)), ("dev", range(20, 30))):
        questions = [answerable(n, ("세종", "한글")[n % 4 > 1]) if n % 2 else impossible(n) for n in numbers]
        (tmp_path / "own").mkdir(exist_ok=True)
        write(tmp_path / "own" / f"{name}.json", squad(*questions))
    return tmp_path


@pytest.fixture
def qa_options(small_training, folder):
    return small_training | {
        "downstream_corpus_root_dir": str(folder),
        "downstream_corpus_name": "own",
        "max_seq_length": 64,
        "max_query_length": 16,
        "doc_stride": 24,
        "batch_size": 8,
        "precision": "fp32",
    }


def as_words(options):
    return [
        word
        for name, value in options.items()
        for word in (f"--{name}", *(() if value is True else (str(value),)))
    ]


def test_own_files_are_trained_scored_and_answered_with_the_threshold_found(qa_options, folder, capsys):
    assert main(["train", "qa", *as_words(qa_options)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["val_questions"] == 10
    halves = [result[f"val_{part}_f1"] for part in ("has_answer", "no_answer")]
    assert result["val_f1"] == pytest.approx(sum(halves) / 2, abs=1e-3)
    model = qa_options["downstream_model_dir"]
    config = json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))
    args = QADeployArguments(downstream_model_dir=model, max_query_length=16, doc_stride=24)
    assert args.null_score_diff_threshold == config["null_score_diff_threshold"]
    rows = KorQuADV1Corpus().get_examples(folder / "own", "val")
    answerer = load_answerer(args)
    found = answerer.answer([(row.question_text, row.context_text) for row in rows])
    references = {row.qas_id: row.answers for row in rows}
    again = squad2_scores({row.qas_id: each["answer"] for row, each in zip(rows, found)}, references)
    assert {name: result[f"val_{name}"] for name in again} == pytest.approx(again, abs=1e-3)
    always = squad2_scores(
        {row.qas_id: (each["answer"] or each["candidates"][0]["answer"]) for row, each in zip(rows, found)},
        references,
    )
    assert again["f1"] >= max(always["f1"], 50.0)  # 늘 답하거나 늘 답하지 않는 것보다 못할 수 없습니다.
    for threshold, expected in (("-1e9", False), ("1e9", True)):
        words = [f"--null_score_diff_threshold={threshold}", "누가 만들었나?", CONTEXT]
        assert main(["predict", "qa", "--model_dir", model, *words]) == 0
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert told["found"] is expected and (told["answer"] != "") is expected


def test_given_threshold_is_kept_and_a_model_without_unanswerable_questions_never_says_none(
    qa_options, folder, mini_tokenizer
):
    from transformers import AutoConfig, AutoModelForQuestionAnswering

    from nlpbook_nbs.core.training import get_trainer, make_loader

    def train(model, **changes):
        args = QATrainArguments(**(qa_options | changes))
        data = [QADataset(args, mini_tokenizer, KorQuADV1Corpus(), mode) for mode in ("train", "val")]
        task = QATask(model, args)
        trainer = get_trainer(args)
        trainer.fit(task, make_loader(data[0], args, True), make_loader(data[1], args, False))
        return task, json.loads((folder / "model" / "config.json").read_text(encoding="utf-8"))

    model = AutoModelForQuestionAnswering.from_config(
        AutoConfig.from_pretrained(qa_options["pretrained_model_name"])
    )
    task, config = train(model, null_score_diff_threshold=-1e9)
    assert config["null_score_diff_threshold"] == -1e9 and set(task.last_predictions.values()) == {""}
    for name in ("train", "dev"):
        write(folder / "own" / f"{name}.json", squad(*(answerable(number) for number in range(8))))
    task, config = train(model, null_score_diff_threshold=-1e9)
    assert "null_score_diff_threshold" not in config and "" not in task.last_predictions.values()
    answerer = QuestionAnswerer(
        model.eval(), mini_tokenizer, QADeployArguments(downstream_model_dir=str(folder / "model"))
    )
    assert answerer("값은 얼마인가?", CONTEXT)["found"]


def test_a_threshold_in_the_model_that_is_not_a_number_is_one_sentence(tiny_model):
    path = tiny_model / "config.json"
    write(path, json.loads(path.read_text(encoding="utf-8")) | {"null_score_diff_threshold": "높음"})
    with pytest.raises(NlpbookError, match="null_score_diff_threshold='높음'"):
        QADeployArguments(downstream_model_dir=str(tiny_model), max_seq_length=64)


def test_sheets_of_several_processes_become_one(monkeypatch):
    sheets = [AnswerSheet(2), AnswerSheet(2)]
    for number, sheet in enumerate(sheets):
        sheet.add(0, float(number), 0, 2 + number)
        sheet.nulls.add(0, 3.0 - number)
    parts = iter([[sheet.found for sheet in sheets], [sheet.nulls.found for sheet in sheets]])
    for room in ("spans", "no_answer"):
        monkeypatch.setattr(f"nlpbook_nbs.core.{room}.gather_objects", lambda value: next(parts))
    merged = sheets[0].gathered()
    assert merged.best(0)[0] == ((0, 3), 1.0) and merged.nulls.found == {0: 2.0}


def test_a_small_model_learns_when_not_to_answer(qa_options, folder, capsys):
    """답이 없는 문항은 질문의 낱말로 알 수 있고, 답은 늘 같은 낱말입니다. 가장 작은 모델도 배울 수 있습니다."""
    for name, numbers in (("train", range(240)), ("dev", range(300, 340))):
        write(
            folder / "own" / f"{name}.json",
            squad(*(answerable(n) if n % 2 else impossible(n) for n in numbers)),
        )
    assert main(["train", "qa", *as_words(qa_options | {"epochs": 5, "learning_rate": 3e-3})]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["val_no_answer_em"] == 100.0 and result["val_has_answer_em"] == 100.0
    words = ["predict", "qa", "--model_dir", qa_options["downstream_model_dir"], "--max_query_length", "16"]
    for question, found in (("300번 질문: 값은 얼마인가?", False), ("301번 질문: 누가 만들었나?", True)):
        assert main([*words, "--doc_stride", "24", question, CONTEXT]) == 0
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert told["found"] is found and told["answer"] == ("세종" if found else "")


# 다른 단위로 센 자리


SMILING = "😀 세종은 1443년에 👨‍👩‍👧 한글을 만들었다. 😀 그 일을 학자들이 도왔다."
UNITS = {"utf-16-le": 2, "utf-8": 1}


def counted(words, unit, context=SMILING):
    """`answer_start`를 `unit`으로 센 파일의 내용."""
    rows = []
    for number, word in enumerate(words):
        start = len(context[: context.index(word)].encode(unit)) // UNITS[unit]
        rows.append(
            {"id": f"q{number}", "question": "무엇?", "answers": [{"text": word, "answer_start": start}]}
        )
    return squad(*rows, context=context)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("words", [["세종", "한글", "학자들"], ["학자들"], ["은", "을", "다"]])
def test_positions_counted_in_another_unit_are_read_so_when_every_question_fits(
    tmp_path, messages, unit, words
):
    path = write(tmp_path / "a.json", counted(words, unit))
    rows = read_korquad(path, strict=True)
    assert [row.start_position_character for row in rows] == [SMILING.index(word) for word in words]
    assert [row.answer_text for row in rows] == words
    assert len([message for message in messages() if "로 센 파일" in message]) == 1


def test_positions_in_letters_stay_as_they_are_beside_emoji(tmp_path, messages):
    value = counted(["세종", "한글"], "utf-16-le", CONTEXT)
    value["data"][0]["paragraphs"][0]["context"] += " 😀"
    rows = read_korquad(write(tmp_path / "a.json", value))
    assert [row.start_position_character for row in rows] == [
        CONTEXT.index(word) for word in ("세종", "한글")
    ]
    assert messages() == []


def test_a_file_that_mixes_units_is_not_guessed_but_told(tmp_path, messages):
    value = counted(["세종", "한글", "학자들"], "utf-16-le")
    questions = value["data"][0]["paragraphs"][0]["qas"]
    questions[0]["answers"][0]["answer_start"] = SMILING.index("세종")
    path = write(tmp_path / "a.json", value)
    assert [row.answer_text for row in read_korquad(path)] == ["세종"]
    assert any("2문항을 건너뜁니다" in told and "2문항은 UTF-16 단위로 세면" in told for told in messages())
    with pytest.raises(NlpbookError, match="UTF-16 단위로 세면"):
        read_korquad(path, strict=True)


def test_one_short_answer_that_fits_another_unit_by_chance_is_still_misplaced(tmp_path):
    value = counted(["세종", "을"], "utf-16-le")
    value["data"][0]["paragraphs"][0]["qas"].pop(0)
    assert read_korquad(write(tmp_path / "a.json", value)) == []
