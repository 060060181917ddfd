"""패키지에 든 말뭉치의 글과, 그 가운데 얼마로 배우는지(max_train_samples, full_sample)."""

import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT, write
from transformers import AutoTokenizer

from nlpbook_nbs.classification import ClassificationDataset, ClassificationExample, NsmcCorpus
from nlpbook_nbs.cli import main, parse_train_arguments
from nlpbook_nbs.core.corpora import corpus_examples, sample_root
from nlpbook_nbs.core.folders import resolve_model_name
from nlpbook_nbs.core.prechecks import check_labels, unseen_labels
from nlpbook_nbs.core.recipes import TASKS, load_recipe, with_defaults
from nlpbook_nbs.core.settings import NlpbookError, Profile
from nlpbook_nbs.generation import GenerationDataset
from nlpbook_nbs.generation import NsmcCorpus as PromptCorpus
from nlpbook_nbs.ner import NERCorpus, NERDataset
from nlpbook_nbs.paircls import KlueNLICorpus
from nlpbook_nbs.qa import KorQuADV1Corpus, QADataset
from nlpbook_nbs.search import SearchCorpus, SearchDataset

QUICK, BOOK = Profile("quick", "시험"), Profile("book", "시험")
REAL = {
    "nsmc": "CC0 1.0",
    "klue-nli": "CC BY-SA 4.0",
    "kornli": "CC BY-SA 4.0",
    "klue-ner": "CC BY-SA 4.0",
    "kowiki": "CC BY-SA 4.0",
}


# 패키지에 든 글


def test_packaged_texts_are_what_the_tool_draws_from_the_published_corpora(real_data, tmp_path, monkeypatch):
    path = ROOT / "tools" / "make_sample.py"
    spec = importlib.util.spec_from_file_location("make_sample", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr("sys.argv", ["make_sample.py", str(real_data), "--target", str(tmp_path)])
    tool.main()
    made = {
        path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.suffix in {".txt", ".json", ".tsv"}
    }
    assert len(made) == 10
    for name in made:
        assert (tmp_path / name).read_bytes() == Path(sample_root(), name).read_bytes(), name


def test_packaged_reviews_are_balanced_and_no_text_stands_in_two_parts():
    seen = set()
    for mode, size in {"train": 12_000, "val": 1_000, "test": 2_000}.items():
        path = Path(sample_root(), "nsmc", f"ratings_{mode}.txt")
        assert path.read_text(encoding="utf-8").splitlines()[0] == "id\tdocument\tlabel"
        rows = NsmcCorpus().get_examples(path.parent, mode)
        assert len(rows) == size and 0.47 < sum(row.label == "1" for row in rows) / size < 0.53
        texts = {"".join(row.text_a.split()) for row in rows}
        assert len(texts) == size and not texts & seen and "" not in texts
        seen |= texts


@pytest.mark.parametrize("task", TASKS)
def test_the_first_rows_the_quick_profile_reads_hold_every_label_about_equally(task):
    recipe = load_recipe(task)
    args = recipe.train_arguments(**with_defaults(recipe, {}, QUICK))
    rows = corpus_examples(recipe.open_corpus(args), args, "train")
    assert 0 < len(rows) <= recipe.sample
    if task == "ner":
        labels = [entity.label for row in rows for entity in row.entities]
        assert len(set(labels)) == 6 and all(labels.count(label) > 50 for label in set(labels))
    elif task not in {"qa", "search"}:
        labels = [row.condition if task == "generation" else row.label for row in rows]
        shares = [labels.count(label) / len(labels) for label in set(labels)]
        assert (
            len(shares) == {"doc-cls": 2, "pair-cls": 3, "generation": 2}[task]
            and max(shares) - min(shares) < 0.04
        )


@pytest.mark.parametrize("name", REAL)
def test_real_texts_ship_with_their_licence_their_source_and_what_was_changed(name):
    folder = Path(sample_root(), name)
    licence = (folder / "LICENSE").read_text(encoding="utf-8")
    assert {"CC0 1.0": "CC0 1.0 Universal", "CC BY-SA 4.0": "Attribution-ShareAlike 4.0"}[
        REAL[name]
    ] in licence
    notice = (folder / "NOTICE").read_text(encoding="utf-8")
    assert REAL[name] in notice and "https://github.com/" in notice and "바꾼 것" in notice
    for told in (ROOT / "README.md", ROOT / "README.en.md", Path(sample_root(), "README.md")):
        assert REAL[name] in told.read_text(encoding="utf-8"), told.name


# 학습에 쓸 만큼만


DATASETS = {
    "doc-cls": (ClassificationDataset, NsmcCorpus),
    "pair-cls": (ClassificationDataset, KlueNLICorpus),
    "ner": (NERDataset, NERCorpus),
    "qa": (QADataset, KorQuADV1Corpus),
    "search": (SearchDataset, SearchCorpus),
    "generation": (GenerationDataset, PromptCorpus),
}


@pytest.fixture
def dataset(small_training, mini_tokenizer):
    gpt_tokenizer = AutoTokenizer.from_pretrained(resolve_model_name("nlpbook-gpt"))

    def make(task, mode="train", **changes):
        recipe, (kind, corpus) = load_recipe(task), DATASETS[task]
        lengths = {"max_seq_length": 64, "doc_stride": 16} if task == "qa" else {}
        options = {**small_training, "downstream_corpus_name": recipe.corpus, **lengths, **changes}
        args = recipe.train_arguments(**options)
        tokenizer = gpt_tokenizer if task == "generation" else mini_tokenizer
        return kind(args, tokenizer, corpus(args) if task == "ner" else corpus(), mode)

    return make


def rows_of(data):
    """데이터셋에 든 예시의 수."""
    return len(data.examples) if hasattr(data, "examples") else len(data)


@pytest.mark.parametrize("task", TASKS)
def test_training_reads_the_first_rows_only_and_the_log_says_so(dataset, messages, task):
    whole = dataset(task)
    assert not [text for text in messages() if "가운데 앞의" in text]
    few = dataset(task, max_train_samples=50)
    assert rows_of(few) == 50
    if task == "search":  # 건수는 질문의 수이고, 하나씩 꺼내면 지문입니다.
        assert few.examples == whole.examples[:50]
    else:
        assert [few[place] for place in range(20)] == [whole[place] for place in range(20)]
    (told,) = [text for text in messages() if "가운데 앞의" in text]
    assert f"학습 {rows_of(whole):,}건 가운데 앞의 50건" in told and "--full_sample" not in told
    assert dataset(task, max_train_samples=50).fingerprint == few.fingerprint
    assert len([text for text in messages() if "가운데 앞의" in text]) == 2  # 캐시에서 열어도 말합니다.


@pytest.mark.parametrize("task", TASKS)
def test_number_of_rows_is_part_of_the_cache_key_of_train_alone(dataset, task):
    keys = {dataset(task, max_train_samples=most).fingerprint for most in (20, 30, None)}
    assert len(keys) == 3
    assert dataset(task, "val", max_train_samples=20).fingerprint == dataset(task, "val").fingerprint


@pytest.mark.parametrize("task", TASKS)
def test_more_rows_than_there_are_means_all_of_them(dataset, messages, task):
    assert rows_of(dataset(task, max_train_samples=100_000)) == rows_of(dataset(task))
    assert not [text for text in messages() if "가운데 앞의" in text]


class Sorted:
    """파일 없이 만든, 레이블의 차례로 늘어선 말뭉치."""

    num_labels = 2

    def get_labels(self):
        return ["가", "나"]

    def get_examples(self, data_root_path, mode):
        return [ClassificationExample(f"{mode} {n}번 글", None, "가" if n < 6 else "나") for n in range(12)]


def test_label_checks_see_the_rows_that_are_learnt_from(train_args, mini_tokenizer):
    made = {
        most: [
            ClassificationDataset(train_args(max_train_samples=most), mini_tokenizer, Sorted(), mode)
            for mode in ("train", "val")
        ]
        for most in (6, 8)
    }
    with pytest.raises(NlpbookError, match="6건의 레이블이 모두 '가'"):
        check_labels(made[6][0])
    (told,) = unseen_labels(*made[6], "검증")
    assert "레이블 나은(는)" in told
    check_labels(made[8][0])
    assert unseen_labels(*made[8], "검증") == []


@pytest.mark.parametrize("most", [0, -1, 1.5, "많이"])
def test_a_number_of_rows_that_is_none_is_refused(train_args, most):
    with pytest.raises(NlpbookError, match="max_train_samples"):
        train_args(max_train_samples=most)


# quick 프로파일


@pytest.mark.parametrize("task", TASKS)
def test_quick_profile_learns_from_the_first_rows_of_the_packaged_corpus(task):
    recipe = load_recipe(task)

    def most(profile=QUICK, **given):
        return recipe.train_arguments(**with_defaults(recipe, given, profile)).max_train_samples

    assert most() == recipe.sample > 0
    assert most(max_train_samples=7) == 7 and most(full_sample=True) is None and most(BOOK) is None
    assert most(downstream_corpus_root_dir="corpora") is None
    assert most(downstream_corpus_name="mine") is None


def test_a_number_of_rows_and_the_whole_sample_are_not_both_to_be_had(train_args):
    with pytest.raises(NlpbookError, match="full_sample=True와 max_train_samples=7"):
        train_args(full_sample=True, max_train_samples=7)


def test_a_card_without_a_sample_size_learns_from_all_of_it():
    recipe = SimpleNamespace(training={"nlpbook-mini": {}}, corpus="nsmc", sample=0)
    assert with_defaults(recipe, {}, QUICK)["max_train_samples"] is None


def test_the_log_names_the_option_that_takes_the_rest(tiny_model, tmp_path, capsys):
    words = ["--pretrained_model_name", str(tiny_model), "--from_scratch", "--max_seq_length", "16"]
    words += ["--downstream_model_dir", str(tmp_path / "model"), "--test_mode", "--accelerator", "cpu"]
    assert main(["train", "doc-cls", *words]) == 0
    told = capsys.readouterr()
    assert re.search(r"학습 12,000건 가운데 앞의 1,500건.*--full_sample", told.err)
    assert json.loads(told.out)["corpus"] == "nsmc"


def test_options_on_the_command_line_choose_how_much_is_learnt_from(tmp_path):
    recipe = load_recipe("doc-cls")
    for words, most in (([], 1_500), (["--full_sample"], None), (["--max_train_samples", "20"], 20)):
        assert parse_train_arguments(recipe, words, profile=QUICK).max_train_samples == most
    path = write(tmp_path / "args.json", {"full_sample": True})
    assert parse_train_arguments(recipe, [str(path)], profile=QUICK).max_train_samples is None
