"""How long one guided step and one decoding take, beside diffusers with the same weights in the same run.

    python tests/bench/networks.py                    Stable Diffusion 1.5 at 512 × 512 (needs 12 GB), and its VAE
    python tests/bench/networks.py --size 256 --repeat 5
    python tests/bench/networks.py --only small       networks of the shipped checkpoint's shape and of twice its size

Every repetition runs all contenders in turn, so that a noisy machine is as noisy for each; the best time of each
counts. Weights are random, in the published shapes. The floor is the work of the step, counted by PyTorch's own
counter, at the rates that matrix products and convolutions reach in this very run.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large pages for all, which our workers ask for; before PyTorch

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from app.diffusion.layout import prepare  # noqa: E402  (the path comes first)
from app.diffusion.models.autoencoder_kl import AutoencoderConfig, AutoencoderKL  # noqa: E402
from app.diffusion.models.unet import UNet, UNetConfig  # noqa: E402
from app.memory.devices import main_memory, use_all_cores  # noqa: E402
from app.memory.meter import meter_for  # noqa: E402
from tests.parity.test_networks import diffusers_unet, diffusers_vae, randomise  # noqa: E402

Contenders = dict[str, Callable[[], Tensor]]
SHIPPED = UNetConfig(8, 8, 64, (1, 2), 1, (1, 1), heads=None, head_width=32, context_width=128)
SMALL = UNetConfig(
    8, 8, 64, (1, 2, 3), 1, (0, 1, 1), heads=None, head_width=32, context_width=128, linear_projection=True, groups=16
)


def say(line: str) -> None:
    """Write one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def race(contenders: Contenders, repeat: int) -> dict[str, float]:
    """The best seconds of each contender over interleaved rounds; a first round is not counted."""
    best = dict.fromkeys(contenders, float("inf"))
    for turn in range(repeat + 1):
        for name, work in contenders.items():
            spent = seconds(work)
            best[name] = min(best[name], spent) if turn else best[name]
    return best


def rates(dtype: torch.dtype) -> tuple[float, float]:
    """FLOP/s of a large matrix product and of a wide 3 × 3 convolution, the best of five."""
    a, b = torch.randn(2048, 1280).to(dtype), torch.randn(1280, 5120).to(dtype).t().contiguous().t()
    x = torch.randn(2, 640, 32, 32).to(dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(640, 640, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    product = min(seconds(lambda: a @ b) for _ in range(5))
    convolution = min(seconds(lambda: F.conv2d(x, kernel, padding=1)) for _ in range(5))
    return 2 * 2048 * 1280 * 5120 / product, 2 * 2 * 1024 * 640 * 640 * 9 / convolution


def flops(work: Callable[[], object]) -> tuple[float, float]:
    """FLOP of matrix products and attention, and of convolutions."""
    with FlopCounterMode(display=False) as counter:
        work()
    counts = counter.get_flop_counts()["Global"]
    convolutions = sum(count for op, count in counts.items() if "conv" in str(op))
    return float(sum(counts.values()) - convolutions), float(convolutions)


def copy_of(network: nn.Module, blank: Callable[[], nn.Module], dtype: torch.dtype) -> nn.Module:
    """The same weights in another network that is laid out for this machine."""
    copy = blank().eval().requires_grad_(False)
    copy.load_state_dict({name: value.to(dtype) for name, value in network.state_dict().items()}, assign=True)
    prepare(copy, main_memory()[1] // 3)
    return copy


def step(config: UNetConfig, size: int, repeat: int) -> None:
    """A guided step: two latents of size × size, 77 tokens."""
    ours = randomise(UNet(config), 1)
    theirs = diffusers_unet(config, ours.state_dict())
    half = copy_of(ours, lambda: meta(lambda: UNet(config)), torch.bfloat16)
    prepare(ours.requires_grad_(False), main_memory()[1] // 3)
    x, t = torch.randn(1, config.in_channels, size, size).expand(2, -1, -1, -1).contiguous(), torch.tensor([500.0] * 2)
    text = torch.randn(2, 77, config.context_width or 1)
    half_text = text.bfloat16()  # the same at every step of a run, as the sampling gives it
    contenders: Contenders = {
        "diffusers float32": lambda: theirs(x, t, text).sample,
        "ours float32": lambda: ours(x, t, text),
        "ours bfloat16": lambda: half(x.bfloat16(), t, half_text),
    }
    report(contenders, repeat, work=lambda: theirs(x, t, text))


def decoding(config: AutoencoderConfig, size: int, repeat: int) -> None:
    """A latent of size × size to a picture."""
    ours = randomise(AutoencoderKL(config), 2)
    theirs = diffusers_vae(config, ours.state_dict())
    half = copy_of(ours, lambda: meta(lambda: AutoencoderKL(config)), torch.bfloat16)
    prepare(ours.requires_grad_(False), main_memory()[1] // 3)
    z = torch.randn(1, config.latent_channels, size, size)
    contenders: Contenders = {
        "diffusers float32": lambda: theirs.decode(z).sample,
        "ours float32": lambda: ours.decode(z),
        "ours bfloat16": lambda: half.decode(z.bfloat16()),  # type: ignore[operator]
    }
    report(contenders, repeat, work=lambda: theirs.decode(z))


def meta(build: Callable[[], nn.Module]) -> nn.Module:
    """A network without weights."""
    with torch.device("meta"):
        return build()


def report(contenders: Contenders, repeat: int, work: Callable[[], Any]) -> None:
    """Race the contenders and print seconds, ratios, peak memory, error and the share of the floor."""
    with torch.inference_mode():
        _report(contenders, repeat, work)


def _report(contenders: Contenders, repeat: int, work: Callable[[], Any]) -> None:
    linear, convolution = flops(work)
    best = race(contenders, repeat)
    reference_name, reference = next(iter(contenders.items()))
    expected = reference().float()
    say(f"  {linear / 1e9:,.1f} GFLOP in products, {convolution / 1e9:,.1f} in convolutions")
    for name, spent in best.items():
        peak = meter_for(torch.device("cpu"))()
        result = contenders[name]().float()
        peak_bytes = peak()
        error = float((result - expected).norm() / expected.norm())
        product_rate, convolution_rate = rates(torch.bfloat16 if "bfloat16" in name else torch.float32)
        floor = linear / product_rate + convolution / convolution_rate
        say(
            f"  {name:20} {spent:8.4f} s  {spent / best[reference_name]:5.2f} × {reference_name}"
            f"  {floor / spent:5.2f} of the floor  {peak_bytes / 2**20:7.0f} MiB  error {error:.1e}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="pixels per side")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="0 for one per core")
    parser.add_argument("--only", choices=["step", "decoding", "small"])
    options = parser.parse_args()
    threads = options.threads or use_all_cores()
    torch.set_num_threads(threads)
    for dtype in (torch.float32, torch.bfloat16):
        product, convolution = rates(dtype)
        say(f"{dtype}: products {product / 1e9:.0f}, convolutions {convolution / 1e9:.0f} GFLOP/s, {threads} threads")
    torch.set_grad_enabled(False)  # weights are those of a checkpoint that was read: they count their changes
    if options.only in (None, "step"):
        say(f"One guided step of Stable Diffusion 1.5 at {options.size} × {options.size}")
        step(UNetConfig(), options.size // 8, options.repeat)
    if options.only in (None, "decoding"):
        say(f"One decoding to {options.size} × {options.size}")
        decoding(AutoencoderConfig(), options.size // 8, options.repeat)
    if options.only in (None, "small"):
        say("One guided step of a network of the shipped checkpoint's shape at 8 × 8 latent pixels")
        step(SHIPPED, 8, max(options.repeat, 100))
        say("One guided step of a network of twice its size, with a third level")
        step(SMALL, 8, max(options.repeat, 100))


if __name__ == "__main__":
    main()
