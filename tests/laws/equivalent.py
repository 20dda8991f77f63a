"""Mutants that change nothing that an answer could show, and why."""

from __future__ import annotations

ANY_MARK = "any negative number marks a choice without a column"
EITHER = "for CP-SAT both encodings are exact; which one is faster is not a matter of these laws"
EMPTY = "a group without members adds nothing but a zero that changes neither sum nor maximum"
INTEGER = "a column that is tied to integers takes integer values anyway"
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
}
"""Reason by function, line and change."""
