"""Runs a prompt: a generator of events, so that whoever listens also decides when the next step is taken."""

from __future__ import annotations

import time
from asyncio import Task
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.engine.arguments import Arguments
from app.engine.cache import Cache, Entry
from app.engine.collecting import collection_paused
from app.engine.dynamic import DynamicPrompt
from app.engine.events import (
    Event,
    NodeBlocked,
    NodeFinished,
    NodesCached,
    NodeStarted,
    Progress,
    RunFailed,
    RunInterrupted,
    RunSucceeded,
)
from app.engine.failure import run_failed
from app.engine.held import Values
from app.engine.keys import RunKeys, cycle
from app.engine.limits import Limits
from app.engine.lists import blocker_in, calls, expansion_links, merged_ui, slots
from app.engine.loop import CallLoop
from app.engine.node import Blocker, LoopState, Node, Returned, Specs
from app.engine.reasons import Reasons
from app.engine.rounds import LoopRun, Rounds
from app.engine.schedule import Schedule
from app.engine.site import CallSite, RunExtras
from app.engine.validators import custom_complaints
from app.errors import Cancelled, InvalidPrompt
from app.graph.expansion import read_expansion
from app.graph.fingerprint import NodeKey
from app.graph.json_values import is_list
from app.graph.loops import LOOP, LoopPlan, plan_loops
from app.graph.order import ancestors, topological
from app.graph.prompt import Prompt, as_link
from app.graph.spec import NodeSpec
from app.graph.validate import expansion_complaints


def run(
    prompt: Prompt,
    outputs: Sequence[str],
    nodes: Mapping[str, Node],
    cache: Cache,
    context_for: Callable[[CallSite], Any],
    interrupted: Callable[[], bool],
    extra: RunExtras | None = None,
) -> Iterator[Event]:
    """The events of running the output nodes `outputs` of a validated prompt, and all that they need.

    `nodes` are the node classes by name, `context_for` makes what a node's body may do, `interrupted` is asked before
    each call. The last event is RunSucceeded, RunFailed or RunInterrupted; closing the generator stops the run.
    """
    evaluation = _Run(prompt, outputs, nodes, cache, context_for, interrupted, extra or RunExtras())
    try:
        yield from evaluation.events()
    finally:
        evaluation.loop.close()


@dataclass(slots=True)
class _Work:
    """What a started node has so far."""

    started: float
    peak: Callable[[], int]
    reason: str
    blocked: bool  # some call was not made
    seconds: float = 0.0
    peak_bytes: int = 0
    results: list[Returned] = field(default_factory=list[Returned])
    expanded: bool = False
    links: list[str] = field(default_factory=list[str])  # nodes of its expansion that its outputs are read from


class _Run:
    """The state of one run; `events` is its only way in."""

    def __init__(
        self,
        prompt: Prompt,
        outputs: Sequence[str],
        nodes: Mapping[str, Node],
        cache: Cache,
        context_for: Callable[[CallSite], Any],
        interrupted: Callable[[], bool],
        extra: RunExtras,
    ):
        self.graph = DynamicPrompt(prompt, extra.prompt)
        self.outputs = tuple(outputs)
        self.nodes = nodes
        self.cache = cache
        self.context_for = context_for
        self.interrupted = interrupted
        self.extra = extra
        self.schedule = Schedule()
        self.values = Values()
        self.loop = CallLoop()
        self.rounds = Rounds(self.graph)
        self.arguments = Arguments(self.graph, self.values, extra)
        self.limits = Limits(self.graph)
        self.keys = RunKeys(self.graph, self._class_of, self._parents)
        self.submitted: Mapping[str, NodeKey] = {}
        self.reasons = Reasons({}, {}, self.graph.node)
        self.work: dict[str, _Work] = {}
        self.executed: dict[str, None] = {}
        self.current = ""  # the node to blame, and what it was called with
        self.inputs: dict[str, list[Any]] = {}

    def events(self) -> Iterator[Event]:
        """All events of the run."""
        try:
            yield from self._prepare()
            while (node_id := self._next()) is not None:
                self.current = node_id
                yield from self._step(node_id)
            yield RunSucceeded()
        except Cancelled:
            yield RunInterrupted(*self._blame(), tuple(self.executed))
        except Exception as error:
            yield self._failed(error)

    def _prepare(self) -> Iterator[Event]:
        """Keys, what is stored already, and the schedule of the rest."""
        with collection_paused():
            roots, order = self._plan()
            specs = self._specs(order)
            if any(spec.has_validator for spec in specs.values()):
                self._ask_validators(order)
            self.keys.add_submitted(order, specs)
            nodes = self.graph.prompt.nodes
            # Loops change the keys of their bodies from round to round; reasons compare graphs as they were submitted.
            self.submitted = dict(self.keys.keys) if len(self.rounds) else self.keys.keys
            named = {(i, nodes[i].class_type): key for i, key in self.submitted.items()}
            self.reasons = Reasons(self.cache.earlier(named), self.submitted, self.graph.node)
            self.cache.begin(dict.fromkeys(key.key for key in self.submitted.values()))
            stored = {node_id: entry for node_id in order if (entry := self._stored(node_id)) is not None}
        yield NodesCached(tuple(stored), tuple(nodes[node_id].class_type for node_id in stored))
        shown = frozenset(self.outputs)
        for node_id, entry in stored.items():
            if (entry.ui is not None or node_id in shown) and not self.rounds.rounds_of(node_id):
                yield self._from_cache(node_id, entry)
        self._enlist(node_id for node_id in roots if node_id not in stored)

    def _plan(self) -> tuple[Sequence[str], Sequence[str]]:
        """The nodes to begin from, and all that they need, parents first; the run knows its loops then."""
        order = ancestors(self.graph.prompt, self.outputs).order
        if not any(spec.loop for spec in self._specs(order).values()):
            return self.outputs, order
        plan = self._loops(self.outputs)
        return plan.roots, ancestors(self.graph.prompt, [*self.outputs, *plan.ends]).order

    def _specs(self, order: Sequence[str]) -> dict[str, NodeSpec]:
        """What the classes of these nodes declare, by class; the first node of an unknown one is to blame for it."""
        nodes = self.graph.prompt.nodes
        first = {nodes[node_id].class_type: node_id for node_id in reversed(order)}
        return {class_type: self._class_of(node_id).spec for class_type, node_id in first.items()}

    def _loops(self, outputs: Sequence[str]) -> LoopPlan:
        plan = plan_loops(self.graph.prompt.nodes, self._spec_of, outputs)
        for self.current, (first, *_) in plan.complaints.items():
            raise InvalidPrompt(first.details, kind=first.type, remedy=str(first.extra_info["remedy"]))
        self.rounds.add(plan.loops)
        return plan

    def _loops_inside(self, node_id: str, added: Sequence[str], wanted: Sequence[str]) -> Sequence[str]:
        """The nodes to begin from in an expansion that may hold loops; `wanted` are its results and outputs."""
        if not any(self._spec_of(each).loop for each in added):
            return wanted
        inside = {each: self.graph.node(each) for each in added}
        plan = plan_loops(inside, self._spec_of, [each for each in wanted if each in inside])
        wrong = next((first.details for first, *_ in plan.complaints.values()), None)
        leaked = next((each for each in self.work[node_id].links if each in plan.inside), None)
        if leaked is not None:
            wrong = f"its result is node {leaked}, which is inside a loop"
        if wrong is not None:
            raise InvalidPrompt(
                f"Node {node_id} expanded to loops that cannot run: {wrong}",
                remedy="The pack must pair begins and ends, and hand values out through the ends.",
            )
        self.rounds.add(plan.loops)
        return [*(each for each in wanted if each not in inside), *plan.roots]

    def _ask_validators(self, order: Sequence[str]) -> None:
        complaints = custom_complaints(self.graph.prompt, order, self.nodes)
        for self.current, (first, *_) in complaints.items():
            message = f"{first.message}: {first.details}"
            name: Any = first.extra_info.get("input_name")
            raise InvalidPrompt(message, kind=first.type, remedy=str(first.extra_info["remedy"]), input_name=name)

    def _enlist(self, roots: Iterable[str]) -> None:
        """Schedules these nodes and all they need that has no value yet."""
        stored: dict[str, Entry] = {}

        def lacking(node_id: str) -> list[str]:
            strong = self.arguments.strong_parents(node_id, self._class_of(node_id).spec)
            return [parent for parent in strong if not self._is_covered(parent, stored)]

        found = topological([root for root in roots if root not in self.schedule], lacking)
        if found.cycles:
            raise cycle(found.cycles[0])
        for node_id in found.order:
            self.values.expect(self._read_by(node_id))
        for node_id, entry in stored.items():
            self.values.hold(node_id, entry)
        for node_id in found.order:
            for parent in self._read_by(node_id):
                self._load(parent)
        for node_id in found.order:
            spec = self._class_of(node_id).spec
            # Whatever is not scheduled by now has its value.
            early = spec.output_node or spec.is_async
            self.schedule.add(node_id, self.arguments.strong_parents(node_id, spec), first=early)

    def _is_covered(self, node_id: str, stored: dict[str, Entry]) -> bool:
        """Whether the node has a value or is about to; results found in the cache go to `stored`, to be kept."""
        if node_id in self.schedule or node_id in self.values or node_id in stored:
            return True
        entry = self._stored(node_id)
        if entry is not None:
            stored[node_id] = entry
        return entry is not None

    def _stored(self, node_id: str) -> Entry | None:
        loop = self.rounds.of(node_id)
        if loop is not None and loop.loop.roots:
            return None  # its rounds are walked, so that what they show is shown again
        return self.cache.get(self.keys.keys[node_id].key)

    def _load(self, node_id: str) -> None:
        """Takes a stored result into the run, so that the cache may forget it while somebody still has to read it."""
        if node_id not in self.values and node_id not in self.schedule:
            entry = self._stored(node_id)
            if entry is not None:
                self.values.hold(node_id, entry)

    def _parents(self, node_id: str) -> Sequence[str]:
        return self.arguments.parents(node_id, self._class_of(node_id).spec)

    def _read_by(self, node_id: str) -> Sequence[str]:
        """What must be kept for a node: its parents, and for a loop's end all that its rounds read from outside."""
        loop = self.rounds.of(node_id)
        return self._parents(node_id) if loop is None else [*self._parents(node_id), *loop.outside]

    def _class_of(self, node_id: str) -> Node:
        class_type = self.graph.node(node_id).class_type
        found = self.nodes.get(class_type)
        if found is None:
            self.current = node_id
            raise InvalidPrompt(
                f"Node {node_id} is a {class_type}, and there is no such node.",
                remedy="Install the node pack that brings it, or remove the node.",
            )
        return found

    def _next(self) -> str | None:
        """The next node to look at; waits only if nothing but asynchronous calls is left."""
        while True:
            node_id = self.loop.finished(wait=False) or self.schedule.pop()
            if node_id is not None:
                return node_id
            if not len(self.loop):
                break
            self._stop_if_interrupted()
            node_id = self.loop.finished(wait=True)
            if node_id is not None:
                return node_id
        if len(self.schedule):
            raise cycle(tuple(self.schedule.unfinished))
        return None

    def _step(self, node_id: str) -> Iterator[Event]:
        """Whatever can be done for a node now: start it, take its results, or end its expansion."""
        work = self.work.get(node_id)
        if work is None:
            yield from self._begin(node_id)
        elif work.expanded:
            yield from self._finish(node_id, work)
        else:
            work.results = self.loop.take(node_id)
            yield from self._collect(node_id, work)

    def _begin(self, node_id: str) -> Iterator[Event]:
        entry = self._stored(node_id)
        if entry is not None:  # an equal node has run since
            yield self._from_cache(node_id, entry)
            self._complete(node_id, entry)
            return
        node = self._class_of(node_id)
        self.inputs = inputs = self.arguments.gather(node_id, node.spec)
        self._stop_if_interrupted()
        lacking = self.arguments.lacking(node_id, node, inputs)
        loop = self.rounds.of(node_id)
        if loop is not None:
            lacking = list(dict.fromkeys([*lacking, *_roots(loop, inputs)]))
            if lacking and not loop.keyed:
                loop.keyed = True
                begin = loop.begin()
                self.keys.begin_round(begin, loop.body(), self.values.outputs(begin))
        if lacking:
            self._enlist(lacking)
            self.schedule.wait_for(node_id, lacking)
            return
        arguments = calls(inputs, node.spec)
        blockers = [blocker_in(_stopping(each, node.spec), node.spec) for each in arguments]
        message = next((blocker.message for blocker in blockers if blocker and blocker.message), None)
        if message is not None:
            yield NodeBlocked(self.graph.known_id(node_id), node.spec.id, message)
        work = _Work(time.perf_counter(), self.extra.meter(), self._reason(node_id), any(blockers))
        if not all(blockers) and (loop is None or loop.round == 0):
            known = self.graph.known_id(node_id)
            yield NodeStarted(known, node.spec.id, self.graph.get_display_node_id(node_id))
        self.work[node_id] = work
        self.limits.hold(node_id, node.spec, [each for each, by in zip(arguments, blockers, strict=True) if by is None])
        self._call(node_id, node, list(zip(arguments, blockers, strict=True)))
        if not self.loop.holds(node_id):
            yield from self._collect(node_id, work)

    def _call(self, node_id: str, node: Node, arguments: Sequence[tuple[dict[str, Any], Blocker | None]]) -> None:
        """All calls of a node; asynchronous ones go on in the loop."""
        results: list[Returned | Task[Returned]] = []
        for index, (each, blocker) in enumerate(arguments):
            if blocker is not None:
                results.append(Returned((Blocker(),) * len(node.spec.outputs)))
                continue
            self._stop_if_interrupted()
            display = self.graph.get_display_node_id(node_id)
            site = CallSite(self.graph.known_id(node_id), node.spec.id, display, node_id, index)
            result = node.call(self.context_for(site), each)
            results.append(result if isinstance(result, Returned) else self.loop.start(result))
        if any(not isinstance(result, Returned) for result in results):
            self.loop.put(node_id, results)
        else:
            self.work[node_id].results = [result for result in results if isinstance(result, Returned)]

    def _collect(self, node_id: str, work: _Work) -> Iterator[Event]:
        """All calls have returned; those that expanded first need their nodes to run."""
        work.seconds = time.perf_counter() - work.started
        work.peak_bytes = work.peak()
        loop = self.rounds.of(node_id)
        if loop is not None and work.results[0].again is not None:
            yield from self._next_round(node_id, loop, work.results[0].again)
            return
        if all(result.expand is None for result in work.results):
            yield from self._finish(node_id, work)
            return
        work.expanded = True
        added: list[str] = []
        for index, result in enumerate(work.results):
            if result.expand is not None:
                work.results[index], graph = read_expansion(result, self.nodes, self.extra.replacements)
                added += self.graph.add_expansion(node_id, graph)
        work.links = expansion_links(work.results)
        self._check_expansion(node_id, added, work.results)
        self.keys.add([*added, *work.links])
        self.values.expect(work.links)
        outputs = [new for new in added if self._class_of(new).spec.output_node]
        wanted = self._loops_inside(node_id, added, [*work.links, *outputs])
        for parent in work.links:
            self._load(parent)
        roots = [each for each in dict.fromkeys(wanted) if each not in self.values]
        self._enlist(roots)
        self.schedule.wait_for(node_id, roots)

    def _check_expansion(self, node_id: str, added: Sequence[str], results: Iterable[Returned]) -> None:
        """Refuses an expansion that could only go wrong later, or silently: it says which of its nodes and why."""
        for each in added:
            self._class_of(each)
        wrong = next(expansion_complaints(self.graph.prompt, added, Specs(self.nodes)), None)
        if wrong is not None:
            raise InvalidPrompt(
                f"Node {node_id} expanded to a graph that cannot run: {wrong.message}: {wrong.details}",
                remedy=str(wrong.extra_info["remedy"]),
            )
        for value in (value for result in results if result.expand is not None for value in result.values):
            if is_list(value) and len(value) == 2 and value[0] in added and as_link(value) is None:
                raise InvalidPrompt(
                    f"Node {node_id} gives on output {value[1]!r} of node {value[0]}, and there is no such output.",
                    remedy="The pack must count outputs from 0.",
                )

    def _next_round(self, end: str, loop: LoopRun, carried: Any) -> Iterator[Event]:
        """The end of a loop asked for another round: it waits for the next begin."""
        read = self._parents(end)
        state = next((each for (each,) in self.inputs.values() if isinstance(each, LoopState)), LoopState(True))
        yield Progress(self.graph.known_id(end), loop.round + 1, state.total or loop.round + 1)
        body = [self.submitted[each].key for each in loop.loop.body if each in self.submitted]
        self.cache.note_rounds(body if loop.depth == 0 else (), loop.round + 1)
        self.work.pop(end, None)
        self.arguments.forget([end])
        self.arguments.carried[end] = carried
        over = self.rounds.advance(end, self._spec_of)
        begin = loop.names[loop.loop.begin]
        self.keys.add([begin])
        self.values.expect(self._parents(end))
        self._enlist([begin])
        self.schedule.wait_for(end, [begin])
        self.values.release(read)
        self.graph.forget(over)
        self.arguments.forget(over)
        self.keys.forget(over)

    def _finish(self, node_id: str, work: _Work) -> Iterator[Event]:
        spec = self._class_of(node_id).spec
        entry = Entry(slots(work.results, spec, self.values.read), merged_ui(work.results))
        key = self.keys.keys[node_id]
        size = self.cache.size(entry)
        if key.repeatable and not work.blocked:
            self.cache.put(key.key, entry, size)
        self.executed[self.graph.known_id(node_id)] = None
        yield NodeFinished(
            self.graph.known_id(node_id),
            spec.id,
            self.graph.get_display_node_id(node_id),
            cached=False,
            ui=entry.ui,
            seconds=work.seconds,
            peak_bytes=work.peak_bytes,
            reason=work.reason,
            result_bytes=size,
            signature=self.cache.signatures.of(node_id, self.keys.keys, self.graph.node, self._spec_of),
        )
        self.values.release(work.links)
        self._complete(node_id, entry)

    def _complete(self, node_id: str, entry: Entry) -> None:
        self.values.hold(node_id, entry)
        self.values.release(self._read_by(node_id))
        self.arguments.forget([node_id])
        self.schedule.finish(node_id)
        self.work.pop(node_id, None)
        self.inputs = {}

    def _from_cache(self, node_id: str, entry: Entry) -> NodeFinished:
        shown = self.graph.get_display_node_id(node_id)
        known = self.graph.known_id(node_id)
        return NodeFinished(known, self.graph.node(node_id).class_type, shown, cached=True, ui=entry.ui)

    def _reason(self, node_id: str) -> str:
        if self.graph.is_copy(node_id):
            (_, number), *_ = self.rounds.rounds_of(node_id) or [("", self.graph.node(node_id).round)]
            return f"round {number + 1} of its loop"
        return self.reasons.why(node_id)

    def _spec_of(self, node_id: str) -> NodeSpec:
        return self._class_of(node_id).spec

    def _stop_if_interrupted(self) -> None:
        if self.interrupted():
            raise Cancelled("The run was interrupted.")

    def _blame(self) -> tuple[str, str]:
        """The submitted node that stands for the current one, and its class."""
        if not self.current:
            return "", ""
        real = self.graph.get_real_node_id(self.current)
        return real, self.graph.node(real).class_type

    def _failed(self, error: Exception) -> RunFailed:
        node_id, class_type = self._blame()
        hidden: Mapping[str, str] = self.nodes[class_type].spec.hidden if class_type in self.nodes else {}
        inputs = {name: values for name, values in self.inputs.items() if name not in hidden}
        failed = run_failed(error, node_id=node_id, class_type=class_type, inputs=inputs, executed=self.executed)
        where = "".join(
            f" It was round {number + 1} of the loop that ends at node {self.graph.known_id(end)}."
            for end, number in self.rounds.rounds_of(self.current)
        )
        # Inside an expansion the input is one that nobody sees: the node that is blamed has others.
        name = failed.input_name if self.graph.get_parent_node_id(self.current) is None else None
        return replace(failed, remedy=f"{failed.remedy}{where}".strip(), input_name=name)


def _roots(loop: LoopRun, inputs: Mapping[str, list[Any]]) -> list[str]:
    """What hangs on the body of a loop, if this round runs and has not been asked for it yet."""
    running = any(isinstance(value, LoopState) and value.running for values in inputs.values() for value in values[:1])
    if not running or loop.asked:
        return []
    loop.asked = True
    return loop.roots()


def _stopping(arguments: Mapping[str, Any], spec: NodeSpec) -> Mapping[str, Any]:
    """The arguments in which a blocker stops the node: of a loop's end only what its begin says."""
    if spec.loop != "end":
        return arguments
    return {port.name: arguments.get(port.name) for port in spec.inputs if port.type == LOOP}
