"""``optalloc info``: what is in an instance, in people's units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from optalloc.cli import failures, options
from optalloc.cli.tables import Table, show
from optalloc.cli.words import counted, measured, number, percent


@click.command()
@click.argument("instance", type=options.FILE)
@options.as_json
def info(*, instance: Path, as_json: bool) -> None:
    """Say what is in INSTANCE: nodes, resources and their demand, tasks, rules, objective, size."""
    from optalloc.cli.describing import describe
    from optalloc.instance.files import load_instance

    facts = describe(load_instance(instance))
    if as_json:
        failures.print_json(facts)
    else:
        _show(facts)


def _show(facts: dict[str, Any]) -> None:
    nodes, tasks, model = facts["nodes"], facts["tasks"], facts["model"]
    click.echo(facts["name"] or "unnamed instance")
    if facts["description"]:
        click.echo(facts["description"])
    choices = counted(model["choices"], "way")
    click.echo(
        f"{counted(tasks['total'], 'task')} ({number(tasks['required'])} required, "
        f"{number(tasks['optional'])} optional, {number(tasks['with_table'])} with a "
        f"configuration table, {number(tasks['running'])} running now) in {choices} of running\n"
        f"{counted(nodes['total'], 'node')}, {counted(nodes['devices'], 'device')}, "
        f"{measured(nodes['full_w'], 'W')} at full load\n"
        f"objective: {facts['objective']}\n"
        f"model: up to {counted(model['variables'], 'variable')} before merging"
    )
    show(*_tables(facts))


def _tables(facts: dict[str, Any]) -> tuple[Table, ...]:
    return (
        Table(
            "nodes",
            ("device", ">nodes", ">devices", ">idle W", ">full W", ">price/h"),
            [
                (
                    entry["device"] or "no device",
                    *(number(entry[k]) for k in ("nodes", "devices", "idle_w", "full_w")),
                    number(entry["price_h"]),
                )
                for entry in facts["nodes"]["types"]
            ],
        ),
        Table(
            "domains",
            ("scope", ">domains"),
            [(name, number(count)) for name, count in facts["nodes"]["domains"].items()],
        ),
        Table(
            "resources: capacity, and the least that tasks can demand",
            ("resource", ">capacity", ">required", ">", ">with optional", ">"),
            [
                (
                    entry["resource"] + (f" ({entry['unit']})" if entry["unit"] else ""),
                    number(entry["capacity"]),
                    number(entry["required"]),
                    percent(entry["required_share"]),
                    number(entry["all"]),
                    percent(entry["all_share"]),
                )
                for entry in facts["resources"]
            ],
        ),
        Table(
            "groups",
            ("kind", ">groups", ">memberships"),
            [
                (entry["kind"], number(entry["groups"]), number(entry["memberships"]))
                for entry in facts["groups"]
            ],
        ),
        Table(
            "goals and rules",
            ("name", "type", "how", "what"),
            [
                (entry["name"], entry["type"], entry["how"], entry["summary"])
                for entry in facts["policies"]
            ],
        ),
    )
