from __future__ import annotations

import pytest
import torch

from app.diffusion.denoiser import SplitDenoiser
from app.diffusion.guidance.compose import Prepared, guided_denoiser, sided_denoiser, weighted_answers
from app.diffusion.guidance.conditions import Area, Condition
from app.diffusion.guidance.hooks import Answers, GuidanceHooks
from app.diffusion.models.hooks import NetworkHooks, Place
from app.diffusion.parameterization import denoiser_of, discrete
from app.errors import InvalidRequest, OutOfMemory

X = torch.zeros(1, 4, 16, 16)
SIGMA = torch.tensor(1.0)


class Network:
    """Answers its context's mean; remembers the shapes of its calls."""

    def __init__(self, most: int = 99, error: Exception | None = None):
        self.calls, self.most = [], most
        self.error = error or OutOfMemory("too many")

    def __call__(self, x, sigma, *, context, **extra):
        self.calls.append((tuple(x.shape), tuple(context.shape), extra))
        if len(x) > self.most:
            raise self.error
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


def test_too_little_main_memory_splits_the_batch_and_other_errors_do_not():
    network = Network(1, RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    result = weighted_answers(network, [[says(1.0)], [says(2.0)]], X, SIGMA)
    assert [r.mean().item() for r in result] == [1.0, 2.0]
    network = Network(1, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes"):
        weighted_answers(network, [[says(1.0)], [says(2.0)]], X, SIGMA)
    assert len(network.calls) == 1


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


def hooked(scale: float, hooks: GuidanceHooks, network: Network | None = None, **more):
    return guided_denoiser(network or Network(), [says(1.0)], [says(0.25)], scale, hooks=hooks, **more)(X, SIGMA)


def test_hooks_act_in_order():
    seen = []

    def before(found: Answers) -> Answers:
        seen.append("before")
        return found.changed(positive=found.positive + 1)

    def combine(found: Answers):
        seen.append("combine")
        return found.positive * 10 + found.negative

    def after(guided, found: Answers):
        seen.append("after")
        return guided + found.scale

    hooks = GuidanceHooks().with_hook(before=before, combine=combine, after=after)
    assert torch.allclose(hooked(0.5, hooks), X + 20.75)
    assert seen == ["before", "combine", "after"]


def test_a_scale_of_one_asks_the_negative_side_only_where_a_hook_needs_it():
    halved = GuidanceHooks(combine=lambda found: found.negative / 2)
    assert torch.allclose(hooked(1.0, halved), X + 1)
    assert torch.allclose(hooked(1.0, halved.with_hook(needs_negative=True)), X + 0.125)


def test_hooks_ask_again_with_either_side_or_with_further_conditioning():
    asked = []

    def after(guided, found: Answers):
        further = found.ask([[torch.full((1, 4, 2), 7.0), {}]], found.x)
        asked.append((found.ask("positive", found.x), found.ask("negative", found.x), further))
        return guided

    def resolve(entries):
        return [Condition({"context": features}) for features, _ in entries]

    hooked(2.0, GuidanceHooks(after=(after,)), resolve=resolve)
    assert [answer.mean().item() for answer in asked[0]] == [1.0, 0.25, 7.0]
    with pytest.raises(InvalidRequest, match="further conditioning"):
        hooked(2.0, GuidanceHooks(after=(after,)))


def test_what_changes_the_network_reaches_it_and_the_negative_side_apart():
    network = Network()
    left_out = NetworkHooks(left_out=frozenset({Place("joint", 7)}))
    hooks = GuidanceHooks().with_hook(negative_network=lambda sigma: left_out if sigma > 0.5 else NetworkHooks())
    hooked(3.0, hooks, network)
    assert [(call[0][0], call[2]) for call in network.calls] == [(1, {}), (1, {"hooks": left_out})]
    network.calls.clear()
    guided_denoiser(network, [says(1.0)], [says(0.25)], 3.0, hooks=hooks)(X, SIGMA / 4)
    assert [(call[0][0], call[2]) for call in network.calls] == [(2, {})]
    both = GuidanceHooks().with_hook(network=lambda sigma: left_out)
    network.calls.clear()
    hooked(3.0, both, network)
    assert [(call[0][0], call[2]) for call in network.calls] == [(2, {"hooks": left_out})]


def test_any_number_of_sides_are_guided_by_a_formula():
    sides = [[says(1.0)], [says(2.0)], [says(4.0)]]
    network = Network()
    guided = sided_denoiser(network, sides, lambda said: said[0] + 10 * said[1] + 100 * said[2])
    assert torch.allclose(guided(X, SIGMA), X + 421)
    assert len(network.calls) == 1
    assert isinstance(guided, SplitDenoiser)
    assert torch.allclose(guided.split(X, SIGMA)[1], X + 4)


def test_conditions_are_prepared_once_in_a_run():
    seen = []

    def network(x, timestep, /, **said):
        seen.append(said["context"])
        return x * 0

    guided = guided_denoiser(denoiser_of(network, discrete(), torch.bfloat16), [says(1.0)], [says(0.25)], 3.0)
    for sigma in (3.0, 2.0, 1.0):
        guided(X, torch.tensor(sigma))
    assert seen[0].dtype == torch.bfloat16
    assert seen[0][:, 0, 0].tolist() == [1.0, 0.25]
    assert seen[0] is seen[1] is seen[2]
    guided(torch.cat([X, X]), SIGMA)
    assert seen[3][:, 0, 0].tolist() == [1.0, 1.0, 0.25, 0.25]


def test_areas_and_sizes_are_prepared_apart():
    shapes = []

    def network(x, sigma, *, concat):
        shapes.append(concat.shape[-2:])
        assert concat.shape[-2:] == x.shape[-2:]
        return x * 0

    concat = {"concat": torch.zeros(1, 1, 16, 16)}
    sides = [[Condition(concat), Condition(concat, area=Area(8, 8, 0, 0)), Condition(concat, area=Area(8, 4, 8, 4))]]
    kept = Prepared()
    for _ in range(2):
        weighted_answers(network, sides, X, SIGMA, kept)
    assert shapes == [(16, 16), (8, 8), (8, 4)] * 2


def test_what_adds_to_the_arguments_knows_the_network_that_is_asked():
    class Other:
        def at(self, sigma: float) -> str:
            return f"the network at {sigma}"

    told = []

    def adjust(x, sigma, arguments):
        told.append(dict(arguments))
        return {"more": len(arguments)}

    network = Network()
    one(network, [says(1.0, adjust=adjust, variant=Other()), says(2.0, adjust=adjust)])
    assert [said.get("network") for said in told] == ["the network at 1.0", None]
    assert [call[2] for call in network.calls] == [{"more": 2, "network": "the network at 1.0"}, {"more": 1}]
