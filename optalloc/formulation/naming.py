"""Names of columns, for people who read an exported model."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from optalloc.formulation.encoding import Encoding
from optalloc.instance.model import NODE

LONGEST = 85
"""Of a name; LP files take 100 characters with PuLP."""


def column_names(encoding: Encoding) -> list[str]:
    """Name every column, uniquely and so that LP and MPS files accept it.

    ``x(task,node)`` or ``x(task,configuration,node)``, with ``,stay`` for replicas that stay;
    ``y(task,configuration)``; ``w(task,configuration,domain)`` for gangs of one shape in a domain;
    ``z7`` for column 7 where it belongs to a term.
    """
    names = [f"z{i}" for i in range(encoding.model.columns)]
    names[: encoding.pairs] = _pair_names(encoding)
    for choice in np.flatnonzero(encoding.y_of_choice >= 0).tolist():
        names[encoding.y_of_choice[choice]] = _choice_name(encoding, choice)
    for spot, column in enumerate(encoding.w_of_spot.tolist()):
        names[column] = _spot_name(encoding, spot)
    return _unique(names)


def _pair_names(encoding: Encoding) -> list[str]:
    problem = encoding.problem
    pairs, columns = problem.pairs, problem.columns
    several = np.bincount(problem.block_class, minlength=problem.classes) > 1
    blocks = []
    for of_class, row in zip(problem.block_class.tolist(), problem.block_row.tolist(), strict=True):
        parts = [_task_name(encoding, of_class)]
        blocks.append(parts + [columns.row_name(row)] * bool(several[of_class]))
    nodes = [columns.node_names[n] for n in problem.node_classes.node.tolist()]
    entries = zip(pairs.block.tolist(), pairs.node.tolist(), pairs.stays.tolist(), strict=True)
    return [_name("x", *blocks[b], nodes[n], *["stay"] * stays) for b, n, stays in entries]


def _choice_name(encoding: Encoding, choice: int) -> str:
    problem = encoding.problem
    row = problem.columns.row_name(int(problem.choice_row[choice]))
    return _name("y", _task_name(encoding, int(problem.choice_class[choice])), row)


def _spot_name(encoding: Encoding, spot: int) -> str:
    problem = encoding.problem
    spots, columns = problem.spots, problem.columns
    row = int(spots.row[spots.shape[spot]])
    of_class = int(problem.block_class[problem.spot_block[spot]])
    scope, domain = columns.within_scopes[int(columns.row_within[row])], int(spots.domain[spot])
    node = scope == NODE
    where = columns.scope(scope)[0][problem.node_classes.node[domain] if node else domain]
    return _name("w", _task_name(encoding, of_class), columns.row_name(row), where)


def _task_name(encoding: Encoding, of_class: int) -> str:
    problem = encoding.problem
    return problem.instance.tasks[int(problem.task_classes.task[of_class])].name


def _name(letter: str, *parts: str) -> str:
    legal = ",".join(re.sub(r"[^A-Za-z0-9_.]", "_", part) for part in parts if part)
    return f"{letter}({legal[:LONGEST]})"


def _unique(names: Iterable[str]) -> list[str]:
    """Number the repeats of a name; the others keep theirs."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}.{seen[name]}")
    return unique
