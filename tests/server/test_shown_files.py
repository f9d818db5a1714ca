"""The files of a job, and the one that stands for it."""

from __future__ import annotations

from typing import Any

import pytest

from app.server.shown_files import preview_of, shown_files


def entry(name: str, kind: str = "output") -> dict[str, Any]:
    return {"filename": name, "subfolder": "", "type": kind}


def test_files_of_all_kinds_are_found() -> None:
    results: dict[str, Any] = {
        "1": {"images": [entry("a.png"), "no file", {"filename": 5}], "text": ["words"]},
        "2": {"latents": [entry("b.latent")], "result": [entry("c.glb")], "animated": (True,)},
        "3": None,
    }
    found = list(shown_files(results))
    assert [(file.node_id, file.kind, file.entry["filename"]) for file in found] == [
        ("1", "images", "a.png"), ("2", "latents", "b.latent"), ("2", "result", "c.glb"),
    ]  # fmt: skip
    assert [file.previewable for file in found] == [True, False, True]
    assert found[0].told() == {**entry("a.png"), "nodeId": "1", "mediaType": "images"}


@pytest.mark.parametrize(
    ("shown", "best"),
    [
        ({"images": [entry("a.png"), entry("b.png")]}, "b.png"),
        ({"images": [entry("a.png"), entry("b.png", "temp")]}, "a.png"),
        ({"images": [entry("a.png")], "text": [entry("b.txt")]}, "a.png"),
        ({"text": [entry("b.txt")]}, "b.txt"),
        ({"latents": [entry("a.latent")]}, None),
        ({}, None),
    ],
)
def test_the_file_that_stands_for_the_job(shown: dict[str, Any], best: str | None) -> None:
    found = preview_of(list(shown_files({"1": shown})))
    assert (found.entry["filename"] if found else None) == best
