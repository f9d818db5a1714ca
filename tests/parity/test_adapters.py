"""PEFT and diffusers apply the same files to the same networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn

from app.diffusion.model import DiffusionModel
from app.diffusion.models.unet import UNet, UNetConfig
from app.diffusion.preview import linear_preview
from app.diffusion.published import PUBLISHED
from app.weights.adapters.adapter import load_adapter
from app.weights.diffusers_names import unet_names
from app.weights.stored import held

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv_in", "linear_1"]
CONFIGS: dict[str, Any] = {
    "lora": lambda: peft.LoraConfig(r=3, lora_alpha=5, target_modules=TARGETS),
    "dora": lambda: peft.LoraConfig(r=3, lora_alpha=3, target_modules=TARGETS[:4], use_dora=True),
    "loha": lambda: peft.LoHaConfig(r=3, alpha=3, target_modules=TARGETS[:4]),
    "lokr": lambda: peft.LoKrConfig(r=2, alpha=2, target_modules=TARGETS[:4]),
}


def theirs_and_ours() -> tuple[nn.Module, DiffusionModel]:
    """SD 1's U-Net with few channels in diffusers and ours, of the same weights."""
    torch.manual_seed(0)
    theirs = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=12,
        attention_head_dim=2,
        norm_num_groups=8,
    ).requires_grad_(False)
    config = UNetConfig(
        model_channels=16,
        channel_mult=(1, 2),
        num_res_blocks=1,
        transformer_depth=(1, 0),
        transformer_depth_middle=1,
        heads=2,
        context_width=12,
        groups=8,
    )
    network = UNet(config).requires_grad_(False).eval()
    network.load_state_dict({name: stored.read() for name, stored in unet_names(held(theirs.state_dict())).items()})
    row = PUBLISHED["sd1"]
    return theirs.eval(), DiffusionModel(network, row.sampling.build(), row.latent, linear_preview(row.latent), "sd1")


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_file_of_peft_does_what_peft_does(tmp_path: Path, kind: str) -> None:
    theirs, ours = theirs_and_ours()
    wrapped: Any = peft.get_peft_model(theirs, CONFIGS[kind]())
    with torch.no_grad():
        for name, value in wrapped.named_parameters():
            if value.requires_grad:
                value.copy_(value.abs() + 0.1 if "magnitude" in name else 0.3 * torch.randn_like(value))
    wrapped.save_pretrained(tmp_path)
    adapter = load_adapter(tmp_path / "adapter_model.safetensors")
    made = adapter.applied(ours, None, 1.0)[0]  # alpha comes from PEFT's other file
    x, times, context = torch.randn(2, 4, 8, 8), torch.tensor([3, 700]), torch.randn(2, 5, 12)
    with torch.no_grad():
        expected, given = wrapped(x, times, context).sample, made.network(x, times, context)
        plain = ours.network(x, times, context)
    assert float((expected - plain).abs().max()) > 0.01
    assert float((given - expected).abs().max() / expected.abs().max()) < 1e-4
    assert not adapter.changes.unknown
    assert len(adapter.changes.layers) == sum("base_layer.weight" in name for name in wrapped.state_dict())
