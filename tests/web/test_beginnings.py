"""The graphs to begin with: each runs as it is with the model that ships, and says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from app.extend.registry import Registry
from app.graph.spec import NodeSpec
from app.graph.validate import validate
from app.graph.workflow import workflow_to_prompt
from app.server import templates

FOLDER = Path(__file__).parents[2] / "web" / "templates"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json") if not path.stem.endswith(".api"))
FILES = {"checkpoints": [path.name for path in (Path(__file__).parents[2] / "models" / "checkpoints").iterdir()]}


@pytest.fixture(scope="module")
def specs() -> dict[str, NodeSpec]:
    return {name: node.spec for name, node in Registry.load().nodes.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_template_can_run(name: str, specs: dict[str, NodeSpec]) -> None:
    prompt = workflow_to_prompt(json.loads((FOLDER / f"{name}.json").read_text()), specs, FILES)
    valid = validate(prompt, specs, FILES)
    assert not valid.node_errors
    assert len(prompt.nodes) == len(json.loads((FOLDER / f"{name}.json").read_text())["nodes"])


@pytest.mark.parametrize("name", NAMES)
def test_a_template_has_a_picture(name: str) -> None:
    with Image.open(FOLDER / f"{name}-1.webp") as picture:
        assert picture.size == (256, 256)


async def test_every_template_is_in_the_catalogue_with_words_of_its_own() -> None:
    app = web.Application()
    app.add_routes(templates.routes())
    async with TestClient(TestServer(app)) as client:
        [group] = await (await client.get("/templates/index.json")).json()
        assert await (await client.get("/templates")).json() == [each["name"] for each in group["templates"]]
        told = {each["name"]: (each["title"], each["description"]) for each in group["templates"]}
        assert sorted(told) == NAMES
        assert len(set(told.values())) == len(NAMES)
        assert all(title and description for title, description in told.values())
