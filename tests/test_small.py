"""패키지에 8비트로 담은 모델을 이름으로 엽니다. 대개는 그 자리에서 담은 아주 작은 모델로, 끝에서는 nlpbook-small로 봅니다."""

import os
import pickle
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from conftest import SMALL_BERT

import nlpbook_nbs as nlpbook
from nlpbook_nbs.core import folders
from nlpbook_nbs.core.arguments import TrainArguments
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.storage import PACKED, PLAIN, pack_weights

NAME = "nlpbook-small"


@pytest.fixture(scope="module")
def packed(tmp_path_factory, mini_tokenizer):
    """8비트로 담은 아주 작은 BERT의 폴더. 이름은 nlpbook-small입니다."""
    from transformers import BertConfig, BertForPreTraining

    plain, folder = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("models") / NAME
    folder.mkdir()
    torch.manual_seed(0)
    BertForPreTraining(BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT)).save_pretrained(plain)
    mini_tokenizer.save_pretrained(plain)
    for path in plain.iterdir():
        if path.name != PLAIN:
            (folder / path.name).write_bytes(path.read_bytes())
    pack_weights(plain / PLAIN, folder / PACKED)
    return folder


@pytest.fixture
def small(packed, monkeypatch):
    """nlpbook-small이라는 이름이 아주 작은 담은 모델을 가리킵니다. 그 모델의 폴더를 돌려줍니다."""
    monkeypatch.setitem(folders.EMBEDDED_MODELS, NAME, replace(folders.EMBEDDED_MODELS[NAME], path=packed))
    return packed


def test_the_name_gives_a_folder_that_transformers_opens(small, tmp_path):
    from transformers import AutoModelForMaskedLM, BertTokenizer, pipeline

    folder = Path(nlpbook.resolve_model_name(NAME))
    assert folder.name == NAME and (folder / PLAIN).is_file() and folder.is_relative_to(tmp_path / "cache")
    args = TrainArguments(pretrained_model_name=NAME, max_seq_length=32)
    tokenizer = BertTokenizer.from_pretrained(args.pretrained_model_name, do_lower_case=False)
    model = AutoModelForMaskedLM.from_pretrained(args.pretrained_model_name)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert len(tokenizer) == model.config.vocab_size
    assert pipeline("fill-mask", model=nlpbook.resolve_model_name(NAME))("이 영화 [MASK]")[0]["token_str"]


def test_settings_keep_the_name_and_know_the_length_of_the_model(small):
    args = TrainArguments(pretrained_model_name=NAME, max_seq_length=32)
    assert asdict(args)["pretrained_model_name"] == NAME and f"모델 {NAME} ·" in args.summary()
    for copied in (replace(args, seed=1), pickle.loads(pickle.dumps(args)), TrainArguments(**asdict(args))):
        assert repr(copied.pretrained_model_name) == repr(NAME)
    with pytest.raises(NlpbookError, match=f"max_seq_length=65.*{NAME}.*64 이하로"):
        replace(args, max_seq_length=65)


def test_it_is_unfolded_at_its_first_use_only(small, tmp_path):
    folders.resolve_model_name("nlpbook-mini")
    TrainArguments(pretrained_model_name="nlpbook-mini")
    assert not (tmp_path / "cache" / "models").exists()
    first = Path(nlpbook.resolve_model_name(NAME))
    stamp = (first / PLAIN).stat().st_mtime_ns
    assert folders.has_weights(NAME) and folders.read_model_config(NAME)["hidden_size"] == 32
    assert Path(folders.embedded_name(NAME)) == first and (first / PLAIN).stat().st_mtime_ns == stamp


def test_every_task_trains_on_it_and_the_record_says_its_name(small, small_training):
    from nlpbook_nbs.core.recipes import load_recipe

    recipe = load_recipe("doc-cls")
    values = small_training | {"pretrained_model_name": NAME, "from_scratch": False, "test_mode": False}
    args = recipe.train_arguments(
        **values | {"downstream_corpus_name": "nsmc", "max_seq_length": 16, "epochs": 1}
    )
    assert recipe.train(args)["steps"] > 0
    record = folders.read_model_record(args.downstream_model_dir)
    assert NAME in str(record) and str(Path(args.pretrained_model_name).parent) not in str(record)
    assert nlpbook.load(args.downstream_model_dir)("좋아요")


@pytest.mark.parametrize("task", ["doc-cls", "pair-cls", "ner", "qa"])
def test_every_card_has_settings_for_every_embedded_model(task):
    from nlpbook_nbs.core.recipes import load_recipe, with_defaults

    recipe = load_recipe(task)
    readers = set(folders.EMBEDDED_MODELS) - {"nlpbook-gpt"}  # 글을 쓰는 모델은 7장의 것입니다.
    assert set(recipe.training) == readers
    values = with_defaults(recipe, {"pretrained_model_name": NAME})
    usual = folders.EMBEDDED_MODELS[NAME].learning_rate
    assert usual / 3 <= values["learning_rate"] <= 3 * usual  # 이 밖이면 학습률을 바꾸라고 권합니다.


def test_a_broken_package_is_explained_in_one_sentence(small, tmp_path, monkeypatch):
    broken = tmp_path / NAME
    broken.mkdir()
    for path in small.iterdir():
        (broken / path.name).write_bytes(path.read_bytes()[:-9])
    monkeypatch.setitem(folders.EMBEDDED_MODELS, NAME, replace(folders.EMBEDDED_MODELS[NAME], path=broken))
    with pytest.raises(NlpbookError, match="다시 설치하세요"):
        TrainArguments(pretrained_model_name=NAME)


def test_a_cache_that_cannot_be_written_does_not_stop_it(small, tmp_path, monkeypatch):
    (tmp_path / "blocked").write_text("", encoding="utf-8")
    monkeypatch.setenv("NLPBOOK_CACHE", str(tmp_path / "blocked"))
    assert (Path(nlpbook.resolve_model_name(NAME)) / PLAIN).is_file()


def test_processes_that_open_it_by_name_together_all_get_a_whole_folder(small, tmp_path):
    code = (
        "from dataclasses import replace; from pathlib import Path; from nlpbook_nbs.core import folders;"
        f"one = folders.EMBEDDED_MODELS[{NAME!r}];"
        f"folders.EMBEDDED_MODELS[{NAME!r}] = replace(one, path=Path({str(small)!r}));"
        f"print(Path(folders.resolve_model_name({NAME!r}), {PLAIN!r}).stat().st_size)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)
        for _ in range(3)
    ]
    sizes = {run.communicate()[0] for run in runs}
    assert len(sizes) == 1 and int(sizes.pop()) > 0


def test_naming_the_models_neither_unfolds_nor_imports_numpy():
    code = "import sys, nlpbook_nbs.core.folders as f; list(f.EMBEDDED_MODELS.items()); assert 'numpy' not in sys.modules"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_nlpbook_small_itself_opens_tokenizes_and_fills_a_blank():
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    folder = nlpbook.resolve_model_name(NAME)
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForMaskedLM.from_pretrained(folder).eval(),
    )
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (12, 384)
    assert len(tokenizer) == model.config.vocab_size
    text = "대한민국의 수도는 [MASK]이다. 조선(朝鮮) ㅋㅋ…"
    batch = tokenizer(text, return_tensors="pt")
    assert tokenizer.unk_token_id not in batch["input_ids"]
    with torch.no_grad():
        scores = model(**batch).logits[0, batch["input_ids"][0].tolist().index(tokenizer.mask_token_id)]
    assert tokenizer.convert_ids_to_tokens(int(scores.argmax())) not in tokenizer.all_special_tokens
    size = sum(path.stat().st_size for path in folders.EMBEDDED_MODELS[NAME].path.iterdir())
    assert size < 40_000_000
