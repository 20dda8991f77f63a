"""The oracle in a process, without a journal: how long `place` takes beside much that runs."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.fresh import fresh
from benchmarks.service import drawn, fleet, restored, running
from benchmarks.service_load import GANGS
from benchmarks.suites.gangs import ONE

if TYPE_CHECKING:
    from optalloc import Task
    from optalloc.oracle.oracle import Oracle

SIZES = ((1_000, 10_000, 2.0), (10_000, 100_000, 10.0))
"""Nodes, tasks that run, and milliseconds that 99 of 100 places may take."""
SMALL = ((32, 100, 2.0),)
REQUESTS, KEPT = 4_000, 100
"""Places that are measured; the newest tasks that run on while others are released."""
OTHERS = 100
"""Requests that are refused, and requests of new kinds, that are measured."""
ONE_MS = 100.0
SEEDS = range(1, 11)


def latencies(nodes: int, tasks: int, requests: int) -> Row:
    """Milliseconds of places, releases, refusals and requests of new kinds."""
    instance = fleet(nodes)
    oracle, rng = restored(running(instance, tasks), instance), random.Random(1)
    mine = deque[str]()
    _steadily(oracle, rng, mine, "warm", max(requests // 8, KEPT))
    took = _steadily(oracle, rng, mine, "new", requests)
    others = min(OTHERS, requests)
    took["new_kind"] = [
        _timed(oracle.place, _unheard(rng, f"unheard{i}", i)) for i in range(others)
    ]
    took["refusal"] = [_timed(oracle.place, _too_large(rng, f"large{i}", i)) for i in range(others)]
    return {kind: [round(ms, 4) for ms in found] for kind, found in took.items()}


def _steadily(
    oracle: Oracle, rng: random.Random, mine: deque[str], label: str, requests: int
) -> dict[str, list[float]]:
    """Place tasks, and release the oldest of them, so that as many run on."""
    took: dict[str, list[float]] = {"single": [], "gang": [], "release": []}
    for i in range(requests):
        gang = rng.random() < GANGS
        task = drawn(rng, f"{label}{i}", gang)
        took["gang" if gang else "single"].append(_timed(oracle.place, task))
        mine.append(task.name)
        if len(mine) > KEPT:
            took["release"].append(_timed(oracle.release, mine.popleft()))
    return took


def _timed(call: Callable[..., Any], *arguments: Any) -> float:
    started = time.perf_counter()
    call(*arguments)
    return 1000 * (time.perf_counter() - started)


def _unheard(rng: random.Random, name: str, number: int) -> Task:
    """A request of a kind that never came before."""
    from msgspec.structs import replace

    task = drawn(rng, name, gang=number % 2 > 0)
    return replace(task, demand={**task.demand, "cpu": 7 + number})


def _too_large(rng: random.Random, name: str, number: int) -> Task:
    """A request that fits nowhere, for more processors than any node has."""
    from msgspec.structs import replace

    task = drawn(rng, name, gang=number % 2 > 0)
    return replace(task, demand={**task.demand, "cpu": 129})


def one_gang(nodes: int, replicas: int, seed: int) -> Row:
    """Milliseconds of one large gang in a busy cluster: as a new kind, and of a known one."""
    from msgspec.structs import replace

    from optalloc.explaining.relaxing import replaced
    from optalloc.generators.scenarios.gang_fabric import busy_cluster, gang
    from optalloc.oracle import Oracle
    from optalloc.policies import Throughput

    def asked(draw: int) -> tuple[Oracle, Task]:
        cluster = busy_cluster(np.random.default_rng([draw, nodes]), nodes)
        faster = replaced(cluster, policies=(Throughput(raw=True),), objective="throughput")
        return Oracle(faster), gang(replicas, 0.3, levels=("rack", "pod", "zone", ""))

    warm, task = asked(seed + 1000)
    warm.place(task)
    oracle, task = asked(seed)
    new_ms = _timed(oracle.place, task)
    placed = oracle.running
    oracle.release(task.name)
    known_ms = _timed(oracle.place, replace(task, name="again"))
    columns = oracle.ground.problem.columns
    domains = {(s, name) for node in columns.instance.nodes for s, name in node.domains.items()}
    return {
        "new_ms": round(new_ms, 3),
        "known_ms": round(known_ms, 3),
        "placed": placed,
        "domains": len(domains) + nodes,
    }


def _latency(nodes: int, tasks: int, requests: int) -> Row:
    took = fresh(latencies, nodes, tasks, requests)
    row: Row = {"what": "latency", "nodes": nodes, "tasks": tasks}
    for kind, found in took.items():
        for share in (50, 99):
            row[f"{kind}_p{share}_ms"] = round(float(np.percentile(found, share)), 3)
        row[f"{kind}s"] = len(found)
    return row


def _one(nodes: int, replicas: int, seed: int) -> Row:
    return {"what": "one", **fresh(one_gang, nodes, replicas, seed)}


def _cases(context: Context) -> list[Case]:
    small = context.smoke
    requests = 20 if small else REQUESTS
    cases = [
        Case(f"{nodes}x{tasks}", partial(_latency, nodes, tasks, requests))
        for nodes, tasks, _ in (SMALL if small else SIZES)
    ]
    nodes, replicas = (60, 16) if small else ONE
    return cases + [
        Case(
            f"{replicas} replicas on {nodes} nodes seed={seed}",
            partial(_one, nodes, replicas, seed),
        )
        for seed in (SEEDS[:1] if small else SEEDS)
    ]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    found = []
    for nodes, tasks, limit in SIZES:
        mine = [r for r in rows if r["what"] == "latency" and r["nodes"] == nodes]
        at = f"{nodes:,} nodes, {tasks:,} tasks: p99"
        for kind, what, target in (
            ("single", "`place` of one task", limit),
            ("gang", "`place` of a gang of 8", limit),
            ("release", "`release`", None),
            ("refusal", "a refusal with its reasons", None),
            ("new_kind", "`place` of a new kind of request", None),
        ):
            medians = [f"median {r[f'{kind}_p50_ms']:.3g} ms" for r in mine]
            values = [r[f"{kind}_p99_ms"] for r in mine]
            name = f"{what} in process, {at}"
            found.append(_figure(name, values, target, (len(mine), 1), "; ".join(medians)))
    ones = [r for r in rows if r["what"] == "one"]
    if ones:
        known, domains = median(r["known_ms"] for r in ones), max(r["domains"] for r in ones)
        placed = sum(r["placed"] for r in ones)
        detail = f"{domains:,} domains; {placed} of {len(ones)} placed; known kind {known:.3g} ms"
    name = f"`place` of a gang of {ONE[1]} replicas on {ONE[0]:,} busy nodes, new kind: slowest"
    values = [r["new_ms"] for r in ones]
    cases = len(ones), len(SEEDS)
    return [*found, _figure(name, values, ONE_MS, cases, detail if ones else "")]


def _figure(
    name: str, values: Sequence[float], limit: float | None, cases: tuple[int, int], detail: str
) -> Figure:
    target = None if limit is None else at_most(limit)
    return Figure(name, max(values, default=None), "ms", target, cases, detail)


BENCHMARK = Benchmark(
    summary="the oracle in a process: latency of `place`, refusals, new kinds, one large gang",
    minutes=2,
    cases=_cases,
    figures=_figures,
)
