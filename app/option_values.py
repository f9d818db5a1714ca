"""What the values of some options mean."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from app.errors import InvalidRequest


def tls_files(key: Path | None, certificate: Path | None) -> tuple[Path, Path] | None:
    """The files of an encrypted server, None where neither is named.

    Raises:
        InvalidRequest: one alone, or one that is not there.
    """
    if key is None and certificate is None:
        return None
    if key is None or certificate is None:
        raise InvalidRequest(
            "Encryption needs a key and a certificate.", remedy="Add --tls-keyfile and --tls-certfile."
        )
    for path in (key, certificate):
        if not path.is_file():
            raise InvalidRequest(f"There is no file {path}.", remedy="Name a key and a certificate in PEM form.")
    return key.absolute(), certificate.absolute()


def origin(text: str) -> str:
    """An origin as browsers write it, or "*". Raises InvalidRequest."""
    if text == "*":
        return text
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.path in ("", "/")
        good = good and not (parts.query or parts.fragment or parts.username) and parts.port != 0
    except ValueError:  # brackets that are no address, or a port that is none
        good = False
    if not good:
        raise InvalidRequest(f"{text!r} is no origin.", remedy="Write it as in http://localhost:3000.")
    return text.rstrip("/").lower()


def features(flags: Iterable[str]) -> dict[str, Any]:
    """`a.b=1` as {"a": {"b": 1}}. The value is JSON where it can be read so, else text; without one it is true.

    Raises:
        InvalidRequest: no name, or a name below one that has a value.
    """
    features: dict[str, Any] = {}
    for flag in flags:
        key, equals, value = flag.partition("=")
        *places, name = key.split(".")
        if not all((*places, name)):
            raise InvalidRequest(f"--feature-flag {flag} is not understood.", remedy="Write --feature-flag KEY=VALUE.")
        inner = features
        for place in places:
            found = inner.setdefault(place, {})
            if not isinstance(found, dict):
                raise InvalidRequest(f"--feature-flag {flag} goes on where another has a value.", remedy="Drop one.")
            inner = cast("dict[str, Any]", found)
        inner[name] = json_or_text(value) if equals else True
    return features


def json_or_text(text: str) -> Any:
    """The value that a text says in JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
