"""KSampler written out a second time, step by step and cell by cell, without any of our parts: the pictures agree.

A network of one formula stands in for a U-Net, so what is compared is everything around it: levels, start, noise,
guidance, masks, regions, times and the latent that is handed on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.diffusion.drawing import Recipe, draw
from app.diffusion.latent_format import LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.parameterization import ModelSampling, V, continuous_edm, discrete, flow
from app.diffusion.preview import linear_preview
from app.diffusion.samplers import SAMPLERS

FORMAT = LatentFormat(4, 8, 0.5, 0.1)
HEIGHT, WIDTH = 12, 20
SETTINGS = {"steps": 6, "cfg": 3.0, "sampler": "euler", "schedule": "simple", "seed": 7}


class Formula(nn.Module):
    """Each place for itself: an answer that depends on what is there, the time and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        time = (timestep / (timestep.abs() + 300.0)).view(-1, 1, 1, 1)
        return torch.tanh(self.weight * x + context.mean(dim=(1, 2)).view(-1, 1, 1, 1) + time)


def betas_levels(*, zero: bool = False) -> Tensor:
    """Stable Diffusion's 1000 levels by their definition."""
    kept = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)
    if zero:
        root = kept.sqrt()
        first, last = root[0].clone(), root[-1].clone()
        kept = ((root - last) * first / (first - last)) ** 2
        kept[-1] = 4.8973451890853435e-08
    return ((1 - kept) / kept).sqrt().float()


@dataclass
class Plain:
    """A kind of model, written down from the definitions: its levels, times and what its output means."""

    kind: str
    levels: Tensor

    def time(self, sigma: float) -> float:
        if self.kind == "flow":
            return sigma * 1000
        if self.kind == "edm":
            return 0.25 * math.log(sigma)
        return float((self.levels.log() - math.log(sigma)).abs().argmin())

    def clean(self, network: nn.Module, x: Tensor, sigma: float, context: Tensor) -> Tensor:
        time = torch.full((len(x),), self.time(sigma))
        data = 0.5 if self.kind == "edm" else 1.0
        total = sigma**2 + data**2
        shown = x if self.kind == "flow" else x / math.sqrt(total)
        output = network(shown, time, context.expand(len(x), -1, -1))
        if self.kind in ("eps", "flow"):
            return x - sigma * output
        sign = 1 if self.kind == "edm" else -1
        return x * data**2 / total + sign * output * sigma * data / math.sqrt(total)

    def noisy(self, clean: Tensor, noise: Tensor, sigma: float, *, first: bool = False) -> Tensor:
        if self.kind == "flow":
            return sigma * noise + (1 - sigma) * clean
        is_all = first and sigma > float(self.levels[-1]) * (1 - 1e-5)
        return clean + noise * (math.sqrt(1 + sigma**2) if is_all else sigma)

    def schedule(self, steps: int) -> list[float]:
        """ "simple": every so many places of the table from its end, then zero."""
        places = [-(1 + int(i * len(self.levels) / steps)) for i in range(steps)]
        return [float(self.levels[place]) for place in places] + [0.0]


KINDS: dict[str, tuple[Plain, ModelSampling]] = {
    "eps": (Plain("eps", betas_levels()), discrete()),
    "v": (Plain("v", betas_levels()), discrete(V)),
    "v to zero": (Plain("v", betas_levels(zero=True)), discrete(V, zero_terminal_snr=True)),
    "flow": (Plain("flow", torch.arange(1, 1001) / 1000), flow()),
    "sd3": (Plain("flow", (t := torch.arange(1, 1001) / 1000) * 3 / (1 + 2 * t)), flow(3.0)),
    "edm": (Plain("edm", torch.linspace(math.log(0.002), math.log(80), 1000).exp()), continuous_edm()),
}


def model_of(sampling: ModelSampling) -> DiffusionModel:
    return DiffusionModel(Formula(), sampling, FORMAT, linear_preview(FORMAT), "formula")


def prompt(seed: int, **said: Any) -> list[Any]:
    return [torch.randn(1, 3, 5, generator=torch.Generator().manual_seed(seed)), said]


def latents(count: int = 2) -> Tensor:
    return torch.randn(count, 4, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(99))


def ours(sampling: ModelSampling, positive: Any, negative: Any, latent: dict[str, Any], **recipe: Any) -> Tensor:
    """Through the same door as the nodes."""
    drawing = draw(model_of(sampling), positive, negative, latent, Recipe(**{**SETTINGS, **recipe}))
    with torch.no_grad():
        for _ in drawing:
            pass
    return drawing.result["samples"]


def seeded(shape: tuple[int, ...], seed: int = 7) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def euler(
    plain: Plain, latent: Tensor, noise: Tensor, sigmas: list[float], *, mask: Tensor | None = None, cfg: float = 3.0
) -> Tensor:
    """One prompt against another, in the first stage's scale in and out."""
    network, yes, no = Formula(), prompt(1)[0], prompt(2)[0]
    start = (latent - 0.1) * 0.5 if latent.any() else latent
    x = plain.noisy(start, noise, sigmas[0], first=True)
    with torch.no_grad():
        for sigma, following in pairwise(sigmas):
            seen = x
            if mask is not None:
                seen = x * mask + plain.noisy(start, noise, sigma) * (1 - mask)
            away = plain.clean(network, seen, sigma, no)
            clean = away + cfg * (plain.clean(network, seen, sigma, yes) - away)
            if mask is not None:
                clean = clean * mask + start * (1 - mask)
            x = x + (x - clean) / sigma * (following - sigma)
    if plain.kind == "flow":
        x = x / (1 - sigmas[-1])
    return x / 0.5 + 0.1


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("denoise", [1.0, 0.55])
def test_from_noise_and_from_a_picture(kind: str, denoise: float) -> None:
    plain, sampling = KINDS[kind]
    latent = torch.zeros(2, 4, HEIGHT, WIDTH) if denoise == 1 else latents()
    sigmas = plain.schedule(int(6 / denoise))[-7:]
    expected = euler(plain, latent, seeded((2, 4, HEIGHT, WIDTH)), sigmas)
    close(ours(sampling, [prompt(1)], [prompt(2)], {"samples": latent}, denoise=denoise), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_the_steps_with_the_noise_left_in_it_and_the_rest_without_new_noise(kind: str) -> None:
    plain, sampling = KINDS[kind]
    sides = [prompt(1)], [prompt(2)]
    sigmas, noise = plain.schedule(6), seeded((2, 4, HEIGHT, WIDTH))
    first = ours(sampling, *sides, {"samples": latents()}, start=1, end=4, leave_noise=True)
    close(first, euler(plain, latents(), noise, sigmas[1:5]))
    rest = ours(sampling, *sides, {"samples": first}, start=4, add_noise=False)
    close(rest, euler(plain, first, torch.zeros_like(noise), sigmas[4:]))
    cut = ours(sampling, *sides, {"samples": latents()}, start=1, end=4)
    close(cut, euler(plain, latents(), noise, [*sigmas[1:4], 0.0]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_soft_mask(kind: str) -> None:
    plain, sampling = KINDS[kind]
    mask = torch.rand(1, 8 * HEIGHT, 8 * WIDTH, generator=torch.Generator().manual_seed(3))
    mask[..., : 4 * WIDTH] = 0
    small = torch.nn.functional.interpolate(mask[None], size=(HEIGHT, WIDTH), mode="bilinear")
    sigmas = plain.schedule(12)[-7:]
    expected = euler(plain, latents(), seeded((2, 4, HEIGHT, WIDTH)), sigmas, mask=small)
    got = ours(sampling, [prompt(1)], [prompt(2)], {"samples": latents(), "noise_mask": mask}, denoise=0.5)
    close(got, expected)
    close(got[..., : WIDTH // 2 - 1], latents()[..., : WIDTH // 2 - 1])


def test_items_of_a_batch_drawn_again() -> None:
    plain, sampling = KINDS["eps"]
    generator = torch.Generator().manual_seed(7)
    drawn = [torch.randn(1, 4, HEIGHT, WIDTH, generator=generator) for _ in range(6)]
    latent = {"samples": torch.zeros(3, 4, HEIGHT, WIDTH), "batch_index": [5, 2, 5]}
    noise = torch.cat([drawn[index] for index in (5, 2, 5)])
    close(ours(sampling, [prompt(1)], [prompt(2)], latent), euler(plain, latent["samples"], noise, plain.schedule(6)))


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_noise_in_the_steps(kind: str) -> None:
    """euler_ancestral draws from a generator of its own, seeded with one more."""
    plain, sampling = KINDS[kind]
    shape = (2, 4, HEIGHT, WIDTH)
    x = plain.noisy(torch.zeros(shape), seeded(shape), plain.schedule(6)[0], first=True)
    steps, network = torch.Generator().manual_seed(8), Formula()
    with torch.no_grad():
        for sigma, following in pairwise(plain.schedule(6)):
            away, towards = (plain.clean(network, x, sigma, prompt(seed)[0]) for seed in (2, 1))
            clean = away + 3 * (towards - away)
            up = math.sqrt(following**2 * (sigma**2 - following**2) / sigma**2)
            down = math.sqrt(following**2 - up**2)
            x = x + (x - clean) / sigma * (down - sigma)
            if following > 0:
                x = x + up * torch.randn(shape, generator=steps)
    got = ours(sampling, [prompt(1)], [prompt(2)], {"samples": torch.zeros(shape)}, sampler="euler_ancestral")
    close(got, x / 0.5 + 0.1)


@dataclass
class Region:
    """One positive prompt: what it counts in each cell, and on which steps."""

    entry: list[Any]
    weight: Tensor
    steps: range


def faded(y: int, x: int, height: int, width: int) -> Tensor:
    """Cell by cell: an area counts in parts of eight, or of a quarter of its side, on sides that are no borders."""
    weight = torch.zeros(HEIGHT, WIDTH)
    rows, columns = min(8, height // 4), min(8, width // 4)
    for row in range(height):
        for column in range(width):
            part = 1.0
            if y > 0 and row < rows:
                part *= (row + 1) / rows
            if y + height < HEIGHT and height - 1 - row < rows:
                part *= (height - row) / rows
            if x > 0 and column < columns:
                part *= (column + 1) / columns
            if x + width < WIDTH and width - 1 - column < columns:
                part *= (width - column) / columns
            weight[y + row, x + column] = part
    return weight


def regions() -> list[Region]:
    mask = torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(4))
    # Percent 0.4 of SD's levels lies between the third and the fourth of six: 0.6·999 = 599.4; 666 and 499 are visited.
    return [
        Region(prompt(10), torch.ones(HEIGHT, WIDTH), range(6)),
        Region(prompt(11, area=(8, 12, 4, 2), strength=2.0), 2 * faded(4, 2, 8, 12), range(6)),
        Region(prompt(12, area=("percentage", 0.5, 0.5, 0.0, 0.5)), faded(0, 10, 6, 10), range(6)),
        Region(prompt(13, mask=mask[None], mask_strength=1.5, strength=0.5), 0.75 * mask, range(6)),
        Region(prompt(14, start_percent=0.4, end_percent=1.0), torch.ones(HEIGHT, WIDTH), range(3, 6)),
        Region(prompt(15, start_percent=0.0, end_percent=0.4, strength=3.0), 3 * torch.ones(HEIGHT, WIDTH), range(3)),
    ]


def test_regions_masks_strengths_and_times_are_averaged_cell_by_cell() -> None:
    plain, sampling = KINDS["eps"]
    shape = (1, 4, HEIGHT, WIDTH)
    x = plain.noisy(torch.zeros(shape), seeded(shape), plain.schedule(6)[0], first=True)
    network = Formula()
    with torch.no_grad():
        for step, (sigma, following) in enumerate(pairwise(plain.schedule(6))):
            heard = [region for region in regions() if step in region.steps]
            total = sum(region.weight for region in heard)
            towards = sum(plain.clean(network, x, sigma, region.entry[0]) * region.weight / total for region in heard)
            away = plain.clean(network, x, sigma, prompt(2)[0])
            x = x + (x - away - 3 * (towards - away)) / sigma * (following - sigma)
    got = ours(sampling, [region.entry for region in regions()], [prompt(2)], {"samples": torch.zeros(shape)})
    close(got, x / 0.5 + 0.1)


def test_what_is_said_by_default_fills_the_rest() -> None:
    """A default prompt counts as much as the others leave of one."""
    plain, sampling = KINDS["eps"]
    shape = (1, 4, HEIGHT, WIDTH)
    mask = torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5))
    sigma = plain.schedule(1)[0]
    x = plain.noisy(torch.zeros(shape), seeded(shape), sigma, first=True)
    with torch.no_grad():
        one, rest, away = (plain.clean(Formula(), x, sigma, prompt(seed)[0]) for seed in (1, 3, 2))
    towards = one * mask + rest * (1 - mask)
    positive = [prompt(3, default=True), prompt(1, mask=mask[None])]
    got = ours(sampling, positive, [prompt(2)], {"samples": torch.zeros(shape)}, steps=1)
    close(got, (away + 3 * (towards - away)) / 0.5 + 0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_sampler_on_every_kind_of_model_gives_numbers_and_keeps_what_is_masked(kind: str) -> None:
    sampling = KINDS[kind][1]
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[..., WIDTH // 2 :] = 1
    latent = {"samples": latents(1), "noise_mask": mask}
    kept = latents(1)[..., : WIDTH // 2]
    for name in SAMPLERS:
        got = ours(sampling, [prompt(1)], [prompt(2)], latent, sampler=name, schedule="normal", steps=5, denoise=0.8)
        assert bool(got.isfinite().all()), name
        assert float((got[..., : WIDTH // 2] - kept).abs().max()) < 1e-3, name
        assert float((got[..., WIDTH // 2 :] - latents(1)[..., WIDTH // 2 :]).abs().max()) > 0.1, name
