"""`comfy.ldm.modules.diffusionmodules.openaimodel`: the U-Net and its parts."""

from app.diffusion.models.unet import Downsample, ResBlock, UNet, Upsample

UNetModel = UNet

__all__ = ["Downsample", "ResBlock", "UNetModel", "Upsample"]
