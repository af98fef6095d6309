"""The application went on between the failure and the repair: what it wrote is not lost, and it is not kept waiting."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from lab.dirty_cases import CASES, Broken, broken
from lab.hoodcloud_database import HoodcloudDatabases
from tests.order.forked_runs import Forked
from tests.order.migrations_bed import (
    NAME,
    ask,
    environment,
    look,
    mend,
    nothing_left,
    seen,
    settings_of,
    wait_until,
)

BASE = """
CREATE TABLE owners (id int PRIMARY KEY);
CREATE TABLE things (id int PRIMARY KEY, name text NOT NULL, size int CONSTRAINT small CHECK (size < 9), owner int);
ALTER TABLE things ADD CONSTRAINT owned FOREIGN KEY (owner) REFERENCES owners;
CREATE UNIQUE INDEX things_name ON things (name);
CREATE TABLE events (at int) PARTITION BY RANGE (at);
CREATE TABLE events_old (at int);
CREATE TABLE plain (at int);
"""


@contextmanager
def half(
    migrated: HoodcloudDatabases, folder: Path, done: str, since: str = ""
) -> Iterator[tuple[Broken, dict[str, str]]]:
    """Version 42 has done `done` and then failed; `since` was written afterwards."""
    with broken(CASES["clean-at-the-newest"], migrated, folder / "migrations") as bed:
        bed.write("041_base", BASE)
        bed.succeeds("up")
        bed.sql("INSERT INTO owners VALUES (1); INSERT INTO things VALUES (1, 'a', 1, 1)")
        bed.write("042_half", f"BEGIN;\n{done};\nCOMMIT;\nALTER TABLE things ADD COLUMN name text;\n")
        bed.fails("already exists")
        if since:
            bed.sql(since)
        settings = settings_of(bed, folder, files_are_deployed=True, multi_statement=False)
        del settings["deployed"]
        yield bed, environment(folder, settings)


@dataclass(frozen=True)
class Case:
    """What the file has done, what was written since, the reference of the refusal, and what that names."""

    done: str
    since: str
    reference: str
    named: str


# A newcomer adds a case here.
WRITTEN = {
    "NULL, where NOT NULL was": Case(
        "ALTER TABLE things ALTER name DROP NOT NULL",
        "UPDATE things SET name = NULL",
        "rows-in-the-way",
        "public.things",
    ),
    "what a CHECK forbade": Case(
        "ALTER TABLE things DROP CONSTRAINT small", "UPDATE things SET size = 10", "rows-in-the-way", "public.things"
    ),
    "what a foreign key forbade": Case(
        "ALTER TABLE things DROP CONSTRAINT owned", "DELETE FROM owners", "rows-in-the-way", "public.things"
    ),
    "what a unique index forbade": Case(
        "DROP INDEX things_name",
        "INSERT INTO things VALUES (2, 'a', 1, 1)",
        "rows-in-the-way",
        "CREATE UNIQUE INDEX things_name",
    ),
    "a number of a new sequence": Case(
        "CREATE SEQUENCE receipt_numbers", "SELECT nextval('receipt_numbers')", "not-empty", "receipt_numbers"
    ),
    "NULL instead of a default": Case(
        "ALTER TABLE things ADD COLUMN active boolean DEFAULT true",
        "UPDATE things SET active = NULL",
        "not-empty",
        "public.things.active",
    ),
    "a row of today, with today as its default": Case(
        "ALTER TABLE things ADD COLUMN since date DEFAULT CURRENT_DATE",
        "INSERT INTO things VALUES (2, 'b')",
        "not-empty",
        "public.things.since",
    ),
    "a row in a partition that was attached": Case(
        "ALTER TABLE events ATTACH PARTITION events_old FOR VALUES FROM (0) TO (10)",
        "INSERT INTO events VALUES (5)",
        "not-empty",
        "public.events_old",
    ),
    "a row in a child": Case(
        "ALTER TABLE events_old INHERIT plain", "INSERT INTO events_old VALUES (5)", "not-empty", "public.events_old"
    ),
    "a row that a policy hides": Case(
        """CREATE TABLE secret (id int, tenant text);
        ALTER TABLE secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY p ON secret USING (tenant = current_setting('app.tenant', true))""",
        "SET app.tenant = 'a'; INSERT INTO secret VALUES (1, 'a')",
        "not-empty",
        "public.secret (rows may be hidden from this role)",
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_was_written_since_is_not_lost(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path, name: str
) -> None:
    case = WRITTEN[name]
    with half(migrated, tmp_path, case.done, case.since) as (bed, known):
        before = seen(bed)
        stopped = look(recover, known)
        if case.reference == "rows-in-the-way":  # which only the way back itself tells
            stopped = look(recover, known, approve=stopped.digest)
        assert (stopped.reference, case.named in stopped.error) == (case.reference, True), stopped.error
        assert "(a)" not in stopped.error, "what a row holds is nobody's business"
        assert seen(bed) == before
    nothing_left(migrated.server)


# A newcomer adds a case here: what the file has done and what was written since, none of which is lost.
HARMLESS = {
    "nothing of a sequence": ("CREATE SEQUENCE receipt_numbers", ""),
    "a number of a table that is empty": (
        "CREATE TABLE bills (id serial PRIMARY KEY)",
        "INSERT INTO bills DEFAULT VALUES; DELETE FROM bills",
    ),
    "a percent sign in a default": (
        """ALTER TABLE things ADD COLUMN "%s" text DEFAULT '100%'; CREATE TABLE "a%b""c" ("x y%" int)""",
        "INSERT INTO things VALUES (2, 'b')",
    ),
    "a partition without a row": ("ALTER TABLE events ATTACH PARTITION events_old FOR VALUES FROM (0) TO (10)", ""),
    "an identity that gave nothing out": ("ALTER TABLE owners ALTER id ADD GENERATED ALWAYS AS IDENTITY", ""),
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_holds_nothing_is_taken_back(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path, name: str
) -> None:
    done, since = HARMLESS[name]
    with half(migrated, tmp_path, done, since) as (bed, known):
        rows = seen(bed).rows["owners"]
        ended = mend(recover, known)
        assert (ended.ending, ended.verdict) == ("done", "clean at version 41, the catalog is as it must be"), (
            ended.error
        )
        assert bed.version_rows() == ((41, False),)
        assert seen(bed).rows["owners"] == rows
    nothing_left(migrated.server)


TWO = "ALTER TABLE things ADD COLUMN c int; ALTER TABLE owners ADD COLUMN c int"
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE %'"


def test_all_locks_together_are_waited_for_once(recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path) -> None:
    """The first table is let go when most of the time is over, and the second is not waited for as long once more."""
    with half(migrated, tmp_path, TWO) as (bed, known):
        before, looked = seen(bed), look(recover, known)
        first, second = bed.session("SELECT * FROM owners"), bed.session("SELECT * FROM things")
        late = f"{WAITS} AND now() - query_start > interval '1 second'"

        def let_go() -> None:
            wait_until(lambda: ask(migrated.server, late) != [(0,)], "it never waited")
            first.execute("COMMIT")

        other = Thread(target=let_go)
        other.start()
        shortly = {"tasks.migrations.mend.LOCK_TIMEOUT": "1500ms"}
        ended = recover.run(known, changed=shortly, database=NAME, approve=looked.digest)
        other.join()
        second.execute("COMMIT")
        assert ended.reference == "repair-failed", ended.error
        assert "55P03: all of public.owners, public.things could not be had within 1500ms" in ended.error
        assert seen(bed) == before


def test_a_step_that_takes_too_long_is_not_said_to_wait(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with half(migrated, tmp_path, TWO) as (bed, known):
        before, looked = seen(bed), look(recover, known)
        ended = recover.run(known, changed={"tasks.migrations.mend.LIMIT": "1ms"}, database=NAME, approve=looked.digest)
        assert (ended.reference, "57014: it took too long" in ended.error) == ("repair-failed", True), ended.error
        assert "nothing was committed" in ended.error and "quiet hour" in ended.error and "lock" not in ended.error
        assert seen(bed) == before
        assert mend(recover, known).ending == "done"


def test_an_index_that_takes_longer_than_a_look_is_made_again(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    """The limit of the look into tables is not left behind in the transaction."""
    with half(migrated, tmp_path, "DROP INDEX things_name; ALTER TABLE things ADD COLUMN c int") as (bed, known):
        looked = look(recover, known)
        shortly = {"tasks.migrations.occupied.LIMIT": "1s"}
        bed.sql(
            """CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.5); END $$;
            CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION slow()""",
            superuser=True,
        )
        ended = recover.run(known, changed=shortly, database=NAME, approve=looked.digest)
        assert ended.ending == "done", ended.error
