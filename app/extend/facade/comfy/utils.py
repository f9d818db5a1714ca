"""`comfy.utils`: progress, files of tensors, sizes of pictures, names of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from app.context.protocol import Picture
from app.errors import Cancelled
from app.extend.facade.comfy.model_management import InterruptProcessingException
from app.extend.facade.comfy.tensor_files import load_torch_file, safetensors_header, save_torch_file
from app.extend.facade.comfy.tiling import get_tiled_scale_steps, tiled_scale, tiled_scale_multidim
from app.extend.facade.host import HOST, current_context
from app.images.resize import bislerp as _bislerp
from app.images.resize import resize

__all__ = [
    "PROGRESS_BAR_ENABLED",
    "ProgressBar",
    "bislerp",
    "calculate_parameters",
    "common_upscale",
    "copy_to_param",
    "get_attr",
    "get_tiled_scale_steps",
    "lanczos",
    "load_torch_file",
    "pil2tensor",
    "repeat_to_batch_size",
    "reshape_mask",
    "resize_to_batch_size",
    "safetensors_header",
    "save_torch_file",
    "set_attr",
    "set_attr_param",
    "set_progress_bar_enabled",
    "set_progress_bar_global_hook",
    "state_dict_key_replace",
    "state_dict_prefix_replace",
    "string_to_seed",
    "tiled_scale",
    "tiled_scale_multidim",
    "weight_dtype",
]

PROGRESS_BAR_ENABLED = True
MMAP_TORCH_FILES = False
DISABLE_MMAP = False


class ProgressBar:
    """Tells how far the node that runs has come. Raises InterruptProcessingException once the run is to stop."""

    def __init__(self, total: float, node_id: str | None = None) -> None:
        self.total = total
        self.current: float = 0
        self.node_id = node_id

    def update_absolute(self, value: float, total: float | None = None, preview: Any = None) -> None:
        """`value` of `total` is done; `preview` is (format, picture of PIL, longest side)."""
        if total is not None:
            self.total = total
        self.current = min(value, self.total)
        for hook in HOST.now.attributes.get("progress hooks", ()):
            hook(self.current, self.total, preview, node_id=self.node_id)
        context = current_context()
        if context is not None:
            try:
                context.progress(self.current, self.total, _picture(preview))
            except Cancelled as stopped:
                raise InterruptProcessingException() from stopped

    def update(self, value: float) -> None:
        """`value` more is done."""
        self.update_absolute(self.current + value)


def _picture(preview: Any) -> Picture | None:
    """A preview's picture as (H, W, 3) in 0..1, made when it is asked for."""
    if not preview:
        return None
    shown = preview[1]

    def picture() -> Tensor:
        pixels = shown.convert("RGB")
        flat = torch.frombuffer(bytearray(pixels.tobytes()), dtype=torch.uint8)
        return flat.view(pixels.height, pixels.width, 3).float() / 255

    return picture


def set_progress_bar_enabled(enabled: bool) -> None:
    """Bars in the terminal: there are none, so that logs stay readable."""
    HOST.now.attributes["progress bars"] = enabled


def set_progress_bar_global_hook(function: Callable[..., Any] | None) -> None:
    """Call this on every progress as well, hook(value, total, preview, node_id=…); None ends it."""
    HOST.now.attributes["progress hooks"] = () if function is None else (function,)


def common_upscale(samples: Tensor, width: int, height: int, upscale_method: str, crop: str) -> Tensor:
    """(B, C, H, W) → (B, C, height, width); `crop` is "disabled" or "center". Video keeps its frames."""
    if samples.ndim == 5:
        frames = samples.shape[2]
        flat = common_upscale(samples.movedim(2, 1).flatten(0, 1), width, height, upscale_method, crop)
        return torch.unflatten(flat, 0, (-1, frames)).movedim(1, 2)
    return resize(samples, width, height, upscale_method, crop=crop == "center")


def lanczos(samples: Tensor, width: int, height: int) -> Tensor:
    """(B, C, H, W) → (B, C, height, width) by Lanczos' filter."""
    return resize(samples, width, height, "lanczos")


def bislerp(samples: Tensor, width: int, height: int) -> Tensor:
    """(B, C, H, W) → (B, C, height, width), turning directions and mixing lengths."""
    return _bislerp(samples, width, height)


def repeat_to_batch_size(tensor: Tensor, batch_size: int, dim: int = 0) -> Tensor:
    """The tensor with so many entries along `dim`: cut, or from the beginning again."""
    count = tensor.shape[dim]
    if count >= batch_size:
        return tensor.narrow(dim, 0, batch_size)
    times = [1] * tensor.ndim
    times[dim] = -(-batch_size // count)
    return tensor.repeat(times).narrow(dim, 0, batch_size)


def resize_to_batch_size(tensor: Tensor, batch_size: int) -> Tensor:
    """The batch with so many entries, taken evenly from those that are there."""
    count = len(tensor)
    if count == batch_size:
        return tensor
    if batch_size <= 1:
        return tensor[:batch_size]
    places = torch.linspace(0, count - 1, batch_size).round().long()
    return tensor[places]


def reshape_mask(input_mask: Tensor, output_shape: Sequence[int]) -> Tensor:
    """A mask of any size as (B, C, h, w) of `output_shape`, bilinear."""
    mask = input_mask.reshape(-1, 1, *input_mask.shape[-2:])
    mask = torch.nn.functional.interpolate(mask.float(), size=tuple(output_shape[-2:]), mode="bilinear")
    return repeat_to_batch_size(mask.expand(-1, output_shape[1], -1, -1), output_shape[0])


def state_dict_prefix_replace(
    state_dict: dict[str, Any], replace_prefix: Mapping[str, str], filter_keys: bool = False
) -> dict[str, Any]:
    """Names that begin with a key begin with its value; in place, unless only those are kept (`filter_keys`)."""
    result = {} if filter_keys else state_dict
    for old, new in replace_prefix.items():
        for name in [name for name in state_dict if name.startswith(old)]:
            value = state_dict.pop(name)
            result[new + name[len(old) :]] = value
    return result


def state_dict_key_replace(state_dict: dict[str, Any], keys_to_replace: Mapping[str, str]) -> dict[str, Any]:
    """Rename entries in place; names that are not there are passed over."""
    for old, new in keys_to_replace.items():
        if old in state_dict:
            state_dict[new] = state_dict.pop(old)
    return state_dict


def get_attr(obj: Any, attr: str) -> Any:
    """The attribute at a dotted path; numbers index lists of modules."""
    for name in attr.split("."):
        obj = getattr(obj, name)
    return obj


def set_attr(obj: Any, attr: str, value: Any) -> Any:
    """Put a value at a dotted path; returns what was there."""
    path, _, name = attr.rpartition(".")
    owner = get_attr(obj, path) if path else obj
    before = getattr(owner, name)
    setattr(owner, name, value)
    return before


def set_attr_param(obj: Any, attr: str, value: Tensor) -> Any:
    """Put a tensor at a dotted path as a parameter; returns what was there."""
    return set_attr(obj, attr, nn.Parameter(value, requires_grad=False))


def copy_to_param(obj: Any, attr: str, value: Tensor) -> None:
    """Write a tensor's numbers into the parameter at a dotted path."""
    get_attr(obj, attr).data.copy_(value)


def calculate_parameters(sd: Mapping[str, Tensor], prefix: str = "") -> int:
    """How many numbers the tensors whose names begin so hold."""
    return sum(value.nelement() for name, value in sd.items() if name.startswith(prefix))


def weight_dtype(sd: Mapping[str, Tensor], prefix: str = "") -> torch.dtype | None:
    """The type that most of these numbers have, None without any."""
    counts: dict[torch.dtype, int] = {}
    for name, value in sd.items():
        if name.startswith(prefix):
            counts[value.dtype] = counts.get(value.dtype, 0) + value.numel()
    return max(counts, key=lambda kind: counts[kind], default=None)


def string_to_seed(data: str | bytes) -> int:
    """A number of 32 bits from a text: its CRC."""
    import zlib

    return zlib.crc32(data if isinstance(data, bytes) else data.encode())


def pil2tensor(image: Any) -> Tensor:
    """A picture of PIL as (1, H, W, 3) in 0..1."""
    shown = _picture(("PNG", image, None))
    assert callable(shown)
    return shown()[None]
