"""9장: 손으로 만든 어텐션, 인코더, 디코더가 라이브러리와 같고, 채점이 틀린 답을 가려냅니다."""

import pytest
import torch
from chapter_cells import run_cells
from torch import nn

from nlpbook_nbs.transformer import Block, MultiHead, Shape, Transformer, attention, from_bert, from_gpt2

X = torch.tensor([[1.0, 0, 1, 0], [0, 2, 0, 2], [1, 1, 1, 1]])
W_Q = torch.tensor([[1.0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 1]])
W_K = torch.tensor([[0.0, 0, 1], [1, 1, 0], [0, 1, 0], [1, 1, 0]])
W_V = torch.tensor([[0.0, 2, 0], [0, 3, 0], [1, 0, 3], [1, 1, 0]])


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)


def test_attention_has_the_numbers_worked_out_by_hand():
    assert (X @ W_Q @ (X @ W_K).T).tolist() == [[2, 4, 4], [4, 16, 12], [4, 12, 10]]
    mixed, weights = attention(X @ W_Q, X @ W_K, X @ W_V)
    expected = [[0.13613, 0.43194, 0.43194], [0.00089, 0.90884, 0.09027], [0.00744, 0.75471, 0.23785]]
    assert torch.allclose(weights, torch.tensor(expected), atol=1e-5)
    expected = [[1.8639, 6.3194, 1.7042], [1.9991, 7.8141, 0.2735], [1.9926, 7.4796, 0.7359]]
    assert torch.allclose(mixed, torch.tensor(expected), atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_equals_that_of_pytorch(causal):
    query, key, value = torch.randn(3, 2, 4, 9, 8)
    visible = torch.ones(9, 9, dtype=torch.bool).tril() if causal else None
    expected = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    mixed, weights = attention(query, key, value, visible)
    assert torch.allclose(mixed, expected, atol=1e-6)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 4, 9), atol=1e-6)


def test_hidden_places_get_nothing():
    visible = torch.tensor([True, True, False])
    _, weights = attention(X @ W_Q, X @ W_K, X @ W_V, visible)
    assert not weights[:, 2].any() and torch.allclose(weights.sum(-1), torch.ones(3))


def test_heads_equal_those_of_pytorch_and_cost_no_parameters():
    ours = MultiHead(Shape(10, 10, 32, 1, 4, 64))
    theirs = nn.MultiheadAttention(32, 4, batch_first=True)
    parts = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    states = torch.randn(2, 7, 32)
    mixed, weights = ours(states, torch.ones(7, 7, dtype=torch.bool))
    expected, maps = theirs(states, states, states, average_attn_weights=False)
    assert torch.allclose(mixed, expected, atol=1e-6) and torch.allclose(weights, maps, atol=1e-6)
    sizes = {sum(p.numel() for p in MultiHead(Shape(10, 10, 32, 1, n, 64)).parameters()) for n in (1, 4, 8)}
    assert len(sizes) == 1


@pytest.mark.parametrize("first", [False, True])
def test_block_equals_that_of_pytorch(first):
    shape = Shape(10, 10, 32, 1, 4, 64, decoder=first, epsilon=1e-5)
    ours = Block(shape)
    theirs = nn.TransformerEncoderLayer(
        32, 4, 64, dropout=0.0, activation=ours.activation, batch_first=True, norm_first=first
    )
    parts = (ours.attention.query, ours.attention.key, ours.attention.value)
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        for mine, other in (
            (ours.attention.out, theirs.self_attn.out_proj),
            (ours.up, theirs.linear1),
            (ours.down, theirs.linear2),
            (ours.attention_norm, theirs.norm1),
            (ours.feed_norm, theirs.norm2),
        ):
            other.load_state_dict(mine.state_dict())
    states = torch.randn(2, 7, 32)
    assert torch.allclose(ours(states, torch.ones(7, 7, dtype=torch.bool))[0], theirs(states), atol=1e-5)


EAGER = {"attn_implementation": "eager"}  # 어텐션의 비율을 돌려주는 것은 이것뿐입니다.


def tiny_bert(**options):
    from transformers import BertConfig, BertModel

    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = BertConfig(vocab_size=60, max_position_embeddings=24, **shape, **options, **EAGER)
    return BertModel(config).eval()


def tiny_gpt(**options):
    from transformers import GPT2Config, GPT2Model

    ends = {"bos_token_id": 0, "eos_token_id": 1}
    config = GPT2Config(
        vocab_size=60, n_positions=24, n_embd=32, n_layer=2, n_head=4, **ends, **options, **EAGER
    )
    return GPT2Model(config).eval()


@torch.no_grad()
def apart(library, ours, **batch):
    """층마다의 벡터와 비율에서 가장 큰 차이. 채운 자리는 뺍니다."""
    expected = library(**batch, output_hidden_states=True, output_attentions=True)
    states, maps = ours(**batch)
    real = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).bool()
    assert len(states) == len(expected.hidden_states) and len(maps) == len(expected.attentions)
    return max(
        *((mine - other)[real].abs().max().item() for mine, other in zip(states, expected.hidden_states)),
        *(
            (mine - other).transpose(1, 2)[real].abs().max().item()
            for mine, other in zip(maps, expected.attentions)
        ),
    )


def padded_batch(vocab=60, types=2):
    mask = torch.tensor([[1] * 12, [1] * 7 + [0] * 5, [1] + [0] * 11])
    return {
        "input_ids": torch.randint(vocab, (3, 12)) * mask,
        "attention_mask": mask,
        "token_type_ids": torch.randint(types, (3, 12)),
    }


@pytest.mark.parametrize("options", [{}, {"layer_norm_eps": 1e-3}, {"type_vocab_size": 3}], ids=repr)
def test_encoder_equals_bert(options):
    library = tiny_bert(**options)
    for each in library.parameters():  # 편향과 층 정규화까지 시험하도록 모두 무작위로
        nn.init.normal_(each, std=0.2)
    ours, batch = from_bert(library), padded_batch()
    assert apart(library, ours, **batch) < 1e-5
    del batch["token_type_ids"], batch["attention_mask"]
    assert apart(library, ours, **batch) < 1e-5


@pytest.mark.parametrize("name", ["nlpbook-mini", "nlpbook-small"])
def test_encoder_equals_the_berts_of_the_package(name):
    from transformers import BertModel

    from nlpbook_nbs.core.folders import resolve_model_name
    from nlpbook_nbs.core.models import quiet_library

    with quiet_library():
        library = BertModel.from_pretrained(resolve_model_name(name), attn_implementation="eager").eval()
    assert apart(library, from_bert(library), **padded_batch(vocab=library.config.vocab_size)) < 1e-5


@pytest.mark.parametrize("options", [{}, {"n_inner": 40}, {"layer_norm_epsilon": 1e-3}], ids=repr)
def test_decoder_equals_gpt2(options):
    library = tiny_gpt(**options)
    for each in library.parameters():
        nn.init.normal_(each, std=0.2)
    assert apart(library, from_gpt2(library), input_ids=torch.randint(60, (3, 20))) < 1e-4


def test_decoder_never_looks_ahead():
    ours = from_gpt2(tiny_gpt())
    ids = torch.randint(1, 60, (2, 16))
    changed = ids.clone()
    changed[:, 9:] = 60 - changed[:, 9:]
    before, after = (ours(each)[0][-1] for each in (ids, changed))
    assert torch.allclose(before[:, :9], after[:, :9], atol=1e-6)
    assert not torch.allclose(before[:, 9:], after[:, 9:], atol=1e-3)


def test_without_positions_the_order_of_tokens_is_lost():
    block, states = Block(Shape(10, 10, 32, 1, 4, 64)), torch.randn(1, 6, 32)
    everything, shuffle = torch.ones(6, 6, dtype=torch.bool), torch.tensor([3, 0, 5, 1, 4, 2])
    before, after = block(states, everything)[0], block(states[:, shuffle], everything)[0]
    assert torch.allclose(before[:, shuffle], after, atol=1e-5)
    ours = Transformer(Shape(10, 10, 32, 1, 4, 64)).eval()
    ids = torch.arange(6)[None]
    assert not torch.allclose(ours(ids)[0][-1][:, shuffle], ours(ids[:, shuffle])[0][-1], atol=1e-3)


def test_wrong_weights_are_refused():
    library = tiny_bert()
    library.config.num_hidden_layers = 1
    assert len(from_bert(library).blocks) == 1
    library.config.intermediate_size = 50
    with pytest.raises(RuntimeError, match="size mismatch"):
        from_bert(library)


# 보여 주기만 하는 셀


def test_rotation_depends_on_the_distance_alone_and_equals_the_library():
    from transformers.models.llama.modeling_llama import rotate_half

    rotate = run_cells("09", "def rotate(", torch=torch)["rotate"]
    states = torch.randn(2, 12, 16)
    angles = torch.arange(12)[:, None] * 10000.0 ** (-torch.arange(8) / 8)
    angles = torch.cat([angles, angles], dim=-1)
    expected = states * angles.cos() + rotate_half(states) * angles.sin()
    assert torch.allclose(rotate(states), expected, atol=1e-5)


@pytest.mark.parametrize(("decoder", "length"), [(False, 9), (True, 20)])
def test_formula_of_operations_equals_what_pytorch_counts(decoder, length):
    names = run_cells_of_counting()
    ours = Transformer(Shape(30, 24, 32, 3, 4, 80, decoder=decoder))
    assert sum(names["formula"](ours.shape, length)) == names["counted"](ours, length)


def run_cells_of_counting():
    return run_cells("09", "def formula(", torch=torch, berts={})
