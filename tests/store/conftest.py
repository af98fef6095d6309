"""Every test that asks for `url` or `db` runs twice: on SQLite and on PostgreSQL."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from store_cases import Child, Start

from lab.postgres import Postgres
from store.database import Database

_CHILD = Path(__file__).with_name("store_child.py")
_numbers = itertools.count(1)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state' / 'store.db'}"


@pytest.fixture(scope="session")
def _postgres_database(postgres: Postgres) -> str:
    return postgres.create("store")


@pytest.fixture
def postgres_url(_postgres_database: str) -> str:
    schema = f"test_{next(_numbers)}"  # an empty schema costs a tenth of an empty database
    with psycopg.connect(_postgres_database, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    return f"{_postgres_database}?options=-csearch_path%3D{schema}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A store that nobody has opened yet."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    opened = Database.open(url)
    yield opened
    opened.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process of `store_child.py`; what still runs at the end of the test is killed."""
    children: list[Child] = []

    def start(*words: str) -> Child:
        command = [sys.executable, str(_CHILD), *words]
        children.append(Child(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()
