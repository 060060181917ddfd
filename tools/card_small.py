"""nlpbook-small의 모델 카드를 학습과 측정의 기록에서 만듭니다. `tools/make_small.py pack`이 부릅니다.

글은 `tools/nlpbook-small.md`에, 수치는 작업폴더의 `curve.jsonl`, `cooldown.jsonl`, `measured.jsonl`에 있습니다. 손으로 적는 수치는 없습니다.
"""

import json
from pathlib import Path
from statistics import mean
from string import Template

from adapt_small import STAGES

from nlpbook_nbs.core.baselines import RESULTS, recorded

TEMPLATE = Path(__file__).with_name("nlpbook-small.md")
PARTS = {
    "head": "MLM 머리만(몸통은 얼림)",
    "upper": "위쪽 절반의 층과 머리",
    "body": "전체",
    "sentence": "전체와 풀러",
}
DOMAINS = {"text": "긴 글", "tech": "기술 문서", "law": "법령", "talk": "말", "reviews": "리뷰"}
MEASURES = {  # 재는 것: (이름, [(기록의 이름, 표에 적는 이름, 소수점 아래 자리)])
    "retrieval": ("KorQuAD 지문 찾기, 가르치지 않고", [("r1", "R@1", 3), ("r10", "R@10", 3)]),
    "words": ("통째로 가린 어절 맞히기", [("top1", "top-1", 3), ("top5", "top-5", 3)]),
    "int8": (
        "8비트로 줄이면",
        [("loss", "MLM 손실", 4), ("r1", "R@1", 3), ("cosine", "지문 벡터의 코사인", 4)],
    ),
}
RECORDED = (
    "sample-nsmc",
    "nsmc",
    "sample-klue-nli",
    "sample-kornli",
    "korsts",
    "ner",
    "qa",
)  # 미세 조정한 표
CONDITIONS = {"epochs": "에폭", "batch_size": "배치", "learning_rate": "학습률", "freeze_layers": "얼린 층"}
CHEAP = {
    "bm25": "글자 두 개씩의 BM25",
    "most_frequent": "가장 흔한 답만",
}


def read_rows(path):
    """JSON 줄의 목록. 파일이 없으면 빈 목록."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.strip()]


def table(head, rows):
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in cells)


def stage_rows(curve, cooldown):
    """단계마다 배운 부분, 스텝, 토큰, 학습률, 빈칸의 비율, CPU 시간(분)."""
    rows, before = [], {"step": 0, "tokens": 0, "cpu_seconds": 0}
    parts = [(name, [row for row in curve if row["stage"] == name]) for name in STAGES]
    parts.append(("식히기", cooldown))
    for name, found in parts:
        if not found:
            continue
        last = {key: max(row[key] for row in found) for key in before}
        spent = {key: last[key] - before[key] for key in before}
        stage = found[-1]["stage"]
        told = [row["settings"] for row in found if "settings" in row] or [STAGES[stage]]
        rates = ", ".join(f"{part} {rate:g}" for part, rate in told[-1]["rates"].items())
        rows.append(
            [
                name,
                PARTS[stage],
                f"{spent['step']:,}",
                f"{spent['tokens']:,}",
                rates + (" → 0" if found is cooldown else ""),
                f"{told[-1]['mlm_probability']:.0%}",
                f"{spent['cpu_seconds'] / 60:,.0f}분",
            ]
        )
        before = last
    return rows


def held_out_rows(curve, cooldown, most=8):
    """떼어 둔 글의 갈래마다 `손실 / top-1`. 고르게 `most`줄 안팎과 마지막 줄입니다."""
    watched = [row for row in curve if "held_out" in row]
    kept = watched[:: max(1, -(-len(watched) // most))]
    kept += [row for row in watched[-1:] if row not in kept]
    rows = [(f"{row['step']:,}", row["held_out"]) for row in kept]
    rows += [("식힌 뒤", row["held_out"]) for row in cooldown[-1:] if "held_out" in row]
    return [
        [name, *(f"{found[each]['loss']:.3f} / {found[each]['top1']:.3f}" for each in DOMAINS)]
        for name, found in rows
    ]


def condition(row):
    settings = row.get("settings", {})
    told = [f"{name} {settings[key]}" for key, name in CONDITIONS.items() if settings.get(key)]
    return ", ".join(told) or "–"


def measured_rows(measured):
    """재는 것과 모델과 조건마다 한 줄. 시드가 여럿이면 평균과 가장 낮은 것, 높은 것입니다."""
    groups = {}
    for row in measured:
        metrics = MEASURES.get(row["what"], ("", ()))[1]
        if "model" in row and any(key in row for key, _, _ in metrics):
            groups.setdefault((row["what"], row["model"], condition(row)), {})[row.get("seed")] = row
    rows = []
    for what in MEASURES:
        for (kind, model, told), found in groups.items():
            if kind == what:
                scores = [
                    f"{name} {spread(found.values(), key, digits)}" for key, name, digits in MEASURES[what][1]
                ]
                scores = [each for each in scores if not each.endswith("–")]
                rows.append([MEASURES[what][0], CHEAP.get(model, f"`{model}`"), told, ", ".join(scores)])
    return rows


def recorded_rows():
    """패키지에 적어 둔 표마다 가장 나은 값싼 방법과 모델들."""
    for table in (recorded(name) for name in RECORDED if (RESULTS / f"{name}.json").exists()):
        title, what, digits = (table.record[key] for key in ("title", "what", "digits"))
        size = table.record["sizes"]["train"]
        cheap = [row for row in table.record["rows"] if row["cheap"] and row["train"] == size]
        models = [row for row in table.record["rows"] if not row["cheap"]]
        best = max(cheap, key=lambda row: mean(row["scores"][what]))
        for row in [best, *models]:
            scores = [f"{name} {around(found, digits)}" for name, found in row["scores"].items()]
            yield [title, row["method"], condition(row), ", ".join(scores)]


def spread(rows, key, digits):
    return around([row[key] for row in rows if key in row], digits)


def around(scores, digits):
    """`"0.812 (0.806–0.818)"`처럼 적은 점수. 없으면 `–`."""
    if not scores:
        return "–"
    ends = f" ({min(scores):.{digits}f}–{max(scores):.{digits}f})" if len(scores) > 1 else ""
    return f"{mean(scores):.{digits}f}{ends}"


def write_card(target, work, weights, size):
    """`target`의 `config.json`과 `work`의 기록으로 카드를 채워 `target/README.md`에 씁니다."""
    curve, cooldown = (read_rows(work / f"{name}.jsonl") for name in ("curve", "cooldown"))
    measured = read_rows(work / "measured.jsonl")
    last = (cooldown or curve or [{"step": 0, "tokens": 0, "cpu_seconds": 0}])[-1]
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    facts = {
        **{name: f"{config[name]:,}" for name in config if isinstance(config[name], int)},
        "weights": f"{weights:,}",
        "megabytes": f"{size / 1e6:.1f}",
        "steps": f"{last['step']:,}",
        "tokens": f"{last['tokens']:,}",
        "cpu_hours": f"{last['cpu_seconds'] / 3600:.1f}",
        "stages": table(
            ["단계", "배운 부분", "스텝", "읽은 토큰", "학습률", "빈칸", "CPU 시간"],
            stage_rows(curve, cooldown),
        ),
        "held_out": table(["스텝", *DOMAINS.values()], held_out_rows(curve, cooldown)),
        "measured": table(
            ["재는 것", "모델이나 방법", "조건", "점수"], [*measured_rows(measured), *recorded_rows()]
        ),
    }
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(facts)
    (target / "README.md").write_text(text, encoding="utf-8")
