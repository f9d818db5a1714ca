"""What the control groups of Linux, and with them containers, leave to this process.

Facts of the files: cgroups(7); the kernel's admin-guide/cgroup-v2 and admin-guide/cgroup-v1/memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GROUPS = "sys/fs/cgroup"
MEMBERSHIP = "proc/self/cgroup"


@dataclass(frozen=True, slots=True)
class _Files:
    """Where a generation of control groups says the limit, the use, and how much of that is only cached files."""

    limit: str
    used: str
    cached: str


# The second generation has one tree, the first one for each resource, in a folder of its name.
_SECOND = _Files("memory.max", "memory.current", "inactive_file")
_FIRST = _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def memory_limits(root: Path = Path("/")) -> Iterator[tuple[int, int]]:
    """(limit, available) bytes of each control group that this process is in and that has a limit.

    Files that are only kept because there was room count as available: the system drops them when it needs to.
    `root` is where the file system begins.
    """
    for folder, files in _groups(root):
        limit = _number(folder / files.limit)
        used = _number(folder / files.used)
        if limit is not None and used is not None:
            yield limit, max(0, limit - used + min(used, _cached(folder, files)))


def _groups(root: Path) -> Iterator[tuple[Path, _Files]]:
    """The group of this process and all above it, as far as they can be seen from inside a container."""
    for line in _text(root / MEMBERSHIP).splitlines():
        number, _, rest = line.partition(":")
        resources, _, path = rest.partition(":")
        if number == "0" and not resources:
            tops, files = (root / GROUPS, root / GROUPS / "unified"), _SECOND
        elif "memory" in resources.split(","):
            tops, files = (root / GROUPS / "memory",), _FIRST
        else:
            continue
        parts = [part for part in path.split("/") if part and part != ".."]
        for top in tops:
            for depth in range(len(parts), -1, -1):
                yield top.joinpath(*parts[:depth]), files


def _cached(folder: Path, files: _Files) -> int:
    for line in _text(folder / "memory.stat").splitlines():
        name, _, number = line.partition(" ")
        if name == files.cached and number.isdecimal():
            return int(number)
    return 0


def _number(file: Path) -> int | None:
    """The number in a file; None where there is none, or "max"."""
    text = _text(file).strip()
    return int(text) if text.isdecimal() else None


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii", errors="replace")
    except OSError:
        return ""
