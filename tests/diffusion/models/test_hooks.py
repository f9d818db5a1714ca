"""Hooks are called where they say, change what they say, and leave no trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.hooks import Attend, Looking, NetworkHooks, Place, Sources
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.models.unet import UNet, UNetConfig

CONFIG = UNetConfig(
    model_channels=32, channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(1, 2), heads=2, context_width=8
)


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(0)
    return UNet(CONFIG).eval()


@pytest.fixture(scope="module")
def given() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 4, 8, 8, generator=generator).repeat(2, 1, 1, 1)
    return {
        "x": x,
        "timesteps": torch.tensor([300.0, 300.0]),
        "context": torch.randn(2, 5, 8, generator=generator),
    }


@torch.no_grad()
def called(network: Any, given: dict[str, Tensor], hooks: NetworkHooks | None = None) -> Tensor:
    return network(**given, hooks=hooks)


def test_hooks_that_change_nothing_change_nothing(network: UNet, given: dict[str, Tensor]) -> None:
    """Also where the two halves of a guided batch would have been computed once: hooks see whole batches."""
    seen: list[int] = []

    def sources(looking: Looking, said: Sources) -> Sources:
        seen.append(len(said[0]))
        return said

    idle = NetworkHooks(
        sources=(sources,),
        attend=(lambda looking, usual: usual,),
        attended=(lambda looking, x: x,),
        entering=(lambda place, x, skip: (x, skip),),
        leaving=(lambda place, x: x,),
    )
    assert torch.allclose(called(network, given, idle), called(network, given), atol=1e-5)
    assert set(seen) == {2}


def test_places_are_counted_as_the_blocks_run(network: UNet, given: dict[str, Tensor]) -> None:
    entered: list[tuple[Place, bool]] = []
    looked: list[tuple[str, Place, int]] = []

    def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
        entered.append((place, skip is not None))
        return x, skip

    def attended(looking: Looking, x: Tensor) -> Tensor:
        looked.append((looking.name, looking.place, looking.number))
        assert looking.heads == 2
        return x

    called(network, given, NetworkHooks(entering=(entering,), attended=(attended,)))
    inputs = [(Place("input", index), False) for index in range(4)]
    outputs = [(Place("output", index), True) for index in range(4)]
    assert entered == [*inputs, (Place("middle", 0), False), *outputs]
    deep = Place("input", 3)
    assert [look for look in looked if look[1] == deep] == [
        ("attn1", deep, 0),
        ("attn2", deep, 0),
        ("attn1", deep, 1),
        ("attn2", deep, 1),
    ]


def test_attention_can_be_replaced_and_each_hook_wraps_the_last(network: UNet, given: dict[str, Tensor]) -> None:
    order: list[str] = []

    def named(name: str) -> Any:
        def hook(looking: Looking, usual: Attend) -> Attend:
            def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
                order.append(name)
                return usual(q, k, v)

            return attend

        return hook

    def silent(looking: Looking, usual: Attend) -> Attend:
        return lambda q, k, v: torch.zeros_like(q)

    called(network, given, NetworkHooks(attend=(named("first"),)) | NetworkHooks(attend=(named("second"),)))
    assert order[:2] == ["second", "first"]
    usual, without = called(network, given), called(network, given, NetworkHooks(attend=(silent,)))
    assert not torch.allclose(usual, without)


def test_keys_scaled_by_nothing_make_attention_the_mean_of_values(network: UNet, given: dict[str, Tensor]) -> None:
    def even(looking: Looking, usual: Attend) -> Attend:
        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            got = usual(q, k * 0, v)
            assert torch.allclose(got, v.mean(1, keepdim=True).expand_as(got), atol=1e-5)
            return got

        return attend

    called(network, given, NetworkHooks(attend=(even,)))


def test_text_can_be_taken_away_before_the_projections(network: UNet, given: dict[str, Tensor]) -> None:
    def mute(looking: Looking, said: Sources) -> Sources:
        return (said[0], said[1] * 0, said[2] * 0) if looking.name == "attn2" else said

    mutes = NetworkHooks(sources=(mute,))
    silent = {**given, "context": torch.zeros_like(given["context"])}
    assert torch.allclose(called(network, given, mutes), called(network, silent), atol=1e-5)


def test_features_between_blocks_can_be_changed(network: UNet, given: dict[str, Tensor]) -> None:
    def without_skip(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return x, None if skip is None else skip * 0

    entered = called(network, given, NetworkHooks(entering=(without_skip,)))
    zeroed = NetworkHooks(leaving=(lambda place, x: x * 0 if place.part == "middle" else x,))
    usual = called(network, given)
    assert not torch.allclose(entered, usual)
    assert not torch.allclose(called(network, given, zeroed), usual)
    assert torch.equal(called(network, given), usual), "the network is as it was"


def test_blocks_of_transformers_are_left_out() -> None:
    torch.manual_seed(0)
    mmdit = MMDiT(MMDiTConfig(channels=4, depth=3, width=64, context_width=8, vector_width=8)).eval()
    torch.nn.init.normal_(mmdit.final_layer.linear.weight)
    x, t = torch.randn(1, 4, 4, 4), torch.tensor([500.0])
    given = {"x": x, "timesteps": t, "context": torch.randn(1, 3, 8), "vector": torch.randn(1, 8)}
    first, second = (called(mmdit, given, NetworkHooks(left_out=frozenset({Place("joint", k)}))) for k in (0, 1))
    assert not torch.allclose(first, second)
    mmdit.joint_blocks[1] = _Identity()
    assert torch.equal(called(mmdit, given), second)


def test_both_kinds_of_flux_blocks_are_left_out() -> None:
    torch.manual_seed(0)
    flux = Flux(FluxConfig(in_channels=4, out_channels=4, width=48, heads=2, axes=(8, 8, 8), double=2, single=2)).eval()
    width = flux.config.context_width, flux.config.vector_width
    given = {
        "x": torch.randn(1, 4, 4, 4),
        "timesteps": torch.tensor([0.5]),
        "context": torch.randn(1, 3, width[0]),
        "vector": torch.randn(1, width[1]),
    }
    answers = [
        called(flux, given, NetworkHooks(left_out=frozenset(places)))
        for places in ([], [Place("double", 1)], [Place("single", 1)], [Place("double", 1), Place("single", 1)])
    ]
    assert len({tuple(answer.flatten().tolist()) for answer in answers}) == 4


def test_hooks_are_true_where_there_are_any() -> None:
    assert not NetworkHooks()
    assert NetworkHooks(left_out=frozenset({Place("joint", 1)}))
    both = NetworkHooks(left_out=frozenset({Place("joint", 1)})) | NetworkHooks(left_out=frozenset({Place("joint", 2)}))
    assert both.left_out == {Place("joint", 1), Place("joint", 2)}


class _Identity(torch.nn.Module):
    def forward(self, x: Tensor, context: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x, context
