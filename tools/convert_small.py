"""다국어 인코더의 조각들로 WordPiece 어휘를 만들어, 한국어 BERT 하나를 학습 없이 얻습니다. `tools/make_small.py convert`가 부릅니다.

원본은 XLM-R의 Unigram 토크나이저를 쓰는 BERT(`intfloat/multilingual-e5-small`이나 그 어휘를 줄인 폴더)입니다.
조각 `▁조선`은 낱말의 처음에 오는 `조선`이 되고, `기의`는 이어지는 `##기의`가 되며, 벡터는 그대로 옮깁니다.
"""

import shutil
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from nlpbook_nbs.core.models import read_pretrained
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.text import read_sentences, text_files
from nlpbook_nbs.pretrain import SPECIAL_TOKENS

START = "▁"  # 원본에서 낱말의 처음을 나타내는 글자
SPECIALS = {"[PAD]": "<pad>", "[UNK]": "<unk>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
HEAD_OFFSET, HEAD_SCALE = 6.0, 0.2  # MLM 머리의 시작값: GELU가 거의 곧은 곳, 점수의 크기


def letter_forms():
    """원본의 정규화(NFKC)가 바꾸어 버리는 글자의 사전: 바뀐 뒤의 글 -> 사람이 쓰는 글자들. `ᄏ`(첫소리) -> `ㅋ`처럼."""
    forms = {}
    for code in range(0x80, 0x10000):
        letter = chr(code)
        plain = unicodedata.normalize("NFKC", letter)
        if plain != letter and plain.strip() and not "\uac00" <= letter <= "\ud7a3":
            forms.setdefault(plain, []).append(letter)
    return forms


def written(piece):
    """원본의 조각을 사람이 쓰는 글자로. 첫소리 자모 `ᄏᄏ`는 `ㅋㅋ`가 됩니다."""
    return "".join(_JAMO.get(letter, letter) for letter in piece)


_JAMO = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0x3131, 0x318F)}


def bert_units(text):
    """BERT의 토크나이저가 WordPiece에 앞서 나누는 덩이의 목록. 문장 부호와 한자는 저마다 홀로 섭니다."""
    from tokenizers import normalizers, pre_tokenizers

    plain = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
    ).normalize_str(text)
    return [unit for unit, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(plain)]


def word_pieces(counts):
    """`counts`(원본의 조각 -> 글에 나온 횟수)의 조각들로 만든 WordPiece 사전: 새 토큰 -> 벡터를 가져올 조각.

    문장 부호와 한자는 `▁`이 없는 조각을, 한 글자는 낱말의 처음과 안에 모두 둡니다. 홀로 서는 글자가 섞인 긴 조각은 쓸 수 없어 버립니다.
    """
    found, spare = {}, {}
    for piece in sorted(counts, key=lambda piece: -counts[piece]):
        body = piece.removeprefix(START)
        letters = written(body)
        if not body or bert_units(letters) != [letters]:
            continue
        alone = len(bert_units("가" + letters)) == 2  # 앞말에 붙여 써도 떨어져 나오는 글자
        starts = body != piece
        if alone:
            (spare if starts else found)[letters] = piece
        else:
            found[letters if starts else "##" + letters] = piece
            if len(letters) == 1:
                spare["##" + letters if starts else letters] = piece
    return {**{token: piece for token, piece in spare.items() if token not in found}, **found}


def other_forms(tokens, letters):
    """글에 나온 글자 가운데 원본이 다른 글로 바꾸어 읽던 것: 새 토큰 -> 벡터를 가져올 조각. `，`는 `,`의, `…`는 `...`의 벡터를 씁니다."""
    found = {}
    for plain, forms in letter_forms().items():
        piece = next((each for each in (plain, START + plain) if each in tokens), None)
        for letter in forms:
            if piece and letter in letters and bert_units(letter) == [letter]:
                found[letter] = piece
                if len(bert_units("가" + letter)) == 1:
                    found["##" + letter] = piece
    return found


def count_pieces(tokenizer, where, every):
    """글(파일, 폴더, 패턴)의 줄 `every`개마다 하나에서 `(원본 조각의 횟수, 글자의 횟수)`를 셉니다."""
    pieces, letters = np.zeros(len(tokenizer), np.int64), Counter()
    for path in text_files(where):
        for number, chunk in enumerate(read_sentences(path)):
            lines = [line for line in chunk[number % every :: every] if line]
            letters.update("".join(lines))
            for found in tokenizer._tokenizer.encode_batch_fast(lines, add_special_tokens=False):
                np.add.at(pieces, found.ids, 1)
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    return {name: int(count) for name, count in zip(names, pieces) if count}, letters


def used_counts(tokenizer, where, every):
    """새 토크나이저의 토큰마다 글에 나온 횟수 `(어휘,)` int64."""
    counts, _ = count_pieces(tokenizer, where, every)
    return np.array(
        [counts.get(token, 0) for token in tokenizer.convert_ids_to_tokens(range(len(tokenizer)))]
    )


def open_tokenizer(tokens, positions):
    """토큰의 목록을 어휘로 삼는 `BertTokenizer`. 소문자로 바꾸지 않고 한글을 자모로 풀지 않습니다."""
    from transformers import BertTokenizer

    folder = Path(tempfile.mkdtemp(prefix="nlpbook-vocab-"))
    try:
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
        tokenizer = BertTokenizer.from_pretrained(str(folder), do_lower_case=False, strip_accents=False)
    finally:
        shutil.rmtree(folder)
    tokenizer.model_max_length = positions
    return tokenizer


def convert(source, where, target, min_count, every):
    """`source`의 인코더를 WordPiece 어휘의 `BertForPreTraining` 폴더 `target`으로 바꾸고 크기를 사전으로 돌려줍니다."""
    from transformers import AutoModel, AutoTokenizer

    old_tokenizer = read_pretrained(source, AutoTokenizer.from_pretrained)
    encoder = read_pretrained(source, lambda name: AutoModel.from_pretrained(name, dtype=torch.float32))
    if encoder.config.model_type != "bert" or SPECIALS["[MASK]"] not in old_tokenizer.get_vocab():
        raise NlpbookError(
            f"{source}: XLM-R의 토크나이저를 쓰는 BERT가 아닙니다. intfloat/multilingual-e5-small이나 그 어휘를 줄인 폴더를 적으세요."
        )
    counts, letters = count_pieces(old_tokenizer, where, every)
    kept = {piece: count for piece, count in counts.items() if count >= min_count or len(piece) < 3}
    kept = {piece: count for piece, count in kept.items() if piece not in SPECIALS.values()}
    pieces = word_pieces(kept)
    frequent = {letter for letter, count in letters.items() if count >= min_count}
    pieces = {**other_forms(old_tokenizer.get_vocab(), frequent), **pieces}
    first = open_tokenizer([*SPECIAL_TOKENS, *pieces], encoder.config.max_position_embeddings)
    used = dict(zip(first.convert_ids_to_tokens(range(len(first))), used_counts(first, where, every)))
    # 한 글자는 글에 없었어도 남깁니다. 처음 보는 낱말도 글자로는 적을 수 있어야 하기 때문입니다.
    pieces = {t: piece for t, piece in pieces.items() if used[t] or len(t.removeprefix("##")) == 1}
    tokens = [*SPECIAL_TOKENS, *sorted(pieces, key=lambda token: (-used[token], token))]
    tokenizer = open_tokenizer(tokens, encoder.config.max_position_embeddings)
    ids = old_tokenizer.convert_tokens_to_ids([SPECIALS.get(token) or pieces[token] for token in tokens])
    share = (np.array([used[token] for token in tokens]) + 0.5) / (sum(used.values()) + len(tokens) / 2)
    model = with_pieces(encoder, tokenizer, ids, share)
    model.save_pretrained(target)
    tokenizer.name_or_path = str(target)
    tokenizer.save_pretrained(target)
    (Path(target) / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return {"tokens": len(tokens), "parameters": sum(weight.numel() for weight in model.parameters())}


def with_pieces(encoder, tokenizer, ids, share):
    """`encoder`의 층을 그대로 두고 어휘만 `ids`번 벡터들로 바꾼 `BertForPreTraining`. `share (어휘,)`는 토큰의 비율입니다."""
    from transformers import BertConfig, BertForPreTraining

    config = encoder.config.to_dict() | {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "dtype": "float32",
        "architectures": ["BertForPreTraining"],
    }
    torch.manual_seed(0)  # 풀러와 NSP 머리는 원본에 없어 무작위입니다.
    model = BertForPreTraining(BertConfig.from_dict(config))
    weights = {
        name: tensor for name, tensor in encoder.state_dict().items() if not name.startswith("pooler.")
    }
    weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][ids]
    types = weights["embeddings.token_type_embeddings.weight"].clone()
    types[1:] = types[:1]  # 원본은 문장을 구분하지 않고 배웠습니다.
    weights["embeddings.token_type_embeddings.weight"] = types
    model.bert.load_state_dict(weights, strict=False)
    start_head(model, share)
    return model


@torch.no_grad()
def start_head(model, share, scale=HEAD_SCALE):
    """MLM 머리를 쓸 만한 값에서 시작합니다: 변환은 그대로 지나가고, 치우침(bias)은 토큰이 나오는 비율의 로그입니다.

    변환의 치우침을 크게 두면 GELU가 거의 곧은 곳에서 일하고, 더해진 상수는 바로 뒤의 LayerNorm이 평균을 빼며 없앱니다.
    """
    head = model.cls.predictions
    head.transform.dense.weight.copy_(torch.eye(model.config.hidden_size))
    head.transform.dense.bias.fill_(HEAD_OFFSET)
    head.transform.LayerNorm.weight.fill_(scale)
    head.transform.LayerNorm.bias.zero_()
    head.bias.copy_(torch.as_tensor(np.log(share), dtype=torch.float32))
    model.tie_weights()
