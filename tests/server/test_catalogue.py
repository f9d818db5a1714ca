"""The nodes that are known, from whom, and since when."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from app.errors import Missing, Unavailable
from app.graph.spec import InputSpec, NodeSpec, spec_to_json
from app.server.catalogue import Catalogue
from tests.server.fake_worker import SPECS
from tests.server.support import Site

SPEC = NodeSpec("Load", (InputSpec("image", (), folder="input"),), display_name="Load it")


def said(*specs: NodeSpec) -> tuple[dict[str, object], ...]:
    """Specs as a worker's hello holds them."""
    return tuple(json.loads(json.dumps([spec_to_json(spec) for spec in specs])))


async def test_nothing_is_known_before_a_worker_says_it() -> None:
    catalogue = Catalogue({})
    with pytest.raises(Unavailable, match="No worker"):
        await catalogue.ready(0.01)
    assert catalogue.learn(said(SPEC))
    assert not catalogue.learn(said(SPEC))
    assert list(await catalogue.ready(0.01)) == ["Load"]
    assert catalogue.learn(said(SPEC, NodeSpec("More")))


def test_the_document_is_made_anew_when_specs_or_files_change() -> None:
    files: dict[str, tuple[str, ...]] = {"input": ("a.png",)}
    catalogue = Catalogue(files)
    catalogue.learn(said(SPEC))
    first = catalogue.document()
    assert json.loads(first.body)["Load"]["input"]["required"]["image"][0] == ["a.png"]
    assert catalogue.document() is first
    files["input"] = ("a.png", "b.png")
    second = catalogue.document()
    assert second.tag != first.tag
    catalogue.learn(said(SPEC, NodeSpec("More")))
    assert catalogue.document().tag != second.tag
    files["input"] = ("a.png",)
    catalogue.learn(said(SPEC))
    assert catalogue.document().tag == first.tag


def test_one_entry() -> None:
    catalogue = Catalogue({})
    catalogue.learn(said(SPEC))
    assert catalogue.entry("Load")["display_name"] == "Load it"
    with pytest.raises(Missing, match="Nope"):
        catalogue.entry("Nope")


async def test_what_was_known_is_known_at_the_next_start(tmp_path: Path) -> None:
    first = Catalogue({})
    first.learn(said(SPEC))
    first.keep(tmp_path / "nodes.json")
    second = Catalogue({})
    second.recall(tmp_path / "nodes.json")
    assert await second.ready(0.01) == first.specs
    assert not second.learn(said(SPEC))


@pytest.mark.parametrize("content", [b"", b"{", b"5", b"[5]", b'[{"id": "A"}]', b'{"a": 1}', b"\xff", b"[" * 9999])
def test_a_file_of_another_version_is_of_no_use(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "nodes.json").write_bytes(content)
    catalogue = Catalogue({})
    catalogue.recall(tmp_path / "nodes.json")
    assert catalogue.specs == {}


def test_no_file(tmp_path: Path) -> None:
    catalogue = Catalogue({})
    catalogue.recall(tmp_path / "nodes.json")
    assert catalogue.specs == {}


async def test_the_catalogue_goes_out_packed_and_only_when_it_changed(quiet_site: Site) -> None:
    specs = [spec_to_json(replace(spec, id=f"{spec.id}{n}")) for n in range(50) for spec in SPECS]
    quiet_site.running.services.catalogue.learn(tuple(specs))
    url = f"{quiet_site.running.url}/object_info"
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(url, headers={"Accept-Encoding": "gzip"}) as answer:
            packed = await answer.read()
            assert answer.headers["Content-Encoding"] == "gzip"
            tag = answer.headers["ETag"]
        async with session.get(url, headers={"Accept-Encoding": "identity"}) as answer:
            plain = await answer.read()
            assert "Content-Encoding" not in answer.headers
        async with session.get(url, headers={"If-None-Match": tag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
    assert gzip.decompress(packed) == plain
    assert len(json.loads(plain)) == len(specs)
    assert len(packed) < len(plain) / 5
