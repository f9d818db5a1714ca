"""Nodes that change a model by an adapter: LoRA and its kin. The model that was given is not changed."""

from __future__ import annotations

from typing import Annotated, Literal

from app.api import Clip, Context, ExtraInfo, FileIn, Model, PromptData, Range, Returned, node

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


@node(
    "Extract and Save Lora",
    category="_for_testing",
    id="LoraSave",
    output_node=True,
    experimental=True,
    aliases=("extract", "export", "difference"),
)
def lora_save(
    *,
    context: Context,
    filename_prefix: str = "loras/LatentLoom_extracted_lora",
    rank: Annotated[int, Range(1, 4096, step=1)] = 8,
    lora_type: Literal["standard", "full_diff"],
    bias_diff: bool = True,
    model_diff: Model | None = None,
    text_encoder_diff: Clip | None = None,
    prompt: PromptData = None,
    extra_pnginfo: ExtraInfo = None,
) -> Returned:
    """Saves the difference of two models as a LoRA, such as ModelMergeSubtract finds it.

    Args:
        filename_prefix: How the file name begins; below the output folder, from where it can be loaded at once.
        rank: How fine the LoRA is; its size grows with it.
        lora_type: As a LoRA of that rank, or the full difference, as large as the model.
        bias_diff: Whether biases and normalisations are saved too.
        model_diff: The difference of two models.
        text_encoder_diff: The difference of two text encoders.
    """
    saved = context.files.save_difference(
        filename_prefix,
        model=model_diff,
        clip=text_encoder_diff,
        rank=rank if lora_type == "standard" else None,
        biases=bias_diff,
        prompt=prompt,
        extra=extra_pnginfo,
    )
    return Returned(ui={"models": saved})
