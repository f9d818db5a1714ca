"""The codebook's promises: nearest rows, lowest index, gradients that pass."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.models import autoencoder_vq
from app.diffusion.models.autoencoder_kl import AutoencoderConfig
from app.diffusion.models.autoencoder_vq import AutoencoderVQ, Codebook

SMALL = AutoencoderConfig(3, 8, (1, 2), 1, groups=4, attention=(False, True), codes=32)


def codebook(codes: int = 64, channels: int = 3) -> Codebook:
    book = Codebook(codes, channels)
    torch.nn.init.normal_(book.embedding.weight, std=1.0)
    return book


def test_indices_equal_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder_vq, "CHUNK", 64 * 100)
    book = codebook()
    latent = torch.randn(2, 3, 20, 25, generator=torch.Generator().manual_seed(1))
    vectors = latent.movedim(1, -1).reshape(-1, 3)
    brute = torch.cdist(vectors.double(), book.embedding.weight.double()).argmin(1).view(2, 20, 25)
    assert torch.equal(book.indices(latent), brute)


def test_the_lowest_of_equal_codes_is_taken() -> None:
    book = codebook(4)
    book.embedding.weight.data[2] = book.embedding.weight.data[1]
    latent = book.embedding.weight.data[1].view(1, 3, 1, 1)
    assert book.indices(latent).item() == 1


def test_what_comes_out_are_rows_of_the_table() -> None:
    book = codebook()
    latent = torch.randn(1, 3, 4, 4)
    assert torch.equal(book(latent), book.lookup(book.indices(latent)))


def test_gradients_pass_unchanged() -> None:
    book, latent = codebook(), torch.randn(1, 3, 4, 4, requires_grad=True)
    weights = torch.randn(1, 3, 4, 4)
    (book(latent) * weights).sum().backward()
    assert latent.grad is not None
    torch.testing.assert_close(latent.grad, weights)


def test_decoding_quantises_unless_told_otherwise() -> None:
    network = AutoencoderVQ(SMALL).eval()
    torch.nn.init.normal_(network.quantize.embedding.weight, std=1.0)
    latent = torch.randn(1, 3, 4, 6)
    with torch.inference_mode():
        nearest = network.quantize(latent)
        assert torch.equal(network.decode(latent), network.decode(nearest, quantise=False))
        assert not torch.allclose(network.decode(latent), network.decode(latent, quantise=False), atol=1e-4)


def test_shapes_and_sides() -> None:
    network = AutoencoderVQ(SMALL)
    assert network.encode(torch.zeros(2, 3, 8, 12)).shape == (2, 3, 4, 6)
    with pytest.raises(ValueError, match="multiples of 2"):
        network.encode(torch.zeros(1, 3, 7, 8))
