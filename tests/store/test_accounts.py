"""Users with files of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.errors import InvalidRequest
from app.store.accounts import DEFAULT, Accounts, UnknownUser


def test_users_are_added_and_have_a_folder_each(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path)
    assert accounts.names() == {}
    ann, bo = accounts.add("Ann Öst"), accounts.add("bo")
    assert re.fullmatch(r"Ann-st_[0-9a-f-]{36}", ann)
    assert Accounts(tmp_path).names() == {ann: "Ann Öst", bo: "bo"}
    assert accounts.files(ann).root == tmp_path / ann
    assert accounts.files(DEFAULT).root == tmp_path / "default"


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 101])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="cannot be called"):
        Accounts(tmp_path).add(name)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    Accounts(tmp_path).add("ann")
    with pytest.raises(InvalidRequest, match="Duplicate username"):
        Accounts(tmp_path).add(" ann ")


@pytest.mark.parametrize("user", ["nobody", "..", "../default", "", "a/b"])
def test_unknown_users_have_no_files(tmp_path: Path, user: str) -> None:
    """Not even when somebody has written such an id into the file."""
    (tmp_path / "users.json").write_text(json.dumps({user: "me"} if user != "nobody" else {}))
    with pytest.raises(UnknownUser, match="no user"):
        Accounts(tmp_path).files(user)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": '])
def test_a_damaged_file_holds_nobody(tmp_path: Path, text: str) -> None:
    (tmp_path / "users.json").write_text(text)
    assert Accounts(tmp_path).names() == {}
