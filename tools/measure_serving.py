"""서비스를 잽니다: 부하, 줄인 모델들, 지식 증류, 오래 켜 두기. 표 하나에 명령 하나입니다.

    python tools/measure_serving.py distill 모델폴더 작업폴더 [--seeds 7,8,9] [--only 이름들]
    python tools/measure_serving.py sizes 모델폴더 작업폴더
    python tools/measure_serving.py load 모델폴더 [--graph 그래프폴더] [--users 1,8,32] [--requests 200] [--rounds 3] [--threads 1]
    python tools/measure_serving.py soak 모델폴더 [--minutes 30] [--users 4] [--rate 20]

모델은 2장처럼 패키지에 든 NSMC로 학습한 문서 분류 모델이어야 합니다. 모두 이 컴퓨터 안(127.0.0.1)에서만 합니다.
`distill`은 모델을 선생님 삼아 `nlpbook-mini`를 가르치고, 레이블로 배운 것과 시험 데이터에서 견줍니다. 잰 것은 작업폴더에 두므로 끊겨도 이어 잽니다.
`sizes`는 모델을 여러 방법으로 줄여 정확도, 크기, 코어 하나의 CPU 시간을 잽니다. 작업폴더에 `distill`이 만든 학생이 있으면 함께 잽니다.
`load`는 책처럼 Flask의 개발 서버로 연 것과 `nlpbook serve`를 여러 설정으로 연 것을 견줍니다(`pip install flask`).
`soak`은 일꾼 둘로 열어 두고 쉬지 않고 묻습니다. 시간을 셋으로 나눈 첫 경계에서 일꾼 하나를 죽이고 둘째 경계에서 모두 갈아 끼우며, 잃은 요청과 일꾼들의 메모리를 적습니다.
잰 값은 `nlpbook_nbs/data/serving/<이름>.json`에 적습니다. 참고 결과의 표와 12장이 그 파일을 읽습니다.
"""

import argparse
import datetime
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np

from nlpbook_nbs.classification import ClassificationTrainArguments, NsmcCorpus, train_classifier
from nlpbook_nbs.core.baselines import cheap_answers, correct, difference
from nlpbook_nbs.core.compact import export_graph, keep_layers, keep_tokens
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.distillation import DistillArguments, distill, teacher_shares
from nlpbook_nbs.core.files import read_json, written_aside
from nlpbook_nbs.core.recipes import load
from nlpbook_nbs.core.service_tables import RECORDS, ServiceTable
from nlpbook_nbs.deploy import measure_load, measure_model

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


def reviews(mode="test", count=None):
    """패키지에 든 NSMC의 `(글들, 레이블의 이름들)`."""
    corpus = NsmcCorpus()
    rows = corpus.get_examples(Path(sample_root(), "nsmc"), mode)[:count]
    rows = [row for row in rows if row.text_a.strip()]
    return [row.text_a for row in rows], [corpus.label_names[int(row.label)] for row in rows]


def keep(name, title, table, libraries=("torch", "transformers"), **more):
    """잰 것을 파일로 남기고 찍습니다."""
    record = {
        "name": name,
        "title": title,
        "day": str(datetime.date.today()),
        "cores": os.cpu_count(),
        "versions": {each: version(each) for each in libraries},
        "command": f"python tools/measure_serving.py {name}",
        **more,
        "rows": [{"way": way, **values} for way, values in table.rows],
    }
    RECORDS.mkdir(parents=True, exist_ok=True)
    with written_aside(RECORDS / f"{name}.json") as part:
        part.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(table)


@contextmanager
def running(words, port):
    """프로세스를 띄우고, 답하기 시작하면 내놓고, 끝나면 멈춥니다."""
    process = subprocess.Popen([sys.executable, "-c", *words], stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(600):
            if not measure_load(address, ["준비"], users=1, requests=1).failed:
                break
            time.sleep(0.2)
            if process.poll() is not None:
                sys.exit(f"서버가 뜨지 않았습니다: {' '.join(words[1:])}")
        yield process, address
    finally:
        process.terminate()
        process.wait(60)


def load_test(args):
    texts, _ = reviews("test", 500)
    threads = str(args.threads)
    common = ["--device", "cpu", "--threads", threads, "--no_access_log"]
    one = ["--batch_size", "1", "--wait_ms", "0"]
    ways = {
        "Flask 개발 서버": lambda port: [FLASK, args.model, port, threads],
        "nlpbook serve, 하나씩": lambda port: [SERVE, "serve", args.model, "--port", port, *common, *one],
        "nlpbook serve, 모아서": lambda port: [SERVE, "serve", args.model, "--port", port, *common],
        "nlpbook serve, 모아서, 일꾼 둘": lambda port: [
            *(SERVE, "serve", args.model, "--port", port, *common, "--workers", "2"),
        ],
    }
    if args.graph:
        ways["nlpbook serve, 모아서, ONNX 8비트"] = lambda port: [
            *(SERVE, "serve", args.graph, "--port", port, *common),
        ]
    counts = list(map(int, args.users.split(",")))
    best = {}
    with ExitStack() as stack:  # 모두 열어 두고 돌아가며 재어, 다른 일이 끼어들어 느려진 때를 뺍니다.
        opened = {
            name: stack.enter_context(running(words(str(8765 + place)), 8765 + place))[1]
            for place, (name, words) in enumerate(ways.items())
        }
        for _, users, (name, address) in product(range(args.rounds), counts, opened.items()):
            measure_load(address, texts, users, 2 * users)
            found = measure_load(address, texts, users, args.requests)
            print(f"{users:3}명 {found}  {name}", flush=True)
            if (name, users) not in best or best[name, users].rate < found.rate:
                best[name, users] = found
    table = ServiceTable()
    for users, name in product(counts, ways):
        found = best[name, users]
        p50, p95, p99 = (1000 * np.percentile(found.waits, [50, 95, 99])).round(1).tolist()
        row = {"users": users, "answers": round(found.rate, 1), "p50": p50, "p95": p95, "p99": p99}
        table.add(name, **row, failed=found.failed)
    title = f"서버마다 스레드 {threads}개, 한 번에 요청 {args.requests}번, 돌아가며 {args.rounds}번 재어 가장 나은 것"
    keep("load", title, table, ("torch", "uvicorn", "starlette", "flask"))


def torch_int8(source, texts, labels):
    """행렬 곱셈을 PyTorch의 8비트로 바꾼 모델을 잽니다. PyTorch가 곧 없앨 기능입니다."""
    import torch

    predict, buffer = load(source, device="cpu"), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.ao.quantization.quantize_dynamic(predict.predict.model, {torch.nn.Linear}, torch.qint8)
        predict.predict.model = made
        torch.save(made.state_dict(), buffer)
        found = measure_model(source, texts, labels, 200, predict)
    return found | {"megabytes": round(buffer.tell() / 1e6, 2)}


def once(work, name, run):
    """`run()`의 결과 사전. 작업폴더에 이미 있으면 다시 재지 않습니다."""
    path = work / "runs" / f"{name}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = run()
        with written_aside(path) as part:
            part.write_text(json.dumps(found), encoding="utf-8")
    return read_json(path)


LABELED, EPOCHS = 1_500, 3  # 선생님이 배운 리뷰의 수, 리뷰 모두를 배울 때의 에폭


def students(args, work, told):
    """`방법 → (배운 글의 수, 시드 → 모델 폴더)`. 레이블로 배우는 것은 2장의 카드와 같은 설정입니다."""
    texts, _ = reviews("train")
    first, _ = reviews("train", LABELED)

    def labeled(count, epochs):
        def run(seed, folder):
            given = ClassificationTrainArguments(
                pretrained_model_name="nlpbook-mini",
                downstream_corpus_name="nsmc",
                downstream_corpus_root_dir=sample_root(),
                downstream_model_dir=str(folder),
                max_train_samples=count,
                epochs=epochs,
                learning_rate=8e-4,
                lr_scheduler="linear",
                warmup_ratio=0.1,
                monitor="max val_acc",
                seed=seed,
            )
            return train_classifier(given)

        return run

    def taught(rows, epochs, student="nlpbook-mini", rate=8e-4):
        def run(seed, folder):
            return distill(
                DistillArguments(
                    teacher_dir=args.model,
                    pretrained_model_name=student,
                    downstream_model_dir=str(folder),
                    epochs=epochs,
                    learning_rate=rate,
                    seed=seed,
                ),
                rows,
                (np.array(told["shares"][: len(rows)], np.float32), told["names"]),
            )

        return run

    return {
        "mini-labels": ("nlpbook-mini, 레이블", len(first), labeled(LABELED, 5)),
        "mini-taught": ("nlpbook-mini, 선생님의 답", len(first), taught(first, 5)),
        "mini-taught-all": ("nlpbook-mini, 선생님의 답", len(texts), taught(texts, EPOCHS)),
        "mini-labels-all": ("nlpbook-mini, 레이블", len(texts), labeled(None, EPOCHS)),
        "half-taught": (
            "층 절반, 선생님의 답",
            3_000,
            taught(texts[:3_000], 2, str(work / "half-start"), 1e-4),
        ),
    }


def shared(model, texts):
    """선생님이 매긴 확률. 학생마다 다시 구하지 않습니다."""
    shares, names = teacher_shares(load(model, device="cpu"), texts)
    return {"shares": shares.tolist(), "names": names}


def measure_distill(args):
    work, (texts, labels) = Path(args.work), reviews()
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "half-start" / "config.json").is_file():
        count = load(args.model).predict.model.config.num_hidden_layers
        keep_layers(args.model, work / "half-start", range(0, count, 2))
    seeds, table = [int(seed) for seed in args.seeds.split(",")], ServiceTable()

    def answered(folder):
        return [row["label"] for row in load(folder, device="cpu")(texts)]

    right, seen = {}, set()

    def row(name, found):
        right[name] = correct(found["answers"], labels)
        return float(right[name].mean())

    train, (first, first_labels) = reviews("train")[0], reviews("train", LABELED)
    found = once(work, "teacher", lambda: {"answers": answered(args.model)})
    table.add("선생님: nlpbook-small, 레이블", texts=LABELED, accuracy=row("teacher", found))
    told = once(work, "shares", lambda: shared(args.model, train))
    answers = [told["names"][place] for place in np.argmax(told["shares"], axis=1)]
    lessons = {"레이블": (first, first_labels), "선생님의 답": (train, answers)}
    for number, (what, (rows, wanted)) in enumerate(lessons.items()):
        cheap = once(
            work, f"cheap-{number}", lambda rows=rows, wanted=wanted: dict(cheap_answers(rows, wanted, texts))
        )
        for name, answers in cheap.items():
            table.add(
                f"{name}, {what}", texts=len(rows), accuracy=row(f"{name}, {what}", {"answers": answers})
            )
    for key, (name, count, run) in students(args, work, told).items():
        scores, seconds = [], []
        for seed in seeds if key != "half-taught" else seeds[:1]:
            folder = work / f"{key}-{seed}"
            wanted = not args.only or folder.name in args.only.split(",")
            if not wanted and not (work / "runs" / f"{folder.name}.json").is_file():
                continue

            def one(run=run, seed=seed, folder=folder):
                result = run(seed, folder)
                return {"answers": answered(folder), "seconds": result["seconds"]}

            found = once(work, folder.name, one)
            scores.append(row(folder.name, found))
            seen.add(seed)
            seconds.append(found["seconds"])
        if scores:
            table.add(name, texts=count, accuracy=scores, seconds=float(np.mean(seconds)))
            print(table, flush=True)
    for key, name in (("mini-taught-all", "student"), ("half-taught", "half")):
        made = work / f"{key}-{seeds[0]}"
        if made.is_dir() and not (work / name).exists():
            shutil.copytree(made, work / name)
    pairs = [
        ("mini-taught-all", "선생님에게 배운 nlpbook-mini", "mini-labels", "레이블로 배운 nlpbook-mini"),
        ("mini-taught-all", "선생님에게 배운 nlpbook-mini", "teacher", "선생님"),
    ]
    told_pairs = []
    for one, title, other, other_title in pairs:
        one, other = (name if name in right else f"{name}-{seeds[0]}" for name in (one, other))
        if one in right and other in right:
            tested = f"시험 리뷰 {len(texts):,}건"
            told_pairs.append(str(difference(title, other_title, right[one], right[other], tested)))
    title = f"패키지에 든 NSMC, 시험 리뷰 {len(texts):,}건, 시드 {', '.join(map(str, sorted(seen)))}"
    keep("distill", title, table, verdict=" ".join(told_pairs))


def sizes(args):
    work, source, (texts, labels) = Path(args.work), args.model, reviews()
    work.mkdir(parents=True, exist_ok=True)
    (work / "texts.txt").write_text("\n".join(reviews("train")[0]), encoding="utf-8")
    count = load(source).predict.model.config.num_hidden_layers
    made = {
        "ONNX": lambda target: export_graph(source, target),
        "ONNX 8비트": lambda target: export_graph(source, target, int8=True),
        "어휘 덜어 내기": lambda target: keep_tokens(source, target, work / "texts.txt"),
        "층 절반, 그대로": lambda target: keep_layers(source, target, range(0, count, 2)),
    }
    folders = {"그대로 (PyTorch)": Path(source)}
    for number, (name, make) in enumerate(made.items()):
        folders[name] = work / f"made-{number}"
        if not (folders[name] / "config.json").is_file():
            make(folders[name])
    for name, folder in (("층 절반, 증류", "half"), ("nlpbook-mini로 증류", "student")):
        if (work / folder / "config.json").is_file():
            folders[name] = work / folder
            folders[f"{name}, ONNX 8비트"] = work / f"{folder}-int8"
            if not (work / f"{folder}-int8" / "config.json").is_file():
                export_graph(work / folder, work / f"{folder}-int8", int8=True)
    table = ServiceTable()
    for name, folder in folders.items():
        place = f"size-{folder.name}"
        table.add(name, **once(work, place, lambda folder=folder: measure_model(folder, texts, labels, 200)))
        print(table, flush=True)
        if folder == Path(source):
            table.add(
                "PyTorch 8비트", **once(work, "size-torch-int8", lambda: torch_int8(source, texts, labels))
            )
    title = f"nlpbook-small을 리뷰 1,500건으로 학습한 모델, 시험 리뷰 {len(texts):,}건, 코어 하나의 CPU 시간"
    keep("sizes", title, table, ("torch", "transformers", "onnxruntime"))


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


AT_THE_KILL = 2  # 죽은 일꾼이 답하던 요청은 이 초 안에 물은 것입니다


def soak(args):
    texts, _ = reviews("test", 500)
    port = 8766
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
    answered, lost, kept, killed, lock = [0], [], {}, [0.0], threading.Lock()
    pause = args.users / args.rate if args.rate else 0.0  # 한 사람이 다음에 물을 때까지
    with running(words, port) as (process, address):
        end = time.monotonic() + 60 * args.minutes

        def user(number):
            while time.monotonic() < end:
                text, begun = texts[(number + answered[0]) % len(texts)], time.monotonic()
                found = measure_load(address, [text], 1, 1)  # 요청마다 새로 잇습니다.
                with lock:
                    answered[0] += 1 - found.failed
                    lost.extend([begun] * found.failed)
                time.sleep(max(0.0, min(begun + pause, end) - time.monotonic()))

        users = [threading.Thread(target=user, args=(number,)) for number in range(args.users)]
        for each in users:
            each.start()
        marks, found = [("일꾼 하나를 죽입니다", 2 / 3), ("모두 갈아 끼웁니다", 1 / 3)], {}
        while time.monotonic() < end:
            left = (end - time.monotonic()) / (60 * args.minutes)
            if marks and left < marks[0][1]:
                told = marks.pop(0)[0]
                print(told, flush=True)
                kept["갈아 끼우기" if not marks else "죽이기"] = found
                if marks:
                    killed[0] = time.monotonic()
                    os.kill(max(found), signal.SIGKILL)
                else:
                    process.send_signal(signal.SIGHUP)
            found = {
                pid: size for pid, size in memory(process.pid).items() if pid != process.pid and size > 100
            }
            kept.setdefault("처음", found)
            kept["끝"] = found
            told = f"답 {answered[0]:,} 잃음 {len(lost)} 메모리(MB) {found}"
            print(f"{time.strftime('%H:%M:%S')} {told}", flush=True)
            time.sleep(min(10, max(1, end - time.monotonic())))
        for each in users:
            each.join()
    table = ServiceTable()
    ways = {"처음": "처음", "죽이기": "죽이기 직전", "갈아 끼우기": "갈아 끼우기 직전", "끝": "끝"}
    for key, name in ways.items():
        table.add(f"{name}, 일꾼마다", megabytes=[float(size) for size in kept[key].values()])
    then = sum(abs(begun - killed[0]) < AT_THE_KILL for begun in lost)
    table.add("일꾼을 죽인 때", failed=then)
    table.add("그 밖", failed=len(lost) - then)
    table.add("모두", requests=answered[0], failed=len(lost), seconds=60 * args.minutes)
    title = f"{args.users}명, 일꾼 둘, 한 번 죽이고 한 번 갈아 끼움"
    told = f"soak 모델폴더 --minutes {args.minutes:g} --users {args.users} --rate {args.rate:g}"
    command = f"python tools/measure_serving.py {told}"
    keep("soak", title, table, ("torch", "uvicorn", "starlette"), command=command)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="what", required=True)
    for name, run in (
        ("load", load_test),
        ("distill", measure_distill),
        ("sizes", sizes),
        ("soak", soak),
    ):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("model")
        if name in {"sizes", "distill"}:
            command.add_argument("work")
        if name == "distill":
            command.add_argument("--seeds", default="7,8,9")
            command.add_argument(
                "--only", default="", help="쉼표로 나눈 이름만 새로 잼: mini-labels-7,mini-taught-8"
            )
        if name == "load":
            command.add_argument("--graph")
            command.add_argument("--users", default="1,8,32")
            command.add_argument("--requests", type=int, default=200)
            command.add_argument("--rounds", type=int, default=3)
            command.add_argument("--threads", type=int, default=1)
        if name == "soak":
            command.add_argument("--minutes", type=float, default=30)
            command.add_argument("--users", type=int, default=4)
            command.add_argument(
                "--rate", type=float, default=0.0, help="모두 합쳐 초당 묻는 수. 0이면 쉬지 않음"
            )
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
