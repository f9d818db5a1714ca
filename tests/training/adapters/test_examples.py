from __future__ import annotations

from typing import Any

import pytest
import torch

from app.errors import InvalidRequest
from app.training.adapters.examples import Example, examples_of, joined, own
from app.weights.checkpoint import Checkpoint
from tests.training.adapters.support import SIDE, latents, said


def test_each_latent_gets_its_own_description_or_the_only_one(tiny: Checkpoint) -> None:
    both = said(tiny, "red") + said(tiny, "circle")
    found = examples_of(tiny.model, latents(2), both)
    assert [tuple(example.latent.shape) for example in found] == [(1, 4, SIDE, SIDE)] * 2
    assert torch.equal(found[1].arguments["context"], both[1][0])
    alone = examples_of(tiny.model, latents(2), both[:1])
    assert torch.equal(alone[1].arguments["context"], both[0][0])
    assert torch.equal(found[1].latent, tiny.model.latent.to_model(latents(2)["samples"][1:]))


def test_tensors_that_were_made_in_a_run_can_be_learnt_from(tiny: Checkpoint) -> None:
    with torch.inference_mode():
        found = examples_of(tiny.model, latents(), said(tiny))
    assert not found[0].latent.is_inference()
    assert not found[0].arguments["context"].is_inference()


def test_a_wrong_number_of_descriptions_is_told(tiny: Checkpoint) -> None:
    with pytest.raises(InvalidRequest, match="3 latents and 2 conditionings") as wrong:
        examples_of(tiny.model, latents(3), said(tiny) * 2)
    assert wrong.value.input_name == "positive"


@pytest.mark.parametrize("option", ["control", "area", "mask"])
def test_conditioning_for_a_part_of_the_picture_is_refused(tiny: Checkpoint, option: str) -> None:
    features, options = said(tiny)[0]
    with pytest.raises(InvalidRequest, match=option):
        examples_of(tiny.model, latents(), [[features, {**options, option: torch.zeros(1)}]])


def test_latents_of_another_model_and_none_at_all_are_told(tiny: Checkpoint) -> None:
    with pytest.raises(InvalidRequest, match="16 channels"):
        examples_of(tiny.model, {"samples": torch.ones(1, 16, 4, 4)}, said(tiny))
    with pytest.raises(InvalidRequest, match="empty") as wrong:
        examples_of(tiny.model, {"samples": torch.ones(0, 4, 4, 4)}, said(tiny))
    assert wrong.value.input_name == "latents"


def example(**arguments: Any) -> Example:
    return Example(torch.ones(1, 4, 2, 2), arguments)


def test_what_has_one_shape_goes_in_one_call() -> None:
    short, long = torch.zeros(1, 7, 3), torch.zeros(1, 14, 3)
    calls = joined([example(context=short), example(context=short), example(context=long), example(context=short)])
    assert [(len(latent), tuple(said["context"].shape)) for latent, said in calls] == [
        (2, (2, 7, 3)),
        (1, (1, 14, 3)),
        (1, (1, 7, 3)),
    ]


def test_other_values_and_other_names_go_apart() -> None:
    first = example(context=torch.zeros(1, 7, 3), method="offset")
    other = example(context=torch.zeros(1, 7, 3), method="index")
    assert len(joined([first, first])) == 1
    assert joined([first, first])[0][1]["method"] == "offset"
    assert len(joined([first, other])) == 2
    assert len(joined([first, example(context=torch.zeros(1, 7, 3))])) == 2


def test_copies_reach_into_lists_and_mappings() -> None:
    given = {"a": [torch.ones(1), 3], "b": {"c": torch.ones(1)}}
    copied = own(given)
    copied["a"][0].zero_()
    copied["b"]["c"].zero_()
    assert given["a"][0] == 1
    assert given["b"]["c"] == 1
    assert copied["a"][1] == 3
