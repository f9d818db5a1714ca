from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from app.graph.ports import (
    MAX_SEED,
    Choice,
    FileIn,
    Hidden,
    Lazy,
    Optionally,
    Options,
    Port,
    Range,
    Receives,
    Seed,
    Text,
    Tip,
    read_docstring,
    read_ports,
)
from app.graph.returned import Returned
from app.graph.spec import InputSpec

Image = Annotated[Any, Port("IMAGE")]


class Context:
    is_node_context = True


def input_of(hint: Any, default: Any = ...) -> InputSpec:
    """The port of one parameter with that hint."""

    def body(*, x: Any) -> None:
        """Does nothing."""

    def with_default(*, x: Any = default) -> None:
        """Does nothing."""

    chosen = body if default is ... else with_default
    chosen.__annotations__["x"] = hint
    (port,) = read_ports(chosen).inputs
    return port


@pytest.mark.parametrize(
    ("hint", "kind", "options"),
    [
        (int, "INT", {}),
        (float, "FLOAT", {}),
        (str, "STRING", {}),
        (bool, "BOOLEAN", {}),
        (Image, "IMAGE", {}),
        (Annotated[int, Range(1, 9)], "INT", {"min": 1, "max": 9}),
        (
            Annotated[float, Range(0, 1, step=0.1, round=0.01)],
            "FLOAT",
            {"min": 0, "max": 1, "step": 0.1, "round": 0.01},
        ),
        (Annotated[int, Range(0, 9, display="slider")], "INT", {"min": 0, "max": 9, "display": "slider"}),
        (Annotated[str, Text(multiline=True, dynamic=True)], "STRING", {"multiline": True, "dynamicPrompts": True}),
        (Annotated[str, Text(placeholder="say")], "STRING", {"placeholder": "say"}),
        (Annotated[str, Choice("a", "b")], ("a", "b"), {}),
        (Literal["a", "b"], ("a", "b"), {}),
        (Annotated[int, Seed()], "INT", {"min": 0, "max": MAX_SEED, "control_after_generate": True}),
        (Annotated[Image, Lazy()], "IMAGE", {"lazy": True}),
        (Annotated[int, Tip("how many")], "INT", {"tooltip": "how many"}),
        (Annotated[int, Range(0, 5), Options(advanced=True)], "INT", {"min": 0, "max": 5, "advanced": True}),
        (Annotated[Annotated[int, Range(0, 5)], Range(0, 3)], "INT", {"min": 0, "max": 3}),
        (Image | None, "IMAGE", {}),
    ],
)
def test_a_hint_says_type_and_options(hint: Any, kind: Any, options: dict[str, Any]) -> None:
    port = input_of(hint)
    assert (port.type, dict(port.options), port.section) == (kind, options, "required")


def test_files_name_their_folder() -> None:
    port = input_of(Annotated[str, FileIn("input", upload="image")])
    assert (port.type, port.folder, dict(port.options)) == ((), "input", {"image_upload": True})


def test_words_may_stand_in_place_of_a_file() -> None:
    port = input_of(Annotated[str, FileIn("loras", also=("none", "other"))])
    assert (port.type, port.folder, port.also) == ((), "loras", ("none", "other"))
    assert port.choices({"loras": ("a", "b"), "vae": ("c",)}) == ("a", "b", "none", "other")
    assert port.choices({}) == ("none", "other")
    assert input_of(Annotated[str, FileIn("vae")]).choices({"vae": ("c",)}) == ("c",)


def test_defaults_are_the_first_value_or_make_an_input_optional() -> None:
    assert input_of(int, 5) == InputSpec("x", "INT", "required", {"default": 5})
    assert input_of(Image | None, None) == InputSpec("x", "IMAGE", "optional", {})
    assert input_of(Annotated[int, Optionally()], 5) == InputSpec("x", "INT", "optional", {"default": 5})
    assert input_of(bool, False).options == {"default": False}


@pytest.mark.parametrize("hint", [list, Any, dict[str, int], int | str, Context | int, "int | str"])
def test_a_hint_without_a_port_fails_when_declared(hint: Any) -> None:
    with pytest.raises(TypeError, match="the hint of x says no port"):
        input_of(hint)


def test_a_missing_hint_fails_when_declared() -> None:
    def no_hint(*, x) -> None:  # type: ignore[no-untyped-def]
        """Does nothing."""

    def no_return(*, x: int):  # type: ignore[no-untyped-def]
        """Does nothing."""

    def unknown(*, x: int) -> None:
        """Does nothing."""

    unknown.__annotations__["x"] = "NotImported"
    with pytest.raises(TypeError, match="parameter x has no hint"):
        read_ports(no_hint)
    with pytest.raises(TypeError, match="the return has no hint"):
        read_ports(no_return)
    with pytest.raises(TypeError, match="must be importable"):
        read_ports(unknown)


def test_stars_are_no_ports() -> None:
    def many(*args: int) -> None:
        """Does nothing."""

    def more(**inputs: int) -> None:
        """Does nothing."""

    for body in (many, more):
        with pytest.raises(TypeError, match="cannot be a port"):
            read_ports(body)


def test_hidden_inputs_and_the_context_are_no_ports() -> None:
    def body(
        *, ctx: Context, other: Annotated[Any, Receives()], graph: Annotated[Any, Hidden("PROMPT")], x: int
    ) -> None:
        """Does nothing."""

    ports = read_ports(body)
    assert ports.contexts == ("ctx", "other")
    assert ports.hidden == {"graph": "PROMPT"}
    assert [port.name for port in ports.inputs] == ["x"]
    assert ports.accepted == {"x", "graph"}


def outputs_of(hint: Any) -> tuple[list[tuple[str, Any, bool]], bool]:
    def body() -> None:
        """Does nothing."""

    body.__annotations__["return"] = hint
    ports = read_ports(body)
    return [(port.name, port.type, port.is_list) for port in ports.outputs], ports.returns_tuple


@pytest.mark.parametrize(
    ("hint", "outputs", "is_tuple"),
    [
        (None, [], False),
        (int, [("INT", "INT", False)], False),
        (Image, [("IMAGE", "IMAGE", False)], False),
        (tuple[Image, int], [("IMAGE", "IMAGE", False), ("INT", "INT", False)], True),
        (tuple[Image], [("IMAGE", "IMAGE", False)], True),
        (Annotated[Any, Port("IMAGE", "picture")], [("picture", "IMAGE", False)], False),
        (Annotated[list[Any], Port("IMAGE", is_list=True)], [("IMAGE", "IMAGE", True)], False),
        (Literal["a", "b"], [("COMBO", ("a", "b"), False)], False),
        (Returned, [], False),
        (
            Annotated[Returned, Port("IMAGE"), Port("MASK", "alpha")],
            [("IMAGE", "IMAGE", False), ("alpha", "MASK", False)],
            False,
        ),
    ],
)
def test_the_return_says_the_outputs(hint: Any, outputs: list[Any], is_tuple: bool) -> None:
    assert outputs_of(hint) == (outputs, is_tuple)


@pytest.mark.parametrize("hint", [dict, Any, tuple[Any, int]])
def test_a_return_without_a_port_fails_when_declared(hint: Any) -> None:
    with pytest.raises(TypeError, match="the return says no port"):
        outputs_of(hint)


def test_a_tip_on_an_output_is_its_tooltip() -> None:
    def body() -> Annotated[Any, Port("IMAGE", tooltip="less"), Tip("more")]:
        """Does nothing."""

    assert read_ports(body).outputs[0].tooltip == "more"


def documented(*, width: int, height: Annotated[int, Tip("told here")], plain: int) -> None:
    """What it does,
    in one paragraph.

    More that is not shown.

    Args:
        width: how wide
            it is: in pixels
        height: overruled

    Returns:
        nothing: at all
    """


def test_help_and_tooltips_come_from_the_docstring() -> None:
    summary, tips = read_docstring(documented)
    assert summary == "What it does, in one paragraph."
    assert tips == {"width": "how wide it is: in pixels", "height": "overruled"}
    options = {port.name: port.options for port in read_ports(documented).inputs}
    assert options["width"] == {"tooltip": "how wide it is: in pixels"}
    assert options["height"] == {"tooltip": "told here"}
    assert options["plain"] == {}


def test_a_function_without_docstring_has_no_help() -> None:
    def bare() -> None:
        return None

    assert read_docstring(bare) == ("", {})
