"""저장소에서 하는 일들. `python make.py learn`은 `make learn`과 같습니다. make가 없는 컴퓨터(윈도우)에서도 됩니다.

Makefile은 이 파일을 부르기만 합니다. 가상 환경을 만들기 전에 도는 파일이라 표준 라이브러리만 씁니다.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / (os.environ.get("VENV") or ".venv")
INSTALLED = VENV / ".installed"  # 설치를 마친 때를 적어 두는 빈 파일
INSTALLED_FROM = ("settings.ini", "setup.py", "pyproject.toml", "constraints.txt")
LINTED = ("nbs", "tests", "tools", "bench", "setup.py", "make.py")
QUICK = {"NLPBOOK_PROFILE": "quick", "HF_HUB_OFFLINE": "1"}
UTF8 = {"PYTHONUTF8": "1"}  # 윈도우의 파이썬은 시키지 않으면 파일과 출력을 CP949로 읽고 씁니다.


def in_venv(tool, windows=os.name == "nt"):
    """가상 환경에 든 명령의 경로."""
    return VENV / "Scripts" / f"{tool}.exe" if windows else VENV / "bin" / tool


def call(*command, **environment):
    """명령을 저장소 폴더에서 실행합니다. 실패하면 그 종료 코드로 끝납니다."""
    words = [str(word) for word in command]
    print(">", *words, flush=True)
    process = subprocess.Popen(words, cwd=ROOT, env={**os.environ, **UTF8, **environment})
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:  # Ctrl+C는 그 명령도 받습니다. 스스로 정리하고 끝날 때까지 기다립니다.
            continue
    if process.returncode:
        sys.exit(process.returncode)


def run(tool, *words, **environment):
    """가상 환경의 명령을 실행합니다. 가상 환경이 없거나 낡았으면 먼저 설치합니다."""
    install()
    call(in_venv(tool), *words, **environment)


def pip(*words):
    call(in_venv("python"), "-m", "pip", "install", "--quiet", *words)


def install():
    """가상 환경을 만들고, 함께 시험한 버전으로 설치합니다."""
    times = [(ROOT / name).stat().st_mtime for name in INSTALLED_FROM]
    if INSTALLED.exists() and INSTALLED.stat().st_mtime >= max(times):
        return
    call(sys.executable, "-m", "venv", VENV)
    pip("--upgrade", "pip")
    pip("--constraint", "constraints.txt", "setuptools", "wheel")
    pip("--constraint", "constraints.txt", "--no-build-isolation", "--editable", ".[dev,lora,notebook,onnx]")
    INSTALLED.touch()


def learn():
    """처음 한 번: 설치하고, 작은 모델을 학습해 써 봅니다"""
    run("nlpbook", "learn")


def notebook():
    """모든 장을 주피터랩으로 엽니다"""
    run("nlpbook", "notebook")


def test():
    """lint를 하고, 노트북과 tests/를 모두 실행합니다 (장은 tests/test_chapters.py가 휠에서 한 번 실행합니다)"""
    lint()
    calm = {**QUICK, "OMP_NUM_THREADS": "1"}  # 둘이 나란히 도니 저마다 코어 하나만 씁니다.
    for where in (("nbs", "--file_re", "^[a-z].*"), ("nbs/checks",)):
        run("nbdev_test", "--path", *where, "--n_workers", "2", **calm)
    split = ("--numprocesses", "2", "--dist", "loadgroup", "--no-loadscope-reorder")
    run("python", "-m", "pytest", *split, **calm)


def lint():
    """ruff로 글의 꼴과 흔한 실수를, mypy로 형(type)을 봅니다"""
    run("ruff", "check", *LINTED)
    run("ruff", "format", "--check", *LINTED)
    run("python", "tools/format_chapters.py", "--check")
    run("mypy")


def colab():
    """코랩 흉내에서 모든 장을 두 번 실행합니다: 인터넷을 막고, 막지 않고"""
    run("python", "-m", "pytest", "tests/test_chapters.py", NLPBOOK_TEST_COLAB="1")


def bench():
    """다른 방법들과 나란히 잽니다 (환경 변수 ONLY=묶음으로 일부만, 30분 남짓)"""
    install()
    pip("--constraint", "constraints.txt", "--no-build-isolation", "--editable", ".[bench]")
    run("python", "bench/bench.py")


def soak():
    """결함 시험을 오래 합니다: 죽이고, 채우고, 뒤집고, 아무 바이트나 먹입니다 (30분 남짓)"""
    run("python", "-m", "pytest", "tests/faults", NLPBOOK_SOAK="1")


def docs():
    """사이트와 전자책을 _docs/에 만듭니다 (Quarto가 있어야 합니다)"""
    quarto = shutil.which("quarto")
    if quarto is None:
        sys.exit(
            "Quarto가 없습니다. https://quarto.org/docs/get-started 에서 받아 설치한 뒤 다시 실행하세요."
        )
    run("python", "tools/check_site.py")
    run("python", "tools/live.py", **QUICK)
    call(quarto, "render")
    book()
    run("python", "tools/weigh_pages.py", "_docs", "--if-possible")


def book():
    """모든 장을 전자책 한 권(_docs/nlpbook.epub)으로 묶습니다 (pandoc이나 Quarto가 있어야 합니다)"""
    run("python", "tools/epub.py")


def export():
    """고친 노트북에서 패키지, 장의 표, 사이드바, API 페이지를 만들고 주소를 맞춥니다"""
    run("nbdev_export")
    run("nbdev_clean")
    for tool in ("stub", "links", "contents", "api", "pictures", "results"):
        run("python", f"tools/{tool}.py")


def constraints():
    """settings.ini의 의존성을 오늘의 최신 버전으로 다시 풀어 constraints.txt에 적습니다. 그다음 test로 확인하세요"""
    run("python", "tools/constraints.py")


def clean():
    """가상 환경과 만든 것들을 지웁니다"""
    made = [ROOT / "build", ROOT / "dist", ROOT / ".pytest_cache", *ROOT.glob("*.egg-info")]
    if (VENV / "pyvenv.cfg").is_file():  # VENV에 다른 폴더를 적었어도 가상 환경이 아니면 지우지 않습니다.
        made.append(VENV)
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


TASKS = {
    task.__name__: task
    for task in (learn, notebook, test, lint, colab, bench, soak, docs, book, export, constraints, clean)
}


def main(names):
    minimum = re.search(
        r"^min_python = (\d+)\.(\d+)", (ROOT / "settings.ini").read_text(encoding="utf-8"), re.MULTILINE
    )
    if sys.version_info < tuple(map(int, minimum.groups())):
        sys.exit(
            f"Python {'.'.join(minimum.groups())} 이상이 필요한데 지금은 {sys.version.split()[0]}입니다. https://www.python.org/downloads 에서 받으세요."
        )
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")
    if not names or set(names) - set(TASKS):
        print("python make.py <할 일>")
        for name, task in TASKS.items():
            print(f"  {name:12}{task.__doc__}")
        sys.exit(2 if names else 0)
    for name in names:
        TASKS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
