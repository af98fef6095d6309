"""The second half of the way back: what went comes again, from its own text, each thing after what it rests on."""

import json
from collections.abc import Iterable, Iterator

from runbooks.migrations.catalog import Key
from runbooks.migrations.inverse_change import Change, Hanging
from runbooks.migrations.inverse_drops import WORDS, target, words_of
from runbooks.migrations.inverse_names import literal, mentioned, ordered

_RANK = {kind: number for number, kind in enumerate(reversed(WORDS))}

MADE = frozenset({"schema", "enum", "domain", "range", "composite type", "function", "aggregate", "view", "cast",
                  "materialized view"})  # fmt: skip
"""What can be made again from its text, of all that stands by itself."""


def makes(change: Change) -> tuple[list[str], list[str]]:
    """The SQL that makes what went: first types and functions, which columns may need; then what may need columns.

    Functions whose head is the same are replaced, not dropped.
    """
    first, views = _objects(change)
    return first, list(_rest(change, views))


def schemas(change: Change) -> Iterator[str]:
    """The schemas that went."""
    return (f"CREATE SCHEMA {key.name}" for key in change.going("schema"))


def _rest(change: Change, views: list[str]) -> Iterator[str]:
    yield from _constraints(change, foreign=False)
    yield from views  # which may need a primary key, for GROUP BY
    yield from (change.before[key] for key in change.going("index"))
    yield from _constraints(change, foreign=True)
    yield from (text for _, text in change.given_back("statistics", "trigger", "rule", "policy", "event trigger"))
    for key, definition in change.given_back("partition"):
        yield f"ALTER TABLE {key.on} ATTACH PARTITION {key.name} {definition}"
    for key in change.going("index partition"):  # no harm if the partition has brought it along
        yield f"ALTER INDEX {key.on} ATTACH PARTITION {key.name}"
    yield from (f"ALTER TABLE {key.on} INHERIT {key.name}" for key in change.going("inherits"))
    yield from (f"ALTER PUBLICATION {key.on} ADD TABLE {key.name}" for key in change.going("publication table"))
    yield from (
        f"ALTER PUBLICATION {key.on} ADD TABLES IN SCHEMA {key.name}" for key in change.going("publication schema")
    )


def _objects(change: Change) -> tuple[list[str], list[str]]:
    """What stands by itself: first what needs no view, then the views and what needs them."""
    hanging = Hanging(change.before)
    keys = {" ".join(key): key for key in (*change.going(*(MADE - {"schema"})), *change.altering("function"))}
    by_target = {target(key): name for name, key in keys.items()}
    needs = {
        name: [by_target[word] for word in mentioned(words_of(key, change.before, hanging)) if word in by_target]
        for name, key in keys.items()
    }
    order = ordered({name: (_RANK[key.kind], name) for name, key in keys.items()}, needs)
    late = set[str]()
    for name in order:
        if keys[name].kind in {"view", "materialized view"} or late & set(needs[name]):
            late.add(name)
    first = [text for name in order if name not in late for text in _make(keys[name], change)]
    if any(keys[name].kind == "function" for name in keys):  # their bodies may speak of what is not there yet
        first.insert(0, "SET LOCAL check_function_bodies = off")
    return first, [text for name in order if name in late for text in _make(keys[name], change)]


def _make(key: Key, change: Change) -> Iterable[str]:
    definition = change.before[key]
    match key.kind:
        case "enum":
            return (f"CREATE TYPE {key.name} AS ENUM ({', '.join(map(literal, json.loads(definition)))})",)
        case "range":
            return (f"CREATE TYPE {key.name} AS RANGE {definition}",)
        case "composite type":
            return (f"CREATE TYPE {key.name} AS {definition}",)
        case "domain":
            return (f"CREATE DOMAIN {key.name} AS {definition}",)
        case "cast":
            return (f"CREATE CAST {key.name} {definition}",)
        case "materialized view":
            populated = Key("materialized view populated", "", key.name) in change.before
            return (definition if populated else f"{definition}\n WITH NO DATA",)
    return (definition,)


def _constraints(change: Change, *, foreign: bool) -> Iterator[str]:
    for key in change.going("constraint"):
        definition = change.before[key]
        if definition.startswith("FOREIGN KEY") == foreign and not _comes_from_above(key, definition, change):
            yield f"ALTER TABLE {key.on} ADD CONSTRAINT {key.name} {definition}"
    if not foreign:
        for key, definition in change.given_back("domain constraint"):
            yield f"ALTER DOMAIN {key.on} ADD CONSTRAINT {key.name} {definition}"


def _comes_from_above(key: Key, definition: str, change: Change) -> bool:
    return any(
        other.kind == "constraint" and other.on == above and change.before[other] == definition
        for above in change.above(key.on)
        for other in change.went
    )
