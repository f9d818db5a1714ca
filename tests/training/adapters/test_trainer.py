"""Training for real, on the tiny model: losses fall, what was learnt is what is handed out, and seeds repeat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from app.diffusion.model import DiffusionModel
from app.errors import InvalidRequest
from app.training.adapters.objective import LOSSES
from app.training.adapters.outcome import adapted
from app.training.adapters.start import earlier_training
from app.training.adapters.trainer import OPTIMISERS, AdapterRecipe, AdapterTraining
from app.weights.adapters.adapter import load_adapter
from app.weights.checkpoint import Checkpoint
from tests.training.adapters.support import examples, latents, said

RECIPE = AdapterRecipe(steps=16, batch=4, rate=0.03, seed=7, dtype=torch.float32, recompute=False)
BRIEF = replace(RECIPE, steps=3, batch=1)


def trained(tiny: Checkpoint, recipe: AdapterRecipe, count: int = 1) -> tuple[AdapterTraining, list[float]]:
    training = AdapterTraining(tiny.model, examples(tiny, count), recipe)
    return training, [step.loss for step in training.steps()]


def answer(tiny: Checkpoint, model: DiffusionModel) -> Tensor:
    """What a model makes of pure noise."""
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        return model.denoiser()(x, torch.tensor(0.9), context=said(tiny)[0][0])


@pytest.mark.parametrize(
    ("algorithm", "rate", "share"), [("LoRA", 0.03, 0.6), ("LoHa", 0.03, 0.8), ("LoKr", 0.03, 0.9), ("OFT", 0.1, 0.97)]
)
def test_the_loss_falls_and_the_answer_comes_nearer(
    tiny: Checkpoint, algorithm: str, rate: float, share: float
) -> None:
    training, losses = trained(tiny, replace(RECIPE, algorithm=algorithm, rate=rate, steps=24))
    assert sum(losses[-6:]) < share * sum(losses[:6])
    wanted = tiny.model.latent.to_model(latents()["samples"])
    before, after = (
        float((answer(tiny, model) - wanted).square().mean())
        for model in (tiny.model, adapted(tiny.model, training.tensors(), 1.0))
    )
    assert after < before


def test_the_adapter_that_is_handed_out_is_what_was_trained(tiny: Checkpoint) -> None:
    training, _ = trained(tiny, RECIPE)
    model = adapted(tiny.model, training.tensors(), 1.0)
    given = torch.randn(1, 4, 4, 4), torch.tensor([0.5]), said(tiny)[0][0]
    with torch.no_grad():
        beside, inside, plain = (net(*given) for net in (training.network, model.network, tiny.model.network))
    assert float((beside - inside).norm() / inside.norm()) < 1e-3
    assert float((beside - plain).norm() / inside.norm()) > 0.1


def test_the_model_stays_as_it_was(tiny: Checkpoint) -> None:
    before = {name: value.clone() for name, value in tiny.model.network.state_dict().items()}
    earlier = answer(tiny, tiny.model)
    trained(tiny, replace(BRIEF, recompute=True, dtype=torch.bfloat16))
    assert all(torch.equal(value, before[name]) for name, value in tiny.model.network.state_dict().items())
    assert torch.equal(answer(tiny, tiny.model), earlier)
    assert not any(
        parameter.requires_grad for parameter in tiny.model.network.parameters() if parameter.grad is not None
    )


def test_a_seed_gives_one_adapter_and_chance_elsewhere_does_not_matter(tiny: Checkpoint) -> None:
    first, losses = trained(tiny, BRIEF)
    torch.manual_seed(99)
    again, repeated = trained(tiny, BRIEF)
    other, _ = trained(tiny, replace(BRIEF, seed=8))
    assert losses == repeated
    assert all(torch.equal(again.tensors()[name], tensor) for name, tensor in first.tensors().items())
    assert not all(torch.equal(other.tensors()[name], tensor) for name, tensor in first.tensors().items())


def test_recomputing_changes_nothing(tiny: Checkpoint) -> None:
    plain, losses = trained(tiny, BRIEF)
    recomputed, same = trained(tiny, replace(BRIEF, recompute=True))
    assert same == pytest.approx(losses, rel=1e-4)
    for name, tensor in plain.tensors().items():
        torch.testing.assert_close(recomputed.tensors()[name], tensor, rtol=1e-2, atol=1e-3)


def test_batches_that_are_accumulated_count_as_one(tiny: Checkpoint) -> None:
    """The first step of SGD is the mean gradient times the rate, so that it does not grow with what is seen."""
    once, _ = trained(tiny, replace(RECIPE, steps=1, batch=64, optimiser="SGD"))
    parts, _ = trained(tiny, replace(RECIPE, steps=1, batch=16, accumulate=4, optimiser="SGD"))
    first, second = (training.tensors()["diffusion_model.out.2.lora_up.weight"] for training in (once, parts))
    assert float(second.norm() / first.norm()) == pytest.approx(1, abs=0.35)
    assert float(torch.cosine_similarity(first.flatten(), second.flatten(), dim=0)) > 0.8


@pytest.mark.parametrize(("optimiser", "loss"), list(zip(OPTIMISERS, LOSSES, strict=True)))
def test_every_optimiser_moves_what_it_trains(tiny: Checkpoint, optimiser: str, loss: str) -> None:
    training, losses = trained(tiny, replace(BRIEF, steps=1, optimiser=optimiser, loss=loss))
    assert losses[0] > 0
    assert training.tensors()["diffusion_model.out.2.lora_up.weight"].any()


def test_each_picture_is_seen_as_often_as_the_others(tiny: Checkpoint) -> None:
    training = AdapterTraining(tiny.model, examples(tiny, 3), BRIEF)
    seen = [training._next(2) for _ in range(6)]  # pyright: ignore[reportPrivateUsage]
    colours = [round(float(example.latent[0, 3, 0, 0]), 3) for pair in seen for example in pair]
    assert sorted(colours.count(colour) for colour in set(colours)) == [4, 4, 4]
    assert sorted(colours[:3]) == sorted(colours[3:6])


def test_pictures_with_descriptions_of_their_own_are_learnt_together(tiny: Checkpoint) -> None:
    _, losses = trained(tiny, replace(BRIEF, batch=5), count=2)
    assert len(losses) == 3
    assert all(loss > 0 for loss in losses)


def test_it_trains_where_a_run_wants_no_gradients(tiny: Checkpoint) -> None:
    with torch.inference_mode():
        training = AdapterTraining(tiny.model, examples(tiny), BRIEF)
        for step in training.steps():
            assert torch.is_inference_mode_enabled()
            assert step.loss > 0
        model = adapted(tiny.model, training.tensors(torch.bfloat16), 1.0)
        assert answer(tiny, model).isfinite().all()


def test_training_goes_on_from_a_file(tiny: Checkpoint, tmp_path: Path) -> None:
    first, losses = trained(tiny, RECIPE)
    save_file(first.tensors(), tmp_path / "first.safetensors")
    earlier = earlier_training(load_adapter(tmp_path / "first.safetensors"), tiny.model)
    further = AdapterTraining(tiny.model, examples(tiny), replace(RECIPE, rank=3, seed=8), earlier)
    assert further.tensors().keys() == first.tensors().keys()
    assert all(torch.equal(tensor, first.tensors()[name]) for name, tensor in further.tensors().items())
    more = [step.loss for step in further.steps()]
    assert sum(more[:4]) < sum(losses[:4])
    assert sum(more) < sum(losses)


def test_a_loss_that_is_no_number_ends_the_training_and_says_what_to_do(tiny: Checkpoint) -> None:
    with pytest.raises(InvalidRequest, match="is no number") as told:
        trained(tiny, replace(RECIPE, rate=1e30, optimiser="SGD"))
    assert "learning_rate" in told.value.remedy
    assert told.value.input_name == "learning_rate"


def test_stopping_leaves_what_was_learnt_so_far(tiny: Checkpoint) -> None:
    training = AdapterTraining(tiny.model, examples(tiny), RECIPE)
    steps = training.steps()
    assert [next(steps).number, next(steps).number] == [1, 2]
    steps.close()
    whole, _ = trained(tiny, replace(RECIPE, steps=2))
    name = "diffusion_model.out.2.lora_up.weight"
    assert torch.equal(training.tensors()[name], whole.tensors()[name])
