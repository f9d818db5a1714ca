"""The node in the documentation works, and the documentation knows every name of the surface."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import torch

import app.api
from app.engine.node import Returned
from app.engine.site import CallSite
from app.settings import Settings
from app.wiring import Workshop

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_the_example_is_a_pack_that_runs(installation: Settings) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "nodes.md").read_text(), re.DOTALL)
    packs = installation.directories.custom_nodes
    packs.mkdir()
    (packs / "vignette.py").write_text(code)
    workshop = Workshop.build(replace(installation))
    assert workshop.registry.failures == ()
    node = workshop.nodes["acme.Vignette"]
    assert node.spec.help == "Darkens the corners of an image."
    assert [port.options.get("tooltip") for port in node.spec.inputs] == [
        "The images to darken.",
        "How dark the corners become.",
        "Higher keeps more of the middle bright.",
    ]
    context = workshop.context(CallSite("1", "acme.Vignette", "1", "1", 0), lambda event: None, lambda: False)
    result = node.call(context, {"image": torch.ones(2, 5, 7, 3), "strength": 0.5, "softness": 2.0})
    assert isinstance(result, Returned)
    assert result.values[0][0, 0, 0, 0] == 0.5
    assert result.values[0][1, 2, 3, 0] == 1


def test_every_name_is_explained() -> None:
    text = (DOCS / "api.md").read_text() + (DOCS / "nodes.md").read_text()
    unexplained = [name for name in app.api.__all__ if name not in text and name not in ("PromptData", "ExtraInfo")]
    assert unexplained == []
