from __future__ import annotations

import torch

from app.diffusion.guidance.compose import weighted_answers
from app.diffusion.guidance.conditions import Area, Condition
from app.diffusion.guidance.windows import common, windows

SAID = {"context": torch.zeros(1, 1, 1)}
SIGMA = torch.tensor(1.0)


def test_small_pictures_are_asked_whole():
    said = [Condition(SAID)]
    assert windows(16, 4)(said, torch.zeros(1, 4, 16, 12)) == said


def test_windows_cover_the_picture_and_no_more():
    parts = windows(8, 4)([Condition(SAID)], torch.zeros(1, 4, 20, 11))
    covered = torch.zeros(20, 11)
    for part in parts:
        assert part.area is not None
        assert (part.area.height, part.area.width) == (8, 8)
        seen = part.area.of(covered)
        seen += 1
    assert covered.min() >= 1
    assert len(parts) == 4 * 2


def test_areas_are_cut_to_the_windows():
    area = Area(6, 6, 6, 6)
    assert common(area, Area(8, 8, 0, 0)) == Area(2, 2, 6, 6)
    assert common(area, Area(4, 4, 0, 0)) is None
    assert common(None, Area(8, 8, 0, 0)) == Area(8, 8, 0, 0)
    parts = windows(8, 0)([Condition(SAID, area=area)], torch.zeros(1, 4, 16, 16))
    assert [part.area for part in parts] == [Area(2, 2, 6, 6), Area(2, 4, 6, 8), Area(4, 2, 8, 6), Area(4, 4, 8, 8)]


def test_a_network_that_sees_each_place_alone_gives_the_same_in_windows():
    x = torch.randn(2, 4, 21, 33, generator=torch.Generator().manual_seed(0))
    whole, sizes = [Condition(SAID)], []

    def network(x, sigma, *, context):
        sizes.append(x.shape[-2:])
        return 2 * x + 1

    parts = windows(16, 8)(whole, x)
    assert torch.allclose(weighted_answers(network, [parts], x, SIGMA)[0], 2 * x + 1, atol=1e-5)
    assert set(sizes) == {(16, 16)}
