from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.adapters.decomposed import Decomposed
from app.diffusion.adapters.full import Difference, Replacement
from app.diffusion.adapters.generalised import Generalised
from app.diffusion.adapters.hadamard import Hadamard, Product
from app.diffusion.adapters.kronecker import Kronecker
from app.diffusion.adapters.low_rank import LowRank
from app.diffusion.adapters.orthogonal import BlockRotation, Butterfly
from app.weights.adapters.reading import changes_in


def tensors(*ends: str, shape: tuple[int, ...] = (2, 2)) -> dict[str, Tensor]:
    return {f"layer{end}": torch.ones(shape) for end in ends}


def only(given: dict[str, Tensor]) -> Any:
    """The change of the only layer; every tensor is a part of it."""
    changes = changes_in(given)
    assert changes.unknown == []
    assert set(changes.layers) == {"layer"}
    assert sorted(changes.tensors["layer"]) == sorted(given)
    return changes.weights.get("layer")


KINDS: dict[type, list[dict[str, Tensor]]] = {
    LowRank: [
        tensors(".lora_up.weight", ".lora_down.weight", ".alpha"),
        tensors("_lora.up.weight", "_lora.down.weight"),
        tensors(".lora_B.weight", ".lora_A.weight"),
        tensors(".lora_B.any_name.weight", ".lora_A.any_name.weight"),
        tensors(".lora_B.my-name 2.weight", ".lora_A.my-name 2.weight"),
        tensors(".lora_B", ".lora_A"),
        tensors(".lora_up.weight", ".lora_down.weight", ".lora_mid.weight"),
    ],
    Hadamard: [
        tensors(".hada_w1_a", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b", ".alpha"),
        tensors(".hada_w1_a", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b", ".hada_t1", ".hada_t2"),
    ],
    Kronecker: [
        tensors(".lokr_w1", ".lokr_w2"),
        tensors(".lokr_w1_a", ".lokr_w1_b", ".lokr_w2"),
        tensors(".lokr_w1", ".lokr_w2_a", ".lokr_w2_b", ".lokr_t2"),
    ],
    Generalised: [tensors(".a1.weight", ".a2.weight", ".b1.weight", ".b2.weight", ".alpha")],
    BlockRotation: [
        tensors(".oft_blocks", ".alpha", shape=(2, 3, 3)),
        tensors(".oft_diag", ".rescale", shape=(2, 3, 3)),
    ],
    Butterfly: [tensors(".oft_blocks", shape=(1, 2, 3, 3))],
    Decomposed: [
        tensors(".lora_up.weight", ".lora_down.weight", ".dora_scale"),
        tensors(".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"),
        tensors(".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector.default.weight"),
        tensors(".lora_A.a-b.weight", ".lora_B.a-b.weight", ".lora_magnitude_vector.a-b.weight"),
        tensors(".hada_w1_a", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b", ".dora_scale"),
        tensors(".lokr_w1", ".lokr_w2", ".dora_scale"),
    ],
    Difference: [tensors(".diff", ".diff_b"), tensors(".w_norm", ".b_norm")],
    Replacement: [tensors(".set_weight")],
}


@pytest.mark.parametrize(("kind", "given"), [(kind, given) for kind, all_of in KINDS.items() for given in all_of])
def test_each_kind_by_its_names(kind: type, given: dict[str, Tensor]) -> None:
    assert isinstance(only(given), kind)


def test_alpha_is_a_number() -> None:
    factors = tensors(".lora_up.weight", ".lora_down.weight")
    assert only({**factors, "layer.alpha": torch.tensor(4.0, dtype=torch.float16)}).alpha == 4.0
    assert only(factors).alpha is None


def test_the_factors_are_not_exchanged() -> None:
    change = only({"layer.lora_A.weight": torch.zeros(2, 5), "layer.lora_B.weight": torch.zeros(3, 2)})
    assert change.up.shape == (3, 2)
    assert change.fits((3, 5))
    kronecker = only(tensors(".lokr_w1", ".lokr_w2_a", ".lokr_w2_b"))
    assert isinstance(kronecker.first, Tensor)
    assert isinstance(kronecker.second, Product)


def test_glora_of_a_convolution_fits() -> None:
    shapes = {"a1": (12, 4, 1, 1), "a2": (4, 12, 1, 1), "b1": (16, 4, 1, 1), "b2": (4, 12, 3, 3)}
    change = only({f"layer.{part}.weight": torch.ones(shape) for part, shape in shapes.items()})
    assert change.rank == 4
    assert change.fits((16, 12, 3, 3))
    assert not change.fits((16, 12, 1, 1))


def test_alpha_of_a_rotation_is_its_limit() -> None:
    blocks = tensors(".oft_blocks", shape=(2, 3, 3))
    assert only({**blocks, "layer.alpha": torch.tensor(0.25)}).limit == 0.25
    assert only(blocks).limit == 0.0


def test_a_bias_alone() -> None:
    changes = changes_in(tensors(".diff_b", shape=(3,)))
    assert changes.weights == {}
    assert set(changes.biases) == {"layer"}


@pytest.mark.parametrize("given", [tensors(".lora_up.weight"), tensors(".hada_w1_a", ".hada_w1_b"), tensors(".alpha")])
def test_what_is_incomplete_is_no_change(given: dict[str, Tensor]) -> None:
    changes = changes_in(given)
    assert not changes.layers
    assert sorted(changes.unknown) == sorted(given)


def test_foreign_names_are_told() -> None:
    changes = changes_in({**tensors(".lora_up.weight", ".lora_down.weight"), "emb_params": torch.ones(1)})
    assert changes.unknown == ["emb_params"]
