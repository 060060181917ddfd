"""8비트로 담은 모델: 펼치면 어느 라이브러리나 여는 보통의 폴더입니다."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, BertForPreTraining

from nlpbook_nbs.core.folders import resolve_model_name
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.storage import PACKED, PLAIN, pack_weights, plain_folder, round_rows, unpack_weights


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """아주 작은 BERT와 8비트로 담은 그 폴더 `(보통의 폴더, 담은 폴더)`."""
    monkeypatch.setenv("NLPBOOK_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertForPreTraining(BertConfig(vocab_size=8000, max_position_embeddings=128, **sizes))
    plain, small = tmp_path / "plain", tmp_path / "small"
    model.save_pretrained(plain)
    AutoTokenizer.from_pretrained(resolve_model_name("nlpbook-mini")).save_pretrained(plain)
    small.mkdir()
    for path in plain.iterdir():
        if path.name != PLAIN:
            (small / path.name).write_bytes(path.read_bytes())
    pack_weights(plain / PLAIN, small / PACKED)
    return plain, small


def test_a_rounded_row_is_off_by_at_most_half_a_step():
    weight = np.random.default_rng(0).normal(size=(64, 33)).astype(np.float32)
    weight[5], weight[6, 3] = 0, 40  # 빈 줄과 홀로 큰 값
    numbers, scale = round_rows(weight)
    assert numbers.dtype == np.int8
    assert (np.abs(numbers * scale[:, None] - weight) <= scale[:, None] * 0.5001).all()


def test_the_packed_file_is_about_a_quarter_and_small_parts_stay_exact(packed):
    plain, small = packed
    assert (small / PACKED).stat().st_size < 0.32 * (plain / PLAIN).stat().st_size
    weights, before = unpack_weights(small / PACKED), BertForPreTraining.from_pretrained(plain).state_dict()
    assert np.array_equal(weights["cls.predictions.bias"], before["cls.predictions.bias"].numpy())
    name = "bert.embeddings.token_type_embeddings.weight"
    assert np.array_equal(weights[name], before[name].numpy())


def test_transformers_opens_the_unfolded_folder_by_itself(packed):
    plain, small = packed
    folder = plain_folder(small)
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    before = AutoModelForMaskedLM.from_pretrained(plain)
    batch = tokenizer("영화가 [MASK] 재미있다", return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(model(**batch).logits, before(**batch).logits, atol=0.05)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_a_folder_is_unfolded_once_and_again_when_its_weights_change(packed):
    plain, small = packed
    first = plain_folder(small)
    stamp = (first / PLAIN).stat().st_mtime_ns
    assert plain_folder(small) == first and (first / PLAIN).stat().st_mtime_ns == stamp
    weights = unpack_weights(small / PACKED)
    weights["cls.predictions.bias"] = weights["cls.predictions.bias"] + 1
    from safetensors.numpy import save_file

    save_file(weights, plain / "changed.safetensors")
    pack_weights(plain / "changed.safetensors", small / PACKED)
    assert plain_folder(small) != first


def test_a_damaged_copy_is_unfolded_again(packed):
    _, small = packed
    folder = plain_folder(small)
    (folder / PLAIN).write_bytes(b"cut")
    assert plain_folder(small) == folder
    AutoModelForMaskedLM.from_pretrained(folder)


def test_a_plain_folder_is_returned_as_it_is(packed):
    plain, _ = packed
    assert plain_folder(plain) == plain


def test_a_cut_file_is_explained_in_one_sentence(packed):
    _, small = packed
    data = (small / PACKED).read_bytes()
    (small / PACKED).write_bytes(data[: len(data) // 2])
    with pytest.raises(NlpbookError, match="다시 설치하세요"):
        plain_folder(small)


def test_weights_that_are_not_numbers_are_not_packed(packed, tmp_path):
    from safetensors.numpy import save_file

    save_file({"weight": np.full((20, 20), np.nan, np.float32)}, tmp_path / "bad.safetensors")
    with pytest.raises(NlpbookError, match="nan"):
        pack_weights(tmp_path / "bad.safetensors", tmp_path / PACKED)


def test_a_file_in_the_place_of_the_cache_falls_back_to_a_temporary_folder(
    packed, tmp_path, monkeypatch, caplog
):
    _, small = packed
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("NLPBOOK_CACHE", str(tmp_path / "blocked"))
    folder = plain_folder(small)
    assert (folder / PLAIN).is_file() and str(tmp_path / "blocked") not in str(folder)


def test_processes_that_open_it_together_all_get_a_whole_folder(packed):
    _, small = packed
    code = f"from nlpbook_nbs.core.storage import plain_folder, PLAIN; print((plain_folder({str(small)!r}) / PLAIN).stat().st_size)"
    paths = os.pathsep.join([*sys.path])
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
        )
        for _ in range(4)
    ]
    sizes = {run.communicate()[0] for run in runs}
    assert len(sizes) == 1 and json.loads(sizes.pop()) > 0


def test_opening_it_does_not_import_torch(packed):
    _, small = packed
    code = f"import sys; from nlpbook_nbs.core.storage import plain_folder; plain_folder({str(small)!r}); assert 'torch' not in sys.modules"
    paths = os.pathsep.join([*sys.path])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": paths})
