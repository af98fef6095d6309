"""The lab's `./migrate` does what golang-migrate does, on a real PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lab.hoodcloud_database import HoodcloudDatabase, HoodcloudDatabases
from lab.migrate_settings import MigrateSettings, settings_from
from lab.migrating import Migrate, MigrateFailed, lock_id, pieces_of
from lab.postgres import Postgres
from runbooks.errors import BadRequest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def databases(postgres: Postgres) -> HoodcloudDatabases:
    return HoodcloudDatabases(postgres)


@pytest.fixture
def empty(databases: HoodcloudDatabases, tmp_path: Path) -> Iterator[HoodcloudDatabase]:
    """A database in which nothing is, and a folder in which nothing is."""
    database = databases.create(tmp_path / "migrations", version=0)
    for file in database.folder.iterdir():
        file.unlink()
    yield database
    databases.drop(database)


def write(database: HoodcloudDatabase, **files: str) -> None:
    for name, text in files.items():
        (database.folder / f"{name.lstrip('v').replace('__', '.')}.sql").write_text(text)


def said(database: HoodcloudDatabase, command: str, *numbers: int, **settings: object) -> str:
    """What golang-migrate says when it fails."""
    try:
        with Migrate(database.settings(**settings)) as migrate:
            getattr(migrate, command)(*numbers)
    except MigrateFailed as error:
        return str(error)
    return ""


def rows(database: HoodcloudDatabase, query: str = "SELECT version, dirty FROM schema_migrations") -> list[Any]:
    with database.connect() as connection:
        return list(connection.execute(query.encode()).fetchall())


LOCKS = [  # (database, schema, table or nothing) and the id; the first four are database/util_test.go's own
    (("database_name",), 1764327054),
    (("database_name", "schema_name_1"), 2453313553),
    (("database_name", "schema_name_2"), 235207038),
    (("database_name", "schema_name_1", "schema_name_2"), 3743845847),
    # seen in pg_locks while the real program ran: opened by a URL, the name has its slash
    (("/locktest", "public", "schema_migrations"), 3708018671),
    (("locktest", "public", "schema_migrations"), 1254171134),
]


@pytest.mark.parametrize(("names", "expected"), LOCKS)
def test_the_lock_is_golang_migrates(names: tuple[str, ...], expected: int) -> None:
    assert lock_id(*names) == expected


@pytest.mark.parametrize(("lock", "name"), [("url", "/{}"), ("library", "{}")])
def test_it_holds_the_lock_of_its_way_in_while_it_works(empty: HoodcloudDatabase, lock: str, name: str) -> None:
    seen = "SELECT objid::bigint, classid::bigint, objsubid FROM pg_locks WHERE locktype = 'advisory' AND granted"
    write(empty, v1_a__up=f"CREATE TABLE seen (id bigint, high bigint, keys int); INSERT INTO seen {seen};")
    assert said(empty, "up", lock=lock) == ""
    expected = lock_id(name.format(empty.dbname), "public", "schema_migrations")
    assert rows(empty, "SELECT * FROM seen") == [(expected, 0, 1)]
    assert rows(empty, seen) == []


PIECES = [
    ("CREATE TABLE a (); CREATE TABLE b ();", ["CREATE TABLE a ();", " CREATE TABLE b ();"]),
    ("SELECT 1", ["SELECT 1"]),
    ("SELECT ';';\n\n", ["SELECT ';", "';"]),
    ("-- one; two\nSELECT 1;", ["-- one;", " two\nSELECT 1;"]),
    ("  \n", []),
]


@pytest.mark.parametrize(("text", "pieces"), PIECES)
def test_multi_statement_mode_cuts_at_every_semicolon(text: str, pieces: list[str]) -> None:
    assert list(pieces_of(text)) == pieces


ONE_QUERY = [  # a file, whether multi-statement mode, what migrate says, and which tables are there afterwards
    ("CREATE TABLE a (); CREATE TABLE b ();", False, "", "ab"),
    ("CREATE TABLE a (); CREATE TABLE a ();", False, "already exists", ""),
    ("CREATE TABLE a (); CREATE TABLE a ();", True, "already exists", "a"),
    ("CREATE TABLE a (); CREATE TABEL b ();", False, "syntax error", ""),
    ("CREATE TABLE a (); CREATE TABEL b ();", True, "syntax error", "a"),
    ("BEGIN; CREATE TABLE a (); COMMIT; CREATE TABLE b (); SELECT 1/0;", False, "division by zero", "a"),
    ("BEGIN; CREATE TABLE a (); COMMIT; BEGIN; SELECT 1/0; COMMIT;", False, "25P02", "a"),
    ("BEGIN; CREATE TABLE a ();", False, "transaction start failed", ""),
    ("CREATE TABLE a (); CREATE INDEX CONCURRENTLY ON a ((1));", False, "transaction block", ""),
    ("CREATE TABLE a (); CREATE INDEX CONCURRENTLY ON a ((1));", True, "", "a"),
    ("DO $$ BEGIN CREATE TABLE a (); END $$; CREATE TABLE b ();", False, "", "ab"),
    ("CREATE TABLE a (); DO $$ BEGIN NULL; END $$;", True, "unterminated dollar-quoted string", "a"),
    ("CREATE TABLE a (); -- 100%, %s and %(name)s\n", False, "", "a"),
    ("CREATE TABLE a (); COPY a FROM STDIN;", False, "bad connection", ""),
    ("-- nothing but a comment\n", False, "", ""),
    ("", False, "", ""),
    (";;", True, "", ""),
]


@pytest.mark.parametrize(("text", "multi", "error", "tables"), ONE_QUERY)
def test_a_file_is_one_simple_query_or_many(
    empty: HoodcloudDatabase, text: str, multi: bool, error: str, tables: str
) -> None:
    write(empty, v1_a__up=text)
    answer = said(empty, "up", multi_statement=multi)
    assert error in answer and bool(error) == bool(answer)
    found = rows(
        empty, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND length(tablename) = 1 ORDER BY 1"
    )
    assert "".join(name for (name,) in found) == tables  # type: ignore[misc,attr-defined]
    assert rows(empty) == [(1, bool(error))]
    if error:
        assert said(empty, "up") == "Dirty database version 1. Fix and force version."
        assert said(empty, "down") == "Dirty database version 1. Fix and force version."


def test_down_marks_the_version_before_and_numbers_may_have_holes(empty: HoodcloudDatabase) -> None:
    write(
        empty,
        v7_a__up="CREATE TABLE a ();",
        v7_a__down="DROP TABLE a;",
        v20_b__up="SELECT 1;",
        v20_b__down="DROP TABLE b;",
    )
    assert said(empty, "up") == "" and rows(empty) == [(20, False)]
    assert 'table "b" does not exist' in said(empty, "down", 1)
    assert rows(empty) == [(7, True)]
    assert said(empty, "force", 7) == "" and rows(empty) == [(7, False)]
    assert said(empty, "down") == "" and rows(empty) == []


def test_the_first_down_leaves_a_dirty_nothing(empty: HoodcloudDatabase) -> None:
    write(empty, v1_a__up="SELECT 1;", v1_a__down="DROP TABLE a;")
    said(empty, "up")
    assert 'table "a" does not exist' in said(empty, "down")
    assert rows(empty) == [(-1, True)]
    assert said(empty, "up") == "Dirty database version -1. Fix and force version."
    assert said(empty, "force", -1) == "" and rows(empty) == []
    assert said(empty, "force", -2) == "version must be >= -1"


ANSWERS = [  # files, version before, command, and what is said
    ({"v1_a__up": "SELECT 1;"}, 1, ("up",), "no change"),
    ({"v1_a__up": "SELECT 1;"}, 1, ("up", 0), "no change"),
    ({"v1_a__up": "SELECT 1;"}, 1, ("up", 1), "file does not exist"),
    ({"v1_a__up": "SELECT 1;", "v2_b__up": ""}, 1, ("up", 3), "limit 2 short"),
    ({"v1_a__up": "SELECT 1;"}, 1, ("down", 2), "limit 1 short"),
    ({"v1_a__up": "SELECT 1;"}, -1, ("down",), "no change"),
    ({"v1_a__up": "SELECT 1;"}, -1, ("down", 1), "file does not exist"),
    ({}, -1, ("up",), "first .: file does not exist"),
    (
        {"v1_a__up": "SELECT 1;"},
        99,
        ("up",),
        "no migration found for version 99: read down for version 99 .: file does not exist",
    ),
    (
        {"v1_a__up": "SELECT\n  nothing;"},
        -1,
        ("up",),
        (
            'migration failed: column "nothing" does not exist (column 3) in line 2: SELECT\n  nothing;'
            ' (details: pq: column "nothing" does not exist (42703))'
        ),
    ),
]


@pytest.mark.parametrize(("files", "version", "command", "expected"), ANSWERS)
def test_it_says_what_golang_migrate_says(
    empty: HoodcloudDatabase, files: dict[str, str], version: int, command: tuple[str, int], expected: str
) -> None:
    write(empty, **files)
    said(empty, "force", version)  # looks at no file
    assert said(empty, *command) == expected


def test_several_rows_are_read_as_one_and_force_heals_them(empty: HoodcloudDatabase) -> None:
    write(empty, v1_a__up="SELECT 1;")
    said(empty, "up")
    with empty.connect() as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (5, true)")
    assert said(empty, "up") in {"no change", "Dirty database version 5. Fix and force version."}
    assert said(empty, "force", 1) == "" and rows(empty) == [(1, False)]


def test_the_version_table_may_have_another_name_and_schema(empty: HoodcloudDatabase) -> None:
    write(empty, v1_a__up="SELECT 1;")
    with empty.connect() as connection:
        connection.execute('CREATE SCHEMA "Ops"')
    assert said(empty, "up", table='"Ops"."my versions"') == ""
    assert rows(empty, 'SELECT version, dirty FROM "Ops"."my versions"') == [(1, False)]
    with pytest.raises(psycopg.errors.UndefinedTable):
        rows(empty)


def test_one_file_twice_is_refused_before_anything_is_touched(empty: HoodcloudDatabase) -> None:
    write(empty, v1_a__up="SELECT 1;", v01_b__up="SELECT 2;")
    assert "are both version 1" in said(empty, "up")
    with pytest.raises(psycopg.errors.UndefinedTable):
        rows(empty)


def program(settings: MigrateSettings, *words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, "-m", "lab.migrate", *words)
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings.variables()}
    return subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, check=False)


def test_the_program_logs_and_exits_as_golang_migrate_does(empty: HoodcloudDatabase, tmp_path: Path) -> None:
    write(empty, v039_rolling_uptime__up="CREATE TABLE a ();", v040_next__up="SELECT 1/0;")
    first = program(empty.settings(), "up", "1", folder=tmp_path)
    assert first.returncode == 0
    read, ran = first.stderr.splitlines()
    assert read == "Read and execute 39/u rolling_uptime" and ran.startswith("39/u rolling_uptime (")
    second = program(empty.settings(), "up", folder=tmp_path)
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1] == (
        "error: migration failed: division by zero in line 0: SELECT 1/0; (details: pq: division by zero (22012))"
    )
    assert program(empty.settings(), "version", folder=tmp_path).stderr == "40 (dirty)\n"
    assert program(empty.settings(), "force", "39", folder=tmp_path).returncode == 0
    assert rows(empty) == [(39, False)]
    assert empty.password not in first.stderr + second.stderr


@pytest.mark.parametrize(("moment", "tables"), [("before-file", 0), ("after-file", 1)])
def test_it_can_die_at_the_moments_that_matter(
    empty: HoodcloudDatabase, tmp_path: Path, moment: str, tables: int
) -> None:
    write(empty, v1_a__up="CREATE TABLE a ();")
    assert program(empty.settings(dies=moment), "up", folder=tmp_path).returncode == -9
    assert rows(empty) == [(1, True)]
    assert rows(empty, "SELECT count(*) FROM pg_tables WHERE tablename = 'a'") == [(tables,)]


def test_settings_come_from_the_environment_and_else_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# DB_NAME=no\nDB_USER=hoodcloud\nexport DB_NAME='plane'\nDB_PASSWORD=\"p=w\"\nDB_PORT=6000\n")
    settings = settings_from({"DB_PORT": "7000", "MIGRATIONS_PATH": "file:///srv/migrations"}, file)
    assert (settings.user, settings.dbname, settings.password, settings.port) == ("hoodcloud", "plane", "p=w", 7000)
    assert settings.folder == Path("/srv/migrations") and "p=w" not in repr(settings)
    assert settings_from(settings.variables(), tmp_path / "none") == settings


BAD_SETTINGS = [
    ({}, "DB_USER"),
    ({"DB_USER": "a"}, "DB_NAME"),
    ({"DB_USER": "a", "DB_NAME": "b", "DB_PORT": "x"}, "DB_PORT"),
    ({"DB_USER": "a", "DB_NAME": "b", "MIGRATE_LOCK": "both"}, "MIGRATE_LOCK"),
    ({"DB_USER": "a", "DB_NAME": "b", "MIGRATE_MULTI_STATEMENT": "yes"}, "MIGRATE_MULTI_STATEMENT"),
]


@pytest.mark.parametrize(("variables", "named"), BAD_SETTINGS)
def test_bad_settings_are_named(variables: dict[str, str], named: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=named):
        settings_from(variables, tmp_path / ".env")
