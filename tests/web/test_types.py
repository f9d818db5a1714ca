"""The editor's code under strict types, and its types of the protocol made from the server's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Literal

import deno
import pytest

from tests.web.generate_types import TARGET, declarations, type_text

WEB = Path(__file__).parent.parent.parent / "web"
CONFIG = Path(__file__).parent / "types.json"


def _check(files: list[Path], cache: Path) -> subprocess.CompletedProcess[str]:
    """The type checker over some files. It reads nothing but them, the network least of all."""
    quiet = {"DENO_DIR": str(cache), "DENO_NO_UPDATE_CHECK": "1", "DENO_NO_PACKAGE_JSON": "1", "NO_COLOR": "1"}
    command = [deno.find_deno_bin(), "check", "--no-remote", "--no-lock", "--config", str(CONFIG), *map(str, files)]
    return subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, timeout=300)


def test_every_module_keeps_its_types(tmp_path: Path) -> None:
    done = _check(sorted(WEB.rglob("*.js")), tmp_path)
    assert done.returncode == 0, done.stderr


FAULTS = {
    "/** @param {number} x */\nexport const f = (x) => x.length;": "'length' does not exist",
    "export const f = (y) => y;": "Parameter 'y' implicitly has an 'any' type",
    "/** @param {string | null} z */\nexport const f = (z) => z.length;": "'z' is possibly 'null'",
    "const left = 1;\nexport const f = 2;": "'left' is declared but its value is never read",
    '/** @param {import("TYPES").Messages["executing"]} x */\nexport const f = (x) => x.promptid;': "'promptid' does",
}


def test_the_check_finds_faults(tmp_path: Path) -> None:
    files = [tmp_path / f"module{number}.js" for number in range(len(FAULTS))]
    for file, code in zip(files, FAULTS, strict=True):
        file.write_text(code.replace("TYPES", str(TARGET)))
    done = _check(files, tmp_path / "cache")
    assert done.returncode != 0
    assert [fault for fault in FAULTS.values() if fault not in done.stderr] == []


def test_the_protocol_s_types_are_the_server_s() -> None:
    assert TARGET.read_text() == declarations(), "run: python -m tests.web.generate_types"


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (str | None, "string | null"),
        (list[str | int], "(string | number)[]"),
        (dict[str, list[float]], "Record<string, number[]>"),
        (Literal["a", "b"], '"a" | "b"'),
        (Any, "any"),
    ],
)
def test_types_as_the_editor_writes_them(hint: Any, text: str) -> None:
    assert type_text(hint) == text


def test_a_type_that_json_lacks_is_refused() -> None:
    with pytest.raises(TypeError, match="no counterpart"):
        type_text(bytes)
