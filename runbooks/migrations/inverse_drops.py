"""The first half of the way back: what came goes again, each thing before what it rests on."""

from collections.abc import Iterable

from runbooks.migrations.catalog import Catalog, Key
from runbooks.migrations.inverse_change import Change, Hanging
from runbooks.migrations.inverse_names import bare, mentioned, ordered

WORDS = {
    "view": "VIEW",
    "materialized view": "MATERIALIZED VIEW",
    "column": "",
    "operator class": "OPERATOR CLASS",
    "cast": "CAST",
    "operator": "OPERATOR",
    "foreign table": "FOREIGN TABLE",
    "table": "TABLE",
    "sequence": "SEQUENCE",
    "aggregate": "AGGREGATE",
    "function": "ROUTINE",
    "range": "TYPE",
    "composite type": "TYPE",
    "domain": "DOMAIN",
    "enum": "TYPE",
    "base type": "TYPE",
    "text search configuration": "TEXT SEARCH CONFIGURATION",
    "text search dictionary": "TEXT SEARCH DICTIONARY",
    "collation": "COLLATION",
    "user mapping": "",
    "foreign server": "SERVER",
    "foreign data wrapper": "FOREIGN DATA WRAPPER",
    "language": "LANGUAGE",
    "extension": "EXTENSION",
    "schema": "SCHEMA",
}
"""What stands by itself, in the order in which it goes when nothing else decides; and its word in DROP."""

_RANK = {kind: number for number, kind in enumerate(WORDS)}


def swallowed(change: Change) -> set[Key]:
    """What came and goes by itself with something that is dropped."""
    roots = [key for key in change.came if key.kind in WORDS or key.kind in _PARTS or key.kind == "column identity"]
    return (change.hanging.on(roots) | _by_inheritance(change)) & change.came


_PARTS = frozenset({"constraint", "index", "trigger", "rule", "policy", "statistics", "publication", "event trigger",
                    "domain constraint"})  # fmt: skip


def _by_inheritance(change: Change) -> set[Key]:
    """What a partition has from its parent, and so goes with the parent's and cannot be dropped alone."""
    inherited = {
        key
        for key in change.came
        if key.kind in {"column", "constraint", "column not null"}
        and any(_has(change, key, above) for above in change.above(key.on))
    }
    indexes = {key.name: key for key in change.came if key.kind == "index"}
    for key in change.came:
        if key.kind == "index partition" and {key.on, key.name} <= indexes.keys():
            child = indexes[key.name]
            if indexes[key.on].on in change.above(child.on):
                inherited.add(child)
    return inherited | change.hanging.on(inherited)


def _has(change: Change, key: Key, above: str) -> bool:
    """Whether the same came to the table `above`: a constraint may have another name there."""
    if key._replace(on=above) in change.came:
        return True
    same = change.live[key]
    return key.kind == "constraint" and any(
        other.kind == "constraint" and other.on == above and change.live[other] == same for other in change.came
    )


def drops(change: Change) -> list[str]:
    """The SQL that takes away what came; `change` is without what is swallowed."""
    return [
        *(f"DROP EVENT TRIGGER {key.name}" for key in change.coming("event trigger")),
        *(f"DROP PUBLICATION {key.name}" for key in change.coming("publication")),
        *(f"ALTER PUBLICATION {key.on} DROP TABLE {key.name}" for key in change.coming("publication table")),
        *(
            f"ALTER PUBLICATION {key.on} DROP TABLES IN SCHEMA {key.name}"
            for key in change.coming("publication schema")
        ),
        *(f"ALTER TABLE {key.on} DETACH PARTITION {key.name}" for key in change.coming("partition")),
        *(f"ALTER TABLE {key.on} NO INHERIT {key.name}" for key in change.coming("inherits")),
        *(f"DROP TRIGGER {key.name} ON {key.on}" for key in change.coming("trigger")),
        *(f"DROP RULE {key.name} ON {key.on}" for key in change.coming("rule")),
        *(f"DROP POLICY {key.name} ON {key.on}" for key in change.coming("policy")),
        *_views(change),
        *(f"DROP STATISTICS {key.name}" for key in change.coming("statistics")),
        *_constraints(change, foreign=True),
        *_constraints(change, foreign=False),
        *(f"DROP INDEX {key.name}" for key in change.coming("index")),
        *_properties(change),
        *(f"ALTER DOMAIN {key.on} DROP CONSTRAINT {key.name}" for key in change.coming("domain constraint")),
        *_rest(change),
    ]


def _constraints(change: Change, *, foreign: bool) -> list[str]:
    return [
        f"ALTER TABLE {key.on} DROP CONSTRAINT {key.name}"
        for key in change.coming("constraint")
        if change.live[key].startswith("FOREIGN KEY") == foreign
    ]


def _properties(change: Change) -> Iterable[str]:
    """What would hold on to a function, a sequence or a type that goes."""
    yield from (f"ALTER TABLE {key.on} ALTER COLUMN {key.name} DROP DEFAULT" for key in change.coming("column default"))
    gone = {bare(key.name) for key in change.came if key.kind in WORDS}
    for key in change.altering("column default"):
        if gone & mentioned([change.live[key]]):
            yield f"ALTER TABLE {key.on} ALTER COLUMN {key.name} DROP DEFAULT"
    yield from (f"ALTER DOMAIN {key.name} DROP DEFAULT" for key in change.coming("domain default"))
    yield from (
        f"ALTER TABLE {key.on} ALTER COLUMN {key.name} DROP IDENTITY" for key in change.coming("column identity")
    )
    yield from (
        f"ALTER TABLE {key.on} ALTER COLUMN {key.name} DROP NOT NULL" for key in change.coming("column not null")
    )


def _with_views(change: Change) -> dict[str, Key]:
    """Views, and the functions that hold on to one of them."""
    keys = {" ".join(key): key for key in change.coming("view", "materialized view")}
    names = {key.name for key in keys.values()}
    for key in change.coming("function"):
        if names & mentioned(words_of(key, change.live, change.hanging)):
            keys[" ".join(key)] = key
    return keys


def _views(change: Change) -> list[str]:
    """Views first of all: they hold on to columns and, by GROUP BY, to primary keys."""
    keys = _with_views(change)
    return [_drop(keys[name]) for name in _dependents_first(keys, change)]


def _rest(change: Change) -> list[str]:
    keys = {" ".join(key): key for key in change.coming(*WORDS)}
    for name in _with_views(change):
        del keys[name]
    statements, tables = list[str](), list[str]()
    for name in _dependents_first(keys, change):
        key = keys[name]
        if key.kind == "table":  # those that follow each other go together, for they may know each other
            tables.append(key.name)
            continue
        statements += _tables(tables)
        tables = []
        statements.append(_drop(key))
    return statements + _tables(tables)


def _tables(names: list[str]) -> list[str]:
    return [f"DROP TABLE {', '.join(sorted(names))}"] if names else []


def _drop(key: Key) -> str:
    if key.kind == "column":
        return f"ALTER TABLE {key.on} DROP COLUMN {key.name}"
    if key.kind == "operator class":
        return f"DROP OPERATOR CLASS {key.name} USING {key.on}"
    if key.kind == "user mapping":
        return f"DROP USER MAPPING FOR {key.name} SERVER {key.on}"
    return f"DROP {WORDS[key.kind]} {key.name}"


def _dependents_first(keys: dict[str, Key], change: Change) -> list[str]:
    """The names of `keys`, each before what its own definition rests on."""
    needs: dict[str, list[str]] = {name: [] for name in keys}
    by_target = dict[str, list[str]]()
    for name, key in keys.items():
        by_target.setdefault(target(key), []).append(name)
    for name, key in keys.items():
        for word in mentioned(words_of(key, change.live, change.hanging)):
            for other in by_target.get(word, ()):
                needs[other].append(name)
    rank = {name: (_RANK[key.kind], not _computed(key, change.live), name) for name, key in keys.items()}
    return ordered(rank, needs)


def _computed(key: Key, catalog: Catalog) -> bool:
    return key.kind == "column" and Key("column generated", key.on, key.name) in catalog


def target(key: Key) -> str:
    """The name by which a definition that rests on `key` mentions it: for a column, its table."""
    return key.on if key.kind == "column" else bare(key.name)


def words_of(key: Key, catalog: Catalog, hanging: Hanging) -> list[str]:
    """The texts in which `key` can name what it rests on.

    A function's body does not count, unless it is one that PostgreSQL reads when it is made (BEGIN ATOMIC).
    """
    if key.kind == "function":
        head, _, _ = catalog[key].partition("\nAS ")
        return [head]
    if key.kind == "column":
        return [catalog[other] for other in (key, *hanging.on([key])) if other.on == key.on]
    hung = hanging.on([key]) if key.kind in {"table", "foreign table", "domain"} else ()
    return [key.name, key.on, catalog[key], *(f"{other.on} {catalog[other]}" for other in hung)]
