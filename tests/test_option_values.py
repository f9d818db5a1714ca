"""What the values of some options mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import InvalidRequest
from app.option_values import features, json_or_text, origin, tls_files


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("*", "*"), ("http://localhost:3000", "http://localhost:3000"), ("HTTPS://A.Example/", "https://a.example"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)  # fmt: skip
def test_origins(text: str, meant: str) -> None:
    assert origin(text) == meant


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "http://", "http://a/b", "file:///x", "http://[", "http://a:b", "http://me@a", "http://a?b"],
)
def test_what_is_no_origin(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no origin"):
        origin(text)


def test_features_nest_at_dots() -> None:
    told = features(["a", "b.c=1", "b.d=yes", 'e={"f": 2}', "g="])
    assert told == {"a": True, "b": {"c": 1, "d": "yes"}, "e": {"f": 2}, "g": ""}
    assert features([]) == {}
    assert json_or_text("[1") == "[1"


@pytest.mark.parametrize("flags", [["=1"], [".a"], ["a."], ["a=1", "a.b=2"]])
def test_flags_that_are_none(flags: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="--feature-flag"):
        features(flags)


def test_a_key_and_its_certificate(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    assert tls_files(None, None) is None
    key.touch()
    with pytest.raises(InvalidRequest, match=r"no file .*cert\.pem"):
        tls_files(key, certificate)
    certificate.touch()
    assert tls_files(key, certificate) == (key, certificate)
    with pytest.raises(InvalidRequest, match="Encryption needs"):
        tls_files(None, certificate)
