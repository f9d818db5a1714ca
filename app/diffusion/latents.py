"""What nodes do with LATENT values: batches, arithmetic, cuts. Nothing given is changed.

B latents, C channels, h × w latent pixels. A LATENT is {"samples": (B, C, h, w), "noise_mask"?, "batch_index"?}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from app.errors import InvalidRequest

Latent = Mapping[str, Any]
NewLatent = dict[str, Any]


def with_samples(latent: Latent, samples: Tensor) -> NewLatent:
    """The same latent with other samples."""
    return {**latent, "samples": samples}


def mapped(latent: Latent, change: Callable[[Tensor], Tensor]) -> NewLatent:
    """The samples changed; a noise mask too, as it lies over them."""
    result = with_samples(latent, change(latent["samples"]))
    mask = latent.get("noise_mask")
    return result if mask is None else {**result, "noise_mask": change(mask)}


def combined(first: Latent, second: Latent, of: Callable[[Tensor, Tensor], Tensor]) -> NewLatent:
    """A function of both samples; the second is fitted to the size and number of the first."""
    return with_samples(first, of(first["samples"], matching(second["samples"], first["samples"])))


def interpolated(first: Tensor, second: Tensor, ratio: float) -> Tensor:
    """`ratio` · first + (1 − ratio) · second, with directions and lengths (along C) mixed apart from each other."""
    lengths = [_lengths(samples) for samples in (first, second)]
    units = [torch.nan_to_num(s / n) for s, n in zip((first, second), lengths, strict=True)]
    mixed = units[0] * ratio + units[1] * (1 - ratio)
    direction = torch.nan_to_num(mixed / _lengths(mixed))
    return direction * (lengths[0] * ratio + lengths[1] * (1 - ratio))


def matching(samples: Tensor, like: Tensor) -> Tensor:
    """Samples in the size and number of `like`: resized bicubically from the middle, repeated.

    Raises:
        InvalidRequest: another number of channels.
    """
    if samples.shape[1] != like.shape[1]:
        raise InvalidRequest(
            f"These latents have {like.shape[1]} and {samples.shape[1]} channels.",
            remedy="Combine latents of one model only.",
        )
    if samples.shape[-2:] != like.shape[-2:]:
        samples = functional.interpolate(samples, size=tuple(like.shape[-2:]), mode="bicubic")
    return samples[torch.arange(len(like)) % len(samples)] if len(samples) != len(like) else samples


def joined(first: Latent, second: Latent) -> NewLatent:
    """One batch of both, with the noise that each would have had; (B₁ + B₂, C, h, w)."""
    other = second["samples"]
    if other.shape[1:] != first["samples"].shape[1:]:
        like = first["samples"][:1].expand(len(other), -1, -1, -1)
        other = matching(other, like)
    result = with_samples(first, torch.cat([first["samples"], other]))
    result["batch_index"] = [*batch_indices(first), *batch_indices(second)]
    return result


def batch_indices(latent: Latent) -> Sequence[int]:
    """Which noise of a batch each item gets."""
    return latent.get("batch_index") or list(range(len(latent["samples"])))


def taken(latent: Latent, start: int, count: int) -> NewLatent:
    """`count` items from `start` on, as far as there are any, and at least one; they keep the noise of their place."""
    samples: Tensor = latent["samples"]
    start = min(start, len(samples) - 1)
    chosen = slice(start, start + min(count, len(samples) - start))
    result = with_samples(latent, samples[chosen].clone())
    if (mask := latent.get("noise_mask")) is not None:
        result["noise_mask"] = mask.clone() if len(mask) == 1 else _repeated(mask, len(samples))[chosen].clone()
    result["batch_index"] = list(batch_indices(latent))[chosen]
    return result


def repeated(latent: Latent, times: int) -> NewLatent:
    """The batch so many times over; each copy gets noise of its own."""
    samples: Tensor = latent["samples"]
    result = with_samples(latent, samples.repeat(times, *(1 for _ in samples.shape[1:])))
    mask = latent.get("noise_mask")
    if mask is not None and len(mask) > 1:
        whole = _repeated(mask, len(samples))
        result["noise_mask"] = whole.repeat(times, *(1 for _ in whole.shape[1:]))
    if "batch_index" in latent:
        indices = list(latent["batch_index"])
        offset = max(indices) - min(indices) + 1
        result["batch_index"] = [index + offset * copy for copy in range(times) for index in indices]
    return result


def rebatched(latents: Sequence[Latent], size: int) -> list[NewLatent]:
    """All items in batches of `size`, the last one smaller; latents of another shape begin a new batch."""
    batches: list[NewLatent] = []
    for latent in latents:
        for index in range(len(latent["samples"])):
            item = taken(latent, index, 1)
            last = batches[-1] if batches else None
            if last and len(last["samples"]) < size and _alike(last, item):
                batches[-1] = _appended(last, item)
            else:
                batches.append(item)
    return batches


def cropped(samples: Tensor, x: int, y: int, width: int, height: int) -> Tensor:
    """The part from (x, y), of that size as far as it lies inside; at least 8 latent pixels remain where there are."""
    rows, columns = samples.shape[-2:]
    x, y = min(x, max(columns - 8, 0)), min(y, max(rows - 8, 0))
    return samples[..., y : y + height, x : x + width]


def concatenated(first: Latent, second: Latent, dim: str) -> NewLatent:
    """Side by side along x or y; "-x" and "-y" put the second before the first."""
    axis = _axis(dim)
    samples = [first["samples"], second["samples"]]
    samples[1] = samples[1][torch.arange(len(samples[0])) % len(samples[1])]
    try:
        return with_samples(first, torch.cat(samples[::-1] if dim.startswith("-") else samples, dim=axis))
    except RuntimeError as error:
        shapes = " and ".join(str(list(each.shape)) for each in samples)
        raise InvalidRequest(
            f"Latents of shape {shapes} do not fit together along {dim}.", remedy="Give both the same other sides."
        ) from error


def cut(latent: Latent, dim: str, index: int, amount: int) -> NewLatent:
    """`amount` latent pixels from `index` on along x or y; negative indices count from the end."""
    samples: Tensor = latent["samples"]
    axis = _axis(dim)
    length = samples.shape[axis]
    start = min(max(index, -length), length - 1) % length
    return with_samples(latent, samples.narrow(axis, start, min(amount, length - start)).clone())


def _lengths(vectors: Tensor) -> Tensor:
    # Torch does not say what the method returns.
    return cast("Tensor", vectors.norm(dim=1, keepdim=True))  # pyright: ignore[reportUnknownMemberType]


def _axis(dim: str) -> int:
    letter = dim.removeprefix("-")
    if letter not in ("x", "y"):
        raise InvalidRequest("These latents have no time axis.", remedy="Choose x or y.")
    return -1 if letter == "x" else -2


def _alike(first: Latent, second: Latent) -> bool:
    masks = [latent.get("noise_mask") for latent in (first, second)]
    same_mask = (masks[0] is None) == (masks[1] is None) and (
        masks[0] is None or masks[1] is None or masks[0].shape[1:] == masks[1].shape[1:]
    )
    return first["samples"].shape[1:] == second["samples"].shape[1:] and same_mask


def _appended(batch: Latent, item: Latent) -> NewLatent:
    result = with_samples(batch, torch.cat([batch["samples"], item["samples"]]))
    result["batch_index"] = [*batch["batch_index"], *item["batch_index"]]
    if "noise_mask" in batch:
        mask = _repeated(batch["noise_mask"], len(batch["samples"]))
        result["noise_mask"] = torch.cat([mask, item["noise_mask"][:1]])
    return result


def _repeated(mask: Tensor, count: int) -> Tensor:
    return mask[torch.arange(count) % len(mask)]
