from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from app.errors import OutOfMemory
from app.memory.residency import Residency, module_bytes

KIB = 1024


class Recorder(nn.Module):
    """A module of one KiB that remembers where it was moved."""

    def __init__(self, fits: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(256))
        self.places: list[str] = []
        self.fits = fits

    def to(self, device: torch.device | str) -> Recorder:  # pyright: ignore[reportIncompatibleMethodOverride]
        if str(device) != "cpu" and not self.fits:
            raise torch.OutOfMemoryError("full")
        self.places.append(str(device))
        return self


class Device:
    """A device of so many bytes on which recorders live."""

    def __init__(self, total: int, *modules: Recorder):
        self.total = total
        self.modules = modules

    def free(self, device: torch.device) -> int:
        there = [module for module in self.modules if module.places and module.places[-1] != "cpu"]
        return self.total - KIB * len(there)


def residency(total: int, *modules: Recorder) -> Residency:
    return Residency(torch.device("meta"), Device(total, *modules).free)


def test_bytes_count_parameters_and_buffers() -> None:
    module = nn.BatchNorm1d(4)
    assert module_bytes(module) == 4 * 4 * 4 + 8


def test_on_the_cpu_nothing_moves() -> None:
    module = Recorder()
    with Residency(torch.device("cpu")).using(module):
        assert module.places == []


def test_what_is_used_again_is_not_moved_again() -> None:
    module = Recorder()
    there = residency(10 * KIB, module)
    for _ in range(3):
        with there.using(module):
            pass
    assert module.places == ["meta"]


def test_the_least_recently_used_leaves_first() -> None:
    first, second, third = Recorder(), Recorder(), Recorder()
    there = residency(2 * KIB, first, second, third)
    for module in (first, second, first, third):
        with there.using(module):
            pass
    assert second.places == ["meta", "cpu"]
    assert first.places == ["meta"]
    assert third.places == ["meta"]


def test_modules_of_one_use_do_not_push_each_other_out() -> None:
    first, second = Recorder(), Recorder()
    with residency(KIB, first, second).using(first, second):
        assert first.places == ["meta"]


def test_room_for_the_work_counts() -> None:
    first, second = Recorder(), Recorder()
    there = residency(3 * KIB, first, second)
    with there.using(first):
        pass
    with there.using(second, working_bytes=2 * KIB):
        assert first.places == ["meta", "cpu"]


def test_release_brings_everything_back() -> None:
    module = Recorder()
    there = residency(KIB, module)
    with there.using(module):
        pass
    there.release()
    assert module.places == ["meta", "cpu"]


def test_modules_that_are_gone_are_no_trouble() -> None:
    module = Recorder()
    there = residency(10 * KIB)
    with there.using(module):
        pass
    del module
    gc.collect()
    there.release()


def test_what_never_fits_is_told_with_a_way_out() -> None:
    module = Recorder(fits=False)
    with pytest.raises(OutOfMemory, match="MiB") as told, residency(KIB, module).using(module):
        pass
    assert "--device cpu" in told.value.remedy
    assert module.places == ["cpu"]
