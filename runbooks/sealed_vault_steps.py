"""What can be done about a sealed Vault: the steps that sealed_vault.py plans, tasks/vault carries out, people read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ClearAttempt:
    """Discard the shares that a run of ours left in a node. `proven`: the journal names this very attempt."""

    node: str
    address: str
    progress: int
    nonce: str
    run: str
    proven: bool

    @property
    def undo(self) -> str:
        """Nothing brings a discarded share back but its holder; so no standing consent ever covers this."""
        return ""

    def __str__(self) -> str:
        shares = "share" if self.progress == 1 else f"{self.progress} shares"
        left = "left" if self.proven else "may have left (nobody can prove it: somebody else may have given it)"
        return f"discard the {shares} in {self.node} that run {self.run[:8]} {left}"


@dataclass(frozen=True, slots=True)
class GiveShares:
    """Give one sealed node as many kept shares as it needs. `joins`: it first has to join the raft cluster."""

    node: str
    address: str
    threshold: int
    shares: tuple[str, ...]
    joins: bool = False

    @property
    def undo(self) -> str:
        """How to seal the node again."""
        return f"`bao operator seal -address={self.address}`"

    def __str__(self) -> str:
        when = " once it has joined" if self.joins else ""
        return f"give {self.node} ({self.address}) {self.threshold} of the {len(self.shares)} kept shares{when}"


@dataclass(frozen=True, slots=True)
class AwaitShares:
    """Count the shares that people give with `runbook give-share` until the nodes are unsealed. Gives none itself."""

    cluster: str
    nodes: tuple[str, ...]
    threshold: int

    @property
    def undo(self) -> str:
        """How to seal the nodes again."""
        return "`bao operator seal` on every node"

    def __str__(self) -> str:
        return f"wait until {self.threshold} holders have given their share to {', '.join(self.nodes)}"


Repair = ClearAttempt | GiveShares | AwaitShares
