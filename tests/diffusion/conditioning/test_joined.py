"""Several towers as one: widths, order, what is missing."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.conditioning.joined import JoinedEncoder, join_flux, join_sd3, join_sdxl
from app.diffusion.conditioning.text_encoder import Encoded, TextEncoder
from app.diffusion.conditioning.tokenizer import Tokenizer, learn_merges
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.diffusion.models.t5 import T5Config, T5Encoder

TOKENIZER = Tokenizer(learn_merges(["red", "circle"]))


def said(value: float, length: int, width: int) -> Encoded:
    return Encoded(torch.full((1, length, width), value), torch.full((1, width), value))


L, G, T5 = said(1, 77, 768), said(2, 154, 1280), said(3, 90, 4096)


def joined() -> JoinedEncoder:
    torch.manual_seed(2)
    shape = ClipTextConfig(len(TOKENIZER), 768, 2, 2, 8)
    clip_l, clip_g = (ClipText(c).eval() for c in (shape, ClipTextConfig(len(TOKENIZER), 1280, 2, 2, 8)))
    t5 = T5Encoder(T5Config(len(TOKENIZER), 4096, 8, 1, 2, 4)).eval()
    encoders = {
        "l": TextEncoder(clip_l, TOKENIZER, layer=-2, normalise=False),
        "g": TextEncoder(clip_g, TOKENIZER, layer=-2, normalise=False, padding=0, name="g"),
        "t5xxl": TextEncoder(t5, TOKENIZER, padding=0, name="t5xxl", least=10),
    }
    return JoinedEncoder.of(encoders, join_sd3)


def test_sdxl_puts_l_before_g_and_cuts_to_the_shorter() -> None:
    result = join_sdxl({"g": G, "l": L})
    assert result.context.shape == (1, 77, 2048)
    assert result.context[0, 0, [0, 767, 768, 2047]].tolist() == [1, 1, 2, 2]
    assert torch.equal(result.pooled, G.pooled)


def test_sd3_has_clip_before_t5() -> None:
    result = join_sd3({"t5xxl": T5, "l": L, "g": G})
    assert result.context.shape == (1, 77 + 90, 4096)
    assert result.context[0, 0, [0, 768, 2048, 4095]].tolist() == [1, 2, 0, 0]
    assert bool((result.context[:, 77:] == 3).all())
    assert result.pooled[0, [0, 768, 2047]].tolist() == [1, 2, 2]


@pytest.mark.parametrize(
    ("names", "length", "row", "pooled"),
    [
        ("l", 77, [1, 0], [1, 0]),
        ("g", 154, [0, 2], [0, 2]),
        ("t", 90, [3, 3], [0, 0]),
        ("lt", 167, [1, 0], [1, 0]),
        ("", 77, [0, 0], [0, 0]),
    ],
)
def test_sd3_without_a_tower_has_zeros_in_its_place(
    names: str, length: int, row: list[float], pooled: list[float]
) -> None:
    there = {name: value for name, value in (("l", L), ("g", G), ("t5xxl", T5)) if name[0] in names}
    result = join_sd3(there)
    assert result.context.shape == (1, length, 4096)
    assert result.context[0, 0, [0, 768]].tolist() == row
    assert result.pooled[0, [0, 768]].tolist() == pooled


def test_flux_reads_t5_and_pools_l() -> None:
    result = join_flux({"l": L, "t5xxl": T5})
    assert torch.equal(result.context, T5.context)
    assert torch.equal(result.pooled, L.pooled)
    assert join_flux({}).context.shape == (1, 256, 4096)


def test_one_prompt_reaches_every_tower() -> None:
    clip = joined()
    result = clip.encode("red circle")
    assert result.context.shape == (1, 8 + 10, 4096)
    torch.testing.assert_close(result.context[:, :8, :768], clip.encoders["l"].encode("red circle").context)
    torch.testing.assert_close(result.context[:, 8:], clip.encoders["t5xxl"].encode("red circle").context)
    assert set(clip.towers) == {"l", "g", "t5xxl"}
    assert sum(1 for _ in clip.model.parameters()) == sum(len(list(t.parameters())) for t in clip.towers.values())


def test_prompts_of_different_lengths_are_filled_up_with_empty_chunks() -> None:
    clip = joined()
    result = clip.encode_each({"l": "red " * 20, "g": "circle"})
    assert result.context.shape == (1, 32, 4096)
    empty = clip.encoders["g"].encode("").context
    torch.testing.assert_close(result.context[:, 24:, 768:2048], empty)


def test_settings_reach_the_towers() -> None:
    clip = joined()
    last = clip.with_layer(-1)
    assert [encoder.layer for encoder in last.encoders.values()] == [-1, -1, -1]
    assert [encoder.layer for encoder in clip.with_layer(-5).encoders.values()] == [-5, -5, -5]
    assert clip.with_lengths(30, 0).encode("red").context.shape[1] == 38
    assert clip.with_lengths(0, 4).encode("red").context.shape[1] == 8 + 7
    assert last.model is clip.model


def test_embeddings_of_sdxl_hold_vectors_for_each_tower() -> None:
    learnt = {"clip_l": torch.ones(1, 768), "clip_g": torch.ones(2, 1280)}
    clip = joined().with_embeddings(lambda name: learnt)
    chunks = {name: encoder.chunks("embedding:mine") for name, encoder in clip.encoders.items() if name != "t5xxl"}
    assert {name: len(found[0].vectors) for name, found in chunks.items()} == {"l": 1, "g": 2}
