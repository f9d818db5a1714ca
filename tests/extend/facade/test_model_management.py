"""What packs are told of devices, precisions and memory, on each kind of machine."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import nn

from app.extend.facade.bridge import FacadeHost

CPU, MPS, XPU = (torch.device(kind) for kind in ("cpu", "mps", "xpu"))
HALF, FULL, BRAIN = torch.float16, torch.float32, torch.bfloat16


@pytest.fixture
def mm(host: FacadeHost) -> Any:
    return importlib.import_module("comfy.model_management")


# Function → what it answers where models compute on the CPU.
ON_CPU: dict[str, Any] = {
    "get_torch_device": CPU,
    "unet_offload_device": CPU,
    "text_encoder_device": CPU,
    "text_encoder_offload_device": CPU,
    "text_encoder_dtype": FULL,
    "vae_device": CPU,
    "vae_offload_device": CPU,
    "vae_dtype": FULL,
    "unet_dtype": FULL,
    "intermediate_device": CPU,
    "should_use_fp16": False,
    "should_use_bf16": False,
    "supports_fp8_compute": False,
    "is_nvidia": False,
    "is_amd": False,
    "is_intel_xpu": False,
    "is_ascend_npu": False,
    "is_mlu": False,
    "is_directml_enabled": False,
    "mps_mode": False,
    "cpu_mode": True,
    "xformers_enabled": False,
    "xformers_enabled_vae": False,
    "sage_attention_enabled": False,
    "flash_attention_enabled": False,
    "pytorch_attention_enabled": True,
    "pytorch_attention_flash_attention": False,
    "force_upcast_attention_dtype": None,
    "loaded_models": [],
    "cleanup_models": None,
    "cleanup_models_gc": None,
    "unload_all_models": None,
    "soft_empty_cache": None,
    "processing_interrupted": False,
}


@pytest.mark.parametrize(("name", "answer"), ON_CPU.items())
def test_without_an_accelerator(mm: Any, name: str, answer: Any) -> None:
    assert getattr(mm, name)() == answer


@pytest.mark.parametrize(
    ("kind", "state", "memory"),
    [
        ("cpu", "CPU", "DISABLED"),
        ("mps", "MPS", "SHARED"),
        ("cuda", "GPU", "NORMAL_VRAM"),
        ("xpu", "GPU", "NORMAL_VRAM"),
    ],
)
def test_the_state_follows_the_device(mm: Any, host: FacadeHost, kind: str, state: str, memory: str) -> None:
    host.host.device = torch.device(kind)
    assert mm.cpu_state is mm.CPUState[state]
    assert mm.vram_state is mm.set_vram_to is mm.VRAMState[memory]


@pytest.mark.parametrize(
    ("kind", "modes"),
    [
        ("cpu", {"cpu_mode"}),
        ("mps", {"mps_mode"}),
        ("xpu", {"is_intel_xpu"}),
    ],
)
def test_one_mode_holds_on_each_device(mm: Any, host: FacadeHost, kind: str, modes: set[str]) -> None:
    host.host.device = torch.device(kind)
    asked = ("cpu_mode", "mps_mode", "is_intel_xpu", "is_nvidia", "is_amd", "is_ascend_npu", "is_mlu")
    assert {name for name in asked if getattr(mm, name)()} == modes


@pytest.mark.parametrize(
    ("question", "device", "answer"),
    [
        ("is_device_cpu", CPU, True),
        ("is_device_cpu", "cpu", True),
        ("is_device_cpu", MPS, False),
        ("is_device_mps", "mps:0", True),
        ("is_device_mps", CPU, False),
        ("is_device_cuda", "cuda:1", True),
        ("is_device_cuda", "cpu", False),
        ("is_device_xpu", XPU, True),
        ("is_device_xpu", "cuda", False),
        ("device_supports_non_blocking", torch.device("cuda"), True),
        ("device_supports_non_blocking", CPU, False),
        ("device_should_use_non_blocking", torch.device("cuda"), False),
        ("get_autocast_device", CPU, "cpu"),
        ("get_autocast_device", "nothing known", "cuda"),
        ("get_torch_device_name", CPU, "cpu"),
        ("get_torch_device_name", MPS, "mps"),
    ],
)
def test_questions_about_a_device(mm: Any, question: str, device: Any, answer: Any) -> None:
    assert getattr(mm, question)(device) == answer


@pytest.mark.parametrize(
    ("device", "supported", "expected"),
    [
        (CPU, (HALF, BRAIN, FULL), FULL),
        (MPS, (HALF, BRAIN, FULL), HALF),
        (MPS, (BRAIN, FULL), FULL),
        (MPS, (BRAIN,), HALF),
    ],
)
def test_the_precision_of_networks(mm: Any, device: torch.device, supported: tuple[torch.dtype], expected: Any) -> None:
    assert mm.unet_dtype(device, supported_dtypes=supported) == expected


@pytest.mark.parametrize(
    ("weights", "device", "expected"),
    [(HALF, CPU, FULL), (FULL, CPU, None), (HALF, MPS, None), (BRAIN, MPS, HALF), (FULL, MPS, None)],
)
def test_the_precision_to_compute_in(mm: Any, weights: torch.dtype, device: torch.device, expected: Any) -> None:
    assert mm.unet_manual_cast(weights, device) == expected


def test_devices_without_the_hardware(mm: Any) -> None:
    assert mm.should_use_fp16(MPS)
    assert not mm.should_use_bf16(MPS)
    assert not mm.supports_fp8_compute(MPS)
    assert mm.supports_cast(CPU, torch.float8_e4m3fn)
    assert not mm.supports_cast(MPS, torch.float8_e4m3fn)
    assert mm.supports_cast(MPS, HALF)
    assert mm.vae_dtype(CPU, [BRAIN, FULL]) == FULL
    assert mm.unet_inital_load_device(10**9, HALF) == CPU
    assert mm.text_encoder_initial_device("load", "offload", 5) == "offload"


def test_amounts_of_memory(mm: Any) -> None:
    assert mm.total_ram == mm.total_vram > 100
    free, same = mm.get_free_memory("cpu", torch_free_too=True)
    assert free == same > 0
    assert mm.minimum_inference_memory() > mm.extra_reserved_memory() > 0
    assert [mm.dtype_size(kind) for kind in (HALF, FULL, torch.float64, torch.int8)] == [2, 4, 8, 1]


def test_weights_are_brought_and_taken_away(mm: Any, host: FacadeHost) -> None:
    network = nn.Linear(4, 4)

    class Held:
        model = network
        load_device = CPU

        def model_size(self) -> int:
            return mm.module_size(network)

    assert mm.modules_of(Held()) == [network]
    assert mm.modules_of(network) == [network]
    assert mm.modules_of(object()) == []
    mm.load_model_gpu(Held())
    loaded = mm.LoadedModel(Held())
    assert (loaded.model_memory(), loaded.device, loaded.currently_used) == (80, CPU, True)
    assert loaded.model_unload()
    assert mm.free_memory(float("inf"), CPU) == []


@pytest.mark.parametrize(
    ("dtype", "device", "copy"), [(None, None, False), (None, None, True), (HALF, None, False), (FULL, "meta", False)]
)
def test_a_tensor_elsewhere_and_otherwise(mm: Any, dtype: Any, device: Any, copy: bool) -> None:
    weight = torch.ones(2)
    cast = mm.cast_to(weight, dtype, device, copy=copy)
    assert cast.dtype == (dtype or FULL)
    assert cast.device.type == (device or "cpu")
    unchanged = dtype is None and not copy
    assert (cast.data_ptr() == weight.data_ptr()) is unchanged or device == "meta"


def test_a_wish_to_stop_is_taken_back(mm: Any) -> None:
    mm.interrupt_current_processing()
    with pytest.raises(mm.InterruptProcessingException, match="interrupted"):
        mm.throw_exception_if_processing_interrupted()
    mm.interrupt_current_processing(False)
    mm.throw_exception_if_processing_interrupted()
