"""Nodes that let a picture steer what is drawn: ControlNets and T2I-Adapters."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from app.api import Choice, Conditioning, Context, FileIn, Image, Mask, Model, Optionally, Port, Range, Vae, node
from app.diffusion.control import TASKS, Steering, Steers
from app.diffusion.given import checked_image, checked_mask, naming

CATEGORY = "conditioning/controlnet"
ControlNet = Annotated[Steering, Port("CONTROL_NET")]
Strength = Annotated[float, Range(0.0, 10.0, step=0.01)]
Part = Annotated[float, Range(0.0, 1.0, step=0.001)]
BOTH = ("positive", "negative")


@node("Load ControlNet Model", category="loaders", id="ControlNetLoader", aliases=("t2i", "adapter", "canny", "depth"))
def load_controlnet(*, context: Context, control_net_name: Annotated[str, FileIn("controlnet")]) -> ControlNet:
    """Loads a ControlNet, Control-LoRA or T2I-Adapter, with which a picture steers what is drawn.

    Args:
        control_net_name: The file to load, from models/controlnet.
    """
    return context.models.control(control_net_name)


@node("Load ControlNet Model (diff)", category="loaders", id="DiffControlNetLoader")
def load_controlnet_difference(
    *, context: Context, model: Model, control_net_name: Annotated[str, FileIn("controlnet")]
) -> ControlNet:
    """Loads a ControlNet that was saved as the difference to a model.

    Args:
        model: The model that the difference is added to.
        control_net_name: The file to load, from models/controlnet.
    """
    return context.models.control(control_net_name, model)


@node("Apply ControlNet (OLD)", category=CATEGORY, id="ControlNetApply", deprecated=True)
def apply_controlnet_to_both(
    *, conditioning: Conditioning, control_net: ControlNet, image: Image, strength: Strength = 1.0
) -> Conditioning:
    """Lets a picture steer what is drawn, whatever the negative prompt is.

    Args:
        image: What the ControlNet was trained to follow: edges, a depth map, a pose.
        strength: How much the picture counts.
    """
    if not strength:
        return conditioning
    applied = _applied([conditioning], control_net, image, strength, (0.0, 1.0), None)
    return [[features, {**said, "control_apply_to_uncond": True}] for features, said in applied[0]]


@node("Apply ControlNet", category=CATEGORY, id="ControlNetApplyAdvanced", outputs=BOTH, aliases=("canny", "pose"))
def apply_controlnet(
    *,
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    image: Image,
    strength: Strength = 1.0,
    start_percent: Part = 0.0,
    end_percent: Part = 1.0,
    vae: Annotated[Vae | None, Optionally()] = None,
) -> tuple[Conditioning, Conditioning]:
    """Lets a picture steer what is drawn. Several can be applied one after the other; their effects add up.

    Args:
        image: What the ControlNet was trained to follow: edges, a depth map, a pose. It is scaled to the latent's size.
        strength: How much the picture counts.
        start_percent: From which part of the way on.
        end_percent: Until which part of the way.
        vae: For ControlNets that follow the latent of a picture: most of Stable Diffusion 3 and Flux.
    """
    if not strength:
        return positive, negative
    span = (start_percent, end_percent)
    first, second = _applied([positive, negative], control_net, image, strength, span, vae)
    return first, second


@node("Apply Controlnet with VAE", category=CATEGORY, id="ControlNetApplySD3", outputs=BOTH, deprecated=True)
def apply_controlnet_with_vae(
    *,
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    vae: Vae,
    image: Image,
    strength: Strength = 1.0,
    start_percent: Part = 0.0,
    end_percent: Part = 1.0,
) -> tuple[Conditioning, Conditioning]:
    """Lets a picture steer what is drawn; use Apply ControlNet, which takes a VAE as well.

    Args:
        image: What the ControlNet was trained to follow.
        strength: How much the picture counts.
        start_percent: From which part of the way on.
        end_percent: Until which part of the way.
    """
    if not strength:
        return positive, negative
    span = (start_percent, end_percent)
    first, second = _applied([positive, negative], control_net, image, strength, span, vae)
    return first, second


@node(
    "ControlNetInpaintingAliMamaApply",
    category=CATEGORY,
    id="ControlNetInpaintingAliMamaApply",
    outputs=BOTH,
    aliases=("inpaint",),
)
def apply_inpainting_controlnet(
    *,
    positive: Conditioning,
    negative: Conditioning,
    control_net: ControlNet,
    vae: Vae,
    image: Image,
    mask: Mask,
    strength: Strength = 1.0,
    start_percent: Part = 0.0,
    end_percent: Part = 1.0,
) -> tuple[Conditioning, Conditioning]:
    """Lets a picture with a hole steer what is drawn. ControlNets that take no mask follow the whole picture.

    Args:
        mask: What is to be drawn anew.
        strength: How much the picture counts.
        start_percent: From which part of the way on.
        end_percent: Until which part of the way.
    """
    if not strength:
        return positive, negative
    span = (start_percent, end_percent)
    first, second = _applied([positive, negative], control_net, image, strength, span, vae, mask)
    return first, second


@node("SetUnionControlNetType", category=CATEGORY, id="SetUnionControlNetType", aliases=("union",))
def set_union_type(*, control_net: ControlNet, type: Annotated[str, Choice("auto", *TASKS)]) -> ControlNet:
    """Tells a union ControlNet what kind of picture it is shown.

    Args:
        type: The kind; "auto" does not tell.
    """
    return control_net.of_task(TASKS.get(type))


def _applied(
    sides: list[Any],
    control_net: Steering,
    image: Tensor,
    strength: float,
    span: tuple[float, float],
    vae: Any,
    mask: Tensor | None = None,
) -> list[Any]:
    """Each side with one control more. What followed the same before, follows the same after."""
    with naming("image"):
        checked_image(image, least=1)  # some adapters follow grey pictures
    if mask is not None:
        with naming("mask"):
            checked_mask(mask)
    made: dict[int, Steers] = {}

    def after(previous: Steers | None) -> Steers:
        if id(previous) not in made:
            made[id(previous)] = control_net.following(image, strength, span, previous, vae=vae, mask=mask)
        return made[id(previous)]

    return [
        [
            [features, {**said, "control": after(said.get("control")), "control_apply_to_uncond": False}]
            for features, said in side
        ]
        for side in sides
    ]
