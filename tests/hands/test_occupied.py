"""What would be lost, on a real PostgreSQL: rows, values that somebody wrote, numbers that were given out."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from lab.postgres import Postgres
from tasks.migrations import occupied as looking
from tasks.migrations.occupied import occupied
from tests.hands.migrations_bed import Connection, fresh_database, make_role

BEFORE = """
    CREATE SCHEMA app;
    CREATE TABLE app.t (id int PRIMARY KEY);
    INSERT INTO app.t VALUES (1), (2);
    CREATE TABLE app.empty (id int PRIMARY KEY);
    CREATE TABLE app.parted (id int, k int) PARTITION BY LIST (k);
    CREATE TABLE app.parted_1 PARTITION OF app.parted FOR VALUES IN (1);
    INSERT INTO app.parted VALUES (1, 1);
"""


@dataclass(frozen=True)
class Case:
    """What the file did, each statement by itself; what the application did then; and whether that would be lost."""

    done: tuple[str, ...]
    since: str = ""
    lost: bool = False
    column: str = "c"
    table: str = "app.t"


ADD = "ALTER TABLE app.t ADD COLUMN c "
INSERT = "INSERT INTO app.t VALUES (3)"

# A newcomer adds a case here.
COLUMNS = {
    "nothing": Case((ADD + "int",)),
    "new rows without a value": Case((ADD + "int",), INSERT),
    "a value": Case((ADD + "int",), "UPDATE app.t SET c = 0 WHERE id = 1", lost=True),
    "the default": Case((ADD + "int DEFAULT 5",), INSERT),
    "another value than the default": Case((ADD + "int DEFAULT 5",), "UPDATE app.t SET c = 6 WHERE id = 1", lost=True),
    "NULL instead of the default, in an old row": Case(
        (ADD + "boolean DEFAULT true",), "UPDATE app.t SET c = NULL WHERE id = 1", lost=True
    ),
    "NULL instead of the default, in a new row": Case(
        (ADD + "boolean DEFAULT true",), "INSERT INTO app.t VALUES (3, NULL)", lost=True
    ),
    "old rows from before the default": Case((ADD + "int", "ALTER TABLE app.t ALTER c SET DEFAULT 5"), INSERT),
    "first another default": Case((ADD + "int DEFAULT 4", "ALTER TABLE app.t ALTER c SET DEFAULT 5"), INSERT),
    "a default that is gone": Case((ADD + "int DEFAULT 4", "ALTER TABLE app.t ALTER c DROP DEFAULT"), INSERT),
    # constants, as PostgreSQL writes them down; an UPDATE of a row takes what the ALTER gave along
    **{
        f"the constant {default}": Case((f"{ADD}{default}",), f"{INSERT}; UPDATE app.t SET id = 9 WHERE id = 1")
        for default in (
            "text DEFAULT '100%'", "text DEFAULT '%s {0} it''s \\'", "varchar(9) DEFAULT 'x'", "int DEFAULT -1",
            "numeric(10, 2) DEFAULT 1.5", "numeric(10, 2) DEFAULT 0", "bigint DEFAULT '7'", "real DEFAULT 1e20",
            "text[] DEFAULT '{}'", "text[] DEFAULT ARRAY[]::text[]", "jsonb DEFAULT '{\"a b\": [1]}'",
            "text DEFAULT NULL",
            "timestamptz DEFAULT '2020-01-01'", "timestamp(3) DEFAULT '2020-01-01'", "interval DEFAULT '1 day'",
            "date DEFAULT 'today'", "char(3) DEFAULT 'a'", "bytea DEFAULT '\\x00'", "boolean DEFAULT false",
        )
    },
    # what only looks like one
    **{
        f"no constant: {default}": Case((f"{ADD}{default}",), INSERT, lost=True)
        for default in (
            "date DEFAULT CURRENT_DATE", "date DEFAULT now()", "date DEFAULT 'now'::text::date",
            "text DEFAULT CURRENT_USER",
            "text DEFAULT SESSION_USER", "time DEFAULT LOCALTIME(0)", "timestamptz DEFAULT now()",
            "timestamptz DEFAULT CURRENT_TIMESTAMP(0)", "text DEFAULT CURRENT_SCHEMA", "int DEFAULT 1 + 1",
            "uuid DEFAULT gen_random_uuid()", "int DEFAULT random() * 1000",
        )
    },
    "the day of the ALTER, in rows that were there": Case((ADD + "date DEFAULT CURRENT_DATE",)),
    "the day of the ALTER, in a row that was written since": Case(
        (ADD + "date DEFAULT CURRENT_DATE",), "UPDATE app.t SET id = 9 WHERE id = 1", lost=True
    ),
    "the moment of the ALTER, in a row that was written since": Case(
        (ADD + "timestamptz DEFAULT now()",), "UPDATE app.t SET id = 9 WHERE id = 1"
    ),
    "values that a rewriting gave": Case((ADD + "uuid DEFAULT gen_random_uuid()",), lost=True),
    "computed": Case((ADD + "int GENERATED ALWAYS AS (id + 1) STORED",), INSERT),
    "an odd name": Case(('ALTER TABLE app.t ADD COLUMN "q%s" int DEFAULT 1',), INSERT, column='"q%s"'),
    "an odd name with a value": Case(
        ('ALTER TABLE app.t ADD COLUMN "q%s" int',), 'UPDATE app.t SET "q%s" = 1', lost=True, column='"q%s"'
    ),
    "partitions": Case(
        ("ALTER TABLE app.parted ADD COLUMN c int DEFAULT 1",), "INSERT INTO app.parted VALUES (2, 1)",
        table="app.parted",
    ),
    "partitions with a value": Case(
        ("ALTER TABLE app.parted ADD COLUMN c date DEFAULT CURRENT_DATE",), "INSERT INTO app.parted VALUES (2, 1)",
        table="app.parted", lost=True,
    ),
}  # fmt: skip

SEQUENCES = {
    "new": Case(("CREATE SEQUENCE app.s",)),
    "new, from far": Case(("CREATE SEQUENCE app.s START 1000",)),
    "set to its start": Case(("CREATE SEQUENCE app.s",), "SELECT setval('app.s', 1, false)"),
    "one number": Case(("CREATE SEQUENCE app.s",), "SELECT nextval('app.s')", lost=True),
    "set": Case(("CREATE SEQUENCE app.s",), "SELECT setval('app.s', 500, false)", lost=True),
    "of a column that counts": Case(
        ("ALTER TABLE app.empty ADD COLUMN s serial", "ALTER SEQUENCE app.empty_s_seq RENAME TO s"),
        "INSERT INTO app.empty VALUES (1); DELETE FROM app.empty",
        lost=True,
    ),
    "of a column that counts now": Case(
        ("ALTER TABLE app.empty ALTER id ADD GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME app.s)",),
        "INSERT INTO app.empty DEFAULT VALUES",
        lost=True,
    ),
}


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Connection]:
    with fresh_database(postgres, BEFORE) as conn:
        yield conn


def happen(database: Connection, case: Case) -> None:
    for statement in (*case.done, case.since):
        database.execute(statement.encode(), prepare=False)


@pytest.mark.parametrize("name", COLUMNS)
def test_values(database: Connection, name: str) -> None:
    case = COLUMNS[name]
    happen(database, case)
    wanted = (f"{case.table}.{case.column}",) if case.lost else ()
    assert occupied(database, (), [(case.table, case.column)]) == wanted


@pytest.mark.parametrize("name", SEQUENCES)
def test_numbers(database: Connection, name: str) -> None:
    happen(database, SEQUENCES[name])
    assert occupied(database, (), (), ["app.s"]) == (("app.s",) if SEQUENCES[name].lost else ())


def test_rows(database: Connection) -> None:
    database.execute('CREATE TABLE "a%b""c" ("x y%" int)')
    assert occupied(database, ["app.t", "app.empty", "app.parted", '"a%b""c"'], ()) == ("app.t", "app.parted")


def test_rows_that_a_policy_hides(database: Connection, postgres: Postgres) -> None:
    make_role(postgres, "tenant")
    database.execute("""
        CREATE TABLE app.secret (id int, tenant text); INSERT INTO app.secret VALUES (1, 'a');
        GRANT USAGE ON SCHEMA app TO tenant; ALTER TABLE app.secret OWNER TO tenant;
        ALTER TABLE app.secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY p ON app.secret USING (tenant = current_setting('app.tenant', true))""")
    with database.transaction():
        database.execute("SET ROLE tenant")
        assert database.execute("SELECT * FROM app.secret").fetchall() == []
        said = " (rows may be hidden from this role)"
        both = occupied(database, ["app.secret"], [("app.secret", "id")])
        assert both == (f"app.secret{said}", f"app.secret.id{said}")
        assert database.execute("SHOW row_security").fetchone() == ("on",)


def test_what_cannot_be_looked_at_counts(database: Connection) -> None:
    gone = 'relation "app.gone" does not exist'
    found = occupied(database, ["app.gone"], [("app.gone", "c")], ["app.gone"])
    assert found == tuple(f"{name} (it cannot be read: {gone})" for name in ("app.gone", "app.gone.c", "app.gone"))


def test_what_takes_too_long_counts_and_no_setting_is_left(
    database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "LIMIT", "100ms")
    database.execute("CREATE VIEW app.slow AS SELECT FROM pg_sleep(20)")
    settings = "SELECT name, setting FROM pg_settings WHERE name IN ('statement_timeout', 'transaction_read_only')"
    with database.transaction():
        database.execute("SET LOCAL statement_timeout = '77s'")
        before = database.execute(settings).fetchall()
        assert occupied(database, ["app.slow"], ()) == ("app.slow (looking through it takes longer than 100ms)",)
        assert (
            database.execute(settings).fetchall()
            == before
            == [("statement_timeout", "77000"), ("transaction_read_only", "off")]
        )


def test_nothing_is_written(database: Connection) -> None:
    database.execute("""
        CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'INSERT INTO app.empty VALUES (7) RETURNING id';
        CREATE VIEW app.writes AS SELECT app.f()""")
    assert occupied(database, ["app.writes"], ())[0].startswith("app.writes (it cannot be read: cannot execute INSERT")
    assert occupied(database, ["app.empty"], ()) == ()


def test_a_lost_session_is_told(database: Connection, postgres: Postgres) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [database.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        occupied(database, ["app.t"], ())
