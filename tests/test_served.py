"""The whole program: a server, the worker that it starts, and a client that submits the default graph over HTTP."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.images.decoding import decode
from app.images.metadata import read_texts
from app.server.serve import serving
from app.settings import ServeSettings, Settings

ROOT = Path(__file__).parent.parent
PATIENCE = 120.0


async def finished(session: aiohttp.ClientSession, prompt: dict[str, Any]) -> dict[str, Any]:
    """The history entry of a prompt, once it has one."""
    async with session.post("/prompt", json={"prompt": prompt}) as answer:
        said = await answer.json()
        assert answer.status == 200, said
    async with asyncio.timeout(PATIENCE):
        while True:
            async with session.get(f"/history/{said['prompt_id']}") as answer:
                entries = await answer.json()
            if said["prompt_id"] in entries:
                return entries[said["prompt_id"]]
            await asyncio.sleep(0.1)


@pytest.fixture
def served(installation: Settings) -> Settings:
    return replace(installation, command="serve", serve=ServeSettings(port=0, open_browser=False, workers=1))


async def test_a_submitted_graph_becomes_a_picture_and_a_damaged_model_an_explanation(served: Settings) -> None:
    prompt = json.loads((ROOT / "web" / "templates" / "default.api.json").read_text())
    prompt["4"]["inputs"]["ckpt_name"] = "tiny.safetensors"
    prompt["3"]["inputs"]["steps"] = 2
    async with serving(served) as running, aiohttp.ClientSession(running.url) as session:
        entry = await finished(session, prompt)
        assert entry["status"]["status_str"] == "success"
        (file,) = entry["outputs"]["9"]["images"]
        async with session.get("/view", params=file) as answer:
            picture = await answer.read()
        assert decode(picture).image.shape == (1, 64, 64, 3)
        assert json.loads(read_texts(picture)["prompt"]) == prompt

        (served.directories.base / "models" / "checkpoints" / "tiny.safetensors").write_bytes(b"damaged")
        entry = await finished(session, prompt)
        assert entry["status"]["status_str"] == "error"
        told = dict(entry["status"]["messages"])["execution_error"]
        assert told["node_id"] == "4"
        assert "tiny.safetensors" in told["exception_message"]
        assert told["current_inputs"] == {"ckpt_name": ["tiny.safetensors"]}
