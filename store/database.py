"""The one door to the database: SQLite in a file of this host, or a PostgreSQL server that several hosts share.

One writer at a time, on both: SQLite can do no other, and on PostgreSQL every writing transaction first takes one lock.
So whatever holds on one holds on the other, no two transactions can wait for each other in a circle, and what a
transaction has read stays true until it is committed. A runbook writes some dozens of rows; that is fast enough.
"""

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, insert, inspect, make_url, select, update
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from runbooks.errors import BadRequest
from store.faults import translated, unusable
from store.schema import METADATA, VERSION, VERSIONS
from store.settings import settings

BUSY_S = 5
"""How long a transaction waits for its turn to write before it gives up with `store-busy`, seconds."""

_WRITERS_LOCK = 0x72756E62  # "runb": the number is ours to choose, and must never change


class Database:
    """An opened store. Threads may share it; a forked child must open its own."""

    def __init__(self, url: URL) -> None:
        """Nothing is touched yet: `open` does that."""
        self.url = url
        sqlite = url.get_backend_name() == "sqlite"
        self._file = Path((url.database or "").removeprefix("file:")) if sqlite else None
        self._secrets = tuple(map(str, filter(None, (url.password, url.query.get("password")))))
        self.engine = _sqlite(url) if self._file else _postgresql(url)

    @classmethod
    def open(cls, url: str) -> "Database":
        """The store at `url`, its tables made if they are missing.

        Raises: BadRequest `bad-setting` for a URL that names none, StoreUnusable (see `store.faults`), `store-too-new`
        among them.
        """
        opened = cls(_parse(url))
        try:
            opened._prepare()
        except BaseException:
            opened.close()
            raise
        return opened

    @property
    def place(self) -> str:
        """Where it is, for people: never with a user's name or password."""
        if self._file:
            return str(self._file)
        host = self.url.host or self.url.query.get("host") or "this host"
        return f"PostgreSQL {host}:{self.url.port or 5432}/{self.url.database}"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write, alone: committed at the end, rolled back when the body raises.

        Raises: StoreUnusable.
        """
        with self._explained(), self.engine.execution_options(writes=True).begin() as conn:
            if not self._file:
                conn.execute(select(func.pg_advisory_xact_lock(_WRITERS_LOCK)))
            yield conn

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of everything, which waits for no writer. Raises: StoreUnusable."""
        engine = self.engine if self._file else self.engine.execution_options(isolation_level="REPEATABLE READ")
        with self._explained(), engine.begin() as conn:
            yield conn

    @staticmethod
    def now(conn: Connection) -> float:
        """Seconds since 1970: by the server's clock on PostgreSQL, where hosts must agree, else by this host's."""
        if conn.dialect.name == "sqlite":
            return time.time()
        return float(conn.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()

    def _prepare(self) -> None:
        if self._file and "uri" not in self.url.query:  # file:…?mode=ro&uri=true says itself what may be made
            with self._explained(OSError):
                _make_file(self._file)
        with self.read() as conn:
            found = self._version(conn)
        if found == VERSION:
            return  # no need to wait for a writer, and a read-only store can still be looked at
        with self.write() as conn:
            METADATA.create_all(conn)
            if conn.execute(update(VERSIONS).values(version=VERSION)).rowcount == 0:
                conn.execute(insert(VERSIONS).values(version=VERSION))

    def _version(self, conn: Connection) -> int:
        if not inspect(conn).has_table(VERSIONS.name):
            return 0
        found = conn.execute(select(func.max(VERSIONS.c.version))).scalar() or 0
        if found > VERSION:
            raise unusable("store-too-new", self.place, f"it has version {found}, and this code knows {VERSION}")
        return int(found)

    @contextmanager
    def _explained(self, *more: type[Exception]) -> Iterator[None]:
        # What the driver says while it connects reaches us as it is, everything later wrapped by SQLAlchemy. The cause
        # is left out: no trace of a run may quote what a driver was given to connect with.
        driver: type[Exception] = self.engine.dialect.loaded_dbapi.Error
        expected: tuple[type[Exception], ...] = (SQLAlchemyError, driver, *more)
        try:
            yield
        except expected as error:
            raise translated(error, self.place, self._file, self._secrets) from None


@cache
def database() -> Database:
    """The store that the settings name, opened once in this process. Raises: as `Database.open`."""
    return Database.open(settings().store_url.get_secret_value())


def _parse(url: str) -> URL:
    # Nothing of the URL is repeated: it may hold a password, and a misread one may hold it anywhere.
    wrong = BadRequest(
        "bad-setting",
        "RUNBOOK_STORE_URL is not the URL of a store",
        hint="write sqlite:////absolute/path.db or postgresql://user:password@host/database; a password with one of "
        "@ : / ? # % in it is percent-encoded",
    )
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise wrong from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    known = parsed.drivername in ("sqlite", "postgresql+psycopg")
    relative = (
        parsed.drivername == "sqlite" and "uri" not in parsed.query and not Path(parsed.database or "/").is_absolute()
    )
    if relative or not known or not parsed.database or parsed.database == ":memory:" or "@" in (parsed.host or ""):
        raise wrong
    return parsed


def _make_file(path: Path) -> None:
    """Born under another name, complete and in WAL mode, then linked: nobody ever opens a half-made one."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    born = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    os.close(os.open(born, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with closing(sqlite3.connect(born)) as conn:
            conn.execute("PRAGMA journal_mode = WAL")
        with suppress(FileExistsError):  # another process was first
            os.link(born, path)
    finally:
        born.unlink()


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, pool_timeout=BUSY_S, connect_args={"timeout": BUSY_S})

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself; we do, below
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(conn: Connection) -> None:
        # A transaction that reads first and writes later could find that it may not any more (SQLITE_BUSY_SNAPSHOT).
        conn.exec_driver_sql("BEGIN IMMEDIATE" if conn.get_execution_options().get("writes") else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    patience = {
        "connect_timeout": BUSY_S,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "prepare_threshold": None,  # a pooler between us and the server may not know prepared statements
    }
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_timeout=BUSY_S,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        connect_args={name: value for name, value in patience.items() if name not in url.query},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{BUSY_S}s'")
            cursor.execute("SET statement_timeout = '30s'")
            # a writer that was frozen in the middle must not block the others for ever
            cursor.execute("SET idle_in_transaction_session_timeout = '30s'")
            cursor.execute("SET synchronous_commit = on")
        connection.commit()

    return engine
