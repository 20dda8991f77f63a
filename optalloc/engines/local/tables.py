"""A problem as flat arrays for the compiled search.

Every replica of every task is a *slot*. A *variant* is a block, staying (``2 * block``) or
arriving (``2 * block + 1``). Terms become contributions to *quantities* (levels, then limits on
goals) and to one total of weighted violations, in five forms:

- *dense dimensions*: an aggregate per node to which every variant adds its size, with a cap (a
  rule) and a threshold above which it costs;
- *steps* of the number of replicas on a node;
- *unary* costs of a variant on a node, and of a choice;
- *needs*: rules by which populations of replicas want others in the domains where they are;
- *counters*: everything else, an aggregate per part and domain with a shape, an owner and a fold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
Int32 = NDArray[np.int32]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

WIDTH = 4
"""Dense dimensions are padded to a multiple of this, which suits the processor."""
NO_HOME, SEVERAL_HOMES = -1, -2
IDENTITY, EXCESS, STEPS, MISSING, CONVEX, PARTLY = range(6)
"""Shapes of counters."""
BASE, PARAMETER, FACTOR, OWNER = range(4)
"""Columns of `Tables.counter_row`."""


class Tables(NamedTuple):
    """The arrays; see the module. Z quantities, K classes, C choices, B blocks, N nodes.

    Parameters
    ----------
    task_class, task_slot : (tasks), (tasks + 1)
        Class and slots of each task.
    slot_task, slot_class : (slots)
        Task of each slot, and its class.
    class_required : (K)
        Whether tasks of the class must be placed.
    class_choice : (K + 1)
        Choices of each class.
    choice_block, choice_replicas : (C)
        Block and replicas of each choice.
    block_kind, block_bulk : (B), (B)
        Line of `allowed`, and size over all dense dimensions, each relative to its mean.
    block_held : (B)
        Room that is held twice while a replica is away from home, likewise.
    allowed, allow_start, allow_end, allow_node
        Mask (kinds, N), and the same as lists of nodes by kind.
    home_start, home_node, home_running
        Where replicas of each class run now, and how many.
    class_home : (K)
        The node where all replicas of a class run now, `NO_HOME`, or `SEVERAL_HOMES` if they run on
        several nodes or not all of them run.
    node_kind : (N)
        Line of `size`.
    size : (node kinds, 2 * B + 1, D)
        Sizes of the variants; the last variant is nothing.
    cap, threshold : (N, D)
        Limits of the dense dimensions; infinite where there are none.
    rho : (D)
        Weight of a unit above a cap.
    weight : (Z, D)
        What a unit above the threshold adds to each quantity, at least 0.
    base : (N, D)
        The aggregates when nothing is placed.
    step_weight, step_block : (Z, N), (N)
        What each begun block of replicas on a node adds; blocks are of size 0 where none counts.
    unary, part_quantity, part_index, part_column, part_start, part_stride, part_value
        Costs of a variant, (Z, 2 * B), and what tables add to them by node.
    choice_cost : (Z, C)
        Costs of a task in a choice.
    member_start, member_population : (B + 1), (members)
        Populations of each block. There are P of them.
    population_scope, population_start : (P), (P + 1)
        Line of `need_domain`, and first line of `State.need`.
    want_start, wanted, caller_start, caller : (P + 1), (wants), (P + 1), (wants)
        Populations that each wants, and that want it.
    need_domain : (scopes, N)
        Domain of each node; -1 for none.
    bound_start, bound_slot : (P + 1), (bonds)
        Slots of each population.
    scope_site, site_start, site_node
        First site of each scope; nodes of each site. A site is a domain of a scope.
    entry_start, entry_family, entry_base, entry_row : (B + 1), (entries), ...
        Counters that placed replicas of each block reach, and the row of the first.
    entry_stay, entry_arrive : (entries)
        What a replica that stays, or arrives, adds to them, times what the node's table says.
    entry_table, entry_map : (entries)
        Start of the table's line in `node_value`, -1 for none; line of `node_column`.
    node_value, node_column : (values), (maps, N)
        Numbers by column of a table, and the column of each node.
    chosen_start, chosen_family, chosen_base, chosen_row
        Counters that choices of each class reach, and their rows.
    family_shape, family_fold, family_plain, family_domain, family_half, family_start : (F)
        Shape; 0 where counters are summed by owner, 1 where the largest counts, -1 the smallest;
        whether it is a plain cap (its bound is the parameter); line of `domain`; pairs of a
        two-place shape; first counter. A family is one contribution to the counters of a term.
    family_row, family_width, family_idle : (F)
        First of its rows; how many counters share a row: all domains of a part, or 1; whether its
        counters are 0 and worth nothing where nothing is placed.
    domain : (maps, N)
        Domain of each node; -1 for none.
    choice_coefficient : (F, C)
        What a choice adds to the counters of a family.
    counter_total : (1)
        Number of counters.
    counter_row : (rows, 4)
        Constant, parameter of the shape (of a convex one its first bend), factor and owner of
        counters. There are millions of counters where each group has one on each node, all alike:
        they have a row a group.
    bend_load, bend_slope : (bends)
        Where convex shapes bend and by how much, those of each one after the other; infinite at
        their ends.
    fold_start, fold_counter : (owners + 1), (counters)
        Counters of each owner of which the largest or smallest counts.
    owner_term, owner_bound
        Term and limit of each owner.
    owner_number, owner_whole
        Limit of an owner as long as one of its tasks must be placed, else minus the factor of this
        counter; 0 and -1 where the limit does not depend on which tasks there are.
    obliged_start, obliged_owner : (K + 1), (pairs)
        Owners for which tasks of each class must be placed.
    term_sense, term_rho, term_weight, term_outer, term_start
        Sense of the limit (0: none); weight of a violation (0: no rule); what its value adds to
        each quantity; fold over owners; first owner.
    counter_gain : (Z)
        No move of two replicas lowers a quantity by more than this through counters.
    constant, limit : (Z)
        Constants of the quantities, and their hard upper limits (infinite for levels).
    level_count : (1)
        How many quantities are levels; all are minimised.
    """

    task_class: Int32
    task_slot: Int32
    slot_task: Int32
    slot_class: Int32
    class_required: BoolArray
    class_choice: Int32
    choice_block: Int32
    choice_replicas: Int32
    block_kind: Int32
    block_bulk: FloatArray
    block_held: FloatArray
    allowed: BoolArray
    allow_start: IntArray
    allow_end: IntArray
    allow_node: Int32
    home_start: Int32
    home_node: Int32
    home_running: Int32
    class_home: Int32
    node_kind: Int32
    size: FloatArray
    cap: FloatArray
    threshold: FloatArray
    rho: FloatArray
    weight: FloatArray
    base: FloatArray
    step_weight: FloatArray
    step_block: Int32
    unary: FloatArray
    part_quantity: Int32
    part_index: Int32
    part_column: Int32
    part_start: IntArray
    part_stride: IntArray
    part_value: FloatArray
    choice_cost: FloatArray
    member_start: Int32
    member_population: Int32
    population_scope: Int32
    population_start: Int32
    want_start: Int32
    wanted: Int32
    caller_start: Int32
    caller: Int32
    need_domain: Int32
    bound_start: Int32
    bound_slot: Int32
    scope_site: Int32
    site_start: Int32
    site_node: Int32
    entry_start: Int32
    entry_family: Int32
    entry_base: IntArray
    entry_row: IntArray
    entry_stay: FloatArray
    entry_arrive: FloatArray
    entry_table: IntArray
    entry_map: Int32
    node_value: FloatArray
    node_column: Int32
    chosen_start: Int32
    chosen_family: Int32
    chosen_base: IntArray
    chosen_row: IntArray
    family_shape: Int32
    family_fold: Int32
    family_plain: BoolArray
    family_domain: Int32
    family_half: IntArray
    family_start: IntArray
    family_row: IntArray
    family_width: IntArray
    family_idle: BoolArray
    domain: Int32
    choice_coefficient: FloatArray
    counter_total: IntArray
    counter_row: FloatArray
    bend_load: FloatArray
    bend_slope: FloatArray
    fold_start: IntArray
    fold_counter: IntArray
    owner_term: Int32
    owner_bound: FloatArray
    owner_number: FloatArray
    owner_whole: IntArray
    obliged_start: Int32
    obliged_owner: Int32
    term_sense: Int32
    term_rho: FloatArray
    term_weight: FloatArray
    term_outer: Int32
    term_start: IntArray
    counter_gain: FloatArray
    constant: FloatArray
    limit: FloatArray
    level_count: IntArray

    @property
    def levels(self) -> int:
        """Number of levels."""
        return int(self.level_count[0])

    def rows_of(self, f: int) -> FloatArray:
        """The rows of a family."""
        first, width = int(self.family_row[f]), int(self.family_width[f])
        size = int(self.family_half[f]) * (2 if self.family_shape[f] == MISSING else 1)
        return self.counter_row[first : first + size // width]

    def level_value_at(self, level: int, values: IntArray) -> int:
        """Value of a level for the choices of all tasks followed by the nodes of all slots."""
        from optalloc.engines.local.placed import totals

        return int(totals(self, values)[level])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All arrays by name."""
        return self._asdict()
