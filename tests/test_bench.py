"""나란히 재는 명령(bench/)이 하는 말과 남긴 표가 맞는지 봅니다. 속도 자체는 `make bench`가 잽니다."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(BENCH))
    try:
        spec = importlib.util.spec_from_file_location("bench_command", BENCH / "bench.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(BENCH))


@pytest.fixture(scope="module")
def record():
    return json.loads((BENCH / "results.json").read_text(encoding="utf-8"))


def command(*words):
    return subprocess.run(
        [sys.executable, BENCH / "bench.py", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_table_is_what_the_record_says(bench, record):
    assert (BENCH / "RESULTS.md").read_text(encoding="utf-8") == bench.markdown(record)


def test_record_holds_every_contender(bench, record):
    for section, groups in bench.SECTIONS.items():
        if section in bench.ON_GPU and record["gpu"] is None:
            continue
        names = {name for group in groups for name in group}
        assert set(record["results"][section]) == names, section
        for row in record["results"][section].values():
            assert all(metric in bench.UNITS for metric in row)
            assert all(each["low"] <= each["median"] <= each["high"] for each in row.values())


def test_everything_in_the_table_has_a_name(bench):
    assert set(bench.TITLES) == set(bench.SECTIONS)
    assert set(bench.NAMES) == {
        name for groups in bench.SECTIONS.values() for names in groups for name in names
    }


def test_targets_are_judged_by_the_numbers(bench, record):
    found = list(bench.targets(record["results"]))
    assert len(found) == len(bench.TARGETS)
    results = json.loads(json.dumps(record["results"]))
    for row in results["features-nsmc"].values():
        row["seconds"]["median"] = 1e9 if row is results["features-nsmc"]["ours"] else 1.0
    worse = [row for row in bench.targets(results) if row[0] == "features-nsmc" and not row[-1]]
    assert {what for _, what, *_ in worse} >= {"걸린 시간 (초)", "`datasets.map`보다 몇 배 빠른가"}


def test_part_of_it_runs_and_is_written_where_asked(tmp_path):
    before = (BENCH / "RESULTS.md").read_bytes()
    done = command("--only", "ceiling", "--rounds", 1, "--data", tmp_path, "--out", tmp_path / "found")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found" / "results.json").read_text(encoding="utf-8"))
    assert list(found["results"]) == ["ceiling"] and found["versions"]["torch"]
    assert all(row["tflops"]["median"] > 0 for row in found["results"]["ceiling"].values())
    assert (BENCH / "RESULTS.md").read_bytes() == before


def test_what_was_measured_is_kept_if_the_rest_fails(tmp_path):
    done = command(
        "--only", "ceiling,overhead", "--rounds", 1, "--data", tmp_path, "--out", tmp_path / "found"
    )
    assert done.returncode == 1 and "재지 못한 묶음: overhead." in done.stderr.splitlines()[-1]
    kept = json.loads((tmp_path / "found" / "results.json.part").read_text(encoding="utf-8"))
    assert list(kept["results"]) == ["ceiling"]
    assert not (tmp_path / "found" / "results.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "speed"], "speed: 모르는 묶음입니다."),
        (["--data", "/nowhere"], "/nowhere: 공개 말뭉치가 든 폴더가 없습니다."),
    ],
)
def test_mistakes_get_one_sentence(words, said, tmp_path):
    done = command("--data", tmp_path, *words)
    assert done.returncode == 1 and done.stderr.startswith(said) and done.stderr.count("\n") == 1
