"""아무 때나 kill -9로 끊어도 잃는 것이 없고, 쓰다 만 것이 남지 않고, 다음 실행이 됩니다."""

import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import needs_fork, needs_sigkill
from soak import count, rounds

HERE = Path(__file__).parent


def run(script, *words):
    """`script`를 새 프로세스에서 실행하고 마지막 줄의 JSON을 읽습니다."""
    command = [sys.executable, HERE / script, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=9000)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@needs_fork
@pytest.mark.parametrize("book_loader", [False, True], ids=["grouped", "random_sampler"])
def test_training_killed_at_random_moments_ends_with_the_same_weights(tmp_path, tiny_model, book_loader):
    options = {
        "args": {"pretrained_model_name": str(tiny_model)},
        "book_loader": book_loader,
        "seed": 11 + book_loader,
    }
    kills = rounds(5, 60)
    found = run("killed_training.py", tmp_path, kills, json.dumps(options))
    assert found["kills"] >= kills and found["resumed"] >= 1
    count("학습을 kill -9로 끊음", found["kills"])
    count("끊긴 학습이 끊기지 않은 학습과 같게 끝남", found["runs"])


@needs_fork
@pytest.mark.parametrize("kind", ["at_once", "bit_by_bit"])
def test_cache_building_killed_at_random_moments_leaves_nothing_half_written(tmp_path, kind):
    found = run("killed_cache.py", tmp_path, kind, rounds(10, 300))
    assert found["kills"] >= found["runs"] // 2
    count("캐시를 만드는 프로세스를 kill -9로 끊음", found["kills"])
    count("끊긴 캐시가 온전히 다시 만들어짐", found["runs"])


BODY = bytes(range(256)) * 1500
BLOB = hashlib.sha1(b"blob %d\0" % len(BODY) + BODY).hexdigest()


class SlowHandler(BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_GET(self):
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(BODY) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(BODY) - 1}/{len(BODY)}")
        self.end_headers()
        try:
            for place in range(start, len(BODY), 8192):
                self.wfile.write(BODY[place : place + 8192])
                time.sleep(0.004)
        except OSError:
            pass


FETCH = """
import sys
from nlpbook_nbs.core.fetch import fetch_file
print("ready", flush=True)
fetch_file(sys.argv[1], sys.argv[2], sys.argv[3], wait=0.01)
"""


@needs_sigkill
def test_download_killed_at_random_moments_goes_on_and_arrives_whole(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rng = random.Random(6)
    for number in range(rounds(4, 80)):
        path = tmp_path / str(number) / "file"
        command = [sys.executable, "-c", FETCH, f"http://127.0.0.1:{server.server_port}/file", path, BLOB]
        kills = rng.randint(1, 3)
        for turn in range(kills + 1):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert process.stdout.readline() == "ready\n"
            if turn < kills:
                time.sleep(rng.uniform(0, 0.15))
                process.send_signal(signal.SIGKILL)
                count("내려받기를 kill -9로 끊음")
            _, told = process.communicate()
            assert not path.exists() or path.read_bytes() == BODY
        assert process.returncode == 0, told
        assert path.read_bytes() == BODY
        assert [each.name for each in path.parent.iterdir()] == ["file"]
        count("끊긴 내려받기가 온전히 끝남")
    server.shutdown()
    server.server_close()
