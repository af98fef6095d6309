"""Every way in which the store can refuse to work: one clear line, and never a password in it."""

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text, update
from store_cases import Start

from lab.postgres import Postgres
from runbooks.errors import BadRequest, StoreUnusable
from store import database as database_module
from store import journal
from store.database import Database
from store.schema import VERSION, VERSIONS

# ---- what is not a store

NO_STORE = [
    "",
    "store.db",
    "sqlite://",
    "sqlite:///:memory:",
    "mysql://root:hunter2@host/db",
    "postgresql://root:hunter2@host",
    "postgresql://root:hun@ter2@host/db",
    "postgresql://root:hunter2@host:port/db",
    "sqlite+aiosqlite:////tmp/x.db",
]


@pytest.mark.parametrize("url", NO_STORE)
def test_what_is_no_url_of_a_store_is_said_without_repeating_it(url: str) -> None:
    with pytest.raises(BadRequest, match="RUNBOOK_STORE_URL is not") as raised:
        Database.open(url)
    assert raised.value.reference == "bad-setting"
    assert not any(secret in str(raised.value) for secret in ("hunter2", "ter2", "root"))


def test_a_newer_store_is_left_alone(url: str) -> None:
    db = Database.open(url)
    with db.write() as conn:
        conn.execute(update(VERSIONS).values(version=VERSION + 1))
    db.close()
    refused(url, "store-too-new", f"version {VERSION + 1}")


# ---- what cannot be used


def refused(url: str, reference: str, said: str) -> StoreUnusable:
    """Opening and writing must end in one clear line, which is returned."""
    with pytest.raises(StoreUnusable) as raised:
        db = Database.open(url)
        try:
            with db.write() as conn:
                journal.append(conn, event="wrote", data={})
        finally:
            db.close()
    assert raised.value.reference == reference, raised.value
    assert re.search(said, raised.value.message), raised.value
    assert raised.value.__cause__ is None and "\n" not in str(raised.value)
    return raised.value


def a_folder(path: Path) -> None:
    path.mkdir()


def a_text(path: Path) -> None:
    path.write_text("Dear database,\n" * 100)


def a_broken_database(path: Path) -> None:
    Database.open(f"sqlite:///{path}").close()
    path.write_bytes(path.read_bytes()[:5_000] + b"\x7f" * 60_000)


def a_store_without_a_table(path: Path) -> None:
    Database.open(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("DROP TABLE journal")


FILES = [
    (a_folder, "store-unreachable", "unable to open"),
    (a_text, "store-damaged", "not a database"),
    (a_broken_database, "store-damaged", "malformed"),
    (a_store_without_a_table, "store-damaged", "no such table"),
]


@pytest.mark.parametrize(("make", "reference", "said"), FILES)
def test_a_file_that_is_no_store(make: Callable[[Path], None], reference: str, said: str, tmp_path: Path) -> None:
    make(tmp_path / "store.db")
    error = refused(f"sqlite:///{tmp_path / 'store.db'}", reference, said)
    assert str(tmp_path / "store.db") in error.message


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(f"sqlite:///{tmp_path}/file/store.db", "store-unreachable", "(File exists|Not a directory)")


def test_a_store_that_is_opened_read_only_can_be_looked_at(sqlite_url: str) -> None:
    db = Database.open(sqlite_url)
    with db.write() as conn:
        journal.append(conn, event="wrote", data={})
    read_only = "sqlite:///file:" + sqlite_url.removeprefix("sqlite:///") + "?mode=ro&uri=true"
    error = refused(read_only, "store-read-only", "readonly")
    assert f"the store {sqlite_url.removeprefix('sqlite:///')} cannot" in error.message
    looking = Database.open(read_only)
    assert journal.verify(looking).rows == 1
    looking.close()
    db.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that an unprivileged account can reach, which pytest's own are not when root runs the tests."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_file_that_may_not_be_written(open_folder: Path, start: Start) -> None:
    url = f"sqlite:///{open_folder / 'store.db'}"
    Database.open(url).close()
    (open_folder / "store.db").chmod(0o444)
    open_folder.chmod(0o555)
    said = start("write", url, "0", "nobody").hear()
    assert said.startswith(f"0 store-read-only the store {open_folder / 'store.db'} cannot be used"), said


def test_a_folder_that_may_not_be_written(open_folder: Path, start: Start) -> None:
    open_folder.chmod(0o555)
    said = start("write", f"sqlite:///{open_folder / 'store.db'}", "0", "nobody").hear()
    assert said.startswith("0 store-read-only"), said
    assert list(open_folder.iterdir()) == []


def test_a_disk_that_is_full_keeps_what_was_committed(sqlite_url: str, start: Start) -> None:
    rows, reference, *_ = start("write", sqlite_url, "400000", "").hear().split()
    assert reference == "store-full"
    assert int(rows) > 10
    db = Database.open(sqlite_url)
    audit = journal.verify(db)
    assert (audit.rows, audit.faults) == (int(rows), ())
    db.close()


def test_a_disk_that_is_full_by_its_own_words(sqlite_url: str) -> None:
    db = Database.open(sqlite_url)
    with pytest.raises(StoreUnusable, match="full") as raised, db.write() as conn:
        conn.execute(text("PRAGMA max_page_count = 30"))
        while True:
            journal.append(conn, event="filled", data={"much": "x" * 4_000})
    assert raised.value.reference == "store-full"
    db.close()


def test_a_writer_that_does_not_end(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "BUSY_S", 0.2)
    db, second = Database.open(url), Database.open(url)
    with db.write(), pytest.raises(StoreUnusable) as raised, second.write():
        pass
    assert raised.value.reference == "store-busy"
    with second.write() as conn:
        journal.append(conn, event="wrote", data={})
    db.close()
    second.close()


# ---- PostgreSQL


def with_secret(url: str, secret: str) -> str:
    return re.sub(r"(postgres:)[^@]+@", rf"\g<1>{secret}@", url)


def test_a_wrong_password_is_not_repeated(postgres_url: str) -> None:
    error = refused(with_secret(postgres_url, "hunter2"), "store-unreachable", "password authentication failed")
    assert "hunter2" not in str(error)


def test_a_password_in_the_query_is_not_repeated(postgres_url: str) -> None:
    url = re.sub(r"postgres:[^@]+@", "postgres@", postgres_url) + "&password=hunter2"
    assert "hunter2" not in str(refused(url, "store-unreachable", "password authentication failed"))


@pytest.mark.parametrize(
    "url", ["postgresql://ann:hunter2@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db?password=hunter2"]
)
def test_a_driver_that_repeats_the_password_is_not_believed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object, **__: object) -> None:
        raise psycopg.OperationalError('cannot connect with "password=hunter2"')

    monkeypatch.setattr(psycopg, "connect", connect)
    error = refused(url, "store-unreachable", re.escape('cannot connect with "password=***"'))
    assert "hunter2" not in repr(error)


POSTGRES = [
    (lambda url: re.sub(r":\d+/", ":1/", url), "store-unreachable", "refused"),
    (lambda url: url.replace("/store?", "/stores?"), "store-unreachable", "does not exist"),
    (lambda url: url + "%20-cdefault_transaction_read_only%3Don", "store-read-only", "read-only"),
]


@pytest.mark.parametrize(("change", "reference", "said"), POSTGRES)
def test_a_server_that_does_not_serve(
    change: Callable[[str], str], reference: str, said: str, postgres_url: str
) -> None:
    Database.open(postgres_url).close()
    assert "PostgreSQL 127.0.0.1:" in refused(change(postgres_url), reference, said).message


def test_a_server_that_goes_and_comes_back(postgres: Postgres, postgres_url: str) -> None:
    db = Database.open(postgres_url)
    with db.write() as conn:
        journal.append(conn, event="wrote", data={})
    with pytest.raises(StoreUnusable) as raised, db.read() as conn:
        postgres.kill()
        journal.head(conn)
    assert raised.value.reference == "store-unreachable"
    with pytest.raises(StoreUnusable) as raised, db.write():
        pass
    assert raised.value.reference == "store-unreachable"
    postgres.start()
    assert journal.verify(db).rows == 1
    db.close()


def test_either_spelling_of_its_url_will_do(postgres_url: str) -> None:
    db = Database.open(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    assert db.place.endswith("/store")
    db.close()
