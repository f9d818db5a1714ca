from __future__ import annotations

from typing import Any

import pytest
import torch


@pytest.mark.parametrize(
    ("node_id", "value"),
    [
        ("PrimitiveBoolean", True),
        ("PrimitiveFloat", 0.5),
        ("PrimitiveInt", -(2**62)),
        ("PrimitiveString", "a"),
        ("PrimitiveStringMultiline", "a\nb"),
    ],
)
def test_a_value_is_handed_on(bench: Any, node_id: str, value: Any) -> None:
    assert bench(node_id, value=value) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [("hello", "hello"), (3, "3"), (None, "None"), ([1, {"a": 2}], "[1, {'a': 2}]")],
)
def test_any_value_is_shown(bench: Any, value: Any, text: str) -> None:
    assert bench.returned("PreviewAny", source=value).ui == {"text": [text]}


def test_large_values_are_told_in_a_few_words(bench: Any) -> None:
    assert bench.returned("PreviewAny", source=torch.zeros(2, 3)).ui == {"text": ["torch.float32 [2, 3]"]}
    assert len(bench.returned("PreviewAny", source="x" * 10**6).ui["text"][0]) <= 4000
