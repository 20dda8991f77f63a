"""``optalloc engines``, ``compile``, ``schema``: what can run here, and what files may say."""

from __future__ import annotations

import click

from optalloc.cli import failures, options
from optalloc.cli.tables import Table, show

_ALWAYS = {
    "auto": "chooses engines for the instance and races them",
    "greedy": "a first answer, fast and without a bound",
}


@click.command()
@options.as_json
def engines(*, as_json: bool) -> None:
    """List the engines and whether their libraries are installed."""
    from optalloc import engines as registry
    from optalloc.engines import pulp_door

    listed: list[dict[str, str | bool]] = [
        {"name": name, "available": True, "summary": summary} for name, summary in _ALWAYS.items()
    ]
    listed += [
        {"name": name, "available": engine.available(), "summary": engine.summary}
        for name, engine in registry.engines().items()
    ]
    listed += [
        {"name": name, "available": True, "summary": registry.engine(name).summary}
        for name in pulp_door.installed()
        if name not in registry.engines()
    ]
    if as_json:
        failures.print_json({"engines": listed})
        return
    rows = [
        (str(entry["name"]), "yes" if entry["available"] else "no", str(entry["summary"]))
        for entry in listed
    ]
    show(Table("engines", ("name", "available", "what"), rows))


@click.command("compile")
def compile_() -> None:
    """Compile the local search, once on a machine; else its first run does.

    Until it is compiled, which takes one to two minutes, the other engines answer alone.
    """
    from optalloc.engines.ahead import compile_ahead

    click.echo(f"the local search is ready, after {compile_ahead():.1f} s")


@click.command()
@click.option("--trace", is_flag=True, help="That of trace files.")
def schema(*, trace: bool) -> None:
    """Print the JSON Schema of instance files, or of traces."""
    from importlib.resources import files

    home = files(f"optalloc.{'simulation' if trace else 'instance'}")
    click.echo(home.joinpath("schema.json").read_text("utf-8"), nl=False)
