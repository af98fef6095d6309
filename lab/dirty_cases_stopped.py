"""Migrations that stopped and left nothing behind: PostgreSQL took back what had run."""

from lab.dirty_cases_bed import Broken, mendable
from lab.dirty_cases_truths import all_of, column, function, gone, no, rows, there, type_
from lab.dirty_cases_ways import by_hand, rewritten, up_fails
from lab.hoodcloud_database import MIGRATIONS

_ZONES = "ALTER TABLE nodes ADD COLUMN zone text;\n"
_ZONES_DOWN = "ALTER TABLE nodes DROP COLUMN zone;\n"
_NOTHING_RAN = all_of(no(column("nodes", "zone")), gone("zones"))


def _blocked(broken: Broken, up: str, because: str, **mode: int) -> None:
    """While somebody else's transaction reads the nodes."""
    broken.mode = dict(mode)
    broken.write("041_zones", up, _ZONES_DOWN)
    reader = broken.session("LOCK TABLE nodes IN ACCESS SHARE MODE")
    broken.fails(because)
    reader.execute("ROLLBACK")
    broken.mode = {}


def _before_the_file(broken: Broken) -> None:
    broken.write("041_zones", _ZONES, _ZONES_DOWN)
    broken.dies("before-file")


def _not_its_owner(broken: Broken) -> None:
    broken.sql("ALTER TABLE hosts OWNER TO postgres", superuser=True)
    broken.write("041_zones", "CREATE TABLE zones (name text);\nALTER TABLE hosts ADD COLUMN zone text;\n")
    broken.fails("must be owner of table hosts")


def _first_of_all(broken: Broken) -> None:
    broken.write("001_extensions", "CREATE SCHEMA audit;\nCREATE TABLE audit.seen (at timestampz);\n")
    broken.fails("timestampz")


def _original(broken: Broken) -> None:
    broken.write("001_extensions", (MIGRATIONS / "control_plane/001_extensions.up.sql").read_text(encoding="utf-8"))


def _own_version_table(broken: Broken) -> None:
    broken.mode = {"table": '"audit"."migrations"'}
    broken.sql(
        "ALTER TABLE schema_migrations SET SCHEMA audit; ALTER TABLE audit.schema_migrations RENAME TO migrations"
    )
    broken.write("041_zones", _ZONES + "ALTER TABLE nodes ALTER COLUMN zone SET NOT NULL;\n", _ZONES_DOWN)
    broken.fails("contains null values")


STOPPED = [
    mendable(
        "data-forbids",
        "the third statement meets rows that it does not allow; all three are taken back",
        up_fails(
            "041_zones",
            _ZONES
            + "CREATE INDEX nodes_zone_idx ON nodes (zone);\n"
            + "ALTER TABLE nodes ADD CONSTRAINT nodes_small CHECK (tier <> 'archive');\n",
            "is violated by some row",
            _ZONES_DOWN,
        ),
        "rolled-back",
        _NOTHING_RAN,
        cure=rewritten("041_zones", _ZONES + "CREATE INDEX nodes_zone_idx ON nodes (zone);\n"),
    ),
    mendable(
        "typo",
        "the second statement names a type that does not exist",
        up_fails("041_zones", _ZONES + "CREATE TABLE zones (opened timestampz);\n", "timestampz", _ZONES_DOWN),
        "rolled-back",
        _NOTHING_RAN,
        cure=rewritten("041_zones", _ZONES),
    ),
    mendable(
        "syntax-error",
        "the file is no SQL in its last line, so that no line of it ran",
        up_fails("041_zones", _ZONES + "ALTER TABEL nodes ADD COLUMN zone2 text;\n", "syntax error", _ZONES_DOWN),
        "rolled-back",
        _NOTHING_RAN,
        cure=rewritten("041_zones", _ZONES),
    ),
    mendable(
        "concurrently-in-company",
        "an index is built concurrently in a file with a second statement, which no transaction allows",
        up_fails(
            "041_zones",
            _ZONES + "CREATE INDEX CONCURRENTLY nodes_zone_idx ON nodes (zone);\n",
            "cannot run inside a transaction block",
            _ZONES_DOWN,
        ),
        "rolled-back",
        all_of(_NOTHING_RAN, gone("nodes_zone_idx")),
        cure=rewritten("041_zones", _ZONES),
    ),
    mendable(
        "statement-time-out",
        "migrate's own time-out ended a statement that waited for somebody's transaction",
        lambda broken: _blocked(
            broken,
            "CREATE TABLE zones (name text);\n" + _ZONES,
            "(?s)canceling statement due to user request.*57014.*driver: bad connection",
            statement_timeout_ms=250,
        ),
        "rolled-back",
        _NOTHING_RAN,
    ),
    mendable(
        "lock-time-out",
        "the file gives up waiting for a lock after its own lock_timeout",
        lambda broken: _blocked(broken, "SET lock_timeout = '150ms';\n" + _ZONES, "due to lock timeout"),
        "rolled-back",
        _NOTHING_RAN,
    ),
    mendable(
        "permission",
        "one table belongs to somebody else, so that it may not be altered",
        _not_its_owner,
        "rolled-back",
        all_of(no(column("hosts", "zone")), gone("zones")),
        cure=by_hand("ALTER TABLE hosts OWNER TO hoodcloud", superuser=True),
    ),
    mendable(
        "enum-used-too-early",
        "a new enum value is used in the transaction that adds it",
        up_fails(
            "041_archived",
            "ALTER TYPE node_state ADD VALUE 'archived';\n"
            "ALTER TABLE nodes ALTER COLUMN state SET DEFAULT 'archived';\n",
            "unsafe use of new value",
        ),
        "rolled-back",
        no(rows("pg_enum", "enumlabel = 'archived'")),
        cure=rewritten("041_archived", "ALTER TYPE node_state ADD VALUE 'archived';\n"),
    ),
    mendable(
        "backfill-in-one-transaction",
        "definitions with an UPDATE between them in one transaction: the definitions show that it is undone, too",
        up_fails(
            "041_zones",
            _ZONES
            + "UPDATE nodes SET zone = 'eu', labels = labels || '{\"moved\": true}' WHERE region_id < 3;\n"
            + "ALTER TABLE nodes ALTER COLUMN zone SET NOT NULL;\n",
            "contains null values",
            _ZONES_DOWN,
        ),
        "rolled-back",
        all_of(_NOTHING_RAN, no(rows("nodes", "labels ? 'moved'"))),
        cure=rewritten("041_zones", _ZONES),
    ),
    mendable(
        "transaction-left-open",
        "BEGIN without COMMIT: all statements went well, and golang-migrate gave the connection up",
        up_fails("041_zones", "BEGIN;\n" + _ZONES, "transaction start failed", _ZONES_DOWN),
        "rolled-back",
        _NOTHING_RAN,
        cure=rewritten("041_zones", _ZONES),
    ),
    mendable(
        "deferred-constraint",
        "a deferred foreign key speaks up only at the end, after all statements went well",
        up_fails(
            "041_zones",
            "CREATE TABLE zones (name text PRIMARY KEY,\n"
            "    parent text REFERENCES zones (name) DEFERRABLE INITIALLY DEFERRED);\n"
            "INSERT INTO zones VALUES ('eu-1', 'eu');\n",
            "violates foreign key constraint",
            "DROP TABLE zones;\n",
        ),
        "rolled-back",
        gone("zones"),
        cure=rewritten("041_zones", "CREATE TABLE zones (name text PRIMARY KEY);\n"),
    ),
    mendable(
        "first-version",
        "the very first version fails; the version before it is none at all",
        _first_of_all,
        "rolled-back",
        "to_regnamespace('audit') IS NULL",
        start=0,
        target=-1,
        row=((1, True),),
        cure=_original,
    ),
    mendable(
        "numbers-with-holes",
        "version 45 comes right after 40, to which one has to go back",
        up_fails("045_zones", _ZONES + "CREATE TABLE nodes (id integer);\n", "already exists", _ZONES_DOWN),
        "rolled-back",
        no(column("nodes", "zone")),
        row=((45, True),),
        cure=rewritten("045_zones", _ZONES),
    ),
    mendable(
        "killed-before-the-file",
        "the machine of migrate lost power between the dirty mark and the file",
        _before_the_file,
        "rolled-back",
        _NOTHING_RAN,
    ),
    mendable(
        "own-version-table",
        "the version table has another name in another schema",
        _own_version_table,
        "rolled-back",
        _NOTHING_RAN,
        cure=rewritten("041_zones", _ZONES),
    ),
    mendable(
        "payment-service",
        "the same on the payment service's database, with migrate used as a library, which takes another lock",
        up_fails("009_limits", "CREATE TABLE limits (id integr);\n", "integr", "DROP TABLE limits;\n", lock="library"),
        "rolled-back",
        gone("limits"),
        row=((9, True),),
        target=8,
        service="payment_service",
        cure=rewritten("009_limits", "CREATE TABLE limits (id integer);\n"),
    ),
    mendable(
        "view-depends",
        "a column cannot change its type while a view shows it",
        up_fails(
            "041_long_names",
            "CREATE TABLE zones (name text);\nALTER TABLE nodes ALTER COLUMN name TYPE varchar(200);\n",
            "cannot alter type of a column used by a view",
        ),
        "rolled-back",
        all_of(gone("zones"), there("node_overview")),
        cure=rewritten("041_long_names", "CREATE TABLE zones (name text);\n"),
    ),
    mendable(
        "enum-rebuilt",
        "an enum is made anew by rename, create, alter and drop; then a default does not fit, and all is taken back",
        up_fails(
            "041_plan_interval",
            "ALTER TYPE plan_interval RENAME TO plan_interval_old;\n"
            "CREATE TYPE plan_interval AS ENUM ('week', 'month', 'year');\n"
            'ALTER TABLE plans ALTER COLUMN "interval" DROP DEFAULT,\n'
            '    ALTER COLUMN "interval" TYPE plan_interval USING "interval"::text::plan_interval;\n'
            "DROP TYPE plan_interval_old;\n"
            "ALTER TABLE plans ALTER COLUMN \"interval\" SET DEFAULT 'decade';\n",
            "invalid input value for enum",
        ),
        "rolled-back",
        all_of(no(type_("plan_interval_old")), no(rows("pg_enum", "enumlabel = 'week'"))),
        cure=rewritten("041_plan_interval", "ALTER TYPE plan_interval ADD VALUE 'week' BEFORE 'month';\n"),
    ),
    mendable(
        "alters-its-version-table",
        "the file adds a column to schema_migrations itself, then fails",
        up_fails(
            "041_applied_at",
            "ALTER TABLE schema_migrations ADD COLUMN applied_at timestamptz DEFAULT now();\nCREATE TABLE nodes ();\n",
            "already exists",
        ),
        "rolled-back",
        no(column("schema_migrations", "applied_at")),
        cure=rewritten("041_applied_at", "SELECT 1;\n"),
    ),
    mendable(
        "function-cannot-be-made",
        "a function with semicolons inside its body, and then a trigger on a table that is not there",
        up_fails(
            "041_log",
            "CREATE FUNCTION zone_log() RETURNS trigger LANGUAGE plpgsql AS $body$\nBEGIN\n"
            "    RAISE NOTICE 'a; b'; -- and a ; here\n    RETURN NEW;\nEND;\n$body$;\n"
            "CREATE TRIGGER zone_log BEFORE INSERT ON zones FOR EACH ROW EXECUTE FUNCTION zone_log();\n",
            'relation "zones" does not exist',
        ),
        "rolled-back",
        no(function("zone_log()")),
        cure=rewritten("041_log", "SELECT 1;\n"),
    ),
]
