"""A pack whose ControlNets weigh their residuals by the step and by the depth of the block."""

import comfy.utils
import folder_paths
import torch
from comfy.controlnet import ControlBase, ControlLora, ControlNet, T2IAdapter, load_controlnet


class Weighted(ControlNet):
    """The network of another one, asked and weighed by this one."""

    def __init__(self, control_model, frames, depth, **options):
        super().__init__(control_model=control_model, **options)
        self.frames, self.depth = frames, depth
        self.asked = 0
        self.sigmas = None

    def pre_run(self, model, percent_to_timestep_function):
        super().pre_run(model, percent_to_timestep_function)
        self.sigmas = [(percent_to_timestep_function(part), weight) for part, weight in self.frames]
        self.asked = 0

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
        self.asked += 1
        before = None
        if self.previous_controlnet is not None:
            before = self.previous_controlnet.get_control(x_noisy, t, cond, batched_number, transformer_options)
        now = [weight for sigma, weight in self.sigmas if float(t[0]) <= sigma]
        if not now or now[-1] == 0:
            return before
        hint = self.hint_for(x_noisy, batched_number)
        assert hint.shape[2] == x_noisy.shape[2] * 8
        control = self.control_model(
            x=self.model_sampling_current.calculate_input(t, x_noisy).to(self.control_model.dtype),
            hint=hint,
            timesteps=self.model_sampling_current.timestep(t).float(),
            context=cond["c_crossattn"],
        )
        for parts in control.values():
            for i, part in enumerate(parts):
                parts[i] = part * now[-1] * self.depth ** (len(parts) - i - 1)
        return self.control_merge(control, before, output_dtype=x_noisy.dtype)

    def copy(self):
        made = Weighted(self.control_model, self.frames, self.depth)
        self.copy_to(made)
        return made

    def cleanup(self):
        super().cleanup()
        self.sigmas = None


class Weigh:
    """Makes any ControlNet a weighted one."""

    CATEGORY = "conditioning/controlnet"
    RETURN_TYPES = ("CONTROL_NET",)
    FUNCTION = "weigh"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "control_net": ("CONTROL_NET",),
                "first": ("FLOAT", {"default": 1.0}),
                "half": ("FLOAT", {"default": 1.0}),
                "depth": ("FLOAT", {"default": 1.0}),
            }
        }

    def weigh(self, control_net, first, half, depth):
        assert isinstance(control_net, ControlNet) and not isinstance(control_net, (ControlLora, T2IAdapter))
        return (Weighted(control_net.control_model, [(0.0, first), (0.5, half)], depth),)


class LoadByPath:
    """Loads as packs do: by path."""

    CATEGORY = "loaders"
    RETURN_TYPES = ("CONTROL_NET",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"name": (folder_paths.get_filename_list("controlnet"),)}}

    def load(self, name):
        made = load_controlnet(folder_paths.get_full_path_or_raise("controlnet", name))
        assert isinstance(made, ControlBase)
        return (made,)


class Stick:
    """Puts a ControlNet into a prompt by hand."""

    CATEGORY = "conditioning/controlnet"
    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "stick"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"prompt": ("CONDITIONING",), "control_net": ("CONTROL_NET",), "image": ("IMAGE",)}}

    def stick(self, prompt, control_net, image):
        hint = comfy.utils.common_upscale(image.movedim(-1, 1), 64, 64, "bilinear", "center")
        said = []
        for features, options in prompt:
            net = control_net.copy().set_cond_hint(hint, 0.8, (0.0, 1.0))
            if "control" in options:
                net.set_previous_controlnet(options["control"])
            said.append([features, {**options, "control": net, "control_apply_to_uncond": True}])
        assert torch.is_tensor(hint)
        return (said,)


NODE_CLASS_MAPPINGS = {"keyframes.Weigh": Weigh, "keyframes.LoadByPath": LoadByPath, "keyframes.Stick": Stick}
