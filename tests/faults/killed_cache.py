"""캐시를 만드는 프로세스를 아무 때나 kill -9로 끊고, 다음 실행이 온전한 캐시를 만드는지 봅니다. test_killed.py가 따로 실행합니다."""

import json
import random
import sys
import time
from pathlib import Path

import numpy as np
from forked import HANGING, in_child, wait

from nlpbook_nbs.core.columns import ColumnWriter, cached_columns, streamed_columns

ROWS = np.arange(200_000)


def at_once():
    time.sleep(0.03)
    return {"ids": ROWS, "label": ROWS % 3}


def bit_by_bit(aside):
    for name, values in (("ids", ROWS), ("label", ROWS % 3)):
        with ColumnWriter(aside / f"{name}.npy", np.int64) as writer:
            for part in np.array_split(values, 50):
                writer.append(part)
                time.sleep(0.0005)


def build(kind, folder):
    found = cached_columns(folder, at_once) if kind == "at_once" else streamed_columns(folder, bit_by_bit)
    assert (found["ids"] == ROWS).all() and (found["label"] == ROWS % 3).all()


def main():
    root, kind, runs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    start = time.monotonic()
    assert wait(in_child(build, kind, root / "whole" / "cache"), HANGING) == 0
    length = time.monotonic() - start
    rng, kills = random.Random(5), 0
    for number in range(runs):
        folder = root / str(number) / "cache"
        for _ in range(rng.randint(1, 3)):
            kills += wait(in_child(build, kind, folder), rng.uniform(0, length)) is None
        assert wait(in_child(build, kind, folder), HANGING) == 0, "끊긴 다음의 실행이 실패했습니다"
        left = sorted(path.name for path in folder.parent.iterdir())
        assert left in (["cache", "cache.lock"], ["cache"]), left
    print(json.dumps({"kills": kills, "runs": runs}))


if __name__ == "__main__":
    main()
