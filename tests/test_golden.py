"""책에 실린 값과 한 자리도 다르지 않은지 봅니다. KcBERT의 진짜 어휘가 있어야 합니다."""

import numpy as np
import torch

from nlpbook_nbs.classification import (
    ClassificationDataset,
    ClassificationExample,
    ClassificationTrainArguments,
    NsmcCorpus,
)
from nlpbook_nbs.core.features import data_collator


class OneReview(NsmcCorpus):
    def get_examples(self, data_root_path, mode):
        return [ClassificationExample("아 더빙.. 진짜 짜증나네요 목소리", None, "0")]


class OnePair:
    num_labels = 3

    def get_labels(self):
        return ["entailment", "contradiction", "neutral"]

    def get_examples(self, data_root_path, mode):
        return [
            ClassificationExample("100분간 잘껄 그래도 소닉붐땜에 2점준다", "100분간 잤다.", "contradiction")
        ]


def arguments(real_data, length):
    return ClassificationTrainArguments(
        pretrained_model_name=str(real_data / "kcbert-base"),
        downstream_corpus_name="x",
        downstream_corpus_root_dir="x",
        max_seq_length=length,
    )


def test_single_review_gives_the_features_of_the_book(real_data, kcbert):
    feature = ClassificationDataset(arguments(real_data, 128), kcbert, OneReview(), "train")[0]
    assert feature.input_ids == [2, 2170, 832, 5045, 17, 17, 7992, 29734, 4040, 10720, 3] + [0] * 117
    assert feature.attention_mask == [1] * 11 + [0] * 117
    assert feature.token_type_ids == [0] * 128
    assert feature.label == 0


def test_pair_gives_the_features_of_the_book(real_data, kcbert):
    feature = ClassificationDataset(arguments(real_data, 64), kcbert, OnePair(), "train")[0]
    assert (
        feature.input_ids
        == [
            2,
            8327,
            15760,
            2483,
            4260,
            8446,
            1895,
            5623,
            5969,
            10319,
            21,
            4213,
            10172,
            3,
            8327,
            15760,
            2491,
            4020,
            17,
            3,
        ]
        + [0] * 44
    )
    assert feature.token_type_ids == [0] * 14 + [1] * 6 + [0] * 44
    assert feature.attention_mask == [1] * 20 + [0] * 44
    assert feature.label == 1
    tokens = (
        "[CLS] 100 ##분간 잘 ##껄 그래도 소 ##닉 ##붐 ##땜에 2 ##점 ##준다 [SEP] 100 ##분간 잤 ##다 . [SEP]".split()
        + ["[PAD]"] * 44
    )
    assert kcbert.convert_ids_to_tokens(feature.input_ids) == tokens


def test_every_training_line_of_nsmc_becomes_one_example(real_data):
    """결함 12: 짝이 맞지 않는 따옴표가 든 줄도 한 건입니다."""
    assert len(NsmcCorpus().get_examples(real_data / "nsmc", "train")) == 150_000


def test_features_equal_what_the_library_tokenizer_gives(real_data, kcbert):
    examples = NsmcCorpus().get_examples(real_data / "nsmc", "test")

    class Reviews(NsmcCorpus):
        def get_examples(self, data_root_path, mode):
            return examples

    dataset = ClassificationDataset(arguments(real_data, 40), kcbert, Reviews(), "test")
    places = np.random.default_rng(7).choice(len(examples), 300, replace=False)
    expected = kcbert(
        [examples[i].text_a for i in places],
        max_length=40,
        truncation=True,
        padding="longest",
        return_tensors="pt",
    )
    batch = data_collator(dataset.__getitems__(places))
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert torch.equal(batch[name], expected[name])


def test_published_kcbert_vocabulary_is_not_split_into_jamo(kcbert):
    assert kcbert.unk_token_id not in kcbert("한국어를 자모로 풀지 않습니다")["input_ids"]
