"""The decisions on a sealed Vault: a table of clusters, and the law that a plan carried out leaves nothing to do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.errors import NotVerified, Refused
from runbooks.plan import difference
from runbooks.sealed_vault import HINTS, Finding, diagnose, opened, plan, settled, started_over, verify, warning
from runbooks.sealed_vault_facts import Facts, Interrupted, Node, Share, State
from runbooks.sealed_vault_steps import AwaitShares, ClearAttempt, GiveShares, Repair

OURS, OTHER = "11111111-cluster", "22222222-cluster"
KEPT = tuple(Share(f"file:/etc/hoodcloud/shares/{number}") for number in range(1, 6))
REFERENCES = tuple(share.reference for share in KEPT)


def node(number: int, state: State, **more: object) -> Node:
    known = OURS if state in (State.ACTIVE, State.STANDBY) else ""
    facts: dict[str, object] = {"threshold": 3, "cluster_id": known, **more}
    return Node(f"vault-{number}", f"https://10.0.0.{number}:8200", state, **facts)  # type: ignore[arg-type]


def cluster(*states: State, **more: object) -> Facts:
    nodes = tuple(node(number, state) for number, state in enumerate(states, 1))
    facts: dict[str, object] = {"pinned": OURS, "quorum": False, "shares": KEPT, "now": 0.0, "code": "test", **more}
    return Facts("hoodcloud", nodes, **facts)  # type: ignore[arg-type]


def with_node(facts: Facts, number: int, **more: object) -> Facts:
    nodes = list(facts.nodes)
    nodes[number - 1] = replace(nodes[number - 1], **more)  # type: ignore[arg-type]
    return replace(facts, nodes=tuple(nodes))


SEALED, ACTIVE, STANDBY, DOWN = State.SEALED, State.ACTIVE, State.STANDBY, State.UNREACHABLE
ALL_SEALED = cluster(SEALED, SEALED, SEALED)
ALL_UP = cluster(ACTIVE, STANDBY, STANDBY)
HALF_GIVEN = with_node(ALL_SEALED, 2, progress=2, nonce="n-1")
LEFT_BY_US = Interrupted("0123456789", ("vault-2",), (("vault-2", "n-1", 2),))
ONE_GIVEN = with_node(ALL_SEALED, 2, progress=1, nonce="n-1")
LEFT_BEFORE_ITS_NONCE = Interrupted("0123456789", ("vault-2",))

# A newcomer adds a case here: what was seen, what it is called.
CASES = {
    "all well": (ALL_UP, Finding.HEALTHY),
    "a single node, well": (cluster(ACTIVE), Finding.HEALTHY),
    "power cut": (ALL_SEALED, Finding.SEALED),
    "a single node, sealed": (cluster(SEALED), Finding.SEALED),
    "one node restarted": (cluster(ACTIVE, STANDBY, SEALED), Finding.PARTLY_SEALED),
    "sealed, one node down": (cluster(SEALED, SEALED, DOWN), Finding.SEALED),
    "sealed, two of three down": (cluster(SEALED, DOWN, DOWN), Finding.UNREACHABLE),
    "sealed, one of two down": (cluster(SEALED, DOWN), Finding.UNREACHABLE),
    "all down": (cluster(DOWN, DOWN, DOWN), Finding.UNREACHABLE),
    "well, one node down": (cluster(ACTIVE, STANDBY, DOWN), Finding.UNREACHABLE),
    "unsealed, majority down": (cluster(STANDBY, DOWN, DOWN), Finding.UNREACHABLE),
    "unsealed, no leader": (cluster(STANDBY, STANDBY, STANDBY), Finding.NO_LEADER),
    "474: a standby that cannot reach the active node": (cluster(ACTIVE, STANDBY, State.CUT_OFF), Finding.NO_LEADER),
    "two active nodes": (cluster(ACTIVE, ACTIVE, STANDBY), Finding.TWO_LEADERS),
    "two active nodes and a sealed one": (cluster(ACTIVE, ACTIVE, SEALED), Finding.TWO_LEADERS),
    "472: a secondary": (cluster(State.DR_SECONDARY, State.DR_SECONDARY), Finding.DR_SECONDARY),
    "472 beside a sealed node": (cluster(State.DR_SECONDARY, SEALED), Finding.DR_SECONDARY),
    "530: a node was removed": (cluster(ACTIVE, STANDBY, State.REMOVED), Finding.NODE_REMOVED),
    "530 among sealed nodes": (cluster(SEALED, SEALED, State.REMOVED), Finding.NODE_REMOVED),
    "empty": (cluster(*[State.NOT_INITIALISED] * 3), Finding.NOT_INITIALISED),
    "a node has not joined, the others serve": (
        cluster(ACTIVE, STANDBY, State.NOT_INITIALISED),
        Finding.NOT_INITIALISED,
    ),
    "a node has not joined, the others are sealed": (cluster(SEALED, SEALED, State.NOT_INITIALISED), Finding.SEALED),
    "wrong CA": (cluster(SEALED, SEALED, State.UNTRUSTED), Finding.UNTRUSTED),
    "another cluster answers": (with_node(ALL_UP, 3, cluster_id=OTHER), Finding.WRONG_CLUSTER),
    "another cluster, partly sealed": (
        with_node(cluster(ACTIVE, SEALED, SEALED), 1, cluster_id=OTHER),
        Finding.WRONG_CLUSTER,
    ),
    "transit seal": (with_node(ALL_SEALED, 1, seal_type="transit", recovery_seal=True), Finding.AUTO_UNSEAL),
    "awskms seal that says no more": (with_node(ALL_SEALED, 1, seal_type="awskms"), Finding.AUTO_UNSEAL),
    "transit seal, unsealed": (with_node(ALL_UP, 1, seal_type="transit", recovery_seal=True), Finding.HEALTHY),
    "seal migration": (with_node(ALL_SEALED, 1, migration=True), Finding.SEAL_MIGRATION),
    "somebody entered two shares": (HALF_GIVEN, Finding.SOMEONE_ELSE),
    "our dead run entered two shares": (replace(HALF_GIVEN, interrupted=LEFT_BY_US), Finding.SEALED),
    "our run died before it could journal its first share": (
        replace(ONE_GIVEN, interrupted=LEFT_BEFORE_ITS_NONCE),
        Finding.SEALED,
    ),
    "our run died before its first entry, and two shares are there": (
        replace(HALF_GIVEN, interrupted=LEFT_BEFORE_ITS_NONCE),
        Finding.SOMEONE_ELSE,
    ),
    "our run died one share ahead of its journal": (
        replace(HALF_GIVEN, interrupted=Interrupted("01", ("vault-2",), (("vault-2", "n-1", 1),))),
        Finding.SEALED,
    ),
    "somebody added a share to our dead attempt": (
        replace(
            with_node(HALF_GIVEN, 2, progress=3), interrupted=Interrupted("01", ("vault-2",), (("vault-2", "n-1", 1),))
        ),
        Finding.SOMEONE_ELSE,
    ),
    "our run died, then somebody began": (
        replace(with_node(HALF_GIVEN, 2, nonce="n-2"), interrupted=LEFT_BY_US),
        Finding.SOMEONE_ELSE,
    ),
    "our run died at another node": (
        replace(HALF_GIVEN, interrupted=Interrupted("01", ("vault-1",))),
        Finding.SOMEONE_ELSE,
    ),
    "too few shares": (replace(ALL_SEALED, shares=KEPT[:2]), Finding.SHARES_MISSING),
    "enough shares, too few good ones": (
        replace(ALL_SEALED, shares=(*KEPT[:2], *(replace(share, trouble="has mode 0644") for share in KEPT[2:]))),
        Finding.SHARES_MISSING,
    ),
    "holders keep the shares": (replace(ALL_SEALED, quorum=True, shares=()), Finding.AWAITING_SHARES),
    "holders have begun": (replace(HALF_GIVEN, quorum=True, shares=()), Finding.AWAITING_SHARES),
    "unsealed but not readable": (replace(ALL_UP, unusable="403"), Finding.UNUSABLE),
}


@pytest.mark.parametrize("case", CASES)
def test_each_case_has_its_finding_and_either_a_plan_or_a_refusal_with_a_way_out(case: str) -> None:
    facts, finding = CASES[case]
    assert diagnose(facts) is finding
    if finding in HINTS:
        with pytest.raises(Refused) as refused:
            plan(facts)
        assert refused.value.reference == finding
        assert refused.value.hint == HINTS[finding]
    else:
        assert plan(facts).finding == finding


def test_the_table_has_a_case_for_every_finding() -> None:
    assert {finding for _, finding in CASES.values()} == set(Finding)


def give(number: int, *, joins: bool = False) -> GiveShares:
    return GiveShares(f"vault-{number}", f"https://10.0.0.{number}:8200", 3, REFERENCES, joins)


STEPS: dict[str, tuple[Repair, ...]] = {
    "all well": (),
    "power cut": (give(1), give(2), give(3)),
    "one node restarted": (give(3),),
    "sealed, one node down": (give(1), give(2)),
    "a node has not joined, the others are sealed": (give(1), give(2), give(3, joins=True)),
    "our dead run entered two shares": (
        ClearAttempt("vault-2", "https://10.0.0.2:8200", 2, "n-1", "0123456789", proven=True),
        give(1),
        give(2),
        give(3),
    ),
    "holders keep the shares": (AwaitShares("hoodcloud", ("vault-1", "vault-2", "vault-3"), 3),),
}


@pytest.mark.parametrize("case", STEPS)
def test_the_plan_has_exactly_these_steps(case: str) -> None:
    assert plan(CASES[case][0]).steps == STEPS[case]


def imagine(step: Repair, facts: Facts) -> Facts:
    """The world as the step promises to leave it, one node as the leader."""
    names = step.nodes if isinstance(step, AwaitShares) else (step.node,)
    if isinstance(step, ClearAttempt):
        return replace(facts, nodes=tuple(replace(n, progress=0) if n.name in names else n for n in facts.nodes))
    led = bool(facts.within(ACTIVE))
    nodes = list(facts.nodes)
    for place, one in enumerate(nodes):
        if one.name in names:
            state = STANDBY if led else ACTIVE
            nodes[place] = replace(one, state=state, progress=0, nonce="", cluster_id=facts.pinned)
            led = True
    return replace(facts, nodes=tuple(nodes))


any_node = st.builds(
    node,
    st.integers(1, 9),
    st.sampled_from(State),
    seal_type=st.sampled_from(["shamir", "shamir", "shamir", "transit"]),
    migration=st.sampled_from([False, False, False, True]),
    progress=st.sampled_from([0, 0, 0, 1, 2]),
    nonce=st.sampled_from(["", "n-1"]),
)
any_facts = st.builds(
    Facts,
    cluster=st.just("hoodcloud"),
    nodes=st.lists(any_node, min_size=1, max_size=5, unique_by=lambda one: one.name).map(tuple),
    pinned=st.sampled_from(["", OURS]),
    quorum=st.booleans(),
    shares=st.sampled_from([(), KEPT[:2], KEPT]),
    now=st.floats(0, 1e10),
    code=st.just("test"),
    interrupted=st.sampled_from([None, LEFT_BY_US, LEFT_BEFORE_ITS_NONCE]),
    unusable=st.sampled_from(["", "", "403"]),
)


@given(any_facts)
def test_a_plan_carried_out_leaves_nothing_to_do(facts: Facts) -> None:
    try:
        first = plan(facts)
    except Refused:
        return
    for step in first.steps:
        facts = imagine(step, facts)
    assert settled(facts) or facts.within(State.NOT_INITIALISED, State.CUT_OFF)
    try:
        assert plan(facts).steps == ()
    except Refused as refused:
        # what was wrong before and is no matter of shares is still wrong, and is said
        assert refused.reference in (Finding.UNREACHABLE, Finding.NO_LEADER, Finding.UNUSABLE, Finding.NOT_INITIALISED)
    else:
        assert verify(facts, first)


@given(any_facts, st.floats(0, 1e10))
def test_the_clock_does_not_change_the_digest(facts: Facts, later: float) -> None:
    try:
        assert plan(facts).digest == plan(replace(facts, now=later)).digest
    except Refused:
        return


@given(any_facts)
def test_no_share_is_ever_planned_for_a_node_that_is_not_sealed_and_proven(facts: Facts) -> None:
    try:
        steps = plan(facts).steps
    except Refused:
        return
    states = {one.name: one.state for one in facts.nodes}
    for step in steps:
        names = step.nodes if isinstance(step, AwaitShares) else (step.node,)
        assert {states[name] for name in names} <= {SEALED, State.NOT_INITIALISED}
    assert not facts.within(State.UNTRUSTED) or not steps


STARTED_OVER = {
    "one more": (node(1, SEALED, progress=3, nonce="n-1"), False),
    "the same": (node(1, SEALED, progress=2, nonce="n-1"), False),
    "unsealed": (node(1, ACTIVE), False),
    "a wrong set was thrown away": (node(1, SEALED, progress=0, nonce=""), True),
    "and somebody began anew": (node(1, SEALED, progress=1, nonce="n-2"), True),
    "and two did, within one look": (node(1, SEALED, progress=2, nonce="n-2"), True),
}


@pytest.mark.parametrize("case", STARTED_OVER)
def test_an_attempt_that_was_started_over_is_noticed(case: str) -> None:
    now, lost = STARTED_OVER[case]
    assert started_over(node(1, SEALED, progress=2, nonce="n-1"), now) is lost
    assert not started_over(node(1, SEALED), now), "what had no share cannot lose one"


OPENED = {
    "all up": (ALL_UP, True),
    "one still sealed": (cluster(ACTIVE, STANDBY, SEALED), False),
    "one down, the others up": (cluster(ACTIVE, STANDBY, DOWN), True),
    "nobody answers": (cluster(DOWN, DOWN, DOWN), False),
    "most do not answer": (cluster(STANDBY, DOWN, DOWN), False),
}


@pytest.mark.parametrize("case", OPENED)
def test_a_silence_is_not_taken_for_an_unsealed_vault(case: str) -> None:
    facts, is_open = OPENED[case]
    assert opened(facts.nodes) is is_open


@given(any_facts, any_facts)
def test_two_plans_that_differ_show_how(one: Facts, other: Facts) -> None:
    try:
        shown, now = plan(one).sheet(), plan(other).sheet()
    except Refused:
        return
    assert (shown.digest == now.digest) is (difference(shown, now) == ())


def test_a_cluster_that_still_is_not_well_is_not_called_done() -> None:
    done = plan(ALL_SEALED)
    for facts in (
        cluster(ACTIVE, STANDBY, SEALED),
        cluster(STANDBY, STANDBY, STANDBY),
        replace(ALL_UP, unusable="403"),
    ):
        with pytest.raises(NotVerified) as failed:
            verify(facts, done)
        assert failed.value.reference == diagnose(facts)


def test_a_node_that_is_down_is_named_in_the_warning() -> None:
    after = cluster(ACTIVE, STANDBY, DOWN)
    assert "1 standby" in verify(after, plan(cluster(SEALED, SEALED, DOWN)))
    assert "vault-3 did not answer" in warning(after)
    assert warning(ALL_UP) == ""


def test_an_unsealed_vault_that_nobody_could_read_from_is_not_called_usable() -> None:
    after = replace(ALL_UP, unproved="VAULT_ROLE_ID is not set")
    assert "not proved usable" in verify(after, plan(ALL_SEALED))
    assert "VAULT_ROLE_ID" in warning(after)


def test_every_step_can_be_taken_back_by_hand_but_discarding_shares_which_is_never_done_unasked() -> None:
    for case in STEPS:
        cleared = any(isinstance(step, ClearAttempt) for step in plan(CASES[case][0]).steps)
        assert plan(CASES[case][0]).sheet().reversible is not cleared


def test_what_cannot_be_proved_to_be_ours_is_said() -> None:
    unsure = plan(CASES["our run died before it could journal its first share"][0])
    assert "may have left (nobody can prove it" in str(unsure.steps[0])
