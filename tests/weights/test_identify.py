"""Published checkpoints are recognised, with what their markers say; others are named with what is nearest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.diffusion.conditioning.joined import JoinedEncoder
from app.diffusion.conditioning.text_encoder import TextEncoder
from app.diffusion.families import Family, SamplingConfig
from app.diffusion.models.unet import UNet
from app.diffusion.parameterization import EPS, V
from app.diffusion.published import PUBLISHED
from app.errors import InvalidRequest, UnknownFamily, UnusableFile
from app.weights.checkpoint import checkpoint_of
from app.weights.identify import V_BIAS, identify, refined
from app.weights.parts import Parts, parts_of
from app.weights.stored import Stored, WeightsFile, held
from tests.weights.paper import checkpoint, first_stage, listed, network, paper


def identified(file: WeightsFile) -> Family:
    return identify(parts_of(file.tensors), file.tensors, file.metadata, file.name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_family_is_recognised(name: str) -> None:
    assert identified(checkpoint(name)) == PUBLISHED[name]


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model.", "model.", "net.", "model.model."])
def test_networks_under_every_prefix(prefix: str) -> None:
    assert identified(WeightsFile("x", network("sd1", prefix), {})).name == "sd1"


def marked(**markers: list[float]) -> dict[str, Stored]:
    return held({name.replace("__", "."): torch.tensor(value) for name, value in markers.items()})


VARIANTS = {
    "v": ("sdxl", marked(v_pred=[]), {}, SamplingConfig("v")),
    "zero terminal": ("sdxl", marked(v_pred=[], ztsnr=[]), {}, SamplingConfig("v", zero_terminal_snr=True)),
    "header": ("sd1", {}, {"modelspec.prediction_type": "v"}, SamplingConfig("v")),
    "cosxl": (
        "sdxl-instruct-pix2pix",
        marked(edm_vpred__sigma_max=[120.0], edm_vpred__sigma_min=[0.01]),
        {},
        SamplingConfig("v-edm", sigma_min=float(torch.tensor(0.01)), sigma_max=120.0),
    ),
    "playground": ("sdxl", marked(edm_mean=[1.0, 2.0, 3.0, 4.0], edm_std=[2.0] * 4), {}, SamplingConfig("edm")),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_markers_say_what_is_predicted(name: str) -> None:
    family, markers, metadata, sampling = VARIANTS[name]
    found = identified(checkpoint(family, markers, **metadata))
    assert found.sampling == sampling
    assert found.sampling.build().sigma_max > 1


def test_playground_s_latents_are_normalised_by_channel() -> None:
    found = identified(checkpoint("sdxl", marked(edm_mean=[1.0, 2.0, 3.0, 4.0], edm_std=[2.0, 4.0, 8.0, 1.0])))
    latent = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 4, 1, 1) + torch.tensor([2.0, 4.0, 8.0, 1.0]).view(1, 4, 1, 1)
    assert found.latent.to_model(latent).flatten().tolist() == [0.5] * 4
    torch.testing.assert_close(found.latent.from_model(found.latent.to_model(latent)), latent)


def test_the_scale_that_a_model_was_trained_with_is_read() -> None:
    found = identified(checkpoint("ldm-churches", marked(scale_factor=[0.22])))
    assert found.latent.scale == pytest.approx(0.22)


@pytest.mark.parametrize(("spread", "prediction"), [(0.05, EPS), (0.2, V)])
def test_stable_diffusion_2_tells_velocity_by_a_bias(spread: float, prediction: object) -> None:
    bias = torch.linspace(-1, 1, 320)
    bias = bias / bias.std() * spread
    file = checkpoint("sd2", {f"model.diffusion_model.{V_BIAS}": Stored((320,), lambda: bias)})
    assert identified(file).sampling.build().prediction is prediction


@pytest.mark.parametrize("name", ["sd1", "sd2", "sdxl-refiner"])
def test_a_whole_checkpoint_is_built(name: str) -> None:
    built = checkpoint_of(checkpoint(name), torch.float16)
    assert isinstance(built.model.network, UNet)
    assert built.model.dtype == torch.float16
    assert built.model.source == PUBLISHED[name]
    assert isinstance(built.clip, TextEncoder)
    assert built.vae.factor == 8
    assert built.model.preview(torch.zeros(1, 4, 2, 3)).shape == (2, 3, 3)


def test_two_towers_of_sdxl() -> None:
    """Only the towers: the network's 2.6 billion values need not be looked at for this."""
    file = checkpoint("sdxl")
    small = network("koala-700m") | {k: v for k, v in file.tensors.items() if not k.startswith("model.diffusion")}
    clip = checkpoint_of(WeightsFile("x", small, {}), torch.float16).clip
    assert isinstance(clip, JoinedEncoder)
    assert set(clip.towers) == {"l", "g"}


def test_missing_parts_say_so_when_they_are_used() -> None:
    built = checkpoint_of(WeightsFile("bare.safetensors", network("koala-700m"), {}), torch.float16)
    with pytest.raises(InvalidRequest, match=r"bare\.safetensors.*no VAE"):
        built.vae.decode(torch.zeros(1, 4, 2, 2))
    with pytest.raises(InvalidRequest, match="no text encoder"):
        built.clip.encode("a cat")


def test_a_missing_tensor_is_named_before_anything_is_read() -> None:
    tensors = dict(checkpoint("sd1").tensors)
    del tensors["model.diffusion_model.middle_block.0.in_layers.0.bias"]
    with pytest.raises(UnusableFile, match=r"middle_block\.0\.in_layers\.0\.bias"):
        checkpoint_of(WeightsFile("x", tensors, {}))


def test_values_that_are_not_numbers_are_named() -> None:
    name = "model.diffusion_model.time_embed.0.bias"
    file = checkpoint("sd1", {name: paper((1280,), float("nan"))})
    with pytest.raises(UnusableFile, match=r"time_embed\.0\.bias' holds values that are not numbers"):
        checkpoint_of(file, torch.float16)


def test_a_strange_u_net_is_told_the_nearest_family() -> None:
    tensors = network("sd1") | {"model.diffusion_model.input_blocks.0.0.weight": paper((320, 12, 3, 3))}
    with pytest.raises(UnknownFamily) as caught:
        identified(WeightsFile("odd.safetensors", tensors, {}))
    assert "nearest is sd1" in caught.value.message
    assert "in_channels 12 where" in caught.value.message
    assert "sdxl" in caught.value.remedy


WRONG = {
    "LoRA": {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": paper((4, 320))},
    "ControlNet": {"control_model.zero_convs.0.0.weight": paper((320, 320, 1, 1))},
    "VAE": listed("firststage_kl-f8", ""),
    "text encoder": listed("clip_l_text_hf", ""),
    "embedding": {"string_to_param.*": paper((2, 768))},
    "vision encoder": {"vision_model.embeddings.class_embedding": paper((1024,))},
    "diffusers' names": {"down_blocks.0.resnets.0.conv1.weight": paper((320, 320, 3, 3))},
    "upscaler": {"conv_first.weight": paper((64, 3, 3, 3))},
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_in_the_wrong_slot_is_told_its_place(kind: str) -> None:
    with pytest.raises(UnknownFamily) as caught:
        checkpoint_of(WeightsFile("wrong.safetensors", WRONG[kind], {}))
    assert kind in caught.value.message
    assert next(iter(WRONG[kind])) in caught.value.message
    assert "models/" in caught.value.remedy


def test_a_file_of_nothing_that_is_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownFamily, match=r"were looked for; its first tensors are a, b"):
        checkpoint_of(WeightsFile("x", {"b": paper((1,)), "a": paper((1,))}, {}))
    with pytest.raises(UnknownFamily, match="none"):
        checkpoint_of(WeightsFile("x", {}, {}))


def averages(family: str) -> dict[str, Stored]:
    """What training has left beside that family's network: averages of 2 everywhere, and its own numbers."""
    names = {f"model_ema.diffusion_model{key.replace('.', '')}": stored for key, stored in network(family, "").items()}
    own = {"model_ema.decay": paper((), 0.9999), "model_ema.num_updates": paper(())}
    return {name: paper(stored.shape, 2.0) for name, stored in names.items()} | own


def test_averaged_weights_are_taken_when_they_are_asked_for() -> None:
    file = checkpoint("sd1", averages("sd1"))
    live = parts_of(file.tensors).network["time_embed.0.bias"].read()
    averaged = parts_of(file.tensors, ema=True).network["time_embed.0.bias"].read()
    assert (float(live[0]), float(averaged[0])) == (0.0, 2.0)
    with pytest.raises(InvalidRequest, match="averaged"):
        parts_of(checkpoint("sd1").tensors, ema=True, name="x")


def test_without_a_single_average_there_are_none() -> None:
    file = checkpoint("ldm-bsr-sr", {"model_ema.decay": paper((), 0.9999), "model_ema.num_updates": paper(())})
    with pytest.raises(InvalidRequest, match="'x' holds no averaged"):
        parts_of(file.tensors, ema=True, name="x")


def test_missing_averages_are_named_and_counted() -> None:
    averaged = averages("ldm-bsr-sr")
    del averaged["model_ema.diffusion_modeltime_embed0bias"], averaged["model_ema.diffusion_modelout2bias"]
    file = checkpoint("ldm-bsr-sr", averaged)
    told = r"'x' lacks .*'model_ema\.diffusion_modeltime_embed0bias' .*'model\.diffusion_model\.time_embed\.0\.bias'"
    with pytest.raises(UnusableFile, match=rf"{told} and 1 more") as caught:
        parts_of(file.tensors, ema=True, name="x")
    assert "without asking" in caught.value.remedy


def test_what_is_no_weight_needs_no_average() -> None:
    table = {"model.diffusion_model.pos_embed": paper((1, 4, 2), 3.0)}
    file = checkpoint("ldm-bsr-sr", averages("ldm-bsr-sr") | table)
    found = parts_of(file.tensors, ema=True, name="x").network
    assert (float(found["pos_embed"].read().max()), float(found["out.2.bias"].read()[0])) == (3.0, 2.0)


IMPOSSIBLE = {
    "scale_factor 0": (marked(scale_factor=[0.0]), "scale_factor"),
    "scale_factor nan": (marked(scale_factor=[float("nan")]), "scale_factor"),
    "scale_factor empty": (marked(scale_factor=[]), "scale_factor"),
    "deviation 0": (marked(edm_mean=[0.0] * 4, edm_std=[0.0] * 4), "edm_std"),
    "deviations of three": (marked(edm_mean=[0.0] * 4, edm_std=[1.0] * 3), "edm_std"),
    "mean inf": (marked(edm_mean=[float("inf")] * 4, edm_std=[1.0] * 4), "edm_mean"),
    "most noise 0": (marked(edm_vpred__sigma_max=[0.0]), "edm_vpred.sigma_max"),
    "most noise nan": (marked(edm_vpred__sigma_max=[float("nan")]), "edm_vpred.sigma_max"),
    "least noise 0": (marked(edm_vpred__sigma_max=[9.0], edm_vpred__sigma_min=[0.0]), "edm_vpred.sigma_min"),
    "less noise than the least": (marked(edm_vpred__sigma_max=[1.0], edm_vpred__sigma_min=[5.0]), "sigma_max"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_impossible_numbers_beside_a_network_are_named(case: str) -> None:
    markers, entry = IMPOSSIBLE[case]
    with pytest.raises(UnusableFile, match=rf"In 'x' the entry '.*{entry}' is .* where it must be") as caught:
        refined(PUBLISHED["sdxl"], Parts({}, "", {}, "", markers), {}, "x")
    assert "another copy" in caught.value.remedy


def test_a_first_stage_without_what_tells_its_shape_is_named_at_loading() -> None:
    tensors = network("koala-700m") | first_stage("sdxl")
    del tensors["first_stage_model.encoder.conv_in.weight"]
    with pytest.raises(UnusableFile, match=r"'cut' lacks the tensor 'first_stage_model\.encoder\.conv_in\.weight'\."):
        checkpoint_of(WeightsFile("cut", tensors, {}), torch.float16)


def test_a_foreign_first_stage_is_named_at_loading() -> None:
    tensors = network("koala-700m") | {"first_stage_model.decoder.middle.0.gamma": paper((4,))}
    with pytest.raises(UnknownFamily, match=r"in 'x' is not a VAE that is known here.*decoder\.middle\.0\.gamma"):
        checkpoint_of(WeightsFile("x", tensors, {}), torch.float16)


def test_the_missing_one_of_two_towers_is_named() -> None:
    tensors = network("koala-700m") | listed("clip_l_text_hf", "conditioner.embedders.0.transformer.")
    built = checkpoint_of(WeightsFile("cut", tensors, {}), torch.float16)
    told = r"'cut' holds no whole text encoder: CLIP L is there, but CLIP G \(bigG\) is not .*conditioner\.embedders\.1"
    with pytest.raises(InvalidRequest, match=told):
        built.clip.encode("a cat")
