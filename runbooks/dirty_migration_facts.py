"""What can be seen of a database that golang-migrate migrates. The decisions on it are in dirty_migration.py."""

import hashlib
import re
from dataclasses import dataclass

from runbooks.errors import BadRequest
from runbooks.migrations.catalog import Catalog, Difference
from runbooks.migrations.files import NOTHING, Direction, MigrationFile, Migrations
from runbooks.migrations.fitting import Hypothesis
from runbooks.migrations.judging import Verdict
from runbooks.migrations.repair import Rehearsal

DIGITS = 12
"""How many digits of a digest people repeat."""


@dataclass(frozen=True, slots=True)
class VersionRow:
    """A row of the version table. `mark` is the transaction that wrote it (`xmin`): it names the incident."""

    version: int
    dirty: bool
    mark: str = ""

    def __str__(self) -> str:
        return f"{'dirty' if self.dirty else 'clean'} at {said(self.version)}"


@dataclass(frozen=True, slots=True)
class Migrator:
    """A session that holds one of the migrator's locks. `doing` is what it runs, `since_s` for how many seconds."""

    pid: int
    lock: str
    state: str
    since_s: float
    client: str
    doing: str

    def __str__(self) -> str:
        who = f"process {self.pid} from {self.client} holds {self.lock}"
        return f"{who}, {self.state} for {self.since_s:.0f} s: {self.doing}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person, or the log of the pipeline, adds to what is seen.

    `direction` says which file was running, and `said_by` who says so. `deployed` are digits of the digest of the files
    that decide, by which a person confirms that these are the deployed ones. `migrate`: run the migrate command, too.
    """

    direction: Direction | None = None
    said_by: str = ""
    deployed: str = ""
    migrate: bool = False


def asked_with(direction: str, deployed: str, *, migrate: bool) -> Asked:
    """What a person typed, read. Raises: BadRequest `direction-malformed`, `deployed-malformed`."""
    way, digits = direction.strip().lower(), "".join(deployed.split()).lower()
    if way not in ("", *Direction):
        raise BadRequest(
            "direction-malformed", f"{direction[:20]!r} is no direction", hint="say up or down, or nothing"
        )
    if digits and not re.fullmatch(rf"[0-9a-f]{{{DIGITS},64}}", digits):
        raise BadRequest(
            "deployed-malformed",
            f"{deployed[:40]!r} is not what confirms the deployed files: {DIGITS} digits from 0-9 and a-f",
            hint="run it without; where it is needed, the refusal says which digits",
        )
    return Asked(Direction(way) if way else None, "whoever asked" if way else "", digits, migrate)


@dataclass(frozen=True, slots=True)
class Deployed:
    """What somebody knows of the files that were deployed: digests by file name, and who says so, as "by …".

    `as_they_are`: the files that were looked at are the deployed ones, by the settings. Without `proves` it is only
    what an earlier look at this incident saw: another digest tells that a file was edited since, the same one nothing.
    """

    said_by: str
    digests: tuple[tuple[str, str], ...] = ()
    as_they_are: bool = False
    proves: bool = True


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why the files could not be replayed: a finding, what stood in the way, and what to do."""

    finding: str
    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A statement that changes rows, and what can be seen of whether it ran. For people; it decides nothing.

    `would_touch` says whether running it again would touch a row; None where that is not known.
    """

    direction: Direction
    statement: int
    would_touch: bool | None
    seen: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What replaying the files on scratch showed. `live` is the catalog of the database itself, at the same moment."""

    verdict: Verdict
    live: Catalog
    hypotheses: tuple[Hypothesis, ...]
    rehearsal: Rehearsal | None = None
    occupied: tuple[str, ...] = ()
    """What the way back would drop and that holds rows or values."""
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was seen of one database at `now` (seconds since 1970, UTC), by the code named `code`.

    `rows` is None when there is no version table. `unlike` is what is not as it was promised, after a repair.
    `backup` is the bucket or folder where backups go, `saved` the backup that an interrupted run made of this very
    incident. `notes` are said beside the plan and decide nothing.
    """

    database: str
    address: str
    version_table: str
    rows: tuple[VersionRow, ...] | None
    migrations: Migrations
    now: float
    code: str
    migrators: tuple[Migrator, ...] = ()
    gaps: tuple[int, ...] = ()
    asked: Asked = Asked()
    deployed: tuple[Deployed, ...] = ()
    multi: bool | None = None
    obstacle: Obstacle | None = None
    trial: Trial | None = None
    backup: str = ""
    saved: str = ""
    command: tuple[str, ...] = ()
    unlike: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def row(self) -> VersionRow:
        """The one row; no version at all where the table is empty. Only where there are not several."""
        rows = self.rows or ()
        assert len(rows) < 2, "several rows are a finding of their own"
        return rows[0] if rows else VersionRow(NOTHING, dirty=False)

    @property
    def deciding(self) -> tuple[MigrationFile, ...]:
        """The files that may have failed: the up of the dirty version, and the up and down of the next."""
        version, after = self.migrations.get(self.row.version), self.migrations.next(self.row.version)
        both = (version.up if version else None, *((after.up, after.down) if after and after.down else ()))
        return tuple(file for file in both if file)

    @property
    def deciding_digest(self) -> str:
        """Digits that name exactly these files, for a person to repeat."""
        lines = "".join(f"{file.digest}  {file.name}\n" for file in self.deciding)
        return hashlib.sha256(lines.encode()).hexdigest()[:DIGITS]


def said(version: int) -> str:
    """A version for people."""
    return "no version" if version == NOTHING else f"version {version}"
