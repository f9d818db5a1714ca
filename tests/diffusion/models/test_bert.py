from __future__ import annotations

import torch

from app.diffusion.models.bert import Bert, BertConfig

TOKENS = torch.tensor([[2, 3, 4, 0]])


def tower() -> Bert:
    torch.manual_seed(4)
    return Bert(BertConfig(20, 16, 3, 6, 2, 8)).eval()


def test_every_token_sees_every_other_padding_too() -> None:
    bert = tower()
    assert not torch.allclose(bert(TOKENS).hidden[:, 0], bert(torch.tensor([[2, 3, 4, 5]])).hidden[:, 0])


def test_layers_count_from_the_last() -> None:
    bert = tower()
    last = bert(TOKENS).hidden
    assert not torch.allclose(bert(TOKENS, layer=-2).hidden, last)
    torch.testing.assert_close(bert(TOKENS, layer=-4).hidden, last)
    torch.testing.assert_close(bert.norm(bert(TOKENS, normalise=False).hidden), last)


def test_the_pooled_feature_is_the_one_that_is_asked_for() -> None:
    bert = tower()
    features = bert(TOKENS, torch.tensor([2]))
    torch.testing.assert_close(features.pooled, features.hidden[:, 2])
    torch.testing.assert_close(bert(TOKENS).pooled, features.hidden[:, 0])


def test_places_matter() -> None:
    bert = tower()
    same = bert(torch.tensor([[3, 3, 3]])).hidden[0]
    assert not torch.allclose(same[0], same[1])
