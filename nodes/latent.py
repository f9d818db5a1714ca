"""Nodes that make and change latents. Sizes are told in pixels; a latent pixel stands for 8 of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch

from app.api import Choice, Latent, Mask, Port, Range, node
from app.diffusion import latents
from app.diffusion.drawing import GRID, empty_latent
from app.diffusion.latents import rebatched
from app.diffusion.sampling import PER_IMAGE
from app.images.composite import paste, paste_feathered
from app.images.resize import LATENT_METHODS, kept_proportions, resize, scaled_by

Side = Annotated[int, Range(16, 16384, step=8)]
OptionalSide = Annotated[int, Range(0, 16384, step=8)]
Place = Annotated[int, Range(0, 16384, step=8)]
Count = Annotated[int, Range(1, 64)]
BatchSize = Annotated[int, Range(1, 4096)]
Method = Annotated[str, Choice(*LATENT_METHODS)]
Crop = Literal["disabled", "center"]


@node("Empty Latent Image", category="latent", id="EmptyLatentImage", aliases=("size", "resolution", "new"))
def empty_latent_image(*, width: Side = 512, height: Side = 512, batch_size: BatchSize = 1) -> Latent:
    """A blank latent to start from; its size is the size of the picture.

    Args:
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        batch_size: How many pictures to draw at once.
    """
    return empty_latent(width, height, batch_size)


@node("Empty SD3 Latent Image", category="latent/sd3", id="EmptySD3LatentImage", aliases=("size", "resolution"))
def empty_sd3_latent_image(
    *,
    width: Annotated[int, Range(16, 16384, step=16)] = 1024,
    height: Annotated[int, Range(16, 16384, step=16)] = 1024,
    batch_size: BatchSize = 1,
) -> Latent:
    """A blank latent of 16 channels, for Stable Diffusion 3, Flux and their like."""
    return empty_latent(width, height, batch_size, channels=16)


@node("Upscale Latent", category="latent", id="LatentUpscale", aliases=("resize", "enlarge"))
def latent_upscale(
    *,
    samples: Latent,
    upscale_method: Method,
    width: OptionalSide = 512,
    height: OptionalSide = 512,
    crop: Crop,
) -> Latent:
    """Resizes latents. A side of 0 keeps the proportions.

    Args:
        crop: Whether to take the middle part where the proportions change, instead of stretching.
    """
    old = samples["samples"]
    size = kept_proportions((old.shape[-1] * GRID, old.shape[-2] * GRID), width, height)
    columns, rows = (max(8, side // GRID) if width or height else side // GRID for side in size)
    return latents.with_samples(samples, resize(old, columns, rows, upscale_method, crop=crop == "center"))


@node("Upscale Latent By", category="latent", id="LatentUpscaleBy", aliases=("resize", "enlarge"))
def latent_upscale_by(
    *, samples: Latent, upscale_method: Method, scale_by: Annotated[float, Range(0.01, 8.0, step=0.01)] = 1.5
) -> Latent:
    """Resizes latents by a factor."""
    old = samples["samples"]
    columns, rows = scaled_by((old.shape[-1], old.shape[-2]), scale_by)
    return latents.with_samples(samples, resize(old, columns, rows, upscale_method))


@node("Latent Composite", category="latent", id="LatentComposite", aliases=("paste", "combine"))
def latent_composite(
    *, samples_to: Latent, samples_from: Latent, x: Place = 0, y: Place = 0, feather: Place = 0
) -> Latent:
    """Puts one latent on another.

    Args:
        feather: Over how many pixels it fades in at its edges.
    """
    target = samples_to["samples"]
    source = samples_from["samples"]
    return latents.with_samples(samples_to, paste_feathered(target, source, x // GRID, y // GRID, feather // GRID))


@node("Latent Composite Masked", category="latent", id="LatentCompositeMasked", aliases=("paste", "combine"))
def latent_composite_masked(
    *,
    destination: Latent,
    source: Latent,
    x: Place = 0,
    y: Place = 0,
    resize_source: bool = False,
    mask: Mask | None = None,
) -> Latent:
    """Puts one latent on another where a mask is 1."""
    pasted = paste(
        destination["samples"], source["samples"], x // GRID, y // GRID, mask=mask, resize_source=resize_source
    )
    return latents.with_samples(destination, pasted)


@node("Latent Blend", category="_for_testing", id="LatentBlend", aliases=("mix",))
def latent_blend(
    *, samples1: Latent, samples2: Latent, blend_factor: Annotated[float, Range(0, 1, step=0.01)] = 0.5
) -> Latent:
    """Mixes two latents; a factor of 1 gives the first."""
    return latents.combined(samples1, samples2, lambda a, b: a * blend_factor + b * (1 - blend_factor))


@node("Latent Add", category="latent/advanced", id="LatentAdd")
def latent_add(*, samples1: Latent, samples2: Latent) -> Latent:
    """Adds two latents, value by value."""
    return latents.combined(samples1, samples2, torch.add)


@node("Latent Subtract", category="latent/advanced", id="LatentSubtract")
def latent_subtract(*, samples1: Latent, samples2: Latent) -> Latent:
    """Takes the second latent from the first."""
    return latents.combined(samples1, samples2, torch.sub)


@node("Latent Multiply", category="latent/advanced", id="LatentMultiply")
def latent_multiply(*, samples: Latent, multiplier: Annotated[float, Range(-10.0, 10.0, step=0.01)] = 1.0) -> Latent:
    """Multiplies a latent by a number."""
    return latents.with_samples(samples, samples["samples"] * multiplier)


@node("Latent Interpolate", category="latent/advanced", id="LatentInterpolate", aliases=("mix", "morph"))
def latent_interpolate(
    *, samples1: Latent, samples2: Latent, ratio: Annotated[float, Range(0.0, 1.0, step=0.01)] = 1.0
) -> Latent:
    """Goes from the second latent (0) to the first (1) without losing contrast in between."""
    return latents.combined(samples1, samples2, lambda a, b: latents.interpolated(a, b, ratio))


@node("Latent Concat", category="latent/advanced", id="LatentConcat", aliases=("join", "stitch"))
def latent_concat(*, samples1: Latent, samples2: Latent, dim: Literal["x", "-x", "y", "-y", "t", "-t"]) -> Latent:
    """Puts two latents side by side.

    Args:
        dim: Along which axis; a minus puts the second before the first.
    """
    return latents.concatenated(samples1, samples2, dim)


@node("Latent Cut", category="latent/advanced", id="LatentCut")
def latent_cut(
    *,
    samples: Latent,
    dim: Literal["x", "y", "t"],
    index: Annotated[int, Range(-16384, 16384, step=1)] = 0,
    amount: Annotated[int, Range(1, 16384, step=1)] = 1,
) -> Latent:
    """Cuts a strip out of a latent.

    Args:
        index: Where it begins, in latent pixels; negative numbers count from the end.
        amount: How wide it is, in latent pixels.
    """
    return latents.cut(samples, dim, index, amount)


@node("Latent Batch", category="latent/batch", id="LatentBatch", aliases=("join", "merge"))
def latent_batch(*, samples1: Latent, samples2: Latent) -> Latent:
    """Makes one batch of two."""
    return latents.joined(samples1, samples2)


@node("Latent From Batch", category="latent/batch", id="LatentFromBatch", aliases=("pick", "select"))
def latent_from_batch(*, samples: Latent, batch_index: Annotated[int, Range(0, 63)] = 0, length: Count = 1) -> Latent:
    """Takes some latents out of a batch; they keep the noise that they had in it.

    Args:
        batch_index: The first one to take, counting from 0.
        length: How many to take.
    """
    return latents.taken(samples, batch_index, length)


@node("Repeat Latent Batch", category="latent/batch", id="RepeatLatentBatch", aliases=("copies", "duplicate"))
def repeat_latent_batch(*, samples: Latent, amount: Count = 1) -> Latent:
    """Repeats a batch; each copy is sampled with noise of its own."""
    return latents.repeated(samples, amount)


@node(
    "Rebatch Latents", category="latent/batch", id="RebatchLatents", input_is_list=True, aliases=("split", "batch size")
)
def rebatch_latents(
    *, latents: Annotated[list[Any], Port("LATENT")], batch_size: Annotated[Any, Port("INT"), Range(1, 4096)] = 1
) -> Annotated[list[Any], Port("LATENT", is_list=True)]:
    """Splits and joins batches into batches of one size."""
    return rebatched(latents, batch_size[0])


@node("Latent Batch Seed Behavior", category="latent/advanced", id="LatentBatchSeedBehavior")
def latent_batch_seed_behaviour(
    *, samples: Latent, seed_behavior: Annotated[str, Choice("random", "fixed", "per image")] = "fixed"
) -> Latent:
    """Decides how the items of a batch share the noise of a seed.

    Args:
        seed_behavior: "fixed" gives all the noise of the first, "random" each its own. With "per image" the k-th also
            becomes the picture that it would be alone, with the seed + k, whatever the size of the batch.
    """
    rest = {key: value for key, value in samples.items() if key not in ("batch_index", PER_IMAGE)}
    if seed_behavior == "per image":
        return {**rest, PER_IMAGE: True, "batch_index": list(latents.batch_indices(samples))}
    if seed_behavior == "random":
        return rest
    return {**rest, "batch_index": [latents.batch_indices(samples)[0]] * len(samples["samples"])}


@node("Set Latent Noise Mask", category="latent/inpaint", id="SetLatentNoiseMask", aliases=("inpaint",))
def set_latent_noise_mask(*, samples: Latent, mask: Mask) -> Latent:
    """Lets a sampler change only what a mask covers.

    Args:
        mask: 1 where the picture may change, 0 where it is kept.
    """
    return {**samples, "noise_mask": mask.reshape(-1, 1, *mask.shape[-2:])}


@node("Crop Latent", category="latent/transform", id="LatentCrop")
def latent_crop(
    *,
    samples: Latent,
    width: Annotated[int, Range(64, 16384, step=8)] = 512,
    height: Annotated[int, Range(64, 16384, step=8)] = 512,
    x: Place = 0,
    y: Place = 0,
) -> Latent:
    """Cuts a rectangle out of a latent."""
    part = latents.cropped(samples["samples"], x // GRID, y // GRID, width // GRID, height // GRID)
    return latents.with_samples(samples, part)


@node("Flip Latent", category="latent/transform", id="LatentFlip", aliases=("mirror",))
def latent_flip(*, samples: Latent, flip_method: Literal["x-axis: vertically", "y-axis: horizontally"]) -> Latent:
    """Mirrors a latent, top to bottom or left to right."""
    axis = -2 if flip_method.startswith("x") else -1
    return latents.mapped(samples, lambda tensor: tensor.flip(axis))


@node("Rotate Latent", category="latent/transform", id="LatentRotate", aliases=("turn",))
def latent_rotate(*, samples: Latent, rotation: Literal["none", "90 degrees", "180 degrees", "270 degrees"]) -> Latent:
    """Turns a latent clockwise by quarters."""
    turns = 0 if rotation == "none" else int(rotation.split()[0]) // 90
    return latents.mapped(samples, lambda tensor: tensor.rot90(turns, (-1, -2)))
