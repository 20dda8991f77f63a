"""Instance files: JSON (``.json``, or compressed ``.json.gz``) to `Instance` and back.

The format is `Document` with the registered policies; `schema.json` beside this module publishes
it as a JSON Schema. ``loads_instance(dumps_instance(x)) == x`` holds for every instance.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from optalloc.instance import text as texts
from optalloc.instance import validation
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Document, Energy, Instance
from optalloc.instance.schema import document_type
from optalloc.instance.schema_json import json_schema

__all__ = ["dump_instance", "dumps_instance", "json_schema", "load_instance", "loads_instance"]

REPEATS_SOUGHT = 4 * 2**20
"""Repeated keys in an object are looked for in texts of up to so many bytes (it takes as long as
the reading itself); in a larger text the last one counts, as in most readers of JSON."""


def load_instance(path: str | Path) -> Instance:
    """Read an instance file.

    Raises
    ------
    InstanceError
        If there is no such file or it states no valid instance: lists every problem.
    """
    path = Path(path)
    return loads_instance(texts.read_bytes(path), str(path))


def loads_instance(text: bytes | str, source: str = "") -> Instance:
    """Read an instance from JSON.

    Parameters
    ----------
    text
        The JSON text, UTF-8 if bytes.
    source
        What errors call it, such as a file name.

    Raises
    ------
    InstanceError
        Lists every problem with its path and what was expected; for text that is no JSON, where.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    data = texts.without_mark(data)
    try:
        with validation.collector_paused():
            return _read(data)
    except InstanceError as error:
        raise InstanceError(error.problems, source) from None


def _read(data: bytes) -> Instance:
    try:
        document = _decoder().decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        faults = [*validation.all_faults(texts.parse(data))]
        raise InstanceError(faults or [("", str(error))]) from None
    if len(data) <= REPEATS_SOUGHT and texts.may_repeat(data):
        faults = [*validation.all_faults(texts.parse(data))]
        if faults:
            raise InstanceError(faults)
    return validation.from_document(document)


@cache
def _decoder() -> msgspec.json.Decoder[Document]:
    return msgspec.json.Decoder(document_type())


def dump_instance(instance: Instance, path: str | Path) -> None:
    """Write an instance file; compressed where the name ends in ``.gz``."""
    texts.write_bytes(Path(path), dumps_instance(instance))


def dumps_instance(instance: Instance) -> bytes:
    """Write an instance as JSON, one node, task or other entry a line."""
    parts = [b'"optalloc": %d' % instance.optalloc]
    for name in Document.__struct_fields__[1:]:
        value = getattr(instance, name)
        if value and value != Energy():
            parts.append(b'"%s": %s' % (name.encode(), _entries(value)))
    return b"{\n" + b",\n".join(parts) + b"\n}\n"


def _entries(value: Any) -> bytes:
    encoder = msgspec.json.Encoder()
    if isinstance(value, tuple):
        # Line breaks within text are escaped, so those of `encode_lines` are the only ones.
        lines = encoder.encode_lines(value)[:-1]
        return b"[\n  " + lines.replace(b"\n", b",\n  ") + b"\n]"
    if isinstance(value, dict):
        pairs = [encoder.encode(k) + b": " + encoder.encode(v) for k, v in value.items()]
        return b"{\n  " + b",\n  ".join(pairs) + b"\n}"
    return encoder.encode(value)
