"""Migrators that still run, or died at a bad moment."""

from lab.dirty_cases_bed import Act, Broken, mendable, refused
from lab.dirty_cases_truths import all_of, column, no, rows, there, type_
from lab.migrating import lock_id

_ZONE = "ALTER TABLE nodes ADD COLUMN zone text;\n"


def _zombie(broken: Broken) -> None:
    """The client is killed while its statement runs: the server goes on, and would commit."""
    broken.write("041_zones", f"{_ZONE}SELECT pg_sleep(600);\n", "ALTER TABLE nodes DROP COLUMN zone;\n")
    migrate = broken.process()
    broken.wait_for(
        "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())"
    )
    migrate.kill()
    migrate.wait()


def _still_waits(broken: Broken) -> None:
    """A migrate that lives, and waits for somebody's transaction."""
    broken.write("041_zones", _ZONE)
    broken.session("LOCK TABLE nodes IN ACCESS SHARE MODE")
    broken.process()
    broken.wait_for(
        "EXISTS (SELECT FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE nodes%' AND datname = current_database())"
    )


def _lock_held(broken: Broken) -> None:
    """The file failed long ago, but somebody holds the lock that migrate takes when it is used as a library."""
    broken.write("041_zones", f"{_ZONE}{_ZONE}")
    broken.fails("already exists")
    lock = lock_id(broken.database.dbname, "public", "schema_migrations")
    broken.session(f"SELECT pg_advisory_lock({lock})", superuser=False).execute("COMMIT")


def _lost(up: str, name: str = "041_zones", down: str = "", **mode: bool) -> Act:
    """The file is through, and migrate is killed before its clean mark."""

    def breaks(broken: Broken) -> None:
        broken.mode = dict(mode)
        broken.write(name, up, down)
        broken.dies("after-file")

    return breaks


def _by_another_role(broken: Broken) -> None:
    """The superuser ran the migration, so that what it made belongs to the superuser."""
    broken.write(
        "041_zones", "CREATE TABLE zones (name text PRIMARY KEY);\nCREATE TYPE zone_kind AS ENUM ('a', 'b');\n"
    )
    password = broken.superuser_password
    with broken.told(user="postgres", password=password):
        broken.dies("after-file")


def _below_an_empty_down(broken: Broken) -> None:
    broken.write("042_hubs", "CREATE TABLE hubs (name text);\n", "")
    broken.write("041_zones", _ZONE, "ALTER TABLE nodes DROP COLUMN zone;\n")
    broken.dies("after-file")


_ADVISORY = "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted)"

PROCESSES = [
    refused(
        "zombie",
        "migrate was killed, and its backend goes on with the file, holding migrate's lock",
        _zombie,
        "still-running",
        all_of(no(column("nodes", "zone")), _ADVISORY),
    ),
    refused(
        "still-waiting",
        "migrate is alive and waits for a lock that somebody's transaction holds",
        _still_waits,
        "still-running",
        all_of(no(column("nodes", "zone")), _ADVISORY),
    ),
    refused(
        "lock-of-the-library",
        "nothing runs, but a session holds the advisory lock of migrate as a library",
        _lock_held,
        # who holds the lock may begin at any moment
        "still-running",
        _ADVISORY,
    ),
    mendable(
        "lost-after-commit",
        "migrate was killed after the file had been committed and before the clean mark",
        _lost(f"{_ZONE}CREATE INDEX nodes_zone_idx ON nodes (zone);\n"),
        "completed",
        there("nodes_zone_idx"),
        target=41,
    ),
    mendable(
        "lost-after-commit-multi",
        "the same in multi-statement mode, with an index that was built concurrently",
        _lost(f"{_ZONE}CREATE INDEX CONCURRENTLY nodes_zone_idx ON nodes (zone);\n-- the end\n", multi_statement=True),
        "completed",
        there("nodes_zone_idx"),
        target=41,
        multi=True,
    ),
    mendable(
        "lost-with-a-temporary-table",
        "the file works with a temporary table that its commit drops",
        _lost(
            "CREATE TEMP TABLE moved ON COMMIT DROP AS SELECT id FROM nodes WHERE region_id = 1;\n"
            f"{_ZONE}UPDATE nodes SET zone = 'eu' FROM moved WHERE moved.id = nodes.id;\n"
        ),
        "completed",
        rows("nodes", "zone = 'eu'"),
        target=41,
    ),
    mendable(
        "lost-enum-rebuilt",
        "an enum was made anew by rename, create, alter and drop, and all of it was committed",
        _lost(
            """
            ALTER TYPE plan_interval RENAME TO plan_interval_old;
            CREATE TYPE plan_interval AS ENUM ('week', 'month', 'year');
            ALTER TABLE plans ALTER COLUMN "interval" DROP DEFAULT,
                ALTER COLUMN "interval" TYPE plan_interval USING "interval"::text::plan_interval;
            ALTER TABLE plans ALTER COLUMN "interval" SET DEFAULT 'month';
            DROP TYPE plan_interval_old;
            """
        ),
        "completed",
        all_of(rows("pg_enum", "enumlabel = 'week'"), no(type_("plan_interval_old"))),
        target=41,
    ),
    mendable(
        "lost-version-table-altered",
        "the file has added a column to schema_migrations itself, and a table",
        _lost(
            "ALTER TABLE schema_migrations ADD COLUMN applied_at timestamptz DEFAULT now();\n"
            "CREATE TABLE zones (name text);\n"
        ),
        "completed",
        all_of(there("zones"), column("schema_migrations", "applied_at")),
        target=41,
    ),
    mendable(
        "lost-and-of-another-role",
        "the superuser ran the migration: all is there, and belongs to somebody else than on a rehearsal",
        _by_another_role,
        "completed",
        rows("pg_tables", "tablename = 'zones' AND tableowner = 'postgres'"),
        target=41,
    ),
    mendable(
        "lost-empty-down-above",
        "the file is through; the version above has an empty down",
        _below_an_empty_down,
        "completed",
        column("nodes", "zone"),
        target=41,
    ),
]
