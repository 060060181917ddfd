"""패키지에 넣을 진짜 글을 공개 말뭉치에서 뽑습니다: `python tools/make_sample.py 말뭉치들의_폴더`.

- `nsmc`: 리뷰 12,000 / 1,000 / 2,000건 (CC0 1.0). 학습과 검증은 `ratings_train.txt`에서, 시험은 `ratings_test.txt`에서 뽑습니다.
- `klue-nli`: 받은 파일의 문장 쌍 전부 (CC BY-SA 4.0)
- `kornli`: XNLI의 한국어 번역. 시험 파일의 5,010쌍으로 배우고 개발 파일의 2,490쌍으로 잽니다 (CC BY-SA 4.0)
- `klue-ner`: 문장 1,500 / 300 / 500개 (CC BY-SA 4.0). 학습과 검증은 받은 학습 파일에서, 시험은 받은 개발 파일에서 뽑습니다.

같은 글(쌍이면 같은 쌍)이 두 부분에 나오지 않고, 빈 글은 없습니다. 순서는 섞여 있어서 앞에서부터 몇 건을 쓰든 치우치지 않습니다. 시드는 7입니다.
"""

import argparse
import json
import random
import zlib
from pathlib import Path

from nlpbook_nbs.core.files import read_tsv, written_aside
from nlpbook_nbs.core.settings import PACKAGE_DIR

SEED = 7
REVIEWS = {"train": ("train", 12_000), "val": ("train", 1_000), "test": ("test", 2_000)}
SENTENCES = {"train": ("train", 1_500), "val": ("train", 300), "dev": ("dev", 500)}
NLI_KEYS = ("guid", "source", "premise", "hypothesis", "gold_label")


def pick_reviews(folder):
    """부분마다의 `[(id, 글, 레이블)]`. 한 번 뽑은 글은 다른 부분에 다시 나오지 않습니다."""
    rows = {
        part: [tuple(row) for _, row in read_tsv(folder / f"ratings_{part}.txt", ["id", "document", "label"])]
        for part in ("train", "test")
    }
    chance, seen, picked = random.Random(SEED), set(), {}
    for each in rows.values():
        chance.shuffle(each)
    for mode in ("test", "val", "train"):  # 시험의 글이 먼저입니다.
        source, size = REVIEWS[mode]
        picked[mode] = []
        while len(picked[mode]) < size:
            row = rows[source].pop()
            text = "".join(row[1].split())
            if text and text not in seen:
                seen.add(text)
                picked[mode].append(row)
    return picked


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as part:
        part.write_bytes(text.encode())


def write_reviews(folder, target):
    for mode, rows in pick_reviews(folder).items():
        lines = ["id\tdocument\tlabel", *("\t".join(row) for row in rows)]
        write_text(target / f"ratings_{mode}.txt", "\n".join(lines) + "\n")


def write_klue_nli(folder, target):
    """우리가 읽는 칸만 남깁니다. 쌍 하나가 한 줄입니다."""
    for part in ("train", "dev"):
        rows = json.loads((folder / f"klue_nli_{part}.json").read_text(encoding="utf-8"))
        random.Random(SEED).shuffle(rows)
        lines = [json.dumps({key: row[key] for key in NLI_KEYS}, ensure_ascii=False) for row in rows]
        write_text(target / f"klue-nli-v1.1_{part}.json", "[\n" + ",\n".join(lines) + "\n]\n")


def write_kornli(folder, target):
    for part in ("test", "dev"):
        header, *rows = (folder / f"xnli.{part}.ko.tsv").read_text(encoding="utf-8").splitlines()
        random.Random(SEED).shuffle(rows)
        write_text(target / f"xnli.{part}.ko.tsv", "\n".join([header, *rows]) + "\n")


def pick_sentences(folder):
    """`(파일의 머리말, 부분마다의 [문장 하나의 줄들])`. 글은 `##` 줄까지 파일에 적힌 그대로입니다."""
    blocks, seen, picked = {}, set(), {}
    for part in ("train", "dev"):
        lines = (folder / f"klue-ner-v1.1_{part}.tsv").read_text(encoding="utf-8").split("\n")
        size = (
            next(place for place, line in enumerate(lines) if line[:2] != "##") - 1
        )  # 문장의 ## 줄은 뺍니다.
        header, rest = lines[:size], lines[size:]
        blocks[part] = [block for block in "\n".join(rest).strip("\n").split("\n\n") if block]
        random.Random(SEED).shuffle(blocks[part])
    for mode in ("dev", "val", "train"):  # 시험의 글이 먼저입니다.
        source, size = SENTENCES[mode]
        picked[mode] = []
        while len(picked[mode]) < size:
            block = blocks[source].pop()
            text = "".join("".join(line.rpartition("\t")[0] for line in block.split("\n")[1:]).split())
            if text and text not in seen:
                seen.add(text)
                picked[mode].append(block)
    return "\n".join(header), picked


def write_klue_ner(folder, target):
    header, picked = pick_sentences(folder)
    for mode, blocks in picked.items():
        write_text(target / f"klue-ner-v1.1_{mode}.tsv", "\n".join([header, "\n\n".join(blocks)]) + "\n")


WRITERS = {
    "nsmc": write_reviews,
    "klue-nli": write_klue_nli,
    "kornli": write_kornli,
    "klue-ner": write_klue_ner,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help=f"{', '.join(WRITERS)} 폴더가 있는 곳")
    parser.add_argument("--target", type=Path, default=PACKAGE_DIR / "data")
    options = parser.parse_args()
    for name, write in WRITERS.items():
        write(options.data / name, options.target / name)
        files = sorted(
            path for path in (options.target / name).iterdir() if path.suffix in {".txt", ".json", ".tsv"}
        )
        sizes = [path.stat().st_size for path in files]
        packed = sum(len(zlib.compress(path.read_bytes(), 9)) for path in files)
        print(
            f"{name}: {sum(sizes) / 1e6:.2f} MB, 휠 안에서 {packed / 1e6:.2f} MB ({', '.join(path.name for path in files)})"
        )


if __name__ == "__main__":
    main()
