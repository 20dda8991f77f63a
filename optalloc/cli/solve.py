"""``optalloc solve``: the best placement of an instance, what is proven of it, and why it ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from optalloc.cli import failures, options
from optalloc.cli.progress import SolveLine

if TYPE_CHECKING:
    from optalloc.result import Result


@click.command()
@click.argument("instance", type=options.FILE)
@options.output("Write the solution file here.", required=False)
@options.objective
@options.engine
@click.option("--time-limit", type=float, callback=options.positive, metavar="S", help="Seconds.")
@options.threads
@click.option(
    "--memory-limit",
    type=float,
    callback=options.positive,
    metavar="GB",
    help="Gigabytes for the engines; by default most of what is available.",
)
@options.seed
@click.option(
    "--warm-start",
    type=options.FILE,
    help="Solution file to start from, of this instance or an earlier one.",
)
@click.option("--partial", is_flag=True, help="If not all fits, place the best part of it.")
@click.option("--log", is_flag=True, help="Print the engines' logs on standard error.")
@options.telling
@options.as_json
def solve(  # noqa: PLR0913  (one per option)
    *,
    instance: Path,
    output: Path | None,
    objective: str | None,
    engine: str,
    time_limit: float | None,
    threads: int | None,
    memory_limit: float | None,
    seed: int,
    warm_start: Path | None,
    partial: bool,
    log: bool,
    progress: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Find the best placement of INSTANCE and say what is proven about it.

    Ctrl-C ends the search and returns the best placement found so far. With --json the placement
    itself is part of the object unless -o writes it to a file.
    """
    from optalloc import solving
    from optalloc.instance.files import load_instance
    from optalloc.solution import read_start
    from optalloc.streams import stdout_to_stderr

    options.spare(output, instance, warm_start)
    stated = load_instance(instance)
    start = None if warm_start is None else read_start(warm_start, stated)
    line = SolveLine(instance.name, time_limit, progress and not quiet)
    with stdout_to_stderr(), line, failures.terminated_as_interrupted():
        result = solving.solve(
            stated,
            objective,
            engine=engine,
            time_limit=time_limit,
            threads=threads,
            memory_limit=None if memory_limit is None else int(memory_limit * 1e9),
            seed=seed,
            warm_start=start,
            partial=partial,
            on_progress=line.hear,
            log=log,
        )
    if log:
        click.echo(result.log, err=True)
    failed = _written(result, output, quiet)
    if as_json:
        failures.print_json(_plain(result, output, failed))
    elif not quiet:
        from optalloc.cli.answer import show_result

        show_result(result, None if failed else output)
    if failed:
        click.echo(f"optalloc: no solution file: {failed}", err=True)
        return failures.BAD_INPUT
    return exit_code(result)


def _written(result: Result, output: Path | None, quiet: bool) -> str:
    """Write the solution file; what went wrong in words, as the answer itself must not be lost."""
    from optalloc.solution import write_solution

    if output is None:
        return ""
    if result.placement is None:
        if not quiet:
            click.echo(f"optalloc: no placement, {output} not written", err=True)
        return ""
    try:
        write_solution(output, result.instance, result.placement, result.summary())
    except OSError as error:
        return failures.said_of_file(error)
    return ""


def exit_code(result: Result) -> int:
    """Say with an exit code what was found."""
    if result.placement is not None:
        return failures.ANSWER
    if result.status == "infeasible":
        return failures.INFEASIBLE
    if result.stopped_by == "interrupted":
        return failures.INTERRUPTED
    return failures.NOTHING_FOUND


def _plain(result: Result, output: Path | None, failed: str) -> dict[str, Any]:
    """The result for JSON: with the placement itself, or the file that holds it."""
    summary = {"instance": result.instance.name, **result.summary()}
    if result.placement is None:
        return summary
    if failed:
        summary["error"] = {"kind": "input", "message": failed}
    elif output is not None:
        return {**summary, "solution": str(output)}
    from optalloc.solution import name_placement

    return {**summary, "placements": name_placement(result.instance, result.placement)}
