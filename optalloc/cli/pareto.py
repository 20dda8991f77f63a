"""``optalloc pareto``: what one goal costs in another, point by point, and what lies between."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optalloc.cli import failures, options
from optalloc.cli.tables import Table, show
from optalloc.cli.words import counted, measured, percent

if TYPE_CHECKING:
    from optalloc.epsilon import FrontProgress
    from optalloc.front import Front


@click.command()
@click.argument("instance", type=options.FILE)
@click.option(
    "--objectives",
    default="throughput,power",
    show_default=True,
    metavar="GOAL,GOAL",
    help="Two goals: types, or names of the instance's policies.",
)
@options.output("Write the front here, with all placements.", required=False)
@click.option("--plot", type=options.TARGET, callback=options.svg, help="Draw it here, as SVG.")
@click.option(
    "--points", type=click.IntRange(2), default=20, show_default=True, metavar="N", help="At most."
)
@options.engine
@click.option(
    "--time-limit",
    type=float,
    callback=options.positive,
    metavar="S",
    help="Seconds for all points together.",
)
@options.threads
@options.seed
@options.telling
@options.as_json
def pareto(  # noqa: PLR0913  (one per option)
    *,
    instance: Path,
    objectives: str,
    output: Path | None,
    plot: Path | None,
    points: int,
    engine: str,
    time_limit: float | None,
    threads: int | None,
    seed: int,
    progress: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Trade one goal of INSTANCE for another: placements of which none is better in both.

    Every point is proven not to be improved on in one goal without loss in the other, or has a
    bound that says how far it may be; in between, it is proven that there is nothing, or said what
    part is open. Ctrl-C returns the points found so far.
    """
    from optalloc import epsilon
    from optalloc.cli.progress import StatusLine
    from optalloc.drawing import write_drawing
    from optalloc.front import write_front
    from optalloc.instance.files import load_instance
    from optalloc.streams import stdout_to_stderr

    options.spare(output, instance)
    options.spare(plot, instance)
    goals = _two(objectives)
    stated = load_instance(instance)
    line = StatusLine(progress and not quiet)

    def hear(now: FrontProgress) -> None:
        line.show(f"{now.wall_s:.0f} s  {counted(now.points, 'point')}, {percent(now.open)} open")

    with stdout_to_stderr(), line, failures.terminated_as_interrupted():
        front = epsilon.pareto(
            stated,
            goals,
            points=points,
            engine=engine,
            time_limit=time_limit,
            threads=threads,
            seed=seed,
            on_progress=hear,
        )
    for path, write in ((output, write_front), (plot, write_drawing)):
        if path is not None and front.points:
            write(path, front)
    if as_json:
        failures.print_json(_plain(front, output))
    elif not quiet:
        _show(front, output, plot)
    return exit_code(front)


def _two(objectives: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in objectives.split(","))
    if len(names) != 2 or not all(names):
        expected = "expected two goals, such as 'throughput,power'"
        raise click.UsageError(f"--objectives: {expected}; got {objectives!r}")
    return names


def exit_code(front: Front) -> int:
    """Say with an exit code what was found."""
    if front.points:
        return failures.ANSWER
    return failures.INFEASIBLE if front.status == "infeasible" else failures.NOTHING_FOUND


def _plain(front: Front, output: Path | None) -> dict[str, Any]:
    """The front for JSON: with the placements themselves, or the file that holds them."""
    written = output is not None and bool(front.points)
    summary = front.summary(placements=not written)
    return {**summary, "front": str(output)} if written else summary


def _show(front: Front, output: Path | None, plot: Path | None) -> None:
    first, second = front.axes
    click.echo(_headline(front))
    rows = [
        (
            measured(point.values[0], first.unit),
            measured(point.values[1], second.unit),
            measured(point.bound, first.unit),
            percent(point.gap),
            "proven" if point.proven else "",
        )
        for point in front.points
    ]
    headings = (f">{first.name}", f">{second.name}", f">bound of {first.name}", ">gap", "")
    show(
        Table("points", headings, rows),
        Table(
            "why it cannot be done",
            ("task", "reason"),
            [(r.task, r.message) for r in front.reasons],
        ),
    )
    for what, path in (("front", output), ("picture", plot)):
        if path is not None and front.points:
            click.echo(f"\n{what} written to {path}")


def _headline(front: Front) -> str:
    """Say in one line what is proven, what ended the run and how long it took."""
    parts = [counted(len(front.points), "point") if front.points else front.status]
    if front.complete:
        parts.append("complete: no other placement is better than all of them in some goal")
    elif front.open is not None:
        parts.append(f"{percent(front.open)} of the region between them open")
        ended = {"time": "stopped by the time limit", "interrupted": "interrupted"}
        ended["iterations"] = "as many points as asked for"
        parts += [ended[front.stopped_by]] if front.stopped_by in ended else []
    return ", ".join([*parts, measured(round(front.wall_s, 2), "s")])
