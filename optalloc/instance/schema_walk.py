"""The slow reading of a file or of Python objects that lists every problem of types.

`msgspec` stops at the first value of a wrong type. Where it does, the value is walked again along
the same types: every problem is listed and mended with a neutral value, so that the checks that
follow can list what else is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import inspect
from numpy import generic, ndarray

from optalloc.instance.policy import Fault

WORDS: dict[type[inspect.Type], str] = {
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.StrType: "text",
    inspect.BoolType: "true or false",
    inspect.NoneType: "null",
    inspect.VarTupleType: "a list",
    inspect.TupleType: "a list",
    inspect.DictType: "an object",
    inspect.StructType: "an object",
}

PLAIN: dict[type[inspect.Type], tuple[type, ...]] = {
    inspect.IntType: (int,),
    inspect.FloatType: (int, float),
    inspect.StrType: (str,),
    inspect.BoolType: (bool,),
    inspect.NoneType: (type(None),),
    inspect.VarTupleType: (list, tuple),
    inspect.TupleType: (list, tuple),
    inspect.DictType: (Mapping,),
    inspect.StructType: (Mapping,),
}


class Repeating(dict[str, Any]):
    """A JSON object in which keys occur more than once."""

    repeated: tuple[str, ...] = ()


def plain(value: Any) -> Any:
    """Turn NumPy scalars and arrays, and mappings, into plain Python values.

    Raises
    ------
    TypeError
        For anything else.
    """
    if isinstance(value, generic):
        return value.item()
    if isinstance(value, ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"expected plain values, got {type(value).__name__}")


class Walk:
    """One reading of a value along a type.

    Attributes
    ----------
    faults
        Every problem found, with its path.
    mended
        The value in plain types, with neutral values where problems were.
    broken
        Sections (top-level fields) that have lost more than a number.
    """

    def __init__(self, value: Any, of: type) -> None:
        self.faults: list[Fault] = []
        self.broken: set[str] = set()
        self.mended = self._walk(inspect.type_info(of), value, "")

    def covers(self, path: str) -> bool:
        """Whether a problem at or below this path has been found by the walk."""
        return any(
            path == known or (path.startswith(known) and path[len(known)] in ".[")
            for known, _ in self.faults
            if known
        )

    def _fault(self, path: str, message: str, loss: bool = True) -> None:
        self.faults.append((path, message))
        if loss:
            self.broken.add(path.replace("[", ".").split(".")[0])

    def _walk(self, kind: inspect.Type, value: Any, path: str) -> Any:
        if isinstance(value, generic | ndarray):
            value = plain(value)
        chosen = _choose(kind, value)
        if chosen is None:
            numeric = WORDS.get(type(_first(kind))) in ("a whole number", "a number")
            self._fault(path, f"expected {_expected(kind)}, got {_shown(value)}", loss=not numeric)
            return _neutral(kind)
        if isinstance(chosen, inspect.StructType):
            return self._struct(chosen, value, path)
        if isinstance(chosen, inspect.DictType):
            return self._dict(chosen, value, path)
        if isinstance(chosen, inspect.VarTupleType):
            return [self._walk(chosen.item_type, v, f"{path}[{i}]") for i, v in enumerate(value)]
        if isinstance(chosen, inspect.TupleType):
            return self._tuple(chosen, value, path)
        return value

    def _struct(self, kind: inspect.StructType, value: Any, path: str) -> Any:
        stated = _fields(value)
        self._repeated(value, path)
        prefix = f"{path}." if path else ""
        known = {field.encode_name: field for field in kind.fields}
        mended: dict[str, Any] = {}
        if kind.tag_field is not None:
            mended[kind.tag_field] = kind.tag
        for key, item in stated.items():
            if key in known:
                mended[key] = self._walk(known[key].type, item, prefix + key)
            elif key != kind.tag_field:
                self._unknown(prefix, key, list(known))
        for key, field in known.items():
            if field.required and key not in stated:
                self._fault(prefix + key, f"expected {_expected(field.type)}, but it is missing")
                mended[key] = _neutral(field.type)
        return mended

    def _unknown(self, prefix: str, key: Any, known: list[str]) -> None:
        near = get_close_matches(str(key), known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known)}"
        self._fault(f"{prefix}{key}", f"unknown field; {hint}", loss=bool(near))

    def _dict(self, kind: inspect.DictType, value: Any, path: str) -> Any:
        self._repeated(value, path)
        mended: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                self._fault(path, f"expected text as keys, got {_shown(key)}")
            mended[str(key)] = self._walk(kind.value_type, item, f"{path}.{key}")
        return mended

    def _tuple(self, kind: inspect.TupleType, value: Any, path: str) -> Any:
        if len(value) != len(kind.item_types):
            self._fault(path, f"expected {len(kind.item_types)} entries, got {len(value)}")
            return _neutral(kind)
        pairs = enumerate(zip(kind.item_types, value, strict=True))
        return [self._walk(item, v, f"{path}[{i}]") for i, (item, v) in pairs]

    def _repeated(self, value: Any, path: str) -> None:
        prefix = f"{path}." if path else ""
        for key in value.repeated if isinstance(value, Repeating) else ():
            self._fault(prefix + key, "expected each key once in an object, got it again", False)


def _fields(value: Any) -> Mapping[Any, Any]:
    """The fields of an object, from JSON or a struct."""
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    assert isinstance(value, Mapping)
    return value


def _members(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return tuple(kind.types) if isinstance(kind, inspect.UnionType) else (kind,)


def _first(kind: inspect.Type) -> inspect.Type:
    return _members(kind)[0]


def _choose(kind: inspect.Type, value: Any) -> inspect.Type | None:
    """The member of a type to which a value belongs, if any."""
    return next((member for member in _members(kind) if _belongs(member, value)), None)


def _belongs(kind: inspect.Type, value: Any) -> bool:
    if isinstance(kind, inspect.AnyType):
        return True
    if isinstance(value, msgspec.Struct):
        return isinstance(kind, inspect.StructType) and type(value) is kind.cls
    if isinstance(kind, inspect.StructType) and kind.tag_field is not None:
        return isinstance(value, Mapping) and value.get(kind.tag_field) == kind.tag
    if isinstance(value, bool):
        return isinstance(kind, inspect.BoolType)
    return isinstance(value, PLAIN[type(kind)])


def _expected(kind: inspect.Type) -> str:
    """A type in words; tagged structs by their tags."""
    members = _members(kind)
    tags = [str(m.tag) for m in members if isinstance(m, inspect.StructType) and m.tag is not None]
    if tags:
        return f"an object whose type is one of {', '.join(tags)}"
    words = list(dict.fromkeys(WORDS.get(type(member), "a value") for member in members))
    if "a number" in words and "a whole number" in words:
        words.remove("a whole number")
    return " or ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} or {words[-1]}"


def _shown(value: Any) -> str:
    """A value in the words of a file."""
    if isinstance(value, msgspec.Struct):
        return f"a {type(value).__name__}"
    if isinstance(value, Mapping):
        kind = value.get("type")
        return f"an object of type {kind!r}" if isinstance(kind, str) else "an object"
    if isinstance(value, list | tuple):
        return "a list"
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    if isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"a value of type {type(value).__name__}"


def _neutral(kind: inspect.Type) -> Any:
    """A plain value of a type, to go on with."""
    kind = _first(kind)
    if isinstance(kind, inspect.StructType):
        required = {f.encode_name: _neutral(f.type) for f in kind.fields if f.required}
        return required if kind.tag_field is None else {kind.tag_field: kind.tag, **required}
    if isinstance(kind, inspect.DictType):
        return {}
    if isinstance(kind, inspect.VarTupleType):
        return []
    if isinstance(kind, inspect.TupleType):
        return [_neutral(item) for item in kind.item_types]
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return 1
    return {inspect.StrType: "", inspect.BoolType: False}.get(type(kind))
