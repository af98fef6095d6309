"""Bringing a database to its newest version before a deployment. For people: pending_migrations.md."""

from enum import StrEnum

from runbooks.catalogue import Runbook
from runbooks.consent import Policy
from runbooks.dirty_migration_facts import Facts, said
from runbooks.dirty_migration_steps import RunMigrate
from runbooks.errors import NotVerified, Refused
from runbooks.plan import Plan


class Finding(StrEnum):
    """What is to be done, in a word that is a heading of the page."""

    NEWEST = "at-the-newest"
    PENDING = "pending"
    DIRTY = "dirty"
    STILL_RUNNING = "migrator-at-work"
    AHEAD = "ahead-of-the-files"
    SEVERAL_VERSIONS = "several-versions"
    FILES_MISSING = "gap-in-the-files"
    UNSUITABLE = "unsuitable-server"


HINTS = {
    Finding.DIRTY: "no deployment may go on; `runbook plan recover-dirty-migration --param database={database}` finds "
    "out what is true",
    Finding.STILL_RUNNING: "wait until it has ended; a second migrator would only wait behind it",
    Finding.AHEAD: "these files are older than the database: deploy the release that it belongs to, or migrate it down "
    "first",
    Finding.SEVERAL_VERSIONS: "`runbook plan recover-dirty-migration --param database={database}` says what they are",
    Finding.FILES_MISSING: "point `migrations` in RUNBOOK_DATABASES at the files of this release",
    Finding.UNSUITABLE: "name the primary server itself in RUNBOOK_DATABASES",
}

RUNBOOK = Runbook(
    name="run-migrations",
    module="pending_migrations",
    purpose="Before a deployment: bring a database to its newest version, and stop the deployment where that fails.",
    # whoever may start a deployment has agreed to its migrations; the plan is shown and told all the same
    policy=Policy(approvals=1, requester_may_approve=True, typed_digest_counts=True, standing=True),
    findings=tuple(Finding),
    failures=("not-the-newest",),
)


def diagnose(facts: Facts) -> Finding:
    """Total: every possible Facts has exactly one Finding."""
    rows = facts.rows or ()
    if facts.obstacle:
        return Finding.UNSUITABLE
    if facts.migrators:
        return Finding.STILL_RUNNING
    if len(rows) > 1:
        return Finding.SEVERAL_VERSIONS
    if facts.row.dirty:
        return Finding.DIRTY
    if facts.gaps:
        return Finding.FILES_MISSING
    if facts.row.version > facts.migrations.newest:
        return Finding.AHEAD
    return Finding.NEWEST if facts.row.version == facts.migrations.newest else Finding.PENDING


def plan(facts: Facts) -> Plan[RunMigrate]:
    """The one step, or none. Raises: Refused, with the finding as its reference."""
    finding = diagnose(facts)
    if finding in HINTS:
        hint = HINTS[finding].format(database=facts.database)
        raise Refused(finding, f"{facts.database}: {because(facts)}", hint=hint)
    at, newest = facts.row.version, facts.migrations.newest
    steps = (RunMigrate(facts.database, facts.command, at, newest),) if finding is Finding.PENDING else ()
    return Plan(
        runbook=RUNBOOK.name,
        target=f"database/{facts.database}",
        finding=finding,
        because=because(facts),
        basis=(
            f"{facts.version_table} of {facts.address} says: {facts.row}",
            f"the files end at {newest}, and are {facts.migrations.digest[:12]}",
        ),
        steps=steps,
        code=facts.code,
    )


def because(facts: Facts) -> str:
    """One line about what was seen."""
    if facts.obstacle:
        return facts.obstacle.why
    if facts.migrators:
        return "; ".join(map(str, facts.migrators))
    if len(facts.rows or ()) > 1:
        return ", ".join(map(str, facts.rows or ()))
    if facts.gaps:
        return f"no file has {', '.join(map(str, facts.gaps[:5]))}"
    waiting = [version.number for version in facts.migrations if version.number > facts.row.version]
    newest = facts.migrations.newest
    return f"{facts.row}, {len(waiting)} to come" if waiting else f"{facts.row}, the files end at {said(newest)}"


def verify(facts: Facts, done: Plan[RunMigrate]) -> str:
    """The verdict of looking again. Raises: NotVerified `not-the-newest`."""
    step = done.steps[-1]
    if diagnose(facts) is not Finding.NEWEST or facts.row.version != step.newest:
        raise NotVerified(
            "not-the-newest",
            f"the migrate command ended well, yet {facts.database} is {because(facts)}",
            hint="compare the files that the command reads with `migrations` in RUNBOOK_DATABASES",
        )
    return f"clean at {said(step.newest)}, the newest"
