"""The world moves between the look that was approved and the step: nothing is done that was not looked at."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.dirty_cases import CASES, Broken, broken
from lab.hoodcloud_database import HoodcloudDatabases
from tests.order.forked_runs import Forked
from tests.order.migrations_bed import NAME, environment, look, mend, nothing_left, seen, settings_of_case

BEGIN, FORCE, DROP = "SET LOCAL lock_timeout", "IN ACCESS EXCLUSIVE MODE", "DROP TABLE"
"""Where a run is held: before the way back or the force looks, before it locks what it changes, before the way back's
own SQL.
"""

LATE = """
CREATE FUNCTION late() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN IF to_regclass('dropped') IS NULL THEN CREATE TABLE dropped (what text); END IF; END $$;
CREATE EVENT TRIGGER late ON ddl_command_end WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION late();
"""


def by_hand(statements: str) -> Callable[[Broken], None]:
    def act(bed: Broken) -> None:
        bed.sql(statements, superuser=True)

    return act


def failed_again(bed: Broken) -> None:
    """Somebody forced it, and the next deployment failed at the same version, farther on than the first."""
    bed.sql("UPDATE schema_migrations SET version = 40, dirty = false")
    bed.write("041_zones", "BEGIN;\nCREATE TABLE zones (name text);\nCOMMIT;\nSELECT 1 / 0;\n")
    bed.fails("division by zero")


# A newcomer adds a case here: what was broken, where the run is held, what somebody does then, and what the run says.
MOVED: dict[str, tuple[str, str, Callable[[Broken], None], str]] = {
    "another version": ("typo", FORCE, by_hand("UPDATE schema_migrations SET version = 39"), "version-moved"),
    "forced to another one": (
        "typo",
        FORCE,
        by_hand("UPDATE schema_migrations SET version = 41, dirty = false"),
        "version-moved",
    ),
    "a second row": ("typo", FORCE, by_hand("INSERT INTO schema_migrations VALUES (40, false)"), "version-moved"),
    "no row": ("typo", FORCE, by_hand("DELETE FROM schema_migrations"), "version-moved"),
    "no table": ("typo", FORCE, by_hand("DROP TABLE schema_migrations"), "repair-failed"),
    "the same version failed again": ("typo", "pg_try_advisory_lock", failed_again, "version-moved"),
    "forced before the way back": (
        "committed-half",
        "pg_try_advisory_lock",
        by_hand("UPDATE schema_migrations SET dirty = false"),
        "version-moved",
    ),
    "forced before an index is dropped": (
        "index-on-duplicates",
        "pg_try_advisory_lock",
        by_hand("UPDATE schema_migrations SET dirty = false"),
        "version-moved",
    ),
    "a half is gone": ("committed-half", BEGIN, by_hand("DROP TABLE zones"), "version-moved"),
    "a column has another type": (
        "committed-half",
        BEGIN,
        by_hand("ALTER TABLE nodes ALTER COLUMN zone TYPE varchar(9)"),
        "version-moved",
    ),
    "a row in a new table": (
        "committed-half",
        "LOCK TABLE public.zones",
        by_hand("INSERT INTO zones VALUES ('eu')"),
        "not-empty",
    ),
    "a value in a new column": (
        "committed-half",
        "LOCK TABLE public.zones",
        by_hand("UPDATE nodes SET zone = 'eu' WHERE name = 'node-1'"),
        "not-empty",
    ),
    "somebody's view on a new table": (
        "committed-half",
        BEGIN,
        by_hand("CREATE VIEW their_zones AS SELECT name FROM zones"),
        "repair-failed",
    ),
    "somebody's index on a new column": (
        "committed-half",
        BEGIN,
        by_hand("CREATE INDEX their_zones ON nodes (zone, name)"),
        "catalog-not-equal",
    ),
    "somebody's policy on a new table": (
        "committed-half",
        BEGIN,
        by_hand("CREATE POLICY theirs ON zones FOR SELECT USING (true)"),
        "catalog-not-equal",
    ),
    "an event trigger that makes something else": ("committed-half", BEGIN, by_hand(LATE), "catalog-not-equal"),
    "an index is valid now": (
        "index-on-duplicates",
        "i.indisvalid",
        by_hand("DROP INDEX nodes_tier_idx; CREATE INDEX nodes_tier_idx ON nodes (tier)"),
        "version-moved",
    ),
}


@pytest.mark.parametrize("case", MOVED)
def test_what_was_not_looked_at_is_not_done(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path, case: str
) -> None:
    name, where, act, reference = MOVED[case]
    with broken(CASES[name], migrated, tmp_path / "migrations") as bed:
        known = environment(tmp_path, settings_of_case(CASES[name], bed, tmp_path))
        looked = look(recover, known)
        held = recover.hold(known, where, database=NAME, approve=looked.digest)
        try:
            act(bed)
            before = seen(bed)
        finally:
            ended = held.go_on()
        assert ended.reference == reference, ended
        assert ended.error.isprintable()
        assert seen(bed) == before
        assert len(list(tmp_path.glob("backups/*.dump"))) == 1
    nothing_left(migrated.server)


def test_somebody_did_what_the_run_was_about_to_do(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with broken(CASES["typo"], migrated, tmp_path / "migrations") as bed:
        known = environment(tmp_path, settings_of_case(CASES["typo"], bed, tmp_path))
        looked = look(recover, known)
        held = recover.hold(known, FORCE, database=NAME, approve=looked.digest)
        bed.sql("UPDATE schema_migrations SET version = 40, dirty = false")
        before = seen(bed)
        ended = held.go_on()
        assert (ended.ending, ended.notes[-1]) == ("done", "it was so already"), ended.error
        assert seen(bed) == before


# A newcomer adds a case here: what somebody made on a half that was committed, and what the way back says of it.
MADE = {
    "an index on a new column": ("CREATE INDEX theirs ON nodes (zone, name)", "catalog-not-equal"),
    "a policy on a new table": ("CREATE POLICY theirs ON zones FOR SELECT USING (true)", "catalog-not-equal"),
    "a column of a new table": ("ALTER TABLE zones ADD COLUMN theirs text", "catalog-not-equal"),
    "statistics of a new column": ("CREATE STATISTICS theirs ON zone, name FROM nodes", "catalog-not-equal"),
    "a new table in a publication": ("CREATE PUBLICATION theirs FOR TABLE zones", "catalog-not-equal"),
    "a sequence that goes with a new table": ("CREATE SEQUENCE theirs OWNED BY zones.name", "catalog-not-equal"),
    "a view on a new table": ("CREATE VIEW theirs AS SELECT name FROM zones", "repair-failed"),
}


@pytest.mark.parametrize("case", MADE)
def test_what_somebody_made_before_the_look_is_not_dropped_with_what_the_file_made(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path, case: str
) -> None:
    statement, reference = MADE[case]
    with broken(CASES["committed-half"], migrated, tmp_path / "migrations") as bed:
        known = environment(tmp_path, settings_of_case(CASES["committed-half"], bed, tmp_path))
        bed.sql(statement)
        before, stopped = seen(bed), mend(recover, known)
        assert (stopped.reference, "theirs" in stopped.error) == (reference, True), stopped
        assert "by hand if it may go" in stopped.error
        assert seen(bed) == before
