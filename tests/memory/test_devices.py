from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from app.errors import InvalidRequest
from app.memory.devices import (
    available_devices,
    choose_device,
    device_facts,
    free_bytes,
    granted_cores,
    lacks_eight_bits,
    main_memory,
    usable_cores,
    use_all_cores,
    weights_room,
)


def test_the_cpu_is_always_there() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert "cpu" in available_devices()
    assert str(choose_device()) in available_devices()


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "", "xpu:7"])
def test_a_device_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        choose_device(name)
    assert "cpu" in told.value.remedy


def test_facts_have_the_names_that_clients_read() -> None:
    facts = device_facts(torch.device("cpu"))
    assert set(facts) == {
        "name",
        "type",
        "index",
        "vram_total",
        "vram_free",
        "torch_vram_total",
        "torch_vram_free",
    }
    assert facts["vram_total"] >= facts["vram_free"] > 0
    assert free_bytes(torch.device("cpu")) > 0
    assert main_memory()[0] == facts["vram_total"]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, os.cpu_count()),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, os.cpu_count()),
        ({}, os.cpu_count()),
    ],
)
def test_a_container_s_share_of_processors_is_kept_to(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert granted_cores(tmp_path) == cores


def test_threads_do_not_outnumber_cores() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(64)
        assert use_all_cores() == torch.get_num_threads() == usable_cores()
        torch.set_num_threads(1)
        assert use_all_cores() == 1, "whoever asks for fewer gets fewer"
    finally:
        torch.set_num_threads(before)


def test_what_a_device_lacks_of_eight_bits_is_told() -> None:
    cpu, apple = torch.device("cpu"), torch.device("mps")
    assert lacks_eight_bits(cpu) is None
    assert "cpu cannot multiply" in str(lacks_eight_bits(cpu, products=True))
    assert "mps has no 8-bit" in str(lacks_eight_bits(apple)) and lacks_eight_bits(apple, products=True)


def test_weights_leave_room_to_compute_in() -> None:
    total = device_facts(torch.device("cpu"))["vram_total"]
    assert total / 2 < weights_room(torch.device("cpu")) < total
