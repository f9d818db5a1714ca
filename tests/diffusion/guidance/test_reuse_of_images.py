"""Whether a step may be left out is decided for each image by itself where images have seeds of their own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from app.settings import Settings
from app.wiring import Workshop
from tests.nodes.conftest import Bench


@pytest.mark.parametrize("node_id", ["EasyCache", "LazyCache"])
def test_an_image_on_its_own_is_carried_on_as_it_is_alone(installation: Settings, node_id: str) -> None:
    bench = Bench(Workshop.build(installation))
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    said = bench("CLIPTextEncode", clip=clip, text="red")
    cached = bench(node_id, model=model, reuse_threshold=0.02)
    given = {"positive": said, "negative": said, "cfg": 2.0, "steps": 10}

    def drawn(seed: int, count: int, behavior: str) -> Tensor:
        empty = {"samples": torch.zeros(count, 4, 4, 4)}
        latent = bench("LatentBatchSeedBehavior", samples=empty, seed_behavior=behavior)
        return bench("KSampler", model=cached, seed=seed, latent_image=latent, **given)["samples"]

    together = drawn(11, 3, "per image")
    for place in range(3):
        torch.testing.assert_close(together[place : place + 1], drawn(11 + place, 1, "fixed"), rtol=0, atol=1e-4)
