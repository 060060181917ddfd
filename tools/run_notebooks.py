"""노트북을 quick 프로파일로 실행해 출력을 저장합니다: `python tools/run_notebooks.py [노트북 …]` (비우면 모두).

진행 막대와 표준 오류는 지우고, 그림과 글만 남깁니다. 실행은 임시 폴더에서 하므로 저장소에 모델이 남지 않습니다.
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent


def is_debris(output):
    if output.output_type == "stream":
        return output.name == "stderr" or "\r" in output.text
    text = output.get("data", {}).get("text/plain", "")
    return "it/s]" in text or "?it/s" in text or text.startswith(("Validation:", "Training:", "Testing:"))


def merged(outputs):
    """나뉘어 온 표준 출력을 하나로 잇습니다."""
    found = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream":
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def run(path):
    book = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            book, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
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
