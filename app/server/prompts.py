"""Submitting graphs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from app.errors import InvalidPrompt, InvalidRequest
from app.graph.json_values import is_dict
from app.graph.prompt import parse_prompt, prompt_to_json
from app.graph.replacements import with_replacements
from app.graph.spec import NodeSpec
from app.graph.validate import Validated, validate
from app.server import shapes
from app.server.operation import operation
from app.server.pack_proxy import seen_by_packs
from app.server.queue_news import exec_info
from app.server.replies import flag, read_object, reply, shorten, text_list
from app.server.services import Services, services_of
from app.server.validators import ask_validators
from app.store import jobs, queue_order
from app.store.job_records import Submission
from app.store.queue_order import MOST_URGENCY

SECRETS = ("auth_token_comfy_org", "api_key_comfy_org")
_LONGEST_ID = 200
_LONG = 1 << 16
_FEW_NODES = 64

A = TypeVar("A")
T = TypeVar("T")


def routes() -> list[web.RouteDef]:
    """POST and GET /prompt."""
    return [web.post("/prompt", post_prompt), web.get("/prompt", get_prompt)]


@operation(shapes.QueueInfo)
async def get_prompt(request: web.Request) -> web.Response:
    """How many jobs wait or run."""
    return reply({"exec_info": exec_info(await services_of(request).database.read(queue_order.state))})


@operation(
    shapes.Queued, body=shapes.PromptRequest, headers={"Idempotency-Key": "The same key and graph give the same job."}
)
async def post_prompt(request: web.Request) -> web.Response:
    """Queue a graph. Answered once the job is durable; repeated with the same key, the answer is repeated."""
    return reply(await queue_prompt(request, await read_object(request)))


async def queue_prompt(request: web.Request, body: dict[str, Any]) -> Mapping[str, Any]:
    """Queue the graph in `body`, under the request's Idempotency-Key if it has one; the answer that tells of it."""
    services = services_of(request)
    keys = _keys(request.headers.get("Idempotency-Key"), body)
    digest = ""
    if keys:
        digest = await _aside(_digest, body, brief=(request.content_length or _LONG) < _LONG)
        earlier = await services.database.read(lambda connection: jobs.earlier_answer(connection, keys, digest))
        if earlier is not None:
            return earlier
    body = await seen_by_packs(request, body)
    specs = await services.catalogue.ready(services.settings.serve.node_wait_seconds)
    targets = text_list(body, "partial_execution_targets")
    valid = await _aside(partial(_validated, services, body, specs), targets, brief=_is_brief(body, specs))
    valid = await ask_validators(valid, specs, services.dispatcher)
    submission = _submission(body, valid)
    accepted = await services.dispatcher.submit(submission, keys=keys, digest=digest, node_errors=valid.node_errors)
    return accepted.answer


def urgency(value: object) -> int:
    """How urgent a job is, as a request says it.

    Raises:
        InvalidRequest: no whole number, or one out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MOST_URGENCY:
        raise InvalidRequest(
            f"urgency must be a whole number from {-MOST_URGENCY} to {MOST_URGENCY}, not {shorten(value)}.",
            remedy="Use 0, or leave it out.",
        )
    return value


async def _aside(work: Callable[[A], T], argument: A, *, brief: bool) -> T:
    """Work in a thread, so that other requests go on; what is brief costs less than the way to a thread and back."""
    return work(argument) if brief else await asyncio.to_thread(work, argument)


def _is_brief(body: Mapping[str, Any], specs: Mapping[str, NodeSpec]) -> bool:
    """Whether a graph is validated in no time: a few nodes, and no directories to look into."""
    nodes = body.get("prompt")
    if not is_dict(nodes) or len(nodes) > _FEW_NODES:
        return False
    kinds = {kind for node in nodes.values() if is_dict(node) and isinstance(kind := node.get("class_type"), str)}
    return not any(port.folder for kind in kinds if kind in specs for port in specs[kind].inputs)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _keys(idempotency_key: str | None, body: Mapping[str, Any]) -> tuple[str, ...]:
    """The names under which the same request is known again."""
    keys: list[str] = []
    if body.get("prompt_id") is not None:
        keys.append(f"id {_prompt_id(body)}")
    if idempotency_key:
        keys.append(f"key {_plain_text(idempotency_key, 'Idempotency-Key')}")
    return tuple(keys)


def _validated(
    services: Services, body: Mapping[str, Any], specs: Mapping[str, Any], targets: list[str] | None
) -> Validated:
    if "prompt" not in body:
        message = "No prompt provided"
        raise InvalidPrompt(message, kind="no_prompt", details=message, remedy='Send {"prompt": {…}}.')
    prompt = with_replacements(parse_prompt(body["prompt"]), services.catalogue.replacements, specs)
    return validate(prompt, specs, services.catalogue.files, targets)


def _submission(body: Mapping[str, Any], valid: Validated) -> Submission:
    extra_data = body.get("extra_data")
    if extra_data is not None and not is_dict(extra_data):
        raise InvalidRequest(f"extra_data must be an object, not {shorten(extra_data)}.")
    client_id = body.get("client_id")
    if client_id is not None:
        client_id = _plain_text(client_id, "client_id")
    known = {name: value for name, value in (extra_data or {}).items() if name not in SECRETS}
    named = {} if client_id is None else {"client_id": client_id}
    return Submission(
        id=_prompt_id(body),
        prompt=prompt_to_json(valid.prompt),
        outputs=valid.outputs,
        extra_data={**known, **named, "create_time": int(time.time() * 1000)},
        client_id=client_id,
        number=_number(body.get("number")),
        front=flag(body, "front"),
        urgency=urgency(body.get("urgency", 0)),
    )


def _prompt_id(body: Mapping[str, Any]) -> str:
    """The id that the client chose, or a new one."""
    chosen = body.get("prompt_id")
    if chosen is None:
        return str(uuid.uuid4())
    if isinstance(chosen, bool) or not isinstance(chosen, str | int):
        raise InvalidPrompt(
            f"prompt_id must be text, not {shorten(chosen)}.", kind="invalid_prompt_id", remedy="Send a UUID, or none."
        )
    return _plain_text(str(chosen), "prompt_id", kind="invalid_prompt_id")


def _plain_text(value: object, name: str, *, kind: str = "invalid_request") -> str:
    good = isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable()
    if not good:
        raise InvalidPrompt(
            f"{name} must be 1 to {_LONGEST_ID} printable characters, not {shorten(value)}.",
            kind=kind,
            remedy=f"Send a shorter {name}, or none.",
        )
    return str(value)


def _number(value: object) -> float | None:
    if value is None:
        return None
    # The comparison also sorts out NaN and the infinities.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e15:
        raise InvalidRequest(f"number must be a finite number, not {shorten(value)}.", remedy="Leave it out.")
    return value
