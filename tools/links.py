"""코랩 배지, 설치 명령, 사이트와 저장소의 주소를 settings.ini에 맞춥니다. `--check`는 고치지 않고 다르면 1로 끝납니다."""

import re
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def read_settings():
    parser = ConfigParser(delimiters=["="])
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["DEFAULT"]


def documents():
    """주소가 적힌 파일들."""
    for pattern in ("*.md", "*.qmd", "_quarto.yml", "pages/*.qmd", "nbs/**/*.ipynb", "nlpbook_nbs/**/*.md"):
        yield from sorted(ROOT.glob(pattern))


def corrected(path, text, cfg):
    """`path` 파일의 글 `text`에서 우리 저장소를 가리키는 주소를 바로잡은 글. 남의 저장소 주소는 건드리지 않습니다."""
    ours = f"(?:{re.escape(cfg['repo'])}|{re.escape(cfg['lib_name'])})"
    name, branch = f"{cfg['user']}/{cfg['repo']}", cfg["branch"]
    site = f"{cfg['doc_host']}{cfg['doc_baseurl']}"
    badge = r"https://colab\.research\.google\.com/github/[\w.-]+/[\w.-]+/blob/[\w.-]+"
    if path.suffix == ".ipynb":
        where = path.relative_to(ROOT).as_posix()
        text = re.sub(
            badge + r"/[^\s)\\\"]+",
            f"https://colab.research.google.com/github/{name}/blob/{branch}/{where}",
            text,
        )
        text = re.sub(r'(href=\\")[^"]+(\\" download)', rf"\g<1>{site}/{where}\g<2>", text)
    text = re.sub(badge, f"https://colab.research.google.com/github/{name}/blob/{branch}", text)
    text = re.sub(rf"https://github\.com/[\w.-]+/{ours}(?![\w-])", f"https://github.com/{name}", text)
    text = re.sub(rf"https://[\w-]+\.github\.io/{ours}(?![\w-])", site, text)
    # 설치 명령 하나하나: pip install git+주소@가지 또는 pip install nlpbook_nbs. 휠이나 옵션이 붙은 명령은 그대로 둡니다.
    address = rf"git\+https://github\.com/{re.escape(name)}(?:@[\w./-]+)?"
    text = re.sub(
        rf"(pip install (?:-q )?)(?:{address}|{re.escape(cfg['lib_name'])})(?=[`\s\\]|$)",
        rf"\g<1>{cfg['install']}",
        text,
        flags=re.MULTILINE,
    )
    return re.sub(r"(?m)^(  repo-branch: ).*$", rf"\g<1>{branch}", text)


def main():
    cfg, wrong = read_settings(), []
    for path in documents():
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
