"""The transformer of Flux.1 (Black Forest Labs 2024; rotary positions: Su et al. 2021, arXiv:2104.09864).

B batch, H × W latent pixels, P patches, T text tokens, C width, N heads, D head width
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.hooks import AttentionHooks, Embedded, NetworkHooks, Streams, looking_at_all, through
from app.diffusion.models.modulation import EPSILON, FinalLayer, attended, joint, modulated, split_heads
from app.diffusion.models.patches import FREQUENCIES, packed, unpacked, waves, whole_patches
from app.diffusion.models.references import METHODS, Size, places

PATCH = 2
UNIT = 1000.0  # times and guidance scales are told in thousandths
Angles = tuple[Tensor, Tensor]  # cosines and sines, (P + T, D/2)


@dataclass(frozen=True, slots=True)
class FluxConfig:
    """The shape of the transformer; the defaults are Flux.1 dev's (its flux/util.py).

    `in_channels` counts the latent's and those of further images (fill 96, canny and depth 32); `out_channels` is the
    latent's 16. `axes` are the channels of a head that tell image, row and column.
    """

    in_channels: int = 16
    out_channels: int = 16
    width: int = 3072
    heads: int = 24
    double: int = 19
    single: int = 38
    context_width: int = 4096
    vector_width: int = 768
    guidance: bool = True
    axes: tuple[int, ...] = (16, 56, 56)
    theta: float = 10_000.0


FLUX_DEV = FluxConfig()
FLUX_SCHNELL = FluxConfig(guidance=False)
FLUX_FILL = FluxConfig(in_channels=96)


def flux_config(shapes: Mapping[str, Sequence[int]]) -> FluxConfig:
    """The configuration that tensors of these shapes belong to, by the published names without prefix.

    Raises:
        KeyError: a tensor that every file has is missing.
    """
    width, packed_channels = shapes["img_in.weight"]
    head = shapes["double_blocks.0.img_attn.norm.key_norm.scale"][0]
    count = {kind: len({n.split(".")[1] for n in shapes if n.startswith(f"{kind}_blocks.")}) for kind in _KINDS}
    return FluxConfig(
        in_channels=packed_channels // PATCH**2,
        out_channels=shapes["final_layer.linear.weight"][0] // PATCH**2,
        width=width,
        heads=width // head,
        double=count["double"],
        single=count["single"],
        context_width=shapes["txt_in.weight"][1],
        vector_width=shapes["vector_in.in_layer.weight"][1],
        guidance="guidance_in.in_layer.weight" in shapes,
    )


_KINDS = ("double", "single")


def rotary_angles(positions: Tensor, axes: Sequence[int], theta: float) -> Angles:
    """Cosines and sines for positions (T, axes), both (T, D/2); an axis turns its channels at falling frequencies."""
    parts: list[Tensor] = []
    for index, width in enumerate(axes):
        exponents = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
        parts.append(positions[:, index, None].double() * theta**-exponents)
    angles = torch.cat(parts, dim=-1)
    return angles.cos().float(), angles.sin().float()


def rotated(x: Tensor, angles: Angles) -> Tensor:
    """(B, N, T, D) with each pair of neighbouring channels turned by its angle."""
    cosine, sine = angles
    even, odd = torch.unflatten(x.float(), -1, (-1, 2)).unbind(-1)
    return torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1).flatten(-2).to(x.dtype)


class Embedder(nn.Module):
    """Two layers around a SiLU."""

    def __init__(self, inner: int, width: int) -> None:
        super().__init__()
        self.in_layer = nn.Linear(inner, width)
        self.out_layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_layer(F.silu(self.in_layer(x)))


class ScaleNorm(nn.Module):
    """Division by the root of the mean square over a head, and a scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.scale, EPSILON)


class HeadNorm(nn.Module):
    """Queries and keys normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query_norm = ScaleNorm(width)
        self.key_norm = ScaleNorm(width)


class Attention(nn.Module):
    """Queries, keys and values of one stream, and the way back."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.norm = HeadNorm(config.width // config.heads)
        self.proj = nn.Linear(config.width, config.width)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) → queries, keys, values (B, N, T, D)."""
        q, k, v = split_heads(self.qkv(x), self.heads)
        return self.norm.query_norm(q), self.norm.key_norm(k), v


class Modulation(nn.Module):
    """Shift, scale and gate from the vector of all that holds for the whole picture, `parts` of (B, C)."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.lin = nn.Linear(width, parts * width)

    def forward(self, vector: Tensor) -> tuple[Tensor, ...]:
        return self.lin(F.silu(vector)).split(self.lin.in_features, dim=-1)


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))


class DoubleBlock(nn.Module):
    """Text and picture, each with its own weights, attend to both."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        width = config.width
        self.img_mod, self.txt_mod = Modulation(width, 6), Modulation(width, 6)
        self.img_attn, self.txt_attn = Attention(config), Attention(config)
        self.img_mlp, self.txt_mlp = _mlp(width), _mlp(width)

    def forward(
        self, img: Tensor, txt: Tensor, vector: Tensor, angles: Angles, hooks: AttentionHooks | None = None
    ) -> tuple[Tensor, Tensor]:
        ours, theirs = self.img_mod(vector), self.txt_mod(vector)
        first = self.txt_attn.split(modulated(txt, theirs[0], theirs[1]))
        q, k, v = joint(first, self.img_attn.split(modulated(img, ours[0], ours[1])))
        both = attended(rotated(q, angles), rotated(k, angles), v, hooks)  # (B, T + P, C)
        length = txt.shape[1]
        img = img + ours[2][:, None] * self.img_attn.proj(both[:, length:])
        img = img + ours[5][:, None] * self.img_mlp(modulated(img, ours[3], ours[4]))
        txt = txt + theirs[2][:, None] * self.txt_attn.proj(both[:, :length])
        return img, txt + theirs[5][:, None] * self.txt_mlp(modulated(txt, theirs[3], theirs[4]))


class SingleBlock(nn.Module):
    """All tokens with the same weights; attention and feed-forward side by side (Dehghani et al., arXiv:2302.05442)."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.linear1 = nn.Linear(width, 7 * width)
        self.linear2 = nn.Linear(5 * width, width)
        self.norm = HeadNorm(width // config.heads)
        self.modulation = Modulation(width, 3)

    def forward(self, x: Tensor, vector: Tensor, angles: Angles, hooks: AttentionHooks | None = None) -> Tensor:
        shift, scale, gate = self.modulation(vector)
        width = x.shape[-1]
        qkv, inner = self.linear1(modulated(x, shift, scale)).split([3 * width, 4 * width], dim=-1)
        q, k, v = split_heads(qkv, self.heads)
        q, k = rotated(self.norm.query_norm(q), angles), rotated(self.norm.key_norm(k), angles)
        both = torch.cat([attended(q, k, v, hooks), F.gelu(inner, approximate="tanh")], dim=-1)
        return x + gate[:, None] * self.linear2(both)


class Flux(nn.Module):
    """Predicts the flow of a noisy latent, given a time, text features, a pooled text vector and a guidance scale."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.img_in = nn.Linear(config.in_channels * PATCH**2, width)
        self.time_in = Embedder(FREQUENCIES, width)
        self.vector_in = Embedder(config.vector_width, width)
        if config.guidance:
            self.guidance_in = Embedder(FREQUENCIES, width)
        self.txt_in = nn.Linear(config.context_width, width)
        self.double_blocks = nn.ModuleList(DoubleBlock(config) for _ in range(config.double))
        self.single_blocks = nn.ModuleList(SingleBlock(config) for _ in range(config.single))
        self.final_layer = FinalLayer(width, config.out_channels * PATCH**2)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor | None = None,
        vector: Tensor | None = None,
        *,
        guidance: Tensor | None = None,
        concat: Tensor | None = None,
        hooks: NetworkHooks | None = None,
        method: str = "offset",
        **references: Tensor,
    ) -> Tensor:
        """(B, 16, H, W), (B,) in 0..1, (B, T, D), (B, V) → (B, 16, H, W); without context or vector, zeros.

        `guidance` (B,) is the scale that dev has learnt to follow, none if it is not given; `concat` (B, E, H, W) are
        further input channels; of `hooks` those of transformers count. `references` (B, 16, …, …) are further pictures
        to look at, by name in their order, and `method` says where they stand (see `references.METHODS`).
        """
        height, width = x.shape[-2:]
        x = whole_patches(x if concat is None else torch.cat([x, concat], dim=1), PATCH)
        img = self.img_in(packed(x, PATCH))  # (B, P, C)
        context = x.new_zeros(len(x), 1, self.config.context_width) if context is None else context
        txt = self.txt_in(context)  # (B, T, C)
        c = self.vector(timesteps, vector, guidance, x)
        positions = self.positions(x.shape[-2] // PATCH, x.shape[-1] // PATCH, txt.shape[1], x.device)
        tokens = Embedded(img, txt, positions[txt.shape[1] :], positions[: txt.shape[1]])
        if references:
            shown = [whole_patches(each, PATCH) for _, each in sorted(references.items())]
            tokens = self._with_references(tokens, shown, (x.shape[-2] // PATCH, x.shape[-1] // PATCH), method)
        for hook in hooks.embedded if hooks else ():
            tokens = hook(tokens)
        angles = self.angles(torch.cat([tokens.txt_positions, tokens.img_positions]))
        patches = self._patches(Streams(tokens.img, tokens.txt, c, angles), hooks)
        flow = self.final_layer(patches[:, : img.shape[1]], c)  # a hook may have added pictures after ours
        return unpacked(flow, x.shape[-2], x.shape[-1], PATCH)[..., :height, :width]

    def _with_references(self, tokens: Embedded, shown: Sequence[Tensor], canvas: Size, method: str) -> Embedded:
        """The tokens of the picture, and after them those of further ones."""
        sizes = [(each.shape[-2] // PATCH, each.shape[-1] // PATCH) for each in shown]
        starts = METHODS[method](sizes, canvas)
        device = tokens.img.device
        at = [places(start, size, device) for start, size in zip(starts, sizes, strict=True)]
        return tokens._replace(
            img=torch.cat([tokens.img, *(self.img_in(packed(each, PATCH)) for each in shown)], dim=1),
            img_positions=torch.cat([tokens.img_positions, *at]),
        )

    def vector(self, timesteps: Tensor, vector: Tensor | None, guidance: Tensor | None, like: Tensor) -> Tensor:
        """Time, pooled text and guidance as one vector (B, C)."""
        c = self.time_in(waves(timesteps * UNIT, like.dtype))
        c = c + self.vector_in(like.new_zeros(len(like), self.config.vector_width) if vector is None else vector)
        if self.config.guidance and guidance is not None:
            c = c + self.guidance_in(waves(guidance * UNIT, like.dtype))
        return c

    def positions(self, rows: int, columns: int, text: int, device: torch.device) -> Tensor:
        """Places of text tokens, which all stand at 0, and of the patches after them, (T + P, 3)."""
        grid = torch.cartesian_prod(torch.arange(rows, device=device), torch.arange(columns, device=device))
        patches = F.pad(grid.reshape(-1, 2), (1, 0))
        return F.pad(patches, (0, 0, text, 0))

    def angles(self, positions: Tensor) -> Angles:
        """Rotations of tokens at these places (T + P, 3)."""
        return rotary_angles(positions, self.config.axes, self.config.theta)

    def _patches(self, streams: Streams, hooks: NetworkHooks | None) -> Tensor:
        """The tokens of the picture (B, P, C) after all blocks."""
        for index, block in enumerate(cast("Iterable[DoubleBlock]", self.double_blocks)):
            looking = looking_at_all(hooks, "double", index, self.config.heads)

            def both(s: Streams, block: DoubleBlock = block, looking: AttentionHooks | None = looking) -> Streams:
                img, txt = block(s.img, s.txt, s.vector, s.angles, looking)
                return s._replace(img=img, txt=txt)

            streams = through(hooks, "double", index, both, streams)
        assert streams.txt is not None
        length = streams.txt.shape[1]
        streams = streams._replace(img=torch.cat([streams.txt, streams.img], dim=1), txt=None)
        for index, block in enumerate(cast("Iterable[SingleBlock]", self.single_blocks)):
            looking = looking_at_all(hooks, "single", index, self.config.heads)

            def one(s: Streams, block: SingleBlock = block, looking: AttentionHooks | None = looking) -> Streams:
                return s._replace(img=block(s.img, s.vector, s.angles, looking))

            streams = through(hooks, "single", index, one, streams)
        return streams.img[:, length:]
