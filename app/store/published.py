"""What was published, in the database: the index of `outputs` that lasts."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from app.store.database import Database
from app.store.outputs import PublishedFile


@dataclass(frozen=True, slots=True)
class DatabaseIndex:
    """See `outputs.PublishedIndex`. Blocks, so it belongs into a thread of its own."""

    database: Database

    def find(self, staged: str, key: str | None) -> PublishedFile | None:
        """What that staged id, or that key, was published as."""
        names = [staged] if key is None else [staged, _short(key)]
        rows = self.database.read_blocking(
            lambda connection: [
                connection.execute("SELECT filename, subfolder, type FROM published WHERE name = ?", (n,)).fetchone()
                for n in names
            ]
        )
        found = next((row for row in rows if row is not None), None)
        return None if found is None else PublishedFile(found["filename"], found["subfolder"], found["type"])

    def record(self, staged: str, key: str, file: PublishedFile) -> None:
        """Remember both, durably."""
        now = time.time()
        rows = [(name, file.filename, file.subfolder, file.type, now) for name in (staged, _short(key))]
        self.database.write_blocking(
            lambda connection: connection.executemany(
                "INSERT OR REPLACE INTO published (name, filename, subfolder, type, at) VALUES (?, ?, ?, ?, ?)", rows
            )
        )


def _short(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()
