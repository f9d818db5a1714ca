"""Files of torch.save come back as tensors; files that would run something are refused by name."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from app.errors import Missing, UnusableFile
from app.weights.opening import open_weights, words_of

TENSORS = {
    "whole": torch.arange(12, dtype=torch.float32).view(3, 4),
    "half": torch.randn(5, 2, generator=torch.Generator().manual_seed(1)).half(),
    "brain": torch.ones(3, dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "empty": torch.zeros(0, 4),
    "turned": torch.arange(6.0).view(2, 3).T,
    "row": torch.arange(12.0).view(3, 4)[1],
}


class Evil:
    """Asks for a call when it is read."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrap", ["state_dict", None])
def test_tensors_come_back(tmp_path: Path, zipped: bool, wrap: str | None) -> None:
    path = tmp_path / "model.ckpt"
    value: Any = {wrap: OrderedDict(TENSORS), "epoch": 3, "name": "x" * 300} if wrap else TENSORS
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    read = open_weights(path).tensors
    assert set(read) == set(TENSORS)
    for name, value in TENSORS.items():
        assert read[name].shape == tuple(value.shape)
        assert torch.equal(read[name].read(), value)
        assert read[name].read().dtype == value.dtype


def test_tensors_that_share_a_storage_and_parameters(tmp_path: Path) -> None:
    shared = torch.arange(10.0)
    torch.save({"a": shared[:5], "b": shared[5:], "p": nn.Parameter(torch.ones(2))}, tmp_path / "x.pt")
    read = open_weights(tmp_path / "x.pt").tensors
    assert read["b"].read().tolist() == [5, 6, 7, 8, 9]
    assert read["p"].read().tolist() == [1, 1]


def test_a_module_s_state_and_nested_tables(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    torch.save({"state_dict": module.state_dict(), "optimiser": {"state": [1, 2]}}, tmp_path / "a.pth")
    assert set(open_weights(tmp_path / "a.pth").tensors) == set(module.state_dict())
    torch.save({"string_to_param": {"*": torch.ones(2, 768)}, "step": 5}, tmp_path / "b.pt")
    assert open_weights(tmp_path / "b.pt").tensors["string_to_param.*"].shape == (2, 768)


def test_reading_does_not_change_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(TENSORS, path)
    before = path.read_bytes()
    open_weights(path).tensors["whole"].read().add_(1)
    assert path.read_bytes() == before


def test_a_class_that_is_mentioned_harms_nobody(tmp_path: Path) -> None:
    """Trainers leave classes of theirs as keys of tables; nothing is imported for them."""
    torch.save({"callbacks": {zipfile.ZipFile: {"best": 1}}, "state_dict": {"w": torch.ones(2)}}, tmp_path / "x.ckpt")
    assert set(open_weights(tmp_path / "x.ckpt").tensors) == {"w"}


HOSTILE = {
    "posix.system": Evil(os.system, "echo harm"),
    "builtins.eval": Evil(eval, "1 + 1"),
    "builtins.exec": Evil(exec, "pass"),
    "builtins.getattr": Evil(getattr, "x", "upper"),
    "pathlib": Evil(Path, "/"),
    "torch.load": Evil(torch.load, "x"),
    "tests": Evil(Evil, 1),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("zipped", [True, False])
def test_calls_are_refused_by_name(tmp_path: Path, name: str, zipped: bool) -> None:
    path = tmp_path / "evil.ckpt"
    evil = HOSTILE[name]
    torch.save({"w": torch.ones(1), "x": evil}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnusableFile) as caught:
        open_weights(path)
    assert "would run" in caught.value.message
    assert evil.call.__qualname__ in caught.value.message
    assert "safetensors" in caught.value.remedy


def archive(path: Path, pickled: bytes, parts: dict[str, bytes] | None = None, compress: bool = False) -> Path:
    """A file as `torch.save` makes it, with a pickle and storages of our choice."""
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("archive/data.pkl", pickled)
        for name, data in (parts or {}).items():
            file.writestr(f"archive/{name}", data)
    return path


def tensor_pickle(length: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """{"w": tensor} with the numbers that a liar would tell."""
    out = io.BytesIO()
    out.write(b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storage")
    out.write(b"ctorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu")

    def number(value: int) -> bytes:
        raw = value.to_bytes(9, "little", signed=True)
        return b"\x8a" + struct.pack("<B", len(raw)) + raw

    out.write(number(length) + b"tQ" + number(offset))
    for numbers in (shape, strides):
        out.write(b"(" + b"".join(number(n) for n in numbers) + b"t")
    out.write(b"\x89}tRs.")
    return out.getvalue()


def test_the_liar_s_tool_tells_the_truth_too(tmp_path: Path) -> None:
    data = torch.arange(4.0).numpy().tobytes()
    path = archive(tmp_path / "x.pt", tensor_pickle(4, 0, (2, 2), (2, 1)), {"data/0": data})
    assert open_weights(path).tensors["w"].read().tolist() == [[0, 1], [2, 3]]


LIES = {
    "storage longer than its part": ((1000, 0, (1000,), (1,)), "bytes of numbers"),
    "beyond the storage": ((4, 3, (2,), (1,)), "in a storage of 4"),
    "a stride that leaps out": ((4, 0, (2, 2), (100, 1)), "in a storage of 4"),
    "expanded to gigabytes": ((4, 0, (1 << 40,), (0,)), "in a storage of 4"),
    "negative": ((4, -1, (2,), (1,)), "without numbers"),
    "negative length": ((-4, 0, (0,), (1,)), "damaged"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_about_sizes(tmp_path: Path, name: str) -> None:
    numbers, told = LIES[name]
    path = archive(tmp_path / "x.pt", tensor_pickle(*numbers), {"data/0": b"\0" * 16})
    with pytest.raises(UnusableFile, match=told):
        open_weights(path)


def test_compressed_parts_are_refused_unread(tmp_path: Path) -> None:
    """A zip bomb is a part that is compressed."""
    whole = tensor_pickle(1 << 20, 0, (1 << 20,), (1,))
    path = archive(tmp_path / "bomb.pt", whole, {"data/0": b"\0" * (4 << 20)}, compress=True)
    with pytest.raises(UnusableFile, match="compressed"):
        open_weights(path)


def test_other_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(UnusableFile, match="without a table"):
        open_weights(tmp_path / "a.pt")
    path = archive(tmp_path / "b.pt", pickle.dumps({}), {"constants.pkl": b""})
    with pytest.raises(UnusableFile, match="program"):
        open_weights(path)
    path = archive(tmp_path / "c.pt", pickle.dumps({}), {"byteorder": b"big"})
    with pytest.raises(UnusableFile, match="order"):
        open_weights(path)


DAMAGED = {
    "nothing": b"\x80",
    "stops at once": b"\x80\x02.",
    "no end": b"\x80\x02}",
    "unknown instruction": b"\x80\x02\xff.",
    "extension": b"\x80\x02\x82\x01.",
    "empty stack": b"\x80\x02R.",
    "no mark": b"\x80\x02t.",
    "unknown memory": b"\x80\x02h\x07.",
    "a call of a number": b"\x80\x02K\x01)R.",
    "an unhashable key": b"\x80\x02}]K\x01s.",
    "a long number that is none": b"\x80\x02I99999x\n.",
    "text": b"\x80 hello",
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_pickles(tmp_path: Path, name: str, zipped: bool) -> None:
    path = tmp_path / "x.pt"
    if zipped:
        archive(path, DAMAGED[name])
    else:
        path.write_bytes(DAMAGED[name])
    with pytest.raises(UnusableFile, match=r"x\.pt"):
        open_weights(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.pt"
    torch.save({"a": torch.ones(50), "b": torch.zeros(3)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:end])
        with pytest.raises(UnusableFile):
            open_weights(path)


def test_changed_bytes_never_escape(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"a": torch.ones(5), "b": {"c": torch.zeros(3)}}, path, _use_new_zipfile_serialization=False)
    whole = bytearray(path.read_bytes())
    generator = torch.Generator().manual_seed(5)
    for _ in range(300):
        changed = bytearray(whole)
        at, value = (int(torch.randint(0, top, (), generator=generator)) for top in (len(whole), 256))
        changed[at] = value
        path.write_bytes(changed)
        try:
            read = open_weights(path).tensors
        except UnusableFile:
            continue
        assert all(stored.read().numel() <= len(whole) for stored in read.values())


def test_nested_tables_do_not_explode(tmp_path: Path) -> None:
    """Tables that hold the same table twice, thirty times over, are small in the file and endless outside."""
    table: Any = {"w": 1}
    for _ in range(30):
        table = {"a": table, "b": table}
    torch.save(table, tmp_path / "x.pt")
    with pytest.raises(UnusableFile, match="nested"):
        open_weights(tmp_path / "x.pt")


def test_a_loop_of_tables_ends(tmp_path: Path) -> None:
    table: dict[str, Any] = {}
    table["self"] = table
    torch.save(table, tmp_path / "x.pt")
    with pytest.raises(UnusableFile, match="nested"):
        open_weights(tmp_path / "x.pt")


def test_other_formats_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF\x03\0\0\0")
    with pytest.raises(UnusableFile, match="no GGUF file that can be read"):
        open_weights(tmp_path / "x.gguf")
    with pytest.raises(Missing):
        open_weights(tmp_path / "none.pt")
    (tmp_path / "x.pt").write_bytes(b"")
    with pytest.raises(UnusableFile):
        open_weights(tmp_path / "x.pt")


def test_what_stands_beside_the_tensors_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"w": torch.ones(2), "name": "style", "step": 7, "norm": True, "inner": {"x": 1}, 5: 0.5}, path)
    assert words_of(path) == {"name": "style", "step": 7, "norm": True, "5": 0.5}
    torch.save([torch.ones(2)], path)
    assert words_of(path) == {}
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors", {"name": "style"})
    assert words_of(tmp_path / "a.safetensors") == {"name": "style"}
    path.write_bytes(b"PK damaged")
    with pytest.raises(UnusableFile):
        words_of(path)
