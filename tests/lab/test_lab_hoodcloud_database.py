"""HoodCloud's two databases in the lab: their migrations lead there and back, and copies are cheap and apart."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lab.hoodcloud_database import MIGRATIONS, SERVICES, HoodcloudDatabase, HoodcloudDatabases
from lab.migrating import Migrate, read_folder
from lab.postgres import Postgres


@pytest.fixture(scope="module")
def databases(postgres: Postgres) -> HoodcloudDatabases:
    return HoodcloudDatabases(postgres)


def rows(database: HoodcloudDatabase, query: str = "SELECT version, dirty FROM schema_migrations") -> list[Any]:
    with database.connect() as connection:
        return list(connection.execute(query.encode()).fetchall())


OBJECTS = """
    WITH ours AS (
        SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'audit')
    ), relations AS (
        SELECT oid, relkind FROM pg_class
        WHERE relnamespace IN (SELECT oid FROM ours) AND relname !~ '^schema_migrations'
    )
    SELECT 'relation' AS kind, relkind::text || oid::regclass AS name FROM relations
    UNION ALL SELECT 'column', attrelid::regclass || '.' || attname FROM pg_attribute
        WHERE attrelid IN (SELECT oid FROM relations WHERE relkind <> 'i') AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname FROM pg_constraint
        WHERE conrelid IN (SELECT oid FROM relations) AND contype <> 'n'
    UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'policy', polname FROM pg_policy
    UNION ALL SELECT 'type', typname FROM pg_type WHERE typtype IN ('e', 'd') AND typnamespace IN (SELECT oid FROM ours)
    UNION ALL SELECT 'schema', oid::regnamespace::text FROM ours
    UNION ALL SELECT 'extension', extname FROM pg_extension
    UNION ALL SELECT 'function', oid::regprocedure::text FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)
"""
"""Everything that is there, by kind and name."""


@pytest.mark.parametrize("service", SERVICES)
def test_every_down_takes_back_its_up(service: str, databases: HoodcloudDatabases, tmp_path: Path) -> None:
    database = databases.create(tmp_path / "migrations", service, 0)
    with Migrate(database.settings()) as migrate:
        for version in migrate.migrations:
            before = sorted(rows(database, OBJECTS))
            migrate.up(1)
            migrate.down(1)
            assert sorted(rows(database, OBJECTS)) == before, version.number
            migrate.up(1)
    assert rows(database) == [(read_folder(database.folder).newest, False)]
    databases.drop(database)


def test_hoodclouds_control_plane_is_as_large_as_it_should_be(databases: HoodcloudDatabases, tmp_path: Path) -> None:
    database = databases.create(tmp_path / "migrations")
    migrations = read_folder(MIGRATIONS / "control_plane")
    assert [version.number for version in migrations] == list(range(1, 41))
    assert all(version.up and version.down for version in migrations)
    names = {version.up.name for version in migrations if version.up}
    assert {f"{name}.up.sql" for name in (
        "027_node_health_state",
        "028_incidents",
        "029_notification_outbox",
        "030_health_event_outbox",
        "031_incident_pipeline_fixes",
        "039_rolling_uptime",
    )} <= names  # fmt: skip
    kinds = Counter(kind for kind, _ in rows(database, OBJECTS))
    assert 500 <= kinds["relation"] + kinds["column"] + kinds["constraint"] <= 800, kinds
    assert rows(database, "SELECT count(*) FROM nodes") == [(200,)]
    with database.connect() as connection:
        role = connection.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user").fetchone()
    assert role == (False, True)
    databases.drop(database)


def test_a_database_at_any_version_is_a_copy_of_its_own(databases: HoodcloudDatabases, tmp_path: Path) -> None:
    one, other = (databases.create(tmp_path / name, version=26) for name in ("one", "other"))
    assert rows(one) == [(26, False)] == rows(other)
    with one.connect() as connection:
        connection.execute("DELETE FROM node_events")
    (one.folder / "001_extensions.up.sql").write_text("")
    assert rows(other, "SELECT count(*) FROM node_events") == [(200,)]
    assert (other.folder / "001_extensions.up.sql").read_text() != ""
    assert one.password not in repr(one)
    for database in (one, other):
        databases.drop(database)


def test_a_second_maker_takes_the_templates_of_the_first_and_knows_the_password(
    databases: HoodcloudDatabases, postgres: Postgres, tmp_path: Path
) -> None:
    first = databases.create(tmp_path / "first")
    second = HoodcloudDatabases(postgres).create(tmp_path / "second")
    assert rows(first) == rows(second) == [(40, False)]
    for database in (first, second):
        databases.drop(database)


def test_what_has_a_name_is_replaced(databases: HoodcloudDatabases, tmp_path: Path) -> None:
    for version in (10, 20):
        database = databases.create(tmp_path / "folder", version=version, name="hoodcloud_again")
        assert rows(database) == [(version, False)]
        (database.folder / "041_more.up.sql").write_text("")
    databases.create(tmp_path / "folder", name="hoodcloud_again")
    assert read_folder(tmp_path / "folder").newest == 40
    databases.drop(database)
