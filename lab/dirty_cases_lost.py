"""Migrations of which a part was committed, and from which no program may lead back: something would be lost."""

from lab.dirty_cases_bed import refused
from lab.dirty_cases_truths import all_of, column, gone, no, rows, there
from lab.dirty_cases_ways import committed, one_by_one, then

_ZONE = "ALTER TABLE nodes ADD COLUMN zone text;"
_TABLE = "CREATE TABLE zones (name text PRIMARY KEY, opened timestamptz NOT NULL DEFAULT now());"

LOST = [
    refused(
        "new-table-has-rows",
        "the committed table was filled by the migration itself",
        committed(_TABLE, "INSERT INTO zones (name) VALUES ('eu'), ('us');"),
        "partly-applied",
        rows("zones"),
        at=4,
    ),
    refused(
        "new-table-was-used",
        "the committed table was empty; since then the application has written into it",
        then(committed(_TABLE), "INSERT INTO zones (name) VALUES ('eu')"),
        "partly-applied",
        rows("zones"),
        at=3,
    ),
    refused(
        "new-column-was-used",
        "the committed column was empty; since then the application has written into it",
        then(committed(_ZONE), "UPDATE nodes SET zone = 'eu' WHERE region_id = 1"),
        "partly-applied",
        rows("nodes", "zone = 'eu'"),
        at=3,
    ),
    refused(
        "column-dropped",
        "a column was dropped and that was committed: its data are gone",
        committed(_TABLE, "ALTER TABLE users DROP COLUMN last_seen_at;"),
        "partly-applied",
        no(column("users", "last_seen_at")),
        at=4,
    ),
    refused(
        "table-dropped",
        "multi-statement mode: a table with rows was dropped before a later statement failed",
        one_by_one("DROP TABLE support_tickets;"),
        "partly-applied",
        gone("support_tickets"),
        at=1,
        multi=True,
    ),
    refused(
        "old-rows-updated",
        "the committed transaction has an UPDATE of rows that were there before",
        committed(_ZONE, "UPDATE nodes SET tier = 'performance' WHERE tier = 'standard';"),
        "partly-applied",
        all_of(column("nodes", "zone"), no(rows("nodes", "tier = 'standard'"))),
        at=4,
    ),
    refused(
        "enum-value-added",
        "an enum has got a value, which PostgreSQL cannot take away again",
        one_by_one("ALTER TYPE node_state ADD VALUE 'archived';"),
        "partly-applied",
        rows("pg_enum", "enumlabel = 'archived'"),
        at=1,
        multi=True,
    ),
    refused(
        "lossy-cast",
        "a column was made shorter, and that was committed: the ends of its texts are gone",
        committed("ALTER TABLE api_keys ALTER COLUMN name TYPE varchar(4) USING left(name, 4);"),
        "partly-applied",
        no(rows("api_keys", "length(name) > 4")),
        at=3,
    ),
    refused(
        "multi-unknown-and-it-matters",
        "nobody knows in which mode migrate ran; as one query, this state could not have come about",
        one_by_one(_ZONE, "CREATE INDEX nodes_zone_idx ON nodes (zone);"),
        # the reading as one query says that somebody was there, the other one that two statements ran
        "cannot-tell",
        there("nodes_zone_idx"),
        multi=None,
    ),
]
