"""``optalloc map``: ranks of a group to the slots of a machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optalloc.cli import failures, options
from optalloc.cli.words import number, percent

if TYPE_CHECKING:
    from optalloc.mapping import Machine, Mapping, Traffic


class Numbers(click.ParamType["list[float]"]):
    """Numbers joined by colons, such as ``4:8:2``."""

    name = "numbers"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[float]:
        try:
            return [self.kind(part) for part in str(value).split(":")]
        except ValueError:
            self.fail(f"expected numbers joined by ':', such as 4:8:2, got {value!r}", param, ctx)


@click.command("map")
@click.argument("graph", type=options.FILE, required=False)
@click.option(
    "--qap", type=options.FILE, help="QAPLIB file: flows and distances, instead of GRAPH."
)
@click.option(
    "--hierarchy",
    type=Numbers(int),
    help="Slots a group, groups a next one ...: 4:8:2, innermost first.",
)
@click.option("--distance", type=Numbers(float), help="Distance at each level: 1:10:100.")
@click.option("--torus", type=Numbers(int), help="A torus of these sizes instead: 4:4:4.")
@click.option(
    "--imbalance",
    type=click.FloatRange(0),
    help="Several vertices a slot: at most (1 + this) * ceil(weight / slots); else one each.",
)
@click.option(
    "--capacity", type=click.IntRange(1), help="Units that each slot takes; 1 by default."
)
@click.option(
    "--time-limit", type=float, callback=options.positive, default=10.0, show_default=True,
    help="Seconds.",
)  # fmt: skip
@click.option(
    "--threads", type=options.THREADS, help="Searches side by side; one a core by default."
)
@click.option("--seed", type=options.SEED, default=0, show_default=True, help="Random seed.")
@options.output("File for the slot of each rank, a line each.", required=False)
@options.as_json
def map_(  # noqa: PLR0913  (one for each option)
    *,
    graph: Path | None,
    qap: Path | None,
    hierarchy: list[int] | None,
    distance: list[float] | None,
    torus: list[int] | None,
    imbalance: float | None,
    capacity: int | None,
    time_limit: float,
    threads: int | None,
    seed: int,
    output: Path | None,
    as_json: bool,
) -> int:
    """Map the vertices of GRAPH (METIS format) to the slots of a machine.

    Minimises the sum over ordered pairs of traffic times distance.
    """
    import time

    began = time.monotonic()
    from optalloc.mapping import map_ranks, write_assignment
    from optalloc.mapping.files import read_metis, read_qaplib

    options.spare(output, graph, qap)
    if (graph is None) == (qap is None):
        raise click.UsageError("map needs GRAPH or --qap FILE")
    if qap is not None:
        if hierarchy or distance or torus or capacity or imbalance is not None:
            raise click.UsageError(
                "--qap states the machine; --hierarchy and the like do not go with it"
            )
        traffic, machine = read_qaplib(qap)
    else:
        assert graph is not None
        traffic = read_metis(graph)
        machine = _machine(traffic, hierarchy, distance, torus, imbalance, capacity)
        if imbalance is None and capacity is None:
            traffic = _alone(traffic)
    left = max(time_limit - (time.monotonic() - began), 0.05)
    found = map_ranks(traffic, machine, time_limit=left, threads=threads, seed=seed)
    if output is not None:
        write_assignment(output, found.assignment)
    if as_json:
        failures.print_json(plain(found, time.monotonic() - began))
    else:
        _show(found, output)
    return failures.ANSWER


def plain(found: Mapping, wall: float) -> dict[str, Any]:
    """The mapping as plain values."""
    return {
        "status": found.status,
        "objective": found.cost,
        "bound": found.bound,
        "gap": found.gap,
        "wall_s": round(wall, 4),
        "engine": found.method,
        "stopped_by": found.stopped_by,
        "verified": True,
        "assignment": found.assignment.tolist(),
    }


def _show(found: Mapping, output: Path | None) -> None:
    click.echo(f"{found.status}: cost {number(found.cost)}, by {found.method}")
    click.echo(f"bound {number(found.bound)}, gap {percent(found.gap)}; {found.wall_s:.1f} s")
    if output is not None:
        click.echo(f"{output} written")
    else:
        click.echo(" ".join(map(str, found.assignment.tolist())))


def _machine(
    traffic: Traffic,
    hierarchy: list[int] | None,
    distance: list[float] | None,
    torus: list[int] | None,
    imbalance: float | None,
    capacity: int | None,
) -> Machine:
    import math

    from optalloc.mapping import Machine

    if imbalance is not None and capacity is not None:
        raise click.UsageError(
            "--imbalance and --capacity both state what a slot takes: choose one"
        )
    if (torus is None) == (hierarchy is None) or (hierarchy is None) != (distance is None):
        raise click.UsageError("map needs --hierarchy with --distance, or --torus")
    slots = math.prod(torus or hierarchy or [])
    room = capacity or 1
    if imbalance is not None:
        room = math.floor((1 + imbalance) * -(-int(traffic.size.sum()) // max(slots, 1)) + 1e-9)
    if torus is not None:
        return Machine.torus(torus, room)
    assert hierarchy is not None
    assert distance is not None
    return Machine.hierarchy(hierarchy, distance, room)


def _alone(traffic: Traffic) -> Traffic:
    """The same with vertices that each take a slot, whatever they weigh."""
    from optalloc.mapping import Traffic

    return Traffic.of_pairs(traffic.ranks, traffic.source, traffic.target, traffic.volume)
