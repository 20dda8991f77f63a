"""Mutants that change nothing that an answer could show, and why."""

from __future__ import annotations

ANY_MARK = "any negative number marks a choice without a column"
COMBINED = "what a single part contributes has no repeated columns, nor have x and y together"
EITHER = "for CP-SAT both encodings are exact; which one is faster is not a matter of these laws"
EMPTY = "a group without members adds nothing but a zero that changes neither sum nor maximum"
EXACT = "the exact encoding serves on every side; it only is a larger one"
FLIPPED = (
    "total = total.plus(encode_term(encoding, term, _flipped(side, factor < 0)).scaled(factor))"
)
FIRST = "the first columns are replicas: none of them is a choice's"
FULL = "a home that is full once over would have to be full twice, or less than empty"
INTEGER = "a column that is tied to integers takes integer values anyway"
NO_ZERO = "no factor of a term in a metric is 0"
ONE_PART = "everything is one part in one domain: the number of domains is not used"
POSITIVE = "the aggregate is never positive, so that the column is fixed to 0 by its own bounds"
SLACK = "a valid row that never binds"

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "Excess.milp",
        "e = model.add_columns(np.maximum(low, 0), np.maximum(high, 0), y.size, integer=False)",
        "False -> True",
    ): INTEGER,
    (
        "Excess.milp",
        "gap = np.maximum(-low, 0)",
        "0 -> -1",
    ): "where the aggregate is never negative, b = 1 is forced instead of free",
    (
        "Excess.milp",
        "model.add_rows(excess.plus(b.scaled(-np.maximum(high, 0))), high=0)",
        "0 -> 1 (2)",
    ): POSITIVE,
    (
        "Excess.milp",
        "model.add_rows(excess.plus(b.scaled(-np.maximum(high, 0))), high=0)",
        "0 -> -1 (2)",
    ): "where the aggregate is never positive, b = 0 is forced instead of free",
    ("Excess.cpsat", 'if side == "over":', "Eq -> NotEq"): EITHER,
    ("Excess.cpsat", 'if side == "over":', "'over' -> 'under'"): EITHER,
    (
        "Steps.milp",
        "block = np.minimum(self.block, np.maximum(high, 1))",
        "1 -> 0",
    ): "only where the aggregate is always 0, and so are the steps by their own bounds",
    ("Steps.milp", "several = np.flatnonzero(high > block)", "Gt -> GtE"): SLACK,
    ("Steps.cpsat", "if np.any(high > self.block):", "Gt -> GtE"): EITHER,
    ("Steps.cpsat", "if np.any(high > self.block):", "Gt -> LtE"): EITHER,
    ("largest", 'if model.form == "cpsat" and side != "over":', "NotEq -> Eq"): EITHER,
    ("largest", 'if model.form == "cpsat" and side != "over":', "'over' -> 'under'"): EITHER,
    (
        "largest",
        "top = Linear.of_columns(model.add_columns(least, most, owners, integer=False))",
        "False -> True",
    ): INTEGER,
    (
        "largest",
        "model.add_rows(chosen.summed(owner, owners), low=1, high=1)",
        "1 -> 2 (2)",
    ): "choosing more members than one only limits the largest further",
    (
        "encode",
        "y_of_choice = np.full(problem.choices, -1, np.int64)",
        "1 -> 2",
    ): ANY_MARK,
    (
        "_add_choices",
        "low = np.where(problem.class_required[open_classes], count, 0)",
        "0 -> -1",
    ): "choices are not negative, so that neither is their sum",
    (
        "_in_blocks",
        "block = np.where(loose, problem.choice_block, 0)",
        "0 -> -1",
    ): "it says where to add nothing",
    (
        "_tighten_gangs",
        "tight = np.flatnonzero(single & (pairs.upper < largest_gang[pairs.block]))",
        "Lt -> LtE",
    ): SLACK,
    (
        "_shape_gangs",
        "shares = Linear.of_columns(model.add_columns(0, problem.block_tasks[block], places.size))",
        "0 -> -1",
    ): "shares times their size are replicas, which are not negative",
    (
        "_fill_homes",
        "full = Linear.of_columns(model.add_columns(0, 1, filled.size))",
        "0 -> -1",
    ): FULL,
    (
        "_fill_homes",
        "full = Linear.of_columns(model.add_columns(0, 1, filled.size))",
        "1 -> 2",
    ): FULL,
    (
        "build_assignment_cost",
        "placed = Placed(problem.columns.cost, problem.everywhere(), 1)",
        "1 -> 2",
    ): ONE_PART,
    (
        "build_assignment_cost",
        "placed = Placed(problem.columns.cost, problem.everywhere(), 1)",
        "1 -> 0",
    ): ONE_PART,
    (
        "build_response_limit",
        "room = np.maximum(np.tile(capacity, rows.size) - need, 0)",
        "Sub -> Add",
    ): SLACK,
    (
        "build_response_limit",
        "room = np.maximum(np.tile(capacity, rows.size) - need, 0)",
        "0 -> 1",
    ): SLACK,
    (
        "build_response_limit",
        "room = np.maximum(np.tile(capacity, rows.size) - need, 0)",
        "0 -> -1",
    ): "where a need is more than the capacity, the rule lets nothing that has it come anyway",
    (
        "_alike",
        "kind = np.full(columns.rows, -1, np.int64)",
        "1 -> 2",
    ): "any negative number marks a row of no kind",
    (
        "build_response_time",
        "under_way = single(placed=(Placed(policy.delays(columns), problem.everywhere(), 1),))",
        "1 -> 2",
    ): ONE_PART,
    (
        "build_response_time",
        "under_way = single(placed=(Placed(policy.delays(columns), problem.everywhere(), 1),))",
        "1 -> 0",
    ): ONE_PART,
    (
        "_metric",
        "placed=(Placed(draw.share, problem.everywhere(), 1),), chosen=(Chosen(draw.row),)",
        "1 -> 2",
    ): ONE_PART,
    (
        "_metric",
        "placed=(Placed(draw.share, problem.everywhere(), 1),), chosen=(Chosen(draw.row),)",
        "1 -> 0",
    ): ONE_PART,
    (
        "_arrivals",
        "return Placed(cost, problem.everywhere(), 1, arrivals_only=True)",
        "1 -> 2",
    ): ONE_PART,
    (
        "_arrivals",
        "return Placed(cost, problem.everywhere(), 1, arrivals_only=True)",
        "1 -> 0",
    ): ONE_PART,
    (
        "build_group_move_cost",
        "groups = groups[problem.count_per_group(groups) > 0]",
        "Gt -> GtE",
    ): EMPTY,
    (
        "build_group_move_cost",
        "groups = groups[problem.count_per_group(groups) > 0]",
        "0 -> -1",
    ): EMPTY,
    (
        "build_spread",
        "groups = groups[problem.count_per_group(groups) > 0]",
        "Gt -> GtE",
    ): EMPTY,
    (
        "build_spread",
        "groups = groups[problem.count_per_group(groups) > 0]",
        "0 -> -1",
    ): EMPTY,
    (
        "build_anti_affinity",
        "groups = groups[problem.count_per_group(groups) > policy.limit]",
        "Gt -> GtE",
    ): SLACK,
    (
        "build_spread",
        "blocks = Steps(np.repeat(np.maximum(problem.count_per_group(groups), 1), domains + 1))",
        "1 -> 2",
    ): "a block only has to be as large as the group",
    (
        "build_spread",
        "blocks = Steps(np.repeat(np.maximum(problem.count_per_group(groups), 1), domains + 1))",
        "1 -> 0",
    ): "a block only has to be as large as the group",
    (
        "expand",
        "several = len(family.placed) + len(family.chosen) > 1",
        "Gt -> GtE",
    ): COMBINED,
    (
        "expand",
        "several = len(family.placed) + len(family.chosen) > 1",
        "1 -> 0",
    ): COMBINED,
    (
        "expand",
        "several = len(family.placed) + len(family.chosen) > 1",
        "Add -> Sub",
    ): COMBINED,
    (
        "_expand_chosen",
        "part = np.full(problem.classes, -1, np.int64)",
        "1 -> 2",
    ): ANY_MARK,
    (
        "_expand_chosen",
        "return choices_of(encoding, np.where(outside, 0, value), np.where(outside, 0, row), size)",
        "0 -> -1 (2)",
    ): "what is outside has the value 0, wherever that is added",
    (
        "_Values.arrival_sides",
        'self.sides.get(i, "over")',
        "'over' -> 'under'",
    ): "rows that fill homes are valid for rules as well, which only do not need them",
    (
        "_Values._uses",
        'pushed_down = (factor > 0) == (level.sense == "min")',
        "Gt -> GtE",
    ): "no level has a policy with the factor 0",
    (
        "_Values._uses",
        'pushed_down = (factor > 0) == (level.sense == "min")',
        "0 -> -1",
    ): "factors are integers other than 0",
    (
        "add_rule",
        "binding = np.flatnonzero(high > term.limit.bound)",
        "Gt -> GtE",
    ): SLACK,
    (
        "add_rule",
        "binding = np.flatnonzero(low < term.limit.bound)",
        "Lt -> LtE",
    ): SLACK,
    (
        "encode_metric",
        FLIPPED,
        "Lt -> LtE",
    ): NO_ZERO,
    (
        "encode_metric",
        FLIPPED,
        "0 -> 1",
    ): NO_ZERO,
    (
        "_reduced",
        "mixed = bool(np.any(term.factor < 0) and np.any(term.factor > 0))",
        "Gt -> GtE",
    ): EXACT,
    (
        "_reduced",
        "mixed = bool(np.any(term.factor < 0) and np.any(term.factor > 0))",
        "Gt -> LtE",
    ): EXACT,
    (
        "_reduced",
        "mixed = bool(np.any(term.factor < 0) and np.any(term.factor > 0))",
        "0 -> -1 (2)",
    ): EXACT,
    (
        "_reduced",
        "total = total.combined() if np.unique(term.owner).size < values.size else total",
        "Lt -> LtE",
    ): COMBINED,
    (
        "_counted",
        'if counted.size == term.factor.size or term.reduce != "sum" or term.linked:',
        "Eq -> NotEq",
    ): "leaving out what counts for nothing only saves columns",
    (
        "count_gangs",
        "rows = np.flatnonzero(kind >= 0)",
        "0 -> -1",
    ): "rows that need not be counted have aggregates for nothing",
    (
        "count_gangs",
        "rank = np.full(columns.rows, -1, np.int64)",
        "1 -> 2",
    ): "any negative number marks a row without a rank",
    (
        "count_gangs",
        "start = np.searchsorted(pairs[0], np.arange(columns.tasks + 1))",
        "1 -> 2",
    ): "one start more than there are tasks is not looked at",
    (
        "_missing",
        "used = Steps(np.full(size, replicas.max(initial=1), np.int64))",
        "1 -> 2",
    ): "a block only has to be as large as a gang",
    (
        "_missing",
        "used = Steps(np.full(size, replicas.max(initial=1), np.int64))",
        "1 -> 0",
    ): "there are replicas wherever something is counted",
    ("build_portion", "if policy.least > 1:", "Gt -> GtE"): SLACK,
    ("build_portion", "if policy.least > 1:", "1 -> 0"): SLACK,
    (
        "in_use",
        "domain = np.full(problem.nodes, -1, np.int64)",
        "1 -> 2",
    ): "any negative number marks a node without a domain",
    (
        "_blocks",
        "most = max(int(problem.most_replicas.sum()), 1)",
        "1 -> 2",
    ): "a block only has to be as large as the aggregate",
    (
        "_blocks",
        "most = max(int(problem.most_replicas.sum()), 1)",
        "1 -> 0",
    ): "there are replicas wherever there are nodes to be counted",
}
"""Reason by function, line and change."""
