"""Clones, options, wrappers, callbacks and what packs keep with a model."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import nn

from app.extend.facade.bridge import FacadeHost
from app.weights.checkpoint import Checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def patcher(host: FacadeHost) -> Any:
    """A patcher of a network that is nobody's model."""
    kind = importlib.import_module("comfy.model_patcher").ModelPatcher
    return kind(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3)), CPU, CPU)


def function(*_: Any) -> None:
    """Something that a pack would call."""


# Method → where its function lies in the options.
PATCHES = {
    "set_model_attn1_patch": "attn1_patch",
    "set_model_attn2_patch": "attn2_patch",
    "set_model_attn1_output_patch": "attn1_output_patch",
    "set_model_attn2_output_patch": "attn2_output_patch",
    "set_model_input_block_patch": "input_block_patch",
    "set_model_input_block_patch_after_skip": "input_block_patch_after_skip",
    "set_model_output_block_patch": "output_block_patch",
}
FUNCTIONS = {
    "set_model_sampler_calc_cond_batch_function": "sampler_calc_cond_batch_function",
    "set_model_unet_function_wrapper": "model_function_wrapper",
    "set_model_denoise_mask_function": "denoise_mask_function",
    "set_model_sampler_cfg_function": "sampler_cfg_function",
}
LISTS = {
    "set_model_sampler_post_cfg_function": "sampler_post_cfg_function",
    "set_model_sampler_pre_cfg_function": "sampler_pre_cfg_function",
}


@pytest.mark.parametrize(("method", "place"), PATCHES.items())
def test_patches_of_a_place_add_up(patcher: Any, method: str, place: str) -> None:
    getattr(patcher, method)(function)
    getattr(patcher, method)(function)
    assert patcher.model_options["transformer_options"]["patches"] == {place: [function, function]}


@pytest.mark.parametrize(("method", "place"), FUNCTIONS.items())
def test_of_a_function_there_is_one(patcher: Any, method: str, place: str) -> None:
    getattr(patcher, method)(print)
    getattr(patcher, method)(function)
    assert patcher.model_options[place] is function
    assert patcher.changed()


@pytest.mark.parametrize(("method", "place"), LISTS.items())
@pytest.mark.parametrize("both", [False, True])
def test_functions_around_guidance_add_up(patcher: Any, method: str, place: str, both: bool) -> None:
    getattr(patcher, method)(function)
    getattr(patcher, method)(print, disable_cfg1_optimization=both)
    assert patcher.model_options[place] == [function, print]
    assert patcher.model_options.get("disable_cfg1_optimization", False) is both


@pytest.mark.parametrize("name", ["attn1", "attn2"])
@pytest.mark.parametrize(("place", "key"), [(("middle", 0), ("middle", 0)), (("input", 4, 1), ("input", 4, 1))])
def test_a_replacement_knows_its_place(patcher: Any, name: str, place: tuple[Any, ...], key: Any) -> None:
    getattr(patcher, f"set_model_{name}_replace")(function, *place)
    assert patcher.model_options["transformer_options"]["patches_replace"] == {name: {key: function}}


def test_the_strength_of_guidance_may_be_disabled_at_one(patcher: Any) -> None:
    patcher.set_model_sampler_cfg_function(lambda cond, uncond, scale: cond * scale - uncond, True)
    assert patcher.model_options["disable_cfg1_optimization"]
    asked = patcher.model_options["sampler_cfg_function"]
    assert asked({"cond": 3, "uncond": 1, "cond_scale": 2}) == 5


def test_what_a_clone_changes_is_its_own(patcher: Any) -> None:
    patcher.set_model_attn1_patch(function)
    patcher.add_patches({"0.weight": (torch.ones(2, 2),)})
    patcher.set_attachments("kept", 1)
    clone = patcher.clone()
    clone.set_model_attn1_patch(print)
    clone.add_patches({"1.weight": (torch.ones(3, 2),), "nowhere": (torch.ones(1),)})
    clone.set_attachments("more", 2)
    clone.add_wrapper("kind", function)
    clone.add_object_patch("thing", 5)
    assert patcher.model_options["transformer_options"]["patches"]["attn1_patch"] == [function]
    assert set(patcher.patches) == {"0.weight"}
    assert patcher.get_attachment("more") is None
    assert clone.get_attachment("kept") == 1
    assert patcher.get_all_wrappers("kind") == []
    assert patcher.object_patches == {}
    assert (clone.parent, clone.is_clone(patcher)) == (patcher, True)
    assert not clone.clone_has_same_weights(patcher)
    assert patcher.clone().clone_has_same_weights(patcher)


def test_clones_are_told(patcher: Any) -> None:
    extension = importlib.import_module("comfy.patcher_extension")
    heard: list[Any] = []
    patcher.add_callback(extension.CallbacksMP.ON_CLONE, lambda old, new: heard.append((old, new)))
    patcher.add_callback(extension.CallbacksMP.ON_PRE_RUN, lambda model: heard.append("run"))
    patcher.add_callback(extension.CallbacksMP.ON_CLEANUP, lambda model: heard.append("end"))
    clone = patcher.clone()
    clone.pre_run()
    clone.cleanup()
    assert heard == [(patcher, clone), "run", "end"]


@pytest.mark.parametrize("what", ["callback", "wrapper"])
def test_what_has_a_key_can_be_taken_away(patcher: Any, what: str) -> None:
    add, add_keyed = getattr(patcher, f"add_{what}"), getattr(patcher, f"add_{what}_with_key")
    of_key, of_all = getattr(patcher, f"get_{what}s"), getattr(patcher, f"get_all_{what}s")
    add("kind", function)
    add_keyed("kind", "mine", print)
    assert of_key("kind", "mine") == [print]
    assert of_all("kind") == [function, print]
    getattr(patcher, f"remove_{what}s_with_key")("kind", "mine")
    getattr(patcher, f"remove_{what}s_with_key")("other", "mine")
    assert of_all("kind") == [function]
    assert of_key("kind", "mine") == of_all("other") == []


@pytest.mark.parametrize(
    ("put", "get", "take", "nothing"),
    [
        ("set_attachments", "get_attachment", "remove_attachments", None),
        ("set_injections", "get_injections", "remove_injections", None),
    ],
)
def test_what_is_kept_under_a_key(patcher: Any, put: str, get: str, take: str, nothing: Any) -> None:
    getattr(patcher, put)("key", [1])
    assert getattr(patcher, get)("key") == [1]
    getattr(patcher, take)("key")
    getattr(patcher, take)("key")
    assert getattr(patcher, get)("key") is nothing


def test_models_in_its_company(patcher: Any) -> None:
    patcher.set_additional_models("a", [1, 2])
    patcher.set_additional_models("b", [3])
    assert patcher.get_additional_models() == [1, 2, 3]
    assert patcher.get_additional_models_with_key("b") == [3]
    assert patcher.get_additional_models_with_key("none") == []


def test_sizes_places_and_types(patcher: Any) -> None:
    assert patcher.model_size() == patcher.loaded_size() == 4 * (4 + 2 + 6 + 3)
    assert (patcher.current_loaded_device(), patcher.lowvram_patch_counter()) == (CPU, 0)
    assert patcher.model_dtype() is None
    assert patcher.diffusion_network is patcher.model
    assert patcher.detach() is patcher.model
    patcher.load_device = torch.device("meta")
    assert patcher.loaded_size() == 0
    patcher.size = 7
    assert patcher.model_size() == 7


def test_parts_and_weights_by_name(patcher: Any) -> None:
    assert patcher.get_model_object("1.weight").shape == (3, 2)
    patcher.add_object_patch("1.weight", "other")
    assert patcher.get_model_object("1.weight") == "other"
    assert set(patcher.model_state_dict("1.")) == {"1.weight", "1.bias"}
    patcher.add_patches({"0.bias": (torch.ones(2),)}, 0.25)
    (weight, as_it_is), change = patcher.get_key_patches("0.bias")["0.bias"]
    assert as_it_is(weight) is weight
    assert change[0] == 0.25


@pytest.mark.parametrize(
    ("key", "strength", "kept", "expected"),
    [
        ("0.bias", 1.0, 1.0, [2.0, 3.0]),
        ("0.bias", 0.5, 1.0, [1.5, 2.5]),
        ("0.bias", 1.0, 0.0, [1.0, 1.0]),
        (("0.bias", (0, 1, 1)), 1.0, 1.0, [1.0, 3.0]),
        (("0.bias", (0, 0, 1), lambda change: change * 10), 1.0, 1.0, [11.0, 2.0]),
    ],
)
def test_changed_weights(patcher: Any, key: Any, strength: float, kept: float, expected: list[float]) -> None:
    with torch.no_grad():
        patcher.model[0].bias.copy_(torch.tensor([1.0, 2.0]))
    width = 2 if isinstance(key, str) else 1
    assert patcher.add_patches({key: (torch.ones(width),)}, strength, kept) == [key]
    made = patcher.patched_weights()
    assert made["0.bias"].tolist() == expected
    assert patcher.patched_weights() is made, "computed once for each change"
    assert patcher.model[0].bias.tolist() == [1.0, 2.0]


def test_objects_of_patches_move(patcher: Any) -> None:
    class Moving:
        at = "cpu"

        def to(self, device: str) -> Moving:
            moved = Moving()
            moved.at = device
            return moved

    patcher.set_model_attn1_patch(Moving())
    patcher.set_model_attn1_patch(function)
    patcher.model_patches_to("meta")
    moved, same = patcher.model_options["transformer_options"]["patches"]["attn1_patch"]
    assert (moved.at, same) == ("meta", function)


def test_a_patch_of_the_model_itself_is_seen_while_it_works(host: FacadeHost, tiny: Checkpoint) -> None:
    patcher: Any = host.to_pack(tiny.model)
    assert patcher.patch_model() is patcher.model
    assert patcher.unpatch_model() is None
    patcher.add_patches({"diffusion_model.out.2.bias": (torch.ones(4),)})
    patcher.add_object_patch("concat_keys", ("mask",))
    working = patcher.at_work()
    assert working is not patcher.model
    assert (working.concat_keys, patcher.model.concat_keys) == (("mask",), ())
    assert set(working.weights) == {"out.2.bias"}
    assert working.current_patcher is patcher
    assert host.to_pack(host.from_pack(patcher)).patches == patcher.patches


def test_facts_of_a_model(host: FacadeHost, tiny: Checkpoint) -> None:
    base = importlib.import_module("comfy.model_base")
    model: Any = host.to_pack(tiny.model).model
    assert isinstance(model, base.BaseModel)
    assert (model.device, model.get_dtype(), model.model_type) == (CPU, torch.float32, base.ModelType.FLOW)
    assert model.is_adm() is (model.adm_channels > 0)
    assert model.extra_conds() == {}
    assert model.memory_required([2, 4, 8, 8]) == 2 * model.memory_required([1, 4, 8, 8]) > 0
    assert model.model_config.unet_config["in_channels"] == 4
    latent = torch.randn(1, 4, 2, 2)
    assert torch.allclose(model.process_latent_out(model.process_latent_in(latent)), latent, atol=1e-6)
