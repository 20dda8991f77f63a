"""Journals are cut and changed byte by byte: each is whole, or it is said what is wrong.

Every journal is opened in this process, on copies in memory where there is room for that. A journal
that is refused must be left as it was, so that only one that was opened is copied anew.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from benchmarks.contract import Row
from optalloc.instance.errors import OptallocError
from optalloc.instance.model import Task
from optalloc.service.journal import Founding, Journal
from optalloc.service.records import Entry, Gone, Put

OURS = Founding("benchmark", "")
SUFFIXES = ("", "-wal", "-head")
MEMORY = Path("/dev/shm")


def write(kept: Journal, entries: int) -> None:
    """Add entries: tasks come and go, every second one with an idempotency key."""
    for version in range(kept.state.version + 1, kept.state.version + entries + 1):
        names = [*kept.state.running]
        task = Task(name=f"t{version}", demand={"cpu": 1})
        gone = (Gone((names[0],)),) if len(names) > 3 and version % 3 else ()
        kept.begin()
        records = (Put(task, {"n": 1}), *gone)
        kept.append(Entry(version, records, "asked"), f"k{version}" if version % 2 else None)
        kept.commit()


def plain(kept: Journal) -> bytes:
    """All that a journal knows: the state, and what its keys were answered."""
    keys = {f"k{v}": kept.answered(f"k{v}") for v in range(kept.state.version + 1)}
    return msgspec.json.encode([kept.state.version, [*kept.state.records()], keys])


@dataclass
class Damage:
    """A journal as a crash leaves it, to be damaged again and again.

    Parameters
    ----------
    entries
        The last ones, within which its log is cut.
    closed
        Whether it was closed, so that all is in its main file.

    Attributes
    ----------
    whole, refused
        Damaged journals that were all there all the same, and those that were refused.
    wrong
        Those that were opened with something else in them, changed though they were refused, or met
        with an error that says nothing to a user.
    """

    entries: int
    closed: bool = False
    whole: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)

    def __enter__(self) -> Damage:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        made = Journal(self.folder / "made", OURS)
        write(made, 10)
        start = self._size("made-wal")
        write(made, self.entries)
        self.expected = plain(made)
        if self.closed:
            made.close()
        self.texts = {
            suffix: path.read_bytes()
            for suffix in SUFFIXES
            if (path := self.folder / f"made{suffix}").exists()
        }
        if not self.closed:
            made.close()
        self.last = range(start, len(self.texts.get("-wal", b"")))
        self.file = self.folder / "cut"
        self._renew()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)

    def _size(self, name: str) -> int:
        return (self.folder / name).stat().st_size

    def _renew(self) -> None:
        for path in self.folder.glob(f"{self.file.name}*"):
            path.unlink()
        for suffix, text in self.texts.items():
            self._path(suffix).write_bytes(text)

    def _path(self, suffix: str) -> Path:
        return Path(f"{self.file}{suffix}")

    # -- kinds of damage -----------------------------------------------------------------------

    def cut(self, suffix: str, stride: int = 1, part: int = 0, parts: int = 1) -> None:
        """Cut the log within its last transactions, or another file, at every byte of a part."""
        self._renew()
        size = len(self.texts[suffix])
        first = self.last.start if suffix == "-wal" else 0
        length = -(-(size - first) // parts)
        last = size - part * length
        for at in range(last - 1, max(last - length, first) - 1, -stride):
            with self._path(suffix).open("r+b") as file:
                file.truncate(at)
            if self._judge(f"{suffix or 'file'} cut at {at}", suffix, self.texts[suffix][:at]):
                self._renew()

    def flip(self, suffix: str, number: int, seed: int) -> None:
        """Change single bytes at random places, one at a time."""
        text, rng = self.texts[suffix], random.Random(f"{seed} {suffix}")
        for _ in range(number):
            at, change = rng.randrange(len(text)), rng.choice([1 << rng.randrange(8), 0xFF])
            changed = text[:at] + bytes([text[at] ^ change]) + text[at + 1 :]
            self._put(suffix, at, changed[at : at + 1])
            if self._judge(f"{suffix or 'file'} {at} ^ {change}", suffix, changed):
                self._renew()
            else:
                self._put(suffix, at, text[at : at + 1])

    def _put(self, suffix: str, at: int, byte: bytes) -> None:
        with self._path(suffix).open("r+b") as file:
            file.seek(at)
            file.write(byte)

    def _judge(self, what: str, suffix: str, changed: bytes) -> bool:
        """Open it, and count what comes of that; whether its files have to be made anew."""
        try:
            found = Journal(self.file, OURS)
        except OptallocError:
            self.refused += 1
            if all(self._kept(suffix, changed)):
                return False
            self.wrong.append(f"{what}: refused, and its files are changed")
            return True
        except Exception as error:  # noqa: BLE001  (any other is what is looked for)
            self.wrong.append(f"{what}: {error!r}")
            return True
        same = plain(found) == self.expected
        if same:
            self.whole += 1
            self._go_on(what, found)
        else:
            self.wrong.append(f"{what}: taken for whole")
            found.close()
        return True

    def _kept(self, suffix: str, changed: bytes) -> Iterator[bool]:
        for other, text in self.texts.items():
            path = self._path(other)
            if other == suffix:
                yield path.stat().st_size == len(changed)
            else:
                yield path.exists() and path.stat().st_size == len(text)

    def _go_on(self, what: str, found: Journal) -> None:
        """What goes on from it is there again, too."""
        try:
            write(found, 1)
            expected = plain(found)
            found.close()
            again = Journal(self.file, OURS)
            if plain(again) != expected:
                self.wrong.append(f"{what}: other afterwards")
            again.close()
        except Exception as error:  # noqa: BLE001  (any is wrong here)
            self.wrong.append(f"{what}: afterwards {error!r}")


def log_cuts(entries: int, stride: int, part: int, parts: int) -> Row:
    """Cut the log at every byte of a part of the last transactions."""
    with Damage(entries) as log:
        log.cut("-wal", stride, part, parts)
    return {"entries": entries, **_together(log)}


def file_cuts(entries: int, stride: int) -> Row:
    """Cut the main file and the head of a journal that was closed, at every byte."""
    with Damage(entries, closed=True) as main:
        main.cut("", stride)
        main.cut("-head", 1)
    return {"entries": entries, **_together(main)}


def flips(entries: int, number: int, seed: int) -> Row:
    """Change single bytes of a journal with a log, and of one that was closed."""
    with Damage(entries) as log, Damage(entries, closed=True) as main:
        log.flip("-wal", number, seed)
        log.flip("", number // 10, seed)
        main.flip("", number, seed)
        main.flip("-head", number // 10, seed)
    return {"entries": entries, **_together(log, main)}


def _together(*found: Damage) -> Row:
    return {
        "whole": sum(one.whole for one in found),
        "refused": sum(one.refused for one in found),
        "wrong": sum(len(one.wrong) for one in found),
        "first_wrong": [what for one in found for what in one.wrong][:5],
    }
