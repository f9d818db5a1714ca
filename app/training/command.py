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
from app.training.scenes.recipe import ScenesRecipe, train_scenes


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
    """Train what the arguments name; returns the exit status."""
    parser = argparse.ArgumentParser("main.py train", description="Train a model from a recipe.")
    recipes = parser.add_subparsers(dest="recipe", required=True)
    scenes = recipes.add_parser("scenes", help="the shipped text-to-image model of coloured shapes")
    scenes.add_argument("--output", type=Path, default=Path("models/checkpoints/loom-scenes-64.safetensors"))
    scenes.add_argument("--work", type=Path, default=Path("user/training/scenes"), help="where runs save themselves")
    scenes.add_argument("--first-minutes", type=float, default=17.0, help="time for the autoencoder")
    scenes.add_argument("--second-minutes", type=float, default=80.0, help="time for the U-Net and the text tower")
    scenes.add_argument("--stock", type=int, default=120_000, help="scenes that are encoded ahead")
    scenes.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for PyTorch's own choice")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    default = ScenesRecipe()
    recipe = replace(
        default,
        first=replace(default.first, minutes=given.first_minutes),
        second=replace(default.second, minutes=given.second_minutes),
        stock=given.stock,
    )
    given.output.parent.mkdir(parents=True, exist_ok=True)
    train_scenes(recipe, given.work, given.output, Log(sys.stderr))
    return 0
