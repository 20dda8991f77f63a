"""The journal: what was acknowledged is there again, and what is damaged is named."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from served import task

from optalloc import OptallocError
from optalloc.service import journal as journals
from optalloc.service.journal import Founding, Journal, JournalDamaged
from optalloc.service.records import Closed, Entry, Gone, Put, Record, Reopened, State

OURS = Founding("instance", "objective")


def opened(file: Path) -> State:
    """What a journal says, without changing it."""
    kept = Journal(file, OURS)
    kept.close()
    return kept.state


def plain(state: State) -> bytes:
    return msgspec.json.encode([state.version, [*state.records()]])


def drawn(rng: random.Random, state: State, version: int) -> Entry:
    """An entry that can follow."""
    records: list[Record] = []
    names = [*state.running]
    if names and rng.random() < 0.4:
        records.append(Gone((rng.choice(names),)))
    for k in range(rng.randrange(3)):
        put = Put(task(f"{version}/{k}", replicas=2), {"n0": 1, f"n{rng.randrange(9)}": 1})
        records.append(put)
    node = f"n{rng.randrange(9)}"
    if rng.random() < 0.2:
        records.append(Closed((node,)) if rng.random() < 0.5 else Reopened((node,)))
    return Entry(version, tuple(records), "digest", msgspec.Raw(b'{"version":1}'))


def write(kept: Journal, entries: int, seed: int = 0) -> None:
    rng = random.Random(seed)
    for version in range(kept.state.version + 1, kept.state.version + entries + 1):
        kept.begin()
        kept.append(drawn(rng, kept.state, version), f"key {version}" if version % 2 else None)
        kept.commit()


def files_of(file: Path) -> list[Path]:
    return sorted(file.parent.glob(f"{file.name}*"))


def copied(file: Path, folder: Path) -> Path:
    """A journal as a crash leaves it now."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in files_of(file):
        if not path.name.endswith("-shm"):
            shutil.copy(path, folder / path.name)
    return folder / file.name


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "PART", 3)
    monkeypatch.setattr(journals, "KEPT", 10)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("every", [1, 7, 1000])
def test_a_crash_at_any_time_leaves_what_was_committed(every: int, tmp_path: Path) -> None:
    """Between any two commits, with snapshots half written or whole."""
    kept = Journal(tmp_path / "j", OURS, every)
    for step in range(60):
        write(kept, 1, step)
        found = opened(copied(tmp_path / "j", tmp_path / "crash"))
        assert plain(found) == plain(kept.state)
    kept.close()
    again = Journal(tmp_path / "j", OURS, every)
    assert plain(again.state) == plain(kept.state)
    entry = again.answered("key 59")
    assert entry is not None
    assert entry.version == 59
    assert again.answered("key 58") is None
    # Where snapshots are taken, old entries are dropped.
    rows = again._db.execute("SELECT count(*) FROM entries").fetchone()[0]
    assert (rows < 50) == (every < 1000)
    again.close()


def test_what_was_not_committed_is_not_there(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "j", OURS)
    write(kept, 3)
    before = plain(kept.state)
    kept.begin()
    kept.append(Entry(9, (Put(task("lost"), {"n0": 1}),)))
    assert plain(opened(copied(tmp_path / "j", tmp_path / "crash"))) == before
    kept.commit()
    kept.close()


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    kept = Journal(tmp_path / "j", OURS)
    write(kept, 20)
    kept.close()
    return tmp_path / "j"


CHANGES = {
    "body": ("UPDATE entries SET body = replace(body, 'n0', 'n1') WHERE seq = 12", 12),
    "key": ("UPDATE entries SET key = 'other' WHERE seq = 11", 11),
    "chain": ("UPDATE entries SET chain = zeroblob(32) WHERE seq = 5", 5),
    "row": ("DELETE FROM entries WHERE seq = 7", 7),
    "order": ("UPDATE entries SET seq = 30 WHERE seq = 9", 9),
    "first": ("DELETE FROM entries WHERE seq = 0", 0),
    "last": ("DELETE FROM entries WHERE seq > 18", 19),
    "all": ("DELETE FROM entries", 0),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_journal_is_refused_by_number(what: str, closed: Path) -> None:
    statement, seq = CHANGES[what]
    with sqlite3.connect(closed) as db:
        db.execute(statement)
        # SQLite's functions on text make text of it.
        db.execute("UPDATE entries SET body = CAST(body AS BLOB)")
    db.close()
    with pytest.raises(JournalDamaged, match=f"damaged at entry {seq}:") as caught:
        opened(closed)
    assert caught.value.seq == seq


@pytest.mark.usefixtures("small_parts")
def test_a_changed_snapshot_is_refused(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "j", OURS, 7)
    write(kept, 40)
    kept.close()
    with sqlite3.connect(tmp_path / "j") as db:
        db.execute("DELETE FROM parts WHERE part = 1")
    db.close()
    with pytest.raises(JournalDamaged, match="its snapshot"):
        opened(tmp_path / "j")


def test_a_journal_that_is_gone_is_missed(closed: Path) -> None:
    closed.unlink()
    with pytest.raises(JournalDamaged, match="entry 0: the file is gone"):
        opened(closed)
    closed.write_bytes(b"")
    with pytest.raises(JournalDamaged, match="entry 0"):
        opened(closed)


def test_what_is_left_can_be_taken_after_removing_the_head(closed: Path) -> None:
    """As the message says."""
    with sqlite3.connect(closed) as db:
        db.execute("DELETE FROM entries WHERE seq > 18")
    db.close()
    with pytest.raises(JournalDamaged) as caught:
        opened(closed)
    (head,) = re.findall(r"remove '(.*-head)'", str(caught.value))
    Path(head).unlink()
    assert opened(closed).version == 18


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"no journal" * 1000)
    with pytest.raises(JournalDamaged, match="not a database"):
        opened(tmp_path / "j")


def test_the_format_of_another_version_is_refused(closed: Path) -> None:
    with pytest.raises(OptallocError, match="another instance, objective or version"):
        Journal(closed, Founding("instance", "objective", format=2))


# -- cuts and flips --------------------------------------------------------------------------------


def clean_or_named(file: Path, expected: bytes) -> bool:
    """Whether a journal is all there; where it is not it says so, by number."""
    try:
        found = opened(file)
    except JournalDamaged as error:
        named = error.seq
    else:
        assert plain(found) == expected
        return True
    assert named >= 0
    return False


def cuts(size: int, most: int, seed: int) -> Iterator[int]:
    rng = random.Random(seed)
    yield from (0, size - 1)
    yield from (rng.randrange(size) for _ in range(most))


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("how", ["cut", "flip", "zero"])
def test_a_cut_or_flipped_journal_is_whole_or_refused(
    suffix: str, how: str, tmp_path: Path
) -> None:
    """Never something else than what was acknowledged, at any byte of its files."""
    kept = Journal(tmp_path / "j", OURS, 30)
    write(kept, 40)
    if not suffix:
        kept.close()
    file = copied(tmp_path / "j", tmp_path / "crash")
    whole = file.with_name(file.name + suffix).read_bytes()
    outcomes = set()
    for at in cuts(len(whole), 60, seed=len(suffix)):
        copy = copied(tmp_path / "j", tmp_path / "crash")
        changed = copy.with_name(copy.name + suffix)
        if how == "cut":
            changed.write_bytes(whole[:at])
        elif how == "flip":
            changed.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        else:
            changed.write_bytes(whole[:at] + bytes(len(whole[at : at + 64])) + whole[at + 64 :])
        outcomes.add(clean_or_named(copy, plain(kept.state)))
    assert False in outcomes
    if suffix:
        kept.close()
