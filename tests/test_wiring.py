from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from app.engine.events import Event, NodeFinished, Preview, RunFailed, RunInterrupted, RunSucceeded
from app.errors import InvalidPrompt, InvalidRequest, Missing
from app.graph.prompt import parse_prompt
from app.graph.spec import spec_from_json
from app.images.metadata import read_texts
from app.settings import EngineSettings, RunSettings, Settings
from app.wiring import Workshop, _stopped_by_keyboard, run

ROOT = Path(__file__).parent.parent


def default_prompt(**inputs: Any) -> dict[str, Any]:
    """The default graph on the tiny checkpoint, with few steps."""
    prompt = json.loads((ROOT / "web" / "templates" / "default.api.json").read_text())
    prompt["4"]["inputs"]["ckpt_name"] = "tiny.safetensors"
    prompt["3"]["inputs"] |= {"steps": 2, **inputs}
    return prompt


def evaluated(workshop: Workshop, prompt: dict[str, Any], stop_after: int | None = None, **said: Any) -> list[Event]:
    heard: list[Event] = []
    workshop.evaluate(
        parse_prompt(prompt),
        ["9"],
        {"extra_pnginfo": {"workflow": {"nodes": []}}, **said},
        heard.append,
        lambda: stop_after is not None and len(heard) >= stop_after,
    )
    return heard


def ran(events: list[Event]) -> list[str]:
    return [event.class_type for event in events if isinstance(event, NodeFinished) and not event.cached]


@pytest.fixture
def prompt_file(tmp_path: Path) -> Path:
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps(default_prompt()))
    return path


def with_run(settings: Settings, path: Path, **said: Any) -> Settings:
    return replace(settings, run=RunSettings(workflow=path, quiet=True, **said))


def test_the_default_graph_runs_and_its_file_holds_the_graph(installation: Settings) -> None:
    workshop = Workshop.build(installation)
    events = evaluated(workshop, default_prompt())
    assert isinstance(events[-1], RunSucceeded)
    saved = next(event for event in events if isinstance(event, NodeFinished) and event.class_type == "SaveImage")
    assert saved.ui is not None
    texts = read_texts(workshop.outputs.staging / saved.ui["images"][0]["staged"])
    assert json.loads(texts["prompt"])["3"]["inputs"]["steps"] == 2
    assert json.loads(texts["workflow"]) == {"nodes": []}
    assert all(event.seconds > 0 for event in events if isinstance(event, NodeFinished))


def test_only_what_changed_runs_again(installation: Settings) -> None:
    workshop = Workshop.build(installation)
    evaluated(workshop, default_prompt())
    assert ran(evaluated(workshop, default_prompt())) == []
    assert ran(evaluated(workshop, default_prompt(seed=99))) == ["KSampler", "VAEDecode", "SaveImage"]


def test_memory_that_was_given_back_is_filled_again(installation: Settings) -> None:
    workshop = Workshop.build(installation)
    evaluated(workshop, default_prompt())
    assert workshop.cache.bytes > 0
    workshop.free(unload_models=True, free_memory=True)
    assert workshop.cache.bytes == 0
    assert "CheckpointLoaderSimple" in ran(evaluated(workshop, default_prompt()))


def test_a_client_can_do_without_previews(installation: Settings) -> None:
    workshop = Workshop.build(installation)
    for method, shown in (("auto", True), ("none", False)):
        events = evaluated(workshop, default_prompt(seed=11 if shown else 12), preview_method=method)
        assert any(isinstance(event, Preview) for event in events) is shown


def test_a_run_can_be_stopped(installation: Settings) -> None:
    events = evaluated(Workshop.build(installation), default_prompt(steps=1000), stop_after=8)
    assert isinstance(events[-1], RunInterrupted)
    assert len(events) < 20


def test_a_failure_names_the_node_the_value_and_the_way_out(installation: Settings) -> None:
    (installation.directories.base / "models" / "checkpoints" / "tiny.safetensors").write_bytes(b"damaged")
    failed = evaluated(Workshop.build(installation), default_prompt())[-1]
    assert isinstance(failed, RunFailed)
    assert (failed.node_id, failed.class_type) == ("4", "CheckpointLoaderSimple")
    assert failed.current_inputs == {"ckpt_name": ["tiny.safetensors"]}
    assert failed.remedy


def test_after_a_failure_the_next_run_works(installation: Settings) -> None:
    workshop = Workshop.build(installation)
    assert isinstance(evaluated(workshop, default_prompt(sampler_name="nonsense"))[-1], RunFailed)
    assert isinstance(evaluated(workshop, default_prompt())[-1], RunSucceeded)


def test_inference_mode_ends_with_the_run(installation: Settings) -> None:
    evaluated(Workshop.build(installation), default_prompt())
    assert not torch.is_inference_mode_enabled()


def test_the_hello_travels_as_json(installation: Settings) -> None:
    workshop = Workshop.build(installation)
    hello = workshop.hello()
    specs = [spec_from_json(spec) for spec in json.loads(json.dumps(hello.specs))]
    assert {spec.id for spec in specs} == set(workshop.nodes)
    assert hello.devices[0]["type"] == "cpu"
    assert hello.versions["torch"] == torch.__version__


def test_packs_can_be_left_out(installation: Settings) -> None:
    pack = installation.directories.custom_nodes
    pack.mkdir()
    (pack / "bad.py").write_text("1 / 0")
    assert Workshop.build(installation).registry.failures
    without = replace(installation, engine=EngineSettings(load_custom_nodes=False))
    assert not Workshop.build(without).registry.failures
    (pack / "worse.py").write_text("2 / 0")
    but_one = EngineSettings(load_custom_nodes=False, only_packs=("worse",))
    (failure,) = Workshop.build(replace(installation, engine=but_one)).registry.failures
    assert "worse" in failure["message"]


def test_a_run_tells_the_paths_of_what_it_saved(
    installation: Settings, prompt_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        assert run(with_run(installation, prompt_file)) == 0
        path = Path(capsys.readouterr().out.strip())
        assert path == installation.directories.output / f"LatentLoom_0000{number}_.png"
        assert path.is_file()


def test_a_picture_draws_itself_again(
    installation: Settings, prompt_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(with_run(installation, prompt_file))
    first = Path(capsys.readouterr().out.strip())
    run(with_run(installation, first))
    second = Path(capsys.readouterr().out.strip())
    assert first != second
    assert first.read_bytes() == second.read_bytes()


def test_a_saved_workflow_runs_too(installation: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {("4", "ckpt_name"): "tiny.safetensors", ("3", "steps"): 2}
    workflow = ROOT / "web" / "templates" / "default.json"
    assert run(with_run(installation, workflow, changes=changes)) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()


def test_values_and_seeds_can_be_set(
    installation: Settings, prompt_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(with_run(installation, prompt_file, changes={("6", "text"): "two green squares"}, seed=123))
    texts = read_texts(Path(capsys.readouterr().out.strip()))
    prompt = json.loads(texts["prompt"])
    assert prompt["6"]["inputs"]["text"] == "two green squares"
    assert prompt["3"]["inputs"]["seed"] == 123


@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        ({"changes": {("3", "speed"): 1}}, InvalidRequest, r"3\.speed"),
        ({"changes": {("99", "seed"): 1}}, InvalidRequest, r"99\.seed"),
        ({"changes": {("3", "steps"): 0}}, InvalidPrompt, "failed validation"),
    ],
)
def test_changes_that_cannot_be_are_told(
    installation: Settings, prompt_file: Path, said: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        run(with_run(installation, prompt_file, **said))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, Missing),
        ("{", InvalidRequest),
        ("[" * 100_000, InvalidRequest),
        ("[]", InvalidPrompt),
        ("7", InvalidPrompt),
    ],
)
def test_files_that_hold_no_graph_are_told(
    installation: Settings, tmp_path: Path, content: str | None, error: type[Exception]
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(error) as told:
        run(with_run(installation, path))
    assert getattr(told.value, "remedy", "")


def test_serving_needs_no_tensor_library() -> None:
    code = "import sys, main, app.wiring, app.server.serve; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_keyboard_asks_once_and_then_insists() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), _stopped_by_keyboard() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_questions_are_answered_beside_a_run(installation: Settings) -> None:
    workshop = Workshop.build(installation)
    prompt = default_prompt()
    told = workshop.asked("forecast", {"prompt": prompt, "outputs": ["9"]})["nodes"]
    assert {each["verdict"] for each in told} == {"run"}
    assert workshop.asked("complaints", {"prompt": prompt, "nodes": list(prompt)}) == {"complaints": {}}
    with pytest.raises(InvalidRequest, match="knows nothing"):
        workshop.asked("the weather", {})


@pytest.mark.parametrize(("words", "entries"), [([], 10), (["--cache-lru", "2"], 7), (["--cache-none"], 0)])
def test_how_many_results_are_kept_is_a_setting(installation: Settings, words: list[str], entries: int) -> None:
    engine = Settings.from_arguments(words, {}).engine
    workshop = Workshop.build(replace(installation, engine=replace(engine, device="cpu")))
    evaluated(workshop, default_prompt())
    evaluated(workshop, default_prompt(seed=99))
    # Of the seven nodes three are new in the second graph, which is kept as a whole.
    assert len(workshop.cache) == entries
