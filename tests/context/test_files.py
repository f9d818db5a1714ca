from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from app.context.files import NodeFiles
from app.errors import Forbidden, InvalidRequest, Missing
from app.images.metadata import read_texts
from app.settings import Settings
from app.store.outputs import OutputFolders
from app.wiring import open_all_folders


@pytest.fixture
def outputs(installation: Settings) -> OutputFolders:
    return OutputFolders(installation.directories.output, installation.directories.temp)


@pytest.fixture
def files(installation: Settings, outputs: OutputFolders) -> NodeFiles:
    return NodeFiles(open_all_folders(installation), outputs)


def test_images_are_staged_and_described(files: NodeFiles, outputs: OutputFolders) -> None:
    entries = files.save_images(torch.rand(2, 4, 6, 3), "a/b", prompt={"1": {}}, extra={"workflow": {"nodes": []}})
    assert [(entry["prefix"], entry["type"], entry["format"]) for entry in entries] == [("a/b", "output", "png")] * 2
    assert (entries[0]["width"], entries[0]["height"]) == (6, 4)
    staged = outputs.staging / entries[0]["staged"]
    assert read_texts(staged) == {"prompt": '{"1": {}}', "workflow": '{"nodes": []}'}
    published = outputs.publish_ui({"images": entries}, "job", "9")
    assert [entry["filename"] for entry in published["images"]] == ["b_00001_.png", "b_00002_.png"]
    assert published["images"][0]["subfolder"] == "a"


def test_files_need_not_tell_their_graph(installation: Settings, outputs: OutputFolders) -> None:
    files = NodeFiles(open_all_folders(installation), outputs, metadata=False)
    (entry,) = files.save_images(torch.rand(1, 4, 4, 3), "x", prompt={"1": {}}, extra={"workflow": {}})
    assert read_texts(outputs.staging / entry["staged"]) == {}


@pytest.mark.parametrize(("format", "ending"), [("jpeg", ".jpg"), ("webp", ".webp")])
def test_other_formats_have_their_endings(files: NodeFiles, format: str, ending: str) -> None:
    (entry,) = files.save_images(torch.rand(1, 4, 4, 3), "x", format=format)
    assert entry["staged"].endswith(ending)


def test_the_number_in_the_batch_can_be_part_of_the_name(files: NodeFiles) -> None:
    entries = files.save_images(torch.rand(2, 2, 2, 3), "n%batch_num%", kind="temp")
    assert [entry["prefix"] for entry in entries] == ["n0", "n1"]
    assert {entry["type"] for entry in entries} == {"temp"}


@pytest.mark.parametrize("prefix", ["../x", "/etc/x", "a/../../x", "C:/x", "nul\0"])
def test_a_prefix_that_leaves_the_folder_is_refused_before_anything_is_written(
    files: NodeFiles, outputs: OutputFolders, prefix: str
) -> None:
    with pytest.raises(Forbidden):
        files.save_images(torch.rand(1, 2, 2, 3), prefix)
    assert not outputs.staging.exists()


def test_what_is_no_batch_of_images_is_refused(files: NodeFiles) -> None:
    with pytest.raises(InvalidRequest, match="no images"):
        files.save_images(torch.rand(2, 2, 3), "x")


def test_input_pictures_are_found_by_name(files: NodeFiles, installation: Settings) -> None:
    folder: Path = installation.directories.input / "sub"
    folder.mkdir()
    Image.new("RGB", (3, 2), (255, 255, 255)).save(folder / "white.png")
    assert files.load_image("sub/white.png").image.shape == (1, 2, 3, 3)
    Image.new("RGB", (5, 5)).save(installation.directories.output / "made.png")
    assert files.load_image("made.png [output]").image.shape == (1, 5, 5, 3)


def test_results_are_found_without_saying_where(files: NodeFiles, installation: Settings) -> None:
    Image.new("RGB", (5, 4)).save(installation.directories.output / "made.png")
    for name in ("made.png", "made.png [output]"):
        assert files.load_image(name, "output").image.shape == (1, 4, 5, 3)
    with pytest.raises(Missing, match="output file"):
        files.load_image("other.png", "output")
    with pytest.raises(Forbidden):
        files.load_image("../x.png", "output")


def test_folders_are_found_below_input_only(files: NodeFiles, installation: Settings) -> None:
    folder = installation.directories.input / "cats"
    folder.mkdir()
    (folder / "a.txt").touch()
    assert files.folder("cats") == folder
    for name in ("", "dogs", "cats/a.txt"):
        with pytest.raises(Missing):
            files.folder(name)
    (installation.directories.input / "out").symlink_to(installation.directories.output)
    for name in ("..", "/etc", "out"):
        with pytest.raises(Forbidden):
            files.folder(name)


def test_an_adapter_is_staged_as_a_file_of_tensors(files: NodeFiles, outputs: OutputFolders) -> None:
    whole = torch.rand(4, 4)
    (entry,) = files.save_adapter({"a.diff": whole[:2], "b.diff": whole}, "loras/mine")
    assert (entry["prefix"], entry["format"]) == ("loras/mine", "safetensors")
    read = load_file(outputs.staging / entry["staged"])
    assert torch.equal(read["a.diff"], whole[:2])
    with pytest.raises(InvalidRequest, match="holds nothing"):
        files.save_adapter({}, "loras/mine")
    with pytest.raises(Forbidden):
        files.save_adapter({"a.diff": whole}, "../mine")


def test_an_animation_is_one_entry(files: NodeFiles, outputs: OutputFolders) -> None:
    (entry,) = files.save_animation(torch.rand(3, 4, 6, 3), "a/b", "webp", 4.0, prompt={"1": {}}, lossless=True)
    assert (entry["width"], entry["height"], entry["type"]) == (6, 4, "output")
    assert read_texts(outputs.staging / entry["staged"]) == {"prompt": '{"1": {}}'}
    with pytest.raises(Forbidden):
        files.save_animation(torch.rand(3, 4, 6, 3), "../b", "png", 4.0)


@pytest.mark.parametrize(("name", "error"), [("gone.png", Missing), ("", Missing), ("../main.py", Forbidden)])
def test_names_that_lead_nowhere_are_told(files: NodeFiles, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        files.load_image(name)
