"""What a placement policy is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_state import View

if TYPE_CHECKING:
    from optalloc.instance.model import Task
    from optalloc.oracle.answers import Mix
    from optalloc.oracle.counting import Counting
    from optalloc.oracle.ground import Ground
    from optalloc.oracle.kinds import Kind

IntArray = NDArray[np.int64]


class Ranking:
    """A placement policy at work on the nodes that requests share.

    Parameters
    ----------
    ground
        What runs.

    Attributes
    ----------
    one_by_one
        Whether each replica is placed with what the one before it changed.
    """

    one_by_one = False

    def __init__(self, ground: Ground) -> None:
        self.ground = ground

    def rank(self, state: Counting, block: int, view: View) -> NDArray[Any]:
        """Rank the nodes of a view for one more replica of a block: the least is the best."""
        del state, block
        return np.zeros(view.nodes.size)

    def devices(self, state: Counting, block: int, node: int) -> tuple[int, ...] | None:
        """Choose devices of a node for one replica; None to leave it to others."""
        del state, block, node
        return None

    def tries(self, task: Task) -> tuple[Task, ...]:
        """The task in stricter words, that are tried first."""
        del task
        return ()

    def asked(self, kind: Kind) -> None:
        """Take notice of a request."""

    def expect(self, kinds: Sequence[Kind]) -> None:
        """Take notice of what requests are to come."""

    def seen(self) -> Mix | None:
        """The requests that it goes by; None for a policy that goes by none."""
        return None

    def resume(self, mix: Mix, kinds: Sequence[Kind]) -> None:
        """Go on with requests of which `seen` told, of these kinds."""

    def changed(self, nodes: IntArray) -> None:
        """Take notice that something came to some nodes, or went."""

    def waits(self, kind: Kind, nodes: IntArray | None = None) -> bool:
        """Whether a task had better wait for others, as far as some nodes offer; by default all."""
        del kind, nodes
        return False

    def forked(self, ground: Ground) -> Ranking:
        """The same, for a copy of what runs."""
        return type(self)(ground)


@dataclass(frozen=True)
class Policy:
    """A placement policy.

    Parameters
    ----------
    name
        How it is asked for.
    summary
        What it prefers.
    make
        Puts it to work.
    """

    name: str
    summary: str
    make: Callable[[Ground], Ranking]
