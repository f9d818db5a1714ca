"""A user's own files and settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import Conflict, Forbidden, InvalidRequest, Missing
from app.store.settings_file import load_settings, merge_settings, write_atomically
from app.store.userdata import UserFiles


@pytest.fixture
def files(tmp_path: Path) -> UserFiles:
    return UserFiles(tmp_path / "default")


def test_writing_and_listing(files: UserFiles) -> None:
    files.write("workflows/a.json", b"{}")
    files.write("workflows/sub/b.json", b"[]")
    assert [info.path for info in files.files("workflows", recurse=False)] == ["a.json"]
    assert [info.path for info in files.files("workflows", recurse=True)] == ["a.json", "sub/b.json"]
    assert [info.path for info in files.tree("")] == [
        "workflows",
        "workflows/sub",
        "workflows/a.json",
        "workflows/sub/b.json",
    ]
    assert files.info("workflows/a.json").size == 2
    with pytest.raises(Conflict):
        files.write("workflows/a.json", b"", overwrite=False)
    files.move("workflows/a.json", "c.json")
    with pytest.raises(Conflict):
        files.move("c.json", "workflows/sub/b.json", overwrite=False)
    files.delete("c.json")
    with pytest.raises(Missing):
        files.delete("c.json")


def test_what_is_not_there(files: UserFiles) -> None:
    assert files.tree("") == []
    for ask in (lambda: files.tree("x"), lambda: files.files("x", recurse=False), lambda: files.existing("x")):
        with pytest.raises(Missing):
            ask()


def test_what_cannot_be(files: UserFiles) -> None:
    files.write("folder/file", b"")
    for name in ("", ".", "folder", "folder/file/below"):
        with pytest.raises(InvalidRequest):
            files.write(name, b"")
    for name in ("../x", "/x", "a/../../x"):
        with pytest.raises(Forbidden):
            files.write(name, b"")
    with pytest.raises(InvalidRequest):
        files.move("folder/file", "folder")


def test_settings_are_merged_and_survive_damage(tmp_path: Path) -> None:
    path = tmp_path / "a" / "settings.json"
    assert load_settings(path) == {}
    merge_settings(path, {"a": 1, "b": 2})
    merge_settings(path, {"b": 3})
    assert load_settings(path) == {"a": 1, "b": 3}
    for damage in (b"{", b"\xff", b"[]"):
        path.write_bytes(damage)
        assert load_settings(path) == {}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", b"old")
    write_atomically(tmp_path / "x", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"new")]
