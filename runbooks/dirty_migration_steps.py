"""What can be done about a dirty migration: steps that dirty_migration.py plans and tasks/migrations carries out."""

import hashlib
from dataclasses import dataclass

from runbooks.dirty_migration_facts import Facts, said
from runbooks.migrations.files import NOTHING

SHOWN = 4
"""How many tables a sentence names; the plan covers all of them."""


@dataclass(frozen=True, slots=True)
class BackUp:
    """Put the schema, the version row, and the rows of `tables` where nothing that follows can reach them."""

    database: str
    folder: str
    file: str
    tables: tuple[str, ...]

    @classmethod
    def of(cls, facts: Facts, tables: tuple[str, ...]) -> "BackUp":
        """The backup of this incident, which is one dirty mark, with the rows of `tables` and of the version table."""
        saved = tuple(sorted({*tables, facts.version_table}))
        digest = hashlib.sha256("\n".join(saved).encode()).hexdigest()[:8]
        incident = f"{facts.database}-{max(facts.row.version, 0)}-dirty-{facts.row.mark}"
        return cls(facts.database, facts.backup, f"{incident}-{digest}.dump", saved)

    @property
    def place(self) -> str:
        """Where it will be, if nothing comes between."""
        return f"{self.folder}/{self.file}"

    @property
    def undo(self) -> str:
        """A backup takes nothing away."""
        return f"nothing to undo; delete {self.place} when nobody needs it any more"

    def __str__(self) -> str:
        return f"back up the schema of {self.database} and the rows of {listed(self.tables)} to {self.place}"


@dataclass(frozen=True, slots=True)
class DropInvalidIndex:
    """Drop, without blocking writers, an index that a failed CREATE INDEX CONCURRENTLY left; it serves nobody."""

    database: str
    index: str

    @property
    def undo(self) -> str:
        """The migration builds it."""
        return f"nothing to undo: {self.index} was of no use; the next migrate builds it"

    def __str__(self) -> str:
        return f"drop the invalid index {self.index} concurrently"


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Take back the statements 1 to `upto` of `file`, in one transaction, committed only if the catalog is then as it
    was before the file. `empty_tables` and `empty_columns` must hold nothing, and `empty_sequences` must be unused.
    """

    database: str
    file: str
    upto: int
    sql: tuple[str, ...]
    empty_tables: tuple[str, ...]
    empty_columns: tuple[tuple[str, str], ...]
    empty_sequences: tuple[str, ...] = ()

    @property
    def undo(self) -> str:
        """The statements of the file itself."""
        which = "statement 1" if self.upto == 1 else f"statements 1 to {self.upto}"
        return f"run {which} of {self.file} again with psql; no row was touched"

    def __str__(self) -> str:
        which = "statement 1" if self.upto == 1 else f"statements 1 to {self.upto}"
        count = "1 statement" if len(self.sql) == 1 else f"{len(self.sql)} statements"
        return f"take back {which} of {self.file} by {count} in one transaction"


@dataclass(frozen=True, slots=True)
class ForceVersion:
    """Write a clean version in place of the dirty one, if it is still there. `table` is the version table."""

    database: str
    table: str
    dirty: int
    clean: int

    @property
    def undo(self) -> str:
        """The statement that marks it dirty again."""
        if self.clean == NOTHING:
            return f"`INSERT INTO {self.table} VALUES ({self.dirty}, true)`"
        return f"`UPDATE {self.table} SET version = {self.dirty}, dirty = true`"

    def __str__(self) -> str:
        return f"force {self.database} from dirty {self.dirty} to " + (
            "no version at all" if self.clean == NOTHING else f"clean {self.clean}"
        )


@dataclass(frozen=True, slots=True)
class RunMigrate:
    """Run the migrate command, which must bring the database from `version` to `newest`."""

    database: str
    command: tuple[str, ...]
    version: int
    newest: int

    @property
    def undo(self) -> str:
        """The command's own way back, as far as there is one."""
        return f"the down files of the versions above {said(self.version)}, as far as they can"

    def __str__(self) -> str:
        return f"run `{' '.join(self.command)}` on {self.database}, from {said(self.version)} to {said(self.newest)}"


Repair = BackUp | DropInvalidIndex | TakeBack | ForceVersion | RunMigrate


def listed(names: tuple[str, ...]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
