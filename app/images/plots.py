"""Lines over numbered steps, drawn as a picture.

H × W pixels
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from app.errors import InvalidRequest
from app.images.pixels import from_picture

WIDTH, HEIGHT = 800, 480
LEFT, TOP, RIGHT, BOTTOM = 76, 28, 24, 52
PAPER, INK, GRID = (255, 255, 255), (40, 44, 52), (226, 228, 232)
# (what was measured, its course) for each series; told apart without colour by their order at the right edge
COLOURS = (((170, 197, 236), (31, 98, 184)), ((244, 205, 160), (191, 93, 8)), ((178, 222, 190), (27, 122, 62)))
MOST_POINTS = 20_000
TICKS = 5
SMOOTHING = 20  # of the steps, one part in so many is averaged over


@dataclass(frozen=True, slots=True)
class _Frame:
    """Which steps and values the picture shows."""

    steps: int
    low: float
    high: float

    def place(self, step: float, value: float) -> tuple[float, float]:
        """Where step 1 … `steps` and a value lie, in pixels."""
        across = (step - 1) / max(1, self.steps - 1)
        up = (value - self.low) / (self.high - self.low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def line_plot(series: Mapping[str, Sequence[float]], axis: str = "step") -> Tensor:
    """The series by name, each with its course as a moving average: (H, W, 3) in 0..1. What is no number is left out.

    Raises:
        InvalidRequest: nothing to draw.
    """
    finite = {
        name: [(i, float(v)) for i, v in enumerate(values, 1) if math.isfinite(v)] for name, values in series.items()
    }
    drawn = {name: points for name, points in finite.items() if points}
    if not drawn:
        raise InvalidRequest("There is nothing to plot: no value is a number.", remedy="Link the loss of Train LoRA.")
    values = [value for points in drawn.values() for _, value in points]
    ticks = list(ticks_between(min(values), max(values)))
    frame = _Frame(max(points[-1][0] for points in drawn.values()), ticks[0], ticks[-1])
    picture = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    pen = ImageDraw.Draw(picture)
    _draw_axes(pen, frame, ticks, axis, ", ".join(drawn))
    for number, points in enumerate(drawn.values()):
        pale, strong = COLOURS[number % len(COLOURS)]
        _draw_line(pen, [frame.place(*point) for point in points], pale, 1)
        _draw_line(pen, [frame.place(*point) for point in _course(points)], strong, 2)
    return from_picture(picture)


def ticks_between(low: float, high: float) -> Iterator[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from below `low` to above `high`, never just one."""
    span = max(high - low, abs(high) * 1e-3, 1e-9)
    step = 10.0 ** math.floor(math.log10(span / TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if step * factor * TICKS >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    yield from (number * step for number in range(first, max(last, first + 1) + 1))


def _course(points: Sequence[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """An average over the last steps, which begins as the mean of what there is."""
    count = max(1, len(points) // SMOOTHING)
    total = 0.0
    for index, (step, value) in enumerate(points):
        total += value - (points[index - count][1] if index >= count else 0.0)
        yield step, total / min(index + 1, count)


def _draw_axes(pen: ImageDraw.ImageDraw, frame: _Frame, ticks: Sequence[float], axis: str, names: str) -> None:
    font = ImageFont.load_default(15)
    for value in ticks:
        x, y = frame.place(1, value)
        pen.line([(x, y), (WIDTH - RIGHT, y)], fill=GRID)
        pen.text((x - 8, y), f"{value:.4g}", fill=INK, font=font, anchor="rm")
    for step in sorted({1, (frame.steps + 1) // 2, frame.steps}):
        x, y = frame.place(step, frame.low)
        pen.line([(x, y), (x, y + 5)], fill=INK)
        pen.text((x, y + 9), str(step), fill=INK, font=font, anchor="mt" if step > 1 else "lt")
    corner = frame.place(1, frame.low)
    pen.line([frame.place(1, frame.high), corner, (WIDTH - RIGHT, corner[1])], fill=INK)
    pen.text((LEFT, 6), names, fill=INK, font=font, anchor="lt")
    pen.text(((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8), axis, fill=INK, font=font, anchor="mb")


def _draw_line(
    pen: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], width: int
) -> None:
    points = points[:: max(1, len(points) // MOST_POINTS)]
    if len(points) == 1:
        x, y = points[0]
        pen.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colour)
    else:
        pen.line(list(points), fill=colour, width=width, joint="curve")
