"""One migration file, taken apart into its statements. The taking apart is `tasks.migrations.parse`'s."""

from dataclasses import dataclass
from enum import StrEnum

from runbooks.migrations.files import MigrationFile


class Kind(StrEnum):
    """What a statement can have done, so far as it shows in its grammar."""

    DDL = "definition"
    DML = "rows"
    """INSERT, UPDATE, DELETE, MERGE, COPY, TRUNCATE, SELECT … INTO of functions with effects, setval."""
    CONTROL = "transaction control"
    SETTING = "setting"
    QUERY = "query"
    """SELECT and the like: no effect is known, none is excluded (a function may do anything)."""
    BLOCK = "block"
    """DO and CALL: anything may have happened."""


@dataclass(frozen=True, slots=True)
class Rename:
    """A statement that gave something a new name, and the SQL that gives the old one back."""

    statement: int
    back: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `number` counts from 1; `line` and `last_line` are lines of the file, from 1; `start` and `end`
    byte offsets of its text in the file's UTF-8, without the semicolon.

    `control` is begin, commit or rollback for `Kind.CONTROL`. `alone` means that it cannot run inside a transaction
    (CREATE INDEX CONCURRENTLY and its like). `index` is the name, unqualified, of an index that it builds concurrently.
    `names` are the identifiers that it mentions, folded as PostgreSQL does. `sets_owner` means that it sets an owner or
    privileges, or might (a block). `probe` is a query that gives a row if and only if running the statement again would
    touch a row; empty where none can be made. `writes` names the table whose rows it changes.
    """

    number: int
    kind: Kind
    text: str
    line: int
    last_line: int
    start: int
    end: int
    control: str = ""
    alone: bool = False
    index: str = ""
    names: frozenset[str] = frozenset()
    sets_owner: bool = False
    probe: str = ""
    writes: str = ""
    rename: Rename | None = None
    guarded: bool = False
    """IF EXISTS, IF NOT EXISTS, OR REPLACE: running it again is no error."""
    beyond: bool = False
    """It reaches beyond its database: roles, databases, table spaces, the server's settings, other servers. It must not
    be run in a scratch database on the live server."""


@dataclass(frozen=True, slots=True)
class Script:
    """One file with its statements. `unparsable` says why PostgreSQL's grammar rejects it: then nothing of it can have
    run as one query, and `statements` is empty. `pieces` is what golang-migrate's multi-statement mode makes of it.
    """

    file: MigrationFile
    statements: tuple[Statement, ...]
    pieces: tuple[str, ...]
    unparsable: str = ""

    @property
    def has_control(self) -> bool:
        """Whether it begins or ends transactions itself."""
        return any(statement.kind is Kind.CONTROL for statement in self.statements)
