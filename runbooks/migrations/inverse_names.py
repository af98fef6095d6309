"""Names as the catalog writes them: which of them a definition mentions, and in which order things can go or come."""

import re
from collections.abc import Collection, Iterable, Mapping

_PART = r'(?:"(?:[^"]|"")*"|[^\W\d][\w$]*)'
_DOTTED = re.compile(rf"{_PART}(?:\.{_PART})*")
_PARTS = re.compile(r'"(?:[^"]|"")*"|[^.]+')


def parts(name: str) -> list[str]:
    """The parts of a dotted name, still quoted."""
    return _PARTS.findall(name)


def mentioned(texts: Iterable[str]) -> frozenset[str]:
    """Every dotted name in `texts` and its beginnings: of `app.nodes.state` also `app.nodes` and `app`.

    A name inside a string counts: `nextval('app.s'::regclass)` does depend on `app.s`.
    """
    found = set[str]()
    for text in texts:
        for name in _DOTTED.findall(text):
            pieces = parts(name)
            found.update(".".join(pieces[:length]) for length in range(1, len(pieces) + 1))
    return frozenset(found)


def bare(name: str) -> str:
    """The name of a function without its arguments; other names as they are."""
    return name.partition("(")[0] or name


def literal(text: str) -> str:
    """A string as SQL writes it."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def ordered(rank: Mapping[str, tuple[object, ...]], needs: Mapping[str, Collection[str]]) -> list[str]:
    """The names in `rank`, each after what it `needs`, otherwise by rank. A circle is cut at its lowest rank."""
    left, done = dict.fromkeys(sorted(rank, key=rank.__getitem__)), list[str]()
    while left:
        free = (name for name in left if not any(need in left and need != name for need in needs.get(name, ())))
        name = next(free, next(iter(left)))
        del left[name]
        done.append(name)
    return done
