"""From opening to the picture: the real server, a real worker, the checkpoint that ships."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Studio
from tests.e2e.editor import Editor, script, until
from tests.e2e.fake_server import picture

DROP = script("drop.js")
WATCH = script("watch_states.js")


def drop(page: Page, content: bytes, name: str, at: tuple[float, float], kind: str = "image/png") -> None:
    page.evaluate(DROP, [base64.b64encode(content).decode(), name, kind, *at])


def ran(program: Studio) -> list[dict[str, Any]]:
    """The prompts that have run, in their order."""
    return [entry["prompt"][2] for entry in program.get("/history").values()]


def test_ctrl_enter_draws_what_the_prompt_says(page: Page, editor: Editor, program: Studio) -> None:
    page.get_by_role("textbox", name="text").first.fill("a large green square on a black background")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='9'] .media img")).to_be_visible()
    expect(page.locator(".strip .thumb img")).to_have_count(1)
    (prompt,) = ran(program)
    assert prompt["6"]["inputs"]["text"] == "a large green square on a black background"
    source = page.locator("[data-node='9'] .media img").get_attribute("src")
    assert source
    drawn = Image.open(io.BytesIO(page.request.get(program.url + source).body())).convert("RGB")
    pixels = [drawn.getpixel((x, y)) for x in range(64) for y in range(64)]
    green = [p for p in pixels if isinstance(p, tuple) and p[1] > 90 and p[1] > 1.5 * p[0] and p[1] > 1.5 * p[2]]
    assert len(green) > 200, "the picture shows no large green thing"


def test_nodes_light_up_in_the_order_in_which_they_run(page: Page, editor: Editor) -> None:
    page.evaluate(WATCH)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='9'] .media img")).to_be_visible()
    seen = page.evaluate("window.watchedStates")
    assert next(node for node, state in seen if state == "running") == "4"
    finished = [node for node, state in seen if state == "done"]
    assert sorted(finished) == ["3", "4", "5", "6", "7", "8", "9"]
    for before, after in [("4", "6"), ("6", "3"), ("5", "3"), ("3", "8"), ("8", "9")]:
        assert finished.index(before) < finished.index(after), finished


def test_the_sampler_shows_steps_time_left_and_a_preview(page: Page, editor: Editor, program: Studio) -> None:
    editor.type_number(3, "steps", 2000)
    page.keyboard.press("Control+Enter")
    sampler = page.get_by_role("group", name="KSampler, node 3, running")
    expect(sampler.locator(".badge")).to_contain_text("/2000 · ")
    expect(sampler.locator(".badge")).to_contain_text("left")
    expect(sampler.locator(".media.hanging img")).to_be_visible()
    expect(page.locator(".run-label")).to_contain_text("/2000")
    assert " % · " in page.title()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Run cancelled").first).to_be_visible()
    expect(page.locator("[data-node='3'] .media")).to_be_hidden()
    assert not program.get("/queue")["queue_running"]
    assert page.locator(".strip .thumb").count() == 0


def test_the_seed_on_screen_is_the_seed_that_ran(page: Page, editor: Editor, program: Studio) -> None:
    seeds = []
    for run in range(3):
        page.keyboard.press("Control+Enter")
        expect(page.locator(".strip .thumb")).to_have_count(run + 1)
        node = editor.node(3)
        assert node
        seeds.append(node["widgets_values"][0])
    assert [prompt["3"]["inputs"]["seed"] for prompt in ran(program)] == seeds
    assert seeds[0] == 7
    assert len(set(seeds)) == 3


def test_several_runs_at_once(page: Page, program: Studio) -> None:
    page.get_by_role("button", name="Run options").click()
    page.get_by_role("menuitemcheckbox", name="4 runs").click()
    page.get_by_role("button", name="Run ×4").click()
    expect(page.locator(".strip .thumb")).to_have_count(4)
    assert len({prompt["3"]["inputs"]["seed"] for prompt in ran(program)}) == 4


def test_a_picture_is_opened_large_and_walked_through(page: Page, editor: Editor) -> None:
    for count in (1, 2):
        page.keyboard.press("Control+Enter")
        expect(page.locator(".strip .thumb")).to_have_count(count)
    page.locator(".strip .thumb").first.click()
    viewer = page.get_by_role("dialog", name="Picture")
    expect(viewer).to_contain_text("a large red circle")
    expect(viewer).to_contain_text("1 of 2")
    page.keyboard.press("ArrowRight")
    expect(viewer).to_contain_text("2 of 2")
    expect(viewer).to_contain_text("seed 7")
    viewer.get_by_role("button", name="Open its graph").click()
    expect(page.get_by_role("tab")).to_have_count(2)
    assert len(editor.record()["nodes"]) == 7


def test_a_picture_made_here_brings_its_graph_back(page: Page, editor: Editor, program: Studio) -> None:
    page.get_by_role("textbox", name="text").first.fill("a small blue ring on a white background")
    page.keyboard.press("Control+Enter")
    thumb = page.locator(".strip .thumb img")
    source = thumb.get_attribute("src")
    assert source
    nodes = editor.record()["nodes"]
    drop(page, page.request.get(program.url + source).body(), "ring.png", (600, 700))
    expect(page.get_by_role("tab", selected=True)).to_contain_text("ring")
    assert editor.record()["nodes"] == nodes


def test_a_foreign_picture_becomes_an_input(page: Page, editor: Editor, program: Studio) -> None:
    content = picture(2)
    drop(page, content, "photo.png", (600, 700))
    editor.settled("loom.session.document.graph.nodes.size === 8")
    until(page, "loom.session.document.graph.node(10).widgets_values[0] === 'photo.png'")
    assert (program.base / "input" / "photo.png").read_bytes() == content
    expect(page.locator("[data-node='10'] .media img")).to_be_visible()


def test_a_reload_in_the_middle_of_a_run_keeps_it_in_sight(page: Page, editor: Editor) -> None:
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='9'] .media img")).to_be_visible()
    editor.type_number(3, "steps", 9000)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='3'][data-state='running']")).to_be_visible()
    page.reload()
    expect(page.locator("[data-node='3'] .badge")).to_contain_text("/9000")
    expect(page.locator("[data-node='4'][data-state]")).to_be_visible()
    expect(page.locator(".strip .thumb img")).to_have_count(1)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Run cancelled").first).to_be_visible()
