"""`comfy.ldm.modules.diffusionmodules.util`: small parts of networks."""

from app.diffusion.models.unet import timestep_embedding

__all__ = ["timestep_embedding"]
