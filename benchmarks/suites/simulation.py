"""Public lists of jobs replayed through the oracle, policy by policy.

openb: all pods at their own times on all nodes; and, as that leaves nearly all of the cluster free,
crowded: on every sixteenth node, a thousand times as fast. Philly: 26,936 jobs of 14 days on 640
GPUs. Gavel: steps at measured rates on three GPU types, also with moves every hour.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contract import ROOT, Benchmark, Case, Context, Figure, Row, at_most
from benchmarks.fresh import fresh
from optalloc import Instance, Node, load_instance
from optalloc.explaining.relaxing import replaced
from optalloc.instance.model import DEVICE
from optalloc.simulation import Trace, load_trace, simulate
from optalloc.simulation.readers import readers

LONGEST_S = 60.0
SHIPPED = "instances/hpc-centre"
"""Instance and trace of a smoke run."""
GAVEL_NODES = tuple(Node(name=d, device=d, devices=4, count=9) for d in ("v100", "p100", "k80"))
PHILLY_NODES = (Node(name="n", device="gpu", devices=8, count=80),)
HOUR = 3600.0


@dataclass(frozen=True)
class Setting:
    """A list of jobs and how it is replayed.

    Parameters
    ----------
    reader, files
        What reads it, and which files of the data.
    nodes
        Where the list states none.
    objective
        What placements are to cost little of.
    every
        Of the nodes that the list states, every so many-th.
    options
        Of `simulate`.
    policies
        To compare.
    """

    reader: str
    files: tuple[str, ...]
    nodes: tuple[Node, ...] = ()
    objective: str = "admitted"
    every: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    policies: tuple[str, ...] = ("best-fit", "spread")


OPENB = tuple(
    f"alibaba_gpu/openb_{file}.csv" for file in ("node_list_all_node", "pod_list_default")
)
GAVEL = ("simulation_throughputs.json", "traces/max_min_fairness.trace")
SETTINGS = {
    "openb": Setting("openb", OPENB, policies=("best-fit", "fragmentation")),
    "openb, crowded": Setting(
        "openb", OPENB, every=16, options={"speed": 1000},
        policies=("best-fit", "spread", "fragmentation"),
    ),
    "Philly": Setting("philly", ("jobtraces/philly_2017-10-09_14d.csv",), PHILLY_NODES),
    "Gavel": Setting(
        "gavel", tuple(f"throughputs_gavel/{file}" for file in GAVEL), GAVEL_NODES, "throughput",
        policies=("", "gang"),
    ),
    "Gavel, moves every hour": Setting(
        "gavel", tuple(f"throughputs_gavel/{file}" for file in GAVEL), GAVEL_NODES, "throughput",
        options={"improve_every": HOUR, "max_moves": 8}, policies=("",),
    ),
}  # fmt: skip


def stated(name: str, data: str) -> tuple[Instance, Trace]:
    """Read the cluster and the jobs of a setting; without data, those that are shipped."""
    if not data:
        folder = ROOT / SHIPPED
        return load_instance(folder / "instance.json"), load_trace(folder / "trace.json")
    setting = SETTINGS[name]
    reader, paths = readers()[setting.reader], [Path(data) / file for file in setting.files]
    if setting.nodes:
        cluster = Instance(nodes=setting.nodes, objective=setting.objective)
    else:
        cluster = reader.read_cluster(paths)
        cluster = replaced(cluster, nodes=cluster.nodes[:: setting.every])
    return cluster, reader.read(paths)


def measure(name: str, policy: str, data: str) -> Row:
    """Replay a list with a policy."""
    cluster, trace = stated(name, data)
    options = SETTINGS[name].options if data else {}
    started = time.monotonic()
    found = simulate(cluster, trace, policy, **options)
    seconds = time.monotonic() - started
    return {
        "trace": name,
        "policy": policy or "none",
        "jobs": len(found.jobs),
        "open": len(found.jobs) - found.count("done") - found.count("rejected"),
        "wall_s": seconds,
        "events_s": found.events / seconds,
        "asked": found.asked,
        "share": 100 * found.allocation_loaded[DEVICE],
        "wait_s": found.waiting_s.mean,
        "completion_s": found.completion_s.mean,
        "completion_p99_s": found.completion_s.p99,
        "makespan_s": found.makespan_s,
        "moves": found.moves,
    }


def _cases(context: Context) -> list[Case]:
    folder = "" if context.smoke else str(context.data("alibaba_gpu").parent)

    def case(name: str, policy: str) -> Case:
        return Case(f"{name}/{policy or 'none'}", lambda: fresh(measure, name, policy, folder))

    settings = list(SETTINGS.items())
    if context.smoke:
        settings = settings[:1]
    return [case(name, policy) for name, setting in settings for policy in setting.policies]


def _figures(rows: Sequence[Row]) -> list[Figure]:
    whole = [row for row in rows if row["trace"] == "openb"]
    slowest = max((row["wall_s"] for row in whole), default=None)
    found = [
        Figure(
            "simulation of openb, 8,152 pods on 1,523 nodes: slowest policy", slowest, "s",
            at_most(LONGEST_S), (len(whole), len(SETTINGS["openb"].policies)),
            ", ".join(f"{row['policy']} {row['events_s']:,.0f} events/s" for row in whole),
        )
    ]  # fmt: skip
    for name, setting in SETTINGS.items():
        mine = [row for row in rows if row["trace"] == name]
        best = min((row["completion_s"] for row in mine), default=None)
        told = "; ".join(_told(row) for row in mine)
        cases = len(mine), len(setting.policies)
        title = f"simulation of {name}: least mean completion time"
        found.append(Figure(title, None if best is None else best / HOUR, "h", None, cases, told))
    left = sum(row["open"] for row in rows)
    title = "simulations: jobs neither done nor rejected in the end"
    return [*found, Figure(title, left, "", at_most(0), sound=True)]


def _told(row: Row) -> str:
    return (
        f"{row['policy']}: {row['completion_s'] / HOUR:.3g} h, wait {row['wait_s'] / HOUR:.3g} h, "
        f"{row['share']:.1f} % of the devices, {row['wall_s']:.3g} s to replay"
    )


BENCHMARK = Benchmark(
    summary="public lists of jobs replayed, policies side by side",
    minutes=8,
    cases=_cases,
    figures=_figures,
)
