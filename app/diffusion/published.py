"""The published U-Net models, one row each: shapes as in the files, constants from the configurations beside them.

Sources: CompVis/latent-diffusion models/*/config.yaml; Stability-AI/stablediffusion configs/stable-diffusion/*.yaml;
Stability-AI/generative-models configs/inference/sd_xl_*.yaml; Gupta et al. 2024 (arXiv:2401.02677) for SSD-1B and Vega;
Lee et al. 2023 (arXiv:2312.04005) for KOALA; Li et al. 2024 (arXiv:2402.17245) for Playground.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.diffusion.families import Family, SamplingConfig
from app.diffusion.latent_format import SD, SDXL_LATENT, LatentFormat
from app.diffusion.models.autoencoder_kl import AutoencoderConfig
from app.diffusion.models.flux import FLUX_DEV, FluxConfig
from app.diffusion.models.mmdit import SD3_MEDIUM, MMDiTConfig
from app.diffusion.models.unet import UNetConfig

EPS, V = SamplingConfig("eps"), SamplingConfig("v")

KL_F4 = AutoencoderConfig(3, channel_mult=(1, 2, 4))
KL_F8 = AutoencoderConfig()
KL_F16 = AutoencoderConfig(16, channel_mult=(1, 1, 2, 2, 4), attention=(False, False, False, False, True))
KL_F32 = AutoencoderConfig(64, channel_mult=(1, 1, 2, 2, 4, 4), attention=(False, False, False, False, True, True))
VQ_F4 = replace(KL_F4, codes=8192)
VQ_F4_PLAIN = replace(VQ_F4, middle_attention=False)
VQ_F8 = AutoencoderConfig(4, channel_mult=(1, 2, 2, 4), attention=(False, False, False, True), codes=16384)
VQ_F8_SMALL = replace(VQ_F8, codes=256)
VQ_F16 = replace(KL_F16, latent_channels=8, codes=16384)
KL_16_CHANNELS = AutoencoderConfig(16, quant_conv=False)  # Stable Diffusion 3 and Flux
FIRST_STAGES = {
    "kl-f4": KL_F4,
    "kl-f8": KL_F8,
    "kl-f16": KL_F16,
    "kl-f32": KL_F32,
    "vq-f4": VQ_F4,
    "vq-f4-noattn": VQ_F4_PLAIN,
    "vq-f8": VQ_F8,
    "vq-f8-n256": VQ_F8_SMALL,
    "vq-f16": VQ_F16,
    "kl-f8-16": KL_16_CHANNELS,
}

_SD1 = UNetConfig()
_SD2 = UNetConfig(heads=None, head_width=64, context_width=1024, linear_projection=True)
_X4 = UNetConfig(
    in_channels=7,
    model_channels=256,
    channel_mult=(1, 2, 2, 4),
    transformer_depth=(0, 1, 1, 1),
    context_width=1024,
    linear_projection=True,
    cross_only=(False, True, True, False),
    classes=1000,
)
_SDXL = UNetConfig(
    channel_mult=(1, 2, 4),
    transformer_depth=(0, 2, 10),
    transformer_depth_middle=10,
    heads=None,
    head_width=64,
    context_width=2048,
    linear_projection=True,
    vector_width=2816,
)
_REFINER = replace(
    _SDXL,
    model_channels=384,
    channel_mult=(1, 2, 4, 4),
    transformer_depth=(0, 4, 4, 0),
    transformer_depth_middle=4,
    context_width=1280,
    vector_width=2560,
)
_SSD_1B = replace(
    _SDXL, transformer_depth=(0, 2, 4), transformer_depth_middle=-1, output_depth=(4, 4, 10, 2, 1, 1, 0, 0, 0)
)
_VEGA = replace(_SDXL, transformer_depth=(0, 1, 2), transformer_depth_middle=-1)
_KOALA_700M = replace(_SDXL, num_res_blocks=1, transformer_depth=(0, 2, 5), transformer_depth_middle=-2)
_KOALA_1B = replace(_SDXL, num_res_blocks=1, transformer_depth=(0, 2, 6), transformer_depth_middle=6)


# Fewer blocks: one a level; without the middle; without the lowest level as well (Kim et al. 2023, arXiv:2305.15798).
_THREE: dict[str, Any] = {"channel_mult": (1, 2, 4), "transformer_depth": (1, 1, 1)}
_PRUNED: dict[str, dict[str, Any]] = {
    "base": {},
    "small": {"transformer_depth_middle": -2},
    "tiny": {"transformer_depth_middle": -2, **_THREE},
}
BLOCK_PRUNED = tuple(
    Family(f"{family}-bk-{size}", replace(whole, num_res_blocks=1, **fewer), KL_F8, family, SD, EPS)
    for family, whole in (("sd1", _SD1), ("sd2", _SD2))
    for size, fewer in _PRUNED.items()
)

STABLE_DIFFUSION = (
    Family("sd1", _SD1, KL_F8, "sd1", SD, EPS),
    Family("sd1-inpaint", replace(_SD1, in_channels=9), KL_F8, "sd1", SD, EPS),
    Family("sd1-instruct-pix2pix", replace(_SD1, in_channels=8), KL_F8, "sd1", SD, EPS),
    Family("sd2", _SD2, KL_F8, "sd2", SD, EPS),
    Family("sd2-inpaint", replace(_SD2, in_channels=9), KL_F8, "sd2", SD, EPS),
    Family("sd2-depth", replace(_SD2, in_channels=5), KL_F8, "sd2", SD, EPS),
    Family("sd2-unclip-l", replace(_SD2, vector_width=1536), KL_F8, "sd2", SD, V),
    Family("sd2-unclip-h", replace(_SD2, vector_width=2048), KL_F8, "sd2", SD, V),
    # Its betas are linear between the roots of DDPM's bounds: x4-upscaling.yaml.
    Family(
        "sd2-x4-upscaler",
        _X4,
        replace(KL_F4, latent_channels=4),
        "sd2",
        LatentFormat(4, 4, 0.08333),
        SamplingConfig("v", linear_start=1e-4, linear_end=0.02),
    ),
    *BLOCK_PRUNED,
    Family("sdxl", _SDXL, KL_F8, "sdxl", SDXL_LATENT, EPS),
    Family("sdxl-inpaint", replace(_SDXL, in_channels=9), KL_F8, "sdxl", SDXL_LATENT, EPS),
    Family("sdxl-instruct-pix2pix", replace(_SDXL, in_channels=8), KL_F8, "sdxl", SDXL_LATENT, EPS),
    Family("sdxl-refiner", _REFINER, KL_F8, "refiner", SDXL_LATENT, EPS),
    Family("ssd-1b", _SSD_1B, KL_F8, "sdxl", SDXL_LATENT, EPS),
    Family("segmind-vega", _VEGA, KL_F8, "sdxl", SDXL_LATENT, EPS),
    Family("koala-700m", _KOALA_700M, KL_F8, "sdxl", SDXL_LATENT, EPS),
    Family("koala-1b", _KOALA_1B, KL_F8, "sdxl", SDXL_LATENT, EPS),
)

_LDM = UNetConfig(
    in_channels=3,
    out_channels=3,
    model_channels=192,
    channel_mult=(1, 2, 3, 5),
    transformer_depth=(0, 1, 1, 1),
    heads=None,
    head_width=32,
    context_width=640,
)
_PIXELS = replace(_LDM, pixel_attention=True, context_width=None, model_channels=224, channel_mult=(1, 2, 3, 4))
_LAYOUT = replace(
    _LDM,
    model_channels=128,
    channel_mult=(1, 2, 3, 4),
    transformer_depth=(0, 3, 3, 3),
    transformer_depth_middle=3,
    context_width=512,
)
_CHURCHES = replace(
    _PIXELS,
    in_channels=4,
    out_channels=4,
    model_channels=192,
    channel_mult=(1, 2, 2, 4, 4),
    transformer_depth=(1, 1, 1, 1, 0),
    heads=8,
    head_width=None,
    scale_shift=True,
    residual_resampling=True,
)
_BIG = replace(
    _PIXELS,
    in_channels=7,
    model_channels=256,
    channel_mult=(1, 2, 3, 4),
    heads=8,
    head_width=None,
    residual_resampling=True,
)
_BSR = replace(_PIXELS, in_channels=6, model_channels=160, channel_mult=(1, 2, 2, 4), transformer_depth=(0, 0, 0, 1))
_SEMANTIC = replace(
    _PIXELS,
    in_channels=6,
    model_channels=128,
    channel_mult=(1, 4, 8),
    transformer_depth=(0, 0, 0),
    heads=8,
    head_width=None,
)
_CIN = replace(_LDM, in_channels=4, out_channels=4, model_channels=256, channel_mult=(1, 2, 4), context_width=512)
_RDM = UNetConfig(16, 16, 448, (1, 2, 3, 4), 2, (1, 1, 1, 0), heads=None, head_width=32, context_width=768)
VQ_LATENT = LatentFormat(3, 4, 1.0)


def _betas(start: float, end: float) -> SamplingConfig:
    return SamplingConfig("eps", linear_start=start, linear_end=end)


LATENT_DIFFUSION = (
    Family("ldm-text2img-large", replace(_SD1, context_width=1280), KL_F8, "bert", SD, EPS),
    Family("ldm-text2img256", _LDM, VQ_F4, "bert", VQ_LATENT, _betas(0.0015, 0.0195)),
    Family(
        "ldm-cin256-v2",
        replace(_LDM, heads=1, head_width=None, context_width=512),
        VQ_F4,
        "classes",
        VQ_LATENT,
        _betas(0.0015, 0.0195),
    ),
    Family(
        "ldm-cin256",
        replace(_CIN, transformer_depth=(1, 1, 1)),
        VQ_F8,
        "classes",
        LatentFormat(4, 8, 1.0),
        _betas(0.0015, 0.0195),
    ),
    Family("ldm-unconditional", _PIXELS, VQ_F4, "none", VQ_LATENT, _betas(0.0015, 0.0195)),
    Family("ldm-churches", _CHURCHES, KL_F8, "none", LatentFormat(4, 8, 1.0), _betas(0.0015, 0.0155)),
    Family("ldm-inpainting-big", _BIG, VQ_F4_PLAIN, "none", VQ_LATENT, _betas(0.0015, 0.0205)),
    Family("ldm-bsr-sr", _BSR, VQ_F4, "none", VQ_LATENT, _betas(0.0015, 0.0155)),
    Family("ldm-semantic-synthesis", _SEMANTIC, VQ_F4, "segmentation", VQ_LATENT, _betas(0.0015, 0.0205)),
    Family("ldm-layout2img", _LAYOUT, VQ_F4, "boxes", VQ_LATENT, _betas(0.0015, 0.0205)),
    Family("ldm-rdm768", _RDM, KL_F16, "image", LatentFormat(16, 16, 0.22765929), _betas(0.0015, 0.015)),
)

SD3_LATENT = LatentFormat(16, 8, 1.5305, 0.0609)  # sd3_infer.py of sd3-ref
FLUX_LATENT = LatentFormat(16, 8, 0.3611, 0.1159)  # flux/util.py of Black Forest Labs
SD3 = Family("sd3", SD3_MEDIUM, KL_16_CHANNELS, "sd3", SD3_LATENT, SamplingConfig("flow", shift=3.0))
FLUX = Family("flux", FLUX_DEV, KL_16_CHANNELS, "flux", FLUX_LATENT, SamplingConfig("flux", shift=1.15))
SCHNELL = replace(FLUX, name="flux-schnell", sampling=SamplingConfig("flow", shift=1.0, multiplier=1.0))

# U-Nets are told apart by their shape; of transformers any size is built, see `transformer_family`.
PUBLISHED = {family.name: family for family in (*STABLE_DIFFUSION, *LATENT_DIFFUSION)}
U_NETS = {name: family.unet for name, family in PUBLISHED.items() if isinstance(family.unet, UNetConfig)}


def transformer_family(config: MMDiTConfig | FluxConfig) -> Family:
    """The family of a transformer of any size."""
    if isinstance(config, MMDiTConfig):
        return replace(SD3, unet=config)
    return replace(FLUX if config.guidance else SCHNELL, unet=config)
