"""`comfy.controlnet`: what steers a U-Net by residuals.

A pack's own object of this kind hangs in conditioning under "control" and is asked at every call of the network,
whoever samples; see `control_values` for the way between these objects and ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.diffusion.control import ControlModel
from app.diffusion.control_residuals import Residuals
from app.diffusion.models.controlnet import ControlNet as Network
from app.diffusion.models.controlnet_adapter import T2IAdapter as Adapter
from app.diffusion.models.flux import Flux
from app.diffusion.models.mmdit import MMDiT
from app.errors import InvalidRequest
from app.extend.facade.comfy.network_facts import NAMES
from app.extend.facade.comfy.utils import common_upscale, repeat_to_batch_size

Parts = Mapping[str, Sequence[Tensor | None]]
OWN = ("previous_controlnet", "cond_hint", "extra_concat", "timestep_range", "_asked", "_ours")


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

    def set_extra_arg(self, argument: str, value: Any = None) -> None:
        """Tell the network one thing more, such as a union its "control_type"."""
        self.extra_args[argument] = value

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
        c.__dict__.update({name: value for name, value in self.__dict__.items() if name not in OWN})
        c.__dict__["extra_args"] = dict(self.extra_args)

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
        self, control: Parts, control_prev: Parts | None, output_dtype: torch.dtype | None = None
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


class CalledNetwork(nn.Module):
    """One of our networks as packs call it: (x=, hint=, timesteps=, context=, y=) → {"middle": …, "output": …}."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self._seen: tuple[Tensor, Tensor] | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The precision that the network computes in."""
        return next(self.network.parameters()).dtype

    def forward(
        self,
        x: Tensor,
        hint: Tensor,
        timesteps: Tensor,
        context: Tensor | None = None,
        y: Tensor | None = None,
        control_type: Sequence[int] = (),
        **_: Any,
    ) -> dict[str, list[Tensor]]:
        """Residuals of a noisy latent (B, C, h, w) as the network takes it, and a picture (B, 3, H, W)."""
        if self._seen is None or self._seen[0] is not hint:
            self._seen = hint, self.network.seen(hint.to(self.dtype))
        seen = self._seen[1].expand(len(x), -1, -1, -1)
        said = [None if value is None else value.to(x.device, self.dtype) for value in (context, y)]
        task = int(control_type[0]) if len(control_type) else None
        *skips, middle = self.network(x.to(self.dtype), timesteps, seen, *said, task=task)
        return {"middle": [middle], "output": skips}


class ControlNet(ControlBase):
    """Steers by a network, ours or a pack's: control_model(x=, hint=, timesteps=, context=, y=) → residuals."""

    def __init__(self, control_model: Any = None, global_average_pooling: bool = False, **options: Any) -> None:
        super().__init__()
        self.native: ControlModel | None = None
        self.control_model = control_model
        self.control_model_wrapped: Any = _patcher(control_model) if isinstance(control_model, nn.Module) else None
        self.global_average_pooling = global_average_pooling
        self.model_sampling_current: Any = None
        for name in ("compression_ratio", "latent_format", "strength_type", "extra_conds", "preprocess_image"):
            if name in options:
                setattr(self, name, options[name])

    def pre_run(self, model: Any, percent_to_timestep_function: Callable[[float], float]) -> None:
        """See `ControlBase`."""
        super().pre_run(model, percent_to_timestep_function)
        self.model_sampling_current = model.model_sampling
        if self.native is not None:
            self.native.network_for(model.native)  # a model of another family is refused here

    def get_models(self) -> list[Any]:
        """See `ControlBase`."""
        mine = [] if self.control_model_wrapped is None else [self.control_model_wrapped]
        return [*super().get_models(), *mine]

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
        if self.global_average_pooling and self.native is not None:
            told: Mapping[str, Any] = transformer_options or {"cond_or_uncond": [0]}
            control = _for_positive(control, told["cond_or_uncond"])
        return self.control_merge(control, before, x_noisy.dtype)


def _for_positive(control: Parts, sides: Sequence[int]) -> Parts:
    """Residuals of the positive side alone; a batch has as many parts as there are sides."""

    def of(x: Tensor) -> Tensor:
        kept = torch.tensor([float(side == 0) for side in sides]).repeat_interleave(len(x) // len(sides))
        return x * kept.to(x)[:, None, None, None]

    return {name: [None if part is None else of(part) for part in parts] for name, parts in control.items()}


class ControlLora(ControlNet):
    """A ControlNet that is the model's own way down with changes; it is made when a run begins."""

    def __init__(self, native: ControlModel) -> None:
        super().__init__()
        self.native = native

    def pre_run(self, model: Any, percent_to_timestep_function: Callable[[float], float]) -> None:
        """See `ControlBase`."""
        super().pre_run(model, percent_to_timestep_function)
        network = self.native.network_for(model.native) if self.native else None
        if isinstance(network, Network) and getattr(self.control_model, "network", None) is not network:
            self.control_model = CalledNetwork(network)
            self.control_model_wrapped = _patcher(network)


class NativeControl(ControlNet):
    """One of our networks that follows latents, which are made and kept as our own samplers do."""

    def __init__(self, native: ControlModel) -> None:
        super().__init__(native.network)
        self.native = native
        self._run: Any = None

    def pre_run(self, model: Any, percent_to_timestep_function: Callable[[float], float]) -> None:
        """See `ControlBase`."""
        super().pre_run(model, percent_to_timestep_function)
        self._run = None
        self._model = model.native

    def cleanup(self) -> None:
        """See `ControlBase`."""
        super().cleanup()
        self._run = None

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: Mapping[str, Any], batched_number: int, transformer_options: Any
    ) -> Any:
        """See `ControlBase`."""
        before = ControlBase.get_control(self, x_noisy, t, cond, batched_number, transformer_options)
        if not self.active(t):
            return before
        if self._run is None:
            self._run = self._following().adjusting(self._model, x_noisy[: len(x_noisy) // max(1, batched_number)])
        said = {NAMES.get(name, name): value for name, value in cond.items()}
        residuals: Residuals = self._run.residuals(x_noisy, t.flatten()[0], said)
        joint = isinstance(self._model.network, MMDiT)  # blocks of SD 3 take theirs from the output
        control = {"output": list(residuals.double)} if joint else _of_flux(residuals)
        return self.control_merge(control, before, x_noisy.dtype)

    def _following(self) -> Any:
        if self.cond_hint_original is None or self.native is None:
            raise InvalidRequest("A ControlNet has no picture to follow.", remedy="Use it with an apply node.")
        mask = 1.0 - self.extra_concat_orig[0][:, 0] if self.extra_concat_orig else None
        vae, picture = getattr(self.vae, "native", None), self.cond_hint_original.movedim(1, -1)
        return self.native.following(picture, 1.0, (0.0, 1.0), None, vae=vae, mask=mask)


def _of_flux(residuals: Residuals) -> dict[str, list[Tensor | None]]:
    return {"input": list(residuals.double), "output": list(residuals.single)}


def _patcher(module: nn.Module) -> Any:
    from app.extend.facade.comfy.model_patcher import ModelPatcher

    return ModelPatcher(module)


class T2IAdapter(ControlBase):
    """Steers by a network that sees the picture alone: t2i_model(hint) → the residuals of the way down."""

    def __init__(
        self, t2i_model: Any, channels_in: int, compression_ratio: int = 8, upscale_algorithm: str = "nearest-exact"
    ) -> None:
        super().__init__()
        self.native: ControlModel | None = None
        self.t2i_model, self.channels_in = t2i_model, channels_in
        self.compression_ratio, self.upscale_algorithm = compression_ratio, upscale_algorithm
        self._seen: tuple[Tensor, Any] | None = None

    def get_control(
        self, x_noisy: Tensor, t: Tensor, cond: Mapping[str, Any], batched_number: int, transformer_options: Any
    ) -> Any:
        """See `ControlBase`."""
        before = super().get_control(x_noisy, t, cond, batched_number, transformer_options)
        if not self.active(t):
            return before
        hint = self.hint_for(x_noisy, batched_number)
        hint = hint.mean(dim=1, keepdim=True) if self.channels_in == 1 else hint
        if isinstance(self.t2i_model, Adapter):
            return self.control_merge(self._features(self.t2i_model, hint, len(x_noisy)), before, x_noisy.dtype)
        parts = [None if part is None else part.to(x_noisy) for part in self.t2i_model(hint)]
        return self.control_merge({"input": parts[::-1]}, before, x_noisy.dtype)

    def _features(self, network: Adapter, hint: Tensor, count: int) -> dict[str, list[Tensor | None]]:
        """What one of our adapters gives, from the last block to the first; computed once for a picture."""
        if self._seen is None or self._seen[0] is not hint:
            side = network.config.side
            even = nn.functional.pad(hint, (0, -hint.shape[3] % side, 0, -hint.shape[2] % side), mode="replicate")
            self._seen = hint, network.placed(network(even.to(next(network.parameters()).dtype)))
        inputs, middle = self._seen[1]
        parts = [None if x is None else x.expand(count, -1, -1, -1) for x in inputs]
        return {"input": parts[::-1], "middle": [] if middle is None else [middle.expand(count, -1, -1, -1)]}


def load_controlnet(ckpt_path: str, model: Any = None, model_options: Any = None) -> Any:
    """What steers by the network in a file; `model` is what a file of differences is added to.

    Raises:
        Missing, UnusableFile, UnknownFamily: no file, a damaged one, or one that holds nothing of the kind.
        InvalidRequest: a file of differences without a model.
    """
    from app.extend.facade.comfy.control_values import steering_for_packs
    from app.weights.controlnet import load_control

    base = getattr(getattr(model, "model", None), "native", None)
    with torch.inference_mode(False):
        return steering_for_packs(load_control(Path(ckpt_path), _working_dtype(), base))


def load_controlnet_state_dict(state_dict: Mapping[str, Tensor], model: Any = None, model_options: Any = None) -> Any:
    """As `load_controlnet`, of tensors that were read already."""
    from app.extend.facade.comfy.control_values import steering_for_packs
    from app.weights.controlnet import control_of
    from app.weights.stored import WeightsFile, held

    base = getattr(getattr(model, "model", None), "native", None)
    with torch.inference_mode(False):
        file = WeightsFile("the pack's tensors", held(state_dict), {})
        return steering_for_packs(control_of(file, _working_dtype(), base))


def _working_dtype() -> torch.dtype:
    from app.extend.facade.comfy.model_management import unet_dtype

    return unet_dtype()


def _longest(parts: Sequence[Tensor | None]) -> int:
    """The tokens that residuals (B, P, C) are for, 0 without any."""
    return max((part.shape[1] for part in parts if part is not None), default=0)


def residuals_of(control: Parts, network: nn.Module) -> Residuals:
    """Residuals as packs list them for a network.

    Of a U-Net each part takes the last that is left; blocks of transformers take theirs in order, the double ones of
    Flux those of the input, its single ones and the blocks of SD 3 those of the output.

    Raises:
        InvalidRequest: a network that has no place for them.
    """
    if isinstance(network, Flux):
        double, single = list(control.get("input", ())), list(control.get("output", ()))
        return Residuals(double=double, single=single, with_text=_longest(single) > _longest(double) > 0)
    if isinstance(network, MMDiT):
        return Residuals(double=list(control.get("output", ())))
    if not hasattr(network, "input_blocks"):
        raise InvalidRequest(
            f"A ControlNet's residuals have no place in {type(network).__name__}.",
            remedy="Use a model of the Stable Diffusion or Flux families with it.",
        )
    inputs, middle, skips = (list(control.get(name, ()))[::-1] for name in ("input", "middle", "output"))
    return Residuals(inputs, middle[0] if middle else None, skips)
