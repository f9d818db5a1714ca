"""Servers for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.scene import Scene, opened_scene
from tests.server.support import Site, opened


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A server with a worker."""
    async with opened(tmp_path) as made:
        yield made


@pytest.fixture
async def quiet_site(tmp_path: Path) -> AsyncIterator[Site]:
    """A server without workers."""
    async with opened(tmp_path, "--workers", "0") as made:
        yield made


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A dispatcher without a server around it."""
    async with opened_scene(tmp_path) as made:
        yield made
