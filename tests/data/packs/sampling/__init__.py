"""A pack that changes how models are sampled."""

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy.k_diffusion import sampling as k_diffusion

from nodes import common_ksampler


@torch.no_grad()
def sample_halving(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Euler's method, as packs write it."""
    extra_args = extra_args or {}
    ones = x.new_ones([x.shape[0]])
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        d = k_diffusion.to_d(x, sigmas[i] * ones, denoised)
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
        x = x + d * (sigmas[i + 1] - sigmas[i])
    return x


if "halving" not in comfy.samplers.KSampler.SAMPLERS:
    comfy.samplers.KSampler.SAMPLERS.append("halving")
    comfy.samplers.KSampler.SCHEDULERS.append("even")
    k_diffusion.sample_halving = sample_halving
    comfy.samplers.SCHEDULER_HANDLERS["even"] = comfy.samplers.SchedulerHandler(
        lambda n, sigma_min, sigma_max: torch.cat([torch.linspace(sigma_max, sigma_min, n), torch.zeros(1)]), False
    )


class Calmer:
    """Weakens guidance, the usual way: clone, set, return."""

    CATEGORY = "sampling"
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "patch"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "part": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0})}}

    def patch(self, model, part):
        def calm(args):
            return args["cond_denoised"] * part + args["denoised"] * (1 - part)

        clone = model.clone()
        clone.set_model_sampler_post_cfg_function(calm)
        return (clone,)


class OwnSampler:
    """Samples by itself."""

    CATEGORY = "sampling"
    RETURN_TYPES = ("LATENT",)
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "model": ("MODEL",),
                "seed": ("INT", {"default": 0, "min": 0, "max": 0xFFFFFFFFFFFFFFFF}),
                "steps": ("INT", {"default": 2, "min": 1}),
                "sampler_name": (comfy.samplers.KSampler.SAMPLERS,),
                "scheduler": (comfy.samplers.KSampler.SCHEDULERS,),
                "positive": ("CONDITIONING",),
                "negative": ("CONDITIONING",),
                "latent": ("LATENT",),
            }
        }

    def sample(self, model, seed, steps, sampler_name, scheduler, positive, negative, latent):
        comfy.model_management.load_models_gpu([model])
        (result,) = common_ksampler(model, seed, steps, 4.0, sampler_name, scheduler, positive, negative, latent)
        samples = comfy.sample.fix_empty_latent_channels(model, latent["samples"])
        noise = comfy.sample.prepare_noise(samples, seed)
        again = comfy.sample.sample(
            model,
            noise,
            steps,
            4.0,
            sampler_name,
            scheduler,
            positive,
            negative,
            samples,
            callback=latent_preview.prepare_callback(model, steps),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        assert torch.equal(again, result["samples"])
        return (result,)


class Prompted:
    """Encodes by hand."""

    CATEGORY = "sampling"
    RETURN_TYPES = ("CONDITIONING",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"clip": ("CLIP",), "text": ("STRING", {"multiline": True, "dynamicPrompts": True})}}

    def encode(self, clip, text):
        tokens = clip.tokenize(text)
        cond, pooled = clip.encode_from_tokens(tokens, return_pooled=True)
        return ([[cond, {"pooled_output": pooled}]],)


NODE_CLASS_MAPPINGS = {"sampling.Calmer": Calmer, "sampling.OwnSampler": OwnSampler, "sampling.Prompted": Prompted}
