from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import pytest

from app.errors import Forbidden
from app.extend.facade.bridge import FacadeHost


@pytest.fixture
def folder_paths(host: FacadeHost) -> Any:
    return importlib.import_module("folder_paths")


def put(folder: str | Path, *names: str) -> None:
    for name in names:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_models_are_listed_by_kind_sorted_and_by_ending(folder_paths: Any) -> None:
    root = folder_paths.get_folder_paths("loras")[0]
    put(root, "b.safetensors", "sub/a.pt", "notes.txt", ".git/x.pt")
    assert folder_paths.get_filename_list("loras") == ["b.safetensors", os.path.join("sub", "a.pt")]
    assert folder_paths.get_full_path("loras", "sub/a.pt") == os.path.join(root, "sub", "a.pt")
    assert folder_paths.get_full_path("loras", "../../secret") is None
    with pytest.raises(FileNotFoundError, match=r"none.pt.*loras"):
        folder_paths.get_full_path_or_raise("loras", "none.pt")


def test_old_names_stand_for_new_ones(folder_paths: Any) -> None:
    assert folder_paths.get_folder_paths("unet") == folder_paths.get_folder_paths("diffusion_models")
    assert folder_paths.map_legacy("clip") == "text_encoders"


def test_packs_add_kinds_by_function_and_by_hand(folder_paths: Any, host: FacadeHost, tmp_path: Path) -> None:
    put(tmp_path / "styles", "bold.json")
    folder_paths.add_model_folder_path("acme_styles", str(tmp_path / "styles"))
    assert folder_paths.get_filename_list("acme_styles") == ["bold.json"]
    assert host.host.folders.names("acme_styles") == (), "the program itself lists weights only"
    put(tmp_path / "more", "extra.onnx")
    folder_paths.folder_names_and_paths["acme_more"] = ([str(tmp_path / "more")], {".onnx"})
    assert folder_paths.get_filename_list("acme_more") == ["extra.onnx"]
    folder_paths.folder_names_and_paths["loras"][0].insert(0, str(tmp_path / "first"))
    put(tmp_path / "first", "mine.safetensors")
    assert folder_paths.get_full_path("loras", "mine.safetensors") == str(tmp_path / "first" / "mine.safetensors")
    told = host.hello()["folders"]
    assert told["acme_more"] == [str(tmp_path / "more")]
    assert told["loras"] == [str(tmp_path / "first")]


def test_a_folder_that_comes_first_moves_there(folder_paths: Any, tmp_path: Path) -> None:
    folder_paths.add_model_folder_path("vae", str(tmp_path / "a"))
    folder_paths.add_model_folder_path("vae", str(tmp_path / "a"), is_default=True)
    paths = folder_paths.get_folder_paths("vae")
    assert paths[0] == str(tmp_path / "a")
    assert paths.count(str(tmp_path / "a")) == 1


def test_a_list_that_nobody_changed_stays_alive_as_a_combo(folder_paths: Any, host: FacadeHost) -> None:
    names = folder_paths.get_filename_list("loras")
    assert host.folder_of(names) == "loras"
    assert host.folder_of(["None", *names]) is None
    names.append("extra")
    assert host.folder_of(names) is None
    assert host.folder_of(["a", "b"]) is None


def test_names_of_files_with_their_directory(folder_paths: Any) -> None:
    put(folder_paths.get_temp_directory(), "t.png")
    assert folder_paths.exists_annotated_filepath("t.png [temp]")
    assert not folder_paths.exists_annotated_filepath("t.png")
    assert not folder_paths.exists_annotated_filepath("../temp/t.png")
    assert folder_paths.annotated_filepath("a.png [output]") == ("a.png", folder_paths.get_output_directory())
    assert folder_paths.annotated_filepath("a.png") == ("a.png", None)
    with pytest.raises(Forbidden):
        folder_paths.get_annotated_filepath("../../etc/passwd")


def test_the_next_free_number_below_a_prefix(folder_paths: Any) -> None:
    root = folder_paths.get_output_directory()
    put(root, "sub/a_00007_.png", "sub/a_00003_.png", "sub/ab_00099_.png")
    folder, name, counter, subfolder, prefix = folder_paths.get_save_image_path("sub/a", root)
    assert (folder, name, counter, subfolder) == (os.path.join(root, "sub"), "a", 8, "sub")
    assert prefix == "sub/a"
    assert folder_paths.get_save_image_path("p_%width%x%height%", root, 64, 32)[1] == "p_64x32"
    assert len(folder_paths.get_save_image_path("%year%", root)[1]) == 4
    with pytest.raises(Forbidden):
        folder_paths.get_save_image_path("../outside", root)


def test_directories_by_word_and_moved(folder_paths: Any, tmp_path: Path) -> None:
    assert folder_paths.get_directory_by_type("temp") == folder_paths.get_temp_directory()
    assert folder_paths.get_directory_by_type("nowhere") is None
    folder_paths.set_output_directory(str(tmp_path / "else"))
    assert folder_paths.output_directory == str(tmp_path / "else")
    put(folder_paths.get_input_directory(), "x/y/z.png")
    assert folder_paths.get_input_subfolders() == ["x", "x/y"]


def test_files_by_type_of_content(folder_paths: Any) -> None:
    names = ["a.png", "b.webp", "c.mp4", "d.wav", "e.txt"]
    assert folder_paths.filter_files_content_types(names, ["image"]) == ["a.png", "b.webp"]
    assert folder_paths.filter_files_content_types(names, ["video", "audio"]) == ["c.mp4", "d.wav"]
    assert folder_paths.filter_files_extensions(names, [".PNG"]) == ["a.png"]
    assert folder_paths.filter_files_extensions(names, []) == sorted(names)


def test_links_that_lead_back_up_end(folder_paths: Any, tmp_path: Path) -> None:
    put(tmp_path / "root", "a.txt")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root", target_is_directory=True)
    names, times = folder_paths.recursive_search(str(tmp_path / "root"))
    assert names == ["a.txt"]
    assert list(times) == [str(tmp_path / "root")]


def test_an_unknown_name_is_an_attribute_error(folder_paths: Any) -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = folder_paths.nonsense
    with folder_paths.cache_helper as helper:
        assert helper.get("anything", 3) == 3
