"""이 패키지를 다른 방법들과 나란히 잽니다: `python bench/bench.py [--only 묶음,…] [--rounds 3] [--out 폴더]`.

같은 컴퓨터에서, 같은 데이터로, 방법마다 새 프로세스에서, 차례를 번갈아 가며 잽니다. 표에는 중앙값과 (가장 작은 값~가장 큰 값)을 적습니다.
모두 재면 결과가 `bench/results.json`과 `bench/RESULTS.md`에 남아 사이트의 참고 결과에 실립니다. 일부만 재면 표를 보여 주기만 하고, 남기려면 `--out`에 폴더를 적습니다.
말뭉치 폴더는 `NLPBOOK_TEST_DATA`나 `--data`로 알려 줍니다.
"""

import argparse
import contextlib
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

from contenders import ON_GPU, SECTIONS, VECTOR_WAYS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LIBRARIES = ("torch", "transformers", "tokenizers", "pytorch-lightning", "datasets", "accelerate", "numpy")
ONCE = {"accuracy", "search-index", "search-encoding", "search-vectors"}  # 차례를 바꾸어 되풀이하지 않는 묶음
TITLES = {
    "features-nsmc": "특징 만들기: NSMC 리뷰 150,000건",
    "features-nli": "특징 만들기: KorNLI(XNLI 시험 파일) 5,010쌍",
    "features-ner": "특징 만들기: KLUE-NER 5,000문장 (128토큰)",
    "features-qa": "특징 만들기: KorQuAD 1.0 개발 데이터 (128토큰, 창을 옮기는 간격 64)",
    "nsp-data": "사전학습 데이터 만들기: 200,000줄",
    "masking": "빈칸을 만들며 배치로 묶기 (128토큰)",
    "fine-tuning": "미세 조정 (BERT 4층 256차원, 배치 크기 32, NSMC)",
    "gpt-fine-tuning": "문장 생성의 미세 조정 (GPT 4층 256차원, 배치 크기 32, NSMC. 이 패키지의 정밀도는 `auto`가 고른 것). 스레드 하나의 CPU 시간",
    "writing": "글쓰기 (GPT 4층 256차원, 64토큰씩, 두 방법을 한 프로세스에서 번갈아). 스레드 하나의 CPU 시간",
    "accuracy": "미세 조정 뒤의 정확도 (12,000건 1에폭, 시드 3개로 한 번씩 학습한 평균)",
    "pretraining-step": "사전학습 스텝 (BERT 4층 256차원, 어휘 30,000개, 32건 × 128토큰, bf16)",
    "gpu-fine-tuning": "미세 조정, GPU (BERT-base, 배치 크기 32, NSMC)",
    "gpu-pretraining-step": "사전학습 스텝, GPU (BERT-base, 32건 × 128토큰, bf16)",
    "overhead": "학습 반복 자체에 드는 시간 (계산이 거의 없는 모델, 배치 크기 4)",
    "inference": "추론 (BERT 4층 256차원, 두 방법을 한 프로세스에서 번갈아)",
    "inference-ner": "개체명 찾기 (BERT 4층 256차원, 두 방법을 한 프로세스에서 번갈아)",
    "search-index": "낱말로 찾는 색인 만들기와 찾기: 지문 100,000편, 글자 두 개씩, 질문 200개 (`rank_bm25`는 10개). 한 번씩 잰 CPU 시간",
    "search-encoding": "지문을 벡터로: 96편 (BERT 4층 256차원, 세 방법을 한 프로세스에서 번갈아). CPU 시간",
    "search-vectors": "벡터로 찾기: 256차원, 질문 200개를 하나씩. CPU 시간",
    "start-up": "시작하는 데 걸리는 시간",
    "growth": "데이터의 크기와 스레드 수에 따른 특징 만들기 (NSMC의 1/16, 4/16, 전체)",
    "ceiling": "이 컴퓨터의 계산 속도 한계",
}
NAMES = {
    "ours": "이 패키지",
    "predecessor": "책의 방식",
    "datasets.map": "`datasets.map`",
    "ceiling: tokenizers": "토크나이저만 (한계)",
    "fast tokenizer recipe": "`transformers` 공식 문서의 방법",
    "library collator": "`DataCollatorForLanguageModeling`",
    "bare loop": "PyTorch 학습 반복",
    "bare loop, padded, fp32": "PyTorch 학습 반복, 128토큰까지 채움, fp32",
    "bare loop, length groups, bf16": "PyTorch 학습 반복, 비슷한 길이끼리 묶음, bf16",
    "transformers.Trainer": "`Trainer`",
    "transformers.Trainer, dynamic, fp32": "`Trainer`, 배치에서 가장 긴 글까지 채움, fp32",
    "transformers.Trainer, length groups, bf16": "`Trainer`, 비슷한 길이끼리 묶음, bf16",
    "transformers.Trainer, length groups, fp32": "`Trainer`, 비슷한 길이끼리 묶음, fp32",
    "ours, 2 processes": "이 패키지, 프로세스 2개",
    "library head at all positions": "`BertForPreTraining` 그대로",
    "pipeline": "`pipeline`",
    "ours, 1 text": "이 패키지: 한 편씩",
    "generate, 1 text": "`generate`: 한 편씩",
    "ours, 32 texts": "이 패키지: 32편 함께",
    "generate, 32 texts": "`generate`: 32편 함께",
    "python -c pass": "파이썬만",
    "ours: import nlpbook_nbs": "이 패키지: `import nlpbook_nbs`",
    "ours: nlpbook --help": "이 패키지: `nlpbook --help`",
    "import transformers, pytorch_lightning": "`import transformers, pytorch_lightning`",
    "ours: first prediction": "이 패키지: 첫 예측까지",
    "pipeline: first prediction": "`pipeline`: 첫 예측까지",
    "ours: 1x data, 2 threads": "이 패키지: 1/16, 스레드 2개",
    "ours: 4x data, 2 threads": "이 패키지: 4/16, 스레드 2개",
    "ours: 16x data, 2 threads": "이 패키지: 전체, 스레드 2개",
    "ours: 16x data, 1 thread": "이 패키지: 전체, 스레드 1개",
    "bm25s": "`bm25s`",
    "rank_bm25": "`rank_bm25`",
    "batched loop": "PyTorch로 묶어 읽기",
    "SentenceTransformer": "`SentenceTransformer.encode`",
    **{name: name.replace("exact", "정확히").replace("HNSW", "HNSW(faiss)") for name in VECTOR_WAYS},
    "2048 matrix product, fp32": "2048 × 2048 행렬의 곱, fp32",
    "2048 matrix product, bf16": "2048 × 2048 행렬의 곱, bf16",
}
UNITS = {
    "seconds": "걸린 시간 (초)",
    "load_seconds": "다시 읽기 (초)",
    "peak_mb": "최대 메모리 (MB)",
    "held_mb": "만든 뒤 메모리 (MB)",
    "disk_mb": "디스크 (MB)",
    "samples_per_second": "초당 예시 (건)",
    "examples_per_second": "초당 예시 (건)",
    "sentences_per_second": "1,000문장을 한꺼번에: 초당 문장 (개)",
    "tokens_per_second": "초당 토큰 (개)",
    "ms_per_step": "한 스텝 (ms)",
    "ms_per_sentence": "한 문장씩: 한 문장 (ms)",
    "accuracy": "정확도",
    "spread": "시드 사이의 최대 차",
    "questions_per_second": "초당 질문 (개)",
    "passages_per_second": "초당 지문 (편)",
    "ms_per_question": "질문 하나 (ms)",
    "kept_share": "정확한 것과 겹침",
    "vectors_mb": "벡터의 크기 (MB)",
    "tflops": "TFLOP/s",
}


GROUPED = "transformers.Trainer, length groups, bf16"
PADDED = "bare loop, padded, fp32"
LIBRARY_HEAD = "library head at all positions"


def of(name, metric):
    return lambda rows: rows[name][metric]["median"]


def times(more, less):
    """두 값의 비."""
    return lambda rows: more(rows) / less(rows)


def ahead(name, metric):
    """`name`의 값에 견준 우리 것의 값. 클수록 좋은 지표에 씁니다."""
    return times(of("ours", metric), of(name, metric))


def shorter(name, metric):
    """우리 것의 값에 견준 `name`의 값. 작을수록 좋은 지표에 씁니다."""
    return times(of(name, metric), of("ours", metric))


def accuracy_gap(rows):
    """라이브러리보다 나은 정확도에 시드에 따른 차를 더한 것. 0 이상이면 뒤지지 않은 것입니다."""
    library, ours = rows[GROUPED], rows["ours"]
    noise = max(row["spread"]["median"] for row in rows.values())
    return ours["accuracy"]["median"] - library["accuracy"]["median"] + noise


TARGETS = (  # (묶음, 무엇, 재는 함수, 방향, 목표)
    ("features-nsmc", "걸린 시간 (초)", of("ours", "seconds"), "≤", 3.0),
    ("features-nsmc", "최대 메모리 (MB)", of("ours", "peak_mb"), "≤", 250),
    ("features-nsmc", "디스크 (MB)", of("ours", "disk_mb"), "≤", 15),
    ("features-nsmc", "다시 읽기 (초)", of("ours", "load_seconds"), "≤", 0.05),
    ("features-nsmc", "`datasets.map`보다 몇 배 빠른가", shorter("datasets.map", "seconds"), "≥", 1),
    (
        "features-ner",
        "문장을 하나씩 나누는 방법보다 몇 배 빠른가",
        shorter("fast tokenizer recipe", "seconds"),
        "≥",
        10,
    ),
    ("features-qa", "걸린 시간 (초)", of("ours", "seconds"), "≤", 0.6),
    ("features-qa", "최대 메모리 (MB)", of("ours", "peak_mb"), "≤", 100),
    ("nsp-data", "걸린 시간 (초)", of("ours", "seconds"), "≤", 4.5),
    ("nsp-data", "만든 뒤 메모리 (MB)", of("ours", "held_mb"), "≤", 30),
    ("masking", "초당 예시", of("ours", "examples_per_second"), "≥", 100_000),
    (
        "fine-tuning",
        "초당 예시: `Trainer`(비슷한 길이끼리 묶음, bf16)의 몇 배인가",
        ahead(GROUPED, "samples_per_second"),
        "≥",
        1.25,
    ),
    (
        "fine-tuning",
        "초당 예시: PyTorch 학습 반복(128토큰까지 채움, fp32)의 몇 배인가",
        ahead(PADDED, "samples_per_second"),
        "≥",
        8,
    ),
    (
        "gpt-fine-tuning",
        "초당 예시: `Trainer`(비슷한 길이끼리 묶음, bf16)의 몇 배인가",
        ahead(GROUPED, "samples_per_second"),
        "≥",
        1.25,
    ),
    (
        "writing",
        "한 편씩 쓸 때 초당 토큰: `generate`의 몇 배인가",
        times(of("ours, 1 text", "tokens_per_second"), of("generate, 1 text", "tokens_per_second")),
        "≥",
        1,
    ),
    (
        "writing",
        "32편을 함께 쓸 때 초당 토큰: `generate`의 몇 배인가",
        times(of("ours, 32 texts", "tokens_per_second"), of("generate, 32 texts", "tokens_per_second")),
        "≥",
        1,
    ),
    ("accuracy", "정확도: `Trainer`보다 높은 만큼 + 시드 사이의 최대 차", accuracy_gap, "≥", 0),
    (
        "pretraining-step",
        "`BertForPreTraining`보다 몇 배 빠른가",
        shorter(LIBRARY_HEAD, "ms_per_step"),
        "≥",
        2.3,
    ),
    (
        "pretraining-step",
        "최대 메모리: `BertForPreTraining`의 몇 배인가",
        ahead(LIBRARY_HEAD, "peak_mb"),
        "≤",
        0.65,
    ),
    ("overhead", "한 스텝 (ms)", of("ours", "ms_per_step"), "≤", 0.8),
    ("overhead", "한 스텝: PyTorch 학습 반복의 몇 배인가", ahead("bare loop", "ms_per_step"), "≤", 4),
    ("search-index", "만드는 시간: `bm25s`의 몇 배인가", ahead("bm25s", "seconds"), "≤", 1.3),
    ("search-index", "`rank_bm25`보다 몇 배 빨리 만드는가", shorter("rank_bm25", "seconds"), "≥", 20),
    (
        "search-index",
        "초당 질문: `rank_bm25`의 몇 배인가",
        ahead("rank_bm25", "questions_per_second"),
        "≥",
        20,
    ),
    (
        "search-encoding",
        "초당 지문: PyTorch로 묶어 읽기의 몇 배인가",
        ahead("batched loop", "passages_per_second"),
        "≥",
        0.9,
    ),
    (
        "search-encoding",
        "초당 지문: `SentenceTransformer.encode`의 몇 배인가",
        ahead("SentenceTransformer", "passages_per_second"),
        "≥",
        3,
    ),
    ("start-up", "`import nlpbook_nbs` (초)", of("ours: import nlpbook_nbs", "seconds"), "≤", 0.3),
    ("start-up", "`nlpbook --help` (초)", of("ours: nlpbook --help", "seconds"), "≤", 0.3),
    ("inference", "한 문장: `pipeline`보다 몇 배 빠른가", shorter("pipeline", "ms_per_sentence"), "≥", 1),
    ("inference", "1,000문장: `pipeline`의 몇 배인가", ahead("pipeline", "sentences_per_second"), "≥", 3),
)


def targets(results):
    """`(묶음, 무엇, 목표, 잰 값, 이루었는지)`. 재지 않은 묶음의 목표는 건너뜁니다."""
    for section, what, measured, sign, limit in TARGETS:
        if section in results:
            found = measured(results[section])
            yield section, what, f"{sign} {limit:,}", found, found <= limit if sign == "≤" else found >= limit


def measure(data, section, name):
    """`{이름: {지표: 값}}`. 재지 못했으면 `None`."""
    command = [sys.executable, str(HERE / "contenders.py"), str(data), section, name]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        print(f"{section} / {name}: 재지 못했습니다.\n{done.stderr[-3000:]}", file=sys.stderr, flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def measure_section(data, section, rounds):
    """한 묶음의 `{이름: {지표: {"median", "low", "high"}}}`. 하나라도 재지 못했으면 `None`."""
    groups = list(SECTIONS[section])
    rows = {name: [] for group in groups for name in group}
    for turn in range(1 if section in ONCE else rounds):
        for group in groups if turn % 2 == 0 else reversed(groups):
            found = measure(data, section, group[0])
            if found is None:
                return None
            for name, metrics in found.items():
                rows[name].append(metrics)
                numbers = ", ".join(f"{metric} {number:.4g}" for metric, number in metrics.items())
                print(f"{section:18} {name:45} {numbers}", flush=True)
    return {name: summary(measured) for name, measured in rows.items()}


def summary(measured):
    return {
        metric: {
            "median": statistics.median(each[metric] for each in measured),
            "low": min(each[metric] for each in measured),
            "high": max(each[metric] for each in measured),
        }
        for metric in measured[0]
    }


def shown(number):
    number = max(number, 0)  # 재기 전에 쓰던 메모리를 돌려주어 음수가 된 것
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def spread(measured):
    """`중앙값 (가장 작은 값~가장 큰 값)`. 둘이 같게 보이면 중앙값만 적습니다."""
    low, middle, high = (shown(measured[name]) for name in ("low", "median", "high"))
    return middle if low == high else f"{middle} ({low}~{high})"


def markdown(record):
    machine = f"{record['cpu']} ({record['cores']}코어)" + (f", {record['gpu']}" if record["gpu"] else "")
    libraries = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    lines = [
        f"`{record['command']}`, {record['date']}, {record['minutes']:.0f}분. {machine}, Python {record['python']}, {libraries}.",
        "",
        f"방법마다 새 프로세스에서, 차례를 번갈아 가며 {record['rounds']}번씩 잰 값의 중앙값입니다. 괄호 안은 가장 작은 값과 가장 큰 값이고, 둘이 같으면 적지 않습니다.",
        "",
    ]
    for section, rows in record["results"].items():
        metrics = list(dict.fromkeys(metric for row in rows.values() for metric in row))
        lines += [f"### {TITLES[section]}", "", f"`ONLY={section}`", ""]
        lines.append("| | " + " | ".join(UNITS[metric] for metric in metrics) + " |")
        lines.append("|------|" + "---|" * len(metrics))
        for name, row in rows.items():
            cells = [spread(row[metric]) if metric in row else "" for metric in metrics]
            title = f"**{NAMES[name]}**" if name.startswith("ours") else NAMES[name]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
        lines.append("")
    judged = [
        f"| {section} | {what} | {limit} | {shown(found)} | {'달성' if met else '미달'} |"
        for section, what, limit, found, met in targets(record["results"])
    ]
    if judged:
        lines += [
            "### 목표",
            "",
            "| 묶음 | 잰 것 | 목표 | 잰 값 | 결과 |",
            "|---|------|---|---|--|",
            *judged,
            "",
        ]
    return "\n".join(lines).rstrip("\n") + "\n"


def cpu_name():
    path = Path("/proc/cpuinfo")
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def gpu_name():
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def versions():
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def write(path, record):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default=os.environ.get("ONLY", ""), help=f"쉼표로 나눈 묶음: {', '.join(SECTIONS)}"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("NLPBOOK_TEST_DATA", ROOT.parent / "shared" / "data")
    )
    parser.add_argument("--out", type=Path, help="결과를 둘 폴더")
    options = parser.parse_args()
    if not Path(options.data).is_dir():
        sys.exit(f"{options.data}: 공개 말뭉치가 든 폴더가 없습니다. NLPBOOK_TEST_DATA에 폴더를 적으세요.")
    chosen = [name for name in options.only.split(",") if name] or list(SECTIONS)
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        sys.exit(f"{', '.join(unknown)}: 모르는 묶음입니다. {', '.join(SECTIONS)} 가운데 고르세요.")
    gpu = gpu_name()
    if gpu is None:
        if options.only and set(chosen) & set(ON_GPU):
            sys.exit(
                f"{', '.join(sorted(set(chosen) & set(ON_GPU)))}: GPU가 있는 컴퓨터에서만 잴 수 있습니다."
            )
        chosen = [name for name in chosen if name not in ON_GPU]
    folder = options.out or (None if options.only else HERE)
    began = time.monotonic()
    record = {
        "date": datetime.date.today().isoformat(),
        "command": "make bench" + (f" ONLY={options.only}" if options.only else ""),
        "minutes": 0,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "gpu": gpu,
        "python": platform.python_version(),
        "versions": versions(),
        "rounds": options.rounds,
        "results": {},
    }
    failed = []
    for section in chosen:
        found = measure_section(options.data, section, options.rounds)
        if found is None:
            failed.append(section)
            continue
        record["results"][section] = found
        record["minutes"] = round((time.monotonic() - began) / 60, 1)
        if folder is not None:
            write(folder / "results.json.part", record)
    print(f"\n{markdown(record)}")
    if failed:
        kept = f" 잰 것은 {folder / 'results.json.part'}에 있습니다." if folder is not None else ""
        sys.exit(f"재지 못한 묶음: {', '.join(failed)}. 까닭은 위에 있습니다.{kept}")
    if folder is not None:
        os.replace(folder / "results.json.part", folder / "results.json")
        (folder / "RESULTS.md").write_text(markdown(record), encoding="utf-8")
        print(f"{folder}에 results.json과 RESULTS.md를 적었습니다.")


if __name__ == "__main__":
    main()
