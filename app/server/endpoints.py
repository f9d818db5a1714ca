"""Saved workflows as functions: each has inputs and outputs by name, a schema of them, and a path that runs it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from app.errors import AppError, InvalidRequest, Missing, UnusableFile
from app.graph.json_values import is_dict, is_list
from app.graph.marked_inputs import MarkedInput, inputs_schema, marked_inputs, with_inputs
from app.graph.marked_outputs import MarkedOutput, marked_outputs
from app.graph.prompt import Prompt, parse_prompt, prompt_to_json
from app.graph.replacements import with_replacements
from app.graph.workflow import is_workflow, workflow_to_prompt
from app.server import shapes
from app.server.jobs import STATUS
from app.server.operation import operation
from app.server.prompts import queue_prompt
from app.server.replies import parse_json, read_object, reply
from app.server.services import Services, services_of
from app.server.shown_files import shown_files
from app.server.users import USER_HEADER, user_files
from app.store import job_queries
from app.store.job_records import JobRecord
from app.store.userdata import UserFiles

_FOLDER = "workflows"
_MOST_SECONDS = 600.0
_QUIET_SECONDS = 5.0
_QUERY: Mapping[str, Any] = {
    "wait": {"type": "number", "minimum": 0, "maximum": _MOST_SECONDS, "description": "Seconds to wait for the end."},
    "client_id": str,
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A saved workflow, ready to run: its graph and what it offers."""

    name: str
    prompt: Prompt
    inputs: tuple[MarkedInput, ...]
    outputs: tuple[MarkedOutput, ...]

    def told(self) -> dict[str, Any]:
        """As the API tells it."""
        outputs = {
            each.name: {"node_id": each.node_id, "class_type": each.class_type, "description": each.description}
            for each in self.outputs
        }
        return {"name": self.name, "inputs": inputs_schema(self.inputs), "outputs": outputs, "error": None}


def routes() -> list[web.RouteDef]:
    """/workflows and what is below it."""
    return [
        web.get("/workflows", list_workflows),
        web.get("/workflows/{name}", get_workflow),
        web.post("/workflows/{name}/run", run_workflow),
    ]


@operation(shapes.Workflows, headers=USER_HEADER)
async def list_workflows(request: web.Request) -> web.Response:
    """The saved workflows with the schema of their inputs; for one that cannot run, why."""
    return reply({"workflows": await _all(request)})


@operation(shapes.Workflow, headers=USER_HEADER)
async def get_workflow(request: web.Request) -> web.Response:
    """One saved workflow and the JSON schema of its inputs. A "/" in the name is sent as %2F."""
    return reply((await _endpoint(request, request.match_info["name"])).told())


@operation(
    shapes.Ran,
    body=dict[str, Any],
    body_required=False,
    query=_QUERY,
    headers={"Idempotency-Key": "The same key and inputs give the same job.", **USER_HEADER},
)
async def run_workflow(request: web.Request) -> web.Response:
    """Run a saved workflow with these inputs. With `wait` the answer comes when it is done, or after so many seconds.

    Inputs that are left out keep the value that was saved. `status` says how far the job is, `results` what the outputs
    with names gave, `files` all that was made; GET /jobs/{id} tells the rest.
    """
    services = services_of(request)
    seconds = _seconds(request.query.get("wait"))
    endpoint = await _endpoint(request, request.match_info["name"])
    values = await read_object(request, may_be_empty=True)
    prompt = with_inputs(endpoint.prompt, endpoint.inputs, values)
    body: dict[str, Any] = {"prompt": prompt_to_json(prompt), "extra_data": {"workflow_name": endpoint.name}}
    if "client_id" in request.query:
        body["client_id"] = request.query["client_id"]
    answer = await queue_prompt(request, body)
    job = await _ended(services, answer["prompt_id"], seconds)
    return reply({**_told(job, endpoint.outputs), "node_errors": answer["node_errors"]})


async def described(request: web.Request) -> dict[str, Any]:
    """The paths that run saved workflows, as OpenAPI tells them."""
    if not services_of(request).catalogue.specs:
        return {}
    paths: dict[str, Any] = {}
    for each in await _all(request):
        if each["error"] is None:
            path = f"/api/workflows/{quote(each['name'], safe='')}/run"
            paths[path] = {"post": _operation(each["name"], each["inputs"], each["outputs"])}
    return paths


def _operation(name: str, schema: Mapping[str, Any], outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    answer = _answer_schema(outputs)
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
    return {
        "operationId": f"run {name}",
        "tags": ["saved workflows"],
        "summary": f"Run {name}.",
        "parameters": [{"name": "wait", "in": "query", "schema": _QUERY["wait"]}],
        "requestBody": {"content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "Queued, or with `wait` done.",
                "content": {"application/json": {"schema": answer}},
            },
            "4XX": {"description": "Refused, and why.", "content": refusal},
            "503": {"description": "Not now.", "content": refusal},
        },
    }


def _answer_schema(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`Ran`, with the names of the workflow's outputs."""
    ran, result = ({"$ref": f"#/components/schemas/{name}"} for name in ("Ran", "RunResult"))
    if not outputs:
        return ran
    named = {
        name: {"allOf": [result], "description": f"{told['description']} (node {told['node_id']})".strip()}
        for name, told in outputs.items()
    }
    results = {"type": "object", "properties": named, "required": list(outputs)}
    return {"allOf": [ran, {"type": "object", "properties": {"results": results}}]}


async def _all(request: web.Request) -> list[dict[str, Any]]:
    try:
        found = await asyncio.to_thread(user_files(request).files, _FOLDER, recurse=True)
    except Missing:
        return []
    told: list[dict[str, Any]] = []
    for name in [info.path.removesuffix(".json") for info in found if info.path.endswith(".json")]:
        try:
            told.append((await _endpoint(request, name)).told())
        except AppError as broken:
            told.append({"name": name, "inputs": {}, "outputs": {}, "error": str(broken)})
    return [each for each in told if not each["name"].startswith(".")]


async def _endpoint(request: web.Request, name: str) -> Endpoint:
    services, mine = services_of(request), user_files(request)
    specs = await services.catalogue.ready(services.settings.serve.node_wait_seconds)

    def read() -> Endpoint:
        data = _document(mine, name)
        files, replacements = services.catalogue.files, services.catalogue.replacements
        if is_workflow(data):
            prompt = workflow_to_prompt(data, specs, files, replacements=replacements)
        else:
            prompt = with_replacements(parse_prompt(data), replacements, specs)
        return Endpoint(name, prompt, marked_inputs(prompt, specs, files), marked_outputs(prompt, specs))

    return await asyncio.to_thread(read)


def _document(mine: UserFiles, name: str) -> Any:
    try:
        path = mine.existing(f"{_FOLDER}/{name}.json")
    except Missing as missing:
        raise Missing(f"There is no workflow {name[:80]!r}.", remedy="GET /api/workflows lists them.") from missing
    try:
        return parse_json(path.read_bytes())
    except InvalidRequest as broken:
        raise UnusableFile(f"The workflow {name[:80]!r} is damaged.", remedy="Save it again.") from broken


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text or 0)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MOST_SECONDS:
        raise InvalidRequest(
            f"wait cannot be {text!r:.40}.", remedy=f"Send a number of seconds up to {_MOST_SECONDS:.0f}."
        )
    return seconds


async def _ended(services: Services, job_id: str, seconds: float) -> JobRecord:
    """The job once it has ended, or as it is after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        next_save = services.log.next_save
        job = await services.database.read(lambda connection: job_queries.get(connection, job_id))
        if job is None:
            raise Missing(f"The job {job_id} has been deleted.", remedy="Run the workflow again.")
        left = until - time.monotonic()
        if job.finished is not None or left <= 0 or services.log.closed:
            return job
        try:
            await asyncio.wait_for(next_save.wait(), min(left, _QUIET_SECONDS))
        except TimeoutError:
            continue


def _told(job: JobRecord, outputs: Sequence[MarkedOutput]) -> dict[str, Any]:
    files = [
        {**file.entry, "node_id": file.node_id, "url": f"/api/view?{urlencode(_reference(file.entry))}"}
        for file in shown_files(job.results)
    ]
    return {
        "prompt_id": job.id,
        "status": STATUS[job.state],
        "error": job.error,
        "outputs": job.results,
        "results": {
            each.name: {
                "node_id": each.node_id,
                "files": [file for file in files if file["node_id"] == each.node_id],
                "text": _texts(job.results.get(each.node_id)),
                "shown": job.results.get(each.node_id) or {},
            }
            for each in outputs
        },
        "files": files,
    }


def _texts(shown: object) -> list[str]:
    """The texts that a node shows."""
    entries = shown.get("text") if is_dict(shown) else None
    return [entry for entry in entries if isinstance(entry, str)] if is_list(entries) else []


def _reference(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry.get(name, "") for name in ("filename", "subfolder", "type")}
