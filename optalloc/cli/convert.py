"""``optalloc convert`` and ``export``: public formats in, solution and model files out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from optalloc.cli import options
from optalloc.cli.tables import Table, show
from optalloc.cli.words import counted

if TYPE_CHECKING:
    from optalloc.instance.model import Instance

MODELS = {"lp": "the model as an LP file", "mps": "the model as an MPS file"}
"""Formats of the model itself, which need no solution."""


def _list_formats(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from optalloc.formats import formats
    from optalloc.simulation.readers import readers

    read = [(f.name, f.summary, f.files, f.solution) for f in formats().values()]
    read += [(r.name, r.summary, r.files, "") for r in readers().values()]
    written = [(name, meaning, "", "") for name, meaning in MODELS.items()]
    show(Table("formats", ("name", "what", "files read", "file written"), read + written))
    ctx.exit()


_listing = click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_formats,
    help="List the formats and leave.",
)


@click.command()
@click.argument("format_name", metavar="FORMAT")
@click.argument("files", type=options.FILE, nargs=-1, required=True)
@options.output("Instance file.", required=False)
@click.option(
    "--trace",
    type=options.TARGET,
    callback=options.in_folder,
    help="Trace file, of a list of jobs.",
)
@_listing
def convert(
    *, format_name: str, files: tuple[Path, ...], output: Path | None, trace: Path | None
) -> None:
    """Read FILES of a public FORMAT and write them as an instance file, as a trace, or as both."""
    from optalloc.formats import formats
    from optalloc.instance.files import dump_instance
    from optalloc.simulation.readers import readers

    _known(format_name, [*formats(), *readers()])
    if output is None and trace is None:
        raise click.UsageError("expected -o for an instance file or --trace for a trace")
    options.spare(output, *files)
    options.spare(trace, *files)
    if trace is not None:
        if format_name not in readers():
            raise click.UsageError(f"--trace is for {' and '.join(readers())}, not {format_name}")
        _convert_jobs(format_name, files, trace)
    if output is None:
        return
    if format_name in readers():
        instance = readers()[format_name].read_cluster(files)
    else:
        instance = formats()[format_name].read(files)
    dump_instance(instance, output)
    columns = instance.columns
    tasks = counted(int(columns.task_count.sum()), "task")
    click.echo(f"{output}: {tasks}, {counted(columns.nodes, 'node')}")


def _convert_jobs(name: str, files: tuple[Path, ...], path: Path) -> None:
    """Write a list of jobs as a trace."""
    from optalloc.simulation import dump_trace
    from optalloc.simulation.readers import readers

    read = readers()[name].read(files)
    dump_trace(read, path)
    click.echo(f"{path}: {counted(len(read.jobs), 'job')}")


@click.command()
@click.argument("format_name", metavar="FORMAT")
@click.argument("instance", type=options.FILE)
@click.argument("solution", type=options.FILE, required=False)
@options.output("File to write.")
@options.objective
@_listing
def export(
    *,
    format_name: str,
    instance: Path,
    solution: Path | None,
    output: Path,
    objective: str | None,
) -> None:
    """Write SOLUTION of INSTANCE as FORMAT's own solution file.

    With FORMAT 'lp' or 'mps' the model of INSTANCE itself is written, for any MILP solver: that of
    the first level of its objective.
    """
    from optalloc.formats import formats
    from optalloc.instance.files import load_instance
    from optalloc.solution import read_solution

    _known(format_name, [*formats(), *MODELS])
    options.spare(output, instance, solution)
    if format_name in MODELS:
        if solution is not None:
            raise click.UsageError(f"export {format_name} takes INSTANCE alone, without a solution")
        _export_model(load_instance(instance), output, objective, format_name)
    elif solution is None:
        raise click.UsageError(f"export {format_name} needs INSTANCE and SOLUTION")
    elif objective is not None:
        raise click.UsageError(f"--objective is for {' and '.join(MODELS)}, not for {format_name}")
    else:
        stated = load_instance(instance)
        formats()[format_name].write(stated, read_solution(solution, stated), output)
    click.echo(f"{output} written")


def _export_model(instance: Instance, output: Path, objective: str | None, name: str) -> None:
    """Write the model of the first level, and say which levels a file of one cannot hold."""
    from optalloc.engines import pulp_door
    from optalloc.objective import read_objective

    kind: Literal["lp", "mps"] = "lp" if name == "lp" else "mps"
    pulp_door.export(instance, output, objective, format=kind)
    first, *others = [level.name for level in read_objective(instance, objective).levels]
    if others:
        message = f"the model is that of level {first!r}, without {', '.join(map(repr, others))}"
        click.echo(f"optalloc: {message}", err=True)


def _known(name: str, names: list[str]) -> None:
    if name not in names:
        raise click.UsageError(f"no format {name!r}: expected one of {', '.join(names)}")
