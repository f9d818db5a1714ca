"""Nodes that train a LoRA on a few pictures, look at how it went, use it and save it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor

from app.api import (
    Conditioning,
    Context,
    ExtraInfo,
    FileIn,
    Latent,
    Model,
    Options,
    Port,
    PromptData,
    Range,
    Returned,
    node,
)
from app.images.plots import line_plot
from app.training.adapters.examples import examples_of
from app.training.adapters.outcome import adapted, steps_said_by
from app.training.adapters.start import earlier_training
from app.training.adapters.trainer import AdapterRecipe, AdapterTraining

# The tensors of an adapter, by the names that files have.
Lora = Annotated[Mapping[str, Tensor], Port("LORA_MODEL")]
# {"loss": one number for each step}
Losses = Annotated[Mapping[str, list[float]], Port("LOSS_MAP")]
Precision = Literal["bf16", "fp32"]
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
NONE = "[None]"


@node(
    "Train LoRA",
    category="training",
    id="TrainLoraNode",
    outputs=("model_with_lora", "lora", "loss", "steps"),
    experimental=True,
    aliases=("lora", "loha", "lokr", "oft", "fine-tune", "dreambooth"),
)
def train_lora(
    *,
    context: Context,
    model: Model,
    latents: Latent,
    positive: Conditioning,
    batch_size: Annotated[int, Range(1, 10000, step=1)] = 1,
    grad_accumulation_steps: Annotated[int, Range(1, 1024, step=1)] = 1,
    steps: Annotated[int, Range(1, 100000)] = 16,
    learning_rate: Annotated[float, Range(1e-7, 1.0, step=1e-6)] = 0.0005,
    rank: Annotated[int, Range(1, 128)] = 8,
    optimizer: Literal["AdamW", "Adam", "SGD", "RMSprop"] = "AdamW",
    loss_function: Literal["MSE", "L1", "Huber", "SmoothL1"] = "MSE",
    seed: Annotated[int, Range(0, 2**64 - 1)] = 0,
    training_dtype: Precision = "bf16",
    lora_dtype: Precision = "bf16",
    algorithm: Literal["LoRA", "LoHa", "LoKr", "OFT"] = "LoRA",
    gradient_checkpointing: bool = True,
    existing_lora: Annotated[str, FileIn("loras", also=(NONE,))] = NONE,
) -> tuple[Model, Lora, Losses, int]:
    """Teaches a model what a few pictures show, as a LoRA. The model that is given does not change.

    Args:
        model: The model to learn with.
        latents: The pictures to learn from, as VAE Encode makes them.
        positive: What the pictures show: one conditioning for each, or one for all.
        batch_size: How many pictures are looked at together.
        grad_accumulation_steps: How many batches are looked at before each step.
        steps: How often the LoRA is changed.
        learning_rate: How far each step goes.
        rank: How fine the LoRA is; its size grows with it. For OFT the size of its blocks.
        training_dtype: What the model computes in; bf16 takes half the memory.
        lora_dtype: What the LoRA is handed out in; it is always trained in fp32.
        algorithm: What kind of change is learnt.
        gradient_checkpointing: Takes a third longer, and much less memory.
        existing_lora: A file to go on from, trained by this node or another program.
    """
    recipe = AdapterRecipe(
        algorithm=algorithm,
        rank=rank,
        steps=steps,
        batch=batch_size,
        accumulate=grad_accumulation_steps,
        rate=learning_rate,
        optimiser=optimizer,
        loss=loss_function,
        seed=seed,
        dtype=DTYPES[training_dtype],
        recompute=gradient_checkpointing,
    )
    earlier = None if existing_lora == NONE else earlier_training(context.models.adapter(existing_lora), model)
    training = AdapterTraining(model, examples_of(model, latents, positive), recipe, earlier)
    losses: list[float] = []
    with context.models.on_device(training.network):
        for step in training.steps():
            losses.append(step.loss)
            context.progress(step.number, steps, lambda: line_plot({"loss": losses}))
    lora = training.tensors(DTYPES[lora_dtype])
    return adapted(model, lora, 1.0), lora, {"loss": losses}, steps + steps_said_by(existing_lora)


@node("Load LoRA Model", category="loaders", id="LoraModelLoader", experimental=True, aliases=("lora", "trained"))
def lora_model_loader(
    *, model: Model, lora: Lora, strength_model: Annotated[float, Range(-100.0, 100.0, step=0.01)] = 1.0
) -> Model:
    """Changes a model by a LoRA that was trained in this workflow.

    Args:
        lora: What Train LoRA gives.
        strength_model: How much the model is changed; 0 for not at all, below 0 for the opposite.
    """
    return adapted(model, lora, strength_model)


@node(
    "Save LoRA Weights",
    category="loaders",
    id="SaveLoRANode",
    output_node=True,
    experimental=True,
    aliases=("export", "trained"),
)
def save_lora(
    *,
    context: Context,
    lora: Lora,
    prefix: str = "loras/LatentLoom_trained_lora",
    steps: Annotated[int | None, Options(forceInput=True)] = None,
) -> Returned:
    """Saves a LoRA that was trained in this workflow.

    Args:
        lora: What Train LoRA gives.
        prefix: How the file name begins; below the output folder, from where it can be loaded at once.
        steps: How long it was trained, for the name; Train LoRA adds them up when it goes on from the file.
    """
    name = prefix if steps is None else f"{prefix}_{steps}_steps"
    return Returned(ui={"models": context.files.save_adapter(lora, name)})


@node(
    "Plot Loss Graph",
    category="training",
    id="LossGraphNode",
    output_node=True,
    experimental=True,
    aliases=("curve", "chart"),
)
def loss_graph(
    *,
    context: Context,
    loss: Annotated[Mapping[str, list[float]], Port("LOSS_MAP"), Options(default={})],
    filename_prefix: str = "loss_graph",
    prompt: PromptData = None,
    extra_pnginfo: ExtraInfo = None,
) -> Returned:
    """Draws how the loss went while a LoRA was trained.

    Args:
        loss: What Train LoRA gives.
        filename_prefix: How the file name begins; the picture is for looking at, and not kept.
    """
    plot = line_plot(loss)[None]
    entries = context.files.save_images(plot, filename_prefix, kind="temp", prompt=prompt, extra=extra_pnginfo)
    return Returned(ui={"images": entries})
