"""Causality and layer choice of the text tower; its numbers are held to another implementation in tests/parity."""

from __future__ import annotations

import torch

from app.diffusion.models.clip_text import ClipText, ClipTextConfig

CONFIG = ClipTextConfig(vocabulary=50, width=16, layers=3, heads=2, length=8)


def test_a_token_sees_only_what_came_before() -> None:
    tower = ClipText(CONFIG).eval()
    tokens = torch.randint(0, 50, (1, 8))
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 50
    end = torch.tensor([7])
    with torch.inference_mode():
        a, b = tower(tokens, end).hidden, tower(changed, end).hidden
    torch.testing.assert_close(a[:, :5], b[:, :5])
    assert not torch.allclose(a[:, 5:], b[:, 5:])


def test_pooled_is_the_last_layer_at_the_end_token() -> None:
    tower = ClipText(CONFIG).eval()
    tokens, end = torch.randint(0, 50, (2, 8)), torch.tensor([3, 6])
    with torch.inference_mode():
        features = tower(tokens, end)
    torch.testing.assert_close(features.pooled, features.hidden[torch.arange(2), end])


def test_earlier_layers_differ_and_the_first_is_the_embedding_side() -> None:
    tower = ClipText(CONFIG).eval()
    tokens, end = torch.randint(0, 50, (1, 8)), torch.tensor([7])
    with torch.inference_mode():
        layers = [tower(tokens, end, layer=layer, normalise=False).hidden for layer in (-1, -2, -3)]
    assert not torch.allclose(layers[0], layers[1])
    assert not torch.allclose(layers[1], layers[2])


def test_given_embeddings_replace_the_table() -> None:
    tower = ClipText(CONFIG).eval()
    tokens, end = torch.randint(0, 50, (1, 8)), torch.tensor([7])
    embedded = tower.text_model.embeddings.token_embedding(tokens)
    with torch.inference_mode():
        torch.testing.assert_close(tower(tokens, end, embedded=embedded).hidden, tower(tokens, end).hidden)
