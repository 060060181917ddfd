"""nlpbook-small의 여러 단계를 같은 자로 잽니다.

    python tools/measure_small.py retrieval 폴더 KorQuAD_v1.0_dev.json [--questions 500]
    python tools/measure_small.py unknown 폴더 글.txt
    python tools/measure_small.py words 폴더 갈래마다_나눈_글의_폴더 [--count 2000]
    python tools/measure_small.py nsmc|klue-nli|qa 폴더 말뭉치들의_폴더 --work 작업폴더

`words`는 떼어 둔 글에서 어절 하나를 이루는 토큰 하나를 가리고 맞힌 비율과 MLM 손실을 갈래마다 잽니다.
`nsmc`는 리뷰 12,000건으로 한 에폭, `klue-nli`는 1,600쌍으로 네 에폭, `qa`는 KorQuAD의 글 110편에서 뽑은 질문 1,500개로 한 에폭 미세조정합니다.
"""

import argparse
import json
import os
import random
from pathlib import Path

import numpy as np
import torch

from nlpbook_nbs.core.files import read_json, written_aside
from nlpbook_nbs.core.recipes import load_recipe
from nlpbook_nbs.core.settings import set_logger
from nlpbook_nbs.core.squad import read_korquad
from nlpbook_nbs.core.text import read_sentences

QUERY, PASSAGE = "query: ", "passage: "  # 원본이 배울 때 붙이던 말


@torch.no_grad()
def embed(model, tokenizer, texts, max_length=512, batch_tokens=4096):
    """글마다 진짜 토큰의 상태를 평균하고 길이를 1로 맞춘 벡터 `(글 수, hidden)` float32. `model`은 `BertModel`입니다."""
    ids = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
    found = torch.zeros(len(ids), model.config.hidden_size)
    while order:
        count = max(1, min(len(order), batch_tokens // len(ids[order[-1]])))
        places, order = order[-count:], order[:-count]
        batch = tokenizer.pad({"input_ids": [ids[place] for place in places]}, return_tensors="pt")
        states = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        real = batch["attention_mask"][:, :, None].float()
        means = (states.last_hidden_state.float() * real).sum(1) / real.sum(1)
        found[places] = torch.nn.functional.normalize(means, dim=-1)
    return found.numpy()


def questions_and_passages(path, count, every=1, seed=0):
    """KorQuAD 파일의 `(지문의 목록, 질문의 목록, 질문마다 맞는 지문의 번호)`. 지문은 `every`개마다 하나, 질문은 그 지문들의 것에서 `count`개를 뽑습니다."""
    rows = read_korquad(path)
    passages = list(dict.fromkeys(row.context_text for row in rows))[::every]
    number = {text: place for place, text in enumerate(passages)}
    rows = [row for row in rows if row.context_text in number]
    chosen = random.Random(seed).sample(rows, min(count, len(rows)))
    return passages, [row.question_text for row in chosen], [number[row.context_text] for row in chosen]


def retrieval(model, tokenizer, path, count=500, every=1):
    """질문으로 지문을 찾은 재현율(recall@1, @10)의 사전. 배우지 않은 그대로 잽니다."""
    passages, questions, answers = questions_and_passages(path, count, every)
    was_training = model.training
    model.eval()
    found = embed(model, tokenizer, [PASSAGE + text for text in passages])
    asked = embed(model, tokenizer, [QUERY + text for text in questions])
    model.train(was_training)
    scores = asked @ found.T
    right = scores[np.arange(len(answers)), answers]
    ranks = (scores > right[:, None]).sum(axis=1)
    return {
        "passages": len(passages),
        "questions": len(answers),
        "r1": round(float((ranks < 1).mean()), 4),
        "r10": round(float((ranks < 10).mean()), 4),
    }


def unknown_share(tokenizer, path, every=50):
    """글의 줄 `every`개마다 하나에서 토큰 가운데 [UNK]의 비율, 어절마다의 토큰 수, 자주 나온 [UNK]의 글자."""
    total = unknown = words = 0
    letters = {}
    for chunk in read_sentences(path):
        lines = [line for line in chunk[::every] if line]
        for line, found in zip(lines, tokenizer._tokenizer.encode_batch(lines, add_special_tokens=False)):
            total, words = total + len(found.ids), words + len(line.split())
            for token, (start, end) in zip(found.ids, found.offsets):
                if token == tokenizer.unk_token_id:
                    unknown += 1
                    letters[line[start:end]] = letters.get(line[start:end], 0) + 1
    common = sorted(letters, key=letters.get, reverse=True)[:20]
    return {"tokens": total, "unknown": unknown / total, "tokens_per_word": total / words, "common": common}


@torch.no_grad()
def masked_words(model, tokenizer, folder, count=2000, length=128):
    """갈래마다 `(MLM 손실과 top-1, 통째로 가린 어절의 top-1)`. `model`은 `BertForPreTraining`입니다.

    어절은 토큰 하나로 적히고 앞뒤가 다른 어절인 것만 골라 예시마다 하나씩 가립니다. 글은 학습에 쓰지 않은 문서입니다.
    """
    from adapt_small import held_out_losses, open_datasets

    _, held_out = open_datasets(tokenizer, Path(folder))
    found = held_out_losses(model, tokenizer, held_out, count=96)
    model.eval()
    dataset = held_out["text"]
    continues = np.array([t.startswith("##") for t in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))])
    special = np.isin(np.arange(len(tokenizer)), tokenizer.all_special_ids)
    hangul = np.array(["가" <= t[0] <= "힣" for t in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))])
    rng, answers, guesses = np.random.default_rng(0), [], []
    places = np.arange(len(dataset))
    while len(answers) < count:
        for start in range(0, len(places), 16):
            rows = dataset.examples[places[start : start + 16]]
            ids, types, mask = dataset.table(rows, length)
            ends = np.roll(~continues[ids], -1, axis=1)
            whole = mask & ~special[ids] & ~continues[ids] & ends & hangul[ids]
            whole[:, -1] = False
            chosen = [
                (row, int(rng.choice(np.flatnonzero(line)))) for row, line in enumerate(whole) if line.any()
            ]
            row, column = np.array(chosen).T
            answers += ids[row, column].tolist()
            ids[row, column] = tokenizer.mask_token_id
            states = model.bert(
                input_ids=torch.from_numpy(ids.astype(np.int64)),
                attention_mask=torch.from_numpy(mask.astype(np.int64)),
                token_type_ids=torch.from_numpy(types.astype(np.int64)),
            ).last_hidden_state
            guesses += model.cls.predictions(states[row, column]).argmax(-1).tolist()
            if len(answers) >= count:
                break
    answers, guesses = np.array(answers[:count]), np.array(guesses[:count])
    common = np.bincount(answers).argmax()
    return found | {
        "words": {
            "count": count,
            "top1": round(float((answers == guesses).mean()), 4),
            "most_frequent": round(float((answers == common).mean()), 4),
        }
    }


def some_reviews(data, work, counts=(("train", 12_000), ("test", 4_000)), seed=7):
    """NSMC에서 뽑은 리뷰들의 파일을 `work`에 쓰고 말뭉치 폴더를 돌려줍니다."""
    for name, count in counts:
        head, *lines = (data / "nsmc" / f"ratings_{name}.txt").read_text(encoding="utf-8").strip().split("\n")
        chosen = random.Random(seed).sample(lines, count)
        with written_aside(work / "corpora" / "nsmc" / f"ratings_{name}.txt") as part:
            part.write_text("\n".join([head, *chosen]) + "\n", encoding="utf-8")
    return work / "corpora"


def some_questions(data, work, count=1500, seed=7):
    """KorQuAD를 글 단위로 나누고 학습 질문을 `count`개만 남긴 말뭉치 폴더."""
    from reference import split_korquad

    folder = work / "corpora" / "korquad-v1"
    split_korquad(data / "korquad-v1" / "KorQuAD_v1.0_dev.json", folder)
    articles = read_json(folder / "KorQuAD_v1.0_train.json")
    asked = [
        row["id"]
        for article in articles["data"]
        for passage in article["paragraphs"]
        for row in passage["qas"]
    ]
    chosen = set(random.Random(seed).sample(asked, count))
    for article in articles["data"]:
        for passage in article["paragraphs"]:
            passage["qas"] = [row for row in passage["qas"] if row["id"] in chosen]
        article["paragraphs"] = [passage for passage in article["paragraphs"] if passage["qas"]]
    with written_aside(folder / "KorQuAD_v1.0_train.json") as part:
        part.write_text(json.dumps(articles, ensure_ascii=False), encoding="utf-8")
    return work / "corpora"


def fine_tuned(what, folder, data, work, rate):
    """미세조정해 잰 점수의 사전. 실수는 32비트입니다."""
    settings = {
        "nsmc": (
            "doc-cls",
            {"downstream_corpus_name": "nsmc", "epochs": 1, "batch_size": 32, "max_seq_length": 128},
        ),
        "klue-nli": (
            "pair-cls",
            {"downstream_corpus_name": "klue-nli", "epochs": 4, "batch_size": 32, "max_seq_length": 128},
        ),
        "qa": (
            "qa",
            {
                "downstream_corpus_name": "korquad-v1",
                "epochs": 1,
                "batch_size": 16,
                "max_seq_length": 256,
                "doc_stride": 128,
            },
        ),
    }
    task, values = settings[what]
    prepare = {"nsmc": some_reviews, "qa": some_questions}.get(what, lambda data, work: data)
    recipe = load_recipe(task)
    args = recipe.train_arguments(
        pretrained_model_name=str(folder),
        downstream_corpus_root_dir=str(prepare(data, work)),
        downstream_model_dir=str(work / f"{what}-{os.path.basename(folder)}"),
        learning_rate=rate,
        lr_scheduler="linear",
        warmup_ratio=0.1,
        seed=7,
        precision="fp32",
        save_top_k=0,
        **values,
    )
    set_logger(args)
    return {name: value for name, value in recipe.train(args).items() if isinstance(value, (int, float))}


def main():
    from transformers import AutoModel, AutoTokenizer, BertForPreTraining

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["retrieval", "unknown", "words", "nsmc", "klue-nli", "qa"])
    parser.add_argument("folder")
    parser.add_argument("path", type=Path)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.folder)
    if options.what == "unknown":
        found = unknown_share(tokenizer, options.path)
    elif options.what == "retrieval":
        model = AutoModel.from_pretrained(options.folder, dtype=torch.float32)
        found = retrieval(model, tokenizer, options.path, options.questions)
    elif options.what == "words":
        model = BertForPreTraining.from_pretrained(options.folder, dtype=torch.float32)
        found = masked_words(model, tokenizer, options.path, options.count)
    else:
        found = fine_tuned(options.what, options.folder, options.path, options.work, options.learning_rate)
    print(
        json.dumps(
            {"what": options.what, "folder": os.path.basename(options.folder)} | found, ensure_ascii=False
        )
    )


if __name__ == "__main__":
    main()
