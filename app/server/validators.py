"""Classes with a validator of their own are asked in a worker before their graph is queued."""

from __future__ import annotations

from collections.abc import Mapping

from app.errors import Unavailable
from app.graph.order import ancestors
from app.graph.prompt import prompt_to_json
from app.graph.spec import NodeSpec
from app.graph.validate import Validated, with_complaints
from app.graph.values import Complaint
from app.server.dispatch import Dispatcher

_SECONDS = 10.0


async def ask_validators(valid: Validated, specs: Mapping[str, NodeSpec], dispatcher: Dispatcher) -> Validated:
    """The prompt with what such classes complain of. Without a worker to ask, the run will tell.

    Raises:
        InvalidPrompt: no output node is left.
    """
    nodes = valid.prompt.nodes
    if not any(specs[node.class_type].has_validator for node in nodes.values()):
        return valid
    needed = ancestors(valid.prompt, valid.outputs).order
    asked = [node_id for node_id in needed if specs[nodes[node_id].class_type].has_validator]
    if not asked:
        return valid
    try:
        question = {"prompt": prompt_to_json(valid.prompt), "nodes": asked}
        answer = await dispatcher.ask("complaints", question, _SECONDS)
    except Unavailable:
        return valid
    said = {node_id: [Complaint(**each) for each in found] for node_id, found in answer["complaints"].items()}
    return with_complaints(valid, said, specs)
