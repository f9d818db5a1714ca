"""From opening to the picture, and everything that can go wrong on the way."""

from __future__ import annotations

import base64

from playwright.sync_api import Page, expect

from tests.e2e.editor import Editor, script, until
from tests.e2e.fake_server import FakeServer, picture

DROP = script("drop.js")


def _drop(page: Page, content: bytes, name: str, at: tuple[float, float], kind: str = "image/png") -> None:
    page.evaluate(DROP, [base64.b64encode(content).decode(), name, kind, *at])


def test_ctrl_enter_draws_the_default_graph(page: Page, editor: Editor, server: FakeServer) -> None:
    server.step_seconds = 0.05
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='3'][data-state='running']")).to_be_visible()
    expect(page.locator("[data-node='3'] .badge")).to_contain_text("left")
    expect(page.locator("[data-node='3'] .media.hanging img")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.locator("[data-node='9'] .media img")).to_be_visible()
    expect(page.locator(".strip .thumb img")).to_have_count(1)
    expect(page.locator("[data-node='3'] .media")).to_be_hidden()
    assert server.submitted[0]["prompt"]["3"]["inputs"]["seed"] == 7
    assert server.submitted[0]["extra_data"]["extra_pnginfo"]["workflow"]["nodes"]


def test_the_seed_on_screen_is_the_seed_that_ran(page: Page, editor: Editor, server: FakeServer) -> None:
    for run in range(3):
        page.keyboard.press("Control+Enter")
        until(page, f"Object.keys([...loom.runner.jobs.all]).length > {run}")
        expect(page.locator(".strip .thumb")).to_have_count(run + 1)
        node = editor.node(3)
        assert node and node["widgets_values"][0] == server.submitted[run]["prompt"]["3"]["inputs"]["seed"]
    seeds = [body["prompt"]["3"]["inputs"]["seed"] for body in server.submitted]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3


def test_cancel_stops_the_run(page: Page, server: FakeServer) -> None:
    server.step_seconds = 0.2
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Run cancelled").first).to_be_visible()
    assert server.interrupted == [server.submitted[0]["prompt_id"]]


def test_a_refused_prompt_is_explained_on_the_field(page: Page, editor: Editor, server: FakeServer) -> None:
    problem = {
        "type": "value_smaller_than_min",
        "message": "Value 0 smaller than min of 1",
        "details": "steps",
        "extra_info": {"input_name": "steps", "received_value": 0},
    }
    errors = {"3": {"errors": [problem], "dependent_outputs": ["9"], "class_type": "KSampler"}}
    server.refusal = {"error": {"type": "prompt_outputs_failed_validation", "message": "x"}, "node_errors": errors}
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='3'] .callout")).to_contain_text("Value 0 smaller than min of 1")
    expect(editor.widget(3, "steps").locator("input")).to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("[data-node='3']")).to_be_focused()
    page.locator("[data-node='3']").get_by_role("button", name="Dismiss").click()
    expect(page.locator("[data-node='3'] .callout")).to_be_hidden()


def test_a_failing_node_says_why(page: Page, server: FakeServer) -> None:
    server.failure = "The model wants 16 channels."
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-node='3'] .callout")).to_contain_text("16 channels")
    expect(page.locator(".problem-bar")).to_contain_text("KSampler failed")


def test_a_lost_worker_is_told_on_its_node(page: Page, server: FakeServer) -> None:
    server.step_seconds = 0.2
    page.keyboard.press("Control+Enter")
    page.locator("[data-node='3'][data-state='running']").wait_for()
    server.say("job_requeued", {"prompt_id": server.submitted[0]["prompt_id"], "reason": "was killed", "losses": 1})
    expect(page.locator(".problem-bar")).to_contain_text("was killed")


def test_a_run_that_ended_while_the_line_was_cut_is_looked_up(page: Page, server: FakeServer) -> None:
    page.keyboard.press("Control+Enter")
    expect(page.locator(".strip .thumb")).to_have_count(1)
    page.evaluate("Object.assign([...loom.runner.jobs.all.values()][0], { state: 'running' })")
    server.drop_sockets()
    until(page, "[...loom.runner.jobs.all.values()][0].state === 'succeeded'")


def test_large_view_and_its_graph(page: Page, editor: Editor) -> None:
    page.keyboard.press("Control+Enter")
    page.locator(".strip .thumb").first.click()
    viewer = page.get_by_role("dialog")
    expect(viewer).to_contain_text("a large red circle")
    viewer.get_by_role("button", name="Open its graph").click()
    expect(page.get_by_role("tab")).to_have_count(2)
    assert len(editor.record()["nodes"]) == 7


def test_a_dropped_picture_opens_its_graph(page: Page, editor: Editor) -> None:
    record = editor.record()
    record["nodes"] = [node for node in record["nodes"] if node["id"] == 5]
    record["links"] = []
    _drop(page, picture(1, {"workflow": record}), "made.png", (600, 700))
    expect(page.get_by_role("tab", selected=True)).to_contain_text("made")
    assert [node["id"] for node in editor.record()["nodes"]] == [5]


def test_a_foreign_picture_becomes_an_input(page: Page, editor: Editor, server: FakeServer) -> None:
    _drop(page, picture(2), "photo.png", (600, 700))
    editor.settled("loom.session.document.graph.nodes.size === 8")
    until(page, "loom.session.document.graph.node(10).widgets_values[0] === 'photo.png'")
    assert server.files["photo.png"] == picture(2)
    expect(page.locator("[data-node='10'] .media img")).to_be_visible()
