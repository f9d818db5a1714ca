"""Which published family a network belongs to: the row whose shape is the network's, refined by what lies beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace

from app.diffusion.families import Family
from app.diffusion.latent_format import LatentFormat
from app.diffusion.models.unet import UNetConfig
from app.diffusion.published import PUBLISHED, U_NETS, transformer_family
from app.errors import UnknownFamily, UnusableFile
from app.weights.architectures import unknown_network
from app.weights.kinds import DIFFUSION, IN_DIFFUSERS_NAMES, differences, kind_of, refused
from app.weights.parts import Parts
from app.weights.shapes import transformer_of, unet_of
from app.weights.stored import Tensors, shapes_of

# Trained for velocity, this bias has spread by training; published eps models stay near 0.07, v models near 0.1.
V_BIAS, V_SPREAD = "output_blocks.11.1.transformer_blocks.0.norm1.bias", 0.09
SIGMA_MIN, SIGMA_MAX = "edm_vpred.sigma_min", "edm_vpred.sigma_max"
PREDICTION_KEY = "modelspec.prediction_type"  # of the stability model specification, in safetensors headers


def identify(parts: Parts, tensors: Tensors, metadata: Mapping[str, str], name: str, *, alone: bool = False) -> Family:
    """The family of a checkpoint, or with `alone` of a network that is loaded without the other parts.

    Raises:
        UnknownFamily: no network, or none that is known; says what was looked for and what is nearest.
        UnusableFile: a network that is incomplete, or one beside which impossible numbers lie.
    """
    shapes = shapes_of(parts.network)
    if transformer := transformer_of(shapes):
        return transformer_family(transformer)
    shape = unet_of(shapes)
    if shape is None:
        raise _refused(parts, tensors, name, alone=alone)
    matching = [known for known, config in U_NETS.items() if told(config) == shape]
    if not matching:
        raise _unknown(shape, name)
    return refined(PUBLISHED[matching[0]], parts, metadata, name)


def told(config: UNetConfig) -> UNetConfig:
    """What names and shapes tell of a configuration."""
    return replace(config, heads=None, head_width=None, groups=32)


def _refused(parts: Parts, tensors: Tensors, name: str, *, alone: bool) -> UnusableFile:
    """The error for a file without a network that is known."""
    inside = {key: value for key, value in tensors.items() if key.startswith(parts.network_prefix)}
    kind = kind_of(inside if parts.network else tensors)
    if kind is DIFFUSION or (alone and kind in (None, IN_DIFFUSERS_NAMES)) or (parts.network and kind is None):
        return unknown_network(parts.network or tensors, name)
    wanted = "a diffusion model" if alone else "a checkpoint with a network"
    return refused(tensors, name, f"{wanted} that is known", "'model.diffusion_model.…' tensors")


def refined(family: Family, parts: Parts, metadata: Mapping[str, str], name: str) -> Family:
    """The family with what this file says of its latents and its prediction. Raises UnusableFile."""
    rest, sampling = parts.rest, family.sampling
    if "scale_factor" in rest:
        family = replace(family, latent=replace(family.latent, scale=_positive(rest, "scale_factor", name)))
    if "edm_mean" in rest and "edm_std" in rest:
        return replace(
            family, latent=_normalised(family.latent, rest, name), sampling=replace(sampling, prediction="edm")
        )
    if SIGMA_MAX in rest:
        low = _positive(rest, SIGMA_MIN, name) if SIGMA_MIN in rest else sampling.sigma_min
        high = _positive(rest, SIGMA_MAX, name)
        if low >= high:
            raise _impossible(name, SIGMA_MAX, f"{high:g}", f"a number above {low:g}, the least noise")
        return replace(family, sampling=replace(sampling, prediction="v-edm", sigma_min=low, sigma_max=high))
    if "v_pred" in rest:
        return replace(family, sampling=replace(sampling, prediction="v", zero_terminal_snr="ztsnr" in rest))
    if metadata.get(PREDICTION_KEY, "").startswith("v") and sampling.prediction == "eps":
        return replace(family, sampling=replace(sampling, prediction="v"))
    if family.name == "sd2" and V_BIAS in parts.network and "eps_pred" not in rest:
        spread = float(parts.network[V_BIAS].read().float().std())
        return replace(family, sampling=replace(sampling, prediction="v" if spread > V_SPREAD else "eps"))
    return family


def _numbers(tensors: Tensors, key: str) -> list[float]:
    return [float(value) for value in tensors[key].read().flatten()]


def _positive(tensors: Tensors, key: str, name: str) -> float:
    """The number in a tensor. Raises UnusableFile for none, or one that is not above 0."""
    values = _numbers(tensors, key)
    if not values or not 0 < values[0] < math.inf:
        raise _impossible(name, key, f"{values[0]:g}" if values else "empty", "a number above 0")
    return values[0]


def _impossible(name: str, key: str, value: str, wanted: str) -> UnusableFile:
    return UnusableFile(
        f"In {name!r} the entry {key!r} is {value} where it must be {wanted}.",
        remedy="The file is damaged, or was saved badly; use another copy.",
    )


def _normalised(latent: LatentFormat, rest: Tensors, name: str) -> LatentFormat:
    """Latents brought to mean 0 and standard deviation ½, channel by channel (arXiv:2402.17245, section 2.1)."""
    mean, std = (_numbers(rest, key) for key in ("edm_mean", "edm_std"))
    for key, values in (("edm_mean", mean), ("edm_std", std)):
        is_possible = all(math.isfinite(value) and (key == "edm_mean" or value > 0) for value in values)
        if len(values) != latent.channels or not is_possible:
            told = f"{latent.channels} numbers{' above 0' if key == 'edm_std' else ''}, one for each channel"
            raise _impossible(name, key, f"{[float(f'{value:.4g}') for value in values]}", told)
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
