"""GGUF files, written by the format's own library, give the weights that its blocks stand for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from app.diffusion.models.flux import FLUX_DEV, Flux
from app.diffusion.working import make_ready
from app.errors import UnusableFile
from app.weights.opening import open_weights
from app.weights.separate import load_network

LIBRARY: Any = gguf
TYPES: Any = LIBRARY.GGMLQuantizationType
# Bits a weight → the error that they may make, of the largest value.
KINDS = {"Q8_0": 0.01, "Q5_0": 0.08, "Q5_1": 0.08, "Q4_0": 0.15, "Q4_1": 0.15}


def write(
    path: Path, tensors: dict[str, Tensor], kind: str = "F32", shapes: dict[str, list[int]] | None = None
) -> None:
    """Matrices in blocks of that kind, vectors in float32."""
    writer = LIBRARY.GGUFWriter(path, "flux")
    for name, shape in (shapes or {}).items():
        writer.add_array(f"comfy.gguf.orig_shape.{name}", shape)
    for name, value in tensors.items():
        if kind == "F32" or value.dim() < 2:
            writer.add_tensor(name, value.float().numpy())
        elif kind == "F16":
            writer.add_tensor(name, value.half().numpy())
        else:
            blocks = LIBRARY.quants.quantize(value.float().numpy(), TYPES[kind])
            writer.add_tensor(name, blocks, raw_dtype=TYPES[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize("kind", ["F32", "F16", *KINDS])
def test_every_kind_of_block_is_multiplied_out(tmp_path: Path, kind: str) -> None:
    weight = torch.randn(6, 64, generator=torch.Generator().manual_seed(1))
    write(tmp_path / "x.gguf", {"w": weight, "b": weight[0]}, kind)
    tensors = open_weights(tmp_path / "x.gguf").tensors
    assert {name: stored.shape for name, stored in tensors.items()} == {"w": (6, 64), "b": (64,)}
    read = tensors["w"].read().float()
    assert float((read - weight).abs().max() / weight.abs().max()) <= KINDS.get(kind, 1e-3)
    assert torch.equal(tensors["b"].read(), weight[0])
    if kind in KINDS:
        own = LIBRARY.quants.dequantize(LIBRARY.quants.quantize(weight.numpy(), TYPES[kind]), TYPES[kind])
        assert np.array_equal(read.numpy(), own)


def test_kernels_have_the_shape_that_they_had(tmp_path: Path) -> None:
    kernel = torch.randn(32, 2, 3, 3, generator=torch.Generator().manual_seed(2))
    write(tmp_path / "x.gguf", {"w": kernel.reshape(-1, 32)}, "Q8_0", {"w": [32, 2, 3, 3]})
    stored = open_weights(tmp_path / "x.gguf").tensors["w"]
    assert stored.shape == (32, 2, 3, 3)
    assert torch.allclose(stored.read(), kernel, atol=0.05)


def test_a_network_is_known_by_its_names_and_draws_nearly_the_same(tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = replace(FLUX_DEV, width=128, heads=1, double=1, single=1)
    network = Flux(config).eval()
    write(tmp_path / "small.gguf", network.state_dict(), "Q8_0")
    model = load_network(tmp_path / "small.gguf")
    assert model.family == "flux"
    make_ready(model.network)
    for name, value in network.state_dict().items():
        read = model.network.state_dict()[name]
        assert torch.allclose(read.float(), value, atol=0.02 * float(value.abs().max()) + 1e-6)


@given(at=st.integers(0, 400), to=st.integers(0, 255), cut=st.integers(0, 500))
def test_damaged_files_are_refused_or_read_never_worse(
    tmp_path_factory: pytest.TempPathFactory, at: int, to: int, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    write(folder / "x.gguf", {"w": torch.ones(2, 32)}, "Q8_0")
    data = bytearray((folder / "x.gguf").read_bytes())
    if at < len(data):
        data[at] = to
    (folder / "x.gguf").write_bytes(b"GGUF" + bytes(data[4 : max(len(data) - cut, 5)]))
    try:
        for stored in open_weights(folder / "x.gguf").tensors.values():
            stored.read()
    except UnusableFile as error:
        assert "x.gguf" in error.message and error.remedy


def test_blocks_that_nobody_knows_are_named(tmp_path: Path) -> None:
    writer = LIBRARY.GGUFWriter(tmp_path / "x.gguf", "flux")
    writer.add_tensor("strange", np.zeros((2, 292), dtype=np.uint8), raw_dtype=TYPES.Q8_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnusableFile, match=r"'x\.gguf'.*'strange' is stored as Q8_K"):
        open_weights(tmp_path / "x.gguf")
