"""HoodCloud's two databases, migrated by `lab.migrating` and with rows in them, as many as one likes on one server."""

import hashlib
import re
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from lab.migrate_settings import MigrateSettings
from lab.migrating import Migrate, read_folder
from lab.postgres import Postgres

MIGRATIONS = Path(__file__).with_name("migrations")
SERVICES = ("control_plane", "payment_service")
OWNERS = {"control_plane": "hoodcloud", "payment_service": "hoodcloud_payment"}
"""Who owns a service's database and migrates it: no superuser, may create databases."""
READER = "hoodcloud_reader"
"""A role that migrations grant something to; it cannot log in."""


@dataclass(frozen=True, slots=True)
class HoodcloudDatabase:
    """One database. `user` owns it. `folder` has its migrations, a copy of its own that may be changed."""

    host: str
    port: int
    dbname: str
    user: str
    password: str = field(repr=False)
    url: str = field(repr=False)
    superuser_url: str = field(repr=False)
    folder: Path

    def settings(self, **changes: Any) -> MigrateSettings:
        """What `./migrate` is told for it."""
        known = {name: getattr(self, name) for name in ("host", "port", "dbname", "user", "password", "folder")}
        return MigrateSettings(**{**known, **changes})

    def connect(self, *, superuser: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
        """A session of its owner, or of the superuser; in autocommit."""
        return psycopg.connect(self.superuser_url if superuser else self.url, autocommit=True)


class HoodcloudDatabases:
    """Makes them on one server. The first of a kind is migrated and filled, and kept as a template for the others.

    `rows` is the number of users and of nodes, from 20; other tables have as many or fewer. The owners' `password`
    follows from the server's, so that any number of these agree about it.
    """

    def __init__(self, server: Postgres, rows: int = 200) -> None:
        self.server, self.rows = server, rows
        self.password = hashlib.sha256(f"owners of {server.password}".encode()).hexdigest()[:24]
        self._templates: dict[tuple[str, int], str] = {}

    def create(
        self, folder: Path, service: str = "control_plane", version: int | None = None, name: str = ""
    ) -> HoodcloudDatabase:
        """A database of `service` at `version` (the newest where none is given), named `name` or at random.

        `folder` gets the migrations, all of them. With a `name`, what was there before is replaced, folder and
        database; without one, the folder must not exist.
        """
        if not self._templates:
            self._make_roles()
        number = read_folder(MIGRATIONS / service).newest if version is None else version
        if (service, number) not in self._templates:
            self._templates[service, number] = self._template(service, number)
        if name:
            self._as_superuser(_drop(name))
            shutil.rmtree(folder, ignore_errors=True)
        name = name or f"{service}_{secrets.token_hex(5)}"
        self._create(name, OWNERS[service], self._templates[service, number])
        shutil.copytree(MIGRATIONS / service, folder)
        return self._named(name, OWNERS[service], folder)

    def drop(self, database: HoodcloudDatabase) -> None:
        """Ends its sessions and drops it; the folder stays."""
        self._as_superuser(_drop(database.dbname))

    def _make_roles(self) -> None:
        for role, options in ((READER, "NOLOGIN"), *((owner, "LOGIN CREATEDB") for owner in OWNERS.values())):
            with psycopg.connect(self.server.url(), autocommit=True) as connection:
                if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
                    connection.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role), sql.SQL(options)))
                if options != "NOLOGIN":
                    words = sql.SQL("ALTER ROLE {} PASSWORD {}")
                    connection.execute(words.format(sql.Identifier(role), sql.Literal(self.password)))

    def _template(self, service: str, version: int) -> str:
        """The template's name; made unless an earlier lab on this server has made the same one."""
        migrations, rows = read_folder(MIGRATIONS / service), (MIGRATIONS / f"{service}.rows.sql").read_text()
        digest = hashlib.sha256(f"{migrations.digest} {rows} {self.rows}".encode()).hexdigest()
        name, owner = f"template_{service}_{version}_{digest[:8]}", OWNERS[service]
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                return name
        unfinished = f"unfinished_{secrets.token_hex(5)}"
        self._create(unfinished, owner, "template0")
        database = self._named(unfinished, owner, MIGRATIONS / service)
        steps = sum(known.number <= version for known in migrations)
        if steps:
            with Migrate(database.settings()) as migrate:
                migrate.up(steps)
        with database.connect() as connection:
            for section in re.split(r"^-- from ", rows, flags=re.MULTILINE)[1:]:
                number, _, statements = section.partition("\n")
                if int(number) <= version:
                    connection.execute(statements.replace("{rows}", str(self.rows)).encode())
            connection.execute("ANALYZE")  # or autovacuum does so while the template is being copied
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        self._as_superuser(rename.format(sql.Identifier(unfinished), sql.Identifier(name)))
        return name

    def _create(self, name: str, owner: str, template: str) -> None:
        words = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
        self._as_superuser(words.format(*(sql.Identifier(word) for word in (name, owner, template))))

    def _as_superuser(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.server.url(), autocommit=True) as connection:
            connection.execute(statement)

    def _named(self, name: str, owner: str, folder: Path) -> HoodcloudDatabase:
        return HoodcloudDatabase(
            host="127.0.0.1",
            port=self.server.ports[0],
            dbname=name,
            user=owner,
            password=self.password,
            url=f"postgresql://{owner}:{self.password}@{self.server.address}/{name}",
            superuser_url=self.server.url(name),
            folder=folder,
        )


def _drop(name: str) -> sql.Composed:
    return sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
