from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import Missing
from app.server.pack_catalogue import PackCatalogue
from app.store.folders import open_folders
from tests.server.support import settings_for


@pytest.fixture
def packs(tmp_path: Path) -> PackCatalogue:
    folders = open_folders(
        models=[tmp_path / "models"],
        input=tmp_path / "input",
        output=tmp_path / "output",
        temp=tmp_path / "temp",
        user=tmp_path / "user",
    )
    folders.prepare()
    return PackCatalogue(folders, settings_for(tmp_path, "--workers", "0"))


@pytest.mark.parametrize(
    ("route", "method", "path", "answers"),
    [
        (("GET", "/a"), "GET", "/a", True),
        (("GET", "/a"), "HEAD", "/a", True),
        (("GET", "/a"), "POST", "/a", False),
        (("*", "/a"), "DELETE", "/a", True),
        (("GET", "/a/{x}"), "GET", "/a/b", True),
        (("GET", "/a/{x}"), "GET", "/a/b/c", False),
        (("GET", r"/a/{x:\d+}"), "GET", "/a/12", True),
        (("GET", r"/a/{x:\d+}"), "GET", "/a/b", False),
        (("GET", r"/a/{x:\d{2}}/z"), "GET", "/a/12/z", True),
        (("GET", "/a/{rest:.*}"), "GET", "/a/b/c", True),
        (("GET", "/a.b"), "GET", "/axb", False),
        (("GET", "/a/{x:(}"), "GET", "/a/b", False),
    ],
)
def test_routes_match_as_they_were_declared(
    packs: PackCatalogue, route: Any, method: str, path: str, answers: bool
) -> None:
    packs.learn({"routes": [list(route)]})
    assert packs.answers(method, path) is answers


def test_before_any_worker_there_is_nothing(packs: PackCatalogue) -> None:
    assert (packs.reports, packs.address, packs.handlers) == ([], "", 0)
    assert not packs.answers("GET", "/a")
    assert packs.scripts() == [] and packs.examples() == {} and packs.translations() == {}


def test_folders_that_packs_add_become_kinds_of_models(packs: PackCatalogue, tmp_path: Path) -> None:
    packs.learn({"folders": {"acme": [str(tmp_path / "acme")], "odd": None}})
    assert packs.folders.models["acme"] == (tmp_path / "acme",)


def test_links_that_lead_out_are_not_listed(packs: PackCatalogue, tmp_path: Path) -> None:
    web = tmp_path / "pack" / "web"
    web.mkdir(parents=True)
    (web / "a.js").touch()
    (web / ".hidden.js").touch()
    (tmp_path / "secret.js").touch()
    (web / "link.js").symlink_to(tmp_path / "secret.js")
    packs.learn({"packs": [{"name": "pack", "web": ["pack", str(web)]}]})
    assert packs.scripts() == [("pack", "a.js")]


def test_texts_of_packs_are_merged_and_bad_files_passed_over(packs: PackCatalogue, tmp_path: Path) -> None:
    reports = []
    for name, text in (("a", {"x": {"y": 1}}), ("b", {"x": {"z": 2}})):
        folder = tmp_path / name / "locales" / "fr"
        folder.mkdir(parents=True)
        (folder / "main.json").write_text(json.dumps(text))
        (folder / "commands.json").write_text("nonsense")
        (folder / "settings.json").write_text("[1]")
        reports.append({"name": name, "path": str(tmp_path / name)})
    packs.learn({"packs": reports})
    assert packs.translations() == {"fr": {"x": {"y": 1, "z": 2}}}


def test_packs_are_switched_by_name(packs: PackCatalogue, tmp_path: Path) -> None:
    (tmp_path / "custom_nodes" / "mine").mkdir(parents=True)
    (tmp_path / "custom_nodes" / "mine" / "__init__.py").touch()
    (tmp_path / "custom_nodes" / "single.py").touch()
    assert packs.installed() == {"mine", "single"}
    packs.switch("mine", False)
    packs.switch("single", False)
    assert packs.disabled() == {"mine", "single"}
    packs.switch("mine", True)
    assert packs.disabled() == {"single"}
    with pytest.raises(Missing, match="mine"):
        packs.switch("other", False)


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"disabled": 3}', "null"])
def test_a_damaged_file_switches_nothing_off(packs: PackCatalogue, text: str) -> None:
    (packs.folders.user / "packs.json").write_text(text)
    assert packs.disabled() == set()
