"""Loops in a graph without circles: which nodes lie between the begin and the end of each loop, and what is wrong.

A loop's end is linked to its begin by an input of type LOOP. Its body is whatever descends from the begin and not
from the end; all of it runs in each round, outputs that hang on it included. Loops may hold loops; one whose end is in
a body is in it as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.graph.order import topological
from app.graph.prompt import Link, PromptNode
from app.graph.spec import NodeSpec
from app.graph.values import Complaint

LOOP = "LOOP"

Nodes = Mapping[str, PromptNode]
SpecOf = Callable[[str], NodeSpec]


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop by the ids of its nodes.

    `body` comes parents first, without begin and end. `roots` are what must run in each round beside what the end
    reads: outputs in the body, and the ends of inner loops that hold some. `inner` are the loops directly inside.
    """

    begin: str
    end: str
    body: tuple[str, ...]
    roots: tuple[str, ...] = ()
    inner: tuple[Loop, ...] = ()


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """The outermost loops, whose outputs run inside of which, and what cannot run.

    `inside` maps each node of a body to the end of the innermost loop around it; `roots` are the nodes that a run
    begins from: the outputs outside of all loops, and the ends of loops that hold outputs. `ends` are those of all
    loops.
    """

    loops: tuple[Loop, ...] = ()
    inside: Mapping[str, str] = field(default_factory=dict[str, str])
    roots: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    complaints: Mapping[str, list[Complaint]] = field(default_factory=dict[str, list[Complaint]])


def plan_loops(nodes: Nodes, spec_of: SpecOf, outputs: Sequence[str]) -> LoopPlan:
    """The loops among what `outputs` need. Costs the nodes and links, times the depth of nesting.

    Args:
        nodes: the graph.
        spec_of: the spec of a node id's class; asked only for nodes that are there.
        outputs: the output nodes that are to run.
    """
    order = _needed(nodes, outputs)
    if not any(spec_of(node_id).loop for node_id in order):
        return LoopPlan(roots=tuple(outputs))
    begins, complaints = _pairs(nodes, spec_of, order)
    order = _needed(nodes, [*outputs, *(end for ends in begins.values() for end in ends[:1])])
    children = _children(nodes, order)
    bodies: dict[str, list[str]] = {}
    for begin, ends in begins.items():
        if len(ends) == 1:
            after = _below(children, [ends[0]], frozenset())
            inside = _with_begins(_below(children, [begin], {ends[0]}), begin, begins, children) - {begin}
            bodies[begin] = [node_id for node_id in order if node_id in inside]
            complaints.update(_escapes(nodes, bodies[begin], after, begin, ends[0]))
    complaints.update(_overlaps(begins, bodies))
    if complaints:
        return LoopPlan(complaints={node_id: [complaint] for node_id, complaint in complaints.items()})
    return _nested({begin: begins[begin][0] for begin in bodies}, bodies, outputs)


def loop_link(node: PromptNode, spec: NodeSpec) -> Link | None:
    """The link of a loop's end to its begin."""
    port = next((port for port in spec.inputs if port.type == LOOP), None)
    value = node.inputs.get(port.name) if port else None
    return value if isinstance(value, Link) else None


def _needed(nodes: Nodes, roots: Iterable[str]) -> tuple[str, ...]:
    def parents(node_id: str) -> list[str]:
        return [link.node for _, link in nodes[node_id].links() if link.node in nodes]

    return topological(roots, parents).order


def _pairs(nodes: Nodes, spec_of: SpecOf, order: Collection[str]) -> tuple[dict[str, list[str]], dict[str, Complaint]]:
    """The ends of each begin that is needed, itself or by what an end needs, and those that have no partner."""
    complaints: dict[str, Complaint] = {}
    ends: dict[str, list[str]] = {}
    for node in nodes.values():
        link = loop_link(node, spec_of(node.id)) if spec_of(node.id).loop == "end" else None
        if link is not None:
            ends.setdefault(link.node, []).append(node.id)
    wanted = set(order)
    while True:
        found = {begin: its for begin, its in ends.items() if begin in wanted}
        more = set(_needed(nodes, [*order, *(its[0] for its in found.values())]))
        if more <= wanted:
            break
        wanted |= more
    for node_id in wanted:
        wrong = _unpaired(node_id, nodes, spec_of, ends)
        if wrong is not None:
            complaints[node_id] = wrong
    known = {begin: its for begin, its in found.items() if spec_of(begin).loop == "begin"}
    return known, complaints


def _unpaired(node_id: str, nodes: Nodes, spec_of: SpecOf, ends: Mapping[str, list[str]]) -> Complaint | None:
    """What is wrong with a node as one side of a loop, None if nothing or if it is none."""
    kind = spec_of(node_id).loop
    if kind == "begin":
        count = len(ends.get(node_id, ()))
        if count > 1:
            return _complaint("ambiguous_loop_nesting", _TWO_ENDS, node_id, ends[node_id])
        return None if count else _complaint("loop_start_without_end", _NO_END, node_id)
    link = loop_link(nodes[node_id], spec_of(node_id)) if kind == "end" else None
    if kind == "end" and (link is None or link.node not in nodes or spec_of(link.node).loop != "begin"):
        return _complaint("loop_end_without_start", _NO_BEGIN, node_id)
    return None


def _children(nodes: Nodes, order: Iterable[str]) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {node_id: [] for node_id in order}
    for node_id in children:
        for _, link in nodes[node_id].links():
            if link.node in children:
                children[link.node].append(node_id)
    return children


def _below(children: Mapping[str, Iterable[str]], start: Iterable[str], stop: Collection[str]) -> set[str]:
    """All that descends from `start`, itself included, without entering `stop`."""
    found = set(start)
    waiting = list(found)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found and child not in stop:
                found.add(child)
                waiting.append(child)
    return found


def _with_begins(
    inside: set[str], begin: str, begins: Mapping[str, list[str]], children: Mapping[str, Iterable[str]]
) -> set[str]:
    """What is inside of a loop, and the begins of those loops that end in it although they read from outside only.

    Such a loop runs in every round, like everything else that its end needs to be run.
    """
    end = begins[begin][0]
    while True:
        open_ones = [other for other, ends in begins.items() if other not in inside and ends[0] in inside]
        added = [_below(children, [other], {end}) for other in open_ones]
        # One that holds the begin of this loop is no part of it: the two overlap, which is told elsewhere.
        more = set[str]().union(*(below for below in added if begin not in below))
        if not more:
            return inside
        inside = inside | more


def _escapes(nodes: Nodes, body: Iterable[str], after: Collection[str], begin: str, end: str) -> dict[str, Complaint]:
    """The first node that reads both from inside the loop and from behind its end."""
    for node_id in body:
        if node_id in after:
            return {node_id: _complaint("loop_escape", _ESCAPE, node_id, [begin, end])}
    return {}


def _overlaps(begins: Mapping[str, list[str]], bodies: Mapping[str, list[str]]) -> dict[str, Complaint]:
    """Loops that begin inside another one and go on behind its end."""
    sets = {begin: frozenset(body) for begin, body in bodies.items()}
    for outer, body in sets.items():
        for inner in body & sets.keys():
            if begins[outer][0] in sets[inner]:
                ids = [outer, begins[outer][0], inner, begins[inner][0]]
                return {inner: _complaint("ambiguous_loop_nesting", _OVERLAP, inner, ids)}
    return {}


def _nested(ends: Mapping[str, str], bodies: Mapping[str, list[str]], outputs: Sequence[str]) -> LoopPlan:
    """The loops as a tree. Smaller bodies first: whatever a loop holds is known when its own turn comes."""
    inside: dict[str, str] = {}
    loops: dict[str, Loop] = {}  # by end
    for begin in sorted(bodies, key=lambda begin: len(bodies[begin])):
        end, body = ends[begin], bodies[begin]
        inner = [loops[each] for each in dict.fromkeys(body) if each in loops and each not in inside]
        roots = [each for each in outputs if each not in inside and each in frozenset(body)]
        roots += [each.end for each in inner if each.roots]
        for node_id in body:
            inside.setdefault(node_id, end)
        loops[end] = Loop(begin, end, tuple(body), tuple(roots), tuple(inner))
    outermost = tuple(loop for end, loop in loops.items() if end not in inside)
    started = [each for each in outputs if each not in inside]
    started += [loop.end for loop in outermost if loop.roots and loop.end not in outputs]
    return LoopPlan(outermost, inside, tuple(started), tuple(loops))


def _complaint(kind: str, text: tuple[str, str], node_id: str, ids: Iterable[str] = ()) -> Complaint:
    """`text` is what is wrong and the way out; it goes out under the type that clients know for a loop's boundary."""
    facts = {
        "input_name": "loop boundary",
        "loop_error_type": kind,
        "node_ids": [node_id, *(each for each in ids if each != node_id)],
        "output_ids": [],
        "remedy": text[1],
    }
    return Complaint(
        "custom_validation_failed", "Custom validation failed for node", f"loop boundary - {text[0]}", facts
    )


_NO_BEGIN = (
    "This is the end of a loop, and no begin is linked to it.",
    "Link its input loop to the output loop of For Begin, While Begin or Map Begin, directly.",
)
_NO_END = (
    "This is the begin of a loop that has no end.",
    "Add the matching end node, link its input loop to this node, and give it the results of the loop's body.",
)
_TWO_ENDS = ("This begin of a loop has several ends.", "Keep one end; use its other values for further results.")
_ESCAPE = (
    "This node reads from inside a loop and from behind its end at the same time.",
    "Hand the inner value out through the loop's end, or move this node into the loop.",
)
_OVERLAP = (
    "Two loops overlap: this one begins inside another and ends behind it.",
    "End the inner loop first, and hand its results to the end of the outer one.",
)
