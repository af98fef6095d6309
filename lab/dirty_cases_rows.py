"""Migrations that change rows, of which the catalog knows nothing."""

from lab.dirty_cases_bed import Act, Broken, mendable, refused
from lab.dirty_cases_truths import all_of, column, no, rows, there
from lab.dirty_cases_ways import up_fails

_MARK = "UPDATE nodes SET labels = labels || '{\"seen\": true}';\n"


def _dies(moment: str, up: str, **mode: bool) -> Act:
    def breaks(broken: Broken) -> None:
        broken.mode = dict(mode)
        broken.write("041_rows", up, "")
        broken.dies(moment)

    return breaks


def _timed_out(up: str, **mode: bool) -> Act:
    """While somebody else has changed a node and not committed, until migrate's time-out."""

    def breaks(broken: Broken) -> None:
        broken.mode = {"statement_timeout_ms": 250, **mode}
        broken.write("041_rows", up, "")
        writer = broken.session("UPDATE nodes SET tier = tier WHERE name = 'node-7'")
        broken.fails("canceling statement due to user request")
        writer.execute("ROLLBACK")

    return breaks


def _application_writes(broken: Broken) -> None:
    _timed_out(_MARK)(broken)
    broken.sql("UPDATE nodes SET tier = tier WHERE name IN ('node-1', 'node-2', 'node-3')")


ROWS = [
    refused(
        "update-timed-out",
        "nothing but an UPDATE, ended by a time-out; running it twice would not be the same as once",
        _timed_out(_MARK),
        "cannot-tell",
        no(rows("nodes", "labels ? 'seen'")),
    ),
    refused(
        "update-lost-after-commit",
        "nothing but an UPDATE; it was committed, and migrate was killed before its clean mark",
        _dies("after-file", _MARK),
        "cannot-tell",
        rows("nodes", "labels ? 'seen'"),
    ),
    refused(
        "application-writes-meanwhile",
        "an UPDATE that did not run, while rows of its table are newer than the dirty mark: the application wrote them",
        _application_writes,
        # newer rows look as if it had run, and it has not
        "cannot-tell",
        no(rows("nodes", "labels ? 'seen'")),
    ),
    refused(
        "backfill-between-two-definitions",
        "multi-statement mode: a column, an UPDATE, and then NOT NULL fails; did the UPDATE run?",
        up_fails(
            "041_rows",
            f"ALTER TABLE nodes ADD COLUMN zone text;\n{_MARK}ALTER TABLE nodes ALTER COLUMN zone SET NOT NULL;\n",
            "contains null values",
            "",
            multi_statement=True,
        ),
        "cannot-tell",
        all_of(column("nodes", "zone"), rows("nodes", "labels ? 'seen'")),
        multi=True,
    ),
    refused(
        "two-updates-of-one-table",
        "multi-statement mode: two UPDATEs of one table, of which the second was ended by a time-out",
        _timed_out(
            f"UPDATE nodes SET labels = labels || '{{\"first\": 1}}' WHERE name = 'node-1';\n{_MARK}",
            multi_statement=True,
        ),
        "cannot-tell",
        all_of(rows("nodes", "labels ? 'first'"), no(rows("nodes", "labels ? 'seen'"))),
        multi=True,
    ),
    refused(
        "loop-over-rows",
        "a DO block that changes rows in a loop; it was committed, and migrate was killed before its clean mark",
        _dies(
            "after-file",
            """
            DO $$
            DECLARE
                one record;
            BEGIN
                FOR one IN SELECT id FROM teams LOOP
                    UPDATE quotas SET allowed = allowed + 5 WHERE team_id = one.id;
                END LOOP;
            END
            $$;
            """,
        ),
        "cannot-tell",
        rows("quotas", "allowed = 55"),
    ),
    refused(
        "loop-over-rows-fails",
        "a DO block that changes rows and then raises an error: all is taken back, and nothing shows that it was",
        up_fails(
            "041_rows",
            "DO $$ BEGIN UPDATE quotas SET allowed = allowed + 5; RAISE EXCEPTION 'too many; stop'; END $$;\n",
            "too many; stop",
        ),
        # the same statement fails on a database without rows, too, and with the same words; yet a block may do anything
        "cannot-tell",
        no(rows("quotas", "allowed = 55")),
    ),
    refused(
        "table-emptied",
        "nothing but TRUNCATE; it was committed, and the application has written since",
        lambda broken: (
            _dies("after-file", "TRUNCATE node_uptime_hourly;\n")(broken),
            broken.sql(
                "INSERT INTO node_uptime_hourly (node_id, hour, up_seconds)"
                " SELECT id, date_trunc('hour', now()), 60 FROM nodes WHERE name = 'node-1'"
            ),
        )[0],
        "cannot-tell",
        "(SELECT count(*) = 1 FROM node_uptime_hourly)",
    ),
    refused(
        "rows-inserted",
        "nothing but an INSERT; it was committed, and migrate was killed before its clean mark",
        _dies("after-file", "INSERT INTO node_events (node_id, kind) SELECT id, 'announced' FROM nodes;\n"),
        "cannot-tell",
        rows("node_events", "kind = 'announced'"),
    ),
    mendable(
        "update-without-a-match",
        "nothing but an UPDATE for which there is no row, whether it has run or not",
        _dies("before-file", "UPDATE nodes SET tier = 'standard' WHERE tier = 'basic';\n"),
        "either-way",
        no(rows("nodes", "tier = 'basic'")),
        target=None,
    ),
    mendable(
        "update-that-has-no-match-any-more",
        "an UPDATE that was committed before migrate was killed; running it again would find no row",
        _dies("after-file", "UPDATE nodes SET tier = 'performance' WHERE tier = 'archive';\n"),
        "either-way",
        no(rows("nodes", "tier = 'archive'")),
        target=None,
    ),
    mendable(
        "nothing-new",
        "all that the file would make is there already, and it says IF NOT EXISTS",
        _dies(
            "after-file",
            "CREATE INDEX IF NOT EXISTS nodes_network_idx ON nodes (network_id);\n"
            "CREATE EXTENSION IF NOT EXISTS pg_trgm;\n"
            "ALTER TABLE nodes ADD COLUMN IF NOT EXISTS state_version bigint NOT NULL DEFAULT 0;\n",
        ),
        "either-way",
        there("nodes_network_idx"),
        target=None,
    ),
]
