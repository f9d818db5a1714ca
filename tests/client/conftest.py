"""A live server for clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.hosted import Hosted


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosted]:
    made = Hosted(tmp_path_factory.mktemp("client"))
    yield made
    made.close()
