"""코랩 배지, 설치 주소, 사이트와 저장소의 주소를 settings.ini에 맞춥니다. `--check`는 고치지 않고 다르면 1로 끝납니다."""

import re
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def read_settings():
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def corrected(path, text, cfg):
    """`path` 파일의 글 `text`에서 우리 저장소를 가리키는 주소를 바로잡은 글. 남의 저장소 주소는 건드리지 않습니다."""
    ours = f"(?:{re.escape(cfg['repo'])}|{re.escape(cfg['lib_name'])})"
    name, branch = f"{cfg['user']}/{cfg['repo']}", cfg["branch"]
    badge = r"https://colab\.research\.google\.com/github/[\w.-]+/[\w.-]+/blob/[\w.-]+"
    if path.suffix == ".ipynb":
        where = path.relative_to(ROOT).as_posix()
        text = re.sub(
            badge + r"/[^\s)\"]+",
            f"https://colab.research.google.com/github/{name}/blob/{branch}/{where}",
            text,
        )
    text = re.sub(badge, f"https://colab.research.google.com/github/{name}/blob/{branch}", text)
    text = re.sub(rf"https://github\.com/[\w.-]+/{ours}(?![\w-])", f"https://github.com/{name}", text)
    text = re.sub(rf"(git\+https://github\.com/{re.escape(name)})@[\w.-]+", rf"\1@{branch}", text)
    text = re.sub(
        rf"https://[\w-]+\.github\.io/{ours}(?![\w-])", f"https://{cfg['user']}.github.io/{cfg['repo']}", text
    )
    return re.sub(r"(?m)^(  repo-branch: ).*$", rf"\g<1>{branch}", text)


def main():
    cfg, wrong = read_settings(), []
    for path in [
        ROOT / "README.md",
        ROOT / "_quarto.yml",
        ROOT / "index.qmd",
        *sorted((ROOT / "nbs").rglob("*.ipynb")),
    ]:
        text = path.read_text(encoding="utf-8")
        right = corrected(path, text, cfg)
        if right != text:
            wrong.append(path)
            if "--check" not in sys.argv:
                path.write_text(right, encoding="utf-8")
    for path in wrong:
        print(path.relative_to(ROOT))
    return int(bool(wrong) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
