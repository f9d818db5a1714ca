"""A server process with fake workers, for tests that end it from outside. Writes its address to a file."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from app.server.serve import serving
from tests.server import kill_point
from tests.server.support import fake_command, settings_for


async def serve(base: Path, *words: str) -> None:
    """Serve until killed, with more words of the command line."""
    kill_point.arm(base)
    settings = settings_for(base, "--lease", "3", *words)
    async with serving(settings, fake_command(settings)) as running:
        part = base / "address.part"
        part.write_text(running.url)
        part.rename(base / "address")
        await asyncio.Event().wait()


def main() -> None:
    """Serve below the directory that the command line names first."""
    asyncio.run(serve(Path(sys.argv[1]), *sys.argv[2:]))
