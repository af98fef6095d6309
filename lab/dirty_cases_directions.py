"""A dirty mark at a version means that its *up* failed, or that the *down* of the version after it did."""

from lab.dirty_cases_bed import Act, Broken, mendable, refused
from lab.dirty_cases_truths import all_of, column, constraint, gone, no, rows, there
from lab.dirty_cases_ways import by_hand, rewritten
from lab.hoodcloud_database import MIGRATIONS

_UP = """
    ALTER TABLE nodes ADD COLUMN zone text;
    CREATE INDEX nodes_zone_idx ON nodes (zone);
    ALTER TABLE nodes ADD CONSTRAINT nodes_zone_short CHECK (length(zone) < 20);
    """
_DOWN = """
    ALTER TABLE nodes DROP CONSTRAINT nodes_zone_short;
    DROP INDEX nodes_zone_idx;
    ALTER TABLE nodes DROP COLUMN zone;
    """
_MARK = "UPDATE nodes SET labels = labels || '{\"seen\": true}';\n"
_UNMARK = "UPDATE nodes SET labels = labels - 'seen';\n"
_ALL_THERE = all_of(column("nodes", "zone"), there("nodes_zone_idx"), constraint("nodes", "nodes_zone_short"))
_CORRECTED = rewritten("041_zones", down=_DOWN)


def _down_fails(down: str, because: str) -> Act:
    """Version 41 is there; going back from it fails."""

    def breaks(broken: Broken) -> None:
        broken.write("041_zones", _UP, down)
        broken.succeeds()
        broken.fails(because, "down", 1)

    return breaks


def _down_is_lost(broken: Broken) -> None:
    broken.write("041_zones", _UP, _DOWN)
    broken.succeeds()
    broken.dies("after-file", "down")


def _first_down_fails(broken: Broken) -> None:
    """Somebody's own table uses what the first version has made."""
    broken.sql("CREATE TABLE visitors (name citext)")
    broken.fails("cannot drop extension citext", "down", 1)


def _lost_below_rows(broken: Broken) -> None:
    """041 is through and its clean mark is missing; 042 changes rows only, and can be taken back."""
    broken.write("041_zones", _UP, _DOWN)
    broken.write("042_labels", _MARK, _UNMARK)
    broken.dies("after-file")


def _down_of_rows_fails(broken: Broken) -> None:
    broken.write("041_zones", _UP, _DOWN)
    broken.write("042_labels", _MARK, _UNMARK + "SELECT 1 / 0;\n")
    broken.succeeds()
    broken.fails("division by zero", "down", 1)


def _up_fails_below(broken: Broken, down_of_next: str) -> None:
    broken.write("041_zones", _UP + "ALTER TABLE nodes ALTER COLUMN zone SET NOT NULL;\n", _DOWN)
    broken.write("042_hubs", "CREATE TABLE hubs (name text);\n", down_of_next)
    broken.fails("contains null values")


def _original(broken: Broken) -> None:
    folder = MIGRATIONS / "control_plane"
    broken.write("040_node_overview", (folder / "040_node_overview.up.sql").read_text(encoding="utf-8"))


def _fortieth_fails(broken: Broken) -> None:
    broken.write("040_node_overview", "CREATE VIEW node_overview AS SELECT 1 AS one;\nCREATE TABLE nodes ();\n")
    broken.write("041_zones", _UP, _DOWN)
    broken.fails("already exists")


_BACK = {"row": ((40, True),), "target": 41, "cure": _CORRECTED}

DIRECTIONS = [
    mendable(
        "down-rolled-back",
        "going back from 41 failed in its last statement and was taken back; 41 is still there in full",
        _down_fails(_DOWN + "ALTER TABLE nodes DROP COLUMN tier, ADD CHECK (name = '');\n", "violated by some row"),
        "rolled-back",
        _ALL_THERE,
        **_BACK,
    ),
    mendable(
        "down-fails-by-itself",
        "the down of 41 drops something that never was; 41 is still there in full",
        _down_fails(_DOWN + "DROP TABLE zones;\n", 'table "zones" does not exist'),
        "rolled-back",
        _ALL_THERE,
        **_BACK,
    ),
    mendable(
        "down-unparsable",
        "the down of 41 is no SQL; 41 is still there in full",
        _down_fails("DORP INDEX nodes_zone_idx;\n", "syntax error"),
        "rolled-back",
        _ALL_THERE,
        **_BACK,
    ),
    mendable(
        "down-partly",
        "the down of 41 has dropped a constraint and an index and committed that; the rest failed",
        _down_fails(
            """
            BEGIN;
            ALTER TABLE nodes DROP CONSTRAINT nodes_zone_short;
            DROP INDEX nodes_zone_idx;
            COMMIT;
            DROP TABLE zones;
            """,
            'table "zones" does not exist',
        ),
        "partly-applied",
        all_of(column("nodes", "zone"), gone("nodes_zone_idx"), no(constraint("nodes", "nodes_zone_short"))),
        at=4,
        **_BACK,
    ),
    mendable(
        "down-lost-after-commit",
        "the down of 41 is through, and migrate was killed before its clean mark",
        _down_is_lost,
        "completed",
        no(column("nodes", "zone")),
        row=((40, True),),
    ),
    mendable(
        "first-down-fails",
        "the down of the very first version fails: the mark is at -1, which `migrate version` calls no migration",
        _first_down_fails,
        "rolled-back",
        "to_regnamespace('audit') IS NOT NULL",
        start=1,
        row=((-1, True),),
        target=1,
        cure=by_hand("DROP TABLE visitors"),
    ),
    mendable(
        "first-down-lost",
        "the down of the very first version is through, and migrate was killed before its clean mark",
        lambda broken: broken.dies("after-file", "down"),
        "completed",
        "to_regnamespace('audit') IS NULL",
        start=1,
        row=((-1, True),),
        target=-1,
    ),
    mendable(
        "up-fails-below-another",
        "the up of 41 fails while 42 is there already, with a down",
        lambda broken: _up_fails_below(broken, "DROP TABLE hubs;\n"),
        "rolled-back",
        no(column("nodes", "zone")),
        cure=rewritten("041_zones", _UP),
    ),
    mendable(
        "unparsable-down-above",
        "the up of 41 fails; the down of 42 is no SQL",
        lambda broken: _up_fails_below(broken, "DORP TABLE hubs;\n"),
        "rolled-back",
        no(column("nodes", "zone")),
        cure=rewritten("041_zones", _UP),
    ),
    mendable(
        "up-40-fails-below-41",
        "the last version of a release fails while the next release's is there already",
        _fortieth_fails,
        "rolled-back",
        gone("node_overview"),
        start=39,
        row=((40, True),),
        target=39,
        cure=_original,
    ),
    refused(
        "rows-only-version-above",
        "41 is through, or the down of 42, which changes rows only, did not run: the catalog is the same for both",
        _lost_below_rows,
        "direction-needed",
        all_of(_ALL_THERE, no(rows("nodes", "labels ? 'seen'"))),
    ),
    mendable(
        "rows-only-version-above-and-up",
        "the same, and the person says that it was an up",
        _lost_below_rows,
        "completed",
        all_of(_ALL_THERE, no(rows("nodes", "labels ? 'seen'"))),
        target=41,
        hint="up",
    ),
    refused(
        "rows-only-version-above-and-down",
        "the down of 42, which changes rows only, failed; the person says that it was a down, yet did it run?",
        _down_of_rows_fails,
        "cannot-tell",
        all_of(_ALL_THERE, rows("nodes", "labels ? 'seen'")),
        hint="down",
    ),
]
