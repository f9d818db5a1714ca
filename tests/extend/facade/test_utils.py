from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from app.context.context import NodeContext
from app.engine.events import Progress
from app.errors import UnusableFile
from app.extend.facade.bridge import FacadeHost
from tests.extend.facade.conftest import Said


@pytest.fixture
def utils(host: FacadeHost) -> Any:
    return importlib.import_module("comfy.utils")


def test_progress_goes_to_the_running_node(utils: Any, host: FacadeHost, context: NodeContext, said: Said) -> None:
    heard: list[Any] = []
    utils.set_progress_bar_global_hook(lambda value, total, preview, node_id=None: heard.append((value, total)))
    with host.enter(context):
        bar = utils.ProgressBar(4)
        bar.update(1)
        bar.update_absolute(3)
        bar.update_absolute(9, 8)
    assert [(e.value, e.maximum) for e in said.events if isinstance(e, Progress)] == [(1, 4), (3, 4), (8, 8)]
    assert heard == [(1, 4), (3, 4), (8, 8)]
    assert {e.node_id for e in said.events if isinstance(e, Progress)} == {"7"}


def test_files_of_tensors_there_and_back(utils: Any, tmp_path: Path) -> None:
    tensors = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(2)}
    path = str(tmp_path / "x.safetensors")
    utils.save_torch_file(tensors, path, {"format": "pt"})
    read, metadata = utils.load_torch_file(path, return_metadata=True)
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert metadata == {"format": "pt"}
    assert b"a.weight" in utils.safetensors_header(path)
    torch.save({"state_dict": tensors}, tmp_path / "x.ckpt")
    read = utils.load_torch_file(str(tmp_path / "x.ckpt"))
    assert torch.equal(read["a.weight"], tensors["a.weight"])


def test_a_pickle_that_runs_code_is_refused(utils: Any, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "bad.pt").write_bytes(pickle.dumps({"w": Bomb()}))
    with pytest.raises(UnusableFile):
        utils.load_torch_file(str(tmp_path / "bad.pt"))
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UnusableFile):
        utils.load_torch_file(str(tmp_path / "bad.safetensors"))
    assert not (tmp_path / "ran").exists()


def test_names_of_weights_are_replaced(utils: Any) -> None:
    weights = {"old.a": 1, "old.b": 2, "other": 3}
    assert utils.state_dict_prefix_replace(dict(weights), {"old.": "new."}) == {"new.a": 1, "new.b": 2, "other": 3}
    assert utils.state_dict_prefix_replace(dict(weights), {"old.": ""}, filter_keys=True) == {"a": 1, "b": 2}
    assert utils.state_dict_key_replace(dict(weights), {"other": "x", "none": "y"}) == {"old.a": 1, "old.b": 2, "x": 3}


def test_batches_are_repeated_cut_and_resized(utils: Any) -> None:
    batch = torch.arange(3.0)[:, None]
    assert utils.repeat_to_batch_size(batch, 5).flatten().tolist() == [0, 1, 2, 0, 1]
    assert utils.repeat_to_batch_size(batch, 2).flatten().tolist() == [0, 1]
    assert utils.resize_to_batch_size(batch, 5).flatten().tolist() == [0, 0, 1, 2, 2]
    assert utils.resize_to_batch_size(batch, 1).flatten().tolist() == [0]
    assert utils.reshape_mask(torch.ones(4, 4), (2, 3, 8, 8)).shape == (2, 3, 8, 8)


def test_sizes_also_of_video(utils: Any) -> None:
    assert utils.common_upscale(torch.ones(1, 3, 2, 4, 4), 8, 6, "nearest-exact", "disabled").shape == (1, 3, 2, 6, 8)
    cropped = utils.common_upscale(torch.arange(16.0).view(1, 1, 2, 8), 2, 2, "nearest-exact", "center")
    assert cropped.flatten().tolist() == [3, 4, 11, 12]
    assert utils.lanczos(torch.ones(1, 3, 4, 4), 2, 2).shape == (1, 3, 2, 2)
    assert utils.bislerp(torch.ones(1, 4, 4, 4), 8, 8).shape == (1, 4, 8, 8)


@pytest.mark.parametrize("amount", [1, 2, 4])
def test_tiles_give_what_the_whole_gives(utils: Any, amount: int) -> None:
    picture = torch.rand(2, 3, 40, 56)
    steps: list[int] = []

    class Bar:
        def update(self, value: int) -> None:
            steps.append(value)

    def grow(part: torch.Tensor) -> torch.Tensor:
        return part.repeat_interleave(amount, dim=-1).repeat_interleave(amount, dim=-2)

    whole = grow(picture)
    tiled = utils.tiled_scale(picture, grow, 16, 16, 4, upscale_amount=amount, pbar=Bar())
    assert torch.allclose(tiled, whole, atol=1e-5)
    assert len(steps) == 2 * utils.get_tiled_scale_steps(56, 40, 16, 16, 4)


def test_tiles_shrink_and_have_any_number_of_dimensions(utils: Any) -> None:
    def shrink(part: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool1d(part, 2)

    sound = torch.rand(1, 2, 64)
    tiled = utils.tiled_scale_multidim(sound, shrink, (16,), 4, 2, out_channels=2, downscale=True)
    assert tiled.shape == (1, 2, 32)
    assert torch.allclose(tiled, shrink(sound), atol=0.2)


def test_attributes_at_dotted_paths(utils: Any) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(torch.nn.Linear(2, 3)))
    assert utils.get_attr(model, "1.0.weight").shape == (3, 2)
    before = utils.set_attr_param(model, "1.0.weight", torch.zeros(3, 2))
    assert before.shape == (3, 2)
    assert not utils.get_attr(model, "1.0.weight").any()
    utils.copy_to_param(model, "0.bias", torch.ones(2))
    assert utils.get_attr(model, "0.bias").tolist() == [1, 1]


def test_counts_and_types_of_weights(utils: Any) -> None:
    weights = {"a.x": torch.ones(3, 3).half(), "a.y": torch.ones(2), "b": torch.ones(100)}
    assert utils.calculate_parameters(weights) == 111
    assert utils.calculate_parameters(weights, "a.") == 11
    assert utils.weight_dtype(weights, "a.") == torch.float16
    assert utils.weight_dtype({}) is None
    assert utils.string_to_seed("seed") == utils.string_to_seed(b"seed")
