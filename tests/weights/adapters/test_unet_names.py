"""diffusers itself is asked what it calls the layers of the published U-Nets."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.models.unet import UNet
from app.diffusion.published import U_NETS
from app.weights.adapters.adapter import network_places
from app.weights.adapters.unet_names import diffusers_layer, unet_names
from app.weights.diffusers_names import unet_names as to_ours
from app.weights.stored import held


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sdxl-refiner", "ssd-1b"])
def test_the_names_lead_back(family: str) -> None:
    """What the loader of whole networks makes of our name for them is the layer that we started from."""
    with torch.device("meta"):
        network = UNet(U_NETS[family])
    state = network.state_dict()
    blocks = network.config.num_res_blocks
    theirs: dict[str, str] = {}
    for name in state:
        layer, _, kind = name.rpartition(".")
        first = next(diffusers_layer(layer, blocks))
        assert f"{first}.{kind}" not in theirs, "two layers of one name"
        theirs[f"{first}.{kind}"] = name
    back = to_ours(held({each: state[ours] for each, ours in theirs.items()}))
    assert set(back) == set(state)
    assert all(back[ours].shape == state[ours].shape for ours in state)
    places = network_places(network)
    for each, ours in theirs.items():
        layer = each.rpartition(".")[0] + (".bias" if each.endswith(".bias") else "")
        for name in (f"lora_unet_{layer.replace('.', '_')}".replace("_bias", ".bias"), f"unet.{layer}"):
            assert places[name][0].name == ours


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.middle_block.1.proj_in",
        "base_model.model.diffusion_model.middle_block.1.proj_in",
        "lora_transformer_mid_block_attentions_0_proj_in",
    ],
)
def test_names_of_peft_and_onetrainer(name: str) -> None:
    with torch.device("meta"):
        network = UNet(U_NETS["sd1"])
    assert network_places(network)[name][0].name == "middle_block.1.proj_in.weight"


def test_processors_have_names_of_their_own() -> None:
    with torch.device("meta"):
        network = UNet(U_NETS["sd1"])
    names = list(unet_names(network, "output_blocks.3.1.transformer_blocks.0.attn2.to_out.0"))
    assert "up_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_out" in names
    assert "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_out_0" in names
    assert not any("processor" in name for name in unet_names(network, "output_blocks.3.1.proj_in"))
