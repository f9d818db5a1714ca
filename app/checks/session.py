"""Runs tests of workflows one after the other, and reports."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TextIO

from app.checks.cases import Case
from app.checks.expect import unmet
from app.checks.outcome import Outcome
from app.desk import changed, graph_file, prompt_of, read_graph
from app.engine.cache import Cache
from app.engine.events import Event, NodeFinished
from app.engine.node import Node
from app.errors import AppError, InvalidPrompt
from app.graph.prompt import Prompt
from app.graph.replacements import Replacements
from app.graph.spec import NodeSpec
from app.graph.validate import Validated, validate
from app.terminal import error_text


class Outputs(Protocol):
    """Where staged files are published."""

    output: Path
    temp: Path

    def publish_ui(self, ui: Mapping[str, list[Any]], job_id: str, node_id: str) -> dict[str, list[Any]]:
        """The ui with its files under their final names."""
        ...


class Bench(Protocol):
    """What evaluates graphs; `wiring.Workshop` is one."""

    @property
    def nodes(self) -> Mapping[str, Node]:
        """The classes by name."""
        ...

    @property
    def cache(self) -> Cache:
        """The results so far."""
        ...

    @property
    def outputs(self) -> Outputs:
        """Where files go."""
        ...

    def file_names(self) -> Mapping[str, Sequence[Any]]:
        """The names of files by folder."""
        ...

    def replacements(self) -> Replacements:
        """What stands in for classes of before."""
        ...

    def evaluate(
        self,
        prompt: Prompt,
        outputs: list[str],
        extra_data: Mapping[str, Any],
        emit: Callable[[Event], None],
        interrupted: Callable[[], bool],
    ) -> None:
        """Run a validated prompt."""
        ...


@dataclass(slots=True)
class Session:
    """Tests on one bench. The report goes to `stream`; `keep` is where pictures are copied."""

    bench: Bench
    stream: TextIO
    stopped: Callable[[], bool]
    keep: Path | None = None
    _passed: int = 0
    _failed: list[str] = field(default_factory=list[str])

    def run(self, path: Path, cases: Iterable[Case]) -> None:
        """Run the tests of a file; each begins with an empty cache."""
        self._say(f"{path}")
        for case in cases:
            if self.stopped():
                self._failed.append(f"{path}: {case.name}")
                self._say(f"  – {case.name}: not run")
                continue
            self.bench.cache.clear()
            began = time.perf_counter()
            wrong = self._wrong(case, path.parent)
            mark = "✗" if wrong else "✓"
            self._say(f"  {mark} {case.name} ({time.perf_counter() - began:.1f} s)")
            for line in wrong:
                self._say(f"      {line}")
            if wrong:
                self._failed.append(f"{path}: {case.name}")
            else:
                self._passed += 1

    def end(self) -> int:
        """Say the sum, and give the exit status: 0 if all passed."""
        self._say(f"{self._passed} passed, {len(self._failed)} failed")
        return 1 if self._failed else 0

    def _wrong(self, case: Case, folder: Path) -> list[str]:
        """What is not as expected; the graph is read and run for it."""
        outcome = Outcome()
        try:
            for changes in case.first:
                self._evaluate(replace(case, changes={**case.changes, **changes}))
            outcome = self._evaluate(case)
        except AppError as error:
            outcome.problem = next(iter(getattr(error, "node_errors", {})), ""), error_text(error)
        found = ((each, unmet(each, outcome, folder)) for each in case.expect)
        return [f"expected {each}, but {wrong}" for each, wrong in found if wrong is not None]

    def _evaluate(self, case: Case) -> Outcome:
        valid = self._validated(case)
        outputs = self.bench.outputs
        outcome = Outcome({"output": outputs.output, "temp": outputs.temp}, known=set(valid.prompt.nodes))
        job_id = uuid.uuid4().hex

        def hear(event: Event) -> None:
            if isinstance(event, NodeFinished) and event.ui:
                event = replace(event, ui=outputs.publish_ui(event.ui, job_id, event.node_id))
            outcome.hear(event)

        began = time.perf_counter()
        self.bench.evaluate(valid.prompt, list(valid.outputs), {}, hear, self.stopped)
        outcome.seconds = time.perf_counter() - began
        if self.keep is not None:
            self._copy(outcome, case.name)
        return outcome

    def _validated(self, case: Case) -> Validated:
        specs: dict[str, NodeSpec] = {name: node.spec for name, node in self.bench.nodes.items()}
        data = read_graph(graph_file(case.source)) if isinstance(case.source, Path) else case.source
        files = self.bench.file_names()
        prompt = prompt_of(data, specs, files, self.bench.replacements())
        valid = validate(changed(prompt, case.changes, case.seed), specs, files)
        if valid.node_errors:  # a server would run the rest of the graph; a test is about all of it
            raise InvalidPrompt("Some outputs cannot run.", node_errors=valid.node_errors)
        return valid

    def _copy(self, outcome: Outcome, name: str) -> None:
        folder = Path(self.keep or "", "".join(c if c.isalnum() or c in " -_" else "_" for c in name))
        folder.mkdir(parents=True, exist_ok=True)
        for node_id, paths in outcome.images.items():
            for number, path in enumerate(paths):
                safe = node_id.replace("/", "_").replace(":", "_")
                shutil.copyfile(path, folder / f"{safe}_{number}{path.suffix}")

    def _say(self, line: str) -> None:
        self.stream.write(f"{line}\n")
        self.stream.flush()
