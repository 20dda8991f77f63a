"""Requests and checks made from a published OpenAPI document: new routes need nothing here."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
NUMBERS = ("integer", "number")
ODD_TEXTS = ("", "?", "\0", "é", "a/b", "\u202e", "x" * 300, "1e5", "../..", "%00", "{}")
ODD_NUMBERS = (
    0, -1, 0.1, 0.5, 1e-308, 1e308, -1e308, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30,
)  # fmt: skip
DEEPEST = 6


@dataclass(frozen=True)
class Operation:
    """One method of a path.

    Attributes
    ----------
    name
        Its identifier.
    method, path
        A part of the path in braces is a parameter.
    body
        Schema of the request's body; None where it has none.
    statuses
        Content by status: schema by media type.
    headers
        Names of its header parameters.
    secured
        Whether it takes a token.
    """

    name: str
    method: str
    path: str
    body: dict[str, Any] | None
    statuses: dict[int, dict[str, dict[str, Any]]]
    headers: tuple[str, ...]
    secured: bool


class Document:
    """A published description.

    Parameters
    ----------
    text
        The document, as JSON.
    """

    def __init__(self, text: bytes) -> None:
        stated = json.loads(text)
        self.schemas: dict[str, Any] = stated["components"]["schemas"]
        self.operations = [
            self._operation(method.upper(), path, one)
            for path, methods in stated["paths"].items()
            for method, one in methods.items()
        ]

    def _operation(self, method: str, path: str, one: dict[str, Any]) -> Operation:
        content = one.get("requestBody", {}).get("content", {})
        return Operation(
            name=one["operationId"],
            method=method,
            path=path,
            body=content.get("application/json", {}).get("schema"),
            statuses={
                int(status): {kind: c["schema"] for kind, c in answer.get("content", {}).items()}
                for status, answer in one["responses"].items()
            },
            headers=tuple(p["name"] for p in one["parameters"] if p["in"] == "header"),
            secured=bool(one.get("security")),
        )

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """A schema, or the one that it refers to."""
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    # -- what is wrong with a value ------------------------------------------------------------

    def wrong(self, value: Any, schema: dict[str, Any], where: str = "") -> str:
        """Say where a value does not go with a schema; empty where it does."""
        schema = self.resolved(schema)
        if "anyOf" in schema:
            found = [self.wrong(value, one, where) for one in schema["anyOf"]]
            return "" if "" in found else " / ".join(found)
        if "enum" in schema and value not in schema["enum"]:
            return f"{where}: {value!r} is none of {schema['enum']}"
        kind = schema.get("type", "anything")
        types = TYPES.get(kind, (object,))
        if not isinstance(value, types) or (isinstance(value, bool) and kind in NUMBERS):
            return f"{where}: expected {kind}, got {value!r:.40}"
        match kind:
            case "array":
                return self._wrong_list(value, schema, where)
            case "object":
                return self._wrong_object(value, schema, where)
        return ""

    def _wrong_list(self, value: Any, schema: dict[str, Any], where: str) -> str:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{where}: {len(value)} items"
        first = schema.get("prefixItems", [])
        rest = schema.get("items", {})
        for k, one in enumerate(value):
            inner = first[k] if k < len(first) else rest if isinstance(rest, dict) else {}
            if said := self.wrong(one, inner, f"{where}[{k}]"):
                return said
        return ""

    def _wrong_object(self, value: Any, schema: dict[str, Any], where: str) -> str:
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for name in schema.get("required", ()):
            if name not in value:
                return f"{where}.{name}: missing"
        for name, one in value.items():
            if name not in known and others is False:
                return f"{where}.{name}: unknown"
            inner = known.get(name, others if isinstance(others, dict) else {})
            if said := self.wrong(one, inner, f"{where}.{name}"):
                return said
        return ""


@dataclass
class Drawer:
    """Draws values along schemas, most of them as they should be.

    Parameters
    ----------
    texts
        Names that mean something, by a part of the field's name; those under an empty one are for
        all others.
    odd
        Share of values that are something else than stated.
    """

    document: Document
    rng: random.Random
    texts: Mapping[str, Sequence[str]]
    odd: float = 0.03

    def value(self, schema: dict[str, Any], field: str = "", depth: int = 0) -> Any:
        """A value for a field."""
        rng, schema = self.rng, self.document.resolved(schema)
        if rng.random() < self.odd:
            return self.anything(3)
        if "anyOf" in schema:
            return self.value(rng.choice(schema["anyOf"]), field, depth + 1)
        if "enum" in schema:
            return rng.choice(schema["enum"])
        makers: dict[str, Callable[[], Any]] = {
            "string": lambda: self.text(field),
            "integer": lambda: self._number(1),
            "number": lambda: self._number(4),
            "boolean": lambda: rng.random() < 0.5,
            "null": lambda: None,
            "array": lambda: self._listed(schema, field, depth),
            "object": lambda: self._object(schema, field, depth),
        }
        return makers.get(schema.get("type", ""), lambda: self.anything(2))()

    def _number(self, parts: int) -> float:
        if self.rng.random() < 0.1:
            return self.rng.choice(ODD_NUMBERS)
        number = self.rng.randint(0, 4 * parts)
        return number if parts == 1 else number / parts

    def _listed(self, schema: dict[str, Any], field: str, depth: int) -> list[Any]:
        first = [self.value(one, field, depth + 1) for one in schema.get("prefixItems", ())]
        inner, most = schema.get("items", {}), schema.get("maxItems", 3)
        number = 0 if depth > DEEPEST or len(first) >= most else self.rng.randint(0, 2)
        rest = inner if isinstance(inner, dict) else {}
        return first + [self.value(rest, field, depth + 1) for _ in range(number)]

    def _object(self, schema: dict[str, Any], field: str, depth: int) -> dict[str, Any]:
        known, must = schema.get("properties", {}), set(schema.get("required", ()))
        if not known:
            inner = schema.get("additionalProperties", {})
            inner = inner if isinstance(inner, dict) else {}
            number = 0 if depth > DEEPEST else self.rng.randint(0, 2)
            return {
                self.text(f"{field} key"): self.value(inner, field, depth + 1)
                for _ in range(number)
            }
        chance = min(2 / len(known), 0.5)
        return {
            name: self.value(one, name, depth + 1)
            for name, one in known.items()
            if name in must or (depth <= DEEPEST and self.rng.random() < chance)
        }

    def text(self, field: str) -> str:
        """A text for a field."""
        if self.rng.random() < self.odd:
            return self.rng.choice(ODD_TEXTS)
        for part, listed in self.texts.items():
            if part and part in field:
                return self.rng.choice(listed)
        return self.rng.choice(self.texts[""])

    def anything(self, depth: int) -> Any:
        """Any value at all."""
        rng = self.rng
        kind = rng.randrange(7 if depth else 5)
        if kind == 5:
            return [self.anything(depth - 1) for _ in range(rng.randint(0, 3))]
        if kind == 6:
            return {self.text(""): self.anything(depth - 1) for _ in range(rng.randint(0, 3))}
        plain = (None, rng.random() < 0.5, rng.choice(ODD_NUMBERS), rng.choice(ODD_TEXTS))
        return plain[kind] if kind < 4 else self.text("")
