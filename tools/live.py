"""사이트에서 바로 돌려 보는 화면의 모델을 `site/models/`에 만듭니다. `make docs`가 부릅니다. 있으면 다시 만들지 않습니다.

모델은 저장소에 두지 않고 그때마다 만듭니다. `nlpbook-mini`를 줄마다 8비트로 담고(`core.storage`), 감성 분석은 그 위의 두 층만 다시 가르쳐
달라진 층만 담습니다. 가르치는 데 코어 하나로 2분쯤 걸립니다. `--untrained`는 가르치지 않고 시험에 쓸 아무 값이나 담습니다.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
MINI = ROOT / "nlpbook_nbs" / "models" / "nlpbook-mini"
SMALL = ("vocab.txt", "config.json")  # 가중치 말고 화면이 읽는 것
LABELS = ["부정", "긍정"]


def pack(weights, path):
    """`{이름: 텐서}`를 8비트로 담고 파일의 크기를 돌려줍니다."""
    from safetensors.torch import save_file

    from nlpbook_nbs.core.storage import pack_weights

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "model.safetensors")
        save_file({name: weight.contiguous() for name, weight in weights.items()}, plain)
        return pack_weights(plain, path)["bytes"]


def trained():
    """감성 분석을 가르친 모델의 `(가중치, 정확도, 시험한 건수)`. 아래 두 층과 임베딩은 얼립니다."""
    from safetensors.torch import load_file

    from nlpbook_nbs.classification import ClassificationTrainArguments, train_classifier

    with tempfile.TemporaryDirectory() as folder:
        args = ClassificationTrainArguments(
            pretrained_model_name="nlpbook-mini",
            downstream_model_dir=folder,
            freeze_layers=2,
            max_train_samples=12_000,
            max_seq_length=64,
            batch_size=32,
            learning_rate=8e-4,
            lr_scheduler="linear",
            warmup_ratio=0.1,
            epochs=2,
            seed=7,
        )
        result = train_classifier(args)
        return load_file(Path(folder, "model.safetensors")), result["test_acc"], result["test_examples"]


def untrained():
    """시험에 쓸 아무 값: 분류층만 새로 지은 모델."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(7)
    model = BertForSequenceClassification.from_pretrained(MINI, num_labels=len(LABELS))
    model.classifier.weight.data *= 20  # 확률이 0.5에 몰리지 않게 합니다.
    return model.state_dict(), 0.0, 0


def build(folder, sentiment):
    """`folder`에 모델들과, 무엇이 얼마나 큰지 적은 `models.json`을 씁니다."""
    from safetensors.torch import load_file

    folder.mkdir(parents=True, exist_ok=True)
    for name in SMALL:
        shutil.copyfile(MINI / name, folder / name)
    base = load_file(MINI / "model.safetensors")
    weights, accuracy, rows = sentiment()
    changed = {
        name: weight
        for name, weight in weights.items()
        if name not in base or not base[name].float().equal(weight.float())
    }
    models = {
        "small": sum((folder / name).stat().st_size for name in SMALL),
        "base": {"file": "mini.safetensors", "bytes": pack(base, folder / "mini.safetensors")},
        "sentiment": {
            "file": "sentiment.safetensors",
            "bytes": pack(changed, folder / "sentiment.safetensors"),
            "labels": LABELS,
            "accuracy": accuracy,
            "rows": rows,
        },
    }
    (folder / "models.json").write_text(
        json.dumps(models, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    return models


def main():
    folder = ROOT / "site" / "models"
    if (folder / "models.json").exists():
        print(f"{folder.relative_to(ROOT)}이(가) 이미 있습니다. 다시 만들려면 그 폴더를 지우세요.")
        return
    print(json.dumps(build(folder, untrained if "--untrained" in sys.argv else trained), ensure_ascii=False))


if __name__ == "__main__":
    main()
