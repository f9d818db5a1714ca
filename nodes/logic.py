"""Comparisons, arithmetic and lists: what loops and choices are steered with."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, cast

from app.api import InvalidRequest, Optionally, Port, Range, node

LARGEST = 2**53
MOST_ITEMS = 100_000
ITEMS = 8

Value = Annotated[Any, Port("*")]
Number = Annotated[float, Range(-LARGEST, LARGEST)]
Whole = Annotated[int, Range(-LARGEST, LARGEST)]

_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "≠": operator.ne,
    "<": operator.lt,
    "≤": operator.le,
    ">": operator.gt,
    "≥": operator.ge,
}
_OPERATIONS: Mapping[str, Callable[[float, float], float]] = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a × b": lambda a, b: a * b,
    "a ÷ b": lambda a, b: a / b,
    "a mod b": lambda a, b: a % b,
    "a ^ b": math.pow,
    "min": lambda a, b: min(a, b),
    "max": lambda a, b: max(a, b),
}


@node("Compare", category="flow/logic", id="CompareValues", aliases=("equal", "less", "greater", "condition"))
def compare(*, a: Value, b: Value, relation: Literal["=", "≠", "<", "≤", ">", "≥"] = "=") -> bool:
    """Whether a relation holds between two numbers or texts."""
    try:
        return bool(_COMPARISONS[relation](a, b))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidRequest(
            f"{type(a).__name__} {relation} {type(b).__name__} cannot be decided.",
            remedy="Compare two numbers or two texts.",
        ) from error


@node(
    "Calculate",
    category="flow/logic",
    id="CalculateNumber",
    outputs=("FLOAT", "INT"),
    aliases=("math", "add", "subtract", "multiply", "divide", "arithmetic"),
)
def calculate(
    *,
    a: Number = 0.0,
    b: Number = 0.0,
    operation: Literal["a + b", "a - b", "a × b", "a ÷ b", "a mod b", "a ^ b", "min", "max"] = "a + b",
) -> tuple[float, int]:
    """Calculates with two numbers; the second output is the result rounded down."""
    return _calculated(a, b, operation)


@node(
    "Calculate (Int)",
    category="flow/logic",
    id="CalculateInteger",
    aliases=("math", "add", "subtract", "multiply", "divide", "arithmetic", "integer"),
)
def calculate_integer(
    *,
    a: Whole = 0,
    b: Whole = 0,
    operation: Literal["a + b", "a - b", "a × b", "a ÷ b", "a mod b", "a ^ b", "min", "max"] = "a + b",
) -> int:
    """Calculates with two whole numbers; quotients and powers are rounded down."""
    return _calculated(a, b, operation)[1]


@node("Logic", category="flow/logic", id="LogicOperation", aliases=("and", "or", "not", "xor", "boolean"))
def logic(*, a: bool = False, b: bool = False, operation: Literal["and", "or", "xor", "not a"] = "and") -> bool:
    """Combines two conditions."""
    if operation == "not a":
        return not a
    return {"and": a and b, "or": a or b, "xor": a != b}[operation]


@node("Number Range", category="flow/lists", id="NumberRange", outputs=("FLOAT", "INT"), aliases=("sweep", "list"))
def number_range(
    *,
    start: Number = 0.0,
    step: Number = 1.0,
    count: Annotated[int, Range(0, MOST_ITEMS)] = 5,
) -> tuple[Annotated[Any, Port("FLOAT", is_list=True)], Annotated[Any, Port("INT", is_list=True)]]:
    """A list of evenly spaced numbers. What reads it runs once for each."""
    numbers = [start + step * i for i in range(count)]
    return numbers, [math.floor(number) for number in numbers]


@node("List", category="flow/lists", id="ListOfValues", input_is_list=True, aliases=("make list", "collect", "append"))
def list_of_values(
    *,
    item_1: Value = None,
    item_2: Value = None,
    item_3: Value = None,
    item_4: Value = None,
    item_5: Value = None,
    item_6: Value = None,
    item_7: Value = None,
    item_8: Value = None,
) -> Annotated[Any, Port("*", "list", is_list=True)]:
    """One list of all that is linked, in order; lists are joined."""
    given = (item_1, item_2, item_3, item_4, item_5, item_6, item_7, item_8)
    return [value for values in given for value in values or ()]


@node("List Item", category="flow/lists", id="ListItem", input_is_list=True, aliases=("pick", "index", "get"))
def list_item(
    *, items: Value, index: Annotated[int, Range(-MOST_ITEMS, MOST_ITEMS), Optionally()] = 0
) -> Annotated[Any, Port("*", "item")]:
    """One value of a list. -1 is the last one."""
    at = cast("list[int]", index)[0] if isinstance(index, list) else index
    if not -len(items) <= at < len(items):
        raise InvalidRequest(f"The list has {len(items)} items and none with the index {at}.", remedy="Count from 0.")
    return items[at]


@node("List Length", category="flow/lists", id="ListLength", input_is_list=True, aliases=("count", "size"))
def list_length(*, items: Value) -> int:
    """How many values a list holds."""
    return len(items)


def _calculated(a: float, b: float, operation: str) -> tuple[float, int]:
    """The result, and the result rounded down."""
    try:
        result = _OPERATIONS[operation](a, b)
        return result, math.floor(result)
    except (ArithmeticError, ValueError) as error:
        raise InvalidRequest(f"{operation} cannot be calculated for a={a:g}, b={b:g}.", remedy="Change b.") from error
