"""``optalloc simulate``: a trace of jobs replayed through the oracle, policy by policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optalloc.cli import failures, options
from optalloc.cli.tables import Table, show
from optalloc.cli.words import counted, measured, number, percent

if TYPE_CHECKING:
    from optalloc.simulation import Progress, Simulation

NONE = "none"
"""The policy that decides nothing beside the objective."""
MOST = 20
"""So many rejected jobs are listed one by one."""
UNITS = ((2 * 86400.0, 86400.0, "d"), (7200.0, 3600.0, "h"), (300.0, 60.0, "min"), (0.0, 1.0, "s"))
"""From how many seconds on, which unit of time."""


@click.command()
@click.argument("instance", type=options.FILE)
@click.argument("trace", type=options.FILE)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    callback=lambda _ctx, _param, values: tuple(dict.fromkeys(values)) or (NONE,),
    metavar="POLICY",
    help="What decides between places that cost the same, such as 'gang > best-fit'; may be "
    "given several times, to compare. 'none' (the default) is the objective alone.",
)
@options.objective
@click.option(
    "--order",
    type=click.Choice(["fifo", "priority"]),
    default="fifo",
    show_default=True,
    help="Who is asked for first.",
)
@click.option("--strict", is_flag=True, help="Nobody overtakes a job that does not fit.")
@click.option(
    "--speed",
    type=float,
    default=1.0,
    callback=options.positive,
    show_default=True,
    metavar="X",
    help="Jobs arrive so many times as fast as stated, and run as long as stated.",
)
@click.option(
    "--improve-every",
    type=float,
    callback=options.positive,
    metavar="SECONDS",
    help="Move what runs to something better, again and again after such a time of the trace.",
)
@click.option(
    "--max-moves",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="Most replicas that move at once, with --improve-every.",
)
@options.output("Write all jobs and moments here, as JSON.", required=False)
@click.option(
    "--plot", type=options.TARGET, callback=options.svg, help="Draw it over time, as SVG."
)
@options.telling
@options.as_json
def simulate(  # noqa: PLR0913  (one per option)
    *,
    instance: Path,
    trace: Path,
    policies: tuple[str, ...],
    objective: str | None,
    order: str,
    strict: bool,
    speed: float,
    improve_every: float | None,
    max_moves: int,
    output: Path | None,
    plot: Path | None,
    progress: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Replay TRACE on INSTANCE's cluster: jobs arrive, wait, run and leave.

    Every decision is the allocation oracle's. Each --policy is a run of its own; they are shown
    side by side. The tasks of INSTANCE itself do not run. 'optalloc convert --list' names the
    public lists of jobs that become traces.
    """
    from optalloc.cli.progress import StatusLine
    from optalloc.instance.files import load_instance
    from optalloc.simulation import load_trace
    from optalloc.simulation import simulate as replay
    from optalloc.simulation.drawing import write_drawing

    for written in (output, plot):
        options.spare(written, instance, trace)
    cluster, jobs = load_instance(instance), load_trace(trace)
    found = []
    with StatusLine(progress and not quiet) as line:
        for policy in policies:

            def hear(now: Progress, policy: str = policy) -> None:
                line.show(_status(policy, now))

            found.append(
                replay(
                    cluster,
                    jobs,
                    "" if policy == NONE else policy,
                    objective,
                    order=order,
                    strict=strict,
                    speed=speed,
                    improve_every=improve_every,
                    max_moves=max_moves,
                    on_progress=hear,
                )
            )
    if output is not None:
        _write(output, found)
    if plot is not None:
        write_drawing(plot, found, f"{jobs.name or trace.name} on {cluster.name or instance.name}")
    if as_json:
        failures.print_json({"simulations": [one.summary() for one in found]})
    elif not quiet:
        _show(found)
        for what, path in (("jobs and moments", output), ("picture", plot)):
            if path is not None:
                click.echo(f"\n{what} written to {path}")
    return failures.ANSWER


def _status(policy: str, now: Progress) -> str:
    from optalloc.cli.progress import bar

    done = f"{bar(now.events, now.total)} {now.events:,} of {now.total:,} events"
    state = f"{counted(now.running, 'job')} running, {now.waiting:,} waiting"
    return f"{done}  {policy}: {duration(now.time_s)}, {state}"


def _write(path: Path, found: list[Simulation]) -> None:
    import msgspec

    from optalloc.instance import text

    whole = [{**msgspec.to_builtins(one), "summary": one.summary()} for one in found]
    text.write_bytes(path, msgspec.json.encode({"simulations": whole}) + b"\n")


def duration(seconds: float | None) -> str:
    """Say a time in the unit in which it is a number that people can read.

    Examples
    --------
    >>> duration(5400), duration(9000), duration(2.5)
    ('90 min', '2.5 h', '2.5 s')
    """
    if seconds is None:
        return number(None)
    size, unit = next((size, unit) for least, size, unit in UNITS if seconds >= least)
    return measured(float(f"{seconds / size:.4g}"), unit)


def _show(found: list[Simulation]) -> None:
    first = found[0]
    how = f"{first.order}{', nobody overtakes' if first.strict else ''}"
    click.echo(f"{counted(len(first.jobs), 'job')}, {how}, objective {first.objective}")
    columns = ("", *(f">{one.policy or NONE}" for one in found))
    rows = [(name, *cells) for name, *cells in _lines(found)]
    rejected = [(job.name, job.reason) for job in first.jobs if job.state == "rejected"]
    more = len(rejected) - MOST
    if more > 0:
        rejected = [*rejected[:MOST], ("", f"and {more:,} more")]
    show(
        Table("policies", columns, rows),
        Table("jobs that do not fit the cluster", ("job", "reason"), rejected),
    )


def _lines(found: list[Simulation]) -> list[tuple[str, ...]]:
    def line(name: str, tell: Any) -> tuple[str, ...]:
        return (name, *(tell(one) for one in found))

    def spread(name: str, of: Any) -> list[tuple[str, ...]]:
        def tell(part: str) -> Any:
            return lambda one: duration(getattr(of(one), part))

        return [
            line(f"{name}, {said}", tell(part))
            for part, said in (
                ("mean", "mean"), ("p50", "median"), ("p90", "90 %"), ("p99", "99 %"),
            )
        ]  # fmt: skip

    def share(resource: str) -> Any:
        return lambda one: percent(round(one.allocation_loaded[resource], 4))

    def whole(resource: str) -> Any:
        return lambda one: percent(round(one.allocation[resource], 4))

    lines = [
        line(state, lambda one, state=state: number(one.count(state)))
        for state in ("done", "running", "waiting", "rejected")
        if any(one.count(state) for one in found)
    ]
    lines += spread("wait", lambda one: one.waiting_s)
    lines += spread("completion", lambda one: one.completion_s)
    lines.append(line("makespan", lambda one: duration(one.makespan_s)))
    for resource in found[0].allocation:
        lines.append(line(f"{resource} given away while jobs arrive", share(resource)))
        lines.append(line(f"{resource} given away in all", whole(resource)))
    if any(one.energy_j for one in found):
        lines.append(line("energy", lambda one: measured(float(f"{one.energy_kwh:.5g}"), "kWh")))
    if any(one.moves for one in found):
        lines.append(line("moves", lambda one: number(one.moves)))
    return lines
