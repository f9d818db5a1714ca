"""The architectures that a checkpoint can hold, as frozen rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from app.diffusion.latent_format import LatentFormat
from app.diffusion.models.autoencoder_kl import AutoencoderConfig
from app.diffusion.models.clip_text import ClipTextConfig
from app.diffusion.models.unet import UNetConfig
from app.diffusion.parameterization import EPS, ModelSampling, V, discrete, flow


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """What the network predicts: "eps", "v" (both on the discrete schedule) or "flow", with flow's shift."""

    prediction: str = "eps"
    shift: float = 1.0

    def build(self) -> ModelSampling:
        """The noise levels and prediction as an object.

        Raises:
            ValueError: an unknown prediction.
        """
        if self.prediction == "flow":
            return flow(self.shift)
        if self.prediction in ("eps", "v"):
            return discrete(EPS if self.prediction == "eps" else V)
        raise ValueError(f"unknown prediction {self.prediction!r}; known are eps, v and flow")


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture: the networks' shapes and how latents and noise are treated."""

    name: str
    unet: UNetConfig
    first_stage: AutoencoderConfig
    text: ClipTextConfig
    latent: LatentFormat
    sampling: SamplingConfig


_PARTS: Mapping[str, type] = {
    "unet": UNetConfig,
    "first_stage": AutoencoderConfig,
    "text": ClipTextConfig,
    "latent": LatentFormat,
    "sampling": SamplingConfig,
}


def family_to_json(family: Family) -> dict[str, Any]:
    """A family as JSON data, for a checkpoint's header."""
    return asdict(family)


def family_from_json(data: Mapping[str, Any]) -> Family:
    """The family that `family_to_json` wrote.

    Raises:
        ValueError: a part or field that is missing, unknown or of the wrong type.
    """
    try:
        parts = {name: _part(kind, data[name]) for name, kind in _PARTS.items()}
        return Family(name=str(data["name"]), **parts)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the configuration is incomplete or foreign: {error}") from error


def _part(kind: type, data: Mapping[str, Any]) -> Any:
    known = {field.name for field in fields(kind)}
    if unknown := set(data) - known:
        raise TypeError(f"unknown {kind.__name__} fields {sorted(unknown)}")
    lists = {name: tuple(cast("list[Any]", value)) for name, value in data.items() if isinstance(value, list)}
    return kind(**{**data, **lists})
