"""Tensors from a file take the places of a module's, after names, shapes and values have been checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from app.diffusion.kernels.lanes import spread
from app.diffusion.layout import is_wide
from app.diffusion.models.block_quantised import keep_in_blocks
from app.diffusion.models.eight_bit import EightBit, packed
from app.diffusion.models.narrow import NarrowWeight
from app.diffusion.working import at_first_use, before_each_use, computes_in, make_ready
from app.errors import UnusableFile
from app.weights.blank import uncollected
from app.weights.conversion import converted
from app.weights.sources import Sources
from app.weights.stored import StoredBlocks, Tensors

LARGEST_FACTOR = 1 << 12  # no value of a block is larger than its largest scale times this: Q6_K's are 128 · 32
UNMEASURED = (torch.float8_e4m3fn, torch.float8_e5m2)  # PyTorch finds no extremes of these


def fill(
    module: nn.Module,
    tensors: Tensors,
    name: str,
    *,
    dtype: torch.dtype = torch.float32,
    told: str = "",
    later: bool = False,
    in_blocks: bool = False,
) -> None:
    """Give a module, built `blank`, its weights in `dtype`; names that it does not have are passed over.

    `name` is the file's and `told` what stands before the names there, for messages. Weights that are in `dtype`
    already stay in the mapped file; changing them does not change it. With `in_blocks` so do those in blocks that a
    layer can keep (see `block_quantised`). With `later`, others stay there too until the module is used (see
    `diffusion.working`): what is never used costs nothing, and loading takes no time.

    Raises:
        UnusableFile: a tensor is missing, has another shape, or holds values that are not numbers; later, whenever
            the module is used while its weights are in a file, that somebody has written into the file.
    """
    expected = module.state_dict()
    check(tensors, {key: tuple(value.shape) for key, value in expected.items()}, name, told)
    layers = dict(_eight_bit_layers(module))
    blocks = _kept_in_blocks(module, tensors, expected) if in_blocks else {}
    scales: dict[str, Tensor] = {}

    def read(key: str) -> Tensor:
        if key in blocks:
            return checked_blocks(blocks[key], dtype, name, told + key)
        stored = tensors[key]
        if key in layers and stored.scaled:
            value, scales[key] = (part.read() for part in stored.scaled)
        else:
            value = stored.read()
        check_values(value, dtype if expected[key].is_floating_point() else value.dtype, name, told + key)
        if stored.is_derived and key not in scales and expected[key].is_floating_point():
            # Else it would be in memory twice.
            if key in layers:
                value, scales[key] = packed(value, layers[key].kept)
            else:
                value = converted(value, dtype) if value.dtype != dtype else value
        return value

    sources = Sources.of(tensors[key] for key in expected)
    with uncollected(), torch.inference_mode(False), torch.no_grad():  # weights stay usable for training
        filled = dict(zip(expected, spread(read, list(expected)), strict=True))
        sources.check()
        _put(module, filled)
    module.eval()
    for key, scale in scales.items():
        layers[key].put(filled[key], scale.float())
    settled = {*scales, *blocks}
    waiting = {
        key: _Waiting(value.data_ptr(), tensors[key].forget)
        for key, value in filled.items()
        if expected[key].is_floating_point() and key not in settled and value.dtype != _kept(layers.get(key), dtype)
    }
    if waiting or layers or blocks:
        computes_in(module, dtype)
    if waiting:
        at_first_use(module, _Conversion(dtype, waiting, sources))
    if staying := sources.of_those(value for key, value in filled.items() if key not in waiting):
        before_each_use(module, staying)
    if waiting and not later:
        make_ready(module)


def _put(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """What `load_state_dict(assign=True)` does with tensors that are known to fit, in a fifth of its time."""
    parts = dict(cast("Iterable[tuple[str, nn.Module]]", module.named_modules()))
    for key, value in tensors.items():
        path, _, name = key.rpartition(".")
        if isinstance(getattr(parts[path], name), nn.Parameter):
            parts[path].register_parameter(name, nn.Parameter(value, requires_grad=False))
        else:
            parts[path].register_buffer(name, value)


def _eight_bit_layers(module: nn.Module) -> Iterator[tuple[str, EightBit]]:
    """By the names of their weights."""
    for path, part in cast("Iterable[tuple[str, nn.Module]]", module.named_modules()):
        if isinstance(part, EightBit):
            yield f"{path}.weight", part


def _kept_in_blocks(module: nn.Module, tensors: Tensors, keys: Iterable[str]) -> dict[str, StoredBlocks]:
    """The blocks that stay as they are, for layers that now can keep them, by the names of the weights."""
    blocks = {key: stored for key in keys if (stored := tensors[key].blocks)}
    return {key: blocks[key] for key in keep_in_blocks(module, {key: each.format for key, each in blocks.items()})}


def _kept(layer: EightBit | None, dtype: torch.dtype) -> torch.dtype:
    return dtype if layer is None else layer.kept


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A weight as the file has it: where it is, and what lets go of the file's pages."""

    address: int
    forget: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Conversion:
    """Brings the weights that are still as the file has them into the working precision."""

    dtype: torch.dtype
    waiting: Mapping[str, _Waiting]
    sources: Sources

    def __call__(self, module: nn.Module) -> None:
        spread(self._convert, list(self._found(module)))
        self.sources.check()  # what was written while it was read may be in the weights: then this fails for good
        if not any(isinstance(part, NarrowWeight) for part in module.modules()):
            computes_in(module, None)

    def _found(self, module: nn.Module) -> Iterator[tuple[Tensor, _Waiting, nn.Module, str]]:
        """The weights that are still where the file has them, their layer, and their name in it."""
        for key, one in self.waiting.items():
            path, _, name = key.rpartition(".")
            part = module.get_submodule(path)
            value: Tensor = getattr(part, name)
            if value.data_ptr() == one.address:
                yield value, one, part, name

    def _convert(self, found: tuple[Tensor, _Waiting, nn.Module, str]) -> None:
        value, one, part, name = found
        if isinstance(part, EightBit) and name == "weight":
            self.sources.check()
            part.pack(value)
        else:
            value.data = converted(value.data, self.dtype, channels_last=is_wide(part), before=self.sources.check)
        one.forget()


def check(tensors: Tensors, expected: dict[str, tuple[int, ...]], name: str, told: str) -> None:
    """Raises UnusableFile unless each expected tensor is there with its shape; nothing is read."""
    missing = [told + key for key in expected if key not in tensors]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UnusableFile(
            f"The file {name!r} lacks the tensor {missing[0]!r}{others}.",
            remedy="It was saved incompletely; use another copy.",
        )
    for key, shape in expected.items():
        if tensors[key].shape != shape:
            raise UnusableFile(
                f"In {name!r} the tensor {told + key!r} has the shape {list(tensors[key].shape)} "
                f"where {list(shape)} is expected.",
                remedy="It belongs to another architecture; use another file.",
            )


def checked_blocks(stored: StoredBlocks, dtype: torch.dtype, name: str, key: str) -> Tensor:
    """The blocks of a tensor. Raises UnusableFile as `check_values` does, for the values that they stand for."""
    blocks = stored.read()
    largest = stored.format.scales_of(blocks).abs().max().float()  # not a number where one of them is none
    if not float(largest) * LARGEST_FACTOR <= torch.finfo(dtype).max:
        check_values(stored.format.wide(blocks), dtype, name, key)
    return blocks


def check_values(value: Tensor, dtype: torch.dtype, name: str, key: str) -> None:
    """Raises UnusableFile unless all values are numbers, in `dtype` too: the smallest and the largest tell."""
    if not value.is_floating_point() or not value.numel():
        return
    low, high = (
        float(each) for each in torch.aminmax(value.to(torch.bfloat16) if value.dtype in UNMEASURED else value)
    )
    if not low - low == high - high == 0.0:
        raise UnusableFile(
            f"In {name!r} the tensor {key!r} holds values that are not numbers.",
            remedy="The file is damaged, or was merged or trained badly; use another copy.",
        )
    if max(-low, high) > torch.finfo(dtype).max:
        raise UnusableFile(
            f"In {name!r} the tensor {key!r} holds values up to {max(-low, high):.3g}, too large for {dtype}.",
            remedy="Start with --precision bfloat16 or float32.",
        )
