"""What the step before a deployment does: every finding, and what must not pass for migrated."""

from dataclasses import replace

import pytest

from runbooks.dirty_migration_facts import Facts, Obstacle, VersionRow
from runbooks.errors import NotVerified, Refused
from runbooks.pending_migrations import HINTS, Finding, diagnose, plan, verify
from tests.thinking.test_dirty_migration import MIGRATOR, facts

CLEAN = facts(version=41, dirty=False)

# A newcomer adds a case here: what was seen, the finding, and how many steps (None: it is refused).
CASES: dict[str, tuple[Facts, Finding, int | None]] = {
    "newer files": (CLEAN, Finding.PENDING, 1),
    "never migrated": (replace(CLEAN, rows=None), Finding.PENDING, 1),
    "an empty version table": (replace(CLEAN, rows=()), Finding.PENDING, 1),
    "at the newest": (facts(version=42, dirty=False), Finding.NEWEST, 0),
    "dirty": (facts(), Finding.DIRTY, None),
    "a migrator at work": (replace(CLEAN, migrators=(MIGRATOR,)), Finding.STILL_RUNNING, None),
    "newer than the files": (facts(version=43, dirty=False), Finding.AHEAD, None),
    "two rows": (
        replace(CLEAN, rows=(VersionRow(1, dirty=False), VersionRow(2, dirty=False))),
        Finding.SEVERAL_VERSIONS,
        None,
    ),
    "a gap among the files": (replace(CLEAN, gaps=(38,)), Finding.FILES_MISSING, None),
    "a standby": (replace(CLEAN, obstacle=Obstacle("hot-standby", "it is one", "x")), Finding.UNSUITABLE, None),
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_has_its_finding_and_its_plan(name: str) -> None:
    seen, finding, steps = CASES[name]
    assert diagnose(seen) is finding
    if steps is None:
        with pytest.raises(Refused) as refused:
            plan(seen)
        assert refused.value.reference == finding and "{" not in refused.value.hint
    else:
        assert len(plan(seen).steps) == steps


def test_every_finding_is_reached() -> None:
    assert {finding for _, finding, _ in CASES.values()} == set(Finding)
    assert {finding for _, finding, steps in CASES.values() if steps is None} == set(HINTS)


def test_a_plan_carried_out_leaves_nothing_to_do() -> None:
    made = plan(CLEAN)
    after = facts(version=42, dirty=False)
    assert verify(after, made) == "clean at version 42, the newest"
    assert plan(after).steps == ()


@pytest.mark.parametrize("name", [name for name in CASES if name != "at the newest"])
def test_nothing_else_passes_for_migrated(name: str) -> None:
    with pytest.raises(NotVerified) as wrong:
        verify(CASES[name][0], plan(CLEAN))
    assert wrong.value.reference == "not-the-newest"
