"""큰 텐서의 메모리를 다시 쓰는 방: 새 쪽을 덜 받고, 나가면 돌려주고, 값은 그대로입니다."""

import sys
import threading

import pytest
import torch

from nlpbook_nbs.core import cpu
from nlpbook_nbs.core.cpu import reused_memory

needs_glibc = pytest.mark.skipif(
    sys.platform != "linux" or cpu._allocator() is None, reason="glibc가 있는 리눅스에서만 하는 일입니다"
)
LARGE = 16 << 20  # float32로 64 MB


def new_pages(times=5):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(LARGE)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


@needs_glibc
def test_large_tensors_use_the_same_pages_again():
    usual = new_pages()
    with reused_memory():
        new_pages(10)  # 정렬하느라 남은 조각들이 자리를 잡을 때까지는 새로 받습니다.
        assert new_pages() < usual / 10


@needs_glibc
def test_memory_is_given_back_when_the_last_one_leaves():
    before = resident()
    with reused_memory():
        with reused_memory():
            tensors = [torch.ones(LARGE) for _ in range(4)]
            del tensors
        assert resident() > before + 3 * 4 * LARGE  # 바깥쪽이 아직 쓰고 있습니다.
    assert resident() < before + 2 * 4 * LARGE


@needs_glibc
def test_overlapping_threads_and_errors_leave_it_as_it_was():
    inside, leave = threading.Event(), threading.Event()

    def stay():
        with reused_memory():
            inside.set()
            leave.wait(60)

    other = threading.Thread(target=stay)
    other.start()
    inside.wait(60)
    with pytest.raises(ValueError, match="중간"), reused_memory():
        raise ValueError("중간에 멈춤")
    assert cpu._inside == [1]
    leave.set()
    other.join()
    assert cpu._inside == [0]


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(cpu, "_allocator", lambda: None)
    with reused_memory():
        assert torch.ones(3).sum() == 3 and cpu._inside == [0]
