from __future__ import annotations

import pytest
import torch

from app.diffusion.conditioning.embeddings import no_embeddings, vectors_for
from app.errors import UnusableFile

ONE, TWO = torch.ones(3), torch.full((2, 3), 2.0)


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        ({"string_to_param.*": TWO, "other": ONE}, [2, 2]),
        ({"0.a": ONE, "1.b": TWO}, [1, 2, 2]),
        ({"clip_l": ONE, "clip_g": TWO}, [1]),
        ({"clip_g": TWO, "l": ONE}, [1]),
        ({"bundle_emb.x.string_to_param.*": TWO, "lora_up": ONE}, [2, 2]),
        ({"bundle_emb.x.clip_l": ONE, "bundle_emb.x.clip_g": TWO, "bundle_emb.y.clip_l": TWO}, [1, 2, 2]),
        ({"emb_params": TWO, "other": ONE}, [2, 2]),
    ],
)
def test_every_format_gives_the_towers_vectors(tensors: dict[str, torch.Tensor], expected: list[float]) -> None:
    vectors = vectors_for(tensors, "l")
    assert vectors is not None
    assert vectors.shape == (len(expected), 3)
    assert vectors[:, 0].tolist() == expected


def test_a_file_without_vectors_has_none() -> None:
    assert vectors_for({}, "l") is None


def test_without_files_there_is_no_embedding() -> None:
    assert no_embeddings("mine") is None


@pytest.mark.parametrize(
    ("tensors", "widths"), [({"0.a": ONE, "1.b": torch.ones(2, 4)}, "3, 4"), ({"a": torch.ones(2, 0)}, "0")]
)
def test_vectors_that_do_not_go_together_are_told(tensors: dict[str, torch.Tensor], widths: str) -> None:
    with pytest.raises(UnusableFile, match=f"vectors of the widths {widths}; wanted is one"):
        vectors_for(tensors, "l")


def test_a_single_number_is_a_vector_of_width_one() -> None:
    vectors = vectors_for({"a": torch.tensor(2.0)}, "l")
    assert vectors is not None
    assert vectors.tolist() == [[2.0]]
