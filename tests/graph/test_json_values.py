"""The narrowings answer by the kind of the container, never by what it holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest

from app.graph.json_values import is_dict, is_list, is_object, is_sequence


@pytest.mark.parametrize(
    ("asks", "yes", "no"),
    [
        (is_object, [{}, {"a": 1}, OrderedDict(a=1), MappingProxyType({"a": 1})], [[], (), "text", 1, None]),
        (is_dict, [{}, {"a": 1}, OrderedDict(a=1)], [MappingProxyType({"a": 1}), [], "text", None]),
        (is_list, [[], [1], [[1]]], [(), (1,), {}, "text", 1, None]),
        (is_sequence, [[], [1], (), (1,)], [{}, {1}, "text", b"bytes", None]),
    ],
)
def test_the_kind_decides(asks: Callable[[object], bool], yes: list[object], no: list[object]) -> None:
    assert all(asks(value) for value in yes)
    assert not any(asks(value) for value in no)


def test_an_object_can_be_read_by_its_keys() -> None:
    data: object = {"a": 1}
    assert is_object(data)
    assert isinstance(data, Mapping)
    assert data.get("a") == 1
