"""장의 코드를 ruff로 다듬습니다: 보여 주는 셀은 88칸, 패키지에 들어가는 셀(`#| export`)은 방처럼 110칸. `--check`면 보기만 합니다.

88칸을 넘는 줄은 사이트에서 옆으로 밀어야 보입니다. 패키지에 들어가는 코드는 사이트에 접혀 있습니다. ruff의 너비는 파일마다 하나라서
노트북 전체를 두 너비로 다듬은 뒤 셀마다 맞는 쪽을 고릅니다. 그래서 pyproject.toml에서 `ruff format`은 장을 건너뜁니다.
"""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN, EXPORTED = 88, 110


def formatted(text, width):
    """노트북의 글을 `width`칸으로 다듬은 글."""
    options = ["--config", str(ROOT / "pyproject.toml"), "--line-length", str(width)]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", *options, "--stdin-filename", "chapter.ipynb", "-"],
        input=text.encode("utf-8"),
        stdout=subprocess.PIPE,
        check=True,
    )
    return done.stdout.decode("utf-8")


def tidy(text):
    """장의 노트북의 글을 셀마다 제 너비로 다듬은 글."""
    chapter, wide = (json.loads(formatted(text, width)) for width in (SHOWN, EXPORTED))
    chapter["cells"] = [
        other if "#| export" in "".join(cell["source"]) else cell
        for cell, other in zip(chapter["cells"], wide["cells"])
    ]
    return json.dumps(chapter, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def main():
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "nbs").glob("[0-9]*.ipynb")}
    changed = {path: new for path, text in sorted(texts.items()) if (new := tidy(text)) != text}
    if "--check" in sys.argv and changed:
        names = ", ".join(path.name for path in changed)
        sys.exit(f"{names}의 코드를 다듬지 않았습니다. python tools/format_chapters.py를 실행하세요.")
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
