"""Names: stated, unique, and found where something refers to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from optalloc.instance.policy import Fault
from optalloc.instance.references import choices


def unique(section: str, names: Sequence[str], counts: list[int]) -> Iterator[Fault]:
    """Report names that are empty or taken, also by ``name/0`` of an entry with a count."""
    distinct = set(names)
    if len(distinct) != len(names) or "" in distinct:
        first: dict[str, int] = {}
        for i, name in enumerate(names):
            if not name:
                yield f"{section}[{i}].name", "expected a name, got an empty one"
            elif first.setdefault(name, i) != i:
                taken = f"{section}[{first[name]}]"
                yield f"{section}[{i}].name", f"expected a unique name, got {name!r} as in {taken}"
    several = Expanded(names, counts)
    for i, name in enumerate(names if several else ()):
        if counts[i] == 1 and several.has(name):
            stated = name.rpartition("/")[0]
            yield (
                f"{section}[{i}].name",
                f"expected a unique name, got {name!r}, which {stated!r} with its count has too",
            )


class Expanded:
    """The names ``name/0``, ``name/1``, ... of the entries with a count, without making them."""

    def __init__(self, names: Sequence[str], counts: list[int]) -> None:
        same = counts.count(1) == len(counts)
        self._count = {} if same else {n: c for n, c in zip(names, counts, strict=True) if c != 1}

    def __bool__(self) -> bool:
        return bool(self._count)

    def stated(self, others: Iterable[str]) -> list[str]:
        """Every name that an error message could offer, copies as ``name/0``."""
        return [*others, *(f"{name}/0" for name in self._count)]

    def has(self, name: str) -> bool:
        """Whether this is the name of one of the entry's copies."""
        stated, _, number = name.rpartition("/")
        return (
            number.isdecimal()
            and str(int(number)) == number
            and int(number) < self._count.get(stated, 0)
        )


def missing(name: str, what: str, known: Iterable[str]) -> str:
    """Message for a name that nothing has."""
    return f"expected {what} ({choices(known)}), got {name!r}"
