"""A module gets a file's weights: checked at once, converted when it is used, and in memory once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from app.diffusion.models.convolution import Conv3x3
from app.diffusion.models.eight_bit import keep_in_eight_bits
from app.diffusion.working import is_ready, make_ready, working_dtype
from app.errors import UnusableFile
from app.weights.blank import blank
from app.weights.fill import check_values, fill
from app.weights.stored import Stored, Tensors, held, open_safetensors

SAFE = {"weight": torch.tensor([[0.5, 1.0, -2.0]], dtype=torch.float16), "bias": torch.tensor([1.5])}


def linear() -> nn.Linear:
    with blank():
        return nn.Linear(3, 1)


def test_conversion_waits_until_the_module_is_used(tmp_path: Path) -> None:
    save_file(SAFE, tmp_path / "x.safetensors")
    file = open_safetensors(tmp_path / "x.safetensors")
    module = linear()
    fill(module, file.tensors, "x", dtype=torch.bfloat16, later=True)
    assert module.weight.dtype == torch.float16, "as it is in the file, and in the file's memory"
    assert module.weight.data_ptr() == file.tensors["weight"].read().data_ptr()
    assert working_dtype(module) == torch.bfloat16 and not is_ready(module)
    result = module(torch.ones(1, 3, dtype=torch.bfloat16))
    assert result.dtype == module.weight.dtype == module.bias.dtype == working_dtype(module) == torch.bfloat16
    assert float(result) == 1.0 and is_ready(module)


def test_whoever_asks_has_it_converted() -> None:
    module = linear()
    fill(module, held(SAFE), "x", later=True)
    make_ready(nn.ModuleDict({"it": module}))
    assert module.weight.dtype == torch.float32 and module.weight.tolist() == SAFE["weight"].tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])  # the weight's own, and one to bring it into
def test_weights_that_are_loaded_while_prompts_run_can_be_trained_and_used_anywhere(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    save_file(SAFE, tmp_path / "x.safetensors")
    module = linear()
    with torch.inference_mode():  # as nodes run
        fill(module, open_safetensors(tmp_path / "x.safetensors").tensors, "x", dtype=dtype, later=True)
        module(torch.ones(1, 3, dtype=dtype))
    assert not any(weight.is_inference() for weight in module.parameters())
    module(torch.ones(1, 3, dtype=dtype, requires_grad=True)).sum().backward()


def test_weights_that_were_exchanged_meanwhile_are_left_alone() -> None:
    module = linear()
    fill(module, held(SAFE), "x", dtype=torch.bfloat16, later=True)
    module.weight.data = torch.zeros(1, 3)
    make_ready(module)
    assert module.weight.dtype == torch.float32 and module.bias.dtype == torch.bfloat16


def test_nothing_waits_where_nothing_is_to_be_done() -> None:
    module = linear()
    fill(module, held(SAFE), "x", later=False)
    assert is_ready(module)
    fill(module, held({key: value.float() for key, value in SAFE.items()}), "x", later=True)
    assert is_ready(module) and module.weight.dtype == torch.float32


def test_wide_kernels_are_laid_out_on_the_way() -> None:
    with blank():
        module = nn.Sequential(Conv3x3(256, 256), Conv3x3(8, 8))
    state = {key: torch.randn(value.shape).half() for key, value in module.state_dict().items()}
    fill(module, held(state), "x", later=True)
    make_ready(module)
    wide, narrow = module[0].weight, module[1].weight
    assert isinstance(wide, nn.Parameter) and isinstance(narrow, nn.Parameter)
    assert wide.is_contiguous(memory_format=torch.channels_last) and not wide.is_contiguous()
    assert narrow.is_contiguous()
    assert torch.equal(wide, state["0.weight"].float()) and torch.equal(narrow, state["1.weight"].float())


def test_what_every_reading_makes_anew_is_converted_at_once() -> None:
    module = linear()
    tensors = {
        "weight": Stored((1, 3), lambda: torch.full((1, 3), 2.0), is_derived=True),
        **held({"bias": torch.zeros(1, dtype=torch.float16)}),
    }
    fill(module, tensors, "x", dtype=torch.float16, later=True)
    assert module.weight.dtype == torch.float16 and module.weight.tolist() == [[2.0] * 3]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float8_e5m2])
def test_values_that_are_no_numbers_are_named_before_anything_is_used(bad: float, dtype: torch.dtype) -> None:
    weight = torch.zeros(1, 3)
    weight[0, 2] = bad
    tensors = held({"weight": weight.to(dtype), "bias": torch.zeros(1)})
    with pytest.raises(UnusableFile, match=r"'x' the tensor 'a\.weight' holds values that are not numbers"):
        fill(linear(), tensors, "x", told="a.", later=True)


def test_large_numbers_are_numbers_where_they_fit() -> None:
    check_values(torch.tensor([65504.0, -65504.0], dtype=torch.float16), torch.float16, "x", "w")
    check_values(torch.tensor([1, 2]), torch.int64, "x", "w")
    check_values(torch.zeros(0), torch.float16, "x", "w")
    check_values(torch.tensor([7e4]), torch.bfloat16, "x", "w")
    with pytest.raises(UnusableFile, match=r"'w' holds values up to 7e\+04, too large for torch.float16"):
        check_values(torch.tensor([1.0, -7e4]), torch.float16, "x", "w")


MEASURE = """
import sys
from pathlib import Path
import torch
from torch import nn
from app.diffusion.models.eight_bit import keep_in_eight_bits
from app.diffusion.working import make_ready
from app.weights.blank import blank
from app.weights.fill import fill
from app.weights.stored import open_safetensors

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

def layers(count):
    with blank():
        return nn.ModuleList(nn.Linear(1024, 1024, bias=False) for _ in range(count))

warm = layers(1)
fill(warm, open_safetensors(Path(sys.argv[2])).tensors, "warm", dtype=torch.bfloat16)
Path("/proc/self/clear_refs").write_text("5")
before = memory()
module = layers(32)
file = open_safetensors(Path(sys.argv[1]))
fill(module, file.tensors, "x", dtype=torch.bfloat16, later=True)
loaded = memory() - before
make_ready(module)
print(loaded, memory() - before, peak() - before)
"""


def test_weights_are_in_memory_once(tmp_path: Path) -> None:
    """64 MiB of weights: after loading, after conversion and at the highest point in between."""
    if not Path("/proc/self/clear_refs").exists():  # Linux alone tells
        return
    weights = {f"{i}.weight": torch.full((1024, 1024), 0.5, dtype=torch.float16) for i in range(32)}
    save_file(weights, tmp_path / "x.safetensors")
    save_file({"0.weight": weights["0.weight"]}, tmp_path / "warm.safetensors")
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "x.safetensors"), str(tmp_path / "warm.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=True)
    whole = sum(value.nbytes for value in weights.values())
    loaded, ready, peak = (int(value) / whole for value in done.stdout.split())
    assert loaded < 1.15 and 0.9 < ready < 1.15, (loaded, ready, peak)
    assert peak < 1.4, (loaded, ready, peak)


def filled(tensors: Tensors) -> nn.Sequential:
    with blank():
        module = nn.Sequential(nn.Linear(3, 1))
        keep_in_eight_bits(module, torch.float8_e4m3fn)
    fill(module, tensors, "x", dtype=torch.bfloat16, later=True)
    return module


def test_eight_bits_are_made_of_other_precisions_when_they_are_used() -> None:
    module = filled(held({f"0.{key}": value for key, value in SAFE.items()}))
    assert module.get_parameter("0.weight").dtype == torch.float16
    make_ready(module)
    assert module.get_parameter("0.weight").dtype == torch.float8_e4m3fn
    assert module.get_parameter("0.bias").dtype == working_dtype(module) == torch.bfloat16
    assert module(torch.ones(1, 3, dtype=torch.bfloat16)).tolist() == [[pytest.approx(1.0, abs=0.05)]]


def test_eight_bits_of_a_file_stay_in_it(tmp_path: Path) -> None:
    weight = torch.tensor([[0.5, 1.0, -2.0]]).to(torch.float8_e4m3fn)
    for scale, factor in ((None, 1.0), (torch.tensor(0.25), 0.25)):
        tensors = {"0.weight": weight, "0.bias": torch.zeros(1)}
        save_file(tensors if scale is None else {**tensors, "0.scale_weight": scale}, tmp_path / "x.safetensors")
        file = open_safetensors(tmp_path / "x.safetensors")
        module = filled(file.tensors)
        make_ready(module)
        assert module.get_parameter("0.weight").dtype == torch.float8_e4m3fn
        assert torch.equal(module.get_parameter("0.weight").float(), weight.float()), "bit by bit"
        assert module(torch.ones(1, 3, dtype=torch.bfloat16)).tolist() == [[-0.5 * factor]]


def test_what_is_made_at_each_reading_is_packed_at_once() -> None:
    made = Stored((1, 3), lambda: torch.full((1, 3), 2.0), is_derived=True)
    module = filled({"0.weight": made, **held({"0.bias": torch.zeros(1)})})
    assert module.get_parameter("0.weight").dtype == torch.float8_e4m3fn
    assert module(torch.ones(1, 3, dtype=torch.bfloat16)).tolist() == [[6.0]]
