"""여러 프로세스가 한 캐시를 함께 만듭니다. test_shared.py가 따로 실행합니다."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from forked import HANGING, in_child, wait

from nlpbook_nbs.core.columns import cached_columns


def use(folder):
    def build():
        with open(folder / "log", "a") as log:
            log.write(f"{os.getpid()}\n")
        time.sleep(0.3)
        return {"x": np.arange(1000)}

    assert cached_columns(folder / "cache", build)["x"].sum() == 499500


def main():
    root, processes, runs, kill = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "kill"
    for number in range(runs):
        folder = root / str(number)
        folder.mkdir()
        running = [in_child(use, folder) for _ in range(processes)]
        if kill:
            while not (folder / "log").exists() or not (folder / "log").read_text().strip():
                time.sleep(0.001)
            victim = int((folder / "log").read_text().split()[0])  # 지금 만들고 있는 프로세스
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            running.remove(victim)
        assert [wait(pid, HANGING) for pid in running] == [0] * len(running)
        assert len((folder / "log").read_text().split()) == 1 + kill
        assert sorted(path.name for path in folder.iterdir()) == ["cache", "cache.lock", "log"]
    print("ok")


if __name__ == "__main__":
    main()
