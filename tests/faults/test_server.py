"""서버가 아무렇게나 굴어도 온전한 파일이거나 한 문장이고, 다음에 멀쩡한 서버에서는 끝까지 받습니다."""

import contextlib
import hashlib
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from soak import count, rounds

from nlpbook_nbs.core import fetch
from nlpbook_nbs.core.fetch import fetch_file
from nlpbook_nbs.core.settings import NlpbookError

BODY = bytes(range(256)) * 400
OTHER = BODY[::-1]
BLOB = hashlib.sha1(b"blob %d\0" % len(BODY) + BODY).hexdigest()
ACTIONS = {
    "good": "제대로 보냄",
    "cut": "보내다가 끊음",
    "stall": "보내다가 멈춤",
    "html": "로그인 페이지를 보냄",
    "redirect": "같은 주소로 되돌려 보냄",
    "changed": "내용이 바뀐 파일을 보냄",
    "busy": "바쁘다고 답함 (503)",
    "no_range": "이어받기를 무시하고 처음부터 보냄",
    "wrong_range": "이어받을 자리를 틀리게 알림",
    "nothing": "빈 응답을 보냄",
}


class Moody(BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_GET(self):
        plan, rng = self.server.plan, self.server.rng
        action = plan.pop(0) if plan else "good"
        count(f"서버가 한 일: {ACTIONS[action]}")
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        with contextlib.suppress(OSError):
            if action == "redirect":
                self.send_response(302)
                self.send_header("Location", self.path)
                self.send_header("Content-Length", "0")
                return self.end_headers()
            if action == "busy":
                return self.answer(503, b"")
            if action == "html":
                return self.answer(200, b"<!DOCTYPE html><html>login</html>", kind="text/html")
            body = OTHER if action == "changed" else BODY
            if action == "no_range" or not start:
                start, status = 0, 200
            else:
                status = 206
            told = rng.randrange(len(BODY)) if action == "wrong_range" else start
            end = len(body)
            if action in {"cut", "stall"}:
                end = rng.randrange(start, len(body) + 1)
            if action == "nothing":
                end = start
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) - start))
            if status == 206:
                self.send_header("Content-Range", f"bytes {told}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            self.wfile.write(body[start:end])
            self.wfile.flush()
            if action == "stall":
                time.sleep(0.25)
            self.close_connection = True

    def answer(self, status, body, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetch, "READ_TIMEOUT", 0.1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    server.daemon_threads = True
    server.plan, server.rng = [], random.Random(9)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_moody_server_gives_the_whole_file_or_one_sentence(server, tmp_path):
    rng = random.Random(8)
    for number in range(rounds(40, 1500)):
        url, path = f"http://127.0.0.1:{server.server_port}/file", tmp_path / str(number) / "file"
        server.plan[:] = [rng.choice(list(ACTIONS)) for _ in range(rng.randint(1, 6))]
        plan = list(server.plan)
        try:
            fetch_file(url, path, BLOB, attempts=4, wait=0.001)
            count("장난하는 서버에서 온전히 받음")
        except NlpbookError as error:
            assert str(error).startswith(url) and "\n" not in str(error), (plan, error)
            assert not path.exists()
            count("장난하는 서버에서 받지 못한 것을 한 문장으로 알림")
            server.plan.clear()
            try:
                fetch_file(url, path, BLOB, attempts=4, wait=0.001)
            except NlpbookError as again:
                assert "다릅니다" in str(again), (plan, again)  # 남은 조각이 다른 파일의 것이었습니다.
                fetch_file(url, path, BLOB, attempts=4, wait=0.001)
        assert path.read_bytes() == BODY, plan
        assert [each.name for each in path.parent.iterdir()] == ["file"], plan
