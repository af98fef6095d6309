"""What to do about a sealed Vault. For people: sealed_vault.md.

Two truths shape it. Key shares are never the bottleneck, the raft election is: shares go to all nodes first, then one
waits. And a sealed Vault cannot prove who it is beyond its certificate, so nothing is given to a node that failed that.
"""

from enum import StrEnum

from runbooks.catalogue import Runbook
from runbooks.consent import Policy
from runbooks.errors import NotVerified, Refused
from runbooks.plan import Plan
from runbooks.sealed_vault_facts import Facts, Interrupted, Node, State, describe, foreign
from runbooks.sealed_vault_steps import AwaitShares, ClearAttempt, GiveShares, Repair


class Finding(StrEnum):
    """What is wrong, in a word that is a heading of the page."""

    HEALTHY = "healthy"
    SEALED = "sealed"
    PARTLY_SEALED = "partly-sealed"
    AWAITING_SHARES = "awaiting-shares"
    NOT_INITIALISED = "not-initialised"
    AUTO_UNSEAL = "auto-unseal"
    SOMEONE_ELSE = "someone-else-is-unsealing"
    SEAL_MIGRATION = "seal-migration"
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted-certificate"
    NO_LEADER = "no-leader"
    TWO_LEADERS = "two-leaders"
    NODE_REMOVED = "node-removed"
    DR_SECONDARY = "dr-secondary"
    WRONG_CLUSTER = "wrong-cluster"
    SHARES_MISSING = "shares-missing"
    UNUSABLE = "unusable"


HINTS = {
    Finding.NOT_INITIALISED: "never initialise it from here; a raft node joins by itself once another node is active, "
    "so check its retry_join and its data folder",
    Finding.AUTO_UNSEAL: "mend the KMS or the transit Vault that holds its key, then restart the node; "
    "shares cannot help",
    Finding.SOMEONE_ELSE: "find out who is entering shares and let them finish; if nobody is, clear the attempt with "
    "`bao operator unseal -reset` on that node and run this again",
    Finding.SEAL_MIGRATION: "finish the seal migration by hand (`bao operator unseal -migrate`), then run this again",
    Finding.UNREACHABLE: "start the node or mend the way to it, then run this again",
    Finding.UNTRUSTED: "check the CA file in VAULT_TLS_CA_FILE and the address; no share is given to a node that "
    "cannot prove who it is",
    Finding.NO_LEADER: "an election takes up to 20 s; if it lasts, read the nodes' logs for raft and check their "
    "cluster addresses (port 8201)",
    Finding.TWO_LEADERS: "keep writers away and find out which node is cut off; do not unseal or seal anything",
    Finding.NODE_REMOVED: "the node was taken out of the raft cluster; empty its data folder and let it join again",
    Finding.DR_SECONDARY: "a disaster-recovery secondary serves nobody until it is promoted; look at the primary",
    Finding.WRONG_CLUSTER: "compare RUNBOOK_VAULT_CLUSTERS with the nodes; nothing was given to the cluster "
    "that answered",
    Finding.SHARES_MISSING: "put the shares where the settings say, owned by the run's user with mode 0400, or change "
    "to quorum custody",
    Finding.UNUSABLE: "Vault is unsealed and has a leader, yet the run's own AppRole cannot read; check role, "
    "policy and path",
}

FAILURES = {
    "shares-rejected": "compare the fingerprints with the holders' (`runbook give-share --fingerprint`), and put "
    "good shares in the places of the wrong ones",
    "shares-program-died": "start the run again; it looks at the nodes first",
}
"""What a step can meet beside the findings, and what to do then; headings of the page as well."""

RUNBOOK = Runbook(
    name="unseal-vault",
    module="sealed_vault",
    purpose="Bring a sealed Vault back: find out why it is sealed, give the key shares, prove that it is usable.",
    policy=Policy(approvals=1, requester_may_approve=True, typed_digest_counts=True),
    findings=tuple(Finding),
    failures=tuple(FAILURES),
)


def diagnose(facts: Facts) -> Finding:
    """Total: every possible Facts has exactly one Finding. What forbids giving shares comes first."""
    assert facts.nodes, "a cluster has at least one node"
    if facts.within(State.UNTRUSTED):
        return Finding.UNTRUSTED
    if any(foreign(node, facts) for node in facts.nodes):
        return Finding.WRONG_CLUSTER
    if facts.within(State.REMOVED):
        return Finding.NODE_REMOVED
    if facts.within(State.DR_SECONDARY):
        return Finding.DR_SECONDARY
    if not facts.within(State.SEALED):
        return _diagnose_unsealed(facts)
    return _diagnose_sealed(facts)


def _diagnose_unsealed(facts: Facts) -> Finding:
    answering = len(facts.nodes) - len(facts.within(State.UNREACHABLE))
    leaders = len(facts.within(State.ACTIVE))
    if answering == 0:
        return Finding.UNREACHABLE
    if leaders > 1:
        return Finding.TWO_LEADERS
    if facts.within(State.NOT_INITIALISED):
        return Finding.NOT_INITIALISED
    if leaders == 0 or facts.within(State.CUT_OFF):
        # without a majority there can be no leader, and the dead nodes are the reason
        return Finding.NO_LEADER if 2 * answering > len(facts.nodes) else Finding.UNREACHABLE
    if facts.within(State.UNREACHABLE):
        return Finding.UNREACHABLE
    return Finding.UNUSABLE if facts.unusable else Finding.HEALTHY


def _diagnose_sealed(facts: Facts) -> Finding:
    sealed = facts.within(State.SEALED)
    if any(node.recovery_seal or node.seal_type != "shamir" for node in sealed):
        return Finding.AUTO_UNSEAL
    if any(node.migration for node in sealed):
        return Finding.SEAL_MIGRATION
    if 2 * len(facts.within(State.UNREACHABLE)) >= len(facts.nodes):
        return Finding.UNREACHABLE
    if len(facts.within(State.ACTIVE)) > 1:
        return Finding.TWO_LEADERS
    if facts.quorum:
        return Finding.AWAITING_SHARES
    if any(node.progress and not _ours(node, facts.interrupted) for node in sealed):
        return Finding.SOMEONE_ELSE
    if sum(not share.trouble for share in facts.shares) < max(node.threshold for node in sealed):
        return Finding.SHARES_MISSING
    return Finding.PARTLY_SEALED if facts.within(State.ACTIVE, State.STANDBY, State.CUT_OFF) else Finding.SEALED


def _ours(node: Node, interrupted: Interrupted | None) -> bool:
    """Whether the shares in `node` may have been left by a run of ours.

    It journals an attempt after every share, so it can be one share ahead of its journal, and no more: a run that died
    before its first entry can have left one share. Whatever goes beyond that is somebody else's.
    """
    if interrupted is None or node.name not in interrupted.nodes:
        return False
    known = _journaled(node, interrupted)
    return node.progress <= known[1] + 1 if known else node.progress == 1


def _journaled(node: Node, interrupted: Interrupted) -> tuple[str, int] | None:
    """The attempt on `node` in the journal, if it is the one that the node is in; None when there is no entry.

    An entry of another attempt is one that leaves nothing to be ours: it counts as minus one share.
    """
    for name, nonce, progress in interrupted.attempts:
        if name == node.name:
            return (nonce, progress) if nonce == node.nonce else (nonce, -1)
    return None


def plan(facts: Facts) -> Plan[Repair]:
    """What to do about `facts`. Raises: Refused, with the finding as its reference."""
    finding = diagnose(facts)
    if finding in HINTS:
        raise Refused(finding, f"{facts.cluster}: {finding}: {describe(facts)}", hint=HINTS[finding])
    match finding:
        case Finding.HEALTHY:
            steps: tuple[Repair, ...] = ()
        case Finding.AWAITING_SHARES:
            steps = _await_shares(facts)
        case _:
            steps = _give_shares(facts)
    return Plan(
        runbook=RUNBOOK.name,
        target=f"vault/{facts.cluster}",
        finding=finding,
        because=describe(facts),
        basis=_basis(facts),
        steps=steps,
        code=facts.code,
    )


def _give_shares(facts: Facts) -> tuple[Repair, ...]:
    usable = tuple(share.reference for share in facts.shares if not share.trouble)
    sealed = facts.within(State.SEALED)
    clear = tuple(_clear(node, facts.interrupted) for node in sealed if node.progress and facts.interrupted)
    give = tuple(GiveShares(node.name, node.address, node.threshold, usable) for node in sealed)
    joining = tuple(
        GiveShares(node.name, node.address, sealed[0].threshold, usable, joins=True)
        for node in facts.within(State.NOT_INITIALISED)
    )
    return (*clear, *give, *joining)


def _clear(node: Node, interrupted: Interrupted) -> ClearAttempt:
    proven = _journaled(node, interrupted) is not None
    return ClearAttempt(node.name, node.address, node.progress, node.nonce, interrupted.run, proven)


def _await_shares(facts: Facts) -> tuple[Repair, ...]:
    sealed = facts.within(State.SEALED)
    return (AwaitShares(facts.cluster, tuple(node.name for node in sealed), max(node.threshold for node in sealed)),)


def _basis(facts: Facts) -> tuple[str, ...]:
    nodes = tuple(f"{node.name} at {node.address} is {node.state}" for node in facts.nodes)
    kept = ", ".join(share.reference for share in facts.shares if not share.trouble)
    custody = "shares come from their holders" if facts.quorum else f"shares are kept in {kept or 'none'}"
    return (*nodes, f"cluster id must be {facts.pinned or 'anything (not pinned)'}", custody)


def started_over(before: Node, now: Node) -> bool:
    """Whether a sealed node lost shares that it had: a set with a wrong one is thrown away, or somebody reset it."""
    if now.state is not State.SEALED or not before.progress:
        return False
    return now.progress < before.progress or (now.nonce != before.nonce and bool(before.nonce))


def opened(nodes: tuple[Node, ...]) -> bool:
    """Whether most of `nodes` were seen unsealed and none sealed. Nodes that do not answer prove nothing."""
    unsealed = sum(node.state in (State.ACTIVE, State.STANDBY, State.CUT_OFF) for node in nodes)
    waiting = any(node.state in (State.SEALED, State.NOT_INITIALISED) for node in nodes)
    return not waiting and 2 * unsealed > len(nodes)


def verify(facts: Facts, done: Plan[Repair]) -> str:
    """The verdict of looking again. Raises: NotVerified.

    A node that was unreachable when the plan was made is not what the plan promised; `warning` names it.
    """
    finding = diagnose(facts)
    leaders, answering = facts.within(State.ACTIVE), len(facts.nodes) - len(facts.within(State.UNREACHABLE))
    only_some_are_down = finding is Finding.UNREACHABLE and bool(leaders) and not facts.unusable
    if finding is not Finding.HEALTHY and not only_some_are_down:
        raise NotVerified(
            finding,
            f"after plan {done.digest}, {facts.cluster} is {finding}: {describe(facts)}",
            hint=HINTS.get(
                finding,
                "a node that took its shares and stays sealed cannot join: check its cluster address (port 8201) and "
                "the leader's log; then start the run again, which looks first",
            ),
        )
    usable = "unsealed, but not proved usable" if facts.unproved else "usable, the probe secret was read"
    return f"{usable}: {leaders[0].name} is active, {answering - 1} standby"


def warning(facts: Facts) -> str:
    """What is not right although the promise was kept; empty when all is well."""
    dead = ", ".join(node.name for node in facts.within(State.UNREACHABLE))
    down = f"{dead} did not answer: start it, then run this again" if dead else ""
    unpinned = "" if facts.pinned else "the cluster id is not pinned in the settings"
    return "; ".join(filter(None, (down, facts.unproved, unpinned)))


def settled(facts: Facts) -> bool:
    """Whether waiting longer cannot show anything better: it serves, or what is wrong does not mend itself."""
    if facts.within(State.SEALED, State.NOT_INITIALISED):
        return bool(facts.within(State.UNTRUSTED, State.REMOVED))
    return diagnose(facts) is not Finding.NO_LEADER
