"""Random migrations really fail, and what the runbook says of them is compared with what was really done.

The truth is known by a row that each statement leaves behind it, and by a database in which the same files ran straight
through; neither knows how the runbook judges. The law: it refuses, or it is right.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, event, given, settings

from lab.postgres import Postgres
from runbooks import dirty_migration
from runbooks.dirty_migration import Finding
from runbooks.dirty_migration_facts import Facts
from runbooks.dirty_migration_steps import DropInvalidIndex
from runbooks.errors import Refused, StepFailed
from runbooks.migrations.catalog import changed
from tests.order.random_migrations import Story, stories, story_with, text_with
from tests.order.random_migrations_bed import Bed, Database, State, carry_out, drifted, seen

REFUSALS = {"mixed", "cannot-tell", "direction-needed", "cannot-replay"}
"""That nobody can tell, or that a person must add something."""

ANOTHER = "another story"


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A server in memory, where there is some."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="random-migrations-", dir=memory))
    patch = pytest.MonkeyPatch()
    patch.setenv("RUNBOOK_STORE_URL", f"sqlite:///{folder / 'store.db'}")
    patch.setenv("RUNBOOK_ENV_FILE", "/dev/null")
    patch.setenv("RUNBOOK_DATABASES", "{}")
    try:
        with Postgres(folder / "postgres") as server:
            made = Bed(server, folder)
            try:
                yield made
            finally:
                made.close()
    finally:
        patch.undo()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Truth:
    """What was really done: `ran` statements are committed; the state `before` the file, and
    that before the version whose down it was.
    """

    ran: int
    before: State
    lower: State | None


def breaks(story: Story, live: Database) -> Truth | None:
    """Makes it happen in `live`; None where it does not get so far, because an up fails before the down."""
    lower = None
    if story.down:
        if live.migrate("up", 1, multi=story.multi):
            return None
        lower = live.state()
        if live.migrate("up", 1, multi=story.multi):
            return None
    if story.drift and not story.late:
        live.run(drifted(story.drift))
    before = live.state()
    ran = live.fails(story)
    if story.by_hand:
        live.run(story.by_hand)
    if story.drift and story.late:
        live.run(drifted(story.drift))
    return Truth(ran, before, lower)


def straight(story: Story, other: Database) -> tuple[State | None, State | None]:
    """The states after the whole file, and after `migrate up` to the newest; None where it does not get there."""
    if story.down:
        other.onwards(multi=story.multi)
    if story.drift:
        other.run(drifted(story.drift))
    if other.migrate("down" if story.down else "up", 1, multi=story.multi):
        return None, None
    after = other.state()
    return after, None if other.onwards(multi=story.multi) else other.state()


def check(bed: Bed, story: Story) -> str:
    """The law, for one story; what came of it."""
    with bed.database(story) as live:
        if (truth := breaks(story, live)) is None:
            return ANOTHER
        found = live.state()
        with live.known_to_runbook(story) as name:
            facts = seen(name, story)
            word = dirty_migration.diagnose(facts)
            _numbered_rightly(story, facts, word, truth)
            try:
                plan = dirty_migration.plan(facts)
            except Refused as refused:
                assert live.state() == found and live.version()[1], "a refusal changes nothing"
                assert not (story.plain and word in REFUSALS), f"refused: {refused}"
                return f"refused: {refused.reference}"
            try:
                carry_out(name, plan, facts)
            except (StepFailed, Refused) as stopped:
                began = any(isinstance(step, DropInvalidIndex) for step in plan.steps)
                assert (began or live.state() == found) and live.version()[1], f"it stopped half-way: {stopped}"
                assert not story.plain, f"stopped: {stopped}"
                return f"stopped: {stopped.reference}"
        with bed.database(story) as other:
            after, newest = straight(story, other)
            _mended_rightly(story, live, truth, facts, after)
            _goes_on(story, live, after, newest)
        return f"decided: {word}"


def _numbered_rightly(story: Story, facts: Facts, word: Finding, truth: Truth) -> None:
    assert word in (*REFUSALS, "rolled-back", "completed", "partly-applied", "invalid-index", "either-way"), word
    fit = facts.trial.verdict.fit if facts.trial else None
    if fit is None or story.by_hand:
        return
    ran = truth.ran
    while ran + 1 in story.failing.free:
        ran += 1
    if word == Finding.PARTLY_APPLIED:
        assert fit.at <= ran <= fit.last, f"{truth.ran} statements ran, it says {fit.at} to {fit.last}"


def _mended_rightly(story: Story, live: Database, truth: Truth, facts: Facts, after: State | None) -> None:
    """The database is now at the version that is said, wholly: objects, and rows unless a person wrote some."""
    at, dirty = live.version()
    fit = facts.trial.verdict.fit if facts.trial else None
    assert fit and not dirty and at == fit.target
    undone = story.base + 2 if story.down else story.base
    assert at in (undone, story.base + 1), f"version {at} is neither before nor after"
    expected, now = truth.before if at == undone else after, live.state()
    if story.by_hand and at != undone and truth.lower and not changed(truth.lower.catalog, now.catalog):
        return  # somebody has taken it back to there
    assert expected is not None, "said to be at its end, where it cannot end"
    differ = sorted(map(str, changed(expected.catalog, now.catalog)))
    assert not differ, f"mended to {at}, but {differ[:5]}"
    # what may have run, and would change nothing now, is run again below; a view shows rows of any age
    harmless = at == undone and fit.at < fit.last
    views = {key.name for key in expected.catalog if key.kind == "materialized view" and at == undone}
    if not story.by_hand and not harmless:
        other = [table for table in expected.rows.keys() - views if now.rows.get(table) != expected.rows[table]]
        assert not other, f"mended to {at}, but other rows in {other}"


def _goes_on(story: Story, live: Database, after: State | None, newest: State | None) -> None:
    """The same files run again, where they can, and lead where they lead when nothing fails."""
    if story.by_hand:
        return
    down_again = live.version()[0] == story.base + 2
    expected = after if down_again else newest
    if expected is None:
        return
    said = live.migrate("down", 1, multi=story.multi) if down_again else live.onwards(multi=story.multi)
    assert not said, said
    now = live.state()
    assert not (differ := sorted(map(str, changed(expected.catalog, now.catalog)))), f"afterwards {differ[:5]}"
    assert now.rows == expected.rows, "afterwards other rows"


ADD = "ALTER TABLE app.users ADD COLUMN c text"
TABLE = "CREATE TABLE app.t (id bigint PRIMARY KEY, a text)"
INDEX = "CREATE INDEX i ON app.logins (at)"
UNIQUE = "CREATE UNIQUE INDEX CONCURRENTLY i ON app.users (mail)"
NEXT = (text_with(INDEX, ADD), text_with("DROP INDEX app.i", "ALTER TABLE app.users DROP COLUMN c"))

# A newcomer adds a story here: what ran, and what must be said of it.
DECIDED: dict[str, tuple[Story, str]] = {
    "as one query, nothing ran": (story_with(ADD, TABLE, INDEX, stops=0), "rolled-back"),
    "as one query, in the middle": (story_with(ADD, TABLE, INDEX, stops=2), "rolled-back"),
    "as one query, at the end": (story_with(ADD, TABLE, INDEX, stops=3), "rolled-back"),
    "as one query, lost after it": (story_with(ADD, TABLE, INDEX, stops=None), "completed"),
    "in a transaction": (story_with("BEGIN", ADD, TABLE, "COMMIT", stops=2), "rolled-back"),
    "in a transaction, lost after it": (story_with("BEGIN", ADD, TABLE, "COMMIT", stops=None), "completed"),
    "left open": (story_with("BEGIN", ADD, TABLE, stops=None), "rolled-back"),
    "in two transactions": (story_with("BEGIN", ADD, "COMMIT", TABLE, INDEX, stops=4), "partly-applied"),
    "between two transactions": (story_with("BEGIN", ADD, "COMMIT", "BEGIN", INDEX, "COMMIT", stops=3),
                                 "partly-applied"),
    "in pieces, nothing ran": (story_with(ADD, TABLE, INDEX, stops=0, multi=True), "rolled-back"),
    "in pieces, one ran": (story_with(ADD, TABLE, INDEX, stops=1, multi=True), "partly-applied"),
    "in pieces, all ran": (story_with(ADD, TABLE, INDEX, stops=3, multi=True), "completed"),
    "an index that cannot be unique": (story_with(UNIQUE, stops=None), "invalid-index"),
    "a down, in the middle": (story_with(TABLE, stops=1, following=NEXT), "rolled-back"),
    "a down, lost after it": (story_with(TABLE, stops=None, following=NEXT), "completed"),
    "a down in pieces": (story_with(TABLE, stops=1, multi=True, following=NEXT), "partly-applied"),
    "rows decide, but a table shows": (story_with("DELETE FROM app.users WHERE id = 3", TABLE, stops=1), "rolled-back"),
    "a query at the end, not run": (story_with(ADD, "SELECT count(*) FROM app.users", stops=1, multi=True),
                                    "completed"),
}  # fmt: skip


@pytest.mark.parametrize("name", DECIDED)
def test_what_is_plain_is_decided(bed: Bed, name: str) -> None:
    story, word = DECIDED[name]
    assert check(bed, story) == f"decided: {word}"


# What no object shows, and must not be taken for done: here the statement before it ran, and it did not.
UNSEEN = (
    "REFRESH MATERIALIZED VIEW app.totals",
    "ALTER TABLE app.users ALTER COLUMN note TYPE text USING upper(note)",
    "ALTER TABLE app.users DROP COLUMN note, ADD COLUMN note text",
    "ALTER SEQUENCE app.counter RESTART WITH 77",
    "UPDATE app.users SET note = 'new' WHERE note = 'kept'",
    "CREATE CONVERSION app.latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8",
    "SET search_path TO app, public; DELETE FROM users WHERE id = 2",
    "SELECT set_config('search_path', 'app', false); DELETE FROM users WHERE id = 2",
    "SELECT 1 / (2 - count(*)) FROM app.users WHERE mail IS NOT NULL",
    "SELECT name::integer FROM app.users",
    "DO $$ BEGIN DROP TABLE IF EXISTS app.scrap; CREATE TABLE app.scrap (id bigint); END $$",
    "DO $$ BEGIN IF EXISTS (SELECT FROM app.users) THEN CREATE TABLE app.made (); END IF; END $$",
    "DO $$ BEGIN IF EXISTS (SELECT FROM app.users) THEN RAISE 'not empty'; END IF; END $$",
    "DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM app.users); END $$",
)


@pytest.mark.parametrize("statement", UNSEEN)
def test_what_nothing_shows_is_not_taken_for_done(bed: Bed, statement: str) -> None:
    story = replace(story_with("BEGIN", ADD, "COMMIT", *statement.split("; ") if "$$" not in statement else [statement],
                               stops=None), stops=3)  # fmt: skip
    told = replace(story, up=replace(story.up, dark=frozenset({4})))
    assert check(bed, told) == "refused: cannot-tell"


def test_what_nothing_shows_is_not_taken_back(bed: Bed) -> None:
    story = story_with("ALTER SEQUENCE app.counter RESTART WITH 77", ADD, TABLE, stops=2, multi=True)
    assert check(bed, story) == "refused: unknown-change"


def test_a_file_that_may_be_another_one_is_not_judged(bed: Bed) -> None:
    story = story_with(ADD, TABLE, stops=1)
    with bed.database(story) as live:
        breaks(story, live)
        digests = live.folder.parent / f"{live.name}.sha256"
        lines = [f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in live.folder.iterdir()]
        digests.write_text("".join(lines))
        with live.known_to_runbook(story, files_are_deployed=False) as name:
            assert dirty_migration.diagnose(seen(name, story)) == "file-changed", "nobody wrote down what ran"
        with live.known_to_runbook(story, files_are_deployed=False, deployed=str(digests)) as name:
            assert dirty_migration.diagnose(seen(name, story)) == "rolled-back"
            for text in (f"{ADD};\n", f"{story.up}{INDEX};\n"):  # it lost a statement, it gained one
                (live.folder / "007_it.up.sql").write_text(text)
                assert dirty_migration.diagnose(seen(name, story)) == "file-changed"


common = settings(
    deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@settings(common, max_examples=30, derandomize=True)
@given(story=stories())
def test_it_refuses_or_is_right(bed: Bed, story: Story) -> None:
    outcome = check(bed, story)
    assume(outcome != ANOTHER)
    event(f"plain, {outcome}" if story.plain else outcome)


@pytest.mark.long
@settings(common, max_examples=300)
@given(story=stories())
def test_it_refuses_or_is_right_three_hundred_times(bed: Bed, story: Story) -> None:
    outcome = check(bed, story)
    assume(outcome != ANOTHER)
    event(f"plain, {outcome}" if story.plain else outcome)
