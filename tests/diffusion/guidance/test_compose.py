from __future__ import annotations

import pytest
import torch

from app.diffusion.denoiser import SplitDenoiser
from app.diffusion.guidance.compose import GuidanceHooks, guided_denoiser, weighted_answers
from app.diffusion.guidance.conditions import Area, Condition
from app.errors import OutOfMemory

X = torch.zeros(1, 4, 16, 16)
SIGMA = torch.tensor(1.0)


class Network:
    """Answers its context's mean; remembers the shapes of its calls."""

    def __init__(self, most: int = 99):
        self.calls, self.most = [], most

    def __call__(self, x, sigma, *, context, **extra):
        self.calls.append((tuple(x.shape), tuple(context.shape), extra))
        if len(x) > self.most:
            raise OutOfMemory("too many")
        return torch.zeros_like(x) + context.mean(dim=(1, 2)).reshape(-1, 1, 1, 1)


def says(value: float, tokens: int = 4, **options) -> Condition:
    return Condition({"context": torch.full((1, tokens, 2), value)}, **options)


def one(network, conditions, x=X, sigma=SIGMA):
    return weighted_answers(network, [conditions], x, sigma)[0]


def test_both_sides_share_a_call():
    network = Network()
    guided = guided_denoiser(network, [says(1.0)], [says(0.25)], 3.0)
    assert torch.allclose(guided(X, SIGMA), X + 0.25 + 3 * 0.75)
    assert len(network.calls) == 1
    assert isinstance(guided, SplitDenoiser)
    assert torch.allclose(guided.split(X, SIGMA)[1], X + 0.25)


def test_scale_one_asks_one_side_unless_the_other_is_needed():
    network = Network()
    assert torch.allclose(guided_denoiser(network, [says(1.0)], [says(0.0)], 1.0)(X, SIGMA), X + 1)
    assert network.calls[0][0][0] == 1
    guided_denoiser(network, [says(1.0)], [says(0.0)], 1.0, keep_unconditional=True)(X, SIGMA)
    assert network.calls[1][0][0] == 2


def test_answers_are_averaged_by_strength():
    assert torch.allclose(one(Network(), [says(1.0, strength=3.0), says(5.0)]), X + 2.0)


def test_masks_divide_the_picture():
    left = torch.zeros(1, 1, 16, 16)
    left[..., :8] = 1
    result = one(Network(), [says(1.0, mask=left), says(2.0, mask=1 - left)])
    assert result[..., :8].unique().tolist() == [1.0]
    assert result[..., 8:].unique().tolist() == [2.0]


def test_areas_are_answered_from_their_part_only():
    network = Network()
    result = one(network, [says(0.0), says(1.0, area=Area(8, 8, 8, 8))])
    assert {call[0] for call in network.calls} == {(1, 4, 16, 16), (1, 4, 8, 8)}
    assert result[0, 0, 0, 0] == 0
    assert result[0, 0, -1, -1] == 0.5
    assert 0 < result[0, 0, 8, -1] < 0.5


def test_what_nothing_covers_is_zero():
    assert not one(Network(), [says(1.0, sigma_start=0.5)]).any()
    assert not one(Network(), []).any()


def test_defaults_fill_what_is_left():
    left = torch.zeros(1, 1, 16, 16)
    left[..., :8] = 1
    result = one(Network(), [says(9.0, is_default=True), says(1.0, mask=left)])
    assert result[..., :8].unique().tolist() == [1.0]
    assert result[..., 8:].unique().tolist() == [9.0]


def test_prompts_of_different_lengths_are_repeated_to_a_common_one():
    network = Network()
    result = weighted_answers(network, [[says(1.0, 4)], [says(3.0, 8)]], X, SIGMA)
    assert [call[1] for call in network.calls] == [(2, 8, 2)]
    assert [r.mean().item() for r in result] == [1.0, 3.0]


def test_very_different_lengths_run_apart():
    network = Network()
    weighted_answers(network, [[says(1.0, 4)], [says(3.0, 77)]], X, SIGMA)
    assert [call[1][1] for call in network.calls] == [4, 77]


def test_three_lengths_that_only_pairs_share_still_get_their_own_answers():
    values = [[says(1.0, 4)], [says(2.0, 12)], [says(3.0, 10)], [says(4.0, 16)]]
    result = weighted_answers(Network(), values, X, SIGMA)
    assert [r.mean().item() for r in result] == pytest.approx([1.0, 2.0, 3.0, 4.0])


def test_too_little_memory_splits_the_batch():
    network = Network(most=1)
    result = weighted_answers(network, [[says(1.0)], [says(2.0)], [says(3.0)]], X, SIGMA)
    assert [r.mean().item() for r in result] == [1.0, 2.0, 3.0]
    assert [call[0][0] for call in network.calls] == [3, 1, 2, 1, 1]
    with pytest.raises(OutOfMemory):
        one(Network(most=0), [says(1.0)])


def test_an_adjustment_adds_arguments_for_those_who_share_it():
    network = Network()

    def control(x, sigma, arguments):
        return {"control": [x.shape[0], arguments["context"].shape[0]]}

    weighted_answers(network, [[says(1.0, adjust=control)], [says(2.0, adjust=control), says(3.0)]], X, SIGMA)
    assert [call[2] for call in network.calls] == [{"control": [2, 2]}, {}]


def test_batches_keep_their_prompts():
    both = Condition({"context": torch.tensor([1.0, 2.0]).reshape(2, 1, 1).expand(2, 4, 2)})
    result = one(Network(), [both], torch.zeros(4, 4, 8, 8))
    assert result[:, 0, 0, 0].tolist() == [1.0, 2.0, 1.0, 2.0]


def test_hooks_act_in_order():
    seen = []

    def before(answers, x, sigma):
        seen.append("before")
        return answers[0] + 1, answers[1]

    def combine(yes, no, x, sigma):
        seen.append("combine")
        return yes * 10 + no

    def after(guided, yes, no, x, sigma):
        seen.append("after")
        return guided + 0.5

    hooks = GuidanceHooks((before,), combine, (after,))
    result = guided_denoiser(Network(), [says(1.0)], [says(0.25)], 1.0, hooks=hooks)(X, SIGMA)
    assert seen == ["before", "combine", "after"]
    assert torch.allclose(result, X + 20.75)
