"""바꾼 인코더를 우리 글로 이어 배우게 합니다(MLM). `tools/make_small.py adapt`가 부릅니다.

먼저 몸통을 얼린 채 MLM 머리만, 그다음 전체를 작은 학습률로 배웁니다. 전체를 배울 때는 가끔 얼려 둔 원본과 상태를 견주어, 아는 것을 잊지 않게 합니다.
언제 끊겨도(SIGTERM, 정전) 같은 명령을 다시 부르면 이어서 합니다. 글의 자리는 스텝 번호에서 계산되므로 따로 적어 두지 않습니다.
"""

import itertools
import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import torch
from measure_small import retrieval
from transformers import AutoTokenizer, BertForPreTraining

from nlpbook_nbs.core.files import written_aside
from nlpbook_nbs.core.masking import MaskingCollator
from nlpbook_nbs.core.nsp import ExampleRows, TextDatasetForNextSentencePrediction
from nlpbook_nbs.core.pretraining import pretraining_losses
from nlpbook_nbs.core.samplers import ExampleSampler, random_bits, random_key
from nlpbook_nbs.core.text import TokenizedText

SEED, VALIDATION_EVERY, MOST_STEPS = 7, 200, 1_000_000
STEP_TOKENS = 2048  # 한 스텝에 읽는 토큰 수 (어림)
SOURCES = {  # 이름: (갈래, 예시의 길이, 스텝의 몫)
    "글128": ("text", 128, 0.18),
    "글256": ("text", 256, 0.10),
    "기술128": ("tech", 128, 0.05),
    "법128": ("law", 128, 0.02),
    "말64": ("talk", 64, 0.05),
    "리뷰64": ("reviews", 64, 0.42),
    "리뷰128": ("reviews", 128, 0.18),
}
STAGES = {  # 차례대로. 몇 스텝 동안, 학습률을 올리는 스텝, 부분마다의 학습률, 빈칸의 비율
    # 몸통을 얼리면 앞으로만 계산하므로 세 배 빠릅니다. 머리의 시작값이 엉뚱한 기울기로 몸통을 망가뜨리지 않게도 합니다.
    "head": {"steps": 150, "warmup": 20, "rates": {"head": 2e-3}, "mlm_probability": 0.3},
    # 임베딩과 아래 절반을 얼리면 같은 시간에 1.5배 읽습니다.
    "upper": {"steps": 600, "warmup": 100, "rates": {"head": 1e-3, "upper": 1e-4}, "mlm_probability": 0.2},
    "body": {
        "steps": 460,
        "warmup": 150,
        "rates": {"head": 5e-4, "upper": 2e-4, "lower": 1e-4},
        "mlm_probability": 0.2,
    },
    # 원본은 토큰들의 평균으로 글을 나타내고 [CLS]와 풀러는 쓰지 않습니다. 분류기는 그 둘만 보므로, 글의 평균을 거기에 담는 것도 함께 배웁니다.
    "sentence": {
        "steps": None,
        "warmup": 100,
        "rates": {"head": 5e-4, "upper": 2e-4, "lower": 1e-4, "pooler": 1e-3},
        "mlm_probability": 0.2,
    },
}
POOLED_WEIGHT, POOLED_SPREAD = 1.0, 0.5  # 풀러의 손실에 곱하는 값, tanh에 넣는 값의 표준 편차
POOLED_LINES, POOLED_RIDGE = (
    3000,
    0.1,
)  # 풀러의 값을 한 번에 구할 때 읽는 줄(리뷰와 글에서 저마다), 능형 회귀의 벌
# 몇 스텝마다 원본과 견줄지, 그 손실에 곱하는 값. 1.0으로는 190스텝 만에 지문 찾기의 R@1이 .867에서 .827로 내려갔습니다(지문 240개).
# 리뷰에서는 견주지 않습니다. 원본은 리뷰의 말투를 모르므로, 거기서는 벗어나야 배웁니다.
DISTILL_EVERY, DISTILL_WEIGHT = 2, 4.0
WATCH_STEPS, RETRIEVAL_STEPS, CHECKPOINT_SECONDS, LOG_STEPS = 200, 800, 300, 20
WATCHED_PASSAGES = 4  # 지켜볼 때는 지문 몇 개마다 하나만 두고 찾을지
WATCHED = 16  # 갈래마다 떼어 둔 글에서 재는 예시 수 (128토큰)
STATE = ("stage", "step", "stage_step", "tokens", "seconds", "cpu_seconds")
DECAY, CLIP, BETAS = 0.01, 1.0, (0.9, 0.98)


def domain_of(document):
    """문서(줄의 목록)의 갈래: `talk`(말 한두 마디), `law`, `tech`, `text`. 겉모습으로 가르는 어림입니다."""
    text = " ".join(document)
    hangul, latin = len(re.findall("[가-힣]", text)), len(re.findall("[A-Za-z]", text))
    if len(document) <= 2 and len(text) < 150 and latin < 5:
        return "talk"
    if re.match(r"이 (법|영|규칙)은 ", text):
        return "law"
    return "tech" if latin > 0.1 * (hangul + latin) else "text"


def split_domains(mix, reviews, folder, talk_lines=8):
    """글 두 파일을 갈래마다 한 파일로 나눕니다. 한두 마디짜리 문서는 `talk_lines`개씩 한 문서로 모읍니다."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "reviews.txt").exists():
        return
    parts = {name: [] for name in ("text", "tech", "law", "talk")}
    for document in Path(mix).read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in document.split("\n") if line.strip()]
        if lines:
            parts[domain_of(lines)].append("\n".join(lines))
    talk = parts["talk"]
    parts["talk"] = ["\n".join(talk[place : place + talk_lines]) for place in range(0, len(talk), talk_lines)]
    for name, documents in parts.items():
        with written_aside(folder / f"{name}.txt") as part:
            part.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    with written_aside(folder / "reviews.txt") as part:
        part.write_bytes(Path(reviews).read_bytes())


def open_datasets(tokenizer, folder):
    """`(SOURCES의 학습용 데이터셋, 갈래마다의 검증용 데이터셋)`. 문서 `VALIDATION_EVERY`개마다 하나가 검증용입니다."""
    texts = {
        name: TokenizedText(tokenizer, folder / f"{name}.txt")
        for name in ("text", "tech", "law", "talk", "reviews")
    }
    common = {"nsp_probability": 0.0, "seed": SEED, "validation_every": VALIDATION_EVERY}

    def dataset(name, length, part):
        return TextDatasetForNextSentencePrediction(tokenizer, texts[name], length, part=part, **common)

    train = {source: dataset(name, length, "train") for source, (name, length, _) in SOURCES.items()}
    held_out = {name: dataset(name, 128 if name != "talk" else 64, "val") for name in texts}
    return train, held_out


def picked_sources(steps):
    """처음 `steps`개의 스텝이 저마다 읽는 `SOURCES`의 번호 `(steps,)`. 스텝 번호로만 정해집니다."""
    draws = random_bits(random_key(SEED, 3), np.arange(steps)) / 2.0**64
    edges = np.cumsum([share for _, _, share in SOURCES.values()])
    return np.searchsorted(edges / edges[-1], draws, side="right").clip(max=len(edges) - 1)


class Batches:
    """스텝 번호를 주면 그 스텝의 배치를 만드는 것. 갈래마다 제 순서대로 읽고, 다 읽으면 새 에폭을 시작합니다."""

    def __init__(self, tokenizer, datasets, mlm_probability, start):
        self.collator = MaskingCollator(tokenizer, mlm_probability)
        self.names, self.start = list(SOURCES), start
        done = np.bincount(picked_sources(start), minlength=len(SOURCES))
        self.streams = [
            self._stream(datasets[name], SOURCES[name][1], int(skip)) for name, skip in zip(self.names, done)
        ]

    def _stream(self, dataset, length, skip):
        size = STEP_TOKENS // length
        for epoch in itertools.count():
            sampler = ExampleSampler(dataset, size)
            if skip >= len(sampler) // size:
                skip -= len(sampler) // size
                continue
            sampler.set_epoch(epoch)
            order = itertools.islice(iter(sampler), skip * size, None)
            skip = 0
            while len(indices := list(itertools.islice(order, size))) == size:
                yield self.collator(ExampleRows(dataset, np.array(indices)))

    def __iter__(self):
        for source in picked_sources(MOST_STEPS)[self.start :]:
            yield self.names[source], next(self.streams[source])


def without_padding_mask(batch):
    """채운 자리가 없으면 어텐션 마스크를 뺀 배치. 마스크가 없으면 CPU의 어텐션이 조금 더 빠릅니다."""
    return batch | {"attention_mask": None} if bool(batch["attention_mask"].all()) else batch


class LastStates:
    """`BertModel`이 마지막으로 낸 상태 `(batch, seq, hidden)`를 붙잡아 둡니다."""

    def __init__(self, bert):
        bert.register_forward_hook(
            lambda module, inputs, output: setattr(self, "value", output.last_hidden_state)
        )


def distillation(states, teacher, batch, original):
    """빈칸이 아닌 자리에서 배우는 모델의 상태가 원본(빈칸 없는 글을 읽은)의 상태에서 벗어난 정도. 원본의 분산으로 나눈 값입니다."""
    with torch.no_grad():
        goal = teacher(
            input_ids=original, attention_mask=batch["attention_mask"], token_type_ids=batch["token_type_ids"]
        ).last_hidden_state
    kept = (batch["labels"] == -100) & (original > 0)
    goal, states = goal[kept], states[kept]
    return (states - goal).square().sum() / (goal - goal.mean(0)).square().sum()


def text_means(states, mask):
    """`[CLS]`를 뺀 진짜 토큰의 상태의 평균 `(batch, hidden)`. `mask`가 `None`이면 모두 진짜입니다."""
    if mask is None:
        return states[:, 1:].mean(1)
    real = mask[:, 1:, None].to(states.dtype)
    return (states[:, 1:] * real).sum(1) / real.sum(1).clamp(min=1)


class Spread:
    """글의 평균이 차원마다 퍼진 정도. 본 것들의 평균과 분산을 조금씩 따라갑니다(exponential moving average)."""

    def __init__(self, values=None, keep=0.98):
        self.values, self.keep = values, keep  # (2, hidden): 평균과 분산

    def follow(self, means):
        found = torch.stack([means.mean(0), means.var(0, unbiased=False)])
        self.values = found if self.values is None else self.keep * self.values + (1 - self.keep) * found

    def standard(self, means):
        return POOLED_SPREAD * (means - self.values[0]) / self.values[1].clamp(min=1e-8).sqrt()


def pooled_error(model, states, mask, spread):
    """풀러가 내놓은 값과, 글의 평균을 고르게 펴서 tanh에 넣은 값의 제곱 오차."""
    goal = torch.tanh(spread.standard(text_means(states, mask).detach()))
    return (model.bert.pooler(states) - goal).square().mean()


def some_lines(folder, count):
    """리뷰와 글에서 저마다 `count`줄. 파일 전체에서 고르게 뽑습니다."""
    for name in ("reviews", "text"):
        with open(Path(folder) / f"{name}.txt", encoding="utf-8") as file:
            lines = [line.strip() for line in itertools.islice(file, 60 * count) if len(line) > 8]
        yield from lines[:: max(1, len(lines) // count)][:count]


@torch.no_grad()
def fit_pooler(model, tokenizer, folder, count=POOLED_LINES):
    """`[CLS]`의 상태에서 글의 평균을 가장 잘 되살리는 풀러의 값을 능형 회귀(ridge)로 구해 넣고, `(평균의 Spread, 설명한 분산의 비율)`을 돌려줍니다."""
    model.eval()
    ids = sorted(
        tokenizer(list(some_lines(folder, count)), truncation=True, max_length=128)["input_ids"], key=len
    )
    firsts, means = [], []
    for start in range(0, len(ids), 32):
        batch = tokenizer.pad({"input_ids": ids[start : start + 32]}, return_tensors="pt")
        states = model.bert(**batch).last_hidden_state
        firsts.append(states[:, 0])
        means.append(text_means(states, batch["attention_mask"]))
    model.train()
    x, y, spread = torch.cat(firsts).double(), torch.cat(means), Spread()
    spread.follow(y)
    y = spread.standard(y).double()
    center, scale = x.mean(0), x.std(0)
    x = (x - center) / scale
    weight = torch.linalg.solve(x.T @ x + POOLED_RIDGE * len(x) * torch.eye(x.shape[1]).double(), x.T @ y).T
    left = (y - x @ weight.T).square().sum() / y.square().sum()
    weight = weight / scale
    model.bert.pooler.dense.weight.copy_(weight)
    model.bert.pooler.dense.bias.copy_(-(weight @ center))
    return spread, round(1 - float(left), 4)


@torch.no_grad()
def held_out_losses(model, tokenizer, held_out, count=WATCHED):
    """갈래마다 떼어 둔 글의 MLM 손실과 맞힌 비율(top-1). 빈칸은 언제나 같은 15%입니다."""
    collator, found = MaskingCollator(tokenizer, 0.15), {}
    model.eval()
    for name, dataset in held_out.items():
        dataset.epoch = 0  # 빈칸의 자리를 정해 둡니다.
        places = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(np.int64)
        loss = total = right = 0.0
        for start in range(0, len(places), 16):
            batch = collator(ExampleRows(dataset, places[start : start + 16]))
            added, number, (scores, targets), _ = pretraining_losses(model, batch)
            loss, total = loss + float(added), total + int(number)
            right += int((scores.argmax(-1) == targets).sum())
        found[name] = {"loss": round(loss / total, 4), "top1": round(right / total, 4), "masked": int(total)}
    model.train()
    return found


def parts_of(model):
    """가중치마다의 부분: `head`(MLM 머리), `upper`(위쪽 절반의 층), `lower`(나머지 층과 임베딩), `pooler`. NSP 머리는 배우지 않아 없습니다."""
    layers = model.bert.encoder.layer
    modules = {
        "lower": [model.bert.embeddings, *layers[: len(layers) // 2]],
        "upper": layers[len(layers) // 2 :],
        "head": [model.cls.predictions],
        "pooler": [model.bert.pooler],
    }
    found = {}
    for part, members in modules.items():
        for weight in itertools.chain.from_iterable(module.parameters() for module in members):
            found.setdefault(weight, part)  # 점수를 매기는 행렬은 임베딩과 같은 것이라 lower에 듭니다.
    return found


def parameter_groups(model, rates):
    """`rates`(부분 -> 학습률)에 있는 부분만 배우게 하고 AdamW의 묶음들로 나눕니다."""
    groups, parts = [], parts_of(model)
    for weight in model.parameters():
        part = parts.get(weight)
        weight.requires_grad_(part in rates)
        if part in rates:
            decay = DECAY if weight.dim() > 1 else 0.0
            groups.append({"params": [weight], "peak": rates[part], "lr": rates[part], "weight_decay": decay})
    return groups


def save_state(path, **state):
    with written_aside(path) as part:
        torch.save(state, part)


def export(model, tokenizer, folder):
    """지금 가중치를 Hub 형식의 폴더로. 옆에 다 쓴 다음 파일마다 이름을 바꿉니다."""
    folder = Path(folder)
    aside = folder.with_name(folder.name + ".part")
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    vocab = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    (aside / "vocab.txt").write_text("".join(f"{token}\n" for token in vocab), encoding="utf-8")
    folder.mkdir(exist_ok=True)
    for path in sorted(aside.iterdir()):
        os.replace(path, folder / path.name)
    aside.rmdir()


class Adaptation:
    """이어 배우기 하나: 모델, 최적화기, 자리, 기록. `work/last.pt`에서 이어 갑니다."""

    def __init__(self, start, work, korquad, cooldown=0):
        self.work, self.korquad, self.cooldown = Path(work), korquad, cooldown
        self.tokenizer = AutoTokenizer.from_pretrained(start)
        self.model = open_model(start)
        self.teacher = open_model(start).bert.eval().requires_grad_(False)
        self.train, self.held_out = open_datasets(self.tokenizer, self.work / "text")
        self.states = LastStates(self.model.bert)
        self.stage, self.step, self.stage_step, self.tokens = "head", 0, 0, 0
        self.seconds = self.cpu_seconds = 0.0  # 걸린 시간(멈춰 둔 동안도 셉니다)과 CPU가 일한 시간
        path, saved = self.work / "last.pt", None
        if path.exists():
            saved = torch.load(path, weights_only=True)
            self.model.load_state_dict(saved["model"])
            for name in STATE:
                setattr(self, name, saved[name])
        self.spread = Spread(saved and saved.get("spread"))
        self._enter(self.stage, saved and saved["optimizer"])
        self.stop, self.pooled = False, []
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stop", True))
        self.threads = Threads()

    def _enter(self, stage, optimizer=None):
        self.stage, self.settings = stage, STAGES[stage]
        self.model.train()
        groups = parameter_groups(self.model, self.settings["rates"])
        self.optimizer = torch.optim.AdamW(groups, betas=BETAS, fused=True)
        if optimizer:
            peaks = [group["peak"] for group in self.optimizer.param_groups]
            self.optimizer.load_state_dict(optimizer)
            for group, peak in zip(self.optimizer.param_groups, peaks):
                group["peak"] = peak  # 저장해 둔 것이 아니라 지금 STAGES에 적힌 학습률입니다.
        self.batches = iter(Batches(self.tokenizer, self.train, self.settings["mlm_probability"], self.step))
        self.cooled_from = self.stage_step
        if "pooler" in self.settings["rates"] and self.spread.values is None:
            self.fit_pooler()

    def fit_pooler(self):
        self.spread, explained = fit_pooler(self.model, self.tokenizer, self.work / "text")
        self.log(pooler={"explained": explained})

    def factor(self):
        """학습률에 곱하는 값: 천천히 올리고, 그대로 두고, 식힐 때만 0까지 내립니다(trapezoid)."""
        warm = min(1.0, (self.stage_step + 1) / self.settings["warmup"])
        left = 1.0 - (self.stage_step - self.cooled_from) / self.cooldown if self.cooldown else 1.0
        return warm * left

    def update(self):
        """한 스텝 배우고 `(갈래, MLM 손실, 증류 손실이나 None)`을 돌려줍니다."""
        source, batch = next(self.batches)
        self.tokens += int(batch["attention_mask"].sum())
        batch = without_padding_mask(batch)
        compare = self.stage != "head" and SOURCES[source][0] != "reviews" and self.step % DISTILL_EVERY == 0
        loss, count, _, _ = pretraining_losses(self.model, batch)
        loss, distilled = loss / count.clamp(min=1), None
        if compare:
            original = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
            distilled = distillation(self.states.value, self.teacher, batch, original)
        whole = loss if distilled is None else loss + DISTILL_WEIGHT * distilled
        if "pooler" in self.settings["rates"]:
            self.spread.follow(text_means(self.states.value, batch["attention_mask"]).detach())
            pooled = pooled_error(self.model, self.states.value, batch["attention_mask"], self.spread)
            self.pooled.append(float(pooled.detach()))
            whole = whole + POOLED_WEIGHT * pooled
        whole.backward()
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * self.factor()
        torch.nn.utils.clip_grad_norm_([w for g in self.optimizer.param_groups for w in g["params"]], CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step, self.stage_step = self.step + 1, self.stage_step + 1
        return source, float(loss.detach()), None if distilled is None else float(distilled.detach())

    def save(self):
        state = {name: getattr(self, name) for name in STATE}
        save_state(
            self.work / "last.pt",
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            spread=self.spread.values,
            **state,
        )

    def log(self, **values):
        row = {"step": self.step, "stage": self.stage, "tokens": self.tokens, "seconds": round(self.seconds)}
        row["cpu_seconds"] = round(self.cpu_seconds)
        with open(
            self.work / ("cooldown.jsonl" if self.cooldown else "curve.jsonl"), "a", encoding="utf-8"
        ) as file:
            file.write(json.dumps(row | values, ensure_ascii=False) + "\n")

    def watch(self, full):
        values = {"held_out": held_out_losses(self.model, self.tokenizer, self.held_out)}
        if full and self.korquad:
            values["retrieval"] = retrieval(
                self.model.bert, self.tokenizer, self.korquad, 300, WATCHED_PASSAGES
            )
        self.log(**values)

    def run(self, steps):
        """`steps`번째 스텝까지(식히는 중이면 그만큼만) 배웁니다. SIGTERM을 받으면 저장하고 끝냅니다(식히던 것은 버립니다)."""
        last = self.step + self.cooldown if self.cooldown else steps
        saved, recent = time.perf_counter(), []
        self.log(
            settings={**self.settings, "distill": [DISTILL_EVERY, DISTILL_WEIGHT], "step_tokens": STEP_TOKENS}
        )
        if self.step == 0:
            self.watch(full=True)
        while self.step < last and not self.stop:
            limit = self.settings["steps"]
            if limit and self.stage_step >= limit:
                self.watch(full=False)
                self.stage_step = 0
                self._enter(list(STAGES)[list(STAGES).index(self.stage) + 1])
            self.threads.choose(self.step)
            begun, cpu, before = time.perf_counter(), time.process_time(), self.tokens
            source, loss, distilled = self.update()
            spent = time.perf_counter() - begun
            self.seconds, self.cpu_seconds = (
                self.seconds + spent,
                self.cpu_seconds + time.process_time() - cpu,
            )
            self.threads.told(self.tokens - before, spent)
            recent.append((source, loss, distilled))
            if self.step % LOG_STEPS == 0:
                pooled = {"pooled": round(float(np.mean(self.pooled)), 4)} if self.pooled else {}
                self.log(**recent_means(recent), **pooled, lr=self.factor(), threads=torch.get_num_threads())
                recent, self.pooled = [], []
            if self.step % WATCH_STEPS == 0 and self.step < last:
                self.watch(full=self.step % RETRIEVAL_STEPS == 0)
            if not self.cooldown and time.perf_counter() - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.perf_counter()
        if self.cooldown and not self.stop:  # 식히다 만 것은 내놓지 않습니다.
            self.fit_pooler()
            export(self.model, self.tokenizer, self.work / "cooled")
        elif not self.cooldown:
            self.save()
        self.watch(full=not self.stop)


def recent_means(recent):
    """최근 스텝들의 평균 손실: 갈래마다의 MLM 손실과 증류 손실."""
    means = {}
    for source, loss, _ in recent:
        means.setdefault(source, []).append(loss)
    distilled = [value for _, _, value in recent if value is not None]
    return {
        "train": {name: round(float(np.mean(losses)), 3) for name, losses in means.items()},
        "distilled": round(float(np.mean(distilled)), 4) if distilled else None,
    }


class Threads:
    """스레드 수를 그때그때 고릅니다. 다른 일이 코어를 쓰고 있으면 스레드끼리 기다리느라, 하나로 도는 편이 빠를 때가 많습니다."""

    def __init__(self, every=60, tries=3):
        self.choices, self.every, self.tries = [torch.get_num_threads(), 1], every, tries
        self.speeds = {choice: [] for choice in self.choices}
        self.trying = None

    def choose(self, step):
        place = step % self.every
        if place < self.tries * len(self.choices):
            self.trying = self.choices[place // self.tries]
            if place == 0:
                self.speeds = {choice: [] for choice in self.choices}
            torch.set_num_threads(self.trying)
        elif self.trying is not None:
            self.trying = None
            torch.set_num_threads(max(self.choices, key=lambda choice: max(self.speeds[choice], default=0.0)))

    def told(self, tokens, seconds):
        if self.trying is not None:
            self.speeds[self.trying].append(tokens / seconds)


def open_model(folder):
    """드롭아웃을 끈 `BertForPreTraining`."""
    model = BertForPreTraining.from_pretrained(
        folder, dtype=torch.float32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    return model
