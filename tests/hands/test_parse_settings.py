"""No question is asked in another session where the answer may be another one."""

import pytest

from runbooks.migrations.files import Direction, MigrationFile
from tasks.migrations.parse import parse

# A statement, and whether the rows may still be asked about those after it.
ASKED = {
    # what a name or a row means afterwards
    "SET search_path TO app": False,
    "SET LOCAL search_path TO app": False,
    "RESET ALL": False,
    "DISCARD ALL": False,
    "SET ROLE app": False,
    "SELECT set_config('search_path', 'app', false)": False,
    "SELECT set_config('app.tenant', 'a', false) FROM t": False,
    "INSERT INTO u SELECT set_config('app.tenant', 'a', false)": False,
    "CREATE TEMP TABLE t (a int)": False,
    "SELECT 1 AS a INTO LOCAL TEMPORARY t": False,
    "DO $$ BEGIN CREATE TEMPORARY TABLE t (a int); END $$": False,
    "SET app.tenant = 'a'": False,
    "SET timezone = 'Asia/Tokyo'": False,
    "SET TIME ZONE 'Asia/Tokyo'": False,
    "SET datestyle TO german": False,
    "SET row_security = off": False,
    "SET session_replication_role = replica": False,
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE": False,
    "DO $$ BEGIN SET LOCAL app.tenant = 'a'; END $$": False,
    "DO $$ BEGIN SET TIME ZONE 'UTC'; END $$": False,
    "DO $$ BEGIN PERFORM set_config('app.tenant', 'a', false); END $$": False,
    "SELECT app.become('a')": False,
    "CALL app.become('a')": False,
    # how long something may take, and what is told of it
    "SET lock_timeout = '5s'": True,
    "SET LOCAL statement_timeout TO 0": True,
    "RESET maintenance_work_mem": True,
    "SHOW timezone": True,
    "LOCK TABLE t": True,
    "SET CONSTRAINTS ALL DEFERRED": True,
    # something else
    "BEGIN": True,
    "SELECT count(*) FROM t": True,
    "UPDATE t SET a = 1": True,
    "ALTER TABLE t ALTER a SET NOT NULL": True,
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET a = 1; END $$": True,
    "DO $$ BEGIN ALTER TABLE t ALTER a SET DEFAULT 1; END $$": True,
}


@pytest.mark.parametrize("before", ASKED)
def test_rows_are_asked_where_they_mean_the_same(before: str) -> None:
    text = f"DELETE FROM t; {before}; DELETE FROM t"
    first, _, second = parse(MigrationFile(1, Direction.UP, "001_x.up.sql", text)).statements
    assert first.probe
    assert bool(second.probe) is ASKED[before]
