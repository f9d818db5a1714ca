"""Which weights are on the device: those in use stay, the least recently used leave first."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch
from torch import nn

from app.errors import OutOfMemory
from app.memory.devices import free_bytes


class Residency:
    """Moves modules to a device when they are used, and back to main memory when others need the room.

    `free` tells the bytes that can still be had there.
    """

    def __init__(self, device: torch.device, free: Callable[[torch.device], int] = free_bytes):
        self.device = device
        self._free = free
        self._there: OrderedDict[int, weakref.ref[nn.Module]] = OrderedDict()

    @contextmanager
    def using(self, *modules: nn.Module, working_bytes: int = 0) -> Generator[None]:
        """The modules are on the device inside, and `working_bytes` more were free when it began, if they could be.

        Raises:
            OutOfMemory: the modules do not fit, even alone.
        """
        if self.device.type != "cpu":
            for module in modules:
                self._fetch(module, {id(each) for each in modules}, working_bytes)
        yield

    def release(self) -> None:
        """Move everything back to main memory."""
        for key in list(self._there):
            self._leave(key)

    def _fetch(self, module: nn.Module, kept: set[int], working_bytes: int) -> None:
        there = self._there.get(id(module))
        if there is None or there() is not module:
            self._make_room(module_bytes(module) + working_bytes, kept)
            try:
                module.to(self.device)
            except torch.OutOfMemoryError as error:
                module.to("cpu")
                raise OutOfMemory(
                    f"The weights need {module_bytes(module) >> 20} MiB; {self.device} has "
                    f"{self._free(self.device) >> 20} MiB left.",
                    remedy="Close other programs that use the device, or start with --device cpu.",
                ) from error
            self._there[id(module)] = weakref.ref(module)
        self._there.move_to_end(id(module))

    def _make_room(self, needed: int, kept: set[int]) -> None:
        for key in [key for key in self._there if key not in kept]:
            if self._free(self.device) >= needed:
                return
            self._leave(key)

    def _leave(self, key: int) -> None:
        module = self._there.pop(key)()
        if module is not None:
            module.to("cpu")


def module_bytes(module: nn.Module) -> int:
    """Bytes of a module's weights and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
