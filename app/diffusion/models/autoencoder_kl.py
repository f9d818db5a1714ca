"""The first stage with a Gaussian posterior (Kingma & Welling 2014; arXiv:2112.10752, appendix E.1).

Module names are those of the CompVis checkpoints; in a full model's file they follow `first_stage_model.`.
B batch, C channels, H × W pixels, h × w latent pixels
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.kernels.attention import attend
from app.diffusion.models.convolution import Conv1x1, Conv3x3, doubled, ordered


@dataclass(frozen=True, slots=True)
class AutoencoderConfig:
    """The shape of a first stage; its down-sampling factor is 2 ** (len(channel_mult) − 1).

    `attention` has one entry per level, empty for none; `codes` is the size of the codebook, 0 for a Gaussian
    posterior.
    """

    latent_channels: int = 4
    channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    image_channels: int = 3
    groups: int = 32
    quant_conv: bool = True
    attention: tuple[bool, ...] = ()
    middle_attention: bool = True
    codes: int = 0

    @property
    def factor(self) -> int:
        """Pixels per latent pixel along one side."""
        return 2 ** (len(self.channel_mult) - 1)

    def attends(self, level: int) -> bool:
        """Whether the blocks of a level are followed by attention."""
        return bool(self.attention) and self.attention[level]


@dataclass(frozen=True, slots=True)
class Posterior:
    """A diagonal Gaussian over latents, (B, C, h, w) each; the log variance is clamped to −30..20."""

    mean: Tensor
    logvar: Tensor

    @classmethod
    def from_moments(cls, moments: Tensor) -> Posterior:
        """Split (B, 2C, h, w) into mean and log variance."""
        mean, logvar = moments.chunk(2, dim=1)
        return cls(mean, logvar.clamp(-30.0, 20.0))

    def sample(self, noise: Tensor) -> Tensor:
        """mean + standard deviation · noise."""
        return self.mean + (0.5 * self.logvar).exp() * noise

    def kl(self) -> Tensor:
        """½ Σ (μ² + σ² − 1 − log σ²) for each image: (B,)."""
        terms = self.mean.square() + self.logvar.exp() - 1.0 - self.logvar
        return 0.5 * terms.flatten(1).sum(1)


class ResnetBlock(nn.Module):
    """Two normalised convolutions added to the input."""

    def __init__(self, width: int, out: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, width, eps=1e-6)
        self.conv1 = Conv3x3(width, out)
        self.norm2 = nn.GroupNorm(groups, out, eps=1e-6)
        self.conv2 = Conv3x3(out, out)
        self.nin_shortcut = Conv1x1(width, out) if width != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x), inplace=True))
        h = self.conv2(F.silu(self.norm2(h), inplace=True))
        return self.nin_shortcut(x) + h


class AttnBlock(nn.Module):
    """Single-head self-attention over the pixels, with 1 × 1 convolutions as projections."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.q = Conv1x1(width, width)
        self.k = Conv1x1(width, width)
        self.v = Conv1x1(width, width)
        self.proj_out = Conv1x1(width, width)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W)
        h = self.norm(x)
        q, k, v = (layer(h).flatten(2).transpose(1, 2)[:, None] for layer in (self.q, self.k, self.v))
        h = attend(q, k, v)[:, 0]  # (B, H·W, C)
        return x + self.proj_out(h.transpose(1, 2).unflatten(2, x.shape[2:]))


class Downsample(nn.Module):
    """Halves each side; pads right and bottom only, as the published weights expect."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Doubles each side by repeating pixels, then convolves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Conv3x3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return doubled(self.conv, x)


class Level(nn.Module):
    """The blocks of one resolution, and what leads to the next one: `downsample`, `upsample` or nothing."""

    def __init__(self, width: int, out: int, blocks: int, groups: int, leads: str = "", *, attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResnetBlock(width if i == 0 else out, out, groups) for i in range(blocks))
        self.attn = nn.ModuleList(AttnBlock(out, groups) for _ in range(blocks if attention else 0))
        self.downsample = Downsample(out) if leads == "down" else None
        self.upsample = Upsample(out) if leads == "up" else None

    def residual(self, x: Tensor) -> Tensor:
        """The blocks alone."""
        for index, block in enumerate(self.block):
            x = block(x)
            if self.attn:
                x = self.attn[index](x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        resample = self.downsample or self.upsample
        x = self.residual(x)
        return resample(x) if resample else x


class Middle(nn.Module):
    """Block, attention, block at the lowest resolution."""

    def __init__(self, width: int, groups: int, *, attention: bool) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(width, width, groups)
        self.attn_1 = AttnBlock(width, groups) if attention else nn.Identity()
        self.block_2 = ResnetBlock(width, width, groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """Image to `out_channels` per latent pixel: (B, 3, H, W) → (B, O, h, w)."""

    def __init__(self, config: AutoencoderConfig, out_channels: int) -> None:
        super().__init__()
        width = config.channels
        self.conv_in = nn.Conv2d(config.image_channels, width, 3, padding=1)
        self.down = nn.ModuleList()
        for level, factor in enumerate(config.channel_mult):
            out = config.channels * factor
            leads = "down" if level < len(config.channel_mult) - 1 else ""
            attention = config.attends(level)
            self.down.append(Level(width, out, config.num_res_blocks, config.groups, leads, attention=attention))
            width = out
        self.mid = Middle(width, config.groups, attention=config.middle_attention)
        self.norm_out = nn.GroupNorm(config.groups, width, eps=1e-6)
        self.conv_out = nn.Conv2d(width, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(ordered(x, self.conv_in.out_channels))
        for stage in self.down:
            x = stage(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """Latent to image: (B, C, h, w) → (B, 3, H, W). `up` is indexed by resolution and runs from its last entry."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        width = config.channels * config.channel_mult[-1]
        self.conv_in = nn.Conv2d(config.latent_channels, width, 3, padding=1)
        self.mid = Middle(width, config.groups, attention=config.middle_attention)
        stages: list[Level] = []
        for level, factor in reversed(list(enumerate(config.channel_mult))):
            out = config.channels * factor
            leads = "up" if level else ""
            attention = config.attends(level)
            stages.insert(0, Level(width, out, config.num_res_blocks + 1, config.groups, leads, attention=attention))
            width = out
        self.up = nn.ModuleList(stages)
        self.norm_out = nn.GroupNorm(config.groups, width, eps=1e-6)
        self.conv_out = nn.Conv2d(width, config.image_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.mid(self.conv_in(ordered(z, self.conv_out.in_channels)))
        for level in range(len(self.up) - 1, -1, -1):
            x = self.up[level](x)
        return self.conv_out(F.silu(self.norm_out(x)))


class AutoencoderKL(nn.Module):
    """A first stage that encodes images in −1..1 to a Gaussian over latents, and decodes latents."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, 2 * config.latent_channels)
        self.decoder = Decoder(config)
        channels = config.latent_channels
        self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1) if config.quant_conv else nn.Identity()
        self.post_quant_conv = nn.Conv2d(channels, channels, 1) if config.quant_conv else nn.Identity()

    def encode(self, image: Tensor) -> Posterior:
        """(B, 3, H, W) in −1..1 → posterior of (B, C, h, w); H and W must be multiples of the factor.

        Raises:
            ValueError: a side that is no multiple of the factor.
        """
        check_sides(image, self.config.factor)
        return Posterior.from_moments(self.quant_conv(self.encoder(image)))

    def decode(self, latent: Tensor) -> Tensor:
        """(B, C, h, w) → (B, 3, H, W), about −1..1 and not clamped."""
        return self.decoder(self.post_quant_conv(latent))

    def forward(self, image: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Posterior]:
        """Encode, sample (or take the mean without noise) and decode."""
        posterior = self.encode(image)
        latent = posterior.mean if noise is None else posterior.sample(noise)
        return self.decode(latent), posterior


def check_sides(image: Tensor, factor: int) -> None:
    """Raises ValueError unless height and width of (..., H, W) are multiples of the factor."""
    if image.shape[-2] % factor or image.shape[-1] % factor:
        raise ValueError(f"image of {tuple(image.shape[-2:])} pixels: both sides must be multiples of {factor}")


def freeze(module: nn.Module) -> nn.Module:
    """Switch to evaluation and stop gradients, for a first stage that the second must not change."""
    return module.eval().requires_grad_(False)


def moments_shape(config: AutoencoderConfig, image: torch.Size) -> tuple[int, int, int]:
    """Channels, height and width of the latent of an image of shape (..., H, W)."""
    return config.latent_channels, image[-2] // config.factor, image[-1] // config.factor
