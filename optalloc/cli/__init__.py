"""The command line: one module per family of commands, imported only when it is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from optalloc.cli.failures import guarded, pipe_closed

_HOMES = {
    "solve": "solve",
    "pareto": "pareto",
    "check": "check",
    "info": "info",
    "generate": "generate",
    "convert": "convert",
    "export": "convert",
    "batch": "batch",
    "compare": "compare",
    "map": "map",
    "calibrate": "calibrate",
    "predict": "calibrate",
    "serve": "serve",
    "simulate": "simulate",
    "engines": "about",
    "compile": "about",
    "schema": "about",
}


class Commands(click.Group):
    """Commands whose modules are imported when they are called; keeps the exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _HOMES:
            return None
        module = importlib.import_module(f"{__name__}.{_HOMES[cmd_name]}")
        # A name that Python has for itself gets an underscore.
        command: click.Command = getattr(module, f"{cmd_name}_", None) or getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            pipe_closed()

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and, in standalone mode, end the process with its exit code."""
        stated = sys.argv[1:] if args is None else list(args)

        def run() -> Any:
            return super(Commands, self).main(stated, prog_name, complete_var, False, **extra)

        if not standalone_mode:
            return run()
        code = guarded(run, as_json="--json" in stated)
        # Interrupted while it executed a string, as it does to make data classes, Python would end
        # the process by that signal although it was caught; executing another one forgets it.
        exec("")
        sys.exit(code)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from optalloc import __version__

        click.echo(f"optalloc {__version__}")
        ctx.exit()


_HELP = """Decide what runs where in AI clusters, with proven bounds and verified answers.

\b
Exit codes:
    0  an answer (also when interrupted with one)
    1  proven infeasible, or violated (check)
    2  bad input or usage
    3  nothing found within the limit
    4  internal error; OPTALLOC_TRACEBACK=1 shows where
  130  interrupted without an answer
"""


@click.command(cls=Commands, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and leave.",
)
def cli() -> None:
    """Run one of the commands."""


def main() -> None:
    """Entry point of the ``optalloc`` command."""
    cli(prog_name="optalloc")
