"""Which family of models a file of an adapter was made for, as far as it tells."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

# What trainers write into the header, and what it means; the first that is contained counts.
_SAID = {
    "sdxl": "SDXL",
    "xl-v1": "SDXL",
    "xl-base": "SDXL",
    "sd3": "SD 3",
    "stable-diffusion-3": "SD 3",
    "flux": "Flux",
    "sd_v1": "SD 1",
    "stable-diffusion-v1": "SD 1",
    "sd_v2": "SD 2",
    "stable-diffusion-v2": "SD 2",
}
_HEADERS = ("modelspec.architecture", "ss_base_model_version")
_CONTEXT = {768: "SD 1", 1024: "SD 2", 2048: "SDXL", 1280: "SDXL's refiner"}
_INNER = re.compile(r"(down\.weight|lora_A(\.[^.]+)?\.weight|hada_w1_b)$")  # factors as wide as what a layer takes in
_LOOKS = re.compile(r"attn2[._](processor[._])?to_[kv]")
# (what the name of a layer holds, the family)
_NAMES = (
    (re.compile(r"single_(transformer_)?blocks"), "Flux"),
    (re.compile(r"double_blocks"), "Flux"),
    (re.compile(r"joint_blocks|attn[._]add_[qkv]_proj"), "SD 3"),
    (re.compile(r"lora_te2_|text_encoder_2"), "SDXL"),
)
# What our families are called in such words.
OURS: Mapping[str, str] = {
    "sd1": "SD 1",
    "sd2": "SD 2",
    "sdxl": "SDXL",
    "ssd": "SDXL",
    "segmind": "SDXL",
    "koala": "SDXL",
    "sd3": "SD 3",
    "flux": "Flux",
}


def origin_of_adapter(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """The family in words, "" where nothing tells: the header's word, or the width of the text that it looks at."""
    for header in _HEADERS:
        said = metadata.get(header, "").lower()
        for word, family in _SAID.items():
            if word in said:
                return family
    for name, tensor in tensors.items():
        if _INNER.search(name) and _LOOKS.search(name) and tensor.ndim >= 2 and tensor.shape[1] in _CONTEXT:
            return _CONTEXT[tensor.shape[1]]
    return next((family for pattern, family in _NAMES if any(pattern.search(name) for name in tensors)), "")
