"""ControlNets of SD 3 and Flux from their files to a picture, small, and what is said of those that do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from app.diffusion.control import ControlModel
from app.diffusion.latent_format import LatentFormat
from app.diffusion.model import DiffusionModel
from app.diffusion.models.controlnet_sd3 import SD3Control
from app.diffusion.models.mmdit import MMDiT
from app.diffusion.models.unet import UNet, UNetConfig
from app.diffusion.published import SD3_LATENT
from app.errors import InvalidRequest, UnknownFamily, UnusableFile
from app.extend.facade.bridge import FacadeHost
from app.extend.facade.install import installed
from app.settings import Settings
from app.weights.controlnet_transformers import UNREAD
from app.wiring import Workshop
from tests.extend.facade.conftest import BUILT_IN, Said, make_host
from tests.nodes.conftest import Bench
from tests.nodes.control_files import SD3, SORTS, apart, random, saved, transformer, vae

SIDES = ("positive", "negative")


@pytest.fixture
def bench(installation: Settings) -> Bench:
    """A bench that computes in full precision."""
    exact = replace(installation, engine=replace(installation.engine, precision="float32"))
    return Bench(Workshop.build(exact))


@pytest.fixture
def folder(installation: Settings) -> Path:
    return installation.directories.base / "models"


def text(seed: int) -> list[list[Any]]:
    generator = torch.Generator().manual_seed(seed)
    pooled = torch.randn(1, 8, generator=generator)
    return [[torch.randn(1, 5, 16, generator=generator), {"pooled_output": pooled}]]


def picture(seed: int = 3) -> Tensor:
    return torch.rand(1, 40, 48, 3, generator=torch.Generator().manual_seed(seed))


def parts(bench: Any, folder: Path, kind: str) -> dict[str, Any]:
    """What a sampler is linked to: a model from a file, and two prompts."""
    name = saved(folder / "diffusion_models", kind, transformer(kind).state_dict())
    latent = {"samples": torch.zeros(1, 16, 5, 6)}
    said = {"positive": text(1), "negative": text(2), "latent_image": latent, "steps": 2, "cfg": 2.0, "seed": 4}
    return {"model": bench("UNETLoader", unet_name=name), **said}


def loaded(bench: Any, folder: Path, name: str, tensors: dict[str, Tensor]) -> Any:
    return bench("ControlNetLoader", control_net_name=saved(folder / "controlnet", name, tensors))


def steered(bench: Any, said: dict[str, Any], net: Any, node: str = "ControlNetApplyAdvanced", **more: Any) -> Any:
    sides = bench(node, **{name: said[name] for name in SIDES}, control_net=net, **{"image": picture(), **more})
    return {**said, **dict(zip(SIDES, sides, strict=True))}


def drawn(bench: Any, said: dict[str, Any]) -> Tensor:
    return bench("KSampler", **said)["samples"]


@pytest.mark.parametrize("name", SORTS)
def test_a_picture_is_drawn_with_each_kind(bench: Any, folder: Path, name: str) -> None:
    sort = SORTS[name]
    said = parts(bench, folder, sort.model)
    stage = bench("VAELoader", vae_name=saved(folder / "vae", "kl", vae().model.state_dict()))
    net = loaded(bench, folder, "some", sort.tensors())
    assert type(net.network) is type(sort.network) and net.network.config == sort.network.config
    whole = steered(bench, said, net, vae=stage)
    image = bench("VAEDecode", vae=stage, samples=bench("KSampler", **whole))
    assert image.shape == (1, 40, 48, 3) and bool(torch.isfinite(image).all())
    there, plain = drawn(bench, whole), drawn(bench, said)
    assert not torch.allclose(there, plain, atol=1e-3), "it is steered"
    assert torch.equal(drawn(bench, steered(bench, said, net, vae=stage, start_percent=1.0)), plain)
    same = ControlModel(sort.network, "same")
    assert torch.allclose(drawn(bench, steered(bench, said, same, vae=stage)), there, atol=1e-4), "read as it was saved"
    other = drawn(bench, steered(bench, said, net, vae=stage, image=picture(8)))
    assert not torch.allclose(other, there, atol=1e-5), "it looks at the picture"


def shown(net: ControlModel, image: Tensor, **more: Any) -> Tensor:
    """The latent that a network is shown for a picture."""
    control = net.following(image, 1.0, (0.0, 1.0), None, vae=vae(), **more)
    assert control.latent is not None
    network: Any = net.network
    return control.latent.of(control.hint, torch.zeros(1, 16, 5, 6), network, SD3_LATENT)


def encoded(pixels: Tensor) -> Tensor:
    """The first stage's own latent of pixels (B, H, W, 3) as its network takes them."""
    network: Any = vae().model
    return network.encode(pixels.movedim(-1, 1)).mean


@torch.inference_mode()
def test_pictures_are_treated_as_each_was_trained() -> None:
    image = picture()
    expected = {
        "Stability, blur": SD3_LATENT.to_model(encoded(image * 2 - 1)),
        "Stability, canny": SD3_LATENT.to_model(encoded(image * 255 * 0.5 + 0.5)),
        "Stability, depth": SD3_LATENT.to_model(encoded((1 - image) * 2 - 1)),
        "InstantX, SD3": encoded(image * 2 - 1) * SD3_LATENT.scale,
    }
    for name, its in expected.items():
        found = shown(ControlModel(SORTS[name].network, name), image)
        assert torch.allclose(found, its, atol=1e-4 * float(its.abs().max())), name


@torch.inference_mode()
def test_what_is_to_be_drawn_anew_is_not_seen() -> None:
    net = ControlModel(SORTS["Alimama, SD3"].network, "inpaint")
    image, mask = picture(), torch.zeros(1, 40, 48)
    mask[:, :, 24:] = 1
    found = shown(net, image, mask=mask)
    covered = (image * (1 - mask[..., None])) * 2 - 1
    assert torch.allclose(found[:, :16], SD3_LATENT.to_model(encoded(covered)), atol=1e-4)
    assert torch.equal(found[0, 16], (torch.arange(6) < 3).float().expand(5, 6)), "what is kept"
    assert torch.equal(shown(net, image)[:, 16:], torch.ones(1, 1, 5, 6)), "all of it without a mask"


def test_the_inpainting_node_takes_the_mask(bench: Any, folder: Path) -> None:
    said, net = parts(bench, folder, "sd3"), ControlModel(SORTS["Alimama, SD3"].network, "inpaint")
    mask = torch.zeros(1, 40, 48)
    mask[:, :, 24:] = 1
    node = {"node": "ControlNetInpaintingAliMamaApply", "vae": vae()}
    there = drawn(bench, steered(bench, said, net, **node, mask=mask))
    changed = picture()
    changed[:, :, 24:] = 0.3
    assert torch.allclose(drawn(bench, steered(bench, said, net, **node, mask=mask, image=changed)), there, atol=1e-5)
    assert not torch.allclose(drawn(bench, steered(bench, said, net, **node, mask=1 - mask)), there, atol=1e-3)


def test_sd3_s_own_pooled_text_is_not_told_to_instantx_s(bench: Any, folder: Path) -> None:
    """It was trained without; Stability's are told it, and no text."""
    like = torch.zeros(1, 16, 5, 6)
    for name, reads, is_told in (("InstantX, SD3", "context", "vector"), ("Stability, blur", "vector", "context")):
        net = ControlModel(SORTS[name].network, name)
        model: DiffusionModel = parts(bench, folder, "sd3")["model"]
        adjust: Any = net.following(picture(), 1.0, (0.0, 1.0), None, vae=vae()).adjusting(model, like)
        arguments = {"context": torch.ones(1, 5, 16), "vector": torch.ones(1, 8)}
        first = adjust.residuals(like, torch.tensor(0.5), arguments).double[0]
        without = adjust.residuals(like, torch.tensor(0.5), {**arguments, is_told: arguments[is_told] * 3}).double[0]
        assert torch.equal(first, without)
        other = adjust.residuals(like, torch.tensor(0.5), {**arguments, reads: arguments[reads] * 3}).double[0]
        assert not torch.allclose(first, other, atol=1e-4)


# ---------------------------------------------------------------- files


def test_diffusers_folders_name_their_files_all_the_same(bench: Any, folder: Path) -> None:
    tensors = SORTS["Stability, blur"].tensors()
    del tensors["control_type"]
    for name, kind in (
        ("sd3.5-large-controlnet-Depth/diffusion_pytorch_model", "depth"),
        ("sd3.5_large_controlnet_canny", "canny"),
        ("another", "blur"),
    ):
        assert loaded(bench, folder, name, tensors).network.config.kind == kind


@pytest.mark.parametrize("name", SORTS)
def test_an_incomplete_file_says_what_is_missing(bench: Any, folder: Path, name: str) -> None:
    tensors = SORTS[name].tensors()
    del tensors[next(key for key in tensors if key.startswith("controlnet_blocks.1."))]
    with pytest.raises(UnusableFile, match=r"'broken\.safetensors' lacks the tensor .*controlnet_blocks\.1\."):
        loaded(bench, folder, "broken", tensors)


def test_what_shapes_are_read_from_may_be_missing_too(bench: Any, folder: Path) -> None:
    tensors = SORTS["XLabs, Flux"].tensors()
    del tensors["txt_in.weight"]
    with pytest.raises(UnusableFile, match=r"lacks the tensor 'flux\.txt_in\.weight'"):
        loaded(bench, folder, "broken", tensors)


@pytest.mark.parametrize("name", ["InstantX, SD3", "InstantX, Flux"])
def test_other_numbers_of_channels_are_named(bench: Any, folder: Path, name: str) -> None:
    tensors = SORTS[name].tensors()
    key = "pos_embed_input.proj.weight" if "SD3" in name else "controlnet_x_embedder.weight"
    tensors[key] = torch.cat([tensors[key]] * 2, dim=1)
    with pytest.raises(UnusableFile, match="shown 32 channels of a picture; known are 16"):
        loaded(bench, folder, "doubled", tensors)


def test_unknown_kinds_are_named(bench: Any, folder: Path) -> None:
    tensors = SORTS["Stability, blur"].tensors() | {"control_type": torch.tensor([7])}
    with pytest.raises(UnusableFile, match=r"kind 7; known are .*blur"):
        loaded(bench, folder, "seven", tensors)
    for name, model in UNREAD.items():
        with pytest.raises(UnusableFile, match=f"a ControlNet of {model}, which is not read") as caught:
            loaded(bench, folder, model, {name: torch.ones(1), "controlnet_x_embedder.weight": torch.ones(1, 1)})
        assert "Flux.1" in caught.value.remedy


def test_they_are_told_in_other_slots(bench: Any, folder: Path) -> None:
    for number, sort in enumerate(SORTS.values()):
        name = saved(folder / "diffusion_models", f"net{number}", sort.tensors())
        with pytest.raises(UnknownFamily, match="it is a ControlNet") as caught:
            bench("UNETLoader", unet_name=name)
        assert "Load ControlNet Model" in caught.value.remedy
    with pytest.raises(UnknownFamily, match="not a ControlNet"):
        loaded(bench, folder, "whole", transformer("flux").state_dict())


def test_models_that_do_not_fit_are_named(bench: Any, folder: Path) -> None:
    said = {kind: parts(bench, folder, kind) for kind in ("sd3", "flux")}
    unet = UNet(UNetConfig(model_channels=32, channel_mult=(1,), transformer_depth=(0,), context_width=16))
    for name, sort in SORTS.items():
        net = ControlModel(sort.network, name)
        what = "Stable Diffusion 3" if sort.model == "sd3" else "Flux"
        other = said["flux" if sort.model == "sd3" else "sd3"]
        for model in (other["model"], replace(other["model"], network=unet)):
            with pytest.raises(InvalidRequest, match=f"'{name}' steers {what}; this model"):
                drawn(bench, steered(bench, {**other, "model": model}, net, vae=vae()))
    for name, more in (
        ("InstantX, SD3", {"width": 192}),
        ("InstantX, SD3", {"context_width": 24}),
        ("Stability, blur", {"vector_width": 24}),
        ("Stability, blur", {"channels": 4}),
    ):
        net = ControlModel(SORTS[name].network, name)
        model = replace(said["sd3"]["model"], network=random(MMDiT(replace(SD3, **more)), 1), latent=LatentFormat(16))
        ((what, its),) = more.items()
        with pytest.raises(InvalidRequest, match=rf"does not fit this model \(sd3\): it has {what} \d+, .* {its}\."):
            drawn(bench, steered(bench, {**said["sd3"], "model": model}, net, vae=vae()))


def test_a_vae_is_asked_for_and_must_be_the_models(bench: Any, folder: Path) -> None:
    for name, sort in SORTS.items():
        said, net = parts(bench, folder, sort.model), ControlModel(sort.network, name)
        if name in ("XLabs, Flux", "MistoLine, Flux"):
            without = drawn(bench, steered(bench, said, net))
            assert torch.equal(without, drawn(bench, steered(bench, said, net, vae=vae()))), (
                "it sees the picture itself"
            )
            continue
        with pytest.raises(InvalidRequest, match="follows the latent") as caught:
            steered(bench, said, net)
        assert "Link a VAE" in caught.value.remedy
        with pytest.raises(InvalidRequest, match="follows latents with 16 channels; the linked VAE makes 4") as caught:
            steered(bench, said, net, vae=vae(4))
        assert "of the model that is steered" in caught.value.remedy
        with pytest.raises(InvalidRequest, match="of 8 pixels a side each; the linked VAE's are of 16"):
            steered(bench, said, net, vae=vae(levels=5))


def test_only_unions_are_told_a_kind_of_picture(bench: Any) -> None:
    with pytest.raises(InvalidRequest, match="one kind of picture"):
        bench("SetUnionControlNetType", control_net=ControlModel(SORTS["InstantX, SD3"].network, "x"), type="depth")


# ---------------------------------------------------------------- with other things


@pytest.mark.parametrize("name", ["InstantX, SD3", "Stability, blur", "Stability, canny", "MistoLine, Flux"])
def test_it_steers_a_model_with_a_lora(bench: Any, folder: Path, name: str) -> None:
    """Which it does as if the LoRA's weights were the model's own."""
    sort = SORTS[name]
    said, net = parts(bench, folder, sort.model), ControlModel(sort.network, name)
    blocks, entry = ("joint_blocks.1.x_block.mlp.fc1", "x_embedder.proj")
    layers = (blocks, entry) if sort.model == "sd3" else ("double_blocks.1.img_mlp.0", "img_in")
    whole = transformer(sort.model).state_dict()
    generator, lora = torch.Generator().manual_seed(9), dict[str, Tensor]()
    for layer in layers:
        weight = whole[f"{layer}.weight"]
        up = torch.randn(weight.shape[0], 2, generator=generator) * 0.2
        down = torch.randn(2, *weight.shape[1:], generator=generator) * 0.2
        lora[f"diffusion_model.{layer}.lora_up.weight"] = up.view(*up.shape, *(1,) * (weight.dim() - 2))
        lora[f"diffusion_model.{layer}.lora_down.weight"] = down
        whole[f"{layer}.weight"] = weight + (up @ down.flatten(1)).view(weight.shape)
    file = saved(folder / "loras", "some", lora)
    model = bench("LoraLoaderModelOnly", model=said["model"], lora_name=file, strength_model=1.0)
    found = drawn(bench, steered(bench, {**said, "model": model}, net, vae=vae()))
    merged = bench("UNETLoader", unet_name=saved(folder / "diffusion_models", "merged", whole))
    expected = drawn(bench, steered(bench, {**said, "model": merged}, net, vae=vae()))
    assert torch.allclose(found, expected, atol=1e-4)
    assert not torch.allclose(found, drawn(bench, steered(bench, said, net, vae=vae())), atol=1e-3)


def test_several_of_different_kinds_add_up(bench: Any, folder: Path) -> None:
    said = parts(bench, folder, "sd3")
    nets = [ControlModel(SORTS[name].network, name) for name in ("InstantX, SD3", "Stability, depth")]
    one = steered(bench, steered(bench, said, nets[0], vae=vae()), nets[1], vae=vae(), strength=0.5)
    other = steered(bench, steered(bench, said, nets[1], vae=vae(), strength=0.5), nets[0], vae=vae())
    assert torch.allclose(drawn(bench, one), drawn(bench, other), atol=1e-4)
    assert not torch.allclose(drawn(bench, one), drawn(bench, steered(bench, said, nets[0], vae=vae())), atol=1e-3)


@pytest.mark.parametrize("name", ["InstantX, SD3", "Stability, depth", "XLabs, Flux", "MistoLine, Flux"])
def test_packs_hold_and_apply_it_too(bench: Any, folder: Path, installation: Settings, name: str) -> None:
    sort, stage = SORTS[name], vae()
    said, net = parts(bench, folder, sort.model), ControlModel(sort.network, name)
    expected = drawn(bench, steered(bench, said, net, vae=stage, strength=0.7))
    inner = make_host(installation.directories.base, Said())
    with installed(inner):
        host = FacadeHost(inner)
        host.open(BUILT_IN.nodes)
        packed: Any = host.to_pack(net)
        assert host.from_pack(packed) is net
        # A pack sets the picture and samples by itself: it asks the object for residuals at every call.
        follows = packed.copy().set_cond_hint(picture().movedim(-1, 1), 0.7, (0.0, 1.0), vae=host.to_pack(stage))
        sides = {side: [[features, {**more, "control": follows}] for features, more in said[side]] for side in SIDES}
        theirs = {side: host.from_pack(entries) for side, entries in sides.items()}
        assert torch.allclose(drawn(bench, {**said, **theirs}), expected, atol=1e-4)


def test_the_names_are_those_of_published_files() -> None:
    """Which tensors tell the kinds, as the release of each has them."""
    published = {
        "InstantX, SD3": (
            "pos_embed.pos_embed",
            "transformer_blocks.1.attn.add_q_proj.weight",
            "context_embedder.bias",
        ),
        "Stability, canny": (
            "transformer_blocks.1.adaLN_modulation.1.bias",
            "time_text_embed.text_embedder.linear_1.bias",
        ),
        "XLabs, Flux": ("controlnet_blocks.0.weight", "input_hint_block.14.bias", "pos_embed_input.weight"),
        "MistoLine, Flux": ("single_controlnet_blocks.1.linear.bias", "input_cond_block.encoder.18.weight"),
    }
    for name, keys in published.items():
        assert set(keys) <= set(SORTS[name].tensors()), name
    within, _ = apart(SORTS["InstantX, SD3"].network.state_dict(), "mmdit.")
    assert within and isinstance(SORTS["InstantX, SD3"].network, SD3Control)
