"""사이트: 링크와 배지와 사이드바가 온전하고, 처리된 노트북에 장과 출력이 빠짐없이 들어 있습니다.

Quarto가 PATH에 있으면 사이트를 정말로 만들어 브라우저로 둘러봅니다. 없으면 그 시험은 건너뛰었다고 알립니다.
"""

import ast
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from conftest import copy_to, serious_barriers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import contents
import format_chapters
from check_site import pages, problems, settings

from nlpbook_nbs.core.exercises import chapters

CHAPTERS = sorted((ROOT / "nbs").glob("[0-9][0-9]_*.ipynb"))
NOTEBOOKS = sorted((ROOT / "nbs").rglob("*.ipynb"))


def place(path):
    """`nbs`에서의 자리: `02_classification.ipynb`, `core/files.ipynb`."""
    return path.relative_to(ROOT / "nbs").as_posix()


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text, old
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


# 코드의 너비


def wide_lines(cell):
    """보여 주는 코드 셀에서 옆으로 밀어야 보이는 줄들. 패키지에 들어가는 코드(접어 둡니다)와 지시와 매직은 뺍니다."""
    lines = source(cell).splitlines() if cell["cell_type"] == "code" else []
    if "#| export" in lines:
        return []
    return [line for line in lines if len(line) > 88 and not line.lstrip().startswith(("#|", "%", "!"))]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_shown_code_is_read_without_scrolling_sideways(path):
    assert [line for cell in cells(path) for line in wide_lines(cell)] == []


def test_a_wide_line_is_found_in_shown_code_only():
    line = "x = " + "1 + " * 30 + "1"
    assert wide_lines({"cell_type": "code", "source": ["y = 2\n", line]}) == [line]
    assert wide_lines({"cell_type": "code", "source": ["#| export\n", line]}) == []
    assert wide_lines({"cell_type": "code", "source": [f"#| fig-alt: {line}\n", f"!{line}"]}) == []


def test_shown_code_and_package_code_are_formatted_to_their_own_width():
    call = "f(" + ", ".join(["number"] * 12) + ")"  # 97칸
    kept = next(cell for cell in cells(CHAPTERS[0]) if cell["cell_type"] == "code")
    both = [kept | {"id": name, "source": [head + call]} for name, head in (("a", ""), ("b", "#| export\n"))]
    notebook = json.loads(CHAPTERS[0].read_text(encoding="utf-8")) | {"cells": both}
    shown, package = map(source, json.loads(format_chapters.tidy(json.dumps(notebook)))["cells"])
    assert max(map(len, shown.splitlines())) <= 88 and package == "#| export\n" + call


# 링크, 배지, 사이드바


def test_site_is_set_up_for_sharing_dark_screens_and_pythons_indentation():
    config = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    website, html = config["website"], config["format"]["html"]
    assert (ROOT / website["image"]).exists() and website["twitter-card"] and website["open-graph"]
    assert html["canonical-url"] and html["respect-user-color-scheme"] and html["code-overflow"] == "scroll"
    assert (ROOT / html["include-after-body"]).exists() and "site/**" in config["project"]["resources"]
    for path in CHAPTERS:
        assert (ROOT / "images" / "cards" / f"{path.stem}.svg").exists(), (
            "첫 화면의 카드에 놓을 그림이 없습니다"
        )


def test_site_has_no_broken_link_badge_or_sidebar():
    assert [f"{path.relative_to(ROOT)}: {text}" for path, text in problems(ROOT)] == []


FIRST = CHAPTERS[0].name
BREAKS = {
    "장에서 다른 장으로 가는 링크": (
        f"nbs/{FIRST}",
        "](02_classification.ipynb)",
        "](2_no.ipynb)",
        "가리키는 파일",
    ),
    "글에서 장으로 가는 링크": (
        "index.qmd",
        "nbs/03_paircls.ipynb)",
        "nbs/03.ipynb)",
        "가리키는 파일",
    ),
    "그림": ("index.qmd", "images/exposure.png", "images/none.png", "가리키는 파일"),
    "README의 그림": ("README.md", "images/exposure.png", "images/none.png", "가리키는 파일"),
    "사이트의 페이지": (f"nbs/{FIRST}", "pages/glossary.html", "pages/no.html", "가리키는 파일"),
    "끼워 넣는 파일": ("pages/results.qmd", "../bench/RESULTS.md", "../bench/NONE.md", "가리키는 파일"),
    "제목": ("index.qmd", "(pages/glossary.qmd)", "(pages/glossary.qmd#no-title)", "그런 제목"),
    "배지": (
        f"nbs/{FIRST}",
        f"blob/main/nbs/{FIRST}",
        "blob/main/nbs/02_classification.ipynb",
        "배지",
    ),
    "내려받기": (
        f"nbs/{FIRST}",
        f'/nbs/{FIRST}\\" download',
        '/nbs/x.ipynb\\" download',
        "내려받는",
    ),
    "사이드바에서 빠진 장": (
        "_quarto.yml",
        "          - nbs/05_qa.ipynb\n",
        "",
        "사이드바에 없습니다",
    ),
    "사이드바의 없는 장": ("_quarto.yml", "nbs/05_qa.ipynb", "nbs/05_no.ipynb", "없습니다"),
    "장의 차례": ("_quarto.yml", "          - nbs/01_pipeline.ipynb\n", "", "사이드바에 없습니다"),
    "README의 표": (
        "README.en.md",
        "(nbs/11_mask_attack.ipynb)",
        "(nbs/10_pretrain.ipynb)",
        "장의 표",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_on_purpose_is_found(copy, name):
    path, old, new, expected = BREAKS[name]
    change(copy / path, old, new)
    found = problems(copy)
    assert any(expected in text for _, text in found), found


def test_card_of_the_home_page_tells_minutes_and_memory_once_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "COSTS", tmp_path / "costs.json")
    book = contents.chapters()[1]
    assert "GB" not in contents.card(book)
    contents.COSTS.write_text(json.dumps({book.path.stem: {"seconds": 140, "mb": 1536}}), encoding="utf-8")
    card = contents.card(book)
    assert "[CPU 코어 하나로 2분 · 메모리 1.5GB]{.cost}" in card
    assert f"({book.name})" in card and f"images/cards/{book.path.stem}.svg" in card


def test_new_chapter_that_is_listed_nowhere_is_found(copy):
    shutil.copyfile(CHAPTERS[-1], copy / "nbs" / "99_new.ipynb")
    texts = [text for _, text in problems(copy)]
    for expected in (
        "99_new.ipynb: 사이드바에 없습니다",
        "99_new.ipynb: 장의 표에 없습니다",
        "코랩 배지가 없습니다",
    ):
        assert any(expected in text for text in texts), expected


@pytest.mark.parametrize("tool", ["api", "contents", "pictures"])
def test_what_is_made_from_the_notebooks_is_fresh(tool):
    command = [sys.executable, ROOT / "tools" / f"{tool}.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_api_page_that_has_grown_old_is_found_and_put_right(copy):
    module = copy / "nlpbook_nbs" / "core" / "plots.py"
    change(module, "def plot_points(", "def plot_dots(")
    change(module, "'plot_points'", "'plot_dots'")
    command = [sys.executable, copy / "tools" / "api.py"]
    check = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    assert check.returncode == 1 and "api/core/plots.qmd" in check.stdout
    subprocess.run(command, check=True)
    assert "plot_dots(" in (copy / "api" / "core" / "plots.qmd").read_text(encoding="utf-8")
    assert subprocess.run([*command, "--check"], check=False).returncode == 0


def test_api_pages_show_every_public_function_and_class_with_its_text():
    modules = ROOT / "nlpbook_nbs"
    for path in (*modules.glob("[a-z]*.py"), *modules.glob("core/[a-z]*.py")):
        page = ROOT / "api" / path.relative_to(modules).with_suffix(".qmd")
        page = page.read_text(encoding="utf-8")
        names = re.findall(r"^(?:def|class) ([a-zA-Z]\w*)", path.read_text(encoding="utf-8"), re.MULTILINE)
        for name in names:
            section = page.split(f"## {name}\n", 1)
            assert len(section) == 2, f"{path.stem}.{name}"
            text = re.sub(r"```python.*?```", "", section[1].split("\n## ")[0], flags=re.DOTALL)
            assert re.search(r"[가-힣]{2}", text), f"{path.stem}.{name}: 설명이 없습니다"


# 그림, 용어, 연습문제


@pytest.mark.parametrize("path", NOTEBOOKS, ids=place)
def test_every_figure_has_a_label_of_its_own_a_caption_and_words_for_who_cannot_see_it(path):
    labels = []
    for cell in cells(path):
        kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        if kinds & {"image/png", "image/svg+xml"}:
            head = re.match(
                r'#\| label: (fig-[\w-]+)\n#\| fig-cap: "([^"]+)"\n#\| fig-alt: "([^"]+)"\n', source(cell)
            )
            assert head, source(cell)[:200]
            assert head[3] != head[2] and len(head[3]) >= 10, (
                f"{path.name} {head[1]}: fig-alt는 그림을 말로 그립니다"
            )
            labels.append(head[1])
    assert len(set(labels)) == len(labels)


def glossary():
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \| (.+?) \| \[(\d+)장\]\((.+?)\) \|$",
        (ROOT / "pages" / "glossary.qmd").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert len(rows) > 50
    return rows


@pytest.mark.parametrize("row", glossary(), ids=lambda row: row[0])
def test_glossary_sends_the_reader_to_a_chapter_that_names_the_term(row):
    term, _, _, number, link = row
    path = (ROOT / "pages" / link).resolve()
    assert path.name.startswith(f"{int(number):02}_")
    text = "\n".join(source(cell) for cell in cells(path) if cell["cell_type"] != "code")
    assert term in text, f"{path.name}에 {term}이(가) 나오지 않습니다"


def test_glossary_is_in_alphabetical_order():
    terms = [row[0] for row in glossary()]
    korean = [term for term in terms if re.match("[가-힣]", term)]
    assert terms == sorted(korean) + sorted(set(terms) - set(korean), key=str.lower)


def functions(path):
    """노트북의 셀에 있는 함수들."""
    for cell in cells(path):
        if cell["cell_type"] == "code" and not source(cell).startswith("%"):
            yield from (node for node in ast.parse(source(cell)).body if isinstance(node, ast.FunctionDef))


def graded(path):
    """장의 짝이 되는 채점 노트북의 채점 함수들: `(장, 번호, 함수)`."""
    for node in functions(path.parent / "checks" / path.name):
        for mark in node.decorator_list:
            if ast.unparse(mark).startswith("exercise("):
                yield *map(ast.literal_eval, mark.args), node


def asked(path):
    """장이 채점하는 문제들: `[(장, 번호), …]`."""
    return next(list(each.exercises) for each in chapters() if each.path.name == path.name)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_exercises_are_numbered_and_graded_with_hints(path):
    found = list(graded(path))
    assert [(chapter, number) for chapter, number, _ in found] == [
        (int(path.name[:2]), number) for number in range(1, len(found) + 1)
    ]
    assert asked(path) == [(chapter, number) for chapter, number, _ in found] and len(found) >= 3
    helpers = {node.name: node for node in functions(path.parent / "checks" / path.name)}
    for _, _, check in found:
        answers = [ast.unparse(node) for node in ast.walk(check) if isinstance(node, ast.Return)]
        assert "return None" in answers, check.name
        assert any(re.match(r"return f?['\"]맞았습니다", each) for each in answers), check.name
        parts = [check, *(helpers[name] for name in helpers if name in ast.unparse(check))]
        nodes = [node for part in parts for node in ast.walk(part)]
        hints = [node.msg for node in nodes if isinstance(node, ast.Assert)]
        hints += [
            node.exc.args for node in nodes if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
        ]
        assert hints and all(hints), check.name


# 처리된 노트북


def test_processed_notebooks_hold_every_chapter_with_its_code_and_outputs(copy, monkeypatch):
    """nbdev_docs가 Quarto에 넘기는 노트북은, 지시어 줄을 빼면 저장소의 노트북과 같습니다."""
    code = "from nbdev.serve import proc_nbs; proc_nbs(n_workers=0)"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    for path in NOTEBOOKS:
        processed = copy / "_proc" / path.relative_to(ROOT)
        before, after = cells(path), cells(processed)
        assert len(before) == len(after), path.name
        for old, new in zip(before, after):
            bare = re.sub(r"\A(#\| (default_exp [\w.]+|export)\n)+", "", source(old))
            assert source(new).strip() == bare.strip(), path.name
            assert len(new.get("outputs", [])) == len(old.get("outputs", []))
        text = re.sub(r'"image/png": (\[[^\]]*\]|"[^"]*")', "", processed.read_text(encoding="utf-8"))
        assert "Traceback (most recent" not in text and '"output_type": "error"' not in text
        assert not re.search(r"(?<![\w./])/(home|root|work|tmp|Users)/", text)
        assert not re.search(r"\b(hf_[A-Za-z]{30,}|gh[pousr]_\w{30,}|sk-\w{30,})", text)
    for name in ("_quarto.yml", "index.qmd", "pages/site.scss", "images/exposure.png", "api/index.qmd"):
        assert (copy / "_proc" / name).exists(), name


# 만들어진 사이트


@pytest.fixture(scope="session")
def quarto():
    if shutil.which("quarto") is None:
        pytest.skip(
            "quarto가 PATH에 없습니다. https://quarto.org/docs/get-started 에서 받으면 이 시험도 돕니다"
        )

    def render(folder):
        done = subprocess.run(["quarto", "render"], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return folder / "_docs"

    return render


@pytest.fixture(scope="session")
def site(request, tmp_path_factory):
    """만들어진 사이트. `NLPBOOK_TEST_SITE`에 이미 만든 폴더를 적으면 그것을 봅니다."""
    if os.environ.get("NLPBOOK_TEST_SITE"):
        return Path(os.environ["NLPBOOK_TEST_SITE"]).resolve()
    return request.getfixturevalue("quarto")(copy_to(tmp_path_factory.mktemp("site")))


class Links(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.lang = [], set(), None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "html":
            self.lang = found.get("lang")
        self.ids |= {found["id"]} if found.get("id") else set()
        self.links += [found[name] for name in ("href", "src") if found.get(name)]


def expected_pages():
    sources = pages(ROOT, ("index.qmd", "404.qmd", "pages/*.qmd", "nbs/**/*.ipynb", "api/**/*.qmd"))
    return [path.relative_to(ROOT).with_suffix(".html") for path in sources]


def test_rendered_site_has_every_page_and_no_broken_link(site):
    cfg, found = settings(ROOT), {}
    address = f"{cfg['doc_host']}{cfg['doc_baseurl']}"
    for name in expected_pages():
        assert (site / name).exists(), name
        found[site / name] = Links(site / name)
        assert found[site / name].lang == "ko"
    for path in CHAPTERS:
        assert (site / path.relative_to(ROOT)).exists(), "내려받을 노트북이 사이트에 없습니다"
    for path, page in found.items():
        for link in page.links:
            if link.startswith(address):
                link = link[len(address) :] or "/"
            elif urlsplit(link).scheme or link.startswith("//"):
                continue
            target, _, anchor = unquote(link).partition("#")
            target = target.partition("?")[0]
            file = site / target.lstrip("/") if target.startswith("/") else (path.parent / target).resolve()
            file = path if not target else file / "index.html" if file.is_dir() else file
            assert file.exists(), f"{path.relative_to(site)}: {link}"
            if anchor and file in found:
                assert anchor in found[file].ids, f"{path.relative_to(site)}: {link}"


def test_rendered_pages_show_no_leftover_of_cells_or_widgets(site):
    for name in expected_pages():
        text = (site / name).read_text(encoding="utf-8")
        main = text[text.index("<main") : text.index("</main>")]
        assert ":::" not in main and "VBox(children" not in main and "Dropdown(" not in main, name


def test_rendered_figures_of_the_chapters_are_fetched_when_they_come_near(site):
    texts = [(site / path.relative_to(ROOT).with_suffix(".html")).read_text("utf-8") for path in CHAPTERS]
    figures = [each for text in texts for each in re.findall(r"<img[^>]+_files/[^>]+>", text)]
    assert figures and all('loading="lazy"' in each for each in figures)


def test_rendered_pages_tell_where_they_live_and_how_they_look_when_shared(site):
    cfg = settings(ROOT)
    for name in expected_pages():
        text = (site / name).read_text(encoding="utf-8")
        for needed in ('property="og:image"', 'name="twitter:card"'):
            assert needed in text, f"{name}: {needed}"
        if name.name != "404.html":
            assert f'<link rel="canonical" href="{cfg["doc_host"]}' in text, name


def test_rendered_site_is_the_same_by_nbdev_docs(quarto, site, tmp_path):
    folder = copy_to(tmp_path / "nbdev")
    code = "from nbdev.serve import proc_nbs; proc_nbs(n_workers=0)"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    pages_of = [
        {path.relative_to(root) for path in root.rglob("*.html")} for root in (site, quarto(folder / "_proc"))
    ]
    assert pages_of[0] == pages_of[1]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture
def browse(site):
    """사이트를 이 컴퓨터에서만 보이게 띄우고 여는 함수. 콘솔의 오류를 `errors`에 모읍니다."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="pip install playwright로 설치하면 이 시험도 돕니다"
    )
    handler = functools.partial(QuietHandler, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    installed = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    errors = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed)

        def open_page(path, width=1280, height=900):
            page = browser.new_page(viewport={"width": width, "height": height}, locale="ko-KR")
            page.on(
                "console", lambda message: errors.append(message.text) if message.type == "error" else None
            )
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"http://127.0.0.1:{server.server_port}/{path}", wait_until="load")
            return page

        yield open_page, errors
        browser.close()
    server.shutdown()


def test_reader_finds_the_way_in_a_browser(browse):
    open_page, errors = browse
    page = open_page("index.html")
    page.get_by_role("link", name="1장부터 시작하기").click()
    page.wait_for_url("**/01_pipeline.html")
    assert page.locator("#TOC").count() == 1 and page.locator(".code-copy-button").count() > 5
    page.locator(".nav-page-next a").click()
    page.wait_for_url("**/02_classification.html")
    assert "colab-badge.svg" in page.content() and page.get_by_text("노트북 받기").count()
    solution = page.locator("main details").first
    assert solution.get_attribute("open") is None
    solution.locator("summary").click()
    assert solution.get_attribute("open") is not None
    before = page.locator("body").get_attribute("class")
    page.locator(".quarto-color-scheme-toggle").first.click()
    page.wait_for_function("before => document.body.className !== before", arg=before)
    assert "quarto-dark" in page.locator("body").get_attribute("class")
    page.locator("#quarto-search button").first.click()
    page.locator(".aa-Input").first.fill("카나리아")
    page.locator(".aa-Item").first.wait_for()
    assert page.locator(".aa-Item", has_text="MASK").count()
    assert errors == []


@pytest.mark.parametrize("name", ["index.html", "nbs/10_pretrain.html", "pages/glossary.html"])
def test_page_has_no_serious_barrier(browse, name):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="pip install axe-playwright-python으로 설치하면 이 시험도 돕니다",
    )
    open_page, _ = browse
    assert serious_barriers(axe, open_page(name)) == []


@pytest.mark.parametrize("name", ["index.html", *(f"nbs/{path.stem}.html" for path in CHAPTERS)])
def test_page_fits_a_phone(browse, name):
    open_page, errors = browse
    page = open_page(name, width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 391
    images = page.locator("main img")
    images.evaluate_all(
        "all => all.forEach((each) => (each.loading = 'eager'))"
    )  # 멀리 있는 그림도 받습니다.
    page.wait_for_function("[...document.querySelectorAll('main img')].every((each) => each.complete)")
    assert images.evaluate_all("all => all.every((each) => each.naturalWidth > 0)")
    assert errors == []
