"""The rules of execution as authors of packs know them: classes with INPUT_TYPES, from JSON data to events."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from app.engine.cache import Cache
from app.engine.events import Event, NodeBlocked, NodeFinished, NodesCached, RunFailed, RunSucceeded
from app.engine.node import Blocker, Node
from app.engine.run import run
from app.engine.site import RunExtras
from app.engine.validators import custom_complaints
from app.errors import InvalidPrompt
from app.extend.classes import adapted
from app.graph.prompt import parse_prompt
from app.graph.validate import validate, with_complaints

Graph = dict[str, dict[str, Any]]


def pack_class(
    run: Callable[..., Any],
    required: dict[str, Any] | None = None,
    returns: tuple[Any, ...] = ("*",),
    *,
    optional: dict[str, Any] | None = None,
    hidden: dict[str, Any] | None = None,
    **more: Any,
) -> type[Any]:
    """A class as packs write it; `more` are further attributes."""
    sections = {"required": required or {}, "optional": {} if optional is None else optional, "hidden": hidden or {}}

    class Pack:
        INPUT_TYPES = classmethod(lambda cls: sections)
        RETURN_TYPES = returns
        FUNCTION = "go"
        go = run

    for name, value in more.items():
        setattr(Pack, name, value)
    return Pack


class Desk:
    """Validates and runs graphs of pack classes with one cache; `calls` are the arguments of each call by class."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.cache = Cache()
        self.extra = RunExtras()
        self.calls: dict[str, list[dict[str, Any]]] = {}
        self.add("Text", lambda self, value: (value,), {"value": ("STRING", {})}, ("STRING",))
        self.add("Number", lambda self, value: (value,), {"value": ("INT", {})}, ("INT",))
        self.add(
            "Many", lambda self, text: (text.split(),), {"text": ("STRING", {})}, ("STRING",), OUTPUT_IS_LIST=[True]
        )
        self.add("Show", lambda self, value: {"ui": {"text": [str(value)]}}, {"value": ("*",)}, (), OUTPUT_NODE=True)

    def add(self, name: str, body: Callable[..., Any], *args: Any, **more: Any) -> None:
        """One more class, whose calls are noted."""

        def noted(instance: Any, **inputs: Any) -> Any:
            self.calls.setdefault(name, []).append(inputs)
            return body(instance, **inputs)

        self.nodes[name] = adapted(name, pack_class(noted, *args, **more), "", "custom_nodes.acme")

    def checked(self, graph: Graph, targets: list[str] | None = None) -> Any:
        """The graph as it is accepted. Raises InvalidPrompt."""
        specs = {name: node.spec for name, node in self.nodes.items()}
        valid = validate(parse_prompt(graph), specs, {}, targets)
        return with_complaints(valid, custom_complaints(valid.prompt, valid.prompt.nodes, self.nodes), specs)

    def run(self, graph: Graph) -> list[Event]:
        """The events of a graph."""
        valid = self.checked(graph)
        self.calls.clear()

        def context(site: Any) -> Any:
            return SimpleNamespace(node_id=site.node_id)

        return list(run(valid.prompt, valid.outputs, self.nodes, self.cache, context, lambda: False, self.extra))

    def shown(self, graph: Graph) -> list[Any]:
        """What is shown, in order; the run must succeed."""
        events = self.run(graph)
        assert isinstance(events[-1], RunSucceeded), events[-1]
        return [text for event in events if isinstance(event, NodeFinished) and event.ui for text in event.ui["text"]]

    def errors(self, graph: Graph) -> dict[str, list[tuple[str, str]]]:
        """(type, details) of all that is wrong, by node."""
        with pytest.raises(InvalidPrompt) as refused:
            self.checked(graph)
        found: Any = refused.value.node_errors
        return {i: [(each["type"], each["details"]) for each in said["errors"]] for i, said in found.items()}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def made(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def showing(**nodes: dict[str, Any]) -> Graph:
    """The nodes, and one that shows the one called x."""
    return {**nodes, "show": made("Show", value=["x", 0])}


# 1 and 2: the prompt, and what is accepted


def test_undeclared_inputs_are_neither_checked_nor_passed(desk: Desk) -> None:
    assert desk.shown(showing(x=made("Number", value=3, other={"any": [1]}))) == ["3"]
    assert desk.calls["Number"] == [{"value": 3}]


def test_a_node_without_inputs_lacks_those_that_are_required(desk: Desk) -> None:
    graph = {"x": {"class_type": "Number"}, "show": made("Show", value=["x", 0])}
    assert desk.errors(graph) == {"x": [("required_input_missing", "value")]}


def test_curves_and_lists_are_unwrapped(desk: Desk) -> None:
    desk.add("Curve", lambda self, curve: (curve,), {"curve": ("CURVE", {})})
    points = [[0, 0], [1, 1]]
    assert desk.shown(showing(x=made("Curve", curve={"__type__": "CURVE", "__value__": points}))) == [str(points)]
    assert desk.shown(showing(x=made("Curve", curve={"__value__": ["x", 0]}))) == ["['x', 0]"]
    assert desk.shown(showing(x=made("Curve", curve={"a": 1}))) == ["{'a': 1}"]


def test_step_round_and_forced_sockets_are_for_the_editor(desk: Desk) -> None:
    odd = {"value": ("FLOAT", {"min": 0, "max": 9, "step": 2, "round": 1, "forceInput": True})}
    desk.add("Odd", lambda self, value: (value,), odd)
    assert desk.shown(showing(x=made("Odd", value="1.25"))) == ["1.25"]
    assert desk.shown(showing(x=made("Odd", value=9))) == ["9.0"]
    assert desk.errors(showing(x=made("Odd", value=-1))) == {"x": [("value_smaller_than_min", "value")]}


def test_absent_optional_inputs_are_left_to_the_function(desk: Desk) -> None:
    desk.add("Maybe", lambda self, a=5: (a,), {}, optional={"a": ("INT", {"default": 9})})
    assert desk.shown(showing(x=made("Maybe"))) == ["5"]


@pytest.mark.parametrize(
    ("kind", "value", "given"),
    [("STRING", None, "None"), ("BOOLEAN", "false", True), ("INT", "7", 7), ("INT", 5.9, 5), ("FLOAT", "1e3", 1000.0)],
)
def test_values_arrive_converted(desk: Desk, kind: str, value: Any, given: Any) -> None:
    desk.add("Typed", lambda self, value: (value,), {"value": (kind, {})})
    desk.run(showing(x=made("Typed", value=value)))
    received = desk.calls["Typed"][0]["value"]
    assert (received, type(received)) == (given, type(given))


def test_a_list_type_is_only_equal_to_itself(desk: Desk) -> None:
    desk.add("Gives", lambda self: ("a",), {}, (["a", "b"],))
    desk.add("Takes", lambda self, mode: (mode,), {"mode": (["a", "b"],)})
    desk.add("TakesOther", lambda self, mode: (mode,), {"mode": (["a", "c"],)})
    assert desk.shown(showing(g=made("Gives"), x=made("Takes", mode=["g", 0]))) == ["a"]
    ((kind, _),) = desk.errors(showing(g=made("Gives"), x=made("TakesOther", mode=["g", 0])))["x"]
    assert kind == "return_type_mismatch"


def test_what_no_chosen_output_needs_is_not_checked(desk: Desk) -> None:
    graph = {**showing(x=made("Number", value=1)), "y": made("Number", value=""), "bad": made("Show", value=["y", 0])}
    assert desk.checked(graph, ["show", "y", "nobody"]).outputs == ("show",)
    with pytest.raises(InvalidPrompt) as refused:
        desk.checked(graph, ["y"])
    assert refused.value.kind == "prompt_no_outputs"
    assert desk.checked(graph).outputs == ("show",), "one good output is enough"


# 2.2: validators of classes


def validated(desk: Desk, hook: Callable[..., Any], **more: Any) -> None:
    inputs = {"a": ("INT", {"max": 5}), "b": ("INT", {"max": 5})}
    desk.add("Fussy", lambda self, **given: (0,), inputs, VALIDATE_INPUTS=classmethod(hook), **more)


def test_a_validator_answers_for_the_limits_of_what_it_names(desk: Desk) -> None:
    validated(desk, lambda cls, a: True)
    assert desk.errors(showing(x=made("Fussy", a=9, b=9))) == {"x": [("value_bigger_than_max", "b")]}
    validated(desk, lambda cls, **inputs: True)
    assert desk.checked(showing(x=made("Fussy", a=9, b="9"))).prompt.nodes["x"].inputs == {"a": 9, "b": 9}


def test_anything_but_true_is_told_at_each_input_that_it_names(desk: Desk) -> None:
    validated(desk, lambda cls, a, b: "no")
    told = [("custom_validation_failed", f"{name} - no") for name in "ab"]
    assert desk.errors(showing(x=made("Fussy", a=1, b=2))) == {"x": told}
    validated(desk, lambda cls, a: False)
    assert desk.errors(showing(x=made("Fussy", a=1, b=2))) == {"x": [("custom_validation_failed", "a")]}


def test_a_validator_that_names_nothing_is_asked_and_not_heeded(desk: Desk) -> None:
    asked: list[int] = []
    validated(desk, lambda cls: asked.append(1))
    assert desk.checked(showing(x=made("Fussy", a=1, b=2))).outputs == ("show",)
    assert asked == [1]


def test_a_validator_knows_constants_types_of_links_and_may_wait(desk: Desk) -> None:
    seen: list[Any] = []

    async def hook(cls: Any, a: Any, b: Any, input_types: Any) -> bool:
        await asyncio.sleep(0)
        seen.append((a, b, input_types))
        return True

    validated(desk, hook)
    desk.checked(showing(t=made("Text", value="x"), x=made("Fussy", a=["t", 0], b=2)))
    assert seen == [(None, 2, {"a": "STRING"})], "the type of a link is the validator's to judge"


# 4: what counts as the same


def test_a_class_that_says_true_has_not_changed_after_its_first_run(desk: Desk) -> None:
    desk.add("Stamp", lambda self: (1,), {}, IS_CHANGED=classmethod(lambda cls: True))
    desk.shown(showing(x=made("Stamp")))
    desk.shown(showing(x=made("Stamp")))
    assert desk.calls == {}


@pytest.mark.parametrize("answer", [lambda cls: math.nan, lambda cls: 1 / 0], ids=["nan", "an error"])
def test_a_class_that_cannot_say_is_always_run(desk: Desk, answer: Callable[..., Any]) -> None:
    desk.add("Stamp", lambda self: (1,), {}, IS_CHANGED=classmethod(answer))
    desk.shown(showing(x=made("Stamp")))
    desk.shown(showing(x=made("Stamp")))
    assert len(desk.calls["Stamp"]) == 1


def test_a_class_is_asked_with_constants_and_an_empty_prompt(desk: Desk) -> None:
    seen: list[Any] = []

    def changed(cls: Any, **inputs: Any) -> int:
        seen.append(inputs)
        return 0

    hidden = {"prompt": "PROMPT", "info": "EXTRA_PNGINFO", "me": "UNIQUE_ID"}
    inputs = {"a": ("INT", {}), "b": ("INT", {})}
    desk.add("Stamp", lambda self, **given: (1,), inputs, hidden=hidden, IS_CHANGED=classmethod(changed))
    desk.shown(showing(n=made("Number", value=1), x=made("Stamp", a=["n", 0], b=2)))
    assert seen == [{"a": None, "b": 2, "prompt": {}, "info": None, "me": "x"}]


def test_an_instance_lives_as_long_as_its_node(desk: Desk) -> None:
    def count(self: Any, value: int) -> tuple[int]:
        self.times = getattr(self, "times", 0) + 1
        return (self.times,)

    desk.add("Counter", count, {"value": ("INT", {})})
    assert [desk.shown(showing(x=made("Counter", value=i))) for i in range(3)] == [["1"], ["2"], ["3"]]
    graph = {"y": made("Counter", value=9), "show": made("Show", value=["y", 0])}
    assert desk.shown(graph) == ["1"], "another id is another instance"


def test_failed_runs_leave_what_they_have_done(desk: Desk) -> None:
    def fails(self: Any, value: str) -> Any:
        raise RuntimeError("pack failure")

    desk.add("Fails", fails, {"value": ("STRING", {})})
    graph = showing(t=made("Text", value="a"), x=made("Fails", value=["t", 0]))
    failed = desk.run(graph)[-1]
    assert isinstance(failed, RunFailed)
    assert (failed.node_id, failed.exception_type, failed.message) == ("x", "RuntimeError", "pack failure")
    assert failed.current_inputs == {"value": ["a"]}
    again = desk.run(graph)
    assert again[0] == NodesCached(("t",), ("Text",))


# 5: lists


def test_the_longest_list_says_how_often_and_shorter_ones_repeat_their_last(desk: Desk) -> None:
    desk.add("Pair", lambda self, a, b: (f"{a}{b}",), {"a": ("STRING", {}), "b": ("STRING", {})})
    many = {"l": made("Many", text="x y z"), "m": made("Many", text="p q")}
    assert desk.shown(showing(**many, x=made("Pair", a=["l", 0], b=["m", 0]))) == ["xp", "yq", "zq"]
    assert desk.shown(showing(**many, x=made("Pair", a="-", b=["m", 0]))) == ["-p", "-q"]


def test_a_class_that_takes_lists_gets_all_as_lists(desk: Desk) -> None:
    inputs = {"a": ("STRING", {}), "b": ("INT", {})}
    desk.add("Whole", lambda self, **given: (len(given["a"]),), inputs, hidden={"me": "UNIQUE_ID"}, INPUT_IS_LIST=True)
    assert desk.shown(showing(l=made("Many", text="x y z"), x=made("Whole", a=["l", 0], b=4))) == ["3"]
    assert desk.calls["Whole"] == [{"a": ["x", "y", "z"], "b": [4], "me": ["x"]}]


def test_what_calls_show_is_joined_under_the_keys_of_the_first(desk: Desk) -> None:
    def talk(self: Any, text: str) -> dict[str, Any]:
        return {"ui": {"text": [text], **({"more": [1]} if text == "b" else {})}}

    desk.add("Talk", talk, {"text": ("STRING", {})}, (), OUTPUT_NODE=True)
    events = desk.run({"l": made("Many", text="a b"), "t": made("Talk", text=["l", 0])})
    assert [event.ui for event in events if isinstance(event, NodeFinished) and event.ui] == [{"text": ["a", "b"]}]


def test_an_empty_list_is_one_call_without_arguments_if_all_are_empty(desk: Desk) -> None:
    desk.add("Count", lambda self, **given: (len(given),), {"a": ("STRING", {})})
    assert desk.shown(showing(l=made("Many", text=""), x=made("Count", a=["l", 0]))) == ["0"]


# 6 and 8: what a function gives back


def test_a_result_beside_what_is_shown(desk: Desk) -> None:
    desk.add("Both", lambda self: {"ui": {"text": ["ui"]}, "result": (7,)}, {}, OUTPUT_NODE=True)
    assert desk.shown(showing(x=made("Both"))) == ["ui", "7"]


def test_a_value_that_was_not_given_fails_where_it_is_read(desk: Desk) -> None:
    desk.add("Short", lambda self: (1,), {}, ("INT", "INT"))
    assert desk.shown(showing(x=made("Short"))) == ["1"]
    graph = {"x": made("Short"), "show": made("Show", value=["x", 1])}
    failed = desk.run(graph)[-1]
    assert isinstance(failed, RunFailed)
    assert (failed.node_id, failed.message) == ("show", "Node x gave no value for its output 1.")


def test_blockers_stop_silently_or_with_a_word_at_the_first_reader(desk: Desk) -> None:
    for name, message in (("Quiet", None), ("Loud", "not now")):
        desk.add(name, lambda self, message=message: (Blocker(message), 5), {}, ("INT", "INT"))
        graph = showing(b=made(name), x=made("Number", value=["b", 0])) | {"free": made("Show", value=["b", 1])}
        events = desk.run(graph)
        assert isinstance(events[-1], RunSucceeded)
        assert "Number" not in desk.calls
        assert [call["value"] for call in desk.calls["Show"]] == [5]
        told = [(event.node_id, event.message) for event in events if isinstance(event, NodeBlocked)]
        assert told == ([("x", message)] if message else [])


def test_only_the_call_with_the_blocker_is_left_out(desk: Desk) -> None:
    def gate(self: Any, text: str) -> Any:
        return Blocker(None) if text == "b" else (text.upper(),)

    desk.add("Gate", gate, {"text": ("STRING", {})})
    assert desk.shown(showing(l=made("Many", text="a b c"), x=made("Gate", text=["l", 0]))) == ["A", "C"]


# 7: lazy inputs


def lazy_mix(desk: Desk, needs: Callable[..., Any] | None) -> None:
    later = {"a": ("*", {"lazy": True}), "b": ("*", {"lazy": True})}
    checks = {} if needs is None else {"check_lazy_status": needs}
    desk.add("Mix", lambda self, mask, a=None, b=None: ((mask, a, b),), {"mask": ("INT", {}), **later}, **checks)


@pytest.mark.parametrize(
    ("mask", "ran", "shown"), [(0, ["a"], "(0, 1, None)"), (1, ["b"], "(1, None, 2)"), (2, ["a", "b"], "(2, 1, 2)")]
)
def test_branches_are_evaluated_as_they_are_asked_for(desk: Desk, mask: int, ran: list[str], shown: str) -> None:
    lazy_mix(desk, lambda self, mask, a=None, b=None: {0: ["a"], 1: ["b"], 2: ["a", "b"]}[mask])
    graph = showing(
        a=made("Number", value=1), b=made("Number", value=2), x=made("Mix", mask=mask, a=["a", 0], b=["b", 0])
    )
    assert desk.shown(graph) == [shown]
    assert [call["value"] for call in desk.calls["Number"]] == [{"a": 1, "b": 2}[name] for name in ran]


def test_a_class_is_asked_again_until_it_wants_nothing_new(desk: Desk) -> None:
    lazy_mix(desk, lambda self, mask, a=None, b=None: ["a"] if a is None else ["b"] if b is None else [])
    graph = showing(a=made("Number", value=1), b=made("Number", value=2), x=made("Mix", mask=0, a=["a", 0], b=["b", 0]))
    assert desk.shown(graph) == ["(0, 1, 2)"]


def test_what_is_asked_and_what_runs_is_one_instance(desk: Desk) -> None:
    def ask(self: Any, mask: int, a: Any = None, b: Any = None) -> list[str]:
        self.asked = getattr(self, "asked", 0) + 1
        return ["a"] if a is None else []

    later = {"a": ("*", {"lazy": True}), "b": ("*", {"lazy": True})}
    desk.add("Mix", lambda self, **given: (self.asked,), {"mask": ("INT", {}), **later}, check_lazy_status=ask)
    graph = showing(a=made("Number", value=1), b=made("Number", value=2), x=made("Mix", mask=0, a=["a", 0], b=["b", 0]))
    assert desk.shown(graph) == ["2"]


@pytest.mark.parametrize("wanted", ["a", "nobody"])
def test_asking_for_what_is_no_link_fails(desk: Desk, wanted: str) -> None:
    lazy_mix(desk, lambda self, mask, a=None, b=None: [wanted])
    failed = desk.run(showing(b=made("Number", value=2), x=made("Mix", mask=0, a=None, b=["b", 0])))[-1]
    assert isinstance(failed, RunFailed)
    assert failed.node_id == "x" and wanted in failed.message and failed.remedy


# 10: hidden inputs


def test_hidden_inputs(desk: Desk) -> None:
    kinds = ("PROMPT", "DYNPROMPT", "EXTRA_PNGINFO", "UNIQUE_ID", "API_KEY_COMFY_ORG", "EXECUTION_LIST")
    desk.add("Secret", lambda self, **given: (1,), {"n": ("INT", {})}, hidden={kind.lower(): kind for kind in kinds})
    info = {"workflow": {"nodes": []}}
    desk.extra = RunExtras(extra_pnginfo=info, secrets={"API_KEY_COMFY_ORG": "key"})
    graph = showing(x=made("Secret", n="5"))
    desk.shown(graph)
    (given,) = desk.calls["Secret"]
    dynamic = given.pop("dynprompt")
    assert given == {
        "n": 5,
        "prompt": {**graph, "x": made("Secret", n=5)},
        "extra_pnginfo": info,
        "unique_id": "x",
        "api_key_comfy_org": "key",
        "execution_list": None,
    }
    assert dynamic.has_node("x") and dynamic.get_node("x")["class_type"] == "Secret"


def test_a_mapping_that_holds_every_name_takes_any_input(desk: Desk) -> None:
    class Every(dict[str, Any]):
        made: ClassVar[tuple[str]] = ("*",)

        def __contains__(self, key: object) -> bool:
            return True

        def __getitem__(self, key: str) -> Any:
            return self.made

    desk.add("Any", lambda self, **given: (sorted(given),), {}, optional=Every())
    graph = showing(n=made("Number", value=1), x=made("Any", one=["n", 0], two="2"))
    assert desk.shown(graph) == ["['one', 'two']"]


# 11 to 13


def test_coroutines_run_beside_each_other(desk: Desk) -> None:
    met: list[str] = []

    async def meet(self: Any, name: str) -> tuple[str]:
        met.append(name)
        for _ in range(1000):
            if len(met) == 2:
                return (name,)
            await asyncio.sleep(0.001)
        raise AssertionError("nobody came")

    desk.add("Meet", meet, {"name": ("STRING", {})})
    graph = {
        "a": made("Meet", name="a"),
        "b": made("Meet", name="b"),
        "one": made("Show", value=["a", 0]),
        "two": made("Show", value=["b", 0]),
    }
    assert sorted(desk.shown(graph)) == ["a", "b"]


def test_who_waits_for_others_begins_before_those_who_compute(desk: Desk) -> None:
    order: list[str] = []

    async def wait(self: Any, name: str) -> tuple[str]:
        order.append(name)
        await asyncio.sleep(0)
        return (name,)

    def compute(self: Any, name: str) -> tuple[str]:
        order.append(name)
        return (name,)

    desk.nodes["Wait"] = adapted("Wait", pack_class(wait, {"name": ("STRING", {})}), "", "custom_nodes.acme")
    desk.add("Compute", compute, {"name": ("STRING", {})})
    desk.add("Join", lambda self, **given: {}, {name: ("STRING", {}) for name in "abc"}, (), OUTPUT_NODE=True)
    graph = {
        "a": made("Compute", name="a"),
        "b": made("Compute", name="b"),
        "c": made("Wait", name="c"),
        "join": made("Join", a=["a", 0], b=["b", 0], c=["c", 0]),
    }
    desk.shown(graph)
    assert order == ["c", "a", "b"]


def test_the_first_failure_stops_all(desk: Desk) -> None:
    def fails(self: Any, value: str) -> Any:
        raise MemoryError

    desk.add("Fails", fails, {"value": ("STRING", {})})
    graph = {
        "bad": made("Fails", value="x"),
        "one": made("Show", value=["bad", 0]),
        "good": made("Text", value="y"),
        "two": made("Show", value=["good", 0]),
    }
    failed = desk.run(graph)[-1]
    assert isinstance(failed, RunFailed)
    assert (failed.node_id, failed.exception_type) == ("bad", "MemoryError")
    assert failed.remedy.startswith("There was not enough memory")
    assert "Show" not in desk.calls
