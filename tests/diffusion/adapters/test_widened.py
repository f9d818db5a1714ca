from __future__ import annotations

import torch

from app.diffusion.adapters.change import Edit, Place, edited
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.low_rank import LowRank
from app.diffusion.adapters.widened import Widened

torch.manual_seed(0)
UP, DOWN = torch.randn(3, 2), torch.randn(2, 7)


def test_the_weight_is_filled_up_with_zeros_and_changed() -> None:
    weight = torch.randn(3, 4)
    made = Widened(LowRank(UP, DOWN), (3, 7)).applied(weight, 0.5)
    assert torch.allclose(made, torch.cat([weight, torch.zeros(3, 3)], dim=1) + 0.5 * UP @ DOWN)


def test_it_fits_what_is_smaller_or_as_large() -> None:
    change = Widened(LowRank(UP, DOWN), (3, 7))
    assert change.fits((3, 4)) and change.fits((3, 7)) and change.fits((2, 1))
    assert not change.fits((3, 8)) and not change.fits((3,))
    assert not Widened(LowRank(UP, DOWN), (3, 6)).fits((3, 4)), "the change itself has another shape"


def test_edits_that_let_it_grow_come_last() -> None:
    weight, place = torch.randn(3, 4), Place("weight")
    grows = Edit(place, Widened(LowRank(UP, DOWN), (3, 7)), 1.0, grows=True)
    plain = Edit(place, Difference(torch.ones(3, 4)), 2.0)
    wanted = torch.cat([weight + 2, torch.zeros(3, 3)], dim=1) + UP @ DOWN
    for edits in ([grows, plain], [plain, grows]):
        assert torch.allclose(edited(weight, edits), wanted)
    twice = edited(weight, [grows, grows])
    assert torch.allclose(twice, torch.cat([weight, torch.zeros(3, 3)], dim=1) + 2 * UP @ DOWN)
