"""What goes wrong is explained where it went wrong, with a way out."""

from __future__ import annotations

import os
import signal

from playwright.sync_api import Page, expect

from tests.e2e.conftest import Studio
from tests.e2e.editor import Editor, until
from tests.e2e.fake_server import FakeServer, picture

RESTART_MS = 90_000  # a fresh worker imports torch first


def add(page: Page, words: str, x: int = 400, y: int = 650) -> None:
    """Put a node on the field through the palette."""
    page.evaluate(f"loom.editor.services.search({{ at: [{x}, {y}], screen: [600, 500] }})")
    Editor(page).choose(words)


def test_cancel_stops_within_a_step(page: Page, editor: Editor, program: Studio) -> None:
    editor.type_number(3, "steps", 5000)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='3'] .badge")).to_contain_text("/5000")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_text("Run cancelled").first).to_be_visible()
    (entry,) = program.get("/history").values()
    assert "execution_interrupted" in dict(entry["status"]["messages"])
    assert page.evaluate("[...loom.runner.jobs.all.values()][0].nodes.get('3').value") < 5000


def test_a_refused_value_is_explained_on_its_field(page: Page, editor: Editor, program: Studio) -> None:
    page.evaluate("loom.session.document.transact('x', tx => tx.set('node', '3', ['widgets_values', 2], 0))")
    page.keyboard.press("Control+Enter")
    node = page.locator("[data-node='3']")
    expect(node.locator(".callout")).to_contain_text("steps")
    expect(node.locator(".callout")).to_contain_text("Value 0 smaller than min of 1.")
    expect(node.locator(".callout")).to_contain_text("Set steps to 1, or to anything between 1 and 10000.")
    expect(editor.widget(3, "steps").locator("input")).to_have_attribute("aria-invalid", "true")
    assert program.get("/history") == {}
    page.get_by_role("button", name="Show", exact=True).click()
    expect(node).to_be_focused()
    editor.type_number(3, "steps", 2)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='9'] .media img")).to_be_visible()
    expect(node.locator(".callout")).to_be_hidden()
    expect(page.locator(".problem-bar")).to_be_hidden()


def test_a_missing_link_is_explained_on_its_socket(page: Page, editor: Editor) -> None:
    editor.drag(editor.dot(3, "in:2"), (700, 760))
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='3'] .callout")).to_contain_text("negative: nothing is connected here.")
    expect(page.locator("[data-node='3'] .socket.bad")).to_have_count(1)
    page.locator("[data-node='3']").get_by_role("button", name="Dismiss").click()
    expect(page.locator("[data-node='3'] .callout")).to_be_hidden()


def test_a_failing_node_says_why_and_what_to_do(page: Page, editor: Editor, program: Studio) -> None:
    damaged = picture(1)[:-40]
    (program.base / "input" / "damaged.png").write_bytes(damaged[:60] + b"?" * 20 + damaged[80:])
    page.reload()
    editor.settled("window.loom?.session && loom.ready")
    add(page, "load image")
    add(page, "preview image", 800)
    editor.settled("loom.editor.nodes.mounted.has('11')")
    editor.widget(10, "image").get_by_role("button").first.click()
    page.get_by_role("option", name="damaged.png").click()
    editor.drag(editor.dot(10, "out:0"), editor.dot(11, "in:0"))
    page.keyboard.press("Control+Enter")
    callout = page.locator("[data-node='10'] .callout")
    expect(callout).to_contain_text("damaged.png")
    expect(page.locator(".problem-bar")).to_be_visible()
    page.locator(".problem-bar").get_by_role("button", name="Show").click()
    expect(page.locator("[data-node='10']")).to_be_focused()


def test_a_killed_worker_is_told_on_its_node_and_the_run_goes_on(page: Page, editor: Editor, program: Studio) -> None:
    editor.type_number(3, "steps", 60)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='3'] .badge")).to_contain_text("/60")
    os.kill(program.worker_pid(), signal.SIGKILL)
    bar = page.locator(".problem-bar")
    expect(bar).to_contain_text("was lost while KSampler ran")
    expect(bar).to_contain_text("starts again by itself")
    expect(page.locator("[data-node='9'] .media img")).to_be_visible(timeout=RESTART_MS)
    expect(bar).to_be_hidden()


def test_a_killed_server_comes_back_and_so_does_the_run(page: Page, editor: Editor, program: Studio) -> None:
    editor.type_number(3, "steps", 60)
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='3'] .badge")).to_contain_text("/60")
    program.restart(signal.SIGKILL)
    expect(page.get_by_text("No connection")).to_be_visible()
    expect(page.locator("[data-node='9'] .media img")).to_be_visible(timeout=RESTART_MS)
    expect(page.get_by_text("No connection")).to_be_hidden()
    assert page.evaluate("loom.session.job.state") == "succeeded"


def test_a_run_that_ended_while_the_line_was_cut_is_looked_up(scripted_page: Page, server: FakeServer) -> None:
    scripted_page.keyboard.press("Control+Enter")
    expect(scripted_page.locator(".strip .thumb")).to_have_count(1)
    scripted_page.evaluate("Object.assign([...loom.runner.jobs.all.values()][0], { state: 'running' })")
    server.drop_sockets()
    until(scripted_page, "[...loom.runner.jobs.all.values()][0].state === 'succeeded'")
