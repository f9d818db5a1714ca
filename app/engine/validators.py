"""Asks those classes that bring a validator of their own; this needs their code, so it happens where it is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.engine.arguments import constants
from app.engine.failure import summary
from app.engine.node import Node
from app.graph.prompt import Link, Prompt, PromptNode
from app.graph.spec import NodeSpec
from app.graph.types import type_text
from app.graph.values import Complaint


def custom_complaints(prompt: Prompt, node_ids: Iterable[str], nodes: Mapping[str, Node]) -> dict[str, list[Complaint]]:
    """What the classes' own validators say of these nodes, by node id; nodes without complaint are left out."""
    found: dict[str, list[Complaint]] = {}
    for node_id in node_ids:
        node = prompt.nodes[node_id]
        if nodes[node.class_type].spec.has_validator:
            complaints = _ask(prompt, node, nodes)
            if complaints:
                found[node_id] = complaints
    return found


def _ask(prompt: Prompt, node: PromptNode, nodes: Mapping[str, Node]) -> list[Complaint]:
    asked = nodes[node.class_type]
    try:
        answer = asked.validate(constants(node, asked.spec), _received_types(prompt, node, nodes))
    except Exception as error:  # a pack's own code: its failure is told like any other complaint
        facts = {"exception_type": type(error).__name__, "exception_message": str(error)[:200]}
        remedy = "The node pack could not check its inputs; see whether it has an update."
        return [
            Complaint(
                "exception_during_validation",
                "Exception when validating node",
                str(error)[:200],
                {**facts, "traceback": [], "remedy": remedy},
            )
        ]
    if answer is None:
        return []
    names = _names(node, asked.spec)
    return [_complaint(name, answer, node.inputs.get(name)) for name in names]


def _names(node: PromptNode, spec: NodeSpec) -> list[str]:
    """The inputs that the validator was given: a complaint is shown at each of them.

    One that judges types alone complains of the first link. One that was given nothing has nothing to complain of.
    """
    taken = set(spec.validator_inputs)
    names = [p.name for p in spec.inputs if p.name in node.inputs and (p.name in taken or "*" in taken)]
    linked = [name for name, _ in node.links()][:1] if "input_types" in taken else []
    return names or linked


def _received_types(prompt: Prompt, node: PromptNode, nodes: Mapping[str, Node]) -> dict[str, str]:
    types: dict[str, str] = {}
    for name, link in node.links():
        source = prompt.nodes.get(link.node)
        outputs = nodes[source.class_type].spec.outputs if source else ()
        if link.slot < len(outputs):
            types[name] = type_text(outputs[link.slot].type)
    return types


def _complaint(name: str, answer: str, value: object) -> Complaint:
    details = f"{name} - {answer}" if answer else name
    told = None if isinstance(value, Link) else summary(value)
    facts = {"input_name": name, "received_value": told, "remedy": f"Choose another value for {name}."}
    return Complaint("custom_validation_failed", "Custom validation failed for node", details, facts)
