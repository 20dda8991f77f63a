"""Files of JSON: their bytes, compressed or not, and what is wrong with text that is none."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from optalloc.instance.errors import InstanceError
from optalloc.instance.schema_walk import Repeating


def read_bytes(path: Path) -> bytes:
    """Read a file, decompressed where its name ends in ``.gz``, without a byte order mark.

    Raises
    ------
    InstanceError
        If it cannot be read.
    """
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InstanceError([("", f"expected a gzip file: {error}")], str(path)) from None
    except OSError as error:
        raise InstanceError([("", error.strerror or str(error))], str(path)) from None
    return without_mark(data)


def without_mark(data: bytes) -> bytes:
    """Drop the byte order mark with which some editors begin a text in UTF-8."""
    return data.removeprefix(b"\xef\xbb\xbf")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, compressed where its name ends in ``.gz``."""
    # Without a time stamp, equal contents make equal files.
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def may_repeat(data: bytes) -> bool:
    """Whether a key may be repeated in an object: then fewer entries are read than written."""
    return b"\\u" in data or data.count(b":") != msgspec.json.encode(
        msgspec.json.decode(data)
    ).count(b":")


def parse(data: bytes) -> Any:
    """Parse JSON slowly, noting repeated keys.

    Raises
    ------
    InstanceError
        With line and column, for text that is no JSON.
    """
    try:
        return json.loads(data.decode(), object_pairs_hook=_object)
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
