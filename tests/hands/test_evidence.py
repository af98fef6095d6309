"""What rows tell: probes that change nothing, and sentences about what is newer than the dirty mark."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from lab.postgres import Postgres
from runbooks.migrations.files import Direction
from runbooks.migrations.statements import Kind, Statement
from tasks.migrations import evidence

UPDATE = Statement(number=1, kind=Kind.DML, text="", line=1, last_line=1, start=0, end=0)

SEED = """
CREATE TABLE orders(id int PRIMARY KEY, state text);
INSERT INTO orders SELECT i, 'new' FROM generate_series(1, 10) i;
CREATE TABLE "odd ""name""; drop table orders; --"(id int);
CREATE TABLE seen(id int);
CREATE SEQUENCE counter;
CREATE FUNCTION write() RETURNS int LANGUAGE sql AS 'INSERT INTO seen VALUES (1) RETURNING id';
CREATE VIEW shown AS SELECT id FROM orders;
CREATE TABLE schema_migrations(version bigint PRIMARY KEY, dirty boolean NOT NULL);
INSERT INTO schema_migrations VALUES (39, true);
"""


@pytest.fixture
def conn(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    name = f"evidence_{abs(hash(request.node.name))}"
    with psycopg.connect(postgres.create(name), autocommit=True) as opened:
        opened.execute(SEED)
        yield opened


@pytest.fixture
def mark(conn: psycopg.Connection[Any]) -> str:
    row = conn.execute("SELECT xmin::text FROM schema_migrations").fetchone()
    assert row
    return str(row[0])


# A newcomer adds a case here: the probe, and what it proves.
PROBES: dict[str, tuple[str, bool | None]] = {
    "a row would be touched": ("SELECT 1 FROM orders WHERE state = 'new'", True),
    "no row would be": ("SELECT 1 FROM orders WHERE state = 'gone'", False),
    "with a per cent sign": ("SELECT 1 FROM orders WHERE state LIKE '%ew'", True),
    "with a comment at its end": ("SELECT 1 FROM orders WHERE id = 1 -- the first", True),
    "none": ("", None),
    "no such table": ("SELECT 1 FROM nothing_here", None),
    "no SQL": ("SELEC 1", None),
    "takes too long": ("SELECT 1 FROM orders WHERE pg_sleep(1) IS NOT NULL AND id < 0 OR pg_sleep(1) IS NULL", None),
    "a function that writes": ("SELECT 1 FROM orders WHERE write() = 1", None),
    "a sequence that moves": ("SELECT 1 WHERE nextval('counter') = 1", None),
    "more than one statement": ("SELECT 1); COMMIT; INSERT INTO seen VALUES (2); SELECT (1", None),
}


@pytest.mark.parametrize("case", PROBES)
def test_a_probe_proves_or_says_nothing_and_changes_nothing(conn: psycopg.Connection[Any], case: str) -> None:
    probe, proved = PROBES[case]
    assert evidence.probe(conn, replace(UPDATE, probe=probe)) is proved
    assert conn.execute("SELECT count(*) FROM seen").fetchone() == (0,)
    assert conn.execute("SELECT is_called FROM counter").fetchone() == (False,)
    assert conn.execute(
        "SELECT current_setting('statement_timeout'), current_setting('transaction_read_only')"
    ).fetchone() == ("0", "off")
    assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


@pytest.fixture
def tenant(conn: psycopg.Connection[Any], mark: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A session from which row security hides what is in `orders`; the dirty mark."""
    role = f"tenant_{abs(hash(request.node.name))}"
    conn.execute(
        f"CREATE ROLE {role}; GRANT ALL ON orders TO {role}; ALTER TABLE orders ENABLE ROW LEVEL SECURITY;"
        f"CREATE POLICY own ON orders USING (state = current_setting('app.tenant', true)); SET ROLE {role}".encode()
    )
    yield mark
    conn.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_nothing_is_proved_where_rows_are_hidden(conn: psycopg.Connection[Any], tenant: str) -> None:
    assert conn.execute("SELECT count(*) FROM orders").fetchone() == (0,)
    assert evidence.probe(conn, replace(UPDATE, probe="SELECT 1 FROM orders WHERE state = 'new'")) is None
    said = evidence.newer_rows(conn, "public.orders", tenant)
    assert "was not read: query would be affected by row-level security policy" in said
    assert conn.execute("SHOW row_security").fetchone() == ("on",)


def test_all_statements_together(conn: psycopg.Connection[Any], mark: str) -> None:
    statements = [
        (Direction.UP, replace(UPDATE, writes="orders, seen", probe="SELECT 1 FROM seen")),
        (Direction.UP, replace(UPDATE, number=2, kind=Kind.DDL)),
        (Direction.DOWN, replace(UPDATE, number=3, kind=Kind.QUERY, probe="SELECT 1 FROM orders")),
        (Direction.DOWN, replace(UPDATE, number=4)),
    ]
    found = evidence.evidence_of(conn, statements, mark)
    assert [(one.direction, one.statement, one.would_touch) for one in found] == [
        (Direction.UP, 1, False), (Direction.DOWN, 3, True), (Direction.DOWN, 4, None)
    ]  # fmt: skip
    nothing = "No row of {} is newer than the dirty mark (deleted rows leave no trace)."
    assert [one.seen for one in found] == [f"{nothing.format('orders')} {nothing.format('seen')}", "", ""]


def test_all_of_it_ends_in_time(conn: psycopg.Connection[Any], mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "LIMIT_IN_ALL_S", 0.6)
    statements = [
        (
            Direction.UP,
            replace(UPDATE, number=n, writes=f"{'seen' if n % 2 else 'orders'}", probe=f"SELECT {n} FROM seen"),
        )
        for n in range(1, 41)
    ]
    with psycopg.connect(conn.info.dsn, password=conn.info.password) as other:
        other.execute("LOCK TABLE seen, orders IN ACCESS EXCLUSIVE MODE")
        begun = time.monotonic()
        found = evidence.evidence_of(conn, statements, mark)
        assert time.monotonic() - begun < 1.5
    assert len(found) == 40 and {one.would_touch for one in found} == {None}
    assert {one.seen for one in found} == {f"{table} was not read: it takes too long." for table in ("seen", "orders")}


def test_a_probe_on_a_lost_connection_says_nothing(conn: psycopg.Connection[Any]) -> None:
    conn.close()
    assert evidence.probe(conn, replace(UPDATE, probe="SELECT 1")) is None


def test_rows_that_nobody_touched(conn: psycopg.Connection[Any], mark: str) -> None:
    said = evidence.newer_rows(conn, "public.orders", mark)
    assert said == "No row of public.orders is newer than the dirty mark (deleted rows leave no trace)."


def test_rows_of_one_transaction_and_of_several(conn: psycopg.Connection[Any], mark: str) -> None:
    row = conn.execute("UPDATE orders SET state = 'paid' WHERE id < 8 RETURNING pg_current_xact_id()::text").fetchone()
    assert row
    said = evidence.newer_rows(conn, "public.orders", mark)
    assert said.startswith(f"7 rows of public.orders are newer than the dirty mark, all by transaction {row[0]};")
    conn.execute("UPDATE orders SET state = 'sent' WHERE id = 1")
    said = evidence.newer_rows(conn, "public.orders", mark)
    assert said.startswith(
        f"7 rows of public.orders are newer than the dirty mark, 6 of them by transaction {row[0]}, the rest by others;"
    )


# A newcomer adds a case here: the table, the mark (None: the real one), and the sentence.
NOT_READ: dict[str, tuple[str, str | None, str]] = {
    "no such table": ("public.gone", None, "public.gone is not there."),
    "a view": ("public.shown", None, 'public.shown was not read: column "xmin" does not exist.'),
    "a mark that is none": (
        "public.orders",
        "x'; DROP",
        "public.orders was not read: invalid input syntax for type xid",
    ),
    "an odd name": (
        'public."odd ""name""; drop table orders; --"',
        None,
        'No row of public."odd ""name""; drop table orders; --" is newer',
    ),
    "no name": ("orders; DROP TABLE orders", None, "orders; DROP TABLE orders is not there."),
}


@pytest.mark.parametrize("case", NOT_READ)
def test_what_is_said_when_it_is_not_read(conn: psycopg.Connection[Any], mark: str, case: str) -> None:
    table, other, sentence = NOT_READ[case]
    assert evidence.newer_rows(conn, table, mark if other is None else other).startswith(sentence)
    assert conn.execute("SELECT count(*) FROM orders").fetchone() == (10,)


def test_a_table_that_takes_too_long(conn: psycopg.Connection[Any], mark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(conn.info.dsn, password=conn.info.password) as other:
        other.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        said = evidence.newer_rows(conn, "public.orders", mark)
    assert said == "public.orders was not read: looking through it takes longer than 2 s."


def test_a_table_that_we_may_not_read(conn: psycopg.Connection[Any], mark: str, request: pytest.FixtureRequest) -> None:
    role = f"reader_{abs(hash(request.node.name))}"
    conn.execute(f"CREATE ROLE {role}; SET ROLE {role}")
    said = evidence.newer_rows(conn, "public.orders", mark)
    assert said == "public.orders was not read: permission denied for table orders."
    conn.execute(f"RESET ROLE; DROP ROLE {role}")
