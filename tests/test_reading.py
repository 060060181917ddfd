"""글을 특징으로 바꾸는 방: 잇는 틀, 자르는 쪽, 채우는 쪽, 나누어 읽는 차례."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from nlpbook_nbs.core.encoding import TextEncoder, tokenizer_fingerprint
from nlpbook_nbs.core.features import FeatureDataset, RowsOf, data_collator
from nlpbook_nbs.core.samplers import ExampleSampler, LengthGroupedSampler, SharingSampler
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.spans import AnswerBook
from nlpbook_nbs.core.windows import WindowDataset, WindowEncoder, answer_positions, pair_template

TEXTS = [
    "천문대는 금요일과 토요일 저녁 일곱 시부터 열 시까지 문을 연다.",
    "세종은 1443년에 한글을 만들었다. 한글은 스물여덟 글자였다.",
    "비가 오면 쉰다. 별은 café 옆 언덕에서 잘 보인다.",
    "무엇을 보았나? 누가 만들었나? 언제 여는가?",
]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"[여분{number}]" for number in range(100))]


def wrapped(backend, **options):
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **(names | options))


def template(backend, single, pair):
    ids = [(name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=ids)


def wordpiece():
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.train_from_iterator(TEXTS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIALS))
    backend.decoder = decoders.WordPiece()
    return backend


def byte_bpe():
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.decoder = decoders.ByteLevel()
    return backend


def unigram():
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.train_from_iterator(
        TEXTS, trainers.UnigramTrainer(vocab_size=260, special_tokens=SPECIALS, unk_token="[UNK]")
    )
    backend.decoder = decoders.Metaspace()
    return backend


def bert():
    backend = wordpiece()
    backend.post_processor = template(backend, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    return wrapped(backend)


def roberta():
    backend = byte_bpe()
    cls, sep = ((name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]"))
    backend.post_processor = processors.RobertaProcessing(sep, cls, trim_offsets=True, add_prefix_space=False)
    return wrapped(backend)


def untrimmed_roberta():
    backend = byte_bpe()
    backend.post_processor = template(backend, "[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]")
    return wrapped(backend)


def xlm_roberta():
    backend = unigram()
    backend.post_processor = template(backend, "[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]")
    return wrapped(backend)


def deberta():
    backend = unigram()
    backend.post_processor = template(backend, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
    return wrapped(backend)


def t5():
    backend = unigram()
    backend.post_processor = template(backend, "$A [SEP]", "$A [SEP] $B [SEP]")
    return wrapped(backend, cls_token=None)


def gpt():
    return wrapped(byte_bpe(), cls_token=None, sep_token=None)


KINDS = pytest.mark.parametrize("make", [bert, roberta, untrimmed_roberta, xlm_roberta, deberta, t5, gpt])
SIDES = pytest.mark.parametrize("side", ["right", "left"])


def settings(**changes):
    values = {
        "max_seq_length": 160,
        "max_query_length": 40,
        "doc_stride": 30,
        "max_answer_length": 40,
        "n_best_size": 5,
    }
    return SimpleNamespace(**(values | changes))


def read(tokenizer, args, question, context, answer):
    """문항 하나의 `WindowDataset`."""
    encoder = WindowEncoder(tokenizer, args)
    columns = encoder([(question, context)])
    start = context.index(answer)
    span = np.array([[start, start + len(answer)]])
    return WindowDataset(columns | answer_positions(columns, span, encoder.template), tokenizer, args)


@KINDS
@SIDES
def test_question_and_passage_are_joined_as_the_tokenizer_joins_them(make, side):
    """결함 9."""
    tokenizer = make()
    tokenizer.padding_side = side
    question, context = TEXTS[3], TEXTS[0]
    data = read(tokenizer, settings(), question, context, "금요일")
    expected = tokenizer(question, context, padding="max_length", max_length=160, return_token_type_ids=True)
    assert len(data) == 1
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert getattr(data[0], name) == expected[name], name


@KINDS
@SIDES
@pytest.mark.parametrize("answer", ["천문대", "금요일과 토요일", "연다", "일곱"])
def test_the_answer_found_is_the_answer_marked(make, side, answer):
    """결함 9: 낱말 앞의 빈칸을 토큰에 넣는 토크나이저도, 앞을 채우는 토크나이저도 글자 하나 틀리지 않습니다."""
    tokenizer = make()
    tokenizer.padding_side = side
    context = TEXTS[0]
    data = read(tokenizer, settings(max_seq_length=64, doc_stride=10), "언제?", context, answer)
    indices = np.arange(len(data))
    batch = data_collator(data.__getitems__(indices))
    width = batch["input_ids"].shape[1]
    kept = np.flatnonzero(data.columns["start_positions"])
    assert len(kept)

    def points(places):
        logits = torch.zeros(len(data), width)
        logits[torch.from_numpy(kept), places[torch.from_numpy(kept)]] = 10.0
        return logits

    outputs = SimpleNamespace(
        start_logits=points(batch["start_positions"]), end_logits=points(batch["end_positions"])
    )
    book = AnswerBook(3)
    book.read(data, indices, outputs, 40)
    (start, end), score = book.best(0)[0]
    found = context[start:end]
    assert score == 20.0 and answer in found and found == found.strip()
    first, last = start, end  # 답의 경계가 토큰 안쪽이면 그 토큰만큼만 넘칩니다.
    encoding = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)
    at = context.index(answer)
    tokens = [context[a:b].strip() for a, b in encoding["offset_mapping"] if a < at + len(answer) and b > at]
    assert found.startswith(tokens[0]) or tokens[0] == ""
    assert last - first <= len(answer) + max(map(len, tokens)) * 2


@SIDES
def test_without_an_answer_the_first_token_is_marked(side):
    tokenizer = bert()
    tokenizer.padding_side = side
    data = read(
        tokenizer,
        settings(max_seq_length=24, max_query_length=8, doc_stride=8),
        "언제?",
        TEXTS[1] * 3,
        "글자였다",
    )
    empty = int(np.flatnonzero(data.columns["start_positions"] == 0)[0])
    feature, batch = data[empty], data.__getitems__([empty, len(data) - 1]).to_batch()
    assert feature.input_ids[feature.start_positions] == tokenizer.cls_token_id
    assert int(batch["input_ids"][0, batch["end_positions"][0]]) == tokenizer.cls_token_id


def test_windows_never_skip_a_token_when_more_specials_are_added():
    args = settings(max_seq_length=40, max_query_length=8, doc_stride=29)  # BERT라면 남는 자리가 꼭 29토큰
    columns = WindowEncoder(roberta(), args)([("언제 여는가? 누가 만들었나?", TEXTS[0] * 4)])
    covered = np.zeros(columns["context_offsets"][-1], int)
    for start, length in zip(columns["window_start"], columns["window_length"]):
        covered[start : start + length] += 1
    assert covered.min() >= 1
    with pytest.raises(NlpbookError, match="특수 토큰 4개"):
        WindowEncoder(roberta(), settings(max_seq_length=12, max_query_length=8))


def test_the_template_of_bert_is_cls_sep_sep():
    tokenizer = bert()
    found = pair_template(tokenizer)
    assert [found.before.tolist(), found.between.tolist(), found.after.tolist()] == [
        [tokenizer.cls_token_id],
        [tokenizer.sep_token_id],
        [tokenizer.sep_token_id],
    ]


# 자르는 쪽


@pytest.mark.parametrize("make", [bert, roberta, xlm_roberta])
@SIDES
@pytest.mark.parametrize("paired", [False, True])
def test_long_texts_are_cut_on_the_side_of_the_tokenizer(make, side, paired):
    """결함 11."""
    tokenizer = make()
    tokenizer.truncation_side = side
    columns = TextEncoder(tokenizer, 12)(TEXTS[:3], TEXTS[1:4] if paired else None)
    expected = tokenizer(
        TEXTS[:3], TEXTS[1:4] if paired else None, truncation="longest_first", max_length=12
    )["input_ids"]
    found = [ids.tolist() for ids in np.split(columns["input_ids"], columns["offsets"][1:-1])]
    assert found == expected


def test_slow_tokenizers_are_cut_on_their_side_too():
    """결함 11."""
    from transformers import PreTrainedTokenizer

    class Letters(PreTrainedTokenizer):
        vocab_size = 1 << 16

        def get_vocab(self):
            return {}

        def _tokenize(self, text, **_):
            return list(text)

        def _convert_token_to_id(self, token):
            return ord(token[0])

        def _convert_id_to_token(self, index):
            return chr(index)

    for side in ("right", "left"):
        encoder = TextEncoder(Letters(truncation_side=side), 3)
        assert encoder.backend is None
        found = "".join(map(chr, encoder(["가나다라마"])["input_ids"]))
        assert found == {"right": "가나다", "left": "다라마"}[side]


def test_long_questions_are_cut_on_the_side_of_the_tokenizer():
    """결함 11."""
    tokenizer = bert()
    whole = tokenizer.encode(TEXTS[3], add_special_tokens=False)
    for side, expected in (("right", whole[:5]), ("left", whole[-5:])):
        tokenizer.truncation_side = side
        columns = WindowEncoder(tokenizer, settings(max_query_length=5)).questions([TEXTS[3]])
        assert columns["question_ids"].tolist() == expected


def test_the_cutting_side_is_part_of_the_fingerprint():
    tokenizer = bert()
    before = tokenizer_fingerprint(tokenizer)
    tokenizer.truncation_side = "left"
    assert tokenizer_fingerprint(tokenizer) != before


# 데이터셋


@dataclass
class Tagged:
    input_ids: list
    attention_mask: list
    token_type_ids: list
    label_ids: list
    weight: float


@SIDES
def test_a_new_task_only_names_its_columns(side):
    tokenizer = bert()
    tokenizer.padding_side = side
    columns = TextEncoder(tokenizer, 40)(TEXTS[:3])
    labels = np.arange(columns["offsets"][-1])
    data = FeatureDataset(
        {**columns, "label_ids": labels, "weight": np.array([0.5, 1.0, 2.0])},
        Tagged,
        tokenizer,
        40,
        token_columns={"token_type_ids": 0, "label_ids": -100},
        with_index=True,
    )
    rows = data.__getitems__([2, 0])
    assert isinstance(rows, RowsOf) and rows[0] == data[2] and len(rows) == 2
    batch = data_collator(rows)
    assert batch["weight"].tolist() == [2.0, 0.5] and batch["index"].tolist() == [2, 0]
    real = batch["attention_mask"] == 1
    assert (batch["labels"][~real] == -100).all()
    a, b = columns["offsets"][[0, 1]]
    assert batch["labels"][1][real[1]].tolist() == labels[a:b].tolist()
    expected = tokenizer([TEXTS[2], TEXTS[0]], padding=True, pad_to_multiple_of=4, return_tensors="pt")
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert len(data[0].label_ids) == 40 and data[0].weight == 0.5


# 나누어 읽는 차례


class Sized:
    seed = 7

    def __init__(self, count):
        self.lengths = np.random.default_rng(7).integers(2, 128, count)
        self.examples = np.stack([self.lengths] * 5, axis=1)

    def __len__(self):
        return len(self.lengths)

    def set_epoch(self, epoch):
        self.epoch = epoch


@pytest.mark.parametrize("kind", [LengthGroupedSampler, ExampleSampler, SharingSampler])
@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 5, 16, 17, 33, 64, 65])
def test_evaluation_gives_every_process_as_many_batches_and_counts_nothing_twice(
    monkeypatch, kind, world, count
):
    """결함 12."""
    size, counted, batches = 4, [], set()
    for rank in range(world):
        monkeypatch.setattr(SharingSampler, "world", (world, rank))
        data = Sized(count)
        sampler = kind(data, count, size) if kind is SharingSampler else kind(data, size, shuffle=False)
        numbers = list(sampler)
        assert len(numbers) == len(sampler)
        mine = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        batches.add(len(mine))
        counted += [number for batch in mine[: sampler.own_batches] for number in batch]
    assert len(batches) == 1
    assert sorted(counted) == list(range(count))


@pytest.mark.parametrize("kind", [LengthGroupedSampler, ExampleSampler])
@pytest.mark.parametrize(("world", "count"), [(2, 33), (4, 3), (8, 1), (3, 10)])
def test_training_gives_every_process_as_many_examples(monkeypatch, kind, world, count):
    monkeypatch.setattr(torch.distributed, "broadcast", lambda seed, src: seed.fill_(5))
    monkeypatch.setattr(torch.distributed, "get_backend", lambda: "gloo")
    found = []
    for rank in range(world):
        monkeypatch.setattr(SharingSampler, "world", (world, rank))
        found.append(list(kind(Sized(count), 4)))
    assert {len(numbers) for numbers in found} == {-(-count // world)}
    assert {number for numbers in found for number in numbers} == set(range(count))
