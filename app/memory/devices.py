"""The processors that can compute, as values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from app.errors import InvalidRequest
from app.memory.control_groups import memory_limits

CONTROL_GROUPS = Path("/sys/fs/cgroup")

EIGHT_BIT_PRODUCTS = (8, 9)  # the compute capability from which CUDA devices have them


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes the first accelerator that there is, else the CPU.

    Raises:
        InvalidRequest: a name that is not understood, or a device that is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    remedy = f"There is: {', '.join(available_devices())}. Use --device auto to let the program choose."
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidRequest(f"There is no kind of device called {name!r}.", remedy=remedy) from error
    if device == torch.device("cuda") and torch.cuda.is_available():
        device = torch.device("cuda", 0)
    if str(device) not in available_devices():
        raise InvalidRequest(f"The device {name!r} is not there.", remedy=remedy)
    return device


def available_devices() -> list[str]:
    """The names of all devices."""
    names = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*names, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def device_facts(device: torch.device) -> dict[str, Any]:
    """What `/system_stats` tells of a device; bytes."""
    total, free, reserved, unused = _memory(device)
    return {
        "name": f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device),
        "type": device.type,
        "index": device.index,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": reserved,
        "torch_vram_free": unused,
    }


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be had on a device."""
    return _memory(device)[1]


def weights_room(device: torch.device) -> int:
    """Bytes that the weights of one network may take on a device, so that there is room to compute with them."""
    return _memory(device)[0] * 3 // 4


def lacks_eight_bits(device: torch.device, *, products: bool = False) -> str | None:
    """Why a device cannot keep weights in 8 bits, or with `products` multiply in them; None where it can."""
    if device.type == "mps":
        return f"The device {device} has no 8-bit floating-point numbers."
    if products and (device.type != "cuda" or torch.cuda.get_device_capability(device) < EIGHT_BIT_PRODUCTS):
        return f"The device {device} cannot multiply 8-bit numbers, which needs an NVIDIA card of 2022 or later."
    return None


def usable_cores() -> int:
    """Physical cores that this process may run on: two threads of one core only get in each other's way."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_core_of(processor) for processor in allowed}
    return max(1, min(len(cores), granted_cores()))


def granted_cores(groups: Path = CONTROL_GROUPS) -> int:
    """How many processors' time a container may take, rounded down, at least one; without a limit all that there are.

    More threads than that are stopped in the middle of their work until the next period begins.
    """
    both = _numbers(groups / "cpu.max")
    if not both:  # the first generation of control groups has a file for each
        both = [*_numbers(groups / "cpu" / "cpu.cfs_quota_us"), *_numbers(groups / "cpu" / "cpu.cfs_period_us")]
    if len(both) == 2 and both[0] > 0 and both[1] > 0:
        return max(1, both[0] // both[1])
    return os.cpu_count() or 1


def _numbers(file: Path) -> list[int]:
    """The whole numbers in a file; none where it is not there, or says "max"."""
    try:
        return [int(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []


def use_all_cores() -> int:
    """Let the tensor library use each physical core once, or fewer where the environment says so. The number."""
    threads = min(torch.get_num_threads(), usable_cores())
    torch.set_num_threads(threads)
    return threads


def _memory(device: torch.device) -> tuple[int, int, int, int]:
    """(total, free, held by torch, held and unused) bytes."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        held, used = torch.cuda.memory_reserved(device), torch.cuda.memory_allocated(device)
        return total, free + held - used, held, held - used
    total, free = main_memory()
    return total, free, total, free


def main_memory(root: Path = Path("/")) -> tuple[int, int]:
    """(total, available) bytes of main memory, as far as a container may use it; 0 where the system does not tell.

    `root` is where the file system begins.
    """
    try:
        with open(root / "proc/meminfo", encoding="ascii") as file:
            facts = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in file)}
        total, available = facts["MemTotal"], facts["MemAvailable"]
    except (OSError, KeyError, ValueError, IndexError):
        pages = os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
        return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else 0, 0
    for limit, left in memory_limits(root):
        total, available = min(total, limit), min(available, left)
    return total, available


def _core_of(processor: int) -> tuple[str, str] | int:
    place = f"/sys/devices/system/cpu/cpu{processor}/topology"
    try:
        with open(f"{place}/core_id", encoding="ascii") as core, open(f"{place}/physical_package_id") as package:
            return package.read().strip(), core.read().strip()
    except OSError:
        return processor
