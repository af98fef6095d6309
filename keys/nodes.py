"""Which nodes of Vault to ask for the credentials, and whom to believe when some of them are down."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Generic, TypeVar, cast

from keys import approle
from runbooks.errors import BadRequest, RunbookError, Unreachable
from store.settings import Settings

LIMIT_S = 2.0
"""The longest that all nodes together are waited for: news must not wait for a Vault that is down."""

_PATIENCE_S = 0.6
"""A node silent for longer gets company: the next one is asked too."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Node:
    """One node, the CA that its certificate must come from (the system's when there is none), and its cluster's id.

    `cluster_id` is what the settings pin; empty when they pin none.
    """

    address: str
    ca_file: Path | None
    cluster_id: str = ""


def of(settings: Settings) -> tuple[Node, ...]:
    """Whom to ask, in order: VAULT_ADDR, then the other nodes of its cluster. Raises: BadRequest `vault-unclear`.

    Without VAULT_ADDR, the cluster called hoodcloud or the only one: another cluster would refuse our AppRole, and a
    refusal is believed.
    """
    clusters = settings.vault_clusters
    mine = [cluster for cluster in clusters.values() if settings.vault_addr in cluster.nodes.values()]
    if not settings.vault_addr and clusters:
        if len(clusters) > 1 and "hoodcloud" not in clusters:
            raise BadRequest(
                "vault-unclear",
                f"none of the Vault clusters {', '.join(clusters)} is called hoodcloud, and VAULT_ADDR is not set",
                hint="set VAULT_ADDR to a node of the cluster that holds app-credentials",
            )
        mine = [clusters.get("hoodcloud") or next(iter(clusters.values()))]
    ours = settings.vault_tls_ca_file
    found = {settings.vault_addr: Node(settings.vault_addr, ours)} if settings.vault_addr else {}
    for cluster in mine:
        for address in cluster.nodes.values():
            found[address] = Node(address, cluster.ca_file or ours, cluster.cluster_id)
    return tuple(found.values())


def vouch(node: Node, said: str) -> None:
    """Lets `said`, a refusal by `node`, pass when the node is of the pinned cluster, or when none is pinned.

    Another Vault at our address (initialised anew, restored, moved) does not know us; that withdraws nothing.

    Raises: Unreachable `wrong-cluster`, or `vault-unreachable` when the node does not say who it is.
    """
    if not node.cluster_id:
        return
    seen = approle.cluster_id(node.address, node.ca_file, timeout_s=LIMIT_S)
    if seen != node.cluster_id:
        raise Unreachable(
            "wrong-cluster",
            f"{said}, but it is cluster {seen[:40] or 'without an id'}, not the pinned {node.cluster_id}",
            hint="find out which Vault answers there before anybody unseals or repairs it",
        )


def first_answer(nodes: Sequence[Node], ask: Callable[[Node], T]) -> T:
    """What the first node of use answers. The next one is asked when one fails or takes long; all end with the time.

    Raises: what the first decisive node raised (Refused, BadRequest), else Unreachable, which tells of all.
    """
    answers: queue.SimpleQueue[_Said[T]] = queue.SimpleQueue()
    deadline, told = monotonic() + LIMIT_S, list[str]()
    for asked, node in enumerate(nodes, 1):
        threading.Thread(target=_ask, args=(node, ask, answers), name=f"ask {node.address}", daemon=True).start()
        last = asked == len(nodes)
        until = deadline if last else min(deadline, monotonic() + _PATIENCE_S)
        while len(told) < asked and (said := _next(answers, until)):
            if not isinstance(said.error, Unreachable):
                return said.get()
            told.append(said.error.message)
            if not last:
                break
    if silent := len(nodes) - len(told):
        told.append(f"{silent} of {len(nodes)} nodes gave no answer within {LIMIT_S:.0f} s")
    raise Unreachable("vault-unreachable", "; ".join(told), hint="the runbook unseal-vault unseals Vault")


@dataclass(frozen=True, slots=True)
class _Said(Generic[T]):
    """What one node gave, or the error that it met with."""

    answer: T | None = None
    error: RunbookError | None = None

    def get(self) -> T:
        if self.error:
            raise self.error
        return cast(T, self.answer)


def _ask(node: Node, ask: Callable[[Node], T], answers: "queue.SimpleQueue[_Said[T]]") -> None:
    try:
        answers.put(_Said(ask(node)))
    except RunbookError as error:
        answers.put(_Said(error=error))
    except Exception as error:  # noqa: BLE001  # a thread that ends without a word would pass for a silent node
        answers.put(_Said(error=approle.unreachable(node.address, error)))


def _next(answers: "queue.SimpleQueue[_Said[T]]", until: float) -> _Said[T] | None:
    """The next answer; None when there is none until then (monotonic clock)."""
    try:
        return answers.get(timeout=max(until - monotonic(), 0.001))
    except queue.Empty:
        return None
