"""Whole batches of gangs against the greedy rules of production schedulers, group after group.

Random clusters of nodes with 8 GPUs, partly busy, in racks and zones; gangs are faster in a rack
than in a zone than across. The rules place them in the order of their arrival; optalloc is asked
for the most samples/s of all, and in a second solve for the most gangs inside a rack: no rule may
beat either, whatever it does.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

import numpy as np

from benchmarks.contract import THREADS, Benchmark, Case, Context, Figure, Row, at_least, at_most
from benchmarks.peers.greedy_rules import RULES, Cluster, place

CLUSTERS, CHUNK = 1000, 50
"""Random clusters, and how many make a case."""
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
LEVELS = ("rack", "zone", "")
SECONDS = 10.0
OUTSIDE = 1e-4
"""What a gang counts that is placed, but not inside a rack."""


def _drawn(
    random: np.random.Generator,
) -> tuple[Cluster, list[int], list[tuple[int, dict[str, float]]]]:
    """Draw a cluster, the free devices of its nodes, and gangs: size and samples/s by level."""
    zones, racks, nodes = random.integers(1, 4), random.integers(2, 5), random.integers(2, 7)
    number = zones * racks * nodes
    free = random.choice([0, 1, 2, 3, 4, 6, 8], number, p=[0.15, 0.1, 0.1, 0.1, 0.15, 0.1, 0.3])
    in_racks = np.arange(number).reshape(-1, nodes)
    in_zones = np.arange(zones * racks).reshape(-1, racks)
    cluster = Cluster(
        tuple(tuple(line) for line in in_racks.tolist()),
        tuple(tuple(line) for line in in_zones.tolist()),
    )
    gangs: list[tuple[int, dict[str, float]]] = []
    demand = float(random.choice([0.8, 1.0, 1.3])) * int(free.sum())
    while sum(size for size, _ in gangs) < demand:
        size, ratio = int(random.choice(SIZES)), float(random.uniform(0.05, 0.6))
        rates = {
            level: round(size / (1 + ratio * 2**k), 5) if size > 1 else 1.0
            for k, level in enumerate(LEVELS)
        }
        gangs.append((size, rates))
    return cluster, free.tolist(), gangs


def _by_rule(
    cluster: Cluster, free: Sequence[int], gangs: Sequence[tuple[int, dict[str, float]]], rule: str
) -> tuple[float, int]:
    """Samples/s of all gangs that a rule places, and how many lie in one rack."""
    left, rate, inside = list(free), 0.0, 0
    for size, rates in gangs:
        placed = place(cluster, left, size, rule)
        if placed is not None:
            for node, number in placed.nodes.items():
                left[node] -= number
            rate += rates[placed.level]
            inside += placed.level == "rack"
    return round(rate, 5), inside


def _by_optalloc(
    cluster: Cluster, free: Sequence[int], gangs: Sequence[tuple[int, dict[str, float]]]
) -> tuple[float, int, bool]:
    """Most samples/s, most gangs inside a rack, and whether both are proven."""
    fastest, proven = _solved(cluster, free, gangs)
    counted = [(size, {"rack": 1.0, "zone": OUTSIDE, "": OUTSIDE}) for size, _ in gangs]
    nearest, sure = _solved(cluster, free, counted)
    return fastest, int(nearest), proven and sure


def _solved(
    cluster: Cluster, free: Sequence[int], gangs: Sequence[tuple[int, dict[str, float]]]
) -> tuple[float, bool]:
    from optalloc import Configuration, Instance, Node, Task, policies, solve

    zone_of = {rack: z for z, racks in enumerate(cluster.zones) for rack in racks}
    nodes = [
        Node(
            name=f"n{n}",
            device="gpu",
            devices=free[n],
            domains={"rack": f"r{r}", "zone": f"z{zone_of[r]}"},
        )
        for r, members in enumerate(cluster.racks)
        for n in members
    ]
    tasks = [
        Task(
            name=f"g{g}",
            required=False,
            configurations=[
                Configuration(
                    name=level or "any",
                    device="gpu",
                    replicas=size,
                    within=level,
                    throughput=rates[level],
                )
                for level in LEVELS
            ],
        )
        for g, (size, rates) in enumerate(gangs)
    ]
    instance = Instance(
        nodes=nodes,
        tasks=tasks,
        policies=[policies.Throughput(raw=True)],
        objective="throughput",
    )
    result = solve(instance, time_limit=SECONDS, threads=THREADS)
    return round(result.objective or 0.0, 5), result.status == "optimal"


def _measured(chunk: int, clusters: int) -> Row:
    """Place the gangs of some clusters by every rule and by optalloc."""
    lines = []
    for number in range(chunk * CHUNK, chunk * CHUNK + clusters):
        cluster, free, gangs = _drawn(np.random.default_rng([number, 32]))
        rate, inside, proven = _by_optalloc(cluster, free, gangs)
        rules = {rule: _by_rule(cluster, free, gangs, rule) for rule in RULES}
        lines.append((rate, inside, proven, rules))
    return {
        "clusters": len(lines),
        "proven": sum(proven for _, _, proven, _ in lines),
        "worse": sum(
            rate < value - 1e-9 or inside < near
            for rate, inside, _, rules in lines
            for value, near in rules.values()
        ),
        "rate": [rate for rate, *_ in lines],
        "inside": [inside for _, inside, *_ in lines],
        "rules": {
            rule: {
                "rate": [rules[rule][0] for *_, rules in lines],
                "inside": [rules[rule][1] for *_, rules in lines],
            }
            for rule in RULES
        },
    }


def _cases(context: Context) -> list[Case]:
    chunks, clusters = (1, 5) if context.smoke else (CLUSTERS // CHUNK, CHUNK)

    def case(chunk: int) -> Case:
        first = chunk * CHUNK
        return Case(
            f"clusters {first} to {first + clusters - 1}", lambda: _measured(chunk, clusters)
        )

    return [case(chunk) for chunk in range(chunks)]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    count = sum(row["clusters"] for row in rows)
    cases = count, CLUSTERS
    figures = [
        Figure(
            "answers of greedy rules that are better, of batches of gangs on random clusters",
            float(sum(row["worse"] for row in rows)), "", at_most(0), cases,
            f"of {count * len(RULES):,}; {sum(row['proven'] for row in rows):,} clusters proven",
            sound=True,
        ),
    ]  # fmt: skip
    for rule in RULES:
        ours = [value for row in rows for value in row["rate"]]
        theirs = [value for row in rows for value in row["rules"][rule]["rate"]]
        inside = sum(value for row in rows for value in row["inside"])
        their_inside = sum(value for row in rows for value in row["rules"][rule]["inside"])
        gains = [100 * (a / b - 1) for a, b in zip(ours, theirs, strict=True) if b]
        figures.append(
            Figure(
                f"more samples/s than {rule}, mean",
                mean(gains) if gains else None, "%", at_least(0), cases,
                f"at most {max(gains):.3g} %; inside a rack {inside:,} gangs, not {their_inside:,}"
                if gains else "",
            )
        )  # fmt: skip
    return figures


BENCHMARK = Benchmark(
    summary="batches of gangs against the greedy rules of production schedulers",
    minutes=2,
    cases=_cases,
    figures=_figures,
)
