"""4장: 개체명 인식."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write
from pytorch_lightning.callbacks import Callback

import nlpbook_nbs as nlpbook
from nlpbook_nbs.cli import main
from nlpbook_nbs.core.entities import read_tagged
from nlpbook_nbs.core.entity_answers import EntityBook, ner_html
from nlpbook_nbs.core.entity_scores import score_entities
from nlpbook_nbs.core.entity_windows import EntityWindows, SentenceEncoder
from nlpbook_nbs.core.iob import Entity
from nlpbook_nbs.core.letters import LETTERS_FILE, LetterHead
from nlpbook_nbs.core.resume import load_checkpoint
from nlpbook_nbs.core.settings import NlpbookError, set_seed
from nlpbook_nbs.core.tags import tag_names
from nlpbook_nbs.core.training import get_trainer, make_loader
from nlpbook_nbs.ner import (
    RECIPE,
    NERCorpus,
    NERDataset,
    NERDeployArguments,
    NERExample,
    NERTask,
    NERTrainArguments,
    load_finder,
)

GOLDEN = "―효진 역의 김환희(14)가 특히 인상적이었다."
MARKED = "―<효진:PER> 역의 <김환희:PER>(<14:NOH>)가 특히 인상적이었다."
ROWS = [
    ("경찰은 김환희 씨를 만났다", "<경찰:OG>은 <김환희:PS> 씨를 만났다"),
    ("3일 서울에서 정부는 밝혔다", "<3일:DT> <서울:LC>에서 <정부:OG>는 밝혔다"),
    ("배우 세 명이 부산에 왔다", "배우 <세 명:QT>이 <부산:LC>에 왔다"),
    ("이 영화는 정말 재미있다", "이 영화는 정말 재미있다"),
]


class Fixed:
    """손으로 적은 문장들의 말뭉치."""

    def __init__(self, *rows, labels=None):
        self.rows = [row if isinstance(row, NERExample) else NERExample(*row) for row in rows]
        kinds = {entity.label for row in self.rows for entity in row.entities}
        self.labels = tag_names(kinds) if labels is None else labels

    def get_labels(self):
        return self.labels

    @property
    def num_labels(self):
        return len(self.labels)

    def get_examples(self, data_root_path, mode):
        return self.rows


@pytest.fixture
def own_corpus(tmp_path):
    """책의 꼴로 적은 작은 말뭉치의 폴더들이 모인 곳."""
    folder = tmp_path / "corpora" / "mine"
    folder.mkdir(parents=True)
    for mode in ("train", "val"):
        write(folder / f"{mode}.txt", "".join(f"{text}␞{marked}\n" for text, marked in ROWS * 8))
    return folder.parent


@pytest.fixture
def ner_args(small_training, own_corpus):
    values = {"downstream_corpus_name": "mine", "downstream_corpus_root_dir": str(own_corpus)}

    def make(**changes):
        return NERTrainArguments(
            **(small_training | values | {"batch_size": 8, "precision": "fp32"} | changes)
        )

    return make


@pytest.fixture
def trained(ner_args):
    """작은 모델을 학습해 `(결과, 모델 폴더)`를 돌려주는 함수."""

    def run(**changes):
        args = ner_args(**changes)
        return RECIPE.train(args), args.downstream_model_dir

    return run


def oracle(data, entities, names, by_token=False):
    """정답을 모두 아는 점수로 고른 개체명: 문장마다의 목록."""
    book = EntityBook(names, by_token)
    for window in range(len(data)):
        labels = data.columns["letter_label"][slice(*data.columns["letter_offsets"][window : window + 2])]
        scores = torch.full((len(labels), len(names)), -9.0)
        scores[np.arange(len(labels)), torch.from_numpy(labels.astype(np.int64))] = 9.0
        book.read(data, np.array([window]), scores)
    return [[entity for entity, _ in row] for _, row in sorted(book.entities(data).items())]


def encoded(tokenizer, rows, max_seq_length=128, stride=None):
    """`(데이터셋, 정답, 태그의 목록)`"""
    texts, entities = [row.text for row in rows], [row.entities for row in rows]
    names = tag_names(entity.label for row in entities for entity in row)
    columns = SentenceEncoder(tokenizer, max_seq_length, stride)(texts, entities, names)
    return EntityWindows(columns, tokenizer, max_seq_length), [list(row) for row in entities], names


# 책과 같은 것


def test_golden_example_of_the_book_has_its_ids_and_offsets_instead_of_lost_spaces(
    kcbert, ner_args, tiny_model
):
    args = ner_args(max_seq_length=64)
    data = NERDataset(args, kcbert, Fixed((GOLDEN, MARKED)), "train")
    row, names = data[0], data.get_labels()
    wanted = "2 1 3476 4153 2270 4042 420 4185 4346 11 11524 12 197 9250 11662 8805 8217 17 3"
    assert row.input_ids == [*map(int, wanted.split()), *[0] * 45]
    assert row.attention_mask == [1] * 19 + [0] * 45 and row.token_type_ids == [0] * 64
    tags = ["-" if number < 0 else names[number] for number in row.label_ids[:19]]
    # `―효진`이 [UNK]와 효진으로 나뉘지 않고 한 [UNK]이든 아니든, 글자의 자리로 정합니다.
    assert tags == "- O B-PER I-PER O O B-PER I-PER I-PER O B-NOH O O O O O O O -".split()
    assert row.label_ids[19:] == [-100] * 45


def test_entities_that_touch_across_a_space_keep_their_first_tokens(mini_tokenizer, ner_args):
    """책의 결함 1: 빈칸을 지우고 세면 앞 이름에 맞붙은 뒤 이름의 첫 토큰을 잃습니다."""
    data = NERDataset(
        ner_args(), mini_tokenizer, Fixed(("서울 부산 삼성", "<서울:LC> <부산:LC> <삼성:OG>")), "train"
    )
    tags = [data.get_labels()[number] for number in data[0].label_ids if number >= 0]
    assert [tag for tag in tags if tag[0] == "B"] == ["B-LC", "B-LC", "B-OG"]


BOOK = """
import torch
import nlpbook_nbs as nlpbook
from nlpbook_nbs.ner import NERTrainArguments, NERDeployArguments, NERCorpus, NERDataset, NERTask
args = NERTrainArguments(
    pretrained_model_name=MODEL, downstream_corpus_name="mine", downstream_corpus_root_dir=ROOT,
    downstream_model_dir=FOLDER, batch_size=32 if torch.cuda.is_available() else 4, learning_rate=5e-5,
    max_seq_length=64, epochs=1, tpu_cores=0 if torch.cuda.is_available() else 8, seed=7,
)
nlpbook.set_seed(args)
nlpbook.set_logger(args)
nlpbook.download_downstream_dataset(args)
from transformers import BertTokenizer
tokenizer = BertTokenizer.from_pretrained(args.pretrained_model_name, do_lower_case=False)
corpus = NERCorpus(args)
train_dataset = NERDataset(args=args, corpus=corpus, tokenizer=tokenizer, mode="train")
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler
train_dataloader = DataLoader(
    train_dataset, batch_size=args.batch_size, sampler=RandomSampler(train_dataset, replacement=False),
    collate_fn=nlpbook.data_collator, drop_last=False, num_workers=args.cpu_workers,
)
val_dataset = NERDataset(args=args, corpus=corpus, tokenizer=tokenizer, mode="val")
val_dataloader = DataLoader(
    val_dataset, batch_size=args.batch_size, sampler=SequentialSampler(val_dataset),
    collate_fn=nlpbook.data_collator, drop_last=False, num_workers=args.cpu_workers,
)
from transformers import BertConfig, BertForTokenClassification
pretrained_model_config = BertConfig.from_pretrained(args.pretrained_model_name, num_labels=corpus.num_labels)
model = BertForTokenClassification.from_pretrained(args.pretrained_model_name, config=pretrained_model_config)
task = NERTask(model, args)
trainer = nlpbook.get_trainer(args)
trainer.fit(task, train_dataloaders=train_dataloader, val_dataloaders=val_dataloader)

args = NERDeployArguments(pretrained_model_name=MODEL, downstream_model_dir=FOLDER, max_seq_length=64)
fine_tuned_model_ckpt = torch.load(args.downstream_model_checkpoint_fpath, map_location=torch.device("cpu"))
pretrained_model_config = BertConfig.from_pretrained(
    args.pretrained_model_name, num_labels=fine_tuned_model_ckpt["state_dict"]["model.classifier.bias"].shape.numel(),
)
model = BertForTokenClassification(pretrained_model_config)
model.load_state_dict({k.replace("model.", ""): v for k, v in fine_tuned_model_ckpt["state_dict"].items()})
model.eval()
labels = [label.strip() for label in open(args.downstream_model_labelmap_fpath, "r").readlines()]
id_to_label = {idx: label for idx, label in enumerate(labels)}
"""


def test_cells_of_the_book_run_with_only_the_import_root_renamed(tmp_path, tiny_model, own_corpus):
    from transformers import AutoConfig, AutoModel

    AutoModel.from_config(AutoConfig.from_pretrained(tiny_model)).save_pretrained(tiny_model)
    space = {"MODEL": str(tiny_model), "ROOT": str(own_corpus), "FOLDER": str(tmp_path / "model")}
    exec(BOOK, space)  # noqa: S102 - 책의 셀을 그대로 실행해 보는 시험입니다.
    assert list(space["id_to_label"].values()) == space["corpus"].get_labels()
    opened = load_finder(space["args"]).model.state_dict()
    assert all(torch.equal(opened[name], weight) for name, weight in space["model"].state_dict().items())


# 글자와 토큰


@pytest.mark.parametrize("vocabulary", ["kcbert", "mini_tokenizer"])
def test_every_entity_of_real_sentences_survives_the_round_trip(request, real_data, vocabulary):
    """책의 방법은 개발 데이터의 개체명 14,257개 가운데 1,300개의 첫 토큰을 잃습니다."""
    rows = read_tagged(real_data / "klue-ner" / "klue-ner-v1.1_dev.tsv")
    data, golds, names = encoded(request.getfixturevalue(vocabulary), rows)
    assert oracle(data, golds, names) == golds


def test_tokens_alone_cannot_pass_the_ceiling(real_data, kcbert):
    rows = read_tagged(real_data / "klue-ner" / "klue-ner-v1.1_dev.tsv")
    data, golds, names = encoded(kcbert, rows)
    score = score_entities(golds, oracle(data, golds, names, by_token=True), [row.text for row in rows])
    assert 0.75 < score["entity_macro_f1"] < 0.87


TEXTS = {
    "길고 창의 경계에 걸린 이름": (
        "가나다라 " * 9 + "아주길고긴이름의 사람",
        "가나다라 " * 9 + "<아주길고긴이름의 사람:PS>",
    ),
    "이모지 사이": ("🎉김🎉환희🎉가", "🎉<김🎉환희:PS>🎉가"),
    "모르는 글자": ("뷁쀍 뷁쀍은", "<뷁쀍 뷁쀍:PS>은"),
    "이름만": ("김환희", "<김환희:PS>"),
    "맞붙은 이름": ("김환희부산", "<김환희:PS><부산:LC>"),
    "폭 없는 빈칸": ("김\u200b환희는", "<김\u200b환희:PS>는"),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_places_are_those_of_the_given_text(mini_tokenizer, name, form):
    text, marked = (unicodedata.normalize(form, each) for each in TEXTS[name])
    rows = [NERExample(text, marked), NERExample("", ())]
    data, golds, names = encoded(mini_tokenizer, rows, max_seq_length=12)
    assert oracle(data, golds, names) == golds


def test_every_token_and_letter_belongs_to_exactly_one_window(mini_tokenizer):
    text = "경찰은 서울에서 김환희 씨를 만났다 " * 9
    whole, *_ = encoded(mini_tokenizer, [NERExample(text, (Entity(0, 2, "OG"),))])
    parts, *_ = encoded(
        mini_tokenizer, [NERExample(text, (Entity(0, 2, "OG"),))], max_seq_length=16, stride=5
    )
    assert len(whole) == 1 < len(parts) and parts.lengths.max() == 16
    for name in ("letter_start", "letter_near", "letter_place", "letter_label"):
        assert np.array_equal(parts.columns[name], whole.columns[name])
    labels = [data.columns["label_ids"] for data in (whole, parts)]
    assert [(each != -100).sum() for each in labels] == [whole.lengths.sum() - 2] * 2
    for row in range(len(parts)):  # 글자가 가리키는 토큰은 창 안에 있고 특수 토큰이 아닙니다.
        tokens = parts.columns["letter_token"][slice(*parts.columns["letter_offsets"][row : row + 2])]
        assert ((tokens >= 1) & (tokens < parts.lengths[row] - 1)).all()


def test_batches_point_each_letter_at_its_own_token(mini_tokenizer):
    data, *_ = encoded(mini_tokenizer, [NERExample(*row) for row in ROWS])
    batch = data.batch(np.array([2, 0]))
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "labels", "letters", "index"}
    tokens = mini_tokenizer.convert_ids_to_tokens(
        batch["input_ids"].flatten()[batch["letters"][:, 0]].tolist()
    )
    letters = "".join(ROWS[row][0].replace(" ", "") for row in (2, 0))
    assert len(tokens) == len(letters)
    assert all(letter in token for letter, token in zip(letters, tokens) if token != "[UNK]")


def test_untrained_letter_head_answers_as_the_tokens_do(mini_tokenizer):
    data, _, names = encoded(mini_tokenizer, [NERExample(*row) for row in ROWS])
    letters = data.batch(np.arange(len(data)))["letters"]
    head = LetterHead(8, len(names)).eval()
    head.know_tags(names)
    width = int(letters[:, 0].max()) + 1
    logits = torch.randn(1, width, len(names))
    found = head(torch.randn(1, width, 8), logits, letters).argmax(-1)
    first = letters[:, 1] == 0
    assert torch.equal(found[first], logits[0].argmax(-1)[letters[first, 0]])
    assert not {names[tag] for tag in found[~first].tolist()} & {f"B-{name[2:]}" for name in names}


# 학습과 저장


def test_trained_folder_opens_in_the_pipeline_and_answers_to_the_letter(trained, ner_args):
    from transformers import pipeline

    result, folder = trained(epochs=12, learning_rate=5e-3)
    assert {"val_f1", "val_micro_f1", "val_char_f1", "val_acc", "val_loss"} <= set(result)
    predict = nlpbook.load(folder, device="cpu")
    text = ROWS[0][0]
    answer = predict(text)
    assert all(text[each["start"] : each["end"]] == each["text"] for each in answer["entities"])
    assert all(0 < each["score"] <= 1 for each in answer["entities"])
    pipe = pipeline("token-classification", model=folder, aggregation_strategy="simple", device="cpu")
    assert {each["entity_group"] for each in pipe(text)} <= {"OG", "PS", "LC", "DT", "QT"}
    rows = NERCorpus(ner_args()).get_examples(Path(ner_args().downstream_corpus_root_dir, "mine"), "val")
    found = [
        [Entity(e["start"], e["end"], e["label"]) for e in row["entities"]]
        for row in predict([r.text for r in rows])
    ]
    score = score_entities([row.entities for row in rows], found, [row.text for row in rows])
    assert score["entity_macro_f1"] == pytest.approx(result["val_f1"], abs=1e-6)
    assert result["val_f1"] > 0.5  # 외울 수 있는 네 문장입니다.


@pytest.mark.parametrize("damage", ["missing", "other"])
def test_folder_without_its_letter_head_gives_token_answers_and_says_so(trained, messages, damage):
    _, folder = trained()
    path = Path(folder, LETTERS_FILE)
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes() + b" ")
    finder = load_finder(NERDeployArguments(downstream_model_dir=folder, device="cpu"))
    assert finder.letters is None and finder(ROWS[0][0])["text"] == ROWS[0][0]
    assert sum("토큰마다 정한 답" in message for message in messages()) == 1


def test_training_again_without_characters_leaves_no_old_head(trained, messages):
    _, folder = trained()
    trained(characters=False)
    finder = load_finder(NERDeployArguments(downstream_model_dir=folder, device="cpu"))
    assert finder.letters is None
    assert not any("토큰마다 정한 답" in message for message in messages())


def test_answers_do_not_depend_on_the_batch_or_the_windows_order(trained):
    _, folder = trained(epochs=6, learning_rate=5e-3)
    texts = [row[0] for row in ROWS] + ["", " ", ROWS[0][0] * 6]
    many = nlpbook.load(folder, device="cpu", batch_size=3)(texts)
    one = nlpbook.load(folder, device="cpu", batch_size=1)
    for text, answer in zip(texts, many):
        alone = one(text)
        spans = [[(e["start"], e["end"], e["label"]) for e in each["entities"]] for each in (answer, alone)]
        assert spans[0] == spans[1]
    assert many[4]["entities"] == many[5]["entities"] == []


def test_checkpoint_of_the_model_alone_keeps_the_head_beside_it(trained):
    _, folder = trained()
    checkpoint = load_checkpoint(
        NERDeployArguments(downstream_model_dir=folder).downstream_model_checkpoint_fpath
    )
    assert all(name.startswith("model.") for name in checkpoint["state_dict"])
    assert any(name.startswith("letters.") for name in checkpoint["letters"])


class Stop(Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 5:
            raise RuntimeError("멈춤")


def test_resumed_training_equals_the_uninterrupted_one(ner_args, mini_tokenizer, tmp_path):
    def run(folder, callbacks=(), **changes):
        args = ner_args(downstream_model_dir=str(tmp_path / folder), epochs=2, checkpoint_steps=2, **changes)
        set_seed(args)
        corpus = NERCorpus(args)
        data = NERDataset(args, mini_tokenizer, corpus, "train")
        from transformers import BertConfig, BertForTokenClassification

        config = BertConfig.from_pretrained(args.pretrained_model_name, num_labels=corpus.num_labels)
        task = NERTask(BertForTokenClassification(config), args)
        get_trainer(args, callbacks=callbacks).fit(
            task, make_loader(data, args, True), make_loader(data, args, False)
        )
        return task.state_dict()

    whole = run("whole")
    with pytest.raises(RuntimeError, match="멈춤"):
        run("parts", [Stop()])
    grown = run("parts", resume=True)
    assert all(torch.equal(weight, grown[name]) for name, weight in whole.items())


def test_best_model_by_entity_f1_is_kept_and_tested(trained):
    result, folder = trained(epochs=3, monitor="max val_f1", learning_rate=5e-3)
    record = json.loads(Path(folder, "nlpbook.json").read_text(encoding="utf-8"))
    assert record["metrics"]["val_f1"] == result["val_f1"] == result["test_f1"]


@pytest.mark.parametrize(
    "changes", [{"freeze_layers": 1, "epochs": 2}, {"lora_rank": 2}, {"save_dtype": "bfloat16"}]
)
def test_head_is_learnt_and_saved_with_frozen_layers_lora_and_half_precision(trained, changes):
    _, folder = trained(**changes)
    finder = load_finder(NERDeployArguments(downstream_model_dir=folder, device="cpu"))
    assert finder.letters.out.weight.abs().sum() > 0
    assert finder(ROWS[0][0])["text"] == ROWS[0][0]


# 나쁜 입력


@pytest.mark.parametrize(
    "rows, labels, words",
    [
        ([("글", ())], None, "개체명이 하나도 없어"),
        (
            [NERExample("김환희", (Entity(0, 4, "PS"),), place="내자료:3")],
            ["O", "B-PS", "I-PS"],
            "내자료:3.*벗어났습니다",
        ),
        ([NERExample("김환희", (Entity(0, 2, "PS"), Entity(1, 3, "LC")))], ["O", "B-PS", "I-PS"], "겹칩니다"),
        ([NERExample("김환희", (Entity(0, 3, "PS"),))], ["O", "B-LC", "I-LC"], r"PS\(1개\).*목록에 더하세요"),
        ([NERExample("김환희", (Entity(0, 3, "PS"),))], ["PS", "LC"], "O와 B-종류, I-종류"),
        ([NERExample("김환희", "<김환이:PS>", place="train.txt:1")], ["O", "B-PS", "I-PS"], "train.txt:1"),
        ([NERExample("김\ud800환희", (Entity(0, 3, "PS"),))], ["O", "B-PS", "I-PS"], "서로게이트"),
    ],
)
def test_bad_corpora_are_refused_with_one_sentence(ner_args, mini_tokenizer, rows, labels, words):
    with pytest.raises(NlpbookError, match=words):
        corpus = Fixed(labels=labels or ["O", "B-PS", "I-PS"])
        corpus.rows = [row if isinstance(row, NERExample) else NERExample(*row) for row in rows]
        NERDataset(ner_args(), mini_tokenizer, corpus, "train")


def test_kind_that_training_never_had_is_told_and_counted_as_missed(ner_args, mini_tokenizer, messages):
    corpus = Fixed(("3일 서울에서", "<3일:DT> <서울:LC>에서"), labels=["O", "B-LC", "I-LC"])
    data = NERDataset(ner_args(), mini_tokenizer, corpus, "test")
    assert any("DT(1개)" in message and "놓친 것" in message for message in messages())
    assert (data.columns["letter_label"] == -100).sum() == 2 and len(data.entities[0]) == 2


def test_missing_files_and_labels_in_another_order_are_named(tmp_path, ner_args):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NlpbookError, match=r"train 부분의 파일이 없습니다.*klue-ner-v1\.1_train\.tsv"):
        NERCorpus(ner_args()).get_examples(tmp_path / "empty", "train")
    assert NERCorpus(ner_args()).get_labels() == tag_names(["DT", "LC", "OG", "PS", "QT"])
    with pytest.raises(NlpbookError, match="label_map.txt"):
        (tmp_path / "bare").mkdir()
        _ = NERDeployArguments(
            downstream_model_dir=str(tmp_path / "bare"), max_seq_length=8
        ).downstream_model_labelmap_fpath


def test_inputs_that_are_not_sentences_are_refused(trained):
    _, folder = trained()
    predict = nlpbook.load(folder, device="cpu")
    for given in (3, [("가", "나")], {"text": "가", "text_pair": "나"}):
        with pytest.raises(NlpbookError):
            predict(given)
    with pytest.raises(NlpbookError, match="2번째 문장"):
        predict(["가", "\ud800"])
    assert predict([]) == []


# 쓰기


def test_html_marks_entities_and_never_lets_the_text_be_html():
    text = "<b>경찰</b>은 & 김환희"
    answer = {
        "text": text,
        "entities": [
            {"start": 3, "end": 5, "text": "경찰", "label": "OG", "score": 1.0},
            {"start": 13, "end": 16, "text": "김환희", "label": "<x>", "score": 1.0},
        ],
    }
    page = ner_html(answer)
    assert "&lt;b&gt;" in page and "<b>" not in page and "<x>" not in page and "&amp;" in page
    assert page.count("<mark") == 2 and "기관명" in page


def test_training_and_predicting_from_the_command_line(tmp_path, tiny_model, own_corpus, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "--pretrained_model_name",
        str(tiny_model),
        "--from_scratch",
        "--downstream_corpus_root_dir",
        str(own_corpus),
    ]
    words += ["--downstream_corpus_name", "mine", "--downstream_model_dir", "model", "--max_seq_length", "32"]
    assert main(["train", "ner", *words, "--epochs", "1", "--seed", "7", "--accelerator", "cpu"]) == 0
    capsys.readouterr()
    assert main(["predict", "--model_dir", "model", ROWS[0][0], ROWS[1][0]]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [line["text"] for line in lines] == [ROWS[0][0], ROWS[1][0]] and "entities" in lines[0]
