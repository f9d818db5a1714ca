"""The files among what a job's nodes showed, and the one that stands for the job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from app.graph.json_values import is_dict, is_list

# What clients can show: by the name under which a node shows it, or by the file's ending.
_MEDIA = frozenset({"images", "video", "audio", "gifs", "3d", "text"})
_ENDINGS = frozenset({
    ".png", ".jpg", ".jpeg", ".webp", ".gif", ".avif", ".bmp", ".mp4", ".webm", ".mov", ".mkv", ".mp3", ".wav", ".ogg",
    ".flac", ".opus", ".m4a", ".gltf", ".glb", ".obj", ".fbx", ".stl", ".ply", ".splat", ".ksplat", ".spz", ".usdz",
    ".txt", ".json", ".srt", ".csv",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file that a node showed under the name `kind`."""

    node_id: str
    kind: str
    entry: Mapping[str, Any]

    @property
    def previewable(self) -> bool:
        """Whether clients can show it."""
        ending = PurePosixPath(str(self.entry["filename"])).suffix.lower()
        return self.kind in _MEDIA or ending in _ENDINGS

    def told(self) -> dict[str, Any]:
        """As the list of jobs tells it."""
        return {**self.entry, "nodeId": self.node_id, "mediaType": self.kind}


def shown_files(results: Mapping[str, Any]) -> Iterator[ShownFile]:
    """Every file that nodes showed, in their order."""
    for node_id, shown in results.items():
        for kind, entries in shown.items() if is_dict(shown) else ():
            for entry in entries if is_list(entries) else ():
                if is_dict(entry) and isinstance(entry.get("filename"), str):
                    yield ShownFile(node_id, kind, entry)


def preview_of(files: Sequence[ShownFile]) -> ShownFile | None:
    """The file that stands for the job: a lasting one rather than a temporary one, a picture rather than a text, the
    last rather than the first. None where there is nothing that can be shown."""
    shown = [(file.entry.get("type") == "output", file.kind != "text", n) for n, file in enumerate(files)]
    best = max((rank for rank, file in zip(shown, files, strict=True) if file.previewable), default=None)
    return None if best is None else files[best[-1]]
