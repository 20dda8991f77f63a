"""Sums of excesses over the dense dimensions of a node, on several numbers at a time.

Written as vector instructions, because compilers gather such short rows number by number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from optalloc.engines.local.tables import WIDTH

LANES = 8
"""Candidates that are looked at side by side."""


class _Rows:
    """Emits loads and stores of parts of rows, so many numbers at a time, and sums of excesses."""

    def __init__(self, context: Any, builder: Any, types_: Any, arguments: Any, many: int) -> None:
        self.context, self.builder = context, builder
        self.types, self.arguments = types_, arguments
        self.many, self.numbers = many, ir.VectorType(ir.DoubleType(), many)
        self.none = ir.Constant(self.numbers, [0.0] * many)

    def start(self, array: int, offset: Any = None) -> Any:
        """Pointer to an item of an argument that is an array."""
        made = self.context.make_array(self.types[array])(
            self.context, self.builder, self.arguments[array]
        )
        return made.data if offset is None else self.builder.gep(made.data, [offset])

    def load(self, row: Any, at: Any) -> Any:
        """Numbers of a row from a place on."""
        place = self.builder.bitcast(self.builder.gep(row, [at]), self.numbers.as_pointer())
        return self.builder.load(place, align=8)

    def store(self, numbers: Any, row: Any, at: Any) -> None:
        """Put numbers into a row from a place on."""
        place = self.builder.bitcast(self.builder.gep(row, [at]), self.numbers.as_pointer())
        self.builder.store(numbers, place, align=8)

    def every(self, number: Any) -> Any:
        """The same number in all places."""
        numbers = ir.Constant(self.numbers, ir.Undefined)
        for i in range(self.many):
            numbers = self.builder.insert_element(numbers, number, ir.Constant(ir.IntType(32), i))
        return numbers

    def add_excess(self, total: Any, weight: Any, beyond: Any) -> None:
        """``total += weight * max(0, beyond)``."""
        positive = self.builder.fcmp_ordered(">", beyond, self.none)
        above = self.builder.select(positive, beyond, self.none)
        self.builder.store(
            self.builder.fadd(self.builder.load(total), self.builder.fmul(weight, above)), total
        )

    def zero(self) -> Any:
        """Room for sums."""
        place = cgutils.alloca_once(self.builder, self.numbers)
        self.builder.store(self.none, place)
        return place

    def sum(self, total: Any) -> Any:
        """The sum of all numbers of a vector."""
        numbers = self.builder.load(total)
        parts = [
            self.builder.extract_element(numbers, ir.Constant(ir.IntType(32), i))
            for i in range(self.many)
        ]
        while len(parts) > 1:
            parts = [self.builder.fadd(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]


_PAIR = types.UniTuple(types.float64, 2)


def _excesses(
    _context: Any,
    size: Any,
    into: Any,
    out: Any,
    room: Any,
    at: Any,
    rho: Any,
    weight: Any,
    width: Any,
) -> Any:
    """What a node's dimensions cost after a change, without making it.

    ``sum(rho * max(0, size[into] - size[out] - cap)), sum(weight * max(0, ... - threshold))``,
    where `into` and `out` are the places of rows in `size`, and `at` that of the node's rows of
    `room`: the room below the caps, and below the thresholds behind it.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows = _Rows(context, builder, signature.args, arguments, WIDTH)
        _, into, out, _, at, _, _, width = arguments
        coming, going = rows.start(0, into), rows.start(0, out)
        cap, threshold = rows.start(3, at), rows.start(3, builder.add(at, width))
        rho, weight = rows.start(5), rows.start(6)
        over, cost = rows.zero(), rows.zero()
        with _each(builder, width) as (d, _):
            change = builder.fsub(rows.load(coming, d), rows.load(going, d))
            rows.add_excess(over, rows.load(rho, d), builder.fsub(change, rows.load(cap, d)))
            below = rows.load(threshold, d)
            rows.add_excess(cost, rows.load(weight, d), builder.fsub(change, below))
        return context.make_tuple(builder, _PAIR, (rows.sum(over), rows.sum(cost)))

    return _PAIR(size, types.intp, types.intp, room, types.intp, rho, weight, types.intp), build


def _shrink(
    _context: Any,
    size: Any,
    row: Any,
    sign: Any,
    room: Any,
    at: Any,
    rho: Any,
    weight: Any,
    width: Any,
) -> Any:
    """Take a row of sizes, times a sign, from a node's room; what its dimensions cost then."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows = _Rows(context, builder, signature.args, arguments, WIDTH)
        _, row, sign, _, at, _, _, width = arguments
        change = rows.start(0, row)
        signs = rows.every(sign)
        limits = rows.start(3, at), rows.start(3, builder.add(at, width))
        totals = rows.zero(), rows.zero()
        with _each(builder, width) as (d, _):
            size = builder.fmul(signs, rows.load(change, d))
            for limit, total, array in zip(limits, totals, (5, 6), strict=True):
                left = builder.fsub(rows.load(limit, d), size)
                rows.store(left, limit, d)
                below = builder.fsub(rows.none, left)
                rows.add_excess(total, rows.load(rows.start(array), d), below)
        return context.make_tuple(builder, _PAIR, tuple(rows.sum(total) for total in totals))

    return _PAIR(size, types.intp, types.float64, room, types.intp, rho, weight, types.intp), build


def _of_lanes(lines: bool) -> Any:
    """Make the sums of `LANES` candidates side by side; see `lane_rooms` and `lane_changes`."""

    def sums(
        _context: Any,
        change: Any,
        at: Any,
        room: Any,
        start: Any,
        rho: Any,
        weight: Any,
        width: Any,
        found: Any,
    ) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            rows = _Rows(context, builder, signature.args, arguments, LANES)
            _, at, _, start, _, _, width, _ = arguments
            lane = ir.Constant(width.type, LANES)
            change, cap = rows.start(0, at), rows.start(2, start)
            behind = width if lines else builder.mul(width, lane)
            threshold = builder.gep(cap, [behind])
            over, cost = rows.zero(), rows.zero()

            def one(row: Any, d: Any) -> Any:
                return rows.every(builder.load(builder.gep(row, [d])))

            def line(row: Any, d: Any) -> Any:
                return rows.load(row, builder.mul(d, lane))

            of_change, of_limit = (line, one) if lines else (one, line)
            with cgutils.for_range(builder, width) as loop:
                d = loop.index
                coming = of_change(change, d)
                for total, limit, price in ((over, cap, 4), (cost, threshold, 5)):
                    beyond = builder.fsub(coming, of_limit(limit, d))
                    rows.add_excess(total, one(rows.start(price), d), beyond)
            for number, total in enumerate((over, cost)):
                place = ir.Constant(width.type, number * LANES)
                rows.store(builder.load(total), rows.start(7), place)
            return context.get_dummy_value()

        place = types.intp
        return types.none(change, place, room, place, rho, weight, place, found), build

    return intrinsic(sums)


Sums = Callable[..., tuple[float, float]]
excesses = cast(Sums, intrinsic(_excesses))
shrink = cast(Sums, intrinsic(_shrink))
lane_rooms = cast(Callable[..., None], _of_lanes(lines=False))
"""Excesses of a change where the limits differ from lane to lane.

``sum over d of rho[d] * max(0, change[at + d] - room[start + d * LANES + lane])`` is written to
``found[lane]``, the same of `weight` and the lines behind the first `width` to
``found[LANES + lane]``.
"""
lane_changes = cast(Callable[..., None], _of_lanes(lines=True))
"""Excesses at the same limits where changes differ from lane to lane.

``sum over d of rho[d] * max(0, change[at + d * LANES + lane] - room[start + d])``, and the same of
`weight` and the rooms behind the first `width`, written as by `lane_rooms`.
"""


def _each(builder: Any, width: Any) -> Any:
    """Open a loop over the places of a row, `WIDTH` at a time."""
    start, step = (ir.Constant(width.type, value) for value in (0, WIDTH))
    return cgutils.for_range_slice(builder, start, width, step, inc=True)
