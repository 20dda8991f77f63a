"""The laws of goals: what every instance must satisfy, whatever its policies are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

import numpy as np
from generate import shuffled
from numpy.typing import NDArray
from solving import (
    ENGINES,
    JOB,
    LONG,
    NotSolved,
    evaluate,
    finished,
    minimise_fixed,
    minimise_relaxed,
)
from space import Space, space_of

from optalloc.engines.protocol import Bound, Incumbent, Message
from optalloc.formulation.encoding import Encoding, encode, encode_metric, encode_term
from optalloc.formulation.evaluating import Evaluator
from optalloc.formulation.loads import in_use
from optalloc.formulation.model import Form, Linear, Model, Side
from optalloc.formulation.problem import Problem
from optalloc.formulation.shapes import UnsupportedSide
from optalloc.formulation.translating import from_placement, to_placement
from optalloc.instance.model import Instance
from optalloc.instance.placement import Placement
from optalloc.objective import read_objective
from optalloc.verify import Report, verify
from optalloc.verify.facts import Facts

IntArray = NDArray[np.int64]
Values = tuple[int, ...]
FORMS: tuple[Form, ...] = ("milp", "cpsat")
SAMPLES = 3
"""Placements at which the formulation is compared with the checker."""


@dataclass(frozen=True)
class Scored:
    """A placement and what the checker says of it; levels so that less is better."""

    placement: Placement
    report: Report
    levels: Values


class Case:
    """An instance with everything that only the checker is needed for."""

    def __init__(self, instance: Instance, seed: int = 0) -> None:
        self.instance = instance
        self.objective = read_objective(instance)
        self.seed = seed

    def score(self, placement: Placement) -> Scored:
        report = verify(self.instance, placement, self.objective)
        signs = [1 if level.sense == "min" else -1 for level in self.objective.levels]
        levels = [level.value(report.values) for level in self.objective.levels]
        return Scored(placement, report, tuple(s * v for s, v in zip(signs, levels, strict=True)))

    @cached_property
    def space(self) -> Space:
        return space_of(self.instance)

    @cached_property
    def scored(self) -> list[Scored]:
        """Brute force: every placement."""
        return [self.score(placement) for placement in self.space]

    @cached_property
    def feasible(self) -> list[Scored]:
        return [scored for scored in self.scored if scored.report.feasible]

    @cached_property
    def best(self) -> Values | None:
        """The best levels over all placements, None where none is feasible."""
        return min((scored.levels for scored in self.feasible), default=None)

    @cached_property
    def samples(self) -> list[Scored]:
        """Some placements of any kind and some feasible ones."""
        rng = Random(self.seed)
        good = rng.sample(self.feasible, min(len(self.feasible), SAMPLES))
        return good + rng.sample(self.scored, min(len(self.scored), SAMPLES))


class Formulated:
    """A case with its formulation; made anew whenever that may have changed."""

    def __init__(self, case: Case, merge: bool = True) -> None:
        self.case = case
        self.problem = Problem(case.instance, case.objective, merge)
        self._encodings: dict[Form, Encoding] = {}

    def encoding(self, form: Form) -> Encoding:
        if form not in self._encodings:
            self._encodings[form] = encode(self.problem, form)
        return self._encodings[form]

    @cached_property
    def bare(self) -> dict[Form, Encoding]:
        """Decision columns without any row."""
        encoding = self.encoding("milp")
        decided = encoding.decisions
        answer = {}
        for form in FORMS:
            model = Model(form)
            model.add_columns(
                encoding.model.lower[:decided], encoding.model.upper[:decided], decided
            )
            answer[form] = replace(encoding, model=model)
        return answer

    @cached_property
    def decided(self) -> int:
        """Number of columns x and y."""
        return self.bare["milp"].model.columns

    @cached_property
    def translated(self) -> list[tuple[IntArray, Scored]]:
        """Columns x and y of the samples, and the placements that they stand for."""
        return list(self._translations())

    def _translations(self) -> Iterator[tuple[IntArray, Scored]]:
        encoding = self.encoding("milp")
        for sample in self.case.samples:
            values = from_placement(encoding, sample.placement)
            if values is None:
                assert self.splits or not sample.report.feasible, "no columns for what is allowed"
                continue
            if self.merges_nodes and self.overloaded(sample):
                continue  # No way to deal it out.
            scored = self.case.score(to_placement(encoding, values))
            if not self.merges_nodes:
                assert scored.report.values == sample.report.values, "there and back"
                assert scored.report.feasible == sample.report.feasible, "there and back"
            elif sample.report.feasible:
                assert scored.report.feasible, "a feasible placement's merged form is feasible"
                pairs = zip(scored.levels, sample.levels, strict=True)
                assert all(a <= b for a, b in pairs), "no worse where nodes are merged"
            yield values[: self.decided], scored

    def overloaded(self, scored: Scored) -> bool:
        """Whether a hard capacity is exceeded."""
        objective, columns = self.case.objective, self.problem.columns
        pairs = zip(objective.labels, objective.policies, strict=True)
        rules = {label for label, policy in pairs if policy.caps(columns)}
        return any(v.rule in rules for v in scored.report.violations)

    @property
    def merges_nodes(self) -> bool:
        """Whether replicas are dealt out to the nodes afterwards."""
        merged = bool(np.any(self.problem.node_classes.count > 1))
        return merged or self.problem.nesting is not None

    @property
    def merges(self) -> bool:
        tasks = self.problem.task_classes
        return self.merges_nodes or tasks.task.size < tasks.of_task.size

    @property
    def splits(self) -> bool:
        of_task = self.problem.task_classes.of_task
        return bool(of_task.size > np.unique(of_task).size)


def _first_hard(report: Report) -> str:
    return next(violation.message for violation in report.violations if violation.hard)


def _minimal(levels: list[Linear]) -> Linear:
    """The sum of the levels."""
    total = Linear.of_constants(np.zeros(1, np.int64))
    for level in levels:
        total = total.plus(level)
    return total


# -- the laws ----------------------------------------------------------------------------------


def own_arithmetic_is_the_checkers(formulated: Formulated) -> None:
    """The formulation's value of every policy is the checker's, at any placement."""
    encoding = formulated.encoding("milp")
    for values, scored in formulated.translated:
        evaluator = Evaluator(encoding, values)
        for i, metric in formulated.problem.metrics.items():
            label = formulated.case.objective.labels[i]
            assert evaluator.metric(metric) == scored.report.values[i], label


def obligations_are_the_limits(formulated: Formulated) -> None:
    """What is said of a limit that tasks bring about is how it stands with all tasks there."""
    for metric in formulated.problem.metrics.values():
        for _, term in metric.terms:
            if term.obligation is not None and term.limit is not None:
                obligation, member = term.obligation, term.obligation.membership
                must = np.zeros(term.owners, bool)
                must[member.part[formulated.problem.class_required[member.task_class]]] = True
                number, whole = obligation.number, obligation.whole
                assert np.array_equal(term.limit.bound, np.where(must, number, 0))
                assert np.array_equal(term.factor[whole], np.where(must, 0, -number))
                assert np.array_equal(term.owner[whole], np.arange(term.owners))
                assert np.all(number > 0)


def metrics_are_exact(formulated: Formulated, form: Form) -> None:
    """With x and y fixed, every policy encodes to its value on every side that it has.

    The smallest value of the `over` side, the largest of `under`, both of `exact`. Only placements
    within hard capacities are asked for, since encodings may rely on those.
    """
    kept = [
        (values, scored)
        for values, scored in formulated.translated
        if not formulated.overloaded(scored)
    ]
    if not kept:
        return
    bare = formulated.bare[form]
    model = Model(form)
    model.add_columns(bare.model.lower, bare.model.upper, formulated.decided)
    encoding = Encoding(formulated.problem, model, bare.y_of_choice, bare.w_of_spot, bare.pairs)
    encoded: list[tuple[int, str, Linear]] = []
    goal = Linear.of_constants(np.zeros(1, np.int64))
    sides: tuple[tuple[Side, int], ...] = (("over", 1), ("under", -1), ("exact", 1), ("exact", -1))
    for i, metric in formulated.problem.metrics.items():
        for side, sign in sides:
            try:
                value = encode_metric(encoding, metric, side)
            except UnsupportedSide:
                assert side != "over", "what is minimised can always be encoded"
                continue
            encoded.append((i, f"{formulated.case.objective.labels[i]} {side} {sign}", value))
            goal = goal.plus(value.scaled(sign))
    columns = minimise_fixed(encoding, goal, np.array([values for values, _ in kept]))
    assert columns is not None, "values can be attained at any placement"
    for i, label, value in encoded:
        truth = [scored.report.values[i] for _, scored in kept]
        assert evaluate(value, columns)[:, 0].tolist() == truth, label


def models_are_exact(formulated: Formulated, form: Form) -> None:
    """With x and y fixed, the model is feasible where the checker says so, with its levels."""
    encoding = formulated.encoding(form)
    goal = _minimal(encoding.model.levels)
    good = [(v, s) for v, s in formulated.translated if s.report.feasible]
    if good:
        columns = minimise_fixed(encoding, goal, np.array([values for values, _ in good]))
        assert columns is not None, "what the checker accepts is feasible"
        for k, level in enumerate(encoding.model.levels):
            found = evaluate(level, columns)[:, 0].tolist()
            assert found == [scored.levels[k] for _, scored in good], f"level {k}"
    bad = [(v, s) for v, s in formulated.translated if not s.report.feasible]
    for values, scored in bad[:2]:
        columns = minimise_fixed(encoding, goal, values[None, :])
        assert columns is None, _first_hard(scored.report)


def optima_are_the_best(formulated: Formulated, form: Form) -> None:
    """Free optima are brute force's, bounds never above them, and every answer is accepted."""
    case, encoding = formulated.case, formulated.encoding(form)
    incumbents: list[Scored] = []
    bounds: list[Bound] = []

    def emit(message: Message) -> None:
        if isinstance(message, Incumbent):
            incumbents.append(case.score(to_placement(encoding, message.values)))
        elif isinstance(message, Bound):
            bounds.append(message)

    ended = _run(encoding, form, emit)
    if ended == "infeasible":
        assert case.best is None, "infeasible although a placement is accepted"
        return
    for incumbent in incumbents:
        assert incumbent.report.feasible, _first_hard(incumbent.report)
    assert case.best is not None, "an answer although none is accepted"
    assert ended == "optimal", ended
    assert min(s.levels for s in incumbents) == case.best, "the best placement is found"
    for bound in bounds:
        if bound.given == case.best[: bound.level]:
            assert bound.value <= case.best[bound.level], "a bound lies above a placement"
    last = bounds[-1] if bounds else None
    assert last is None or last.level < len(case.best) - 1 or last.value == case.best[last.level]


def _run(encoding: Encoding, form: Form, emit: Callable[[Message], None]) -> str:
    model = finished(encoding)
    session = ENGINES[form].open(model, JOB)
    given: list[int] = []
    for level in range(model.levels):
        result = session.minimise(level, given, LONG, emit)
        if result.ended == "infeasible" and level == 0:
            return "infeasible"
        if result.ended != "optimal" or result.values is None:
            raise NotSolved(f"level {level} ended with {result.ended}")
        given.append(model.level_value_at(level, result.values))
    return "optimal"


def any_solution_expands(formulated: Formulated, form: Form) -> None:
    """Whatever solution of the model expands to an accepted placement, which it represents."""
    encoding, case = formulated.encoding(form), formulated.case
    weight = np.random.default_rng(case.seed).integers(-9, 10, formulated.decided)
    every = np.arange(formulated.decided, dtype=np.int64)
    none = np.zeros(1, np.int64)
    goal = Linear(none, np.zeros(formulated.decided, np.int64), every, weight)
    columns = minimise_fixed(encoding, goal, np.zeros((1, 0), np.int64))
    if columns is None:
        return
    placement = to_placement(encoding, columns[0])
    scored = case.score(placement)
    assert scored.report.feasible, _first_hard(scored.report)
    again = from_placement(encoding, placement)
    assert again is not None or formulated.splits, "it has columns"
    if again is not None:
        fixed = again[None, : formulated.decided]
        columns = minimise_fixed(encoding, _minimal(encoding.model.levels), fixed)
        assert columns is not None, "its columns are feasible"
        levels = [int(evaluate(level, columns)[0, 0]) for level in encoding.model.levels]
        assert tuple(levels) == scored.levels, "and worth the same"


def relaxations_are_strong(formulated: Formulated) -> None:
    """The MILP's relaxation is worth at least what the formulation promises.

    A node counts as used at least by the share of any capped resource that its load takes, and a
    row's replicas on a node are at most those that fit there, times the part of it that is chosen.
    """
    _nodes_count_by_their_loads(formulated)
    _gangs_need_room(formulated)


def _nodes_count_by_their_loads(formulated: Formulated) -> None:
    problem = formulated.problem
    if formulated.merges_nodes:
        return
    term = in_use(problem, np.ones(problem.columns.nodes, np.int64))
    for values, scored in formulated.translated:
        facts = Facts(formulated.case.instance, scored.placement)
        shares = [
            facts.load[:, r] / np.maximum(facts.capacity[:, r], 1) for r in problem.hard_resources
        ]
        if not shares or np.any(np.array(shares) > 1):
            continue
        model = Model("milp")
        bare = formulated.bare["milp"]
        model.add_columns(bare.model.lower, bare.model.upper, formulated.decided)
        encoding = Encoding(problem, model, bare.y_of_choice, bare.w_of_spot, bare.pairs)
        goal = encode_term(encoding, term, "over")
        columns = minimise_relaxed(encoding, goal, values.astype(float))
        found = goal.constant[0] + (goal.value * columns[goal.column]).sum()
        assert found > np.max(shares, axis=0).sum() - 1e-6, "loads count"


def _gangs_need_room(formulated: Formulated) -> None:
    problem, encoding = formulated.problem, formulated.encoding("milp")
    pairs, classes = problem.pairs, problem.task_classes
    open_pairs = [
        k
        for k, b in enumerate(pairs.block.tolist())
        if classes.count[problem.block_class[b]] == 1 and not problem.fixed[problem.block_class[b]]
    ]
    for k in Random(formulated.case.seed).sample(open_pairs, min(len(open_pairs), 3)):
        choices = np.flatnonzero(problem.choice_block == pairs.block[k])
        spots = np.flatnonzero(problem.spot_block == pairs.block[k])
        sizes = problem.spots.size[problem.spots.shape[spots]]
        fits = np.concatenate([problem.choice_replicas[choices], sizes])
        fits = np.minimum(fits, pairs.upper[k])
        column = np.concatenate([encoding.y_of_choice[choices], encoding.w_of_spot[spots], [k]])
        value = np.append(fits, -1)
        goal = Linear(np.zeros(1, np.int64), np.zeros(column.size, np.int64), column, value)
        try:
            columns = minimise_relaxed(encoding, goal, np.zeros(0))
        except NotSolved:
            return  # The relaxation is infeasible.
        assert (value * columns[column]).sum() > -1e-6, "a gang needs room"


def order_does_not_matter(case: Case, form: Form) -> None:
    """Stating tasks, nodes, groups and configurations in another order changes no optimum."""
    other = Case(shuffled(case.instance, Random(case.seed)), case.seed)
    other.best = case.best
    optima_are_the_best(Formulated(other), form)


def check(case: Case) -> None:
    """Check every law on one case."""
    merged = Formulated(case)
    check_fixed(merged)
    relaxations_are_strong(merged)
    for form in FORMS:
        optima_are_the_best(merged, form)
    form = FORMS[case.seed % 2]
    any_solution_expands(merged, form)
    if merged.merges:
        apart = Formulated(case, merge=False)
        own_arithmetic_is_the_checkers(apart)
        models_are_exact(apart, form)
        optima_are_the_best(apart, form)
    if case.seed % 8 == 0:
        order_does_not_matter(case, form)


def check_fixed(formulated: Formulated) -> None:
    """Check the laws that need no search."""
    obligations_are_the_limits(formulated)
    own_arithmetic_is_the_checkers(formulated)
    for form in FORMS:
        metrics_are_exact(formulated, form)
        models_are_exact(formulated, form)


def check_briefly(case: Case) -> None:
    """Check what tells most mutants, the cheapest first."""
    formulated = Formulated(case)
    check_fixed(formulated)
    relaxations_are_strong(formulated)
    optima_are_the_best(formulated, "milp")
    any_solution_expands(formulated, "milp")
