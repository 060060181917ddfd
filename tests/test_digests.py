"""지문: 큰 파일은 한 번만 읽고, 바뀐 것은 놓치지 않으며, 말뭉치 클래스의 코드도 봅니다 (결함 2, 8, 12)."""

import importlib
import itertools
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from nlpbook_nbs.classification import ClassificationDataset, NsmcCorpus, TsvCorpus
from nlpbook_nbs.core import columns, digests
from nlpbook_nbs.core.columns import cached_columns, open_column
from nlpbook_nbs.core.digests import code_fingerprint, corpus_fingerprint, file_digest, remembered_digest
from nlpbook_nbs.core.settings import NlpbookError

# 기억하기


@pytest.fixture
def reads(monkeypatch):
    """파일을 읽어 지문을 구한 횟수. 방금 만든 파일도 기억하게 눈금을 없앱니다."""
    count = []
    sha1 = digests._sha1
    monkeypatch.setattr(digests, "_sha1", lambda path: count.append(path) or sha1(path))
    monkeypatch.setattr(digests, "GRANULARITY", -1.0)
    return count


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"one")
    return path


def memories(tmp_path):
    return list((tmp_path / "cache" / "digests").glob("*"))


def test_unchanged_file_is_read_once(reads, text):
    assert file_digest(text) == file_digest(str(text)) == "fe05bcdcdc4928012781a5f1a2a77cbb5398e106"
    assert len(reads) == 1


def test_second_process_does_not_read_the_data_again(reads, text):
    file_digest(text)
    code = (
        "import sys; from nlpbook_nbs.core import digests; digests._sha1 = None; "
        "print(digests.file_digest(sys.argv[1]))"
    )
    done = subprocess.run([sys.executable, "-c", code, text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == file_digest(text)


def grow(path):
    path.write_bytes(b"more")


def rewrite_with_the_same_size_and_time(path):
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_another_file(path):
    before = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"two")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(other, path)


@pytest.mark.parametrize("change", [grow, rewrite_with_the_same_size_and_time, replace_by_another_file])
def test_changed_file_is_read_again(reads, text, change):
    before = file_digest(text)
    change(text)
    assert file_digest(text) != before and len(reads) == 2


def test_digest_of_a_file_touched_a_moment_ago_is_not_trusted(reads, text, tmp_path, monkeypatch):
    """깃과 같습니다: 시각의 눈금 안에서 다시 고치면 시각이 같아서 알아볼 수 없습니다."""
    monkeypatch.setattr(digests, "GRANULARITY", 3600.0)
    file_digest(text)
    file_digest(text)
    assert len(reads) == 2 and not memories(tmp_path)


def test_file_that_changes_while_it_is_read_is_not_remembered(reads, text, tmp_path):
    remembered_digest(text, "kind", lambda path: grow(text) or "half old, half new")
    assert not memories(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"path": 1}', b"\xff\xfe", b'{"stamp": null}'])
def test_damaged_memory_is_ignored(reads, text, tmp_path, damage):
    before = file_digest(text)
    (memory,) = memories(tmp_path)
    memory.write_bytes(damage)
    assert file_digest(text) == before and len(reads) == 2


def test_memory_of_another_file_or_kind_is_not_taken(reads, text, tmp_path):
    file_digest(text)
    (memory,) = memories(tmp_path)
    other = tmp_path / "other.txt"
    other.write_bytes(b"two")
    assert file_digest(other) != file_digest(text)
    assert remembered_digest(text, "length", lambda path: "3") == "3"
    assert memory.read_bytes() and len(memories(tmp_path)) == 3


def test_large_file_is_read_by_one_and_awaited_by_the_others(reads, text, monkeypatch):
    monkeypatch.setattr(digests, "LARGE", 0)
    together = threading.Barrier(4)

    def come():
        together.wait()
        return file_digest(text)

    with ThreadPoolExecutor(4) as pool:
        found = {each.result() for each in [pool.submit(come) for _ in range(4)]}
    assert len(found) == len(reads) == 1


def test_digest_comes_even_where_nothing_can_be_remembered(text, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("폴더가 아님")
    monkeypatch.setenv("NLPBOOK_CACHE", str(tmp_path / "file"))
    for large in (1 << 26, 0):
        monkeypatch.setattr(digests, "LARGE", large)
        monkeypatch.setattr(digests, "GRANULARITY", -1.0)
        assert file_digest(text).startswith("fe05bcdc")


def test_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(NlpbookError, match="none.txt: 말뭉치 파일을 읽지 못했습니다"):
        file_digest(tmp_path / "none.txt")


def test_columns_are_verified_once_and_again_when_they_change(tmp_path, monkeypatch, messages):
    monkeypatch.setattr(digests, "GRANULARITY", -1.0)
    checks = []
    crc32 = columns._crc32
    monkeypatch.setattr(columns, "_crc32", lambda path: checks.append(path) or crc32(path))
    folder = tmp_path / "cache" / "demo"
    build = lambda: {"ids": np.arange(1000)}
    cached_columns(folder, build)
    checks.clear()
    for _ in range(3):
        assert cached_columns(folder, build)["ids"][-1] == 999
    assert len(checks) == 1
    data = bytearray((folder / "ids.npy").read_bytes())
    data[-1] ^= 1
    (folder / "ids.npy").write_bytes(data)
    assert cached_columns(folder, build)["ids"][-1] == 999
    assert any("손상되어 다시 만듭니다" in each for each in messages())


# 메모리 맵


class Rows(Dataset):
    """열을 든 데이터셋. 한 건을 달라고 하면 작업 프로세스가 혼자 쓰는 메모리(KB)를 알려 줍니다."""

    def __init__(self, column):
        self.column = column

    def __len__(self):
        return 2

    def __getitem__(self, index):
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1]), int(self.column[::4096].sum() >= 0)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="리눅스에서만 잴 수 있습니다")
def test_spawned_worker_does_not_copy_the_columns(tmp_path):
    """결함 8: 새로 띄운 작업 프로세스마다 말뭉치가 복사되었습니다."""
    used = {}
    for size in (1, 1 << 24):  # 8바이트씩: 아주 작은 열과 128MB
        np.save(tmp_path / f"{size}.npy", np.zeros(size, np.int64))
        rows = Rows(open_column(tmp_path / f"{size}.npy"))
        assert len(pickle.dumps(rows)) < 1000
        loader = DataLoader(rows, num_workers=1, batch_size=None, multiprocessing_context="spawn")
        used[size] = max(kilobytes for kilobytes, _ in loader)
    assert used[1 << 24] - used[1] < 32 * 1024


def test_slice_of_a_column_is_sent_whole(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(10))
    part = open_column(tmp_path / "a.npy")[2:5]
    assert pickle.loads(pickle.dumps(part)).tolist() == [2, 3, 4]


def test_dataset_is_sent_without_its_columns(train_args, mini_tokenizer, tmp_path):
    folder = tmp_path / "corpora" / "nsmc"
    folder.mkdir(parents=True)
    lines = "".join(f"{number}\t이 영화는 정말 재미있어요 {number}\t1\n" for number in range(20_000))
    (folder / "ratings_train.txt").write_text("id\tdocument\tlabel\n" + lines, encoding="utf-8")
    args = train_args(downstream_corpus_root_dir=str(folder.parent))
    data = ClassificationDataset(args, mini_tokenizer, NsmcCorpus(), "train")
    held = sum(column.nbytes for column in data.columns.values())
    sent = len(pickle.dumps(data)) - len(pickle.dumps(mini_tokenizer))
    assert held > 500_000 and sent < 20_000
    assert pickle.loads(pickle.dumps(data))[7] == data[7]


# 코드의 지문

CORPUS = """
import helpers
LABELS = ["가", "나"]
WORDS = {"좋다", "싫다", "그렇다", "아니다"}

def clean(text):
    return text.strip()

class Mine:
    num_labels = 2
    ending = "."

    def __init__(self, lower=True):
        self.lower = lower

    def get_labels(self):
        return LABELS

    def get_files(self, root, mode):
        return [f"{root}/{mode}.txt"]

    def get_examples(self, root, mode):
        # 주석
        rows = [clean(row) for row in open(self.get_files(root, mode)[0])]
        return [helpers.shorten(row + self.ending) for row in rows if row not in {"a", "b", "c"}]
"""
HELPERS = """
LIMIT = 10

def shorten(text):
    return text[:LIMIT]
"""
_NUMBERS = itertools.count()


@pytest.fixture
def fingerprint(tmp_path, monkeypatch):
    """말뭉치 모듈의 글을 고쳐 가며 지문을 구하는 함수."""
    (tmp_path / "train.txt").write_text("좋다\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(old="", new="", use=lambda mine: mine()):
        number = next(_NUMBERS)
        names = {"helpers": f"helpers{number}", "mine": f"mine{number}"}
        text = CORPUS.replace(old, new).replace("import helpers", f"import {names['helpers']} as helpers")
        (tmp_path / f"{names['helpers']}.py").write_text(HELPERS.replace(old, new), encoding="utf-8")
        (tmp_path / f"{names['mine']}.py").write_text(text, encoding="utf-8")
        mine = importlib.import_module(names["mine"]).Mine
        mine.__module__ = "mine"
        return corpus_fingerprint(use(mine), tmp_path, "train", None)

    return make


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("row + self.ending", "row.upper() + self.ending"),
        ('{"a", "b", "c"}', '{"a", "b"}'),
        ("text.strip()", "text.rstrip()"),
        ("text[:LIMIT]", "text[LIMIT:]"),
        ("LIMIT = 10", "LIMIT = 11"),
        ('ending = "."', 'ending = "!"'),
        ("[clean(row) for", "[clean(row.lower()) for"),
        ("lower=True", "lower=False"),
    ],
)
def test_changed_code_of_a_class_that_lists_its_files_is_noticed(fingerprint, old, new):
    """결함 2: get_files와 get_examples가 함께 있으면 코드를 고쳐도 옛 캐시를 썼습니다."""
    assert fingerprint() != fingerprint(old, new)


def test_comments_blank_lines_and_line_numbers_do_not_matter(fingerprint):
    assert fingerprint() == fingerprint("        # 주석\n", "\n\n        # 다른 주석\n")


def test_settings_of_the_object_matter(fingerprint):
    assert (
        fingerprint() == fingerprint(use=lambda mine: mine(True)) != fingerprint(use=lambda mine: mine(False))
    )


def test_stale_cache_is_not_used_after_the_code_was_changed(train_args, mini_tokenizer, tmp_path):
    folder = tmp_path / "corpora" / "nsmc"
    folder.mkdir(parents=True)
    (folder / "ratings_train.txt").write_text("id\tdocument\tlabel\n1\t좋다\t1\n", encoding="utf-8")

    def load(ending):
        class Mine(NsmcCorpus):
            def get_files(self, root, mode):
                return [Path(root, "ratings_train.txt")]

            def get_examples(self, root, mode):
                rows = super().get_examples(root, mode)
                for row in rows:
                    row.text_a += ending
                return rows

        args = train_args(downstream_corpus_root_dir=str(folder.parent))
        return ClassificationDataset(args, mini_tokenizer, Mine(), "train")[0].input_ids

    assert load("") != load(" 나쁘다")


def test_fingerprint_of_code_is_the_same_in_every_process(tmp_path):
    (tmp_path / "helpers.py").write_text(HELPERS, encoding="utf-8")
    (tmp_path / "mine.py").write_text(CORPUS, encoding="utf-8")
    code = (
        "import mine, nlpbook_nbs.paircls as p; from nlpbook_nbs.core.digests import code_fingerprint as f; "
        "print(f(mine.Mine()), f(p.KlueNLICorpus()))"
    )
    found = set()
    for seed in ("1", "2", "3"):  # 첫 번째는 컴파일하고, 다음부터는 .pyc를 읽습니다.
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_our_own_corpora_are_known_by_their_names_wherever_they_lie(tmp_path):
    assert code_fingerprint(TsvCorpus(tmp_path / "a")) == code_fingerprint(TsvCorpus(tmp_path / "b"))
    assert code_fingerprint(TsvCorpus(tmp_path)) != code_fingerprint(NsmcCorpus())


def test_strange_objects_have_a_fingerprint_too():
    class Strange:
        __slots__ = ("x",)
        lock = threading.Lock()
        loop = []
        loop.append(loop)
        clock = time.time
        table = np.arange(3)

        @property
        def num_labels(self):
            return len(self.loop)

        @staticmethod
        def me():
            return Strange

    assert code_fingerprint(Strange()) == code_fingerprint(Strange)


def test_code_of_a_class_made_in_a_notebook_has_the_same_fingerprint_in_every_process(tmp_path):
    """노트북의 클래스는 `__main__`에 있고, 데이터클래스가 만든 함수는 표준 라이브러리의 내장 모듈까지 이어집니다."""
    script = tmp_path / "notebook.py"
    script.write_text(
        """
from dataclasses import dataclass
from nlpbook_nbs.core.digests import code_fingerprint
from nlpbook_nbs.core.settings import logger

@dataclass
class Example:
    text_a: str
    label: str

class Corpus:
    def get_files(self, root, mode):
        return []
    def get_examples(self, root, mode):
        logger.info("reading")
        return [Example("a", "b")]

print(code_fingerprint(Corpus()))
""",
        encoding="utf-8",
    )
    run = [
        subprocess.run([sys.executable, script], capture_output=True, text=True, check=True) for _ in range(2)
    ]
    assert run[0].stdout == run[1].stdout and len(run[0].stdout.strip()) == 32
