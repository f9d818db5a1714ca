"""In which precision the parts of a model are held and computed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Self

import torch

log = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CHOICES = ("auto", *DTYPES)


@dataclass(frozen=True, slots=True)
class Precision:
    """The dtype of each part. Text encoders run once a prompt, so they can afford more than they need.

    `room` are the bytes that a network's weights may take before those that a file has in 8 bits are kept so; None
    for any number.
    """

    network: torch.dtype = torch.float32
    first_stage: torch.dtype = torch.float32
    text: torch.dtype = torch.float32
    room: int | None = None

    @classmethod
    def alike(cls, dtype: torch.dtype) -> Self:
        """One dtype for all parts."""
        return cls(dtype, dtype, dtype)


def precision_for(device: torch.device, choice: str = "auto") -> Precision:
    """The precision for a device. `choice` is one of CHOICES; a named one holds for network and first stage.

    "auto" is bfloat16 on processors that multiply in it, where pictures agree with float32 to 50 dB and take a third
    of the time, and float32 on others. On CUDA devices the network is in float16, as published weights are, and the
    first stage in bfloat16, because some published ones overflow in float16; in float32 on cards without bfloat16.
    """
    if choice == "float16" and device.type == "cpu" and not multiplies_in_float16():
        log.warning("This processor has no float16: it takes hundreds of times as long. --precision auto suits it.")
    if choice != "auto":
        return Precision(DTYPES[choice], DTYPES[choice])
    if device.type == "cuda":
        stage = torch.bfloat16 if card_multiplies_in_bfloat16(device) else torch.float32
        return Precision(torch.float16, stage, torch.float16)
    if device.type == "cpu" and multiplies_in_bfloat16():
        return Precision(torch.bfloat16, torch.bfloat16)
    return Precision()


def multiplies_in_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 products; emulation would be slower than float32."""
    facts = torch.cpu.get_capabilities()
    return bool(facts.get("avx512_bf16") or facts.get("amx_bf16"))


def multiplies_in_float16() -> bool:
    """Whether this processor has instructions for float16 products; others convert every number."""
    facts = torch.cpu.get_capabilities()
    return facts.get("architecture") not in ("x86_64", "AMD64") or bool(
        facts.get("avx512_fp16") or facts.get("amx_fp16")
    )


def card_multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether a CUDA device has instructions for bfloat16 products: NVIDIA's from compute capability 8.0 on."""
    if torch.version.hip is not None:
        return True
    return torch.cuda.get_device_capability(device) >= (8, 0)
