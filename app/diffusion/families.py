"""The architectures that a checkpoint can hold, as frozen rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from app.diffusion.latent_format import LatentFormat
from app.diffusion.models.autoencoder_kl import AutoencoderConfig
from app.diffusion.models.clip_text import ClipTextConfig
from app.diffusion.models.flux import FluxConfig
from app.diffusion.models.mmdit import MMDiTConfig
from app.diffusion.models.unet import UNetConfig
from app.diffusion.parameterization import EPS, ModelSampling, V, continuous_edm, discrete, flow, flux

NetworkConfig = UNetConfig | MMDiTConfig | FluxConfig


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """What the network predicts, and on which noise levels.

    "eps" and "v" have discrete times with betas from `linear_start` to `linear_end` (linear between the roots), ending
    in pure noise with `zero_terminal_snr`; "flow" has a `shift` and tells the network its time up to `multiplier`,
    "flux" has an exponential shift; "edm" and "v-edm" are continuous between `sigma_min` and `sigma_max`.
    """

    prediction: str = "eps"
    shift: float = 1.0
    linear_start: float = 0.00085  # LDM and SD 1/2/XL configurations
    linear_end: float = 0.012
    zero_terminal_snr: bool = False
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    sigma_data: float = 0.5
    multiplier: float = 1000.0

    def build(self) -> ModelSampling:
        """The noise levels and prediction as an object.

        Raises:
            ValueError: an unknown prediction.
        """
        if self.prediction == "flow":
            return flow(self.shift, self.multiplier)
        if self.prediction == "flux":
            return flux(self.shift)
        if self.prediction == "edm":
            return continuous_edm(self.sigma_min, self.sigma_max, self.sigma_data)
        if self.prediction == "v-edm":
            return continuous_edm(self.sigma_min, self.sigma_max, prediction=V)
        if self.prediction in ("eps", "v"):
            return discrete(
                EPS if self.prediction == "eps" else V,
                linear_start=self.linear_start,
                linear_end=self.linear_end,
                zero_terminal_snr=self.zero_terminal_snr,
            )
        raise ValueError(f"unknown prediction {self.prediction!r}; known are eps, v, flow, flux, edm and v-edm")


@dataclass(frozen=True, slots=True)
class Family:
    """One architecture: the networks' shapes and how latents and noise are treated.

    `text` is the shape of a text tower of our own, or names how a published family is told what to draw: "sd1", "sd2",
    "sdxl", "refiner", "sd3", "flux", "bert", "classes", "segmentation", "boxes", "image" or "none".
    """

    name: str
    unet: NetworkConfig
    first_stage: AutoencoderConfig
    text: ClipTextConfig | str
    latent: LatentFormat
    sampling: SamplingConfig


# Where several kinds are possible, the first that has all the fields is meant.
_PARTS: Mapping[str, tuple[type, ...]] = {
    "unet": (UNetConfig, MMDiTConfig, FluxConfig),
    "first_stage": (AutoencoderConfig,),
    "text": (ClipTextConfig,),
    "latent": (LatentFormat,),
    "sampling": (SamplingConfig,),
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
        parts = {name: _part(kinds, data[name]) for name, kinds in _PARTS.items()}
        return Family(name=str(data["name"]), **parts)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the configuration is incomplete or foreign: {error}") from error


def _part(kinds: tuple[type, ...], data: Mapping[str, Any] | str) -> Any:
    if isinstance(data, str):
        if kinds == (ClipTextConfig,):
            return data
        raise TypeError(f"{kinds[0].__name__} is described by {data!r}")
    fitting = [kind for kind in kinds if set(data) <= {field.name for field in fields(kind)}]
    if not fitting:
        unknown = set(data) - {field.name for field in fields(kinds[0])}
        raise TypeError(f"unknown {kinds[0].__name__} fields {sorted(unknown)}")
    lists = {name: tuple(cast("list[Any]", value)) for name, value in data.items() if isinstance(value, list)}
    return fitting[0](**{**data, **lists})
