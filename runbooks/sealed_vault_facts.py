"""What can be seen of a Vault cluster. The decisions on it are in sealed_vault.py."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What one node is, read off its TLS handshake, health code, seal-status and leader (Vault's /sys/health page)."""

    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    NOT_INITIALISED = "not initialised"
    SEALED = "sealed"
    ACTIVE = "active"
    STANDBY = "standby"
    DR_SECONDARY = "disaster-recovery secondary"  # 472, Vault Enterprise
    CUT_OFF = "standby that cannot reach the active node"  # 474, newer Vault
    REMOVED = "removed from the cluster"  # 530, newer Vault


@dataclass(frozen=True, slots=True)
class Node:
    """One node as it was seen. `progress` shares of `threshold` were entered in the unseal attempt called `nonce`."""

    name: str
    address: str
    state: State
    detail: str = ""
    seal_type: str = "shamir"
    recovery_seal: bool = False
    migration: bool = False
    threshold: int = 0
    progress: int = 0
    nonce: str = ""
    cluster_id: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """A reference to a kept share, never the share. `trouble` says why it cannot be opened; empty when it can."""

    reference: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A run that ended while it gave shares to `nodes`. `attempts` are those that it had journaled: node, nonce, and
    how many of its shares the node had counted by then.
    """

    run: str
    nodes: tuple[str, ...]
    attempts: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was seen of one cluster at `now` (seconds since 1970, UTC), by the code named `code`.

    `pinned` is the cluster id that the settings name, empty when they name none. `quorum` means that people give the
    shares. `unusable` says why the probe secret could not be read, `unproved` why that was not even tried.
    """

    cluster: str
    nodes: tuple[Node, ...]
    pinned: str
    quorum: bool
    shares: tuple[Share, ...]
    now: float
    code: str
    interrupted: Interrupted | None = None
    unusable: str = ""
    unproved: str = ""

    def within(self, *states: State) -> tuple[Node, ...]:
        """The nodes that are in one of `states`."""
        return tuple(node for node in self.nodes if node.state in states)


def describe(facts: Facts) -> str:
    """One line about the whole cluster, with what is odd about any node."""
    counts = Counter(node.state for node in facts.nodes)
    parts = [f"{counts[state]} of {len(facts.nodes)} {state}" for state in State if counts[state]]
    odd = [f"{node.name}: {node.detail}" for node in facts.nodes if node.detail]
    odd += [f"{node.name} has {node.progress} of {node.threshold} shares" for node in facts.nodes if node.progress]
    odd += [f"{node.name} says cluster {node.cluster_id}" for node in facts.nodes if foreign(node, facts)]
    odd += [f"{share.reference}: {share.trouble}" for share in facts.shares if share.trouble]
    return "; ".join(filter(None, [", ".join(parts), *odd, facts.unusable, facts.unproved]))


def foreign(node: Node, facts: Facts) -> bool:
    """Whether the node says that it belongs to another cluster than the settings name."""
    return bool(facts.pinned) and node.cluster_id not in ("", facts.pinned)
