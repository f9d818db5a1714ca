"""What packs put into SD 3 and Flux for a call: whole blocks, patches between them, attention of their own."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.drawing import Recipe, draw
from app.diffusion.model import DiffusionModel
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.hooks import NetworkHooks
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.extend.facade.bridge import FacadeHost
from app.extend.facade.comfy.network_patches import hooks_of
from app.extend.facade.comfy.token_patches import angles_of, matrices
from app.weights.checkpoint import Checkpoint

NETWORKS = {
    "flux": lambda: Flux(FluxConfig(4, 4, 64, 2, 2, 2, 16, 8, False, (8, 12, 12))),
    "sd3": lambda: MMDiT(MMDiTConfig(2, 64, 4, 16, 8, 8)),
}


@pytest.fixture(params=NETWORKS)
def model(request: Any, tiny: Checkpoint) -> DiffusionModel:
    network = NETWORKS[request.param]()
    generator = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    return replace(tiny.model, network=network.eval().requires_grad_(False))


@pytest.fixture
def prompt() -> list[list[Any]]:
    return [[torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(1)), {}]]


def drawn(model: Any, prompt: Any) -> Tensor:
    drawing = draw(model, prompt, prompt, {"samples": torch.zeros(1, 4, 4, 4)}, Recipe(seed=2, steps=2, cfg=1.0))
    for _ in drawing:
        pass
    return drawing.result["samples"]


def changed(host: FacadeHost, model: DiffusionModel, change: Any) -> Any:
    """The model with what a pack does to a clone of it."""
    patcher: Any = host.to_pack(model)
    clone = patcher.clone()
    change(clone)
    return host.from_pack(clone)


def test_a_block_in_anothers_place(host: FacadeHost, model: DiffusionModel, prompt: Any) -> None:
    plain = drawn(model, prompt)
    told: list[dict[str, Any]] = []

    def same(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        told.append(args)
        return extra["original_block"](args)

    kinds = ["double_block", "single_block"] if isinstance(model.network, Flux) else ["double_block"]

    def replace_all(patcher: Any) -> None:
        for kind in kinds:
            for index in range(2):
                patcher.set_model_patch_replace(same, "dit", kind, index)

    assert torch.allclose(drawn(changed(host, model, replace_all), prompt), plain, atol=1e-5)
    assert len(told) == 2 * 2 * len(kinds)
    first = told[0]
    assert first["img"].shape == (1, 4, 64) and first["txt"].shape == (1, 3, 64) and first["vec"].shape == (1, 64)
    assert first["transformer_options"]["block"] == ("double_block", 0)
    assert first["transformer_options"]["sigmas"].shape == (1,)
    if kinds[1:]:
        single = next(args for args in told if args["transformer_options"]["block"][0] == "single_block")
        assert "txt" not in single and single["img"].shape == (1, 7, 64)
        assert first["pe"].shape == (1, 1, 7, 16, 2, 2)

    def halved(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        out = extra["original_block"](args)
        return {**out, "img": args["img"] + 0.5 * (out["img"] - args["img"])}

    def one(patcher: Any) -> None:
        patcher.set_model_patch_replace(halved, "dit", "double_block", 1)

    by_hand = _with_hook(model, prompt)
    assert torch.allclose(drawn(changed(host, model, one), prompt), by_hand, atol=1e-5)
    assert not torch.allclose(by_hand, plain, atol=1e-3)
    assert torch.equal(drawn(model, prompt), plain), "the model itself stays"


def _with_hook(model: DiffusionModel, prompt: Any) -> Tensor:
    def block(place: Any, usual: Any) -> Any:
        def run(streams: Any) -> Any:
            out = usual(streams)
            return out._replace(img=streams.img + 0.5 * (out.img - streams.img))

        return run if place.part != "single" and place.block == 1 else usual

    hooks = model.guidance.with_hook(network=lambda sigma: NetworkHooks(blocks=(block,)))
    return drawn(replace(model, guidance=hooks), prompt)


def test_patches_after_a_double_block(host: FacadeHost, model: DiffusionModel, prompt: Any) -> None:
    plain = drawn(model, prompt)
    seen: list[int] = []

    def patch(said: dict[str, Any]) -> dict[str, Any]:
        seen.append(said["block_index"])
        assert said["x"].shape == said["img"].shape and said["transformer_options"]["block_index"] == seen[-1]
        return {"img": said["img"] * 1.5, "txt": said["txt"]}

    def idle(said: dict[str, Any]) -> dict[str, Any]:
        return said

    there = drawn(changed(host, model, lambda patcher: patcher.set_model_double_block_patch(patch)), prompt)
    assert seen == [0, 1, 0, 1] and not torch.allclose(there, plain, atol=1e-3)
    same = drawn(changed(host, model, lambda patcher: patcher.set_model_double_block_patch(idle)), prompt)
    assert torch.allclose(same, plain, atol=1e-5)


def test_tokens_as_they_enter(host: FacadeHost, model: DiffusionModel, prompt: Any) -> None:
    if not isinstance(model.network, Flux):
        return
    plain = drawn(model, prompt)

    def moved(said: dict[str, Any]) -> dict[str, Any]:
        assert said["img_ids"].shape == (1, 4, 3) and said["txt_ids"].shape == (1, 3, 3)
        return {**said, "img_ids": said["img_ids"] + 3}

    def patched(patch: Any) -> Any:
        return changed(host, model, lambda patcher: patcher.set_model_post_input_patch(patch))

    assert torch.allclose(drawn(patched(lambda said: said), prompt), plain, atol=1e-5)
    assert not torch.allclose(drawn(patched(moved), prompt), plain, atol=1e-4)


def test_attention_of_a_packs_own(host: FacadeHost, model: DiffusionModel, prompt: Any) -> None:
    attention = importlib.import_module("comfy.ldm.modules.attention")
    plain = drawn(model, prompt)
    calls: list[int] = []

    def override(usual: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, **said: Any) -> Tensor:
        calls.append(heads)
        assert said["skip_reshape"] is False and "sigmas" in said["transformer_options"]
        return usual(q, k, v, heads, mask=said["mask"])

    def set_it(patcher: Any) -> None:
        patcher.model_options["transformer_options"]["optimized_attention_override"] = override

    assert torch.allclose(drawn(changed(host, model, set_it), prompt), plain, atol=1e-5)
    assert set(calls) == {model.network.config.heads}  # pyright: ignore
    assert attention.optimized_attention is not None


def test_attention_of_a_packs_own_in_a_unet(host: FacadeHost, tiny: Checkpoint) -> None:
    calls: list[int] = []

    def override(usual: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, **said: Any) -> Tensor:
        calls.append(heads)
        return usual(q, k, v, heads)

    hooks = hooks_of({"optimized_attention_override": override})
    x, context = torch.randn(1, 4, 8, 8), torch.randn(1, 5, 16)
    network = tiny.model.network
    said = {"timesteps": torch.tensor([3.0]), "context": context}
    with torch.no_grad():
        assert torch.allclose(network(x, hooks=hooks, **said), network(x, **said), atol=1e-5)
    assert calls and set(calls) == {2}


def test_rotations_there_and_back() -> None:
    angles = torch.randn(5, 4)
    pe = matrices((angles.cos(), angles.sin()))
    assert pe.shape == (1, 1, 5, 4, 2, 2)
    back = angles_of(pe)
    assert torch.equal(back[0], angles.cos()) and torch.equal(back[1], angles.sin())
    assert torch.allclose(torch.linalg.det(pe), torch.ones(1, 1, 5, 4), atol=1e-5)
