"""What a run cannot work with: it says so in one line, with a word that is a heading, and changes nothing."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab.dirty_cases import CASES, Broken, broken
from lab.hoodcloud_database import HoodcloudDatabases
from runbooks.dirty_migration import Finding
from tests.order.forked_runs import Ended, Forked
from tests.order.migrations_bed import NAME, environment, nothing_left, seen, settings_of

SOON = {"tasks.migrations.session.LOCK_LIMIT_S": 0.2}
"""So that a test need not wait as long as the application must be let alone."""


@dataclass
class Input:
    """What a run is given: it would mend version 41, which was rolled back, if it were not for one thing."""

    bed: Broken
    folder: Path
    settings: dict[str, Any]
    parameters: dict[str, Any] = field(default_factory=lambda: {"database": NAME})
    more: dict[str, str] = field(default_factory=dict)
    changed: dict[str, Any] = field(default_factory=dict)

    def run(self, recover: Forked) -> Ended:
        """One look. Raises: AssertionError, unless a refusal is one printable line."""
        known = {**environment(self.folder, self.settings), **self.more}
        ended = recover.run(known, changed=self.changed, **self.parameters)
        assert ended.reference != "traceback", ended.error
        assert not ended.reference or (ended.error.isprintable() and ended.error.endswith(f"ref: {ended.reference}"))
        return ended


@pytest.fixture
def given(migrated: HoodcloudDatabases, tmp_path: Path) -> Iterator[Input]:
    with broken(CASES["typo"], migrated, tmp_path / "migrations") as bed:
        yield Input(bed, tmp_path, settings_of(bed, tmp_path))


# A newcomer adds a case here: what is wrong, the reference, and words of the message that a person needs.
def two_files(given: Input) -> None:
    given.bed.write("041_other", "SELECT 1;\n")


def two_files_but_for_zeros(given: Input) -> None:
    given.bed.write("0041_zones", "SELECT 1;\n")


def a_gap(given: Input) -> None:
    for file in given.bed.folder.glob("020_*"):
        file.unlink()


def a_version_that_no_file_has(given: Input) -> None:
    given.bed.sql("UPDATE schema_migrations SET version = 99")


def a_version_without_its_up_file(given: Input) -> None:
    (given.bed.folder / "041_zones.up.sql").unlink()


def no_table(given: Input) -> None:
    given.bed.sql("DROP TABLE schema_migrations")


def an_empty_table(given: Input) -> None:
    given.bed.sql("TRUNCATE schema_migrations")


def several_rows(given: Input) -> None:
    given.bed.sql("INSERT INTO schema_migrations VALUES (40, false)")


def the_wrong_schema(given: Input) -> None:
    given.settings["version_schema"] = "audit"


def a_schema_that_is_none(given: Input) -> None:
    given.settings["version_schema"] = 'no "such; schema'.replace('"', "")


def the_wrong_table(given: Input) -> None:
    given.settings["version_table"] = "schema_version"


def no_password_file(given: Input) -> None:
    given.settings["password_file"] = str(given.folder / "none")


def an_open_password_file(given: Input) -> None:
    (given.folder / "password").chmod(0o444)


def a_wrong_password(given: Input) -> None:
    file = given.folder / "wrong"
    file.write_text("canary-wrong-password")
    file.chmod(0o400)
    given.settings["password_file"] = str(file)


def no_such_database(given: Input) -> None:
    given.settings["dbname"] = "no_such"


def nobody_there(given: Input) -> None:
    given.settings["port"] = 1


def no_migrations(given: Input) -> None:
    given.settings["migrations"] = str(given.folder / "none")


def a_folder_without_migrations(given: Input) -> None:
    (given.folder / "empty").mkdir()
    given.settings["migrations"] = str(given.folder / "empty")


def a_file_that_is_no_text(given: Input) -> None:
    (given.bed.folder / "041_zones.up.sql").write_bytes(b"SELECT '\xff';")


def digests_that_are_none(given: Input) -> None:
    (given.folder / "deployed.sha256").write_text("these are no digests\n")


def another_file_than_deployed(given: Input) -> None:
    given.bed.write("041_zones", "SELECT 2;\n")


def nobody_recorded_the_files(given: Input) -> None:
    del given.settings["deployed"]


def an_unknown_database(given: Input) -> None:
    given.parameters["database"] = "nowhere"


def a_name_that_is_none(given: Input) -> None:
    given.parameters["database"] = "control plane; --"


def no_direction(given: Input) -> None:
    given.parameters["direction"] = "sideways"


def no_digits(given: Input) -> None:
    given.parameters["deployed"] = "yes, they are"


def other_digits(given: Input) -> None:
    del given.settings["deployed"]
    given.parameters["deployed"] = "0123456789ab"


def settings_that_are_no_json(given: Input) -> None:
    given.more["RUNBOOK_DATABASES"] = "{control-plane: canary-in-a-setting"


def a_setting_that_nobody_knows(given: Input) -> None:
    given.settings["pasword"] = "canary-in-a-setting"


def a_locked_table(given: Input) -> None:
    given.bed.session("LOCK TABLE nodes IN ACCESS EXCLUSIVE MODE")
    given.changed = SOON


def a_locked_version_table(given: Input) -> None:
    given.bed.session("LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE")
    given.changed = SOON


BAD: dict[str, tuple[Callable[[Input], None], str, str]] = {
    "two files of one version": (two_files, "migration-twice", "041_other.up.sql and 041_zones.up.sql"),
    "two files but for zeros": (two_files_but_for_zeros, "migration-twice", "0041_zones.up.sql and 041_zones.up.sql"),
    "a gap": (a_gap, Finding.FILES_MISSING, "no file has 20"),
    "a version that no file has": (a_version_that_no_file_has, Finding.FILES_MISSING, "no file has version 99"),
    "no up file": (a_version_without_its_up_file, Finding.FILES_MISSING, "version 41 has no up file"),
    "no table": (no_table, Finding.NEVER_MIGRATED, "public.schema_migrations of"),
    "an empty table": (an_empty_table, Finding.NEVER_MIGRATED, "is empty"),
    "several rows": (several_rows, Finding.SEVERAL_ROWS, "clean at version 40, dirty at version 41"),
    "the wrong schema": (the_wrong_schema, Finding.NEVER_MIGRATED, "there is one in schema public"),
    "a schema that is none": (a_schema_that_is_none, Finding.NEVER_MIGRATED, "there is one in schema public"),
    "the wrong table": (the_wrong_table, Finding.NEVER_MIGRATED, "public.schema_version of"),
    "no password file": (no_password_file, "password-file-missing", "none"),
    "an open password file": (an_open_password_file, "password-file-open", "has mode 0444"),
    "a wrong password": (a_wrong_password, "database-login-refused", "hoodcloud"),
    "no such database": (no_such_database, "database-missing", "no_such"),
    "nobody there": (nobody_there, "database-unreachable", "127.0.0.1:1"),
    "no migrations": (no_migrations, "migrations-missing", "is no folder on this host"),
    "a folder without migrations": (a_folder_without_migrations, "migrations-missing", "holds no file"),
    "a file that is no text": (a_file_that_is_no_text, "migration-unreadable", "041_zones.up.sql"),
    "digests that are none": (digests_that_are_none, "digests-unreadable", "line 1 of"),
    "another file than deployed": (another_file_than_deployed, Finding.FILE_CHANGED, "041_zones.up.sql is not what"),
    "nobody recorded the files": (nobody_recorded_the_files, Finding.FILE_CHANGED, "nobody recorded what 041_zones"),
    "an unknown database": (an_unknown_database, "unknown-database", "the databases are: control-plane"),
    "a name that is none": (a_name_that_is_none, "target-malformed", "names no target"),
    "no direction": (no_direction, "direction-malformed", "say up or down, or nothing"),
    "no digits": (no_digits, "deployed-malformed", "12 digits"),
    "other digits": (other_digits, Finding.FILE_CHANGED, "--param deployed="),
    "no JSON": (settings_that_are_no_json, "bad-setting", "RUNBOOK_DATABASES"),
    "a setting that nobody knows": (a_setting_that_nobody_knows, "bad-setting", "pasword"),
    "a locked table": (a_locked_table, "catalog-locked", "somebody has held a lock"),
    "a locked version table": (a_locked_version_table, "catalog-locked", "somebody has held a lock"),
}


@pytest.mark.parametrize("case", BAD)
def test_it_is_said_in_one_line_and_nothing_is_changed(
    recover: Forked, migrated: HoodcloudDatabases, given: Input, case: str
) -> None:
    spoil, reference, words = BAD[case]
    spoil(given)
    locks = "locked" in case
    before, began = None if locks else seen(given.bed), time.monotonic()
    ended = given.run(recover)
    assert ended.reference == reference, ended
    assert words in ended.error
    assert "canary" not in ended.error + ended.printed
    assert time.monotonic() - began < 10
    if locks:
        given.bed.close()
    assert seen(given.bed) == (before or seen(given.bed))
    assert not (given.folder / "backups").exists()
    nothing_left(migrated.server)
