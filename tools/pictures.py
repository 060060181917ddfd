"""노트북에 저장된 그림을 `images/`에 꺼냅니다. README와 사이트의 첫 화면이 씁니다. `--check`는 고치지 않고 다르면 1로 끝납니다."""

import base64
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURES = {  # 파일 이름: (장, 그림의 label)
    "confusion": ("02_classification", "fig-confusion"),
    "fill-mask": ("10_pretrain", "fig-mini"),
    "exposure": ("11_mask_attack", "fig-repeats"),
}


def picture(chapter, label):
    """`chapter`장에서 `#| label: <label>`인 셀이 그린 PNG의 바이트."""
    path = ROOT / "nbs" / f"{chapter}.ipynb"
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if f"#| label: {label}\n" in cell["source"]:
            images = [
                out["data"]["image/png"] for out in cell["outputs"] if "image/png" in out.get("data", {})
            ]
            if images:
                return base64.b64decode("".join(images[-1]))
    raise SystemExit(f"{path}: {label}의 그림이 없습니다. tools/run_notebooks.py로 출력을 저장하세요.")


def main():
    wrong = []
    for name, place in PICTURES.items():
        path, image = ROOT / "images" / f"{name}.png", picture(*place)
        if not path.exists() or path.read_bytes() != image:
            wrong.append(path)
            if "--check" in sys.argv:
                print(f"{path.relative_to(ROOT)}: 노트북의 그림과 다릅니다. make export를 실행하세요.")
            else:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(image)
    return int(bool(wrong) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
