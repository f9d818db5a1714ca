"""Nodes that load models."""

from __future__ import annotations

from typing import Annotated

from app.api import Clip, Context, FileIn, Model, Vae, node


@node("Load Checkpoint", category="loaders", id="CheckpointLoaderSimple", aliases=("model", "safetensors"))
def load_checkpoint(*, context: Context, ckpt_name: Annotated[str, FileIn("checkpoints")]) -> tuple[Model, Clip, Vae]:
    """Loads a checkpoint: the diffusion model, the text encoder and the VAE that belong together.

    Args:
        ckpt_name: The file to load, from models/checkpoints.
    """
    checkpoint = context.models.checkpoint(ckpt_name)
    return checkpoint.model, checkpoint.clip, checkpoint.vae
