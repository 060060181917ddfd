"""nlpbook-gpt를 만드는 명령: 아주 작은 글과 모델로 처음부터 끝까지, 끊겼다 이어도 같은 모델이 됩니다."""

import json
import lzma
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load_file

import nlpbook_nbs as nlpbook
from nlpbook_nbs.core.bpe import save_bpe, train_bpe
from nlpbook_nbs.core.causal import MixedText, PackedText, TokenStream
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.text import TokenizedText, read_documents

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
import make_gpt

TEXTS = Path(nlpbook.sample_root(), "text")
SMALL = {
    "VOCAB": 900,
    "LETTERS": 300,
    "BLOCK": 32,
    "BATCH": 4,
    "HELD_OUT": 5,
    "WATCHED": 6,
    "EPOCH_TOKENS": 1024,
    "SIZES": {"n_layer": 1, "n_embd": 32, "n_head": 2, "n_positions": 32, "vocab_size": 900},
    "WARMUP_STEPS": 4,
}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """토큰으로 바꾸어 둔 백과사전의 글."""
    lines = [line for document in read_documents(TEXTS) for line in document]
    tokenizer = save_bpe(train_bpe(lines, 900, 300), tmp_path_factory.mktemp("bpe"), 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NLPBOOK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield TokenizedText(tokenizer, TEXTS / "news.txt")


def test_a_stream_is_every_document_between_start_and_end(text):
    stream, tokenizer = TokenStream(text), text.tokenizer
    ids = stream.at(np.arange(len(stream)))
    assert (ids == tokenizer.bos_token_id).sum() == (ids == tokenizer.eos_token_id).sum()
    parts = np.split(ids, np.flatnonzero(ids == tokenizer.bos_token_id)[1:])
    decoded = [tokenizer.decode(part, skip_special_tokens=True) for part in parts]
    assert decoded == [" ".join(document) for document in read_documents(TEXTS / "news.txt")]


def test_windows_start_at_documents_where_one_is_near_and_miss_little(text):
    packed = PackedText(text, 32)
    starts = packed.starts(np.arange(len(packed)))
    near = np.isin(starts, packed.stream.starts)
    assert near.any() and (np.diff(starts) <= 32 + 32 // 4).all()
    seen = np.unique(starts[:, None] + np.arange(32))
    assert len(seen) > 0.9 * len(packed.stream)


def test_an_epoch_shorter_than_the_text_goes_on_with_the_next_windows(text):
    mixed = MixedText({"글": PackedText(text, 16)}, [8], seed=3)
    rows = []
    for epoch in range(len(mixed.parts[0]) // 8):
        mixed.set_epoch(epoch)
        rows += mixed.batch(np.arange(8))["input_ids"].tolist()
    assert len({tuple(row) for row in rows}) > 0.95 * len(rows)
    again = MixedText({"글": PackedText(text, 16)}, [8], seed=3)
    again.set_epoch(2)
    assert again.batch(np.arange(8))["input_ids"].tolist() == rows[16:24]


def test_letters_of_a_window_are_those_of_its_text(text):
    batch = MixedText({"글": PackedText(text, 24)}, [4]).batch(np.arange(4))
    for ids, letters in zip(batch["input_ids"].tolist(), batch["letters"].tolist()):
        starts = ids[1:].count(text.tokenizer.bos_token_id)
        whole = text.tokenizer.decode(
            [text.tokenizer.convert_tokens_to_ids("가"), *ids[1:]], skip_special_tokens=True
        )
        assert abs(len(whole) - 1 - starts - letters) <= 2  # 창의 끝에 걸린 바이트


def test_text_shorter_than_a_window_is_refused(text):
    with pytest.raises(NlpbookError, match="창을 만들 수 없습니다"):
        PackedText(text, 10**6)


@pytest.fixture
def small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(make_gpt, name, value)


class Stop(Callback):
    """`after`스텝에서 죽습니다. 그때까지는 스텝마다 체크포인트를 남깁니다."""

    def __init__(self, args, after):
        args.checkpoint_steps, self.after = 1, after

    def on_train_batch_start(self, trainer, *rest):
        if trainer.global_step == self.after:
            raise RuntimeError("죽었습니다")


def test_made_from_nothing_and_the_same_after_a_stop(small, tmp_path, monkeypatch):
    mix, get_trainer, weights = tmp_path / "mix.txt.xz", make_gpt.get_trainer, {}
    mix.write_bytes(lzma.compress((TEXTS / "news.txt").read_bytes()))
    for name in ("whole", "stopped"):
        work = tmp_path / name
        options = Namespace(mix=mix, reviews=TEXTS / "reviews.txt", work=work, tokens=3072, hours=None)
        if name == "stopped":
            with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="죽었습니다"):
                patch.setattr(
                    make_gpt,
                    "get_trainer",
                    lambda args, **rest: get_trainer(args, callbacks=[Stop(args, 13)]),
                )
                make_gpt.learn(options)
        make_gpt.learn(options)
        last = work / "learn" / "checkpoints" / "last.ckpt"
        weights[name] = make_gpt.load_checkpoint(last)["state_dict"]
    assert all(torch.equal(weights["whole"][each], weights["stopped"][each]) for each in weights["whole"])
    make_gpt.cool(Namespace(work=tmp_path / "whole", tokens=1024))
    make_gpt.pack(Namespace(work=tmp_path / "whole", target=tmp_path / "packed"))
    packed = load_file(tmp_path / "packed" / "model.safetensors")
    assert {tensor.dtype for tensor in packed.values()} == {torch.float16}
    card = (tmp_path / "packed" / "README.md").read_text(encoding="utf-8")
    record = json.loads((tmp_path / "packed" / "training.json").read_text(encoding="utf-8"))
    assert "$" not in card and f"{sum(stage['tokens'] for stage in record.values()):,}" in card
    assert nlpbook.load(tmp_path / "packed", max_length=4)("긍정")["tokens"] <= 4
