"""A session in a migrated database, as the settings name it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from runbooks.errors import Unreachable
from store.migrated import MigratedDatabase
from store.settings import settings
from tasks.migrations import login

STATEMENT_LIMIT_S = 30
"""Longest statement while looking, seconds."""

LOCK_LIMIT_S = 5
"""Longest wait for a lock, seconds: whoever waits for one stands in front of the application."""


@dataclass(frozen=True, slots=True)
class Live:
    """A database that is logged in to. `params` are the connection's, the password among them."""

    name: str
    known: MigratedDatabase
    params: Mapping[str, Any] = field(repr=False)
    conn: psycopg.Connection[Any]
    notice: str


@contextmanager
def logged_in(name: str) -> Iterator[Live]:
    """A session in the database called `name`. Raises: BadRequest, Refused, Unreachable, as `login` does, and the
    last also when the session is lost.
    """
    known = settings().database(name)
    params, notice = login.params_of(known, known.dbname, settings())
    conn = login.connect(params, limit_s=STATEMENT_LIMIT_S)
    try:
        if not login.pooled(conn):
            conn.execute(f"SET lock_timeout = '{LOCK_LIMIT_S}s'")
        yield Live(name, known, params, conn, notice)
    except psycopg.OperationalError as error:
        if not conn.broken:
            raise
        said = " ".join((error.diag.message_primary or str(error) or type(error).__name__).split())
        raise Unreachable(
            "database-unreachable",
            f"{known.address}: the session was lost: {said}",
            hint="start the run again when PostgreSQL answers; it looks first",
        ) from None
    finally:
        conn.close()
