"""What is not mended by itself, and what a person does about it."""

from collections.abc import Callable, Mapping
from typing import NoReturn

from runbooks.dirty_migration_facts import Facts, Trial
from runbooks.dirty_migration_shown import exhibits
from runbooks.errors import Refused
from runbooks.exhibit import Exhibit
from runbooks.migrations.fitting import Word


def _again(**parameters: str) -> str:
    words = " ".join(f"--param {name}={value}" for name, value in parameters.items())
    return f"`runbook plan recover-dirty-migration {words}`"


def _direction(facts: Facts) -> str:
    return (
        "look into the log of the deployment which file was running: "
        f"{_again(database=facts.database, direction='up')} if it was an up, direction=down if it was a down"
    )


def _deployed(facts: Facts) -> str:
    names = " ".join(file.name for file in facts.deciding)
    confirm = _again(database=facts.database, deployed=facts.deciding_digest)
    return f"compare `sha256sum {names}` in the deployed image with the digests shown; if they are the same: {confirm}"


def _cannot_tell(facts: Facts) -> str:
    if facts.multi is None and facts.trial and not facts.trial.verdict.fits:
        return "find out whether the deployment uses x-multi-statement, and set `multi_statement` in RUNBOOK_DATABASES"
    fits = facts.trial.verdict.fits if facts.trial else ()
    ways = "; ".join(
        f"if {one.hypothesis} ran to its end: {one.hypothesis.done}, if nothing of it did: {one.hypothesis.undone}"
        for one in fits
    )
    return f"find out from the rows whether those statements ran (the evidence is shown), then `migrate force` ({ways})"


def _kill(facts: Facts) -> str:
    if not facts.migrators[0].pid:
        return "look for a migrator at work; if there is surely none, delete that row, then run this again"
    return (
        "wait for it; only if you are sure that nobody needs it: "
        f"`SELECT pg_terminate_backend({facts.migrators[0].pid})`, then run this again"
    )


def _obstacle(otherwise: str) -> Callable[[Facts], str]:
    return lambda facts: facts.obstacle.hint if facts.obstacle else otherwise


def _say(text: str) -> Callable[[Facts], str]:
    return lambda _facts: text


HINTS: Mapping[str, Callable[[Facts], str]] = {
    "still-running": _kill,
    "mixed": _say(
        "somebody may have repaired by hand, or the file was changed after it was deployed: compare the table of "
        "differences with the file, bring the catalog to one of its states by hand, then run this again"
    ),
    "cannot-tell": _cannot_tell,
    "direction-needed": _direction,
    "never-migrated": _say(
        "if it should have been migrated, compare version_schema and version_table in RUNBOOK_DATABASES with the "
        "migrate command's; a new database needs only the migrate command"
    ),
    "several-rows": _say(
        "golang-migrate reads any one of them: find out which version is true, then `migrate force` that one, which "
        "removes the others"
    ),
    "files-missing": _say("point `migrations` in RUNBOOK_DATABASES at the files of the deployed release"),
    "file-changed": _deployed,
    "cannot-replay": _obstacle("repair by hand: the page says how to compare catalog and file"),
    "no-permission": _obstacle("give the role CREATEDB, or set `scratch` to own-server"),
    "hot-standby": _obstacle("name the primary in RUNBOOK_DATABASES"),
    "pooled-connection": _obstacle("name the server itself in RUNBOOK_DATABASES, not PgBouncer"),
}
"""The findings that stop, and what to do then."""


def refuse_repair(facts: Facts, trial: Trial, failures: Mapping[str, str]) -> None:
    """Raises: Refused, where what the file left cannot be taken back without touching what was there before."""
    if trial.verdict.word is not Word.PARTLY_APPLIED:
        return
    fit, rehearsal = trial.verdict.fit, trial.rehearsal
    assert fit and rehearsal, "what was half applied has been rehearsed"
    for refusal in rehearsal.refused[:1]:
        _refuse(facts, refusal.reference, refusal.why, failures, _needed(trial))
    if trial.occupied:
        _refuse(facts, "not-empty", f"{', '.join(trial.occupied)} would be lost", failures, _needed(trial))
    if rehearsal.error or not rehearsal.equal:
        left = ", ".join(str(one.key) for one in rehearsal.differences[:3])
        why = rehearsal.error or f"afterwards {left} would not be as before"
        _refuse(facts, "rehearsal-failed", why, failures, _needed(trial))


def _needed(trial: Trial) -> Exhibit:
    rehearsal = trial.rehearsal
    assert rehearsal
    by_hand = [f"-- {one.reference}: {one.why}\n{one.sql}".rstrip() for one in rehearsal.refused]
    sql = [f"{statement};" for statement in rehearsal.sql]
    return Exhibit("What a person would have to run", "\n".join((*by_hand, *sql)) or "-- not known")


def _refuse(facts: Facts, reference: str, why: str, failures: Mapping[str, str], needed: Exhibit) -> NoReturn:
    fit = facts.trial.verdict.fit if facts.trial else None
    where = f"partly-applied, statement {fit.at} of {fit.end} was the last" if fit else "partly-applied"
    raise Refused(
        reference,
        f"{facts.database}: {where}, and it cannot be taken back by itself: {why}",
        hint=failures[reference],
        exhibits=(needed, *exhibits(facts, repair=False)),
    )
