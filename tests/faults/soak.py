"""결함 시험의 분량. `make test`에서는 짧게, `NLPBOOK_SOAK`를 켜는 `make soak`에서는 오래 하고 한 일을 RESULTS.md에 적습니다."""

import datetime
import os
import platform
import time
from collections import Counter
from pathlib import Path

SOAK = "NLPBOOK_SOAK" in os.environ
TALLY = Counter()
BEGAN = time.monotonic()
RESULTS = Path(__file__).with_name("RESULTS.md")


def rounds(short, long):
    """몇 번 되풀이할지."""
    return long if SOAK else short


def count(what, number=1):
    """`what`을 `number`번 했다고 적어 둡니다. 시험이 끝나면 표로 나옵니다."""
    TALLY[what] += number


def markdown(passed, failed):
    """시험이 몇 개 통과했는지와 무엇을 몇 번 했는지의 표."""
    minutes = (time.monotonic() - BEGAN) / 60
    outcome = (
        f"시험 {passed}개를 모두 통과했습니다"
        if not failed
        else f"시험 {passed}개를 통과하고 {failed}개에서 실패했습니다"
    )
    rows = "".join(f"| {what} | {number:,} |\n" for what, number in sorted(TALLY.items()))
    return (
        f"`make soak`, {datetime.date.today().isoformat()}, {minutes:.0f}분. 코어 {os.cpu_count()}개, "
        f"Python {platform.python_version()}. {outcome}.\n\n| 한 일 | 횟수 |\n|------|---|\n{rows}"
    )
