"""Outcomes in line for people: each exactly once in line, in order, and never lost."""

import threading
import time
from collections.abc import Callable

import pytest
import store_cases as cases
from sqlalchemy import func, select, update
from store_cases import Start

from runbooks.report import Ending
from store import approvals, journal, outbox
from store.database import Database
from store.outbox import CHANNELS, Letter
from store.schema import DELIVERIES, JOURNAL, OUTCOMES, TARGETS
from store.targets import hold


def put(db: Database, run: str = "run-1", dedup: str = "") -> str | None:
    with db.write() as conn:
        return outbox.enqueue(conn, cases.outcome(run), dedup=dedup or run)


def take(db: Database, **how: object) -> Letter | None:
    return outbox.claim(db, "slack", **{"lease_s": 30, **how})  # type: ignore[arg-type]


def taken(db: Database, **how: object) -> Letter:
    letter = take(db, **how)
    assert letter is not None
    return letter


def lapse(db: Database) -> None:
    """Let every lease run out."""
    with db.write() as conn:
        conn.execute(update(DELIVERIES).values(lease_until=0.0))


# ---- into the line


def test_one_outcome_is_one_letter_for_each_channel(db: Database) -> None:
    letter_id = put(db)
    for channel in CHANNELS:
        letter = outbox.claim(db, channel, lease_s=30)
        assert letter is not None
        assert (letter.id, letter.channel, letter.run, letter.attempt) == (letter_id, channel, "run-1", 1)
        assert letter.outcome.summary == cases.outcome().summary
        assert abs(letter.created_at - time.time()) < 5


def test_the_same_outcome_is_told_once(db: Database) -> None:
    first = put(db, "run-1", "plan:cafe:1")
    assert first is not None
    assert put(db, "run-2", "plan:cafe:1") is None
    assert put(db, "run-2", "plan:cafe:2") not in (None, first)
    assert [row.count for row in outbox.standing(db)] == [2] * len(CHANNELS)
    assert journal.verify(db).faults == ()


def test_a_silent_one_is_journaled_and_goes_to_nobody(db: Database) -> None:
    with hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=cases.origin(), stale_s=30) as turn:
        assert outbox.record(db, turn, cases.outcome(), dedup="run-1", silent=True)
    assert outbox.standing(db) == ()
    with db.read() as conn:
        assert conn.execute(select(func.count()).where(JOURNAL.c.event == "told")).scalar() == 1
    assert journal.verify(db).faults == ()


def test_nothing_is_in_line_when_the_transaction_fails(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.write() as conn:
        outbox.enqueue(conn, cases.outcome(), dedup="run-1")
        _ = 1 / 0
    assert outbox.standing(db) == ()
    assert journal.verify(db).rows == 0


def test_a_run_ends_in_one_transaction(db: Database) -> None:
    with hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=cases.origin(), stale_s=30) as turn:
        agreed = cases.consent(db, turn)
        assert outbox.record(db, turn, cases.outcome(), dedup="run-1", spend=agreed.plan.digest)
        with db.read() as conn:
            assert conn.execute(select(TARGETS.c.state)).scalar() == "free"
    assert approvals.open_plans(db) == ()
    with db.read() as conn:
        events = conn.execute(select(JOURNAL.c.event).order_by(JOURNAL.c.seq)).scalars().all()
    assert events[-3:] == ["told", "spent", "released"]


# ---- out of the line


SETTLE: dict[str, Callable[[Database, Letter], bool]] = {
    "sent": outbox.sent,
    "retry": lambda db, letter: outbox.retry(db, letter, after_s=1, why="late"),
    "dead": lambda db, letter: outbox.dead(db, letter, "late"),
    "skip": lambda db, letter: outbox.skip(db, letter, "late"),
}


def test_letters_of_a_run_leave_in_order(db: Database) -> None:
    put(db, "run-1", "1"), put(db, "run-1", "2"), put(db, "run-2", "3")
    first, other = taken(db), taken(db)
    assert (first.run, other.run) == ("run-1", "run-2")
    assert take(db) is None, "the second of run-1 waits for the first"
    assert outbox.sent(db, first)
    assert taken(db).seq == first.seq + 1


def test_a_letter_that_waits_for_its_next_attempt_holds_back_its_own_run_only(db: Database) -> None:
    put(db, "run-1", "1"), put(db, "run-1", "2"), put(db, "run-2", "3")
    assert outbox.retry(db, taken(db), after_s=60, why="503")
    assert taken(db).run == "run-2"
    assert take(db) is None
    again = taken(db, ignore_backoff=True)
    assert (again.run, again.attempt, again.why) == ("run-1", 2, "503")


def test_only_the_letters_of_one_run(db: Database) -> None:
    put(db, "run-1"), put(db, "run-2")
    assert taken(db, run="run-2").run == "run-2"
    assert take(db, run="run-2") is None
    assert take(db, run="run-3") is None


@pytest.mark.parametrize("give_up", ["dead", "skip"])
def test_what_was_given_up_does_not_hold_back_the_next(give_up: str, db: Database) -> None:
    put(db, "run-1", "1"), put(db, "run-1", "2")
    first = taken(db)
    assert SETTLE[give_up](db, first)
    assert taken(db).seq == first.seq + 1


def test_a_channel_knows_nothing_of_the_others(db: Database) -> None:
    put(db)
    assert outbox.dead(db, taken(db), "410")
    assert outbox.claim(db, "email", lease_s=30) is not None


def test_a_lease_is_kept_even_from_the_impatient(db: Database) -> None:
    put(db)
    taken(db)
    assert take(db, ignore_backoff=True) is None


def test_a_lease_runs_out(db: Database) -> None:
    put(db)
    first = taken(db, lease_s=0.0)
    assert taken(db).attempt == first.attempt + 1


@pytest.mark.parametrize("settle", SETTLE)
def test_a_worker_that_was_too_slow_cannot_overrule_its_successor(settle: str, db: Database) -> None:
    put(db)
    slow = taken(db)
    lapse(db)
    successor = taken(db)
    assert not SETTLE[settle](db, slow)
    assert outbox.sent(db, successor)
    assert not SETTLE[settle](db, slow)
    assert [row.count for row in outbox.standing(db) if (row.channel, row.status) == ("slack", "sent")] == [1]


@pytest.mark.parametrize("settle", SETTLE)
def test_what_has_arrived_stays_so(settle: str, db: Database) -> None:
    put(db)
    letter = taken(db)
    assert outbox.sent(db, letter)
    assert not SETTLE[settle](db, letter)
    assert take(db, ignore_backoff=True) is None


def test_a_worker_that_was_slow_without_a_successor_is_believed(db: Database) -> None:
    put(db)
    slow = taken(db)
    lapse(db)
    assert outbox.sent(db, slow)
    assert take(db) is None


def test_workers_that_race_never_take_the_same_letter(db: Database) -> None:
    for number in range(12):
        put(db, f"run-{number}")
    seen: list[str] = []

    def work() -> None:
        while letter := take(db):
            seen.append(letter.run)
            assert outbox.sent(db, letter)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(f"run-{number}" for number in range(12))


# ---- for the people who look after it


def test_what_was_given_up_is_listed_and_can_go_again(db: Database) -> None:
    letter_id = put(db)
    assert letter_id is not None
    outbox.retry(db, taken(db), after_s=0, why="503")
    outbox.dead(db, taken(db), "channel_not_found")
    email = outbox.claim(db, "email", lease_s=30)
    assert email is not None
    outbox.skip(db, email, "not configured")
    (letter,) = outbox.dead_letters(db)
    assert (letter.id, letter.channel, letter.attempt, letter.why) == (letter_id, "slack", 2, "channel_not_found")
    assert outbox.resend(db, letter_id, "telegram") == 0
    assert outbox.resend(db, letter_id, "slack") == 1
    assert outbox.resend(db, "0" * 32) == 0
    assert outbox.resend(db, letter_id) == 1
    again = taken(db)
    assert (again.attempt, again.claim) == (1, 3), "attempts begin anew; the fence does not"
    assert outbox.claim(db, "email", lease_s=30) is not None
    assert outbox.dead_letters(db) == ()


def test_how_it_stands(db: Database) -> None:
    put(db, "run-1"), put(db, "run-2")
    with db.write() as conn:
        conn.execute(update(OUTCOMES).where(OUTCOMES.c.run == "run-1").values(at=OUTCOMES.c.at - 100))
    outbox.sent(db, taken(db))
    by_name = {(row.channel, row.status): row for row in outbox.standing(db)}
    assert by_name["slack", "sent"].count == by_name["slack", "queued"].count == 1
    assert by_name["email", "queued"].count == 2
    assert by_name["email", "queued"].oldest_s == pytest.approx(100, abs=5)
    assert by_name["slack", "queued"].oldest_s == pytest.approx(0, abs=5)


# ---- kill -9


def test_an_outcome_is_recorded_whole_or_not_at_all(db: Database, url: str, start: Start) -> None:
    for number in range(4):
        child = start("tell", url, str(number * 1_000_000))
        for _ in range(number + 1):
            assert child.hear().startswith("run-")
        child.kill()
        child.wait()
        assert journal.verify(db).faults == ()
    with db.read() as conn:
        told = conn.execute(select(func.count()).where(JOURNAL.c.event == "told")).scalar_one()
        spent = conn.execute(select(func.count()).where(JOURNAL.c.event == "spent")).scalar_one()
        given_back = conn.execute(select(func.count()).where(JOURNAL.c.event == "released")).scalar_one()
        letters = conn.execute(select(func.count()).select_from(DELIVERIES)).scalar_one()
    assert told == spent == given_back >= 1 + 2 + 3 + 4
    assert letters == told * len(CHANNELS)
    with hold(db, target=cases.TARGET, runbook=cases.RUNBOOK, origin=cases.origin(), stale_s=30) as turn:
        assert outbox.record(db, turn, cases.outcome(ending=Ending.DONE), dedup="the last")
