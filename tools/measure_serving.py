"""서비스를 잽니다: 부하, 줄인 모델들, 오래 켜 두기.

    python tools/measure_serving.py load 모델폴더 [--graph 그래프폴더] [--users 1,8,32] [--requests 600]
    python tools/measure_serving.py sizes 모델폴더 말뭉치폴더 작업폴더
    python tools/measure_serving.py soak 모델폴더 [--minutes 30] [--users 4]

모두 이 컴퓨터 안(127.0.0.1)에서만 합니다. `load`는 책처럼 Flask의 개발 서버로 연 것과 `nlpbook serve`를 여러 설정으로 연 것을 견줍니다(`pip install flask`).
`sizes`는 문서 분류 모델을 줄여 가며 시험 데이터 전체의 정확도, 크기, 코어 하나의 CPU 시간을 잽니다. 모델은 2장처럼 NSMC로 학습한 것이어야 합니다.
`soak`은 일꾼 둘로 열어 두고 쉬지 않고 묻습니다. 시간을 셋으로 나눈 첫 경계에서 일꾼 하나를 죽이고 둘째 경계에서 모두 갈아 끼우며, 잃은 요청과 일꾼들의 메모리를 적습니다.
`load`와 `sizes`는 표를 표준 출력에, `nlpbook_nbs/data/serving/<이름>.json`에는 잰 값을 적습니다.
"""

import argparse
import datetime
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nlpbook_nbs.classification import NsmcCorpus
from nlpbook_nbs.core.compact import export_graph, keep_layers, keep_tokens
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.files import written_aside
from nlpbook_nbs.core.recipes import load
from nlpbook_nbs.core.settings import PACKAGE_DIR
from nlpbook_nbs.deploy import measure_load, measure_model, size_table

RESULTS = PACKAGE_DIR / "data" / "serving"
SERVE = "import sys\nif __name__ == '__main__':\n    from nlpbook_nbs.cli import main\n    sys.exit(main())"
FLASK = """
import sys
import torch
from flask import Flask, jsonify, request
from nlpbook_nbs import load
torch.set_num_threads(int(sys.argv[3]))
predict, app = load(sys.argv[1], device="cpu"), Flask(__name__)
@app.route("/api", methods=["POST"])
def api():
    return jsonify(predict(request.json))
app.run(port=int(sys.argv[2]))
"""


def texts_of(root, count):
    """시험할 글과 정답의 이름."""
    corpus = NsmcCorpus()
    rows = [row for row in corpus.get_examples(Path(root, "nsmc"), "test") if row.text_a.strip()][:count]
    return [row.text_a for row in rows], [corpus.label_names[int(row.label)] for row in rows]


def keep(name, rows, **more):
    """잰 것을 파일로 남깁니다."""
    record = {
        "name": name,
        "day": str(datetime.date.today()),
        "cores": os.cpu_count(),
        "versions": {each: version(each) for each in ("torch", "uvicorn", "starlette")},
        "command": f"python tools/measure_serving.py {name}",
        **more,
        "rows": rows,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    with written_aside(RESULTS / f"{name}.json") as part:
        part.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


@contextmanager
def running(words, port):
    """프로세스를 띄우고, 답하기 시작하면 내놓고, 끝나면 멈춥니다."""
    process = subprocess.Popen([sys.executable, "-c", *words], stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(600):
            try:
                measure_load(address, ["준비"], users=1, requests=1)
                break
            except OSError:
                time.sleep(0.2)
                if process.poll() is not None:
                    sys.exit(f"서버가 뜨지 않았습니다: {' '.join(words[1:])}")
        yield process, address
    finally:
        process.terminate()
        process.wait(60)


def load_test(args):
    texts, _ = texts_of(sample_root(), 500)
    port, threads = 8765, str(os.cpu_count() or 1)
    served = ["serve", args.model, "--port", str(port), "--device", "cpu", "--no_access_log"]
    one = ["--batch_size", "1", "--wait_ms", "0"]
    ways = {
        "Flask 개발 서버": [FLASK, args.model, str(port), threads],
        "하나씩": [SERVE, *served, *one],
        "모아서 (5ms)": [SERVE, *served],
        "모아서, 일꾼 둘": [SERVE, *served, "--workers", "2"],
    }
    if args.graph:
        ways["그래프, 모아서"] = [SERVE, served[0], args.graph, *served[2:]]
    rows = []
    for name, words in ways.items():
        with running(words, port) as (_, address):
            for users in map(int, args.users.split(",")):
                measure_load(address, texts, users, 4 * users)
                found = measure_load(address, texts, users, args.requests)
                p50, p95, p99 = (1000 * np.percentile(found.waits, [50, 95, 99])).round(2).tolist()
                row = {"way": name, "users": users, "rate": round(found.rate, 1), "p50": p50, "p95": p95}
                rows.append(row | {"p99": p99, "failed": found.failed})
                print(f"{users:3}명 {found}  {name}", flush=True)
    keep("load", rows, requests=args.requests)


def sizes(args):
    texts, labels = texts_of(args.corpora, None)
    work, source = Path(args.work), args.model
    work.mkdir(parents=True, exist_ok=True)
    (work / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    count = load(source).predict.model.config.num_hidden_layers
    makers = {
        "어휘 덜어 내기": lambda target: keep_tokens(source, target, work / "texts.txt"),
        "층 절반": lambda target: keep_layers(source, target, range(0, count, 2)),
        "ONNX": lambda target: export_graph(source, target),
        "ONNX 8비트": lambda target: export_graph(source, target, int8=True),
    }
    measured = {"그대로": measure_model(source, texts, labels, 200)}
    for number, (name, make) in enumerate(makers.items()):
        target = work / f"made-{number}"
        if not (target / "config.json").is_file():
            make(target)
        measured[name] = measure_model(target, texts, labels, 200)
        print(size_table(measured), flush=True)
    keep("sizes", [{"way": name, **row} for name, row in measured.items()], texts=len(texts))


def memory(pid):
    """프로세스와 그 자식들의 메모리 `{번호: MB}`. 리눅스에서만 압니다."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            text = path.read_text(encoding="utf-8")
        except OSError:
            continue
        parent, size = re.search(r"PPid:\s+(\d+)", text), re.search(r"VmRSS:\s+(\d+)", text)
        if parent and size and pid in {int(parent[1]), int(path.parent.name)}:
            found[int(path.parent.name)] = int(size[1]) // 1024
    return found


def soak(args):
    texts, _ = texts_of(sample_root(), 500)
    port, end = 8766, time.monotonic() + 60 * args.minutes
    words = [
        SERVE,
        "serve",
        args.model,
        "--port",
        str(port),
        "--device",
        "cpu",
        "--workers",
        "2",
        "--no_access_log",
    ]
    answered, lost = [0], []
    with running(words, port) as (process, address):

        def user(number):
            while time.monotonic() < end:
                try:
                    text = texts[(number + answered[0]) % len(texts)]
                    found = measure_load(address, [text], 1, 1)  # 요청마다 새로 잇습니다.
                    answered[0] += 1 - found.failed
                    lost.extend(["상태 코드"] * found.failed)
                except (OSError, EOFError) as error:
                    lost.append(f"{time.strftime('%H:%M:%S')} {type(error).__name__}")

        users = [threading.Thread(target=user, args=(number,)) for number in range(args.users)]
        for each in users:
            each.start()
        marks = [("일꾼 하나를 죽입니다", 2 / 3), ("모두 갈아 끼웁니다", 1 / 3)]
        while time.monotonic() < end:
            left = (end - time.monotonic()) / (60 * args.minutes)
            if marks and left < marks[0][1]:
                told = marks.pop(0)[0]
                print(told, flush=True)
                if marks:
                    workers = sorted(set(memory(process.pid)) - {process.pid})
                    os.kill(workers[-1], signal.SIGKILL)
                else:
                    process.send_signal(signal.SIGHUP)
            print(
                f"{time.strftime('%H:%M:%S')} 답 {answered[0]:,} 잃음 {len(lost)} 메모리(MB) {memory(process.pid)}",
                flush=True,
            )
            time.sleep(min(30, max(1, end - time.monotonic())))
        for each in users:
            each.join()
    print(f"모두 {answered[0]:,}번 답했고 {len(lost)}번 잃었습니다. {lost[:10]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    for name, run in (("load", load_test), ("sizes", sizes), ("soak", soak)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("model")
        if name == "sizes":
            command.add_argument("corpora")
            command.add_argument("work")
        if name == "load":
            command.add_argument("--graph")
            command.add_argument("--users", default="1,8,32")
            command.add_argument("--requests", type=int, default=600)
        if name == "soak":
            command.add_argument("--minutes", type=float, default=30)
            command.add_argument("--users", type=int, default=4)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
