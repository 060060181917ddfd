"""여러 스레드가 함께 물어도 하나씩 물은 것과 답이 같습니다."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from soak import count, rounds

from nlpbook_nbs.core.recipes import load_recipe

INPUTS = {
    "doc-cls": [
        f"{word} 영화였어요 {number}"
        for number in range(25)
        for word in ("좋은", "지루한", "긴", "짧고 슬픈")
    ],
    "pair-cls": [(f"비가 {number}번 왔다.", "날이 맑다.") for number in range(100)],
    "qa": [("몇 번?", f"비가 {number}번 오고 눈이 {number + 1}번 왔다.") for number in range(100)],
}


@pytest.mark.parametrize("task", INPUTS)
def test_concurrent_predictions_equal_those_one_by_one(small_training, task):
    recipe = load_recipe(task)
    names = {"doc-cls": "nsmc", "pair-cls": "klue-nli", "qa": "korquad-v1"}
    options = {"max_seq_length": 64, "doc_stride": 16} if task == "qa" else {}
    args = recipe.train_arguments(**(small_training | options | {"downstream_corpus_name": names[task]}))
    recipe.train(args)
    predict = recipe.load(recipe.deploy_arguments(downstream_model_dir=args.downstream_model_dir))
    inputs = INPUTS[task]
    expected = [predict([each])[0] for each in inputs]
    times = 10 if task == "doc-cls" else rounds(2, 10)
    for _ in range(rounds(1, 5)):
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda each: predict([each])[0], inputs * times))
        assert found == expected * times
        count("여러 스레드가 한꺼번에 물어도 하나씩 물은 것과 같게 답함", len(found))
