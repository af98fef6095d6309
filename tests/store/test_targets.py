"""One lock per target: who gets it, who does not and what they are told, and what a dead holder leaves."""

import json
from contextlib import AbstractContextManager
from dataclasses import asdict, replace

import pytest
import store_cases as cases
from sqlalchemy import select, update
from store_cases import Child, Start, eventually

from runbooks.consent import Door, Origin
from runbooks.errors import RunbookError, StepFailed, StoreUnusable, TargetHeld, Unreachable
from runbooks.report import Ending
from store import journal, outbox, targets
from store.database import Database
from store.holder import Process
from store.schema import JOURNAL, TARGETS
from store.steps import carry_out
from store.targets import Interrupted, Turn, hold


def take(
    db: Database, run: str = "run-1", target: str = cases.TARGET, stale_s: float = 30
) -> AbstractContextManager[Turn]:
    return hold(db, target=target, runbook=cases.RUNBOOK, origin=cases.origin(run), stale_s=stale_s)


def change(db: Database, **values: object) -> None:
    with db.write() as conn:
        conn.execute(update(TARGETS).values(values))


def column(db: Database, name: str) -> object:
    with db.read() as conn:
        return conn.execute(select(TARGETS.c[name])).scalar_one()


def events(db: Database) -> list[tuple[str, str, int]]:
    with db.read() as conn:
        return [
            tuple(row)
            for row in conn.execute(select(JOURNAL.c.event, JOURNAL.c.run, JOURNAL.c.fence).order_by(JOURNAL.c.seq))
        ]


def elsewhere(db: Database, silent_s: float) -> None:
    """Make the holder one of another host, of which nothing can be proved, that was last heard `silent_s` ago."""
    with db.read() as conn:
        now = db.now(conn)
    change(db, process=replace(Process.this(), host="elsewhere").written(), heartbeat_at=now - silent_s)


# ---- taking and giving back


def test_every_turn_has_a_higher_number(db: Database) -> None:
    for fence, run in enumerate(("run-1", "run-2", "run-3"), 1):
        with take(db, run) as turn:
            assert (turn.fence, turn.run, turn.interrupted) == (fence, run, None)
            turn.check()
    assert events(db)[-2:] == [("took", "run-3", 3), ("released", "run-3", 3)]
    assert journal.verify(db).faults == ()


def test_two_targets_do_not_wait_for_each_other(db: Database) -> None:
    with take(db, "run-1", "vault/a") as one, take(db, "run-2", "vault/b") as other:
        assert (one.fence, other.fence) == (1, 1)


def test_who_comes_second_is_told_everything(db: Database) -> None:
    with take(db) as turn:
        agreed = cases.consent(db, turn)
        with carry_out(db, agreed, agreed.plan.steps[0]), pytest.raises(TargetHeld) as raised, take(db, "run-2"):
            pytest.fail("held twice")
    said = raised.value
    assert said.reference == "target-held"
    for fact in (
        "vault/lab",
        "ann in Slack",
        "turn-screws",
        "brave-fox",
        "http://ui/runs/run-1",
        "UTC",
        "“Turn screw a”",
    ):
        assert fact in said.message, said.message
    assert "http://ui/runs/run-1" in said.hint
    assert "silent" not in said.message
    assert not any(run == "run-2" for _, run, _ in events(db))


def test_a_run_without_person_page_or_name_is_told_as_well(db: Database) -> None:
    alarm = Origin("run-1", Door.SCHEDULE)
    with (
        hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=alarm, stale_s=30),
        pytest.raises(TargetHeld, match="held by somebody by a schedule: turn-screws, run run-1, since") as raised,
        take(db, "run-2"),
    ):
        pytest.fail("held twice")
    assert "between steps" in raised.value.message
    assert "`runbook status`" in raised.value.hint


def test_an_error_gives_the_target_back(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), take(db):
        _ = 1 / 0
    with take(db, "run-2") as turn:
        assert turn.fence == 2


def test_the_holders_own_transaction_can_give_it_back(db: Database) -> None:
    with take(db) as turn:
        with db.write() as conn:
            turn.release(conn)
        with take(db, "run-2") as second:
            assert second.fence == 2
        written = events(db)
    assert events(db) == written, "leaving afterwards does nothing more"


def test_a_release_that_was_rolled_back_is_made_good_by_leaving(db: Database) -> None:
    with take(db) as turn, pytest.raises(ZeroDivisionError), db.write() as conn:
        turn.release(conn)
        _ = 1 / 0
    assert column(db, "state") == "free"
    assert events(db) == [("took", "run-1", 1), ("released", "run-1", 1)]


def test_a_store_that_fails_at_the_end_does_not_hide_why_the_run_stopped(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise StoreUnusable("store-full", "full", hint="free space")

    with pytest.raises(Unreachable), take(db) as turn:
        monkeypatch.setattr(Turn, "release", broken)
        raise Unreachable("gone", "gone", hint="again")
    assert column(db, "fence") == turn.fence


# ---- silence and death


def test_a_holder_says_that_it_lives(db: Database) -> None:
    with take(db, stale_s=0.2):
        first = column(db, "heartbeat_at")
        eventually(lambda: column(db, "heartbeat_at") != first)


def test_a_silent_holder_is_dead_only_after_its_time(db: Database) -> None:
    with take(db) as turn:
        elsewhere(db, silent_s=20)
        with pytest.raises(TargetHeld, match=r"silent for 20 s and counts as dead at \d\d:\d\d:\d\d UTC") as raised:
            take(db, "run-2").__enter__()
        assert "in 11 s" in raised.value.hint
        elsewhere(db, silent_s=31)
        with take(db, "run-2") as second:
            assert second.fence == 2
            assert second.interrupted is not None
            with pytest.raises(StepFailed) as lost:
                turn.check()
        assert lost.value.reference == "turn-lost"
    assert [event for event, _, _ in events(db)] == ["took", "took-over", "released"], "a lost turn gives nothing back"
    assert column(db, "interrupted") != ""


def test_whoever_waits_less_long_grants_the_holder_the_time_it_asked_for(db: Database) -> None:
    with take(db, stale_s=300):
        elsewhere(db, silent_s=200)
        with pytest.raises(TargetHeld, match="is held by"):
            take(db, "run-2", stale_s=5).__enter__()


def test_proving_the_turn_ends_the_silence(db: Database) -> None:
    with take(db) as turn:
        elsewhere(db, silent_s=31)
        turn.check()
        with pytest.raises(TargetHeld, match="is held by"):
            take(db, "run-2").__enter__()


def test_the_target_stays_lost_when_the_other_has_ended(db: Database) -> None:
    with take(db) as turn:
        elsewhere(db, silent_s=31)
        with take(db, "run-2"):
            pass
        with pytest.raises(StepFailed, match="turn 1 on vault/lab is over"):
            turn.check()


def test_a_lost_turn_can_still_tell_and_gives_nothing_back(db: Database) -> None:
    with take(db) as turn:
        elsewhere(db, silent_s=31)
        with take(db, "run-2") as second:
            assert outbox.record(db, turn, cases.outcome("run-1", Ending.FAILED), dedup="run-1")
            second.check()
    assert [(event, run) for event, run, _ in events(db)][2:] == [("told", "run-1"), ("released", "run-2")]


def test_everything_that_is_held_can_be_listed(db: Database) -> None:
    assert targets.held(db, stale_s=30) == ()
    with take(db, "run-1", "vault/a") as turn, take(db, "run-2", "vault/b"):
        agreed = cases.consent(db, turn)
        with carry_out(db, agreed, agreed.plan.steps[0]):
            one, other = targets.held(db, stale_s=30)
        assert (one.target, one.state, one.person, one.step) == ("vault/a", "at work", "ann", "Turn screw a")
        assert (other.target, other.state, other.run, other.step) == ("vault/b", "at work", "run-2", "")
        elsewhere(db, silent_s=20)
        assert [round(one.free_in_s) for one in targets.held(db, stale_s=30)] == [10, 10]
        assert {one.state for one in targets.held(db, stale_s=30)} == {"silent"}
        elsewhere(db, silent_s=31)
        assert {one.state for one in targets.held(db, stale_s=30)} == {"dead"}


# ---- what is left behind


def kill_in(start: Start, url: str, run: str, screw: str = "") -> None:
    child: Child = start("die", url, run, screw)
    assert child.hear().startswith("inside" if screw else "between")
    child.kill()
    child.wait()


def test_a_chain_of_deaths_loses_no_step_and_no_remark(db: Database, url: str, start: Start) -> None:
    kill_in(start, url, "run-1", "a")
    with take(db, "run-2") as turn:  # at once, as the death can be proved
        assert turn.fence == 2
        first = turn.interrupted
    assert first is not None
    assert (first.run, first.runbook, first.step) == ("run-1", cases.RUNBOOK, "Turn screw a")
    assert first.remarks == {"nonce-a": "run-1"}

    kill_in(start, url, "run-3")
    with take(db, "run-4") as turn:
        assert turn.interrupted == first, "whoever died between two steps adds nothing"

    kill_in(start, url, "run-5", "b")
    with take(db, "run-6") as turn:
        assert turn.interrupted is not None
        assert (turn.interrupted.run, turn.interrupted.step) == ("run-5", "Turn screw b")
        assert turn.interrupted.remarks == {"nonce-a": "run-1", "nonce-b": "run-5"}
    assert [event for event, _, fence in events(db) if fence in (2, 4, 6) and event != "released"] == ["took-over"] * 3


LEFT = Interrupted("run-0", cases.RUNBOOK, "Turn screw z", {"nonce": "1"}, 5.0)

ENDINGS = [
    (Ending.DONE, None),
    (Ending.NOTHING_TO_DO, None),
    (Ending.AWAITS_APPROVAL, LEFT),
    (Ending.REFUSED, LEFT),
    (Ending.FAILED, LEFT),
    (None, LEFT),
]


@pytest.mark.parametrize(("ending", "left"), ENDINGS)
def test_it_is_remembered_until_a_run_finds_the_target_well(
    ending: Ending | None, left: Interrupted | None, db: Database
) -> None:
    with take(db):
        pass
    change(db, interrupted=json.dumps(asdict(LEFT)))
    with take(db, "run-2") as turn:
        assert turn.interrupted == LEFT
        if ending:
            outbox.record(db, turn, cases.outcome("run-2", ending), dedup="run-2")
    with take(db, "run-3") as turn:
        assert turn.interrupted == left


FAILURES: list[tuple[RunbookError | Exception, str]] = [
    (StepFailed("screw-stuck", "it is stuck", hint="look"), "Turn screw a"),
    (Unreachable("no-answer", "no answer", hint="again"), "Turn screw a"),
    (ZeroDivisionError(), "Turn screw a"),
    (TargetHeld("compare-and-set", "somebody else was faster", hint="look"), ""),
]


@pytest.mark.parametrize(("error", "step"), FAILURES, ids=lambda value: type(value).__name__)
def test_a_step_that_failed_half_way_is_left_behind_as_well(error: Exception, step: str, db: Database) -> None:
    with pytest.raises(type(error)), take(db) as turn:
        agreed = cases.consent(db, turn)
        with carry_out(db, agreed, agreed.plan.steps[0]) as record:
            record.remark("nonce", "7")
            raise error
    with take(db, "run-2") as turn:
        left = turn.interrupted
    assert (left.step, left.remarks) == (step, {"nonce": "7"}) if left else not step


def test_a_run_that_is_started_again_answers_for_its_new_turn_only(db: Database) -> None:
    with pytest.raises(StepFailed), take(db) as turn:
        agreed = cases.consent(db, turn)
        with carry_out(db, agreed, agreed.plan.steps[0]):
            raise StepFailed("screw-stuck", "it is stuck", hint="look")
    with take(db, "run-2") as turn:
        assert turn.interrupted is not None
        outbox.record(db, turn, cases.outcome("run-2", Ending.DONE), dedup="run-2")
    with take(db, "run-1"):
        pass
    with take(db, "run-3") as turn:
        assert turn.interrupted is None
