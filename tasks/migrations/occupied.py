"""Whether what would be lost holds anything: a row, a value that no default gave, a number that was given out.

What cannot be looked at counts as occupied, and the answer says why.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import psycopg
from psycopg import errors, sql

LIMIT = "5s"
"""Longest look into one table; what takes longer counts as occupied."""

_COLUMN = """
SELECT a.attgenerated <> '', a.atthasmissing, (a.attmissingval::text::text[])[1], a.xmin::text,
       pg_get_expr(d.adbin, d.adrelid), format_type(a.atttypid, a.atttypmod)
FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s::regclass AND quote_ident(a.attname) = %s AND NOT a.attisdropped
"""

_STRING = r"'(?:[^']|'')*'"
_NUMBER = r"\(?-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\)?"
_TYPE = r'(?:"(?:[^"]|"")*"|[a-z_][\w$]*)(?:[. ](?:"(?:[^"]|"")*"|[a-z_][\w$]*))*(?:\(\d+(?:,\d+)?\))?[a-z ]*(?:\[\])*'
_LITERAL = re.compile(rf"(?:E?{_STRING}|{_NUMBER}|true|false|NULL|ARRAY\[\])(?:::{_TYPE})?")
"""A constant as PostgreSQL writes it down, with one cast at most: of two, the second may depend on the day, as in
`('now'::text)::date`. A word such as CURRENT_DATE or SESSION_USER is none.
"""

_MOMENTS = frozenset({"now()", "CURRENT_TIMESTAMP", "(now() AT TIME ZONE 'utc'::text)"})
_MOMENT_TYPES = frozenset({"timestamp without time zone", "timestamp with time zone"})
"""What is exact to the microsecond: who has the very moment of the ALTER got it from there."""


def occupied(
    conn: psycopg.Connection[Any],
    tables: Iterable[str],
    columns: Iterable[tuple[str, str]],
    sequences: Iterable[str] = (),
) -> tuple[str, ...]:
    """Those of `tables` that hold a row, of `columns` (table and column) that hold a value, and of `sequences` that
    have given a number out; all names as SQL. What could not be looked at is among them, with the reason in brackets.

    No value that anybody wrote is what the ALTER gave to the rows that were there, what the column's default gives to
    new ones if it is a constant, and what a generated column computes. NULL is one, where a default gives another.

    It is read only, in a transaction or savepoint that is rolled back, and so are its settings.
    """
    with conn.transaction(force_rollback=True):
        conn.execute("SET TRANSACTION READ ONLY; SET LOCAL row_security = off")
        conn.execute(f"SET LOCAL statement_timeout = '{LIMIT}'")
        full = [_seen(conn, table, _row, table) for table in tables]
        held = [_seen(conn, f"{table}.{column}", _value, table, column) for table, column in columns]
        given = [_seen(conn, name, _number, name) for name in sequences]
    return tuple(filter(None, (*full, *held, *given)))


def _seen(conn: psycopg.Connection[Any], what: str, query: Callable[..., str], *names: str) -> str:
    """`what`, if the query finds something, or if it cannot tell; else nothing."""
    try:
        with conn.transaction():
            # no parameters: psycopg would look for its own marks in names and literals
            return what if conn.execute(f"{query(conn, *names)} LIMIT 1").fetchone() else ""
    except errors.QueryCanceled:
        return f"{what} (looking through it takes longer than {LIMIT})"
    except errors.InsufficientPrivilege:  # row_security = off: rows that a policy would hide are an error instead
        return f"{what} (rows may be hidden from this role)"
    except psycopg.Error as error:
        if conn.broken or error.sqlstate is None:
            raise
        return f"{what} (it cannot be read: {error.diag.message_primary})"


def _row(_conn: psycopg.Connection[Any], table: str) -> str:
    return f"SELECT 1 FROM {table}"


def _number(conn: psycopg.Connection[Any], name: str) -> str:
    """The query that finds that a number was given out. (Also one that was rolled back counts: nobody can tell.)"""
    start = f"(SELECT seqstart FROM pg_sequence WHERE seqrelid = {_literal(conn, name)}::regclass)"
    return f"SELECT 1 FROM {name} WHERE is_called OR last_value <> {start}"


def _value(conn: psycopg.Connection[Any], table: str, column: str) -> str:
    """The query that finds a value of the column which somebody may have written."""
    row = conn.execute(_COLUMN, (table, column)).fetchone()
    if row is None or row[0]:  # gone, or computed from other columns
        return "SELECT 1 WHERE false"
    _, filled, given, xmin, default, kind = row
    at_first = _literal(conn, given) if filled else "NULL"
    known = list(_known(at_first if filled else "", default, kind))
    differs = "".join(f" AND {column}::text IS DISTINCT FROM {value}" for value in known)
    # a row that is older than the column has what the ALTER gave, for whoever writes into a row makes a new one
    old = f"age(xmin) > age({_literal(conn, xmin)}::xid) AND {column}::text IS NOT DISTINCT FROM {at_first}"
    return f"SELECT 1 FROM {table} WHERE NOT ({old}){differs}"


def _known(given: str, default: str | None, kind: str) -> Iterator[str]:
    """What tells nothing in any row, as SQL text: what came with the column, and what a new row gets unasked."""
    constant = default is None or _LITERAL.fullmatch(default) is not None
    if given and (constant or (default in _MOMENTS and kind in _MOMENT_TYPES)):
        yield given
    if constant:
        yield f"({default or 'NULL'})::{kind}::text"


def _literal(conn: psycopg.Connection[Any], text: str | None) -> str:
    return sql.Literal(text).as_string(conn)
