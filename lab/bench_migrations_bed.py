"""Databases for `make bench` to break and to mend again and again, and the warm process that mends them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from lab.bench_memory import peak_mb
from lab.bench_migrations_files import write, write_history
from lab.hoodcloud_database import OWNERS, HoodcloudDatabase, HoodcloudDatabases
from lab.migrating import Migrate, MigrateFailed
from lab.postgres import Postgres
from lab.server import LabBroken
from lab.world import ROOT

FINDINGS = ("rolled-back", "partly-applied")
"""What a broken database is found to be; both end at the version before."""

SCRATCH = ("same-server", "own-server")

_OWNER = OWNERS["control_plane"]
_FILLED = "node_plan_outbox"
"""The table of the long history that gets rows which no migration has put there."""

_WORK = """
CREATE TABLE bench_zones (name text PRIMARY KEY, opened timestamptz NOT NULL DEFAULT now());
ALTER TABLE {table} ADD COLUMN zone text REFERENCES bench_zones (name);
CREATE INDEX {table}_zone_idx ON {table} (zone);
CREATE FUNCTION zone_of_{table}(bigint) RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'a;b' $$;
"""
_FAILS = "ALTER TABLE {table} ADD CONSTRAINT {table}_empty CHECK (id IS NULL);\n"
"""For the rows that there are; on scratch, where there are none, it works, so that the next version is weighed, too."""
_DOWN = """
ALTER TABLE {table} DROP CONSTRAINT {table}_empty;
DROP FUNCTION zone_of_{table}(bigint);
ALTER TABLE {table} DROP COLUMN zone;
DROP TABLE bench_zones;
"""


@dataclass
class Subject:
    """A database of `size` that can be broken: versions 1 to `newest` are applied, and two more are there.

    The first of the two fails by the rows of `table`; the second has a down, so that both directions are weighed.
    """

    size: str
    database: HoodcloudDatabase
    newest: int
    table: str
    _count: int = field(default=0, repr=False)

    @property
    def first(self) -> Path:
        """The file of the first version."""
        return next(self.database.folder.glob("001_*.up.sql"))

    def prepare(self) -> None:
        """Writes the version that comes after the one that fails."""
        up = f"ALTER TABLE {self.table} ADD COLUMN colour text NOT NULL DEFAULT 'none';\n"
        write(self.database.folder, self.newest + 2, "colours", up, f"ALTER TABLE {self.table} DROP COLUMN colour;\n")

    def break_(self, finding: str) -> None:
        """Lets the next migration fail. Raises: LabBroken, when it does not."""
        up = _WORK + _FAILS if finding == "rolled-back" else f"BEGIN;{_WORK}COMMIT;\n{_FAILS}"
        named = (text.format(table=self.table) for text in (up, _DOWN))
        write(self.database.folder, self.newest + 1, "zones", *named)
        try:
            with Migrate(self.database.settings()) as migrate:
                migrate.up(1)
        except MigrateFailed:
            return
        raise LabBroken("lab-case-differs", "the migration did not fail", hint="mend lab/bench_migrations_bed.py")

    def forget(self) -> None:
        """Files that nobody has replayed yet: no template of an earlier look is theirs."""
        self._count += 1
        text = self.first.read_text().partition("\n-- look ")[0]
        self.first.write_text(f"{text}\n-- look {self._count}\n")

    def settings(self, password: Path, scratch: str, *, keep: bool) -> dict[str, Any]:
        """Its entry of RUNBOOK_DATABASES."""
        known = self.database
        return {
            "host": known.host,
            "port": known.port,
            "dbname": known.dbname,
            "user": known.user,
            "sslmode": "disable",  # on loopback, and the lab's PostgreSQL has no certificate
            "password_file": str(password),
            "migrations": str(known.folder),
            "files_are_deployed": True,
            "multi_statement": False,
            "scratch": scratch,
            "keep_template": keep,
            "backup_folder": str(known.folder.with_name("backups")),
        }


def subjects(server: Postgres, folder: Path, long: int = 400) -> dict[str, Subject]:
    """HoodCloud's own 40 migrations, and a history of `long`. They lie below `folder`."""
    databases = HoodcloudDatabases(server)
    folder.mkdir()
    found = {"40 migrations": Subject("40 migrations", databases.create(folder / "short"), 40, "nodes")}
    history = _long(server, databases, folder / "long", long)
    found[f"{long} migrations"] = Subject(f"{long} migrations", history, long, _FILLED)
    for subject in found.values():
        subject.prepare()
    return found


def _long(server: Postgres, databases: HoodcloudDatabases, folder: Path, versions: int) -> HoodcloudDatabase:
    write_history(folder, versions)
    name, words = "history", sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0")
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute(words.format(sql.Identifier(name), sql.Identifier(_OWNER)))
    made = HoodcloudDatabase(
        host="127.0.0.1",
        port=server.ports[0],
        dbname=name,
        user=_OWNER,
        password=databases.password,
        url=f"postgresql://{_OWNER}:{databases.password}@{server.address}/{name}",
        superuser_url=server.url(name),
        folder=folder,
    )
    with Migrate(made.settings()) as migrate:
        migrate.up()
    with made.connect() as conn:
        conn.execute(
            f"INSERT INTO {_FILLED} (topic, payload) SELECT 'slack', '{{}}' FROM generate_series(1, 200)".encode()
        )
    return made


class MendingProcess:
    """A process of `lab/bench_migrations_run.py`, which ends with this one. `variables` are its settings."""

    def __init__(self, variables: Mapping[str, str], folder: Path) -> None:
        self.log = folder / "mending.log"
        self.began = time.time()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "lab.bench_migrations_run"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
                env={"PATH": os.environ["PATH"], **variables, "PYTHONPATH": str(ROOT)},
            )
        self._hear()

    @property
    def peak_mb(self) -> float:
        """The most memory that it had so far."""
        return peak_mb(self._process.pid)

    def call(self, database: str, approve: str = "", *, prefect: bool = False) -> dict[str, Any]:
        """One run; see `lab/bench_migrations_run.py`. Raises: LabBroken when it did not end well."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"database": database, "approve": approve, "prefect": prefect}) + "\n")
        self._process.stdin.flush()
        answer = self._hear()
        ending = answer.get("ending") or answer["error"]
        if ending != ("done" if approve else "awaits approval"):
            raise LabBroken("lab-run-failed", f"a run ended with: {ending}", hint=f"read {self.log}")
        return answer

    def end(self) -> None:
        """It ends by itself when there are no more lines."""
        self._process.communicate()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            said = self.log.read_text()[-500:].strip()
            raise LabBroken("lab-warm-process-died", f"the warm process ended: {said}", hint="start it by hand")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def mending(variables: Mapping[str, str], folder: Path) -> Iterator[MendingProcess]:
    """A warm process for the body."""
    process = MendingProcess(variables, folder)
    try:
        yield process
    finally:
        process.end()
