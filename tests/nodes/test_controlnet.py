from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from app.diffusion.control import Control
from app.diffusion.model import DiffusionModel
from app.diffusion.models.controlnet import ControlNet, ControlNetConfig
from app.diffusion.models.controlnet_adapter import T2IAdapter, T2IAdapterConfig
from app.diffusion.models.mmdit import MMDiT, MMDiTConfig
from app.diffusion.models.unet import UNet, UNetConfig
from app.errors import InvalidRequest, Missing, UnknownFamily, UnusableFile
from app.settings import Settings
from app.wiring import Workshop
from tests.nodes.conftest import Bench

SMALL = UNetConfig(
    model_channels=32, channel_mult=(1, 2), num_res_blocks=1, transformer_depth=(1, 0), heads=8, context_width=16
)


def random(module: Any, seed: int) -> Any:
    """A module whose weights hide nothing."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.08, generator=generator)
    return module.eval().requires_grad_(False)


def steering(seed: int = 2, **more: Any) -> ControlNet:
    return random(ControlNet(ControlNetConfig(SMALL, **more)), seed)


@pytest.fixture
def bench(installation: Settings) -> Bench:
    """A bench that computes in full precision."""
    exact = replace(installation, engine=replace(installation.engine, precision="float32"))
    return Bench(Workshop.build(exact))


@pytest.fixture
def folder(installation: Settings) -> Path:
    folder = installation.directories.base / "models" / "controlnet"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def model(bench: Any) -> DiffusionModel:
    loaded, _, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    return replace(loaded, network=random(UNet(SMALL), 1))


@pytest.fixture
def parts(bench: Any, model: DiffusionModel) -> dict[str, Any]:
    """What a sampler is linked to."""
    _, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    return {
        "model": model,
        "positive": bench("CLIPTextEncode", clip=clip, text="a red circle"),
        "negative": bench("CLIPTextEncode", clip=clip, text=""),
        "latent_image": bench("EmptyLatentImage", width=48, height=32, batch_size=1),
        "steps": 2,
        "cfg": 2.0,
        "seed": 4,
    }


def loaded(bench: Any, folder: Path, name: str, tensors: dict[str, Tensor]) -> Any:
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors")
    return bench("ControlNetLoader", control_net_name=f"{name}.safetensors")


@pytest.fixture
def net(bench: Any, folder: Path) -> Any:
    return loaded(bench, folder, "canny", {f"control_model.{k}": v for k, v in steering().state_dict().items()})


def picture(count: int = 1, height: int = 32, width: int = 48, seed: int = 3) -> Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(seed))


def drawn(bench: Any, parts: dict[str, Any], **changes: Any) -> Tensor:
    return bench("KSampler", **{**parts, **changes})["samples"]


def steered(bench: Any, parts: dict[str, Any], net: Any, image: Tensor | None = None, **said: Any) -> dict[str, Any]:
    """The parts with both prompts steered."""
    sides = {name: parts[name] for name in ("positive", "negative")}
    image = picture() if image is None else image
    positive, negative = bench("ControlNetApplyAdvanced", **sides, control_net=net, image=image, **said)
    return {**parts, "positive": positive, "negative": negative}


def test_a_picture_steers_what_is_drawn(bench: Any, parts: dict[str, Any], net: Any) -> None:
    plain = drawn(bench, parts)
    there = drawn(bench, steered(bench, parts, net))
    assert not torch.allclose(there, plain, atol=1e-2)
    assert torch.equal(drawn(bench, steered(bench, parts, net)), there)
    assert not torch.allclose(drawn(bench, steered(bench, parts, net, picture(seed=9))), there, atol=1e-3)
    assert torch.equal(drawn(bench, parts), plain)


def test_it_is_the_network_with_residuals_at_its_connections(bench: Any, parts: dict[str, Any], net: Any) -> None:
    model, prompt = parts["model"], parts["positive"]
    control = net.following(picture(), 0.6, (0.0, 1.0), None)
    x = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor(0.7)
    context = prompt[0][0]
    adjust = control.adjusting(model, x)
    found = model.denoiser()(x, sigma, context=context, **adjust(x, sigma, {"context": context}))
    network = steering()
    levels = sigma.expand(1)
    time, scaled = model.sampling.timestep(levels), model.sampling.scaled_input(x, levels)
    residuals = network(scaled, time, network.seen(picture().movedim(-1, 1)), context)

    # By hand: the way down, then each connection and the middle with its residual.
    unet = model.network
    emb = unet.time_embed(_waves(time))
    h, skips = scaled, []
    for stage in unet.input_blocks:
        h = stage.run(h, emb, context)
        skips.append(h)
    h = unet.middle_block.run(h, emb, context) + 0.6 * residuals.pop()
    for stage in unet.output_blocks:
        skip = skips.pop() + 0.6 * residuals.pop()
        h = stage.run(torch.cat([h, skip], dim=1), emb, context, skips[-1].shape[2:] if skips else None)
    expected = model.sampling.denoised(x, levels, unet.out(h))
    assert torch.allclose(found, expected, atol=1e-3)


def _waves(time: Tensor) -> Tensor:
    from app.diffusion.models.unet import timestep_embedding

    return timestep_embedding(time, SMALL.model_channels)


def test_no_strength_changes_nothing(bench: Any, parts: dict[str, Any], net: Any) -> None:
    same = steered(bench, parts, net, strength=0.0)
    assert same["positive"] is parts["positive"] and same["negative"] is parts["negative"]
    assert (
        bench("ControlNetApply", conditioning=parts["positive"], control_net=net, image=picture(), strength=0.0)
        is (parts["positive"])
    )


def test_a_part_of_the_way(bench: Any, parts: dict[str, Any], net: Any) -> None:
    plain, whole = drawn(bench, parts), drawn(bench, steered(bench, parts, net))
    assert torch.equal(drawn(bench, steered(bench, parts, net, start_percent=0.999)), plain)
    # A level at the border of the part counts: the first one does, whatever the end is.
    first = drawn(bench, steered(bench, parts, net, end_percent=0.1))
    assert not torch.equal(first, plain) and not torch.equal(first, whole)
    late = drawn(bench, steered(bench, parts, net, start_percent=0.4))
    assert not torch.equal(late, plain) and not torch.equal(late, whole)
    control: Control = steered(bench, parts, net, start_percent=0.4, end_percent=0.6)["positive"][0][1]["control"]
    adjust = control.adjusting(parts["model"], torch.zeros(1, 4, 4, 6))
    context = {"context": parts["positive"][0][0]}
    active = [bool(adjust(torch.zeros(1, 4, 4, 6), torch.tensor(s), context)) for s in (0.61, 0.6, 0.5, 0.4, 0.39)]
    assert active == [False, True, True, True, False]


def test_several_add_up_in_any_order(bench: Any, parts: dict[str, Any], folder: Path, net: Any) -> None:
    other = loaded(bench, folder, "depth", steering(8).state_dict())
    first = steered(bench, steered(bench, parts, net), other, strength=0.5)
    second = steered(bench, steered(bench, parts, other, strength=0.5), net)
    assert torch.allclose(drawn(bench, first), drawn(bench, second), atol=1e-4)
    assert not torch.allclose(drawn(bench, first), drawn(bench, steered(bench, parts, net)), atol=1e-3)
    twice = steered(bench, steered(bench, parts, net, strength=0.5), net, strength=0.5)
    assert torch.allclose(drawn(bench, twice), drawn(bench, steered(bench, parts, net)), atol=1e-4)


def test_both_prompts_share_calls(bench: Any, parts: dict[str, Any], net: Any) -> None:
    sizes: list[int] = []
    network: UNet = parts["model"].network
    network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    drawn(bench, steered(bench, steered(bench, parts, net), net))
    assert sizes == [2, 2]


def test_the_old_node_steers_both_sides(bench: Any, parts: dict[str, Any], net: Any) -> None:
    old = bench("ControlNetApply", conditioning=parts["positive"], control_net=net, image=picture())
    assert old[0][1]["control_apply_to_uncond"] is True
    both = steered(bench, parts, net)
    assert both["positive"][0][1]["control_apply_to_uncond"] is False
    assert torch.allclose(drawn(bench, parts, positive=old), drawn(bench, both), atol=1e-5)
    alone = drawn(bench, parts, positive=both["positive"])
    assert not torch.allclose(alone, drawn(bench, both), atol=1e-3)
    # A negative prompt with a control of its own keeps it.
    own = drawn(bench, parts, positive=old, negative=both["negative"])
    assert torch.allclose(own, drawn(bench, both), atol=1e-3)


def test_the_picture_is_cut_and_scaled_to_the_latent(bench: Any, parts: dict[str, Any], net: Any) -> None:
    expected = drawn(bench, steered(bench, parts, net))
    larger = picture().repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.allclose(drawn(bench, steered(bench, parts, net, larger)), expected, atol=1e-5)
    framed = torch.ones(1, 64 + 20, 96, 3)
    framed[:, 10:-10] = larger
    assert torch.allclose(drawn(bench, steered(bench, parts, net, framed)), expected, atol=1e-5)


def test_each_picture_of_a_batch_follows_its_own(bench: Any, parts: dict[str, Any], net: Any) -> None:
    pictures = picture(2)
    latent = {**parts["latent_image"], "samples": torch.zeros(2, 4, 4, 6)}
    both = drawn(bench, steered(bench, parts, net, pictures), latent_image=latent)
    for index in (0, 1):
        same = drawn(bench, steered(bench, parts, net, pictures[index : index + 1]), latent_image=latent)
        assert torch.allclose(both[index], same[index], atol=1e-4)
        assert not torch.allclose(both[index], same[1 - index], atol=1e-3)
    three = {**latent, "samples": torch.zeros(3, 4, 4, 6)}
    again = drawn(bench, steered(bench, parts, net, pictures), latent_image=three)
    first = drawn(bench, steered(bench, parts, net, pictures[:1]), latent_image=three)
    assert torch.allclose(again[2], first[2], atol=1e-4), "the third one begins again"


def test_it_is_on_the_device_with_the_model(bench: Any, parts: dict[str, Any], net: Any) -> None:
    from app.diffusion.drawing import Recipe, draw

    said = steered(bench, steered(bench, parts, net), net)
    drawing = draw(said["model"], said["positive"], said["negative"], said["latent_image"], Recipe(steps=1))
    assert drawing.networks[0] is parts["model"].network
    assert {id(network) for network in drawing.networks[1:]} == {id(net.network)}


# ---------------------------------------------------------------- kinds of files


def test_differences_are_added_to_a_model(bench: Any, parts: dict[str, Any], folder: Path, net: Any) -> None:
    own = parts["model"].network.state_dict()
    whole = steering().state_dict()
    tensors = {name: value - own[name] if name in own else value for name, value in whole.items()}
    save_file({"difference": torch.zeros(1), **tensors}, folder / "difference.safetensors")
    made = bench("DiffControlNetLoader", model=parts["model"], control_net_name="difference.safetensors")
    assert all(torch.allclose(value, whole[name], atol=1e-6) for name, value in made.network.state_dict().items())
    plain = bench("DiffControlNetLoader", model=parts["model"], control_net_name="canny.safetensors")
    assert torch.allclose(drawn(bench, steered(bench, parts, plain)), drawn(bench, steered(bench, parts, net)))
    with pytest.raises(InvalidRequest, match="differences") as caught:
        bench("ControlNetLoader", control_net_name="difference.safetensors")
    assert "(diff)" in caught.value.remedy
    other = replace(parts["model"], network=random(UNet(replace(SMALL, context_width=24)), 1))
    with pytest.raises(InvalidRequest, match="another family"):
        bench("DiffControlNetLoader", model=other, control_net_name="difference.safetensors")


def test_a_control_lora_is_the_models_own_way_down_changed(bench: Any, parts: dict[str, Any], folder: Path) -> None:
    base = parts["model"].network.state_dict()
    network = steering()
    generator = torch.Generator().manual_seed(6)
    tensors: dict[str, Tensor] = {"lora_controlnet": torch.zeros(1)}
    expected: dict[str, Tensor] = {}
    for name, value in network.state_dict().items():
        if name not in base or name.endswith(".bias"):
            tensors[name] = expected[name] = value
        elif value.ndim < 2:
            expected[name] = base[name]  # the file says nothing of it
        else:
            up = torch.randn(value.shape[0], 3, generator=generator) * 0.1
            down = torch.randn(3, *value.shape[1:], generator=generator) * 0.1
            layer = name.removesuffix(".weight")
            tensors |= {f"{layer}.up": up.view(*up.shape, *(1,) * (value.ndim - 2)), f"{layer}.down": down}
            expected[name] = base[name] + (up @ down.flatten(1)).view(value.shape)
    lora = loaded(bench, folder, "lora", tensors)
    network.load_state_dict(expected)
    whole = loaded(bench, folder, "whole", network.state_dict())
    assert torch.allclose(
        drawn(bench, steered(bench, parts, lora)), drawn(bench, steered(bench, parts, whole)), atol=1e-4
    )
    made = lora.network_for(parts["model"])
    assert lora.network_for(parts["model"]) is made, "made once for a model"
    shared = made.state_dict()["input_blocks.1.0.in_layers.0.weight"]
    assert shared.data_ptr() == base["input_blocks.1.0.in_layers.0.weight"].data_ptr()
    wider = replace(parts["model"], network=random(UNet(replace(SMALL, context_width=24)), 1))
    with pytest.raises(InvalidRequest, match="does not fit the model"):
        lora.network_for(wider)


def test_it_steers_a_model_with_a_lora(
    bench: Any, parts: dict[str, Any], folder: Path, net: Any, installation: Settings
) -> None:
    """A ControlNet keeps its own weights; what is the model's own way down changed follows the LoRA."""
    layer = "input_blocks.0.0"
    merged = random(UNet(SMALL), 1)
    weight = merged.get_parameter(f"{layer}.weight")
    generator = torch.Generator().manual_seed(9)
    up = torch.randn(len(weight), 2, 1, 1, generator=generator) * 0.3
    down = torch.randn(2, *weight.shape[1:], generator=generator) * 0.3
    weight.data += (up.flatten(1) @ down.flatten(1)).view(weight.shape)
    place = installation.directories.base / "models" / "loras"
    place.mkdir(parents=True, exist_ok=True)
    name = f"diffusion_model.{layer}"
    save_file({f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}, place / "some.safetensors")
    model = bench("LoraLoaderModelOnly", model=parts["model"], lora_name="some.safetensors", strength_model=1.0)
    whole = {**parts, "model": replace(parts["model"], network=merged)}
    base = parts["model"].network.state_dict()
    own = {key: value for key, value in steering().state_dict().items() if key not in base}
    follower = loaded(bench, folder, "follower", {"lora_controlnet": torch.zeros(1), **own})
    for control in (net, follower):
        found = drawn(bench, steered(bench, {**parts, "model": model}, control))
        assert torch.allclose(found, drawn(bench, steered(bench, whole, control)), atol=1e-4)
        assert not torch.allclose(found, drawn(bench, steered(bench, parts, control)), atol=1e-3)


def test_a_union_is_told_its_kind_of_picture(bench: Any, parts: dict[str, Any], folder: Path, net: Any) -> None:
    union = loaded(bench, folder, "union", steering(5, tasks=8).state_dict())
    plain = drawn(bench, steered(bench, parts, union))
    auto = bench("SetUnionControlNetType", control_net=union, type="auto")
    assert torch.equal(drawn(bench, steered(bench, parts, auto)), plain)
    told = [
        drawn(bench, steered(bench, parts, bench("SetUnionControlNetType", control_net=union, type=kind)))
        for kind in ("openpose", "tile", "repaint")
    ]
    for index, each in enumerate(told):
        assert not torch.allclose(each, plain, atol=1e-4)
        assert not torch.allclose(each, told[index - 1], atol=1e-5)
    with pytest.raises(InvalidRequest, match="one kind of picture"):
        bench("SetUnionControlNetType", control_net=net, type="depth")
    fewer = loaded(bench, folder, "six", steering(5, tasks=6).state_dict())
    with pytest.raises(InvalidRequest, match="6 kinds"):
        bench("SetUnionControlNetType", control_net=fewer, type="tile")


def test_an_adapter_steers_at_every_level(bench: Any, parts: dict[str, Any], folder: Path) -> None:
    config = replace(SMALL, num_res_blocks=2)
    adapter = random(T2IAdapter(T2IAdapterConfig(1, (32, 64))), 3)
    sketch = loaded(bench, folder, "sketch", adapter.state_dict())
    said = {**parts, "model": replace(parts["model"], network=random(UNet(config), 1))}
    plain = drawn(bench, said)
    assert not torch.allclose(drawn(bench, steered(bench, said, sketch)), plain, atol=1e-3)
    grey = picture().mean(dim=-1, keepdim=True).expand(-1, -1, -1, 3)
    assert torch.allclose(
        drawn(bench, steered(bench, said, sketch, grey)), drawn(bench, steered(bench, said, sketch)), atol=1e-4
    )
    other = loaded(bench, folder, "wide", random(T2IAdapter(T2IAdapterConfig(3, (32, 96))), 3).state_dict())
    with pytest.raises(InvalidRequest, match=r"\[32, 96\] channels"):
        drawn(bench, steered(bench, said, other))


def test_a_mean_over_the_picture_steers_the_positive_side(bench: Any, parts: dict[str, Any], folder: Path) -> None:
    shuffle = loaded(bench, folder, "control_shuffle", steering().state_dict())
    both = steered(bench, parts, shuffle)
    alone = drawn(bench, {**both, "negative": parts["negative"]})
    assert torch.allclose(drawn(bench, both), alone, atol=1e-5)
    assert not torch.allclose(alone, drawn(bench, parts), atol=1e-3)
    x = torch.randn(1, 4, 4, 6)
    control = both["positive"][0][1]["control"]
    adjust = control.adjusting(parts["model"], x)
    middle = adjust.residuals(x, torch.tensor(0.5), {"context": parts["positive"][0][0]}).middle
    assert (middle - middle.mean(dim=(2, 3), keepdim=True)).abs().max() < 1e-6


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize("change", [{"context_width": 24}, {"model_channels": 64}, {"vector_width": 2816}])
def test_another_family_is_refused_before_a_step(
    bench: Any, parts: dict[str, Any], net: Any, change: dict[str, Any]
) -> None:
    other = replace(parts["model"], network=random(UNet(replace(SMALL, **change)), 1))
    with pytest.raises(InvalidRequest, match=r"'canny\.safetensors' does not fit this model") as caught:
        drawn(bench, steered(bench, parts, net), model=other)
    assert "same family" in caught.value.remedy
    assert not bench.heard


def test_a_picture_of_too_few_channels(bench: Any, parts: dict[str, Any], folder: Path, net: Any) -> None:
    grey = picture()[..., :1]
    with pytest.raises(InvalidRequest, match="looks at 3 channels of a picture; this one has 1") as caught:
        steered(bench, parts, net, grey)
    assert "Convert Mask to Image" in caught.value.remedy
    sketch = loaded(bench, folder, "sketch", random(T2IAdapter(T2IAdapterConfig(1, (32, 64))), 3).state_dict())
    assert steered(bench, parts, sketch, grey)["positive"][0][1]["control"].model is sketch


def test_a_transformer_is_refused(bench: Any, parts: dict[str, Any], net: Any) -> None:
    other = replace(parts["model"], network=MMDiT(MMDiTConfig(1, 64, 4, 16, 16, 8)))
    with pytest.raises(InvalidRequest, match="steers U-Nets"):
        drawn(bench, steered(bench, parts, net), model=other)


def test_other_files_are_refused_by_what_they_are(bench: Any, installation: Settings, folder: Path) -> None:
    checkpoint = installation.directories.base / "models" / "checkpoints" / "tiny.safetensors"
    (folder / "tiny.safetensors").write_bytes(checkpoint.read_bytes())
    with pytest.raises(UnknownFamily, match=r"not a ControlNet or a T2I-Adapter") as caught:
        bench("ControlNetLoader", control_net_name="tiny.safetensors")
    assert caught.value.input_name == "control_net_name"
    save_file({"lora_unet_a.lora_up.weight": torch.ones(2, 2)}, folder / "lora.safetensors")
    with pytest.raises(UnknownFamily, match="it is a LoRA") as caught:
        bench("ControlNetLoader", control_net_name="lora.safetensors")
    assert "models/loras" in caught.value.remedy
    (folder / "page.safetensors").write_text("<html>not found</html>")
    with pytest.raises(UnusableFile):
        bench("ControlNetLoader", control_net_name="page.safetensors")
    with pytest.raises(Missing):
        bench("ControlNetLoader", control_net_name="nowhere.safetensors")


@pytest.mark.parametrize(
    "lost", ["zero_convs.1.0.weight", "input_blocks.1.0.in_layers.2.weight", "middle_block_out.0.bias"]
)
def test_an_incomplete_file_says_what_is_missing(bench: Any, folder: Path, lost: str) -> None:
    tensors = steering().state_dict()
    del tensors[lost]
    with pytest.raises(UnusableFile, match=r"lacks the tensor|no whole ControlNet"):
        loaded(bench, folder, "broken", tensors)


def test_weights_that_are_no_numbers(bench: Any, folder: Path) -> None:
    tensors = steering().state_dict()
    tensors["zero_convs.0.0.weight"] = tensors["zero_convs.0.0.weight"] * float("nan")
    with pytest.raises(UnusableFile, match="not numbers"):
        loaded(bench, folder, "nan", tensors)


def test_an_adapter_or_a_controlnet_in_a_checkpoints_slot(bench: Any, installation: Settings) -> None:
    place = installation.directories.base / "models" / "checkpoints"
    save_file(steering().state_dict(), place / "net.safetensors")
    save_file(random(T2IAdapter(T2IAdapterConfig(1, (32, 64))), 3).state_dict(), place / "adapter.safetensors")
    for name, what in (("net", "a ControlNet"), ("adapter", "a T2I-Adapter")):
        with pytest.raises(UnknownFamily, match=f"it is {what}") as caught:
            bench("CheckpointLoaderSimple", ckpt_name=f"{name}.safetensors")
        assert "Load ControlNet Model" in caught.value.remedy


def test_other_apply_nodes_do_the_same(bench: Any, parts: dict[str, Any], net: Any) -> None:
    expected = drawn(bench, steered(bench, parts, net, strength=0.5, end_percent=0.9))
    _, _, vae = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    said = {name: parts[name] for name in ("positive", "negative")} | {"control_net": net, "vae": vae}
    said |= {"image": picture(), "strength": 0.5, "end_percent": 0.9}
    for node_id, more in (
        ("ControlNetApplySD3", {}),
        ("ControlNetInpaintingAliMamaApply", {"mask": torch.ones(1, 32, 48)}),
    ):
        positive, negative = bench(node_id, **said, **more)
        assert torch.allclose(drawn(bench, parts, positive=positive, negative=negative), expected, atol=1e-5)
        unchanged = bench(node_id, **{**said, "strength": 0.0}, **more)
        assert unchanged[0] is parts["positive"] and unchanged[1] is parts["negative"]
