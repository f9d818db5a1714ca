"""Trains the second stage: a text tower and a U-Net together, by flow matching on latents.

The network learns u = ε − z along z_t = (1 − t) z + t ε (Lipman et al. 2023, arXiv:2210.02747), with t drawn
logit-normally (Esser et al. 2024, arXiv:2403.03206) and captions left out at random for classifier-free guidance.

B samples, C latent channels, h × w latent pixels, T tokens
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from app.diffusion.conditioning.prompt import Framing, Segment, chunked
from app.diffusion.conditioning.tokenizer import Tokenizer
from app.diffusion.models.clip_text import ClipText
from app.diffusion.models.unet import UNet
from app.training.autoencoder import TrainingStep
from app.training.average import MovingAverage
from app.training.pace import Pace, cosine_rate
from app.training.precision import mixed_precision
from app.training.state import RunState

TIMESTEPS = 1000.0  # the network is told 1000 · t
Samples = Callable[[int], tuple[Tensor, list[str]]]


@dataclass(frozen=True, slots=True)
class TextToImageRecipe:
    """How the second stage is trained.

    `time_mean` is the mean of the times' logit: above 0, more samples are noisy, where layout is decided. `uniform` is
    the share of times drawn evenly instead.
    """

    minutes: float = 80.0
    batch: int = 64
    rate: float = 8e-4
    empty_captions: float = 0.12
    uniform: float = 0.15
    time_mean: float = 0.6
    decay: float = 0.9993
    seed: int = 2
    save_minutes: float = 3.0


class TextToLatent(nn.Module):
    """A text tower and the U-Net that attends to it."""

    def __init__(self, unet: UNet, text: ClipText) -> None:
        super().__init__()
        self.unet = unet
        self.text = text

    def forward(self, x: Tensor, t: Tensor, tokens: Tensor, end: Tensor) -> Tensor:
        """The flow at (B, C, h, w) and times (B,) in 0..1, for (B, T) tokens that end at (B,)."""
        context = self.text(tokens, end).hidden
        return self.unet(x, t * TIMESTEPS, context)


def tokenise(captions: list[str], tokenizer: Tokenizer, length: int) -> tuple[Tensor, Tensor]:
    """(B, T) token ids and the (B,) places of the end tokens; what does not fit in one chunk is cut."""
    framing = Framing(tokenizer.end, padding=tokenizer.end, start=tokenizer.start, length=length)
    segments = ([Segment(caption, 1.0)] if caption else [] for caption in captions)
    chunks = [chunked(caption, tokenizer.encode, framing)[0] for caption in segments]
    return torch.tensor([chunk.tokens for chunk in chunks]), torch.tensor([chunk.end for chunk in chunks])


def flow_times(count: int, uniform: float, mean: float) -> Tensor:
    """Times in 0..1: σ(N(mean, 1)), a share of them uniform so that both ends are seen: (count,)."""
    times = torch.sigmoid(torch.randn(count) + mean)
    return torch.where(torch.rand(count) < uniform, torch.rand(count), times)


def train_text_to_image(
    model: TextToLatent, tokenizer: Tokenizer, samples: Samples, recipe: TextToImageRecipe, file: Path
) -> Iterator[TrainingStep]:
    """Train until the minutes are used; the run goes on from `file` if it exists, and is saved there.

    `samples(n)` gives scaled latents (n, C, h, w) and n captions. When the iterator ends, the model holds the
    averaged weights.
    """
    torch.manual_seed(recipe.seed)  # pyright: ignore[reportUnknownMemberType]
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    average = MovingAverage(model, recipe.decay)
    state = RunState(model, average, optimiser)
    counters = state.load(file) if file.exists() else {}
    step, seen = int(counters.get("step", 0)), int(counters.get("images", 0))
    # A sitting that goes on must not repeat the first one's noise.
    torch.manual_seed(recipe.seed + step)  # pyright: ignore[reportUnknownMemberType]
    pace = Pace(recipe.minutes * 60.0, counters.get("seconds", 0.0))
    saved = pace.seconds
    model.train()
    while not pace.over:
        for group in optimiser.param_groups:
            group["lr"] = cosine_rate(pace.fraction, step, peak=recipe.rate)
        loss = flow_loss(model, tokenizer, *samples(recipe.batch), recipe)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()  # pyright: ignore[reportUnknownMemberType]
        average.update(model)
        step, seen = step + 1, seen + recipe.batch
        yield TrainingStep(step, float(loss.detach()), seen, pace.seconds, pace.fraction)
        if pace.seconds - saved > recipe.save_minutes * 60.0 or pace.over:
            state.save(file, {"step": step, "images": seen, "seconds": pace.seconds})
            saved = pace.seconds
    average.copy_to(model)


def flow_loss(
    model: TextToLatent, tokenizer: Tokenizer, latents: Tensor, captions: list[str], recipe: TextToImageRecipe
) -> Tensor:
    """Mean squared error of the predicted flow on a batch, at random times and with some captions left out."""
    dropped = torch.rand(len(captions)) < recipe.empty_captions
    captions = ["" if drop else caption for caption, drop in zip(captions, dropped, strict=True)]
    tokens, end = tokenise(captions, tokenizer, model.text.config.length)
    noise, times = torch.randn_like(latents), flow_times(len(latents), recipe.uniform, recipe.time_mean)
    t = times[:, None, None, None]
    with mixed_precision():
        flow = model((1.0 - t) * latents + t * noise, times, tokens, end)
    return (flow.float() - (noise - latents)).square().mean()
