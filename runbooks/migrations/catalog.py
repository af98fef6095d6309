"""What a database consists of, as a value: every object and every property of one by its key, with its definition.

Properties are keys of their own, so that a difference names exactly what differs and the way back is one statement:

    kind                                       on        name        definition
    schema, extension                          -         app         -, version and schema
    table, view, materialized view, sequence   -         app.nodes   what CREATE says of it beyond its columns
    column                                     table     state       type
    column default, column not null, …         table     state       expression, -
    constraint, trigger, rule, policy          table     its name    the text that makes it again
    index                                      table     app.x_idx   the text that makes it again
    index invalid                              table     app.x_idx   invalid, not ready
    function, aggregate                        -         app.f(int)  the text that makes it again
    enum, domain, range, composite type        -         app.mood    labels as JSON, …
    comment, owner, privileges                 TABLE, …  app.nodes   text, role, acl
    default privileges                         role      schema, kind of object
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Key(NamedTuple):
    """Names one object or one property of an object.

    `kind` is a word such as table, column, column default, index, owner; `on` what it hangs on (a column's table),
    empty where it stands by itself; `name` its own name. Both are qualified and quoted as SQL needs them.
    """

    kind: str
    on: str
    name: str

    def __str__(self) -> str:
        if self.kind.startswith("index"):  # its name is qualified by itself
            return f"{self.kind} {self.name}"
        if self.on.isupper():  # the word by which SQL calls what it is a property of
            return f"{self.kind} of {self.on.lower()} {self.name}"
        return f"{self.kind} {self.on}.{self.name}" if self.on else f"{self.kind} {self.name}"


Catalog = Mapping[Key, str]
"""Every key with its definition: SQL text where there is some, so that it can be made again; empty where being there
is all that there is to say."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One key whose definitions differ. None means: it is not there."""

    key: Key
    expected: str | None
    found: str | None


def changed(one: Catalog, other: Catalog) -> frozenset[Key]:
    """The keys by which the two differ."""
    if one is other:
        return frozenset()
    return frozenset(key for key, _ in one.items() ^ other.items())


def differences(expected: Catalog, found: Catalog, keys: Iterable[Key] | None = None) -> tuple[Difference, ...]:
    """What differs, sorted; among `keys`, or everywhere."""
    differ = changed(expected, found)
    wanted = differ if keys is None else differ & frozenset(keys)
    return tuple(Difference(key, expected.get(key), found.get(key)) for key in sorted(wanted))


def agree(one: Catalog, other: Catalog, keys: Iterable[Key]) -> bool:
    """Whether the two are the same on `keys`."""
    return all(one.get(key) == other.get(key) for key in keys)
