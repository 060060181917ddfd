"""결함 5: 캐시는 내용으로 찾고, 손상되면 다시 만들고, 함께 만들어도 부딪치지 않습니다."""

import numpy as np
import pytest

from nlpbook_nbs.classification import ClassificationDataset, ClassificationExample, NsmcCorpus
from nlpbook_nbs.core import columns, encoding
from nlpbook_nbs.core.columns import cached_columns


@pytest.fixture
def builds(monkeypatch):
    """글을 토큰으로 바꾼 횟수."""
    count = []
    original = encoding.TextEncoder.__call__
    monkeypatch.setattr(
        encoding.TextEncoder, "__call__", lambda self, *a, **k: count.append(1) or original(self, *a, **k)
    )
    return count


@pytest.fixture
def reviews(tmp_path):
    folder = tmp_path / "corpora" / "nsmc"
    folder.mkdir(parents=True)
    (folder / "ratings_train.txt").write_text(
        "id\tdocument\tlabel\n1\t좋다\t1\n2\t나쁘다\t0\n", encoding="utf-8"
    )
    return folder


def load(train_args, tokenizer, reviews, corpus=None, **changes):
    return ClassificationDataset(
        train_args(downstream_corpus_root_dir=str(reviews.parent), **changes),
        tokenizer,
        corpus or NsmcCorpus(),
        "train",
    )


def test_second_time_comes_from_the_cache(train_args, mini_tokenizer, reviews, builds):
    first = load(train_args, mini_tokenizer, reviews)
    second = load(train_args, mini_tokenizer, reviews)
    assert len(builds) == 1 and second[1] == first[1]


def test_changed_corpus_file_is_noticed(train_args, mini_tokenizer, reviews, builds):
    load(train_args, mini_tokenizer, reviews)
    path = reviews / "ratings_train.txt"
    path.write_text(path.read_text(encoding="utf-8").replace("좋다\t1", "좋다\t0"), encoding="utf-8")
    assert load(train_args, mini_tokenizer, reviews)[0].label == 0 and len(builds) == 2


def test_changed_vocabulary_length_and_normalizer_are_noticed(train_args, reviews, builds):
    from transformers import BertTokenizer

    from nlpbook_nbs.core.folders import resolve_model_name

    tokenizer = BertTokenizer.from_pretrained(resolve_model_name("nlpbook-mini"))
    load(train_args, tokenizer, reviews)
    load(train_args, tokenizer, reviews, max_seq_length=16)
    load(
        train_args,
        BertTokenizer.from_pretrained(resolve_model_name("nlpbook-mini"), do_lower_case=True),
        reviews,
    )
    tokenizer.add_tokens(["나쁘다"])
    load(train_args, tokenizer, reviews)
    assert len(builds) == 4


def test_changed_code_of_a_corpus_class_is_noticed(train_args, mini_tokenizer, reviews, builds):
    class Reversed(NsmcCorpus):
        def get_examples(self, data_root_path, mode):
            return [
                ClassificationExample(e.text_a[::-1], None, e.label)
                for e in super().get_examples(data_root_path, mode)
            ]

    plain, turned = (
        load(train_args, mini_tokenizer, reviews),
        load(train_args, mini_tokenizer, reviews, Reversed()),
    )
    assert plain[1].input_ids != turned[1].input_ids and len(builds) == 2


def test_overwrite_cache_builds_anew(train_args, mini_tokenizer, reviews, builds):
    load(train_args, mini_tokenizer, reviews)
    load(train_args, mini_tokenizer, reviews, overwrite_cache=True)
    assert len(builds) == 2


def damage_bytes(folder):
    path = folder / "input_ids.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        damage_bytes,
        lambda folder: (folder / "input_ids.npy").unlink(),
        lambda folder: (folder / "input_ids.npy").write_bytes(b""),
        lambda folder: (folder / "columns.json").write_text("{"),
        lambda folder: (folder / "columns.json").write_text('{"columns": {"input_ids": 3}}'),
        lambda folder: (folder / "columns.json").unlink(),
    ],
    ids=["bit", "missing", "truncated", "broken_json", "wrong_json", "no_json"],
)
def test_cache_damaged_by_hand_is_rebuilt_with_a_warning(
    train_args, mini_tokenizer, reviews, builds, messages, tmp_path, damage
):
    expected = load(train_args, mini_tokenizer, reviews)[1]
    (folder,) = (path for path in (tmp_path / "cache" / "features").iterdir() if path.is_dir())
    damage(folder)
    assert load(train_args, mini_tokenizer, reviews)[1] == expected
    assert len(builds) == 2 and any("손상되어 다시 만듭니다" in text for text in messages())


def test_no_cache_is_ever_a_pickle(train_args, mini_tokenizer, reviews, tmp_path):
    load(train_args, mini_tokenizer, reviews)
    kinds = {path.suffix for path in (tmp_path / "cache" / "features").rglob("*") if path.is_file()}
    assert kinds == {".npy", ".json", ".lock"}
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError):
        np.load(tmp_path / "x.npy", mmap_mode="r", allow_pickle=False)


def test_full_disk_while_writing_the_cache_leaves_nothing_and_goes_on(tmp_path, monkeypatch, messages):
    import errno

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(columns.np, "save", full)
    assert cached_columns(tmp_path / "a", lambda: {"x": np.arange(3)})["x"].tolist() == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [] and any(
        "디스크가 가득" in text for text in messages()
    )


def test_error_while_building_is_not_swallowed(tmp_path):
    from nlpbook_nbs.core.settings import NlpbookError

    def build():
        raise NlpbookError("말뭉치가 이상합니다.")

    with pytest.raises(NlpbookError, match="말뭉치가 이상합니다"):
        cached_columns(tmp_path / "a", build)
    assert not (tmp_path / "a").exists()
