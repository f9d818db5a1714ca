"""The program's settings: one frozen object made from the command line. Nothing else reads `argv` or `environ`.

The commands are `serve` (the default), `run`, `worker`, `train`, `test` and `export`; each has its own part of
`Settings`.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.errors import InvalidRequest
from app.option_values import features, json_or_text, origin, tls_files
from app.options import translated

CacheMode = Literal["ram", "classic", "lru", "none"]
Command = Literal["serve", "run", "worker", "train", "test", "export"]

_CACHE_MODES = {
    "classic": "keep the results of the latest graph only",
    "none": "keep no results",
}
PROGRAM_DIRECTORY = Path(__file__).resolve().parent.parent
SECRET_VARIABLE = "LOOM_WORKER_SECRET"
_COMMANDS = ("serve", "run", "worker", "train", "test", "export")


@dataclass(frozen=True, slots=True)
class DirectorySettings:
    """Where files live; every path is absolute.

    `models` are the roots that hold one folder per kind of model, the first being the one that files are added to.
    """

    base: Path = PROGRAM_DIRECTORY
    input: Path = PROGRAM_DIRECTORY / "input"
    output: Path = PROGRAM_DIRECTORY / "output"
    temp: Path = PROGRAM_DIRECTORY / "temp"
    user: Path = PROGRAM_DIRECTORY / "user"
    custom_nodes: Path = PROGRAM_DIRECTORY / "custom_nodes"
    models: tuple[Path, ...] = (PROGRAM_DIRECTORY / "models",)
    extra_model_paths: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What evaluates graphs: used by `run` and `worker`, and handed on to workers by `serve`.

    `cache` says which results are kept: "ram" as many as fit into `cache_gib` (a quarter of the memory), "classic"
    those of the latest graph, "lru" those and the latest `cache_entries`, "none" none. `cache_free` are the GiB of main
    memory that results leave to others: all of them, and those that the latest graph does not use; None for a tenth.
    All packs are loaded with `load_custom_nodes`, else those of `only_packs`. `metadata` lets files tell their graph.
    """

    device: str = "auto"
    precision: str = "auto"
    preview_method: str = "auto"
    preview_size: int = 512
    cache_gib: float | None = None
    cache: CacheMode = "ram"
    cache_entries: int = 0
    cache_free: tuple[float, float] | None = None
    load_custom_nodes: bool = True
    only_packs: tuple[str, ...] = ()
    metadata: bool = True

    def arguments(self) -> list[str]:
        """The command line that makes an equal object."""
        said = ["--device", self.device, "--precision", self.precision, "--preview-method", self.preview_method]
        said += ["--preview-size", str(self.preview_size)]
        said += [] if self.cache_gib is None else ["--cache-gib", str(self.cache_gib)]
        said += ["--cache-lru", str(self.cache_entries)] if self.cache == "lru" else [f"--cache-{self.cache}"]
        said += [str(each) for each in self.cache_free or ()] if self.cache == "ram" else []
        said += [] if self.load_custom_nodes else ["--no-custom-nodes"]
        said += ["--whitelist-custom-nodes", *self.only_packs] if self.only_packs else []
        return said if self.metadata else [*said, "--disable-metadata"]


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The server: where it listens, whom it admits, what it bounds.

    `listen` may hold several addresses with "," between. `cors` is the origin whose pages may ask too, "*" for all.
    `features` are told to clients besides the server's own. With `multi_user` requests say whose files they mean.
    `front_end` is served in our editor's place. `tls` is (key, certificate), without it nothing is encrypted.
    """

    listen: str = "127.0.0.1"
    port: int = 8188
    token: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    open_browser: bool = True
    max_upload_bytes: int = 100 << 20
    cancel_grace_seconds: float = 0.8
    lease_seconds: float = 30.0
    keep_jobs: int = 10_000
    keep_days: float | None = None
    workers: int = 1
    node_wait_seconds: float = 60.0
    front_end: Path | None = None
    cors: str | None = None
    features: Mapping[str, Any] = field(default_factory=dict[str, Any])
    multi_user: bool = False
    compress: bool = False
    tls: tuple[Path, Path] | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, one by one."""
        return tuple(address.strip() for address in self.listen.split(",") if address.strip())


@dataclass(frozen=True, slots=True)
class RunSettings:
    """One graph evaluated in this process. `changes` maps (node id, input name) to a value."""

    workflow: Path = Path("workflow.json")
    changes: Mapping[tuple[str, str], Any] = field(default_factory=dict[tuple[str, str], Any])
    seed: int | None = None
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class TestSettings:
    """Files of workflow tests; `keep` is where the pictures that they drew are left, None for nowhere."""

    __test__ = False  # no class of tests to a test runner

    files: tuple[Path, ...] = ()
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """A graph in a file, and what is to be written of it."""

    source: Path = Path("workflow.json")
    python: Path | None = None
    json: Path | None = None
    workflow: Path | None = None


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """A worker: the server that it dials. With `lifeline` it ends when its standard input is closed."""

    connect: str = ""
    secret: str = field(default="", repr=False)
    lifeline: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Only the part of `command` was asked for; the other parts hold defaults.

    `notes` tell of options that have no effect here.
    """

    command: Command = "serve"
    verbose: bool = False
    directories: DirectorySettings = field(default_factory=DirectorySettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    run: RunSettings = field(default_factory=RunSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    test: TestSettings = field(default_factory=TestSettings)
    export: ExportSettings = field(default_factory=ExportSettings)
    train_arguments: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_arguments(cls, argv: Sequence[str], environ: Mapping[str, str] | None = None) -> Settings:
        """The settings that a command line asks for.

        Args:
            argv: the words after the program's name. Without a command the command is `serve`.
            environ: where the worker's secret and the screen are looked for; the process's environment by default.

        Raises:
            InvalidRequest: a combination that must not be, such as an open address without a token.
            SystemExit: `--help`, or words that argparse refuses.
        """
        words = list(argv)
        leads = words[0] if words else ""
        if leads not in _COMMANDS and leads not in ("-h", "--help"):
            words.insert(0, "serve")
        environ = os.environ if environ is None else environ
        words, notes = (words, []) if words[0] == "train" else translated(words)
        said, rest = _parser().parse_known_args(words)
        if rest and said.command != "train":
            _parser().error(f"unrecognised words: {' '.join(rest)}")
        return cls(
            command=said.command,
            verbose=said.verbose,
            directories=_directories(said),
            engine=_engine(said),
            serve=_serve(said, environ) if said.command == "serve" else ServeSettings(),
            run=_run(said) if said.command == "run" else RunSettings(),
            worker=_worker(said, environ),
            test=TestSettings(tuple(said.files), said.keep) if said.command == "test" else TestSettings(),
            export=_export(said) if said.command == "export" else ExportSettings(),
            train_arguments=tuple(rest),
            notes=tuple(notes),
        )

    def worker_arguments(self, url: str) -> list[str]:
        """The command line, without the interpreter and `main.py`, of a local worker for a server at `url`."""
        places = self.directories
        said = ["worker", "--connect", url, "--lifeline", "--base-directory", str(places.base)]
        for name in ("input", "output", "temp", "user"):
            said += [f"--{name}-directory", str(getattr(places, name))]
        said += ["--models-directory", str(places.models[0])]
        for path in places.extra_model_paths:
            said += ["--extra-model-paths-config", str(path)]
        return [*said, *self.engine.arguments(), *(["--verbose"] if self.verbose else [])]


def parse(argv: Sequence[str] | None = None) -> Settings:
    """The settings of a command line, `sys.argv` by default. See `Settings.from_arguments`."""
    return Settings.from_arguments(sys.argv[1:] if argv is None else argv)


def is_loopback(address: str) -> bool:
    """Whether listening on `address` is reachable from this machine only."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="main.py", description="Latent Loom draws pictures with diffusion models.", allow_abbrev=False
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shared = _shared_options()
    serve = commands.add_parser("serve", parents=[shared], help="the editor and the HTTP API (default)")
    _add_serve_options(serve)
    run = commands.add_parser("run", parents=[shared], help="evaluate one workflow file, no server")
    run.add_argument("workflow", type=Path, help="a workflow or prompt (.json), or a picture that holds one")
    run.add_argument("--set", action="append", default=[], metavar="NODE.INPUT=VALUE", dest="changes")
    run.add_argument("--seed", type=int, help="the seed of every node that has one")
    run.add_argument("--output", type=Path, metavar="DIR", help="where pictures go (the output directory)")
    run.add_argument("--quiet", action="store_true", help="say nothing but errors")
    worker = commands.add_parser("worker", parents=[shared], help="evaluate graphs for a server")
    worker.add_argument("--connect", required=True, metavar="URL", help="ws://HOST:PORT/link")
    worker.add_argument("--lifeline", action="store_true", help="end when standard input is closed")
    test = commands.add_parser("test", parents=[shared], help="run tests of workflows")
    test.add_argument("files", type=Path, nargs="+", metavar="FILE", help="see docs/testing-workflows.md")
    test.add_argument("--keep", type=Path, metavar="DIR", help="leave the pictures there that the tests drew")
    export = commands.add_parser("export", parents=[shared], help="a graph as a script or as JSON")
    export.add_argument("source", type=Path, metavar="FILE", help="a workflow, prompt, picture or exported script")
    export.add_argument("--python", type=Path, metavar="FILE", help="write a script that builds and queues the graph")
    export.add_argument("--json", type=Path, metavar="FILE", help="write the prompt, as POST /prompt takes it")
    export.add_argument("--workflow", type=Path, metavar="FILE", help="write the saved workflow, with its layout")
    commands.add_parser("train", parents=[shared], help="train a model", add_help=False, allow_abbrev=False)
    return parser


def _shared_options() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--verbose", action="store_true", help="log more")
    shared.add_argument("--base-directory", type=Path, metavar="DIR", help="models, input, output, temp and user")
    for name in ("input", "output", "temp", "user"):
        shared.add_argument(f"--{name}-directory", type=Path, metavar="DIR")
    shared.add_argument("--models-directory", type=Path, metavar="DIR", help="one folder for each kind of model")
    shared.add_argument("--extra-model-paths-config", type=Path, nargs="+", action="extend", default=[], metavar="YAML")
    shared.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps …")
    shared.add_argument("--cpu", action="store_const", const="cpu", dest="device", help="the same as --device cpu")
    shared.add_argument(
        "--precision", default="auto", choices=("auto", "float32", "bfloat16", "float16"), help="of network and VAE"
    )
    shared.add_argument("--force-fp32", action="store_const", const="float32", dest="precision", help="float32")
    shared.add_argument("--preview-method", default="auto", choices=("none", "auto", "latent2rgb", "taesd"))
    shared.add_argument("--preview-size", type=int, default=512, metavar="PIXELS", help="longest side of a preview")
    shared.add_argument("--cache-gib", type=float, metavar="GIB", help="memory for results of nodes")
    kept = shared.add_mutually_exclusive_group()
    kept.add_argument(
        "--cache-ram",
        type=float,
        nargs="*",
        metavar="GIB",
        help="keep as many results as --cache-gib holds (default), and leave that much memory free for others; "
        "a second number is for results that the latest graph does not use",
    )
    for mode, told in _CACHE_MODES.items():
        kept.add_argument(f"--cache-{mode}", action="store_const", const=mode, dest="cache", default="ram", help=told)
    kept.add_argument("--cache-lru", type=int, metavar="N", help="keep the latest graph and the N latest results")
    shared.add_argument(
        "--no-custom-nodes", "--safe-mode", "--disable-all-custom-nodes", action="store_true", help="load no node packs"
    )
    shared.add_argument(
        "--whitelist-custom-nodes", nargs="+", default=[], metavar="PACK", help="but these, with --no-custom-nodes"
    )
    shared.add_argument(
        "--disable-metadata", action="store_false", dest="metadata", help="leave graphs out of saved files"
    )
    return shared


def _add_serve_options(parser: argparse.ArgumentParser) -> None:
    usual = ServeSettings()
    parser.add_argument(
        "--listen", nargs="?", const="0.0.0.0", default=usual.listen, metavar="ADDRESS", help="several with , between"
    )
    parser.add_argument("--port", type=int, default=usual.port, help="0 takes a free one")
    parser.add_argument("--token", help="what a client must show; required for an address that others can reach")
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="a further name of this host")
    parser.add_argument("--open", action=argparse.BooleanOptionalAction, default=True, dest="open_browser")
    parser.add_argument("--max-upload-size", type=float, default=100, metavar="MB")
    parser.add_argument("--cancel-grace", type=float, default=usual.cancel_grace_seconds, metavar="SECONDS")
    parser.add_argument("--lease", type=float, default=usual.lease_seconds, metavar="SECONDS")
    parser.add_argument(
        "--keep-jobs", type=int, default=usual.keep_jobs, metavar="N", help="how many jobs the history holds"
    )
    parser.add_argument(
        "--keep-days", type=float, default=usual.keep_days, metavar="DAYS", help="forget jobs that ended before that"
    )
    parser.add_argument("--workers", type=int, default=usual.workers, help="how many local workers to start")
    parser.add_argument("--front-end-root", type=Path, metavar="DIR", help="serve another editor; see docs/http.md")
    parser.add_argument(
        "--enable-cors-header", nargs="?", const="*", dest="cors", metavar="ORIGIN", help="a site whose pages may ask"
    )
    parser.add_argument("--tls-keyfile", type=Path, metavar="PEM", help="encrypt: the key …")
    parser.add_argument("--tls-certfile", type=Path, metavar="PEM", help="… and the certificate")
    parser.add_argument("--multi-user", action="store_true", help="settings and files for each user")
    parser.add_argument("--feature-flag", action="append", default=[], metavar="KEY[=VALUE]", help="told to clients")
    parser.add_argument("--enable-compress-response-body", action="store_true", dest="compress", help="pack answers")


def _directories(said: argparse.Namespace) -> DirectorySettings:
    base = (said.base_directory or PROGRAM_DIRECTORY).absolute()
    output = getattr(said, "output", None) or said.output_directory
    # The small checkpoint that comes with the program stays in reach when the base directory is elsewhere.
    roots = dict.fromkeys(((said.models_directory or base / "models").absolute(), PROGRAM_DIRECTORY / "models"))
    usual = base / "extra_model_paths.yaml"
    extra = [path.absolute() for path in said.extra_model_paths_config]
    return DirectorySettings(
        base=base,
        input=(said.input_directory or base / "input").absolute(),
        output=(output or base / "output").absolute(),
        temp=(said.temp_directory or base / "temp").absolute(),
        user=(said.user_directory or base / "user").absolute(),
        custom_nodes=base / "custom_nodes",
        models=tuple(roots),
        extra_model_paths=tuple(dict.fromkeys([*([usual] if usual.is_file() else []), *extra])),
    )


def _engine(said: argparse.Namespace) -> EngineSettings:
    if not 16 <= said.preview_size <= 4096:
        raise InvalidRequest(f"A preview of {said.preview_size} pixels is not possible.", remedy="Use 16 to 4096.")
    if said.cache_lru is not None and said.cache_lru < 1:
        raise InvalidRequest(f"--cache-lru {said.cache_lru} keeps nothing.", remedy="Use 1 or more, or --cache-none.")
    free: list[float] = said.cache_ram or []
    if len(free) > 2 or any(not 0 <= each < 1 << 20 for each in free):
        told = " ".join(f"{each:g}" for each in free)
        raise InvalidRequest(f"--cache-ram {told} says nothing.", remedy="Give one or two numbers of GiB, from 0.")
    return EngineSettings(
        cache="lru" if said.cache_lru is not None else said.cache,
        cache_entries=said.cache_lru or 0,
        device=said.device,
        precision=said.precision,
        preview_method=said.preview_method,
        preview_size=said.preview_size,
        cache_gib=said.cache_gib,
        cache_free=(free[0], free[-1]) if free else None,
        load_custom_nodes=not said.no_custom_nodes,
        only_packs=tuple(said.whitelist_custom_nodes),
        metadata=said.metadata,
    )


def _serve(said: argparse.Namespace, environ: Mapping[str, str]) -> ServeSettings:
    if not 0 <= said.port <= 65535:
        raise InvalidRequest(f"{said.port} is not a port.", remedy="Use a number from 0 to 65535.")
    if said.max_upload_size <= 0 or said.cancel_grace < 0 or said.lease <= 0 or said.workers < 0:
        raise InvalidRequest("Sizes, times and counts cannot be negative or zero.", remedy="Leave the option out.")
    if said.keep_jobs < 1 or (said.keep_days is not None and said.keep_days <= 0):
        raise InvalidRequest("A history cannot hold less than one job.", remedy="Use --keep-jobs 1 --keep-days 0.1.")
    _refuse_strangers(said)
    front_end = said.front_end_root
    if front_end is not None and not (front_end / "index.html").is_file():
        raise InvalidRequest(
            f"--front-end-root {front_end} holds no index.html.",
            remedy="Name the folder static of the package comfyui-frontend-package.",
        )
    return ServeSettings(
        listen=said.listen,
        port=said.port,
        token=said.token or None,
        allowed_hosts=tuple(name.lower() for name in said.allow_host),
        open_browser=said.open_browser and _has_screen(environ),
        max_upload_bytes=int(said.max_upload_size * (1 << 20)),
        cancel_grace_seconds=said.cancel_grace,
        lease_seconds=said.lease,
        keep_jobs=said.keep_jobs,
        keep_days=said.keep_days,
        workers=said.workers,
        front_end=front_end.absolute() if front_end is not None else None,
        cors=origin(said.cors) if said.cors is not None else None,
        features=features(said.feature_flag),
        multi_user=said.multi_user,
        compress=said.compress,
        tls=tls_files(said.tls_keyfile, said.tls_certfile),
    )


def _refuse_strangers(said: argparse.Namespace) -> None:
    """Refuse what would let in others than who has the token."""
    addresses = ServeSettings(listen=said.listen).addresses
    if not addresses:
        raise InvalidRequest("--listen names no address.", remedy="Leave it out, or name one such as 127.0.0.1.")
    if not all(map(is_loopback, addresses)) and not said.token:
        raise InvalidRequest(
            f"Listening on {said.listen} would let everybody in reach run graphs and read files on this machine.",
            remedy="Add --token SECRET, or listen on 127.0.0.1.",
        )
    if said.cors == "*" and not said.token:
        raise InvalidRequest(
            "--enable-cors-header without an origin would let every page that a browser here shows run graphs.",
            remedy="Name the site: --enable-cors-header http://localhost:3000; or add --token SECRET.",
        )


def _has_screen(environ: Mapping[str, str]) -> bool:
    """Whether a browser would open in a window. Without one some systems open a browser for terminals."""
    return sys.platform in ("win32", "darwin") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _run(said: argparse.Namespace) -> RunSettings:
    return RunSettings(
        workflow=said.workflow,
        changes=dict(_change(text) for text in said.changes),
        seed=said.seed,
        quiet=said.quiet,
    )


def _export(said: argparse.Namespace) -> ExportSettings:
    if said.python is said.json is said.workflow is None:
        raise InvalidRequest("Nothing is to be written.", remedy="Add --python FILE, --json FILE or --workflow FILE.")
    return ExportSettings(said.source, said.python, said.json, said.workflow)


def _change(text: str) -> tuple[tuple[str, str], Any]:
    """`3.seed=7` as (("3", "seed"), 7). The value is JSON where it can be read so, else text."""
    place, equals, value = text.partition("=")
    node, dot, name = place.rpartition(".")
    if not (equals and dot and node and name):
        raise InvalidRequest(f"--set {text} is not understood.", remedy="Write --set NODE.INPUT=VALUE.")
    return (node, name), json_or_text(value)


def _worker(said: argparse.Namespace, environ: Mapping[str, str]) -> WorkerSettings:
    if said.command != "worker":
        return WorkerSettings()
    secret = environ.get(SECRET_VARIABLE, "")
    if not secret:
        raise InvalidRequest(
            "A worker needs the server's secret.", remedy=f"Set {SECRET_VARIABLE} in the worker's environment."
        )
    return WorkerSettings(connect=said.connect, secret=secret, lifeline=said.lifeline)
