"""`comfy.cli_args`: what the command line said. Nothing is parsed here; the program's own settings answer."""

from __future__ import annotations

from enum import Enum
from typing import Any

from app.extend.facade.host import HOST


class LatentPreviewMethod(Enum):
    """How previews are made."""

    NoPreviews = "none"
    Auto = "auto"
    Latent2RGB = "latent2rgb"
    TAESD = "taesd"

    @classmethod
    def from_string(cls, value: str) -> LatentPreviewMethod | None:
        """The method of that word, None for another word."""
        return next((method for method in cls if method.value == value), None)


class PerformanceFeature(Enum):
    """Switches for speed of the reference; none of them changes anything here."""

    Fp16Accumulation = "fp16_accumulation"
    Fp8MatrixMultiplication = "fp8_matrix_mult"
    CublasOps = "cublas_ops"


# What the reference's options are where nobody says otherwise.
_USUAL: dict[str, Any] = {
    "auto_launch": False,
    "bf16_unet": False,
    "bf16_vae": False,
    "cache_classic": False,
    "cache_lru": 0,
    "cache_none": False,
    "cpu": False,
    "cpu_vae": False,
    "cuda_device": None,
    "deterministic": False,
    "directml": None,
    "disable_all_custom_nodes": False,
    "disable_api_nodes": True,
    "disable_cuda_malloc": True,
    "disable_smart_memory": False,
    "disable_xformers": True,
    "dont_print_server": False,
    "dont_upcast_attention": False,
    "enable_cors_header": None,
    "extra_model_paths_config": None,
    "fast": set[Any](),
    "force_channels_last": False,
    "force_fp16": False,
    "force_fp32": False,
    "force_upcast_attention": False,
    "fp16_unet": False,
    "fp16_vae": False,
    "fp32_unet": False,
    "fp32_vae": False,
    "fp8_e4m3fn_unet": False,
    "fp8_e5m2_unet": False,
    "gpu_only": False,
    "highvram": False,
    "input_directory": None,
    "lowvram": False,
    "max_upload_size": 100,
    "multi_user": False,
    "normalvram": False,
    "novram": False,
    "output_directory": None,
    "preview_size": 512,
    "reserve_vram": None,
    "temp_directory": None,
    "tls_certfile": None,
    "tls_keyfile": None,
    "use_flash_attention": False,
    "use_pytorch_cross_attention": True,
    "use_quad_cross_attention": False,
    "use_sage_attention": False,
    "use_split_cross_attention": False,
    "user_directory": None,
    "verbose": "INFO",
    "whitelist_custom_nodes": [],
    "windows_standalone_build": False,
}


class Arguments:
    """Options as attributes; packs may set them for each other."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        launch = HOST.now.launch
        said = {
            "listen": launch.listen,
            "port": launch.port,
            "base_directory": launch.base_directory,
            "disable_metadata": launch.disable_metadata,
            "preview_method": LatentPreviewMethod.from_string(launch.preview_method) or LatentPreviewMethod.NoPreviews,
        }
        if name not in said and name not in _USUAL:
            raise AttributeError(f"The command line has no option {name!r}.")
        return said.get(name, _USUAL.get(name))

    def get(self, name: str, default: Any = None) -> Any:
        """An option, or the default where there is no such option."""
        return getattr(self, name, default)


args = Arguments()
