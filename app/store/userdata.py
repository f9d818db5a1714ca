"""A user's own files: workflows, blueprints, a style sheet. Every name is relative to the user's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.errors import Conflict, InvalidRequest, Missing
from app.store.names import inside
from app.store.settings_file import write_atomically


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or directory; `path` is relative with "/", times in seconds since 1970."""

    path: str
    is_directory: bool
    size: int
    modified: float
    created: float

    def to_json(self) -> dict[str, object]:
        """As clients are told of a file."""
        return {"path": self.path, "size": self.size, "modified": self.modified, "created": self.created}


@dataclass(frozen=True, slots=True)
class UserFiles:
    """The files below `root`."""

    root: Path

    def path(self, name: str) -> Path:
        """Where a file is or would be.

        Raises:
            Forbidden: the name leaves the folder.
            InvalidRequest: no name.
        """
        path = inside(self.root, name)
        if path == self.root:
            raise InvalidRequest("A file name is needed.")
        return path

    def existing(self, name: str) -> Path:
        """Where a file is; raises `Missing` when it is not there."""
        path = self.path(name)
        if not path.is_file():
            raise Missing(f"There is no file {name[:200]!r}.", remedy="Look at the list of files.")
        return path

    def info(self, name: str, relative_to: Path | None = None) -> FileInfo:
        """What there is to tell of a file."""
        return _info(self.existing(name), relative_to or self.root)

    def write(self, name: str, content: bytes, *, overwrite: bool = True) -> None:
        """Write a file and the folders above it.

        Raises:
            Conflict: it is there and must not be overwritten.
        """
        path = self.path(name)
        if path.is_dir():
            raise InvalidRequest(f"{name[:200]!r} is a folder.", remedy="Use another name.")
        if path.exists() and not overwrite:
            raise Conflict(f"There is a file {name[:200]!r} already.", remedy="Allow overwriting, or use another name.")
        try:
            write_atomically(path, content)
        except (FileExistsError, NotADirectoryError) as broken:
            raise InvalidRequest(f"A file stands where {name[:200]!r} needs a folder.") from broken

    def delete(self, name: str) -> None:
        """Delete a file; raises `Missing` when it is not there."""
        self.existing(name).unlink()

    def move(self, name: str, target: str, *, overwrite: bool = True) -> None:
        """Rename a file; raises as `existing` and `write` do."""
        source, path = self.existing(name), self.path(target)
        if path.is_dir():
            raise InvalidRequest(f"{target[:200]!r} is a folder.", remedy="Use another name.")
        if path.exists() and not overwrite:
            raise Conflict(f"There is a file {target[:200]!r} already.", remedy="Allow overwriting.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as broken:
            raise InvalidRequest(f"A file stands where {target[:200]!r} needs a folder.") from broken
        source.replace(path)

    def files(self, folder: str, *, recurse: bool) -> list[FileInfo]:
        """The files in a folder, relative to it, by name; raises `Missing` when there is no such folder."""
        top = inside(self.root, folder)
        if not top.is_dir():
            raise Missing(f"There is no folder {folder[:200]!r}.", remedy="Save something there first.")
        return [info for info in self._walk(top, top, recurse) if not info.is_directory]

    def tree(self, folder: str) -> list[FileInfo]:
        """All files and folders below a folder, relative to the root, folders first."""
        top = inside(self.root, folder)
        if not top.is_dir():
            if top == self.root:
                return []
            raise Missing(f"There is no folder {folder[:200]!r}.", remedy="Save something there first.")
        return sorted(self._walk(top, self.root, True), key=lambda info: (not info.is_directory, info.path.lower()))

    def _walk(self, top: Path, base: Path, recurse: bool) -> Iterator[FileInfo]:
        for place, folders, names in os.walk(top):
            folders.sort()
            if recurse:
                yield from (_info(Path(place, name), base) for name in folders)
            else:
                folders.clear()
            yield from (_info(Path(place, name), base) for name in sorted(names) if not name.endswith(".part"))


def _info(path: Path, base: Path) -> FileInfo:
    facts = path.lstat()
    return FileInfo(path.relative_to(base).as_posix(), path.is_dir(), facts.st_size, facts.st_mtime, facts.st_ctime)
