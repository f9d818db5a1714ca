from __future__ import annotations

from typing import Any

import torch


def test_operations_are_made_and_applied(bench: Any) -> None:
    samples = {"samples": torch.randn(1, 4, 24, 24, generator=torch.Generator().manual_seed(0)), "batch_index": [2]}
    for node_id in ("LatentOperationTonemapReinhard", "LatentOperationSharpen"):
        operation = bench(node_id)
        applied = bench("LatentApplyOperation", samples=samples, operation=operation)
        assert torch.equal(applied["samples"], operation(latent=samples["samples"]))
        assert applied["batch_index"] == [2]
        assert not torch.equal(applied["samples"], samples["samples"])


def test_an_operation_of_a_pack_counts_at_every_step(bench: Any) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    calls: list[torch.Size] = []

    def operation(latent: torch.Tensor) -> torch.Tensor:
        calls.append(latent.shape)
        return latent * 0

    said = bench("CLIPTextEncode", clip=clip, text="red")
    given = {"positive": said, "negative": said, "latent_image": bench("EmptyLatentImage", width=64, height=64)}
    patched = bench("LatentApplyOperationCFG", model=model, operation=operation)
    bench("KSampler", model=patched, **given, steps=3, cfg=4.0, sampler_name="euler")
    assert calls == [torch.Size((1, model.latent.channels, 8, 8))] * 3
