"""Who must run before whom. Linear in nodes and links, and without recursion, so that depth costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from app.graph.prompt import Link, Prompt

MAX_CYCLES = 16  # told in full; a dense graph has more than anybody reads


@dataclass(frozen=True, slots=True)
class Sorted:
    """Everything that the roots need, parents before children; and one cycle of ids for each link that closes one.

    A cycle is child, parent, grandparent … and the child again; past `MAX_CYCLES` only the link that closes it.
    Whoever needs any node of a cycle has its first node among the ancestors, in the order too.
    """

    order: tuple[str, ...]
    cycles: tuple[tuple[str, ...], ...] = ()


def topological(roots: Iterable[str], parents: Callable[[str], Iterable[str]]) -> Sorted:
    """Depth first from the roots; a link that closes a cycle is recorded and left out of the order."""
    order: list[str] = []
    cycles: list[tuple[str, ...]] = []
    position: dict[str, int] = {}  # place on the current path; -1 once finished
    for root in roots:
        if root in position:
            continue
        path = [root]
        position[root] = 0
        waiting = [iter(parents(root))]
        while path:
            parent = next(waiting[-1], None)
            if parent is None:
                waiting.pop()
                done = path.pop()
                position[done] = -1
                order.append(done)
            elif parent not in position:
                position[parent] = len(path)
                path.append(parent)
                waiting.append(iter(parents(parent)))
            elif position[parent] >= 0:
                rest = path[position[parent] :] if len(cycles) < MAX_CYCLES else [parent]
                cycles.append((path[-1], *rest))
    return Sorted(tuple(order), tuple(cycles))


def parents_of(prompt: Prompt, node_id: str) -> list[str]:
    """The ids that the inputs of a node link to, in input order and without repeats; missing nodes are left out."""
    nodes = prompt.nodes
    linked = [value.node for value in nodes[node_id].inputs.values() if isinstance(value, Link) and value.node in nodes]
    return linked if len(linked) < 2 else list(dict.fromkeys(linked))


def ancestors(prompt: Prompt, targets: Sequence[str]) -> Sorted:
    """The targets and all that they need, parents first."""
    return topological(targets, lambda node_id: parents_of(prompt, node_id))
