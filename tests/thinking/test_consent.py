"""Who may agree to what: every way in which an approval counts, and every way in which it does not."""

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.consent import PEOPLE, Ballot, Door, Policy, Vote
from runbooks.errors import BadRequest, NotApproved, PlanDrifted, RunbookError
from runbooks.exhibit import Exhibit
from runbooks.plan import Plan, PlanSheet, difference, read_digest

NOW = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Turn:
    """A step to plan with."""

    screw: int
    undo: str = "turn it back"

    def __str__(self) -> str:
        return f"turn screw {self.screw}"


PLAN = Plan("mend-it", "thing/one", "loose", "2 screws", ("screw 1 is loose",), (Turn(1), Turn(2)), "0.1.0+aa")
FINAL = replace(PLAN, steps=(Turn(1, undo=""), Turn(2)))
LATER = replace(PLAN, finding="looser", basis=("screw 1 is lost",), steps=(Turn(2),))
OTHER = replace(PLAN, target="thing/two")

ALONE = Policy(requester_may_approve=True, typed_digest_counts=True)
ANOTHER = Policy()
TWO = Policy(approvals=2)
STANDING = replace(ANOTHER, standing=True)


def yes(person: str, door: Door = Door.COMMAND_LINE, at: float = NOW) -> Vote:
    return Vote(person, door, agrees=True, at=at)


def no(person: str, at: float = NOW) -> Vote:
    return Vote(person, Door.COMMAND_LINE, agrees=False, at=at)


def ballot(policy: Policy, *votes: Vote, typed: Plan[Turn] | None = PLAN, age: float = 60, **more: object) -> Ballot:
    facts: dict[str, object] = {
        "shown": typed.sheet() if typed else None,
        "shown_at": NOW - age,
        "requester": "alice",
        **more,
    }
    return Ballot(policy, NOW, typed.digest if typed else None, votes=votes, **facts)  # type: ignore[arg-type]


# A newcomer adds a case here: what is known, and who agreed (None: nobody was asked yet).
AGREED = {
    "nobody typed a digest": (ballot(ALONE, typed=None), None),
    "a typed digest, where that counts": (ballot(ALONE), ("whoever typed the digest",)),
    "another person": (ballot(ANOTHER, yes("bob")), ("bob",)),
    "the requester, where that counts": (ballot(ALONE, yes("alice")), ("alice",)),
    "two people": (ballot(TWO, yes("bob"), yes("carol")), ("bob", "carol")),
    "two people by two doors": (ballot(TWO, yes("bob", Door.SLACK), yes("carol")), ("bob", "carol")),
    "standing consent, nobody asked": (ballot(STANDING, typed=None), ("standing consent",)),
    "an old refusal": (ballot(ANOTHER, yes("bob"), no("carol", NOW - 1801)), ("bob",)),
}


@pytest.mark.parametrize("case", AGREED)
def test_what_counts(case: str) -> None:
    known, people = AGREED[case]
    consent = PLAN.consent(known, run="r", fence=1)
    assert (consent.agreed if consent else None) == people
    assert consent is None or all(consent.covers(step) for step in PLAN.steps)


FINAL_TWO = Policy(irreversible_approvals=2, requester_may_approve=True, typed_digest_counts=True)

# What cannot be undone may ask for more people: the plan, the votes, and who agreed (None: too few).
IRREVERSIBLE = {
    "a typed digest is not enough": (FINAL, (), None),
    "nor is one person": (FINAL, (yes("bob"),), None),
    "two are": (FINAL, (yes("bob"), yes("carol")), ("bob", "carol")),
    "a plan that can be undone needs no more than before": (PLAN, (), ("whoever typed the digest",)),
}


@pytest.mark.parametrize("case", IRREVERSIBLE)
def test_a_plan_that_cannot_be_undone_may_need_more_people(case: str) -> None:
    plan, votes, people = IRREVERSIBLE[case]
    asked = ballot(FINAL_TWO, *votes, typed=plan)
    if people is None:
        with pytest.raises(NotApproved) as denied:
            plan.consent(asked, run="r", fence=1)
        assert denied.value.reference == "approval-missing" and "of 2 approvals" in denied.value.message
    else:
        consent = plan.consent(asked, run="r", fence=1)
        assert consent is not None and consent.agreed == people


DENIED: dict[str, tuple[Ballot, type[RunbookError], str]] = {
    "nobody agreed": (ballot(ANOTHER), NotApproved, "approval-missing"),
    "only the requester": (ballot(ANOTHER, yes("alice")), NotApproved, "approval-missing"),
    "one of two": (ballot(TWO, yes("bob")), NotApproved, "approval-missing"),
    "one of two and the requester": (ballot(TWO, yes("bob"), yes("alice")), NotApproved, "approval-missing"),
    "one person twice by two doors": (
        ballot(TWO, yes("bob"), yes("bob", Door.SLACK)),
        NotApproved,
        "approval-missing",
    ),
    "by a door that knows nobody": (ballot(ANOTHER, yes("bob", Door.PREFECT_UI)), NotApproved, "approval-missing"),
    "by a door that this runbook shuts": (
        ballot(replace(ANOTHER, doors=frozenset({Door.SLACK})), yes("bob")),
        NotApproved,
        "approval-missing",
    ),
    "a nameless vote": (ballot(ANOTHER, yes("")), NotApproved, "approval-missing"),
    "a vote that is too old": (ballot(ANOTHER, yes("bob", at=NOW - 1801)), NotApproved, "approval-missing"),
    "a vote from the future": (ballot(ANOTHER, yes("bob", at=NOW + 60)), NotApproved, "approval-missing"),
    "a refusal beside enough approvals": (ballot(ANOTHER, yes("bob"), no("carol")), NotApproved, "plan-vetoed"),
    "a refusal against a typed digest": (ballot(ALONE, no("carol")), NotApproved, "plan-vetoed"),
    "a refusal against standing consent": (ballot(STANDING, no("carol"), typed=None), NotApproved, "plan-vetoed"),
    "shown too long ago": (ballot(ANOTHER, yes("bob"), age=1801), NotApproved, "approval-expired"),
    "the world moved": (ballot(ANOTHER, yes("bob"), typed=LATER), PlanDrifted, "plan-drifted"),
    "a plan of another target": (ballot(ANOTHER, yes("bob"), typed=OTHER), BadRequest, "digest-of-another-plan"),
    "a digest that nobody was shown": (replace(ballot(ANOTHER), shown=None), BadRequest, "digest-unknown"),
}


@pytest.mark.parametrize("case", DENIED)
def test_what_does_not_count(case: str) -> None:
    known, kind, reference = DENIED[case]
    with pytest.raises(kind) as denied:
        PLAN.consent(known, run="r", fence=1)
    assert denied.value.reference == reference
    assert denied.value.nothing_changed


def test_standing_consent_does_not_cover_what_cannot_be_undone() -> None:
    assert not FINAL.sheet().reversible
    assert FINAL.consent(ballot(STANDING, typed=None), run="r", fence=1) is None


def test_an_empty_plan_needs_no_consent_and_gets_none() -> None:
    assert replace(PLAN, steps=()).consent(ballot(ALONE), run="r", fence=1) is None


def test_a_consent_covers_its_own_steps_only() -> None:
    consent = PLAN.consent(ballot(ALONE), run="r", fence=1)
    assert consent is not None
    assert not consent.covers(Turn(3))


@pytest.mark.parametrize(
    "policy", [{"approvals": 2, "requester_may_approve": True}, {"approvals": 1}, {"approvals": 2}], ids=str
)
def test_a_policy_that_would_count_an_unknown_person_twice_cannot_be_made(policy: dict[str, int | bool]) -> None:
    with pytest.raises(ValueError, match="cannot be told from"):
        Policy(typed_digest_counts=True, **policy)  # type: ignore[arg-type]


def test_drift_shows_what_left_and_what_came() -> None:
    assert difference(PLAN.sheet(), LATER.sheet()) == (
        "- finding: loose",
        "- fact: screw 1 is loose",
        "- step 1: turn screw 1",
        "- step 2: turn screw 2",
        "+ finding: looser",
        "+ fact: screw 1 is lost",
        "+ step 1: turn screw 2",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"runbook": "x"},
        {"target": "x"},
        {"finding": "x"},
        {"basis": ()},
        {"steps": (Turn(2), Turn(1))},
        {"steps": (Turn(1, undo="other"), Turn(2))},
        {"code": "0.1.0+bb"},
    ],
    ids=str,
)
def test_the_digest_covers(change: dict[str, object]) -> None:
    assert replace(PLAN, **change).digest != PLAN.digest  # type: ignore[arg-type]


def test_what_only_explains_is_not_covered() -> None:
    assert replace(PLAN, because="loose: said otherwise").digest == PLAN.digest


@given(st.text(max_size=40))
def test_whatever_is_typed_as_a_digest_is_one_or_is_refused_in_one_line(typed: str) -> None:
    try:
        digest = read_digest(typed)
    except BadRequest as wrong:
        assert wrong.reference == "digest-malformed"
        assert str(wrong).isprintable()
    else:
        assert digest == "".join(typed.split()).lower()


@pytest.mark.parametrize("typed", ["ABCDEF012345", " abcdef012345\n", "abcdef 012345"])
def test_blanks_and_case_are_forgiven(typed: str) -> None:
    assert read_digest(typed) == "abcdef012345"


@pytest.mark.parametrize("typed", ["", "abcdef01234", "abcdef0123456", "abcdefghijkl", "../../etc", "0x12345678ab"])
def test_anything_else_is_not(typed: str) -> None:
    with pytest.raises(BadRequest, match="12 digits"):
        read_digest(typed)


def test_a_sheet_survives_being_stored() -> None:
    assert PlanSheet.read(PLAN.sheet().document()) == PLAN.sheet()


votes = st.builds(
    Vote,
    st.sampled_from(["", "alice", "bob", "carol"]),
    st.sampled_from(Door),
    st.booleans(),
    st.floats(NOW - 4000, NOW + 100),
)


@given(st.sampled_from([ALONE, ANOTHER, TWO, STANDING]), st.lists(votes, max_size=6), st.booleans())
def test_no_set_of_votes_lets_a_plan_pass_against_its_policy(policy: Policy, cast: list[Vote], typed: bool) -> None:
    fresh = [vote for vote in cast if 0 <= NOW - vote.at <= policy.valid_s]
    try:
        consent = PLAN.consent(ballot(policy, *cast, typed=PLAN if typed else None), run="r", fence=1)
    except NotApproved:
        return
    if consent is None:
        assert not typed
        return
    assert all(vote.agrees for vote in fresh), "a refusal is a veto"
    if consent.agreed[0] in ("standing consent", "whoever typed the digest"):
        assert policy.standing or policy.typed_digest_counts
        return
    known = {vote.person for vote in fresh if vote.door in PEOPLE} - {""}
    assert set(consent.agreed) <= known
    assert len(consent.agreed) >= policy.approvals
    assert policy.requester_may_approve or "alice" not in consent.agreed


def test_evidence_is_kept_with_the_plan_and_is_no_part_of_its_digest() -> None:
    table = Exhibit("differs", header=("what", "is"), rows=(("a", "b"),))
    exhibits = (Exhibit("the file", "ran 1 | CREATE TABLE …"), table)
    shown = replace(PLAN, exhibits=exhibits)
    assert shown.digest == PLAN.digest
    assert PlanSheet.read(json.loads(json.dumps(shown.sheet().document()))) == shown.sheet()
    without = {name: value for name, value in PLAN.sheet().document().items() if name != "exhibits"}
    assert PlanSheet.read(without) == PLAN.sheet(), "a plan that an older version wrote down"
    assert table.lines() == ("differs:", "  what | is", "  a | b")
