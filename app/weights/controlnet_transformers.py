"""ControlNets of Stable Diffusion 3 and Flux from files, in each of the layouts in which they are published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from app.diffusion.models.controlnet_flux import FluxControl, FluxControlConfig
from app.diffusion.models.controlnet_flux_misto import MistoControl
from app.diffusion.models.controlnet_sd3 import KINDS, SD3Control, SD3ControlConfig, SD3ImageControl
from app.diffusion.models.controlnet_sd3 import SD3ImageControlConfig as ImageConfig
from app.diffusion.models.flux import PATCH, FluxConfig
from app.diffusion.models.mmdit import MMDiTConfig, mmdit_config
from app.errors import UnusableFile
from app.weights.blank import blank
from app.weights.diffusers_transformers import joined, transformer_names
from app.weights.fill import fill
from app.weights.network import precision_of
from app.weights.stored import Shapes, Stored, Tensors, shapes_of

Control = FluxControl | SD3Control | SD3ImageControl
# What tells the layouts.
INSTANTX_FLUX, XLABS, MISTO = (
    "controlnet_x_embedder.weight",
    "double_blocks.0.img_attn.norm.key_norm.scale",
    "controlnet_blocks.0.linear.weight",
)
SD3, SD3_TEXT = "pos_embed_input.proj.weight", "context_embedder.weight"
# What tells ControlNets of models that are not read.
UNREAD = {
    "transformer_blocks.0.img_mlp.net.0.proj.weight": "Qwen-Image",
    "after_proj_list.18.bias": "Hunyuan-DiT",
}
CONTROL = ("controlnet_", "pos_embed_input.", "input_hint_block.")
# diffusers' names of the layers that see the picture, and their numbers in the original.
SEEING = {
    "input_hint_block.conv_in.": "input_hint_block.0.",
    **{f"input_hint_block.blocks.{index}.": f"input_hint_block.{2 * index + 2}." for index in range(6)},
    "input_hint_block.conv_out.": "input_hint_block.14.",
}
# Our names and theirs, of XLabs's and of TheMistoAI's file.
XLABS_NAMES = {"pos_embed_input.": "controlnet_x_embedder."}
MISTO_NAMES = {
    "pos_embed_input.": "controlnet_x_embedder.",
    "input_cond_block.encoder.": "input_hint_block.",
    "single_controlnet_blocks.": "controlnet_single_blocks.",
}
# Stability's, whose blocks have the published names of the transformer, and the same in diffusers'.
IMAGE_NAMES = {
    "time_text_embed.timestep_embedder.linear_1.": "t_embedder.mlp.0.",
    "time_text_embed.timestep_embedder.linear_2.": "t_embedder.mlp.2.",
    "time_text_embed.text_embedder.linear_1.": "y_embedder.mlp.0.",
    "time_text_embed.text_embedder.linear_2.": "y_embedder.mlp.2.",
}
BLOCK_NAMES = {
    "norm1.linear.": "adaLN_modulation.1.",
    "attn.to_out.0.": "attn.proj.",
    "ff.net.0.proj.": "mlp.fc1.",
    "ff.net.2.": "mlp.fc2.",
}


@dataclass(frozen=True, slots=True)
class ControlFile:
    """A file's tensors, its name for messages, and what its path says of the kind of picture."""

    tensors: Tensors
    name: str
    stem: str
    dtype: torch.dtype


def transformer_control(file: ControlFile) -> Control | None:
    """The network in a file of one of these layouts; None for another file.

    Raises:
        UnusableFile: a damaged or incomplete file, or one of a model that is not read.
    """
    tensors = file.tensors
    for name, model in UNREAD.items():
        if name in tensors:
            raise UnusableFile(
                f"The file {file.name!r} is a ControlNet of {model}, which is not read.",
                remedy="Choose one of Stable Diffusion or Flux.1.",
            )
    tells: Mapping[str, Callable[[ControlFile], Control]] = {
        INSTANTX_FLUX: _flux,
        MISTO: _misto,
        XLABS: _xlabs,
        SD3: _sd3 if SD3_TEXT in tensors else _sd3_image,
    }
    for name, read in tells.items():
        if name in tensors and any(key.startswith(CONTROL) for key in tensors):
            try:
                return read(file)
            except KeyError as missing:
                raise UnusableFile(
                    f"The ControlNet {file.name!r} lacks the tensor {missing}.",
                    remedy="It was saved incompletely; use another copy.",
                ) from missing
    return None


def _flux(file: ControlFile) -> FluxControl:
    """In diffusers' names: InstantX's and Shakker's, and those of XLabs that were brought into them."""
    named = {f"flux.{key}": stored for key, stored in transformer_names("flux", file.tensors).items()}
    named |= {key: stored for key, stored in _renamed(file.tensors, SEEING).items() if key.startswith(CONTROL)}
    shapes = shapes_of(named)
    pictures = "input_hint_block.0.weight" in shapes
    config = FluxControlConfig(
        _flux_shape(shapes),
        shapes[INSTANTX_FLUX][1] // PATCH**2,
        shapes.get("controlnet_mode_embedder.weight", (0,))[0],
        pictures=pictures,
    )
    if not pictures:
        _check_hint(config.hint_channels, config.flux.in_channels, file.name)
    return _filled_flux(FluxControl, config, named, file)


def _xlabs(file: ControlFile) -> FluxControl:
    named = _control_apart(_renamed(file.tensors, XLABS_NAMES))
    return _filled_flux(FluxControl, _picture_config(shapes_of(named)), named, file)


def _misto(file: ControlFile) -> FluxControl:
    named = _control_apart(_renamed(file.tensors, MISTO_NAMES))
    return _filled_flux(MistoControl, _picture_config(shapes_of(named)), named, file)


def _control_apart(named: Mapping[str, Stored]) -> dict[str, Stored]:
    """The transformer's own tensors, which stand beside the ControlNet's in these files, in `flux`."""
    return {key if key.startswith(CONTROL) else f"flux.{key}": stored for key, stored in named.items()}


def _picture_config(shapes: Shapes) -> FluxControlConfig:
    return FluxControlConfig(_flux_shape(shapes), shapes[INSTANTX_FLUX][1] // PATCH**2, pictures=True)


def _flux_shape(shapes: Shapes) -> FluxConfig:
    width, channels = shapes["flux.img_in.weight"]
    head = shapes["flux.double_blocks.0.img_attn.norm.key_norm.scale"][0]
    return FluxConfig(
        in_channels=channels // PATCH**2,
        out_channels=channels // PATCH**2,
        width=width,
        heads=width // head,
        double=_count(shapes, "flux.double_blocks."),
        single=_count(shapes, "flux.single_blocks."),
        context_width=shapes["flux.txt_in.weight"][1],
        vector_width=shapes["flux.vector_in.in_layer.weight"][1],
        guidance="flux.guidance_in.in_layer.weight" in shapes,
    )


def _filled_flux(
    kind: type[FluxControl], config: FluxControlConfig, tensors: Tensors, file: ControlFile
) -> FluxControl:
    with blank():
        network = kind(config)
    fill(network, tensors, file.name, dtype=precision_of(network, file.dtype))
    return network


def _sd3(file: ControlFile) -> SD3Control:
    """InstantX's and Alimama's, in diffusers' names."""
    named = {f"mmdit.{key}": stored for key, stored in transformer_names("sd3", file.tensors).items()}
    named |= {key: stored for key, stored in file.tensors.items() if key.startswith(CONTROL)}
    shapes = shapes_of(named)
    own = {name.removeprefix("mmdit."): shape for name, shape in shapes.items()}
    shape = replace(mmdit_config(own), depth=_count(shapes, "controlnet_blocks."))
    config = SD3ControlConfig(shape, shapes[SD3][1])
    _check_hint(config.hint_channels, shape.channels, file.name)
    with blank():
        network = SD3Control(config)
    fill(network, named, file.name, dtype=precision_of(network, file.dtype))
    return network


def _sd3_image(file: ControlFile) -> SD3ImageControl:
    """Stability's for 3.5 large, as published or in diffusers' names."""
    named = _joined_blocks(_renamed(file.tensors, IMAGE_NAMES))
    shapes = shapes_of(named)
    width, channels = shapes[SD3][:2]
    shape = MMDiTConfig(
        depth=_count(shapes, "controlnet_blocks."),
        width=width,
        channels=channels,
        vector_width=shapes["y_embedder.mlp.0.weight"][1],
    )
    with blank():
        network = SD3ImageControl(ImageConfig(shape, _kind(file)))
    fill(network, named, file.name, dtype=precision_of(network, file.dtype))
    return network


def _kind(file: ControlFile) -> str:
    """What kind of picture it follows: as the file says, or else its name."""
    if "control_type" in file.tensors:
        number = round(float(file.tensors["control_type"].read().flatten()[0]))
        if not 0 <= number < len(KINDS):
            raise UnusableFile(
                f"The ControlNet {file.name!r} says to be of kind {number}; known are {dict(enumerate(KINDS))}.",
                remedy="Use another copy of it.",
            )
        return KINDS[number]
    return next((kind for kind in KINDS if kind in file.stem.lower()), KINDS[0])


def _joined_blocks(tensors: Tensors) -> dict[str, Stored]:
    """Blocks in diffusers' names under the published ones; those that have them already stay as they are."""
    named: dict[str, Stored] = {}
    for key, stored in tensors.items():
        start, part = _split(key)
        if part.startswith("attn.to_q."):
            kind = part.rpartition(".")[2]
            projections = [tensors[f"{start}attn.to_{which}.{kind}"] for which in "qkv"]
            named[f"{start}attn.qkv.{kind}"] = joined(projections)
        elif not part.startswith(("attn.to_k.", "attn.to_v.")):
            named[start + _begun_otherwise(part, BLOCK_NAMES)] = stored
    return named


def _split(key: str) -> tuple[str, str]:
    """A block and a layer of it; for what is in no block, nothing and its name."""
    if not key.startswith("transformer_blocks."):
        return "", key
    prefix, index, part = key.split(".", 2)
    return f"{prefix}.{index}.", part


def _check_hint(channels: int, latent: int, name: str) -> None:
    if channels not in (latent, latent + 1):
        raise UnusableFile(
            f"The ControlNet {name!r} is shown {channels} channels of a picture; known are {latent}, a latent, "
            f"and {latent + 1}, a latent with a mask.",
            remedy="Use a ControlNet as InstantX or Alimama have published them.",
        )


def _renamed(tensors: Tensors, names: Mapping[str, str]) -> dict[str, Stored]:
    return {_begun_otherwise(key, names): stored for key, stored in tensors.items()}


def _begun_otherwise(key: str, names: Mapping[str, str]) -> str:
    for theirs, ours in names.items():
        if key.startswith(theirs):
            return ours + key[len(theirs) :]
    return key


def _count(shapes: Shapes, prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix)})
