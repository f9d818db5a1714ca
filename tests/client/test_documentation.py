"""The examples of docs/api-client.md run as they are written, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from app.client import Client
from tests.client.test_client import WORK
from tests.server.hosted import Hosted
from tests.server.support import ROOT, show

PAGE = "docs/api-client.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / PAGE).read_text("utf-8"), re.DOTALL)


def test_the_examples_run(
    host: Hosted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    greet = {"1": {**show("hello"), "_meta": {"title": "input:words; output:card"}}}
    Client(host.url).save_workflow("greet", greet)
    shown: list[bytes] = []
    names: dict[str, Any] = {"graph": WORK, "show": shown.append}
    for example in EXAMPLES:
        exec(compile(example.replace("http://127.0.0.1:8188", host.url), PAGE, "exec"), names)
    assert Path("card.png").read_bytes() == b"picture good morning"
    assert any(path.read_bytes() == b"picture worked" for path in tmp_path.glob("shown*.png"))
    assert set(shown) == {b"\xff\xd8preview"}
    assert capsys.readouterr().out.count("File(filename=") == 3
    assert len(EXAMPLES) == 4


def test_every_call_is_there_and_told() -> None:
    page = (ROOT / PAGE).read_text("utf-8")
    calls = {name for name, value in vars(Client).items() if callable(value) and not name.startswith("_")}
    assert {name for name in calls if f"`{name}(" not in page} == set()
