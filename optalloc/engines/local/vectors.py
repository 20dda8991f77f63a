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

_NUMBERS = ir.VectorType(ir.DoubleType(), WIDTH)


class _Rows:
    """Emits loads and stores of parts of rows, and the sum of an excess."""

    def __init__(self, context: Any, builder: Any, types_: Any, arguments: Any) -> None:
        self.context, self.builder = context, builder
        self.types, self.arguments = types_, arguments

    def start(self, array: int, offset: Any = None) -> Any:
        """Pointer to an item of an argument that is an array."""
        made = self.context.make_array(self.types[array])(
            self.context, self.builder, self.arguments[array]
        )
        return made.data if offset is None else self.builder.gep(made.data, [offset])

    def load(self, row: Any, at: Any) -> Any:
        """Numbers of a row from a place on."""
        place = self.builder.bitcast(self.builder.gep(row, [at]), _NUMBERS.as_pointer())
        return self.builder.load(place, align=8)

    def store(self, numbers: Any, row: Any, at: Any) -> None:
        """Put numbers into a row from a place on."""
        place = self.builder.bitcast(self.builder.gep(row, [at]), _NUMBERS.as_pointer())
        self.builder.store(numbers, place, align=8)

    def add_excess(self, total: Any, weight: Any, beyond: Any) -> None:
        """``total += weight * max(0, beyond)``."""
        zero = ir.Constant(_NUMBERS, [0.0] * WIDTH)
        above = self.builder.select(self.builder.fcmp_ordered(">", beyond, zero), beyond, zero)
        self.builder.store(
            self.builder.fadd(self.builder.load(total), self.builder.fmul(weight, above)), total
        )

    def zero(self) -> Any:
        """Room for a sum."""
        place = cgutils.alloca_once(self.builder, _NUMBERS)
        self.builder.store(ir.Constant(_NUMBERS, [0.0] * WIDTH), place)
        return place

    def sum(self, total: Any) -> Any:
        """The sum of all numbers of a vector."""
        numbers = self.builder.load(total)
        parts = [
            self.builder.extract_element(numbers, ir.Constant(ir.IntType(32), i))
            for i in range(WIDTH)
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
        rows = _Rows(context, builder, signature.args, arguments)
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
        rows = _Rows(context, builder, signature.args, arguments)
        _, row, sign, _, at, _, _, width = arguments
        change = rows.start(0, row)
        signs = ir.Constant(_NUMBERS, ir.Undefined)
        for i in range(WIDTH):
            signs = builder.insert_element(signs, sign, ir.Constant(ir.IntType(32), i))
        limits = rows.start(3, at), rows.start(3, builder.add(at, width))
        totals = rows.zero(), rows.zero()
        with _each(builder, width) as (d, _):
            size = builder.fmul(signs, rows.load(change, d))
            for limit, total, array in zip(limits, totals, (5, 6), strict=True):
                left = builder.fsub(rows.load(limit, d), size)
                rows.store(left, limit, d)
                below = builder.fsub(ir.Constant(_NUMBERS, [0.0] * WIDTH), left)
                rows.add_excess(total, rows.load(rows.start(array), d), below)
        return context.make_tuple(builder, _PAIR, tuple(rows.sum(total) for total in totals))

    return _PAIR(size, types.intp, types.float64, room, types.intp, rho, weight, types.intp), build


Sums = Callable[..., tuple[float, float]]
excesses = cast(Sums, intrinsic(_excesses))
shrink = cast(Sums, intrinsic(_shrink))


def _each(builder: Any, width: Any) -> Any:
    """Open a loop over the places of a row, `WIDTH` at a time."""
    start, step = (ir.Constant(width.type, value) for value in (0, WIDTH))
    return cgutils.for_range_slice(builder, start, width, step, inc=True)
