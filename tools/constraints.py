"""settings.ini의 의존성을 최신 버전으로 풀어 constraints.txt를 새로 씁니다. `pip install uv`가 필요합니다."""

import datetime
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GROUPS = (
    "requirements",
    "dev_requirements",
    "notebook_requirements",
    "site_requirements",
    "bench_requirements",
    "lora_requirements",
    "onnx_requirements",
    "search_requirements",
)
PLATFORM_PARTS = ("nvidia-", "cuda-", "triton")  # torch가 스스로 고르는 GPU 부품이라 적어 두지 않습니다.
PINS = (
    "torch==2.13.0",
    "dataclasses==0.6",  # Korpora가 요구합니다. 0.8은 Python 3.7 미만에서만 설치되는데 uv는 파이썬 상한을 보지 않습니다.
)


def main():
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    wanted = [name for group in GROUPS for name in parser["DEFAULT"][group].split()] + list(PINS)
    command = [
        "uv",
        "pip",
        "compile",
        "--universal",
        "--python-version",
        parser["DEFAULT"]["min_python"],
        "--no-header",
        "--no-annotate",
        "--quiet",
        "-",
    ]
    found = subprocess.run(command, input="\n".join(wanted), capture_output=True, text=True, check=False)
    if found.returncode:
        sys.exit(found.stderr)
    lines = [
        line
        for line in found.stdout.splitlines()
        if not line.startswith(PLATFORM_PARTS) and "emscripten'" not in line.replace("!= 'emscripten'", "")
    ]
    head = f"# 함께 시험한 버전의 목록 ({datetime.date.today()}). tools/constraints.py가 씁니다. 손으로 고치지 마세요.\n"
    (ROOT / "constraints.txt").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
