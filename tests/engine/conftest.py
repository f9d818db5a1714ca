"""A workshop of toy nodes on numbers and texts, and a bench that runs prompts made of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import pytest

from app.engine.cache import Cache
from app.engine.events import Event, NodeFinished, NodesCached
from app.engine.run import run
from app.engine.site import CallSite, RunExtras
from app.graph.declaration import FunctionNode, Hidden, Lazy, Options, Port, Receives, node
from app.graph.prompt import parse_prompt
from app.graph.returned import Blocker, Returned

Anything = Annotated[Any, Port("*")]


def toy_nodes() -> list[FunctionNode]:
    """The classes; fresh ones for each test, because hooks change them."""

    @node("Constant", category="toy", id="Constant")
    def constant(*, value: Anything = None) -> Anything:
        """Gives its value."""
        return value

    @node("Add", category="toy", id="Add")
    def add(*, a: Anything, b: Anything = 0) -> Anything:
        """Adds."""
        return a + b

    @node("Listed", category="toy", id="Listed")
    def listed(*, values: Anything) -> Annotated[Any, Port("*", is_list=True)]:
        """Gives a list of values."""
        return list(values)

    @node("Collect", category="toy", id="Collect", input_is_list=True)
    def collect(*, a: Anything, b: Anything = None) -> Anything:
        """Takes whole lists."""
        return (a, b)

    @node("Show", category="toy", id="Show", output_node=True)
    def show(*, value: Anything, other: Anything = None) -> Annotated[Returned, Port("*")]:
        """Shows its value and gives it on."""
        return Returned((value,), {"text": [str(value)]})

    @node("Fail", category="toy", id="Fail")
    def fail(*, value: Anything = None) -> Anything:
        """Fails."""
        raise ValueError("toy failure")

    @node("Block", category="toy", id="Block")
    def block(*, value: Anything = None, message: Anything = None) -> Anything:
        """Blocks what reads it."""
        return Blocker(message)

    @node("Pick", category="toy", id="Pick")
    def pick(
        *, which: Anything, a: Annotated[Anything, Lazy()] = None, b: Annotated[Anything, Lazy()] = None
    ) -> Anything:
        """Evaluates one of two."""
        return [which, a, b]

    @pick.needs
    def _(which: Any) -> list[str]:
        return list(which)

    @node("Me", category="toy", id="Me")
    def me(*, value: Anything = None, who: Annotated[Any, Hidden("UNIQUE_ID")]) -> Anything:
        """Says its id."""
        return who

    @node("Hidden", category="toy", id="Hidden")
    def hidden(
        *,
        graph: Annotated[Any, Hidden("PROMPT")],
        info: Annotated[Any, Hidden("EXTRA_PNGINFO")],
        dynamic: Annotated[Any, Hidden("DYNPROMPT")],
        token: Annotated[Any, Hidden("API_KEY_COMFY_ORG")],
        nothing: Annotated[Any, Hidden("UNHEARD_OF")],
    ) -> Anything:
        """Gives what it is told in secret."""
        return (graph, info, dynamic, token, nothing)

    @node("Later", category="toy", id="Later")
    async def later(*, value: Anything = None, turns: Anything = 1, log: Anything = None) -> Anything:
        """Takes some turns of the event loop."""
        for _ in range(turns):
            await asyncio.sleep(0.001)
        return value

    @node("Raw", category="toy", id="Raw")
    def raw(*, link: Annotated[Anything, Options(rawLink=True)]) -> Anything:
        """Gives the link itself."""
        return link

    @node("Site", category="toy", id="Site")
    def site(*, value: Anything = None, context: Annotated[Any, Receives()]) -> Anything:
        """Gives its context."""
        return context

    return [constant, add, listed, collect, show, fail, block, pick, me, hidden, later, raw, site]


class Bench:
    """Runs prompts against one cache and remembers what was called."""

    def __init__(self) -> None:
        self.nodes: dict[str, FunctionNode] = {each.spec.id: each for each in toy_nodes()}
        self.cache = Cache()
        self.called: list[str] = []
        self.events: list[Event] = []
        self.extra = RunExtras()

    def add(self, declared: FunctionNode) -> FunctionNode:
        """One more class."""
        self.nodes[declared.spec.id] = declared
        return declared

    def context(self, site: CallSite) -> CallSite:
        """The context of toy nodes is where they are called."""
        self.called.append(site.node_id)
        return site

    def run(self, nodes: Mapping[str, Any], outputs: Iterable[str] | None = None) -> list[Event]:
        """The events; `nodes` are (class, inputs) by id, outputs are by default all output nodes."""
        prompt = parse_prompt({i: {"class_type": kind, "inputs": inputs} for i, (kind, inputs) in nodes.items()})
        wanted = (
            outputs
            if outputs is not None
            else [i for i, (kind, _) in nodes.items() if self.nodes[kind].spec.output_node]
        )
        self.called = []
        self.events = list(run(prompt, list(wanted), self.nodes, self.cache, self.context, lambda: False, self.extra))
        return self.events

    def events_of(self, kind: type[Any]) -> list[Any]:
        """The events of a kind in the last run."""
        return [event for event in self.events if isinstance(event, kind)]

    def shown(self) -> dict[str, Any]:
        """What each node showed, by id."""
        return {event.node_id: event.ui["text"] for event in self.events_of(NodeFinished) if event.ui}

    def cached(self) -> tuple[str, ...]:
        """The nodes whose results were stored when the last run began."""
        return self.events_of(NodesCached)[0].nodes

    def reasons(self) -> dict[str, str]:
        """Why each node ran."""
        return {event.node_id: event.reason for event in self.events_of(NodeFinished) if not event.cached}


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def declare(bench: Bench) -> Callable[..., Callable[[Callable[..., Any]], FunctionNode]]:
    """`node` that also puts the class on the bench."""

    def declaring(class_type: str, **options: Any) -> Callable[[Callable[..., Any]], FunctionNode]:
        return lambda body: bench.add(node(class_type, category="toy", id=class_type, **options)(body))

    return declaring


@pytest.fixture(scope="session")
def toys() -> dict[str, FunctionNode]:
    """For property tests, which must not change them."""
    return {each.spec.id: each for each in toy_nodes()}
