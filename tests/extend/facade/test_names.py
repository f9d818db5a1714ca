"""Every name that ten or more of 159 public packs use can be imported, and is the thing that packs take it for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from app.extend.facade.bridge import FacadeHost

CPU = torch.device("cpu")


def is_folder(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("/")


# Name → what holds of it.
USED: dict[str, Callable[[Any], bool]] = {
    "comfy.model_management.get_torch_device": lambda f: f() == CPU,
    "folder_paths.get_filename_list": lambda f: f("checkpoints") == [],
    "folder_paths.get_full_path": lambda f: f("checkpoints", "none.safetensors") is None,
    "folder_paths.models_dir": is_folder,
    "comfy.utils.ProgressBar": lambda kind: kind(3).total == 3,
    "comfy.utils.load_torch_file": callable,
    "folder_paths.folder_names_and_paths": lambda kinds: ".safetensors" in kinds["loras"][1],
    "folder_paths.get_folder_paths": lambda f: is_folder(f("vae")[0]),
    "folder_paths.get_output_directory": lambda f: is_folder(f()),
    "server.PromptServer": lambda kind: kind.instance is kind.instance,
    "comfy.utils.common_upscale": lambda f: f(torch.ones(1, 3, 4, 4), 8, 2, "bilinear", "disabled").shape[2:] == (2, 8),
    "folder_paths.get_save_image_path": lambda f: f("a/b", "/tmp/loom-none-such")[1:] == ("b", 1, "a", "a/b"),
    "comfy.model_management.soft_empty_cache": lambda f: f() is None,
    "comfy.samplers.KSampler": lambda kind: "euler" in kind.SAMPLERS and "karras" in kind.SCHEDULERS,
    "folder_paths.get_temp_directory": lambda f: is_folder(f()),
    "folder_paths.get_input_directory": lambda f: is_folder(f()),
    "folder_paths.get_annotated_filepath": lambda f: f("a.png [output]").endswith("/output/a.png"),
    "nodes.MAX_RESOLUTION": lambda number: number == 16384,
    "comfy.model_patcher.ModelPatcher": lambda kind: isinstance(kind, type),
    "folder_paths.add_model_folder_path": callable,
    "comfy.model_management.unet_offload_device": lambda f: f() == CPU,
    "comfy.ldm.modules.attention.optimized_attention": lambda f: f(*[torch.ones(1, 5, 8)] * 3, 2).shape == (1, 5, 8),
    "comfy.model_management.load_models_gpu": lambda f: f([]) is None,
    "comfy.cli_args.args": lambda args: args.disable_metadata is False and args.listen == "127.0.0.1",
    "folder_paths.supported_pt_extensions": lambda names: ".safetensors" in names,
    "comfy.model_management.intermediate_device": lambda f: f() == CPU,
    "folder_paths.get_full_path_or_raise": callable,
    "node_helpers.conditioning_set_values": lambda f: f([[1, {"a": 1}]], {"b": 2}) == [[1, {"a": 1, "b": 2}]],
    "folder_paths.base_path": is_folder,
    "nodes.VAEEncode": lambda kind: kind.FUNCTION == "encode",
    "latent_preview.prepare_callback": callable,
    "comfy.sd.load_lora_for_models": callable,
    "comfy_api.latest.io": lambda io: io.Image.io_type == "IMAGE",
    "comfy.sd.load_checkpoint_guess_config": callable,
    "comfy.model_management.load_model_gpu": callable,
    "comfy.sample.prepare_noise": lambda f: torch.equal(f(torch.zeros(1, 4, 2, 2), 7), f(torch.zeros(1, 4, 2, 2), 7)),
    "comfy.model_management.unload_all_models": lambda f: f() is None,
    "comfy.model_management.get_autocast_device": lambda f: f(CPU) == "cpu",
    "comfy.model_management.is_device_mps": lambda f: f(torch.device("mps")) and not f(CPU),
    "comfy.samplers.CFGGuider": lambda kind: callable(kind.predict_noise),
    "comfy.model_management.unet_dtype": lambda f: f() == torch.float32,
    "nodes.NODE_CLASS_MAPPINGS": lambda classes: {"KSampler", "SaveImage", "LoraLoader"} <= set(classes),
    "comfy.model_base.BaseModel": lambda kind: issubclass(kind, torch.nn.Module),
    "comfy.utils.PROGRESS_BAR_ENABLED": lambda value: value is True,
    "comfy.model_management.free_memory": lambda f: f(0, CPU) == [],
    "folder_paths.output_directory": is_folder,
    "comfy.sd.VAE": lambda kind: callable(kind.decode_tiled),
    "nodes.SaveImage": lambda kind: kind().type == "output",
    "nodes.LoraLoader": lambda kind: kind.FUNCTION == "load_lora",
    "nodes.CLIPTextEncode": lambda kind: kind.FUNCTION == "encode",
    "latent_preview.get_previewer": callable,
    "comfy.model_management.should_use_fp16": lambda f: f() is False,
}
NEEDED = (
    "comfy.hooks.HookGroup",
    "comfy.ldm.flux.model.Flux",
    "comfy.ldm.modules.diffusionmodules.mmdit.MMDiT",
    "comfy_extras.chainner_models.model_loading.load_state_dict",
    "comfy_extras.nodes_upscale_model.ImageUpscaleWithModel",
    "comfy_api.latest.ui.AudioSaveHelper",
    "comfy.sd.load_clip",
    "comfy.model_base.SDXL",
    "comfy.model_base.Flux",
    "comfy.supported_models.SDXL",
    "comfy.supported_models_base.BASE",
    "comfy.model_detection.unet_prefix_from_state_dict",
    "comfy.sdxl_clip.SDXLClipModel",
    "comfy.sdxl_clip.SDXLRefinerClipModel",
    "comfy.sdxl_clip.SDXLClipG",
    "comfy.sd1_clip.token_weights",
    "comfy.ldm.flux.layers.DoubleStreamBlock",
    "comfy.ldm.flux.layers.SingleStreamBlock",
    "comfy.controlnet.ControlLora",
    "comfy.clip_vision.Output",
    "comfy.clip_vision.clip_preprocess",
    "comfy.clip_vision.load",
    "comfy.controlnet.ControlBase",
    "comfy.controlnet.ControlNet",
    "comfy.controlnet.T2IAdapter",
    "comfy.controlnet.load_controlnet",
    "comfy_api.latest.ComfyExtension",
    "comfy_api.latest.ui",
    "comfy_execution.graph.ExecutionBlocker",
    "comfy_execution.graph_utils.GraphBuilder",
    "comfy_execution.graph_utils.is_link",
    "comfy_execution.utils.get_executing_context",
    "comfy.comfy_types.IO",
    "comfy.comfy_types.ComfyNodeABC",
    "comfy.comfy_types.FileLocator",
    "comfy.comfy_types.node_typing.InputTypeDict",
    "comfy.model_management.InterruptProcessingException",
    "comfy.model_management.throw_exception_if_processing_interrupted",
    "comfy.patcher_extension.WrappersMP",
    "comfy.k_diffusion.sampling.BrownianTreeNoiseSampler",
    "comfy.k_diffusion.sampling.sample_dpmpp_2m",
    "comfy.ldm.flux.layers.timestep_embedding",
    "comfy.ldm.flux.math.apply_rope",
    "comfy.ldm.common_dit.pad_to_patch_size",
    "comfy.latent_formats.SD15",
    "comfy.ops.manual_cast",
    "comfy.sampler_helpers.convert_cond",
    "comfy_extras.nodes_mask.MaskComposite",
    "comfy_extras.nodes_custom_sampler.SamplerCustom",
    "execution.PromptExecutor",
    "nodes.common_ksampler",
    "nodes.interrupt_processing",
    "nodes.PreviewImage",
    "server.BinaryEventTypes",
)


def look_up(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("name", USED)
def test_what_most_packs_use(host: FacadeHost, name: str) -> None:
    assert USED[name](look_up(name))


@pytest.mark.parametrize("name", NEEDED)
def test_what_the_semantics_need(host: FacadeHost, name: str) -> None:
    assert look_up(name) is not None


@pytest.mark.parametrize("name", ["comfy.quant_ops.QuantizedTensor", "comfy.nested_tensor.NestedTensor"])
def test_what_is_not_offered_says_so_by_name(host: FacadeHost, name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=name.rpartition(".")[0].replace(".", r"\.")):
        look_up(name)


def test_names_are_importable_in_every_form(host: FacadeHost) -> None:
    namespace: dict[str, Any] = {}
    code = (
        "import comfy.utils\nimport comfy.model_management as mm\nfrom comfy import samplers, sd\n"
        "from nodes import KSampler, MAX_RESOLUTION\nimport nodes, folder_paths, server, execution\n"
        "from comfy_extras.nodes_mask import MaskComposite\nfrom folder_paths import folder_names_and_paths\n"
    )
    exec(code, namespace)
    assert namespace["mm"] is namespace["comfy"].model_management
    assert namespace["nodes"].KSampler is namespace["KSampler"]
    assert namespace["folder_names_and_paths"] is namespace["folder_paths"].folder_names_and_paths
    with pytest.raises(ImportError, match="NoSuchThing"):
        exec("from comfy_extras.nodes_mask import NoSuchThing", namespace)


def test_nothing_stays_behind_when_the_host_goes(host: FacadeHost) -> None:
    assert importlib.import_module("comfy").__name__.endswith("comfy")
    assert importlib.import_module("nodes").MAX_RESOLUTION == 16384
    assert importlib.import_module("nodes.image").__name__ == "nodes.image"
