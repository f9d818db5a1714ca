"""A process without packs: it pays for nothing of what packs import, and works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.extend.bridge import PlainHost

ROOT = Path(__file__).parents[2]
FACADE = "app.extend.facade.bridge"
PACK = "import nodes, folder_paths\nNODE_CLASS_MAPPINGS = {}\n"


def test_values_pass_as_they_are() -> None:
    host, value = PlainHost(), object()
    host.open({})
    host.added({}, {})
    host.serve("secret")
    host.tell_through(lambda event, data, to: None)
    assert host.to_pack(value) is host.from_pack(value) is value
    assert host.folder_of(["a"]) is None
    assert host.hello() == {"routes": [], "address": "", "handlers": 0, "folders": {}}
    with host.enter(None), host.at_work("job", None):
        assert host.stops(lambda: True)()
        assert not host.stops(lambda: False)()


@pytest.mark.parametrize(
    ("packs", "disabled", "options", "loaded"),
    [
        ([], [], [], False),
        (["mine"], [], [], True),
        (["mine"], ["mine"], [], False),
        (["mine"], [], ["--safe-mode"], False),
        (["mine.disabled"], [], [], False),
    ],
)
def test_what_packs_import_is_loaded_for_packs_alone(
    tmp_path: Path, packs: list[str], disabled: list[str], options: list[str], loaded: bool
) -> None:
    for name in packs:
        folder = tmp_path / "custom_nodes" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(PACK)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "packs.json").write_text(json.dumps({"disabled": disabled}))
    code = (
        "import sys\nfrom app.settings import Settings\nfrom app.wiring import Workshop\n"
        "shop = Workshop.build(Settings.from_arguments(sys.argv[1:]))\n"
        f"said = {FACADE!r} in sys.modules, 'aiohttp' in sys.modules, 'KSampler' in shop.nodes\n"
        "print(*said, shop.hello().packs['routes'])"
    )
    command = [sys.executable, "-c", code, "run", "none.json", "--base-directory", str(tmp_path), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(loaded), str(loaded), "True", "[]"], done.stderr
