"""How long a whole checkpoint takes to load, beside diffusers with the same file, and how much memory it holds.

    python tests/bench/loading.py                       Stable Diffusion 1.5's shapes in float16 (2.1 GB on the disk)
    python tests/bench/loading.py --stored float32      the same in float32 (4.3 GB)
    python tests/bench/loading.py --repeat 8

diffusers reads the file by `StableDiffusionPipeline.from_single_file`, with its configuration beside it, without
tokenizer and safety checker, in float32 (its default) and in bfloat16. Ours is `load_checkpoint` with float32, and
with what "auto" takes on a CPU with bfloat16. Ours converts weights when they are first used; the time of that, which
takes place in the first picture, stands in a column of its own, and so does loading and converting together.

The file is in the page cache. Every repetition runs all contenders in turn, so that a noisy machine is as noisy for
each; the best time of each counts. Memory is what a process of its own holds, less what it held before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from app.diffusion.conditioning.encoders import CLIP_L  # noqa: E402  (the path comes first)
from app.diffusion.models.autoencoder_kl import AutoencoderKL  # noqa: E402
from app.diffusion.models.clip_text import ClipText  # noqa: E402
from app.diffusion.models.unet import UNet  # noqa: E402
from app.diffusion.published import KL_F8, PUBLISHED  # noqa: E402
from app.diffusion.working import make_ready  # noqa: E402
from app.weights.blank import blank  # noqa: E402
from app.weights.checkpoint import FIRST_STAGE, TEXT, UNET, Checkpoint, load_checkpoint  # noqa: E402
from app.weights.precision import Precision  # noqa: E402
from app.weights.tensor_file import save_tensors  # noqa: E402

Loader = Callable[[], Any]
AUTO = Precision(torch.bfloat16, torch.bfloat16)
OURS = {"ours float32": Precision(), "ours auto (bfloat16, text float32)": AUTO}
THEIRS = {"diffusers float32": torch.float32, "diffusers bfloat16": torch.bfloat16}


def say(line: str) -> None:
    """Write one line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def write_checkpoint(path: Path, dtype: torch.dtype) -> None:
    """A file of Stable Diffusion 1.5's names and shapes with random weights."""
    generator = torch.Generator().manual_seed(0)
    with blank():
        unet = UNet(PUBLISHED["sd1"].unet)  # type: ignore[arg-type]
        parts = ((UNET, unet), (FIRST_STAGE, AutoencoderKL(KL_F8)), (TEXT, ClipText(CLIP_L)))
    tensors = {
        prefix + name: torch.empty(value.shape, dtype=dtype).uniform_(-0.02, 0.02, generator=generator)
        for prefix, module in parts
        for name, value in module.state_dict().items()
    }
    save_tensors(tensors, path, {"format": "pt"})


def write_configuration(folder: Path) -> None:
    """What diffusers wants to know of Stable Diffusion 1.5 beside its weights."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel

    lib: Any = diffusers  # whose hints say less than it takes

    down, up = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
    with torch.device("meta"):
        pipeline = lib.StableDiffusionPipeline(
            vae=lib.AutoencoderKL(
                block_out_channels=(128, 256, 512, 512),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2,
                sample_size=512,
            ),
            text_encoder=CLIPTextModel(
                CLIPTextConfig(
                    hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
                )  # the rest is SD 1's already
            ),
            tokenizer=None,
            unet=lib.UNet2DConditionModel(
                sample_size=64,
                cross_attention_dim=768,
                down_block_types=(down, down, down, "DownBlock2D"),
                up_block_types=("UpBlock2D", up, up, up),
            ),
            scheduler=lib.DDIMScheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    for name in ("unet", "vae", "scheduler"):
        getattr(pipeline, name).save_config(folder / name)
    pipeline.text_encoder.config.save_pretrained(folder / "text_encoder")
    pipeline.save_config(folder)


def theirs(file: Path, folder: Path, dtype: torch.dtype) -> Loader:
    """diffusers' own way to load such a file."""
    import diffusers

    lib: Any = diffusers
    read = lib.StableDiffusionPipeline.from_single_file
    absent = {"tokenizer": None, "safety_checker": None, "feature_extractor": None}
    return lambda: read(str(file), config=str(folder), torch_dtype=dtype, local_files_only=True, **absent)


def contenders(file: Path, folder: Path) -> dict[str, Loader]:
    """Everything that races, by name."""
    ours = {name: (lambda held=held: load_checkpoint(file, held)) for name, held in OURS.items()}
    return {**{name: theirs(file, folder, dtype) for name, dtype in THEIRS.items()}, **ours}


def ready(loaded: Any) -> None:
    """Convert what would be converted at the first use."""
    if isinstance(loaded, Checkpoint):
        for part in (loaded.model.network, loaded.vae.model, loaded.clip.model):
            make_ready(part)


def race(loaders: dict[str, Loader], repeat: int) -> dict[str, tuple[float, float]]:
    """The best seconds of loading, and of conversion at the first use, of each; a first round is not counted."""
    best = dict.fromkeys(loaders, (float("inf"), float("inf")))
    for turn in range(repeat + 1):
        for name, load in loaders.items():
            begin = time.perf_counter()
            loaded = load()
            middle = time.perf_counter()
            ready(loaded)
            spent = middle - begin, time.perf_counter() - middle
            del loaded
            if turn:
                best[name] = min(best[name][0], spent[0]), min(best[name][1], spent[1])
    return best


def memory(field: str) -> float:
    """MB that /proc tells of this process."""
    return int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0]) * 1024 / 1e6


def hold(name: str, file: Path, folder: Path) -> None:
    """Load one contender and say what it holds, and held at most, in MB."""
    load = contenders(file, folder)[name]
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    loaded = load()
    after = memory("VmRSS")
    ready(loaded)
    say(f"{after - before:.0f} {memory('VmRSS') - before:.0f} {memory('VmHWM') - before:.0f}")
    sys.stdout.flush()
    os._exit(0)  # without the minutes that interpreters take to give back so much


def report(file: Path, folder: Path, repeat: int, names: list[str]) -> None:
    """Race and print."""
    best = race(contenders(file, folder), repeat)
    say(f"{'':36} loading   × diffusers   first use   both   × diffusers      MB: loaded  ready  at most")
    for name in names:
        load, use = best[name]
        reference = best["diffusers float32" if "float32" in name.split("(")[0] else "diffusers bfloat16"][0]
        own = [sys.executable, __file__, "--hold", name, "--file", str(file), "--folder", str(folder)]
        told = subprocess.run(own, capture_output=True, text=True, check=True).stdout.split()[-3:]
        say(
            f"{name:36} {load:6.3f} s {load / reference:9.2f} {use:11.3f} s {load + use:6.3f} s "
            f"{(load + use) / reference:9.2f} {told[0]:>15} {told[1]:>6} {told[2]:>8}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stored", choices=("float16", "float32", "bfloat16"), default="float16")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--hold", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help="use this checkpoint and leave it where it is")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.hold:
        hold(given.hold, given.file, given.folder)
    with tempfile.TemporaryDirectory() as place:
        file = given.file or Path(place) / "model.safetensors"
        folder = Path(place) / "configuration"
        if given.file is None:
            write_checkpoint(file, getattr(torch, given.stored))
        write_configuration(folder)
        say(f"{file.stat().st_size / 1e9:.2f} GB, {torch.get_num_threads()} threads, best of {given.repeat}")
        report(file, folder, given.repeat, [*THEIRS, *OURS])


if __name__ == "__main__":
    main()
