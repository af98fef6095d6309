"""Objects of many kinds, of which a part of the file was committed before another statement failed."""

from lab.dirty_cases_bed import Case, mendable
from lab.dirty_cases_truths import all_of, column, constraint, function, rows, there, type_
from lab.dirty_cases_ways import committed, one_by_one, rewritten


def _kind(name: str, what: str, truth: str, *statements: str) -> Case:
    """`statements` between BEGIN and COMMIT, before something fails."""
    return mendable(
        name,
        f"{what}; committed before a later statement failed",
        committed(*statements),
        "partly-applied",
        truth,
        at=len(statements) + 2,
        cure=rewritten("041_zones", "\n".join(statements)),
    )


OBJECTS = [
    _kind(
        "generated-column",
        "a generated column and a check of it",
        all_of(column("volumes", "free_share"), constraint("volumes", "volumes_free_share")),
        "ALTER TABLE volumes ADD COLUMN free_share numeric"
        " GENERATED ALWAYS AS (1 - round(used_gb::numeric / size_gb, 4)) STORED;",
        "ALTER TABLE volumes ADD CONSTRAINT volumes_free_share CHECK (free_share >= 0);",
    ),
    _kind(
        "partitions",
        "a new partition of an old table, and a new partitioned table",
        there("audit.log_2027", "metering_2026", "metering_node_idx"),
        "CREATE TABLE audit.log_2027 PARTITION OF audit.log"
        " FOR VALUES FROM ('2027-01-01 00:00+00') TO ('2028-01-01 00:00+00');",
        "CREATE TABLE metering (node_id uuid NOT NULL, at date NOT NULL) PARTITION BY RANGE (at);",
        "CREATE TABLE metering_2026 PARTITION OF metering FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');",
        "CREATE INDEX metering_node_idx ON metering (node_id);",
    ),
    _kind(
        "policies",
        "policies on a table that has row security",
        rows("pg_policies", "policyname = 'sealed_secrets_rotation'"),
        "CREATE POLICY sealed_secrets_rotation ON sealed_secrets FOR UPDATE TO hoodcloud_reader\n"
        "    USING (rotated_at IS NULL) WITH CHECK (key_id <> '');",
        "CREATE POLICY sealed_secrets_keys ON sealed_secrets AS RESTRICTIVE USING (key_id <> 'revoked');",
    ),
    _kind(
        "views-on-views",
        "a view, a view of it, and a materialised view of that with an index",
        there("busy_nodes", "busy_teams", "busy_teams_daily", "busy_teams_daily_key"),
        "CREATE VIEW busy_nodes AS SELECT id, team_id FROM nodes WHERE state = 'running';",
        "CREATE VIEW busy_teams AS SELECT team_id, count(*) AS nodes FROM busy_nodes GROUP BY team_id;",
        "CREATE MATERIALIZED VIEW busy_teams_daily AS SELECT * FROM busy_teams;",
        "CREATE UNIQUE INDEX busy_teams_daily_key ON busy_teams_daily (team_id);",
    ),
    _kind(
        "function-with-semicolons",
        "a function with semicolons between dollar signs, and its trigger",
        all_of(function("trim_name()"), rows("pg_trigger", "tgname = 'nodes_trim_name'")),
        "CREATE FUNCTION trim_name() RETURNS trigger LANGUAGE plpgsql AS $trim$\nBEGIN\n"
        "    IF NEW.name <> '' THEN NEW.name := btrim(NEW.name); END IF; -- ; $$\n    RETURN NEW;\nEND;\n$trim$;",
        "CREATE TRIGGER nodes_trim_name BEFORE INSERT ON nodes FOR EACH ROW EXECUTE FUNCTION trim_name();",
    ),
    _kind(
        "extension-objects",
        "an extension, and a column and an index that use it",
        all_of(rows("pg_extension", "extname = 'hstore'"), column("nodes", "facts"), there("nodes_facts_idx")),
        "CREATE EXTENSION hstore;",
        "ALTER TABLE nodes ADD COLUMN facts hstore;",
        "CREATE INDEX nodes_facts_idx ON nodes USING gin (facts);",
    ),
    _kind(
        "identity-sequences",
        "a table with an identity, a sequence that stands alone, and one that a column owns",
        there("racks", "rack_label_seq", "racks_serial_seq"),
        "CREATE TABLE racks (id bigint GENERATED ALWAYS AS IDENTITY (START WITH 100) PRIMARY KEY, serial bigserial);",
        "CREATE SEQUENCE rack_label_seq INCREMENT BY 10 MAXVALUE 9990 CYCLE;",
        "ALTER TABLE racks ADD COLUMN label bigint DEFAULT nextval('rack_label_seq');",
    ),
    _kind(
        "domains",
        "a domain, and a column of it",
        all_of(type_("percent"), column("volumes", "alarm_at")),
        "CREATE DOMAIN percent AS numeric CONSTRAINT percent_range CHECK (VALUE BETWEEN 0 AND 100);",
        "ALTER TABLE volumes ADD COLUMN alarm_at percent;",
    ),
    mendable(
        "comments",
        "comments where there were none; multi-statement mode left them before a later statement failed",
        one_by_one(
            "COMMENT ON TABLE nodes IS 'What customers pay for, one VM each.';",
            "COMMENT ON COLUMN nodes.tier IS 'How much of a host it gets.';",
            "COMMENT ON INDEX nodes_state_idx IS 'For the evaluator.';",
        ),
        "partly-applied",
        "obj_description('nodes'::regclass) LIKE 'What customers%'",
        at=3,
        multi=True,
        cure=rewritten("041_zones", "COMMENT ON TABLE nodes IS 'What customers pay for.';\n"),
    ),
    mendable(
        "grants",
        "privileges on tables that had granted some before; multi-statement mode left them",
        one_by_one(
            "GRANT UPDATE ON incidents TO hoodcloud_reader;",
            "GRANT SELECT (paid_at) ON invoices TO hoodcloud_reader;",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA audit GRANT SELECT ON SEQUENCES TO hoodcloud_reader;",
        ),
        "partly-applied",
        "has_table_privilege('hoodcloud_reader', 'incidents', 'UPDATE')",
        at=3,
        multi=True,
        cure=rewritten("041_zones", "GRANT UPDATE ON incidents TO hoodcloud_reader;\n"),
    ),
]
