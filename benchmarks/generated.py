"""Instances that the benchmarks make themselves: the same for the same arguments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optalloc.instance.model import Instance, Node, Task

USE = 100
"""Largest use of a task."""
TIGHT = 0.8
"""Capacity over the sum of uses, for a mean node."""
RESOURCE = "capacity"


@dataclass(frozen=True)
class Assignment:
    """A generalised assignment problem as plain numbers.

    Parameters
    ----------
    use, cost
        Per task, on each node.
    capacity
        Of each node.
    """

    use: list[list[int]]
    cost: list[list[int]]
    capacity: list[int]

    def instance(self) -> Instance:
        """State it as an instance."""
        return Instance(
            resources={},
            nodes=tuple(
                Node(name=f"n{i}", capacity={RESOURCE: most})
                for i, most in enumerate(self.capacity)
            ),
            tasks=tuple(
                Task(name=f"t{j}", demand={RESOURCE: tuple(use)}, cost=tuple(cost))
                for j, (use, cost) in enumerate(zip(self.use, self.cost, strict=True))
            ),
            objective="assignment-cost",
        )

    def text(self) -> str:
        """State it as a file of the format ``gap``."""
        lines = [[len(self.capacity), len(self.use)]]
        lines += [list(row) for row in zip(*self.cost, strict=True)]
        lines += [list(row) for row in zip(*self.use, strict=True)]
        lines.append(self.capacity)
        return "".join(" ".join(map(str, line)) + "\n" for line in lines)


def assignment(tasks: int, nodes: int, seed: int) -> Assignment:
    """Make a problem of Yagiura's type D: costs fall as uses rise, capacities bind.

    ``use = U[1, 100]``, ``cost = 111 - use + U[-10, 10]``, ``capacity = 0.8 * sum of use / nodes``.
    """
    draw = np.random.Generator(np.random.PCG64([seed, tasks, nodes]))
    use = draw.integers(1, USE + 1, (tasks, nodes))
    cost = USE + 11 - use + draw.integers(-10, 11, (tasks, nodes))
    capacity = (use.sum(axis=0) * TIGHT / nodes).astype(np.int64)
    return Assignment(use.tolist(), cost.tolist(), np.maximum(capacity, USE).tolist())
