"""Pictures as conditions of Stable Diffusion 2.1 unCLIP (Ramesh et al. 2022, arXiv:2204.06125; its v2-1 configs).

B pictures, P width of CLIP's embeddings of pictures
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from app.diffusion.inputs import UNetInputs
from app.diffusion.models.unet import timestep_embedding
from app.diffusion.noise import Seeds, noise_beside
from app.diffusion.parameterization.betas import cosine, signal_of
from app.errors import InvalidRequest

STEPS = 1000
MERGED = 0.05  # the noise level that a mixture of several pictures is brought to


@dataclass(frozen=True, slots=True)
class NoiseAugmentor:
    """Noise on embeddings of pictures, which lets the model depart from them; `mean` and `deviation` (1, P)."""

    mean: Tensor
    deviation: Tensor

    def __call__(self, embedding: Tensor, level: float, seed: Seeds = 0) -> Tensor:
        """(1, P) and a level 0..1 → (1, 2·P): the noisy embedding, and how noisy it is.

        `seed` is that of the picture that is drawn; with one for each of B pictures (B, 2·P).
        """
        step = round((STEPS - 1) * level)
        signal = signal_of(cosine(STEPS, 0.0, 1.0))[step].float()
        clean = embedding.float().cpu()
        scaled = (clean - self.mean) / self.deviation
        noisy = (signal.sqrt() * scaled + (1 - signal).sqrt() * noise_beside(clean, seed)) * self.deviation + self.mean
        told = timestep_embedding(torch.tensor([step]), embedding.shape[-1])
        return torch.cat([noisy, told.expand(len(noisy), -1)], dim=1)

    def vector(self, said: Sequence[Mapping[str, Any]], seed: Seeds = 0) -> Tensor:
        """The vector (1, 2·P) of pictures with their strengths and noise levels; several are added up.

        With one seed for each of B latents (B, 2·P).

        Raises:
            InvalidRequest: a picture that was encoded by another tower.
        """
        vectors: list[Tensor] = []
        for entry in said:
            for embedding in entry["clip_vision_output"].image_embeds:
                if embedding.shape[-1] != self.mean.shape[-1]:
                    raise InvalidRequest(
                        f"This picture was encoded with a width of {embedding.shape[-1]}; the model takes "
                        f"{self.mean.shape[-1]}.",
                        remedy="Encode it with the CLIP_VISION of the same checkpoint (unCLIPCheckpointLoader).",
                    )
                vectors.append(self(embedding[None], entry["noise_augmentation"], seed) * entry["strength"])
        if len(vectors) == 1:
            return vectors[0]
        total = torch.stack(vectors).sum(0)[:, : self.mean.shape[-1]]
        if isinstance(seed, int):
            return self(total, MERGED, seed)
        return torch.cat([self(row[None], MERGED, [one]) for row, one in zip(total, seed, strict=True)])


@dataclass(frozen=True, slots=True)
class UnclipInputs:
    """See `inputs.NetworkInputs`: what the U-Net takes, and the pictures under unclip_conditioning."""

    inner: UNetInputs
    augmentor: NoiseAugmentor

    def __call__(
        self, features: Tensor, said: Mapping[str, Any], like: Tensor, *, negative: bool = False
    ) -> Mapping[str, Any]:
        pictures = said.get("unclip_conditioning")
        told = {**said, "vector": self.augmentor.vector(pictures, said.get("seed", 0))} if pictures else said
        return self.inner(features, told, like, negative=negative)
