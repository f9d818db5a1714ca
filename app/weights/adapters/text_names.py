"""What files of adapters call the layers of text towers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# The name of a tower in files that hold all of a checkpoint.
_FILES = {"l": "clip_l", "g": "clip_g", "h": "clip_h", "t5xxl": "t5xxl", "bert": "bert"}


def text_names(tower: str, towers: Sequence[str], layer: str) -> Iterator[str]:
    """All names of a layer of one of the towers that a model has, before an adapter's own endings.

    Trainers number the towers of a model: L, bigG and T5 are the first, second and third of SD 3, L and T5 the first
    and second of Flux.
    """
    underscored = layer.replace(".", "_")
    yield f"text_encoders.{_FILES.get(tower, tower)}.transformer.{layer}"
    yield f"{_FILES.get(tower, tower)}.transformer.{layer}"
    for number in _numbers(tower, towers):
        yield f"lora_te{number}_{underscored}"
        encoder = "text_encoder" if number in ("", "1") else f"text_encoder_{number}"
        if number not in ("", "1"):
            yield f"text_encoder.{number}.{layer}"
        yield from (f"{encoder}.{layer}", f"{encoder}.base_model.model.{layer}", f"lora_{encoder}_{underscored}")
    if tower == "g":
        yield f"lora_prior_te_{underscored}"
    if tower == towers[0]:
        yield from (f"lycoris_{underscored}", f"lycoris_te_{underscored}", f"base_model.model.{layer}")


def _numbers(tower: str, towers: Sequence[str]) -> list[str]:
    if tower == "t5xxl":
        return [str(1 + list(towers).index(tower)), "3"] if "g" not in towers else ["3"]
    if tower == "g":
        return ["2"] if len(towers) > 1 else ["2", "1", ""]
    return ["", "1"]
