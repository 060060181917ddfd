"""모든 시험은 인터넷 없이, 자기만의 캐시 폴더에서 돌아갑니다."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ["NLPBOOK_PROFILE"] = "quick"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("NLPBOOK_DATA_MIRROR", None)

# 그 운영체제에 없는 것으로 하는 시험은 건너뛰고, 건너뛴 까닭이 보입니다.
needs_fork = pytest.mark.skipif(
    sys.platform != "linux", reason="프로세스를 가르는(fork) 시험은 리눅스에서만 합니다"
)
needs_sigkill = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="이 운영체제에는 kill -9가 없습니다"
)
needs_torchrun = pytest.mark.skipif(
    os.name == "nt", reason="torchrun으로 여럿을 띄우는 시험은 윈도우에서 하지 않습니다"
)

# 몇 초 만에 학습할 수 있는 BERT의 크기
SMALL_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}


def write(path, value):
    """글이나 JSON으로 바꿀 값을 UTF-8 파일로 쓰고 경로를 돌려줍니다."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path


def tracked():
    """저장소의 파일들. 무시하는 것은 뺍니다."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(name) for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def copy_to(folder):
    """저장소의 파일들을 `folder`에 복사하고 그 폴더를 돌려줍니다."""
    for path in tracked():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    return folder


@pytest.fixture
def copy(tmp_path):
    return copy_to(tmp_path / "copy")


@pytest.hookimpl(tryfirst=True)  # xdist가 묶음의 이름을 읽기 전에
def pytest_collection_modifyitems(items):
    """파일 하나의 시험은 한 일꾼이 합니다. 가장 오래 걸리는 장들만 둘로 나누고 맨 먼저 시작합니다."""
    items.sort(key=lambda item: item.path.name != "test_chapters.py")
    for place, item in enumerate(items):
        half = place % 2 if item.path.name == "test_chapters.py" else ""
        item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}{half}"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NLPBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NLPBOOK_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def browser():
    """머리 없는 크로미움. 없으면 그 시험들은 건너뛰었다고 알립니다."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="pip install playwright로 설치하면 이 시험도 돕니다"
    )
    installed = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_api.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=installed)
        except sync_api.Error as error:
            pytest.skip(f"크로미움을 열지 못했습니다: {str(error).splitlines()[0]}")
        yield found
        found.close()


def serious_barriers(axe, page):
    """axe-core가 찾은, 장애가 있는 사람에게 심각한 문제들: `(이름, 그 자리의 HTML)`."""
    found = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (each["id"], node["html"][:200])
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@pytest.fixture
def messages(caplog, monkeypatch):
    """`nlpbook` 로거가 남긴 문장의 목록. `set_logger`를 언제 부르든 빠짐없이 모읍니다."""
    logger = logging.getLogger("nlpbook")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [*logger.handlers, caplog.handler])
    caplog.set_level("INFO", logger="nlpbook")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "nlpbook"]


@pytest.fixture(scope="session")
def real_data():
    """공개 말뭉치와 KcBERT 어휘가 있는 폴더. 없으면 그 시험을 건너뜁니다."""
    folder = Path(os.environ.get("NLPBOOK_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"{folder}: 공개 말뭉치가 없습니다 (NLPBOOK_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def kcbert(real_data):
    from transformers import BertTokenizer

    return BertTokenizer.from_pretrained(str(real_data / "kcbert-base"), do_lower_case=False)


@pytest.fixture(scope="session")
def mini_tokenizer():
    from transformers import BertTokenizer

    from nlpbook_nbs.core.folders import resolve_model_name

    return BertTokenizer.from_pretrained(resolve_model_name("nlpbook-mini"))


@pytest.fixture
def tiny_model(tmp_path, mini_tokenizer):
    """config.json과 어휘만 있고 가중치는 없는 아주 작은 모델 폴더."""
    from transformers import BertConfig

    folder = tmp_path / "tiny"
    mini_tokenizer.save_pretrained(folder)
    BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_corpora(tmp_path_factory):
    """예시 말뭉치의 앞부분만 담은 말뭉치 폴더. 예시 말뭉치로 그대로 학습하면 시험이 오래 걸립니다."""
    from nlpbook_nbs.core.corpora import sample_root

    sample, root = Path(sample_root()), tmp_path_factory.mktemp("corpora")
    shutil.copytree(sample / "korquad-v1", root / "korquad-v1")
    for folder in ("nsmc", "klue-nli", "klue-ner"):
        (root / folder).mkdir()
    for part, rows in {"train": 792, "val": 200, "test": 200}.items():
        name = f"nsmc/ratings_{part}.txt"
        lines = (sample / name).read_text(encoding="utf-8").splitlines()[: rows + 1]
        write(root / name, "\n".join(lines) + "\n")
    for part, rows in {"train": 384, "dev": 96}.items():
        name = f"klue-nli/klue-nli-v1.1_{part}.json"
        write(root / name, json.loads((sample / name).read_text(encoding="utf-8"))[:rows])
    for part, rows in {"train": 96, "val": 32, "dev": 32}.items():
        name = f"klue-ner/klue-ner-v1.1_{part}.tsv"
        blocks = (sample / name).read_text(encoding="utf-8").split("\n\n")[:rows]
        write(root / name, "\n\n".join(blocks) + "\n")
    return str(root)


@pytest.fixture
def small_training(tmp_path, tiny_model, small_corpora):
    """예시 말뭉치의 앞부분으로 몇 초 만에 끝나는 학습의 설정값. 과제와 말뭉치는 따로 정합니다."""
    return {
        "pretrained_model_name": str(tiny_model),
        "downstream_corpus_root_dir": small_corpora,
        "downstream_model_dir": str(tmp_path / "model"),
        "from_scratch": True,
        "max_seq_length": 32,
        "batch_size": 32,
        "epochs": 1,
        "learning_rate": 1e-3,
        "seed": 7,
        "accelerator": "cpu",
    }


@pytest.fixture
def train_args(small_training):
    """문서 분류의 학습 설정을 만드는 함수."""
    from nlpbook_nbs.classification import ClassificationTrainArguments

    def make(**changes):
        return ClassificationTrainArguments(**(small_training | {"downstream_corpus_name": "nsmc"} | changes))

    return make


def pytest_terminal_summary(terminalreporter):
    """결함 시험(tests/faults)이 무엇을 몇 번 했는지 끝에 보여 주고, 오래 한 시험이면 적어 둡니다."""
    soak = sys.modules.get("soak")
    if soak is None or not soak.TALLY:
        return
    terminalreporter.section("결함 시험에서 한 일")
    for what, number in sorted(soak.TALLY.items()):
        terminalreporter.write_line(f"{number:>9,}  {what}")
    if soak.SOAK:
        passed, failed = (
            sum(len(terminalreporter.stats.get(kind, [])) for kind in kinds)
            for kinds in (("passed",), ("failed", "error"))
        )
        soak.RESULTS.write_text(soak.markdown(passed, failed), encoding="utf-8")
