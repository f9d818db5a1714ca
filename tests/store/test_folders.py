"""Models by kind and the directories of pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.errors import Forbidden, InvalidRequest, Missing
from app.store.folders import FileNames, Folders, open_folders, read_extra_paths, split_annotation


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = open_folders(
        models=[tmp_path / "models", tmp_path / "more"],
        input=tmp_path / "input",
        output=tmp_path / "output",
        temp=tmp_path / "temp",
        user=tmp_path / "user",
    )
    made.prepare()
    return made


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_names_are_sorted_relative_and_of_known_types(folders: Folders, tmp_path: Path) -> None:
    for name in ("b.safetensors", "A.ckpt", "sub/c.safetensors", "notes.txt", ".hidden.safetensors", "evil.pkl"):
        touch(tmp_path / "models/checkpoints" / name)
    touch(tmp_path / "more/checkpoints/b.safetensors")
    assert folders.names("checkpoints") == ("A.ckpt", "b.safetensors", "sub/c.safetensors")


def test_folders_of_input_are_those_that_hold_files(folders: Folders, tmp_path: Path) -> None:
    assert folders.names("input folders") == ()
    for name in ("a.png", "cats/b.png", "cats/10_more/c.png", "Birds/x/d.png", ".hidden/e.png"):
        touch(tmp_path / "input" / name)
    (tmp_path / "input/empty").mkdir()
    assert folders.names("input folders") == ("Birds", "Birds/x", "cats", "cats/10_more")
    assert FileNames(folders)["input folders"] == folders.names("input folders")


def test_old_names_of_folders_work(folders: Folders, tmp_path: Path) -> None:
    touch(tmp_path / "models/clip/old.safetensors")
    touch(tmp_path / "models/text_encoders/new.safetensors")
    assert folders.names("text_encoders") == folders.names("clip") == ("new.safetensors", "old.safetensors")


def test_a_new_file_is_seen_at_once_and_an_old_listing_is_kept(folders: Folders, tmp_path: Path) -> None:
    touch(tmp_path / "models/loras/a.safetensors")
    for folder in folders.models["loras"]:
        if folder.exists():
            os.utime(folder, (1e9, 1e9))
    first = folders.names("loras")
    assert folders.names("loras") is first
    touch(tmp_path / "models/loras/b.safetensors")
    assert folders.names("loras") == ("a.safetensors", "b.safetensors")


def test_links_that_lead_back_end(folders: Folders, tmp_path: Path) -> None:
    touch(tmp_path / "models/vae/a.safetensors")
    (tmp_path / "models/vae/again").symlink_to(tmp_path / "models/vae")
    assert folders.names("vae") == ("a.safetensors",)


def test_a_linked_model_folder_is_read(folders: Folders, tmp_path: Path) -> None:
    touch(tmp_path / "disk2/big.safetensors")
    (tmp_path / "models/vae/disk2").symlink_to(tmp_path / "disk2")
    assert folders.names("vae") == ("disk2/big.safetensors",)
    assert folders.model("vae", "disk2/big.safetensors").is_file()


def test_a_missing_model_says_where_it_belongs(folders: Folders, tmp_path: Path) -> None:
    with pytest.raises(Missing, match=str(tmp_path / "models" / "loras")):
        folders.model("loras", "x.safetensors")
    with pytest.raises(Missing, match="checkpoints"):
        folders.names("nonsense")
    with pytest.raises(Forbidden):
        folders.model("loras", "../checkpoints/x")


def test_annotated_names(folders: Folders) -> None:
    assert folders.annotated("a/b.png") == folders.input / "a/b.png"
    assert folders.annotated("b.png [output]") == folders.output / "b.png"
    assert split_annotation("b.png [temp]", "input") == ("b.png", "temp")
    assert split_annotation("b [x].png", "input") == ("b [x].png", "input")
    with pytest.raises(Forbidden):
        folders.annotated("../x.png [output]")
    with pytest.raises(InvalidRequest, match="input, output or temp"):
        folders.directory("user")


def test_file_names_is_a_mapping(folders: Folders, tmp_path: Path) -> None:
    touch(tmp_path / "input/cat.png")
    files = FileNames(folders)
    assert files["input"] == ("cat.png",)
    assert "nonsense" not in files
    assert len(list(files)) == len(files)


def test_extra_model_paths(folders: Folders, tmp_path: Path) -> None:
    config = tmp_path / "extra_model_paths.yaml"
    config.write_text(
        "other:\n  base_path: there\n  is_default: true\n  checkpoints: ckpts\n  clip: |\n    a\n    b\n  my_kind: k\n"
    )
    found = [(kind, path.relative_to(tmp_path).as_posix(), first) for kind, path, first in read_extra_paths(config)]
    assert found == [
        ("checkpoints", "there/ckpts", True),
        ("clip", "there/a", True),
        ("clip", "there/b", True),
        ("my_kind", "there/k", True),
    ]
    for kind, path, first in read_extra_paths(config):
        folders.add_models_folder(kind, path, first=first)
    assert folders.models["checkpoints"][0] == tmp_path / "there/ckpts"
    assert folders.names("my_kind") == ()


def test_a_broken_extra_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: [")
    with pytest.raises(InvalidRequest, match=r"x\.yaml"):
        list(read_extra_paths(tmp_path / "x.yaml"))
