from __future__ import annotations

from typing import Any

import pytest
import torch

from app.diffusion.guidance.weight_hooks import OtherWeights, WeightHook, WeightHooks

MASK = torch.ones(3, 5)
HOOKS = WeightHooks((WeightHook(OtherWeights()),))


def said(value: float) -> list[list[Any]]:
    return [[torch.full((1, 2, 3), value), {"kept": value}]]


def test_parts_of_the_way(bench: Any) -> None:
    found = bench("ConditioningTimestepsRange", start_percent=0.25, end_percent=0.5)
    assert found == ((0.25, 0.5), (0.0, 0.25), (0.5, 1.0))


def test_a_prompt_gets_all_properties_at_once(bench: Any) -> None:
    given = {"strength": 0.5, "mask": MASK, "hooks": HOOKS, "timesteps": (0.25, 0.5), "set_cond_area": "mask bounds"}
    ((_, options),) = bench("ConditioningSetProperties", cond_NEW=said(1.0), **given)
    assert torch.equal(options.pop("mask"), MASK[None])
    assert options == {
        "kept": 1.0,
        "mask_strength": 0.5,
        "set_area_to_bounds": True,
        "hooks": HOOKS,
        "start_percent": 0.25,
        "end_percent": 0.5,
    }
    assert bench("ConditioningSetProperties", cond_NEW=said(1.0))[0][1] == {"kept": 1.0}
    both = bench("ConditioningSetPropertiesAndCombine", cond=said(2.0), cond_NEW=said(1.0), **given)
    assert [entry[1]["kept"] for entry in both] == [2.0, 1.0]
    assert "hooks" not in both[0][1]
    assert both[1][1]["hooks"] is HOOKS


def test_hooks_are_added_to_those_that_are_there(bench: Any) -> None:
    further = WeightHooks((WeightHook(OtherWeights()),))
    once = bench("ConditioningSetProperties", cond_NEW=said(1.0), hooks=HOOKS)
    assert bench("ConditioningSetProperties", cond_NEW=once, hooks=further)[0][1]["hooks"] == HOOKS | further


def test_pairs_are_set_as_their_prompts_would_be(bench: Any) -> None:
    given = {"strength": 0.5, "mask": MASK, "hooks": HOOKS, "timesteps": (0.0, 0.5)}
    pair = bench("PairConditioningSetProperties", positive_NEW=said(1.0), negative_NEW=said(2.0), **given)
    for side, value in zip(pair, (1.0, 2.0), strict=True):
        (alone,) = bench("ConditioningSetProperties", cond_NEW=said(value), **given)
        assert side[0][1].keys() == alone[1].keys()
        assert side[0][1]["kept"] == value
        assert side[0][1]["end_percent"] == 0.5
    more = bench(
        "PairConditioningSetPropertiesAndCombine",
        positive=said(3.0),
        negative=said(4.0),
        positive_NEW=said(1.0),
        negative_NEW=said(2.0),
        **given,
    )
    assert [[entry[1]["kept"] for entry in side] for side in more] == [[3.0, 1.0], [4.0, 2.0]]
    assert [["hooks" in entry[1] for entry in side] for side in more] == [[False, True]] * 2


def test_pairs_are_combined_side_by_side(bench: Any) -> None:
    names = ("positive_A", "negative_A", "positive_B", "negative_B")
    found = bench("PairConditioningCombine", **{name: said(value) for value, name in enumerate(names)})
    assert [[entry[1]["kept"] for entry in side] for side in found] == [[0, 2], [1, 3]]


@pytest.mark.parametrize("hooks", [None, HOOKS])
def test_defaults_are_told_so(bench: Any, hooks: WeightHooks | None) -> None:
    found = bench("ConditioningSetDefaultCombine", cond=said(1.0), cond_DEFAULT=said(2.0), hooks=hooks)
    assert [entry[1].get("default", False) for entry in found] == [False, True]
    assert found[1][1].get("hooks") == hooks
    names = ("positive", "negative", "positive_DEFAULT", "negative_DEFAULT")
    pair = bench(
        "PairConditioningSetDefaultCombine",
        **{name: said(value) for value, name in enumerate(names)},
        hooks=hooks,
    )
    assert [[(entry[1]["kept"], "default" in entry[1]) for entry in side] for side in pair] == [
        [(0, False), (2, True)],
        [(1, False), (3, True)],
    ]
