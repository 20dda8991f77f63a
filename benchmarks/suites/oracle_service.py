"""The oracle as a service: latency over HTTP with its journal, group commit, restarts."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, Target, at_least, at_most
from benchmarks.fresh import fresh
from benchmarks.service import filled, serving
from benchmarks.service_load import flood, steady

SIZES = ((1_000, 10_000, 15.0), (10_000, 100_000, 50.0))
"""Nodes, tasks that run, and milliseconds that 99 of 100 places may take."""
SMALL = ((32, 100, 15.0),)
CONNECTIONS, RATE = 4, 100.0
IMPROVE = ("--improve", "10")
PAGE = 4096


def _folder(context: Context) -> Path:
    return Path(tempfile.mkdtemp(dir=context.folder))


def synced_ms(folder: Path, times: int) -> list[float]:
    """Milliseconds of writing a page and synchronising it, as a commit does."""
    found = []
    with (folder / "page").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(bytes(PAGE))
            started = time.perf_counter()
            os.fsync(file.fileno())
            found.append(1000 * (time.perf_counter() - started))
    return found


def _p(values: Sequence[float], share: float) -> float:
    return round(float(np.percentile(np.array(values), share)), 3)


def _latency(context: Context, nodes: int, tasks: int) -> Row:
    folder = _folder(context)
    file, journal = filled(folder, nodes, tasks)
    seconds = 2.0 if context.smoke else 30.0
    with serving(file, journal, *IMPROVE) as server:
        first_s = server.ready_s
        fresh(steady, server.port, CONNECTIONS, RATE, seconds / 6, 1)
        synced = synced_ms(folder, 20 if context.smoke else 500)
        took = fresh(steady, server.port, CONNECTIONS, RATE, seconds, 2)
        memory, improver_s = server.memory_mb(), server.children_s()
        server.kill()
    with serving(file, journal) as server:
        again_s = server.ready_s
    row: Row = {"what": "latency", "nodes": nodes, "tasks": tasks, "refused": took["refused"]}
    for kind in ("single", "gang", "release"):
        row |= {f"{kind}_p50_ms": _p(took[kind], 50), f"{kind}_p99_ms": _p(took[kind], 99)}
        row[f"{kind}s"] = len(took[kind])
    row["improver_cpu_s"] = round(improver_s, 1)
    row |= {"fsync_p50_ms": _p(synced, 50), "fsync_p99_ms": _p(synced, 99)}
    shutil.rmtree(folder)
    return {**row, "ready_s": max(first_s, again_s), "memory_mb": round(memory, 1)}


def _flood(context: Context, nodes: int, tasks: int) -> Row:
    folder = _folder(context)
    file, journal = filled(folder, nodes, tasks)
    with serving(file, journal) as server:
        fresh(flood, server.port, 32, 0.5 if context.smoke else 5.0)
        made = fresh(flood, server.port, 32, 0.5 if context.smoke else 20.0)
    shutil.rmtree(folder)
    return {"what": "flood", "pairs_s": made["pairs"] / made["seconds"], "nodes": nodes}


def _cases(context: Context) -> list[Case]:
    small = context.smoke
    sizes = SMALL if small else SIZES
    cases = [
        Case(f"latency {nodes}x{tasks}", partial(_latency, context, nodes, tasks))
        for nodes, tasks, _ in sizes
    ]
    nodes, tasks, _ = sizes[0]
    cases += [
        Case(f"flood {nodes}x{tasks}", partial(_flood, context, nodes, tasks)),
    ]
    return cases


def _figures(rows: Sequence[Row]) -> list[Figure]:
    found = []
    for nodes, tasks, limit in SIZES:
        mine = [r for r in rows if r["what"] == "latency" and r["nodes"] == nodes]
        found += [_placing(mine, kind, nodes, tasks, limit) for kind in ("single", "gang")]
        if tasks == SIZES[-1][1]:
            ready = [r["ready_s"] for r in mine]
            name = f"`serve` ready again, {tasks:,} tasks, process start included"
            found.append(_figure(name, ready, "s", at_most(5)))
    pairs = [r["pairs_s"] for r in rows if r["what"] == "flood"]
    name = "place and release with 32 connections, pairs a second"
    found.append(_figure(name, pairs, "", at_least(500)))
    return found


def _placing(rows: Sequence[Row], kind: str, nodes: int, tasks: int, limit: float) -> Figure:
    what = "one task" if kind == "single" else "a gang of 8"
    name = (
        f"`place` of {what} over HTTP, journal synchronised, {nodes:,} nodes, {tasks:,} tasks: p99"
    )
    detail = "".join(
        f"median {r[f'{kind}_p50_ms']:.3g} ms; fsync alone p99 {r['fsync_p99_ms']:.3g} ms; "
        f"the improver at work beside it" for r in rows
    )  # fmt: skip
    return _figure(name, [r[f"{kind}_p99_ms"] for r in rows], "ms", at_most(limit), detail)


def _figure(
    name: str, values: Sequence[float], unit: str, target: Target, detail: str = ""
) -> Figure:
    worst = (max if target.sense == "at_most" else min)(values, default=None)
    return Figure(name, worst, unit, target, (len(values), 1), detail)


BENCHMARK = Benchmark(
    summary="the oracle over HTTP: latency, group commit, restart",
    minutes=5,
    cases=_cases,
    figures=_figures,
)
