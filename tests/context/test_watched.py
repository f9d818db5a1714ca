from __future__ import annotations

import os
from typing import Annotated, Any

import pytest

from app.context.watched import Watched, watched
from app.graph.declaration import FileIn, FunctionNode, Lazy, Options, Port, node
from app.settings import Settings
from app.store.folders import Folders
from app.wiring import open_all_folders


@node("Reads", category="test")
def reads(*, name: Annotated[str, FileIn("input")], model: Annotated[str, FileIn("checkpoints")] = "") -> str:
    """Reads two files."""
    return f"{name} and {model}"


@node("Plain", category="test")
def plain(*, name: str) -> str:
    """Reads nothing."""
    return name


def counting() -> FunctionNode:
    @node("Counts", category="test")
    def counts(*, name: Annotated[str, FileIn("input")], later: Annotated[Any, Port("*"), Lazy()] = None) -> str:
        """Has hooks of its own."""
        return name

    @counts.fingerprints
    def _changed(name: str) -> str:
        return f"own {name}"

    @counts.validates
    def _check(name: str) -> str | None:
        return None if name == "good" else "not good"

    return counts


@pytest.fixture
def folders(installation: Settings) -> Folders:
    folders = open_all_folders(installation)
    (installation.directories.input / "a.txt").write_text("first")
    return folders


def test_only_nodes_with_files_are_watched(folders: Folders) -> None:
    assert watched(plain, folders) is plain
    assert isinstance(watched(reads, folders), Watched)


def test_the_spec_says_that_there_is_a_fingerprint(folders: Folders) -> None:
    node = watched(reads, folders)
    assert node.spec.has_fingerprint
    assert not reads.spec.has_fingerprint


def test_a_changed_file_changes_the_fingerprint(folders: Folders) -> None:
    node = watched(reads, folders)
    inputs = {"name": "a.txt", "model": "tiny.safetensors"}
    before = node.fingerprint(inputs)
    assert node.fingerprint(inputs) == before
    os.utime(folders.input / "a.txt", ns=(5, 5))
    after = node.fingerprint(inputs)
    assert after != before
    (folders.input / "a.txt").write_text("longer than the first")
    assert node.fingerprint(inputs) != after


@node("Gathers", category="test")
def gathers(
    *,
    folder: Annotated[str, FileIn("input folders")],
    made: Annotated[str, Port("COMBO"), Options(image_folder="output")],
) -> str:
    """Reads all files in a folder, and a picture that the editor knows by asking for it."""
    return folder + made


def test_a_folder_changes_with_any_file_in_it(folders: Folders) -> None:
    node = watched(gathers, folders)
    (folders.input / "set" / "inner").mkdir(parents=True)
    (folders.input / "set" / "a.txt").write_text("a")
    (folders.input / "settings.txt").write_text("not in it")
    seen = [node.fingerprint({"folder": "set"})]
    (folders.input / "set" / "inner" / "b.txt").write_text("b")
    seen.append(node.fingerprint({"folder": "set"}))
    (folders.input / "set" / "inner" / "b.txt").write_text("bb")
    seen.append(node.fingerprint({"folder": "set"}))
    (folders.input / "settings.txt").write_text("changed")
    assert seen[0] != seen[1] != seen[2] == node.fingerprint({"folder": "set"})


def test_a_result_that_is_chosen_by_asking_is_watched_too(folders: Folders) -> None:
    node = watched(gathers, folders)
    (folders.output / "r.png").write_text("first")
    before = node.fingerprint({"folder": "x", "made": "r.png"})
    assert node.fingerprint({"folder": "x", "made": "r.png [output]"}) == before
    (folders.output / "r.png").write_text("the second")
    assert node.fingerprint({"folder": "x", "made": "r.png"}) != before


@node("Encodes", category="test")
def encodes(*, clip: Annotated[Any, Port("CLIP")], text: str) -> str:
    """Reads whatever embeddings its text calls."""
    return text


def test_a_replaced_embedding_changes_the_prompts_that_may_call_it(folders: Folders) -> None:
    node = watched(encodes, folders)
    assert isinstance(node, Watched)
    prompts: list[Any] = ["a cat", "a cat, embedding:mine", None, [None], ["embedding:mine"]]
    before = [node.fingerprint({"clip": None, "text": text}) for text in prompts]
    assert before[0] == before[1], "there is no embedding yet"
    place = folders.models["embeddings"][0]
    place.mkdir(parents=True, exist_ok=True)
    (place / "mine.safetensors").write_bytes(b"first")
    added = [node.fingerprint({"clip": None, "text": text}) for text in prompts]
    (place / "mine.safetensors").write_bytes(b"the second")
    replaced = [node.fingerprint({"clip": None, "text": text}) for text in prompts]
    assert before[0] == added[0] == replaced[0], "a text that calls none stays as it is"
    for one, two, three in list(zip(before, added, replaced, strict=True))[1:]:
        assert one != two != three != one


@pytest.mark.parametrize("name", ["gone.txt", "../a.txt", None, 7])
def test_what_cannot_be_looked_at_is_left_to_the_run(folders: Folders, name: Any) -> None:
    assert watched(reads, folders).fingerprint({"name": name, "model": name}) == [None, [None, None]]


def test_everything_else_is_the_nodes_own(folders: Folders) -> None:
    node = watched(counting(), folders)
    assert node.fingerprint({"name": "a.txt"})[0] == "own a.txt"
    assert node.validate({"name": "good"}, {}) is None
    assert node.validate({"name": "bad"}, {}) == "not good"
    assert node.needed({"name": "a.txt", "later": None}) == ("later",)
    result: Any = node.call(None, {"name": "a.txt"})
    assert result.values == ("a.txt",)
