"""A user's settings: one JSON object in one file, replaced as a whole."""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.graph.json_values import is_dict

log = logging.getLogger(__name__)


def write_atomically(path: Path, content: bytes) -> None:
    """Give `path` this content: after a crash it holds the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load_settings(path: Path) -> dict[str, Any]:
    """The settings in a file; empty when it is absent or damaged (which is logged)."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as broken:
        log.warning("%s is not readable and is taken for empty: %s", path, broken)
        return {}
    return data if is_dict(data) else {}


def merge_settings(path: Path, changes: Mapping[str, Any]) -> None:
    """Write the settings with `changes` on top of them."""
    write_atomically(path, json.dumps({**load_settings(path), **changes}, indent=4).encode())
