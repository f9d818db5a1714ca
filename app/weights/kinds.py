"""What a file is that was put into the wrong slot, told by names that only its kind has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.errors import UnknownFamily
from app.weights.stored import Tensors


def _ends(*endings: str) -> Callable[[str], bool]:
    return lambda name: name.endswith(endings)


def _begins(*beginnings: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(beginnings)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file: which names tell it, and where it belongs."""

    what: str
    tells: Callable[[str], bool]
    remedy: str


IN_DIFFUSERS_NAMES = Kind(
    "a network in diffusers' names",
    _begins("down_blocks.", "unet.down_blocks."),
    "Put it into models/diffusion_models and load it with Load Diffusion Model.",
)
DIFFUSION = Kind(
    "a diffusion model without its first stage and text encoder",
    _begins("input_blocks.", "joint_blocks.", "double_blocks."),
    "Put it into models/diffusion_models and load it with Load Diffusion Model.",
)
# In this order: a ControlNet holds parts of a U-Net, a checkpoint a first stage.
KINDS = (
    Kind(
        "a LoRA or another adapter",
        _ends(
            *(".lora_up.weight", ".lora_down.weight", ".lora_A.weight", ".lora_B.weight", "_lora.up.weight"),
            *(".hada_w1_a", ".lokr_w1", ".lokr_w1_a", ".oft_blocks", ".oft_diag", ".diff", ".dora_scale"),
            *(".lora_linear_layer.up.weight", ".lora.up.weight", ".lora_A.default.weight", ".lora_A", ".lora_B"),
            *(".a1.weight", ".a2.weight", ".b1.weight", ".b2.weight"),
        ),
        "Put it into models/loras and load it with Load LoRA.",
    ),
    Kind(
        "a ControlNet",
        _begins("control_model.", "zero_convs.", "controlnet_", "lora_controlnet", "pos_embed_input."),
        "Put it into models/controlnet and load it with Load ControlNet Model.",
    ),
    Kind(
        "a T2I-Adapter",
        lambda name: name.removeprefix("adapter.").startswith(("body.0.block1.", "body.0.in_conv.", "body.0.resnets.")),
        "Put it into models/controlnet and load it with Load ControlNet Model.",
    ),
    Kind(
        "a textual inversion embedding",
        _begins("string_to_param", "emb_params", "bundle_emb"),
        "Put it into models/embeddings and write embedding:name in the prompt.",
    ),
    IN_DIFFUSERS_NAMES,
    DIFFUSION,
    Kind(
        "a vision encoder",
        lambda name: name.startswith("visual.") or "vision_model." in name,
        "Put it into models/clip_vision and load it with Load CLIP Vision.",
    ),
    Kind(
        "a text encoder",
        _begins("text_model.", "transformer.resblocks.", "encoder.block.", "shared.weight"),
        "Put it into models/text_encoders and load it with Load CLIP.",
    ),
    Kind(
        "a VAE",
        _begins("decoder.", "encoder.", "first_stage_model."),
        "Put it into models/vae and load it with Load VAE.",
    ),
    Kind(
        "an upscaler",
        _begins("conv_first.", "model.0.weight", "body.0.", "layers.0."),
        "Put it into models/upscale_models and load it with Load Upscale Model.",
    ),
)


def kind_of(tensors: Tensors) -> Kind | None:
    """The first kind that one of the names tells, None where none does."""
    return next((kind for kind in KINDS if any(kind.tells(name) for name in tensors)), None)


def refused(tensors: Tensors, name: str, wanted: str, looked_for: str) -> UnknownFamily:
    """The error for a file that is not what its slot is for: `wanted`, told by the tensors `looked_for`.

    One that is of the slot's kind, but none that is known, is not sent to where it lies already.
    """
    kind = kind_of(tensors)
    first = ", ".join(sorted(tensors)[:3]) or "none"
    if kind is None or kind.what in wanted:
        return UnknownFamily(
            f"The file {name!r} is not {wanted}: {looked_for} were looked for; its first tensors are {first}.",
            remedy="Choose another file, or convert this one to its original format.",
        )
    tell = next(key for key in tensors if kind.tells(key))
    return UnknownFamily(
        f"The file {name!r} is not {wanted}: it is {kind.what}, as its tensor {tell!r} tells.", remedy=kind.remedy
    )


def differences(ours: Mapping[str, object], theirs: Mapping[str, object]) -> list[str]:
    """The entries in which two descriptions differ, as words."""
    return [f"{key} {theirs[key]} where {value} is known" for key, value in ours.items() if theirs[key] != value]
