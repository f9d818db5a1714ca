"""Files that graphs made: staged by whoever evaluates, published exactly once by whoever listens.

A node's file is first written to `temp/staged/<uuid><ext>`. Publishing gives it its lasting name in `output` or `temp`.
The name is recorded before the file gets it, so that a crash in between ends, when publishing is repeated, with one
file under that same name. It is repeated with equal results by staged id (a cached node announces its files again)
and by key (a job that ran twice): see `PublishKey`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from app.errors import InvalidRequest, Missing
from app.graph.json_values import is_object
from app.store.names import check_name, inside

_STAGED_NAME = re.compile(r"[0-9a-f]{32}(\.[a-z0-9]{1,12})?")
_NUMBERED = r"_(\d{1,12})_(\..*)?"
_TRIES = 10_000
_MOST_STEMS = 1000


@dataclass(frozen=True, slots=True)
class PublishKey:
    """Which output of which job a file is. Two files of one key with equal content are the same file."""

    job_id: str
    node_id: str
    index: int

    def text(self, digest: str) -> str:
        """The key together with the content's digest, as one string."""
        return "\0".join((self.job_id, self.node_id, str(self.index), digest))


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """Where a published file is, in the words of the API."""

    filename: str
    subfolder: str
    type: str

    def to_json(self) -> dict[str, str]:
        """As clients are told."""
        return {"filename": self.filename, "subfolder": self.subfolder, "type": self.type}


class PublishedIndex(Protocol):
    """Remembers what was published. `MemoryIndex` for one process, `store.published` for good."""

    def find(self, staged: str, key: str | None) -> PublishedFile | None:
        """What that staged id, or that key, was published as."""

    def record(self, staged: str, key: str, file: PublishedFile) -> None:
        """Remember both. Recording a staged id or key again replaces it."""


@dataclass(slots=True)
class MemoryIndex:
    """An index that ends with the process."""

    _files: dict[str, PublishedFile] = field(default_factory=dict[str, PublishedFile])

    def find(self, staged: str, key: str | None) -> PublishedFile | None:
        """See `PublishedIndex`."""
        return self._files.get(staged) or (self._files.get(key) if key is not None else None)

    def record(self, staged: str, key: str, file: PublishedFile) -> None:
        """See `PublishedIndex`."""
        self._files[staged] = self._files[key] = file


class OutputFolders:
    """Stages and publishes files below an output and a temp directory. Not for two threads at once."""

    def __init__(self, output: Path, temp: Path, index: PublishedIndex | None = None) -> None:
        self.output = output
        self.temp = temp
        self._index = index or MemoryIndex()
        self._numbers: dict[tuple[Path, str], int] = {}

    @property
    def staging(self) -> Path:
        """Where staged files are."""
        return self.temp / "staged"

    def stage(self, content: bytes, extension: str) -> str:
        """Write a file to be published later and return its staged id. `extension` as in ".png"."""

        def write(path: Path) -> None:
            path.write_bytes(content)

        return self.stage_with(write, extension)

    def stage_with(self, write: Callable[[Path], None], extension: str) -> str:
        """As `stage`, for files too large to hold in memory: `write` makes the file at the path that it is given."""
        self.staging.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex + extension.lower()
        path = self._staged_path(name)
        try:
            write(path)
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)  # half a file would take from a full disk what is left of it
            raise
        sys.audit("loom.output.staged", name)
        return name

    def check_prefix(self, prefix: str) -> None:
        """Refuse a name prefix that `publish` would refuse, before any work is done.

        Raises:
            Forbidden: it leaves the output folder or is no name.
        """
        check_name(_expanded(prefix, {}))

    def publish(self, entry: Mapping[str, Any], key: PublishKey) -> dict[str, Any]:
        """Give a staged file its lasting name.

        Args:
            entry: {"staged", "prefix", "type": "output" or "temp", "width"?, "height"?, …} as a node announced it.
            key: which output of which job it is.

        Returns:
            {"filename", "subfolder", "type"}.

        Raises:
            Missing: nothing was staged under that id.
            Forbidden, InvalidRequest: a prefix or type that cannot be.
            OSError: a full disk and the like.
        """
        staged = str(entry.get("staged", ""))
        path = self._staged_path(staged)
        known = self._index.find(staged, None)
        if known is not None and not path.exists():
            return known.to_json()
        if not path.exists():
            raise Missing(f"No file was staged as {staged}.", remedy="Run the graph again.")
        content_key = key.text(_digest(path))
        known = known or self._index.find(staged, content_key)
        file = self._place(path, staged, content_key, known, entry)
        sys.audit("loom.output.placed", staged)
        _sync_folder(self._root(file.type) / file.subfolder)  # the name is on the disk before the staged one goes
        path.unlink(missing_ok=True)
        sys.audit("loom.output.published", staged)
        return file.to_json()

    def publish_ui(self, ui: Mapping[str, list[Any]], job_id: str, node_id: str) -> dict[str, list[Any]]:
        """A node's ui with every staged entry in it published; all else as it was."""
        result: dict[str, list[Any]] = {}
        index = 0
        for name, entries in ui.items():
            shown = list(entries)
            for place, entry in enumerate(shown):
                if is_object(entry) and "staged" in entry:
                    shown[place] = self.publish(entry, PublishKey(job_id, node_id, index))
                    index += 1
            result[name] = shown
        return result

    def remove_stale(self, seconds: float) -> int:
        """Delete files below temp older than that, and say how many."""
        oldest = time.time() - seconds
        removed = 0
        for folder, _, names in os.walk(self.temp):
            for name in names:
                with suppress(OSError):
                    if (path := Path(folder, name)).lstat().st_mtime < oldest:
                        path.unlink()
                        removed += 1
        return removed

    def _staged_path(self, name: str) -> Path:
        if not _STAGED_NAME.fullmatch(name):
            raise InvalidRequest(f"{name[:60]!r} is not the id of a staged file.")
        return self.staging / name

    def _place(
        self, path: Path, staged: str, key: str, known: PublishedFile | None, entry: Mapping[str, Any]
    ) -> PublishedFile:
        """Name the file, record the name, then let the file have it."""
        if known is not None:
            self._index.record(staged, key, known)
            final = self._root(known.type) / known.subfolder / known.filename
            # The name was recorded but a crash came before the file had it.
            if final.exists() or _link(path, final):
                return known
        for candidate in self._candidates(entry, path.suffix):
            self._index.record(staged, key, candidate)
            sys.audit("loom.output.named", staged)
            if _link(path, self._root(candidate.type) / candidate.subfolder / candidate.filename):
                return candidate
        raise InvalidRequest("No free file name was found.", remedy="Use another file name prefix.")

    def _candidates(self, entry: Mapping[str, Any], extension: str) -> Iterator[PublishedFile]:
        kind = str(entry.get("type", "output"))
        root = self._root(kind)
        parts = check_name(_expanded(str(entry.get("prefix") or "LatentLoom"), entry)) or ("LatentLoom",)
        subfolder, stem = "/".join(parts[:-1]), parts[-1]
        folder = inside(root, subfolder)
        folder.mkdir(parents=True, exist_ok=True)
        number = self._numbers.get((folder, stem))
        number = _highest_number(folder, stem) if number is None else number
        for _ in range(_TRIES):
            number += 1
            name = f"{stem}_{number:05}_{extension}"
            if not (folder / name).exists():
                if len(self._numbers) >= _MOST_STEMS:  # names made of a seed or a date would fill the memory
                    self._numbers.clear()
                self._numbers[(folder, stem)] = number
                yield PublishedFile(name, subfolder, kind)

    def _root(self, kind: str) -> Path:
        if kind not in ("output", "temp"):
            raise InvalidRequest(f"Outputs of type {kind[:40]!r} are not possible.", remedy="Use output or temp.")
        return self.output if kind == "output" else self.temp


def _expanded(prefix: str, entry: Mapping[str, Any]) -> str:
    """The prefix with %year%, %width% and so on filled in, from the local time and the entry."""
    now = time.localtime()
    words = {
        "year": now.tm_year,
        "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}",
        "hour": f"{now.tm_hour:02}",
        "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
        "width": entry.get("width", 0),
        "height": entry.get("height", 0),
    }
    return re.sub(r"%(\w+)%", lambda found: str(words.get(found[1], found[0])), prefix)


def _highest_number(folder: Path, stem: str) -> int:
    pattern = re.compile(re.escape(stem) + _NUMBERED, re.IGNORECASE)
    found = (pattern.fullmatch(name) for name in os.listdir(folder))
    return max((int(match[1]) for match in found if match), default=0)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _link(source: Path, target: Path) -> bool:
    """Let `target` be the same file as `source`, unless there is a `target`: then False. Never replaces a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError:
        return _copy_new(source, target)  # a file system without hard links, or two of them
    return True


def _sync_folder(folder: Path) -> None:
    """Let the names in a folder reach the disk. Windows knows no such thing, and keeps names by itself."""
    with suppress(PermissionError, FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _copy_new(source: Path, target: Path) -> bool:
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with open(part, "xb") as file, open(source, "rb") as content:
            shutil.copyfileobj(content, file)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            return False
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return True
