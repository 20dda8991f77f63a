"""NVIDIA topograph: models in YAML (docs/modeling.md) and discovered graphs in JSON."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from optalloc.instance.errors import InstanceError
from optalloc.topology import hostlists
from optalloc.topology.trees import SwitchTree
from optalloc.topology.yaml_files import Entry, load

ACCELERATOR = (
    "accelerator.topology.test/domain",
    "accelerated.topology.nvidia.com/level-0",
    "accelerator.topograph.run/domain",
    "network.topology.nvidia.com/accelerator",
)
"""Labels and annotations that hold a node's accelerator domain."""


def read_model(path: Path | str) -> SwitchTree:
    """Read a topograph model: switches, blocks or nodes, and accelerator domains.

    Switches become the levels ``leaf``, ``pod``, ``core`` and so on; accelerator domains
    (``attributes.nvlink``, else the capacity block; the annotations of blocks) the level
    ``island``, where they nest. Switches with nothing below are left out.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InstanceError
        For files that are none of the format.
    """
    root = load(path)
    tree = SwitchTree(source=str(path))
    for name, switch in root.at("switches").named():
        tree.switches[name] = _names(switch, "switches")
        if switch.has("nodes"):
            tree.nodes[name] = _names(switch, "nodes")
    for block in root.at("blocks").items() if root.has("blocks") else ():
        nodes = _names(block, "nodes")
        above = block.text("switch")
        tree.switches.setdefault(above, [])
        tree.nodes.setdefault(above, []).extend(nodes)
        domain = _accelerator(block)
        tree.islands |= dict.fromkeys(nodes, domain) if domain else {}
    tree.islands |= _capacity_blocks(root)
    stated = set(tree.every_node)
    if root.has("nodes"):
        listed = {name for name, _ in root.at("nodes").named()}
        missing = [(f"node {n}", "expected below nodes as well") for n in sorted(stated - listed)]
        if missing:
            raise InstanceError(missing, str(path))
    _prune(tree)
    return tree


def _names(entry: Entry, key: str) -> list[str]:
    return hostlists.expand(entry.text(key), f"{entry.where}.{key}") if entry.get(key, None) else []


def _accelerator(entry: Entry) -> str:
    for kind in ("annotations", "labels"):
        for label in ACCELERATOR:
            if entry.has(kind) and entry.at(kind).has(label):
                return entry.at(kind).text(label)
    return ""


def _capacity_blocks(root: Entry) -> dict[str, str]:
    """The accelerator domain of nodes stated by ``nodes`` and ``capacity_blocks``."""
    found: dict[str, str] = {}
    for name, block in root.at("capacity_blocks").named() if root.has("capacity_blocks") else ():
        nvlink = block.at("attributes").text("nvlink", "") if block.has("attributes") else ""
        found |= dict.fromkeys(_names(block, "nodes"), nvlink or name)
    for name, node in root.at("nodes").named() if root.has("nodes") else ():
        nvlink = node.at("attributes").text("nvlink", "") if node.has("attributes") else ""
        domain = nvlink or node.text("capacity_block", "")
        if domain:
            found[name] = domain
    return found


def _prune(tree: SwitchTree) -> None:
    """Leave out switches that are named but have nothing below."""
    while True:
        empty = {
            child
            for children in tree.switches.values()
            for child in children
            if not tree.switches.get(child) and not tree.nodes.get(child)
        }
        if not empty:
            return
        tree.switches = {
            name: [child for child in below if child not in empty]
            for name, below in tree.switches.items()
            if name not in empty
        }
        tree.nodes = {name: below for name, below in tree.nodes.items() if name not in empty}


def read_graph(path: Path | str) -> SwitchTree:
    """Read a topograph graph: ``{"instances": [{"id", "network_layers": [leaf, ...], "labels"}]}``.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InstanceError
        For files that are none of the format.
    """
    tree = SwitchTree(source=str(path))
    for instance in load(path).at("instances").items():
        node = instance.text("id")
        layers = [str(layer) for layer in instance.get("network_layers", [])]
        for lower, upper in pairwise(layers):
            below = tree.switches.setdefault(upper, [])
            if lower not in below:
                below.append(lower)
        if layers:
            tree.switches.setdefault(layers[0], [])
            tree.nodes.setdefault(layers[0], []).append(node)
        domain = _accelerator(instance)
        if domain or not layers:
            tree.islands[node] = domain or node
    return tree
