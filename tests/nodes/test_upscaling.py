from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from app.diffusion import upscaling
from app.diffusion.models.upscaler import Compact, CompactConfig, Esrgan, EsrganConfig
from app.diffusion.upscaling import Upscaler, upscaled
from app.engine.events import Progress
from app.errors import Missing, OutOfMemory, UnknownFamily, UnusableFile
from app.settings import Settings

SMALL = EsrganConfig(width=8, blocks=2, growth=4)


def random(module: Any, seed: int = 1) -> Any:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    return module.eval().requires_grad_(False)


@pytest.fixture
def folder(installation: Settings) -> Path:
    folder = installation.directories.base / "models" / "upscale_models"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def picture(height: int = 10, width: int = 7, count: int = 1) -> Tensor:
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(3))


def older(state: dict[str, Tensor], doublings: int) -> dict[str, Tensor]:
    """The names of the first release, where an upscaling is a resize and a convolution."""
    outer = {"conv_first": 0, **{f"conv_up{n}": 3 * n for n in range(1, doublings + 1)}}
    outer |= {"conv_hr": 3 * doublings + 2, "conv_last": 3 * doublings + 4}
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        parts = layer.split(".")
        if layer in outer:
            renamed[f"model.{outer[layer]}.{kind}"] = value
        elif layer == "conv_body":
            renamed[f"model.1.sub.{SMALL.blocks}.{kind}"] = value
        else:
            renamed[f"model.1.sub.{parts[1]}.{parts[2].upper()}.{parts[3]}.0.{kind}"] = value
    return renamed


def middle(state: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {"conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2", "conv_hr": "HRconv"}
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        layer = names.get(layer, layer.replace("body.", "RRDB_trunk.").replace("rdb", "RDB"))
        renamed[f"{layer}.{kind}"] = value
    return renamed


@pytest.mark.parametrize("layout", ["new", "older", "middle", "wrapped", "archive"])
def test_every_layout_is_the_same_network(bench: Any, folder: Path, layout: str) -> None:
    network = random(Esrgan(SMALL))
    state: dict[str, Tensor] = network.state_dict()
    if layout == "archive":
        torch.save({"params_ema": state}, folder / "net.pth")
    else:
        wrapped = {f"params_ema.{name}": value for name, value in state.items()}
        tensors = {"older": older(state, 2), "middle": middle(state), "wrapped": wrapped}.get(layout, state)
        save_file(tensors, folder / "net.safetensors")
    model = bench("UpscaleModelLoader", model_name="net.pth" if layout == "archive" else "net.safetensors")
    assert model.scale == 4
    image = bench("ImageUpscaleWithModel", upscale_model=model, image=picture())
    expected = network(picture().movedim(-1, 1)).movedim(1, -1).clamp(0, 1)
    assert image.shape == (1, 40, 28, 3)
    assert torch.allclose(image, expected, atol=1e-5)
    assert [(e.value, e.maximum) for e in bench.heard if isinstance(e, Progress)] == [(1, 1)]


@pytest.mark.parametrize(("doublings", "fold", "scale"), [(1, 1, 2), (3, 1, 8), (2, 2, 2), (2, 4, 1)])
def test_other_scales(bench: Any, folder: Path, doublings: int, fold: int, scale: int) -> None:
    config = EsrganConfig(8, 1, 4, doublings, fold)
    save_file(random(Esrgan(config)).state_dict(), folder / "net.safetensors")
    model = bench("UpscaleModelLoader", model_name="net.safetensors")
    assert model.scale == scale and model.model.config == config
    assert bench("ImageUpscaleWithModel", upscale_model=model, image=picture(9, 7, 2)).shape == (
        *(2, 9 * scale, 7 * scale, 3),
    )


def test_the_compact_network_adds_to_the_pixels(bench: Any, folder: Path) -> None:
    network = random(Compact(CompactConfig(8, 3, 2)))
    save_file(network.state_dict(), folder / "compact.safetensors")
    model = bench("UpscaleModelLoader", model_name="compact.safetensors")
    assert model.model.config == CompactConfig(8, 3, 2)
    nn.init.zeros_(model.model.body[-1].weight)
    nn.init.zeros_(model.model.body[-1].bias)
    doubled = picture().repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.allclose(bench("ImageUpscaleWithModel", upscale_model=model, image=picture()), doubled, atol=1e-6)


def test_a_dense_block_by_hand() -> None:
    """Wang et al. 2018, figure 4: every layer sees the input and all layers before it."""
    network = random(Esrgan(SMALL))
    block: Any = network.body[0]
    x = torch.randn(1, 8, 4, 4)
    out = x
    for dense in (block.rdb1, block.rdb2, block.rdb3):
        seen = [out]
        for number in range(1, 5):
            layer = getattr(dense, f"conv{number}")
            seen.append(F.leaky_relu(F.conv2d(torch.cat(seen, 1), layer.weight, layer.bias, padding=1), 0.2))
        last = F.conv2d(torch.cat(seen, 1), dense.conv5.weight, dense.conv5.bias, padding=1)
        out = out + 0.2 * last
    assert torch.allclose(block(x), x + 0.2 * out, atol=1e-5)


def test_tiles_agree_with_the_whole() -> None:
    upscaler = Upscaler(random(Compact(CompactConfig(8, 1, 2))), "net")
    image = picture(70, 90)
    whole = upscaled(upscaler, image)
    told: list[tuple[int, int]] = []
    side = upscaling._in_tiles(upscaler, image, 40, lambda *said: told.append(said))  # pyright: ignore[reportPrivateUsage]
    assert told[-1] == (len(told), len(told)) and len(told) > 4
    # Three layers see three pixels each way; what differs lies where a tile's edge still counts a little.
    assert torch.nn.functional.mse_loss(side, whole) < 1e-4


def test_less_memory_means_smaller_tiles() -> None:
    sides: list[int] = []

    class Poor(Compact):
        def forward(self, x: Tensor) -> Tensor:
            sides.append(max(x.shape[-2:]))
            if max(x.shape[-2:]) > 150:
                raise OutOfMemory("no room", remedy="")
            return super().forward(x)

    poor = Upscaler(random(Poor(CompactConfig(4, 1, 2))), "net")
    assert upscaled(poor, picture(200, 300)).shape == (1, 400, 600, 3)
    assert sides[0] == 300 and max(sides[2:]) == 128
    none = Upscaler(random(Poor(CompactConfig(4, 1, 2))), "net")
    none.model.forward = _never  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(OutOfMemory):
        upscaled(none, picture(200, 300))


def _never(x: Tensor) -> Tensor:
    raise OutOfMemory("no room", remedy="")


def test_other_files_are_refused(bench: Any, installation: Settings, folder: Path) -> None:
    checkpoint = installation.directories.base / "models" / "checkpoints" / "tiny.safetensors"
    (folder / "tiny.safetensors").write_bytes(checkpoint.read_bytes())
    save_file({"lora_unet_a.lora_up.weight": torch.ones(2, 2)}, folder / "lora.safetensors")
    save_file({"layers.0.residual_group.blocks.0.norm1.weight": torch.ones(2)}, folder / "swin.safetensors")
    state = random(Esrgan(SMALL)).state_dict()
    del state["conv_hr.weight"]
    save_file(state, folder / "part.safetensors")
    for name, kind, words in (
        ("tiny", UnknownFamily, "is not an upscaler"),
        ("lora", UnknownFamily, "it is a LoRA"),
        ("swin", UnknownFamily, "not an upscaler that is known"),
        ("part", UnusableFile, r"lacks the tensor 'conv_hr\.weight'"),
    ):
        with pytest.raises(kind, match=words) as caught:
            bench("UpscaleModelLoader", model_name=f"{name}.safetensors")
        assert caught.value.input_name == "model_name"
    with pytest.raises(Missing):
        bench("UpscaleModelLoader", model_name="none.safetensors")
