"""What a run of a prompt would do: which nodes would run and why, and which are served from the cache. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.engine.cache import Cache
from app.engine.node import Node
from app.engine.reasons import Reasons, fingerprint_of
from app.engine.signatures import Signatures
from app.graph.fingerprint import NodeKey, node_keys
from app.graph.lazy import lazy_inputs
from app.graph.loops import Loop, LoopPlan, plan_loops
from app.graph.order import ancestors
from app.graph.prompt import Prompt, PromptNode
from app.graph.spec import NodeSpec

Verdict = Literal["run", "maybe", "cached", "not needed"]


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of one node.

    `verdict` is "maybe" where only a lazy input may ask for it, "not needed" where everything that reads it is stored.
    `rounds` is how often it runs, None where only the run can tell. `signature` is empty for nodes that do not run.
    """

    node_id: str
    class_type: str
    verdict: Verdict
    reason: str = ""
    rounds: int | None = 1
    signature: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {name: getattr(self, name) for name in self.__slots__}


def forecast(prompt: Prompt, outputs: Sequence[str], nodes: Mapping[str, Node], cache: Cache) -> list[Expected]:
    """What is expected of each node that the outputs need, parents first.

    Asks the fingerprints of classes that have one; the cache is only looked at, so a run may go on meanwhile.
    """
    return list(_Forecast(prompt, outputs, nodes, cache).nodes())


class _Forecast:
    def __init__(self, prompt: Prompt, outputs: Sequence[str], nodes: Mapping[str, Node], cache: Cache):
        self.prompt = prompt
        self.nodes_by_class = nodes
        self.cache = cache
        self.plan = self._plan(outputs)
        self.order = ancestors(prompt, [*outputs, *self.plan.ends]).order
        changed = {
            node_id: fingerprint_of(self._class(node_id), prompt.nodes[node_id])
            for node_id in self.order
            if self.spec(node_id).has_fingerprint
        }
        specs = {self.node(node_id).class_type: self.spec(node_id) for node_id in self.order}
        self.keys: dict[str, NodeKey] = node_keys(prompt, self.order, specs, changed)

    def node(self, node_id: str) -> PromptNode:
        """The node of that id."""
        return self.prompt.nodes[node_id]

    def spec(self, node_id: str) -> NodeSpec:
        """Its class as data."""
        return self._class(node_id).spec

    def nodes(self) -> Iterator[Expected]:
        """All nodes, parents first."""
        walked = {loop.end for loop in _all(self.plan.loops) if loop.roots}
        stored = {i for i in self.order if self.keys[i].key in self.cache and i not in walked}
        roots = [node_id for node_id in self.plan.roots if node_id not in stored]
        sure = self._reached(roots, stored, self._strong)
        maybe = self._reached(roots, stored, self._all_parents) - sure
        signatures = Signatures()
        reasons = Reasons(self.cache.known_keys(self._named()), self.keys, self.node)
        rounds = self._rounds()
        for node_id in self.order:
            class_type = self.node(node_id).class_type
            count, done = rounds.get(node_id, 1), self.cache.rounds_done(self.keys[node_id].key)
            if done and node_id in rounds and count is not None and node_id in sure:
                left = max(0, count - done)
                cost = signatures.of(node_id, self.keys, self.node, self.spec) if left else ()
                why = f"{done} rounds have run before, {left} have not" if left else ""
                yield Expected(node_id, class_type, "run" if left else "cached", why, left or 1, cost)
                continue
            if node_id not in sure and node_id not in maybe:
                yield Expected(node_id, class_type, "cached" if node_id in stored else "not needed")
                continue
            cost = signatures.of(node_id, self.keys, self.node, self.spec)
            verdict: Verdict = "run" if node_id in sure else "maybe"
            yield Expected(node_id, class_type, verdict, reasons.why(node_id), count, cost)

    def _plan(self, outputs: Sequence[str]) -> LoopPlan:
        order = ancestors(self.prompt, outputs).order
        looped = any(self.spec(node_id).loop for node_id in order)
        return plan_loops(self.prompt.nodes, self.spec, outputs) if looped else LoopPlan(roots=tuple(outputs))

    def _class(self, node_id: str) -> Node:
        return self.nodes_by_class[self.prompt.nodes[node_id].class_type]

    def _named(self) -> list[tuple[str, str]]:
        return [(node_id, self.node(node_id).class_type) for node_id in self.order]

    def _strong(self, node_id: str) -> list[str]:
        """The parents that surely run; of a loop with a known number of rounds those in the body, too."""
        spec = self.spec(node_id)
        lazy = () if spec.loop == "end" else lazy_inputs(spec, self.node(node_id).inputs)
        inside = [root for loop in _all(self.plan.loops) if loop.end == node_id for root in loop.roots]
        return [*(link.node for name, link in self.node(node_id).links() if name not in lazy), *inside]

    def _all_parents(self, node_id: str) -> list[str]:
        return [*(link.node for _, link in self.node(node_id).links()), *self._strong(node_id)]

    def _reached(self, roots: Sequence[str], stored: set[str], parents: Callable[[str], Sequence[str]]) -> set[str]:
        found = set(roots)
        waiting = list(roots)
        while waiting:
            for parent in parents(waiting.pop()):
                if parent not in found and parent not in stored and parent in self.keys:
                    found.add(parent)
                    waiting.append(parent)
        return found

    def _rounds(self) -> dict[str, int | None]:
        """How often each node of a loop's body runs; the begin looks once more than that."""
        rounds: dict[str, int | None] = {}
        for loop in _all(self.plan.loops):  # outer ones first
            own = self.node(loop.begin).inputs.get("count")
            around = rounds.get(loop.end, 1)
            count = own * around if isinstance(own, int) and around is not None else None
            rounds.update(dict.fromkeys(loop.body, count))
        return rounds


def _all(loops: Sequence[Loop]) -> Iterator[Loop]:
    """Loops and all inside of them, outer ones first."""
    waiting = list(loops)
    while waiting:
        loop = waiting.pop()
        yield loop
        waiting.extend(loop.inner)
