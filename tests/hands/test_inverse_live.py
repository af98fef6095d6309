"""The way back on a real PostgreSQL: a migration, the SQL of `inverse`, and the catalog is as it was; or a refusal."""

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.postgres import Postgres
from runbooks.migrations.catalog import Catalog, changed, differences
from runbooks.migrations.inverse import WayBack, inverse
from tasks.migrations.catalog import snapshot
from tests.hands.inverse_cases import BEFORE, REFUSED, TAKEN_BACK


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.url(), autocommit=True) as server:
        server.execute("DO $$ BEGIN CREATE ROLE reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    with psycopg.connect(postgres.create("ways_back"), autocommit=True) as connection:
        connection.execute(BEFORE)
        yield connection


@pytest.fixture(scope="module")
def before(database: psycopg.Connection) -> Catalog:
    return snapshot(database)


def there(database: psycopg.Connection, before: Catalog, migration: str) -> WayBack:
    """The way back after `migration`, which has changed something, in the transaction that is open."""
    database.execute(migration)
    live = snapshot(database)
    assert changed(live, before), "a migration that changes nothing proves nothing"
    return inverse(live, before, changed(live, before))


@pytest.mark.parametrize("case", TAKEN_BACK)
def test_there_and_back(case: str, database: psycopg.Connection, before: Catalog) -> None:
    with database.transaction(force_rollback=True):
        way = there(database, before, TAKEN_BACK[case])
        assert way.refused == ()
        for statement in way.sql:
            assert "CASCADE" not in statement or "ON DELETE CASCADE" in statement
            database.execute(statement)
        assert differences(before, snapshot(database)) == ()


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, database: psycopg.Connection, before: Catalog) -> None:
    migration, references = REFUSED[case]
    with database.transaction(force_rollback=True):
        way = there(database, before, migration)
    assert sorted({refusal.reference for refusal in way.refused}) == references
    assert all(refusal.sql for refusal in way.refused)


@given(st.lists(st.sampled_from(sorted({**TAKEN_BACK, **REFUSED})), min_size=2, max_size=5, unique=True))
@settings(max_examples=100, deadline=None)
def test_several_at_once_lead_back_or_are_refused(
    database: psycopg.Connection, before: Catalog, cases: list[str]
) -> None:
    """What does not go together, because one needs what another has dropped, is left out."""
    with database.transaction(force_rollback=True):
        for case in cases:
            try:
                with database.transaction():
                    database.execute(TAKEN_BACK.get(case) or REFUSED[case][0])
            except psycopg.Error:
                continue
        live = snapshot(database)
        way = inverse(live, before, changed(live, before))
        if way.refused:
            return
        for statement in way.sql:
            database.execute(statement)
        assert differences(before, snapshot(database)) == ()
