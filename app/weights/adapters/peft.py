"""The scales that PEFT tells beside a LoRA's tensors: in adapter_config.json, or in the header as diffusers does."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

BESIDE, HEADER = "adapter_config.json", "lora_adapter_metadata"
MODEL = "base_model.model."


@dataclass(frozen=True, slots=True)
class Scales:
    """What a configuration says of the layers whose names begin with `prefix`."""

    prefix: str
    said: Mapping[str, Any]

    def alpha(self, layer: str, rank: int) -> float | None:
        """α for a layer, such that α / rank is its scale; None where nothing is said."""
        if not layer.startswith(self.prefix):
            return None
        alpha = self._pattern("alpha_pattern", layer, self.said.get("lora_alpha"))
        if isinstance(alpha, bool) or not isinstance(alpha, int | float):
            return None
        # Rank-stabilised LoRA (Kalajdzievski 2023, arXiv:2312.03732) divides by the root.
        return alpha * math.sqrt(rank) if self.said.get("use_rslora") is True else float(alpha)

    def _pattern(self, name: str, layer: str, default: Any) -> Any:
        patterns = self.said.get(name)
        inner = layer.removeprefix(self.prefix).removeprefix(MODEL)
        for pattern, value in cast("Mapping[str, Any]", patterns if isinstance(patterns, Mapping) else {}).items():
            if _ends_so(pattern, inner):
                return value
        return default


def _ends_so(pattern: str, layer: str) -> bool:
    """As PEFT matches: the pattern is the last part of the name, or all of it."""
    try:
        return re.fullmatch(rf"(.*\.)?({pattern.removeprefix('^').removesuffix('$')})", layer) is not None
    except re.error:
        return False


def scales_told(path: Path, metadata: Mapping[str, str]) -> list[Scales]:
    """What is told beside the tensors of a file; nothing for files of other programs."""
    header = _table(metadata.get(HEADER, ""))
    if header:
        parts = {name.split(".", 1)[0] for name in header if "." in name}
        return [
            Scales(f"{part}.", {key.removeprefix(f"{part}."): value for key, value in header.items()})
            for part in sorted(parts)
        ]
    beside = path.with_name(BESIDE)
    if path.stem in ("adapter_model", "pytorch_lora_weights") and beside.is_file():
        told = _table(beside.read_text(encoding="utf-8", errors="replace"))
        return [Scales("", told)] if told else []
    return []


def _table(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
