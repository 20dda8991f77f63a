"""Devices lost to fragmentation, on the public traces of a GPU cluster (openb).

Requests arrive one by one in random order, none leaves and none moves, until they ask for as many
devices as there are; what is refused is skipped. Counted is the part of all devices that is given
away (protocol and policies to compare with: Weng et al., USENIX ATC'23).
"""

from __future__ import annotations

import csv
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from benchmarks.contract import Benchmark, Case, Context, Figure, Row, at_least, at_most
from benchmarks.fresh import fresh
from optalloc import Oracle, Task
from optalloc.oracle import Decision, Queue
from optalloc.simulation.readers.openb import read_nodes, read_pods
from optalloc.verify import verify

FOLDER = "alibaba_gpu"
NODES = "openb_node_list_gpu_node.csv"
SEEDS = range(42, 52)
POLICY = "fragmentation"
PEER = "FGD"
BELOW, MEAN = -0.05, 0.2
"""Least points above the peer to reach, on each trace and on average."""
QUEUED = 1.0
"""Least points above the peer with a queue, on the trace `default`."""
TRACES = 9
"""With a published result, among the public ones."""
WHOLE = 1000
"""Parts of a device."""
WAITS = 64
"""Newer requests that have arrived when one in a queue has to be answered."""
LONGEST_S = 30.0


def arrivals(base: Sequence[Task], devices: float, seed: int) -> Iterator[Task]:
    """Requests in random order, then random copies, until they ask for so many devices."""
    generator = random.Random(seed)
    order, asked, k = generator.sample(base, len(base)), 0.0, 0
    while asked < devices:
        task = order[k] if k < len(order) else generator.choice(base)
        asked += size(task)
        yield Task(name=f"{k}", demand=task.demand, allow=task.allow)
        k += 1


def size(task: Task) -> float:
    """Devices that a request asks for."""
    number = task.demand.get("device", 0)
    assert isinstance(number, int | float)
    return float(number)


def online(oracle: Oracle, tasks: Iterable[Task]) -> float:
    """Ask for one after the other; devices given away."""
    return sum(size(task) for task in tasks for a in oracle.place(task) if isinstance(a, Decision))


def queued(oracle: Oracle, tasks: Iterable[Task]) -> float:
    """Let requests wait until so many newer ones have arrived; devices given away."""
    asked = list(tasks)
    queue, sizes = Queue(oracle, WAITS), {task.name: size(task) for task in asked}
    answers = [answer for task in asked for answer in queue.ask(task)]
    answers += queue.flush()
    return sum(sizes[answer.task] for answer in answers if isinstance(answer, Decision))


WAYS = {"online": online, "queued": queued}


def most(tasks: Sequence[Task], devices: int) -> float:
    """Bound what can be given away whatever is known: contents of devices alone, relaxed.

    Maximises ``sum of size[k] x[k]`` over what each device holds, ``x[k]`` at most the number of
    requests of the size: a linear program over patterns, which are generated until none is better.
    """
    number = Counter(round(WHOLE * size(task)) for task in tasks if size(task))
    parts = sorted(part for part in number if part < WHOLE)
    whole = sum(part // WHOLE * count for part, count in number.items() if part >= WHOLE)
    sizes = np.array([*parts, WHOLE], float)
    limits = np.array([*(number[part] for part in parts), whole, devices], float)
    patterns = [np.eye(sizes.size, dtype=int)[k] for k in range(sizes.size)]
    while True:
        content = np.array(patterns).T
        rows = np.vstack([content, np.ones(len(patterns))])
        solved = linprog(-(sizes @ content), rows, limits, method="highs")
        prices = -solved.ineqlin.marginals
        pattern, value = _best_pattern(sizes.astype(int), sizes - prices[:-1])
        # What the prices allow at most bounds the optimum whether patterns are missing or not.
        if value <= prices[-1] + 1e-6:
            return float(limits[:-1] @ prices[:-1] + devices * max(value, prices[-1])) / WHOLE
        patterns.append(pattern)


def _best_pattern(sizes: NDArray[np.int64], worth: NDArray[np.float64]) -> tuple[Any, float]:
    """The contents of one device that are worth most: a knapsack."""
    value, last = np.zeros(WHOLE + 1), np.full(WHOLE + 1, -1)
    for room in range(1, WHOLE + 1):
        value[room] = value[room - 1]
        for k in np.flatnonzero(sizes <= room):
            better = value[room - sizes[k]] + worth[k]
            if better > value[room] + 1e-9:
                value[room], last[room] = better, k
    pattern, room = np.zeros(sizes.size, int), WHOLE
    while room > 0:
        if last[room] < 0:
            room -= 1
        else:
            pattern[last[room]] += 1
            room -= int(sizes[last[room]])
    return pattern, float(value[WHOLE])


def measure(folder: str, trace: str, way: str, seed: int) -> Row:
    """Replay a trace."""
    data = Path(folder)
    instance = read_nodes(data / NODES)
    base = [job.task for job in read_pods(data / f"openb_pod_list_{trace}.csv").jobs]
    devices = sum(node.devices for node in instance.nodes)
    tasks = list(arrivals(base, devices, seed))
    started = time.monotonic()
    oracle = Oracle(instance, policy=POLICY)
    oracle.expect(*base)
    given = WAYS[way](oracle, tasks)
    seconds = time.monotonic() - started
    return {
        "trace": trace,
        "way": way,
        "seed": seed,
        "requests": len(tasks),
        "share": 100 * given / devices,
        "bound": 100 * min(most(tasks, devices) / devices, 1),
        "wall_s": seconds,
        "feasible": verify(*oracle.instance()).feasible,
    }


def published(folder: Path) -> dict[str, float]:
    """The peer's mean shares by trace."""
    with (folder / "best_known.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["policy"] == PEER]
    return {row["trace"]: float(row["alloc_mean_100"]) for row in rows}


def _cases(context: Context) -> list[Case]:
    folder = made(context.folder) if context.smoke else context.data(FOLDER)
    traces = sorted(published(folder))
    seeds = list(SEEDS)[:1] if context.smoke else SEEDS

    def case(trace: str, way: str, seed: int) -> Case:
        def row() -> Row:
            peer = published(folder)[trace]
            return {**fresh(measure, str(folder), trace, way, seed), "peer": peer}

        return Case(f"{trace}/{way}/{seed}", row)

    asked = [(trace, "online") for trace in traces] + [("default", "queued")]
    return [case(trace, way, seed) for trace, way in asked for seed in seeds]


def made(folder: Path) -> Path:
    """Write a small cluster and trace in the same format, for a smoke run."""
    nodes = ["sn,cpu_milli,memory_mib,gpu,model"]
    nodes += [f"n{i},64000,262144,{1 + 3 * (i % 2)},{'AB'[i % 2]}" for i in range(6)]
    pods = ["name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec"]
    shares = (1000, 300, 700, 450, 1000)
    pods += [
        f"p{i},{4000 + 1000 * (i % 3)},8192,1,{shares[i % 5]},{'A|B' * (i % 2)}" for i in range(20)
    ]
    known = ["trace,policy,alloc_mean_100", f"default,{PEER},90"]
    files = {NODES: nodes, "openb_pod_list_default.csv": pods, "best_known.csv": known}
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _figures(rows: Sequence[Row]) -> list[Figure]:
    alone = [row for row in rows if row["way"] == "online"]
    waiting = [row for row in rows if row["way"] == "queued"]
    above = _above(alone)
    told = ", ".join(f"{trace} {points:+.2f}" for trace, points in above.items())
    cases, least = (len(above), TRACES), min(above.values(), default=None)
    mean = sum(above.values()) / len(above) if above else None
    queue = next(iter(_above(waiting).values()), None)
    slowest = max((row["wall_s"] for row in rows), default=None)
    wrong = sum(not row["feasible"] or row["share"] > row["bound"] + 1e-6 for row in rows)
    title = f"fragmentation: devices given away, points over {PEER}'s published mean"
    bounds = [row["bound"] - row["share"] for row in alone]
    return [
        Figure(f"{title}: least of all traces", least, "", at_least(BELOW), cases, told),
        Figure("the same: mean over traces", mean, "", at_least(MEAN), cases),
        Figure(
            f"the same: with a queue of {WAITS}, default", queue, "", at_least(QUEUED),
            (len({row["seed"] for row in waiting}), len(SEEDS)),
        ),
        Figure(
            "the same: mean points below the proven bound",
            sum(bounds) / len(bounds) if bounds else None, "", None, cases,
        ),
        Figure("the same: longest replay of a trace", slowest, "s", at_most(LONGEST_S), cases),
        Figure("the same: wrong answers", wrong, "", at_most(0), cases, sound=True),
    ]  # fmt: skip


def _above(rows: Sequence[Row]) -> dict[str, float]:
    """Mean points above the peer, by trace."""
    traces = dict.fromkeys(row["trace"] for row in rows)
    found = {t: [row["share"] - row["peer"] for row in rows if row["trace"] == t] for t in traces}
    return {trace: sum(points) / len(points) for trace, points in found.items()}


BENCHMARK = Benchmark(
    summary=f"devices lost to fragmentation on the openb traces, against {PEER}",
    minutes=30,
    cases=_cases,
    figures=_figures,
)
