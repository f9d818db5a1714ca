"""The files that a module's weights are in, or are taken from when it is first used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from app.weights.mapped import MappedFile
from app.weights.stored import Stored


@dataclass(frozen=True, slots=True)
class Sources:
    """Mapped files, each once. Called with a module, they complain of what it would read wrongly of them."""

    files: tuple[MappedFile, ...] = ()

    @staticmethod
    def of(tensors: Iterable[Stored]) -> Sources:
        """Those that the tensors are in."""
        parts = (part for stored in tensors for part in (stored, *(stored.scaled or ())))
        return Sources(tuple({id(part.file): part.file for part in parts if part.file is not None}.values()))

    def of_those(self, values: Iterable[Tensor]) -> Sources:
        """Those in whose pages the values lie."""
        found = list(values)
        return Sources(tuple(file for file in self.files if any(map(file.holds, found))))

    def check(self) -> None:
        """Raises UnusableFile if somebody has written into one of them since it was opened."""
        for file in self.files:
            file.check()

    def __bool__(self) -> bool:
        return bool(self.files)

    def __call__(self, module: nn.Module) -> None:
        """Raises UnusableFile if somebody has written into one in which weights of the module still lie."""
        for file in self.files:
            if file.is_changed and any(file.holds(value) for value in (*module.parameters(), *module.buffers())):
                file.check()

    def __reduce__(self) -> tuple[type[Sources], tuple[()]]:
        """A copy of a module has its weights in memory of its own."""
        return Sources, ()
