"""The JSON Schema of instance files, with descriptions from the docstrings.

``python -m optalloc.instance.schema_json`` rewrites `schema.json`, which the package publishes.
"""

from __future__ import annotations

from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec

from optalloc.formulation.registry import policy_classes
from optalloc.instance.model import (
    Configuration,
    Document,
    Energy,
    Group,
    Lookup,
    Node,
    Resource,
    Task,
)
from optalloc.instance.policy import Policy
from optalloc.instance.schema import document_type
from optalloc.instance.training import Alone, Link, Training
from optalloc.physics.parameters import Accuracy, Curve, Parameters

PUBLISHED = Path(__file__).with_name("schema.json")
"""The schema as the package publishes it."""
ABOVE_0 = {
    "bandwidth",
    "batch",
    "flops",
    "horizon_s",
    "memory_bandwidth",
    "memory_gib",
    "quantum",
    "ratio",
    "reference",
    "response_s",
    "step_j",
    "step_s",
    "utilisation",
}

AT_LEAST_1 = {"count", "replicas", "pue"}
"""Fields whose numbers have other bounds than all others, which are at least 0."""
LIMITS = {"at_most", "at_least"}
"""Fields whose numbers may be of any sign; rules take none."""
STATED = (Alone, Configuration, Energy, Group, Link, Lookup, Node, Resource, Task, Training)
FITTED = (Accuracy, Curve, Parameters)
"""Their numbers have no bounds."""


def json_schema() -> dict[str, Any]:
    """Make the JSON Schema (draft 2020-12) of instance files."""
    _, definitions = msgspec.json.schema_components(
        [document_type()], ref_template="#/$defs/{name}"
    )
    document = definitions.pop(document_type().__name__)
    describe(document, Document)
    classes: list[type[msgspec.Struct]] = [*STATED, *policy_classes().values()]
    for cls in classes:
        # Where two classes share a name, definitions are called by the full one.
        full = f"{cls.__module__}.{cls.__qualname__}"
        definition = definitions.get(cls.__name__) or definitions[full]
        describe(definition, cls)
        bound(definition, cls)
    for cls in FITTED:
        describe(definitions[cls.__name__], cls)
    for field in ("nodes", "configurations"):
        lists = document["properties"][field]
        lists.get("additionalProperties", lists)["minItems"] = 1
    document["required"] = ["nodes"]
    document["properties"]["optalloc"]["const"] = 1
    document["title"] = "optalloc instance, version 1"
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema: dict[str, Any] = simplified({**dialect, **document, "$defs": definitions})
    return schema


def published() -> bytes:
    """The text of the published schema."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=1) + b"\n"


def describe(definition: dict[str, Any], cls: type) -> None:
    """Add the descriptions of a class and of its fields, inherited ones included."""
    for base in reversed(cls.__mro__):
        if issubclass(base, msgspec.Struct) and base is not msgspec.Struct:
            summary, fields = _read_docstring(base.__doc__ or "")
            definition["description"] = summary
            for name, text in fields.items():
                if name in definition["properties"]:
                    definition["properties"][name]["description"] = text


def bound(definition: dict[str, Any], cls: type) -> None:
    """Add what the checks demand of single values: bounds of numbers, names that are not empty."""
    for field, schema in definition["properties"].items():
        if field == "name" and field in definition.get("required", ()):
            schema["minLength"] = 1
        elif field not in LIMITS:
            _bound_numbers(schema, field)
        elif issubclass(cls, Policy) and cls.is_rule:
            schema.pop("anyOf", None)
            schema["type"] = "null"


def _bound_numbers(schema: Any, field: str) -> None:
    if isinstance(schema, list):
        for inner in schema:
            _bound_numbers(inner, field)
    elif isinstance(schema, dict):
        for inner in schema.values():
            _bound_numbers(inner, field)
        if schema.get("type") in ("number", "integer"):
            key = "exclusiveMinimum" if field in ABOVE_0 else "minimum"
            schema[key] = 1 if field in AT_LEAST_1 else 0


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a NumPy-style docstring into its text and what it says of each parameter."""
    summary, _, rest = cleandoc(text).partition("\n\nParameters\n----------\n")
    fields: dict[str, str] = {}
    names: list[str] = []
    for line in rest.split("\n\n")[0].splitlines():
        if not line.startswith(" "):
            names = line.split(", ")
        for name in names if line.startswith(" ") else ():
            fields[name] = f"{fields.get(name, '')} {line.strip()}".strip()
    return summary, fields


def simplified(schema: Any) -> Any:
    """Every whole number is a number: "integer or number" says no more than "number"."""
    if isinstance(schema, list):
        return [simplified(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: simplified(value) for key, value in schema.items()}
    choices = schema.get("anyOf", [])
    number: dict[str, Any] = next((c for c in choices if c.get("type") == "number"), {})
    whole = {**number, "type": "integer"}
    if number and whole in choices:
        choices.remove(whole)
        if len(choices) == 1:
            return {**schema.pop("anyOf")[0], **schema}
    return schema


if __name__ == "__main__":
    PUBLISHED.write_bytes(published())
