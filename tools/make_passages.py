"""패키지에 넣을 위키백과의 지문을 뽑습니다: `python tools/make_passages.py korean_mix.txt.xz [--target 폴더]`.

글 파일은 한 줄에 한 문장, 문서 사이에 빈 줄이 있는 것입니다. 풀어 둔 `.txt`도 됩니다.
질문(`nlpbook_nbs/data/kowiki/test.tsv`)은 새로 쓴 것이라 이 도구가 고치지 않습니다. 질문이 가리키는 지문이 빠지면 멈춥니다.

- `SUBJECTS`의 문서마다 앞의 지문 `OWN`편
- 그 문서들과 같은 말이 첫머리에 나오는 다른 문서의 앞 지문 두 편씩. 찾다가 헷갈릴 만한 것들입니다. 시드는 7입니다.
"""

import argparse
import lzma
import random
import re
from pathlib import Path

from nlpbook_nbs.core.files import read_tsv, written_aside
from nlpbook_nbs.core.settings import PACKAGE_DIR, require

SEED, WANTED, OWN, LONG = 7, 2_000, 12, 300
SUBJECTS = """
두부 소주 씨름 장기 거문고 해금 탈춤 한글 창덕궁 고구려 갑오개혁 설악산 낙동강 호랑이 늑대 여우 상어 고양이 제비 두더지 티라노사우루스 나비 거미 대나무 튤립 해바라기 민들레 고사리
감자 고구마 양파 고추 생강 사과 바나나 홍차 포도주 태양 일식 오로라 지진 해일 수소 질소 결핵 원주율 컴퓨터 인터넷 텔레비전 자동차 잠수함 증기기관 시계 유리 연필 피아노 바이올린
배구 테니스 우표 유교 도교 힌두교 만리장성 자금성 나일강 남극 북극 노자 안중근 윤동주 장보고
""".split()
# 백과사전의 첫 문장: "두부(豆腐)는 콩으로 …"
FIRST = re.compile(r"([가-힣A-Za-z0-9·]{2,14}?)(?:\([^)]*\))? ?(?:은|는|이란|란) ")
OTHERS = re.compile(r"제\d+조|SQL|이 문서에서|다음 코드|[{}<>]|\bAPI\b|해 보세요|습니다|해요|에요|예요")


def documents(path):
    """`(번호, 문서)`를 차례로."""
    opened = lzma.open if path.suffix == ".xz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        yield from enumerate(file.read().split("\n\n"))


def pieces(document):
    """문장의 경계에서 나눈 지문들. 겹치지 않습니다."""
    found, now = [], ""
    for line in filter(None, map(str.strip, document.strip().split("\n"))):
        if now and len(now) + 1 + len(line) > LONG:
            found.append(now)
            now = ""
        now = f"{now} {line}".strip()
    return [text.replace("\t", " ") for text in [*found, now] if 60 <= len(text) <= 520]


def encyclopedic(document):
    """위키백과의 문서로 보이면 그 제목, 아니면 `None`."""
    head = FIRST.match(document)
    plain = document.count("\n") >= 6 and not OTHERS.search(document[:400])
    return head[1] if head and plain else None


def subject_documents(path):
    """`({주제: 가장 긴 문서}, [(제목, 나머지 문서)])`."""
    own, others = {}, []
    for _, text in documents(path):
        document = text.strip()
        title = encyclopedic(document)
        if title in SUBJECTS and len(document) > len(own.get(title, "")):
            own[title] = document
        elif title is not None and title not in SUBJECTS:
            others.append((title, document))
    return own, others


def passages(path):
    """`(id, 제목, 글)`들."""
    own, others = subject_documents(path)
    missing = [title for title in SUBJECTS if title not in own]
    require(not missing, f"{path}: {', '.join(missing)} 문서가 없습니다. 같은 글 파일인지 확인하세요.")
    rows = [
        (f"{title}-{n}", title, text) for title in SUBJECTS for n, text in enumerate(pieces(own[title])[:OWN])
    ]
    words = re.compile("|".join(SUBJECTS))
    near = [(title, document) for title, document in others if words.search(document[:200])]
    random.Random(SEED).shuffle(near)
    used = set(SUBJECTS)
    for title, document in near:
        if len(rows) >= WANTED:
            break
        if title not in used:
            used.add(title)
            rows += [(f"{title}-{n}", title, text) for n, text in enumerate(pieces(document)[:2])]
    rows = rows[:WANTED]
    random.Random(SEED).shuffle(rows)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="korean_mix.txt.xz나 그것을 푼 파일")
    parser.add_argument("--target", type=Path, default=PACKAGE_DIR / "data" / "kowiki")
    options = parser.parse_args()
    rows = passages(options.path)
    questions = options.target / "test.tsv"
    if questions.exists():
        ids = {row[0] for row in rows}
        lost = [key for _, (key,) in read_tsv(questions, ["passage"]) if key not in ids]
        require(not lost, f"{questions}: 질문이 가리키는 지문 {', '.join(lost[:5])}이(가) 빠졌습니다.")
    text = "\n".join(["id\ttitle\ttext", *("\t".join(row) for row in rows)]) + "\n"
    with written_aside(options.target / "passages.tsv") as part:
        part.write_bytes(text.encode())
    print(f"지문 {len(rows):,}편, {len(text.encode()):,}바이트")


if __name__ == "__main__":
    main()
