"""Scratch databases: made like the live one, used, and gone afterwards, also when the run was killed meanwhile.

    runbook_scratch_<run>_<pid>_<n>   lives as long as its run
    runbook_template_<digest>         kept, so that the next look need not replay the same files again

A run holds a shared advisory lock for its name in the session in which it makes databases. PostgreSQL lets go of it
when that session ends, however it ends; a scratch database whose lock nobody holds is swept by whoever comes next. A
template is built under a scratch name and renamed when it is finished: a half-built one is never taken for a whole one.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import errors, sql

from runbooks.errors import Refused
from tasks.migrations.likeness import Likeness
from tasks.migrations.scratch_alike import Connection, connect, create_statement, log_in
from tasks.migrations.scratch_names import (
    EXISTS,
    HELD,
    LOCK_SPACE,
    NAME,
    OURS,
    SCRATCH,
    SESSION,
    TEMPLATE,
    TEMPLATES,
    lock_key,
)

TEMPLATES_KEPT = 2

_GONE_S = 5
"""How long to wait for a session that was closed to be gone, seconds; PostgreSQL itself waits as long, in big steps."""

Build = Callable[[Connection], object]


@dataclass
class ScratchDatabase:
    """One scratch database. `built` is false if it came from a template that was kept."""

    name: str
    server: "ScratchServer" = field(repr=False)
    like: Likeness = field(repr=False)
    built: bool = False
    _conn: Connection | None = field(default=None, repr=False)
    _pid: int = 0

    @property
    def conn(self) -> Connection:
        """Its one session, in autocommit, as the migrating role and with the live database's settings.

        Another object after a copy was made: a database that is copied may have no session.
        """
        if self._conn is None or self._conn.closed:
            self._conn = self.server.session(self.name, self.like)
            self._pid = self._conn.info.backend_pid
        return self._conn

    @contextlib.contextmanager
    def copy(self) -> Iterator["ScratchDatabase"]:
        """A second database in the same state. Nothing may be open in this one. Raises: as `ScratchServer.database`."""
        self.close()
        with self.server.dropped_at_the_end() as name:
            self.server.create(name, self.like, template=self.name)
            other = ScratchDatabase(name, self.server, self.like)
            try:
                yield other
            finally:
                other.close()

    @contextlib.contextmanager
    def copied_session(self) -> Iterator[Connection]:
        """The session of a copy."""
        with self.copy() as other:
            yield other.conn

    def close(self) -> None:
        """Ends its session, and waits until PostgreSQL has noticed."""
        if self._conn is None:
            return
        self._conn.close()
        self._conn = None
        self.server.wait_until_gone(self._pid)


@dataclass
class ScratchServer:
    """A server in which this run may make databases; see `server_of`."""

    params: Mapping[str, Any] = field(repr=False)
    run: str
    conn: Connection = field(repr=False)
    alone: bool = False
    _count: int = 0
    _aside: dict[str, str] = field(default_factory=dict, repr=False)

    @contextlib.contextmanager
    def database(
        self,
        like: Likeness,
        *,
        template: str = "",
        build: Build | None = None,
        keep_template: bool = True,
        again: bool = False,
    ) -> Iterator[ScratchDatabase]:
        """A scratch database in the state that `build` makes, or that a template of the digest `template` kept.

        `again` says that this run may ask for it once more: a template that may not be kept is kept until its end.

        Raises: Refused `scratch-version` (another major version than the live server's), `scratch-failed` (with what
        PostgreSQL said); Unreachable `scratch-unreachable`; whatever `build` raises.
        """
        self.check(like)
        kept = f"{TEMPLATE}{template[:12]}" if template else ""
        with self.dropped_at_the_end() as name:
            if template in self._aside:
                self.create(name, like, template=self._aside[template])
                db = ScratchDatabase(name, self, like)
            elif kept and self._from_template(name, kept, like):
                db = ScratchDatabase(name, self, like)
            else:
                self.create(name, like)
                db = ScratchDatabase(name, self, like, built=True)
            try:
                if db.built and build:
                    build(db.conn)
                    if kept and keep_template:
                        db.close()
                        self._keep(name, kept, like)
                    elif template and again:
                        db.close()
                        self._put_aside(name, template, like)
                yield db
            finally:
                db.close()

    def check(self, like: Likeness) -> None:
        """Raises: Refused `scratch-version`, unless the live server has the same major version."""
        found = self.conn.info.server_version // 10_000
        if found != like.major:
            raise Refused(
                "scratch-version",
                f"the scratch server is PostgreSQL {found}, the live one {like.major}: they describe objects otherwise",
                hint=f"give a scratch server of version {like.major}, or use the live server",
            )

    def create(self, name: str, like: Likeness, template: str = "") -> None:
        """Makes the database `name`, an empty one or a copy of `template`. Raises: Refused `scratch-failed`."""
        try:
            self.conn.execute(create_statement(name, like, template, self.conn.info.user, alone=self.alone))
        except psycopg.Error as error:
            raise _failed(name, error) from error

    def session(self, name: str, like: Likeness) -> Connection:
        """A session in `name` as the role of `like`, with its settings. Raises: Unreachable `scratch-unreachable`."""
        superuser = self.conn.info.parameter_status("is_superuser") == "on"
        return log_in({**self.params, "dbname": name}, like, self.conn.info.user, superuser=superuser)

    def sweep(self) -> tuple[str, ...]:
        """Drops the scratch databases of runs that are dead; their names."""
        # the databases first: a run takes its lock before it makes any
        names = [row[0] for row in self.conn.execute(OURS, [SCRATCH])]
        held = {row[0] for row in self.conn.execute(HELD, [LOCK_SPACE])}
        dead = [name for name in names if (match := NAME.fullmatch(name)) and lock_key(match[1]) % 2**32 not in held]
        return tuple(name for name in dead if self._drop(name))

    @contextlib.contextmanager
    def dropped_at_the_end(self) -> Iterator[str]:
        """A name for a new database of this run, which is dropped afterwards, if it was made."""
        name = self._new_name()
        try:
            yield name
        finally:
            self._drop(name)

    def drop_aside(self) -> None:
        """Drops what was kept for this run alone."""
        while self._aside:
            self._drop(self._aside.popitem()[1])

    def _new_name(self) -> str:
        self._count += 1
        # with the session's pid, because a run may be here twice, and must not drop what it did not make
        return f"{SCRATCH}{self.run}_{self.conn.info.backend_pid}_{self._count}"

    def wait_until_gone(self, pid: int) -> None:
        """Returns when the session `pid` has ended, or after some seconds."""
        deadline = time.monotonic() + _GONE_S
        with contextlib.suppress(psycopg.Error):  # the next statement will say so
            while self.conn.execute(SESSION, [pid]).fetchone() and time.monotonic() < deadline:
                time.sleep(0.001)

    def _from_template(self, name: str, kept: str, like: Likeness) -> bool:
        """Whether `name` could be made of the template `kept`, which another run may drop at any time."""
        if not self.conn.execute(EXISTS, [kept]).fetchone():
            return False
        try:
            self.create(name, like, template=kept)
        except Refused as refused:
            if isinstance(refused.__cause__, errors.InvalidCatalogName):
                return False
            raise
        self._used(kept)
        return True

    def _keep(self, name: str, kept: str, like: Likeness) -> None:
        """Makes a template of the finished `name`, and goes on with a copy under the same name."""
        try:
            self._rename(name, kept)
        except errors.DuplicateDatabase:  # another run was quicker
            return
        self._used(kept)
        self.create(name, like, template=kept)
        # no more than a few; the one that was just used is never the oldest
        oldest_last = [row[0] for row in self.conn.execute(TEMPLATES, [TEMPLATE])]
        for old in oldest_last[TEMPLATES_KEPT:]:
            self._drop(old)

    def _put_aside(self, name: str, template: str, like: Likeness) -> None:
        """As `_keep`, under a name of this run's."""
        aside = self._aside[template] = self._new_name()
        self._rename(name, aside)
        self.create(name, like, template=aside)

    def _rename(self, name: str, new: str) -> None:
        """Raises: Refused `scratch-failed`; errors.DuplicateDatabase."""
        try:
            self.conn.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*map(sql.Identifier, (name, new))))
        except errors.DuplicateDatabase:
            raise
        except psycopg.Error as error:
            raise _failed(new, error) from error

    def _used(self, kept: str) -> None:
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}")
        with contextlib.suppress(psycopg.Error):  # dropped meanwhile
            self.conn.execute(comment.format(sql.Identifier(kept), f"last used {datetime.now(UTC).isoformat()}"))

    def _drop(self, name: str) -> bool:
        """Whether it is gone; what cannot be dropped now is swept by a later run."""
        try:
            self.conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        except psycopg.Error:
            return False
        return True


@contextlib.contextmanager
def server_of(
    params: Mapping[str, Any], *, run: str, like: Likeness | None = None, alone: bool = False
) -> Iterator[ScratchServer]:
    """The server of `params`, those of psycopg.connect with a maintenance database; what dead runs left is swept.

    `run` is the run's id. With `like` its version is checked at once. No superuser is needed, only CREATEDB. `alone`:
    nobody else's databases are there, so that they may be copied file by file, which makes the whole server write.
    Raises: Refused `no-permission`, `scratch-version`; Unreachable `scratch-unreachable`.
    """
    short = re.sub(r"[^a-z0-9]", "", run.lower())[:8] or "run"
    conn = connect(params)
    try:
        server = ScratchServer(params, short, conn, alone)
        if like:
            server.check(like)
        row = conn.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        if row is None or not row[0]:
            raise Refused(
                "no-permission",
                f"{conn.info.user} may not make databases at {conn.info.host}:{conn.info.port}",
                hint=f'ALTER ROLE "{conn.info.user}" CREATEDB, or set scratch to own-server',
            )
        server.sweep()
        conn.execute("SELECT pg_advisory_lock_shared(%s, %s)", [LOCK_SPACE, lock_key(short)])
        try:
            yield server
        finally:
            server.drop_aside()
    finally:
        conn.close()


def _failed(name: str, error: psycopg.Error) -> Refused:
    said = error.diag.message_primary or str(error)
    return Refused(
        "scratch-failed",
        f"PostgreSQL does not make {name}: {said} ({error.sqlstate})",
        hint="read what it said; a scratch server of another place can be set, too",
    )
