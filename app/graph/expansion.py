"""What a node has expanded to, read as a graph of the classes that there are."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Any

from app.graph.prompt import Prompt, PromptNode, as_link, parse_prompt
from app.graph.replacements import Replacements, with_replacements
from app.graph.returned import Returned

RESULT = "(its result)"  # stands among the new nodes for who reads the results


def read_expansion(
    returned: Returned, known: Container[str], replacements: Callable[[], Replacements]
) -> tuple[Returned, Prompt]:
    """What the node gives back, and the nodes that it expanded to.

    Nodes of classes that are not `known` any more become nodes of what stands in for them, and the results are read
    from where they are now. `replacements` is asked only if there are such nodes.

    Raises:
        InvalidPrompt: the expansion is no graph, or a result or link is an output that has gone.
    """
    graph: Mapping[str, Any] = returned.expand or {}
    added = parse_prompt(graph)
    if all(node.class_type in known for node in added.nodes.values()):
        return returned, added
    links = {str(slot): link for slot, value in enumerate(returned.values) if (link := as_link(value)) is not None}
    reader = PromptNode(RESULT, "", dict(links), title="the results")
    found = dict(with_replacements(Prompt({**added.nodes, RESULT: reader}), replacements(), known).nodes)
    results = found.pop(RESULT).inputs
    values = tuple(results.get(str(slot), value) for slot, value in enumerate(returned.values))
    return replace(returned, values=values), Prompt(found)
