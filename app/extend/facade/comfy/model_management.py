"""`comfy.model_management`: where things are computed and how much memory there is.

Weights are moved by `app.memory.residency`; what packs ask to be loaded goes there.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from app.errors import Cancelled
from app.extend.facade.host import HOST, current_context
from app.memory.devices import free_bytes, main_memory
from app.memory.residency import module_bytes

OOM_EXCEPTION = torch.OutOfMemoryError
XFORMERS_IS_AVAILABLE = False
XFORMERS_VERSION = ""
ENABLE_PYTORCH_ATTENTION = True
DISABLE_SMART_MEMORY = False
NUM_STREAMS = 0
EXTRA_RESERVED_VRAM = 400 << 20
FLOAT8_TYPES = [torch.float8_e4m3fn, torch.float8_e5m2]
VAE_DTYPES = [torch.float32]
current_loaded_models: list[Any] = []


class VRAMState(Enum):
    """How the reference treats the device's memory."""

    DISABLED = 0
    NO_VRAM = 1
    LOW_VRAM = 2
    NORMAL_VRAM = 3
    HIGH_VRAM = 4
    SHARED = 5


class CPUState(Enum):
    """What computes."""

    GPU = 0
    CPU = 1
    MPS = 2


class InterruptProcessingException(Cancelled):
    """Somebody asked for the run to stop."""

    def __init__(self, message: str = "The run was interrupted.", **words: Any) -> None:
        super().__init__(message, **words)


def __getattr__(name: str) -> Any:
    """The facts that depend on the machine."""
    if name.startswith("__"):
        raise AttributeError(name)
    kind = HOST.now.device.type
    if name == "cpu_state":
        return {"cpu": CPUState.CPU, "mps": CPUState.MPS}.get(kind, CPUState.GPU)
    if name in ("vram_state", "set_vram_to"):
        return VRAMState.DISABLED if kind == "cpu" else VRAMState.SHARED if kind == "mps" else VRAMState.NORMAL_VRAM
    if name == "total_vram":
        return get_total_memory() >> 20
    if name == "total_ram":
        return main_memory()[0] >> 20
    raise AttributeError(f"module 'comfy.model_management' has no attribute {name!r}")


def get_torch_device() -> torch.device:
    """Where models compute."""
    return HOST.now.device


def get_torch_device_name(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)}"
    return device.type


def intermediate_device() -> torch.device:
    """Where values between nodes lie."""
    return torch.device("cpu")


def unet_offload_device() -> torch.device:
    """Where weights wait."""
    return torch.device("cpu")


def unet_inital_load_device(parameters: int, dtype: torch.dtype) -> torch.device:
    """Where weights are read to."""
    return torch.device("cpu")


def text_encoder_device() -> torch.device:
    """Where prompts are encoded."""
    return HOST.now.device


def text_encoder_offload_device() -> torch.device:
    """Where a text encoder waits."""
    return torch.device("cpu")


def text_encoder_initial_device(load_device: Any, offload_device: Any, model_size: int = 0) -> Any:
    """Where a text encoder is read to."""
    return offload_device


def text_encoder_dtype(device: torch.device | None = None) -> torch.dtype:
    """The precision of text encoders."""
    return _half_where_it_pays(device)


def vae_device() -> torch.device:
    """Where latents are decoded."""
    return HOST.now.device


def vae_offload_device() -> torch.device:
    """Where a first stage waits."""
    return torch.device("cpu")


def vae_dtype(device: torch.device | None = None, allowed_dtypes: Sequence[torch.dtype] = ()) -> torch.dtype:
    """The precision of first stages."""
    return next((each for each in allowed_dtypes if each == torch.bfloat16 and should_use_bf16(device)), torch.float32)


def unet_dtype(
    device: torch.device | None = None,
    model_params: int = 0,
    supported_dtypes: Sequence[torch.dtype] = (torch.float16, torch.bfloat16, torch.float32),
    weight_dtype: torch.dtype | None = None,
) -> torch.dtype:
    """The precision that a model's weights are kept in."""
    best = _half_where_it_pays(device)
    return best if best in supported_dtypes else next((d for d in supported_dtypes if d == torch.float32), best)


def unet_manual_cast(
    weight_dtype: torch.dtype | None,
    inference_device: torch.device,
    supported_dtypes: Sequence[torch.dtype] = (torch.float16, torch.bfloat16, torch.float32),
) -> torch.dtype | None:
    """The precision to compute in where it is not that of the weights, None where it is."""
    wanted = unet_dtype(inference_device, supported_dtypes=supported_dtypes)
    return None if weight_dtype in (wanted, torch.float32) else wanted


def _half_where_it_pays(device: torch.device | None) -> torch.dtype:
    return torch.float16 if should_use_fp16(device) else torch.float32


def should_use_fp16(
    device: torch.device | None = None,
    model_params: int = 0,
    prioritize_performance: bool = True,
    manual_cast: bool = False,
) -> bool:
    """Whether half precision is faster there: on every device but the CPU."""
    return (device or HOST.now.device).type != "cpu"


def should_use_bf16(
    device: torch.device | None = None,
    model_params: int = 0,
    prioritize_performance: bool = True,
    manual_cast: bool = False,
) -> bool:
    """Whether bfloat16 is computed in hardware there."""
    device = device or HOST.now.device
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8


def supports_fp8_compute(device: torch.device | None = None) -> bool:
    """Whether 8-bit floats are multiplied in hardware there."""
    device = device or HOST.now.device
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def supports_cast(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the device can hold numbers of that type."""
    return device.type != "mps" or dtype not in FLOAT8_TYPES


def get_autocast_device(dev: Any) -> str:
    """The name that `torch.autocast` takes for a device."""
    return str(getattr(dev, "type", "cuda"))


def is_device_type(device: Any, kind: str) -> bool:
    """Whether a device, or its name, is of a type."""
    return str(getattr(device, "type", device)).partition(":")[0] == kind


def is_device_cpu(device: Any) -> bool:
    """Whether it is the CPU."""
    return is_device_type(device, "cpu")


def is_device_mps(device: Any) -> bool:
    """Whether it is Apple's."""
    return is_device_type(device, "mps")


def is_device_cuda(device: Any) -> bool:
    """Whether it is of NVIDIA's interface, which AMD's serve as well."""
    return is_device_type(device, "cuda")


def is_device_xpu(device: Any) -> bool:
    """Whether it is Intel's."""
    return is_device_type(device, "xpu")


def is_nvidia() -> bool:
    """Whether models compute on NVIDIA's."""
    return HOST.now.device.type == "cuda" and torch.version.cuda is not None


def is_amd() -> bool:
    """Whether models compute on AMD's."""
    return HOST.now.device.type == "cuda" and getattr(torch.version, "hip", None) is not None


def is_intel_xpu() -> bool:
    """Whether models compute on Intel's."""
    return HOST.now.device.type == "xpu"


def is_ascend_npu() -> bool:
    """Whether models compute on Huawei's."""
    return HOST.now.device.type == "npu"


def is_mlu() -> bool:
    """Whether models compute on Cambricon's."""
    return HOST.now.device.type == "mlu"


def is_directml_enabled() -> bool:
    """Whether models compute through DirectML: never."""
    return False


def mps_mode() -> bool:
    """Whether models compute on Apple's."""
    return HOST.now.device.type == "mps"


def cpu_mode() -> bool:
    """Whether models compute on the CPU."""
    return HOST.now.device.type == "cpu"


def xformers_enabled() -> bool:
    """Attention is torch's own."""
    return False


def xformers_enabled_vae() -> bool:
    """Attention is torch's own."""
    return False


def sage_attention_enabled() -> bool:
    """Attention is torch's own."""
    return False


def flash_attention_enabled() -> bool:
    """Attention is torch's own, which chooses such kernels itself."""
    return False


def pytorch_attention_enabled() -> bool:
    """Attention is torch's own."""
    return True


def pytorch_attention_flash_attention() -> bool:
    """Whether torch's attention may use fused kernels."""
    return HOST.now.device.type == "cuda"


def device_supports_non_blocking(device: Any) -> bool:
    """Whether copies may run beside the computation."""
    return is_device_cuda(device)


def device_should_use_non_blocking(device: Any) -> bool:
    """Whether they should: only from pinned memory, which nothing here promises."""
    return False


def force_upcast_attention_dtype() -> dict[torch.dtype, torch.dtype] | None:
    """Attention is computed in the precision of its inputs."""
    return None


def get_free_memory(dev: Any = None, torch_free_too: bool = False) -> Any:
    """Bytes that can still be had on the device; twice the same number with `torch_free_too`."""
    free = free_bytes(torch.device(dev) if dev is not None else HOST.now.device)
    return (free, free) if torch_free_too else free


def get_total_memory(dev: Any = None, torch_total_too: bool = False) -> Any:
    """Bytes of the device; twice the same number with `torch_total_too`."""
    device = torch.device(dev) if dev is not None else HOST.now.device
    total = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else main_memory()[0]
    return (total, total) if torch_total_too else total


def extra_reserved_memory() -> int:
    """Bytes that are left to others."""
    return EXTRA_RESERVED_VRAM


def minimum_inference_memory() -> int:
    """Bytes that a computation needs beside its weights."""
    return (1 << 30) * 4 // 5 + EXTRA_RESERVED_VRAM


def load_models_gpu(models: Iterable[Any], memory_required: int = 0, *_: Any, **__: Any) -> None:
    """Bring the models' weights to the device. Raises OutOfMemory when they do not fit."""
    modules = [module for model in models for module in modules_of(model)]
    with HOST.now.residency.using(*modules, working_bytes=int(memory_required)):
        pass  # they stay there until others need the room


def load_model_gpu(model: Any) -> None:
    """Bring one model's weights to the device."""
    load_models_gpu([model])


def modules_of(model: Any) -> list[nn.Module]:
    """The networks of a model as packs hold it."""
    module = getattr(model, "diffusion_network", None) or getattr(model, "model", model)
    return [module] if isinstance(module, nn.Module) else []


def free_memory(memory_required: float, device: Any, keep_loaded: Sequence[Any] = (), *_: Any, **__: Any) -> list[Any]:
    """Make room on the device by moving models back to main memory."""
    if get_free_memory(device) < memory_required:
        unload_all_models()
    return []


def unload_all_models() -> None:
    """Move all models back to main memory."""
    HOST.now.residency.release()
    soft_empty_cache()


def cleanup_models() -> None:
    """Nothing is kept for models that are gone."""


def cleanup_models_gc() -> None:
    """Collect what nobody refers to."""
    gc.collect()


def loaded_models(only_currently_used: bool = False) -> list[Any]:
    """The models that packs have loaded themselves."""
    return list(current_loaded_models)


def soft_empty_cache(force: bool = False) -> None:
    """Give memory that torch holds back to the device."""
    kind = HOST.now.device.type
    if kind == "cuda":
        torch.cuda.empty_cache()
    elif kind == "mps":
        torch.mps.empty_cache()


def interrupt_current_processing(value: bool = True) -> None:
    """Ask the run to stop, or take that back."""
    stop = HOST.now.stop
    stop.set() if value else stop.clear()


def processing_interrupted() -> bool:
    """Whether the run is to stop."""
    context = current_context()
    return HOST.now.stop.is_set() or (context is not None and context.interrupted())


def throw_exception_if_processing_interrupted() -> None:
    """Raise InterruptProcessingException if the run is to stop."""
    if processing_interrupted():
        raise InterruptProcessingException()


def dtype_size(dtype: torch.dtype) -> int:
    """Bytes of one number."""
    return dtype.itemsize


def module_size(module: nn.Module) -> int:
    """Bytes of a module's weights."""
    return module_bytes(module)


def cast_to(
    weight: Tensor,
    dtype: torch.dtype | None = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    **_: Any,
) -> Tensor:
    """A tensor of that type on that device."""
    return weight.to(device=device or weight.device, dtype=dtype or weight.dtype, non_blocking=non_blocking, copy=copy)


def cast_to_device(tensor: Tensor, device: Any, dtype: torch.dtype, copy: bool = False) -> Tensor:
    """A tensor of that type on that device."""
    return tensor.to(device=device, dtype=dtype, copy=copy)


class LoadedModel:
    """A model that is on the device."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device = model.load_device
        self.currently_used = True

    def model_memory(self) -> int:
        """Bytes of its weights."""
        return self.model.model_size()

    def model_unload(self, *_: Any, **__: Any) -> bool:
        """Move it back."""
        unload_all_models()
        return True
