"""What the tests of migrations share: servers of every PostgreSQL on this machine, and a small schema of all kinds."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from lab.postgres import Postgres
from runbooks.migrations.catalog import Catalog, changed
from runbooks.migrations.files import Direction, MigrationFile, Migrations, migrations_of
from runbooks.migrations.statements import Script
from tasks.migrations.parse import parse

Connection = psycopg.Connection[Any]

OTHERS = sorted(Path("/usr/lib/postgresql").glob("1[4-9]/bin"))
"""The servers that Debian installed, beside the wheel's."""

SCHEMA = """
CREATE SCHEMA app;
CREATE TYPE app.mood AS ENUM ('good', 'bad');
CREATE DOMAIN app.mail AS text;
CREATE TYPE app.pair AS (a integer, b text);
CREATE TYPE app.span AS RANGE (SUBTYPE = double precision);
CREATE TABLE app.users (id bigint PRIMARY KEY, name text, mail app.mail, age integer);
CREATE TABLE app.orders (id bigserial PRIMARY KEY, user_id bigint, total numeric(10, 2), note text);
CREATE INDEX orders_total ON app.orders (total);
CREATE TABLE app.events (at timestamptz NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.loose (at timestamptz NOT NULL, what text);
CREATE VIEW app.named AS SELECT id, name FROM app.users;
CREATE MATERIALIZED VIEW app.totals AS SELECT user_id, sum(total) AS total FROM app.orders GROUP BY user_id;
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.age := 1; RETURN NEW; END $$;
CREATE FUNCTION app.next(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE TRIGGER touch BEFORE UPDATE ON app.users FOR EACH ROW EXECUTE FUNCTION app.touch();
CREATE SEQUENCE app.counter;
"""
"""One of each kind; the tests change it."""


class Debian(Postgres):
    """PostgreSQL of another version, from the system's own packages."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        super().__init__(folder)
        self.binaries = binaries


def servers(folder: Path) -> list[Postgres]:
    """All of them, not yet started: the wheel's first."""
    return [Postgres(folder / "wheel"), *(Debian(folder / path.parent.name, path) for path in OTHERS)]


def params(server: Postgres, database: str = "postgres", **other: str) -> dict[str, Any]:
    """Parameters for psycopg.connect."""
    return {**conninfo_to_dict(server.url(database)), **other}


@contextmanager
def fresh_database(server: Postgres, schema: str = "") -> Iterator[Connection]:
    """A session in autocommit in a new database with `schema`, dropped afterwards."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    url = server.create(name)
    try:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as conn:
            conn.execute(schema.encode())
            yield conn
    finally:
        with psycopg.connect(server.url(), autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def make_role(server: Postgres, name: str, what: str = "NOLOGIN") -> None:
    """Makes the role, unless it is there."""
    with psycopg.connect(server.url(), autocommit=True) as conn:
        if not conn.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
            conn.execute(f"CREATE ROLE {name} {what}".encode())


def said(before: Catalog, after: Catalog) -> set[str]:
    """The keys by which the two differ, as people read them."""
    return {f"{key.kind} {key.on}.{key.name}" if key.on else f"{key.kind} {key.name}" for key in changed(before, after)}


def script(text: str, name: str = "002_it.up.sql") -> Script:
    """One file, taken apart."""
    match = re.match(r"(\d+)_.*\.(up|down)\.", name)
    assert match
    return parse(MigrationFile(int(match[1]), Direction(match[2]), name, text))


def migrations(*texts: str) -> Migrations:
    """Versions 1, 2, … with these up files."""
    return migrations_of([(f"{number:03}_it.up.sql", text.encode()) for number, text in enumerate(texts, 1)])


def databases(server: Postgres, prefix: str = "runbook_") -> list[str]:
    """Those whose name begins so."""
    with psycopg.connect(server.url(), autocommit=True) as conn:
        rows = conn.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY 1", [prefix])
        return [row[0] for row in rows]
