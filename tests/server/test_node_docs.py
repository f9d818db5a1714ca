"""Help for nodes, from their specs."""

from __future__ import annotations

from app.graph.spec import InputSpec, NodeSpec, OutputSpec
from app.server.node_docs import help_page
from tests.server.support import Site


def test_a_page_tells_inputs_and_outputs() -> None:
    spec = NodeSpec(
        "Mix",
        (
            InputSpec("amount", "FLOAT", options={"min": 0, "max": 1, "tooltip": "How much."}),
            InputSpec("how", ("a", "b"), "optional"),
        ),
        (OutputSpec("image", "IMAGE", tooltip="The mixture."),),
        display_name="Mix two",
        help="Mixes.\n  Two pictures.",
    )
    assert help_page(spec) == (
        "# Mix two\n\nMixes. Two pictures.\n\n"
        "| Input | Type |  |\n| - | - | - |\n"
        "| amount | FLOAT | How much. From 0 to 1. |\n| how | a choice | May be left out. |\n\n"
        "| Output | Type |  |\n| - | - | - |\n| image | IMAGE | The mixture. |\n"
    )


def test_what_a_pack_writes_is_no_markup() -> None:
    page = help_page(NodeSpec("X", (InputSpec("a|b", "INT"),), help="<script>[x](javascript:0)\n# big"))
    assert "<script>" not in page.replace("\\<", "").replace("\\>", "")
    assert "\\[x\\]" in page
    assert "a\\|b" in page
    assert "\n# big" not in page


async def test_it_is_served_where_editors_look(site: Site) -> None:
    for path in ("/docs/Show/en.md", "/docs/Show/de.md", "/api/docs/Show/en.md"):
        async with site.session.get(site.running.url + path) as answer:
            assert (answer.status, answer.content_type) == (200, "text/markdown")
            assert "| text | STRING |" in await answer.text()
    async with site.session.get(f"{site.running.url}/docs/Nothing/en.md") as answer:
        assert answer.status == 404
