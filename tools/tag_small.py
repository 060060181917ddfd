"""KLUE-NER을 토큰 태거로 재고, 곁에 사전 맞추기를 둡니다. `tools/measure_small.py ner`가 부릅니다.

토큰의 태그는 그 첫 글자의 태그이고, 예측한 태그는 토큰의 글자들로 펼칩니다(첫 글자만 B). 채점은 KLUE의 공식 지표를 따릅니다:
빈칸을 뺀 글자의 자리로 본 개체가 종류까지 똑같아야 맞은 것으로 하는 F1을 종류마다 구해 평균합니다(entity macro F1).
"""

import itertools
import random
from collections import Counter
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from nlpbook_nbs.core.cpu import cheap_random_numbers
from nlpbook_nbs.core.devices import pick_precision

TYPES = ("PS", "LC", "OG", "DT", "TI", "QT")
TAGS = ("O", *(f"{part}-{kind}" for kind in TYPES for part in "BI"))


def read_ner(path):
    """KLUE-NER 파일을 `(글, 글자마다의 태그)`의 목록으로."""
    rows = []
    for block in Path(path).read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith("##")]
        if lines:
            letters, tags = zip(*(line.split("\t") for line in lines))
            rows.append(("".join(letters), list(tags)))
    return rows


def entities(text, tags):
    """빈칸을 뺀 글자의 자리로 적은 개체 `(종류, 처음, 끝)`의 집합. B 없이 시작한 I는 개체가 아닙니다."""
    found, start, kind = set(), None, None
    tags = [tag for letter, tag in zip(text, tags) if not letter.isspace()]
    for place, tag in enumerate([*tags, "O"]):
        if start is not None and tag != f"I-{kind}":
            found.add((kind, start, place))
            start = None
        if tag.startswith("B-"):
            start, kind = place, tag[2:]
    return found


def entity_scores(texts, golds, guesses):
    """종류마다의 F1과 그 평균(0과 1 사이). 정답에도 예측에도 없는 종류는 빼고 평균합니다."""
    counts = {kind: Counter() for kind in TYPES}
    for text, gold, guess in zip(texts, golds, guesses):
        gold, guess = entities(text, gold), entities(text, guess)
        for name, part in (("right", gold & guess), ("gold", gold), ("guess", guess)):
            for kind, _, _ in part:
                counts[kind][name] += 1
    scores = {
        kind: round(2 * each["right"] / (each["gold"] + each["guess"]), 4)
        for kind, each in counts.items()
        if each["gold"] + each["guess"]
    }
    return {"macro_f1": round(sum(scores.values()) / len(scores), 4), "f1": scores}


def dictionary_of(rows, share=0.0):
    """학습 자료의 개체 글 → 가장 흔한 종류. 그 글이 나온 곳 가운데 개체인 비율이 `share`보다 낮으면 뺍니다."""
    kinds = {}
    for text, tags in rows:
        places = [place for place, letter in enumerate(text) if not letter.isspace()]
        for kind, start, end in entities(text, tags):
            kinds.setdefault(text[places[start] : places[end - 1] + 1], Counter())[kind] += 1
    whole = "\n".join(text for text, _ in rows)
    return {
        name: each.most_common(1)[0][0]
        for name, each in kinds.items()
        if sum(each.values()) >= share * whole.count(name)
    }


def match_dictionary(text, known):
    """왼쪽부터 가장 긴 이름을 찾아 붙인 글자마다의 태그."""
    tags, place, longest = ["O"] * len(text), 0, max(map(len, known), default=0)
    while place < len(text):
        for size in range(min(longest, len(text) - place), 0, -1):
            kind = known.get(text[place : place + size])
            if kind:
                tags[place : place + size] = [f"B-{kind}"] + [f"I-{kind}"] * (size - 1)
                place += size - 1
                break
        place += 1
    return tags


def encode(tokenizer, texts, length):
    """`(토큰 번호의 목록, 토큰마다의 글자 자리의 목록)`. 특수 토큰의 자리는 빈 구간 `(0, 0)`입니다."""
    found = tokenizer(texts, truncation=True, max_length=length, return_offsets_mapping=True)
    return found["input_ids"], found["offset_mapping"]


def token_labels(offsets, tags):
    """토큰마다 첫 글자의 태그 번호. 특수 토큰은 -100."""
    return [TAGS.index(tags[start]) if end > start else -100 for start, end in offsets]


def spread(offsets, labels, size):
    """토큰의 태그를 글자들로 펼친 `size`개의 태그."""
    tags = ["O"] * size
    for (start, end), label in zip(offsets, labels):
        name = TAGS[label]
        inside = name.replace("B-", "I-")
        tags[start:end] = [name, *[inside] * (end - start - 1)] if end > start else []
    return tags


def batches(ids, size, chance=None):
    """길이가 비슷한 것끼리 묶은 번호의 묶음들. `chance`를 주면 섞습니다."""
    order = list(range(len(ids)))
    if chance:
        chance.shuffle(order)
    chunk = size * 16
    for start in range(0, len(order), chunk):
        order[start : start + chunk] = sorted(order[start : start + chunk], key=lambda place: len(ids[place]))
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    if chance:
        chance.shuffle(groups)
    return groups


def padded(rows, fill):
    width = max(map(len, rows))
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])


def freeze(model, layers):
    """임베딩과 아래 `layers`개의 층을 얼립니다. 0이면 아무것도 얼리지 않습니다."""
    parts = [model.base_model.embeddings, *model.base_model.encoder.layer[:layers]] if layers else []
    for part in parts:
        part.requires_grad_(False)


def train_tagger(model, tokenizer, rows, args, length=256):
    """`rows`로 `model`을 미세조정합니다. `args`는 학습률, 에폭, 배치, 시드, 정밀도를 담은 학습 설정입니다."""
    ids, offsets = encode(tokenizer, [text for text, _ in rows], length)
    labels = [token_labels(each, tags) for each, (_, tags) in zip(offsets, rows)]
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=args.learning_rate, fused=True)
    steps = args.epochs * -(-len(ids) // args.batch_size)
    warmup = max(1, round(0.1 * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))
    )
    chance, bf16 = random.Random(args.seed), pick_precision(args, "cpu").startswith("bf16")
    model.train()
    with cheap_random_numbers(model):
        for group in itertools.chain.from_iterable(
            batches(ids, args.batch_size, chance) for _ in range(args.epochs)
        ):
            inputs = padded([ids[place] for place in group], tokenizer.pad_token_id)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                logits = model(input_ids=inputs, attention_mask=(inputs != tokenizer.pad_token_id).long())
            goal = padded([labels[place] for place in group], -100)
            cross_entropy(logits.logits.float().flatten(0, 1), goal.flatten(), ignore_index=-100).backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def predict_tags(model, tokenizer, texts, length=256, size=64):
    """글마다 글자들의 태그."""
    model.eval()
    ids, offsets = encode(tokenizer, texts, length)
    found = [[]] * len(texts)
    for group in batches(ids, size):
        inputs = padded([ids[place] for place in group], tokenizer.pad_token_id)
        logits = model(input_ids=inputs, attention_mask=(inputs != tokenizer.pad_token_id).long()).logits
        for place, labels in zip(group, logits.argmax(-1).tolist()):
            found[place] = spread(offsets[place], labels, len(texts[place]))
    return found


def dictionary_scores(folder):
    """사전 맞추기의 점수: 학습 자료의 개체를 모두 쓴 것(`dictionary`)과, 반 넘게 개체였던 것만 쓴 것(`sure`)."""
    train, test = (read_ner(folder / f"klue-ner-v1.1_{name}.tsv") for name in ("train", "dev"))
    texts, golds = zip(*test)
    known = {"dictionary": dictionary_of(train), "sure": dictionary_of(train, 0.5)}
    return {
        name: entity_scores(texts, golds, [match_dictionary(text, each) for text in texts])
        for name, each in known.items()
    }


def tagger_scores(folder, args, freeze_layers=0):
    """`args.pretrained_model_name`을 토큰 태거로 미세조정해 잰 점수."""
    from transformers import AutoModelForTokenClassification

    from nlpbook_nbs.core.models import load_model, load_tokenizer
    from nlpbook_nbs.core.settings import set_seed

    train, test = (read_ner(folder / f"klue-ner-v1.1_{name}.tsv") for name in ("train", "dev"))
    set_seed(args)
    tokenizer = load_tokenizer(args)
    names = dict(enumerate(TAGS))
    model = load_model(
        AutoModelForTokenClassification, args, id2label=names, label2id={t: n for n, t in names.items()}
    )
    freeze(model, freeze_layers)
    length = min(256, model.config.max_position_embeddings)
    train_tagger(model, tokenizer, train, args, length)
    texts, golds = zip(*test)
    return entity_scores(texts, golds, predict_tags(model, tokenizer, list(texts), length))
