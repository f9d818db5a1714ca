"""The command line becomes one frozen object."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import InvalidRequest
from app.settings import PROGRAM_DIRECTORY, SECRET_VARIABLE, Settings, is_loopback


def test_no_words_serve_on_loopback() -> None:
    settings = Settings.from_arguments([])
    assert settings.command == "serve"
    assert (settings.serve.listen, settings.serve.port) == ("127.0.0.1", 8188)
    assert settings.directories.models == (PROGRAM_DIRECTORY / "models",)


def test_a_browser_opens_only_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert Settings.from_arguments([], {"DISPLAY": ":0"}).serve.open_browser
    assert not Settings.from_arguments([], {}).serve.open_browser
    assert not Settings.from_arguments(["--no-open"], {"DISPLAY": ":0"}).serve.open_browser
    monkeypatch.setattr("sys.platform", "darwin")
    assert Settings.from_arguments([], {}).serve.open_browser


def test_options_without_a_command_are_for_serve() -> None:
    settings = Settings.from_arguments(["--port", "0", "--no-open"])
    assert settings.serve.port == 0
    assert not settings.serve.open_browser


@pytest.mark.parametrize(
    "words", [["--listen"], ["--listen", "0.0.0.0"], ["--listen", "192.168.1.5"], ["--listen", "::"]]
)
def test_an_open_address_needs_a_token(words: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="--token"):
        Settings.from_arguments(words)
    assert Settings.from_arguments([*words, "--token", "s"]).serve.token == "s"


def test_the_token_does_not_show_in_logs() -> None:
    assert "hunter2" not in repr(Settings.from_arguments(["--token", "hunter2"]))


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("10.0.0.1", False), ("example.org", False), ("localhost.example.org", False)],
)  # fmt: skip
def test_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_directories_follow_the_base(tmp_path: Path) -> None:
    settings = Settings.from_arguments(["--base-directory", str(tmp_path), "--output-directory", str(tmp_path / "o")])
    places = settings.directories
    assert places.input == tmp_path / "input"
    assert places.output == tmp_path / "o"
    assert places.models == (tmp_path / "models", PROGRAM_DIRECTORY / "models")


def test_run_reads_changes_as_json_or_text() -> None:
    said = ["run", "w.json", "--set", "3.seed=7", "--set", "6.text=a = b", "--set", "5:12.on=true", "--seed", "4"]
    run = Settings.from_arguments(said).run
    assert run.changes == {("3", "seed"): 7, ("6", "text"): "a = b", ("5:12", "on"): True}
    assert (run.workflow, run.seed) == (Path("w.json"), 4)


@pytest.mark.parametrize("change", ["3", "3=4", "seed=4", ".seed=4", "3.=4"])
def test_a_change_without_node_or_input_is_refused(change: str) -> None:
    with pytest.raises(InvalidRequest, match=r"NODE\.INPUT=VALUE"):
        Settings.from_arguments(["run", "w.json", "--set", change])


def test_a_worker_takes_its_secret_from_the_environment() -> None:
    said = ["worker", "--connect", "ws://127.0.0.1:1/link", "--lifeline"]
    worker = Settings.from_arguments(said, {"LOOM_WORKER_SECRET": "s"}).worker
    assert (worker.connect, worker.secret, worker.lifeline) == ("ws://127.0.0.1:1/link", "s", True)
    with pytest.raises(InvalidRequest, match="LOOM_WORKER_SECRET"):
        Settings.from_arguments(said, {})


def test_a_local_worker_gets_the_servers_places_and_engine(tmp_path: Path) -> None:
    words = [
        "--base-directory",
        str(tmp_path),
        "--cpu",
        "--preview-size",
        "64",
        "--cache-gib",
        "2",
        "--no-custom-nodes",
    ]
    server = Settings.from_arguments(words)
    worker = Settings.from_arguments(server.worker_arguments("ws://h/link"), {"LOOM_WORKER_SECRET": "s"})
    assert worker.directories == server.directories
    assert worker.engine == server.engine
    assert worker.worker.connect == "ws://h/link"


def test_training_words_are_handed_on() -> None:
    assert Settings.from_arguments(["train", "scenes", "--steps", "5"]).train_arguments == ("scenes", "--steps", "5")


@pytest.mark.parametrize(
    "words",
    [
        ["--port", "70000"],
        ["--preview-size", "1"],
        ["--max-upload-size", "0"],
        ["--lease", "0"],
        ["--workers", "-1"],
        ["--keep-jobs", "0"],
        ["--keep-days", "0"],
    ],
)
def test_impossible_numbers_are_refused(words: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        Settings.from_arguments(words)


def test_unknown_words_end_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Settings.from_arguments(["serve", "--nonsense"])
    assert "--nonsense" in capsys.readouterr().err


def test_training_words_are_not_taken_for_shortened_options_of_ours() -> None:
    words = ["--output", "model.safetensors", "--second-minutes", "2"]
    assert list(Settings.from_arguments(["train", "scenes", *words]).train_arguments) == ["scenes", *words]


@pytest.mark.parametrize(
    ("words", "mode", "entries"),
    [
        ([], "ram", 0),
        (["--cache-ram"], "ram", 0),
        (["--cache-classic"], "classic", 0),
        (["--cache-lru", "7"], "lru", 7),
        (["--cache-none"], "none", 0),
    ],
)
def test_which_results_are_kept_is_handed_on_to_workers(words: list[str], mode: str, entries: int) -> None:
    said = Settings.from_arguments(words, {})
    assert (said.engine.cache, said.engine.cache_entries) == (mode, entries)
    worker = Settings.from_arguments(said.worker_arguments("ws://x/link"), {SECRET_VARIABLE: "s"})
    assert worker.engine == said.engine


@pytest.mark.parametrize(
    ("words", "free"),
    [
        (["--cache-ram"], None),
        (["--cache-ram", "4"], (4, 4)),
        (["--cache-ram", "2.5", "16"], (2.5, 16)),
        (["--cache-ram", "0"], (0, 0)),
    ],
)
def test_how_much_memory_results_leave_is_handed_on_to_workers(
    words: list[str], free: tuple[float, float] | None
) -> None:
    said = Settings.from_arguments(words, {})
    assert (said.engine.cache, said.engine.cache_free) == ("ram", free)
    worker = Settings.from_arguments(said.worker_arguments("ws://x/link"), {SECRET_VARIABLE: "s"})
    assert worker.engine == said.engine


@pytest.mark.parametrize("words", [["1", "2", "3"], ["-1"], ["nan"], ["inf"]])
def test_memory_that_cannot_be_left_is_told(words: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="one or two numbers"):
        Settings.from_arguments(["--cache-ram", *words])


def test_an_empty_cache_is_asked_for_by_its_name() -> None:
    with pytest.raises(InvalidRequest, match="keeps nothing"):
        Settings.from_arguments(["--cache-lru", "0"], {})


def test_tests_and_exports_are_read(tmp_path: Path) -> None:
    said = Settings.from_arguments(["test", "a.json", "b.json", "--keep", "k"], {})
    assert (said.test.files, said.test.keep) == ((Path("a.json"), Path("b.json")), Path("k"))
    said = Settings.from_arguments(["export", "a.png", "--python", "a.py"], {})
    assert (said.export.source, said.export.python, said.export.json) == (Path("a.png"), Path("a.py"), None)
    with pytest.raises(InvalidRequest, match="Nothing is to be written"):
        Settings.from_arguments(["export", "a.png"], {})


def test_several_addresses() -> None:
    assert Settings.from_arguments(["--listen", "127.0.0.1, ::1"]).serve.addresses == ("127.0.0.1", "::1")
    with pytest.raises(InvalidRequest, match="--token"):
        Settings.from_arguments(["--listen", "127.0.0.1,0.0.0.0"])
    with pytest.raises(InvalidRequest, match="no address"):
        Settings.from_arguments(["--listen", " , "])


def test_other_sites_are_invited_by_name_or_with_a_token() -> None:
    said = Settings.from_arguments(["--enable-cors-header", "HTTP://Localhost:3000/"])
    assert said.serve.cors == "http://localhost:3000"
    with pytest.raises(InvalidRequest, match="every page"):
        Settings.from_arguments(["--enable-cors-header"])
    assert Settings.from_arguments(["--enable-cors-header", "--token", "s"]).serve.cors == "*"
    for text in ("localhost:3000", "http://", "http://a/b", "file:///x"):
        with pytest.raises(InvalidRequest, match="no origin"):
            Settings.from_arguments(["--enable-cors-header", text])


def test_features_from_the_command_line() -> None:
    flags = ["a", "b.c=2", "b.d=text", "e=false"]
    said = Settings.from_arguments([word for flag in flags for word in ("--feature-flag", flag)])
    assert said.serve.features == {"a": True, "b": {"c": 2, "d": "text"}, "e": False}
    for wrong in (["=1"], ["a..b"], ["a", "a.b"]):
        with pytest.raises(InvalidRequest, match="--feature-flag"):
            Settings.from_arguments([word for flag in wrong for word in ("--feature-flag", flag)])


def test_what_workers_are_told_says_the_same_again(tmp_path: Path) -> None:
    words = ["--no-custom-nodes", "--whitelist-custom-nodes", "a", "b", "--disable-metadata", "--models-directory"]
    said = Settings.from_arguments([*words, str(tmp_path), "--extra-model-paths-config", "x.yaml", "y.yaml"])
    assert said.directories.models[0] == tmp_path
    worker = Settings.from_arguments(said.worker_arguments("ws://x"), {SECRET_VARIABLE: "s"})
    assert (worker.engine, worker.directories) == (said.engine, said.directories)
    assert (worker.engine.only_packs, worker.engine.metadata) == (("a", "b"), False)
