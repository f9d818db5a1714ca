"""ControlNets, unions and T2I-Adapters equal diffusers' with the same random weights, alone and with the U-Net."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.control import Control, ControlModel
from app.diffusion.control_residuals import Residuals, spread
from app.diffusion.models.controlnet import ControlNet
from app.diffusion.models.controlnet_adapter import T2IAdapter
from app.diffusion.models.controlnet_flux import FluxControl
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.patches import packed, unpacked
from app.diffusion.models.unet import UNetConfig
from app.diffusion.published import U_NETS
from app.weights.blank import blank
from app.weights.controlnet import control_of
from app.weights.diffusers_transformers import transformer_names
from app.weights.fill import fill
from app.weights.stored import WeightsFile, held
from tests.parity.diffusers_networks import TOLERANCE, filled, relative_error, unets

SHAPES: dict[str, UNetConfig] = {
    "sd1": replace(U_NETS["sd1"], channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(1, 0)),
    "sd2": replace(U_NETS["sd2"], channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(1, 1)),
    "sdxl": replace(
        U_NETS["sdxl"], channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(0, 1), transformer_depth_middle=1
    ),
}
HINTS = (16, 32, 96, 256)


def shape_of(config: UNetConfig, **more: Any) -> dict[str, Any]:
    """A ControlNet's arguments in diffusers' words."""
    widths = [config.model_channels * factor for factor in config.channel_mult]
    said: dict[str, Any] = {
        "block_out_channels": tuple(widths),
        "layers_per_block": config.num_res_blocks,
        "down_block_types": tuple("CrossAttnDownBlock2D" if d else "DownBlock2D" for d in config.transformer_depth),
        "attention_head_dim": [config.heads_of(width)[0] for width in widths],
        "transformer_layers_per_block": [max(depth, 1) for depth in config.transformer_depth],
        "cross_attention_dim": config.context_width,
        "use_linear_projection": config.linear_projection,
        "conditioning_embedding_out_channels": HINTS,
        **more,
    }
    if config.vector_width:
        said |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": config.vector_width,
        }
    return said


def loaded(theirs: Any, stem: str = "canny") -> ControlModel:
    """Ours, from the tensors of theirs."""
    return control_of(WeightsFile(f"{stem}.safetensors", held(theirs.state_dict()), {}), stem=stem)


def inputs(config: UNetConfig, size: tuple[int, int] = (8, 6)) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    height, width = size
    return {
        "x": torch.randn(2, 4, height, width, generator=generator),
        "t": torch.tensor([3.0, 981.0]),
        "context": torch.randn(2, 9, config.context_width or 1, generator=generator),
        "hint": torch.rand(2, 3, height * 8, width * 8, generator=generator),
        "pooled": torch.randn(2, 1280, generator=generator),
        "times": torch.rand(2, 6, generator=generator) * 1000,
    }


def added(config: UNetConfig, said: dict[str, Tensor]) -> tuple[Tensor | None, dict[str, Any] | None]:
    """The vector as ours and as theirs takes it."""
    from app.diffusion.models.unet import timestep_embedding

    if not config.vector_width:
        return None, None
    waves = timestep_embedding(said["times"].flatten(), 256).view(len(said["times"]), -1)
    return torch.cat([said["pooled"], waves], dim=1), {"text_embeds": said["pooled"], "time_ids": said["times"]}


@pytest.mark.parametrize("family", SHAPES)
@torch.inference_mode()
def test_its_residuals_equal_diffusers(family: str) -> None:
    from diffusers.models.controlnets.controlnet import ControlNetModel

    config = SHAPES[family]
    theirs = filled(lambda: ControlNetModel(**shape_of(config)), seed=5)
    ours = loaded(theirs).network
    assert isinstance(ours, ControlNet)
    assert ours.config.unet == replace(config, output_depth=ours.config.unet.output_depth)
    said = inputs(config)
    vector, kwargs = added(config, said)
    down, middle = theirs(
        said["x"], said["t"], said["context"], said["hint"], added_cond_kwargs=kwargs, return_dict=False
    )
    found = ours(said["x"], said["t"], ours.seen(said["hint"]), said["context"], vector)
    assert len(found) == len(down) + 1
    for mine, expected in zip(found, [*down, middle], strict=True):
        assert relative_error(mine, expected) <= TOLERANCE


@torch.inference_mode()
def test_a_unions_residuals_equal_diffusers() -> None:
    from diffusers.models.controlnets.controlnet_union import ControlNetUnionModel

    config = SHAPES["sdxl"]
    theirs = filled(lambda: ControlNetUnionModel(**shape_of(config)), seed=6)
    ours = loaded(theirs).network
    assert isinstance(ours, ControlNet) and ours.config.tasks == 6
    said = {name: value[:1] for name, value in inputs(config).items()}  # theirs mixes what is in a batch
    vector, kwargs = added(config, said)
    for task in (0, 3):
        flags = torch.zeros(1, 6)
        flags[:, task] = 1
        down, middle = theirs(
            *(said["x"], said["t"], said["context"], [said["hint"]], flags, [task]),
            added_cond_kwargs=kwargs,
            return_dict=False,
        )
        found = ours(said["x"], said["t"], ours.seen(said["hint"]), said["context"], vector, task=task)
        for mine, expected in zip(found, [*down, middle], strict=True):
            assert relative_error(mine, expected) <= TOLERANCE


@pytest.mark.parametrize("family", ["sd1", "sd2"])
@torch.inference_mode()
def test_the_steered_unet_equals_diffusers(family: str) -> None:
    from diffusers.models.controlnets.controlnet import ControlNetModel

    config = SHAPES[family]
    unet, their_unet = unets(config)
    theirs = filled(lambda: ControlNetModel(**shape_of(config)), seed=5)
    said = inputs(config, (7, 10))  # odd, so that the way up restores a size
    down, middle = theirs(
        *(said["x"], said["t"], said["context"], said["hint"]), conditioning_scale=0.7, return_dict=False
    )
    expected = their_unet(
        *(said["x"], said["t"], said["context"]),
        down_block_additional_residuals=down,
        mid_block_additional_residual=middle,
    ).sample
    ours = loaded(theirs).network
    assert isinstance(ours, ControlNet)
    *skips, mine = ours(said["x"], said["t"], ours.seen(said["hint"]), said["context"])
    hooks = Residuals((), mine * 0.7, [skip * 0.7 for skip in skips[::-1]]).hooks()
    found = unet(said["x"], said["t"], said["context"], hooks=hooks)
    assert relative_error(found, expected) <= TOLERANCE
    assert relative_error(unet(said["x"], said["t"], said["context"]), expected) > 0.01, "it was steered"


ADAPTERS = {
    "full_adapter": (8, (8, 6)),
    "full_adapter_xl": (16, (8, 6)),
    "light_adapter": (8, (8, 6)),
}


@pytest.mark.parametrize("kind", ADAPTERS)
@torch.inference_mode()
def test_an_adapters_features_equal_diffusers(kind: str) -> None:
    from diffusers.models.adapter import T2IAdapter as Theirs

    side, _ = ADAPTERS[kind]
    channels = [32, 64, 128] if kind == "light_adapter" else [32, 64, 128, 128]
    blocks = 4 if kind == "light_adapter" else 2
    theirs = filled(
        lambda: Theirs(3, channels=channels, num_res_blocks=blocks, downscale_factor=side, adapter_type=kind), seed=8
    )
    ours = loaded(theirs).network
    assert isinstance(ours, T2IAdapter) and ours.config.xl == (kind == "full_adapter_xl")
    hint = torch.rand(2, 3, 11 * side, 6 * side, generator=torch.Generator().manual_seed(1))
    for mine, expected in zip(ours(hint), theirs(hint), strict=True):
        assert relative_error(mine, expected) <= TOLERANCE


@pytest.mark.parametrize("xl", [False, True])
@torch.inference_mode()
def test_the_unet_with_an_adapter_equals_diffusers(xl: bool) -> None:
    from diffusers.models.adapter import T2IAdapter as Theirs

    mult = (1, 2, 2) if xl else (1, 2, 2, 2)
    depth = (0, 1, 1) if xl else (1, 1, 1, 0)
    config = UNetConfig(
        model_channels=32, channel_mult=mult, transformer_depth=depth, heads=4, context_width=16, num_res_blocks=2
    )
    unet, their_unet = unets(config)
    kind, side = ("full_adapter_xl", 16) if xl else ("full_adapter", 8)
    theirs = filled(
        lambda: Theirs(3, channels=[32, 64, 64, 64], num_res_blocks=2, downscale_factor=side, adapter_type=kind), 9
    )
    said = inputs(config, (16, 24))
    expected = their_unet(
        *(said["x"], said["t"], said["context"]), down_intrablock_additional_residuals=list(theirs(said["hint"]))
    ).sample
    ours = loaded(theirs).network
    assert isinstance(ours, T2IAdapter)
    features, middle = ours.placed(ours(said["hint"]))
    found = unet(said["x"], said["t"], said["context"], hooks=Residuals(features, middle).hooks())
    assert relative_error(found, expected) <= TOLERANCE
    assert relative_error(unet(said["x"], said["t"], said["context"]), expected) > 0.01, "it was steered"


def test_a_shuffled_picture_steers_by_means() -> None:
    from diffusers.models.controlnets.controlnet import ControlNetModel

    theirs = filled(lambda: ControlNetModel(**shape_of(SHAPES["sd1"])), seed=5)
    assert loaded(theirs, "control_v11e_sd15_shuffle").pooled
    assert not loaded(theirs, "control_v11p_sd15_canny").pooled
    assert Control(loaded(theirs), torch.zeros(1, 3, 8, 8)).strength == 1.0


# ---------------------------------------------------------------- Flux

NARROW = FluxConfig(in_channels=16, width=256, heads=2, double=3, single=4, context_width=64, vector_width=32)


def flux_controls(tasks: int | None, masked: bool) -> tuple[ControlModel, Any]:
    from diffusers.models.controlnets.controlnet_flux import FluxControlNetModel

    modes: Any = tasks
    theirs = filled(
        lambda: FluxControlNetModel(
            num_layers=2,
            num_single_layers=3,
            num_attention_heads=2,
            joint_attention_dim=64,
            pooled_projection_dim=32,
            guidance_embeds=True,
            num_mode=modes,
        ),
        seed=12,
    )
    state = theirs.state_dict()
    if masked:
        state["controlnet_x_embedder.weight"] = torch.randn(256, 68) / 8
        theirs.controlnet_x_embedder = torch.nn.Linear(68, 256)
        theirs.controlnet_x_embedder.load_state_dict(
            {kind: state[f"controlnet_x_embedder.{kind}"] for kind in ("weight", "bias")}
        )
    return control_of(WeightsFile("flux.safetensors", held(state), {}), stem="flux"), theirs


# diffusers' own class still uses a name of its own that it has moved.
@pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")
@pytest.mark.parametrize(("tasks", "masked"), [(None, False), (None, True), (8, False)])
@torch.inference_mode()
def test_residuals_for_flux_equal_diffusers(tasks: int | None, masked: bool) -> None:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    generator = torch.Generator().manual_seed(3)
    model, theirs = flux_controls(tasks, masked)
    ours = model.network
    assert isinstance(ours, FluxControl)
    assert (ours.config.tasks, ours.config.masked) == (tasks or 0, masked)
    x = torch.randn(2, 16, 6, 8, generator=generator)
    seen = torch.randn(2, 17 if masked else 16, 6, 8, generator=generator)
    context, pooled = torch.randn(2, 5, 64, generator=generator), torch.randn(2, 32, generator=generator)
    t, guidance = torch.tensor([0.2, 0.9]), torch.tensor([3.5, 2.0])
    ids = ours.flux.positions(3, 4, 5, x.device).float()
    said: dict[str, Any] = {
        "timestep": t,
        "guidance": guidance,
        "pooled_projections": pooled,
        "encoder_hidden_states": context,
        "txt_ids": ids[:5],
        "img_ids": ids[5:],
    }
    mode = None if tasks is None else torch.full((2, 1), 3)
    double, single = theirs(packed(x, 2), packed(seen, 2), mode, return_dict=False, **said)
    found = ours(x, t, seen, context, pooled, guidance=guidance, task=None if tasks is None else 3)
    for mine, expected in zip((*found[0], *found[1]), (*double, *single), strict=True):
        assert relative_error(mine, expected) <= TOLERANCE

    def build() -> Any:
        return FluxTransformer2DModel(
            in_channels=64,
            num_layers=3,
            num_single_layers=4,
            num_attention_heads=2,
            joint_attention_dim=64,
            pooled_projection_dim=32,
            guidance_embeds=True,
        )

    transformer = filled(build, seed=13)
    with blank():
        flux = Flux(NARROW)
    fill(flux, transformer_names("flux", held(transformer.state_dict())), "theirs")
    expected = transformer(
        packed(x, 2), controlnet_block_samples=double, controlnet_single_block_samples=single, **said
    ).sample
    hooks = Residuals(double=spread(found[0], 3), single=spread(found[1], 4)).hooks()
    steered = flux(x, t, context, pooled, guidance=guidance, hooks=hooks)
    assert relative_error(steered, unpacked(expected, 6, 8, 2)) <= TOLERANCE
    assert relative_error(flux(x, t, context, pooled, guidance=guidance), steered) > 0.01, "it was steered"
