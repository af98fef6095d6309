"""Between the two halves, and after them: properties of what stayed are set back to what they were."""

from collections.abc import Iterator

from runbooks.migrations.catalog import Key
from runbooks.migrations.inverse_change import Change
from runbooks.migrations.inverse_names import literal, parts

_MAIN = ("numeric", "inet", "cidr")
"""Types that PostgreSQL stores as MAIN unless told otherwise; the others that can be large are EXTENDED."""

_RULE_OR_TRIGGER = {"trigger state": "TRIGGER", "rule state": "RULE"}


def columns(change: Change) -> Iterator[str]:
    """Defaults, NOT NULL and the rest of columns that stayed, after all types and functions are there again."""
    for kind, how in _COLUMN.items():
        for key in (*change.coming(kind), *change.going(kind), *change.altering(kind)):
            was = change.before.get(key)
            if was is not None or kind not in _DROPPED:
                yield f"ALTER TABLE {key.on} ALTER COLUMN {key.name} {_said(kind, how, key, was, change)}"
    for key, was in change.given_back("domain default"):
        yield f"ALTER DOMAIN {key.name} SET DEFAULT {was}"
    for key in change.coming("domain not null"):
        yield f"ALTER DOMAIN {key.name} DROP NOT NULL"
    for key in change.going("domain not null"):
        yield f"ALTER DOMAIN {key.name} SET NOT NULL"
    for key, was in change.given_back("sequence"):
        yield f"ALTER SEQUENCE {key.name} {was}"
    for key in (*change.coming("sequence owner"), *change.going("sequence owner"), *change.altering("sequence owner")):
        yield f"ALTER SEQUENCE {key.name} OWNED BY {change.before.get(key, 'NONE')}"


_DROPPED = frozenset({"column default", "column not null", "column identity"})
"""These were dropped with the rest of what came."""

_COLUMN = {
    "column collation": 'TYPE {type} COLLATE {was|pg_catalog."default"}',
    "column default": "SET DEFAULT {was}",
    "column not null": "SET NOT NULL",
    "column identity": "SET {was}",
    "column generated": "SET EXPRESSION {was}",
    "column storage": "SET STORAGE {was|}",
    "column statistics": "SET STATISTICS {was|-1}",
    "column compression": "SET COMPRESSION {was|default}",
}
"""What is said of a column; behind the bar, what is said when there was nothing."""


def _said(kind: str, how: str, key: Key, was: str | None, change: Change) -> str:
    type_ = change.before[Key("column", key.on, key.name)]
    usual = how.partition("|")[2].rstrip("}")
    if kind == "column storage":
        usual = "MAIN" if type_.startswith(_MAIN) else "EXTENDED"
    if kind == "column generated" and was:
        was = was.removeprefix("GENERATED ALWAYS ").removesuffix(" STORED").removesuffix(" VIRTUAL")
    if kind == "column identity" and was:
        was = was.removesuffix(" AS IDENTITY")
    head, brace, _ = how.partition("{was")
    return head.replace("{type}", type_) + ((was or usual) if brace else "")


def tables(change: Change) -> Iterator[str]:
    """Options, row security and the like of tables, views and indexes that stayed."""
    for kind, word in (("table option", "TABLE"), ("view option", "VIEW"), ("index option", "INDEX")):
        for key in change.coming(kind):
            yield f"ALTER {word} {key.on} RESET ({key.name})"
        for key, was in change.given_back(kind):
            yield f"ALTER {word} {key.on} SET ({key.name} = {literal(was)})"
    yield from _of_one_table(change)


def _of_one_table(change: Change) -> Iterator[str]:
    for key in (*change.coming("row security"), *change.going("row security"), *change.altering("row security")):
        yield from _row_security(key.name, change.live.get(key, ""), change.before.get(key, ""))
    for key in change.coming("replica identity"):
        yield f"ALTER TABLE {key.name} REPLICA IDENTITY DEFAULT"
    for key, was in change.given_back("replica identity"):
        yield f"ALTER TABLE {key.name} REPLICA IDENTITY {was}"
    for key in change.coming("index clustered"):
        yield f"ALTER TABLE {key.on} SET WITHOUT CLUSTER"
    for key in change.going("index clustered"):
        yield f"ALTER TABLE {key.on} CLUSTER ON {parts(key.name)[-1]}"
    for key, was in change.given_back("table"):
        yield f"ALTER TABLE {key.name} SET {'UNLOGGED' if was.startswith('UNLOGGED') else 'LOGGED'}"
    yield from _populated(change)


def _populated(change: Change) -> Iterator[str]:
    for key in change.coming("materialized view populated"):
        yield f"REFRESH MATERIALIZED VIEW {key.name} WITH NO DATA"
    for key in change.going("materialized view populated"):
        if Key("materialized view", "", key.name) not in change.went:
            yield f"REFRESH MATERIALIZED VIEW {key.name}"


def _row_security(table: str, now: str, was: str) -> Iterator[str]:
    if ("ENABLE" in now) != ("ENABLE" in was):
        yield f"ALTER TABLE {table} {'ENABLE' if 'ENABLE' in was else 'DISABLE'} ROW LEVEL SECURITY"
    if ("FORCE" in now) != ("FORCE" in was):
        yield f"ALTER TABLE {table} {'FORCE' if 'FORCE' in was else 'NO FORCE'} ROW LEVEL SECURITY"


def states(change: Change) -> Iterator[str]:
    """What is switched on or off, and what is written about things: after all of them are there."""
    for kind, word in _RULE_OR_TRIGGER.items():
        for key in change.coming(kind):
            yield f"ALTER TABLE {key.on} ENABLE {word} {key.name}"
        for key, was in change.given_back(kind):
            how, _, when = was.partition(" ")
            yield f"ALTER TABLE {key.on} {how} {when} {word} {key.name}".replace("  ", " ")
    for key in change.coming("event trigger state"):
        yield f"ALTER EVENT TRIGGER {key.name} ENABLE"
    for key, was in change.given_back("event trigger state"):
        yield f"ALTER EVENT TRIGGER {key.name} {_EVENT[was]}"
    for kind, index in (("statistics target", "STATISTICS"), ("index statistics", "INDEX")):
        for key in (*change.coming(kind), *change.going(kind), *change.altering(kind)):
            place = key.name if index == "STATISTICS" else f"{key.on} ALTER COLUMN {key.name}"
            yield f"ALTER {index} {place} SET STATISTICS {change.before.get(key, '-1')}"
    for key in change.coming("comment"):
        yield f"COMMENT ON {key.on} {key.name} IS NULL"
    for key, was in change.given_back("comment"):
        yield f"COMMENT ON {key.on} {key.name} IS {literal(was)}"


_EVENT = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS", "O": "ENABLE"}
