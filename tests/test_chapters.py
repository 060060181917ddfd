"""배우는 사람이 받는 것은 저장소가 아니라 휠입니다. 코랩을 흉내 낸 빈 환경에 휠만 설치하고, 모든 장을 위에서 아래로 돌리고 풀이까지 채점합니다.

작업 폴더는 `/content`이고 `google.colab`은 흉내입니다. 모든 장은 인터넷을 막고 돌립니다. 막지 않고도 돌리려면 `make colab`을 쓰세요. 시간이 두 배 걸립니다.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import warnings
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent

NO_NETWORK = """
import socket
connect = socket.socket.connect
def refuse(self, address):
    if self.family != getattr(socket, "AF_UNIX", None) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError("network is refused in this test: %r" % (address,))
    return connect(self, address)
socket.socket.connect = refuse
"""

RUN = """
import sys, nbformat, nlpbook_nbs
from nbclient import NotebookClient
assert nlpbook_nbs.__file__.startswith(sys.prefix), nlpbook_nbs.__file__
book = nbformat.read(sys.argv[1], 4)
NotebookClient(book, timeout=3000, kernel_name="python3").execute()
for cell in book.cells:
    for output in cell.get("outputs", []):
        print(output.get("text", ""))
"""
QUICK_BUDGET = 180  # CPU초. 조용한 코어 둘에서 90초입니다.
CHAPTERS = sorted(path.name for path in (ROOT / "nbs").glob("[0-9][0-9]_*.ipynb"))


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
        "models/nlpbook-small/model.int8.safetensors",
        "models/nlpbook-small/NOTICE",
        "fonts/NanumSquareR.ttf",
        "fonts/OFL.txt",
        "notebooks/01_pipeline.ipynb",
        "notebooks/core/files.ipynb",
        "notebooks/checks/01_pipeline.ipynb",
        "checks/pipeline.py",
        "py.typed",
        "__init__.pyi",
    ):
        assert f"nlpbook_nbs/{name}" in names, name
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert wheel.stat().st_size < 80_000_000


COLAB_DRIVE = """
from pathlib import Path
def mount(mountpoint, **options):
    assert mountpoint == "/content/drive", mountpoint
    Path(mountpoint, "MyDrive").mkdir(parents=True, exist_ok=True)
"""


def new_environment(folder):
    """의존 라이브러리를 지금 환경에서 빌려 쓰는 새 환경의 파이썬과 site-packages. 우리 패키지만 없습니다."""
    venv.create(folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    )
    borrowed = folder / "borrowed"
    borrowed.mkdir()
    try:
        for path in Path(sysconfig.get_path("purelib")).iterdir():
            if "nlpbook_nbs" not in path.name and path.suffix != ".pth":
                (borrowed / path.name).symlink_to(path)
    except OSError as error:  # 윈도우에서는 관리자만 만들 수 있습니다.
        pytest.skip(f"심볼릭 링크를 만들 수 없습니다({error})")
    (site / "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")
    colab = site / "google" / "colab"
    colab.mkdir(parents=True)
    (colab / "__init__.py").touch()
    (colab / "drive.py").write_text(COLAB_DRIVE)
    return python, site


@pytest.fixture(scope="module")
def learner(wheel, tmp_path_factory):
    """휠만 설치한 코랩 흉내의 파이썬. `network="allowed"`가 아니면 바깥 주소에 접속하지 못합니다."""
    python, site = new_environment(tmp_path_factory.mktemp("learner"))
    zipfile.ZipFile(wheel).extractall(site)
    (site / "sitecustomize.py").write_text(
        f"import os\nif 'NETWORK_REFUSED' in os.environ:\n    exec({NO_NETWORK!r})\n"
    )
    hidden = {"PYTHONPATH", "NLPBOOK_PROFILE", "HF_HUB_OFFLINE", "VIRTUAL_ENV", "NLPBOOK_HOME"}

    def run(code, *words, cwd, network="refused"):
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment |= {"COLAB_RELEASE_TAG": "imitation", "XDG_DATA_HOME": str(cwd)}
        environment |= {"NLPBOOK_HOME": str(cwd / "nlpbook")} if os.name == "nt" else {}
        environment |= {"NETWORK_REFUSED": "1"} if network == "refused" else {}
        return subprocess.run(
            [python, "-c", code, *words],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run, site / "nlpbook_nbs" / "notebooks"


@pytest.fixture
def content(tmp_path):
    """코랩의 작업 폴더 `/content`. 만들 수 없으면 임시 폴더로 대신합니다."""
    path = Path("/content")
    try:
        if os.name == "nt":
            raise OSError("윈도우에는 드라이브마다 /content가 있습니다")
        path.mkdir()
    except OSError:
        yield tmp_path
    else:
        yield path
        shutil.rmtree(path)


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


def cpu_seconds():
    """끝난 자식 프로세스들이 쓴 CPU 시간 (초). 다른 일로 바쁜 컴퓨터에서도 늘어나지 않습니다."""
    times = os.times()
    return times.children_user + times.children_system


def check_chapter(learner, content, name, network):
    run, chapters = learner
    book, exercises = with_solutions(chapters / name)
    nbformat.write(book, content / name)
    before = cpu_seconds()
    done = run(RUN, name, cwd=content, network=network)
    assert done.returncode == 0, done.stderr[-3000:]
    used = cpu_seconds() - before
    if (
        network != "allowed" and used > QUICK_BUDGET
    ):  # 같은 일도 컴퓨터마다 걸리는 시간이 다르므로 알리기만 합니다.
        warnings.warn(f"{name}: CPU {used:.0f}초를 써서 예산 {QUICK_BUDGET}초를 넘습니다.", stacklevel=1)
    assert used < 10 * QUICK_BUDGET
    assert done.stdout.count("아직 답이 없습니다") == done.stdout.count("맞았습니다") == exercises
    progress = json.loads((content / "nlpbook" / "progress.json").read_text())
    assert progress == {str(int(name[:2])): list(range(1, exercises + 1))}


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_runs_on_imitated_colab_without_network_and_its_solutions_are_right(learner, content, name):
    check_chapter(learner, content, name, "refused")


@pytest.mark.skipif(
    "NLPBOOK_TEST_COLAB" not in os.environ, reason="인터넷을 막지 않은 코랩 흉내는 make colab으로 합니다"
)
@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_runs_on_imitated_colab_with_network(learner, content, name):
    check_chapter(learner, content, name, "allowed")


def test_models_and_progress_go_to_drive_where_it_is_chosen(learner, content):
    if content != Path("/content"):
        pytest.skip("/content를 만들 수 없는 컴퓨터입니다")
    run, chapters = learner
    book = nbformat.read(chapters / CHAPTERS[0], 4)
    install = next(cell for cell in book.cells if "save_to_drive = False" in cell.source)
    install.source = install.source.replace("save_to_drive = False", "save_to_drive = True")
    settings = next(cell for cell in book.cells if "get_profile()" in cell.source)
    book.cells = [
        install,
        settings,
        nbformat.v4.new_code_cell(
            "from pathlib import Path\nPath(args.downstream_model_dir).mkdir(parents=True)\n"
            "nlpbook.check(1, 1, 1.0986)"
        ),
    ]
    nbformat.write(book, content / "drive.ipynb")
    done = run(RUN, "drive.ipynb", cwd=content)
    assert done.returncode == 0 and "맞았습니다." in done.stdout, done.stderr[-3000:]
    drive = content / "drive" / "MyDrive"
    assert (drive / "nlpbook-models" / "chapter1").is_dir()
    assert json.loads((drive / "nlpbook" / "progress.json").read_text()) == {"1": [1]}


def test_first_cell_installs_the_package_where_it_is_missing_and_leaves_torch_alone(wheel, tmp_path):
    python, site = new_environment(tmp_path / "colab")
    book = nbformat.read(ROOT / "nbs" / CHAPTERS[0], 4)
    cell = next(cell for cell in book.cells if "%pip install" in cell.source)
    source, count = re.subn(r"(%pip install -q )\S+", rf"\g<1>--no-index {wheel}", cell.source)
    assert count == 1
    where = "import torch, nlpbook_nbs; print(torch.__file__, torch.__version__, nlpbook_nbs.__file__)"
    book.cells = [nbformat.v4.new_code_cell(text) for text in (source, where)]
    nbformat.write(book, tmp_path / "first.ipynb")
    code = RUN.replace(", nlpbook_nbs\n", "\n").replace(
        "assert nlpbook_nbs.__file__.startswith(sys.prefix), nlpbook_nbs.__file__\n", ""
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code, "first.ipynb"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    torch_file, _, package = done.stdout.split()[-3:]
    assert torch_file.startswith(str(tmp_path / "colab" / "borrowed")) and package.startswith(str(site))
    assert not list(site.glob("torch*"))


def test_first_cell_is_the_same_in_every_chapter():
    cells = {
        next(cell.source for cell in nbformat.read(ROOT / "nbs" / name, 4).cells if "%pip" in cell.source)
        for name in CHAPTERS
    }
    assert len(cells) == 1


def test_command_comes_up_from_the_wheel_alone(learner, tmp_path):
    done = learner[0]("from nlpbook_nbs.cli import main; main()", "--help", cwd=tmp_path)
    assert done.returncode == 0 and "nlpbook" in done.stdout
