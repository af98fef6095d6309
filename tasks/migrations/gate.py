"""Nobody is at work on the database: golang-migrate's own locks, tried and never waited for."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors, sql

from runbooks.dirty_migration_facts import Migrator
from runbooks.migrations.locks import lock_ids
from store.migrated import MigratedDatabase

LONG_S = 5
"""After how many seconds of holding the locks it is said: meanwhile every migrator waits, deployments look stuck."""

LOCK_TABLE = "schema_lock"
"""The table that golang-migrate's pgx driver uses instead, where x-lock-strategy is table; a row in it is a lock."""

_HOLDERS = """
SELECT a.pid, coalesce(a.state, 'unknown'), extract(epoch FROM now() - coalesce(a.xact_start, a.state_change, now())),
       coalesce(host(a.client_addr), 'this host'), coalesce(left(a.query, 120), '')
FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = %s AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND a.pid <> pg_backend_pid()
"""


@contextmanager
def gate(
    conn: psycopg.Connection[Any], database: MigratedDatabase, say: Callable[[str], None]
) -> Iterator[tuple[Migrator, ...]]:
    """Hold both locks for the body if nobody else does; else the body gets who does, and holds none.

    A migrator whose client died holds its lock until PostgreSQL notices, often only when its statement has ended.
    """
    ids = lock_ids(database.dbname, database.version_schema, database.version_table)
    taken = [number for number in ids if _try(conn, number)]
    late = threading.Timer(LONG_S, say, [f"the migrators' lock has been held for {LONG_S} s; deployments wait for it"])
    late.daemon = True
    late.start()
    try:
        yield (*_holders(conn, [number for number in ids if number not in taken]), *_lock_rows(conn, database))
    finally:
        late.cancel()
        if not conn.closed:
            for number in taken:
                conn.execute("SELECT pg_advisory_unlock(%s)", (number,))


def _try(conn: psycopg.Connection[Any], number: int) -> bool:
    row = conn.execute("SELECT pg_try_advisory_lock(%s)", (number,)).fetchone()
    return bool(row and row[0])


def _holders(conn: psycopg.Connection[Any], missed: list[int]) -> Iterator[Migrator]:
    for number in missed:
        found = conn.execute(_HOLDERS, (number,)).fetchall()
        for pid, state, since_s, client, doing in found:
            yield Migrator(pid, f"advisory lock {number}", state, float(since_s), client, _one_line(doing))
        if not found:  # it let go in between, or is not ours to see: looking again tells
            yield Migrator(0, f"advisory lock {number}", "not visible", 0.0, "unknown", "")


def _lock_rows(conn: psycopg.Connection[Any], database: MigratedDatabase) -> Iterator[Migrator]:
    if database.driver != "pgx5":
        return
    table = sql.Identifier(database.version_schema, LOCK_TABLE)
    try:
        rows = conn.execute(sql.SQL("SELECT lock_id FROM {}").format(table)).fetchall()
    except errors.UndefinedTable:
        return
    for (number,) in rows:
        yield Migrator(0, f"row {number} of {LOCK_TABLE}", "not visible", 0.0, "unknown", "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
