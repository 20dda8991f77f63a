"""Traces as files, their schema, and the readers of public job lists."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optalloc import Configuration, Lookup, Task
from optalloc.instance.errors import InstanceError
from optalloc.simulation import Job, Trace, dump_trace, load_trace
from optalloc.simulation.readers import readers
from optalloc.simulation.schema_json import PUBLISHED, json_schema, published
from optalloc.simulation.trace import dumps_trace, loads_trace

DATA = Path(os.environ.get("OPTALLOC_DATA", ""))
Write = Callable[..., list[Path]]

FULL = Trace(
    name="all",
    description="of everything",
    configurations={"t": [Configuration(device="D", throughput=2)]},
    jobs=[
        Job(task=Task(name="a\n", demand={"cpu": Lookup(by="node", values={"n": 1})}), arrival_s=3),
        Job(task=Task(name="b", configurations="t", work=7.5), priority=-2),
        Job(task=Task(name="c", allow={"rack": ["r"]}), arrival_s=0.25, duration_s=0),
    ],
)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write texts to files and name them."""

    def written(*texts: str) -> list[Path]:
        paths = [tmp_path / f"file{i}.csv" for i in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text)
        return paths

    return written


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trace.json", "trace.json.gz"])
def test_traces_are_read_as_they_were_written(name: str, tmp_path: Path) -> None:
    dump_trace(FULL, tmp_path / name)
    assert load_trace(tmp_path / name) == FULL


def test_a_job_is_a_line() -> None:
    assert len(dumps_trace(FULL).splitlines()) == 6 + len(FULL.jobs) + 2


def test_jobs_may_be_stated_as_plain_objects() -> None:
    stated: Any = [{"task": {"name": "a"}, "duration_s": 3}]
    assert Trace(jobs=stated).jobs == (Job(task=Task(name="a"), duration_s=3),)


WRONG = [
    ("[", "", "expected JSON: "),
    ('{"optalloc_trace": 2}', "optalloc_trace", "expected 1, got 2"),
    ('{"jobs": [{}]}', "jobs[0].task", "expected an object, but it is missing"),
    ('{"jobs": [{"task": {"name": ""}}]}', "jobs[0].task.name", "expected a name"),
    ('{"jobs": [{"task": {"name": "a", "count": 2}}]}', "jobs[0].task.count", "expected 1"),
    (
        '{"jobs": [{"task": {"name": "a"}, "arrival": 1}]}',
        "jobs[0].arrival",
        "unknown field; did you mean 'arrival_s'?",
    ),
    (
        '{"jobs": [{"task": {"name": "a"}}, {"task": {"name": "a"}}]}',
        "jobs[1].task.name",
        "expected a new name, got that of jobs[0]",
    ),
    (
        '{"jobs": [{"task": {"name": "a"}, "arrival_s": -1}]}',
        "jobs[0].arrival_s",
        "expected a number of at least 0, got -1",
    ),
    (
        '{"jobs": [{"task": {"name": "a", "work": 1}, "duration_s": 1}]}',
        "jobs[0].duration_s",
        "expected none beside task.work",
    ),
    ('{"jobs": [], "jobs": []}', "jobs", "expected each key once"),
]


@pytest.mark.parametrize(("text", "path", "message"), WRONG)
def test_wrong_traces_are_refused_with_a_reason(text: str, path: str, message: str) -> None:
    with pytest.raises(InstanceError) as caught:
        loads_trace(text, "some file")
    assert caught.value.source == "some file"
    ((where, what),) = caught.value.problems
    assert where == path
    assert what.startswith(message)


def test_all_problems_are_listed() -> None:
    jobs = [
        {"task": {"name": "a"}, "arrival_s": -1, "duration_s": -1},
        {"task": {"name": "a"}, "priority": 1e999},
    ]
    with pytest.raises(InstanceError) as caught:
        Trace(jobs=jobs)  # type: ignore[arg-type]
    paths = [path for path, _ in caught.value.problems]
    assert paths == [
        "jobs[0].arrival_s",
        "jobs[0].duration_s",
        "jobs[1].task.name",
        "jobs[1].priority",
    ]


def test_wrong_types_are_named() -> None:
    with pytest.raises(InstanceError, match=r"jobs\[0\]\.task: expected an object, got 3"):
        Trace(jobs=[Job(task=3)])  # type: ignore[arg-type]


def test_the_published_schema_is_up_to_date() -> None:
    """``python -m optalloc.simulation.schema_json`` rewrites it."""
    assert PUBLISHED.read_bytes() == published()


def test_the_schema_names_every_field_and_bounds_numbers_as_the_reader_does() -> None:
    schema = json_schema()
    assert json.loads(dumps_trace(FULL)).keys() <= schema["properties"].keys()
    fields = schema["$defs"]["Job"]["properties"]
    assert fields.keys() == set(Job.__struct_fields__)
    assert all(field.get("description") for field in fields.values())
    assert fields["arrival_s"]["minimum"] == 0
    assert "minimum" not in fields["priority"]
    assert schema["$defs"]["Task"]["properties"]["count"]["const"] == 1


# --- readers -------------------------------------------------------------------------------------

NODES = """sn,cpu_milli,memory_mib,gpu,model
n0,32000,262144,0,
n1,64000,262144,2,P100
"""
PODS = """name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time,\
scheduled_time
p0,6000,12288,1,460,P100|T4,10,40,15
p1,4000,8192,2,1000,,12,20,
p2,4000,8192,0,0,,12,,
"""


def test_openb_pods_arrive_when_created_and_run_from_their_scheduling(write: Write) -> None:
    files = write(NODES, PODS)
    trace = readers()["openb"].read(files)
    assert [(j.arrival_s, j.duration_s) for j in trace.jobs] == [(10, 25), (12, 8), (12, None)]
    demands = [j.task.demand.get("device") for j in trace.jobs]
    assert demands == [0.46, 2, None]
    assert trace.jobs[0].task.allow == {"device": ("P100", "T4")}
    cluster = readers()["openb"].read_cluster(files)
    assert [(n.name, n.device, n.devices) for n in cluster.nodes] == [
        ("n0", "", 0),
        ("n1", "P100", 2),
    ]


def test_openb_pods_without_times_arrive_one_a_second_and_stay(write: Write) -> None:
    pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,0,0\nb,1,1,1,500\n"
    trace = readers()["openb"].read(write(NODES, pods))
    assert [(j.arrival_s, j.duration_s) for j in trace.jobs] == [(0, None), (1, None)]


PHILLY = """timestamp,duration,num_gpus,gpu_time,cluster
2017-10-09 00:11:57,66.0,1,66.0,11cb48
2017-10-09 00:01:56,30.5,16,488,ee9e8c
"""


def test_philly_counts_seconds_from_the_first_arrival(write: Write) -> None:
    one, gang = readers()["philly"].read(write(PHILLY)).jobs
    assert (one.arrival_s, one.duration_s, one.task.replicas) == (601, 66, 1)
    assert (gang.arrival_s, gang.duration_s) == (0, 30.5)
    assert (gang.task.replicas, gang.task.demand) == (2, {"device": 8})


THROUGHPUTS = json.dumps(
    {
        "v100": {"('LM', 2)": {"null": 8.0, "('A', 1)": [1, 2]}, "('A', 1)": {"null": 3.0}},
        "v100_unconsolidated": {"('LM', 2)": {"null": 5.0}, "('A', 1)": {"null": 3.0}},
        "k80": {"('LM', 2)": {"null": 0.0}},
    }
)
GAVEL = "LM\tpython\tdir\t-n\t1\t400\t2\t3\t-1.0\t60\nA\tpython\tdir\t-n\t0\t30\t1\t1\t-1\t0\n"


def test_gavels_jobs_have_steps_to_do_and_run_slower_apart(write: Write) -> None:
    trace = readers()["gavel"].read(write(THROUGHPUTS, GAVEL))
    together, apart = trace.configurations["LM x 2"]
    assert (together.device, together.replicas, together.within) == ("v100", 2, "node")
    assert (together.throughput, apart.throughput, apart.within) == (8, 5, "")
    assert [row.throughput for row in trace.configurations["A x 1"]] == [3]
    lm, a = trace.jobs
    assert (lm.task.work, lm.arrival_s, lm.priority, lm.duration_s) == (400, 60, 3, None)
    assert a.task.configurations == "A x 1"


SIA = "name,time,application,num_replicas,batch_size{}\nj0,5,bert,4,32{}\n"
PLACEMENTS = """app,gpu,placement,local_bsz,step_time,sync_time
bert,t4,4,4,0.5,0.1
bert,t4,4,8,0.8,0.1
bert,t4,4,16,1.5,0.1
bert,t4,22,8,1.0,0.3
bert,t4,1111,8,1.6,0.9
"""


def test_sias_lists_are_read_where_they_state_a_work(write: Write) -> None:
    trace = readers()["sia"].read(write(SIA.format(",work", ",6400"), PLACEMENTS))
    (job,) = trace.jobs
    assert (job.task.work, job.arrival_s) == (6400, 5)
    together, apart = trace.configurations["bert x 4, batch 32"]
    assert (together.within, together.throughput) == ("node", 8 * 4 / 0.8)
    assert (apart.within, apart.throughput) == ("", 8 * 4 / 1.6)


def test_sias_lists_without_a_work_are_refused_with_the_reason(write: Write) -> None:
    with pytest.raises(InstanceError, match="without a total work nothing says how long it runs"):
        readers()["sia"].read(write(SIA.format("", ""), PLACEMENTS))


REFUSED = [
    ("openb", ("sn\na\n", PODS), "cluster", "expected rows with the columns cpu_milli"),
    ("openb", (NODES, PODS.replace("460", "x")), "jobs", "line 2, gpu_milli: expected a number"),
    ("philly", (PHILLY.replace("66.0,1,", "66.0,0,"),), "jobs", "line 2, num_gpus: .* at least 1"),
    ("philly", (PHILLY.replace("2017-10-09 00:11", "x"),), "jobs", "line 2, timestamp: .* date"),
    ("philly", ("timestamp\n",), "jobs", "expected rows with the columns duration, num_gpus"),
    ("philly", (PHILLY,), "cluster", "expected nodes, and these files state jobs alone"),
    ("gavel", ("{}", GAVEL), "jobs", "line 1, job type: expected one with throughputs on 2 GPUs"),
    ("gavel", ("[1]", GAVEL), "jobs", "expected throughputs by worker type"),
    ("gavel", (THROUGHPUTS, "a\tb\n"), "jobs", "line 1: expected 10 values with tabs"),
    ("gavel", (THROUGHPUTS,), "jobs", "expected 2 files, THROUGHPUTS .*; got 1"),
]


@pytest.mark.parametrize(("name", "texts", "what", "message"), REFUSED)
def test_wrong_lists_are_refused_with_a_reason(
    name: str, texts: tuple[str, ...], what: str, message: str, write: Write
) -> None:
    reader = readers()[name]
    with pytest.raises(InstanceError, match=message):
        (reader.read if what == "jobs" else reader.read_cluster)(write(*texts))


def test_every_reader_is_named_as_its_module() -> None:
    assert sorted(readers()) == list(readers())
    for name, reader in readers().items():
        assert reader.name == name
        assert reader.files


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "files", "jobs"),
    [
        ("openb", ("openb_node_list_all_node.csv", "openb_pod_list_default.csv"), 8152),
        ("openb", ("openb_node_list_all_node.csv", "openb_pod_list_multigpu20.csv"), 8324),
        ("philly", ("philly_2017-10-09_14d.csv",), 26936),
        ("gavel", ("simulation_throughputs.json", "traces/max_min_fairness.trace"), 96),
    ],
)
def test_public_lists_are_read_whole(name: str, files: tuple[str, ...], jobs: int) -> None:
    folder = {"openb": "alibaba_gpu", "philly": "jobtraces", "gavel": "throughputs_gavel"}[name]
    if not (DATA / folder).is_dir():
        pytest.skip("OPTALLOC_DATA does not name the folder with the public data")
    assert len(readers()[name].read([DATA / folder / file for file in files]).jobs) == jobs
