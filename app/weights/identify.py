"""Which published family a network belongs to: the row whose shape is the network's, refined by what lies beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from app.diffusion.families import Family
from app.diffusion.latent_format import LatentFormat
from app.diffusion.models.unet import UNetConfig
from app.diffusion.published import PUBLISHED, U_NETS, transformer_family
from app.errors import UnknownFamily
from app.weights.kinds import differences, refused
from app.weights.parts import Parts
from app.weights.shapes import transformer_of, unet_of
from app.weights.stored import Tensors, shapes_of

# Trained for velocity, this bias has spread by training; published eps models stay near 0.07, v models near 0.1.
V_BIAS, V_SPREAD = "output_blocks.11.1.transformer_blocks.0.norm1.bias", 0.09
PREDICTION_KEY = "modelspec.prediction_type"  # of the stability model specification, in safetensors headers


def identify(parts: Parts, tensors: Tensors, metadata: Mapping[str, str], name: str) -> Family:
    """The family of a checkpoint or of a network alone.

    Raises:
        UnknownFamily: no network, or none that is known; says what was looked for and what is nearest.
    """
    shapes = shapes_of(parts.network)
    if transformer := transformer_of(shapes):
        return transformer_family(transformer)
    shape = unet_of(shapes)
    if shape is None:
        raise refused(tensors, name, "a checkpoint with a network that is known", "'model.diffusion_model.…' tensors")
    matching = [known for known, config in U_NETS.items() if told(config) == shape]
    if not matching:
        raise _unknown(shape, name)
    return refined(PUBLISHED[matching[0]], parts, metadata)


def told(config: UNetConfig) -> UNetConfig:
    """What names and shapes tell of a configuration."""
    return replace(config, heads=None, head_width=None, groups=32)


def refined(family: Family, parts: Parts, metadata: Mapping[str, str]) -> Family:
    """The family with what this file says of its latents and its prediction."""
    rest, sampling = parts.rest, family.sampling
    if "scale_factor" in rest:
        family = replace(family, latent=replace(family.latent, scale=_number(rest, "scale_factor")))
    if "edm_mean" in rest and "edm_std" in rest:
        return replace(family, latent=_normalised(family.latent, rest), sampling=replace(sampling, prediction="edm"))
    if "edm_vpred.sigma_max" in rest:
        low = _number(rest, "edm_vpred.sigma_min") if "edm_vpred.sigma_min" in rest else sampling.sigma_min
        high = _number(rest, "edm_vpred.sigma_max")
        return replace(family, sampling=replace(sampling, prediction="v-edm", sigma_min=low, sigma_max=high))
    if "v_pred" in rest:
        return replace(family, sampling=replace(sampling, prediction="v", zero_terminal_snr="ztsnr" in rest))
    if metadata.get(PREDICTION_KEY, "").startswith("v") and sampling.prediction == "eps":
        return replace(family, sampling=replace(sampling, prediction="v"))
    if family.name == "sd2" and V_BIAS in parts.network and "eps_pred" not in rest:
        spread = float(parts.network[V_BIAS].read().float().std())
        return replace(family, sampling=replace(sampling, prediction="v" if spread > V_SPREAD else "eps"))
    return family


def _number(tensors: Tensors, name: str) -> float:
    return float(tensors[name].read().flatten()[0])


def _normalised(latent: LatentFormat, rest: Tensors) -> LatentFormat:
    """Latents brought to mean 0 and standard deviation ½, channel by channel (arXiv:2402.17245, section 2.1)."""
    mean, std = ([float(value) for value in rest[key].read().flatten()] for key in ("edm_mean", "edm_std"))
    return replace(latent, shift=tuple(mean), scale=tuple(0.5 / value for value in std))


def _unknown(shape: UNetConfig, name: str) -> UnknownFamily:
    """Names the family that differs least."""
    theirs = asdict(shape)
    apart = {known: differences(asdict(told(config)), theirs) for known, config in U_NETS.items()}
    nearest = min(apart, key=lambda each: len(apart[each]))
    return UnknownFamily(
        f"The U-Net in {name!r} is of no family that is known. The nearest is {nearest}, from which it differs in: "
        f"{'; '.join(apart[nearest])}.",
        remedy=f"Known are {', '.join(PUBLISHED)}.",
    )
