"""Prompts to features."""

from __future__ import annotations

import torch

from app.diffusion.conditioning.text_encoder import TextEncoder
from app.diffusion.conditioning.tokenizer import Tokenizer, learn_merges
from app.diffusion.models.clip_text import ClipText, ClipTextConfig

TOKENIZER = Tokenizer(learn_merges(["red", "circle"]))


def encoder() -> TextEncoder:
    torch.manual_seed(1)
    return TextEncoder(ClipText(ClipTextConfig(len(TOKENIZER), 16, 2, 2, 8)).eval(), TOKENIZER)


def test_shapes_of_one_and_of_several_chunks() -> None:
    clip = encoder()
    assert clip.encode("red circle").context.shape == (1, 8, 16)
    assert clip.encode("red " * 10).context.shape == (1, 16, 16)
    assert clip.encode("red " * 10).pooled.shape == (1, 16)


def test_a_weight_moves_away_from_the_empty_prompt() -> None:
    clip = encoder()
    plain, empty = clip.encode("red circle").context, clip.encode("").context
    heavy = clip.encode("red (circle:1.5)").context
    torch.testing.assert_close(heavy[:, 2], (empty + 1.5 * (plain - empty))[:, 2])
    torch.testing.assert_close(heavy[:, 1], plain[:, 1])


def test_weight_one_changes_nothing() -> None:
    clip = encoder()
    torch.testing.assert_close(clip.encode("(red:1.0) circle").context, clip.encode("red circle").context)
