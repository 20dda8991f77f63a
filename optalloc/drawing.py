"""A Pareto front as a picture: SVG, written without any library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from pathlib import Path

from optalloc.front import Axis, Front

WIDTH, HEIGHT = 720, 480
LEFT, RIGHT, TOP, BOTTOM = 90, 24, 44, 60
"""Space around the rectangle of the values."""
TICKS = 6
"""About so many marks on an axis."""
STYLE = """
text { font: 13px sans-serif; fill: #333; }
.title { font-weight: bold; }
.grid { stroke: #e4e4e4; }
.frame { stroke: #888; fill: none; }
.empty { fill: #f3ded7; }
.known { stroke: #2563a8; stroke-width: 1.5; fill: none; }
.proven { fill: #2563a8; }
.found { fill: #fff; stroke: #2563a8; stroke-width: 1.5; }
"""


@dataclass(frozen=True)
class Scale:
    """Values along an axis against places of the picture.

    Parameters
    ----------
    low, high
        Values at the ends; they differ.
    start, end
        Their places.
    """

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Place of a value, no farther than the ends."""
        inside = min(max(value, self.low), self.high)
        return self.start + (self.end - self.start) * (inside - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values within the ends."""
        step = 10.0 ** floor(log10((self.high - self.low) / TICKS))
        step *= next(k for k in (1, 2, 5, 10) if step * k * TICKS >= self.high - self.low)
        first, last = ceil(self.low / step), floor(self.high / step)
        return [k * step for k in range(first, last + 1)]


def scale(values: Sequence[float], start: float, end: float) -> Scale:
    """A scale on which values leave a little space to both ends."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    space = 0.05 * (high - low) or abs(high) or 1.0
    return Scale(low - space, high + space, start, end)


def draw_front(front: Front) -> str:
    """The points of a front, the step line through them and what is proven empty, as SVG."""
    first, second = front.axes
    across = scale([p.values[1] for p in front.points], LEFT, WIDTH - RIGHT)
    up = scale([p.values[0] for p in front.points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *_empty(front, across, up),
        *grid(across, up),
        *_labels(front, first, second),
    ]
    if front.points:
        parts += [_line(front, across, up), *_points(front, across, up)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def write_drawing(path: str | Path, front: Front) -> None:
    """Write the picture of a front."""
    Path(path).write_text(draw_front(front), encoding="utf-8")


def _better(axis: Axis, ends: Scale) -> float:
    """Place of the better end of an axis."""
    return ends.end if axis.sense == "max" else ends.start


def _worse(axis: Axis, ends: Scale) -> float:
    return ends.start if axis.sense == "max" else ends.end


def _rectangle(kind: str, xs: tuple[float, float], ys: tuple[float, float]) -> str:
    x, y = min(xs), min(ys)
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" '
        f'width="{max(xs) - x:.1f}" height="{max(ys) - y:.1f}"/>'
    )


def _empty(front: Front, across: Scale, up: Scale) -> list[str]:
    """What is proven empty: from its corner to the better ends of both axes."""
    first, second = front.axes
    found = []
    for area in front.empty:
        x = _worse(second, across) if area.second is None else across.at(area.second)
        y = _worse(first, up) if area.first is None else up.at(area.first)
        found.append(_rectangle("empty", (x, _better(second, across)), (y, _better(first, up))))
    return found


def grid(across: Scale, up: Scale) -> list[str]:
    """Lines and numbers at the ticks of two scales, and a frame around."""
    parts = []
    for value in across.ticks():
        x = across.at(value)
        parts.append(f'<path class="grid" d="M{x:.1f} {up.start}V{up.end}"/>')
        parts.append(text(x, up.start + 18, f"{value:.6g}"))
    for value in up.ticks():
        y = up.at(value)
        parts.append(f'<path class="grid" d="M{across.start} {y:.1f}H{across.end}"/>')
        parts.append(text(across.start - 8, y + 4, f"{value:.6g}", "end"))
    return [*parts, _rectangle("frame", (across.start, across.end), (up.start, up.end))]


def text(x: float, y: float, said: str, anchor: str = "middle", more: str = "") -> str:
    """Words at a place."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}{more}>{escape(said)}</text>"


def _labels(front: Front, first: Axis, second: Axis) -> list[str]:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    state = "complete" if front.complete else f"{100 * (front.open or 0):.3g} % open"
    name = f"{front.instance.name}: " if front.instance.name else ""
    title = f"{name}{first.name} against {second.name} ({state}; shaded: proven empty)"
    turned = f' transform="rotate(-90 22 {middle:.1f})"'
    return [
        text(LEFT, 26, title, "start", ' class="title"'),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, _said(second)),
        text(22, middle, _said(first), more=turned),
    ]


def _said(axis: Axis) -> str:
    return f"{axis.name} ({axis.unit})" if axis.unit else axis.name


def _line(front: Front, across: Scale, up: Scale) -> str:
    """Through the points in steps: what is dominated by none of them is on its better side."""
    places = [(across.at(p.values[1]), up.at(p.values[0])) for p in front.points]
    # Between neighbours the first goal of the one that is better in the second is certain.
    path = [f"M{places[0][0]:.1f} {places[0][1]:.1f}"]
    path += [f"V{y:.1f}H{x:.1f}" for x, y in places[1:]]
    return f'<path class="known" d="{"".join(path)}"/>'


def _points(front: Front, across: Scale, up: Scale) -> list[str]:
    found = []
    for point in front.points:
        values = zip(front.axes, point.values, strict=True)
        said = ", ".join(f"{axis.name} {value:.6g} {axis.unit}".strip() for axis, value in values)
        kind = "proven" if point.proven else "found"
        place = f'cx="{across.at(point.values[1]):.1f}" cy="{up.at(point.values[0]):.1f}"'
        found.append(f'<circle class="{kind}" {place} r="4"><title>{escape(said)}</title></circle>')
    return found
