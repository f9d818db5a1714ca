from __future__ import annotations

import pytest
import torch

from app.diffusion.conditioning.entries import appended, averaged, concatenated, conditioning_of, with_options, zeroed
from app.diffusion.conditioning.text_encoder import Encoded
from app.errors import InvalidRequest


def entry(value: float, length: int = 3, width: int = 2, **said: object) -> list[object]:
    return [torch.full((1, length, width), value), said]


def test_what_an_encoder_says_becomes_one_entry() -> None:
    ((features, said),) = conditioning_of(Encoded(torch.ones(1, 3, 2), torch.ones(1, 2)))
    assert features.shape == (1, 3, 2)
    assert said["pooled_output"].shape == (1, 2)


def test_options_replace_and_keep_and_do_not_reach_back() -> None:
    given = [entry(1, strength=1.0, note="mine")]
    ((_, said),) = with_options(given, strength=2.0)
    assert said == {"strength": 2.0, "note": "mine"}
    assert given[0][1] == {"strength": 1.0, "note": "mine"}


def test_concatenating_takes_the_first_entry_of_the_second() -> None:
    joined = concatenated([entry(1), entry(2, length=4)], [entry(3, length=5), entry(4)])
    assert [features.shape[1] for features, _ in joined] == [8, 9]
    assert bool((joined[0][0][:, 3:] == 3).all())


@pytest.mark.parametrize(
    ("length", "wanted"), [(3, [0.75, 0.75, 0.75]), (2, [0.75, 0.75, 0.25]), (5, [0.75, 0.75, 0.75])]
)
def test_averaging_fills_up_with_zeros(length: int, wanted: list[float]) -> None:
    ((features, _),) = averaged([entry(1)], [entry(2 / 3, length=length)], 0.25)
    assert torch.allclose(features[0, :, 0], torch.tensor(wanted))


def test_averaging_mixes_the_pooled_ones_too() -> None:
    first = [entry(1, pooled_output=torch.zeros(1, 2))]
    second = [entry(1, pooled_output=torch.ones(1, 2))]
    assert torch.allclose(averaged(first, second, 0.75)[0][1]["pooled_output"], torch.tensor(0.25))
    assert torch.equal(averaged([entry(1)], second, 0.75)[0][1]["pooled_output"], torch.ones(1, 2))


def test_silence_keeps_the_shape() -> None:
    ((features, said),) = zeroed([entry(1, pooled_output=torch.ones(1, 2), area=(1, 2, 3, 4))])
    assert not features.any()
    assert not said["pooled_output"].any()
    assert said["area"] == (1, 2, 3, 4)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(InvalidRequest, match="width 2 and 4"):
        concatenated([entry(1)], [entry(1, width=4)])
    with pytest.raises(InvalidRequest, match="empty"):
        averaged([entry(1)], [], 0.5)


def test_a_value_more_in_a_list_does_not_reach_back() -> None:
    once = appended([entry(1)], "seen", "a")
    twice = appended(once, "seen", "b")
    assert (once[0][1]["seen"], twice[0][1]["seen"]) == (["a"], ["a", "b"])
