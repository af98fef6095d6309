"""Running the migrate command, and writing down which files it was about to run."""

import json
from contextlib import suppress

import psycopg

from runbooks import dirty_migration
from runbooks.dirty_migration_facts import Facts
from runbooks.dirty_migration_steps import RunMigrate
from runbooks.errors import RunbookError, StepFailed
from store.steps import Record
from tasks import run_page
from tasks.migrations.catalog import snapshot
from tasks.migrations.command import Ran, run_migrate
from tasks.migrations.known import RAN
from tasks.migrations.session import Live, logged_in
from tasks.migrations.version import AGAIN, rows_of

RECOVER = "recover-dirty-migration"


def migrate(step: RunMigrate, live: Live, record: Record, before: Facts) -> None:
    """Run the command, from the version that the plan names, and only where a repair before it has kept its promise.

    Raises: StepFailed `version-moved`, `catalog-not-equal`, `migrate-failed`. After a failure of the command the plan
    that recovers from it is made, once this run has let go of the database.
    """
    found = rows_of(live.conn, live.known) or ()
    at = found[0].version if found else -1
    if at != step.version or any(row.dirty for row in found):
        raise StepFailed(
            "version-moved",
            f"{step.database} should be clean at {step.version} and is {', '.join(map(str, found)) or 'at no version'}",
            hint=AGAIN,
        )
    if wrong := dirty_migration.unlike(before, snapshot(live.conn)):
        raise StepFailed("catalog-not-equal", f"{wrong[0].key} is not as it must be; nothing was run", hint=AGAIN)
    files = {file.name: file.digest for one in before.migrations for file in (one.up, one.down) if file}
    record.remark(RAN, json.dumps({"files": files}))
    ran = run_migrate(live.known, run_page.say, run_page.say)
    record.remark(RAN, json.dumps({"files": files, "mark": _mark(live), "direction": ran.direction}))
    if ran.exit_code:
        raise _failed(step, ran)
    record.note = f"exit code 0; it printed {len(ran.output_tail)} lines"


def _mark(live: Live) -> str:
    """The dirty mark that the command left, empty where it left none or cannot be asked: it has failed or not anyway.

    By a session of its own: the one that was there before may have been ended while the command ran.
    """
    with suppress(RunbookError, psycopg.Error), logged_in(live.name) as after:
        return next((row.mark for row in rows_of(after.conn, after.known) or () if row.dirty), "")
    return ""


def _failed(step: RunMigrate, ran: Ran) -> StepFailed:
    last = next((line for line in reversed(ran.output_tail) if line.strip()), "nothing")
    why = "took too long and was killed" if ran.timed_out else f"ended with exit code {ran.exit_code}"
    error = StepFailed(
        "migrate-failed",
        f"`{' '.join(step.command)}` on {step.database} {why}; its last line: {last[:300]}",
        hint="no deployment may go on; the plan that recovers the database is made now, `runbook status` names it",
    )
    error.then = (RECOVER, {"database": step.database})
    return error
