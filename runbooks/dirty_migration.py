"""What to do about a dirty migration. For people: dirty_migration.md.

The version table says only that something failed. What is true is found by comparing the database with what a scratch
database went through while the same file ran in it (`runbooks.migrations.judging`). Nothing here re-runs a statement
that changes rows or drops what holds anything; what existed before the file is only given back what the file took.
"""

from collections.abc import Mapping
from enum import StrEnum

from runbooks.catalogue import Runbook
from runbooks.consent import Policy
from runbooks.dirty_migration_facts import Facts, Trial, VersionRow, said
from runbooks.dirty_migration_refusals import HINTS, refuse_repair
from runbooks.dirty_migration_shown import exhibits
from runbooks.dirty_migration_steps import BackUp, DropInvalidIndex, ForceVersion, Repair, RunMigrate, TakeBack
from runbooks.errors import NotVerified, Refused
from runbooks.migrations.catalog import Catalog, Difference, differences
from runbooks.migrations.files import NOTHING
from runbooks.migrations.fitting import Word
from runbooks.plan import Plan


class Finding(StrEnum):
    """What is wrong, in a word that is a heading of the page."""

    CLEAN = "clean"
    STILL_RUNNING = "still-running"
    ROLLED_BACK = "rolled-back"
    COMPLETED = "completed"
    PARTLY_APPLIED = "partly-applied"
    INVALID_INDEX = "invalid-index"
    EITHER_WAY = "either-way"
    MIXED = "mixed"
    CANNOT_TELL = "cannot-tell"
    DIRECTION_NEEDED = "direction-needed"
    NEVER_MIGRATED = "never-migrated"
    SEVERAL_ROWS = "several-rows"
    FILES_MISSING = "files-missing"
    FILE_CHANGED = "file-changed"
    CANNOT_REPLAY = "cannot-replay"
    NO_PERMISSION = "no-permission"
    HOT_STANDBY = "hot-standby"
    POOLED = "pooled-connection"


FAILURES = {
    "not-empty": "save what is in them, then run this again; it drops only what holds nothing",
    "rows-in-the-way": "change or move those rows by hand, then start the run again",
    "data-committed": "decide by the statements whether what they wrote may stay; take it back by hand, then run this "
    "again",
    "data-gone": "get it back from a backup, or finish the migration by hand and force its version",
    "lossy-cast": "look whether the values survive the way back, run it by hand, then run this again",
    "enum-value-added": "PostgreSQL cannot drop an enum value: finish the migration by hand and force its version",
    "unknown-change": "take it back by hand with the SQL that is shown, then run this again",
    "rehearsal-failed": "take it back by hand; what the rehearsal met is shown",
    "version-moved": "start the run again; it looks first",
    "catalog-locked": "find out who holds the lock, and run this again when they are done",
    "repair-failed": "find out who holds the lock, and run this again when they are done",
    "backup-failed": "mend what the message says; without a backup nothing is changed",
    "direction-malformed": "say up or down, or nothing",
    "deployed-malformed": "run it without; where it is needed, the refusal says which digits",
    "not-as-promised": "start the run again; it looks first",
    "catalog-not-equal": "nothing was committed; start the run again, which looks first",
    "migrate-failed": "read what it printed; the plan for what it left is made now, `runbook status` names it",
}
"""What a repair or a step can meet beside the findings, and what to do then; headings of the page as well."""

RUNBOOK = Runbook(
    name="recover-dirty-migration",
    module="dirty_migration",
    purpose="A failed migration has left its database dirty: find out how far it came, mend it, prove it.",
    policy=Policy(approvals=1, requester_may_approve=True, typed_digest_counts=True),
    findings=tuple(Finding),
    failures=tuple(FAILURES),
)


def diagnose(facts: Facts) -> Finding:
    """Total: every possible Facts has exactly one Finding. What forbids looking closer comes first."""
    return found_without_replay(facts) or (Finding(facts.trial.verdict.word) if facts.trial else Finding.CANNOT_REPLAY)


def found_without_replay(facts: Facts) -> Finding | None:
    """The finding as far as it needs no replay; None where only replaying the files can tell."""
    if facts.obstacle:
        return Finding(facts.obstacle.finding)
    if facts.migrators:
        return Finding.STILL_RUNNING
    if not facts.rows:
        return Finding.NEVER_MIGRATED
    if len(facts.rows) > 1:
        return Finding.SEVERAL_ROWS
    if not facts.row.dirty:
        return Finding.CLEAN
    if _files_missing(facts):
        return Finding.FILES_MISSING
    return Finding.FILE_CHANGED if changed_files(facts) else None


def _files_missing(facts: Facts) -> str:
    if facts.gaps:
        return f"no file has {', '.join(map(str, facts.gaps[:5]))}, between versions that are counted one by one"
    version, first = facts.row.version, facts.migrations.next(NOTHING)
    if version == NOTHING:
        return "" if first and first.up and first.down else "there is no first version with both its files"
    found = facts.migrations.get(version)
    if found is None:
        return f"no file has version {version}; the newest is {facts.migrations.newest}"
    return "" if found.up else f"version {version} has no up file"


def changed_files(facts: Facts) -> str:
    """Why the files that decide may not be the ones that were deployed; empty when they surely are."""
    confirmed = bool(facts.asked.deployed) and facts.deciding_digest.startswith(facts.asked.deployed)
    for known in facts.deployed:
        if (known.proves or not confirmed) and (edited := _edited(facts, dict(known.digests))):
            return f"{edited} is not what it was {known.said_by}"
    if confirmed or any(known.as_they_are for known in facts.deployed):
        return ""
    recorded = {name for known in facts.deployed if known.proves for name, _ in known.digests}
    unknown = [file.name for file in facts.deciding if file.name not in recorded]
    return f"nobody recorded what {' and '.join(unknown)} looked like when deployed" if unknown else ""


def _edited(facts: Facts, digests: Mapping[str, str]) -> str:
    files = (file for version in facts.migrations for file in (version.up, version.down) if file)
    return next((file.name for file in files if digests.get(file.name, file.digest) != file.digest), "")


def plan(facts: Facts) -> Plan[Repair]:
    """What to do about `facts`. Raises: Refused, with the finding or what forbids the repair as its reference."""
    finding = diagnose(facts)
    if finding in HINTS:
        why, hint = because(facts), HINTS[finding](facts)
        raise Refused(finding, f"{facts.database}: {why}", hint=hint, exhibits=exhibits(facts))
    steps: tuple[Repair, ...] = ()
    if finding is not Finding.CLEAN:
        assert facts.trial and facts.trial.verdict.fit, "every other finding comes from a replay that fits"
        refuse_repair(facts, facts.trial, FAILURES)
        steps = _mend(facts, facts.trial)
    return Plan(
        runbook=RUNBOOK.name,
        target=f"database/{facts.database}",
        finding=finding,
        because=because(facts),
        basis=_basis(facts),
        steps=(*steps, *_migrate(facts)),
        code=facts.code,
        exhibits=exhibits(facts),
    )


def _mend(facts: Facts, trial: Trial) -> tuple[Repair, ...]:
    fit, dirty = trial.verdict.fit, facts.row.version
    assert fit
    indexes = tuple(DropInvalidIndex(facts.database, key.name) for key in trial.verdict.invalid)
    back: tuple[Repair, ...] = ()
    if trial.rehearsal:
        back = (
            TakeBack(
                facts.database,
                fit.hypothesis.script.file.name,
                trial.rehearsal.upto,
                trial.rehearsal.sql,
                trial.rehearsal.empty_tables,
                trial.rehearsal.empty_columns,
                trial.rehearsal.empty_sequences,
            ),
        )
    tables = touched_tables(trial) if back or indexes else ()
    # one incident, one backup: the first, made before anything was changed
    save = () if facts.saved else (BackUp.of(facts, tables),)
    force = ForceVersion(facts.database, facts.version_table, dirty, fit.target)
    return (*save, *indexes, *back, force)


def touched_tables(trial: Trial) -> tuple[str, ...]:
    """The tables that are there and that the file touches, if only by an index."""
    names = {key.on or key.name for key in trial.verdict.touched}
    return tuple(sorted(key.name for key in trial.live if key.kind == "table" and key.name in names))


def _migrate(facts: Facts) -> tuple[Repair, ...]:
    if not facts.asked.migrate or not facts.rows:
        return ()
    at = target(facts)
    newest = facts.migrations.newest
    return (RunMigrate(facts.database, facts.command, at, newest),) if at < newest else ()


def target(facts: Facts) -> int:
    """The version at which the database is once it is mended."""
    trial = facts.trial
    return trial.verdict.fit.target if trial and trial.verdict.fit and facts.row.dirty else facts.row.version


def unlike(before: Facts, now: Catalog) -> tuple[Difference, ...]:
    """What of the catalog `now` is not as mending `before` promises."""
    fit = before.trial.verdict.fit if before.trial else None
    if before.trial is None or fit is None:
        return ()
    promised = fit.hypothesis.before if fit.target == fit.hypothesis.undone else fit.hypothesis.after
    return differences(promised, now, before.trial.verdict.touched)


def _basis(facts: Facts) -> tuple[str, ...]:
    asked, sources = facts.asked, [known.said_by for known in facts.deployed if known.proves]
    files = tuple(f"{file.name} is {file.digest[:12]}" for file in facts.deciding) if facts.row.dirty else ()
    known = ", ".join(sources) if sources and not asked.deployed else "by the word of whoever asked"
    multi = {None: "may or may not be", True: "is", False: "is not"}[facts.multi]
    return (
        f"{facts.version_table} of {facts.address} says: {facts.row}",
        *files,
        *((f"these are the deployed files {known}", f"multi-statement mode {multi} used") if files else ()),
        *((f"the {asked.direction} was running, says {asked.said_by}",) if asked.direction else ()),
        *((f"an interrupted run has saved it to {facts.saved}",) if facts.saved else ()),
        *(_differs(facts.trial) if facts.trial else ()),
    )


def _differs(trial: Trial) -> tuple[str, ...]:
    return (f"{len(trial.verdict.touched)} objects and properties decide", trial.verdict.why)


def because(facts: Facts) -> str:
    """One line about what was seen."""
    finding = diagnose(facts)
    match finding:
        case Finding.STILL_RUNNING:
            return "; ".join(map(str, facts.migrators))
        case Finding.NEVER_MIGRATED:
            empty = "is empty" if facts.rows is not None else "does not exist"
            return "; ".join((f"{facts.version_table} of {facts.address} {empty}", *facts.notes))
        case Finding.SEVERAL_ROWS:
            return f"{facts.version_table} has {len(facts.rows or ())} rows: {', '.join(map(str, facts.rows or ()))}"
        case Finding.CLEAN:
            behind = sum(version.number > facts.row.version for version in facts.migrations)
            newer = f", {behind} newer to come" if behind else ""
            return "; ".join((f"{facts.version_table} says {facts.row}{newer}", *facts.notes))
        case Finding.FILES_MISSING:
            return f"{facts.row}, but {_files_missing(facts)}"
        case Finding.FILE_CHANGED:
            return f"{facts.row}, but {changed_files(facts)}"
        case _:
            why = facts.obstacle.why if facts.obstacle else facts.trial.verdict.why if facts.trial else "not replayed"
            return f"{facts.row}: {why}"


def verify(facts: Facts, done: Plan[Repair]) -> str:
    """The verdict of looking again: a clean version, and the catalog that the plan promised. Raises: NotVerified."""
    last = done.steps[-1]
    promised = (
        last.newest if isinstance(last, RunMigrate) else last.clean if isinstance(last, ForceVersion) else NOTHING
    )
    rows = () if promised == NOTHING else (VersionRow(promised, dirty=False),)
    seen = tuple(VersionRow(row.version, row.dirty) for row in facts.rows or ())
    if seen != rows or facts.migrators or facts.unlike:
        odd = "; ".join(f"{one.key} is not as before the file" for one in facts.unlike[:3])
        state = ", ".join(map(str, facts.rows or ())) or "no version"
        raise NotVerified(
            "not-as-promised",
            f"after plan {done.digest}, {facts.database} is {state}{'; ' + odd if odd else ''}",
            hint="start the run again, which looks first; the backup of this incident is kept",
            exhibits=exhibits(facts),
        )
    word = done.finding if done.finding in tuple(Word) else "clean"
    compared = word != "clean" and not isinstance(last, RunMigrate)  # the command was to change it
    return f"clean at {said(promised)}" + (", the catalog is as it must be" if compared else "")


def warning(facts: Facts) -> str:
    """What is not right although the promise was kept; empty when all is well."""
    behind = [version.number for version in facts.migrations if version.number > facts.row.version]
    waiting = f"{len(behind)} newer versions wait for the next migrate" if behind else ""
    return "; ".join(filter(None, (*facts.notes, waiting)))
