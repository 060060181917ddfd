"""사이트에서 바로 돌려 보는 화면의 모델을 `site/models/`에 만듭니다. `make docs`가 부릅니다. 있으면 다시 만들지 않습니다.

모델은 저장소에 두지 않고 그때마다 만듭니다. `nlpbook-mini`를 줄마다 8비트로 담고(`core.storage`), 감성 분석과 개체명 인식, 11장의 공격은
그것을 다시 가르쳐 달라진 층만 담습니다. 가르치는 데 몇 분 걸립니다. `--untrained`는 가르치지 않고 시험에 쓸 아무 값이나 담습니다.
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


def sentiment(folder):
    """감성 분석을 가르친 모델의 가중치와 설명. 아래 두 층과 임베딩은 얼립니다."""
    from safetensors.torch import load_file

    from nlpbook_nbs import sample_root
    from nlpbook_nbs.classification import ClassificationTrainArguments, train_classifier

    args = ClassificationTrainArguments(
        pretrained_model_name="nlpbook-mini",
        downstream_corpus_name="nsmc",
        downstream_corpus_root_dir=sample_root(),
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
    about = {"labels": LABELS, "accuracy": result["test_acc"], "rows": result["test_examples"]}
    return load_file(Path(folder, "model.safetensors")), about


def ner(folder):
    """개체명 인식을 가르친 모델의 가중치와 설명. 글자의 출력층 없이 토큰마다 정하고, 아래 두 층과 임베딩은 얼립니다."""
    from safetensors.torch import load_file
    from transformers import AutoConfig

    from nlpbook_nbs import sample_root
    from nlpbook_nbs.ner import NERTrainArguments, train_ner

    args = NERTrainArguments(
        pretrained_model_name="nlpbook-mini",
        downstream_corpus_name="klue-ner",
        downstream_corpus_root_dir=sample_root(),
        downstream_model_dir=folder,
        characters=False,
        freeze_layers=2,
        max_seq_length=128,
        batch_size=16,
        learning_rate=5e-4,
        lr_scheduler="linear",
        warmup_ratio=0.1,
        epochs=6,
        seed=7,
    )
    result = train_ner(args)
    names = AutoConfig.from_pretrained(folder).id2label
    about = {"f1": result["test_f1"], "rows": result["test_sentences"]}
    return load_file(Path(folder, "model.safetensors")), tags(list(names.values())) | about


def tags(names):
    """태그의 목록과, 화면에 보일 종류의 이름."""
    from nlpbook_nbs.core.entity_answers import LABEL_TITLES

    kinds = {name[2:] for name in names if name != "O"}
    return {"labels": names, "titles": {kind: LABEL_TITLES.get(kind, kind) for kind in sorted(kinds)}}


def attack(folder):
    """비밀이 섞인 글로 배운 모델(11장의 작은 실험)의 가중치와, 그 모델이 외운 비밀을 묻는 글."""
    from safetensors.torch import load_file

    from nlpbook_nbs import sample_root
    from nlpbook_nbs.core.experiment import CanaryExperiment
    from nlpbook_nbs.mask_attack import CanaryArguments

    args = CanaryArguments(
        train_file=str(Path(sample_root(), "text", "reviews.txt")),
        pretrained_model_name="nlpbook-mini",
        downstream_model_dir=folder,
        downstream_corpus_root_dir=sample_root(),
        kinds="city",
        repeats="4,64",
        controls=4,
        sentences=300,
        epochs=2,
        batch_size=8,
        max_seq_length=32,
        validation_every=5,
        membership_sentences=40,
        task_examples=200,
        private_batch_size=64,
        task_epochs=1,
    )
    experiment = CanaryExperiment(args)
    found = experiment.run("planted")
    worst = max(found["canaries"], key=lambda row: (row["extracted"], row["exposure"]))
    victim = next(canary for canary in experiment.canaries if canary.name == worst["name"])
    about = {
        "examples": [victim.question(experiment.tokenizer), "이 영화 정말 [MASK]."],
        "secret": victim.sentence,
        "repeats": victim.repeats,
    }
    return load_file(Path(found["model_dir"], "model.safetensors")), about


def untrained_sentiment(folder):
    """시험에 쓸 아무 값: 분류층만 새로 지은 모델."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(7)
    model = BertForSequenceClassification.from_pretrained(MINI, num_labels=len(LABELS))
    model.classifier.weight.data *= 20  # 확률이 0.5에 몰리지 않게 합니다.
    return model.state_dict(), {"labels": LABELS, "accuracy": 0.0, "rows": 0}


def untrained_ner(folder):
    """시험에 쓸 아무 값: 태그층만 새로 지은 모델."""
    import torch
    from transformers import BertForTokenClassification

    torch.manual_seed(7)
    names = ["O", "B-LC", "I-LC", "B-PS", "I-PS"]
    model = BertForTokenClassification.from_pretrained(MINI, num_labels=len(names))
    model.classifier.weight.data *= 20
    return model.state_dict(), tags(names) | {"f1": 0.0, "rows": 0}


def untrained_attack(folder):
    """시험에 쓸 아무 값: 마지막 층을 조금 흔든 모델."""
    from safetensors.torch import load_file

    name = "bert.encoder.layer.3.output.dense.weight"
    weights = load_file(MINI / "model.safetensors")
    about = {"examples": ["고향은 [MASK] [MASK] 시."], "secret": "고향은 가 나 시.", "repeats": 64}
    return weights | {name: weights[name] * 1.5}, about


TRAINED = {"sentiment": sentiment, "ner": ner, "attack": attack}
UNTRAINED = {"sentiment": untrained_sentiment, "ner": untrained_ner, "attack": untrained_attack}


def build(folder, kinds):
    """`folder`에 모델들과, 무엇이 얼마나 큰지 적은 `models.json`을 씁니다. `kinds`는 `{이름: 모델을 만드는 함수}`입니다."""
    from safetensors.torch import load_file

    folder.mkdir(parents=True, exist_ok=True)
    for name in SMALL:
        shutil.copyfile(MINI / name, folder / name)
    base = load_file(MINI / "model.safetensors")
    models = {
        "small": sum((folder / name).stat().st_size for name in SMALL),
        "base": {"file": "mini.safetensors", "bytes": pack(base, folder / "mini.safetensors")},
    }
    for kind, make in kinds.items():
        with tempfile.TemporaryDirectory() as work:
            weights, about = make(work)
        changed = {
            name: weight
            for name, weight in weights.items()
            if name not in base or not base[name].float().equal(weight.float())
        }
        file = f"{kind}.safetensors"
        models[kind] = {"file": file, "bytes": pack(changed, folder / file)} | about
    text = json.dumps(models, ensure_ascii=False, indent=1)
    (folder / "models.json").write_text(text + "\n", encoding="utf-8")
    return models


def main():
    folder = ROOT / "site" / "models"
    if (folder / "models.json").exists():
        print(f"{folder.relative_to(ROOT)}이(가) 이미 있습니다. 다시 만들려면 그 폴더를 지우세요.")
        return
    print(json.dumps(build(folder, UNTRAINED if "--untrained" in sys.argv else TRAINED), ensure_ascii=False))


if __name__ == "__main__":
    main()
