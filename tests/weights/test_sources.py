"""A file that is written into while its weights are in use: it is told, and nobody reads what is not there any more."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.twin import with_edits
from app.diffusion.working import make_ready
from app.errors import UnusableFile
from app.weights.adapters.adapter import load_adapter
from app.weights.archive import open_archive
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.mapped import MappedFile, stamp_of
from app.weights.opening import open_weights
from app.weights.sources import Sources
from app.weights.stored import open_safetensors

LIBRARY: Any = gguf
CHANGED = "written into while it was in use"
SIDE = 64


def saved(path: Path, value: float = 1.0, dtype: torch.dtype = torch.float16) -> Path:
    tensors = {"weight": torch.full((SIDE, SIDE), value, dtype=dtype), "bias": torch.zeros(SIDE, dtype=dtype)}
    if path.suffix == ".pt":
        torch.save(tensors, path)
    elif path.suffix == ".gguf":
        writer: Any = LIBRARY.GGUFWriter(path, "flux")
        for name, tensor in tensors.items():
            writer.add_tensor(name, tensor.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    else:
        save_file(tensors, path)
    return path


def loaded(path: Path, dtype: torch.dtype = torch.float32) -> nn.Linear:
    with blank():
        module = nn.Linear(SIDE, SIDE)
    fill(module, open_weights(path).tensors, path.name, dtype=dtype, later=True)
    return module


def write_into(path: Path, value: float) -> None:
    """The same file, with another content of the same length, some time later."""
    other = saved(path.with_stem("other"), value)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(other.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


def cut(path: Path) -> None:
    """What copying over a file begins with."""
    os.truncate(path, 0)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt", "x.gguf"])
@pytest.mark.parametrize("harm", [lambda path: write_into(path, 2.0), cut], ids=["written", "cut"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["converted later", "staying in the file"])
def test_the_first_use_tells_and_so_does_every_other(
    tmp_path: Path, name: str, harm: Callable[[Path], None], dtype: torch.dtype
) -> None:
    path = saved(tmp_path / name)
    module = loaded(path, dtype)
    x = torch.ones(1, SIDE, dtype=dtype)
    harm(path)
    uses: list[Callable[[], Any]] = [lambda: module(x), lambda: make_ready(module), lambda: module(x)]
    for use in uses:
        with pytest.raises(UnusableFile, match=f"'{name}' was {CHANGED}") as caught:
            use()
        assert "rename" in caught.value.remedy and "Run again" in caught.value.remedy


def test_weights_in_memory_of_their_own_are_used_on(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.safetensors")
    converted, moved = loaded(path), loaded(path, torch.float16)
    make_ready(converted)
    moved.weight.data, moved.bias.data = moved.weight.data.clone(), moved.bias.data.clone()
    alike = copy.deepcopy(loaded(path, torch.float16))
    carried: nn.Linear = pickle.loads(pickle.dumps(loaded(path, torch.float16)))
    cut(path)
    for module in (converted, moved, alike, carried):
        x = torch.ones(1, SIDE, dtype=module.weight.dtype)
        assert float(module(x)[0, 0]) == SIDE


def test_another_file_in_its_place_does_not_matter(tmp_path: Path) -> None:
    """Downloads, and we ourselves, write beside and rename; so what is mapped stays as it was."""
    path = saved(tmp_path / "x.safetensors")
    modules = loaded(path), loaded(path, torch.float16)
    os.replace(saved(tmp_path / "y.safetensors", 3.0), path)
    for module, dtype in zip(modules, (torch.float32, torch.float16), strict=True):
        assert float(module(torch.ones(1, SIDE, dtype=dtype))[0, 0]) == SIDE
    path.unlink()
    assert float(modules[1].weight[0, 0]) == 1


def test_a_twin_tells_too(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.safetensors")
    module = loaded(path, torch.float16)
    twin = with_edits(module, [Edit(Place("bias"), Doubled(), 1.0)])
    write_into(path, 2.0)
    with pytest.raises(UnusableFile, match=CHANGED):
        twin(torch.ones(1, SIDE, dtype=torch.float16))


class Doubled:
    """A change of a bias that is as large as the bias."""

    def fits(self, shape: Sequence[int]) -> bool:
        return len(shape) == 1

    def applied(self, weight: Tensor, strength: float) -> Tensor:
        return weight * (1 + strength)


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt", "x.gguf"])
def test_whoever_reads_late_is_told(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / name)
    tensors = open_weights(path).tensors
    cut(path)
    with pytest.raises(UnusableFile, match=CHANGED):
        tensors["weight"].read()
    with blank():
        module = nn.Linear(SIDE, SIDE)
    with pytest.raises(UnusableFile, match=CHANGED):
        fill(module, tensors, name)


def test_a_lora_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    layer = "lora_unet_down_blocks_0_attentions_0_proj_in"
    save_file({f"{layer}.lora_{part}.weight": torch.ones(4, 4) for part in ("down", "up")}, path)
    adapter = load_adapter(path)
    (change,) = adapter.changes.weights.values()
    cut(path)
    assert float(change.applied(torch.zeros(4, 4), 1.0).sum()) == 4**3


class Exchanged(type(Path())):
    """A path at which another file stands when it is opened to be mapped."""

    def open(self, mode: str = "r", buffering: int = -1, *rest: Any) -> Any:  # type: ignore[override]
        if buffering == 0:
            os.replace(saved(Path(self.with_stem("other")), 3.0), self)
        return super().open(mode, buffering, *rest)


def test_a_file_that_is_exchanged_while_it_is_opened(tmp_path: Path) -> None:
    """Else the table of the one would be read with the numbers of the other."""
    path = saved(tmp_path / "x.safetensors")
    with pytest.raises(UnusableFile, match=CHANGED):
        open_safetensors(Exchanged(path))
    file = MappedFile(path)
    os.replace(saved(tmp_path / "y.safetensors", 3.0), path)
    assert file.stamp != stamp_of(path) and not file.is_changed, "what is open is not what has the name now"


def test_each_file_counts_once(tmp_path: Path) -> None:
    first, second = open_safetensors(saved(tmp_path / "x.safetensors")), open_archive(saved(tmp_path / "y.pt"))
    sources = Sources.of([*first.tensors.values(), *second.tensors.values()])
    assert len(sources.files) == 2 and sources
    assert sources.of_those([second.tensors["bias"].read()]).files == (second.tensors["weight"].file,)
    assert not sources.of_those([torch.ones(2)])
    assert first.tensors["weight"].file is first.tensors["bias"].file is not None
