"""배우는 사람이 받는 것은 저장소가 아니라 휠입니다. 휠만 설치한 빈 환경에서, 인터넷 없이, 노트북만 든 폴더에서 모든 장을 돌리고 풀이까지 채점합니다."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent

NO_NETWORK = """
import socket
connect = socket.socket.connect
def refuse(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError("network is refused in this test: %r" % (address,))
    return connect(self, address)
socket.socket.connect = refuse
"""

RUN = """
import sys, nbformat, nlpbook_nbs
from nbclient import NotebookClient
assert nlpbook_nbs.__file__.startswith(sys.prefix), nlpbook_nbs.__file__
book = nbformat.read(sys.argv[1], 4)
NotebookClient(book, timeout=300, kernel_name="python3").execute()
for cell in book.cells:
    for output in cell.get("outputs", []):
        print(output.get("text", ""))
"""
CHAPTERS = sorted(path.name for path in (ROOT / "nbs" / "chapters").glob("*.ipynb"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["git", "clone", "-q", ROOT, source], check=True)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_data_the_model_the_font_and_the_chapters(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "data/nsmc/ratings_train.txt",
        "models/nlpbook-mini/config.json",
        "fonts/NanumSquareR.ttf",
        "fonts/OFL.txt",
        "notebooks/chapters/1_pipeline.ipynb",
    ):
        assert f"nlpbook_nbs/{name}" in names, name
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 20_000_000


@pytest.fixture(scope="module")
def learner(wheel, tmp_path_factory):
    """휠만 설치한 환경의 파이썬. 의존 라이브러리는 지금 환경의 것을 빌려 씁니다.

    저장소의 편집 설치는 .pth로 이어진 폴더에서는 보이지 않습니다.
    """
    folder = tmp_path_factory.mktemp("learner")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    zipfile.ZipFile(wheel).extractall(site)
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "sitecustomize.py").write_text(NO_NETWORK)
    hidden = {"PYTHONPATH", "NLPBOOK_PROFILE", "HF_HUB_OFFLINE", "VIRTUAL_ENV"}

    def run(code, *words, cwd):
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        return subprocess.run(
            [python, "-c", code, *words],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run, site / "nlpbook_nbs" / "notebooks" / "chapters"


def with_solutions(path):
    """빈칸과 채점 셀 다음마다 풀이와 채점을 한 번 더 끼워 넣은 장과, 연습문제의 수."""
    book = nbformat.read(path, 4)
    solutions = [
        re.search(r"```text\n(.*?)```", cell.source, re.DOTALL)[1]
        for cell in book.cells
        if cell.cell_type == "markdown" and "풀이 보기" in cell.source
    ]
    blanks = [
        place
        for place, cell in enumerate(book.cells)
        if cell.cell_type == "code" and "답을 " in cell.source and "여기에" in cell.source
    ]
    assert len(solutions) == len(blanks) >= 3
    for place, solution in reversed(list(zip(blanks, solutions))):
        check = book.cells[place + 1].source.strip().splitlines()[-1]
        book.cells.insert(place + 2, nbformat.v4.new_code_cell(f"{solution}\n{check}"))
    return book, len(blanks)


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_runs_from_the_wheel_alone_without_network_and_its_solutions_are_right(
    learner, tmp_path, name
):
    run, chapters = learner
    book, exercises = with_solutions(chapters / name)
    nbformat.write(book, tmp_path / name)
    done = run(RUN, name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("아직 답이 없습니다") == done.stdout.count("맞았습니다") == exercises


def test_command_comes_up_from_the_wheel_alone(learner, tmp_path):
    done = learner[0]("from nlpbook_nbs.cli import main; main()", "--help", cwd=tmp_path)
    assert done.returncode == 0 and "nlpbook" in done.stdout
