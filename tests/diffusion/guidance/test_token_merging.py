from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from app.diffusion.guidance.token_merging import MOST, divided, merging, token_merging
from app.diffusion.models.hooks import Looking, Place

LOOKING = Looking("attn1", Place("input", 1), 0, 1)


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (5, 7), (1, 6), (1, 1)])
def test_every_place_is_a_source_or_a_destination(rows: int, columns: int) -> None:
    sources, destinations = divided(rows, columns, 3)
    assert sorted([*sources.tolist(), *destinations.tolist()]) == list(range(rows * columns))
    if rows == columns == 4:
        squares = {(place // 4 // 2, place % 4 // 2) for place in destinations.tolist()}
        assert len(destinations) == len(squares) == 4


def test_the_places_of_a_square_are_drawn_from_the_seed() -> None:
    drawn = {tuple(divided(8, 8, seed)[1].tolist()) for seed in range(6)}
    assert len(drawn) == 6
    assert torch.equal(divided(8, 8, 2)[1], divided(8, 8, 2)[1])


def test_merged_places_are_the_likest_and_averaged_and_parted_again() -> None:
    torch.manual_seed(2)
    x = torch.randn(2, 36, 5)
    count = 10
    merge, part = merging(x, 6, 6, count, 7)
    sources, destinations = (each.tolist() for each in divided(6, 6, 7))
    for row, merged, parted in zip(x, merge(x), part(merge(x)), strict=True):
        likeness = functional.normalize(row[sources], dim=-1) @ functional.normalize(row[destinations], dim=-1).T
        best, goal = likeness.max(1)
        gone = best.argsort(descending=True)[:count].tolist()
        wanted = {place: row[place] for place in range(36)}
        for place, destination in enumerate(destinations):
            group = [row[sources[each]] for each in gone if int(goal[each]) == place]
            average = torch.stack([row[destination], *group]).mean(0)
            wanted[destination] = average
            wanted.update({sources[each]: average for each in gone if int(goal[each]) == place})
        torch.testing.assert_close(parted, torch.stack([wanted[place] for place in range(36)]))
        assert merged.shape == (36 - count, 5)


def test_nothing_merged_and_parted_is_what_it_was() -> None:
    x = torch.randn(1, 16, 3)
    merge, part = merging(x, 4, 4, 0)
    assert torch.equal(part(merge(x)), x)
    merge, part = merging(x, 4, 4, 5)
    same = torch.ones(1, 16, 3)
    assert torch.equal(part(merge(same)), same)


def test_hooks_merge_the_largest_level_alone() -> None:
    torch.manual_seed(2)
    hooks = token_merging(0.5)(1.0)
    (entering,), (sources,), (attended,) = hooks.entering, hooks.sources, hooks.attended
    entering(Place("input", 0), torch.zeros(1, 4, 6, 6), None)
    x = torch.randn(1, 36, 3)
    given = sources(LOOKING, (x, x, x))
    assert [part.shape[1] for part in given] == [18, 18, 18]
    assert attended(LOOKING, given[0]).shape == x.shape
    assert attended(LOOKING, x) is x, "once for each attention"
    small, text = torch.randn(1, 9, 3), torch.randn(1, 7, 3)
    assert sources(LOOKING, (small, small, small))[0] is small
    assert sources(LOOKING._replace(name="attn2"), (x, text, text))[0] is x


def test_never_more_than_three_of_four_places_are_merged() -> None:
    hooks = token_merging(1.0)(1.0)
    hooks.entering[0](Place("input", 0), torch.zeros(1, 4, 8, 8), None)
    x = torch.randn(1, 64, 3)
    assert hooks.sources[0](LOOKING, (x, x, x))[0].shape[1] == 64 * (1 - MOST)
