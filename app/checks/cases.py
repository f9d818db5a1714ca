"""A file of workflow tests, read and checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from app.graph.json_values import is_dict, is_list

Changes = Mapping[tuple[str, str], Any]

_CASE_KEYS = frozenset({"name", "workflow", "prompt", "set", "seed", "first", "expect"})
# What an expectation may say, by the word that names it, and the words that belong to it.
WORDS: Mapping[str, frozenset[str]] = {
    "succeeds": frozenset(),
    "error": frozenset({"node"}),
    "images": frozenset({"node"}),
    "size": frozenset({"node"}),
    "sha256": frozenset({"node", "image"}),
    "like": frozenset({"node", "image", "psnr"}),
    "text": frozenset({"node"}),
    "contains": frozenset({"node"}),
    "cached": frozenset({"node"}),
    "runs": frozenset({"node"}),
    "seconds_below": frozenset({"node"}),
    "peak_mib_below": frozenset({"node"}),
}
_NEED_NODE = frozenset({"images", "size", "sha256", "like", "text", "contains", "cached", "runs"})


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that has to hold: `word` is one of WORDS, `value` what it is compared with."""

    word: str
    value: Any
    node: str = ""
    image: int = 0
    psnr: float = 30.0

    def __str__(self) -> str:
        where = f"node {self.node}: " if self.node else ""
        return f"{where}{self.word} {self.value!r}"


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `first` are changes of runs that come before the one that is looked at, to fill the cache.

    `source` is a path, or the graph itself as JSON data.
    """

    name: str
    source: Path | Mapping[str, Any]
    changes: Changes = field(default_factory=dict[tuple[str, str], Any])
    seed: int | None = None
    first: tuple[Changes, ...] = ()
    expect: tuple[Expectation, ...] = (Expectation("succeeds", True),)


def files_in(paths: Iterable[Path]) -> list[Path]:
    """The files themselves, and of a folder all files called *.test.json inside of it.

    Raises:
        InvalidRequest: a folder without any.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted(path.rglob("*.test.json")) if path.is_dir() else [path]
        if not inside:
            raise InvalidRequest(f"There is no *.test.json in {path}.", remedy="Give the file of a test itself.")
        found.extend(inside)
    return found


def read_cases(data: object, folder: Path) -> list[Case]:
    """The tests in a file's JSON data; paths in it are relative to `folder`.

    Raises:
        InvalidRequest: not of this form; the message names the test, the word and what is possible.
    """
    listed = data.get("tests") if is_dict(data) else data
    cases = listed if is_list(listed) else [data]
    if not cases:
        raise InvalidRequest("The file holds no test.", remedy='Write {"tests": [{"workflow": …, "expect": […]}]}.')
    return [_case(case, number, folder) for number, case in enumerate(cases, 1)]


def _case(data: object, number: int, folder: Path) -> Case:
    where = f"Test {number}"
    if not is_dict(data):
        raise InvalidRequest(f"{where} is no object.", remedy='Write {"workflow": …, "expect": […]}.')
    where = f"Test {number} ({data['name']})" if isinstance(data.get("name"), str) else where
    _only(data, _CASE_KEYS, where)
    if ("workflow" in data) == ("prompt" in data):
        raise InvalidRequest(f"{where} needs either workflow or prompt.", remedy="Give a path, or the graph itself.")
    source: Any = data.get("prompt") or data.get("workflow")
    seed = data.get("seed")
    if not isinstance(source, str) and not is_dict(source):
        raise InvalidRequest(f"{where}: the graph is neither a path nor an object.", remedy="Give a file's path.")
    if seed is not None and type(seed) is not int:
        raise InvalidRequest(f"{where}: seed must be a whole number, not {seed!r}.", remedy="Leave it out, or mend it.")
    first = data.get("first", [])
    if not is_list(first):
        raise InvalidRequest(f"{where}: first must be a list of changes.", remedy='Write [{"3.seed": 1}].')
    expected = data.get("expect", [{"succeeds": True}])
    if not is_list(expected):
        raise InvalidRequest(f"{where}: expect must be a list.", remedy='Write [{"succeeds": true}].')
    return Case(
        name=str(data.get("name") or f"test {number}"),
        source=folder / source if isinstance(source, str) else source,
        changes=_changes(data.get("set", {}), where),
        seed=seed,
        first=tuple(_changes(each, where) for each in first),
        expect=tuple(_expectation(each, where) for each in expected),
    )


def _changes(data: object, where: str) -> Changes:
    if not is_dict(data) or not all(0 < name.rfind(".") < len(name) - 1 for name in data):
        raise InvalidRequest(f"{where}: changes are written by node and input.", remedy='Write {"3.seed": 7}.')
    parted = {name: name.rpartition(".") for name in data}
    return {(node, port): data[name] for name, (node, _, port) in parted.items()}


def _expectation(data: object, where: str) -> Expectation:
    found = [word for word in WORDS if is_dict(data) and word in data]
    if not is_dict(data) or len(found) != 1:
        words = ", ".join(WORDS)
        raise InvalidRequest(f"{where}: an expectation says one of {words}; this says {data!r}.", remedy="Mend it.")
    word = found[0]
    _only(data, WORDS[word] | {word}, f"{where}, {word}")
    if word in _NEED_NODE and "node" not in data:
        raise InvalidRequest(f"{where}: {word} needs to know of which node.", remedy='Add "node": "9".')
    rest = {name: data[name] for name in ("image", "psnr") if name in data}
    if not all(isinstance(value, int | float) for value in rest.values()):
        raise InvalidRequest(f"{where}: image and psnr of {word} are numbers.", remedy="Mend them.")
    return Expectation(word, data[word], str(data.get("node", "")), **rest)


def _only(data: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    odd = sorted(set(data) - set(known))
    if odd:
        raise InvalidRequest(
            f"{where} says {odd[0]!r}, which is unknown.", remedy=f"Known: {', '.join(sorted(known))}."
        )
