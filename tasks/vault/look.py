"""Looking at a Vault cluster: every node, its health and seal, the shares we may open, and whether it is usable."""

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import hvac
import requests
from hvac.exceptions import Forbidden, InvalidPath, VaultError

from keys import approle
from runbooks.errors import RunbookError, Unreachable
from runbooks.sealed_vault import RUNBOOK
from runbooks.sealed_vault_facts import Facts, Interrupted, Node, Share, State
from store import targets
from store.code import code
from store.settings import VaultCluster, settings
from tasks.shares.seal_status import SealStatus, seal_status_of
from tasks.vault.program import answer_of, shares_program

DEAD_S = 2
"""After how many seconds without an answer a node counts as dead."""

LOOK_S = 3
"""Longest look at one node, its two requests together, seconds: `DEAD_S` starts over with every byte that comes."""

NO_VAULT = "something answers there, but not as a Vault does"

FIRST_PAUSE_S, LOOK_AGAIN_S = 0.01, 0.1
"""Pause between two looks at a cluster that is coming up, seconds, growing: Vault has no call that waits for a
leader, and a single node is active 25 ms after its last share."""

WAKING_S = 5
"""How long a node that has just become active may answer a read with an error, seconds."""

HEALTH = {
    200: State.ACTIVE,
    429: State.STANDBY,
    472: State.DR_SECONDARY,
    473: State.STANDBY,
    474: State.CUT_OFF,
    530: State.REMOVED,
}
"""sys/health of Vault and OpenBao; 473 is a performance standby. 501 and 503 are told apart by seal-status."""


def look_until(cluster: str, left: targets.Interrupted | None, enough: Callable[[Facts], bool]) -> Facts:
    """Look at all nodes side by side, again and again, until `enough` or the longest wait of the settings is over."""
    known = settings().cluster(cluster)
    clients = clients_of(known, *known.nodes)
    deadline, pause_s = time.monotonic() + settings().vault_settle_s, FIRST_PAUSE_S
    with ThreadPoolExecutor(len(clients)) as side_by_side:
        while True:
            nodes = tuple(side_by_side.map(look_at_node, clients, known.nodes.values(), clients.values()))
            facts = _facts(cluster, known, nodes, left)
            if enough(facts) or time.monotonic() > deadline:
                return facts
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LOOK_AGAIN_S)


def clients_of(known: VaultCluster, *names: str) -> dict[str, hvac.Client]:
    """A client without a token for each named node, which gives a dead node up after `DEAD_S`. Raises: BadRequest."""
    return {name: approle.client(known.nodes[name], known.ca_file, timeout_s=DEAD_S) for name in names}


def _facts(cluster: str, known: VaultCluster, nodes: tuple[Node, ...], left: targets.Interrupted | None) -> Facts:
    unusable, unproved = _probe(known, nodes)
    sealed = any(node.state is State.SEALED for node in nodes)
    return Facts(
        cluster=cluster,
        nodes=nodes,
        pinned=known.cluster_id,
        quorum=known.custody == "quorum",
        shares=_look_at_shares(known) if sealed else (),
        now=time.time(),
        code=code(),
        interrupted=_interrupted(left, known),
        unusable=unusable,
        unproved=unproved,
    )


_under_way: "weakref.WeakKeyDictionary[hvac.Client, Future[Node]]" = weakref.WeakKeyDictionary()
"""The last look by each client: while it lasts no other begins, so a node that drips holds one thread, not many."""


def look_at_node(name: str, address: str, client: hvac.Client) -> Node:
    """One node as it is now, within `LOOK_S`; whatever goes wrong is part of the answer."""
    look = _under_way.get(client)
    if look is None or look.done():
        look = _under_way[client] = Future()
        # a daemon: neither we nor the end of the process wait for a node that never comes to an end
        threading.Thread(target=_look, args=(look, name, address, client), daemon=True).start()
    try:
        return look.result(LOOK_S)
    except TimeoutError:
        return Node(name, address, State.UNREACHABLE, detail=f"no answer within {DEAD_S} s")


def _look(look: "Future[Node]", name: str, address: str, client: hvac.Client) -> None:
    try:
        look.set_result(_seen(name, address, client))
    except BaseException as error:  # noqa: BLE001 - raised again where the look is waited for
        look.set_exception(error)


def _seen(name: str, address: str, client: hvac.Client) -> Node:
    try:
        status = seal_status_of(client.sys.read_seal_status())
        health = client.sys.read_health_status(method="HEAD").status_code
    except requests.exceptions.SSLError as error:
        return Node(name, address, State.UNTRUSTED, detail=_why_untrusted(error))
    except requests.exceptions.Timeout:
        return Node(name, address, State.UNREACHABLE, detail=f"no answer within {DEAD_S} s")
    except requests.exceptions.ConnectionError:
        return Node(name, address, State.UNREACHABLE, detail="connection refused or lost")
    except (VaultError, requests.RequestException, ValueError, AttributeError, TypeError, RecursionError):
        # hvac itself stumbles over JSON that is no object, in the text of an error too
        return Node(name, address, State.UNREACHABLE, detail=NO_VAULT)
    state = _state(status, health)
    return Node(
        name,
        address,
        state,
        detail=f"its health answers {health}" if state is State.UNREACHABLE else "",
        seal_type=status["type"],
        recovery_seal=status["recovery_seal"],
        migration=status["migration"],
        threshold=status["t"],
        progress=status["progress"] if state is State.SEALED else 0,
        nonce=status["nonce"],
        cluster_id=status["cluster_id"],
        version=status["version"],
    )


def _state(status: SealStatus, health: int) -> State:
    if HEALTH.get(health) is State.REMOVED or status["removed_from_cluster"]:
        return State.REMOVED
    if not status["initialized"]:
        return State.NOT_INITIALISED
    if status["sealed"]:
        return State.SEALED
    return HEALTH.get(health, State.UNREACHABLE)


def _why_untrusted(error: requests.exceptions.SSLError) -> str:
    text = str(error)
    for words, meaning in (
        ("Hostname mismatch", "its certificate is for another name"),
        ("IP address mismatch", "its certificate is for another address"),
        ("has expired", "its certificate has expired"),
        ("CERTIFICATE_VERIFY_FAILED", "its certificate is not signed by the pinned CA"),
    ):
        if words in text:
            return meaning
    return "it does not speak TLS as agreed"


def _look_at_shares(known: VaultCluster) -> tuple[Share, ...]:
    if known.custody == "quorum" or not known.shares:
        return ()
    with shares_program({"do": "look", "references": known.shares}) as program:
        looked = answer_of(program)
    return tuple(Share(share["reference"], share["trouble"]) for share in looked["shares"])


def _probe(known: VaultCluster, nodes: tuple[Node, ...]) -> tuple[str, str]:
    """Why the probe secret cannot be read, and why that was not tried; both empty when it was read or none could be."""
    active = [node for node in nodes if node.state is State.ACTIVE]
    if len(active) != 1 or any(node.state is State.SEALED for node in nodes):
        return "", ""
    if settings().vault_role_id is None:
        return "", "VAULT_ROLE_ID is not set, so no secret was read to prove that it is usable"
    enough = time.monotonic() + WAKING_S
    while True:
        try:
            return _read_probe_secret(active[0].address, known), ""
        except Unreachable as error:  # a node that has just become active answers so for a moment
            if time.monotonic() > enough:
                return error.message, ""
            time.sleep(LOOK_AGAIN_S)
        except RunbookError as error:
            return error.message, ""


def _read_probe_secret(address: str, known: VaultCluster) -> str:
    vault = approle.login(address, known.ca_file, settings(), timeout_s=DEAD_S)
    mount, _, path = settings().vault_probe_secret.partition("/")
    try:
        vault.secrets.kv.v2.read_secret_version(path=path, mount_point=mount, raise_on_deleted_version=True)
    except (Forbidden, InvalidPath) as error:
        return f"the run's own AppRole cannot read {mount}/{path} ({type(error).__name__})"
    except (VaultError, requests.RequestException) as error:
        raise approle.unreachable(address, error) from None
    finally:
        approle.logout(vault)
    return ""


def _interrupted(left: targets.Interrupted | None, known: VaultCluster) -> Interrupted | None:
    if left is None or left.runbook != RUNBOOK.name:
        return None
    nodes = {name: said.split() for name, said in sorted(left.remarks.items()) if name in known.nodes}
    attempts = tuple((name, said[0], int(said[1])) for name, said in nodes.items() if said)
    return Interrupted(left.run, tuple(nodes), attempts)
