"""The facade installed for one test, on folders of its own, and a model so small that it is made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from app.context.context import NodeContext, PreviewPace
from app.engine.events import Event
from app.extend.facade.bridge import FacadeHost
from app.extend.facade.host import HOST, Host
from app.extend.facade.install import installed
from app.extend.registry import Registry
from app.memory.residency import Residency
from app.store.folders import open_folders
from app.weights.checkpoint import Checkpoint, load_checkpoint
from tests.tiny import save_tiny_checkpoint

BUILT_IN = Registry.load()


@dataclass
class Said:
    """What packs said: events of the running node, and messages for clients."""

    events: list[Event] = field(default_factory=list)
    told: list[tuple[str | int, Any, str | None]] = field(default_factory=list)
    stop: bool = False


def make_host(base: Path, said: Said) -> Host:
    folders = open_folders(
        models=[base / "models"], input=base / "input", output=base / "output", temp=base / "temp", user=base / "user"
    )
    folders.prepare()
    cpu = torch.device("cpu")
    return Host(folders, cpu, Residency(cpu), tell=lambda *told: said.told.append(told))


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def host(tmp_path: Path, said: Said) -> Iterator[FacadeHost]:
    """The facade, open for packs."""
    inner = make_host(tmp_path, said)
    with installed(inner):
        facade = FacadeHost(inner)
        facade.open(BUILT_IN.nodes)
        yield facade


@pytest.fixture
def context(host: FacadeHost, said: Said) -> NodeContext:
    """The context of a node that runs."""
    models: Any = OnDevice()
    files: Any = None
    return NodeContext("7", models, files, said.events.append, lambda: said.stop, PreviewPace(0))


class OnDevice:
    """Weights are where they are."""

    def on_device(self, *_: Any, working_bytes: int = 0) -> Any:
        return HOST.now.residency.using()


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    save_tiny_checkpoint(path)
    return path


@pytest.fixture(scope="session")
def tiny(tiny_file: Path) -> Checkpoint:
    return load_checkpoint(tiny_file)
