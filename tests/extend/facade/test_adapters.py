"""Our own nodes and packs change the weights of one model, in either order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.twin import with_edits
from app.diffusion.model import DiffusionModel
from app.extend.facade.bridge import FacadeHost
from app.weights.checkpoint import Checkpoint

NAME = "middle_block.1.transformer_blocks.0.attn1.to_q.weight"
TOWER = "text_model.encoder.layers.0.self_attn.q_proj.weight"


def ours(model: DiffusionModel) -> DiffusionModel:
    shape = model.network.get_parameter(NAME).shape
    return replace(model, network=with_edits(model.network, [Edit(Place(NAME), Difference(torch.full(shape, 0.5)))]))


def of_a_pack(host: FacadeHost, model: Any) -> Any:
    patcher = host.to_pack(model).clone()
    key = f"diffusion_model.{NAME}"
    patcher.add_patches({key: (torch.full(patcher.model_state_dict()[key].shape, 0.25),)})
    return host.from_pack(patcher)


def denoised(model: Any) -> Tensor:
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    context = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(1))
    return model.denoiser()(x, torch.tensor([0.5]), context=context)


@torch.inference_mode()
def test_both_count_in_either_order(host: FacadeHost, tiny: Checkpoint) -> None:
    plain = denoised(tiny.model)
    once = denoised(ours(tiny.model))
    twice = denoised(ours(ours(tiny.model)))
    pack_last, pack_first = of_a_pack(host, ours(tiny.model)), ours(of_a_pack(host, tiny.model))
    assert not torch.equal(once, plain)
    torch.testing.assert_close(denoised(pack_last), denoised(pack_first))
    both_twice = of_a_pack(host, of_a_pack(host, ours(tiny.model)))
    torch.testing.assert_close(denoised(both_twice), twice)
    assert torch.equal(denoised(tiny.model), plain)


@torch.inference_mode()
def test_packs_see_weights_as_our_adapters_made_them(host: FacadeHost, tiny: Checkpoint) -> None:
    before = tiny.model.network.get_parameter(NAME)
    patcher = host.to_pack(ours(tiny.model))
    assert torch.equal(patcher.model.diffusion_model.get_parameter(NAME), before + 0.5)
    again = host.to_pack(ours(of_a_pack(host, tiny.model)))
    torch.testing.assert_close(again.patched_weights()[NAME], before + 0.75)


@torch.inference_mode()
def test_text_encoders_too(host: FacadeHost, tiny: Checkpoint) -> None:
    clip: Any = tiny.clip
    edit = Edit(Place(TOWER), Difference(torch.arange(256.0).reshape(16, 16) / 50))

    def with_ours(encoder: Any) -> Any:
        return encoder.with_towers({name: with_edits(tower, [edit]) for name, tower in encoder.towers.items()})

    packed = host.to_pack(clip).clone()
    packed.add_patches({TOWER: (torch.arange(256.0).reshape(16, 16) / 100,)})
    theirs = host.from_pack(packed)
    both = with_ours(theirs).encode("red").context
    assert not torch.allclose(both, theirs.encode("red").context)
    assert not torch.allclose(both, with_ours(clip).encode("red").context)
    last = host.to_pack(with_ours(clip)).clone()
    last.add_patches({TOWER: (torch.arange(256.0).reshape(16, 16) / 100,)})
    torch.testing.assert_close(host.from_pack(last).encode("red").context, both)
