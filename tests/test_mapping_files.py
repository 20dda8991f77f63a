"""Rank mapping from files and from the command line, and the ranks of gangs that were placed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from optalloc import Configuration, Instance, Node, Task, solve
from optalloc.cli import cli
from optalloc.instance.errors import InstanceError
from optalloc.mapping import (
    Machine,
    cost,
    map_gang,
    map_ranks,
    parallel_traffic,
    read_assignment,
    read_metis,
    read_qaplib,
    write_assignment,
)
from optalloc.topology import Fabric, Link

PATH_OF_FOUR = "4 3 11\n1 2 5\n1 1 5 3 7\n1 2 7 4 5\n1 3 5\n"
QAP = "3\n0 1 2\n1 0 3\n2 3 0\n\n0 5 1\n5 0 2\n1 2 0\n"


def wrote(folder: Path, text: str, name: str = "graph") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# --- files ---------------------------------------------------------------------------------------


def test_a_metis_graph_sends_both_ways(tmp_path: Path) -> None:
    traffic = read_metis(wrote(tmp_path, "% a comment\n" + PATH_OF_FOUR))
    expected = [[0, 5, 0, 0], [5, 0, 7, 0], [0, 7, 0, 5], [0, 0, 5, 0]]
    assert traffic.matrix.tolist() == expected
    assert traffic.size.tolist() == [1, 1, 1, 1]


def test_a_metis_graph_may_have_no_weights_and_vertices_without_edges(tmp_path: Path) -> None:
    traffic = read_metis(wrote(tmp_path, "4 1\n\n3\n2\n\n"))
    assert traffic.matrix.sum() == traffic.matrix[1, 2] + traffic.matrix[2, 1] == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected 'vertices edges"),
        ("3\n", "expected 'vertices edges"),
        ("2 1 7\n2\n1\n", "fmt one of"),
        ("2 1\n2\n1\n1\n", "expected 2 lines of vertices, got 3"),
        ("2 1\n2\nx\n", "line 3: expected a number, got 'x'"),
        ("2 2\n2\n1\n", "expected 2 edges"),
        ("3 1\n2\n3\n\n", "to list 1 too"),
        ("2 1 1\n2\n1 5\n", "line 2: expected a weight after each neighbour"),
        ("2 1\n3\n1\n", r"expected a rank|list"),
    ],
)
def test_bad_graphs_are_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InstanceError, match=said):
        read_metis(wrote(tmp_path, text))


def test_qaplib_counts_ordered_pairs(tmp_path: Path) -> None:
    traffic, machine = read_qaplib(wrote(tmp_path, QAP))
    assert cost(traffic, machine, np.array([0, 1, 2])) == 2 * (1 * 5 + 2 * 1 + 3 * 2)


@pytest.mark.parametrize("text", ["", "2\n1 2 3\n", "x\n", "nan\n"])
def test_bad_qaplib_files_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InstanceError, match="expected"):
        read_qaplib(wrote(tmp_path, text))


def test_assignments_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_assignment(tmp_path / "slots", np.array([3, 0, 2]))
    assert read_assignment(tmp_path / "slots").tolist() == [3, 0, 2]


# --- the command line ----------------------------------------------------------------------------


def test_the_command_writes_an_assignment_of_the_cost_that_it_states(tmp_path: Path) -> None:
    graph = wrote(tmp_path, PATH_OF_FOUR)
    done = CliRunner().invoke(
        cli,
        ["map", str(graph), "--hierarchy", "2:2", "--distance", "1:10", "--json", "--threads", "1",
         "--time-limit", "60", "-o", str(tmp_path / "slots")],
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (said["status"], said["objective"], said["gap"]) == ("optimal", 2 * (5 + 5 + 70), 0.0)
    slots = read_assignment(tmp_path / "slots")
    assert slots.tolist() == said["assignment"]
    machine = Machine.hierarchy((2, 2), (1, 10))
    assert cost(read_metis(graph), machine, slots) == said["objective"]


def test_the_command_solves_qaplib_files_and_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["map", "--qap", str(wrote(tmp_path, QAP)), "--threads", "1"])
    assert done.exit_code == 0
    assert "optimal: cost" in done.stdout
    assert "gap 0 %" in done.stdout


def test_the_command_shares_slots_within_the_imbalance(tmp_path: Path) -> None:
    graph = wrote(tmp_path, PATH_OF_FOUR)
    done = CliRunner().invoke(
        cli,
        ["map", str(graph), "--torus", "2", "--imbalance", "0.03", "--json", "--threads", "1",
         "--time-limit", "0.5"],
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert said["objective"] == 2 * 7
    assert np.bincount(said["assignment"]).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "map needs GRAPH or --qap FILE"),
        (("GRAPH",), "--hierarchy with --distance, or --torus"),
        (("GRAPH", "--hierarchy", "2:2"), "--hierarchy with --distance, or --torus"),
        (("GRAPH", "--hierarchy", "2:x", "--distance", "1:2"), "expected numbers joined by ':'"),
        (("GRAPH", "--torus", "2", "--imbalance", "0", "--capacity", "2"), "choose one"),
        (("--qap", "GRAPH", "--torus", "2"), "--qap states the machine"),
        (("GRAPH", "--torus", "3"), "expected room for 4 units of ranks, got 3"),
        (("GRAPH", "--torus", "4", "--time-limit", "0"), "above 0"),
    ],
)
def test_bad_usage_is_said_with_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    graph = str(wrote(tmp_path, PATH_OF_FOUR))
    done = CliRunner().invoke(cli, ["map", *(graph if a == "GRAPH" else a for a in arguments)])
    assert done.exit_code == 2
    assert said in done.stderr


# --- gangs ---------------------------------------------------------------------------------------


def cluster() -> Fabric:
    names = [f"n/{k}" for k in range(4)]
    links = [Link(name, f"leaf{k // 2}", "leaf") for k, name in enumerate(names)]
    links += [Link(f"leaf{k}", "core", "core") for k in range(2)]
    return Fabric(names, ["leaf0", "leaf1", "core"], links, ("leaf", "core"))


def test_the_ranks_of_a_placed_gang_go_to_its_nodes() -> None:
    ways = [Configuration(device="H100", replicas=8, throughput=1)]
    instance = Instance(
        nodes=[Node(name="n", device="H100", devices=2, count=4)],
        tasks=[Task(name="train", configurations=ways)],
    )
    result = solve(instance, time_limit=20, engine="milp")
    traffic = parallel_traffic(4, 2, 1, 10, 100, 0)
    found = map_gang(
        result, "train", traffic, cluster().domains, distances=(1, 4, 8), time_limit=30, threads=1
    )
    assert found.mapping.status == "optimal"
    pairs = [found.nodes[k : k + 2] for k in range(0, 8, 2)]
    assert all(a == b for a, b in pairs), "tensor-parallel pairs share a node"
    assert sorted(set(found.nodes)) == [f"n/{k}" for k in range(4)]
    with pytest.raises(InstanceError, match="expected traffic of 8 ranks, one a replica, got 4"):
        map_gang(result, "train", parallel_traffic(4, 1, 1, 1, 1, 1), cluster().domains)
    with pytest.raises(InstanceError, match="expected a task that is placed"):
        map_gang(result, "other", traffic, cluster().domains)


def test_a_machine_of_domains_has_the_hops_of_its_levels() -> None:
    machine = Machine.of_domains(cluster().domains)
    assert machine.distance.tolist() == [[0, 2, 4, 4], [2, 0, 4, 4], [4, 4, 0, 2], [4, 4, 2, 0]]
    with pytest.raises(InstanceError, match=r"one for each level .node, leaf, core., got 2"):
        Machine.of_domains(cluster().domains, distances=(1, 2))


@pytest.mark.data
def test_public_files_are_read_and_their_stated_values_reached(data: Path) -> None:
    """An optimum of QAPLIB and the best known cost of a task graph, in seconds."""
    traffic, machine = read_qaplib(data / "qap" / "chr12a.dat")
    found = map_ranks(traffic, machine, time_limit=60, threads=1)
    assert (found.status, found.cost) == ("optimal", 9552)
    graph = read_metis(data / "procmap" / "model_3elt_64.graph")
    assert (graph.ranks, graph.source.size) == (64, 2 * 147)
