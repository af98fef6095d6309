"""A database in which a random migration really fails, and the runbook's own hands at work on it."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from lab.migrate_settings import MigrateSettings
from lab.migrating import Migrate, MigrateFailed
from lab.postgres import Postgres
from runbooks import dirty_migration
from runbooks.dirty_migration_facts import Asked, Facts
from runbooks.dirty_migration_steps import BackUp, DropInvalidIndex, ForceVersion, Repair, TakeBack
from runbooks.migrations.catalog import Catalog
from runbooks.migrations.files import Direction
from runbooks.plan import Plan
from store.settings import settings
from tasks.migrations import read_facts, read_facts_again, version
from tasks.migrations.catalog import snapshot
from tasks.migrations.mend import drop_invalid_index, take_back
from tasks.migrations.session import logged_in
from tests.order.random_migrations import BASE, MARKER, ROWS, Story

OWNER, PASSWORD = "migrator", "only-for-this-server"
Rows = dict[str, list[str]]


@dataclass(frozen=True)
class State:
    """All of a database but what drifted: its catalog, and the rows of its tables."""

    catalog: Catalog
    rows: Rows


class Bed:
    """One server; for each story databases of its own, made from templates with the earlier versions and rows."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self._server, self._folder = server, folder
        self._count = 0
        self._templates: set[int] = set()
        self._admin = psycopg.connect(server.url(), autocommit=True)
        # many logins: they need not be slow
        self._admin.execute("SET scram_iterations = 1")
        make = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
        self._admin.execute(make.format(sql.Identifier(OWNER), sql.Literal(PASSWORD)))
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o400)

    def close(self) -> None:
        """Ends its own session."""
        self._admin.close()

    @contextmanager
    def database(self, story: Story) -> Iterator["Database"]:
        """A database with the earlier versions, and a folder with all files."""
        self._count += 1
        name = f"story_{self._count}"
        folder = self._folder / name
        folder.mkdir()
        try:
            self._create(name, self._template(story.base))
            for file, text in story.files.items():
                (folder / file).write_text(text)
            yield Database(self, name, folder)
        finally:
            self._admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    def settings(self, name: str, folder: Path, **changes: Any) -> MigrateSettings:
        """What `./migrate` is told."""
        return MigrateSettings("127.0.0.1", self._server.ports[0], OWNER, name, folder, PASSWORD, **changes)

    def _template(self, base: int) -> str:
        name = f"base_{base}"
        if base not in self._templates:
            folder = self._folder / name
            folder.mkdir()
            for number, text in enumerate(BASE[:base], 1):
                (folder / f"{number:03}_base.up.sql").write_text(text)
            self._create(name, "template0")
            with Migrate(self.settings(name, folder)) as run:
                run.up(3)
                with self.connect(name) as conn:
                    conn.execute(f"{ROWS}; ANALYZE".encode())
                if base > 3:
                    run.up()
            with self.connect(name) as conn:
                conn.execute("INSERT INTO app.\"Orders\" (id, state) VALUES (4, 'sent')")
            self._templates.add(base)
        return name

    def _create(self, name: str, template: str) -> None:
        self._admin.execute(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}".encode())

    def connect(self, name: str) -> psycopg.Connection[Any]:
        """A session of the owner, in autocommit."""
        known = self.settings(name, self._folder).connection()
        return psycopg.connect(**known, autocommit=True, prepare_threshold=None)


class Database:
    """One database of a story."""

    def __init__(self, bed: Bed, name: str, folder: Path) -> None:
        self._bed, self.name, self.folder = bed, name, folder

    def connect(self) -> psycopg.Connection[Any]:
        """A session of the owner, in autocommit."""
        return self._bed.connect(self.name)

    def migrate(self, way: str = "up", steps: int = -1, *, multi: bool = False) -> str:
        """Runs `./migrate`; what it says against it."""
        try:
            with Migrate(self._bed.settings(self.name, self.folder, multi_statement=multi)) as run:
                (run.up if way == "up" else run.down)(steps)
        except MigrateFailed as error:
            return str(error)
        return ""

    def onwards(self, *, multi: bool) -> str:
        """Runs what is left, each file in a session of its own; what it says against it."""
        said = ""
        while not said:
            said = self.migrate("up", 1, multi=multi)
        return "" if said in ("no change", "file does not exist") else said

    def run(self, text: str) -> str:
        """Runs SQL; what PostgreSQL says against it."""
        with self.connect() as conn:
            try:
                conn.execute(text.encode(), prepare=False)
            except psycopg.Error as error:
                return str(error)
        return ""

    def state(self) -> State:
        """What is there now."""
        with self.connect() as conn:
            catalog = {key: text for key, text in snapshot(conn).items() if "zz_" not in f"{key.on} {key.name}"}
            tables = [key.name for key in catalog if key.kind in {"table", "materialized view populated"}]
            found = {table: conn.execute(_ROWS.format(table).encode()).fetchall() for table in tables}
            found["app.counter"] = conn.execute("SELECT last_value::text FROM app.counter").fetchall()
            return State(catalog, {table: sorted(row[0] for row in rows) for table, rows in found.items()})

    def version(self) -> tuple[int, bool]:
        """As the version table says."""
        with self.connect() as conn:
            row = conn.execute("SELECT version, dirty FROM schema_migrations").fetchone()
            return (row[0], row[1]) if row else (-1, False)

    def fails(self, story: Story) -> int:
        """Runs the file that fails; how many of its statements were committed."""
        name = f"{story.base + 2:03}_next.down.sql" if story.down else f"{story.base + 1:03}_it.up.sql"
        file, text = self.folder / name, story.failing
        marks = not text.alone or story.multi
        self.run(f"CREATE TABLE {MARKER} (n int)")
        original = file.read_text()
        file.write_text(text.marked(story.stops) if marks else original)
        said = self.migrate("down" if story.down else "up", 1, multi=story.multi)
        file.write_text(original)
        if not said:  # the client was killed after the file, before the clean mark
            self.run(f"TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES ({story.base + 1}, true)")
        with self.connect() as conn:
            row = conn.execute(f"SELECT coalesce(max(n), 0) FROM {MARKER}".encode()).fetchone()
            conn.execute(f"DROP TABLE {MARKER}".encode())
        assert self.version() == (story.base + 1, True), said
        assert row is not None
        return int(row[0]) if marks else 0 if said else len(text.lines)

    @contextmanager
    def known_to_runbook(self, story: Story, **more: Any) -> Iterator[str]:
        """The settings name this database while the body runs; gives that name."""
        known = self._bed.settings(self.name, self.folder)
        database = {
            **{name: getattr(known, name) for name in ("host", "port", "dbname", "user", "sslmode")},
            "password_file": str(self.folder.parent / "password"),
            "migrations": str(self.folder),
            "files_are_deployed": True,
            **({"multi_statement": story.multi} if story.told_multi else {}),
            **more,
        }
        os.environ["RUNBOOK_DATABASES"] = json.dumps({"random": database})
        settings.cache_clear()
        try:
            yield "random"
        finally:
            settings.cache_clear()


_ROWS = "SELECT (to_jsonb(t) - 'zz_drift')::text FROM {} t"


def seen(name: str, story: Story) -> Facts:
    """What the runbook sees."""
    asked = Asked()
    if story.told_direction:
        asked = replace(asked, direction=Direction.DOWN if story.down else Direction.UP, said_by="the log")
    return read_facts.fn(name, asked, "random")


def carry_out(name: str, plan: Plan[Repair], facts: Facts) -> str:
    """Does what the plan says, but for the backup; the verdict of looking again."""
    with logged_in(name) as live:
        for step in plan.steps:
            match step:
                case DropInvalidIndex():
                    drop_invalid_index(live.conn, step)
                case TakeBack():
                    assert facts.trial
                    take_back(live.conn, step, facts.trial)
                case ForceVersion():
                    version.force_alone(live.conn, live.known, step, lambda _: None)
                case _:
                    assert isinstance(step, BackUp), step
    return dirty_migration.verify(read_facts_again.fn(name, facts), plan)


def drifted(table: str) -> str:
    """What somebody does to a table by hand."""
    index = re.sub(r"\W", "", table)
    return f"ALTER TABLE {table} ADD COLUMN zz_drift text; CREATE INDEX zz_{index} ON {table} (zz_drift)"
