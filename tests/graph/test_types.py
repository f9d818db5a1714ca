from __future__ import annotations

import pytest

from app.graph.types import compatible, feeds, type_names, type_text


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


def test_a_whole_number_goes_where_a_real_one_is_taken() -> None:
    assert feeds("INT", "FLOAT") and feeds("INT,STRING", "FLOAT,IMAGE") and feeds("IMAGE", "IMAGE")
    assert not compatible("INT", "FLOAT")
    refused = [("FLOAT", "INT"), ("INT", "STRING"), ("INT", "BOOLEAN"), (("INT",), "FLOAT"), ("INT", ("FLOAT",))]
    assert not any(feeds(received, expected) for received, expected in refused)


def test_names_are_trimmed() -> None:
    assert type_names(" IMAGE ,MASK") == {"IMAGE", "MASK"}


def test_a_list_of_options_reads_as_combo() -> None:
    assert type_text(("a", "b")) == "COMBO"
    assert type_text("IMAGE") == "IMAGE"
