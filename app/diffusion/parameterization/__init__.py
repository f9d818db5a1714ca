"""What a network predicts, on which noise levels it was trained, and how that makes a denoiser."""

from app.diffusion.parameterization.model_sampling import (
    ModelSampling,
    cascade,
    continuous_edm,
    continuous_v,
    cosmos_flow,
    discrete,
    flow,
    flux,
)
from app.diffusion.parameterization.predictions import EPS, FLOW, IMAGE_TO_IMAGE, X0, Prediction, V
from app.diffusion.parameterization.wrap import Network, NetworkDenoiser, denoiser_of

__all__ = [
    "EPS",
    "FLOW",
    "IMAGE_TO_IMAGE",
    "X0",
    "ModelSampling",
    "Network",
    "NetworkDenoiser",
    "Prediction",
    "V",
    "cascade",
    "continuous_edm",
    "continuous_v",
    "cosmos_flow",
    "denoiser_of",
    "discrete",
    "flow",
    "flux",
]
