"""A long history of migrations for `make bench`: 400 versions, about 3,000 objects, the same ones every time.

Forty modules, such as a platform grows over years, of ten versions each: every module brings an enum, tables, keys,
partitions, indexes, functions and triggers, views, queues, a domain, row security, and changes what it made before.
"""

import textwrap
from collections.abc import Callable
from pathlib import Path

AREAS = ("node", "billing", "health", "agent", "snapshot", "backup", "incident", "usage")
THINGS = ("plan", "policy", "report", "session", "window")

MODULES = tuple(f"{area}_{thing}" for thing in THINGS for area in AREAS)
"""The names of the tables, one for each module."""


def write_history(folder: Path, versions: int = 400) -> None:
    """Writes the files of so many versions, three digits and more, each with its up and its down."""
    folder.mkdir(parents=True)
    for number in range(1, versions + 1):
        name, up, down = _version(number)
        write(folder, number, name, up, down)


def write(folder: Path, number: int, name: str, up: str, down: str) -> None:
    """The two files of one version, without their indentation."""
    for direction, text in (("up", up), ("down", down)):
        file = folder / f"{number:03}_{name}.{direction}.sql"
        file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")


def _version(number: int) -> tuple[str, str, str]:
    module, topic = divmod(number - 1, len(_TOPICS))
    what, made = _TOPICS[topic]
    known = {"it": MODULES[module], "n": number, "before": MODULES[module - 1] if module else "", "year": 2020 + module}
    up, down = made(known)
    return f"{known['it']}_{what}", up, down


Known = dict[str, object]
Topic = Callable[[Known], tuple[str, str]]


def _filled(up: str, down: str) -> Topic:
    """Texts in which {it} is the module's table."""
    return lambda known: (up.format(**known), down.format(**known))


def _base(known: Known) -> tuple[str, str]:
    parent = f"\n                REFERENCES {known['before']} (id) ON DELETE SET NULL" if known["before"] else ""
    up = """
        CREATE TYPE {it}_state AS ENUM ('requested', 'running', 'paused', 'failed');
        CREATE TABLE {it} (
            id          bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
            public_id   uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
            name        text NOT NULL,
            state       {it}_state NOT NULL DEFAULT 'requested',
            labels      jsonb NOT NULL DEFAULT '{{}}',
            parent_id   bigint{parent},
            weight      numeric(10, 3) NOT NULL DEFAULT 1,
            created_at  timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT {it}_weight_positive CHECK (weight > 0)
        );
        CREATE INDEX {it}_state_idx ON {it} (state);
        """
    return up.format(**known, parent=parent), "DROP TABLE {it};\nDROP TYPE {it}_state;\n".format(**known)


def _changed(known: Known) -> tuple[str, str]:
    """Every other module does this in a transaction of its own, as many do out of habit."""
    up = """
        DROP INDEX {it}_items_kind_idx;
        CREATE INDEX {it}_items_kind_amount_idx ON {it}_items (kind, amount DESC) INCLUDE (note);
        ALTER TABLE {it}_items ALTER COLUMN note SET DEFAULT '', ALTER COLUMN amount SET NOT NULL;
        CREATE STATISTICS {it}_items_kinds ON kind, amount FROM {it}_items;
        """
    down = """
        DROP STATISTICS {it}_items_kinds;
        ALTER TABLE {it}_items ALTER COLUMN note DROP DEFAULT, ALTER COLUMN amount DROP NOT NULL;
        DROP INDEX {it}_items_kind_amount_idx;
        CREATE INDEX {it}_items_kind_idx ON {it}_items (kind);
        """
    up, down = textwrap.dedent(up).format(**known), textwrap.dedent(down).format(**known)
    return (f"BEGIN;{up}COMMIT;\n", f"BEGIN;{down}COMMIT;\n") if int(str(known["n"])) % 20 else (up, down)


_TOPICS: tuple[tuple[str, Topic], ...] = (
    ("base", _base),
    (
        "items",
        _filled(
            """
            -- what a {it} consists of; ü and § are here because not every comment is ASCII
            CREATE TABLE {it}_items (
                id       bigserial PRIMARY KEY,
                owner_id bigint NOT NULL REFERENCES {it} (id) ON DELETE CASCADE,
                kind     text NOT NULL,
                amount   numeric(18, 6),
                note     text,
                at       timestamptz NOT NULL DEFAULT now(),
                UNIQUE (owner_id, kind, at)
            );
            CREATE INDEX {it}_items_kind_idx ON {it}_items (kind);
            """,
            "DROP TABLE {it}_items;\n",
        ),
    ),
    (
        "log",
        _filled(
            """
            CREATE TABLE {it}_log (
                id      bigint NOT NULL,
                at      timestamptz NOT NULL,
                what    text NOT NULL,
                PRIMARY KEY (id, at)
            ) PARTITION BY RANGE (at);
            CREATE TABLE {it}_log_old PARTITION OF {it}_log FOR VALUES FROM (MINVALUE) TO ('{year}-01-01 00:00+00');
            CREATE TABLE {it}_log_rest PARTITION OF {it}_log DEFAULT;
            CREATE INDEX {it}_log_what_idx ON {it}_log (what, at DESC);
            """,
            "DROP TABLE {it}_log;\n",
        ),
    ),
    (
        "limits",
        _filled(
            """
            ALTER TABLE {it}
                ADD COLUMN most integer,
                ADD COLUMN least integer NOT NULL DEFAULT 0,
                ADD COLUMN full_name text GENERATED ALWAYS AS (name || '/' || weight::text) STORED,
                ADD CONSTRAINT {it}_limits CHECK (most IS NULL OR most >= least);
            CREATE INDEX {it}_open_idx ON {it} (created_at) WHERE state <> 'failed';
            COMMENT ON COLUMN {it}.most IS 'NULL: as many as there are';
            """,
            """
            DROP INDEX {it}_open_idx;
            ALTER TABLE {it} DROP COLUMN full_name, DROP COLUMN least, DROP COLUMN most;
            """,
        ),
    ),
    (
        "touched",
        _filled(
            """
            ALTER TABLE {it} ADD COLUMN updated_at timestamptz;
            CREATE FUNCTION touch_{it}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                NEW.updated_at := now();  -- the row's own; a semicolon in a body
                RETURN NEW;
            END
            $$;
            CREATE TRIGGER {it}_touched BEFORE UPDATE ON {it} FOR EACH ROW EXECUTE FUNCTION touch_{it}();
            """,
            """
            DROP TRIGGER {it}_touched ON {it};
            DROP FUNCTION touch_{it}();
            ALTER TABLE {it} DROP COLUMN updated_at;
            """,
        ),
    ),
    (
        "overview",
        _filled(
            """
            CREATE VIEW {it}_overview AS
                SELECT t.id, t.name, t.state, count(i.id) AS items, max(i.at) AS newest
                FROM {it} t LEFT JOIN {it}_items i ON i.owner_id = t.id GROUP BY t.id;
            GRANT SELECT ON {it}_overview TO hoodcloud_reader;
            CREATE MATERIALIZED VIEW {it}_totals AS SELECT state, count(*) AS many FROM {it} GROUP BY state;
            CREATE UNIQUE INDEX {it}_totals_state_idx ON {it}_totals (state);
            """,
            "DROP MATERIALIZED VIEW {it}_totals;\nDROP VIEW {it}_overview;\n",
        ),
    ),
    (
        "outbox",
        _filled(
            """
            CREATE TABLE {it}_outbox (
                id       bigint PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY,
                owner_id bigint REFERENCES {it} (id),
                topic    text NOT NULL CHECK (topic IN ('slack', 'telegram', 'email')),
                payload  jsonb NOT NULL,
                tries    smallint NOT NULL DEFAULT 0,
                sent_at  timestamptz,
                error    text,
                tags     text[] NOT NULL DEFAULT '{{}}'
            );
            CREATE UNIQUE INDEX {it}_outbox_once_idx ON {it}_outbox (owner_id, topic) WHERE sent_at IS NULL;
            """,
            "DROP TABLE {it}_outbox;\n",
        ),
    ),
    (
        "codes",
        _filled(
            """
            CREATE DOMAIN {it}_code AS text CHECK (VALUE ~ '^[a-z]{{2,12}}$');
            ALTER TABLE {it} ADD COLUMN code {it}_code;
            ALTER TABLE {it}_outbox RENAME COLUMN tries TO attempts;
            INSERT INTO {it} (name, code) VALUES ('first', 'ab'), ('second', 'cd');
            UPDATE {it} SET labels = labels || '{{"made": "by a migration"}}' WHERE code IS NOT NULL;
            """,
            """
            ALTER TABLE {it}_outbox RENAME COLUMN attempts TO tries;
            ALTER TABLE {it} DROP COLUMN code;
            DROP DOMAIN {it}_code;
            """,
        ),
    ),
    (
        "guarded",
        _filled(
            """
            ALTER TABLE {it}_items ENABLE ROW LEVEL SECURITY;
            CREATE POLICY {it}_items_of_owner ON {it}_items
                USING (owner_id::text = current_setting('hoodcloud.owner', true));
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM information_schema.columns WHERE table_name = '{it}_items'
                        AND column_name = 'source') THEN
                    ALTER TABLE {it}_items ADD COLUMN source text;
                END IF;
            END $$;
            """,
            """
            ALTER TABLE {it}_items DROP COLUMN source;
            DROP POLICY {it}_items_of_owner ON {it}_items;
            ALTER TABLE {it}_items DISABLE ROW LEVEL SECURITY;
            """,
        ),
    ),
    ("changed", _changed),
)
