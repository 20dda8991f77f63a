"""Topology files of Slurm and topograph: what is read, what is written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from optalloc.instance.errors import InstanceError
from optalloc.topology import Fabric, Speed, generators, hostlists, slurm, topograph

TREE = """
# two pods
SwitchName=s0 Nodes=tux[0-3]
switchname=s1 nodes=tux[4-7] LinkSpeed=100
SwitchName=s2 Nodes=tux[8-11]
SwitchName=s3 \\
    Nodes=tux[12-15]
SwitchName=s4 Switches=s[0-1]   # left
SwitchName=s5 Switches=s[2-3]
SwitchName=s6 Switches=s[4-5]
"""
BLOCKS = """
BlockName=b1 Nodes=node[01-04]
BlockName=b2 Nodes=node[05-08]
BlockName=b3 Nodes=node[09-12]
BlockName=b4 Nodes=node[13-16]
BlockSizes=4,8
"""
names = st.from_regex(r"[a-z]{1,3}(-[0-9]{0,2})?[0-9]{1,4}|[a-z]{1,4}", fullmatch=True)


@given(st.lists(names, unique=True))
def test_folding_loses_no_name(listed: list[str]) -> None:
    text = hostlists.fold(listed)
    assert not listed or sorted(hostlists.expand(text)) == sorted(listed)


def test_ranges_keep_their_zeros_and_multiply() -> None:
    assert hostlists.expand("a[08-11,3],b-[1-2]x[0-1]") == [
        "a08", "a09", "a10", "a11", "a3", "b-1x0", "b-1x1", "b-2x0", "b-2x1",
    ]  # fmt: skip
    assert hostlists.fold(["n1", "n2", "n3", "n5", "n04", "x"]) == "x,n[1-3,5],n04"


@pytest.mark.parametrize(
    "text", ["", "a[1-2", "a]1[", "a[2-1]", "a[]", "a[x]", "a,,b", "a[0-9999999]", "a[[1]]"]
)
def test_lists_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InstanceError, match="line 7: expected"):
        hostlists.expand(text, "line 7")


def test_a_slurm_tree_becomes_levels_by_height(tmp_path: Path) -> None:
    file = tmp_path / "topology.conf"
    file.write_text(TREE)
    speeds = {"leaf": Speed(10.0, 1e-6), "pod": Speed(20.0), "core": Speed(20.0)}
    fabric = slurm.read_conf(file).fabric(speeds=speeds, known=[f"tux{k}" for k in range(16)])
    domains = fabric.domains
    assert [level.names for level in domains.levels[1:]] == [
        ("s0", "s1", "s2", "s3"), ("s4", "s5"), ("s6",),
    ]  # fmt: skip
    assert domains.oversubscription("leaf").tolist() == [2.0] * 4
    assert slurm.conf(domains).splitlines()[0] == "SwitchName=s0 Nodes=tux[0-3]"


@pytest.mark.parametrize("make", [TREE, BLOCKS])
def test_what_is_written_reads_as_the_same_domains(tmp_path: Path, make: str) -> None:
    first, second = tmp_path / "a.conf", tmp_path / "b.conf"
    first.write_text(make)
    domains = slurm.read_conf(first).fabric().domains
    slurm.write_conf(domains, second)
    again = slurm.read_conf(second).fabric().domains
    assert again.nodes == domains.nodes
    for a, b in zip(domains.levels, again.levels, strict=True):
        assert a.names == b.names
        assert a.of_node.tolist() == b.of_node.tolist()


@pytest.mark.parametrize(
    "fabric",
    [
        generators.fat_tree(4),
        generators.leaf_spine(3, 4),
        generators.nvlink_islands(3, 2),
        generators.torus((4, 2), block=(2, 2)),
        generators.dragonfly(3, 2, 2),
    ],
)
def test_every_generated_fabric_can_be_told_to_slurm(tmp_path: Path, fabric: Fabric) -> None:
    domains = fabric.domains
    slurm.write_conf(domains, tmp_path / "topology.conf")
    again = slurm.read_conf(tmp_path / "topology.conf").fabric().domains
    order = [again.nodes.index(node) for node in domains.nodes]
    for level in domains.levels[1:]:
        assert _parts(level.of_node) in [_parts(other.of_node[order]) for other in again.levels]


def _parts(label: NDArray[np.int64]) -> set[frozenset[int]]:
    found: dict[int, set[int]] = {}
    for k, value in enumerate(label.tolist()):
        found.setdefault(value, set()).add(k)
    return {frozenset(part) for part in found.values()}


def test_blocks_join_by_the_sizes_stated(tmp_path: Path) -> None:
    file = tmp_path / "topology.conf"
    file.write_text(BLOCKS)
    domains = slurm.read_conf(file).fabric().domains
    assert [level.names for level in domains.levels[1:]] == [
        ("b1", "b2", "b3", "b4"), ("b1..b2", "b3..b4"), ("cluster",),
    ]  # fmt: skip


YAML = """
- topology: first
  flat: true
- topology: tree
  cluster_default: true
  tree:
    switches:
    - {switch: root, children: 'l[1-2]'}
    - {switch: l1, nodes: 'n[01-02]'}
    - {switch: l2, nodes: 'n[03-04]'}
- topology: blocks
  block:
    block_sizes: [2, 4]
    blocks:
    - {block: b1, nodes: 'n[01-02]'}
    - {block: b2, nodes: 'n[03-04]'}
"""


def test_topologies_of_a_yaml_file_are_found_by_name(tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text(YAML)
    assert [x.names for x in slurm.read_yaml(file).fabric().domains.levels[1:]] == [
        ("l1", "l2"),
        ("root",),
    ]
    blocks = slurm.read_yaml(file, "blocks").fabric().domains
    assert [level.names for level in blocks.levels[1:3]] == [("b1", "b2"), ("b1..b2",)]
    with pytest.raises(InstanceError, match="expected tree or block"):
        slurm.read_yaml(file, "first").fabric()
    with pytest.raises(InstanceError, match="expected one of first, tree, blocks; got 'x'"):
        slurm.read_yaml(file, "x").fabric()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SwitchName=a Switches=b\nSwitchName=b Switches=a", "no switch below itself: a -> b -> a"),
        ("SwitchName=a Nodes=n[1-2", "line 1: expected brackets that match"),
        ("SwitchName=a Switches=q", "switch a: expected switches that are stated, got 'q'"),
        ("SwitchName=a Nodes=n1\nSwitchName=b Nodes=n2", "n2: expected a link to the rest"),
        (
            "SwitchName=a Nodes=n1\nSwitchName=b Nodes=n1",
            "node n1: expected one switch, got a and b",
        ),
        ("SwitchName=a Nodes=n1 what", "line 1: expected KEY=VALUE"),
        ("Name=a", "line 1: expected SwitchName, BlockName or BlockSizes"),
        ("SwitchName=a", "line 1: expected Nodes or Switches"),
        ("# nothing", "expected at least one SwitchName or BlockName"),
        ("BlockName=b Nodes=n1\nBlockSizes=4,6", "line 2: expected block sizes"),
        ("SwitchName=a Nodes=n1\nBlockName=b Nodes=n1", "either switches or blocks"),
        ("SwitchName=n1 Nodes=n1", "n1: expected different names"),
    ],
)
def test_what_is_wrong_with_a_slurm_file_is_named(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "topology.conf"
    file.write_text(text)
    with pytest.raises(InstanceError) as error:
        slurm.read_conf(file).fabric()
    assert expected in str(error.value)


def test_nodes_that_the_cluster_lacks_and_those_left_out_are_named(tmp_path: Path) -> None:
    file = tmp_path / "topology.conf"
    file.write_text("SwitchName=a Nodes=n[1-2]")
    with pytest.raises(InstanceError) as error:
        slurm.read_conf(file).fabric(known=["n2", "n3"])
    assert "node n1: expected a node of the cluster" in str(error.value)
    assert "node n3: expected in the topology" in str(error.value)
    with pytest.raises(
        InstanceError, match=r"speed of roof: expected a level of the topology \(leaf"
    ):
        slurm.read_conf(file).fabric(speeds={"roof": Speed()})


MODEL = """
switches:
  core: {switches: [spine-1, spine-2]}
  spine-1: {switches: [leaf-1, leaf-2]}
  spine-2: {switches: [leaf-3, leaf-4]}
blocks:
- {switch: leaf-1, nodes: ['n[11-12]'], annotations: {accelerator.topology.test/domain: x1}}
- {switch: leaf-2, nodes: ['n[21-22]'], annotations: {accelerator.topology.test/domain: x1}}
- {switch: leaf-3, nodes: ['n[31-32]'], annotations: {accelerator.topology.test/domain: x2}}
"""


def test_accelerator_domains_take_the_level_where_they_nest(tmp_path: Path) -> None:
    """Domains of several racks lie above the leaves; switches with nothing below are left out."""
    file = tmp_path / "model.yaml"
    file.write_text(MODEL)
    domains = topograph.read_model(file).fabric().domains
    assert [level.name for level in domains.levels] == ["node", "leaf", "island", "pod", "core"]
    assert domains.levels[1].names == ("leaf-1", "leaf-2", "leaf-3")
    assert domains.levels[2].names == ("x1", "x2")
    assert domains.levels[3].names == ("spine-1", "spine-2")


def test_accelerator_domains_within_leaves_are_innermost(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(
        "switches:\n  S1: {switches: [S2, S3]}\n  S2: {nodes: [a, b]}\n  S3: {nodes: [c]}\n"
        "nodes:\n  a: {attributes: {nvlink: N}}\n  b: {capacity_block: M}\n  c: {}\n"
        "capacity_blocks:\n  M: {nodes: [b]}\n"
    )
    domains = topograph.read_model(file).fabric().domains
    assert [level.name for level in domains.levels] == ["node", "island", "leaf", "pod"]
    assert domains.levels[1].of_node.tolist() == [0, 1, 2]


def test_accelerator_domains_that_cross_the_switches_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(
        "switches:\n  S2: {nodes: [a, b]}\n  S3: {nodes: [c, d]}\n  S1: {switches: [S2, S3]}\n"
        "capacity_blocks:\n  M: {nodes: [a, c]}\n  N: {nodes: [b, d]}\n"
    )
    with pytest.raises(InstanceError, match="island: expected accelerator domains that nest"):
        topograph.read_model(file).fabric()


def test_a_graph_gives_the_layers_of_each_instance(tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    nodes = [
        {"id": f"i{k}", "network_layers": [f"l{k // 2}", "s0"], "labels": {}} for k in range(4)
    ]
    file.write_text(json.dumps({"instances": nodes}))
    domains = topograph.read_graph(file).fabric().domains
    assert [level.names for level in domains.levels[1:]] == [("l0", "l1"), ("s0",)]
    file.write_text("{}")
    with pytest.raises(InstanceError, match="expected a mapping with 'instances'"):
        topograph.read_graph(file).fabric()
    file.write_text("{")
    with pytest.raises(InstanceError, match=r"graph\.json"):
        topograph.read_graph(file).fabric()
