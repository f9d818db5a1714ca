"""Nodes that look at pictures with CLIP, and models that are conditioned on what it sees."""

from __future__ import annotations

from typing import Annotated, Literal

from torch.nn.functional import normalize

from app.api import Clip, Conditioning, Context, FileIn, Image, Model, Port, Range, Vae, node
from app.diffusion.conditioning.entries import appended
from app.diffusion.given import checked_image, naming
from app.diffusion.models.clip_vision import ClipVision, VisionFeatures

Vision = Annotated[ClipVision, Port("CLIP_VISION")]
Seen = Annotated[VisionFeatures, Port("CLIP_VISION_OUTPUT")]


@node("Load CLIP Vision", category="loaders", id="CLIPVisionLoader", aliases=("image encoder", "vit"))
def clip_vision_loader(*, context: Context, clip_name: Annotated[str, FileIn("clip_vision")]) -> Vision:
    """Loads CLIP's vision tower, which turns pictures into what texts are compared with.

    Args:
        clip_name: The file to load, from models/clip_vision.
    """
    return context.models.clip_vision(clip_name)


@node("unCLIPCheckpointLoader", category="loaders", id="unCLIPCheckpointLoader", aliases=("image variation",))
def unclip_checkpoint_loader(
    *, context: Context, ckpt_name: Annotated[str, FileIn("checkpoints")]
) -> tuple[Model, Clip, Vae, Vision]:
    """Loads a checkpoint of Stable Diffusion 2.1 unCLIP, which draws variations of pictures.

    Args:
        ckpt_name: The file to load, from models/checkpoints.
    """
    checkpoint = context.models.checkpoint(ckpt_name)
    vision = context.models.clip_vision(ckpt_name, checkpoint=True)
    return checkpoint.model, checkpoint.clip, checkpoint.vae, vision


@node("CLIP Vision Encode", category="conditioning", id="CLIPVisionEncode", aliases=("image prompt",))
def clip_vision_encode(*, context: Context, clip_vision: Vision, image: Image, crop: Literal["center", "none"]) -> Seen:
    """Looks at pictures with CLIP, and tells what it sees to nodes that follow them.

    Args:
        crop: "center" looks at the middle square, "none" at the whole picture, squeezed to a square.
    """
    with naming("image"):
        checked_image(image)
    with context.models.on_device(clip_vision):
        return clip_vision.see(clip_vision.look(image, crop=crop == "center"))


@node("Picture Conditioning", category="conditioning", id="LoomPictureConditioning", aliases=("rdm", "retrieval"))
def picture_conditioning(*, clip_vision_output: Seen) -> Conditioning:
    """Tells a model that reads CLIP's picture embeddings instead of a prompt (rdm768) what to draw something like.

    Args:
        clip_vision_output: What CLIP L sees in one or several pictures, all of which count.
    """
    return [[normalize(clip_vision_output.image_embeds.float().cpu(), dim=-1)[None], {}]]


@node("unCLIPConditioning", category="conditioning", id="unCLIPConditioning", aliases=("image prompt", "variation"))
def unclip_conditioning(
    *,
    conditioning: Conditioning,
    clip_vision_output: Seen,
    strength: Annotated[float, Range(-10.0, 10.0, step=0.01)] = 1.0,
    noise_augmentation: Annotated[float, Range(0.0, 1.0, step=0.01)] = 0.0,
) -> Conditioning:
    """Shows an unCLIP model a picture besides the prompt; several add up.

    Args:
        strength: How much the picture counts.
        noise_augmentation: How far the result may depart from the picture.
    """
    if not strength:
        return conditioning
    picture = {
        "clip_vision_output": clip_vision_output,
        "strength": strength,
        "noise_augmentation": noise_augmentation,
    }
    return appended(conditioning, "unclip_conditioning", picture)
