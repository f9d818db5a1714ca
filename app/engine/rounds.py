"""The loops of a run: each round after the first is a fresh copy of the body, and rounds that are over are forgotten.

Copies have ids such as "7#0.3" (round 3 of a loop that is inside no other), or "7#0.3#1.2" in nested loops; to clients
they are the nodes that they are copies of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.engine.dynamic import DynamicPrompt
from app.graph.loops import LOOP, Loop
from app.graph.prompt import Link, PromptNode
from app.graph.spec import NodeSpec


@dataclass(slots=True)
class LoopRun:
    """One loop while it runs.

    `template` holds its nodes as they were before the first round, `names` what they are called in this one.
    `outside` are the nodes that the body reads from outside, kept for all rounds; `asked` says whether the roots of
    this round are scheduled, `keyed` whether its body has its keys, `alive` are the copies of this round and the one
    before, `depth` says how many loops are around.
    """

    loop: Loop
    template: Mapping[str, PromptNode]
    outside: tuple[str, ...]
    depth: int
    round: int = 0
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    carried: Any = None
    asked: bool = False
    keyed: bool = False
    alive: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def roots(self) -> list[str]:
        """What must run in this round beside what the end reads."""
        return [self.names.get(root, root) for root in self.loop.roots]

    def begin(self) -> str:
        """The begin of this round."""
        return self.names.get(self.loop.begin, self.loop.begin)

    def body(self) -> list[str]:
        """The nodes between begin and end in this round, parents first."""
        return [self.names.get(node_id, node_id) for node_id in self.loop.body]


class Rounds:
    """The loops of a run by the id of their end."""

    def __init__(self, graph: DynamicPrompt):
        self._graph = graph
        self._runs: dict[str, LoopRun] = {}
        self._around: dict[str, str] = {}  # node of a body → end of the innermost loop around it

    def __len__(self) -> int:
        return len(self._runs)

    def of(self, end: str) -> LoopRun | None:
        """The loop that ends there, None for other nodes."""
        return self._runs.get(end)

    def add(self, loops: Iterable[Loop], depth: int = 0) -> None:
        """Takes in loops, and those inside of them, as the graph has them now."""
        waiting = [(loop, depth) for loop in loops]
        while waiting:
            loop, depth = waiting.pop()
            waiting.extend((inner, depth + 1) for inner in loop.inner)
            inside = {loop.begin, *loop.body}
            template = {node_id: self._graph.node(node_id) for node_id in (loop.begin, *loop.body, loop.end)}
            read = (link.node for node in template.values() for _, link in node.links())
            outside = tuple(dict.fromkeys(node_id for node_id in read if node_id not in inside))
            self._runs[loop.end] = LoopRun(loop, template, outside, depth)
            # Outer loops come first, so that the innermost has the last word.
            self._around.update(dict.fromkeys(loop.body, loop.end))

    def advance(self, end: str, spec_of: Callable[[str], NodeSpec]) -> list[str]:
        """Begins the next round: adds its nodes and links the end to them. Gives the ids that nobody needs any more."""
        run = self._runs[end]
        loop = run.loop
        before = run.names
        run.round += 1
        run.asked = run.keyed = False
        run.names = {node_id: self._name(node_id, run) for node_id in (loop.begin, *loop.body)}
        copies = {run.names[node_id]: _copy(run.template[node_id], run.names) for node_id in loop.body}
        begin = run.names[loop.begin]
        copies[begin] = self._begin(run, before, spec_of(loop.begin), spec_of(end))
        self._graph.add_round(copies, {copy: node_id for node_id, copy in run.names.items()})
        self._graph.replace(replace(_copy(run.template[end], run.names), id=end))
        self._around.update((run.names[node_id], end) for node_id in loop.body)
        self.add([_renamed(inner, run.names) for inner in loop.inner], run.depth + 1)
        run.alive.append(tuple(copies))
        return self._over(run.alive.pop(0)) if len(run.alive) > 2 else []

    def rounds_of(self, node_id: str) -> list[tuple[str, int]]:
        """(end, round from 0) of each loop around a node that runs, the innermost first."""
        found: list[tuple[str, int]] = []
        at: str | None = node_id
        while at is not None:
            end = self._around.get(at)
            if end is None:
                at = self._graph.get_parent_node_id(at)
                continue
            run = self._runs[end]
            found.append((end, run.round))
            at = end
        return found

    def _name(self, node_id: str, run: LoopRun) -> str:
        name = f"{node_id}#{run.depth}.{run.round}"
        while self._graph.has_node(name):  # somebody has given such an id to a node of the prompt
            name += "#"
        return name

    def _begin(self, run: LoopRun, before: Mapping[str, str], begin: NodeSpec, end: NodeSpec) -> PromptNode:
        """The begin of the next round: what it shares by name with the end starts where the last round ended."""
        loop = run.loop
        last = self._graph.node(before.get(loop.begin, loop.begin))
        carried = {port.name for port in end.inputs if port.type != LOOP and begin.input(port.name) is not None}
        ended = {
            name: _renamed_value(value, before)
            for name, value in run.template[loop.end].inputs.items()
            if name in carried
        }
        return replace(last, id=run.names[loop.begin], inputs={**last.inputs, **ended}, round=run.round)

    def _over(self, ids: Iterable[str]) -> list[str]:
        """All nodes that go with these: copies that inner loops made, and expansions."""
        gone: list[str] = []
        waiting = list(ids)
        while waiting:
            node_id = waiting.pop()
            gone.append(node_id)
            self._around.pop(node_id, None)
            inner = self._runs.pop(node_id, None)
            if inner is not None:
                waiting.extend(copy for copies in inner.alive for copy in copies)
            waiting.extend(self._graph.children_of(node_id))
        return gone


def _copy(node: PromptNode, names: Mapping[str, str]) -> PromptNode:
    inputs = {name: _renamed_value(value, names) for name, value in node.inputs.items()}
    return replace(node, id=names.get(node.id, node.id), inputs=inputs)


def _renamed_value(value: Any, names: Mapping[str, str]) -> Any:
    return Link(names[value.node], value.slot) if isinstance(value, Link) and value.node in names else value


def _renamed(loop: Loop, names: Mapping[str, str]) -> Loop:
    return Loop(
        names[loop.begin],
        names[loop.end],
        tuple(names[node_id] for node_id in loop.body),
        tuple(names[node_id] for node_id in loop.roots),
        tuple(_renamed(inner, names) for inner in loop.inner),
    )
