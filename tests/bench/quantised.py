"""What networks in blocks of a few bits (GGUF) take: memory, and time of a step, beside the same network in bfloat16.

    python tests/bench/quantised.py                 a Flux of 215 million weights, a picture of 512 × 512
    python tests/bench/quantised.py --unet          Stable Diffusion 1.5's U-Net, its convolutions in float16
    python tests/bench/quantised.py --threads 1

Weights are random, and no picture comes of them. Each file is read by a process of its own; memory is what that holds
after the steps, less what it held before it read. The best time of the steps counts, without the first. With a LoRA of
rank 16 on every layer, all that it adds is added anew at every step.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from app.diffusion.adapters.change import Edit, Place  # noqa: E402  (the path comes first)
from app.diffusion.adapters.low_rank import LowRank  # noqa: E402
from app.diffusion.adapters.twin import with_edits  # noqa: E402
from app.diffusion.layout import prepare  # noqa: E402
from app.diffusion.models.block_formats import FORMATS  # noqa: E402
from app.diffusion.models.flux import FLUX_DEV, Flux  # noqa: E402
from app.diffusion.models.narrow import weight_shapes  # noqa: E402
from app.diffusion.models.unet import UNet  # noqa: E402
from app.diffusion.published import PUBLISHED  # noqa: E402
from app.diffusion.working import make_ready  # noqa: E402
from app.weights.blank import blank  # noqa: E402
from app.weights.separate import load_network  # noqa: E402

KINDS = ("BF16", "Q8_0", "Q4_K")
RANK = 16


def say(line: str) -> None:
    """Write one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def write(path: Path, network: nn.Module, kind: str) -> None:
    """Matrices whose sides fit in blocks of that kind, other kernels in float16, the rest in float32."""
    import gguf

    library: Any = gguf
    writer = library.GGUFWriter(path, "any")
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        values = torch.randn(value.shape, generator=generator) * 0.02
        if value.dim() == 2 and kind in FORMATS and value.shape[1] % FORMATS[kind].values == 0:
            blocks = _blocks(kind, value.shape, generator)
            writer.add_tensor(name, blocks.numpy(), raw_dtype=library.GGMLQuantizationType[kind])
        elif value.dim() == 2:
            raw = values.bfloat16().view(torch.uint8)
            writer.add_tensor(name, raw.numpy(), raw_dtype=library.GGMLQuantizationType.BF16)
        else:
            writer.add_tensor(name, (values.half() if value.dim() > 2 else values).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _blocks(kind: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Random ones whose values are about as large as weights."""
    form = FORMATS[kind]
    blocks = torch.randint(0, 256, (shape.numel() // form.values, form.size), dtype=torch.uint8, generator=generator)
    for place in form.scales:
        blocks[:, place + 1] = (blocks[:, place + 1] & 0x80) | (0x02 if form.values == 32 else 0x01)
    return blocks.view(shape[0], -1)


def network_of(unet: bool) -> nn.Module:
    """The network without its weights."""
    with blank():
        if unet:
            return UNet(PUBLISHED["sd1"].unet)  # type: ignore[arg-type]
        return Flux(replace(FLUX_DEV, width=1024, heads=8, double=3, single=6))


def step(network: nn.Module) -> float:
    """Seconds of one call for a picture of 512 × 512; the U-Net's with both prompts of a guided step."""
    generator = torch.Generator().manual_seed(1)
    kind = torch.bfloat16
    if isinstance(network, UNet):
        said = [torch.randn(2, 4, 64, 64, generator=generator), torch.tensor([500.0] * 2)]
        said.append(torch.randn(2, 77, 768, generator=generator))
    else:
        said = [torch.randn(1, 16, 64, 64, generator=generator), torch.tensor([0.5])]
        said += [torch.randn(1, 256, 4096, generator=generator), torch.randn(1, 768, generator=generator)]
    x, when, *rest = said
    named = {} if isinstance(network, UNet) else {"guidance": torch.tensor([3.5])}
    begin = time.perf_counter()
    with torch.inference_mode():
        network(x.to(kind), when, *(each.to(kind) for each in rest), **named)
    return time.perf_counter() - begin


def with_lora(network: nn.Module) -> nn.Module:
    """A twin with small changes of every matrix."""
    shapes = {name: shape for name, shape in weight_shapes(network).items() if len(shape) == 2}
    return with_edits(
        network,
        (
            Edit(Place(name), LowRank(torch.randn(outer, RANK) * 0.01, torch.randn(RANK, inner) * 0.01))
            for name, (outer, inner) in shapes.items()
        ),
    )


def memory() -> int:
    """Bytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def measure(path: Path, repeat: int) -> None:
    """Write the figures of one file."""
    network_of(False)  # what everything needs is loaded before
    before = memory()
    network = load_network(path, torch.bfloat16).network
    make_ready(network)
    prepare(network)
    times = [step(network) for _ in range(repeat + 1)][1:]
    held = memory() - before
    changed = with_lora(network)
    changed_times = [step(changed) for _ in range(repeat + 1)][1:]
    added = memory() - before - held
    say(
        f"{path.stem:6} {path.stat().st_size / 2**20:8.0f} {held / 2**20:8.0f} {min(times):8.2f} ",
    )
    say(f"       with a LoRA: {added / 2**20:8.0f} more MiB {min(changed_times):8.2f} s")


def main() -> None:
    """Make the files, and measure each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unet", action="store_true")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--file", type=Path)
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    if asked.file:
        measure(asked.file, asked.repeat)
        return
    say("file    MiB: file     held   step s")
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            path = Path(folder) / f"{kind}.gguf"
            write(path, network_of(asked.unet), kind)
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--file", str(path)], check=True)
            path.unlink()


if __name__ == "__main__":
    main()
