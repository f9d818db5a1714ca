"""Hooks are called where they say, change what they say, and leave no trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.hooks import Attend, Embedded, Looking, NetworkHooks, Place, Sources
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
    def forward(self, x: Tensor, context: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        return x, context


# ---------------------------------------------------------------- transformers


def transformers() -> dict[str, tuple[Any, dict[str, Tensor]]]:
    torch.manual_seed(3)
    flux = Flux(FluxConfig(4, 4, 128, 2, 2, 2, 12, 8, False, (16, 24, 24)))
    sd3 = MMDiT(MMDiTConfig(3, 64, 4, 12, 8, 8))
    said = {
        "x": torch.randn(2, 4, 4, 6),
        "timesteps": torch.tensor([0.3, 0.7]),
        "context": torch.randn(2, 3, 12),
        "vector": torch.randn(2, 8),
    }
    for network in (flux, sd3):
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return {"flux": (flux.eval(), said), "sd3": (sd3.eval(), said)}


@pytest.fixture(scope="module", params=["flux", "sd3"])
def transformer(request: Any) -> tuple[Any, dict[str, Tensor]]:
    return transformers()[request.param]


def test_blocks_and_attention_of_transformers_can_be_replaced(transformer: tuple[Any, dict[str, Tensor]]) -> None:
    network, said = transformer
    places: list[Place] = []
    heads: list[tuple[str, int]] = []

    def block(place: Place, usual: Any) -> Any:
        places.append(place)
        return lambda streams: usual(streams)

    def attend(looking: Looking, usual: Attend) -> Attend:
        heads.append((looking.name, looking.heads))
        return lambda q, k, v: usual(q, k, v)

    idle = NetworkHooks(blocks=(block,), attend=(attend,), embedded=(lambda tokens: tokens,))
    expected = called(network, said)
    assert torch.allclose(called(network, said, idle), expected, atol=1e-5)
    is_flux = isinstance(network, Flux)
    parts = ["double", "double", "single", "single"] if is_flux else ["joint"] * 3
    assert [place.part for place in places] == parts
    assert heads == [("joint", network.config.heads)] * len(parts)
    skipped = NetworkHooks(blocks=(lambda place, usual: (lambda s: s) if place == places[1] else usual,))
    left_out = NetworkHooks(left_out=frozenset({places[1]}))
    assert torch.equal(called(network, said, skipped), called(network, said, left_out))
    mean = NetworkHooks(attend=(lambda looking, usual: lambda q, k, v: v.mean(1, keepdim=True).expand_as(q),))
    assert not torch.allclose(called(network, said, mean), expected, atol=1e-3)


def test_the_first_given_hook_of_a_block_is_the_innermost(transformer: tuple[Any, dict[str, Tensor]]) -> None:
    network, said = transformer
    order: list[str] = []

    def named(name: str) -> NetworkHooks:
        def block(place: Place, usual: Any) -> Any:
            def run(streams: Any) -> Any:
                order.append(name)
                return usual(streams)

            return run if place.block == 0 and place.part != "single" else usual

        return NetworkHooks(blocks=(block,))

    called(network, said, named("inner") | named("outer"))
    assert order == ["outer", "inner"]


def test_tokens_can_be_added_before_the_first_block_of_flux() -> None:
    network, said = transformers()["flux"]

    def more(tokens: Embedded) -> Embedded:
        assert tokens.img_positions.shape == (6, 3) and not tokens.txt_positions.any()
        img = torch.cat([tokens.img, tokens.img + 1], dim=1)
        places = tokens.img_positions + torch.tensor([1, 0, 0])
        return tokens._replace(img=img, img_positions=torch.cat([tokens.img_positions, places]))

    out = called(network, said, NetworkHooks(embedded=(more,)))
    assert out.shape == said["x"].shape
    assert not torch.allclose(out, called(network, said), atol=1e-4)
    fewer = NetworkHooks(embedded=(lambda t: t._replace(txt=t.txt[:, :1], txt_positions=t.txt_positions[:1]),))
    alone = called(network, {**said, "context": said["context"][:, :1]})
    assert torch.allclose(called(network, said, fewer), alone, atol=1e-5)
