"""What a graph would take, before it is run."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from app.errors import InvalidPrompt
from app.graph.prompt import parse_prompt, prompt_to_json
from app.graph.replacements import with_replacements
from app.graph.validate import Validated, validate
from app.server import shapes
from app.server.operation import operation
from app.server.replies import read_object, reply, text_list
from app.server.services import services_of
from app.server.validators import ask_validators
from app.store import records
from app.store.records import Cost

_SECONDS = 30.0
_BASES = ("same", "alike", "class")


def routes() -> list[web.RouteDef]:
    """POST /estimate. Clients know it below /api; it is served without as well."""
    return [web.post("/estimate", post_estimate)]


@operation(shapes.Estimate, body=shapes.PromptRequest)
async def post_estimate(request: web.Request) -> web.Response:
    """Which nodes of a prompt would run, which are stored, and what that takes. The body is that of POST /prompt."""
    services = services_of(request)
    body = await read_object(request)
    specs = await services.catalogue.ready(services.settings.serve.node_wait_seconds)
    targets = text_list(body, "partial_execution_targets")

    def checked() -> Validated:
        if "prompt" not in body:
            raise InvalidPrompt("No prompt provided", kind="no_prompt", remedy='Send {"prompt": {…}}.')
        prompt = with_replacements(parse_prompt(body["prompt"]), services.catalogue.replacements, specs)
        return validate(prompt, specs, services.catalogue.files, targets)

    valid = await ask_validators(await asyncio.to_thread(checked), specs, services.dispatcher)
    question = {"prompt": prompt_to_json(valid.prompt), "outputs": list(valid.outputs)}
    answer = await services.dispatcher.ask("forecast", question, _SECONDS)
    expected: list[dict[str, Any]] = answer["nodes"]
    costs = await services.database.read(lambda connection: _costs(connection, expected))
    return reply({**summary(expected, costs), "node_errors": valid.node_errors})


def summary(expected: Iterable[Mapping[str, Any]], costs: Mapping[str, tuple[str, Cost]]) -> dict[str, Any]:
    """The answer: each node, and the whole.

    `seconds` adds up what surely runs and is known, `at_most_seconds` what may run besides; `peak_bytes` is the
    highest of one node beyond what was in use before it. `basis` says what the figures were learnt from: runs of the
    same node with the same ancestors, of the same class with alike sizes, or of the class.
    """
    nodes: dict[str, dict[str, Any]] = {}
    told: dict[str, list[str]] = {"run": [], "maybe": [], "cached": [], "not needed": []}
    sure = possible = 0.0
    peak = 0
    unknown: list[str] = []
    for node in expected:
        node_id, verdict = node["node_id"], node["verdict"]
        told[verdict].append(node_id)
        entry: dict[str, Any] = {"class_type": node["class_type"], "verdict": verdict}
        if verdict in ("run", "maybe"):
            basis, cost = costs.get(node_id, (None, None))
            rounds = node["rounds"]
            seconds = None if cost is None else cost.seconds * (1 if rounds is None else rounds)
            entry |= {"reason": node["reason"], "rounds": rounds, "basis": basis, "seconds": seconds}
            entry |= {"samples": cost.samples if cost else 0, "peak_bytes": cost.peak_bytes if cost else None}
            entry |= {"result_bytes": cost.result_bytes if cost else None}
            if cost is None or rounds is None:
                unknown.append(node_id)
            sure += (seconds or 0.0) if verdict == "run" else 0.0
            possible += seconds or 0.0
            peak = max(peak, cost.peak_bytes if cost else 0)
        nodes[node_id] = entry
    return {
        "nodes": nodes,
        **{word.replace(" ", "_"): ids for word, ids in told.items()},
        "seconds": sure,
        "at_most_seconds": possible,
        "peak_bytes": peak,
        "unknown": unknown,
    }


def _costs(connection: sqlite3.Connection, expected: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, Cost]]:
    """The best known cost of each node that may run, and what it was learnt from."""
    found: dict[str, tuple[str, Cost]] = {}
    for node in expected:
        if not node["signature"]:
            continue
        for basis, key in zip(_BASES, (*node["signature"], f"class {node['class_type']}"), strict=True):
            cost = records.cost(connection, key)
            if cost is not None:
                found[node["node_id"]] = basis, cost
                break
    return found
