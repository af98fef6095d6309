"""golang-migrate's version table: reading it, and writing a clean version in place of a dirty one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors, sql

from runbooks.dirty_migration_facts import VersionRow, said
from runbooks.dirty_migration_steps import ForceVersion
from runbooks.errors import StepFailed
from runbooks.migrations.files import NOTHING
from store.migrated import MigratedDatabase
from tasks.migrations.gate import gate

LOCK_TIMEOUT = "5s"
"""How long a change waits for a lock: whoever holds one longer is found by looking, not by waiting."""

AGAIN = "start the run again; it looks first"

HELD = "somebody holds a lock on it: find out who (the page has a query under repair-failed), then run this again"
SLOW = "it needs longer than it may take here: run its SQL by hand at a quiet hour, then run this again"


def quoted(database: MigratedDatabase) -> str:
    """The version table as SQL names it."""
    return f"{_quote(database.version_schema)}.{_quote(database.version_table)}"


def rows_of(conn: psycopg.Connection[Any], database: MigratedDatabase) -> tuple[VersionRow, ...] | None:
    """Its rows; None when there is no such table."""
    try:
        rows = conn.execute(
            sql.SQL("SELECT version, dirty, xmin::text FROM {} ORDER BY version").format(_table(database))
        ).fetchall()
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return None
    return tuple(VersionRow(version, dirty, mark) for version, dirty, mark in rows)


def elsewhere(conn: psycopg.Connection[Any], database: MigratedDatabase) -> tuple[str, ...]:
    """The schemas that have a table of that name as well: a search_path may have led a migrator there."""
    found = conn.execute(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = %s AND relkind IN ('r', 'p')"
        " AND relnamespace <> coalesce((SELECT oid FROM pg_namespace WHERE nspname = %s), 0) ORDER BY 1",
        (database.version_table, database.version_schema),
    )
    return tuple(name for (name,) in found)


def dirty_elsewhere(conn: psycopg.Connection[Any], database: MigratedDatabase) -> tuple[str, ...]:
    """What tables of that name in other schemas say, those that are dirty: there a migrator may have been at work."""
    found = []
    for schema in elsewhere(conn, database):
        table = f"{schema}.{_quote(database.version_table)}"
        with suppress(psycopg.Error):  # not ours to read, or no version table at all
            for version, dirty in conn.execute(f"SELECT version, dirty FROM {table} WHERE dirty".encode()):
                found.append(f"{table} is {VersionRow(version, dirty)}; a search_path may have led the migrator there")
    return tuple(found)


@contextmanager
def alone(
    conn: psycopg.Connection[Any], database: MigratedDatabase, before: VersionRow, say: Callable[[str], None]
) -> Iterator[None]:
    """No migrator can be at work in the body, and the dirty mark is the one that was looked at: no other, no newer one.

    Raises: StepFailed `still-running`, `version-moved`, `repair-failed`; nothing was changed then.
    """
    try:
        with gate(conn, database, say) as migrators:
            if migrators:
                raise StepFailed("still-running", f"{migrators[0]}", hint="wait for it, then start the run again")
            found = rows_of(conn, database) or ()
            if found != (before,):
                raise _moved(database, before, found)
            yield
    except psycopg.Error as error:
        raise stopped_by(error, "the repair") from None


def force_alone(
    conn: psycopg.Connection[Any],
    database: MigratedDatabase,
    step: ForceVersion,
    say: Callable[[str], None],
    mark: str = "",
) -> str:
    """As `force`, while no migrator can be at work. Raises: StepFailed `still-running`, too."""
    with gate(conn, database, say) as migrators:
        if migrators:
            raise StepFailed("still-running", f"{migrators[0]}", hint="wait for it, then start the run again")
        return force(conn, database, step, mark)


def force(conn: psycopg.Connection[Any], database: MigratedDatabase, step: ForceVersion, mark: str = "") -> str:
    """Write the clean version if the dirty one is still there, under the table's lock; says what it did.

    Already clean at that version: nothing is done, and that is said. With `mark`, the dirty row must still be the one
    that this transaction wrote: the same version may have failed once more meanwhile, and come farther.
    Raises: StepFailed `version-moved`, when anything else is there, `repair-failed`; nothing is changed then.
    """
    try:
        with conn.transaction():
            return _force(conn, database, step, mark)
    except psycopg.Error as error:
        raise stopped_by(error, f"forcing {said(step.clean)}") from None


def _force(conn: psycopg.Connection[Any], database: MigratedDatabase, step: ForceVersion, mark: str) -> str:
    table = _table(database)
    conn.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    conn.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
    found = rows_of(conn, database) or ()
    wanted = [] if step.clean == NOTHING else [(step.clean, False)]
    if [(row.version, row.dirty) for row in found] == wanted:
        return "it was so already"
    if [(row.version, row.dirty, row.mark if mark else "") for row in found] != [(step.dirty, True, mark)]:
        raise _moved(database, VersionRow(step.dirty, dirty=True), found)
    conn.execute(sql.SQL("TRUNCATE {}").format(table))
    for version, dirty in wanted:
        conn.execute(sql.SQL("INSERT INTO {} (version, dirty) VALUES (%s, %s)").format(table), (version, dirty))
    return f"was dirty at {step.dirty}"


def stopped_by(error: psycopg.Error, what: str, slow: str = SLOW) -> StepFailed:
    """What PostgreSQL stopped, and why: for want of a lock, or because it took too long, for which `slow` is the hint.

    A session that was lost took with it the word whether it was committed.
    """
    why = " ".join((error.diag.message_primary or str(error) or type(error).__name__).split())
    hint = AGAIN
    if isinstance(error, errors.LockNotAvailable):
        hint = HELD
    elif isinstance(error, errors.QueryCanceled):
        why, hint = f"it took too long ({why})", slow
    elif isinstance(error, errors.DependentObjectsStillExist):
        why += f" ({'; '.join((error.diag.message_detail or '').splitlines())})"
        hint = "somebody made that on what the file made: drop it by hand if it may go, then start the run again"
    left = "nothing was committed" if error.sqlstate else "only looking again tells whether it was committed"
    return StepFailed(
        "repair-failed", f"{what} was stopped by {error.sqlstate or 'a lost session'}: {why}; {left}", hint=hint
    )


def _moved(database: MigratedDatabase, before: VersionRow, found: tuple[VersionRow, ...]) -> StepFailed:
    now = ", ".join(map(str, found)) or "no version"
    newer = ", by another migrator than before" if str(before) == now else ""
    return StepFailed("version-moved", f"{quoted(database)} was {before} and is {now}{newer}", hint=AGAIN)


def _table(database: MigratedDatabase) -> sql.Identifier:
    return sql.Identifier(database.version_schema, database.version_table)


def _quote(name: str) -> str:
    """As PostgreSQL's quote_ident, but for keywords, which it would quote as well."""
    plain = name.replace("_", "").isalnum() and name.isascii() and name == name.lower() and not name[:1].isdigit()
    return name if plain else '"' + name.replace('"', '""') + '"'
