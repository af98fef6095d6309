"""Migration files replayed as golang-migrate runs them: where they can have stopped, and what the catalog is there."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from lab.postgres import Postgres
from runbooks.errors import Refused
from runbooks.migrations.files import migrations_of
from runbooks.migrations.readings import Reading
from tasks.migrations.catalog import snapshot
from tasks.migrations.likeness import likeness_of
from tasks.migrations.replay import apply_below, read_script, steps_of
from tasks.migrations.scratch import ScratchDatabase, server_of
from tasks.migrations.scratch_run import VersionTable
from tests.hands.migrations_bed import OTHERS, Connection, fresh_database, migrations, params, said, script, servers

START = """
CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);
CREATE TABLE t (a int);
CREATE TYPE mood AS ENUM ('good');
"""
ROW = (2, True)


@pytest.fixture(scope="module", params=range(1 + len(OTHERS)), ids=["wheel", *(path.parent.name for path in OTHERS)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with servers(tmp_path_factory.mktemp("servers"))[request.param] as up:
        yield up


@contextmanager
def scratch(server: Postgres, start: str = START) -> Iterator[ScratchDatabase]:
    with psycopg.connect(server.url(), autocommit=True) as live:
        like = likeness_of(live)
    with (
        server_of(params(server), run="replay", like=like) as place,
        place.database(like, build=lambda conn: conn.execute(start.encode())) as db,
    ):
        yield db


def read(db: ScratchDatabase, text: str, *, multi: bool = False) -> Reading:
    return read_script(db, script(text), multi, row=ROW, copy=db.copied_session)


def walked(reading: Reading) -> list[tuple[int, set[str]]]:
    """Where it can have stopped, and what differs there from before: objects, not parts of them."""
    parts = ("column", "owner", "sequence", "constraint")
    return [
        (one.after, {key for key in said(reading.before, one.catalog) if not key.startswith(parts)})
        for one in reading.boundaries
    ]


T1, T2, T3 = "table public.t1", "table public.t2", "table public.t3"

# file, and the states it passes through: how many statements, and the objects that are there by then
WALKS = {
    "one transaction": (
        "CREATE TABLE t1 (a int); CREATE TABLE t2 (a int); INSERT INTO t1 VALUES (1)",
        [(0, set()), (3, {T1, T2})],
    ),
    "begin and commit": (
        "BEGIN; CREATE TABLE t1 (a int); COMMIT; BEGIN; CREATE TABLE t2 (a int); COMMIT;",
        [(0, set()), (3, {T1}), (6, {T1, T2})],
    ),
    "what stands before BEGIN joins it": (
        "CREATE TABLE t1 (a int); BEGIN; CREATE TABLE t2 (a int); COMMIT; CREATE TABLE t3 (a int);",
        [(0, set()), (4, {T1, T2}), (5, {T1, T2, T3})],
    ),
    "commit without begin": (
        "CREATE TABLE t1 (a int); COMMIT; CREATE TABLE t2 (a int)",
        [(0, set()), (2, {T1}), (3, {T1, T2})],
    ),
    "rollback": (
        "BEGIN; CREATE TABLE t1 (a int); ROLLBACK; CREATE TABLE t2 (a int)",
        [(0, set()), (3, set()), (4, {T2})],
    ),
    "savepoints": (
        ("BEGIN; CREATE TABLE t1 (a int); SAVEPOINT s; CREATE TABLE t2 (a int); ROLLBACK TO s; CREATE TABLE t3 (a int);"
        "COMMIT"),
        [(0, set()), (7, {T1, T3})],
    ),
    "and chain": (
        "BEGIN; CREATE TABLE t1 (a int); COMMIT AND CHAIN; CREATE TABLE t2 (a int); COMMIT",
        [(0, set()), (5, {T1, T2})],
    ),
    "rows between": (
        "BEGIN; CREATE TABLE t1 (a int); COMMIT; INSERT INTO t1 VALUES (1); COMMIT; UPDATE t1 SET a = 2",
        [(0, set()), (3, {T1}), (5, {T1}), (6, {T1})],
    ),
    "concurrently, alone": ("CREATE INDEX CONCURRENTLY i ON t (a);", [(0, set()), (1, {"index public.t.public.i"})]),
    "a comment that is not ASCII": (
        "-- größer als 63 Bytes? äöü ✓\nCREATE TABLE t1 (a int); /* ✓ */ COMMIT; -- ü\nCREATE TABLE t2 (a int)",
        [(0, set()), (2, {T1}), (3, {T1, T2})],
    ),
    "a temporary table until commit": (
        "BEGIN; CREATE TEMP TABLE old ON COMMIT DROP AS SELECT 1 AS a; CREATE TABLE t1 AS SELECT a FROM old; COMMIT;",
        [(0, set()), (4, {T1})],
    ),
    "a body with semicolons": (
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END; $$; CREATE TABLE t1 (a int);",
        [(0, set()), (2, {T1, "function public.f()"})],
    ),
    "a block": (
        "DO $$ BEGIN FOR i IN 1..2 LOOP EXECUTE format('CREATE TABLE t%s (a int)', i); END LOOP; END $$;",
        [(0, set()), (1, {T1, T2})],
    ),
    "a view of an own setting": ("SET search_path = public; CREATE TABLE t1 (a int);", [(0, set()), (2, {T1})]),
    "a new value": ("ALTER TYPE mood ADD VALUE 'bad'", [(0, set()), (1, {"enum public.mood"})]),
    "an enum built anew": (
        "ALTER TYPE mood RENAME TO old; CREATE TYPE mood AS ENUM ('bad'); DROP TYPE old;",
        [(0, set()), (3, {"enum public.mood"})],
    ),
    "the version table itself": (
        "ALTER TABLE schema_migrations ADD COLUMN at timestamptz; UPDATE schema_migrations SET at = now();",
        [(0, set()), (2, set())],
    ),
    "nothing": ("", [(0, set()), (0, set())]),
    "only a comment": ("-- nothing to do", [(0, set()), (0, set())]),
    "there already": ("CREATE TABLE IF NOT EXISTS t (a int)", [(0, set()), (1, set())]),
    "names that are alike for 63 bytes": (
        f"CREATE TABLE {'x' * 62}1 (a int); COMMIT; CREATE TABLE {'x' * 62}2 (a int)",
        [(0, set()), (2, {f"table public.{'x' * 62}1"}), (3, {f"table public.{'x' * 62}{n}" for n in (1, 2)})],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WALKS)
def test_a_file_is_watched_in_its_own_transactions(case: str, server: Postgres) -> None:
    text, walk = WALKS[case]
    with scratch(server) as db:
        reading = read(db, text)
        assert walked(reading) == walk
        assert (reading.failure, reading.disagrees, reading.open_at_end, reading.completed) == (None, "", False, True)
        assert db.conn.info.transaction_status == TransactionStatus.IDLE
        end = snapshot(db.conn)
        assert end == reading.boundaries[-1].catalog
        with db.copy() as other:  # the law: nothing of how it was watched is left
            assert snapshot(other.conn) == end


# file, the states before it fails, the number of the statement that fails, its SQLSTATE
FAILURES = {
    "one transaction": ("CREATE TABLE t1 (a int); CREATE TABLE t (a int); SELECT 1", [0], 2, "42P07"),
    "the second transaction": (
        "BEGIN; CREATE TABLE t1 (a int); COMMIT; BEGIN; CREATE TABLE t2 (a int); DROP TABLE nowhere; COMMIT",
        [0, 3],
        6,
        "42P01",
    ),
    "at commit": (
        ("BEGIN; CREATE TABLE t1 (a int PRIMARY KEY, b int REFERENCES t1 DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO t1 VALUES (1, 2); COMMIT"),
        [0],
        4,
        "23503",
    ),
    "concurrently, not alone": ("ALTER TABLE t ADD b int; CREATE INDEX CONCURRENTLY i ON t (a)", [0], 2, "25001"),
    "concurrently, after a commit": (
        "BEGIN; ALTER TABLE t ADD b int; COMMIT; CREATE INDEX CONCURRENTLY i ON t (a)",
        [0, 3],
        4,
        "25001",
    ),
    "a new value used at once": ("ALTER TYPE mood ADD VALUE 'bad'; SELECT 'bad'::mood", [0], 2, "55P04"),
    "syntax": ("CREATE TABLE t1 (a int); ALTER TABEL t ADD b int", [0], 0, "42601"),
    "in a block": ("CREATE TABLE t1 (a int); DO $$ BEGIN RAISE 'no'; END $$", [0], 2, "P0001"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_a_file_that_fails_by_itself(case: str, server: Postgres) -> None:
    text, stops, statement, sqlstate = FAILURES[case]
    with scratch(server) as db:
        reading = read(db, text)
        assert reading.failure is not None
        assert (reading.failure.statement, reading.failure.sqlstate) == (statement, sqlstate)
        assert reading.failure.message and not reading.disagrees and not reading.completed
        assert [one.after for one in reading.boundaries] == stops
        assert snapshot(db.conn) == reading.boundaries[-1].catalog, "rolled back"


PIECES = {
    "each by itself": (
        "CREATE TABLE t1 (a int); INSERT INTO t1 VALUES (1); CREATE TABLE t2 (a int)",
        [(0, set()), (1, {T1}), (2, {T1}), (3, {T1, T2})],
        None,
    ),
    "transactions in it": (
        "BEGIN; CREATE TABLE t1 (a int); COMMIT; CREATE TABLE t2 (a int);",
        [(0, set()), (3, {T1}), (4, {T1, T2})],
        None,
    ),
    "concurrently among others": (
        "CREATE TABLE t1 (a int); CREATE INDEX CONCURRENTLY i ON t (a);",
        [(0, set()), (1, {T1}), (2, {T1, "index public.t.public.i"})],
        None,
    ),
    "cut in a body": (
        "CREATE TABLE t1 (a int); CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;",
        [(0, set()), (1, {T1})],
        (2, "42601"),
    ),
    "fails in the middle": (
        "-- ü;\nCREATE TABLE t1 (a int); DROP TABLE nowhere; CREATE TABLE t2 (a int)",
        [(0, set()), (0, set()), (1, {T1})],
        (2, "42P01"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PIECES)
def test_multi_statement_mode_stops_after_each_piece(case: str, server: Postgres) -> None:
    text, walk, failed = PIECES[case]
    with scratch(server) as db:
        reading = read(db, text, multi=True)
        assert walked(reading) == walk
        assert (reading.failure and (reading.failure.statement, reading.failure.sqlstate)) == failed
        assert not reading.disagrees and not reading.open_at_end


def test_a_transaction_that_stays_open_is_told(server: Postgres) -> None:
    with scratch(server) as db:
        reading = read(db, "CREATE TABLE t1 (a int); BEGIN; CREATE TABLE t2 (a int)")
        assert reading.open_at_end and not reading.completed and [one.after for one in reading.boundaries] == [0]
        assert snapshot(db.conn) == reading.before


def test_what_differs_as_one_query_is_told(server: Postgres) -> None:
    """The list of statements is older than the text, as if the file had been taken apart wrongly."""
    right = script("BEGIN; CREATE TABLE t1 (a int); COMMIT; CREATE TABLE t2 (a int)")
    wrong = type(right)(right.file, right.statements[:-1], right.pieces)
    with scratch(server) as db:
        reading = read_script(db, wrong, multi=False, row=ROW, copy=db.copied_session)
        assert "t2" in reading.disagrees


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        ("-- all in one\nBEGIN; CREATE TABLE t1 (a int); COMMIT; -- done\n", False),
        ("BEGIN; CREATE TABLE t1 (a int); COMMIT /* and this is not looked into */;", True),
        ("CREATE TABLE t1 (a int); COMMIT; CREATE TABLE t2 (a int)", True),
        ("CREATE TABLE t1 (a int); CREATE TABLE t2 (a int)", False),
    ],
)
def test_what_is_one_query_already_needs_no_copy(text: str, copied: bool, server: Postgres) -> None:
    copies = []

    @contextmanager
    def copy() -> Iterator[Connection]:
        copies.append(1)
        with db.copied_session() as conn:
            yield conn

    with scratch(server) as db:
        reading = read_script(db, script(text), multi=False, row=ROW, copy=copy)
        assert reading.completed and not reading.disagrees
        assert T1 in said(reading.before, reading.boundaries[-1].catalog)
        assert bool(copies) is copied


def test_a_catalog_that_is_known_is_not_looked_up(server: Postgres) -> None:
    with scratch(server) as db:
        known = snapshot(db.conn)
        assert read_script(db, script("CREATE TABLE t1 (a int)"), multi=False, row=ROW, before=known).before is known


def test_a_block_that_commits_by_itself_is_told(server: Postgres) -> None:
    with scratch(server) as db:
        reading = read(db, "DO $$ BEGIN CREATE TABLE t1 (a int); COMMIT; DROP TABLE nowhere; END $$")
        assert reading.failure is not None and "t1" in reading.disagrees


def test_the_catalog_of_rows_is_the_same_object(server: Postgres) -> None:
    with scratch(server) as db:
        before, after_rows, after_nothing = read(db, "INSERT INTO t VALUES (1); COMMIT; SELECT 1").boundaries
        assert before.catalog is after_rows.catalog is after_nothing.catalog


def test_the_version_row_is_there_meanwhile(server: Postgres) -> None:
    row = "array_agg((version, dirty)) = ARRAY[(2::bigint, true)]"
    check = f"DO $$ BEGIN ASSERT (SELECT {row} FROM schema_migrations); END $$"
    with scratch(server) as db:
        assert read(db, check).completed
        nothing = check.replace(row, "count(*) = 0")
        assert read_script(db, script(nothing), multi=False, row=(-1, False)).completed


def test_waiting_costs_no_time(server: Postgres) -> None:
    with scratch(server) as db:
        begin = time.monotonic()
        text = "SELECT pg_sleep(20); CREATE TABLE t1 (a int); COMMIT; select pg_catalog.pg_sleep( 20.5 )"
        reading = read(db, text)
        assert walked(reading) == [(0, set()), (3, {T1}), (4, {T1})]
        assert steps_of(db.conn, script("SELECT pg_sleep(20); CREATE TABLE t2 (a int)"))[-1].after == 2
        assert read(db, "SELECT pg_sleep(20); SELECT 1", multi=True).completed
        apply_below(db.conn, migrations("SELECT pg_sleep(20); CREATE TABLE t3 (a int)"), 2, None)
        assert time.monotonic() - begin < 10
        # the waiting statement still counts as one, so what must be alone is not
        reading = read(db, "SELECT pg_sleep(20); CREATE INDEX CONCURRENTLY i ON t (a)")
        assert reading.failure is not None and reading.failure.sqlstate == "25001"


def test_a_statement_that_waits_on_purpose_decides_nothing(server: Postgres) -> None:
    with scratch(server) as db, pytest.raises(Refused, match="cannot-replay"):
        read(db, "SET statement_timeout = 50; DO $$ BEGIN PERFORM pg_sleep(20); END $$")


@pytest.mark.parametrize("text", ["COPY t FROM STDIN;", "COPY t TO STDOUT"])
def test_copy_from_its_client_is_refused(text: str, server: Postgres) -> None:
    with scratch(server) as db, pytest.raises(Refused, match="cannot-replay"):
        read(db, text)


def test_steps_show_the_inside_of_a_transaction(server: Postgres) -> None:
    text = "CREATE TABLE t1 (a int); INSERT INTO t1 VALUES (1); COMMIT; BEGIN; CREATE TABLE t2 (a int); ROLLBACK;"
    text += "CREATE TABLE t3 (a int)"
    with scratch(server) as db:
        steps = steps_of(db.conn, script(text))
        seen = [
            (one.after, {key for key in said(steps[0].catalog, one.catalog) if key.startswith("table")})
            for one in steps
        ]
        assert seen == [
            (0, set()), (1, {T1}), (2, {T1}), (3, {T1}), (4, {T1}), (5, {T1, T2}), (6, {T1}), (7, {T1, T3})
        ]  # fmt: skip
        assert snapshot(db.conn) == steps[-1].catalog
        steps = steps_of(db.conn, script("CREATE TABLE t4 (a int); DROP TABLE nowhere; CREATE TABLE t5 (a int)"))
        assert [one.after for one in steps] == [0, 1]
        assert snapshot(db.conn) == steps[0].catalog, "rolled back"
        assert [one.after for one in steps_of(db.conn, script("CREATE INDEX CONCURRENTLY i ON t (a)"))] == [0, 1]


# -- what came before ----------------------------------------------------------------------------------------------


def test_every_version_below_is_applied(server: Postgres) -> None:
    files = migrations(
        "CREATE TABLE t1 (a int); SET search_path = pg_catalog; CREATE TEMP TABLE left_over (a int)",
        "CREATE TABLE t2 (a int); -- into public, since each file begins with a session of its own",
        "CREATE TEMP TABLE left_over (a int); INSERT INTO t1 VALUES (1)",
        "CREATE TABLE t3 (a int)",
    )
    with scratch(server, "") as db:
        apply_below(db.conn, files, 4, multi=False, table=VersionTable("own", 'migra"tions'))
        keys = {str(key) for key in snapshot(db.conn)}
        assert {T1, T2} <= keys and T3 not in keys
        assert db.conn.execute('SELECT version, dirty FROM own."migra""tions"').fetchall() == [(3, False)]
        query = "SELECT attname::text, format_type(atttypid, null), attnotnull FROM pg_attribute WHERE attnum > 0"
        columns = db.conn.execute(f'{query} AND attrelid = \'own."migra""tions"\'::regclass'.encode()).fetchall()
        assert columns == [("version", "bigint", True), ("dirty", "boolean", True)]


def test_nothing_below_is_an_empty_table(server: Postgres) -> None:
    with scratch(server, "") as db:
        apply_below(db.conn, migrations("CREATE TABLE t1 (a int)"), 1, None)
        assert db.conn.execute("SELECT * FROM schema_migrations").fetchall() == []
        assert T1 not in {str(key) for key in snapshot(db.conn)}


CONCURRENT = "CREATE TABLE t1 (a int); CREATE INDEX CONCURRENTLY i ON t1 (a);"


@pytest.mark.parametrize(("multi", "works"), [(None, True), (True, True), (False, False)])
def test_what_fails_as_one_query_is_tried_in_pieces(multi: bool | None, works: bool, server: Postgres) -> None:
    with scratch(server, "") as db:
        if works:
            apply_below(db.conn, migrations(CONCURRENT), 2, multi)
            assert "index public.i" in {str(key) for key in snapshot(db.conn)}
        else:
            with pytest.raises(Refused, match=r"001_it\.up\.sql.*25001"):
                apply_below(db.conn, migrations(CONCURRENT), 2, multi)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("001_it.up.go", "package main", "no SQL"),
        ("001_it.up.sql", "DROP TABLE nowhere", "001_it.up.sql.*nowhere.*42P01"),
        ("001_it.up.sql", "BEGIN; CREATE TABLE t1 (a int)", "transaction open"),
        ("001_it.up.sql", "ALTER TABEL x", "42601"),
        ("001_it.up.sql", "CREATE ROLE somebody", "CREATE ROLE"),
        ("001_it.up.sql", "DROP TABLE schema_migrations", "version table|schema_migrations"),
    ],
)
def test_what_cannot_be_replayed_is_refused_by_name(name: str, text: str, told: str, server: Postgres) -> None:
    with scratch(server, "") as db:
        with pytest.raises(Refused, match=told) as refused:
            apply_below(db.conn, migrations_of([(name, text.encode())]), 2, None)
        assert refused.value.reference == "cannot-replay"


def test_it_reaches_out_only_on_a_server_of_its_own(server: Postgres) -> None:
    text = "CREATE ROLE made_by_a_file"
    with scratch(server) as db:
        with pytest.raises(Refused, match="own-server"):
            read(db, text)
        assert db.conn.execute("SELECT 1 FROM pg_roles WHERE rolname = 'made_by_a_file'").fetchone() is None
        assert read_script(db, script(text), multi=False, row=ROW, alone=True).completed
        db.conn.execute("DROP ROLE made_by_a_file")


@pytest.mark.parametrize("alone", [False, True])
def test_nothing_leaves_the_server(alone: bool, server: Postgres, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with scratch(server) as db:
        for text in (f"COPY t TO '{tmp_path}/out'", f"DO LANGUAGE plpgsql 'BEGIN COPY t TO ''{tmp_path}/out''; END'"):
            with pytest.raises(Refused) as refused:
                read_script(db, script(text), multi=False, row=ROW, alone=alone)
            assert refused.value.reference == "cannot-replay"
            assert "own-server" not in (refused.value.hint or "")
    assert not [*tmp_path.iterdir()]


def test_forty_files_take_no_longer_than_their_statements(server: Postgres) -> None:
    texts = [f"CREATE TABLE t{n} (id bigserial PRIMARY KEY, a text); CREATE INDEX ON t{n} (a)" for n in range(40)]
    with fresh_database(server) as bare, scratch(server, "") as db:
        begin = time.perf_counter()
        for text in texts:
            bare.execute(text.encode())
        bare_s, begin = time.perf_counter() - begin, time.perf_counter()
        apply_below(db.conn, migrations(*texts), 100, None)
        ours_s = time.perf_counter() - begin
        print(f"bare {bare_s:.3f} s, replayed {ours_s:.3f} s")
        assert ours_s < 2 * bare_s + 0.1
