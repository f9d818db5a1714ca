"""Graphs from files, for the commands that work without a server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest, Missing
from app.graph.json_values import is_dict
from app.graph.prompt import Prompt, PromptNode, parse_prompt
from app.graph.replacements import Replacements, by_old_class, renamed, with_replacements
from app.graph.script_reader import read_script
from app.graph.spec import NodeSpec
from app.graph.workflow import is_workflow, workflow_to_prompt

PICTURES = frozenset({".png", ".webp", ".jpg", ".jpeg"})
SEEDS = ("seed", "noise_seed")


def graph_file(path: Path) -> Path:
    """The path, if a file is there. Raises Missing."""
    if not path.is_file():
        raise Missing(f"There is no file {str(path)!r}.", remedy="Give a workflow, or a picture that holds one.")
    return path


def read_graph(path: Path) -> Any:
    """The graph in a file as JSON data: a saved workflow or a prompt, from JSON, a picture or an exported script.

    Raises:
        InvalidRequest: the file holds none.
    """
    if path.suffix.lower() in PICTURES:
        from app.images.metadata import read_graph as read_from_picture

        graph = read_from_picture(path)
        if graph is None:
            raise InvalidRequest(f"{path.name} holds no workflow.", remedy="Use a picture that Latent Loom has saved.")
        return graph
    if path.suffix.lower() == ".py":
        return read_script(path.read_text("utf-8")).prompt
    return read_json(path)


def read_json(path: Path) -> Any:
    """The JSON data of a file. Raises InvalidRequest."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path.name} is no JSON: {error}", remedy="Save the file again.") from error


def prompt_of(
    data: Any,
    specs: Mapping[str, NodeSpec],
    files: Mapping[str, Sequence[Any]],
    replacements: Replacements | None = None,
) -> Prompt:
    """The prompt of JSON data, whether it is a saved workflow or a prompt.

    `replacements` are what stands in for classes of before, only new names by default. Raises InvalidPrompt.
    """
    replacements = by_old_class(renamed()) if replacements is None else replacements
    if is_workflow(data):
        return workflow_to_prompt(data, specs, files, replacements=replacements)
    return with_replacements(parse_prompt(data), replacements, specs)


def changed(prompt: Prompt, changes: Mapping[tuple[str, str], Any], seed: int | None = None) -> Prompt:
    """The prompt with other values for some inputs, by (node id, input), and `seed` for every seed.

    Both ids and inputs may hold dots ("3.mode.strength"): where a name is parted is found in the prompt.

    Raises:
        InvalidRequest: no such input; the message lists those that there are.
    """
    nodes = {name: replace(node, inputs=dict(node.inputs)) for name, node in prompt.nodes.items()}
    for (node_id, name), value in changes.items():
        place = _place(f"{node_id}.{name}", nodes)
        if place is None:
            there = [f"{each}.{port}" for each, node in nodes.items() for port in node.inputs]
            raise InvalidRequest(f"There is no input {node_id}.{name}.", remedy=f"There is: {', '.join(there)}.")
        nodes[place[0]].inputs[place[1]] = value
    if seed is not None:
        for node in nodes.values():
            seeds = {name for name in SEEDS if isinstance(node.inputs.get(name), int)}
            node.inputs.update(dict.fromkeys(seeds, seed))
    return Prompt(nodes)


def _place(name: str, nodes: Mapping[str, PromptNode]) -> tuple[str, str] | None:
    """(node id, input) of a name that says both, the longest id first; None where there is no such input."""
    at = name.rfind(".")
    while at >= 0:
        node = nodes.get(name[:at])
        if node is not None and name[at + 1 :] in node.inputs:
            return node.id, name[at + 1 :]
        at = name.rfind(".", 0, at)
    return None


def layout_of(path: Path) -> Any:
    """The saved workflow in a file, None where it holds only a prompt."""
    if path.suffix.lower() == ".py":
        return read_script(path.read_text("utf-8")).workflow
    data = read_graph(path)
    return data if is_dict(data) and is_workflow(data) else None
