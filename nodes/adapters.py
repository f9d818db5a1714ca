"""Nodes that change a model by an adapter: LoRA and its kin. The model that was given is not changed."""

from __future__ import annotations

from typing import Annotated

from app.api import Clip, Context, FileIn, Model, Range, node

LoraName = Annotated[str, FileIn("loras")]
Strength = Annotated[float, Range(-100.0, 100.0, step=0.01)]


@node("Load LoRA", category="loaders", id="LoraLoader", aliases=("lora", "lycoris", "dora", "style"))
def lora_loader(
    *,
    context: Context,
    model: Model,
    clip: Clip,
    lora_name: LoraName,
    strength_model: Strength = 1.0,
    strength_clip: Strength = 1.0,
) -> tuple[Model, Clip]:
    """Changes a model and its text encoder by a LoRA, LoHa, LoKr, DoRA, GLoRA, OFT, BOFT or a full difference.

    Args:
        lora_name: The file to load, from models/loras.
        strength_model: How much the diffusion model is changed; 0 for not at all, below 0 for the opposite.
        strength_clip: How much the text encoder is changed.
    """
    if not strength_model and not strength_clip:
        return model, clip
    return context.models.adapter(lora_name).applied(model, clip, strength_model, strength_clip)


@node("LoraLoaderModelOnly", category="loaders", id="LoraLoaderModelOnly", aliases=("lora", "lycoris", "style"))
def lora_loader_model_only(
    *, context: Context, model: Model, lora_name: LoraName, strength_model: Strength = 1.0
) -> Model:
    """Changes a model by a LoRA or another adapter, and leaves the text encoder alone.

    Args:
        lora_name: The file to load, from models/loras.
        strength_model: How much the model is changed; 0 for not at all, below 0 for the opposite.
    """
    if not strength_model:
        return model
    return context.models.adapter(lora_name).applied(model, None, strength_model)[0]
