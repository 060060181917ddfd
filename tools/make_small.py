"""패키지에 든 모델 nlpbook-small을 만듭니다: 바꾸고(convert), 이어 배우고(adapt), 넣습니다(pack).

    python tools/make_small.py convert 원본 글 폴더
    python tools/make_small.py adapt 폴더 글.txt 리뷰.txt 작업폴더 [--korquad 파일]
    python tools/make_small.py adapt 폴더 글.txt 리뷰.txt 작업폴더 --cooldown 170
    python tools/make_small.py pack 작업폴더/cooled 넣을폴더 --curve 작업폴더

adapt는 SIGTERM을 받으면 저장하고 끝내며, 같은 명령을 다시 부르면 이어서 배웁니다. 얼마나 오래 배울지는 그때그때 정하고,
쓸 가중치가 필요할 때 `--cooldown`으로 마지막 체크포인트에서 갈라져 학습률을 0까지 내립니다. 체크포인트는 그대로 남아 나중에 더 배울 수 있습니다.
"""

import argparse
import json
import os
from pathlib import Path

from adapt_small import Adaptation, split_domains
from card_small import write_card

from nlpbook_nbs.core.conversion import convert_encoder
from nlpbook_nbs.core.storage import PACKED, PLAIN, pack_weights


def pack(folder, target, work=None):
    """모델 폴더를 8비트로 줄여 `target`에 넣고 크기를 돌려줍니다. 작업폴더 `work`를 주면 학습 기록과 모델 카드도 만듭니다.

    미세조정할 때의 드롭아웃은 원본의 값(0.1)으로 돌려놓습니다.
    """
    target.mkdir(parents=True, exist_ok=True)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"dtype": "float32", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
    (target / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (target / name).write_bytes((folder / name).read_bytes())
    if work:
        (target / "training.json").write_text(
            json.dumps(curve(work), ensure_ascii=False) + "\n", encoding="utf-8"
        )
    found = pack_weights(folder / PLAIN, target / PACKED)
    if work:
        write_card(target, work, found["weights"], found["bytes"])
    return found | {"folder_bytes": sum(path.stat().st_size for path in target.iterdir())}


def curve(work):
    """작업폴더의 학습 기록: 떼어 둔 글에서 잰 줄 모두와, 학습 손실의 줄은 백 개 남짓."""
    rows = []
    for name in ("curve", "cooldown"):
        if (work / f"{name}.jsonl").exists():
            lines = (work / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
            rows += [json.loads(line) | {"part": name} for line in lines]
    training = [row for row in rows if "train" in row]
    return training[:: max(1, len(training) // 100)] + [row for row in rows if "held_out" in row]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    one = steps.add_parser("convert", help="다국어 인코더를 WordPiece 어휘의 BERT로")
    one.add_argument("source", help="원본 폴더나 허브의 이름")
    one.add_argument("text", help="조각을 고를 글: 파일, 폴더, 패턴")
    one.add_argument("target", help="결과를 둘 폴더")
    one.add_argument("--min_count", type=int, default=3, help="글에 이보다 드문 조각은 버림")
    one.add_argument("--every", type=int, default=5, help="줄 몇 개마다 하나를 셀지")
    two = steps.add_parser("adapt", help="우리 글로 이어 배우기 (끊기면 같은 명령으로 이어 감)")
    two.add_argument("start", help="convert가 만든 폴더")
    two.add_argument("mix", help="여러 갈래의 글 파일 (빈 줄이 문서의 경계)")
    two.add_argument("reviews", help="영화 리뷰 글 파일")
    two.add_argument("work", type=Path, help="중간 결과와 기록을 둘 폴더")
    two.add_argument("--steps", type=int, default=100_000, help="이 스텝까지 배움")
    two.add_argument(
        "--cooldown",
        type=int,
        default=0,
        help="체크포인트에서 이만큼 학습률을 0으로 내리며 배워 work/cooled에 저장",
    )
    two.add_argument("--korquad", help="지문 찾기를 지켜볼 KorQuAD 파일")
    three = steps.add_parser("pack", help="가중치를 8비트로 줄여 패키지에 넣을 폴더로")
    three.add_argument("folder", type=Path, help="convert나 adapt가 만든 폴더")
    three.add_argument("target", type=Path, help="넣을 폴더")
    three.add_argument("--curve", type=Path, help="학습 기록을 함께 넣을 작업폴더")
    options = parser.parse_args()
    if options.step == "convert":
        found = convert_encoder(
            options.source, options.text, options.target, options.min_count, options.every
        )
    elif options.step == "pack":
        found = pack(options.folder, options.target, options.curve)
    else:
        split_domains(options.mix, options.reviews, options.work / "text")
        (options.work / "train.pid").write_text(f"{os.getpid()}\n")
        run = Adaptation(options.start, options.work, options.korquad, options.cooldown)
        run.run(options.steps)
        found = {"step": run.step, "tokens": run.tokens, "seconds": round(run.seconds)}
    print(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main()
