"""Correctors of the score: whoever brings one has the last word on the noise that a model predicts (CompVis's option).

Letters: x (B, C, h, w) is a noisy latent in sigma coordinates, sigma its level (0-d).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from app.diffusion.denoiser import Denoiser, Step, both_answers
from app.diffusion.guidance.conditions import Entry
from app.diffusion.parameterization import ModelSampling
from app.diffusion.parameterization.predictions import NoisePrediction
from app.diffusion.samplers.catalogue import SamplerSpec
from app.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Score:
    """The noise (B, C, h, w) that a guided model predicts in x, and what is known about it.

    `conditioning` is what the corrector was given with; `denoise` asks the guided model again.
    """

    noise: Tensor
    x: Tensor
    sigma: Tensor
    sampling: ModelSampling
    conditioning: Sequence[Entry]
    denoise: Denoiser

    @property
    def timestep(self) -> Tensor:
        """The model's time, 0-d."""
        return self.sampling.timestep(self.sigma)

    @property
    def shown(self) -> Tensor:
        """x as the network is shown it, with unit variance (B, C, h, w)."""
        return self.sampling.scaled_input(self.x, self.sigma)


# what the model predicts → the noise to follow, shaped as it
ScoreCorrector = Callable[[Score], Tensor]


class ModifiesScore(Protocol):
    """A score corrector as CompVis's samplers call it."""

    @property
    def modify_score(self) -> Callable[..., Tensor]:
        """(model, e_t, x, t, c, and its own arguments) → the noise to follow in place of e_t, shaped as it."""
        ...


def modifying(corrector: ModifiesScore, **kwargs: Any) -> ScoreCorrector:
    """A CompVis corrector and its arguments; x is the latent as the network is shown it, t (B,) its time.

    `model` is called with a latent in sigma coordinates and its level, and `c` has conditioning entries.
    """

    def correct(score: Score) -> Tensor:
        times = score.timestep.to(score.x.device).expand(len(score.x))
        return corrector.modify_score(score.denoise, score.noise, score.shown, times, score.conditioning, **kwargs)

    return correct


def corrected(spec: SamplerSpec, correct: ScoreCorrector, conditioning: Sequence[Entry] = ()) -> SamplerSpec:
    """The same sampler along what `correct` makes of each prediction; a codebook comes after it.

    A run raises InvalidRequest for models that predict anything but noise.
    """

    def options_for(sampling: ModelSampling) -> Mapping[str, Any]:
        inner: Mapping[str, Any] = spec.options_for(sampling) if spec.options_for else {}
        return {"sampling": _of_noise(sampling), "inner": inner}

    def run(
        denoise: Denoiser,
        x: Tensor,
        sigmas: Tensor,
        *,
        sampling: ModelSampling,
        inner: Mapping[str, Any],
        **options: Any,
    ) -> Iterator[Step]:
        treated = _Corrected(denoise, correct, sampling, conditioning)
        return spec.function(treated, x, sigmas, **{**inner, **options})

    return replace(spec, function=run, options_for=options_for)


def _of_noise(sampling: ModelSampling) -> ModelSampling:
    if isinstance(sampling.prediction, NoisePrediction):
        return sampling
    raise InvalidRequest(
        "A score corrector works on predicted noise, which this model does not predict.",
        remedy="Choose a model that predicts noise, or remove the corrector.",
    )


@dataclass(frozen=True, slots=True)
class _Corrected:
    """A denoiser whose guided answer is corrected; what it says without the prompt is not."""

    denoise: Denoiser
    correct: ScoreCorrector
    sampling: ModelSampling
    conditioning: Sequence[Entry]

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        return self._follow(self.denoise(x, sigma), x, sigma)

    def split(self, x: Tensor, sigma: Tensor, /) -> tuple[Tensor, Tensor]:
        """(guided and corrected, unconditional), both shaped as x."""
        guided, unconditional = both_answers(self.denoise, x, sigma)
        return self._follow(guided, x, sigma), unconditional

    def _follow(self, denoised: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        noise = (x - denoised) / sigma
        return x - sigma * self.correct(Score(noise, x, sigma, self.sampling, self.conditioning, self.denoise))
