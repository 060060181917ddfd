"""새 과제는 노트북 하나와 한 줄입니다: 저장소의 복사본에 장난감 과제를 더하고, 다른 파일은 하나도 고치지 않습니다."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import copy_to

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from check_site import problems

NAME = "nbs/88_toy.ipynb"
FRONT = """---
title: 88장 묻는 글 찾기
description: 글이 묻는 글인지 아닌지 가립니다.
section: 장난감
contents: 물음표 하나로 배우는 과제
en:
  title: Spotting questions
  contents: a task learned from one question mark
---"""
CELLS = [
    """#| default_exp toy
#| export
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from nlpbook_nbs.core.arguments import DeployArguments, TrainArguments, option
from nlpbook_nbs.core.encoding import TextEncoder
from nlpbook_nbs.core.features import FeatureDataset
from nlpbook_nbs.core.models import load_model, load_tokenizer
from nlpbook_nbs.core.prediction import predict_batches
from nlpbook_nbs.core.recipes import Recipe
from nlpbook_nbs.core.settings import set_seed
from nlpbook_nbs.core.tasks import Task
from nlpbook_nbs.core.training import run_training
""",
    '''#| export
TASK_NAME = "question-spotting"


@dataclass
class ToyTrainArguments(TrainArguments):
    """묻는 글 찾기의 학습 설정."""

    downstream_task_name: str = option(TASK_NAME, "과제 이름")
    question_mark: str = option("?", "이 글자로 끝나면 묻는 글")


@dataclass
class ToyDeployArguments(DeployArguments):
    """묻는 글 찾기의 추론 설정."""

    downstream_task_name: str = option(TASK_NAME, "과제 이름")
    threshold: float = option(0.5, "이보다 크면 묻는 글")
''',
    '''#| export
class ToyCorpus:
    """한 줄에 한 글이 적힌 `train.txt`와 `val.txt`."""

    def __init__(self, folder: Path, mark: str):
        self.folder, self.mark = folder, mark

    def read(self, mode: str) -> list[tuple[str, int]]:
        """`(글, 묻는 글이면 1)`의 목록."""
        lines = (self.folder / f"{mode}.txt").read_text(encoding="utf-8").splitlines()
        return [(line.removesuffix(self.mark), int(line.endswith(self.mark))) for line in lines]


@dataclass
class ToyFeatures:
    """특징 하나."""

    input_ids: list
    attention_mask: list
    token_type_ids: list
    label: int


class ToyDataset(FeatureDataset):
    """글과 레이블의 데이터셋."""

    def __init__(self, args: ToyTrainArguments, tokenizer, corpus: ToyCorpus, mode: str):
        rows = corpus.read(mode)
        columns = TextEncoder(tokenizer, args.max_seq_length)([text for text, _ in rows])
        columns["label"] = np.array([label for _, label in rows])
        super().__init__(columns, ToyFeatures, tokenizer, args.max_seq_length)
        self.fingerprint = f"toy-{mode}"


class ToyTask(Task):
    """지표는 손실 하나입니다."""
''',
    '''#| export
def open_corpus(args: ToyTrainArguments) -> ToyCorpus:
    """설정에 적힌 폴더의 말뭉치."""
    return ToyCorpus(Path(args.downstream_corpus_root_dir, args.downstream_corpus_name), args.question_mark)


def train(args: ToyTrainArguments, corpus: ToyCorpus = None) -> dict:
    """학습하고 결과를 돌려줍니다."""
    from transformers import AutoModelForSequenceClassification

    set_seed(args)
    corpus, tokenizer = corpus or open_corpus(args), load_tokenizer(args)
    data = [ToyDataset(args, tokenizer, corpus, mode) for mode in ("train", "val")]
    model = load_model(AutoModelForSequenceClassification, args, id2label={0: "아님", 1: "물음"}, label2id={"아님": 0, "물음": 1})
    return run_training(ToyTask(model, args), args, *data)


def load(args: ToyDeployArguments):
    """글의 목록을 받아 `{"text", "question"}` 사전의 목록을 돌려주는 함수."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(args.downstream_model_dir)
    tokenizer = AutoTokenizer.from_pretrained(args.downstream_model_dir)

    def predict(texts: list) -> list:
        columns = TextEncoder(tokenizer, args.max_seq_length)(texts)
        data, shares = FeatureDataset(columns, ToyFeatures, tokenizer, args.max_seq_length), np.zeros(len(texts))
        for places, _, outputs in predict_batches(model, data, args.batch_size, args.device):
            shares[places] = outputs.logits.softmax(-1)[:, 1].cpu().numpy()
        return [{"text": text, "question": bool(share > args.threshold)} for text, share in zip(texts, shares)]

    return predict


RECIPE = Recipe(
    title="묻는 글 찾기",
    train_arguments=ToyTrainArguments,
    deploy_arguments=ToyDeployArguments,
    corpus="questions",
    training={"nlpbook-mini": {"learning_rate": 1e-3, "epochs": 1}},
    head="ForSequenceClassification",
    open_corpus=open_corpus,
    train=train,
    load=load,
    examples=("몇 시야",),
)
''',
]


def notebook():
    """머리말과 소개, 내보내는 셀들로 된 노트북의 글."""
    cells = [
        {"cell_type": "raw", "source": FRONT},
        {"cell_type": "markdown", "source": "**이 장에서 배우는 것**\n\n- 묻는 글"},
    ]
    cells += [
        {"cell_type": "code", "execution_count": None, "outputs": [], "source": text.rstrip()}
        for text in CELLS
    ]
    cells = [{"id": f"toy{number:05}", "metadata": {}} | cell for number, cell in enumerate(cells)]
    return json.dumps(
        {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, ensure_ascii=False
    )


def commands_of_export(folder):
    """`make export`가 차례로 부르는 명령들."""
    spec = importlib.util.spec_from_file_location("copied_make", folder / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    commands = []
    make.run = lambda tool, *words: commands.append(
        [Path(sys.executable).with_name(make.in_venv(tool).name), *words]
    )
    make.export()
    return commands


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """노트북 하나와 한 줄을 더하고 `make export`를 부른 저장소의 복사본."""
    folder = copy_to(tmp_path_factory.mktemp("toy") / "copy")
    (folder / NAME).write_text(notebook(), encoding="utf-8")
    recipes = folder / "nbs" / "core" / "recipes.ipynb"
    text, line = recipes.read_text(encoding="utf-8"), r"""    "    \"qa\": \"nlpbook_nbs.qa\",\n",""" + "\n"
    assert text.count(line) == 1
    recipes.write_text(text.replace(line, line + line.replace("qa", "toy")), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "IN_TEST"}
    for command in commands_of_export(folder):
        subprocess.run(command, cwd=folder, env=environment | {"PYTHONPATH": str(folder)}, check=True)
    return folder


def nlpbook(folder, *words, cwd, **options):
    code = "import sys; from nlpbook_nbs.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_new_task_is_in_every_table_the_sidebar_and_the_api(changed):
    expected = {
        "README.md": f"[88장 묻는 글 찾기]({NAME})",
        "README.en.md": f"[88. Spotting questions]({NAME})",
        "index.qmd": f"**[88장 묻는 글 찾기]({NAME})**\n\n글이 묻는 글인지 아닌지 가립니다\n\n:::",
        "_quarto.yml": f"      - section: 장난감\n        contents:\n          - {NAME}\n",
        "api/index.qmd": "[toy](toy.qmd)",
        "api/toy.qmd": "## ToyTrainArguments",
        NAME: f"blob/main/{NAME})",
    }
    for name, text in expected.items():
        assert text in (changed / name).read_text(encoding="utf-8"), name
    assert "- api/toy.qmd\n" in (changed / "_quarto.yml").read_text(encoding="utf-8")
    assert problems(changed) == []


def test_nothing_but_what_is_generated_has_changed(changed):
    generated = {"README.md", "README.en.md", "index.qmd", "_quarto.yml", "nlpbook_nbs/_modidx.py"}
    generated |= {"nlpbook_nbs/__init__.pyi"}
    generated |= {"api/index.qmd", "api/core/recipes.qmd", "nlpbook_nbs/core/recipes.py"}
    done = {
        path.relative_to(changed).as_posix()
        for path in changed.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
        if not (ROOT / path.relative_to(changed)).exists()
        or path.read_bytes() != (ROOT / path.relative_to(changed)).read_bytes()
    }
    assert done - generated == {NAME, "nbs/core/recipes.ipynb", "nlpbook_nbs/toy.py", "api/toy.qmd"}


def test_new_task_trains_and_predicts_on_the_command_line(changed, tmp_path):
    assert "--question_mark" in nlpbook(changed, "train", "toy", "--help", cwd=tmp_path)
    folder = tmp_path / "questions"
    folder.mkdir()
    for mode in ("train", "val"):
        (folder / f"{mode}.txt").write_text("몇 시야?\n세 시야\n" * 4, encoding="utf-8")
    words = ["train", "toy", "--downstream_corpus_root_dir", ".", "--max_seq_length", "16", "--seed", "7"]
    result = json.loads(nlpbook(changed, *words, "--downstream_model_dir", "model", cwd=tmp_path))
    assert result["task"] == "question-spotting" and result["epochs"] == 1 and result["val_loss"] > 0
    assert "--threshold" in nlpbook(changed, "predict", "toy", "--help", cwd=tmp_path)
    for threshold, answer in (("0", True), ("1", False)):
        words = ["predict", "--model_dir", "model", "--threshold", threshold, "몇 시야"]
        found = json.loads(nlpbook(changed, *words, cwd=tmp_path))
        assert found == {"text": "몇 시야", "question": answer}
