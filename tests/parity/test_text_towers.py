"""Text towers at their published widths, a few layers deep, equal independent implementations (float32)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.diffusion.conditioning.encoders import CLIP_G, CLIP_H, CLIP_L
from app.diffusion.models.bert import Bert, BertConfig
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.open_clip_text import from_open_clip, to_open_clip
from app.diffusion.models.t5 import T5Config, T5Encoder
from tests.parity.full_width import TOLERANCE, built, relative_error

LAYERS = 3
CLIPS = {"L": CLIP_L, "H": CLIP_H, "G": CLIP_G}


def clip_in_transformers(config: ClipTextConfig) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    kind = CLIPTextModelWithProjection if config.projection else CLIPTextModel
    shape = CLIPTextConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.width,
        intermediate_size=4 * config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        hidden_act=config.activation,
        projection_dim=config.projection or 1,
        bos_token_id=config.vocabulary - 2,
        eos_token_id=config.vocabulary - 1,
        pad_token_id=0,
    )
    with torch.device("meta"):
        return kind(shape).eval()


@pytest.mark.parametrize("name", CLIPS)
def test_clip_equals_transformers(name: str) -> None:
    config = replace(CLIPS[name], layers=LAYERS, vocabulary=1000)
    ours = built(lambda: ClipText(config), 7)
    theirs = clip_in_transformers(config)
    state = ours.state_dict()
    if not config.projection:  # its module drops a level that its files have
        state = {key.removeprefix("text_model."): value for key, value in state.items()}
    theirs.load_state_dict(state, assign=True)
    for tower in (theirs.text_model if config.projection else theirs,):
        tower.embeddings.position_ids = torch.arange(config.length)[None]
    tokens = torch.randint(0, 998, (2, 77), generator=torch.Generator().manual_seed(8))
    end = torch.tensor([5, 76])
    tokens[torch.arange(2), end] = 999
    with torch.inference_mode():
        expected = theirs(tokens, output_hidden_states=True)
        features = ours(tokens, end)
        pooled = expected.text_embeds if config.projection else expected.pooler_output
        assert relative_error(features.hidden, expected.last_hidden_state) < TOLERANCE
        assert relative_error(features.pooled, pooled) < TOLERANCE
        penultimate = ours(tokens, end, layer=-2, normalise=False).hidden
        assert relative_error(penultimate, expected.hidden_states[-2]) < TOLERANCE


@pytest.mark.parametrize("config", [CLIP_H, CLIP_G])
def test_open_clip_equals_its_own_formulas(config: ClipTextConfig) -> None:
    """A file in OpenCLIP's layout, evaluated with torch's own attention module, which that layout comes from."""
    config = replace(config, layers=1, vocabulary=1000)
    ours = built(lambda: ClipText(config), 9)
    theirs = to_open_clip(ours.state_dict())
    tokens = torch.randint(0, 1000, (2, 77), generator=torch.Generator().manual_seed(10))
    x = theirs["token_embedding.weight"][tokens] + theirs["positional_embedding"]
    block = {key.removeprefix("transformer.resblocks.0."): value for key, value in theirs.items()}
    width = config.width
    attention = torch.nn.MultiheadAttention(width, config.heads, batch_first=True)
    attention.load_state_dict({key[5:]: value for key, value in block.items() if key.startswith("attn.")})
    mask = torch.full((77, 77), float("-inf")).triu(1)
    norm = torch.nn.functional.layer_norm
    with torch.inference_mode():
        inner = norm(x, (width,), block["ln_1.weight"], block["ln_1.bias"])
        x = x + attention(inner, inner, inner, attn_mask=mask, need_weights=False)[0]
        inner = norm(x, (width,), block["ln_2.weight"], block["ln_2.bias"])
        inner = torch.nn.functional.gelu(inner @ block["mlp.c_fc.weight"].T + block["mlp.c_fc.bias"])
        x = x + inner @ block["mlp.c_proj.weight"].T + block["mlp.c_proj.bias"]
        x = norm(x, (width,), theirs["ln_final.weight"], theirs["ln_final.bias"])
        ours.load_state_dict(from_open_clip(theirs))
        features = ours(tokens, torch.tensor([4, 9]))
        assert relative_error(features.hidden, x) < TOLERANCE
        assert relative_error(features.pooled, x[[0, 1], [4, 9]] @ theirs["text_projection"]) < TOLERANCE


@pytest.mark.parametrize("gated", [True, False])
def test_t5_equals_transformers(gated: bool) -> None:
    from transformers import T5Config as TheirConfig
    from transformers import T5EncoderModel

    config = replace(T5Config(), layers=2, vocabulary=200)
    if not gated:
        config = replace(config, width=512, inner=1024, heads=8, gated=False)
    ours = built(lambda: T5Encoder(config), 11)
    shape = TheirConfig(
        vocab_size=200,
        d_model=config.width,
        d_kv=config.head_width,
        d_ff=config.inner,
        num_layers=2,
        num_heads=config.heads,
        feed_forward_proj="gated-gelu" if gated else "relu",
    )
    with torch.device("meta"):
        theirs: Any = T5EncoderModel(shape).eval()
    state = ours.state_dict()
    theirs.load_state_dict({**state, "encoder.embed_tokens.weight": state["shared.weight"]}, assign=True)
    # The small one reads as far as distances have buckets of their own; the wide one would take long.
    count = 24 if gated else 140
    tokens = torch.randint(2, 200, (1, count), generator=torch.Generator().manual_seed(12))
    with torch.inference_mode():
        expected = theirs(tokens, output_hidden_states=True)
        assert relative_error(ours(tokens, torch.tensor([3])).hidden, expected.last_hidden_state) < TOLERANCE
        penultimate = ours(tokens, torch.tensor([3]), layer=-2, normalise=False).hidden
        assert relative_error(penultimate, expected.hidden_states[-2]) < TOLERANCE


@pytest.mark.parametrize(("width", "length"), [(1280, 77), (640, 77), (512, 92)])
def test_bert_equals_diffusers(width: int, length: int) -> None:
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel

    config = replace(BertConfig(), width=width, length=length, layers=LAYERS, vocabulary=300)
    ours = built(lambda: Bert(config), 13)
    shape = LDMBertConfig(
        vocab_size=300,
        max_position_embeddings=length,
        encoder_layers=LAYERS,
        encoder_ffn_dim=4 * config.width,
        encoder_attention_heads=8,
        head_dim=64,
        d_model=config.width,
    )
    with torch.device("meta"):
        theirs: Any = LDMBertModel(shape).eval()
    head = {f"to_logits.{kind}": value for kind, value in ours.to_logits.state_dict().items()}
    theirs.load_state_dict(head | bert_names(ours), assign=True)
    tokens = torch.randint(0, 300, (2, length), generator=torch.Generator().manual_seed(14))
    with torch.inference_mode():
        expected = theirs.model(tokens).last_hidden_state
        assert relative_error(ours(tokens).hidden, expected) < TOLERANCE


def bert_names(ours: Bert) -> dict[str, torch.Tensor]:
    """The tower's tensors under diffusers' names."""
    renamed: dict[str, torch.Tensor] = {}
    parts = {"1.to_q": "self_attn.q_proj", "1.to_k": "self_attn.k_proj", "1.to_v": "self_attn.v_proj"}
    attention = {"0": "self_attn_layer_norm", "1.to_out": "self_attn.out_proj", **parts}
    dense = {"0": "final_layer_norm", "1.net.0.0": "fc1", "1.net.2": "fc2"}
    for name, value in ours.state_dict().items():
        if name.startswith("attn_layers.layers."):
            _, _, place, *rest, kind = name.split(".")
            names = dense if int(place) % 2 else attention
            renamed[f"model.layers.{int(place) // 2}.{names['.'.join(rest)]}.{kind}"] = value
    state = ours.state_dict()
    once = {"token_emb": "embed_tokens", "pos_emb.emb": "embed_positions", "norm": "layer_norm"}
    for name, theirs in once.items():
        for kind in ("weight", "bias"):
            if f"{name}.{kind}" in state:
                renamed[f"model.{theirs}.{kind}"] = state[f"{name}.{kind}"]
    return renamed
