"""ControlNets of Flux through the graph, small: they follow the latent of a picture, perhaps with a mask."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.control import Control, ControlModel
from app.diffusion.drawing import Recipe, draw
from app.diffusion.first_stage import FirstStage
from app.diffusion.latent_format import LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL
from app.diffusion.models.controlnet_flux import FluxControl, FluxControlConfig
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.unet import UNet, UNetConfig
from app.errors import InvalidRequest
from app.extend.facade.bridge import FacadeHost
from app.extend.facade.install import installed
from app.settings import Settings
from app.weights.checkpoint import load_checkpoint
from tests.extend.facade.conftest import BUILT_IN, Said, make_host

NARROW = FluxConfig(width=64, heads=2, double=3, single=3, context_width=16, vector_width=8, axes=(8, 12, 12))
PROMPT: list[list[Any]] = [[torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(1)), {}]]


def random(module: Any, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.08, generator=generator)
    return module.eval().requires_grad_(False)


@pytest.fixture
def model(tiny_file: Path) -> DiffusionModel:
    latent = LatentFormat(16, 8, 0.3611, 0.1159)
    return replace(load_checkpoint(tiny_file).model, network=random(Flux(NARROW), 1), latent=latent)


@pytest.fixture
def vae() -> FirstStage:
    config = AutoencoderConfig(16, channels=8, channel_mult=(1, 1, 1, 1), num_res_blocks=1, groups=4)
    return FirstStage(random(AutoencoderKL(config), 2))


def net(**more: Any) -> ControlModel:
    config = FluxControlConfig(replace(NARROW, double=2, single=1), **more)
    return ControlModel(random(FluxControl(config), 3), "union")


def picture(seed: int = 3) -> Tensor:
    return torch.rand(1, 40, 48, 3, generator=torch.Generator().manual_seed(seed))


def drawn(model: Any, positive: Any = PROMPT, negative: Any = PROMPT) -> Tensor:
    drawing = draw(model, positive, negative, {"samples": torch.zeros(2, 16, 5, 6)}, Recipe(seed=2, steps=2, cfg=2.0))
    for _ in drawing:
        pass
    return drawing.result["samples"]


def applied(bench: Any, control_net: Any, node: str = "ControlNetApplyAdvanced", **said: Any) -> tuple[Any, Any]:
    return bench(node, positive=PROMPT, negative=PROMPT, control_net=control_net, **{"image": picture(), **said})


def test_a_picture_steers_flux(bench: Any, model: DiffusionModel, vae: FirstStage) -> None:
    plain, there = drawn(model), drawn(model, *applied(bench, net(), vae=vae))
    assert not torch.allclose(plain, there, atol=1e-3)
    assert not torch.allclose(drawn(model, *applied(bench, net(), vae=vae, image=picture(8))), there, atol=1e-4)
    twice = applied(bench, net(), vae=vae, strength=0.5)
    more = bench(
        *("ControlNetApplyAdvanced",),
        **dict(zip(("positive", "negative"), twice, strict=True)),
        control_net=net(),
        image=picture(),
        vae=vae,
        strength=0.5,
    )
    assert torch.allclose(drawn(model, *more), there, atol=1e-4), "two halves are one whole"
    control: Control = twice[0][0][1]["control"]
    assert [type(each).__name__ for each in control.networks(model)] == ["FluxControl", "AutoencoderKL"]
    union = bench("SetUnionControlNetType", control_net=net(tasks=8), type="depth")
    other = bench("SetUnionControlNetType", control_net=net(tasks=8), type="tile")
    assert not torch.allclose(
        drawn(model, *applied(bench, union, vae=vae)), drawn(model, *applied(bench, other, vae=vae)), atol=1e-4
    )


def test_a_mask_covers_what_is_drawn_anew(bench: Any, model: DiffusionModel, vae: FirstStage) -> None:
    masked = net(hint_channels=17)
    mask = torch.zeros(1, 40, 48)
    mask[:, :, 24:] = 1
    node = "ControlNetInpaintingAliMamaApply"
    there = drawn(model, *applied(bench, masked, node, vae=vae, mask=mask))
    assert not torch.allclose(there, drawn(model, *applied(bench, masked, node, vae=vae, mask=1 - mask)), atol=1e-4)
    changed = picture()
    changed[:, :, 24:] = 0.3
    under = drawn(model, *applied(bench, masked, node, vae=vae, mask=mask, image=changed))
    assert torch.allclose(under, there, atol=1e-5), "what lies under the mask does not count"
    whole = drawn(model, *applied(bench, masked, vae=vae))
    empty = drawn(model, *applied(bench, masked, node, vae=vae, mask=mask * 0))
    assert torch.allclose(whole, empty, atol=1e-5)


def test_what_it_lacks_or_does_not_fit_is_said(bench: Any, model: DiffusionModel, vae: FirstStage) -> None:
    with pytest.raises(InvalidRequest, match="follows the latent") as caught:
        applied(bench, net())
    assert "VAE" in caught.value.remedy
    unet = UNet(UNetConfig(model_channels=32, channel_mult=(1,), transformer_depth=(0,), context_width=16))
    with pytest.raises(InvalidRequest, match="steers Flux"):
        drawn(replace(model, network=unet), *applied(bench, net(), vae=vae))
    wider = replace(model, network=random(Flux(replace(NARROW, context_width=24)), 1))
    with pytest.raises(InvalidRequest, match="context_width 16, the model 24"):
        drawn(wider, *applied(bench, net(), vae=vae))


@pytest.mark.parametrize("masked", [False, True])
def test_packs_hold_and_apply_it_too(
    bench: Any, model: DiffusionModel, vae: FirstStage, installation: Settings, masked: bool
) -> None:
    ours = net(hint_channels=17 if masked else 16)
    mask = torch.zeros(1, 40, 48)
    mask[:, :20] = 1
    expected_said: dict[str, Any] = {"vae": vae, "strength": 0.7, **({"mask": mask} if masked else {})}
    node = "ControlNetInpaintingAliMamaApply" if masked else "ControlNetApplyAdvanced"
    positive, negative = applied(bench, ours, node, **expected_said)
    expected = drawn(model, positive, negative)
    inner = make_host(installation.directories.base, Said())
    with installed(inner):
        host = FacadeHost(inner)
        host.open(BUILT_IN.nodes)
        nets = importlib.import_module("comfy.controlnet")
        packed: Any = host.to_pack(ours)
        assert isinstance(packed, nets.ControlNet) and host.from_pack(packed) is ours
        held: Any = host.to_pack(positive)
        assert torch.allclose(
            drawn(model, host.from_pack(held), host.from_pack(host.to_pack(negative))), expected, atol=1e-4
        )
        if not masked:
            theirs = packed.copy().set_cond_hint(picture().movedim(-1, 1), 0.7, (0.0, 1.0), vae=host.to_pack(vae))
            entry = [[PROMPT[0][0], {**PROMPT[0][1], "control": theirs}]]
            assert torch.allclose(drawn(model, host.from_pack(entry), host.from_pack(entry)), expected, atol=1e-4)

        class Push(nets.ControlBase):
            def get_control(self, x_noisy: Tensor, t: Tensor, *_: Any) -> Any:
                some = torch.linspace(-3, 3, 64).expand(len(x_noisy), 9, 64)
                return {"input": [None, some], "output": [some]}

        own: Any = host.from_pack([[PROMPT[0][0], {"control": Push()}]])
        assert not torch.allclose(drawn(model, own), drawn(model), atol=1e-3)
        patcher: Any = host.to_pack(model)
        patcher.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
        changed: Any = host.from_pack(patcher)
        assert torch.allclose(drawn(changed, positive, negative), expected, atol=1e-4)
