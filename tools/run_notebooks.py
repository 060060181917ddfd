"""노트북을 quick 프로파일로 실행해 출력을 저장합니다: `python tools/run_notebooks.py [노트북 …]` (비우면 모두).

진행 막대와 표준 오류는 지우고, 그림과 글만 남깁니다. 실행은 임시 폴더에서 하므로 저장소에 모델이 남지 않습니다.
장을 실행하면 걸린 시간과 가장 많이 쓴 메모리를 `pages/costs.json`에 적습니다. 첫 화면의 카드가 읽으므로 조용한 컴퓨터에서 실행하세요.
"""

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
COSTS = ROOT / "pages" / "costs.json"
MEASURE = """import resource
print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))"""


def is_debris(output):
    if output.output_type == "stream":
        return output.name == "stderr" or "\r" in output.text
    text = output.get("data", {}).get("text/plain", "")
    bar = output.output_type == "display_data" and re.search(
        r"[\d?]\S{0,4}/s\]", text
    )  # tqdm: 12.3it/s], ?편/s]
    return bool(bar) or text.startswith(("Validation:", "Training:", "Testing:"))


def merged(outputs):
    """나뉘어 온 표준 출력을 하나로 잇습니다."""
    found = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream":
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def remember(name, seconds, mb):
    """장 하나를 실행하는 데 든 것을 적습니다."""
    costs = json.loads(COSTS.read_text(encoding="utf-8")) if COSTS.exists() else {}
    costs[name] = {"seconds": round(seconds), "mb": mb}
    COSTS.write_text(json.dumps(costs, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def run(path):
    book = nbformat.read(path, as_version=4)
    is_chapter = re.match(r"\d\d_", path.name) and path.resolve().parent.name == "nbs"
    measured = is_chapter and sys.platform == "linux"
    if measured:  # 마지막에 셀 하나를 더해 커널이 쓴 메모리(KiB)를 묻고, 저장할 때는 뺍니다.
        book.cells.append(nbformat.v4.new_code_cell(MEASURE))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            book, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    if measured:
        kib = int(book.cells.pop().outputs[0].text)
        remember(path.stem, time.perf_counter() - start, kib // 1024)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = merged([output for output in cell.outputs if not is_debris(output)])
            cell.metadata.clear()
            for output in cell.outputs:
                if "execution_count" in output:
                    output["execution_count"] = None
                output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    book.metadata = {"kernelspec": book.metadata.kernelspec}
    nbformat.write(book, path)


def main():
    os.environ.update(NLPBOOK_PROFILE="quick", HF_HUB_OFFLINE="1")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["NLPBOOK_CACHE"] = cache
        for path in map(Path, sys.argv[1:] or sorted((ROOT / "nbs").rglob("*.ipynb"))):
            print(path.name, flush=True)
            run(path)


if __name__ == "__main__":
    main()
