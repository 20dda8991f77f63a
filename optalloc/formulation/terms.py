"""Terms: ``outer over j of (reduce over k in j of factor * shape(y_k)) + b_j``.

The ``y`` are aggregates; the ``b`` are the sums of another term, where there is one beside.

Aggregates come in families: linear functions of the decisions, one per (part, domain), where a
part is a set of tasks (a group, a task, all) and a domain a set of nodes. Their coefficients stay
factored; nothing here knows a solver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optalloc.formulation.shapes import Identity, Shape
from optalloc.instance.factored import Factored

IntArray = NDArray[np.int64]
Fold = Literal["sum", "max", "min"]


@dataclass(frozen=True)
class Membership:
    """Which parts each task class belongs to, as pairs sorted by class.

    Parameters
    ----------
    parts
        Number of parts.
    task_class, part : (pairs,)
        The pairs.
    """

    parts: int
    task_class: IntArray
    part: IntArray


@dataclass(frozen=True)
class Placed:
    """Contribution of placed replicas: ``scale * coefficient(row, node)`` each.

    Parameters
    ----------
    coefficient
        By (row, node) of the instance's columns.
    domain : (nodes,)
        Domain of each node of the problem; -1 for none.
    domains
        Number of domains.
    membership
        Parts of the task classes; None puts all of them into one part.
    scale
        Multiplies the coefficient.
    arrivals_only
        Replicas that stay where they run now contribute nothing.
    """

    coefficient: Factored
    domain: IntArray
    domains: int
    membership: Membership | None = None
    scale: int = 1
    arrivals_only: bool = False


@dataclass(frozen=True)
class Chosen:
    """Contribution of choices: ``coefficient[row]`` for each task that runs in the row.

    Parameters
    ----------
    coefficient : (rows,)
        By row of the instance's columns.
    membership
        Parts of the task classes; None puts all of them into one part.
    """

    coefficient: IntArray
    membership: Membership | None = None


@dataclass(frozen=True)
class Family:
    """Aggregates ``y[part * domains + domain] = constant + sum of contributions``.

    Parameters
    ----------
    constant : (size,)
        Constant of each aggregate.
    placed, chosen
        Contributions. One of `chosen` goes to the aggregate ``part`` (so with it, domains is 1).
    """

    constant: IntArray
    placed: tuple[Placed, ...] = ()
    chosen: tuple[Chosen, ...] = ()

    @property
    def size(self) -> int:
        """Number of aggregates."""
        return int(self.constant.size)


@dataclass(frozen=True)
class Limit:
    """A rule on each j: ``reduce_j <= bound_j`` or ``>=``; the term's value is the violation."""

    sense: Literal["at_most", "at_least"]
    bound: IntArray


@dataclass(frozen=True)
class Obligation:
    """A limit from below that tasks bring about: in full by one that must be placed.

    Where a task of part j must be placed, ``number[j]`` is the bound of j and aggregate
    ``whole[j]`` counts nothing; else the bound is 0 and the aggregate counts ``-number[j]``.

    Parameters
    ----------
    membership
        Task classes by owner.
    number, whole : (owners,)
        What each owner wants, and the aggregate that says whether anything of it is placed.
    """

    membership: Membership
    number: IntArray
    whole: IntArray


@dataclass(frozen=True)
class Linked:
    """A valid inequality for indicator shapes: ``family[k] <= capacity[k] * shape_k``."""

    family: Family
    capacity: IntArray


@dataclass(frozen=True)
class Term:
    """One term of a goal; see the module's formula.

    Parameters
    ----------
    family
        The aggregates.
    shape
        Applied to them; a shape of two places takes the first and the second half of the family.
    factor : (k,)
        Multiplies each shape's value.
    owner : (k,)
        The j of each k.
    owners
        Number of j.
    reduce, outer
        How values fold into j, and the j into one value.
    limit
        Makes the term a rule: each j is limited, and the value is the sum of the violations.
    linked
        Valid inequalities that tighten the relaxation.
    obligation
        How the limit depends on which tasks there are, if it does.
    beside
        Another term whose j are added to those of this one: a sum without a limit and with nothing
        beside it. None adds nothing.
    """

    family: Family
    shape: Shape
    factor: IntArray
    owner: IntArray
    owners: int
    reduce: Fold = "sum"
    outer: Fold = "sum"
    limit: Limit | None = None
    linked: tuple[Linked, ...] = ()
    obligation: Obligation | None = None
    beside: Term | None = None

    @property
    def sides(self) -> tuple[Term, ...]:
        """The term, and the one beside it."""
        return (self,) if self.beside is None else (self, self.beside)

    @property
    def families(self) -> tuple[Family, ...]:
        """All aggregates."""
        return tuple(side.family for side in self.sides)


@dataclass(frozen=True)
class Metric:
    """The value of a policy, in its quanta: ``constant + sum of factor * term``."""

    terms: tuple[tuple[int, Term], ...] = ()
    constant: int = 0


def each(family: Family, shape: Shape | None = None, **options: object) -> Term:
    """Make the term that sums a shape over every aggregate of a family."""
    shape = shape or Identity()
    size = family.size // shape.arity
    owner = np.arange(size, dtype=np.int64)
    return Term(family, shape, np.ones(size, np.int64), owner, size, **options)  # type: ignore[arg-type]


def single(
    constant: int = 0, placed: tuple[Placed, ...] = (), chosen: tuple[Chosen, ...] = ()
) -> Term:
    """Make the term that is one aggregate over everything."""
    return each(Family(np.array([constant], np.int64), placed, chosen))
