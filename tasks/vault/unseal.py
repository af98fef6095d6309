"""Changing a Vault's seal: giving kept shares, counting those that people give, clearing what a dead run left."""

import time
from typing import Any

import hvac
import requests
from hvac.exceptions import VaultError

from runbooks import sealed_vault
from runbooks.errors import Refused, StepFailed
from runbooks.sealed_vault import Finding
from runbooks.sealed_vault_facts import Node, State
from runbooks.sealed_vault_steps import AwaitShares, ClearAttempt, GiveShares
from store.settings import VaultCluster, settings
from store.steps import Record
from tasks import run_page
from tasks.shares.seal_status import seal_status_of
from tasks.vault.look import clients_of, look_at_node
from tasks.vault.program import answer_of, shares_program, tell

AGAIN = "start the run again; it looks first and does only what is left"

_opened: dict[str, tuple[str, ...]] = {}
"""Which shares have just opened a node, by run. The next node gets these first, and a joining one gets no others:
OpenBao's retry-join never recovers from a wrong set."""

COUNT_AGAIN_S = 0.5
"""Pause between two counts of the shares that people give, seconds: Vault has no call that waits for one."""


def clear_attempt(step: ClearAttempt, known: VaultCluster) -> str:
    """Throw away what a dead run of ours left in a node, and only that. Raises: StepFailed."""
    client = clients_of(known, step.node)[step.node]
    try:
        return _clear(step, client)
    except (VaultError, requests.RequestException, ValueError) as error:
        raise StepFailed(
            "unreachable", f"{step.node} gave no answer of use ({type(error).__name__})", hint=AGAIN
        ) from None


def _clear(step: ClearAttempt, client: hvac.Client) -> str:
    status = seal_status_of(client.sys.read_seal_status())
    if not status["sealed"] or not status["progress"]:
        return "there was nothing left to discard"
    if (status["nonce"], status["progress"]) != (step.nonce, step.progress):
        raise StepFailed(
            Finding.SOMEONE_ELSE,
            f"{step.node} now has {status['progress']} shares of another attempt",
            hint=sealed_vault.HINTS[Finding.SOMEONE_ELSE],
        )
    client.sys.submit_unseal_key(reset=True)
    return "discarded"


def give_shares(step: GiveShares, known: VaultCluster, record: Record) -> str:
    """Give one node its shares, and journal the attempt before its second share.

    Raises: StepFailed, or Refused where the node certainly took no share.
    """
    record.remark(step.node, "")
    given = False
    job = {
        "do": "give",
        "address": step.address,
        "ca_file": str(known.ca_file),
        "threshold": step.threshold,
        "references": step.shares,
        "joins": step.joins,
        "first": _opened.get(record.run, ()),
    }
    with shares_program(job) as program:
        while "ended" not in (said := answer_of(program)):
            # journaled before the next share, so that what we leave behind is known as ours
            record.remark(step.node, f"{said['nonce']} {said['progress']}")
            given = True
            record.check()
            tell(program, "go on")
    if said["ended"] != "given":
        hint = sealed_vault.HINTS.get(said["ended"], sealed_vault.FAILURES.get(said["ended"], AGAIN))
        # an answer that was lost may be the answer to a share that was taken
        stop = StepFailed if given or said["ended"] == "unreachable" else Refused
        raise stop(said["ended"], f"{step.node}: {said['why']}", hint=hint)
    _opened.clear()  # of earlier runs in this process
    _opened[record.run] = tuple(said.get("used_references", ()))
    return _given(said)


def _given(said: dict[str, Any]) -> str:
    if not said["tries"]:
        return "it was unsealed already"
    parts = ["unsealed" if said["up"] else "took its shares and is coming up"]
    parts += ["somebody else gave shares as well"] if said["helped"] else []
    parts += [f"wrong share: {share}" for share in said["wrong"]]
    parts += said["troubles"]
    return "; ".join(parts)


def await_shares(step: AwaitShares, known: VaultCluster, record: Record) -> str:
    """Count what people give until the nodes are up, and say every change. Raises: StepFailed (too few in time)."""
    clients = clients_of(known, *step.nodes)
    before: dict[str, Node] = {}
    started_over = 0
    deadline = time.monotonic() + settings().vault_shares_wait_s
    while time.monotonic() < deadline:
        record.check()
        nodes = {name: look_at_node(name, known.nodes[name], client) for name, client in clients.items()}
        if sealed_vault.opened(tuple(nodes.values())):
            return _counts(step, nodes) + (f", at attempt {started_over + 1}" if started_over else "")
        lost = [
            name for name, node in nodes.items() if name in before and sealed_vault.started_over(before[name], node)
        ]
        started_over += bool(lost)
        for name in lost:
            run_page.say(
                f"{name} threw the shares it had away: one was wrong, or somebody reset it. All holders give again."
            )
        if nodes != before:
            run_page.say(_counts(step, nodes))
        before = nodes
        time.sleep(COUNT_AGAIN_S)
    again = f"; {started_over} times the shares were thrown away, as one was wrong or somebody reset it" * bool(
        started_over
    )
    raise StepFailed(
        Finding.AWAITING_SHARES,
        f"too few shares within {settings().vault_shares_wait_s:.0f} s: {_counts(step, before)}{again}",
        hint="call the holders, start the run again, and let each run `runbook give-share` on their own machine",
    )


def _counts(step: AwaitShares, nodes: dict[str, Node]) -> str:
    """Where every node is, in words."""

    def said(name: str, node: Node) -> str:
        return (
            f"{name} has {node.progress} of {step.threshold}"
            if node.state is State.SEALED
            else f"{name} is {node.state}"
        )

    return ", ".join(said(name, node) for name, node in nodes.items())
