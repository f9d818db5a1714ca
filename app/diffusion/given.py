"""What comes over links is looked at before anything is computed with it: one check for each kind of value.

A pack's link may carry anything, whatever the type of its port says.
B pictures, C channels, h × w latent pixels, H × W pixels, T tokens, D width
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from app.errors import InvalidRequest, UnusableFile

LATENT_AXES = ("pictures", "channels", "height", "width")
IMAGE_AXES = ("pictures", "height", "width", "colours")
FEATURE_AXES = ("prompts", "tokens", "width")
# Options of a conditioning that networks are given.
READ = ("pooled_output", "concat_latent_image", "concat_image", "concat_mask")
LEAST_COLOURS = 3
SHOWN_LEVELS = 8

MADE_BADLY = (
    "Look at the node that made it; if that is a sampler, lower its cfg, or choose another sampler or scheduler."
)


@contextmanager
def naming(input_name: str) -> Generator[None]:
    """What is refused inside without naming an input names this one."""
    try:
        yield
    except (InvalidRequest, UnusableFile) as error:
        error.input_name = error.input_name or input_name
        raise


def finite(*values: Tensor) -> bool:
    """Whether all values are numbers. Reads each tensor once; what lies on a device is waited for once."""
    measured = [value for value in values if value.is_floating_point() and value.numel()]
    if not measured:
        return True
    ends = [end for value in measured for end in torch.aminmax(value)]
    return bool(torch.isfinite(torch.stack([end.float() for end in ends])).all())


def checked_samples(samples: object) -> Tensor:
    """The samples of a latent, (B, C, h, w).

    Raises:
        InvalidRequest: another shape, a side of 0, values that are not numbers.
    """
    remedy = "Link an output of type LATENT that was made for pictures, of at least 8 × 8 pixels."
    return _checked(samples, "latent", LATENT_AXES, remedy)


def checked_latent(latent: object) -> Tensor:
    """The samples of a LATENT, (B, C, h, w), whose noise mask is looked at too. Raises as `checked_samples`."""
    if not isinstance(latent, Mapping):
        raise InvalidRequest(_is_no("latent", latent), remedy="Link an output of type LATENT.")
    said = cast("Mapping[str, Any]", latent)
    samples = checked_samples(said.get("samples"))
    if said.get("noise_mask") is not None:
        checked_mask(said["noise_mask"], "noise mask of a latent")
    return samples


def checked_mask(mask: object, what: str = "mask") -> Tensor:
    """A mask (H, W), (B, H, W) or (B, 1, H, W).

    Raises:
        InvalidRequest: no such shape, a side of 0, values that are not numbers.
    """
    remedy = "Link an output of type MASK that is not empty."
    if isinstance(mask, Tensor) and mask.ndim < 2:
        raise InvalidRequest(
            f"This is no {what} that can be used here: its shape is {list(mask.shape)}, wanted is (height, width) or "
            "(masks, height, width).",
            remedy=remedy,
        )
    leading = ("masks", "1", "1")[: mask.ndim - 2] if isinstance(mask, Tensor) else ()
    return _checked(mask, what, (*leading, "height", "width"), remedy)


def checked_image(image: object, least: int = LEAST_COLOURS) -> Tensor:
    """An image (B, H, W, `least` or more), of which three channels are used.

    Raises:
        InvalidRequest: another shape, a side of 0, values that are not numbers.
    """
    remedy = "Link an output of type IMAGE; a mask becomes one by Convert Mask to Image."
    if isinstance(image, Tensor) and image.ndim == len(IMAGE_AXES) and image.shape[-1] < least:
        raise InvalidRequest(
            f"This image has too few colours: its shape is {list(image.shape)}, wanted is "
            f"({', '.join(IMAGE_AXES)}) with {least} colours or more.",
            remedy=remedy,
        )
    return _checked(image, "image", IMAGE_AXES, remedy)


def checked_conditioning(conditioning: object, input_name: str) -> None:
    """Refuses what is no list of [features (B, T, D), options]; an empty one says nothing, which is allowed.

    Raises:
        InvalidRequest: names the input, the shape and what is wanted.
    """
    remedy = "Link a node that encodes a prompt, such as CLIP Text Encode."
    with naming(input_name):
        if not isinstance(conditioning, Sequence) or isinstance(conditioning, str):
            raise InvalidRequest(_is_no("conditioning", conditioning), remedy=remedy)
        for entry in cast("Sequence[object]", conditioning):
            pair = cast("Sequence[Any]", entry) if isinstance(entry, Sequence) else ()
            if len(pair) != 2 or not isinstance(pair[1], Mapping):
                raise InvalidRequest(
                    f"This conditioning holds {_kind(cast('object', entry))} where features and options are wanted.",
                    remedy=remedy,
                )
            _check_said(pair[0], cast("Mapping[str, Any]", pair[1]), remedy)


def _check_said(features: object, said: Mapping[str, Any], remedy: str) -> None:
    _checked(features, "conditioning", FEATURE_AXES, remedy)
    for option in READ:
        value = said.get(option)
        if isinstance(value, Tensor) and not finite(value):
            raise not_numbers(f"conditioning's {option}")
    if said.get("mask") is not None:
        checked_mask(said["mask"], "mask of a conditioning")


def checked_levels(levels: object, remedy: str) -> Tensor:
    """Noise levels (n + 1,) that a sampler can run along, or (1,) and (0,) for nothing to do.

    They may rise, as inversion wants it (see `fall`), but none before the last may be 0: samplers divide by them.

    Raises:
        InvalidRequest: shows the levels.
    """
    if not isinstance(levels, Tensor) or levels.ndim != 1:
        found = f"a tensor of shape {list(levels.shape)}" if isinstance(levels, Tensor) else _kind(levels)
        raise InvalidRequest(f"Noise levels are one number for each step; this is {found}.", remedy=remedy)
    if not finite(levels) or bool((levels < 0).any()) or not bool((levels[:-1] > 0).all()):
        shown = ", ".join(f"{float(level):.4g}" for level in levels[:SHOWN_LEVELS])
        raise InvalidRequest(
            f"No sampler can run along the noise levels {shown}{', …' if len(levels) > SHOWN_LEVELS else ''}: all must "
            "be numbers above 0, and only the last may be 0.",
            remedy=remedy,
        )
    return levels


def fall(levels: Tensor) -> bool:
    """Whether each noise level is below the one before, which some samplers cannot do without."""
    return bool((levels.diff() < 0).all())


def _checked(value: object, what: str, axes: Sequence[str], remedy: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise InvalidRequest(_is_no(what, value), remedy=remedy)
    shape, wanted = list(value.shape), ", ".join(axes)
    if value.ndim != len(axes):
        raise InvalidRequest(
            f"This is no {what} that can be used here: its shape is {shape}, wanted is ({wanted}).", remedy=remedy
        )
    if 0 in shape:
        none = " and ".join(axis for axis, length in zip(axes, shape, strict=True) if not length)
        raise InvalidRequest(f"This {what} is empty: its shape is {shape}, with 0 for {none}.", remedy=remedy)
    if not finite(value):
        raise not_numbers(what)
    return value


def not_numbers(what: str) -> InvalidRequest:
    """The error for a value of that kind in which not everything is a number."""
    return InvalidRequest(f"This {what} holds values that are not numbers.", remedy=MADE_BADLY)


def _is_no(what: str, value: object) -> str:
    return f"This is no {what}, but {_kind(value)}."


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a value of the kind {type(value).__name__}"
