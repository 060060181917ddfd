"""12장의 채점: 맞는 답은 꼴이 달라도 받아들이고, 틀린 답에는 어디가 틀렸는지 알려 줍니다."""

import math
from collections import OrderedDict
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from checking import accept, leave_blank, refuse, reject_submission
from conftest import SMALL_BERT

from nlpbook_nbs.core.scoreboard import contest_of

TITLES = {"entailment": "참", "contradiction": "거짓", "neutral": "중립"}


def test_blanks_of_the_chapter_wait_for_an_answer():
    leave_blank(12)


def pair(data="{} {:.2f}", width="{:.2%}", choose=max, kind=dict):
    """문장 쌍의 답을 만드는 함수."""

    def answer(premise, hypothesis, shares):
        best = choose(shares, key=shares.get)
        found = {"premise": premise, "hypothesis": hypothesis, "prediction": f"{TITLES[best]} ({best})"}
        for name, share in shares.items():
            found |= {f"{name}_data": data.format(TITLES[name], share), f"{name}_width": width.format(share)}
        return kind(found)

    return answer


def half_up(premise, hypothesis, shares):
    found = pair()(premise, hypothesis, shares)
    for name, share in shares.items():
        exact = Decimal(repr(share)).quantize(Decimal("0.01"), ROUND_HALF_UP)
        found[f"{name}_data"] = f"{TITLES[name]} {exact}"
    return dict(reversed(found.items()))


def test_promised_json_is_accepted_however_it_is_built():
    for answer in (pair(), pair(kind=OrderedDict), half_up):
        accept(12, 1, answer)


def test_json_that_breaks_the_promise_is_refused():
    for answer in (
        lambda *given: [],
        pair(data="{} {:.3f}"),
        pair(data="{}: {:.2f}"),
        pair(width="{:.1%}"),
        pair(choose=min),
        lambda premise, hypothesis, shares: pair()(hypothesis, premise, shares),
        lambda *given: pair()(*given) | {"more": 1},
        lambda *given: {"prediction": "참 (entailment)"},
        lambda premise, hypothesis, shares: pair()(premise, hypothesis, dict(zip(TITLES, shares.values()))),
    ):
        refuse(12, 1, answer)


def sizes(arrivals, most, wait, late=lambda moment, first, wait: moment > first + wait):
    """첫 요청부터 세는 묶음의 크기."""
    found, first = [], None
    for moment in arrivals:
        if first is None or late(moment, first, wait) or found[-1] == most:
            found.append(0)
            first = moment
        found[-1] += 1
    return found


def test_batches_are_accepted_as_any_list():
    for kind in (list, tuple, np.array, iter):
        accept(12, 2, lambda *given, kind=kind: kind(sizes(*given)))
    accept(12, 2, lambda *given: [float(size) for size in sizes(*given)])


def test_wrong_batches_are_refused():
    def from_the_last(arrivals, most, wait):
        starts = [at for at in range(len(arrivals)) if not at or arrivals[at] - arrivals[at - 1] > wait]
        return np.diff([*starts, len(arrivals)]).tolist()

    for answer in (
        from_the_last,
        lambda arrivals, most, wait: [1] * len(arrivals),
        lambda arrivals, most, wait: sizes(arrivals, 99, wait),
        lambda arrivals, most, wait: sizes(
            arrivals, most, wait, lambda moment, first, w: moment >= first + w
        ),
        lambda arrivals, most, wait: [len(arrivals)],
        lambda arrivals, most, wait: str(sizes(arrivals, most, wait)),
    ):
        refuse(12, 2, answer)


def test_percentile_is_accepted_however_it_is_found():
    for answer in (
        lambda waits, share: sorted(waits)[math.ceil(share * len(waits)) - 1],
        lambda waits, share: sorted(waits)[max(1, math.ceil(round(share * len(waits), 9))) - 1],
        lambda waits, share: np.percentile(waits, 100 * share, method="inverted_cdf"),
        lambda waits, share: min(
            w for w in waits if sum(each <= w for each in waits) >= share * len(waits) - 1e-9
        ),
    ):
        accept(12, 3, answer)


def test_other_values_are_refused():
    for answer in (
        lambda waits, share: waits[math.ceil(share * len(waits)) - 1],
        lambda waits, share: sorted(waits)[int(share * len(waits)) - 1],
        lambda waits, share: sorted(waits)[min(len(waits) - 1, int(share * len(waits)))],
        lambda waits, share: np.percentile(waits, 100 * share),
        lambda waits, share: sum(waits) / len(waits),
        lambda waits, share: max(waits),
    ):
        refuse(12, 3, answer)


@pytest.mark.parametrize("name", ["answers", "heavy"])
def test_small_model_is_opened_and_scored_and_a_large_one_is_sent_back(name, tmp_path, mini_tokenizer):
    from transformers import BertConfig, BertForSequenceClassification

    names = {0: "부정", 1: "긍정"}
    config = BertConfig(
        vocab_size=len(mini_tokenizer), id2label=names, label2id={text: n for n, text in names.items()},
        **(SMALL_BERT | {"num_hidden_layers": 1}),
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    mini_tokenizer.save_pretrained(tmp_path)
    if name == "answers":
        assert 0.4 < contest_of(12).score(str(tmp_path)) < 0.6
        return
    (tmp_path / "more.bin").write_bytes(b"0" * 9_000_000)
    assert "8MB 이하로" in reject_submission(12, str(tmp_path))
    assert "폴더의 이름" in reject_submission(12, 3)
    line, score = contest_of(12).baseline()
    assert "1,500건" in line and 0.7 < score < 0.9
