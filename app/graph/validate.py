"""Whether a prompt can run: every node that an output needs is checked once, against specs alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.errors import InvalidPrompt
from app.graph.dynamic_inputs import ports_of
from app.graph.loops import LoopPlan, plan_loops
from app.graph.order import Sorted, ancestors, parents_of
from app.graph.prompt import Link, NoLink, Prompt, PromptNode
from app.graph.spec import InputSpec, NodeSpec
from app.graph.types import ANYTHING, COMBO, feeds, type_text
from app.graph.values import Complaint, bounded, complaint, converted, literal, out_of_range, shown

SHOWN_NODES = 20


@dataclass(frozen=True, slots=True)
class Validated:
    """A prompt with converted values, the output nodes that may run, and what is wrong with the others' ancestors."""

    prompt: Prompt
    outputs: tuple[str, ...]
    node_errors: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


def validate(
    prompt: Prompt,
    specs: Mapping[str, NodeSpec],
    files: Mapping[str, Sequence[Any]],
    targets: Collection[str] | None = None,
) -> Validated:
    """The prompt, ready to run.

    `files` maps a folder's name to the file names in it; `targets` restricts the run to some of the output nodes.
    One good output is enough: what is wrong with the others is told beside it.

    Raises:
        InvalidPrompt: an unknown class anywhere, no output node, or no output node that can run.
    """
    _require_known_classes(prompt, specs)
    outputs = _outputs(prompt, specs, targets)
    needed = ancestors(prompt, outputs)
    plan = LoopPlan(roots=tuple(outputs))
    if any(specs[prompt.nodes[node_id].class_type].loop for node_id in needed.order):
        plan = plan_loops(prompt.nodes, lambda node_id: specs[prompt.nodes[node_id].class_type], outputs)
        needed = ancestors(prompt, [*outputs, *plan.ends])
    complaints: dict[str, list[Complaint]] = {node_id: list(found) for node_id, found in plan.complaints.items()}
    nodes = dict(prompt.nodes)
    check = _Check(prompt, specs, files)
    for node_id in needed.order:
        checked = check.node(prompt.nodes[node_id])
        nodes[node_id] = checked.node
        if checked.complaints:
            complaints.setdefault(node_id, []).extend(checked.complaints)
    for cycle in needed.cycles:
        complaints.setdefault(cycle[0], []).append(_cycle_complaint(prompt, cycle))
    return _judged(Prompt(nodes), needed, outputs, plan, complaints)


def with_complaints(
    valid: Validated, complaints: Mapping[str, list[Complaint]], specs: Mapping[str, NodeSpec]
) -> Validated:
    """The prompt after classes have been asked what they think of it themselves: outputs that need a refused node go.

    Raises:
        InvalidPrompt: no output node is left.
    """
    if not complaints:
        return valid
    nodes = valid.prompt.nodes
    plan = plan_loops(nodes, lambda node_id: specs[nodes[node_id].class_type], valid.outputs)
    needed = ancestors(valid.prompt, [*valid.outputs, *plan.ends])
    judged = _judged(valid.prompt, needed, valid.outputs, plan, complaints)
    return Validated(judged.prompt, judged.outputs, {**valid.node_errors, **judged.node_errors})


def expansion_complaints(prompt: Prompt, node_ids: Iterable[str], specs: Mapping[str, NodeSpec]) -> Iterator[Complaint]:
    """What is wrong with nodes that a running node has expanded to; values are converted where they stand.

    Options of combos are not looked at: what an expansion hands on need not be in a list that was made for people.
    """
    check = _Check(prompt, specs, {})
    for node_id in node_ids:
        node = prompt.nodes[node_id]
        spec = specs[node.class_type]
        for port in ports_of(spec, node.inputs):
            value = node.inputs.get(port.name)
            if port.name not in node.inputs:
                if port.section == "required" and "default" not in port.options:
                    yield _missing(port, node)
            elif isinstance(value, Link):
                yield from check.link(spec, port, value)
            elif isinstance(value, NoLink):
                if len(value.value) == 2 and value.value[0] in prompt.nodes:
                    yield from check.link(spec, port, value)
            elif isinstance(value, str | int | float):
                node.inputs[port.name], problem = converted(port, value)
                problem = problem or out_of_range(port, node.inputs[port.name])
                yield from () if problem is None else (problem,)


def _judged(
    prompt: Prompt,
    needed: Sorted,
    outputs: Sequence[str],
    plan: LoopPlan,
    complaints: Mapping[str, list[Complaint]],
) -> Validated:
    """The outputs that no complaint concerns, and the complaints in the words of the wire."""
    failing = _failing_outputs(prompt, needed, outputs, plan, complaints) if complaints else {}
    node_errors = {
        node_id: {
            "errors": [each.to_json() for each in complaints[node_id]],
            "dependent_outputs": list(failing[node_id]),
            "class_type": prompt.nodes[node_id].class_type,
        }
        for node_id in complaints
    }
    bad = {output for dependants in failing.values() for output in dependants}
    good = tuple(output for output in outputs if output not in bad)
    if not good:
        raise _all_failed(complaints, node_errors)
    return Validated(prompt, good, node_errors)


def _require_known_classes(prompt: Prompt, specs: Mapping[str, NodeSpec]) -> None:
    unknown = [node for node in prompt.nodes.values() if node.class_type not in specs]
    if not unknown:
        return
    first = unknown[0]
    named = sorted({shown(node.class_type) for node in unknown})[:SHOWN_NODES]
    raise InvalidPrompt(
        f"Cannot execute because node {shown(first.class_type)} does not exist.",
        details=f"Node ID '#{shown(first.id)}'",
        extra_info={
            "node_id": first.id,
            "class_type": first.class_type,
            "node_title": first.title or first.class_type,
            "missing": [{"node_id": node.id, "class_type": node.class_type} for node in unknown[:SHOWN_NODES]],
        },
        remedy=f"Install the node pack that brings {', '.join(named)}, or remove the node from the graph.",
    )


def _outputs(prompt: Prompt, specs: Mapping[str, NodeSpec], targets: Collection[str] | None) -> list[str]:
    outputs = [
        node.id
        for node in prompt.nodes.values()
        if specs[node.class_type].output_node and (targets is None or node.id in targets)
    ]
    if outputs:
        return outputs
    raise InvalidPrompt(
        "Prompt has no outputs",
        kind="prompt_no_outputs",
        remedy="Add a node that shows or saves something, such as Save Image."
        if targets is None
        else "None of partial_execution_targets is an output node of this prompt.",
    )


@dataclass(slots=True)
class _Checked:
    node: PromptNode
    complaints: list[Complaint]


class _Check:
    """The rules for one node's inputs."""

    def __init__(self, prompt: Prompt, specs: Mapping[str, NodeSpec], files: Mapping[str, Sequence[Any]]):
        self.prompt = prompt
        self.specs = specs
        self.files = files

    def node(self, node: PromptNode) -> _Checked:
        """The node with converted values, and its complaints."""
        spec = self.specs[node.class_type]
        inputs = node.inputs
        found: list[Complaint] = []
        ports = ports_of(spec, inputs)
        for port in ports:
            if port.name not in inputs:
                if port.section == "required":
                    found.append(_missing(port, node))
                continue
            value = inputs[port.name]
            if isinstance(value, Link | NoLink):
                found.extend(self.link(spec, port, value))
            else:
                taken, problem = literal(spec, port, value, self.files)
                if taken is not value:
                    inputs = {**inputs, port.name: taken}
                found.extend([problem] if problem else [])
        if spec.accepts_any_input:
            known = {port.name for port in ports}
            for name, link in node.links():
                if name not in known:
                    found.extend(self.link(spec, InputSpec(name, ANYTHING, "optional"), link))
        return _Checked(node if inputs is node.inputs else replace(node, inputs=inputs), found)

    def link(self, spec: NodeSpec, port: InputSpec, value: Link | NoLink) -> Iterator[Complaint]:
        """What is wrong with a link."""
        if isinstance(value, NoLink):
            yield _bad_link(
                port,
                value.value,
                f"{port.name}, {shown(value.value)}",
                'Link with ["node id", slot number]; send a list as {"__value__": […]}.',
            )
            return
        source = self.prompt.nodes.get(value.node)
        if source is None:
            details = f"{port.name}, there is no node '{shown(value.node)}'"
            yield _bad_link(port, list(value), details, "Link to a node of this prompt, or add the missing node.")
            return
        outputs = self.specs[source.class_type].outputs
        if value.slot >= len(outputs):
            details = f"{port.name}, {shown(source.class_type)} has {len(outputs)} outputs and no slot {value.slot}"
            yield _bad_link(port, list(value), details, "Slots count from 0; link to one that the node has.")
            return
        received = outputs[value.slot].type
        if "input_types" in spec.validator_inputs or feeds(received, port.type if not port.folder else COMBO):
            return
        given, wanted = type_text(received), type_text(port.type)
        yield complaint(
            "return_type_mismatch",
            "Return type mismatch between linked nodes",
            f"{port.name}, received_type({given}) mismatch input_type({wanted})",
            port=port,
            remedy=f"Link {port.name} to an output of type {wanted}, or convert {given} with a node in between.",
            received_type=given,
            linked_node=list(value),
        )


def _missing(port: InputSpec, node: PromptNode) -> Complaint:
    kind = type_text(port.type)
    remedy = f"Link {port.name} to an output of type {kind}, or set a value. A muted node feeds nothing: bypass it."
    facts = {"input_name": port.name, "remedy": remedy, "node_title": node.title or node.class_type}
    return Complaint("required_input_missing", "Required input is missing", port.name, facts)


def _bad_link(port: InputSpec, value: list[Any], details: str, remedy: str) -> Complaint:
    return complaint(
        "bad_linked_input",
        "Bad linked input, must be a length-2 list of [node_id, slot_index]",
        details,
        port=port,
        remedy=remedy,
        received_value=[bounded(item) for item in value[:SHOWN_NODES]],
    )


def _cycle_complaint(prompt: Prompt, cycle: tuple[str, ...]) -> Complaint:
    told = list(cycle if len(cycle) <= SHOWN_NODES else (*cycle[:SHOWN_NODES], "…"))
    name = next((name for name, link in prompt.nodes[cycle[0]].links() if link.node == cycle[1]), "")
    return Complaint(
        "dependency_cycle",
        "Dependency cycle detected",
        f"{name}: " + " ← ".join(told),
        {"input_name": name, "cycle_nodes": told, "remedy": "Remove one of the links of the circle."},
    )


def _failing_outputs(
    prompt: Prompt, needed: Sorted, outputs: Sequence[str], plan: LoopPlan, complaints: Collection[str]
) -> dict[str, list[str]]:
    """For each node with complaints the outputs that need it.

    The set of outputs above a node is one integer with a bit each, so a graph costs its links, not links times outputs.
    """
    bits = {output: 1 << index for index, output in enumerate(outputs)}
    reach = dict.fromkeys(needed.order, 0) | bits
    for output in outputs:  # an output in a loop needs the loop's end as well
        end = plan.inside.get(output)
        while end is not None:
            reach[end] |= bits[output]
            end = plan.inside.get(end)
    for node_id in reversed(needed.order):
        for parent in parents_of(prompt, node_id):
            reach[parent] |= reach[node_id]
    # What is wrong with a loop that nobody reads from concerns all who are in it.
    every = (1 << len(outputs)) - 1
    return {
        node_id: [output for output in outputs if (reach.get(node_id) or every) & bits[output]]
        for node_id in complaints
    }


def _all_failed(complaints: Mapping[str, list[Complaint]], node_errors: dict[str, dict[str, Any]]) -> InvalidPrompt:
    every = [each for found in complaints.values() for each in found]
    lines = [f"{each.message}: {each.details}" for each in every[:SHOWN_NODES]]
    return InvalidPrompt(
        "Prompt outputs failed validation",
        kind="prompt_outputs_failed_validation",
        details="\n".join(lines),
        node_errors=node_errors,
        remedy=str(every[0].extra_info.get("remedy", "")),
    )
