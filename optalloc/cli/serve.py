"""``optalloc serve``: the oracle over HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from optalloc.cli import options


def _address(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, int]:
    host, colon, port = value.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) < 2**16):
        raise click.BadParameter(f"expected HOST:PORT, got {value!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


@click.command()
@click.argument("instance", type=options.FILE)
@click.option(
    "--listen",
    default="127.0.0.1:8421",
    show_default=True,
    metavar="HOST:PORT",
    callback=_address,
    help="Port 0 takes a free one; an address that others reach takes --tokens.",
)
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=options.in_folder,
    required=True,
    help="File that keeps every decision; made where there is none.",
)
@click.option(
    "--accept-journal-end",
    "accept_end",
    is_flag=True,
    help="Go on with a journal that lacks entries at its end, or the file that says so.",
)
@click.option(
    "--tokens", type=options.FILE, help="A role (read, place, admin) and a token in each line."
)
@click.option("--tls-cert", "certificate", type=options.FILE, help="Certificate for TLS (PEM).")
@click.option("--tls-key", "key", type=options.FILE, help="Its key (PEM).")
@click.option("--body-limit", "body", type=click.IntRange(1), default=4 * 2**20, metavar="BYTES")
@click.option("--task-limit", type=click.IntRange(1), default=1_000, metavar="N")
@click.option(
    "--queue", type=click.IntRange(1), default=1_000, metavar="N", help="Requests that may wait."
)
@click.option(
    "--request-time",
    "seconds",
    type=float,
    default=10.0,
    callback=options.positive,
    show_default=True,
    metavar="SECONDS",
    help="Longest time of a request.",
)
@click.option(
    "--improve",
    type=float,
    callback=options.positive,
    metavar="SECONDS",
    help="Look for better places all the while, so long at a time; else on request only.",
)
@click.option(
    "--max-moves",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    metavar="N",
    help="Most replicas that a plan moves.",
)
@click.option(
    "--apply-moves/--propose-moves",
    default=False,
    help="Whether plans are carried out at once; by default they are only proposed.",
)
@click.option(
    "--improve-memory",
    type=click.FloatRange(1),
    metavar="MIB",
    help="Memory of the search; by default half of what is available.",
)
@click.option(
    "--policy",
    default="",
    metavar="TEXT",
    help="What decides between places that cost the same, such as 'gang > fragmentation'.",
)
@click.option(
    "--expect",
    type=options.FILE,
    help="Instance file whose tasks are a sample of the requests to come, for 'fragmentation'.",
)
@click.option(
    "--look-ahead",
    type=click.FloatRange(0, 1_000),
    default=0.0,
    show_default=True,
    metavar="MS",
    help="Requests to place wait so long for others, to be decided together.",
)
@click.option("--log-requests/--no-log-requests", default=True, help="Log every request.")
@options.objective
def serve(  # noqa: PLR0913  (one per option)
    *,
    instance: Path,
    objective: str | None,
    listen: tuple[str, int],
    log_requests: bool,
    body: int,
    task_limit: int,
    queue: int,
    seconds: float,
    improve: float | None,
    max_moves: int,
    apply_moves: bool,
    improve_memory: float | None,
    journal: Path,
    accept_end: bool,
    tokens: Path | None,
    certificate: Path | None,
    key: Path | None,
    policy: str,
    expect: Path | None,
    look_ahead: float,
) -> int:
    """Answer over HTTP where tasks of INSTANCE's cluster go, and keep every decision.

    Runs until SIGTERM or SIGINT. Logs are JSON lines on standard error; the first says where it
    listens. GET /openapi.json describes all that can be asked.
    """
    import logging

    from optalloc.instance.errors import OptallocError

    try:
        from optalloc.service import logs, server
        from optalloc.service.app import Limits
        from optalloc.service.improving import Improving
    except ModuleNotFoundError as error:
        needed = f"expected the packages of 'optalloc[service]', and {error.name!r} is missing"
        raise OptallocError(needed) from None
    logs.start_logging(logging.INFO, log_requests)
    limits = Limits(body=body, tasks=task_limit, queue=queue, seconds=seconds)
    server.serve(
        server.Settings(
            instance=instance,
            objective=objective or "",
            host=listen[0],
            port=listen[1],
            limits=limits,
            improving=Improving(
                seconds=improve or 0.0,
                max_moves=max_moves,
                apply=apply_moves,
                memory_mib=improve_memory,
            ),
            journal=journal,
            accept_end=accept_end,
            tokens=tokens,
            certificate=certificate,
            key=key,
            policy=policy,
            expect=expect,
            look_ahead=look_ahead / 1000,
        )
    )
    return 0
