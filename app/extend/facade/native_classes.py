"""Built-in nodes as the classes that packs expect: `nodes.VAEDecode().decode(vae, samples)[0]`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

from app.engine.node import Node, Returned
from app.extend.facade.host import HOST, current_context
from app.graph.spec import InputSpec, NodeSpec

KSAMPLER_ADVANCED = (
    "model add_noise noise_seed steps cfg sampler_name scheduler positive negative latent_image "
    "start_at_step end_at_step return_with_leftover_noise"
)

# Class → its method and the order of its arguments, where packs call them by position.
METHODS: Mapping[str, tuple[str, str]] = {
    "CheckpointLoaderSimple": ("load_checkpoint", "ckpt_name"),
    "CLIPLoader": ("load_clip", "clip_name type device"),
    "CLIPSetLastLayer": ("set_last_layer", "clip stop_at_clip_layer"),
    "CLIPTextEncode": ("encode", "clip text"),
    "CLIPVisionEncode": ("encode", "clip_vision image crop"),
    "CLIPVisionLoader": ("load_clip", "clip_name"),
    "ConditioningAverage": ("addWeighted", "conditioning_to conditioning_from conditioning_to_strength"),
    "ConditioningCombine": ("combine", "conditioning_1 conditioning_2"),
    "ConditioningConcat": ("concat", "conditioning_to conditioning_from"),
    "ConditioningSetArea": ("append", "conditioning width height x y strength"),
    "ConditioningSetMask": ("append", "conditioning mask set_cond_area strength"),
    "ConditioningSetTimestepRange": ("set_range", "conditioning start end"),
    "ConditioningZeroOut": ("zero_out", "conditioning"),
    "ControlNetApply": ("apply_controlnet", "conditioning control_net image strength"),
    "ControlNetApplyAdvanced": (
        "apply_controlnet",
        "positive negative control_net image strength start_percent end_percent vae",
    ),
    "ControlNetLoader": ("load_controlnet", "control_net_name"),
    "DualCLIPLoader": ("load_clip", "clip_name1 clip_name2 type device"),
    "EmptyImage": ("generate", "width height batch_size color"),
    "EmptyLatentImage": ("generate", "width height batch_size"),
    "ImageBatch": ("batch", "image1 image2"),
    "ImageInvert": ("invert", "image"),
    "ImagePadForOutpaint": ("expand_image", "image left top right bottom feathering"),
    "ImageScale": ("upscale", "image upscale_method width height crop"),
    "ImageScaleBy": ("upscale", "image upscale_method scale_by"),
    "InpaintModelConditioning": ("encode", "positive negative pixels vae mask noise_mask"),
    "KSampler": (
        "sample",
        "model seed steps cfg sampler_name scheduler positive negative latent_image denoise",
    ),
    "KSamplerAdvanced": ("sample", KSAMPLER_ADVANCED),
    "LatentComposite": ("composite", "samples_to samples_from x y feather"),
    "LatentCrop": ("crop", "samples width height x y"),
    "LatentFromBatch": ("frombatch", "samples batch_index length"),
    "LatentUpscale": ("upscale", "samples upscale_method width height crop"),
    "LatentUpscaleBy": ("upscale", "samples upscale_method scale_by"),
    "LoadImage": ("load_image", "image"),
    "LoadImageMask": ("load_image", "image channel"),
    "RepeatLatentBatch": ("repeat", "samples amount"),
    "SetLatentNoiseMask": ("set_mask", "samples mask"),
    "ImageUpscaleWithModel": ("upscale", "upscale_model image"),
    "UNETLoader": ("load_unet", "unet_name weight_dtype"),
    "UpscaleModelLoader": ("load_model", "model_name"),
    "VAEDecode": ("decode", "vae samples"),
    "VAEDecodeTiled": ("decode", "vae samples tile_size overlap temporal_size temporal_overlap"),
    "VAEEncode": ("encode", "vae pixels"),
    "VAEEncodeForInpaint": ("encode", "vae pixels mask grow_mask_by"),
    "VAEEncodeTiled": ("encode", "vae pixels tile_size overlap temporal_size temporal_overlap"),
    "VAELoader": ("load_vae", "vae_name"),
}


def class_of(name: str, node: Node) -> type[Any]:
    """A class in the reference's first style that calls the node, with a pack's values in and out."""
    spec = node.spec
    function, words = METHODS.get(name, ("execute", ""))
    order = words.split() or [port.name for port in spec.inputs]

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _called(node, {**dict(zip(order, args, strict=False)), **kwargs})

    def input_types(cls: type[Any]) -> dict[str, Any]:
        return _input_types(spec)

    call.__name__ = function
    attributes: dict[str, Any] = {
        "__doc__": spec.help,
        "__module__": "nodes",
        "INPUT_TYPES": classmethod(input_types),
        "RETURN_TYPES": tuple(port.type if isinstance(port.type, str) else list(port.type) for port in spec.outputs),
        "RETURN_NAMES": tuple(port.name for port in spec.outputs),
        "OUTPUT_IS_LIST": tuple(port.is_list for port in spec.outputs),
        "FUNCTION": function,
        "CATEGORY": spec.category,
        "DESCRIPTION": spec.help,
        "OUTPUT_NODE": spec.output_node,
        "INPUT_IS_LIST": spec.input_is_list,
        function: call,
    }
    return type(name, (), attributes)


def _input_types(spec: NodeSpec) -> dict[str, Any]:
    from app.store.folders import FileNames

    files = FileNames(HOST.now.folders)
    sections: dict[str, dict[str, Any]] = {"required": {}}
    for port in spec.inputs:
        sections.setdefault(port.section, {})[port.name] = (_type(port, files), dict(port.options))
    if spec.hidden:
        sections["hidden"] = dict(spec.hidden)
    return sections


def _type(port: InputSpec, files: Mapping[str, Any]) -> Any:
    if port.folder:
        return list(port.choices(files))
    return port.type if isinstance(port.type, str) else list(port.type)


def _called(node: Node, given: Mapping[str, Any]) -> Any:
    """The node's outputs for a pack: a tuple, or a dict with what it shows."""
    from app.extend.facade.bridge import from_pack, to_pack

    usual = {port.name: port.options["default"] for port in node.spec.inputs if "default" in port.options}
    result = node.call(current_context(), {**usual, **{name: from_pack(value) for name, value in given.items()}})
    returned: Any = asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result
    assert isinstance(returned, Returned)
    values = tuple(to_pack(value) for value in returned.values)
    if not returned.ui and returned.expand is None:
        return values
    said: dict[str, Any] = {"ui": dict(returned.ui), "result": values}
    return said if returned.expand is None else {**said, "expand": returned.expand}


async def _awaited(result: Any) -> Any:
    return await result
