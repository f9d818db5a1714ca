"""Requests over the standard library: JSON, bytes, forms, and streams of messages."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, cast
from urllib.parse import urlencode

from app.client.values import Event, Refused


@dataclass(frozen=True, slots=True)
class Transport:
    """Where the server is, and what opens it. `timeout` is in seconds, for each answer."""

    url: str
    token: str | None = None
    timeout: float = 60.0

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """The JSON answer of a request with a JSON body, None where it is empty.

        Raises:
            Refused: the server said no.
            OSError: it cannot be reached.
        """
        content = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if body is not None else {}
        answer = self.open(method, path, content, query=query, headers={**kind, **(headers or {})}, timeout=timeout)
        with answer:
            text = answer.read()
        return json.loads(text) if text else None

    def open(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> HTTPResponse:
        """An answer that is to be read and closed. Raises as `ask` does."""
        address = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        shown = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(address, content, {**shown, **(headers or {})}, method=method)
        try:
            opened = urllib.request.urlopen(request, timeout=timeout or self.timeout)
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise Refused(refusal.code, _told(refusal.read())) from None
        return cast("HTTPResponse", opened)

    def stream(self, path: str, since: int, timeout: float) -> Iterator[Event]:
        """Stored messages after a number, as they come, until the server ends the stream.

        Raises:
            Refused: the server said no.
            OSError: the connection was lost, or nothing came for `timeout` seconds.
        """
        headers = {"Accept": "text/event-stream"}
        with self.open("GET", path, query={"since": since}, headers=headers, timeout=timeout) as answer:
            said: dict[str, str] = {}
            try:
                for line in answer:
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name:
                        said[name] = value
                    elif "data" in said:
                        yield Event(said["event"], json.loads(said["data"]), int(said["id"]))
                        said = {}
            except HTTPException as broken:  # the server ended in the middle of a message
                raise ConnectionError(str(broken)) from broken


def form(fields: Mapping[str, str], name: str, content: bytes) -> tuple[bytes, str]:
    """(body, content type) of a form with text fields and one file in the field `image`."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "")
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{quoted}"\r\n\r\n'
    body = b"".join([*parts, head.encode(), content, f"\r\n--{boundary}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={boundary}"


def _told(text: bytes) -> Mapping[str, Any]:
    try:
        told: object = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", told) if isinstance(told, dict) else {}
