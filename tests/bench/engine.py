"""What the engine itself costs, beside a calibration loop in the same run.

    python tests/bench/engine.py

Prints microseconds a node for chains and wide graphs of trivial nodes, run and served from the cache; the milliseconds
of a chain of 5,000 that is sent again with one change at its end; microseconds a round of loops; bytes of messages a
node; and the memory that 2,000 different graphs leave behind. The calibration is the time of one dict update with a
formatted text: figures of different machines compare by their ratio to it, which is told beside each. Times are of
this process alone.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from app.engine.cache import Cache  # noqa: E402  (the path comes first)
from app.engine.collecting import collect_rarely  # noqa: E402
from app.engine.events import Event, RunSucceeded  # noqa: E402
from app.engine.run import run  # noqa: E402
from app.graph.declaration import FunctionNode, Port, node  # noqa: E402
from app.graph.prompt import parse_prompt  # noqa: E402
from app.graph.returned import Returned  # noqa: E402
from app.graph.validate import validate  # noqa: E402
from app.server.wire import RunTranslator, Said  # noqa: E402
from nodes import flow  # noqa: E402

Graph = dict[str, dict[str, Any]]
Value = Annotated[Any, Port("*")]


@node("Step", category="bench", id="Step")
def step(*, value: Value = None, add: int = 1) -> Value:
    """Adds."""
    return (value or 0) + add


@node("End", category="bench", id="End", output_node=True)
def end(*, value: Value = None) -> Returned:
    """Shows."""
    return Returned(ui={"text": [str(value)]})


NODES: dict[str, FunctionNode] = {each.spec.id: each for each in (step, end, flow.for_begin, flow.for_end)}
SPECS = {name: each.spec for name, each in NODES.items()}


def made(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of a prompt."""
    return {"class_type": kind, "inputs": inputs}


def chain(length: int, last: int = 1, first: int = 1) -> Graph:
    """Nodes one after the other, and an output."""
    graph = {"0": made("Step", add=first)}
    graph |= {str(i): made("Step", add=1, value=[str(i - 1), 0]) for i in range(1, length - 1)}
    graph[str(length - 1)] = made("Step", add=last, value=[str(length - 2), 0])
    return {**graph, "end": made("End", value=[str(length - 1), 0])}


def wide(width: int) -> Graph:
    """Pairs side by side."""
    graph = {f"a{i}": made("Step", add=i) for i in range(width // 2)}
    return {**graph, **{f"e{i}": made("End", value=[f"a{i}", 0]) for i in range(width // 2)}}


def loop(rounds: int) -> Graph:
    """One node in a loop."""
    return {
        "b": made("ForBegin", count=rounds, value_1=["s", 0]),
        "s": made("Step", add=1),
        "x": made("Step", value=["b", 2], add=1),
        "e": made("ForEnd", loop=["b", 0], value_1=["x", 0]),
        "o": made("End", value=["e", 0]),
    }


def evaluate(graph: Graph, cache: Cache) -> tuple[float, float, list[Event]]:
    """Seconds from JSON data to a validated prompt, seconds of the run, and its events."""
    began = time.process_time()
    valid = validate(parse_prompt(graph), SPECS, {})
    ready = time.process_time()
    events = list(run(valid.prompt, valid.outputs, NODES, cache, lambda site: None, lambda: False))
    ended = time.process_time()
    assert isinstance(events[-1], RunSucceeded), events[-1]
    return ready - began, ended - ready, events


def calibration() -> float:
    """Microseconds of one dict update with a formatted text."""
    best = 1e9
    for _ in range(5):
        table: dict[str, str] = {}
        began = time.process_time()
        for i in range(100_000):
            table[f"node {i & 1023}"] = f"link {i} 0"
        best = min(best, time.process_time() - began)
    return best * 10


def traffic(graph: Graph, events: list[Event]) -> int:
    """Bytes of all messages of a run that takes no time, which is the most that a screen is told."""
    clock = iter(range(10**9))
    translator = RunTranslator("job", frozenset({"end"}), lambda: graph, lambda: next(clock) * 5e-5)
    said = [each for event in events for each in translator.translate(event)]
    return sum(len(json.dumps(each.data)) for each in said if isinstance(each, Said))


def left_behind(prompts: int) -> float:
    """Bytes of memory that a graph leaves, once caches are full; that many different ones are run twice."""
    cache = Cache(max_bytes=1 << 20)
    for i in range(prompts):
        evaluate(chain(20, first=i), cache)
    before = resident()
    for i in range(prompts, 2 * prompts):
        evaluate(chain(20, first=i), cache)
    return (resident() - before) / prompts


def resident() -> int:
    """Bytes of memory that the process has, 0 where nobody tells."""
    gc.collect()
    sizes = Path("/proc/self/statm")
    return int(sizes.read_text("ascii").split()[1]) * 4096 if sizes.exists() else 0


def main() -> None:
    """Measure and print."""
    collect_rarely()  # as a worker does
    unit = calibration()
    tell(f"calibration {unit:.3f} µs")
    for name, make in (("chain", chain), ("wide", wide)):
        for size in (1_000, 5_000, 50_000):
            cache = Cache(max_bytes=4 << 30)
            graph = make(size)
            _, fresh, events = evaluate(graph, cache)
            _, stored, _ = evaluate(graph, cache)
            us = [seconds / len(graph) * 1e6 for seconds in (fresh, stored)]
            told = f"{us[0]:6.1f} µs a node run ({us[0] / unit:4.0f}×), {us[1]:5.1f} cached ({us[1] / unit:4.0f}×)"
            tell(f"{name} of {size:6}: {told}, {traffic(graph, events) / len(graph):5.0f} bytes of messages a node")
    cache = Cache(max_bytes=4 << 30)
    evaluate(chain(5000), cache)
    gc.collect()
    ready, ran, _ = evaluate(chain(5000, last=2), cache)
    tell(
        f"chain of 5000, its end changed: {(ready + ran) * 1e3:.0f} ms ({(ready + ran) / unit * 1e6:.0f}×), "
        f"{ran * 1e3:.0f} ms of it in the engine"
    )
    for rounds in (1_000, 10_000):
        _, ran, _ = evaluate(loop(rounds), Cache(max_bytes=4 << 30))
        us = ran / rounds * 1e6
        tell(f"loop of {rounds:6}: {us:.0f} µs a round of two nodes and the end ({us / unit:.0f}×)")
    tell(f"2,000 different graphs of 20 nodes, then 2,000 more: {left_behind(2000):.0f} bytes left a graph")


def tell(line: str) -> None:
    """One line of the report."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
