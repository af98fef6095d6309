"""The way back from a half-applied file, rehearsed on a real PostgreSQL; on a second copy its SQL is run in earnest."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from lab.postgres import Postgres
from runbooks.migrations.catalog import Catalog, differences
from runbooks.migrations.files import Direction, MigrationFile
from runbooks.migrations.repair import Rehearsal
from tasks.migrations.catalog import snapshot
from tasks.migrations.parse import parse
from tasks.migrations.rehearse import rehearse

BEFORE = """
    CREATE SCHEMA app;
    CREATE TYPE app.mood AS ENUM ('sad', 'ok');
    CREATE TABLE app.nodes (id int PRIMARY KEY, name text, mood app.mood);
    CREATE TABLE app.owners (id serial PRIMARY KEY, name text);
    CREATE INDEX nodes_name ON app.nodes (name);
    CREATE VIEW app.names AS SELECT name FROM app.nodes;
    CREATE VIEW app.long_names AS SELECT name FROM app.names WHERE length(name) > 9;
    CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
"""


@dataclass(frozen=True)
class Case:
    """What the first statements of a file did. Refused with these references, else taken back."""

    done: str
    refused: tuple[str, ...] = ()
    empty_tables: tuple[str, ...] = ()
    empty_columns: tuple[tuple[str, str], ...] = ()
    upto: int = 0
    error: str = ""


CASES = {
    "additions": Case("CREATE TABLE app.t (a int); ALTER TABLE app.nodes ADD COLUMN b int", (), ("app.t",),
                      (("app.nodes", "b"),)),
    "nothing but a look": Case(
        "SELECT count(*) FROM app.nodes; SET lock_timeout = '1s'; CREATE TABLE app.t (a int)", (), ("app.t",)),
    "transactions": Case("BEGIN; CREATE TABLE app.t (a int); COMMIT; BEGIN; DROP TABLE app.t; COMMIT", (), ("app.t",),
                         upto=3),
    "within a transaction": Case(
        "CREATE TABLE app.t (a int); CREATE TABLE app.u (a int); SELECT 1", (), ("app.t",), upto=1),
    "concurrently": Case("CREATE INDEX CONCURRENTLY i ON app.nodes (name); SELECT 1", upto=1),
    "column renamed": Case("ALTER TABLE app.nodes RENAME COLUMN name TO title"),
    "table renamed twice": Case(
        "ALTER TABLE app.nodes RENAME TO a; ALTER TABLE app.a RENAME TO b; ALTER TABLE app.b RENAME COLUMN id TO key"),
    "renamed and more": Case(
        "ALTER TABLE app.nodes RENAME TO a; CREATE TABLE app.t (a int REFERENCES app.a); DROP INDEX app.nodes_name;"
        " ALTER TABLE app.a ADD COLUMN b int", (), ("app.t",), (("app.a", "b"),)),
    "what came was renamed": Case(
        "CREATE TABLE app.t (a int); ALTER TABLE app.t RENAME TO u; ALTER TABLE app.u RENAME a TO b", (), ("app.u",)),
    "renamed under a search path": Case(
        "SET search_path TO app; ALTER TABLE nodes RENAME TO a; ALTER INDEX nodes_name RENAME TO b"),
    "renamed under two search paths": Case(
        "ALTER TABLE app.owners RENAME TO a; SET search_path TO app; ALTER TABLE nodes RENAME TO b"),
    "renamed if there": Case("ALTER TABLE IF EXISTS app.no RENAME TO such; CREATE TABLE app.t (a int)", (), ("app.t",)),
    "moved": Case("CREATE SCHEMA other; ALTER TABLE app.owners SET SCHEMA other"),
    "schema renamed": Case("ALTER SCHEMA app RENAME TO apps; CREATE TABLE apps.t (a int)", (), ("apps.t",)),
    "enum value renamed": Case("ALTER TYPE app.mood RENAME VALUE 'sad' TO 'blue'"),
    "enum half rebuilt": Case("ALTER TYPE app.mood RENAME TO mood_old; CREATE TYPE app.mood AS ENUM ('ok')"),
    "table half rebuilt": Case(
        "ALTER TABLE app.nodes RENAME TO nodes_old; CREATE TABLE app.nodes (id bigint PRIMARY KEY)", (),
        ("app.nodes",)),
    "column half rebuilt": Case(
        "ALTER TABLE app.nodes RENAME COLUMN name TO name_old; ALTER TABLE app.nodes ADD COLUMN name varchar", (), (),
        (("app.nodes", "name"),)),
    "index half rebuilt": Case("ALTER INDEX app.nodes_name RENAME TO old; CREATE INDEX nodes_name ON app.nodes (id)"),
    "function half rebuilt": Case("""ALTER FUNCTION app.f() RENAME TO g;
        CREATE FUNCTION app.f() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$"""),
    "names exchanged": Case("""ALTER TABLE app.nodes RENAME TO x; ALTER TABLE app.owners RENAME TO nodes;
        ALTER TABLE app.x RENAME TO owners"""),
    "came and went": Case("CREATE TABLE app.t (a int); DROP TABLE app.t; CREATE INDEX i ON app.nodes (id)"),
    "block that only defines": Case(
        "DO $$ BEGIN CREATE TYPE app.n AS ENUM ('x'); EXCEPTION WHEN duplicate_object THEN NULL; END $$"),
    "rows of its own table": Case("CREATE TABLE app.t (a int); INSERT INTO app.t VALUES (1)", (), ("app.t",)),
    "rows of its own table, by path": Case(
        "SET search_path TO app; CREATE TABLE t (a int); INSERT INTO t VALUES (1); UPDATE t SET a = 2", (), ("app.t",)),
    # stopped by PostgreSQL
    "view that another rests on": Case(
        "CREATE OR REPLACE VIEW app.names AS SELECT name, id FROM app.nodes",
        error="cannot drop view app.names because other objects depend on it (2BP01)"),
    # refused
    "rows": Case("INSERT INTO app.owners (name) VALUES ('x')", ("data-committed",)),
    "rows in both": Case("CREATE TABLE app.t (a int); WITH x AS (DELETE FROM app.owners RETURNING id) INSERT INTO app.t"
                         " SELECT id FROM x", ("data-committed",), ("app.t",)),
    "rows of a table of the same name": Case(
        "CREATE TABLE public.owners (a int); SET search_path TO app; INSERT INTO owners (name) VALUES ('x')",
        ("data-committed",), ("public.owners",)),
    "rows of a new table under the old name": Case(
        "DROP TABLE app.owners; CREATE TABLE app.owners (id serial PRIMARY KEY, name text)", ("data-gone",)),
    "values of a column made again": Case(
        "ALTER TABLE app.owners DROP COLUMN name; ALTER TABLE app.owners ADD COLUMN name text", ("data-gone",)),
    "values computed anew": Case("ALTER TABLE app.nodes ALTER id TYPE int USING id + 1", ("lossy-cast",)),
    "block": Case(
        "DO $$ BEGIN DELETE FROM app.owners; END $$; CREATE TABLE app.t (a int)", ("data-committed",), ("app.t",)),
    "function": Case("SELECT app.f(); CREATE TABLE app.t (a int)", ("data-committed",), ("app.t",)),
    "table dropped after a renaming": Case("ALTER TABLE app.owners RENAME TO x; DROP TABLE app.x", ("data-gone",)),
    "sequence set": Case("SELECT setval('app.owners_id_seq', 9); CREATE TABLE app.t (a int)", ("data-committed",),
                         ("app.t",)),
}  # fmt: skip


@pytest.fixture(scope="module")
def before(postgres: Postgres) -> Iterator[Catalog]:
    with psycopg.connect(postgres.create("rehearsed"), autocommit=True) as connection:
        connection.execute(BEFORE)
        yield snapshot(connection)


@pytest.fixture
def copies(postgres: Postgres, before: Catalog) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    """Two databases in the state before, each with its only session."""
    names = ("rehearsal", "in_earnest")
    with psycopg.connect(postgres.url(), autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'rehearsed'")
        for name in names:
            server.execute(f"CREATE DATABASE {name} TEMPLATE rehearsed STRATEGY wal_log")
        try:
            with (
                psycopg.connect(postgres.url(names[0]), autocommit=True) as one,
                psycopg.connect(postgres.url(names[1]), autocommit=True) as two,
            ):
                yield one, two
        finally:
            for name in names:
                server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def rehearsed(conn: psycopg.Connection, case: Case, before: Catalog) -> Rehearsal:
    script = parse(MigrationFile(7, Direction.UP, "007_x.up.sql", case.done))
    assert not script.unparsable
    return rehearse(conn, script, case.upto or len(script.statements), before)


@pytest.mark.parametrize("name", CASES)
def test_rehearsal(name: str, copies: tuple[psycopg.Connection, psycopg.Connection], before: Catalog) -> None:
    case, (scratch, live) = CASES[name], copies
    trial = rehearsed(scratch, case, before)
    assert (tuple(sorted({one.reference for one in trial.refused})), trial.error) == (case.refused, case.error)
    assert (trial.empty_tables, trial.empty_columns) == (case.empty_tables, case.empty_columns)
    assert trial.equal is not bool(case.refused or case.error)
    assert trial.differences == ()
    done = parse(MigrationFile(7, Direction.UP, "007_x.up.sql", case.done)).statements
    for statement in done[: case.upto or None]:
        live.execute(statement.text)
    assert differences(snapshot(scratch), snapshot(live)) == (), "what was tried is not kept"
    for table in trial.empty_tables:  # the names that they have now
        live.execute(f"SELECT FROM {table}")
    for table, column in trial.empty_columns:
        live.execute(f"SELECT {column} FROM {table}")
    live.execute("RESET ALL")  # a repair is made in a session of its own
    if trial.equal:
        with live.transaction():
            for sql in trial.sql:
                live.execute(sql)
        assert differences(before, snapshot(live)) == ()
