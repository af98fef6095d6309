"""Whether a DO block certainly writes no row: many do nothing but create something where it is not there yet.

A block is text in another language, PL/pgSQL, so its words are looked at, not its tree. In doubt it is not quiet.
"""

import postgast
from postgast import pg_query_pb2 as pg

from tasks.migrations.parse_kinds import LOOKS
from tasks.migrations.parse_names import folded
from tasks.migrations.parse_reach import body_reaches_out
from tasks.migrations.parse_words import executed

_WRITES = frozenset({"insert", "update", "delete"})
_SAYS_WHEN = frozenset({"before", "after", "or", "on", "for", "of", "grant", "revoke", ","})
"""What stands before INSERT, UPDATE or DELETE where it names an event, a lock or a privilege, and does nothing."""

_NEVER_QUIET = frozenset({"merge", "truncate", "copy", "call", "do", "perform", "notify", "import", "load"})
_NO_CALL = frozenset({"table", "exists", "references", "function", "procedure", "view", "index", "aggregate",
                      "constraint", "type", "domain", "trigger", "policy"})  # fmt: skip
"""What stands before a name with parentheses that is no call of a function."""

_METHODS = frozenset({"btree", "hash", "gin", "gist", "spgist", "brin", "hnsw", "ivfflat"})
"""What may stand after USING with a list of columns: how an index is made."""

_LISTS = frozenset({"key", "index", "range", "include", "set", "options", "by", "over", "filter", "within", "columns",
                    "partition", "type", "enum", "of", "identity", "storage", "always"})  # fmt: skip
"""Keywords before a list in parentheses; any other one that is not reserved may be a function's name."""

_BEFORE_A_VALUE_WORDS = """
    ( , ; := = + - * / % || < > <= >= <> != and or not in like between select where having on using return if elsif
    while when case then else begin
"""
_BEFORE_A_VALUE = frozenset({"", *_BEFORE_A_VALUE_WORDS.split()})
"""What stands before a value: there even such a keyword is a function's name."""


def body_of(tree: object) -> str | None:
    """The text of a block in PL/pgSQL, given as its tree; None if it is in another language."""
    assert isinstance(tree, pg.DoStmt)
    options = {item.def_elem.defname: item.def_elem.arg.string.sval for item in tree.args}
    return options.get("as", "") if options.get("language", "plpgsql") == "plpgsql" else None


def quiet(tree: object) -> bool:
    """Whether a block, given as its tree, runs nothing but definitions and looks, all of them in its database."""
    body = body_of(tree)
    return body is not None and _quiet(body) and not body_reaches_out(body)


def _quiet(text: str) -> bool:
    try:
        tokens = postgast.scan(text).tokens
    except postgast.PgQueryError:
        return False
    data = text.encode()
    code = [token for token in tokens if token.token not in {pg.SQL_COMMENT, pg.C_COMMENT}]
    words = [data[token.start : token.end].decode() for token in code]
    lower = [word.lower() for word in words]
    for place, token in enumerate(code):
        before, after = (lower[place - 1] if place else ""), (lower[place + 1] if place + 1 < len(code) else "")
        if lower[place] in _NEVER_QUIET or (lower[place] in _WRITES and before not in _SAYS_WHEN):
            return False
        keyword = token.keyword_kind == pg.UNRESERVED_KEYWORD and (
            lower[place] not in _LISTS or before in _BEFORE_A_VALUE
        )
        called = token.token == pg.IDENT or keyword or before == "."
        if called and after == "(" and not _harmless(lower, place, folded(words[place])):
            return False
    return all(inner is not None and _quiet(inner) for inner in executed(words))


def _harmless(words: list[str], place: int, name: str) -> bool:
    """Whether `name (` is the call of a function that only looks, or no call."""
    start = place
    while start >= 2 and words[start - 1] == ".":
        start -= 2
    own = start == place or words[start:place] == ["pg_catalog", "."]
    before = words[start - 1] if start else ""
    if before in _NO_CALL or (before == "using" and name in _METHODS) or _is_indexed(words, start):
        return True
    return own and name in LOOKS


def _is_indexed(words: list[str], start: int) -> bool:
    """Whether the name at `start` is the table of CREATE INDEX … ON, which has its columns in parentheses."""
    before = start - 1 if words[start - 1 : start] != ["only"] else start - 2
    if before < 1 or words[before] != "on":
        return False
    back = before - 1
    while back > 0 and before - back < 6 and words[back] != "index":
        back -= 1
    named = [word for word in words[back + 1 : before] if word not in ("concurrently", "if", "not", "exists")]
    return words[back] == "index" and words[back - 1] in ("create", "unique") and len(named) <= 1 and named != [";"]
