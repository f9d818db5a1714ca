from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from app.diffusion.drawing import guider
from app.diffusion.guidance.boxes import placed
from app.diffusion.models.gligen import GatedAttention, Gligen, GligenConfig
from app.diffusion.models.hooks import Place
from app.diffusion.models.unet import UNet, UNetConfig
from app.errors import InvalidRequest, Missing, UnknownFamily
from app.settings import Settings

WIDTH = 16  # of the tiny text encoder's pooled features
BLOCKS = ("input_blocks.1.1.transformer_blocks.0", "middle_block.1.transformer_blocks.0")


@pytest.fixture
def model(bench: Any) -> Any:
    """A U-Net that looks at pictures on all levels, in full precision."""
    tiny = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[0]
    torch.manual_seed(4)
    shape = {"channel_mult": (1, 2), "num_res_blocks": 1, "transformer_depth": (1, 1), "heads": 2, "groups": 8}
    network = UNet(UNetConfig(model_channels=16, context_width=tiny.network.config.context_width, **shape))
    return replace(tiny, network=network.requires_grad_(False).eval())


def layers() -> Gligen:
    torch.manual_seed(5)
    made = Gligen(GligenConfig(list(zip(BLOCKS, (16, 32), strict=True)), WIDTH, 12, 20))
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made.requires_grad_(False)


def load(bench: Any, installation: Settings, start: str = "") -> Any:
    folder = installation.directories.base / "models" / "gligen"
    folder.mkdir(parents=True, exist_ok=True)
    state = {}
    for name, value in layers().state_dict().items():
        if name.startswith("gates."):
            block, rest = name.removeprefix("gates.").split(".", 1)
            name = f"{block.replace('/', '.')}.fuser.{rest}"
        state[start + name] = value
    save_file(state, folder / "boxes.safetensors")
    return bench("GLIGENLoader", gligen_name="boxes.safetensors")


def said(bench: Any, text: str = "a red house") -> tuple[Any, Any]:
    clip = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[1]
    return clip, bench("CLIPTextEncode", clip=clip, text=text)


@pytest.mark.parametrize("start", ["", "model.diffusion_model."])
def test_files_are_read_by_their_published_names(bench: Any, installation: Settings, start: str) -> None:
    found, wanted = load(bench, installation, start), layers()
    assert found.config == replace(wanted.config, gates=sorted(wanted.config.gates))
    for name, value in wanted.state_dict().items():
        assert torch.equal(found.state_dict()[name].float(), value), name


def test_the_network_looks_at_the_boxes_between_picture_and_text(
    bench: Any, installation: Settings, model: Any
) -> None:
    gligen, (clip, prompt) = load(bench, installation), said(bench)
    given = {"clip": clip, "gligen_textbox_model": gligen}
    box = {"text": "a door", "width": 64, "height": 32, "x": 16, "y": 48}
    placed_once = bench("GLIGENTextBoxApply", conditioning_to=prompt, **given, **box)
    x, sigma = torch.randn(1, 4, 16, 12), torch.tensor(0.5)
    calls: list[tuple[tuple[int, ...], torch.Tensor]] = []
    usual = GatedAttention.forward

    class Noted(GatedAttention):
        def forward(self, x: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
            calls.append((tuple(x.shape), boxes))
            return usual(self, x, boxes)

    for gate in gligen.gates.values():
        gate.__class__ = Noted
    with torch.no_grad():
        seen = guider(model, placed_once).denoiser(x, False)(x, sigma)
        plain = guider(model, prompt).denoiser(x, False)(x, sigma)
    assert not torch.allclose(seen, plain, atol=1e-4)
    assert [shape for shape, _ in calls] == [(1, 16 * 12, 16), (1, 8 * 6, 32)]
    pooled = clip.encode("a door").pooled.float()
    corners = torch.tensor([[2 / 12, 6 / 16, 10 / 12, 10 / 16]])
    torch.testing.assert_close(calls[0][1][0], gligen.position_net.float()(pooled, corners))


def test_boxes_add_up_to_a_limit(bench: Any, installation: Settings, model: Any) -> None:
    gligen, (clip, prompt) = load(bench, installation), said(bench)
    given = {"clip": clip, "gligen_textbox_model": gligen, "text": "a"}
    for _ in range(31):
        prompt = bench("GLIGENTextBoxApply", conditioning_to=prompt, **given)
    assert len(prompt[0][1]["gligen"][2]) == 31
    with pytest.raises(InvalidRequest, match="31 boxes; GLIGEN takes 30"):
        guider(model, prompt).denoiser(torch.zeros(1, 4, 8, 8), False)


def test_what_does_not_fit_is_told(bench: Any, installation: Settings, model: Any) -> None:
    with pytest.raises(Missing, match="gone") as told:
        bench("GLIGENLoader", gligen_name="gone.safetensors")
    assert told.value.input_name == "gligen_name"
    folder = installation.directories.base / "models" / "gligen"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"lora_up.weight": torch.ones(2, 2)}, folder / "lora.safetensors")
    with pytest.raises(UnknownFamily, match="GLIGEN"):
        bench("GLIGENLoader", gligen_name="lora.safetensors")
    wide, (clip, prompt) = Gligen(GligenConfig([(BLOCKS[0], 16)], 20, 12, 20)), said(bench)
    with pytest.raises(InvalidRequest, match="16 wide; GLIGEN reads 20"):
        bench("GLIGENTextBoxApply", conditioning_to=prompt, clip=clip, gligen_textbox_model=wide, text="a")
    other = Gligen(GligenConfig([(BLOCKS[0], 24)], WIDTH, 12, 20)).requires_grad_(False)
    boxed = bench("GLIGENTextBoxApply", conditioning_to=prompt, clip=clip, gligen_textbox_model=other, text="a")
    x = torch.zeros(1, 4, 8, 8)
    with pytest.raises(InvalidRequest, match="16 channels there"):
        guider(model, boxed).denoiser(x, False)(x, torch.tensor(0.5))


def test_blocks_by_their_names() -> None:
    assert placed("output_blocks.3.1.transformer_blocks.2") == (Place("output", 3), 2)
    assert placed(BLOCKS[1]) == (Place("middle", 0), 0)
    with pytest.raises(InvalidRequest, match="no U-Net has"):
        placed("joint_blocks.3")
