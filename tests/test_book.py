"""책의 셀을 차례로, 불러오는 패키지의 이름만 바꾸어 실행해 봅니다: 2장, 3장, 5장, 7장."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

import nlpbook_nbs as nlpbook
from nlpbook_nbs.classification import load_classifier
from nlpbook_nbs.generation import load_generator

SETUP = """
import torch
import nlpbook_nbs as nlpbook
{imports}
args = {arguments}(
    pretrained_model_name=MODEL, downstream_task_name="{task}", downstream_corpus_name="{corpus}",
    downstream_corpus_root_dir=ROOT, downstream_model_dir=FOLDER,
    batch_size=32 if torch.cuda.is_available() else 4, learning_rate=5e-5, max_seq_length=64, epochs=1,
    tpu_cores=0 if torch.cuda.is_available() else 8, seed=7, {more}
)
nlpbook.set_seed(args)
nlpbook.set_logger(args)
nlpbook.download_downstream_dataset(args)
from transformers import BertTokenizer
tokenizer = BertTokenizer.from_pretrained(args.pretrained_model_name, do_lower_case=False)
corpus = {corpus_class}()
train_dataset = {dataset}(args=args, corpus=corpus, tokenizer=tokenizer, mode="train")
from torch.utils.data import DataLoader, RandomSampler
train_dataloader = DataLoader(
    train_dataset, batch_size=args.batch_size, sampler=RandomSampler(train_dataset, replacement=False),
    collate_fn=nlpbook.data_collator, drop_last=False, num_workers=args.cpu_workers,
)
from torch.utils.data import SequentialSampler
val_dataset = {dataset}(args=args, corpus=corpus, tokenizer=tokenizer, mode="{mode}")
val_dataloader = DataLoader(
    val_dataset, batch_size=args.batch_size, sampler=SequentialSampler(val_dataset),
    collate_fn=nlpbook.data_collator, drop_last=False, num_workers=args.cpu_workers,
)
from transformers import BertConfig, {model}
pretrained_model_config = BertConfig.from_pretrained(args.pretrained_model_name{labels})
model = {model}.from_pretrained(args.pretrained_model_name, config=pretrained_model_config)
task = {task_class}(model, args)
trainer = nlpbook.get_trainer(args)
trainer.fit(task, train_dataloader=train_dataloader, val_dataloaders=val_dataloader)
"""
LOAD = """
args = {deploy}(pretrained_model_name=MODEL, downstream_model_dir=FOLDER, max_seq_length=64)
fine_tuned_model_ckpt = torch.load(args.downstream_model_checkpoint_fpath, map_location=torch.device("cpu"))
pretrained_model_config = BertConfig.from_pretrained(args.pretrained_model_name{found_labels})
model = {model}(pretrained_model_config)
model.load_state_dict({{k.replace("model.", ""): v for k, v in fine_tuned_model_ckpt["state_dict"].items()}})
model.eval()
"""
CLASSIFICATION = {
    "arguments": "ClassificationTrainArguments",
    "deploy": "ClassificationDeployArguments",
    "dataset": "ClassificationDataset",
    "task_class": "ClassificationTask",
    "model": "BertForSequenceClassification",
    "labels": ", num_labels=corpus.num_labels",
    "found_labels": ', num_labels=fine_tuned_model_ckpt["state_dict"]["model.classifier.bias"].shape.numel()',
    "mode": "test",
    "more": "",
}
_NAMES = (
    "ClassificationTrainArguments, ClassificationDeployArguments, ClassificationDataset, ClassificationTask"
)
CHAPTERS = {
    "doc-cls": CLASSIFICATION
    | {
        "imports": f"from nlpbook_nbs.classification import {_NAMES}, NsmcCorpus",
        "task": "document-classification",
        "corpus": "nsmc",
        "corpus_class": "NsmcCorpus",
    },
    "pair-cls": CLASSIFICATION
    | {
        "imports": f"from nlpbook_nbs.classification import {_NAMES}\nfrom nlpbook_nbs.paircls import KlueNLICorpus",
        "task": "pair-classification",
        "corpus": "klue-nli",
        "corpus_class": "KlueNLICorpus",
    },
    "qa": {
        "imports": "from nlpbook_nbs.qa import QATrainArguments, QADeployArguments, KorQuADV1Corpus, QADataset, QATask",
        "task": "question-answering",
        "corpus": "korquad-v1",
        "arguments": "QATrainArguments",
        "deploy": "QADeployArguments",
        "corpus_class": "KorQuADV1Corpus",
        "dataset": "QADataset",
        "task_class": "QATask",
        "model": "BertForQuestionAnswering",
        "labels": "",
        "found_labels": "",
        "mode": "val",
        "more": 'max_query_length=32, doc_stride=16, threads=4, precision="fp32",',
    },
}


@pytest.fixture
def local_model(tiny_model):
    """가중치까지 있는 아주 작은 모델 폴더."""
    from transformers import AutoConfig, AutoModel

    AutoModel.from_config(AutoConfig.from_pretrained(tiny_model)).save_pretrained(tiny_model)
    return str(tiny_model)


@pytest.fixture
def run_chapter(tmp_path, local_model, small_corpora):
    def run(name):
        space = {"MODEL": local_model, "ROOT": small_corpora, "FOLDER": str(tmp_path / "model")}
        with pytest.warns(FutureWarning, match="train_dataloader는 옛 이름"):
            exec((SETUP + LOAD).format(**CHAPTERS[name]), space)  # noqa: S102 - 책의 셀을 그대로 실행해 보는 시험입니다.
        return space

    return run


TEXTS = {"doc-cls": "재미있어요", "pair-cls": ("비가 온다.", "날이 맑다.")}


@pytest.mark.parametrize("name", TEXTS)
def test_classification_cells_give_the_probabilities_of_our_classifier(run_chapter, capsys, name):
    space = run_chapter(name)
    text = TEXTS[name]
    inputs = space["tokenizer"](
        *([[part] for part in text] if isinstance(text, tuple) else [[text]]),
        max_length=64,
        padding="max_length",
        truncation=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        probabilities = space["model"](**inputs).logits.softmax(dim=1)
    assert probabilities.shape == (1, space["corpus"].num_labels)
    assert np.allclose(probabilities.numpy(), load_classifier(space["args"]).probabilities([text]), atol=1e-5)
    if not torch.cuda.is_available():
        assert capsys.readouterr().err.count("TPU가 없어") == 1


def test_question_answering_cells_give_the_scores_of_our_answerer(run_chapter):
    from nlpbook_nbs.qa import korquad_scores, load_answerer

    space = run_chapter("qa")
    assert "val_f1" in space["trainer"].callback_metrics
    answerer = load_answerer(space["args"])
    for name, weight in answerer.model.state_dict().items():
        assert torch.equal(weight, space["model"].state_dict()[name])
    rows = space["val_dataset"].examples
    answerer.args.doc_stride, answerer.args.max_query_length = 16, 32
    found = answerer.answer([(row.question_text, row.context_text) for row in rows])
    scores = korquad_scores(
        {row.qas_id: answer["answer"] for row, answer in zip(rows, found)},
        {row.qas_id: row.answers for row in rows},
    )
    assert scores["f1"] == pytest.approx(float(space["trainer"].callback_metrics["val_f1"]), abs=1e-4)


GENERATION = """
import torch
import nlpbook_nbs as nlpbook
from nlpbook_nbs.generation import (
    GenerationTrainArguments, GenerationDeployArguments, NsmcCorpus, GenerationDataset, GenerationTask,
)
args = GenerationTrainArguments(
    pretrained_model_name=MODEL, downstream_corpus_name="nsmc", downstream_corpus_root_dir=ROOT,
    downstream_model_dir=FOLDER, max_seq_length=32, batch_size=32 if torch.cuda.is_available() else 4,
    learning_rate=5e-5, epochs=1, tpu_cores=0 if torch.cuda.is_available() else 8, seed=7,
)
nlpbook.set_seed(args)
nlpbook.set_logger(args)
nlpbook.download_downstream_dataset(args)
from transformers import PreTrainedTokenizerFast
tokenizer = PreTrainedTokenizerFast.from_pretrained(args.pretrained_model_name, eos_token="</s>")
corpus = NsmcCorpus()
train_dataset = GenerationDataset(args=args, corpus=corpus, tokenizer=tokenizer, mode="train")
from torch.utils.data import DataLoader, RandomSampler
train_dataloader = DataLoader(
    train_dataset, batch_size=args.batch_size, sampler=RandomSampler(train_dataset, replacement=False),
    collate_fn=nlpbook.data_collator, drop_last=False, num_workers=args.cpu_workers,
)
from torch.utils.data import SequentialSampler
val_dataset = GenerationDataset(args=args, corpus=corpus, tokenizer=tokenizer, mode="test")
val_dataloader = DataLoader(
    val_dataset, batch_size=args.batch_size, sampler=SequentialSampler(val_dataset),
    collate_fn=nlpbook.data_collator, drop_last=False, num_workers=args.cpu_workers,
)
from transformers import GPT2LMHeadModel
model = GPT2LMHeadModel.from_pretrained(args.pretrained_model_name)
task = GenerationTask(model, args)
trainer = nlpbook.get_trainer(args)
trainer.fit(task, train_dataloader=train_dataloader, val_dataloaders=val_dataloader)

args = GenerationDeployArguments(pretrained_model_name=MODEL, downstream_model_dir=FOLDER)
from transformers import GPT2Config
pretrained_model_config = GPT2Config.from_pretrained(args.pretrained_model_name)
model = GPT2LMHeadModel(pretrained_model_config)
fine_tuned_model_ckpt = torch.load(args.downstream_model_checkpoint_fpath, map_location=torch.device("cpu"))
model.load_state_dict({k.replace("model.", ""): v for k, v in fine_tuned_model_ckpt["state_dict"].items()})
model.eval()

def inference_fn(
    prompt, min_length=10, max_length=20, top_p=1.0, top_k=50,
    repetition_penalty=1.0, no_repeat_ngram_size=0, temperature=1.0,
):
    try:
        input_ids = tokenizer.encode(prompt, return_tensors="pt")
        with torch.no_grad():
            generated_ids = model.generate(
                input_ids, do_sample=True, top_p=float(top_p), top_k=int(top_k),
                min_length=int(min_length), max_length=int(max_length),
                repetition_penalty=float(repetition_penalty),
                no_repeat_ngram_size=int(no_repeat_ngram_size), temperature=float(temperature),
            )
        generated_sentence = tokenizer.decode([el.item() for el in generated_ids[0]])
    except:
        generated_sentence = "처리 중 오류가 발생했습니다."
    return {"result": generated_sentence}

from nlpbook_nbs.generation import get_web_service_app
app = get_web_service_app(inference_fn)
"""


def test_generation_cells_write_with_the_weights_of_our_generator(tmp_path, small_corpora):
    (tmp_path / "nsmc").mkdir()
    for part in ("train", "test"):
        rows = Path(small_corpora, "nsmc", f"ratings_{part}.txt").read_text(encoding="utf-8").splitlines()
        write(tmp_path / "nsmc" / f"ratings_{part}.txt", "\n".join(rows[:41]) + "\n")
    torch.manual_seed(7)
    folder = nlpbook.resolve_model_name("nlpbook-gpt")
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    config = GPT2Config.from_pretrained(folder, **sizes)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "gpt")
    space = {"MODEL": str(tmp_path / "gpt"), "ROOT": str(tmp_path), "FOLDER": str(tmp_path / "model")}
    with pytest.warns(FutureWarning, match="train_dataloader는 옛 이름"):
        exec(GENERATION, space)  # noqa: S102 - 책의 셀을 그대로 실행해 보는 시험입니다.
    greedy = space["inference_fn"]("긍정 아 정말", min_length=1, max_length=16, top_k=1)["result"]
    ids = space["tokenizer"].encode("긍정 아 정말")
    ours = load_generator(space["args"])("긍정 아 정말", do_sample=False, max_length=16 - len(ids))["result"]
    assert greedy.removeprefix("<s>").removesuffix("</s>").strip() == ours.strip()
