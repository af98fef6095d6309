"""Looking at a migrated database: its version table, its migrators, its files, and what the files did to it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg

from runbooks import dirty_migration
from runbooks.dirty_migration_facts import Asked, Facts, Obstacle, VersionRow
from runbooks.errors import Refused, Unreachable
from runbooks.migrations.files import migrations_of
from store import targets
from store.code import code
from store.settings import settings
from tasks import run_page
from tasks.migrations import login, source, version
from tasks.migrations.catalog import snapshot
from tasks.migrations.gate import gate
from tasks.migrations.known import with_memory
from tasks.migrations.replaying import Bench, trial
from tasks.migrations.session import LOCK_LIMIT_S, Live, logged_in

OF_THE_SERVER = {
    "hot-standby": "it is a hot standby, and a migration runs on the primary",
    "pooled-connection": "PgBouncer is in between, and the locks that keep migrators apart belong to one session",
}


def look_closely(name: str, asked: Asked, run: str, left: targets.Interrupted | None) -> Facts:
    """Everything that is to be seen. The files are replayed only where nothing simpler says what is wrong."""
    with logged_in(name) as live:
        if obstacle := _of_the_server(live):
            return _facts(live, asked, obstacle=obstacle)
        try:
            with _readable(live), gate(live.conn, live.known, run_page.say) as migrators:
                rows = version.rows_of(live.conn, live.known)
                # a migrator at work has locks that a look at the catalog would wait for
                catalog = snapshot(live.conn) if rows and not migrators else {}
        except psycopg.errors.InsufficientPrivilege as error:
            return _facts(live, asked, obstacle=_no_permission(live, error))
        facts = _facts(live, asked, rows=rows, migrators=migrators)
        facts = with_memory(live, facts, run, left)
        if dirty_migration.found_without_replay(facts) is not None:
            return facts
        try:
            return replace(facts, trial=trial(Bench(live.known, live.params, live.conn, run), facts, catalog))
        except Refused as error:  # what the scratch database met is something that was seen, and stops
            if error.reference not in tuple(dirty_migration.Finding):
                raise
            return replace(facts, obstacle=Obstacle(error.reference, error.message, error.hint))


def look_at_version(name: str) -> Facts:
    """The version table, the migrators and the files; nothing is replayed."""
    with logged_in(name) as live:
        if obstacle := _of_the_server(live):
            return _facts(live, Asked(), obstacle=obstacle)
        try:
            with _readable(live), gate(live.conn, live.known, run_page.say) as migrators:
                rows = version.rows_of(live.conn, live.known)
        except psycopg.errors.InsufficientPrivilege as error:
            return _facts(live, Asked(), obstacle=_no_permission(live, error))
        return _facts(live, Asked(), rows=rows, migrators=migrators)


def look_again(name: str, before: Facts) -> Facts:
    """The version table, the migrators, and whether the catalog is now what the repair of `before` promised."""
    with logged_in(name) as live:
        with _readable(live), gate(live.conn, live.known, run_page.say) as migrators:
            rows = version.rows_of(live.conn, live.known)
            catalog = snapshot(live.conn) if not migrators else {}
        facts = _facts(live, before.asked, rows=rows, migrators=migrators)
        migrated = bool(facts.rows) and facts.row.version != dirty_migration.target(before)
        return facts if migrated else replace(facts, unlike=dirty_migration.unlike(before, catalog))


def _of_the_server(live: Live) -> Obstacle | None:
    if login.pooled(live.conn):
        finding = "pooled-connection"
    elif live.conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
        finding = "hot-standby"
    else:
        return None
    hints = {
        "pooled-connection": "name the server itself in RUNBOOK_DATABASES, not PgBouncer",
        "hot-standby": "name the primary in RUNBOOK_DATABASES",
    }
    return Obstacle(finding, f"{live.known.address}: {OF_THE_SERVER[finding]}", hints[finding])


@contextmanager
def _readable(live: Live) -> Iterator[None]:
    """Whoever waits for a lock stands in front of the application, so it is not waited for. Raises: Unreachable."""
    try:
        yield
    except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled):
        raise Unreachable(
            "catalog-locked",
            f"{live.known.address}: the catalog cannot be read, somebody has held a lock for {LOCK_LIMIT_S} s",
            hint="`SELECT * FROM pg_locks WHERE mode = 'AccessExclusiveLock'` shows who; run this again when they are "
            "done",
        ) from None


def _no_permission(live: Live, error: psycopg.Error) -> Obstacle:
    said = error.diag.message_primary or "insufficient privilege"
    return Obstacle(
        "no-permission",
        f"{live.known.user} at {live.known.address}: {said}",
        "name the role that migrates in RUNBOOK_DATABASES, or grant it what it lacks",
    )


def _facts(live: Live, asked: Asked, **seen: Any) -> Facts:
    migrations = migrations_of(source.files_at(live.known.migrations, settings()))
    rows = seen.pop("rows", None)
    facts = Facts(
        database=live.name,
        address=live.known.address,
        version_table=version.quoted(live.known),
        rows=rows,
        migrations=migrations,
        now=time.time(),
        code=code(),
        gaps=tuple(number for number in migrations.gaps if number not in live.known.known_gaps),
        asked=asked,
        multi=live.known.multi_statement,
        command=live.known.migrate,
        notes=tuple(filter(None, (live.notice,))),
        **seen,
    )
    if rows:
        return replace(facts, notes=(*facts.notes, *_beside(live, rows)))
    others = version.elsewhere(live.conn, live.known) if not facts.obstacle else ()
    hint = f"there is one in schema {', '.join(others)}; a search_path may have led the migrator there"
    return replace(facts, notes=(*facts.notes, hint)) if others else facts


def _beside(live: Live, rows: tuple[VersionRow, ...]) -> tuple[str, ...]:
    """Where this table is clean, the dirty one that a deployment may have stopped at."""
    return () if any(row.dirty for row in rows) else version.dirty_elsewhere(live.conn, live.known)
