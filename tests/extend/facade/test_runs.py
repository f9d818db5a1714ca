"""What packs put around a run of our samplers: wrappers, callbacks, injections, guiders of their own."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.context.context import NodeContext
from app.diffusion.conditioning.entries import conditioning_of
from app.diffusion.drawing import Drawing, Recipe, SamplerChoice, draw, draw_levels, empty_latent
from app.diffusion.guidance.hooks import GuidanceHooks
from app.diffusion.samplers.catalogue import sampler_named
from app.engine.events import Progress
from app.errors import InvalidRequest
from app.extend.facade.bridge import FacadeHost
from app.extend.facade.host import running
from app.weights.checkpoint import Checkpoint
from tests.extend.facade.conftest import Said


@pytest.fixture
def prompt(tiny: Checkpoint) -> list[list[Any]]:
    return conditioning_of(tiny.clip.encode("red"))


@pytest.fixture
def extension(host: FacadeHost) -> Any:
    return importlib.import_module("comfy.patcher_extension")


def drawing_of(model: Any, prompt: Any, sampler: str = "euler", latent: Any = None, **said: Any) -> Drawing:
    recipe = Recipe(**{"seed": 3, "steps": 3, "cfg": 2.0, "sampler": sampler, **said})
    return draw(model, prompt, prompt, latent or empty_latent(32, 32), recipe)


def drawn(drawing: Drawing) -> Tensor:
    for _ in drawing:
        pass
    return drawing.result["samples"]


def patched(host: FacadeHost, tiny: Checkpoint) -> Any:
    patcher: Any = host.to_pack(tiny.model)
    return patcher.clone()


@pytest.mark.parametrize(
    "kind",
    [
        *("OUTER_SAMPLE", "PREPARE_SAMPLING", "SAMPLER_SAMPLE", "PREDICT_NOISE"),
        *("CALC_COND_BATCH", "APPLY_MODEL", "DIFFUSION_MODEL"),
    ],
)
@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral"])
def test_every_wrapper_is_called_by_our_sampler(
    host: FacadeHost, tiny: Checkpoint, prompt: Any, extension: Any, kind: str, sampler: str
) -> None:
    calls: list[str] = []

    def wrapper(executor: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(kind)
        return executor(*args, **kwargs)

    patcher = patched(host, tiny)
    patcher.add_wrapper_with_key(getattr(extension.WrappersMP, kind), "acme", wrapper)
    expected = drawn(drawing_of(tiny.model, prompt, sampler))
    found = drawn(drawing_of(host.from_pack(patcher), prompt, sampler))
    assert torch.allclose(found, expected, atol=1e-4)
    once = kind in ("OUTER_SAMPLE", "PREPARE_SAMPLING", "SAMPLER_SAMPLE")
    assert len(calls) == (1 if once else 3)


def test_a_wrapper_around_all_may_change_it(host: FacadeHost, tiny: Checkpoint, prompt: Any, extension: Any) -> None:
    def doubled(executor: Any, noise: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return executor(noise, *args, **kwargs) * 2

    patcher = patched(host, tiny)
    patcher.add_wrapper(extension.WrappersMP.OUTER_SAMPLE, doubled)
    model: Any = host.from_pack(patcher)
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1
    latent = {"samples": torch.randn(1, 4, 4, 4), "noise_mask": mask}
    for given in (None, latent):
        expected = drawn(drawing_of(tiny.model, prompt, latent=given))
        assert torch.allclose(drawn(drawing_of(model, prompt, latent=given)), expected * 2, atol=1e-3)


def test_its_steps_are_told(
    host: FacadeHost, tiny: Checkpoint, prompt: Any, extension: Any, context: NodeContext, said: Said
) -> None:
    patcher = patched(host, tiny)
    patcher.add_wrapper(extension.WrappersMP.OUTER_SAMPLE, lambda executor, *a, **k: executor(*a, **k))
    with running(context):
        steps = list(drawing_of(host.from_pack(patcher), prompt))
    assert [step.index for step in steps] == [2]
    told = [(event.value, event.maximum) for event in said.events if isinstance(event, Progress)]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_built_in_guidance_is_not_left_out_in_silence(
    host: FacadeHost, tiny: Checkpoint, prompt: Any, extension: Any
) -> None:
    from dataclasses import replace

    patcher = patched(host, tiny)
    patcher.add_wrapper(extension.WrappersMP.OUTER_SAMPLE, lambda executor, *a, **k: executor(*a, **k))
    model: Any = replace(
        host.from_pack(patcher),  # pyright: ignore[reportArgumentType]
        guidance=GuidanceHooks(after=(lambda guided, found: guided,)),
    )
    with pytest.raises(InvalidRequest, match="guided by a node pack"):
        drawn(drawing_of(model, prompt))


@pytest.mark.parametrize("whole", [False, True])
def test_callbacks_and_what_is_put_in(
    host: FacadeHost, tiny: Checkpoint, prompt: Any, extension: Any, whole: bool
) -> None:
    order: list[str] = []
    patcher = patched(host, tiny)
    for moment in ("ON_PRE_RUN", "ON_PREPARE_STATE", "ON_CLEANUP", "ON_INJECT_MODEL", "ON_EJECT_MODEL"):
        patcher.add_callback(
            getattr(extension.CallbacksMP, moment), lambda patcher, *said, moment=moment: order.append(moment)
        )
    network: Any = tiny.model.network
    calls: list[int] = []

    class Injected(nn.Module):
        """Stands in front of the middle of the network while it runs."""

        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def run(self, *args: Any, **kwargs: Any) -> Tensor:
            calls.append(1)
            return self.inner.run(*args, **kwargs) + 3.0

    def inject(patcher: Any) -> None:
        order.append("inject")
        patcher.model.diffusion_model.middle_block = Injected(patcher.model.diffusion_model.middle_block)

    def eject(patcher: Any) -> None:
        order.append("eject")
        patcher.model.diffusion_model.middle_block = patcher.model.diffusion_model.middle_block.inner

    patcher.set_injections("acme", [extension.PatcherInjection(inject, eject)])
    if whole:
        patcher.add_wrapper(extension.WrappersMP.OUTER_SAMPLE, lambda executor, *a, **k: executor(*a, **k))
    middle = network.middle_block
    expected = drawn(drawing_of(tiny.model, prompt))
    found = drawn(drawing_of(host.from_pack(patcher), prompt))
    assert not torch.allclose(found, expected, atol=1e-4) and len(calls) == 3
    assert network.middle_block is middle, "the network is as it was"
    assert order == [
        *("ON_PRE_RUN", "inject", "ON_INJECT_MODEL"),
        *["ON_PREPARE_STATE"] * 3,
        *("eject", "ON_EJECT_MODEL", "ON_CLEANUP"),
    ]
    assert torch.equal(drawn(drawing_of(tiny.model, prompt)), expected)


def test_what_was_put_in_is_taken_out_after_a_failure(
    host: FacadeHost, tiny: Checkpoint, prompt: Any, extension: Any
) -> None:
    order: list[str] = []
    patcher = patched(host, tiny)
    patcher.set_injections(
        "acme", [extension.PatcherInjection(lambda p: order.append("in"), lambda p: order.append("out"))]
    )

    def fails(args: Any) -> Tensor:
        raise RuntimeError("the pack's own fault")

    patcher.set_model_sampler_post_cfg_function(fails)
    with pytest.raises(RuntimeError, match="own fault"):
        drawn(drawing_of(host.from_pack(patcher), prompt))
    assert order == ["in", "out"]


def test_models_in_its_company_are_on_the_device(host: FacadeHost, tiny: Checkpoint, prompt: Any) -> None:
    kind = importlib.import_module("comfy.model_patcher").ModelPatcher
    other, patcher = nn.Linear(2, 2), patched(host, tiny)
    patcher.set_additional_models("acme", [kind(other)])
    patcher.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
    assert drawing_of(host.from_pack(patcher), prompt).networks[1:] == [other]


def test_a_guider_that_samples_by_itself(host: FacadeHost, tiny: Checkpoint, prompt: Any) -> None:
    samplers = importlib.import_module("comfy.samplers")
    heard: list[Any] = []

    class Twice(samplers.CFGGuider):
        def sample(
            self, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor, *args: Any, **k: Any
        ) -> Any:
            heard.append((type(sampler).__name__, len(sigmas), k["seed"]))
            return super().sample(noise, latent_image, sampler, sigmas, *args, **k) * 2

    guider = Twice(host.to_pack(tiny.model))
    guider.set_conds(prompt, prompt)
    guider.set_cfg(2.0)
    levels = drawing_of(tiny.model, prompt).levels
    choice = SamplerChoice(sampler_named("euler"))
    native: Any = host.from_pack(guider)
    drawing = draw_levels(native, empty_latent(32, 32), levels, choice, 3)
    assert torch.allclose(drawn(drawing), drawn(drawing_of(tiny.model, prompt)) * 2, atol=1e-3)
    assert heard == [("KSAMPLER", 4, 3)]
    nothing = draw_levels(native, empty_latent(32, 32), levels[:1], choice, 3)
    assert not drawn(nothing).any()
