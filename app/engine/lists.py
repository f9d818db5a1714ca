"""Every output and input is a list of values; a node is called once for each element unless it takes whole lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.engine.node import Absent, Blocker, Returned
from app.errors import InvalidRequest
from app.graph.json_values import is_list, is_sequence
from app.graph.prompt import as_link
from app.graph.spec import NodeSpec


def calls(inputs: Mapping[str, list[Any]], spec: NodeSpec) -> list[dict[str, Any]]:
    """The arguments of each call: the longest list says how many, shorter ones repeat their last element.

    Raises:
        InvalidRequest: some lists are empty and others are not.
    """
    if spec.input_is_list:
        return [dict(inputs)]
    count = max((len(values) for values in inputs.values()), default=0)
    if count == 0:
        return [{}]
    empty = next((name for name, values in inputs.items() if not values), None)
    if empty is not None:
        raise InvalidRequest(
            f"Input {empty} received an empty list while others received {count} values.",
            remedy="The node before it made nothing: check what it was given.",
            input_name=empty,
        )
    return [{name: values[min(i, len(values) - 1)] for name, values in inputs.items()} for i in range(count)]


def blocker_in(arguments: Mapping[str, Any], spec: NodeSpec) -> Blocker | None:
    """The first blocker among the arguments of a call."""
    for value in arguments.values():
        for item in value if spec.input_is_list and is_list(value) else (value,):
            if isinstance(item, Blocker):
                return item
    return None


def slots(results: Sequence[Returned], spec: NodeSpec, read: Callable[[str, int], list[Any]]) -> tuple[list[Any], ...]:
    """The values of each output over all calls; where an output is a list, the calls' lists joined.

    `read` gives the values of a node's output, for links into an expansion.
    """
    outputs: tuple[list[Any], ...] = tuple([] for _ in spec.outputs)
    for result in results:
        for index, port in enumerate(spec.outputs):
            value = result.values[index] if index < len(result.values) else Absent()
            link = as_link(value) if result.expand is not None else None
            if link is not None:
                outputs[index].extend(read(*link))
            elif port.is_list and is_sequence(value):
                outputs[index].extend(value)
            else:
                outputs[index].append(value)
    return outputs


def expansion_links(results: Sequence[Returned]) -> list[str]:
    """The nodes that outputs are read from once an expansion has run, without repeats."""
    links = (as_link(value) for result in results if result.expand is not None for value in result.values)
    return list(dict.fromkeys(link.node for link in links if link is not None))


def merged_ui(results: Sequence[Returned]) -> dict[str, list[Any]] | None:
    """What clients are shown over all calls; the first call that shows something says which keys there are."""
    shown = [result.ui for result in results if result.ui]
    if not shown:
        return None
    return {key: [item for ui in shown for item in ui.get(key, ())] for key in shown[0]}
