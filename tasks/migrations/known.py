"""What is known of a dirty database beyond what it shows: by earlier runs, by the settings, by the pipeline's log."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from runbooks.dirty_migration_facts import Asked, Deployed, Facts
from runbooks.migrations.files import Direction
from store import journal, targets, trail
from store.database import database as store
from store.migrated import MigratedDatabase
from store.settings import settings
from tasks.migrations import source
from tasks.migrations.backup import Place, existing
from tasks.migrations.command import Logged, direction_in
from tasks.migrations.session import Live

RAN, SAVED, SEEN = "migrating", "backup", "files"
"""What runs write down about a database: the files that the migrate command was about to run, a backup, and the files
as they were when a dirty mark was first looked at.
"""

LOG_VALID_S = 86_400
"""How old the pipeline's log may be to say anything of a failure that is looked at now, seconds."""

LOG_LINES = 400
"""How far back in the pipeline's log the last migration is looked for."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run wrote down when it ran the migrate command: the digests of all files, the dirty mark that it left, and
    which way it went. The mark is empty where nothing dirty was left, or where that run was killed.
    """

    run: str
    files: Mapping[str, str]
    mark: str
    direction: str


def with_memory(live: Live, facts: Facts, run: str, left: targets.Interrupted | None) -> Facts:
    """What earlier runs, the settings, and the pipeline's log add to what is seen."""
    if not facts.rows or len(facts.rows) != 1 or not facts.row.dirty:
        return facts
    kept = (left.remarks if left else {}).get(SAVED, "")
    saved: dict[str, Any] = json.loads(kept) if kept else {}
    if saved.get("mark") == facts.row.mark and existing(place_of(live.known, saved["file"]), live.params, settings()):
        facts = replace(facts, saved=saved["place"])
    ran = _last_run(live.name)
    return replace(
        facts,
        asked=_direction(live, facts, ran),
        deployed=_deployed(live, facts, run, ran),
        backup=(live.known.backup or str(live.known.backup_folder)).rstrip("/"),
    )


def place_of(known: MigratedDatabase, file: str) -> Place:
    """Where the backup called `file` goes."""
    return Place(known.backup, known.backup_folder, file)


def _direction(live: Live, facts: Facts, ran: Ran | None) -> Asked:
    """Which file was running, as the person says, else as our own run wrote down, else as the pipeline's log says."""
    if facts.asked.direction:
        return facts.asked
    if ran and ran.mark == facts.row.mark and ran.direction:
        return replace(facts.asked, direction=Direction(ran.direction), said_by=f"run {ran.run[:8]}, which ran it")
    log = live.known.log
    if log is None or not log.is_file() or facts.now - log.stat().st_mtime > LOG_VALID_S:
        return facts.asked
    last = direction_in(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    if not last or not _can_be(facts, last):
        return facts.asked
    written = f"{datetime.fromtimestamp(log.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"
    return replace(facts.asked, direction=Direction(last.direction), said_by=f"{log} of {written}")


def _can_be(facts: Facts, last: Logged) -> bool:
    """Whether the log says that the very file was begun, and not that it ended, which leaves this dirty version.

    That another file ended well says nothing: what failed may have been run later, by somebody else.
    """
    if last.finished:
        return False
    after = facts.migrations.next(facts.row.version)
    left_by = facts.row.version if last.direction == Direction.UP else after.number if after else None
    return last.version == left_by


def _deployed(live: Live, facts: Facts, run: str, ran: Ran | None) -> tuple[Deployed, ...]:
    """Who knows what the files were: the settings, a list of digests, the run that ran them, and the first look."""
    found = [Deployed("by the settings", as_they_are=True)] if live.known.files_are_deployed else []
    if live.known.deployed:
        found.append(Deployed(f"by {live.known.deployed}", _pairs(source.deployed_digests(live.known.deployed))))
    if ran and ran.mark in ("", facts.row.mark):
        # a run that was killed wrote down no mark: this one is hardly another's, but nobody can be sure
        said_by = f"when run {ran.run[:8]} ran the migrate command"
        found.append(Deployed(said_by, _pairs(ran.files), proves=bool(ran.mark)))
    target = f"database/{live.name}"
    with store().read() as conn:
        seen = trail.last_remark(conn, target, SEEN)
    first = json.loads(seen.value) if seen else {}
    if seen and first["mark"] == facts.row.mark:
        said_by = f"at the first look, by run {seen.run[:8]}"
        return (*found, Deployed(said_by, _pairs(first["files"]), proves=False))
    value = json.dumps({"mark": facts.row.mark, "files": {file.name: file.digest for file in facts.deciding}})
    with store().write() as conn:
        journal.append(conn, event="remarked", run=run, target=target, data={"step": "", "name": SEEN, "value": value})
    return tuple(found)


def _pairs(digests: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(digests.items()))


def _last_run(name: str) -> Ran | None:
    with store().read() as conn:
        found = trail.last_remark(conn, f"database/{name}", RAN)
    if found is None:
        return None
    said = json.loads(found.value)
    if "mark" in said and not said["mark"]:  # it left nothing dirty, so this is not of its making
        return None
    return Ran(found.run, said["files"], said.get("mark", ""), said.get("direction", ""))
