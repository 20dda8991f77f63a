"""The journal: every decision is on disk before it is acknowledged, and damage is never hidden.

An SQLite file in WAL mode, synchronised at every commit. Each row's checksum includes the one
before, so that a row cannot change, vanish or move unseen. Beside the file, ``FILE-head`` says
which entry was acknowledged last: SQLite takes a write-ahead log that was cut for one that ended
there. It is written after the commit and needs no synchronisation of its own: after a loss of power
it may be older than the journal, never newer.

A journal is read through a connection that cannot write, and written to only when all of it has
been found whole: SQLite drops what it cannot read of a write-ahead log where it closes one.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import msgspec

from optalloc.instance.errors import OptallocError
from optalloc.service.records import Entry, Record, State

TABLES = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY, key TEXT, body BLOB NOT NULL, chain BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS by_key ON entries (key) WHERE key IS NOT NULL;
CREATE TABLE IF NOT EXISTS parts (
    seq INTEGER, part INTEGER, last INTEGER, body BLOB NOT NULL, chain BLOB NOT NULL,
    PRIMARY KEY (seq, part));
CREATE TABLE IF NOT EXISTS anchor (
    only INTEGER PRIMARY KEY CHECK (only = 0), seq INTEGER NOT NULL, chain BLOB NOT NULL);
"""
HEAD = struct.Struct("<q32s")
SLOT = 64
PART = 500
"""Tasks in one part of a snapshot: so that writing it never holds a decision up for long."""
OUTSIDE = {"FULL", "IOERR", "READONLY", "CANTOPEN", "BUSY", "LOCKED", "NOMEM", "PERM", "AUTH"}
"""SQLite's errors that say nothing of the journal's content."""
EVERY = 50_000
"""Entries between snapshots."""
KEPT = 20_000
"""Entries before a snapshot that are kept: for so long idempotency keys are known."""


class JournalDamaged(OptallocError):
    """A journal that is not as it was written.

    Parameters
    ----------
    file
        The journal.
    seq
        First entry that is missing or wrong.
    what
        What is wrong.
    """

    def __init__(self, file: Path, seq: int, what: str) -> None:
        self.seq = seq
        super().__init__(f"journal {str(file)!r} is damaged at entry {seq}: {what}")


class Founding(msgspec.Struct, frozen=True):
    """What the first entry says: of what instance and objective the journal is."""

    instance: str
    objective: str
    format: int = 1


@dataclass
class _Saving:
    """A snapshot that is being written."""

    seq: int
    left: Iterator[Record]
    part: int = 0
    chain: bytes = b""


class _Start(msgspec.Struct, frozen=True):
    """First part of a snapshot."""

    version: int
    chain: str


class Journal:
    """An open journal, for one process and one thread.

    Parameters
    ----------
    file
        The journal; made where there is none.
    founding
        Of what it has to be.
    every
        Entries between snapshots.
    accept_end
        Go on with what there is, though the last entries that were acknowledged may be missing.

    Raises
    ------
    JournalDamaged
        Says which entry is missing or wrong.
    OptallocError
        For a journal of something else, that another process has open, or that cannot be written.
    """

    def __init__(
        self, file: Path, founding: Founding, every: int = EVERY, accept_end: bool = False
    ) -> None:
        self.file, self.founding, self.every = file, founding, every
        self._saving: _Saving | None = None
        self._saved = 0
        self.seq, self.chain = -1, bytes(32)
        self._put = msgspec.json.Encoder()
        try:
            self._head = os.open(f"{file}-head", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            self._lock()
            self._acknowledged = self._last_acknowledged()
            if not file.exists():
                self._found()
            self._read(accept_end)
            self._db = self._opened()
        except BaseException as error:
            os.close(self._head)
            if isinstance(error, OSError | sqlite3.Error):
                raise self._unusable(error) from None
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._head, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            said = f"journal {str(self.file)!r} is in use by another process"
            raise OptallocError(said) from None

    def _unusable(self, error: OSError | sqlite3.Error) -> OptallocError:
        """Say what keeps a journal from being used."""
        if isinstance(error, OSError):
            why = error.strerror or str(error)
        else:
            why = str(error)
            name = getattr(error, "sqlite_errorname", "").split("_")
            if len(name) < 2 or name[1] not in OUTSIDE:
                return JournalDamaged(self.file, self.seq + 1, why)
        return OptallocError(f"journal {str(self.file)!r} cannot be used: {why}")

    def _found(self) -> None:
        """Make a new journal, aside: it is there when it is whole."""
        if self._acknowledged[0] >= 0:
            raise JournalDamaged(self.file, 0, "the file is gone")
        aside = self.file.with_name(f"{self.file.name}-new")
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{aside}{suffix}").unlink(missing_ok=True)
        os.close(os.open(aside, os.O_CREAT | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(aside, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(TABLES)
            body = self._put.encode(self.founding)
            row = (0, None, body, _link(bytes(32), 0, body, None))
            db.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", row)
        # What lies about of another journal would be taken for the new one's.
        for suffix in ("-journal", "-wal", "-shm"):
            Path(f"{self.file}{suffix}").unlink(missing_ok=True)
        aside.rename(self.file)
        folder = os.open(self.file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self, accept_end: bool) -> None:
        """Check all of it without a change; then the head says what there is."""
        if self.file.stat().st_size == 0:
            # SQLite would remove the log beside an empty file.
            raise JournalDamaged(self.file, 0, "the file is empty")
        uri = f"{self.file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as self._db:
            try:
                self._check_tables()
                self.state = self._replay()
                self._check_pages()
            except (TypeError, AttributeError, ValueError) as error:
                # A value of another type than was written, or text that is none.
                raise JournalDamaged(self.file, self.seq + 1, str(error)) from None
        if not accept_end:
            self._check_end()
        if accept_end or self._acknowledged[0] < 0:
            os.ftruncate(self._head, 0)
            self._write_head()
            os.fsync(self._head)

    def _opened(self) -> sqlite3.Connection:
        """A connection that writes."""
        db = sqlite3.connect(self.file, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            # Only a statement that could write tells whether writing is possible.
            db.execute("BEGIN IMMEDIATE")
            db.execute("DELETE FROM parts WHERE seq < 0")
            db.execute("ROLLBACK")
        except BaseException:
            db.close()
            raise
        return db

    def close(self) -> None:
        """Write what is left of a snapshot, and close the file."""
        while self._saving is not None:
            self.begin()
            self.commit()
        self._db.close()
        os.fsync(self._head)
        os.close(self._head)

    # -- writing -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a transaction, which may hold many entries."""
        self._db.execute("BEGIN IMMEDIATE")

    def append(self, entry: Entry, key: str | None = None) -> None:
        """Add an entry to the transaction."""
        self._append(self._put.encode(entry), key)
        self.state.follow(entry)

    def _append(self, body: bytes, key: str | None) -> None:
        self.seq += 1
        self.chain = _link(self.chain, self.seq, body, key)
        row = (self.seq, key, body, self.chain)
        self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", row)

    def commit(self) -> None:
        """Bring the transaction to disk."""
        self._save_part()
        self._db.execute("COMMIT")
        self._write_head()

    def _write_head(self) -> None:
        slot = HEAD.pack(self.seq, self.chain)
        os.pwrite(self._head, slot + _digest(slot)[:16], SLOT * (self.seq % 2))

    def answered(self, key: str) -> Entry | None:
        """The entry of an idempotency key."""
        row = self._db.execute("SELECT body FROM entries WHERE key = ?", (key,)).fetchone()
        return msgspec.json.decode(row[0], type=Entry) if row else None

    # -- snapshots -----------------------------------------------------------------------------

    def _save_part(self) -> None:
        """Write a part of a snapshot, where one is due."""
        if self._saving is None:
            if self.seq - self._saved < self.every:
                return
            self._db.execute("DELETE FROM parts WHERE seq > ?", (self._saved,))
            self._saving = _Saving(self.seq, iter([*self.state.records()]))
            start = _Start(self.state.version, self.chain.hex())
            self._write_part(self._saving, self._put.encode(start), last=False)
            return
        saving = self._saving
        records = [*islice(saving.left, PART)]
        self._write_part(saving, self._put.encode(records), last=len(records) < PART)
        if len(records) < PART:
            self._saving = None
            self._saved = saving.seq
            self._forget(saving.seq)

    def _write_part(self, saving: _Saving, body: bytes, last: bool) -> None:
        saving.chain = _part_link(saving.chain, saving.part, body, saving.seq, last)
        row = (saving.seq, saving.part, last, body, saving.chain)
        self._db.execute("INSERT INTO parts VALUES (?, ?, ?, ?, ?)", row)
        saving.part += 1

    def _forget(self, saved: int) -> None:
        """Drop older snapshots, and entries that nobody needs any more."""
        self._db.execute("DELETE FROM parts WHERE seq < ?", (saved,))
        old = saved - KEPT
        row = self._db.execute("SELECT chain FROM entries WHERE seq = ?", (old,)).fetchone()
        if row and old > 0:
            self._db.execute("INSERT OR REPLACE INTO anchor VALUES (0, ?, ?)", (old, row[0]))
            self._db.execute("DELETE FROM entries WHERE seq <= ? AND seq > 0", (old,))

    # -- reading -------------------------------------------------------------------------------

    def _replay(self) -> State:
        """Check every row, and follow the entries from the newest snapshot on."""
        self._check_founding()
        state, chain = self._snapshot()
        anchor = self._db.execute("SELECT seq, chain FROM anchor").fetchone()
        if anchor:
            self._check(1, isinstance(anchor[0], int))
            self.seq, self.chain = anchor
            if self.seq > self._saved:
                raise JournalDamaged(self.file, 1, "its snapshot is missing")
        decoder = msgspec.json.Decoder(Entry)
        query = "SELECT seq, key, body, chain FROM entries WHERE seq > ? ORDER BY seq"
        for seq, key, body, stored in self._db.execute(query, (self.seq,)):
            if seq != self.seq + 1:
                raise JournalDamaged(self.file, self.seq + 1, f"entry {seq} comes next")
            self._check(seq, _link(self.chain, seq, body, key) == stored)
            self.seq, self.chain = seq, stored
            if seq == self._acknowledged[0]:
                self._check(seq, stored == self._acknowledged[1])
            if seq == self._saved:
                self._check(seq, stored.hex() == chain)
            elif seq > self._saved:
                self._follow(state, decoder, body)
        if self.seq < self._saved:
            said = f"the journal ends before its snapshot of entry {self._saved}"
            raise JournalDamaged(self.file, self.seq + 1, said)
        return state

    def _check_end(self) -> None:
        """Hold the end against what was acknowledged."""
        last = self._acknowledged[0]
        on = "to go on with what there is, state --accept-journal-end"
        if last > self.seq:
            said = f"entry {last} was acknowledged, and the journal ends before; {on}"
            raise JournalDamaged(self.file, self.seq + 1, said)
        if last < 0 < self.seq:
            head = repr(f"{self.file}-head")
            said = f"{head} is gone or damaged, so that nothing says whether the end is there; {on}"
            raise JournalDamaged(self.file, self.seq + 1, said)

    def _check_tables(self) -> None:
        """Hold the tables' definitions, which no checksum covers, against ours."""
        query = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
        with closing(sqlite3.connect(":memory:")) as ours:
            ours.executescript(TABLES)
            if ours.execute(query).fetchall() != self._db.execute(query).fetchall():
                raise JournalDamaged(self.file, 0, "its tables are others")

    def _check_pages(self) -> None:
        """Have SQLite check what no checksum covers: the index of keys."""
        said = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if said != "ok":
            raise JournalDamaged(self.file, self.seq + 1, said)

    def _follow(self, state: State, decoder: msgspec.json.Decoder[Entry], body: bytes) -> None:
        try:
            state.follow(decoder.decode(body))
        except (msgspec.DecodeError, KeyError) as error:
            raise JournalDamaged(self.file, self.seq, str(error)) from None

    def _check(self, seq: int, right: bool) -> None:
        if not right:
            said = "its checksum does not follow from the entry before"
            raise JournalDamaged(self.file, seq, said)

    def _check_founding(self) -> None:
        row = self._db.execute("SELECT body, chain FROM entries WHERE seq = 0").fetchone()
        if row is None:
            raise JournalDamaged(self.file, 0, "it is missing")
        self.seq, self.chain = 0, row[1]
        self._check(0, _link(bytes(32), 0, row[0], None) == row[1])
        if row[0] != self._put.encode(self.founding):
            said = "of another instance, objective or version of the format"
            what = (
                "expected the instance file as it was when the journal was made: nodes that "
                "joined or went by request are in the journal. For a cluster that changed "
                "otherwise put the file back and add and remove its nodes by request, or "
                "start with a new journal"
            )
            raise OptallocError(f"journal {str(self.file)!r} is {said}; {what}")

    def _snapshot(self) -> tuple[State, str]:
        """The newest snapshot that is whole, and the chain of the entries up to it."""
        state = State()
        row = self._db.execute("SELECT max(seq) FROM parts WHERE last").fetchone()
        if row[0] is None:
            return state, ""
        self._saved, chain, start = row[0], b"", _Start(0, "")
        decoder = msgspec.json.Decoder(tuple[Record, ...])
        query = "SELECT part, last, body, chain FROM parts WHERE seq = ? ORDER BY part"
        rows = self._db.execute(query, (self._saved,))
        for expected, (part, last, body, stored) in enumerate(rows):
            chain = _part_link(chain, expected, body, self._saved, last)
            if part != expected or chain != stored:
                raise JournalDamaged(self.file, self._saved, f"part {expected} of its snapshot")
            if part == 0:
                start = msgspec.json.decode(body, type=_Start)
            else:
                state.follow(Entry(start.version, decoder.decode(body)))
        state.version = start.version
        return state, start.chain

    def _last_acknowledged(self) -> tuple[int, bytes]:
        """Number and chain of the last entry that the head says was acknowledged; -1 if none."""
        found = [(-1, b"")]
        for slot in range(2):
            text = os.pread(self._head, SLOT, SLOT * slot)
            body, check = text[: HEAD.size], text[HEAD.size : HEAD.size + 16]
            if len(body) == HEAD.size and _digest(body)[:16] == check:
                found.append(HEAD.unpack(body))
        return max(found)


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=32).digest()


def _link(chain: bytes, seq: int, body: bytes, key: str | None) -> bytes:
    """Checksum of a row, that of the row before among it."""
    said = b"" if key is None else b"k" + key.encode()
    return _digest(b"%b%d:%d:%b%b" % (chain, seq, len(said), said, body))


def _part_link(chain: bytes, part: int, body: bytes, seq: int, last: bool) -> bytes:
    """Checksum of a part of a snapshot, that of the part before among it."""
    return _link(chain, part, body, f"{seq} last" if last else str(seq))
