"""Types of ports, widgets and what nodes with schemas show, as clients are told of them."""

from __future__ import annotations

import importlib
import wave
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from app.context.context import NodeContext
from app.diffusion.models.upscaler import Esrgan, EsrganConfig
from app.engine.events import Progress
from app.errors import InvalidRequest
from app.extend.facade.bridge import FacadeHost
from tests.extend.facade.conftest import Said


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


@pytest.fixture
def io(host: FacadeHost) -> Any:
    return importlib.import_module("comfy_api.latest").io


@pytest.fixture
def ui(host: FacadeHost) -> Any:
    return importlib.import_module("comfy_api.latest").ui


# Type, words of its input, and the options that clients are told.
PORTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("Int", {"default": 3, "min": 0, "max": 9, "step": 3}, {"default": 3, "min": 0, "max": 9, "step": 3}),
    ("Int", {"control_after_generate": True}, {"control_after_generate": True}),
    ("Int", {"force_input": True, "socketless": False}, {"forceInput": True, "socketless": False}),
    ("Float", {"default": 0.5, "round": 0.01}, {"default": 0.5, "round": 0.01}),
    ("Float", {"min": -1.0, "gradient_stops": [1]}, {"min": -1.0, "gradient_stops": [1]}),
    (
        "Boolean",
        {"default": False, "label_on": "y", "label_off": "n"},
        {"default": False, "label_on": "y", "label_off": "n"},
    ),
    ("String", {"multiline": True, "placeholder": "p"}, {"multiline": True, "placeholder": "p"}),
    ("String", {"dynamic_prompts": False}, {"multiline": False, "dynamicPrompts": False}),
    ("Color", {"default": "#ff0000"}, {"default": "#ff0000"}),
    ("Combo", {"options": ["a", "b"], "default": "b"}, {"options": ["a", "b"], "default": "b"}),
    ("Combo", {"options": Mood, "default": Mood.WILD}, {"options": ["calm", "wild"], "default": "wild"}),
    (
        "MultiCombo",
        {"options": ["a"]},
        {"options": ["a"], "multiselect": True, "multi_select": {"placeholder": "", "chip": False}},
    ),
    ("Image", {"tooltip": "t", "lazy": True}, {"tooltip": "t", "lazy": True}),
    ("Mask", {"display_name": "d", "advanced": True}, {"display_name": "d", "advanced": True}),
    ("Latent", {"raw_link": True, "extra_dict": {"acme": 1}}, {"rawLink": True, "acme": 1}),
]


@pytest.mark.parametrize(("kind", "words", "told"), PORTS)
def test_what_clients_are_told_of_an_input(io: Any, kind: str, words: dict[str, Any], told: dict[str, Any]) -> None:
    assert getattr(io, kind).Input("x", **words).as_dict() == told


@pytest.mark.parametrize("button", ["image", "audio", "video", "model"])
def test_upload_buttons(io: Any, button: str) -> None:
    upload = getattr(io.UploadType, button)
    told = io.Combo.Input("x", options=[], upload=upload, image_folder=io.FolderType.output).as_dict()
    assert told == {"options": [], upload.value: True, "image_folder": "output"}


def test_options_from_a_route(io: Any) -> None:
    remote = io.RemoteOptions("/acme/names", refresh_button=False, timeout=5)
    told = io.Combo.Input("x", remote=remote).as_dict()["remote"]
    expected = {"route": "/acme/names", "refresh_button": False, "control_after_refresh": "first", "timeout": 5}
    assert told == expected
    assert io.Combo.Output("x", options=Mood).options == ["calm", "wild"]
    assert io.Int.Input("n", display_mode=io.NumberDisplay.slider).as_dict()["display"] == "slider"


def test_types_of_ones_own(io: Any) -> None:
    @io.comfytype(io_type="ACME")
    class Acme(io.ComfyType):
        class Input(io.Input):
            def as_dict(self) -> dict[str, Any]:
                return {**super().as_dict(), "mine": True}

    assert Acme.Input("x", tooltip="t").as_dict() == {"tooltip": "t", "mine": True}
    assert (Acme.Input("x").get_io_type(), Acme.Output().get_io_type()) == ("ACME", "ACME")
    assert io.Custom("OTHER").Input("x").get_io_type() == "OTHER"
    assert io.Image is io.Image


def test_ports_that_share_a_type(io: Any) -> None:
    open_ended = io.MatchType.Template("t")
    limited = io.MatchType.Template("u", [io.Image, "MASK"])
    assert open_ended.as_dict() == {"template_id": "t", "allowed_types": "*"}
    assert io.MatchType.Template("v", io.Image).as_dict()["allowed_types"] == "IMAGE"
    port = io.MatchType.Input("x", template=limited, optional=True)
    assert port.as_dict() == {"template": {"template_id": "u", "allowed_types": "IMAGE,MASK"}}
    assert port.get_io_type() == io.MatchType.Output(limited).get_io_type() == "COMFY_MATCHTYPE_V3"


def test_several_types_and_a_widget_for_what_no_link_gives(io: Any) -> None:
    plain = io.MultiType.Input("x", [io.Image, "ACME", io.Image])
    assert (plain.get_io_type(), plain.as_dict()) == ("IMAGE,ACME", {})
    widget = io.Float.Input("n", default=0.5, optional=True, display_name="N")
    both = io.MultiType.Input(widget, [io.Int, io.Float])
    assert (both.id, both.optional, both.get_io_type()) == ("n", True, "FLOAT,INT")
    assert both.as_dict() == {"default": 0.5, "display_name": "N", "widgetType": "FLOAT"}


def test_inputs_that_grow(io: Any) -> None:
    template = io.Autogrow.TemplatePrefix(io.Image.Input("image", optional=True), prefix="image", min=2, max=5)
    told = io.Autogrow.Input("images", template=template).as_dict()["template"]
    assert told == {"input": {"optional": {"image": ["IMAGE", {}]}}, "prefix": "image", "min": 2, "max": 5}
    names = io.Autogrow.TemplateNames(io.Int.Input("n"), names=("a", "b")).as_dict()
    assert names == {"input": {"required": {"n": ["INT", {}]}}, "names": ["a", "b"], "min": 1}


def test_choices_that_bring_inputs(io: Any) -> None:
    option = io.DynamicCombo.Option("big", [io.Int.Input("n", min=1), io.Image.Input("like", optional=True)])
    (told,) = io.DynamicCombo.Input("size", options=[option]).as_dict()["options"]
    sections = {"required": {"n": ["INT", {"min": 1}]}, "optional": {"like": ["IMAGE", {}]}}
    assert told == {"key": "big", "inputs": sections}


def test_results_and_what_is_hidden(io: Any) -> None:
    assert io.NodeOutput().result is None
    assert io.NodeOutput(1, 2).result == (1, 2)
    made = io.NodeOutput.from_dict({"result": (3,), "ui": {"text": ["x"]}, "expand": {"1": {}}})
    assert (made.result, made.ui, made.expand, made.block_execution) == ((3,), {"text": ["x"]}, {"1": {}}, None)
    given = io.HiddenHolder({"prompt": {}})
    assert (given.prompt, given.unique_id) == ({}, None)
    with pytest.raises(AttributeError):
        _ = given.__length_hint__


def test_a_class_that_says_nothing(io: Any) -> None:
    class Silent(io.ComfyNode):
        pass

    for ask, missing in ((Silent.GET_SCHEMA, "define_schema"), (Silent.execute, "execute")):
        with pytest.raises(TypeError, match=f"Silent has no {missing}"):
            ask()
    assert Silent.validate_inputs(a=1) is True
    assert Silent.fingerprint_inputs() is None
    assert Silent.check_lazy_status(a=None, b=1) == ["a"]
    locked = Silent.locked({"unique_id": "7"})
    assert (locked.hidden.unique_id, Silent.hidden.unique_id) == ("7", None)
    with pytest.raises(AttributeError, match=r"Silent\.kept"):
        locked.kept = 1
    Silent.kept = 2
    assert locked.kept == 2


# ---------------------------------------------------------------- what is shown

FILE = {"filename": "a.png", "subfolder": "s", "type": "temp"}


def test_files_that_were_saved(ui: Any, io: Any) -> None:
    saved = ui.SavedResult("a.png", "s", io.FolderType.temp)
    assert (dict(saved), saved.filename, saved.subfolder, saved.type) == (FILE, "a.png", "s", "temp")


@pytest.mark.parametrize(
    ("kind", "words", "told"),
    [
        ("SavedImages", {"results": [FILE]}, {"images": [FILE]}),
        ("SavedImages", {"results": [FILE], "is_animated": True}, {"images": [FILE], "animated": (True,)}),
        ("SavedAudios", {"results": [FILE]}, {"audio": [FILE]}),
        ("PreviewVideo", {"values": [FILE]}, {"images": [FILE], "animated": (True,)}),
        ("PreviewText", {"value": "t", "cls": None}, {"text": ("t",)}),
        ("PreviewUI3D", {"model_file": "m.glb", "camera_info": {"x": 1}}, {"result": ["m.glb", {"x": 1}]}),
    ],
)
def test_what_is_shown(ui: Any, kind: str, words: dict[str, Any], told: dict[str, Any]) -> None:
    assert getattr(ui, kind)(**words).as_dict() == told


@pytest.mark.parametrize(("kind", "shape"), [("PreviewImage", (2, 4, 6, 3)), ("PreviewMask", (2, 4, 6))])
def test_pictures_and_masks_are_saved_to_be_shown(ui: Any, host: FacadeHost, kind: str, shape: tuple[int, ...]) -> None:
    from PIL import Image

    cls = SimpleNamespace(hidden=SimpleNamespace(prompt={"1": {}}, extra_pnginfo=None))
    told = getattr(ui, kind)(torch.ones(shape), cls=cls).as_dict()
    assert told["animated"] == (False,)
    for entry in told["images"]:
        with Image.open(Path(host.host.folders.temp) / entry["filename"]) as picture:
            assert (picture.size, picture.getpixel((0, 0))) == ((6, 4), (255, 255, 255))
            assert "prompt" in picture.info
    assert len(told["images"]) == 2


@pytest.mark.parametrize(("folder", "kind"), [("output", "output"), ("temp", "temp")])
def test_pictures_are_saved_by_a_helper(ui: Any, host: FacadeHost, folder: str, kind: str) -> None:
    (saved,) = ui.ImageSaveHelper.save_images(torch.zeros(1, 2, 2, 3), "acme/x", folder)
    assert dict(saved) == {"filename": "x_00001_.png", "subfolder": "acme", "type": kind}
    assert (Path(getattr(host.host.folders, folder)) / "acme" / saved.filename).is_file()
    shown = ui.ImageSaveHelper.get_save_images_ui(torch.zeros(2, 2, 2, 3), "y").as_dict()
    assert [entry["filename"] for entry in shown["images"]] == ["y_00001_.png", "y_00002_.png"]


async def test_progress_of_nodes_with_schemas(host: FacadeHost, context: NodeContext, said: Said) -> None:
    latest, progress = importlib.import_module("comfy_api.latest"), importlib.import_module("comfy_execution.progress")
    with host.enter(context):
        await latest.ComfyAPI().execution.set_progress(1, 4, preview_image=torch.zeros(1, 2, 2, 3))
        latest.ComfyAPISync().execution.set_progress(2, 4)
        progress.get_progress_state().update_progress("7", 3, 4)
    assert [(e.value, e.maximum) for e in said.events if isinstance(e, Progress)] == [(1, 4), (2, 4), (3, 4)]
    assert await latest.ComfyExtension().get_node_list() == []


# ---------------------------------------------------------------- helpers


@pytest.mark.parametrize(("append", "there", "expected"), [(False, [1], [2]), (True, [1], [1, 2]), (True, None, [2])])
def test_options_of_conditioning(host: FacadeHost, append: bool, there: Any, expected: Any) -> None:
    helpers = importlib.import_module("node_helpers")
    before = [["features", {"kept": 1, "ref": there}]]
    ((features, said),) = helpers.conditioning_set_values(before, {"ref": [2]}, append=append)
    assert (features, said) == ("features", {"kept": 1, "ref": expected})
    assert before[0][1] == {"kept": 1, "ref": there}


def test_small_helpers(host: FacadeHost, tmp_path: Path) -> None:
    from PIL import Image, ImageFile

    helpers = importlib.import_module("node_helpers")
    names = ("fp32", "fp16", "bf16", "fp8")
    assert [helpers.string_to_torch_dtype(name) for name in names] == [
        torch.float32,
        torch.float16,
        torch.bfloat16,
        None,
    ]
    assert helpers.hasher()(b"x").hexdigest()[:8] == "2d711642"
    three, four = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 4)
    assert [part.shape[-1] for part in helpers.image_alpha_fix(three, four)] == [3, 3]
    opaque = helpers.image_alpha_fix(four, three)[1]
    assert opaque.shape[-1] == 4 and bool((opaque[..., 3] == 1).all())
    Image.new("RGB", (64, 64), (9, 8, 7)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-30])
    with helpers.open_image(str(tmp_path / "cut.png")) as picture:
        assert helpers.pillow(lambda each: each.convert("L"), picture).size == (64, 64)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [("*", "IMAGE", True), ("IMAGE", "*", True), ("IMAGE", "MASK", False), ("FLOAT,INT", "INT", True)],
)
def test_names_of_types_fit(host: FacadeHost, one: str, other: str, fits: bool) -> None:
    kinds = importlib.import_module("comfy.comfy_types.node_typing")
    assert (kinds.IO(one) != other) is not fits
    assert kinds.CheckLazyMixin().check_lazy_status(a=None, b=0) == ["a"]
    with pytest.raises(TypeError):
        kinds.ComfyNodeABC()


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_pictures_that_move(ui: Any, host: FacadeHost, ending: str) -> None:
    images = torch.rand(3, 8, 12, 3)
    cls = SimpleNamespace(hidden=SimpleNamespace(prompt={"1": {}}, extra_pnginfo={"workflow": {"nodes": []}}))
    show = getattr(ui.ImageSaveHelper, f"get_save_animated_{ending}_ui")
    told = show(images, "sub/clip", cls, 10.0).as_dict()
    assert told["animated"] == (True,)
    assert told["images"] == [{"filename": f"clip_00001_.{ending}", "subfolder": "sub", "type": "output"}]
    with Image.open(host.host.folders.output / "sub" / f"clip_00001_.{ending}") as moving:
        assert (moving.n_frames, moving.size) == (3, (12, 8))  # pyright: ignore[reportAttributeAccessIssue]
        texts = str(moving.info.get("workflow")) if ending == "png" else str(dict(moving.getexif()))
    assert '{"nodes": []}' in texts
    one = show(images[:1], "clip", None, 10.0).as_dict()
    assert "animated" not in one


def test_sounds(ui: Any, host: FacadeHost) -> None:
    waveform = torch.tensor([[[0.0, 0.5, -0.5, 2.0], [0.0, 0.0, 0.0, -2.0]]]).repeat(2, 1, 1)
    told = ui.AudioSaveHelper.get_save_audio_ui({"waveform": waveform, "sample_rate": 8000}, "note").as_dict()
    assert [entry["filename"] for entry in told["audio"]] == ["note_00001_.wav", "note_00002_.wav"]
    with wave.open(str(host.host.folders.output / "note_00002_.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 4)
        samples = torch.frombuffer(bytearray(file.readframes(4)), dtype=torch.int16).view(4, 2)
    assert samples.T.tolist() == [[0, 16384, -16384, 32767], [0, 0, 0, -32767]]
    shown = ui.PreviewAudio({"waveform": waveform[:1], "sample_rate": 8000}).as_dict()
    assert shown["audio"][0]["type"] == "temp"
    with pytest.raises(InvalidRequest, match="cannot be written as 'flac'"):
        ui.AudioSaveHelper.save_audio({"waveform": waveform, "sample_rate": 8000}, "note", "output", None, "flac")


def test_upscalers_by_the_old_door(host: FacadeHost) -> None:
    loading = importlib.import_module("comfy_extras.chainner_models.model_loading")
    utils = importlib.import_module("comfy.utils")
    state = Esrgan(EsrganConfig(8, 1, 4)).state_dict()
    model = loading.load_state_dict(state).to(torch.device("cpu"))
    picture = torch.rand(1, 3, 20, 20)
    tiled = utils.tiled_scale(picture, lambda part: model(part), 16, 16, 4, upscale_amount=model.scale)
    assert tiled.shape == (1, 3, 80, 80) and model.model.conv_first.weight.shape[0] == 8


def test_videos_that_packs_make(host: FacadeHost) -> None:
    latest = importlib.import_module("comfy_api.latest")
    util = importlib.import_module("comfy_api.util")
    assert latest.Types is util and latest.Input.VideoInput is importlib.import_module("comfy_api.input").VideoInput
    made = util.VideoComponents(images=torch.zeros(10, 6, 8, 3), frame_rate=Fraction(5))
    video = latest.InputImpl.VideoFromComponents(made)
    assert isinstance(video, latest.Input.VideoInput) and video.get_components() is made
    assert (video.get_dimensions(), video.get_frame_count(), video.get_duration()) == ((8, 6), 10, 2.0)
    assert util.VideoCodec.as_input() == ["auto", "h264"] and util.VideoContainer.get_extension("mp4") == "mp4"
    with pytest.raises(InvalidRequest, match="no encoder"):
        video.save_to("a.mp4")
    with pytest.raises(InvalidRequest, match=r"'a\.mp4' cannot be read"):
        latest.InputImpl.VideoFromFile("a.mp4")
    with pytest.raises(TypeError, match="get_components"):
        latest.Input.VideoInput().get_dimensions()
