"""페이지의 무게를 재는 도구: 무엇을 얼마나 받는지, '실행' 뒤에만 받는 것, 바깥에 하는 요청. 크로미움이 없으면 건너뛰었다고 알립니다."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from weigh_pages import shifted

PAGE = """<!doctype html><html lang="ko"><head><meta charset="utf-8"><link rel="icon" href="data:,"><title>장</title>
<link rel="stylesheet" href="look.css"><script type="module" src="page.js"></script></head>
<body><h1>장</h1><p>{}</p><img src="a.png" alt="" width="9" height="9">{}</body></html>"""
DEMO = """<nlpbook-demo><button type="submit">실행</button><p class="result" hidden>답</p></nlpbook-demo>
<div style="height:9000px"></div><img src="far.png" alt="" width="9" height="9" loading="lazy">"""
SCRIPT = """document.querySelector("nlpbook-demo button")?.addEventListener("click", async () => {
  await (await fetch("model.bin")).arrayBuffer();
  document.querySelector(".result").hidden = false;
});"""

OUTSIDE = '<script src="https://cdn.example/lib.js"></script><img src="http://192.0.2.1/x.png" alt="">'


def weigh(*words, **environment):
    command = [sys.executable, ROOT / "tools" / "weigh_pages.py", *words]
    found = {**os.environ, "PYTHONUTF8": "1", **environment}
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=found, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """'실행'하면 모델을 받는 화면과 멀리 있는 그림이 있는 페이지와, 바깥에 요청하는 페이지."""
    folder = tmp_path_factory.mktemp("site")
    for name, size in {"a.png": 3000, "far.png": 70_000, "model.bin": 90_000}.items():
        (folder / name).write_bytes(os.urandom(size))
    write(folder / "look.css", "p { color: #123; }\n" * 500)
    write(folder / "page.js", SCRIPT)
    write(folder / "index.html", PAGE.format("글 " * 3000, DEMO))
    write(folder / "cdn.html", PAGE.format("글", OUTSIDE))
    return folder


@pytest.fixture(scope="module")
def weighed(site):
    """두 페이지를 잰 결과와 그 표의 줄들: `{(페이지, 화면): {열: 글}}`. 크로미움이 없으면 시험을 건너뜁니다."""
    done = weigh(site, "index.html", "cdn.html", "--loads", "1")
    if done.returncode == 2 and "않았습니다" in done.stdout:
        pytest.skip(done.stdout.strip())
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    heads, _, *table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return done, {(row[0], row[1]): dict(zip(heads, row, strict=True)) for row in table}


def test_table_tells_what_a_first_visit_fetches_and_what_only_run_does(site, weighed):
    found = {screen: row for (page, screen), row in weighed[1].items() if page == "index.html"}
    assert list(found) == ["책상", "전화"]
    for row in found.values():
        assert row["요청"] == "4"  # 문서, 스타일, 스크립트, 가까운 그림
        got, whole = map(float, row["문서"].split(" / "))
        assert got < 1 and abs(whole - (site / "index.html").stat().st_size / 1000) < 0.1  # 줄여 보냅니다.
        assert re.fullmatch(r"3\.\d / 3\.0", row["그림"]) and row["글꼴"] == "–"
        assert all(float(row[each]) > 0 for each in ("FCP", "LCP", "DCL"))
    assert {name: row["실행 뒤 KB"] for name, row in found.items()} == {"책상": "90", "전화": "–"}
    assert float(found["전화"]["FCP"]) > 0.3  # 문서와 스타일을 차례로 받으므로 0.15초씩 두 번 늦습니다.


def test_page_that_calls_an_outside_host_is_a_fault(weighed):
    done, table = weighed
    assert done.returncode == 1 and len(table) == 4
    faults = [line for line in done.stdout.splitlines() if "바깥에 요청합니다" in line]
    assert [line.rsplit(" ", 1)[1] for line in faults] == [
        "http://192.0.2.1/x.png",
        "https://cdn.example/lib.js",
    ]
    assert all(line.startswith("cdn.html: ") for line in faults)


def test_without_chromium_one_sentence_says_so_and_make_docs_goes_on(site):
    nowhere = {"PATH": str(site), "PLAYWRIGHT_BROWSERS_PATH": str(site)}
    refused, tolerated = (
        weigh(site, "index.html", **nowhere),
        weigh(site, "index.html", "--if-possible", **nowhere),
    )
    assert (refused.returncode, tolerated.returncode) == (2, 0)
    assert len(tolerated.stdout.splitlines()) == 1 and "페이지의 무게를 재지 않았습니다" in tolerated.stdout


def test_page_that_was_not_built_is_named(site):
    done = weigh(site, "index.html", "nbs/none.html")
    assert done.returncode == 2 and "nbs/none.html" in done.stderr


def test_shifts_of_the_layout_are_summed_only_while_they_follow_each_other():
    assert shifted([]) == 0
    assert shifted([(100, 0.125), (900, 0.25), (3000, 0.125)]) == 0.375
    assert shifted([(900 * number, 0.125) for number in range(10)]) == 0.75  # 다섯 초마다 새로 셉니다.
