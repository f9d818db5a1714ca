from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from app.diffusion.models.hooks import Looking, Place
from app.diffusion.models.unet import UNet, UNetConfig
from app.errors import InvalidRequest, Missing
from app.settings import Settings


@pytest.fixture
def model(bench: Any) -> Any:
    """The tiny model with another U-Net, which looks at picture and text on both of its levels, in full precision."""
    tiny = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[0]
    torch.manual_seed(4)
    shape = {"channel_mult": (1, 2), "num_res_blocks": 1, "transformer_depth": (1, 1), "heads": 2, "groups": 8}
    network = UNet(UNetConfig(model_channels=16, context_width=tiny.network.config.context_width, **shape))
    for name, weight in network.named_parameters():
        if "attn" in name:
            weight.data *= 3
    return replace(tiny, network=network.requires_grad_(False).eval())


def answered(model: Any, sigma: float = 0.9) -> torch.Tensor:
    """What the network says of fixed noise, with the model's hooks in it."""
    x = torch.randn(1, model.latent.channels, 16, 16, generator=torch.Generator().manual_seed(0))
    width = model.network.config.context_width
    context = torch.randn(1, 3, width, generator=torch.Generator().manual_seed(1))
    hooks = model.guidance.network_at(sigma)
    with torch.no_grad():
        return model.denoiser()(x, torch.tensor(sigma), context=context, **({"hooks": hooks} if hooks else {}))


@pytest.mark.parametrize(
    ("node_id", "neutral", "changed"),
    [
        ("FreeU", {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0}, {}),
        ("FreeU_V2", {"b1": 1.0, "b2": 1.0, "s1": 1.0, "s2": 1.0}, {}),
        ("PatchModelAddDownscale", {"block_number": 30}, {"block_number": 1}),
        ("UNetSelfAttentionMultiply", {}, {"q": 2.0}),
        ("UNetCrossAttentionMultiply", {}, {"out": 0.5}),
    ],
)
def test_patches_change_what_the_network_says(
    bench: Any, model: Any, node_id: str, neutral: dict[str, Any], changed: dict[str, Any]
) -> None:
    usual = answered(model)
    assert torch.allclose(answered(bench(node_id, model=model, **neutral)), usual, atol=1e-4)
    assert not torch.allclose(answered(bench(node_id, model=model, **changed)), usual, atol=1e-4)
    assert torch.equal(answered(model), usual)


def test_the_deep_blocks_see_a_small_picture_for_a_part_of_the_way(bench: Any, model: Any) -> None:
    patched = bench("PatchModelAddDownscale", model=model, block_number=1, end_percent=0.5)
    assert patched.guidance.network_at(0.9)
    assert not patched.guidance.network_at(0.1)


@pytest.mark.parametrize(
    "node_id",
    ["FreeU", "FreeU_V2", "PatchModelAddDownscale", "HyperTile", "TomePatchModel", "UNetTemporalAttentionMultiply"],
)
def test_other_networks_are_refused_by_name(bench: Any, model: Any, node_id: str) -> None:
    with pytest.raises(InvalidRequest, match="no U-Net"):
        bench(node_id, model=replace(model, network=torch.nn.Linear(1, 1)))


def test_attention_in_tiles_and_merged_places_change_what_the_network_says(bench: Any, model: Any) -> None:
    usual = answered(model)
    for node_id, neutral, changed in (
        ("HyperTile", {"tile_size": 2048}, {"tile_size": 32, "max_depth": 1}),
        ("TomePatchModel", {"ratio": 0.0}, {"ratio": 0.5}),
    ):
        assert torch.allclose(answered(bench(node_id, model=model, **neutral)), usual, atol=1e-5)
        assert not torch.allclose(answered(bench(node_id, model=model, **changed)), usual, atol=1e-5)


def test_a_hypernetwork_is_read_and_scaled(bench: Any, model: Any, installation: Settings) -> None:
    folder = installation.directories.base / "models" / "hypernetworks"
    folder.mkdir(exist_ok=True)
    width = model.network.config.context_width
    # Keys and values become what they are times 1 + strength.
    layer = {"linear.0.weight": torch.eye(width), "linear.0.bias": torch.zeros(width)}
    torch.save({width: [layer, layer]}, folder / "style.pt")
    (sources,) = (
        bench("HypernetworkLoader", model=model, hypernetwork_name="style.pt", strength=0.5)
        .guidance.network_at(0.5)
        .sources
    )
    text = torch.randn(1, 3, width)
    looking = Looking("attn2", Place("input", 1), 0, 1)
    assert torch.allclose(sources(looking, (text, text, text))[1], 1.5 * text)
    with pytest.raises(Missing, match="gone") as told:
        bench("HypernetworkLoader", model=model, hypernetwork_name="gone.pt")
    assert told.value.input_name == "hypernetwork_name"


def test_attention_weights_of_text_encoders_are_scaled(bench: Any) -> None:
    _, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    made = bench("CLIPAttentionMultiply", clip=clip, q=2.0, out=0.5)
    factors = {"q_proj": 2.0, "out_proj": 0.5}
    ours, usual = made.model.state_dict(), clip.model.state_dict()
    for name, value in ours.items():
        factor = next((each for part, each in factors.items() if f"self_attn.{part}." in name), 1.0)
        assert torch.equal(value, usual[name] * factor), name
    assert any("q_proj" in name for name in ours)
    assert bench("CLIPAttentionMultiply", clip=clip).model is clip.model


def test_results_of_attention_are_scaled_within_a_picture(bench: Any, model: Any) -> None:
    made = bench("UNetTemporalAttentionMultiply", model=model, self_structural=2.0, cross_structural=0.5)
    ours, usual = made.network.state_dict(), model.network.state_dict()
    for name, value in ours.items():
        factor = 2.0 if "attn1.to_out" in name else 0.5 if "attn2.to_out" in name else 1.0
        assert torch.equal(value, usual[name] * factor), name
    temporal = bench("UNetTemporalAttentionMultiply", model=model, self_temporal=3.0, cross_temporal=3.0)
    assert temporal.network is model.network


@pytest.mark.parametrize("node_id", ["EasyCache", "LazyCache"])
def test_steps_are_left_out(bench: Any, node_id: str, caplog: pytest.LogCaptureFixture) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    said = bench("CLIPTextEncode", clip=clip, text="red")
    calls: list[int] = []

    def drawn(made: Any) -> torch.Tensor:
        calls.clear()
        counted = model.network.register_forward_pre_hook(lambda *_: calls.append(1))
        given = {"positive": said, "negative": said, "latent_image": {"samples": torch.zeros(1, 4, 4, 4)}}
        found = bench("KSampler", model=made, steps=8, cfg=2.0, seed=1, sampler_name="euler", **given)
        counted.remove()
        return found["samples"]

    usual = drawn(model)
    assert len(calls) == 8
    assert torch.equal(drawn(bench(node_id, model=model, reuse_threshold=0.0)), usual)
    assert len(calls) == 8
    with caplog.at_level("INFO"):
        found = drawn(bench(node_id, model=model, reuse_threshold=3.0, verbose=True))
    assert len(calls) < 6
    assert "calls saved" in caplog.text
    assert torch.isfinite(found).all()


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The distance of two answers in parts of the second one's length."""
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize(
    ("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_a_model_computes_in_another_precision(bench: Any, model: Any, name: str, dtype: torch.dtype) -> None:
    made = bench("ModelComputeDtype", model=model, dtype=name)
    assert (made.network is model.network) == (dtype == torch.float32)
    usual = answered(model)
    assert apart(answered(made), usual) < 0.03
    assert made.dtype == {parameter.dtype for parameter in made.network.parameters()}.pop() == dtype
    assert model.dtype == torch.float32
    assert torch.equal(answered(made), usual) == (dtype == torch.float32)
    assert bench("ModelComputeDtype", model=model, dtype="default") is model


def test_another_precision_keeps_what_adapters_made(bench: Any, model: Any) -> None:
    louder = bench("UNetTemporalAttentionMultiply", model=model, self_structural=3.0)
    made = bench("ModelComputeDtype", model=louder, dtype="bf16")
    assert apart(answered(made), answered(louder)) < 0.03 < apart(answered(model), answered(louder))
    softer = bench("UNetTemporalAttentionMultiply", model=made, self_structural=1 / 3)
    assert apart(answered(softer), answered(model)) < 0.03
    assert softer.dtype == torch.bfloat16


def test_a_model_is_compiled_or_the_backend_refused(bench: Any, model: Any) -> None:
    if torch.cuda.is_available():
        assert bench("TorchCompileModel", model=model, backend="cudagraphs").network is not model.network
    else:
        with pytest.raises(InvalidRequest, match="needs an NVIDIA GPU"):
            bench("TorchCompileModel", model=model, backend="cudagraphs")
