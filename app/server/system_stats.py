"""What this machine and its workers are."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from app.server import machine_shapes
from app.server.operation import operation
from app.server.replies import reply
from app.server.services import services_of

# Clients compare it to decide what a server can do; this is the version whose interface is served.
INTERFACE_VERSION = "0.3.64"
VERSION = "0.1.0"


def routes() -> list[web.RouteDef]:
    """GET /system_stats."""
    return [web.get("/system_stats", get_system_stats)]


@operation(machine_shapes.SystemStats)
async def get_system_stats(request: web.Request) -> web.Response:
    """System and devices. Devices are known once a worker has started; this answers at once all the same."""
    workers = list(services_of(request).dispatcher.workers.values())
    versions: Mapping[str, str] = workers[0].hello.versions if workers else {}
    total, free = memory()
    system = {
        "os": os.name,
        "ram_total": total,
        "ram_free": free,
        "comfyui_version": INTERFACE_VERSION,
        "latent_loom_version": VERSION,
        "required_frontend_version": None,
        "installed_templates_version": None,
        "required_templates_version": None,
        "python_version": sys.version,
        "pytorch_version": versions.get("torch", ""),
        "embedded_python": False,
        "platform": platform.platform(),
        "argv": ["main.py"],
        "workers": len(workers),
    }
    return reply({"system": system, "devices": [device for worker in workers for device in worker.devices]})


def memory() -> tuple[int, int]:
    """(total, available) bytes of memory; 0 where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except OSError:
        return _total_memory(), 0
    facts = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
    return facts.get("MemTotal", 0), facts.get("MemAvailable", 0)


def _total_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
