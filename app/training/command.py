"""`python main.py train`: recipes from the command line."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import torch

from app.training.autoencoder import TrainingStep
from app.training.scenes.examination import examine
from app.training.scenes.painter import Painter
from app.training.scenes.recipe import ScenesRecipe, train_scenes
from app.training.scenes.sheet import contact_sheet

CHECKPOINT = "models/checkpoints/loom-scenes-64.safetensors"


class Log:
    """Writes a line for every measurement, and for the steps once in `every` seconds."""

    def __init__(self, stream: TextIO, every: float = 20.0) -> None:
        self._stream = stream
        self._every = every
        self._next = 0.0
        self._losses: list[float] = []

    def __call__(self, stage: str, step: TrainingStep | None, figures: dict[str, Any]) -> None:
        """Hear of a step or of a measurement."""
        if step is None:
            told = ", ".join(f"{name} {value}" for name, value in figures.items())
            self._write(f"{stage}: {told}")
            return
        self._losses.append(step.loss)
        if time.monotonic() >= self._next:
            mean = sum(self._losses) / len(self._losses)
            rate = step.images / max(step.seconds, 1e-9)
            self._write(
                f"{stage}: {step.fraction:.0%}, step {step.step}, loss {mean:.4f}, "
                f"{step.images} images, {rate:.0f} a second"
            )
            self._losses.clear()
            self._next = time.monotonic() + self._every

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def main(arguments: Sequence[str]) -> int:
    """Train or examine what the arguments name; returns the exit status."""
    given = _parser().parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    log = Log(sys.stderr)
    if given.command == "examine":
        _examine(given, log)
    else:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        train_scenes(_recipe(given), given.work, given.output, log)
    return 0


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for PyTorch's own choice")
    parser = argparse.ArgumentParser("main.py train", description="Train a model from a recipe, or examine one.")
    commands = parser.add_subparsers(dest="command", required=True)
    scenes = commands.add_parser("scenes", parents=[shared], help="the shipped text-to-image model of coloured shapes")
    scenes.add_argument("--output", type=Path, default=Path(CHECKPOINT))
    scenes.add_argument("--work", type=Path, default=Path("user/training/scenes"), help="where runs save themselves")
    scenes.add_argument("--first-minutes", type=float, default=17.0, help="time for the autoencoder")
    scenes.add_argument("--second-minutes", type=float, default=66.0, help="time for the U-Net and the text tower")
    scenes.add_argument("--second-rate", type=float, default=8e-4, help="their highest learning rate")
    scenes.add_argument("--stock", type=int, default=120_000, help="scenes that are encoded ahead")
    examine = commands.add_parser("examine", parents=[shared], help="judge a scenes checkpoint on held-out prompts")
    examine.add_argument("checkpoint", type=Path, nargs="?", default=Path(CHECKPOINT))
    examine.add_argument("--prompts", type=_count, default=256, help="how many: fewer are quicker, and say less")
    examine.add_argument("--sheet", type=Path, help="also save pictures with their prompts here")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


def _recipe(given: argparse.Namespace) -> ScenesRecipe:
    default = ScenesRecipe()
    return replace(
        default,
        first=replace(default.first, minutes=given.first_minutes),
        second=replace(default.second, minutes=given.second_minutes, rate=given.second_rate),
        stock=given.stock,
    )


def _examine(given: argparse.Namespace, log: Log) -> None:
    result = examine(Painter.of(given.checkpoint), given.prompts)
    log("examination", None, result.scores.as_dict())
    if given.sheet:
        # The exam begins with single objects, then come pairs and groups; the sheet shows some of each.
        singles = given.prompts // 2
        pairs = singles + given.prompts * 3 // 10
        starts = (0, 18, singles), (singles, 12, pairs), (pairs, 6, given.prompts)
        chosen = [index for start, count, end in starts for index in range(start, min(start + count, end))]
        contact_sheet(result.images[chosen], [result.prompts[index] for index in chosen]).save(given.sheet)
