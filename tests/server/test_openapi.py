"""The description of the API is true: every route is in it, and what the live server answers is what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, NotRequired, TypedDict

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.server.app import build_app
from app.server.openapi import document_of
from app.server.operation import operation_of, schema_of
from tests.server.support import Site, show
from tests.server.test_fuzz import Host

# The library says in a warning what the client is told with a 400.
pytestmark = [
    pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionHeader"),
    pytest.mark.filterwarnings("ignore::aiohttp.BadContentDispositionParam"),
]
# Not for programs: the editor's files, the page that asks for the token, the workers' socket, what is switched off.
OFF = {"/api/assets", "/api/assets/{rest}", "/api/tags", "/api/tags/{rest}"}
UNDESCRIBED = {"/", "/{path}", "/login", "/login.js", "/link", *OFF}
# A stream that does not end, and what would be the same for each of many examples.
NOT_FUZZED = {"/openapi.json", "/internal/logs/subscribe"}
FEW = settings(
    max_examples=14,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A server that knows nodes, has a saved workflow, a finished name for each kind of thing, and no worker."""
    base = tmp_path_factory.mktemp("openapi")
    saved = base / "user" / "default" / "workflows"
    saved.mkdir(parents=True)
    graph = {"1": {**show("x"), "_meta": {"title": "input:words"}}}
    (saved / "greet.json").write_text(json.dumps(graph))
    made = Host(base)
    yield made
    made.close()


@pytest.fixture(scope="module")
def document(host: Host) -> dict[str, Any]:
    return host.do(host.site.get("/openapi.json"))


@pytest.fixture(scope="module")
def schema(host: Host, document: dict[str, Any]) -> Any:
    """For requests: as described, but nobody waits, since nothing runs here."""
    text = json.dumps(document).replace('"maximum": 600.0', '"maximum": 0.01')
    return schemathesis.openapi.from_dict(json.loads(text))


def test_every_route_is_described(host: Host) -> None:
    app = build_app(host.site.running.services)
    bare = {
        route.resource.canonical
        for route in app.router.routes()
        if route.resource is not None and operation_of(route.handler) is None
    }
    assert bare == UNDESCRIBED
    assert set(document_of(app)["paths"]) >= {"/api/prompt", "/api/jobs/{job_id}", "/internal/logs"}


def test_each_operation_has_a_name_of_its_own_and_words(document: dict[str, Any]) -> None:
    operations = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    assert all(each["summary"].endswith((".", ":")) for each in operations)
    assert document["openapi"] == "3.1.0"


def test_all_schemas_are_schemas(document: dict[str, Any]) -> None:
    for each in document["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid(each)


def objects(schema: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema of an object, and where it stands."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield where, schema
        for name, inner in schema.items():
            if name not in ("default", "const", "enum"):
                yield from objects(inner, f"{where}.{name}")
    elif isinstance(schema, list):
        for inner in schema:
            yield from objects(inner, where)


def test_objects_say_what_they_hold(document: dict[str, Any]) -> None:
    """What is free by nature: values of inputs and settings, texts of packs, options, what a client says."""
    free = {
        "components.schemas.GraphNode.properties.inputs",
        "components.schemas.ExtraData.properties.metadata",
        "components.schemas.Announcement.properties.data",
        "paths./api/settings.get.responses.200.content.application/json.schema",
        "paths./api/settings.post.requestBody.content.application/json.schema",
        "paths./api/i18n.get.responses.200.content.application/json.schema",
        "paths./api/workflows/{name}/run.post.requestBody.content.application/json.schema",
        "paths./openapi.json.get.responses.200.content.application/json.schema",
    }
    bare = {
        where
        for where, schema in objects(document, "")
        if not schema.get("properties") and schema.get("additionalProperties") in ({}, None)
    }
    assert {where.removeprefix(".") for where in bare} == free


def test_messages_are_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    kinds = {each["properties"]["type"]["const"]: each for each in schemas["Message"]["oneOf"]}
    assert kinds["executed"]["properties"]["data"] == {"$ref": "#/components/schemas/Executed"}
    assert {"status", "progress_state", "execution_error", "job_requeued", "logs"} <= set(kinds)
    assert all("seq" in each["required"] for each in schemas["Event"]["oneOf"])
    socket = document["paths"]["/api/ws"]["get"]
    assert socket["x-websocket"]["sends"]["$ref"].endswith("/Message")
    assert set(socket["responses"]) == {"101", "4XX", "503"}
    for path in ("/api/events", "/api/jobs/{job_id}/events"):
        assert "text/event-stream" in document["paths"][path]["get"]["responses"]["200"]["content"]


def test_a_saved_workflow_is_a_path_of_its_own(document: dict[str, Any]) -> None:
    body = document["paths"]["/api/workflows/greet/run"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["properties"]["words"]["type"] == "string"


class Inner(TypedDict):
    """Held by itself."""

    again: NotRequired[list[Inner]]


def test_schemas_of_types() -> None:
    known: dict[str, Any] = {}
    assert schema_of(dict[str, int | None], known) == {
        "type": "object",
        "additionalProperties": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    }
    assert schema_of(Literal["a", "b"], known) == {"enum": ["a", "b"]}
    with pytest.raises(TypeError, match="no JSON schema"):
        schema_of(set[int], known)
    assert schema_of(Inner, known) == {"$ref": "#/components/schemas/Inner"}
    assert known["Inner"]["properties"]["again"]["items"] == {"$ref": "#/components/schemas/Inner"}
    assert "required" not in known["Inner"]


async def test_the_page_of_the_api_is_ours_alone(quiet_site: Site) -> None:
    async with quiet_site.session.get(f"{quiet_site.running.url}/api.html") as answer:
        text = await answer.text()
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "//" not in text.replace("<!doctype html>", "").replace("</", "")


def test_answers_are_as_described(host: Host, schema: Any) -> None:
    """Schemathesis makes requests of every operation from its description and holds the answers to it."""
    asked: set[str] = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path not in NOT_FUZZED:
            _fuzz(operation, host.site.running.url)
            asked.add(operation.path)
    assert len(asked) > 50


def _fuzz(operation: Any, url: str) -> None:
    @FEW
    @given(operation.as_strategy())
    def ask(case: Any) -> None:
        answer = case.call(base_url=url)
        case.validate_response(answer, checks=CHECKS)

    ask()
