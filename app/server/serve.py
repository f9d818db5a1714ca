"""The server process from start to end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import secrets
import signal
import ssl
import sys
import webbrowser
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from app.errors import InvalidRequest, Unavailable
from app.link.launcher import LocalLauncher
from app.server.app import build_app
from app.server.catalogue import Catalogue
from app.server.dispatch import Dispatcher
from app.server.event_log import EventLog
from app.server.hub import Hub
from app.server.publisher import Publisher
from app.server.queue_news import QueueNews
from app.server.runs import RunServices
from app.server.services import LogLines, LogLinesHandler, Services
from app.settings import PROGRAM_DIRECTORY, SECRET_VARIABLE, ServeSettings, Settings
from app.store.database import Database
from app.store.folders import FileNames, Folders, open_folders
from app.store.job_queries import Retention
from app.store.locks import InstanceLock
from app.store.outputs import OutputFolders
from app.store.published import DatabaseIndex

log = logging.getLogger(__name__)

_TEMP_SECONDS = 3 * 24 * 3600.0
# A worker's PyTorch takes large tensors in large pages: 0.98 of a guided step's time, a third of a first conversion's.
_LARGE_PAGES = {"THP_MEM_ALLOC_ENABLE": "1"}

WorkerCommand = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens: its address and what is behind it."""

    url: str
    services: Services


def run_server(settings: Settings, worker_command: WorkerCommand | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the process's exit status.

    Args:
        settings: of the command `serve`.
        worker_command: makes a local worker's command line from the address to dial; `main.py worker` by default.

    Raises:
        Unavailable: the port is taken, the database cannot be opened, or another server uses it.
    """
    logging.basicConfig(
        level=logging.DEBUG if settings.verbose else logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    asyncio.run(_serve_until_told(settings, worker_command))
    return 0


async def _serve_until_told(settings: Settings, worker_command: WorkerCommand | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there Ctrl+C raises KeyboardInterrupt
            loop.add_signal_handler(name, stop.set)
    async with serving(settings, worker_command) as running:
        log.info("Latent Loom is at %s", running.url)
        if settings.serve.open_browser:
            token = settings.serve.token
            address = f"{running.url}/#token={quote(token)}" if token else running.url
            await asyncio.to_thread(webbrowser.open, address)
        await stop.wait()


@contextlib.asynccontextmanager
async def serving(settings: Settings, worker_command: WorkerCommand | None = None) -> AsyncGenerator[Running]:
    """A server with its workers, for as long as the context lasts. Raises as `run_server` does."""
    with contextlib.ExitStack() as closing:
        closing.enter_context(InstanceLock(settings.directories.user / "loom.lock"))
        folders = _folders(settings)
        database = Database(settings.directories.user / "loom.sqlite")
        closing.callback(database.close)
        publisher = Publisher(OutputFolders(folders.output, folders.temp, DatabaseIndex(database)))
        closing.callback(publisher.close)
        services = _services(settings, folders, database, publisher)
        await services.dispatcher.start()
        runner = web.AppRunner(build_app(services), access_log=None, handler_cancellation=False, shutdown_timeout=1.0)
        await runner.setup()
        launcher = None
        try:
            port = await _listen(runner, settings)
            launcher = _launcher(settings, services, await _link(runner, settings, port), worker_command)
            services.dispatcher.processes = launcher
            with _log_to(services):
                launcher.start()
                tidying = asyncio.create_task(publisher.remove_stale(_TEMP_SECONDS))
                scheme = "https" if settings.serve.tls else "http"
                yield Running(f"{scheme}://{_host(settings.serve.addresses[0])}:{port}", services)
                await tidying
        finally:
            await services.dispatcher.close()
            if launcher is not None:
                await launcher.stop()
            await services.hub.close()
            await runner.cleanup()


def _folders(settings: Settings) -> Folders:
    places = settings.directories
    folders = open_folders(
        models=places.models,
        input=places.input,
        output=places.output,
        temp=places.temp,
        user=places.user,
        extra=places.extra_model_paths,
    )
    folders.prepare()
    return folders


def _services(settings: Settings, folders: Folders, database: Database, publisher: Publisher) -> Services:
    hub = Hub()
    catalogue = Catalogue(FileNames(folders))
    catalogue.recall(folders.user / "nodes.json")
    return Services(
        settings=settings,
        database=database,
        folders=folders,
        publisher=publisher,
        hub=hub,
        catalogue=catalogue,
        dispatcher=Dispatcher(
            RunServices(database, publisher, hub, EventLog(database), QueueNews(hub)),
            settings.serve.lease_seconds,
            settings.serve.cancel_grace_seconds,
            retention=_retention(settings.serve),
        ),
        logs=LogLines(hub),
        secret=secrets.token_urlsafe(32),
    )


def _retention(asked: ServeSettings) -> Retention:
    return Retention(asked.keep_jobs, None if asked.keep_days is None else asked.keep_days * 24 * 3600)


async def _listen(runner: web.AppRunner, settings: Settings) -> int:
    """Open the port on every address and return its number."""
    port, encryption = settings.serve.port, _encryption(settings)
    for address in settings.serve.addresses:
        try:
            await web.TCPSite(runner, address, port, ssl_context=encryption).start()
        except OSError as broken:
            if broken.errno == errno.EADDRINUSE:
                raise Unavailable(
                    f"Port {port} is taken, perhaps by another Latent Loom.", remedy="Close that, or use --port 8189."
                ) from broken
            raise Unavailable(f"Listening on {address}:{port} is not possible: {broken}") from broken
        port = runner.addresses[0][1]
    return port


def _encryption(settings: Settings) -> ssl.SSLContext | None:
    if settings.serve.tls is None:
        return None
    key, certificate = settings.serve.tls
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password="")  # without one a locked key would be asked about for ever
    except OSError as broken:  # SSLError is one
        raise InvalidRequest(
            f"{certificate.name} and {key.name} are no certificate and its key: {broken}",
            remedy="Name both in PEM form, the key without a password.",
        ) from broken
    return context


async def _link(runner: web.AppRunner, settings: Settings, port: int) -> str:
    """The address that local workers dial. An encrypted server opens a door of this machine's own for them, since its
    certificate is made out to another name."""
    if settings.serve.tls is None:
        return f"ws://{_host(settings.serve.addresses[0])}:{port}/link"
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"ws://127.0.0.1:{runner.addresses[-1][1]}/link"


def _launcher(settings: Settings, services: Services, url: str, command: WorkerCommand | None) -> LocalLauncher:
    words = (
        command(url)
        if command
        else [sys.executable, str(PROGRAM_DIRECTORY / "main.py"), *settings.worker_arguments(url)]
    )
    return LocalLauncher(
        command=words,
        environment={**_LARGE_PAGES, **os.environ, SECRET_VARIABLE: services.secret, "PYTHONUNBUFFERED": "1"},
        count=settings.serve.workers,
        hear=logging.getLogger("worker").info,
    )


def _host(listen: str) -> str:
    """The address under which this machine reaches itself."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)
    return f"[{name}]" if ":" in name else name


@contextlib.contextmanager
def _log_to(services: Services) -> Generator[None]:
    loop = asyncio.get_running_loop()
    handler = LogLinesHandler(lambda text: loop.call_soon_threadsafe(services.logs.add, text))
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
