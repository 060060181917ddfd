"""12장: 책의 배포 셀, 줄인 모델의 답, 부하 시험, 연습문제의 채점."""

import http.client
import importlib.util
import json
import re
import threading
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from conftest import SMALL_BERT

import nlpbook_nbs as nlpbook
from nlpbook_nbs.cli import main
from nlpbook_nbs.core.compact import export_graph, keep_layers, keep_tokens
from nlpbook_nbs.core.folders import MODEL_RECORD
from nlpbook_nbs.core.graphs import GRAPH, GraphModel
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.deploy import measure_load, measure_model

ROOT = Path(__file__).resolve().parent.parent
TAGS = ["O", "B-PS", "B-LC", "I-PS", "I-LC"]
HEADS = {
    "doc-cls": ("BertForSequenceClassification", "document-classification", ["0", "1"]),
    "pair-cls": (
        "BertForSequenceClassification",
        "pair-classification",
        ["entailment", "contradiction", "neutral"],
    ),
    "ner": ("BertForTokenClassification", "named-entity-recognition", TAGS),
    "qa": ("BertForQuestionAnswering", "question-answering", ["start", "end"]),
    "generation": ("GPT2LMHeadModel", "sentence-generation", ["0", "1"]),
}
needs_onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime"))),
    reason="onnx, onnxscript, onnxruntime이 없습니다",
)


@pytest.fixture
def saved(tmp_path, mini_tokenizer):
    """과제마다 아주 작은 무작위 모델을 체크포인트까지 갖춘 폴더로 저장하는 함수."""
    import transformers

    def save(task, **changes):
        name, task_name, labels = HEADS[task]
        torch.manual_seed(3)
        if task == "generation":
            ids = {f"{each}_token_id": mini_tokenizer.sep_token_id for each in ("bos", "eos")}
            config = transformers.GPT2Config(
                vocab_size=len(mini_tokenizer), n_embd=32, n_layer=1, n_head=2, n_positions=64, **ids
            )
        else:
            config = transformers.BertConfig(
                vocab_size=len(mini_tokenizer),
                id2label=dict(enumerate(labels)),
                label2id={label: number for number, label in enumerate(labels)},
                **(SMALL_BERT | {"initializer_range": 0.4} | changes),
            )
        folder = tmp_path / task
        model = getattr(transformers, name)(config).eval()
        model.save_pretrained(folder)
        mini_tokenizer.save_pretrained(folder)
        if task == "generation":  # 글이 끝나는 곳을 알아야 합니다.
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            tokenizer.eos_token = tokenizer.sep_token
            tokenizer.save_pretrained(folder)
        (folder / "checkpoints").mkdir()
        state = {f"model.{key}": value for key, value in model.state_dict().items()}
        torch.save({"state_dict": state}, folder / "checkpoints" / "epoch=0.ckpt")
        record = {"task": task_name, "max_seq_length": 64, "checkpoint": "checkpoints/epoch=0.ckpt"}
        (folder / MODEL_RECORD).write_text(json.dumps(record), encoding="utf-8")
        (folder / "label_map.txt").write_text("\n".join(labels), encoding="utf-8")
        return str(folder)

    return save


# 책의 배포 노트북의 셀: 설정 → 체크포인트 → 모델 → 토크나이저 → 답하는 함수 → 서비스

OPEN = """
import torch
from {module} import {arguments}, get_web_service_app
args = {arguments}(pretrained_model_name=FOLDER, downstream_model_dir=FOLDER, max_seq_length=64{more})
from transformers import BertConfig, {model}
fine_tuned_model_ckpt = torch.load(args.downstream_model_checkpoint_fpath, map_location=torch.device("cpu"))
pretrained_model_config = BertConfig.from_pretrained(args.pretrained_model_name{labels})
model = {model}(pretrained_model_config)
model.load_state_dict({{k.replace("model.", ""): v for k, v in fine_tuned_model_ckpt["state_dict"].items()}})
model.eval()
from transformers import BertTokenizer
tokenizer = BertTokenizer.from_pretrained(args.pretrained_model_name, do_lower_case=False)
"""
LABELS = ', num_labels=fine_tuned_model_ckpt["state_dict"]["model.classifier.bias"].shape.numel()'
READ = """
def read(*texts):
    inputs = tokenizer(*[[text] for text in texts], max_length=args.max_seq_length, padding="max_length", truncation=True)
    with torch.no_grad():
        return inputs, model(**{k: torch.tensor(v) for k, v in inputs.items()})
"""
ANSWER = {
    "doc-cls": """
def inference_fn(sentence):
    _, outputs = read(sentence)
    prob = outputs.logits.softmax(dim=1)
    positive, negative = round(prob[0][1].item(), 4), round(prob[0][0].item(), 4)
    return {
        "sentence": sentence,
        "prediction": "긍정 (positive)" if torch.argmax(prob) == 1 else "부정 (negative)",
        "positive_data": f"긍정 {positive}", "negative_data": f"부정 {negative}",
        "positive_width": f"{positive * 100}%", "negative_width": f"{negative * 100}%",
    }
""",
    "pair-cls": """
def inference_fn(premise, hypothesis):
    _, outputs = read(premise, hypothesis)
    prob = outputs.logits.softmax(dim=1)[0]
    names = {"entailment": "참", "contradiction": "거짓", "neutral": "중립"}
    best = list(names)[int(prob.argmax())]
    answer = {"premise": premise, "hypothesis": hypothesis, "prediction": f"{names[best]} ({best})"}
    for (name, title), share in zip(names.items(), prob.tolist()):
        answer |= {f"{name}_data": f"{title} {round(share, 2)}", f"{name}_width": f"{round(share, 2) * 100}%"}
    return answer
""",
    "ner": """
id_to_label = dict(enumerate(open(args.downstream_model_labelmap_fpath, encoding="utf-8").read().splitlines()))
def inference_fn(sentence):
    inputs, outputs = read(sentence)
    probs, preds = torch.topk(outputs.logits[0].softmax(dim=1), dim=1, k=1)
    tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    rows = zip(tokens, [id_to_label[int(pred)] for pred in preds], probs)
    special = [tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token]
    return {"sentence": sentence, "result": [
        {"token": token, "predicted_tag": tag, "top_prob": str(round(prob[0].item(), 4))}
        for token, tag, prob in rows if token not in special
    ]}
""",
    "qa": """
def inference_fn(question, context):
    if not question or not context:
        return {"question": question, "context": context, "answer": ""}
    inputs, outputs = read(question, context)
    start, end = outputs.start_logits.argmax(dim=-1).item(), outputs.end_logits.argmax(dim=-1).item()
    return {"question": question, "context": context, "answer": tokenizer.decode(inputs["input_ids"][0][start:end + 1])}
""",
}
BOOK = {
    "doc-cls": ("classification", "ClassificationDeployArguments", LABELS, ""),
    "pair-cls": ("classification", "ClassificationDeployArguments", LABELS, ""),
    "ner": ("ner", "NERDeployArguments", LABELS, ""),
    "qa": ("qa", "QADeployArguments", "", ", max_query_length=32"),
}
BODIES = {
    "doc-cls": "재밌어요",
    "pair-cls": {"premise": "비가 온다.", "hypothesis": "날이 맑다."},
    "ner": "서울에서 김환희 씨를 만났다",
    "qa": {"question": "언제 지었나?", "context": "천문대는 2011년에 지었다."},
}
FIELDS = {
    "doc-cls": "sentence prediction positive_data negative_data positive_width negative_width",
    "pair-cls": "premise hypothesis prediction entailment_data contradiction_data neutral_data "
    "entailment_width contradiction_width neutral_width",
    "ner": "sentence result",
    "qa": "question context answer",
}


def post(address, body):
    url = urlsplit(address)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    connection.request("POST", "/api", json.dumps(body).encode(), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    found = reply.status, json.loads(reply.read())
    connection.close()
    return found


@pytest.mark.parametrize("task", BOOK)
def test_deploy_cells_of_the_book_serve_the_books_fields(task, saved):
    module, arguments, labels, more = BOOK[task]
    cells = OPEN.format(
        module=f"nlpbook_nbs.{module}", arguments=arguments, model=HEADS[task][0], labels=labels, more=more
    )
    if task == "pair-cls":
        cells += "from nlpbook_nbs.paircls import get_web_service_app\n"
    space = {"FOLDER": saved(task)}
    exec(cells + READ + ANSWER[task] + "\napp = get_web_service_app(inference_fn)\n", space)  # noqa: S102
    app = space["app"]
    running = threading.Thread(target=lambda: exec("app.run()", space))  # noqa: S102
    running.start()
    try:
        while app.server is None or not app.server[0].started:
            assert running.is_alive()
        status, found = post(f"http://127.0.0.1:{app.server[2].getsockname()[1]}/", BODIES[task])
    finally:
        app.stop()
        running.join(30)
    body = BODIES[task]
    assert status == 200 and sorted(found) == sorted(FIELDS[task].split())
    assert found == space["inference_fn"](*(body.values() if isinstance(body, dict) else [body]))
    assert not running.is_alive()


WRITE = """
import torch
from nlpbook_nbs.generation import GenerationDeployArguments, get_web_service_app
args = GenerationDeployArguments(pretrained_model_name=FOLDER, downstream_model_dir=FOLDER)
from transformers import GPT2Config, GPT2LMHeadModel
pretrained_model_config = GPT2Config.from_pretrained(args.pretrained_model_name)
model = GPT2LMHeadModel(pretrained_model_config)
fine_tuned_model_ckpt = torch.load(args.downstream_model_checkpoint_fpath, map_location=torch.device("cpu"))
model.load_state_dict({k.replace("model.", ""): v for k, v in fine_tuned_model_ckpt["state_dict"].items()})
model.eval()
from transformers import BertTokenizer
tokenizer = BertTokenizer.from_pretrained(args.pretrained_model_name, do_lower_case=False)
def inference_fn(prompt, min_length=10, max_length=20, top_p=1.0, top_k=50, repetition_penalty=1.0, no_repeat_ngram_size=0, temperature=1.0):
    input_ids = tokenizer.encode(prompt, return_tensors="pt")
    with torch.no_grad():
        generated_ids = model.generate(
            input_ids, do_sample=True, top_p=float(top_p), top_k=int(top_k), min_length=int(min_length),
            max_length=int(max_length), repetition_penalty=float(repetition_penalty),
            no_repeat_ngram_size=int(no_repeat_ngram_size), temperature=float(temperature),
        )
    return {"result": tokenizer.decode([el.item() for el in generated_ids[0]])}
app = get_web_service_app(inference_fn)
"""


def test_deploy_cells_of_the_book_serve_a_writing_model(saved):
    space = {"FOLDER": saved("generation")}
    exec(WRITE, space)  # noqa: S102
    app = space["app"]
    address = app.start(port=0)
    try:
        body = {"prompt": "안녕", "top_k": "1", "temperature": "", "max_length": 12}
        status, found = post(address, body)
        refused, _ = post(address, body | {"max_length": "길게"})
    finally:
        app.stop()
    assert status == 200 and found == space["inference_fn"]("안녕", max_length=12, top_k=1)
    assert refused == 422


def test_served_writing_model_streams_what_it_writes_and_joins_it_for_the_others(saved):
    from nlpbook_nbs.serve import ServeArguments, service_app

    folder = saved("generation")
    app = service_app(ServeArguments(folder, device="cpu"))
    address = app.start(port=0)
    try:
        how = {"prompt": "안녕", "max_length": 6, "min_length": 6, "top_k": 1}
        status, found = post(address, how)
        refused, told = post(address, how | {"min_length": 9})
    finally:
        app.stop()
    expected = "안녕" + "".join(
        nlpbook.load(folder, device="cpu").predict.stream("안녕", max_length=6, min_length=6, top_k=1)
    )
    assert status == 200 and found == {"result": expected} and len(expected) > 2
    assert refused == 422 and "min_length=9" in told["error"]["message"]


def test_index_is_served_with_and_without_a_reader(saved, tmp_path):
    from nlpbook_nbs.core.indexes import build_index
    from nlpbook_nbs.core.passages import Passage
    from nlpbook_nbs.serve import ServeArguments, service_app

    texts = {"star": "솔내군은 2011년에 천문대를 지었다.", "sea": "바다에는 고래가 산다."}
    folder = str(tmp_path / "index")
    build_index(folder, [Passage(key, text) for key, text in texts.items()])
    made = saved("qa")
    for reader in (None, made):
        app = service_app(ServeArguments(folder, reader_dir=reader, device="cpu"))
        address = app.start(port=0)
        status, found = post(address, "천문대를 지은 해는?")
        app.stop()
        assert status == 200 and {hit["id"] for hit in found["results"]} <= set(texts)
        assert ("answer" in found) == bool(reader)
        assert reader or found["results"][0]["id"] == "star"
    with pytest.raises(NlpbookError, match="색인 폴더가 아닙니다"):
        ServeArguments(saved("doc-cls"), reader_dir=made)


# 줄인 모델

INPUTS = {
    "doc-cls": ["재밌어요", "너무 길고 지루해서 두 번은 못 보겠다 " * 4, "ㅋ"],
    "pair-cls": [("비가 온다.", "날이 맑다."), ("아이가 마당에서 공을 차고 논다.", "비")],
    "ner": ["서울에서 김환희 씨를 만났다", "부산", "경찰은 지난 3일 대전에서 " * 8],
    "qa": [("언제?", "천문대는 2011년에 지었다. " * 20), ("누가?", "이순신이 쓴 일기이다.")],
}


def close(one, two):
    """수는 가깝고 나머지는 같은지."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(close(one[name], two[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(close, one, two))
    return abs(one - two) < 1e-4 if isinstance(one, float) else one == two


@needs_onnx
@pytest.mark.parametrize("task", ["ner", "qa"])  # 문서 분류는 nbs/core/compact.ipynb가 봅니다
def test_graph_answers_like_the_model_it_came_from(task, saved, tmp_path):
    source = saved(task, num_hidden_layers=1)
    if task == "ner":
        give_letters(Path(source))
    target = tmp_path / "graph"
    made = export_graph(source, target)
    assert made["bytes"] == (target / GRAPH).stat().st_size and not (target / "model.safetensors").exists()
    plain, graph = (nlpbook.load(folder, device="cpu") for folder in (source, target))
    assert isinstance(
        graph.predict.__self__.model if task in {"ner", "qa"} else graph.predict.model, GraphModel
    )
    assert close(plain(INPUTS[task]), graph(INPUTS[task]))
    assert close(plain(INPUTS[task][:1]), graph(INPUTS[task][:1]))


def give_letters(folder):
    """개체명 인식의 글자 출력층을 더합니다. 배운 것처럼 무작위 값을 둡니다."""
    from transformers import AutoConfig

    from nlpbook_nbs.core.letters import LetterHead, write_letters

    head = LetterHead(SMALL_BERT["hidden_size"], len(TAGS))
    head.know_tags(TAGS)
    for weight in head.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    config = AutoConfig.from_pretrained(folder)
    write_letters(folder, config, head.state_dict())
    config.save_pretrained(folder)


@needs_onnx
def test_int8_graph_is_smaller_and_close_and_is_served(saved, tmp_path):
    from nlpbook_nbs.serve import ServeArguments, service_app

    source = saved("doc-cls", initializer_range=0.02, num_hidden_layers=1)
    small = export_graph(source, tmp_path / "small", int8=True)
    assert small["bytes"] < 0.4 * Path(source, "model.safetensors").stat().st_size
    assert {path.suffix for path in (tmp_path / "small").iterdir()} & {".onnx"} == {".onnx"}
    assert [path.name for path in (tmp_path / "small").glob("*.onnx")] == [GRAPH]
    assert b"nlpbook_nbs/core" not in (tmp_path / "small" / GRAPH).read_bytes()  # 만든 곳의 경로
    plain = nlpbook.load(source, device="cpu")("재밌어요")["scores"]["0"]
    app = service_app(ServeArguments(str(tmp_path / "small"), device="cpu"))
    status, found = post(app.start(port=0), "재밌어요")
    app.stop()
    assert status == 200 and abs(found["scores"]["0"] - plain) < 0.02


@needs_onnx
def test_int8_weights_have_a_scale_for_every_output(saved, tmp_path):
    """행렬에 배율이 하나뿐이면, 유난히 큰 출력 하나 때문에 나머지가 거칠게 반올림됩니다."""
    import onnx

    export_graph(saved("doc-cls", num_hidden_layers=1), tmp_path / "int8", int8=True)
    graph = onnx.load(tmp_path / "int8" / GRAPH).graph
    scales = {each.name: list(each.dims) for each in graph.initializer if each.name.endswith("_scale")}
    matrices = {each.input[1] for each in graph.node if each.op_type == "MatMulInteger"}
    widths = {each.name: each.dims[1] for each in graph.initializer if each.name in matrices}
    assert len(widths) >= 6
    for name, width in widths.items():
        assert scales[name.removesuffix("_quantized") + "_scale"] == [width]


@needs_onnx
def test_broken_graph_is_told_in_one_sentence(saved, tmp_path):
    folder = Path(saved("doc-cls"))
    (folder / "model.safetensors").unlink()
    (folder / GRAPH).write_bytes(b"not a graph")
    with pytest.raises(NlpbookError, match="ONNX 그래프를 읽지 못했습니다"):
        nlpbook.load(folder)


def test_missing_library_is_named_with_the_command_that_installs_it(monkeypatch):
    from nlpbook_nbs.core.graphs import need

    with pytest.raises(NlpbookError, match="pip install no_such_library"):
        need("json", "no_such_library")


def test_model_with_fewer_tokens_answers_the_same_and_can_still_read_anything(saved, tmp_path):
    source, texts = saved("doc-cls"), ["재밌어요 정말", "너무 길고 지루해서 두 번은 못 보겠다"]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    made = keep_tokens(source, tmp_path / "few", tmp_path / "texts.txt")
    before, after = (nlpbook.load(folder, device="cpu") for folder in (source, tmp_path / "few"))
    assert made["tokens"] == after.predict.model.config.vocab_size < before.predict.model.config.vocab_size
    assert close(before(texts), after(texts))
    unseen = "처음 보는 낱말로만 된 문장"
    assert after(unseen)["unknown"] == before(unseen)["unknown"] == 0.0
    assert nlpbook.load(tmp_path / "few").recipe.title == "문서 분류"


def test_model_with_fewer_layers_computes_just_those_layers(saved, tmp_path):
    source = saved("doc-cls", num_hidden_layers=4)
    keep_layers(source, tmp_path / "thin", [1, 3])
    whole, thin = (nlpbook.load(folder, device="cpu") for folder in (source, tmp_path / "thin"))
    assert thin.predict.model.config.num_hidden_layers == 2
    whole.predict.model.bert.encoder.layer = torch.nn.ModuleList(
        whole.predict.model.bert.encoder.layer[number] for number in (1, 3)
    )
    assert close(whole(INPUTS["doc-cls"]), thin(INPUTS["doc-cls"]))


@pytest.mark.parametrize("layers", [[], [2], [1, 0], [0, 0], [-1]])
def test_layers_that_are_not_there_are_refused(layers, saved, tmp_path):
    with pytest.raises(NlpbookError, match="번호를 작은 것부터"):
        keep_layers(saved("doc-cls"), tmp_path / "thin", layers)
    assert not (tmp_path / "thin").exists()


def test_folder_that_holds_a_model_is_not_written_over(saved):
    source, other = saved("doc-cls"), saved("pair-cls")
    before = Path(other, "model.safetensors").read_bytes()
    for target in (source, other):
        with pytest.raises(NlpbookError, match="이미 모델이 있는 폴더"):
            keep_layers(source, target, [0])
    assert Path(other, "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["layers"], "--model_dir에"),
        (["layers", "--model_dir", "{source}", "--target_dir", "{target}", "--layers", "a"], "layers='a'"),
        (
            ["vocabulary", "--model_dir", "{source}", "--target_dir", "{target}", "--texts", "none.txt"],
            "none.txt",
        ),
        (
            ["graph", "--model_dir", "nlpbook-mini", "--target_dir", "{target}"],
            "줄일 수 있는 모델이 아닙니다",
        ),
    ],
)
def test_deploy_commands_say_what_is_wrong_in_one_sentence(words, told, saved, tmp_path, capsys):
    names = {"source": saved("doc-cls"), "target": str(tmp_path / "made")}
    assert main(["deploy", *(word.format(**names) for word in words)]) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("오류: ") and told in last
    assert not (tmp_path / "made" / "config.json").exists()


def test_deploy_command_makes_a_folder_that_answers(saved, tmp_path, capsys):
    source, target = saved("doc-cls", num_hidden_layers=3), str(tmp_path / "thin")
    assert main(["deploy", "layers", "--model_dir", source, "--target_dir", target, "--layers", "0,2"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == target
    assert nlpbook.load(target)("재밌어요")["label"] in {"0", "1"}


def test_measured_model_says_accuracy_size_and_speed(saved):
    source, texts = saved("doc-cls"), INPUTS["doc-cls"] * 4
    predicted = [row["label"] for row in nlpbook.load(source)(texts)]
    right = measure_model(source, texts, predicted, alone=2)
    wrong = measure_model(source, texts, ["없는 레이블"] * len(texts), alone=2)
    assert right["accuracy"] == 1.0 and wrong["accuracy"] == 0.0
    assert right["megabytes"] == pytest.approx(
        Path(source, "model.safetensors").stat().st_size / 1e6, abs=0.01
    )
    assert right["ms"] > 0 and right["rate"] > 0


def test_student_learns_the_shares_it_is_told_for_texts_without_labels(saved, tmp_path):
    from nlpbook_nbs.core.distillation import DistillArguments, distill

    student = saved("pair-cls", num_hidden_layers=1, initializer_range=0.02)
    words = "정말 재밌고 좋은 영화 배우 연기 지루한 음악 최고 시간이 아깝다".split()
    choose = np.random.default_rng(3)
    texts = [" ".join(choose.choice(words, 5)) for _ in range(160)]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    args = DistillArguments(
        pretrained_model_name=student,
        downstream_model_dir=str(tmp_path / "made"),
        texts=str(tmp_path / "texts.txt"),
        max_seq_length=32,
        learning_rate=5e-3,
        epochs=6,
        batch_size=8,
        seed=5,
    )
    liked = np.array([0.95 if "재밌고" in text else 0.1 for text in texts])
    found = distill(args, taught=(np.stack([1 - liked, liked], 1).astype("float32"), ["부정", "긍정"]))
    answers = nlpbook.load(args.downstream_model_dir, device="cpu")(texts)
    shares = np.array([row["scores"]["긍정"] for row in answers])
    assert found["texts"] == 160 and found["val_agree"] > 0.9
    assert np.abs(shares - liked).mean() < 0.1  # 레이블이 아니라 확률을 배웠습니다.
    assert nlpbook.load(args.downstream_model_dir).recipe.title == "문서 분류"


@pytest.mark.parametrize(
    ("task", "more", "told"),
    [
        ("ner", {}, "따라 할 확률이 없는 모델"),
        ("doc-cls", {"downstream_model_dir": "{teacher}"}, "선생님의 폴더에"),
        ("doc-cls", {}, "배울 글이 3건뿐"),
    ],
)
def test_lesson_that_cannot_be_given_is_refused_in_one_sentence(task, more, told, saved, tmp_path):
    from nlpbook_nbs.core.distillation import DistillArguments, distill

    teacher = saved(task)
    more = {"downstream_model_dir": str(tmp_path / "made")} | {
        name: value.format(teacher=teacher) for name, value in more.items()
    }
    count = 30 if task == "ner" else 3
    with pytest.raises(NlpbookError, match=told):
        distill(
            DistillArguments(teacher_dir=teacher, max_seq_length=32, **more),
            ["재밌어요", "지루해요", "좋다"] * (count // 3),
        )


# 부하 시험


def test_load_test_sends_every_request_once_and_counts_the_refused():
    from nlpbook_nbs.core.services import Field, Service
    from nlpbook_nbs.core.web import WebService

    seen = []
    app = WebService(Service("시험", (Field("sentence", "문장"),)), lambda rows: seen.extend(rows) or rows)
    address = app.start(port=0)
    load = measure_load(address, ["가", "나", "", "다"], users=3, requests=20)
    app.stop()
    assert sorted(seen) == sorted([("가",), ("나",), ("다",)] * 5)
    assert (len(load.waits), load.failed) == (20, 5)
    assert load.rate == pytest.approx(20 / load.seconds) and "실패 5" in str(load)
    assert np.all(load.waits > 0) and load.waits.max() <= load.seconds
    gone = measure_load(address, ["가"], users=2, requests=4)
    assert (gone.failed, len(gone.waits)) == (4, 0) and "한 번도" in str(gone)
    with pytest.raises(NlpbookError, match="http://주소:포트/"):
        measure_load("주소", ["가"])


# 컨테이너


def test_container_is_not_root_reads_only_its_model_and_asks_whether_it_is_ready():
    from nlpbook_nbs.deploy import container_file

    text = container_file()
    steps = [line.split()[0] for line in text.splitlines() if re.match("[A-Z]+ ", line)]
    assert steps.index("USER") < steps.index("ENTRYPOINT") and "USER 10001" in text
    assert "COPY --chmod=555 model /model" in text and "/readyz" in text
    words = json.loads(re.search(r"ENTRYPOINT (\[.*\])", text)[1])
    from nlpbook_nbs.cli import read_options
    from nlpbook_nbs.serve import ServeArguments

    given = read_options(ServeArguments, ["--model_dir", *words[2:]], "nlpbook serve")
    assert words[:2] == ["nlpbook", "serve"] and given["host"] == "0.0.0.0"
    chapter = (ROOT / "nbs" / "12_deploy.ipynb").read_text(encoding="utf-8")
    for step in set(steps) - {"EXPOSE"}:
        assert f"`{step} " in chapter, step


# 재어 둔 표


def test_table_of_the_service_leaves_what_was_not_measured_blank_and_refuses_unknown_columns():
    from nlpbook_nbs.core.service_tables import ServiceTable, recorded_service

    table = ServiceTable("잰 방법").add("가<b>", accuracy=[0.7, 0.8], ms=12.34).add("나", failed=1234)
    assert table.table() == (
        ["방법", "정확도", "ms/글", "실패"],
        [["가<b>", "0.750 (0.700–0.800)", "12.3", ""], ["나", "", "", "1,234"]],
    )
    assert "가&lt;b&gt;" in table._repr_html_() and str(table).splitlines()[-1] == "잰 방법"
    with pytest.raises(NlpbookError, match="speed: 표에 없는 열"):
        table.add("다", speed=1)
    with pytest.raises(NlpbookError, match="재어 둔 결과가 없습니다"):
        recorded_service("nothing")


@pytest.mark.parametrize("name", ["load", "sizes", "distill", "soak"])
def test_recorded_tables_stand_in_the_results_page(name):
    from nlpbook_nbs.core.service_tables import recorded_service

    found = recorded_service(name)
    page = (ROOT / "pages" / "results.qmd").read_text(encoding="utf-8")
    assert found.rows and found.source in page
