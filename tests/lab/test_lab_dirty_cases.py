"""Every case of a dirty database leaves what it says, in the version table and in the catalog."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab.dirty_cases import CASES, Broken, Case, broken
from lab.hoodcloud_database import HoodcloudDatabases
from lab.migrating import Migrate, read_folder
from lab.postgres import Postgres

MEMORY, ENOUGH = Path("/dev/shm"), 2**30


@pytest.fixture(scope="module")
def databases() -> Iterator[HoodcloudDatabases]:
    """In memory where there is room: a database is 600 files, and making those takes ten times as long on a disk."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH
    with TemporaryDirectory(dir=MEMORY if roomy else None) as folder, Postgres(Path(folder)) as server:
        yield HoodcloudDatabases(server)


@pytest.mark.long  # every run of recover-dirty-migration is tried on every case in tests/order
@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_a_case_leaves_what_it_says_and_its_cure_is_one(
    case: Case, databases: HoodcloudDatabases, tmp_path: Path
) -> None:
    with broken(case, databases, tmp_path / "migrations") as bed:
        assert bed.version_rows() == case.row
        assert bed.sql(f"SELECT {case.truth}", superuser=True) == [(True,)]
        if case.then_up:
            _mend_by_force(case, bed, databases, tmp_path)
            case.cure(bed)
            assert bed.migrate() in {"", "no change"}
            assert bed.version_rows() == ((read_folder(bed.folder).newest, False),)


def _mend_by_force(case: Case, bed: Broken, databases: HoodcloudDatabases, tmp_path: Path) -> None:
    """Where the file left nothing or all of it, a person forces the version; else a fresh database takes the place."""
    target = read_folder(bed.folder).previous(41) if case.target is None else case.target
    if case.finding in {"rolled-back", "completed", "either-way"}:
        with Migrate(bed.settings) as migrate:
            migrate.force(target)
    elif case.mended:
        bed.database = replace(databases.create(tmp_path / "fresh", case.service, target), folder=bed.folder)


def test_there_are_enough_of_them_and_every_finding_is_one() -> None:
    assert len(CASES) >= 24
    assert {case.finding for case in CASES.values()} == {
        "clean",
        "still-running",
        "rolled-back",
        "completed",
        "partly-applied",
        "invalid-index",
        "mixed",
        "either-way",
        "cannot-tell",
        "direction-needed",
        "never-migrated",
        "several-rows",
        "files-missing",
        "file-changed",
        "cannot-replay",
        "no-permission",
    }


def test_what_is_partly_applied_says_how_far_and_every_mended_case_where_it_ends() -> None:
    for case in CASES.values():
        assert (case.at is not None) == (case.finding == "partly-applied"), case.name
        assert case.target is None or case.mended, case.name
