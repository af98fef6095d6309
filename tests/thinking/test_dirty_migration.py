"""What is planned about a dirty migration: every finding, every refusal, and the laws of a plan."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks import dirty_migration
from runbooks.dirty_migration import FAILURES, RUNBOOK, Finding, diagnose, plan, verify
from runbooks.dirty_migration_facts import (
    Asked,
    Deployed,
    Evidence,
    Facts,
    Migrator,
    Obstacle,
    Trial,
    VersionRow,
    asked_with,
)
from runbooks.dirty_migration_refusals import HINTS
from runbooks.dirty_migration_steps import BackUp, DropInvalidIndex, ForceVersion, Repair, RunMigrate, TakeBack
from runbooks.errors import BadRequest, NotVerified, Refused
from runbooks.migrations.catalog import Difference, Key
from runbooks.migrations.files import NOTHING, Direction, Migrations, migrations_of
from runbooks.migrations.judging import Case, judge
from runbooks.migrations.repair import Refusal, Rehearsal
from tests.thinking import test_judging as judged

FILES = migrations_of(
    (f"{number:03}_x.{way}.sql", b"-- the text") for number in (39, 40, 41, 42) for way in ("up", "down")
)
MIGRATOR = Migrator(4711, "advisory lock 3708018671", "active", 12.0, "10.0.0.4", "ALTER TABLE app.a ADD b int")
REHEARSED = Rehearsal(1, ("DROP TABLE app.b",), empty_tables=("app.b",), equal=True)


def facts(case: Case | None = None, version: int = 41, *, dirty: bool = True, **more: object) -> Facts:
    """Dirty at 41, deployed as it is, judged by `case`."""
    known: dict[str, object] = {
        "database": "control-plane",
        "address": "hoodcloud at 127.0.0.1:5432",
        "version_table": "public.schema_migrations",
        "rows": (VersionRow(version, dirty, "2183"),),
        "migrations": FILES,
        "now": 1_000_000.0,
        "code": "0.1.0+aa",
        "deployed": (Deployed("by the settings", as_they_are=True),),
        "backup": "s3://backups/migrations",
        "command": ("./migrate", "up"),
        "trial": trial(case) if case else None,
        **more,
    }
    return Facts(**known)  # type: ignore[arg-type]


def trial(case: Case, rehearsal: Rehearsal | None = None, **more: object) -> Trial:
    verdict = judge(case)
    return Trial(verdict, case.live, case.hypotheses, rehearsal, **more)  # type: ignore[arg-type]


def half(rehearsal: Rehearsal = REHEARSED, **more: object) -> Facts:
    """Half of a split file was applied."""
    return facts(trial=trial(judged.case(judged.B, judged.SPLIT), rehearsal, **more))


AS_IT_IS = Deployed("by the settings", as_they_are=True)


def other(text: bytes) -> Migrations:
    return migrations_of((f"{number:03}_x.{way}.sql", text) for number in (40, 41, 42) for way in ("up", "down"))


def obstacle(finding: str) -> Facts:
    return facts(obstacle=Obstacle(finding, "it is so", "do this"))


# A newcomer adds a case here: what was seen, the finding, and the kinds of steps (None: it is refused).
CASES: dict[str, tuple[Facts, Finding, tuple[type[Repair], ...] | None]] = {
    "clean": (facts(dirty=False), Finding.CLEAN, ()),
    "clean, and asked to migrate": (
        facts(version=40, dirty=False, asked=Asked(migrate=True)),
        Finding.CLEAN,
        (RunMigrate,),
    ),
    "clean at the newest, and asked to migrate": (
        facts(version=42, dirty=False, asked=Asked(migrate=True)),
        Finding.CLEAN,
        (),
    ),
    "a migrator at work": (facts(migrators=(MIGRATOR,)), Finding.STILL_RUNNING, None),
    "a migrator at work, clean": (facts(dirty=False, migrators=(MIGRATOR,)), Finding.STILL_RUNNING, None),
    "no version table": (facts(rows=None), Finding.NEVER_MIGRATED, None),
    "an empty version table": (facts(rows=()), Finding.NEVER_MIGRATED, None),
    "two rows": (facts(rows=(VersionRow(40, dirty=False), VersionRow(41, dirty=True))), Finding.SEVERAL_ROWS, None),
    "a version that no file has": (facts(version=99), Finding.FILES_MISSING, None),
    "a gap among the files": (facts(gaps=(38,)), Finding.FILES_MISSING, None),
    "dirty before the first version, whose files are there": (
        facts(judged.case(judged.A, judged.ATOMIC), version=NOTHING),
        Finding.ROLLED_BACK,
        (BackUp, ForceVersion),
    ),
    "dirty before the first version, and no file": (
        facts(version=NOTHING, migrations=Migrations(())),
        Finding.FILES_MISSING,
        None,
    ),
    "nobody knows the deployed file": (facts(deployed=()), Finding.FILE_CHANGED, None),
    "the deployed file was another": (
        facts(deployed=(Deployed("by a list", (("041_x.up.sql", "00ff"),)),)),
        Finding.FILE_CHANGED,
        None,
    ),
    "an older file was another": (
        facts(deployed=(Deployed("by a list", (("039_x.up.sql", "00ff"),), as_they_are=True),)),
        Finding.FILE_CHANGED,
        None,
    ),
    "a person confirms the files": (
        facts(
            judged.case(judged.A, judged.ATOMIC),
            deployed=(),
            asked=Asked(deployed=facts().deciding_digest),
        ),
        Finding.ROLLED_BACK,
        (BackUp, ForceVersion),
    ),
    "edited since the first look, and the settings trust the files": (
        facts(deployed=(AS_IT_IS, Deployed("at the first look", (("041_x.up.sql", "00ff"),), proves=False))),
        Finding.FILE_CHANGED,
        None,
    ),
    "edited since the first look, and confirmed after that": (
        facts(
            judged.case(judged.A, judged.ATOMIC),
            deployed=(Deployed("at the first look", (("041_x.up.sql", "00ff"),), proves=False),),
            asked=Asked(deployed=facts().deciding_digest),
        ),
        Finding.ROLLED_BACK,
        (BackUp, ForceVersion),
    ),
    "the same as at the first look, which proves nothing": (
        facts(deployed=(Deployed("at the first look", proves=False),)),
        Finding.FILE_CHANGED,
        None,
    ),
    "a person confirms what a list denies": (
        facts(
            deployed=(Deployed("by a list", (("041_x.up.sql", "00ff"),)),),
            asked=Asked(deployed=facts().deciding_digest),
        ),
        Finding.FILE_CHANGED,
        None,
    ),
    "a person confirms other files": (
        facts(migrations=other(b"-- other"), deployed=(), asked=Asked(deployed=facts().deciding_digest)),
        Finding.FILE_CHANGED,
        None,
    ),
    "rolled back": (facts(judged.case(judged.A, judged.ATOMIC)), Finding.ROLLED_BACK, (BackUp, ForceVersion)),
    "completed": (facts(judged.case(judged.C, judged.ATOMIC)), Finding.COMPLETED, (BackUp, ForceVersion)),
    "completed, and asked to migrate": (
        facts(judged.case(judged.C, judged.ATOMIC), asked=Asked(migrate=True)),
        Finding.COMPLETED,
        (BackUp, ForceVersion, RunMigrate),
    ),
    "half applied": (half(), Finding.PARTLY_APPLIED, (BackUp, TakeBack, ForceVersion)),
    "half applied, saved by a run that was interrupted": (
        replace(half(), saved="s3://backups/x.dump"),
        Finding.PARTLY_APPLIED,
        (TakeBack, ForceVersion),
    ),
    "an invalid index": (
        facts(judged.case(judged.HALF_BUILT, judged.CONCURRENT)),
        Finding.INVALID_INDEX,
        (BackUp, DropInvalidIndex, ForceVersion),
    ),
    "either way": (facts(judged.case(judged.A, judged.SAME_NAME)), Finding.EITHER_WAY, (BackUp, ForceVersion)),
    "mixed": (facts(judged.case(judged.B, judged.ATOMIC)), Finding.MIXED, None),
    "cannot tell": (facts(judged.case(judged.A, judged.ROWS)), Finding.CANNOT_TELL, None),
    "direction needed": (
        facts(judged.CASES["the next changes no object, both are sure"][0]),
        Finding.DIRECTION_NEEDED,
        None,
    ),
    "cannot replay": (obstacle("cannot-replay"), Finding.CANNOT_REPLAY, None),
    "never replayed": (facts(), Finding.CANNOT_REPLAY, None),
    "no permission": (obstacle("no-permission"), Finding.NO_PERMISSION, None),
    "a hot standby": (obstacle("hot-standby"), Finding.HOT_STANDBY, None),
    "PgBouncer": (obstacle("pooled-connection"), Finding.POOLED, None),
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_has_its_finding_and_its_plan(name: str) -> None:
    seen, finding, steps = CASES[name]
    assert diagnose(seen) is finding
    if steps is None:
        with pytest.raises(Refused) as refused:
            plan(seen)
        assert refused.value.reference == finding
        assert refused.value.nothing_changed and str(refused.value).isprintable() and refused.value.hint
    else:
        made = plan(seen)
        assert tuple(map(type, made.steps)) == steps
        assert all(str(step).isprintable() and step.undo for step in made.steps)


def test_every_finding_is_reached_and_either_planned_or_hinted() -> None:
    assert {finding for _, finding, _ in CASES.values()} == set(Finding)
    refused = {finding for _, finding, steps in CASES.values() if steps is None}
    assert refused == {Finding(word) for word in HINTS}


# What cannot be taken back: the rehearsal, what is occupied, and the reference.
REFUSED: dict[str, tuple[Rehearsal, tuple[str, ...], str]] = {
    "a table has rows": (REHEARSED, ("app.b",), "not-empty"),
    "rows were changed": (
        replace(REHEARSED, refused=(Refusal("data-committed", "an UPDATE ran"),)),
        (),
        "data-committed",
    ),
    "a column was dropped": (replace(REHEARSED, refused=(Refusal("data-gone", "app.a.x"),)), (), "data-gone"),
    "a type was changed": (replace(REHEARSED, refused=(Refusal("lossy-cast", "app.a.x"),)), (), "lossy-cast"),
    "an enum grew": (replace(REHEARSED, refused=(Refusal("enum-value-added", "app.e"),)), (), "enum-value-added"),
    "something unknown": (replace(REHEARSED, refused=(Refusal("unknown-change", "a cast"),)), (), "unknown-change"),
    "it stopped on scratch": (replace(REHEARSED, error="42P01: no such table"), (), "rehearsal-failed"),
    "it did not lead back": (
        replace(REHEARSED, equal=False, differences=(Difference(Key("table", "", "app.z"), None, ""),)),
        (),
        "rehearsal-failed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_back_is_refused_with_the_sql(name: str) -> None:
    rehearsal, occupied, reference = REFUSED[name]
    with pytest.raises(Refused) as refused:
        plan(half(rehearsal, occupied=occupied))
    assert refused.value.reference == reference and reference in FAILURES
    assert "statement 1 of 2 was the last" in refused.value.message
    assert any("DROP TABLE app.b;" in exhibit.text for exhibit in refused.value.exhibits)


def test_a_plan_shows_the_file_with_marks_what_differs_and_the_sql() -> None:
    shown = {exhibit.title: exhibit for exhibit in plan(half()).exhibits}
    (listing,) = [exhibit for title, exhibit in shown.items() if title.startswith("041_x.up.sql")]
    assert "statement 1 of 2 was the last that ran" in listing.title
    assert listing.text.startswith("ran")
    assert shown["What the file has left"].rows == (("table app.b", "missing", "there"),)
    assert shown["The SQL that takes it back"].text == "DROP TABLE app.b;"


def test_evidence_is_shown_and_decides_nothing() -> None:
    evidence = (Evidence(Direction.UP, 1, would_touch=True, seen="200 rows by one transaction"),)
    seen = facts(trial=trial(judged.case(judged.A, judged.ROWS, probes={(Direction.UP, 1): True}), evidence=evidence))
    with pytest.raises(Refused) as refused:
        plan(seen)
    assert refused.value.reference == "cannot-tell"
    assert any("200 rows" in " ".join(exhibit.lines()) for exhibit in refused.value.exhibits)


# What must change the digest: whoever agreed to one did not agree to the other.
DIGESTS: dict[str, Callable[[Facts], Facts]] = {
    "another direction": lambda seen: replace(seen, asked=Asked(Direction.UP, "whoever asked")),
    "the mark of another failure": lambda seen: replace(seen, rows=(VersionRow(41, dirty=True, mark="9999"),)),
    "other files": lambda seen: replace(seen, migrations=other(b"-- other")),
    "multi-statement mode": lambda seen: replace(seen, multi=True),
    "other code": lambda seen: replace(seen, code="0.2.0+bb"),
    "and then migrate": lambda seen: replace(seen, asked=Asked(migrate=True)),
}


@pytest.mark.parametrize("name", DIGESTS)
def test_an_approval_covers_what_was_added_by_people(name: str) -> None:
    assert plan(DIGESTS[name](half())).digest != plan(half()).digest


def test_what_moves_by_itself_changes_no_digest() -> None:
    assert plan(replace(half(), now=2_000_000.0, notes=("Vault is away",))).digest == plan(half()).digest


TYPED = {
    "sideways": ("sideways", "", "direction-malformed"),
    "a word as digits": ("up", "yes", "deployed-malformed"),
    "too few digits": ("", "0123", "deployed-malformed"),
}


@pytest.mark.parametrize("name", TYPED)
def test_what_makes_no_sense_is_a_bad_request(name: str) -> None:
    direction, deployed, reference = TYPED[name]
    with pytest.raises(BadRequest) as refused:
        asked_with(direction, deployed, migrate=False)
    assert refused.value.reference == reference


def test_what_is_typed_is_forgiven_blanks_and_case() -> None:
    asked = asked_with(" UP ", "0123 4567 89AB", migrate=True)
    assert asked == Asked(Direction.UP, "whoever asked", "0123456789ab", migrate=True)


# -- laws -----------------------------------------------------------------------------------------------------------


def carried_out(seen: Facts, steps: tuple[Repair, ...]) -> Facts:
    """What the steps promise of the version table."""
    for step in steps:
        version = (
            step.clean if isinstance(step, ForceVersion) else step.newest if isinstance(step, RunMigrate) else None
        )
        if version is not None:
            seen = replace(seen, rows=() if version == NOTHING else (VersionRow(version, dirty=False),))
    return replace(seen, trial=None)


PLANNED = [name for name, (_, _, steps) in CASES.items() if steps]


@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_carried_out_leaves_nothing_to_do(name: str) -> None:
    seen = CASES[name][0]
    made = plan(seen)
    after = carried_out(seen, made.steps)
    assert verify(after, made).startswith("clean at")
    assert plan(after).steps == () if after.rows else diagnose(after) is Finding.NEVER_MIGRATED


# What is not as promised, and must not pass for mended.
BROKEN: dict[str, Callable[[Facts], Facts]] = {
    "still dirty": lambda seen: replace(seen, rows=(VersionRow(41, dirty=True, mark="1"),)),
    "another version": lambda seen: replace(seen, rows=(VersionRow(39, dirty=False),)),
    "no version": lambda seen: replace(seen, rows=()),
    "no table": lambda seen: replace(seen, rows=None),
    "two rows": lambda seen: replace(seen, rows=(VersionRow(40, dirty=False), VersionRow(41, dirty=False))),
    "a migrator at work": lambda seen: replace(seen, migrators=(MIGRATOR,)),
    "another catalog": lambda seen: replace(seen, unlike=(Difference(Key("table", "", "app.b"), None, ""),)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_nothing_else_passes_for_mended(name: str) -> None:
    made = plan(half())
    with pytest.raises(NotVerified) as wrong:
        verify(BROKEN[name](carried_out(half(), made.steps)), made)
    assert wrong.value.reference == "not-as-promised"


@given(
    st.sampled_from([seen for seen, _, _ in CASES.values()]),
    st.sampled_from([None, (), (VersionRow(41, dirty=True, mark="1"),), (VersionRow(40, dirty=False),)]),
    st.sampled_from([(), (MIGRATOR,)]),
    st.booleans(),
)
def test_diagnosing_is_total_and_a_doubt_is_never_clean(
    seen: Facts, rows: tuple[VersionRow, ...] | None, migrators: tuple[Migrator, ...], migrate: bool
) -> None:
    mixed = replace(seen, rows=rows, migrators=migrators, asked=replace(seen.asked, migrate=migrate))
    finding = diagnose(mixed)
    if finding is Finding.CLEAN:
        assert mixed.rows and not mixed.row.dirty and not mixed.migrators and not mixed.obstacle


def test_the_runbook_names_every_word() -> None:
    assert RUNBOOK.findings == tuple(Finding) and RUNBOOK.failures == tuple(FAILURES)
    assert dirty_migration.found_without_replay(facts()) is None
