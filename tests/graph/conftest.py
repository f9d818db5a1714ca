"""A small catalogue of node specs that the tests of the graph share."""

from __future__ import annotations

import pytest

from app.graph.spec import InputSpec, NodeSpec, OutputSpec


def port(name: str, kind: str | tuple[object, ...], section: str = "required", **options: object) -> InputSpec:
    return InputSpec(name, kind, "optional" if section == "optional" else "required", options)


def made_specs() -> dict[str, NodeSpec]:
    image, mask = OutputSpec("IMAGE", "IMAGE"), OutputSpec("MASK", "MASK")
    specs = [
        NodeSpec(
            "EmptyImage",
            (
                port("width", "INT", default=512, min=1, max=16384),
                port("height", "INT", default=512, min=1, max=16384),
                port("batch_size", "INT", default=1, min=1, max=4096),
                port("color", "INT", default=0, min=0, max=0xFFFFFF),
            ),
            (image,),
        ),
        NodeSpec("PreviewImage", (port("images", "IMAGE"),), output_node=True),
        NodeSpec("Pass", (port("image", "IMAGE"),), (image,)),
        NodeSpec("Join", (port("a", "IMAGE"), port("b", "IMAGE", "optional")), (image,)),
        NodeSpec("MaskMaker", (), (mask,)),
        NodeSpec(
            "Typed",
            (
                port("whole", "INT", "optional", min=0, max=10),
                port("real", "FLOAT", "optional", min=-1.0, max=1.0),
                port("text", "STRING", "optional"),
                port("truth", "BOOLEAN", "optional"),
                port("choice", ("a", "b", 3), "optional"),
                port("modern", "COMBO", "optional", options=["x", "y"]),
                port("remote", "COMBO", "optional", options=["x"], remote={"route": "/r"}),
                port("several", "COMBO", "optional", options=["x", "y"], multiselect=True),
                InputSpec("file", (), "optional", {}, "checkpoints"),
                InputSpec("picture", (), "optional", {}, "input"),
                port("any", "*", "optional"),
                port("both", "IMAGE,MASK", "optional"),
                port("socket", "IMAGE", "optional"),
            ),
            output_node=True,
        ),
        NodeSpec("Lister", (), (OutputSpec("LIST", ("a", "b", 3)), OutputSpec("ANY", "*"))),
    ]
    return {spec.id: spec for spec in specs}


@pytest.fixture
def specs() -> dict[str, NodeSpec]:
    return made_specs()


@pytest.fixture(scope="session")
def all_specs() -> dict[str, NodeSpec]:
    """For property tests, which must not change it."""
    return made_specs()
