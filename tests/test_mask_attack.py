"""모델에게 묻고, 카나리아를 심고, 막는 도구들. 노출도와 AUC는 곧이곧대로 짠 계산과 같아야 합니다."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL_BERT, write

from nlpbook_nbs.cli import main
from nlpbook_nbs.core import defences, experiment
from nlpbook_nbs.core.canaries import (
    KINDS,
    Canary,
    canary_report,
    chance_interval,
    check_canaries,
    exposure,
    make_canaries,
    mean_with_interval,
    membership_scores,
    plant,
    roc,
    secret_space,
    share_with_interval,
    summarize,
    with_other_names,
)
from nlpbook_nbs.core.corpora import sample_root
from nlpbook_nbs.core.defences import (
    SECRET_RULES,
    count_missed,
    deduplicate,
    example_losses,
    private_pretraining,
    scrub,
)
from nlpbook_nbs.core.experiment import CanaryExperiment, canary_experiment, train_epochs
from nlpbook_nbs.core.exposure import canary_table, loss_gains, merge_records, together
from nlpbook_nbs.core.planting import FORMAT, RUNS, CanaryArguments
from nlpbook_nbs.core.probe import (
    MaskProbe,
    fill,
    graft_head,
    load_probe,
    pseudo_log_likelihood,
    score_candidates,
)
from nlpbook_nbs.core.settings import NlpbookError
from nlpbook_nbs.core.shadows import balanced_halves, likelihood_ratios, spread_scores
from nlpbook_nbs.core.text import read_documents

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import measure_attack

TEXTS = ["이 영화 정말 재미있어요.", "배우들 연기가 좋았다", "돈이 아깝다..."]


@pytest.fixture(scope="module")
def mini():
    return load_probe("nlpbook-mini")


@pytest.fixture(scope="module")
def small(mini):
    """몇 초 만에 학습할 수 있는, 무작위 가중치의 모델."""
    from transformers import BertConfig, BertForPreTraining

    torch.manual_seed(7)
    config = BertConfig(vocab_size=len(mini.tokenizer), **SMALL_BERT)
    return BertForPreTraining(config)


@pytest.fixture
def small_folder(tmp_path, small, mini):
    small.save_pretrained(tmp_path / "small")
    mini.tokenizer.save_pretrained(tmp_path / "small")
    return str(tmp_path / "small")


# 곧이곧대로 짠 계산: 글 하나, 자리 하나마다 모델을 한 번씩 부릅니다.


@torch.no_grad()
def naive_token_log_prob(probe, ids, place):
    hidden = list(ids)
    hidden[place] = probe.tokenizer.mask_token_id
    logits = probe.model(input_ids=torch.tensor([hidden])).logits[0, place].double()
    return float(logits[ids[place]] - torch.logsumexp(logits, dim=0))


def naive_pll(probe, text):
    ids = probe.tokenizer(text)["input_ids"]
    return sum(naive_token_log_prob(probe, ids, place) for place in range(1, len(ids) - 1))


def naive_candidate_score(probe, question, candidate):
    ids = probe.tokenizer(question)["input_ids"]
    places = [place for place, token in enumerate(ids) if token == probe.tokenizer.mask_token_id]
    for place, token in zip(places, probe.tokenizer(candidate, add_special_tokens=False)["input_ids"]):
        ids[place] = token
    return sum(naive_token_log_prob(probe, ids, place) for place in places)


def naive_exposure(scores, place):
    ahead = sum(1 for score in scores if score > scores[place])
    same = sum(1 for score in scores if score == scores[place])
    return math.log2(len(scores)) - math.log2(ahead + (same + 1) / 2)


def naive_auc(members, others):
    points = [1.0 if m > o else 0.5 if m == o else 0.0 for m in members for o in others]
    return sum(points) / len(points)


def naive_tpr(members, others, most_false):
    best = 0.0
    for bar in [*members, *others, math.inf]:
        if sum(other >= bar for other in others) / len(others) <= most_false:
            best = max(best, sum(member >= bar for member in members) / len(members))
    return best


def test_pseudo_log_likelihood_equals_one_model_call_a_token(mini):
    found = pseudo_log_likelihood(mini, TEXTS)
    for text, (total, count) in zip(TEXTS, found):
        assert total == pytest.approx(naive_pll(mini, text), abs=1e-3)
        assert count == len(mini.tokenizer.tokenize(text))


def test_candidate_scores_equal_one_model_call_a_candidate_and_slot(mini):
    rng = np.random.default_rng(0)
    codes = [" ".join(f"{number:03d}") for number in rng.permutation(1000)[:40]]
    question = "비밀번호는 [MASK] [MASK] [MASK] 입니다."
    found = score_candidates(mini, question, codes)
    naive = [naive_candidate_score(mini, question, code) for code in codes]
    assert found == pytest.approx(naive, abs=1e-3)
    assert [exposure(found, place) for place in range(40)] == pytest.approx(
        [naive_exposure(naive, place) for place in range(40)]
    )


def test_exposure_equals_its_definition_with_ties_sharing_the_middle_rank():
    rng = np.random.default_rng(1)
    for size in (1, 2, 7, 500):
        scores = rng.integers(0, size, size)
        for place in range(min(size, 20)):
            assert exposure(scores, place) == pytest.approx(naive_exposure(list(scores), place))
    assert exposure([3.0, 2.0, 1.0, 0.0], 0) == 2 and exposure([3.0, 2.0, 1.0, 0.0], 3) == 0


def test_auc_and_tpr_equal_counting_every_pair():
    rng = np.random.default_rng(2)
    for size in (1, 5, 60, 300):
        members, others = rng.normal(0.5, 1, size).round(1), rng.normal(0, 1, size + 7).round(1)
        found = roc(members, others)
        assert found["auc"] == pytest.approx(naive_auc(members, others), abs=1e-5)
        assert found["tpr_at_1"] == pytest.approx(naive_tpr(members, others, 0.01), abs=1e-5)


def test_scores_outside_zero_and_one_and_very_close_ones_keep_their_order():
    members, others = np.array([-1000.0, -1000.0 + 1e-9]), np.array([-1000.0 - 1e-9, -2000.0])
    assert roc(members, others)["auc"] == 1.0


def test_membership_scores_are_per_token_and_relative_to_a_reference(mini, small_folder):
    other = load_probe(small_folder)
    found = membership_scores(mini, TEXTS, other)
    counts = [len(mini.tokenizer.tokenize(text)) for text in TEXTS]
    naive = [(naive_pll(mini, t) - naive_pll(other, t)) / n for t, n in zip(TEXTS, counts)]
    assert found == pytest.approx(naive, abs=1e-3)


def test_chance_interval_holds_the_share_of_random_ranks_it_promises():
    rng = np.random.default_rng(3)
    means = (math.log2(10_000) - np.log2(rng.integers(1, 10_001, (4000, 16)))).mean(axis=1)
    low, high = chance_interval(16)
    assert 0.93 < ((low < means) & (means < high)).mean() < 0.97


def test_never_planted_secrets_show_no_exposure(mini):
    """심은 적 없는 비밀의 순위는 고르게 흩어져야 합니다. 그러지 않으면 재는 방법이 치우친 것입니다."""
    from scipy.stats import kstest

    controls = make_canaries(mini.tokenizer, repeats=(), controls=24, kinds=("city", "employer"))
    rows = canary_report(mini, controls)
    low, high = chance_interval(len(rows), level=0.999)
    assert low < np.mean([row["exposure"] for row in rows]) < high
    assert kstest([row["rank"] / 2 ** row["most"] for row in rows], "uniform").pvalue > 0.001


def test_a_secret_known_to_the_model_shows_full_exposure_and_is_extracted(mini):
    """비밀을 아는 모델을 흉내 내, 재는 도구가 정말로 유출을 알아보는지 봅니다."""
    canary = make_canaries(mini.tokenizer, repeats=(1,), per_level=1, controls=0, kinds=("city",))[0]
    known = mini.tokenizer(canary.secret, add_special_tokens=False)["input_ids"]

    class Knows(MaskProbe):
        def ask(self, rows, places, use):
            log_probs = np.full((len(rows), len(self.tokenizer)), -20.0)
            for line, row, place in zip(log_probs, rows, places):
                slot = [i for i, token in enumerate(canary_ids) if token == self.tokenizer.mask_token_id]
                line[known[slot.index(place)]] = -0.01
            use(np.arange(len(rows)), log_probs)

    canary_ids = mini.tokenizer(canary.question(mini.tokenizer))["input_ids"]
    (row,) = canary_report(Knows(mini.model, mini.tokenizer), [canary])
    assert row["exposure"] == row["most"] and row["rank"] == 1 and row["extracted"]


def test_filling_methods_agree_with_asking_step_by_step(mini):
    text = "이 영화는 [MASK] [MASK]."
    ids, places = mini.encode(text)
    for place in places:
        with torch.no_grad():
            ids[place] = mini.model(input_ids=torch.from_numpy(ids)[None]).logits[0, place].argmax()
    (left,) = fill(mini, text, "left_to_right")
    assert left.tokens == mini.tokenizer.convert_ids_to_tokens(ids[places].tolist())
    beams = fill(mini, text, "beam", beam_size=8)
    assert len(beams) == 8 and beams[0].score >= left.score - 1e-4
    assert [b.score for b in beams] == sorted((b.score for b in beams), reverse=True)
    (sure,) = fill(mini, text, "confident")
    first = max(mini.candidates(text, 1), key=lambda slot: slot[0][1])[0][0]
    assert first in sure.tokens


def test_answers_do_not_depend_on_the_batch(mini):
    words = ["재미", "감동", "연기", "음악"]
    narrow = MaskProbe(mini.model, mini.tokenizer, batch_size=1)
    text = "이 영화는 [MASK] 좋다."
    assert score_candidates(narrow, text, words) == pytest.approx(
        score_candidates(mini, text, words), abs=1e-4
    )
    assert pseudo_log_likelihood(narrow, TEXTS) == pytest.approx(pseudo_log_likelihood(mini, TEXTS), abs=1e-3)


def test_planting_adds_exactly_the_sentences_asked_for_and_nothing_else(mini):
    documents = [["가", "나"], ["다"]]
    canaries = make_canaries(mini.tokenizer, repeats=(1, 8), per_level=2, controls=3)
    planted = [sentence for document in plant(documents, canaries) for sentence in document]
    for canary in canaries:
        assert planted.count(canary.sentence) == canary.repeats
    assert [s for s in planted if s in {"가", "나", "다"}] == ["가", "나", "다"]
    assert documents == [["가", "나"], ["다"]]
    assert len({canary.name for canary in canaries}) == len(canaries)


def test_strangers_never_had_a_secret_planted(mini):
    canaries = make_canaries(mini.tokenizer, repeats=(1, 8), per_level=3, controls=2)
    asked, planted = with_other_names(canaries), [canary for canary in canaries if canary.repeats]
    assert [(c.kind, c.secret, c.repeats) for c in asked] == [(c.kind, c.secret, c.repeats) for c in planted]
    assert {c.name for c in asked} == {c.name for c in canaries if not c.repeats}


def test_invented_secrets_are_impossible_ones(mini):
    for canary in make_canaries(mini.tokenizer, repeats=(1,), per_level=20):
        assert "주민" not in canary.sentence
        if canary.kind == "phone":
            assert f"010-0000-{canary.secret}" in canary.sentence
    for kind in KINDS:
        space = secret_space(kind, mini.tokenizer)
        assert len({len(mini.tokenizer.tokenize(word)) for word in space}) == 1 and len(space) > 1000


def test_library_masks_the_phone_and_rules_the_rest_and_misses_are_counted(mini):
    canaries = [
        Canary("phone", "가솔하", "1234", 3),
        Canary("code", "나달해", "7309", 2),
        Canary("city", "다빛참", "솔별", 1),
        Canary("employer", "라늘온", "달해", 1),
    ]
    planted = plant([["재미있어요.", "연기가 좋아요."]], canaries)
    missed = count_missed(planted, canaries)
    assert {kind: line["both_left"] for kind, line in missed.items()} == {
        "phone": 3,
        "code": 2,
        "city": 1,
        "employer": 1,
    }
    by_library = count_missed(scrub(planted), canaries)
    assert by_library["phone"]["secret_left"] == 0 and by_library["code"]["secret_left"] == 2
    with_rules = scrub(planted, SECRET_RULES)
    assert not any(line["secret_left"] for line in count_missed(with_rules, canaries).values())
    assert sum(len(document) for document in with_rules) == 9
    assert "재미있어요." in with_rules[0]


def test_deduplication_keeps_the_first_of_each_sentence():
    assert deduplicate([["가 나.", "가나!", "다"], ["가 나."], ["ㅋㅋ", "!!", "??"]]) == [
        ["가 나.", "다"],
        ["ㅋㅋ", "!!", "??"],
    ]


def test_bootstrap_interval_covers_the_mean_and_narrows_with_more_values():
    rng = np.random.default_rng(4)
    wide, narrow = (mean_with_interval(rng.normal(5, 1, size))[1] for size in (10, 1000))
    assert narrow[1] - narrow[0] < (wide[1] - wide[0]) / 4 and narrow[0] < 5.1 and narrow[1] > 4.9
    assert mean_with_interval([2.0]) == (2.0, (2.0, 2.0))
    rows = [{"repeats": n % 2, "exposure": n, "extracted": n == 3, "rank": 4 - n} for n in range(4)]
    assert [
        (line["repeats"], line["exposure"], line["extracted"], line["first"]) for line in summarize(rows)
    ] == [(0, 1.0, 0.0, 0.0), (1, 2.0, 0.5, 0.5)]


def test_share_of_none_and_of_all_keep_an_interval_and_it_covers_as_often_as_promised():
    """여덟 개 가운데 하나도 없으면 다시 뽑기의 구간은 폭이 0이 됩니다."""
    share, (low, high) = share_with_interval(0, 8)
    assert share == low == 0 and high == pytest.approx(1 - 0.025 ** (1 / 8))
    assert share_with_interval(8, 8)[1] == (pytest.approx(0.025 ** (1 / 8)), 1.0)
    drawn = np.random.default_rng(5).binomial(12, 0.29, 300)
    covered = [low <= 0.29 <= high for low, high in (share_with_interval(int(k), 12)[1] for k in drawn)]
    assert np.mean(covered) >= 0.94
    rows = [{"repeats": 4, "exposure": 1.0, "extracted": False, "rank": 9}] * 3
    assert summarize(rows)[0]["first_interval"][1] > 0.5


def test_every_text_is_read_by_exactly_half_of_the_shadow_models():
    inside = balanced_halves(50, 6, seed=3)
    assert inside.shape == (6, 50) and (inside.sum(axis=0) == 3).all()
    assert len(np.unique(inside, axis=1).T) > 10 and not np.array_equal(
        inside, balanced_halves(50, 6, seed=4)
    )
    with pytest.raises(NlpbookError, match="짝수"):
        balanced_halves(50, 5)


def test_spread_scores_hide_every_token_once_and_equal_one_model_call_a_part(mini):
    found = spread_scores(mini, TEXTS, parts=3)
    special = mini.tokenizer.all_special_ids
    for text, score in zip(TEXTS, found):
        ids = mini.tokenizer(text)["input_ids"]
        places, total = [i for i, token in enumerate(ids) if token not in special], 0.0
        for part in range(3):
            hidden, chosen = list(ids), places[part::3]
            for place in chosen:
                hidden[place] = mini.tokenizer.mask_token_id
            with torch.no_grad():
                log_probs = mini.model(input_ids=torch.tensor([hidden])).logits[0].log_softmax(-1)
            total += sum(float(log_probs[place, ids[place]]) for place in chosen)
        assert score == pytest.approx(total / len(places), abs=1e-4)


def test_likelihood_ratio_finds_what_is_read_where_plain_scores_cannot_and_looks_at_no_target_label():
    inside, rng = balanced_halves(400, 8, seed=1), np.random.default_rng(1)
    scores = rng.normal(-4, 2, 400) + 0.5 * inside + rng.normal(0, 0.3, inside.shape)
    read = inside[0]
    ratio = likelihood_ratios(scores, inside, target=0)
    assert roc(ratio[read], ratio[~read])["auc"] > 0.8
    assert roc(scores[0][read], scores[0][~read])["auc"] < 0.65
    blind = np.concatenate([~inside[:1], inside[1:]])
    assert np.array_equal(ratio, likelihood_ratios(scores, blind, target=0))
    with pytest.raises(NlpbookError, match="그림자 모델"):
        likelihood_ratios(scores[:2], inside[:2], target=0)


def test_records_of_several_seeds_become_one_record():
    row = {"repeats": 4, "exposure": 3.0, "extracted": False, "rank": 9}
    curve = {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0], "auc": 0.5, "tpr_at_1": 0.0}

    def record(seed, loss, **runs):
        run = {"title": "심음", "canaries": [row], "mlm_loss": loss, "membership": {"relative": curve}}
        epochs = [{"epoch": 1, "mlm_loss": loss, "canaries": [row]}]
        base = {"settings": {"seed": seed}, "seconds": 2.0, "members": 5}
        return base | {"runs": {"planted": run | {"epochs": epochs}} | runs}

    extra = {"title": "한 번만", "canaries": [row], "mlm_loss": 1.0, "membership": {"relative": curve}}
    merged = merge_records([record(7, 4.0), record(8, 5.0, dp=extra)])
    planted = merged["runs"]["planted"]
    assert merged["seeds"] == planted["seeds"] == [7, 8] and merged["seconds"] == 4.0
    assert (
        planted["mlm_loss"] == 4.5 and planted["mlm_losses"] == [4.0, 5.0] and len(planted["canaries"]) == 2
    )
    assert planted["epochs"][0]["mlm_loss"] == 4.5 and len(planted["epochs"][0]["canaries"]) == 2
    assert merged["runs"]["dp"]["seeds"] == [8]
    assert planted["membership"]["relative"]["aucs"] == [0.5, 0.5]
    assert canary_table(merged)[0]["auc"] == 0.5


def test_what_is_gained_is_compared_within_the_same_seed():
    runs = {
        "start": {"mlm_loss": 5.5, "mlm_losses": [5.0, 6.0], "seeds": [7, 8]},
        "planted": {"mlm_loss": 5.2, "mlm_losses": [4.8, 5.6], "seeds": [7, 8]},
        "dp": {"mlm_loss": 5.9, "mlm_losses": [5.9], "seeds": [8]},
        "strangers": {"canaries": []},
    }
    found = loss_gains(runs)
    assert found["dp"] == [pytest.approx(0.1)] and found["planted"] == pytest.approx([0.2, 0.4])
    assert set(found) == {"start", "planted", "dp"} and not loss_gains({"planted": runs["planted"]})
    assert loss_gains({"start": {"mlm_loss": 5.0}, "dp": {"mlm_loss": 4.0}})["dp"] == [1.0]


def test_recorded_experiments_say_how_they_were_made_and_name_no_folder():
    for name in ("results", "lira"):
        text = Path(sample_root(), "attack", f"{name}.json").read_text(encoding="utf-8")
        record = json.loads(text)
        assert record["model"] == "nlpbook-mini" and record["seconds"] > 0 and record["date"]
        assert "/" not in text.replace("nlpbook-mini", "")
    inside = np.array([list(map(int, row)) for row in record["inside"]])
    scores = np.array(record["scores"])
    assert scores.shape == inside.shape == (len(inside), len(record["start"]))
    read = inside.sum(axis=0)
    assert read.min() >= 2 and (len(inside) - read).min() >= 2  # 표적을 빼도 양쪽에 하나씩은 남습니다.


def test_classifier_is_asked_through_the_head_of_its_pretrained_model(tmp_path, mini, small_folder):
    from transformers import AutoModelForSequenceClassification

    classifier = AutoModelForSequenceClassification.from_pretrained(small_folder)
    with torch.no_grad():
        classifier.bert.embeddings.word_embeddings.weight.normal_()
    classifier.save_pretrained(tmp_path / "classifier")
    mini.tokenizer.save_pretrained(tmp_path / "classifier")
    grafted, plain = graft_head(tmp_path / "classifier", small_folder), load_probe(small_folder)
    assert torch.equal(
        grafted.model.bert.encoder.layer[0].output.dense.weight,
        classifier.bert.encoder.layer[0].output.dense.weight,
    )
    text = "이 영화 [MASK]"
    assert torch.equal(
        grafted.model.cls.predictions.transform.dense.weight,
        plain.model.cls.predictions.transform.dense.weight,
    )
    assert grafted.candidates(text, 3) != plain.candidates(text, 3)
    with pytest.raises(NlpbookError, match="몸통의 모양이"):
        graft_head(tmp_path / "classifier", "nlpbook-mini")


@pytest.fixture
def quick_arguments(tmp_path, small_folder):
    def make(**changes):
        values = {
            "train_file": str(sample_root() + "/text/reviews.txt"),
            "pretrained_model_name": small_folder,
            "downstream_corpus_root_dir": sample_root(),
            "downstream_model_dir": str(tmp_path / "canary"),
            "kinds": "city",
            "repeats": "2,8",
            "controls": 2,
            "per_level": 1,
            "sentences": 120,
            "validation_every": 4,
            "epochs": 2,
            "max_seq_length": 32,
            "membership_sentences": 10,
            "task_examples": 40,
            "task_epochs": 1,
            "private_batch_size": 16,
            "accelerator": "cpu",
            "runs": "start,planted,strangers,layers-1,scrub,dedup,early,sgd,dp,classified,planted-classified",
        }
        return CanaryArguments(**(values | changes))

    return make


def test_whole_experiment_runs_leaves_its_record_and_its_plots_and_does_not_repeat_what_is_done(
    tmp_path, quick_arguments, monkeypatch
):
    args = quick_arguments()
    result = canary_experiment(args)
    folder = tmp_path / "canary"
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert record["format"] == FORMAT
    assert list(record["runs"]) == args.runs.split(",") == [line["run"] for line in result["table"]]
    assert str(tmp_path) not in json.dumps(record, ensure_ascii=False)
    planted = record["runs"]["planted"]
    assert [line["epoch"] for line in planted["epochs"]] == [1, 2]
    best = min(planted["epochs"], key=lambda line: line["mlm_loss"])
    assert record["runs"]["early"]["epoch"] == best["epoch"]
    assert 0 < record["runs"]["dp"]["epsilon"] <= 8.0 and record["runs"]["dp"]["noise_multiplier"] > 0
    assert record["runs"]["sgd"]["epsilon"] is None and record["runs"]["sgd"]["noise_multiplier"] == 0
    assert record["runs"]["dp"]["title"] == "DP-SGD (ε=8)"
    assert record["runs"]["start"]["membership"]["relative"]["auc"] == 0.5
    assert {path.stem for path in folder.glob("*.png")} >= {
        "repeats",
        "epochs",
        "size",
        "defences",
        "epsilon",
        "tradeoff",
        "roc",
    }
    for line in canary_table(record):
        low, high = line["exposure_interval"]
        assert low <= line["exposure"] <= high
        assert ("classified" in line["run"]) == (line["accuracy"] is not None)

    def never(*_):
        raise AssertionError("끝난 실험을 다시 했습니다")

    monkeypatch.setattr(experiment, "train_epochs", never)
    monkeypatch.setattr(experiment, "measure", never)
    again = canary_experiment(quick_arguments(resume=True))
    assert again["table"] == result["table"]
    with pytest.raises(AssertionError, match="다시"):
        canary_experiment(quick_arguments(resume=True, repeats="2,9"))


def test_private_training_changes_only_the_layers_and_the_noise_follows_epsilon(
    tmp_path, quick_arguments, small
):
    from transformers import BertForPreTraining

    whole = CanaryExperiment(quick_arguments())
    noise = {}
    for epsilon in (1.0, 8.0):
        folder = tmp_path / f"dp-{epsilon}"
        args = whole.pretrain_arguments(
            train_file=whole.text_file("planted", whole.planted),
            downstream_model_dir=str(folder),
            batch_size=16,
        )
        found = private_pretraining(args, epsilon)
        noise[epsilon] = found["noise_multiplier"]
        assert found["epsilon"] <= epsilon and found["delta"] == 1e-5
        model = BertForPreTraining.from_pretrained(folder)
        assert torch.equal(
            model.bert.embeddings.word_embeddings.weight, small.bert.embeddings.word_embeddings.weight
        )
        assert not torch.equal(
            model.bert.encoder.layer[0].output.dense.weight, small.bert.encoder.layer[0].output.dense.weight
        )
    assert noise[1.0] > noise[8.0]


def test_control_of_private_training_neither_clips_nor_adds_noise(tmp_path, quick_arguments, monkeypatch):
    """손실을 세 배로 키우면 기울기도 세 배가 됩니다. 자른다면 더 움직이지 않습니다. AdamW는 기울기의 크기를 지우므로 SGD로 봅니다."""
    whole = CanaryExperiment(quick_arguments())
    monkeypatch.setattr(
        defences.torch.optim, "AdamW", lambda weights, **options: torch.optim.SGD(weights, lr=1e-3)
    )
    plain, found = defences.example_losses, {}
    for name, scale in (("control", 1.0), ("larger", 3.0)):
        monkeypatch.setattr(defences, "example_losses", lambda *given, s=scale: s * plain(*given))
        folder = tmp_path / name
        args = whole.pretrain_arguments(
            train_file=whole.text_file("planted", whole.planted),
            downstream_model_dir=str(folder),
            batch_size=16,
            epochs=1,
        )
        told = private_pretraining(args, None)
        assert told["noise_multiplier"] == 0
        found[name] = load_probe(folder).model.bert.encoder.layer[0].output.dense.weight.detach()
    start = (
        load_probe(whole.args.pretrained_model_name).model.bert.encoder.layer[0].output.dense.weight.detach()
    )
    moved = {name: float((weight - start).norm()) for name, weight in found.items()}
    assert moved["larger"] == pytest.approx(3 * moved["control"], rel=0.1)


def test_private_training_with_a_delta_that_promises_nothing_is_refused(tmp_path, quick_arguments):
    args = CanaryExperiment(quick_arguments()).pretrain_arguments(
        downstream_model_dir=str(tmp_path / "dp"), batch_size=16
    )
    with pytest.raises(NlpbookError, match="delta=0.5"):
        private_pretraining(args, 8.0, delta=0.5)


def test_private_training_runs_on_the_device_of_the_settings(tmp_path, quick_arguments, monkeypatch):
    """GPU가 없어도 볼 수 있게, 고른 장치를 번호까지 적은 CPU로 바꾸어 모델과 배치가 그리로 가는지 봅니다."""
    asked, seen = [], set()

    def pick(device=None):
        asked.append(device)
        return torch.device("cpu", 0)

    monkeypatch.setattr(defences, "prediction_device", pick)
    monkeypatch.setattr(defences, "pick_accelerator", lambda args: ("cuda", 1))
    plain, moved = torch.Tensor.to, []

    def to(tensor, *args, **kwargs):
        moved.extend(a for a in args if isinstance(a, torch.device))
        return plain(tensor, *args, **kwargs)

    def losses(model, batch):
        seen.update(tensor.device.type for tensor in batch.values())
        return example_losses(model, batch)

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(defences, "example_losses", losses)
    whole = CanaryExperiment(quick_arguments())
    args = whole.pretrain_arguments(
        train_file=whole.text_file("planted", whole.planted),
        downstream_model_dir=str(tmp_path / "dp"),
        batch_size=16,
        epochs=1,
    )
    private_pretraining(args, None)  # 잡음의 크기를 계산하는 시간을 아낍니다.
    assert asked == ["cuda"] and seen == {"cpu"} and torch.device("cpu", 0) in moved


def test_private_training_on_a_tpu_is_refused(tmp_path, quick_arguments, monkeypatch):
    monkeypatch.setattr(defences, "pick_accelerator", lambda args: ("tpu", 8))
    args = CanaryExperiment(quick_arguments()).pretrain_arguments(downstream_model_dir=str(tmp_path / "dp"))
    with pytest.raises(NlpbookError, match="TPU"):
        private_pretraining(args, 8.0)


def test_all_epochs_are_one_fit_and_the_best_model_is_kept_for_early_stopping(
    quick_arguments, monkeypatch, small
):
    """에폭마다 학습을 새로 시작하면 옵티마이저와 학습률 일정이 처음으로 돌아갑니다."""
    import pytorch_lightning as pl

    fits = []
    plain = pl.Trainer.fit
    monkeypatch.setattr(pl.Trainer, "fit", lambda self, *a, **k: (fits.append(self), plain(self, *a, **k)))
    whole = CanaryExperiment(quick_arguments(epochs=3))
    epochs = train_epochs(whole, "planted", whole.planted)
    assert len(fits) == 1 and fits[0].current_epoch == 3
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    weights = [
        load_probe(line["model_dir"]).model.bert.encoder.layer[0].output.dense.weight for line in epochs
    ]
    assert not torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
    best = min(epochs, key=lambda line: line["mlm_loss"])
    kept = load_probe(whole.folder / "planted").model.bert.encoder.layer[0].output.dense.weight
    assert torch.equal(kept, weights[best["epoch"] - 1])
    for line in epochs:
        assert experiment.mlm_loss(whole, line["model_dir"]) == pytest.approx(line["mlm_loss"], abs=2e-3)


def test_results_of_another_way_of_training_are_not_taken_up(quick_arguments, monkeypatch):
    args = quick_arguments()
    before = CanaryExperiment(args).identity
    monkeypatch.setattr("nlpbook_nbs.core.planting.FORMAT", FORMAT + 1)
    assert CanaryExperiment(args).identity != before


def test_example_losses_are_those_of_each_example_alone(mini):
    from transformers import BertForPreTraining

    from nlpbook_nbs.core.folders import resolve_model_name

    model = BertForPreTraining.from_pretrained(resolve_model_name("nlpbook-mini")).eval()
    encoded = mini.tokenizer(TEXTS, padding=True, return_tensors="pt")
    labels = torch.full_like(encoded["input_ids"], -100)
    labels[0, 1:3], labels[1, 2] = encoded["input_ids"][0, 1:3], encoded["input_ids"][1, 2]
    found = example_losses(model, {**encoded, "labels": labels})
    for row in range(2):
        logits = model(**{k: v[[row]] for k, v in encoded.items()}).prediction_logits
        expected = torch.nn.functional.cross_entropy(logits[0], labels[row])
        assert found[row].item() == pytest.approx(expected.item(), abs=1e-4)
    assert found[2].item() == 0.0


def test_documents_are_read_up_to_the_number_of_sentences(tmp_path):
    write(tmp_path / "a.txt", "하나\n둘\n\n셋\n")
    write(tmp_path / "b.txt", "넷\n")
    assert read_documents(tmp_path) == [["하나", "둘"], ["셋"], ["넷"]]
    assert read_documents(tmp_path, 3) == [["하나", "둘"], ["셋"]]
    assert read_documents(tmp_path, 1) == [["하나"]]


# 잘못 넣은 것은 한 문장으로 알려 줍니다.


@pytest.mark.parametrize(
    ("text", "candidates", "message"),
    [
        ("빈칸이 없는 글", ["가"], "빈칸이 없습니다"),
        ("[MASK]" * 300, ["가"], "256토큰을 넘습니다"),
        ("비밀번호는 [MASK].", [], "후보가 하나도 없습니다"),
        ("이름은 [MASK].", ["𒀀"], "[UNK]"),
        ("이름은 [MASK].", ["영화", "아주 긴 후보"], "토큰인데 빈칸은 1개입니다"),
    ],
)
def test_question_that_cannot_be_asked_is_refused(mini, text, candidates, message):
    with pytest.raises(NlpbookError) as caught:
        score_candidates(mini, text, candidates)
    assert message in str(caught.value)


def test_model_without_a_head_to_fill_blanks_is_refused(tmp_path, mini, small_folder):
    from transformers import AutoModelForSequenceClassification, GPT2Config, GPT2LMHeadModel

    AutoModelForSequenceClassification.from_pretrained(small_folder).save_pretrained(tmp_path / "classifier")
    GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=8, n_layer=1, n_head=1)).save_pretrained(
        tmp_path / "gpt"
    )
    for name in ("classifier", "gpt"):
        mini.tokenizer.save_pretrained(tmp_path / name)
        with pytest.raises(NlpbookError, match="MLM head"):
            load_probe(tmp_path / name)


def test_canary_longer_than_the_block_is_refused(mini):
    with pytest.raises(NlpbookError, match="max_seq_length를 늘리세요"):
        check_canaries([Canary("city", "가 나 다 " * 12, "솔별", 1)], mini.tokenizer, 32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kinds": "city,나이"}, "kinds="),
        ({"repeats": "1,0"}, "repeats="),
        ({"repeats": "많이"}, "repeats="),
        ({"runs": "없는실험"}, "runs="),
        ({"per_level": 0}, "per_level=0"),
        ({"epsilon": -1.0}, "epsilon=-1.0"),
        ({"train_file": "없는.txt"}, "없는.txt"),
    ],
)
def test_wrong_setting_of_the_experiment_is_refused(quick_arguments, changes, message):
    with pytest.raises(NlpbookError) as caught:
        quick_arguments(**changes)
    assert message in str(caught.value)


def test_text_of_one_document_cannot_be_split(tmp_path, quick_arguments):
    with pytest.raises(NlpbookError, match="문서가 1개뿐"):
        CanaryExperiment(quick_arguments(train_file=str(write(tmp_path / "one.txt", "한 문장\n두 문장\n"))))


def test_private_training_needs_more_examples_than_a_batch(tmp_path, quick_arguments):
    args = CanaryExperiment(quick_arguments()).pretrain_arguments(
        batch_size=100_000, downstream_model_dir=str(tmp_path / "dp")
    )
    with pytest.raises(NlpbookError, match="batch_size=100000"):
        private_pretraining(args, 8.0)


def test_probe_command_prints_json_and_draws(tmp_path, capsys):
    words = write(tmp_path / "words.txt", "영화\n\n드라마\n음악\n")
    options = ["--pretrained_model_name", "nlpbook-mini", "--text", "이 [MASK] 정말 좋다."]
    assert (
        main(["attack", "probe", *options, "--candidates", str(words), "--plot", str(tmp_path / "a.png")])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["candidates"] == 3 and len(found["slots"]) == 1 and len(found["slots"][0]) == 10
    assert found["ranking"][0]["candidate"] == "영화" and found["fillings"]
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["attack", "probe", *options[:3], "빈칸이 없다"]) == 2
    assert "빈칸이 없습니다" in capsys.readouterr().err


def test_membership_command_prints_json_and_draws(tmp_path, capsys, small_folder):
    one, two = (write(tmp_path / f"{name}.txt", "\n".join(TEXTS)) for name in ("one", "two"))
    options = {
        "pretrained_model_name": "nlpbook-mini",
        "reference_model_name": small_folder,
        "members_file": one,
        "others_file": two,
        "output": tmp_path / "found.json",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert main(["attack", "membership", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["absolute"]["auc"] == found["relative"]["auc"] == 0.5  # 같은 글이면 가려낼 수 없습니다.
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["curves"]["absolute"]["fpr"]
    assert (tmp_path / "found.png").exists()
    assert main(["attack", "membership", *words[:4], "--members_file", str(one)]) == 2
    assert "others_file" in capsys.readouterr().err


def test_results_shown_in_the_chapter_are_those_of_the_tool_and_its_settings():
    record = json.loads((Path(sample_root()) / "attack" / "results.json").read_text(encoding="utf-8"))
    assert record["format"] == FORMAT and record["seeds"] == list(measure_attack.SEEDS)
    assert {name: record["settings"][name] for name in measure_attack.SETTINGS} == measure_attack.SETTINGS
    assert set(record["runs"]) <= set(measure_attack.RUNS.split(",")) <= set(RUNS)
    planted = measure_attack.SETTINGS["repeats"].split(",")
    for name, run in record["runs"].items():
        often = [row for row in run["canaries"] if row["repeats"] == int(planted[-1])]
        assert len(often) == 4 * len(run["seeds"]), name
    losses = {name: run["mlm_losses"] for name, run in record["runs"].items() if "mlm_losses" in run}
    assert len(losses["start"]) == len(losses["planted"]) == len(record["seeds"])


def test_equal_results_share_one_mark():
    assert together({"가": (1.0, 2.0), "나": (1.0, 3.0), "다": (1.0, 2.0)}) == {
        "가 = 다": (1.0, 2.0),
        "나": (1.0, 3.0),
    }
    assert together({}) == {}
