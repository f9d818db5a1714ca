"""Networks that make words of a prompt of what a vision tower has seen: Flux.1 Redux, T2I-Adapter's style adapter.

B pictures, T tokens of a vision tower, W its width, S tokens of style, D the width of a prompt's features
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.diffusion.models.clip_text import quick_gelu
from app.diffusion.models.clip_vision import VisionFeatures
from app.errors import InvalidRequest


class Redux(nn.Module):
    """Two layers around a SiLU: each token that SigLIP says becomes one of the prompt (Flux.1 Redux)."""

    def __init__(self, width: int = 1152, inner: int = 12288, context_width: int = 4096) -> None:
        super().__init__()
        self.redux_up = nn.Linear(width, inner)
        self.redux_down = nn.Linear(inner, context_width)

    @property
    def width(self) -> int:
        """Of the tower that it is made for."""
        return self.redux_up.in_features

    def forward(self, tokens: Tensor) -> Tensor:  # (B, T, W) → (B, T, D)
        return self.redux_down(F.silu(self.redux_up(tokens)))


class StyleLayer(nn.Module):
    """Attention and feed-forward layer, each on a normalised input and added to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        looked = self.ln_1(x)
        x = x + self.attn(looked, looked, looked, need_weights=False)[0]
        return x + self.mlp["c_proj"](quick_gelu(self.mlp["c_fc"](self.ln_2(x))))


class StyleAdapter(nn.Module):
    """Learned tokens look at what CLIP L has seen and say its style (Mou et al. 2023, arXiv:2302.08453)."""

    HEADS = 8

    def __init__(self, width: int = 1024, context_width: int = 768, tokens: int = 8, layers: int = 3) -> None:
        super().__init__()
        self.style_embedding = nn.Parameter(torch.zeros(1, tokens, width))
        self.transformer_layes = nn.Sequential(*(StyleLayer(width, self.HEADS) for _ in range(layers)))
        self.ln_post = nn.LayerNorm(width)
        self.ln_pre = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(width, context_width))

    @property
    def width(self) -> int:
        """Of the tower that it is made for."""
        return self.proj.shape[0]

    def forward(self, tokens: Tensor) -> Tensor:  # (B, T, W) → (B, S, D)
        count = self.style_embedding.shape[1]
        x = torch.cat([tokens, self.style_embedding.expand(len(tokens), -1, -1)], dim=1)
        x = self.transformer_layes(self.ln_pre(x))
        return self.ln_post(x[:, -count:]) @ self.proj


StyleModel = Redux | StyleAdapter


@torch.no_grad()
def style_tokens(model: StyleModel, seen: VisionFeatures) -> Tensor:
    """What is said of all pictures together, (1, B · tokens, D), float32 on the CPU.

    Raises:
        InvalidRequest: pictures that another tower has looked at.
    """
    tokens = seen.last_hidden_state
    if tokens.shape[-1] != model.width:
        tower = "SigLIP (sigclip_vision_patch14_384)" if isinstance(model, Redux) else "CLIP ViT-L/14"
        raise InvalidRequest(
            f"This style model reads features of width {model.width}; the vision encoder gave {tokens.shape[-1]}.",
            remedy=f"Load {tower} with Load CLIP Vision.",
        )
    weight = next(model.parameters())
    return model(tokens.to(weight)).float().cpu().flatten(0, 1)[None]
