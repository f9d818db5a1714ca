"""What steers, between our form and that of packs: on CONTROL_NET links, and in conditioning under "control"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from app.diffusion.control import Control, ControlModel, Steering, Steers
from app.diffusion.model import DiffusionModel
from app.diffusion.models.controlnet import ControlNet as Network
from app.diffusion.models.controlnet_adapter import T2IAdapter as Adapter
from app.diffusion.models.controlnet_lora import ControlLora as Lora
from app.errors import InvalidRequest
from app.extend.facade.comfy.controlnet import (
    CalledNetwork,
    ControlBase,
    ControlLora,
    ControlNet,
    NativeControl,
    T2IAdapter,
    residuals_of,
)
from app.extend.facade.comfy.model_base import model_of
from app.extend.facade.comfy.network_facts import PACK_NAMES
from app.extend.facade.comfy.utils import common_upscale

KEPT = "_ours"  # our side of a pack's object, kept with it so that it stays the same one


class PackControl:
    """A pack's object in conditioning, as our samplers take it; see `control.Steers`."""

    def __init__(self, control: Any) -> None:
        self.control = control

    def adjusting(self, model: DiffusionModel, like: Tensor, *, negative: bool = False) -> PackAdjusting:
        """See `Steers`. Tells the pack's object that a run begins."""
        working = model_of(model)
        self.control.pre_run(working, working.model_sampling.percent_to_sigma)
        return PackAdjusting(self.control, model.network, len(like), negative=negative)

    def networks(self, model: DiffusionModel) -> list[nn.Module]:
        """See `Steers`."""
        return networks_of(self.control)

    def finished(self) -> None:
        """See `Steers`."""
        if hasattr(self.control, "cleanup"):
            self.control.cleanup()


class PackAdjusting:
    """A pack's object at work in one run: it is asked for residuals at every call."""

    def __init__(self, control: Any, network: nn.Module, count: int, *, negative: bool) -> None:
        self._control, self._network, self._count, self._negative = control, network, count, negative

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackAdjusting) and self._control is other._control

    def __hash__(self) -> int:
        return id(self._control)

    def __call__(self, x: Tensor, sigma: Tensor, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        parts = max(1, len(x) // self._count)
        level = sigma.to(x.device).expand(len(x))
        said = {PACK_NAMES.get(name, name): value for name, value in arguments.items() if name != "network"}
        # The positive side comes first where both share a call.
        sides = [int(self._negative)] if parts == 1 else [int(2 * part >= parts) for part in range(parts)]
        options = {"sigmas": level, "cond_or_uncond": sides}
        control = self._control.get_control(x, level, said, parts, options)
        return {} if control is None else {"hooks": residuals_of(control, self._network).hooks()}


class PackSteering:
    """A pack's object on a CONTROL_NET link, for our apply nodes; see `control.Steering`."""

    def __init__(self, control: Any) -> None:
        self.control = control

    def following(
        self,
        hint: Tensor,
        strength: float,
        span: tuple[float, float],
        previous: Steers | None,
        *,
        vae: Any = None,
        mask: Tensor | None = None,
    ) -> Steers:
        """See `Steering`."""
        from app.extend.facade.bridge import to_pack

        picture, more = hint.movedim(-1, 1), dict[str, Any]()
        if mask is not None and getattr(self.control, "concat_mask", False):
            kept = 1.0 - mask.reshape(-1, 1, *mask.shape[-2:])
            picture = picture * common_upscale(kept, picture.shape[3], picture.shape[2], "bilinear", "center").round()
            more = {"extra_concat": [kept]}
        made = self.control.copy()
        made.set_cond_hint(picture, strength, span, vae=to_pack(vae), **more)
        made.set_previous_controlnet(control_for_packs(previous))
        return control_for_us(made)

    def of_task(self, task: int | None) -> Steering:
        """See `Steering`."""
        made = self.control.copy()
        if not hasattr(made, "set_extra_arg"):
            raise InvalidRequest(
                f"{type(made).__name__}, a node pack's, cannot be told a kind of picture.",
                remedy="Remove SetUnionControlNetType, or load a union with Load ControlNet Model.",
            )
        made.set_extra_arg("control_type", [] if task is None else [task])
        return PackSteering(made)


def networks_of(control: Any) -> list[nn.Module]:
    """The networks that a pack's object brings."""
    models: Sequence[Any] = control.get_models() if hasattr(control, "get_models") else ()
    found = (getattr(model, "diffusion_network", getattr(model, "model", None)) for model in models)
    return [module for module in found if isinstance(module, nn.Module)]


def steering_for_packs(model: ControlModel) -> ControlBase:
    """One of our networks as packs hold it: on a link, without a picture."""
    network = model.network
    if isinstance(network, Adapter):
        made: ControlBase = T2IAdapter(network, network.config.channels)
    elif isinstance(network, Network):
        made = ControlNet(CalledNetwork(network), model.pooled)
    else:
        made = ControlLora(model) if isinstance(network, Lora) else NativeControl(model)
    if model.task is not None:
        made.set_extra_arg("control_type", [model.task])
    made.__dict__["native"] = model
    return made


def steering_for_us(control: Any) -> Steering:
    """The inverse; a pack's own object stays what it is, behind our interface."""
    native: ControlModel | None = getattr(control, "native", None)
    if native is None or type(control) not in (ControlNet, T2IAdapter, ControlLora, NativeControl) or _was_set(control):
        return PackSteering(control)
    said = control.extra_args.get("control_type") or [None]
    return native if said[0] == native.task else replace(native, task=said[0])


def _was_set(control: ControlBase) -> bool:
    """Whether a pack has made it follow a picture, or changed how it does."""
    fresh = ControlBase()
    names = ("cond_hint_original", "strength", "timestep_percent_range", "previous_controlnet", "strength_type")
    return any(getattr(control, name) != getattr(fresh, name) for name in names if name != "cond_hint_original") or (
        control.cond_hint_original is not None
    )


def control_for_packs(control: Any) -> Any:
    """What steers in conditioning, as packs hold it; None stays None."""
    if isinstance(control, PackControl):
        return control.control
    if not isinstance(control, Control):
        return control
    from app.extend.facade.bridge import to_pack

    kept = control.__dict__.get("_for_packs")
    if kept is None:
        latent = control.latent
        concat = (
            [] if latent is None or latent.mask is None else [1.0 - latent.mask.reshape(-1, 1, *latent.mask.shape[-2:])]
        )
        kept = steering_for_packs(control.model).set_cond_hint(
            control.hint, control.strength, control.span, to_pack(latent and latent.vae), concat
        )
        kept.set_previous_controlnet(control_for_packs(control.previous))
        control.__dict__["_for_packs"] = kept
    return kept


def control_for_us(control: Any) -> Steers:
    """The inverse; the same for the same object."""
    if isinstance(control, Control | PackControl):
        return control
    kept: Any = control.__dict__.get(KEPT)
    if kept is None or kept.control is not control:
        kept = control.__dict__[KEPT] = PackControl(control)
    return kept


def conditioning_for_packs(value: list[Any]) -> list[Any]:
    """Conditioning, or one entry of it, as packs hold it; other lists stay as they are."""
    return _each(value, control_for_packs)


def conditioning_for_us(value: list[Any]) -> list[Any]:
    """The inverse."""
    return _each(value, lambda control: control_for_us(control) if hasattr(control, "get_control") else control)


def _each(value: list[Any], change: Callable[[Any], Any]) -> list[Any]:
    if _steered(value):
        return [value[0], {**value[1], "control": change(value[1]["control"])}]
    if not any(_steered(entry) for entry in value):
        return value
    return [_each(list(entry), change) if _steered(entry) else entry for entry in value]


def _steered(entry: Any) -> bool:
    is_entry = isinstance(entry, list | tuple) and len(entry) == 2 and isinstance(entry[1], dict)  # pyright: ignore
    return is_entry and entry[1].get("control") is not None  # pyright: ignore[reportUnknownMemberType]
