"""Nodes that prepare what special models are told besides the prompt: a masked picture, a small one, depth, a class."""

from __future__ import annotations

from typing import Annotated

import torch

from app.api import Clip, Conditioning, Context, Image, Latent, Mask, Range, Text, Vae, node
from app.diffusion.conditioning.entries import with_options
from app.diffusion.given import checked_image, checked_mask, naming
from app.diffusion.models.class_embedder import class_condition
from app.diffusion.models.layout_embedder import layout_condition, read_boxes
from app.diffusion.models.spatial_rescaler import segmentation_condition
from app.images.inpaint import cut_evenly, erased
from app.images.resize import resize

UPSCALE = 4  # the upscaler's first stage gives this many pixels for each latent pixel
OUTPUTS = ("positive", "negative", "latent")


@node(
    "InpaintModelConditioning",
    category="conditioning/inpaint",
    id="InpaintModelConditioning",
    outputs=OUTPUTS,
    aliases=("inpaint", "fill"),
)
def inpaint_model_conditioning(
    *,
    context: Context,
    positive: Conditioning,
    negative: Conditioning,
    vae: Vae,
    pixels: Image,
    mask: Mask,
    noise_mask: bool = True,
) -> tuple[Conditioning, Conditioning, Latent]:
    """Shows an inpainting model the picture, with a part of it covered.

    Args:
        pixels: The picture.
        mask: 1 where it is to be drawn anew.
        noise_mask: Whether the rest is kept exactly as it is; otherwise the model may change it.
    """
    with naming("pixels"):
        checked_image(pixels)
    with naming("mask"):
        checked_mask(mask)
    covered, area = erased(pixels, mask, vae.factor, 0, vae.cover)
    with context.models.on_device(vae.model), naming("pixels"):
        shown = vae.encode(covered).cpu()
        latent = {"samples": vae.encode(pixels).cpu()}
    told = {"concat_latent_image": shown, "concat_mask": area}
    kept = {"noise_mask": area} if noise_mask else {}
    return with_options(positive, **told), with_options(negative, **told), {**latent, **kept}


@node(
    "InstructPixToPixConditioning",
    category="conditioning/instructpix2pix",
    id="InstructPixToPixConditioning",
    outputs=OUTPUTS,
    aliases=("edit",),
)
def instruct_pix_to_pix_conditioning(
    *, context: Context, positive: Conditioning, negative: Conditioning, vae: Vae, pixels: Image
) -> tuple[Conditioning, Conditioning, Latent]:
    """Shows an editing model (InstructPix2Pix, CosXL Edit) the picture that the prompt tells how to change.

    Args:
        pixels: The picture to change.
    """
    with naming("pixels"):
        checked_image(pixels)
    with context.models.on_device(vae.model), naming("pixels"):
        shown = vae.encode(cut_evenly(pixels, vae.factor)).cpu()
    positive, negative = (with_options(side, concat_latent_image=shown) for side in (positive, negative))
    return positive, negative, {"samples": torch.zeros_like(shown)}


@node(
    "SD_4XUpscale_Conditioning",
    category="conditioning/upscale_diffusion",
    id="SD_4XUpscale_Conditioning",
    outputs=OUTPUTS,
    aliases=("enlarge", "upscale"),
)
def sd_4x_upscale_conditioning(
    *,
    images: Image,
    positive: Conditioning,
    negative: Conditioning,
    scale_ratio: Annotated[float, Range(0.0, 10.0, step=0.01)] = 4.0,
    noise_augmentation: Annotated[float, Range(0.0, 1.0, step=0.001)] = 0.0,
) -> tuple[Conditioning, Conditioning, Latent]:
    """Shows Stable Diffusion's upscaler the picture to enlarge.

    Args:
        images: The pictures to enlarge.
        scale_ratio: How much larger the result is.
        noise_augmentation: How much noise hides the picture's details, so that the model invents new ones.
    """
    height, width = (max(1, round(side * scale_ratio)) // UPSCALE or 1 for side in images.shape[1:3])
    small = resize(images[..., :3].movedim(-1, 1), width, height, "bilinear", crop=True) * 2 - 1
    told = {"concat_image": small, "noise_augmentation": noise_augmentation}
    latent = torch.zeros(len(images), 4, height, width)
    return with_options(positive, **told), with_options(negative, **told), {"samples": latent}


@node(
    "Super Resolution Conditioning",
    category="conditioning/upscale_diffusion",
    id="LoomSuperResolutionConditioning",
    outputs=OUTPUTS,
    aliases=("enlarge", "upscale", "ldm"),
)
def super_resolution_conditioning(
    *, images: Image, positive: Conditioning, negative: Conditioning
) -> tuple[Conditioning, Conditioning, Latent]:
    """Shows latent diffusion's super-resolution model (bsr_sr) the picture that it enlarges four times.

    Args:
        images: The pictures to enlarge.
    """
    small = images[..., :3].movedim(-1, 1).contiguous() * 2 - 1
    positive, negative = (with_options(side, concat_image=small) for side in (positive, negative))
    return positive, negative, {"samples": torch.zeros_like(small)}


@node(
    "Depth Conditioning",
    category="conditioning",
    id="LoomDepthConditioning",
    outputs=OUTPUTS[:2],
    aliases=("depth2img", "sd2"),
)
def depth_conditioning(
    *, positive: Conditioning, negative: Conditioning, depth: Image
) -> tuple[Conditioning, Conditioning]:
    """Shows Stable Diffusion 2's depth model how near each place of the picture is.

    Args:
        depth: Brighter is nearer; any brightness, as it is stretched to the whole range.
    """
    near = depth[..., :3].mean(-1)[:, None]
    low, high = near.amin((2, 3), keepdim=True), near.amax((2, 3), keepdim=True)
    told = (near - low) / (high - low).clamp(min=1e-6) * 2 - 1
    return with_options(positive, concat_image=told), with_options(negative, concat_image=told)


@node("Class Conditioning", category="conditioning", id="LoomClassConditioning", aliases=("label", "imagenet"))
def class_conditioning(*, clip: Clip, label: Annotated[int, Range(0, 100_000)] = 0) -> Conditioning:
    """Tells a model of latent diffusion that knows classes which one to draw.

    Args:
        clip: What the checkpoint loader gives as CLIP.
        label: The number of the class; the one after the last stands for no class.
    """
    return [[class_condition(clip, label), {}]]


@node("Layout Conditioning", category="conditioning", id="LoomLayoutConditioning", aliases=("boxes", "objects", "ldm"))
def layout_conditioning(
    *, clip: Clip, boxes: Annotated[str, Text(multiline=True)] = "0 0.25 0.25 0.5 0.5"
) -> Conditioning:
    """Tells latent diffusion's layout2img which objects to draw, and where.

    Args:
        clip: What the checkpoint loader gives as CLIP.
        boxes: One object a line: the number of its class, x, y, width and height, all in parts of the picture (0 to 1).
    """
    return [[layout_condition(clip, read_boxes(boxes)), {}]]


@node("Empty Conditioning", category="conditioning", id="LoomEmptyConditioning", aliases=("unconditional",))
def empty_conditioning() -> Conditioning:
    """Says nothing, for models that are told nothing. Sample them with a cfg of 1."""
    return [[torch.zeros(1, 1, 1), {}]]


@node(
    "Segmentation Conditioning",
    category="conditioning",
    id="LoomSegmentationConditioning",
    outputs=("conditioning", "latent"),
    aliases=("semantic", "landscape", "ldm"),
)
def segmentation_conditioning(*, clip: Clip, labels: Image) -> tuple[Conditioning, Latent]:
    """Tells latent diffusion's semantic_synthesis what is where in the picture.

    Args:
        clip: What the checkpoint loader gives as CLIP.
        labels: A map whose grey values from 0 to 255 are the numbers of classes; four pixels make a latent pixel.
    """
    told = segmentation_condition(clip, (labels[..., 0] * 255).round())
    return [[torch.zeros(1, 1, 1), {"concat_image": told}]], {"samples": torch.zeros_like(told)}
