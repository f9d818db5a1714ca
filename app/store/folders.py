"""Which files there are: models by kind, and the input, output, temp and user directories."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from app.errors import Forbidden, InvalidRequest, Missing, Unavailable
from app.graph.json_values import is_dict
from app.store.names import check_name, inside

WEIGHTS = frozenset({".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf"})
_TEXTS = frozenset({".yaml", ".yml", ".json"})
_ANY: frozenset[str] = frozenset()

# Kind of model → names of its folders below a models root, as users of the reference have them.
_KINDS: Mapping[str, tuple[str, ...]] = {
    "checkpoints": ("checkpoints",),
    "configs": ("configs",),
    "loras": ("loras",),
    "vae": ("vae",),
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("diffusion_models", "unet"),
    "clip_vision": ("clip_vision",),
    "style_models": ("style_models",),
    "embeddings": ("embeddings",),
    "diffusers": ("diffusers",),
    "vae_approx": ("vae_approx",),
    "controlnet": ("controlnet", "t2i_adapter"),
    "gligen": ("gligen",),
    "upscale_models": ("upscale_models",),
    "latent_upscale_models": ("latent_upscale_models",),
    "hypernetworks": ("hypernetworks",),
    "photomaker": ("photomaker",),
    "classifiers": ("classifiers",),
    "model_patches": ("model_patches",),
    "audio_encoders": ("audio_encoders",),
}
_OLD_NAMES: Mapping[str, str] = {"clip": "text_encoders", "unet": "diffusion_models"}
TINY_VAES, PIXEL_SPACE = ("taesd", "taesdxl", "taesd3", "taef1"), "pixel_space"
FOLDER_MARK = "/model_index.json"
INPUT_FOLDERS = "input folders"
# Where graphs that save models put them below the output folder, so that they can be loaded at once.
_SAVED: Mapping[str, str] = {
    "checkpoints": "checkpoints",
    "text_encoders": "clip",
    "vae": "vae",
    "diffusion_models": "diffusion_models",
    "loras": "loras",
}
_FRESH_SECONDS = 2.0
_DEEPEST = 12
_SUFFIXES = (" [output]", " [input]", " [temp]")


@dataclass(frozen=True, slots=True)
class _Listing:
    """Names found, with the modification times (ns) of the directories that were read."""

    names: tuple[str, ...]
    times: Mapping[str, int]
    read_at: float


@dataclass(slots=True)
class Folders:
    """All directories of an installation.

    `models` maps a kind to its folders, first found wins; add a kind or a folder with `add_models_folder`.
    """

    input: Path
    output: Path
    temp: Path
    user: Path
    models: dict[str, tuple[Path, ...]] = field(default_factory=dict[str, tuple[Path, ...]])
    _listings: dict[str, _Listing] = field(default_factory=dict[str, _Listing], repr=False)

    def prepare(self) -> None:
        """Make the directories that users are pointed to.

        Raises:
            Unavailable: one that is written to cannot be made. Models may lie where nothing can be.
        """
        try:
            for path in (self.input, self.output, self.temp, self.user):
                path.mkdir(parents=True, exist_ok=True)
        except OSError as broken:
            raise Unavailable(
                f"A folder cannot be made: {broken}", remedy="Make its place writable, or use --base-directory."
            ) from broken
        for paths in self.models.values():
            with suppress(OSError):
                paths[0].mkdir(parents=True, exist_ok=True)

    def directory(self, kind: str) -> Path:
        """The directory called "input", "output" or "temp" by clients.

        Raises:
            InvalidRequest: another word.
        """
        if kind not in ("input", "output", "temp"):
            raise InvalidRequest(f"There is no directory of type {kind[:40]!r}.", remedy="Use input, output or temp.")
        return {"input": self.input, "output": self.output, "temp": self.temp}[kind]

    def annotated(self, name: str, default: str = "input") -> Path:
        """The path of a file as a widget names it: `sub/name.png`, perhaps followed by ` [output]`.

        Raises:
            Forbidden: the name leaves its directory.
        """
        name, kind = split_annotation(name, default)
        return inside(self.directory(kind), name)

    def add_models_folder(self, kind: str, path: Path, *, first: bool = False) -> None:
        """Let `path` hold models of a kind, known or new."""
        kind = _OLD_NAMES.get(kind, kind)
        there = self.models.get(kind, ())
        if path not in there:
            self.models[kind] = (path, *there) if first else (*there, path)

    def kind(self, name: str) -> str:
        """The kind that `name` or one of its old names stands for.

        Raises:
            Missing: no such kind.
        """
        kind = _OLD_NAMES.get(name, name)
        if kind not in self.models:
            raise Missing(f"There is no models folder {name[:60]!r}.", remedy=f"There are: {', '.join(self.models)}.")
        return kind

    def model(self, kind: str, name: str) -> Path:
        """The path of a model by kind and relative name.

        Raises:
            Missing: not there; the message says where it was looked for.
            Forbidden: a name that leaves the folder.
        """
        folders = self.models[self.kind(kind)]
        for folder in folders:
            path = inside(folder, name, follow_links=True)
            if path.exists():
                return path
        raise Missing(f"There is no {name!r} among the {kind}.", remedy=f"Put it into {folders[0]}.")

    def names(self, kind: str) -> tuple[str, ...]:
        """The relative file names of a kind of model, or of "input"; sorted, "/" between folders.

        Of "input folders", those of the folders in there that hold files.

        Reading is skipped while no directory involved has changed.
        """
        if kind == "input":
            return self._listed("input", (self.input,), _ANY)
        if kind == INPUT_FOLDERS:
            holding = {name.rpartition("/")[0] for name in self.names("input") if "/" in name}
            above = {parent.as_posix() for name in holding for parent in PurePosixPath(name).parents}
            return tuple(sorted((holding | above) - {"."}, key=str.casefold))
        kind = self.kind(kind)
        names = self._listed(kind, self.models[kind], _extensions(kind))
        if kind == "diffusers":  # a model is a folder there
            return tuple(name.removesuffix(FOLDER_MARK) for name in names if name.endswith(FOLDER_MARK))
        return names

    def _listed(self, kind: str, roots: Sequence[Path], extensions: frozenset[str]) -> tuple[str, ...]:
        known = self._listings.get(kind)
        if known is None or not _still_true(known):
            known = self._listings[kind] = _list_files(roots, extensions)
        return known.names


def tiny_vaes(names: Sequence[str]) -> Mapping[str, tuple[str, str]]:
    """The small VAEs whose encoder and decoder are both among the names of files, and the names of those."""
    halves = {
        name: [
            next((file for file in names if file.rpartition("/")[2].startswith(f"{name}_{half}.")), "")
            for half in ("encoder", "decoder")
        ]
        for name in TINY_VAES
    }
    return {name: (encoder, decoder) for name, (encoder, decoder) in halves.items() if encoder and decoder}


class FileNames(Mapping[str, tuple[str, ...]]):
    """Folder name → file names, read when asked for: what validation and the node catalogue look combos up in."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def __getitem__(self, kind: str) -> tuple[str, ...]:
        try:
            names = self._folders.names(kind)
        except Missing as missing:
            raise KeyError(kind) from missing
        if kind == "vae":  # beside files of its own, what two files make, and what needs none
            return (*names, *tiny_vaes(self._folders.names("vae_approx")), PIXEL_SPACE)
        return names

    def __iter__(self) -> Iterator[str]:
        return iter(["input", INPUT_FOLDERS, *self._folders.models])

    def __len__(self) -> int:
        return 2 + len(self._folders.models)


def open_folders(
    *, models: Sequence[Path], input: Path, output: Path, temp: Path, user: Path, extra: Sequence[Path] = ()
) -> Folders:
    """The folders of an installation.

    Args:
        models: roots that hold one folder per kind; files are added to the first.
        input: pictures that graphs read.
        output: pictures that graphs make.
        temp: what may be deleted.
        user: settings, workflows and the database.
        extra: files in the form of the reference's `extra_model_paths.yaml`.
    """
    kinds = {kind: tuple(root / name for root in models for name in names) for kind, names in _KINDS.items()}
    folders = Folders(input=input, output=output, temp=temp, user=user, models=kinds)
    for kind, name in _SAVED.items():
        folders.add_models_folder(kind, output / name)
    for path in extra:
        for kind, folder, first in read_extra_paths(path):
            folders.add_models_folder(kind, folder, first=first)
    return folders


def read_extra_paths(path: Path) -> Iterator[tuple[str, Path, bool]]:
    """(kind, folder, whether it comes first) for each entry of an `extra_model_paths.yaml`.

    Raises:
        InvalidRequest: a file that cannot be read so.
    """
    import yaml  # only those who bring such a file pay for the import

    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as broken:
        raise InvalidRequest(f"{path} cannot be read: {broken}", remedy="Mend or remove the file.") from broken
    for section in data.values() if is_dict(data) else ():
        if is_dict(section):
            yield from _section_paths(section, path.parent)


def split_annotation(name: str, default: str) -> tuple[str, str]:
    """(name, type of directory) of a widget's file name: `a.png [temp]` is ("a.png", "temp")."""
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix), suffix[2:-1]
    return name, default


def _section_paths(section: Mapping[str, Any], beside: Path) -> Iterator[tuple[str, Path, bool]]:
    settings = dict(section)
    base = beside / os.path.expanduser(os.path.expandvars(str(settings.pop("base_path", None) or "")))
    first = bool(settings.pop("is_default", False))
    for kind, value in settings.items():
        for line in str(value or "").splitlines():
            if line.strip():
                yield str(kind), (base / os.path.expanduser(line.strip())).absolute(), first


def _extensions(kind: str) -> frozenset[str]:
    return _TEXTS if kind == "configs" else _ANY if kind == "diffusers" else WEIGHTS


def _still_true(listing: _Listing) -> bool:
    # A directory's time may be too coarse to show a second change, so a listing of something fresh is read again.
    newest = max(listing.times.values(), default=0) / 1e9
    if listing.read_at - newest < _FRESH_SECONDS:
        return False
    return all(_modified(path) == when for path, when in listing.times.items())


def _list_files(roots: Iterable[Path], extensions: frozenset[str]) -> _Listing:
    names: dict[str, None] = {}
    times: dict[str, int] = {}
    now = time.time()
    for root in roots:
        seen: set[str] = set()
        for place, subfolders, files in os.walk(root, followlinks=True):
            real = os.path.realpath(place)
            relative = Path(place).relative_to(root)
            if real in seen or len(relative.parts) > _DEEPEST:  # links that lead back up would be walked for ever
                subfolders.clear()
                continue
            seen.add(real)
            times[place] = _modified(place)
            subfolders[:] = sorted(_shown(subfolders))
            names.update(
                ((relative / name).as_posix(), None)
                for name in _shown(files)
                if not extensions or Path(name).suffix.lower() in extensions
            )
        times.setdefault(str(root), _modified(str(root)))
    return _Listing(tuple(sorted(names, key=str.casefold)), times, now)


def _shown(names: Iterable[str]) -> Iterator[str]:
    """Names that clients can use: not hidden, and such that `inside` takes them."""
    for name in names:
        if not name.startswith("."):
            try:
                check_name(name)
            except Forbidden:
                continue
            yield name


def _modified(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
