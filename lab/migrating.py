"""golang-migrate's semantics, exactly (v4, driver `postgres` over lib/pq), for `lab/migrate.py` and for tests.

It does what database/postgres/postgres.go and migrate.go do: the version table first; one advisory lock; a dirty mark
in a transaction of its own; the whole file as one simple query, with no transaction added; a clean mark. The target of
*down* is the version before, so a dirty mark at 41 means "up 41 failed" or "the down of the version after 41 did".
"""

import os
import signal
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from lab.migrate_settings import MigrateSettings
from lab.migrating_words import BAD_CONNECTION, database_error, identifier, migration_error
from runbooks.errors import BadRequest
from runbooks.migrations.files import NOTHING, Direction, Migrations, Version, migrations_of

_SALT = 1486364155
"""database/util.go."""


class MigrateFailed(Exception):
    """It stopped; the text is golang-migrate's own."""


class NoChange(MigrateFailed):
    """There was nothing to do; the program ends well all the same."""


def lock_id(database: str, *more: str) -> int:
    """The advisory lock's id. `more` is schema and table of the versions.

    `database` is "/name" where the driver was opened by a URL, and "name" where by `WithInstance`.
    """
    return zlib.crc32("\0".join((*more, database)).encode()) * _SALT & 0xFFFFFFFF


def pieces_of(text: str) -> tuple[str, ...]:
    """What multi-statement mode makes of a file: cut behind every `;`, wherever that stands (multistmt/parse.go)."""
    *cut, rest = text.split(";")
    return tuple(piece for piece in (*(f"{piece};" for piece in cut), rest) if piece.strip())


class Migrate:
    """One run: a connection, with the version table in place. Raises: MigrateFailed, from every method.

    `log` hears what golang-migrate logs with `-verbose`.
    """

    def __init__(self, settings: MigrateSettings, log: Callable[[str], None] = lambda _: None) -> None:
        self.settings, self._log = settings, log
        self._bad = False  # lib/pq's word for a connection that it will not use again
        try:
            self.migrations = read_folder(settings.folder)
            self._connection = psycopg.connect(**settings.connection(), autocommit=True, prepare_threshold=None)
        except (OSError, BadRequest) as error:
            text = error.message if isinstance(error, BadRequest) else error
            raise MigrateFailed(f"failed to open source, {f'file://{settings.folder}'!r}: {text}") from None
        except psycopg.Error as error:
            raise MigrateFailed(f"failed to open database: {str(error).splitlines()[0]}") from None
        try:
            self._open()
        except MigrateFailed as error:
            self._connection.close()
            raise MigrateFailed(f"failed to open database: {error}") from None

    def up(self, limit: int = -1) -> None:
        """Applies all or `limit` versions."""
        self._locked(lambda: self._up(limit))

    def down(self, limit: int = -1) -> None:
        """Takes back all or `limit` versions."""
        self._locked(lambda: self._down(limit))

    def force(self, version: int) -> None:
        """Sets the version, clean; does not look whether there is such a version."""
        if version < NOTHING:
            raise MigrateFailed("version must be >= -1")
        self._locked(lambda: self._set_version(version, dirty=False), look=False)

    def version(self) -> tuple[int, bool]:
        """Version and dirty mark of whichever row comes first; -1 for none."""
        query = f"SELECT version, dirty FROM {self._quoted} LIMIT 1"
        try:
            row = self._connection.execute(sql.SQL(query)).fetchone()
        except psycopg.errors.UndefinedTable:
            return NOTHING, False
        except psycopg.Error as error:
            raise MigrateFailed(database_error(error, query)) from None
        return (int(row[0]), bool(row[1])) if row else (NOTHING, False)

    def _open(self) -> None:
        row = self._query("SELECT CURRENT_SCHEMA()")
        if row is None or row[0] is None:
            raise MigrateFailed("no schema")
        self._schema, self._table = self.settings.version_table(str(row[0]))
        self._quoted = sql.Identifier(self._schema, self._table).as_string()
        with_slash = "/" if self.settings.lock == "url" else ""
        self.lock = lock_id(f"{with_slash}{self.settings.dbname}", self._schema, self._table)
        self._advisory("pg_advisory_lock")  # waits without limit, whatever -lock-timeout says
        try:
            known = "SELECT COUNT(1) FROM information_schema.tables WHERE table_schema = %s AND table_name = %s LIMIT 1"
            if self._query(known, (self._schema, self._table)) != (1,):
                columns = "(version bigint not null primary key, dirty boolean not null)"
                self._query(f"CREATE TABLE IF NOT EXISTS {self._quoted} {columns}")
        finally:
            self._advisory("pg_advisory_unlock")

    def _locked(self, work: Callable[[], None], *, look: bool = True) -> None:
        self._advisory("pg_advisory_lock")
        failed: list[MigrateFailed] = []
        try:
            if look:
                version, dirty = self.version()
                if dirty:
                    raise MigrateFailed(f"Dirty database version {version}. Fix and force version.")
            work()
        except MigrateFailed as error:
            failed.append(error)
        try:
            self._advisory("pg_advisory_unlock")
        except MigrateFailed as error:
            failed.append(error)
        if len(failed) == 1:
            raise failed[0]
        if failed:  # hashicorp/go-multierror's list
            lines = "".join(f"\t* {error}\n" for error in failed)
            raise MigrateFailed(f"{len(failed)} errors occurred:\n{lines}\n")

    def _up(self, limit: int) -> None:
        at = self._existing(self.version()[0])
        if limit == 0:
            raise NoChange("no change")
        done = 0
        while done != limit:
            following = self.migrations.next(at)
            if following is None:
                self._reached_end(done, limit, at)
                return
            self._run(following, Direction.UP, following.number)
            at, done = following.number, done + 1

    def _down(self, limit: int) -> None:
        at = self._existing(self.version()[0])
        if limit == 0 or (at == NOTHING and limit < 0):
            raise NoChange("no change")
        done = 0
        while done != limit:
            version = self.migrations.get(at)
            if version is None:
                self._reached_end(done, limit, at)
                return
            before = self.migrations.previous(at)
            self._run(version, Direction.DOWN, before)
            at, done = before, done + 1

    def _existing(self, at: int) -> int:
        if at != NOTHING and self.migrations.get(at) is None:
            what = f"no migration found for version {at}: read down for version {at} .: file does not exist"
            raise MigrateFailed(what)
        return at

    def _reached_end(self, done: int, limit: int, at: int) -> None:
        if at == NOTHING and not done and limit < 0:
            raise MigrateFailed("first .: file does not exist")
        if not done:
            raise NoChange("no change") if limit < 0 else MigrateFailed("file does not exist")
        if limit > 0:
            raise MigrateFailed(f"limit {limit - done} short")

    def _run(self, version: Version, direction: Direction, target: int) -> None:
        began, file = time.monotonic(), version.file(direction)
        name = f"{version.number}/{direction[0]} {identifier(file)}"
        self._set_version(target, dirty=True)
        if file is not None:  # a version without this file counts as empty
            self._log(f"Read and execute {name}")
            self._dies("before-file")
            for piece in pieces_of(file.text) if self.settings.multi_statement else (file.text,):
                self._execute(piece)
            self._dies("after-file")
        self._set_version(target, dirty=False)
        self._log(f"{name} ({(time.monotonic() - began) * 1000:.1f}ms)")

    def _execute(self, text: str) -> None:
        """One simple query: without parameters, in autocommit, psycopg sends the text as it stands (PQsendQuery)."""
        if not text.strip():
            return
        with _Cancel(self._connection, self.settings.statement_timeout_ms / 1000) as cancel:
            try:
                self._connection.execute(text.encode())
            except psycopg.Error as error:
                self._bad = cancel.fired or error.sqlstate is None
                raise MigrateFailed(migration_error(error, text)) from None

    def _set_version(self, version: int, *, dirty: bool) -> None:
        if self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self._bad = True  # the file left a transaction open; lib/pq's Begin gives the connection up
            status = self._connection.info.transaction_status.name.lower()
            raise MigrateFailed(
                f"transaction start failed in line 0:  (details: pq: unexpected transaction status {status})"
            )
        try:
            with self._connection.transaction():
                self._query(f"TRUNCATE {self._quoted}")
                if version >= 0 or dirty:
                    self._query(f"INSERT INTO {self._quoted} (version, dirty) VALUES (%s, %s)", (version, dirty))
        except psycopg.Error as error:
            raise MigrateFailed(database_error(error, "", "transaction commit failed")) from None

    def _advisory(self, function: str) -> None:
        if self._bad or self._connection.closed:
            self._connection.close()
            raise MigrateFailed(BAD_CONNECTION)
        try:
            self._connection.execute(f"SELECT {function}(%s)", (self.lock,))
        except psycopg.Error as error:
            word = "try lock failed" if function == "pg_advisory_lock" else ""
            raise MigrateFailed(database_error(error, f"SELECT {function}($1)", word)) from None

    def _query(self, query: str, values: Sequence[object] | None = None) -> tuple[object, ...] | None:
        try:
            cursor = self._connection.execute(query, values)
            return cursor.fetchone() if cursor.description else None
        except psycopg.Error as error:
            raise MigrateFailed(database_error(error, query)) from None

    def _dies(self, moment: str) -> None:
        """Where the settings say so: `kill -9` to itself, as a machine that is switched off."""
        if self.settings.dies == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class _Cancel:
    """`x-statement-timeout`: asks the server from another connection to end what runs; none when 0 seconds."""

    def __init__(self, connection: psycopg.Connection[tuple[object, ...]], seconds: float) -> None:
        self.fired = False
        self._timer = threading.Timer(seconds, self._fire, (connection,)) if seconds else None

    def _fire(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        self.fired = True
        connection.cancel_safe(timeout=10)

    def __enter__(self) -> Self:
        if self._timer:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer.join()


def read_folder(folder: Path) -> Migrations:
    """The migrations in a folder. Raises: BadRequest, OSError."""
    return migrations_of((path.name, path.read_bytes()) for path in folder.iterdir() if path.is_file())
