"""Running a file's text in a scratch database, as golang-migrate would, and refusing what must not be run there."""

import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.pq import TransactionStatus

from runbooks.errors import Refused, Unreachable
from runbooks.migrations.files import NOTHING, MigrationFile
from tasks.migrations.parse_reach import reaches_out

Connection = psycopg.Connection[Any]

_FRESH = "DISCARD TEMP; RESET ALL; RESET ROLE; UNLISTEN *; CLOSE ALL; DEALLOCATE ALL; SELECT pg_advisory_unlock_all();"


@dataclass(frozen=True, slots=True)
class VersionTable:
    """Where golang-migrate keeps the version."""

    schema: str = "public"
    name: str = "schema_migrations"

    @property
    def ident(self) -> str:
        """Its name as SQL needs it."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in (self.schema, self.name))


def make_table(conn: Connection, table: VersionTable) -> None:
    """As golang-migrate's ensureVersionTable does; its schema, too, which no migration can have made."""
    columns = "(version bigint not null primary key, dirty boolean not null)"
    conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(table.schema)))
    conn.execute(f"CREATE TABLE IF NOT EXISTS {table.ident} {columns}".encode())


def makes_schema(text: str, schema: str) -> bool:
    """Whether a file makes `schema`, so far as its words tell."""
    return re.search(rf"\bcreate\s+schema\s[^;]*\b{re.escape(schema)}\b", text, re.IGNORECASE) is not None


def fresh(conn: Connection, table: VersionTable, row: tuple[int, bool]) -> None:
    """The session as after a login, and the row in the version table: one round trip.

    golang-migrate keeps one session for all files of one `up`, so a SET in one file reaches the next ones. But a deploy
    mostly brings one file, and the one that failed began its session in the last deploy: so each file begins anew.
    Raises: psycopg.Error.
    """
    version, dirty = row
    insert = f"INSERT INTO {table.ident} VALUES ({int(version)}, {bool(dirty)});"
    kept = insert if version > NOTHING or dirty else ""  # golang-migrate's nil version is an empty table
    conn.execute(f"{_FRESH} DELETE FROM {table.ident}; {kept}".encode(), prepare=False)


def run(conn: Connection, text: str) -> psycopg.Error | None:
    """Sends `text` as one simple Query; what PostgreSQL said against it. A transaction may be open then.

    Raises: Refused `cannot-replay`, when that says nothing about the file (time-out, COPY from its client);
    Unreachable `scratch-unreachable`.
    """
    try:
        conn.execute(text.encode(), prepare=False)
    except errors.QueryCanceled:
        raise Refused(
            "cannot-replay",
            "a statement takes too long on a database without rows",
            hint="look for one that waits on purpose, such as pg_sleep in a block",
        ) from None
    except psycopg.Error as error:
        if conn.info.transaction_status == TransactionStatus.ACTIVE:  # COPY: PostgreSQL waits for rows
            conn.close()
            raise Refused(
                "cannot-replay",
                "it has COPY from or to its client, which no driver of golang-migrate can",
                hint=_BY_HAND,
            ) from None
        if conn.closed:
            raise Unreachable(
                "scratch-unreachable", f"the scratch database was lost: {error}", hint="start the run again"
            ) from None
        return error
    return None


def roll_back(conn: Connection) -> bool:
    """Ends a transaction that is open; whether one was."""
    if conn.info.transaction_status == TransactionStatus.IDLE:
        return False
    conn.execute("ROLLBACK", prepare=False)
    return True


def refuse_what_reaches_out(file: MigrationFile, *, alone: bool) -> None:
    """Raises: Refused `cannot-replay`, unless the file is SQL that stays inside its database.

    `alone` says that the server has nobody else's databases: then roles and databases may be made in it, but other
    servers and files must not be reached from there either.
    """
    if not file.is_sql:
        raise Refused(
            "cannot-replay", f"{file.name} is no SQL that could be run as it is: Go code or a template", hint=_BY_HAND
        )
    found = reaches_out(file.text, alone=alone)
    if found and (alone or reaches_out(file.text, alone=True)):
        raise Refused(
            "cannot-replay",
            f"{file.name} reaches beyond its server ({found}): that would be done in earnest",
            hint=_BY_HAND,
        )
    if found:
        raise Refused(
            "cannot-replay",
            f"{file.name} reaches beyond its database, or may ({found}): on the live server that would be done in"
            " earnest",
            hint="set scratch to own-server",
        )


_BY_HAND = "this version can only be judged by a person: compare the database with what it should have done"
