"""SQL as words, for text of which there is no tree: the body of a block or a function, and what it may EXECUTE."""

import re
from collections.abc import Iterator, Sequence

import postgast
from postgast import pg_query_pb2 as pg

_COMMENTS = frozenset({pg.SQL_COMMENT, pg.C_COMMENT})
_SPEC = re.compile(r"%(?:(\d+)\$)?-?(?:\*|\d+)?(.|$)", re.DOTALL)
"""A place that PostgreSQL's format() fills in."""

_QUOTES = frozenset({"quote_ident", "quote_literal", "quote_nullable"})


def words_of(text: str) -> tuple[str, ...] | None:
    """The words of `text`, as they are written, without comments; None if PostgreSQL's scanner rejects it."""
    try:
        tokens = postgast.scan(text).tokens
    except postgast.PgQueryError:
        return None
    data = text.encode()
    return tuple(data[token.start : token.end].decode() for token in tokens if token.token not in _COMMENTS)


def is_string(word: str) -> bool:
    """Whether a word is a string in any of its spellings."""
    dollar = word[:1] == "$" and not word[1:2].isdigit()  # $1 is a parameter
    return dollar or word[:1] == "'" or word[:2].lower() in ("e'", "n'") or word[:3].lower() == "u&'"


def text_in(literal: str) -> str | None:
    """What is in a string; None if it is none, or one with escapes."""
    if literal[:1] in ("e", "E", "n", "N") and literal[1:2] == "'" and "\\" not in literal:
        literal = literal[1:]
    if literal.startswith("'"):
        return literal[1:-1].replace("''", "'")
    if literal.startswith("$") and literal.endswith("$") and len(literal) > 1:
        tag = literal.index("$", 1) + 1
        return literal[tag:-tag]
    return None


def executed(words: Sequence[str]) -> Iterator[str | None]:
    """The text of each EXECUTE in a body, with `x` for names and values that are filled in, quoted, and `1` for numbers
    that a loop counts; None for one that is put together in another way, so that it can be anything.
    """
    counted = _counted([word.lower() for word in words])
    words = ["'1'" if word.lower() in counted else word for word in words]
    lower = [word.lower() for word in words]
    for place, word in enumerate(lower):
        before, after = (lower[place - 1] if place else ""), (lower[place + 1] if place + 1 < len(words) else "")
        if word != "execute" or after in ("function", "procedure", "on") or before == ".":
            continue
        parts = [_term(term) for term in _split(words[place + 1 : _end(lower, place + 1)], "||")]
        yield None if None in parts else "".join(filter(None, parts))


def _counted(lower: Sequence[str]) -> set[str]:
    """The variables of FOR i IN 1..9 LOOP: integers, unless something before that has the same name."""
    found = set[str]()
    for place, word in enumerate(lower):
        if word == "for" and lower[place + 2 : place + 3] == ["in"] and "loop" in lower[place:]:
            name, bounds = lower[place + 1], lower[place : lower.index("loop", place)]
            if ".." in bounds and name.isidentifier() and name not in lower[:place]:
                found.add(name)
    return found


def _end(lower: Sequence[str], place: int) -> int:
    """Where the expression that begins at `place` ends."""
    depth = 0
    while place < len(lower):
        depth += {"(": 1, ")": -1}.get(lower[place], 0)
        if depth < 0 or (depth == 0 and lower[place] in (";", "using", "into", "strict", "loop")):
            break
        place += 1
    return place


def _split(words: Sequence[str], at: str) -> list[Sequence[str]]:
    """The parts between the words `at` that stand in no parentheses."""
    parts, depth, begin = list[Sequence[str]](), 0, 0
    for place, word in enumerate(words):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0 and word == at:
            parts.append(words[begin:place])
            begin = place + 1
    return [*parts, words[begin:]]


def _term(term: Sequence[str]) -> str | None:
    lower = [word.lower() for word in term]
    if term and all(map(is_string, term)):  # 'two' 'parts' on two lines are one
        texts = [text_in(word) for word in term]
        return None if None in texts else "".join(filter(None, texts))
    called = lower[1:2] == ["("] and _end(lower, 2) == len(term) - 1 and lower[-1] == ")"
    if called and lower[0] == "format":
        return _filled_in(_split(term[2:-1], ","))
    if called and lower[0] in _QUOTES:
        return "x"
    if lower[-4:] and lower[-4:-2] == ["::", "regclass"] and lower[-2:] == ["::", "text"]:
        lower = lower[:-2]
    return "x" if lower[-2:-1] == ["::"] and lower[-1] in ("regclass", "regtype") and "(" not in lower else None


def _filled_in(arguments: Sequence[Sequence[str]]) -> str | None:
    """What format() makes; None if something may be put in that is neither quoted nor known."""
    template = _term(arguments[0])
    if template is None:
        return None
    text, end, following = "", 0, 1
    for spec in _SPEC.finditer(template):
        number, kind = spec[1], spec[2]
        text, end = text + template[end : spec.start()], spec.end()
        if kind == "%":
            text += "%"
            continue
        place = int(number) if number else following
        following = place + 1
        value = _term(arguments[place]) if place < len(arguments) and kind == "s" else None
        if value is None and kind not in ("I", "L"):
            return None
        text += {"I": "x", "L": "''"}.get(kind, value or "")
    return text + template[end:]
