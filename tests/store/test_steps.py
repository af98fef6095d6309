"""What is known of a step that was carried out, that failed, that was forbidden, or in which the process died."""

import json
from contextlib import AbstractContextManager

import pytest
import store_cases as cases
from sqlalchemy import select, update
from store_cases import Start, TurnScrew

from runbooks.errors import NotApproved, Refused, StepFailed, Unreachable
from runbooks.report import Applied
from store import journal
from store.database import Database
from store.schema import JOURNAL, TARGETS
from store.steps import applied_in, begun_in, carry_out, verified
from store.targets import Turn, hold

A, B = "Turn screw a", "Turn screw b"


def take(db: Database, run: str = "run-1") -> AbstractContextManager[Turn]:
    return hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=cases.origin(run), stale_s=30)


def told(db: Database) -> list[tuple[str, dict[str, object]]]:
    with db.read() as conn:
        rows = conn.execute(
            select(JOURNAL.c.event, JOURNAL.c.data).where(JOURNAL.c.run == "run-1").order_by(JOURNAL.c.seq)
        )
        skipped = ("took", "planned", "released")
        return [(row.event, json.loads(row.data)) for row in rows if row.event not in skipped]


def test_a_plan_that_is_carried_out(db: Database) -> None:
    with take(db) as turn:
        agreed = cases.consent(db, turn)
        for step in agreed.plan.steps:
            with carry_out(db, agreed, step) as record:
                assert begun_in(db, "run-1") == str(step), "it is written before the step begins"
                record.remark("torque", "5 Nm")
                record.note = f"{step.name} is tight"
                record.undo = "turn it back" if step.name == "b" else ""
        with db.write() as conn:
            verified(conn, agreed, "both are tight")
    assert applied_in(db, "run-1") == {A: Applied(A, "a is tight"), B: Applied(B, "b is tight", "turn it back")}
    assert begun_in(db, "run-1") == ""
    assert applied_in(db, "run-2") == {}
    assert told(db) == [
        ("intended", {"step": A}),
        ("remarked", {"step": A, "name": "torque", "value": "5 Nm"}),
        ("applied", {"step": A, "note": "a is tight", "undo": ""}),
        ("intended", {"step": B}),
        ("remarked", {"step": B, "name": "torque", "value": "5 Nm"}),
        ("applied", {"step": B, "note": "b is tight", "undo": "turn it back"}),
        ("verified", {"verdict": "both are tight"}),
    ]
    assert journal.verify(db).faults == ()


FAILURES = [
    (StepFailed("screw-stuck", "it is stuck", hint="look"), "screw-stuck", A),
    (Unreachable("no-answer", "the answer may have been lost", hint="again"), "no-answer", A),
    (Refused("screw-gone", "there is no screw", hint="look"), "screw-gone", ""),
    (KeyError("x"), "KeyError", A),
    (KeyboardInterrupt(), "KeyboardInterrupt", A),
]


@pytest.mark.parametrize(("error", "reference", "begun"), FAILURES, ids=[reference for _, reference, _ in FAILURES])
def test_a_step_that_fails(error: BaseException, reference: str, begun: str, db: Database) -> None:
    with pytest.raises(type(error)), take(db) as turn:
        agreed = cases.consent(db, turn)
        with carry_out(db, agreed, agreed.plan.steps[0]):
            raise error
    assert told(db)[-1] == ("failed", {"step": A, "reference": reference, "nothing_changed": not begun})
    assert (applied_in(db, "run-1"), begun_in(db, "run-1")) == ({}, begun)


def test_a_step_that_nobody_agreed_to_is_not_begun(db: Database) -> None:
    with take(db) as turn:
        agreed = cases.consent(db, turn)
        with (
            pytest.raises(NotApproved, match="nobody agreed to: Turn screw c"),
            carry_out(db, agreed, TurnScrew("c")),
        ):
            pytest.fail("begun")
    assert told(db) == []


def test_a_step_of_a_lost_turn_is_not_begun(db: Database) -> None:
    with take(db) as turn:
        agreed = cases.consent(db, turn)
        with db.write() as conn:
            conn.execute(update(TARGETS).values(fence=2))
        with pytest.raises(StepFailed) as raised, carry_out(db, agreed, agreed.plan.steps[0]):
            pytest.fail("begun")
    assert raised.value.reference == "turn-lost"
    assert told(db) == []


def test_a_turn_that_is_lost_within_a_step_is_noticed_before_the_outside_is_touched(db: Database) -> None:
    with take(db) as turn:
        agreed = cases.consent(db, turn)
        with pytest.raises(StepFailed, match="turn-lost"), carry_out(db, agreed, agreed.plan.steps[0]) as record:
            record.check()
            with db.write() as conn:
                conn.execute(update(TARGETS).values(fence=2))
            record.check()
    assert told(db)[-1][1]["reference"] == "turn-lost"


def test_what_was_remarked_outlives_the_process(db: Database, url: str, start: Start) -> None:
    child = start("die", url, "run-1", "a")
    assert child.hear() == "inside 1"
    child.kill()
    child.wait()
    assert [event for event, _ in told(db)] == ["intended", "remarked"]
    assert begun_in(db, "run-1") == A
    assert journal.verify(db).faults == ()
