"""재어 둔 결과(`nlpbook_nbs/data/results`)의 표를 문서의 표시 사이에 적습니다. `--check`는 고치지 않고 다르면 1로 끝납니다.

`<!-- 표: nsmc -->`와 `<!-- 표 끝 -->` 사이가 `nsmc.json`의 것입니다. `serving-`으로 시작하는 표는 `nlpbook_nbs/data/serving`에, `attack`은 `nlpbook_nbs/data/attack`에 있습니다. 아직 재지 않은 표는 있던 글을 그대로 둡니다.
"""

import re
import sys
from pathlib import Path

from nlpbook_nbs.core.baselines import RESULTS, recorded
from nlpbook_nbs.core.canaries import summarize
from nlpbook_nbs.core.exposure import canary_table, loss_gains
from nlpbook_nbs.core.files import read_json
from nlpbook_nbs.core.service_tables import RECORDS, recorded_service

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("pages/results.qmd", "nlpbook_nbs/models/README.md")
PART = re.compile(r"(?s)(<!-- 표: ([\w-]+) -->\n).*?(<!-- 표 끝 -->)")


SERVING = "serving-"
ATTACK = RESULTS.parent / "attack" / "results.json"


def markdown(heads, rows):
    """마크다운의 표."""
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def attack():
    """11장의 큰 실험의 표 둘."""
    record = read_json(ATTACK)

    def interval(line):
        low, high = line["exposure_interval"]
        return f"{line['exposure']:.2f} [{low:.2f}, {high:.2f}]"

    lines = summarize(record["runs"]["planted"]["canaries"])
    repeats = markdown(
        ["되풀이한 횟수", "비밀", "노출도"],
        [[str(line["repeats"] or "심지 않음"), str(line["count"]), interval(line)] for line in lines],
    )
    gains = loss_gains(record["runs"])
    rows = [line for line in canary_table(record) if line["run"] in gains]
    defences = markdown(
        ["방어", "시드", "심은 비밀 전체의 노출도", "회원 추론 AUC", "떼어 둔 글의 손실이 내려간 폭"],
        [
            [
                line["title"],
                ", ".join(map(str, record["runs"][line["run"]]["seeds"])),
                interval(line),
                f"{line['auc']:.3f}",
                f"{sum(gains[line['run']]) / len(gains[line['run']]):+.3f}",
            ]
            for line in rows
        ],
    )
    source = f"{record['date']} · torch {record['torch']} · {record['machine']} · {record['model']}"
    return f"{repeats}\n\n{defences}\n\n{source}.\n"


def written(name):
    """표 하나를 마크다운으로."""
    if name == "attack":
        return attack()
    serving = name.startswith(SERVING)
    found = recorded_service(name.removeprefix(SERVING)) if serving else recorded(name)
    heads, rows = found.table()
    table = markdown(heads, rows)
    if serving:
        return "\n\n".join(filter(None, [table, f"{found.source}.", found.verdict])) + "\n"
    commands = "\n".join(found.record["commands"])
    return f"{table}\n\n{found.source}.\n\n{found.verdict}\n\n```bash\n{commands}\n```\n"


def filled(text):
    """표시 사이를 채운 글."""

    def fill(part):
        start, name, end = part.groups()
        folder = RECORDS if name.startswith(SERVING) else RESULTS
        is_measured = name == "attack" or (folder / f"{name.removeprefix(SERVING)}.json").is_file()
        return f"{start}\n{written(name)}\n{end}" if is_measured else part[0]

    return PART.sub(fill, text)


def main():
    wrong = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        if filled(text) != text:
            wrong.append(page)
            if "--check" not in sys.argv:
                (ROOT / page).write_text(filled(text), encoding="utf-8")
    for page in wrong:
        print(
            f"{page}: 재어 둔 결과와 다릅니다. make export를 실행하세요." if "--check" in sys.argv else page
        )
    return int(bool(wrong) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
