"""One at a time: migrators, other runs, and the application; and nobody waits for us for long."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.dirty_cases import CASES, Broken, broken
from lab.hoodcloud_database import OWNERS, READER, HoodcloudDatabases
from lab.postgres import Postgres
from tests.hands.migrations_bed import make_role
from tests.order.forked_runs import Forked
from tests.order.migrations_bed import (
    NAME,
    environment,
    look,
    mend,
    nothing_left,
    seen,
    settings_of_case,
)

LONG, LOCK = "tasks.migrations.gate.LONG_S", "tasks.migrations.session.LOCK_LIMIT_S"
SAID = "the migrators' lock has been held for"
ZONE = "EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'nodes'::regclass AND attname = 'zone')"


@contextmanager
def broken_as(name: str, migrated: HoodcloudDatabases, folder: Path) -> Iterator[tuple[Broken, dict[str, str]]]:
    """A case of the lab, and the environment of its runs."""
    with broken(CASES[name], migrated, folder / "migrations") as bed:
        yield bed, environment(folder, settings_of_case(CASES[name], bed, folder))


def test_whoever_holds_the_migrators_lock_for_long_says_so(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with broken_as("typo", migrated, tmp_path) as (bed, known):
        assert SAID not in look(recover, known).printed
        bed.session("LOCK TABLE nodes IN ACCESS EXCLUSIVE MODE")
        slow = recover.run(known, changed={LONG: 0.05, LOCK: 0.4}, database=NAME)
        assert (slow.reference, SAID in slow.printed) == ("catalog-locked", True)


def test_a_deployment_that_comes_meanwhile_waits_until_the_version_is_forced(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with broken_as("killed-before-the-file", migrated, tmp_path) as (bed, known):
        looked = look(recover, known)
        held = recover.hold(known, "LOCK TABLE", database=NAME, approve=looked.digest)
        deployment = bed.process()
        bed.wait_for("EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'advisory')")
        assert bed.version_rows() == ((41, True),)
        ended = held.go_on()
        assert deployment.wait(20) == 0
        assert (bed.version_rows(), bed.sql(f"SELECT {ZONE}")) == (((41, False),), [(True,)])
        # it looked again before or after the deployment was through, or in the middle of it
        assert (ended.ending or ended.reference) in ("done", "not-as-promised"), ended
    nothing_left(migrated.server)


def test_a_deployment_before_the_force_stops_at_the_dirty_mark(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with broken_as("committed-half", migrated, tmp_path) as (bed, known):
        looked = look(recover, known)
        held = recover.hold(known, "DROP TABLE", database=NAME, approve=looked.digest)
        deployment = bed.process()
        bed.wait_for("EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'advisory')")
        ended = held.go_on()
        assert ended.ending == "done", ended.error
        assert deployment.wait(20) == 1
        assert (bed.version_rows(), bed.sql(f"SELECT {ZONE}")) == (((40, False),), [(False,)])
    nothing_left(migrated.server)


def test_two_runs_at_once(recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path) -> None:
    with broken_as("committed-half", migrated, tmp_path) as (bed, known):
        looked = look(recover, known)
        held = recover.hold(known, "SET LOCAL lock_timeout", database=NAME, approve=looked.digest)
        before = seen(bed)
        for second in (look(recover, known), look(recover, known, approve=looked.digest)):
            assert second.reference == "target-held"
        assert seen(bed) == before
        assert held.go_on().ending == "done"
        assert bed.version_rows() == ((40, False),)
    nothing_left(migrated.server)


# A newcomer adds a case here: the table whose lock the application holds, and in which mode.
HELD = {
    "a reader of a table that loses a column": ("nodes", "ACCESS SHARE"),
    "a writer of a table that goes": ("zones", "ROW EXCLUSIVE"),
    "a reader of the version table": ("schema_migrations", "ACCESS SHARE"),
}


@pytest.mark.parametrize("case", HELD)
def test_the_application_is_not_waited_for(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path, case: str
) -> None:
    table, mode = HELD[case]
    shortly = {"tasks.migrations.mend.LOCK_TIMEOUT": "100ms", "tasks.migrations.version.LOCK_TIMEOUT": "100ms"}
    with broken_as("committed-half", migrated, tmp_path) as (bed, known):
        before = seen(bed)
        application = bed.session(f"LOCK TABLE {table} IN {mode} MODE")
        looked = look(recover, known)
        ended = recover.run(known, changed=shortly, database=NAME, approve=looked.digest)
        assert ended.reference == "repair-failed", ended.error
        assert "55P03" in ended.error and "somebody holds a lock" in ended.error and ended.error.isprintable()
        application.execute("COMMIT")
        after = seen(bed)
        assert after.versions == before.versions
        if table != "schema_migrations":  # else the way back was committed before
            assert after == before
        assert mend(recover, known).ending == "done"
        assert bed.version_rows() == ((40, False),)
    nothing_left(migrated.server)


def test_an_index_that_somebody_uses_is_dropped_when_they_are_done(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with broken_as("index-on-duplicates", migrated, tmp_path) as (bed, known):
        application = bed.session("SELECT count(*) FROM nodes")
        looked = look(recover, known)
        shortly = {"tasks.migrations.mend.DROP_LIMIT": "200ms", LOCK: 0.1}
        ended = recover.run(known, changed=shortly, database=NAME, approve=looked.digest)
        assert ended.reference == "repair-failed", ended.error
        assert bed.version_rows() == ((41, True),)
        application.execute("COMMIT")
        assert mend(recover, known).ending == "done"
        assert bed.sql("SELECT to_regclass('nodes_tier_idx')") == [(None,)]
    nothing_left(migrated.server)


def test_a_session_that_is_ended_by_somebody(recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path) -> None:
    ours = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'hoodcloud-runbooks'"
    with broken_as("committed-half", migrated, tmp_path) as (bed, known):
        before = seen(bed)
        held = recover.hold(known, '"schema_migrations"', looking=True, database=NAME)
        bed.sql(ours, superuser=True)
        ended = held.go_on()
        assert (ended.reference, ended.error.isprintable()) == ("database-unreachable", True), ended.error
        looked = look(recover, known)
        held = recover.hold(known, "DROP TABLE", database=NAME, approve=looked.digest)
        bed.sql(ours, superuser=True)
        ended = held.go_on()
        assert (ended.reference, ended.error.isprintable()) == ("repair-failed", True), ended.error
        assert seen(bed) == before
        assert mend(recover, known).ending == "done"
    nothing_left(migrated.server)


# A newcomer adds a case here: what the setting `scratch` is, given another server of the same version.
SCRATCH = ("same-server", "own-server", "a given server")


@pytest.mark.parametrize("where", SCRATCH)
@pytest.mark.parametrize("name", ["committed-half", "index-on-duplicates", "lost-after-commit", "middle-by-hand"])
def test_wherever_scratch_databases_are_made(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path, given: Postgres, where: str, name: str
) -> None:
    case, folder = CASES[name], tmp_path
    scratch: Any = where
    if where == "a given server":
        file = folder / "given"
        file.write_text(given.password)
        file.chmod(0o400)
        scratch = {"port": given.ports[0], "user": "postgres", "sslmode": "disable", "password_file": str(file)}
    with broken(case, migrated, folder / "migrations") as bed:
        known = environment(folder, settings_of_case(case, bed, folder, scratch=scratch))
        looked = look(recover, known)
        assert (looked.finding or looked.reference) == case.finding, looked.error
        if case.mended:
            done = look(recover, known, approve=looked.digest)
            assert done.ending == "done", done.error
            assert bed.version_rows() == ((case.target, False),)
    for server in (migrated.server, given):
        nothing_left(server)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("given")) as server:
        for role in (*OWNERS.values(), READER):  # migrations name them
            make_role(server, role)
        yield server
