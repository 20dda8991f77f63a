"""Mutants of functions: the small mistakes that a programmer makes, one at a time."""

from __future__ import annotations
import __future__

import ast
import copy
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import CodeType, FunctionType

Place = tuple[ast.expr | ast.stmt, str, Callable[[], None]]
"""A node of the tree, what can be changed there, and what changes it."""
LIMITS = {"low", "high"}

OPERATORS: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.FloorDiv,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
WORDS = {
    "over": "under",
    "under": "over",
    "exact": "over",
    "at_most": "at_least",
    "at_least": "at_most",
    "max": "min",
    "min": "max",
    "sum": "max",
    "left": "right",
    "right": "left",
    "milp": "cpsat",
    "cpsat": "milp",
}
NAMES = {
    "low": "high",
    "high": "low",
    "maximum": "minimum",
    "minimum": "maximum",
    "max": "min",
    "min": "max",
    "least": "most",
    "most": "least",
    "largest": "smallest",
    "smallest": "largest",
    "floor": "ceil",
    "ceil": "floor",
}


@dataclass(frozen=True)
class Mutant:
    """One changed place of a function.

    Parameters
    ----------
    line, change
        The line's text and what became of it; with the function's name they tell mutants apart.
    code
        What the function becomes.
    """

    line: str
    change: str
    code: CodeType


def mutants_of(function: FunctionType) -> list[Mutant]:
    """All mutants of a function, in the order of its text."""
    source = textwrap.dedent(inspect.getsource(function))
    tree = ast.parse(source)
    lines = source.splitlines()
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    places = sum(1 for _ in _edits(tree))
    for place in range(places):
        changed = copy.deepcopy(tree)
        node, change, edit = list(_edits(changed))[place]
        line = lines[node.lineno - 1].strip()
        edit()
        seen[line, change] += 1
        if seen[line, change] > 1:
            change = f"{change} ({seen[line, change]})"
        found.append(Mutant(line, change, _compiled(changed, function)))
    return found


@contextmanager
def mutated(function: FunctionType, mutant: Mutant) -> Iterator[None]:
    """Put a mutant in the function's place, wherever that is already known."""
    original = function.__code__
    function.__code__ = mutant.code
    try:
        yield
    finally:
        function.__code__ = original


def _compiled(tree: ast.Module, function: FunctionType) -> CodeType:
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    # The function keeps its own defaults: only its code is replaced.
    definition.args.defaults = []
    definition.args.kw_defaults = [None for _ in definition.args.kwonlyargs]
    ast.fix_missing_locations(tree)
    flags = __future__.annotations.compiler_flag
    module = compile(tree, inspect.getfile(function), "exec", flags, dont_inherit=True)
    name = definition.name
    return next(c for c in module.co_consts if isinstance(c, CodeType) and c.co_name == name)


def _edits(tree: ast.Module) -> Iterator[Place]:
    """Every place of a function's body that can be changed, how, and what changes it."""
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    for statement in definition.body:
        yield from _dropped(definition.body, statement)
        for node in ast.walk(statement):
            yield from _of_node(node)


def _of_node(node: ast.AST) -> Iterator[Place]:
    yield from _of_operators(node)
    match node:
        case ast.Constant():
            yield from _of_constant(node)
        case ast.Call(keywords=keywords) if {k.arg for k in keywords} & LIMITS:
            stated = [ast.dump(k.value) for k in keywords if k.arg in LIMITS]
            if len(set(stated)) == len(stated):
                yield node, "low= <-> high=", partial(_swap_limits, node)
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield node, f"{name} -> {NAMES[name]}", partial(setattr, node, "id", NAMES[name])
        case ast.Attribute(attr=name) if name in NAMES:
            yield node, f".{name} -> .{NAMES[name]}", partial(setattr, node, "attr", NAMES[name])
        case ast.If() | ast.For():
            for branch in (node.body, node.orelse):
                for statement in branch:
                    yield from _dropped(branch, statement)


def _of_operators(node: ast.AST) -> Iterator[Place]:
    match node:
        case ast.BinOp() | ast.AugAssign():
            for operator in OPERATORS.get(type(node.op), ()):
                change = f"{type(node.op).__name__} -> {operator.__name__}"
                yield node, change, partial(setattr, node, "op", operator())
        case ast.Compare():
            for i, old in enumerate(node.ops):
                for new in COMPARISONS.get(type(old), ()):
                    change = f"{type(old).__name__} -> {new.__name__}"
                    yield node, change, partial(node.ops.__setitem__, i, new())
        case ast.BoolOp():
            other = ast.And if isinstance(node.op, ast.Or) else ast.Or
            yield node, f"-> {other.__name__}", partial(setattr, node, "op", other())
        case ast.UnaryOp(op=ast.USub() | ast.Invert() | ast.Not()):
            yield node, f"{type(node.op).__name__} removed", partial(_negation_out, node)


def _negation_out(node: ast.UnaryOp) -> None:
    """Turn the operation into one without effect: the operand, if true."""
    operand = node.operand
    vars(node).clear()
    object.__setattr__(node, "__class__", ast.IfExp)
    vars(node).update(test=ast.Constant(True), body=operand, orelse=operand)
    ast.copy_location(node, operand)


def _swap_limits(call: ast.Call) -> None:
    for keyword in call.keywords:
        if keyword.arg in LIMITS:
            keyword.arg = NAMES[str(keyword.arg)]


def _of_constant(node: ast.Constant) -> Iterator[Place]:
    value = node.value
    others: list[object] = []
    if isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [value + 1, value - 1]
    elif isinstance(value, str) and value in WORDS:
        others = [WORDS[value]]
    for other in others:
        yield node, f"{value!r} -> {other!r}", partial(setattr, node, "value", other)


def _dropped(body: list[ast.stmt], statement: ast.stmt) -> Iterator[Place]:
    """A statement that can go: it is there for what it does to something else."""
    called = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    if called or isinstance(statement, ast.AugAssign):
        nothing = ast.copy_location(ast.Pass(), statement)
        yield statement, "dropped", partial(body.__setitem__, body.index(statement), nothing)
