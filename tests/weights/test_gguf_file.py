"""GGUF files, written by the format's own library, give the weights that its blocks stand for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from app.diffusion.adapters.twin import independent, value_of
from app.diffusion.models.block_formats import FORMATS
from app.diffusion.models.flux import FLUX_DEV, Flux
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.models.narrow import narrow_layer, widen
from app.diffusion.models.t5 import T5Config, T5Encoder
from app.diffusion.working import make_ready, working_dtype
from app.errors import UnusableFile
from app.weights.llama_names import t5_names
from app.weights.network import EightBits
from app.weights.opening import open_weights
from app.weights.separate import load_network
from app.weights.stored import held
from app.weights.text_files import load_tower, tower_in
from tests.diffusion.models.test_block_formats import blocks_of
from tests.weights.test_llama_names import llama_state

LIBRARY: Any = gguf
TYPES: Any = LIBRARY.GGMLQuantizationType
# Bits a weight → the error that they may make, of the largest value.
KINDS = {"Q8_0": 0.01, "Q5_0": 0.08, "Q5_1": 0.08, "Q4_0": 0.15, "Q4_1": 0.15}


def write(
    path: Path,
    tensors: dict[str, Tensor],
    kind: str = "F32",
    shapes: dict[str, list[int]] | None = None,
    words: dict[str, Any] | None = None,
) -> None:
    """Matrices in blocks of that kind where their sides fit, everything else in float32."""
    writer = LIBRARY.GGUFWriter(path, "flux")
    for name, shape in (shapes or {}).items():
        writer.add_array(f"comfy.gguf.orig_shape.{name}", shape)
    for name, each in (words or {}).items():
        writer.add_array(f"tokenizer.ggml.{name}", each)
    for name, value in tensors.items():
        if kind == "F32" or value.dim() < 2 or (kind in FORMATS and value.shape[-1] % FORMATS[kind].values):
            writer.add_tensor(name, value.float().numpy())
        elif kind == "F16":
            writer.add_tensor(name, value.half().numpy())
        else:
            whole = kind in KINDS
            blocks = LIBRARY.quants.quantize(value.float().numpy(), TYPES[kind]) if whole else like(value, kind)
            writer.add_tensor(name, blocks, raw_dtype=TYPES[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def like(value: Tensor, kind: str) -> Any:
    """Blocks of a kind that the library does not write, with numbers of that size."""
    blocks = blocks_of(FORMATS[kind], value.numel() // FORMATS[kind].values)
    for place in FORMATS[kind].scales:
        blocks[:, place + 1] = (blocks[:, place + 1] & 0x80) | 0x02
    return blocks.view(*value.shape[:-1], -1).numpy()


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


def small(name: str) -> nn.Module:
    torch.manual_seed(3)
    if name == "flux":
        return Flux(replace(FLUX_DEV, width=256, heads=2, double=1, single=1)).eval()
    return MMDiT(MMDiTConfig(2, 64, 16, 4096, 2048, 24)).eval()


def called(network: nn.Module, name: str, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(1, 16, 8, 8, generator=generator).to(dtype)
    context = torch.randn(1, 5, 4096, generator=generator).to(dtype)
    vector = torch.randn(1, 768 if name == "flux" else 2048, generator=generator).to(dtype)
    guidance = {"guidance": torch.tensor([3.5])} if name == "flux" else {}
    with torch.no_grad():
        return network(x, torch.tensor([0.5]), context, vector, **guidance)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_K", "Q6_K"])
@pytest.mark.parametrize("name", ["flux", "sd3"])
def test_networks_keep_the_blocks_and_compute_what_they_stand_for(tmp_path: Path, name: str, kind: str) -> None:
    network = small(name)
    write(tmp_path / "x.gguf", network.state_dict(), kind)
    file = open_weights(tmp_path / "x.gguf")
    model = load_network(tmp_path / "x.gguf", torch.bfloat16)
    assert working_dtype(model.network) == torch.bfloat16
    make_ready(model.network)
    assert working_dtype(model.network) == torch.bfloat16
    kept = [key for key in network.state_dict() if narrow_layer(model.network, key)]
    assert len(kept) > 5 and all(model.network.get_parameter(key).dtype == torch.uint8 for key in kept)
    for key in kept:
        assert torch.equal(value_of(model.network, key), file.tensors[key].read()), key
    wide = independent(model.network)
    widen(wide, torch.bfloat16)
    ours, whole = (called(each, name, torch.bfloat16) for each in (model.network, wide))
    torch.testing.assert_close(ours, whole)
    assert bool(ours.isfinite().all()) and float(ours.float().std()) > 0


def test_other_layers_and_precisions_are_as_without_blocks(tmp_path: Path) -> None:
    network = small("flux")
    write(tmp_path / "x.gguf", network.state_dict(), "Q8_0")
    eight = load_network(tmp_path / "x.gguf", torch.bfloat16, EightBits(torch.float8_e4m3fn))
    make_ready(eight.network)
    assert eight.network.get_parameter("img_in.weight").dtype == torch.float8_e4m3fn, "asked for"
    plain = load_network(tmp_path / "x.gguf", torch.float32, EightBits(room=1))
    assert plain.network.get_parameter("img_in.weight").dtype == torch.uint8, "smaller than 8 bits of the precision"
    assert torch.equal(plain.network.get_parameter("img_in.bias"), network.get_parameter("img_in.bias"))


def test_blocks_with_values_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    state = small("flux").state_dict()
    write(tmp_path / "x.gguf", state, "Q8_0")
    data = bytearray((tmp_path / "x.gguf").read_bytes())
    blocks = bytes(open_weights(tmp_path / "x.gguf").tensors["txt_in.weight"].blocks.read()[1].numpy())  # type: ignore[union-attr]
    data[data.index(blocks) : data.index(blocks) + 2] = b"\x00\x7e"
    (tmp_path / "x.gguf").write_bytes(bytes(data))
    with pytest.raises(UnusableFile, match=r"'txt_in\.weight' holds values that are not numbers"):
        load_network(tmp_path / "x.gguf")


def test_values_that_a_precision_does_not_have_are_named(tmp_path: Path) -> None:
    state = small("flux").state_dict()
    state["txt_in.weight"][5, 7] = 1e5
    write(tmp_path / "x.gguf", state, "Q8_0")
    assert load_network(tmp_path / "x.gguf", torch.bfloat16).family == "flux"
    with pytest.raises(UnusableFile, match=r"'txt_in\.weight' holds values up to 1e\+05, too large for torch.float16"):
        load_network(tmp_path / "x.gguf", torch.float16)


def test_a_text_encoder_of_llama_cpp(tmp_path: Path) -> None:
    """T5 under llama.cpp's names, with its vocabulary beside the weights: nothing else is needed."""
    config = T5Config(64, 64, 96, 2, 4, 16)
    state = llama_state(config)
    words = {"tokens": ["<pad>", "</s>", "<unk>", "▁red", *(f"▁w{i}" for i in range(60))]}
    words |= {"scores": [0.0] * 3 + [-1.0] * 61, "token_type": [3, 3, 2] + [1] * 61}
    write(tmp_path / "t5.gguf", state, "Q8_0", words=words)
    found = load_tower(tower_in(open_weights(tmp_path / "t5.gguf")), [])
    assert isinstance(found.model, T5Encoder) and found.model.config == config
    assert found.words is not None and found.words.encode("red w3") == [3, 7]
    assert narrow_layer(found.model, "shared.weight") and found.model.shared.weight.dtype == torch.uint8
    wide = independent(found.model)
    widen(wide, torch.float32)
    whole = T5Encoder(config)
    whole.load_state_dict({name: stored.read() for name, stored in t5_names(held(state)).items()})
    with torch.no_grad():
        kept, same, before = (
            each(torch.tensor([[3, 7, 1]]), torch.tensor([2])).hidden for each in (found.model, wide, whole)
        )
    torch.testing.assert_close(kept, same)
    assert 0 < float((kept - before).norm() / before.norm()) < 0.05


MEASURE = """
import sys
from pathlib import Path
import gguf
import torch
from app.diffusion.working import make_ready
from app.memory.sizes import size_of
from app.weights.separate import load_network

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

warm = load_network(Path(sys.argv[2]), torch.bfloat16)
make_ready(warm.network)
before = memory()
model = load_network(Path(sys.argv[1]), torch.bfloat16)
make_ready(model.network)
print(memory() - before, size_of(model.network))
"""


def test_a_network_takes_as_much_memory_as_its_file(tmp_path: Path) -> None:
    if not Path("/proc/self/statm").exists():  # Linux alone tells
        return
    write(tmp_path / "warm.gguf", small("flux").state_dict(), "Q4_0")
    large = Flux(replace(FLUX_DEV, width=1024, heads=8, double=1, single=1))
    write(tmp_path / "x.gguf", large.state_dict(), "Q4_0")
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "x.gguf"), str(tmp_path / "warm.gguf")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    size, values = (tmp_path / "x.gguf").stat().st_size, sum(value.numel() for value in large.parameters())
    held_bytes, told = (int(value) for value in done.stdout.split())
    assert size < 0.31 * 2 * values, "4.5 bits of 16"
    assert held_bytes < 1.25 * size, (held_bytes, size)  # or less, where the system takes pages of the file back
    assert 0.95 < told / size < 1.05, (told, size)
