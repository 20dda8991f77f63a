"""Slurm's ``topology.conf`` and ``topology.yaml``: read trees and blocks, write trees.

Formats: man pages topology.conf(5) and topology.yaml(5) of Slurm 25.05.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from optalloc.instance.errors import InstanceError
from optalloc.topology import hostlists
from optalloc.topology.domains import Domains
from optalloc.topology.trees import SwitchTree
from optalloc.topology.yaml_files import Entry, load

_KEY = re.compile(r"(\w+)\s*=\s*(\S*)")
CLUSTER = "cluster"
"""The switch that joins blocks, which Slurm leaves unsaid."""


def read_conf(path: Path | str) -> SwitchTree:
    """Read a ``topology.conf`` of topology/tree or topology/block.

    Switches become the levels ``leaf``, ``pod``, ``core`` and so on, by how many are below. Blocks
    become leaves; a second and further ``BlockSizes`` join as many blocks, in the order of the
    file, and everything is joined on top.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InstanceError
        For lines that are none of the format.
    """
    file = Path(path)
    tree, blocks = SwitchTree(source=str(file)), _Blocks(str(file))
    problems: list[tuple[str, str]] = []
    for number, line in _lines(file):
        where = f"line {number}"
        values = {key.lower(): value for key, value in _KEY.findall(line)}
        if _KEY.sub("", line).strip():
            problems.append((where, f"expected KEY=VALUE entries; got {line[:60]!r}"))
        elif "switchname" in values:
            _switch(tree, values, where)
        elif "blockname" in values:
            blocks.add(values["blockname"], hostlists.expand(values.get("nodes", ""), where))
        elif "blocksizes" in values:
            blocks.sizes(values["blocksizes"].split(","), where)
        else:
            problems.append((where, "expected SwitchName, BlockName or BlockSizes"))
    if not problems and tree.switches and blocks.nodes:
        problems.append(("", "expected either switches or blocks, got both"))
    if not problems and not tree.switches and not blocks.nodes:
        problems.append(("", "expected at least one SwitchName or BlockName"))
    if problems:
        raise InstanceError(problems, str(file))
    return blocks.tree() if blocks.nodes else tree


def _lines(file: Path) -> Iterable[tuple[int, str]]:
    """The lines that say something, without comments; a backslash joins lines."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InstanceError([("", str(error))], str(file)) from None
    joined, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first or number
        joined += line.split("#", 1)[0].rstrip()
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        if joined.strip():
            yield first, joined.strip()
        joined, first = "", 0
    if joined.strip():
        yield first, joined.strip()


def _switch(tree: SwitchTree, values: Mapping[str, str], where: str) -> None:
    below = hostlists.expand(values["switches"], where) if values.get("switches") else []
    nodes = hostlists.expand(values["nodes"], where) if values.get("nodes") else []
    if not below and not nodes:
        raise InstanceError([(where, "expected Nodes or Switches")], tree.source)
    for name in hostlists.expand(values["switchname"], where):
        tree.switches.setdefault(name, []).extend(below)
        if nodes:
            tree.nodes.setdefault(name, []).extend(nodes)


class _Blocks:
    """Blocks and the sizes in which they join."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.nodes: dict[str, list[str]] = {}
        self.levels: list[int] = []

    def add(self, name: str, nodes: list[str]) -> None:
        self.nodes.setdefault(name, []).extend(nodes)

    def sizes(self, stated: Iterable[Any], where: str) -> None:
        try:
            self.levels = [int(size) for size in stated]
        except (TypeError, ValueError):
            self.levels = [0]
        ratios = [b / a if a else 0.0 for a, b in pairwise(self.levels)]
        powers = {float(2**k) for k in range(1, 31)}
        if min(self.levels, default=0) < 1 or not set(ratios) <= powers:
            message = "expected block sizes, each a power of two larger than the one before"
            raise InstanceError([(where, message)], self.source)

    def tree(self) -> SwitchTree:
        tree = SwitchTree(nodes=self.nodes, source=self.source)
        tree.switches = {name: [] for name in self.nodes}
        members = list(self.nodes)
        for before, size in pairwise(self.levels):
            joined = size // before
            groups = [members[k : k + joined] for k in range(0, len(members), joined)]
            names = [f"{group[0]}..{group[-1]}" for group in groups]
            tree.switches |= dict(zip(names, groups, strict=True))
            members = names
        tree.switches[CLUSTER] = members
        return tree


def read_yaml(
    path: Path | str,
    topology: str | None = None,
) -> SwitchTree:
    """Read one topology of a ``topology.yaml``: a tree or blocks.

    Parameters
    ----------
    path
        The file.
    topology
        Name of the topology; by default the one with ``cluster_default``, else the first.

    Raises
    ------
    InstanceError
        For files that are none of the format, unknown topologies and types that are neither.
    """
    entries = load(path).items()
    named = {entry.text("topology"): entry for entry in entries}
    if not named:
        raise InstanceError([("", "expected at least one topology")], str(path))
    default = [n for n, e in named.items() if e.get("cluster_default", False)]
    name = topology if topology is not None else (default or list(named))[0]
    if name not in named:
        raise InstanceError(
            [("topology", f"expected one of {', '.join(named)}; got {name!r}")], str(path)
        )
    entry = named[name]
    if entry.has("tree"):
        tree = _yaml_tree(entry.at("tree"), str(path))
    elif entry.has("block"):
        tree = _yaml_blocks(entry.at("block"), str(path))
    else:
        raise InstanceError([(entry.where, "expected tree or block")], str(path))
    return tree


def _yaml_tree(entry: Entry, source: str) -> SwitchTree:
    tree = SwitchTree(source=source)
    for switch in entry.at("switches").items():
        values = {
            "switchname": switch.text("switch"),
            "switches": switch.text("children", ""),
            "nodes": switch.text("nodes", ""),
        }
        _switch(tree, values, switch.where)
    return tree


def _yaml_blocks(entry: Entry, source: str) -> SwitchTree:
    blocks = _Blocks(source)
    for block in entry.at("blocks").items():
        blocks.add(block.text("block"), hostlists.expand(block.text("nodes"), block.where))
    if entry.has("block_sizes"):
        blocks.sizes(entry.get("block_sizes", []), f"{entry.where}.block_sizes")
    return blocks.tree()


def write_conf(domains: Domains, path: Path | str) -> None:
    """Write domains as a ``topology.conf`` of topology/tree: one switch a domain.

    Domains that hold the same nodes as the one below are left out.
    """
    Path(path).write_text(conf(domains), encoding="utf-8")


def conf(domains: Domains) -> str:
    """Render domains as the text of a ``topology.conf``."""
    names = dict(enumerate(domains.nodes))
    taken = set(domains.nodes)
    lines = []
    for k, level in enumerate(domains.levels[1:], 1):
        lower = domains.levels[k - 1]
        inside: dict[int, dict[int, str]] = {}
        for node, domain in enumerate(level.of_node.tolist()):
            below = int(lower.of_node[node])
            inside.setdefault(domain, {})[below] = names[below]
        above = {}
        for domain, members in sorted(inside.items()):
            if len(members) == 1 and k > 1:
                above[domain] = next(iter(members.values()))
                continue
            name = level.names[domain]
            while name in taken:
                name = f"{level.name}-{name}"
            taken.add(name)
            key = "Nodes" if k == 1 else "Switches"
            lines.append(f"SwitchName={name} {key}={hostlists.fold(members.values())}")
            above[domain] = name
        names = above
    return "".join(f"{line}\n" for line in lines)
