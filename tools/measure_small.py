"""nlpbook-small의 여러 단계를 같은 자로 잽니다. 모델은 패키지에 든 것의 이름이나 폴더로 적습니다.

    python tools/measure_small.py retrieval 모델 KorQuAD_v1.0_dev.json [--questions 500]
    python tools/measure_small.py unknown 모델 글.txt
    python tools/measure_small.py mlm 모델 갈래마다_나눈_글의_폴더
    python tools/measure_small.py int8 모델폴더 글.txt --korquad KorQuAD_v1.0_dev.json
    python tools/measure_small.py words 모델 글.txt [--beside nlpbook-mini] [--count 2000]
    python tools/measure_small.py nsmc|klue-nli|kornli|korsts|ner|qa 모델 말뭉치들의_폴더 --work 작업폴더 [--seeds 7,8,9]

한 번 잴 때마다 JSON 한 줄을 찍고, `--record`에 적은 파일에도 덧붙입니다. 값싼 방법의 점수도 저마다 한 줄입니다.
`words`는 떼어 둔 글(문서 200개마다 하나)에서 두 모델의 어휘에 모두 있는 한글 어절을 통째로 가립니다. 가린 어절과 앞뒤 글이 두 모델에 똑같습니다.
`int8`은 글의 MLM 손실(빈칸 15%)과 지문 찾기(지문 네 개마다 하나)를 실수 그대로일 때와 8비트로 줄였을 때 잽니다.
미세조정하는 것들의 학습과 평가: `nsmc` 리뷰 12,000건 → 시험용 전부, `klue-nli` 1,600 → 400쌍, `kornli` XNLI 시험 5,010 → 개발 2,490쌍,
`korsts` 5,749 → 시험 1,379쌍(스피어만 상관), `ner` KLUE-NER 3,200 → 800문장, `qa` KorQuAD 개발 파일의 글 110편 → 30편.
"""

import argparse
import dataclasses
import itertools
import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from nlpbook_nbs.core.files import read_json, written_aside
from nlpbook_nbs.core.folders import resolve_model_name
from nlpbook_nbs.core.models import no_library_bars
from nlpbook_nbs.core.recipes import load_recipe
from nlpbook_nbs.core.settings import NlpbookError, require, set_logger
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


def rank_scores(scores, answers):
    """점수 `(질문, 지문)`과 맞는 지문의 번호에서 구한 재현율. 점수가 같은 지문은 모두 앞선 것으로 치지 않습니다."""
    right = scores[np.arange(len(answers)), answers]
    ranks = (scores > right[:, None]).sum(axis=1)
    found = {f"r{most}": round(float((ranks < most).mean()), 4) for most in (1, 10)}
    return {"passages": scores.shape[1], "questions": len(answers)} | found


def retrieval(model, tokenizer, path, count=500, every=1):
    """질문으로 지문을 찾은 재현율(recall@1, @10)의 사전. 배우지 않은 그대로 잽니다."""
    passages, questions, answers = questions_and_passages(path, count, every)
    was_training = model.training
    model.eval()
    length = min(512, model.config.max_position_embeddings)
    found = embed(model, tokenizer, [PASSAGE + text for text in passages], length)
    asked = embed(model, tokenizer, [QUERY + text for text in questions], length)
    model.train(was_training)
    return rank_scores(asked @ found.T, answers)


def bigrams(text):
    """어절마다의 글자 두 개씩. 한 글자 어절은 그대로입니다."""
    return [word[n : n + 2] for word in text.split() for n in range(max(1, len(word) - 1))]


def bm25(path, count=500, k1=1.5, b=0.75):
    """글자 두 개씩을 낱말로 삼은 BM25로 지문을 찾은 재현율의 사전. 식: Robertson & Zaragoza (2009), idf는 Lucene의 것."""
    passages, questions, answers = questions_and_passages(path, count)
    counts = [Counter(bigrams(text)) for text in passages]
    lengths = np.array([sum(each.values()) for each in counts])
    weights = k1 * (1 - b + b * lengths / lengths.mean())
    postings = {}
    for place, each in enumerate(counts):
        for word, number in each.items():
            postings.setdefault(word, []).append((place, number))
    scores = np.zeros((len(questions), len(passages)), np.float32)
    for row, question in zip(scores, questions):
        for word in bigrams(question):
            if word in postings:
                places, numbers = np.array(postings[word]).T
                idf = np.log1p((len(passages) - len(places) + 0.5) / (len(places) + 0.5))
                row[places] += idf * numbers / (numbers + weights[places])
    return rank_scores(scores, answers)


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


def rounded(model):
    """행렬을 8비트로 반올림했다가 되돌린 값으로 바꿉니다(제자리에서). `pack_weights`가 담는 것과 같습니다."""
    from nlpbook_nbs.core.storage import PACKED, PLAIN, pack_weights, unpack_weights

    with tempfile.TemporaryDirectory() as folder:
        with no_library_bars():
            model.save_pretrained(folder)
        pack_weights(Path(folder, PLAIN), Path(folder, PACKED))
        weights = unpack_weights(Path(folder, PACKED))
    model.load_state_dict(
        {name: torch.from_numpy(each).float() for name, each in weights.items()}, strict=False
    )
    model.tie_weights()


def rounding_loss(model, tokenizer, text, korquad, count=400, questions=300):
    """`("float", 점수)`와 `("int8", 점수)`: 글의 MLM 손실, 지문 찾기, 두 지문 벡터의 코사인의 평균."""
    from adapt_small import held_out_losses

    from nlpbook_nbs.core.nsp import TextDatasetForNextSentencePrediction
    from nlpbook_nbs.core.text import TokenizedText

    dataset = TextDatasetForNextSentencePrediction(
        tokenizer,
        TokenizedText(tokenizer, text),
        min(128, model.config.max_position_embeddings),
        nsp_probability=0.0,
    )
    passages = questions_and_passages(korquad, 1, every=8)[0]
    vectors = []
    for name in ("float", "int8"):
        if name == "int8":
            rounded(model)
        found = held_out_losses(model, tokenizer, {"text": dataset}, count)["text"]
        model.eval()
        vectors.append(embed(model.bert, tokenizer, passages, model.config.max_position_embeddings))
        cosine = float((vectors[0] * vectors[-1]).sum(1).mean())
        yield (
            name,
            found | retrieval(model.bert, tokenizer, korquad, questions, 4) | {"cosine": round(cosine, 5)},
        )


def held_out_lines(path, every=200):
    """글 파일의 문서 `every`개마다 하나의 `[줄, …]`을 차례로. `adapt_small`이 배우지 않고 떼어 둔 문서와 같습니다."""
    number, lines = 0, []
    for line in itertools.chain(itertools.chain.from_iterable(read_sentences(path)), [""]):
        if line:
            lines.append(line)
        elif lines:
            number += 1
            if number % every == 0:
                yield lines
            lines = []


def choose_words(tokenizers, path, count, seed=0, around=24):
    """가릴 어절 `count`개를 `(앞의 글, 어절, 뒤의 글)`의 목록으로. 줄마다 하나까지이고, 글은 앞뒤 `around`어절까지입니다.

    한글만으로 되어 있고 `tokenizers`의 모든 어휘에서 토큰 하나인 어절을 고릅니다.
    """
    chance, known, rows = random.Random(seed), {}, []
    for lines in held_out_lines(path):
        words = [line.split() for line in lines]
        flat = [word for line in words for word in line]
        start = 0
        for line in words:
            places = [place for place, word in enumerate(line) if _is_one_token(tokenizers, word, known)]
            if places and len(flat) > 4:
                place = start + chance.choice(places)
                before, after = flat[max(0, place - around) : place], flat[place + 1 : place + 1 + around]
                rows.append((" ".join(before), flat[place], " ".join(after)))
            start += len(line)
    require(rows, f"{path}: 가릴 만한 어절이 없습니다. 글이 문서 200개보다 많은지 확인하세요.")
    return chance.sample(rows, min(count, len(rows)))


def _is_one_token(tokenizers, word, known):
    if word not in known:
        hangul = all("가" <= letter <= "힣" for letter in word)
        known[word] = hangul and all(each.tokenize(word) == [word] for each in tokenizers)
    return known[word]


@torch.no_grad()
def masked_words(model, tokenizer, rows, size=32):
    """`choose_words`가 고른 어절을 통째로 가리고 맞힌 비율(top-1, top-5). `model`은 `BertForPreTraining`입니다."""
    model.eval()
    room = min(model.config.max_position_embeddings, 256) - 3
    examples = []
    for before, _, after in rows:
        left, right = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, after))
        left, right = left[-(room // 2) :], right[: room // 2]
        ids = [tokenizer.cls_token_id, *left, tokenizer.mask_token_id, *right, tokenizer.sep_token_id]
        examples.append((ids, len(left) + 1))
    answers = torch.tensor(tokenizer.convert_tokens_to_ids([word for _, word, _ in rows]))
    best = torch.zeros(len(rows), 5, dtype=torch.long)
    order = sorted(range(len(rows)), key=lambda place: len(examples[place][0]))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        batch = tokenizer.pad({"input_ids": [examples[place][0] for place in chosen]}, return_tensors="pt")
        states = model.bert(**batch).last_hidden_state
        places = torch.tensor([examples[place][1] for place in chosen])
        scores = model.cls.predictions(states[torch.arange(len(chosen)), places])
        best[chosen] = scores.topk(5).indices
    right = best == answers[:, None]
    return {
        "count": len(rows),
        "top1": round(float(right[:, 0].float().mean()), 4),
        "top5": round(float(right.any(1).float().mean()), 4),
    }


def some_reviews(data, folder, train, test, seed=7):
    """NSMC에서 리뷰를 뽑아 `folder`에 씁니다. 수가 `None`이면 모두 씁니다."""
    for name, count in (("train", train), ("test", test)):
        head, *lines = (data / "nsmc" / f"ratings_{name}.txt").read_text(encoding="utf-8").strip().split("\n")
        chosen = lines if count is None else random.Random(seed).sample(lines, min(count, len(lines)))
        with written_aside(folder / "nsmc" / f"ratings_{name}.txt") as part:
            part.write_text("\n".join([head, *chosen]) + "\n", encoding="utf-8")


def swapped_kornli(data, folder):
    """KorNLI의 시험 파일로 학습하고 개발 파일로 재도록 이름을 바꾸어 `folder`에 둡니다."""
    (folder / "kornli").mkdir(parents=True, exist_ok=True)
    for source, target in (("test", "multinli.train"), ("dev", "xnli.dev"), ("dev", "xnli.test")):
        shutil.copyfile(data / "kornli" / f"xnli.{source}.ko.tsv", folder / "kornli" / f"{target}.ko.tsv")


def some_questions(data, folder, count, seed=7):
    """KorQuAD를 글 단위로 나누고 학습 질문을 `count`개만(`None`이면 모두) 남겨 `folder`에 씁니다."""
    from reference import split_korquad

    folder = split_korquad(data / "korquad-v1" / "KorQuAD_v1.0_dev.json", folder / "korquad-v1")
    if count is None:
        return
    path = folder / "KorQuAD_v1.0_train.json"
    found = read_json(path)
    passages = [passage for article in found["data"] for passage in article["paragraphs"]]
    asked = [row["id"] for passage in passages for row in passage["qas"]]
    chosen = set(random.Random(seed).sample(asked, min(count, len(asked))))
    for article in found["data"]:
        for passage in article["paragraphs"]:
            passage["qas"] = [row for row in passage["qas"] if row["id"] in chosen]
        article["paragraphs"] = [passage for passage in article["paragraphs"] if passage["qas"]]
    with written_aside(path) as part:
        part.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


TUNED = {  # 재는 것: (과제, 말뭉치, 학습 설정)
    "nsmc": ("doc-cls", "nsmc", {"epochs": 1, "batch_size": 32, "max_seq_length": 128}),
    "klue-nli": ("pair-cls", "klue-nli", {"epochs": 4, "batch_size": 32, "max_seq_length": 128}),
    "kornli": ("pair-cls", "kornli", {"epochs": 2, "batch_size": 32, "max_seq_length": 128}),
    "korsts": ("pair-cls", "korsts", {"epochs": 4, "batch_size": 32, "max_seq_length": 128}),
    "ner": ("doc-cls", "klue-ner", {"epochs": 4, "batch_size": 16, "max_seq_length": 128}),
    "qa": ("qa", "korquad-v1", {"epochs": 2, "batch_size": 16, "max_seq_length": 256, "doc_stride": 128}),
}


def corpus_root(what, data, work, options):
    """재는 데 쓸 말뭉치들의 폴더. 뽑거나 나누어야 하면 `work`에 써 둡니다."""
    folder = work / "corpora"
    if what == "nsmc":
        some_reviews(data, folder, options.train, options.test)
    elif what == "kornli":
        swapped_kornli(data, folder)
    elif what == "qa":
        some_questions(data, folder, options.questions)
    else:
        return data
    return folder


def fine_tuned(what, model, root, work, seed, **changed):
    """`model`을 미세조정해 잰 점수와 그때의 설정. `changed`는 바꾸어 볼 설정이고, 설정에 없는 이름이면 `NlpbookError`를 냅니다."""
    task, corpus, values = TUNED[what]
    recipe = load_recipe(task)
    names = {field.name for field in dataclasses.fields(recipe.train_arguments)}
    extra = sorted(set(changed) - names - ({"freeze_layers"} if what == "ner" else set()))
    require(not extra, f"{', '.join(extra)}: 이 판의 학습 설정에 없는 이름입니다. 빼고 다시 부르세요.")
    values = {"lr_scheduler": "linear", "warmup_ratio": 0.1} | values | changed
    frozen = values.pop("freeze_layers", 0) if what == "ner" else 0
    if "doc_stride" in values and "max_seq_length" in changed:
        values["doc_stride"] = changed["max_seq_length"] // 3  # 짧은 창에서도 창끼리 겹치게
    args = recipe.train_arguments(
        pretrained_model_name=model,
        downstream_corpus_name=corpus,
        downstream_corpus_root_dir=str(root),
        downstream_model_dir=str(work / f"{what}-{model_title(model)}-{seed}"),
        seed=seed,
        save_top_k=0,
        **values,
    )
    begun, cpu = time.perf_counter(), time.process_time()
    if what == "ner":
        from tag_small import tagger_scores

        found = tagger_scores(Path(root) / corpus, args, int(frozen))
    else:
        set_logger(args)
        found = recipe.train(args)
        found = {name: value for name, value in found.items() if isinstance(value, (int, float))}
    spent = {
        "wall_seconds": round(time.perf_counter() - begun),
        "cpu_seconds": round(time.process_time() - cpu),
    }
    if frozen:
        values["freeze_layers"] = frozen
    return {"seed": seed} | found | spent | {"settings": values | {"learning_rate": args.learning_rate}}


def overlap_spearman(folder):
    """KorSTS의 두 문장에 함께 든 글자 두 개씩의 비율(자카드)과 점수의 스피어만 상관."""
    from scipy.stats import spearmanr

    from nlpbook_nbs.paircls import KorSTSCorpus

    rows = KorSTSCorpus().get_examples(folder, "test")
    pairs = [(set(bigrams(row.text_a)), set(bigrams(row.text_b))) for row in rows]
    overlaps = [len(a & b) / max(1, len(a | b)) for a, b in pairs]
    return {"test_spearman": round(float(spearmanr(overlaps, [float(row.label) for row in rows])[0]), 4)}


def model_title(model):
    """기록에 적는 모델의 이름: 패키지에 든 것의 이름이나 폴더의 이름."""
    return os.path.basename(os.path.normpath(model))


def opened(model, kind=None):
    """`(모델, 토크나이저)`. `kind`는 모델의 클래스이고, 비우면 토크나이저만 엽니다."""
    from transformers import AutoTokenizer

    folder = resolve_model_name(model)
    return kind and kind.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


def untuned(options):
    """미세조정하지 않고 재는 것들: `(모델의 이름, 점수)`를 하나씩 내놓습니다."""
    from transformers import AutoModel, BertForPreTraining

    what, name, path = options.what, options.model, options.path
    if what == "unknown":
        yield name, unknown_share(opened(name)[1], path)
    elif what == "retrieval":
        yield "bm25", bm25(path, options.questions or 500)
        yield name, retrieval(*opened(name, AutoModel), path, options.questions or 500)
    elif what == "int8":
        require(options.korquad, "--korquad: 지문 찾기를 잴 KorQuAD 파일을 적으세요.")
        model, tokenizer = opened(name, BertForPreTraining)
        count, questions = options.count or 400, options.questions or 300
        yield from rounding_loss(model, tokenizer, path, options.korquad, count, questions)
    elif what == "mlm":
        from adapt_small import held_out_losses, open_datasets

        model, tokenizer = opened(name, BertForPreTraining)
        yield name, held_out_losses(model, tokenizer, open_datasets(tokenizer, path)[1], count=96)
    else:
        names = list(dict.fromkeys([name, options.beside]))
        rows = choose_words([opened(each)[1] for each in names], path, options.count or 2000)
        common = Counter(word for _, word, _ in rows).most_common(1)[0]
        yield (
            "most_frequent",
            {"count": len(rows), "top1": round(common[1] / len(rows), 4), "word": common[0]},
        )
        for each in names:
            yield each, masked_words(*opened(each, BertForPreTraining), rows)


def tuned(options):
    """미세조정해 재는 것들: 값싼 방법, 그다음 시드마다 한 줄."""
    require(options.work, "--work: 중간 결과를 둘 폴더를 적으세요.")
    root = corpus_root(options.what, options.path, options.work, options)
    if options.what == "ner":
        from tag_small import dictionary_scores

        yield from dictionary_scores(root / "klue-ner").items()
    elif options.what == "korsts":
        yield "bigram_overlap", overlap_spearman(root / "korsts")
    chosen = (
        "epochs",
        "learning_rate",
        "batch_size",
        "max_seq_length",
        "precision",
        "freeze_layers",
        "lora_rank",
    )
    changed = {name: getattr(options, name) for name in chosen if getattr(options, name) is not None}
    sizes = {"nsmc": {"train": options.train}, "qa": {"questions": options.questions}}.get(options.what, {})
    for seed in options.seeds:
        found = fine_tuned(options.what, options.model, root, options.work, seed, **changed)
        yield options.model, found | {"settings": found["settings"] | sizes}


def numbers(text):
    return [int(each) for each in text.split(",")]


def read_options(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["retrieval", "unknown", "mlm", "int8", "words", *TUNED])
    parser.add_argument("model", help="nlpbook-small, nlpbook-mini, 또는 모델 폴더")
    parser.add_argument("path", type=Path, help="재는 데 쓸 파일이나 말뭉치들의 폴더")
    parser.add_argument("--work", type=Path, help="미세조정할 때 중간 결과를 둘 폴더")
    parser.add_argument("--record", type=Path, help="결과를 한 줄씩 덧붙일 파일")
    parser.add_argument(
        "--questions", type=int, help="retrieval(500)과 int8(300)의 질문 수, qa의 학습 질문 수(모두)"
    )
    parser.add_argument("--korquad", type=Path, help="int8이 지문 찾기를 잴 KorQuAD 파일")
    parser.add_argument("--count", type=int, help="words의 가릴 어절 수(2000), int8의 예시 수(400)")
    parser.add_argument("--beside", default="nlpbook-mini", help="같은 어절로 함께 잴 모델")
    parser.add_argument("--train", type=int, default=12_000, help="nsmc의 학습 리뷰 수")
    parser.add_argument("--test", type=int, help="nsmc의 시험 리뷰 수. 비우면 모두")
    parser.add_argument("--seeds", type=numbers, default=[7], help="시드들. 쉼표로 나눔")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--max_seq_length", type=int)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--freeze_layers", help="얼릴 층의 수")
    parser.add_argument("--lora_rank", type=int)
    return parser.parse_args(argv)


def main(argv=None):
    options = read_options(argv)
    for name, found in (tuned if options.what in TUNED else untuned)(options):
        row = {"what": options.what, "model": model_title(name)} | found
        line = json.dumps(row | {"date": time.strftime("%Y-%m-%d", time.gmtime())}, ensure_ascii=False)
        print(line, flush=True)
        if options.record:
            with open(options.record, "a", encoding="utf-8") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    try:
        main()
    except NlpbookError as error:
        raise SystemExit(str(error)) from None
