from __future__ import annotations

import pytest
import torch

from app.diffusion.guidance.hooks import Answers
from app.diffusion.latent_operations import on_guidance, reinhard, sharpen

LATENT = torch.randn(2, 4, 24, 24, generator=torch.Generator().manual_seed(0))


def test_peaks_are_tamed_and_directions_kept():
    got = reinhard(1.0)(latent=LATENT)
    before, after = (value.square().sum(1).sqrt() for value in (LATENT, got))
    top = before.std((1, 2), keepdim=True) * 5 + before.mean((1, 2), keepdim=True)
    assert torch.allclose(after, before * top / (before + top), atol=1e-4)
    assert torch.allclose(torch.cosine_similarity(LATENT, got, dim=1), torch.ones(2, 24, 24), atol=1e-5)
    assert not reinhard(0.0)(latent=LATENT).any()


def test_even_latents_have_nothing_to_sharpen():
    even = torch.ones(1, 4, 24, 24) * torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1, 1)
    assert torch.allclose(sharpen(9, 1.0, 0.5)(latent=even), even, atol=1e-5)
    assert torch.allclose(sharpen(2, 1.0, 0.0)(latent=LATENT), LATENT, atol=1e-6)
    assert sharpen(2, 1.0, 0.1)(latent=LATENT).std() > LATENT.std()


def test_operations_on_guidance_change_the_difference_alone():
    x = torch.zeros(1, 4, 2, 2)
    found = Answers(x + 3, x + 1, x, torch.tensor(1.0), 2.0, lambda *said: x)
    changed = on_guidance(lambda latent: 10 * latent)(found)
    assert changed.positive.unique().item() == 21
    assert changed.negative.unique().item() == 1


def test_where_there_is_one_answer_it_is_changed_itself():
    x = torch.zeros(1, 4, 2, 2)
    alone = x + 3
    changed = on_guidance(lambda latent: 10 * latent)(Answers(alone, alone, x, torch.tensor(1.0), 1.0, lambda *said: x))
    assert changed.positive.unique().item() == pytest.approx(30)
