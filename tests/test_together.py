"""결함 3: 여럿이 같은 파일을 함께 쓰고 받아도 부딪치지 않고, 쓰다가 죽은 이의 것만 치웁니다."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from test_download import BLOB, BODY, Handler, demo_corpus, server  # noqa: F401 (고정물)

from nlpbook_nbs.core import corpora
from nlpbook_nbs.core.corpora import download
from nlpbook_nbs.core.fetch import fetch_file, git_blob_id
from nlpbook_nbs.core.files import folder_aside, written_aside


def test_second_writer_may_finish_while_the_first_still_writes(tmp_path):
    with ExitStack() as first, ExitStack() as second:
        one = first.enter_context(written_aside(tmp_path / "file"))
        one.write_text("하나")
        two = second.enter_context(written_aside(tmp_path / "file"))
        two.write_text("둘")
        second.close()
        assert (tmp_path / "file").read_text() == "둘"
        first.close()
    assert (tmp_path / "file").read_text() == "하나"
    assert os.listdir(tmp_path) == ["file"]


def test_second_folder_may_be_filled_while_the_first_still_is(tmp_path):
    with ExitStack() as first, ExitStack() as second:
        (first.enter_context(folder_aside(tmp_path / "corpus")) / "a").write_text("하나")
        (second.enter_context(folder_aside(tmp_path / "corpus")) / "a").write_text("둘")
        second.close()
        first.close()
    assert (tmp_path / "corpus" / "a").read_text() == "하나" and os.listdir(tmp_path) == ["corpus"]


def test_file_that_could_not_be_written_leaves_the_old_one(tmp_path):
    (tmp_path / "file").write_text("옛것")
    with pytest.raises(ZeroDivisionError), written_aside(tmp_path / "file") as part:
        part.write_text("반쪽")
        raise ZeroDivisionError
    assert (tmp_path / "file").read_text() == "옛것" and os.listdir(tmp_path) == ["file"]


WRITER = """
import sys
from nlpbook_nbs.core.files import {kind}
with {kind}({path!r}) as aside:
    (aside / "a" if aside.is_dir() else aside).write_text("쓰는 중")
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["written_aside", "folder_aside"])
def test_leftovers_of_a_killed_writer_are_cleaned_and_a_living_ones_are_not(tmp_path, kind):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER.format(kind=kind, path=str(tmp_path / "thing"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout.readline() == "ready\n"
    (theirs,) = os.listdir(tmp_path)
    with written_aside(tmp_path / "thing") as part:
        part.write_text("내 것")
    assert sorted(os.listdir(tmp_path)) == ["thing", theirs]
    writer.kill()
    writer.communicate()
    with written_aside(tmp_path / "thing") as part:
        part.write_text("내 것")
    assert os.listdir(tmp_path) == ["thing"]


def test_process_that_waited_for_a_first_download_finds_every_name(demo_corpus, tmp_path, monkeypatch):  # noqa: F811
    """먼저 온 프로세스가 책의 이름으로 복사하는 동안, 나중에 온 프로세스가 끝났다고 하면 안 됩니다."""
    copying, other_is_done = threading.Event(), threading.Event()
    copyfile = corpora.shutil.copyfile

    def slow(source, target):
        copying.set()
        other_is_done.wait(1)  # 자물쇠가 없으면 나중에 온 쪽이 이 사이에 끝납니다.
        return copyfile(source, target)

    monkeypatch.setattr(corpora.shutil, "copyfile", slow)
    first = threading.Thread(target=download, args=("demo", tmp_path))
    first.start()
    assert copying.wait(60)
    download("demo", tmp_path)
    found = sorted(os.listdir(tmp_path / "demo"))
    other_is_done.set()
    first.join()
    assert found == ["book.txt", "official.txt"]


def test_many_that_come_at_once_download_once(demo_corpus, server, tmp_path):  # noqa: F811
    together = threading.Barrier(4)

    def come():
        together.wait()
        download("demo", tmp_path)
        return git_blob_id(tmp_path / "demo" / "book.txt")

    with ThreadPoolExecutor(4) as pool:
        found = [each.result() for each in [pool.submit(come) for _ in range(4)]]
    assert found == [BLOB] * 4 and len(server.seen) == 1


def test_two_that_fetch_one_file_take_turns(server, tmp_path, monkeypatch):  # noqa: F811
    """이어 받을 파일은 이름이 하나뿐이므로, 두 번째는 첫 번째가 끝난 다음에 받습니다."""
    inside, most, lock = [0], [0], threading.Lock()

    def serve(self, turn):
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        server.release.wait(0.3)  # 자물쇠가 없으면 이 사이에 두 번째 요청이 옵니다.
        with lock:
            inside[0] -= 1
        self.send(BODY)

    monkeypatch.setattr(Handler, "servepair", serve, raising=False)
    together = threading.Barrier(2)

    def come():
        together.wait()
        return fetch_file(f"{server.url}/pair/file", tmp_path / "file", BLOB)

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(come) for _ in range(2)]:
            each.result()
    assert most[0] == 1 and git_blob_id(tmp_path / "file") == BLOB


def test_alias_missing_after_a_kill_is_made_good(demo_corpus, server, tmp_path):  # noqa: F811
    download("demo", tmp_path)
    (tmp_path / "demo" / "book.txt").unlink()
    download("demo", tmp_path)
    assert (tmp_path / "demo" / "book.txt").read_bytes() == BODY and len(server.seen) == 1


def test_forced_download_renews_both_names(demo_corpus, tmp_path):  # noqa: F811
    (tmp_path / "demo").mkdir()
    for name in ("official.txt", "book.txt"):
        (tmp_path / "demo" / name).write_text("옛것")
    download("demo", tmp_path, force_download=True)
    assert (tmp_path / "demo" / "book.txt").read_bytes() == BODY


def test_server_that_asks_for_patience_is_obeyed(server, tmp_path, monkeypatch):  # noqa: F811
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)

    def serve(self, turn):
        self.send(b"", 503, Retry_After="7") if turn == 1 else self.send(BODY)

    monkeypatch.setattr(Handler, "servelater", serve, raising=False)
    fetch_file(f"{server.url}/later/file", tmp_path / "file", BLOB, wait=0.01)
    assert waits == [7.0]
