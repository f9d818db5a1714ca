"""Nodes that load models."""

from __future__ import annotations

from typing import Annotated, Literal

from app.api import Clip, Context, FileIn, Model, Vae, node

Precision = Literal["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]


@node("Load Checkpoint", category="loaders", id="CheckpointLoaderSimple", aliases=("model", "safetensors"))
def load_checkpoint(*, context: Context, ckpt_name: Annotated[str, FileIn("checkpoints")]) -> tuple[Model, Clip, Vae]:
    """Loads a checkpoint: the diffusion model, the text encoder and the VAE that belong together.

    Args:
        ckpt_name: The file to load, from models/checkpoints.
    """
    checkpoint = context.models.checkpoint(ckpt_name)
    return checkpoint.model, checkpoint.clip, checkpoint.vae


@node(
    "Load Checkpoint With Config (DEPRECATED)",
    category="advanced/loaders",
    id="CheckpointLoader",
    aliases=("yaml",),
    deprecated=True,
)
def load_checkpoint_with_config(
    *,
    context: Context,
    config_name: Annotated[str, FileIn("configs")],
    ckpt_name: Annotated[str, FileIn("checkpoints")],
) -> tuple[Model, Clip, Vae]:
    """Loads a checkpoint. What the configuration says is read off the checkpoint itself.

    Args:
        config_name: Not needed any more.
        ckpt_name: The file to load, from models/checkpoints.
    """
    checkpoint = context.models.checkpoint(ckpt_name)
    return checkpoint.model, checkpoint.clip, checkpoint.vae


@node(
    "Load Checkpoint (Averaged Weights)",
    category="advanced/loaders",
    id="LoomCheckpointLoaderEMA",
    aliases=("ema", "training"),
)
def load_checkpoint_average(
    *, context: Context, ckpt_name: Annotated[str, FileIn("checkpoints")]
) -> tuple[Model, Clip, Vae]:
    """Loads a checkpoint that still holds the averaged (EMA) weights of its training, with those.

    Args:
        ckpt_name: The file to load, from models/checkpoints.
    """
    checkpoint = context.models.checkpoint(ckpt_name, ema=True)
    return checkpoint.model, checkpoint.clip, checkpoint.vae


@node("Load Diffusion Model", category="advanced/loaders", id="UNETLoader", aliases=("unet", "transformer"))
def load_diffusion_model(
    *,
    context: Context,
    unet_name: Annotated[str, FileIn("diffusion_models")],
    weight_dtype: Precision,
) -> Model:
    """Loads a diffusion model that comes without text encoder and VAE.

    Args:
        unet_name: The file to load, from models/diffusion_models or models/unet.
        weight_dtype: In which precision weights are kept. In 8 bits they take half the memory, but more time, as each
            layer widens its own when it computes; "fast" multiplies in 8 bits, on devices that can.
    """
    return context.models.diffusion_model(unet_name, weight_dtype)


@node("Load VAE", category="loaders", id="VAELoader", aliases=("autoencoder", "first stage"))
def load_vae(*, context: Context, vae_name: Annotated[str, FileIn("vae")]) -> Vae:
    """Loads a VAE, which turns pictures into latents and back.

    Args:
        vae_name: The file to load, from models/vae.
    """
    return context.models.vae(vae_name)


@node("DiffusersLoader", category="advanced/loaders/deprecated", id="DiffusersLoader", aliases=("folder",))
def load_folder(*, context: Context, model_path: Annotated[str, FileIn("diffusers")]) -> tuple[Model, Clip, Vae]:
    """Loads a model that is a folder of parts.

    Args:
        model_path: The folder that holds model_index.json, in models/diffusers.
    """
    checkpoint = context.models.folder(model_path)
    return checkpoint.model, checkpoint.clip, checkpoint.vae
