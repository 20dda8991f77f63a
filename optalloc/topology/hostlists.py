"""Compact lists of names, as Slurm writes them: ``tux[0-3,12],gpu[01-04]-[a]`` and plain names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from optalloc.instance.errors import InstanceError

MOST = 1_000_000
"""No list may stand for more names."""
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_NUMBER = re.compile(r"(.*?)(\d+)")


def expand(text: str, where: str = "") -> list[str]:
    """List the names that a hostlist stands for.

    Parameters
    ----------
    text
        Names and ranges in brackets, separated by commas; digits keep their leading zeros.
    where
        Where it stands, for errors.

    Raises
    ------
    InstanceError
        For brackets that do not match, ranges that are none or run backwards, and too many names.
    """
    names: list[str] = []
    for part in _parts(text, where):
        pieces = [_piece(piece, part, where) for piece in re.split(r"(\[[^\]]*\])", part)]
        size = 1
        for piece in pieces:
            size *= len(piece)
        if len(names) + size > MOST:
            raise _wrong(where, f"expected at most {MOST:,} names", part)
        names += ["".join(choice) for choice in itertools.product(*pieces)]
    return names


def _parts(text: str, where: str) -> Iterator[str]:
    """Split at the commas outside brackets."""
    depth, start = 0, 0
    for k, letter in enumerate(text):
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if depth not in (0, 1):
            raise _wrong(where, "expected brackets that match", text)
        if letter == "," and not depth:
            yield text[start:k].strip()
            start = k + 1
    if depth:
        raise _wrong(where, "expected brackets that match", text)
    yield text[start:].strip()


def _piece(piece: str, part: str, where: str) -> list[str]:
    if not part:
        raise _wrong(where, "expected a name", part)
    if not piece.startswith("["):
        return [piece]
    found = []
    for entry in piece[1:-1].split(","):
        match = _RANGE.fullmatch(entry.strip())
        if match is None:
            raise _wrong(where, "expected numbers and ranges such as [0-3,12]", part)
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first) or int(last) - int(first) >= MOST:
            raise _wrong(where, f"expected ranges that run upwards, below {MOST:,} names", part)
        found += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return found


def _wrong(where: str, expected: str, text: str) -> InstanceError:
    return InstanceError([(where, f"{expected}; got {text[:60]!r}")], "the list of names")


def fold(names: Iterable[str]) -> str:
    """Write names as a hostlist; `expand` gives the same names, sorted by stem and number.

    Names that end in a number of the same width, with the same text before it, share brackets.
    """
    listed = list(dict.fromkeys(names))
    found = [(name, _NUMBER.fullmatch(name)) for name in listed]
    plain = sorted(name for name, match in found if match is None)
    ends = [(match[1], match[2]) for _, match in found if match is not None]
    # A stem with padded numbers has others of that width, such as n09 and n10.
    padded = {(stem, len(n)) for stem, n in ends if n.startswith("0") and len(n) > 1}
    groups: dict[tuple[str, int], list[int]] = {}
    for stem, number in ends:
        width = len(number) if (stem, len(number)) in padded else 0
        groups.setdefault((stem, width), []).append(int(number))
    return ",".join([*plain, *(_folded(*key, groups[key]) for key in sorted(groups))])


def _folded(stem: str, width: int, numbers: list[int]) -> str:
    """Write the numbers of a stem; those without padding have no fixed width."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    texts = [
        str(a).zfill(width) if a == b else f"{str(a).zfill(width)}-{str(b).zfill(width)}"
        for a, b in ranges
    ]
    return (
        f"{stem}{texts[0]}"
        if len(texts) == 1 and "-" not in texts[0]
        else f"{stem}[{','.join(texts)}]"
    )
