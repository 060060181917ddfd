"""문서 검색: 글을 벡터로, 짝을 배우기, 모듈 search, 찾아서 답하기, 명령."""

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import SMALL_BERT, needs_torchrun, write
from test_bad_input import refused
from torch.utils.data import DataLoader

import nlpbook_nbs as nlpbook
from nlpbook_nbs.cli import main
from nlpbook_nbs.core.asking import NOT_FOUND, Asker, answer_scores, best_threshold, threshold_curve
from nlpbook_nbs.core.contrast import PairDataset, PairSampler, contrastive_loss
from nlpbook_nbs.core.embedding import (
    E5_PROMPTS,
    PassageEncoder,
    Prompts,
    TextEmbedder,
    mean_vectors,
    open_embedder,
    read_prompts,
    write_sentence_files,
)
from nlpbook_nbs.core.indexes import SearchIndex, build_index
from nlpbook_nbs.core.passages import Passage
from nlpbook_nbs.core.searching import Searcher
from nlpbook_nbs.search import (
    SearchCorpus,
    SearchDataset,
    SearchDeployArguments,
    SearchExample,
    SearchTask,
    SearchTrainArguments,
    encoding_passage,
    load_finder,
    train_search,
)

TEXTS = ["천문대는 2011년에 지었다.", "갯벌은 바닷물이 드나드는 땅이다.", "가야금은 줄이 열둘인 악기이다."]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, mini_tokenizer):
    """무작위 가중치의 작은 BERT와 토크나이저가 든 폴더."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("encoder")
    BertModel(BertConfig(vocab_size=len(mini_tokenizer), **SMALL_BERT)).save_pretrained(folder)
    mini_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def embedder(encoder):
    return open_embedder(str(encoder), max_seq_length=24, batch_size=4)


@pytest.fixture
def training(encoder, small_corpora, tmp_path):
    return {
        "pretrained_model_name": str(encoder),
        "downstream_corpus_name": "korquad-v1",
        "downstream_corpus_root_dir": small_corpora,
        "downstream_model_dir": str(tmp_path / "model"),
        "max_seq_length": 64,
        "question_max_seq_length": 24,
        "batch_size": 16,
        "epochs": 1,
        "learning_rate": 1e-3,
        "seed": 7,
        "accelerator": "cpu",
        "precision": "fp32",
    }


# 글을 벡터로


def test_vector_does_not_depend_on_the_texts_beside_it(embedder):
    texts = [*TEXTS, "짧다", "조금 더 긴 글이다. " * 2]
    together = embedder.questions(texts)
    for text, vector in zip(texts, together):
        np.testing.assert_allclose(embedder.questions([text])[0], vector, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_vector_is_the_mean_of_real_tokens(embedder):
    inputs = embedder.tokenizer(TEXTS[0], return_tensors="pt", truncation=True, max_length=24)
    with torch.inference_mode():
        states = embedder.model(**inputs).last_hidden_state
    by_hand = torch.nn.functional.normalize(states.mean(dim=1), dim=-1)[0]
    np.testing.assert_allclose(embedder.questions(TEXTS[:1])[0], by_hand, atol=1e-6)
    padded = torch.cat([states, torch.full_like(states[:, :2], 9.0)], dim=1)
    mask = torch.cat([inputs["attention_mask"], torch.zeros(1, 2, dtype=torch.long)], dim=1)
    torch.testing.assert_close(mean_vectors(padded, mask)[0], by_hand)


def test_windows_cover_a_long_passage_and_carry_the_prompt(mini_tokenizer):
    text = "갯벌에는 게와 조개가 산다. " * 12 + "끝."
    columns, owners, spans = PassageEncoder(mini_tokenizer, "지문: ", 20)([TEXTS[0], text, TEXTS[1]])
    assert owners[0] == 0 and owners[-1] == 2 and (np.diff(owners) >= 0).all()
    own = spans[owners == 1]
    assert own[0, 0] == 0 and own[-1, 1] == len(text) and (own[1:, 0] <= own[:-1, 1] + 1).all()
    head = mini_tokenizer("지문: ", add_special_tokens=False)["input_ids"]
    for start, end in zip(columns["offsets"][:-1], columns["offsets"][1:]):
        ids = columns["input_ids"][start:end].tolist()
        assert len(ids) <= 20 and ids[1 : 1 + len(head)] == head
        assert (ids[0], ids[-1]) == (mini_tokenizer.cls_token_id, mini_tokenizer.sep_token_id)


def test_sentence_transformers_opens_the_folder_with_the_same_vectors(encoder, embedder, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    embedder.prompts = E5_PROMPTS
    embedder.model.save_pretrained(tmp_path)
    embedder.tokenizer.save_pretrained(tmp_path)
    write_sentence_files(tmp_path, embedder.hidden, 24, E5_PROMPTS)
    library = sentence_transformers.SentenceTransformer(str(tmp_path), device="cpu")
    texts = [*TEXTS, "긴 글이다. " * 30]
    np.testing.assert_allclose(
        library.encode(texts, prompt_name="query"), embedder.questions(texts), atol=1e-6
    )
    ours = open_embedder(str(tmp_path))
    assert (ours.prompts, ours.max_seq_length) == (E5_PROMPTS, 24)


def test_prompts_belong_to_the_model(tmp_path):
    assert read_prompts("nlpbook-small") == E5_PROMPTS and read_prompts("nlpbook-mini") == Prompts()
    write(
        tmp_path / "config_sentence_transformers.json", {"prompts": {"query": "질문: ", "document": "글: "}}
    )
    assert read_prompts(str(tmp_path)) == Prompts("질문: ", "글: ")
    write(tmp_path / "config_sentence_transformers.json", "{")
    refused(lambda: read_prompts(str(tmp_path)), "config_sentence_transformers.json")


def test_other_weights_lengths_and_prompts_have_other_fingerprints(embedder):
    made = [
        TextEmbedder(embedder.model, embedder.tokenizer, prompts, length).fingerprint()
        for prompts, length in ((None, 24), (E5_PROMPTS, 24), (None, 32))
    ]
    with torch.no_grad():
        next(embedder.model.parameters()).add_(1)
    made.append(TextEmbedder(embedder.model, embedder.tokenizer, None, 24).fingerprint())
    assert len(set(made)) == 4


# 짝을 배우기


def test_loss_equals_that_of_the_library():
    sentence_transformers = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    torch.manual_seed(1)
    questions, passages = (torch.nn.functional.normalize(torch.randn(n, 8), dim=-1) for n in (4, 12))
    library = MultipleNegativesRankingLoss(
        sentence_transformers.SentenceTransformer(modules=[torch.nn.Identity()])
    )
    wanted = library.compute_loss_from_embeddings(
        [questions, passages[:4], passages[4:8], passages[8:]], None
    )
    right, same = torch.arange(4), torch.zeros(4, 12, dtype=torch.bool)
    torch.testing.assert_close(contrastive_loss(questions, passages, right, same), wanted)


def test_a_passage_that_came_twice_is_no_wrong_answer():
    vectors = torch.nn.functional.normalize(torch.eye(3, 8) + 0.1, dim=-1).requires_grad_()
    right, same = torch.arange(2), torch.zeros(2, 4, dtype=torch.bool)
    same[0, [0, 3]] = True
    passages = torch.cat([vectors, vectors[:1]])
    with_twin = contrastive_loss(vectors[:2], passages, right, same)
    without = [
        contrastive_loss(vectors[n : n + 1], passages[: 3 + n], right[n : n + 1], same[n : n + 1, : 3 + n])
        for n in (0, 1)
    ]
    torch.testing.assert_close(with_twin, sum(without) / 2)


def pair_dataset(mini_tokenizer, passages=9, seed=5):
    """지문마다 질문이 셋 딸린 데이터셋."""
    count = 3 * passages
    columns = {
        "question_ids": np.arange(count * 2) % 90 + 5,
        "question_offsets": np.arange(count + 1) * 2,
        "passage_ids": np.arange(passages * 4) % 90 + 5,
        "passage_offsets": np.arange(passages + 1) * 4,
        "window_owner": np.arange(passages),
        "owner": np.arange(count) % passages,
        "window": np.arange(count) % passages,
        "negatives": np.stack([(np.arange(count) + 1) % passages, np.full(count, -1)], axis=1),
    }
    return PairDataset(columns, dict, mini_tokenizer, (8, 16), seed, hard_negatives=2)


def test_no_passage_comes_twice_in_a_batch_and_questions_change_with_the_epoch(mini_tokenizer):
    pairs, seen = pair_dataset(mini_tokenizer), []
    sampler = PairSampler(pairs, 4)
    loader = DataLoader(pairs, 4, sampler=sampler, collate_fn=nlpbook.data_collator)
    for epoch in range(12):
        sampler.set_epoch(epoch)
        batches = list(loader)
        keys = [batch["question_keys"].tolist() for batch in batches]
        assert sorted(n for own in keys for n in own) == list(range(9))
        for own, batch in zip(keys, batches):
            assert len(set(own)) == len(own) and batch["passage_keys"].tolist()[: len(own)] == own
            assert len(batch["passage_keys"]) == 3 * len(own)
        seen.append(pairs.chosen(np.arange(9)).tolist())
    assert len(set(map(tuple, seen))) > 6 and {n for row in seen for n in row} == set(range(27))
    again = pair_dataset(mini_tokenizer)
    again.set_epoch(11)
    assert again.chosen(np.arange(9)).tolist() == seen[-1]


TWO = """
import sys
import torch
from nlpbook_nbs.core.contrast import contrastive_loss, first_row, gathered

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
weight, inputs = torch.load(f"{folder}/given.pt", weights_only=True)
weight.requires_grad_()
questions, passages = (torch.nn.functional.normalize(each @ weight, dim=-1) for each in inputs[:, rank * 3 : rank * 3 + 3])
right = torch.arange(3) + first_row(3)
contrastive_loss(questions, gathered(passages), right, torch.zeros(3, 6, dtype=torch.bool)).backward()
torch.distributed.all_reduce(weight.grad)
if rank == 0:
    torch.save(weight.grad / 2, f"{folder}/grad.pt")
torch.distributed.destroy_process_group()
"""


@needs_torchrun
def test_gathered_negatives_learn_as_one_large_batch(tmp_path):
    torch.manual_seed(11)
    weight, inputs = torch.randn(5, 4), torch.randn(2, 6, 5)
    torch.save((weight, inputs), tmp_path / "given.pt")
    ranks = [subprocess.Popen([sys.executable, "-c", TWO, str(rank), str(tmp_path)]) for rank in (0, 1)]
    assert [each.wait() for each in ranks] == [0, 0]
    weight.requires_grad_()
    questions, passages = (torch.nn.functional.normalize(each @ weight, dim=-1) for each in inputs)
    contrastive_loss(questions, passages, torch.arange(6), torch.zeros(6, 6, dtype=torch.bool)).backward()
    torch.testing.assert_close(torch.load(tmp_path / "grad.pt", weights_only=True), weight.grad)


# 모듈 search


def test_train_then_load_then_find(training, messages):
    result = train_search(SearchTrainArguments(**training, hard_negatives=2))
    assert result["val_passages"] == 13 and 0 <= result["val_mrr"] <= 1 and "val_recall10" in result
    folder = training["downstream_model_dir"]
    find = nlpbook.load(folder)
    found = find("천문대를 지은 해는 언제인가?")
    assert found["question"].startswith("천문대") and len(found["results"]) == 5 and found["found"]
    hit = found["results"][0]
    assert set(hit) == {"id", "title", "passage", "score", "source", "start", "end", "scores"}
    assert find(["갯벌", "가야금"])[1]["question"] == "가야금" and find(question="갯벌")["found"]
    record = json.loads((SearchIndex(folder + "/index").folder / "index.json").read_text(encoding="utf-8"))
    assert record["model"].endswith("model") and sum(piece["count"] for piece in record["pieces"]) == 13


def test_same_seed_learns_the_same(training):
    def learn(name):
        args = SearchTrainArguments(
            **(training | {"downstream_model_dir": training["downstream_model_dir"] + name})
        )
        found = train_search(args)
        return {key: value for key, value in found.items() if key.startswith("val_")}

    assert learn("a") == learn("b")


def test_frozen_layers_do_not_move(training, encoder):
    from transformers import AutoModel

    train_search(SearchTrainArguments(**training, freeze_layers="1"))
    before = AutoModel.from_pretrained(encoder).state_dict()
    after = AutoModel.from_pretrained(training["downstream_model_dir"]).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith("encoder.layer.1.") for name in moved)


def test_answer_stands_in_the_window_it_is_paired_with(training, mini_tokenizer):
    corpus = SearchCorpus()
    data = SearchDataset(SearchTrainArguments(**training), mini_tokenizer, corpus, "train")
    columns, pairs = data.rows.columns, data.rows
    assert len(columns["window_owner"]) > len(data.passages)  # 창 하나에 들지 않는 지문이 있습니다.
    inside = 0
    for row, window, owner in zip(data.examples, columns["window"], columns["owner"]):
        assert columns["window_owner"][window] == owner and data.passages[owner].text == row.passage
        features = pairs.passages[int(window)]
        text = mini_tokenizer.decode(features.input_ids, skip_special_tokens=True)
        inside += row.answer.replace(" ", "") in text.replace(" ", "")
    assert inside > 0.9 * len(data.examples)
    questions, passages = data[0]
    assert len(questions.input_ids) == 24 and len(passages.input_ids) == 64


def test_hard_negatives_hold_no_answer(training, mini_tokenizer):
    data = SearchDataset(SearchTrainArguments(**training), mini_tokenizer, SearchCorpus(), "train")
    columns = data.rows.columns
    for row, owner, negatives in zip(data.examples, columns["owner"], columns["negatives"]):
        for window in negatives[negatives >= 0].tolist():
            passage = data.passages[columns["window_owner"][window]]
            assert columns["window_owner"][window] != owner and row.answer not in passage.text


def test_own_tables_are_read(tmp_path, training, mini_tokenizer):
    folder = tmp_path / "corpora" / "mine"
    folder.mkdir(parents=True)
    write(
        folder / "passages.tsv",
        "id\ttitle\ttext\n" + "".join(f"p{n}\t\t{text}\n" for n, text in enumerate(TEXTS)),
    )
    write(folder / "train.tsv", "question\tpassage\tanswer\n언제 지었나?\tp0\t2011년\n무슨 땅인가?\tp1\t\n")
    write(folder / "val.jsonl", json.dumps({"question": "줄이 몇인가?", "passage": "p2"}) + "\n")
    args = SearchTrainArguments(
        **(training | {"downstream_corpus_root_dir": str(folder.parent), "downstream_corpus_name": "mine"})
    )
    data = SearchDataset(args, mini_tokenizer, SearchCorpus(), "train")
    assert data.examples[0] == SearchExample("언제 지었나?", TEXTS[0], "p0", "2011년")
    assert train_search(args)["val_questions"] == 1
    write(folder / "train.tsv", "question\tpassage\n언제?\tp9\n")
    refused(lambda: SearchDataset(args, mini_tokenizer, SearchCorpus(), "train"), "train.tsv:2", "'p9'")
    write(folder / "train.tsv", "question\tpassage\n \tp0\n")
    refused(lambda: SearchDataset(args, mini_tokenizer, SearchCorpus(), "train"), "train.tsv:2", "비었습니다")
    write(folder / "train.tsv", "question\tpassage\n언제?\tp0\n")
    refused(lambda: SearchDataset(args, mini_tokenizer, SearchCorpus(), "train"), "1편뿐")
    (folder / "train.tsv").unlink()
    refused(lambda: SearchDataset(args, mini_tokenizer, SearchCorpus(), "train"), "train", "표")


def test_settings_that_do_not_fit_are_refused(training, tmp_path):
    refused(lambda: SearchTrainArguments(**training, hard_negatives=-1), "hard_negatives")
    refused(lambda: SearchTrainArguments(**training, scale=0), "scale")
    refused(lambda: SearchTrainArguments(**(training | {"max_seq_length": 999})), "999", "64")
    refused(lambda: SearchTrainArguments(**training, monitor="max val_acc"), "val_acc", "val_mrr")
    args = SearchTrainArguments(**(training | {"max_seq_length": 32}), passage_max_seq_length=48)
    assert (args.max_seq_length, args.passage_max_seq_length) == (48, 48)
    refused(
        lambda: SearchDeployArguments(downstream_model_dir=str(tmp_path / "none")), "모델 폴더가 없습니다"
    )


def test_finder_without_an_index_says_what_to_do(encoder):
    args = SearchDeployArguments(downstream_model_dir=str(encoder), max_seq_length=32)
    refused(lambda: load_finder(args), "색인 폴더가 아닙니다", "nlpbook index")


def test_passages_are_encoded_and_the_threshold_keeps_far_ones_out(encoder, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    options = {"downstream_model_dir": str(encoder), "max_seq_length": 32}
    args = SearchDeployArguments(**options, passage_embedding_dir=str(tmp_path / "ix"))
    model, tokenizer = (each.from_pretrained(encoder) for each in (AutoModel, AutoTokenizer))
    index = encoding_passage(TEXTS, model, tokenizer, args)
    assert len(index) == 3 and index.vectors is not None
    args.threshold = 1.0
    assert load_finder(args)("천문대") == {"question": "천문대", "found": False, "results": []}
    args.threshold, args.method = None, "meaning"
    assert len(load_finder(args)("천문대")["results"]) == 3


def test_task_counts_every_passage_of_the_validation(training, mini_tokenizer, encoder):
    """배치마다가 아니라 검증 지문 모두에서 찾습니다."""
    from transformers import AutoModel

    args = SearchTrainArguments(**training)
    data = SearchDataset(args, mini_tokenizer, SearchCorpus(), "val")
    task = SearchTask(AutoModel.from_pretrained(encoder), args).eval()
    loader = DataLoader(data, 7, collate_fn=nlpbook.data_collator)
    task.evaluation_loader = lambda: loader
    task._trainer = None
    with torch.inference_mode():
        for place, batch in enumerate(loader):
            task.validation_step(batch, place)
    found = task.compute_metrics()
    embedder = open_embedder(str(encoder), 64)
    windows = embedder.passages([passage.whole for passage in data.passages])
    scores = embedder.questions([row.question for row in data.examples]) @ windows.vectors.T
    table = np.maximum.reduceat(scores, np.flatnonzero(np.diff(windows.owners, prepend=-1)), axis=1)
    right = table[np.arange(len(table)), data.rows.owner][:, None]
    assert found["recall1"] == pytest.approx(float(((table > right).sum(axis=1) == 0).mean()))


# 찾아서 답하기


def reader(answers):
    """지문 → `(답, 답이 없다는 점수와의 차이)`로 답하는 장난감."""

    def read(pairs):
        rows = []
        for _, passage in pairs:
            text, difference = answers.get(passage, ("", None))
            start = max(passage.find(text), 0)
            row = {"answer": text, "start": start, "end": start + len(text), "found": bool(text)}
            rows.append(row | {"null_score_diff": difference})
        return rows

    return read


@pytest.fixture
def search(tmp_path):
    return Searcher(build_index(tmp_path / "ix", [Passage(f"p{n}", text) for n, text in enumerate(TEXTS)]))


def test_answer_is_cut_from_the_passage_that_is_shown_first(search):
    ask = Asker(search, reader({TEXTS[0]: ("2011년", -3.0), TEXTS[1]: ("바닷물", 4.0)}))
    answer = ask("천문대는 바닷물이 드나드는 땅에 지었나?")
    assert answer.found and answer.hits[0].passage.text[slice(*answer.span)] == answer.text == "2011년"
    told = answer.to_dict()
    assert told["passage"][told["start"] : told["end"]] == told["answer"] and len(told["results"]) == len(
        answer.hits
    )
    assert [each.text for each in ask(["천문대", "천문대"])] == ["2011년"] * 2


def test_what_is_not_good_enough_is_not_answered(search):
    read = reader({TEXTS[0]: ("2011년", -3.0)})
    assert Asker(search, read, threshold=2.9)("천문대").found
    for ask, text in (
        (Asker(search, read, threshold=3.1), "천문대"),
        (Asker(search, read), "갯벌"),
        (Asker(search, read), "zzz"),
    ):
        told = ask(text).to_dict()
        assert (told["found"], told["answer"], told["message"]) == (False, "", NOT_FOUND)
        json.dumps(told, allow_nan=False)
    refused(lambda: Asker(search, read)(""), "비었습니다")
    refused(lambda: Asker(search, read, top_k=0), "top_k")


def test_earlier_passages_win_when_answers_are_alike():
    rows = [
        {"answer": "가", "found": True, "null_score_diff": difference} for difference in (-2.0, -2.1, -9.0)
    ]
    assert answer_scores(rows).argmax() == 2 and answer_scores(rows[:2]).argmax() == 0
    assert not np.isfinite(answer_scores([{"answer": "", "found": False, "null_score_diff": None}])[0])


def test_threshold_is_the_best_of_all():
    rng = np.random.default_rng(2)
    scores = np.concatenate([rng.normal(size=60), [-np.inf] * 3])
    points, answerable = rng.random(63), rng.random(63) < 0.6
    thresholds, means = threshold_curve(scores, points, answerable)
    chosen = best_threshold(thresholds, means)
    own = points * answerable
    every = [np.where(scores >= place, own, ~answerable).mean() for place in np.linspace(-4, 4, 500)]
    assert means.max() >= max(every) - 1e-12
    assert np.where(scores >= chosen, own, ~answerable).mean() == pytest.approx(means.max())


# 명령


def test_index_search_and_add_from_the_command_line(tmp_path, capsys, monkeypatch):
    text = write(tmp_path / "글.txt", "\n\n".join(f"{text[:3]}\n{text}" for text in TEXTS))
    assert main(["index", "--index_dir", str(tmp_path / "ix"), str(text)]) == 0
    assert json.loads(capsys.readouterr().out)["passages"] == 3
    assert (
        main(
            [
                "search",
                "갯벌은 무엇인가",
                "--index_dir",
                str(tmp_path / "ix"),
                "--top_k",
                "1",
                "--",
                "--가야금",
            ]
        )
        == 0
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["results"][0]["passage"] for row in rows] == [TEXTS[1], TEXTS[2]]
    more = write(tmp_path / "더.tsv", "id\ttext\n새것\t메주는 콩으로 만든다.\n")
    assert main(["index", "--add", "--index_dir", str(tmp_path / "ix"), str(more)]) == 0
    assert json.loads(capsys.readouterr().out)["passages"] == 4
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("메주\n\n".encode())))
    assert main(["search", "--index_dir", str(tmp_path / "ix")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["results"][0]["id"] == "새것"


def test_index_with_a_model_finds_by_meaning(tmp_path, encoder, capsys):
    table = write(tmp_path / "a.tsv", "text\n" + "\n".join(TEXTS) + "\n")
    where = ["--index_dir", str(tmp_path / "ix")]
    assert main(["index", *where, "--model_dir", str(encoder), "--storage", "int8", str(table)]) == 0
    assert main(["search", *where, "--method", "meaning", "천문대"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(row["results"]) == 3 and "meaning" in row["results"][0]["scores"]


def test_ask_reads_what_it_finds(tmp_path, encoder, capsys, mini_tokenizer):
    from transformers import BertConfig, BertForQuestionAnswering

    table = write(tmp_path / "a.tsv", "text\n" + "\n".join(TEXTS) + "\n")
    # 답이 없는 문항도 배운 모델에는 문턱값이 적혀 있습니다. 지문마다 입을 다물면 견줄 것이 없습니다.
    config = BertConfig(vocab_size=len(mini_tokenizer), null_score_diff_threshold=-1e6, **SMALL_BERT)
    BertForQuestionAnswering(config).save_pretrained(tmp_path / "qa")
    mini_tokenizer.save_pretrained(tmp_path / "qa")
    where = ["--index_dir", str(tmp_path / "ix")]
    main(["index", *where, str(table)])
    reader_dir = ["--reader_dir", str(tmp_path / "qa")]
    capsys.readouterr()
    assert main(["ask", *where, *reader_dir, "천문대를 언제 지었나?"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["found"] and told["passage"][told["start"] : told["end"]] == told["answer"]
    assert main(["ask", *where, *reader_dir, "--threshold", "1e8", "천문대를 언제 지었나?"]) == 0
    assert json.loads(capsys.readouterr().out)["message"] == NOT_FOUND


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["index", "--index_dir", "x"], "찾을 글이 없습니다"),
        (["index", "--index_dir", "x", "none.tsv"], "none.tsv"),
        (["index", "--units", "trigrams", "a"], "trigrams"),
        (["search", "--index_dir", "none", "질문"], "색인 폴더가 아닙니다"),
        (["search", "--zzz", "질문"], "--zzz"),
        (["ask", "--index_dir", "none", "질문"], "reader_dir"),
        (["search", "--top_k", "0", "질문"], "top_k"),
    ],
    ids=lambda words: "-".join(words[:2]) if isinstance(words, list) else "",
)
def test_wrong_command_is_told_in_one_sentence(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert told in error[-1] and error[-1].startswith("오류:")
