"""What a frame of the editor costs on the main thread, beside a calibration loop in the same page.

    python tests/bench/editor.py

Opens graphs of a thousand, three and five thousand nodes in Chromium, moves the view for ninety frames each way and
prints milliseconds of the main thread per frame, and how many runs of the calibration loop (a million additions) that
is. A frame at 60 Hz has 16.7 ms.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import CDPSession, Page, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.e2e.conftest import ARGUMENTS  # noqa: E402  (the path comes first)
from tests.e2e.editor import script  # noqa: E402
from tests.e2e.fake_server import FakeServer  # noqa: E402

FRAMES = 90
CALIBRATION = """() => { const begin = performance.now(); let sum = 0;
  for (let i = 0; i < 1e6; i += 1) sum += i % 7; return sum ? performance.now() - begin : 0; }"""
STEPS = {
    "pan": "(i, v) => v.panBy(Math.sin(i / 20) * 18, Math.cos(i / 26) * 14)",
    "zoom": "(i, v) => v.zoomAt(i < 45 ? 0.94 : 1 / 0.94, [700, 400])",
    "fit": "(i, v) => v.panBy(Math.sin(i / 9) * 8, 3)",
}


def frame(page: Page, session: CDPSession, step: str) -> float:
    """Milliseconds of the main thread per frame while a step moves the view."""
    before = busy(session)
    page.evaluate(
        f"""async () => {{
          const step = {step};
          for (let i = 0; i < {FRAMES}; i += 1) await new Promise((next) => requestAnimationFrame(() => {{
            step(i, loom.session.viewport); loom.editor.moved(); next(); }}));
        }}"""
    )
    return (busy(session) - before) * 1000 / FRAMES


def busy(session: CDPSession) -> float:
    """Seconds that the main thread has worked so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


def main() -> None:
    """Measure and print."""
    server = FakeServer().start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(server.url)
        page.locator("[data-node='3'] .widget").first.wait_for()
        calibration = min(page.evaluate(CALIBRATION) for _ in range(5))
        sys.stdout.write(f"calibration loop {calibration:.2f} ms\n")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        for count in (1000, 3000, 5000):
            page.evaluate(script("big.js"), count)
            for name, step in STEPS.items():
                if name == "fit":
                    page.evaluate("loom.editor.fit()")
                page.wait_for_timeout(500)
                each = frame(page, session, step)
                sys.stdout.write(f"{count} nodes, {name:4} {each:6.2f} ms  {each / calibration:5.1f} × calibration\n")
        browser.close()
    server.stop()


if __name__ == "__main__":
    main()
