"""Every algorithm in float64 against its formula, written out anew."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import conv2d

from app.diffusion.adapters.change import Change
from app.diffusion.adapters.decomposed import Decomposed
from app.diffusion.adapters.full import Difference, Replacement
from app.diffusion.adapters.generalised import Generalised
from app.diffusion.adapters.hadamard import Hadamard, Product
from app.diffusion.adapters.kronecker import Kronecker
from app.diffusion.adapters.low_rank import LowRank
from app.diffusion.adapters.orthogonal import BlockRotation, Butterfly, cayley

LINEAR, CONVOLUTION = (6, 8), (6, 8, 3, 3)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def close(value: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [LINEAR, CONVOLUTION, (6, 8, 1, 1)])
@pytest.mark.parametrize("alpha", [None, 1.5])
def test_lora(shape: tuple[int, ...], alpha: float | None) -> None:
    weight, up, down = drawn(*shape), drawn(6, 3), drawn(3, *shape[1:])
    scale = 1.0 if alpha is None else alpha / 3
    expected = weight + 0.7 * scale * torch.einsum("or,r...->o...", up, down)
    change = LowRank(up, down, alpha)
    assert change.fits(shape)
    close(change.applied(weight, 0.7), expected)
    wide = up.reshape(6, 3, *[1] * (len(shape) - 2))  # as files of convolutions have it
    close(LowRank(wide, down, alpha).applied(weight, 0.7), expected)


@pytest.mark.parametrize(("up", "down"), [((), (3, 8)), ((6, 3), ()), ((), ()), ((6, 0), (0, 8)), ((6,), (1, 8))])
def test_lora_of_tensors_that_are_no_matrices_fits_nothing(up: tuple[int, ...], down: tuple[int, ...]) -> None:
    assert not LowRank(torch.zeros(up), torch.zeros(down)).fits(LINEAR)


def test_lora_of_a_convolution_with_its_kernel_in_the_middle() -> None:
    weight, up, mid, down = drawn(*CONVOLUTION), drawn(6, 3, 1, 1), drawn(3, 3, 3, 3), drawn(3, 8, 1, 1)
    expected = torch.zeros_like(weight)
    for m, n in product(range(3), range(3)):
        expected += torch.einsum("o,kl,i->oikl", up[:, m, 0, 0], mid[m, n], down[n, :, 0, 0])
    change = LowRank(up, down, 6.0, mid)
    assert change.fits(CONVOLUTION)
    assert not change.fits((6, 8, 1, 1))
    close(change.applied(weight, 1.0), weight + 2.0 * expected)


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 7), st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_lora_is_what_two_layers_beside_the_weight_compute(rank: int, out: int, inputs: int, strength: float) -> None:
    weight, up, down, x = drawn(out, inputs), drawn(out, rank), drawn(rank, inputs), drawn(4, inputs)
    beside = x @ weight.T + strength * (x @ down.T) @ up.T
    close(x @ LowRank(up, down).applied(weight, strength).T, beside)


def test_loha() -> None:
    weight, a, b, c, d = drawn(*LINEAR), drawn(6, 2), drawn(2, 8), drawn(6, 2) + 1, drawn(2, 8) - 1
    change = Hadamard(Product(a, b), Product(c, d), 3.0)
    assert change.fits(LINEAR)
    assert not change.fits((8, 6))
    close(change.applied(weight, -0.5), weight - 0.5 * 1.5 * (a @ b) * (c @ d))


def test_loha_of_a_convolution() -> None:
    weight, core = drawn(*CONVOLUTION), drawn(2, 2, 3, 3)
    a, b = drawn(2, 6), drawn(2, 8)
    full = sum(
        torch.einsum("o,kl,i->oikl", a[i], core[i, j], b[j]) for i, j in product(range(2), range(2))
    )  # Tucker's form
    assert isinstance(full, Tensor)
    change = Hadamard(Product(a, b, core), Product(a, b, core))
    assert change.fits(CONVOLUTION)
    close(change.applied(weight, 1.0), weight + full * full)
    flat = Hadamard(Product(drawn(6, 2), drawn(2, 72)), Product(drawn(6, 2), drawn(2, 72)))
    close(flat.delta(weight), ((drawn(6, 2) @ drawn(2, 72)) ** 2).reshape(CONVOLUTION))


@pytest.mark.parametrize("low", [False, True])
def test_lokr(low: bool) -> None:
    weight, first, second = drawn(*LINEAR), drawn(2, 4), drawn(3, 2)
    a, b = drawn(3, 1), drawn(1, 2)
    change = Kronecker(first, Product(a, b), 0.5) if low else Kronecker(first, second, 0.5)
    expected = torch.empty_like(weight)
    inner, scale = (a @ b, 0.5) if low else (second, 1.0)  # α counts only beside a rank
    for row, column in product(range(6), range(8)):
        expected[row, column] = first[row // 3, column // 2] * inner[row % 3, column % 2]
    assert change.fits(LINEAR)
    close(change.applied(weight, 2.0), weight + 2.0 * scale * expected)


def test_lokr_of_a_convolution() -> None:
    weight, first, core = drawn(*CONVOLUTION), drawn(2, 4), drawn(2, 2, 3, 3)
    a, b = drawn(2, 3), drawn(2, 2)
    second = torch.einsum("ijkl,ip,jr->prkl", core, a, b)
    change = Kronecker(first, Product(a, b, core))
    assert change.fits(CONVOLUTION)
    expected = torch.einsum("ab,cdkl->acbdkl", first, second).reshape(CONVOLUTION)
    close(change.delta(weight), expected)
    close(Kronecker(first, second).delta(weight), expected)


@pytest.mark.parametrize("shape", [LINEAR, CONVOLUTION])
def test_dora_of_outputs_and_inputs(shape: tuple[int, ...]) -> None:
    weight, up, down = drawn(*shape), drawn(6, 2), drawn(2, *shape[1:])
    low_rank = LowRank(up, down)
    turned = weight + low_rank.delta(weight)
    outputs, inputs = drawn(6).abs(), drawn(8).abs()
    kernel = [1] * (len(shape) - 2)
    by_output = Decomposed(low_rank, outputs).applied(weight, 1.0)
    close(by_output.flatten(1).norm(dim=1), outputs)
    close(by_output / outputs.reshape(6, 1, *kernel), turned / turned.flatten(1).norm(dim=1).reshape(6, 1, *kernel))
    by_input = Decomposed(low_rank, inputs.reshape(1, 8, *kernel)).applied(weight, 1.0)
    close(by_input.transpose(0, 1).flatten(1).norm(dim=1), inputs)
    close(Decomposed(low_rank, outputs).applied(weight, 0.25), weight + 0.25 * (by_output - weight))


def test_dora_of_a_square_weight_is_told_by_its_magnitudes_shape() -> None:
    weight, low_rank = drawn(4, 4), LowRank(drawn(4, 1), drawn(1, 4))
    magnitude = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    rows = Decomposed(low_rank, magnitude[:, None]).applied(weight, 1.0)
    columns = Decomposed(low_rank, magnitude[None]).applied(weight, 1.0)
    close(rows.norm(dim=1), magnitude)
    close(columns.norm(dim=0), magnitude)
    assert not Decomposed(low_rank, torch.ones(5)).fits((4, 4))


def test_glora_in_both_orders_of_its_files() -> None:
    weight, a1, a2, b1, b2 = drawn(*LINEAR), drawn(2, 8), drawn(8, 2), drawn(2, 8) + 1, drawn(6, 2)
    expected = weight + 0.5 * 2.0 * (weight @ a2 @ a1 + b2 @ b1)
    for factors in ((a1, a2, b1, b2), (a2, a1, b2, b1)):
        change = Generalised.of(*factors, alpha=4.0)
        assert change.fits(LINEAR)
        close(change.applied(weight, 0.5), expected)


@pytest.mark.parametrize("rank", [2, 9])
def test_glora_of_a_convolution_mixes_its_input_channels(rank: int) -> None:
    """As files have it: A is two convolutions of 1 × 1 before the layer, B two beside it; the rank may be large."""
    weight, image = drawn(*CONVOLUTION), drawn(1, 8, 5, 5)
    a1, a2, b1, b2 = drawn(8, rank, 1, 1), drawn(rank, 8, 1, 1), drawn(6, rank, 1, 1), drawn(rank, 8, 3, 3)
    change = Generalised.of(a1, a2, b1, b2, alpha=None)
    assert change.fits(CONVOLUTION)
    assert not any(change.fits(shape) for shape in ((6, 8, 1, 1), (6, 8), (6, 9, 3, 3), (6,)))
    beside = conv2d(conv2d(conv2d(image, a2), a1), weight) + conv2d(conv2d(image, b2), b1)
    close(conv2d(image, change.applied(weight, 0.5)), conv2d(image, weight) + 0.5 * beside)


@pytest.mark.parametrize("shape", [LINEAR, CONVOLUTION])
def test_oft_turns_blocks_of_outputs(shape: tuple[int, ...]) -> None:
    weight, blocks = drawn(*shape), drawn(2, 3, 3)
    rotations = cayley(blocks)
    close(rotations @ rotations.mT, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    change = BlockRotation(blocks)
    assert change.fits(shape)
    expected = torch.block_diag(*rotations.mT) @ weight.flatten(1)
    close(change.applied(weight, 1.0), expected.reshape(shape))
    close(change.applied(weight, 0.0), weight)
    close(change.applied(weight, 0.5).flatten(1), (expected + weight.flatten(1)) / 2)
    scale = drawn(6, 1)
    close(BlockRotation(blocks, rescale=scale).applied(weight, 1.0).flatten(1), expected * scale)


def test_a_limit_cuts_what_rotations_are_made_of() -> None:
    blocks = drawn(2, 3, 3)
    skew = blocks - blocks.mT
    close(cayley(blocks, limit=1e6), cayley(blocks))
    close(cayley(blocks, limit=float(skew.norm()) / 2), cayley(blocks / 2))


def test_the_limit_of_files_counts_for_each_output() -> None:
    weight, blocks = drawn(6, 5), drawn(2, 3, 3)
    norm = float((blocks - blocks.mT).norm())
    halved = BlockRotation(blocks / 2).applied(weight, 1.0)
    close(BlockRotation(blocks, limit=norm / 2 / 6).applied(weight, 1.0), halved)
    close(BlockRotation(blocks, limit=norm / 5).applied(weight, 1.0), BlockRotation(blocks).applied(weight, 1.0))


def test_the_limit_of_butterflies_is_that_of_all_layers_together() -> None:
    weight, blocks = drawn(8, 5), drawn(3, 4, 2, 2) * torch.tensor([1.0, 2.0, 0.1])[:, None, None, None]
    norm = float((blocks - blocks.mT).norm())
    halved = Butterfly(blocks / 2).applied(weight, 1.0)
    close(Butterfly(blocks, limit=norm / 2 / 8).applied(weight, 1.0), halved)


def test_a_limit_does_not_spoil_the_gradient_where_there_is_no_rotation_yet() -> None:
    blocks = torch.zeros(2, 3, 3, requires_grad=True)
    turned = BlockRotation(blocks, limit=0.1).applied(torch.arange(30.0).view(6, 5), 1.0)
    turned[0].sum().backward()
    assert blocks.grad is not None
    assert torch.isfinite(blocks.grad).all()
    assert blocks.grad.any()


def test_boft_is_a_product_of_block_rotations_and_permutations() -> None:
    """8 outputs, 3 layers of blocks of 2: pairs at distances 1, 2 and 4, as in a fast Fourier transform."""
    weight, blocks = drawn(8, 5), drawn(3, 4, 2, 2)
    rotations, expected = cayley(blocks), drawn(8, 5)
    for layer in range(3):
        stride = 2**layer
        pairs = [(k, k + stride) for k in range(8) if not k // stride % 2]
        whole = torch.zeros(8, 8, dtype=torch.float64)
        for rotation, (low, high) in zip(rotations[layer], pairs, strict=True):
            whole[[[low], [high]], [low, high]] = rotation
        expected = whole @ expected
    change = Butterfly(blocks)
    assert change.fits((8, 5))
    assert not change.fits((12, 5))
    close(change.applied(weight, 1.0), expected)
    close(change.applied(weight, 0.0), weight)
    close(expected.norm(), weight.norm())


def test_differences_and_replacements() -> None:
    weight, value = drawn(*LINEAR), drawn(8, 6)
    close(Difference(value).applied(weight, 0.5), weight + value.reshape(LINEAR) / 2)
    assert torch.equal(Replacement(value).applied(weight, 0.5), value.reshape(LINEAR))
    assert Replacement(value).fits(LINEAR) and not Difference(value).fits((7, 6))


CHANGES: dict[str, Change] = {
    "lora": LowRank(drawn(6, 2), drawn(2, 8)),
    "loha": Hadamard(Product(drawn(6, 2), drawn(2, 8)), Product(drawn(6, 2), drawn(2, 8))),
    "lokr": Kronecker(drawn(2, 4), drawn(3, 2)),
    "dora": Decomposed(LowRank(drawn(6, 2), drawn(2, 8)), drawn(6)),
    "glora": Generalised.of(drawn(2, 8), drawn(8, 2), drawn(2, 8), drawn(6, 2), None),
    "oft": BlockRotation(drawn(2, 3, 3)),
    "boft": Butterfly(drawn(1, 3, 2, 2)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_weight_itself_is_not_touched_and_keeps_its_shape_and_precision(name: str) -> None:
    for weight in (drawn(*LINEAR), drawn(*LINEAR).float()):
        before = weight.clone()
        changed = CHANGES[name].applied(weight, 0.3)
        assert torch.equal(weight, before)
        assert changed.shape == weight.shape
        assert changed.dtype == weight.dtype
        assert math.isfinite(float(changed.sum()))


@pytest.mark.parametrize("name", CHANGES)
def test_shapes_that_do_not_fit_are_known_before_they_are_tried(name: str) -> None:
    assert CHANGES[name].fits(LINEAR)
    assert not CHANGES[name].fits((9, 7))
