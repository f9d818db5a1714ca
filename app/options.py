"""Options that people's scripts pass to ComfyUI: each is taken over, passed over with a word why, or refused with one.

A start script that worked goes on working, and nobody is left to believe that an option does what it does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.errors import InvalidRequest

Values = Literal["none", "one", "may be one", "any"]


@dataclass(frozen=True, slots=True)
class Option:
    """An option of other programs' scripts.

    `becomes` are the words that stand for it here, with "{}" for its value; without any it is passed over, for the
    reason `why`. With `refused` the program does not start, since the option promises what would not be kept.
    """

    name: str
    why: str = ""
    values: Values = "none"
    becomes: tuple[str, ...] = ()
    refused: bool = False


_MEMORY = "models are kept, streamed and dropped by what the device has free"
_NUMBERS = "each network runs in the numbers that suit it and the device; --precision sets them for all"
_ATTENTION = "attention is PyTorch's own, which chooses by device and size"
_NOBODY_ASKED = "nothing here asks other machines"
_NO_MANAGER = "packs are put into custom_nodes by hand; see docs/packs.md"


def _all(names: str, why: str, values: Values = "none") -> Iterator[Option]:
    return (Option(f"--{name}", why, values) for name in names.split())


OPTIONS: Mapping[str, Option] = {
    option.name: option
    for option in (
        Option("--auto-launch", becomes=("--open",)),
        Option("--disable-auto-launch", becomes=("--no-open",)),
        Option("--windows-standalone-build", becomes=("--open",)),
        Option("--cuda-device", values="one", becomes=("--device", "cuda:{}")),
        Option("--default-device", values="one", becomes=("--device", "cuda:{}")),
        Option("--force-fp16", becomes=("--precision", "float16")),
        Option("--fp16-unet", becomes=("--precision", "float16")),
        Option("--bf16-unet", becomes=("--precision", "bfloat16")),
        Option("--fp32-unet", becomes=("--precision", "float32")),
        *_all("gpu-only highvram normalvram lowvram novram high-ram disable-smart-memory", _MEMORY),
        *_all("async-offload", _MEMORY, "may be one"),
        *_all(
            "disable-async-offload disable-pinned-memory disable-dynamic-vram mmap-torch-files disable-mmap", _MEMORY
        ),
        *_all("force-non-blocking cuda-malloc disable-cuda-malloc", _MEMORY),
        *_all("reserve-vram vram-headroom", _MEMORY, "one"),
        *_all("fp64-unet fp8_e4m3fn-unet fp8_e5m2-unet fp8_e8m0fnu-unet fp16-vae fp32-vae bf16-vae cpu-vae", _NUMBERS),
        *_all("fp8_e4m3fn-text-enc fp8_e5m2-text-enc fp16-text-enc fp32-text-enc bf16-text-enc", _NUMBERS),
        *_all("force-channels-last supports-fp8-compute fp16-intermediates", _NUMBERS),
        *_all("fast", "what makes pictures faster and not worse is always on", "any"),
        *_all("use-split-cross-attention use-quad-cross-attention use-pytorch-cross-attention", _ATTENTION),
        *_all("use-sage-attention use-flash-attention disable-xformers", _ATTENTION),
        *_all("force-upcast-attention dont-upcast-attention", _ATTENTION),
        *_all("disable-api-nodes disable-partner-nodes offline", _NOBODY_ASKED),
        *_all("comfy-api-base", _NOBODY_ASKED, "one"),
        *_all("front-end-version", "this editor is served; --front-end-root serves another", "one"),
        *_all("enable-manager disable-manager-ui enable-manager-legacy-ui", _NO_MANAGER),
        *_all("disable-assets enable-assets enable-asset-hashing", "files are found by their names and hashes always"),
        *_all("log-stdout dont-print-server disable-ipex-optimize", "it changes nothing that is seen here"),
        *_all("default-hashing-function", "files are compared by SHA-256", "one"),
        *_all("oneapi-device-selector", "the device is chosen with --device", "one"),
        Option(
            "--directml", "this PyTorch back end is not served; try --device cuda or --cpu", "may be one", refused=True
        ),
        Option("--quick-test-for-ci", "`python main.py test FILE` tests workflows", refused=True),
        Option("--database-url", "the database is user/loom.sqlite; --user-directory moves it", "one", refused=True),
        Option("--deterministic", "the same seed gives the same picture on a CPU; GPUs promise nothing", refused=True),
    )
}
_LEVELS: Mapping[str, tuple[str, ...]] = {
    "DEBUG": ("--verbose",),
    **dict.fromkeys(("INFO", "WARNING", "ERROR", "CRITICAL"), ()),
}


def translated(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line in this program's own words, and what is to be said of those that were passed over.

    Raises:
        InvalidRequest: an option that promises what would not be kept.
    """
    made: list[str] = []
    notes: list[str] = []
    rest = list(words)[::-1]
    while rest:
        word = rest.pop()
        name, equals, value = word.partition("=")
        if name == "--verbose" and rest and rest[-1].upper() in _LEVELS:
            made += _LEVELS[rest.pop().upper()]
            continue
        option = OPTIONS.get(name)
        if option is None:
            made.append(word)
            continue
        if option.refused:
            raise InvalidRequest(f"{name} is not served here: {option.why}.", remedy=f"Leave {name} out.")
        given = [value] if equals else list(_values(option, rest))
        made += [part.format(*given) for part in option.becomes]
        if not option.becomes:
            notes.append(f"{name} has no effect: {option.why}.")
    return made, notes


def _values(option: Option, rest: list[str]) -> Iterable[str]:
    """Takes an option's values off the words that follow it, which come last first."""
    most = {"none": 0, "one": 1, "may be one": 1, "any": len(rest)}[option.values]
    for _ in range(most):
        if not rest or rest[-1].startswith("--"):
            if option.values == "one":
                raise InvalidRequest(f"{option.name} lacks its value.", remedy=f"Add one, or leave {option.name} out.")
            return
        yield rest.pop()
