"""Simulations as a picture: what is given away and who waits over time, as SVG."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from optalloc.drawing import Scale, grid, text
from optalloc.instance.model import DEVICE
from optalloc.simulation.result import Series, Simulation

WIDTH, LEFT, RIGHT = 860, 80, 24
TOP, PANEL, GAP = 72, 200, 64
"""Space above, height of each panel, space below it."""
COLOURS = ("#2563a8", "#c2571a", "#2e7d4f", "#8e44ad", "#b8860b", "#555555", "#c0396b", "#0e8a8a")
STEPS = 600
"""Spans of time that are told apart."""
UNITS = ((2 * 86400.0, 86400.0, "days"), (7200.0, 3600.0, "hours"), (0.0, 1.0, "seconds"))
"""From which length of time on, which unit."""
STYLE = """
text { font: 13px sans-serif; fill: #333; }
.title { font-weight: bold; }
.grid { stroke: #e4e4e4; }
.frame { stroke: #888; fill: none; }
.line { stroke-width: 1.5; fill: none; }
"""


def draw_simulations(simulations: Sequence[Simulation], title: str = "") -> str:
    """Draw the part of a resource that is given away, and the queue, over time, as SVG.

    Parameters
    ----------
    simulations
        Each a line in both panels.
    title
        Printed above.
    """
    resource = _resource(simulations)
    used = [s.series.allocated.get(resource, ()) for s in simulations]
    waiting = [s.series.waiting for s in simulations]
    start = min((s.series.time_s[0] for s in simulations if s.series.time_s), default=0.0)
    end = max((s.series.time_s[-1] for s in simulations if s.series.time_s), default=1.0)
    end = end if end > start else start + 1
    per, unit = next((per, unit) for least, per, unit in UNITS if end - start >= least)
    across = Scale(start, end, LEFT, WIDTH - RIGHT)
    ticks = Scale(start / per, end / per, LEFT, WIDTH - RIGHT)
    height = TOP + 2 * (PANEL + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}">',
        f"<style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        text(LEFT, 24, title or "simulation", "start", ' class="title"'),
        *_legend(simulations),
    ]
    panels = [
        (f"{resource} given away, %", [[100 * part for part in line] for line in used]),
        ("jobs that wait", [[*map(float, line)] for line in waiting]),
    ]
    for k, (label, lines) in enumerate(panels):
        top = TOP + k * (PANEL + GAP)
        high = 100.0 if k == 0 else max([max(line, default=0) for line in lines] or [0])
        up = Scale(0.0, high or 1.0, top + PANEL, top)
        parts += _frame(label, ticks, up, unit)
        for s, line, colour in _coloured(simulations, lines):
            parts.append(_path(s.series, line, across, up, colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


def write_drawing(path: str | Path, simulations: Sequence[Simulation], title: str = "") -> None:
    """Write the picture of simulations."""
    Path(path).write_text(draw_simulations(simulations, title), encoding="utf-8")


def averages(series: Series, values: Sequence[float], edges: Sequence[float]) -> list[float]:
    """Means of values over spans of time between edges; 0 after the end.

    Examples
    --------
    >>> averages(Series(time_s=(0.0, 1.0, 4.0)), (3.0, 1.0, 0.0), (0, 2, 4))
    [2.0, 1.0]
    """
    times, total = series.time_s, [0.0]
    for k in range(1, len(times)):
        total.append(total[-1] + values[k - 1] * (times[k] - times[k - 1]))

    def integral(until: float) -> float:
        k = bisect_right(times, until) - 1
        if k < 0:
            return 0.0
        return total[k] + (values[k] * (until - times[k]) if k < len(times) - 1 else 0.0)

    sums = [integral(edge) for edge in edges]
    return [(sums[k + 1] - sums[k]) / (edges[k + 1] - edges[k]) for k in range(len(edges) - 1)]


def _resource(simulations: Sequence[Simulation]) -> str:
    """Devices where there are some, else the first resource."""
    names = [name for s in simulations for name in s.series.allocated]
    return DEVICE if DEVICE in names or not names else names[0]


def _coloured(
    simulations: Sequence[Simulation], lines: Sequence[Sequence[float]]
) -> list[tuple[Simulation, Sequence[float], str]]:
    colours = (COLOURS[k % len(COLOURS)] for k in range(len(simulations)))
    return list(zip(simulations, lines, colours, strict=True))


def _legend(simulations: Sequence[Simulation]) -> list[str]:
    parts, x = [], float(LEFT)
    for k, s in enumerate(simulations):
        name = s.policy or "none"
        colour = COLOURS[k % len(COLOURS)]
        parts.append(f'<path class="line" stroke="{colour}" d="M{x:.0f} 46h22"/>')
        parts.append(text(x + 28, 50, name, "start"))
        x += 56 + 7.5 * len(name)
    return parts


def _frame(label: str, across: Scale, up: Scale, unit: str) -> list[str]:
    parts = grid(across, up)
    parts.append(text(across.start, up.end - 8, label, "start"))
    return [*parts, text((across.start + across.end) / 2, up.start + 38, unit)]


def _path(series: Series, values: Sequence[float], across: Scale, up: Scale, colour: str) -> str:
    """A line in steps; where there are more moments than places, through means."""
    if not values:
        return ""
    times: Sequence[float] = series.time_s
    if len(times) > STEPS:
        low, high = times[0], times[-1]
        times = [low + (high - low) * k / STEPS for k in range(STEPS + 1)]
        values = [*averages(series, values, times), values[-1]]
    points = [(across.at(time), up.at(value)) for time, value in zip(times, values, strict=True)]
    steps = "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:])
    return (
        f'<path class="line" stroke="{colour}" d="M{points[0][0]:.1f} {points[0][1]:.1f}{steps}"/>'
    )
