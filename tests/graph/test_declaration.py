from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Annotated, Any

import pytest

from app.graph.declaration import FunctionNode, Hidden, Lazy, Options, Port, Range, Receives, node
from app.graph.returned import Blocker, Returned

Image = Annotated[Any, Port("IMAGE")]
Mask = Annotated[Any, Port("MASK")]


@node("Scale image", category="image", id="ImageScaleBy", aliases=("resize", "zoom"))
def scale(
    *,
    image: Image,
    factor: Annotated[float, Range(0.01, 8.0)] = 1.0,
    mask: Mask | None = None,
    context: Annotated[Any, Receives()],
) -> Image:
    """Makes a picture larger or smaller."""
    return (image, factor, mask, context)


@node("Split", category="image", outputs=("picture", "alpha"))
def split(*, image: Image) -> tuple[Image, Mask]:
    """Takes a picture apart."""
    return image, image * 2


def test_the_spec_says_what_was_declared() -> None:
    spec = scale.spec
    assert (spec.id, spec.display_name, spec.category) == ("ImageScaleBy", "Scale image", "image")
    assert spec.help == "Makes a picture larger or smaller."
    assert spec.search_aliases == ("resize", "zoom")
    assert spec.checks_links
    assert [(port.name, port.type, port.section) for port in spec.inputs] == [
        ("image", "IMAGE", "required"),
        ("factor", "FLOAT", "required"),
        ("mask", "MASK", "optional"),
    ]
    assert split.spec.id == "split"
    assert [port.name for port in split.spec.outputs] == ["picture", "alpha"]


def called(declared: FunctionNode, context: Any = None, **inputs: Any) -> Returned:
    result = declared.call(context, inputs)
    assert isinstance(result, Returned)
    return result


def test_a_call_gives_ports_and_context_to_the_body() -> None:
    assert called(scale, "ctx", image=1, undeclared=5) == Returned(((1, 1.0, None, "ctx"),))
    assert called(scale, "ctx", image=1, factor=2.0, mask=3) == Returned(((1, 2.0, 3, "ctx"),))


def test_several_outputs_are_a_tuple() -> None:
    assert called(split, image=2) == Returned((2, 4))


def test_the_body_stays_a_function() -> None:
    assert split(image=2) == (2, 4)
    assert split.__name__ == "split"
    assert split.__doc__ == "Takes a picture apart."


def test_a_body_may_say_it_all_itself() -> None:
    shown = Returned((1, 2), {"images": [{"filename": "a"}]})

    @node("Show", category="image")
    def show() -> Annotated[Returned, Port("IMAGE"), Port("MASK")]:
        """Shows."""
        return shown

    assert called(show) is shown


def test_a_blocker_blocks_every_output() -> None:
    @node("Stop", category="logic")
    def stop() -> tuple[Image, Mask]:
        """Stops."""
        return Blocker("enough")  # type: ignore[return-value]

    assert called(stop).values == (Blocker("enough"), Blocker("enough"))


def test_a_body_without_outputs_returns_none() -> None:
    @node("Watch", category="image", output_node=True, not_idempotent=True, input_is_list=True)
    def watch(*, image: Image) -> None:
        """Looks on."""

    assert called(watch, image=1) == Returned()
    assert watch.spec.output_node and watch.spec.not_idempotent and watch.spec.input_is_list


def test_the_wrong_number_of_values_is_an_error_that_names_the_node() -> None:
    @node("Wrong", category="image")
    def wrong() -> tuple[Image, Mask]:
        """Gives too little."""
        return (1,)  # type: ignore[return-value]

    with pytest.raises(TypeError, match="wrong declares 2 outputs and returned 1"):
        called(wrong)


def test_the_wrong_number_of_names_is_an_error() -> None:
    with pytest.raises(TypeError, match="1 output names for 2 outputs"):
        node("Split", category="image", outputs=("one",))(split.body)


def test_an_asynchronous_body_is_awaited_later() -> None:
    @node("Later", category="image")
    async def later(*, x: int) -> Image:
        """Takes its time."""
        await asyncio.sleep(0)
        return x + 1

    result = later.call(None, {"x": 1})
    assert isinstance(result, Awaitable)

    async def wait() -> Returned:
        return await result

    assert asyncio.run(wait()) == Returned((2,))


def test_hidden_inputs_are_passed_by_name() -> None:
    @node("Me", category="image")
    def me(*, who: Annotated[Any, Hidden("UNIQUE_ID")]) -> Image:
        """Says who it is."""
        return who

    assert me.spec.hidden == {"who": "UNIQUE_ID"}
    assert called(me, who="7") == Returned(("7",))


def make() -> FunctionNode:
    @node("Pick", category="image")
    def pick(*, which: int = 0, a: Annotated[Image, Lazy()], b: Annotated[Image, Lazy()]) -> Image:
        """Takes one of two."""
        return b if which else a

    return pick


def test_without_a_hook_all_lazy_inputs_are_needed_and_nothing_is_asked() -> None:
    pick = make()
    assert pick.needed({"which": 1, "a": None, "b": 5}) == ("a",)
    assert pick.fingerprint({}) is None
    assert pick.validate({}, {}) is None
    assert not pick.spec.has_fingerprint and not pick.spec.has_validator


def test_hooks_get_the_inputs_that_they_name() -> None:
    pick = make()

    @pick.needs
    def _(which: int) -> list[str]:
        return ["b" if which else "a"]

    @pick.fingerprints
    def _(which: int, absent: int = 7) -> int:
        return which + absent

    @pick.validates
    def _(which: int, input_types: dict[str, str]) -> str | None:
        return None if which < 2 else f"{which} of {input_types}"

    assert pick.needed({"which": 1, "a": None, "b": None}) == ("b",)
    assert pick.fingerprint({"which": 1, "a": None}) == 8
    assert pick.validate({"which": 1}, {}) is None
    assert pick.validate({"which": 2}, {"a": "IMAGE"}) == "2 of {'a': 'IMAGE'}"
    assert pick.spec.has_fingerprint and pick.spec.has_validator
    assert pick.spec.validator_inputs == ("which", "input_types")


def test_a_hook_may_take_everything() -> None:
    pick = make()

    @pick.fingerprints
    def _(**inputs: Any) -> list[str]:
        return sorted(inputs)

    assert pick.fingerprint({"which": 1, "a": None}) == ["a", "which"]


def test_inputs_whose_names_are_none_of_pythons() -> None:
    @node("Mix", category="test", further=("block.0.", "block.1."))
    def mix(*, first: int, **shares: Annotated[float, Range(0.0, 1.0), Options(default=0.5)]) -> float:
        """Adds up."""
        return first + sum(share * (1 if name == "block.0." else 10) for name, share in shares.items())

    assert [(port.name, port.type, port.section) for port in mix.spec.inputs] == [
        ("first", "INT", "required"),
        ("block.0.", "FLOAT", "required"),
        ("block.1.", "FLOAT", "required"),
    ]
    assert mix.spec.inputs[2].options == {"min": 0.0, "max": 1.0, "default": 0.5}
    given = {"first": 100, "block.0.": 0.25, "block.1.": 0.5, "other": 7}
    assert mix.call(None, given).values == (105.25,)  # pyright: ignore[reportAttributeAccessIssue]
