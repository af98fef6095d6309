"""Looking at everything that a database consists of, in one round trip and without a trace."""

import contextlib
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from runbooks.migrations.catalog import Catalog, Key

_ALL, _FROM_15 = Path(__file__).with_suffix(".sql").read_text(encoding="ascii").split("-- from PostgreSQL 15 on\n")
"""Plain ASCII, so that it can be sent to a database of any encoding."""

_SETTINGS = {
    "search_path": "pg_catalog",  # every other name comes out qualified
    # and what else decides how PostgreSQL writes an expression or a constant down
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "jit": "off",  # compiling so large a query takes longer than running it
}
_SET = "".join(f"SET LOCAL {name} = '{value}';" for name, value in _SETTINGS.items())


def snapshot(conn: psycopg.Connection[Any]) -> Catalog:
    """Everything in the database of `conn` but what belongs to extensions, by key: see `runbooks.migrations.catalog`.

    In autocommit or inside a transaction, whose settings and changes stay as they are; for PostgreSQL 14 and newer.
    Raises: psycopg.Error, with a transaction that was open still usable.
    """
    outside = conn.autocommit and conn.info.transaction_status == TransactionStatus.IDLE
    begin, end = (
        ("BEGIN READ ONLY", "COMMIT") if outside else ("SAVEPOINT runbook", "ROLLBACK TO runbook; RELEASE runbook")
    )
    query = _ALL + (_FROM_15 if conn.info.server_version >= 150_000 else "")
    with conn.cursor(row_factory=tuple_row) as cursor:
        try:
            cursor.execute(f"{begin};{_SET}{query};{end}".encode(), prepare=False)
        except psycopg.Error:
            with contextlib.suppress(psycopg.Error):  # when the connection is lost, that was told already
                conn.execute("ROLLBACK" if outside else end, prepare=False)
            raise
        while cursor.description is None:  # the answers to BEGIN and SET
            cursor.nextset()
        found = {Key(kind, on, name): definition for kind, on, name, definition in cursor.fetchall()}
    # no dict: Prefect goes through every one that is in what a task is given or returns, which takes seconds
    return MappingProxyType(found)
