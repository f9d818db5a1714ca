"""Nodes that save models."""

from __future__ import annotations

from app.api import Clip, Context, ExtraInfo, Model, PromptData, Returned, Vae, node

CATEGORY = "advanced/model_merging"


@node("Save Checkpoint", category=CATEGORY, id="CheckpointSave", output_node=True, aliases=("export",))
def save_checkpoint(
    *,
    context: Context,
    model: Model,
    clip: Clip,
    vae: Vae,
    filename_prefix: str = "checkpoints/LatentLoom",
    prompt: PromptData = None,
    extra_pnginfo: ExtraInfo = None,
) -> Returned:
    """Saves a model with its text encoder and VAE as one safetensors file, with the workflow inside.

    Args:
        filename_prefix: How the file name begins; below the output folder, from where it can be loaded at once.
    """
    saved = context.files.save_model(
        filename_prefix, model=model, clip=clip, vae=vae, prompt=prompt, extra=extra_pnginfo
    )
    return Returned(ui={"models": saved})


@node("ModelSave", category=CATEGORY, id="ModelSave", output_node=True, aliases=("export",))
def save_model(
    *,
    context: Context,
    model: Model,
    filename_prefix: str = "diffusion_models/LatentLoom",
    prompt: PromptData = None,
    extra_pnginfo: ExtraInfo = None,
) -> Returned:
    """Saves a diffusion model alone as a safetensors file, with the workflow inside.

    Args:
        filename_prefix: How the file name begins; below the output folder.
    """
    return Returned(
        ui={"models": context.files.save_model(filename_prefix, model=model, prompt=prompt, extra=extra_pnginfo)}
    )


@node("CLIPSave", category=CATEGORY, id="CLIPSave", output_node=True, aliases=("export", "text encoder"))
def save_clip(
    *,
    context: Context,
    clip: Clip,
    filename_prefix: str = "clip/LatentLoom",
    prompt: PromptData = None,
    extra_pnginfo: ExtraInfo = None,
) -> Returned:
    """Saves a text encoder as safetensors files, one for each of its towers, with the workflow inside.

    Args:
        filename_prefix: How the file names begin; below the output folder. What the tower is called follows.
    """
    return Returned(
        ui={"models": context.files.save_model(filename_prefix, clip=clip, prompt=prompt, extra=extra_pnginfo)}
    )


@node("VAESave", category=CATEGORY, id="VAESave", output_node=True, aliases=("export",))
def save_vae(
    *,
    context: Context,
    vae: Vae,
    filename_prefix: str = "vae/LatentLoom_vae",
    prompt: PromptData = None,
    extra_pnginfo: ExtraInfo = None,
) -> Returned:
    """Saves a VAE alone as a safetensors file, with the workflow inside.

    Args:
        filename_prefix: How the file name begins; below the output folder.
    """
    return Returned(
        ui={"models": context.files.save_model(filename_prefix, vae=vae, prompt=prompt, extra=extra_pnginfo)}
    )
