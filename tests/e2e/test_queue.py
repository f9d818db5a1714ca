"""The queue panel on the real server: order, pause, cancel, history, more than one window."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.e2e.conftest import Studio
from tests.e2e.editor import Editor, until


@pytest.fixture
def panel(page: Page, program: Studio, graph: dict[str, Any]) -> Locator:
    """The open panel, over a paused queue of three runs of other clients: "one", "two" and "three"."""
    program.post("/queue/pause", {})
    for words in ("one", "two", "three"):
        graph["6"]["inputs"]["text"] = words
        assert program.post("/prompt", {"prompt": graph})[0] == 200
    page.keyboard.press("q")
    panel = page.get_by_role("complementary", name="Queue and history")
    expect(titles(waiting(panel))).to_have_text(["one", "two", "three"])
    return panel


def waiting(panel: Locator) -> Locator:
    return panel.get_by_role("list", name="Running and waiting")


def history(panel: Locator) -> Locator:
    return panel.get_by_role("list", name="History")


def titles(rows: Locator) -> Locator:
    return rows.locator(".row-title")


def queued(program: Studio) -> list[str]:
    """The words of what waits, the next one first."""
    return [item[2]["6"]["inputs"]["text"] for item in program.get("/queue")["queue_pending"]]


def test_rows_are_moved_with_the_keyboard(page: Page, panel: Locator, program: Studio) -> None:
    handle = waiting(panel).get_by_role("button", name="Move “three” in the queue")
    handle.press("ArrowUp")
    expect(titles(waiting(panel))).to_have_text(["one", "three", "two"])
    handle.press("Home")
    expect(titles(waiting(panel))).to_have_text(["three", "one", "two"])
    assert queued(program) == ["three", "one", "two"]
    expect(handle).to_be_focused()
    handle.press("End")
    expect(titles(waiting(panel))).to_have_text(["one", "two", "three"])


def test_rows_are_dragged(page: Page, editor: Editor, panel: Locator, program: Studio) -> None:
    rows = waiting(panel).get_by_role("listitem")
    start = editor.middle(rows.nth(0).locator(".job-handle"))
    end = editor.middle(rows.nth(2).locator(".job-handle"))
    editor.drag(start, (end[0], end[1] + 12))
    expect(titles(waiting(panel))).to_have_text(["two", "three", "one"])
    panel.get_by_role("button", name="Take back two").click()
    expect(titles(waiting(panel))).to_have_text(["three", "one"])
    assert queued(program) == ["three", "one"]


def test_a_pause_holds_runs_back_and_says_so(page: Page, panel: Locator, program: Studio) -> None:
    expect(panel.get_by_text("Paused. What waits is held back.")).to_be_visible()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".run-label")).to_have_text("Queue paused")
    expect(waiting(panel).get_by_role("listitem")).to_have_count(4)
    page.reload()
    expect(page.locator(".run-label")).to_have_text("Queue paused")
    expect(waiting(panel).get_by_role("listitem")).to_have_count(4)
    panel.get_by_role("button", name="Resume").click()
    expect(history(panel).get_by_role("listitem")).to_have_count(4)
    expect(page.locator("[data-node='9'] .media img")).to_be_visible()
    assert not program.get("/queue")["paused"]


def test_one_is_taken_back_then_all(page: Page, panel: Locator, program: Studio) -> None:
    waiting(panel).get_by_role("listitem").filter(has_text="two").hover()
    panel.get_by_role("button", name="Take back two").click()
    expect(titles(waiting(panel))).to_have_text(["one", "three"])
    panel.get_by_role("button", name="Cancel all that waits").click()
    expect(waiting(panel).get_by_role("listitem")).to_have_count(0)
    assert queued(program) == []


def test_every_window_sees_the_same(page: Page, panel: Locator, context: BrowserContext, program: Studio) -> None:
    second = context.new_page()
    second.goto(program.url)
    until(second, "window.loom?.session && loom.ready")
    if second.locator(".panel").is_hidden():
        second.keyboard.press("q")
    other = second.get_by_role("complementary", name="Queue and history")
    expect(titles(waiting(other))).to_have_text(["one", "two", "three"])
    panel.get_by_role("button", name="Cancel all that waits").click()
    expect(waiting(other).get_by_role("listitem")).to_have_count(0)


def test_history_has_pictures_is_searched_and_opens_graphs(page: Page, editor: Editor, program: Studio) -> None:
    page.keyboard.press("q")
    panel = page.get_by_role("complementary", name="Queue and history")
    expect(panel.get_by_role("searchbox", name="Search the history")).to_be_focused()
    for seed, words in (
        (7, "a large red circle on a white background"),
        (8, "a small blue square on a black background"),
    ):
        editor.type_number(3, "seed", seed)  # one that was drawn by chance may begin with 7 as well
        page.locator("[data-node='6'] textarea").fill(words)
        page.keyboard.press("Control+Enter")
        expect(titles(history(panel)).first).to_have_text(words)
    expect(history(panel).locator("img")).to_have_count(2)
    panel.get_by_role("searchbox", name="Search the history").fill("blue")
    expect(titles(history(panel))).to_have_text(["a small blue square on a black background"])
    panel.get_by_role("button", name="Open the picture of “a small blue").click()
    expect(page.get_by_role("dialog", name="Picture")).to_contain_text("a small blue square")
    page.keyboard.press("Escape")
    panel.get_by_role("searchbox").fill("seed 7")
    expect(titles(history(panel))).to_have_text(["a large red circle on a white background"])
    history(panel).get_by_role("listitem").hover()
    panel.get_by_role("button", name="Open the graph of").click()
    expect(page.get_by_role("tab")).to_have_count(2)
    node = editor.node(6)
    assert node
    assert node["widgets_values"] == ["a large red circle on a white background"]


def test_a_running_job_shows_its_steps_and_is_cancelled(page: Page, editor: Editor, program: Studio) -> None:
    page.keyboard.press("q")
    panel = page.get_by_role("complementary", name="Queue and history")
    editor.type_number(3, "steps", 9000)
    page.keyboard.press("Control+Enter")
    row = waiting(panel).get_by_role("listitem")
    expect(row).to_contain_text("/9000")
    expect(row.get_by_role("progressbar")).to_have_count(1)
    row.get_by_role("button", name="Cancel").click()
    expect(waiting(panel).get_by_role("listitem")).to_have_count(0)
    expect(history(panel).get_by_role("listitem")).to_contain_text(["Cancelled"])
    panel.get_by_role("button", name="Forget the history").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(panel.get_by_text("Nothing has run yet")).to_be_visible()


def test_an_error_stands_in_the_history(page: Page, editor: Editor, program: Studio, graph: dict[str, Any]) -> None:
    (program.base / "input" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    load = {"class_type": "LoadImage", "inputs": {"image": "torn.png"}}
    show = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    status, answer = program.post("/prompt", {"prompt": {"1": load, "2": show}})
    assert status == 200, answer
    program.finished(answer["prompt_id"])
    page.keyboard.press("q")
    row = page.get_by_role("list", name="History").get_by_role("listitem")
    expect(row).to_contain_text("LoadImage")
    expect(row).to_contain_text("torn.png")
    expect(row).to_contain_text("Failed")


def test_the_list_comes_back_with_the_server(page: Page, panel: Locator, program: Studio) -> None:
    os.kill(program.process.pid, signal.SIGKILL)
    expect(page.get_by_text("No connection")).to_be_visible()
    expect(titles(waiting(panel))).to_have_text(["one", "two", "three"])
    program.process.wait(20)
    program.launch()
    expect(page.get_by_text("No connection")).to_be_hidden()
    panel.get_by_role("button", name="Take back one").click()
    expect(titles(waiting(panel))).to_have_text(["two", "three"])
