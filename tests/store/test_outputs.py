"""A file is published once, whatever is repeated."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app.errors import Forbidden, InvalidRequest, Missing
from app.store import outputs as outputs_module
from app.store.outputs import MemoryIndex, OutputFolders, PublishedFile, PublishKey

KEY = PublishKey("job", "9", 0)


@pytest.fixture
def outputs(tmp_path: Path) -> OutputFolders:
    return OutputFolders(tmp_path / "output", tmp_path / "temp")


def entry(staged: str, prefix: str = "name", kind: str = "output") -> dict[str, object]:
    return {"staged": staged, "prefix": prefix, "type": kind, "format": "png", "width": 64, "height": 32}


def test_numbers_go_on(outputs: OutputFolders) -> None:
    names = [
        outputs.publish(entry(outputs.stage(bytes([i]), ".png")), PublishKey("job", "9", i))["filename"]
        for i in range(3)
    ]
    assert names == ["name_00001_.png", "name_00002_.png", "name_00003_.png"]
    assert not list(outputs.staging.iterdir())


def test_numbers_go_on_after_what_was_there(outputs: OutputFolders) -> None:
    outputs.output.mkdir()
    (outputs.output / "name_00041_.png").touch()
    (outputs.output / "name_x_.png").touch()
    assert outputs.publish(entry(outputs.stage(b"a", ".png")), KEY)["filename"] == "name_00042_.png"


def test_the_same_staged_id_is_the_same_file(outputs: OutputFolders) -> None:
    staged = outputs.stage(b"a", ".png")
    first = outputs.publish(entry(staged), KEY)
    assert outputs.publish(entry(staged), PublishKey("later job", "9", 0)) == first


def test_a_job_that_ran_twice_publishes_once(outputs: OutputFolders) -> None:
    first = outputs.publish(entry(outputs.stage(b"a", ".png")), KEY)
    assert outputs.publish(entry(outputs.stage(b"a", ".png")), KEY) == first
    assert outputs.publish(entry(outputs.stage(b"b", ".png")), KEY) != first
    assert len(list(outputs.output.iterdir())) == 2


def test_equal_pictures_of_one_batch_are_two_files(outputs: OutputFolders) -> None:
    ui = {"images": [entry(outputs.stage(b"a", ".png")) for _ in range(2)], "text": ["said"]}
    shown = outputs.publish_ui(ui, "job", "9")
    assert [image["filename"] for image in shown["images"]] == ["name_00001_.png", "name_00002_.png"]
    assert shown["text"] == ["said"]


def test_a_crash_after_the_name_was_recorded_keeps_the_name(outputs: OutputFolders, tmp_path: Path) -> None:
    index = MemoryIndex()
    staged = outputs.stage(b"a", ".png")
    index.record(staged, "whatever", PublishedFile("name_00007_.png", "", "output"))
    again = OutputFolders(outputs.output, outputs.temp, index)
    assert again.publish(entry(staged), KEY)["filename"] == "name_00007_.png"
    assert (outputs.output / "name_00007_.png").read_bytes() == b"a"


def test_a_file_of_another_program_is_never_replaced(outputs: OutputFolders) -> None:
    outputs.publish(entry(outputs.stage(b"a", ".png")), KEY)
    (outputs.output / "name_00002_.png").write_bytes(b"theirs")
    name = outputs.publish(entry(outputs.stage(b"b", ".png")), KEY)["filename"]
    assert name == "name_00003_.png"
    assert (outputs.output / "name_00002_.png").read_bytes() == b"theirs"


def test_prefixes_hold_folders_and_words(outputs: OutputFolders) -> None:
    said = outputs.publish(entry(outputs.stage(b"a", ".png"), "a/%year%/b_%width%x%height%_%odd%"), KEY)
    assert said == {
        "filename": "b_64x32_%odd%_00001_.png",
        "subfolder": f"a/{time.localtime().tm_year}",
        "type": "output",
    }


def test_temp_is_a_place_too(outputs: OutputFolders) -> None:
    said = outputs.publish(entry(outputs.stage(b"a", ".png"), kind="temp"), KEY)
    assert (outputs.temp / said["filename"]).exists()


@pytest.mark.parametrize("prefix", ["../x", "/x", "a/../../x", "C:x", "nul", "a\\b"])
def test_prefixes_do_not_leave(outputs: OutputFolders, prefix: str) -> None:
    with pytest.raises(Forbidden):
        outputs.check_prefix(prefix)
    with pytest.raises(Forbidden):
        outputs.publish(entry(outputs.stage(b"a", ".png"), prefix), KEY)


def test_what_cannot_be_is_refused(outputs: OutputFolders) -> None:
    with pytest.raises(InvalidRequest):
        outputs.publish(entry("../../etc/passwd"), KEY)
    with pytest.raises(Missing):
        outputs.publish(entry("0" * 32 + ".png"), KEY)
    with pytest.raises(InvalidRequest):
        outputs.publish(entry(outputs.stage(b"a", ".png"), kind="input"), KEY)


def test_old_temp_files_go(outputs: OutputFolders) -> None:
    old, new = outputs.stage(b"a", ".png"), outputs.stage(b"b", ".png")
    os.utime(outputs.staging / old, (1e9, 1e9))
    assert outputs.remove_stale(3600) == 1
    assert [path.name for path in outputs.staging.iterdir()] == [new]


def test_ever_new_stems_do_not_fill_the_memory(outputs: OutputFolders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs_module, "_MOST_STEMS", 3)
    for n in range(7):
        outputs.publish(entry(outputs.stage(bytes([n]), ".png"), f"seed{n}"), PublishKey("job", "9", n))
    assert len(outputs._numbers) <= 3
    again = outputs.publish(entry(outputs.stage(b"again", ".png"), "seed0"), PublishKey("job", "9", 9))
    assert again["filename"] == "seed0_00002_.png"
