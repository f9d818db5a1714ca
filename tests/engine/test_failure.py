from __future__ import annotations

import json
from typing import Any

import pytest

from app.engine.failure import run_failed, summary
from app.errors import InvalidRequest


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


@pytest.mark.parametrize(
    "words",
    [
        "err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4398046511104 b. Error code 12",
        "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 b",
        "std::bad_alloc",
        "MPS backend out of memory (MPS allocated: 9 GB)",
    ],
)
def test_memory_has_a_remedy_where_libraries_have_no_error_type_for_it(words: str) -> None:
    assert failed(RuntimeError(words)).remedy == failed(MemoryError()).remedy
    assert failed(ValueError(words)).remedy == ""


def test_the_input_to_blame_is_told() -> None:
    assert failed(InvalidRequest("too wide", input_name="width")).input_name == "width"
    assert failed(InvalidRequest("too wide")).input_name is None
    assert failed(ValueError("x")).input_name is None


def test_an_exception_without_text_is_told_by_its_name() -> None:
    assert failed(IndexError()).message == "IndexError"
