"""Whether what was expected of a run has happened."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.checks.cases import Expectation
from app.checks.outcome import Outcome
from app.graph.json_values import is_list

MIB = 1 << 20


def unmet(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    """What is wrong, in words, or None; `folder` is what paths of reference pictures are relative to."""
    if outcome.problem is not None and expected.word != "error":
        node, message = outcome.problem
        return f"the run failed{f' at node {node}' if node else ''}: {message}"
    if expected.node and outcome.known and expected.node not in outcome.known:
        return f"the graph has no node {expected.node}; it has {', '.join(sorted(outcome.known))}"
    return _CHECKS[expected.word](expected, outcome, folder)


def psnr(one: Path, other: Path) -> float:
    """Peak signal-to-noise ratio of two pictures in dB, infinite for equal ones, 0 for other sizes."""
    a, b = (np.asarray(Image.open(path).convert("RGB"), dtype=np.float64) for path in (one, other))
    if a.shape != b.shape:
        return 0.0
    error = float(((a - b) ** 2).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _succeeds(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    return None if expected.value else "the run succeeded"


def _error(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    if outcome.problem is None:
        return "the run succeeded"
    node, message = outcome.problem
    if expected.node and node != expected.node:
        return f"node {node or '?'} failed instead: {message}"
    return None if str(expected.value) in message else f"it failed with: {message}"


def _images(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    count = len(outcome.images.get(expected.node, ()))
    return None if count == expected.value else f"it made {count}"


def _size(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    paths = outcome.images.get(expected.node, [])
    if not paths:
        return "it made no picture"
    wanted = tuple(expected.value) if is_list(expected.value) else ()
    for path in paths:
        with Image.open(path) as picture:
            if picture.size != wanted:
                return f"{path.name} is {picture.width} × {picture.height}"
    return None


def _sha256(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    path = _picture(expected, outcome)
    if path is None:
        return f"it made no picture number {expected.image}"
    with Image.open(path) as picture:
        pixels = picture.convert("RGBA")
        found = hashlib.sha256(f"{pixels.width}x{pixels.height}".encode() + pixels.tobytes()).hexdigest()
    return None if found == expected.value else f"the pixels' hash is {found}"


def _like(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    path, reference = _picture(expected, outcome), folder / str(expected.value)
    if path is None:
        return f"it made no picture number {expected.image}"
    if not reference.is_file():
        return f"there is no reference {reference}; --keep DIR leaves pictures, of which one may become it"
    found = psnr(path, reference)
    return None if found >= expected.psnr else f"PSNR is {found:.1f} dB, less than {expected.psnr:g}"


def _text(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    texts = outcome.texts.get(expected.node, [])
    wanted = expected.value if is_list(expected.value) else [expected.value]
    return None if texts == wanted else f"it showed {texts!r}"


def _contains(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    texts = outcome.texts.get(expected.node, [])
    return None if any(str(expected.value) in text for text in texts) else f"it showed {texts!r}"


def _cached(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    ran = outcome.runs.get(expected.node, 0) > 0
    cached = expected.node in outcome.cached and not ran
    if cached == expected.value:
        return None
    return "it ran" if ran else "it was served from the cache" if cached else "it was not needed"


def _runs(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    count = outcome.runs.get(expected.node, 0)
    return None if count == expected.value else f"it ran {count} times"


def _seconds_below(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    seconds = outcome.node_seconds.get(expected.node, 0.0) if expected.node else outcome.seconds
    return None if seconds < expected.value else f"it took {seconds:.2f} s"


def _peak_mib_below(expected: Expectation, outcome: Outcome, folder: Path) -> str | None:
    peak = outcome.peaks.get(expected.node, 0) if expected.node else max(outcome.peaks.values(), default=0)
    return None if peak / MIB < expected.value else f"it took {peak / MIB:.0f} MiB"


def _picture(expected: Expectation, outcome: Outcome) -> Path | None:
    paths = outcome.images.get(expected.node, [])
    return paths[expected.image] if -len(paths) <= expected.image < len(paths) else None


_CHECKS: Mapping[str, Callable[[Any, Any, Any], str | None]] = {
    "succeeds": _succeeds,
    "error": _error,
    "images": _images,
    "size": _size,
    "sha256": _sha256,
    "like": _like,
    "text": _text,
    "contains": _contains,
    "cached": _cached,
    "runs": _runs,
    "seconds_below": _seconds_below,
    "peak_mib_below": _peak_mib_below,
}
