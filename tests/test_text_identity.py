"""같은 글은 어떻게 적혀 있어도 같은 답을 얻고, 자리는 쓰는 사람이 준 글의 것입니다."""

import copy
import itertools
import unicodedata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SMALL_BERT, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from nlpbook_nbs.classification import (
    ClassificationDataset,
    ClassificationExample,
    TextClassifier,
    TsvCorpus,
)
from nlpbook_nbs.cli import main
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.defences import SECRET_RULES, scrub
from nlpbook_nbs.core.encoding import TextEncoder, readable_tokens
from nlpbook_nbs.core.files import read_tsv
from nlpbook_nbs.core.normalization import (
    Normalized,
    check_unicode,
    explain_difference,
    normalize_label,
    normalize_text,
    normalize_texts,
)
from nlpbook_nbs.core.nsp import TextDatasetForNextSentencePrediction
from nlpbook_nbs.core.probe import (
    MaskProbe,
    candidate_ids,
    fill,
    pseudo_log_likelihood,
    score_candidates,
)
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.squad import QAExample, question_columns, read_korquad
from nlpbook_nbs.core.text import TokenizedText
from nlpbook_nbs.core.unread import unknown_id
from nlpbook_nbs.core.windows import WindowDataset, WindowEncoder, answer_positions
from nlpbook_nbs.pretrain import TokenizerArguments, train_tokenizer
from nlpbook_nbs.qa import KorQuADV1Corpus, QuestionAnswerer, exact_match, f1

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


# ---- 토큰의 자리


def trained(backend, trainer):
    backend.train_from_iterator(TEXTS, trainer)
    specials = [(name, backend.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=specials
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, mask_token="[MASK]", **names)


TEXTS = [
    "첨성대는 신라의 천문대입니다. 밤하늘의 별을 관측하였다.",
    "무게는 12 kg 1 번 fin (주)한글 카페 값이 싼 cafe é 蘭草",
    "이 영화 최고 음악이 참 좋았어요 재밌다 지루했다",
]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"[여분{number}]" for number in range(100))]


def wordpiece(**options):
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(
        **({"lowercase": False, "strip_accents": False} | options)
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return trained(backend, trainers.WordPieceTrainer(vocab_size=300, special_tokens=SPECIALS))


def unigram(normalizer=None, prepend="always"):
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizer or normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=260, special_tokens=SPECIALS, unk_token="[UNK]")
    return trained(backend, trainer)


def byte_bpe(normalizer=None):
    backend = Tokenizer(models.BPE())
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return trained(
        backend, trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIALS, initial_alphabet=alphabet)
    )


TOKENIZERS = {
    "wordpiece": wordpiece,
    "wordpiece_lower": lambda: wordpiece(lowercase=True, strip_accents=True),
    "unigram_nfkc": unigram,
    "unigram_nfkd_lower": lambda: unigram(
        normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase(), normalizers.NFC()]), "never"
    ),
    "byte_bpe": byte_bpe,
    "byte_bpe_nfc": lambda: byte_bpe(normalizers.NFC()),
    "byte_bpe_nfkc": lambda: byte_bpe(normalizers.NFKC()),
}
WORDS = [
    "천문대",
    "㎏",
    "12㎏",
    "①번",
    "ﬁn",
    "㈜한글",
    "ﾡￂ",
    "ㅋㅏ페",
    "가ㄳ",
    "蘭草",
    "é́",
    "Ａ９",
    "값",
    "ᄒᆞᆫ글",
    "👨‍👩‍👧",
    "ￋￋ",
    "ﾊﾞ",
]


@pytest.fixture(scope="module", params=TOKENIZERS)
def window_encoder(request):
    args = SimpleNamespace(max_seq_length=512, max_query_length=16, doc_stride=128)
    return WindowEncoder(TOKENIZERS[request.param](), args)


def cut_out(encoder, context, start, end):
    """지문의 `[start, end)`를 토큰의 자리로 옮겼다가 다시 글자의 자리로 되돌린 것."""
    columns = encoder([("무엇?", context)])
    columns |= answer_positions(columns, np.array([[start, end]]), encoder.template)
    data = WindowDataset(columns, encoder.tokenizer, encoder.args)
    (place,) = np.flatnonzero(columns["start_positions"])[:1]
    positions = (np.array([[columns[f"{name}_positions"][place]]]) for name in ("start", "end"))
    return tuple(int(found.item()) for found in data.characters(np.array([place]), *positions))


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=messy, word=st.sampled_from(WORDS), after=messy, form=st.sampled_from(FORMS), gap=st.booleans())
def test_spans_survive_every_tokenizer_and_every_spelling(window_encoder, before, word, after, form, gap):
    written = unicodedata.normalize(form, word)
    if gap and len(written) > 1 and written[1] not in "\u200d":
        written = written[:1] + "\u200b" + written[1:]
    context = f"{before} {written} {after}"
    start = len(before) + 1
    assert cut_out(window_encoder, context, start, start + len(written)) == (start, start + len(written))


def test_the_span_of_a_decomposed_word_is_whole_with_an_nfkc_tokenizer():
    context = unicodedata.normalize("NFD", "첨성대는 신라의 천문대입니다.")
    encoder = WindowEncoder(unigram(), SimpleNamespace(max_seq_length=64, max_query_length=8, doc_stride=16))
    word = unicodedata.normalize("NFD", "천문대")
    start = context.index(word)
    assert cut_out(encoder, context, start, start + len(word)) == (start, start + len(word))


# ---- 같은 글, 같은 답

SPELLINGS = {
    "nfd": lambda text: unicodedata.normalize("NFD", text),
    "zero_width": lambda text: "\u200b".join(text),
    "marks": lambda text: f"\ufeff\u202a{text}\u202c\u2060",
    "soft_hyphen": lambda text: text[:1] + "\u00ad" + text[1:],
}
spelled = pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)


@pytest.fixture(scope="module")
def classifier(mini_tokenizer):
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(3)
    model = BertForSequenceClassification(BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT))
    return TextClassifier(model, mini_tokenizer, 32, device="cpu")


@pytest.fixture(scope="module")
def answerer(mini_tokenizer):
    from transformers import BertConfig, BertForQuestionAnswering

    torch.manual_seed(3)
    model = BertForQuestionAnswering(BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT))
    args = SimpleNamespace(
        max_seq_length=48,
        max_query_length=12,
        doc_stride=16,
        max_answer_length=8,
        n_best_size=5,
        batch_size=8,
    )
    return QuestionAnswerer(model, mini_tokenizer, args, device="cpu")


def reviews():
    path = Path(sample_root(), "nsmc", "ratings_test.txt")
    return [text for _, (text,) in read_tsv(path, ["document"]) if text.strip()]


@spelled
def test_one_sentence_in_any_spelling_gets_one_answer_and_is_given_back_as_it_came(classifier, spell):
    texts = reviews()[:64]
    found, other = classifier(texts), classifier([spell(text) for text in texts])
    for text, row, same in zip(texts, found, other):
        assert same["text"] == spell(text)
        assert {**same, "text": text} == row
    pairs = [(texts[0], texts[1]), (spell(texts[0]), spell(texts[1]))]
    (whole, same) = classifier(pairs)
    assert whole["scores"] == same["scores"] and same["text_a"] == pairs[1][0]


@spelled
def test_answers_come_from_the_passage_as_given_whatever_its_spelling(answerer, spell):
    question, context = (
        "천문대는 언제 여는가?",
        "천문대는 금요일과 토요일 저녁 일곱 시부터 열 시까지 문을 연다. 비가 오면 쉰다.",
    )
    found, same = answerer(question, context), answerer(spell(question), spell(context))
    for row in (same, *same["candidates"]):
        assert spell(context)[row["start"] : row["end"]] == row["answer"]
    assert same["question"] == spell(question)
    assert normalize_text(same["answer"]) == found["answer"] and same["score"] == found["score"]
    assert [normalize_text(row["answer"]) for row in same["candidates"]] == [
        row["answer"] for row in found["candidates"]
    ]


@spelled
def test_a_corpus_in_any_spelling_becomes_the_same_features(train_args, mini_tokenizer, tmp_path, spell):
    rows = [(text, str(number % 2)) for number, text in enumerate(reviews()[:40])]
    columns = []
    for name, write_as in (("plain", str), ("spelled", spell)):
        (tmp_path / name).mkdir()
        lines = [f"{write_as(text)}\t{label}" for text, label in rows]
        write(tmp_path / name / "train.tsv", "\n".join(["document\tlabel", *lines]))
        args = train_args(downstream_corpus_root_dir=str(tmp_path), downstream_corpus_name=name)
        columns.append(
            ClassificationDataset(args, mini_tokenizer, TsvCorpus(tmp_path / name), "train").columns
        )
    assert columns[0].keys() == columns[1].keys()
    assert all(np.array_equal(columns[0][key], columns[1][key]) for key in columns[0])


@spelled
def test_pretraining_text_in_any_spelling_becomes_the_same_tokens_and_vocabulary(
    tmp_path, mini_tokenizer, spell
):
    whole = Path(sample_root(), "text", "news.txt").read_text(encoding="utf-8")
    lines = whole.split("\n")[:80]
    tokens, vocabularies = [], []
    for name, write_as in (("plain", str), ("spelled", spell)):
        path = write(tmp_path / f"{name}.txt", "\n".join(map(write_as, lines)))
        text = TokenizedText(mini_tokenizer, path)
        tokens.append([np.array(part).tolist() for part in (text.tokens, text.sentences, text.documents)])
        args = TokenizerArguments(train_file=str(path), output_dir=str(tmp_path / name), vocab_size=600)
        vocabularies.append(train_tokenizer(args).get_vocab())
    assert tokens[0] == tokens[1] and vocabularies[0] == vocabularies[1]


@spelled
def test_probes_and_scrubbing_do_not_depend_on_the_spelling(mini_tokenizer, spell):
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(3)
    model = BertForMaskedLM(BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT))
    probe = MaskProbe(model, mini_tokenizer, device="cpu")
    text, marked = "배우들의 [MASK] 좋았다.", "[MASK]".join(spell(part) for part in ("배우들의 ", " 좋았다."))
    assert probe.candidates(marked, 3) == probe.candidates(text, 3)
    words = ["연기", "음악"]
    same = score_candidates(probe, marked, [spell(word) for word in words])
    assert same.tolist() == score_candidates(probe, text, words).tolist()
    assert (
        pseudo_log_likelihood(probe, [spell("영화가 좋다")]).tolist()
        == pseudo_log_likelihood(probe, ["영화가 좋다"]).tolist()
    )
    secret = "가솔하의 고향은 솔별 시."
    assert scrub([[spell(secret)]], SECRET_RULES) == scrub([[secret]], SECRET_RULES) != [[secret]]


@pytest.mark.parametrize(
    ("given_as", "gold_as", "counted_in"),
    [each for each in itertools.product(FORMS, repeat=3) if each != ("NFC", "NFC", "NFD")],
)
def test_a_gold_answer_is_found_whichever_way_it_and_the_passage_are_spelled(
    tmp_path, given_as, gold_as, counted_in
):
    passage, gold = "첨성대는 신라의 천문대였고, 경주에 있다.", "천문대"
    written, answer = unicodedata.normalize(given_as, passage), unicodedata.normalize(gold_as, gold)
    start = unicodedata.normalize(counted_in, passage).index(unicodedata.normalize(counted_in, gold))
    row = {"id": "q", "question": "무엇?", "answers": [{"text": answer, "answer_start": start}]}
    path = write(tmp_path / "qa.json", {"data": [{"paragraphs": [{"context": written, "qas": [row]}]}]})
    (found,) = read_korquad(path, strict=True)
    place = found.start_position_character
    assert found.answer_text == unicodedata.normalize(given_as, gold)
    assert written[place : place + len(found.answer_text)] == found.answer_text
    assert found.answers[0] == answer
    assert exact_match(found.answer_text, answer) and f1(found.answer_text, answer) == 1


def test_an_example_of_ones_own_corpus_may_spell_its_answer_another_way(mini_tokenizer):
    args = SimpleNamespace(max_seq_length=48, max_query_length=12, doc_stride=16, threads=1)
    encoder = WindowEncoder(mini_tokenizer, args)
    context = unicodedata.normalize("NFD", "첨성대는 신라의 천문대였다.")
    start = context.index(unicodedata.normalize("NFD", "천문대"))
    found, same = (
        question_columns(encoder, [QAExample("무엇?", context, unicodedata.normalize(form, "천문대"), start)])
        for form in FORMS
    )
    assert found["start_positions"].any()
    for name in ("start_positions", "end_positions"):
        assert found[name].tolist() == same[name].tolist()


def test_a_zero_width_space_inside_the_passage_does_not_cost_the_answer(tmp_path):
    row = {"id": "q", "question": "무엇?", "answers": [{"text": "천문대", "answer_start": 4}]}
    value = {"data": [{"paragraphs": [{"context": "경주의 천문\u200b대", "qas": [row]}]}]}
    (found,) = read_korquad(write(tmp_path / "qa.json", value), strict=True)
    assert found.answer_text == "천문\u200b대" and found.answers == ("천문대", "천문\u200b대")


def test_a_decomposed_question_file_becomes_the_same_windows(mini_tokenizer):
    rows = KorQuADV1Corpus().get_examples(str(Path(sample_root(), "korquad-v1")), "val")[:20]
    args = SimpleNamespace(max_seq_length=64, max_query_length=16, doc_stride=24, threads=1)
    encoder = WindowEncoder(mini_tokenizer, args)
    other = []
    for row in rows:
        before, answer, context, question = (
            unicodedata.normalize("NFD", text)
            for text in (
                row.context_text[: row.start_position_character],
                row.answer_text,
                row.context_text,
                row.question_text,
            )
        )
        other.append(
            replace(
                row,
                context_text=context,
                answer_text=answer,
                question_text=question,
                start_position_character=len(before),
            )
        )
    found, same = question_columns(encoder, rows), question_columns(encoder, other)
    for name in found.keys() - {"char_start", "char_end"}:
        assert np.array_equal(found[name], same[name]), name
    assert not np.array_equal(found["char_end"], same["char_end"])


# ---- 읽지 못한 글과 잘린 글

THAI = "ภาพยนตร์เรื่องนี้สนุกมาก"
UNREAD = [THAI, "愛是心中唯一不變美麗的神話", "가" * 117, "１２３４５６", f"{THAI} 영화"]


@pytest.mark.parametrize("text", UNREAD)
def test_a_text_that_is_nearly_all_unknown_is_said_to_be(classifier, messages, text):
    (row, plain) = classifier([text, "이 영화 최고"])
    assert 0.5 <= row["unknown"] <= 1 and plain["unknown"] == 0
    told = [line for line in messages() if "unknown" in line]
    assert len(told) == 1 and told[0].startswith("1번째 문장")


def test_many_unknown_texts_are_one_warning_that_names_them(classifier, messages):
    found = classifier(["이 영화 최고", THAI] * 40)
    assert [row["unknown"] for row in found] == [0, 1] * 40
    (told,) = (line for line in messages() if "unknown" in line)
    assert told.startswith("2, 4, 6, 8, 10번째 등 40개 문장")


def test_either_side_of_a_pair_or_a_question_may_be_the_unknown_one(classifier, answerer, messages):
    assert classifier(("이 영화 최고 음악이 참 좋았어요 재밌다", THAI))["unknown"] == 1
    assert answerer(THAI, "천문대는 금요일에 문을 연다.")["unknown"] == 1
    assert answerer("언제 여는가?", THAI)["unknown"] == 1
    assert answerer("언제 여는가?", "천문대는 금요일에 문을 연다.")["unknown"] == 0
    assert sum("unknown" in line for line in messages()) == 3


def test_byte_level_vocabularies_know_every_text():
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = byte_bpe()
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **SMALL_BERT))
    found = TextClassifier(model, tokenizer, 64, device="cpu")([THAI[:8], "😀", "영화"])
    assert [row["unknown"] for row in found] == [0, 0, 0]


def test_a_special_token_that_doubles_as_unknown_is_not_counted():
    tokenizer = byte_bpe()
    tokenizer.unk_token = tokenizer.sep_token
    assert unknown_id(tokenizer) is None and unknown_id(wordpiece()) == 1


def corpus_of(folder, texts):
    folder.mkdir(exist_ok=True)
    lines = [f"{text}\t{number % 2}" for number, text in enumerate(texts)]
    write(folder / "train.tsv", "\n".join(["document\tlabel", *lines]))
    return TsvCorpus(folder)


@pytest.mark.parametrize("side", ["right", "left"])
def test_training_says_per_split_how_many_texts_were_unread_or_cut_even_from_the_cache(
    train_args, mini_tokenizer, tmp_path, messages, side
):
    long = "이 영화 최고 음악이 참 좋았어요 " * 20
    corpus = corpus_of(tmp_path / "mine", [THAI, THAI, long, "이 영화 최고", *(["음악이 좋았어요"] * 4)])
    args = train_args(downstream_corpus_root_dir=str(tmp_path), downstream_corpus_name="mine")
    tokenizer = copy.deepcopy(mini_tokenizer)
    tokenizer.truncation_side = side
    cut = len(tokenizer(long)["input_ids"]) - args.max_seq_length
    for round in (1, 2):
        data = ClassificationDataset(args, tokenizer, corpus, "train")
        told = [line for line in messages() if line.startswith("TsvCorpus train:")]
        assert len(told) == 2 * round
        assert "8건 가운데 2건은 절반 이상이 [UNK]" in told[-2]
        assert "8건 가운데 1건이 길어서" in told[-1] and f"모두 합쳐 {cut}토큰" in told[-1]
        assert {"right": "뒤쪽", "left": "앞쪽"}[side] in told[-1]
    row = slice(*data.columns["offsets"][2:4])
    whole = tokenizer(long, truncation=True, max_length=args.max_seq_length)["input_ids"]
    assert data.columns["input_ids"][row].tolist() == whole


@pytest.mark.parametrize("make", [wordpiece, byte_bpe, unigram])
@pytest.mark.parametrize("side", ["right", "left"])
def test_what_was_cut_is_counted_exactly_for_texts_and_pairs(make, side):
    tokenizer = make()
    tokenizer.truncation_side = side
    texts = ["별", *("별을 보았다 " * count for count in (5, 12, 40))]
    pairs = ["문", *("천문대 " * count for count in (1, 30, 3))]
    encoder = TextEncoder(tokenizer, 24)
    for second in (None, pairs):
        columns = encoder(texts, second, with_cut=True)
        cut = columns["cut"]
        whole = [len(ids) for ids in tokenizer(texts, second)["input_ids"]]
        assert (np.diff(columns["offsets"]) + cut).tolist() == whole
        assert cut[0] == 0 < cut[3]


def test_prediction_says_once_what_it_did_not_read(classifier, answerer, messages):
    long = "이 영화 최고 음악이 참 좋았어요 " * 20
    cut = len(classifier.tokenizer(long)["input_ids"]) - 32
    classifier(["이 영화 최고", long])
    (told,) = (line for line in messages() if "읽지 않았습니다" in line)
    assert told.startswith("2번째 문장") and f"뒤쪽 {cut}토큰" in told
    answerer("이 영화 최고 음악이 참 좋았어요 " * 5, "음악이 좋았다")
    told = [line for line in messages() if "읽지 않았습니다" in line]
    assert len(told) == 2 and told[1].startswith("1번째 질문") and "max_query_length" in told[1]


def test_the_side_that_was_cut_in_training_is_saved_with_the_model(train_args, mini_tokenizer, tmp_path):
    from transformers import AutoTokenizer

    corpus = corpus_of(tmp_path / "mine", ["이 영화 최고"] * 4)
    args = train_args(downstream_corpus_root_dir=str(tmp_path), downstream_corpus_name="mine")
    tokenizer = copy.deepcopy(mini_tokenizer)
    tokenizer.truncation_side = "left"
    ClassificationDataset(args, tokenizer, corpus, "train")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").truncation_side == "left"


def test_pretraining_examples_lose_their_front_only_when_the_tokenizer_says_so(
    tmp_path, mini_tokenizer, messages
):
    sentence = " ".join(f"{number}번 영화" for number in range(60))
    path = write(tmp_path / "long.txt", "\n\n".join([sentence] * 30))
    fronts = []
    for side in ("right", "left"):
        tokenizer = copy.deepcopy(mini_tokenizer)
        tokenizer.truncation_side = side
        data = TextDatasetForNextSentencePrediction(tokenizer, path, 32, nsp_probability=0.0, seed=1)
        starts, lengths = data.text.sentences, data.examples[:, 1]
        end = starts[np.searchsorted(starts, data.examples[:, 0], side="right")]
        fronts.append((end - data.examples[:, 0] - lengths).tolist())
    assert not any(fronts[1]) and any(fronts[0])
    assert any("예시(29토큰)보다 길어" in line for line in messages())


# ---- 읽을 수 있는 토큰


@pytest.mark.parametrize("make", [byte_bpe, lambda: byte_bpe(normalizers.NFC())])
def test_byte_level_tokens_are_shown_as_the_letters_they_stand_for(make):
    tokenizer, text = make(), "천문대는 별을 café 😀"
    tokens = readable_tokens(tokenizer, tokenizer(text)["input_ids"])
    assert tokens[0] == "[CLS]" and tokens[-1] == "[SEP]"
    raw = "".join(tokens[1:-1]).encode("latin-1", "backslashreplace").decode("unicode_escape")
    assert any("별" in token for token in tokens) and "ë" not in "".join(tokens)
    joined = "".join(tokens[1:-1])
    assert "\\x" in joined or joined == text
    assert raw


def test_other_vocabularies_are_shown_as_they_are():
    for make in (wordpiece, unigram):
        tokenizer = make()
        words = tokenizer.tokenize("천문대는 별을")
        assert readable_tokens(tokenizer, words) == words
        assert readable_tokens(tokenizer, np.array(tokenizer.convert_tokens_to_ids(words))) == words


def test_fillings_of_a_byte_level_model_are_readable():
    from transformers import RobertaConfig, RobertaForMaskedLM

    tokenizer = byte_bpe()
    torch.manual_seed(1)
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = RobertaForMaskedLM(RobertaConfig(vocab_size=len(tokenizer), pad_token_id=0, **size))
    probe = MaskProbe(model, tokenizer, device="cpu")
    (slot,) = probe.candidates("천문대 [MASK]", len(tokenizer))
    shown = {token for token, _ in slot}
    assert "별을" in {token.strip() for token in shown} and not any("ë" in token for token in shown)
    assert fill(probe, "천문대 [MASK]")[0].tokens[0] in shown


# ---- 반쪽짜리 글자와 빈 글

HALF = "재밌어요 \ud83d"


def test_a_half_letter_is_one_sentence_that_names_the_row_everywhere(
    classifier, answerer, train_args, mini_tokenizer, tmp_path
):
    class Halves:
        num_labels = 2

        def get_labels(self):
            return ["0", "1"]

        def get_examples(self, data_root_path, mode):
            return [ClassificationExample("좋아요", None, "0"), ClassificationExample(HALF, None, "1")]

    asked = {
        "2번째 문장": lambda: classifier(["좋아요", HALF]),
        "1번째 문장": lambda: classifier.probabilities([("좋아요", HALF)]),
        "2번째 질문": lambda: answerer.answer([("누가?", "세종"), (HALF, "세종")]),
        "1번째 지문": lambda: answerer("누가?", HALF),
        "2번째 글": lambda: TextEncoder(mini_tokenizer, 16)(["좋아요", HALF]),
        "Halves train 2번째 예시": lambda: ClassificationDataset(
            train_args(), mini_tokenizer, Halves(), "train"
        ),
        "1번째 후보": lambda: candidate_ids(mini_tokenizer, [HALF], 1),
    }
    for where, ask in asked.items():
        with pytest.raises(NlpbookError, match=rf"{where}.*U\+D83D") as error:
            ask()
        assert "\n" not in str(error.value)
        str(error.value).encode()


def test_an_undecodable_word_on_the_command_line_is_one_sentence(classifier, tmp_path, capsys):
    classifier.model.save_pretrained(tmp_path)
    classifier.tokenizer.save_pretrained(tmp_path)
    word = "재밌어요".encode("cp949").decode("utf-8", "surrogateescape")
    assert main(
        ["predict", "doc-cls", "--model_dir", str(tmp_path), "--max_seq_length", "32", "좋아요", word]
    ) in {0, 2}
    told = capsys.readouterr()
    assert "2번째" in told.out + told.err and "U+DC" in told.out + told.err and "Traceback" not in told.err


@pytest.mark.parametrize("blank", ["\u200b", "\ufeff \u2060", "\u3164", "\u202a\u202c", "\x00"])
def test_a_text_of_invisible_letters_is_an_empty_text(classifier, answerer, blank):
    with pytest.raises(NlpbookError, match="2번째 문장이 비었"):
        classifier(["좋아요", blank])
    with pytest.raises(NlpbookError, match="1번째 질문이 비었"):
        answerer(blank, "세종")
    found = answerer("누가?", blank)
    assert not found["found"] and found["answer"] == "" and found["unknown"] == 0


BREAKS = [*"\x0b\x0c\x1c\x1f\x85\u2028\u2029"]


@pytest.mark.parametrize("mark", BREAKS, ids=ascii)
def test_a_line_break_of_another_program_parts_two_words(mini_tokenizer, mark):
    text = f"영화{mark}정말"
    assert normalize_texts([text]) == [normalize_text(text)] == ["영화 정말"]
    assert Normalized(text).original_span(3, 5) == (3, 5) and Normalized(text).original_span(2, 3) == (2, 3)
    parted, plain = (TextEncoder(mini_tokenizer, 16)([each])["input_ids"] for each in (text, "영화 정말"))
    assert parted.tolist() == plain.tolist()
