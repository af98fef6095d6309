"""Replaying the files on scratch: how far the one came that failed, and what the way back would be.

One scratch database goes through the versions below, the up of the dirty version, and the up and the down of the next.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from runbooks.dirty_migration_facts import Evidence, Facts, Trial
from runbooks.migrations.catalog import Catalog, changed
from runbooks.migrations.failing import depends_on_catalog_alone, last_part
from runbooks.migrations.files import NOTHING, Direction, MigrationFile, Migrations
from runbooks.migrations.fitting import Fit, Hypothesis, Word
from runbooks.migrations.judging import Case, Verdict, judge
from runbooks.migrations.readings import Failure, Reading
from runbooks.migrations.repair import Rehearsal
from runbooks.migrations.statements import Script, Statement
from store.migrated import Login, MigratedDatabase
from store.settings import settings
from tasks.migrations import login
from tasks.migrations.carried import carried
from tasks.migrations.evidence import evidence_of
from tasks.migrations.likeness import Likeness, likeness_of, make_alike, makes_extension
from tasks.migrations.occupied import occupied
from tasks.migrations.own_server import own_server
from tasks.migrations.parse import parse
from tasks.migrations.rehearse import rehearse
from tasks.migrations.replay import apply_below, apply_one, read_script, steps_of
from tasks.migrations.scratch import ScratchDatabase, ScratchServer, server_of
from tasks.migrations.scratch_run import VersionTable, refuse_what_reaches_out

_TEMPORARY = re.compile(
    r"create\s+((global|local)\s+)?temp(orary)?\s+table\s+(if\s+not\s+exists\s+)?(?P<name>\w+)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What a trial works with: the database's settings and session, and the name of the run."""

    known: MigratedDatabase
    params: Mapping[str, Any]
    conn: psycopg.Connection[Any]
    run: str


def trial(bench: Bench, facts: Facts, live: Catalog) -> Trial:
    """What replaying shows of the dirty version of `facts`; `live` is the catalog of the database.

    Raises: Refused `cannot-replay`, `no-permission`, `scratch-version`, `scratch-failed`; Unreachable.
    """
    like = likeness_of(bench.conn)
    with _server(bench, like) as server:
        replay = Replay(server, like, bench.known, facts.migrations, facts.row.version)
        hypotheses, missing = replay.hypotheses()
        case = Case(live, hypotheses, facts.asked.direction, alike=not replay.lacks, missing=missing)
        verdict = judge(case)
        if verdict.look_closer:
            case = replace(case, hypotheses=tuple(map(replay.with_steps, hypotheses)))
            verdict = judge(case)
        evidence = _evidence(bench.conn, verdict, facts.row.mark)
        if evidence:
            probes = {(one.direction, one.statement): one.would_touch for one in evidence}
            case = replace(case, probes=probes, settled=_settled(bench.conn, verdict))
            verdict = judge(case)
        rehearsal = replay.way_back(verdict.fit) if verdict.fit and verdict.word is Word.PARTLY_APPLIED else None
        full = _occupied(bench.conn, rehearsal)
        return Trial(verdict, live, case.hypotheses, rehearsal, full, evidence, replay.notes)


@contextmanager
def _server(bench: Bench, like: Likeness) -> Iterator[ScratchServer]:
    """The server for scratch databases that the settings name."""
    where = bench.known.scratch
    if where == "own-server":
        with (
            own_server(like, settings()) as params,
            server_of(params, run=bench.run, like=like, alone=True) as server,
        ):
            yield server
        return
    params = bench.params
    if isinstance(where, Login):
        params, _ = login.params_of(where, "postgres", settings())
    with server_of(params, run=bench.run, like=like) as server:
        yield server


class Replay:
    """One dirty version, replayed. `notes` are what of the live database scratch could not have, as far as it was made
    anew; `lacks` the extensions among that.
    """

    def __init__(
        self, server: ScratchServer, like: Likeness, known: MigratedDatabase, migrations: Migrations, dirty: int
    ) -> None:
        self._server, self._like, self._known = server, like, known
        self._migrations, self._dirty = migrations, dirty
        self._table = VersionTable(known.version_schema, known.version_table)
        self._alone = known.scratch == "own-server"
        self.notes: tuple[str, ...] = ()
        self.lacks: frozenset[str] = frozenset()

    def hypotheses(self) -> tuple[tuple[Hypothesis, ...], tuple[tuple[Direction, str], ...]]:
        """What may have failed; and what of it could not be replayed, and why. Raises: as `trial`."""
        version, after = self._migrations.get(self._dirty), self._migrations.next(self._dirty)
        found: list[Hypothesis] = []
        with self._below() as db:
            if version and version.up:
                readings = self._readings(db, version.up, self._dirty)
                undone = self._migrations.previous(self._dirty)
                found.append(Hypothesis(Direction.UP, self._dirty, readings, undone, self._dirty))
            if after is None or after.up is None or after.down is None:
                return tuple(found), ()
            if found and (failure := readings[0].failure):
                return tuple(found), _beyond(f"{after.down.name} cannot be judged", failure)
            if found and not readings[0].completed:
                return tuple(found), ()
            refuse_what_reaches_out(after.up, alone=self._alone)
            if failure := apply_one(db.conn, after.up, self._known.multi_statement, table=self._table):
                return tuple(found), _beyond(f"{after.down.name} cannot be judged", failure)
            readings = self._readings(db, after.down, self._dirty)
            found.append(Hypothesis(Direction.DOWN, after.number, readings, after.number, self._dirty))
        return tuple(found), ()

    def with_steps(self, hypothesis: Hypothesis) -> Hypothesis:
        """The same with the states after each statement."""
        with self._before(hypothesis) as db:
            steps = steps_of(db.conn, hypothesis.script, row=(self._dirty, True), table=self._table, alone=self._alone)
            return replace(hypothesis, steps=steps)

    def way_back(self, fit: Fit) -> Rehearsal:
        """Taking back what the file has done, tried where it has done just that."""
        with self._before(fit.hypothesis) as db:
            return rehearse(db.conn, fit.hypothesis.script, fit.at, fit.hypothesis.before)

    @contextmanager
    def _before(self, hypothesis: Hypothesis) -> Iterator[ScratchDatabase]:
        """Scratch in the state before the file of `hypothesis`."""
        with self._below() as db:
            if hypothesis.direction is Direction.DOWN:
                self._apply(db.conn, self._base, hypothesis.version + 1)
            yield db

    @property
    def _base(self) -> int:
        """The version before which scratch begins."""
        after = self._migrations.next(self._dirty)
        return self._dirty if self._migrations.get(self._dirty) else after.number if after else 0

    @contextmanager
    def _below(self) -> Iterator[ScratchDatabase]:
        """Scratch in the state after all versions before the first that may have failed."""
        after = self._migrations.next(self._dirty)
        until = after.number if after else self._dirty
        made = [version.up.text for version in self._migrations if version.up and version.number <= until]

        def build(conn: psycopg.Connection[Any]) -> None:
            self.notes = make_alike(conn, self._like, made)
            self._apply(conn, NOTHING, self._base)

        keep, again = self._known.keep_template, self._may_stop_half_way
        with self._server.database(
            self._like, template=self._template(), build=build, keep_template=keep, again=again
        ) as db:
            there = {name for (name,) in db.conn.execute("SELECT extname::text FROM pg_extension")}
            wanted = {name for name, _, _ in self._like.extensions if not makes_extension("\n".join(made), name)}
            self.lacks = frozenset(wanted - there)
            yield db

    @property
    def _may_stop_half_way(self) -> bool:
        """Whether a file has several transactions, so that a way back may have to be tried."""
        version, after = self._migrations.get(self._dirty), self._migrations.next(self._dirty)
        scripts = [parse(file) for file in (version and version.up, after and after.down) if file]
        cut = self._known.multi_statement is not False
        return any(script.has_control or (cut and len(script.pieces) > 1) for script in scripts)

    def _apply(self, conn: psycopg.Connection[Any], since: int, below: int) -> None:
        multi = self._known.multi_statement
        apply_below(conn, self._migrations, below, multi, since=since, table=self._table, alone=self._alone)

    def _template(self) -> str:
        known, files = self._known, [version.up for version in self._migrations if version.number < self._base]
        said = [f"{file.digest} {file.name}" for file in files if file]
        said += [self._like.digest, known.version_schema, known.version_table, str(known.multi_statement)]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()

    def _readings(self, db: ScratchDatabase, file: MigrationFile, dirty: int) -> tuple[Reading, ...]:
        """The file as it was run; both ways where nobody knows which, if they differ. The first is run in `db`."""
        script, row, multi = parse(file), (dirty, True), self._known.multi_statement
        other: tuple[Reading, ...] = ()
        if multi is None and len(script.pieces) > 1:
            with db.copy() as copy:
                other = (self._read(copy, script, row, multi=True),)
        if settings_left := carried(self._earlier(file)):
            with db.copy() as copy:
                read = read_script(
                    copy, script, bool(multi), row=row, table=self._table, carried=settings_left, alone=self._alone
                )
            other = (*other, read)
        return (self._read(db, script, row, multi=bool(multi)), *other)

    def _earlier(self, file: MigrationFile) -> tuple[MigrationFile, ...]:
        """The files that may have run before it in the same session."""
        if file.direction is Direction.DOWN:
            later = (version.down for version in reversed(self._migrations.versions) if version.number > file.version)
            return tuple(one for one in later if one)
        return tuple(version.up for version in self._migrations if version.up and version.number < file.version)

    def _read(self, db: ScratchDatabase, script: Script, row: tuple[int, bool], *, multi: bool) -> Reading:
        copy = None if multi else db.copied_session
        return read_script(db, script, multi, row=row, table=self._table, copy=copy, alone=self._alone)


def _beyond(what: str, failure: Failure) -> tuple[tuple[Direction, str], ...]:
    """Why a later version cannot be judged, unless it was never there because the one before it never ends well."""
    if depends_on_catalog_alone(failure):
        return ()
    return ((Direction.DOWN, f"{what}: a file before it fails on an empty database ({failure.message})"),)


def _evidence(conn: psycopg.Connection[Any], verdict: Verdict, mark: str) -> tuple[Evidence, ...]:
    """What the rows say of the statements that no object tells of."""
    scripts = {fit.hypothesis.direction: fit.hypothesis.script for fit in verdict.fits}
    asked = [(way, scripts[way].statements[number - 1]) for way, number in verdict.unproved]
    return evidence_of(conn, asked, mark)


def _settled(conn: psycopg.Connection[Any], verdict: Verdict) -> frozenset[tuple[Direction, int]]:
    """The unproved statements whose rows are there: in a table, or a column, that their file made. Also those that
    wrote into a temporary table, as nothing of it is left. A statement leaves all of its rows or none.
    """
    scripts = {one.hypothesis.direction: one.hypothesis for one in verdict.fits}
    found = set[tuple[Direction, int]]()
    for direction, number in verdict.unproved:
        hypothesis = scripts[direction]
        statement = hypothesis.script.statements[number - 1]
        earlier = hypothesis.script.statements[: number - 1]
        temporary = {match["name"] for one in earlier if (match := _TEMPORARY.match(one.text))}
        if statement.writes and (statement.writes in temporary or _left_rows(conn, hypothesis, statement)):
            found.add((direction, number))
    return frozenset(found)


def _left_rows(conn: psycopg.Connection[Any], hypothesis: Hypothesis, statement: Statement) -> bool:
    keys = [key for key in changed(hypothesis.before, hypothesis.after) if key not in hypothesis.before]
    tables = [key.name for key in keys if key.kind == "table" and _is(statement.writes, key.name)]
    columns = [
        (key.on, key.name)
        for key in keys
        if key.kind == "column" and _is(statement.writes, key.on) and last_part(key.name) in statement.names
    ]
    # what cannot be looked at counts as occupied elsewhere, and proves nothing here
    full = set(occupied(conn, tables, columns))
    return bool(full & {*tables, *(f"{table}.{column}" for table, column in columns)})


def _is(written: str, name: str) -> bool:
    """Whether a table as a statement names it, with or without its schema, is the one called `name`."""
    return written in (name, last_part(name))


def _occupied(conn: psycopg.Connection[Any], rehearsal: Rehearsal | None) -> tuple[str, ...]:
    if rehearsal is None or rehearsal.refused:
        return ()
    return occupied(conn, rehearsal.empty_tables, rehearsal.empty_columns, rehearsal.empty_sequences)
