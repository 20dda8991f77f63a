"""A placement under construction: what is placed, and every term's aggregates for it.

Generic over the terms: what one more replica of a block changes is evaluated on all nodes at once.
Rules of the form "at most" limit the room for it; those of the form "at least", and implications,
only guide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optalloc.engines.greedy_terms import (
    Changes,
    Counters,
    Link,
    Tracked,
    bundled,
    limits,
    links_of,
    together,
    track,
)
from optalloc.formulation.arrays import numbered
from optalloc.formulation.problem import Problem
from optalloc.formulation.terms import Chosen, Placed
from optalloc.formulation.translating import expand_placement
from optalloc.instance.placement import Placement

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Reach = tuple[IntArray | slice, IntArray]
"""Which of some nodes, and what one more replica adds there: on each, or (one number) on all."""


@dataclass
class View:
    """What one more replica of a block changes on the nodes that may take one.

    Parameters
    ----------
    nodes : (k,)
        The nodes.
    room : (k,)
        How many replicas the rules allow.
    keys : each (k,)
        What it costs: rules that guide, then levels in order.
    use, overload : (k,)
        How much it takes of rules that block, and by how much it breaks them, in parts of limits.
    separable
        Whether what is placed on one node changes nothing for the others.
    """

    nodes: IntArray
    room: IntArray
    keys: list[IntArray]
    use: FloatArray
    overload: FloatArray
    separable: bool = True

    def only(self, kept: BoolArray) -> None:
        """Keep some of the nodes."""
        if kept.all():
            return
        self.nodes, self.room = self.nodes[kept], self.room[kept]
        self.use, self.overload = self.use[kept], self.overload[kept]
        self.keys = [key[kept] for key in self.keys]


@dataclass(frozen=True)
class Contributor:
    """A replica's block and node, and what it adds to which aggregates of a term."""

    block: int
    node: int
    amount: int
    index: IntArray


@dataclass
class State:
    """What is placed: ``x[block][node]`` replicas, ``y[choice]`` tasks, ``w[spot]`` gangs.

    Parameters
    ----------
    problem
        Whose tasks are placed.
    counters
        Aggregates to count in, where other problems with the same nodes, groups and policies count
        too; by default the problem's own.
    closed : (nodes,)
        Nodes to which no replica may come; None for none.
    """

    problem: Problem
    counters: Counters | None = None
    closed: BoolArray | None = None
    x: dict[int, dict[int, int]] = field(default_factory=dict)
    blocks_on: dict[int, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problem = self.problem
        self.first = np.searchsorted(problem.choice_class, np.arange(problem.classes + 1))
        limited, self.most = limits(problem)
        own = Counters(track(problem, limited), np.zeros(self.most.size, np.int64))
        self.terms = [tracked.term for tracked in own.tracked]
        counters = own if self.counters is None else self.counters.joined(own)
        self.tracked, self.spent = counters.tracked, counters.spent
        self.links = links_of(self.tracked, self.terms, problem.classes)
        self.y = np.zeros(problem.choices, np.int64)
        self.w = np.zeros(problem.spot_block.size, np.int64)
        self.left = problem.task_classes.count.copy()
        self.stays: dict[int, dict[int, int]] = {}
        for k, n, replicas in zip(*(part.tolist() for part in problem.home), strict=True):
            self.stays.setdefault(k, {})[n] = replicas
        bundles = bundled(self.links)
        self.links_that_block = [links for links in bundles if links[0].tracked.blocks]
        self.links_that_guide = [links for links in bundles if not links[0].tracked.blocks]

    def placement(self) -> Placement:
        """What is placed, expanded to the instance's tasks and nodes."""
        block, node, replicas = self.pairs()
        order = np.lexsort((node, block))
        block, node, replicas = block[order], node[order], replicas[order]
        return expand_placement(self.problem, self.y, block, node, replicas, self.w)

    def pairs(self) -> tuple[IntArray, IntArray, IntArray]:
        """Block, node and number of all replicas that are placed."""
        placed = [(b, n, k) for b, nodes in self.x.items() for n, k in nodes.items()]
        block, node, replicas = np.array(placed, np.int64).reshape(-1, 3).T
        return block, node, replicas

    @property
    def broken(self) -> bool:
        """Whether some rule does not hold."""
        return any(tracked.broken() for tracked in self.tracked)

    # -- what placing would change --------------------------------------------------------------

    @cached_property
    def row_changes(self) -> tuple[IntArray, IntArray]:
        """What choosing each row changes by itself: at each level, and of each limit on a goal."""
        row = self.problem.choice_row
        levels = np.zeros((row.size, len(self.problem.objective.levels)), np.int64)
        drawn = np.zeros((row.size, self.most.size), np.int64)
        for tracked, term in zip(self.tracked, self.terms, strict=True):
            for chosen in term.family.chosen:
                amount = chosen.coefficient[row]
                levels += amount[:, None] * tracked.weight
                if tracked.limited >= 0:
                    drawn[:, tracked.limited] += tracked.factor * amount
        return levels, drawn

    def view(
        self, block: int, nodes: IntArray, wanted: int, thrifty: bool = False, forced: bool = False
    ) -> View:
        """Evaluate one more replica of a block, of which so many are wanted, on some nodes.

        On those where the rules that block allow one; or, forced, where they would if nothing
        else were there. How much it takes of them is told only where that is asked for.
        """
        if self.closed is not None:
            nodes = nodes[~self.closed[nodes]]
        nothing = np.zeros(nodes.size)
        view = View(nodes, np.full(nodes.size, wanted), [], nothing, nothing.copy())
        home = self.home_left(block)
        for links in self.links_that_block:
            for changes in self._changes(links, block, view, home):
                if thrifty or forced:
                    _press(changes, view)
                if not forced:
                    _limit(changes, view)
            view.only(view.room > 0)
        if forced:
            view.room = np.where(np.isfinite(view.overload), wanted, 0)
            view.only(view.room > 0)
        levels = len(self.problem.objective.levels)
        view.keys = [np.zeros(view.nodes.size, np.int64) for _ in range(levels + 1)]
        draws = np.zeros((self.most.size, view.nodes.size), np.int64)
        for links in self.links_that_guide:
            for changes in self._changes(links, block, view, home):
                _weigh(changes, view, draws)
        for most, spent, draw in zip(self.most, self.spent, draws, strict=True):
            fits = np.maximum(most - spent, 0) // np.maximum(draw, 1)
            view.room = np.where(draw > 0, np.minimum(view.room, fits), view.room)
        view.only(view.room > 0)
        return view

    def blocked(self, block: int) -> Iterator[tuple[int, IntArray]]:
        """Nodes that a rule keeps one more replica of a block off, by policy."""
        nodes, home = self.problem.nodes_of(block), self.home_left(block)
        for links in self.links_that_block:
            nothing = np.zeros(nodes.size)
            view = View(nodes, np.ones(nodes.size, np.int64), [], nothing, nothing)
            for changes in self._changes(links, block, view, home):
                _limit(changes, view)
                if not view.room.all():
                    yield changes.tracked.policy, nodes[view.room < 1]

    def _changes(
        self, links: list[Link], block: int, view: View, home: IntArray | None
    ) -> list[Changes]:
        """What one more replica changes in a term, by each part of a link, or by all together."""
        k, found = int(self.problem.block_class[block]), []
        for link in links:
            parts = link.parts_of(k) if view.nodes.size else []
            reach = self._reach(link, block, view.nodes, home) if parts else None
            if reach is None:
                continue
            at, step = reach
            view.separable &= link.separable
            domain = link.placed.domain[view.nodes[at]]
            if not link.monotone:
                # The first of many can cost what all of them do not.
                step = step * view.room[at]
            for part in parts:
                change, owner = link.change(part * link.placed.domains + domain, step)
                found.append(Changes(link.tracked, at, change, owner))
        return [together(found, view.nodes.size)] if len(found) > 1 < len(links) else found

    def _reach(
        self, link: Link, block: int, nodes: IntArray, home: IntArray | None
    ) -> Reach | None:
        """Where (of some nodes) one more replica adds to a contribution, and how much."""
        row = self.problem.block_row[block]
        counted = None if link.everywhere else link.placed.domain[nodes] >= 0
        if home is not None and link.placed.arrivals_only:
            arrives = home[nodes] == 0
            counted = arrives if counted is None else counted & arrives
        if link.base is None:
            node = self.problem.node_classes.node[nodes]
            step = link.placed.coefficient.at(row, node) * link.placed.scale
            counted = step != 0 if counted is None else counted & (step != 0)
        elif link.base[row]:
            step = link.base[[row]]
        else:
            return None
        if counted is None or counted.all():
            return slice(None), step
        at = counted.nonzero()[0]
        return (at, step[at] if step.size > 1 else step) if at.size else None

    def home_left(self, block: int) -> IntArray | None:
        """Replicas that could still stay on each node."""
        homes = self.stays.get(int(self.problem.block_class[block]))
        if homes is None:
            return None
        left = np.zeros(self.problem.nodes, np.int64)
        for node, replicas in homes.items():
            left[node] = max(replicas - self.x.get(block, {}).get(node, 0), 0)
        return left

    # -- changes ---------------------------------------------------------------------------------

    def move(self, block: int, nodes: IntArray, number: IntArray) -> None:
        """Put replicas of a block on distinct nodes, or take them off again (negative numbers)."""
        k = int(self.problem.block_class[block])
        homes = self.stays.get(k, {})
        arriving = number.copy()
        for i, (node, more) in enumerate(zip(nodes.tolist(), number.tolist(), strict=True)):
            here = self.x.get(block, {}).get(node, 0)
            staying = homes.get(node, 0)
            arriving[i] = max(here + more - staying, 0) - max(here - staying, 0)
            self.hold(block, node, here + more)
        for link in self.links:
            parts, placed = link.parts_of(k), link.placed
            reach = self._reach(link, block, nodes, None) if parts else None
            if reach is None:
                continue
            at, step = reach
            total = step * (arriving if placed.arrivals_only else number)[at]
            domain = placed.domain[nodes[at]]
            for part in parts if total.any() else ():
                self._spend(link.tracked, link.add(part * placed.domains + domain, total))

    def settle(self, block: IntArray, node: IntArray, number: IntArray) -> None:
        """Put replicas on nodes, each pair once; nothing else is placed yet."""
        for b, n, k in zip(block.tolist(), node.tolist(), number.tolist(), strict=True):
            self.hold(b, n, k)
        homes = [self.stays.get(k, {}) for k in self.problem.block_class[block].tolist()]
        staying = [home.get(n, 0) for home, n in zip(homes, node.tolist(), strict=True)]
        arriving = np.maximum(number - np.array(staying, np.int64), 0)
        row, at = self.problem.block_row[block], self.problem.node_classes.node[node]
        for link in self.links:
            placed = link.placed
            counted = arriving if placed.arrivals_only else number
            amount = placed.coefficient.at(row, at) * placed.scale * counted
            amount = np.where(placed.domain[node] >= 0, amount, 0)
            index, part = self._parts(link, self.problem.block_class[block])
            used = np.flatnonzero(amount[index])
            index, part = index[used], part[used]
            position = part * placed.domains + placed.domain[node[index]]
            self._spend(link.tracked, link.add(position, amount[index]))

    def _parts(self, link: Link, task_class: IntArray) -> tuple[IntArray, IntArray]:
        """Parts of many classes, as pairs of an index into these and a part."""
        member = link.placed.membership
        every = np.arange(task_class.size, dtype=np.int64)
        if member is None:
            return every, np.zeros_like(every)
        low, size = link.parts[task_class], np.diff(link.parts)[task_class]
        index = np.repeat(every, size)
        within = numbered(size)
        return index, member.part[low[index] + within]

    def contributors(self, tracked: Tracked, owner: int) -> list[Contributor]:
        """All replicas that add to one j of a term; of an implication, those that imply."""
        found: list[Contributor] = []
        aggregates = tracked.aggregates(owner)
        together = tracked.term.beside is not None and tracked.blocks
        relief: dict[tuple[int, int], int] = {}
        for link in self.links:
            if link.tracked is tracked:
                index = aggregates[link.beside]
                part, domain = np.divmod(index, link.placed.domains)
                own = self._contributors(link, np.unique(part), np.unique(domain))
                found += own
                for c in own if together else ():
                    change, _ = link.change(c.index, np.full(c.index.size, -c.amount))
                    where = c.block, c.node
                    relief[where] = relief.get(where, 0) - int(change.sum())
        if not together:
            return found
        # What a replica takes with it, of the aggregates and of those beside.
        none = np.zeros(0, np.int64)
        return [Contributor(b, n, amount, none) for (b, n), amount in relief.items()]

    def _contributors(self, link: Link, parts: IntArray, domains: IntArray) -> list[Contributor]:
        """Replicas that add to some parts and domains of a link."""
        placed, problem = link.placed, self.problem
        inside = np.isin(placed.domain, domains)
        if placed.membership is None:
            nodes = np.flatnonzero(inside).tolist()
            pairs = [(b, n) for n in nodes for b in self.blocks_on.get(n, ())]
        else:
            classes = np.unique(
                placed.membership.task_class[np.isin(placed.membership.part, parts)]
            )
            held = [b for k in classes.tolist() for b in self.blocks_of(k) if b in self.x]
            pairs = [(b, n) for b in held for n in self.x[b] if inside[n]]
        if not pairs:
            return []
        block, node = np.array(sorted(pairs), np.int64).T
        row, at = problem.block_row[block], problem.node_classes.node[node]
        amount = placed.coefficient.at(row, at) * placed.scale
        known = set(parts.tolist())
        found = []
        for b, n, a in zip(block.tolist(), node.tolist(), amount.tolist(), strict=True):
            if a and self._counts(placed, b, n):
                mine = known.intersection(link.parts_of(int(problem.block_class[b])))
                at_index = [p * placed.domains + int(placed.domain[n]) for p in sorted(mine)]
                found.append(Contributor(b, n, a, np.array(at_index, np.int64)))
        return found

    def blocks_of(self, task_class: int) -> list[int]:
        """Blocks of a class."""
        choices = slice(self.first[task_class], self.first[task_class + 1])
        spots, blocks = self.problem.spots, set(self.problem.choice_block[choices].tolist())
        for shape in set(spots.of_choice[choices].tolist()) - {-1}:
            here = slice(spots.first[shape], spots.first[shape + 1])
            blocks.update(self.problem.spot_block[here].tolist())
        return sorted(blocks - {-1})

    def _counts(self, placed: Placed, block: int, node: int) -> bool:
        """Whether a replica adds to a contribution: those that stay do not arrive."""
        if not placed.arrivals_only:
            return True
        homes = self.stays.get(int(self.problem.block_class[block]), {})
        return self.x[block][node] > homes.get(node, 0)

    def choose(self, choice: int, count: int, spot: int = -1) -> None:
        """Count tasks that run in a row (gangs in a spot), or no longer do."""
        self.y[choice] += count
        if spot >= 0:
            self.w[spot] += count
        k = int(self.problem.choice_class[choice])
        self.left[k] -= count
        row = self.problem.choice_row[choice]
        for tracked, term in zip(self.tracked, self.terms, strict=True):
            for chosen in term.family.chosen:
                amount = int(chosen.coefficient[row]) * count
                for part in self._chosen_parts(chosen, k) if amount else ():
                    self._spend(tracked, tracked.add(np.array([part]), np.array([amount])))

    def _chosen_parts(self, chosen: Chosen, k: int) -> list[int]:
        member = chosen.membership
        if member is None:
            return [0]
        low, high = np.searchsorted(member.task_class, [k, k + 1])
        return [int(part) for part in member.part[low:high]]

    def hold(self, block: int, node: int, number: int) -> None:
        """Say how many replicas of a block are on a node; they are counted elsewhere."""
        if number:
            self.x.setdefault(block, {})[node] = number
            self.blocks_on.setdefault(node, set()).add(block)
        elif self.x.get(block, {}).pop(node, None):
            self.blocks_on[node].discard(block)

    def _spend(self, tracked: Tracked, change: int) -> None:
        if tracked.limited >= 0:
            self.spent[tracked.limited] += tracked.factor * change


def _limit(changes: Changes, view: View) -> None:
    """Lower the room by a rule."""
    left, change = changes.left, changes.change
    room = view.room[changes.at]
    room = np.where(change > 0, np.minimum(room, left // np.maximum(change, 1)), room)
    view.room[changes.at] = room


def _press(changes: Changes, view: View) -> None:
    """Add how much of a rule one replica uses, and would use too much."""
    bound, change, at = changes.bound, changes.change, changes.at
    grows, size = change > 0, np.maximum(bound, 1)
    view.use[at] += np.where(grows, change / size, 0)
    over = np.maximum(change - changes.left, 0) / size
    # Where it breaks the rule alone, nothing is gained by clearing the place.
    over = np.where(change > np.maximum(bound, 0), np.inf, over)
    view.overload[at] += np.where(grows, over, 0.0)


def _weigh(changes: Changes, view: View, draws: IntArray) -> None:
    """Add what one replica changes in a term to the keys and to what limits on goals hold."""
    tracked, at = changes.tracked, changes.at
    effect = tracked.effect(changes.change, changes.owner)
    if tracked.rule:
        view.keys[0][at] += effect
    if tracked.limited >= 0:
        draws[tracked.limited, at] += tracked.factor * effect
    for level, weight in tracked.levels:
        view.keys[level + 1][at] += weight * effect
