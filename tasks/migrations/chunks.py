"""What of a migration file reaches PostgreSQL in one go: a whole file, a transaction of it, or a piece."""

import re
from dataclasses import dataclass

from runbooks.migrations.statements import Kind, Script, Statement

_SLEEP = re.compile(r"select\s+(pg_catalog\.)?pg_sleep\s*\(\s*[0-9.]+\s*\)", re.IGNORECASE)
_CHANGING = frozenset({Kind.DDL, Kind.QUERY, Kind.BLOCK})
"""Kinds that can change what the catalog holds; rows and settings are not in it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Text that goes as one simple Query. `after` statements of the file have run when it has; `statements` are those
    that it finishes. `may_change`: the catalog can be another one afterwards.
    """

    text: str
    after: int
    statements: tuple[Statement, ...]
    may_change: bool
    starts_with_it: bool = False
    """The text begins with its first statement; else it is the file from its beginning on, comments and all."""


def awake(script: Script) -> bytes:
    """The file's text, in which what only waits does not: each SELECT pg_sleep(…) is an empty SELECT of its length."""
    data = bytearray(script.file.text.encode())
    for statement in script.statements:
        if sleeps(statement):
            data[statement.start : statement.end] = b"SELECT".ljust(statement.end - statement.start)
    return bytes(data)


def sleeps(statement: Statement) -> bool:
    """Whether it does nothing but wait."""
    return _SLEEP.fullmatch(statement.text.strip()) is not None


def groups(script: Script) -> tuple[Chunk, ...]:
    """The file as one query, cut where it commits or rolls back.

    The rule is that of PostgreSQL's simple Query (protocol, "Multiple Statements in a Simple Query"): statements form
    one transaction up to a COMMIT or ROLLBACK, a BEGIN on the way joins those before it, and a statement that cannot
    run in a transaction fails wherever the query has a second one.
    """
    if not script.has_control:
        changes = not script.statements or _may_change(script.statements)
        return (Chunk(awake(script).decode(), len(script.statements), script.statements, changes),)
    data, found, pending = awake(script), list[Chunk](), list[Statement]()
    for statement in script.statements:
        pending.append(statement)
        if statement.control in ("commit", "rollback") or statement.number == len(script.statements):
            text = data[pending[0].start : statement.end].decode()
            if len(pending) == 1 and not statement.control:
                text += "\n; SELECT"  # it is not alone in its query, so it must not be here
            found.append(Chunk(text, statement.number, tuple(pending), _may_change(pending), starts_with_it=True))
            pending = []
    return tuple(found)


def pieces(script: Script) -> tuple[Chunk, ...]:
    """The file as multi-statement mode cuts it: `script.pieces`, each with the statements that it finishes."""
    original, data = script.file.text.encode(), awake(script)
    found, end, after = list[Chunk](), 0, 0
    for piece in script.pieces:
        start = original.index(piece.encode(), end)
        end = start + len(piece.encode())
        finished = tuple(one for one in script.statements[after:] if one.end <= end)
        within = [one for one in script.statements if one.start < end and one.end > start]
        after += len(finished)
        found.append(Chunk(data[start:end].decode(), after, finished, bool(script.unparsable) or _may_change(within)))
    return tuple(found)


def _may_change(statements: "list[Statement] | tuple[Statement, ...]") -> bool:
    return any(one.kind in _CHANGING and not sleeps(one) for one in statements)
