"""A Vault cluster like HoodCloud's, to seal, to stop node by node, and to unseal."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import hvac

from lab.certificates import Authority
from lab.server import LabBroken
from lab.vault_node import VaultNode
from lab.vault_seed import AppRole, seed

SHARES, THRESHOLD = 5, 3
"""HoodCloud's own numbers."""

AUTO_UNSEAL_KEY = "autounseal"
_SETTLE_S = 60


@dataclass(frozen=True)
class Keys:
    """What `initialise` gave; never shown. The shares are hex; those of an auto-unsealed cluster are recovery keys."""

    shares: tuple[str, ...] = field(default=(), repr=False)
    shares_base64: tuple[str, ...] = field(default=(), repr=False)
    root_token: str = field(default="", repr=False)


class VaultCluster:
    """Nodes called vault-1, vault-2, …, and a certificate authority of their own.

    `start`, then `initialise`, then `seed`. `performance_multiplier` is raft's: with 1 a leader is there 3 s after a
    power cut, with OpenBao's default 5 some 17 s. With `unsealed_by` the seal is a transit key of that cluster, which
    must be unsealed and seeded, instead of shares.
    """

    def __init__(
        self,
        folder: Path,
        nodes: int = 3,
        *,
        shares: int = SHARES,
        threshold: int = THRESHOLD,
        performance_multiplier: int = 1,
        unsealed_by: "VaultCluster | None" = None,
    ) -> None:
        self.folder, self.ca_file = folder.absolute(), folder.absolute() / "ca.pem"
        self.shares, self.threshold, self.performance_multiplier = shares, threshold, performance_multiplier
        self.unsealed_by = unsealed_by
        names = [f"vault-{number}" for number in range(1, nodes + 1)]
        if not self.ca_file.exists():
            authority = Authority(self.ca_file)
            for name in names:
                (self.folder / name).mkdir(parents=True)
                authority.issue(self.folder / name)
        seal = _transit_seal(unsealed_by) if unsealed_by else {}
        self.members = tuple(
            VaultNode(self.folder / name, name, self.ca_file, performance_multiplier, seal) for name in names
        )
        self.keys = Keys()
        self.roles: dict[str, AppRole] = {}
        self._canaries: set[str] = set()
        self._clients: list[hvac.Client] = []

    # -- what it is -------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> dict[str, str]:
        """The address of every node, by name."""
        return {member.name: member.address for member in self.members}

    @property
    def address(self) -> str:
        """The address of the first node."""
        return self.members[0].address

    @property
    def share_files(self) -> tuple[Path, ...]:
        """The files with one share each, mode 0400, as of kept custody."""
        return tuple(self.folder / "shares" / str(number) for number in range(1, len(self.keys.shares) + 1))

    @property
    def cluster_id(self) -> str:
        """The `cluster_id` of the seal status; only an unsealed node tells it."""
        for member in self.members:
            with contextlib.suppress(OSError):
                if found := member.get("sys/seal-status")[1].get("cluster_id"):
                    self._cluster_id = str(found)
        return self._cluster_id

    _cluster_id = ""
    _moved = False

    def health(self) -> dict[str, int]:
        """The `sys/health` code of every node (see `VaultNode.health`)."""
        return {member.name: member.health() for member in self.members}

    def leader(self) -> str:
        """The name of the active node; empty when there is none."""
        return next((name for name, code in self.health().items() if code == 200), "")

    def secrets(self) -> list[str]:
        """Every secret value that exists in this lab, to search for where none may be."""
        found = {*self._canaries, *self.keys.shares, *self.keys.shares_base64, self.keys.root_token}
        return sorted(found - {""})

    def client(self, name: str = "", token: str = "") -> hvac.Client:
        """A client of node `name`, else of the active one, else of the first; closed when the cluster is stopped."""
        address = self.nodes[name or self.leader() or self.members[0].name]
        client = hvac.Client(address, token=token, verify=str(self.ca_file), timeout=10)
        client.session.trust_env = False  # no proxy between us and loopback
        self._clients.append(client)
        return client

    def root_client(self, name: str = "") -> hvac.Client:
        """Like `client`, with the root token (which HoodCloud's production has revoked)."""
        return self.client(name, self.keys.root_token)

    # -- what can be done to it -------------------------------------------------------------------------------

    def start(self) -> Self:
        """Starts every node; returns when all answer, sealed or not."""
        for member in self.members:
            member.start()
        if self._moved:
            self._tell_raft_the_new_addresses()
        return self

    def stop(self) -> None:
        """Stops every node."""
        for client in self._clients:
            client.adapter.close()
        self._clients.clear()
        for member in self.members:
            member.stop()

    def power_cut(self) -> None:
        """Every node dies at once and comes back, sealed."""
        self.stop()
        self.start()

    seal = power_cut

    def stop_node(self, number: int) -> None:
        """`kill -9` to node `number`, counted from 1."""
        self.members[number - 1].kill()

    def restart_node(self, number: int) -> None:
        """Node `number`, counted from 1, dies (if it has not) and comes back, sealed."""
        self.stop_node(number)
        self.members[number - 1].start()

    def initialise(self) -> Keys:
        """Initialises the first node, unseals it, joins the others, and waits until all may vote. Raises: LabBroken."""
        first, kind = self.client(self.members[0].name), "keys"
        if self.unsealed_by:
            kind = "recovery_keys"  # with its own seal elsewhere, OpenBao refuses the arguments for shares
            made = first.sys.initialize(None, None, recovery_shares=self.shares, recovery_threshold=self.threshold)
        else:
            made = first.sys.initialize(self.shares, self.threshold)
        self.keys = Keys(tuple(made[kind]), tuple(made[f"{kind}_base64"]), made["root_token"])
        (self.folder / "shares").mkdir(mode=0o700, exist_ok=True)
        for file, share in zip(self.share_files, self.keys.shares, strict=True):
            file.touch(mode=0o600)
            file.write_text(share)
            file.chmod(0o400)
        self.unseal(self.members[:1])
        client = self.root_client()
        client.write_data("sys/storage/raft/autopilot/configuration", data={"server_stabilization_time": "500ms"})
        for member in self.members[1:]:
            leader = {"leader_api_addr": self.address, "leader_ca_cert": self.ca_file.read_text()}
            self.client(member.name).sys.join_raft_cluster(**leader)
        self.unseal()
        self._wait("all nodes to vote", lambda: len(self._voters(client)) == len(self.members))
        for member in self.members:
            member.peers = self.members  # from the next start on
        return self.keys

    def replace_node(self, number: int) -> None:
        """Node `number`, counted from 1, loses its disk and comes back empty: it says 501 until it found the others."""
        node = self.members[number - 1]
        node.kill()
        shutil.rmtree(node.folder / "data")
        node.start()

    def unseal(self, members: Sequence[VaultNode] = ()) -> None:
        """Unseals `members`, else all, and waits for one active node and its standbys. Raises: LabBroken."""
        members = members or self.members
        for member in members if not self.unsealed_by else ():
            client = self.client(member.name)
            for share in self.keys.shares[: self.threshold]:
                client.sys.submit_unseal_key(share)
        self._wait("an active node", lambda: self._settled(members))

    def seed(self, credentials: dict[str, str] | None = None) -> None:
        """Puts in what HoodCloud keeps there, with `credentials` among its application's; see `lab/vault_seed.py`."""
        seeded = seed(self.root_client(), self.folder / "roles", credentials or {})
        self.roles |= seeded.roles
        self._canaries |= seeded.secrets
        self._cluster_id = self.cluster_id

    def copy(self, folder: Path) -> "VaultCluster":
        """This cluster, which must be stopped, once more: same keys and contents, other ports. It starts sealed.

        Takes a moment where `initialise` and `seed` take seconds.
        """
        shutil.copytree(self.folder, folder)
        twin = VaultCluster(
            folder,
            len(self.members),
            shares=self.shares,
            threshold=self.threshold,
            performance_multiplier=self.performance_multiplier,
            unsealed_by=self.unsealed_by,
        )
        twin.keys, twin._canaries, twin._cluster_id = self.keys, set(self._canaries), self._cluster_id
        twin._moved = True
        twin.roles = {name: role.moved(folder / "roles") for name, role in self.roles.items()}
        return twin

    def _tell_raft_the_new_addresses(self) -> None:
        """By raft's own recovery file, which a node reads when it is unsealed, and then removes."""
        peers = [{"id": member.name, "address": member.raft_address, "non_voter": False} for member in self.members]
        for member in self.members:
            (member.folder / "data" / "raft" / "peers.json").write_text(json.dumps(peers))
        self._moved = False

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _settled(self, members: Sequence[VaultNode]) -> bool:
        health = self.health()
        return {health[member.name] for member in members} <= {200, 429} and [*health.values()].count(200) == 1

    def _voters(self, client: hvac.Client) -> list[str]:
        servers = client.sys.read_raft_config()["data"]["config"]["servers"]
        return [server["node_id"] for server in servers if server["voter"]]

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SETTLE_S
        while not condition():
            if time.monotonic() > deadline or not any(member.running() for member in self.members):
                seen = f"waited up to {_SETTLE_S} s for {what}, in vain: {self.health()}"
                raise LabBroken("lab-vault-unsettled", seen, hint=f"read the logs below {self.folder}")
            time.sleep(0.02)


def _transit_seal(provider: VaultCluster) -> dict[str, Any]:
    transit = {
        "address": provider.address,
        "token": provider.keys.root_token,
        "key_name": AUTO_UNSEAL_KEY,
        "mount_path": "transit/",
        "tls_ca_cert": str(provider.ca_file),
        "disable_renewal": "true",
    }
    return {"seal": {"transit": transit}}
