"""배운 사람이 받는 것은 저장소가 아니라 휠입니다. 휠만 설치한 빈 환경에서, 인터넷 없이, 노트북만 든 폴더에서 1장과 2장을 돌립니다."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

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
for name in sys.argv[1:]:
    NotebookClient(nbformat.read(name, 4), timeout=300, kernel_name="python3").execute()
    print(name, "ok")
"""


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


def test_chapters_run_from_the_wheel_alone_without_network(wheel, tmp_path):
    """의존 라이브러리는 지금 환경의 것을 빌려 씁니다. 저장소의 편집 설치는 .pth로 이어진 폴더에서는 보이지 않습니다."""
    env_dir = tmp_path / "env"
    venv.create(env_dir, with_pip=False)
    python = env_dir / "bin" / "python"
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
    books = tmp_path / "books"
    books.mkdir()
    for path in (site / "nlpbook_nbs" / "notebooks" / "chapters").glob("[12]_*.ipynb"):
        (books / path.name).write_bytes(path.read_bytes())
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONPATH", "NLPBOOK_PROFILE", "HF_HUB_OFFLINE", "VIRTUAL_ENV"}
    }
    names = sorted(path.name for path in books.iterdir())
    done = subprocess.run(
        [python, "-c", RUN, *names], cwd=books, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == [word for name in names for word in (name, "ok")]
    help_text = subprocess.run(
        [python, "-c", "from nlpbook_nbs.cli import main; main()", "--help"],
        cwd=books,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "nlpbook" in help_text
