"""Fingers on the screen: real touch events, as the browser gets them from a device."""

from __future__ import annotations

from playwright.sync_api import CDPSession, Page

Point = tuple[float, float]


class Fingers:
    """Up to a few fingers on one page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.session: CDPSession = page.context.new_cdp_session(page)

    def down(self, *points: Point) -> None:
        """Put fingers down at CSS pixels of the window."""
        self._send("touchStart", points)

    def move(self, *points: Point) -> None:
        """Move all fingers."""
        self._send("touchMove", points)

    def up(self) -> None:
        """Take all fingers off."""
        self._send("touchEnd", ())

    def tap(self, point: Point) -> None:
        """One short touch."""
        self.down(point)
        self.up()

    def drag(self, start: Point, end: Point, *, rest: float = 0) -> None:
        """One finger from a place to another; `rest` milliseconds before it moves."""
        self.down(start)
        if rest:
            self.page.wait_for_timeout(rest)
        for part in (0.25, 0.5, 0.75, 1.0):
            self.move((start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part))
        self.up()

    def _send(self, kind: str, points: tuple[Point, ...]) -> None:
        touches = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
