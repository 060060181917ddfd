"""10장: 토크나이저, MLM과 NSP 데이터, 빈칸, 사전학습."""

import gc
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL_BERT, needs_sigkill, needs_torchrun, write

from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.masking import MaskingCollator
from nlpbook_nbs.core.nsp import TextDatasetForNextSentencePrediction
from nlpbook_nbs.core.pretraining import (
    PretrainArguments,
    load_pretraining_model,
    pretrain_bert,
    pretraining_datasets,
    pretraining_losses,
)
from nlpbook_nbs.core.resume import load_checkpoint
from nlpbook_nbs.core.samplers import ExampleSampler, random_bits, shuffled
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.text import (
    TokenizedText,
    read_documents,
    read_sentences,
    split_sentences,
    write_documents,
)
from nlpbook_nbs.pretrain import SPECIAL_TOKENS, TokenizerArguments, parameter_counts, train_tokenizer

TEXT = Path(sample_root(), "text")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    return train_tokenizer(TokenizerArguments(train_file=str(TEXT), output_dir=str(folder), vocab_size=3000))


@pytest.fixture(scope="module")
def tokenizer_dir(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def dataset(tokenizer):
    return TextDatasetForNextSentencePrediction(tokenizer, str(TEXT), 64)


SMALL_TRAINING = SMALL_BERT | {
    "train_file": str(TEXT / "everyday.txt"),
    "max_seq_length": 32,
    "learning_rate": 1e-3,
    "validation_every": 10,
    "seed": 7,
    "accelerator": "cpu",
}
AS_SAVED = dict.fromkeys(SMALL_BERT)  # 모델 폴더에 적힌 크기를 그대로 씁니다.


@pytest.fixture
def arguments(tmp_path, tokenizer_dir):
    def make(**changes):
        folders = {
            "pretrained_model_name": str(tokenizer_dir),
            "downstream_model_dir": str(tmp_path / "model"),
        }
        return PretrainArguments(**(SMALL_TRAINING | {"batch_size": 32} | folders | changes))

    return make


def documents_of(data, tokens):
    """토큰 자리가 든 문서의 번호."""
    starts = data.text.sentences[data.text.documents]
    return np.searchsorted(starts, tokens, side="right") - 1


# 글과 토크나이저


def test_sample_text_is_large_and_varied_enough():
    documents = [
        document.splitlines()
        for path in sorted(TEXT.glob("*.txt"))
        for document in path.read_text(encoding="utf-8").strip().split("\n\n")
    ]
    lines = [line for document in documents for line in document]
    assert len(list(TEXT.glob("*.txt"))) == 4 and len(documents) >= 150 and len(lines) >= 2000
    assert len(set(lines)) == len(lines) and all(line == line.strip() for line in lines)
    assert min(map(len, documents)) >= 2


def test_tokenizer_has_the_special_tokens_first_and_loads_as_a_folder(tokenizer, tokenizer_dir):
    from transformers import AutoTokenizer, BertTokenizer

    assert tokenizer.convert_ids_to_tokens(range(5)) == list(SPECIAL_TOKENS)
    sentence = "이끼는 그늘지고 축축한 곳을 좋아한다."
    for cls in (AutoTokenizer, BertTokenizer):
        loaded = cls.from_pretrained(str(tokenizer_dir))
        assert loaded.tokenize(sentence) == tokenizer.tokenize(sentence)
    assert "[UNK]" not in tokenizer.tokenize(sentence)
    assert tokenizer.backend_tokenizer.normalizer.normalize_str("CAFÉ 한글") == "CAFÉ 한글"
    assert len(tokenizer.tokenize("大小")) == 2


def test_same_text_gives_the_same_vocabulary(tokenizer, tmp_path):
    again = train_tokenizer(
        TokenizerArguments(train_file=str(TEXT), output_dir=str(tmp_path), vocab_size=3000)
    )
    assert again.get_vocab() == tokenizer.get_vocab()


def test_vocabulary_larger_than_the_text_can_give_is_said(tmp_path, messages):
    path = tmp_path / "small.txt"
    path.write_text("가나 다라\n가나 마바\n", encoding="utf-8")
    found = train_tokenizer(
        TokenizerArguments(train_file=str(path), output_dir=str(tmp_path / "t"), vocab_size=500)
    )
    assert len(found) < 500 and any("min_frequency번 이상" in message for message in messages())


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"vocab_size": 3}, "vocab_size=3"),
        ({"vocab_size": 500, "limit_alphabet": 400}, "vocab_size=500.*805개"),
        ({"min_frequency": 0}, "min_frequency=0"),
        ({"train_file": ""}, "train_file"),
        ({"train_file": "없는.txt"}, "없는.txt"),
    ],
)
def test_bad_tokenizer_settings_are_refused(tmp_path, changes, words):
    values = {"train_file": str(TEXT), "output_dir": str(tmp_path / "t")}
    with pytest.raises(NlpbookError, match=words):
        train_tokenizer(TokenizerArguments(**(values | changes)))
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("content, words", [(b"", "한 줄도 없습니다"), (b"\n\n \n", "한 줄도 없습니다")])
def test_empty_text_is_refused(tmp_path, tokenizer, content, words):
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    for call in (
        lambda: TextDatasetForNextSentencePrediction(tokenizer, str(path), 64),
        lambda: train_tokenizer(TokenizerArguments(train_file=str(path), output_dir=str(tmp_path / "t"))),
    ):
        with pytest.raises(NlpbookError, match=words):
            call()


def test_broken_utf8_is_named_by_file_and_line(tmp_path, tokenizer):
    path = tmp_path / "broken.txt"
    path.write_bytes("첫 줄\n둘째 줄\n".encode() + "셋째".encode("cp949") + "\n넷째 줄\n".encode())
    for call in (
        lambda: TextDatasetForNextSentencePrediction(tokenizer, str(path), 64),
        lambda: train_tokenizer(TokenizerArguments(train_file=str(path), output_dir=str(tmp_path / "t"))),
    ):
        with pytest.raises(NlpbookError, match=r"broken\.txt:3: UTF-8"):
            call()


def test_reading_keeps_every_character_whatever_the_line_ends(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes("\ufeff첫째 문장\r\n\r\n둘째 문장".encode())
    assert [s for chunk in read_sentences(path) for s in chunk] == ["첫째 문장", "", "둘째 문장"]
    long = " ".join(["낱말"] * 20_000)
    path.write_text(long, encoding="utf-8")
    pieces = [s for chunk in read_sentences(path) for s in chunk]
    assert " ".join(pieces) == long and max(map(len, pieces)) <= 10_000


def test_documents_written_are_documents_read(tmp_path, tokenizer):
    documents = [split_sentences("비가 온다. 우산을  쓴다! 왜?"), ["눈이 온다."]]
    path = write_documents(documents, tmp_path / "a" / "text.txt")
    assert path.read_text(encoding="utf-8") == "비가 온다.\n우산을 쓴다!\n왜?\n\n눈이 온다.\n\n"
    text = TokenizedText(tokenizer, path)
    assert text.documents.tolist() == [0, 3, 4]


# 예시


def test_examples_look_as_the_known_class_promised(tokenizer):
    data = TextDatasetForNextSentencePrediction(tokenizer, str(TEXT), 64, True, 0.1, 0.5)
    for i in range(0, len(data), 7):
        example = data[i]
        assert set(example) == {"input_ids", "token_type_ids", "next_sentence_label"}
        ids, types = example["input_ids"].tolist(), example["token_type_ids"].tolist()
        first = ids.index(tokenizer.sep_token_id)
        assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
        assert ids.count(tokenizer.sep_token_id) == 2 and len(ids) == len(types) <= 64
        assert types == [0] * (first + 1) + [1] * (len(ids) - first - 1)
        assert 0 < first - 1 and len(ids) - first - 2 > 0


@pytest.mark.parametrize("block_size", [8, 31, 128, 500])
def test_no_example_is_longer_than_the_block(tokenizer, block_size):
    data = TextDatasetForNextSentencePrediction(tokenizer, str(TEXT), block_size)
    lengths = data.examples[:, 1] + data.examples[:, 3] + 3
    assert lengths.max() <= block_size and (data.examples[:, [1, 3]] > 0).all()


def test_random_next_comes_from_another_document_and_real_next_follows(dataset):
    rows = np.asarray(dataset.examples)
    own, other = documents_of(dataset, rows[:, 0]), documents_of(dataset, rows[:, 2])
    random_next = rows[:, 4] == 1
    assert (own[random_next] != other[random_next]).all() and (own[~random_next] == other[~random_next]).all()
    assert (documents_of(dataset, rows[:, 2] + rows[:, 3] - 1) == other).all()
    ends, starts = (rows[:, 0] + rows[:, 1])[~random_next], rows[:, 2][~random_next]
    assert (starts >= ends).all() and (
        starts == ends
    ).any()  # 길이를 맞추려고 덜어 낸 만큼만 사이가 벌어집니다.
    assert (starts - ends).max() < 128
    assert 0.4 < random_next.mean() < 0.6
    assert len(np.unique(other[random_next])) > 0.6 * dataset.document_count


def test_every_sentence_is_used(tokenizer):
    """block_size가 넉넉하면 어떤 글도 버려지지 않습니다."""
    data = TextDatasetForNextSentencePrediction(
        tokenizer, str(TEXT), 512, short_seq_probability=0, nsp_probability=0.5
    )
    seen = np.zeros(len(data.text.tokens), bool)
    for a, a_length, b, b_length, label in data.examples:
        seen[a : a + a_length] = True
        if not label:
            seen[b : b + b_length] = True
    assert seen.mean() > 0.95


def test_examples_follow_the_seed_and_fresh_ones_come_each_epoch(tokenizer):
    def rows(epoch=0, **options):
        data = TextDatasetForNextSentencePrediction(tokenizer, str(TEXT), 64, **options)
        data.set_epoch(epoch)
        return np.asarray(data.examples)

    assert np.array_equal(rows(seed=3), rows(seed=3)) and not np.array_equal(rows(seed=3), rows(seed=4))
    assert np.array_equal(rows(0), rows(1))
    assert np.array_equal(rows(0), rows(0, fresh=True)) and not np.array_equal(rows(0), rows(1, fresh=True))
    assert np.array_equal(rows(2, fresh=True), rows(2, fresh=True))


def test_held_out_documents_are_not_trained_on(tokenizer):
    parts = {
        part: TextDatasetForNextSentencePrediction(tokenizer, str(TEXT), 64, part=part, validation_every=5)
        for part in ("train", "val")
    }
    used = {
        part: set(documents_of(data, np.concatenate([data.examples[:, 0], data.examples[:, 2]])).tolist())
        for part, data in parts.items()
    }
    assert not used["train"] & used["val"] and used["train"] | used["val"] == set(range(176))
    assert used["val"] == set(range(4, 176, 5))


@pytest.mark.parametrize(
    "text", ["한 문서뿐입니다.\n문장은 둘이에요.\n", "빈 줄이\n하나도\n없습니다.\n" * 30]
)
def test_one_document_cannot_give_a_random_next(tmp_path, tokenizer, text):
    path = write(tmp_path / "one.txt", text)
    with pytest.raises(NlpbookError, match=r"one\.txt.*nsp_probability.*빈 줄을 넣거나"):
        TextDatasetForNextSentencePrediction(tokenizer, path, 64)
    data = TextDatasetForNextSentencePrediction(tokenizer, path, 64, nsp_probability=0)
    assert len(data) and not data.examples[:, 4].any()
    batch = MaskingCollator(tokenizer)(data.__getitems__(range(len(data))))
    assert batch["input_ids"].shape[1] <= 64


def test_documents_of_one_sentence_are_used_and_said(tmp_path, tokenizer, messages):
    path = write(tmp_path / "single.txt", "한 문장입니다.\n\n다른 문장이에요.\n\n또 다른 글.\n")
    data = TextDatasetForNextSentencePrediction(tokenizer, path, 64)
    assert len(data) == 3 and data.examples[:, 4].all() and any("문장이 하나뿐" in m for m in messages())


def test_line_longer_than_the_block_is_cut_to_it(tmp_path, tokenizer):
    path = write(
        tmp_path / "long.txt",
        "길고 긴 문장이 끝없이 이어집니다 " * 500 + "\n둘째 문장.\n\n다른 문서예요.\n끝.\n",
    )
    data = TextDatasetForNextSentencePrediction(tokenizer, path, 32)
    assert (data.examples[:, 1] + data.examples[:, 3]).max() == 29
    assert max(len(data[i]["input_ids"]) for i in range(len(data))) == 32


@pytest.mark.parametrize(
    "options, words",
    [
        ({"block_size": 4}, "block_size=4"),
        ({"nsp_probability": 1.5}, "nsp_probability=1.5"),
        ({"short_seq_probability": -0.1}, "short_seq_probability=-0.1"),
    ],
)
def test_bad_example_settings_are_refused(tokenizer, options, words):
    with pytest.raises(NlpbookError, match=words):
        TextDatasetForNextSentencePrediction(tokenizer, str(TEXT), **({"block_size": 64} | options))


def test_text_of_a_causal_tokenizer_needs_no_mask_but_blanks_do(tokenizer_dir, arguments):
    from transformers import BertTokenizer

    maskless = BertTokenizer.from_pretrained(str(tokenizer_dir))
    with_mask = TokenizedText(maskless, str(TEXT))
    maskless.mask_token = None
    text = TokenizedText(maskless, str(TEXT))
    assert np.array_equal(text.tokens, with_mask.tokens)
    for call in (lambda: MaskingCollator(maskless), lambda: pretraining_datasets(arguments(), maskless)):
        with pytest.raises(NlpbookError, match=r"\[MASK\] 토큰이 없어"):
            call()


def test_text_of_a_byte_level_tokenizer_like_gpt_s_keeps_every_sentence(tmp_path):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train([str(TEXT / "news.txt")], vocab_size=600, special_tokens=["</s>", "<pad>"])
    causal = PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token="</s>", pad_token="<pad>")
    assert causal.mask_token is None and causal.unk_token is None
    text = TokenizedText(causal, TEXT / "news.txt")
    documents = read_documents(TEXT / "news.txt")
    sentences = [sentence for document in documents for sentence in document]
    assert len(text.sentences) - 1 == len(sentences) and len(text.documents) - 1 == len(documents)
    begin, end = text.sentences[7], text.sentences[8]
    assert causal.decode(text.tokens[begin:end]) == sentences[7]


def test_text_and_examples_travel_as_paths_however_large_they_are(tmp_path, tokenizer):
    """보조 프로세스를 새로 띄우는 곳(맥, 윈도우)에서 말뭉치를 통째로 복사하면 안 됩니다."""
    text, sizes = (TEXT / "reviews.txt").read_text(encoding="utf-8"), []
    for times in (1, 20):
        path = write(tmp_path / "reviews.txt", text * times)
        data = TextDatasetForNextSentencePrediction(tokenizer, path, 64, fresh=True)
        data.set_epoch(1)
        sent = pickle.dumps(data)
        sizes.append(len(sent))
        received = pickle.loads(sent)
        assert np.array_equal(received.examples, data.examples)
        assert np.array_equal(received.text.tokens, data.text.tokens)
    assert abs(sizes[1] - sizes[0]) < 1000 < data.examples.nbytes / 10


def test_spawned_workers_give_the_batches_of_none(tokenizer, arguments):
    from torch.utils.data import DataLoader

    data = TextDatasetForNextSentencePrediction(tokenizer, str(TEXT / "news.txt"), 32, fresh=True)
    data.set_epoch(1)
    loaders = [
        DataLoader(data, batch_size=64, collate_fn=MaskingCollator(tokenizer), **options)
        for options in ({}, {"num_workers": 1, "multiprocessing_context": "spawn"})
    ]
    for alone, spawned in zip(*loaders, strict=True):
        assert all(torch.equal(alone[name], spawned[name]) for name in alone)
    assert len(data.examples) == len(data)  # 보조 프로세스가 끝나도 표는 남아 있습니다.


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """임시 폴더에 지금 있는 `nlpbook` 폴더들을 세는 함수."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return lambda: len(list(folder.glob("nlpbook-*")))


def test_only_the_table_of_this_epoch_is_left_in_the_temporary_folder(tokenizer, scratch):
    data = TextDatasetForNextSentencePrediction(tokenizer, str(TEXT / "news.txt"), 32, fresh=True)
    for epoch in range(1, 6):
        data.set_epoch(epoch)
        assert scratch() == 1
    old = data.examples  # 누가 아직 읽고 있는 표는 지우지 않습니다.
    before = np.array(old)
    data.set_epoch(6)
    assert scratch() == 2 and np.array_equal(old, before)
    del old, data
    gc.collect()
    assert scratch() == 0


def test_a_copy_of_the_dataset_neither_keeps_nor_removes_the_table(tokenizer, scratch):
    data = TextDatasetForNextSentencePrediction(tokenizer, str(TEXT / "news.txt"), 32, fresh=True)
    copy = pickle.loads(pickle.dumps(data))
    copy.set_epoch(1)
    assert scratch() == 2
    del copy
    gc.collect()
    assert scratch() == 1 and len(data.examples) == len(data)


def test_text_without_a_cache_leaves_the_temporary_folder_with_its_last_user(
    tmp_path, tokenizer, monkeypatch, scratch
):
    blocked = write(tmp_path / "file", "폴더가 아닙니다")
    monkeypatch.setenv("NLPBOOK_CACHE", str(blocked))
    text = TokenizedText(tokenizer, str(TEXT / "news.txt"))
    assert scratch() == 1 and len(text.tokens) > 1000
    del text
    gc.collect()
    assert scratch() == 0


def test_cache_follows_text_and_tokenizer(tmp_path, tokenizer, mini_tokenizer):
    path = tmp_path / "text.txt"
    write(path, "첫 문서입니다.\n둘째 문장.\n\n다른 문서.\n")
    first = TokenizedText(tokenizer, path)
    write(path, "첫 문서입니다.\n둘째 문장!\n\n다른 문서.\n")
    second, other = TokenizedText(tokenizer, path), TokenizedText(mini_tokenizer, path)
    assert (
        first.text_fingerprint != second.text_fingerprint and second.tokens.tolist() != first.tokens.tolist()
    )
    assert other.tokenizer_fingerprint != second.tokenizer_fingerprint
    assert isinstance(second.tokens, np.memmap)


def test_unwritable_cache_is_done_without(tmp_path, tokenizer, monkeypatch, messages):
    blocked = tmp_path / "file"
    blocked.write_text("폴더가 아닙니다")
    monkeypatch.setenv("NLPBOOK_CACHE", str(blocked))
    data = TextDatasetForNextSentencePrediction(tokenizer, str(TEXT), 64)
    assert len(data) > 500 and any("캐시 없이 계속합니다" in message for message in messages())


MEMORY = """
import resource, sys
from nlpbook_nbs.core.nsp import TextDatasetForNextSentencePrediction
from transformers import BertTokenizer
tokenizer = BertTokenizer.from_pretrained(sys.argv[1])
warm = TextDatasetForNextSentencePrediction(tokenizer, sys.argv[2], 64)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = TextDatasetForNextSentencePrediction(tokenizer, sys.argv[3], 64)
for epoch in range(2):
    data.set_epoch(epoch)
unit = 1 if sys.platform == "darwin" else 1024  # 맥에서는 바이트, 리눅스에서는 킬로바이트입니다.
print(len(data), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit / 1e6)
"""


def test_memory_does_not_grow_with_the_text(tmp_path, tokenizer_dir):
    """글이 여덟 배여도 메모리의 꼭대기는 그만큼 늘지 않습니다. 파일 캐시인 메모리 맵도 셈에 들어갑니다."""
    pytest.importorskip("resource", reason="이 운영체제에서는 메모리의 꼭대기를 잴 수 없습니다")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(TEXT.glob("*.txt")))
    grown = []
    for times in (10, 80):
        path = tmp_path / f"{times}.txt"
        write(path, text * times)
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, tokenizer_dir, tmp_path / "10.txt", path],
            capture_output=True,
            text=True,
            check=True,
        )
        grown.append(float(done.stdout.split()[1]))
        size = path.stat().st_size / 1e6
    assert grown[1] - grown[0] < size, (grown, size)


# 난수와 순서


def test_random_bits_are_the_same_everywhere():
    assert random_bits(0, [0, 1]).tolist() == [
        16294208416658607535,
        7960286522194355700,
    ]  # SplitMix64의 시험값


@pytest.mark.parametrize("count", [1, 2, 3, 17, 1000, 4097])
def test_shuffled_gives_each_number_once(count):
    found = shuffled(np.arange(count), count, key=5)
    assert sorted(found.tolist()) == list(range(count))
    if count >= 1000:
        assert abs(np.corrcoef(found, np.arange(count))[0, 1]) < 0.1
        assert not np.array_equal(found, shuffled(np.arange(count), count, key=6))


@pytest.mark.parametrize("grouped", [True, False])
def test_sampler_gives_every_example_once_in_a_new_order_each_epoch(dataset, grouped):
    sampler = ExampleSampler(dataset, 16, group_by_length=grouped, chunk_batches=5)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert sorted(orders[0]) == list(range(len(dataset))) and orders[0] == orders[2] != orders[1]


# 빈칸


def test_masking_has_the_statistics_of_the_library(tokenizer, dataset):
    from transformers import DataCollatorForLanguageModeling

    examples = [dataset[i] for i in range(200)]
    special = torch.tensor(tokenizer.all_special_ids)

    def statistics(collate, rows, times=30):
        chosen = masked = kept = total = 0
        for turn in range(times):
            dataset.set_epoch(turn)
            batch = collate(rows())
            where = batch["labels"] != -100
            original = torch.where(where, batch["labels"], batch["input_ids"])
            maskable = ~torch.isin(original, special)
            assert not (where & ~maskable).any() and not (where & (batch["attention_mask"] == 0)).any()
            chosen, total = chosen + int(where.sum()), total + int(maskable.sum())
            masked += int((batch["input_ids"][where] == tokenizer.mask_token_id).sum())
            kept += int((batch["input_ids"] == batch["labels"])[where].sum())
        return np.array([chosen / total, masked / chosen, kept / chosen])

    library = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm_probability=0.15, seed=7)
    wanted = statistics(library, lambda: [dict(example) for example in examples])
    for collate in (MaskingCollator(tokenizer), MaskingCollator(tokenizer, whole_word_mask=True)):
        for rows in (lambda: examples, lambda: dataset.__getitems__(np.arange(200))):
            found = statistics(collate, rows)
            assert np.allclose(found, wanted, atol=0.01), (found, wanted)
            assert np.allclose(found, [0.15, 0.8, 0.1], atol=0.01)


def test_replaced_tokens_are_spread_over_the_vocabulary(tokenizer, dataset):
    dataset.set_epoch(0)
    batch = MaskingCollator(tokenizer, 0.9)(dataset.__getitems__(range(len(dataset))))
    changed = (batch["labels"] != -100) & (batch["input_ids"] != batch["labels"])
    replaced = batch["input_ids"][changed & (batch["input_ids"] != tokenizer.mask_token_id)].numpy()
    counts = np.bincount(replaced // 100, minlength=30)
    assert abs(replaced.mean() / len(tokenizer) - 0.5) < 0.03 and counts.min() > 0.6 * counts.max()


def test_masks_belong_to_the_example_and_the_epoch(tokenizer, dataset):
    collate = MaskingCollator(tokenizer)

    def mask(indices, epoch):
        dataset.set_epoch(epoch)
        return collate(dataset.__getitems__(indices))["labels"]

    alone, together = mask([5], 0), mask([2, 5, 9], 0)
    assert torch.equal(alone[0], together[1, : alone.shape[1]])
    assert not torch.equal(mask([2, 5, 9], 0), mask([2, 5, 9], 1))
    assert torch.equal(mask([2, 5, 9], 1), mask([2, 5, 9], 1))


def test_whole_words_are_masked_together(tokenizer, dataset):
    dataset.set_epoch(0)
    batch = MaskingCollator(tokenizer, whole_word_mask=True)(dataset.__getitems__(range(300)))
    chosen = batch["labels"] != -100
    original = torch.where(chosen, batch["labels"], batch["input_ids"])
    whole = broken = 0
    for ids, marks in zip(original.tolist(), chosen.tolist()):
        for place in range(2, len(ids)):
            token = tokenizer.convert_ids_to_tokens(ids[place])
            if token.startswith("##") and ids[place - 1] not in tokenizer.all_special_ids:
                whole += marks[place] and marks[place - 1]
                broken += marks[place] != marks[place - 1]
    assert whole > 200 and broken == 0


@pytest.mark.parametrize("probability", [0, 1, -0.1, float("nan")])
def test_bad_mask_probability_is_refused(tokenizer, probability):
    with pytest.raises(NlpbookError, match="mlm_probability"):
        MaskingCollator(tokenizer, probability)


# 모델과 학습


def test_parameters_are_counted_right(arguments, tokenizer):
    model = load_pretraining_model(arguments(), tokenizer)
    assert sum(parameter_counts(model.config).values()) == model.num_parameters()


def test_loss_at_masked_positions_equals_the_library_s_and_so_do_the_gradients(arguments, tokenizer, dataset):
    from torch.nn.functional import cross_entropy

    model = load_pretraining_model(arguments(dropout=0.0), tokenizer).train()
    batch = MaskingCollator(tokenizer)(dataset.__getitems__(range(24)))
    loss, count, _, next_scores = pretraining_losses(model, batch)
    ours = loss / count + cross_entropy(next_scores, batch["next_sentence_label"])
    gradients = torch.autograd.grad(ours, list(model.parameters()))
    theirs = model(**batch).loss
    assert int(count) == int((batch["labels"] != -100).sum())
    assert torch.allclose(ours, theirs, atol=1e-5)
    for mine, other in zip(gradients, torch.autograd.grad(theirs, list(model.parameters()))):
        assert torch.allclose(mine, other, atol=1e-5)


def test_batch_without_a_single_blank_trains_on(arguments, tokenizer, dataset):
    model = load_pretraining_model(arguments(), tokenizer)
    batch = MaskingCollator(tokenizer)(dataset.__getitems__(range(2)))
    batch["labels"][:] = -100
    loss, count, _, _ = pretraining_losses(model, batch)
    assert int(count) == 0 and loss.item() == 0.0


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"max_seq_length": 128}, "위치의 수 64"),
        ({"hidden_size": 33}, "num_attention_heads=2"),
        ({"mlm_probability": 0.0}, "mlm_probability"),
        ({"nsp_probability": 2}, "nsp_probability"),
        ({"dropout": -1}, "dropout"),
        ({"validation_every": 1}, "validation_every=1"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0"),
        ({"train_file": ""}, "train_file"),
        ({"monitor": "max val_acc"}, "val_mlm_acc"),
    ],
)
def test_bad_pretraining_settings_are_refused(arguments, changes, words):
    with pytest.raises(NlpbookError, match=words):
        arguments(**changes)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, tokenizer_dir):
    """아주 작은 모델을 두 에폭 학습한 결과와 그 폴더."""
    folder = tmp_path_factory.mktemp("pretrained")
    os.environ["NLPBOOK_CACHE"] = str(folder / "cache")
    values = {"batch_size": 32, "learning_rate": 2e-3, "epochs": 2, "dropout": 0.0}
    args = PretrainArguments(
        pretrained_model_name=str(tokenizer_dir),
        downstream_model_dir=str(folder / "model"),
        **(SMALL_TRAINING | values),
    )
    return pretrain_bert(args), folder / "model"


def test_pretraining_learns_and_leaves_a_model_that_fills_blanks(pretrained):
    from transformers import pipeline

    result, folder = pretrained
    assert result["val_mlm_loss"] < np.log(3000) and result["val_loss"] == pytest.approx(
        result["val_mlm_loss"] + result["val_nsp_loss"], abs=1e-4
    )
    assert result["val_perplexity"] == pytest.approx(np.exp(result["val_mlm_loss"]), rel=1e-4)
    assert 0 <= result["val_mlm_acc"] <= 1 and 0 <= result["val_nsp_acc"] <= 1
    fill = pipeline("fill-mask", model=str(folder))
    assert len(fill("오늘은 [MASK] 날씨가 좋다.", top_k=3)) == 3
    assert (
        fill.model.config.hidden_dropout_prob == 0.1
    )  # 학습 때의 드롭아웃은 저장되는 설정을 바꾸지 않습니다.
    assert fill.tokenizer.model_max_length == 64


def test_two_runs_with_one_seed_are_the_same(pretrained, arguments, tmp_path):
    result, folder = pretrained
    again = pretrain_bert(
        arguments(downstream_model_dir=str(tmp_path / "again"), learning_rate=2e-3, epochs=2, dropout=0.0)
    )
    assert again["val_loss"] == result["val_loss"]
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        folder / "model.safetensors"
    ).read_bytes()


def test_continued_pretraining_starts_from_the_weights(pretrained, arguments, tmp_path, messages):
    from transformers import BertForPreTraining

    _, folder = pretrained
    args = arguments(pretrained_model_name=str(folder), **AS_SAVED)
    from transformers import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(str(folder))
    model, before = load_pretraining_model(args, tokenizer), BertForPreTraining.from_pretrained(str(folder))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters()))
    assert any("이어서 사전학습합니다" in message for message in messages())
    scratch = arguments(pretrained_model_name=str(folder), from_scratch=True, **AS_SAVED)
    assert scratch.model_sizes()["hidden_size"] == 32 and not scratch.continues
    with pytest.raises(NlpbookError, match=r"hidden_size=64.*from_scratch"):
        arguments(pretrained_model_name=str(folder), **(AS_SAVED | {"hidden_size": 64}))


def test_positions_never_learnt_repeat_the_learnt_ones(pretrained, arguments, messages):
    from transformers import BertTokenizer

    _, folder = pretrained  # 32토큰 예시로 학습한, 위치가 64개인 모델
    args = arguments(pretrained_model_name=str(folder), max_seq_length=64, **AS_SAVED)
    weight = load_pretraining_model(
        args, BertTokenizer.from_pretrained(str(folder))
    ).bert.embeddings.position_embeddings.weight
    assert torch.equal(weight[32:], weight[:32]) and any("33번째부터" in message for message in messages())


def test_other_architectures_are_refused(tmp_path, arguments, tokenizer):
    from transformers import ElectraConfig, ElectraForPreTraining

    folder = tmp_path / "electra"
    config = ElectraConfig(
        vocab_size=3000,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        embedding_size=32,
    )
    ElectraForPreTraining(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with pytest.raises(NlpbookError, match="electra 모델입니다"):
        load_pretraining_model(arguments(pretrained_model_name=str(folder), **AS_SAVED), tokenizer)


@pytest.mark.parametrize("what", ["text", "tokenizer"])
def test_resume_with_another_text_or_tokenizer_is_refused_with_the_reason(
    arguments, tmp_path, mini_tokenizer, what
):
    values = {"train_file": write(tmp_path / "text.txt", (TEXT / "news.txt").read_text(encoding="utf-8"))}
    pretrain_bert(arguments(**values))
    if what == "text":
        with open(values["train_file"], "a", encoding="utf-8") as file:
            file.write("\n한 문장이 늘었습니다.\n두 문장입니다.\n")
    else:
        other = tmp_path / "other"
        train_tokenizer(
            TokenizerArguments(
                train_file=str(TEXT), output_dir=str(other), vocab_size=3000, limit_alphabet=500
            )
        )
        values["pretrained_model_name"] = str(other)
    with pytest.raises(NlpbookError, match=rf"last\.ckpt.*{what}\("):
        pretrain_bert(arguments(resume=True, epochs=2, **values))


NLPBOOK = str(Path(sys.executable).with_name("nlpbook"))
TORCHRUN = str(Path(sys.executable).with_name("torchrun"))


def command(*options):
    return [NLPBOOK, "pretrain", *map(str, options)]


def options_of(tokenizer_dir, folder, **more):
    folders = {"pretrained_model_name": tokenizer_dir, "downstream_model_dir": folder}
    values = SMALL_TRAINING | folders | more
    return ["model", *(word for name, value in values.items() for word in (f"--{name}", value))]


@needs_sigkill
def test_killed_and_resumed_pretraining_gives_the_same_weights(tokenizer_dir, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    settings = {"epochs": 6, "batch_size": 8, "checkpoint_steps": 7}
    subprocess.run(command(*options_of(tokenizer_dir, whole, **settings)), check=True, capture_output=True)
    resume = command(*options_of(tokenizer_dir, broken, **settings), "--resume")
    kills = 0
    for delay in (0.3, 1.1):
        process = subprocess.Popen(resume, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        last, since = broken / "checkpoints" / "last.ckpt", None
        started = last.stat().st_mtime_ns if last.exists() else None
        while process.poll() is None:
            if last.exists() and last.stat().st_mtime_ns != started:
                since = since or time.monotonic()
                if time.monotonic() - since > delay:
                    process.send_signal(signal.SIGKILL)
            time.sleep(0.02)
        kills += process.returncode == -signal.SIGKILL
    assert kills >= 1
    subprocess.run(resume, check=True, capture_output=True)
    assert (broken / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    rows = [
        load_checkpoint(folder / "checkpoints" / "last.ckpt")["callbacks"]["History"]["rows"]
        for folder in (whole, broken)
    ]
    assert rows[0] == rows[1]


@needs_torchrun
def test_two_processes_follow_the_same_loss_curve_as_one_with_the_doubled_batch(tokenizer_dir, tmp_path):
    settings = {"epochs": 2, "dropout": 0.0, "precision": "fp32", "log_every_n_steps": 1}
    one, two = tmp_path / "one", tmp_path / "two"
    results = []
    launch = [TORCHRUN, "--standalone", "--nproc_per_node", "2", "--no-python"]
    for before, folder, more in (
        ([], one, {"batch_size": 16}),
        (launch, two, {"batch_size": 8, "devices": 2, "strategy": "ddp"}),
    ):
        done = subprocess.run(
            [*before, *command(*options_of(tokenizer_dir, folder, **settings, **more))],
            check=True,
            capture_output=True,
            text=True,
        )
        results.append(json.loads(done.stdout.splitlines()[-1]))
    assert results[0]["steps"] == results[1]["steps"] > 20
    curves = []
    for folder in (one, two):
        rows = load_checkpoint(folder / "checkpoints" / "last.ckpt")["callbacks"]["History"]["rows"]
        curves.append(
            [
                [row[f"train_{name}"] for name in ("loss", "mlm_loss", "nsp_loss")]
                for row in rows
                if "train_loss" in row
            ]
        )
    assert np.allclose(curves[0], curves[1], atol=2e-3), np.abs(np.subtract(*curves)).max()
    for name in ("val_loss", "val_mlm_loss", "val_nsp_loss"):
        assert results[0][name] == pytest.approx(results[1][name], abs=2e-3)


def test_pretraining_commands_work_one_after_another(tmp_path):
    def run(*options):
        done = subprocess.run(command(*options), capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    found = run("tokenizer", "--train_file", TEXT, "--vocab_size", 2500, "--output_dir", "tok")
    assert found == {"vocab_size": 2500, "folder": "tok"}
    found = run("data", "--train_file", TEXT, "--pretrained_model_name", "tok", "--block_size", 64)
    assert found["documents"] == 176 and found["longest"] <= 64 and found["example"].startswith("[CLS]")
    found = run(*options_of("tok", "bert", epochs=1))
    assert found["val_perplexity"] > 1 and (tmp_path / "bert" / "model.safetensors").exists()


@pytest.mark.parametrize(
    "options, words",
    [
        (["modle"], "modle"),
        (["model", "--train_file", "없는 파일"], "없는 파일"),
        (["model", "--max_seq_length", "many"], "max_seq_length"),
    ],
)
def test_wrong_pretraining_commands_end_with_one_sentence(options, words, capsys):
    from nlpbook_nbs.cli import main

    assert main(["pretrain", *options]) == 2
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_pretraining_help_lists_the_commands(capsys):
    from nlpbook_nbs.cli import main

    assert main(["pretrain"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("tokenizer", "data", "model"))


# 패키지에 든 모델


def test_embedded_model_is_small_and_loads_in_full_precision():
    from safetensors import safe_open
    from transformers import BertForMaskedLM, BertForSequenceClassification

    from nlpbook_nbs.core.folders import resolve_model_name

    folder = Path(resolve_model_name("nlpbook-mini"))
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12_000_000
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118 (사전이 아닙니다)
    for cls in (BertForMaskedLM, BertForSequenceClassification):
        assert {p.dtype for p in cls.from_pretrained(str(folder)).parameters()} == {torch.float32}


def test_embedded_model_knows_its_reviews():
    from transformers import pipeline

    from nlpbook_nbs.core.folders import resolve_model_name

    fill = pipeline("fill-mask", model=resolve_model_name("nlpbook-mini"))
    tokens = [row["token_str"] for row in fill("배우들 [MASK]가 정말 좋았어요.", top_k=5)]
    assert "연기" in tokens, tokens
    data = TextDatasetForNextSentencePrediction(fill.tokenizer, str(TEXT / "reviews.txt"), 128)
    batch = MaskingCollator(fill.tokenizer)(data.__getitems__(range(64)))
    from transformers import BertForPreTraining

    model = BertForPreTraining.from_pretrained(resolve_model_name("nlpbook-mini")).eval()
    with torch.inference_mode():
        loss, count, _, _ = pretraining_losses(model, batch)
    assert loss / count < 6.5  # 고르게 찍으면 8.99, 빈도만 알면 7쯤입니다.
