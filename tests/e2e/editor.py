"""The editor as a test handles it: by what is on the screen, and by the document that results."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

Point = tuple[float, float]
SCRIPTS = Path(__file__).parent / "scripts"


def script(name: str) -> str:
    """A function for the page, from its own file."""
    return (SCRIPTS / name).read_text()


def until(page: Page, expression: str, seconds: float = 30.0) -> None:
    """Wait until an expression in the page holds. The browser tool's own wait needs eval, which the page forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(f"Boolean({expression})"):
        assert time.monotonic() < end, f"never held: {expression}"
        page.wait_for_timeout(50)


class Editor:
    """One open page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def record(self) -> dict[str, Any]:
        """The document as it would be saved."""
        return self.page.evaluate("loom.session.root.document.toRecord()")

    def node(self, node_id: int) -> dict[str, Any] | None:
        """The record of a node."""
        return next((node for node in self.record()["nodes"] if node["id"] == node_id), None)

    def links(self) -> set[tuple[int, int, int, int]]:
        """All links as (origin, output, target, input)."""
        return {tuple(link[1:5]) for link in self.record()["links"]}

    def head(self, node_id: int) -> Locator:
        """A node's title bar."""
        return self.page.locator(f"[data-node='{node_id}'] .node-name")

    def dot(self, node_id: int, slot: str) -> Point:
        """The middle of a socket: "in:0", "out:1", "in:-1:steps"."""
        return self.middle(self.page.locator(f"[data-node='{node_id}'] [data-slot^='{slot}'] .dot").first)

    def widget(self, node_id: int, name: str) -> Locator:
        """The field of a widget."""
        return self.page.locator(f"[data-node='{node_id}'] .widget[data-input='{name}']")

    def type_number(self, node_id: int, name: str, value: float) -> None:
        """Put a number into a field as a person does."""
        self.widget(node_id, name).click()
        self.page.keyboard.type(str(value))
        self.page.keyboard.press("Enter")

    @staticmethod
    def middle(locator: Locator) -> Point:
        """The middle of an element on the screen."""
        box = locator.bounding_box()
        assert box
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, start: Point, end: Point, *held: str) -> None:
        """Press, move in steps, let go."""
        for key in held:
            self.page.keyboard.down(key)
        self.page.mouse.move(*start)
        self.page.mouse.down()
        self.page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=5)
        self.page.mouse.move(*end, steps=5)
        self.page.mouse.up()
        for key in held:
            self.page.keyboard.up(key)

    def settled(self, expression: str) -> None:
        """Wait until an expression in the page holds."""
        until(self.page, expression)

    def choose(self, words: str) -> None:
        """Type into the open palette and take the first row."""
        self.page.locator("dialog.palette").wait_for()
        self.page.keyboard.type(words)
        self.page.keyboard.press("Enter")
        self.page.locator("dialog.palette").wait_for(state="detached")
