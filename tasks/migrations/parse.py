"""Migration files, taken apart by PostgreSQL's own grammar, in its own bytes.

parse.py             a file into statements: where each begins and ends
parse_kinds.py       what kind of thing each does
parse_properties.py  whether it must stand alone, and whether it may run again
parse_names.py       what it mentions
parse_probe.py       the question whether running it again would touch a row
parse_settings.py    whether it may be asked in a session that has just begun
parse_block.py       whether a block writes no row
parse_steady.py      whether the catalog alone decides what a block does
parse_reach.py       what reaches beyond the database
parse_words.py       SQL as words, for text of which there is no tree
parse_rename.py      the way back from a renaming
parse_tree.py        from a tree back to SQL
"""

from bisect import bisect_right
from dataclasses import dataclass

import postgast
from google.protobuf.message import DecodeError
from postgast import pg_query_pb2 as pg

from runbooks.migrations.files import MigrationFile
from runbooks.migrations.statements import Kind, Rename, Script, Statement
from tasks.migrations.parse_kinds import BEYOND, control_of, kind_of, sets_owner
from tasks.migrations.parse_names import listed, mentions
from tasks.migrations.parse_probe import probe
from tasks.migrations.parse_properties import alone, guarded
from tasks.migrations.parse_rename import way_back
from tasks.migrations.parse_settings import where_asked_alike

_COMMENTS = frozenset({pg.SQL_COMMENT, pg.C_COMMENT})
_SPACE = " \t\n\v\f\r"


def parse(file: MigrationFile) -> Script:
    """The file as a `Script`. Never raises for what is in the file: what the grammar rejects is `unparsable`."""
    pieces = pieces_of(file.text)
    if "\0" in file.text:
        return Script(file, (), pieces, unparsable="the file contains a NUL byte, which PostgreSQL takes in no query")
    try:
        places = _places(file.text)
    except postgast.PgQueryError as error:
        line = file.text.count("\n", 0, max(error.cursorpos - 1, 0)) + 1
        return Script(file, (), pieces, unparsable=f"{error.message} (line {line})")
    data = file.text.encode()
    lines = [0, *(offset + 1 for offset, byte in enumerate(data) if byte == ord("\n"))]
    statements = (_statement(number, place, data, lines) for number, place in enumerate(places, start=1))
    return Script(file, tuple(where_asked_alike(statements)), pieces)


def pieces_of(text: str) -> tuple[str, ...]:
    """What golang-migrate's multi-statement mode sends, one after the other.

    database/multistmt/parse.go of v4 cuts after every semicolon, wherever it stands; the postgres driver sends no
    piece that is empty to strings.TrimSpace.
    """
    parts = text.split(";")
    pieces = [f"{part};" for part in parts[:-1]] + parts[-1:]
    return tuple(piece.strip(_SPACE) for piece in pieces if piece.strip())


@dataclass(frozen=True, slots=True)
class _Place:
    """One statement in the file's bytes, and its tree: None if it is nested too deeply to be looked into."""

    start: int
    end: int
    tree: pg.Node | None


def _places(text: str) -> list[_Place]:
    """Where the statements are. Raises: PgQueryError for what the grammar rejects."""
    size = len(text.encode())
    tokens = [token for token in postgast.scan(text).tokens if token.token not in _COMMENTS]
    ends = [token.end for token in tokens if token.token != pg.ASCII_59]
    places = []
    for start, length, tree in _raw(text, [token.start for token in tokens if token.token != pg.ASCII_59]):
        last = bisect_right(ends, start + length if length else size)
        places.append(_Place(start, ends[last - 1], tree))
    return places


def _raw(text: str, starts: list[int]) -> list[tuple[int, int, pg.Node | None]]:
    """Offset, length and tree of each statement, as the grammar gives them; length 0 is to the end."""
    try:
        return [(raw.stmt_location, raw.stmt_len, raw.stmt) for raw in postgast.parse(text).stmts]
    except DecodeError:  # a hundred levels are the most that protobuf reads, about fifty || in a row
        pass
    places: list[tuple[int, int, pg.Node | None]] = []
    after = 0
    for piece in postgast.split(text):
        start = next(start for start in starts if start >= after)
        length = len(piece.encode())
        places.append((start, length, _tree(piece)))
        after = start + length
    return places


def _tree(piece: str) -> pg.Node | None:
    try:
        return postgast.parse(piece).stmts[0].stmt
    except DecodeError:
        return None


def _statement(number: int, place: _Place, data: bytes, lines: list[int]) -> Statement:
    text = data[place.start : place.end].decode()
    line, last_line = bisect_right(lines, place.start), bisect_right(lines, place.end - 1)
    if place.tree is None:
        return Statement(number, Kind.BLOCK, text, line, last_line, place.start, place.end, sets_owner=True)
    node = place.tree.WhichOneof("node") or ""
    tree = getattr(place.tree, node)
    found = mentions(place.tree)
    kind = kind_of(node, tree, found)
    back = way_back(tree)
    written = [*tree.relations] if isinstance(tree, pg.TruncateStmt) else []
    tables = [*(relation.range_var for relation in written), *found.writes]
    if isinstance(tree, pg.CopyStmt) and tree.is_from:
        tables.append(tree.relation)
    return Statement(
        number,
        kind,
        text,
        line,
        last_line,
        place.start,
        place.end,
        control=control_of(node, tree),
        alone=alone(node, tree),
        index=tree.idxname if isinstance(tree, pg.IndexStmt) and tree.concurrent else "",
        names=frozenset(found.names),
        sets_owner=sets_owner(node, tree, kind, found),
        probe=probe(kind, tree, found) if kind in {Kind.DML, Kind.QUERY, Kind.BLOCK} else "",
        writes=listed(tables),
        rename=Rename(number, back) if back else None,
        guarded=guarded(node, tree),
        beyond=node in BEYOND,
    )
