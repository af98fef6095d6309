"""What rows tell of statements that leave no other trace. For people: but for a probe, it decides nothing."""

import time
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

from runbooks.dirty_migration_facts import Evidence
from runbooks.migrations.files import Direction
from runbooks.migrations.statements import Kind, Statement

LIMIT_S = 2
"""How long one question may take, seconds: these are full scans, and somebody waits."""

LIMIT_IN_ALL_S = 6
"""How long all of them together may take, seconds."""

_LEAST_S = 0.02
"""With less time left a question is not asked, seconds."""


def evidence_of(
    conn: psycopg.Connection[Any], statements: Iterable[tuple[Direction, Statement]], mark_xmin: str
) -> tuple[Evidence, ...]:
    """What the rows say of `statements`, of which no object tells; nothing of one without rows and without a probe.

    Each probe and each table is asked once, and the probes first, because they decide. What would take longer than
    `LIMIT_IN_ALL_S` in all is not asked: it is not known, and said to be so.
    """
    until = time.monotonic() + LIMIT_IN_ALL_S
    asked = [(way, one) for way, one in statements if one.kind is Kind.DML or one.probe]
    proved = dict[str, bool | None]()
    for _, statement in asked:
        if statement.probe not in proved:
            proved[statement.probe] = probe(conn, statement, _left(until))
    seen = dict[str, str]()
    for table in (table for _, statement in asked for table in _tables(statement)):
        if table not in seen:
            seen[table] = newer_rows(conn, table, mark_xmin, _left(until))
    return tuple(
        Evidence(way, one.number, proved[one.probe], " ".join(seen[table] for table in _tables(one)))
        for way, one in asked
    )


def _left(until: float) -> float:
    return min(LIMIT_S, until - time.monotonic())


def _tables(statement: Statement) -> list[str]:
    return statement.writes.split(", ") if statement.writes else []


def probe(conn: psycopg.Connection[Any], statement: Statement, limit_s: float = LIMIT_S) -> bool | None:
    """Whether running `statement` again would touch a row: False is proved; None is not known (no probe, an error, no
    more than `limit_s` seconds).

    The probe is somebody's WHERE, and may call functions that do things: it runs READ ONLY, and is rolled back.
    """
    if not statement.probe or limit_s < _LEAST_S:
        return None
    try:
        return bool(_ask(conn, sql.SQL("SELECT EXISTS (\n{}\n)").format(sql.SQL(statement.probe)), limit_s)[0][0])
    except psycopg.Error:
        return None


def newer_rows(conn: psycopg.Connection[Any], table: str, mark_xmin: str, limit_s: float = LIMIT_S) -> str:
    """A sentence about the rows of `table` (qualified, quoted) that were written after the dirty mark, whose xmin is
    `mark_xmin`. What a migration wrote has nearly always one transaction; what the application wrote is newer too.
    """
    if limit_s < _LEAST_S:
        return f"{table} was not read: it takes too long."
    try:
        named = _ask(conn, sql.SQL("SELECT to_regclass({})::text").format(sql.Literal(table)), limit_s)[0][0]
        if named is None:
            return f"{table} is not there."
        mark = sql.SQL("{}::xid").format(sql.Literal(mark_xmin))
        rows = _ask(
            conn,
            sql.SQL(
                "SELECT xmin::text, count(*), sum(count(*)) OVER (), count(*) OVER () FROM {} WHERE age(xmin) < age({})"
                " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
            ).format(sql.SQL(named), mark),
            limit_s,
        )
    except psycopg.errors.QueryCanceled:
        return f"{table} was not read: looking through it takes longer than {limit_s:.2g} s."
    except psycopg.Error as error:
        return f"{table} was not read: {(error.diag.message_primary or type(error).__name__).rstrip('.')}."
    return _sentence(table, rows)


def _sentence(table: str, rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return f"No row of {table} is newer than the dirty mark (deleted rows leave no trace)."
    writer, most, total, writers = rows[0]
    by = (
        f"all by transaction {writer}"
        if writers == 1
        else f"{most} of them by transaction {writer}, the rest by others"
    )
    return (
        f"{total} rows of {table} are newer than the dirty mark, {by}; the application may have written them as well."
    )


def _ask(conn: psycopg.Connection[Any], query: sql.Composed, limit_s: float) -> list[tuple[Any, ...]]:
    """The rows of ONE query, in a READ ONLY transaction that is rolled back; an error if row security hides any.

    In the extended protocol (`binary`), which takes one statement: a second one could end the transaction first.
    """
    limit = sql.Literal(max(int(limit_s * 1000), 1))
    with conn.transaction(force_rollback=True):
        conn.execute("SET TRANSACTION READ ONLY")
        conn.execute(
            sql.SQL(
                "SET LOCAL statement_timeout = {0}; SET LOCAL lock_timeout = {0}; SET LOCAL row_security = off"
            ).format(limit)
        )
        return conn.execute(query, binary=True).fetchall()
