from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from app.diffusion.models.clip_text import quick_gelu
from app.diffusion.models.clip_vision import VisionFeatures
from app.diffusion.models.style import Redux, StyleAdapter, style_tokens
from app.errors import InvalidRequest

torch.manual_seed(0)


def seen(width: int, count: int = 2) -> VisionFeatures:
    return VisionFeatures(torch.randn(count, 5, width), torch.zeros(count, 5, width), torch.zeros(count, 4))


def test_redux_equals_diffusers() -> None:
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder

    theirs: Any = ReduxImageEncoder(redux_dim=12, txt_in_features=16)
    ours = Redux(12, 48, 16)
    ours.load_state_dict(theirs.state_dict())
    features = seen(12)
    wanted = theirs(features.last_hidden_state).image_embeds.detach()
    torch.testing.assert_close(style_tokens(ours, features), wanted.flatten(0, 1)[None])


def test_the_style_adapter_is_torchs_transformer_over_pictures_and_learned_tokens() -> None:
    ours = StyleAdapter(16, 12, tokens=3, layers=2)
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.2)
    layers: list[nn.Module] = []
    for layer in ours.transformer_layes:
        theirs = nn.TransformerEncoderLayer(16, 8, 64, 0.0, quick_gelu, batch_first=True, norm_first=True)
        names = {"ln_1": "norm1", "ln_2": "norm2", "attn": "self_attn", "mlp.c_fc": "linear1", "mlp.c_proj": "linear2"}
        state = {}
        for name, value in layer.state_dict().items():
            begin = next(each for each in names if name.startswith(each))
            state[names[begin] + name.removeprefix(begin)] = value
        theirs.load_state_dict(state)
        layers.append(theirs)
    features = seen(16)
    tokens = torch.cat([features.last_hidden_state, ours.style_embedding.expand(2, -1, -1)], dim=1)
    wanted = ours.ln_post(nn.Sequential(*layers)(ours.ln_pre(tokens))[:, -3:]) @ ours.proj
    found = style_tokens(ours, features)
    assert found.shape == (1, 6, 12)
    torch.testing.assert_close(found, wanted.detach().flatten(0, 1)[None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("model", "tower"), [(Redux(12, 48, 16), "SigLIP"), (StyleAdapter(16, 12), "ViT-L")])
def test_another_tower_is_refused(model: Any, tower: str) -> None:
    with pytest.raises(InvalidRequest, match="gave 20") as told:
        style_tokens(model, seen(20))
    assert tower in str(told.value.remedy)
