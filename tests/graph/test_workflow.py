from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidPrompt
from app.graph.prompt import prompt_to_json
from app.graph.spec import InputSpec, NodeSpec, OutputSpec
from app.graph.workflow import is_workflow, workflow_to_prompt

IMAGE = (OutputSpec("IMAGE", "IMAGE"),)
SPECS = {
    spec.id: spec
    for spec in (
        NodeSpec("LoadImage", (InputSpec("image", (), folder="input", options={"image_upload": True}),), IMAGE),
        NodeSpec("ImageBlur", (InputSpec("image", "IMAGE"), InputSpec("radius", "INT", options={"default": 1})), IMAGE),
        NodeSpec("SaveImage", (InputSpec("images", "IMAGE"), InputSpec("filename_prefix", "STRING")), output_node=True),
        NodeSpec(
            "Swap", (InputSpec("mask", "MASK"), InputSpec("image", "IMAGE")), (*IMAGE, OutputSpec("MASK", "MASK"))
        ),
    )
}
Node = dict[str, Any]


def ui(node_id: int, kind: str, inputs: list[Any] = (), outputs: tuple[str, ...] = ("IMAGE",), **more: Any) -> Node:  # type: ignore[assignment]
    """A node of the canvas; inputs are (name, type, link) and a fourth element for those that belong to a widget."""
    sockets = [
        {"name": name, "type": socket_type, "link": link, **({"widget": {"name": name}} if widget else {})}
        for name, socket_type, link, *widget in inputs
    ]
    listed = [{"name": each, "type": each, "links": []} for each in outputs]
    return {"id": node_id, "type": kind, "inputs": sockets, "outputs": listed, **more}


def workflow(nodes: list[Node], links: list[Any], *definitions: Node) -> Node:
    return {"version": 0.4, "nodes": nodes, "links": links, "definitions": {"subgraphs": list(definitions)}}


def compiled(nodes: list[Node], links: list[Any], *definitions: Node) -> dict[str, dict[str, Any]]:
    """The inputs of each node of the prompt."""
    prompt = workflow_to_prompt(workflow(nodes, links, *definitions), SPECS, {"input": ("cat.png",)})
    return {node_id: data["inputs"] for node_id, data in prompt_to_json(prompt).items()}


def line(mode: int = 0) -> tuple[list[Node], list[Any]]:
    nodes = [
        ui(1, "LoadImage", widgets_values=["cat.png", "image"]),
        ui(2, "ImageBlur", [("image", "IMAGE", 10)], mode=mode, widgets_values=[5]),
        ui(3, "SaveImage", [("images", "IMAGE", 11)], (), widgets_values=["out"], title="Mine"),
    ]
    return nodes, [[10, 1, 0, 2, 0, "IMAGE"], [11, 2, 0, 3, 0, "IMAGE"]]


def test_a_line_of_nodes() -> None:
    assert compiled(*line()) == {
        "1": {"image": "cat.png"},
        "2": {"image": ["1", 0], "radius": 5},
        "3": {"images": ["2", 0], "filename_prefix": "out"},
    }


def test_classes_and_titles() -> None:
    nodes, links = line()
    prompt = workflow_to_prompt(workflow(nodes, links), SPECS)
    assert [node.class_type for node in prompt.nodes.values()] == ["LoadImage", "ImageBlur", "SaveImage"]
    assert [node.title for node in prompt.nodes.values()] == ["LoadImage", "ImageBlur", "Mine"]


def test_the_worked_example_of_bypassing() -> None:
    found = compiled(*line(mode=4))
    assert set(found) == {"1", "3"}
    assert found["3"]["images"] == ["1", 0]


def test_the_worked_example_of_muting() -> None:
    found = compiled(*line(mode=2))
    assert set(found) == {"1", "3"}
    assert "images" not in found["3"]


def test_links_of_version_one() -> None:
    nodes, links = line()
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    assert compiled(nodes, [dict(zip(names, link, strict=True)) for link in links]) == compiled(nodes, links)


def test_notes_are_left_out_and_unknown_classes_kept() -> None:
    nodes = [ui(1, "Note"), ui(2, "MarkdownNote"), ui(3, "Lost", [("x", "INT", None, True)], widgets_values=[5])]
    assert compiled(nodes, []) == {"3": {"x": 5}}


def test_reroutes_are_looked_through() -> None:
    nodes, _ = line()
    nodes += [ui(4, "Reroute", [("", "*", 12)], ("*",)), ui(5, "Reroute", [("", "*", 13)], ("*",))]
    links = [[12, 1, 0, 4, 0, "*"], [13, 4, 0, 5, 0, "*"], [10, 5, 0, 2, 0, "*"], [11, 2, 0, 3, 0, "IMAGE"]]
    assert compiled(nodes, links)["2"]["image"] == ["1", 0]


def test_a_reroute_from_nowhere_feeds_nothing() -> None:
    nodes, _ = line()
    nodes.append(ui(4, "Reroute", [("", "*", None)], ("*",)))
    assert "image" not in compiled(nodes, [[10, 4, 0, 2, 0, "*"]])["2"]


def test_a_long_row_of_reroutes_costs_no_stack() -> None:
    nodes = [ui(0, "LoadImage"), ui(1, "ImageBlur", [("image", "IMAGE", 1)])]
    nodes += [ui(i, "Reroute", [("", "*", i)], ("*",)) for i in range(2, 5000)]
    links = [[1, 2, 0, 1, 0, "*"], *([i, i + 1, 0, i, 0, "*"] for i in range(2, 4999)), [4999, 0, 0, 4999, 0, "*"]]
    nodes[-1]["inputs"][0]["link"] = 4999
    assert compiled(nodes, links)["1"]["image"] == ["0", 0]


def test_a_circle_of_reroutes_is_told() -> None:
    nodes = [
        ui(1, "Reroute", [("", "*", 2)], ("*",)),
        ui(2, "Reroute", [("", "*", 1)], ("*",)),
        ui(3, "ImageBlur", [("image", "IMAGE", 3)]),
    ]
    with pytest.raises(InvalidPrompt, match="round in a circle"):
        compiled(nodes, [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 1, 0, "*"], [3, 1, 0, 3, 0, "*"]])


def test_a_primitive_gives_its_value() -> None:
    nodes = [
        ui(1, "PrimitiveNode", outputs=("INT",), widgets_values=[9, "fixed"]),
        ui(2, "ImageBlur", [("image", "IMAGE", None), ("radius", "INT", 1, True)], widgets_values=[5]),
    ]
    assert compiled(nodes, [[1, 1, 0, 2, 1, "INT"]])["2"] == {"radius": 9}


def test_a_bypassed_node_hands_on_the_input_of_the_right_type() -> None:
    nodes = [
        ui(1, "LoadImage", widgets_values=["cat.png"]),
        ui(2, "Swap", [("mask", "MASK", None), ("image", "IMAGE", 10)], ("IMAGE", "MASK"), mode=4),
        ui(3, "SaveImage", [("images", "IMAGE", 11)], ()),
    ]
    links = [[10, 1, 0, 2, 1, "IMAGE"], [11, 2, 0, 3, 0, "IMAGE"]]
    assert compiled(nodes, links)["3"]["images"] == ["1", 0]


def test_a_target_of_any_type_gets_the_input_beside_the_output() -> None:
    nodes = [
        ui(1, "LoadImage", widgets_values=["cat.png"]),
        ui(2, "Swap", [("mask", "MASK", 9), ("image", "IMAGE", 10)], ("IMAGE", "MASK"), mode=4),
        ui(3, "Lost", [("any", "*", 11), ("more", "*", 12)], ()),
        ui(4, "Swap", outputs=("IMAGE", "MASK")),
    ]
    links = [[9, 4, 1, 2, 0, "MASK"], [10, 1, 0, 2, 1, "IMAGE"], [11, 2, 1, 3, 0, "*"], [12, 2, 5, 3, 1, "*"]]
    assert compiled(nodes, links)["3"] == {"any": ["1", 0], "more": ["4", 1]}


def test_a_bypassed_source_without_a_fitting_input_feeds_nothing() -> None:
    nodes = [ui(1, "LoadImage", mode=4), ui(2, "ImageBlur", [("image", "IMAGE", 1)])]
    assert "image" not in compiled(nodes, [[1, 1, 0, 2, 0, "IMAGE"]])["2"]


def test_links_to_nowhere_feed_nothing() -> None:
    nodes = [ui(2, "ImageBlur", [("image", "IMAGE", 1)]), ui(3, "ImageBlur", [("image", "IMAGE", 99)])]
    assert compiled(nodes, [[1, 77, 0, 2, 0, "IMAGE"]]) == {"2": {"radius": 1}, "3": {"radius": 1}}


def test_a_list_value_is_wrapped() -> None:
    nodes = [ui(1, "Lost", widgets_values={"curve": [1, 2]})]
    assert compiled(nodes, []) == {"1": {"curve": {"__value__": [1, 2]}}}


# Subgraphs


def blur_twice(**more: Any) -> Node:
    """A definition: two blurs in a row, the radius of the first promoted."""
    return {
        "id": "blur-twice",
        "name": "Blur twice",
        "inputs": [{"name": "picture", "type": "IMAGE"}, {"name": "strength", "type": "INT"}],
        "outputs": [{"name": "result", "type": "IMAGE"}],
        "nodes": [
            ui(1, "ImageBlur", [("image", "IMAGE", 1), ("radius", "INT", 2, True)], widgets_values=[3]),
            ui(2, "ImageBlur", [("image", "IMAGE", 3)], widgets_values=[4]),
        ],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0},
            {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 1, "target_slot": 1},
            {"id": 3, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0},
            {"id": 4, "origin_id": 2, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
        **more,
    }


def with_instance(**more: Any) -> tuple[list[Node], list[Any]]:
    nodes, links = line()
    nodes[1] = ui(2, "blur-twice", [("picture", "IMAGE", 10)], **more)
    return nodes, links


def test_a_subgraph_unfolds() -> None:
    found = compiled(*with_instance(widgets_values=[7]), blur_twice())
    assert found == {
        "1": {"image": "cat.png"},
        "3": {"images": ["2:2", 0], "filename_prefix": "out"},
        "2:1": {"image": ["1", 0], "radius": 7},
        "2:2": {"image": ["2:1", 0], "radius": 4},
    }


@pytest.mark.parametrize("more", [{}, {"widgets_values": []}, {"widgets_values": [None]}])
def test_without_a_value_of_its_own_an_instance_has_the_inner_one(more: Any) -> None:
    assert compiled(*with_instance(**more), blur_twice())["2:1"]["radius"] == 3


def test_promoted_values_may_be_named() -> None:
    assert compiled(*with_instance(widgets_values={"strength": 8}), blur_twice())["2:1"]["radius"] == 8


def test_a_promoted_widget_may_be_linked_outside() -> None:
    nodes, links = with_instance(widgets_values=[7])
    nodes[1]["inputs"].append({"name": "strength", "type": "INT", "link": 20, "widget": {"name": "strength"}})
    nodes.append(ui(9, "PrimitiveNode", outputs=("INT",), widgets_values=[6]))
    found = compiled(nodes, [*links, [20, 9, 0, 2, 1, "INT"]], blur_twice())
    assert found["2:1"]["radius"] == 6


def test_two_instances_are_two_copies() -> None:
    nodes, links = with_instance(widgets_values=[7])
    nodes.append(ui(4, "blur-twice", [("picture", "IMAGE", 12)], widgets_values=[8]))
    found = compiled(nodes, [*links, [12, 2, 0, 4, 0, "IMAGE"]], blur_twice())
    assert (found["2:1"]["radius"], found["4:1"]["radius"]) == (7, 8)
    assert found["4:1"]["image"] == ["2:2", 0]


def test_subgraphs_nest() -> None:
    outer = {
        "id": "outer",
        "inputs": [{"name": "in"}],
        "nodes": [ui(5, "blur-twice", [("picture", "IMAGE", 1)], widgets_values=[9])],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 5, "target_slot": 0},
            {"id": 2, "origin_id": 5, "origin_slot": 0, "target_id": -20, "target_slot": 0},
        ],
    }
    nodes, links = line()
    nodes[1] = ui(2, "outer", [("in", "IMAGE", 10)])
    found = compiled(nodes, links, outer, blur_twice())
    assert found["3"]["images"] == ["2:5:2", 0]
    assert found["2:5:1"] == {"image": ["1", 0], "radius": 9}


def test_a_bypassed_instance_hands_its_input_on() -> None:
    found = compiled(*with_instance(mode=4), blur_twice())
    assert set(found) == {"1", "3"}
    assert found["3"]["images"] == ["1", 0]


def test_a_muted_instance_is_not_there() -> None:
    found = compiled(*with_instance(mode=2), blur_twice())
    assert set(found) == {"1", "3"}
    assert "images" not in found["3"]


def test_nodes_inside_may_be_bypassed_and_outputs_may_lead_straight_in() -> None:
    definition = blur_twice()
    definition["nodes"][0]["mode"] = definition["nodes"][1]["mode"] = 4
    assert compiled(*with_instance(), definition)["3"]["images"] == ["1", 0]


def test_an_output_that_nothing_leads_to_feeds_nothing() -> None:
    definition = blur_twice()
    definition["links"].pop()
    assert "images" not in compiled(*with_instance(), definition)["3"]


def test_a_subgraph_that_contains_itself_is_refused() -> None:
    definition = blur_twice()
    definition["nodes"].append(ui(7, "blur-twice"))
    with pytest.raises(InvalidPrompt, match="Blur twice is nested too deeply, or contains itself"):
        compiled(*with_instance(), definition)


def test_a_subgraph_that_doubles_itself_is_refused_before_it_fills_the_memory() -> None:
    definition = blur_twice()
    definition["nodes"] += [ui(i, "blur-twice") for i in range(7, 27)]
    with pytest.raises(InvalidPrompt, match="contains itself"):
        compiled(*with_instance(), definition)


def test_saved_workflows_are_told_from_prompts() -> None:
    assert is_workflow(workflow([], []))
    assert not is_workflow({"1": {"class_type": "A", "inputs": {}}})
    assert not is_workflow([])


# Marks


def titles(nodes: list[Node], links: list[Any], *definitions: Node) -> dict[str, str]:
    prompt = workflow_to_prompt(workflow(nodes, links, *definitions), SPECS, {"input": ("cat.png",)})
    return {node.id: node.title for node in prompt.nodes.values()}


@pytest.mark.parametrize("title", ["input:blur", "input:blur@strength"])
def test_what_an_instance_offers_is_offered_by_the_node_inside(title: str) -> None:
    nodes, links = with_instance(title=title)
    assert titles(nodes, links, blur_twice())["2:1"] == "input:blur@radius"
    assert titles(nodes, links, blur_twice())["2:2"] == "ImageBlur"
    inner = blur_twice()
    inner["nodes"][0]["title"] = "input:inner@radius"
    assert titles(nodes, links, inner)["2:1"] == "input:inner@radius; input:blur@radius"


def test_a_widget_of_an_instance_that_feeds_two_nodes_offers_both() -> None:
    definition = blur_twice()
    definition["nodes"][1]["inputs"].append({"name": "radius", "type": "INT", "link": 5, "widget": {"name": "radius"}})
    definition["links"].append({"id": 5, "origin_id": -10, "origin_slot": 1, "target_id": 2, "target_slot": 1})
    found = titles(*with_instance(title="input:blur"), definition)
    assert (found["2:1"], found["2:2"]) == ("input:blur@radius", "input:blur@radius")


@pytest.mark.parametrize("title", ["input:blur@other", "Input: (what is blurred)"])
def test_a_title_that_means_no_widget_of_the_instance_is_just_a_title(title: str) -> None:
    assert titles(*with_instance(title=title), blur_twice())["2:1"] == "ImageBlur"


def test_outputs_inside_a_marked_subgraph_are_marked() -> None:
    saving = {
        "id": "saving",
        "inputs": [{"name": "in"}],
        "nodes": [ui(5, "SaveImage", [("images", "IMAGE", 1)], (), widgets_values=["x"])],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 5, "target_slot": 0}],
    }
    nodes, links = line()
    nodes[2] = ui(3, "saving", [("in", "IMAGE", 11)], (), title="output:picture")
    assert titles(nodes, links, saving) == {"1": "LoadImage", "2": "ImageBlur", "3:5": "output:picture"}
