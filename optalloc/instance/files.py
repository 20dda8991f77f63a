"""Instance files: JSON (``.json``, or compressed ``.json.gz``) to `Instance` and back.

The format is `Document` with the registered policies; `schema.json` beside this module publishes
it as a JSON Schema. ``loads_instance(dumps_instance(x)) == x`` holds for every instance.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from optalloc.instance import validation
from optalloc.instance.errors import InstanceError
from optalloc.instance.model import Document, Energy, Instance
from optalloc.instance.schema import document_type
from optalloc.instance.schema_json import json_schema
from optalloc.instance.schema_walk import Repeating

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
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InstanceError([("", f"expected a gzip file: {error}")], str(path)) from None
    except OSError as error:
        raise InstanceError([("", error.strerror or str(error))], str(path)) from None
    return loads_instance(data, str(path))


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
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        with validation.collector_paused():
            return _read(data)
    except InstanceError as error:
        raise InstanceError(error.problems, source) from None


def _read(data: bytes) -> Instance:
    try:
        document = _decoder().decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        faults = [*validation.all_faults(_parse(data))]
        raise InstanceError(faults or [("", str(error))]) from None
    if len(data) <= REPEATS_SOUGHT and _repeats(data):
        faults = [*validation.all_faults(_parse(data))]
        if faults:
            raise InstanceError(faults)
    return validation.from_document(document)


@cache
def _decoder() -> msgspec.json.Decoder[Document]:
    return msgspec.json.Decoder(document_type())


def _repeats(data: bytes) -> bool:
    """Whether a key may be repeated in an object: then fewer entries are read than written."""
    return b"\\u" in data or data.count(b":") != msgspec.json.encode(
        msgspec.json.decode(data)
    ).count(b":")


def _parse(data: bytes) -> Any:
    """Parse JSON slowly, noting repeated keys.

    Raises
    ------
    InstanceError
        With line and column, for text that is no JSON.
    """
    try:
        text = data.decode()
        return json.loads(text, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"expected UTF-8 text: byte {data[error.start]:#04x} in line {line} is none"
    except json.JSONDecodeError as error:
        message = f"expected JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    except RecursionError:
        message = "expected JSON: this is nested too deeply"
    except ValueError as error:
        message = f"expected JSON: {error}"
    raise InstanceError([("", message)])


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) == len(pairs):
        return unique
    times = Counter(key for key, _ in pairs)
    repeating = Repeating(unique)
    repeating.repeated = tuple(key for key, number in times.items() if number > 1)
    return repeating


def dump_instance(instance: Instance, path: str | Path) -> None:
    """Write an instance file; compressed where the name ends in ``.gz``."""
    path = Path(path)
    data = dumps_instance(instance)
    # Without a time stamp, equal instances make equal files.
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


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
