"""`comfy.supported_models_base`: what packs read of a model's family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch


class BASE:
    """A family. `unet_config` is its network's shape in the words of the published configurations.

    What a model's own `model_config` says is read off its network; the class tells which family it is.
    """

    unet_config: Mapping[str, Any] = {}
    sampling_settings: Mapping[str, Any] = {}
    latent_format: Any = None
    manual_cast_dtype: torch.dtype | None = None
    custom_operations: Any = None
    scaled_fp8: Any = None
    optimizations: ClassVar[Mapping[str, Any]] = {"fp8": False}
    supported_inference_dtypes: ClassVar[list[torch.dtype]] = [torch.float16, torch.bfloat16, torch.float32]
    memory_usage_factor = 2.0

    def __init__(self, unet_config: Mapping[str, Any]) -> None:
        self.unet_config = dict(unet_config)
        self.sampling_settings = dict(self.sampling_settings)
        self.unet_extra_config: dict[str, Any] = {}

    @classmethod
    def matches(cls, unet_config: Mapping[str, Any], state_dict: Any = None) -> bool:
        """Whether a network of that shape is of this family."""
        told = cls.unet_config
        return bool(told) and all(unet_config.get(name) == value for name, value in told.items())

    def set_inference_dtype(self, dtype: torch.dtype, manual_cast_dtype: torch.dtype | None) -> None:
        """Remember the precision that a pack wants."""
        self.unet_config = {**self.unet_config, "dtype": dtype}
        self.manual_cast_dtype = manual_cast_dtype
