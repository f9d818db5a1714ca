from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.control_residuals import Residuals, repeated, spread, stretched
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.hooks import Place, Streams
from app.errors import InvalidRequest

PARTS = [torch.full((1,), float(index)) for index in range(3)]
TEXT, OURS, OTHERS, WIDTH = 3, 4, 2, 5  # tokens of the text, of the picture that is drawn, of pictures to look at


def numbers(parts: list[Tensor]) -> list[int]:
    return [int(part) for part in parts]


def test_fewer_residuals_than_blocks() -> None:
    assert numbers(spread(PARTS, 8)) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert numbers(stretched(PARTS, 8)) == [0, 0, 0, 1, 1, 1, 2, 2]
    assert numbers(spread(PARTS, 7)) == [0, 0, 0, 1, 1, 1, 2]
    assert numbers(stretched(PARTS, 7)) == [0, 0, 0, 1, 1, 2, 2]
    assert numbers(repeated(PARTS, 7)) == [0, 1, 2, 0, 1, 2, 0]
    assert [share(PARTS, 3) == PARTS for share in (spread, stretched, repeated)] == [True] * 3
    assert [share([], 3) for share in (spread, stretched, repeated)] == [[], [], []]


def test_more_residuals_than_blocks() -> None:
    assert numbers(spread(PARTS, 2)) == [0, 1]
    assert numbers(stretched(PARTS, 2)) == [0, 1]
    assert numbers(repeated(PARTS, 2)) == [0, 1]


def same(streams: Streams) -> Streams:
    return streams


def through(residuals: Residuals, *places: Place, others: int = OTHERS) -> list[Streams]:
    """What blocks of zeros hand on, one after the other as a transformer runs them."""
    (around,) = residuals.hooks().blocks
    img, txt = torch.zeros(2, OURS + others, WIDTH), torch.zeros(2, TEXT, WIDTH)
    double = Streams(img, txt, torch.zeros(2, WIDTH))
    single = Streams(torch.cat([txt, img], dim=1), None, torch.zeros(2, WIDTH))
    return [around(place, same)(single if place.part == "single" else double) for place in places]


def tokens(streams: Streams) -> list[float]:
    """One number for each token."""
    return streams.img[0].mean(dim=1).tolist()


DOUBLE, SINGLE = Place("double", 0), Place("single", 0)
OWN = torch.ones(2, OURS, WIDTH)


@pytest.mark.parametrize("others", [0, OTHERS])
def test_they_are_added_to_the_picture_that_is_drawn(others: int) -> None:
    """Pictures to look at, which stand after it, are left as they are."""
    first, second = through(Residuals(double=[OWN], single=[OWN * 2]), DOUBLE, SINGLE, others=others)
    assert tokens(first) == [1.0] * OURS + [0.0] * others
    assert tokens(second) == [0.0] * TEXT + [2.0] * OURS + [0.0] * others


def test_flux_kontext_is_steered_where_it_draws() -> None:
    """In the last block only what is added to the picture that is drawn can be seen."""
    flux = Flux(FluxConfig(16, 16, 64, 2, 1, 2, 16, 8, axes=(8, 12, 12)))
    generator = torch.Generator().manual_seed(1)
    for parameter in flux.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    x, other = (torch.randn(1, 16, *size, generator=generator) for size in ((4, 6), (4, 4)))
    said: dict[str, Tensor] = {"context": torch.randn(1, 3, 16, generator=generator), "reference_0": other}
    residual = torch.zeros(1, 6, 64)
    residual[:, -1] = torch.linspace(-3, 3, 64)  # of the patch below on the right
    hooks = Residuals(single=[None, residual]).hooks()
    with torch.inference_mode():
        apart = flux(x, torch.tensor([0.5]), **said, hooks=hooks) - flux(x, torch.tensor([0.5]), **said)
    changed = apart.abs().amax(dim=(0, 1)) > 1e-4
    assert changed.nonzero().tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]


def test_some_are_for_the_text_as_well() -> None:
    whole = torch.ones(2, TEXT + OURS, WIDTH)
    _, second = through(Residuals(double=[OWN], single=[whole], with_text=True), DOUBLE, SINGLE)
    assert tokens(second) == [1.0] * (TEXT + OURS) + [0.0] * OTHERS
    half = Residuals(double=[OWN], single=[whole], with_text=True).times(0.5)
    assert half.with_text and tokens(through(half, DOUBLE, SINGLE)[1])[0] == 0.5


def test_single_blocks_alone_know_where_the_text_ends() -> None:
    _, second = through(Residuals(single=[OWN]), DOUBLE, SINGLE)
    assert tokens(second) == [0.0] * TEXT + [1.0] * OURS + [0.0] * OTHERS


def test_blocks_without_one_stay_as_they_are() -> None:
    found = through(Residuals(double=[OWN, None], single=[OWN]), Place("double", 1), Place("double", 2))
    assert [tokens(each) for each in found] == [[0.0] * (OURS + OTHERS)] * 2


@pytest.mark.parametrize(
    ("residual", "place"),
    [
        (torch.ones(2, OURS, WIDTH + 1), DOUBLE),
        (torch.ones(2, OURS + OTHERS + 1, WIDTH), DOUBLE),
        (OWN[:, :, :1], SINGLE),
    ],
)
def test_what_does_not_fit_is_said(residual: Tensor, place: Place) -> None:
    said: dict[str, Any] = {place.part: [residual]}
    with pytest.raises(InvalidRequest, match=f"to block {place.part} 0") as caught:
        through(Residuals(**said), DOUBLE, place)
    assert "family" in caught.value.remedy


def test_a_u_net_s_are_added_where_they_belong() -> None:
    x = torch.zeros(1, 2, 4, 4)
    ones = torch.ones(1, 2, 4, 4)
    hooks = Residuals([None, ones], ones * 2, [ones * 3]).hooks()
    (entering,), (leaving,) = hooks.entering, hooks.leaving
    assert leaving(Place("input", 0), x) is x
    assert float(leaving(Place("input", 1), x).mean()) == 1
    assert float(leaving(Place("middle", 0), x).mean()) == 2
    skip = entering(Place("output", 0), x, x)[1]
    assert skip is not None and float(skip.mean()) == 3
    assert entering(Place("output", 1), x, x)[1] is x
    assert entering(Place("output", 0), x, None)[1] is None
    with pytest.raises(InvalidRequest, match="to block middle 0"):
        leaving(Place("middle", 0), torch.zeros(1, 2, 4, 5))


def test_pooled_ones_are_the_same_everywhere() -> None:
    ramp = torch.arange(16.0).view(1, 1, 4, 4)
    found = Residuals([ramp], ramp, [None]).times(2.0, pooled=True)
    assert found.middle is not None and torch.equal(found.middle, torch.full((1, 1, 4, 4), 15.0))
    assert found.skips == [None]
