"""Other ways to blend a positive and a negative answer; each makes a `Blend` or works on answers directly.

Inner products and norms are over each sample alone, so that a picture does not depend on its batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from app.diffusion.guidance.classifier_free import Blend, blend, rescaled_velocity
from app.diffusion.guidance.features import low_frequencies_scaled


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=tuple(range(1, a.ndim)), keepdim=True)


def along(value: Tensor, direction: Tensor) -> Tensor:
    """The part of value parallel to direction, per sample."""
    return _inner(value, direction) / _inner(direction, direction).clamp(min=1e-12) * direction


def rescale(scale: float, multiplier: float = 0.7) -> Blend:
    """Guidance whose velocity keeps the standard deviation of the positive one (arXiv:2305.08891, Section 3.4)."""
    return lambda yes, no, x, sigma: rescaled_velocity(yes, no, x, sigma, scale=scale, multiplier=multiplier)


def perpendicular_negative(
    positive: Tensor, negative: Tensor, empty: Tensor, *, scale: float, negative_scale: float = 1.0
) -> Tensor:
    """Perp-Neg (arXiv:2304.04968): only what the negative prompt says besides the positive one is taken away."""
    wanted, unwanted = positive - empty, negative - empty
    return empty + scale * (wanted - negative_scale * (unwanted - along(unwanted, wanted)))


def zero_star(scale: float) -> Blend:
    """CFG-Zero* (arXiv:2503.18886): the negative noise is first scaled to fit the positive one best."""

    def combine(yes: Tensor, no: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        # In terms of x − denoised, which noise, velocity and flow predictions are multiples of.
        fitted = along(x - yes, x - no)
        return x - blend(x - yes, fitted, scale)

    return combine


def renormed(scale: float, limit: float) -> Blend:
    """Guidance whose noise is at most `limit` times as long as the positive one's; 0 for any length.

    As Lumina-Image 2.0 is sampled (arXiv:2503.21758), whose network predicts a flow.
    """

    def combine(yes: Tensor, no: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        wanted = x - yes
        guided = blend(wanted, x - no, scale)
        if limit > 0:
            lengths = [_inner(noise, noise).sqrt() for noise in (wanted, guided)]
            guided = guided * (limit * lengths[0] / lengths[1].clamp(min=1e-12)).clamp(max=1)
        return x - guided

    return combine


def tangential(scale: float) -> Blend:
    """TCFG (arXiv:2503.18137): of the negative noise, what lies outside the main direction of both is dropped."""

    def combine(yes: Tensor, no: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        share_yes, share_no = _along_the_main(x - yes, x - no)
        return blend(yes, x - (share_yes * (x - yes) + share_no * (x - no)), scale)

    return combine


def _along_the_main(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """second's part along the first right singular vector of [first, second], as shares of both, per sample.

    The left vector is (cos a, sin a) with tan 2a = 2⟨f, s⟩ / (⟨f, f⟩ − ⟨s, s⟩); the shares are sin a·cos a and sin² a.
    Rounded once from exact sums, because a half-precision network makes much of a last bit that the batch decides.
    """
    exact = torch.float32 if first.device.type == "mps" else torch.float64
    f, s = first.to(exact), second.to(exact)
    both, apart = 2 * _inner(f, s), _inner(f, f) - _inner(s, s)
    length = (both.square() + apart.square()).sqrt().clamp(min=torch.finfo(exact).tiny)
    return (both / length / 2).to(first), ((1 - apart / length) / 2).to(first)


class AdaptiveProjected:
    """APG (arXiv:2410.02416): guidance without the part along the positive answer that oversaturates.

    eta weighs that part; norm_threshold bounds the guidance (0: no bound); momentum below 0 damps what steps share.
    One object serves one run: it remembers the last step, and forgets when the noise level rises.
    """

    def __init__(self, scale: float, *, eta: float = 1.0, norm_threshold: float = 5.0, momentum: float = 0.0):
        self._scale, self._eta = scale, eta
        self._threshold, self._momentum = norm_threshold, momentum
        self._average: Tensor | None = None
        self._level = 0.0

    def __call__(self, yes: Tensor, no: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        guidance = yes - no
        if self._momentum != 0:
            if self._average is not None and float(sigma) < self._level and self._average.shape == guidance.shape:
                guidance = guidance + self._momentum * self._average
            self._average, self._level = guidance, float(sigma)
        if self._threshold > 0:
            norm = _inner(guidance, guidance).sqrt()
            guidance = guidance * (self._threshold / norm.clamp(min=1e-12)).clamp(max=1)
        parallel = along(guidance, yes)
        return yes + (self._scale - 1) * (guidance - parallel + self._eta * parallel)


def kept_norm(guided: Tensor, positive: Tensor, strength: float) -> Tensor:
    """guided, nowhere longer along its channels than positive, times strength."""
    lengths = [answer.square().sum(1, keepdim=True).sqrt() for answer in (positive, guided)]
    return guided * (lengths[0] / (lengths[1] + 1e-8)).clamp(0, 1) * strength


def thresholded(guided: Tensor, mimicked: Tensor, percentile: float) -> Tensor:
    """Dynamic thresholding (arXiv:2205.11487, section 2.3) for latents: guided as contrasty as `mimicked` at most.

    In each channel of each sample, values further from the mean than the percentile (0..1) are clamped to it, and all
    are scaled so that they reach as far as those of `mimicked`, an answer at a smaller scale.
    """
    axes = tuple(range(2, guided.ndim))
    mean = guided.mean(axes, keepdim=True)
    away = guided - mean
    others = (mimicked - mimicked.mean(axes, keepdim=True)).abs().flatten(2)
    wanted = others.amax(-1)
    reach = torch.quantile(away.abs().flatten(2).float(), percentile, dim=-1).to(guided).maximum(wanted)
    shape = (*guided.shape[:2], *(1 for _ in axes))
    reach, wanted = reach.reshape(shape), wanted.reshape(shape)
    return mean + away.clamp(-reach, reach) * (wanted / reach.clamp(min=1e-12))


def directed(positive: Tensor, negative: Tensor, scale: float) -> Tensor:
    """Mahiro's guidance: the more the guided answer agrees with the negative one, the more the positive one counts."""
    strong = positive * scale
    guided = blend(positive, negative, scale)
    roots = [value.abs().sqrt() * value.sign() for value in (negative * scale, (strong + guided) / 2)]
    likeness = functional.cosine_similarity(*roots, dim=1)
    share = (likeness.mean(tuple(range(1, likeness.ndim))).reshape(-1, *(1 for _ in guided.shape[1:])) + 1) / 2
    return share * guided + (1 - share) * strong


def dual(first: Tensor, second: Tensor, nothing: Tensor, *, scale: float, second_scale: float, nested: bool) -> Tensor:
    """Two prompts, each with a scale of its own (arXiv:2211.09800, Eq. 3); `nested` guides the first one's result."""
    if nested:
        return blend(blend(first, second, scale), nothing, second_scale)
    return blend(second, nothing, second_scale) + scale * (first - second)


def scaled_noise(guided: Tensor, x: Tensor, factor: float) -> Tensor:
    """Epsilon scaling (arXiv:2308.15321): the noise that the model sees is divided by the factor."""
    return x - (x - guided) / factor


def filtered(guidance: Tensor, low: float, high: float, cutoff: int) -> Tensor:
    """FreSca (arXiv:2504.02154): guidance with its low and high frequencies, divided at the cutoff, scaled apart."""
    only_high = low_frequencies_scaled(guidance, cutoff, 0.0)
    return high * only_high + low * (guidance - only_high)
