"""모델의 식구들: 어느 구조이든 학습하고 저장하면 이 패키지와 transformers에서 같은 답을 냅니다."""

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    pipeline,
)

import nlpbook_nbs as nlpbook
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.exports import matched_tokenizer
from nlpbook_nbs.core.folders import read_model_config, usable_positions
from nlpbook_nbs.core.models import load_model, model_inputs, takes_types
from nlpbook_nbs.core.probe import load_probe
from nlpbook_nbs.core.recipes import load_recipe
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.qa import KorQuADV1Corpus

LONGEST = 64  # 아래의 모델들이 읽을 수 있는 토큰 수
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SPECIALS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"} | {
    "mask_token": "<mask>",
    "cls_token": "<s>",
    "sep_token": "</s>",
}
ROWS = [
    line.split("\t")[1:]
    for line in Path(sample_root(), "nsmc", "ratings_train.txt")
    .read_text(encoding="utf-8")
    .splitlines()[1:793]
]


@contextmanager
def refused(*words):
    """이 안에서 `words`가 모두 든 한 문장짜리 `NlpbookError`가 나야 합니다."""
    with pytest.raises(NlpbookError) as found:
        yield
    message = str(found.value)
    assert "\n" not in message and [word for word in words if word not in message] == [], message


def wrapped(tokenizer):
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIALS)


def unigram():
    """XLM-R과 DeBERTa-v2가 쓰는 것과 같은 종류의 작은 토크나이저."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=2000, special_tokens=names, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([text for text, _ in ROWS[:400]], trainer)
    return wrapped(tokenizer)


def bytes_bpe():
    """RoBERTa와 ModernBERT가 쓰는 것과 같은 종류의 작은 토크나이저."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for text, _ in ROWS[:400]], trainer)
    return wrapped(tokenizer)


RELATIVE = {  # 자리마다의 임베딩이 없는 DeBERTa
    "position_biased_input": False,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 16,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "type_vocab_size": 0,
    "pooler_hidden_size": 32,
}
FAMILIES = {  # 이름 → (설정 클래스, 토크나이저, 더 적을 것)
    "bert": ("BertConfig", "wordpiece", {}),
    "electra": ("ElectraConfig", "wordpiece", {"embedding_size": 32}),
    "klue-roberta": ("RobertaConfig", "wordpiece", {"type_vocab_size": 1}),
    "roberta": ("RobertaConfig", "bytes", {"type_vocab_size": 1}),
    "xlm-roberta": ("XLMRobertaConfig", "unigram", {"type_vocab_size": 1}),
    "deberta-v2": ("DebertaV2Config", "unigram", RELATIVE),
    "modernbert": ("ModernBertConfig", "bytes", {"local_attention": 16}),
    "distilbert": (
        "DistilBertConfig",
        "wordpiece",
        {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    ),
}
COUNTS_FROM_PADDING = ("klue-roberta", "roberta", "xlm-roberta")


@pytest.fixture(scope="module")
def tokenizers(mini_tokenizer):
    return {"wordpiece": mini_tokenizer, "unigram": unigram(), "bytes": bytes_bpe()}


@pytest.fixture(scope="module")
def base(tokenizers, tmp_path_factory):
    """무작위 가중치의 작은 모델 폴더를 만드는 함수. 토크나이저에는 읽을 수 있는 길이가 적혀 있지 않습니다."""
    made = {}

    def make(name):
        if name not in made:
            kind, words, changes = FAMILIES[name]
            tokenizer = tokenizers[words]
            pad = tokenizer.pad_token_id
            longest = LONGEST + (pad + 1 if name in COUNTS_FROM_PADDING else 0)
            sizes = {} if name == "distilbert" else SIZES
            config = getattr(transformers, kind)(
                vocab_size=len(tokenizer),
                max_position_embeddings=longest,
                pad_token_id=pad,
                **sizes,
                **changes,
            )
            torch.manual_seed(0)
            made[name] = folder = tmp_path_factory.mktemp(name)
            AutoModel.from_config(config).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            noted = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            noted["model_max_length"] = int(1e30)
            (folder / "tokenizer_config.json").write_text(json.dumps(noted), encoding="utf-8")
        return made[name]

    return make


@pytest.fixture
def own_data(tmp_path):
    """글 하나짜리(`one`)와 쌍(`two`) 말뭉치의 폴더."""
    for name, header in (("one", "document\tlabel\n"), ("two", "sentence1\tsentence2\tlabel\n")):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        lines = [
            f"{text}\t{text[::-1] + chr(9) if name == 'two' else ''}{label}\n" for text, label in ROWS[:12]
        ]
        for mode in ("train", "val", "test"):
            (folder / f"{mode}.tsv").write_text(header + "".join(lines), encoding="utf-8")
    return tmp_path / "data"


@pytest.fixture
def trained(base, own_data, tmp_path):
    """한 스텝 학습한 모델의 폴더를 만드는 함수."""

    def make(task, folder, corpus=None, **changes):
        recipe, target = load_recipe(task), tmp_path / f"trained-{task}"
        name = {"doc-cls": "one", "pair-cls": "two", "qa": "korquad-v1"}[task]
        args = recipe.train_arguments(
            **{
                "pretrained_model_name": str(folder),
                "downstream_corpus_name": name,
                "downstream_corpus_root_dir": sample_root() if task == "qa" else str(own_data),
                "downstream_model_dir": str(target),
                "max_seq_length": 48,
                "batch_size": 16,
                "epochs": 1,
                "seed": 7,
                "accelerator": "cpu",
                "precision": "fp32",
            }
            | changes
        )
        recipe.train(args, corpus=corpus)
        return target

    return make


def checked_tokenizer(folder, name):
    """저장된 토크나이저. 적힌 길이와 열이 모델의 것과 같은지 봅니다."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    types = ["token_type_ids"] if name in {"bert", "electra"} else []
    assert tokenizer.model_max_length == LONGEST
    assert tokenizer.model_input_names == ["input_ids", *types, "attention_mask"]
    return tokenizer


@pytest.mark.parametrize("task", ["doc-cls", "pair-cls"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_answers_the_same_in_a_plain_pipeline(name, task, base, trained):
    folder = trained(task, base(name))
    checked_tokenizer(folder, name)
    plain, ours = (
        pipeline("text-classification", model=str(folder)),
        nlpbook.load(folder, max_seq_length=LONGEST),
    )
    for text in ("연기가 정말 좋았어요", "지루하고 긴 영화 " * 100):
        row, given = (
            (text, text) if task == "doc-cls" else ((text, "좋았다"), {"text": text, "text_pair": "좋았다"})
        )
        there = plain(given, truncation=True)
        there = there[0] if isinstance(there, list) else there
        here = ours(row)
        assert here["label"] == there["label"] and here["score"] == pytest.approx(there["score"], abs=1e-5)


@pytest.mark.parametrize("problem_type", ["multi_label_classification", "regression"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_learns_several_labels_and_scores(name, problem_type, base, trained, own_data):
    labels = ["가,나", "", "나"] if problem_type.startswith("multi") else ["5", "1.5", "3"]
    rows = "document\tlabel\n" + "".join(f"{text}\t{label}\n" for (text, _), label in zip(ROWS, labels))
    for mode in ("train", "val", "test"):
        (own_data / "one" / f"{mode}.tsv").write_text(rows, encoding="utf-8")
    folder = trained("doc-cls", base(name), problem_type=problem_type, batch_size=2)
    assert read_model_config(folder)["problem_type"] == problem_type
    plain = pipeline("text-classification", model=str(folder))("연기가 정말 좋았어요", top_k=None)
    ours = nlpbook.load(folder)("연기가 정말 좋았어요")
    assert ours["scores"] == pytest.approx({row["label"]: row["score"] for row in plain}, abs=1e-5)


class FewQuestions(KorQuADV1Corpus):
    def get_examples(self, data_root_path, mode):
        return super().get_examples(data_root_path, mode)[:8]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_reads_questions_and_its_folder_takes_long_passages(name, base, trained):
    windows = {"max_query_length": 20, "doc_stride": 16}
    folder = trained("qa", base(name), FewQuestions(), **windows)
    tokenizer = checked_tokenizer(folder, name)
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    question, passage = "천문대를 지은 해는?", "솔내군은 2011년에 천문대를 지었다."
    with torch.inference_mode():
        model(**tokenizer(question, passage * 60, truncation="only_second", return_tensors="pt"))
        encoded = tokenizer(question, passage, return_tensors="pt", return_offsets_mapping=True)
        spans = encoded.pop("offset_mapping")[0].tolist()
        found = model(**encoded)
    inside = [place for place, side in enumerate(encoded.sequence_ids(0)) if side == 1]
    scores = [
        (found.start_logits[0, i] + found.end_logits[0, j], spans[i][0], spans[j][1])
        for i in inside
        for j in inside
        if i <= j < i + 30
    ]
    _, start, end = max(scores, key=lambda row: row[0])
    answer = nlpbook.load(folder, max_seq_length=LONGEST, **windows)((question, passage))
    assert answer["answer"].strip() == passage[start:end].strip()


@pytest.mark.parametrize("name", FAMILIES)
def test_only_the_columns_a_family_knows_reach_the_model(name, base):
    model = AutoModel.from_pretrained(base(name)).eval()
    batch = {
        "input_ids": torch.tensor([[2, 5, 3, 5, 3]]),
        "attention_mask": torch.ones(1, 5, dtype=torch.long),
        "token_type_ids": torch.tensor([[0, 0, 0, 1, 1]]),
    }
    assert takes_types(model) == (name in {"bert", "electra"})
    model(**model_inputs(model, batch))


def test_a_stray_type_vocab_size_does_not_send_types_to_a_model_without_them(base):
    model = AutoModel.from_pretrained(base("distilbert"))
    model.config.type_vocab_size = 2
    assert not takes_types(model)


def test_saved_tokenizer_is_a_copy_that_leaves_the_given_one_alone(base, mini_tokenizer):
    model = AutoModel.from_pretrained(base("klue-roberta"))
    before = mini_tokenizer.model_max_length, list(mini_tokenizer.model_input_names)
    matched = matched_tokenizer(mini_tokenizer, model)
    assert matched.model_max_length == LONGEST and "token_type_ids" not in matched("말", "말")
    assert (mini_tokenizer.model_max_length, list(mini_tokenizer.model_input_names)) == before


# 토크나이저와 모델이 어긋날 때


@pytest.fixture
def talkative(base, tmp_path, mini_tokenizer):
    """모델의 임베딩보다 토큰이 많은 토크나이저를 함께 둔 폴더를 만드는 함수."""

    def make(auto_class):
        folder = tmp_path / "talkative"
        auto_class.from_pretrained(base("bert")).save_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(base("bert"))
        tokenizer.add_tokens(["없던말하나"])
        tokenizer.save_pretrained(folder)
        return folder

    return make


def test_more_tokens_than_embeddings_are_refused_before_the_first_step(talkative, trained):
    with refused("토큰 번호는 8000까지", "임베딩은 8000개", "resize_token_embeddings"):
        trained("doc-cls", talkative(AutoModel))


def test_more_tokens_than_embeddings_are_refused_when_a_model_is_opened(talkative):
    with refused("토큰 번호는 8000까지", "임베딩은 8000개"):
        nlpbook.load(talkative(AutoModelForSequenceClassification))


def test_more_tokens_than_embeddings_are_refused_when_a_probe_is_opened(talkative):
    with refused("토큰 번호는 8000까지", "임베딩은 8000개"):
        load_probe(talkative(AutoModelForMaskedLM))


def test_grown_embeddings_go_with_the_grown_tokenizer(talkative, trained):
    folder = talkative(AutoModel)
    model = AutoModel.from_pretrained(folder)
    model.resize_token_embeddings(8001)
    model.save_pretrained(folder)
    assert nlpbook.load(trained("doc-cls", folder), max_seq_length=32)("없던말하나 좋아요")["score"] > 0


def test_fewer_outputs_than_labels_are_refused_before_the_first_step(base, own_data, tmp_path, train_args):
    from torch.utils.data import DataLoader

    from nlpbook_nbs.classification import ClassificationDataset, ClassificationTask, TsvCorpus

    rows = "document\tlabel\n" + "".join(f"{text}\t{number}\n" for number, (text, _) in enumerate(ROWS[:3]))
    (tmp_path / "train.tsv").write_text(rows, encoding="utf-8")
    args = train_args(pretrained_model_name=str(base("bert")), from_scratch=False)
    tokenizer = AutoTokenizer.from_pretrained(base("bert"))
    dataset = ClassificationDataset(args, tokenizer, TsvCorpus(tmp_path), "train")
    loader = DataLoader(dataset, batch_size=3, collate_fn=nlpbook.data_collator)
    model = AutoModelForSequenceClassification.from_pretrained(base("bert"), num_labels=2)
    with refused("레이블은 3개", "출력은 2개", "num_labels=3"):
        nlpbook.get_trainer(args).fit(ClassificationTask(model, args), loader, loader)


def test_a_decoder_without_a_padding_number_trains_with_the_tokenizers(tmp_path, mini_tokenizer, trained):
    from transformers import GPT2Config

    config = GPT2Config(vocab_size=len(mini_tokenizer), n_positions=64, n_embd=32, n_layer=1, n_head=2)
    AutoModel.from_config(config).save_pretrained(tmp_path / "gpt")
    mini_tokenizer.save_pretrained(tmp_path / "gpt")
    folder = trained("doc-cls", tmp_path / "gpt")
    assert read_model_config(folder)["pad_token_id"] == mini_tokenizer.pad_token_id
    assert len(nlpbook.load(folder, max_seq_length=32)(["좋아요", "정말 별로였어요"])) == 2


def test_a_decoder_reads_the_last_token_that_is_not_the_tokenizers_padding(tmp_path, mini_tokenizer):
    from transformers import GPT2Config, GPT2ForSequenceClassification

    config = GPT2Config(vocab_size=8000, n_positions=64, n_embd=32, n_layer=1, n_head=2, pad_token_id=7)
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    mini_tokenizer.save_pretrained(tmp_path)
    predict = nlpbook.load(tmp_path)
    alone, beside = predict("좋아요"), predict(["좋아요", "길고 길어서 앞의 글을 채우게 하는 글"])[0]
    assert alone["score"] == pytest.approx(beside["score"], abs=1e-5)


def test_pretraining_does_not_go_on_from_a_model_with_one_kind_of_sentence(tmp_path, mini_tokenizer):
    from transformers import BertConfig, BertForPreTraining

    from nlpbook_nbs.core.pretraining import PretrainArguments, load_pretraining_model

    config = BertConfig(vocab_size=8000, type_vocab_size=1, max_position_embeddings=LONGEST, **SIZES)
    BertForPreTraining(config).save_pretrained(tmp_path / "one-kind")
    mini_tokenizer.save_pretrained(tmp_path / "one-kind")
    (tmp_path / "text.txt").write_text("글 하나\n글 둘\n", encoding="utf-8")
    args = PretrainArguments(
        pretrained_model_name=str(tmp_path / "one-kind"),
        train_file=str(tmp_path / "text.txt"),
        max_seq_length=32,
    )
    with refused("token_type_ids", "1가지"):
        load_pretraining_model(args, mini_tokenizer)


@pytest.mark.parametrize("wrong", [None, "길게"])
def test_a_position_limit_that_is_not_a_number_is_one_sentence(wrong, base, tmp_path):
    folder = tmp_path / "null"
    AutoModelForSequenceClassification.from_pretrained(base("bert")).save_pretrained(folder)
    config = read_model_config(folder) | {"max_position_embeddings": wrong}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with refused("config.json", "max_position_embeddings"):
        nlpbook.load(folder)


def test_a_missing_position_limit_that_does_not_fit_the_weights_is_one_sentence(base, tmp_path):
    folder = tmp_path / "missing"
    AutoModelForSequenceClassification.from_pretrained(base("bert")).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base("bert")).save_pretrained(folder)
    config = read_model_config(folder)
    del config["max_position_embeddings"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with refused("position_embeddings", "config.json"):
        nlpbook.load(folder)


def test_weights_without_the_head_are_refused_instead_of_answering_by_chance(base, tmp_path):
    folder = tmp_path / "headless"
    AutoModel.from_pretrained(base("bert")).save_pretrained(folder)
    AutoTokenizer.from_pretrained(base("bert")).save_pretrained(folder)
    config = read_model_config(folder) | {"architectures": ["BertForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with refused("classifier", "무작위"):
        nlpbook.load(folder)


def test_a_short_model_without_a_record_is_opened_at_its_own_length(base, tmp_path):
    AutoModelForSequenceClassification.from_pretrained(base("klue-roberta")).save_pretrained(
        tmp_path / "short"
    )
    AutoTokenizer.from_pretrained(base("bert")).save_pretrained(tmp_path / "short")
    found = nlpbook.load(tmp_path / "short")
    assert found.args.max_seq_length == usable_positions(read_model_config(tmp_path / "short")) == LONGEST
    assert found("길고 긴 글 " * 100)["score"] > 0


# 저장된 형


@pytest.fixture
def half(base, tmp_path):
    """16비트로 저장된 모델 폴더를 만드는 함수."""

    def make(dtype, auto_class=AutoModel):
        folder = tmp_path / "half"
        auto_class.from_pretrained(base("bert")).to(dtype).save_pretrained(folder)
        AutoTokenizer.from_pretrained(base("bert")).save_pretrained(folder)
        assert read_model_config(folder)["dtype"] == str(dtype).removeprefix("torch.")
        return folder

    return make


HALVES = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("from_scratch", [False, True])
def test_training_starts_from_float32_whatever_the_folder_says(half, dtype, from_scratch):
    from types import SimpleNamespace

    args = SimpleNamespace(pretrained_model_name=str(half(dtype)), from_scratch=from_scratch)
    model = load_model(AutoModelForSequenceClassification, args, num_labels=2)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dtype", HALVES)
def test_layer_norms_of_a_half_precision_base_move(half, trained, dtype, precision):
    folder = trained("doc-cls", half(dtype), learning_rate=1e-3, precision=precision)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype="auto")
    assert model.dtype == torch.float32 and read_model_config(folder)["dtype"] == "float32"
    weight = model.bert.encoder.layer[0].output.LayerNorm.weight
    assert (weight != 1).float().mean() > 0.9 and (weight - 1).abs().max() < 0.01


@pytest.mark.parametrize("dtype", HALVES)
def test_a_model_read_by_hand_in_half_precision_is_trained_in_float32(half, train_args, messages, dtype):
    from nlpbook_nbs.classification import ClassificationTask

    folder = half(dtype)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype="auto")
    assert model.dtype == dtype
    task = ClassificationTask(model, train_args(pretrained_model_name=str(folder), from_scratch=False))
    assert {weight.dtype for weight in task.parameters()} == {torch.float32}
    assert any(str(dtype).removeprefix("torch.") in message for message in messages())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_saved_type_is_the_one_named_in_weights_and_config(base, trained, dtype):
    from safetensors.torch import load_file

    folder = trained("doc-cls", base("bert"), save_dtype=dtype)
    weights = load_file(folder / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {getattr(torch, dtype)}
    assert read_model_config(folder)["dtype"] == dtype
    ours = nlpbook.load(folder)
    assert ours.predict.model.dtype == torch.float32  # CPU에서는 32비트로 계산합니다.
    plain = pipeline("text-classification", model=str(folder), dtype=torch.float32)
    text = "연기가 정말 좋았어요"
    assert ours(text)["score"] == pytest.approx(plain(text)[0]["score"], abs=1e-5)


def test_weights_too_large_for_float16_are_refused_not_saved_as_infinity(tmp_path, base):
    from nlpbook_nbs.core.exports import save_weights

    model = AutoModel.from_pretrained(base("bert"))
    state = model.state_dict()
    state["embeddings.LayerNorm.weight"][0] = 1e6
    with refused("float16", "bfloat16"):
        save_weights(model, tmp_path, state, "float16")
    save_weights(model, tmp_path, state, "bfloat16")


def test_weights_used_twice_are_saved_once(tmp_path, base):
    from safetensors.torch import load_file

    from nlpbook_nbs.core.exports import save_weights

    model = AutoModelForMaskedLM.from_pretrained(base("bert"))
    save_weights(model, tmp_path, model.state_dict(), "bfloat16")
    tall = [
        name
        for name, value in load_file(tmp_path / "model.safetensors").items()
        if len(value) == 8000 and value.dim() == 2
    ]
    assert len(tall) == 1
    again = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert again.get_input_embeddings().weight.data_ptr() == again.get_output_embeddings().weight.data_ptr()


@pytest.mark.parametrize("dtype", HALVES)
def test_probe_of_a_half_precision_model_computes_in_float32(half, dtype):
    probe = load_probe(half(dtype, AutoModelForMaskedLM))
    assert probe.model.dtype == torch.float32
    chances = [chance for _, chance in probe.candidates("정말 [MASK] 영화", top_k=8000)[0]]
    assert np.isclose(sum(chances), 1, atol=1e-4)


def test_pretraining_goes_on_from_a_half_precision_model_in_float32(half, tmp_path):
    from transformers import BertForPreTraining

    from nlpbook_nbs.core.models import load_tokenizer
    from nlpbook_nbs.core.pretraining import PretrainArguments, load_pretraining_model

    (tmp_path / "text.txt").write_text("글 하나\n글 둘\n", encoding="utf-8")
    args = PretrainArguments(
        pretrained_model_name=str(half(torch.bfloat16, BertForPreTraining)),
        train_file=str(tmp_path / "text.txt"),
        max_seq_length=32,
    )
    assert load_pretraining_model(args, load_tokenizer(args)).dtype == torch.float32


# 앞을 채우는 토크나이저


@pytest.mark.parametrize(
    "name", ["BertConfig", "RobertaConfig", "DistilBertConfig", "GPT2Config", "LlamaConfig"]
)
def test_an_answer_does_not_depend_on_its_neighbours_when_the_tokenizer_pads_on_the_left(name, tmp_path):
    tokenizer = bytes_bpe()
    sizes = {} if name == "DistilBertConfig" else SIZES | {"num_key_value_heads": 2}
    if name == "DistilBertConfig":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    config = getattr(transformers, name)(
        vocab_size=len(tokenizer),
        max_position_embeddings=LONGEST + 2,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.5,
        id2label={0: "부정", 1: "긍정"},
        label2id={"부정": 0, "긍정": 1},
        **sizes,
    )
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = "left"
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).padding_side == "left"
    ours = nlpbook.load(tmp_path, max_seq_length=LONGEST)
    texts = ["좋다", "지루하고 긴 영화였지만 끝은 좋았다"]
    alone, together = [ours(text) for text in texts], ours(texts)
    for one, other in zip(alone, together):
        assert one["label"] == other["label"] and one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_a_left_padding_tokenizer_is_saved_padding_on_the_right_after_training(base, trained, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(base("bert"), padding_side="left")
    folder = tmp_path / "left"
    AutoModel.from_pretrained(base("bert")).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    saved = trained("doc-cls", folder)
    assert AutoTokenizer.from_pretrained(saved).padding_side == "right"


def test_a_model_that_reads_the_last_place_keeps_padding_on_the_left():
    from types import SimpleNamespace

    from nlpbook_nbs.core.models import choose_padding_side

    tokenizer = SimpleNamespace(padding_side="left", init_kwargs={})
    choose_padding_side(SimpleNamespace(config=SimpleNamespace(model_type="xlnet")), tokenizer)
    assert tokenizer.padding_side == "left"


# 온전하지 않은 폴더, 만들 수 없는 폴더


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin", "vocab.txt"])
def test_a_git_lfs_pointer_in_a_model_folder_is_one_sentence(base, train_args, tmp_path, weights):
    import shutil

    folder = Path(shutil.copytree(base("bert"), tmp_path / "cloned"))
    if weights == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 442000000\n"
    (folder / weights).write_text(pointer, encoding="utf-8")
    args = train_args(pretrained_model_name=str(folder), from_scratch=False)
    with refused(weights, "git lfs pull"):
        load_model(AutoModelForSequenceClassification, args)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc이 있는 곳에서만")
def test_a_model_folder_that_cannot_be_made_is_one_sentence(trained, base):
    with refused("/proc/x", "다른 폴더"):
        trained("doc-cls", base("bert"), downstream_model_dir="/proc/x/model")
