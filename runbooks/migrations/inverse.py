"""The SQL that leads from one catalog back to another, or why there is none.

What came is dropped, what went is made again from its own text, what stayed is set back; nothing that was there before
is altered but to give it what it had, and nothing is dropped with CASCADE. Whoever runs it compares the whole catalog
afterwards: where PostgreSQL depends on more than a definition says, the SQL fails or falls short, and nothing is done.

inverse_change.py  what lies between the two, and what hangs on what
inverse_drops.py   what came
inverse_makes.py   what went
inverse_sets.py    what stayed and became another
inverse_acl.py     owners and privileges
inverse_refuse.py  what is not taken back by itself
inverse_names.py   names in definitions, and orders that follow from them
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from runbooks.migrations.catalog import Catalog, Key
from runbooks.migrations.inverse_acl import default_privileges, owners, privileges
from runbooks.migrations.inverse_change import Change, change
from runbooks.migrations.inverse_drops import drops, swallowed
from runbooks.migrations.inverse_makes import makes, schemas
from runbooks.migrations.inverse_names import mentioned, parts
from runbooks.migrations.inverse_refuse import refuse_what_is_lost, refuse_what_is_unknown
from runbooks.migrations.inverse_sets import columns, states, tables
from runbooks.migrations.repair import Refusal

_REMADE = frozenset({"view", "materialized view", "aggregate", "cast", "constraint", "domain constraint", "index",
                     "trigger", "rule", "policy", "statistics", "event trigger", "partition"})  # fmt: skip
"""What became another is dropped and made again, where PostgreSQL has no way to alter it."""


@dataclass(frozen=True, slots=True)
class WayBack:
    """The SQL, in order, for one transaction; and what it does not do.

    `drops_tables` must hold no row, `drops_columns` (table, column) no value, and `drops_sequences` must have given no
    number out, or data would be lost. What it `detaches` from a parent must hold no row either: one may have come by
    the parent, and would be missed there.
    """

    sql: tuple[str, ...]
    refused: tuple[Refusal, ...] = ()
    drops_tables: tuple[str, ...] = ()
    drops_columns: tuple[tuple[str, str], ...] = ()
    drops_sequences: tuple[str, ...] = ()
    detaches: tuple[str, ...] = ()


def inverse(live: Catalog, before: Catalog, keys: Collection[Key]) -> WayBack:
    """The way from `live` to `before` for what differs among `keys`.

    Renames must have been undone: what has another name looks like two different things here.
    """
    lost, found = refuse_what_is_lost(change(live, before, keys))
    found = _with_remade(found)
    numbers = tuple(_sequences(found))
    found = found.without(swallowed(found))
    first, rest = makes(found)
    sql = (
        *drops(found),
        *schemas(found),
        *default_privileges(found),
        *first,
        *columns(found),
        *rest,
        *tables(found),
        *owners(found),
        *privileges(found),
        *states(found),
    )
    return WayBack(
        tuple(dict.fromkeys(sql)),
        (*lost, *refuse_what_is_unknown(found)),
        tuple(key.name for key in found.coming("table")),
        tuple((key.on, key.name) for key in found.coming("column") if not _computed(key, live)),
        numbers,
        tuple(dict.fromkeys(_detached(found))),
    )


def _with_remade(found: Change) -> Change:
    remade = {key for key in found.altered if key.kind in _REMADE}
    remade |= {key for key in found.altering("function") if _head(found.live[key]) != _head(found.before[key])}
    return found.remade(remade)


def _head(function: str) -> str:
    """Name, parameters and result: what CREATE OR REPLACE FUNCTION cannot change."""
    return function.partition("\n LANGUAGE ")[0]


def _sequences(found: Change) -> Iterator[str]:
    """The sequences that go, and from which numbers may be in use that would come a second time.

    Not that of a table that goes as well: the rows that had its numbers are none, or the table is not dropped. The
    statement that failed has often taken some, and PostgreSQL never gives one back.
    """
    tables = set(found.coming("table"))
    for key in found.coming("sequence"):
        owner = ".".join(parts(found.live.get(Key("sequence owner", "", key.name), ""))[:2])
        if Key("table", "", owner) not in tables or _used(key.name, found.live, besides=owner):
            yield key.name


def _used(sequence: str, catalog: Catalog, besides: str) -> bool:
    """Whether a column of another table counts by it."""
    return any(
        key.kind == "column default" and key.on != besides and sequence in mentioned([text])
        for key, text in catalog.items()
    )


def _detached(found: Change) -> Iterator[str]:
    """The tables that stay and were attached; not those that had another place, which they are given back."""
    for key in found.coming("partition", "inherits"):
        if key not in found.went:
            yield key.name if key.kind == "partition" else key.on


def _computed(key: Key, catalog: Catalog) -> bool:
    return Key("column generated", key.on, key.name) in catalog
