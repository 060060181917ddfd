"""무거운 라이브러리를 한 번만 불러온 다음 자식 프로세스를 갈라(fork) 일을 시키고, 아무 때나 죽이는 도구."""

import os
import signal
import sys
import time
import traceback

HANGING = 1200  # 초. 이보다 오래 걸리면 느린 것이 아니라 멈춘 것입니다.


def in_child(action, *values):
    """`action(*values)`를 자식 프로세스에서 합니다. 부모는 텐서를 만지지 않습니다(계산 스레드가 있으면 가른 자식이 멈춥니다)."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        action(*values)
        code = 0
    except BaseException:  # noqa: BLE001 (무엇이 나든 부모의 코드로 돌아가면 안 됩니다)
        traceback.print_exc()
    finally:
        os._exit(code)


def wait(pid, seconds):
    """`seconds`초를 기다려도 끝나지 않으면 죽입니다. 스스로 끝났으면 종료 코드, 죽였으면 `None`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None
