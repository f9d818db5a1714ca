"""ComfyUI's own web front end, as it is published, on this server: it loads, wires, queues and shows the picture."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.conftest import PATIENCE_MS
from tests.system.conftest import Program

FRONT_END = Path(str(files("comfyui_frontend_package"))) / "static"
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False}
# Where a slot of a node is on the screen: "output" or "input", the node's class, the slot's number.
PLACE = """([side, type, slot]) => {
  const node = app.graph._nodes.find((each) => each.type === type);
  const [x, y] = app.canvas.ds.convertOffsetToCanvas(node.getConnectionPos(side === "input", slot));
  const box = app.canvas.canvas.getBoundingClientRect();
  return [box.left + x, box.top + y];
}"""
LOADED = "() => window.app?.graph?._nodes?.some((node) => node.type === 'KSampler')"
FED = "() => app.graph._nodes.find((node) => node.type === 'SaveImage').inputs[0].link"
SHOWN = """() => {
  const pictures = app.graph._nodes.find((node) => node.type === "SaveImage").imgs ?? [];
  return pictures.length > 0 && pictures[0].naturalWidth > 0 && pictures[0].src;
}"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program with the other front end in place of ours; the user has seen its tour."""
    base = tmp_path_factory.mktemp("base")
    (base / "user" / "default").mkdir(parents=True)
    (base / "user" / "default" / "comfy.settings.json").write_text(json.dumps(SETTINGS))
    running = Program(base, "--front-end-root", str(FRONT_END))
    yield running
    running.stop()


def opened(context: BrowserContext, address: str, failures: list[str]) -> Page:
    """The page with a graph; what the server refuses is collected."""
    page = context.new_page()
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on(
        "response",
        lambda answer: (
            failures.append(f"{answer.status} {answer.url}") if _is_fault(answer.status, answer.url) else None
        ),
    )
    page.goto(address)
    page.wait_for_function(LOADED)
    return page


def disconnect(page: Page) -> None:
    """Cut the link into Save Image, again if the page has meanwhile replaced its own graph by the template's."""
    for _ in range(5):
        page.evaluate("() => app.graph._nodes.find((node) => node.type === 'SaveImage').disconnectInput(0)")
        page.wait_for_timeout(400)
        if page.evaluate(FED) is None:
            return
    pytest.fail("the link comes back")


def _is_fault(status: int, url: str) -> bool:
    """Lists and files of a user who has none yet are refused by the reference too."""
    return status >= 400 and not (status == 404 and "/userdata" in url)


def drag(page: Page, start: list[float], end: list[float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def test_it_loads_wires_queues_and_shows_the_picture(browser: Browser, program: Program) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(3 * PATIENCE_MS)
    failures: list[str] = []
    page = opened(context, f"{program.url}/?template=default", failures)
    disconnect(page)
    drag(page, page.evaluate(PLACE, ["output", "VAEDecode", 0]), page.evaluate(PLACE, ["input", "SaveImage", 0]))
    page.wait_for_function(f"() => ({FED})() !== null")

    page.get_by_test_id("queue-button").click()
    page.wait_for_function(SHOWN)
    assert "/api/view?filename=" in page.evaluate(SHOWN)
    page.get_by_test_id("assets-tab-button").click()
    expect(page.locator("img[src*='/api/view']").first).to_be_visible()
    (entry,) = program.get("/history").values()
    assert entry["status"]["status_str"] == "success"
    assert entry["prompt"][3]["extra_pnginfo"]["workflow"]["nodes"]

    assert failures == []
    context.close()


def test_its_settings_and_its_workflows_are_kept(browser: Browser, program: Program) -> None:
    context = browser.new_context()
    context.set_default_timeout(3 * PATIENCE_MS)
    failures: list[str] = []
    page = opened(context, program.url, failures)  # the graph that it begins with
    kept: dict[str, Any] = page.evaluate(
        """async () => {
          await app.api.storeSetting("Loom.Test", {a: [1]});
          await app.api.storeUserData("workflows/mine.json", app.graph.serialize());
          const listed = await app.api.listUserDataFullInfo("workflows");
          return {setting: await app.api.getSetting("Loom.Test"), listed: listed.map((file) => file.path)};
        }"""
    )
    assert kept == {"setting": {"a": [1]}, "listed": ["mine.json"]}
    assert failures == []
    context.close()


def test_its_gallery_and_its_log_are_served(browser: Browser, program: Program) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(3 * PATIENCE_MS)
    failures: list[str] = []
    page = opened(context, program.url, failures)
    page.get_by_label("Toggle Bottom Panel", exact=True).first.click()
    expect(page.get_by_text("joined with").first).to_be_visible()  # the worker's coming, in the log
    page.get_by_label("Templates", exact=True).first.click()
    picture = page.get_by_role("img", name="First picture")
    expect(picture).to_be_visible()
    assert picture.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") == 256
    assert failures == []
    context.close()


def test_only_that_page_may_run_what_it_writes(browser: Browser, program: Program) -> None:
    """Its page needs a wider policy; all other answers keep the strict one, and nobody else is told anything."""
    request = browser.new_context().request
    page = request.get(program.url).headers["content-security-policy"]
    assert "'unsafe-eval'" in page
    assert "connect-src 'self' blob: data:;" in page
    assert "unsafe" not in request.get(f"{program.url}/api/queue").headers["content-security-policy"]
    assert "unsafe" not in request.get(f"{program.url}/assets/nothing").headers["content-security-policy"]
    expect(request.get(f"{program.url}/user.css")).to_be_ok()
