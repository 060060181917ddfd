"""노트북의 코랩 배지와 설치 주소를 settings.ini에 맞춥니다. `--check`는 고치지 않고 다르면 1로 끝납니다."""
import re
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def expected(path, text):
    """`path` 노트북의 원문 `text`에서 배지와 설치 주소를 바로잡은 글."""
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    cfg = parser["DEFAULT"]
    where = path.relative_to(ROOT).as_posix()
    badge = f"https://colab.research.google.com/github/{cfg['user']}/{cfg['repo']}/blob/{cfg['branch']}/{where}"
    text = re.sub(r"https://colab\.research\.google\.com/github/[^\s)\"]+", badge, text)
    return re.sub(r"git\+https://github\.com/[^\s\"\\]+", f"git+{cfg['git_url']}@{cfg['branch']}", text)


def main():
    wrong = []
    for path in sorted((ROOT / "nbs").rglob("*.ipynb")):
        text = path.read_text(encoding="utf-8")
        right = expected(path, text)
        if right != text:
            wrong.append(path)
            if "--check" not in sys.argv:
                path.write_text(right, encoding="utf-8")
    for path in wrong:
        print(path.relative_to(ROOT))
    return int(bool(wrong) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
