"""What a case of a dirty database consists of, and the database in which it is made to happen."""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import psycopg.conninfo

from lab.hoodcloud_database import HoodcloudDatabase, HoodcloudDatabases
from lab.migrate_settings import MigrateSettings
from lab.migrating import Migrate, MigrateFailed
from lab.server import LabBroken

ROOT = Path(__file__).parents[1]
_PATIENCE_S = 20


class Broken:
    """One database and its folder, and what was done to them. `mode` is how `./migrate` is run: settings that differ.

    `deployed` has the SHA-256 of every file, by name, as it was when `./migrate` last ran.
    """

    def __init__(self, database: HoodcloudDatabase) -> None:
        self.database, self.folder = database, database.folder
        self.mode: dict[str, Any] = {}
        self.deployed: dict[str, str] = {}
        self._said = self.folder.with_name(f"{self.folder.name}.log")
        self._open = contextlib.ExitStack()

    @property
    def settings(self) -> MigrateSettings:
        """What `./migrate` is told."""
        return self.database.settings(**self.mode)

    @property
    def superuser_password(self) -> str:
        """For a case in which the superuser runs the migration."""
        return str(psycopg.conninfo.conninfo_to_dict(self.database.superuser_url)["password"])

    def write(self, name: str, up: str | None = None, down: str | None = None) -> None:
        """Files of one version, such as `041_zones`, without the indentation; None leaves that one as it is."""
        for direction, text in (("up", up), ("down", down)):
            if text is not None:
                file = self.folder / f"{name}.{direction}.sql"
                file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")

    def migrate(self, command: str = "up", steps: int = -1) -> str:
        """Runs it here; what golang-migrate says when it fails, nothing when it went well."""
        self.deployed = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.folder.iterdir()}
        try:
            with Migrate(self.settings) as run:
                (run.up if command == "up" else run.down)(steps)
        except MigrateFailed as error:
            return str(error)
        return ""

    def fails(self, because: str, command: str = "up", steps: int = -1) -> None:
        """Runs it and expects that it fails with a text that `because`, a pattern, finds. Raises: LabBroken."""
        said = self.migrate(command, steps)
        if not re.search(because, said):
            raise LabBroken("lab-case-differs", f"migrate said {said!r}, not {because!r}", hint="mend the case")

    def succeeds(self, command: str = "up", steps: int = -1) -> None:
        """Runs it and expects that it goes well. Raises: LabBroken."""
        said = self.migrate(command, steps)
        if said:
            raise LabBroken("lab-case-differs", f"migrate said {said!r}", hint="mend the case")

    def process(self, command: str = "up", steps: int = 1) -> "subprocess.Popen[bytes]":
        """Starts the program itself, to be killed; it is ended with the case at the latest."""
        self.deployed = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.folder.iterdir()}
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self.settings.variables()}
        words = (sys.executable, "-m", "lab.migrate", command, str(steps))
        with self._said.open("wb") as said:
            started = subprocess.Popen(words, env=variables, cwd=self.folder, stderr=said)
        self._open.callback(_end, started)
        return started

    def dies(self, moment: str, command: str = "up") -> None:
        """Runs one step of the program, which is killed at `moment`: before-file or after-file. Raises: LabBroken."""
        with self.told(dies=moment):
            code = self.process(command).wait(_PATIENCE_S)
        if code != -9:
            said = f"migrate was not killed but ended with {code}: {self._said.read_text()}"
            raise LabBroken("lab-case-differs", said, hint="mend the case")

    @contextlib.contextmanager
    def told(self, **settings: Any) -> Iterator[None]:
        """Runs of `./migrate` inside are told more."""
        before, self.mode = self.mode, {**self.mode, **settings}
        yield
        self.mode = before

    def session(self, *statements: str, superuser: bool = True) -> psycopg.Connection[tuple[Any, ...]]:
        """A session that stays until the case ends, after it ran `statements` in a transaction that it keeps open."""
        connection = self._open.enter_context(self.database.connect(superuser=superuser))
        for statement in ("BEGIN", *statements):
            connection.execute(statement.encode())
        return connection

    def sql(self, text: str, *, superuser: bool = False) -> list[tuple[Any, ...]]:
        """Runs statements as the owner; the rows of the last one."""
        with self.database.connect(superuser=superuser) as connection:
            cursor = connection.execute(text.encode())
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def version_rows(self) -> tuple[tuple[int, bool], ...] | None:
        """The version table as it is; None where there is none."""
        name = ".".join(f'"{part}"' for part in self.settings.version_table("public"))
        if self.sql(f"SELECT to_regclass('{name}')", superuser=True) == [(None,)]:
            return None
        rows = self.sql(f"SELECT version, dirty FROM {name} ORDER BY version", superuser=True)
        return tuple((int(version), bool(dirty)) for version, dirty in rows)

    def wait_for(self, condition: str) -> None:
        """Until an SQL condition holds. Raises: LabBroken."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.sql(f"SELECT {condition}", superuser=True) != [(True,)]:
            if time.monotonic() > deadline:
                raise LabBroken("lab-case-differs", f"it did not become true: {condition}", hint="mend the case")
            time.sleep(0.02)

    def close(self) -> None:
        """Ends what was left running: sessions, processes, and backends whose client is gone."""
        self._open.close()
        others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        self.sql(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {others}", superuser=True)


Act = Callable[[Broken], None]


def nothing(_: Broken) -> None:
    """A cure where there is nothing to be cured."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way in which a database gets dirty. Made by `mendable`, `refused` or `as_it_was`, which say what follows.

    `what` is for people. `breaks` makes it happen. `finding` is the word that a right diagnosis ends with, given
    `hint` (the direction that the person says: up, down or nothing) and `multi` (whether the deployment uses
    multi-statement mode; None: nobody knows). `row` is the version table afterwards; None: there is none. `truth` is
    an SQL condition that says what really happened; the owner or superuser can check it.

    `mended`: the runbook may leave it clean, at version `target` (None: any that is safe). `at` is the number of the
    last statement that was committed, where only a part was. After that, and after `cure`, which removes the cause,
    `migrate up` comes to the newest version if `then_up`.

    The database begins at version `start` of `service` (the newest: None).
    """

    name: str
    what: str
    breaks: Act
    finding: str
    truth: str
    mended: bool
    then_up: bool
    target: int | None = None
    row: tuple[tuple[int, bool], ...] | None = ((41, True),)
    at: int | None = None
    hint: str = ""
    multi: bool | None = False
    cure: Act = field(default=nothing)
    start: int | None = None
    service: str = "control_plane"


def mendable(name: str, what: str, breaks: Act, finding: str, truth: str, **more: Any) -> Case:
    """A case that ends mended: clean at `target` (40 unless said), and `up` goes well after the cure."""
    return Case(name, what, breaks, finding, truth, mended=True, then_up=True, **{"target": 40, **more})


def refused(name: str, what: str, breaks: Act, finding: str, truth: str, **more: Any) -> Case:
    """A case that no program may mend: it stays as it is, with evidence; `migrate up` goes on refusing."""
    return Case(name, what, breaks, finding, truth, mended=False, then_up=False, **more)


def as_it_was(name: str, what: str, breaks: Act, finding: str, truth: str, **more: Any) -> Case:
    """A case in which nothing is to be mended, and `migrate up` goes well."""
    return Case(name, what, breaks, finding, truth, mended=False, then_up=True, **more)


def table_of(cases: list[Case]) -> dict[str, Case]:
    """The cases by name, which is theirs alone."""
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    return {case.name: case for case in cases}


def happen(case: Case, databases: HoodcloudDatabases, folder: Path, name: str = "") -> Broken:
    """Makes a database in which `case` has happened; its migrations are in `folder`. Whoever asked closes it.

    `name` and `folder` as for `HoodcloudDatabases.create`. Raises: LabBroken, when it does not happen as it says.
    """
    bed = Broken(databases.create(folder, case.service, case.start, name))
    try:
        case.breaks(bed)
    except BaseException:
        bed.close()
        raise
    return bed


@contextlib.contextmanager
def broken(case: Case, databases: HoodcloudDatabases, folder: Path) -> Iterator[Broken]:
    """A database of its own in which `case` has happened, dropped at the end. `folder` must not exist."""
    bed = happen(case, databases, folder)
    try:
        yield bed
    finally:
        bed.close()
        databases.drop(bed.database)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
