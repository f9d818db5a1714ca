"""Launch times of the whole program, beside a calibration in the same run.

    python tests/bench/launch.py

Prints the seconds from launch to the first answer, to the node catalogue (the worker has imported torch) and to the
first picture, then the times of a picture with another seed and of one with nothing changed. The calibration is the
time that this machine takes to start Python and to import torch alone: the floor of what lies behind it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.system.conftest import Program  # noqa: E402  (the path comes first)


def seconds(*command: str) -> float:
    """Wall-clock seconds of a command."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", *command], check=True)
    return time.perf_counter() - begin


def picture(program: Program, graph: dict[str, Any], seed: int) -> float:
    """Wall-clock seconds from submitting the graph with a seed to its history entry."""
    graph["3"]["inputs"]["seed"] = seed
    begin = time.perf_counter()
    program.finished(program.post("/prompt", {"prompt": graph})[1]["prompt_id"])
    return time.perf_counter() - begin


def main() -> None:
    """Measure and print."""
    seconds("import torch")  # the first reads the files from disk
    python, torch = seconds("pass"), seconds("import torch")
    graph = json.loads((ROOT / "web" / "templates" / "default.api.json").read_text())
    with tempfile.TemporaryDirectory() as base:
        begin = time.perf_counter()
        program = Program(Path(base))
        answer = time.perf_counter() - begin
        program.get("/object_info")
        catalogue = time.perf_counter() - begin
        picture(program, graph, seed=1)
        first = time.perf_counter() - begin
        another, unchanged = (picture(program, graph, seed=2) for _ in range(2))
        program.stop()
    rows = [
        ("start Python (calibration)", python),
        ("import torch (calibration)", torch),
        ("launch to first answer", answer),
        ("launch to node catalogue", catalogue),
        ("launch to first picture", first),
        ("picture, another seed", another),
        ("picture, nothing changed", unchanged),
    ]
    for name, value in rows:
        sys.stdout.write(f"{name:28} {value:7.3f} s  {value / torch:6.2f} × import torch\n")


if __name__ == "__main__":
    main()
