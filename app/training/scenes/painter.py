"""Pictures for prompts from the parts of a model, as the graph would draw them; used to judge a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from app.diffusion.conditioning.text_encoder import PromptEncoder
from app.diffusion.first_stage import FirstStage
from app.diffusion.guidance.classifier_free import Guided, batched, blend
from app.diffusion.layout import prepare
from app.diffusion.model import DiffusionModel
from app.diffusion.noise import prepare_noise
from app.diffusion.samplers import SAMPLERS
from app.diffusion.sampling import sample
from app.diffusion.schedules import sigmas
from app.weights.checkpoint import load_checkpoint
from app.weights.precision import precision_for

# Bytes that a network judged here may take for what it reads faster; the shipped one takes a hundredth.
SPARE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Painter:
    """Draws many prompts at once; the settings are those of the default graph."""

    model: DiffusionModel
    clip: PromptEncoder
    vae: FirstStage
    steps: int = 20
    guidance: float = 3.0
    sampler: str = "euler"
    schedule: str = "simple"

    @classmethod
    def of(cls, file: Path) -> Painter:
        """The model of a checkpoint as the editor would draw with it on this processor.

        Raises:
            Missing, UnusableFile, UnknownFamily: see `load_checkpoint`.
        """
        checkpoint = load_checkpoint(file, precision_for(torch.device("cpu")))
        for network in (checkpoint.model.network, checkpoint.vae.model):
            prepare(network, SPARE_BYTES)
        return cls(checkpoint.model, checkpoint.clip, checkpoint.vae)

    @torch.inference_mode()
    def paint(self, prompts: Sequence[str], *, seed: int = 0, side: int = 64, batch: int = 64) -> Tensor:
        """One picture a prompt, each with a noise of its own: (B, 3, side, side) in 0..1."""
        parts = [prompts[start : start + batch] for start in range(0, len(prompts), batch)]
        return torch.cat([self._paint(part, seed + index, side) for index, part in enumerate(parts)])

    def _paint(self, prompts: Sequence[str], seed: int, side: int) -> Tensor:
        empty = torch.zeros(len(prompts), self.model.latent.channels, side // self.vae.factor, side // self.vae.factor)
        positive = {"context": torch.cat([self.clip.encode(prompt).context for prompt in prompts])}
        negative = {"context": self.clip.encode("").context.expand_as(positive["context"])}
        pair = batched(self.model.denoiser(), positive, negative)
        denoise = Guided(pair, lambda cond, uncond, _x, _sigma: blend(cond, uncond, self.guidance))
        levels = sigmas(self.schedule, self.model.sampling, self.steps)
        noise = prepare_noise(empty, seed)
        *_, last = sample(denoise, noise, empty, levels, SAMPLERS[self.sampler], self.model.sampling, seed=seed)
        return self.vae.decode(self.model.latent.from_model(last.x)).movedim(-1, 1)
