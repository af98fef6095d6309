"""The way back from a half-applied file, tried on scratch before anybody is asked."""

from dataclasses import dataclass

from runbooks.migrations.catalog import Difference


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a change is not taken back by itself: a reference, what it is about, and the SQL that a person would need."""

    reference: str
    why: str
    sql: str = ""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What taking back the statements 1 to `upto` of a file would be, as it went on scratch.

    `sql` runs in one transaction. `empty_tables` must hold no row, `empty_columns` (table, column) no value, and
    `empty_sequences` must have given no number out, or nothing is done: on scratch there are no rows, so this is asked
    of the live database. `equal` means that the whole catalog was afterwards as it had been before the file.
    """

    upto: int
    sql: tuple[str, ...]
    empty_tables: tuple[str, ...] = ()
    empty_columns: tuple[tuple[str, str], ...] = ()
    empty_sequences: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    equal: bool = False
    differences: tuple[Difference, ...] = ()
    error: str = ""
