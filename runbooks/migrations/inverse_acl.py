"""Owners and privileges set back. An access list is written as PostgreSQL writes it: `app=arw*/owner, =r/owner`."""

from collections.abc import Iterable, Iterator, Mapping

from runbooks.migrations.catalog import Key
from runbooks.migrations.inverse_change import Change
from runbooks.migrations.inverse_names import parts

_WORDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "D": "TRUNCATE", "x": "REFERENCES",
          "t": "TRIGGER", "m": "MAINTAIN", "X": "EXECUTE", "U": "USAGE", "C": "CREATE"}  # fmt: skip
_RELATIONS = frozenset({"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"})
_ROUTINES = frozenset({"FUNCTION", "PROCEDURE", "AGGREGATE"})
_TO_PUBLIC = {
    **dict.fromkeys(_ROUTINES, "X"),
    "TYPE": "U",
    "DOMAIN": "U",
    "LANGUAGE": "U",
    "FUNCTIONS": "X",
    "TYPES": "U",
}
_ALL = {**dict.fromkeys(_RELATIONS, "arwdDxt"), **dict.fromkeys(_ROUTINES, "X"), "SEQUENCE": "rwU", "SCHEMA": "UC",
        "TYPE": "U", "DOMAIN": "U", "LANGUAGE": "U", "FOREIGN SERVER": "U", "FOREIGN DATA WRAPPER": "U",
        "TABLES": "arwdDxt", "SEQUENCES": "rwU", "FUNCTIONS": "X", "TYPES": "U", "SCHEMAS": "UC"}  # fmt: skip
"""What an owner has of itself, without MAINTAIN, which is new in PostgreSQL 17."""

_EVERYTHING = "everything"
"""Stands for all letters that there are."""

Access = Mapping[str, str]
"""Letters by who has them; the empty name is PUBLIC."""


def owners(change: Change) -> Iterator[str]:
    """Owners set back. The sequence of a column goes with its table."""
    tables = {key.name for key in (*change.going("owner"), *change.altering("owner")) if key.on in _RELATIONS}
    for key, was in change.given_back("owner"):
        column = change.before.get(Key("sequence owner", "", key.name), "")
        if key.on != "SEQUENCE" or ".".join(parts(column)[:2]) not in tables:
            yield f"ALTER {key.on} {key.name} OWNER TO {was}"


def simple(key: Key, change: Change) -> bool:
    """Whether it is known how to set these privileges back: no name is quoted, and only the owner has granted."""
    texts = [change.live.get(key, ""), change.before.get(key, "")]
    if key.kind == "default privileges":
        return all(_read(text, key.on) is not None for text in texts)
    owner = _owner(key, change)
    now = _read(texts[0], change.live.get(owner, "")) if key not in change.went else {}
    return now is not None and _read(texts[1], change.before.get(owner, "")) is not None


def privileges(change: Change) -> Iterator[str]:
    """Privileges set back, after the owners."""
    for key in (*change.coming("privileges"), *change.going("privileges"), *change.altering("privileges")):
        owner = change.before[_owner(key, change)]
        made_anew = _owner(key, change) in change.went and key in change.went
        text = None if made_anew else change.live.get(key)
        now = _access(key, text, owner, change.live.get(_owner(key, change), owner))
        yield from _difference(key, now, _access(key, change.before.get(key), owner, owner))


def default_privileges(change: Change) -> Iterator[str]:
    """What new objects get, set back before anything is made again."""
    for key in (*change.coming(_DEFAULT), *change.going(_DEFAULT), *change.altering(_DEFAULT)):
        now, was = (_access(key, catalog.get(key), key.on, key.on) for catalog in (change.live, change.before))
        yield from _difference(key, now, was)


_DEFAULT = "default privileges"


def _difference(key: Key, now: Access, was: Access) -> Iterator[str]:
    head, what = _place(key)
    for who in sorted({*now, *was}):
        if now.get(who, "") == was.get(who, ""):
            continue
        role = who or "PUBLIC"
        if now.get(who):
            yield f"{head}REVOKE ALL{what[0]} ON {what[1]} FROM {role}"
        yield from (f"{head}GRANT {grant}" for grant in _grants(was.get(who, ""), what, role))


def _grants(letters: str, what: tuple[str, str], role: str) -> Iterator[str]:
    columns, place = what
    if letters == _EVERYTHING:
        yield f"ALL ON {place} TO {role}"
        return
    for granted, option in ((_plain(letters), ""), (_with_option(letters), " WITH GRANT OPTION")):
        if granted:
            yield f"{', '.join(_WORDS[letter] + columns for letter in granted)} ON {place} TO {role}{option}"


def _place(key: Key) -> tuple[str, tuple[str, str]]:
    """What stands before GRANT, the columns, and the object."""
    if key.kind == _DEFAULT:
        scope, _, kind = key.name.rpartition(" ")
        return f"ALTER DEFAULT PRIVILEGES FOR ROLE {key.on}{' ' if scope else ''}{scope} ", ("", kind)
    if key.on == "COLUMN":
        *table, column = parts(key.name)
        return "", (f" ({column})", ".".join(table))
    word = "TABLE" if key.on in _RELATIONS else "ROUTINE" if key.on in _ROUTINES else key.on
    return "", ("", f"{word} {key.name}")


def _owner(key: Key, change: Change) -> Key:
    """The key of the owner of what `key` is about."""
    if key.on != "COLUMN":
        return key._replace(kind="owner")
    table = ".".join(parts(key.name)[:-1])
    return next(
        (other for word in _RELATIONS if (other := Key("owner", word, table)) in change.before),
        Key("owner", "TABLE", table),
    )


def _access(key: Key, text: str | None, owner: str, was_owner: str) -> Access:
    """Who has what; where nothing is said, what is usual."""
    kind = key.name.rpartition(" ")[2] if key.kind == _DEFAULT else key.on
    if text is not None:
        found = {owner if who == was_owner else who: letters for who, letters in (_read(text, was_owner) or {}).items()}
        if kind in _ALL and set(found.get(owner, "")) - {"m"} == set(_ALL[kind]):
            found[owner] = _EVERYTHING
        return found
    if key.on == "COLUMN" or key.name.startswith("IN SCHEMA "):
        return {}
    usual = {owner: _EVERYTHING}
    return {**usual, "": _TO_PUBLIC[kind]} if kind in _TO_PUBLIC else usual


def _read(text: str, owner: str) -> dict[str, str] | None:
    """An access list; None where it is not simple."""
    found = dict[str, str]()
    for entry in text.split(", ") if text not in {"", "none"} else ():
        who, equals, rest = entry.partition("=")
        letters, slash, grantor = rest.partition("/")
        if '"' in entry or not equals or not slash or grantor != owner or who in found:
            return None
        if set(letters) - {*_WORDS, "*"}:
            return None
        found[who] = _sorted(letters)
    return found


def _sorted(letters: str) -> str:
    with_option = _with_option(letters)
    return "".join(f"{letter}*" if letter in with_option else letter for letter in _in_order({*letters} - {"*"}))


def _in_order(letters: Iterable[str]) -> list[str]:
    return sorted(letters, key="arwdDxtmXUC".index)


def _with_option(letters: str) -> str:
    return "".join(letters[place - 1] for place, letter in enumerate(letters) if letter == "*")


def _plain(letters: str) -> str:
    return "".join(letter for letter in letters if letter != "*" and letter not in _with_option(letters))
