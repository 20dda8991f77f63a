"""The oracle as a service: latency over HTTP with its journal, group commit, restarts, crashes."""

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
from benchmarks.service_load import Kills, flood, steady

SIZES = ((1_000, 10_000, 15.0), (10_000, 100_000, 50.0))
"""Nodes, tasks that run, and milliseconds that 99 of 100 places may take."""
SMALL = ((32, 100, 15.0),)
CONNECTIONS, RATE = 4, 100.0
STRIDE = 64
"""Bytes between two cuts of a journal."""
PAGE, FRAME = 4096, 24


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
    with serving(file, journal) as server:
        first_s = server.ready_s
        fresh(steady, server.port, CONNECTIONS, RATE, seconds / 6, 1)
        synced = synced_ms(folder, 20 if context.smoke else 500)
        took = fresh(steady, server.port, CONNECTIONS, RATE, seconds, 2)
        memory = server.memory_mb()
        server.kill()
    with serving(file, journal) as server:
        again_s = server.ready_s
    row: Row = {"what": "latency", "nodes": nodes, "tasks": tasks, "refused": took["refused"]}
    for kind in ("single", "gang", "release"):
        row |= {f"{kind}_p50_ms": _p(took[kind], 50), f"{kind}_p99_ms": _p(took[kind], 99)}
        row[f"{kind}s"] = len(took[kind])
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


def _kills(context: Context, rounds: int) -> Row:
    folder = _folder(context)
    file, _ = filled(folder, 32 if context.smoke else 96, 1)
    found = Kills(file, folder / "killed.journal").run(rounds)
    shutil.rmtree(folder)
    return {"what": "kills", **found}


def _memory(context: Context, few: int, many: int) -> Row:
    folder = _folder(context)
    file, journal = filled(folder, 32, 100)
    with serving(file, journal) as server:
        fresh(flood, server.port, 16, 600.0, few)
        before = server.memory_mb()
        fresh(flood, server.port, 16, 600.0, many - few)
        after = server.memory_mb()
    shutil.rmtree(folder)
    return {"what": "memory", "requests": many, "few_mb": before, "many_mb": after}


def _cuts(context: Context, entries: int) -> Row:
    """Cut the log of a journal within its last transactions: whole, or it says what is missing."""
    import msgspec

    from optalloc.instance.model import Task
    from optalloc.service.journal import Founding, Journal, JournalDamaged
    from optalloc.service.records import Entry, Put

    folder = _folder(context)
    ours, whole = Founding("", ""), folder / "whole"
    kept, sizes = Journal(whole, ours), [0]
    log = Path(f"{whole}-wal")
    for version in range(1, entries + 11):
        kept.begin()
        task = Task(name=f"t{version}", demand={"cpu": 1})
        kept.append(Entry(version, (Put(task, {"n": 1}),)), f"k{version}")
        kept.commit()
        sizes.append(log.stat().st_size)
    expected = msgspec.json.encode([*kept.state.records()])
    text, rest = log.read_bytes(), [whole.read_bytes(), Path(f"{whole}-head").read_bytes()]
    kept.close()
    start = sizes[-1 - entries]
    borders = {b + d for b in range(start, len(text), PAGE + FRAME) for d in (-1, 0, 1)}
    wholes = refusals = wrong = 0
    cut = folder / "cut"
    for at in sorted({*range(start, len(text), STRIDE), *borders, len(text)}):
        for path in folder.glob("cut*"):
            path.unlink()
        cut.write_bytes(rest[0])
        Path(f"{cut}-head").write_bytes(rest[1])
        Path(f"{cut}-wal").write_bytes(text[:at])
        try:
            found = Journal(cut, ours)
        except JournalDamaged:
            refusals += 1
            continue
        found.close()
        same = msgspec.json.encode([*found.state.records()]) == expected
        wholes, wrong = wholes + same, wrong + (not same)
    shutil.rmtree(folder)
    return {
        "what": "cuts",
        "entries": entries,
        "whole": wholes,
        "refused": refusals,
        "wrong": wrong,
    }


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
        Case("kills", partial(_kills, context, 2 if small else 200)),
        Case("cuts", partial(_cuts, context, 1 if small else 50)),
        Case(
            "memory", partial(_memory, context, 40 if small else 20_000, 80 if small else 200_000)
        ),
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
    for what, field, name in (
        ("kills", ("lost", "twice", "violated"), "`kill -9` under load: lost, twice or violated"),
        ("cuts", ("wrong",), "journal cut in its last 50 transactions: wrong and not told"),
    ):
        mine = [r for r in rows if r["what"] == what]
        wrong = [sum(r[f] for f in field) for r in mine]
        found.append(_sound(name, wrong, _told(mine)))
    memory = [r for r in rows if r["what"] == "memory"]
    grown = [100 * (r["many_mb"] / r["few_mb"] - 1) for r in memory]
    found.append(_figure("memory after 200,000 requests over 20,000", grown, "%", at_most(10)))
    return found


def _placing(rows: Sequence[Row], kind: str, nodes: int, tasks: int, limit: float) -> Figure:
    what = "one task" if kind == "single" else "a gang of 8"
    name = (
        f"`place` of {what} over HTTP, journal synchronised, {nodes:,} nodes, {tasks:,} tasks: p99"
    )
    detail = "".join(
        f"median {r[f'{kind}_p50_ms']:.3g} ms; fsync alone p99 {r['fsync_p99_ms']:.3g} ms; "
        f"no improver" for r in rows
    )  # fmt: skip
    return _figure(name, [r[f"{kind}_p99_ms"] for r in rows], "ms", at_most(limit), detail)


def _figure(
    name: str, values: Sequence[float], unit: str, target: Target, detail: str = ""
) -> Figure:
    worst = (max if target.sense == "at_most" else min)(values, default=None)
    return Figure(name, worst, unit, target, (len(values), 1), detail)


def _sound(name: str, wrong: Sequence[int], detail: str) -> Figure:
    worst = max(wrong, default=None)
    return Figure(name, worst, "", at_most(0), (len(wrong), 1), detail, sound=True)


def _told(rows: Sequence[Row]) -> str:
    parts = []
    for r in rows:
        if r["what"] == "kills":
            parts.append(f"{r['kills']} kills, {r['acknowledged']} acknowledged")
        else:
            parts.append(f"{r['whole'] + r['refused']} cuts, {r['whole']} of them whole")
    return "; ".join(parts)


BENCHMARK = Benchmark(
    summary="the oracle over HTTP: latency, group commit, restart, kill -9, cut journals, memory",
    minutes=20,
    cases=_cases,
    figures=_figures,
)
