"""`folder_paths`: where files are. `folder_names_and_paths` is alive: what packs put into it is found from then on."""

from __future__ import annotations

import mimetypes
import os
import re
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from app.errors import Forbidden, InvalidRequest, Missing
from app.extend.facade.host import HOST
from app.store.folders import split_annotation
from app.store.names import inside

supported_pt_extensions: set[str] = {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}
extension_mimetypes_cache: dict[str, str] = {"webp": "image", "fbx": "model"}
MIMETYPE_WORDS = ("image", "video", "audio", "model")
LEGACY = {"unet": "diffusion_models", "clip": "text_encoders"}
DEEPEST = 12

Kinds = dict[str, tuple[list[str], set[str]]]


class FileList(list[str]):
    """The names of a folder's files. As the options of a combo it stays up to date: the folder is asked each time."""

    def __init__(self, names: Iterable[str], kind: str) -> None:
        super().__init__(names)
        self.kind = kind
        self.made_with = len(self)


def __getattr__(name: str) -> Any:
    """The attributes that depend on the installation."""
    if name.startswith("__"):
        raise AttributeError(name)
    host = HOST.now
    if name == "folder_names_and_paths":
        return host.attributes.setdefault("folder_names_and_paths", _kinds())
    if name in ("input_directory", "output_directory", "temp_directory", "user_directory"):
        return str(getattr(host.folders, name.removesuffix("_directory")))
    if name == "base_path":
        return host.launch.base_directory or str(host.folders.input.parent)
    if name == "models_dir":
        return host.attributes.get("models_dir") or _models_dir()
    if name == "filename_list_cache":
        return host.attributes.setdefault("filename_list_cache", {})
    raise AttributeError(f"module 'folder_paths' has no attribute {name!r}")


def _kinds() -> Kinds:
    kinds: Kinds = {}
    for kind, paths in HOST.now.folders.models.items():
        extensions = {".yaml"} if kind == "configs" else {"folder"} if kind == "diffusers" else set[str]()
        kinds[kind] = ([str(path) for path in paths], extensions or set(supported_pt_extensions))
    kinds.setdefault("custom_nodes", ([os.path.join(__getattr__("base_path"), "custom_nodes")], set()))
    return kinds


def _models_dir() -> str:
    checkpoints = HOST.now.folders.models.get("checkpoints", (HOST.now.folders.input.parent / "models" / "x",))
    return str(checkpoints[0].parent)


def _known() -> Kinds:
    return __getattr__("folder_names_and_paths")


def map_legacy(folder_name: str) -> str:
    """The name that an old one stands for today."""
    return LEGACY.get(folder_name, folder_name)


def add_model_folder_path(folder_name: str, full_folder_path: str, is_default: bool = False) -> None:
    """Let a folder hold models of a kind; a new kind takes files of every type."""
    folder_name = map_legacy(folder_name)
    paths, _ = _known().setdefault(folder_name, ([], set()))
    if full_folder_path in paths:
        paths.remove(full_folder_path)
    paths.insert(0 if is_default else len(paths), full_folder_path)
    HOST.now.folders.add_models_folder(folder_name, Path(full_folder_path), first=is_default)


def get_folder_paths(folder_name: str) -> list[str]:
    """The folders of a kind. Raises KeyError for an unknown one."""
    return list(_known()[map_legacy(folder_name)][0])


def get_filename_list(folder_name: str) -> FileList:
    """The relative names of a kind's files, sorted. Raises KeyError for an unknown kind."""
    folder_name = map_legacy(folder_name)
    paths, extensions = _known()[folder_name]
    names: dict[str, None] = {}
    for path in paths:
        found, _ = recursive_search(path, [".git"])
        names.update(dict.fromkeys(filter_files_extensions(found, extensions)))
    return FileList(sorted(names), folder_name)


def get_filename_list_(folder_name: str) -> tuple[FileList, dict[str, float], float]:
    """Names, times of the folders, and now: the form that some packs cache."""
    times = {path: os.path.getmtime(path) for path in get_folder_paths(folder_name) if os.path.isdir(path)}
    return get_filename_list(folder_name), times, time.perf_counter()


def recursive_search(
    directory: str, excluded_dir_names: Sequence[str] | None = None
) -> tuple[list[str], dict[str, float]]:
    """(relative names of all files below a folder, modification times of its folders); links are followed."""
    excluded = set(excluded_dir_names or ())
    names: list[str] = []
    times: dict[str, float] = {}
    seen: set[str] = set()
    for place, folders, files in os.walk(directory, followlinks=True):
        real, relative = os.path.realpath(place), os.path.relpath(place, directory)
        if real in seen or relative.count(os.sep) >= DEEPEST:  # links that lead back up
            folders.clear()
            continue
        seen.add(real)
        times[place] = os.path.getmtime(place)
        folders[:] = [name for name in folders if name not in excluded]
        names += [os.path.normpath(os.path.join(relative, name)) for name in files]
    return names, times


def filter_files_extensions(files: Collection[str], extensions: Collection[str]) -> list[str]:
    """The names with one of these extensions, sorted; with no extensions, or "folder", all."""
    wanted = {extension.lower() for extension in extensions}
    return sorted(
        name for name in files if not wanted or "folder" in wanted or os.path.splitext(name)[-1].lower() in wanted
    )


def filter_files_content_types(files: Sequence[str], content_types: Collection[str]) -> list[str]:
    """The names whose type begins with one of "image", "video", "audio", "model"."""
    kept: list[str] = []
    for name in files:
        extension = name.rpartition(".")[2].lower()
        guessed = extension_mimetypes_cache.get(extension) or (mimetypes.guess_type(name)[0] or "").partition("/")[0]
        if guessed in content_types:
            kept.append(name)
    return kept


def get_full_path(folder_name: str, filename: str) -> str | None:
    """The path of a kind's file, None when there is no such file, or its name leaves the folder."""
    known = _known().get(map_legacy(folder_name))
    for path in known[0] if known else ():
        try:
            full = inside(Path(path), filename.replace(os.sep, "/"), follow_links=True)
        except Forbidden:
            return None
        if full.is_file():
            return str(full)
    return None


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    """As `get_full_path`. Raises FileNotFoundError with the way out."""
    path = get_full_path(folder_name, filename)
    if path is None:
        places = ", ".join(_known().get(map_legacy(folder_name), ([], set()))[0]) or "none, the kind is unknown"
        raise FileNotFoundError(f"There is no {filename!r} among the {folder_name}. Its folders are: {places}.")
    return path


def get_input_directory() -> str:
    """Pictures that graphs read."""
    return __getattr__("input_directory")


def get_output_directory() -> str:
    """Pictures that graphs make."""
    return __getattr__("output_directory")


def get_temp_directory() -> str:
    """What may be deleted."""
    return __getattr__("temp_directory")


def get_user_directory() -> str:
    """Settings and workflows."""
    return __getattr__("user_directory")


def get_system_user_directory(name: str = "system") -> str:
    """A folder for what a pack keeps beside users' files."""
    return os.path.join(get_user_directory(), f"__{name}")


def set_input_directory(input_dir: str) -> None:
    """Read pictures from elsewhere."""
    HOST.now.move("input", input_dir)


def set_output_directory(output_dir: str) -> None:
    """Write pictures elsewhere, as far as packs do it themselves."""
    HOST.now.move("output", output_dir)


def set_temp_directory(temp_dir: str) -> None:
    """Keep what may be deleted elsewhere."""
    HOST.now.move("temp", temp_dir)


def set_user_directory(user_dir: str) -> None:
    """Keep settings elsewhere."""
    HOST.now.move("user", user_dir)


def get_directory_by_type(type_name: str) -> str | None:
    """The directory called "input", "output" or "temp", None for other words."""
    try:
        return str(HOST.now.folders.directory(type_name))
    except InvalidRequest:
        return None


def get_input_subfolders() -> list[str]:
    """The folders below the input directory, relative to it, sorted."""
    root = get_input_directory()
    found = [os.path.relpath(place, root) for place, _, _ in os.walk(root) if place != root]
    return sorted(name.replace(os.sep, "/") for name in found)


def annotated_filepath(name: str) -> tuple[str, str | None]:
    """(name, directory) of "a.png [output]"; the directory is None where nothing is said."""
    plain, kind = split_annotation(name, "")
    return plain, get_directory_by_type(kind) if kind else None


def get_annotated_filepath(name: str, default_dir: str | None = None) -> str:
    """The path of a widget's file, below the input directory unless the name or `default_dir` says otherwise.

    Raises:
        Forbidden: a name that leaves its directory.
    """
    plain, directory = annotated_filepath(name)
    return str(inside(Path(directory or default_dir or get_input_directory()), plain))


def exists_annotated_filepath(name: str) -> bool:
    """Whether there is such a file; False as well for a name that leaves its directory."""
    try:
        return os.path.exists(get_annotated_filepath(name))
    except Forbidden:
        return False


def get_save_image_path(
    filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
) -> tuple[str, str, int, str, str]:
    """(folder, file name, next free number, sub-folder, prefix) for saving below `output_dir`; the folder is made.

    Raises:
        Forbidden: a prefix that leaves the folder.
    """
    prefix = _filled(filename_prefix, image_width, image_height)
    subfolder, filename = os.path.dirname(os.path.normpath(prefix)), os.path.basename(os.path.normpath(prefix))
    folder = inside(Path(output_dir), subfolder.replace(os.sep, "/"))
    os.makedirs(folder, exist_ok=True)
    taken = re.compile(re.escape(filename) + r"_(\d+)(?=[_.]|$)", re.IGNORECASE)
    numbers = [int(found[1]) for name in os.listdir(folder) if (found := taken.match(name))]
    return str(folder), filename, max(numbers, default=0) + 1, subfolder, prefix


def _filled(prefix: str, width: int, height: int) -> str:
    now = time.localtime()
    words = {
        "width": str(width),
        "height": str(height),
        "year": f"{now.tm_year}",
        "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}",
        "hour": f"{now.tm_hour:02}",
        "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }
    return re.sub(r"%(\w+)%", lambda found: words.get(found[1], found[0]), prefix)


class CacheHelper:
    """Packs wrap the listing of many folders in it; listings here are cheap, so it does nothing."""

    active = False

    def __enter__(self) -> CacheHelper:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def get(self, key: str, default: Any = None) -> Any:
        """Nothing is kept."""
        return default

    def set(self, key: str, value: Any) -> None:
        """Nothing is kept."""

    def clear(self) -> None:
        """Nothing is kept."""


cache_helper = CacheHelper()


def folder_kind(options: object) -> str | None:
    """The kind whose files these options are, None when a pack made or changed the list itself.

    Raises nothing. The kind must be one that the program itself lists.
    """
    if not isinstance(options, FileList) or len(options) != options.made_with:
        return None
    try:
        listed = HOST.now.folders.kind(options.kind)
    except Missing:
        return None
    return listed
