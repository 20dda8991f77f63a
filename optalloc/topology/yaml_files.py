"""YAML files, read with errors that name the place and what was expected there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optalloc.instance.errors import InstanceError


class Entry:
    """A part of a file and where it stands.

    Parameters
    ----------
    value
        What the file holds there.
    where
        Its path, such as ``[0].tree.switches``.
    source
        The file.
    """

    def __init__(self, value: Any, where: str, source: str) -> None:
        self.value = value
        self.where = where
        self.source = source

    def has(self, key: str) -> bool:
        """Whether it is a mapping with a key."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def get(self, key: str, default: Any) -> Any:
        """The value of a key, as it is."""
        return self.value[key] if self.has(key) else default

    def at(self, key: str) -> Entry:
        """The entry of a key that must be there."""
        if not self.has(key):
            raise self.wrong(f"expected a mapping with {key!r}")
        return Entry(self.value[key], f"{self.where}.{key}".lstrip("."), self.source)

    def text(self, key: str, default: str | None = None) -> str:
        """The text of a key; a list of texts is joined by commas."""
        if not self.has(key) and default is not None:
            return default
        value = self.at(key).value
        if isinstance(value, list) and all(isinstance(v, str | int) for v in value):
            return ",".join(map(str, value))
        if not isinstance(value, str | int):
            raise self.at(key).wrong("expected text")
        return str(value)

    def items(self) -> Iterator[Entry]:
        """The entries of a list."""
        if not isinstance(self.value, list):
            raise self.wrong("expected a list")
        for k, value in enumerate(self.value):
            yield Entry(value, f"{self.where}[{k}]", self.source)

    def named(self) -> Iterator[tuple[str, Entry]]:
        """The entries of a mapping, by their keys."""
        if not isinstance(self.value, dict):
            raise self.wrong("expected a mapping")
        for key, value in self.value.items():
            yield str(key), Entry(value or {}, f"{self.where}.{key}".lstrip("."), self.source)

    def wrong(self, expected: str) -> InstanceError:
        """The error that something else was expected here."""
        got = type(self.value).__name__
        return InstanceError([(self.where, f"{expected}; got {got}")], self.source)


def load(path: Path | str) -> Entry:
    """Read a YAML file (JSON is YAML too).

    Raises
    ------
    InstanceError
        If it cannot be read or is no YAML: says where.
    """
    import yaml

    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InstanceError([("", str(error))], str(path)) from None
    except yaml.YAMLError as error:
        raise InstanceError([("", " ".join(str(error).split()))], str(path)) from None
    return Entry(value, "", str(path))
