"""Probes: the question whether running a statement again would touch a row, asked of a real PostgreSQL."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from lab.postgres import Postgres
from runbooks.migrations.files import Direction, MigrationFile
from runbooks.migrations.statements import Statement
from tasks.migrations.parse import parse
from tasks.migrations.parse_names import quoted

# Whether running it would touch a row, before it ran and after.
ONCE, NEVER, ALWAYS, UNKNOWN = [True, False], [False, False], [True, True], []


@dataclass(frozen=True)
class Probe:
    """One statement, and what its probe shall answer."""

    statement: str
    answers: list[bool]
    setup: str = ""


ROWS = """
    CREATE SCHEMA app;
    CREATE TABLE app.nodes (id int PRIMARY KEY, name text, state text, version int NOT NULL DEFAULT 0, at timestamptz,
                            doc json, ref int);
    INSERT INTO app.nodes (id, name, state, doc) VALUES (1, 'a', NULL, '{}'), (2, 'b', 'up', '{}'), (3, NULL,
        'up', NULL);
    CREATE TABLE app.seen (id int PRIMARY KEY, name text);
    INSERT INTO app.seen VALUES (1, 'a'), (9, 'z');
    CREATE SEQUENCE app.s;
    CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    SET search_path TO app;
"""
PROBES = {
    "update where": Probe("UPDATE nodes SET state = 'up' WHERE state IS NULL", ONCE),
    "update all": Probe("UPDATE nodes SET state = 'down'", ONCE),
    "update to what is": Probe("UPDATE nodes SET state = 'up' WHERE id = 2", NEVER),
    "update a number": Probe("UPDATE nodes SET version = 3, state = 'up' WHERE id < 3", ONCE),
    "update to null": Probe("UPDATE nodes SET name = NULL", ONCE),
    "update to itself": Probe("UPDATE nodes SET name = upper(name)", ONCE),
    "update json": Probe("UPDATE nodes SET doc = '[]'", ONCE),
    "update counting": Probe("UPDATE nodes SET version = version + 1", ALWAYS),
    "update with the clock": Probe("UPDATE nodes SET at = now() WHERE state IS NOT NULL", ALWAYS),
    "update with the clock once": Probe("UPDATE nodes SET at = now() WHERE at IS NULL", ONCE),
    "update default": Probe("UPDATE nodes SET version = DEFAULT WHERE id = 1", ALWAYS),
    "update several at once": Probe("UPDATE nodes SET (name, state) = ('x', 'y') WHERE id = 1", ALWAYS),
    "update from": Probe("UPDATE nodes n SET name = s.name FROM seen s WHERE s.id = n.id", NEVER),
    "update from, other": Probe(
        "UPDATE nodes AS n SET name = s.name FROM seen s WHERE s.id = n.id AND n.state IS NULL", ONCE,
        "UPDATE app.nodes SET name = 'old'"),
    "update from a subquery": Probe(
        "UPDATE nodes SET name = (SELECT s.name FROM seen s WHERE s.id = nodes.id) WHERE id = 1", ONCE,
        "UPDATE app.nodes SET name = 'old'"),
    "update with": Probe("WITH x AS (SELECT 2 AS id) UPDATE nodes SET name = 'q' FROM x WHERE x.id = nodes.id", ONCE),
    "update with a trigger": Probe("UPDATE nodes SET state = 'up' WHERE id = 2", ALWAYS,
                                   "CREATE TRIGGER x BEFORE UPDATE ON nodes FOR EACH ROW EXECUTE FUNCTION touch()"),
    "update with a trigger for other things": Probe(
        "UPDATE nodes SET state = 'up' WHERE id = 2", NEVER,
        "CREATE TRIGGER x BEFORE INSERT ON nodes FOR EACH ROW EXECUTE FUNCTION touch()"),
    "update with a foreign key": Probe("UPDATE nodes SET ref = 1", ONCE,
                                       "ALTER TABLE nodes ADD FOREIGN KEY (ref) REFERENCES nodes"),
    "update through a view": Probe("UPDATE v SET state = 'up' WHERE id = 2", ALWAYS,
                                   "CREATE VIEW v AS SELECT * FROM nodes"),
    "delete": Probe("DELETE FROM nodes WHERE state = 'up'", ONCE),
    "delete all": Probe("DELETE FROM app.nodes", ONCE),
    "delete using": Probe("DELETE FROM nodes n USING seen s WHERE s.id = n.id AND s.name <> ''", ONCE),
    "delete where exists": Probe("DELETE FROM nodes n WHERE NOT EXISTS (SELECT FROM seen s WHERE s.id = n.id)", ONCE),
    "delete what is old": Probe("DELETE FROM nodes WHERE at < now() - interval '1 day'", UNKNOWN),
    "delete by a date": Probe("DELETE FROM nodes WHERE at < current_date", UNKNOWN),
    "delete by a constant that moves": Probe("DELETE FROM nodes WHERE at < 'today'", UNKNOWN),
    "delete by a setting": Probe("DELETE FROM nodes WHERE name = current_setting('app.tenant', true)", UNKNOWN),
    "delete by a user": Probe("DELETE FROM nodes WHERE name = current_user", UNKNOWN),
    "delete by a function of unknown name": Probe("DELETE FROM nodes WHERE app.due(at)", UNKNOWN),
    "delete some": Probe("DELETE FROM nodes WHERE id IN (SELECT id FROM nodes LIMIT 1) AND state = 'x'", UNKNOWN),
    "delete a sample": Probe("DELETE FROM nodes WHERE id IN (SELECT id FROM nodes TABLESAMPLE system (1))", UNKNOWN),
    "delete by who is there": Probe(
        "DELETE FROM nodes WHERE name IN (SELECT application_name FROM pg_stat_activity)", UNKNOWN),
    "update with a user, in WITH": Probe(
        "WITH x AS (SELECT current_user AS who) UPDATE nodes SET state = 'q' FROM x WHERE x.who = nodes.name", UNKNOWN),
    "insert select by a setting": Probe(
        "INSERT INTO seen SELECT 7, 'x' WHERE current_setting('app.seed', true) = 'on'", UNKNOWN),
    "delete duplicates": Probe(
        "DELETE FROM nodes USING (SELECT max(id) AS most, state FROM nodes GROUP BY state) x"
        " WHERE x.state = nodes.state AND nodes.id < x.most", ONCE),
    "insert": Probe("INSERT INTO seen VALUES (5, 'x')", ALWAYS),
    "insert select": Probe("INSERT INTO seen SELECT id, name FROM nodes WHERE id > 1", ALWAYS),
    "insert select what is missing": Probe(
        "INSERT INTO seen SELECT id, name FROM nodes n WHERE NOT EXISTS (SELECT FROM seen s WHERE s.id = n.id)", ONCE),
    "insert select from a sequence": Probe(
        "INSERT INTO seen SELECT nextval('s') + 100, name FROM nodes WHERE name NOT IN (SELECT name FROM seen)", ONCE),
    "insert select grouped": Probe(
        "INSERT INTO seen SELECT max(id) + 50, state FROM nodes WHERE state IS NOT NULL GROUP BY state HAVING"
        " state NOT IN (SELECT name FROM seen)", ONCE),
    "insert with": Probe(
        "WITH x AS (SELECT 7 AS id) INSERT INTO seen SELECT id, '' FROM x WHERE id NOT IN (SELECT id FROM seen)", ONCE),
    "insert on conflict": Probe(
        "INSERT INTO seen (name, id) VALUES ('a', 1), ('n', '12') ON CONFLICT (id) DO NOTHING", ONCE),
    "insert on conflict, all there": Probe("INSERT INTO seen (id) VALUES (1), (9) ON CONFLICT (id) DO NOTHING", NEVER),
    "insert on conflict, there in a table that inherits": Probe(
        "INSERT INTO seen (id) VALUES (5) ON CONFLICT (id) DO NOTHING", ONCE,
        "CREATE TABLE seen_too () INHERITS (app.seen); INSERT INTO seen_too VALUES (5)"),
    "insert on conflict of chance": Probe(
        "INSERT INTO seen (id) VALUES ((random() * 10)::int) ON CONFLICT (id) DO NOTHING", UNKNOWN),
    "insert distinct of chance": Probe("INSERT INTO seen SELECT DISTINCT nextval('s') + 20, 'a' FROM nodes", UNKNOWN),
    "truncate": Probe("TRUNCATE nodes", ONCE),
    "truncate two": Probe("TRUNCATE nodes, seen", ONCE, "DELETE FROM seen"),
}  # fmt: skip


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.create("probes"), autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("case", PROBES)
def test_a_probe_says_what_running_it_again_would_do(case: str, database: psycopg.Connection) -> None:
    wanted = PROBES[case]
    (statement,) = parse(MigrationFile(7, Direction.UP, "007_x.up.sql", wanted.statement)).statements
    if wanted.answers == UNKNOWN:
        assert statement.probe == ""
        return
    with database.transaction(force_rollback=True):
        database.execute(f"{ROWS}; {wanted.setup}")
        answers = [_answer(database, statement)]
        database.execute(wanted.statement)
        answers.append(_answer(database, statement))
    assert answers == wanted.answers


def _answer(database: psycopg.Connection, statement: Statement) -> bool:
    with database.transaction(force_rollback=True):
        database.execute("SET LOCAL transaction_read_only = on")
        answer = database.execute(statement.probe).fetchall()
    assert answer in ([], [(1,)])
    return bool(answer)


NAMES_TO_QUOTE = ["nodes", "Nodes", "order", "state", "type", "user", 'a"b', "é", "a$b", "1a", "_x", "between", "a b"]


@pytest.mark.parametrize("name", NAMES_TO_QUOTE)
def test_names_are_quoted_as_postgresql_does(name: str, database: psycopg.Connection) -> None:
    assert database.execute("SELECT quote_ident(%s)", [name]).fetchone() == (quoted(name),)
