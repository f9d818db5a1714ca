"""A class is a context of one token."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.models.class_embedder import ClassEmbedder, class_condition
from app.errors import InvalidRequest


def test_a_class_is_its_row() -> None:
    embedder = ClassEmbedder(5, 8)
    assert torch.equal(class_condition(embedder, 3)[0, 0], embedder.embedding.weight[3])
    assert embedder(torch.tensor([1, 2])).shape == (2, 1, 8)
    assert set(embedder.state_dict()) == {"embedding.weight"}


@pytest.mark.parametrize("label", [5, -1, 10_000])
def test_a_class_that_there_is_not(label: int) -> None:
    with pytest.raises(InvalidRequest, match=f"no class {label}") as caught:
        class_condition(ClassEmbedder(5, 8), label)
    assert "0 to 4" in caught.value.remedy


def test_a_text_encoder_knows_no_classes() -> None:
    with pytest.raises(InvalidRequest, match="knows no classes"):
        class_condition(object(), 1)
