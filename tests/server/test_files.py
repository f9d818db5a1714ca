"""Pictures in and out, models, settings and the user's own files."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image, PngImagePlugin
from yarl import URL

from app.server.static import WEB_ROOT
from tests.server.support import Site


def png(colour: tuple[int, ...] = (255, 0, 0, 255), size: tuple[int, int] = (8, 4), text: str = "") -> bytes:
    """A picture, RGBA or RGB by the colour."""
    target = io.BytesIO()
    info = PngImagePlugin.PngInfo()
    if text:
        info.add_text("prompt", text)
    Image.new("RGBA" if len(colour) == 4 else "RGB", size, colour).save(target, "PNG", pnginfo=info)
    return target.getvalue()


def form(content: bytes, name: str | None = "cat.png", **fields: str) -> aiohttp.FormData:
    """A form with a file."""
    made = aiohttp.FormData(quote_fields=False)
    for field, value in fields.items():
        made.add_field(field, value)
    if name is not None:
        made.add_field("image", content, filename=name, content_type="image/png")
    return made


async def upload(site: Site, data: aiohttp.FormData, path: str = "/upload/image") -> tuple[int, Any]:
    async with site.session.post(site.running.url + path, data=data) as answer:
        return answer.status, await answer.json()


async def fetch(site: Site, path: str) -> tuple[int, bytes, Any]:
    async with site.session.get(site.running.url + path) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_uploads_are_kept_and_never_replaced_unasked(quiet_site: Site) -> None:
    first, second = png(), png((0, 255, 0, 255))
    assert await upload(quiet_site, form(first)) == (200, {"name": "cat.png", "subfolder": "", "type": "input"})
    assert (await upload(quiet_site, form(first)))[1]["name"] == "cat.png"
    assert (await upload(quiet_site, form(second)))[1]["name"] == "cat (1).png"
    assert (await upload(quiet_site, form(second)))[1]["name"] == "cat (1).png"
    assert (await upload(quiet_site, form(second, overwrite="true")))[1]["name"] == "cat.png"
    assert (quiet_site.base / "input/cat.png").read_bytes() == second
    assert await upload(quiet_site, form(first, subfolder="a/b", type="temp")) == (
        200,
        {"name": "cat.png", "subfolder": "a/b", "type": "temp"},
    )
    assert list((quiet_site.base / "temp/uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "fields", "status"),
    [
        ("../x.png", {}, 403), ("x.png", {"subfolder": "../user"}, 403), ("x.png", {"type": "user"}, 400),
        ("x.png", {"subfolder": "/etc"}, 403), ("nul.png", {}, 403), (None, {}, 400), ("a:b", {}, 403),
        ("..", {}, 403), ("x\\y.png", {}, 403), ("x.png", {"subfolder": "x" * 70_000}, 413),
    ],
)  # fmt: skip
async def test_uploads_do_not_leave(quiet_site: Site, name: str | None, fields: dict[str, str], status: int) -> None:
    code, told = await upload(quiet_site, form(png(), name, **fields))
    assert code == status, told
    assert told["error"]["message"]


async def test_forms_that_are_none(quiet_site: Site) -> None:
    for headers in (
        {"Content-Type": "application/json"},
        {"Content-Type": "multipart/form-data"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ):
        async with quiet_site.session.post(
            f"{quiet_site.running.url}/upload/image", data=b"--y\r\nnonsense", headers=headers
        ) as answer:
            assert answer.status == 400, await answer.text()


async def test_masks_replace_the_alpha_and_keep_the_texts(quiet_site: Site) -> None:
    (quiet_site.base / "output/a.png").write_bytes(png((9, 8, 7), text="the graph"))
    data = form(png((0, 0, 0, 64)), "m.png", original_ref='{"filename": "a.png"}', subfolder="clipspace")
    status, told = await upload(quiet_site, data, "/upload/mask")
    assert (status, told) == (200, {"name": "m.png", "subfolder": "clipspace", "type": "input"})
    picture = Image.open(quiet_site.base / "input/clipspace/m.png")
    assert picture.getpixel((0, 0)) == (9, 8, 7, 64)
    assert picture.text["prompt"] == "the graph"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "reference", ["", "{", "[]", "{}", '{"filename": "../x"}', '{"filename": "none.png"}', '{"filename": 5}']
)
async def test_masks_for_nothing(quiet_site: Site, reference: str) -> None:
    status, told = await upload(quiet_site, form(png(), original_ref=reference), "/upload/mask")
    assert status in (400, 403), told


async def test_views(quiet_site: Site) -> None:
    (quiet_site.base / "output/sub").mkdir(parents=True)
    content = png((10, 20, 30, 40))
    (quiet_site.base / "output/sub/a b.png").write_bytes(content)
    status, body, headers = await fetch(quiet_site, "/view?filename=a%20b.png&subfolder=sub")
    assert (status, body, headers["Content-Type"]) == (200, content, "image/png")
    assert 'filename="a b.png"' in headers["Content-Disposition"]
    assert headers["Content-Security-Policy"].startswith("sandbox")
    assert (await fetch(quiet_site, "/api/view?filename=sub/a%20b.png%20[output]&type=input"))[1] == content
    _, body, headers = await fetch(quiet_site, "/view?filename=sub/a%20b.png&preview=jpeg;50")
    assert (headers["Content-Type"], body[:2]) == ("image/jpeg", b"\xff\xd8")
    _, body, headers = await fetch(quiet_site, "/view?filename=sub/a%20b.png&preview=webp;90")
    assert (headers["Content-Type"], body[8:12]) == ("image/webp", b"WEBP")
    _, body, _ = await fetch(quiet_site, "/view?filename=sub/a%20b.png&channel=rgb")
    assert Image.open(io.BytesIO(body)).mode == "RGB"
    _, body, _ = await fetch(quiet_site, "/view?filename=sub/a%20b.png&channel=a")
    assert Image.open(io.BytesIO(body)).getpixel((0, 0)) == (0, 0, 0, 40)


@pytest.mark.parametrize(
    "name", ["x.html", "x.svg", "x.js", "x.xhtml", "x.htm", "x", "x.css", "x.xml", "x.SVG", "x.pdf"]
)
async def test_what_could_run_is_a_download(quiet_site: Site, name: str) -> None:
    (quiet_site.base / "output" / name).write_text("<script>alert(1)</script>")
    _, _, headers = await fetch(quiet_site, f"/view?filename={name}")
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith("attachment")
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_damaged_and_enormous_pictures(quiet_site: Site) -> None:
    bomb = png()[:16] + struct.pack(">II", 60_000, 60_000) + png()[24:]
    for name, content in (("bad.png", b"\x89PNG nonsense"), ("cut.png", png()[:40]), ("bomb.png", bomb)):
        (quiet_site.base / "output" / name).write_bytes(content)
        for extra in ("preview=webp", "channel=a", "channel=rgb"):
            status, body, _ = await fetch(quiet_site, f"/view?filename={name}&{extra}")
            assert 400 <= status < 500, (name, body)


async def test_a_link_out_of_the_folder_is_not_followed(quiet_site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    (quiet_site.base / "output/door.png").symlink_to(tmp_path / "secret.png")
    assert (await fetch(quiet_site, "/view?filename=door.png"))[0] == 403


async def test_models_and_their_metadata(quiet_site: Site) -> None:
    folder = quiet_site.base / "models/loras"
    header = json.dumps({"__metadata__": {"title": "t"}}).encode()
    (folder / "sub").mkdir()
    (folder / "sub/a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    (folder / "cut.safetensors").write_bytes(b"\xff" * 8)
    (quiet_site.base / "models/embeddings/bad hands.pt").touch()
    assert "checkpoints" in await quiet_site.get("/models")
    assert await quiet_site.get("/models/loras") == ["cut.safetensors", "sub/a.safetensors"]
    assert await quiet_site.get("/embeddings") == ["bad hands"]
    assert await quiet_site.get("/view_metadata/loras?filename=sub/a.safetensors") == {"title": "t"}
    assert (await fetch(quiet_site, "/view_metadata/loras?filename=cut.safetensors"))[0] == 404
    (first, _) = await quiet_site.get("/experiment/models/loras")
    assert (first["name"], first["pathIndex"], first["size"]) == ("cut.safetensors", 0, 8)
    assert "loras" in [kind["name"] for kind in await quiet_site.get("/experiment/models")]


async def test_settings(quiet_site: Site) -> None:
    assert await quiet_site.get("/settings") == {}
    await quiet_site.post("/settings", {"a": 1, "b": [2]})
    await quiet_site.post("/settings/c", "text")
    assert await quiet_site.get("/api/settings") == {"a": 1, "b": [2], "c": "text"}
    assert await quiet_site.get("/settings/b") == [2]
    assert await quiet_site.get("/settings/none") is None
    assert (await quiet_site.get("/users"))["storage"] == "server"
    await quiet_site.post("/users", {"username": "x"}, status=400)


async def test_user_data(quiet_site: Site) -> None:
    url = quiet_site.running.url

    async def send(method: str, path: str, data: bytes = b"") -> tuple[int, str]:
        async with quiet_site.session.request(method, URL(url + path, encoded=True), data=data) as answer:
            return answer.status, await answer.text()

    assert await send("POST", "/userdata/workflows%2Fa.json", b"{}") == (200, '"workflows/a.json"')
    assert (await send("POST", "/userdata/workflows%2Fa.json?overwrite=false", b"{}"))[0] == 409
    assert json.loads((await send("POST", "/userdata/workflows%2Fb%2Fc.json?full_info=true", b"[1]"))[1])["size"] == 3
    assert await send("GET", "/userdata/workflows%2Fa.json") == (200, "{}")
    assert await quiet_site.get("/userdata?dir=workflows") == ["a.json"]
    assert await quiet_site.get("/userdata?dir=workflows&recurse=true") == ["a.json", "b/c.json"]
    assert await quiet_site.get("/userdata?dir=workflows&recurse=true&split=true") == [
        ["a.json", "a.json"],
        ["b/c.json", "b", "c.json"],
    ]
    (info, _) = await quiet_site.get("/userdata?dir=workflows&recurse=true&full_info=true")
    assert (info["path"], info["size"]) == ("a.json", 2)
    tree = await quiet_site.get("/v2/userdata?path=workflows")
    assert [(leaf["path"], leaf["type"]) for leaf in tree] == [
        ("workflows/b", "directory"), ("workflows/a.json", "file"), ("workflows/b/c.json", "file")
    ]  # fmt: skip
    assert (await send("POST", "/userdata/workflows%2Fa.json/move/workflows%2Fb%2Fc.json?overwrite=false"))[0] == 409
    assert await send("POST", "/userdata/workflows%2Fa.json/move/z%2Fd.json") == (200, '"z/d.json"')
    assert (await send("POST", "/userdata/workflows%2Fa.json/move/e.json"))[0] == 404
    assert (await send("DELETE", "/userdata/z%2Fd.json"))[0] == 204
    assert (await send("DELETE", "/userdata/z%2Fd.json"))[0] == 404
    assert (await send("POST", "/userdata/workflows", b"x"))[0] == 400
    assert (await send("POST", "/userdata/workflows%2Fb%2Fc.json%2Fd", b"x"))[0] == 400


async def test_what_users_keep_does_not_run_here(quiet_site: Site) -> None:
    (quiet_site.base / "user/default").mkdir()
    (quiet_site.base / "user/default/x.html").write_text("<script>")
    _, _, headers = await fetch(quiet_site, "/userdata/x.html")
    assert headers["Content-Type"] == "application/octet-stream"


async def test_small_resources(quiet_site: Site) -> None:
    assert (await quiet_site.get("/features"))["supports_preview_metadata"] is True
    stats = await quiet_site.get("/system_stats")
    assert stats["system"]["ram_total"] > 0
    assert stats["devices"] == []
    for path in ("/extensions", "/workflow_templates", "/i18n", "/node_failures"):
        assert not await quiet_site.get(path)
    (quiet_site.base / "output/old.png").write_bytes(png())
    assert await quiet_site.get("/internal/files/output") == ["old.png"]
    assert "loras" in await quiet_site.get("/internal/folder_paths")
    assert isinstance(await quiet_site.get("/internal/logs"), str)
    assert isinstance((await quiet_site.get("/internal/logs/raw"))["entries"], list)


async def test_the_editors_files(quiet_site: Site) -> None:
    names = await quiet_site.get("/templates")
    assert set(names) == {path.stem for path in (WEB_ROOT / "templates").glob("*.json") if ".api" not in path.name}
    for name in names:
        _, body, headers = await fetch(quiet_site, f"/templates/{name}.json")
        assert json.loads(body)
        assert headers["Cache-Control"] == "no-cache"


async def test_node_catalogue(site: Site) -> None:
    (site.base / "input/dog.png").write_bytes(png())
    async with site.session.get(f"{site.running.url}/object_info") as answer:
        tag, nodes = answer.headers["ETag"], await answer.json()
    assert nodes["Pick"]["input"]["required"]["image"][0] == ["dog.png"]
    assert nodes["Show"]["output_node"] is True
    async with site.session.get(f"{site.running.url}/api/object_info", headers={"If-None-Match": tag}) as answer:
        assert answer.status == 304
    (site.base / "input/eel.png").write_bytes(png())
    async with site.session.get(f"{site.running.url}/object_info", headers={"If-None-Match": tag}) as answer:
        assert (await answer.json())["Pick"]["input"]["required"]["image"][0] == ["dog.png", "eel.png"]
    assert list(await site.get("/object_info/Work")) == ["Work"]
    assert await site.get("/object_info/Nope") == {}
    assert (await site.get("/system_stats"))["devices"][0]["type"] == "cpu"


@pytest.mark.parametrize("name", ["x.py", "x.sh", "x.exe", "x.html", "x.pkl", "x.ckpt", "x", "x.png.js", ".htaccess"])
async def test_uploads_of_other_types(quiet_site: Site, name: str) -> None:
    code, told = await upload(quiet_site, form(png(), name))
    assert (code, told["error"]["type"]) == (400, "invalid_request")
    assert list((quiet_site.base / "input").iterdir()) == []
