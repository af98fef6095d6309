"""What lies between two catalogs, sorted into what came, what went and what became another; and what hangs on what."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from runbooks.migrations.catalog import Catalog, Key
from runbooks.migrations.inverse_names import parts

NAMED_PARTS = frozenset({"trigger", "rule", "policy", "constraint"})
"""What has its name only within its table; others speak of it as `name on table`."""

_OF_A_COLUMN = ("column default", "column generated", "column not null", "column identity", "column collation",
                "column storage", "column statistics", "column compression")  # fmt: skip
_PROPERTIES = frozenset({"comment", "owner", "privileges", "row security", "replica identity", "sequence owner",
                         "tablespace", "domain default", "domain not null", "materialized view populated",
                         "event trigger state", "statistics target"})  # fmt: skip
_BOTH_WAYS = frozenset(
    {"partition", "inherits", "index partition", "publication table", "publication filter", "publication schema"}
)
_STATES = frozenset({"trigger state", "rule state", "constraint state"})
_ON = frozenset({"column", "index", "statistics", "domain constraint", "table option", "view option", "column option",
                 "index option", "index statistics", "user mapping"})  # fmt: skip


def ids(key: Key) -> tuple[str, ...]:
    """The names by which other keys speak of this one; none for what is but a property of something."""
    if key.kind in _NOTHING_HANGS_ON:
        return ()
    if key.kind == "column":
        return (f"{key.on}.{key.name}",)
    if key.kind == "column identity":
        return (f"{key.on}.{key.name} identity",)
    if key.kind == "constraint":  # and the index that may stand behind it
        return (f"{key.name} on {key.on}", f"{parts(key.on)[0]}.{key.name}")
    if key.kind in NAMED_PARTS:
        return (f"{key.name} on {key.on}",)
    if key.kind == "domain constraint":
        return (f"{key.name} ON DOMAIN {key.on}",)
    return (key.name,)


_NOTHING_HANGS_ON = (
    _PROPERTIES
    | _STATES
    | _BOTH_WAYS
    | (frozenset(_OF_A_COLUMN) - {"column identity"})
    | {"table option", "view option", "column option", "index option", "index statistics", "index invalid"}
    | {"index clustered", "user mapping", "default privileges"}
)


def parents(key: Key, catalog: Catalog) -> tuple[str, ...]:
    """The names of what this key goes with, when that is dropped."""
    if key.kind in _OF_A_COLUMN:
        return (f"{key.on}.{key.name}", key.on)
    if key.kind in _STATES:
        return (f"{key.name} on {key.on}", key.on)
    if key.kind in _BOTH_WAYS or key.kind in {"index invalid", "index clustered"}:
        return (key.on, key.name)
    if key.kind in NAMED_PARTS or key.kind in _ON:
        return (key.on,)
    if key.kind == "sequence":
        owner = catalog.get(Key("sequence owner", "", key.name))
        return (owner, f"{owner} identity") if owner else ()
    if key.kind == "default privileges":
        return ()
    if key.kind in _PROPERTIES:
        return (key.name,)
    return ()


class Hanging:
    """What hangs on what in one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._below = dict[str, list[Key]]()
        for key in catalog:
            for parent in parents(key, catalog):
                self._below.setdefault(parent, []).append(key)

    def on(self, roots: Iterable[Key]) -> set[Key]:
        """Everything that goes when `roots` are dropped, they themselves not included."""
        found, left = set[Key](), list(roots)
        while left:
            key = left.pop()
            hung = [other for name in ids(key) for other in self._below.get(name, ()) if other not in found]
            hung = [other for other in hung if other != key]
            found.update(hung)
            left.extend(hung)
        return found


@dataclass(frozen=True)
class Change:
    """What came (only in `live`), what went (only in `before`), what became another; `live` leads to `before`."""

    live: Catalog
    before: Catalog
    came: frozenset[Key]
    went: frozenset[Key]
    altered: frozenset[Key]

    @cached_property
    def hanging(self) -> Hanging:
        """What hangs on what in `live`."""
        return Hanging(self.live)

    @cached_property
    def _parents(self) -> dict[str, list[str]]:
        """The tables right above each table, so far as that stays so."""
        found = dict[str, list[str]]()
        for key in self.live.keys() & self.before.keys() - self.came - self.went:
            if key.kind == "partition":
                found.setdefault(key.name, []).append(key.on)
            elif key.kind == "inherits":
                found.setdefault(key.on, []).append(key.name)
        return found

    def above(self, table: str) -> list[str]:
        """The tables of which `table` is a partition or a child all along: what they lose or get, it does, too."""
        found, left = list[str](), [table]
        while left:
            new = [parent for parent in self._parents.get(left.pop(), ()) if parent not in found]
            left.extend(new)
            found.extend(new)
        return found

    def coming(self, *kinds: str) -> list[Key]:
        """What came, of these kinds, sorted."""
        return sorted(key for key in self.came if key.kind in kinds)

    def going(self, *kinds: str) -> list[Key]:
        """What went, of these kinds, sorted."""
        return sorted(key for key in self.went if key.kind in kinds)

    def altering(self, *kinds: str) -> list[Key]:
        """What became another, of these kinds, sorted."""
        return sorted(key for key in self.altered if key.kind in kinds)

    def given_back(self, *kinds: str) -> Iterator[tuple[Key, str]]:
        """What went or became another, with what it was."""
        return ((key, self.before[key]) for key in sorted((*self.going(*kinds), *self.altering(*kinds))))

    def without(self, keys: Collection[Key]) -> "Change":
        """The same, with `keys` seen to."""
        return replace(self, came=self.came - set(keys), went=self.went - set(keys), altered=self.altered - set(keys))

    def remade(self, keys: Collection[Key]) -> "Change":
        """The same, where `keys` are dropped and made again: with all that hangs on them they have come and gone."""
        went = self.went | set(keys) | Hanging(self.before).on(keys)
        came = (self.came - self.hanging.on(keys)) | set(keys)
        return replace(self, came=came, went=went, altered=self.altered - went)


def change(live: Catalog, before: Catalog, keys: Collection[Key]) -> Change:
    """What differs among `keys`."""
    differ = [key for key in keys if live.get(key) != before.get(key)]
    return Change(
        live,
        before,
        frozenset(key for key in differ if key not in before),
        frozenset(key for key in differ if key not in live),
        frozenset(key for key in differ if key in live and key in before),
    )
