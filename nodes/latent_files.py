"""Nodes that keep latents in files."""

from __future__ import annotations

from typing import Annotated

from app.api import Context, ExtraInfo, FileIn, Latent, PromptData, Returned, node
from app.diffusion.latent_files import read_latent


@node("Save Latent", category="_for_testing", id="SaveLatent", output_node=True, aliases=("export",))
def save_latent(
    *,
    context: Context,
    samples: Latent,
    filename_prefix: str = "latents/LatentLoom",
    prompt: PromptData = None,
    extra_pnginfo: ExtraInfo = None,
) -> Returned:
    """Saves a latent as a file, with the workflow inside.

    Args:
        filename_prefix: How the file name begins; below the output folder.
    """
    saved = context.files.save_latent(samples["samples"], filename_prefix, prompt=prompt, extra=extra_pnginfo)
    return Returned(ui={"latents": saved})


@node("Load Latent", category="_for_testing", id="LoadLatent", aliases=("import",))
def load_latent(*, context: Context, latent: Annotated[str, FileIn("input")]) -> Latent:
    """Loads a latent that was saved, from the input folder.

    Args:
        latent: The file.
    """
    return {"samples": read_latent(context.files.path(latent))}
