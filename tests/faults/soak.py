"""결함 시험의 분량. `make test`에서는 짧게, `NLPBOOK_SOAK`를 켜는 `make soak`에서는 오래 합니다."""

import os
from collections import Counter

SOAK = "NLPBOOK_SOAK" in os.environ
TALLY = Counter()


def rounds(short, long):
    """몇 번 되풀이할지."""
    return long if SOAK else short


def count(what, number=1):
    """`what`을 `number`번 했다고 적어 둡니다. 시험이 끝나면 표로 나옵니다."""
    TALLY[what] += number
