"""Plans that are shown, votes on them, and that neither counts twice."""

import threading

import pytest
import store_cases as cases
from sqlalchemy import update

from runbooks.consent import Door, Policy
from runbooks.errors import BadRequest, NotApproved, PlanDrifted
from runbooks.plan import Consent
from store import approvals, journal
from store.database import Database
from store.schema import PLANS

PLAN = cases.plan()
TWO = Policy(approvals=2)


def show(db: Database, person: str = "ann", valid_s: float = 1800) -> None:
    with db.write() as conn:
        approvals.show(conn, PLAN.sheet(), cases.origin(person=person), valid_s=valid_s)


def agree(db: Database, person: str, agrees: bool = True) -> None:
    approvals.vote(db, PLAN.digest, person, Door.SLACK, agrees)


def consent(db: Database, policy: Policy = TWO, approve: str | None = PLAN.digest) -> Consent[cases.TurnScrew] | None:
    return PLAN.consent(approvals.ballot(db, policy, PLAN.sheet(), approve), run="run-2", fence=1)


def age(db: Database, seconds: float) -> None:
    with db.write() as conn:
        conn.execute(update(PLANS).values(shown_at=PLANS.c.shown_at - seconds))


def test_enough_people_agree(db: Database) -> None:
    show(db)
    agree(db, "bob")
    with pytest.raises(NotApproved, match="1 of 2"):
        consent(db)
    agree(db, "eve")
    given = consent(db)
    assert given is not None
    assert given.agreed == ("bob", "eve")
    assert journal.verify(db).faults == ()


def test_without_a_digest_nobody_was_asked(db: Database) -> None:
    assert consent(db, approve=None) is None


def test_whoever_asked_does_not_count_even_when_another_asks_again(db: Database) -> None:
    show(db, "ann")
    show(db, "bob")
    agree(db, "ann")
    with pytest.raises(NotApproved, match="the requester, ann, does not"):
        consent(db, Policy())
    agree(db, "bob")
    assert consent(db, Policy()) is not None


def test_a_plan_that_was_out_of_sight_has_a_new_requester(db: Database) -> None:
    show(db, "ann")
    age(db, 1801)
    show(db, "bob")
    agree(db, "bob")
    with pytest.raises(NotApproved, match="the requester, bob, does not"):
        consent(db, Policy())


def test_showing_it_again_starts_its_time_anew(db: Database) -> None:
    show(db)
    agree(db, "bob")
    age(db, 1801)
    with pytest.raises(NotApproved, match="approval-expired"):
        consent(db, Policy())
    show(db)
    assert consent(db, Policy()) is not None


def test_the_last_word_counts(db: Database) -> None:
    show(db)
    agree(db, "bob")
    agree(db, "bob", agrees=False)
    with pytest.raises(NotApproved, match="refused by bob"):
        consent(db, Policy())
    agree(db, "bob")
    assert consent(db, Policy()) is not None
    (open_plan,) = approvals.open_plans(db)
    assert [(vote.person, vote.agrees) for vote in open_plan.votes] == [("bob", True)]
    assert journal.verify(db).faults == ()


@pytest.mark.parametrize(
    "digest", ["", PLAN.digest[:11], PLAN.digest + "0", PLAN.digest.upper(), "%", cases.plan("c").digest]
)
def test_only_the_whole_digest_of_a_plan_that_was_shown_takes_votes(digest: str, db: Database) -> None:
    show(db)
    with pytest.raises(BadRequest) as raised:
        approvals.vote(db, digest, "bob", Door.SLACK, agrees=True)
    assert raised.value.reference == "digest-unknown"
    assert approvals.open_plans(db)[0].votes == ()


def test_a_vote_returns_the_plan_that_it_was_for(db: Database) -> None:
    show(db)
    assert approvals.vote(db, PLAN.digest, "bob", Door.SLACK, agrees=True) == PLAN.sheet()


def test_a_plan_is_spent_with_its_votes(db: Database) -> None:
    show(db)
    agree(db, "bob")
    with db.write() as conn:
        approvals.spend(conn, PLAN.digest)
        approvals.spend(conn, PLAN.digest)
    assert approvals.open_plans(db) == ()
    with pytest.raises(BadRequest, match="digest-unknown"):
        consent(db, Policy())
    show(db)
    with pytest.raises(NotApproved, match="0 of 1"):
        consent(db, Policy())
    assert journal.verify(db).faults == ()


def test_what_was_approved_is_compared_with_what_is_needed_now(db: Database) -> None:
    show(db)
    now = cases.plan("a")
    with pytest.raises(PlanDrifted) as raised:
        now.consent(approvals.ballot(db, Policy(), now.sheet(), PLAN.digest), run="run-2", fence=1)
    assert "- fact: screw b is loose" in raised.value.difference


def test_open_plans_are_the_recent_ones(db: Database) -> None:
    show(db)
    age(db, 90_000)
    with db.write() as conn:
        approvals.show(conn, cases.plan("c").sheet(), cases.origin(person="eve"))
    (recent,) = approvals.open_plans(db)
    assert (recent.sheet, recent.requester, recent.door) == (cases.plan("c").sheet(), "eve", Door.SLACK)
    assert len(approvals.open_plans(db, within_s=100_000)) == 2


def test_votes_that_race_all_count_once(db: Database) -> None:
    show(db)
    people = ["bob", "eve", "joe", "kim"]

    def vote(person: str) -> None:
        for turn in range(4):
            agree(db, person, agrees=turn % 2 == 1)

    threads = [threading.Thread(target=vote, args=(person,)) for person in people * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    votes = approvals.open_plans(db)[0].votes
    assert sorted(vote.person for vote in votes) == people
    audit = journal.verify(db)
    assert (audit.rows, audit.faults) == (1 + 32, ())
