"""Every way in which a database gets dirty that the lab can show, from the first look to the next migrate.

The proof that a mended database is well is not the run's own verdict: it is a database of the same service that came
to the same version without a failure, or, where nothing but the version had to change, the database itself as before.
"""

from pathlib import Path

import pytest

from lab.dirty_cases import CASES, Broken, Case, broken
from lab.dirty_cases_directions import DIRECTIONS
from lab.dirty_cases_lost import LOST
from lab.dirty_cases_objects import OBJECTS
from lab.dirty_cases_partly import INVALID, PARTLY
from lab.dirty_cases_people import PEOPLE
from lab.dirty_cases_processes import PROCESSES
from lab.dirty_cases_rows import ROWS
from lab.dirty_cases_stopped import STOPPED
from lab.hoodcloud_database import HoodcloudDatabases
from lab.migrating import read_folder
from runbooks.dirty_migration import Finding
from tests.order.forked_runs import Forked
from tests.order.migrations_bed import (
    NAME,
    Seen,
    advisory_locks,
    environment,
    is_refusal_of,
    look,
    marks,
    never_broken,
    nothing_left,
    seen,
    settings_of_case,
)

TAKEN_BACK = ("partly-applied", "invalid-index")
"""The findings for which more than the version is mended."""


FAST = 3
"""How many cases of one topic and finding are mended in the fast tests; the others are `long`. All that must be refused
are fast.
"""

TOPICS = (STOPPED, PARTLY, LOST, INVALID, OBJECTS, ROWS, PROCESSES, DIRECTIONS, PEOPLE)


def is_long(case: Case) -> bool:
    """Whether it is not among the first of its topic with its finding."""
    (topic,) = [topic for topic in TOPICS if case in topic]
    alike = [one for one in topic if one.mended and one.finding == case.finding]
    return case.mended and alike.index(case) >= FAST


def each(cases: list[Case]) -> pytest.MarkDecorator:
    marks = {case.name: [pytest.mark.long] if is_long(case) else [] for case in cases}
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name, marks=marks[case.name]) for case in cases])


def test_the_fast_tests_have_every_finding() -> None:
    assert {case.finding for case in CASES.values() if not is_long(case)} == {case.finding for case in CASES.values()}


@each([case for case in CASES.values() if case.mended])
def test_what_can_be_mended_is_mended_and_the_next_migrate_goes_well(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path, case: Case
) -> None:
    with broken(case, migrated, tmp_path / "migrations") as bed:
        before, known = seen(bed), environment(tmp_path, settings_of_case(case, bed, tmp_path))
        looked = look(recover, known, direction=case.hint)
        assert (looked.ending, looked.finding) == ("awaits approval", case.finding), looked.error
        assert seen(bed) == before, "a look changes nothing"
        done = look(recover, known, direction=case.hint, approve=looked.digest)
        assert done.ending == "done", done.error
        check_mended(case, bed, before, migrated, tmp_path)
        nothing_left(migrated.server)
        case.cure(bed)
        assert bed.migrate() in {"", "no change"}
        assert bed.version_rows() == ((read_folder(bed.folder).newest, False),)
        again = look(recover, known)
        assert (again.ending, again.finding) == ("nothing to do", Finding.CLEAN), again.error


def check_mended(case: Case, bed: Broken, before: Seen, migrated: HoodcloudDatabases, folder: Path) -> None:
    after = seen(bed)
    versions = [(version, dirty) for version, dirty, _ in after.versions]
    if case.target is not None:
        assert versions == ([] if case.target == -1 else [(case.target, False)])
    if case.finding in TAKEN_BACK:
        well = never_broken(case, bed, migrated, folder / "never-broken")
        assert (after.catalog, after.rows) == (well.catalog, well.rows)
    else:
        assert (after.catalog, after.rows) == (before.catalog, before.rows)
        assert bed.sql(f"SELECT {case.truth}", superuser=True) == [(True,)]


@each([case for case in CASES.values() if not case.mended])
def test_what_cannot_be_mended_is_refused_and_nothing_is_changed(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path, case: Case
) -> None:
    with broken(case, migrated, tmp_path / "migrations") as bed:
        state = marks if case.finding == Finding.STILL_RUNNING else seen
        before, locks = state(bed), advisory_locks(migrated.server)
        known = environment(tmp_path, settings_of_case(case, bed, tmp_path))
        looked = look(recover, known, direction=case.hint)
        if case.finding == Finding.CLEAN:
            assert (looked.ending, looked.finding, looked.steps) == ("nothing to do", Finding.CLEAN, ())
        else:
            assert is_refusal_of(case, looked), looked
        assert state(bed) == before
        assert not (tmp_path / "backups").exists()
        nothing_left(migrated.server, locks)
        assert bed.sql(f"SELECT {case.truth}", superuser=True) == [(True,)]
        if case.then_up:
            case.cure(bed)
            assert bed.migrate() in {"", "no change"}


def test_a_refused_case_is_not_mended_by_any_digest(
    recover: Forked, migrated: HoodcloudDatabases, tmp_path: Path
) -> None:
    with broken(CASES["half-by-hand"], migrated, tmp_path / "migrations") as bed:
        before, known = seen(bed), environment(tmp_path, settings_of_case(CASES["half-by-hand"], bed, tmp_path))
        ended = recover.run(known, database=NAME, approve="0123456789ab")
        assert ended.reference == Finding.MIXED
        assert seen(bed) == before
