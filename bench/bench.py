"""이 패키지를 다른 방법들과 나란히 잽니다: `python bench/bench.py [--only 묶음,…] [--rounds 3]`.

같은 컴퓨터에서, 같은 데이터로, 방법마다 새 프로세스에서, 차례를 번갈아 가며 잽니다. 표에는 중앙값과 (가장 작은 값~가장 큰 값)을 적습니다.
결과는 `bench/results.json`과 `bench/RESULTS.md`에 남고, 사이트의 참고 결과에 실립니다. 말뭉치 폴더는 `NLPBOOK_TEST_DATA`나 `--data`로 알려 줍니다.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from contenders import SECTIONS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LIBRARIES = ("torch", "transformers", "tokenizers", "pytorch-lightning", "datasets", "accelerate", "numpy")
ONCE = {"accuracy"}  # 한 번에 시드 셋으로 재는 묶음
TITLES = {
    "features-nsmc": "특징: NSMC 리뷰 150,000건",
    "features-nli": "특징: KorNLI(XNLI 시험 파일) 5,010쌍",
    "features-qa": "특징: KorQuAD 1.0 개발 데이터 (128토큰, 간격 64)",
    "nsp-data": "사전학습 데이터: 200,000줄",
    "masking": "빈칸이 있는 배치 만들기 (128토큰)",
    "fine-tuning": "미세 조정 (BERT 4층 256차원, 배치 32, NSMC)",
    "accuracy": "미세 조정 뒤의 정확도 (16,000건 1에폭, 시드 3개의 평균)",
    "pretraining-step": "사전학습 스텝 (BERT 4층 256차원, 어휘 30,000, 32 × 128토큰, bf16)",
    "overhead": "스텝마다 드는 시간 (아주 작은 BERT, 배치 4)",
    "inference": "추론 (BERT 4층 256차원)",
    "start-up": "시작하는 데 걸리는 시간",
    "growth": "커지는 데이터와 스레드 (NSMC의 1/16, 4/16, 전체)",
    "ceiling": "이 컴퓨터의 천장",
}
UNITS = {
    "seconds": "초",
    "load_seconds": "다시 읽기 (초)",
    "peak_mb": "메모리 (MB)",
    "disk_mb": "디스크 (MB)",
    "samples_per_second": "초당 예시",
    "examples_per_second": "초당 예시",
    "sentences_per_second": "초당 문장",
    "ms_per_step": "스텝 (ms)",
    "ms_per_sentence": "한 문장 (ms)",
    "accuracy": "정확도",
    "spread": "시드에 따른 차",
    "tflops": "TFLOP/s",
}


def value(results, section, name, metric):
    return results[section][name][metric]["median"]


def targets(r):
    """`(묶음, 목표, 잰 값, 이루었는지)`. 재지 않은 묶음의 목표는 건너뜁니다."""

    def v(section, name, metric):
        return value(r, section, name, metric)

    def rows():
        if "features-nsmc" in r:
            ours = r["features-nsmc"]["ours"]
            for metric, limit, text in (
                ("seconds", 3.0, "3.0초 이하"),
                ("peak_mb", 250, "메모리 250 MB 이하"),
                ("disk_mb", 15, "디스크 15 MB 이하"),
                ("load_seconds", 0.05, "다시 읽기 50 ms 이하"),
            ):
                found = ours[metric]["median"]
                yield "features-nsmc", text, f"{found:.3g}", found <= limit
            other = v("features-nsmc", "datasets.map", "seconds") / ours["seconds"]["median"]
            yield "features-nsmc", "datasets.map보다 빠름", f"{other:.2f}배", other > 1
        if "features-qa" in r:
            yield (
                "features-qa",
                "0.6초 이하",
                f"{v('features-qa', 'ours', 'seconds'):.2f}",
                v("features-qa", "ours", "seconds") <= 0.6,
            )
            yield (
                "features-qa",
                "메모리 100 MB 이하",
                f"{v('features-qa', 'ours', 'peak_mb'):.0f}",
                v("features-qa", "ours", "peak_mb") <= 100,
            )
        if "nsp-data" in r:
            yield (
                "nsp-data",
                "4.5초 이하",
                f"{v('nsp-data', 'ours', 'seconds'):.2f}",
                v("nsp-data", "ours", "seconds") <= 4.5,
            )
        if "masking" in r:
            found = v("masking", "ours", "examples_per_second")
            yield "masking", "초당 100,000건 이상", f"{found:,.0f}", found >= 100_000
        if "fine-tuning" in r:
            ours = v("fine-tuning", "ours", "samples_per_second")
            for name, limit in (
                ("transformers.Trainer, length groups, bf16", 1.25),
                ("bare loop, padded, fp32", 8),
            ):
                ratio = ours / v("fine-tuning", name, "samples_per_second")
                yield "fine-tuning", f"{name}의 {limit}배 이상", f"{ratio:.2f}배", ratio >= limit
        if "accuracy" in r:
            gap = v("accuracy", "ours", "accuracy") - v(
                "accuracy", "transformers.Trainer, length groups, bf16", "accuracy"
            )
            spread = max(row["spread"]["median"] for row in r["accuracy"].values())
            yield (
                "accuracy",
                "정확도의 차가 시드에 따른 차보다 작음",
                f"{gap:+.4f} (시드 {spread:.4f})",
                gap >= -spread,
            )
        if "pretraining-step" in r:
            library, ours = (
                r["pretraining-step"]["library head at all positions"],
                r["pretraining-step"]["ours"],
            )
            ratio = library["ms_per_step"]["median"] / ours["ms_per_step"]["median"]
            memory = ours["peak_mb"]["median"] / library["peak_mb"]["median"]
            yield "pretraining-step", "2.3배 이상 빠름", f"{ratio:.2f}배", ratio >= 2.3
            yield "pretraining-step", "메모리 0.65배 이하", f"{memory:.2f}배", memory <= 0.65
        if "overhead" in r:
            extra = v("overhead", "ours", "ms_per_step") - v("overhead", "bare loop", "ms_per_step")
            yield "overhead", "맨 반복보다 0.8 ms 이하로 더 듦", f"{extra:.2f} ms", extra <= 0.8
        if "inference" in r:
            ours, pipeline = r["inference"]["ours"], r["inference"]["pipeline"]
            ratio = pipeline["ms_per_sentence"]["median"] / ours["ms_per_sentence"]["median"]
            yield "inference", "한 문장이 pipeline보다 느리지 않음", f"{ratio:.2f}배", ratio >= 1
            ratio = ours["sentences_per_second"]["median"] / pipeline["sentences_per_second"]["median"]
            yield "inference", "1,000문장이 pipeline의 3배 이상", f"{ratio:.2f}배", ratio >= 3
        if "start-up" in r:
            for name in ("ours: import nlpbook_nbs", "ours: nlpbook --help"):
                found = v("start-up", name, "seconds")
                yield (
                    "start-up",
                    f"{name.removeprefix('ours: ')}이(가) 0.3초 이하",
                    f"{found:.2f}",
                    found <= 0.3,
                )

    return list(rows())


def measure(data, section, name):
    command = [sys.executable, str(HERE / "contenders.py"), str(data), section, name]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"{section} / {name}: 재지 못했습니다.\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run(data, sections, rounds):
    found = {}
    for section in sections:
        names, rows = list(SECTIONS[section]), {name: [] for name in SECTIONS[section]}
        for turn in range(1 if section in ONCE else rounds):
            for name in names if turn % 2 == 0 else reversed(names):
                rows[name].append(measure(data, section, name))
                shown = ", ".join(f"{metric} {number:.4g}" for metric, number in rows[name][-1].items())
                print(f"{section:18} {name:45} {shown}", flush=True)
        found[section] = {
            name: {
                metric: {
                    "median": statistics.median(each[metric] for each in measured),
                    "low": min(each[metric] for each in measured),
                    "high": max(each[metric] for each in measured),
                }
                for metric in measured[0]
            }
            for name, measured in rows.items()
        }
    return found


def shown(number):
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def markdown(record):
    lines = [
        f"*{record['date']}, {record['cpu']} ({record['cores']}코어), Python {record['python']}, "
        + ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        + f". 방법마다 {record['rounds']}번씩 차례를 번갈아 새 프로세스에서 잰 중앙값이고, 괄호 안은 가장 작은 값과 가장 큰 값입니다.*",
        "",
    ]
    for section, rows in record["results"].items():
        metrics = list(dict.fromkeys(metric for row in rows.values() for metric in row))
        lines += [f"### {TITLES[section]}", ""]
        lines.append("| | " + " | ".join(UNITS[metric] for metric in metrics) + " |")
        lines.append("|------|" + "---|" * len(metrics))
        for name, row in rows.items():
            cells = [
                f"{shown(row[m]['median'])} ({shown(row[m]['low'])}~{shown(row[m]['high'])})"
                if m in row
                else ""
                for m in metrics
            ]
            bold = f"**{name}**" if name.startswith("ours") else name
            lines.append(f"| {bold} | " + " | ".join(cells) + " |")
        lines.append("")
    lines += ["### 목표", "", "| 묶음 | 목표 | 잰 값 | |", "|---|------|---|--|"]
    for section, text, found, met in targets(record["results"]):
        lines.append(f"| {section} | {text} | {found} | {'이룸' if met else '못 이룸'} |")
    return "\n".join(lines) + "\n"


def cpu_name():
    for line in open("/proc/cpuinfo", encoding="utf-8") if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default=os.environ.get("ONLY", ""), help=f"쉼표로 나눈 묶음: {', '.join(SECTIONS)}"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("NLPBOOK_TEST_DATA", ROOT.parent / "shared" / "data")
    )
    options = parser.parse_args()
    if not Path(options.data).is_dir():
        sys.exit(f"{options.data}: 공개 말뭉치가 든 폴더가 없습니다. NLPBOOK_TEST_DATA에 폴더를 적으세요.")
    chosen = [name for name in options.only.split(",") if name] or list(SECTIONS)
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        sys.exit(f"{', '.join(unknown)}: 모르는 묶음입니다. {', '.join(SECTIONS)} 가운데 고르세요.")
    began = time.monotonic()
    path = HERE / "results.json"
    before = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() and len(chosen) < len(SECTIONS) else {}
    )
    record = {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "rounds": options.rounds,
    }
    results = before.get("results", {}) | run(options.data, chosen, options.rounds)
    record["results"] = {name: results[name] for name in SECTIONS if name in results}
    path.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (HERE / "RESULTS.md").write_text(markdown(record), encoding="utf-8")
    print(
        f"\n{markdown(record)}\n{(time.monotonic() - began) / 60:.0f}분 걸렸습니다. {path.relative_to(ROOT)}, bench/RESULTS.md"
    )


if __name__ == "__main__":
    main()
