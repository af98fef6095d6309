"""The pre-deploy step: it runs what is pending, stops the deployment where that fails, and has the way back planned."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.dirty_cases import CASES, broken
from lab.hoodcloud_database import HoodcloudDatabases
from lab.receivers import Receivers
from lab.vault import VaultCluster
from runbooks.pending_migrations import Finding
from store import approvals, journal, trail
from store.approvals import OpenPlan
from store.database import Database
from tasks.migrations.login import APPLICATION
from tests.conftest import environment_of
from tests.order.forked_runs import Forked
from tests.order.migrations_bed import (
    NAME,
    WHOLE,
    look,
    nothing_left,
    seen,
    told,
    waiting,
)

HALF = "BEGIN;\nCREATE TABLE zones (name text);\nCOMMIT;\nALTER TABLE nodes ADD COLUMN zone integr;\n"
RECOVER = "recover-dirty-migration"


def runbook(known: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """The command line, as a pipeline starts it."""
    command = [sys.executable, "-c", "import sys; from gateway.command_line import main; sys.exit(main())", *words]
    return subprocess.run(command, env={**os.environ, **known}, capture_output=True, text=True, check=False)


@contextmanager
def store_of(known: dict[str, str]) -> Iterator[Database]:
    db = Database.open(known["RUNBOOK_STORE_URL"])
    try:
        yield db
    finally:
        db.close()


def the_plan(known: dict[str, str]) -> OpenPlan:
    """The one open plan."""
    with store_of(known) as db:
        (found,) = approvals.open_plans(db)
    return found


def endings(known: dict[str, str]) -> list[tuple[str, str]]:
    """Whose runs ended how, of those that are told."""
    with store_of(known) as db, db.read() as conn:
        rows = conn.exec_driver_sql("SELECT outcome FROM outcomes ORDER BY seq").scalars().all()
    return [(str(one["runbook"]), str(one["ending"])) for one in map(json.loads, rows)]


def test_what_waits_is_run_and_then_there_is_nothing_to_do(
    run_migrations: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with waiting(migrated, tmp_path) as (bed, known):
        done = look(run_migrations, known)
        assert (done.ending, done.verdict) == ("done", "clean at version 41, the newest"), done.error
        assert (bed.version_rows(), bed.sql("SELECT to_regclass('zones')::text")) == (((41, False),), [("zones",)])
        assert "41/u zones" in done.printed, "the command's own output"
        assert look(run_migrations, known).ending == "nothing to do"
    nothing_left(migrated.server)


def test_an_empty_database_gets_every_version(
    run_migrations: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with broken(CASES["never-migrated"], migrated, tmp_path / "migrations") as bed:
        done = look(run_migrations, told(bed, tmp_path))
        assert (done.ending, bed.version_rows()) == ("done", ((40, False),)), done.error


def test_a_failure_stops_the_pipeline_and_the_plan_of_the_way_back_is_there(
    run_migrations: Forked, recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with waiting(migrated, tmp_path, HALF) as (bed, known):
        failed = runbook(known, "run", "run-migrations", "--param", f"database={NAME}", "--reason", "deploy 7")
        assert failed.returncode == 7, failed.stderr
        assert "ref:  migrate-failed" in failed.stderr and "Traceback" not in failed.stderr
        assert "exit code 1" in failed.stderr and "integr" in failed.stderr
        assert bed.version_rows() == ((41, True),)
        plan = the_plan(known)
        assert (plan.sheet.runbook, plan.sheet.finding) == (RECOVER, "partly-applied")
        assert plan.sheet.digest in failed.stderr, "the pipeline's log names it"
        (says,) = [line for line in plan.sheet.basis if line.startswith("the up was running, says run ")]
        assert [line for line in plan.sheet.basis if "deployed" in line and says.split("run ")[1][:8] in line]
        assert endings(known) == [("run-migrations", "failed"), (RECOVER, "awaits approval")]
        again = look(run_migrations, known)
        assert (again.reference, "recover-dirty-migration" in again.error) == (Finding.DIRTY, True)
        done = look(recover, known, approve=plan.sheet.digest)
        assert (done.ending, bed.version_rows()) == ("done", ((40, False),)), done.error
        bed.write("041_zones", WHOLE)
        assert look(run_migrations, known).ending == "done"
        assert bed.version_rows() == ((41, False),)
        with store_of(known) as db:
            assert journal.verify(db).faults == ()
    nothing_left(migrated.server)


def test_a_failure_and_its_plan_are_told_in_every_channel(
    run_migrations: Forked, migrated: HoodcloudDatabases, tmp_path: Path, told_vault: tuple[VaultCluster, Receivers]
) -> None:
    vault, receivers = told_vault
    vault.unseal()
    with waiting(migrated, tmp_path, HALF) as (_, known):
        receivers.clear()
        channels = {**environment_of(vault, tmp_path), "RUNBOOK_TELEGRAM_API": receivers.address}
        failed = look(run_migrations, {**channels, **known})
        assert failed.reference == "migrate-failed"
        digest = the_plan(known).sheet.digest
        for channel in ("slack", "telegram", "email", "webhook"):
            first, second = (json.dumps(one) for one in receivers.arrived(channel))
            assert "run-migrations" in first and "integr" in first, channel
            assert digest in second, channel


def test_a_file_that_was_edited_after_the_failure_is_not_what_ran(
    run_migrations: Forked, recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with waiting(migrated, tmp_path, HALF) as (bed, known):
        assert look(run_migrations, known).reference == "migrate-failed"
        before = seen(bed)
        bed.write("041_zones", WHOLE)
        edited = look(recover, known)
        assert (edited.reference, "041_zones.up.sql is not what" in edited.error) == ("file-changed", True), edited
        bed.write("041_zones", HALF)
        assert look(recover, known).finding == "partly-applied"
        assert seen(bed) == before


# A newcomer adds a case here: the rest of a file that first ends our sessions, and how the run ends.
ENDS = {"and goes on": (WHOLE, "done"), "and fails": (HALF, "migrate-failed")}


@pytest.mark.parametrize("case", ENDS)
def test_a_file_that_ends_our_session(
    run_migrations: Forked, migrated: HoodcloudDatabases, tmp_path: Path, case: str
) -> None:
    rest, ending = ENDS[case]
    ours = f"pid <> pg_backend_pid() AND datname = current_database() AND application_name = '{APPLICATION}'"
    first = f"BEGIN;\nSELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {ours};\nCOMMIT;\n"
    with waiting(migrated, tmp_path, first + rest) as (bed, known):
        ended = look(run_migrations, known)
        assert (ended.ending or ended.reference) == ending, ended
        with store_of(known) as db, db.read() as conn:
            remark = trail.last_remark(conn, f"database/{NAME}", "migrating")
        ((_, is_dirty, mark),) = seen(bed).versions
        assert remark and json.loads(remark.value)["mark"] == (mark if is_dirty else "")


def test_a_plan_is_only_a_plan_whatever_the_policy_says(migrated: HoodcloudDatabases, tmp_path: Path) -> None:
    with waiting(migrated, tmp_path) as (bed, known):
        before = seen(bed)
        planned = runbook(known, "plan", "run-migrations", "--param", f"database={NAME}")
        assert planned.returncode == 0, planned.stderr
        assert "from version 40 to version 41" in planned.stdout and "nothing was changed" in planned.stdout
        assert seen(bed) == before
        asked = {**known, "RUNBOOK_POLICIES": '{"run-migrations": {"standing": false}}'}
        waits = runbook(asked, "run", "run-migrations", "--param", f"database={NAME}")
        assert waits.returncode == 4, waits.stderr
        assert seen(bed) == before


def test_what_was_mended_can_be_migrated_by_the_same_run(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    case = CASES["killed-before-the-file"]
    with broken(case, migrated, tmp_path / "migrations") as bed:
        known = told(bed, tmp_path, files_are_deployed=True)
        planned = look(recover, known, migrate=True)
        assert planned.steps[-1].endswith("from version 40 to version 41")
        done = look(recover, known, migrate=True, approve=planned.digest)
        assert (done.ending, bed.version_rows()) == ("done", ((41, False),)), done.error
        assert look(recover, known, migrate=True).ending == "nothing to do"


def test_where_migrating_fails_again_that_is_planned_anew(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with broken(CASES["typo"], migrated, tmp_path / "migrations") as bed:
        known = told(bed, tmp_path, files_are_deployed=True)
        planned = look(recover, known, migrate=True)
        failed = look(recover, known, migrate=True, approve=planned.digest)
        assert (failed.reference, bed.version_rows()) == ("migrate-failed", ((41, True),))
        assert (the_plan(known).sheet.finding, the_plan(known).sheet.digest) != ("rolled-back", planned.digest)
        assert the_plan(known).sheet.digest in failed.printed
