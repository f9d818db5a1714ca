"""A client for programs: submit graphs, wait, listen, fetch, upload, cancel. It needs nothing else of this program."""

from __future__ import annotations

from app.client.asynchronous import AsyncClient
from app.client.client import Client
from app.client.values import (
    Estimate,
    Event,
    File,
    JobFailed,
    NodeText,
    Output,
    Preview,
    Queue,
    Refused,
    Result,
    Submitted,
)

__all__ = [
    "AsyncClient",
    "Client",
    "Estimate",
    "Event",
    "File",
    "JobFailed",
    "NodeText",
    "Output",
    "Preview",
    "Queue",
    "Refused",
    "Result",
    "Submitted",
]
