"""The nodes that workers offer, and the answer of `/object_info`, made once per change.

What the last worker offered is kept in a file, so that the editor and programs need not wait for the next one: it is
true until a worker says otherwise.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest, Missing, Unavailable
from app.graph.json_values import is_dict, is_sequence
from app.graph.replacements import Replacements, by_old_class, renamed, replacement_from_json
from app.graph.spec import NodeSpec, object_info, spec_from_json
from app.server.replies import to_json
from app.store.settings_file import write_atomically

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Document:
    """A body, the same packed with gzip, and the tag that stands for it."""

    body: bytes
    packed: bytes
    tag: str


@dataclass(slots=True)
class Catalogue:
    """Specs by id, known from the first worker's hello on.

    `files` lists the files that combos offer, `replacements` what stands in for classes of before.
    """

    files: Mapping[str, tuple[str, ...]]
    specs: Mapping[str, NodeSpec] = field(default_factory=dict[str, NodeSpec])
    failures: tuple[Mapping[str, Any], ...] = ()
    replacements: Replacements = field(default_factory=lambda: by_old_class(renamed()))
    _said: tuple[Mapping[str, Any], ...] | None = None
    _known: asyncio.Event = field(default_factory=asyncio.Event)
    _document: tuple[Mapping[str, NodeSpec], Mapping[str, tuple[str, ...]], Document] | None = None

    def learn(self, specs: tuple[Mapping[str, Any], ...], failures: Iterable[Mapping[str, Any]] = ()) -> bool:
        """Take over what a worker offers; says whether that differs from before."""
        changed = specs != self._said
        if changed:
            self.specs = {spec.id: spec for spec in map(spec_from_json, specs)}
            self._said = specs
        self.failures = tuple(failures)
        self._known.set()
        return changed

    def learn_replacements(self, said: object) -> bool:
        """Take over what packs have registered, in JSON data; what cannot be read is reported and left out.

        Returns:
            Whether that differs from before.
        """
        found = list(renamed())
        for each in said if is_sequence(said) else ():
            try:
                found.append(replacement_from_json(each))
            except InvalidRequest as refused:
                log.warning("%s", refused)
        before, self.replacements = self.replacements, by_old_class(found)
        return before != self.replacements

    def recall(self, path: Path) -> None:
        """Take over what `keep` wrote, if it did and this program can read it."""
        try:
            kept: Any = json.loads(path.read_bytes())
            specs = kept["specs"] if is_dict(kept) else kept  # a list of them, as it was once
            self.learn(tuple(specs))
            self.learn_replacements(kept.get("replacements") if is_dict(kept) else None)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
            log.warning("%s is of no use any more: %s", path, broken)

    def keep(self, path: Path) -> None:
        """Write down what is known, for the next start."""
        mine = renamed()
        told = [each.to_json() for found in self.replacements.values() for each in found if each not in mine]
        write_atomically(path, to_json({"specs": self._said, "replacements": told}).encode())

    async def ready(self, seconds: float) -> Mapping[str, NodeSpec]:
        """The specs, waiting for the first worker if need be.

        Raises:
            Unavailable: no worker came in time.
        """
        try:
            await asyncio.wait_for(self._known.wait(), seconds)
        except TimeoutError as late:
            raise Unavailable(
                "No worker has started yet, so the nodes are not known.",
                remedy="Try again in a moment; if this goes on, read the server's log for why the worker fails.",
            ) from late
        return self.specs

    def document(self) -> Document:
        """The body of `/object_info`. Reads directories, so it belongs into a thread."""
        names = {port.folder for spec in self.specs.values() for port in spec.inputs if port.folder}
        files = self._files(names)
        known = self._document
        if known is None or known[0] is not self.specs or known[1] != files:
            body = to_json({name: object_info(spec, files) for name, spec in self.specs.items()}).encode()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            known = self._document = (self.specs, files, Document(body, gzip.compress(body, 6), tag))
        return known[2]

    def entry(self, class_type: str) -> Mapping[str, Any]:
        """The `/object_info` entry of one class.

        Raises:
            Missing: unknown.
        """
        spec = self.specs.get(class_type)
        if spec is None:
            raise Missing(f"There is no node {class_type[:80]!r}.", remedy="Install the node pack that brings it.")
        return object_info(spec, self._files({port.folder for port in spec.inputs if port.folder}))

    def _files(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        return {name: self.files.get(name, ()) for name in names}
