"""``optalloc generate``: seeded instances of realistic scenarios."""

from __future__ import annotations

from pathlib import Path

import click

from optalloc.cli import options
from optalloc.cli.tables import Table, show
from optalloc.cli.words import counted


def _list_scenarios(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from optalloc.generators import scenarios

        rows = [(scenario.name, scenario.summary) for scenario in scenarios().values()]
        show(Table("scenarios", ("name", "what"), rows))
        ctx.exit()


@click.command()
@click.argument("scenario")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N")
@click.option("--nodes", type=int, default=16, show_default=True, metavar="N")
@click.option("--tasks", type=int, default=40, show_default=True, metavar="N")
@options.output("Instance file.")
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_scenarios,
    help="List the scenarios and leave.",
)
def generate(*, scenario: str, seed: int, nodes: int, tasks: int, output: Path) -> None:
    """Write an instance of SCENARIO: the same file for the same seed and sizes."""
    from optalloc import generators
    from optalloc.instance.files import dump_instance

    instance = generators.generate(scenario, seed, nodes, tasks)
    dump_instance(instance, output)
    columns = instance.columns
    made = counted(int(columns.task_count.sum()), "task")
    click.echo(f"{output}: {made}, {counted(columns.nodes, 'node')}")
