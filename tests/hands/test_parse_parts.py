"""What is found in one statement: names that it mentions, that it writes no row, and the way back from a renaming."""

import pytest

from runbooks.migrations.files import Direction, MigrationFile
from runbooks.migrations.statements import Statement
from tasks.migrations.parse import parse
from tasks.migrations.parse_properties import unseen


def only(text: str) -> Statement:
    (statement,) = parse(MigrationFile(7, Direction.UP, "007_x.up.sql", text)).statements
    return statement


# A statement, and names that it mentions; those after None it does not.
NAMES = {
    "ALTER TABLE App.Nodes ADD COLUMN State text": ["app", "nodes", "state"],
    'CREATE INDEX "My Index" ON t (lower(a))': ["My Index", "t", "a", None, "my index"],
    "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES b.u (id)": ["t", "c", "a", "b", "u", "id"],
    "DROP INDEX a.i, j": ["a", "i", "j"],
    "DROP FUNCTION app.f(int, app.mood)": ["app", "f", "mood"],
    "DROP TRIGGER g ON t": ["g", "t"],
    "CREATE TYPE mood AS ENUM ('sad')": ["mood", None, "sad"],
    "COMMENT ON COLUMN t.a IS 'word'": ["t", "a", None, "word"],
    "INSERT INTO t (a) VALUES ('word')": ["t", "a", None, "word"],
    "SELECT setval('app.t_id_seq', 3)": ["app", "t_id_seq"],
    "ALTER TABLE t ALTER a SET DEFAULT nextval('My.S'::regclass)": ["my", "s"],
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.state := 1; RETURN NEW; END'": ["state", "f"],
    "DO $$ BEGIN EXECUTE 'ALTER TABLE Hidden ADD x int'; END $$": ["hidden", "x"],
    "DO $$ BEGIN EXECUTE format($q$CREATE INDEX %I ON deep (b)$q$, 'i'); END $$": ["deep", "b"],
    "DO $$ it's no SQL $$": [None, "it"],
    f"DROP TABLE {'n' * 70}": ["n" * 63, None, "n" * 64],
    f'DO $$ BEGIN DROP TABLE "{"é" * 40}"; END $$': ["é" * 31],
}


@pytest.mark.parametrize("text", NAMES)
def test_what_a_statement_mentions(text: str) -> None:
    there, _, absent = ",".join(name or "|" for name in NAMES[text]).partition("|")
    names = only(text).names
    assert set(filter(None, there.split(","))) <= names
    assert not set(filter(None, absent.split(","))) & names


# Blocks, and whether they certainly write no row.
BLOCKS = {
    "CREATE TYPE m AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL;": True,
    "IF NOT EXISTS (SELECT FROM pg_type WHERE typname = 'm') THEN CREATE TABLE t (a int CHECK (a > 0)); END IF;": True,
    "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES u (id) ON DELETE CASCADE ON UPDATE SET NULL;": True,
    "CREATE TRIGGER g BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();": True,
    "GRANT SELECT, INSERT, UPDATE ON t TO app;": True,
    "RAISE NOTICE 'delete from t'; -- insert into t": True,
    "EXECUTE 'CREATE INDEX i ON t (lower(a))';": True,
    "EXECUTE format('ALTER TABLE %I ADD COLUMN x int', name);": True,
    "FOR r IN SELECT relname FROM pg_class LOOP EXECUTE format('DROP TABLE %I', r.relname); END LOOP;": True,
    "DELETE FROM t;": False,
    "WITH d AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM d;": False,
    "INSERT INTO t VALUES (1);": False,
    "TRUNCATE t;": False,
    "PERFORM backfill();": False,
    "IF app.backfill() THEN NULL; END IF;": False,
    "x := backfill (1);": False,
    "EXECUTE 'DELETE FROM t';": False,
    "EXECUTE 'DELETE' || ' FROM t';": False,
    "EXECUTE command;": False,
    "EXECUTE format('%s', command);": False,
    "EXECUTE format('DELETE FROM %I', name);": False,
    "EXECUTE E'DELETE FROM t';": False,
    "x := load(1);": False,
    "x := app.lower('a');": False,
    "x := pg_catalog.lower('a');": True,
    "SELECT count(*) INTO x FROM t;": True,
    "CREATE TABLE t (a int, PRIMARY KEY (a)) PARTITION BY RANGE (a);": True,
    "EXECUTE 'CREATE ' || 'INDEX i ON t (a)';": True,
    "EXECUTE 'DROP TABLE ' || quote_ident(name);": True,
    "EXECUTE 'DROP TABLE ' || name;": False,
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY app.t (a);": True,
    "CREATE INDEX ON t USING gin (a);": True,
    # what looks like a list, and is a call
    "SELECT count(*) INTO k FROM pg_class a JOIN pg_class b ON backfill(1);": False,
    "SELECT count(*) INTO k FROM pg_index a JOIN index b ON backfill(1);": False,
    "EXECUTE 'SELECT $1' USING backfill(1);": False,
    "ALTER TABLE t ALTER COLUMN a TYPE int USING backfill(a);": False,
    "CREATE TABLE u AS backfill(1);": False,
    "IF range(1) THEN NULL; END IF;": False,
    "x := app.left(1);": False,
    # what reaches beyond the database
    "CREATE ROLE app; EXCEPTION WHEN duplicate_object THEN NULL;": False,
    "EXECUTE 'CREATE ' || 'ROLE app';": False,
}


@pytest.mark.parametrize("body", BLOCKS)
def test_blocks_that_write_no_row(body: str) -> None:
    assert (only(f"DO $block$ BEGIN {body} END $block$").probe != "") is BLOCKS[body]


# Blocks that write no row, and whether rows decide what they do, or are lost.
STEADY = {
    "CREATE TYPE m AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL;": True,
    "IF NOT EXISTS (SELECT FROM pg_type WHERE typname = 'm') THEN CREATE TABLE t (a int); END IF;": True,
    "RAISE NOTICE 'done';": True,
    "DROP TRIGGER IF EXISTS g ON t; CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();": True,
    "IF EXISTS (SELECT FROM t) THEN RAISE 'not empty'; END IF;": False,
    "RAISE EXCEPTION USING message = 'no';": False,
    "ASSERT 1 < 2;": False,
    "IF EXISTS (SELECT FROM t) THEN CREATE TABLE u (); END IF;": False,
    "DROP TABLE IF EXISTS t; CREATE TABLE t (a int);": False,
    "ALTER TABLE t DROP IF EXISTS a; ALTER TABLE t ADD a int;": False,
    "EXECUTE 'DROP TABLE t';": False,
    # the server is asked, or the moment
    "IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN GRANT SELECT ON t TO app; END IF;": False,
    "IF EXISTS (SELECT FROM pg_class c, pg_authid a) THEN CREATE TABLE u (); END IF;": False,
    "IF EXISTS (SELECT FROM pg_class c, pg_namespace n WHERE c.relnamespace = n.oid) THEN NULL; END IF;": True,
    "IF EXISTS (SELECT FROM pg_catalog.pg_class) THEN NULL; END IF;": True,
    "IF EXISTS (SELECT FROM information_schema.columns WHERE table_name = 't') THEN NULL; END IF;": True,
    "IF EXISTS (SELECT FROM information_schema.enabled_roles) THEN NULL; END IF;": False,
    "IF EXISTS (SELECT FROM app.pg_class) THEN NULL; END IF;": False,
    "IF EXISTS (SELECT FROM pg_extension WHERE extname = 'citext') THEN CREATE TABLE u (); END IF;": False,
    "IF EXISTS (SELECT FROM pg_settings) THEN CREATE TABLE u (); END IF;": False,
    "IF EXISTS (SELECT FROM pg_stat_user_tables) THEN CREATE TABLE u (); END IF;": False,
    "IF EXISTS (SELECT FROM pg_class WHERE reltuples > 5) THEN CREATE TABLE u (); END IF;": False,
    "IF EXISTS (TABLE t) THEN CREATE TABLE u (); END IF;": False,
    "IF current_database() = 'live' THEN ALTER TABLE t ADD a int; END IF;": False,
    "IF version() LIKE '%16%' THEN CREATE TABLE u (); END IF;": False,
    "IF current_setting('server_version_num')::int > 1 THEN CREATE TABLE u (); END IF;": False,
    "IF current_user = 'app' THEN CREATE TABLE u (); END IF;": False,
    "IF now() > '2026-01-01' THEN CREATE TABLE u (); END IF;": False,
    "IF to_regclass('u') IS NULL THEN CREATE TABLE u (version int); END IF;": True,
    "CREATE ROLE app; EXCEPTION WHEN duplicate_object THEN NULL;": False,
    "GRANT SELECT ON t TO app; EXCEPTION WHEN undefined_object THEN NULL;": False,
    "CREATE EXTENSION citext; EXCEPTION WHEN OTHERS THEN NULL;": False,
}


@pytest.mark.parametrize("body", STEADY)
def test_blocks_that_rows_do_not_decide(body: str) -> None:
    assert only(f"DO $block$ BEGIN {body} END $block$").guarded is STEADY[body]


# What no object of the catalog shows.
UNSEEN = {
    "ALTER SEQUENCE s RESTART": True,
    "ALTER SEQUENCE s INCREMENT 2 RESTART WITH 5": True,
    "ALTER TABLE t ALTER COLUMN a RESTART WITH 5": True,
    "CREATE CONVERSION c FOR 'LATIN1' TO 'UTF8' FROM f": True,
    "DROP TRANSFORM FOR int LANGUAGE plpgsql": True,
    "CREATE TEXT SEARCH TEMPLATE s (LEXIZE = f)": True,
    "ALTER SEQUENCE s INCREMENT 2": False,
    "CREATE TABLE restarts (conversion text)": False,
    "CREATE TEXT SEARCH CONFIGURATION s (PARSER = p)": False,
}


@pytest.mark.parametrize("text", UNSEEN)
def test_what_no_object_shows(text: str) -> None:
    assert bool(unseen(text)) is UNSEEN[text]


RENAMES = {
    "ALTER TABLE a.t RENAME COLUMN x TO y": "ALTER TABLE a.t RENAME COLUMN y TO x",
    "ALTER TABLE t RENAME CONSTRAINT x TO y": "ALTER TABLE t RENAME CONSTRAINT y TO x",
    "ALTER TABLE a.t RENAME TO u": "ALTER TABLE a.u RENAME TO t",
    'ALTER INDEX a.i RENAME TO "J j"': 'ALTER INDEX a."J j" RENAME TO i',
    "ALTER SEQUENCE s RENAME TO r": "ALTER SEQUENCE r RENAME TO s",
    "ALTER VIEW a.v RENAME TO w": "ALTER VIEW a.w RENAME TO v",
    "ALTER VIEW v RENAME COLUMN x TO y": "ALTER VIEW v RENAME COLUMN y TO x",
    "ALTER MATERIALIZED VIEW v RENAME TO w": "ALTER MATERIALIZED VIEW w RENAME TO v",
    "ALTER TYPE a.m RENAME TO n": "ALTER TYPE a.n RENAME TO m",
    "ALTER TYPE a.m RENAME VALUE 'it''s' TO 'y'": "ALTER TYPE a.m RENAME VALUE 'y' TO 'it''s'",
    "ALTER TYPE a.c RENAME ATTRIBUTE x TO y CASCADE": "ALTER TYPE a.c RENAME ATTRIBUTE y TO x CASCADE",
    "ALTER DOMAIN a.d RENAME TO e": "ALTER DOMAIN a.e RENAME TO d",
    "ALTER DOMAIN d RENAME CONSTRAINT x TO y": "ALTER DOMAIN d RENAME CONSTRAINT y TO x",
    "ALTER SCHEMA a RENAME TO b": "ALTER SCHEMA b RENAME TO a",
    "ALTER FUNCTION a.f(int) RENAME TO g": "ALTER FUNCTION a.g(int) RENAME TO f",
    "ALTER PROCEDURE f() RENAME TO g": "ALTER PROCEDURE g() RENAME TO f",
    "ALTER TRIGGER x ON t RENAME TO y": "ALTER TRIGGER y ON t RENAME TO x",
    "ALTER POLICY x ON t RENAME TO y": "ALTER POLICY y ON t RENAME TO x",
    "ALTER RULE x ON t RENAME TO y": "ALTER RULE y ON t RENAME TO x",
    "ALTER STATISTICS a.s RENAME TO r": "ALTER STATISTICS a.r RENAME TO s",
    "ALTER PUBLICATION p RENAME TO q": "ALTER PUBLICATION q RENAME TO p",
    "ALTER EVENT TRIGGER e RENAME TO f": "ALTER EVENT TRIGGER f RENAME TO e",
    "ALTER TABLE a.t SET SCHEMA b": "ALTER TABLE b.t SET SCHEMA a",
    "ALTER FUNCTION a.f(int) SET SCHEMA b": "ALTER FUNCTION b.f(int) SET SCHEMA a",
    "ALTER TYPE a.m SET SCHEMA b": "ALTER TYPE b.m SET SCHEMA a",
    # where from is not said, or nothing got a new name
    "ALTER TABLE t SET SCHEMA b": "",
    "ALTER EXTENSION citext SET SCHEMA b": "",
    "ALTER TYPE m ADD VALUE 'x'": "",
    "ALTER TABLE t ADD a int": "",
}


@pytest.mark.parametrize("text", RENAMES)
def test_the_way_back_from_a_renaming(text: str) -> None:
    rename = only(text).rename
    assert (rename.back if rename else "") == RENAMES[text]
