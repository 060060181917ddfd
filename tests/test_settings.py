"""설정: 범위는 한곳에서 검사하고, 채운 값은 다시 채우고, 이름과 경로는 어디서나 풀립니다."""

import os
import pickle
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Optional

import numpy as np
import pytest

from nlpbook_nbs.classification import ClassificationDeployArguments, ClassificationTrainArguments
from nlpbook_nbs.core import folders
from nlpbook_nbs.core.arguments import TrainArguments, load_arguments
from nlpbook_nbs.core.columns import cached_columns
from nlpbook_nbs.core.corpora import download
from nlpbook_nbs.core.digests import file_digest
from nlpbook_nbs.core.files import read_text, written_aside
from nlpbook_nbs.core.folders import usable_positions
from nlpbook_nbs.core.options import check_options, option
from nlpbook_nbs.core.settings import NlpbookError, cache_dir, home_dir


@dataclass
class Shares:
    count: int = option(1, "개수", min=1, max=9)
    limit: Optional[int] = option(None, "상한", min=2)
    share: float = option(0.5, "비율", min=0, below=1)
    rate: float = option(1.0, "속도", above=0)
    kind: str = option("가", "종류", choices=["가", "나"])
    folder: str = option("", "폴더", path=True)

    def __post_init__(self):
        check_options(self)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"count": 0}, "count=0: 1 이상 9 이하의 정수여야 합니다."),
        ({"count": 10}, "count=10: 1 이상 9 이하의 정수여야 합니다."),
        ({"count": 2.0}, "count=2.0: 1 이상 9 이하의 정수여야 합니다."),
        ({"count": True}, "count=True: 1 이상 9 이하의 정수여야 합니다."),
        ({"count": None}, "count=None: 1 이상 9 이하의 정수여야 합니다."),
        ({"limit": 1}, "limit=1: 비우거나 2 이상의 정수를 적으세요."),
        ({"share": 1}, "share=1: 0 이상 1 미만의 수여야 합니다."),
        ({"share": "반"}, "share='반': 0 이상 1 미만의 수여야 합니다."),
        ({"rate": 0}, "rate=0: 0보다 큰 유한한 수여야 합니다."),
        ({"rate": float("inf")}, "rate=inf: 0보다 큰 유한한 수여야 합니다."),
        ({"kind": "다"}, "kind='다': 가, 나 가운데 하나여야 합니다."),
        ({"folder": 3}, "folder=3: 파일이나 폴더의 경로를 적으세요."),
    ],
)
def test_value_out_of_its_range_is_refused_in_one_sentence(wrong, sentence):
    with pytest.raises(NlpbookError) as error:
        Shares(**wrong)
    assert str(error.value) == sentence


def test_range_of_a_field_that_a_subclass_adds_is_checked_too():
    @dataclass
    class Mine(TrainArguments):
        beams: int = option(4, "후보의 수", min=1)

    assert Mine(beams=1).beams == 1
    with pytest.raises(NlpbookError, match="beams=0: 1 이상의 정수여야 합니다"):
        Mine(beams=0)


def test_field_that_is_no_option_is_left_alone():
    @dataclass
    class Mine(TrainArguments):
        note: str = field(default="~", metadata={"help": "메모"})
        count: int = 0

    assert (Mine(count=-1).note, Mine(count=-1).count) == ("~", -1)


def test_ranges_do_not_disturb_the_command_line():
    read = load_arguments(Shares, argv=["--count", "3", "--folder", "~/x", "--kind", "나"])
    assert (read.count, read.limit, read.kind) == (3, None, "나")
    assert read.folder == os.path.expanduser("~/x")


def test_derived_model_folder_follows_the_corpus_and_the_users_own_does_not():
    """결함 11: replace가 옛 폴더를 물려주어 새 모델이 옛 모델을 덮어썼습니다."""
    args = TrainArguments(downstream_corpus_name="nsmc")
    other = replace(args, downstream_corpus_name="mine")
    assert Path(other.downstream_model_dir) == Path("nlpbook-models", "document-classification-mine")
    again = replace(pickle.loads(pickle.dumps(other)), downstream_task_name="pair-classification")
    assert Path(again.downstream_model_dir) == Path("nlpbook-models", "pair-classification-mine")
    assert TrainArguments(**(asdict(args) | {"downstream_corpus_name": "mine"})) == other
    mine = replace(args, downstream_model_dir="my-model")
    assert replace(mine, downstream_corpus_name="mine").downstream_model_dir == "my-model"


def test_deploy_settings_taken_from_a_folder_are_taken_anew_from_another(tmp_path):
    for name, record in {
        "a": '{"task": "pair-classification", "max_seq_length": 64}',
        "b": '{"task": "document-classification", "max_seq_length": 32}',
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "nlpbook.json").write_text(record)
    first = ClassificationDeployArguments(downstream_model_dir=str(tmp_path / "a"))
    second = replace(first, downstream_model_dir=str(tmp_path / "b"))
    assert (first.max_seq_length, second.max_seq_length) == (64, 32)
    assert second.downstream_task_name == "document-classification"
    kept = replace(first, max_seq_length=16)
    assert replace(kept, downstream_model_dir=str(tmp_path / "b")).max_seq_length == 16


@pytest.mark.parametrize("length", ['"64"', "2", "64.5", "[]"])
def test_length_in_a_record_is_checked_like_any_other(tmp_path, length):
    (tmp_path / "nlpbook.json").write_text(f'{{"max_seq_length": {length}}}')
    with pytest.raises(NlpbookError, match="max_seq_length=.*3 이상의 정수"):
        ClassificationDeployArguments(downstream_model_dir=str(tmp_path))


def test_name_of_a_model_stays_as_the_user_wrote_it():
    """결함 11: 컴퓨터의 경로가 설정에 새어 들어갔습니다."""
    args = TrainArguments(pretrained_model_name="nlpbook-mini")
    assert asdict(args)["pretrained_model_name"] == "nlpbook-mini" and "모델 nlpbook-mini ·" in args.summary()
    assert "pretrained_model_name='nlpbook-mini'" in repr(args)
    for copied in (replace(args, seed=1), pickle.loads(pickle.dumps(args)), TrainArguments(**asdict(args))):
        assert repr(copied.pretrained_model_name) == "'nlpbook-mini'"
    with pytest.raises(NlpbookError, match="max_seq_length=257.*256 이하로"):
        replace(args, max_seq_length=257)


def test_library_opens_the_embedded_model_by_the_settings_as_in_the_book():
    from transformers import AutoConfig, BertTokenizer

    args = TrainArguments(pretrained_model_name="nlpbook-mini")
    tokenizer = BertTokenizer.from_pretrained(args.pretrained_model_name, do_lower_case=False)
    assert len(tokenizer) == AutoConfig.from_pretrained(args.pretrained_model_name).vocab_size


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


def test_home_is_expanded_in_every_path_setting(home, tiny_model):
    """결함 11: `~`라는 이름의 폴더가 생겼습니다."""
    args = TrainArguments(downstream_corpus_root_dir="~/corpora", downstream_model_dir="~/model")
    assert args.downstream_corpus_root_dir == str(home / "corpora")
    assert args.downstream_model_dir == str(home / "model")
    deploy = ClassificationDeployArguments(downstream_model_dir="~/tiny", max_seq_length=64)
    assert deploy.downstream_model_dir == str(tiny_model)
    with pytest.raises(NlpbookError, match="max_seq_length=65"):
        TrainArguments(pretrained_model_name="~/tiny", max_seq_length=65)


def test_home_is_expanded_where_folders_are_read(home, tiny_model, monkeypatch):
    assert not folders.has_weights("~/tiny")
    assert folders.read_model_config("~/tiny")["hidden_size"] == 32
    (tiny_model / "nlpbook.json").write_text('{"task": "x"}')
    assert folders.read_model_record("~/tiny") == {"task": "x"}
    (home / "args.json").write_text('{"epochs": 2}')
    assert load_arguments(TrainArguments, "~/args.json").epochs == 2
    monkeypatch.setenv("NLPBOOK_CACHE", "~/c")
    monkeypatch.setenv("NLPBOOK_HOME", "~/h")
    assert (cache_dir(), home_dir()) == (home / "c", home / "h")


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        ({"model_type": "bert", "max_position_embeddings": 300}, 300),
        ({"model_type": "gpt2", "n_positions": 128}, 128),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514}, 512),
        ({"model_type": "t5"}, None),
        ({"model_type": "xlnet"}, None),
        ({"model_type": "bloom"}, None),
        ({"model_type": "deberta-v2", "position_biased_input": False}, None),
        ({"model_type": "none-such", "max_position_embeddings": 77}, 77),
        ({"max_position_embeddings": 77}, 77),
        ({}, None),
    ],
    ids=str,
)
def test_positions_are_those_that_the_model_can_use(config, positions):
    from transformers import AutoConfig

    assert usable_positions(config) == positions
    if config.get("model_type") in {"bert", "gpt2", "roberta"}:
        built = AutoConfig.for_model(**config)
        assert usable_positions(built) == usable_positions(built.to_dict()) == positions


def test_every_embedded_model_is_there():
    for name, model in folders.EMBEDDED_MODELS.items():
        assert (model.path / "config.json").is_file() and folders.has_weights(name) and model.license


def test_home_is_expanded_where_files_are_read_and_written(home):
    with written_aside("~/new/file.txt") as part:
        part.write_text("좋다", encoding="utf-8")
    assert read_text("~/new/file.txt") == "좋다" and (home / "new" / "file.txt").is_file()
    assert file_digest("~/new/file.txt") == file_digest(home / "new" / "file.txt")
    (home / "corpora" / "mine").mkdir(parents=True)
    (home / "corpora" / "mine" / "train.tsv").touch()
    assert download("mine", "~/corpora") == home / "corpora" / "mine"
    cached_columns("~/cache/demo", lambda: {"a": np.arange(3)})
    assert (home / "cache" / "demo" / "a.npy").is_file()
    assert not Path("~").exists()


# 값의 형


@dataclass
class Switches:
    plain: bool = option(False, "스위치")
    name: Optional[str] = option(None, "이름")
    names: list[str] = option(None, "이름들")  # noqa: RUF009

    def __post_init__(self):
        check_options(self)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("false", False), ("FALSE ", False), ("0", False), (0, False), (np.bool_(False), False), (False, False)]
    + [("true", True), ("True", True), ("1", True), (1, True), (np.bool_(True), True), (np.int64(1), True)],
)
def test_switch_means_what_is_written(written, meant):
    assert Switches(plain=written).plain is meant


@pytest.mark.parametrize("written", ["no", "아니요", "", 2, 0.5, None, [], [False]], ids=repr)
def test_switch_that_says_neither_is_refused_by_its_name(written):
    with pytest.raises(NlpbookError) as error:
        Switches(plain=written)
    assert str(error.value) == f"plain={written!r}: true와 false 가운데 하나를 적으세요."


def test_false_as_text_in_json_keeps_the_pretrained_weights(tmp_path):
    (tmp_path / "a.json").write_text('{"from_scratch": "false", "fp16": "False", "devices": 2}')
    args = load_arguments(TrainArguments, tmp_path / "a.json")
    assert (args.from_scratch, args.fp16, args.devices) == (False, False, "2")
    with pytest.raises(NlpbookError, match="resume='no'"):
        TrainArguments(resume="no")


@pytest.mark.parametrize("wrong", [3, True, 1.5, ["nsmc"], {"a": 1}, b"nsmc"], ids=repr)
def test_text_of_another_type_is_refused_by_its_name(wrong):
    for make in (
        lambda: TrainArguments(downstream_corpus_name=wrong),
        lambda: ClassificationTrainArguments(label_separator=wrong),
        lambda: Switches(name=wrong),
    ):
        with pytest.raises(NlpbookError, match=r"따옴표로 묶은 글을 적으세요\.$"):
            make()


def test_path_may_stand_for_a_text_and_a_list_field_keeps_its_list():
    assert TrainArguments(downstream_corpus_name=Path("내리뷰")).downstream_corpus_name == "내리뷰"
    assert Switches(names=["가"]).names == ["가"]


def test_numbers_of_numpy_are_numbers():
    args = TrainArguments(
        learning_rate=np.float32(0.5), max_seq_length=np.int64(32), epochs=np.array(2), fp16=np.bool_(False)
    )
    found = (args.learning_rate, args.max_seq_length, args.epochs, args.fp16)
    assert found == (0.5, 32, 2, False) and [type(each) for each in found] == [float, int, int, bool]
    with pytest.raises(NlpbookError, match=r"epochs=1\.5"):
        TrainArguments(epochs=np.float64(1.5))


def test_seed_that_no_generator_takes_is_refused_with_its_range():
    assert TrainArguments(seed=2**32 - 1).seed == 2**32 - 1
    with pytest.raises(NlpbookError, match="seed=4294967296: 비우거나 0 이상 4294967295 이하의 정수를"):
        TrainArguments(seed=2**32)


def test_model_settings_with_a_list_of_labels_are_one_sentence():
    with pytest.raises(NlpbookError, match=r"config\.json") as error:
        usable_positions({"model_type": "bert", "id2label": ["a", "b", "c"]})
    assert "\n" not in str(error.value)
