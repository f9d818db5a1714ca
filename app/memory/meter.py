"""How much memory a stretch of work took at most, beyond what was in use before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import torch

Meter = Callable[[], Callable[[], int]]


def meter_for(device: torch.device) -> Meter:
    """A meter: call it where the work begins, and what it returns where it ends; bytes, 0 where nobody knows."""
    return (lambda: _cuda(device)) if device.type == "cuda" else _process


def _cuda(device: torch.device) -> Callable[[], int]:
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    return lambda: max(0, torch.cuda.max_memory_allocated(device) - before)


def _process() -> Callable[[], int]:
    # Linux forgets the peak so far when 5 is written here; elsewhere the file is not there.
    with suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    before = _status("VmRSS")
    return lambda: max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    """Bytes of a line of the process's status, 0 where there is none."""
    with suppress(OSError, ValueError, IndexError), open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0
