"""Control-LoRA: a ControlNet told as the difference to the U-Net that it steers (Stability AI 2023).

Of a layer the file holds the weight itself, two factors whose product is added to the U-Net's, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from app.diffusion.models.controlnet import ControlNet, ControlNetConfig
from app.diffusion.models.narrow import kept_value, narrow_layer
from app.diffusion.models.unet import UNet
from app.errors import InvalidRequest

UP, DOWN = ".up", ".down"


class ControlLora(nn.Module):
    """The tensors of a file by their names there; `made_for` gives the network."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = list(tensors)
        self.values = nn.ParameterList([nn.Parameter(value, requires_grad=False) for value in tensors.values()])

    def made_for(self, network: UNet) -> ControlNet:
        """The ControlNet of this U-Net. Weights that are the U-Net's own are shared with it.

        Raises:
            InvalidRequest: the file was made for another U-Net.
        """
        known = dict(zip(self.names, self.values, strict=True))
        hint = known["input_hint_block.0.weight"]
        with torch.device("meta"):
            made = ControlNet(ControlNetConfig(network.config, hint.shape[1]))
        own = dict(network.named_parameters())
        state: dict[str, Tensor] = {}
        for name, place in made.state_dict().items():
            value = _value(name, known, network, own)
            if value is None or value.shape != place.shape:
                raise InvalidRequest(
                    f"This Control-LoRA does not fit the model: its {name!r} would need the shape {list(place.shape)}.",
                    remedy="Use it with a model of the family that it was made for.",
                )
            state[name] = value
        made.load_state_dict(state, assign=True)
        return made.eval().requires_grad_(False)


def _value(name: str, known: Mapping[str, Tensor], network: UNet, own: Mapping[str, Tensor]) -> Tensor | None:
    layer = name.removesuffix(".weight")
    # Biases are in the precision that the network computes in, however it keeps its weights.
    like = next(value for each, value in own.items() if narrow_layer(network, each) is None)
    if name.endswith(".weight") and layer + UP in known and name in own:
        weight, up, down = kept_value(network, name, torch.float32), known[layer + UP], known[layer + DOWN]
        product = up.flatten(1).float() @ down.flatten(1).float().to(up.device)
        if product.numel() != weight.numel():
            return None
        return (weight.float() + product.reshape(weight.shape).to(weight.device)).to(like.dtype)
    found = known[name] if name in known else kept_value(network, name, torch.float32) if name in own else None
    return None if found is None else found.to(like.device, like.dtype)
