"""윈도우와 맥: make 없이, 프로세스를 가르지(fork) 못하고, 열린 파일을 바꾸지 못하고, 이름의 규칙이 다른 곳에서도 됩니다.

그 운영체제가 아니어도 흉내 낼 수 있는 것을 흉내 냅니다.
"""

import ast
import builtins
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import tracked, write

from nlpbook_nbs.classification import ClassificationDataset, NsmcCorpus
from nlpbook_nbs.core import devices, files, paths, settings
from nlpbook_nbs.core.columns import cached_columns
from nlpbook_nbs.core.corpora import download
from nlpbook_nbs.core.exports import write_model_folder
from nlpbook_nbs.core.features import feature_folder
from nlpbook_nbs.core.models import read_pretrained
from nlpbook_nbs.core.prediction import prediction_device
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.text import TokenizedText, write_documents
from nlpbook_nbs.pretrain import save_vocabulary

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = sorted((ROOT / "nlpbook_nbs").rglob("*.py"))
TASK_NAMES = "learn notebook test lint colab bench soak docs book export constraints clean".split()


def load_make(folder):
    spec = importlib.util.spec_from_file_location("make_of_a_test", folder / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    return make


# make 없이


@pytest.fixture
def place(tmp_path):
    """한글과 빈칸이 든 폴더에 놓은 저장소. 설치는 이미 마쳤습니다."""
    folder = tmp_path / "내 폴더 1"
    folder.mkdir()
    for name in ("make.py", "settings.ini", "setup.py", "pyproject.toml", "constraints.txt"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / ".venv").mkdir()
    (folder / ".venv" / ".installed").touch()
    return folder


@pytest.fixture
def called(place, monkeypatch):
    """`make.py`의 일을 시키고, 실행했을 명령과 환경을 돌려주는 함수."""
    make = load_make(place)

    def do(*names, code=0):
        seen = []

        def start(words, cwd, env):
            seen.append((words, cwd, env))
            return SimpleNamespace(poll=lambda: code, wait=lambda: code, returncode=code)

        monkeypatch.setattr(make.subprocess, "Popen", start)
        make.main(list(names))
        return seen

    do.make = make
    return do


def test_makefile_only_calls_make_py():
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    assert [line.strip() for line in lines if line.startswith("\t")] == ["@$(PYTHON) make.py $@"]
    (names,) = re.findall(r"^TASKS := (.+)$", "\n".join(lines), re.MULTILINE)
    assert names.split() == TASK_NAMES == list(load_make(ROOT).TASKS)


def test_make_py_needs_the_standard_library_only():
    tree = ast.parse((ROOT / "make.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else [node.module]
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize("page", ["README.md", "README.en.md", "CONTRIBUTING.md", "index.qmd"])
def test_every_command_of_the_readme_is_a_task(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`|&& )make ([a-z]+)", text, re.MULTILINE))
    named |= set(re.findall(r"python make\.py ([a-z]+)", text))
    assert "learn" in named and named <= set(TASK_NAMES)


def test_readme_and_workflow_give_the_two_commands_without_make():
    for page in ("README.md", "README.en.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        assert "python make.py learn\npython make.py test\n" in text
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]
    job = jobs["platforms"]
    assert job["strategy"]["matrix"]["os"] == ["windows-latest", "macos-latest"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == ["python make.py learn", "python make.py test"]
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == "exec make test"


def test_task_runs_in_a_folder_with_blanks_and_korean_letters_and_in_utf8(called, place):
    ((words, cwd, environment),) = called("learn")
    assert words == [str(called.make.in_venv("nlpbook")), "learn"] and words[0].startswith(str(place))
    assert cwd == place and environment["PYTHONUTF8"] == "1"


def test_test_task_asks_for_the_quick_profile_without_shell_syntax(called):
    found = called("test")
    names = [Path(words[0]).stem for words, _, _ in found]
    assert names == ["ruff", "ruff", "python", "mypy", "nbdev_test", "nbdev_test", "python"]
    for _, _, environment in found[-2:]:
        assert environment["NLPBOOK_PROFILE"] == "quick" and environment["HF_HUB_OFFLINE"] == "1"


def test_commands_of_a_windows_environment_are_found(place):
    make = load_make(place)
    assert make.in_venv("nlpbook", windows=True) == place / ".venv" / "Scripts" / "nlpbook.exe"
    assert make.in_venv("nlpbook", windows=False) == place / ".venv" / "bin" / "nlpbook"


def test_environment_is_made_again_when_the_requirements_change(called, place):
    later = (place / ".venv" / ".installed").stat().st_mtime + 10
    os.utime(place / "constraints.txt", (later, later))
    words = [" ".join(words) for words, _, _ in called("learn")]
    assert " -m venv " in words[0] and "pip install" in words[1]
    assert words[-2].endswith("--editable .[dev,lora,notebook,onnx]") and words[-1].endswith("learn")
    assert (place / ".venv" / ".installed").exists()


def test_clean_removes_an_environment_and_never_another_folder(place, monkeypatch):
    keep = place / "소중한 자료"
    keep.mkdir()
    for value in ("", str(keep)):
        monkeypatch.setenv("VENV", value)
        load_make(place).main(["clean"])
        assert keep.is_dir() and (place / "make.py").exists() and (place / ".venv").is_dir()
    monkeypatch.delenv("VENV")
    write(place / ".venv" / "pyvenv.cfg", "home = x\n")
    load_make(place).main(["clean"])
    assert not (place / ".venv").exists() and keep.is_dir()


def test_failed_command_ends_with_its_code(called):
    with pytest.raises(SystemExit) as ended:
        called("learn", code=7)
    assert ended.value.code == 7


def test_old_python_is_told_in_one_sentence(called, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"Python 3\.10 이상이 필요"):
        called("learn")


@pytest.mark.parametrize("encoding", ["cp949", "ascii"])
def test_list_of_tasks_is_printed_in_utf8_whatever_the_console(encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    command = [sys.executable, ROOT / "make.py"]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert "처음 한 번" in done.stdout.decode("utf-8")
    wrong = subprocess.run([*command, "lern"], env=environment, capture_output=True, check=False)
    assert wrong.returncode == 2 and "learn" in wrong.stdout.decode("utf-8")


def test_ctrl_c_waits_for_the_command_to_end(called, monkeypatch):
    make, asked = called.make, []

    class Slow:
        returncode = None

        def poll(self):
            return self.returncode

        def wait(self):
            asked.append(1)
            if len(asked) == 1:
                raise KeyboardInterrupt
            self.returncode = 130

    monkeypatch.setattr(make.subprocess, "Popen", lambda *_, **__: Slow())
    with pytest.raises(SystemExit) as ended:
        make.call("nlpbook")
    assert ended.value.code == 130 and len(asked) == 2


# 저장소의 파일


def test_every_file_of_the_repository_can_be_laid_on_windows_and_macos():
    names = [path.as_posix() for path in tracked()]
    assert {name for name in names if unicodedata.normalize("NFC", name) != name} == set()
    assert {
        name for name in names for part in name.split("/") if paths.portable_name(part, 200) != part
    } == set()
    assert len({name.casefold() for name in names}) == len(names)
    assert max(map(len, names)) < 120  # 윈도우의 경로는 260자까지입니다.


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.relative_to(ROOT / "nlpbook_nbs").as_posix())
def test_package_uses_nothing_that_only_posix_has(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    posix = {"resource", "fcntl", "pwd", "grp", "termios"}
    attributes = {"fork", "getuid", "geteuid", "sched_getaffinity", "SIGKILL", "SIGHUP", "uname", "statvfs"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not posix & {each.name for each in node.names}
        if isinstance(node, ast.Attribute):
            assert node.attr not in attributes, f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.relative_to(ROOT / "nlpbook_nbs").as_posix())
def test_files_are_opened_as_utf8_and_replaced_in_one_place(path):
    """인코딩을 적지 않으면 윈도우에서는 CP949로, 이름 바꾸기를 바로 하면 열린 파일에서 실패합니다."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {each.arg for each in node.keywords}
        mode = ast.unparse(node.args[1]) if len(node.args) > 1 else "'r'"
        if called == "open" and "b" not in mode or called.endswith((".read_text", ".write_text")):
            assert "encoding" in given, f"{path}:{node.lineno}"
        if called in {"os.replace", "os.rename", "os.renames", "shutil.move"}:
            assert path.stem == "paths", f"{path}:{node.lineno}"


# 이름과 자리


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("nsmc", "nsmc"),
        ("klue-nli", "klue-nli"),
        ("내 말뭉치 (2)", "내 말뭉치 (2)"),
        ("a/b", "a_b"),
        ("후기?", "후기_"),
        ('<>:"/\\|?*', "_________"),
        ("줄\n바꿈\t", "줄_바꿈_"),
        ("끝. . ", "끝"),
        ("...", "_"),
        ("", "_"),
        ("CON", "_CON"),
        ("aux.txt", "_aux.txt"),
        ("Com1", "_Com1"),
        ("nul .tsv", "_nul .tsv"),
        ("console", "console"),
        ("\udcff", "_"),
        (unicodedata.normalize("NFD", "한글"), "한글"),
    ],
)
def test_name_that_any_system_takes(given, expected):
    assert paths.portable_name(given) == expected


def test_cache_of_a_text_file_with_a_long_korean_name_is_built(tmp_path, mini_tokenizer):
    path = write(tmp_path / f"{'가' * 80}.txt", "영화가 좋았다.\n\n영화가 나빴다.\n")
    assert len(TokenizedText(mini_tokenizer, path).tokens) > 4
    (folder,) = (path for path in (settings.cache_dir() / "features").iterdir() if path.is_dir())
    assert folder.name.startswith("가" * 40 + "-text-")


@pytest.mark.parametrize("name", ["con", "후기?", "끝.", "가" * 90, "a/b"])
def test_cache_folder_of_a_corpus_has_a_name_any_system_takes(name, mini_tokenizer):
    args = SimpleNamespace(downstream_corpus_name=name, max_seq_length=8)
    folder, _ = feature_folder(args, mini_tokenizer, "x")
    assert paths.portable_name(folder.name, 200) == folder.name and len(folder.name.encode()) < 200
    assert folder.parent == settings.cache_dir() / "features"


def test_name_that_is_too_long_is_one_sentence(tmp_path):
    with (
        pytest.raises(NlpbookError, match="이름이 너무 길거나"),
        files.written_aside(tmp_path / ("가" * 100)) as part,
    ):
        part.touch()


@pytest.mark.parametrize(
    "name",
    [
        r"C:\models\kcbert",
        "C:/models/kcbert",
        "d:model",
        r"\\서버\공유\모델",
        r"models\kcbert",
        r".\kcbert",
        "a/b/c",
    ],
)
def test_windows_path_of_a_model_is_no_name_of_the_hub(name):
    with pytest.raises(NlpbookError, match="모델 폴더가 없습니다"):
        read_pretrained(name, lambda _: pytest.fail("허브에서 찾았습니다"))


@pytest.mark.parametrize(
    "mirror", [r"C:\mirror", "c:/거울", r"\\서버\mirror", "D:", "http://[::1", "HTTP://[::1"]
)
def test_mirror_may_stand_on_a_drive_and_a_wrong_one_is_one_sentence(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("NLPBOOK_DATA_MIRROR", mirror)
    expected = "올바른 주소가 아닙니다" if "://" in mirror else "미러 폴더에 파일이 없습니다"
    with pytest.raises(NlpbookError, match=expected):
        download("nsmc", tmp_path)


def test_one_lock_for_names_the_system_takes_for_the_same(monkeypatch):
    assert files.lock_for("Data").lock_file != files.lock_for("data").lock_file
    composed, decomposed = (unicodedata.normalize(form, "말뭉치") for form in ("NFC", "NFD"))
    assert files.lock_for(composed).lock_file == files.lock_for(decomposed).lock_file
    monkeypatch.setattr(paths.os.path, "normcase", str.lower)  # 윈도우
    assert files.lock_for("Data").lock_file == files.lock_for("data").lock_file


# 열린 파일


@pytest.fixture
def held(monkeypatch):
    """윈도우처럼, 여기에 넣은 경로는 덮어쓰지도 지우지도 못하게 합니다. `rename`까지 막을 수도 있습니다."""
    paths_held, real_replace, real_unlink = {}, os.replace, Path.unlink

    def refuse():
        error = PermissionError(13, "Access is denied")
        error.winerror = 5
        raise error

    def replace(source, target):
        source, target = Path(source), Path(target)
        if target in paths_held and target.exists() or paths_held.get(source) == "name too":
            refuse()
        real_replace(source, target)
        if source in paths_held:
            paths_held[target] = paths_held.pop(source)

    def unlink(path, missing_ok=False):
        if path in paths_held:
            refuse()
        real_unlink(path, missing_ok)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(paths.time, "sleep", lambda seconds: None)
    return paths_held


def test_short_refusal_is_waited_out(tmp_path, monkeypatch):
    pauses, real, refusals = [], os.replace, iter([5, 32])
    monkeypatch.setattr(paths.time, "sleep", pauses.append)

    def flaky(source, target):
        for code in refusals:
            error = PermissionError(13, "다른 프로세스가 파일을 사용 중")
            error.winerror = code
            raise error
        real(source, target)

    monkeypatch.setattr(os, "replace", flaky)
    path = write(tmp_path / "record.json", "옛것")
    with files.written_aside(path) as part:
        write(part, "새것")
    assert path.read_text(encoding="utf-8") == "새것" and list(tmp_path.iterdir()) == [path]
    assert 0 < sum(pauses) < 2


def test_file_that_is_held_open_is_set_aside_and_cleared_later(tmp_path, held):
    path = write(tmp_path / "model.safetensors", "옛것")
    held[path] = "open"
    with files.written_aside(path) as part:
        write(part, "새것")
    assert path.read_text(encoding="utf-8") == "새것"
    (left,) = held
    assert left.name.startswith("model.safetensors.") and left.read_text(encoding="utf-8") == "옛것"
    held.clear()
    held[path] = "open"
    with files.written_aside(path) as part:
        write(part, "더 새것")
    assert not left.exists() and path.read_text(encoding="utf-8") == "더 새것"


def test_weights_open_in_a_notebook_do_not_stop_the_next_training(tmp_path, held):
    path = write(tmp_path / "model.safetensors", "옛것")
    held[path] = "open"
    write_model_folder(tmp_path, lambda folder: write(folder / "model.safetensors", "새것"))
    assert path.read_text(encoding="utf-8") == "새것"


def test_file_that_cannot_even_be_renamed_stays_and_is_named(tmp_path, held):
    path = write(tmp_path / "record.json", "옛것")
    held[path] = "name too"
    with (
        pytest.raises(NlpbookError, match=r"record\.json: 다른 프로그램이 열어 두었거나"),
        files.written_aside(path) as part,
    ):
        write(part, "새것")
    assert path.read_text(encoding="utf-8") == "옛것" and list(tmp_path.iterdir()) == [path]


def test_cache_mapped_by_another_process_is_left_alone_and_done_without(tmp_path, held, messages):
    folder = tmp_path / "cache"
    first = cached_columns(folder, lambda: {"x": np.arange(3)})
    held[folder] = "name too"
    second = cached_columns(folder, lambda: {"x": np.arange(5)}, overwrite=True)
    assert first["x"].tolist() == [0, 1, 2] and second["x"].tolist() == [0, 1, 2, 3, 4]
    assert "캐시 없이 계속합니다" in messages()[-1]
    assert cached_columns(folder, lambda: pytest.fail("다시 만들었습니다"))["x"].tolist() == [0, 1, 2]
    assert sorted(path.name for path in tmp_path.iterdir() if "cache" in path.name) == ["cache", "cache.lock"]


def test_folder_takes_the_place_of_a_folder_that_is_not_empty(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "x", name)
    paths.replace(tmp_path / "new", tmp_path / "old")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old" / "x").read_text(encoding="utf-8") == "new"


def test_refusal_for_want_of_permission_is_not_tried_again(tmp_path, monkeypatch):
    tries = []

    def forbidden(source, target):
        tries.append(target)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", forbidden)
    with pytest.raises(NlpbookError, match="쓰기 권한"), files.written_aside(tmp_path / "x") as part:
        part.touch()
    assert len(tries) == 1


# 줄바꿈


@pytest.fixture
def windows_newlines(monkeypatch):
    """윈도우처럼, 줄바꿈을 정하지 않고 글로 연 파일에는 CRLF를 씁니다."""
    real = io.open

    def opened(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, *rest):
        if newline is None and "b" not in mode and set(mode) & set("wax+"):
            newline = "\r\n"
        return real(file, mode, buffering, encoding, errors, newline, *rest)

    monkeypatch.setattr(io, "open", opened)
    monkeypatch.setattr(builtins, "open", opened)


def test_vocabulary_and_texts_written_on_windows_are_the_same_bytes(
    tmp_path, mini_tokenizer, windows_newlines
):
    write(tmp_path / "proof", "한\n줄")
    assert b"\r\n" in (tmp_path / "proof").read_bytes()
    words = sorted(mini_tokenizer.get_vocab(), key=mini_tokenizer.get_vocab().get)
    made = save_vocabulary(words, str(tmp_path / "tokenizer"))
    assert made("배송이 빨라요")["input_ids"] == mini_tokenizer("배송이 빨라요")["input_ids"]
    path = write_documents([["첫 문장.", "둘째 문장."], ["셋째."]], tmp_path / "text.txt")
    assert path.read_bytes().decode() == "첫 문장.\n둘째 문장.\n\n셋째.\n\n"
    assert b"\r" not in (tmp_path / "tokenizer" / "tokenizer.json").read_bytes()


# 프로세스를 가르지 못하는 곳


WITHOUT_FORK = """
import json, multiprocessing, os, sys
for name in ("fork", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)

def train(options):
    from nlpbook_nbs.core.recipes import load_recipe

    recipe = load_recipe("doc-cls")
    return recipe.train(recipe.train_arguments(**options))

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    print(json.dumps([train(options) for options in json.loads(sys.argv[1])]))
"""


@pytest.fixture
def few_reviews(tmp_path):
    rows = [
        f"{'참 좋은' if number % 2 else '정말 나쁜'} 영화 {number}번\t{number % 2}" for number in range(48)
    ]
    (tmp_path / "few").mkdir()
    for name in ("train", "val"):
        write(tmp_path / "few" / f"{name}.tsv", "\n".join(["document\tlabel", *rows]))
    return tmp_path


def test_spawned_workers_without_fork_train_the_same_weights(few_reviews, small_training):
    """윈도우와 맥에서 스크립트로 학습할 때: 보조 프로세스를 새로 띄우고, 프로세스를 가르지 못합니다."""
    script = write(few_reviews / "train.py", WITHOUT_FORK)
    values = {"downstream_corpus_name": "few", "downstream_corpus_root_dir": str(few_reviews)}
    folders = [few_reviews / str(workers) for workers in (0, 1)]
    options = [
        small_training | values | {"cpu_workers": workers, "downstream_model_dir": str(folder)}
        for workers, folder in enumerate(folders)
    ]
    command = [sys.executable, script, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    alone, spawned = json.loads(done.stdout.splitlines()[-1])
    assert (alone["val_loss"], alone["steps"]) == (spawned["val_loss"], spawned["steps"])
    weights = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1]


UNGUARDED = """
import multiprocessing
from torch.utils.data import DataLoader
from nlpbook_nbs.core.devices import check_workers

def main(method):
    check_workers([None, DataLoader([1], num_workers=1, multiprocessing_context=method)])

GUARD
    main("METHOD")
"""


@pytest.mark.parametrize(
    ("guard", "method", "refused"),
    [
        ("if True:", "spawn", True),
        ("if True:", "fork", False),
        ('if __name__ == "__main__":', "spawn", False),
        ("if '__main__' == __name__:", "spawn", False),
        ("for _ in [1]:", "spawn", True),
    ],
)
def test_script_that_spawned_workers_would_run_again_is_refused_before_it_hangs(
    tmp_path, monkeypatch, guard, method, refused
):
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("이 운영체제에서는 프로세스를 가를(fork) 수 없습니다")
    script = write(tmp_path / "script.py", UNGUARDED.replace("GUARD", guard).replace("METHOD", method))
    main = ModuleType("__main__")
    main.__file__ = str(script)
    monkeypatch.setitem(sys.modules, "__main__", main)
    expected = pytest.raises(NlpbookError, match=r"script\.py:10: 보조 프로세스\(cpu_workers=1\)")
    with expected if refused else nullcontext():
        exec(compile(script.read_bytes(), script, "exec"), vars(main))  # noqa: S102


NOTEBOOK = """
import sys
from torch.utils.data import DataLoader
from nlpbook_nbs.classification import ClassificationDataset, ClassificationTrainArguments, NsmcCorpus
from nlpbook_nbs import data_collator
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.devices import check_workers
from transformers import BertTokenizer

class MyCorpus(NsmcCorpus):
    pass

args = ClassificationTrainArguments(
    pretrained_model_name="nlpbook-mini", downstream_corpus_name="nsmc", downstream_corpus_root_dir=sample_root()
)
tokenizer = BertTokenizer.from_pretrained(args.pretrained_model_name)
rows = ClassificationDataset(args, tokenizer, MyCorpus(), "val")
spawned = {"batch_size": 4, "num_workers": 1, "multiprocessing_context": "spawn"}
loader = DataLoader(rows, collate_fn=data_collator, **spawned)
check_workers(loader)
print(next(iter(loader))["labels"].tolist(), type(rows.corpus).__name__)
check_workers(DataLoader(rows, collate_fn=lambda rows: rows, **spawned))
"""


def test_corpus_class_made_in_a_notebook_works_with_spawned_workers():
    """`-c`로 준 코드처럼 노트북의 `__main__`에도 파일이 없어, 새로 띄운 프로세스는 그 안의 클래스를 모릅니다."""
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert re.fullmatch(r"\[[01], [01], [01], [01]\] MyCorpus\n", done.stdout), done.stderr[-3000:]
    assert "노트북에서 만든 클래스나 함수" in done.stderr.splitlines()[-1]


def test_examples_are_not_sent_to_spawned_workers_but_stay_in_copies(train_args, mini_tokenizer):
    import copy
    import pickle
    from multiprocessing.context import set_spawning_popen

    rows = ClassificationDataset(train_args(), mini_tokenizer, NsmcCorpus(), "val")
    assert isinstance(copy.copy(rows).corpus, NsmcCorpus)
    set_spawning_popen(object())
    try:
        sent = pickle.loads(pickle.dumps(rows))
    finally:
        set_spawning_popen(None)
    assert not hasattr(sent, "corpus") and sent[3] == rows[3]


# 맥의 GPU


def test_mps_that_gives_no_memory_is_not_used(train_args, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)

    def refuse(*_, **__):
        raise RuntimeError("MPS backend out of memory")

    monkeypatch.setattr("torch.ones", refuse)
    assert not settings.mps_is_available() and settings.accelerator_name() == ""
    assert prediction_device().type == "cpu"
    assert devices.pick_accelerator(train_args(accelerator="auto")) == ("cpu", "1")
    with pytest.raises(NlpbookError, match="accelerator='mps'"):
        devices.pick_accelerator(train_args(accelerator="mps"))


def test_mps_that_computes_is_used(monkeypatch):
    import torch

    real = torch.ones
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    monkeypatch.setattr("torch.ones", lambda *size, device: real(*size))
    assert settings.mps_is_available()


# 다른 운영체제에서 이어 하기


def test_ranking_of_checkpoints_written_on_windows_is_taken_up_in_the_folder_as_it_is_now(train_args):
    from nlpbook_nbs.core.trainer import BestModel

    args = train_args(save_top_k=2)
    best = BestModel(args)
    there = "C:\\모델\\checkpoints"
    first, second = "epoch=0-val_loss=0.5000.ckpt", "epoch=1-val_loss=0.4000.ckpt"
    state = best.state_dict() | {
        "dirpath": there,
        "best_model_path": f"{there}\\{second}",
        "best_model_score": 0.4,
        "best_k_models": {f"{there}\\{first}": 0.5, f"{there}\\{second}": 0.4},
        "kth_best_model_path": f"{there}\\{first}",
        "kth_value": 0.5,
        "last_model_path": "",
    }
    best.load_state_dict(state)
    here = os.path.join(args.downstream_model_dir, "checkpoints")
    assert best.best_model_path == os.path.join(here, second) and best.best_model_score == 0.4
    assert best.best_k_models == {os.path.join(here, first): 0.5, os.path.join(here, second): 0.4}
    assert best.kth_best_model_path == os.path.join(here, first) and best.last_model_path == ""
