from __future__ import annotations

import json
from typing import Any

import pytest

from app.engine.failure import run_failed, summary


class Tensor:
    """Has what tensors have, and refuses to be written out."""

    shape = (1, 4, 64, 64)
    dtype = "torch.float32"

    def __repr__(self) -> str:
        raise AssertionError("nobody may write out a tensor")


class OutOfMemoryError(RuntimeError):
    """Named as the accelerators' libraries name theirs."""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (True, True),
        (5, 5),
        (0.5, 0.5),
        ("short", "short"),
        ("x" * 500, "x" * 200 + "…"),
        (10**5000, "a number of 16610 bits"),
        (Tensor(), "Tensor torch.float32 [1, 4, 64, 64]"),
        ([1, 2, 3], "list of 3"),
        ((1,), "tuple of 1"),
        ({"samples": Tensor(), "noise_mask": None}, "dict with samples, noise_mask"),
        (object(), "object"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_told_in_a_few_words(value: Any, text: Any) -> None:
    assert summary(value) == text


def failed(error: Exception, **inputs: list[Any]) -> Any:
    try:
        raise error
    except Exception as caught:
        return run_failed(caught, node_id="3", class_type="KSampler", inputs=inputs, executed=["1", "2"])


def test_an_event_is_small_whatever_the_inputs() -> None:
    event = failed(ValueError("x"), latent=[Tensor()] * 1000, text=["y" * 10**6])
    assert len(json.dumps(event.current_inputs)) < 2000
    assert event.executed == ("1", "2")


def test_exception_types_carry_their_module() -> None:
    assert failed(ValueError("x")).exception_type == "ValueError"
    assert failed(OutOfMemoryError("x")).exception_type.endswith(".OutOfMemoryError")


def test_memory_has_a_remedy() -> None:
    assert "smaller picture" in failed(OutOfMemoryError("x")).remedy
    assert failed(ValueError("x")).remedy == ""


def test_an_exception_without_text_is_told_by_its_name() -> None:
    assert failed(IndexError()).message == "IndexError"
