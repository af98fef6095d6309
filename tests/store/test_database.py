"""Opening the store, and what a transaction promises."""

import sqlite3
import stat
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, text
from store_cases import Start

from store import journal
from store.database import Database
from store.schema import JOURNAL


def test_it_is_made_once_and_for_its_owner_alone(sqlite_url: str, tmp_path: Path) -> None:
    Database.open(sqlite_url).close()
    with closing(sqlite3.connect(tmp_path / "state" / "store.db")) as conn:
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["store.db"]
    modes = [stat.S_IMODE((tmp_path / "state" / name).stat().st_mode) for name in (".", "store.db")]
    assert modes == [0o700, 0o600]


def test_what_is_committed_is_on_the_disk(sqlite_url: str) -> None:
    db = Database.open(sqlite_url)
    with db.write() as conn:
        assert conn.execute(text("PRAGMA synchronous")).scalar() == 2
        assert conn.execute(text("PRAGMA foreign_keys")).scalar() == 1
    db.close()


def test_opening_again_finds_what_was_written(url: str) -> None:
    for number in (1, 2):
        db = Database.open(url)
        with db.write() as conn:
            journal.append(conn, event="opened", data={})
        with db.read() as conn:
            assert len(conn.execute(select(JOURNAL)).all()) == number
        db.close()


def test_many_processes_may_be_the_first(url: str, start: Start) -> None:
    children = [start("open", url) for _ in range(3)]
    for child in children:
        assert child.hear() == "ready"
    for child in children:
        child.tell("go")
    assert [child.hear() for child in children] == ["opened"] * 3
    db = Database.open(url)
    audit = journal.verify(db)
    assert (audit.rows, audit.faults) == (3, ())
    db.close()


def test_a_body_that_raises_leaves_nothing_behind(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.write() as conn:
        journal.append(conn, event="half", data={})
        _ = 1 / 0
    assert journal.verify(db) == journal.Audit(0, journal.START, ())


def test_a_reader_sees_one_moment_and_waits_for_nobody(db: Database) -> None:
    with db.read() as reader:
        before = len(reader.execute(select(JOURNAL)).all())
        with db.write() as conn:
            journal.append(conn, event="meanwhile", data={})
        assert len(reader.execute(select(JOURNAL)).all()) == before == 0


def test_the_clock_is_about_right(db: Database) -> None:
    with db.read() as conn:
        assert abs(db.now(conn) - time.time()) < 5


def test_threads_take_turns(db: Database) -> None:
    def append() -> None:
        for _ in range(5):
            with db.write() as conn:
                journal.append(conn, event="wrote", data={})

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    audit = journal.verify(db)
    assert (audit.rows, audit.faults) == (20, ())
