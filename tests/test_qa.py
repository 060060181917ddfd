"""5장: 질의응답."""

import json
import random
import re
import string
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write

from nlpbook_nbs.cli import main
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.spans import AnswerBook, best_spans
from nlpbook_nbs.core.squad import read_korquad
from nlpbook_nbs.core.windows import WindowEncoder
from nlpbook_nbs.qa import (
    KorQuADV1Corpus,
    QADataset,
    QADeployArguments,
    QATrainArguments,
    QuestionAnswerer,
    exact_match,
    f1,
    highlight_answer,
    korquad_scores,
    load_answerer,
    write_predictions,
)

SAMPLE = Path(sample_root(), "korquad-v1")


def korquad(*questions, context="세종은 1443년에 한글을 만들었다."):
    rows = [
        {"id": f"q{number}", "question": question, "answers": [{"text": text, "answer_start": start}]}
        for number, (question, text, start) in enumerate(questions)
    ]
    return {"version": "1", "data": [{"title": "글", "paragraphs": [{"context": context, "qas": rows}]}]}


@pytest.fixture
def qa_args(small_training):
    values = {
        "downstream_corpus_name": "korquad-v1",
        "max_seq_length": 64,
        "max_query_length": 16,
        "doc_stride": 24,
    }

    def make(**changes):
        return QATrainArguments(**(small_training | values | changes))

    return make


# 말뭉치


def test_sample_passages_hold_their_answers():
    rows = [
        row for mode in ("train", "val") for row in KorQuADV1Corpus(strict=True).get_examples(SAMPLE, mode)
    ]
    assert len(rows) >= 240 and len({row.context_text for row in rows}) >= 60
    assert len({row.qas_id for row in rows}) == len(rows)
    assert sum(row.start_position_character == 0 for row in rows) >= 10
    train = {row.context_text for row in KorQuADV1Corpus().get_examples(SAMPLE, "train")}
    assert not train & {row.context_text for row in KorQuADV1Corpus().get_examples(SAMPLE, "val")}


def test_answers_at_character_zero_are_kept(real_data):
    """결함 1: 0번째 글자에서 시작하는 답을 빠뜨리지 않습니다."""
    rows = KorQuADV1Corpus(strict=True).get_examples(real_data / "korquad-v1", "val")
    assert len(rows) == 5774 and sum(row.start_position_character == 0 for row in rows) == 241


def test_misplaced_answers_are_skipped_with_a_count_or_refused(tmp_path, messages):
    path = write(
        tmp_path / "qa.json", korquad(("누가?", "세종", 0), ("언제?", "1443년", 3), ("무엇을?", "한글", -1))
    )
    assert [row.answer_text for row in read_korquad(path)] == ["세종"]
    assert any("2문항을 건너뜁니다" in message and "q1" in message for message in messages())
    with pytest.raises(
        NlpbookError,
        match=r"qa\.json: 문항 q1의 답이 지문의 answer_start 자리에 없습니다\(이런 문항이 모두 2개\)",
    ):
        read_korquad(path, strict=True)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda d: d.pop("data"), "최상위에 data 목록이 없습니다"),
        (lambda d: d["data"][0].pop("paragraphs"), r"data\[0\]에 paragraphs"),
        (lambda d: d["data"][0]["paragraphs"][0].pop("context"), "context"),
        (lambda d: d["data"][0]["paragraphs"][0]["qas"][0].pop("question"), "문항 q0에 question"),
        (lambda d: d["data"][0]["paragraphs"][0]["qas"][0].pop("answers"), "문항 q0에 answers"),
        (lambda d: d["data"][0]["paragraphs"][0]["qas"][0].pop("id"), "id가 없습니다"),
        (
            lambda d: d["data"][0]["paragraphs"][0]["qas"].append(d["data"][0]["paragraphs"][0]["qas"][0]),
            "q0.*두 번",
        ),
    ],
)
def test_bad_korquad_files_are_one_sentence(tmp_path, change, words):
    value = korquad(("누가?", "세종", 0))
    change(value)
    with pytest.raises(NlpbookError, match=words) as error:
        read_korquad(write(tmp_path / "qa.json", value))
    assert "qa.json" in str(error.value)


def test_broken_json_is_named_by_line(tmp_path):
    with pytest.raises(NlpbookError, match=r"qa\.json:2: 올바른 JSON이 아닙니다"):
        read_korquad(write(tmp_path / "qa.json", '{"data":\n[1,}'))


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"doc_stride": 0}, "doc_stride=0"),
        ({"doc_stride": 46}, "doc_stride=46.*건너뛰는"),
        ({"max_query_length": 61}, "max_query_length=61"),
        ({"max_answer_length": 0}, "max_answer_length=0"),
        ({"threads": -1}, "threads=-1"),
        ({"monitor": "max val_acc"}, "val_f1"),
    ],
)
def test_bad_qa_settings_are_refused(qa_args, changes, words):
    with pytest.raises(NlpbookError, match=words):
        qa_args(**changes)


# 특징


def gold_text(data, index):
    """창의 정답 자리를 원문의 글로 되돌립니다."""
    columns = data.columns
    first, last = (columns[name][[index], None] for name in ("start_positions", "end_positions"))
    start, end = data.characters(np.array([index]), first, last)
    return data.examples[columns["question"][index]], int(start.item()), int(end.item())


def check_gold_spans(data):
    """답이 든 모든 창에서, 정답 자리는 답과 같거나 경계가 토큰 안쪽에 있어 조금 넘칠 뿐입니다. `(문항, 넘친 창)` 수를 돌려줍니다."""
    kept, inside = set(), 0
    columns = data.columns
    for index in np.flatnonzero(columns["start_positions"]):
        row, start, end = gold_text(data, index)
        answer = row.answer_text  # 공식 파일에는 앞뒤에 빈칸이 붙은 답이 몇 개 있습니다.
        first = row.start_position_character + len(answer) - len(answer.lstrip())
        last = row.start_position_character + len(answer.rstrip())
        assert start <= first and end >= last
        kept.add(row.qas_id)
        if (start, end) != (first, last):
            inside += 1
            question = columns["question"][index]
            a, b = (
                columns["context_offsets"][columns["context"][question]],
                columns["context_offsets"][columns["context"][question] + 1],
            )
            starts, ends = columns["char_start"][a:b], columns["char_end"][a:b]
            assert start == first or ((starts < first) & (ends > first)).any()
            assert end == last or ((starts < last) & (ends > last)).any()
    return kept, inside


def test_all_answers_of_the_real_dev_file_are_kept(real_data, kcbert):
    """결함 1과 2: 첫 글자의 답도, 마지막 낱말에서 끝나는 답도 토큰의 자리로 옳게 옮겨집니다."""
    args = QATrainArguments(
        pretrained_model_name=str(real_data / "kcbert-base"),
        downstream_corpus_name="korquad-v1",
        downstream_corpus_root_dir=str(real_data),
        from_scratch=True,
    )
    data = QADataset(args, kcbert, KorQuADV1Corpus(), "val")
    kept, inside = check_gold_spans(data)
    assert len(kept) == 5774
    assert inside < 0.25 * int((data.columns["start_positions"] > 0).sum())
    size = sum(array.nbytes for array in data.columns.values())
    assert size < 146e6 / 20


def test_feature_is_padded_and_marks_question_and_passage(qa_args, mini_tokenizer):
    data = QADataset(qa_args(), mini_tokenizer, KorQuADV1Corpus(), "val")
    for index in (0, len(data) // 2, len(data) - 1):
        feature = data[index]
        lengths = {len(getattr(feature, name)) for name in ("input_ids", "attention_mask", "token_type_ids")}
        used = sum(feature.attention_mask)
        row = data.examples[data.columns["question"][index]]
        question = mini_tokenizer.encode(row.question_text, add_special_tokens=False)[:16]
        assert lengths == {64} and feature.input_ids[1 : len(question) + 1] == question
        assert (
            feature.input_ids[0] == 2
            and feature.input_ids[len(question) + 1] == feature.input_ids[used - 1] == 3
        )
        assert feature.token_type_ids == [0] * (len(question) + 2) + [1] * (used - len(question) - 2) + [
            0
        ] * (64 - used)
        batch = data.__getitems__([index]).to_batch()
        assert batch["input_ids"][0, :used].tolist() == feature.input_ids[:used] and batch[
            "index"
        ].tolist() == [index]


def test_windows_cover_every_token_and_overlap(qa_args, mini_tokenizer):
    data = QADataset(qa_args(), mini_tokenizer, KorQuADV1Corpus(), "val")
    columns = data.columns
    assert data.lengths.max() <= 64
    for question in range(len(data.examples)):
        windows = np.flatnonzero(columns["question"] == question)
        total = np.diff(columns["context_offsets"])[columns["context"][question]]
        covered = np.zeros(total, int)
        for index in windows:
            start, length = columns["window_start"][index], columns["window_length"][index]
            covered[start : start + length] += 1
        assert covered.min() >= 1 and (len(windows) == 1 or covered.max() >= 2)


def test_passages_shared_by_questions_are_stored_once(qa_args, mini_tokenizer):
    data = QADataset(qa_args(), mini_tokenizer, KorQuADV1Corpus(), "val")
    assert len(data.columns["context_offsets"]) - 1 == len({row.context_text for row in data.examples}) == 13


def test_cache_follows_file_tokenizer_and_window(qa_args, mini_tokenizer, tmp_path):
    """결함 5."""
    root = tmp_path / "root" / "mine"
    root.mkdir(parents=True)
    (root / "KorQuAD_v1.0_dev.json").write_bytes((SAMPLE / "KorQuAD_v1.0_dev.json").read_bytes())
    values = {"downstream_corpus_root_dir": str(root.parent), "downstream_corpus_name": "mine"}
    first = QADataset(qa_args(**values), mini_tokenizer, KorQuADV1Corpus(), "val")
    assert isinstance(first.columns["context_ids"], np.memmap)
    assert (
        QADataset(qa_args(**values, doc_stride=20), mini_tokenizer, KorQuADV1Corpus(), "val").fingerprint
        != first.fingerprint
    )
    text = (root / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8")
    (root / "KorQuAD_v1.0_dev.json").write_text(text.replace("무엇", "무어", 1), encoding="utf-8")
    assert (
        QADataset(qa_args(**values), mini_tokenizer, KorQuADV1Corpus(), "val").fingerprint
        != first.fingerprint
    )


STRANGE = (
    "😀이모지👨‍👩‍👧로 시작",
    "大韓民國의 首都는 서울特別市",
    "보이지\u200b않는\u200d글자",
    "결합 e\u0301 문자 café",
    "한글 자모 \u1112\u1161\u11ab과 NFD",
    "탭\t과\u3000전각 빈칸",
)


@pytest.mark.parametrize("answer", STRANGE)
def test_spans_are_exact_around_strange_characters(tmp_path, qa_args, mini_tokenizer, answer):
    context = f"앞에 오는 글입니다 {answer} 그리고 뒤에 오는 글."
    root = tmp_path / "root" / "odd"
    root.mkdir(parents=True)
    write(
        root / "KorQuAD_v1.0_dev.json", korquad(("무엇인가?", answer, context.index(answer)), context=context)
    )
    values = {"downstream_corpus_root_dir": str(root.parent), "downstream_corpus_name": "odd"}
    data = QADataset(qa_args(**values), mini_tokenizer, KorQuADV1Corpus(strict=True), "val")
    kept, _ = check_gold_spans(data)
    assert kept == {"q0"}
    index = int(np.flatnonzero(data.columns["start_positions"])[0])
    row, start, end = gold_text(data, index)
    assert answer.strip() in row.context_text[start:end]


# 채점: 공식 규칙을 따로 읽어 쓴 것


def official(predictions, references):
    def clean(text):
        for sign in ("'", '"', "《", "》", "<", ">", "〈", "〉", r"\(", r"\)", "‘", "’"):
            text = re.sub(sign, " ", text)
        text = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
        return " ".join(text.split())

    def overlap(prediction, truth):
        found = [letter for word in clean(prediction).split() for letter in word]
        wanted = [letter for word in clean(truth).split() for letter in word]
        same = sum((Counter(found) & Counter(wanted)).values())
        if same == 0:
            return 0
        precision, recall = 1.0 * same / len(found), 1.0 * same / len(wanted)
        return (2 * precision * recall) / (precision + recall)

    total = exact = score = 0
    for qas_id, truths in references.items():
        total += 1
        if qas_id in predictions:
            exact += max(clean(predictions[qas_id]) == clean(truth) for truth in truths)
            score += max(overlap(predictions[qas_id], truth) for truth in truths)
    return {"em": 100.0 * exact / total, "f1": 100.0 * score / total}


@pytest.mark.parametrize("kind", ["random", "adversarial", "gold", "missing"])
def test_scores_equal_the_official_rules_to_the_last_digit(real_data, kind):
    rows = KorQuADV1Corpus().get_examples(real_data / "korquad-v1", "val")
    rng, predictions = random.Random(7), {}
    for row in rows:
        if kind == "random":
            start = rng.randrange(len(row.context_text))
            predictions[row.qas_id] = row.context_text[start : start + rng.randint(0, 30)]
        elif kind == "adversarial":
            tricks = [
                "",
                " ",
                "()",
                "《" + row.answer_text + "》",
                row.answer_text + "은",
                row.answer_text.upper(),
                row.answer_text * 2,
            ]
            predictions[row.qas_id] = rng.choice(
                [*tricks, "‘" + row.answer_text[::-1] + "’", row.answer_text.replace(" ", "")]
            )
        elif kind == "gold" or rng.random() < 0.5:
            predictions[row.qas_id] = row.answer_text
    references = {row.qas_id: row.answers for row in rows}
    assert korquad_scores(predictions, references) == official(predictions, references)
    if kind == "gold":
        assert korquad_scores(predictions, references) == {"em": 100.0, "f1": 100.0}


def test_best_of_several_answers_counts():
    assert korquad_scores({"a": "서울"}, {"a": ("부산", "서울")}) == {"em": 100.0, "f1": 100.0}
    assert exact_match("《난중일기》", "난중일기") and f1("임수경을", "임수경") == pytest.approx(6 / 7)
    with pytest.raises(NlpbookError, match="채점할 문항"):
        korquad_scores({}, {})


def test_predictions_are_written_in_the_official_format(tmp_path):
    write_predictions({"q0": "세종"}, tmp_path / "a" / "p.json")
    assert json.loads((tmp_path / "a" / "p.json").read_text(encoding="utf-8")) == {"q0": "세종"}
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["p.json"]


# 구간 고르기


def test_best_spans_equal_a_naive_search():
    generator = torch.Generator().manual_seed(7)
    start, end = torch.randn(6, 30, generator=generator), torch.randn(6, 30, generator=generator)
    context = torch.zeros(6, 30, dtype=torch.bool)
    for row in range(6):
        context[row, 5 : 11 + 3 * row] = True
    scores, first, last = best_spans(start, end, context, max_answer_length=7, n_best_size=9)
    for row in range(6):
        used = min(12 + 3 * row, 31)
        naive = sorted(
            (
                (float(start[row, a] + end[row, b]), a, b)
                for a in range(5, used - 1)
                for b in range(a, min(a + 7, used - 1))
            ),
            reverse=True,
        )[:9]
        found = list(zip(scores[row].tolist(), first[row].tolist(), last[row].tolist()))
        found = [item for item in found if item[0] != -float("inf")]
        assert [item[1:] for item in found] == [item[1:] for item in naive]
        assert np.allclose([item[0] for item in found], [item[0] for item in naive])


def test_answer_book_keeps_the_best_over_all_windows():
    book = AnswerBook(2)
    for start, score in enumerate([0.1, 5.0, 0.2, 3.0, 0.3, 4.0, 0.4, 0.5, 0.6, 0.7]):
        book.add(0, score, start, start + 1)
    book.add(0, 4.5, 1, 2)
    assert book.best(0) == [((1, 2), 5.0), ((5, 6), 4.0)] and book.best(1) == []


# 추론


class Oracle(torch.nn.Module):
    """글에서 정해진 토큰을 찾으면 높은 점수를 주는 가짜 모델."""

    def __init__(self, target):
        super().__init__()
        self.target, self.weight = target, torch.nn.Parameter(torch.zeros(1))
        self.config = type("Config", (), {"type_vocab_size": 2})()
        self.device = torch.device("cpu")

    def forward(self, input_ids, attention_mask, token_type_ids, **_):
        hit = (input_ids == self.target).float() * 10
        # 질문 쪽과 끝을 앞세우는 함정: 시작보다 앞선 끝, 질문 속의 구간
        trap = (token_type_ids == 0).float() * 20
        return type("Output", (), {"start_logits": hit + trap, "end_logits": hit + trap})()


@pytest.fixture
def answerer(tmp_path, mini_tokenizer):
    (tmp_path / "m").mkdir()
    args = QADeployArguments(
        downstream_model_dir=str(tmp_path / "m"), max_seq_length=64, max_query_length=16, doc_stride=24
    )
    target = mini_tokenizer.convert_tokens_to_ids("영화")
    return QuestionAnswerer(Oracle(target), mini_tokenizer, args)


def test_answer_is_found_in_the_last_window(answerer):
    """결함 3: 첫 창만 읽지 않고, 끝이 시작보다 앞서지 않으며, 질문을 답으로 내놓지 않습니다."""
    passage = "바람이 분다. " * 200 + "어제 영화 한 편을 보았다."
    found = answerer("무엇을 보았나?", passage)
    assert found["answer"] == "영화" and passage[found["start"] : found["end"]] == "영화" and found["found"]
    assert found["start"] > 1000 and 0 < found["score"] <= 1
    assert all(candidate["start"] < candidate["end"] for candidate in found["candidates"])


def test_passage_of_a_million_characters_is_read_to_the_end(answerer):
    answerer.args.batch_size = 512
    passage = "가나다라 마바사아 " * 100_000 + "영화"
    assert len(passage) > 1_000_000
    found = answerer("무엇?", passage)
    assert (found["start"], found["end"]) == (len(passage) - 2, len(passage))


def test_empty_passage_gives_no_answer_and_empty_question_is_refused(answerer):
    found = answerer("무엇?", " \n ")
    assert not found["found"] and found["answer"] == "" and found["candidates"] == []
    assert "찾지 못했습니다" in highlight_answer(" ", found)
    with pytest.raises(NlpbookError, match="1번째 질문이 비었"):
        answerer(" ", "글")


def test_answers_of_many_questions_equal_those_of_one(answerer):
    passages = ["어제 영화 보았다", "", "바람이 분다. " * 50 + "영화"]
    pairs = [("무엇?", passage) for passage in passages]
    assert answerer.answer(pairs) == [answerer(*pair) for pair in pairs]


def test_highlight_escapes_the_passage(answerer):
    html = highlight_answer("<b>영화</b>", answerer("무엇?", "<b>영화</b>"))
    assert "<mark>영화</mark>" in html and "&lt;b&gt;" in html


def test_slow_tokenizer_is_refused(qa_args, mini_tokenizer):
    class Slow:
        pad_token_id = 0

        def __len__(self):
            return 8000

        def convert_tokens_to_ids(self, tokens):
            return 0

    with pytest.raises(NlpbookError, match="빠른 토크나이저"):
        WindowEncoder(Slow(), qa_args())


# 학습과 명령줄


def test_train_then_predict_and_the_logged_scores_are_those_of_the_text(
    tmp_path, tiny_model, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    command = [
        "train",
        "qa",
        "--pretrained_model_name",
        str(tiny_model),
        "--from_scratch",
        "--monitor",
        "max val_f1",
    ]
    command += ["--downstream_corpus_name", "korquad-v1", "--downstream_corpus_root_dir", sample_root()]
    command += [
        "--max_seq_length",
        "64",
        "--max_query_length",
        "16",
        "--doc_stride",
        "24",
        "--accelerator",
        "cpu",
    ]
    command += ["--epochs", "1", "--seed", "7", "--downstream_model_dir", "model", "--precision", "fp32"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 <= result["val_em"] <= result["val_f1"] <= 100 and result["val_questions"] == 52
    answerer = load_answerer(
        QADeployArguments(downstream_model_dir="model", max_query_length=16, doc_stride=24)
    )
    rows = KorQuADV1Corpus().get_examples(SAMPLE, "val")
    found = answerer.answer([(row.question_text, row.context_text) for row in rows])
    again = korquad_scores(
        {row.qas_id: answer["answer"] for row, answer in zip(rows, found)},
        {row.qas_id: row.answers for row in rows},
    )
    assert again["f1"] == pytest.approx(result["val_f1"], abs=0.5)
    passage = "세종은 한글을 만들었다."
    assert main(["predict", "qa", "--model_dir", "model", "무엇인가?", passage]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["found"] and passage[answer["start"] : answer["end"]] == answer["answer"]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_scores_during_training_equal_those_of_the_saved_model(qa_args, mini_tokenizer, precision):
    """결함 14: 학습 중의 검증과, 저장한 모델을 같은 정밀도로 다시 검증한 값이 마지막 자리까지 같습니다."""
    from transformers import AutoConfig, AutoModelForQuestionAnswering

    from nlpbook_nbs.core.training import get_trainer, make_loader
    from nlpbook_nbs.qa import QATask

    class Few(KorQuADV1Corpus):
        def get_examples(self, data_root_path, mode):
            return super().get_examples(data_root_path, mode)[:6]

    args = qa_args(precision=precision, monitor="min val_loss", batch_size=16)
    data = QADataset(args, mini_tokenizer, Few(), "val")
    model = AutoModelForQuestionAnswering.from_config(AutoConfig.from_pretrained(args.pretrained_model_name))
    trainer = get_trainer(args)
    trainer.fit(QATask(model, args), make_loader(data, args, True), make_loader(data, args, False))
    names = ("val_loss", "val_em", "val_f1")
    during = {name: float(trainer.callback_metrics[name]) for name in names}
    saved = AutoModelForQuestionAnswering.from_pretrained(args.downstream_model_dir)
    again = get_trainer(args).validate(QATask(saved, args), make_loader(data, args, False), verbose=False)[0]
    assert {name: again[name] for name in names} == during


@pytest.mark.parametrize("question", ["", "  ", "\u200b\n"], ids=ascii)
def test_empty_questions_are_skipped_with_one_count_or_refused(tmp_path, messages, question):
    path = write(
        tmp_path / "qa.json", korquad(("누가?", "세종", 0), (question, "세종", 0), (question, "한글", 11))
    )
    assert [row.question_text for row in read_korquad(path)] == ["누가?"]
    told = [message for message in messages() if "질문이 빈" in message]
    assert len(told) == 1 and "2문항을 건너뜁니다" in told[0]
    with pytest.raises(NlpbookError, match=r"문항 q1의 질문이 비었습니다\(이런 문항이 모두 2개\)"):
        read_korquad(path, strict=True)
