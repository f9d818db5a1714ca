"""What holds for every file of the editor: small, quick to load, no markup from data, no foreign hosts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

WEB = Path(__file__).parent.parent.parent / "web"
MODULES = sorted(WEB.rglob("*.js"))
STATIC = re.compile(r'^(?:import|export)\s[^;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"', re.MULTILINE)
ANY_IMPORT = re.compile(r'(?:from|import\(|^import)\s*"(\.[^"]+)"', re.MULTILINE)


def _eager(start: Path) -> set[Path]:
    found: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop().resolve()
        if path not in found:
            found.add(path)
            waiting += [path.parent / (a or b) for a, b in STATIC.findall(path.read_text())]
    return found


def test_the_graph_is_drawn_after_few_small_files() -> None:
    eager = _eager(WEB / "boot.js")
    assert len(eager) <= 60
    assert sum(path.stat().st_size for path in eager) <= 350_000


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(WEB)))
def test_a_module(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) < 500
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    assert not re.search(r"console\.(log|debug)|debugger|TODO|FIXME", text)
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    for name in ANY_IMPORT.findall(text):
        assert (path.parent / name).is_file(), name


def test_the_core_knows_no_page() -> None:
    for path in (WEB / "core").rglob("*.js"):
        assert not re.search(
            r"\b(document\.(create|query|body|get)|window\.|HTMLElement|localStorage)", path.read_text()
        ), path
        for name in ANY_IMPORT.findall(path.read_text()):
            assert (path.parent / name).resolve().is_relative_to(WEB / "core"), path


def test_no_module_imports_itself_by_a_detour() -> None:
    eager = {
        path: {(path.parent / (a or b)).resolve() for a, b in STATIC.findall(path.read_text())} for path in MODULES
    }
    done: set[Path] = set()

    def visit(path: Path, above: tuple[Path, ...]) -> None:
        assert path not in above, " → ".join(str(p.relative_to(WEB)) for p in [*above, path])
        if path not in done:
            for other in eager[path]:
                visit(other, (*above, path))
            done.add(path)

    for path in eager:
        visit(path, ())


def test_pages_have_no_inline_code_or_style() -> None:
    for page in WEB.rglob("*.html"):
        text = page.read_text()
        assert not re.search(r"\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|<style", text)
