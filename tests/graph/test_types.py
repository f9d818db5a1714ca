from __future__ import annotations

import pytest

from app.graph.types import compatible, type_names, type_text


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ("IMAGE", "IMAGE"),
        ("*", "IMAGE"),
        ("IMAGE", "*"),
        ("IMAGE,MASK", "MASK"),
        ("MASK", "IMAGE, MASK"),
        ("IMAGE,MASK", "MASK,LATENT"),
        ("IMAGE", "LATENT,*"),
        ("COMFY_MATCHTYPE_V3", "IMAGE"),
        ("IMAGE", "COMFY_MATCHTYPE_V3"),
        (("a", "b"), ("a", "b")),
        (("a", "b"), "COMBO"),
        (("a",), "*"),
    ],
)
def test_these_match(received: str | tuple[str, ...], expected: str | tuple[str, ...]) -> None:
    assert compatible(received, expected)


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ("IMAGE", "MASK"),
        ("IMAGE", "IMAGES"),
        ("IMAGE,LATENT", "MASK"),
        (("a",), ("b",)),
        (("a",), "STRING"),
        ("STRING", ("a",)),
        ("COMBO", ("a",)),
        ("image", "IMAGE"),
    ],
)
def test_these_do_not(received: str | tuple[str, ...], expected: str | tuple[str, ...]) -> None:
    assert not compatible(received, expected)


def test_names_are_trimmed() -> None:
    assert type_names(" IMAGE ,MASK") == {"IMAGE", "MASK"}


def test_a_list_of_options_reads_as_combo() -> None:
    assert type_text(("a", "b")) == "COMBO"
    assert type_text("IMAGE") == "IMAGE"
