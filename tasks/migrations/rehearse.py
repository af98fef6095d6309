"""The way back from a half-applied file, tried on scratch: every statement runs, and the whole catalog is compared."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from runbooks.migrations.catalog import Catalog, changed, differences
from runbooks.migrations.inverse import inverse
from runbooks.migrations.inverse_names import parts
from runbooks.migrations.repair import Refusal, Rehearsal
from runbooks.migrations.statements import Kind, Script, Statement
from tasks.migrations.catalog import snapshot
from tasks.migrations.chunks import groups, sleeps
from tasks.migrations.identity import identity_of
from tasks.migrations.parse_probe import NEVER
from tasks.migrations.parse_properties import recast, unseen
from tasks.migrations.parse_rename import aside, local_setting

Connection = psycopg.Connection[Any]

_TAKEN = (errors.DuplicateTable, errors.DuplicateObject, errors.DuplicateColumn, errors.DuplicateFunction,
          errors.DuplicateSchema, errors.UniqueViolation)  # fmt: skip
_NOT_THERE = (errors.UndefinedTable, errors.UndefinedObject, errors.UndefinedColumn, errors.UndefinedFunction,
              errors.InvalidSchemaName, errors.InvalidParameterValue)  # fmt: skip
_EFFECTS = frozenset({Kind.DML, Kind.BLOCK, Kind.QUERY})


def rehearse(conn: Connection, script: Script, upto: int, before: Catalog) -> Rehearsal:
    """Runs the statements 1 to `upto` of the file, and tries to take them back.

    `conn` is a session in autocommit in a database in the state `before`; afterwards they have run there, and nothing
    else. The SQL is whole also where something is refused. What must be empty bears the names that it has when the
    statements have run. Raises: psycopg.Error, when these do not run.
    """
    old = identity_of(conn)
    _run(conn, script, upto)
    live, there = snapshot(conn), identity_of(conn)
    done = script.statements[:upto]
    with conn.transaction(force_rollback=True):
        try:
            undone = tuple(_undo_renames(conn, done))
        except psycopg.Error as error:
            return Rehearsal(upto, (), error=f"a renaming cannot be undone: {_said(error)}")
        halfway, now = snapshot(conn), identity_of(conn)
        way = inverse(halfway, before, changed(halfway, before))
        made = (_tables(live) | _tables(halfway)) - _tables(before)
        refused = (
            *_committed(done, made, _tables(before)),
            *_recast(done, made),
            *_unseen(done),
            *old.lost(now),
            *way.refused,
        )
        trial = Rehearsal(
            upto,
            (*undone, *way.sql),
            tuple(there.table(now, table) for table in (*way.drops_tables, *way.detaches)),
            tuple(there.column(now, table, column) for table, column in way.drops_columns),
            tuple(there.table(now, sequence) for sequence in way.drops_sequences),
            tuple(dict.fromkeys(refused)),
        )
        return trial if refused else _tried(conn, trial, way.sql, before)


def _run(conn: Connection, script: Script, upto: int) -> None:
    """The transactions of the file, if one ends at `upto`; else its statements, as multi-statement mode sends them."""
    chunks = groups(script)
    if any(chunk.after == upto for chunk in chunks):
        texts = [chunk.text for chunk in chunks if chunk.after <= upto]
    else:
        texts = [statement.text for statement in script.statements[:upto] if not sleeps(statement)]
    for text in texts:
        conn.execute(text.encode(), prepare=False)
    if conn.info.transaction_status != TransactionStatus.IDLE:
        conn.execute("COMMIT")


def _tried(conn: Connection, trial: Rehearsal, sql: Sequence[str], before: Catalog) -> Rehearsal:
    try:
        with conn.transaction():
            for statement in sql:
                conn.execute(statement.encode(), prepare=False)
    except psycopg.Error as error:
        return replace(trial, error=_said(error))
    left = differences(before, snapshot(conn))
    return replace(trial, equal=not left, differences=left)


def _undo_renames(conn: Connection, done: Sequence[Statement]) -> Iterator[str]:
    """Gives old names back, the last first, and yields the SQL that was run.

    What has taken an old name meanwhile goes aside and is dropped later. What is not there any more, or never was (IF
    EXISTS), is passed over: the comparison shows whether it is missed. Raises: psycopg.Error.
    """
    path = default = "SET LOCAL search_path TO DEFAULT"
    for statement in reversed(done):
        if statement.rename is None:
            continue
        wanted = _path_at(statement, done) or default
        if wanted != path:
            conn.execute(wanted.encode())
            yield wanted
            path = wanted
        back = statement.rename.back
        error = _attempt(conn, back)
        if isinstance(error, _TAKEN) and (away := aside(back)):
            conn.execute(away.encode())
            yield away
            error = _attempt(conn, back)
        if error is None:
            yield back
        elif not isinstance(error, _NOT_THERE):
            raise error


def _path_at(statement: Statement, done: Sequence[Statement]) -> str:
    """The search path that the file had set when `statement` ran, to be set again; empty if it had set none."""
    earlier = done[: statement.number - 1]
    settings = [one for one in earlier if one.kind is Kind.SETTING and "search_path" in one.names]
    return local_setting(settings[-1].text) if settings else ""


def _attempt(conn: Connection, text: str) -> psycopg.Error | None:
    try:
        with conn.transaction():
            conn.execute(text.encode(), prepare=False)
    except psycopg.Error as error:
        return error
    return None


def _committed(done: Sequence[Statement], made: frozenset[str], old: frozenset[str]) -> Iterator[Refusal]:
    """Rows that were written and stay. Those of tables that the file made go with the tables, if these may go."""
    for statement in done:
        if statement.kind not in _EFFECTS or statement.probe == NEVER:
            continue
        tables = statement.writes.split(", ") if statement.writes else []
        if tables and all(_is_new(table, made, old) for table in tables):
            continue
        known = f"rows of {statement.writes}" if tables else "anything"
        verb = "has written" if statement.kind is Kind.DML else "may have written"
        text = "\n".join(f"-- {line}" for line in statement.text.splitlines())
        yield Refusal(
            "data-committed", f"statement {statement.number} (line {statement.line}) {verb} {known}", f"{text}\n"
        )


def _recast(done: Sequence[Statement], made: frozenset[str]) -> Iterator[Refusal]:
    for statement in done:
        table = recast(statement.text) if statement.kind is Kind.DDL else ""
        if table and not _is_new(table, made, frozenset()):
            why = f"statement {statement.number} (line {statement.line}) computed values of {table} anew"
            yield Refusal("lossy-cast", why, "-- the values that were there come from a backup")


def _unseen(done: Sequence[Statement]) -> Iterator[Refusal]:
    for statement in done:
        if what := unseen(statement.text) if statement.kind is Kind.DDL else "":
            why = f"statement {statement.number} (line {statement.line}) has changed {what}"
            yield Refusal("unknown-change", why, f"-- take back by hand: {' '.join(statement.text.split())}")


def _is_new(table: str, made: frozenset[str], old: frozenset[str]) -> bool:
    """Whether the file made `table`; one that is not qualified must be the only one of its name."""
    if len(parts(table)) > 1:
        return table in made
    last = {parts(name)[-1] for name in made}
    return table in last and table not in {parts(name)[-1] for name in old}


def _tables(catalog: Catalog) -> frozenset[str]:
    return frozenset(key.name for key in catalog if key.kind == "table")


def _said(error: psycopg.Error) -> str:
    return f"{error.diag.message_primary or error} ({error.sqlstate})"
