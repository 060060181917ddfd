"""KLUE-NER을 토큰 태거로 재고, 곁에 사전 맞추기를 둡니다. `tools/measure_small.py ner`가 부릅니다.

토큰의 태그는 그 첫 글자의 태그이고, 예측한 태그는 가장 높은 것입니다. B 없이 나온 I는 버립니다. 채점은 KLUE의 공식 지표를 따릅니다(`core.entity_scores`).
"""

import itertools
import random

import torch
from torch.nn.functional import cross_entropy

from nlpbook_nbs.core.cpu import cheap_random_numbers
from nlpbook_nbs.core.devices import pick_precision
from nlpbook_nbs.core.entities import read_tagged
from nlpbook_nbs.core.entity_baselines import EntityDictionary
from nlpbook_nbs.core.entity_scores import score_entities
from nlpbook_nbs.core.iob import tags_of
from nlpbook_nbs.core.tags import token_entities

TYPES = ("PS", "LC", "OG", "DT", "TI", "QT")
TAGS = ("O", *(f"{part}-{kind}" for kind in TYPES for part in "BI"))


def encode(tokenizer, texts, length):
    """`(토큰 번호의 목록, 토큰마다의 글자 자리의 목록)`. 특수 토큰의 자리는 빈 구간 `(0, 0)`입니다."""
    found = tokenizer(texts, truncation=True, max_length=length, return_offsets_mapping=True)
    return found["input_ids"], found["offset_mapping"]


def token_labels(offsets, tags):
    """토큰마다 첫 글자의 태그 번호. 특수 토큰은 -100."""
    return [TAGS.index(tags[start]) if end > start else -100 for start, end in offsets]


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
    ids, offsets = encode(tokenizer, [row.text for row in rows], length)
    labels = [token_labels(each, tags_of(len(row.text), row.entities)) for each, row in zip(offsets, rows)]
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
def predict_entities(model, tokenizer, texts, length=256, size=64):
    """글마다 찾은 개체들."""
    model.eval()
    ids, offsets = encode(tokenizer, texts, length)
    found = [[]] * len(texts)
    for group in batches(ids, size):
        inputs = padded([ids[place] for place in group], tokenizer.pad_token_id)
        logits = model(input_ids=inputs, attention_mask=(inputs != tokenizer.pad_token_id).long()).logits
        for place, labels in zip(group, logits.argmax(-1).tolist()):
            tags = [
                TAGS[label] if end > start else None for label, (start, end) in zip(labels, offsets[place])
            ]
            found[place] = token_entities(offsets[place], tags, strict=True)
    return found


def read_parts(folder):
    """`(학습 자료, 시험의 글들, 시험의 정답들)`."""
    train, test = (read_tagged(folder / f"klue-ner-v1.1_{name}.tsv") for name in ("train", "dev"))
    return train, [row.text for row in test], [row.entities for row in test]


def scores_of(gold, found, texts):
    """KLUE의 entity macro F1과 종류마다의 F1."""
    result = score_entities(gold, found, texts)
    f1 = {kind: round(row["f1"], 4) for kind, row in result["labels"].items()}
    return {"macro_f1": round(result["entity_macro_f1"], 4), "f1": f1}


def dictionary_scores(folder):
    """사전 맞추기의 점수: 학습 자료의 개체를 모두 쓴 것(`dictionary`)과, 반 넘게 개체였던 것만 쓴 것(`sure`)."""
    train, texts, gold = read_parts(folder)
    known = {name: EntityDictionary(share).fit(train) for name, share in (("dictionary", 0.0), ("sure", 0.5))}
    return {name: scores_of(gold, [each(text) for text in texts], texts) for name, each in known.items()}


def tagger_scores(folder, args, freeze_layers=0):
    """`args.pretrained_model_name`을 토큰 태거로 미세조정해 잰 점수."""
    from transformers import AutoModelForTokenClassification

    from nlpbook_nbs.core.models import load_model, load_tokenizer
    from nlpbook_nbs.core.settings import set_seed

    train, texts, gold = read_parts(folder)
    set_seed(args)
    tokenizer = load_tokenizer(args)
    names = dict(enumerate(TAGS))
    model = load_model(
        AutoModelForTokenClassification, args, id2label=names, label2id={t: n for n, t in names.items()}
    )
    freeze(model, freeze_layers)
    length = min(256, model.config.max_position_embeddings)
    train_tagger(model, tokenizer, train, args, length)
    return scores_of(gold, predict_entities(model, tokenizer, texts, length), texts)
