"""`optalloc simulate`, and `optalloc convert` of job lists."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from optalloc import Instance, Node, Task, dump_instance, load_instance
from optalloc.cli import cli
from optalloc.cli.simulate import duration
from optalloc.simulation import Job, Series, Simulation, Trace, dump_trace, load_trace
from optalloc.simulation.drawing import STEPS, averages, draw_simulations

ROOT = Path(__file__).parent.parent
CENTRE = ROOT / "instances" / "hpc-centre"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], standalone_mode=False)


def failed(*arguments: object) -> str:
    done = invoke(*arguments)
    assert done.exception is not None
    return str(done.exception)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """An instance and a trace in which the second job waits and the third never fits."""
    instance, trace = tmp_path / "cluster.json", tmp_path / "trace.json"
    dump_instance(Instance(nodes=[Node(name="n", capacity={"cpu": 4})]), instance)
    demands = {"a": 3, "b": 2, "<big>": 9}
    jobs = [
        Job(task=Task(name=name, demand={"cpu": cpu}), duration_s=60)
        for name, cpu in demands.items()
    ]
    dump_trace(Trace(jobs=jobs), trace)
    return instance, trace


def test_policies_are_shown_side_by_side(files: tuple[Path, Path]) -> None:
    done = invoke("simulate", *files, "--policy", "best-fit", "--policy", "spread")
    assert done.return_value == 0
    lines = {line[:30].strip(): line.split()[-2:] for line in done.stdout.splitlines() if line}
    assert "best-fit" in done.stdout
    assert lines["done"] == ["2", "2"]
    assert "1 node: 5 cpu short (need 9, largest free 4)" in done.stdout


def test_json_has_the_figures_of_each_policy(files: tuple[Path, Path]) -> None:
    done = invoke("simulate", *files, "--policy", "none", "--policy", "best-fit", "--json")
    first, second = json.loads(done.stdout)["simulations"]
    assert (first["policy"], second["policy"]) == ("", "best-fit")
    assert first["jobs"] == {"all": 3, "done": 2, "running": 0, "waiting": 0, "rejected": 1}
    assert (first["waiting_s"]["mean"], first["makespan_s"]) == (30, 120)
    assert list(first["rejected"]) == ["<big>"]


def test_jobs_and_picture_are_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    output, plot = tmp_path / "out.json", tmp_path / "out.svg"
    done = invoke("simulate", *files, "-o", output, "--plot", plot, "--strict", "--speed", 2)
    assert done.return_value == 0
    (whole,) = json.loads(output.read_text())["simulations"]
    assert [job["state"] for job in whole["jobs"]] == ["done", "done", "rejected"]
    assert whole["series"]["time_s"] == [0, 60, 120]
    assert whole["summary"]["strict"]
    assert len(ET.fromstring(plot.read_text())) > 10


def test_quiet_prints_nothing(files: tuple[Path, Path]) -> None:
    assert invoke("simulate", *files, "--quiet").stdout == ""


def test_wrong_input_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    instance, trace = files
    assert "expected a placement policy" in failed("simulate", *files, "--policy", "x")
    assert "ends in .svg" in failed("simulate", *files, "--plot", tmp_path / "a.png")
    assert "another file" in failed("simulate", *files, "-o", trace)
    assert "unknown field" in failed("simulate", instance, instance)
    assert "above 0" in failed("simulate", *files, "--speed", 0)


def test_the_shipped_trace_goes_with_its_instance() -> None:
    """One job never fits; better placements in between shorten it all."""
    arguments = ("simulate", CENTRE / "instance.json", CENTRE / "trace.json", "--json")
    (plain,) = json.loads(invoke(*arguments).stdout)["simulations"]
    assert plain["jobs"] == {"all": 61, "done": 60, "running": 0, "waiting": 0, "rejected": 1}
    assert list(plain["rejected"]) == ["in-memory-database"]
    assert plain["energy_kwh"] > 100


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "-"), (0, "0 s"), (299, "299 s"), (300, "5 min"), (7200, "2 h"), (864000, "10 d")],
)
def test_times_are_said_in_units_that_people_read(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


# --- pictures ------------------------------------------------------------------------------------


def test_a_picture_of_many_moments_has_few_steps_and_names_are_escaped() -> None:
    moments = tuple(float(k) for k in range(5000))
    series = Series(
        time_s=moments,
        running=(1,) * 5000,
        waiting=tuple(k % 7 for k in range(5000)),
        watts=(0.0,) * 5000,
        allocated={"cpu": (0.5,) * 5000},
    )
    drawn = draw_simulations([Simulation(policy="a > b", series=series)], "<title>")
    ET.fromstring(drawn)
    assert "a &gt; b" in drawn
    assert "&lt;title&gt;" in drawn
    assert "cpu given away" in drawn
    assert drawn.count("H") < 3 * STEPS


def test_means_between_edges_keep_the_integral() -> None:
    series = Series(time_s=(0.0, 1.0, 4.0, 6.0))
    values, edges = (3.0, 1.0, 5.0, 0.0), [k * 0.75 for k in range(9)]
    means = averages(series, values, edges)
    assert sum(means) * 0.75 == pytest.approx(series.integral(values))


def test_nothing_can_be_drawn() -> None:
    ET.fromstring(draw_simulations([Simulation()]))


# --- convert -------------------------------------------------------------------------------------


def test_convert_writes_traces_and_clusters(tmp_path: Path) -> None:
    nodes, pods = tmp_path / "nodes.csv", tmp_path / "pods.csv"
    nodes.write_text("sn,cpu_milli,memory_mib,gpu,model\nn0,32000,262144,2,T4\n")
    pods.write_text("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np0,6000,12288,1,460\n")
    cluster, trace = tmp_path / "cluster.json", tmp_path / "trace.json"
    done = invoke("convert", "openb", nodes, pods, "-o", cluster, "--trace", trace)
    assert done.stdout == f"{trace}: 1 job\n{cluster}: 0 tasks, 1 node\n"
    assert load_trace(trace).jobs[0].task.demand["device"] == 0.46
    assert load_instance(cluster).nodes[0].devices == 2
    assert invoke("simulate", cluster, trace).return_value == 0


def test_convert_says_what_it_cannot_write(tmp_path: Path) -> None:
    file, output = tmp_path / "in", tmp_path / "out.json"
    file.write_text("1 1 1 1 1")
    assert "expected -o for an instance file or --trace" in failed("convert", "gap", file)
    assert "--trace is for gavel" in failed("convert", "gap", file, "--trace", output)
    assert "jobs alone" in failed("convert", "philly", file, "-o", output)


def test_the_schema_of_traces_is_printed() -> None:
    assert "Job" in json.loads(invoke("schema", "--trace").stdout)["$defs"]
