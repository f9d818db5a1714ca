"""ControlNets of SD 3 and Flux equal diffusers' with the same random weights, alone and in the transformer they steer.

MistoLine, which diffusers has not, is put together here of diffusers' blocks, as its authors' code does.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.control import ControlModel
from app.diffusion.control_hints import PIXELS
from app.diffusion.control_networks import answered, shown
from app.diffusion.control_residuals import Residuals
from app.diffusion.latent_format import LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.models.controlnet_flux import FluxControl
from app.diffusion.models.controlnet_flux_misto import HINT_LAYERS, MistoControl
from app.diffusion.models.controlnet_sd3 import SD3Control, SD3ImageControl
from app.diffusion.models.flux import Flux, FluxConfig
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.models.patches import packed, unpacked
from app.diffusion.parameterization.model_sampling import flow
from app.weights.blank import blank
from app.weights.controlnet import control_of
from app.weights.diffusers_transformers import transformer_names
from app.weights.fill import fill
from app.weights.stored import WeightsFile, held
from tests.parity.diffusers_networks import TOLERANCE, filled, relative_error

HEIGHT, WIDTH, TEXT = 6, 8, 5
# diffusers' own classes still use names of their own that it has moved.
pytestmark = pytest.mark.filterwarnings("ignore:`FluxPosEmbed` is deprecated:FutureWarning")


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def control(tensors: dict[str, Tensor], stem: str = "some") -> ControlModel:
    return control_of(WeightsFile(f"{stem}.safetensors", held(tensors), {}), stem=stem)


def steering(network: nn.Module) -> DiffusionModel:
    """A model around a network whose times are its levels, so that both are told the same."""
    times = 1000.0 if isinstance(network, MMDiT) else 1.0
    return DiffusionModel(network, flow(multiplier=times), LatentFormat(16), lambda x: x, "some")


def residuals(
    model: ControlModel, base: nn.Module, seen: Tensor, x: Tensor, levels: Tensor, **said: Tensor
) -> Residuals:
    return answered(model.network_for(steering(base)), seen, x, levels, steering(base), said)


# ---------------------------------------------------------------- Stable Diffusion 3

SD3 = MMDiTConfig(depth=5, width=128, context_width=64, vector_width=32, places=16)
SD3_SHAPE: dict[str, Any] = {
    "sample_size": 16,
    "num_attention_heads": 2,
    "attention_head_dim": 64,
    "joint_attention_dim": 64,
    "caption_projection_dim": 128,
    "pooled_projection_dim": 32,
    "pos_embed_max_size": 16,
}


def sd3_transformer(**more: Any) -> tuple[MMDiT, Any]:
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    theirs = filled(lambda: SD3Transformer2DModel(num_layers=5, **SD3_SHAPE, **more), seed=21)
    config = MMDiTConfig(**{name: getattr(SD3, name) for name in SD3.__slots__} | _ours(more))
    with blank():
        ours = MMDiT(config)
    fill(ours, transformer_names("sd3", held(theirs.state_dict())), "theirs")
    return ours, theirs


def _ours(more: dict[str, Any]) -> dict[str, Any]:
    return {"normalised": "qk_norm" in more, "dual": len(more.get("dual_attention_layers", ()))}


VARIANTS: dict[str, dict[str, Any]] = {
    "3": {},
    "3, inpainting": {"extra_conditioning_channels": 1},
    "3.5 medium": {"qk_norm": "rms_norm", "dual_attention_layers": (0,)},
}


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_instantx_s_for_sd3_equals_diffusers(variant: str) -> None:
    from diffusers.models.controlnets.controlnet_sd3 import SD3ControlNetModel

    more = VARIANTS[variant]
    theirs = filled(lambda: SD3ControlNetModel(num_layers=2, **SD3_SHAPE, **more), seed=22)
    model = control(theirs.state_dict())
    ours = model.network
    assert isinstance(ours, SD3Control)
    assert ours.config.masked == (variant == "3, inpainting")
    base, transformer = sd3_transformer(**{k: v for k, v in more.items() if k != "extra_conditioning_channels"})
    x, context, vector = normal(2, 16, HEIGHT, WIDTH, seed=1), normal(2, TEXT, 64, seed=2), normal(2, 32, seed=3)
    seen, levels = normal(2, ours.config.hint_channels, HEIGHT, WIDTH, seed=4), torch.tensor([0.003, 0.871])
    (expected,) = theirs(x, seen, 1.0, context, torch.zeros(2, 32), levels * 1000, return_dict=False)
    for mine, its in zip(ours(x, levels * 1000, seen, context), expected, strict=True):
        assert relative_error(mine, its) <= TOLERANCE
    found = residuals(model, base, seen, x, levels, context=context, vector=vector)
    steered = base(x, levels * 1000, context, vector, hooks=found.hooks())
    said = transformer(x, context, vector, levels * 1000, block_controlnet_hidden_states=expected).sample
    assert relative_error(steered, said) <= TOLERANCE
    assert relative_error(base(x, levels * 1000, context, vector), said) > 0.01, "it was steered"


def as_stability_names_it(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values joined, blocks as in the published transformer."""
    named: dict[str, Tensor] = {}
    for key, value in state.items():
        if ".attn.to_q." in key:
            parts = [state[key.replace("to_q", each)] for each in ("to_q", "to_k", "to_v")]
            named[key.replace("to_q", "qkv")] = torch.cat(parts)
        elif ".to_k." not in key and ".to_v." not in key:
            for theirs, its in (
                *((".norm1.linear.", ".adaLN_modulation.1."), (".to_out.0.", ".proj.")),
                *((".ff.net.0.proj.", ".mlp.fc1."), (".ff.net.2.", ".mlp.fc2.")),
            ):
                key = key.replace(theirs, its)
            named[key] = value
    return named


@pytest.mark.parametrize("published", [True, False])
@torch.inference_mode()
def test_stability_s_for_sd35_equals_diffusers(published: bool) -> None:
    from diffusers.models.controlnets.controlnet_sd3 import SD3ControlNetModel

    shape: dict[str, Any] = SD3_SHAPE | {
        "joint_attention_dim": None,
        "pos_embed_max_size": None,
        "pos_embed_type": None,
    }
    theirs = filled(lambda: SD3ControlNetModel(num_layers=2, use_pos_embed=False, **shape), seed=23)
    state = theirs.state_dict()
    if published:
        state = as_stability_names_it(state) | {"control_type": torch.tensor([2], dtype=torch.int32)}
    assert any(key.startswith("transformer_blocks.0.adaLN_modulation") for key in state) == published
    model = control(state, "sd3.5_large_controlnet_canny")
    ours = model.network
    assert isinstance(ours, SD3ImageControl)
    assert ours.config.kind == ("depth" if published else "canny"), "as the file says, else its name"
    base, transformer = sd3_transformer(qk_norm="rms_norm")
    x, context, vector = normal(2, 16, HEIGHT, WIDTH, seed=1), normal(2, TEXT, 64, seed=2), normal(2, 32, seed=3)
    seen, levels = normal(2, 16, HEIGHT, WIDTH, seed=4), torch.tensor([0.003, 0.871])
    (expected,) = theirs(transformer.pos_embed(x), seen, 1.0, None, vector, levels * 1000, return_dict=False)
    found = residuals(model, base, seen, x, levels, context=context, vector=vector)
    assert len(found.double) == 5
    for index, mine in enumerate(found.double):
        assert mine is not None
        assert relative_error(mine, expected[index * 2 // 5]) <= TOLERANCE
    # The authors' own code adds to the last block as well, diffusers does not.
    steered = base(x, levels * 1000, context, vector, hooks=Residuals(double=found.double[:-1]).hooks())
    said = transformer(x, context, vector, levels * 1000, block_controlnet_hidden_states=expected).sample
    assert relative_error(steered, said) <= TOLERANCE
    assert relative_error(base(x, levels * 1000, context, vector), said) > 0.01, "it was steered"


# ---------------------------------------------------------------- Flux

FLUX = FluxConfig(in_channels=16, width=256, heads=2, double=5, single=3, context_width=64, vector_width=32)
FLUX_SHAPE: dict[str, Any] = {
    "in_channels": 64,
    "num_attention_heads": 2,
    "joint_attention_dim": 64,
    "pooled_projection_dim": 32,
    "guidance_embeds": True,
}


def flux_transformer() -> tuple[Flux, Any]:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    theirs = filled(lambda: FluxTransformer2DModel(num_layers=5, num_single_layers=3, **FLUX_SHAPE), seed=31)
    with blank():
        ours = Flux(FLUX)
    fill(ours, transformer_names("flux", held(theirs.state_dict())), "theirs")
    return ours, theirs


def flux_control(**more: Any) -> Any:
    from diffusers.models.controlnets.controlnet_flux import FluxControlNetModel

    return filled(lambda: FluxControlNetModel(**FLUX_SHAPE, **more), seed=32)


SAID = {
    "context": normal(2, TEXT, 64, seed=2),
    "vector": normal(2, 32, seed=3),
    "guidance": torch.tensor([3.5, 2.0]),
}
X, LEVELS = normal(2, 16, HEIGHT, WIDTH, seed=1), torch.tensor([0.2, 0.9])
PICTURE = torch.rand(2, 3, HEIGHT * PIXELS, WIDTH * PIXELS, generator=torch.Generator().manual_seed(5))


def told(flux: Flux) -> dict[str, Any]:
    """The same in diffusers' words."""
    ids = flux.positions(HEIGHT // 2, WIDTH // 2, TEXT, X.device).float()
    return {
        "timestep": LEVELS,
        "guidance": SAID["guidance"],
        "pooled_projections": SAID["vector"],
        "encoder_hidden_states": SAID["context"],
        "txt_ids": ids[:TEXT],
        "img_ids": ids[TEXT:],
    }


def as_xlabs_names_it(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published names of the transformer, and numbers for the layers that see the picture."""
    named = {key: stored.read() for key, stored in transformer_names("flux", held(state)).items()}
    for key, value in state.items():
        if key.startswith("input_hint_block."):
            _, *place, kind = key.split(".")
            number = {"conv_in": 0, "conv_out": 14}.get(place[0])
            named[f"input_hint_block.{2 * int(place[1]) + 2 if number is None else number}.{kind}"] = value
        elif key.startswith("controlnet_"):
            named[key.replace("controlnet_x_embedder", "pos_embed_input")] = value
    return named


@pytest.mark.parametrize("published", [True, False])
@torch.inference_mode()
def test_xlabs_s_for_flux_equals_diffusers(published: bool) -> None:
    theirs = flux_control(num_layers=2, num_single_layers=0, conditioning_embedding_channels=16, patch_size=2)
    state = theirs.state_dict()
    model = control(as_xlabs_names_it(state) if published else state)
    ours = model.network
    assert isinstance(ours, FluxControl) and ours.config.pictures and not ours.config.masked
    base, transformer = flux_transformer()
    said = told(base)
    double, _ = theirs(packed(X, 2), PICTURE * 2 - 1, return_dict=False, **said)
    seen = shown(ours, PICTURE, X, 1)
    assert seen.shape == X.shape
    for mine, its in zip(ours(X, LEVELS, seen, **SAID)[0], double, strict=True):
        assert relative_error(mine, its) <= TOLERANCE
    found = residuals(model, base, seen, X, LEVELS, **SAID)
    steered = base(X, LEVELS, **SAID, hooks=found.hooks())
    expected = transformer(packed(X, 2), controlnet_block_samples=double, controlnet_blocks_repeat=True, **said).sample
    assert relative_error(steered, unpacked(expected, HEIGHT, WIDTH)) <= TOLERANCE
    assert relative_error(base(X, LEVELS, **SAID), steered) > 0.01, "it was steered"


def misto_layers() -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (side, halves) in enumerate(HINT_LAYERS):
        layers += [nn.Conv2d(16 if index else 3, 16, side, 2 if halves else 1, side // 2), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def as_misto_names_it(key: str) -> str:
    """From XLabs's names: each residual is made by a layer in a part."""
    key = key.replace("controlnet_single_blocks.", "single_controlnet_blocks.")
    return re.sub(r"^((?:single_)?controlnet_blocks\.\d+)\.", r"\1.linear.", key)


def entered(theirs: Any, said: dict[str, Any], img: Tensor) -> tuple[Tensor, Tensor, Tensor, Any]:
    """What diffusers' transformer or ControlNet hands its blocks."""
    temb = theirs.time_text_embed(said["timestep"] * 1000, said["guidance"] * 1000, said["pooled_projections"])
    angles = theirs.pos_embed(torch.cat([said["txt_ids"], said["img_ids"]]))
    return img, theirs.context_embedder(said["encoder_hidden_states"]), temb, angles


@torch.inference_mode()
def test_mistoline_equals_what_its_authors_compute() -> None:
    theirs = flux_control(num_layers=3, num_single_layers=2)
    layers = filled(misto_layers, seed=33)
    named = {as_misto_names_it(key): value for key, value in as_xlabs_names_it(theirs.state_dict()).items()}
    named |= {f"input_cond_block.encoder.{key}": value for key, value in layers.state_dict().items()}
    assert "controlnet_blocks.2.linear.weight" in named and "single_controlnet_blocks.1.linear.bias" in named
    model = control(named)
    assert isinstance(model.network, MistoControl)
    base, transformer = flux_transformer()
    said = told(base)

    seen = layers(PICTURE * 2 - 1)
    start = theirs.x_embedder(packed(X, 2)) + theirs.controlnet_x_embedder(packed(seen, 2))
    img, txt, temb, angles = entered(theirs, said, start)
    double: list[Tensor] = []
    for block, out in zip(theirs.transformer_blocks, theirs.controlnet_blocks, strict=True):
        txt, img = block(img, txt, temb, angles)
        double.append(F.silu(out(img)))
    txt, img, single = txt, torch.zeros_like(img), list[Tensor]()
    for block, out in zip(theirs.single_transformer_blocks, theirs.controlnet_single_blocks, strict=True):
        txt, img = block(img, txt, temb, angles)
        single.append(F.silu(out(torch.cat([txt, img], dim=1))))

    img, txt, temb, angles = entered(transformer, said, transformer.x_embedder(packed(X, 2)))
    for index, block in enumerate(transformer.transformer_blocks):
        txt, img = block(img, txt, temb, angles)
        img = img + 0.7 * double[index % 2]
    for index, block in enumerate(transformer.single_transformer_blocks):
        txt, img = block(img, txt, temb, angles)
        txt, img = txt + 0.7 * single[index % 2][:, :TEXT], img + 0.7 * single[index % 2][:, TEXT:]
    expected = unpacked(transformer.proj_out(transformer.norm_out(img, temb)), HEIGHT, WIDTH)

    found = residuals(model, base, shown(model.network, PICTURE, X, 1), X, LEVELS, **SAID)
    steered = base(X, LEVELS, **SAID, hooks=found.times(0.7).hooks())
    assert relative_error(steered, expected) <= TOLERANCE
    assert relative_error(base(X, LEVELS, **SAID), steered) > 0.01, "it was steered"
