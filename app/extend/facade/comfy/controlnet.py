"""`comfy.controlnet`: what steers a U-Net by residuals.

A pack's own object of this kind works: it hangs in conditioning under "control" and is asked at every call of the
network. Files of ControlNets are not loaded: their networks are not part of this program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from app.diffusion.models.hooks import NetworkHooks, Place
from app.errors import InvalidRequest
from app.extend.facade.comfy.utils import common_upscale, repeat_to_batch_size

Residuals = Mapping[str, Sequence[Tensor | None]]


class StrengthType(Enum):
    """How strength is spread over a network's depth."""

    CONSTANT = 1
    LINEAR_UP = 2


def broadcast_image_to(tensor: Tensor, target_batch_size: int, batched_number: int) -> Tensor:
    """Hints (B, …) for a batch of `batched_number` parts, each as long as the latents are."""
    if len(tensor) == 1:
        return tensor
    part = repeat_to_batch_size(tensor, target_batch_size // batched_number)
    return part if len(part) == target_batch_size else torch.cat([part] * batched_number)


class ControlBase:
    """Steers a network. Packs override `get_control`, `copy` and `get_models`.

    Residuals come as lists under "input", "middle" and "output", of which each part of the network takes the last.
    """

    def __init__(self) -> None:
        self.cond_hint_original: Tensor | None = None
        self.cond_hint: Tensor | None = None
        self.strength = 1.0
        self.timestep_percent_range: tuple[float, float] = (0.0, 1.0)
        self.timestep_range: tuple[float, float] | None = None
        self.latent_format: Any = None
        self.vae: Any = None
        self.global_average_pooling = False
        self.compression_ratio = 8
        self.upscale_algorithm = "nearest-exact"
        self.extra_args: dict[str, Any] = {}
        self.previous_controlnet: Any = None
        self.extra_conds: list[str] = []
        self.strength_type = StrengthType.CONSTANT
        self.concat_mask = False
        self.extra_concat_orig: list[Any] = []
        self.extra_concat: Any = None
        self.extra_hooks: Any = None
        self.preprocess_image: Callable[[Tensor], Tensor] = _as_it_is

    def set_cond_hint(
        self,
        cond_hint: Tensor,
        strength: float = 1.0,
        timestep_percent_range: tuple[float, float] = (0.0, 1.0),
        vae: Any = None,
        extra_concat: Sequence[Any] = (),
    ) -> Any:
        """Follow a picture (B, C, H, W), so strongly, for that part of the sampling."""
        self.cond_hint_original = cond_hint
        self.strength = strength
        self.timestep_percent_range = timestep_percent_range
        self.vae = vae
        self.extra_concat_orig = list(extra_concat)
        return self

    def pre_run(self, model: Any, percent_to_timestep_function: Callable[[float], float]) -> None:
        """Before a run: parts of the sampling become levels."""
        start, end = self.timestep_percent_range
        self.timestep_range = (percent_to_timestep_function(start), percent_to_timestep_function(end))
        if self.previous_controlnet is not None:
            self.previous_controlnet.pre_run(model, percent_to_timestep_function)

    def set_previous_controlnet(self, controlnet: Any) -> Any:
        """What another one says comes first."""
        self.previous_controlnet = controlnet
        return self

    def cleanup(self) -> None:
        """After a run."""
        if self.previous_controlnet is not None:
            self.previous_controlnet.cleanup()
        self.cond_hint = self.extra_concat = self.timestep_range = None

    def get_models(self) -> list[Any]:
        """Models that must be on the device."""
        return [] if self.previous_controlnet is None else self.previous_controlnet.get_models()

    def get_extra_hooks(self) -> list[Any]:
        """Hooks that this one and those before it bring."""
        before: list[Any] = [] if self.previous_controlnet is None else self.previous_controlnet.get_extra_hooks()
        return [*([] if self.extra_hooks is None else [self.extra_hooks]), *before]

    def inference_memory_requirements(self, dtype: torch.dtype) -> float:
        """Bytes that a call takes beside the network's."""
        return 0 if self.previous_controlnet is None else self.previous_controlnet.inference_memory_requirements(dtype)

    def copy_to(self, c: Any) -> None:
        """Make another one say the same."""
        own = ("previous_controlnet", "cond_hint", "extra_concat", "timestep_range")
        c.__dict__.update({name: value for name, value in self.__dict__.items() if name not in own})

    def copy(self) -> Any:
        """Another one that says the same."""
        made = self.__class__.__new__(self.__class__)
        ControlBase.__init__(made)
        self.copy_to(made)
        return made

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: Mapping[str, Any], batched_number: int, transformer_options: Any
    ) -> Any:
        """Residuals for a latent (B, C, h, w) at levels (B,), or None. This one only hands on what came before."""
        if self.previous_controlnet is None:
            return None
        return self.previous_controlnet.get_control(x_noisy, t, cond, batched_number, transformer_options)

    def active(self, t: Tensor) -> bool:
        """Whether it counts at these levels."""
        return self.timestep_range is None or self.timestep_range[1] <= float(t.flatten()[0]) <= self.timestep_range[0]

    def hint_for(self, x_noisy: Tensor, batched_number: int) -> Tensor:
        """The picture in the size and batch of a latent.

        Raises:
            InvalidRequest: no picture was set.
        """
        if self.cond_hint_original is None:
            raise InvalidRequest("A ControlNet has no picture to follow.", remedy="Use it with an apply node.")
        height, width = (side * self.compression_ratio for side in x_noisy.shape[2:4])
        if self.cond_hint is None or self.cond_hint.shape[2:4] != (height, width):
            scaled = common_upscale(self.cond_hint_original, width, height, self.upscale_algorithm, "center")
            self.cond_hint = self.preprocess_image(scaled).to(x_noisy)
        return broadcast_image_to(self.cond_hint, x_noisy.shape[0], batched_number)

    def control_merge(
        self, control: Residuals, control_prev: Residuals | None, output_dtype: torch.dtype | None = None
    ) -> dict[str, list[Tensor | None]]:
        """Residuals times the strength, and those that came before added."""
        merged: dict[str, list[Tensor | None]] = {"input": [], "middle": [], "output": []}
        for name, parts in control.items():
            merged[name] = [self._scaled(x, len(parts) - i, output_dtype) for i, x in enumerate(parts)]
        for name, parts in (control_prev or {}).items():
            there = merged.setdefault(name, [])
            there += [None] * (len(parts) - len(there))
            for index, before in enumerate(parts):
                mine = there[index]
                there[index] = before if mine is None else mine if before is None else mine + before
        return merged

    def _scaled(self, x: Tensor | None, depth: int, dtype: torch.dtype | None) -> Tensor | None:
        if x is None:
            return None
        if self.global_average_pooling:
            x = x.mean(dim=(2, 3), keepdim=True).expand_as(x)
        power = depth if self.strength_type is StrengthType.LINEAR_UP else 1
        return (x * self.strength**power).to(dtype or x.dtype)


def _as_it_is(image: Tensor) -> Tensor:
    return image


class ControlNet(ControlBase):
    """Steers by a network that a pack brings: control_model(x=, hint=, timesteps=, context=, y=) → residuals."""

    def __init__(self, control_model: Any = None, global_average_pooling: bool = False, **options: Any) -> None:
        super().__init__()
        self.control_model = control_model
        self.global_average_pooling = global_average_pooling
        self.model_sampling_current: Any = None
        for name in ("compression_ratio", "latent_format", "strength_type", "extra_conds", "preprocess_image"):
            if name in options:
                setattr(self, name, options[name])

    def pre_run(self, model: Any, percent_to_timestep_function: Callable[[float], float]) -> None:
        """See `ControlBase`."""
        super().pre_run(model, percent_to_timestep_function)
        self.model_sampling_current = model.model_sampling

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: Mapping[str, Any], batched_number: int, transformer_options: Any
    ) -> Any:
        """See `ControlBase`."""
        before = super().get_control(x_noisy, t, cond, batched_number, transformer_options)
        if not self.active(t):
            return before
        said: dict[str, Any] = {"context": cond.get("crossattn_controlnet", cond.get("c_crossattn"))}
        said |= {name: cond[name] for name in ("y", *self.extra_conds) if cond.get(name) is not None}
        sampling = self.model_sampling_current
        shown = sampling.calculate_input(t, x_noisy)
        hint, times = self.hint_for(x_noisy, batched_number), sampling.timestep(t).float()
        control = self.control_model(x=shown, hint=hint, timesteps=times, **said, **self.extra_args)
        return self.control_merge(control, before, x_noisy.dtype)


class T2IAdapter(ControlBase):
    """Steers by a network that sees the picture alone: t2i_model(hint) → the residuals of the way down."""

    def __init__(
        self, t2i_model: Any, channels_in: int, compression_ratio: int = 8, upscale_algorithm: str = "nearest-exact"
    ) -> None:
        super().__init__()
        self.t2i_model, self.channels_in = t2i_model, channels_in
        self.compression_ratio, self.upscale_algorithm = compression_ratio, upscale_algorithm

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: Mapping[str, Any], batched_number: int, transformer_options: Any
    ) -> Any:
        """See `ControlBase`."""
        before = super().get_control(x_noisy, t, cond, batched_number, transformer_options)
        if not self.active(t):
            return before
        hint = self.hint_for(x_noisy, batched_number)
        hint = hint.mean(dim=1, keepdim=True) if self.channels_in == 1 else hint
        parts = [None if part is None else part.to(x_noisy) for part in self.t2i_model(hint)]
        return self.control_merge({"input": parts[::-1]}, before, x_noisy.dtype)


def load_controlnet(ckpt_path: str, model: Any = None, model_options: Any = None) -> Any:
    """Files of ControlNets cannot be loaded here.

    Raises:
        InvalidRequest: always, with the file's name.
    """
    raise InvalidRequest(
        f"The ControlNet {str(ckpt_path)!r} cannot be loaded: this program has no networks of that kind.",
        remedy="Remove the nodes that apply it; image-to-image and inpainting work without one.",
    )


def residual_hooks(control: Residuals) -> NetworkHooks:
    """Residuals as hooks of a network, for one call."""
    left = {name: list(parts) for name, parts in control.items()}

    def added(x: Tensor, name: str, place: Place) -> Tensor:
        residual = left[name].pop() if left.get(name) else None
        if residual is None:
            return x
        if residual.shape[-2:] != x.shape[-2:]:
            raise InvalidRequest(
                f"A ControlNet gives {list(residual.shape)} to block {place.part} {place.block}, {list(x.shape)}.",
                remedy="Use a ControlNet that was made for this model's family.",
            )
        return x + residual.to(x)

    def entering(place: Place, x: Tensor, skip: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return x, added(skip, "output", place) if place.part == "output" and skip is not None else skip

    def leaving(place: Place, x: Tensor) -> Tensor:
        return added(x, place.part, place) if place.part in ("input", "middle") else x

    return NetworkHooks(entering=(entering,), leaving=(leaving,))
