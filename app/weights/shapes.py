"""The shape of a network, read off the names and shapes of its tensors.

What they do not tell (how many heads an attention has, how many groups a normalisation) is left at None and 32.
"""

from __future__ import annotations

from app.diffusion.models.autoencoder_kl import AutoencoderConfig
from app.diffusion.models.flux import FluxConfig, flux_config
from app.diffusion.models.mmdit import MMDiTConfig, mmdit_config
from app.diffusion.models.unet import UNetConfig
from app.weights.stored import Shapes


def unet_of(shapes: Shapes) -> UNetConfig | None:
    """The configuration of the U-Net with these tensors (CompVis's names, no prefix); None if it is none."""
    try:
        return _unet(shapes)
    except (KeyError, IndexError, ValueError, ZeroDivisionError):
        return None


def _unet(shapes: Shapes) -> UNetConfig:
    width, in_channels = shapes["input_blocks.0.0.weight"][:2]
    outputs = _count(shapes, "output_blocks.")
    upsampling = [index for index in range(outputs) if _upsamples(shapes, index)]
    blocks = upsampling[0] if upsampling else outputs - 1
    levels = range(outputs // (blocks + 1))
    starts = [1 + level * (blocks + 1) for level in levels]
    depth = tuple(_depth(shapes, f"input_blocks.{start}.1.") for start in starts)
    output_depth = tuple(_depth(shapes, f"output_blocks.{index}.1.") for index in range(outputs))
    symmetric = tuple(depth[level] for level in reversed(levels) for _ in range(blocks + 1))
    context = _context(shapes)
    cross = tuple(_first_attends_context(shapes, start, context) for start in starts)
    mult = tuple(shapes[f"input_blocks.{start}.0.in_layers.2.weight"][0] // width for start in starts)
    first = f"input_blocks.{starts[0]}.0."
    return UNetConfig(
        in_channels=in_channels,
        out_channels=shapes["out.2.weight"][0],
        model_channels=width,
        channel_mult=mult,
        num_res_blocks=blocks,
        transformer_depth=depth,
        transformer_depth_middle=_middle(shapes),
        heads=None,
        context_width=context,
        linear_projection=_projects_linearly(shapes),
        vector_width=shapes.get("label_emb.0.0.weight", (0, 0))[1],
        output_depth=() if output_depth == symmetric else output_depth,
        cross_only=cross if any(cross) else (),
        pixel_attention=any(name.endswith(".qkv.weight") for name in shapes),
        classes=shapes.get("label_emb.weight", (0,))[0],
        scale_shift=shapes[f"{first}emb_layers.1.weight"][0] == 2 * shapes[f"{first}out_layers.3.weight"][0],
        residual_resampling=any(
            f"output_blocks.{i}.{j}.in_layers.2.weight" in shapes for i in upsampling for j in (1, 2)
        ),
    )


def control_unet_of(shapes: Shapes) -> UNetConfig | None:
    """The configuration of the U-Net whose way down a ControlNet has (original names, no prefix); None if it is none.

    What its way up would be is taken to mirror the way down.
    """
    try:
        width, in_channels = shapes["input_blocks.0.0.weight"][:2]
        stages = range(_count(shapes, "input_blocks."))
        halving = [index for index in stages if f"input_blocks.{index}.0.op.weight" in shapes]
        blocks = (halving[0] if halving else len(stages)) - 1
        starts = [1, *(index + 1 for index in halving)]
        return UNetConfig(
            in_channels=in_channels,
            model_channels=width,
            channel_mult=tuple(shapes[f"input_blocks.{start}.0.in_layers.2.weight"][0] // width for start in starts),
            num_res_blocks=blocks,
            transformer_depth=tuple(_depth(shapes, f"input_blocks.{start}.1.") for start in starts),
            transformer_depth_middle=_middle(shapes),
            heads=None,
            context_width=_context(shapes),
            linear_projection=_projects_linearly(shapes),
            vector_width=shapes.get("label_emb.0.0.weight", (0, 0))[1],
        )
    except (KeyError, IndexError, ValueError, ZeroDivisionError):
        return None


def _count(shapes: Shapes, prefix: str) -> int:
    """How many numbered parts follow a prefix."""
    return 1 + max(int(name[len(prefix) :].split(".")[0]) for name in shapes if name.startswith(prefix))


def _upsamples(shapes: Shapes, index: int) -> bool:
    ends = ("conv.weight", "in_layers.2.weight")
    return any(f"output_blocks.{index}.{place}.{end}" in shapes for place in (1, 2) for end in ends)


def _depth(shapes: Shapes, prefix: str) -> int:
    """The number of transformer blocks, or 1 for attention without a transformer."""
    if f"{prefix}qkv.weight" in shapes:
        return 1
    depth = 0
    while f"{prefix}transformer_blocks.{depth}.attn1.to_q.weight" in shapes:
        depth += 1
    return depth


def _middle(shapes: Shapes) -> int:
    if "middle_block.0.in_layers.2.weight" not in shapes:
        return -2
    if "middle_block.1.in_layers.2.weight" in shapes:
        return 0
    return _depth(shapes, "middle_block.1.") or -1


def _context(shapes: Shapes) -> int | None:
    """The width of what transformers attend to, None without any."""
    return next((shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None)


def _projects_linearly(shapes: Shapes) -> bool:
    return any(len(shape) == 2 for name, shape in shapes.items() if name.endswith(".proj_in.weight"))


def _first_attends_context(shapes: Shapes, start: int, context: int | None) -> bool:
    shape = shapes.get(f"input_blocks.{start}.1.transformer_blocks.0.attn1.to_k.weight")
    return shape is not None and shape[1] == context != shape[0]


def transformer_of(shapes: Shapes) -> MMDiTConfig | FluxConfig | None:
    """The configuration of the SD 3 or Flux transformer with these tensors (no prefix); None if it is none."""
    try:
        if "joint_blocks.0.context_block.attn.qkv.weight" in shapes:
            return mmdit_config(shapes)
        if "double_blocks.0.img_attn.norm.key_norm.scale" in shapes:
            return flux_config(shapes)
    except (KeyError, IndexError, ValueError, ZeroDivisionError):
        return None
    return None


def autoencoder_of_shapes(shapes: Shapes) -> AutoencoderConfig | None:
    """The configuration of the first stage with these tensors (CompVis's names, no prefix); None if it is none."""
    try:
        channels, image_channels = shapes["encoder.conv_in.weight"][:2]
        levels = range(_count(shapes, "encoder.down."))
        attention = tuple(f"encoder.down.{level}.attn.0.q.weight" in shapes for level in levels)
        return AutoencoderConfig(
            latent_channels=shapes["decoder.conv_in.weight"][1],
            channels=channels,
            channel_mult=tuple(shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] // channels for level in levels),
            num_res_blocks=_count(shapes, "encoder.down.0.block."),
            image_channels=image_channels,
            quant_conv="quant_conv.weight" in shapes,
            attention=attention if any(attention) else (),
            middle_attention="encoder.mid.attn_1.q.weight" in shapes,
            codes=shapes.get("quantize.embedding.weight", (0,))[0],
        )
    except (KeyError, IndexError, ValueError):
        return None
