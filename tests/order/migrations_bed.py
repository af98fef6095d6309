"""What the tests of whole runs on a migrated database share: a case of the lab as the settings say it, what is in a
database before and after, and that nothing of a run is left.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from lab.dirty_cases import CASES, Broken, Case, broken
from lab.hoodcloud_database import HoodcloudDatabases
from lab.migrating import Migrate
from lab.postgres import Postgres
from runbooks.dirty_migration import FAILURES
from runbooks.migrations.catalog import Catalog
from tasks.migrations.catalog import snapshot
from tasks.migrations.login import APPLICATION
from tests.order.forked_runs import Ended, Forked

NAME = "control-plane"
"""What the runbooks call the database of a test, whichever service's it is."""

PATIENCE_S = 20

WHOLE = "CREATE TABLE zones (name text);\n"
"""The file that `waiting` lets wait."""

_TABLES = """
SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
ORDER BY 1
"""

_MARKS = " UNION ALL ".join(
    f"SELECT '{catalog}', oid::text, xmin::text FROM {catalog}"
    for catalog in ("pg_class", "pg_type", "pg_proc", "pg_constraint", "pg_attrdef", "pg_namespace", "pg_trigger")
)
"""Which transaction last wrote each definition: reading that waits for no lock."""


def settings_of(bed: Broken, folder: Path, **more: Any) -> dict[str, Any]:
    """The settings of one database of RUNBOOK_DATABASES; `folder` gets the password, the digests and the backups."""
    database = bed.database
    password, deployed = folder / "password", folder / "deployed.sha256"
    if not password.exists():
        password.write_text(database.password)
        password.chmod(0o400)
    deployed.write_text("".join(f"{digest}  {name}\n" for name, digest in bed.deployed.items()))
    schema, table = bed.settings.version_table("public")
    return {
        "host": database.host,
        "port": database.port,
        "dbname": database.dbname,
        "user": database.user,
        "sslmode": "disable",
        "password_file": str(password),
        "migrations": str(database.folder),
        "deployed": str(deployed),
        "version_schema": schema,
        "version_table": table,
        "backup_folder": str(folder / "backups"),
        **more,
    }


def settings_of_case(case: Case, bed: Broken, folder: Path, **more: Any) -> dict[str, Any]:
    """The same with what is known of a case: in which mode the file was run, and which numbers may be missing."""
    newest = max(version for version, _ in case.row or ((0, False),))
    gaps = list(range(41, newest)) if newest > 42 else []
    multi = {} if case.multi is None else {"multi_statement": case.multi}
    return settings_of(bed, folder, known_gaps=gaps, **multi, **more)


def command_of(bed: Broken, folder: Path) -> dict[str, Any]:
    """The settings of the migrate command: the lab's, which finds its own in `.env` of its folder."""
    place = folder / "migrate"
    place.mkdir(exist_ok=True)
    env = place / ".env"
    env.touch(mode=0o600)
    env.write_text("".join(f"{name}='{value}'\n" for name, value in bed.settings.variables().items()))
    return {"migrate": [sys.executable, "-m", "lab.migrate", "up"], "migrate_folder": str(place)}


@contextmanager
def waiting(
    migrated: HoodcloudDatabases, folder: Path, up: str = WHOLE, **settings: Any
) -> Iterator[tuple[Broken, dict[str, str]]]:
    """A clean database for which version 41 waits; nobody has recorded what its files are."""
    with broken(CASES["clean-at-the-newest"], migrated, folder / "migrations") as bed:
        bed.write("041_zones", up, "DROP TABLE zones;\n")
        yield bed, told(bed, folder, **settings)


def told(bed: Broken, folder: Path, **settings: Any) -> dict[str, str]:
    """The environment of runs on it; the digests of the lab are none of theirs."""
    known = settings_of(bed, folder, **command_of(bed, folder))
    del known["deployed"]
    return environment(folder, {**known, "multi_statement": False, **settings})


def environment(folder: Path, *databases: dict[str, Any], **more: str) -> dict[str, str]:
    """The environment of a run that knows the first of `databases` as `NAME`; its store is in `folder`."""
    known = dict(zip((NAME, "payment-service"), databases, strict=False))
    return {
        "ENVIRONMENT": "test",
        "RUNBOOK_DATABASES": json.dumps(known),
        "RUNBOOK_STORE_URL": f"sqlite:///{folder / 'store.db'}",
        "RUNBOOK_ENV_FILE": "/dev/null",
        **more,
    }


@dataclass(frozen=True)
class Seen:
    """What is in a database: its version rows and who wrote them, its catalog, and a digest of each table's rows."""

    versions: tuple[tuple[Any, ...], ...]
    catalog: Catalog
    rows: dict[str, str]


def seen(bed: Broken) -> Seen:
    """Everything; for a database in which nobody holds a lock."""
    with bed.database.connect(superuser=True) as conn:
        version_table = sql.Identifier(*bed.settings.version_table("public")).as_string(conn)
        versions = _versions(bed, conn)
        mine = conn.execute("SELECT to_regclass(%s)::text", (version_table,)).fetchone()
        names = [name for (name,) in conn.execute(_TABLES.encode()) if (name,) != mine]
        rows = {name: _digest(conn, name) for name in names}
        return Seen(versions, snapshot(conn), rows)


def marks(bed: Broken) -> tuple[tuple[Any, ...], ...]:
    """Version rows and the definitions' row versions; for a database in which somebody holds locks."""
    with bed.database.connect(superuser=True) as conn:
        return (*_versions(bed, conn), *sorted(conn.execute(_MARKS.encode()).fetchall()))


def _versions(bed: Broken, conn: psycopg.Connection[Any]) -> tuple[tuple[Any, ...], ...]:
    if bed.version_rows() is None:
        return ()
    table = sql.Identifier(*bed.settings.version_table("public"))
    query = sql.SQL("SELECT version, dirty, xmin::text FROM {} ORDER BY 1").format(table)
    return tuple(conn.execute(query).fetchall())


def _digest(conn: psycopg.Connection[Any], table: str) -> str:
    query = f"SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM {table} AS t"
    row = conn.execute(query.encode()).fetchone()
    return str(row and row[0])


def never_broken(case: Case, bed: Broken, databases: HoodcloudDatabases, folder: Path) -> Seen:
    """A database of the same service that came to `case.target` without a failure."""
    fresh = Broken(databases.create(folder, case.service, case.start))
    try:
        for file in bed.folder.iterdir():
            (fresh.folder / file.name).write_bytes(file.read_bytes())
        rows = fresh.version_rows()
        if rows != ((case.target, False),):
            with Migrate(fresh.settings) as migrate:
                migrate.up(1)
        assert fresh.version_rows() == ((case.target, False),)
        return seen(fresh)
    finally:
        fresh.close()
        databases.drop(fresh.database)


def look(forked: Forked, known: dict[str, str], **parameters: Any) -> Ended:
    """One look, which may be refused, but says so in one line."""
    ended = forked.run(known, database=NAME, **parameters)
    assert ended.reference != "traceback", ended.error
    assert ended.status == 0
    if ended.reference:
        assert ended.error.isprintable() and ended.error.endswith(f"ref: {ended.reference}"), ended.error
    return ended


def mend(forked: Forked, known: dict[str, str], **parameters: Any) -> Ended:
    """What a person does: look, and approve what is shown, if anything has to be done."""
    looked = look(forked, known, **parameters)
    assert looked.reference == "", looked.error
    if looked.ending != "awaits approval":
        return looked
    return look(forked, known, approve=looked.digest, **parameters)


def is_refusal_of(case: Case, ended: Ended) -> bool:
    """Whether a run was refused for what the case is, or for what forbids its repair."""
    return ended.reference == case.finding or (case.finding == "partly-applied" and ended.reference in FAILURES)


def sessions(server: Postgres) -> list[tuple[Any, ...]]:
    """Our own sessions, and all in scratch databases."""
    return ask(
        server,
        "SELECT pid, datname, state, query FROM pg_stat_activity"
        f" WHERE application_name = '{APPLICATION}' OR datname LIKE 'runbook_%'",
    )


def advisory_locks(server: Postgres) -> list[tuple[Any, ...]]:
    """All that are held on the server."""
    return ask(server, "SELECT database, classid, objid, pid FROM pg_locks WHERE locktype = 'advisory' ORDER BY pid")


def nothing_left(server: Postgres, locks: list[tuple[Any, ...]] | None = None) -> None:
    """No session, no scratch database, and no advisory lock but `locks`."""
    wait_until(lambda: not sessions(server), "sessions are left")
    assert ask(server, "SELECT datname FROM pg_database WHERE datname LIKE 'runbook_scratch_%'") == []
    assert advisory_locks(server) == (locks or [])


def ask(server: Postgres, query: str, database: str = "postgres") -> list[tuple[Any, ...]]:
    """The rows of a query of the superuser."""
    with psycopg.connect(server.url(database), autocommit=True) as conn:
        return conn.execute(query.encode()).fetchall()


def wait_until(come: Callable[[], bool], otherwise: str) -> None:
    """Returns when the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not come():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.01)
