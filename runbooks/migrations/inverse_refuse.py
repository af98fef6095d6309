"""What is not taken back by itself: where data is gone or could be lost, and where nobody here knows how."""

import json
from collections.abc import Callable, Iterator

from runbooks.migrations.catalog import Key
from runbooks.migrations.inverse_acl import simple
from runbooks.migrations.inverse_change import Change, Hanging
from runbooks.migrations.inverse_drops import WORDS
from runbooks.migrations.inverse_makes import MADE
from runbooks.migrations.inverse_names import literal
from runbooks.migrations.repair import Refusal

_BACKUP = "-- its rows come from a backup"


def refuse_what_is_lost(change: Change) -> tuple[tuple[Refusal, ...], Change]:
    """What cannot come back since the catalog does not hold it, and the change without that."""
    refused, seen = list[Refusal](), set[Key]()
    hanging = Hanging(change.before)
    for kind, why, sql in _GONE:
        for key in change.going(kind):
            if key not in seen:
                refused.append(Refusal("data-gone", why.format(key=key), sql(key, change)))
                seen |= {key} | hanging.on([key])
    for key in change.altering("column"):
        refused.append(_cast(key, change))
        seen.add(key)
    for key in change.altering("enum"):
        refused.append(_labels(key, change))
        seen.add(key)
    return tuple(refused), change.without(seen)


_Sql = Callable[[Key, Change], str]
_GONE: tuple[tuple[str, str, _Sql], ...] = (
    ("table", "table {key.name} was dropped, and its rows with it", lambda _, __: _BACKUP),
    (
        "column",
        "column {key.name} of {key.on} was dropped, and its values with it",
        lambda key, change: f"ALTER TABLE {key.on} ADD COLUMN {key.name} {change.before[key]}; {_BACKUP}",
    ),
    (
        "column identity",
        "column {key.name} of {key.on} no longer counts by itself, and where it had come to is lost",
        lambda key, change: f"ALTER TABLE {key.on} ALTER COLUMN {key.name} ADD {change.before[key]}; -- then setval",
    ),
    (
        "sequence",
        "sequence {key.name} was dropped, and where it had come to is lost",
        lambda key, change: f"CREATE SEQUENCE {key.name} {change.before[key]}; -- then setval",
    ),
)


def _cast(key: Key, change: Change) -> Refusal:
    was, now = change.before[key], change.live[key]
    return Refusal(
        "lossy-cast",
        f"column {key.name} of {key.on} was {was} and is {now}: nobody knows whether every value survives the way back",
        f"ALTER TABLE {key.on} ALTER COLUMN {key.name} TYPE {was} USING {key.name}::{was};",
    )


def _labels(key: Key, change: Change) -> Refusal:
    was, now = json.loads(change.before[key]), json.loads(change.live[key])
    added = [label for label in now if label not in was]
    if added and [label for label in now if label in was] == was:
        why = f"type {key.name} got {', '.join(map(literal, added))}, and PostgreSQL cannot drop an enum value"
        labels = ", ".join(map(literal, was))
        return Refusal("enum-value-added", why, f"-- rows and defaults first, then a new type of the values {labels}")
    return _unknown(key, change)


def refuse_what_is_unknown(change: Change) -> Iterator[Refusal]:
    """What nobody here knows to take back, of what is left when all that hangs on other things is seen to."""
    for key in sorted(change.came - change.went):
        if key.kind not in _CAME or not _plain(key, change):
            yield _unknown(key, change)
    for key in sorted(change.went - change.came):
        if key.kind not in _WENT or not _plain(key, change):
            yield _unknown(key, change)
    for key in sorted(change.altered):
        if key.kind not in _ALTERED or not _plain(key, change):
            yield _unknown(key, change)


_SET_BACK = frozenset(
    (
        *("column default", "column not null", "column collation", "column storage", "column statistics"),
        *("column compression", "table option", "view option", "index option", "row security", "replica identity"),
        *("index clustered", "materialized view populated", "trigger state", "rule state", "event trigger state"),
        *("statistics target", "index statistics", "comment", "privileges", "default privileges", "sequence owner"),
        *("domain default", "domain not null", "publication table", "publication schema", "inherits", "partition"),
        *("constraint", "domain constraint", "index", "trigger", "rule", "policy", "statistics", "event trigger"),
    )
)
"""What can come and go."""

_CAME = _SET_BACK | WORDS.keys() | {"column identity", "publication"}
_WENT = _SET_BACK | MADE | {"owner", "index partition"}
_ALTERED = _SET_BACK | {"owner", "function", "sequence", "table", "column identity", "column generated"}


def _plain(key: Key, change: Change) -> bool:
    """Whether its definition is one that can be said again."""
    was, now = change.before.get(key, ""), change.live.get(key, "")
    match key.kind:
        case "column not null":
            return not was and not now
        case "partition":
            return not (was + now).endswith("DETACH PENDING")
        case "privileges" | "default privileges":
            return simple(key, change)
        case "replica identity":
            return not was.endswith("(dropped)")
        case "aggregate":
            return "HYPOTHETICAL" not in was and "ORDERED-SET" not in was
        case "sequence":
            return not change.before.get(key) or was.startswith("UNLOGGED") == now.startswith("UNLOGGED")
        case "column generated":
            return was.rpartition(" ")[2] == now.rpartition(" ")[2]
        case "table" if was and now:
            return was.removeprefix("UNLOGGED").strip() == now.removeprefix("UNLOGGED").strip()
    return True


def _unknown(key: Key, change: Change) -> Refusal:
    was, now = (_short(catalog.get(key)) for catalog in (change.before, change.live))
    return Refusal("unknown-change", f"{key} was {was} and is {now}", f"-- {key}: back to {was}")


def _short(text: str | None) -> str:
    return "not there" if text is None else " ".join(text.split())[:200] or "there"
