from __future__ import annotations

import torch

from app.diffusion.models.t5 import T5Config, T5Encoder, bucket_of

SMALL = T5Config(20, 16, 32, 3, 2, 8)


def tower(config: T5Config = SMALL) -> T5Encoder:
    torch.manual_seed(3)
    return T5Encoder(config).eval()


def test_buckets_are_exact_near_and_coarse_far_to_both_sides() -> None:
    distance = torch.tensor([0, 1, 7, -1, -7, 8, 127, 128, 5000, -5000])
    assert bucket_of(distance, 32, 128).tolist() == [0, 17, 23, 1, 7, 24, 31, 31, 31, 15]


def test_buckets_never_fall_with_the_distance() -> None:
    rows = bucket_of(torch.arange(0, -400, -1), 32, 128)
    assert bool((rows.diff() >= 0).all())
    assert rows.unique().tolist() == list(range(16))


def test_a_token_sees_those_after_it() -> None:
    t5, end = tower(), torch.tensor([3])
    first = t5(torch.tensor([[4, 5, 6, 1]]), end).hidden
    second = t5(torch.tensor([[4, 5, 7, 1]]), end).hidden
    assert not torch.allclose(first[:, 0], second[:, 0])


def test_layers_count_from_the_last() -> None:
    t5, tokens, end = tower(), torch.tensor([[4, 5, 1]]), torch.tensor([2])
    last = t5(tokens, end)
    torch.testing.assert_close(last.pooled, last.hidden[:, 2])
    assert not torch.allclose(t5(tokens, end, layer=-2).hidden, last.hidden)
    torch.testing.assert_close(t5(tokens, end, layer=-9).hidden, last.hidden)


def test_half_precision_weights_compute_in_full_precision() -> None:
    tokens, end = torch.tensor([[4, 5, 1]]), torch.tensor([2])
    halved = tower().half()
    widened = tower()
    widened.load_state_dict({name: value.float() for name, value in halved.state_dict().items()})
    result = halved(tokens, end).hidden
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, widened(tokens, end).hidden, rtol=1e-5, atol=1e-5)


def test_given_rows_stand_in_place_of_the_table() -> None:
    t5, tokens, end = tower(), torch.tensor([[4, 5, 1]]), torch.tensor([2])
    torch.testing.assert_close(t5(tokens, end, embedded=t5.embed(tokens)).hidden, t5(tokens, end).hidden)
