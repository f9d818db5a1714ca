from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.merge import Scaled, Sum, by_beginning, merged
from app.diffusion.adapters.twin import with_edits
from app.errors import InvalidRequest


def network(seed: int, width: int = 5) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2)).requires_grad_(False)


def test_each_weight_by_its_share() -> None:
    first, second = network(0), network(1)
    both = merged(first, second, lambda name: (0.25, 0.75) if name.startswith("0.") else (1.0, -2.0))
    state = both.state_dict()
    for name, value in first.state_dict().items():
        own, other = (0.25, 0.75) if name.startswith("0.") else (1.0, -2.0)
        torch.testing.assert_close(state[name], own * value + other * second.state_dict()[name])


def test_all_of_the_first_is_the_first() -> None:
    first = network(0)
    assert merged(first, network(1), lambda name: (1.0, 0.0)) is first


def test_none_of_the_second_needs_none_of_its_weights() -> None:
    first = network(0)
    halved = merged(first, network(1), lambda name: (0.5, 0.0))
    torch.testing.assert_close(halved.state_dict()["0.weight"], 0.5 * first[0].weight)
    assert Scaled(0.5).fits((1, 2, 3))


def test_edited_networks_are_merged_as_they_are_edited() -> None:
    first, second = network(0), network(1)
    ones = Edit(Place("1.bias"), Difference(torch.ones(2)))
    both = merged(with_edits(first, [ones]), with_edits(second, [ones, ones]), lambda name: (0.5, 0.5))
    expected = 0.5 * (first[1].bias + 1) + 0.5 * (second[1].bias + 2)
    torch.testing.assert_close(both.state_dict()["1.bias"], expected)
    assert Sum(second, "1.bias", 1.0).fits((2,))
    assert not Sum(second, "1.bias", 1.0).fits((3,))


def test_other_shapes_are_told() -> None:
    with pytest.raises(InvalidRequest, match=r"'0.weight' is \[5, 3\] in the first model and \[6, 3\] in the second"):
        merged(network(0), network(1, width=6), lambda name: (0.5, 0.5))
    with pytest.raises(InvalidRequest, match="is not in the second"):
        merged(network(0), nn.Sequential(nn.Linear(3, 5)), lambda name: (0.5, 0.5))


def test_the_longest_beginning_counts() -> None:
    share = by_beginning({"input": 0.1, "middle": 0.2, "out": 0.3, "output_blocks.1.": 0.4})
    assert [share(name) for name in ("input_blocks.0.0.weight", "time_embed.0.bias")] == [0.1, 0.1]
    assert share("middle_block.1.x") == 0.2
    assert [share(name) for name in ("out.2.bias", "output_blocks.10.0.x", "output_blocks.1.0.x")] == [0.3, 0.3, 0.4]
