"""ControlNets of Stable Diffusion 3: InstantX's, a shorter transformer, and Stability's for 3.5 large, without a text.

Inside of `mmdit` stand the published names of the transformer, beside it those of the ControlNets. B batch, h × w
latent pixels, P patches, T text tokens, D text width, V width of the pooled text, C width
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor, nn

from app.diffusion.models.mmdit import PATCH, JointBlock, MMDiT, MMDiTConfig, PatchEmbedder, StreamBlock, VectorEmbedder
from app.diffusion.models.modulation import attended, modulated
from app.diffusion.models.patches import FREQUENCIES, waves, whole_patches

# What pictures Stability's ControlNets follow, by the number that their files hold as `control_type`.
KINDS = ("blur", "canny", "depth")


@dataclass(frozen=True, slots=True)
class SD3ControlConfig:
    """`mmdit` is the transformer's shape; `hint_channels` are the latent's, and one more of a mask where it has 17."""

    mmdit: MMDiTConfig
    hint_channels: int = 16

    @property
    def masked(self) -> bool:
        """Whether it is told by a mask what is to be drawn anew."""
        return self.hint_channels > self.mmdit.channels


class SD3Control(nn.Module):
    """Residuals for the blocks of Stable Diffusion 3, from what it is given itself, and a picture's latent."""

    def __init__(self, config: SD3ControlConfig) -> None:
        super().__init__()
        self.config = config
        shape, width = config.mmdit, config.mmdit.width
        self.mmdit = MMDiT(replace(shape, depth=0))
        del self.mmdit.final_layer
        self.mmdit.joint_blocks = nn.ModuleList(
            JointBlock(shape, ends=False, dual=index < shape.dual) for index in range(shape.depth)
        )
        self.pos_embed_input = PatchEmbedder(replace(shape, channels=config.hint_channels))
        self.controlnet_blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(shape.depth))

    def forward(self, x: Tensor, timesteps: Tensor, seen: Tensor, context: Tensor) -> list[Tensor]:
        """(B, 16, h, w), (B,) in 0..1000, (B, 16 or 17, h, w), (B, T, D) → (B, P, C) of each block.

        The pooled text, which the transformer is given, it has been trained without.
        """
        mmdit = self.mmdit
        img = placed_tokens(mmdit, x) + tokens(self.pos_embed_input, seen)
        nothing = x.new_zeros(len(x), self.config.mmdit.vector_width)
        c = mmdit.t_embedder(waves(timesteps, x.dtype)) + mmdit.y_embedder(nothing)
        txt = mmdit.context_embedder(context)
        residuals: list[Tensor] = []
        blocks = cast("Iterable[JointBlock]", mmdit.joint_blocks)
        for block, out in zip(blocks, self.controlnet_blocks, strict=True):
            img, txt = block(img, txt, c)
            residuals.append(out(img))
        return residuals


@dataclass(frozen=True, slots=True)
class SD3ImageControlConfig:
    """`mmdit` tells width, depth, channels and the pooled text's width; `kind` is one of `KINDS`."""

    mmdit: MMDiTConfig
    kind: str = KINDS[0]

    @property
    def hint_channels(self) -> int:
        """Channels of the latent that it is shown."""
        return self.mmdit.channels

    @property
    def masked(self) -> bool:
        """Whether it is told by a mask what is to be drawn anew: never."""
        return False


class SD3ImageControl(nn.Module):
    """Residuals for the blocks of Stable Diffusion 3.5, from its own patches, the pooled text and a picture's latent.

    Its blocks are those of one stream: patches attend to patches alone.
    """

    def __init__(self, config: SD3ImageControlConfig) -> None:
        super().__init__()
        self.config = config
        shape, width = config.mmdit, config.mmdit.width
        self.t_embedder = VectorEmbedder(FREQUENCIES, width)
        self.y_embedder = VectorEmbedder(shape.vector_width, width)
        self.pos_embed_input = PatchEmbedder(shape)
        self.transformer_blocks = nn.ModuleList(StreamBlock(shape) for _ in range(shape.depth))
        self.controlnet_blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(shape.depth))

    def forward(self, patches: Tensor, timesteps: Tensor, seen: Tensor, vector: Tensor | None = None) -> list[Tensor]:
        """(B, P, C), (B,) in 0..1000, (B, 16, h, w), (B, V) → (B, P, C) of each block; without a vector, zeros.

        `patches` are the steered transformer's (`placed_tokens`): this one has none of its own.
        """
        vector = patches.new_zeros(len(patches), self.config.mmdit.vector_width) if vector is None else vector
        c = self.t_embedder(waves(timesteps, patches.dtype)) + self.y_embedder(vector)
        img = patches + tokens(self.pos_embed_input, seen)
        residuals: list[Tensor] = []
        blocks = cast("Iterable[StreamBlock]", self.transformer_blocks)
        for block, out in zip(blocks, self.controlnet_blocks, strict=True):
            said = block.modulation(c)
            img = block.finish(img, attended(*block.attn.split(modulated(img, said[0], said[1]))), said)
            residuals.append(out(img))
        return residuals


def tokens(embedder: PatchEmbedder, x: Tensor) -> Tensor:
    """A latent's patches as tokens, (B, 16, h, w) → (B, P, C)."""
    return _embedded(embedder, x).flatten(2).transpose(1, 2)


def placed_tokens(mmdit: MMDiT, x: Tensor) -> Tensor:
    """The same as the transformer's first block is given them, with their places.

    Raises:
        InvalidRequest: more patches along a side than there are places.
    """
    embedded = _embedded(mmdit.x_embedder, x)
    rows, columns = embedded.shape[-2:]
    return embedded.flatten(2).transpose(1, 2) + mmdit.places(rows, columns)


def _embedded(embedder: PatchEmbedder, x: Tensor) -> Tensor:
    return embedder.proj(whole_patches(x, PATCH))
