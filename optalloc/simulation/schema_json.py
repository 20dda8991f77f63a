"""The JSON Schema of trace files, with descriptions from the docstrings.

``python -m optalloc.simulation.schema_json`` rewrites `schema.json`, which the package publishes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from optalloc.instance.model import Configuration, Lookup, Task
from optalloc.instance.schema_json import bound, describe, simplified
from optalloc.simulation.trace import VERSION, Job, TraceDocument

PUBLISHED = Path(__file__).with_name("schema.json")
"""The schema as the package publishes it."""
STATED = (Configuration, Job, Lookup, Task)
UNBOUNDED = "priority"
"""The field whose numbers may be of any sign."""


def json_schema() -> dict[str, Any]:
    """Make the JSON Schema (draft 2020-12) of trace files."""
    _, definitions = msgspec.json.schema_components([TraceDocument], ref_template="#/$defs/{name}")
    document = definitions.pop(TraceDocument.__name__)
    describe(document, TraceDocument)
    for cls in STATED:
        describe(definitions[cls.__name__], cls)
        bound(definitions[cls.__name__], cls)
    for number in definitions["Job"]["properties"][UNBOUNDED]["anyOf"]:
        number.pop("minimum", None)
    count = definitions["Task"]["properties"]["count"]
    count["const"] = count.pop("minimum")
    document["properties"]["optalloc_trace"]["const"] = VERSION
    document["title"] = f"optalloc trace, version {VERSION}"
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schema: dict[str, Any] = simplified({**dialect, **document, "$defs": definitions})
    return schema


def published() -> bytes:
    """The text of the published schema."""
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=1) + b"\n"


if __name__ == "__main__":
    PUBLISHED.write_bytes(published())
