"""A pack that collects LoRAs and ControlNets in stacks and applies them at once, with a look at one block."""

import comfy.sd
import comfy.utils
import folder_paths
from comfy.ldm.modules.attention import optimized_attention
from comfy.lora import load_lora, model_lora_keys_unet

from nodes import NODE_CLASS_MAPPINGS as KNOWN
from nodes import ControlNetApplyAdvanced

NONE = "None"


class Stack:
    """One LoRA and one ControlNet on top of others."""

    CATEGORY = "stacks"
    RETURN_TYPES = ("STACK",)
    FUNCTION = "put"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "lora_name": ([NONE, *folder_paths.get_filename_list("loras")],),
                "strength": ("FLOAT", {"default": 1.0}),
                "control_net": ("CONTROL_NET",),
                "image": ("IMAGE",),
            },
            "optional": {"stack": ("STACK",)},
        }

    def put(self, lora_name, strength, control_net, image, stack=None):
        loras = [] if lora_name == NONE else [(lora_name, strength)]
        return ([*(stack or ()), (loras, control_net, image, strength)],)


class Apply:
    """Everything in a stack."""

    CATEGORY = "stacks"
    RETURN_TYPES = ("MODEL", "CLIP", "CONDITIONING", "CONDITIONING", "STRING")
    FUNCTION = "apply"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "model": ("MODEL",),
                "clip": ("CLIP",),
                "positive": ("CONDITIONING",),
                "negative": ("CONDITIONING",),
                "stack": ("STACK",),
            }
        }

    def apply(self, model, clip, positive, negative, stack):
        assert KNOWN["ControlNetApplyAdvanced"] is ControlNetApplyAdvanced
        told = []
        for loras, control_net, image, strength in stack:
            for name, weight in loras:
                sd = comfy.utils.load_torch_file(folder_paths.get_full_path("loras", name), safe_load=True)
                found = load_lora(sd, model_lora_keys_unet(model.model, {}))
                told.append(f"{name} changes {len(found)}")
                model, clip = comfy.sd.load_lora_for_models(model, clip, sd, weight, weight)
            apply = ControlNetApplyAdvanced()
            positive, negative = apply.apply_controlnet(positive, negative, control_net, image, strength, 0.0, 1.0)

        def look(q, k, v, extra_options):
            return optimized_attention(q, k, v, extra_options["n_heads"]) * 0.5

        model = model.clone()
        model.set_model_attn2_replace(look, "middle", 0)
        return model, clip, positive, negative, ", ".join(told)


NODE_CLASS_MAPPINGS = {"stacks.Stack": Stack, "stacks.Apply": Apply}
