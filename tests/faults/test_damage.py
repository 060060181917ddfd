"""비트가 뒤집힌 캐시와 체크포인트를 알아보고, 코드가 든 파일은 실행하지 않고 거절합니다."""

import os
import pickle
import random
import shutil

import numpy as np
import pytest
import torch
from soak import count, rounds

from nlpbook_nbs.classification import ClassificationDataset, NsmcCorpus, load_classifier, train_classifier
from nlpbook_nbs.core.arguments import DeployArguments
from nlpbook_nbs.core.resume import load_checkpoint
from nlpbook_nbs.core.settings import NlpbookError


def damage(path, rng):
    """파일의 비트 하나를 뒤집거나, 끝을 자르거나, 가운데를 0으로 덮습니다."""
    data = bytearray(path.read_bytes())
    kind = rng.choice(("bit", "bit", "cut", "zeros")) if data else "grow"
    if kind == "bit":
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del data[rng.randrange(len(data)) :]
    elif kind == "zeros":
        start = rng.randrange(len(data))
        data[start : start + 64] = bytes(len(data[start : start + 64]))
    else:
        data += b"\0"
    path.write_bytes(data)


def test_damaged_cache_is_never_believed(train_args, mini_tokenizer, tmp_path):
    args = train_args(downstream_corpus_name="nsmc")

    def load():
        data = ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), "val")
        return {name: np.array(column) for name, column in data.columns.items()}

    expected = load()
    (folder,) = (path for path in (tmp_path / "cache" / "features").iterdir() if path.is_dir())
    rng = random.Random(1)
    for _ in range(rounds(40, 2000)):
        damage(rng.choice(sorted(folder.iterdir())), rng)
        found = load()
        assert found.keys() == expected.keys()
        assert all((found[name] == expected[name]).all() for name in expected)
        count("캐시를 망가뜨려도 같은 특징을 얻음")


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.fixture
def trained(train_args):
    args = train_args(downstream_corpus_name="nsmc")
    train_classifier(args)
    return args


def test_damaged_checkpoint_is_refused_or_equal(trained, tmp_path):
    path = tmp_path / "model" / "checkpoints" / "last.ckpt"
    whole, expected, rng = path.read_bytes(), load_checkpoint(path), random.Random(2)
    for _ in range(rounds(40, 2000)):
        path.write_bytes(whole)
        damage(path, rng)
        try:
            assert same(load_checkpoint(path), expected)
            count("망가뜨린 체크포인트에서 같은 내용을 읽음")
        except NlpbookError as error:
            assert "last.ckpt" in str(error) and "\n" not in str(error)
            count("망가진 체크포인트를 거절함")
    path.write_bytes(whole)
    assert same(load_checkpoint(path), expected)


class Payload:
    def __init__(self, call, *words):
        self.call, self.words = call, words

    def __reduce__(self):
        return self.call, self.words


def payloads(mark):
    yield Payload(os.system, f"touch {mark}")
    yield Payload(open, str(mark), "w")
    yield Payload(eval, f"open({str(mark)!r}, 'w')")
    yield Payload(exec, f"open({str(mark)!r}, 'w')")
    yield {"state_dict": {"weight": Payload(os.mkdir, str(mark))}}
    yield [torch.zeros(2), Payload(torch.load, str(mark))]


def test_code_in_a_checkpoint_or_in_weights_is_refused_and_never_runs(trained, tmp_path):
    mark = tmp_path / "owned"
    ckpt = tmp_path / "model" / "checkpoints" / "last.ckpt"
    for payload in payloads(mark):
        for save in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
            save(payload, ckpt)
            with pytest.raises(NlpbookError, match="last.ckpt"):
                load_checkpoint(ckpt)
            assert not mark.exists()
            count("코드가 든 체크포인트를 거절함")
        folder = tmp_path / "model"
        evil = tmp_path / "evil"
        shutil.rmtree(evil, ignore_errors=True)
        shutil.copytree(folder, evil, ignore=shutil.ignore_patterns("checkpoints*", "*.safetensors"))
        torch.save(payload, evil / "pytorch_model.bin")
        with pytest.raises(NlpbookError, match="evil"):
            load_classifier(DeployArguments(downstream_model_dir=str(evil)))
        assert not mark.exists()
        count("코드가 든 가중치 파일을 거절함")


def test_code_in_a_cache_is_never_run(train_args, mini_tokenizer, tmp_path):
    args, mark = train_args(downstream_corpus_name="nsmc"), tmp_path / "owned"
    expected = np.array(ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), "val").columns["label"])
    (folder,) = (path for path in (tmp_path / "cache" / "features").iterdir() if path.is_dir())
    for payload in payloads(mark):
        column = np.empty(1, dtype=object)
        column[0] = payload
        np.save(folder / "label.npy", column, allow_pickle=True)
        found = ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), "val").columns["label"]
        assert (found == expected).all() and not mark.exists()
        count("코드가 든 캐시를 버리고 다시 만듦")
