from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from app.api import Conditioning, SamplerPort, node
from app.diffusion.drawing import SamplerChoice
from app.diffusion.guidance import Guided
from app.diffusion.parameterization.model_sampling import discrete, flow
from app.diffusion.samplers.catalogue import SamplerSpec, sampler_named
from app.diffusion.samplers.euler import euler
from app.diffusion.samplers.plms import plms, with_options
from app.diffusion.samplers.score import Score, corrected, modifying
from app.diffusion.sampling import sample
from app.errors import InvalidRequest
from app.settings import Settings
from app.wiring import Workshop
from tests.nodes.conftest import Bench

SAMPLING = discrete()
LEVELS = torch.tensor([4.0, 2.0, 1.0, 0.0])
X = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))


def drawn(spec: SamplerSpec, denoise: Any = lambda x, sigma: x / 3, sampling: Any = SAMPLING) -> Any:
    *_, step = sample(denoise, X, X * 0, LEVELS, spec, sampling)
    return step


def test_a_corrector_is_told_all_that_is_known_and_has_the_last_word() -> None:
    told: list[Score] = []

    def correct(score: Score) -> Tensor:
        told.append(score)
        return score.noise * 0

    said = [[torch.zeros(1, 7, 8), {}]]
    step = drawn(corrected(sampler_named("euler"), correct, said))
    assert torch.allclose(step.x, told[0].x), "without noise x is clean at once"
    assert [score.sigma.item() for score in told] == [4.0, 2.0, 1.0]
    first = told[0]
    assert torch.allclose(first.noise, first.x * (1 - 1 / 3) / 4.0)
    assert torch.equal(first.timestep, SAMPLING.timestep(LEVELS[0]))
    assert torch.allclose(first.shown, first.x / 17**0.5)
    assert first.conditioning is said
    assert torch.equal(first.denoise(first.x, first.sigma), first.x / 3)


@pytest.mark.parametrize("sampler", [euler, plms])
def test_the_answers_pass_the_codebook_after_the_corrector(sampler: Any) -> None:
    spec = SamplerSpec("quantised", with_options(sampler, quantise=torch.round))
    step = drawn(corrected(spec, lambda score: score.noise / 2))
    assert torch.equal(step.denoised, step.denoised.round())
    assert not torch.equal(step.x, drawn(spec).x)


def test_correctors_may_follow_each_other_and_options_of_the_sampler_stay() -> None:
    seen: list[str] = []

    def named(name: str) -> Any:
        return lambda score: (seen.append(name), score.noise)[1]

    spec = sampler_named("sa_solver")  # it has options that depend on the model
    twice = corrected(corrected(spec, named("second")), named("first"))
    assert torch.allclose(drawn(twice).x, drawn(spec).x, atol=1e-4)
    assert seen[:2] == ["first", "second"]


def test_what_is_said_without_the_prompt_is_not_corrected() -> None:
    guided = Guided(lambda x, s: (x / 3, x / 4), lambda yes, no, x, s: yes)
    halved = drawn(corrected(sampler_named("euler_cfg_pp"), lambda score: score.noise / 2), guided)
    by_hand = Guided(lambda x, s: (x - (x - x / 3) / 2, x / 4), lambda yes, no, x, s: yes)
    assert torch.allclose(halved.x, drawn(sampler_named("euler_cfg_pp"), by_hand).x, atol=1e-6)


def test_only_predicted_noise_is_corrected() -> None:
    with pytest.raises(InvalidRequest, match="predicted noise"):
        drawn(corrected(sampler_named("euler"), lambda score: score.noise), sampling=flow())


class OfCompVis:
    """A corrector with CompVis's signature: follows the noise less, the later and the longer the prompt."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def modify_score(self, model: Any, e_t: Tensor, x: Tensor, t: Tensor, c: Any, share: float = 1.0) -> Tensor:
        self.told.append({"model": model, "e_t": e_t, "x": x, "t": t, "c": c})
        return e_t * (1 - share * (t / 1000).reshape(-1, 1, 1, 1))


def test_correctors_of_compvis_are_called_as_there() -> None:
    corrector = OfCompVis()
    step = drawn(corrected(sampler_named("euler"), modifying(corrector, share=0.5), [[torch.ones(1), {}]]))
    assert torch.isfinite(step.x).all()
    first = corrector.told[0]
    assert first["t"].tolist() == SAMPLING.timestep(LEVELS[0]).expand(2).tolist()
    assert first["x"].std().item() == pytest.approx(X.std().item(), rel=0.1)
    assert len(first["c"]) == 1
    assert first["model"](X, LEVELS[0]).shape == X.shape


CORRECTOR = OfCompVis()


@node("Less Noise", category="pack", id="PackLessNoise")
def less_noise(*, sampler: SamplerPort, positive: Conditioning, share: float = 0.5) -> SamplerPort:
    """As a pack brings it: any sampler along a corrected score."""
    return replace(sampler, spec=corrected(sampler.spec, modifying(CORRECTOR, share=share), positive))


@pytest.fixture
def bench(installation: Settings) -> Bench:
    """A bench that also has the pack's node."""
    workshop = Workshop.build(installation)
    return Bench(replace(workshop, nodes={**workshop.nodes, "PackLessNoise": less_noise}))


def test_a_node_of_a_pack_corrects_the_score(bench: Bench) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    model = bench("ModelSamplingDiscrete", model=model, sampling="eps", zsnr=False)
    said = bench("CLIPTextEncode", clip=clip, text="red")
    given = {"model": model, "positive": said, "negative": said, "cfg": 2.0, "noise_seed": 3}
    given["latent_image"] = {"samples": torch.zeros(2, 4, 4, 4)}
    given["sigmas"] = bench("BasicScheduler", model=model, scheduler="simple", steps=4)

    def result(sampler: SamplerChoice) -> Tensor:
        return bench("SamplerCustom", sampler=sampler, **given)[0]["samples"]

    for sampler in (bench("LoomSamplerPLMS"), bench("LoomSamplerDDIM", eta=1.0)):
        CORRECTOR.told.clear()
        plain, steered = (
            result(bench("PackLessNoise", sampler=sampler, positive=said, share=share)) for share in (0.0, 0.5)
        )
        assert torch.allclose(plain, result(sampler), atol=1e-4)
        assert not torch.allclose(steered, plain, atol=1e-2)
        told = CORRECTOR.told[0]
        assert told["c"] is said
        assert told["t"].shape == (2,)
        assert told["t"][0].item() == pytest.approx(999, abs=1)


def test_temperatures_are_listed_in_the_node(bench: Bench) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    said = bench("CLIPTextEncode", clip=clip, text="red")
    given = {"model": model, "positive": said, "negative": said, "cfg": 1.0, "noise_seed": 3}
    given["latent_image"] = {"samples": torch.zeros(1, 4, 4, 4)}
    given["sigmas"] = bench("BasicScheduler", model=model, scheduler="simple", steps=4)

    def result(**options: Any) -> Tensor:
        return bench("SamplerCustom", sampler=bench("LoomSamplerDDIM", eta=1.0, **options), **given)[0]["samples"]

    assert torch.equal(result(temperatures="0.5, 0.5, 0.5, 0.5"), result(temperature=0.5))
    assert not torch.allclose(result(temperatures="1, 1, 0, 0"), result(), atol=1e-4)
    with pytest.raises(InvalidRequest, match="2 temperatures for 4 steps"):
        result(temperatures="1, 0.5")
