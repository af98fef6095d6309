"""Where run-migrations cannot go on: it is killed, its command hangs, or what is found forbids it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.dirty_cases import Broken
from lab.hoodcloud_database import HoodcloudDatabases
from runbooks.pending_migrations import Finding
from tests.order.forked_runs import KILLED, Ended, Forked
from tests.order.migrations_bed import NAME, WHOLE, advisory_locks, look, nothing_left, told, wait_until, waiting


def no_more(bed: Broken) -> bool:
    return bed.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", superuser=True) == [(0,)]


def hangs(run_migrations: Forked, bed: Broken, folder: Path) -> tuple[Ended, dict[str, str]]:
    """A run whose command was killed while its file slept: how long it takes to come there depends on the machine."""
    for limit_s in (2, 8, 30):
        known = told(bed, folder, migrate_limit_s=limit_s)
        ended = look(run_migrations, known)
        if not no_more(bed):
            return ended, known
    raise AssertionError(f"the command never came to its file: {ended}")


def test_a_command_that_hangs_is_killed_and_what_it_left_running_is_found(
    run_migrations: Forked, recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with waiting(migrated, tmp_path, f"{WHOLE}SELECT pg_sleep(600);\n") as (bed, _):
        ended, known = hangs(run_migrations, bed, tmp_path)
        assert (ended.reference, "took too long and was killed" in ended.error) == ("migrate-failed", True)
        assert "still-running" in ended.printed, "the plan that was to be made says why there is none"
        found = look(recover, known)
        assert (found.reference, "pg_sleep" in found.error) == ("still-running", True), found
        assert look(run_migrations, known).reference == Finding.STILL_RUNNING
        pid = found.error.split("pg_terminate_backend(")[1].split(")")[0]
        bed.sql(f"SELECT pg_terminate_backend({pid}, 10000)")
        assert look(recover, known).finding == "rolled-back"
        assert bed.version_rows() == ((41, True),)
    nothing_left(migrated.server)


@pytest.mark.parametrize(
    ("when", "first", "every"),
    [("before", 4, 5), ("after", 2, 5)]
    + [pytest.param(when, 1, 1, marks=pytest.mark.long) for when in ("before", "after")],
)
def test_a_run_killed_at_any_write_is_finished_by_starting_it_again(
    run_migrations: Forked, migrated: HoodcloudDatabases, tmp_path: Path, when: str, first: int, every: int
) -> None:
    for at in range(first, 40, every):
        folder = tmp_path / str(at)
        folder.mkdir()
        with waiting(migrated, folder) as (bed, known):
            killed = run_migrations.run(known, at, when, database=NAME)
            if killed.status != KILLED:
                assert killed.ending == "done", killed.error
                break
            again = look(run_migrations, known)
            assert again.ending in ("done", "nothing to do"), f"after {when} {at}: {again}"
            assert bed.version_rows() == ((41, False),)
    assert at > 2 * first, "it was never killed"


def test_a_run_killed_while_its_command_runs(
    run_migrations: Forked, recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    """The command ends when it next prints something: nobody reads that any more. Then its dirty mark is there."""
    with waiting(migrated, tmp_path) as (bed, known):
        assert run_migrations.run(known, 1, "program", database=NAME).status == KILLED
        wait_until(lambda: bed.version_rows() == ((41, True),), "the command did not go on")
        wait_until(lambda: not advisory_locks(migrated.server), "the command did not end")
        assert look(run_migrations, known).reference == Finding.DIRTY
        unsure = look(recover, known)
        assert unsure.reference == "file-changed", unsure
        digits = unsure.error.split("--param deployed=")[1][:12]
        planned = look(recover, known, deployed=digits)
        assert planned.finding == "rolled-back", planned.error
        assert look(recover, known, deployed=digits, approve=planned.digest).ending == "done"
        assert look(run_migrations, known).ending == "done"
        assert bed.version_rows() == ((41, False),)
    nothing_left(migrated.server)


# A newcomer adds a case here: what is wrong, and the reference.
def dirty(bed: Broken) -> None:
    bed.sql("UPDATE schema_migrations SET dirty = true")


def ahead(bed: Broken) -> None:
    bed.sql("UPDATE schema_migrations SET version = 42")


def several(bed: Broken) -> None:
    bed.sql("INSERT INTO schema_migrations VALUES (39, false)")


def a_gap(bed: Broken) -> None:
    for file in bed.folder.glob("020_*"):
        file.unlink()


def a_migrator(bed: Broken) -> None:
    bed.write("041_zones", "SELECT pg_sleep(600);\n")
    bed.process()
    bed.wait_for("EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")


def not_ours(bed: Broken) -> None:
    bed.sql("ALTER TABLE schema_migrations OWNER TO postgres", superuser=True)


def locked(bed: Broken) -> None:
    bed.session("LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE")


def nothing(_: Broken) -> None:
    """Only a setting differs."""


SHORTLY = {"tasks.migrations.session.LOCK_LIMIT_S": 0.2}

REFUSED: dict[str, tuple[Callable[[Broken], None], dict[str, Any], str]] = {
    "dirty": (dirty, {}, Finding.DIRTY),
    "ahead of the files": (ahead, {}, Finding.AHEAD),
    "several rows": (several, {}, Finding.SEVERAL_VERSIONS),
    "a gap": (a_gap, {}, Finding.FILES_MISSING),
    "a migrator at work": (a_migrator, {}, Finding.STILL_RUNNING),
    "a version table of somebody else": (not_ours, {}, Finding.UNSUITABLE),
    "a locked version table": (locked, {}, "catalog-locked"),
    "no command": (nothing, {"migrate": []}, "migrate-command-missing"),
    "no such command": (nothing, {"migrate": ["./migrate"]}, "migrate-command-missing"),
    "a command that does nothing": (nothing, {"migrate": ["true"]}, "not-the-newest"),
    "another version table than the command's": (
        nothing,
        {"version_table": "versions", "migrate": ["true"]},
        "not-the-newest",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_where_it_cannot_be_run_nothing_is_changed(
    run_migrations: Forked, migrated: HoodcloudDatabases, tmp_path: Path, case: str
) -> None:
    act, settings, reference = REFUSED[case]
    with waiting(migrated, tmp_path, **settings) as (bed, known):
        act(bed)
        before = bed.version_rows() if act is not locked else ((40, False),)
        ended = run_migrations.run(known, changed=SHORTLY, database=NAME)
        assert ended.reference == reference, ended
        assert ended.error.isprintable()
        bed.close()
        assert (bed.version_rows(), bed.sql("SELECT to_regclass('zones')")) == (before, [(None,)])
    nothing_left(migrated.server)
