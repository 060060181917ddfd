"""예전 교재의 결함 5, 6, 7, 8, 9, 10을 3장과 5장의 과제에서도 확인합니다."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write

from nlpbook_nbs.classification import ClassificationDataset, ClassificationTask, load_classifier
from nlpbook_nbs.core import corpora
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.features import data_collator
from nlpbook_nbs.core.models import load_model
from nlpbook_nbs.core.resume import load_checkpoint
from nlpbook_nbs.core.training import get_trainer, make_loader
from nlpbook_nbs.paircls import KlueNLICorpus, KorNLICorpus, PairDeployArguments, PairTrainArguments
from nlpbook_nbs.qa import (
    KorQuADV1Corpus,
    QADataset,
    QADeployArguments,
    QATask,
    QATrainArguments,
    korquad_scores,
    load_answerer,
)


class Pairs:
    corpus, dataset, task, metric = KlueNLICorpus, ClassificationDataset, ClassificationTask, "val_acc"
    arguments, deploy = PairTrainArguments, PairDeployArguments
    values = {"downstream_corpus_name": "klue-nli", "max_seq_length": 64}

    @staticmethod
    def model(args):
        from transformers import AutoModelForSequenceClassification

        return load_model(AutoModelForSequenceClassification, args, num_labels=3)

    @staticmethod
    def load(args):
        return load_classifier(args)


class Questions:
    corpus, dataset, task, metric = KorQuADV1Corpus, QADataset, QATask, "val_f1"
    arguments, deploy = QATrainArguments, QADeployArguments
    values = {
        "downstream_corpus_name": "korquad-v1",
        "max_seq_length": 64,
        "max_query_length": 16,
        "doc_stride": 24,
    }

    @staticmethod
    def model(args):
        from transformers import AutoModelForQuestionAnswering

        return load_model(AutoModelForQuestionAnswering, args)

    @staticmethod
    def load(args):
        return load_answerer(args)


TASKS = pytest.mark.parametrize("task", [Pairs, Questions])


@pytest.fixture
def arguments(small_training):
    return lambda task, **changes: task.arguments(**(small_training | task.values | changes))


@pytest.fixture
def fit(arguments, mini_tokenizer):
    def run(task, **changes):
        args = arguments(task, precision="fp32", batch_size=28, **changes)
        data = [task.dataset(args, mini_tokenizer, task.corpus(), mode) for mode in ("train", "val")]
        trainer, lightning = get_trainer(args), task.task(task.model(args), args)
        trainer.fit(lightning, make_loader(data[0], args, True), make_loader(data[1], args, False))
        return trainer, args, data[1]

    return run


@TASKS
def test_changed_file_is_noticed_and_the_cache_is_no_pickle(arguments, mini_tokenizer, tmp_path, task):
    """결함 5."""
    sample, folder = Path(sample_root(), task.values["downstream_corpus_name"]), tmp_path / "root" / "mine"
    folder.mkdir(parents=True)
    name = task.corpus().get_files(sample, "val")[0].name
    content = (sample / name).read_text(encoding="utf-8")
    changes = {"downstream_corpus_root_dir": str(tmp_path / "root"), "downstream_corpus_name": "mine"}

    def load():
        return task.dataset(arguments(task, **changes), mini_tokenizer, task.corpus(), "val")

    write(folder / name, content)
    first, again = load(), load()
    assert again.fingerprint == first.fingerprint
    write(folder / name, content.replace("은 ", "는 ", 1))
    assert load().fingerprint != first.fingerprint
    found = [path for path in Path(tmp_path, "cache").rglob("*") if path.is_file()]
    assert found and {path.suffix for path in found} <= {".npy", ".json", ".lock"}
    for path in found:
        if path.suffix == ".npy":
            np.load(path, allow_pickle=False)


@pytest.mark.parametrize("name, corpus", [("klue-nli", KlueNLICorpus), ("korquad-v1", KorQuADV1Corpus)])
def test_corpora_are_read_under_the_names_they_are_downloaded_as(tmp_path, name, corpus):
    """결함 6."""
    files = corpora.CORPORA[name].files
    for file in files:
        write(tmp_path / file.name, "")
    read = {path.name for mode in ("train", "val") for path in corpus().get_files(tmp_path, mode)}
    assert read <= {file.name for file in files} | {file.alias for file in files} and len(read) == 2
    for path in [tmp_path / file.name for file in files]:
        path.unlink()
    for file in files:
        write(tmp_path / (file.alias or file.name), "")
    assert all(path.is_file() for mode in ("train", "val") for path in corpus().get_files(tmp_path, mode))


def test_half_a_corpus_file_is_never_left_behind(tmp_path, monkeypatch):
    """결함 6: 미러에 반 토막 난 파일이 있으면 받아들이지 않고 아무것도 남기지 않습니다."""
    mirror = tmp_path / "mirror" / "klue-nli"
    mirror.mkdir(parents=True)
    write(mirror / "klue-nli-v1.1_train.json", '[{"guid"')
    monkeypatch.setenv("NLPBOOK_DATA_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(corpora.NlpbookError, match="공식 파일과 다릅니다"):
        corpora.download("klue-nli", tmp_path / "root")
    assert not [path for path in Path(tmp_path, "root").rglob("*") if path.is_file()]


@TASKS
def test_best_epoch_is_kept_and_the_folder_is_a_plain_hugging_face_model(fit, task):
    """결함 7과 9: 점수를 파일 이름에서 읽지 않고, 이름을 고치거나 피클을 읽지 않아도 됩니다."""
    from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification

    trainer, args, _ = fit(task, epochs=3, learning_rate=3e-3, monitor=f"max {task.metric}")
    values = trainer.history.column(task.metric)[1]
    folder = Path(args.downstream_model_dir)
    record = json.loads((folder / "nlpbook.json").read_text(encoding="utf-8"))
    assert record["epoch"] == int(np.argmax(values))
    assert record["metrics"][task.metric] == pytest.approx(max(values), abs=1e-4)
    state = load_checkpoint(folder / record["checkpoint"])["state_dict"]
    cls = AutoModelForSequenceClassification if task is Pairs else AutoModelForQuestionAnswering
    saved = cls.from_pretrained(str(folder)).state_dict()
    assert saved and all(torch.equal(state[f"model.{name}"], saved[name]) for name in saved)
    assert not [path for path in folder.rglob("*") if path.suffix in {".bin", ".pt", ".pkl", ".part"}]


def test_pipeline_reads_the_saved_pair_model(fit):
    """결함 9."""
    from transformers import pipeline

    _, args, _ = fit(Pairs)
    pair = ("비가 온다.", "날이 맑다.")
    found = pipeline("text-classification", model=args.downstream_model_dir, device="cpu")(
        {"text": pair[0], "text_pair": pair[1]}
    )
    found = found[0] if isinstance(found, list) else found
    ours = load_classifier(PairDeployArguments(downstream_model_dir=args.downstream_model_dir))([pair])[0]
    assert found["label"] == ours["label"] and found["score"] == pytest.approx(ours["score"], abs=1e-5)


@TASKS
def test_scores_count_every_example_once(fit, task):
    """결함 8: 마지막 배치가 짧아도 예시마다 한 번씩만 셉니다."""
    trainer, args, data = fit(task)
    assert len(data) % args.batch_size
    found = task.load(
        task.deploy(
            downstream_model_dir=args.downstream_model_dir,
            **{name: task.values[name] for name in task.values if name in {"doc_stride", "max_query_length"}},
        )
    )
    rows = task.corpus().get_examples(
        Path(args.downstream_corpus_root_dir, args.downstream_corpus_name), "val"
    )
    if task is Pairs:
        labels = task.corpus().get_labels()
        choices = found.probabilities([(row.text_a, row.text_b) for row in rows]).argmax(1)
        score = np.mean([labels[choice] == row.label for choice, row in zip(choices, rows)])
    else:
        answers = found.answer([(row.question_text, row.context_text) for row in rows])
        score = korquad_scores(
            {row.qas_id: answer["answer"] for row, answer in zip(rows, answers)},
            {row.qas_id: row.answers for row in rows},
        )["f1"]
    assert float(trainer.callback_metrics[task.metric]) == pytest.approx(score, abs=1e-3)


@TASKS
def test_nothing_is_padded_in_memory_and_trimming_changes_no_score(arguments, mini_tokenizer, task):
    """결함 10."""
    args = arguments(task)
    data = task.dataset(args, mini_tokenizer, task.corpus(), "val")
    stored = sum(
        len(column)
        for name, column in data.columns.items()
        if name.endswith(("input_ids", "question_ids", "context_ids"))
    )
    assert stored < 0.8 * len(data) * args.max_seq_length
    model = task.model(args).eval()
    indices = np.argsort(data.lengths)[:6]
    trimmed = data_collator(data.__getitems__(indices))
    padded = [data[int(index)] for index in indices]
    assert trimmed["input_ids"].shape[1] < args.max_seq_length
    names = ("input_ids", "attention_mask", "token_type_ids")
    whole = {name: torch.tensor([getattr(row, name) for row in padded]) for name in names}
    with torch.inference_mode():
        short, full = model(**{name: trimmed[name] for name in names}), model(**whole)
    width = trimmed["input_ids"].shape[1]
    for name in ("logits",) if task is Pairs else ("start_logits", "end_logits"):
        expected = getattr(full, name) if task is Pairs else getattr(full, name)[:, :width]
        mask = (
            torch.ones_like(expected, dtype=torch.bool) if task is Pairs else trimmed["attention_mask"] == 1
        )
        assert torch.allclose(getattr(short, name)[mask], expected[mask], atol=1e-5)


def test_kornli_reads_what_lies_there(tmp_path):
    head = "sentence1\tsentence2\tgold_label\n"
    write(tmp_path / "snli_1.0_train.ko.tsv", head + "비가 온다.\t날이 흐리다.\tneutral\n")
    assert [row.label for row in KorNLICorpus().get_examples(tmp_path, "train")] == ["neutral"]
