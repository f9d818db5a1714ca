"""The transformer of Stable Diffusion 3 and 3.5 (Esser et al. 2024, arXiv:2403.03206), with the published names.

B batch, H × W latent pixels, P patches, T context tokens, C width, N heads, D head width
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.hooks import AttentionHooks, NetworkHooks, Streams, looking_at_all, through
from app.diffusion.models.modulation import EPSILON, FinalLayer, attended, joint, modulated, split_heads
from app.diffusion.models.patches import FREQUENCIES, pixels_of, waves, whole_patches
from app.errors import InvalidRequest

HEAD_WIDTH = 64
PATCH = 2


@dataclass(frozen=True, slots=True)
class MMDiTConfig:
    """The shape of the transformer; the defaults are Stable Diffusion 3 medium's.

    `normalised` heads are 3.5's; in the first `dual` blocks patches also attend to themselves alone (3.5 medium).
    `places` is the side of the table of positions, in patches.
    """

    depth: int = 24
    width: int = 1536
    channels: int = 16
    context_width: int = 4096
    vector_width: int = 2048
    places: int = 192
    normalised: bool = False
    dual: int = 0

    @property
    def heads(self) -> int:
        """Attention heads of 64 channels."""
        return self.width // HEAD_WIDTH


SD3_MEDIUM = MMDiTConfig()
SD35_MEDIUM = MMDiTConfig(places=384, normalised=True, dual=13)
SD35_LARGE = MMDiTConfig(depth=38, width=2432, normalised=True)


def mmdit_config(shapes: Mapping[str, Sequence[int]]) -> MMDiTConfig:
    """The configuration that tensors of these shapes belong to, by the published names without prefix.

    Raises:
        KeyError: a tensor that every file has is missing.
    """
    width, channels = shapes["x_embedder.proj.weight"][:2]
    blocks = {int(name.split(".")[1]) for name in shapes if name.startswith("joint_blocks.")}
    dual = {name.split(".")[1] for name in shapes if ".x_block.attn2." in name}
    return MMDiTConfig(
        depth=len(blocks),
        width=width,
        channels=channels,
        context_width=shapes["context_embedder.weight"][1],
        vector_width=shapes["y_embedder.mlp.0.weight"][1],
        places=round(shapes["pos_embed"][1] ** 0.5),
        normalised="joint_blocks.0.x_block.attn.ln_q.weight" in shapes,
        dual=len(dual),
    )


class ScaleNorm(nn.Module):
    """Division by the root of the mean square over a head, and a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HEAD_WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, EPSILON)


class Attention(nn.Module):
    """Queries, keys and values of one stream, and the way back; without `returns` the stream ends here."""

    def __init__(self, config: MMDiTConfig, *, returns: bool = True) -> None:
        super().__init__()
        self.heads = config.heads
        self.normalised = config.normalised
        self.qkv = nn.Linear(config.width, 3 * config.width)
        if returns:
            self.proj = nn.Linear(config.width, config.width)
        if config.normalised:
            self.ln_q = ScaleNorm()
            self.ln_k = ScaleNorm()

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) → queries, keys, values (B, N, T, D)."""
        q, k, v = split_heads(self.qkv(x), self.heads)
        return (self.ln_q(q), self.ln_k(k), v) if self.normalised else (q, k, v)


class MLP(nn.Module):
    """Two layers around a GELU in its tanh form."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class StreamBlock(nn.Module):
    """One stream's part of a joint block. The last block's context only gives keys and values to the patches."""

    def __init__(self, config: MMDiTConfig, *, ends: bool = False, dual: bool = False) -> None:
        super().__init__()
        self.attn = Attention(config, returns=not ends)
        if dual:
            self.attn2 = Attention(config)
        if not ends:
            self.mlp = MLP(config.width)
        self.dual = dual
        parts = 2 if ends else 9 if dual else 6
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(config.width, parts * config.width))

    def modulation(self, c: Tensor) -> tuple[Tensor, ...]:
        """Shift and scale, then gate, and the same for the feed-forward part and for the second attention."""
        width = self.attn.qkv.in_features
        return self.adaLN_modulation(c).split(width, dim=-1)

    def finish(self, x: Tensor, attention: Tensor, said: Sequence[Tensor]) -> Tensor:
        """The stream after attention (B, T, C) has come back from all tokens; `said` is `modulation`'s."""
        shift, scale, gate = said[3:6]
        after = x + said[2][:, None] * self.attn.proj(attention)
        if self.dual:
            alone = attended(*self.attn2.split(modulated(x, said[6], said[7])))
            after = after + said[8][:, None] * self.attn2.proj(alone)
        return after + gate[:, None] * self.mlp(modulated(after, shift, scale))


class JointBlock(nn.Module):
    """Context and patches, each with its own weights, attend to both."""

    def __init__(self, config: MMDiTConfig, *, ends: bool, dual: bool) -> None:
        super().__init__()
        self.context_block = StreamBlock(config, ends=ends)
        self.x_block = StreamBlock(config, dual=dual)
        self.ends = ends

    def forward(
        self, x: Tensor, context: Tensor, c: Tensor, hooks: AttentionHooks | None = None
    ) -> tuple[Tensor, Tensor]:  # (B, P, C), (B, T, C), (B, C)
        theirs, ours = self.context_block.modulation(c), self.x_block.modulation(c)
        first = self.context_block.attn.split(modulated(context, theirs[0], theirs[1]))
        second = self.x_block.attn.split(modulated(x, ours[0], ours[1]))
        q, k, v = joint(first, second)
        if self.ends:
            return self.x_block.finish(x, attended(second[0], k, v, hooks), ours), context
        both = attended(q, k, v, hooks)
        length = context.shape[1]
        context = self.context_block.finish(context, both[:, :length], theirs)
        return self.x_block.finish(x, both[:, length:], ours), context


class PatchEmbedder(nn.Module):
    """Patches to tokens."""

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(config.channels, config.width, PATCH, stride=PATCH)


class VectorEmbedder(nn.Module):
    """Two layers around a SiLU."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(inner, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class MMDiT(nn.Module):
    """Predicts the flow of a noisy latent, given a time, text features and a pooled text vector."""

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.pos_embed = nn.Parameter(torch.zeros(1, config.places**2, width))
        self.x_embedder = PatchEmbedder(config)
        self.t_embedder = VectorEmbedder(FREQUENCIES, width)
        self.y_embedder = VectorEmbedder(config.vector_width, width)
        self.context_embedder = nn.Linear(config.context_width, width)
        self.joint_blocks = nn.ModuleList(
            JointBlock(config, ends=index == config.depth - 1, dual=index < config.dual)
            for index in range(config.depth)
        )
        self.final_layer = FinalLayer(width, PATCH * PATCH * config.channels)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor | None = None,
        vector: Tensor | None = None,
        *,
        hooks: NetworkHooks | None = None,
    ) -> Tensor:
        """(B, C, H, W), (B,) in 0..1000, (B, T, D), (B, V) → (B, C, H, W); without context or vector, zeros.

        Of `hooks` those of transformers count.

        Raises:
            InvalidRequest: a latent with more patches along a side than there are positions.
        """
        height, width = x.shape[-2:]
        tokens = self.x_embedder.proj(whole_patches(x, PATCH))
        rows, columns = tokens.shape[-2:]
        h = tokens.flatten(2).transpose(1, 2) + self.places(rows, columns)  # (B, P, C)
        c = self.t_embedder(waves(timesteps, x.dtype))
        c = c + self.y_embedder(x.new_zeros(len(x), self.config.vector_width) if vector is None else vector)
        context = x.new_zeros(len(x), 1, self.config.context_width) if context is None else context
        context = cast("Tensor", self.context_embedder(context))
        streams = Streams(h, context, c)
        for index, block in enumerate(cast("Iterable[JointBlock]", self.joint_blocks)):
            looking = looking_at_all(hooks, "joint", index, self.config.heads)

            def run(s: Streams, block: JointBlock = block, looking: AttentionHooks | None = looking) -> Streams:
                img, txt = block(s.img, s.txt, s.vector, looking)
                return s._replace(img=img, txt=txt)

            streams = through(hooks, "joint", index, run, streams)
        return pixels_of(self.final_layer(streams.img, c), rows, columns, PATCH)[..., :height, :width]

    def places(self, rows: int, columns: int) -> Tensor:
        """The middle of the table of positions, (1, rows · columns, C)."""
        side = self.config.places
        if max(rows, columns) > side:
            raise InvalidRequest(
                f"A latent of {columns * PATCH} × {rows * PATCH} is larger than this model can place: "
                f"{side * PATCH} × {side * PATCH} at most.",
                remedy=f"Draw at most {side * PATCH * 8} pixels along a side, and upscale afterwards.",
            )
        top, left = (side - rows) // 2, (side - columns) // 2
        table = torch.unflatten(self.pos_embed, 1, (side, side))
        return table[:, top : top + rows, left : left + columns].flatten(1, 2)
