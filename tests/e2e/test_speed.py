"""Three thousand nodes: the work per frame, on the main thread, stays below a frame."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page

from tests.e2e.editor import script

FRAMES = 90
BUDGET = 16.7  # milliseconds of one thread per frame
BIG = script("big.js")
STEPS = {
    "pan": "(i, v) => v.panBy(Math.sin(i / 20) * 18, Math.cos(i / 26) * 14)",
    "zoom": "(i, v) => v.zoomAt(i < 45 ? 0.94 : 1 / 0.94, [700, 400])",
    "fit": "(i, v) => v.panBy(Math.sin(i / 9) * 8, 3)",
}


@pytest.mark.parametrize("what", ["pan", "zoom", "fit"])
def test_a_frame_of_three_thousand_nodes(page: Page, what: str) -> None:
    opened = page.evaluate(BIG, 3000)
    assert opened < 3000
    if what == "fit":
        page.evaluate("loom.editor.fit()")
    page.wait_for_timeout(500)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    before = _busy(session)
    page.evaluate(
        f"""async () => {{
          const step = {STEPS[what]};
          for (let i = 0; i < {FRAMES}; i += 1) await new Promise((next) => requestAnimationFrame(() => {{
            step(i, loom.session.viewport); loom.editor.moved(); next(); }}));
        }}"""
    )
    each = (_busy(session) - before) * 1000 / FRAMES
    assert each < BUDGET


def test_far_nodes_have_no_elements(page: Page) -> None:
    page.evaluate(BIG, 3000)
    page.wait_for_timeout(300)
    assert page.locator(".node").count() < 120


def _busy(session: CDPSession) -> float:
    metrics: list[dict[str, Any]] = session.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")
