"""What steers a network besides the prompt: ControlNets and adapters that follow a picture, one after the other.

Conditioning carries it under "control". B latents, C channels, h × w latent pixels, H × W pixels
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast, runtime_checkable
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from app.diffusion.control_hints import LatentHint, check_vae, in_turn
from app.diffusion.control_networks import (
    Network,
    answered,
    channels_of,
    check_fits,
    check_kind,
    follows_latents,
    shown,
)
from app.diffusion.control_residuals import Residuals
from app.diffusion.guidance.classifier_free import rows
from app.diffusion.guidance.conditions import Adjust
from app.diffusion.model import DiffusionModel
from app.diffusion.models.controlnet import ControlNet
from app.diffusion.models.controlnet_adapter import T2IAdapter
from app.diffusion.models.controlnet_flux import FluxControl
from app.diffusion.models.controlnet_lora import ControlLora
from app.diffusion.models.unet import UNet
from app.errors import InvalidRequest

TASKS = {
    "openpose": 0,
    "depth": 1,
    "hed/pidi/scribble/ted": 2,
    "canny/lineart/anime_lineart/mlsd": 3,
    "normal": 4,
    "segment": 5,
    "tile": 6,
    "repaint": 7,
}


class Company(Protocol):
    """What goes with a run beside the model."""

    def networks(self, model: DiffusionModel) -> list[nn.Module]:
        """The networks that must be where the model is."""
        ...

    def finished(self) -> None:
        """The run has ended."""
        ...


@runtime_checkable
class Steers(Company, Protocol):
    """Whatever conditioning may carry under "control"."""

    def adjusting(self, model: DiffusionModel, like: Tensor, *, negative: bool = False) -> Adjust:
        """What adds to the network's arguments at each call of a run, for latents shaped as `like`.

        Those of one control are equal, so that both prompts share calls. Raises InvalidRequest for a model that
        cannot be steered by it.
        """
        ...


class Steering(Protocol):
    """Whatever a CONTROL_NET link carries."""

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
        """Follow a picture (B, H, W, 3) in 0..1, so strongly, between two parts 0..1 of the way; `previous` as well."""
        ...

    def of_task(self, task: int | None) -> Steering:
        """The same, told what kind of picture it will be shown; None for not told. Raises InvalidRequest."""
        ...


@dataclass(frozen=True, eq=False)
class ControlModel:
    """A network that steers, as it was loaded. `name` is the file's.

    `pooled` residuals are the same all over the picture, and steer the positive side alone. `task` is the kind of
    picture that a union is shown, None where it is not told.
    """

    network: Network | ControlLora
    name: str
    pooled: bool = False
    task: int | None = None
    made: WeakKeyDictionary[UNet, ControlNet] = field(default_factory=WeakKeyDictionary[UNet, ControlNet])

    def following(
        self,
        hint: Tensor,
        strength: float,
        span: tuple[float, float],
        previous: Steers | None,
        *,
        vae: Any = None,
        mask: Tensor | None = None,
    ) -> Control:
        """See `Steering`. U-Nets follow the picture itself, most transformers' its latent, which the VAE makes.

        Raises:
            InvalidRequest: no VAE where one is needed, one of other latents, or a picture of fewer channels than
                are looked at.
        """
        if hint.shape[-1] < channels_of(self.network):
            raise InvalidRequest(
                f"The ControlNet {self.name!r} looks at {channels_of(self.network)} channels of a picture; this one "
                f"has {hint.shape[-1]}.",
                remedy="Link a picture in colours; a mask becomes one by Convert Mask to Image.",
            )
        if not follows_latents(self.network):
            return Control(self, hint.movedim(-1, 1), strength, span, previous)
        if vae is None:
            raise InvalidRequest(
                f"The ControlNet {self.name!r} follows the latent of a picture.",
                remedy="Link a VAE to Apply ControlNet, that of the model.",
            )
        check_vae(self.network, vae, self.name)
        return Control(self, hint.movedim(-1, 1), strength, span, previous, LatentHint(vae, mask))

    def of_task(self, task: int | None) -> ControlModel:
        """See `Steering`."""
        known = self.network.config.tasks if isinstance(self.network, ControlNet | FluxControl) else 0
        if task is not None and task >= known:
            told = f"is told {known} kinds of pictures" if known else "is for one kind of picture"
            raise InvalidRequest(
                f"The ControlNet {self.name!r} {told}; this one is number {task + 1}.",
                remedy='Choose "auto", or load a union ControlNet.',
            )
        return replace(self, task=task)

    def network_for(self, model: DiffusionModel) -> Network:
        """The network that steers this model.

        Raises:
            InvalidRequest: the model is of another kind or family.
        """
        check_kind(self.network, model, self.name)
        if isinstance(self.network, ControlLora):
            return self._made_for(self.network, cast("UNet", model.network))
        check_fits(self.network, cast("Any", model.network).config, model.family, self.name)
        return self.network

    def _made_for(self, lora: ControlLora, base: UNet) -> ControlNet:
        if base not in self.made:
            self.made.clear()  # one at a time: each is as large as half a U-Net
            self.made[base] = lora.made_for(base)
        return self.made[base]


@dataclass(frozen=True, eq=False)
class Control:
    """A network that steers, the picture (B, C, H, W) that it follows, and how; `previous` steers as well."""

    model: ControlModel
    hint: Tensor
    strength: float = 1.0
    span: tuple[float, float] = (0.0, 1.0)
    previous: Steers | None = None
    latent: LatentHint | None = None

    def adjusting(self, model: DiffusionModel, like: Tensor, *, negative: bool = False) -> Adjust:
        """See `Steers`."""
        before = None if self.previous is None else self.previous.adjusting(model, like, negative=negative)
        if negative and self.model.pooled:
            return before or _nothing
        return _Adjusting(self, model, len(like), before)

    def networks(self, model: DiffusionModel) -> list[nn.Module]:
        """See `Company`."""
        before = [] if self.previous is None else self.previous.networks(model)
        return [*before, self.model.network_for(model), *([] if self.latent is None else [self.latent.vae.model])]

    def finished(self) -> None:
        """See `Company`."""
        if self.previous is not None:
            self.previous.finished()


def _nothing(x: Tensor, sigma: Tensor, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


class _Adjusting:
    """A control at work in one run: the residuals of each call as hooks."""

    def __init__(self, control: Control, model: DiffusionModel, count: int, before: Adjust | None) -> None:
        self.control, self._model, self._count, self.before = control, model, count, before
        self._network = control.model.network_for(model)
        start, end = (model.sampling.percent_to_sigma(part) for part in control.span)
        self._start, self._end = start, end
        self._seen: dict[tuple[int, ...], Any] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Adjusting) and self.control is other.control and self.before == other.before

    def __hash__(self) -> int:
        return id(self.control)

    def __call__(self, x: Tensor, sigma: Tensor, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        before: Mapping[str, Any] = {} if self.before is None else self.before(x, sigma, arguments)
        if not self._end <= float(sigma) <= self._start:
            return before
        hooks = self.residuals(x, sigma, arguments).hooks()
        return {**before, "hooks": before["hooks"] | hooks if "hooks" in before else hooks}

    def residuals(self, x: Tensor, sigma: Tensor, arguments: Mapping[str, Any]) -> Residuals:
        """What is added inside the U-Net, for x (B, C, h, w) at a level."""
        key = tuple(x.shape)
        if key not in self._seen:
            parts = len(x) // self._count
            self._seen[key] = self._shown(x, max(1, parts))
        levels = sigma.to(x.device).expand(len(x))
        answer = answered(self._network, self._seen[key], x, levels, self._model, arguments, self.control.model.task)
        return answer.times(self.control.strength, pooled=self.control.model.pooled)

    def _shown(self, x: Tensor, parts: int) -> Any:
        latent, network = self.control.latent, self._network
        if latent is None or isinstance(network, ControlNet | T2IAdapter):
            return shown(network, self.control.hint, x, parts)
        hint = latent.of(self.control.hint, x, network, self._model.latent)
        return in_turn(hint.to(next(network.parameters())), len(x), parts)


def controls_of(conditionings: Sequence[Sequence[Any]]) -> Iterator[Steers]:
    """What steers in conditionings, each once. Raises InvalidRequest for what cannot."""
    seen: set[int] = set()
    for entries in conditionings:
        for _, said in entries:
            control = said.get("control")
            if control is not None and id(control) not in seen:
                seen.add(id(control))
                yield _steers(control)


def shared_with_negative(
    positive: Sequence[Mapping[str, Any]], negative: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Any]]:
    """Controls of the positive side that the negative one takes too: (index of the negative entry, control).

    They say so by "control_apply_to_uncond", and only if no negative entry has one of its own. More of them than
    negative entries begin again with the first.
    """
    given = [
        said["control"]
        for said in positive
        if said.get("control_apply_to_uncond") and said.get("control") is not None and "area" not in said
    ]
    takers = [index for index, said in enumerate(negative) if "area" not in said]
    if not takers or any(negative[index].get("control") is not None for index in takers):
        return
    for number, control in enumerate(given):
        yield takers[number % len(takers)], control


def _steers(control: Any) -> Steers:
    if not isinstance(control, Steers):
        raise InvalidRequest(
            f"The conditioning carries a control of an unknown kind ({type(control).__name__}).",
            remedy="Apply it with Apply ControlNet.",
        )
    return control


def with_controls(
    model: DiffusionModel, entries: Sequence[Any], like: Tensor, *, negative: bool = False
) -> list[list[Any]]:
    """Conditioning whose controls are ready for a run; see `conditions.Condition.adjust`."""
    made: list[list[Any]] = []
    for features, said in entries:
        control = said.get("control")
        if control is None:
            made.append([features, said])
            continue
        adjust = _steers(control).adjusting(model, like, negative=negative)
        if "cross_attn_controlnet" in said:
            adjust = _told_otherwise(adjust, model, said, like, negative=negative)
        made.append([features, {**said, "adjust": adjust}])
    return made


def _told_otherwise(
    adjust: Adjust, model: DiffusionModel, said: Mapping[str, Any], like: Tensor, *, negative: bool
) -> Adjust:
    """A control that is told a text of its own, which CLIPTextEncodeControlnet has put beside the model's."""
    told = {**said, "pooled_output": said.get("pooled_output_controlnet", said.get("pooled_output"))}
    own = model.inputs(said["cross_attn_controlnet"], told, like, negative=negative)
    texts: dict[str, Tensor] = {name: own[name] for name in ("context", "vector") if name in own}

    def adjusted(x: Tensor, sigma: Tensor, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        # No other condition shares the call, as this function is equal to itself alone.
        return adjust(x, sigma, {**arguments, **{name: rows(text, len(x)) for name, text in texts.items()}})

    return adjusted


def both_sides(positive: Sequence[Any], negative: Sequence[Any]) -> list[list[Any]]:
    """The negative conditioning, steered by those controls of the positive one that are for both."""
    taken = [list(entry) for entry in negative]
    first = len(taken)
    for index, control in shared_with_negative([said for _, said in positive], [said for _, said in negative]):
        features, said = negative[index]
        entry = [features, {**said, "control": control}]
        if taken[index][1].get("control") is None and index < first:
            taken[index] = entry
        else:
            taken.append(entry)
    return taken
