"""Migrations replayed in a scratch database: all that came before, and one file in its real transactions, watched."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import psycopg
from psycopg.pq import TransactionStatus

from runbooks.errors import Refused
from runbooks.migrations.catalog import Catalog, changed
from runbooks.migrations.files import NOTHING, MigrationFile, Migrations
from runbooks.migrations.readings import Boundary, Failure, Reading
from runbooks.migrations.statements import Kind, Script
from tasks.migrations.catalog import snapshot
from tasks.migrations.chunks import Chunk, awake, groups, pieces, sleeps
from tasks.migrations.parse import parse
from tasks.migrations.scratch import ScratchDatabase
from tasks.migrations.scratch_run import (
    Connection,
    VersionTable,
    fresh,
    make_table,
    makes_schema,
    refuse_what_reaches_out,
    roll_back,
    run,
)

Copy = Callable[[], AbstractContextManager[Connection]]
_SYNTAX_ERROR = "42601"
_LEFT_OPEN = "leaves a transaction open, so what it did is lost"
_END_IT = "end it with COMMIT, if that is how it was deployed"
_NOTHING = re.compile(rb"(?:[\s;]|--[^\n]*\n)*")


def apply_below(
    conn: Connection,
    migrations: Migrations,
    below: int,
    multi: bool | None,
    *,
    since: int = NOTHING,
    table: VersionTable | None = None,
    alone: bool = False,
) -> None:
    """Makes the version table and applies the up file of every version before `below`, in an empty database.

    In one that has the versions before `since`, and the table, those from there on. Each file goes as one query, as
    golang-migrate sends it; one that fails so, in its pieces, unless `multi` is False. A version without an up file
    does nothing, as there. `alone`: nobody else's databases are on this server.

    Raises: Refused `cannot-replay`, naming the file and what PostgreSQL said; Unreachable `scratch-unreachable`.
    """
    table = table or VersionTable()
    files = [version.up for version in migrations if since <= version.number < below and version.up]
    for file in files:
        refuse_what_reaches_out(file, alone=alone)
    # where a migration makes the schema of the version table, golang-migrate had its table elsewhere until then
    maker = next((file for file in files if makes_schema(file.text, table.schema)), None)
    early = VersionTable() if maker else table
    if since == NOTHING:
        make_table(conn, early)
    for file in files:
        if failure := apply_one(conn, file, multi, table=early):
            if failure.message == _LEFT_OPEN:
                raise Refused("cannot-replay", f"{file.name} {_LEFT_OPEN}", hint=_END_IT)
            raise _cannot_replay(file.name, failure.message, failure.sqlstate)
        if file is maker:
            make_table(conn, table)
            early = table
    _begin(conn, table, (migrations.previous(below), False), files[-1].name if files else "the version table")


def apply_one(conn: Connection, file: MigrationFile, multi: bool | None, *, table: VersionTable) -> Failure | None:
    """Applies one file as `apply_below` does; where it failed, if it did: then a part of it may be there.

    It must have been seen that it does not reach out. Raises: as `apply_below`.
    """
    text = file.text if "pg_sleep" not in file.text.lower() else awake(parse(file)).decode()
    _begin(conn, table, (file.version, True), file.name)
    error = run(conn, text)
    left_open = roll_back(conn)
    if error and multi is not False:
        script = parse(file)
        if not script.has_control:  # else a part of it is there already
            for chunk in pieces(script):
                if again := run(conn, chunk.text):
                    return _failure_of(again if multi else error)
            error, left_open = None, roll_back(conn)
    if error:
        return _failure_of(error)
    return Failure(0, "", _LEFT_OPEN) if left_open else None


def _failure_of(error: psycopg.Error) -> Failure:
    return Failure(0, error.sqlstate or "", _primary(error))


def _begin(
    conn: Connection, table: VersionTable, row: tuple[int, bool], name: str, carried: Sequence[str] = ()
) -> None:
    try:
        fresh(conn, table, row)
    except psycopg.Error as error:
        raise _cannot_replay(name, _primary(error), error.sqlstate) from None
    for setting in carried:
        if failed := run(conn, setting):
            raise _cannot_replay(name, f"after `{setting[:60]}`: {_primary(failed)}", failed.sqlstate)


def _cannot_replay(name: str, said: str, sqlstate: str | None) -> Refused:
    return Refused(
        "cannot-replay",
        f"{name} fails in a scratch database: {said} ({sqlstate})",
        hint="the files are not those that were deployed, or need something that is not among them",
    )


def _primary(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error)


@dataclass(frozen=True, slots=True)
class _End:
    """How a file ended: what PostgreSQL said, what is there now, whether a transaction was open."""

    sqlstate: str
    catalog: Catalog
    left_open: bool


def read_script(
    where: ScratchDatabase | Connection,
    script: Script,
    multi: bool,
    *,
    row: tuple[int, bool],
    table: VersionTable | None = None,
    copy: Copy | None = None,
    before: Catalog | None = None,
    carried: Sequence[str] = (),
    alone: bool = False,
) -> Reading:
    """Runs one file in the state that `where` is in, and looks at the catalog whenever nothing is open.

    `row` is what the version table holds meanwhile; `copy` gives a session in a second database in the same state: in
    it a file with transactions of its own is run as the one query that golang-migrate sends, and must end the same.
    Since a database is copied only while it has no session, `copy=db.copied_session` goes with `db`, not with
    `db.conn`. `before` is the catalog, if it is known; `carried` are statements that set what earlier files left.

    Raises: Refused `cannot-replay`, Unreachable `scratch-unreachable`; psycopg.Error, when looking fails.
    """
    refuse_what_reaches_out(script.file, alone=alone)
    table = table or VersionTable()
    chunks = pieces(script) if multi else groups(script)
    apart = script.has_control and not (len(chunks) == 1 and _is_all_of(chunks[0], script))
    whole = _as_one_query(copy, script, table, row) if copy and not multi and apart else None
    conn = where.conn if isinstance(where, ScratchDatabase) else where
    assert not conn.closed, "the copy was made of what is read: give the database, not its session"
    _begin(conn, table, row, script.file.name, carried)
    found, failure, left, stale = [Boundary(0, snapshot(conn) if before is None else before)], None, "", False
    for chunk in chunks:
        if error := run(conn, chunk.text):
            roll_back(conn)
            failure = _failure(conn, chunk, multi, error)
            left = _left_behind(conn, found[-1].catalog)
            break
        stale |= chunk.may_change
        if conn.info.transaction_status == TransactionStatus.IDLE:
            found.append(Boundary(chunk.after, _look(conn, found[-1].catalog) if stale else found[-1].catalog))
            stale = False
    left_open = roll_back(conn)
    if whole and not left:
        left = _difference(whole, _End(failure.sqlstate if failure else "", found[-1].catalog, left_open))
    left = left or _ran_all_the_same(script, failed=failure is not None and not multi)
    return Reading(script, multi, tuple(found), failure, left, left_open, bool(carried))


def _ran_all_the_same(script: Script, *, failed: bool) -> str:
    unexpected = script.unparsable and not failed
    return f"PostgreSQL ran what its grammar rejects here ({script.unparsable})" if unexpected else ""


def _is_all_of(chunk: Chunk, script: Script) -> bool:
    """Whether the chunk is the file but for what runs nothing: then it is the one query that golang-migrate sends."""
    data, inside = script.file.text.encode(), chunk.statements
    around = data[: inside[0].start] + b";" + data[inside[-1].end :]
    return _NOTHING.fullmatch(around) is not None


def steps_of(
    conn: Connection,
    script: Script,
    *,
    row: tuple[int, bool] | None = None,
    table: VersionTable | None = None,
    alone: bool = False,
) -> tuple[Boundary, ...]:
    """The states after each statement, those inside transactions too, as far as the file comes; 0 is before it.

    They explain a state that no transaction can have left. `row` is the version table's, else the file's own version,
    dirty. Raises: as `read_script`.
    """
    refuse_what_reaches_out(script.file, alone=alone)
    _begin(conn, table or VersionTable(), row or (script.file.version, True), script.file.name)
    found = [Boundary(0, snapshot(conn))]
    for group in groups(script):
        before = found[-1].catalog
        inside = len(script.statements) > 1 or not any(one.alone for one in group.statements)
        if inside:
            run(conn, "BEGIN")
        for statement in group.statements:
            catalog = before if statement.control == "rollback" else found[-1].catalog
            if not statement.control and not sleeps(statement):
                if run(conn, statement.text):
                    roll_back(conn)
                    return tuple(found)
                catalog = _look(conn, catalog) if statement.kind is not Kind.DML else catalog
            found.append(Boundary(statement.number, catalog))
        if inside and run(conn, "ROLLBACK" if group.statements[-1].control == "rollback" else "COMMIT"):
            return tuple(found)
    return tuple(found)


def _look(conn: Connection, before: Catalog) -> Catalog:
    """The catalog now; the same object, if nothing has changed."""
    now = snapshot(conn)
    return before if now == before else now


def _failure(conn: Connection, chunk: Chunk, multi: bool, error: psycopg.Error) -> Failure:
    return Failure(_failing(conn, chunk, multi, error), error.sqlstate or "", _primary(error))


def _failing(conn: Connection, chunk: Chunk, multi: bool, error: psycopg.Error) -> int:
    """The number of the statement that failed, 0 if it has none: found by running them one by one, for nothing."""
    first = chunk.after - len(chunk.statements) + 1
    if multi or len(chunk.statements) <= 1:
        return first if chunk.statements or multi else 0
    if error.sqlstate == _SYNTAX_ERROR and (position := error.diag.statement_position):
        # in characters of the text that was sent: the whole file, or from the first statement of the transaction on
        sent_from = chunk.statements[0].start if chunk.starts_with_it else 0
        place = sent_from + len(chunk.text[: int(position) - 1].encode())
        return next((one.number for one in chunk.statements if place <= one.end), chunk.after)
    run(conn, "BEGIN")
    try:
        for statement in chunk.statements:
            if not statement.control and not sleeps(statement) and run(conn, statement.text):
                return statement.number
    finally:
        roll_back(conn)
    return chunk.after  # what is checked at COMMIT


def _left_behind(conn: Connection, before: Catalog) -> str:
    """A block can commit by itself, and a failed CREATE INDEX CONCURRENTLY leaves its index."""
    keys = sorted(changed(before, snapshot(conn)))
    return f"what failed left something behind: {keys[0]}" if keys else ""


def _as_one_query(copy: Copy, script: Script, table: VersionTable, row: tuple[int, bool]) -> _End:
    with copy() as conn:
        _begin(conn, table, row, script.file.name)
        error = run(conn, awake(script).decode())
        left_open = roll_back(conn) and not error
        return _End(error.sqlstate or "" if error else "", snapshot(conn), left_open)


def _difference(whole: _End, parts: _End) -> str:
    if whole.sqlstate != parts.sqlstate:
        ends = [f"fails with {end.sqlstate}" if end.sqlstate else "succeeds" for end in (whole, parts)]
        return f"as one query it {ends[0]}, transaction by transaction it {ends[1]}"
    if whole.left_open != parts.left_open:
        return "as one query and transaction by transaction, one leaves a transaction open"
    keys = sorted(changed(whole.catalog, parts.catalog))
    return f"as one query it leaves another {keys[0]}" if keys else ""
