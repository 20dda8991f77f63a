"""The journal: what was acknowledged is there again, and what is damaged is named."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
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


def test_what_is_left_can_be_taken_where_that_is_stated(closed: Path) -> None:
    """As the message says; from then on that is the journal."""
    with sqlite3.connect(closed) as db:
        db.execute("DELETE FROM entries WHERE seq > 18")
    db.close()
    for _ in range(2):
        with pytest.raises(JournalDamaged, match="state --accept-journal-end"):
            opened(closed)
    kept = Journal(closed, OURS, accept_end=True)
    assert kept.state.version == 18
    write(kept, 1)
    kept.close()
    assert opened(closed).version == 19


@pytest.mark.parametrize("how", ["gone", "empty", "torn"])
def test_a_journal_without_its_head_is_refused(how: str, closed: Path) -> None:
    """Nothing else says whether the end is there."""
    head = Path(f"{closed}-head")
    if how == "gone":
        head.unlink()
    else:
        head.write_bytes(b"" if how == "empty" else head.read_bytes()[:40] + bytes(88))
    for _ in range(2):
        with pytest.raises(JournalDamaged, match="-head' is gone or damaged"):
            opened(closed)
    kept = Journal(closed, OURS, accept_end=True)
    kept.close()
    assert opened(closed).version == 20


def test_the_log_of_another_journal_is_refused(tmp_path: Path) -> None:
    """Also where it has all pages, more entries and right checksums."""
    ours, other = Journal(tmp_path / "j", OURS), Journal(tmp_path / "other", OURS)
    write(ours, 5, seed=1)
    write(other, 9, seed=2)
    file = copied(tmp_path / "j", tmp_path / "crash")
    shutil.copy(tmp_path / "other-wal", f"{file}-wal")
    with pytest.raises(JournalDamaged, match=r"damaged at entry [0-5]:"):
        opened(file)
    ours.close()
    other.close()


def test_a_refused_journal_is_left_as_it_is(tmp_path: Path) -> None:
    """Not a byte of its log is dropped, as SQLite would."""
    kept = Journal(tmp_path / "j", OURS)
    write(kept, 9)
    file = copied(tmp_path / "j", tmp_path / "crash")
    kept.close()
    log = Path(f"{file}-wal")
    log.write_bytes(log.read_bytes()[:9000] + b"x" + log.read_bytes()[9001:])
    before = {path.name: path.read_bytes() for path in files_of(file)}
    with pytest.raises(JournalDamaged):
        opened(file)
    after = {path.name: path.read_bytes() for path in files_of(file)}
    after.pop(f"{file.name}-shm", None)
    assert after == before


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    "change", ["UPDATE parts SET last = 0", "UPDATE parts SET last = 1", "DELETE FROM parts"]
)
def test_a_snapshot_that_is_not_whole_is_refused(change: str, tmp_path: Path) -> None:
    """Where the entries before it are gone, nothing else has what it had."""
    kept = Journal(tmp_path / "j", OURS, 7)
    write(kept, 45)
    kept.close()
    with sqlite3.connect(tmp_path / "j") as db:
        assert db.execute("SELECT count(*) FROM anchor").fetchone() == (1,)
        db.execute(change)
    db.close()
    with pytest.raises(JournalDamaged, match="its snapshot"):
        opened(tmp_path / "j")


def test_a_table_that_is_stated_otherwise_is_refused(closed: Path) -> None:
    with sqlite3.connect(closed) as db:
        db.execute("PRAGMA writable_schema = 1")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, 'key TEXT', 'key TEXU')")
    db.close()
    with pytest.raises(JournalDamaged, match="its tables are others"):
        opened(closed)


def test_what_a_crash_left_of_a_journal_that_was_being_made_is_in_nobodys_way(
    tmp_path: Path,
) -> None:
    for name in ("j-new", "j-new-journal", "j-wal"):
        (tmp_path / name).write_bytes(b"some of it")
    (tmp_path / "j-head").write_bytes(b"")
    kept = Journal(tmp_path / "j", OURS)
    write(kept, 3)
    kept.close()
    assert opened(tmp_path / "j").version == 3
    assert not [path for path in files_of(tmp_path / "j") if "new" in path.name]


# -- what is wrong with the disk -------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptallocError, match="cannot be used: No such file or directory"):
        Journal(tmp_path / "none" / "j", OURS)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OptallocError, match="folder' cannot be used: "):
        Journal(tmp_path / "folder", OURS)


FULL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, "tests")
from test_service_journal import OURS, Journal, OptallocError, write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
kept = None
try:
    kept = Journal(Path(sys.argv[1]), OURS)
    for k in range(300):
        write(kept, 1, k)
        print(kept.state.version, flush=True)
except (OptallocError, OSError, __import__("sqlite3").Error) as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("size", [100, 10_000, 40_000, 150_000])
def test_a_full_disk_loses_nothing_that_was_committed(size: int, tmp_path: Path) -> None:
    """Files may not grow over a size, wherever that is; later there is room again."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "j"), str(size)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    *committed, said = done.stdout.splitlines()
    assert "disk" in said or "too large" in said, said
    assert "damaged" not in said
    found = opened(tmp_path / "j")
    assert found.version == (int(committed[-1]) if committed else 0)


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


def test_a_journal_that_sqlite_would_not_write_is_refused_at_once(closed: Path) -> None:
    """The file's header says by which version of its format it may be written."""
    whole = closed.read_bytes()
    closed.write_bytes(whole[:18] + b"\xfd" + whole[19:])
    with pytest.raises(OptallocError, match="cannot be used: attempt to write a readonly"):
        Journal(closed, OURS)


def test_an_anchor_that_is_no_number_is_damage(closed: Path) -> None:
    whole, loose = "'seq INTEGER NOT NULL, chain'", "'seq, chain'"
    change = "UPDATE sqlite_master SET sql = replace(sql, {}, {}) WHERE name = 'anchor'"
    for statements in (
        ["PRAGMA writable_schema=ON", change.format(whole, loose)],
        ["INSERT INTO anchor VALUES (0, NULL, x'00')"],
        ["PRAGMA writable_schema=ON", change.format(loose, whole)],
    ):
        with closing(sqlite3.connect(closed, isolation_level=None)) as db:
            for statement in statements:
                db.execute(statement)
    with pytest.raises(JournalDamaged, match="checksum"):
        Journal(closed, OURS)
