"""Taking a half-applied migration back: only what was approved, and only if it is still true."""

from collections.abc import Collection
from typing import Any

import psycopg
from psycopg import errors

from runbooks.dirty_migration_facts import Trial
from runbooks.dirty_migration_steps import DropInvalidIndex, TakeBack
from runbooks.errors import Refused, StepFailed
from runbooks.migrations.catalog import Catalog, Key, changed, differences
from runbooks.migrations.fitting import Fit
from runbooks.migrations.inverse_names import mentioned
from tasks.migrations.catalog import snapshot
from tasks.migrations.occupied import occupied
from tasks.migrations.version import AGAIN, HELD, stopped_by

LOCK_TIMEOUT = "5s"
"""How long the repair waits for all its tables together: it must not queue up in front of the application."""

OTHER_LOCK_TIMEOUT = "1s"
"""How long it waits for anything else, once it has the tables: whoever wants one of these waits, too."""

LIMIT = "60s"
"""Longest statement of the way back, such as the making of an index; meanwhile its tables are locked."""

DROP_LIMIT = "120s"
"""How long DROP INDEX CONCURRENTLY may wait for the transactions that were there before it."""

HANG_ON = frozenset({"column", "constraint", "index", "trigger", "rule", "policy", "statistics", "sequence",
                     "publication table", "domain constraint"})  # fmt: skip
"""The kinds of objects that go with their table, column or type. (Comments and privileges may go, too.)"""

_VALID = "SELECT i.indisvalid FROM pg_index AS i WHERE i.indexrelid = to_regclass(%s)"


def drop_invalid_index(conn: psycopg.Connection[Any], step: DropInvalidIndex) -> str:
    """Drop the index, if it is still there and still invalid; says what it did. Raises: StepFailed `version-moved`."""
    row = conn.execute(_VALID, (step.index,)).fetchone()
    if row is None:
        return "it was gone already"
    if row[0]:
        raise StepFailed("version-moved", f"{step.index} is valid now", hint=AGAIN)
    conn.execute(f"SET statement_timeout = '{DROP_LIMIT}'")
    try:
        conn.execute(f"DROP INDEX CONCURRENTLY {step.index}")
    except psycopg.Error as error:
        raise stopped_by(error, f"dropping {step.index}", slow=HELD) from None
    finally:
        conn.execute("RESET statement_timeout")
    return "it served nobody"


def take_back(conn: psycopg.Connection[Any], step: TakeBack, trial: Trial) -> str:
    """Run the SQL in one transaction, committed only if the whole catalog is then as it must be; says what it did.

    Raises: StepFailed `version-moved` (what was looked at has changed since), `catalog-not-equal`, or `repair-failed`
    with the database's own error; Refused `not-empty`, `rows-in-the-way`. In every case nothing was committed.
    """
    fit, touched = trial.verdict.fit, trial.verdict.touched
    assert fit, "only what fits is taken back"
    before = fit.hypothesis.before
    try:
        with conn.transaction():
            conn.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL statement_timeout = '{LIMIT}'")
            found = _as_looked_at(conn, trial)
            wanted = changed(before, found) & touched
            if not wanted:
                return "it was so already"
            _lock(conn, step, found, _tables(step, (found, before), wanted))
            found = _as_looked_at(conn, trial)  # what came before the lock was had would go unseen
            if full := occupied(conn, step.empty_tables, step.empty_columns, step.empty_sequences):
                raise Refused("not-empty", f"{', '.join(full)} would be lost", hint=AGAIN)
            _run(conn, step)
            after = snapshot(conn)
            _nothing_else_went(fit, found, after)
            wrong = differences(before, after, touched | changed(found, after))
            if wrong:
                names = ", ".join(str(one.key) for one in wrong[:3])
                raise StepFailed(
                    "catalog-not-equal",
                    f"{names} would not be as before the file; nothing was committed",
                    hint="look at the difference, and take it back by hand",
                )
    except psycopg.Error as error:
        raise stopped_by(error, "the way back") from None
    return f"{len(changed(found, after))} objects and properties are as before the file"


def _as_looked_at(conn: psycopg.Connection[Any], trial: Trial) -> Catalog:
    """The catalog, in which what decides is as it was when the plan was made. Raises: StepFailed `version-moved`."""
    found, invalid = snapshot(conn), {key.name for key in trial.verdict.invalid}
    assert trial.verdict.fit
    differ = changed(trial.live, found) & trial.verdict.touched
    moved = sorted(key for key in differ if key.name not in invalid)
    if moved and changed(trial.verdict.fit.hypothesis.before, found) & trial.verdict.touched:
        raise StepFailed("version-moved", f"{moved[0]} has changed since it was looked at", hint=AGAIN)
    return found


def _tables(step: TakeBack, both: tuple[Catalog, Catalog], wanted: Collection[Key]) -> list[str]:
    """The tables that the way back between `both` changes, and those that foreign keys lead to; those first that are to
    go, for the application uses the others more.
    """
    defined = (catalog[key] for catalog in both for key in wanted if key in catalog)
    texts = {text for key in wanted for text in (key.on, key.name)}
    texts |= {text for text in defined if text.startswith("FOREIGN KEY")}
    there = {key.name for key in both[0] if key.kind == "table"}
    own = there & {*step.empty_tables}
    return [*sorted(own), *sorted((mentioned(texts) & there) - own)]


def _lock(conn: psycopg.Connection[Any], step: TakeBack, found: Catalog, tables: list[str]) -> None:
    """All tables and sequences at once, or none: a row or a number could come between the look and the drop.

    PostgreSQL's lock_timeout counts anew for each table, so the statement as a whole gets the same time.
    """
    if tables:
        conn.execute(f"SET LOCAL statement_timeout = '{LOCK_TIMEOUT}'")
        try:
            conn.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        except errors.QueryCanceled:
            which = tables[0] if len(tables) == 1 else f"all of {', '.join(tables)}"
            raise errors.LockNotAvailable(f"{which} could not be had within {LOCK_TIMEOUT}") from None
        conn.execute(f"SET LOCAL statement_timeout = '{LIMIT}'; SET LOCAL lock_timeout = '{OTHER_LOCK_TIMEOUT}'")
    for sequence in step.empty_sequences:  # LOCK TABLE takes none; giving it the owner that it has locks it
        owner = found[Key("owner", "SEQUENCE", sequence)]
        conn.execute(f"ALTER SEQUENCE {sequence} OWNER TO {owner}")


def _run(conn: psycopg.Connection[Any], step: TakeBack) -> None:
    for statement in step.sql:
        try:
            conn.execute(statement)
        except psycopg.IntegrityError as error:
            raise in_the_way(error, statement) from None


def in_the_way(error: psycopg.IntegrityError, statement: str) -> Refused:
    """Rows that were written since the file ran do not allow what it took away. What they hold is not told."""
    table = ".".join(filter(None, (error.diag.schema_name, error.diag.table_name)))
    why = " ".join((error.diag.message_primary or "").split())
    return Refused(
        "rows-in-the-way",
        f"rows{' of ' + table if table else ''} do not allow `{' '.join(statement.split())[:200]}`: {why} "
        f"({error.sqlstate}); nothing was committed",
        hint=f"find those rows{' of ' + table if table else ''}, change or move them by hand, then start the run again",
    )


def _nothing_else_went(fit: Fit, found: Catalog, after: Catalog) -> None:
    """With a table or a column PostgreSQL drops, without a word, whatever hangs on it, also what somebody else made."""
    known = set[Key]().union(*fit.hypothesis.states)
    if gone := [key for key in found if key.kind in HANG_ON and key not in after and key not in known]:
        raise StepFailed(
            "catalog-not-equal",
            f"{gone[0]} is not of the file, and would be dropped with what is; nothing was committed",
            hint="drop it by hand if it may go, then start the run again",
        )
