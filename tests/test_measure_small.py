"""nlpbook-small을 재는 도구: 자가 맞는지, 잴 것마다 끝까지 도는지."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL_BERT, write

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))
import measure_small
import tag_small

from nlpbook_nbs.core.settings import NlpbookError

REVIEWS = "id\tdocument\tlabel\n" + "".join(
    f"{n}\t영화가 {'좋다' if n % 2 else '나쁘다'}\t{n % 2}\n" for n in range(12)
)
PAIRS = (
    "sentence1\tsentence2\tgold_label\n"
    + "비가 온다.\t땅이 젖었다.\tentailment\n비가 온다.\t맑다.\tcontradiction\n" * 4
)
SCORES = (
    "sentence1\tsentence2\tscore\n"
    + "비가 온다.\t비가 내린다.\t4.5\n비가 온다.\t개가 짖는다.\t0.5\n눈이 온다.\t눈이 내린다.\t3.0\n" * 3
)
TAGGED = "".join(
    f"{letter}\t{tag}\n" for letter, tag in zip("김철수 갔다", ["B-PS", "I-PS", "I-PS", "O", "O", "O"])
)


@pytest.fixture(scope="module")
def random_model(tmp_path_factory, mini_tokenizer):
    """무작위 가중치의 아주 작은 BERT. 어휘는 nlpbook-mini의 것입니다."""
    from transformers import BertConfig, BertForPreTraining

    folder = tmp_path_factory.mktemp("models") / "random"
    torch.manual_seed(0)
    BertForPreTraining(BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT)).save_pretrained(folder)
    mini_tokenizer.save_pretrained(folder)
    return folder


def korquad(articles=32):
    """글마다 지문 하나, 질문 하나인 KorQuAD 파일의 내용."""
    rows = []
    for n in range(articles):
        question = {
            "id": f"q{n}",
            "question": f"나무{n}은 어디에 있나?",
            "answers": [{"text": "언덕", "answer_start": 0}],
        }
        rows.append(
            {"title": str(n), "paragraphs": [{"context": f"언덕 위에 나무{n}이 서 있다.", "qas": [question]}]}
        )
    return {"version": "KorQuAD_v1.0_dev", "data": rows}


@pytest.fixture
def data(tmp_path):
    """재는 데 쓰는 말뭉치들의 아주 작은 폴더."""
    nli = [
        {"guid": f"n{n}", "premise": "비가 온다.", "hypothesis": f"맑다 {label}", "gold_label": label}
        for n, label in enumerate(["entailment", "contradiction", "neutral"] * 3)
    ]
    files = {"nsmc": {f"ratings_{name}.txt": REVIEWS for name in ("train", "test")}}
    files["klue-nli"] = {f"klue_nli_{name}.json": nli for name in ("train", "dev")}
    files["kornli"] = {f"xnli.{name}.ko.tsv": PAIRS for name in ("test", "dev")}
    files["korsts"] = {f"sts-{name}.tsv": SCORES for name in ("train", "dev", "test")}
    files["klue-ner"] = {
        f"klue-ner-v1.1_{name}.tsv": "## 머리말\n" + f"{TAGGED}\n" * 6 for name in ("train", "dev")
    }
    files["korquad-v1"] = {"KorQuAD_v1.0_dev.json": korquad()}
    for corpus, parts in files.items():
        (tmp_path / "data" / corpus).mkdir(parents=True)
        for name, content in parts.items():
            write(tmp_path / "data" / corpus / name, content)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("what", "metric"),
    [
        ("nsmc", "test_acc"),
        ("klue-nli", "test_acc"),
        ("kornli", "test_acc"),
        ("korsts", "test_spearman"),
        ("ner", "macro_f1"),
        ("qa", "val_f1"),
    ],
)
def test_every_fine_tuned_measure_runs_to_its_end_and_is_recorded(
    what, metric, data, random_model, tmp_path, capsys
):
    record = tmp_path / "measured.jsonl"
    options = [what, str(random_model), str(data), "--work", str(tmp_path / "work"), "--record", str(record)]
    measure_small.main(
        [*options, "--epochs", "1", "--max_seq_length", "32", "--train", "8", "--precision", "fp32"]
        if what != "qa"
        else [*options, "--epochs", "1", "--max_seq_length", "64", "--questions", "2"]
    )
    rows = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    assert rows[-1]["what"] == what and rows[-1]["model"] == "random" and rows[-1]["seed"] == 7
    assert np.isfinite(rows[-1][metric]) and rows[-1]["settings"]["learning_rate"] == 1e-4
    assert [
        json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"what')
    ] == rows
    cheap = {"ner": ["dictionary", "sure"], "korsts": ["bigram_overlap"]}.get(what, [])
    assert [row["model"] for row in rows[:-1]] == cheap


def test_a_setting_that_training_does_not_know_is_refused(data, random_model, tmp_path):
    with pytest.raises(NlpbookError, match="nonsense: 이 판의 학습 설정에 없는"):
        measure_small.fine_tuned("nsmc", str(random_model), data, tmp_path, 7, nonsense=1)
    with pytest.raises(NlpbookError, match="--work"):
        measure_small.main(["nsmc", str(random_model), str(data)])


def test_untrained_retrieval_stands_beside_bm25(data, random_model, tmp_path):
    path, record = data / "korquad-v1" / "KorQuAD_v1.0_dev.json", tmp_path / "found.jsonl"
    measure_small.main(
        ["retrieval", str(random_model), str(path), "--questions", "20", "--record", str(record)]
    )
    cheap, found = (json.loads(line) for line in record.read_text(encoding="utf-8").splitlines())
    assert cheap["model"] == "bm25" and cheap["r1"] > 0.5 and cheap["passages"] == found["passages"] == 32
    assert 0 <= found["r1"] <= found["r10"] <= 1 and found["questions"] == 20


def test_a_passage_as_good_as_the_right_one_does_not_push_it_down():
    scores = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]])
    assert measure_small.rank_scores(scores, [0, 2])["r1"] == 0.5


def test_held_out_documents_are_those_that_training_leaves_out(tmp_path, mini_tokenizer):
    from nlpbook_nbs.core.text import TokenizedText

    documents = [f"영화 {n}\n좋다 {n}" for n in range(10)]
    path = write(tmp_path / "text.txt", "\n\n".join(documents) + "\n")
    found = list(measure_small.held_out_lines(path, every=4))
    text = TokenizedText(mini_tokenizer, path)
    numbers = text.document_ids("val", 4, np.arange(text.document_count("val", 4)))
    assert found == [documents[number].split("\n") for number in numbers]


def masked_rows(tmp_path, tokenizers, count=50):
    lines = [f"이 영화 정말 {word} 재미있는 작품이다" for word in ("너무", "진짜", "너무")]
    path = write(tmp_path / "held.txt", "\n\n".join("\n".join(lines) for _ in range(400)) + "\n")
    return measure_small.choose_words(tokenizers, path, count)


def test_masked_words_are_one_token_in_both_vocabularies(tmp_path, mini_tokenizer):
    class Other:
        def tokenize(self, word):
            return [word] if word == "너무" else []

    rows = masked_rows(tmp_path, [mini_tokenizer, Other()])
    assert len(rows) == 4 and {word for _, word, _ in rows} == {"너무"}
    assert rows[0][0].endswith("정말") and rows[0][2].startswith("재미있는")


def test_a_model_that_always_says_one_word_is_right_as_often_as_it_occurs(
    tmp_path, mini_tokenizer, random_model
):
    from transformers import BertForPreTraining

    model = BertForPreTraining.from_pretrained(random_model)
    rows = masked_rows(tmp_path, [mini_tokenizer])
    word = rows[0][1]
    with torch.no_grad():
        model.cls.predictions.bias[mini_tokenizer.convert_tokens_to_ids(word)] = 1e4
    found = measure_small.masked_words(model, mini_tokenizer, rows)
    assert found["top1"] == pytest.approx(sum(each == word for _, each, _ in rows) / len(rows), abs=1e-4)


def test_words_are_measured_for_both_models_beside_the_most_frequent_one(tmp_path, random_model):
    lines = "이 영화 정말 너무 재미있는 작품이다"
    path = write(tmp_path / "held.txt", "\n\n".join([lines] * 400) + "\n")
    record = tmp_path / "words.jsonl"
    options = ["words", "nlpbook-mini", str(path), "--beside", str(random_model), "--record", str(record)]
    measure_small.main([*options, "--count", "2"])
    rows = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    assert [row["model"] for row in rows] == ["most_frequent", "nlpbook-mini", "random"]
    assert {row["count"] for row in rows} == {2}


def test_rounding_to_eight_bits_is_measured_beside_the_floats(data, random_model, tmp_path):
    path = write(
        tmp_path / "held.txt", "\n\n".join(["이 영화 정말 너무 재미있는 작품이다\n정말 좋다"] * 20) + "\n"
    )
    korquad_file, record = data / "korquad-v1" / "KorQuAD_v1.0_dev.json", tmp_path / "int8.jsonl"
    options = ["int8", str(random_model), str(path), "--korquad", str(korquad_file), "--record", str(record)]
    measure_small.main(options)
    before, after = (json.loads(line) for line in record.read_text(encoding="utf-8").splitlines())
    assert [before["model"], after["model"]] == ["float", "int8"] and before["cosine"] == 1
    assert 0.99 < after["cosine"] <= 1 and after["loss"] == pytest.approx(before["loss"], rel=0.01)


def test_rounded_weights_are_those_that_the_package_holds(random_model):
    from transformers import BertForPreTraining

    model = BertForPreTraining.from_pretrained(random_model)
    weight = model.bert.embeddings.word_embeddings.weight
    before = weight.detach().clone()
    measure_small.rounded(model)
    off, step = (weight.detach() - before).abs(), before.abs().max(dim=1).values / 127
    assert 0 < off.max() and (off <= 0.6 * step[:, None]).all()
    assert model.cls.predictions.decoder.weight is weight


# 모델 카드


def test_the_card_takes_its_figures_from_the_records(tmp_path):
    from card_small import write_card

    target, work = tmp_path / "target", tmp_path / "work"
    target.mkdir()
    work.mkdir()
    sizes = SMALL_BERT | {"vocab_size": 18517}
    write(target / "config.json", sizes)
    held = {
        name: {"loss": 4.5, "top1": 0.25, "masked": 9} for name in ("text", "tech", "law", "talk", "reviews")
    }
    curve = [
        {"step": 150, "stage": "head", "tokens": 258_000, "cpu_seconds": 120, "train": {}},
        {"step": 900, "stage": "upper", "tokens": 1_600_000, "cpu_seconds": 1320, "held_out": held},
    ]
    write(work / "curve.jsonl", "".join(json.dumps(row) + "\n" for row in curve))
    runs = [
        {"what": "words", "model": "nlpbook-small", "seed": seed, "top1": 0.2 + seed / 100} for seed in (1, 2)
    ]
    runs += [{"what": "retrieval", "model": "bm25", "r1": 0.5, "r10": 0.9}]
    write(work / "measured.jsonl", "".join(json.dumps(row) + "\n" for row in runs))
    write_card(target, work, 28_917_975, 29_441_736)
    card = (target / "README.md").read_text(encoding="utf-8")
    assert (
        "28,917,975개" in card and "29.4 MB" in card and "1,600,000토큰(900스텝)" in card and "$" not in card
    )
    assert "| upper | 위쪽 절반의 층과 머리 | 750 | 1,342,000 |" in card and "20분" in card
    assert "4.500 / 0.250" in card
    assert "| `nlpbook-small` | – | top-1 0.215 (0.210–0.220) |" in card
    assert "글자 두 개씩의 BM25 | – | R@1 0.500, R@10 0.900" in card
    assert "패키지에 든 NSMC 리뷰" in card and "글자 조각 · 나이브 베이즈 | – | 정확도 0.787" in card


# 개체명


def test_a_token_has_the_tag_of_its_first_letter(mini_tokenizer):
    text, tags = "영화 정말", ["B-PS", "I-PS", "O", "O", "O"]
    ids, offsets = tag_small.encode(mini_tokenizer, [text], 32)
    labels = tag_small.token_labels(offsets[0], tags)
    assert labels[0] == labels[-1] == -100 and len(labels) == len(ids[0])
    assert [tag_small.TAGS[label] for label in labels[1:-1]] == [tags[start] for start, _ in offsets[0][1:-1]]


def test_frozen_layers_do_not_change(random_model, tmp_path, data):
    from transformers import AutoModelForTokenClassification

    model = AutoModelForTokenClassification.from_pretrained(random_model)
    tag_small.freeze(model, 1)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert not any("embeddings" in name or "layer.0." in name for name in trained)
    assert any("layer.1." in name for name in trained)


def test_training_goes_on_where_it_stopped():
    from adapt_small import picked_sources

    assert np.array_equal(picked_sources(500), picked_sources(900)[:500])
