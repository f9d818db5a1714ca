"""Texts that differ from run to run: comments go, and {one|of|these} becomes one of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from app.graph.dynamic_inputs import ports_of
from app.graph.prompt import Prompt, PromptNode
from app.graph.spec import NodeSpec

Choose = Callable[[int], int]  # an index below the given number, such as `random.Random(seed).randrange`

_COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)  # the slashes of an address are none
_TOKEN = re.compile(r"\\[{}|]|[{}|]")


def resolve_prompt(prompt: Prompt, specs: Mapping[str, NodeSpec], choose: Choose) -> Prompt:
    """The prompt with those texts resolved whose inputs declare it (`dynamicPrompts`), as the editor sends them."""
    return Prompt(
        {node_id: _resolved(node, specs.get(node.class_type), choose) for node_id, node in prompt.nodes.items()}
    )


def resolve_text(text: str, choose: Choose) -> str:
    """One text; braces may nest, and a backslash before a brace or bar makes it an ordinary character.

    Braces that are never closed stay as they are.
    """
    text = _COMMENT.sub("", text)
    open_groups: list[list[str]] = [[""]]  # per open brace the alternatives so far, the last one growing
    position = 0
    for token in _TOKEN.finditer(text):
        open_groups[-1][-1] += text[position : token.start()]
        position = token.end()
        said = token[0]
        if said == "{":
            open_groups.append([""])
        elif len(open_groups) > 1 and said == "|":
            open_groups[-1].append("")
        elif len(open_groups) > 1 and said == "}":
            alternatives = open_groups.pop()
            open_groups[-1][-1] += alternatives[choose(len(alternatives))]
        else:
            open_groups[-1][-1] += said[-1]
    open_groups[-1][-1] += text[position:]
    unclosed = ("{" + "|".join(alternatives) for alternatives in open_groups[1:])
    return open_groups[0][0] + "".join(unclosed)


def _resolved(node: PromptNode, spec: NodeSpec | None, choose: Choose) -> PromptNode:
    ports = ports_of(spec, node.inputs) if spec else ()
    names = [port.name for port in ports if port.options.get("dynamicPrompts")]
    texts: dict[str, Any] = {name: node.inputs[name] for name in names if isinstance(node.inputs.get(name), str)}
    if not texts:
        return node
    inputs = {**node.inputs, **{name: resolve_text(text, choose) for name, text in texts.items()}}
    return PromptNode(node.id, node.class_type, inputs, node.title, node.display_id)
