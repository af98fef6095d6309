"""The journal: whatever one does to it by hand is found."""

from typing import Any

import pytest
import store_cases as cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update

from runbooks.consent import Door
from store import approvals, journal, outbox
from store.database import Database
from store.schema import JOURNAL, JOURNAL_HEAD
from store.steps import carry_out
from store.targets import hold


@pytest.fixture
def written(db: Database) -> Database:
    """A store with two runs in it: one carried out its plan and told, one showed a plan and got a vote."""
    with hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=cases.origin(), stale_s=30) as turn:
        agreed = cases.consent(db, turn)
        with carry_out(db, agreed, agreed.plan.steps[0]) as record:
            record.note = "two turns"
        outbox.record(db, turn, cases.outcome(), dedup="run-1", spend=agreed.plan.digest)
    with db.write() as conn:
        approvals.show(conn, cases.plan("c").sheet(), cases.origin("run-2"))
    approvals.vote(db, cases.plan("c").digest, "bob", Door.TELEGRAM, agrees=True)
    assert journal.verify(db).faults == ()
    return db


def test_an_empty_journal_is_whole(db: Database) -> None:
    assert journal.verify(db) == journal.Audit(0, journal.START, ())


def test_every_row_holds_the_hash_of_the_one_before(written: Database) -> None:
    with written.read() as conn:
        rows = conn.execute(select(JOURNAL).order_by(JOURNAL.c.seq)).all()
        assert [row.previous for row in rows] == [journal.START, *(row.hash for row in rows[:-1])]
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert journal.head(conn) == rows[-1].hash == journal.verify(written).head
    events = ["took", "planned", "voted", "intended", "applied", "told", "spent", "released", "planned", "voted"]
    assert [row.event for row in rows] == events


# ---- one change by hand, any


def _other(value: Any) -> st.SearchStrategy[Any]:
    if isinstance(value, int):
        return st.integers(-(2**31), 2**31 - 1).filter(lambda other: other != value)
    if isinstance(value, float):
        return st.floats(0, 4e9).filter(lambda other: other != value)
    letters = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=8)
    cut = st.integers(0, len(value)).flatmap(
        lambda at: st.integers(at, len(value)).flatmap(
            lambda to: letters.map(lambda new: value[:at] + new + value[to:]),
        )
    )
    return cut.filter(lambda other: other != value)


@st.composite
def _spoilt(draw: st.DrawFn, rows: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The rows with one thing done to them, and what that was."""
    rows = [dict(row) for row in rows]
    at = draw(st.integers(0, len(rows) - 1))
    match draw(st.sampled_from(["change", "remove", "repeat", "swap", "cut"])):
        case "change":
            column = draw(st.sampled_from(sorted(rows[at])))
            rows[at][column] = draw(_other(rows[at][column]))
            return f"changed {column} of row {at + 1}", rows
        case "remove":
            del rows[at]
            return f"removed row {at + 1}", rows
        case "repeat":
            later = [{**row, "seq": row["seq"] + 1} for row in rows[at:]]
            return f"wrote row {at + 1} twice", [*rows[: at + 1], *later]
        case "swap":
            other = draw(st.integers(0, len(rows) - 1).filter(lambda other: other != at))
            rows[at]["seq"], rows[other]["seq"] = rows[other]["seq"], rows[at]["seq"]
            return f"swapped rows {at + 1} and {other + 1}", rows
        case _:
            return f"cut the tail from row {at + 1} on", rows[:at]


def _replace(db: Database, rows: list[dict[str, Any]]) -> None:
    with db.write() as conn:
        conn.execute(delete(JOURNAL))
        if rows:
            conn.execute(insert(JOURNAL), rows)


@given(data=st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_done_to_one_row_is_found(written: Database, data: st.DataObject) -> None:
    with written.read() as conn:
        rows = [dict(row) for row in conn.execute(select(JOURNAL).order_by(JOURNAL.c.seq)).mappings()]
    what, spoilt = data.draw(_spoilt(rows))
    if len({row["seq"] for row in spoilt}) < len(spoilt):
        return  # the database itself forbids that
    try:
        _replace(written, spoilt)
        assert journal.verify(written).faults, what
    finally:
        _replace(written, rows)
    assert journal.verify(written).faults == ()


BY_HAND = [
    ("UPDATE journal_head SET seq = seq - 1", "the head names row 9"),
    ("UPDATE journal_head SET hash = 'f00'", "the head names row 10 (f00)"),
    ("DELETE FROM journal_head", "the head names row 0"),
    ("DELETE FROM journal WHERE seq = 10", "the head names row 10"),
    ("UPDATE journal SET event = 'failed' WHERE seq = 5", "row 5 (failed) was changed"),
    ("UPDATE journal SET data = '}' WHERE seq = 6", "row 6 (told) was changed"),
    ("UPDATE votes SET agrees = NOT agrees", "the vote bob on"),
    ("UPDATE votes SET person = 'eve'", "the vote eve on"),
    ("UPDATE votes SET at = at + 1000", "is not as in the journal"),
    ("DELETE FROM votes", "is in the journal and was removed"),
    ("INSERT INTO votes SELECT digest, 'eve', door, agrees, at FROM votes", "the vote eve on"),
    ("UPDATE plans SET requester = 'eve'", "is not as in the journal"),
    ("UPDATE plans SET shown_at = shown_at + 1000", "is not as in the journal"),
    ("UPDATE plans SET sheet = replace(sheet, 'screw c', 'screw d')", "is not as in the journal"),
    ("UPDATE plans SET sheet = ''", "is not as in the journal"),
    ("UPDATE outcomes SET outcome = replace(outcome, 'tight', 'loose')", "the outcome"),
    ("UPDATE outcomes SET outcome = replace(outcome, '\"head\"', '\"heat\"')", "the outcome"),
    ("UPDATE outcomes SET dedup = 'run-3'", "the outcome"),
    ("INSERT INTO outcomes (seq, id, dedup, run, at, outcome) VALUES (9, 'x', 'y', 'z', 0, '{}')", "the outcome x"),
]


@pytest.mark.parametrize(("statement", "fault"), BY_HAND, ids=[statement for statement, _ in BY_HAND])
def test_whatever_is_done_by_hand_is_named(written: Database, statement: str, fault: str) -> None:
    with written.write() as conn:
        assert conn.execute(text(statement)).rowcount > 0
    assert any(fault in line for line in journal.verify(written).faults), journal.verify(written).faults


def test_an_outcome_that_was_removed_is_missed(written: Database) -> None:
    with written.write() as conn:
        conn.execute(text("DELETE FROM deliveries"))
        conn.execute(text("DELETE FROM outcomes"))
    (fault,) = journal.verify(written).faults
    assert fault.endswith("is in the journal and was removed")


def test_only_a_kept_head_finds_a_journal_that_was_rewritten(db: Database) -> None:
    with db.write() as conn:
        kept = [journal.append(conn, event="wrote", data={"number": number}) for number in range(3)]
    with db.write() as conn:  # cut the tail and set the head right: a forger who knows how this works
        conn.execute(delete(JOURNAL).where(JOURNAL.c.seq == 3))
        conn.execute(update(JOURNAL_HEAD).values(seq=2, hash=kept[1]))
    assert journal.verify(db).faults == ()
    assert journal.verify(db, known_head=kept[1][:12]).faults == ()
    (fault,) = journal.verify(db, known_head=kept[2][:12]).faults
    assert kept[2][:12] in fault


def _forge(db: Database, rows: list[dict[str, Any]], *, chain: bool) -> None:
    """Hash every row anew as one who has read this code would; with `chain` each is also linked to the one before."""
    last = journal.START
    for row in rows:
        row["previous"] = last if chain else row["previous"]
        last = row["hash"] = journal._hash(row)
    _replace(db, rows)
    with db.write() as conn:
        conn.execute(update(JOURNAL_HEAD).values(seq=rows[-1]["seq"], hash=rows[-1]["hash"]))


def test_a_forger_must_rewrite_everything_that_follows(db: Database) -> None:
    with db.write() as conn:
        for number in range(4):
            journal.append(conn, event="wrote", data={"number": number})
    with db.read() as conn:
        rows = [dict(row) for row in conn.execute(select(JOURNAL).order_by(JOURNAL.c.seq)).mappings()]
    _forge(db, [{**row, "data": row["data"].replace("1", "7")} for row in rows], chain=False)
    assert journal.verify(db).faults == ("row 3 does not continue the row before it",)
    _forge(db, [row for row in rows if row["seq"] != 2], chain=True)
    (fault,) = journal.verify(db).faults
    assert fault.startswith("row 3 follows row 1")


def test_a_message_carries_the_head_that_proves_the_journal(written: Database) -> None:
    letter = outbox.claim(written, "slack", lease_s=30)
    assert letter is not None
    assert len(letter.outcome.head) == 12
    assert journal.verify(written, known_head=letter.outcome.head).faults == ()
