"""인코더의 조각으로 WordPiece 어휘를 만들어도 벡터는 그대로입니다."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForPreTraining,
    BertModel,
    PreTrainedTokenizerFast,
    XLMRobertaTokenizer,
)

from nlpbook_nbs.core.conversion import (
    bert_units,
    convert_encoder,
    letter_forms,
    open_tokenizer,
    other_forms,
    start_head,
    word_pieces,
    written,
)
from nlpbook_nbs.core.settings import NlpbookError

PIECES = [
    "▁조선",
    "의",
    "기의",
    "▁",
    "(",
    "▁(",
    ")",
    "朝",
    "鮮",
    "ᄏ",
    "ᄏᄏ",
    "...",
    "▁왕",
    "은",
    "▁은",
    ",",
    "1",
    "▁1",
]


@pytest.fixture
def source(tmp_path):
    """XLM-R처럼 낱말의 처음에 ▁을 붙이는 아주 작은 인코더의 폴더."""
    names = ["<s>", "<pad>", "</s>", "<unk>", *PIECES, "<mask>"]
    backend = Tokenizer(
        models.Unigram([(name, -1.0 - 0.1 * place) for place, name in enumerate(names)], unk_id=3)
    )
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    specials = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="</s>", unk_token="<unk>", mask_token="<mask>", **specials
    )
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertModel(BertConfig(vocab_size=len(names), pad_token_id=1, **sizes), add_pooling_layer=False)
    model.save_pretrained(tmp_path / "source")
    tokenizer.save_pretrained(tmp_path / "source")
    (tmp_path / "text.txt").write_text(
        "조선의 왕은 ㅋㅋ (朝鮮), 1…\n" * 4 + "조선기의 은 ㅋ11 왕ㅋㅋ\n" * 4, encoding="utf-8"
    )
    return tmp_path


def test_pieces_become_word_pieces():
    found = word_pieces({piece: 9 for piece in PIECES})
    assert found["조선"] == "▁조선" and found["##기의"] == "기의"
    assert found["의"] == found["##의"] == "의"  # 한 글자는 낱말의 처음과 안에 모두
    assert found["은"] == "▁은" and found["##은"] == "은"
    assert found["("] == "(" and "##(" not in found  # 홀로 서는 글자는 ▁이 없는 조각의 벡터
    assert found["朝"] == "朝" and "##朝" not in found
    assert found["##ㅋㅋ"] == "ᄏᄏ" and found["ㅋ"] == found["##ㅋ"] == "ᄏ"
    assert "..." not in found and "" not in found


def test_bert_cuts_off_punctuation_and_hanja():
    assert bert_units("조선(朝鮮)은") == ["조선", "(", "朝", "鮮", ")", "은"]


def test_the_converted_encoder_gives_the_states_of_the_original(source):
    convert_encoder(str(source / "source"), source / "text.txt", str(source / "target"), 1, 1)
    old = AutoTokenizer.from_pretrained(source / "source")
    new = AutoTokenizer.from_pretrained(source / "target")
    text = "조선의 왕은"
    assert new.tokenize(text) == ["조선", "##의", "왕", "##은"]
    assert old.tokenize(text) == ["▁조선", "의", "▁왕", "은"]
    before = AutoModel.from_pretrained(source / "source", add_pooling_layer=False).eval()
    after = BertForPreTraining.from_pretrained(source / "target").bert.eval()
    with torch.no_grad():
        expected = before(**old(text, return_tensors="pt")).last_hidden_state
        batch = new(text, return_tensors="pt")
        assert torch.allclose(after(**batch).last_hidden_state, expected, atol=1e-6)
        batch["token_type_ids"] = torch.ones_like(batch["token_type_ids"])
        assert torch.allclose(after(**batch).last_hidden_state, expected, atol=1e-6)


def test_letters_the_original_rewrites_are_known_too(source):
    convert_encoder(str(source / "source"), source / "text.txt", str(source / "target"), 1, 1)
    tokenizer = AutoTokenizer.from_pretrained(source / "target")
    assert tokenizer.tokenize("왕ㅋㅋ…") == ["왕", "##ㅋㅋ", "…"]
    assert tokenizer.unk_token_id not in tokenizer("조선(朝鮮) ㅋ … 1은")["input_ids"]
    assert tokenizer.convert_tokens_to_ids(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]) == [0, 1, 2, 3, 4]


def test_the_head_starts_from_how_often_tokens_occur(source):
    convert_encoder(str(source / "source"), source / "text.txt", str(source / "target"), 1, 1)
    model = BertForPreTraining.from_pretrained(source / "target")
    tokenizer = AutoTokenizer.from_pretrained(source / "target")
    bias = model.cls.predictions.bias.detach().exp()
    assert float(bias.sum()) == pytest.approx(1, abs=1e-4)
    assert bias[tokenizer.convert_tokens_to_ids("조선")] > bias[tokenizer.convert_tokens_to_ids("朝")]
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight


def test_the_same_text_gives_the_same_model(source):
    for name in ("one", "two"):
        convert_encoder(str(source / "source"), source / "text.txt", str(source / name), 1, 1)
    files = [(source / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


def test_another_kind_of_model_is_refused_in_one_sentence(source, tmp_path):
    with pytest.raises(NlpbookError, match="XLM-R"):
        convert_encoder("nlpbook-mini", source / "text.txt", str(tmp_path / "no"), 1, 1)


def test_a_source_that_is_not_there_is_explained_in_one_sentence(source, tmp_path):
    with pytest.raises(NlpbookError, match="모델 폴더가 없습니다"):
        convert_encoder(str(tmp_path / "nowhere"), source / "text.txt", str(tmp_path / "no"), 1, 1)


def test_what_the_original_rewrote_is_written_back():
    assert written("\u110f\u110f\u1161") == "ㅋㅋㅏ"  # 첫소리와 가운뎃소리 자모
    assert "가" not in letter_forms().get("\u1100\u1161", []) and "，" in letter_forms()[","]
    found = other_forms({",", "▁1", "..."}, set("，①…가"))
    assert found == {"，": ",", "①": "▁1", "##①": "▁1", "…": "..."}
    assert other_forms({","}, set("가")) == {}  # 글에 없는 글자는 두지 않습니다.


def test_a_tokenizer_of_given_tokens_keeps_case_and_syllables():
    tokenizer = open_tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "A", "한글", "##은"], 32)
    assert tokenizer.tokenize("A 한글은") == ["A", "한글", "##은"] and tokenizer.model_max_length == 32


def test_the_untrained_head_gives_back_what_comes_in():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    model = BertForPreTraining(BertConfig(vocab_size=20, **sizes)).eval()
    start_head(model, np.arange(20))
    states = torch.nn.functional.layer_norm(torch.randn(5, 32), (32,))
    head = model.cls.predictions.transform
    assert torch.allclose(head(states), 0.2 * states, atol=2e-3)


def test_rare_long_pieces_are_left_out_and_single_letters_stay(source):
    (source / "rare.txt").write_text("왕은 은\n" * 3 + "조선의\n", encoding="utf-8")
    told = convert_encoder(str(source / "source"), source / "rare.txt", str(source / "target"), 3, 1)
    tokenizer = AutoTokenizer.from_pretrained(source / "target")
    known = set(tokenizer.get_vocab())
    assert "조선" not in known and {"의", "##의", "왕", "##은"} <= known
    assert told["tokens"] == len(tokenizer)


def test_the_hub_original_goes_the_same_way(source, tmp_path, monkeypatch):
    """허브의 원본에는 풀러가 있고 토크나이저의 클래스가 다릅니다. 허브 대신 같은 이름의 폴더를 둡니다."""
    monkeypatch.chdir(tmp_path)
    name = "intfloat/multilingual-e5-small"
    vocabulary = [
        (each, -1 - 0.1 * place) for place, each in enumerate(["<s>", "<pad>", "</s>", "<unk>", *PIECES])
    ]
    original = XLMRobertaTokenizer(vocab=[*vocabulary, ("<mask>", -9.0)])
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    before = BertModel(BertConfig(vocab_size=len(original), pad_token_id=1, **sizes)).eval()
    before.save_pretrained(name)
    original.save_pretrained(name)
    convert_encoder(name, source / "text.txt", tmp_path / "target", 1, 1)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "target")
    after = BertForPreTraining.from_pretrained(tmp_path / "target").bert.eval()
    with torch.no_grad():
        expected = before(**original("조선의 왕은", return_tensors="pt")).last_hidden_state
        found = after(**tokenizer("조선의 왕은", return_tensors="pt")).last_hidden_state
    assert torch.allclose(found, expected, atol=1e-6)
