"""A result in words and tables."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from optalloc.cli.tables import Table, show
from optalloc.cli.words import counted, measured, number, percent, shortened
from optalloc.metrics import UNITS
from optalloc.objective import read_objective
from optalloc.result import LevelResult, Result

MOST_NODES = 40
"""A longer placement is shortened to so many nodes."""
MOST_TASKS = 6
"""More tasks on a node are counted, not named."""

_STOPPED = {
    "proof": "ended by proof",
    "time": "stopped by the time limit",
    "memory": "stopped by the memory limit",
    "gap": "stopped at the gap asked for",
    "iterations": "stopped by the iteration limit",
    "interrupted": "interrupted",
}


def show_result(result: Result, output: Path | None) -> None:
    """Print a result for people on standard output."""
    click.echo(headline(result))
    if result.rejected:
        noun = counted(result.rejected, "answer")
        click.echo(f"{noun} of engines failed the independent check and were dropped")
    why = "why it cannot be done" if result.placement is None else "left out, and why"
    show(
        Table(
            "objective",
            ("level", "", ">value", ">bound", ">gap", ""),
            [_level(level) for level in result.levels],
        ),
        _terms(result),
        _metrics(result),
        Table(why, ("task", "reason"), [(r.task, r.message) for r in result.reasons]),
        placement_table(result),
    )
    if output is not None and result.placement is not None:
        click.echo(f"\nsolution written to {output}")


def headline(result: Result) -> str:
    """Say in one line what is proven, what ended the run, how long it took and who found it."""
    parts = [result.status + (f" (gap {percent(result.gap)})" if _is_open(result) else "")]
    if result.stopped_by != "proof" or result.status not in ("optimal", "infeasible"):
        parts.append(_STOPPED[result.stopped_by])
    parts.append(measured(round(result.wall_s, 2), "s"))
    if result.placement is not None:
        parts += [f"found by {result.engine}", "verified"]
    return ", ".join(parts)


def _is_open(result: Result) -> bool:
    return result.status == "feasible" and result.gap is not None


def _level(level: LevelResult) -> tuple[str, ...]:
    said = "proven" if level.proven else ""
    if level.conditional:
        said = f"{said} given the levels above".strip()
    return (
        level.name,
        level.sense,
        measured(level.value, level.unit),
        measured(level.bound, level.unit),
        percent(level.gap),
        said,
    )


def _terms(result: Result) -> Table:
    """Every goal, and every rule that is not simply kept."""
    columns = result.instance.columns
    objective = read_objective(result.instance, " > ".join(lv.name for lv in result.levels))
    policies = dict(zip(objective.labels, objective.policies, strict=True))
    rows = []
    for label, value in result.terms.items():
        policy = policies.get(label)
        if policy is not None and policy.is_rule and not value:
            continue
        unit = policy.unit(columns) if policy else ""
        rows.append((label, measured(value, unit), policy.summary if policy else ""))
    return Table("terms", ("term", ">value", ""), rows)


def _metrics(result: Result) -> Table:
    """Rates, watts and their ratios."""
    rows = [
        (name.replace("_", " "), measured(value, UNITS[name]))
        for name, value in result.metrics.items()
    ]
    return Table("metrics", ("figure", ">value"), rows)


def placement_table(result: Result) -> Table:
    """What runs where, a node a line, shortened when large."""
    placement, columns = result.placement, result.instance.columns
    headings = ("node", ">replicas", "tasks")
    if placement is None:
        return Table("", headings)
    used, first = np.unique(placement.node, return_inverse=True)
    order = np.argsort(first, kind="stable")
    start = np.searchsorted(first[order], np.arange(used.size + 1))
    rows = []
    for i, node in enumerate(used[:MOST_NODES]):
        pairs = order[start[i] : start[i + 1]]
        names = []
        for pair in pairs[: MOST_TASKS + 1]:
            row = int(placement.row[pair])
            task = result.instance.tasks[int(columns.row_task[row])].name
            how = f" [{columns.row_name(row)}]" if columns.row_name(row) else ""
            count = int(placement.replicas[pair])
            names.append(f"{task}{how}" + (f" x{count}" if count > 1 else ""))
        more = [""] * max(0, pairs.size - len(names))
        total = int(placement.replicas[pairs].sum())
        name = columns.node_names[int(node)]
        rows.append((name, number(total), shortened(names + more, MOST_TASKS)))
    if used.size > MOST_NODES:
        rows.append((f"and {counted(int(used.size) - MOST_NODES, 'more node')}", "", ""))
    title = f"placement on {number(int(used.size))} of {counted(columns.nodes, 'node')}"
    return Table(title, headings, rows)
