"""Databases and folders in which somebody was at work: by hand, or by an edit after the deployment."""

from lab.dirty_cases_bed import Act, Broken, as_it_was, mendable, nothing, refused
from lab.dirty_cases_truths import all_of, column, gone, no, there
from lab.dirty_cases_ways import FAILS, WHY, committed, rewritten, then, up_fails

_ZONE = "ALTER TABLE nodes ADD COLUMN zone text;\n"
_TWO = "CREATE TABLE zones (name text PRIMARY KEY);\nCREATE TABLE hubs (name text PRIMARY KEY);\n"
_TWO_FAIL = up_fails("041_zones", f"{_TWO}{FAILS}\n", WHY, "DROP TABLE hubs;\nDROP TABLE zones;\n")


def _middle_by_hand(broken: Broken) -> None:
    """The method that looks at one direction alone takes this for "the down of 42 is through"."""
    broken.write("042_more", "CREATE TABLE more (name text);\n", "DROP TABLE more;\n")
    up_fails("041_zones", f"{_ZONE}{_TWO}{FAILS}\n", WHY, "DROP TABLE hubs;\n")(broken)
    broken.sql("CREATE TABLE zones (name text PRIMARY KEY)")


def _hidden_by_if_not_exists(broken: Broken) -> None:
    broken.sql("ALTER TABLE nodes ADD COLUMN zone integer")
    up_fails("041_zones", f"ALTER TABLE nodes ADD COLUMN IF NOT EXISTS zone text;\n{FAILS}\n", WHY, "")(broken)


def _edited_after(before: Act, up: str) -> Act:
    """The file in the folder is no longer the one that was deployed."""

    def breaks(broken: Broken) -> None:
        before(broken)
        broken.write("041_zones", up)

    return breaks


def _killed(up: str) -> Act:
    def breaks(broken: Broken) -> None:
        broken.write("041_zones", up, "")
        broken.dies("after-file")

    return breaks


def _without(before: Act, *names: str) -> Act:
    """Afterwards these files are missing from the folder."""

    def breaks(broken: Broken) -> None:
        before(broken)
        for name in names:
            (broken.folder / name).unlink()

    return breaks


def _as_a_template(broken: Broken) -> None:
    """Version 20 is made by a program at deployment; what lies in the folder is no SQL."""
    _TWO_FAIL(broken)
    file = broken.folder / "020_search.up.sql"
    file.rename(file.with_name("020_search.up.sql.tmpl")).write_text("CREATE VIEW {{ .Name }} AS {{ .Query }};\n")


def _as_go(broken: Broken) -> None:
    _TWO_FAIL(broken)
    file = broken.folder / "020_search.up.sql"
    file.rename(file.with_name("020_search.up.go")).write_text("package migrations\n")


def _old_file_broken(broken: Broken) -> None:
    broken.write("020_search", "CREATE VIEW search_index AS SELECT * FROM no_such_table;\n")
    _TWO_FAIL(broken)


def _several_rows(broken: Broken) -> None:
    _TWO_FAIL(broken)
    broken.sql("INSERT INTO schema_migrations VALUES (40, false)")


def _version_table_of_somebody_else(broken: Broken) -> None:
    _TWO_FAIL(broken)
    broken.sql("ALTER TABLE schema_migrations OWNER TO postgres", superuser=True)
    broken.fails("permission denied for table schema_migrations")


_NEITHER = gone("zones", "hubs")

PEOPLE = [
    mendable(
        "drift-elsewhere",
        "taken back in full; besides, somebody has added an index and widened a column, which no file says",
        then(
            _TWO_FAIL,
            "CREATE INDEX users_created_idx ON users (created_at);"
            " ALTER TABLE webhook_deliveries ALTER COLUMN status TYPE integer",
        ),
        "rolled-back",
        all_of(_NEITHER, there("users_created_idx")),
        cure=rewritten("041_zones", _TWO),
    ),
    refused(
        "half-by-hand",
        "taken back in full; then somebody made the second of its two tables by hand",
        then(_TWO_FAIL, "CREATE TABLE hubs (name text PRIMARY KEY)"),
        "mixed",
        all_of(gone("zones"), there("hubs")),
    ),
    refused(
        "middle-by-hand",
        "taken back in full; then somebody ran its second statement by hand, while 42 lies there with a down",
        _middle_by_hand,
        "mixed",
        all_of(no(column("nodes", "zone")), there("zones"), gone("hubs")),
    ),
    refused(
        "partly-and-by-hand",
        "a part was committed; then somebody dropped one of its two tables",
        then(committed(_TWO), "DROP TABLE zones"),
        "mixed",
        all_of(gone("zones"), there("hubs")),
    ),
    refused(
        "hidden-by-if-not-exists",
        "the column was there before, with another type, and IF NOT EXISTS would have passed over it",
        _hidden_by_if_not_exists,
        "mixed",
        column("nodes", "zone"),
    ),
    refused(
        "file-lost-a-statement",
        "the file was through when migrate was killed; since then a statement was taken out of it",
        _edited_after(_killed(_ZONE + _TWO), _ZONE),
        "file-changed",
        all_of(column("nodes", "zone"), there("zones", "hubs")),
    ),
    refused(
        "file-gained-a-statement",
        "the file was through when migrate was killed; since then a statement was added to it",
        _edited_after(_killed(_ZONE), _ZONE + _TWO),
        "file-changed",
        all_of(column("nodes", "zone"), _NEITHER),
    ),
    refused(
        "file-is-missing",
        "the files of the dirty version are not in the folder: another branch is checked out",
        _without(_TWO_FAIL, "041_zones.up.sql", "041_zones.down.sql"),
        "files-missing",
        _NEITHER,
    ),
    refused(
        "older-file-is-missing",
        "a version below is missing from the folder, so that nobody can tell what there was before",
        _without(_TWO_FAIL, "020_search.up.sql", "020_search.down.sql"),
        "files-missing",
        _NEITHER,
    ),
    refused(
        "older-version-is-a-template",
        "a version below is a template that somebody fills in at deployment",
        _as_a_template,
        "cannot-replay",
        _NEITHER,
    ),
    refused(
        "older-version-is-go",
        "a version below is Go code",
        _as_go,
        "cannot-replay",
        _NEITHER,
    ),
    refused(
        "older-file-does-not-run",
        "a version below was edited and fails on an empty database",
        _old_file_broken,
        "cannot-replay",
        _NEITHER,
    ),
    refused(
        "several-rows",
        "the version table has two rows, of which golang-migrate reads whichever comes first",
        _several_rows,
        "several-rows",
        _NEITHER,
        row=((40, False), (41, True)),
    ),
    refused(
        "version-table-of-somebody-else",
        "the role of the deployment may not read the version table",
        _version_table_of_somebody_else,
        "no-permission",
        _NEITHER,
    ),
    as_it_was(
        "clean",
        "nothing is wrong: version 40, and 41 waits for its deployment",
        lambda broken: broken.write("041_zones", _ZONE, ""),
        "clean",
        no(column("nodes", "zone")),
        row=((40, False),),
    ),
    as_it_was(
        "clean-at-the-newest",
        "nothing is wrong, and nothing waits",
        nothing,
        "clean",
        there("node_overview"),
        row=((40, False),),
    ),
    as_it_was(
        "never-migrated",
        "an empty database, without a version table",
        nothing,
        "never-migrated",
        gone("schema_migrations", "users"),
        start=0,
        row=None,
    ),
]
