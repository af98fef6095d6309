"""Databases that golang-migrate migrates: looking at one, taking back what a failed migration left, and running it.

looking       look.py what is to be seen, session.py in which session, known.py what is known besides
              catalog.py (catalog.sql) everything in a database, as a value; identity.py which table is which
              evidence.py what rows tell of statements; occupied.py whether what would be dropped is empty
golang-migrate  gate.py its locks; version.py its table; command.py its command and its log; migrating.py running it
files         source.py where they come from; git.py, s3.py two of these places
              parse.py one taken apart by PostgreSQL's own grammar: parse_kinds.py what a statement does, parse_names.py
              what it mentions, parse_properties.py whether it must be alone or changes nothing when run again,
              parse_block.py the same of a DO block, parse_probe.py the query that asks the rows, parse_rename.py
              renaming turned round, parse_tree.py trees to SQL; chunks.py what reaches PostgreSQL in one go
replaying     replaying.py what scratch databases show of a dirty version; replay.py one file run as it was run
              scratch.py the scratch databases; scratch_alike.py, likeness.py made like the live one; scratch_run.py
              running a file's text there; own_server.py a server of the run's own, which keeper.py ends
mending       mend.py the way back, carried out; rehearse.py the same on scratch
              backup.py before anything else; dump.py pg_dump at work; backup_s3.py, backup_disk.py where it goes
the way in    login.py who logs in with which password; programs.py where PostgreSQL's programs are
"""

import json

from prefect import task
from prefect.cache_policies import NO_CACHE

from runbooks.dirty_migration_facts import Asked, Facts
from runbooks.dirty_migration_steps import BackUp, DropInvalidIndex, ForceVersion, Repair, RunMigrate, TakeBack
from runbooks.plan import Consent
from runbooks.report import Applied
from store.database import database as store
from store.settings import settings
from store.steps import Record, carry_out
from store.targets import Interrupted
from tasks import run_page
from tasks.migrations import version
from tasks.migrations.backup import back_up
from tasks.migrations.known import SAVED, place_of
from tasks.migrations.look import look_again, look_at_version, look_closely
from tasks.migrations.mend import drop_invalid_index, take_back
from tasks.migrations.migrating import migrate
from tasks.migrations.session import Live, logged_in


@task(task_run_name="look at {database}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE)
def read_facts(database: str, asked: Asked, run: str, left: Interrupted | None = None) -> Facts:
    """What the database is like now, and how far the migration came that left it dirty. Changes nothing in it.

    `run` names the scratch databases; `left` is what an earlier run left half-done.

    Raises: BadRequest (no such database, settings or files that will not do), Refused, Unreachable, StoreUnusable.
    """
    return look_closely(database, asked, run, left)


@task(task_run_name="look at the version of {database}", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE)
def read_version(database: str) -> Facts:
    """At which version the database is, and whether a migrator is at work. No file is replayed. Raises: as above."""
    return look_at_version(database)


@task(task_run_name="look at {database} again", retries=2, retry_delay_seconds=1, cache_policy=NO_CACHE)
def read_facts_again(database: str, before: Facts) -> Facts:
    """What the database is like after a repair, and what of it is not as that promised."""
    return look_again(database, before)


@task(task_run_name="{step}", retries=0, cache_policy=NO_CACHE)
def apply(step: Repair, consent: Consent[Repair], before: Facts) -> Applied:
    """Carry out one step of a plan that was agreed to and that `before` led to. Doing it twice is harmless.

    Raises: StepFailed, with what stopped it; Refused, when nothing was changed.
    """
    assert consent.covers(step), "a step outside the approved plan"
    with carry_out(store(), consent, step) as record, logged_in(step.database) as live:
        record.check()
        match step:
            case BackUp():
                _save(step, live, record, before)
            case DropInvalidIndex():
                with version.alone(live.conn, live.known, before.row, run_page.say):
                    record.note = drop_invalid_index(live.conn, step)
            case TakeBack():
                assert before.trial, "only what was replayed is taken back"
                with version.alone(live.conn, live.known, before.row, run_page.say):
                    record.note = take_back(live.conn, step, before.trial)
            case ForceVersion():
                record.note = version.force_alone(live.conn, live.known, step, run_page.say, before.row.mark)
            case RunMigrate():
                migrate(step, live, record, before)
    return record.applied()


def _save(step: BackUp, live: Live, record: Record, before: Facts) -> None:
    place = place_of(live.known, step.file)
    made = back_up(live.params, live.conn.info.server_version, step.tables, place, settings(), run_page.say)
    saved = {"mark": before.row.mark, "file": step.file, "place": made.place}
    record.remark(SAVED, json.dumps(saved))
    record.note = f"{made.bytes} bytes in {made.place}, SHA-256 {made.sha256[:12]}… {made.notice}".rstrip()
    record.undo = f"to restore it beside the live one: `{' && '.join(made.restore.splitlines())}`"
