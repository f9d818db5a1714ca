"""The checkpoint that ships draws what it is asked for, as well as the README says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.training.scenes.examination import examine
from app.training.scenes.judge import Scores
from app.training.scenes.painter import Painter
from app.training.scenes.reader import read
from app.training.scenes.vocabulary import BACKGROUND_NAMES, COLOUR_NAMES
from app.weights.checkpoint import PROVENANCE_KEY, load_checkpoint

ROOT = Path(__file__).parents[2]
FILE = ROOT / "models" / "checkpoints" / "loom-scenes-64.safetensors"


@pytest.fixture(scope="module")
def scores() -> Scores:
    return examine(Painter.of(FILE)).scores


def test_it_is_small_and_says_where_it_comes_from() -> None:
    assert FILE.stat().st_size <= 30_000_000
    provenance = json.loads(load_checkpoint(FILE).metadata[PROVENANCE_KEY])
    assert provenance["licence"]
    assert provenance["scores"]


def test_it_draws_what_held_out_prompts_say(scores: Scores) -> None:
    assert scores.background >= 0.98
    assert scores.colour >= 0.93
    assert scores.size >= 0.88


def test_shape_and_place_are_far_above_chance(scores: Scores) -> None:
    assert scores.shape >= 2 / 6
    assert scores.position >= 3 / 9


def test_the_readme_tells_these_figures(scores: Scores) -> None:
    readme = (ROOT / "README.md").read_text()
    for name, value in scores.as_dict().items():
        told = re.search(rf"\| {name} \| ([\d.]+) %", readme)
        assert told, name
        # Rounding differs a little between processors, and one picture of the smallest group is two points.
        assert float(told[1]) == pytest.approx(100 * value, abs=3.0), name


def test_the_command_line_draws_the_prompt(tmp_path: Path) -> None:
    words = ["run", "web/templates/default.json", "--set", "6.text=a large red circle on a black background"]
    done = subprocess.run(
        [sys.executable, "main.py", *words, "--seed", "7", "--output", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (path,) = [Path(line) for line in done.stdout.split("\n") if line]
    assert path.parent == tmp_path
    with Image.open(path) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32))
    reading = read(pixels.movedim(-1, 0) / 255)
    assert BACKGROUND_NAMES[reading.background] == "black"
    assert COLOUR_NAMES[reading.objects[0].colour] == "red"
