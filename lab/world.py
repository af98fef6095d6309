"""HoodCloud in small, on this machine: a Vault of three nodes, PostgreSQL, Prefect, and receivers of news."""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Self

from lab.migrated import MigratedDatabases
from lab.postgres import Postgres
from lab.prefect import PrefectServer, PrefectWorker, deploy
from lab.receivers import Receivers
from lab.s3 import S3
from lab.server import LabBroken, Server
from lab.vault import VaultCluster
from runbooks.errors import BadRequest

ROOT = Path(__file__).parents[1]
"""The project, whose prefect.yaml is deployed and calls it $RUNBOOK_ROOT."""

CLUSTER = "hoodcloud"


class World:
    """Everything below `folder`, which must be empty. `start` brings side by side what does not need the other.

    `settings` are added to what the runbooks are told; `say` hears what is up, with the seconds since the start.
    """

    def __init__(
        self,
        folder: Path,
        ui_port: int = 0,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder, self.ui_port, self.settings, self._say = folder.absolute(), ui_port, dict(settings or {}), say
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.vault = VaultCluster(self.folder / "vault")
        self.postgres = Postgres(self.folder / "postgres")
        self.s3 = S3(self.folder / "s3")
        self.migrated = MigratedDatabases(self.folder / "migrated", self.postgres, self.s3)
        self.receivers = Receivers(self.folder / "receivers")
        self.prefect = PrefectServer(self.folder / "prefect", port=ui_port)
        self.worker = PrefectWorker(self.folder / "worker", self.prefect)
        self._began = time.monotonic()
        self._stopped = False
        self.up = False
        """Whether `start` is through and `stop` was not called."""

    @property
    def servers(self) -> tuple[Server, ...]:
        """Every server of it, the last to start first."""
        return (self.worker, self.prefect, self.receivers, self.s3, self.postgres, *self.vault.members)

    def start(self) -> Self:
        """From nothing to all up, the runbooks deployed. When something fails, all is stopped. Raises: LabBroken."""
        self._began = time.monotonic()
        try:
            self._side_by_side(self._start_databases, self._start_vault)
            self.worker.settings = self.environment()
            self._side_by_side(self._start_worker, self._remember_channels)
        except BaseException:
            self.stop()
            raise
        self.up = True
        return self

    def stop(self) -> None:
        """Ends every server; nothing is left. Also when called while `start` is at work in another thread."""
        self._stopped, self.up = True, False
        self.worker.stop()  # first: it says good-bye to its server, and would wait for one that is gone
        with ThreadPoolExecutor(len(self.servers)) as side_by_side:
            list(side_by_side.map(lambda server: server.stop(), self.servers))
        self.vault.stop()

    def environment(self) -> dict[str, str]:
        """The settings of the runbooks for this world, as variables. The one secret in it is the store's password."""
        role, key = self.vault.roles["hoodcloud-runbooks"], self.folder / "cache.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_text(secrets.token_hex(32))
            key.chmod(0o400)
        cluster = {
            "nodes": self.vault.nodes,
            "cluster_id": self.vault.cluster_id,
            "ca_file": str(self.vault.ca_file),
            "custody": "kept",
            "shares": [f"file:{file}" for file in self.vault.share_files],
        }
        return {
            "ENVIRONMENT": "lab",
            "VAULT_ADDR": self.vault.address,
            "VAULT_ROLE_ID": role.role_id,
            "VAULT_SECRET_ID_PATH": str(role.secret_id_file),
            "VAULT_TLS_CA_FILE": str(self.vault.ca_file),
            "RUNBOOK_VAULT_CLUSTERS": json.dumps({CLUSTER: cluster}),
            "RUNBOOK_DATABASES": json.dumps(self.migrated.settings()),
            **self.migrated.environment(),
            "RUNBOOK_STORE_URL": f"sqlite:///{self.folder / 'store.db'}",
            "RUNBOOK_CREDENTIALS_CACHE": str(self.folder / "channels.lkg"),
            "RUNBOOK_CREDENTIALS_KEY": str(key),
            "RUNBOOK_TELEGRAM_API": self.receivers.address,
            "PREFECT_API_URL": self.prefect.api,
            "RUNBOOK_UI_URL": self.prefect.address,
            **self.settings,
        }

    def break_(self, what: str, case: str = "") -> str:
        """Breaks `what`, in the way called `case`; says what happened. Raises: BadRequest `unknown-breakage`."""
        if what not in BREAKAGES:
            known = ", ".join(BREAKAGES)
            raise BadRequest("unknown-breakage", f"nobody knows how to break {what[:40]!r}", hint=f"there is: {known}")
        return BREAKAGES[what][1](self, case)

    def cure(self) -> str:
        """Corrects what let the last migration fail, as its author would; says so.

        Raises: BadRequest `nothing-broken`, `no-cure`, `still-dirty`.
        """
        self.migrated.check_curable()
        return self.migrated.cure()

    def secrets(self) -> list[str]:
        """Every secret value of this world, to search for where none may be."""
        databases = {self.postgres.password, self.migrated.databases.password, self.s3.secret}
        return sorted({*self.vault.secrets(), *self.receivers.canaries(), *databases})

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _side_by_side(self, *tasks: Callable[[], None]) -> None:
        with ThreadPoolExecutor(len(tasks)) as threads:
            try:
                for done in as_completed([threads.submit(task) for task in tasks]):
                    done.result()
            except BaseException:
                self.stop()  # so that the others end, too, and are not waited for
                raise

    def _start_databases(self) -> None:
        self._up(self.postgres)
        self._side_by_side(self._start_prefect, self._start_migrated)

    def _start_migrated(self) -> None:
        self._up(self.s3)
        self.migrated.start()
        self._tell("HoodCloud's two databases")

    def _start_prefect(self) -> None:
        self.prefect.database_url = self.postgres.create("prefect")
        self._up(self.prefect)

    def _start_vault(self) -> None:
        self._up(self.receivers)
        self.vault.start()
        self.vault.initialise()
        self.vault.seed({**self.receivers.credentials(), **self.migrated.credentials()})
        self._tell(f"Vault of {len(self.vault.members)} nodes")

    def _start_worker(self) -> None:
        self._up(self.worker)
        deploy(self.prefect, ROOT, {"RUNBOOK_ROOT": str(ROOT)})
        self._tell("runbooks deployed")

    def _remember_channels(self) -> None:
        """As any earlier run would have: keeps the credentials of the channels for when Vault is sealed."""
        program = "from channels import credentials; from store.settings import settings; credentials.read(settings())"
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **self.environment()}
        command = (sys.executable, "-c", program)
        done = subprocess.run(command, env=variables, cwd=self.folder, capture_output=True, text=True, check=False)
        if not Path(variables["RUNBOOK_CREDENTIALS_CACHE"]).exists():
            said = done.stderr.strip().splitlines()[-1:] or ["nothing"]
            raise LabBroken("lab-no-channels", f"reading the channels' credentials said {said[0]}", hint="mend that")

    def _up(self, server: Server) -> None:
        if not self._stopped:
            server.start()
            self._tell(server.name)

    def _tell(self, what: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._say(f"{time.monotonic() - self._began:5.1f} s  {what}")


def _power_cut(world: World, _: str) -> str:
    world.vault.power_cut()
    return BREAKAGES["vault"][0]


BREAKAGES: dict[str, tuple[str, Callable[[World, str], str]]] = {
    "vault": ("all Vault nodes lost power and are back, sealed", _power_cut),
    "migration": (
        "a migration fails and leaves its database dirty (`--case`)",
        lambda world, case: world.migrated.break_(case),
    ),
}
"""What can be broken: what happens then, and how. The way, where there are several, is a second word."""
