"""No name from outside leaves its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import Forbidden
from app.store.names import check_name, inside

ESCAPES = [
    "../secret", "a/../../secret", "..", "a/..", "/etc/passwd", "//host/share", "\\\\host\\share", "..\\secret",
    "a\\b", "C:x", "C:/x", "C:\\x", "a:stream", "nul", "NUL.txt", "a/con", "COM1.png", "lpt9", "a/aux.h", "trailing.",
    "trailing ", "a/.. /b", ".. ", "...", "a\0b", "a\nb", "a\x7fb", "x" * 300, "a/" * 600, "\ud800", "COM¹",
]  # fmt: skip


@pytest.mark.parametrize("name", ESCAPES, ids=ascii)
def test_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Forbidden):
        inside(tmp_path, name)


@pytest.mark.parametrize(
    "name", ["a.png", "a/b.png", "a//b", "./a", "ümlaut/日本.png", "with blank.png", "a..b", ".hid", ""]
)
def test_taken(name: str, tmp_path: Path) -> None:
    assert inside(tmp_path, name).is_relative_to(tmp_path)


def test_a_link_out_is_refused_unless_the_owner_made_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "door").symlink_to(outside)
    (root / "loop").symlink_to(root / "loop")
    for name in ("door", "door/x", "loop/x"):
        with pytest.raises(Forbidden):
            inside(root, name)
    assert inside(root, "door/x", follow_links=True) == root / "door" / "x"


def test_a_link_within_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert inside(tmp_path, "b/x") == tmp_path / "b" / "x"


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "root", "x").name == "x"


@given(st.text(alphabet="./\\:ab \0~C", max_size=12))
def test_whatever_is_taken_stays(name: str) -> None:
    root = Path("/srv/root")
    try:
        path = root.joinpath(*check_name(name))
    except Forbidden:
        return
    assert path.is_relative_to(root)
    assert ".." not in path.parts
