"""Migrations of which a part was committed, and from which one can go back without a loss; also invalid indexes."""

from lab.dirty_cases_bed import Broken, mendable
from lab.dirty_cases_truths import all_of, column, constraint, function, gone, invalid, no, there
from lab.dirty_cases_ways import FAILS, WHY, committed, one_by_one, rewritten, up_fails

_ZONE = "ALTER TABLE nodes ADD COLUMN zone text;"
_TABLE = "CREATE TABLE zones (name text PRIMARY KEY, opened timestamptz NOT NULL DEFAULT now());"
_CURED = rewritten("041_zones", f"{_ZONE}\n")

PARTLY = [
    mendable(
        "committed-half",
        "BEGIN … COMMIT with a table, a column and an index; the transaction after it fails",
        committed(_TABLE, _ZONE, "CREATE INDEX nodes_zone_idx ON nodes (zone);"),
        "partly-applied",
        all_of(there("zones", "nodes_zone_idx"), column("nodes", "zone")),
        at=5,
        cure=_CURED,
    ),
    mendable(
        "foreign-keys-first",
        "two new tables that refer to each other, and a column of an old one that refers to them",
        committed(
            "CREATE TABLE zones (id integer PRIMARY KEY, hub_id integer);",
            "CREATE TABLE hubs (id integer PRIMARY KEY, zone_id integer REFERENCES zones (id));",
            "ALTER TABLE zones ADD CONSTRAINT zones_hub_fkey FOREIGN KEY (hub_id) REFERENCES hubs (id);",
            "ALTER TABLE nodes ADD COLUMN zone_id integer REFERENCES zones (id);",
        ),
        "partly-applied",
        all_of(there("zones", "hubs"), constraint("zones", "zones_hub_fkey"), column("nodes", "zone_id")),
        at=6,
        cure=_CURED,
    ),
    mendable(
        "multi-third-fails",
        "multi-statement mode: the first two statements stay, the third fails",
        one_by_one(_ZONE, "CREATE INDEX nodes_zone_idx ON nodes (zone);"),
        "partly-applied",
        all_of(column("nodes", "zone"), there("nodes_zone_idx")),
        at=2,
        multi=True,
        cure=_CURED,
    ),
    mendable(
        "multi-cuts-a-function",
        "multi-statement mode cuts a function's body at its first semicolon; what was before it stays",
        up_fails(
            "041_zones",
            f"""
            {_TABLE}
            CREATE FUNCTION zone_log() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE NOTICE 'zone';
                RETURN NEW;
            END;
            $$;
            """,
            "unterminated dollar-quoted string",
            multi_statement=True,
        ),
        "partly-applied",
        all_of(there("zones"), no(function("zone_log()"))),
        at=1,
        multi=True,
        cure=rewritten("041_zones", multi_statement=False),
    ),
    mendable(
        "multi-with-transactions",
        "multi-statement mode over a file with BEGIN and COMMIT: the first transaction stays, the second is taken back",
        up_fails(
            "041_zones",
            f"BEGIN;\n{_TABLE}\nCOMMIT;\nBEGIN;\n{_ZONE}\n{FAILS}\nCOMMIT;\n",
            f"{WHY}(.|\n)*25P02",
            multi_statement=True,
        ),
        "partly-applied",
        all_of(there("zones"), no(column("nodes", "zone"))),
        at=3,
        multi=True,
        cure=_CURED,
    ),
    mendable(
        "multi-one-transaction",
        "multi-statement mode over a file that is one transaction: nothing of it stays",
        up_fails("041_zones", f"BEGIN;\n{_ZONE}\n{FAILS}\nCOMMIT;\n", WHY, multi_statement=True),
        "rolled-back",
        no(column("nodes", "zone")),
        multi=True,
        cure=_CURED,
    ),
    mendable(
        "multi-unknown-but-nothing-ran",
        "nobody knows in which mode migrate ran, and it does not matter: nothing stayed",
        up_fails("041_zones", f"{_ZONE}\n{FAILS}\n", WHY),
        "rolled-back",
        no(column("nodes", "zone")),
        multi=None,
        cure=_CURED,
    ),
    mendable(
        "renamed",
        "a column and a table got new names, and that was committed",
        committed(
            "ALTER TABLE support_tickets RENAME COLUMN priority TO urgency;",
            "ALTER TABLE alert_rules RENAME TO rules_of_alerts;",
        ),
        "partly-applied",
        all_of(column("support_tickets", "urgency"), there("rules_of_alerts"), gone("alert_rules")),
        at=4,
        cure=_CURED,
    ),
    mendable(
        "dropped-what-can-be-made-again",
        "an index, a constraint, a trigger and a function were dropped; none of them holds data",
        committed(
            "DROP INDEX nodes_labels_idx;",
            "ALTER TABLE webhooks DROP CONSTRAINT webhooks_url_https;",
            "DROP TRIGGER nodes_log_state ON nodes;",
            "DROP FUNCTION log_node_state();",
        ),
        "partly-applied",
        all_of(gone("nodes_labels_idx"), no(function("log_node_state()")), there("webhooks")),
        at=6,
        cure=_CURED,
    ),
    mendable(
        "comments-of-other-alphabets",
        "comments with letters of several bytes before each statement; a part was committed",
        up_fails(
            "041_zones",
            f"""
            -- Größe der Zonen; übergangsweise — später mehr
            BEGIN;
            /* узлы; зоны */ {_ZONE}
            -- 区域
            COMMENT ON COLUMN nodes.zone IS 'zóna; naïve';
            COMMIT;
            -- ä ö ü
            {FAILS}
            """,
            WHY,
        ),
        "partly-applied",
        column("nodes", "zone"),
        at=4,
        cure=_CURED,
    ),
    mendable(
        "long-names",
        "two tables whose names agree in their first 60 letters; only the first was committed",
        up_fails(
            "041_zones",
            f"BEGIN;\nCREATE TABLE {'z' * 60}_a ({'c' * 60}_a integer, {'c' * 60}_b integer);\nCOMMIT;\n"
            f"CREATE TABLE {'z' * 60}_b ({'c' * 60}_a integer);\n{FAILS}\n",
            WHY,
        ),
        "partly-applied",
        all_of(there(f"{'z' * 60}_a"), gone(f"{'z' * 60}_b")),
        at=3,
        cure=_CURED,
    ),
]


def _index_blocked(broken: Broken) -> None:
    """The build waits for a transaction that wrote to the table, and is ended by migrate's time-out."""
    broken.mode = {"statement_timeout_ms": 400}
    broken.write("041_zones", "CREATE INDEX CONCURRENTLY nodes_tier_idx ON nodes (tier);\n")
    writer = broken.session("UPDATE nodes SET name = name WHERE name = 'node-1'")
    broken.fails("canceling statement due to user request")
    writer.execute("ROLLBACK")
    broken.mode = {}


INVALID = [
    mendable(
        "index-on-duplicates",
        "a unique index, built concurrently, met duplicates and stays behind, invalid",
        up_fails(
            "041_zones", "CREATE UNIQUE INDEX CONCURRENTLY nodes_tier_idx ON nodes (tier);\n", "could not create unique"
        ),
        "invalid-index",
        invalid("nodes_tier_idx"),
        cure=rewritten("041_zones", "CREATE INDEX CONCURRENTLY nodes_tier_idx ON nodes (tier);\n"),
    ),
    mendable(
        "index-timed-out",
        "an index, built concurrently, was ended by migrate's time-out and stays behind, invalid",
        _index_blocked,
        "invalid-index",
        invalid("nodes_tier_idx"),
    ),
    mendable(
        "index-after-a-column",
        "multi-statement mode: a column stays, and after it an invalid index",
        up_fails(
            "041_zones",
            f"{_ZONE}\nCREATE UNIQUE INDEX CONCURRENTLY nodes_tier_idx ON nodes (tier);\n",
            "could not create unique",
            multi_statement=True,
        ),
        # the index is the smaller part of what has to go; the statement before it was committed
        "partly-applied",
        all_of(column("nodes", "zone"), invalid("nodes_tier_idx")),
        at=1,
        multi=True,
        cure=_CURED,
    ),
]
