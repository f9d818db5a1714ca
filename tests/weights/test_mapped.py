"""Mapped files share their pages and are never changed; what is read from them is converted and checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from app.errors import UnusableFile
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.mapped import MappedFile
from app.weights.stored import held, open_safetensors


@pytest.mark.parametrize("begin", [0, 1, 4, 7])
def test_numbers_begin_at_any_byte(tmp_path: Path, begin: int) -> None:
    numbers = torch.arange(10, dtype=torch.float32)
    (tmp_path / "x").write_bytes(b"\1" * begin + numbers.numpy().tobytes())
    file = MappedFile(tmp_path / "x")
    assert torch.equal(file.flat(begin, 10, torch.float32), numbers)
    assert file.flat(begin, 0, torch.float32).shape == (0,)


def test_pages_that_were_let_go_are_read_again(tmp_path: Path) -> None:
    numbers = torch.arange(1 << 16, dtype=torch.int64)
    (tmp_path / "x").write_bytes(numbers.numpy().tobytes())
    file = MappedFile(tmp_path / "x")
    flat = file.flat(0, len(numbers), torch.int64)
    for begin, size in ((0, 1 << 19), (100, 5), (3, 70_000)):
        file.forget(begin, size)
        assert torch.equal(flat, numbers)


def test_weights_in_the_wanted_precision_stay_in_the_file(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(4, 3), "bias": torch.zeros(4)}, tmp_path / "x.safetensors")
    before = (tmp_path / "x.safetensors").read_bytes()
    file = open_safetensors(tmp_path / "x.safetensors")
    with blank():
        module = nn.Linear(3, 4)
    fill(module, file.tensors, file.name)
    assert module.weight.data_ptr() == file.tensors["weight"].read().data_ptr()
    module.weight.data.add_(1)
    assert float(module.weight[0, 0]) == 2
    assert (tmp_path / "x.safetensors").read_bytes() == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float64])
def test_other_precisions_are_converted(tmp_path: Path, dtype: torch.dtype) -> None:
    weight = torch.tensor([[0.5, 1.0, -2.0]]).to(dtype)
    save_file({"weight": weight, "bias": torch.tensor([1.5])}, tmp_path / "x.safetensors")
    with blank():
        module = nn.Linear(3, 1)
    fill(module, open_safetensors(tmp_path / "x.safetensors").tensors, "x")
    assert module.weight.tolist() == [[0.5, 1.0, -2.0]]
    assert module.bias.tolist() == [1.5]


def test_eight_bit_weights_with_a_scale_are_multiplied_out(tmp_path: Path) -> None:
    tensors = {
        "weight": torch.tensor([[1.0, 2.0]]).to(torch.float8_e4m3fn),
        "scale_weight": torch.tensor(0.25),
        "bias": torch.zeros(1),
    }
    prefixed = {f"a.{key}": value for key, value in tensors.items()} | {"scaled_fp8": torch.zeros(2)}
    save_file(prefixed, tmp_path / "x.safetensors")
    read = open_safetensors(tmp_path / "x.safetensors").tensors
    assert set(read) == {"a.weight", "a.bias"}
    assert read["a.weight"].read().tolist() == [[0.25, 0.5]]


def test_strange_types_and_wrong_sizes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for entry, told in (
        ('{"w": {"dtype": "F4", "shape": [8], "data_offsets": [0, 4]}}', "stored as F4"),
        ('{"w": {"dtype": "F32", "shape": [8], "data_offsets": [0, 4]}}', r"shape \[8\] has 4 bytes"),
        ('{"w": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}', r"shape \[-1, -1\]"),
    ):
        path.write_bytes(len(entry).to_bytes(8, "little") + entry.encode() + b"\0" * 4)
        with pytest.raises(UnusableFile, match=told):
            open_safetensors(path)


def test_a_number_in_no_dimension(tmp_path: Path) -> None:
    with blank():
        module = nn.BatchNorm1d(2)
    state = nn.BatchNorm1d(2).state_dict()
    fill(module, held(state), "x")
    assert module.num_batches_tracked is not None
    assert int(module.num_batches_tracked) == 0
