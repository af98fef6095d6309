"""Which table is which, whatever it is called: the catalog cannot tell one that was dropped and made again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from runbooks.migrations.repair import Refusal

_TABLES = """
SELECT c.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_COLUMNS = """
SELECT c.oid, a.attnum, pg_catalog.quote_ident(a.attname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """The names of tables and sequences by oid, and of columns by oid and number, at one moment."""

    tables: Mapping[int, str]
    columns: Mapping[tuple[int, int], str]

    def lost(self, now: "Identity") -> Iterator[Refusal]:
        """What has the same name now but is not the same: its rows are gone, though it looks as before."""
        before, after = ({name: oid for oid, name in one.tables.items()} for one in (self, now))
        for table in sorted(before.keys() & after.keys()):
            if before[table] != after[table]:
                yield Refusal("data-gone", f"{table} was dropped and made again, and what was in it is lost", _BACKUP)
                continue
            oid = before[table]
            numbers = ({name: number for (of, number), name in one.columns.items() if of == oid} for one in (self, now))
            was, are = numbers
            for column in sorted(was.keys() & are.keys()):
                if was[column] != are[column]:
                    why = f"column {column} of {table} was dropped and made again, and its values are lost"
                    yield Refusal("data-gone", why, _BACKUP)

    def table(self, other: "Identity", name: str) -> str:
        """What the table or sequence that `other` calls `name` is called here."""
        return next((self.tables.get(oid, name) for oid, found in other.tables.items() if found == name), name)

    def column(self, other: "Identity", table: str, name: str) -> tuple[str, str]:
        """What the column that `other` calls `name` of `table` is called here, with its table."""
        oid = next((oid for oid, found in other.tables.items() if found == table), 0)
        number = next((key for key, found in other.columns.items() if key[0] == oid and found == name), (oid, 0))
        return self.tables.get(oid, table), self.columns.get(number, name)


_BACKUP = "-- what was in it comes from a backup"


def identity_of(conn: psycopg.Connection[Any]) -> Identity:
    """The identity of everything that holds data."""
    tables = {int(oid): str(name) for oid, name in conn.execute(_TABLES)}
    columns = {(int(oid), int(number)): str(name) for oid, number, name in conn.execute(_COLUMNS)}
    return Identity(tables, columns)
