"""What one statement mentions: names, functions, and tables that it writes to. One walk over its tree finds them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import postgast
from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg

LONGEST = 63
"""Bytes of a name; PostgreSQL cuts what is longer (NAMEDATALEN - 1)."""

_IDENTIFIERS = """
    amname catalogname colname conname dbname extname fdwname idxname indexname indexspace name newname newschema
    plname policy_name pubname relname role rolename rulename schemaname servername subname sval tablespacename
    trigname
"""
_NAMED = frozenset(_IDENTIFIERS.split())
"""Fields of the tree that hold an identifier. The grammar has folded and cut them."""

_NO_NAMES = frozenset(
    {
        ("A_Expr", "name"),  # an operator
        ("SubLink", "oper_name"),
        ("SortBy", "use_op"),
        ("CreateEnumStmt", "vals"),  # labels
        ("ReturningClause", "options"),
    }
)
_BY_TEXT = frozenset({"nextval", "currval", "setval", "to_regclass", "pg_get_serial_sequence"})
"""Functions whose argument is a name written as text."""

_BODY = frozenset({"as", "language"})
_WORDS = frozenset({pg.UNRESERVED_KEYWORD, pg.COL_NAME_KEYWORD, pg.TYPE_FUNC_NAME_KEYWORD})


@dataclass(slots=True)
class Mentions:
    """What was found.

    `functions` stand without `pg_catalog.`, other schemas are kept; `writes` is every table of an INSERT, UPDATE,
    DELETE or MERGE, also inside WITH.
    """

    names: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    writes: list[pg.RangeVar] = field(default_factory=list)


def mentions(tree: Message) -> Mentions:
    """All that `tree` mentions."""
    found = Mentions()
    _visit(tree, found)
    return found


def _visit(node: Message, found: Mentions) -> None:
    kind = node.DESCRIPTOR.name
    if kind in _SPECIAL:
        _SPECIAL[kind](node, found)
    if kind == "A_Const" or (kind == "DefElem" and node.defname in _BODY):
        return
    for descriptor, value in node.ListFields():
        if isinstance(value, str):
            if descriptor.name in _NAMED:
                found.names.add(value)
        elif descriptor.message_type is not None and (kind, descriptor.name) not in _NO_NAMES:
            for part in (value,) if isinstance(value, Message) else value:
                _visit(part, found)


def _write(statement: Message, found: Mentions) -> None:
    found.writes.append(statement.relation)


def _call(call: Message, found: Mentions) -> None:
    assert isinstance(call, pg.FuncCall)
    parts = [part.string.sval for part in call.funcname]
    name = ".".join(parts[1:] if parts[0] == "pg_catalog" else parts)
    found.functions.add(name)
    if name in _BY_TEXT:
        for argument in call.args:
            found.names.update(_names_in(argument.a_const.sval.sval))


def _cast(cast: Message, found: Mentions) -> None:
    """`'app.nodes'::regclass` mentions a name, too."""
    assert isinstance(cast, pg.TypeCast)
    if cast.type_name.names and cast.type_name.names[-1].string.sval.startswith("reg"):
        found.names.update(_names_in(cast.arg.a_const.sval.sval))


def _body(definition: Message, found: Mentions) -> None:
    """`AS` of a function or of DO: its text, or the library and the symbol."""
    if definition.defname == "as":
        for item in definition.arg.list.items or [definition.arg]:
            found.names.update(_names_in(item.string.sval))


_SPECIAL: dict[str, Callable[[Message, Mentions], None]] = {
    "FuncCall": _call,
    "TypeCast": _cast,
    "DefElem": _body,
    **dict.fromkeys(("InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"), _write),
}


def _names_in(text: str, depth: int = 3) -> set[str]:
    """Names in SQL that is written as text: a function's body, and the strings in it that it may EXECUTE."""
    if not text or depth == 0:
        return set()
    try:
        tokens = postgast.scan(text).tokens
    except postgast.PgQueryError:
        return set()  # it is no SQL, but a message with an apostrophe, or another language
    data, found = text.encode(), set()
    for token in tokens:
        word = data[token.start : token.end].decode(errors="replace")
        if token.token == pg.IDENT or token.keyword_kind in _WORDS:
            found.add(folded(word))
        elif token.token == pg.SCONST:
            found |= _names_in(_inside(word), depth - 1)
    return found


def _inside(literal: str) -> str:
    """What is between the quotes of a string, as far as names in it are concerned."""
    if literal.startswith("$"):
        tag = literal.index("$", 1) + 1
        return literal[tag:-tag]
    return literal[literal.index("'") + 1 : -1].replace("''", "'")


def folded(word: str) -> str:
    """The name that an identifier in SQL stands for: lower case in ASCII unless quoted, and cut at 63 bytes."""
    if word.startswith('"'):
        name = word[1:-1].replace('""', '"')
    else:
        name = "".join(letter.lower() if letter.isascii() else letter for letter in word)
    return name.encode()[:LONGEST].decode(errors="ignore")


@lru_cache(maxsize=4096)
def quoted(name: str) -> str:
    """`name` as PostgreSQL's `quote_ident` writes it: quoted only where it must be."""
    plain = name.isascii() and name.replace("_", "a").isalnum() and name == name.lower() and not name[0].isdigit()
    if plain and postgast.scan(name).tokens[0].keyword_kind in {pg.NO_KEYWORD, pg.UNRESERVED_KEYWORD}:
        return name
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def qualified(table: pg.RangeVar) -> str:
    """The name of `table` as it was written, quoted where it must be."""
    return ".".join(quoted(part) for part in (table.schemaname, table.relname) if part)


def listed(tables: Iterable[pg.RangeVar]) -> str:
    """The names of `tables`, each once, with commas between."""
    return ", ".join(dict.fromkeys(qualified(table) for table in tables))
