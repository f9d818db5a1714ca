"""The composition root: the only place that knows every concrete class. Each command imports what it needs.

The server must start without the tensor library, so nothing here is imported before it is known what for.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import InvalidPrompt, InvalidRequest, tells_of_memory
from app.extend.packs import disabled_packs, find_packs, pack_name, run_prestart_scripts
from app.graph.json_values import is_object
from app.settings import CacheMode, EngineSettings, Settings

if TYPE_CHECKING:
    import torch

    from app.context.context import NodeContext, PreviewPace
    from app.context.files import NodeFiles
    from app.context.models import LoadedModels
    from app.engine.cache import Cache, Headroom
    from app.engine.events import Event
    from app.engine.node import Node
    from app.engine.site import CallSite
    from app.extend.bridge import PackDesk
    from app.extend.facade.host import Launch
    from app.extend.registry import Registry
    from app.graph.prompt import Prompt
    from app.graph.replacements import Replacements
    from app.link.messages import Job
    from app.memory.meter import Meter
    from app.memory.residency import Residency
    from app.store.folders import Folders
    from app.store.outputs import OutputFolders

Emit = Callable[["Event"], None]
Interrupted = Callable[[], bool]

log = logging.getLogger(__name__)

CACHE_SHARE = 0.25  # of main memory, for results of nodes
FREE_SHARE = 0.1  # of main memory, that results leave to others
MOST_FREE = 10 << 30


def dispatch(settings: Settings) -> int:
    """Do what the command line asks for and give the exit status. Raises AppError with a remedy."""
    commands = {"serve": serve, "run": run, "worker": worker, "train": train, "test": test, "export": export}
    return commands[settings.command](settings)


def serve(settings: Settings) -> int:
    """The editor and the HTTP API."""
    from app.server.serve import run_server

    return run_server(settings)


def train(settings: Settings) -> int:
    """The training commands."""
    from app.training.command import main

    return main(list(settings.train_arguments))


def run(settings: Settings) -> int:
    """Evaluate one graph in this process; the paths of what it saved go to standard output."""
    from app.desk import graph_file
    from app.engine.events import NodeFinished, RunFailed, RunInterrupted
    from app.terminal import RunReport

    graph_file(settings.run.workflow)  # a wrong name is told at once, not after the tensor library has been loaded
    workshop = Workshop.build(settings)
    for failure in workshop.registry.failures:
        sys.stderr.write(f"{failure['message']}\n")
    prompt, outputs = _asked(settings, workshop)
    report = RunReport(sys.stderr, quiet=settings.run.quiet)
    job_id = uuid.uuid4().hex
    failed: list[Event] = []

    def hear(event: Event) -> None:
        report.hear(event)
        if isinstance(event, NodeFinished) and event.ui:
            _tell_files(workshop, workshop.outputs.publish_ui(event.ui, job_id, event.node_id))
        elif isinstance(event, RunFailed | RunInterrupted):
            failed.append(event)

    with _stopped_by_keyboard() as stopped:
        workshop.evaluate(prompt, outputs, {}, hear, stopped)
    return 1 if failed else 0


def test(settings: Settings) -> int:
    """Run the tests of workflows in files; a report goes to standard output, 1 says that some failed."""
    from app.checks.cases import files_in, read_cases
    from app.checks.session import Session
    from app.desk import graph_file, read_json

    files = files_in(settings.test.files)
    found = [(path, read_cases(read_json(graph_file(path)), path.parent)) for path in files]
    with tempfile.TemporaryDirectory() as folder:
        places = replace(settings.directories, output=Path(folder, "output"), temp=Path(folder, "temp"))
        workshop = Workshop.build(replace(settings, directories=places))
        with _stopped_by_keyboard() as stopped:
            session = Session(workshop, sys.stdout, stopped, keep=settings.test.keep)
            for path, cases in found:
                session.run(path, cases)
        return session.end()


def export(settings: Settings) -> int:
    """Write a graph in other forms: as a Python script, as the JSON of a prompt, as a saved workflow."""
    from app.desk import graph_file, layout_of, prompt_of, read_graph
    from app.graph.prompt import prompt_to_json
    from app.graph.script import write_script
    from app.graph.workflow import is_workflow

    asked = settings.export
    data, layout = read_graph(graph_file(asked.source)), layout_of(asked.source)
    if is_workflow(data):
        workshop = Workshop.build(settings)
        specs = {name: node.spec for name, node in workshop.nodes.items()}
        data = prompt_to_json(prompt_of(data, specs, workshop.file_names(), workshop.replacements()))
    if asked.workflow is not None and layout is None:
        raise InvalidRequest(f"{asked.source.name} holds no layout.", remedy="Export it with --json.")
    if asked.python is not None:
        asked.python.write_text(write_script(data, layout, name=asked.python.name), "utf-8")
    for path, written in ((asked.json, data), (asked.workflow, layout)):
        if path is not None:
            path.write_text(json.dumps(written, indent=2) + "\n", "utf-8")
    return 0


@contextmanager
def _stopped_by_keyboard() -> Generator[Interrupted]:
    """Ctrl+C asks the run to stop at the next step; a second one ends it at once."""
    asked: list[int] = []

    def hear(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


def worker(settings: Settings) -> int:
    """Evaluate graphs for a server until it says stop."""
    from app.engine.collecting import collect_rarely
    from app.graph.prompt import parse_prompt
    from app.link.launcher import watch_lifeline
    from app.link.messages import Tell
    from app.link.worker_client import WorkerLoop

    logging.basicConfig(level=logging.DEBUG if settings.verbose else logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("websockets").setLevel(logging.WARNING)
    # Ctrl+C reaches the whole process group; the server ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if settings.worker.lifeline:
        watch_lifeline()
    workshop = Workshop.build(settings)
    for pack in workshop.registry.packs:
        level = logging.WARNING if pack.error or pack.problems else logging.INFO
        told = " ".join((pack.error, pack.remedy, *pack.problems)).strip()
        log.log(level, "pack %s: %d nodes in %.2f s %s", pack.name, len(pack.nodes), pack.seconds, told)
    workshop.packs.serve(settings.worker.secret)
    collect_rarely()

    def evaluate(job: Job, emit: Emit, interrupted: Interrupted) -> None:
        with workshop.packs.at_work(job.job_id, job.client_id):
            workshop.evaluate(parse_prompt(job.prompt), list(job.outputs), job.extra_data, emit, interrupted)

    loop = WorkerLoop(
        settings.worker.connect,
        settings.worker.secret,
        workshop.hello(),
        evaluate,
        free=workshop.free,
        devices=workshop.devices,
        asked=workshop.asked,
    )
    workshop.packs.tell_through(lambda event, data, to: loop.tell(Tell(event, data, to)))
    loop.run()
    return 0


@dataclass(frozen=True)
class Workshop:
    """Everything that evaluates graphs, for the life of a process."""

    device: torch.device
    folders: Folders
    outputs: OutputFolders
    registry: Registry
    packs: PackDesk
    nodes: Mapping[str, Node]
    cache: Cache
    models: LoadedModels
    files: NodeFiles
    pace: PreviewPace
    meter: Meter

    @classmethod
    def build(cls, settings: Settings) -> Workshop:
        """The workshop that the settings describe, with all nodes loaded."""
        folders = open_all_folders(settings)
        places = [settings.directories.custom_nodes, *folders.models.get("custom_nodes", ())]
        disabled = disabled_packs(folders.user / "packs.json")
        if not settings.engine.load_custom_nodes:
            disabled |= {pack_name(path) for path in find_packs(places)} - set(settings.engine.only_packs)
        # Packs use these scripts to set what others read when they are imported.
        failed = dict(run_prestart_scripts(places, disabled))

        from app.context.context import PreviewPace
        from app.context.files import NodeFiles
        from app.context.models import LoadedModels
        from app.context.watched import watched
        from app.extend.bridge import PlainHost
        from app.extend.registry import Registry
        from app.memory.devices import choose_device, use_all_cores
        from app.memory.meter import meter_for
        from app.memory.residency import Residency
        from app.memory.sizes import size_of
        from app.store.outputs import OutputFolders
        from app.weights.precision import precision_for

        use_all_cores()
        device = choose_device(settings.engine.device)
        outputs = OutputFolders(folders.output, folders.temp)
        residency = Residency(device)
        # What packs import takes a while to load: who has none does not wait for it.
        some = any(pack_name(path) not in disabled for path in find_packs(places))
        packs = _facade(folders, residency, settings) if some else PlainHost()
        registry = Registry.load("nodes", places, packs, disabled, failed)
        previews = 0 if settings.engine.preview_method == "none" else settings.engine.preview_size
        return cls(
            device=device,
            folders=folders,
            outputs=outputs,
            registry=registry,
            packs=packs,
            nodes={name: watched(node, folders) for name, node in registry.nodes.items()},
            cache=_cache(settings.engine, size_of),
            models=LoadedModels(
                folders,
                residency,
                precision=precision_for(device, settings.engine.precision),
                tiny_previews=settings.engine.preview_method == "taesd",
            ),
            files=NodeFiles(folders, outputs, metadata=settings.engine.metadata),
            pace=PreviewPace(previews),
            meter=meter_for(device),
        )

    def evaluate(
        self,
        prompt: Prompt,
        outputs: list[str],
        extra_data: Mapping[str, Any],
        emit: Emit,
        interrupted: Interrupted,
    ) -> None:
        """Run a validated prompt; every event goes to `emit`, in order."""
        import torch

        from app.engine.events import RunFailed
        from app.engine.run import run as run_prompt
        from app.engine.site import RunExtras

        pnginfo = extra_data.get("extra_pnginfo")
        extra = RunExtras(extra_pnginfo=pnginfo, meter=self.meter, replacements=self.replacements)
        shown = extra_data.get("preview_method") != "none"
        interrupted = self.packs.stops(interrupted)

        def context_for(site: CallSite) -> NodeContext:
            return self.context(site, emit, interrupted, previews=shown)

        with torch.inference_mode():
            for event in run_prompt(prompt, outputs, self.nodes, self.cache, context_for, interrupted, extra):
                if isinstance(event, RunFailed) and tells_of_memory(event.exception_type, event.message):
                    self.models.clear()  # results stay, so that a smaller run goes on where this one ended
                emit(event)

    def context(self, site: CallSite, emit: Emit, interrupted: Interrupted, *, previews: bool = True) -> NodeContext:
        """What the node of that call gets."""
        from app.context.context import NodeContext, PreviewPace

        pace = self.pace if previews else PreviewPace(0)
        return NodeContext(site.node_id, self.models, self.files, emit, interrupted, pace, site.list_index)

    def file_names(self) -> Mapping[str, Sequence[Any]]:
        """The names of files by folder, for combos that list one."""
        from app.store.folders import FileNames

        return FileNames(self.folders)

    def replacements(self) -> Replacements:
        """What stands in for classes of before, by name: what was renamed here, and what packs registered."""
        from app.graph.replacements import by_old_class, renamed, replacement_from_json

        of_packs = self.packs.hello().get("replacements") or ()
        return by_old_class([*renamed(), *map(replacement_from_json, of_packs)])

    def asked(self, about: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to a question of the server, beside a run and from another thread.

        "forecast" of a prompt and outputs gives what is expected of nodes; "complaints" what classes with a validator
        of their own say of nodes.
        """
        from app.engine.forecast import forecast
        from app.engine.validators import custom_complaints
        from app.graph.prompt import parse_prompt

        if about == "complaints":
            found = custom_complaints(parse_prompt(data["prompt"]), data["nodes"], self.nodes)
            return {"complaints": {node_id: [each.to_json() for each in said] for node_id, said in found.items()}}
        if about != "forecast":
            raise InvalidRequest(f"This worker knows nothing about {about}.")
        expected = forecast(parse_prompt(data["prompt"]), list(data["outputs"]), self.nodes, self.cache)
        return {"nodes": [each.to_json() for each in expected]}

    def free(self, unload_models: bool, free_memory: bool) -> None:
        """Give memory back. Results go too: they hold the models."""
        if unload_models or free_memory:
            self.cache.clear()
            self.models.clear()

    def devices(self) -> tuple[Mapping[str, Any], ...]:
        """Fresh figures of the device."""
        from app.memory.devices import device_facts

        return (device_facts(self.device),)

    def hello(self) -> Any:
        """How a worker introduces itself."""
        import torch

        from app.graph.spec import spec_to_json
        from app.link.messages import Hello

        return Hello(
            specs=tuple(spec_to_json(node.spec) for node in self.nodes.values()),
            devices=self.devices(),
            versions={"torch": torch.__version__, "python": platform.python_version()},
            failures=self.registry.failures,
            packs={**self.packs.hello(), "packs": [pack.to_json() for pack in self.registry.packs]},
            name=platform.node(),
            process_id=os.getpid(),
        )


def _facade(folders: Folders, residency: Residency, settings: Settings) -> PackDesk:
    """The program as packs know it."""
    from app.extend.facade.bridge import FacadeHost
    from app.extend.facade.host import Host

    return FacadeHost(Host(folders, residency.device, residency, _launch(settings)))


def _launch(settings: Settings) -> Launch:
    """What the command line said, as far as packs ask."""
    from urllib.parse import urlsplit

    from app.extend.facade.host import Launch

    server = urlsplit(settings.worker.connect)
    return Launch(
        listen=server.hostname or settings.serve.listen,
        port=server.port or settings.serve.port,
        preview_method=settings.engine.preview_method,
        base_directory=str(settings.directories.base),
        disable_metadata=not settings.engine.metadata,
    )


def open_all_folders(settings: Settings) -> Folders:
    """The folders of the installation; those that users are pointed to are made."""
    from app.store.folders import open_folders

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


def _cache(engine: EngineSettings, size_of: Callable[[object], int]) -> Cache:
    from app.engine.cache import Cache

    most: dict[CacheMode, int | None] = {"ram": None, "classic": None, "lru": engine.cache_entries, "none": 0}
    return Cache(
        max_bytes=_cache_bytes(engine.cache_gib),
        max_entries=most[engine.cache],
        latest_only=engine.cache == "classic",
        headroom=_headroom(engine.cache_free) if engine.cache == "ram" else None,
        size_of=size_of,
    )


def _headroom(gib: tuple[float, float] | None) -> Headroom | None:
    from app.engine.cache import Headroom
    from app.memory.devices import main_memory

    total, free = main_memory()
    if not free:  # the system does not tell
        return None
    usual = min(int(total * FREE_SHARE), MOST_FREE)
    active, idle = (usual, usual) if gib is None else (int(each * (1 << 30)) for each in gib)
    return Headroom(lambda: main_memory()[1], active, idle)


def _cache_bytes(gib: float | None) -> int:
    from app.memory.devices import main_memory

    return int(gib * (1 << 30)) if gib is not None else max(1 << 30, int(main_memory()[0] * CACHE_SHARE))


def _asked(settings: Settings, workshop: Workshop) -> tuple[Prompt, list[str]]:
    """The prompt of the file with the command line's changes, validated, and its output nodes."""
    from app.desk import changed, prompt_of, read_graph
    from app.graph.validate import validate
    from app.terminal import error_text

    specs = {name: node.spec for name, node in workshop.nodes.items()}
    files = workshop.file_names()
    prompt = prompt_of(read_graph(settings.run.workflow), specs, files, workshop.replacements())
    validated = validate(changed(prompt, settings.run.changes, settings.run.seed), specs, files)
    if validated.node_errors:
        partial = InvalidPrompt("Some outputs cannot run.", node_errors=validated.node_errors)
        sys.stderr.write(f"{error_text(partial)}\n")
    return validated.prompt, list(validated.outputs)


def _tell_files(workshop: Workshop, ui: Mapping[str, list[Any]]) -> None:
    for entries in ui.values():
        for entry in entries:
            if is_object(entry) and entry.get("type") == "output":
                path = workshop.folders.output / entry["subfolder"] / entry["filename"]
                sys.stdout.write(f"{path}\n")
                sys.stdout.flush()
