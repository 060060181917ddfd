"""내려받기: 끊기고, 잘리고, 바뀌고, 엉뚱한 것이 와도 반쪽 파일이 남지 않아야 합니다."""

import contextlib
import errno
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nlpbook_nbs.core import corpora
from nlpbook_nbs.core import fetch as fetching
from nlpbook_nbs.core.corpora import CorpusFile, CorpusInfo, download
from nlpbook_nbs.core.fetch import fetch_file, git_blob_id
from nlpbook_nbs.core.settings import NlpbookError

BODY = bytes(range(256)) * 2000  # 512,000바이트
BLOB = hashlib.sha1(b"blob %d\0" % len(BODY) + BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.seen.append((self.path, self.headers.get("Range")))
        turn = sum(path == self.path for path, _ in server.seen)
        getattr(self, "serve" + self.path.split("/")[1].replace("-", "_"))(turn)

    def send(self, body, status=200, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)

    def start(self):
        found = self.headers.get("Range")
        return int(found.removeprefix("bytes=").rstrip("-")) if found else 0

    def send_from(self, body, start):
        if start:
            self.send(body[start:], 206, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send(body)

    def serveok(self, turn):
        self.send_from(BODY, self.start())

    def servenorange(self, turn):
        self.send(BODY[: len(BODY) // 2] if turn == 1 else BODY, length=len(BODY))

    def servecut(self, turn):
        if turn <= 2:
            start = self.start()
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(BODY) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
            self.end_headers()
            self.wfile.write(BODY[start : start + 200_000])
            self.connection.close()
        else:
            self.send_from(BODY, self.start())

    def serveforever_cut(self, turn):
        self.send(BODY[:1000], length=len(BODY))

    def servechanged(self, turn):
        self.send(b"x" * 1000, length=len(BODY)) if turn == 1 else self.send_from(BODY, self.start())

    def servealtered(self, turn):
        self.send(BODY[:-1] + b"!")

    def servehtml(self, turn):
        self.send(b"\n<!DOCTYPE html><html>login</html>", Content_Type="text/html")

    def servemissing(self, turn):
        self.send(b"", 404)

    def servebusy(self, turn):
        self.send(b"", 503) if turn < 3 else self.send(BODY)

    def serveloop(self, turn):
        self.send(b"", 302, Location=self.path)

    def servestall(self, turn):
        if turn == 1:
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[:1000])
            self.wfile.flush()
            self.server.release.wait(10)
        else:
            self.send_from(BODY, self.start())


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.seen, server.release = [], threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


def fetch(server, name, path, **kwargs):
    return fetch_file(f"{server.url}/{name}/file", path, BLOB, wait=0.01, **kwargs)


@pytest.mark.parametrize("name", ["ok", "cut", "norange", "busy", "changed"])
def test_file_arrives_whole_whatever_the_server_does(server, tmp_path, name):
    fetch(server, name, tmp_path / "new" / "file")
    assert (tmp_path / "new" / "file").read_bytes() == BODY
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]


def test_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    (tmp_path / "file.part").write_bytes(BODY[:300_000])
    fetch(server, "ok", tmp_path / "file")
    assert server.seen == [("/ok/file", "bytes=300000-")]


def test_stalled_server_is_left_after_the_timeout(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "READ_TIMEOUT", 0.3)
    fetch(server, "stall", tmp_path / "file")
    assert git_blob_id(tmp_path / "file") == BLOB


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("altered", "공식 파일과 다릅니다"),
        ("html", "웹 페이지(HTML)"),
        ("missing", "404"),
        ("loop", "redirect"),
    ],
)
def test_wrong_answer_is_refused_in_one_sentence_and_leaves_nothing(server, tmp_path, name, words):
    with pytest.raises(NlpbookError, match=words.replace("(", r"\(").replace(")", r"\)")):
        fetch(server, name, tmp_path / "file")
    assert list(tmp_path.glob("file*")) == []


def test_giving_up_keeps_what_was_received_for_the_next_run(server, tmp_path):
    with pytest.raises(NlpbookError, match="2번 시도했지만.*이어 받습니다"):
        fetch(server, "forever-cut", tmp_path / "file", attempts=2)
    assert not (tmp_path / "file").exists() and (tmp_path / "file.part").exists()


def test_no_network_is_one_sentence(tmp_path):
    with pytest.raises(NlpbookError, match="받지 못했습니다.*인터넷 연결을 확인하세요"):
        fetch_file("http://127.0.0.1:9/file", tmp_path / "file", BLOB, attempts=2, wait=0.01)


def test_full_disk_is_one_sentence_and_leaves_nothing(server, tmp_path, monkeypatch):
    class Full:
        free = 1000

    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: Full)
    with pytest.raises(NlpbookError, match="디스크가 가득"):
        fetch(server, "ok", tmp_path / "file")
    assert list(tmp_path.glob("file*")) == []


def test_disk_that_fills_up_while_writing_leaves_nothing(server, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching, "git_blob_id", full)
    with pytest.raises(NlpbookError, match="디스크가 가득"):
        fetch(server, "ok", tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_read_only_folder_is_one_sentence(server, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(fetching.Path, "mkdir", refuse)
    with pytest.raises(NlpbookError, match="쓰기 권한이 없는 폴더"):
        fetch(server, "ok", tmp_path / "no" / "file")


@pytest.fixture
def demo_corpus(server, monkeypatch):
    info = CorpusInfo(
        "시험용",
        "document-classification",
        "1건",
        "CC0",
        "",
        "",
        (CorpusFile("official.txt", f"{server.url}/ok/file", BLOB, "book.txt"),),
    )
    monkeypatch.setitem(corpora.CORPORA, "demo", info)


def test_corpus_lies_under_its_official_and_its_book_name(demo_corpus, tmp_path):
    download("demo", tmp_path)
    assert (
        git_blob_id(tmp_path / "demo" / "official.txt") == git_blob_id(tmp_path / "demo" / "book.txt") == BLOB
    )


def test_nothing_is_downloaded_twice_unless_forced(demo_corpus, server, tmp_path):
    download("demo", tmp_path)
    download("demo", tmp_path)
    assert len(server.seen) == 1
    download("demo", tmp_path, force_download=True)
    assert len(server.seen) == 2


def test_users_own_file_is_used_as_it_is_and_the_log_says_so(demo_corpus, server, tmp_path, messages):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "official.txt").write_text("내 자료", encoding="utf-8")
    download("demo", tmp_path)
    assert (tmp_path / "demo" / "official.txt").read_text(encoding="utf-8") == "내 자료" and not server.seen
    assert any("공식 파일과 내용이 다릅니다" in text for text in messages())


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_mirror_replaces_the_official_host(demo_corpus, server, tmp_path, monkeypatch, kind):
    mirror = tmp_path / "mirror" / "demo"
    mirror.mkdir(parents=True)
    (mirror / "official.txt").write_bytes(BODY)
    if kind == "url":
        Handler.servedemo = Handler.serveok
        monkeypatch.setenv("NLPBOOK_DATA_MIRROR", f"{server.url}/")
    else:
        monkeypatch.setenv("NLPBOOK_DATA_MIRROR", str(mirror.parent))
    download("demo", tmp_path / "mine")
    assert git_blob_id(tmp_path / "mine" / "demo" / "official.txt") == BLOB
    assert [path for path, _ in server.seen] == ([] if kind == "folder" else ["/demo/official.txt"])


def test_korpora_finds_the_files_where_we_put_them(tmp_path, monkeypatch):
    """Korpora와 폴더 구조가 같습니다. Korpora는 파일이 있어도 서버에 크기를 물으므로 그 부분만 막습니다."""
    import shutil

    from Korpora import Korpora, korpus_nsmc

    shutil.copytree(Path(corpora.sample_root(), "nsmc"), tmp_path / "nsmc")
    monkeypatch.setattr(korpus_nsmc, "fetch", lambda url, path, *args: None)
    assert len(Korpora.load("nsmc", root_dir=str(tmp_path)).train.texts) == 12_000


def test_unknown_corpus_name_lists_the_known_ones(tmp_path):
    with pytest.raises(NlpbookError, match="모르는 말뭉치입니다.*nsmc"):
        download("nsmcc", tmp_path)


def test_registry_pins_a_commit_and_a_blob_id_for_every_file():
    for info in corpora.CORPORA.values():
        for file in info.files:
            assert len(file.git_blob) == 40 and any(len(part) == 40 for part in file.url.split("/"))


def test_nsmc_is_read_under_the_names_it_is_downloaded_as(tmp_path):
    """결함 6: 내려받는 이름과 읽는 이름이 같습니다."""
    from nlpbook_nbs.classification import NsmcCorpus

    read = {path.name for mode in ("train", "test") for path in NsmcCorpus().get_files(tmp_path, mode)}
    assert read == {file.name for file in corpora.CORPORA["nsmc"].files}


def test_published_korquad_file_has_the_pinned_blob_id(real_data):
    pinned = {file.name: file.git_blob for file in corpora.CORPORA["korquad-v1"].files}
    assert git_blob_id(real_data / "korquad-v1" / "KorQuAD_v1.0_dev.json") == pinned["KorQuAD_v1.0_dev.json"]
