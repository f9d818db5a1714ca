"""A guided batch whose halves are computed apart gives what it gives as one, whatever hooks change in the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from app.diffusion.control_residuals import Residuals
from app.diffusion.guidance.attention_bias import Span, weighing
from app.diffusion.guidance.features import free_u, interpolated, scaled_attention, shrunk
from app.diffusion.guidance.hyper_tile import hyper_tile
from app.diffusion.guidance.hypernetworks import Hypernetwork, Layer
from app.diffusion.guidance.perturbed import without_blocks
from app.diffusion.guidance.token_merging import token_merging
from app.diffusion.models.hooks import Attend, Looking, NetworkHooks, Place, Sources
from app.diffusion.models.unet import PIXELS_WORTH_LANES, UNet, UNetConfig

CONFIG = UNetConfig(
    model_channels=32, channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(1, 1), heads=2, context_width=8
)
WIDTHS, SIDES = (32, 32, 32, 64), (1, 1, 2, 2)  # of what leaves each input block: channels, and by how much smaller
SMALL, LARGE = 8, 46  # LARGE has enough pixels for two halves side by side
SIGMA = 3.0


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(CONFIG).eval()


@pytest.fixture(autouse=True)
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def guided(side: int, rows: int = 2) -> dict[str, Tensor]:
    """The same latent for each prompt, as guidance gives it."""
    generator = torch.Generator().manual_seed(1)
    return {
        "x": torch.randn(1, 4, side, side, generator=generator).expand(rows, -1, -1, -1),
        "timesteps": torch.full((rows,), 300.0),
        "context": torch.randn(rows, 5, 8, generator=generator),
    }


@torch.no_grad()
def called(network: UNet, given: dict[str, Tensor], hooks: NetworkHooks | None) -> Tensor:
    return network(**given, hooks=hooks)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def controlnet(side: int, rows: int) -> NetworkHooks:
    skips = [drawn(rows, width, side // by, side // by) for width, by in zip(WIDTHS, SIDES, strict=True)]
    return Residuals((), drawn(rows, 64, side // 2, side // 2), skips[::-1]).hooks()


def adapter(side: int, rows: int) -> NetworkHooks:
    """The first half is not given what the second is."""
    return Residuals([None, drawn(rows, 32, side, side)]).hooks()


def shared_adapter(side: int, rows: int) -> NetworkHooks:
    return Residuals(
        [drawn(1, 32, side, side), None, drawn(1, 32, side // 2, side // 2).expand(rows, -1, -1, -1)]
    ).hooks()


def hypernetwork(side: int, rows: int) -> NetworkHooks:
    layer = Layer(drawn(8, 8), drawn(8))
    return Hypernetwork({8: ([layer], [layer])}).hooks(0.5)(SIGMA)


def deep_shrink(side: int, rows: int) -> NetworkHooks:
    resize = interpolated("bilinear")
    return shrunk(1, 2.0, start=9.0, end=0.0, resize=resize, enlarge=resize)(SIGMA)


KINDS: dict[str, Callable[[int, int], NetworkHooks]] = {
    "ControlNet": controlnet,
    "adapter": adapter,
    "shared adapter": shared_adapter,
    "FreeU": lambda side, rows: free_u(16, (1.3, 1.4), (0.9, 0.2), by_content=True)(SIGMA),
    "ControlNet and FreeU": lambda side, rows: KINDS["FreeU"](side, rows) | controlnet(side, rows),
    "token merging": lambda side, rows: token_merging(0.5)(SIGMA),
    "tiles": lambda side, rows: hyper_tile(4, 2, 1)(SIGMA),
    "weighed words": lambda side, rows: weighing([Span(1, 2, 0.3)]),
    "scaled attention": lambda side, rows: scaled_attention("attn1", 1.2, 1.0, 0.9, 1.1)(SIGMA),
    "deep shrink": deep_shrink,
    "hypernetwork": hypernetwork,
    "layers left out": lambda side, rows: without_blocks([Place("middle", 0)]),
}


@pytest.mark.parametrize("side", [SMALL, LARGE])
@pytest.mark.parametrize("kind", KINDS)
def test_apart_or_together_is_the_same(network: UNet, kind: str, side: int) -> None:
    assert (side * side >= PIXELS_WORTH_LANES) is (side == LARGE)
    given, hooks = guided(side), KINDS[kind](side, 2)
    assert hooks.halves(2) is not None
    seen: list[int] = []
    whole = replace(hooks, of_rows=None) | watching(seen)
    expected = called(network, given, whole)
    assert set(seen) == {2}
    assert torch.allclose(called(network, given, hooks), expected, atol=1e-5)
    if not hooks.left_out:  # which a U-Net does not heed
        assert not torch.allclose(called(network, given, None), expected, atol=1e-3)


def watching(seen: list[int]) -> NetworkHooks:
    """Notes how many rows it is shown, and says nothing of whether they may be fewer."""

    def leaving(place: Place, x: Tensor) -> Tensor:
        seen.append(len(x))
        return x

    return NetworkHooks(leaving=(leaving,))


@pytest.mark.parametrize("latents", ["the same", "others"])
def test_more_pictures_are_halved_between_the_prompts(network: UNet, latents: str) -> None:
    given, hooks = guided(LARGE, rows=4), controlnet(LARGE, 4)
    if latents == "others":
        given["x"] = drawn(4, 4, LARGE, LARGE)
    assert torch.allclose(
        called(network, given, hooks), called(network, given, replace(hooks, of_rows=None)), atol=1e-5
    )


def test_each_half_is_told_its_own_residuals_in_a_thread_of_its_own(network: UNet) -> None:
    lock, calls = threading.Lock(), dict[tuple[int, str], list[Place]]()

    def told(half: str) -> NetworkHooks:
        def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
            assert len(x) == 1
            with lock:
                calls.setdefault((threading.get_ident(), half), []).append(place)
            return x, skip

        return NetworkHooks(entering=(entering,))

    hooks = replace(told("whole"), of_rows=lambda rows: told(f"{rows.start}..{rows.stop}"))
    called(network, guided(LARGE), hooks)
    here = threading.get_ident()
    shared = [Place("input", 0), Place("input", 1)]  # up to the first text, where both are still the same
    assert calls.pop((here, "0..1")) == calls.pop((here, "1..2")) == shared
    rest = [Place("input", 2), Place("input", 3), Place("middle", 0), *(Place("output", block) for block in range(4))]
    assert sorted(half for _, half in calls) == ["0..1", "1..2"] and list(calls.values()) == [rest, rest]


def test_one_that_says_nothing_keeps_all_together(network: UNet) -> None:
    """It may count, or look at the whole batch: it is called once at each place, in order, with all rows, from here."""
    places: list[tuple[int, Place, int]] = []

    def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
        places.append((threading.get_ident(), place, len(x)))
        return x, skip

    counting = NetworkHooks(entering=(entering,))
    for hooks in (counting | controlnet(LARGE, 2), controlnet(LARGE, 2) | counting):
        assert hooks.of_rows is None and hooks.halves(2) is None
        places.clear()
        called(network, guided(LARGE), hooks)
        order = [("input", 4), ("middle", 1), ("output", 4)]
        assert places == [
            (threading.get_ident(), Place(part, block), 2) for part, count in order for block in range(count)
        ]


def test_a_failure_in_a_half_is_the_callers(network: UNet) -> None:
    def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if place.part == "middle":
            raise ValueError("no such place")
        return x, skip

    with pytest.raises(ValueError, match="no such place"):
        called(network, guided(LARGE), NetworkHooks(entering=(entering,)).row_by_row())
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("changes", ["nothing", "sources", "attention"])
def test_attention_that_hooks_leave_as_it_is_is_computed_as_ever(network: UNet, changes: str) -> None:
    """The texts' keys and values are then kept from call to call, as without hooks."""

    def sources(looking: Looking, given: Sources) -> Sources:
        return (given[0], given[1] * 1, given[2]) if changes == "sources" else given

    def attend(looking: Looking, usual: Attend) -> Attend:
        return (lambda q, k, v: usual(q, k, v)) if changes == "attention" else usual

    layer = network.get_submodule("middle_block.1.transformer_blocks.0.attn2.to_k")
    made: list[bool] = []
    given = guided(SMALL)
    expected = called(network, given, None)
    handle = layer.register_forward_hook(lambda *_: made.append(True))
    try:
        result = called(network, given, NetworkHooks(sources=(sources,), attend=(attend,)))
    finally:
        handle.remove()
    assert bool(made) is (changes != "nothing")
    assert torch.allclose(result, expected, atol=1e-5)


def test_hooks_add_up_with_what_they_say_of_rows() -> None:
    both = controlnet(SMALL, 2) | KINDS["FreeU"](SMALL, 2) | NetworkHooks()
    halves = both.halves(2)
    assert halves is not None and not halves.are_equal
    assert [len(hooks.entering) for hooks in halves] == [2, 2] and len(both.entering) == 2
    alike = KINDS["FreeU"](SMALL, 2).halves(2)
    assert alike is not None and alike.are_equal and alike.at("input", 0).look_alike
    merging = KINDS["token merging"](SMALL, 2).halves(2)
    assert merging is not None and not merging.at("input", 0).look_alike, "each half keeps what it has merged"


def test_residuals_of_rows() -> None:
    whole = Residuals([torch.arange(4.0)[:, None]], torch.arange(1.0)[:, None], [None])
    second = whole.of_rows(slice(2, 4))
    assert second.inputs[0] is not None and second.inputs[0].flatten().tolist() == [2, 3]
    assert second.middle is not None and second.middle.tolist() == [[0]], "one row is for all"
    assert second.skips == [None]
