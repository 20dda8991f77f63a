"""Alibaba's GPU cluster trace of 2023 ("openb"): nodes with GPUs of several models, and pods.

Nodes: ``sn, cpu_milli, memory_mib, gpu, model``. Pods: ``name, cpu_milli, memory_mib, num_gpu,
gpu_milli`` (the share of one GPU; whole ones where there are several), ``gpu_spec`` (models that
are allowed, ``|`` between them), ``creation_time, scheduled_time, deletion_time`` in seconds.

A pod arrives when it was created and runs as long as from its scheduling to its deletion (from its
creation, where it never was scheduled). In a list without times pods arrive one a second, in its
order, and stay. Source: https://github.com/alibaba/clusterdata (cluster-trace-gpu-v2023).
"""

from __future__ import annotations

from pathlib import Path

from optalloc.instance.model import DEVICE, Instance, Node, Task
from optalloc.simulation.readers import Reader
from optalloc.simulation.readers._rows import Row, Rows
from optalloc.simulation.trace import Job, Trace

WHOLE = 1000
"""Parts of a GPU."""
NODE_COLUMNS = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
POD_COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
TIMES = ("creation_time", "deletion_time")


def read_nodes(path: Path) -> Instance:
    """Read a list of nodes; their devices are GPUs."""
    rows = Rows(path, NODE_COLUMNS)
    nodes = [
        Node(
            name=row.text("sn"),
            device=row.text("model"),
            devices=row.whole("gpu"),
            capacity={"cpu": row.whole("cpu_milli"), "memory": row.whole("memory_mib")},
        )
        for row in rows.rows
    ]
    rows.finish()
    return Instance(name=path.stem, nodes=nodes, objective="admitted")


def read_pods(path: Path) -> Trace:
    """Read a list of pods."""
    rows = Rows(path, POD_COLUMNS)
    timed = all(column in rows.columns for column in TIMES)
    jobs = [
        _timed(row) if timed else Job(task=_task(row), arrival_s=k)
        for k, row in enumerate(rows.rows)
    ]
    rows.finish()
    return Trace(name=path.stem, jobs=jobs)


def _timed(row: Row) -> Job:
    created = row.number("creation_time")
    started = row.number("scheduled_time", default=created)
    ended = row.number("deletion_time", default=-1.0)
    if ended < 0:
        return Job(task=_task(row), arrival_s=created)
    return Job(task=_task(row), arrival_s=created, duration_s=max(ended - started, 0.0))


def _task(row: Row) -> Task:
    number, part = row.whole("num_gpu"), row.whole("gpu_milli")
    demand: dict[str, float] = {"cpu": row.whole("cpu_milli"), "memory": row.whole("memory_mib")}
    if number:
        demand[DEVICE] = number if number > 1 else part / WHOLE
    models = sorted(set(filter(None, row.text("gpu_spec").split("|"))))
    return Task(name=row.text("name"), demand=demand, allow={DEVICE: models} if models else {})


READER = Reader(
    name="openb",
    summary="Alibaba's GPU cluster of 2023: nodes, and pods with shares of GPUs",
    arguments=(("NODES", "openb_node_list_*.csv"), ("PODS", "openb_pod_list_*.csv")),
    jobs=lambda paths: read_pods(paths[1]),
    cluster=lambda paths: read_nodes(paths[0]),
)
