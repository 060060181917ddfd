"""재는 일 하나를 새 프로세스에서 합니다: `python bench/contenders.py <말뭉치폴더> <묶음> <이름>`. 결과를 JSON 한 줄로 냅니다.

이름이 `ours`로 시작하는 것이 이 패키지이고, `predecessor`는 책의 방식을 우리 손으로 다시 쓴 것, 나머지는 사람들이 흔히 쓰는 방법입니다.
함수는 `{지표: 값}`을 돌려주고, 메모리(`peak_mb`, 불러오기를 마친 뒤 더 쓴 최대치)는 부르는 쪽이 덧붙입니다.
"""

import ctypes
import functools
import gc
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

SECTIONS = {}
DATA = None  # 말뭉치 폴더들이 모인 곳
WORK = None  # 이 측정만 쓰는 임시 폴더
ON_GPU = ("gpu-fine-tuning", "gpu-pretraining-step")  # GPU가 있어야 재는 묶음


def contender(section, *names):
    """`section`에서 `names`라고 부르는 것들을 재는 함수. 이름이 여럿이면 `{이름: {지표: 값}}`을 돌려줍니다."""

    def keep(function):
        SECTIONS.setdefault(section, {})[names] = function
        return function

    return keep


def used_mb(kind="VmRSS"):
    return int(next(line for line in open("/proc/self/status") if line.startswith(kind)).split()[1]) / 1024


def held_mb():
    """파일을 비춘 것을 빼고 지금 붙들고 있는 메모리. 다 쓴 것은 먼저 돌려줍니다."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return used_mb("RssAnon")


def peak_since(before):
    return max(0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before)


class Clock:
    """`with Clock() as clock:` 안에서 걸린 초(`seconds`)와 더 쓴 메모리의 최대치(`peak_mb`)."""

    def __enter__(self):
        self.before, self.start = used_mb(), time.perf_counter()
        return self

    def __exit__(self, *error):
        self.seconds, self.peak_mb = time.perf_counter() - self.start, peak_since(self.before)

    @property
    def result(self):
        return {"seconds": self.seconds, "peak_mb": self.peak_mb}


def folder_mb(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6


def kcbert():
    from transformers import BertTokenizer

    return BertTokenizer.from_pretrained(str(DATA / "kcbert-base"), do_lower_case=False)


def reviews(count=None):
    rows = (DATA / "nsmc" / "ratings_train.txt").read_text(encoding="utf-8").split("\n")[1:]
    cells = [row.split("\t") for row in rows if row][:count]
    return [cell[1] for cell in cells], [int(cell[2]) for cell in cells]


def pairs():
    rows = (DATA / "kornli" / "xnli.test.ko.tsv").read_text(encoding="utf-8").split("\n")[1:]
    cells = [row.split("\t") for row in rows if row]
    names = {"entailment": 0, "contradiction": 1, "neutral": 2}
    first, second, labels = zip(*((a, b, names[c]) for a, b, c in cells))
    return list(first), list(second), list(labels)


# ── 특징: 문서 분류와 문장 쌍 ──────────────────────────────────────────────


@dataclass
class PlainFeatures:  # 예시마다 파이썬 객체 하나
    input_ids: list
    attention_mask: list
    token_type_ids: list
    label: int


def build_the_predecessors_way(texts, others, labels):
    """예시마다 128까지 채운 목록을 담은 객체를 만들어 통째로 저장합니다. 토크나이저만 빠른 것을 씁니다."""
    import torch

    tokenizer, before = kcbert(), held_mb()
    with Clock() as clock:
        encoded = tokenizer(texts, others, max_length=128, padding="max_length", truncation=True)
        features = [
            PlainFeatures(
                *(encoded[name][i] for name in ("input_ids", "attention_mask", "token_type_ids")), label
            )
            for i, label in enumerate(labels)
        ]
        torch.save(features, WORK / "cached")
    del encoded
    held, disk = held_mb() - before, folder_mb(WORK)
    del features
    with Clock() as load:
        torch.load(WORK / "cached", weights_only=False)
    return clock.result | {"held_mb": held, "disk_mb": disk, "load_seconds": load.seconds}


def build_with_datasets(texts, others, labels):
    from datasets import Dataset, load_from_disk

    tokenizer = kcbert()
    columns = {"text": texts, "label": labels} | ({"other": others} if others else {})
    data, before = Dataset.from_dict(columns), held_mb()
    with Clock() as clock:
        mapped = data.map(
            lambda rows: tokenizer(
                rows["text"], rows.get("other") if others else None, truncation=True, max_length=128
            ),
            batched=True,
            remove_columns=[name for name in columns if name != "label"],
            cache_file_name=str(WORK / "map.arrow"),
        )
        mapped.save_to_disk(str(WORK / "saved"))
    held = held_mb() - before
    with Clock() as load:
        load_from_disk(str(WORK / "saved"))
    return clock.result | {
        "held_mb": held,
        "disk_mb": folder_mb(WORK / "saved"),
        "load_seconds": load.seconds,
    }


def tokenize_only(texts, others):
    backend = kcbert().backend_tokenizer
    backend.enable_truncation(128)
    backend.no_padding()
    with Clock() as clock:
        for start in range(0, len(texts), 5000):
            part = texts[start : start + 5000]
            backend.encode_batch_fast(list(zip(part, others[start : start + 5000])) if others else part)
    return clock.result


def build_ours(make):
    os.environ["NLPBOOK_CACHE"] = str(WORK / "cache")
    tokenizer, before = kcbert(), held_mb()
    with Clock() as clock:
        data = make(tokenizer)
    held = held_mb() - before
    with Clock() as load:
        data = make(tokenizer)  # noqa: F841
    return clock.result | {
        "held_mb": held,
        "disk_mb": folder_mb(WORK / "cache"),
        "load_seconds": load.seconds,
    }


def classification_args(cls, **changes):
    values = {
        "pretrained_model_name": "nlpbook-mini",
        "downstream_model_dir": str(WORK / "model"),
        "max_seq_length": 128,
    }
    return cls(**(values | changes))


@contender("features-nsmc", "ours")
def nsmc_ours():
    from nlpbook_nbs.classification import ClassificationDataset, ClassificationTrainArguments, NsmcCorpus

    args = classification_args(
        ClassificationTrainArguments, downstream_corpus_name="nsmc", downstream_corpus_root_dir=str(DATA)
    )
    return build_ours(lambda tokenizer: ClassificationDataset(args, tokenizer, NsmcCorpus(), "train"))


@contender("features-nsmc", "predecessor")
def nsmc_predecessor():
    texts, labels = reviews()
    return build_the_predecessors_way(texts, None, labels)


@contender("features-nsmc", "datasets.map")
def nsmc_datasets():
    texts, labels = reviews()
    return build_with_datasets(texts, None, labels)


@contender("features-nsmc", "ceiling: tokenizers")
def nsmc_ceiling():
    return tokenize_only(reviews()[0], None)


@contender("features-nli", "ours")
def nli_ours():
    import shutil

    from nlpbook_nbs.classification import ClassificationDataset
    from nlpbook_nbs.paircls import KorNLICorpus, PairTrainArguments

    folder = WORK / "corpora" / "kornli"
    folder.mkdir(parents=True)
    shutil.copyfile(DATA / "kornli" / "xnli.test.ko.tsv", folder / "multinli.train.ko.tsv")
    args = classification_args(
        PairTrainArguments, downstream_corpus_name="kornli", downstream_corpus_root_dir=str(folder.parent)
    )
    return build_ours(lambda tokenizer: ClassificationDataset(args, tokenizer, KorNLICorpus(), "train"))


@contender("features-nli", "predecessor")
def nli_predecessor():
    return build_the_predecessors_way(*pairs())


@contender("features-nli", "datasets.map")
def nli_datasets():
    return build_with_datasets(*pairs())


@contender("features-nli", "ceiling: tokenizers")
def nli_ceiling():
    return tokenize_only(*pairs()[:2])


# ── 특징: 질의응답 ────────────────────────────────────────────────────────


def korquad_rows():
    data = json.loads((DATA / "korquad-v1" / "KorQuAD_v1.0_dev.json").read_text(encoding="utf-8"))["data"]
    for article in data:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                answer = question["answers"][0]
                yield paragraph["context"], question["question"], answer["text"], answer["answer_start"]


@contender("features-qa", "ours")
def qa_ours():
    from nlpbook_nbs.qa import KorQuADV1Corpus, QADataset, QATrainArguments

    args = classification_args(
        QATrainArguments,
        downstream_corpus_name="korquad-v1",
        downstream_corpus_root_dir=str(DATA),
        doc_stride=64,
    )
    return build_ours(lambda tokenizer: QADataset(args, tokenizer, KorQuADV1Corpus(), "val"))


@contender("features-qa", "fast tokenizer recipe")
def qa_recipe():
    """공식 문서의 요리법: 넘치는 토큰을 창으로 돌려받고 글자 위치로 답의 자리를 찾습니다."""
    tokenizer = kcbert()
    rows = list(korquad_rows())
    with Clock() as clock:
        encoded = tokenizer(
            [row[1] for row in rows],
            [row[0] for row in rows],
            truncation="only_second",
            max_length=128,
            stride=64,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            padding="max_length",
        )
        starts, ends = [], []
        for i, offsets in enumerate(encoded["offset_mapping"]):
            _, _, text, begin = rows[encoded["overflow_to_sample_mapping"][i]]
            sequence = encoded.sequence_ids(i)
            first, last = sequence.index(1), len(sequence) - 1 - sequence[::-1].index(1)
            end = begin + len(text)
            if offsets[first][0] > begin or offsets[last][1] < end:
                starts.append(0)
                ends.append(0)
                continue
            starts.append(next(k for k in range(last, first - 1, -1) if offsets[k][0] <= begin))
            ends.append(next(k for k in range(first, last + 1) if offsets[k][1] >= end))
    return clock.result


_WORKER = None


def _start_worker(folder):
    global _WORKER, DATA
    DATA = Path(folder)
    _WORKER = kcbert()


def _windows_of_one(row):
    """어절마다 토큰으로 나누고, 창마다 채운 목록을 담은 객체를 만듭니다. 같은 지문도 문항마다 다시 나눕니다."""
    context, question, text, begin = row
    words, places, at = [], [], 0
    for word in context.split():
        at = context.index(word, at)
        words.append(word)
        places.append(at)
        at += len(word)
    tokens, word_of = [], []
    for number, word in enumerate(words):
        for token in _WORKER.tokenize(word):
            tokens.append(token)
            word_of.append(number)
    inside = [
        number
        for number, place in enumerate(places)
        if place + len(words[number]) > begin and place < begin + len(text)
    ]
    first = next(i for i, number in enumerate(word_of) if number >= inside[0])
    last = max(i for i, number in enumerate(word_of) if number <= inside[-1])
    asked = _WORKER.convert_tokens_to_ids(_WORKER.tokenize(question)[:32])
    ids = _WORKER.convert_tokens_to_ids(tokens)
    room, features, start = 128 - len(asked) - 3, [], 0
    while True:
        part = ids[start : start + room]
        row = [_WORKER.cls_token_id, *asked, _WORKER.sep_token_id, *part, _WORKER.sep_token_id]
        padding = [0] * (128 - len(row))
        shift = len(asked) + 2 - start
        has = start <= first and last < start + len(part)
        features.append(
            (
                row + padding,
                [1] * len(row) + padding,
                [0] * (len(asked) + 2) + [1] * (len(part) + 1) + padding,
                first + shift if has else 0,
                last + shift if has else 0,
            )
        )
        if start + room >= len(ids):
            return features
        start += 64


@contender("features-qa", "predecessor")
def qa_predecessor():
    import torch

    with multiprocessing.get_context("fork").Pool(2, _start_worker, (str(DATA),)) as pool, Clock() as clock:
        found = pool.map(_windows_of_one, list(korquad_rows()), chunksize=32)
        torch.save([each for row in found for each in row], WORK / "cached")
    return clock.result | {"disk_mb": folder_mb(WORK)}


# ── 특징: 사전학습 ────────────────────────────────────────────────────────


def pretraining_text(lines):
    source = min((DATA / "pretrain").glob("*.txt"))
    path = WORK / "text.txt"
    with open(source, encoding="utf-8") as whole, open(path, "w", encoding="utf-8") as part:
        part.writelines(line for _, line in zip(range(lines), whole))
    return path


@contender("nsp-data", "ours")
def nsp_ours():
    from nlpbook_nbs.core.nsp import TextDatasetForNextSentencePrediction

    path = pretraining_text(200_000)
    return build_ours(
        lambda tokenizer: TextDatasetForNextSentencePrediction(tokenizer, str(path), 128, seed=7)
    )


@contender("nsp-data", "predecessor")
def nsp_predecessor():
    """문서를 문장 목록으로 들고 있으면서 예시마다 텐서 셋을 만들어 둡니다. 원래의 알고리듬(Devlin 외 2019의 자료 만들기)을 다시 쓴 것입니다."""
    import torch

    tokenizer, path, rng = kcbert(), pretraining_text(200_000), random.Random(7)
    before = held_mb()
    with Clock() as clock:
        documents = [[]]
        for line in path.read_text(encoding="utf-8").split("\n"):
            if not line.strip():
                documents.append([])
            else:
                documents[-1].append(tokenizer.convert_tokens_to_ids(tokenizer.tokenize(line.strip())))
        documents = [document for document in documents if document]
        examples, most = [], 125
        for number, document in enumerate(documents):
            chunk, length, target = [], 0, most
            for place, sentence in enumerate(document):
                chunk.append(sentence)
                length += len(sentence)
                if place < len(document) - 1 and length < target:
                    continue
                cut = rng.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
                first, second = [t for s in chunk[:cut] for t in s], [t for s in chunk[cut:] for t in s]
                label = int(not second or rng.random() < 0.5)
                if label:
                    other = documents[(number + rng.randrange(1, len(documents))) % len(documents)]
                    start = rng.randrange(len(other))
                    second = [t for s in other[start:] for t in s]
                while len(first) + len(second) > most:
                    longer = first if len(first) > len(second) else second
                    longer.pop(0 if rng.random() < 0.5 else -1)
                ids = [
                    tokenizer.cls_token_id,
                    *first,
                    tokenizer.sep_token_id,
                    *second,
                    tokenizer.sep_token_id,
                ]
                types = [0] * (len(first) + 2) + [1] * (len(second) + 1)
                examples.append(
                    {
                        "input_ids": torch.tensor(ids),
                        "token_type_ids": torch.tensor(types),
                        "next_sentence_label": torch.tensor(label),
                    }
                )
                chunk, length = [], 0
        torch.save(examples, WORK / "cached")
    return clock.result | {"held_mb": held_mb() - before, "disk_mb": folder_mb(WORK)}


@contender("nsp-data", "ceiling: tokenizers")
def nsp_ceiling():
    lines = [
        line for line in pretraining_text(200_000).read_text(encoding="utf-8").split("\n") if line.strip()
    ]
    return tokenize_only(lines, None)


def masking_examples():
    from nlpbook_nbs.core.nsp import TextDatasetForNextSentencePrediction

    os.environ["NLPBOOK_CACHE"] = str(WORK / "cache")
    tokenizer = kcbert()
    data = TextDatasetForNextSentencePrediction(
        tokenizer, str(pretraining_text(100_000)), 128, seed=7, short_seq_probability=0.0
    )
    return tokenizer, data


def batches_per_second(data, collate, batches, size=64):
    from torch.utils.data import BatchSampler, RandomSampler

    order = list(BatchSampler(RandomSampler(data), size, drop_last=True))[:batches]
    fetch = getattr(data, "__getitems__", None)
    with Clock() as clock:
        for places in order:
            collate(fetch(places) if fetch else [data[place] for place in places])
    return {"examples_per_second": len(order) * size / clock.seconds}


@contender("masking", "ours")
def masking_ours():
    from nlpbook_nbs.core.masking import MaskingCollator

    tokenizer, data = masking_examples()
    return batches_per_second(data, MaskingCollator(tokenizer), 250)


@contender("masking", "library collator")
def masking_library():
    from transformers import DataCollatorForLanguageModeling

    tokenizer, data = masking_examples()
    rows = [
        {name: value.tolist() for name, value in data[i].items() if name != "next_sentence_label"}
        for i in range(4096)
    ]
    return batches_per_second(rows, DataCollatorForLanguageModeling(tokenizer), 60)


# ── 학습 ──────────────────────────────────────────────────────────────────

STEPS_PADDED, REVIEWS = 12, 4800


def small_bert():
    from transformers import BertConfig, BertForSequenceClassification

    from nlpbook_nbs.core.folders import resolve_model_name

    config = BertConfig.from_pretrained(resolve_model_name("nlpbook-mini"), num_labels=2)
    return BertForSequenceClassification(config)


def mini_tokenizer():
    from transformers import BertTokenizer

    from nlpbook_nbs.core.folders import resolve_model_name

    return BertTokenizer.from_pretrained(resolve_model_name("nlpbook-mini"))


def ready_rows(count, tokenizer=None):
    texts, labels = reviews(count)
    encoded = (tokenizer or mini_tokenizer())(texts, truncation=True, max_length=128)
    return [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": label}
        for ids, label in zip(encoded["input_ids"], labels)
    ]


clock = time.perf_counter


def by_cpu_time():
    """이 프로세스에서는 스레드 하나의 CPU 시간으로 잽니다. 다른 일로 바쁜 컴퓨터에서도 견줄 수 있습니다."""
    import torch

    global clock
    clock = time.process_time
    torch.set_num_threads(1)


def now():
    """시킨 일을 GPU가 다 마친 때의 시각."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock()


def bare_loop(batches, bf16, model=None, device="cpu"):
    """가장 단순한 학습 반복. 처음 다섯 배치는 재지 않습니다."""
    import torch

    torch.manual_seed(7)
    model = (model or small_bert()).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    seen = 0
    for number, batch in enumerate(batches):
        if number == 5:
            start = now()
        batch = {name: values.to(device) for name, values in batch.items()}
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen += len(batch["labels"]) if number >= 5 else 0
    return {"samples_per_second": seen / (now() - start)}


def padded(rows, width=None):
    import torch

    width = width or max(len(row["input_ids"]) for row in rows)
    return {
        name: torch.tensor([row[name] + [0] * (width - len(row[name])) for row in rows])
        for name in ("input_ids", "attention_mask")
    } | {"labels": torch.tensor([row["labels"] for row in rows])}


def grouped(rows, size=32):
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
    parts = [order[i : i + size] for i in range(0, len(order), size)]
    random.Random(7).shuffle(parts)
    return [padded([rows[i] for i in part]) for part in parts]


@contender("fine-tuning", "bare loop, padded, fp32")
def loop_padded():
    rows = ready_rows(32 * (STEPS_PADDED + 5))
    return bare_loop([padded(rows[i : i + 32], 128) for i in range(0, len(rows), 32)], False)


@contender("fine-tuning", "bare loop, length groups, bf16")
def loop_grouped():
    return bare_loop(grouped(ready_rows(REVIEWS)), True)


def library_trainer(
    strategy, bf16, count=REVIEWS, model=None, batch_size=32, rows=None, collator=None, **options
):
    import torch
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    class Timer(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                self.start = now()

        def on_train_end(self, args, state, control, **kwargs):
            self.seconds, self.steps = now() - self.start, state.global_step - 5

    torch.manual_seed(7)
    timer = Timer()
    values = {
        "output_dir": str(WORK / "out"),
        "per_device_train_batch_size": batch_size,
        "num_train_epochs": 1,
        "learning_rate": 5e-4,
        "bf16": bf16,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "train_sampling_strategy": strategy,
        "logging_steps": 50,
        "seed": 7,
    }
    trainer = Trainer(
        model=model or small_bert(),
        args=TrainingArguments(**(values | options)),
        train_dataset=rows or ready_rows(count),
        data_collator=collator or DataCollatorWithPadding(mini_tokenizer()),
        callbacks=[timer],
    )
    trainer.train()
    return trainer, timer


def library_speed(*words, **options):
    _, timer = library_trainer(*words, **options)
    return {"samples_per_second": timer.steps * 32 / timer.seconds}


@contender("fine-tuning", "transformers.Trainer, dynamic, fp32")
def trainer_dynamic():
    return library_speed("random", False, 32 * 40)


@contender("fine-tuning", "transformers.Trainer, length groups, bf16")
def trainer_grouped():
    return library_speed("group_by_length", True)


def our_training(count, **changes):
    import pytorch_lightning as pl
    from transformers import AutoModelForSequenceClassification

    from nlpbook_nbs.classification import (
        ClassificationDataset,
        ClassificationTask,
        ClassificationTrainArguments,
        NsmcCorpus,
    )
    from nlpbook_nbs.core.models import load_model, load_tokenizer
    from nlpbook_nbs.core.settings import set_seed
    from nlpbook_nbs.core.training import get_trainer, make_loader

    os.environ["NLPBOOK_CACHE"] = str(WORK / "cache")
    folder = WORK / "corpora" / "nsmc"
    folder.mkdir(parents=True, exist_ok=True)
    lines = (DATA / "nsmc" / "ratings_train.txt").read_text(encoding="utf-8").split("\n")
    (folder / "ratings_train.txt").write_text("\n".join(lines[: count + 1]) + "\n", encoding="utf-8")
    test = (DATA / "nsmc" / "ratings_test.txt").read_text(encoding="utf-8").split("\n")
    (folder / "ratings_test.txt").write_text("\n".join(test[:4001]) + "\n", encoding="utf-8")
    values = {
        "downstream_corpus_name": "nsmc",
        "downstream_corpus_root_dir": str(folder.parent),
        "from_scratch": True,
        "batch_size": 32,
        "epochs": 1,
        "learning_rate": 5e-4,
        "lr_scheduler": "linear",
        "seed": 7,
        "save_top_k": 0,
        "accelerator": "cpu",
    }
    args = classification_args(ClassificationTrainArguments, **(values | changes))

    class Timer(pl.Callback):
        seen = 0

        def on_train_batch_end(self, trainer, task, outputs, batch, number):
            if number == 4:
                self.start = now()
            elif number > 4:
                self.seen += len(batch["labels"])
                self.steps = number - 4

        def on_train_epoch_end(self, trainer, task):
            self.seconds = now() - self.start

    set_seed(args)
    tokenizer = load_tokenizer(args)
    data = ClassificationDataset(args, tokenizer, NsmcCorpus(), "train")
    task = ClassificationTask(load_model(AutoModelForSequenceClassification, args, num_labels=2), args)
    trainer, timer = get_trainer(args), Timer()
    trainer.callbacks.append(timer)
    test_data = ClassificationDataset(args, tokenizer, NsmcCorpus(), "val")
    return args, task, trainer, timer, make_loader(data, args, True), make_loader(test_data, args, False)


def our_speed(count, **changes):
    _, task, trainer, timer, train, _ = our_training(count, **changes)
    trainer.fit(task, train)
    return {"samples_per_second": timer.seen / timer.seconds}


@contender("fine-tuning", "ours")
def training_ours():
    return our_speed(REVIEWS)


def small_gpt():
    """nlpbook-gpt의 구조. 속도를 재므로 가중치는 무작위여도 됩니다."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from nlpbook_nbs.core.folders import resolve_model_name

    torch.manual_seed(7)
    return GPT2LMHeadModel(GPT2Config.from_pretrained(resolve_model_name("nlpbook-gpt")))


GPT_REVIEWS = 1600


def gpt_dataset():
    """리뷰의 앞 `GPT_REVIEWS`건으로 만든 문장 생성 데이터셋과 학습 설정."""
    from transformers import AutoTokenizer

    from nlpbook_nbs.generation import GenerationDataset, GenerationTrainArguments, NsmcCorpus

    os.environ["NLPBOOK_CACHE"] = str(WORK / "cache")
    args = GenerationTrainArguments(
        pretrained_model_name="nlpbook-gpt",
        downstream_corpus_root_dir=str(DATA),
        downstream_model_dir=str(WORK / "model"),
        max_seq_length=64,
        max_train_samples=GPT_REVIEWS,
        batch_size=32,
        epochs=1,
        learning_rate=5e-4,
        lr_scheduler="linear",
        save_top_k=0,
        accelerator="cpu",
        seed=7,
    )
    tokenizer = AutoTokenizer.from_pretrained(args.pretrained_model_name)
    return args, GenerationDataset(args, tokenizer, NsmcCorpus(), "train")


@contender("gpt-fine-tuning", "ours")
def gpt_training_ours():
    import pytorch_lightning as pl

    from nlpbook_nbs.core.training import get_trainer, make_loader
    from nlpbook_nbs.generation import GenerationTask

    class Timer(pl.Callback):
        seen = 0

        def on_train_batch_end(self, trainer, task, outputs, batch, number):
            if number == 4:
                self.start = now()
            elif number > 4:
                self.seen += len(batch["labels"])

        def on_train_epoch_end(self, trainer, task):
            self.seconds = now() - self.start

    by_cpu_time()
    args, data = gpt_dataset()
    timer = Timer()
    trainer = get_trainer(args, callbacks=[timer])
    trainer.fit(GenerationTask(small_gpt(), args), make_loader(data, args, True))
    return {"samples_per_second": timer.seen / timer.seconds}


@contender("gpt-fine-tuning", "transformers.Trainer, length groups, bf16")
def gpt_training_trainer():
    return gpt_training_with_trainer(bf16=True)


@contender("gpt-fine-tuning", "transformers.Trainer, length groups, fp32")
def gpt_training_trainer_fp32():
    return gpt_training_with_trainer(bf16=False)


def gpt_training_with_trainer(bf16):
    import torch

    by_cpu_time()
    _, data = gpt_dataset()
    names, starts = ("input_ids", "labels"), data.columns["offsets"]
    rows = [
        {name: data.columns[name][a:b].astype(int).tolist() for name in names}
        for a, b in itertools.pairwise(starts)
    ]

    def collate(batch):
        width = max(len(row["input_ids"]) for row in batch)
        filling = {"input_ids": data.tokenizer.pad_token_id, "labels": -100, "attention_mask": 0}
        batch = [row | {"attention_mask": [1] * len(row["input_ids"])} for row in batch]
        return {
            name: torch.tensor([row[name] + [fill] * (width - len(row[name])) for row in batch])
            for name, fill in filling.items()
        }

    return library_speed("group_by_length", bf16, model=small_gpt(), rows=rows, collator=collate)


WRITTEN = 64  # 한 편에 쓰는 토큰 수


@contender("writing", "ours, 1 text", "generate, 1 text", "ours, 32 texts", "generate, 32 texts")
def writing():
    """네 방법을 한 프로세스에서 번갈아. 끝 토큰을 막아 모두 같은 수의 토큰을 씁니다. 다른 일이 끼어들어도 되도록 CPU 시간으로 잽니다."""
    import torch

    from nlpbook_nbs.core.decoding import Decoding, written_tokens

    by_cpu_time()
    model = small_gpt().eval()
    end, start = model.config.eos_token_id, model.config.bos_token_id
    how = Decoding(top_k=50, min_length=WRITTEN, max_length=WRITTEN, seed=7)

    def ours(size):
        return sum(len(found) for found in written_tokens(model, [[start, 300, 301]] * size, how, [end]))

    def library(size):
        ids = torch.tensor([[start, 300, 301]] * size)
        options = {"do_sample": True, "top_k": 50, "min_new_tokens": WRITTEN, "max_new_tokens": WRITTEN}
        with torch.inference_mode():
            found = model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=end, **options)
        return found[:, 3:].numel()

    ways = {(name, size): way for size in (1, 32) for name, way in (("ours", ours), ("generate", library))}
    speeds = {key: [] for key in ways}
    for _ in range(6):
        for key, way in ways.items():
            begun = now()
            speeds[key].append(way(key[1]) / (now() - begun))
    return {
        f"{name}, {size} text{'s' if size > 1 else ''}": {"tokens_per_second": statistics.median(found[1:])}
        for (name, size), found in speeds.items()
    }  # 첫 번은 준비 운동입니다.


@contender("fine-tuning", "ours, 2 processes")
def training_ours_two():
    """DDP 두 프로세스. 결과는 명령이 내는 JSON에서 읽습니다."""
    our_training(REVIEWS)  # 말뭉치를 준비합니다.
    options = {
        "pretrained_model_name": "nlpbook-mini", "downstream_corpus_name": "nsmc", "downstream_corpus_root_dir": WORK / "corpora",
        "downstream_model_dir": WORK / "ddp", "batch_size": 16, "epochs": 1, "learning_rate": 5e-4, "lr_scheduler": "linear",
        "seed": 7, "accelerator": "cpu", "devices": 2, "strategy": "ddp",
    }  # fmt: skip
    script = WORK / "train.py"
    script.write_text(
        "from nlpbook_nbs.cli import main\nif __name__ == '__main__':\n    raise SystemExit(main())\n"
    )
    command = [sys.executable, str(script), "train", "doc-cls", "--from_scratch"]
    command += [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NLPBOOK_PROFILE": "quick"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return {"samples_per_second": json.loads(done.stdout.splitlines()[-1])["samples_per_second"]}


def big_bert():
    """BERT-base 크기의 모델. GPU에서 잽니다."""
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig.from_pretrained(str(DATA / "kcbert-base"), num_labels=2))


GPU_REVIEWS = 32 * 600


@contender("gpu-fine-tuning", "bare loop, padded, fp32")
def gpu_loop_padded():
    rows = ready_rows(32 * 105, kcbert())
    batches = [padded(rows[i : i + 32], 128) for i in range(0, len(rows), 32)]
    return bare_loop(batches, False, big_bert(), "cuda")


@contender("gpu-fine-tuning", "bare loop, length groups, bf16")
def gpu_loop_grouped():
    return bare_loop(grouped(ready_rows(GPU_REVIEWS, kcbert())), True, big_bert(), "cuda")


@contender("gpu-fine-tuning", "transformers.Trainer, length groups, bf16")
def gpu_trainer_grouped():
    rows = ready_rows(GPU_REVIEWS, kcbert())
    return library_speed("group_by_length", True, model=big_bert(), rows=rows, use_cpu=False)


@contender("gpu-fine-tuning", "ours")
def gpu_training_ours():
    return our_speed(GPU_REVIEWS, pretrained_model_name=str(DATA / "kcbert-base"), accelerator="gpu")


def accuracy_of(model, rows, size=64):
    import torch

    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
    right = 0
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), size):
            batch = padded([rows[i] for i in order[start : start + size]])
            labels = batch.pop("labels")
            right += int((model(**batch).logits.argmax(dim=-1) == labels).sum())
    return right / len(rows)


def test_rows():
    rows = (DATA / "nsmc" / "ratings_test.txt").read_text(encoding="utf-8").split("\n")[1:4001]
    cells = [row.split("\t") for row in rows if row]
    encoded = mini_tokenizer()([cell[1] for cell in cells], truncation=True, max_length=128)
    return [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": int(cell[2])}
        for ids, cell in zip(encoded["input_ids"], cells)
    ]


SEEDS, ACCURACY_REVIEWS = (7, 8, 9), 12_000


@contender("accuracy", "ours")
def accuracy_ours():
    found = []
    for seed in SEEDS:
        _, task, trainer, _, train, _ = our_training(ACCURACY_REVIEWS, seed=seed)
        trainer.fit(task, train)
        found.append(accuracy_of(task.model, test_rows()))
    return {"accuracy": statistics.mean(found), "spread": max(found) - min(found)}


@contender("accuracy", "transformers.Trainer, length groups, bf16")
def accuracy_trainer():
    import torch

    found = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        trainer, _ = library_trainer("group_by_length", True, ACCURACY_REVIEWS, model=small_bert(), seed=seed)
        found.append(accuracy_of(trainer.model, test_rows()))
    return {"accuracy": statistics.mean(found), "spread": max(found) - min(found)}


# ── 사전학습 스텝 ─────────────────────────────────────────────────────────


def pretraining_batch():
    import torch

    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(5, 30_000, (32, 128), generator=generator)
    chosen = torch.rand(32, 128, generator=generator) < 0.15
    return {
        "input_ids": torch.where(chosen, 4, ids),
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
        "labels": torch.where(chosen, ids, -100),
        "next_sentence_label": torch.randint(0, 2, (32,), generator=generator),
    }


def pretraining_steps(loss_of, device="cpu", steps=12):
    """한 스텝의 중앙값과 최대 메모리. CPU에서는 4층 256차원, GPU에서는 BERT-base로 잽니다."""
    import torch
    from transformers import BertConfig, BertForPreTraining

    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=30_000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024
    )
    if device == "cuda":
        config = BertConfig.from_pretrained(str(DATA / "kcbert-base"))
    model = BertForPreTraining(config).to(device).train()
    batch = {name: values.to(device) for name, values in pretraining_batch().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    times, before = [], used_mb()
    for _ in range(steps):
        start = now()
        with torch.autocast(device, torch.bfloat16):
            loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(now() - start)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else peak_since(before)
    return {"ms_per_step": sorted(times[2:])[len(times[2:]) // 2] * 1000, "peak_mb": peak}


def our_pretraining_loss(model, batch):
    from torch.nn.functional import cross_entropy

    from nlpbook_nbs.core.pretraining import pretraining_losses

    loss, count, _, next_scores = pretraining_losses(model, batch)
    return loss / count + cross_entropy(next_scores, batch["next_sentence_label"])


def library_pretraining_loss(model, batch):
    return model(**batch).loss


for _section, _device in (("pretraining-step", "cpu"), ("gpu-pretraining-step", "cuda")):
    contender(_section, "ours")(lambda on=_device: pretraining_steps(our_pretraining_loss, on))
    contender(_section, "library head at all positions")(
        lambda on=_device: pretraining_steps(library_pretraining_loss, on)
    )


# ── 트레이너가 스텝마다 더하는 시간 ───────────────────────────────────────

OVERHEAD_REVIEWS = 4 * 1200


def tiny_classifier():
    """계산할 것이 거의 없는 모델. 스텝의 시간이 곧 학습 반복이 더하는 시간입니다."""
    import torch
    from transformers import BertPreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput

    class Tiny(BertPreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.scores = torch.nn.EmbeddingBag(config.vocab_size, 2)
            self.post_init()

        def forward(self, input_ids, labels=None, **_):
            logits = self.scores(input_ids)
            return SequenceClassifierOutput(torch.nn.functional.cross_entropy(logits, labels), logits)

    return Tiny(small_bert().config).train()


@contender("overhead", "bare loop")
def overhead_bare():
    import torch

    torch.manual_seed(7)
    rows, model = ready_rows(OVERHEAD_REVIEWS), tiny_classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    batches = [padded(rows[i : i + 4]) for i in range(0, len(rows), 4)]
    for number, batch in enumerate(batches):
        if number == 100:
            start = time.perf_counter()
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return {"ms_per_step": (time.perf_counter() - start) / (len(batches) - 100) * 1000}


@contender("overhead", "transformers.Trainer")
def overhead_trainer():
    _, timer = library_trainer("random", False, OVERHEAD_REVIEWS, model=tiny_classifier(), batch_size=4)
    return {"ms_per_step": timer.seconds / timer.steps * 1000}


@contender("overhead", "ours")
def overhead_ours():
    from nlpbook_nbs.classification import ClassificationTask

    args, _, trainer, timer, train, _ = our_training(
        OVERHEAD_REVIEWS, batch_size=4, precision="fp32", group_by_length=False
    )
    trainer.fit(ClassificationTask(tiny_classifier(), args), train)
    return {"ms_per_step": timer.seconds / timer.steps * 1000}


# ── 추론 ──────────────────────────────────────────────────────────────────


def saved_classifier():
    import torch

    torch.manual_seed(7)
    small_bert().save_pretrained(WORK / "served")
    mini_tokenizer().save_pretrained(WORK / "served")
    return str(WORK / "served")


@contender("inference", "ours", "pipeline")
def inference():
    """한 문장씩은 둘을 문장마다 번갈아 재고, 1,000문장은 한 번에 넣습니다."""
    from transformers import pipeline

    from nlpbook_nbs.classification import ClassificationDeployArguments, load_classifier

    folder = saved_classifier()
    answer = pipeline("text-classification", model=folder, device=-1)
    ways = {
        "ours": load_classifier(ClassificationDeployArguments(downstream_model_dir=folder)),
        "pipeline": answer,
    }
    return one_by_one_and_together(ways, [text or "빈 글" for text in reviews(1000)[0]])


def one_by_one_and_together(ways, texts):
    """한 문장씩은 방법들을 문장마다 번갈아 재고, 모든 문장은 한 번에 넣습니다."""
    taken = {name: [] for name in ways}
    for text in texts[:400]:
        for name, ask in ways.items():
            start = time.perf_counter()
            ask(text)
            taken[name].append(time.perf_counter() - start)
    found = {}
    for name, ask in ways.items():
        ask(texts[:64])
        with Clock() as clock:
            ask(texts)
        found[name] = {
            "ms_per_sentence": sorted(taken[name][50:])[len(taken[name][50:]) // 2] * 1000,
            "sentences_per_second": len(texts) / clock.seconds,
        }
    return found


# ── 개체명 인식 ───────────────────────────────────────────────────────────

NER_ROWS = 5000


def tagged_rows():
    """KLUE-NER의 문장 5,000개. 파일에 있는 것보다 많으면 앞에서부터 되풀이합니다."""
    from nlpbook_nbs.core.entities import read_tagged

    names = ("train", "dev")
    rows = [row for name in names for row in read_tagged(DATA / "klue-ner" / f"klue-ner-v1.1_{name}.tsv")]
    return [rows[place % len(rows)] for place in range(NER_ROWS)]


@contender("features-ner", "ours")
def ner_ours():
    from nlpbook_nbs.core.tags import tag_names
    from nlpbook_nbs.ner import NERDataset, NERExample, NERTrainArguments

    rows = [NERExample(row.text, row.entities) for row in tagged_rows()]

    class Ready:
        """읽어 둔 문장들의 말뭉치. 파일을 읽는 시간은 재지 않습니다."""

        labels = tag_names(entity.label for row in rows for entity in row.entities)
        num_labels = len(labels)

        def get_labels(self):
            return self.labels

        def get_examples(self, data_root_path, mode):
            return rows

    args = classification_args(NERTrainArguments, downstream_corpus_name="klue-ner")
    return build_ours(lambda tokenizer: NERDataset(args, tokenizer, Ready(), "train"))


@contender("features-ner", "fast tokenizer recipe")
def ner_recipe():
    """문장을 하나씩 빠른 토크나이저로 나누고, 토큰마다 글자의 자리를 보아 레이블을 붙입니다."""
    from nlpbook_nbs.core.iob import tags_of
    from nlpbook_nbs.core.tags import tag_names

    rows, tokenizer = tagged_rows(), kcbert()
    names = tag_names(entity.label for row in rows for entity in row.entities)
    number_of = {name: number for number, name in enumerate(names)}
    with Clock() as clock:
        features = []
        for row in rows:
            encoded = tokenizer(
                row.text, max_length=128, padding="max_length", truncation=True, return_offsets_mapping=True
            )
            tags = tags_of(len(row.text), row.entities)
            encoded["labels"] = [
                number_of[tags[start]] if end > start else -100
                for start, end in encoded.pop("offset_mapping")
            ]
            features.append(dict(encoded))
    return clock.result


@contender("inference-ner", "ours", "pipeline")
def ner_inference():
    """한 문장씩은 둘을 문장마다 번갈아 재고, 1,000문장은 한 번에 넣습니다."""
    import torch
    from transformers import BertConfig, BertForTokenClassification, pipeline

    from nlpbook_nbs.core.entity_answers import EntityFinder
    from nlpbook_nbs.core.folders import resolve_model_name
    from nlpbook_nbs.core.letters import LetterHead
    from nlpbook_nbs.core.prediction import open_saved
    from nlpbook_nbs.core.tags import tag_names
    from nlpbook_nbs.ner import NERDeployArguments

    names = tag_names(["DT", "LC", "OG", "PS", "QT", "TI"])
    config = BertConfig.from_pretrained(
        resolve_model_name("nlpbook-mini"),
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
    )
    torch.manual_seed(7)
    folder = str(WORK / "tagger")
    BertForTokenClassification(config).save_pretrained(folder)
    mini_tokenizer().save_pretrained(folder)
    args = NERDeployArguments(downstream_model_dir=folder)
    model, tokenizer = open_saved(BertForTokenClassification, folder)
    head = LetterHead(config.hidden_size, len(names)).eval()
    pipe = pipeline("token-classification", model=folder, aggregation_strategy="simple", device=-1)
    return one_by_one_and_together(
        {"ours": EntityFinder(model, tokenizer, args, head), "pipeline": pipe},
        [row.text for row in tagged_rows()[:1000]],
    )


# ── 검색 ──────────────────────────────────────────────────────────────────

# 한 스레드로 계산만 하는 일이라, 다른 일이 곁에서 돌아도 흔들리지 않도록 프로세스가 쓴 CPU 시간을 잽니다.

PASSAGES, QUESTIONS = 100_000, 200


class CpuClock(Clock):
    def __enter__(self):
        super().__enter__()
        self.start = time.process_time()
        return self

    def __exit__(self, *error):
        self.seconds, self.peak_mb = time.process_time() - self.start, peak_since(self.before)


def wiki_passages(count):
    """위키백과가 많은 글에서, 줄을 이어 200자가 넘을 때마다 끊은 지문 `count`편."""
    import lzma

    found, now = [], ""
    with lzma.open(DATA / "pretrain" / "korean_mix.txt.xz", "rt", encoding="utf-8") as file:
        for line in file:
            now = f"{now} {line.strip()}".strip()
            if len(now) > 200:
                found.append(now[:400])
                now = ""
            if len(found) == count:
                return found
    raise SystemExit(f"지문이 {len(found):,}편뿐입니다.")


def korquad_questions(count):
    from nlpbook_nbs.core.squad import read_korquad

    rows = read_korquad(DATA / "korquad-v1" / "KorQuAD_v1.0_dev.json")
    return [row.question_text for row in rows[:: len(rows) // count][:count]]


def asked(ask, questions):
    start = time.process_time()
    for question in questions:
        ask(question)
    return {"questions_per_second": len(questions) / (time.process_time() - start)}


@contender("search-index", "ours")
def index_ours():
    from nlpbook_nbs.core.indexes import build_index

    texts, questions = wiki_passages(PASSAGES), korquad_questions(QUESTIONS)
    with CpuClock() as clock:
        index = build_index(WORK / "index", texts)
    found = clock.result | {"disk_mb": folder_mb(WORK / "index")}
    return found | asked(lambda text: index.words.search(text, 10), questions)


@contender("search-index", "bm25s")
def index_bm25s():
    """낱말로 나누는 것은 우리 것(글자 두 개씩)이고, 세고 점수를 매기는 것은 라이브러리입니다."""
    import bm25s

    from nlpbook_nbs.core.units import Units

    texts, questions, split = wiki_passages(PASSAGES), korquad_questions(QUESTIONS), Units()
    with CpuClock() as clock:
        index = bm25s.BM25(method="lucene", k1=1.5, b=0.75)
        index.index(split(texts), show_progress=False)
        index.save(str(WORK / "index"))
    found = clock.result | {"disk_mb": folder_mb(WORK / "index")}
    ask = functools.partial(index.retrieve, k=10, show_progress=False)
    return found | asked(lambda text: ask(split([text])), questions)


@contender("search-index", "rank_bm25")
def index_rank_bm25():
    import numpy as np
    from rank_bm25 import BM25Okapi

    from nlpbook_nbs.core.units import Units

    texts, questions, split = wiki_passages(PASSAGES), korquad_questions(QUESTIONS), Units()
    with CpuClock() as clock:
        index = BM25Okapi(split(texts))
    ask = lambda text: np.argsort(-index.get_scores(split([text])[0]))[:10]
    return clock.result | asked(ask, questions[:10])


@contender("search-encoding", "ours", "batched loop", "SentenceTransformer")
def encoding():
    """같은 지문 96편을 같은 모델로 읽습니다. 벡터가 다르면 재지 않은 것으로 칩니다."""
    import numpy as np
    import torch
    from sentence_transformers import SentenceTransformer

    from nlpbook_nbs.core.embedding import mean_vectors, open_embedder, write_sentence_files
    from nlpbook_nbs.core.folders import resolve_model_name

    folder = WORK / "encoder"
    shutil.copytree(resolve_model_name("nlpbook-mini"), folder)
    embedder = open_embedder(str(folder))
    write_sentence_files(folder, embedder.hidden, 256, embedder.prompts)
    library, texts = SentenceTransformer(str(folder), device="cpu"), wiki_passages(96)

    @torch.inference_mode()
    def bare(texts):
        order, found = sorted(range(len(texts)), key=lambda at: -len(texts[at])), {}
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            batch = embedder.tokenizer(
                [texts[at] for at in rows], padding=True, truncation=True, max_length=256, return_tensors="pt"
            )
            states = embedder.model(**batch).last_hidden_state
            found |= zip(rows, mean_vectors(states, batch["attention_mask"]).numpy())
        return np.stack([found[at] for at in range(len(texts))])

    ways = {"ours": lambda texts: embedder.passages(texts).vectors, "batched loop": bare}
    ways["SentenceTransformer"] = lambda texts: library.encode(texts, show_progress_bar=False)
    taken, first = {name: [] for name in ways}, embedder.passages(texts).vectors
    for _ in range(3):
        for name, encode in ways.items():
            start = time.process_time()
            vectors = encode(texts)
            taken[name].append(time.process_time() - start)
            assert np.allclose(vectors, first, atol=1e-4), name
    return {name: {"passages_per_second": len(texts) / sorted(each)[1]} for name, each in taken.items()}


SIZES, HIDDEN = (1_000, 4_000, 16_000, 48_000), 256


def plain_vectors(texts):
    """토큰의 임베딩을 평균한 벡터. 읽는 모델 없이도 진짜 글의 벡터처럼 뭉쳐 있습니다."""
    import numpy as np

    from nlpbook_nbs.core.embedding import open_embedder

    embedder = open_embedder("nlpbook-mini")
    weights = embedder.model.get_input_embeddings().weight.detach().numpy()
    weights = weights - weights.mean(axis=0)
    found = np.stack([weights[ids].mean(axis=0) for ids in embedder.encode.tokens_of(texts)])
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


VECTOR_WAYS = [f"{way}: {size:,}" for size in SIZES for way in ("exact", "HNSW")]
VECTOR_WAYS += [f"exact, {kind}: {SIZES[-1]:,}" for kind in ("float16", "int8")]


@contender("search-vectors", *VECTOR_WAYS)
def vectors():
    """한 번에 질문 하나씩 찾습니다. 겹침은 float32로 정확히 찾은 열 편 가운데 찾은 것의 비율입니다."""
    import numpy as np

    from nlpbook_nbs.core.approximate import ApproximateIndex, kept_share
    from nlpbook_nbs.core.vectors import VectorIndex, stored_vectors

    whole = plain_vectors(wiki_passages(SIZES[-1]))
    questions, measured = plain_vectors(korquad_questions(QUESTIONS)), {}
    for size in SIZES:
        numbers, spans = [np.arange(size)], np.zeros((size, 2), np.int64)
        kinds = {"exact": "float32", "HNSW": "float32"}
        kinds |= {f"exact, {kind}": kind for kind in ("float16", "int8")} if size == SIZES[-1] else {}
        exact = None
        for way, kind in kinds.items():
            piece = stored_vectors(whole[:size], kind) | {"owners": np.arange(size), "spans": spans}
            with CpuClock() as clock:
                index = (ApproximateIndex if way == "HNSW" else VectorIndex)([piece], numbers)
            found, taken = [], []
            for row in range(len(questions)):
                start = time.process_time()
                found += index.search(questions[row : row + 1], 10)
                taken.append(time.process_time() - start)
            exact = exact or found
            size_mb = sum(piece[name].nbytes for name in ("vectors", "scales") if name in piece) / 1e6
            row = {
                "ms_per_question": 1e3 * sorted(taken)[len(taken) // 2],
                "kept_share": kept_share(exact, found),
            }
            measured[f"{way}: {size:,}"] = (
                row | {"vectors_mb": size_mb} | ({"seconds": clock.seconds} if way == "HNSW" else {})
            )
    return measured


# ── 시작하는 데 걸리는 시간 ───────────────────────────────────────────────


def seconds_of(*words):
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return {"seconds": time.perf_counter() - start}


@contender("start-up", "python -c pass")
def startup_python():
    return seconds_of("-c", "pass")


@contender("start-up", "ours: import nlpbook_nbs")
def startup_import():
    return seconds_of("-c", "import nlpbook_nbs")


@contender("start-up", "ours: nlpbook --help")
def startup_help():
    code = "import sys; sys.argv[1:] = ['--help']\ntry:\n    from nlpbook_nbs.cli import main; main()\nexcept SystemExit:\n    pass"
    return seconds_of("-c", code)


@contender("start-up", "import transformers, pytorch_lightning")
def startup_libraries():
    return seconds_of("-c", "import transformers, pytorch_lightning")


@contender("start-up", "ours: first prediction")
def startup_prediction():
    folder = saved_classifier()
    code = f"from nlpbook_nbs.cli import main; raise SystemExit(main(['predict', 'doc-cls', '--model_dir', {folder!r}, '좋아요']))"
    return seconds_of("-c", code)


@contender("start-up", "pipeline: first prediction")
def startup_pipeline():
    folder = saved_classifier()
    return seconds_of(
        "-c",
        f"from transformers import pipeline; print(pipeline('text-classification', model={folder!r})('좋아요'))",
    )


# ── 커지는 데이터와 코어 ──────────────────────────────────────────────────


def growth(share, threads):
    from nlpbook_nbs.classification import ClassificationDataset, ClassificationTrainArguments, NsmcCorpus

    os.environ["RAYON_NUM_THREADS"] = str(threads)
    folder = WORK / "corpora" / "nsmc"
    folder.mkdir(parents=True)
    lines = (DATA / "nsmc" / "ratings_train.txt").read_text(encoding="utf-8").split("\n")
    (folder / "ratings_train.txt").write_text(
        "\n".join(lines[: (len(lines) - 1) * share // 16]) + "\n", encoding="utf-8"
    )
    args = classification_args(
        ClassificationTrainArguments,
        downstream_corpus_name="nsmc",
        downstream_corpus_root_dir=str(folder.parent),
    )
    return build_ours(lambda tokenizer: ClassificationDataset(args, tokenizer, NsmcCorpus(), "train"))


for _share in (1, 4, 16):
    contender("growth", f"ours: {_share}x data, 2 threads")(lambda share=_share: growth(share, 2))
contender("growth", "ours: 16x data, 1 thread")(lambda: growth(16, 1))


# ── 이 컴퓨터의 천장 ──────────────────────────────────────────────────────


def matrix_product(kind):
    import torch

    a = torch.randn(2048, 2048).to(kind)
    times = []
    for _ in range(8):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return {"tflops": 2 * 2048**3 / min(times) / 1e12}


@contender("ceiling", "2048 matrix product, fp32")
def gemm_fp32():
    import torch

    return matrix_product(torch.float32)


@contender("ceiling", "2048 matrix product, bf16")
def gemm_bf16():
    import torch

    return matrix_product(torch.bfloat16)


def main():
    global DATA, WORK
    DATA, section, name = Path(sys.argv[1]).resolve(), sys.argv[2], sys.argv[3]
    with tempfile.TemporaryDirectory() as folder:
        WORK = Path(folder)
        names = next(names for names in SECTIONS[section] if name in names)
        found = SECTIONS[section][names]()
        print(json.dumps(found if len(names) > 1 else {name: found}))


if __name__ == "__main__":
    main()
