"""명령줄: 표준 출력에는 결과만, 오류는 한 문장으로."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from nlpbook_nbs.cli import (
    _is_closed_pipe,
    _report,
    copy_notebooks,
    main,
    parse_train_arguments,
    read_predict_words,
)
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.exercises import notebooks_dir
from nlpbook_nbs.core.recipes import TASKS, load_recipe
from nlpbook_nbs.core.settings import NlpbookError, default_corpus_root

NLPBOOK = Path(sys.executable).with_name("nlpbook")


@pytest.fixture
def command(tiny_model, small_corpora, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return [
        "train",
        "doc-cls",
        "--pretrained_model_name",
        str(tiny_model),
        "--from_scratch",
        "--downstream_corpus_name",
        "nsmc",
        "--downstream_corpus_root_dir",
        small_corpora,
        "--max_seq_length",
        "32",
        "--epochs",
        "1",
        "--seed",
        "7",
        "--downstream_model_dir",
        "model",
    ]


def test_train_then_predict(command, capsys):
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {
        "val_acc",
        "val_loss",
        "test_acc",
        "test_loss",
        "seconds",
        "samples_per_second",
        "model_dir",
        "precision",
    } <= result.keys()
    assert result["samples_per_second"] > 0 and result["test_examples"] == 200
    texts = ["재밌어요", '따옴표 " 하나', "qa"]
    assert main(["predict", "doc-cls", "--model_dir", "model", *texts]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == texts and {row["label"] for row in rows} <= {"부정", "긍정"}
    assert main(["predict", "--model_dir", "model", *texts, "--max_seq_length", "8", "--device", "cpu"]) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == texts
    assert main(["predict", "pair-cls", "--model_dir", "model", "글", "글"]) == 2
    assert "다른 과제(document-classification)" in capsys.readouterr().err


def test_installed_command_reads_lines_and_writes_json_lines(command, tmp_path):
    trained = subprocess.run([NLPBOOK, *command], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert len(trained.stdout.splitlines()) == 1 and "에폭 1/1" in trained.stderr
    texts = "좋아요\n싫어요\r\n" * 600
    done = subprocess.run(
        [NLPBOOK, "predict", "doc-cls", "--model_dir", "model"],
        input=texts,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == texts.split()


def test_own_tsv_corpus_with_words_as_labels(command, tmp_path, capsys):
    folder = tmp_path / "corpora" / "mine"
    folder.mkdir(parents=True)
    for name in ("train", "val"):
        (folder / f"{name}.tsv").write_text(
            "label\tdocument\n" + "배송\t빨리 왔어요\n품질\t색이 달라요\n교환\t바꿔 주세요\n" * 4,
            encoding="utf-8",
        )
    changes = {"--downstream_corpus_name": "mine", "--downstream_corpus_root_dir": str(folder.parent)}
    argv = [changes.get(command[i - 1], word) for i, word in enumerate(command)]
    assert main(argv) == 0
    capsys.readouterr()
    assert main(["predict", "doc-cls", "--model_dir", "model", "빨리 왔어요"]) == 0
    assert set(json.loads(capsys.readouterr().out)["scores"]) == {"교환", "배송", "품질"}


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        ([], "명령"),
        (["trian"], "trian"),
        (["train"], "과제"),
        (["train", "pair"], "모르는 과제"),
        (["predict", "pair", "--model_dir", "x", "글"], "모르는 과제"),
        (["train", "doc-cls", "--learning_rate", "-1"], "learning_rate"),
        (["train", "doc-cls", "--no_such"], "no_such"),
        (["train", "doc-cls", "--epochs", "셋"], "epochs"),
        (["train", "doc-cls", "none.json"], "설정 파일이 없습니다"),
        (["download", "nsmcc"], "모르는 말뭉치"),
        (["corpora", "--all"], "모르는 옵션 --all"),
        (["predict", "doc-cls", "--model_dir", "none", "글"], "모델 폴더가 없습니다"),
        (["predict", "--model_dir", "none", "글"], "모델 폴더가 없습니다"),
        (["predict", "doc-cls", "글"], "--model_dir"),
        (["predict", "doc-cls", "--model_dir", "x", "--n_best_size", "3", "글"], "n_best_size"),
        (["predict", "--model_dir", "."], "config.json이 없습니다"),
    ],
)
def test_wrong_command_is_one_sentence(argv, what, capsys):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    line = err.strip().splitlines()[-1]
    assert not out and line.startswith("오류: ") and what in line and "Traceback" not in err


def test_bad_line_on_standard_input_is_named_and_the_others_are_answered(command, tmp_path):
    assert main(command) == 0
    done = subprocess.run(
        [NLPBOOK, "predict", "doc-cls", "--model_dir", "model"],
        input="좋아요\n".encode() + b"\xb0\xa1\n" + "싫어요\n".encode(),
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert done.returncode == 1 and [row.get("text") for row in rows] == ["좋아요", None, "싫어요"]
    assert rows[1]["line"] == 2 and "UTF-8" in rows[1]["error"]


def test_blank_line_on_standard_input_keeps_its_place(command, tmp_path):
    assert main(command) == 0
    done = subprocess.run(
        [NLPBOOK, "predict", "doc-cls", "--model_dir", "model"],
        input="\ufeff좋아요\n\n싫어요\n\n",
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("text") for row in found] == ["좋아요", None, "싫어요", None]
    assert [row["line"] for row in found if "error" in row] == [2, 4]


def test_every_training_argument_is_an_option(capsys):
    for task in TASKS:
        with pytest.raises(SystemExit) as stop:
            main(["train", task, "--help"])
        assert stop.value.code == 0
        text = capsys.readouterr().out
        for item in fields(load_recipe(task).train_arguments):
            assert f"--{item.name}" in text, item.name
        assert f"기본값: {load_recipe(task).train_arguments.learning_rate}" in text


def test_every_deploy_argument_is_an_option_and_reaches_the_model(capsys, monkeypatch):
    given = {}
    monkeypatch.setattr("nlpbook_nbs.cli.load", lambda folder, task, **options: given.update(options))
    for task in TASKS:
        with pytest.raises(SystemExit) as stop:
            main(["predict", task, "--help"])
        assert stop.value.code == 0
        text = capsys.readouterr().out
        recipe = load_recipe(task)
        for item in fields(recipe.deploy_arguments):
            assert f"--{item.name}" in text, item.name
    words = ["qa", "--model_dir", "x", "--doc_stride", "32", "--n_best_size", "3", "--device", "cpu"]
    with pytest.raises(AttributeError):  # 가짜 load는 모델을 돌려주지 않습니다.
        main(["predict", *words])
    assert given == {"doc_stride": 32, "n_best_size": 3, "device": "cpu"}


@pytest.mark.parametrize(
    ("words", "task", "texts"),
    [
        (["qa", "--model_dir", "x", "질문", "지문"], "qa", ["질문", "지문"]),
        (["--model_dir", "x", "qa"], None, ["qa"]),
        (["--model_dir=x", "--", "qa", "--device"], None, ["qa", "--device"]),
        (["doc-cls", "--model_dir", "x", "--", "doc-cls"], "doc-cls", ["doc-cls"]),
        (["재밌어요", "--model_dir", "x", "--batch_size", "8", "지루해요"], None, ["재밌어요", "지루해요"]),
    ],
)
def test_word_is_a_task_only_right_after_predict(words, task, texts):
    found, values, read = read_predict_words(words)
    assert (found, read) == (task, texts) and values["downstream_model_dir"] == "x"


def test_training_says_which_profile_model_and_rate_it_uses_and_how_to_change_them(monkeypatch, messages):
    used = []
    recipe = load_recipe("doc-cls")
    monkeypatch.setattr("nlpbook_nbs.cli.load_recipe", lambda task: replace(recipe, train=used.append))
    own = ["train", "doc-cls", "--downstream_corpus_name", "mine", "--downstream_corpus_root_dir", "corpora"]
    for words in ([], ["--learning_rate", "1e-4", "--pretrained_model_name", "beomi/kcbert-base"]):
        assert main([*own, *words]) == 0
    quick, big = [line for line in messages() if "바꾸려면" in line]
    assert (
        "프로파일 quick" in quick
        and "nlpbook-small" in quick
        and f"학습률 {used[0].learning_rate:g}" in quick
    )
    assert "kcbert-base" in big and "학습률 0.0001" in big
    for name in ("--pretrained_model_name", "--learning_rate", "NLPBOOK_PROFILE=book"):
        assert name in quick


def test_options_json_and_profile_give_the_same_class(tmp_path, monkeypatch):
    recipe = load_recipe("doc-cls")
    path = tmp_path / "args.json"
    path.write_text('{"learning_rate": 1e-4, "group_by_length": false}', encoding="utf-8")
    monkeypatch.setenv("NLPBOOK_PROFILE", "book")
    assert parse_train_arguments(recipe, [str(path)]) == parse_train_arguments(
        recipe, ["--learning_rate", "1e-4", "--no_group_by_length"]
    )
    monkeypatch.setenv("NLPBOOK_PROFILE", "quick")
    quick = parse_train_arguments(recipe, [])
    assert (
        Path(quick.pretrained_model_name).name == "nlpbook-small"
        and quick.downstream_corpus_root_dir == sample_root()
    )
    own = parse_train_arguments(recipe, ["--downstream_corpus_name", "nsmc"])
    assert own.downstream_corpus_root_dir == default_corpus_root()


@pytest.mark.parametrize("profile", ["quick", "book"])
def test_learning_rate_follows_the_model(monkeypatch, profile):
    monkeypatch.setenv("NLPBOOK_PROFILE", profile)
    recipe = load_recipe("doc-cls")
    own = ["--downstream_corpus_name", "mine", "--downstream_corpus_root_dir", "corpora"]
    mini = parse_train_arguments(recipe, [*own, "--pretrained_model_name", "nlpbook-mini", "--epochs", "2"])
    assert mini.learning_rate == recipe.training["nlpbook-mini"]["learning_rate"] and mini.epochs == 2
    big = parse_train_arguments(recipe, [*own, "--pretrained_model_name", "beomi/kcbert-base"])
    assert big.learning_rate == 5e-5 and big.lr_scheduler == "exponential"


def test_folder_of_the_corpus_given_as_its_root_is_explained(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.tsv").write_text("document\tlabel\n", encoding="utf-8")
    with pytest.raises(
        NlpbookError, match=f"--downstream_corpus_root_dir {tmp_path} --downstream_corpus_name mine"
    ):
        parse_train_arguments(
            load_recipe("doc-cls"), ["--downstream_corpus_root_dir", str(tmp_path / "mine")]
        )


def test_notebooks_are_copied_and_never_overwritten(tmp_path, capsys):
    assert main(["notebook", str(tmp_path / "books"), "--no_open"]) == 0
    names = sorted(path.name for path in (tmp_path / "books").iterdir())
    assert names == sorted(path.name for path in notebooks_dir().glob("[0-9][0-9]_*.ipynb")) and names
    (tmp_path / "books" / names[0]).write_text("내가 고친 노트북", encoding="utf-8")
    assert copy_notebooks(tmp_path / "books") == []
    assert (tmp_path / "books" / names[0]).read_text(encoding="utf-8") == "내가 고친 노트북"


def test_closed_pipe_is_no_error(command, tmp_path):
    assert main(command) == 0
    shell = f"yes 좋아요 | head -5000 | {NLPBOOK} predict doc-cls --model_dir model | head -1"
    done = subprocess.run(
        shell, shell=True, capture_output=True, text=True, check=False, cwd=tmp_path, env=os.environ
    )
    assert json.loads(done.stdout)["text"] == "좋아요" and "Traceback" not in done.stderr


def test_two_processes_share_one_training_and_print_one_result(command, tmp_path):
    options = ["--accelerator", "cpu", "--devices", "2", "--strategy", "ddp", "--no_group_by_length"]
    done = subprocess.run(
        [NLPBOOK, *command, *options], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=1200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 1 and done.stderr.count("에폭 1/1") == 1
    result = json.loads(done.stdout)
    assert result["steps"] == 13  # 792건을 두 프로세스가 32건씩 나누어 읽습니다.


@pytest.mark.parametrize("text", ["-10점", "--최고"])
def test_text_that_begins_with_a_dash_is_shown_its_place(text, capsys):
    words = ["doc-cls", "--model_dir", "m"]
    assert main(["predict", *words, "첫째", text]) == 2
    assert f'-- "{text}"처럼 -- 다음에' in capsys.readouterr().err.splitlines()[-1]
    assert read_predict_words([*words, "--", text])[2] == [text]


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_output_ends_without_a_traceback(closed, tmp_path):
    shell = f"{NLPBOOK} predict --model_dir {tmp_path / 'none'} 글 {closed}; {NLPBOOK} corpora {closed}"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr and "오류" not in done.stdout


def test_prediction_into_a_closed_output_ends_quietly(command, tmp_path, monkeypatch):
    assert main(command) == 0
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["predict", "--model_dir", "model", "좋아요"]) == 0


def test_closed_pipe_of_windows_is_told_from_other_errors(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    assert _is_closed_pipe(OSError(errno.EINVAL, "")) and _is_closed_pipe(BrokenPipeError())
    assert not _is_closed_pipe(OSError(errno.EINVAL, "", "a?b")) and not _is_closed_pipe(OSError(28, ""))
    monkeypatch.setattr("sys.platform", "linux")
    assert not _is_closed_pipe(OSError(errno.EINVAL, ""))


def test_result_is_json_even_where_a_number_is_not_finite(capfd):
    result = {"loss": float("nan"), "all": [float("inf"), 1, 0.1234567891], "name": "가", "no": None}
    _report(lambda args: result, lambda profile: object())
    found = json.loads(capfd.readouterr().out, parse_constant=pytest.fail)
    assert found == {"loss": None, "all": [None, 1, 0.1234567891], "name": "가", "no": None}
