"""문장 생성: 되돌릴 수 있는 토큰, 라이브러리와 같은 고르기, 끝과 채운 자리, 나쁜 입력."""

import io
import json
import re
import urllib.request
from contextlib import nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertLMHeadModel,
    GPT2Config,
    GPT2LMHeadModel,
)

import nlpbook_nbs as nlpbook
from nlpbook_nbs.cli import main
from nlpbook_nbs.core.bpe import letters_per_token, save_bpe, train_bpe
from nlpbook_nbs.core.causal import counted_loss
from nlpbook_nbs.core.continuations import check_causal, continuation_columns, settle_specials
from nlpbook_nbs.core.cpu import cheap_random_numbers
from nlpbook_nbs.core.decoding import (
    Decoding,
    beam_search,
    drawn,
    fractions,
    refined,
    written_tokens,
)
from nlpbook_nbs.core.generators import TextGenerator
from nlpbook_nbs.core.ngram_lm import KneserNey
from nlpbook_nbs.core.samplers import random_key
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.streams import Line, written_texts
from nlpbook_nbs.core.text import read_documents
from nlpbook_nbs.core.writing_scores import longest_copies
from nlpbook_nbs.generation import (
    GenerationDataset,
    GenerationDeployArguments,
    GenerationTask,
    GenerationTrainArguments,
    NsmcCorpus,
    get_web_service_app,
    train_generator,
)

POSITIONS = 64
PROMPTS = ["긍정 이 영화", "부정", "긍정 배우들의 연기가 참 좋았던 작품", ""]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    lines = [line for document in read_documents(Path(nlpbook.sample_root(), "text")) for line in document]
    return save_bpe(train_bpe(lines, 1200, 500), tmp_path_factory.mktemp("bpe"), POSITIONS)


def tiny_gpt(tokenizer, **sizes):
    """점수의 차이가 뚜렷한, 무작위 가중치의 작은 GPT-2."""
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    shape = {"n_positions": POSITIONS, "n_embd": 32, "n_layer": 2, "n_head": 2} | sizes
    torch.manual_seed(7)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape, **ids)).eval()
    for weight in model.parameters():
        weight.data *= 3
    return model


@pytest.fixture(scope="module")
def model(tokenizer):
    return tiny_gpt(tokenizer)


@pytest.fixture(scope="module", params=["무작위", "nlpbook-gpt"])
def writer(request, model, tokenizer):
    """`(모델, 토크나이저)`: 무작위 가중치의 작은 GPT-2와 패키지에 든 모델."""
    if request.param == "무작위":
        return model, tokenizer
    folder = nlpbook.resolve_model_name("nlpbook-gpt")
    return GPT2LMHeadModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def generator(model, tokenizer):
    return TextGenerator(model, tokenizer, Decoding(max_length=12, seed=7))


@pytest.fixture(scope="module")
def start_folder(model, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def library(model, ids, **options):
    """라이브러리의 generate가 새로 쓴 토큰들."""
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    with torch.no_grad():
        found = model.generate(**inputs, max_new_tokens=15, pad_token_id=0, **options)
    return found[0, len(ids) :].tolist()


def ours(model, ids, **options):
    """우리가 새로 쓴 토큰들."""
    how, ends = Decoding(max_length=15, **options), [model.config.eos_token_id]
    if how.num_beams > 1:
        return beam_search(model, ids, how, ends)[0]
    return [token for ((_, token),) in written_tokens(model, [ids], how, ends)]


# 토크나이저


@pytest.mark.parametrize(
    "text", ["영화 .", "  앞과 뒤 ", "두  칸", "뷁 😀", "ㅋㅋㅋ!!?", "a\tb", "1,234원", "é 漢字"]
)
def test_text_comes_back_exactly(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.unk_token_id not in ids and ids[0] == tokenizer.bos_token_id
    assert letters_per_token(tokenizer)[ids].sum() == len(text)


def test_tokens_of_sentences_put_together_are_the_text_with_spaces(tokenizer):
    parts = ["재미있는 영화다.", "또 볼래!"]
    ids = [token for part in parts for token in tokenizer(part, add_special_tokens=False)["input_ids"]]
    assert tokenizer.decode(ids) == " ".join(parts)


def test_a_saved_tokenizer_opens_the_same(start_folder, tokenizer):
    opened = AutoTokenizer.from_pretrained(start_folder)
    assert opened("긍정 아 정말")["input_ids"] == tokenizer("긍정 아 정말")["input_ids"]
    assert len({opened.bos_token_id, opened.eos_token_id, opened.pad_token_id}) == 3


def test_too_little_text_is_refused():
    with pytest.raises(NlpbookError, match="글이 모자라"):
        train_bpe(["가나다"], 5000, 10)


# 고르기


DETERMINISTIC = [
    {},
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 1.1},
    {"num_beams": 2},
    {"num_beams": 3},
    {"num_beams": 4, "no_repeat_ngram_size": 2},
]


@pytest.mark.parametrize("options", DETERMINISTIC, ids=str)
def test_deterministic_writing_equals_the_library(writer, options):
    model, tokenizer = writer
    for prompt in PROMPTS:
        ids = tokenizer(prompt)["input_ids"]
        assert ours(model, ids, do_sample=False, **options) == library(model, ids, do_sample=False, **options)


def test_the_end_is_held_back_as_the_library_does(tokenizer):
    model = tiny_gpt(tokenizer)
    model.lm_head.weight.data[tokenizer.eos_token_id] *= 20  # 끝이 자주 가장 높아지게
    options = {"do_sample": False}
    ids = tokenizer("긍정")["input_ids"]
    held = ours(model, ids, min_length=9, **options)
    assert held == library(model, ids, min_new_tokens=9, **options)
    assert tokenizer.eos_token_id not in held[:9]


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.6},
        {"top_k": 7},
        {"top_p": 0.4},
        {"min_p": 0.2},
        {"temperature": 1.4, "top_k": 40, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.2},
    ],
    ids=str,
)
def test_the_distribution_that_is_drawn_from_equals_the_librarys(writer, options):
    model, tokenizer = writer
    ids = torch.tensor([tokenizer("긍정 이 영화")["input_ids"]])
    with torch.no_grad():
        scores = model(ids).logits[:, -1]
        theirs = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=1,
            do_sample=True,
            output_scores=True,
            return_dict_in_generate=True,
            **({"top_k": 0} | options),
        ).scores[0]
    found = refined(scores, Decoding(**options), ids, 0, [tokenizer.eos_token_id])
    assert torch.allclose(found.softmax(-1), theirs.softmax(-1), atol=1e-6)
    assert torch.equal(found == -torch.inf, theirs == -torch.inf)


def test_what_must_equal_greedy_does(writer):
    model, tokenizer = writer
    ids = tokenizer("긍정")["input_ids"]
    greedy = ours(model, ids, do_sample=False)
    assert ours(model, ids, do_sample=False, num_beams=1, repetition_penalty=1.0) == greedy
    for seed in (1, 2, 3):
        assert ours(model, ids, top_k=1, seed=seed) == greedy
        assert ours(model, ids, top_p=1e-6, seed=seed) == greedy
        assert ours(model, ids, temperature=1e-4, seed=seed) == greedy


def test_no_three_tokens_come_twice(writer):
    model, tokenizer = writer
    found = ours(model, tokenizer("긍정")["input_ids"], do_sample=False, no_repeat_ngram_size=3)
    grams = list(zip(found, found[1:], found[2:]))
    assert len(grams) == len(set(grams))


def test_drawn_tokens_follow_the_chances():
    chances = torch.tensor([0.5, 0.0, 0.3, 0.2])
    picks = drawn(chances.log().expand(20_000, 4), fractions(random_key(7), np.arange(20_000), 0))
    shares = torch.bincount(picks, minlength=4) / len(picks)
    assert torch.allclose(shares, chances, atol=0.015) and shares[1] == 0


@pytest.mark.parametrize("options", [{"do_sample": False}, {"top_k": 20}, {"temperature": 1.3}], ids=str)
def test_texts_written_together_are_those_written_alone(writer, options):
    model, tokenizer = writer
    how = Decoding(max_length=15, seed=3, **options)
    texts = {
        size: [each.generated for each in written_texts(model, tokenizer, PROMPTS * 2, how, size)]
        for size in (1, 3, 8)
    }
    assert texts[1] == texts[3] == texts[8]


def test_the_same_prompt_is_written_on_differently_and_the_seed_repeats_it(generator):
    first = [each["generated"] for each in generator(["긍정"] * 6)]
    assert len(set(first)) > 1
    assert first == [each["generated"] for each in generator(["긍정"] * 6)]
    assert first != [each["generated"] for each in generator(["긍정"] * 6, seed=8)]


def test_a_seed_not_given_is_told_and_writes_the_same_again(model, tokenizer):
    generator = TextGenerator(model, tokenizer, Decoding(max_length=12))
    found = generator("긍정")
    assert generator("긍정", seed=found["seed"])["generated"] == found["generated"]


# 글로 보여 주기


def test_a_stream_put_together_is_the_text(generator):
    for options in ({}, {"stop": "다|."}, {"do_sample": False, "num_beams": 2}):
        assert "".join(generator.stream("긍정 이", **options)) == generator("긍정 이", **options)["generated"]


def test_a_letter_of_several_tokens_is_shown_whole(tokenizer):
    ids = tokenizer("가 😀뷁 나", add_special_tokens=False)["input_ids"]
    line = Line(tokenizer, ids[:1])
    pieces = [line.push(token) for token in ids[1:]]
    assert "\ufffd" not in "".join(pieces) and "".join(pieces) + line.finish() == " 😀뷁 나"


def test_nothing_from_a_stop_string_on_is_ever_shown(tokenizer):
    ids = tokenizer("정말 좋았다. 끝", add_special_tokens=False)["input_ids"]
    line, shown = Line(tokenizer, [], ["았다."]), ""
    for token in ids:
        shown += line.push(token)
        assert "정말 좋".startswith(shown.strip())
        if line.stopped:
            break
    assert line.stopped and (shown + line.finish()).strip() == "정말 좋"


def test_a_stop_string_ends_where_the_library_does(writer):
    model, tokenizer = writer
    how, compared = Decoding(do_sample=False, min_length=12, max_length=15), 0
    options = {"do_sample": False, "min_new_tokens": 12, "tokenizer": tokenizer}
    for prompt in PROMPTS:
        (whole,) = written_texts(model, tokenizer, [prompt], how)
        for stop in re.findall("[가-힣.!]", whole.generated)[2:4]:
            (found,) = written_texts(model, tokenizer, [prompt], replace(how, stop=stop))
            ids = tokenizer(prompt)["input_ids"]
            theirs = library(model, ids, stop_strings=[stop], **options)
            text = tokenizer.decode(ids + theirs, skip_special_tokens=True)[len(prompt) :]
            assert found.generated == text.split(stop)[0]
            assert found.finish == "stop" and found.tokens == len(theirs)
            compared += 1
    assert compared >= 4


def test_the_reason_for_ending_is_told(model, tokenizer, generator):
    first = generator("긍정", do_sample=False, max_length=3)
    assert first["finish"] == "length" and first["tokens"] == 3
    letter = generator("긍정", do_sample=False, max_length=12)["generated"].strip()[0]
    assert generator("긍정", do_sample=False, max_length=12, stop=letter)["finish"] == "stop"


def test_a_stream_can_be_left_and_the_next_one_is_whole(generator):
    whole = "".join(generator.stream("긍정"))
    assert list(islice(generator.stream("긍정"), 1))
    assert "".join(generator.stream("긍정")) == whole


def test_many_texts_are_written_one_batch_at_a_time(generator):
    asked = []

    def prompts():
        for number in range(10_000):
            asked.append(number)
            yield "긍정"

    list(islice(generator.write(prompts(), max_length=1), 3))
    assert len(asked) == generator.batch_size


# 자료


def test_padding_is_never_counted_and_the_end_is(tokenizer):
    texts = ["긍정 재미있는 영화", "부정 " + "지루하다 " * 30]
    columns = continuation_columns(tokenizer, 16, texts, ["긍정", "부정"], False, "보기")
    starts, ids, labels = columns["offsets"], columns["input_ids"], columns["labels"]
    assert ids[starts[1] - 1] == tokenizer.eos_token_id == labels[starts[1] - 1]
    assert (ids[starts[1] :] != tokenizer.eos_token_id).all() and starts[2] - starts[1] == 15
    skipped = len(tokenizer("긍정")["input_ids"])
    assert (labels[:skipped] == -100).all() and (
        labels[skipped : starts[1]] == ids[skipped : starts[1]]
    ).all()
    assert columns["letters"][0] == len(" 재미있는 영화")
    assert columns["notes"][4] == 1  # 잘린 글을 셉니다.


def test_the_condition_is_counted_when_asked(tokenizer):
    columns = continuation_columns(tokenizer, 32, ["긍정 재미있는 영화"], ["긍정"], True, "보기")
    assert (columns["labels"] == -100).sum() == 1 and columns["letters"][0] == len("긍정 재미있는 영화")


def test_end_and_padding_are_told_apart_by_place_when_they_are_the_same_token(tokenizer):
    same = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer, bos_token="<s>", eos_token="</s>")
    settle_specials(same)
    assert same.pad_token == "<pad>"  # 어휘에 있으면 그것을 씁니다.
    same.pad_token = same.eos_token
    settle_specials(same)
    assert same.pad_token == "<pad>"


def arguments(start_folder, folder, **options):
    values = {
        "pretrained_model_name": str(start_folder),
        "downstream_corpus_root_dir": nlpbook.sample_root(),
        "downstream_model_dir": str(folder),
        "max_seq_length": 32,
        "max_train_samples": 64,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "epochs": 1,
        "seed": 7,
    }
    return GenerationTrainArguments(**values | options)


def test_a_dataset_shows_the_books_features(start_folder, tokenizer, tmp_path):
    data = GenerationDataset(arguments(start_folder, tmp_path), tokenizer, NsmcCorpus(), "train")
    feature, length = data[0], int(data.lengths[0])
    assert len(feature.input_ids) == len(feature.labels) == len(feature.token_type_ids) == 32
    assert feature.input_ids[length:] == [tokenizer.pad_token_id] * (32 - length)
    assert set(feature.labels[length:]) == {-100} and sum(feature.attention_mask) == length
    assert tokenizer.decode(feature.input_ids[:length], skip_special_tokens=True) == data.examples[0].text
    assert NsmcCorpus().get_labels() == ["부정", "긍정"] == data.conditions


def test_perplexity_weighs_every_token_and_letter_the_same(start_folder, model, tokenizer, tmp_path):
    args = arguments(start_folder, tmp_path)
    data = GenerationDataset(args, tokenizer, NsmcCorpus(), "train")
    task = GenerationTask(model, args)
    with torch.no_grad():
        for rows in (np.arange(3), np.arange(3, 40)):
            task.validation_step(data.batch(rows), 0)
        whole = data.batch(np.arange(40))
        losses = torch.nn.functional.cross_entropy(
            model(whole["input_ids"], attention_mask=whole["attention_mask"]).logits[:, :-1].flatten(0, 1),
            whole["labels"][:, 1:].flatten(),
            reduction="sum",
        )
    found = task.compute_metrics()
    tokens, letters = (whole["labels"][:, 1:] != -100).sum(), whole["letters"].sum()
    assert torch.isclose(found["perplexity"], (losses / tokens).exp(), rtol=1e-4)
    assert torch.isclose(found["letter_perplexity"], (losses / letters).exp(), rtol=1e-4)


@pytest.mark.parametrize("cheap", [False, True])
def test_training_loss_is_the_librarys(tokenizer, cheap):
    model = tiny_gpt(tokenizer, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0).train()
    columns = continuation_columns(
        tokenizer, 32, ["긍정 재미있는 영화", "부정 별로"], ["긍정", "부정"], False, ""
    )
    rows = np.split(columns["input_ids"].astype(np.int64), columns["offsets"][1:-1])
    labels = np.split(columns["labels"].astype(np.int64), columns["offsets"][1:-1])
    pad = torch.nn.utils.rnn.pad_sequence
    batch = {
        "input_ids": pad([torch.tensor(row) for row in rows], True, tokenizer.pad_token_id),
        "attention_mask": pad([torch.ones(len(row), dtype=torch.long) for row in rows], True),
        "labels": pad([torch.tensor(row) for row in labels], True, -100),
    }
    with cheap_random_numbers(model) if cheap else nullcontext():
        found = counted_loss(model, batch)
    assert torch.isclose(found, model(**batch).loss, rtol=1e-5)


def test_trained_from_own_lines_and_opened_by_its_folder(start_folder, tmp_path):
    (tmp_path / "own").mkdir()
    write(tmp_path / "own" / "train.tsv", "document\tlabel\n" + "달이 밝다\t밤\n해가 뜬다\t낮\n" * 20)
    write(tmp_path / "own" / "val.tsv", "document\tlabel\n별이 많다\t밤\n구름이 희다\t낮\n")
    args = arguments(
        start_folder,
        tmp_path / "model",
        downstream_corpus_root_dir=str(tmp_path),
        downstream_corpus_name="own",
        max_train_samples=None,
    )
    result = train_generator(args)
    assert result["val_perplexity"] > 1 and result["val_letter_perplexity"] > 1
    predict = nlpbook.load(tmp_path / "model", max_length=5, seed=1)
    assert predict.recipe.task_name == "sentence-generation" and predict.predict.conditions == ["낮", "밤"]
    found = predict(["밤 달이", "낮"])
    assert [each["prompt"] for each in found] == ["밤 달이", "낮"]
    assert predict("")["prompt"] == ""


# 나쁜 입력


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": 0}, "do_sample=False"),
        ({"temperature": -1.0}, "온도는 0보다"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.2}, "top_p"),
        ({"min_length": 20, "max_length": 10}, "min_length=20"),
        ({"num_beams": 3}, "do_sample=False"),
        ({"top_k": -1}, "top_k"),
        ({"max_length": 0}, "max_length"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_in_one_sentence(options, told, start_folder):
    with pytest.raises(NlpbookError, match=told):
        Decoding(**options)
    with pytest.raises(NlpbookError, match=told):
        GenerationDeployArguments(downstream_model_dir=str(start_folder), **options)


@pytest.mark.parametrize("kind", [BertForMaskedLM, BertLMHeadModel])
def test_a_model_that_sees_what_comes_after_is_refused(kind, tokenizer):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = kind(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, **sizes))
    with pytest.raises(NlpbookError, match="앞만 보고"):
        check_causal(model)
    with pytest.raises(NlpbookError, match="앞만 보고"):
        TextGenerator(model, tokenizer)


def test_a_prompt_too_long_is_cut_from_the_left_and_told(generator, messages):
    found = generator("정말 재미있는 영화입니다 " * 30)
    assert found["tokens"] <= 12
    assert any("앞을 잘랐습니다" in message for message in messages())
    with pytest.raises(NlpbookError, match=f"max_length={POSITIONS}"):
        generator("긍정", max_length=POSITIONS)


def test_a_condition_never_learned_is_told_once(model, tokenizer, messages):
    generator = TextGenerator(model, tokenizer, Decoding(max_length=3, seed=1))
    generator.conditions = ["부정", "긍정"]
    generator(["긍정 이", "슬픔 이", "기쁨 이"])
    told = [message for message in messages() if "배운 적이 없습니다" in message]
    assert len(told) == 1 and "'슬픔'" in told[0] and "부정, 긍정" in told[0]


def test_letters_outside_the_vocabulary_are_read_as_bytes(generator):
    assert generator("뷁 😀")["result"].startswith("뷁 😀")


def test_half_a_letter_is_refused(generator):
    with pytest.raises(NlpbookError, match="1번째"):
        generator("긍정 \ud83d")


def test_nothing_left_to_choose_is_told():
    with pytest.raises(NlpbookError, match="하나도 남지 않았습니다"):
        drawn(torch.full((1, 4), -torch.inf), np.array([0.5]))


def test_a_tokenizer_without_an_end_is_refused(tokenizer):
    plain = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(NlpbookError, match="끝 토큰"):
        settle_specials(plain)


# 세기


def test_ngram_chances_add_up_to_one():
    rng = np.random.default_rng(7)
    rows = [rng.integers(0, 12, rng.integers(3, 9)) for _ in range(60)]
    model = KneserNey(12, order=4).fit(rows)
    for context in ([1, 2, 3], [11, 11, 11], [12, 12, 5]):
        every = np.array([[*context, token] for token in range(12)])
        assert np.isclose(model._chances(every).sum(), 1)


def test_an_ngram_model_draws_by_its_chances():
    rows = [[1, 2, 3, 9], [1, 2, 4, 9], [5, 2, 3, 9], [1, 2, 3, 9]]
    model, random = KneserNey(10, order=3).fit(rows), np.random.default_rng(7)
    chances = model._chances(np.array([[1, 2, token] for token in range(10)]))
    drawn = np.bincount([model.draw([1, 2], random) for _ in range(4000)], minlength=10) / 4000
    assert np.abs(drawn - chances).max() < 0.03


def test_seen_text_is_likelier_than_unseen():
    rows = [[1, 2, 3, 4, 9]] * 5 + [[5, 6, 7, 8, 9]] * 5
    model = KneserNey(10, order=3).fit(rows)
    seen, unseen = (model.log_probabilities([row]).mean() for row in ([1, 2, 3, 4, 9], [4, 1, 7, 2, 9]))
    assert seen > unseen


def test_longest_copies_equal_the_slow_way():
    rng = np.random.default_rng(7)
    sources, texts = (
        ["".join(rng.choice(list("가나다라 "), rng.integers(1, 25))) for _ in range(30)] for _ in range(2)
    )

    def slow(text):
        parts = {text[a:b] for a in range(len(text)) for b in range(a + 1, len(text) + 1)}
        return max((len(part) for part in parts if any(part in source for source in sources)), default=0)

    assert longest_copies(texts, sources).tolist() == [slow(text) for text in texts]


# 명령줄


def test_written_from_the_command_line(start_folder, monkeypatch, capsys):
    def run(*words, text=None):
        if text is not None:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert main(["predict", "generation", "--model_dir", str(start_folder), *words]) == 0
        return capsys.readouterr().out

    lines = run("--seed", "3", "--max_length", "6", text="긍정\n\n긍정\n").splitlines()
    answers = [json.loads(line) for line in lines]
    assert [each["prompt"] for each in answers] == ["긍정", "", "긍정"]
    assert answers[0]["generated"] != answers[2]["generated"] and answers[2]["number"] == 2
    shown = run("--seed", "3", "--max_length", "6", "긍정", "--stream")
    assert shown == answers[0]["result"] + "\n"


# 웹 서비스


def test_the_books_service_sends_what_is_written_piece_by_piece(generator):
    def streaming_fn(prompt, min_length, max_length, top_p, top_k, *others):
        yield prompt
        yield from generator.stream(prompt, min_length=min_length, max_length=max_length, top_k=top_k)

    app = get_web_service_app(streaming_fn)
    body = json.dumps({"prompt": "긍정 이", "min_length": 2, "max_length": 9, "top_k": 5}).encode()
    whole = generator("긍정 이", min_length=2, max_length=9, top_k=5)["result"]
    address = app.start() + "api"
    try:
        for kind in ("application/json", "text/event-stream"):
            headers = {"Content-Type": "application/json", "Accept": kind}
            with urllib.request.urlopen(urllib.request.Request(address, body, headers), timeout=30) as answer:
                lines = answer.read().decode().replace("data: ", "").split("\n\n")
            *pieces, last = [json.loads(line) for line in lines if line]
            assert last == {"result": whole}
            assert "".join(each["piece"] for each in pieces) == (whole if pieces else "")
            assert len(pieces) > 2 or kind == "application/json"
    finally:
        app.stop()
