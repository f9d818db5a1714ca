"""A graph as a Python script that people can read and change, and that builds the very graph again.

The script needs nothing but Python. `read_script` takes it back without running it.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.graph.json_values import is_dict, is_list, is_object, is_sequence
from app.graph.order import topological

WIDTH = 110
RESERVED = frozenset({"argparse", "build", "graph", "json", "main", "sys", "urllib", "Graph", "Node", "WORKFLOW"})

HEAD = '''"""A graph of Latent Loom as Python, made by `main.py export`.

    python {name}                     writes the graph as JSON, as POST /prompt takes it
    python {name} --run [ADDRESS]     queues it at a server that runs
    python main.py run {name}         draws it without a server

`python main.py export {name} --json FILE` reads it back without running it, as long as `build` consists of the calls
that it has now; with loops or sums of your own, run it.
"""

import argparse
import json
import sys
import urllib.request


class Node:
    """A node of the graph; `node[slot]` links to one of its outputs, counted from 0."""

    def __init__(self, id):
        self.id = id

    def __getitem__(self, slot):
        return [self.id, slot]


class Graph:
    """Nodes by id, as the server takes them."""

    def __init__(self):
        self.nodes = {{}}

    def node(self, id, class_type, title=None, extra=None, /, **inputs):
        """Adds a node; inputs are values or links."""
        self.nodes[id] = {{"inputs": inputs, "class_type": class_type, **(extra or {{}})}}
        if title is not None:
            self.nodes[id]["_meta"] = {{"title": title}}
        return Node(id)

    def put(self, id, data):
        """Adds a node as JSON data."""
        self.nodes[id] = data

    def order(self, *ids):
        """Puts the nodes into this order, which decides only what runs first among equals."""
        self.nodes = {{id: self.nodes[id] for id in ids}}


'''

TAIL = """

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", nargs="?", const="http://127.0.0.1:8188", metavar="ADDRESS")
    address = parser.parse_args().run
    prompt = build()
    if address is None:
        json.dump(prompt, sys.stdout, indent=2)
        return
    info = {} if WORKFLOW is None else {"extra_pnginfo": {"workflow": WORKFLOW}}
    body = json.dumps({"prompt": prompt, "extra_data": info}).encode()
    request = urllib.request.Request(f"{address}/prompt", body, {"Content-Type": "application/json"})
    sys.stdout.write(urllib.request.urlopen(request).read().decode() + "\\n")


if __name__ == "__main__":
    main()
"""


def write_script(
    prompt: Mapping[str, Any], workflow: Mapping[str, Any] | None = None, *, name: str = "graph.py"
) -> str:
    """The script of a prompt in API form, with the saved workflow that it was made from, if any.

    `read_script` and running the script's `build` give back both, equal to the last digit.
    """
    order = _parents_first(prompt)
    variables: dict[str, str] = {}
    lines = ["def build():", '    """The graph, parents first."""', "    graph = Graph()"]
    for node_id in order:
        lines.extend(_node_lines(node_id, prompt[node_id], prompt, variables))
    if order != list(prompt):
        lines.extend(_call("    graph.order(", [_literal(node_id) for node_id in prompt]))
    lines.append("    return graph.nodes")
    layout = "None" if workflow is None else "\n".join(_wrapped(workflow, ""))
    body = "\n".join(lines)
    return f"{HEAD.format(name=name)}{body}\n\n\nWORKFLOW = {layout}\n{TAIL}"


def _parents_first(prompt: Mapping[str, Any]) -> list[str]:
    def parents(node_id: str) -> list[str]:
        node = prompt[node_id]
        inputs = node.get("inputs") if is_object(node) else None
        values = inputs.values() if is_object(inputs) else ()
        return [value[0] for value in values if _is_link(value) and value[0] in prompt]

    return list(topological(prompt, parents).order)


def _is_link(value: object) -> bool:
    return is_list(value) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int


def _node_lines(node_id: str, node: Any, prompt: Mapping[str, Any], variables: dict[str, str]) -> Iterable[str]:
    if not _is_usual(node):
        return [f"    graph.put({_literal(node_id)}, {_literal(node)})"]
    words = [_literal(node_id), _literal(node["class_type"])]
    extra = {key: value for key, value in node.items() if key not in ("inputs", "class_type", "_meta")}
    title = _title(node.get("_meta"))
    if "_meta" in node and title is None:
        extra["_meta"] = node["_meta"]
    if title is not None or extra:
        words.append(_literal(title))
    if extra:
        words.append(_literal(extra))
    odd: dict[str, str] = {}
    for name, value in node["inputs"].items():
        told = _value(value, variables)
        if name.isidentifier() and name.isascii() and not keyword.iskeyword(name) and not odd:
            words.append(f"{name}={told}")
        else:  # all that follow as well, so that the order of the inputs stays
            odd[name] = told
    if odd:
        words.append("**{" + ", ".join(f"{_literal(name)}: {told}" for name, told in odd.items()) + "}")
    variable = _variable(node["class_type"], variables.values())
    variables[node_id] = variable
    return _call(f"    {variable} = graph.node(", words)


def _is_usual(node: Any) -> bool:
    """Whether a node is one that the call of `graph.node` can say."""
    usual = is_dict(node) and isinstance(node.get("class_type"), str) and is_dict(node.get("inputs"))
    return usual and all(isinstance(name, str) for name in node["inputs"])


def _title(meta: Any) -> str | None:
    title = meta.get("title") if is_dict(meta) and list(meta) == ["title"] else None
    return title if isinstance(title, str) else None


def _value(value: Any, variables: Mapping[str, str]) -> str:
    if _is_link(value) and value[0] in variables and value[1] >= 0:
        return f"{variables[value[0]]}[{value[1]}]"
    return _literal(value)


def _variable(class_type: str, taken: Iterable[str]) -> str:
    """A name for a node, from its class: CLIPTextEncode is clip_text_encode, the second one clip_text_encode_2."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", class_type)
    name = "_".join(words).lower()[:60] or "node"
    name = f"node_{name}" if not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED else name
    used = set(taken)
    number, free = 1, name
    while free in used:
        number += 1
        free = f"{name}_{number}"
    return free


def _call(begin: str, words: list[str]) -> list[str]:
    """A call on one line if it fits, else one argument a line."""
    one = f"{begin}{', '.join(words)})"
    if len(one) <= WIDTH:
        return [one]
    return [begin, *(f"        {word}," for word in words), "    )"]


def _literal(value: Any) -> str:
    """A JSON value as Python writes it; what Python has no literal for is called by its name."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if is_sequence(value):
        return "[" + ", ".join(_literal(item) for item in value) + "]"
    if is_object(value):
        return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _wrapped(value: Any, indent: str) -> list[str]:
    """A literal over several lines where one would be too long."""
    one = _literal(value)
    if len(indent) + len(one) <= WIDTH or not (is_sequence(value) or is_object(value)):
        return [one]
    inner = f"{indent}    "
    opened, closed = ("{", "}") if is_object(value) else ("[", "]")
    lines = [opened]
    items = value.items() if is_object(value) else ((None, item) for item in value)
    for key, item in items:
        first, *rest = _wrapped(item, inner)
        label = "" if not is_object(value) else f"{_literal(key)}: "
        said = [f"{inner}{label}{first}", *rest]
        lines += [*said[:-1], f"{said[-1]},"]
    return [*lines, f"{indent}{closed}"]
