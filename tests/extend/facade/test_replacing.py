"""Packs say what stands in for their old classes, and the server hears of it."""

from __future__ import annotations

import asyncio

import pytest

from app.errors import InvalidRequest
from app.extend.facade.bridge import FacadeHost
from app.extend.facade.comfy_api.latest import ComfyAPI, ComfyAPISync, io


def test_registered_once_and_told(host: FacadeHost) -> None:
    said = io.NodeReplace(
        new_node_id="acme_New",
        old_node_id="acme_Old",
        old_widget_ids=["amount"],
        input_mapping=[{"new_id": "picture", "old_id": "image"}],
    )
    asyncio.run(ComfyAPI().node_replacement.register(said))
    ComfyAPISync().node_replacement.register(said)
    assert host.hello()["replacements"] == [
        {
            "old_node_id": "acme_Old",
            "new_node_id": "acme_New",
            "old_widget_ids": ["amount"],
            "input_mapping": [{"new_id": "picture", "old_id": "image"}],
            "output_mapping": None,
        }
    ]


def test_a_mapping_that_cannot_be_read() -> None:
    with pytest.raises(InvalidRequest, match="output_mapping lacks new_idx"):
        io.NodeReplace("New", "Old", output_mapping=[{"old_idx": 0}])
