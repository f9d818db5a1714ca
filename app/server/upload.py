"""Files from clients: pictures, masks, anything that graphs read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from app.errors import InvalidRequest, TooLarge
from app.graph.json_values import is_dict
from app.server import machine_shapes
from app.server.operation import Media, operation
from app.server.pictures import with_alpha_of
from app.server.replies import parse_json, reply
from app.server.services import Services, services_of
from app.store.folders import split_annotation
from app.store.names import inside

# What graphs read. Nothing of it is run anywhere; what a browser may show of it is up to `view.INLINE`.
TYPES = frozenset({
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".heic", ".bmp", ".tif", ".tiff", ".exr", ".hdr", ".jxl",
    ".psd", ".svg", ".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".mp3", ".wav", ".ogg", ".flac", ".opus", ".m4a",
    ".aac", ".glb", ".gltf", ".obj", ".mtl", ".stl", ".fbx", ".ply", ".splat", ".ksplat", ".spz", ".usdz", ".bvh",
    ".json", ".txt", ".csv", ".srt", ".yaml", ".yml", ".latent", ".safetensors", ".npy", ".npz", ".cube", ".ttf",
    ".otf", ".zip", ".pdf",
})  # fmt: skip
_CHUNK = 1 << 18
_LONGEST_FIELD = 1 << 16
_MOST_PARTS = 32
_TRIES = 10_000


@dataclass(slots=True)
class _Form:
    """A form as read: text fields, and one file that was written to `part`."""

    part: Path
    fields: dict[str, str] = field(default_factory=dict[str, str])
    filename: str = ""


def routes() -> list[web.RouteDef]:
    """POST /upload/image and /upload/mask."""
    return [web.post("/upload/image", upload_image), web.post("/upload/mask", upload_mask)]


@operation(machine_shapes.FileReference, body=Media("multipart/form-data"))
async def upload_image(request: web.Request) -> web.Response:
    """Keep a file. One of that name and other content stays; the new one is numbered, unless `overwrite`."""
    services = services_of(request)
    async with _form(request, services) as form:
        return await _keep(services, form)


@operation(machine_shapes.FileReference, body=Media("multipart/form-data"))
async def upload_mask(request: web.Request) -> web.Response:
    """Keep the picture `original_ref` with the alpha of the uploaded one."""
    services = services_of(request)
    async with _form(request, services) as form:
        original = _original(services, form.fields.get("original_ref", ""))
        painted = await asyncio.to_thread(with_alpha_of, original, form.part)
        await asyncio.to_thread(form.part.write_bytes, painted)
        return await _keep(services, form)


async def _keep(services: Services, form: _Form) -> web.Response:
    kind = form.fields.get("type", "input")
    subfolder = form.fields.get("subfolder", "")
    folder = inside(services.folders.directory(kind), subfolder)
    path = inside(folder, form.filename)
    if path.suffix.lower() not in TYPES:
        raise InvalidRequest(
            f"Files such as {path.name[-60:]!r} are not taken.", remedy="Send a picture, a video, audio or a model."
        )
    overwrite = form.fields.get("overwrite", "").lower() in ("true", "1")
    name = await asyncio.to_thread(_place, form.part, path, overwrite)
    return reply({"name": (Path(form.filename).parent / name).as_posix(), "subfolder": subfolder, "type": kind})


@asynccontextmanager
async def _form(request: web.Request, services: Services) -> AsyncGenerator[_Form]:
    if not request.content_type.startswith("multipart/"):
        raise InvalidRequest("A file comes as multipart/form-data.", remedy="Send a form with a field named image.")
    folder = services.folders.temp / "uploads"
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    form = _Form(folder / f"{uuid.uuid4().hex}.part")
    try:
        await _read(request, form, services.settings.serve.max_upload_bytes)
        if not form.filename:
            raise InvalidRequest("The form holds no file.", remedy="Send a field named image with a file name.")
        yield form
    finally:
        await asyncio.to_thread(form.part.unlink, missing_ok=True)


async def _read(request: web.Request, form: _Form, most: int) -> None:
    try:
        reader = await request.multipart()
        for _ in range(_MOST_PARTS):
            part = await reader.next()
            if part is None:
                return
            if not isinstance(part, BodyPartReader):
                raise InvalidRequest("A form within a form is not taken.")
            if part.name == "image" and part.filename:
                form.filename = part.filename
                await _write(part, form.part, most)
            elif part.name:
                form.fields[part.name] = await _text(part)
    except (ValueError, AssertionError, web.RequestPayloadError, HttpProcessingError) as broken:
        raise InvalidRequest(f"The form cannot be read: {str(broken)[:200]}") from broken
    raise InvalidRequest(f"The form has more than {_MOST_PARTS} fields.")


async def _write(part: BodyPartReader, path: Path, most: int) -> None:
    size = 0
    with open(path, "wb") as file:
        while chunk := await part.read_chunk(_CHUNK):
            size += len(chunk)
            if size > most:
                raise TooLarge(f"The file is larger than {most} bytes.", remedy="Use --max-upload-size.")
            await asyncio.to_thread(file.write, chunk)


async def _text(part: BodyPartReader) -> str:
    content = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        content += chunk
        if len(content) > _LONGEST_FIELD:
            raise TooLarge(f"The field {str(part.name)[:40]!r} is too long.")
    return content.decode("utf-8")


def _original(services: Services, text: str) -> Path:
    if not text:
        raise InvalidRequest("original_ref is missing.", remedy='Send original_ref={"filename": "…"}.')
    reference = parse_json(text)
    if not is_dict(reference) or not isinstance(reference.get("filename"), str):
        raise InvalidRequest("original_ref names no file.", remedy='Send original_ref={"filename": "…"}.')
    name, kind = split_annotation(reference["filename"], str(reference.get("type") or "output"))
    folder = inside(services.folders.directory(kind), str(reference.get("subfolder") or ""))
    path = inside(folder, name)
    if not name or not path.is_file():
        raise InvalidRequest(f"There is no picture {json.dumps(name)[:200]} in {kind}.", remedy="Save it first.")
    return path


def _place(part: Path, path: Path, overwrite: bool) -> str:
    """Give the file its name, or another where that is taken by other content; returns the name."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as broken:
        raise InvalidRequest(f"A file stands where {path.name!r} needs a folder.") from broken
    if path.is_dir():
        raise InvalidRequest(f"{path.name!r} is a folder.", remedy="Use another name.")
    if overwrite:
        part.replace(path)
        return path.name
    content = _digest(part)
    for candidate in _candidates(path):
        if _claim(part, candidate) or (candidate.is_file() and _digest(candidate) == content):
            return candidate.name
    raise InvalidRequest(f"There are too many files called {path.name!r}.", remedy="Use another name.")


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    for number in range(1, _TRIES):
        yield path.with_name(f"{path.stem} ({number}){path.suffix}")


def _claim(part: Path, path: Path) -> bool:
    """Let `path` be the file, unless the name is taken."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        path.write_bytes(part.read_bytes())
    return True


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
