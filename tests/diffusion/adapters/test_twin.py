from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from app.diffusion.adapters.change import Edit, Place, edited
from app.diffusion.adapters.full import Difference, Replacement
from app.diffusion.adapters.low_rank import LowRank
from app.diffusion.adapters.twin import edits_of, origin_of, settle, value_of, with_edits
from app.diffusion.models.unet import UNet, UNetConfig


def network(dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.SiLU(), nn.Linear(6, 3)).to(dtype).requires_grad_(False)


def low_rank(out: int, inputs: int) -> LowRank:
    return LowRank(torch.randn(out, 2), torch.randn(2, inputs), alpha=1.0)


def bytes_of(module: nn.Module) -> list[bytes]:
    return [value.numpy().tobytes() for value in module.state_dict().values()]


def test_a_twin_changes_nothing_of_its_origin() -> None:
    plain = network()
    before, x = bytes_of(plain), torch.randn(2, 4)
    said = plain(x)
    change = low_rank(6, 4)
    twin = with_edits(plain, [Edit(Place("0.weight"), change, 0.5)])
    expected = plain[2](
        plain[1](nn.functional.linear(x, plain[0].weight + 0.5 * change.delta(plain[0].weight), plain[0].bias))
    )
    assert torch.equal(twin(x), expected)
    assert bytes_of(plain) == before
    assert torch.equal(plain(x), said)
    assert origin_of(twin) is plain


def test_only_what_is_edited_gets_memory_of_its_own_and_only_when_it_is_used() -> None:
    plain = network()
    twin = with_edits(plain, [Edit(Place("0.weight"), low_rank(6, 4))])
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(plain.parameters(), twin.parameters(), strict=True))
    twin(torch.randn(1, 4))
    apart = [
        name for name, value in twin.named_parameters() if value.data_ptr() != plain.get_parameter(name).data_ptr()
    ]
    assert apart == ["0.weight"]


def test_saving_a_twin_saves_the_edited_weights() -> None:
    plain = network()
    twin = with_edits(plain, [Edit(Place("2.bias"), Replacement(torch.ones(3)))])
    assert torch.equal(twin.state_dict()["2.bias"], torch.ones(3))


def test_edits_stack_in_order_from_the_first_network_on() -> None:
    plain = network(torch.bfloat16)
    first, second = low_rank(6, 4), low_rank(6, 4)
    once = with_edits(plain, [Edit(Place("0.weight"), first)])
    once(torch.randn(1, 4, dtype=torch.bfloat16))  # what it has been used for must not matter
    twice = with_edits(once, [Edit(Place("0.weight"), second, -2.0)])
    weight = plain[0].weight.float()
    expected = (weight + first.delta(weight) - 2.0 * second.delta(weight)).bfloat16()  # rounded once
    assert torch.equal(twice.state_dict()["0.weight"], expected)
    assert origin_of(twice) is plain
    replaced = with_edits(twice, [Edit(Place("0.weight"), Replacement(torch.zeros(6, 4)))])
    assert not replaced.state_dict()["0.weight"].any()


def test_nothing_to_edit_is_the_network_itself() -> None:
    plain = network()
    assert with_edits(plain, []) is plain
    assert with_edits(plain, [Edit(Place("0.weight"), low_rank(6, 4), 0.0)]) is plain
    settle(plain)
    assert edits_of(plain) is None


def test_the_second_use_costs_nothing() -> None:
    calls: list[float] = []

    class Counted(Difference):
        def applied(self, weight: Tensor, strength: float) -> Tensor:
            calls.append(strength)
            return super().applied(weight, strength)

    twin = with_edits(network(), [Edit(Place("0.weight"), Counted(torch.ones(6, 4)))])
    for _ in range(3):
        twin(torch.randn(1, 4))
    twin.state_dict()
    assert calls == [1.0]


def test_one_value_is_told_without_the_others() -> None:
    plain = network()
    twin = with_edits(plain, [Edit(Place("0.weight"), Difference(torch.ones(6, 4)), 2.0)])
    assert torch.equal(value_of(twin, "0.weight"), plain[0].weight + 2.0)
    assert twin.get_parameter("0.weight").data_ptr() == plain[0].weight.data_ptr()
    settle(twin)
    assert torch.equal(value_of(twin, "0.weight"), plain[0].weight + 2.0)


def test_it_works_where_gradients_are_off_for_good() -> None:
    plain = network()
    with torch.inference_mode():
        twin = with_edits(plain, [Edit(Place("0.weight"), Difference(torch.ones(6, 4)))])
        twin(torch.randn(1, 4))
    twin(torch.randn(1, 4, requires_grad=True)).sum().backward()


def test_a_unet_of_its_own_kind_with_what_others_keep_left_behind() -> None:
    config = UNetConfig(
        model_channels=16, channel_mult=(1,), num_res_blocks=1, transformer_depth=(1,), heads=2, groups=8
    )
    plain = UNet(config).requires_grad_(False)
    plain.__dict__["_for_packs"] = object()
    name = "input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
    twin = with_edits(plain, [Edit(Place(name), Difference(torch.ones(16, 16)))])
    assert isinstance(twin, UNet)
    assert twin.config is plain.config
    assert "_for_packs" not in twin.__dict__
    assert twin.input_blocks is not plain.input_blocks
    assert list(twin.state_dict()) == list(plain.state_dict())


def test_modules_that_are_there_twice_stay_one() -> None:
    shared = nn.Linear(3, 3)
    twin: Any = with_edits(nn.Sequential(shared, shared), [Edit(Place("0.weight"), Replacement(torch.eye(3)))])
    assert twin[0] is twin[1]
    assert torch.equal(twin.state_dict()["1.weight"], torch.eye(3))


def test_parts_of_a_weight() -> None:
    weight = torch.arange(12.0).reshape(6, 2)
    place = Place("w", rows=(2, 2))
    assert place.shape((6, 2)) == (2, 2)
    changed = edited(weight, [Edit(place, Difference(torch.full((2, 2), 100.0)))])
    assert torch.equal(changed - weight, torch.tensor([0.0, 0, 100, 100, 0, 0])[:, None].expand(6, 2))
    upper = torch.cat([torch.ones(3, 2), torch.zeros(3, 2)])
    changed = edited(weight, [Edit(Place("w", halves_swapped=True), Difference(upper))])
    assert torch.equal(changed - weight, torch.cat([torch.zeros(3, 2), torch.ones(3, 2)]))
