"""``optalloc check``: a solution against every rule, and its score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optalloc.cli import failures, options
from optalloc.cli.tables import Table, show
from optalloc.cli.words import counted, measured

if TYPE_CHECKING:
    from optalloc.instance.model import Instance
    from optalloc.objective import Objective
    from optalloc.verify import Report


@click.command()
@click.argument("instance", type=options.FILE)
@click.argument("solution", type=options.FILE)
@options.objective
@options.as_json
def check(*, instance: Path, solution: Path, objective: str | None, as_json: bool) -> int:
    """Check SOLUTION against every rule of INSTANCE and score every term.

    Prints every violation and every term's value; the exit code is 1 if a hard rule is broken.
    """
    from optalloc.instance.files import load_instance
    from optalloc.objective import read_objective
    from optalloc.solution import read_solution
    from optalloc.verify import verify

    stated = load_instance(instance)
    wanted = read_objective(stated, objective)
    report = verify(stated, read_solution(solution, stated), wanted)
    if as_json:
        failures.print_json(plain(stated, wanted, report))
    else:
        _show(stated, wanted, report)
    return failures.ANSWER if report.feasible else failures.INFEASIBLE


def plain(instance: Instance, objective: Objective, report: Report) -> dict[str, Any]:
    """The verdict as plain values: amounts and values in people's units."""
    return {
        "status": "feasible" if report.feasible else "violated",
        "verified": report.feasible,
        "violations": [
            {
                "rule": violation.rule,
                "task": violation.task,
                "node": violation.node,
                "amount": violation.amount,
                "message": violation.message,
                "hard": violation.hard,
            }
            for violation in report.violations
        ],
        "levels": [
            {
                "name": level.name,
                "sense": level.sense,
                "unit": level.unit,
                "value": level.read(report.values),
            }
            for level in objective.levels
        ],
        "terms": terms(instance, objective, report),
    }


def terms(instance: Instance, objective: Objective, report: Report) -> dict[str, float]:
    """Value of every policy of the objective, in its unit."""
    columns = instance.columns
    return {
        label: float(value * policy.quantum(columns))
        for label, policy, value in zip(
            objective.labels, objective.policies, report.values, strict=True
        )
    }


def _show(instance: Instance, objective: Objective, report: Report) -> None:
    hard = sum(violation.hard for violation in report.violations)
    verdict = "every hard rule is kept" if report.feasible else counted(hard, "violation")
    click.echo(("feasible: " if report.feasible else "violated: ") + verdict)
    columns = instance.columns
    values = terms(instance, objective, report)
    show(
        Table(
            "violations",
            ("rule", "", "what"),
            [
                (violation.rule, "hard" if violation.hard else "soft", violation.message)
                for violation in sorted(report.violations, key=lambda v: not v.hard)
            ],
        ),
        Table(
            "objective",
            ("level", "", ">value"),
            [
                (level.name, level.sense, measured(level.read(report.values), level.unit))
                for level in objective.levels
            ],
        ),
        Table(
            "terms",
            ("term", ">value", ""),
            [
                (label, measured(values[label], policy.unit(columns)), policy.summary)
                for label, policy in zip(objective.labels, objective.policies, strict=True)
            ],
        ),
    )
